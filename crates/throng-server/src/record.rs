//! How events lie on disk: a turn of the log (many events of many rooms) and a block of the store
//! (many events of one room), both with a version, a length and a CRC-32.
//!
//! Neighbours: the sequencer encodes a turn, start-up decodes it; the store writes and reads blocks.
//! Bytes come from a disk: decoding checks all of them and never panics. No io happens here.

pub mod moderation;

use std::sync::Arc;

use moderation::{
    KIND_CREATED_DIRECT, KIND_DELETED, KIND_EDITED, KIND_MODERATED, KIND_PINNED, KIND_REACTED,
    KIND_RENAMED, KIND_SET, Told, body,
};
use throng_core::{
    Author, Event, EventKind, Extras, Kind, OriginId, RoomId, RoomName, Seq, Timestamp, UserId,
    Username, id::SEQ_MAX,
};

/// First byte of a turn; another one is of another build.
const TURN_VERSION: u8 = 0x11;
/// First byte of a block.
const BLOCK_VERSION: u8 = 0x21;
/// Version, CRC-32 of what follows it, length of the body.
const HEADER_LEN: usize = 1 + 4 + 4;
/// The least an encoded event takes: tag, prev, at, an author of two bytes, a name.
const EVENT_LEN_MIN: usize = 6;

const KIND_CREATED: u8 = 0;
const KIND_JOINED: u8 = 1;
const KIND_LEFT: u8 = 2;
const KIND_POSTED: u8 = 3;
/// Made private; `KIND_CREATED` is public.
const KIND_CREATED_PRIVATE: u8 = 8;
const KIND_LAST: u8 = KIND_CREATED_PRIVATE;
const KIND_MASK: u8 = 0x0f;
/// In a tag: the kind is above it, and stands in the next byte.
const KIND_MORE: u8 = 0x0f;
const TAG_PUSHED: u8 = 0x10;
const TAG_ORIGIN: u8 = 0x20;
const TAG_EXTRAS: u8 = 0x40;
/// Of a deletion: it says whose message it was.
const TAG_WHOSE: u8 = TAG_ORIGIN;
/// Of a post or an edit: its text was left blank. An empty text without it was erased, in all builds.
const TAG_BLANK: u8 = 0x80;

/// What was found where a record should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The first byte is no version this build knows.
    #[error("version {0:#04x} is not one this build reads")]
    Version(u8),
    /// The length says otherwise than the bytes.
    #[error("the length does not match")]
    Length,
    /// The bytes are not those that were written.
    #[error("the checksum does not match")]
    Checksum,
    /// The bytes are whole, but a field holds what it cannot.
    #[error("the field `{0}` holds what it cannot")]
    Field(&'static str),
}

/// Appends one turn to `out`, which the log then takes whole.
pub fn encode_turn(events: &[Arc<Event>], out: &mut Vec<u8>) {
    let start = begin(TURN_VERSION, out);
    put_varint(out, events.len() as u64);
    let mut at = 0;
    for event in events {
        put_varint(out, u64::from(event.room.get()));
        put_varint(out, event.seq.0);
        put_event(out, event, &mut at);
    }
    finish(start, out);
}

/// Visits a turn's events in order; verifies the whole turn first.
pub fn decode_turn(bytes: &[u8], mut visit: impl FnMut(Event)) -> Result<(), RecordError> {
    let mut reader = Reader { rest: open(TURN_VERSION, bytes)? };
    let count = reader.varint("count")?;
    if count > (reader.rest.len() / EVENT_LEN_MIN) as u64 {
        return Err(RecordError::Field("count"));
    }
    let mut at = 0;
    for _ in 0..count {
        let room = u32::try_from(reader.varint("room")?).ok().and_then(RoomId::new);
        let room = room.ok_or(RecordError::Field("room"))?;
        let seq = Seq(reader.varint("seq")?);
        visit(reader.event(seq, &mut at)?.to_event(room)?);
    }
    reader.end()
}

/// A block being filled: the newest events of one room, kept encoded, so that one more is an append.
#[derive(Clone, Debug)]
pub struct OpenBlock {
    first: Seq,
    count: u64,
    at: u64,
    bytes: Vec<u8>,
}

impl OpenBlock {
    /// An empty block whose first event will be `first`.
    pub fn new(first: Seq) -> Self {
        Self { first, count: 0, at: 0, bytes: Vec::new() }
    }

