//! What the server counted, beside what its clients saw of the same. Whose counters say something else is not
//! believed where it says how long its stages took.
//!
//! Neighbours: the witness asked the server, before anybody came and when all was said; the ledger knows what
//! came. Both know the same sends exactly, so they can be held against each other.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AckPath, Summary};
use crate::recorder::Sample;
use crate::witness::{ServerWork, Whole};

/// More than so much apart, and the counters are of something else, or wrong. Stages are to sum to an ack
/// within a tenth: counters that are off by less than half of that cannot be what it fails by.
const APART: f64 = 0.05;
/// So few are no share of anything.
const FEW: f64 = 5.0;
/// What the server's stages take of an ack is a part of what the generator did not; two clocks, and means of not
/// quite the same sends, may differ by so much of the ack.
const MORE_THAN_ALL: f64 = 0.1;

/// One counter of the server that is not what was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Differs {
    /// Of what.
    pub what: &'static str,
    /// By the server's counter.
    pub counted: f64,
    /// By the clients.
    pub seen: f64,
    /// By how much the counter is more than that, of what was seen; less below zero.
    pub by_percent: f64,
    /// The same in a sentence without its full stop.
    pub says: String,
}

impl Differs {
    /// Where the two are further apart than they may be.
    fn of(what: &'static str, counted: f64, seen: f64) -> Option<Self> {
        let by_percent = (counted - seen) * 100.0 / seen.max(1.0);
        let says = format!(
            "the server's own counters differ from what was seen by {by_percent:+.1} %: {counted:.0} {what} by \
             its counter, {seen:.0} seen"
        );
        let apart = (counted - seen).abs() > FEW.max(seen * APART);
        apart.then_some(Self { what, counted, seen, by_percent, says })
    }
}

/// Who was at the server meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Present {
    /// Who else may have used it, in words.
    pub others: Option<&'static str>,
    /// Users who come and go by plan.
    pub visitors: u32,
}

impl Summary {
    /// What the server counted, held against what was seen: of the whole run, if it came to its end.
    pub fn counted(
        &mut self,
        work: Option<ServerWork>,
        whole: Option<Whole>,
        samples: &[Sample],
        present: Present,
    ) {
        let others = present.others;
        let path = AckPath::of(samples);
        self.server_work = work.map(|mut work| {
            let mut differs: Vec<Differs> = Vec::new();
            if let Some(whole) = whole {
                differs.extend(self.differs(whole, present));
                work.not_compared = self.not_compared(whole, present);
            }
            differs.extend(longer_than_acks(&work, &path));
            if let Some(others) = others {
                for differs in &mut differs {
                    differs.says = format!("{} ({others})", differs.says);
                }
            }
            if !differs.is_empty() {
                work.stages.clear();
                work.ack_us.clear();
            }
            ServerWork { differs, ..work }
        });
        let stages = self.believed().map(|it| it.ack_us.values());
        let server_us = stages.filter(|it| it.len() > 0).map(Iterator::sum);
        self.ack_path = path.served(server_us);
    }

    /// How many frames each of the server's writes had, phase by phase: by its own count, so only where that is
    /// believed.
    pub fn frames_by_phase(&mut self, frames: &BTreeMap<String, f64>) {
        let believed = self.believed().is_some();
        for phase in &mut self.phases {
            phase.frames_per_write = frames.get(&phase.name).copied().filter(|_| believed);
        }
    }

    /// What the server counted of itself, where that is what its clients saw.
    pub fn believed(&self) -> Option<&ServerWork> {
        self.server_work.as_ref().filter(|it| it.differs.is_empty())
    }

    /// Everything that the server told was heard, or asked for again: what was handed to a connection that was lost is
    /// seen by nobody; and of others nobody knows what they heard.
    fn all_is_heard(&self, present: Present) -> bool {
        let ledger = &self.ledger;
        let all_there = ledger.resumed + ledger.doubted + ledger.away == 0;
        all_there && self.farewells.is_empty() && present.others.is_none()
    }

    /// Posts and notices that the clients heard.
    fn told(&self) -> f64 {
        (self.ledger.deliveries + self.ledger.notices) as f64
    }

    /// Why more deliveries than were seen are not held against the server, where somebody's connection was closed by plan.
    /// One is closed when its user has heard every *post* that was due to it. That others joined or left may be on its
    /// way still: before the load a crowd is made members in one go, and thousands of such notices are, on a busy
    /// machine most of them.
    fn not_compared(&self, whole: Whole, present: Present) -> Option<String> {
        let counted = whole.deliveries.filter(|_| self.all_is_heard(present))?;
        let Present { visitors, .. } = present;
        let told = self.told();
        let more = counted > told && Differs::of("deliveries", counted, told).is_some();
        (visitors > 0 && more).then(|| {
            format!(
                "deliveries ({counted:.0} by the server's counter, {told:.0} seen): {visitors} users come and go by \
                 plan, and who joined or left may be on its way to a connection that is closed then, counted and \
                 seen by nobody; fewer than were seen would be wrong"
            )
        })
    }

