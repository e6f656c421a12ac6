//! What is done, by whom and when, decided before anything happens: the same seed gives the same
//! deeds, whatever the server makes of them. An open model: nothing here waits for an answer.
//!
//! Neighbours: made of a `Scenario`; the runner does the deeds at their times. Membership is
//! followed as planned, so that nobody is made to speak where he has left.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, LogNormal};

use crate::scenario::{Arrivals, Bodies, Scenario};

/// A body begins with its number, eight digits and a space.
pub const BODY_BYTES_MIN: u32 = 10;
/// Bodies are cut out of a text of this length.
const TEXT_BYTES: usize = 32 * 1024;
/// What a careless encoder breaks; at the end of one body in eight.
const SPICE: &str = " \"\\\\\" é\u{1f980}\n";
/// A room keeps at least so many, so that what is said is heard.
const MEMBERS_KEPT: usize = 2;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// Say something of this many bytes.
    Say {
        /// Where, by the room's index.
        room: u32,
        /// Who.
        user: u32,
        /// How much.
        bytes: u32,
    },
    /// Lose the connection, come back, resume.
    Reconnect {
        /// Who.
        user: u32,
    },
    /// Become a member again.
    Join {
        /// Who.
        user: u32,
        /// Where.
        room: u32,
    },
    /// Be a member no longer.
    Leave {
        /// Who.
        user: u32,
        /// Where.
        room: u32,
    },
    /// Read nothing for a while.
    Stall {
        /// Who.
        user: u32,
        /// For how long.
        lasts: Duration,
    },
}

/// A deed and its time, from the beginning of the load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// When.
    pub at: Duration,
    /// What.
    pub deed: Deed,
}

/// A room as planned.
#[derive(Clone, Debug)]
pub struct PlannedRoom {
    /// Of which kind, in the scenario's order.
    pub kind: usize,
    /// What it is called, before the run's own suffix.
    pub name: String,
    /// Who is in it at the beginning; the first makes it.
    pub members: Vec<u32>,
}

/// All rooms with those who are in them at the beginning.
pub fn rooms(scenario: &Scenario) -> Vec<PlannedRoom> {
    let mut rooms = Vec::new();
    for (of, kind) in scenario.rooms.iter().enumerate() {
        for number in 0..kind.count {
            let first = u64::from(number) * u64::from(kind.members);
            let members = (0..u64::from(kind.members))
                .map(|i| ((first + i) % u64::from(scenario.users.count)) as u32)
                .collect();
            let name = format!("{}-{number}", kind.name);
            rooms.push(PlannedRoom { kind: of, name, members });
        }
    }
    rooms
}

/// The deeds of a run, in the order of their times.
#[derive(Debug)]
pub struct Plan {
    ends: Duration,
    users: u32,
    lengths: Lengths,
    due: BinaryHeap<Reverse<(Duration, usize)>>,
    sources: Vec<Source>,
    members: Vec<Vec<u32>>,
    /// Members who never leave their room, because they are the ones who speak there.
    speakers: Vec<Option<Vec<u32>>>,
    /// Who has left which room.
    gone: Vec<(u32, u32)>,
    stalls: Vec<(Duration, u32)>,
    stall: Duration,
}

#[derive(Debug)]
struct Source {
    kind: Kind,
    chance: StdRng,
    every: f64,
    arrivals: Arrivals,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Room(u32),
    Reconnect,
    Membership,
    /// By its place in `stalls`.
    Stall(usize),
}

