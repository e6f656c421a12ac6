//! Who is put out of which room and let in again, in which rooms messages are changed, and where files
//! are sent.
//!
//! Neighbours: `mod` has the sources and follows membership. Whoever made a room keeps its order and is
//! never put out; which message is changed is a number here, and the runner finds the message: of the room's newest
//! that were planned.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;

use super::{Deed, Kind, MEMBERS_KEPT, Plan, stream};
use crate::drivers::{Act, Change};
use crate::scenario::{Arrivals, Scenario};

/// What the plan keeps for it.
#[derive(Debug, Default)]
pub struct Changing {
    /// Sends a second of all rooms up to each, by its place.
    up_to: Vec<f64>,
    /// Rooms whose members can be put out.
    open: Vec<u32>,
    /// Who made each room.
    makers: Vec<u32>,
    ban_lasts: Duration,
    /// Who is to be let in again, where and when; the first is the next.
    bans: VecDeque<(Duration, u32, u32)>,
    /// The source of unbans.
    unbans: usize,
}

impl Changing {
    /// Who made the room, where members are put out: he stays.
    pub fn keeps(&self, room: usize, user: u32) -> bool {
        !self.open.is_empty() && self.makers.get(room) == Some(&user)
    }
}

impl Plan {
    pub(super) fn add_changes(&mut self, scenario: &Scenario) {
        let changes = &scenario.changes;
        let mut rooms = Vec::new();
        let mut sum = 0.0;
        for kind in &scenario.rooms {
            for _ in 0..kind.count {
                sum += kind.sends_per_second;
                self.changing.up_to.push(sum);
                rooms.push(!kind.direct);
            }
        }
        let rate = |share: f64| share * sum;
        for (number, (each_second, kind)) in [
            (rate(changes.edits), Kind::Change(Change::Edit)),
            (rate(changes.deletes), Kind::Change(Change::Delete)),
            (rate(changes.reactions), Kind::Change(Change::React)),
            (changes.kicks, Kind::PutOut(Act::Kick)),
            (changes.bans, Kind::PutOut(Act::Ban)),
            (rate(changes.typing), Kind::Type),
            (changes.files, Kind::Share),
        ]
        .into_iter()
        .enumerate()
        {
            let chance = stream(scenario.seed, 10 << 32 | number as u64);
            self.add(kind, each_second, Arrivals::Poisson, false, chance);
        }
        if changes.put_out() {
            let open = rooms.iter().enumerate().filter(|(_, open)| **open);
            self.changing.open = open.map(|(room, _)| room as u32).collect();
            self.changing.makers = self.members.iter().map(|members| members[0]).collect();
            self.changing.ban_lasts = Duration::from_secs_f64(changes.ban_seconds);
            // The heap is told of each time when it is known.
            self.changing.unbans = self.sources.len();
            self.add_at(self.ends, Kind::LetIn, 0);
        }
    }

    /// A message of some room, chosen as rooms are spoken in.
    pub(super) fn change(&mut self, source: usize, change: Change) -> Option<Deed> {
        let (room, user) = self.somebody(source)?;
        let pick = self.sources[source].chance.random();
        Some(Deed::Change { room, user, change, pick })
    }

    pub(super) fn types(&mut self, source: usize) -> Option<Deed> {
        let (room, user) = self.somebody(source)?;
        Some(Deed::Type { user, room })
    }

    pub(super) fn share(&mut self, source: usize) -> Option<Deed> {
        let (room, user) = self.somebody(source)?;
        let chance = &mut self.sources[source].chance;
        let bytes = self.lengths.draw(chance);
        Some(Deed::Share { room, user, bytes, pick: chance.random() })
    }

    /// A room, chosen as rooms are spoken in, and one of its members.
    fn somebody(&mut self, source: usize) -> Option<(u32, u32)> {
        let chance = &mut self.sources[source].chance;
        let drawn = chance.random::<f64>() * self.changing.up_to.last()?;
        let room = self.changing.up_to.partition_point(|up_to| *up_to <= drawn);
        let members = self.members.get(room).filter(|members| !members.is_empty())?;
        Some((room as u32, members[chance.random_range(0..members.len())]))
    }

    /// Somebody who does not speak for others, and did not make the room.
    pub(super) fn put_out(&mut self, source: usize, act: Act, at: Duration) -> Option<Deed> {
        let chance = &mut self.sources[source].chance;
        let open = &self.changing.open;
        let room = *open.get(chance.random_range(0..open.len().max(1)))?;
        let members = &mut self.members[room as usize];
        if members.len() <= MEMBERS_KEPT {
            return None;
        }
        let which = chance.random_range(0..members.len());
        let user = members[which];
        let speaks =
            self.speakers[room as usize].as_ref().is_some_and(|speakers| speakers.contains(&user));
        if speaks || self.changing.keeps(room as usize, user) {
            return None;
        }
        members.swap_remove(which);
        let by = self.changing.makers[room as usize];
        if act == Act::Ban {
            let until = at + self.changing.ban_lasts;
            self.changing.bans.push_back((until, room, user));
            self.due.push(std::cmp::Reverse((until, self.changing.unbans)));
        } else {
            self.gone.push((user, room));
        }
        Some(Deed::Moderate { by, room, user, act })
    }

    pub(super) fn let_in(&mut self) -> Option<Deed> {
        let (_, room, user) = self.changing.bans.pop_front()?;
        self.gone.push((user, room));
        let by = self.changing.makers[room as usize];
        Some(Deed::Moderate { by, room, user, act: Act::Unban })
    }
}
