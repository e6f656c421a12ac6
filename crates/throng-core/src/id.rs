//! Ids, places and times as types, so that a number never stands for a room.

use core::fmt;

/// The largest room number: a block's key is `room << 40 | first_seq` in a signed 64-bit integer.
pub const ROOM_ID_MAX: u32 = (1 << 23) - 1;
/// The largest place in a room, for the same reason.
pub const SEQ_MAX: u64 = (1 << 40) - 1;

/// Guests are numbered from here on, accounts below: an account's number never gets so far (there are
/// at most a thousand million), and no table need be asked which of the two somebody is.
pub const GUESTS_FROM: u64 = 1 << 40;

/// A room, numbered from 1 by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(u32);

impl RoomId {
    /// `None` outside `1..=ROOM_ID_MAX`.
    pub fn new(number: u32) -> Option<Self> {
        (1..=ROOM_ID_MAX).contains(&number).then_some(Self(number))
    }

    /// The number on the wire and on disk.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// An account, numbered from 1 by the server, or a guest, numbered from `GUESTS_FROM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(u64);

impl UserId {
    /// `None` for 0 and above `i64::MAX`, which no table here can hold.
    pub fn new(number: u64) -> Option<Self> {
        (1..=i64::MAX as u64).contains(&number).then_some(Self(number))
    }

    /// Whether it is one without an account.
    pub fn is_guest(self) -> bool {
        self.0 >= GUESTS_FROM
    }

    /// The number on the wire and on disk.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// An authenticated client of an account: what a token stands for, and what logging out ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// An event's place in its room: dense from 1; 0 is the place before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The place before the first event.
    pub const ZERO: Self = Self(0);

    /// A place as somebody says it. What lies beyond the last place there can be is one behind it:
    /// nothing stands there, and nobody who counts on from it comes to an end.
    pub fn said(place: u64) -> Self {
        Self(place.min(SEQ_MAX + 1))
    }

    /// The place after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one life of the server's orders. A data folder that was lost or put back from a copy gets
/// another epoch, so that a place of the old life is not taken for one of the new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u32);

/// Where a client has got to in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the order that `seq` belongs to.
    pub epoch: Epoch,
    /// The last event seen; 0 for none.
    pub seq: Seq,
}

/// Wall-clock milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_number_that_would_spoil_a_block_key_cannot_be_made() {
        assert!(RoomId::new(0).is_none());
        assert!(RoomId::new(ROOM_ID_MAX).is_some());
        assert!(RoomId::new(ROOM_ID_MAX + 1).is_none());
        assert!((i64::from(ROOM_ID_MAX) << 40 | SEQ_MAX as i64) > 0);
    }
}
