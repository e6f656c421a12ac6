//! Direct rooms: of two, made when one of them opens it first.
//!
//! Neighbours: `shard.rs` calls it for its commands; who may write to whom is the server's to say, and
//! stands among the facts. Two who open it at the same time make one room.

use alloc::vec::Vec;

use super::{Facts, Shard, Turn, Want};
use crate::command::{Command, Reply, Request};
use crate::event::{Author, EventKind};
use crate::id::{RoomId, UserId};
use crate::rejection::Rejection;
use crate::rights::{Act, Kind, Operation};
use crate::room::Room;
use crate::text::RoomName;

impl Shard {
    /// Opens the room, or makes it.
    pub(super) fn direct(
        &mut self,
        room: RoomId,
        who: &Author,
        with: &Author,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        assert_ne!(who.id, with.id, "a direct room is of two");
        if self.slot(room).is_some() {
            let slot = self.permitted(room, Operation::Join, who.id)?;
            let joined = self.rooms[slot].joined(who.id).ok_or(Rejection::NoSuchRoom)?;
            return Ok(Reply::Joined { seq: joined, already: true });
        }
        let slot = self.add_room(room);
        let name = RoomName::of_two(&who.name, &with.name);
        let created = EventKind::Created { by: who.clone(), name, kind: Kind::Direct };
        let joined = [who, with].map(|who| EventKind::Joined { who: who.clone() });
        let fits = "a new room has places";
        let mut seq = self.happen(slot, created, true, turn).expect(fits);
        for (members, joined) in (1..).zip(joined) {
            let pushed = members <= self.pushed_members_max;
            seq = self.happen(slot, joined, pushed, turn).expect(fits);
        }
        Ok(Reply::Created { seq })
    }

    /// Whether the other wants what is to be said in a direct room, or to be invited.
    pub(super) fn wanted_consent(&self, request: &Request, wants: &mut Vec<Want>) {
        let from = request.from.id;
        if let Command::Moderate { room, act: Act::Invite, who } = &request.command {
            let may = self.permitted(*room, Operation::Invite, from).is_ok();
            wants.extend(may.then_some(Want::Consent { room: *room, from, to: who.id }));
            return;
        }
        if !self.has_direct {
            return;
        }
        let (Command::Post { room, .. }
        | Command::Edit { room, .. }
        | Command::React { room, on: true, .. }) = &request.command
        else {
            return;
        };
        let Some(state) = self.slot(*room).map(|slot| &self.rooms[slot]) else { return };
        if state.policy.kind != Kind::Direct || state.joined(from).is_none() {
            return;
        }
        wants.extend(other_of(state, from).map(|to| Want::Consent { room: *room, from, to }));
    }
}

/// Refuses what the other of a direct room does not want.
pub(super) fn consented(room: &Room, from: UserId, facts: &Facts) -> Result<(), Rejection> {
    if room.policy.kind != Kind::Direct {
        return Ok(());
    }
    let refused = other_of(room, from).is_some_and(|to| facts.is_refused(room.id, from, to));
    if refused { Err(Rejection::NotAccepted) } else { Ok(()) }
}

fn other_of(room: &Room, one: UserId) -> Option<UserId> {
    room.people().keys().copied().find(|user| *user != one)
}
