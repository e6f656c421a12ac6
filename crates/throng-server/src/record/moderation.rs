//! How edits, deletions, reactions, pins, moderation and settings lie on disk: what comes behind the author.
//!
//! Neighbours: `record.rs` alone, which writes what every event has and asks here for the rest.

use throng_core::limits::{ATTACHMENTS_MAX, FILTER_WORDS_MAX, MENTIONS_MAX};
use throng_core::{
    Act, Attachment, Author, Avatar, Body, EventKind, Extras, FileHash, FileId, FileKind, FileName,
    Reaction, Role, RoomName, Seq, Settings, Speak, Topic, UserId, Username, Visibility, Words,
};

use super::{Reader, RecordError, TAG_BLANK, TAG_WHOSE, put_text, put_varint};

pub(super) const KIND_EDITED: u8 = 4;
pub(super) const KIND_DELETED: u8 = 5;
pub(super) const KIND_MODERATED: u8 = 6;
pub(super) const KIND_SET: u8 = 7;
pub(super) const KIND_REACTED: u8 = 20;
pub(super) const KIND_PINNED: u8 = 21;
pub(super) const KIND_CREATED_DIRECT: u8 = 22;
/// Settings behind a new name: all eight flags of `KIND_SET` are taken.
pub(super) const KIND_RENAMED: u8 = 23;

const SET_TOPIC: u8 = 1;
const SET_SPEAK: u8 = 2;
const SET_HISTORY: u8 = 4;
const SET_SLOW: u8 = 8;
const SET_DELAY: u8 = 0x10;
const SET_AVATAR: u8 = 0x20;
const SET_WORDS: u8 = 0x40;
const SET_KEEP: u8 = 0x80;

/// In the count of mentions: files follow them.
const CARRIES_FILES: u64 = 64;
const _: () = assert!(MENTIONS_MAX < CARRIES_FILES as usize);

/// What comes behind the author: checked for its shape, its texts not yet for their rules.
#[derive(Clone, Debug)]
pub(super) enum Told<'a> {
    /// Nothing of this room's.
    Nothing,
    Edited {
        of: u64,
        text: &'a str,
        tag: u8,
    },
    Deleted {
        of: u64,
        whose: Option<(u64, &'a str)>,
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
        name: Option<&'a str>,
        topic: Option<&'a str>,
        speak: Option<Speak>,
        history: Option<Visibility>,
        slow_seconds: Option<u32>,
        words: Option<Vec<&'a str>>,
        keep_seconds: Option<u32>,
        avatar: Option<Avatar>,
        delay_seconds: Option<u32>,
    },
}

/// A text as it was said, or what stands in its place since it was erased. The tag tells one that was
/// left blank from that.
pub(super) fn body(text: &str, tag: u8) -> Result<Body, RecordError> {
    match (text.is_empty(), tag & TAG_BLANK != 0) {
        (true, false) => Ok(Body::erased()),
        (false, true) => Err(RecordError::Field("body")),
        _ => Body::beside_files(text).map_err(|_| RecordError::Field("body")),
    }
}

/// Appends what comes behind the author.
pub(super) fn put(out: &mut Vec<u8>, kind: &EventKind) {
    match kind {
        EventKind::Edited { of, body, .. } => {
            put_varint(out, of.0);
            put_text(out, body.as_str());
        }
        EventKind::Deleted { of, whose, .. } => {
            put_varint(out, of.0);
            if let Some(whose) = whose {
                put_varint(out, whose.id.get());
                put_text(out, whose.name.as_str());
            }
        }
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
    let Settings {
        name,
        topic,
        speak,
        history,
        slow_seconds,
        words,
        keep_seconds,
        avatar,
        delay_seconds,
    } = settings;
    if let Some(name) = name {
        put_text(out, name.as_str());
    }
    let flag = |has: bool, flag: u8| if has { flag } else { 0 };
    out.push(
        flag(topic.is_some(), SET_TOPIC)
            | flag(speak.is_some(), SET_SPEAK)
            | flag(history.is_some(), SET_HISTORY)
            | flag(slow_seconds.is_some(), SET_SLOW)
            | flag(words.is_some(), SET_WORDS)
            | flag(keep_seconds.is_some(), SET_KEEP)
            | flag(delay_seconds.is_some(), SET_DELAY)
            | flag(avatar.is_some(), SET_AVATAR),
    );
    if let Some(topic) = topic {
        put_text(out, topic.as_str());
    }
    out.extend(speak.map(speak_number));
    out.extend(history.map(history_number));
    if let Some(seconds) = slow_seconds {
        put_varint(out, u64::from(*seconds));
    }
    if let Some(words) = words {
        put_varint(out, words.list().len() as u64);
        words.list().for_each(|word| put_text(out, word));
    }
    if let Some(seconds) = keep_seconds {
        put_varint(out, u64::from(*seconds));
    }
    if let Some(Avatar(avatar)) = avatar {
        out.push(u8::from(avatar.is_some()));
        out.extend(avatar.iter().flat_map(|hash| hash.0));
    }
    if let Some(seconds) = delay_seconds {
        put_varint(out, u64::from(*seconds));
    }
}

/// Reads what comes behind the author of an event of this kind.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    kind: u8,
    tag: u8,
) -> Result<Told<'a>, RecordError> {
    Ok(match kind {
        KIND_EDITED => Told::Edited { of: reader.varint("of")?, text: reader.text("text")?, tag },
        KIND_DELETED => {
            let of = reader.varint("of")?;
            let mut another = || Ok((reader.varint("whose")?, reader.text("whose")?));
            Told::Deleted { of, whose: (tag & TAG_WHOSE != 0).then(&mut another).transpose()? }
        }
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
        KIND_SET => read_settings(reader, None)?,
        KIND_RENAMED => {
            let name = reader.text("name")?;
            read_settings(reader, Some(name))?
        }
        _ => Told::Nothing,
    })
}

