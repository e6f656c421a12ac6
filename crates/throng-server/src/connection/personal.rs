//! Carries out what an account asks about itself: markers, levels, who may write to it, how the
//! rooms begin that it makes; what is pinned; and searches.
//!
//! Neighbours: `serve.rs` has it done beside the connection's other slow things; `app` does it.

use std::sync::Arc;

use throng_core::{Author, Rejection};

use super::Connection;
use super::serve::{Future_, Slow};
use crate::app::App;
use crate::outbox::ConnectionId;
use crate::protocols::{Answer, Protocol, What};

impl<P: Protocol + Unpin> Connection<P> {
    pub(super) fn begin_personal(&self, re: u32, what: What) -> Future_ {
        let app = Arc::clone(&self.app);
        let asking = self.outbox.id;
        let from = match self.user() {
            Ok(user) => user.clone(),
            Err(rejection) => {
                return Box::pin(async move { Slow::Answer(re, Answer::Rejected(rejection)) });
            }
        };
        Box::pin(async move {
            let answer = note(&app, &from, asking, what).await;
            Slow::Answer(re, answer.unwrap_or_else(Answer::Rejected))
        })
    }
}

async fn note(
    app: &App,
    user: &Author,
    asking: ConnectionId,
    what: What,
) -> Result<Answer, Rejection> {
    let done = match what {
        What::Read { room, seq } => app.read_to(user.id, room, seq, Some(asking)).await,
        What::SetLevel { room, level } => app.set_level(user.id, room, level).await,
        What::SetAvatar { file } => app.set_avatar(user.id, file).await,
        What::SetContacts { writers } => app.personal.set_writers(user.id, writers).await,
        What::SetRoomDefaults { defaults } => {
            app.personal.set_room_defaults(user.id, defaults).await
        }
        What::Pins { room, after, limit } => {
            return app.pins(user.id, room, after, limit).await.map(Answer::Page);
        }
        What::Members { room, after, limit } => {
            return app.members(user.id, room, after, limit).await.map(Answer::Members);
        }
        What::Unread { after, limit } => {
            return app.unread(user.id, after, limit).await.map(Answer::Unread);
        }
        What::Search { room, sought } => {
            return app.search(user.id, room, *sought).await.map(Answer::Found);
        }
        _ => unreachable!("not about the account itself"),
    };
    done.map(|()| Answer::Done)
}