impl Plan {
    /// All from the scenario's seed.
    pub fn new(scenario: &Scenario) -> Self {
        let seconds = scenario.seconds;
        let users = scenario.users.count;
        let mut plan = Self {
            ends: Duration::from_secs_f64(seconds),
            users,
            lengths: Lengths::new(&scenario.bodies),
            due: BinaryHeap::new(),
            sources: Vec::new(),
            members: rooms(scenario).into_iter().map(|room| room.members).collect(),
            speakers: Vec::new(),
            gone: Vec::new(),
            stalls: Vec::new(),
            stall: Duration::from_secs_f64(scenario.churn.stall_seconds),
        };
        let seed = scenario.seed;
        let mut room = 0;
        for kind in &scenario.rooms {
            for _ in 0..kind.count {
                let mut chance = stream(seed, 1 << 32 | u64::from(room));
                let speakers = kind
                    .speakers
                    .filter(|speakers| *speakers < kind.members)
                    .map(|speakers| some_of(&plan.members[room as usize], speakers, &mut chance));
                plan.speakers.push(speakers);
                plan.add(Kind::Room(room), kind.sends_per_second, kind.arrivals, chance);
                room += 1;
            }
        }
        let each_second = |share: f64| share * f64::from(users);
        let churn = &scenario.churn;
        let poisson = Arrivals::Poisson;
        plan.add(Kind::Reconnect, each_second(churn.reconnect), poisson, stream(seed, 2));
        plan.add(Kind::Membership, each_second(churn.membership), poisson, stream(seed, 3));
        plan.add_stalls((f64::from(users) * churn.stall).round() as u32, stream(seed, 4));
        plan
    }

    fn add(&mut self, kind: Kind, each_second: f64, arrivals: Arrivals, mut chance: StdRng) {
        if each_second <= 0.0 {
            return;
        }
        let every = 1.0 / each_second;
        let first = match arrivals {
            Arrivals::Poisson => exponential(every, &mut chance),
            Arrivals::Constant => chance.random::<f64>() * every,
        };
        self.due.push(Reverse((Duration::from_secs_f64(first), self.sources.len())));
        self.sources.push(Source { kind, chance, every, arrivals });
    }

    fn add_stalls(&mut self, count: u32, mut chance: StdRng) {
        let everybody: Vec<u32> = (0..self.users).collect();
        let within = self.ends.saturating_sub(self.stall).as_secs_f64();
        for user in some_of(&everybody, count, &mut chance) {
            let at = Duration::from_secs_f64(chance.random::<f64>() * within);
            let kind = Kind::Stall(self.stalls.len());
            self.stalls.push((at, user));
            self.due.push(Reverse((at, self.sources.len())));
            let chance = stream(0, u64::from(user));
            self.sources.push(Source {
                kind,
                chance,
                every: f64::INFINITY,
                arrivals: Arrivals::Constant,
            });
        }
    }

    /// Nobody who is stalled, because a reconnect would end that.
    fn someone_awake(&mut self, source: usize, now: Duration) -> Option<u32> {
        let asleep = |user: u32, stalls: &[(Duration, u32)], lasts: Duration| {
            stalls.iter().any(|(at, who)| *who == user && *at <= now && now < *at + lasts)
        };
        let Self { stalls, stall, users, sources, .. } = self;
        let mut draws = (0..8).map(|_| sources[source].chance.random_range(0..*users));
        draws.find(|user| !asleep(*user, stalls, *stall))
    }

    fn membership(&mut self, source: usize) -> Option<Deed> {
        let chance = &mut self.sources[source].chance;
        if !self.gone.is_empty() && chance.random::<bool>() {
            let back = chance.random_range(0..self.gone.len());
            let (user, room) = self.gone.swap_remove(back);
            self.members[room as usize].push(user);
            return Some(Deed::Join { user, room });
        }
        let room = chance.random_range(0..self.members.len());
        let members = &mut self.members[room];
        if members.len() <= MEMBERS_KEPT {
            return None;
        }
        let at = chance.random_range(0..members.len());
        let user = members[at];
        if self.speakers[room].as_ref().is_some_and(|speakers| speakers.contains(&user)) {
            return None;
        }
        members.swap_remove(at);
        self.gone.push((user, room as u32));
        Some(Deed::Leave { user, room: room as u32 })
    }

    fn say(&mut self, source: usize, room: u32) -> Deed {
        let speakers = self.speakers[room as usize].as_ref();
        let speakers = speakers.unwrap_or(&self.members[room as usize]);
        let chance = &mut self.sources[source].chance;
        let user = speakers[chance.random_range(0..speakers.len())];
        Deed::Say { room, user, bytes: self.lengths.draw(chance) }
    }
}

