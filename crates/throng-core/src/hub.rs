//! Who on this node hears a room.