    /// Goes on with a block that was read back.
    pub fn reopen(first: Seq, bytes: &[u8]) -> Result<Self, RecordError> {
        let mut block = Block::open(first, bytes)?;
        let body = block.reader.rest.to_vec();
        while block.advance()?.is_some() {}
        Ok(Self { first, count: block.count, at: block.at, bytes: body })
    }

    /// Adds the room's next event.
    pub fn push(&mut self, event: &Event) {
        assert_eq!(event.seq.0, self.first.0 + self.count, "a block is dense");
        put_event(&mut self.bytes, event, &mut self.at);
        self.count += 1;
    }

    /// Takes away the text of the post or the edit at this place; says whether there was one.
    pub fn erase(&mut self, room: RoomId, place: Seq) -> Result<bool, RecordError> {
        self.change_where(room, |event| {
            (event.seq == place && event.stands()).then(|| event.erased())
        })
    }

    /// Puts other events in the places of those that this gives others for; it is asked of each, in
    /// order. Says whether there were any.
    pub fn change_where(
        &mut self,
        room: RoomId,
        mut change: impl FnMut(&Event) -> Option<Event>,
    ) -> Result<bool, RecordError> {
        let reader = Reader { rest: &self.bytes };
        let (first, count) = (self.first, self.count);
        let mut block = Block { reader, next: first, count, left: count, at: 0 };
        let mut rest = Self::new(first);
        let mut found = false;
        while let Some(raw) = block.advance()? {
            let event = raw.to_event(room)?;
            let changed = change(&event);
            found |= changed.is_some();
            rest.push(changed.as_ref().unwrap_or(&event));
        }
        if found {
            *self = rest;
        }
        Ok(found)
    }

    /// The place of its first event: with the room, its key.
    pub fn first(&self) -> Seq {
        self.first
    }

    /// Events in it.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of its events.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory it takes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether it holds no event.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends the block as it lies on disk to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = begin(BLOCK_VERSION, out);
        put_varint(out, self.first.0);
        put_varint(out, self.count);
        out.extend_from_slice(&self.bytes);
        finish(start, out);
    }
}

/// A block being read, event by event, without a copy until one is asked for.
#[derive(Debug)]
pub struct Block<'a> {
    reader: Reader<'a>,
    next: Seq,
    count: u64,
    left: u64,
    at: u64,
}

impl<'a> Block<'a> {
    /// Verifies the block; `first` comes from its key and must be what the block says of itself.
    pub fn open(first: Seq, bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut reader = Reader { rest: open(BLOCK_VERSION, bytes)? };
        if reader.varint("first")? != first.0 {
            return Err(RecordError::Field("first"));
        }
        let count = reader.varint("count")?;
        if count > (reader.rest.len() / EVENT_LEN_MIN) as u64 {
            return Err(RecordError::Field("count"));
        }
        Ok(Self { reader, next: first, count, left: count, at: 0 })
    }

    /// The next event, or `None` after the last.
    pub fn advance(&mut self) -> Result<Option<Raw<'a>>, RecordError> {
        if self.left == 0 {
            self.reader.end()?;
            return Ok(None);
        }
        let raw = self.reader.event(self.next, &mut self.at)?;
        self.next = self.next.next();
        self.left -= 1;
        Ok(Some(raw))
    }
}

/// An event as it lies in a turn or a block: checked for its shape, its texts not yet for their rules.
#[derive(Debug)]
pub struct Raw<'a> {
    /// Its place.
    pub seq: Seq,
    /// Whether it was pushed.
    pub pushed: bool,
    /// When it was decided.
    pub at: Timestamp,
    prev: Seq,
    tag: u8,
    kind: u8,
    author: u64,
    name: &'a str,
    /// The post's number, for a post.
    n: u64,
    origin_id: Option<&'a str>,
    /// The body of a post, the name of a created room.
    text: &'a str,
    extras: Option<Box<Extras>>,
    told: Told<'a>,
}

impl<'a> Raw<'a> {
    /// The sender and its own id, if this is a post that carries one.
    pub fn origin(&self) -> Option<(UserId, &'a str)> {
        Some((UserId::new(self.author)?, self.origin_id?))
    }

