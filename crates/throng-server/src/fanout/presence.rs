//! Who hears a room and who types there, told at most once in a sweep, outside of the room's order.
//!
//! Neighbours: `deliver.rs` says that somebody came, went or types, `deliver/here.rs` counts and writes
//! slice by slice; the server sweeps once a second. It has no timer and reads no clock, and holds nothing
//! of a room in which nothing changes. What is told depends on the room alone: in rooms of at most
//! `pushed_members` members who is there and who types, in larger ones how many.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use throng_core::limits::TYPING_MAX;
use throng_core::{RoomId, UserId};

use crate::clock::Moment;
use crate::pages::Here;
use crate::protocols::{FORMS, Form};

/// Who said that it types is taken to type for so long.
pub const TYPING_FOR: Duration = Duration::from_secs(6);

/// One telling on its way to the listeners of a room.
#[derive(Debug)]
pub struct Notice {
    /// Which room.
    pub room: RoomId,
    pub to: To,
    pub stage: Stage,
}

/// Whom a notice is for.
#[derive(Debug)]
pub enum To {
    /// All who hear the room.
    All,
    /// The listeners that the last one could not be written to.
    Missed(Vec<u32>),
}

/// How far a notice has got. Both stages go through the listeners slice by slice.
#[derive(Debug)]
pub enum Stage {
    /// Who is there is gathered: of an account that hears by several connections, once.
    Count { users: HashSet<UserId>, typists: Vec<UserId>, slots: usize },
    /// It is being told.
    Tell(Telling),
}

/// What is told.
#[derive(Debug)]
pub struct Telling {
    here: Here,
    forms: [Option<Bytes>; FORMS],
    /// Slots of the room that were served, or of the list of those who missed the last one.
    pub served: usize,
    /// Who did not get it, because something waits for its socket.
    pub missed: Vec<u32>,
}

impl Notice {
    /// It has been counted: this is what is so.
    pub fn says(&mut self, here: Here) {
        let forms = [const { None }; FORMS];
        self.stage = Stage::Tell(Telling { here, forms, served: 0, missed: Vec::new() });
    }
}

impl Telling {
    /// The frame, rendered once for each form.
    pub fn frame(&mut self, room: RoomId, form: Form) -> &Bytes {
        self.forms[form.index()].get_or_insert_with(|| {
            let mut bytes = Vec::with_capacity(64);
            form.here(room, &self.here, &mut bytes);
            bytes.into()
        })
    }
}

/// What has changed since the last sweep, and what is being told of it.
#[derive(Debug)]
pub struct Presence {
    /// Anything is told; else nothing is noted.
    on: bool,
    changed: HashSet<RoomId>,
    typing: HashMap<RoomId, Vec<(UserId, Moment)>>,
    /// Direct rooms whose two have been parted since the last sweep.
    parted: HashSet<RoomId>,
    /// Listeners that did not get the newest notice of a room.
    missed: HashMap<RoomId, Vec<u32>>,
    pub notices: VecDeque<Notice>,
}

impl Presence {
    /// Nothing has changed; nothing ever will where it is not `on`.
    pub fn new(on: bool) -> Self {
        Self {
            on,
            changed: HashSet::new(),
            typing: HashMap::new(),
            parted: HashSet::new(),
            missed: HashMap::new(),
            notices: VecDeque::new(),
        }
    }

    /// Somebody came or went.
    pub fn changed(&mut self, room: RoomId) {
        if self.on {
            self.changed.insert(room);
        }
    }

    /// The two of a direct room were parted, or are so no longer.
    pub fn parted(&mut self, room: RoomId) {
        if !self.on {
            return;
        }
        self.typing.remove(&room);
        self.parted.insert(room);
        self.changed.insert(room);
    }

    /// Whether this must be told of two who are parted: once, that nobody is there for the other.
    pub fn was_parted(&mut self, room: RoomId) -> bool {
        self.parted.remove(&room)
    }

    /// Somebody types.
    pub fn types(&mut self, room: RoomId, user: UserId, now: Moment) {
        if !self.on {
            return;
        }
        let typing = self.typing.entry(room).or_default();
        let until = now.plus(TYPING_FOR);
        if let Some((_, known)) = typing.iter_mut().find(|(of, _)| *of == user) {
            *known = until;
        } else if typing.len() < TYPING_MAX {
            typing.push((user, until));
            self.changed.insert(room);
        }
    }

    /// Somebody has said what it typed, or went.
    pub fn typed(&mut self, room: RoomId, user: UserId) {
        if self.typing.is_empty() {
            return;
        }
        let Some(typing) = self.typing.get_mut(&room) else { return };
        let before = typing.len();
        typing.retain(|(of, _)| *of != user);
        if typing.len() < before {
            self.changed.insert(room);
        }
        if typing.is_empty() {
            self.typing.remove(&room);
        }
    }

    /// Puts a notice of each room in which something has changed in line, and one for those who missed
    /// the last one and can be written to again. A room whose last notice is still on its way waits for
    /// the next sweep.
    pub fn sweep(&mut self, now: Moment, listens: impl Fn(RoomId, u32) -> Listens) {
        let changed = &mut self.changed;
        self.typing.retain(|room, typing| {
            let before = typing.len();
            typing.retain(|(_, until)| *until > now);
            if typing.len() < before {
                changed.insert(*room);
            }
            !typing.is_empty()
        });
        let on_its_way: HashSet<RoomId> = self.notices.iter().map(|notice| notice.room).collect();
        let rooms = std::mem::take(&mut self.changed);
        let (wait, tell) = rooms.into_iter().partition::<Vec<_>, _>(|it| on_its_way.contains(it));
        self.changed.extend(wait);
        for room in tell {
            self.missed.remove(&room);
            self.begin(room, To::All);
        }
        let mut again = Vec::new();
        self.missed.retain(|room, keys| {
            if on_its_way.contains(room) {
                return true;
            }
            keys.retain(|key| listens(*room, *key) != Listens::No);
            if keys.iter().any(|key| listens(*room, *key) == Listens::Free) {
                again.push((*room, std::mem::take(keys)));
            }
            !keys.is_empty()
        });
        for (room, keys) in again {
            self.begin(room, To::Missed(keys));
        }
    }

