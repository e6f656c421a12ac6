//! Direct rooms by the two whose they are.
//!
//! Neighbours: `directory.rs`, whose rooms they are like others. A pair has one room, also while two
//! open it at the same time: its number is given back when nobody who asked for it made it.

use std::sync::{Arc, PoisonError};

use throng_core::{Author, Person, Rejection, RoomId, RoomName, Seq, UserId, Username};

use super::{Directory, Held, Place, Rooms, lock};
use crate::leavers::Leavers;

/// Direct rooms, and those about to be.
#[derive(Debug, Default)]
pub(super) struct Direct {
    /// By the two, the lesser number first.
    by_pair: std::collections::HashMap<(UserId, UserId), Opened>,
    /// Who made it, and the other one.
    pairs: std::collections::HashMap<RoomId, (UserId, UserId)>,
    /// Rooms that are being made, by those whose they will be: they count against what one may have.
    making: std::collections::HashMap<UserId, usize>,
}

#[derive(Debug)]
struct Opened {
    room: RoomId,
    /// Who asked for it and is not answered.
    asking: u32,
    /// It is counted in `making`.
    making: bool,
}

fn pair(one: UserId, other: UserId) -> (UserId, UserId) {
    (one.min(other), one.max(other))
}

impl Direct {
    fn put(&mut self, room: RoomId, maker: UserId, other: UserId) {
        self.by_pair.entry(pair(maker, other)).or_insert(Opened { room, asking: 0, making: false });
        self.pairs.insert(room, (maker, other));
    }

    /// One room less is being made for an account.
    fn made_or_not(&mut self, user: UserId) {
        match self.making.get_mut(&user) {
            Some(1) | None => _ = self.making.remove(&user),
            Some(count) => *count -= 1,
        }
    }

    /// Start-up: who made a room joined it at its second place, the other at its third.
    pub fn restore(&mut self, room: RoomId, people: &[(UserId, Person)]) {
        let at = |seq| people.iter().find(|(_, person)| person.joined() == Some(Seq(seq)));
        if let (Some((maker, _)), Some((other, _))) = (at(2), at(3)) {
            self.put(room, *maker, *other);
        }
    }

    /// The other one of a room's two, and whether it made the room.
    pub fn other(&self, room: RoomId, one: UserId) -> Option<(UserId, bool)> {
        let (maker, other) = *self.pairs.get(&room)?;
        Some(if one == maker { (other, false) } else { (maker, true) })
    }
}

impl Rooms {
    /// The other one of a direct room's two with the name that it had when the room was made.
    pub(super) fn with(&self, room: RoomId, one: UserId) -> Option<(UserId, Username)> {
        let (other, made_it) = self.direct.other(room, one)?;
        let names = lock(&self.get(room)?.name).clone();
        let (maker, invited) = names.as_str().split_once(' ')?;
        let name = if made_it { maker } else { invited };
        Some((other, Username::stored(name).ok()?))
    }
}

impl Directory {
    /// Who is named no more.
    pub fn leavers(&self) -> &Arc<Leavers> {
        &self.leavers
    }

    /// What a room is called.
    pub fn name(&self, room: RoomId) -> Option<RoomName> {
        self.read().get(room).map(|entry| lock(&entry.name).clone())
    }

    /// One that is named no more is about to be forgotten: its direct rooms are not called by it either.
    pub fn name_no_more(&self, who: &Author) {
        let own = {
            let belonging = self.belonging(who.id);
            belonging.get(&who.id).map(|it| it.rooms.clone()).unwrap_or_default()
        };
        let rooms = self.read();
        for room in own.iter().map(|place| place.room()) {
            if let Some(entry) = rooms.get(room).filter(|_| rooms.direct.pairs.contains_key(&room))
            {
                let mut name = lock(&entry.name);
                if let Some(without) = name.without(|name| name == who.name.as_str()) {
                    *name = without;
                }
            }
        }
    }

    /// The direct room of these two, or a number for it.
    pub fn open(
        self: &Arc<Self>,
        maker: UserId,
        other: UserId,
    ) -> Result<(RoomId, Held), Rejection> {
        let mut rooms = self.write();
        if let Some(opened) = rooms.direct.by_pair.get_mut(&pair(maker, other)) {
            opened.asking += 1;
            return Ok((opened.room, Held::direct(self, opened.room)));
        }
        // Under the lock: however many are asked for at once, no more are made than one may have. Nobody
        // takes this lock who holds that of an account's rooms.
        let full = [maker, other].iter().any(|user| {
            let making = rooms.direct.making.get(user).copied().unwrap_or(0);
            self.direct_of(*user) + making >= self.rooms_per_user_max
        });
        if full || rooms.len >= self.rooms_max as usize {
            return Err(Rejection::LimitReached);
        }
        let room = rooms.next_number()?;
        rooms.direct.put(room, maker, other);
        if let Some(opened) = rooms.direct.by_pair.get_mut(&pair(maker, other)) {
            (opened.asking, opened.making) = (1, true);
        }
        for user in [maker, other] {
            *rooms.direct.making.entry(user).or_default() += 1;
        }
        Ok((room, Held::direct(self, room)))
    }

