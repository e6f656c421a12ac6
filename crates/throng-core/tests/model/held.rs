//! What waits, said as plainly as possible: a list, in the order in which it was said.

use std::collections::BTreeMap;

use throng_core::limits::{HELD_OF_ROOM_MAX, HELD_OF_SENDER_MAX, UNAVAILABLE_RETRY_AFTER_MS};
use throng_core::rights::{Operation, outranks, permit};
use throng_core::{
    Author, Body, Came, Command, EventKind, Extras, OriginId, Rejection, Reply, Request, Role,
    RoomId, Seq, Timestamp, UserId, Verdict,
};

use super::{Model, Outcome};

/// A post that waits.
#[derive(Clone, Debug)]
pub struct Waits {
    pub number: u64,
    pub room: RoomId,
    pub at: Timestamp,
    pub author: Author,
    pub origin_id: Option<OriginId>,
    pub body: Body,
    pub extras: Option<Box<Extras>>,
}

/// What waits, and what could not be decided and is not tried again before its time.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    pub posts: Vec<Waits>,
    not_before: BTreeMap<RoomId, Timestamp>,
    newest: u64,
}

impl Model {
    /// A restart forgets all that waits.
    pub fn forget_waiting(&mut self) {
        self.waiting = Waiting::default();
    }

    /// What waits in a room could not be decided, or not be committed.
    pub fn postpone(&mut self, room: RoomId) {
        if self.waiting.posts.iter().any(|post| post.room == room) {
            let at = Timestamp(self.at.0 + u64::from(UNAVAILABLE_RETRY_AFTER_MS));
            self.waiting.not_before.insert(room, at);
        }
    }

    /// When the first of each room is due.
    fn dues(&self) -> BTreeMap<RoomId, Timestamp> {
        let mut dues = BTreeMap::new();
        for post in &self.waiting.posts {
            let not_before = self.waiting.not_before.get(&post.room).copied().unwrap_or_default();
            dues.entry(post.room).or_insert(self.until(post).max(not_before));
        }
        dues
    }