    fn begin(&mut self, room: RoomId, to: To) {
        let typing = self.typing.get(&room).map(Vec::as_slice).unwrap_or_default();
        let mut typists: Vec<UserId> = typing.iter().map(|(user, _)| *user).collect();
        typists.sort_unstable();
        let stage = Stage::Count { users: HashSet::new(), typists, slots: 0 };
        self.notices.push_back(Notice { room, to, stage });
    }

    /// A notice has been told; those who did not get it do so later.
    pub fn told(&mut self, room: RoomId, missed: Vec<u32>) {
        if !missed.is_empty() {
            self.missed.insert(room, missed);
        }
    }
}

/// Whether a listener can be told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listens {
    /// It hears the room no more.
    No,
    /// Its socket has refused something.
    Blocked,
    /// At once.
    Free,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(number: u32) -> RoomId {
        RoomId::new(number).unwrap()
    }

    fn user(number: u64) -> UserId {
        UserId::new(number).unwrap()
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    /// What a sweep puts in line: of each room, who types, and how many it is for if not for all.
    fn sweep(presence: &mut Presence, at: Moment) -> Vec<(RoomId, Vec<UserId>, Option<usize>)> {
        let before = presence.notices.len();
        presence.sweep(at, |_, key| if key < 10 { Listens::Free } else { Listens::Blocked });
        let new = presence.notices.range(before..);
        let said = new.map(|notice| match &notice.stage {
            Stage::Count { typists, .. } => {
                let only = match &notice.to {
                    To::All => None,
                    To::Missed(keys) => Some(keys.len()),
                };
                (notice.room, typists.clone(), only)
            }
            Stage::Tell(_) => panic!("told before it is counted"),
        });
        said.collect()
    }

    /// The same, and it is told at once.
    fn swept(presence: &mut Presence, at: Moment) -> Vec<(RoomId, Vec<UserId>)> {
        let said = sweep(presence, at);
        presence.notices.clear();
        said.into_iter().map(|(room, typists, _)| (room, typists)).collect()
    }

    #[test]
    fn however_many_come_and_go_a_sweep_tells_of_a_room_once() {
        let mut presence = Presence::new(true);
        for _ in 0..1_000 {
            presence.changed(room(1));
        }
        assert_eq!(sweep(&mut presence, at(1)), [(room(1), vec![], None)]);
        presence.changed(room(1));
        assert_eq!(sweep(&mut presence, at(2)), [], "what is being told comes first");
        presence.notices.clear();
        assert_eq!(swept(&mut presence, at(3)).len(), 1, "and it is not forgotten");
        assert_eq!(swept(&mut presence, at(4)), []);
        assert!(presence.changed.is_empty() && presence.changed.capacity() == 0);
    }

    #[test]
    fn who_types_is_told_when_it_begins_and_when_it_ends_and_not_in_between() {
        let mut presence = Presence::new(true);
        presence.types(room(1), user(7), at(0));
        assert_eq!(swept(&mut presence, at(1)), [(room(1), vec![user(7)])]);
        presence.types(room(1), user(7), at(5));
        assert_eq!(swept(&mut presence, at(10)), [], "it still types");
        assert_eq!(swept(&mut presence, at(11)), [(room(1), vec![])]);
        presence.types(room(1), user(7), at(12));
        presence.typed(room(1), user(7));
        assert_eq!(swept(&mut presence, at(13)), [(room(1), vec![])]);
        assert!(presence.typing.is_empty() && presence.changed.is_empty());
    }

    #[test]
    fn where_nothing_is_told_nothing_is_noted() {
        let mut presence = Presence::new(false);
        presence.changed(room(1));
        presence.parted(room(2));
        presence.types(room(3), user(7), at(0));
        presence.typed(room(3), user(7));
        assert_eq!(swept(&mut presence, at(1)), []);
        let Presence { changed, typing, parted, .. } = &presence;
        assert_eq!([changed.len(), typing.len(), parted.len()], [0, 0, 0]);
    }

    #[test]
    fn so_many_type_in_a_room_and_one_more_is_not_noted() {
        let mut presence = Presence::new(true);
        for number in 1..=TYPING_MAX as u64 + 1 {
            presence.types(room(1), user(number), at(0));
        }
        assert_eq!(swept(&mut presence, at(1))[0].1.len(), TYPING_MAX);
        presence.typed(room(1), user(1));
        presence.types(room(1), user(TYPING_MAX as u64 + 1), at(1));
        assert_eq!(swept(&mut presence, at(2))[0].1.len(), TYPING_MAX);
    }

    #[test]
    fn who_missed_a_notice_is_told_alone_once_its_socket_takes_something() {
        let mut presence = Presence::new(true);
        presence.told(room(1), vec![11, 12]);
        assert_eq!(sweep(&mut presence, at(1)), [], "nothing can be written to them");
        presence.told(room(1), vec![5, 12]);
        assert_eq!(sweep(&mut presence, at(2)), [(room(1), vec![], Some(2))]);
        presence.notices.clear();
        presence.told(room(1), vec![12]);
        presence.changed(room(1));
        assert_eq!(sweep(&mut presence, at(3)), [(room(1), vec![], None)], "it is for all");
        assert!(presence.missed.is_empty());
    }
}
