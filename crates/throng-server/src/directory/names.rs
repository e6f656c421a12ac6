//! What rooms are called. Two public ones never look alike; what a private one is called is nobody else's
//! business, and not even that a name is taken.
//!
//! Neighbours: `directory.rs`, whose rooms they are. A name is kept for who asked for it until that is
//! decided (`held.rs`), for a new room as for one that is renamed.

use std::sync::Arc;

use throng_core::rights::Operation;
use throng_core::{Kind, Rejection, RoomId, RoomName, UserId};

use super::{Directory, Held, Rooms, lock};

impl Directory {
    /// Takes the next number for a room of this name, or says why not.
    pub fn reserve(
        self: &Arc<Self>,
        name: &RoomName,
        kind: Kind,
    ) -> Result<(RoomId, Held), Rejection> {
        let mut rooms = self.write();
        let keys = name.keys();
        if kind == Kind::Public && keys.iter().any(|key| rooms.by_name.contains_key(key)) {
            return Err(Rejection::RoomNameTaken);
        }
        if rooms.len >= self.rooms_max as usize {
            return Err(Rejection::LimitReached);
        }
        let room = rooms.next_number()?;
        if kind == Kind::Public {
            rooms.name(keys, room);
        }
        Ok((room, Held::name(self, room, name.clone(), kind)))
    }

    /// Whoever reserved a name is answered. One of which no room was made is free again.
    pub(super) fn give_back(&self, room: RoomId, name: &RoomName, kind: Kind) {
        let mut rooms = self.write();
        if rooms.get(room).is_none() {
            rooms.len -= 1;
            if kind == Kind::Public {
                rooms.unname(name.keys(), room);
            }
        }
    }

    /// Keeps another name for a room until it is decided whether it has it. Nothing is said of names to
    /// one who may not give it.
    pub fn rename(
        self: &Arc<Self>,
        user: UserId,
        room: RoomId,
        name: &RoomName,
    ) -> Result<Held, Rejection> {
        self.reading(user, room, Operation::SetConduct)?;
        let mut rooms = self.write();
        let entry = rooms.get(room).ok_or(Rejection::NoSuchRoom)?;
        if lock(&entry.settled).policy.kind == Kind::Public {
            let keys = name.keys();
            let others = |key: &String| rooms.by_name.get(key).is_some_and(|it| *it != room);
            if keys.iter().any(others) {
                return Err(Rejection::RoomNameTaken);
            }
            rooms.name(keys, room);
        }
        rooms.renaming.push((room, name.clone()));
        Ok(Held::renaming(self, room, name.clone()))
    }

    /// Whoever wanted to rename a room is answered. The name is free again unless the room has it, or
    /// somebody else asks for it yet.
    pub(super) fn rename_decided(&self, room: RoomId, name: &RoomName) {
        let mut rooms = self.write();
        let asked = rooms.renaming.iter().position(|(of, to)| *of == room && to == name);
        if let Some(asked) = asked {
            rooms.renaming.swap_remove(asked);
        }
        rooms.unname(name.keys(), room);
    }
}

impl Rooms {
    /// Names that an earlier build let stand beside each other stay: the first keeps the key.
    pub(super) fn name(&mut self, keys: [String; 2], room: RoomId) {
        for key in keys {
            self.by_name.entry(key).or_insert(room);
        }
    }

    /// A room is called so from now on.
    pub(super) fn renamed(&mut self, room: RoomId, name: &RoomName) {
        let entry = self.get(room).expect("an event's room was created before");
        let before = std::mem::replace(&mut *lock(&entry.name), name.clone());
        if lock(&entry.settled).policy.kind == Kind::Public {
            self.name(name.keys(), room);
            self.unname(before.keys(), room);
        }
    }

    /// Gives back those keys of a room's that are not of its name, nor of one that it may get.
    fn unname(&mut self, keys: [String; 2], room: RoomId) {
        let mut kept: Vec<String> = Vec::new();
        if let Some(entry) = self.get(room) {
            kept.extend(lock(&entry.name).keys());
        }
        let asked = self.renaming.iter().filter(|(of, _)| *of == room);
        kept.extend(asked.flat_map(|(_, name)| name.keys()));
        for key in keys {
            if !kept.contains(&key) && self.by_name.get(&key) == Some(&room) {
                self.by_name.remove(&key);
            }
        }
    }
}
