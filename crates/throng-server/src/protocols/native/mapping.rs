//! Where wire types meet domain types, both ways, each in one exhaustive `match`.
//!
//! Neighbours: `native` decodes frames and asks here what they mean; `form` and REST render what
//! comes back. It decides nothing: what a type refuses is refused by the type.

pub mod account;
pub mod defaults;
pub mod held;
pub mod links;
pub mod moderation;
pub mod oversight;
pub mod personal;
pub mod search;

use throng_core::id::SEQ_MAX;
use throng_core::{
    Act, Attachment, Author, Avatar, Body, Command, Disconnect, Epoch, Event, EventKind, Extras,
    FileHash, FileId, Kind, Limits, NamePart, OriginId, Position, Reaction, Rejection, RoomId, Seq,
    Tally, limits,
};
use throng_wire::native::v1::{self, client_frame::Request, event, reply::Outcome};

use crate::auth::account::{AccountAsk, Secret};
use crate::operations::metrics::Stage;
use crate::operations::trace::Trace;
use crate::pages::{Listed, Page, RoomList, RoomSummary, Span};
use crate::protocols::{Ack, Answer, What};

/// What a request means, or its refusal.
pub fn what(request: Option<Request>) -> What {
    asked(request).unwrap_or_else(|rejection| What::Refused(Answer::Rejected(rejection)))
}

fn asked(request: Option<Request>) -> Result<What, Rejection> {
    Ok(match request.ok_or(Rejection::UnknownRequest)? {
        Request::Register(asked) => account::register(asked),
        Request::Login(v1::Login { name, password }) => What::Login { name, password },
        Request::Authenticate(v1::Authenticate { token }) => What::Authenticate { token },
        Request::Logout(v1::Logout {}) => What::Logout,
        Request::CreateRoom(asked) => defaults::create_room(&asked)?,
        Request::ListRooms(asked) => list_rooms(asked)?,
        Request::Join(v1::Join { room }) => durable(Command::Join { room: room_id(room)? }),
        Request::Leave(v1::Leave { room }) => durable(Command::Leave { room: room_id(room)? }),
        Request::Post(post) => self::post(post)?,
        Request::History(asked) => history(asked)?,
        Request::Search(asked) => search::asked(&asked)?,
        Request::Subscribe(v1::Subscribe { room, from }) => {
            What::Subscribe { room: room_id(room)?, from: from.map(position_of) }
        }
        Request::Unsubscribe(asked) => What::Unsubscribe { room: room_id(asked.room)? },
        Request::Ping(v1::Ping {}) => What::Ping,
        Request::Edit(asked) => edit(asked)?,
        Request::Delete(v1::Delete { room, seq }) => {
            durable(Command::Delete { room: room_id(room)?, of: Seq::said(seq) })
        }
        Request::React(v1::React { room, seq, reaction }) => {
            durable(react(room_id(room)?, Seq::said(seq), &reaction, true)?)
        }
        Request::Unreact(v1::Unreact { room, seq, reaction }) => {
            durable(react(room_id(room)?, Seq::said(seq), &reaction, false)?)
        }
        Request::Pin(v1::Pin { room, seq }) => pin(room, seq, true)?,
        Request::Unpin(v1::Unpin { room, seq }) => pin(room, seq, false)?,
        Request::Moderate(asked) => moderation::moderate(asked)?,
        Request::ListWords(v1::ListWords { room }) => What::ListWords { room: room_id(room)? },
        Request::Report(asked) => What::Moderation(oversight::report(asked)?),
        Request::ListReports(asked) => What::Moderation(oversight::reports(&asked)?),
        Request::SettleReport(asked) => What::Moderation(oversight::settle(&asked)?),
        Request::ListAudit(asked) => What::Moderation(oversight::audit(&asked)?),
        Request::Block(asked) => What::Moderation(oversight::block(asked)?),
        Request::Unblock(asked) => What::Moderation(oversight::unblock(asked)?),
        Request::ListBlocked(asked) => What::Moderation(oversight::list_blocked(asked)),
        Request::ResetPassword(asked) => account::reset_password(asked),
        Request::DeleteAccount(asked) => account::delete(asked),
        Request::EnterAsGuest(v1::EnterAsGuest { name }) => What::EnterAsGuest { name },
        Request::SetAvatar(v1::SetAvatar { file }) => What::SetAvatar { file: picture(&file)? },
        Request::SetRoomAvatar(asked) => set_room_avatar(&asked)?,
        Request::ListSessions(_) => What::Account(AccountAsk::ListSessions),
        Request::EndSession(asked) => What::Account(account::end_session(asked.session)),
        Request::ChangePassword(asked) => What::Account(account::change_password(asked)),
        Request::InvitePeople(asked) => What::Account(account::invite(asked)?),
        Request::EndInvitations(_) => What::Account(AccountAsk::EndInvitations),
        Request::SetRoom(asked) => moderation::set_room(asked)?,
        Request::MakeRoomLink(asked) => links::make(asked)?,
        Request::ListRoomLinks(asked) => links::list_asked(asked)?,
        Request::EndRoomLink(asked) => links::end(asked)?,
        Request::ListStandings(asked) => What::Moderation(oversight::standings_asked(&asked)?),
        Request::ListHeld(asked) => What::Moderation(held::list_asked(&asked)?),
        Request::SettleHeld(asked) => What::Moderation(held::settle_asked(&asked)?),
        Request::JoinByLink(asked) => What::JoinByLink { link: Secret(asked.link) },
        asked @ (Request::Pins(_)
        | Request::OpenDirect(_)
        | Request::Contacts(_)
        | Request::SetContacts(_)
        | Request::RoomDefaults(_)
        | Request::SetRoomDefaults(_)
        | Request::Read(_)
        | Request::Unread(_)
        | Request::SetLevel(_)
        | Request::Typing(_)
        | Request::Members(_)) => personal::asked(asked)?,
    })
}

