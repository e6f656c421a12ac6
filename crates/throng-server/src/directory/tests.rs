//! What the directory lets through, and what it tells.

use super::*;
use throng_core::{Author, Timestamp, Username};

fn author(id: u64) -> Author {
    let name = Username::parse(&format!("user{id}")).unwrap();
    Author { id: UserId::new(id).unwrap(), name }
}

fn event(room: RoomId, seq: u64, kind: EventKind) -> Arc<Event> {
    let (seq, prev) = (Seq(seq), Seq(seq - 1));
    Arc::new(Event { room, seq, prev, pushed: true, at: Timestamp(1), kind })
}

fn make(directory: &Arc<Directory>, name: &str, by: u64) -> RoomId {
    let name = RoomName::parse(name).unwrap();
    let (room, _held) = directory.reserve(&name, Kind::Public).unwrap();
    let created = EventKind::Created { by: author(by), name, kind: Kind::Public };
    let joined = EventKind::Joined { who: author(by) };
    directory.update(&[event(room, 1, created), event(room, 2, joined)]);
    room
}

fn user(id: u64) -> UserId {
    UserId::new(id).unwrap()
}

#[test]
fn a_reserved_name_is_taken_until_it_is_given_back() {
    let directory = Arc::new(Directory::new(&Limits::default()));
    let (name, same) = (RoomName::parse("Tea").unwrap(), RoomName::parse("tEA").unwrap());
    let (first, held) = directory.reserve(&name, Kind::Public).unwrap();
    let again = directory.reserve(&same, Kind::Public);
    assert!(matches!(again, Err(Rejection::RoomNameTaken)));
    drop(held);
    let (second, _held) = directory.reserve(&same, Kind::Public).unwrap();
    assert_ne!(first, second, "a number is not used twice");
    assert!(!directory.exists(second), "it exists once it is committed");
}

#[test]
fn two_public_rooms_never_look_the_same() {
    let directory = Arc::new(Directory::new(&Limits::default()));
    for (first, other) in [
        ("Mall", "MaIl"),
        ("modern", "modem"),
        ("room 1", "room l"),
        ("caf\u{e9}", "CAFE\u{301}"),
        ("\u{440}\u{430}\u{443}", "pay"),
        ("big room", "big\u{2003}room"),
    ] {
        make(&directory, first, 1);
        let other = RoomName::parse(other).unwrap();
        let reserved = directory.reserve(&other, Kind::Public);
        assert!(matches!(reserved, Err(Rejection::RoomNameTaken)), "{first:?} {other:?}");
        assert!(directory.reserve(&other, Kind::Private).is_ok(), "nobody else's business");
    }
    // Given back under all its keys.
    let bail = RoomName::parse("baiI").unwrap();
    drop(directory.reserve(&bail, Kind::Public).unwrap());
    for name in ["bail", "baii"] {
        assert!(directory.reserve(&RoomName::parse(name).unwrap(), Kind::Public).is_ok());
    }
}

#[test]
fn the_limit_of_rooms_holds_from_both_sides() {
    let limits = Limits { rooms_max: 2, ..Limits::default() };
    let directory = Arc::new(Directory::new(&limits));
    make(&directory, "one", 1);
    make(&directory, "two", 1);
    let third = RoomName::parse("three").unwrap();
    let third = directory.reserve(&third, Kind::Public);
    assert!(matches!(third, Err(Rejection::LimitReached)));
}

#[test]
fn joins_under_way_count_against_an_accounts_rooms() {
    let limits = Limits { rooms_per_user_max: 2, ..Limits::default() };
    let directory = Arc::new(Directory::new(&limits));
    let room = make(&directory, "one", 1);
    let held = directory.may_join(user(1), None).unwrap();
    assert!(matches!(directory.may_join(user(1), None), Err(Rejection::LimitReached)));
    drop(directory.may_join(user(1), Some(room)).unwrap());
    drop(held);
    assert!(directory.may_join(user(1), None).is_ok());
}

#[test]
fn who_left_reads_no_more() {
    let directory = Arc::new(Directory::new(&Limits::default()));
    let room = make(&directory, "one", 1);
    assert_eq!(directory.head(user(1), room), Ok(Seq(2)));
    assert_eq!(directory.head(user(2), room), Err(Rejection::NotMember));
    directory.update(&[event(room, 3, EventKind::Left { who: author(1) })]);
    assert_eq!(directory.head(user(1), room), Err(Rejection::NotMember));
    let list = directory.list(user(1), 0, 0, false);
    assert_eq!((list.rooms[0].members, list.rooms[0].head), (0, Seq(3)));
}

#[test]
fn the_list_comes_in_pages_by_number() {
    let directory = Arc::new(Directory::new(&Limits::default()));
    for number in 0..5 {
        make(&directory, &format!("room {number}"), 1 + number % 2);
    }
    let page = directory.list(user(1), 0, 2, false);
    let numbers: Vec<u32> = page.rooms.iter().map(|room| room.room.get()).collect();
    assert_eq!((numbers, page.more), (vec![1, 2], true));
    let page = directory.list(user(1), 2, 3, false);
    assert_eq!((page.rooms.len(), page.more), (3, false));
    let mine = directory.list(user(1), 0, 0, true);
    assert_eq!(mine.rooms.len(), 3);
    assert!(mine.rooms.iter().all(|room| room.member));
}

#[tokio::test]
async fn who_goes_away_before_there_is_place_in_the_queue_keeps_neither_name_nor_place() {
    use crate::fanout::ReplyTo;
    use crate::sequencer::{Item, Submission};

    let limits = Limits { rooms_per_user_max: 1, ..Limits::default() };
    let directory = Arc::new(Directory::new(&limits));
    let name = RoomName::parse("Tea").unwrap();
    let (room, held) = directory.reserve(&name, Kind::Public).unwrap();
    let (name_, kind) = (name.clone(), Kind::Public);
    let command = throng_core::Command::Create { room, name: name_, kind, settings: None };
    let request = throng_core::Request { from: author(1), command };
    let held = vec![held, directory.may_join(user(1), None).unwrap()];
    let queued = crate::clock::Clock::system().now();
    let submission = Submission { request, to: ReplyTo::Nobody, held, queued };
    let (queue, _shard) = tokio::sync::mpsc::channel(1);
    queue.try_send(Item::Stop).unwrap();
    let mut waiting = Box::pin(queue.send(Item::Submit(submission)));
    assert!(polled_once(waiting.as_mut()).is_pending());
    assert!(directory.reserve(&name, Kind::Public).is_err());
    assert!(directory.may_join(user(1), None).is_err());
    drop(waiting);
    assert!(directory.reserve(&name, Kind::Public).is_ok());
    assert!(directory.may_join(user(1), None).is_ok());
}

fn polled_once<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}
