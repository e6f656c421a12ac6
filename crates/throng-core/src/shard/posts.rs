//! What is said: at once, or after the room's delay, when all is asked of it again.
//!
//! Neighbours: `shard.rs` calls it for its commands and gives places to the events; `waiting.rs` keeps
//! what has none yet; `moderation` says what may be said. The sequencer asks what is due.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::waiting::{HeldPage, HeldPost, Waited};
use super::{Facts, Now, Shard, Turn, direct, moderation};
use crate::command::{Came, Command, Reply, Request, Verdict};
use crate::event::{Author, EventKind, Extras};
use crate::id::{RoomId, Seq, Timestamp, UserId};
use crate::rejection::Rejection;
use crate::rights::{Operation, outranks, permit};
use crate::text::{Body, OriginId};

impl Shard {
    pub(super) fn post(
        &mut self,
        room: RoomId,
        request: &Request,
        facts: &Facts,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let Request { from: who, command: Command::Post { origin_id, body, extras, .. } } = request
        else {
            unreachable!("a post is asked for")
        };
        let may = self.permitted(room, Operation::Post, who.id);
        // A repeat is answered whatever has been said of speaking since: its first stands. One who does
        // not belong is told nothing of it.
        let silenced = matches!(may, Err(Rejection::Muted | Rejection::NoVoice));
        let known = if silenced { self.slot(room).ok_or(Rejection::NoSuchRoom) } else { may };
        let slot = known?;
        if let Some(origin_id) = origin_id
            && let Some(first) = self.first_of(slot, who.id, origin_id, facts, turn)?
        {
            return Ok(first);
        }
        may?;
        direct::consented(&self.rooms[slot], who.id, facts)?;
        let state = &self.rooms[slot];
        let mut delayed = false;
        if state.policy.is_paced() {
            delayed = state.policy.delay_seconds > 0 && !moderation::keeps_order(state, who.id);
            if let Some(first) = self.waits_already(slot, who.id, origin_id.as_ref()) {
                return Ok(first);
            }
            let held = self.waiting.of(room, who.id).next().map(|post| post.at);
            moderation::in_time(state, who.id, turn.at, held)?;
        }
        moderation::in_words(state, who.id, body, extras.as_deref())?;
        if let Some(of) = extras.as_ref().and_then(|extras| extras.reply_to) {
            moderation::in_sight(state, who.id, of)?;
        }
        if delayed {
            return self.hold(slot, who, (origin_id.as_ref(), body, extras.as_deref()), turn);
        }
        let kind = EventKind::Posted {
            n: state.posts + 1,
            author: who.clone(),
            origin_id: origin_id.clone(),
            body: body.clone(),
            extras: extras.clone(),
        };
        let event = self.happen(slot, kind, true, turn)?;
        let n = self.rooms[slot].posts;
        Ok(Reply::Posted { seq: event, n, at: turn.at, repeat: false })
    }

    /// The answer that the first post of this `origin_id` got, if this is a repeat.
    fn first_of(
        &self,
        slot: usize,
        sender: UserId,
        origin_id: &OriginId,
        facts: &Facts,
        turn: &Turn,
    ) -> Result<Option<Reply>, Rejection> {
        let room = &self.rooms[slot];
        if room.origins.missing().is_some() {
            return Err(Rejection::Unavailable);
        }
        let fingerprint = self.fingerprint(sender, origin_id.as_str());
        let cutoff = self.window.cutoff();
        for seq in room.origins.hits(fingerprint, room.head, cutoff) {
            let of_turn = || turn.events.iter().rev().find(|e| e.seq == seq && e.room == room.id);
            let event = facts.events.get(&(room.id, seq)).or_else(of_turn);
            let event = event.ok_or(Rejection::Unavailable)?;
            if let EventKind::Posted { n, author, origin_id: Some(first), .. } = &event.kind
                && author.id == sender
                && first == origin_id
                && self.window.grain(event.at) >= cutoff
            {
                return Ok(Some(Reply::Posted { seq, n: *n, at: event.at, repeat: true }));
            }
        }
        Ok(None)
    }

