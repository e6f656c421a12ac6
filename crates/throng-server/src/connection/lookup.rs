//! Commands that name something which must be found first: a member by name, files by id, a room by a
//! link.
//!
//! Neighbours: `serve.rs` has it done beside the connection's other slow things; `app` finds. It
//! decides nothing: what was found goes into the shard's queue like any other command.

use std::sync::Arc;

use throng_core::{Author, Rejection};

use super::Connection;
use super::serve::{Future_, Slow};
use super::submit::{Wish, submit};
use crate::app::{App, Prepared};

use crate::protocols::{Ack, Answer, Protocol, What};

impl<P: Protocol + Unpin> Connection<P> {
    pub(super) fn begin_lookup(&self, re: u32, what: What) -> Future_ {
        let app = Arc::clone(&self.app);
        let outbox = Arc::clone(&self.outbox);
        let from = self.user().cloned();
        let asked = self.asked(re);
        Box::pin(async move {
            let found = async {
                let from = from?;
                let prepared = look_up(&app, &from, what).await?;
                Ok::<_, Rejection>((from, prepared))
            };
            match found.await {
                Ok((from, prepared)) => submit(&app, outbox, asked, from, prepared).await,
                Err(rejection) => Slow::Answer(re, Answer::Rejected(rejection)),
            }
        })
    }
}

const DURABLE: Wish = (Ack::Durable, None);

async fn look_up(app: &Arc<App>, from: &Author, what: What) -> Result<(Prepared, Wish), Rejection> {
    match what {
        What::Moderate { room, act, target } => {
            let who = app.whom_for(act, target).await?;
            Ok((app.moderating(from.id, room, act, who).await?, DURABLE))
        }
        What::SetRoomAvatar { room, file } => {
            Ok((app.room_avatar(from.id, room, file).await?.into(), DURABLE))
        }
        What::Carry { command, files, ack, trace } => {
            Ok((app.carrying(from.id, command, &files).await?.into(), (ack, trace)))
        }
        What::JoinByLink { link } => Ok((app.by_link(from, &link.0).await?.into(), DURABLE)),
        What::OpenDirect { target } => Ok((app.direct(from, target).await?, DURABLE)),
        _ => unreachable!("names nothing that must be found"),
    }
}
