//! Numbers: which the rooms know, which the next one gets.
//!
//! Neighbours: `directory.rs` takes one for each room; `app` asks at a start, when all rooms are back.

use std::sync::PoisonError;

use throng_core::{Rejection, RoomId};

use super::{Directory, Rooms};
use crate::accounts::Numbers;

impl Directory {
    /// The greatest numbers of those who belong to a room or have a mark there.
    pub fn numbers(&self) -> Numbers {
        let mut numbers = Numbers::default();
        for stripe in &self.belongs {
            let belonging = stripe.lock().unwrap_or_else(PoisonError::into_inner);
            belonging.keys().for_each(|user| numbers.note(*user));
        }
        numbers
    }

    /// Gives no room this number, nor one below it that no room has.
    pub fn number_above(&self, room: RoomId) {
        let mut rooms = self.write();
        let number = room.get() as usize;
        if rooms.by_number.len() <= number {
            rooms.by_number.resize_with(number + 1, || None);
        }
    }
}

impl Rooms {
    /// Takes the next number. 0 is no room, so that the first place of the table stays empty.
    pub(super) fn next_number(&mut self) -> Result<RoomId, Rejection> {
        let number = self.by_number.len().max(1);
        let room = u32::try_from(number).ok().and_then(RoomId::new);
        let room = room.ok_or(Rejection::LimitReached)?;
        self.by_number.resize_with(number + 1, || None);
        self.len += 1;
        Ok(room)
    }
}
