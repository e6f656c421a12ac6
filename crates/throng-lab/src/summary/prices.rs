//! What things cost: the server's CPU for one who joins, for one delivery, and for each feature that one who joins
//! asks for.
//!
//! Neighbours: the recorder has the seconds, the scenario says who comes in which phase and asks for what. A join
//! is priced only in phases in which people come, nobody speaks and nobody goes, and a delivery where people speak and
//! nothing else is done (nothing is resumed, stalled, abused or changed): all CPU of the phase, with what
//! it was still doing after the last had come, less what the server takes when nothing is asked of it, over
//! those who came. A regression over all seconds would not tell joins from what comes with them: those who have
//! come are the ones who speak. A feature is the difference of two such phases that differ in it alone.

use serde::Serialize;

use crate::recorder::Sample;
use crate::scenario::{Churn, Life, Scenario};
use crate::stats::median;

/// Shorter samples say nothing of an idle server.
const WHOLE: f64 = 0.5;

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Prices {
    /// CPU of the server in seconds in which nothing happened, nor in the one before, of one core: their
    /// median. It is in no price; where there was no such second nothing is taken off.
    pub idle_share: Option<f64>,
    /// One who joins: all phases in which people did nothing else.
    pub join: Option<Price>,
    /// Phase by phase.
    pub phases: Vec<OfPhase>,
    /// What one who joins asks for, one thing each.
    pub features: Vec<Feature>,
}

/// Of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Price {
    /// How many.
    pub count: u64,
    /// Of one, microseconds of the server's CPU.
    pub cpu_us: f64,
    /// Standard deviation of that from second to second, each weighed by how many it had; one second has none.
    pub deviation_us: Option<f64>,
}

/// What a phase did, and its price.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfPhase {
    /// Its name.
    pub phase: String,
    /// Of what.
    pub of: Of,
    /// What those who came asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<&'static str>,
    /// The price.
    #[serde(flatten)]
    pub price: Price,
}

/// What is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Somebody comes.
    Join,
    /// Somebody is told what was said.
    Delivery,
}

/// One feature of a join.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Feature {
    /// `avatars`, `history`.
    pub name: &'static str,
    /// The phase with it, and the one without.
    pub phases: [String; 2],
    /// The difference of both, of one join, microseconds.
    pub cpu_us: f64,
    /// Of both together, where both have one.
    pub deviation_us: Option<f64>,
}

impl Prices {
    /// Of a run with phases; none where no phase did one thing alone, or the server's CPU is not ours to see.
    pub fn of(scenario: &Scenario, samples: &[Sample]) -> Option<Self> {
        let idle_share = idle(samples);
        let idle = idle_share.unwrap_or_default();
        let known = samples.iter().any(|it| it.server_cpu > 0.0);
        let names = scenario.phases.iter().filter(|_| known).map(|it| it.name.as_str());
        let one = |name: &str| of_phase(scenario, samples, name, idle);
        let phases: Vec<OfPhase> = names.filter_map(one).collect();
        let joins = || phases.iter().filter(|it| it.of == Of::Join);
        let count: u64 = joins().map(|it| it.price.count).sum();
        let mean = |of: &dyn Fn(&Price) -> Option<f64>| {
            let of = |it: &OfPhase| Some(of(&it.price)? * it.price.count as f64);
            Some(joins().map(of).sum::<Option<f64>>()? / count.max(1) as f64)
        };
        let cpu_us = mean(&|it| Some(it.cpu_us)).unwrap_or_default();
        let away = |it: &Price| Some(it.deviation_us?.powi(2) + (it.cpu_us - cpu_us).powi(2));
        let join = Price { count, cpu_us, deviation_us: mean(&away).map(f64::sqrt) };
        let features = features(&joins().collect::<Vec<_>>());
        let join = (count > 0).then_some(join);
        (!phases.is_empty()).then_some(Self { idle_share, join, phases, features })
    }