impl Iterator for Plan {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        loop {
            let Reverse((at, source)) = self.due.pop()?;
            if at >= self.ends {
                continue;
            }
            let it = &mut self.sources[source];
            let gap = match it.arrivals {
                Arrivals::Poisson => exponential(it.every, &mut it.chance),
                Arrivals::Constant => it.every,
            };
            if gap.is_finite() {
                self.due.push(Reverse((at + Duration::from_secs_f64(gap), source)));
            }
            let deed = match self.sources[source].kind {
                Kind::Room(room) => Some(self.say(source, room)),
                Kind::Reconnect => {
                    self.someone_awake(source, at).map(|user| Deed::Reconnect { user })
                }
                Kind::Membership => self.membership(source),
                Kind::Stall(stall) => {
                    Some(Deed::Stall { user: self.stalls[stall].1, lasts: self.stall })
                }
            };
            if let Some(deed) = deed {
                return Some(Planned { at, deed });
            }
        }
    }
}

/// A generator of its own for each source, so that one more room changes nothing for the others.
fn stream(seed: u64, source: u64) -> StdRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&source.to_le_bytes());
    StdRng::from_seed(bytes)
}

fn exponential(mean: f64, chance: &mut StdRng) -> f64 {
    -(1.0 - chance.random::<f64>()).ln() * mean
}

fn some_of(all: &[u32], count: u32, chance: &mut StdRng) -> Vec<u32> {
    let mut all = all.to_vec();
    let count = (count as usize).min(all.len());
    for at in 0..count {
        let other = chance.random_range(at..all.len());
        all.swap(at, other);
    }
    all.truncate(count);
    all
}

#[derive(Debug)]
struct Lengths {
    log_normal: LogNormal<f64>,
    min: f64,
    max: f64,
}

impl Lengths {
    fn new(bodies: &Bodies) -> Self {
        let log_normal = LogNormal::new(f64::from(bodies.bytes_median).ln(), bodies.sigma)
            .expect("sigma is finite and not negative");
        Self { log_normal, min: f64::from(bodies.bytes_min), max: f64::from(bodies.bytes_max) }
    }

    fn draw(&self, chance: &mut StdRng) -> u32 {
        self.log_normal.sample(chance).clamp(self.min, self.max).round() as u32
    }
}

/// What is said: cut out of one text, and each begins with its number, so that no two are alike and
/// the same number and length give the same body again.
#[derive(Debug)]
pub struct Words {
    text: String,
}

impl Words {
    /// The text of a seed.
    pub fn new(seed: u64) -> Self {
        let mut chance = stream(seed, 5);
        let mut text = String::with_capacity(TEXT_BYTES + 16);
        while text.len() < TEXT_BYTES {
            for _ in 0..chance.random_range(2..10) {
                text.push(char::from(chance.random_range(b'a'..=b'z')));
            }
            text.push(' ');
        }
        Self { text }
    }

