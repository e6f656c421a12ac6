//! Links into private rooms: made, listed and ended by those who keep order there, and used by whoever
//! brings one.
//!
//! Neighbours: `moderation` keeps them. Who brings a link is let in through the room's own order, by an
//! invitation of the one who made it: if that one keeps order no longer, the link is good for nothing.

use std::sync::Arc;

use throng_core::limits::{INVITATION_HOURS, INVITATION_HOURS_MAX, INVITATION_USES_MAX};
use throng_core::rights::Operation;
use throng_core::{Author, Command, Rejection, RoomId, Standing, Timestamp, UserId};

use super::App;
use crate::auth::token::{Token, TokenHash};
use crate::directory::Directory;
use crate::moderation::{Moderation, RoomLink};
use crate::protocols::moderation::Told;

const HOUR_MS: u64 = 3_600_000;

impl App {
    /// Makes one: for `uses` people, for so many hours; 0 for what is usual.
    pub(super) async fn make_link(
        &self,
        by: Author,
        room: RoomId,
        uses: u32,
        hours: u32,
    ) -> Result<Told, Rejection> {
        self.directory.reading(by.id, room, Operation::MakeLink)?;
        let (uses, hours) = (uses.max(1), if hours == 0 { INVITATION_HOURS } else { hours });
        if uses > INVITATION_USES_MAX || hours > INVITATION_HOURS_MAX {
            return Err(Rejection::BadArgument);
        }
        self.sessions.permit_send(by.id, self.clock.now())?;
        let token = Token::generate().map_err(|_| Rejection::Unavailable)?;
        let at = self.clock.wall();
        let expires_at = Timestamp(at.0 + u64::from(hours) * HOUR_MS);
        let link = RoomLink { id: 0, room, by, at, uses, expires_at };
        let hash = token.hash();
        let link = self.keep(move |kept| kept.add_link(hash, &link)).await?;
        Ok(Told::Link(token, link))
    }

    /// Those of a room, without what opens them.
    pub(super) async fn links(&self, by: Author, room: RoomId) -> Result<Told, Rejection> {
        let may = || self.directory.reading(by.id, room, Operation::Links).map(drop);
        may()?;
        let now = self.clock.wall();
        let links = self.keep(move |kept| kept.room_links(room, now)).await?;
        // Asked again: one who keeps order no longer reads nothing of it.
        may()?;
        Ok(Told::Links(room, links))
    }

    /// Ends one.
    pub(super) async fn end_link(
        &self,
        by: Author,
        room: RoomId,
        link: u64,
    ) -> Result<Told, Rejection> {
        self.directory.reading(by.id, room, Operation::EndLink)?;
        let at = self.clock.wall();
        self.keep(move |kept| kept.end_link((room, link), (at, &by))).await?;
        Ok(Told::Done)
    }

    /// What lets an account into the room of a link: it is invited now. Whatever is wrong with the
    /// link, the answer is the same, so that it says nothing of a room.
    pub async fn by_link(self: &Arc<Self>, who: &Author, link: &str) -> Result<Command, Rejection> {
        let token = TokenHash::of(link).ok_or(Rejection::BadLink)?;
        self.sessions.permit_send(who.id, self.clock.now())?;
        let now = self.clock.wall();
        let found = self.keep(move |kept| kept.link_of(token, now)).await?;
        let RoomLink { room, by, .. } = found.ok_or(Rejection::BadLink)?;
        let join = Command::Join { room };
        // Who could join without it does not use it up.
        match self.directory.reading(who.id, room, Operation::Join) {
            Ok(_) => return Ok(join),
            Err(_) if self.is_kept_out(who.id, room) => return Err(Rejection::BadLink),
            Err(_) => {}
        }
        self.directory.reading(by.id, room, Operation::Invite).map_err(|_| Rejection::BadLink)?;
        let app = Arc::clone(self);
        let admit = (who.id, Command::Admit { room, who: who.clone() });
        self.whole(async move { app.admit((token, now), by, admit).await }).await?;
        Ok(join)
    }

    /// Uses a link once, and has its bearer invited by the one who made it; a use by which nobody was is
    /// given back, by the next start if a kill comes between.
    async fn admit(
        &self,
        (token, now): (TokenHash, Timestamp),
        by: Author,
        (who, admit): (UserId, Command),
    ) -> Result<(), Rejection> {
        let used = self.keep(move |kept| kept.use_link(token, now, who)).await?;
        let used = used.ok_or(Rejection::BadLink)?;
        let admitted = self.carry(by, admit).await;
        let came_in = admitted.is_ok();
        if let Err(trouble) = self.keep(move |kept| kept.settle_use(used, came_in)).await {
            tracing::warn!(
                ?trouble,
                came_in,
                "cannot settle the use of a link; the next start does"
            );
        }
        admitted.map(drop).map_err(|refusal| match refusal {
            Rejection::Unavailable => refusal,
            _ => Rejection::BadLink,
        })
    }
}

/// Settles what a kill left open: a use of a link let somebody in whom its room knows now.
pub(super) fn settle_uses(kept: &Moderation, directory: &Directory) {
    let came_in = |user, room| {
        let standing = directory.standing(user, room);
        standing.has(Standing::INVITED) || standing.role().is_some()
    };
    match kept.settle_uses(came_in) {
        Ok(0) => {}
        Ok(given_back) => tracing::info!(given_back, "uses of links that let nobody in"),
        Err(trouble) => {
            tracing::warn!(?trouble, "cannot settle uses of links; the next start does");
        }
    }
}
