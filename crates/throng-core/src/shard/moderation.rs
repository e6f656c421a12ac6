//! What is done to messages, to people and to the room itself: decided as everything is, in the
//! room's order.
//!
//! Neighbours: `shard.rs` calls it for its commands and gives places to the events; `rights` says who
//! may. A message that is changed is among the facts, because the shard keeps no messages.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::direct::consented;
use super::{Facts, Shard, Turn};
use crate::command::Reply;
use crate::event::{Author, Event, EventKind, Extras};
use crate::id::{RoomId, Seq, Timestamp, UserId};
use crate::rejection::Rejection;
use crate::rights::{Act, Operation, Role, Settings, Standing, outranks, permit};
use crate::room::Room;
use crate::text::{Body, Reaction};

/// Whether an account keeps order in a room.
pub(super) fn keeps_order(room: &Room, user: UserId) -> bool {
    room.standing(user).role() >= Some(Role::Moderator)
}

/// Refuses a post or an edit that comes too soon in slow mode; those who keep order are exempt. What waits since
/// `held` counts as said then.
pub(super) fn in_time(
    room: &Room,
    user: UserId,
    at: Timestamp,
    held: Option<Timestamp>,
) -> Result<(), Rejection> {
    let slow = u64::from(room.policy.slow_seconds) * 1_000;
    let held = held.map_or(0, |held| (held.0 + slow).saturating_sub(at.0));
    let wait = room.must_wait(user, at).max(held);
    if wait == 0 || keeps_order(room, user) {
        return Ok(());
    }
    Err(Rejection::SlowMode { retry_after_ms: u32::try_from(wait).unwrap_or(u32::MAX) })
}

/// Refuses what the room's filter does not let pass, in the text or in the name of a file; those who
/// keep order are exempt.
pub(super) fn in_words(
    room: &Room,
    user: UserId,
    body: &Body,
    extras: Option<&Extras>,
) -> Result<(), Rejection> {
    if room.words.is_empty() || keeps_order(room, user) {
        return Ok(());
    }
    let names = extras.into_iter().flat_map(|extras| extras.files.iter());
    let mut said = names.map(|file| file.name.as_str()).chain([body.as_str()]);
    if said.any(|text| room.words.refuse(text)) { Err(Rejection::WordRefused) } else { Ok(()) }
}

/// Refuses a reaction that would say what a message may not: a word of the filter; and in a room with a delay
/// letters or digits that nobody has given the message yet, for they are seen at once. Those who keep order
/// are exempt.
pub(super) fn in_reactions(
    room: &Room,
    user: UserId,
    reaction: &Reaction,
    given: bool,
) -> Result<(), Rejection> {
    if keeps_order(room, user) {
        return Ok(());
    }
    if room.words.refuse(reaction.as_str()) {
        return Err(Rejection::WordRefused);
    }
    let says = reaction.as_str().chars().any(char::is_alphanumeric);
    if says && !given && room.policy.delay_seconds > 0 {
        return Err(Rejection::Forbidden);
    }
    Ok(())
}

/// Refuses a place that this account may not see, or that is not there yet.
pub(super) fn in_sight(room: &Room, user: UserId, of: Seq) -> Result<(), Rejection> {
    let seen = room.policy.readable_from(room.joined(user)) <= of && of <= room.head;
    if seen { Ok(()) } else { Err(Rejection::NoSuchMessage) }
}

impl Shard {
    /// Gives a message another text, or (without one) takes it away.
    pub(super) fn edit(
        &mut self,
        room: RoomId,
        who: &Author,
        (of, body): (Seq, Option<&Body>),
        facts: &Facts,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let (own, other) = match body {
            Some(_) => (Operation::EditOwn, Operation::EditOther),
            None => (Operation::DeleteOwn, Operation::DeleteOther),
        };
        let slot = self.permitted(room, own, who.id)?;
        let state = &self.rooms[slot];
        if body.is_some() {
            consented(state, who.id, facts)?;
            // A text that is changed is seen at once: it would go round the delay.
            if state.policy.delay_seconds > 0 && !keeps_order(state, who.id) {
                return Err(Rejection::Forbidden);
            }
        }
        let asker = state.standing(who.id);
        in_sight(state, who.id, of)?;
        let message = message(room, of, facts, turn)?;
        let EventKind::Posted { author, extras, .. } = &message.kind else {
            return Err(Rejection::NoSuchMessage);
        };
        if author.id != who.id {
            permit(other, asker, state.policy)?;
            outranks(asker, state.standing(author.id), None)?;
        }
        if is_deleted(&message, turn) {
            return match body {
                Some(_) => Err(Rejection::NoSuchMessage),
                None => Ok(Reply::Applied { seq: state.head, at: turn.at, already: true }),
            };
        }
        if let Some(body) = body {
            if body.is_blank() && !Extras::carry_files(extras.as_deref()) {
                return Err(Rejection::EmptyBody);
            }
            // Another text is as good as another message.
            in_time(&self.rooms[slot], who.id, turn.at, None)?;
            in_words(&self.rooms[slot], who.id, body, None)?;
        }
        let whose = (author.id != who.id).then(|| author.clone());
        let by = who.clone();
        let kind = match body {
            Some(body) => EventKind::Edited { by, of, body: body.clone() },
            None => EventKind::Deleted { by, of, whose },
        };
        self.applied(slot, kind, turn)
    }