fn read_settings<'a>(
    reader: &mut Reader<'a>,
    name: Option<&'a str>,
) -> Result<Told<'a>, RecordError> {
    let flags = reader.byte("settings")?;
    let known = SET_TOPIC
        | SET_SPEAK
        | SET_HISTORY
        | SET_SLOW
        | SET_WORDS
        | SET_KEEP
        | SET_DELAY
        | SET_AVATAR;
    if flags & !known != 0 {
        return Err(RecordError::Field("settings"));
    }
    let has = |flag: u8| flags & flag != 0;
    let topic = if has(SET_TOPIC) { Some(reader.text("topic")?) } else { None };
    let mut number = |flag, field| if has(flag) { reader.byte(field).map(Some) } else { Ok(None) };
    let (speak, history) = (number(SET_SPEAK, "speak")?, number(SET_HISTORY, "history")?);
    let slow = if has(SET_SLOW) { Some(reader.varint("slow")?) } else { None };
    let words = if has(SET_WORDS) { Some(read_words(reader)?) } else { None };
    let keep = if has(SET_KEEP) { Some(reader.varint("keep")?) } else { None };
    let avatar = if has(SET_AVATAR) { Some(read_avatar(reader)?) } else { None };
    let delay = if has(SET_DELAY) { Some(reader.varint("delay")?) } else { None };
    let speak = speak.map(|it| speak_of(it).ok_or(RecordError::Field("speak"))).transpose()?;
    let history =
        history.map(|it| history_of(it).ok_or(RecordError::Field("history"))).transpose()?;
    let slow_seconds =
        slow.map(|it| u32::try_from(it).map_err(|_| RecordError::Field("slow"))).transpose()?;
    let keep_seconds =
        keep.map(|it| u32::try_from(it).map_err(|_| RecordError::Field("keep"))).transpose()?;
    let delay_seconds =
        delay.map(|it| u32::try_from(it).map_err(|_| RecordError::Field("delay"))).transpose()?;
    Ok(Told::Set {
        name,
        topic,
        speak,
        history,
        slow_seconds,
        words,
        keep_seconds,
        avatar,
        delay_seconds,
    })
}

fn read_avatar(reader: &mut Reader<'_>) -> Result<Avatar, RecordError> {
    match reader.byte("avatar")? {
        0 => Ok(Avatar(None)),
        1 => Ok(Avatar(Some(FileHash(reader.array("avatar")?)))),
        _ => Err(RecordError::Field("avatar")),
    }
}

fn read_words<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a str>, RecordError> {
    let count = reader.varint("words")?;
    if count > FILTER_WORDS_MAX as u64 {
        return Err(RecordError::Field("words"));
    }
    (0..count).map(|_| reader.text("words")).collect()
}

/// Appends what few posts have.
pub(super) fn put_extras(out: &mut Vec<u8>, extras: &Extras) {
    let as_decided = extras.edited.is_none() && extras.reactions.is_empty();
    debug_assert!(as_decided, "an event is kept as it was decided");
    put_varint(out, extras.reply_to.map_or(0, |seq| seq.0));
    let carries = if extras.files.is_empty() { 0 } else { CARRIES_FILES };
    put_varint(out, extras.mentions.len() as u64 | carries);
    for user in &extras.mentions {
        put_varint(out, user.get());
    }
    if carries != 0 {
        put_varint(out, extras.files.len() as u64);
        extras.files.iter().for_each(|file| put_file(out, file));
    }
}

