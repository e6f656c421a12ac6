//! What waits for a room's delay: listed, let pass, taken away.
//!
//! Neighbours: `moderation.rs` asks for connections and REST; the room's sequencer says what waits and its
//! shard decides what comes of it. What one who keeps order does to another's is noted in the audit log.

use throng_core::limits::OVERSIGHT_LIST_MAX;
use throng_core::rights::Operation;
use throng_core::shard::HeldPage;
use throng_core::{Author, Came, Command, Rejection, Reply, RoomId, UserId, Verdict};
use tokio::sync::oneshot;

use super::App;
use crate::moderation::Moderation;
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
        let limit =
            if limit == 0 { OVERSIGHT_LIST_MAX } else { OVERSIGHT_LIST_MAX.min(limit as usize) };
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

    /// Lets one pass, or takes it away. Another's: it is kept first that this is about to be done, so that the
    /// audit log says so after a kill too.
    pub(super) async fn settle_held(
        &self,
        from: Author,
        room: RoomId,
        number: u64,
        verdict: Verdict,
    ) -> Result<Told, Rejection> {
        self.sessions.permit_send(from.id, self.clock.now())?;
        let intent = match self.sender_of(from.id, room, number).await? {
            Some(about) if about.id != from.id => {
                let (at, by, act) = (self.clock.wall(), from.clone(), act(verdict));
                let detail =
                    format!("waiting message {number}: the server ended in the middle of it");
                let keep =
                    move |kept: &Moderation| kept.about_to(room, at, (&by, act), &about, &detail);
                Some(self.keep(keep).await?)
            }
            _ => None,
        };
        let settled = self.carry(from, Command::Held { room, number, verdict }).await;
        let came = match settled {
            Ok(Reply::Unheld { came, .. }) => Ok(came),
            Ok(other) => unreachable!("what waits is settled, and not {other:?}"),
            Err(rejection) => Err(rejection),
        };
        if let Some(intent) = intent {
            let detail = came.ok().map(|came| detail(number, came));
            self.keep(move |kept| kept.came_of(intent, detail.as_deref())).await?;
        }
        Ok(Told::Unheld(room, number, came?))
    }

    /// Whose message waits there, as far as the asker may know.
    async fn sender_of(
        &self,
        asker: UserId,
        room: RoomId,
        number: u64,
    ) -> Result<Option<Author>, Rejection> {
        let page = self.held(asker, room, number.saturating_sub(1), 1).await?;
        let found = page.posts.iter().find(|(post, _)| post.number == number);
        Ok(found.map(|(post, _)| post.author.clone()))
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