    /// When the next of all is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.dues().into_values().min()
    }

    /// What is due now, room after room.
    pub fn due(&self) -> Vec<(RoomId, u64)> {
        let dues = self.dues();
        let due = |post: &&Waits| dues[&post.room] <= self.at && self.until(post) <= self.at;
        let mut due: Vec<_> =
            self.waiting.posts.iter().filter(due).map(|post| (post.room, post.number)).collect();
        due.sort_by_key(|(room, number)| (dues[room], *room, *number));
        due
    }

    fn until(&self, post: &Waits) -> Timestamp {
        Timestamp(post.at.0 + u64::from(self.policy(post.room).delay_seconds) * 1_000)
    }

    pub fn keeps_order(&self, room: RoomId, user: UserId) -> bool {
        self.standing(room, user).role() >= Some(Role::Moderator)
    }

    /// The answer to one whose `origin_id` waits already.
    pub(super) fn waits_already(
        &self,
        room: RoomId,
        who: UserId,
        origin_id: Option<&OriginId>,
    ) -> Option<Reply> {
        let policy = self.policy(room);
        origin_id.filter(|_| policy.slow_seconds > 0 || policy.delay_seconds > 0)?;
        let same = |post: &&Waits| {
            post.room == room && post.author.id == who && post.origin_id.as_ref() == origin_id
        };
        let first = self.waiting.posts.iter().rfind(same)?;
        Some(Reply::Held { number: first.number, until: self.until(first), repeat: true })
    }

    /// When one said last what waits still.
    pub(super) fn waits_since(&self, room: RoomId, who: UserId) -> Option<u64> {
        let of = |post: &&Waits| post.room == room && post.author.id == who;
        self.waiting.posts.iter().rfind(of).map(|post| post.at.0)
    }

    /// It waits. Its number is the shard's to choose, as long as it is greater than all before.
    pub(super) fn hold(&mut self, request: &Request, actual: Outcome) -> Outcome {
        let Request { from, command: Command::Post { room, origin_id, body, extras } } = request
        else {
            unreachable!("a post is asked for")
        };
        let of = |post: &&Waits| post.room == *room;
        let of_room = self.waiting.posts.iter().filter(of);
        let of_sender = of_room.clone().filter(|post| post.author.id == from.id).count();
        if of_sender >= HELD_OF_SENDER_MAX || of_room.count() >= HELD_OF_ROOM_MAX {
            return Err(Rejection::LimitReached);
        }
        let Ok(Reply::Held { number, .. }) = actual else { panic!("{actual:?} does not wait") };
        assert!(number > self.waiting.newest, "numbers ascend");
        self.waiting.newest = number;
        let post = Waits {
            number,
            room: *room,
            at: self.at,
            author: from.clone(),
            origin_id: origin_id.clone(),
            body: body.clone(),
            extras: extras.clone(),
        };
        let until = self.until(&post);
        self.waiting.posts.push(post);
        Ok(Reply::Held { number, until, repeat: false })
    }

    pub(super) fn settle(
        &mut self,
        room: RoomId,
        who: &Author,
        (number, verdict): (u64, Verdict),
        actual: Outcome,
    ) -> Outcome {
        let (asker, policy) = (self.standing(room, who.id), self.policy(room));
        match verdict {
            Verdict::Due => {}
            Verdict::Pass => permit(Operation::PassHeld, asker, policy)?,
            Verdict::Drop => permit(Operation::DeleteOwn, asker, policy)?,
        }
        let shown = |post: &&Waits| {
            let own = post.author.id == who.id;
            post.number == number && post.room == room && (own || self.keeps_order(room, who.id))
        };
        let post = self.waiting.posts.iter().find(shown).cloned();
        let post = post.ok_or(Rejection::NoSuchMessage)?;
        let sender = post.author.id;
        let came = if verdict == Verdict::Drop {
            if sender != who.id {
                permit(Operation::DeleteOther, asker, policy)?;
                outranks(asker, self.standing(room, sender), None)?;
            }
            Came::Dropped
        } else {
            self.say(&post, actual).unwrap_or_else(Came::Refused)
        };
        self.end(room, |post| post.number == number);
        Ok(Reply::Unheld { number, sender, came })
    }

    /// All that is asked of a post, but for slow mode.
    fn say(&mut self, post: &Waits, actual: Outcome) -> Result<Came, Rejection> {
        let Waits { room, author, origin_id, body, extras, .. } = post;
        permit(Operation::Post, self.standing(*room, author.id), self.policy(*room))?;
        let as_posted = match actual {
            Ok(Reply::Unheld { came: Came::Posted { seq, repeat: true }, .. }) => {
                self.as_repeat(*room, seq)
            }
            other => other,
        };
        let first = origin_id.as_ref().and_then(|id| self.first(*room, author, id, as_posted));
        if let Some(Reply::Posted { seq, .. }) = first {
            return Ok(Came::Posted { seq, repeat: true });
        }
        self.in_words(*room, author.id, body)?;
        self.in_sight(*room, author.id, extras.as_deref())?;
        let (author, origin_id, body) = (author.clone(), origin_id.clone(), body.clone());
        let (n, extras) = (self.posts(*room) + 1, extras.clone());
        let kind = EventKind::Posted { n, author, origin_id, body, extras };
        Ok(Came::Posted { seq: self.happen(*room, kind, true), repeat: false })
    }

    /// What a repeat of the post at this place is answered.
    fn as_repeat(&self, room: RoomId, seq: Seq) -> Outcome {
        match self.event(room, seq).map(|event| (event.at, &event.kind)) {
            Some((at, EventKind::Posted { n, .. })) => {
                Ok(Reply::Posted { seq, n: *n, at, repeat: true })
            }
            _ => Err(Rejection::Unavailable),
        }
    }

    /// What waits of somebody who is removed, leaves, or has all taken away.
    pub(super) fn drop_of(&mut self, room: RoomId, who: UserId) {
        self.end(room, |post| post.author.id == who);
    }

    fn end(&mut self, room: RoomId, which: impl Fn(&Waits) -> bool) {
        self.waiting.posts.retain(|post| post.room != room || !which(post));
        if !self.waiting.posts.iter().any(|post| post.room == room) {
            self.waiting.not_before.remove(&room);
        }
    }
}
