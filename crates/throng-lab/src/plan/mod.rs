//! What is done, by whom and when, decided before anything happens: the same seed gives the same
//! deeds, whatever the server makes of them. An open model: nothing here waits for an answer.
//!
//! Neighbours: made of a `Scenario`; the runner does the deeds at their times. Membership is
//! followed as planned, so that nobody is made to speak where he has left.

mod changes;
mod lives;
mod portrait;
mod rooms;
mod words;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::drivers::{Act, Change};
use crate::scenario::{Arrivals, Phase, Profile, Scenario};
use changes::Changing;
use lives::Living;
pub use portrait::portrait;
pub use rooms::{PlannedRoom, rooms};
use words::Lengths;
pub use words::{FILE_BYTES_MIN, Words};

/// A body begins with its number, eight digits and a space.
pub const BODY_BYTES_MIN: u32 = 10;
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
    /// Change a message of this room: the sender's own, or by answering it.
    Change {
        /// Where.
        room: u32,
        /// Who answers; another text and a deletion are the sender's own.
        user: u32,
        /// How.
        change: Change,
        /// Which of the newest, at random.
        pick: u32,
    },
    /// Send a file, and say something that carries it.
    Share {
        /// Where.
        room: u32,
        /// Who.
        user: u32,
        /// How much is said.
        bytes: u32,
        /// Whose turn it is to fetch it, at random.
        pick: u32,
    },
    /// Let the room know that one types.
    Type {
        /// Who.
        user: u32,
        /// Where.
        room: u32,
    },
    /// Put a member out, or let him in again.
    Moderate {
        /// Who made the room.
        by: u32,
        /// Where.
        room: u32,
        /// Whom.
        user: u32,
        /// How.
        act: Act,
    },
    /// Read nothing for a while.
    Stall {
        /// Who.
        user: u32,
        /// For how long.
        lasts: Duration,
    },
    /// Connect, log in, hear one's rooms.
    Arrive {
        /// Who.
        user: u32,
        /// Of which life, in the scenario's order.
        life: u32,
    },
    /// Look at what was said here before.
    Look {
        /// Who.
        user: u32,
        /// Where.
        room: u32,
        /// At how many of the newest messages.
        history: u32,
        /// At the pictures of those who are there, too.
        avatars: bool,
    },
    /// Close the connection when everything is answered, and stay away.
    Depart {
        /// Who.
        user: u32,
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
    stalls: Vec<(Duration, u32, Duration)>,
    /// The load over time, where it is not the same.
    profile: Option<Profile>,
    lives: Vec<Living>,
    changing: Changing,
}

#[derive(Debug)]
struct Source {
    kind: Kind,
    chance: StdRng,
    every: f64,
    arrivals: Arrivals,
    /// Follows the phases' load.
    shaped: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Room(u32),
    Reconnect,
    Membership,
    /// By its place in `stalls`.
    Stall(usize),
    /// This user, once: with a phase.
    ReconnectOne(u32),
    /// By its place in `lives`.
    Life(usize),
    Change(Change),
    Type,
    Share,
    PutOut(Act),
    /// The next whose ban is over.
    LetIn,
}

impl Plan {
    /// All from the scenario's seed.
    pub fn new(scenario: &Scenario) -> Self {
        let users = scenario.users.count;
        let rooms = rooms(scenario);
        let mut plan = Self {
            ends: Duration::from_secs_f64(scenario.seconds),
            users,
            lengths: Lengths::new(&scenario.bodies),
            due: BinaryHeap::new(),
            sources: Vec::new(),
            lives: lives::all(scenario, &rooms),
            members: rooms.into_iter().map(|room| room.members).collect(),
            speakers: Vec::new(),
            gone: Vec::new(),
            stalls: Vec::new(),
            profile: Profile::of(&scenario.phases),
            changing: Changing::default(),
        };
        plan.add_rooms(scenario);
        plan.add_changes(scenario);
        let seed = scenario.seed;
        let each_second = |share: f64| share * f64::from(users);
        let churn = &scenario.churn;
        for (kind, share, source) in
            [(Kind::Reconnect, churn.reconnect, 2), (Kind::Membership, churn.membership, 3)]
        {
            plan.add(kind, each_second(share), Arrivals::Poisson, false, stream(seed, source));
        }
        let count = (f64::from(users) * churn.stall).round() as u32;
        plan.add_stalls(count, Duration::from_secs_f64(churn.stall_seconds), stream(seed, 4));
        let mut begins = 0.0;
        for (number, phase) in scenario.phases.iter().enumerate() {
            plan.add_storm(phase, begins, stream(seed, 8 << 32 | number as u64));
            begins += phase.seconds;
        }
        for life in 0..plan.lives.len() {
            plan.add_at(plan.lives[life].due(), Kind::Life(life), 0);
        }
        plan
    }

    fn add_rooms(&mut self, scenario: &Scenario) {
        let dresses = &scenario.users.dresses;
        let mut room = 0;
        for kind in &scenario.rooms {
            for _ in 0..kind.count {
                let mut chance = stream(scenario.seed, 1 << 32 | u64::from(room));
                let wears = |user: &u32| {
                    kind.speakers_in.is_none_or(|it| dresses[*user as usize % dresses.len()] == it)
                };
                let members = &self.members[room as usize];
                let able: Vec<u32> = members.iter().copied().filter(wears).collect();
                let all = able.len() == members.len();
                let count = kind.speakers.unwrap_or(kind.members);
                // Nobody leaves a room of two.
                let some = !all || count < kind.members || kind.direct;
                self.speakers.push(some.then(|| some_of(&able, count, &mut chance)));
                let (rate, shaped) = (kind.sends_per_second, !kind.steady);
                self.add(Kind::Room(room), rate, kind.arrivals, shaped, chance);
                room += 1;
            }
        }
    }

