//! Whether the time an answer takes tells a room that one may not see from one that is not there:
//! interleaved pairs of every request, by every way of asking, and the Mann–Whitney statistic of
//! each. As a test it asks few pairs and judges none, because a machine that does other work is no
//! judge of times; `cargo xtask timings` asks 2,000 and judges.

use std::fmt::Write as _;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::client::{Client, Speak};
use super::moderation::{applied, moderate};
use super::rights::{Asked, Http, Person, about, server};

/// Two samples of one distribution are further apart than this once in some 150,000 times; there are
/// about three hundred cells.
const Z_MAX: f64 = 4.5;

/// What was asked, by which way, and how far apart the two samples of times are.
struct Cell {
    what: String,
    z: f64,
    /// Of both, in microseconds.
    medians: [f64; 2],
}

#[expect(clippy::disallowed_methods, reason = "what is measured here is the time")]
fn timed(mut ask: impl FnMut()) -> f64 {
    let begun = Instant::now();
    ask();
    begun.elapsed().as_secs_f64() * 1e6
}

/// The Mann–Whitney U of two samples of one size, as a standard score.
fn mann_whitney(samples: &[Vec<f64>; 2]) -> f64 {
    let count = samples[0].len() as f64;
    let marked = |i: usize| samples[i].iter().map(move |time| (*time, i));
    let mut all: Vec<(f64, usize)> = marked(0).chain(marked(1)).collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let ranks = all.iter().zip(1..).filter(|((_, i), _)| *i == 0);
    let sum: f64 = ranks.map(|(_, rank)| f64::from(rank)).sum();
    let u = sum - count * (count + 1.0) / 2.0;
    let deviation = (count * count * (2.0 * count + 1.0) / 12.0).sqrt();
    (u - count * count / 2.0) / deviation
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Asks both, in an order that chance decides, so many times.
fn compare(
    what: String,
    pairs: usize,
    chance: &mut SmallRng,
    ask: &mut [&mut dyn FnMut(); 2],
) -> Cell {
    let mut samples = [Vec::with_capacity(pairs), Vec::with_capacity(pairs)];
    for _ in 0..pairs {
        let first = usize::from(chance.random_bool(0.5));
        for i in [first, 1 - first] {
            samples[i].push(timed(&mut *ask[i]));
        }
    }
    let medians = [median(&samples[0]), median(&samples[1])];
    Cell { what, z: mann_whitney(&samples), medians }
}

fn of_connection(
    name: &str,
    client: &mut Client,
    (there, nowhere): (&Asked, &Asked),
    pairs: usize,
    chance: &mut SmallRng,
) -> Cell {
    let client = std::cell::RefCell::new(client);
    let ask = |request: &Request| {
        let outcome = client.borrow_mut().ask(request.clone());
        assert!(matches!(outcome, Outcome::Rejected(ref it) if it.code == 205), "{outcome:?}");
    };
    let (mut one, mut other) = (|| ask(&there.request), || ask(&nowhere.request));
    let what = format!("{name} {}", there.operation.name());
    compare(what, pairs, chance, &mut [&mut one, &mut other])
}

#[test]
fn what_is_hidden_and_what_is_not_there_take_the_same_time() {
    let asked = std::env::var("THRONG_TIMINGS_PAIRS").ok();
    let pairs = asked.as_ref().map_or(20, |text| text.parse().expect("a number of pairs"));
    let server = server();
    let mut host = server.join_in(Speak::Json, "host");
    let kind = v1::RoomKind::Private as i32;
    let make =
        Request::CreateRoom(v1::CreateRoom { name: "den".into(), kind, ..Default::default() });
    let Outcome::Joined(v1::Joined { room: hidden, .. }) = host.ask(make) else { panic!() };
    for _ in 0..100 {
        host.post(hidden, "secret");
    }
    let mut stranger = Person::new(&server, "stranger", 0);
    let mut banned = Person::new(&server, "banned", 0x20);
    applied(host.ask(moderate(hidden, Act::Ban, banned.user)));
    let seed = 7;
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut cells = Vec::new();
    // As many digits, and the shard of the other.
    let absent = hidden + 2;
    for asker in [&mut stranger, &mut banned] {
        let both = about(hidden, host.user).into_iter().zip(about(absent, host.user));
        for (there, nowhere) in both {
            for (client, form) in asker.connections.iter_mut().zip(["json", "protobuf", "raw"]) {
                let name = format!("{} {form}", asker.name);
                let pair = (&there, &nowhere);
                cells.push(of_connection(&name, client, pair, pairs, &mut chance));
            }
            let (Some(there_), Some(nowhere_)) = (&there.rest, &nowhere.rest) else { continue };
            // One connection, as a program that measures would keep it.
            let http = std::cell::RefCell::new(Http::connect(&server));
            let ask = |(method, path, body): &(&str, String, String)| {
                let status = http.borrow_mut().ask(&asker.token, method, path, body);
                assert_eq!(status, 404, "{method} {path}");
            };
            let (mut one, mut other) = (|| ask(there_), || ask(nowhere_));
            let what = format!("{} rest {}", asker.name, there.operation.name());
            cells.push(compare(what, pairs, &mut chance, &mut [&mut one, &mut other]));
        }
    }
    cells.sort_by(|one, other| other.z.abs().total_cmp(&one.z.abs()));
    let mut told = format!("{} cells of {pairs} pairs, seed {seed}; the furthest:\n", cells.len());
    let apart = cells.iter().filter(|cell| cell.z.abs() > Z_MAX).count();
    for Cell { what, z, medians: [there, nowhere] } in cells.iter().take(apart.max(12)) {
        let line = format!("z {z:>5.2}  hidden {there:>7.1} µs  absent {nowhere:>7.1} µs  {what}");
        writeln!(told, "{line}").unwrap();
    }
    println!("{told}");
    assert!(cells.len() > 150, "{}", cells.len());
    if asked.is_some() {
        assert_eq!(apart, 0, "{apart} cells are separable (|z| > {Z_MAX})\n{told}");
    }
}

#[test]
fn the_statistic_tells_samples_apart_that_are_and_no_others() {
    let mut chance = SmallRng::seed_from_u64(1);
    let mut sample = |shift: f64| (0..2_000).map(|_| chance.random::<f64>() + shift).collect();
    let same = [sample(0.0), sample(0.0)];
    assert!(mann_whitney(&same).abs() < Z_MAX);
    let apart = [sample(0.0), sample(0.1)];
    assert!(mann_whitney(&apart) < -Z_MAX);
}