fn edit(v1::Edit { room, seq, body }: v1::Edit) -> Result<What, Rejection> {
    // Whether it may be blank, the message says.
    let (room, body) = (room_id(room)?, Body::beside_files(body)?);
    Ok(durable(Command::Edit { room, of: Seq::said(seq), body }))
}

fn list_rooms(asked: v1::ListRooms) -> Result<What, Rejection> {
    let v1::ListRooms { after, limit, mine, named } = asked;
    let named = NamePart::parse(&named)?;
    Ok(What::ListRooms(Listed { after, limit, mine, named }))
}

fn history(asked: v1::History) -> Result<What, Rejection> {
    let v1::History { room, before, after, limit } = asked;
    Ok(What::History { room: room_id(room)?, span: span(before, after)?, limit })
}

fn set_room_avatar(asked: &v1::SetRoomAvatar) -> Result<What, Rejection> {
    Ok(What::SetRoomAvatar { room: room_id(asked.room)?, file: picture(&asked.file)? })
}

/// The file of which a picture is made; `None` for no picture.
pub fn picture(file: &str) -> Result<Option<FileId>, Rejection> {
    match file {
        "" => Ok(None),
        file => FileId::parse(file).map(Some).ok_or(Rejection::NoSuchFile),
    }
}

/// The picture of somebody or something.
pub fn avatar(Avatar(hash): Avatar) -> String {
    hash.map(FileHash::to_hex).unwrap_or_default()
}

fn pin(room: u32, seq: u64, on: bool) -> Result<What, Rejection> {
    Ok(durable(Command::Pin { room: room_id(room)?, of: Seq::said(seq), on }))
}

fn trace(trace: &Trace) -> v1::Trace {
    v1::Trace {
        decode: trace.micros(Stage::Decode),
        authorize: trace.micros(Stage::Authorize),
        queue: trace.micros(Stage::Queue),
        decide: trace.micros(Stage::Decide),
        commit: trace.micros(Stage::Commit),
        fanout: trace.micros(Stage::Fanout),
    }
}

fn durable(command: Command) -> What {
    What::Command { command, ack: Ack::Durable, trace: None }
}

