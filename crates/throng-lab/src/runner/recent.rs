//! Which message is changed: one of the newest that were planned in its room, whatever came of them so far. So the
//! same plan changes the same messages, however quickly a server answers.
//!
//! Neighbours: `deeds` tells of each message when its time has come, `changes` asks for what is due. A change of one
//! that is not acknowledged yet waits for its ack; one that cannot be made is counted, by why.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::drivers::Change;
use crate::ledger::SendIx;

/// Messages of a room that may be changed.
const RECENT_MAX: usize = 32;

/// Nothing was planned there, or all of it is edited or deleted.
const NOTHING: &str = "nothing there to change";
/// Given up, refused, or not answered; a file that was not kept.
const UNSAID: &str = "its message was not said or not acknowledged";
/// Of a server that tells no places.
pub const PLACELESS: &str = "its message has no place";

/// A message that was planned, by its number among all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meant(u32);

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It may still be acknowledged.
    Open,
    Acked(SendIx),
    /// It will not be.
    Never,
}

#[derive(Debug)]
struct Message {
    state: State,
    edited: bool,
    /// Among the newest of its room, and not deleted.
    kept: bool,
    /// Changes that wait for its ack, with who was planned to make them.
    waiting: Vec<(u32, Change)>,
}

/// The newest messages of each room, where the scenario changes any.
#[derive(Debug, Default)]
pub struct Recent {
    wanted: bool,
    count: u32,
    /// By the plan's index of the room, oldest first.
    rooms: Vec<VecDeque<Meant>>,
    messages: HashMap<Meant, Message>,
    /// Sent, and not acknowledged yet.
    open: HashMap<SendIx, Meant>,
    unmade: BTreeMap<&'static str, u64>,
}

impl Recent {
    /// Keeps any only where they are `wanted`.
    pub fn new(wanted: bool) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// The time of a message has come, in the plan's order, whatever will become of it.
    pub fn meant(&mut self, room: u32) -> Meant {
        self.count += 1;
        let meant = Meant(self.count);
        if !self.wanted {
            return meant;
        }
        let at = room as usize;
        if at >= self.rooms.len() {
            self.rooms.resize(at + 1, VecDeque::new());
        }
        if self.rooms[at].len() == RECENT_MAX
            && let Some(oldest) = self.rooms[at].pop_front()
        {
            self.forget(oldest);
        }
        self.rooms[at].push_back(meant);
        let (state, waiting) = (State::Open, Vec::new());
        self.messages.insert(meant, Message { state, edited: false, kept: true, waiting });
        meant
    }

    /// It is in the books as this send.
    pub fn sent(&mut self, meant: Meant, send: SendIx) {
        if self.messages.contains_key(&meant) {
            self.open.insert(send, meant);
        }
    }

    /// It is not said at all.
    pub fn never(&mut self, meant: Meant) {
        let Some(message) = self.messages.get_mut(&meant) else { return };
        message.state = State::Never;
        let waited = std::mem::take(&mut message.waiting).len();
        let gone = !message.kept;
        self.count_unmade(UNSAID, waited);
        if gone {
            self.messages.remove(&meant);
        }
    }

    /// A send was refused.
    pub fn refused(&mut self, send: SendIx) {
        if let Some(meant) = self.open.remove(&send) {
            self.never(meant);
        }
    }

    /// A send was acknowledged: the message, where changes wait for that.
    pub fn acked(&mut self, send: SendIx) -> Option<Meant> {
        let meant = self.open.remove(&send)?;
        let message = self.messages.get_mut(&meant)?;
        message.state = State::Acked(send);
        (!message.waiting.is_empty()).then_some(meant)
    }

    /// The changes that waited for its ack, in their order, each with who was planned to make it.
    pub fn waited(&mut self, meant: Meant) -> Vec<(u32, Change)> {
        let Some(message) = self.messages.get_mut(&meant) else { return Vec::new() };
        let waited = std::mem::take(&mut message.waiting);
        if !message.kept {
            self.messages.remove(&meant);
        }
        waited
    }

    /// A change is due in this room: the send that it is made to, unless it waits or cannot be made.
    pub fn due(&mut self, room: u32, user: u32, change: Change, pick: u32) -> Option<SendIx> {
        let Some(meant) = self.choose(room, change, pick) else {
            self.count_unmade(NOTHING, 1);
            return None;
        };
        let message = self.messages.get_mut(&meant)?;
        let state = message.state;
        if state == State::Open {
            message.waiting.push((user, change));
        }
        if change == Change::Delete {
            self.forget(meant);
        }
        match state {
            State::Open => None,
            State::Acked(send) => Some(send),
            State::Never => {
                self.count_unmade(UNSAID, 1);
                None
            }
        }
    }

    /// One that this can be done to; whoever deletes it takes it away.
    fn choose(&mut self, room: u32, change: Change, pick: u32) -> Option<Meant> {
        let Self { rooms, messages, .. } = self;
        let recent = rooms.get_mut(room as usize).filter(|recent| !recent.is_empty())?;
        let at = pick as usize % recent.len();
        match change {
            Change::React => Some(recent[at]),
            Change::Delete => recent.remove(at),
            Change::Edit => {
                let as_said = |it: &&Meant| messages.get(it).is_some_and(|it| !it.edited);
                let meant = *recent.iter().skip(at).find(as_said)?;
                messages.get_mut(&meant)?.edited = true;
                Some(meant)
            }
        }
    }

    /// It is not chosen any more; what waits for it goes on waiting.
    fn forget(&mut self, meant: Meant) {
        let Some(message) = self.messages.get_mut(&meant) else { return };
        message.kept = false;
        if message.waiting.is_empty() {
            self.messages.remove(&meant);
        }
    }

