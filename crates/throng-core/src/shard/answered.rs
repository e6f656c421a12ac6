//! What is put on messages beside their texts: reactions and pins, decided in the room's order.
//!
//! Neighbours: `shard.rs` calls it for its commands, `moderation` has the message that is meant; what
//! a message was answered with before, and who said what is pinned, is among the facts, because the
//! shard keeps no messages. What is so already adds nothing.

use alloc::vec::Vec;

use super::direct::consented;
use super::moderation::{in_reactions, in_sight, is_deleted, message};
use super::{Facts, Shard, Turn, Want};
use crate::command::{Command, Reply, Request};
use crate::event::{Author, Event, EventKind};
use crate::id::{RoomId, Seq, UserId};
use crate::limits::{PINS_MAX, REACTIONS_MAX};
use crate::reaction::{Tally, take_in};
use crate::rejection::Rejection;
use crate::rights::{Act, Operation};

impl Shard {
    /// What a request about a message must know.
    pub(super) fn wanted_message(&self, request: &Request, wants: &mut Vec<Want>) {
        if let Command::Moderate { room, act: Act::DeleteAll, .. } = &request.command {
            // Which of the pinned messages are its own.
            let slot = self.permitted(*room, Operation::DeleteAll, request.from.id).ok();
            let pins = slot.map_or(&[][..], |slot| self.rooms[slot].pins());
            wants.extend(pins.iter().map(|of| Want::Message { room: *room, seq: *of }));
            return;
        }
        let (room, seq) = match &request.command {
            Command::Edit { room, of, .. }
            | Command::Delete { room, of }
            | Command::React { room, of, .. }
            | Command::Pin { room, of, on: true } => (*room, *of),
            _ => return,
        };
        let slot = self.slot_known_to(room, request.from.id);
        let head = slot.map_or(Seq::ZERO, |slot| self.rooms[slot].head);
        if seq == Seq::ZERO || seq > head {
            return;
        }
        wants.push(Want::Message { room, seq });
        if let Command::Pin { .. } = &request.command
            && let Some(oldest) = self.pin_in_the_way(room)
        {
            wants.push(Want::Message { room, seq: oldest });
        }
        if let Command::React { .. } = &request.command {
            wants.push(Want::Tallies { room, seq, user: request.from.id });
        }
    }

    /// Gives a message a reaction, or takes one's own back.
    pub(super) fn react(
        &mut self,
        room: RoomId,
        request: &Request,
        facts: &Facts,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let Request { from: who, command: Command::React { of, reaction, on, .. } } = request
        else {
            unreachable!("a reaction is asked for")
        };
        let (of, on) = (*of, *on);
        let operation = if on { Operation::React } else { Operation::Unreact };
        let slot = self.permitted(room, operation, who.id)?;
        let state = &self.rooms[slot];
        if on {
            consented(state, who.id, facts)?;
        }
        in_sight(state, who.id, of)?;
        standing(room, of, facts, turn)?;
        let tallies = tallies(room, of, who.id, facts, turn)?;
        let tally = tallies.iter().find(|tally| tally.reaction == *reaction);
        if tally.is_some_and(|tally| tally.mine) == on {
            return Ok(Reply::Applied { seq: state.head, at: turn.at, already: true });
        }
        let given = tally.map_or(0, |tally| tally.count);
        if on {
            in_reactions(state, who.id, reaction, given > 0)?;
        }
        if tally.is_none() && tallies.len() >= REACTIONS_MAX {
            return Err(Rejection::LimitReached);
        }
        let count = if on { given + 1 } else { given - 1 };
        let (by, reaction) = (who.clone(), reaction.clone());
        self.applied(slot, EventKind::Reacted { by, of, reaction, on, count }, turn)
    }

    /// Where no more may be pinned: the oldest that is.
    fn pin_in_the_way(&self, room: RoomId) -> Option<Seq> {
        let pins = self.rooms[self.slot(room)?].pins();
        pins.first().copied().filter(|_| pins.len() >= PINS_MAX)
    }

    /// Pins a message, or takes it off.
    pub(super) fn pin(
        &mut self,
        room: RoomId,
        who: &Author,
        (of, on): (Seq, bool),
        facts: &Facts,
        turn: &mut Turn,
    ) -> Result<Reply, Rejection> {
        let operation = if on { Operation::Pin } else { Operation::Unpin };
        let slot = self.permitted(room, operation, who.id)?;
        let state = &self.rooms[slot];
        if on {
            in_sight(state, who.id, of)?;
            standing(room, of, facts, turn)?;
        }
        if state.pins().binary_search(&of).is_ok() == on {
            return Ok(Reply::Applied { seq: state.head, at: turn.at, already: true });
        }
        if let Some(oldest) = self.pin_in_the_way(room).filter(|_| on) {
            if !facts.gone.contains(&(room, oldest)) {
                return Err(Rejection::LimitReached);
            }
            // Nobody sees what is kept no longer: it makes place.
            self.applied(slot, EventKind::Pinned { by: who.clone(), of: oldest, on: false }, turn)?;
        }
        self.applied(slot, EventKind::Pinned { by: who.clone(), of, on }, turn)
    }

    /// All that an account has said is about to go: what is pinned of it is taken off, told to all.
    pub(super) fn unpin_all_of(
        &mut self,
        slot: usize,
        by: &Author,
        sender: UserId,
        facts: &Facts,
        turn: &mut Turn,
    ) -> Result<(), Rejection> {
        let state = &self.rooms[slot];
        let mut its_own = Vec::new();
        for of in state.pins().iter().copied() {
            match message(state.id, of, facts, turn) {
                Ok(event) => its_own.extend((event.kind.sender() == Some(sender)).then_some(of)),
                // Kept no longer: nobody sees it.
                Err(Rejection::NoSuchMessage) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        for of in its_own {
            self.applied(slot, EventKind::Pinned { by: by.clone(), of, on: false }, turn)?;
        }
        Ok(())
    }
}

/// Refuses a place where no message stands, or none any more.
fn standing(room: RoomId, of: Seq, facts: &Facts, turn: &Turn) -> Result<(), Rejection> {
    let message = message(room, of, facts, turn)?;
    let posted = matches!(message.kind, EventKind::Posted { .. });
    if posted && !is_deleted(&message, turn) { Ok(()) } else { Err(Rejection::NoSuchMessage) }
}

/// What a message was answered with, this turn's events included. Of a message of this very turn
/// there is nothing before it.
fn tallies(
    room: RoomId,
    of: Seq,
    user: UserId,
    facts: &Facts,
    turn: &Turn,
) -> Result<Vec<Tally>, Rejection> {
    let before = facts.tallies.get(&(room, of, user));
    if before.is_none() && facts.messages.contains_key(&(room, of)) {
        return Err(Rejection::Unavailable);
    }
    let mut tallies = before.cloned().unwrap_or_default();
    let about = |event: &&Event| event.room == room && event.kind.changes() == Some(of);
    for event in turn.events.iter().map(|event| &**event).filter(about) {
        take_in(&mut tallies, event, user);
    }
    Ok(tallies)
}