fn post(post: v1::Post) -> Result<What, Rejection> {
    let ack = post.ack;
    let ack = match v1::Ack::try_from(ack).map_err(|_| Rejection::BadArgument)? {
        v1::Ack::Durable => Ack::Durable,
        v1::Ack::Accepted => Ack::Accepted,
    };
    let trace = post.trace.then(Box::default);
    let (command, files) = post_command(room_id(post.room)?, post)?;
    Ok(if files.is_empty() {
        What::Command { command, ack, trace }
    } else {
        What::Carry { command, files, ack, trace }
    })
}

/// A post from a request, in the room that it names or (REST) that its path names, and the files that
/// it is to carry.
pub fn post_command(room: RoomId, post: v1::Post) -> Result<(Command, Vec<FileId>), Rejection> {
    let v1::Post { body, origin_id, in_reply_to, mentioned, attachments, .. } = post;
    let origin_id = match origin_id.as_str() {
        "" => None,
        _ => Some(OriginId::parse(origin_id)?),
    };
    let extras = Extras::parse(in_reply_to, &mentioned)?;
    if attachments.len() > limits::ATTACHMENTS_MAX {
        return Err(Rejection::BadArgument);
    }
    let files = attachments.iter().map(|id| FileId::parse(id)).collect::<Option<_>>();
    let files: Vec<FileId> = files.ok_or(Rejection::NoSuchFile)?;
    let body = if files.is_empty() { Body::parse(body) } else { Body::beside_files(body) }?;
    Ok((Command::Post { room, origin_id, body, extras }, files))
}

/// A reaction, given or taken back.
pub fn react(room: RoomId, of: Seq, reaction: &str, on: bool) -> Result<Command, Rejection> {
    Ok(Command::React { room, of, reaction: Reaction::parse(reaction)?, on })
}

/// The place above which pins are asked for.
pub fn pinned_after(after: u64) -> Result<Seq, Rejection> {
    if after <= SEQ_MAX { Ok(Seq(after)) } else { Err(Rejection::BadArgument) }
}

/// For whom a new room is.
pub fn kind_of(kind: i32) -> Result<Kind, Rejection> {
    match v1::RoomKind::try_from(kind).map_err(|_| Rejection::BadArgument)? {
        v1::RoomKind::Public => Ok(Kind::Public),
        v1::RoomKind::Private => Ok(Kind::Private),
        // It is opened, with somebody.
        v1::RoomKind::Direct => Err(Rejection::BadArgument),
    }
}

/// A number of a request as a room's; one that cannot be a room's names none.
pub fn room_id(room: u32) -> Result<RoomId, Rejection> {
    RoomId::new(room).ok_or(Rejection::NoSuchRoom)
}

/// The end from which to read a page; not both.
pub fn span(before: Option<u64>, after: Option<u64>) -> Result<Span, Rejection> {
    match (before, after) {
        (Some(_), Some(_)) => Err(Rejection::BadArgument),
        (Some(before), None) => Ok(Span::Before(Seq::said(before))),
        (None, after) => Ok(Span::After(Seq::said(after.unwrap_or(0)))),
    }
}

fn position_of(position: v1::Position) -> Position {
    Position { epoch: Epoch(position.epoch), seq: Seq::said(position.seq) }
}

