//! Who stands otherwise in a room than others: who is banned, muted, voiced, invited; for those who keep
//! order there.
//!
//! Neighbours: `moderation.rs` asks for connections and REST; the room's sequencer knows, as of what it has
//! decided last; `accounts` has the names.

use throng_core::limits::OVERSIGHT_LIST_MAX;
use throng_core::rights::Operation;
use throng_core::{Author, Rejection, RoomId, Standing, UserId, Username};
use tokio::sync::oneshot;

use super::App;
use crate::pages::Marked;
use crate::protocols::moderation::Told;
use crate::sequencer::{Item, Look, LookAt};

impl App {
    /// Those who have this mark in a room, above a number; `limit` 0 is the page's own size.
    pub(super) async fn standings(
        &self,
        asker: UserId,
        room: RoomId,
        mark: Standing,
        (after, limit): (u64, u32),
    ) -> Result<Told, Rejection> {
        let may = || self.directory.reading(asker, room, Operation::Standings).map(drop);
        may()?;
        let limit =
            if limit == 0 { OVERSIGHT_LIST_MAX } else { OVERSIGHT_LIST_MAX.min(limit as usize) };
        let (done, told) = oneshot::channel();
        let look = Look { room, asker, after, limit, at: LookAt::Standings(mark, done) };
        if self.queue_of(room).send(Item::Look(look)).await.is_err() {
            return Err(Rejection::Unavailable);
        }
        let (marked, more) = told.await.unwrap_or(Err(Rejection::Unavailable))?;
        let mut users = Vec::with_capacity(marked.len());
        for id in marked {
            // A mark outlasts its bearer's account, and may its name.
            let once = self.auth.accounts().once_known(id).await?;
            users.push(once.unwrap_or_else(|| Author { id, name: Username::gone() }));
        }
        // Asked again: one who keeps order no longer reads nothing of it.
        may()?;
        Ok(Told::Standings(room, Marked { users, more }))
    }
}
