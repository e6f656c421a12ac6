//! kill −9 of the real process under load: what was acked durable is in history once and in order,
//! what was seen is not denied, what was not acked and is sent again appears once.
//!
//! `THRONG_KILL_CYCLES` and `THRONG_KILL_SEED` make it longer or another; `cargo xtask kill` sets
//! them. Neighbours: `person` is one client through all of it, `planted` shows that this catches.

mod person;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use throng_wire::native::v1::Event;

use crate::raw_client::Client;
use crate::raw_server::{Server, tokens};
use person::Person;

/// So long a server may take for the first acks of a cycle.
const PATIENCE: Duration = Duration::from_secs(30);
/// After the acks that are waited for: microseconds too few to be even,
const SHORT: Range<u64> = 0..3_000;
/// or in some cycles so many that the fold is at work, which begins after a second and a half.
const LONG: Range<u64> = 1_400_000..1_800_000;
const LONG_EVERY: u64 = 5;
const PEOPLE: usize = 6;
const ROOMS: usize = 3;
/// The load is not the rate limits' business here.
const SETTINGS: [&str; 4] = [
    "limits.sends_per_second=1000000",
    "limits.sends_burst=1000000",
    "limits.requests_per_second=1000000",
    "limits.requests_burst=1000000",
];

/// What was wrong, in words.
pub type Violation = String;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub cycles: u64,
    pub seed: u64,
    pub fault: Option<&'static str>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub acked: usize,
    pub tried_again: usize,
    pub seen: usize,
}

#[test]
fn what_was_acked_or_seen_survives_kill_nine_under_load() {
    let number = |key: &str, default| {
        std::env::var(key).map_or(default, |text| text.parse().expect("a number"))
    };
    let seed = number("THRONG_KILL_SEED", 1);
    let plan = Plan { cycles: number("THRONG_KILL_CYCLES", 20), seed, fault: None };
    match run(plan) {
        Ok(done) => {
            let Done { acked, tried_again, seen } = done;
            println!(
                "seed {seed}, {} kills: {acked} acked, {tried_again} tried again, {seen} seen",
                plan.cycles
            );
            assert!(acked > 0 && tried_again > 0 && seen > 0, "the load was none");
        }
        Err(violation) => panic!("{violation}; repeat: THRONG_KILL_SEED={seed}"),
    }
}

/// Lets people talk to a server that is killed again and again; then everything is compared.
pub fn run(plan: Plan) -> Result<Done, Violation> {
    let folder = tempfile::tempdir().expect("a folder for the data");
    let data = folder.path().join("data");
    let tokens = tokens(&data, PEOPLE);
    let start = || Server::start(&data, &SETTINGS, plan.fault);
    let rooms = make_rooms(&start(), &tokens[0]);
    let person = |(index, token)| Person::new(index, token, &rooms);
    let mut people: Vec<_> = tokens.into_iter().enumerate().map(person).collect();
    let mut rng = StdRng::seed_from_u64(plan.seed);
    for number in 1..=plan.cycles {
        let pause = if number % LONG_EVERY == 0 { LONG } else { SHORT };
        let pause = Duration::from_micros(rng.random_range(pause));
        cycle(start(), &mut people, &mut rng, pause)?;
    }
    let server = start();
    std::thread::scope(|scope| {
        let settle = |person| scope.spawn(|| Person::settle(person, server.raw));
        let settling: Vec<_> = people.iter_mut().map(settle).collect();
        settling.into_iter().try_for_each(|person| person.join().expect("a client does not panic"))
    })?;
    let mut reader = Client::open(server.raw, people[0].token()).expect("the server is there");
    let history: BTreeMap<u32, Vec<Event>> = rooms
        .iter()
        .map(|room| (*room, reader.history(*room, 0).expect("the server is there")))
        .collect();
    check_order(&history)?;
    let mut done = Done::default();
    for person in &people {
        person.check(&history)?;
        done.acked += person.acked();
        done.tried_again += person.tried_again;
        done.seen += person.seen();
    }
    Ok(done)
}

fn make_rooms(server: &Server, token: &str) -> Vec<u32> {
    let mut maker = Client::open(server.raw, token).expect("the server is there");
    (1..=ROOMS).map(|number| maker.create_room(&format!("room {number}"))).collect()
}

/// Everybody talks; after some acks, and some time too short to be even, the process is killed.
fn cycle(
    server: Server,
    people: &mut [Person],
    rng: &mut StdRng,
    pause: Duration,
) -> Result<(), Violation> {
    let acks = rng.random_range(1..600);
    let counter = Counter::default();
    let address = server.raw;
    std::thread::scope(|scope| {
        let mut talking = Vec::new();
        for person in people {
            let (mut rng, counter) = (StdRng::seed_from_u64(rng.random()), &counter);
            talking.push(scope.spawn(move || person.talk(address, &mut rng, counter)));
        }
        counter.wait(acks, PATIENCE);
        counter.wait(u64::MAX, pause);
        server.kill();
        talking.into_iter().try_for_each(|person| person.join().expect("a client does not panic"))
    })
}

/// Acks of all, to be waited for.
#[derive(Debug, Default)]
pub struct Counter {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Counter {
    pub fn add(&self) {
        *self.count.lock().expect("nothing panics while it counts") += 1;
        self.changed.notify_all();
    }

    /// No more acks need be waited for: something is wrong already.
    pub fn enough(&self) {
        *self.count.lock().expect("nothing panics while it counts") = u64::MAX / 2;
        self.changed.notify_all();
    }

    fn wait(&self, until: u64, patience: Duration) {
        let count = self.count.lock().expect("nothing panics while it counts");
        let waited = self.changed.wait_timeout_while(count, patience, |count| *count < until);
        drop(waited.expect("nothing panics while it counts"));
    }
}

/// The laws of a room's order, whoever wrote what.
fn check_order(history: &BTreeMap<u32, Vec<Event>>) -> Result<(), Violation> {
    for (room, events) in history {
        let (mut prev, mut at) = (0, 0);
        for (index, event) in events.iter().enumerate() {
            if event.seq != index as u64 + 1 || event.prev != prev || event.at < at {
                return Err(format!("room {room} is out of order after {prev}: {event:?}"));
            }
            (prev, at) = (event.seq, event.at);
        }
    }
    Ok(())
}
