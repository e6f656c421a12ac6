//! The run's own numbers of users, rooms and sends, as types.

/// A virtual user's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserIx(pub u32);
/// A room's index in the run; its number is the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomIx(pub u32);
/// A send's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SendIx(pub u32);