    /// The room, sender and `origin_id` of what is to be posted by a request, where it may be a repeat.
    pub(super) fn origin_of<'a>(
        &'a self,
        request: &'a Request,
    ) -> Option<(RoomId, UserId, &'a OriginId)> {
        match &request.command {
            Command::Post { room, origin_id, .. } => {
                Some((*room, request.from.id, origin_id.as_ref()?))
            }
            Command::Held { room, number, verdict: verdict @ (Verdict::Due | Verdict::Pass) } => {
                if *verdict == Verdict::Pass {
                    // Nothing is looked up for those who may not.
                    self.permitted(*room, Operation::PassHeld, request.from.id).ok()?;
                }
                let post = self.waiting.get(*room, *number)?;
                Some((*room, post.author.id, post.origin_id.as_ref()?))
            }
            _ => None,
        }
    }

    // ---- what waits ---------------------------------------------------------------------------

    /// Counts what waits in all together with another shard of the same server.
    pub fn count_held_with(&mut self, other: &Self) {
        self.waiting.count_with(&other.waiting);
    }

    /// What is due at this time, as the requests of those who said it; in the order of each room, and
    /// at most so many.
    pub fn due(&self, now: Now, max: usize, requests: &mut Vec<Request>) {
        let at = now.at.max(self.at);
        let until = requests.len() + max;
        for room in self.waiting.due_at(at) {
            let delay = self.delay_of(room);
            for post in self.waiting.line(room).take_while(|post| post.until(delay) <= at) {
                if requests.len() == until {
                    return;
                }
                let command = Command::Held { room, number: post.number, verdict: Verdict::Due };
                requests.push(Request { from: post.author.clone(), command });
            }
        }
    }

    /// When the next of what waits is due; `None` while nothing does.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.waiting.next_due()
    }

    /// Whether anything waits in a room.
    pub fn waits_in(&self, room: RoomId) -> bool {
        self.waiting.line(room).next().is_some()
    }

    /// The time by which what is due is decided: a shard's times never go back.
    pub fn time(&self, now: Timestamp) -> Timestamp {
        now.max(self.at)
    }

    /// What waits in a room above a number: all of it for those who keep order, for others their own.
    pub fn held(
        &self,
        room: RoomId,
        asker: UserId,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<HeldPage, Rejection> {
        let slot = self.permitted(room, Operation::Held, asker)?;
        let all = moderation::keeps_order(&self.rooms[slot], asker);
        let delay = self.delay_of(room);
        let mut page = HeldPage::default();
        let mut len = 0;
        for post in self.waiting.line(room) {
            if post.number <= after || !(all || post.author.id == asker) {
                continue;
            }
            len += post.bytes();
            if page.posts.len() == limit || (len > bytes && !page.posts.is_empty()) {
                page.more = true;
                break;
            }
            page.posts.push((Arc::clone(post), post.until(delay)));
        }
        Ok(page)
    }

    fn delay_of(&self, room: RoomId) -> u32 {
        self.slot(room).map_or(0, |slot| self.rooms[slot].policy.delay_seconds)
    }

    /// The line of a room is brought to where it stands by the room's delay.
    pub(super) fn schedule_held(&mut self, room: RoomId) {
        let delay = self.delay_of(room);
        self.waiting.schedule(room, delay);
    }

    fn waits_already(
        &self,
        slot: usize,
        sender: UserId,
        origin_id: Option<&OriginId>,
    ) -> Option<Reply> {
        let state = &self.rooms[slot];
        let same = |post: &&Arc<HeldPost>| post.origin_id.as_ref() == origin_id;
        let first = origin_id.and_then(|_| self.waiting.of(state.id, sender).find(same))?;
        let until = first.until(state.policy.delay_seconds);
        Some(Reply::Held { number: first.number, until, repeat: true })
    }

    /// A post waits from now on.
    fn hold(
        &mut self,
        slot: usize,
        who: &Author,
        (origin_id, body, extras): (Option<&OriginId>, &Body, Option<&Extras>),
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let state = &self.rooms[slot];
        let room = state.id;
        let post = Arc::new(HeldPost {
            number: self.waiting.next_number(turn.at),
            room,
            at: turn.at,
            author: who.clone(),
            origin_id: origin_id.cloned(),
            body: body.clone(),
            extras: extras.cloned().map(Into::into),
        });
        let (number, until) = (post.number, post.until(state.policy.delay_seconds));
        self.waiting.hold(&post)?;
        self.schedule_held(room);
        turn.waited.push(Waited { post, came: None, until });
        Ok(Reply::Held { number, until, repeat: false })
    }

    /// What becomes of a post that waits.
    pub(super) fn settle_held(
        &mut self,
        room: RoomId,
        who: &Author,
        (number, verdict): (u64, Verdict),
        facts: &Facts,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let slot = match verdict {
            Verdict::Due => self.slot(room).ok_or(Rejection::NoSuchRoom)?,
            Verdict::Pass => self.permitted(room, Operation::PassHeld, who.id)?,
            Verdict::Drop => self.permitted(room, Operation::DeleteOwn, who.id)?,
        };
        let state = &self.rooms[slot];
        let post = self.waiting.get(room, number).cloned();
        // Who does not keep order is not told that another's waits.
        let all = moderation::keeps_order(state, who.id);
        let post = post.filter(|post| all || post.author.id == who.id);
        let post = post.ok_or(Rejection::NoSuchMessage)?;
        let came = match verdict {
            Verdict::Due | Verdict::Pass => match self.say(&post, facts, turn) {
                Ok((seq, repeat)) => Came::Posted { seq, repeat },
                Err(Rejection::Unavailable) => {
                    self.waiting.postpone(room, turn.at);
                    self.schedule_held(room);
                    return Err(Rejection::Unavailable);
                }
                Err(rejection) => Came::Refused(rejection),
            },
            Verdict::Drop => {
                if post.author.id != who.id {
                    let asker = state.standing(who.id);
                    permit(Operation::DeleteOther, asker, state.policy)?;
                    outranks(asker, state.standing(post.author.id), None)?;
                }
                Came::Dropped
            }
        };
        let sender = post.author.id;
        self.end_held(post, came, turn);
        Ok(Reply::Unheld { number, sender, came })
    }

    /// Asks all of a post that waited that is asked of one that did not, but for slow mode, which it was
    /// asked when it was said; and gives it its place.
    fn say(
        &mut self,
        post: &HeldPost,
        facts: &Facts,
        turn: &mut Turn,
    ) -> Result<(Seq, bool), Rejection> {
        let HeldPost { room, author, origin_id, body, extras, .. } = post;
        let slot = self.permitted(*room, Operation::Post, author.id)?;
        direct::consented(&self.rooms[slot], author.id, facts)?;
        if let Some(origin_id) = origin_id
            && let Some(first) = self.first_of(slot, author.id, origin_id, facts, turn)?
        {
            let Reply::Posted { seq, .. } = first else { unreachable!("the first was posted") };
            return Ok((seq, true));
        }
        let state = &self.rooms[slot];
        moderation::in_words(state, author.id, body, extras.as_deref())?;
        if let Some(of) = extras.as_ref().and_then(|extras| extras.reply_to) {
            moderation::in_sight(state, author.id, of)?;
        }
        let kind = EventKind::Posted {
            n: state.posts + 1,
            author: author.clone(),
            origin_id: origin_id.clone(),
            body: body.clone(),
            extras: extras.clone(),
        };
        Ok((self.happen(slot, kind, true, turn)?, false))
    }

    /// All that waits of somebody in a room is taken away.
    pub(super) fn drop_held(&mut self, room: RoomId, user: UserId, turn: &mut Turn) {
        let of: Vec<_> = self.waiting.of(room, user).cloned().collect();
        for post in of.into_iter().rev() {
            self.end_held(post, Came::Dropped, turn);
        }
    }

    fn end_held(&mut self, post: Arc<HeldPost>, came: Came, turn: &mut Turn) {
        self.waiting.take(&post);
        self.schedule_held(post.room);
        turn.waited.push(Waited { until: post.at, post, came: Some(came) });
    }

    /// The turn could not be committed: what it ended waits again, what it held does not.
    pub(super) fn wait_again(&mut self, turn: &Turn) {
        for Waited { post, came, .. } in turn.waited.iter().rev() {
            if came.is_none() {
                self.waiting.take(post);
                continue;
            }
            self.waiting.put_back(post);
            self.waiting.postpone(post.room, turn.at);
        }
        let waited = turn.waited.iter().map(|waited| waited.post.room);
        for room in waited.chain(turn.events.iter().map(|event| event.room)) {
            self.schedule_held(room);
        }
    }
}
