//! How edits, deletions, reactions, pins, moderation and settings lie on disk: what comes behind the author.
//!
//! Neighbours: `record.rs` alone, which writes what every event has and asks here for the rest.

use throng_core::{
    Act, Author, Body, EventKind, Extras, Reaction, Role, Seq, Settings, Speak, Topic, UserId,
    Username, Visibility,
};

use throng_core::limits::MENTIONS_MAX;

use super::{Reader, RecordError, put_text, put_varint};

pub(super) const KIND_EDITED: u8 = 4;
pub(super) const KIND_DELETED: u8 = 5;
pub(super) const KIND_MODERATED: u8 = 6;
pub(super) const KIND_SET: u8 = 7;
pub(super) const KIND_REACTED: u8 = 20;
pub(super) const KIND_PINNED: u8 = 21;

const SET_TOPIC: u8 = 1;
const SET_SPEAK: u8 = 2;
const SET_HISTORY: u8 = 4;
const SET_SLOW: u8 = 8;

/// What comes behind the author: checked for its shape, its texts not yet for their rules.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told<'a> {
    /// Nothing of this room's.
    Nothing,
    Edited {
        of: u64,
        text: &'a str,
    },
    Deleted {
        of: u64,
    },
    Reacted {
        of: u64,
        text: &'a str,
        on: bool,
        count: u32,
    },
    Pinned {
        of: u64,
        on: bool,
    },
    Moderated {
        who: u64,
        name: &'a str,
        act: Act,
    },
    Set {
        topic: Option<&'a str>,
        speak: Option<Speak>,
        history: Option<Visibility>,
        slow_seconds: Option<u32>,
    },
}

/// Appends what comes behind the author.
pub(super) fn put(out: &mut Vec<u8>, kind: &EventKind) {
    match kind {
        EventKind::Edited { of, body, .. } => {
            put_varint(out, of.0);
            put_text(out, body.as_str());
        }
        EventKind::Deleted { of, .. } => put_varint(out, of.0),
        EventKind::Reacted { of, reaction, on, count, .. } => {
            put_varint(out, of.0);
            put_text(out, reaction.as_str());
            put_varint(out, u64::from(*count) << 1 | u64::from(*on));
        }
        EventKind::Pinned { of, on, .. } => {
            put_varint(out, of.0);
            out.push(u8::from(*on));
        }
        EventKind::Moderated { who, act, .. } => {
            put_varint(out, who.id.get());
            put_text(out, who.name.as_str());
            out.push(code(*act));
        }
        EventKind::Set { settings, .. } => put_settings(out, settings),
        EventKind::Created { .. }
        | EventKind::Joined { .. }
        | EventKind::Left { .. }
        | EventKind::Posted { .. } => {}
    }
}

fn put_settings(out: &mut Vec<u8>, settings: &Settings) {
    let Settings { topic, speak, history, slow_seconds } = settings;
    let flag = |has: bool, flag: u8| if has { flag } else { 0 };
    out.push(
        flag(topic.is_some(), SET_TOPIC)
            | flag(speak.is_some(), SET_SPEAK)
            | flag(history.is_some(), SET_HISTORY)
            | flag(slow_seconds.is_some(), SET_SLOW),
    );
    if let Some(topic) = topic {
        put_text(out, topic.as_str());
    }
    out.extend(speak.map(speak_number));
    out.extend(history.map(history_number));
    if let Some(seconds) = slow_seconds {
        put_varint(out, u64::from(*seconds));
    }
}

/// Reads what comes behind the author of an event of this kind.
pub(super) fn read<'a>(reader: &mut Reader<'a>, kind: u8) -> Result<Told<'a>, RecordError> {
    Ok(match kind {
        KIND_EDITED => Told::Edited { of: reader.varint("of")?, text: reader.text("text")? },
        KIND_DELETED => Told::Deleted { of: reader.varint("of")? },
        KIND_REACTED => {
            let (of, text, told) =
                (reader.varint("of")?, reader.text("reaction")?, reader.varint("count")?);
            let count = u32::try_from(told >> 1).map_err(|_| RecordError::Field("count"))?;
            Told::Reacted { of, text, on: told & 1 == 1, count }
        }
        KIND_PINNED => {
            let (of, on) = (reader.varint("of")?, reader.byte("pinned")?);
            if on > 1 {
                return Err(RecordError::Field("pinned"));
            }
            Told::Pinned { of, on: on == 1 }
        }
        KIND_MODERATED => {
            let (who, name) = (reader.varint("who")?, reader.text("who")?);
            let act = act(reader.byte("act")?).ok_or(RecordError::Field("act"))?;
            Told::Moderated { who, name, act }
        }
        KIND_SET => read_settings(reader)?,
        _ => Told::Nothing,
    })
}

