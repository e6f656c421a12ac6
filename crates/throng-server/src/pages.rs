//! What is read in pages: which part is asked for, and what is answered.
//!
//! Neighbours: the store and the history answer spans of a room's events, the directory lists rooms,
//! protocols and REST write both out. It reads nothing itself.

use std::collections::HashMap;
use std::sync::Arc;

use crate::personal::{Level, Marker};
use throng_core::{
    Author, Avatar, Body, Event, EventKind, NamePart, Policy, Role, RoomId, RoomName, Seq, Topic,
    UserId, Username,
};

/// Which events of a room, and from which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// The newest ones below this place.
    Before(Seq),
    /// The oldest ones above this place.
    After(Seq),
}

/// What became of a message: the newest edit of it, or its deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The message's place.
    pub of: Seq,
    /// The place of the edit or the deletion.
    pub seq: Seq,
    /// The new text; `None` when it was deleted.
    pub body: Option<Body>,
}

impl Note {
    /// What an event says became of a message.
    pub fn from_event(event: &Event) -> Option<Self> {
        let (of, body) = match &event.kind {
            EventKind::Edited { of, body, .. } => (*of, Some(body.clone())),
            EventKind::Deleted { of, .. } => (*of, None),
            _ => return None,
        };
        Some(Self { of, seq: event.seq, body })
    }

    /// An event as it is shown, knowing this of the message that it posts or edits: a deleted text
    /// is nowhere shown, an edited one is its newest.
    pub fn show(&self, event: &Arc<Event>) -> Arc<Event> {
        match (&event.kind, &self.body) {
            (EventKind::Posted { .. } | EventKind::Edited { .. }, None) => Arc::new(event.erased()),
            (EventKind::Posted { .. }, Some(body)) => Arc::new(event.edited(self.seq, body)),
            _ => Arc::clone(event),
        }
    }
}

/// The message whose text an event carries: its own, or that which it edits.
pub fn text_of(event: &Event) -> Option<Seq> {
    match &event.kind {
        EventKind::Posted { .. } => Some(event.seq),
        EventKind::Edited { of, .. } => Some(*of),
        _ => None,
    }
}

/// Who said the text that an event carries.
pub(crate) fn sender_of(event: &Event) -> Option<UserId> {
    match &event.kind {
        EventKind::Posted { author, .. } => Some(author.id),
        EventKind::Edited { by, .. } => Some(by.id),
        _ => None,
    }
}

/// Whether the text of an event was taken away with all that its sender had said.
pub(crate) fn is_swept(event: &Event, sweeps: &HashMap<UserId, Seq>) -> bool {
    sender_of(event).and_then(|user| sweeps.get(&user)).is_some_and(|through| event.seq < *through)
}

/// Shows events, when all that became of their messages is among them: those of a gap up to now.
pub fn show_among(events: &mut [Arc<Event>]) {
    let notes: HashMap<Seq, Note> =
        events.iter().filter_map(|event| Note::from_event(event)).map(|it| (it.of, it)).collect();
    let swept = events.iter().filter_map(|event| Some((event.kind.sweeps()?, event.seq)));
    let sweeps: HashMap<UserId, Seq> = swept.collect();
    if notes.is_empty() && sweeps.is_empty() {
        return;
    }
    for event in events {
        if is_swept(event, &sweeps) {
            *event = Arc::new(event.erased());
        } else if let Some(note) = text_of(event).and_then(|of| notes.get(&of)) {
            *event = note.show(event);
        }
    }
}

/// One page of a room's history.
#[derive(Clone, Debug)]
pub struct Page {
    /// Which room.
    pub room: RoomId,
    /// Ascending, membership included.
    pub events: Vec<Arc<Event>>,
    /// There is more in the direction asked for.
    pub more: bool,
}

/// A room as the list tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSummary {
    /// Which room.
    pub room: RoomId,
    /// Its name.
    pub name: RoomName,
    /// How many belong.
    pub members: u32,
    /// Place of the newest durable event.
    pub head: Seq,
    /// Posts so far.
    pub posts: u64,
    /// The asker belongs.
    pub member: bool,
    /// The asker is invited, and does not belong yet.
    pub invited: bool,
    /// What it has settled.
    pub policy: Policy,
    /// What it is about.
    pub topic: Topic,
    /// Which picture stands for it.
    pub avatar: Avatar,
    /// Of a direct room: the other one of its two.
    pub with: Option<(UserId, Username)>,
}

/// Who is in a room, as all who hear it are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// How many belong.
    pub members: u32,
    /// How many of them hear it.
    pub here: u32,
    /// Who; in larger rooms nobody is named.
    pub users: Vec<UserId>,
    /// How many type.
    pub typing: u32,
    /// Who; as above.
    pub typists: Vec<UserId>,
}

/// One who belongs to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomMember {
    /// Who.
    pub author: Author,
    /// What it is there.
    pub role: Role,
    /// It hears the room now.
    pub here: bool,
    /// It may not speak; false where the asker is not to know.
    pub muted: bool,
    /// It may speak where few may; likewise.
    pub voiced: bool,
    /// Which picture stands for it.
    pub avatar: Avatar,
}

/// One page of those who have a mark in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Ascending by number.
    pub users: Vec<Author>,
    /// There are more after the last of these.
    pub more: bool,
}

/// One page of those who belong to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomMembers {
    /// Which room.
    pub room: RoomId,
    /// As of this place.
    pub seq: Seq,
    /// Ascending by number.
    pub members: Vec<RoomMember>,
    /// There are more after the last of these.
    pub more: bool,
}

/// What of a room its member has not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Which room.
    pub room: RoomId,
    /// How far it has read; nothing before it said so.
    pub read: Marker,
    /// Posts after that.
    pub unread: u64,
    /// Of them, those that mention it, up to what is counted.
    pub mentions: usize,
    /// What it wants to be told of.
    pub level: Level,
}

/// One page of what was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreads {
    /// Ascending by the rooms' numbers.
    pub rooms: Vec<Unread>,
    /// There are more after the last of these.
    pub more: bool,
}

/// Which rooms are asked for.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Above this number.
    pub after: u32,
    /// At most this many; 0 for the page's own size.
    pub limit: u32,
    /// Only the asker's.
    pub mine: bool,
    /// Only those whose name, as the asker is shown it, has this.
    pub named: Option<NamePart>,
}

/// One page of the list of rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomList {
    /// Ascending by number.
    pub rooms: Vec<RoomSummary>,
    /// Where the next page goes on: after this one. None when there is no more.
    pub next: Option<RoomId>,
}
