//! Guests in a room's order: they come from an address, and a ban of one is a ban of that.
//!
//! Neighbours: `shard.rs` decides by these. Which guests come from one address is said with the request:
//! the shard knows no addresses.

use super::{Author, EventKind, Facts, Operation, Rejection, Reply, RoomId, Shard, Turn, UserId};
use crate::rights::{Act, Standing};

impl Shard {
    /// A guest joins, where none from its address is banned. Who may not see the room must not learn by
    /// this that it is there.
    pub(super) fn enter(
        &mut self,
        room: RoomId,
        who: &Author,
        beside: &[UserId],
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let slot = self.permitted(room, Operation::Join, who.id)?;
        let state = &self.rooms[slot];
        let banned = |one: &UserId| state.standing(*one).has(Standing::BANNED);
        if state.joined(who.id).is_none() && beside.iter().any(banned) {
            return Err(Rejection::Banned);
        }
        self.join(room, who, turn)
    }

    /// A guest is banned, and those from its address who are here go with it, before anybody is answered.
    pub(super) fn ban_guest(
        &mut self,
        room: RoomId,
        by: &Author,
        (who, beside): (&Author, &[Author]),
        facts: &Facts,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let banned = self.moderate(room, by, (Act::Ban, who), facts, turn)?;
        for guest in beside.iter().filter(|guest| guest.id.is_guest()) {
            // One that is not here, or has a right not to be sent away, stays what it is.
            _ = self.moderate(room, by, (Act::Kick, guest), facts, turn);
        }
        Ok(banned)
    }

    /// A guest that has gone for good is remembered no longer. Nobody hears of it: to them it left
    /// long ago.
    pub(super) fn forget(
        &mut self,
        room: RoomId,
        who: &Author,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let slot = self.slot(room).ok_or(Rejection::NoSuchRoom)?;
        let standing = self.rooms[slot].standing(who.id);
        if standing.role().is_some() || !standing.is_marked() {
            return Err(Rejection::NoSuchUser);
        }
        let mut forgotten = || self.happen(slot, EventKind::Left { who: who.clone() }, false, turn);
        if standing.declines() && standing.without(Standing::INVITED).is_marked() {
            // The first one only declines.
            forgotten()?;
        }
        Ok(Reply::Left { seq: forgotten()? })
    }
}
