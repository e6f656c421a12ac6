//! Random comings and goings against a plain set of (room, listener).

use std::collections::BTreeMap;

use rand::RngExt;
use throng_core::Seq;
use throng_core::hub::Hub;

use crate::histories::room;
use crate::seeds;

#[test]
fn a_hub_holds_what_a_plain_set_holds() {
    seeds::each("a_hub_holds_what_a_plain_set_holds", 200, |rng| {
        let mut hub = Hub::new(rng.random());
        let mut set: BTreeMap<(u32, u32), Seq> = BTreeMap::new();
        let (rooms, keys) = (rng.random_range(1..8), rng.random_range(1..40));
        for _ in 0..rng.random_range(0..400) {
            let (number, key) = (rng.random_range(1..=rooms), rng.random_range(0..keys));
            match rng.random_range(0..10) {
                0..6 => {
                    let after = Seq(rng.random_range(0..100));
                    let new = set.insert((number, key), after).is_none();
                    assert_eq!(hub.subscribe(room(number), key, after), new);
                }
                6..9 => {
                    let was = set.remove(&(number, key)).is_some();
                    assert_eq!(hub.unsubscribe(room(number), key), was);
                }
                _ => {
                    let before = set.len();
                    set.retain(|(_, other), _| *other != key);
                    assert_eq!(hub.remove(key), before - set.len());
                }
            }
            check(&hub, &set, rooms);
        }
    });
}

fn check(hub: &Hub<u32>, set: &BTreeMap<(u32, u32), Seq>, rooms: u32) {
    assert_eq!(hub.len(), set.len());
    for number in 1..=rooms {
        let expected: Vec<_> = set.range((number, 0)..(number + 1, 0)).collect();
        let half = hub.slots(room(number)) / 2;
        let slices = [0..half, half..hub.slots(room(number))];
        let mut heard: Vec<_> =
            slices.into_iter().flat_map(|slots| hub.slice(room(number), slots)).collect();
        heard.sort_unstable();
        let plain: Vec<_> = expected.iter().map(|((_, key), after)| (*key, **after)).collect();
        assert_eq!(heard, plain);
        assert_eq!(hub.listeners(room(number)), expected.len());
    }
    for ((number, key), after) in set {
        assert_eq!(hub.after(room(*number), *key), Some(*after));
        let mut rooms = hub.rooms_of(*key);
        assert!(rooms.any(|heard| heard == room(*number)));
    }
}