    fn differs(&self, whole: Whole, present: Present) -> Vec<Differs> {
        let ledger = &self.ledger;
        let kept = (ledger.acked + ledger.unanswered_kept) as f64;
        let mut found: Vec<Option<Differs>> = vec![Differs::of("sends", whole.sends, kept)];
        if self.all_is_heard(present) {
            let told = self.told();
            // Where somebody goes by plan, more may have been told than was heard, and never less.
            let comparable = |counted: &f64| present.visitors == 0 || *counted < told;
            let deliveries = whole.deliveries.filter(comparable);
            found.push(deliveries.and_then(|it| Differs::of("deliveries", it, told)));
            let acked = ledger.acked as f64;
            found.push(whole.answered.and_then(|it| Differs::of("posts answered", it, acked)));
        }
        found.into_iter().flatten().collect()
    }
}

/// Parts that are more than the whole: of the acks while the server's clock was read. A server cannot have had a send
/// before the kernel was handed it.
fn longer_than_acks(work: &ServerWork, path: &AckPath) -> Option<Differs> {
    let AckPath { acks, client_us, generator_us, .. } = *path;
    let stages_us: f64 = work.ack_us.values().sum();
    let left_us = client_us - generator_us;
    let told = Differs::of("µs of the mean ack outside the generator", stages_us, left_us);
    let more = acks > 0 && stages_us > left_us + client_us * MORE_THAN_ALL;
    told.filter(|_| more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Percentiles;
    use crate::runner::Outcome;
    use crate::scenario::Scenario;
    use crate::witness::StageWork;

    const TOLD: f64 = 10_000.0;

    /// A thousand sends, each acked after 2 ms and told to ten.
    fn seen() -> (Summary, Vec<Sample>) {
        let scenario = Scenario::load("canonical", &[]).unwrap();
        let mut summary = Summary::new(&scenario, Outcome::of_nothing(&scenario), None);
        (summary.ledger.acked, summary.ledger.deliveries) = (990, 9_000);
        (summary.ledger.unanswered_kept, summary.ledger.notices) = (10, 1_000);
        let ack = Percentiles { count: 990, mean_ms: 2.0, ..Percentiles::default() };
        (summary, vec![Sample { ack, ..Sample::default() }])
    }

    fn work(commit_us: f64) -> ServerWork {
        let ack_us = [("commit".to_owned(), commit_us)].into();
        let stages = [("commit".to_owned(), StageWork::default())].into();
        ServerWork { stages, ack_us, ..ServerWork::default() }
    }

    fn whole(sends: f64, deliveries: f64, answered: f64) -> Whole {
        Whole { sends, deliveries: Some(deliveries), answered: Some(answered) }
    }

    fn found(summary: &Summary) -> Vec<(&'static str, i64)> {
        let work = summary.server_work.as_ref().unwrap();
        assert_eq!(work.differs.is_empty(), !work.ack_us.is_empty(), "{work:?}");
        assert_eq!(work.ack_us.is_empty(), work.stages.is_empty());
        work.differs.iter().map(|it| (it.what, it.by_percent.round() as i64)).collect()
    }

    #[test]
    fn counters_that_say_what_was_seen_are_believed() {
        let (mut summary, samples) = seen();
        summary.counted(
            Some(work(1_500.0)),
            Some(whole(1_000.0, TOLD, 990.0)),
            &samples,
            Present::default(),
        );
        assert_eq!(found(&summary), []);
        // A little beside it, as where somebody left by plan.
        summary.counted(
            Some(work(2_150.0)),
            Some(whole(1_040.0, TOLD * 1.04, 1_000.0)),
            &samples,
            Present::default(),
        );
        assert_eq!(found(&summary), []);
        // Of a run that broke off, or a server that counts nothing, nothing is known.
        summary.counted(Some(work(1_500.0)), None, &samples, Present::default());
        assert_eq!(found(&summary), []);
        summary.counted(None, None, &samples, Present::default());
        assert_eq!(summary.server_work, None);
    }

    #[test]
    fn counters_that_say_something_else_have_no_stages_and_say_by_how_much() {
        let (mut summary, samples) = seen();
        summary.counted(
            Some(work(1_500.0)),
            Some(whole(2_000.0, TOLD, 990.0)),
            &samples,
            Present::default(),
        );
        assert_eq!(found(&summary), [("sends", 100)]);
        assert_eq!(
            summary.server_work.as_ref().unwrap().differs[0].says,
            "the server's own counters differ from what was seen by +100.0 %: 2000 sends by its counter, 1000 \
             seen"
        );
        summary.counted(
            Some(work(1_500.0)),
            Some(whole(1_000.0, TOLD / 2.0, 400.0)),
            &samples,
            Present::default(),
        );
        assert_eq!(found(&summary), [("deliveries", -50), ("posts answered", -60)]);
        summary.counted(
            Some(work(3_000.0)),
            Some(whole(1_000.0, TOLD, 990.0)),
            &samples,
            Present::default(),
        );
        assert_eq!(found(&summary), [("µs of the mean ack outside the generator", 50)]);
    }

    /// Of two milliseconds one and a half were in the generator: a server that had the send for one has counted
    /// something else, though one is less than two.
    #[test]
    fn a_server_cannot_have_had_what_was_still_in_the_generator() {
        let (mut summary, mut samples) = seen();
        samples[0].generator = Percentiles { count: 990, mean_ms: 1.5, ..Percentiles::default() };
        summary.counted(Some(work(450.0)), None, &samples, Present::default());
        assert_eq!(found(&summary), []);
        let path = summary.ack_path;
        assert_eq!((path.acks, path.server_us, path.unexplained()), (990, Some(450.0), None));
        assert!((path.kernel_and_client_us.unwrap() - 50.0).abs() < 1e-6, "{path:?}");
        summary.counted(Some(work(1_000.0)), None, &samples, Present::default());
        assert_eq!(found(&summary), [("µs of the mean ack outside the generator", 100)]);
        let path = summary.ack_path;
        assert_eq!((path.server_us, path.kernel_and_client_us), (None, None), "not believed");
    }

    /// As in a ramp on a busy machine: 250 were made members of their rooms, and went home before they had read who
    /// else had come.
    #[test]
    fn what_was_on_its_way_to_who_goes_by_plan_does_not_make_a_server_a_liar() {
        let (mut summary, samples) = seen();
        let ramp = Present { others: None, visitors: 250 };
        let more = whole(1_000.0, TOLD * 1.134, 990.0);
        summary.counted(Some(work(1_500.0)), Some(more), &samples, ramp);
        assert_eq!(found(&summary), []);
        let why = summary.believed().unwrap().not_compared.clone().unwrap();
        let begins =
            "deliveries (11340 by the server's counter, 10000 seen): 250 users come and go by plan";
        assert!(why.starts_with(begins), "{why}");
        assert!(
            summary.words().contains("\nnot compared deliveries (11340"),
            "{}",
            summary.words()
        );
        // What is as it was seen needs no word.
        let same = whole(1_000.0, TOLD * 1.04, 990.0);
        summary.counted(Some(work(1_500.0)), Some(same), &samples, ramp);
        assert_eq!(summary.believed().unwrap().not_compared, None);
        // Where all were there to the end, as much would be a lie.
        summary.counted(Some(work(1_500.0)), Some(more), &samples, Present::default());
        assert_eq!(found(&summary), [("deliveries", 13)]);
        assert_eq!(summary.server_work.as_ref().unwrap().not_compared, None);
        // And nobody hears what was not told; nor is a send or an answer on its way to who has gone.
        let less = whole(1_000.0, TOLD * 0.9, 2_000.0);
        summary.counted(Some(work(1_500.0)), Some(less), &samples, ramp);
        assert_eq!(found(&summary), [("deliveries", -10), ("posts answered", 102)]);
    }

    #[test]
    fn what_was_handed_to_lost_connections_or_to_others_is_not_held_against_the_counters() {
        let (mut summary, samples) = seen();
        summary.ledger.resumed = 1;
        summary.counted(
            Some(work(1_500.0)),
            Some(whole(1_000.0, TOLD * 2.0, 2_000.0)),
            &samples,
            Present::default(),
        );
        assert_eq!(found(&summary), []);
        summary.ledger.resumed = 0;
        let others = Some("others may use that server, too");
        let others = Present { others, visitors: 0 };
        summary.counted(
            Some(work(1_500.0)),
            Some(whole(1_100.0, TOLD * 2.0, 2_000.0)),
            &samples,
            others,
        );
        assert_eq!(found(&summary), [("sends", 10)]);
        assert!(summary.server_work.unwrap().differs[0].says.ends_with("server, too)"));
    }
}
