//! What a server says that knows no places: the double's words without them.

use throng_wire::native::v1::{
    self, ServerFrame, event::What, reply::Outcome, server_frame::Frame,
};

/// The same, and no place in it.
pub fn told(mut frame: ServerFrame) -> ServerFrame {
    match &mut frame.frame {
        Some(Frame::Event(event)) => happened(event),
        Some(Frame::Left(left)) => left.seq = 0,
        Some(Frame::Reply(v1::Reply { outcome: Some(outcome), .. })) => match outcome {
            Outcome::Joined(joined) => (joined.seq, joined.position) = (0, None),
            Outcome::Left(left) => left.seq = 0,
            Outcome::Posted(posted) => (posted.seq, posted.n) = (0, 0),
            Outcome::Subscribed(subscribed) => subscribed.position = None,
            Outcome::Page(page) => page.events.iter_mut().for_each(happened),
            _ => {}
        },
        _ => {}
    }
    frame
}

fn happened(event: &mut v1::Event) {
    (event.seq, event.prev) = (0, 0);
    if let Some(What::Message(message)) = &mut event.what {
        message.n = 0;
    }
}
