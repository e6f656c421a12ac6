//! Guests in their rooms: who may come in, and how one whose time is over goes.
//!
//! Neighbours: `accounts` says whose time is over and which guests come from one place; the rooms'
//! shards take them out, each in its order. A crash in the middle of it is gone on with after the
//! next start: a guest is gone when it was found in no room.

use std::sync::Arc;
use std::time::Duration;

use throng_core::limits::GUESTS_REMEMBERED_MAX;
use throng_core::rights::Operation;
use throng_core::{Act, Author, Command, Rejection, RoomId, UserId};

use super::{App, Prepared};
use crate::pages::Listed;

/// How often it is looked for those whose time is over.
const SWEEP: Duration = Duration::from_millis(500);
const _: () = assert!(SWEEP.as_millis() < 1_000, "a guest is out within a second of its end");

impl App {
    /// It is banned there, or is a guest and another one of its address is.
    pub(super) fn is_kept_out(&self, user: UserId, room: RoomId) -> bool {
        let others = || self.auth.accounts().addresses().others(user);
        self.directory.is_banned(user, room)
            || user.is_guest()
                && others().iter().any(|other| self.directory.is_banned(*other, room))
    }

    /// What one asks, as one who comes from somewhere: a guest joins with those of its address beside
    /// it. Where one of them is about to be banned it is refused at once: the ban may not know of it.
    pub(super) fn as_comer(&self, user: UserId, command: Command) -> Result<Command, Rejection> {
        let Command::Join { room } = command else { return Ok(command) };
        if !user.is_guest() {
            return Ok(command);
        }
        let beside = self.auth.accounts().addresses().others(user);
        let closing = beside.iter().any(|other| self.directory.is_closing(*other, room));
        // Who may not see the room must not learn by this that it is there.
        if closing && self.directory.reading(user, room, Operation::Join).is_ok() {
            return Err(Rejection::Banned);
        }
        Ok(Command::Enter { room, beside: beside.into() })
    }

    /// What is to be done to somebody. A ban of a guest is for all that come from where it does, those who
    /// are in the room already too.
    pub async fn moderating(
        &self,
        by: UserId,
        room: RoomId,
        act: Act,
        who: Author,
    ) -> Result<Prepared, Rejection> {
        let may = || self.directory.reading(by, room, Operation::Ban).is_ok();
        if act != Act::Ban || !who.id.is_guest() || !may() {
            return Ok(Command::Moderate { room, act, who }.into());
        }
        // First: who is let into the room before this is among those that are looked up after it.
        let held = vec![self.directory.closing(room, who.id)];
        self.auth.accounts().addresses().judged(who.id);
        let beside = self.auth.accounts().guests_beside(who.id).await?.into();
        Ok(Prepared { command: Command::BanGuest { room, who, beside }, held })
    }

    /// Has those whose time is over taken out; ends with the runtime.
    #[expect(clippy::disallowed_methods, reason = "nobody waits for it to end")]
    pub(super) fn start_ending_guests(self: &Arc<Self>) {
        let accounts = self.auth.accounts();
        let judged = |guest| self.directory.is_marked(guest);
        accounts.addresses().gone(judged, accounts.gone_before());
        let app = Arc::downgrade(self);
        let mut ticks = tokio::time::interval(SWEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::spawn(async move {
            loop {
                ticks.tick().await;
                let Some(app) = app.upgrade() else { return };
                if let Err(rejection) = app.end_guests().await {
                    let code = rejection.code();
                    tracing::warn!(code, "guests are still in their rooms, trying again");
                }
            }
        });
    }

    async fn end_guests(&self) -> Result<(), Rejection> {
        let accounts = self.auth.accounts();
        if accounts.addresses().is_empty() {
            return Ok(());
        }
        for guest in accounts.guests_going().await? {
            if self.take_out(&guest).await? {
                accounts.guest_is_gone(guest.id).await?;
                let judged = |guest| self.directory.is_marked(guest);
                accounts.addresses().gone(judged, &[guest.id]);
            }
        }
        for guest in accounts.guests_to_forget(GUESTS_REMEMBERED_MAX).await? {
            for room in self.directory.marks(guest.id) {
                match self.carry(guest.clone(), Command::Forget { room }).await {
                    Ok(_) | Err(Rejection::NoSuchUser) => {}
                    Err(rejection) => return Err(rejection),
                }
            }
            accounts.forget_guest(guest.id).await?;
        }
        Ok(())
    }

    /// Has it leave its rooms; whether it was in none. What its connections asked before they were
    /// closed may be decided after this, so that it is looked for once more.
    async fn take_out(&self, guest: &Author) -> Result<bool, Rejection> {
        let mine = Listed { mine: true, ..Listed::default() };
        let rooms = self.rooms(guest.id, &mine).rooms;
        for room in &rooms {
            match self.carry(guest.clone(), Command::Leave { room: room.room }).await {
                Ok(_) | Err(Rejection::NotMember | Rejection::NoSuchRoom) => {}
                Err(rejection) => return Err(rejection),
            }
        }
        if !rooms.is_empty() {
            return Ok(false);
        }
        self.personal.forget(guest.id).await?;
        Ok(true)
    }
}
