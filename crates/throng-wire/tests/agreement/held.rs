//! What waits for a room's delay, in both forms.

use proptest::prelude::*;
use proptest::strategy::Union;
use throng_wire::native::v1;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;

use super::{message, text};

pub fn asked() -> impl Strategy<Value = Request> {
    let room = any::<u32>();
    Union::new([
        (room, any::<u64>(), any::<u32>())
            .prop_map(|(room, after, limit)| Request::ListHeld(v1::ListHeld { room, after, limit }))
            .boxed(),
        (room, any::<u64>(), any::<bool>())
            .prop_map(|(room, held, pass)| Request::SettleHeld(v1::SettleHeld { room, held, pass }))
            .boxed(),
    ])
}

pub fn outcome() -> impl Strategy<Value = Outcome> {
    let room = any::<u32>();
    Union::new([
        (room, any::<[u64; 2]>(), any::<bool>())
            .prop_map(|(room, [held, until], repeat)| {
                Outcome::Held(v1::Held { room, held, until, repeat })
            })
            .boxed(),
        (room, prop::collection::vec(post(), 0..3), any::<bool>())
            .prop_map(|(room, posts, more)| Outcome::HeldPosts(v1::HeldPosts { room, posts, more }))
            .boxed(),
        unheld().prop_map(Outcome::Unheld).boxed(),
    ])
}

pub fn post() -> impl Strategy<Value = v1::HeldPost> {
    (any::<u32>(), any::<[u64; 3]>(), prop::option::of(message())).prop_map(
        |(room, [held, at, until], message)| v1::HeldPost { room, held, at, until, message },
    )
}

pub fn unheld() -> impl Strategy<Value = v1::Unheld> {
    let refused = (any::<u32>(), text(), text(), any::<Option<u32>>()).prop_map(
        |(code, name, text, retry_after_ms)| v1::Rejected { code, name, text, retry_after_ms },
    );
    (any::<u32>(), any::<[u64; 2]>(), prop::option::of(refused))
        .prop_map(|(room, [held, seq], refused)| v1::Unheld { room, held, seq, refused })
}
