//! What an account may do in a room, and whether it may know of one.
//!
//! Neighbours: `shard.rs` and its parts ask, before they decide and before anything is looked up for
//! that. A room that there is not is asked like a private one in which nobody stands, so that the time
//! of an answer does not tell which it was. It changes nothing.

use foldhash::quality::FixedState;

use super::Shard;
use crate::id::{RoomId, UserId};
use crate::rejection::Rejection;
use crate::rights::{Kind, Operation, Policy, permit};
use crate::room::Room;

/// A private room in which nobody stands.
pub(super) fn nowhere(seed: u64) -> Room {
    let any = RoomId::new(1).expect("a number of a room");
    let mut room = Room::new(any, FixedState::with_seed(seed));
    room.policy = Policy { kind: Kind::Private, ..Policy::default() };
    room
}

impl Shard {
    /// The room's slot, if its rights allow this account to do this.
    pub(super) fn permitted(
        &self,
        room: RoomId,
        operation: Operation,
        user: UserId,
    ) -> Result<usize, Rejection> {
        let slot = self.slot(room);
        let state = slot.map_or(&self.nowhere, |slot| &self.rooms[slot]);
        permit(operation, state.standing(user), state.policy)?;
        slot.ok_or(Rejection::NoSuchRoom)
    }

    /// The slot of a room that this account may know of before the batch is decided. For others nothing
    /// is looked up: the time it took would tell them that there is something.
    pub(super) fn slot_known_to(&self, room: RoomId, user: UserId) -> Option<usize> {
        let slot = self.slot(room);
        let state = slot.map_or(&self.nowhere, |slot| &self.rooms[slot]);
        let known = state.policy.kind == Kind::Public
            || permit(Operation::See, state.standing(user), state.policy).is_ok();
        slot.filter(|_| known)
    }
}
