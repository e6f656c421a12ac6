//! The two forms say the same: any frame survives either, and both ways around.

mod defaults;
mod held;
mod posts;
mod standings;

use proptest::prelude::*;
use proptest::strategy::Union;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{self, ClientFrame, ServerFrame};
use throng_wire::native::{json, protobuf};

fn text() -> BoxedStrategy<String> {
    prop_oneof!["\\PC{0,40}", any::<String>()].boxed()
}

fn any_position() -> impl Strategy<Value = Option<v1::Position>> {
    prop::option::of(
        (any::<u32>(), any::<u64>()).prop_map(|(epoch, seq)| v1::Position { epoch, seq }),
    )
}

fn any_user() -> impl Strategy<Value = Option<v1::User>> {
    prop::option::of((any::<u64>(), text()).prop_map(|(id, name)| v1::User { id, name }))
}

fn request() -> impl Strategy<Value = Request> {
    let room = any::<u32>();
    let names = || (text(), text());
    Union::new([
        names()
            .prop_map(|(name, password)| {
                let link = name.clone();
                Request::Register(v1::Register { name, password, link })
            })
            .boxed(),
        names().prop_map(|(name, password)| Request::Login(v1::Login { name, password })).boxed(),
        text().prop_map(|token| Request::Authenticate(v1::Authenticate { token })).boxed(),
        Just(Request::Logout(v1::Logout {})).boxed(),
        (room, any::<u64>(), text())
            .prop_map(|(room, seq, body)| Request::Edit(v1::Edit { room, seq, body }))
            .boxed(),
        (room, any::<u64>())
            .prop_map(|(room, seq)| Request::Delete(v1::Delete { room, seq }))
            .boxed(),
        (room, prop_oneof![0..=9, Just(50)], any::<u64>(), text(), 0..=4)
            .prop_map(|(room, act, user, name, role)| {
                Request::Moderate(v1::Moderate { room, act, user, name, role })
            })
            .boxed(),
        (
            (room, any::<[Option<String>; 2]>(), 0..=3, any::<Option<u32>>(), 0..=3),
            prop::option::of(prop::collection::vec(text(), 0..4)),
            any::<[Option<u32>; 2]>(),
        )
            .prop_map(|((room, texts, speak, slow_seconds, history), words, numbers)| {
                let ([topic, name], [keep_seconds, delay_seconds]) = (texts, numbers);
                let words = words.map(|list| v1::Words { list });
                Request::SetRoom(v1::SetRoom {
                    room,
                    topic,
                    speak,
                    slow_seconds,
                    history,
                    words,
                    keep_seconds,
                    name,
                    delay_seconds,
                })
            })
            .boxed(),
        (any::<u32>(), any::<u32>(), any::<bool>(), text())
            .prop_map(|(after, limit, mine, named)| {
                Request::ListRooms(v1::ListRooms { after, limit, mine, named })
            })
            .boxed(),
        room.prop_map(|room| Request::Join(v1::Join { room })).boxed(),
        room.prop_map(|room| Request::Leave(v1::Leave { room })).boxed(),
        posts::any_post().prop_map(Request::Post).boxed(),
        (room, any::<Option<u64>>(), any::<Option<u64>>(), any::<u32>())
            .prop_map(|(room, before, after, limit)| {
                Request::History(v1::History { room, before, after, limit })
            })
            .boxed(),
        (room, any_position())
            .prop_map(|(room, from)| Request::Subscribe(v1::Subscribe { room, from }))
            .boxed(),
        room.prop_map(|room| Request::Unsubscribe(v1::Unsubscribe { room })).boxed(),
        Just(Request::Ping(v1::Ping {})).boxed(),
        about_messages().boxed(),
        about_oneself().boxed(),
        oversight().boxed(),
    ])
}