    /// For a person, a line each.
    pub fn words(&self) -> Vec<String> {
        let phase = |it: &OfPhase| {
            let OfPhase { phase, of, with, price } = it;
            let what = match of {
                Of::Join => "join",
                Of::Delivery => "delivery",
            };
            let with =
                if with.is_empty() { String::new() } else { format!(" with {}", with.join(", ")) };
            let Price { count, cpu_us, deviation_us } = price;
            let deviation = deviation(*deviation_us);
            format!("{phase}: a {what}{with} {cpu_us:.1}{deviation} \u{b5}s CPU, of {count}")
        };
        let feature = |it: &Feature| {
            let Feature { name, phases: [with, without], cpu_us, deviation_us } = it;
            let deviation = deviation(*deviation_us);
            format!("{name}: {cpu_us:.1}{deviation} \u{b5}s of a join ({with} less {without})")
        };
        let phases = self.phases.iter().map(phase);
        phases.chain(self.features.iter().map(feature)).collect()
    }
}

/// After a figure.
fn deviation(us: Option<f64>) -> String {
    us.map_or(String::new(), |us| format!(" \u{b1} {us:.1}"))
}

/// Seconds of which it is known that nothing happened, nor just before.
fn idle(samples: &[Sample]) -> Option<f64> {
    let still = |before: &Sample, it: &Sample| {
        let asked = it.sent + it.deliveries + it.arrivals + it.pictures + it.login.count;
        asked == 0 && it.users == before.users && it.connections == before.connections
    };
    let of_three = samples.windows(3).filter(|it| still(&it[0], &it[1]) && still(&it[1], &it[2]));
    let whole = of_three.map(|it| &it[2]).filter(|it| it.seconds > WHOLE);
    median(&whole.map(|it| it.server_cpu / it.seconds).collect::<Vec<_>>())
}

fn of_phase(scenario: &Scenario, samples: &[Sample], name: &str, idle: f64) -> Option<OfPhase> {
    let first = samples.iter().position(|it| it.phase == name)?;
    let last = samples.iter().rposition(|it| it.phase == name)?;
    let seconds = &samples[first..=last];
    let sum = |of: fn(&Sample) -> u64| -> u64 { seconds.iter().map(of).sum() };
    let (arrivals, sent) = (sum(|it| it.arrivals), sum(|it| it.sent));
    if does_more(scenario, name, sent > 0) {
        return None;
    }
    let before = first.checked_sub(1).map_or(seconds[0].users, |at| samples[at].users);
    if before + arrivals > seconds.last()?.users && first > 0 {
        // Somebody went.
        return None;
    }
    match (arrivals, sent) {
        (1.., 0) => {
            let comes = |it: &&Life| it.arrives_in.as_deref() == Some(name);
            let life = scenario.lives.iter().find(comes);
            let asks = |it: &Life| [("avatars", it.avatars), ("history", it.history > 0)];
            let asks = life.map(asks).into_iter().flatten().filter(|it| it.1).map(|it| it.0);
            let price = price(seconds, |it| it.arrivals, idle)?;
            Some(OfPhase { phase: name.to_owned(), of: Of::Join, with: asks.collect(), price })
        }
        (0, 1..) => {
            let price = price(seconds, |it| it.deliveries, idle)?;
            Some(OfPhase { phase: name.to_owned(), of: Of::Delivery, with: Vec::new(), price })
        }
        _ => None,
    }
}

/// Whether a phase has by plan what is neither a join nor a delivery, and costs the server too: connections that are
/// lost and resumed, readers that stall, people who move between rooms, abusers, and changes of what was said.
fn does_more(scenario: &Scenario, name: &str, speaks: bool) -> bool {
    let Churn { reconnect, membership, stall, .. } = scenario.churn;
    let phase = scenario.phases.iter().find(|it| it.name == name);
    let of_phase = phase.is_some_and(|it| it.reconnect > 0.0 || it.stall > 0.0);
    let ill = scenario.abusers.iter().any(|it| it.phase.as_deref().is_none_or(|it| it == name));
    let changes = &scenario.changes;
    // What is done to messages comes with them, in their share.
    let of_messages = speaks && (changes.of_messages() || changes.typing > 0.0);
    let changes = of_messages || changes.put_out() || changes.files > 0.0;
    of_phase || reconnect + membership + stall > 0.0 || ill || changes
}

