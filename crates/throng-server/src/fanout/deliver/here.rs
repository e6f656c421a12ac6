//! What is told outside of a room's order: who hears it, who types there, that a direct room was opened,
//! that one is invited, and to one's other connections that one has joined or left.
//!
//! Neighbours: `deliver.rs`, whose listeners these are; `presence.rs` remembers what has changed.

use std::sync::Arc;

use throng_core::{Act, Author, Event, EventKind, RoomId, Seq, UserId};

use super::super::presence::{Listens, Notice, Stage, To};
use super::{Deliver, SLICE};
use crate::clock::Moment;
use crate::outbox::{ConnectionId, Outbox};
use crate::pages::Here;

/// Listeners that are counted in one go: as long as a slice of writes.
const COUNTED: usize = 2_048;

impl Deliver {
    /// What an event says of who belongs and who types; `asker` asked for it.
    pub(super) fn note_presence(&mut self, event: &Event, asker: Option<ConnectionId>) {
        match &event.kind {
            EventKind::Posted { author, .. } => self.presence.typed(event.room, author.id),
            EventKind::Joined { who } => {
                self.joined(who.id, event, asker);
                self.presence.changed(event.room);
            }
            EventKind::Moderated { by, who, act: Act::Invite } => {
                self.invited(who.id, by, event.room);
            }
            kind => {
                if let Some(user) = kind.removes() {
                    self.presence.typed(event.room, user);
                    self.presence.changed(event.room);
                }
            }
        }
    }

    /// Whether a connection of this account hears the room.
    pub(super) fn hears(&self, room: RoomId, user: UserId) -> bool {
        let hears = |outbox: &Arc<Outbox>| {
            self.keys.get(&outbox.id).is_some_and(|key| self.hub.after(room, *key).is_some())
        };
        self.around.sessions.of(user).iter().any(hears)
    }

    /// Whether a room is of two of whom one has blocked the other: neither is shown the other.
    pub(super) fn parted(&self, room: RoomId) -> bool {
        let pair = self.around.directory.pair(room);
        pair.is_some_and(|(one, other)| self.around.contacts.parted(one, other))
    }

    /// Puts in line what has changed in the rooms.
    pub(super) fn sweep(&mut self, now: Moment) {
        let (hub, outboxes) = (&self.hub, &self.outboxes);
        self.presence.sweep(now, |room, key| match outboxes.get(key as usize) {
            Some(Some(outbox)) if hub.after(room, key).is_some() => {
                if outbox.is_blocked() {
                    Listens::Blocked
                } else {
                    Listens::Free
                }
            }
            _ => Listens::No,
        });
    }

    /// Goes on with the oldest notice by one slice.
    pub(super) fn spread_notice(&mut self) {
        let Some(mut notice) = self.presence.notices.pop_front() else { return };
        let done = match &mut notice.stage {
            Stage::Count { .. } => self.count_here(&mut notice),
            Stage::Tell(_) => self.tell_here(&mut notice),
        };
        if !done {
            self.presence.notices.push_front(notice);
        } else if let Stage::Tell(telling) = notice.stage {
            self.presence.told(notice.room, telling.missed);
        }
    }

    /// Gathers who hears the room in some slots; true if there is nothing to tell.
    fn count_here(&mut self, notice: &mut Notice) -> bool {
        let Stage::Count { users, typists, slots } = &mut notice.stage else { return false };
        let room = notice.room;
        let slice = *slots..*slots + COUNTED;
        *slots = slice.end;
        for (key, _) in self.hub.slice(room, slice) {
            users.extend(self.outboxes[key as usize].as_ref().and_then(|outbox| outbox.user()));
        }
        if *slots < self.hub.slots(room) {
            return false;
        }
        let (members, named) = self.around.directory.members(room);
        if self.parted(room) {
            if !self.presence.was_parted(room) {
                return true;
            }
            notice.says(Here { members, ..Here::default() });
            return false;
        }
        self.presence.was_parted(room);
        let (here, typing) = (users.len() as u32, typists.len() as u32);
        let mut told = Here { members, here, typing, ..Here::default() };
        if named {
            told.users = users.drain().collect();
            told.users.sort_unstable();
            told.typists = std::mem::take(typists);
        }
        notice.says(told);
        false
    }

