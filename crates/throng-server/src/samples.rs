//! Events for the unit tests of the storage rooms: valid, small, and the same every time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use throng_core::{
    Act, Attachment, Author, Avatar, Body, Event, EventKind, Extras, FileHash, FileId, FileKind,
    FileName, Kind, OriginId, Reaction, RoomId, RoomName, Seq, Settings, Speak, Timestamp, Topic,
    UserId, Username, Visibility, Words,
};

/// Another empty folder inside `folder` at each call: a suite opens its subject many times.
pub fn folders(folder: &Path) -> impl FnMut() -> PathBuf {
    let mut made = 0;
    move || {
        made += 1;
        let inside = folder.join(made.to_string());
        std::fs::create_dir(&inside).unwrap();
        inside
    }
}

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
        extras: None,
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
            1 => event(
                room,
                1,
                EventKind::Created { by: author(1), name: name(room), kind: Kind::Public },
            ),
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
            extras: Extras::parse(throng_core::id::SEQ_MAX, &(1..=50).collect::<Vec<_>>()).unwrap(),
        },
    };
    events.push(Arc::new(far));
    events.push(carrying(room(1), 7, &[file(1), file(2)]));
    events.push(blank(room(1), 8));
    let kind = Kind::Private;
    events.push(event(room(2), 1, EventKind::Created { by: author(2), name: name(room(2)), kind }));
    let (name, kind) = (RoomName::of_two(&author(2).name, &author(3).name), Kind::Direct);
    events.push(event(room(3), 1, EventKind::Created { by: author(2), name, kind }));
    let by = || author(1);
    let mut kinds = vec![
        EventKind::Edited { by: by(), of: Seq(3), body: Body::parse("better").unwrap() },
        EventKind::Edited { by: by(), of: Seq(8), body: Body::beside_files("").unwrap() },
        EventKind::Deleted { by: by(), of: Seq(3), whose: None },
        EventKind::Deleted { by: by(), of: Seq(3), whose: Some(author(i64::MAX as u64)) },
    ];
    for (on, count) in [(true, u32::MAX), (true, 1), (false, 0)] {
        let reaction = Reaction::parse("👩\u{200d}🚀").unwrap();
        kinds.push(EventKind::Reacted { by: by(), of: Seq(3), reaction, on, count });
        kinds.push(EventKind::Pinned { by: by(), of: Seq(3), on });
    }
    let roles = throng_core::Role::ALL.map(Act::SetRole);
    let acts = [
        Act::Kick,
        Act::Ban,
        Act::Unban,
        Act::Mute,
        Act::Unmute,
        Act::Voice,
        Act::Unvoice,
        Act::Invite,
        Act::DeleteAll,
    ];
    for act in acts.into_iter().chain(roles) {
        kinds.push(EventKind::Moderated { by: by(), who: author(i64::MAX as u64), act });
    }
    for settings in every_setting() {
        kinds.push(EventKind::Set { by: by(), settings: Box::new(settings) });
    }
    let kinds = kinds.into_iter().zip(7..);
    events.extend(kinds.map(|(kind, seq)| event(room(1), seq, kind)));
    events
}

/// Each setting at each of its values, alone, and all at once.
pub fn every_setting() -> Vec<Settings> {
    let none = Settings::default;
    let mut all = Vec::new();
    for speak in [Speak::Everyone, Speak::Members, Speak::Voiced] {
        all.push(Settings { speak: Some(speak), ..none() });
    }
    for history in [Visibility::Members, Visibility::Joining, Visibility::All] {
        all.push(Settings { history: Some(history), ..none() });
    }
    all.push(Settings { name: Some(RoomName::parse("tea house").unwrap()), ..none() });
    for topic in ["", "tea & biscuits"] {
        all.push(Settings { topic: Some(Topic::parse(topic).unwrap()), ..none() });
    }
    for seconds in [0, u32::MAX] {
        all.push(Settings { slow_seconds: Some(seconds), ..none() });
        all.push(Settings { keep_seconds: Some(seconds), ..none() });
        all.push(Settings { delay_seconds: Some(seconds), ..none() });
    }
    for list in [vec![], vec!["spam".to_owned(), "*广告*".to_owned()]] {
        all.push(Settings { words: Some(Words::parse(list).unwrap()), ..none() });
    }
    for avatar in [None, Some(FileHash([7; 32]))] {
        all.push(Settings { avatar: Some(Avatar(avatar)), ..none() });
    }
    all.push(Settings {
        name: Some(RoomName::parse("all").unwrap()),
        topic: Some(Topic::parse("all").unwrap()),
        speak: Some(Speak::Voiced),
        history: Some(Visibility::All),
        slow_seconds: Some(60),
        words: Some(Words::parse(vec!["spam*".to_owned()]).unwrap()),
        keep_seconds: Some(3_600),
        avatar: Some(Avatar(Some(FileHash([9; 32])))),
        delay_seconds: Some(5),
    });
    all
}

/// A file of a message.
pub fn file(number: u8) -> Attachment {
    Attachment {
        id: FileId([number; 16]),
        hash: FileHash([number; 32]),
        kind: FileKind::Png,
        len: u64::from(number) * 1_000,
        size: (640, 480),
        name: FileName::parse("cat & dog.png").unwrap(),
    }
}

/// A post that carries files.
pub fn carrying(room: RoomId, seq: u64, files: &[Attachment]) -> Arc<Event> {
    let posted = EventKind::Posted {
        n: seq,
        author: author(1),
        origin_id: None,
        body: Body::parse("look").unwrap(),
        extras: Extras::carrying(0, &[3], files.into()).unwrap(),
    };
    event(room, seq, posted)
}

/// A message of a file alone.
pub fn blank(room: RoomId, seq: u64) -> Arc<Event> {
    let mut event = Arc::unwrap_or_clone(carrying(room, seq, &[file(1)]));
    let EventKind::Posted { body, .. } = &mut event.kind else { unreachable!("it is a post") };
    *body = Body::beside_files("").unwrap();
    Arc::new(event)
}