    /// Whoever asked for a direct room is answered. One that was not made gives its number back.
    pub(super) fn opened(&self, room: RoomId) {
        let mut rooms = self.write();
        let Some((maker, other)) = rooms.direct.pairs.get(&room).copied() else { return };
        let made = rooms.get(room).is_some();
        let Some(opened) = rooms.direct.by_pair.get_mut(&pair(maker, other)) else { return };
        opened.asking = opened.asking.saturating_sub(1);
        let answered = opened.asking == 0;
        if answered && std::mem::take(&mut opened.making) {
            for user in [maker, other] {
                rooms.direct.made_or_not(user);
            }
        }
        if answered && !made {
            rooms.direct.by_pair.remove(&pair(maker, other));
            rooms.direct.pairs.remove(&room);
            rooms.len -= 1;
        }
    }

    /// The other one of a direct room's two, as one of them is shown it.
    pub fn with(&self, room: RoomId, one: UserId) -> Option<(UserId, Username)> {
        let (other, name) = self.read().with(room, one)?;
        Some((other, self.leavers.called(other, name)))
    }

    /// The two of a direct room.
    pub fn pair(&self, room: RoomId) -> Option<(UserId, UserId)> {
        self.read().direct.pairs.get(&room).copied()
    }

    /// The room of these two, if they have one.
    pub fn between(&self, one: UserId, other: UserId) -> Option<RoomId> {
        let rooms = self.read();
        let room = rooms.direct.by_pair.get(&pair(one, other))?.room;
        rooms.get(room).map(|_| room)
    }

    /// Whether a room is of two.
    pub fn is_direct(&self, room: RoomId) -> bool {
        self.read().direct.pairs.contains_key(&room)
    }

    /// Whether two belong to one room that is not theirs alone.
    pub fn share_a_room(&self, one: UserId, other: UserId) -> bool {
        let of = |user| -> Vec<Place> {
            let belonging = self.belonging(user);
            belonging.get(&user).map(|it| it.rooms.clone()).unwrap_or_default()
        };
        let (few, many) = (of(one), of(other));
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        few.iter().map(|place| place.room()).any(|room| {
            let shared = many.binary_search_by_key(&room, |place| place.room()).is_ok();
            shared && !rooms.direct.pairs.contains_key(&room)
        })
    }

    fn direct_of(&self, user: UserId) -> usize {
        let belonging = self.belonging(user);
        belonging.get(&user).map_or(0, |it| it.direct as usize)
    }
}

#[cfg(test)]
mod tests {
    use throng_core::Limits;

    use super::*;

    fn user(number: u64) -> UserId {
        UserId::new(number).unwrap()
    }

    #[test]
    fn two_have_one_room_however_they_ask_and_a_number_that_nobody_made_is_given_back() {
        let directory = Arc::new(Directory::new(&Limits { rooms_max: 1, ..Limits::default() }));
        let (room, first) = directory.open(user(1), user(2)).unwrap();
        let (same, second) = directory.open(user(2), user(1)).unwrap();
        assert_eq!(room, same);
        assert!(matches!(directory.open(user(1), user(3)), Err(Rejection::LimitReached)));
        drop(first);
        assert!(directory.is_direct(room), "somebody still asks for it");
        drop(second);
        assert!(!directory.is_direct(room));
        assert!(directory.open(user(1), user(3)).is_ok(), "there is place again");
    }

    #[test]
    fn however_many_are_asked_for_at_once_no_more_are_made_than_one_may_have() {
        let limits = Limits { rooms_per_user_max: 2, ..Limits::default() };
        let directory = Arc::new(Directory::new(&limits));
        let (_, first) = directory.open(user(1), user(2)).unwrap();
        let (_, _second) = directory.open(user(3), user(1)).unwrap();
        assert!(matches!(directory.open(user(1), user(4)), Err(Rejection::LimitReached)));
        assert!(matches!(directory.open(user(4), user(1)), Err(Rejection::LimitReached)));
        assert!(directory.open(user(2), user(1)).is_ok(), "that one is being made already");
        drop(first);
        assert!(directory.open(user(1), user(4)).is_ok());
        assert!(directory.read().direct.making.len() <= 3, "nobody is kept who makes nothing");
    }
}