    /// Does something to somebody. What is so already adds nothing.
    pub(super) fn moderate(
        &mut self,
        room: RoomId,
        by: &Author,
        (act, who): (Act, &Author),
        facts: &Facts,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let slot = self.permitted(room, act.operation(), by.id)?;
        let state = &self.rooms[slot];
        let was = state.standing(who.id);
        let belongs = was.role().is_some();
        match act {
            Act::Invite if was.has(Standing::BANNED) => return Err(Rejection::Banned),
            Act::Invite if belongs => {
                return Ok(Reply::Applied { seq: state.head, at: turn.at, already: true });
            }
            Act::Ban | Act::Unban | Act::Unmute | Act::Invite | Act::DeleteAll => {}
            // The invitation is withdrawn.
            Act::Kick if was.has(Standing::INVITED) => {}
            Act::Kick | Act::Mute | Act::Voice | Act::Unvoice | Act::SetRole(_) if belongs => {}
            _ => return Err(Rejection::NoSuchUser),
        }
        outranks(state.standing(by.id), was, Some(act))?;
        if who.id.is_guest() && matches!(act, Act::SetRole(role) if role > Role::Visitor) {
            // What is for those with an account is not given to one without; voice is.
            return Err(Rejection::Forbidden);
        }
        if act == Act::Invite && facts.is_refused(room, by.id, who.id) {
            return Err(Rejection::NotAccepted);
        }
        let now = act.applied(was);
        if now == was && act != Act::DeleteAll {
            return Ok(Reply::Applied { seq: state.head, at: turn.at, already: true });
        }
        if now.is_marked() && !was.is_marked() && state.marked() >= self.marked_max {
            return Err(Rejection::LimitReached);
        }
        if act == Act::DeleteAll {
            self.unpin_all_of(slot, by, who.id, facts, turn)?;
        }
        let kind = EventKind::Moderated { by: by.clone(), who: who.clone(), act };
        let applied = self.applied(slot, kind, turn)?;
        if act.removes() || act == Act::DeleteAll {
            self.drop_held(room, who.id, turn);
        }
        Ok(applied)
    }

    /// Changes the settings.
    pub(super) fn set(
        &mut self,
        room: RoomId,
        by: &Author,
        settings: &Settings,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let slot = self.permitted(room, settings.operation(), by.id)?;
        let kind = EventKind::Set { by: by.clone(), settings: Box::new(settings.clone()) };
        let applied = self.applied(slot, kind, turn)?;
        self.schedule_held(room);
        Ok(applied)
    }

    pub(super) fn applied(
        &mut self,
        slot: usize,
        kind: EventKind,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let seq = self.happen(slot, kind, true, turn)?;
        Ok(Reply::Applied { seq, at: turn.at, already: false })
    }
}

/// The event at a place: one of this turn, or among the facts.
pub(super) fn message(
    room: RoomId,
    seq: Seq,
    facts: &Facts,
    turn: &Turn,
) -> Result<Arc<Event>, Rejection> {
    if facts.gone.contains(&(room, seq)) {
        return Err(Rejection::NoSuchMessage);
    }
    let of_turn = || turn.events.iter().rev().find(|e| e.seq == seq && e.room == room);
    let event = facts.messages.get(&(room, seq)).or_else(of_turn);
    event.cloned().ok_or(Rejection::Unavailable)
}

/// Whether a message was deleted, before this turn or in it.
pub(super) fn is_deleted(message: &Event, turn: &Turn) -> bool {
    let erased = matches!(&message.kind, EventKind::Posted { body, .. } if body.is_erased());
    let author = message.kind.sender();
    let deletes = |event: &Event| {
        event.room == message.room
            && event.seq > message.seq
            && match &event.kind {
                EventKind::Deleted { of, .. } => *of == message.seq,
                kind => kind.sweeps().is_some_and(|user| Some(user) == author),
            }
    };
    erased || turn.events.iter().any(|event| deletes(event))
}