/// An answer as its wire message.
pub fn outcome(answer: &Answer) -> Outcome {
    match answer {
        Answer::Rejected(rejection) => Outcome::Rejected(rejected(*rejection)),
        Answer::Malformed(why) => Outcome::Rejected(v1::Rejected {
            text: format!("the frame could not be read: {why}"),
            ..rejected(Rejection::Malformed)
        }),
        Answer::Session { author, token } => Outcome::Session(v1::Session {
            user: Some(user(author)),
            token: token.clone().unwrap_or_default(),
        }),
        Answer::Account(answer) => account::outcome(answer),
        Answer::Rooms(list) => Outcome::Rooms(rooms(list)),
        Answer::Joined { room, seq, position, already } => Outcome::Joined(v1::Joined {
            room: room.get(),
            seq: seq.0,
            position: Some(self::position(*position)),
            already: *already,
        }),
        Answer::Left { room, seq } => Outcome::Left(left(*room, *seq, None)),
        Answer::Posted { room, seq, n, at, repeat, ack, trace } => Outcome::Posted(v1::Posted {
            room: room.get(),
            seq: seq.0,
            n: *n,
            at: at.0,
            repeat: *repeat,
            ack: self::ack(*ack) as i32,
            trace: trace.as_deref().map(self::trace),
        }),
        Answer::Applied { room, seq, at, already } => Outcome::Applied(v1::Applied {
            room: room.get(),
            seq: seq.0,
            at: at.0,
            already: *already,
        }),
        Answer::Held { room, held } => Outcome::Held(held::held(*room, *held)),
        Answer::Words { room, words } => Outcome::Words(moderation::words(*room, words)),
        Answer::Moderation(told) => oversight::outcome(told),
        Answer::Page(page) => Outcome::Page(self::page(page)),
        Answer::Found(found) => Outcome::Found(search::found(found)),
        Answer::Subscribed { room, position } => Outcome::Subscribed(v1::Subscribed {
            room: room.get(),
            position: Some(self::position(*position)),
        }),
        Answer::Members(members) => Outcome::Members(personal::members(members)),
        Answer::Unread(unreads) => Outcome::Unread(personal::unread(unreads)),
        Answer::Contacts(writers) => Outcome::Contacts(personal::contacts(*writers)),
        Answer::RoomDefaults(said) => Outcome::RoomDefaults(defaults::are(*said)),
        Answer::Done => Outcome::Done(v1::Done {}),
        Answer::Pong => Outcome::Pong(v1::Pong {}),
    }
}

/// The end of a membership.
pub fn left(room: RoomId, seq: Seq, act: Option<Act>) -> v1::Left {
    let act = act.map_or(v1::Act::None, moderation::act_name);
    v1::Left { room: room.get(), seq: seq.0, act: act as i32 }
}

/// A refusal.
pub fn rejected(rejection: Rejection) -> v1::Rejected {
    v1::Rejected {
        code: u32::from(rejection.code()),
        name: rejection.name().to_owned(),
        text: rejection.text().to_owned(),
        retry_after_ms: rejection.retry_after_ms(),
    }
}

/// A page of the list of rooms.
pub fn rooms(list: &RoomList) -> v1::Rooms {
    v1::Rooms {
        rooms: list.rooms.iter().map(room).collect(),
        more: list.next.is_some(),
        next: list.next.map(RoomId::get),
    }
}

fn room(room: &RoomSummary) -> v1::Room {
    v1::Room {
        id: room.room.get(),
        name: match &room.with {
            Some((_, name)) => name.as_str().to_owned(),
            None => room.name.as_str().to_owned(),
        },
        members: room.members,
        head: room.head.0,
        posts: room.posts,
        member: room.member,
        kind: moderation::kind(room.policy.kind) as i32,
        topic: room.topic.as_str().to_owned(),
        speak: moderation::speak(room.policy.speak) as i32,
        slow_seconds: room.policy.slow_seconds,
        history: moderation::history(room.policy.history) as i32,
        invited: room.invited,
        avatar: avatar(room.avatar),
        with: room.with.as_ref().map(|(id, name)| {
            let name = name.as_str().to_owned();
            v1::User { id: id.get(), name }
        }),
        keep_seconds: room.policy.keep_seconds.filter(|seconds| *seconds != 0),
        delay_seconds: Some(room.policy.delay_seconds).filter(|seconds| *seconds != 0),
    }
}

/// A page of history.
pub fn page(page: &Page) -> v1::Page {
    v1::Page {
        room: page.room.get(),
        events: page.events.iter().map(|event| self::event(event)).collect(),
        more: page.more,
    }
}

/// An account as others see it.
pub fn user(author: &Author) -> v1::User {
    v1::User { id: author.id.get(), name: author.name.as_str().to_owned() }
}

/// A place with its epoch.
pub fn position(position: Position) -> v1::Position {
    v1::Position { epoch: position.epoch.0, seq: position.seq.0 }
}

fn ack(ack: Ack) -> v1::Ack {
    match ack {
        Ack::Durable => v1::Ack::Durable,
        Ack::Accepted => v1::Ack::Accepted,
    }
}

