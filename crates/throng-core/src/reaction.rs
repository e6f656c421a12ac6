//! What a message was answered with: for each different reaction how many gave it, and whether the
//! one who asks is among them.
//!
//! Neighbours: the shard counts by it before it decides, the server before it shows a page. An event
//! carries the count after it, so that taking one in twice does no harm. It is never pushed.

use alloc::vec::Vec;

use crate::event::{Event, EventKind};
use crate::id::{Seq, UserId};
use crate::text::Reaction;

/// One reaction on one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Which.
    pub reaction: Reaction,
    /// How many have given it; never 0.
    pub count: u32,
    /// Whether the asker has.
    pub mine: bool,
    /// The place of the newest event that changed it.
    pub seq: Seq,
}

impl Tally {
    /// About what it takes in memory and in a page.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.reaction.as_str().len()
    }
}

/// Takes an event of the message in; `tallies` are in the order of their texts.
pub fn take_in(tallies: &mut Vec<Tally>, event: &Event, asker: UserId) {
    let EventKind::Reacted { by, reaction, on, count, .. } = &event.kind else { return };
    let (seq, count, own) = (event.seq, *count, by.id == asker);
    match tallies.binary_search_by(|tally| tally.reaction.cmp(reaction)) {
        Ok(at) if seq <= tallies[at].seq => {}
        Ok(at) if count == 0 => _ = tallies.remove(at),
        Ok(at) => {
            let tally = &mut tallies[at];
            let mine = if own { *on } else { tally.mine };
            (tally.count, tally.mine, tally.seq) = (count, mine, seq);
        }
        Err(_) if count == 0 => {}
        Err(at) => {
            let reaction = reaction.clone();
            tallies.insert(at, Tally { reaction, count, mine: own && *on, seq });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Author;
    use crate::id::{RoomId, Timestamp};
    use crate::text::Username;

    fn event(seq: u64, by: u64, on: bool, count: u32) -> Event {
        let by = Author { id: UserId::new(by).unwrap(), name: Username::parse("ada").unwrap() };
        let reaction = Reaction::parse("+1").unwrap();
        let kind = EventKind::Reacted { by, of: Seq(3), reaction, on, count };
        let (room, prev) = (RoomId::new(1).unwrap(), Seq(seq - 1));
        Event { room, seq: Seq(seq), prev, pushed: true, at: Timestamp(1), kind }
    }

    #[test]
    fn events_taken_in_twice_come_to_the_same_and_a_count_of_none_is_no_tally() {
        let asker = UserId::new(7).unwrap();
        let events = [event(4, 1, true, 1), event(5, 7, true, 2), event(6, 1, false, 1)];
        let mut tallies = Vec::new();
        for event in events.iter().chain(&events) {
            take_in(&mut tallies, event, asker);
        }
        let reaction = Reaction::parse("+1").unwrap();
        assert_eq!(tallies, [Tally { reaction, count: 1, mine: true, seq: Seq(6) }]);
        take_in(&mut tallies, &event(7, 7, false, 0), asker);
        assert_eq!(tallies, []);
    }
}