    /// The event, owned.
    pub fn to_event(&self, room: RoomId) -> Result<Event, RecordError> {
        let author = Author {
            id: UserId::new(self.author).ok_or(RecordError::Field("author"))?,
            name: Username::stored(self.name).map_err(|_| RecordError::Field("name"))?,
        };
        let kind = match self.kind {
            KIND_CREATED | KIND_CREATED_PRIVATE => EventKind::Created {
                by: author,
                name: RoomName::stored(self.text).map_err(|_| RecordError::Field("room name"))?,
                kind: if self.kind == KIND_CREATED { Kind::Public } else { Kind::Private },
            },
            KIND_CREATED_DIRECT => EventKind::Created {
                by: author,
                name: RoomName::parse_two(self.text)
                    .map_err(|_| RecordError::Field("room name"))?,
                kind: Kind::Direct,
            },
            KIND_JOINED => EventKind::Joined { who: author },
            KIND_LEFT => EventKind::Left { who: author },
            KIND_POSTED => EventKind::Posted {
                n: self.n,
                author,
                origin_id: self
                    .origin_id
                    .map(OriginId::parse)
                    .transpose()
                    .map_err(|_| RecordError::Field("origin_id"))?,
                body: body(self.text, self.tag)?,
                extras: self.extras.clone(),
            },
            _ => self.told.to_kind(author)?,
        };
        let Self { seq, pushed, prev, at, .. } = *self;
        Ok(Event { room, seq, prev, pushed, at, kind })
    }
}

fn begin(version: u8, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.push(version);
    out.extend_from_slice(&[0; HEADER_LEN - 1]);
    start
}

fn finish(start: usize, out: &mut [u8]) {
    let record = &mut out[start..];
    let len = u32::try_from(record.len() - HEADER_LEN).expect("limits keep a turn far below 4 GiB");
    record[5..9].copy_from_slice(&len.to_le_bytes());
    let crc = crc32fast::hash(&record[5..]);
    record[1..5].copy_from_slice(&crc.to_le_bytes());
}

/// Verifies version, length and checksum, and returns the body.
fn open(version: u8, bytes: &[u8]) -> Result<&[u8], RecordError> {
    let Some((header, body)) = bytes.split_at_checked(HEADER_LEN) else {
        return Err(RecordError::Length);
    };
    if header[0] != version {
        return Err(RecordError::Version(header[0]));
    }
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]));
    if word(5) as usize != body.len() {
        return Err(RecordError::Length);
    }
    if word(1) != crc32fast::hash(&bytes[5..]) {
        return Err(RecordError::Checksum);
    }
    Ok(body)
}

/// `at` is the time of the event before, and is moved on.
fn put_event(out: &mut Vec<u8>, event: &Event, at: &mut u64) {
    assert!(event.prev < event.seq, "the pushed event before this one is before it");
    let pushed = if event.pushed { TAG_PUSHED } else { 0 };
    let (kind, author, text) = match &event.kind {
        EventKind::Created { by, name, kind: Kind::Public } => (KIND_CREATED, by, name.as_str()),
        EventKind::Created { by, name, kind: Kind::Private } => {
            (KIND_CREATED_PRIVATE, by, name.as_str())
        }
        EventKind::Created { by, name, kind: Kind::Direct } => {
            (KIND_CREATED_DIRECT, by, name.as_str())
        }
        EventKind::Joined { who } => (KIND_JOINED, who, ""),
        EventKind::Left { who } => (KIND_LEFT, who, ""),
        EventKind::Posted { author, body, .. } => (KIND_POSTED, author, body.as_str()),
        EventKind::Edited { by, .. } => (KIND_EDITED, by, ""),
        EventKind::Deleted { by, .. } => (KIND_DELETED, by, ""),
        EventKind::Reacted { by, .. } => (KIND_REACTED, by, ""),
        EventKind::Pinned { by, .. } => (KIND_PINNED, by, ""),
        EventKind::Moderated { by, .. } => (KIND_MODERATED, by, ""),
        EventKind::Set { by, settings } if settings.name.is_some() => (KIND_RENAMED, by, ""),
        EventKind::Set { by, .. } => (KIND_SET, by, ""),
    };
    let origin_id = match &event.kind {
        EventKind::Posted { origin_id: Some(id), .. } => Some(id.as_str()),
        _ => None,
    };
    let has_origin = if origin_id.is_some() { TAG_ORIGIN } else { 0 };
    let of_kind = match &event.kind {
        EventKind::Deleted { whose: Some(_), .. } => TAG_WHOSE,
        EventKind::Posted { body, .. } | EventKind::Edited { body, .. } if body.is_blank() => {
            TAG_BLANK
        }
        _ => 0,
    };
    let extras = match &event.kind {
        EventKind::Posted { extras, .. } => extras.as_deref(),
        _ => None,
    };
    let has_extras = if extras.is_some() { TAG_EXTRAS } else { 0 };
    out.reserve(48 + author.name.as_str().len() + origin_id.map_or(0, str::len) + text.len());
    out.push(kind.min(KIND_MORE) | pushed | has_origin | of_kind | has_extras);
    if kind >= KIND_MORE {
        out.push(kind);
    }
    put_varint(out, event.seq.0 - event.prev.0);
    put_varint(out, zigzag(event.at.0.wrapping_sub(*at) as i64));
    *at = event.at.0;
    put_varint(out, author.id.get());
    put_text(out, author.name.as_str());
    if let EventKind::Posted { n, .. } = &event.kind {
        put_varint(out, *n);
    }
    if let Some(id) = origin_id {
        put_text(out, id);
    }
    if has_text(kind) {
        put_text(out, text);
        if let Some(extras) = extras {
            moderation::put_extras(out, extras);
        }
    } else {
        moderation::put(out, &event.kind);
    }
}