/// An event.
pub fn event(event: &Event) -> v1::Event {
    let what = match &event.kind {
        EventKind::Created { by, name, kind } => event::What::Created(v1::RoomCreated {
            by: Some(user(by)),
            name: name.as_str().to_owned(),
            kind: moderation::kind(*kind) as i32,
        }),
        EventKind::Joined { who } => {
            event::What::Joined(v1::MemberJoined { user: Some(user(who)) })
        }
        EventKind::Left { who } => event::What::Left(v1::MemberLeft { user: Some(user(who)) }),
        EventKind::Posted { n, author, origin_id, body, extras } => {
            event::What::Message(message(*n, author, origin_id.as_ref(), body, extras.as_deref()))
        }
        EventKind::Edited { by, of, body } => event::What::Edited(v1::Edited {
            by: Some(user(by)),
            of: of.0,
            body: body.as_str().to_owned(),
            deleted: body.is_erased(),
        }),
        EventKind::Deleted { by, of, .. } => {
            event::What::Deleted(v1::Deleted { by: Some(user(by)), of: of.0 })
        }
        EventKind::Reacted { by, of, reaction, on, count } => event::What::Reaction(v1::Reaction {
            by: Some(user(by)),
            of: of.0,
            reaction: reaction.as_str().to_owned(),
            removed: !*on,
            count: *count,
        }),
        EventKind::Pinned { by, of, on } => {
            event::What::Pinned(v1::Pinned { by: Some(user(by)), of: of.0, removed: !*on })
        }
        EventKind::Moderated { by, who, act } => {
            event::What::Moderated(moderation::moderated(user(by), user(who), *act))
        }
        EventKind::Set { by, settings } => event::What::Set(moderation::set(user(by), settings)),
    };
    v1::Event {
        room: event.room.get(),
        seq: event.seq.0,
        prev: event.prev.0,
        at: event.at.0,
        what: Some(what),
    }
}

/// A message; of one that waits, `n` is 0.
pub fn message(
    n: u64,
    author: &Author,
    origin_id: Option<&OriginId>,
    body: &Body,
    extras: Option<&Extras>,
) -> v1::Message {
    let none = Extras::default();
    let Extras { edited, reply_to, mentions, reactions, files } = extras.unwrap_or(&none);
    v1::Message {
        n,
        from: Some(user(author)),
        origin_id: origin_id.map(|id| id.as_str().to_owned()).unwrap_or_default(),
        body: body.as_str().to_owned(),
        edited: edited.map_or(0, |seq| seq.0),
        deleted: body.is_erased(),
        in_reply_to: reply_to.map_or(0, |seq| seq.0),
        mentioned: mentions.iter().map(|user| user.get()).collect(),
        reactions: reactions.iter().map(tally).collect(),
        attachments: files.iter().map(attachment).collect(),
    }
}

fn tally(tally: &Tally) -> v1::ReactionCount {
    let Tally { reaction, count, mine, seq } = tally;
    let reaction = reaction.as_str().to_owned();
    v1::ReactionCount { reaction, count: *count, mine: *mine, seq: seq.0 }
}

/// A file of a message.
pub fn attachment(file: &Attachment) -> v1::Attachment {
    v1::Attachment {
        id: file.id.to_hex(),
        name: file.name.as_str().to_owned(),
        r#type: file.kind.media().to_owned(),
        bytes: file.len,
        hash: file.hash.to_hex(),
        width: file.size.0,
        height: file.size.1,
    }
}

