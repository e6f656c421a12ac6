//! Who on this node hears a room: a list of listeners per room, and the rooms of each listener.
//!
//! A listener's slot stays where it is, so that a room of thousands can be gone through in slices
//! while others come and go between them. Neighbours: the fanout owns a hub and is the only one to
//! touch it. It never knows what a listener is; `K` names it.

use core::hash::{BuildHasher, Hash};
use core::mem;
use core::ops::Range;

use alloc::vec::Vec;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::id::{RoomId, Seq};

/// Ends a list of free slots.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
enum Slot<K> {
    Taken { key: K, after: Seq },
    Free { next: u32 },
}

#[derive(Debug)]
struct Listeners<K> {
    slots: Vec<Slot<K>>,
    free: u32,
    len: u32,
}

/// Where one listener of one room stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    room: RoomId,
    slot: u32,
}

/// What a listener hears. Nearly all hear one room on a connection, and pay for no list.
#[derive(Debug)]
enum Heard {
    One(Place),
    Many(Vec<Place>),
}

/// The listeners of every room.
#[derive(Debug)]
pub struct Hub<K> {
    rooms: HashMap<RoomId, Listeners<K>, FixedState>,
    keys: HashMap<K, Heard, FixedState>,
    len: usize,
}

impl<K: Copy + Eq + Hash> Hub<K> {
    /// A hub that nobody listens to. `seed` goes into the maps' hash.
    pub fn new(seed: u64) -> Self {
        let hash = FixedState::with_seed(seed);
        Self { rooms: HashMap::with_hasher(hash.clone()), keys: HashMap::with_hasher(hash), len: 0 }
    }

    /// From now on `key` hears the events of the room after this place. Again: from that place on
    /// instead. Returns whether it is new.
    pub fn subscribe(&mut self, room: RoomId, key: K, after: Seq) -> bool {
        let listening = self.keys.get(&key).and_then(|heard| heard.slot(room));
        let listeners = self.rooms.entry(room).or_insert_with(Listeners::new);
        if let Some(slot) = listening {
            listeners.slots[slot as usize] = Slot::Taken { key, after };
            return false;
        }
        let slot = listeners.take(key, after);
        let place = Place { room, slot };
        self.keys.entry(key).and_modify(|heard| heard.add(place)).or_insert(Heard::One(place));
        self.len += 1;
        true
    }

    /// `key` does not hear the room any more. Returns whether it did.
    pub fn unsubscribe(&mut self, room: RoomId, key: K) -> bool {
        let Some(heard) = self.keys.get_mut(&key) else { return false };
        let Some(slot) = heard.slot(room) else { return false };
        if heard.remove(room) {
            self.keys.remove(&key);
            give_back(&mut self.keys);
        }
        self.release(Place { room, slot });
        true
    }

    /// `key` hears nothing any more. Returns how many rooms it heard.
    pub fn remove(&mut self, key: K) -> usize {
        let Some(heard) = self.keys.remove(&key) else { return 0 };
        give_back(&mut self.keys);
        let places = heard.places();
        for place in places {
            self.release(*place);
        }
        places.len()
    }

    /// The rooms that `key` hears.
    pub fn rooms_of(&self, key: K) -> impl Iterator<Item = RoomId> {
        self.keys.get(&key).into_iter().flat_map(|heard| heard.places().iter().map(|p| p.room))
    }

    /// After which place `key` hears the room, if it does.
    pub fn after(&self, room: RoomId, key: K) -> Option<Seq> {
        let slot = self.keys.get(&key)?.slot(room)?;
        match self.rooms[&room].slots[slot as usize] {
            Slot::Taken { after, .. } => Some(after),
            Slot::Free { .. } => unreachable!("a listener's place is taken"),
        }
    }

    /// The slot in which `key` hears the room, if it does: it is in the slice that has this slot.
    pub fn slot(&self, room: RoomId, key: K) -> Option<usize> {
        self.keys.get(&key)?.slot(room).map(|slot| slot as usize)
    }

    /// How many listen to the room.
    pub fn listeners(&self, room: RoomId) -> usize {
        self.rooms.get(&room).map_or(0, |listeners| listeners.len as usize)
    }

    /// Slots of the room, taken or free: what slices are cut from. May grow between two slices (who
    /// comes then hears later events only), and is 0 when nobody listens any more.
    pub fn slots(&self, room: RoomId) -> usize {
        self.rooms.get(&room).map_or(0, |listeners| listeners.slots.len())
    }

    /// The listeners in these slots, each with the place after which it hears the room: an event at
    /// or below that place is not for it.
    pub fn slice(&self, room: RoomId, slots: Range<usize>) -> impl Iterator<Item = (K, Seq)> {
        let listeners = self.rooms.get(&room).map_or(&[][..], |listeners| &listeners.slots);
        let end = slots.end.min(listeners.len());
        let start = slots.start.min(end);
        listeners[start..end].iter().filter_map(|slot| match slot {
            Slot::Taken { key, after } => Some((*key, *after)),
            Slot::Free { .. } => None,
        })
    }

    /// Subscriptions in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody listens to anything.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn release(&mut self, place: Place) {
        let listeners = self.rooms.get_mut(&place.room).expect("a listener's room is kept");
        listeners.free(place.slot);
        self.len -= 1;
        if listeners.len == 0 {
            self.rooms.remove(&place.room);
            give_back(&mut self.rooms);
        }
    }
}