fn oversight() -> impl Strategy<Value = Request> {
    let room = any::<u32>();
    Union::new([
        held::asked().boxed(),
        standings::asked().boxed(),
        room.prop_map(|room| Request::ListWords(v1::ListWords { room })).boxed(),
        (room, any::<u64>(), text())
            .prop_map(|(room, seq, reason)| Request::Report(v1::Report { room, seq, reason }))
            .boxed(),
        (room, any::<u64>(), any::<u32>(), any::<bool>())
            .prop_map(|(room, after, limit, settled)| {
                Request::ListReports(v1::ListReports { room, after, limit, settled })
            })
            .boxed(),
        (room, any::<u64>(), any::<bool>(), text())
            .prop_map(|(room, report, upheld, note)| {
                Request::SettleReport(v1::SettleReport { room, report, upheld, note })
            })
            .boxed(),
        (room, any::<u64>(), any::<u32>())
            .prop_map(|(room, before, limit)| {
                Request::ListAudit(v1::ListAudit { room, before, limit })
            })
            .boxed(),
        (any::<u64>(), text())
            .prop_map(|(user, name)| Request::Block(v1::Block { user, name }))
            .boxed(),
        (any::<u64>(), text())
            .prop_map(|(user, name)| Request::Unblock(v1::Unblock { user, name }))
            .boxed(),
        (any::<u64>(), any::<u32>())
            .prop_map(|(after, limit)| Request::ListBlocked(v1::ListBlocked { after, limit }))
            .boxed(),
    ])
}

fn about_messages() -> impl Strategy<Value = Request> {
    let room = any::<u32>();
    Union::new([
        (room, any::<u64>(), text(), any::<bool>())
            .prop_map(|(room, seq, reaction, on)| {
                if on {
                    Request::React(v1::React { room, seq, reaction })
                } else {
                    Request::Unreact(v1::Unreact { room, seq, reaction })
                }
            })
            .boxed(),
        (room, any::<u64>(), any::<bool>())
            .prop_map(|(room, seq, on)| {
                if on {
                    Request::Pin(v1::Pin { room, seq })
                } else {
                    Request::Unpin(v1::Unpin { room, seq })
                }
            })
            .boxed(),
        (room, any::<u64>(), any::<u32>())
            .prop_map(|(room, after, limit)| Request::Pins(v1::Pins { room, after, limit }))
            .boxed(),
        (text(), any::<[u32; 3]>(), any::<[u64; 3]>(), any::<bool>())
            .prop_map(|(query, [room, skip, limit], [sender, since, until], newest)| {
                Request::Search(v1::Search {
                    query,
                    room,
                    sender,
                    since,
                    until,
                    newest,
                    skip,
                    limit,
                })
            })
            .boxed(),
    ])
}

fn about_oneself() -> impl Strategy<Value = Request> {
    let room = any::<u32>();
    Union::new([
        room.prop_map(|room| Request::Typing(v1::Typing { room })).boxed(),
        (room, any::<u64>(), any::<u32>())
            .prop_map(|(room, after, limit)| Request::Members(v1::Members { room, after, limit }))
            .boxed(),
        (any::<u64>(), text())
            .prop_map(|(user, name)| Request::OpenDirect(v1::OpenDirect { user, name }))
            .boxed(),
        (room, any::<u64>()).prop_map(|(room, seq)| Request::Read(v1::Read { room, seq })).boxed(),
        (room, 0..=2)
            .prop_map(|(room, level)| Request::SetLevel(v1::SetLevel { room, level }))
            .boxed(),
        any::<[u32; 2]>()
            .prop_map(|[after, limit]| Request::Unread(v1::Unread { after, limit }))
            .boxed(),
        Just(Request::Contacts(v1::Contacts {})).boxed(),
        (0..=2).prop_map(|writers| Request::SetContacts(v1::SetContacts { writers })).boxed(),
        defaults::asked().boxed(),
    ])
}

fn client_frame() -> impl Strategy<Value = ClientFrame> {
    (any::<u32>(), prop::option::of(request()))
        .prop_map(|(id, request)| ClientFrame { id, request })
}

