//! What the directory lets through, and what it tells.

use super::*;
use crate::pages::Listed;
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
    let list = directory.list(user(1), &Listed::default());
    assert_eq!((list.rooms[0].members, list.rooms[0].head), (0, Seq(3)));
}

#[test]
fn the_list_comes_in_pages_by_number() {
    let directory = Arc::new(Directory::new(&Limits::default()));
    for number in 0..5 {
        make(&directory, &format!("room {number}"), 1 + number % 2);
    }
    let page = directory.list(user(1), &Listed { limit: 2, ..Listed::default() });
    let numbers: Vec<u32> = page.rooms.iter().map(|room| room.room.get()).collect();
    assert_eq!((numbers, page.next), (vec![1, 2], RoomId::new(2)));
    let page = directory.list(user(1), &Listed { after: 2, limit: 3, ..Listed::default() });
    assert_eq!((page.rooms.len(), page.next), (3, None));
    let mine = directory.list(user(1), &Listed { mine: true, ..Listed::default() });
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

fn rename(directory: &Directory, room: RoomId, seq: u64, name: &str) {
    let name = Some(RoomName::parse(name).unwrap());
    let settings = Box::new(throng_core::Settings { name, ..Default::default() });
    directory.update(&[event(room, seq, EventKind::Set { by: author(1), settings })]);
}

#[test]
fn a_room_is_renamed_by_who_may_and_its_old_name_is_free_again() {
    let directory = Arc::new(Directory::new(&Limits::default()));
    let (tea, hall) = (make(&directory, "Tea", 1), make(&directory, "Hall", 1));
    let name = |text| RoomName::parse(text).unwrap();
    let held = directory.rename(user(1), tea, &name("Tea house")).unwrap();
    let taken = |directory: &Arc<Directory>, text| {
        matches!(directory.reserve(&name(text), Kind::Public), Err(Rejection::RoomNameTaken))
    };
    assert!(taken(&directory, "tea HOUSE"), "it is kept while that is decided");
    assert!(taken(&directory, "tea"), "and so is the one it has");
    rename(&directory, tea, 3, "Tea house");
    drop(held);
    assert_eq!(directory.name(tea), Some(name("Tea house")));
    assert!(taken(&directory, "tea house"));
    assert!(!taken(&directory, "Tea"));
    let other = directory.rename(user(1), hall, &name("TEA house"));
    assert!(matches!(other, Err(Rejection::RoomNameTaken)));
    let stranger = directory.rename(user(2), hall, &name("Tea house"));
    assert!(matches!(stranger, Err(Rejection::NotMember)), "and not that it is taken");
}

#[test]
fn a_renaming_that_came_to_nothing_frees_the_name_but_for_one_who_asks_yet() {
    let directory = Arc::new(Directory::new(&Limits::default()));
    let tea = make(&directory, "Tea", 1);
    let name = |text| RoomName::parse(text).unwrap();
    let free = |text| directory.reserve(&name(text), Kind::Public).is_ok();
    let (first, second) = (
        directory.rename(user(1), tea, &name("Den")).unwrap(),
        directory.rename(user(1), tea, &name("Den")).unwrap(),
    );
    drop(first);
    assert!(!free("den"), "it is asked for yet");
    drop(second);
    assert!(free("den"));
    // To the name that it has, in other letters; and back and forth.
    let held = directory.rename(user(1), tea, &name("TEA")).unwrap();
    drop(held);
    assert!(!free("tea"), "the room has it");
    let (to, back) = (
        directory.rename(user(1), tea, &name("Den")).unwrap(),
        directory.rename(user(1), tea, &name("Tea")).unwrap(),
    );
    rename(&directory, tea, 3, "Den");
    rename(&directory, tea, 4, "Tea");
    drop((to, back));
    assert!(free("den") && !free("tea"));
    assert!(directory.read().renaming.is_empty());
}

#[test]
fn names_are_found_among_the_rooms_that_one_is_shown_page_by_page() {
    let directory = Arc::new(Directory::new(&Limits::default()));
    for number in 0..4_500 {
        make(&directory, &format!("room {number}"), 1);
    }
    let cafe = make(&directory, "Caf\u{e9}", 1);
    let named = |text, after, limit| {
        let named = throng_core::NamePart::parse(text).unwrap();
        let asked = Listed { after, limit, mine: false, named };
        let page = directory.list(user(9), &asked);
        let names: Vec<_> = page.rooms.iter().map(|room| room.name.as_str().to_owned()).collect();
        (names, page.next.map(RoomId::get))
    };
    assert_eq!(named("ROOM 7", 0, 2), (vec!["room 7".to_owned(), "room 70".to_owned()], Some(71)));
    assert_eq!(named("room 7", 71, 1), (vec!["room 71".to_owned()], Some(72)));
    // The last name that is looked at for one page, and the one after it.
    let last = throng_core::limits::ROOM_NAMES_LOOKED_AT_MAX as u32;
    let (at, beyond) = (format!("room {}", last - 1), format!("room {last}"));
    assert_eq!(named(&at, 0, 10), (vec![at.clone()], Some(last)));
    assert_eq!(named(&beyond, 0, 10), (vec![], Some(last)));
    assert_eq!(named(&beyond, 1, 10).0, [beyond.as_str()]);
    // What is far behind is found by going on, past pages on which there is nothing.
    let (mut after, mut pages) = (0, Vec::new());
    loop {
        let (found, next) = named("cafe", after, 10);
        pages.push(found.len());
        let Some(next) = next else { break };
        after = next;
    }
    assert_eq!((pages, after), (vec![0, 0, 1], 4_000));
    assert!(cafe.get() > 4_000);
    let mine = Listed { mine: true, ..Default::default() };
    assert_eq!(directory.list(user(9), &mine).rooms.len(), 0);
}

#[test]
fn a_private_room_is_found_by_nobody_who_does_not_see_it_and_a_direct_one_as_the_other() {
    let directory = Arc::new(Directory::new(&Limits::default()));
    let name = RoomName::parse("secret den").unwrap();
    let (room, held) = directory.reserve(&name, Kind::Private).unwrap();
    let created = EventKind::Created { by: author(1), name, kind: Kind::Private };
    directory
        .update(&[event(room, 1, created), event(room, 2, EventKind::Joined { who: author(1) })]);
    drop(held);
    let (direct, held) = directory.open(user(1), user(2)).unwrap();
    let (one, two) = (author(1), author(2));
    let name = RoomName::of_two(&one.name, &two.name);
    directory.update(&[
        event(direct, 1, EventKind::Created { by: one.clone(), name, kind: Kind::Direct }),
        event(direct, 2, EventKind::Joined { who: one }),
        event(direct, 3, EventKind::Joined { who: two }),
    ]);
    drop(held);
    let found = |asker, text| {
        let named = throng_core::NamePart::parse(text).unwrap();
        let asked = Listed { named, ..Default::default() };
        let page = directory.list(user(asker), &asked);
        assert_eq!(page.next, None);
        page.rooms.iter().map(|room| room.room).collect::<Vec<_>>()
    };
    assert_eq!((found(1, "den"), found(2, "den")), (vec![room], vec![]));
    assert_eq!((found(1, "user2"), found(2, "user1")), (vec![direct], vec![direct]));
    assert_eq!((found(1, "user1"), found(3, "user1")), (vec![], vec![]));
}