    /// Puts the body of a send into `out`.
    pub fn body(&self, number: u32, bytes: u32, out: &mut String) {
        use std::fmt::Write as _;
        out.clear();
        write!(out, "{number:08x} ").expect("a String grows");
        let spice = if number.is_multiple_of(8) { SPICE } else { "" };
        let rest = (bytes as usize).saturating_sub(out.len());
        let (rest, spice) = match rest.checked_sub(spice.len()) {
            Some(rest) => (rest, spice),
            None => (rest, ""),
        };
        let rest = rest.min(self.text.len());
        let from = number as usize * 61 % (self.text.len() - rest + 1);
        out.push_str(&self.text[from..from + rest]);
        out.push_str(spice);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn canonical(settings: &[&str]) -> Scenario {
        let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
        Scenario::load("canonical", &settings).unwrap()
    }

    fn count(deeds: &[Planned], is: fn(&Deed) -> bool) -> usize {
        deeds.iter().filter(|it| is(&it.deed)).count()
    }

    #[test]
    fn the_same_seed_gives_the_same_deeds_and_another_gives_others() {
        let plan = |seed: &str| Plan::new(&canonical(&[seed])).collect::<Vec<_>>();
        assert_eq!(plan("seed=7"), plan("seed=7"));
        assert_ne!(plan("seed=7"), plan("seed=8"));
    }

    #[test]
    fn deeds_come_in_order_and_at_the_rates_asked_for() {
        let deeds: Vec<Planned> = Plan::new(&canonical(&[])).collect();
        assert!(deeds.is_sorted_by_key(|it| it.at));
        assert!(deeds.last().unwrap().at < Duration::from_mins(1));
        let team = count(&deeds, |it| matches!(it, Deed::Say { room: 1.., .. }));
        assert!((6_000..=6_001).contains(&team), "evenly spaced: {team}");
        let lobby = count(&deeds, |it| matches!(it, Deed::Say { room: 0, .. }));
        assert!((1_050..1_350).contains(&lobby), "1,200 by chance, four deviations: {lobby}");
        let reconnects = count(&deeds, |it| matches!(it, Deed::Reconnect { .. }));
        assert!((500..700).contains(&reconnects), "{reconnects}");
        let moves = count(&deeds, |it| matches!(it, Deed::Join { .. } | Deed::Leave { .. }));
        assert!((220..380).contains(&moves), "{moves}");
        assert_eq!(count(&deeds, |it| matches!(it, Deed::Stall { .. })), 10);
    }

    #[test]
    fn fifty_of_the_lobby_speak_and_never_leave_it() {
        let deeds: Vec<Planned> = Plan::new(&canonical(&[])).collect();
        let speakers: BTreeSet<u32> = deeds
            .iter()
            .filter_map(|it| match it.deed {
                Deed::Say { room: 0, user, .. } => Some(user),
                _ => None,
            })
            .collect();
        assert_eq!(speakers.len(), 50);
        let left = |it: &Planned| match it.deed {
            Deed::Leave { room: 0, user } => speakers.contains(&user),
            _ => false,
        };
        assert!(!deeds.iter().any(left));
    }

    #[test]
    fn nobody_speaks_joins_or_leaves_where_it_makes_no_sense() {
        let scenario = canonical(&["churn.membership=0.2", "seconds=30"]);
        let rooms = rooms(&scenario);
        let mut members: Vec<BTreeSet<u32>> =
            rooms.iter().map(|room| room.members.iter().copied().collect()).collect();
        for planned in Plan::new(&scenario) {
            match planned.deed {
                Deed::Say { room, user, .. } => assert!(members[room as usize].contains(&user)),
                Deed::Join { room, user } => assert!(members[room as usize].insert(user)),
                Deed::Leave { room, user } => assert!(members[room as usize].remove(&user)),
                Deed::Reconnect { .. } | Deed::Stall { .. } => {}
            }
        }
        assert!(members.iter().all(|room| room.len() >= MEMBERS_KEPT));
    }

    #[test]
    fn lengths_are_log_normal_within_their_bounds() {
        let deeds = Plan::new(&canonical(&[]));
        let mut lengths: Vec<u32> = deeds
            .filter_map(|it| match it.deed {
                Deed::Say { bytes, .. } => Some(bytes),
                _ => None,
            })
            .collect();
        lengths.sort_unstable();
        assert!(lengths[0] >= 20 && *lengths.last().unwrap() <= 2_000);
        let median = lengths[lengths.len() / 2];
        assert!((57..=63).contains(&median), "{median}");
    }

    #[test]
    fn a_body_has_its_length_and_is_like_no_other() {
        let words = Words::new(1);
        let (mut body, mut seen) = (String::new(), BTreeSet::new());
        for number in 0..2_000 {
            let bytes = 20 + number;
            words.body(number, bytes, &mut body);
            assert_eq!(body.len(), bytes as usize);
            assert!(seen.insert(body.clone()));
        }
        let again = Words::new(1);
        let mut same = String::new();
        again.body(1_999, 20 + 1_999, &mut same);
        assert_eq!(same, body);
    }
}
