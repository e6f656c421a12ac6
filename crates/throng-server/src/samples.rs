//! Events for the unit tests of the storage rooms: valid, small, and the same every time.

use std::sync::Arc;

use throng_core::{
    Author, Body, Event, EventKind, OriginId, RoomId, RoomName, Seq, Timestamp, UserId, Username,
};

pub fn room(number: u32) -> RoomId {
    RoomId::new(number).unwrap()
}

pub fn author(number: u64) -> Author {
    Author {
        id: UserId::new(number).unwrap(),
        name: Username::parse(&format!("user{number}")).unwrap(),
    }
}

pub fn name(room: RoomId) -> RoomName {
    RoomName::parse(&format!("room {room}")).unwrap()
}

pub fn event(room: RoomId, seq: u64, kind: EventKind) -> Arc<Event> {
    let at = Timestamp(1_760_000_000_000 + seq * 7);
    Arc::new(Event { room, seq: Seq(seq), prev: Seq(seq - 1), pushed: true, at, kind })
}

/// The post at `seq` of a room whose first two events are not posts.
pub fn post(room: RoomId, seq: u64) -> Arc<Event> {
    let kind = EventKind::Posted {
        n: seq - 2,
        author: author(1 + seq % 3),
        origin_id: (!seq.is_multiple_of(4)).then(|| origin(room, seq)),
        body: Body::parse(format!("message {seq} of room {room}")).unwrap(),
    };
    event(room, seq, kind)
}

pub fn origin(room: RoomId, seq: u64) -> OriginId {
    OriginId::parse(format!("o-{room}-{seq}")).unwrap()
}

/// A room's events `from..=to`: made by user 1, who joins it, then posts.
pub fn history(room: RoomId, from: u64, to: u64) -> Vec<Arc<Event>> {
    (from..=to)
        .map(|seq| match seq {
            1 => event(room, 1, EventKind::Created { by: author(1), name: name(room) }),
            2 => event(room, 2, EventKind::Joined { who: author(1) }),
            _ => post(room, seq),
        })
        .collect()
}

/// One of each kind, with the extremes of their fields.
pub fn every_kind() -> Vec<Arc<Event>> {
    let mut events = history(room(1), 1, 5);
    events.push(event(room(1), 6, EventKind::Left { who: author(1) }));
    let far = Event {
        room: room(throng_core::id::ROOM_ID_MAX),
        seq: Seq(throng_core::id::SEQ_MAX),
        prev: Seq(0),
        pushed: false,
        at: Timestamp(u64::MAX),
        kind: EventKind::Posted {
            n: u64::MAX,
            author: author(i64::MAX as u64),
            origin_id: None,
            body: Body::parse("ö".repeat(4096)).unwrap(),
        },
    };
    events.push(Arc::new(far));
    events.push(event(room(2), 1, EventKind::Created { by: author(2), name: name(room(2)) }));
    events
}