/// The first frame.
pub fn welcome(epoch: Epoch, allowed: &Limits) -> v1::Welcome {
    v1::Welcome {
        server: concat!("throng ", env!("CARGO_PKG_VERSION")).to_owned(),
        epoch: epoch.0,
        limits: Some(v1::Limits {
            frame_bytes: allowed.frame_len_max as u32,
            body_bytes: limits::BODY_LEN_MAX as u32,
            sends_per_second: allowed.sends_per_second,
            sends_burst: allowed.sends_burst,
            requests_per_second: allowed.requests_per_second,
            requests_burst: allowed.requests_burst,
            page_events: limits::PAGE_EVENTS_MAX as u32,
            resume_events: allowed.resume_events_max as u32,
            outbox_frames: allowed.outbox_frames_max as u32,
            outbox_bytes: allowed.outbox_bytes_max as u32,
            pushed_members: allowed.pushed_members_max as u32,
            origin_window_ms: allowed.origin_window_ms,
            origin_window_posts: allowed.origin_window_posts,
            ping_interval_ms: allowed.ping_interval_ms as u32,
            ping_timeout_ms: allowed.ping_timeout_ms as u32,
            rooms_per_user: allowed.rooms_per_user_max as u32,
            members_per_room: allowed.members_max as u32,
            message_reactions: limits::REACTIONS_MAX as u32,
            room_pins: limits::PINS_MAX as u32,
            file_bytes: allowed.file_len_max,
            file_bytes_per_user: allowed.files_len_per_user_max,
            attachments: limits::ATTACHMENTS_MAX as u32,
            guest_ms: allowed.guest_lifetime_ms,
        }),
    }
}

/// The last frame.
pub fn goodbye(why: Disconnect, retry_after_ms: u32) -> v1::Goodbye {
    v1::Goodbye {
        code: u32::from(why.code()),
        reason: why.reason().to_owned(),
        reconnect: why.reconnect(),
        retry_after_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(request: Request) -> Option<Rejection> {
        match what(Some(request)) {
            What::Refused(Answer::Rejected(rejection)) => Some(rejection),
            _ => None,
        }
    }

    fn post_of(body: &str, origin_id: &str, ack: i32) -> Request {
        let (body, origin_id) = (body.to_owned(), origin_id.to_owned());
        Request::Post(v1::Post { room: 1, body, origin_id, ack, ..v1::Post::default() })
    }

    #[test]
    fn what_a_type_refuses_is_refused_by_its_name() {
        let room = |room| Request::Join(v1::Join { room });
        assert_eq!(refusal(room(0)), Some(Rejection::NoSuchRoom));
        assert_eq!(refusal(room(1)), None);
        assert_eq!(refusal(post_of("", "", 0)), Some(Rejection::EmptyBody));
        assert_eq!(refusal(post_of("hi", "a b", 0)), Some(Rejection::BadOriginId));
        assert_eq!(refusal(post_of("hi", "ab", 0)), None);
        let long = "x".repeat(limits::BODY_LEN_MAX);
        let beside_a_file = |body: &str| {
            let Request::Post(post) = post_of(body, "", 0) else { unreachable!() };
            let attachments = vec!["0".repeat(32)];
            refusal(Request::Post(v1::Post { attachments, ..post }))
        };
        assert_eq!(beside_a_file(""), None);
        assert_eq!(beside_a_file(&(long.clone() + "x")), Some(Rejection::BodyTooLong));
        assert_eq!(refusal(post_of(&long, "", 0)), None);
        assert_eq!(refusal(post_of(&(long + "x"), "", 0)), Some(Rejection::BodyTooLong));
    }

    #[test]
    fn an_ack_that_is_not_known_is_refused_and_never_lowered() {
        assert_eq!(refusal(post_of("hi", "", 2)), Some(Rejection::BadArgument));
        assert_eq!(refusal(post_of("hi", "", 1)), None);
    }

    #[test]
    fn a_page_has_one_end() {
        assert_eq!(span(Some(1), Some(2)), Err(Rejection::BadArgument));
        assert_eq!(span(Some(7), None), Ok(Span::Before(Seq(7))));
        // Counting on from what lies beyond all places comes to no end.
        assert_eq!(span(None, Some(SEQ_MAX)), Ok(Span::After(Seq(SEQ_MAX))));
        assert_eq!(span(None, Some(u64::MAX)), Ok(Span::After(Seq(SEQ_MAX + 1))));
        assert_eq!(span(Some(u64::MAX), None), Ok(Span::Before(Seq(SEQ_MAX + 1))));
        assert_eq!(span(None, None), Ok(Span::After(Seq::ZERO)));
    }

    #[test]
    fn no_request_is_an_unknown_one() {
        assert!(matches!(what(None), What::Refused(Answer::Rejected(Rejection::UnknownRequest))));
    }
}