    fn count_unmade(&mut self, why: &'static str, count: usize) {
        if count > 0 {
            *self.unmade.entry(why).or_default() += count as u64;
        }
    }

    /// A change cannot be made after all.
    pub fn unmade(&mut self, why: &'static str) {
        self.count_unmade(why, 1);
    }

    /// The run is over: how many changes were planned and not made, by why. What waits now waited in vain.
    pub fn into_unmade(mut self) -> BTreeMap<&'static str, u64> {
        let waiting = self.messages.values().map(|it| it.waiting.len()).sum();
        self.count_unmade(UNSAID, waiting);
        self.unmade
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Send, who, what; and how many were not made, by why.
    type Changed = (Vec<(u32, u32, Change)>, BTreeMap<&'static str, u64>);

    const CHANGES: [Change; 3] = [Change::Edit, Change::Delete, Change::React];

    /// Messages of two rooms and changes of them in one order, acknowledged `behind` messages later: what is asked
    /// for, by whom, and what is not. Every eleventh message is not said, every thirteenth is refused.
    fn changed(behind: u32) -> Changed {
        let mut recent = Recent::new(true);
        let mut asked = Vec::new();
        let answer = |recent: &mut Recent, asked: &mut Vec<_>, number: u32| {
            if number.is_multiple_of(13) {
                recent.refused(SendIx(number));
            } else if let Some(meant) = recent.acked(SendIx(number)) {
                let waited = recent.waited(meant);
                asked.extend(waited.into_iter().map(|(user, change)| (number, user, change)));
            }
        };
        for number in 0..500 {
            let meant = recent.meant(number % 2);
            if number.is_multiple_of(11) {
                recent.never(meant);
            } else {
                recent.sent(meant, SendIx(number));
            }
            if let Some(answered) = number.checked_sub(behind) {
                answer(&mut recent, &mut asked, answered);
            }
            let (change, pick) = (CHANGES[number as usize % 3], number.wrapping_mul(2_654_435_761));
            if let Some(send) = recent.due(number / 3 % 2, number, change, pick) {
                asked.push((send.0, number, change));
            }
        }
        for number in 500 - behind..500 {
            answer(&mut recent, &mut asked, number);
        }
        asked.sort_unstable();
        assert!(recent.open.is_empty() && recent.messages.len() <= 2 * RECENT_MAX);
        (asked, recent.into_unmade())
    }

    #[test]
    fn the_same_plan_changes_the_same_messages_however_late_they_are_acknowledged() {
        let at_once = changed(0);
        assert!(at_once.0.len() > 300 && at_once.1[UNSAID] > 10, "{:?}", at_once.1);
        for behind in [1, 7, 100, 499] {
            assert_eq!(changed(behind), at_once, "{behind} later");
        }
    }

    fn three() -> Recent {
        let mut recent = Recent::new(true);
        for ix in 0..3 {
            let meant = recent.meant(1);
            recent.sent(meant, SendIx(ix));
            assert_eq!(recent.acked(SendIx(ix)), None, "nothing waits");
        }
        recent
    }

    #[test]
    fn a_message_is_edited_once_and_not_chosen_again_once_it_is_deleted() {
        let mut recent = three();
        assert_eq!(recent.due(0, 9, Change::Edit, 0), None, "nothing was said there");
        assert_eq!(recent.due(1, 9, Change::Edit, 1), Some(SendIx(1)));
        assert_eq!(recent.due(1, 9, Change::Edit, 1), Some(SendIx(2)));
        assert_eq!(recent.due(1, 9, Change::Edit, 1), None);
        assert_eq!(recent.due(1, 9, Change::Delete, 1), Some(SendIx(1)));
        assert_eq!(recent.due(1, 9, Change::React, 1), Some(SendIx(2)));
        assert_eq!(recent.into_unmade(), BTreeMap::from([(NOTHING, 2)]));
    }

    #[test]
    fn a_change_waits_for_the_ack_of_its_message_and_is_counted_where_none_comes() {
        let mut recent = three();
        let meant = recent.meant(1);
        recent.sent(meant, SendIx(3));
        assert_eq!(recent.due(1, 5, Change::Edit, 3), None);
        assert_eq!(recent.due(1, 6, Change::Delete, 3), None);
        assert_eq!(recent.acked(SendIx(3)), Some(meant));
        assert_eq!(recent.waited(meant), [(5, Change::Edit), (6, Change::Delete)]);
        let [refused, unanswered] = [4, 5].map(|ix| {
            let meant = recent.meant(1);
            recent.sent(meant, SendIx(ix));
            meant
        });
        assert_eq!(recent.due(1, 5, Change::React, 3), None, "{refused:?}");
        recent.refused(SendIx(4));
        assert_eq!(recent.due(1, 5, Change::Edit, 4), None, "{unanswered:?}");
        assert_eq!(recent.into_unmade(), BTreeMap::from([(UNSAID, 2)]));
    }

    #[test]
    fn of_each_room_only_the_newest_are_kept_and_none_where_nothing_is_changed() {
        let (mut recent, mut none) = (Recent::new(true), Recent::new(false));
        for ix in 0..100 {
            for it in [&mut recent, &mut none] {
                let meant = it.meant(0);
                it.sent(meant, SendIx(ix));
                it.acked(SendIx(ix));
            }
        }
        assert_eq!((recent.rooms[0].len(), recent.messages.len()), (RECENT_MAX, RECENT_MAX));
        assert_eq!(recent.due(0, 9, Change::React, 0), Some(SendIx(68)));
        assert!(none.rooms.is_empty() && none.messages.is_empty() && none.open.is_empty());
    }
}