    /// Writes to the listeners of some slots; true when it has been told to all.
    fn tell_here(&mut self, notice: &mut Notice) -> bool {
        let room = notice.room;
        let Notice { to, stage: Stage::Tell(telling), .. } = notice else { return false };
        let slice = telling.served..telling.served + SLICE;
        telling.served = slice.end;
        let (keys, all): (Vec<u32>, usize) = match to {
            To::All => {
                let keys = self.hub.slice(room, slice).map(|(key, _)| key);
                (keys.collect(), self.hub.slots(room))
            }
            To::Missed(keys) => {
                let part = keys.iter().skip(slice.start).take(SLICE).copied();
                let hear = part.filter(|key| self.hub.after(room, *key).is_some());
                (hear.collect(), keys.len())
            }
        };
        for key in keys {
            let outbox = self.outboxes[key as usize].as_ref().expect("a listener has its outbox");
            if !outbox.hint(telling.frame(room, outbox.form), &mut self.writer) {
                telling.missed.push(key);
            }
        }
        telling.served >= all
    }

    /// An account that was invited hears of it on each of its connections, outside of any order.
    fn invited(&mut self, user: UserId, by: &Author, room: RoomId) {
        let Some(name) = self.around.directory.name(room) else { return };
        for outbox in self.around.sessions.of(user) {
            let mut bytes = Vec::with_capacity(64);
            outbox.form.invited(room, &name, by, &mut bytes);
            self.tell_one(&outbox, bytes);
        }
    }

    /// An account that has joined hears of it on each of its connections, outside of any order: it may
    /// subscribe. The one that asked is told by its answer.
    fn joined(&mut self, user: UserId, event: &Event, asker: Option<ConnectionId>) {
        let (room, seq) = (event.room, event.seq);
        let directory = &self.around.directory;
        let opened = if seq == Seq(3) { directory.with(room, user) } else { None };
        if let Some((with, name)) = opened {
            return self.opened(user, room, &Author { id: with, name });
        }
        for outbox in self.around.sessions.of(user) {
            let key = self.keys.get(&outbox.id).copied();
            let hears = key.is_some_and(|key| self.hub.after(room, key).is_some());
            if !hears && asker != Some(outbox.id) {
                self.membership(&outbox, (room, seq), false);
            }
        }
    }

    /// Tells a connection that its account has become a member of a room, or (`ended`) has left it.
    pub(super) fn membership(
        &mut self,
        outbox: &Arc<Outbox>,
        (room, seq): (RoomId, Seq),
        ended: bool,
    ) {
        let mut bytes = Vec::with_capacity(64);
        outbox.form.membership(room, seq, ended, &mut bytes);
        self.tell_one(outbox, bytes);
    }

    /// An account whose direct room was opened by the other hears of it on each of its connections.
    fn opened(&mut self, user: UserId, room: RoomId, with: &Author) {
        for outbox in self.around.sessions.of(user) {
            let mut bytes = Vec::with_capacity(64);
            outbox.form.opened(room, with, &mut bytes);
            self.tell_one(&outbox, bytes);
        }
    }

    /// Stages what one connection is told and has not asked for, behind what it was to be told before. It
    /// counts as an event, so that who does not read it is too slow.
    pub(super) fn tell_one(&mut self, outbox: &Arc<Outbox>, bytes: Vec<u8>) {
        self.send_traced_to(outbox);
        if outbox.stage(&bytes.into(), 1) {
            self.touched.push(Arc::clone(outbox));
        }
    }
}