fn read_settings<'a>(reader: &mut Reader<'a>) -> Result<Told<'a>, RecordError> {
    let flags = reader.byte("settings")?;
    if flags > (SET_TOPIC | SET_SPEAK | SET_HISTORY | SET_SLOW) {
        return Err(RecordError::Field("settings"));
    }
    let has = |flag: u8| flags & flag != 0;
    let topic = if has(SET_TOPIC) { Some(reader.text("topic")?) } else { None };
    let mut number = |flag, field| if has(flag) { reader.byte(field).map(Some) } else { Ok(None) };
    let (speak, history) = (number(SET_SPEAK, "speak")?, number(SET_HISTORY, "history")?);
    let slow = if has(SET_SLOW) { Some(reader.varint("slow")?) } else { None };
    let speak = speak.map(|it| speak_of(it).ok_or(RecordError::Field("speak"))).transpose()?;
    let history =
        history.map(|it| history_of(it).ok_or(RecordError::Field("history"))).transpose()?;
    let slow_seconds =
        slow.map(|it| u32::try_from(it).map_err(|_| RecordError::Field("slow"))).transpose()?;
    Ok(Told::Set { topic, speak, history, slow_seconds })
}

/// Appends what few posts have.
pub(super) fn put_extras(out: &mut Vec<u8>, extras: &Extras) {
    let as_decided = extras.edited.is_none() && extras.reactions.is_empty();
    debug_assert!(as_decided, "an event is kept as it was decided");
    put_varint(out, extras.reply_to.map_or(0, |seq| seq.0));
    put_varint(out, extras.mentions.len() as u64);
    for user in &extras.mentions {
        put_varint(out, user.get());
    }
}

/// Reads what few posts have.
pub(super) fn read_extras(reader: &mut Reader<'_>) -> Result<Option<Box<Extras>>, RecordError> {
    let reply_to = reader.varint("reply to")?;
    let count = reader.varint("mentions")?;
    if count > MENTIONS_MAX as u64 {
        return Err(RecordError::Field("mentions"));
    }
    let mentions = (0..count).map(|_| reader.varint("mentions")).collect::<Result<Vec<_>, _>>()?;
    Extras::parse(reply_to, &mentions).map_err(|_| RecordError::Field("mentions"))
}

impl Told<'_> {
    /// The event's kind, owned.
    pub fn to_kind(self, by: Author) -> Result<EventKind, RecordError> {
        Ok(match self {
            Self::Nothing => return Err(RecordError::Field("kind")),
            Self::Edited { of, text } => {
                let body = Body::parse(text).map_err(|_| RecordError::Field("body"))?;
                EventKind::Edited { by, of: Seq(of), body }
            }
            Self::Deleted { of } => EventKind::Deleted { by, of: Seq(of) },
            Self::Reacted { of, text, on, count } => {
                let reaction = Reaction::parse(text).map_err(|_| RecordError::Field("reaction"))?;
                EventKind::Reacted { by, of: Seq(of), reaction, on, count }
            }
            Self::Pinned { of, on } => EventKind::Pinned { by, of: Seq(of), on },
            Self::Moderated { who, name, act } => {
                let id = UserId::new(who).ok_or(RecordError::Field("who"))?;
                let name = Username::parse(name).map_err(|_| RecordError::Field("who"))?;
                EventKind::Moderated { by, who: Author { id, name }, act }
            }
            Self::Set { topic, speak, history, slow_seconds } => {
                let topic = topic.map(Topic::parse).transpose();
                let topic = topic.map_err(|_| RecordError::Field("topic"))?;
                let settings = Box::new(Settings { topic, speak, history, slow_seconds });
                EventKind::Set { by, settings }
            }
        })
    }
}

/// The act in the low four bits, the role that it gives above.
fn code(act: Act) -> u8 {
    match act {
        Act::Kick => 1,
        Act::Ban => 2,
        Act::Unban => 3,
        Act::Mute => 4,
        Act::Unmute => 5,
        Act::Voice => 6,
        Act::Unvoice => 7,
        Act::Invite => 8,
        Act::SetRole(role) => 9 | (role as u8) << 4,
    }
}

fn act(code: u8) -> Option<Act> {
    Some(match (code & 0x0f, code >> 4) {
        (1, 0) => Act::Kick,
        (2, 0) => Act::Ban,
        (3, 0) => Act::Unban,
        (4, 0) => Act::Mute,
        (5, 0) => Act::Unmute,
        (6, 0) => Act::Voice,
        (7, 0) => Act::Unvoice,
        (8, 0) => Act::Invite,
        (9, role) => Act::SetRole(Role::from_number(role)?),
        _ => return None,
    })
}

/// The number on disk.
pub fn speak_number(speak: Speak) -> u8 {
    match speak {
        Speak::Everyone => 0,
        Speak::Members => 1,
        Speak::Voiced => 2,
    }
}

/// What the number on disk means.
pub fn speak_of(number: u8) -> Option<Speak> {
    [Speak::Everyone, Speak::Members, Speak::Voiced].into_iter().nth(usize::from(number))
}

/// The number on disk.
pub fn history_number(history: Visibility) -> u8 {
    match history {
        Visibility::Members => 0,
        Visibility::Joining => 1,
        Visibility::All => 2,
    }
}

/// What the number on disk means.
pub fn history_of(number: u8) -> Option<Visibility> {
    let all = [Visibility::Members, Visibility::Joining, Visibility::All];
    all.into_iter().nth(usize::from(number))
}
