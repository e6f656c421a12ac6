//! What a shard should decide, said as plainly as possible: every question is answered by looking
//! through all events of the room. No tables, no windows in grains, nothing to take back.

use std::collections::BTreeMap;
use std::sync::Arc;

use throng_core::shard::Now;
use throng_core::{
    Author, Command, Event, EventKind, Limits, OriginId, Rejection, Reply, Request, RoomId, Seq,
    Timestamp, UserId,
};

pub type Outcome = Result<Reply, Rejection>;

/// Every event of every room, in the order of commit.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub limits: Limits,
    pub events: Vec<Arc<Event>>,
    at: Timestamp,
}

impl Model {
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    pub fn room(&self, room: RoomId) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        self.events.iter().filter(move |event| event.room == room)
    }

    pub fn event(&self, room: RoomId, seq: Seq) -> Option<&Arc<Event>> {
        self.room(room).find(|event| event.seq == seq)
    }

    pub fn head(&self, room: RoomId) -> Seq {
        Seq(self.room(room).count() as u64)
    }

    pub fn pushed(&self, room: RoomId) -> Seq {
        self.room(room).filter(|event| event.pushed).map(|event| event.seq).max().unwrap_or(Seq(0))
    }

    pub fn posts(&self, room: RoomId) -> u64 {
        self.room(room).filter(|event| matches!(event.kind, EventKind::Posted { .. })).count()
            as u64
    }

    pub fn posts_total(&self) -> u64 {
        self.events.iter().filter(|e| matches!(e.kind, EventKind::Posted { .. })).count() as u64
    }

    pub fn members(&self, room: RoomId) -> BTreeMap<UserId, Seq> {
        let mut members = BTreeMap::new();
        for event in self.room(room) {
            match &event.kind {
                EventKind::Joined { who } => drop(members.insert(who.id, event.seq)),
                EventKind::Left { who } => drop(members.remove(&who.id)),
                EventKind::Created { .. } | EventKind::Posted { .. } => {}
            }
        }
        members
    }

    /// A restart: the newest time known is that of the newest event.
    pub fn restart(&mut self) {
        self.at = self.events.iter().map(|event| event.at).max().unwrap_or_default();
    }

    /// Begins a turn: time goes on, or stays.
    pub fn begin(&mut self, now: Now) {
        self.at = self.at.max(now.at);
    }

    /// Decides one request. Where the window's edge leaves it open whether a post is a repeat,
    /// `actual` decides; all else must be as said here.
    pub fn decide(&mut self, request: &Request, actual: Outcome) -> Outcome {
        let who = &request.from;
        let room = request.command.room();
        if let Command::Create { name, .. } = &request.command {
            self.happen(room, EventKind::Created { by: who.clone(), name: name.clone() }, true);
            let pushed = self.limits.pushed_members_max >= 1;
            let seq = self.happen(room, EventKind::Joined { who: who.clone() }, pushed);
            return Ok(Reply::Created { seq });
        }
        if self.head(room) == Seq(0) {
            return Err(Rejection::NoSuchRoom);
        }
        let members = self.members(room);
        let joined = members.get(&who.id).copied();
        let pushed = |count: usize| count <= self.limits.pushed_members_max;
        match (&request.command, joined) {
            (Command::Create { .. }, _) => unreachable!("answered above"),
            (Command::Join { .. }, Some(seq)) => Ok(Reply::Joined { seq, already: true }),
            (Command::Join { .. }, None) if members.len() >= self.limits.members_max => {
                Err(Rejection::LimitReached)
            }
            (Command::Join { .. }, None) => {
                let pushed = pushed(members.len() + 1);
                let seq = self.happen(room, EventKind::Joined { who: who.clone() }, pushed);
                Ok(Reply::Joined { seq, already: false })
            }
            (Command::Leave { .. } | Command::Post { .. }, None) => Err(Rejection::NotMember),
            (Command::Leave { .. }, Some(_)) => {
                let pushed = pushed(members.len());
                Ok(Reply::Left {
                    seq: self.happen(room, EventKind::Left { who: who.clone() }, pushed),
                })
            }
            (Command::Post { origin_id, body, .. }, Some(_)) => {
                let first = origin_id.as_ref().and_then(|id| self.first(room, who, id, actual));
                if let Some(first) = first {
                    return Ok(first);
                }
                let n = self.posts(room) + 1;
                let (author, origin_id, body) = (who.clone(), origin_id.clone(), body.clone());
                let kind = EventKind::Posted { n, author, origin_id, body };
                let seq = self.happen(room, kind, true);
                Ok(Reply::Posted { seq, n, at: self.at, repeat: false })
            }
        }
    }

    /// The reply to the newest post of this `origin_id`, if it must be remembered, or may and was.
    fn first(&self, room: RoomId, who: &Author, id: &OriginId, actual: Outcome) -> Option<Reply> {
        let (index, event, n) =
            self.events.iter().enumerate().rev().find_map(|(i, event)| match &event.kind {
                EventKind::Posted { n, author, origin_id, .. }
                    if event.room == room
                        && author.id == who.id
                        && origin_id.as_ref() == Some(id) =>
                {
                    Some((i, event, *n))
                }
                _ => None,
            })?;
        let reply = Reply::Posted { seq: event.seq, n, at: event.at, repeat: true };
        let age = self.at.0 - event.at.0;
        let later = &self.events[index + 1..];
        let later = later.iter().filter(|e| matches!(e.kind, EventKind::Posted { .. })).count();
        let window = self.limits.origin_window_ms;
        let must = age <= window && (later as u64) < self.limits.origin_window_posts;
        let may = age <= window + window.div_ceil(8_192).max(1);
        (must || (may && actual == Ok(reply))).then_some(reply)
    }

    fn happen(&mut self, room: RoomId, kind: EventKind, pushed: bool) -> Seq {
        let seq = self.head(room).next();
        let prev = self.pushed(room);
        self.events.push(Arc::new(Event { room, seq, prev, pushed, at: self.at, kind }));
        seq
    }
}
