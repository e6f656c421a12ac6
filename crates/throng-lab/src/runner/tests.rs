//! The runner without a server: what it does when, and when it has waited enough.

use super::*;

#[test]
fn one_that_is_on_its_way_back_is_waited_for_longer_than_a_delivery_and_not_for_ever() {
    assert!(!is_over(STILL, true) && is_over(STILL + LOOK_EVERY, true));
    // The third try of a connection that the kernel did not get through.
    assert!(!is_over(Duration::from_secs(7) + SETTLE, false));
    assert!(is_over(COMES_BACK + LOOK_EVERY, false));
    assert!(COMES_BACK + SETTLE < PATIENCE, "the books are closed, the run is not broken off");
}

/// Sees no server.
struct Nobody;

impl Watch for Nobody {
    fn server(&mut self) -> Option<(Duration, u64)> {
        None
    }
    fn steal(&mut self) -> f64 {
        0.0
    }
    fn stop(&mut self) -> Option<String> {
        None
    }
}

/// Twenty in one room, whose hundred sends a second wait for connections that nobody makes.
const TALK: &str = r#"
name = "talk"
says = "twenty in one room"
seconds = 6.0
seed = 5

[users]
count = 20
dresses = ["ws-json"]

[[rooms]]
name = "all"
count = 1
members = 20
sends_per_second = 100.0
arrivals = "poisson"

[bodies]
bytes_min = 20
bytes_median = 60
bytes_max = 500
sigma = 0.5
"#;

fn talk() -> Scenario {
    Scenario::parse("talk.toml", TALK, &[]).unwrap()
}

fn crowd(scenario: &Scenario) -> Crowd {
    let account = |id: u32| Account {
        id: u64::from(id) + 1,
        name: format!("user-{id}"),
        token: String::new(),
        password: None,
    };
    let accounts = (0..scenario.users.count).map(account).collect();
    let door = Door { address: ([127, 0, 0, 1], 1).into(), raw: None, agents: Vec::new() };
    let mut crowd = Crowd::new(accounts, scenario, plan::rooms(scenario), door, 1);
    let room = crowd.ledger.room_made(7, (1, 1));
    crowd.places[0].made = Some((7, room));
    crowd.kinds.push(0);
    crowd
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The samples of a load that is looked at in these moments, and nobody woke in between; with how many sends were
/// given up and how many were planned.
fn looked_at(looks: &[u64]) -> (Vec<Sample>, u64, u64) {
    let scenario = talk();
    let planned = Plan::new(&scenario).filter(|it| matches!(it.deed, plan::Deed::Say { .. }));
    let mut engine = Engine::new().unwrap();
    let (mut nobody, mut tell) = (Nobody, |_: &Sample| {});
    let mut runner = Runner::new(&scenario, crowd(&scenario), &mut nobody, &mut tell);
    // Before the last look, as how late a send left is read from the clock itself.
    let begun = Nanos(clock::now().0 - ms(*looks.last().unwrap()).as_nanos() as u64);
    runner.begin_load(&engine.sockets, begun);
    for look in looks {
        runner.due(&mut engine.sockets, begun.plus(ms(*look)));
    }
    assert_eq!(runner.phase, Phase::Draining, "the load is over");
    let figures = runner.figures;
    assert_eq!(figures.load_sends, figures.samples.iter().map(|it| it.sent).sum::<u64>());
    (figures.samples, figures.dropped, planned.count() as u64)
}

fn every(step: usize, to: u64) -> Vec<u64> {
    (0..=to).step_by(step).collect()
}

#[test]
fn what_was_planned_before_the_end_is_sent_also_where_one_wakes_a_moment_after_it() {
    let (samples, dropped, planned) = looked_at(&every(10, 6_000));
    let sent: u64 = samples.iter().map(|it| it.sent).sum();
    assert_eq!((sent, dropped), (planned, 0), "the last ten milliseconds too");
    assert_eq!(samples.len(), 6);
}

#[test]
fn a_generator_that_stands_still_over_the_end_is_seen_in_lag_and_in_what_it_dropped() {
    let mut looks = every(10, 5_160);
    looks.push(6_800);
    let (samples, dropped, planned) = looked_at(&looks);
    let sent: u64 = samples.iter().map(|it| it.sent).sum();
    assert_eq!(sent + dropped, planned);
    // What was meant until 5.8 s is more than a second late by then, which is given up.
    let scenario = talk();
    let meant = |from: u64, to: u64| {
        let within = |it: &plan::Planned| (ms(from)..ms(to)).contains(&it.at);
        Plan::new(&scenario).filter(within).count() as u64
    };
    assert_eq!(dropped, meant(5_160, 5_800));
    let last = samples.last().unwrap();
    assert_eq!((last.dropped, last.intended), (dropped, meant(5_000, 6_000)));
    assert!(last.lag.max_ms > 800.0, "{}", last.lag.max_ms);
    assert!((last.seconds - 1.8).abs() < 0.02, "{}", last.seconds);
}

#[test]
fn seconds_that_nobody_saw_are_one_long_one() {
    let mut looks = every(10, 2_490);
    looks.push(4_600);
    looks.extend(every(10, 6_000).into_iter().filter(|at| *at > 4_600));
    let (samples, dropped, planned) = looked_at(&looks);
    let sent: u64 = samples.iter().map(|it| it.sent).sum();
    assert!(dropped > 0 && sent + dropped == planned);
    let lengths: Vec<f64> = samples.iter().map(|it| (it.seconds * 10.0).round() / 10.0).collect();
    assert_eq!(lengths, [1.0, 1.0, 2.6, 0.4, 1.0]);
}