fn has_text(kind: u8) -> bool {
    matches!(kind, KIND_CREATED | KIND_CREATED_PRIVATE | KIND_CREATED_DIRECT | KIND_POSTED)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Small numbers of either sign become small numbers.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[derive(Debug)]
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self, field: &'static str) -> Result<u8, RecordError> {
        let (first, rest) = self.rest.split_first().ok_or(RecordError::Field(field))?;
        self.rest = rest;
        Ok(*first)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(RecordError::Field(field))?;
        self.rest = rest;
        Ok(*first)
    }

    fn varint(&mut self, field: &'static str) -> Result<u64, RecordError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(field)?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(RecordError::Field(field))
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, RecordError> {
        let len = usize::try_from(self.varint(field)?).map_err(|_| RecordError::Field(field))?;
        let (text, rest) = self.rest.split_at_checked(len).ok_or(RecordError::Field(field))?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| RecordError::Field(field))
    }

    fn event(&mut self, seq: Seq, at: &mut u64) -> Result<Raw<'a>, RecordError> {
        let tag = self.byte("tag")?;
        let nibble = tag & KIND_MASK;
        let kind = if nibble == KIND_MORE { self.byte("kind")? } else { nibble };
        let is_kind = match nibble {
            KIND_MORE => (KIND_REACTED..=KIND_RENAMED).contains(&kind),
            _ => kind <= KIND_LAST,
        };
        let of_kind = match kind {
            KIND_POSTED => TAG_ORIGIN | TAG_EXTRAS | TAG_BLANK,
            KIND_EDITED => TAG_BLANK,
            KIND_DELETED => TAG_WHOSE,
            _ => 0,
        };
        if tag & !(KIND_MASK | TAG_PUSHED | of_kind) != 0 || !is_kind {
            return Err(RecordError::Field("tag"));
        }
        if !(1..=SEQ_MAX).contains(&seq.0) {
            return Err(RecordError::Field("seq"));
        }
        let back = self.varint("prev")?;
        if back == 0 || back > seq.0 {
            return Err(RecordError::Field("prev"));
        }
        *at = at.wrapping_add(unzigzag(self.varint("at")?) as u64);
        let author = self.varint("author")?;
        let name = self.text("name")?;
        let n = if kind == KIND_POSTED { self.varint("n")? } else { 0 };
        let has_origin = kind == KIND_POSTED && tag & TAG_ORIGIN != 0;
        let origin_id = if has_origin { Some(self.text("origin_id")?) } else { None };
        let text = if has_text(kind) { self.text("text")? } else { "" };
        let has_extras = tag & TAG_EXTRAS != 0;
        let extras = if has_extras { moderation::read_extras(self)? } else { None };
        let told = moderation::read(self, kind, tag)?;
        let pushed = tag & TAG_PUSHED != 0;
        let (prev, at) = (Seq(seq.0 - back), Timestamp(*at));
        Ok(Raw { seq, pushed, at, prev, tag, kind, author, name, n, origin_id, text, extras, told })
    }

    fn end(&self) -> Result<(), RecordError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RecordError::Length) }
    }
}

#[cfg(test)]
mod tests;
