//! One user's life as deeds with their times: arrives, looks around, acts, leaves. An open model:
//! the times do not wait for the server, so a login that takes long makes the first words late and
//! not fewer.
//!
//! Neighbours: `mod` asks each life for its next deed when its time has come.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::words::{Lengths, bytes_of_words};
use super::{Deed, PlannedRoom, exponential, stream};
use crate::scenario::{Arrivals, Life, Scenario};

/// How one life goes on.
#[derive(Debug)]
pub struct Living {
    user: u32,
    /// Of which life, in the scenario's order.
    life: u32,
    arrives: f64,
    first_act: f64,
    every: f64,
    leaves: f64,
    left_to_do: u32,
    done: u32,
    gone: bool,
    arrived: bool,
    chance: StdRng,
    /// The rooms of its kind.
    rooms: Vec<u32>,
    /// Of these, where it is.
    within: Vec<u32>,
    /// Deeds that follow the last one at once.
    then: VecDeque<Deed>,
    habits: Life,
}

/// The lives of all users who have one.
pub fn all(scenario: &Scenario, rooms: &[PlannedRoom]) -> Vec<Living> {
    let mut all = Vec::new();
    for (number, life) in scenario.lives.iter().enumerate() {
        let kind = scenario.rooms.iter().position(|kind| kind.name == life.rooms);
        let of_kind = |at: &u32| Some(rooms[*at as usize].kind) == kind;
        let of_kind: Vec<u32> = (0..rooms.len() as u32).filter(of_kind).collect();
        let begins = |phase: &Option<String>| {
            scenario.phase(phase.as_deref()).map_or(0.0, |(begins, _)| begins)
        };
        let mut chance = stream(scenario.seed, 9 << 32 | number as u64);
        let mut arrives = begins(&life.arrives_in);
        for place in 0..life.count {
            let user = life.first + place;
            let source = 10 << 32 | (number as u64) << 24 | u64::from(place);
            // In a phase of their own they act evenly spread, whenever they came.
            let spread = f64::from(place) / f64::from(life.count) * life.every_seconds;
            let first_act = match &life.acts_in {
                Some(_) => begins(&life.acts_in) + spread,
                None => arrives + life.every_seconds,
            };
            let leaves = match &life.leaves_in {
                Some(_) => begins(&life.leaves_in) + f64::from(place) * life.arrive_every_seconds,
                None => first_act + f64::from(life.actions) * life.every_seconds,
            };
            let is_in = |room: &u32| rooms[*room as usize].members.contains(&user);
            all.push(Living {
                user,
                life: number as u32,
                arrives,
                first_act,
                every: life.every_seconds,
                leaves,
                left_to_do: life.actions,
                done: 0,
                gone: false,
                arrived: false,
                chance: stream(scenario.seed, source),
                within: of_kind.iter().copied().filter(is_in).collect(),
                rooms: of_kind.clone(),
                then: VecDeque::new(),
                habits: life.clone(),
            });
            arrives += match life.arrivals {
                Arrivals::Constant => life.arrive_every_seconds,
                Arrivals::Poisson => exponential(life.arrive_every_seconds, &mut chance),
            };
        }
    }
    all
}

impl Living {
    /// When the next deed is due.
    pub fn due(&self) -> Duration {
        let at = match self {
            Self { arrived: false, .. } => self.arrives,
            Self { then, .. } if !then.is_empty() => 0.0,
            Self { left_to_do: 0, .. } => self.leaves,
            _ => self.first_act + f64::from(self.done) * self.every,
        };
        Duration::from_secs_f64(at)
    }

    /// The next deed; `None` when there is none any more.
    pub fn next(&mut self, members: &mut [Vec<u32>], lengths: &Lengths) -> Option<Deed> {
        if !self.arrived {
            self.arrived = true;
            self.arrive(members);
            return Some(Deed::Arrive { user: self.user, life: self.life });
        }
        if let Some(deed) = self.then.pop_front() {
            return Some(deed);
        }
        if self.gone {
            return None;
        }
        if self.left_to_do == 0 || self.within.is_empty() {
            self.gone = true;
            if self.habits.member_of == [0, 0] {
                for room in std::mem::take(&mut self.within) {
                    members[room as usize].retain(|user| *user != self.user);
                    self.then.push_back(Deed::Leave { user: self.user, room });
                }
            }
            self.then.push_back(Deed::Depart { user: self.user });
            return self.then.pop_front();
        }
        self.left_to_do -= 1;
        self.done += 1;
        Some(self.act(members, lengths))
    }

    /// Joins, where it is not a member yet, and looks around.
    fn arrive(&mut self, members: &mut [Vec<u32>]) {
        let Self { user, .. } = *self;
        if self.habits.member_of == [0, 0] {
            let room = self.rooms[self.chance.random_range(0..self.rooms.len())];
            if !self.within.contains(&room) {
                self.within.push(room);
                members[room as usize].push(user);
            }
            self.then.push_back(Deed::Join { user, room });
        }
        let Life { history, avatars, .. } = self.habits;
        if history > 0 || avatars {
            for room in self.within.clone() {
                self.then.push_back(Deed::Look { user, room, history, avatars });
            }
        }
    }

    fn act(&mut self, members: &mut [Vec<u32>], lengths: &Lengths) -> Deed {
        let Life { join, leave, rooms_max, rooms_min, words, .. } = self.habits;
        let user = self.user;
        let drawn: f64 = self.chance.random();
        let inside = self.within.len();
        if drawn < join && inside < rooms_max as usize && inside < self.rooms.len() {
            let others: Vec<u32> =
                self.rooms.iter().copied().filter(|room| !self.within.contains(room)).collect();
            let room = others[self.chance.random_range(0..others.len())];
            self.within.push(room);
            members[room as usize].push(user);
            return Deed::Join { user, room };
        }
        if (join..join + leave).contains(&drawn) && inside >= rooms_min.max(2) as usize {
            let room = self.within.swap_remove(self.chance.random_range(0..inside));
            members[room as usize].retain(|other| *other != user);
            return Deed::Leave { user, room };
        }
        let room = self.within[self.chance.random_range(0..inside)];
        let bytes = match words {
            Some(words) => bytes_of_words(words, &mut self.chance),
            None => lengths.draw(&mut self.chance),
        };
        Deed::Say { room, user, bytes }
    }
}