/// Reads what few posts have.
pub(super) fn read_extras(reader: &mut Reader<'_>) -> Result<Option<Box<Extras>>, RecordError> {
    let reply_to = reader.varint("reply to")?;
    let count = reader.varint("mentions")?;
    let (count, carries) = (count & !CARRIES_FILES, count & CARRIES_FILES != 0);
    if count > MENTIONS_MAX as u64 {
        return Err(RecordError::Field("mentions"));
    }
    let mentions = (0..count).map(|_| reader.varint("mentions")).collect::<Result<Vec<_>, _>>()?;
    let files = if carries { read_files(reader)? } else { Box::default() };
    Extras::carrying(reply_to, &mentions, files).map_err(|_| RecordError::Field("mentions"))
}

/// The files of a message by themselves, for what is kept of a message beside the history; at least one.
pub fn encode_files(files: &[Attachment]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, files.len() as u64);
    for file in files {
        put_file(&mut out, file);
    }
    out
}

/// Reads them again.
pub fn decode_files(bytes: &[u8]) -> Result<Box<[Attachment]>, RecordError> {
    let mut reader = Reader { rest: bytes };
    let files = read_files(&mut reader)?;
    reader.end()?;
    Ok(files)
}

fn put_file(out: &mut Vec<u8>, file: &Attachment) {
    let Attachment { id, hash, kind, len, size, name } = file;
    out.extend_from_slice(&id.0);
    out.extend_from_slice(&hash.0);
    out.push(kind.number());
    put_varint(out, *len);
    put_varint(out, u64::from(size.0));
    put_varint(out, u64::from(size.1));
    put_text(out, name.as_str());
}

fn read_files(reader: &mut Reader<'_>) -> Result<Box<[Attachment]>, RecordError> {
    let count = reader.varint("files")?;
    if count == 0 || count > ATTACHMENTS_MAX as u64 {
        return Err(RecordError::Field("files"));
    }
    (0..count).map(|_| read_file(reader)).collect()
}

fn read_file(reader: &mut Reader<'_>) -> Result<Attachment, RecordError> {
    let wrong = || RecordError::Field("file");
    let (id, hash) = (FileId(reader.array("file")?), FileHash(reader.array("file")?));
    let kind = FileKind::from_number(reader.byte("file")?).ok_or_else(wrong)?;
    let len = reader.varint("file")?;
    let mut side = || u32::try_from(reader.varint("file")?).map_err(|_| wrong());
    let size = (side()?, side()?);
    let name = FileName::stored(reader.text("file")?).map_err(|_| wrong())?;
    Ok(Attachment { id, hash, kind, len, size, name })
}

impl Told<'_> {
    /// The event's kind, owned.
    pub fn to_kind(&self, by: Author) -> Result<EventKind, RecordError> {
        Ok(match self.clone() {
            Self::Nothing => return Err(RecordError::Field("kind")),
            Self::Edited { of, text, tag } => {
                EventKind::Edited { by, of: Seq(of), body: body(text, tag)? }
            }
            Self::Deleted { of, whose } => {
                let whose = whose.map(|(id, name)| somebody(id, name, "whose")).transpose()?;
                EventKind::Deleted { by, of: Seq(of), whose }
            }
            Self::Reacted { of, text, on, count } => {
                let reaction =
                    Reaction::stored(text).map_err(|_| RecordError::Field("reaction"))?;
                EventKind::Reacted { by, of: Seq(of), reaction, on, count }
            }
            Self::Pinned { of, on } => EventKind::Pinned { by, of: Seq(of), on },
            Self::Moderated { who, name, act } => {
                EventKind::Moderated { by, who: somebody(who, name, "who")?, act }
            }
            Self::Set {
                name,
                topic,
                speak,
                history,
                slow_seconds,
                words,
                keep_seconds,
                avatar,
                delay_seconds,
            } => {
                let name = name.map(RoomName::stored).transpose();
                let name = name.map_err(|_| RecordError::Field("name"))?;
                let topic = topic.map(Topic::stored).transpose();
                let topic = topic.map_err(|_| RecordError::Field("topic"))?;
                let list = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
                let words = words.map(|words| Words::parse(list(words))).transpose();
                let words = words.map_err(|_| RecordError::Field("words"))?;
                let settings = Settings {
                    name,
                    topic,
                    speak,
                    history,
                    slow_seconds,
                    words,
                    keep_seconds,
                    avatar,
                    delay_seconds,
                };
                EventKind::Set { by, settings: Box::new(settings) }
            }
        })
    }
}

fn somebody(id: u64, name: &str, field: &'static str) -> Result<Author, RecordError> {
    let id = UserId::new(id).ok_or(RecordError::Field(field))?;
    let name = Username::stored(name).map_err(|_| RecordError::Field(field))?;
    Ok(Author { id, name })
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
        Act::DeleteAll => 0x1f,
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
        (15, 1) => Act::DeleteAll,
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
