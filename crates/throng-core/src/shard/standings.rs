//! Who stands otherwise in a room than others: who is banned, muted, voiced, invited.
//!
//! Neighbours: the sequencer asks it for those who keep order, between two turns. It changes nothing.

use alloc::vec::Vec;

use super::Shard;
use crate::id::{RoomId, UserId};
use crate::rejection::Rejection;
use crate::rights::{Operation, Standing};

impl Shard {
    /// Those who have this mark in a room, above a number and ascending, `limit` at most, and whether
    /// there are more; for those who keep order.
    pub fn standings(
        &self,
        room: RoomId,
        asker: UserId,
        mark: Standing,
        (after, limit): (u64, usize),
    ) -> Result<(Vec<UserId>, bool), Rejection> {
        let slot = self.permitted(room, Operation::Standings, asker)?;
        let people = self.rooms[slot].people().iter();
        let marked = people.filter(|(user, it)| it.standing().has(mark) && user.get() > after);
        let mut users: Vec<UserId> = marked.map(|(user, _)| *user).collect();
        users.sort_unstable();
        let more = users.len() > limit;
        users.truncate(limit);
        Ok((users, more))
    }
}
