//! The key of a message in the index: its second, a hint at its room, and a tie.
//!
//! Neighbours: `index.rs` writes under these keys, `haul.rs` walks along them. The newest come first,
//! because FTS5 walks forwards only and it is the newest that are asked for; the hint lets a walk pass
//! over rooms that the asker is not in without a look at the row. A key names a place to look at: what
//! is there says itself which message it is.

use throng_core::{RoomId, Seq, Timestamp};

/// Bits of the second: until 2088.
const SECOND_BITS: u32 = 31;
/// Bits of the hint.
const HINT_BITS: u32 = 17;
/// Bits of the tie: messages of a second that rooms of one hint have a place for.
const TIE_BITS: u32 = 63 - SECOND_BITS - HINT_BITS;
/// The beginning of 2020, from which seconds are counted.
const BEGIN: u64 = 1_577_836_800;
const SECOND_MAX: u64 = (1 << SECOND_BITS) - 1;
const TIE_MAX: u64 = (1 << TIE_BITS) - 1;
/// Keys that a message may stand under, one after the other: another one may be there before it.
pub const PLACES: i64 = 8;

fn second(at: Timestamp) -> u64 {
    (at.0 / 1_000).saturating_sub(BEGIN).min(SECOND_MAX)
}

/// The first key that a message may stand under.
pub fn first(room: RoomId, seq: Seq, at: Timestamp) -> i64 {
    let tie = TIE_MAX - PLACES as u64 - seq.0 % (TIE_MAX - PLACES as u64);
    let age = SECOND_MAX - second(at);
    (age << (HINT_BITS + TIE_BITS) | u64::from(hint(room)) << TIE_BITS | tie) as i64
}

/// What a key tells of a room.
pub fn hint(room: RoomId) -> u32 {
    room.get() & ((1 << HINT_BITS) - 1)
}

/// The hint in a key.
pub fn hint_of(key: i64) -> u32 {
    (key >> TIE_BITS) as u32 & ((1 << HINT_BITS) - 1)
}

/// How old a key says that it is: the older, the more.
pub fn age(key: i64) -> i64 {
    key >> (HINT_BITS + TIE_BITS)
}

/// The keys of all messages from one time to another; those of the first and the last second stand in
/// it whole.
pub fn span(since: Option<Timestamp>, until: Option<Timestamp>) -> (i64, i64) {
    let age = |at| (SECOND_MAX - second(at)) as i64;
    let newest = until.map_or(0, |until| age(until) << (HINT_BITS + TIE_BITS));
    let oldest = since.map_or(i64::MAX, |since| {
        age(since) << (HINT_BITS + TIE_BITS) | ((1 << (HINT_BITS + TIE_BITS)) - 1)
    });
    (newest, oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(number: u32) -> RoomId {
        RoomId::new(number).unwrap()
    }

    fn at(second: u64) -> Timestamp {
        Timestamp((BEGIN + second) * 1_000 + 999)
    }

    #[test]
    fn the_newest_come_first_and_among_those_of_a_second_and_room_the_last_said() {
        let keys = [(1, 5, 100), (1, 4, 100), (1, 3, 99), (2, 9, 1), (2, 8, 0)];
        let keys = keys.map(|(number, seq, second)| first(room(number), Seq(seq), at(second)));
        assert!(keys.is_sorted() && keys[0] > 0);
        assert_eq!(age(keys[0]) + 99, age(keys[3]));
    }

    #[test]
    fn a_key_stays_in_its_second_and_room_wherever_its_message_stands() {
        for number in [1, 77, 1 << HINT_BITS, throng_core::id::ROOM_ID_MAX] {
            for seq in [1, TIE_MAX - 9, TIE_MAX - 8, TIE_MAX, TIE_MAX + 1, throng_core::id::SEQ_MAX]
            {
                let key = first(room(number), Seq(seq), at(5));
                let last = key + PLACES - 1;
                assert_eq!((age(last), hint_of(last)), (age(key), hint(room(number))));
            }
        }
        assert_eq!(hint(room(1)), hint(room((1 << HINT_BITS) + 1)), "it is a hint, no more");
    }

    #[test]
    fn a_span_has_every_message_of_its_times() {
        let (newest, oldest) = span(Some(at(10)), Some(at(20)));
        for (second, inside) in [(9, false), (10, true), (15, true), (20, true), (21, false)] {
            let key = first(room(3), Seq(1), at(second));
            assert_eq!((newest..=oldest).contains(&key), inside, "{second}");
        }
        let all = [Timestamp(0), at(0), at(SECOND_MAX), Timestamp(u64::MAX)];
        let (newest, oldest) = span(None, None);
        assert!(all.iter().all(|at| (newest..=oldest).contains(&first(room(1), Seq(1), *at))));
        let (newest, oldest) = span(Some(Timestamp(u64::MAX)), None);
        assert!(newest <= oldest && !(newest..=oldest).contains(&first(room(1), Seq(1), at(5))));
    }
}