/// All of the CPU above the idle server's, over all there were.
fn price(seconds: &[Sample], of: fn(&Sample) -> u64, idle: f64) -> Option<Price> {
    let count: u64 = seconds.iter().map(of).sum();
    let us = |it: &Sample| (it.server_cpu - idle * it.seconds) * 1e6;
    let cpu_us = seconds.iter().map(us).sum::<f64>() / count as f64;
    let each = seconds.iter().filter(|it| of(it) > 0).map(|it| (of(it) as f64, us(it)));
    let several = each.clone().count() > 1;
    let away: f64 = each.map(|(n, us)| n * (us / n - cpu_us).powi(2)).sum();
    let deviation_us = several.then(|| (away / count as f64).sqrt());
    (count > 0).then_some(Price { count, cpu_us, deviation_us })
}

/// Every two joins that differ in one feature.
fn features(joins: &[&OfPhase]) -> Vec<Feature> {
    let mut features = Vec::new();
    for with in joins {
        for without in joins {
            let more: Vec<_> = with.with.iter().filter(|it| !without.with.contains(it)).collect();
            let [name] = more.as_slice() else { continue };
            if without.with.len() + 1 != with.with.len() {
                continue;
            }
            let (a, b) = (with.price, without.price);
            features.push(Feature {
                name,
                phases: [with.phase.clone(), without.phase.clone()],
                cpu_us: a.cpu_us - b.cpu_us,
                deviation_us: a.deviation_us.zip(b.deviation_us).map(|(a, b)| a.hypot(b)),
            });
        }
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Abuse, Abusers};

    /// A server that is idle at 1 % of a core; a join costs 500 µs, with history 800, with pictures too 2,000, a
    /// delivery 20. Of a join a tenth is done a second later.
    fn crowd() -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut users = 3;
        let mut push = |phase: &str, cpu_us: f64, arrivals: u64, goes: u64, said: u64| {
            users = users + arrivals - goes;
            samples.push(Sample {
                phase: phase.into(),
                at: samples.len() as f64,
                seconds: 1.0,
                users,
                connections: users,
                arrivals,
                sent: said,
                deliveries: said * 100,
                server_cpu: 0.01 + cpu_us / 1e6,
                ..Sample::default()
            });
        };
        push("before", 0.0, 0, 0, 0);
        for (join, [comes, talks, goes]) in [
            (2_000.0, ["T1", "T2", "T3"]),
            (800.0, ["T4", "T5", "T6"]),
            (500.0, ["T7", "T8", "T9"]),
        ] {
            for second in 0..15 {
                let late = if (1..=10).contains(&second) { join } else { 0.0 };
                let now = if second < 10 { 9.0 * join } else { 0.0 };
                push(comes, now + late, if second < 10 { 10 } else { 0 }, 0, 0);
            }
            (0..20).for_each(|_| push(talks, 20.0 * 2_000.0, 0, 0, 20));
            (0..5).for_each(|second| push(goes, 3_000.0, 0, if second < 4 { 25 } else { 0 }, 0));
        }
        samples
    }

    #[test]
    fn joins_talk_and_features_have_the_prices_that_were_put_in() {
        let scenario = Scenario::load("crowd", &[]).unwrap();
        let it = Prices::of(&scenario, &crowd()).unwrap();
        assert!((it.idle_share.unwrap() - 0.01).abs() < 1e-9, "{it:?}");
        let near =
            |is: f64, wanted: f64| assert!((is - wanted).abs() < 0.01, "{is} {wanted}: {it:?}");
        let phases: Vec<&str> = it.phases.iter().map(|it| it.phase.as_str()).collect();
        assert_eq!(phases, ["T1", "T2", "T4", "T5", "T7", "T8"], "nobody is priced as people go");
        for (at, wanted) in [2_000.0, 20.0, 800.0, 20.0, 500.0, 20.0].into_iter().enumerate() {
            near(it.phases[at].price.cpu_us, wanted);
        }
        assert_eq!(it.phases[0].with, ["avatars", "history"]);
        assert!(it.phases[0].price.deviation_us > Some(0.0), "the first second does less");
        assert!(it.features[0].deviation_us > Some(0.0), "{it:?}");
        let [one] = [price(
            &[Sample { seconds: 1.0, arrivals: 9, ..Sample::default() }],
            |it| it.arrivals,
            0.0,
        )];
        assert_eq!(one.unwrap().deviation_us, None, "one second has none");
        near(it.join.unwrap().cpu_us, 1_100.0);
        assert_eq!(it.join.unwrap().count, 300);
        let features: Vec<(&str, f64)> =
            it.features.iter().map(|it| (it.name, it.cpu_us)).collect();
        assert_eq!(features.len(), 2);
        assert_eq!((features[0].0, features[1].0), ("avatars", "history"));
        near(features[0].1, 1_200.0);
        near(features[1].1, 300.0);
        let words = it.words().join("\n");
        assert!(words.contains("T1: a join with avatars, history 2000.0"), "{words}");
        assert!(words.contains("(T4 less T7)"), "{words}");
    }

    #[test]
    fn a_run_that_did_all_at_once_or_whose_server_is_not_ours_has_no_prices() {
        let scenario = Scenario::load("crowd", &[]).unwrap();
        let mut mixed = crowd();
        for it in &mut mixed {
            (it.sent, it.arrivals) = (1, 1);
        }
        assert_eq!(Prices::of(&scenario, &mixed), None);
        let mut far = crowd();
        for it in &mut far {
            it.server_cpu = 0.0;
        }
        assert_eq!(Prices::of(&scenario, &far), None);
        let canonical = Scenario::load("canonical", &[]).unwrap();
        assert_eq!(Prices::of(&canonical, &crowd()), None);
    }

    #[test]
    fn a_phase_that_does_more_than_one_thing_has_no_price() {
        let priced = |change: &dyn Fn(&mut Scenario)| {
            let mut scenario = Scenario::load("crowd", &[]).unwrap();
            change(&mut scenario);
            let phases = Prices::of(&scenario, &crowd()).map_or_else(Vec::new, |it| it.phases);
            phases.into_iter().map(|it| it.phase).collect::<Vec<_>>()
        };
        let all = ["T1", "T2", "T4", "T5", "T7", "T8"];
        assert_eq!(priced(&|_| {}), all);
        let phase = |it: &mut Scenario, name: &str| {
            it.phases.iter().position(|phase| phase.name == name).unwrap()
        };
        let resumes = |it: &mut Scenario| {
            let at = phase(it, "T2");
            it.phases[at].reconnect = 0.5;
        };
        assert_eq!(priced(&resumes), ["T1", "T4", "T5", "T7", "T8"]);
        let stalls = |it: &mut Scenario| {
            let at = phase(it, "T4");
            it.phases[at].stall = 0.5;
        };
        assert_eq!(priced(&stalls), ["T1", "T2", "T5", "T7", "T8"]);
        let edits = |it: &mut Scenario| it.changes.edits = 0.1;
        assert_eq!(priced(&edits), ["T1", "T4", "T7"], "whoever speaks edits, too");
        assert!(priced(&|it| it.changes.kicks = 1.0).is_empty());
        assert!(priced(&|it| it.churn.reconnect = 0.1).is_empty());
        let ill = |it: &mut Scenario| {
            let (name, does) = ("ill".to_owned(), Abuse::Flood);
            let phase = Some("T1".to_owned());
            it.abusers.push(Abusers { name, does, count: 1, every_seconds: 1.0, phase });
        };
        assert_eq!(priced(&ill), all[1..]);
    }

    #[test]
    fn the_scenario_of_prices_has_a_phase_in_which_people_join_and_nobody_speaks() {
        let scenario = Scenario::load("prices", &[]).unwrap();
        let life = scenario.lives.iter().find(|it| it.name == "guests").unwrap();
        let phase = scenario.phases.iter().find(|it| Some(&it.name) == life.arrives_in.as_ref());
        let comes = f64::from(life.count) * life.arrive_every_seconds;
        assert!(phase.unwrap().seconds >= comes, "all of them come in it");
    }
}