fn attachment() -> impl Strategy<Value = v1::Attachment> {
    ([text(), text(), text(), text()], any::<u64>(), any::<[u32; 2]>()).prop_map(
        |([id, name, r#type, hash], bytes, [width, height])| v1::Attachment {
            id,
            name,
            r#type,
            bytes,
            hash,
            width,
            height,
        },
    )
}

fn reaction_count() -> impl Strategy<Value = v1::ReactionCount> {
    (text(), any::<u32>(), any::<bool>(), any::<u64>())
        .prop_map(|(reaction, count, mine, seq)| v1::ReactionCount { reaction, count, mine, seq })
}

fn message() -> impl Strategy<Value = v1::Message> {
    (
        (any::<u64>(), any_user(), text(), text(), any::<u64>(), any::<bool>()),
        any::<u64>(),
        prop::collection::vec(any::<u64>(), 0..4),
        prop::collection::vec(reaction_count(), 0..3),
        prop::collection::vec(attachment(), 0..3),
    )
        .prop_map(|(told, in_reply_to, mentioned, reactions, attachments)| {
            let (n, from, origin_id, body, edited, deleted) = told;
            v1::Message {
                n,
                from,
                origin_id,
                body,
                edited,
                deleted,
                in_reply_to,
                mentioned,
                reactions,
                attachments,
            }
        })
}

fn event() -> impl Strategy<Value = v1::Event> {
    let what = Union::new([
        message().prop_map(What::Message).boxed(),
        (any_user(), any::<u64>(), text(), any::<bool>(), any::<u32>())
            .prop_map(|(by, of, reaction, removed, count)| {
                What::Reaction(v1::Reaction { by, of, reaction, removed, count })
            })
            .boxed(),
        (any_user(), any::<u64>(), any::<bool>())
            .prop_map(|(by, of, removed)| What::Pinned(v1::Pinned { by, of, removed }))
            .boxed(),
        (any_user(), any::<u64>(), text(), any::<bool>())
            .prop_map(|(by, of, body, deleted)| What::Edited(v1::Edited { by, of, body, deleted }))
            .boxed(),
        (any_user(), any::<u64>())
            .prop_map(|(by, of)| What::Deleted(v1::Deleted { by, of }))
            .boxed(),
        (any_user(), any_user(), prop_oneof![0..=9, Just(50)], 0..=4)
            .prop_map(|(by, user, act, role)| {
                What::Moderated(v1::Moderated { by, user, act, role })
            })
            .boxed(),
        any_set().boxed(),
        any_user().prop_map(|user| What::Joined(v1::MemberJoined { user })).boxed(),
        any_user().prop_map(|user| What::Left(v1::MemberLeft { user })).boxed(),
        (any_user(), text(), 0..=1)
            .prop_map(|(by, name, kind)| What::Created(v1::RoomCreated { by, name, kind }))
            .boxed(),
    ]);
    (any::<u32>(), any::<[u64; 3]>(), prop::option::of(what))
        .prop_map(|(room, [seq, prev, at], what)| v1::Event { room, seq, prev, at, what })
}

fn any_set() -> impl Strategy<Value = What> {
    let texts = any::<[Option<String>; 3]>();
    (any_user(), texts, 0..=3, any::<[Option<u32>; 4]>(), 0..=3).prop_map(
        |(by, [topic, avatar, name], speak, numbers, history)| {
            let [slow_seconds, words, keep_seconds, delay_seconds] = numbers;
            What::Set(v1::RoomSet {
                by,
                topic,
                speak,
                slow_seconds,
                history,
                words,
                keep_seconds,
                avatar,
                delay_seconds,
                name,
            })
        },
    )
}

/// What an unread room is made of.
type Counts = ([u64; 3], [u32; 2], i32);

fn outcome() -> impl Strategy<Value = Outcome> {
    let (room, flag) = (any::<u32>(), any::<bool>());
    Union::new([
        (room, text(), text(), any::<Option<u32>>())
            .prop_map(|(code, name, text, retry_after_ms)| {
                Outcome::Rejected(v1::Rejected { code, name, text, retry_after_ms })
            })
            .boxed(),
        (any_user(), text())
            .prop_map(|(user, token)| Outcome::Session(v1::Session { user, token }))
            .boxed(),
        (prop::collection::vec(any_room(), 0..4), flag, any::<Option<u32>>())
            .prop_map(|(rooms, more, next)| Outcome::Rooms(v1::Rooms { rooms, more, next }))
            .boxed(),
        (room, any::<u64>(), any_position(), flag)
            .prop_map(|(room, seq, position, already)| {
                Outcome::Joined(v1::Joined { room, seq, position, already })
            })
            .boxed(),
        (room, any::<u64>(), 0..=9)
            .prop_map(|(room, seq, act)| Outcome::Left(v1::Left { room, seq, act }))
            .boxed(),
        (room, any::<[u64; 2]>(), flag)
            .prop_map(|(room, [seq, at], already)| {
                Outcome::Applied(v1::Applied { room, seq, at, already })
            })
            .boxed(),
        (room, any::<[u64; 3]>(), flag, 0..=1, posts::any_trace())
            .prop_map(|(room, [seq, n, at], repeat, ack, trace)| {
                Outcome::Posted(v1::Posted { room, seq, n, at, repeat, ack, trace })
            })
            .boxed(),
        (room, prop::collection::vec(event(), 0..4), flag)
            .prop_map(|(room, events, more)| Outcome::Page(v1::Page { room, events, more }))
            .boxed(),
        (prop::collection::vec(hit(), 0..3), any::<[u32; 2]>(), any::<[bool; 2]>())
            .prop_map(|(hits, [total, next], [more, behind])| {
                Outcome::Found(v1::Found { hits, total, more, next, behind })
            })
            .boxed(),
        (room, any_position())
            .prop_map(|(room, position)| Outcome::Subscribed(v1::Subscribed { room, position }))
            .boxed(),
        overseen().boxed(),
        (prop::collection::vec((any::<[u64; 3]>(), any::<[u32; 2]>(), 0..=2), 0..4), flag)
            .prop_map(|(rooms, more)| {
                let room = |([seq, n, unread], [room, mentions], level): Counts| v1::UnreadRoom {
                    room,
                    seq,
                    n,
                    unread,
                    mentions,
                    level,
                };
                let rooms = rooms.into_iter().map(room).collect();
                Outcome::Unread(v1::UnreadRooms { rooms, more })
            })
            .boxed(),
        standings::members().boxed(),
        standings::outcome().boxed(),
        (0..=2).prop_map(|writers| Outcome::Contacts(v1::ContactsAre { writers })).boxed(),
        Just(Outcome::Done(v1::Done {})).boxed(),
        Just(Outcome::Pong(v1::Pong {})).boxed(),
    ])
}

fn overseen() -> impl Strategy<Value = Outcome> {
    let (room, flag) = (any::<u32>(), any::<bool>());
    Union::new([
        held::outcome().boxed(),
        defaults::outcome().boxed(),
        (room, prop::collection::vec(text(), 0..4))
            .prop_map(|(room, list)| Outcome::Words(v1::RoomWords { room, list }))
            .boxed(),
        (room, any::<u64>(), flag)
            .prop_map(|(room, report, already)| {
                Outcome::Reported(v1::Reported { room, report, already })
            })
            .boxed(),
        (room, prop::collection::vec(any_report(), 0..3), flag)
            .prop_map(|(room, reports, more)| Outcome::Reports(v1::Reports { room, reports, more }))
            .boxed(),
        (room, prop::collection::vec(any_entry(), 0..3), flag)
            .prop_map(|(room, entries, more)| Outcome::Audit(v1::Audit { room, entries, more }))
            .boxed(),
        (prop::collection::vec(any_user(), 0..3), flag)
            .prop_map(|(users, more)| {
                let users = users.into_iter().flatten().collect();
                Outcome::Blocked(v1::Blocked { users, more })
            })
            .boxed(),
    ])
}

fn any_report() -> impl Strategy<Value = v1::ReportItem> {
    let numbers = (any::<[u64; 3]>(), any::<Option<u64>>(), any::<bool>());
    let people = (any_user(), any_user(), any_user());
    let attachments = prop::collection::vec(attachment(), 0..3);
    (numbers, people, [text(), text(), text()], attachments).prop_map(
        |(
            ([report, at, seq], settled_at, upheld),
            (by, about, settled_by),
            [reason, body, note],
            attachments,
        )| {
            v1::ReportItem {
                report,
                at,
                seq,
                by,
                about,
                reason,
                body,
                settled_at,
                settled_by,
                upheld,
                note,
                attachments,
            }
        },
    )
}

fn any_entry() -> impl Strategy<Value = v1::AuditEntry> {
    (any::<[u64; 3]>(), any_user(), any_user(), text(), text()).prop_map(
        |([entry, at, seq], by, about, what, detail)| v1::AuditEntry {
            entry,
            at,
            by,
            what,
            about,
            detail,
            seq,
        },
    )
}

fn hit() -> impl Strategy<Value = v1::Hit> {
    let piece = (text(), any::<bool>()).prop_map(|(text, matched)| v1::Piece { text, matched });
    (prop::option::of(event()), prop::collection::vec(piece, 0..3))
        .prop_map(|(event, pieces)| v1::Hit { event, pieces })
}

fn any_room() -> impl Strategy<Value = v1::Room> {
    (
        (any::<[u32; 3]>(), any_user(), any::<[Option<u32>; 2]>()),
        text(),
        (text(), text()),
        any::<[u64; 2]>(),
        any::<[bool; 2]>(),
        0..=2,
        0..=3,
        0..=3,
    )
        .prop_map(
            |(
                ([id, members, slow_seconds], with, [keep_seconds, delay_seconds]),
                name,
                (topic, avatar),
                [head, posts],
                [member, invited],
                kind,
                speak,
                history,
            )| {
                v1::Room {
                    id,
                    name,
                    members,
                    head,
                    posts,
                    member,
                    kind,
                    topic,
                    speak,
                    slow_seconds,
                    history,
                    invited,
                    with,
                    keep_seconds,
                    avatar,
                    delay_seconds,
                }
            },
        )
}

fn server_frame() -> impl Strategy<Value = ServerFrame> {
    let limits =
        any::<([u32; 11], [u64; 5], [u32; 7])>().prop_map(|(low, window, high)| v1::Limits {
            frame_bytes: low[0],
            body_bytes: low[1],
            sends_per_second: low[2],
            sends_burst: low[3],
            requests_per_second: low[4],
            requests_burst: low[5],
            page_events: low[6],
            resume_events: low[7],
            outbox_frames: low[8],
            outbox_bytes: low[9],
            pushed_members: low[10],
            origin_window_ms: window[0],
            origin_window_posts: window[1],
            file_bytes: window[2],
            file_bytes_per_user: window[3],
            attachments: high[6],
            guest_ms: window[4],
            ping_interval_ms: high[0],
            ping_timeout_ms: high[1],
            rooms_per_user: high[2],
            members_per_room: high[3],
            message_reactions: high[4],
            room_pins: high[5],
        });
    let frame = Union::new([
        (text(), any::<u32>(), prop::option::of(limits))
            .prop_map(|(server, epoch, limits)| {
                Frame::Welcome(v1::Welcome { server, epoch, limits })
            })
            .boxed(),
        (any::<u32>(), prop::option::of(outcome()))
            .prop_map(|(re, outcome)| Frame::Reply(v1::Reply { re, outcome }))
            .boxed(),
        event().prop_map(Frame::Event).boxed(),
        held::post().prop_map(Frame::HeldPost).boxed(),
        held::unheld().prop_map(Frame::Unheld).boxed(),
        standings::invited().prop_map(Frame::Invited).boxed(),
        (any::<[u32; 4]>(), prop::collection::vec(any::<u64>(), 0..4))
            .prop_map(|([room, members, here, typing], users)| {
                let typists = users.iter().rev().copied().collect();
                Frame::Here(v1::Here { room, members, here, users, typing, typists })
            })
            .boxed(),
        (any::<u32>(), any::<[u64; 2]>())
            .prop_map(|(room, [seq, n])| Frame::Read(v1::ReadTo { room, seq, n }))
            .boxed(),
        (any::<u32>(), any_user())
            .prop_map(|(room, with)| Frame::Opened(v1::Opened { room, with }))
            .boxed(),
        (any::<u32>(), any::<u64>(), any::<bool>())
            .prop_map(|(room, seq, ended)| Frame::Membership(v1::Membership { room, seq, ended }))
            .boxed(),
        (any::<u32>(), any::<u64>())
            .prop_map(|(room, seq)| Frame::Left(v1::Left { room, seq, act: 0 }))
            .boxed(),
        (any::<[u32; 2]>(), text(), any::<bool>())
            .prop_map(|([code, retry_after_ms], reason, reconnect)| {
                Frame::Goodbye(v1::Goodbye { code, reason, reconnect, retry_after_ms })
            })
            .boxed(),
    ]);
    prop::option::of(frame).prop_map(|frame| ServerFrame { frame })
}

proptest! {
    #[test]
    fn a_clients_frame_survives_both_forms(frame in client_frame()) {
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        json::encode_client(&frame, &mut text);
        protobuf::encode_client(&frame, &mut bytes);
        prop_assert_eq!(&json::decode_client(&text).expect("we wrote it"), &frame);
        prop_assert_eq!(&protobuf::decode_client(&bytes).expect("we wrote it"), &frame);
    }

    #[test]
    fn a_servers_frame_survives_both_forms(frame in server_frame()) {
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        json::encode_server(&frame, &mut text);
        protobuf::encode_server(&frame, &mut bytes);
        prop_assert_eq!(&json::decode_server(&text).expect("we wrote it"), &frame);
        prop_assert_eq!(&protobuf::decode_server(&bytes).expect("we wrote it"), &frame);
    }
}
