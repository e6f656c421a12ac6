//! Who is where: typing, the list of a room's members, and the sweep that tells of changes.
//!
//! Neighbours: connections and REST ask; the fan-outs know who hears a room and tell its listeners, at
//! most once a sweep, outside of its order.

use std::sync::Arc;
use std::time::Duration;

use throng_core::limits::PAGE_EVENTS_MAX;
use throng_core::rights::Operation;
use throng_core::{Avatar, Rejection, RoomId, Standing, UserId};
use tokio::sync::oneshot;

use super::{App, page_len};
use crate::clock::Moment;
use crate::fanout::Order;
use crate::pages::{RoomMember, RoomMembers};

/// Changes are gathered for so long: a room's listeners get one frame in it at most.
const SWEEP: Duration = Duration::from_secs(1);
const _: () = assert!(PAGE_EVENTS_MAX <= 100, "a page of members asks for as many names");

impl App {
    /// An account types in a room: as who may speak there, and against the rate of what it says.
    pub fn types(&self, user: UserId, room: RoomId, at: Moment) -> Result<(), Rejection> {
        self.directory.reading(user, room, Operation::Typing)?;
        if let Some((with, _)) = self.directory.with(room, user)
            && !self.contacts.may_write(user, with)
        {
            return Err(Rejection::NotAccepted);
        }
        self.sessions.permit_send(user, at)?;
        self.fanout_of(room).ask(Order::Types { room, user, at });
        Ok(())
    }

    /// One has blocked the other, or hears from it again: what they are told of each other changes.
    pub(super) fn part(&self, one: UserId, other: UserId) {
        if let Some(room) = self.directory.between(one, other) {
            self.fanout_of(room).ask(Order::Parted(room));
        }
    }

    /// Those who belong to a room above a number, for one who does; `limit` as in `rooms`.
    pub async fn members(
        &self,
        asker: UserId,
        room: RoomId,
        after: u64,
        limit: u32,
    ) -> Result<RoomMembers, Rejection> {
        let may = || self.directory.reading(asker, room, Operation::Members);
        may()?;
        let limit = page_len(limit);
        let read = self.read(move |history| history.members(room, after, limit + 1)).await?;
        let more = read.members.len() > limit;
        let users: Vec<_> = read.members.iter().take(limit).map(|member| member.user).collect();
        let faces = self.faces(users.clone()).await?;
        let (done, here) = oneshot::channel();
        self.fanout_of(room).ask(Order::Here { room, users, done });
        let here = here.await.map_err(|_| Rejection::Unavailable)?;
        let keeps_order = self.directory.keeps_order(asker, room);
        let mut members = Vec::with_capacity(here.len());
        for (member, here) in read.members.iter().zip(here) {
            let author = self.auth.accounts().known(member.user).await?;
            // Who belongs has an account and a role; one that was just deleted is left out.
            if let (Some(author), Some(role)) = (author, member.person.standing().role()) {
                let avatar = Avatar(faces.get(&member.user).copied());
                // Nobody else's business.
                let told = keeps_order || member.user == asker;
                let stands = told.then(|| self.directory.standing(member.user, room));
                let has = |mark| stands.is_some_and(|stands| stands.has(mark));
                let (muted, voiced) = (has(Standing::MUTED), has(Standing::VOICED));
                members.push(RoomMember { author, role, here, muted, voiced, avatar });
            }
        }
        // Asked again: one who was removed meanwhile reads nothing of what followed.
        may()?;
        Ok(RoomMembers { room, seq: read.head, members, more })
    }

    /// Has changes told once a second; ends with the runtime.
    #[expect(clippy::disallowed_methods, reason = "nobody waits for it to end")]
    pub(super) fn start_presence(self: &Arc<Self>) {
        let app = Arc::downgrade(self);
        let mut ticks = tokio::time::interval(SWEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::spawn(async move {
            loop {
                ticks.tick().await;
                let Some(app) = app.upgrade() else { return };
                let now = app.clock.now();
                for shard in &app.shards {
                    shard.fanout.ask(Order::Sweep(now));
                }
            }
        });
    }
}