    fn add(
        &mut self,
        kind: Kind,
        each_second: f64,
        arrivals: Arrivals,
        shaped: bool,
        mut chance: StdRng,
    ) {
        if each_second <= 0.0 {
            return;
        }
        let every = 1.0 / each_second;
        let first = match arrivals {
            Arrivals::Poisson => exponential(every, &mut chance),
            Arrivals::Constant => chance.random::<f64>() * every,
        };
        let first = match &self.profile {
            Some(profile) if shaped => profile.after(0.0, first),
            _ => first,
        };
        if let Ok(first) = Duration::try_from_secs_f64(first) {
            self.due.push(Reverse((first, self.sources.len())));
            self.sources.push(Source { kind, chance, every, arrivals, shaped });
        }
    }

    /// Something that happens once.
    fn add_at(&mut self, at: Duration, kind: Kind, stream_of: u64) {
        self.due.push(Reverse((at, self.sources.len())));
        let (chance, arrivals) = (stream(0, stream_of), Arrivals::Constant);
        self.sources.push(Source { kind, chance, every: f64::INFINITY, arrivals, shaped: false });
    }

    fn add_stalls(&mut self, count: u32, lasts: Duration, mut chance: StdRng) {
        let everybody: Vec<u32> = (0..self.users).collect();
        let within = self.ends.saturating_sub(lasts).as_secs_f64();
        for user in some_of(&everybody, count, &mut chance) {
            let at = Duration::from_secs_f64(chance.random::<f64>() * within);
            self.add_stall(at, user, lasts);
        }
    }

    fn add_stall(&mut self, at: Duration, user: u32, lasts: Duration) {
        let kind = Kind::Stall(self.stalls.len());
        self.stalls.push((at, user, lasts));
        self.add_at(at, kind, u64::from(user));
    }

    /// What happens in the moment a phase begins.
    fn add_storm(&mut self, phase: &Phase, begins: f64, mut chance: StdRng) {
        let at = Duration::from_secs_f64(begins);
        let everybody: Vec<u32> = (0..self.users).collect();
        let share = |share: f64| (f64::from(everybody.len() as u32) * share).round() as u32;
        let lost = some_of(&everybody, share(phase.reconnect), &mut chance);
        let stalled = some_of(&everybody, share(phase.stall), &mut chance);
        for user in lost {
            self.add_at(at, Kind::ReconnectOne(user), u64::from(user));
        }
        for user in stalled {
            self.add_stall(at, user, Duration::from_secs_f64(phase.seconds));
        }
    }

    /// Nobody who is stalled, because a reconnect would end that.
    fn someone_awake(&mut self, source: usize, now: Duration) -> Option<u32> {
        let Self { stalls, users, sources, .. } = self;
        let asleep = |user: u32| {
            stalls.iter().any(|(at, who, lasts)| *who == user && *at <= now && now < *at + *lasts)
        };
        let mut draws = (0..8).map(|_| sources[source].chance.random_range(0..*users));
        draws.find(|user| !asleep(*user))
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
        let speaks = self.speakers[room].as_ref().is_some_and(|it| it.contains(&user));
        if speaks || self.changing.keeps(room, user) {
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

impl Plan {
    /// When the source is due again, if it is.
    fn schedule(&mut self, source: usize, at: Duration) {
        let it = &mut self.sources[source];
        let gap = match it.arrivals {
            Arrivals::Poisson => exponential(it.every, &mut it.chance),
            Arrivals::Constant => it.every,
        };
        let next = match &self.profile {
            Some(profile) if it.shaped => {
                Duration::try_from_secs_f64(profile.after(at.as_secs_f64(), gap)).ok()
            }
            _ => Duration::try_from_secs_f64(gap).ok().map(|gap| at + gap),
        };
        if let Some(next) = next {
            self.due.push(Reverse((next, source)));
        }
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
            if let Kind::Life(life) = self.sources[source].kind {
                let Self { lives, members, lengths, .. } = self;
                let deed = lives[life].next(members, lengths);
                if deed.is_some() {
                    self.due.push(Reverse((self.lives[life].due().max(at), source)));
                }
                if let Some(deed) = deed {
                    return Some(Planned { at, deed });
                }
                continue;
            }
            if matches!(self.sources[source].kind, Kind::LetIn) {
                match self.let_in() {
                    Some(deed) => return Some(Planned { at, deed }),
                    None => continue,
                }
            }
            self.schedule(source, at);
            let deed = match self.sources[source].kind {
                Kind::Room(room) => Some(self.say(source, room)),
                Kind::Reconnect => {
                    self.someone_awake(source, at).map(|user| Deed::Reconnect { user })
                }
                Kind::ReconnectOne(user) => Some(Deed::Reconnect { user }),
                Kind::Membership => self.membership(source),
                Kind::Stall(stall) => {
                    let (_, user, lasts) = self.stalls[stall];
                    Some(Deed::Stall { user, lasts })
                }
                Kind::Change(change) => self.change(source, change),
                Kind::Type => self.types(source),
                Kind::Share => self.share(source),
                Kind::PutOut(act) => self.put_out(source, act, at),
                Kind::Life(_) | Kind::LetIn => None,
            };
            if let Some(deed) = deed {
                return Some(Planned { at, deed });
            }
        }
    }
}

/// The mean length of a scenario's bodies, as drawn.
pub fn mean_body_bytes(scenario: &Scenario) -> usize {
    const DRAWS: usize = 10_000;
    let (lengths, mut chance) = (Lengths::new(&scenario.bodies), stream(scenario.seed, 9 << 32));
    (0..DRAWS).map(|_| lengths.draw(&mut chance) as usize).sum::<usize>() / DRAWS
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

#[cfg(test)]
mod tests;
