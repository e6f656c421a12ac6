//! What waits for a room's delay: listed, let pass, taken away.
//!
//! Neighbours: `moderation.rs` asks for connections and REST; the room's sequencer says what waits and its
//! shard decides what comes of it. What one who keeps order does to another's is noted in the audit log.

use throng_core::rights::Operation;
use throng_core::shard::HeldPage;
use throng_core::{Author, Came, Command, Rejection, Reply, RoomId, UserId, Verdict};
use tokio::sync::oneshot;

use super::App;
use crate::moderation::{Moderation, PAGE_MAX};
use crate::protocols::moderation::Told;
use crate::sequencer::{Item, Look, LookAt};

impl App {
    /// What waits in a room above a number: for those who keep order all of it, for others their own.
    pub(super) async fn held(
        &self,
        asker: UserId,
        room: RoomId,
        after: u64,
        limit: u32,
    ) -> Result<HeldPage, Rejection> {
        let may = || self.directory.reading(asker, room, Operation::Held).map(drop);
        may()?;
        let limit = if limit == 0 { PAGE_MAX } else { PAGE_MAX.min(limit as usize) };
        let (done, told) = oneshot::channel();
        let look = Look { room, asker, after, limit, at: LookAt::Held(done) };
        if self.queue_of(room).send(Item::Look(look)).await.is_err() {
            return Err(Rejection::Unavailable);
        }
        let mut page = told.await.unwrap_or(Err(Rejection::Unavailable))?;
        // Asked again: one who was removed meanwhile, or keeps order no longer, reads nothing of others.
        may()?;
        if !self.directory.keeps_order(asker, room) {
            page.posts.retain(|(post, _)| post.author.id == asker);
        }
        Ok(page)
    }

    /// Lets one pass, or takes it away.
    pub(super) async fn settle_held(
        &self,
        from: Author,
        room: RoomId,
        number: u64,
        verdict: Verdict,
    ) -> Result<Told, Rejection> {
        let asked = self.ask(from.clone(), Command::Held { room, number, verdict }).await?;
        let Reply::Unheld { sender, came, .. } = asked else {
            unreachable!("what waits is settled, and not {asked:?}")
        };
        if sender != from.id {
            let about = self.auth.accounts().known(sender).await?;
            let at = self.clock.wall();
            let (act, detail) = (act(verdict), detail(number, came));
            let note = move |kept: &Moderation| {
                kept.note_held(room, at, (&from, act), about.as_ref(), detail)
            };
            self.keep(note).await?;
        }
        Ok(Told::Unheld(room, number, came))
    }
}

fn act(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Due | Verdict::Pass => "pass_held",
        Verdict::Drop => "drop_held",
    }
}

fn detail(number: u64, came: Came) -> String {
    match came {
        Came::Posted { seq, .. } => format!("message {seq}"),
        Came::Refused(rejection) => format!("waiting message {number}: {}", rejection.name()),
        Came::Dropped => format!("waiting message {number}"),
    }
}