/// Gives memory back when three quarters of it are idle.
fn give_back<A: Eq + Hash, B, S: BuildHasher>(map: &mut HashMap<A, B, S>) {
    if map.capacity() > 64 && map.len() * 4 < map.capacity() {
        map.shrink_to(map.len() * 2);
    }
}

impl<K: Copy> Listeners<K> {
    fn new() -> Self {
        Self { slots: Vec::new(), free: NONE, len: 0 }
    }

    fn take(&mut self, key: K, after: Seq) -> u32 {
        self.len += 1;
        let taken = Slot::Taken { key, after };
        if self.free == NONE {
            self.slots.push(taken);
            return u32::try_from(self.slots.len() - 1).expect("fewer listeners than 2^32");
        }
        let slot = self.free;
        match mem::replace(&mut self.slots[slot as usize], taken) {
            Slot::Free { next } => self.free = next,
            Slot::Taken { .. } => unreachable!("the list of free slots holds no taken one"),
        }
        slot
    }

    fn free(&mut self, slot: u32) {
        let was = mem::replace(&mut self.slots[slot as usize], Slot::Free { next: self.free });
        assert!(matches!(was, Slot::Taken { .. }), "a slot is freed once");
        self.free = slot;
        self.len -= 1;
    }
}

impl Heard {
    fn places(&self) -> &[Place] {
        match self {
            Self::One(place) => core::slice::from_ref(place),
            Self::Many(places) => places,
        }
    }

    fn slot(&self, room: RoomId) -> Option<u32> {
        self.places().iter().find(|place| place.room == room).map(|place| place.slot)
    }

    fn add(&mut self, place: Place) {
        match self {
            Self::One(first) => *self = Self::Many(alloc::vec![*first, place]),
            Self::Many(places) => places.push(place),
        }
    }

    /// Returns whether nothing is left.
    fn remove(&mut self, room: RoomId) -> bool {
        match self {
            Self::One(_) => true,
            Self::Many(places) => {
                places.retain(|place| place.room != room);
                if let [place] = places[..] {
                    *self = Self::One(place);
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(number: u32) -> RoomId {
        RoomId::new(number).unwrap()
    }

    fn keys(hub: &Hub<u32>, number: u32) -> Vec<u32> {
        hub.slice(room(number), 0..usize::MAX).map(|(key, _)| key).collect()
    }

    #[test]
    fn a_listener_that_subscribes_again_is_told_once_and_from_the_new_place() {
        let mut hub = Hub::new(1);
        assert!(hub.subscribe(room(1), 7, Seq(3)));
        assert!(!hub.subscribe(room(1), 7, Seq(9)));
        assert_eq!(hub.slice(room(1), 0..10).collect::<Vec<_>>(), [(7, Seq(9))]);
        assert_eq!((hub.len(), hub.listeners(room(1))), (1, 1));
        assert_eq!(hub.after(room(1), 7), Some(Seq(9)));
    }

    #[test]
    fn slots_stay_while_others_come_and_go() {
        let mut hub = Hub::new(1);
        for key in 0..10 {
            hub.subscribe(room(1), key, Seq::ZERO);
        }
        let first: Vec<_> = hub.slice(room(1), 0..5).map(|(key, _)| key).collect();
        for key in [1, 3, 7] {
            assert!(hub.unsubscribe(room(1), key));
            assert!(!hub.unsubscribe(room(1), key));
        }
        hub.subscribe(room(1), 20, Seq(1));
        let second: Vec<_> = hub.slice(room(1), 5..hub.slots(room(1))).collect();
        assert_eq!(first, [0, 1, 2, 3, 4]);
        let newcomer = (20, Seq(1)); // In the slot of 7; what is being told is not after its place.
        assert_eq!(second, [(5, Seq(0)), (6, Seq(0)), newcomer, (8, Seq(0)), (9, Seq(0))]);
        assert_eq!(hub.slots(room(1)), 10, "freed slots are used again");
    }

    #[test]
    fn a_listener_that_goes_is_gone_from_all_its_rooms() {
        let mut hub = Hub::new(1);
        for number in 1..=5 {
            hub.subscribe(room(number), 1, Seq::ZERO);
            hub.subscribe(room(number), 2, Seq::ZERO);
        }
        assert!(hub.unsubscribe(room(5), 1));
        assert_eq!(hub.rooms_of(1).count(), 4);
        assert_eq!(hub.remove(1), 4);
        assert_eq!(hub.remove(1), 0);
        assert_eq!(hub.len(), 5);
        for number in 1..=5 {
            assert_eq!(keys(&hub, number), [2]);
        }
        assert_eq!(hub.remove(2), 5);
        assert!(hub.is_empty());
        assert_eq!(hub.slots(room(1)), 0);
    }

    #[test]
    fn a_room_that_nobody_hears_costs_nothing() {
        let mut hub = Hub::new(1);
        for number in 1..=10_000 {
            hub.subscribe(room(number), number, Seq::ZERO);
        }
        for number in 1..=10_000 {
            hub.remove(number);
        }
        assert!(hub.rooms.is_empty() && hub.keys.is_empty());
        assert!(hub.rooms.capacity() < 128 && hub.keys.capacity() < 128);
    }

    #[test]
    fn a_listener_takes_sixteen_bytes_in_its_room_and_thirty_two_in_the_index() {
        assert_eq!(size_of::<Slot<u32>>(), 16);
        assert!(size_of::<(u32, Heard)>() <= 32);
    }
}
