//! What ran out first: CPU, the disk's sync, memory, the logins' hashing, or the generator itself; or whether other
//! programs had the cores.
//!
//! Neighbours: `capacity` asks of the step that gave way, and says which latency is bound and which of its
//! percentiles was furthest beyond its bound; the figures are those of the step's folder. A cause is one only if
//! it is a part of *that* latency that counts, and the sentence says both: a slow sync is in every ack, but a
//! delivery may be late because its sender's login was, or because the generator was.

use serde::Serialize;

use super::On;
use crate::report::Folder;
use crate::report::folder::{Ending, Percentiles, Second};
use crate::report::others;
use crate::report::words::{bytes, ms, percent};
use crate::stats::quantile;

/// A machine whose cores were busier than this in its busiest seconds had none left.
const CPU_FULL: f64 = 0.85;
/// Memory of the server beyond this share of the machine's.
const MEMORY_FULL: f64 = 0.8;
/// What is this share of the slow latency, or more, is what it waited for.
const PART: f64 = 0.25;
/// Where the acks took less than this share of a slow delivery, it waited for something else than the commit.
const OF_ACK: f64 = 0.5;
/// Of a core: where other programs took less than this, they are not worth a word.
const OTHERS_TOLD: f64 = 0.1;
/// The seconds that are looked at: the busiest tenth begins here.
const BUSIEST: f64 = 0.9;

/// A percentile's name, what it was and its bound, milliseconds.
type Bound = (&'static str, f64, f64);

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The cores, server and generator together.
    Cpu,
    /// The cores too, but only with what other programs took of them: nothing is known of the server above.
    Others,
    /// The disk's sync.
    Fsync,
    /// Memory.
    Memory,
    /// The threads that hash passwords: more logins were under way than the machine has cores.
    Logins,
    /// The generator: it was the bottleneck, or its sends left too late for the bound. Nothing is known of the
    /// server above.
    Generator,
    /// None of them: the server waits for something else.
    Other,
}

impl Limit {
    /// In the sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Others => "other programs",
            Self::Fsync => "fsync",
            Self::Memory => "memory",
            Self::Logins => "logins",
            Self::Generator => "generator",
            Self::Other => "none of CPU, fsync, memory, logins and generator",
        }
    }
}

/// What ran out in a run, and why it is taken to be that.
pub fn of(run: &Folder, on: On, bound: Bound) -> (Limit, String) {
    let summary = &run.summary;
    let ([own, all], shares) = cores(run);
    let by_others = all >= CPU_FULL && own < CPU_FULL;
    if summary.ending == Ending::Invalid {
        let full = if own >= CPU_FULL { "; server and generator share full cores" } else { "" };
        let others = by_others || others::spoilt(run);
        let limit = if others { Limit::Others } else { Limit::Generator };
        return (limit, format!("{}; {shares}{full}", summary.reasons.join("; ")));
    }
    let memory = summary.cost.map_or(0.0, |it| it.rss_max_bytes as f64);
    let has = run.manifest.machine.memory_bytes.max(1) as f64;
    if memory > MEMORY_FULL * has {
        return (Limit::Memory, format!("the server held {} of {}", bytes(memory), bytes(has)));
    }
    let logins = logins(run, on, bound);
    if all >= CPU_FULL {
        let beside = logins.map_or(String::new(), |logins| format!("; {logins}"));
        let limit = if by_others { Limit::Others } else { Limit::Cpu };
        return (limit, format!("{shares}{beside}"));
    }
    if let Some(logins) = logins {
        return (Limit::Logins, format!("{logins}; {shares}"));
    }
    let (name, is, _) = bound;
    let slow = format!("{} {name} was {}", on.name(), ms(is));
    let lag = summary.generator.lag;
    if lag.p99_ms > 0.0 && lag.p99_ms >= PART * is {
        let late = ms(lag.p99_ms);
        return (Limit::Generator, format!("sends left {late} late at p99, {slow}; {shares}"));
    }
    let sync = summary.fsync.map_or(0.0, |it| it[0].p99_us.max(it[1].p99_us) / 1e3);
    let ack = at(name, &summary.latency.ack);
    let in_ack = on == On::Ack || ack >= OF_ACK * is;
    let beside = format!("one sync took {} at p99, ack {name} was {}", ms(sync), ms(ack));
    let and_slow = if on == On::Ack { String::new() } else { format!(", {slow}") };
    if sync > 0.0 && sync >= PART * is && in_ack {
        return (Limit::Fsync, format!("{beside}{and_slow}; {shares}"));
    }
    (Limit::Other, format!("{shares}; {beside}{and_slow}"))
}

/// The share of all cores that was used in the busiest seconds, without other programs and with them, and the same
/// in words.
fn cores(run: &Folder) -> ([f64; 2], String) {
    let cores = run.manifest.machine.cores.max(1) as f64;
    let busy = |cpu: &dyn Fn(&Second) -> f64| -> f64 {
        let whole = run.seconds.iter().filter(|it| it.seconds > 0.5);
        let shares: Vec<f64> = whole.map(|it| cpu(it) / it.seconds).collect();
        quantile(&shares, BUSIEST).unwrap_or_default()
    };
    let (server, generator) = (busy(&|it| it.server_cpu), busy(&|it| it.generator_cpu));
    // In core-seconds, as all the others are; the sample has a share of all cores.
    let steal = |it: &Second| it.steal * cores * it.seconds;
    let abusers = |it: &Second| it.abusers_cpu.unwrap_or_default();
    let own = |it: &Second| it.server_cpu + it.generator_cpu + abusers(it) + steal(it);
    let with_others = |it: &Second| own(it) + it.counted.others.unwrap_or_default();
    let (own, all) = (busy(&own) / cores, busy(&with_others) / cores);
    let others = busy(&|it| it.counted.others.unwrap_or_default());
    let others = match others {
        few if few < OTHERS_TOLD => String::new(),
        others => format!(", other programs {}", percent(others)),
    };
    let words = format!(
        "in the busiest tenth of its seconds the server used {} of a core and the generator {}{others}, \
         {} of {cores} cores",
        percent(server),
        percent(generator),
        percent(all)
    );
    ([own, all], words)
}

/// In words, where the logins queued and their wait is a part of the slow latency that counts. More under way at
/// once than there are cores (L = λW) is more than can be hashed at once. An ack is counted of a sender who
/// was there when it should have sent: no login is in it.
fn logins(run: &Folder, on: On, (name, is, _): Bound) -> Option<String> {
    let login = run.summary.latency.login;
    let some = run.seconds.iter().filter(|it| it.login.count > 0 && it.seconds > 0.5);
    let under_way =
        |it: &Second| it.login.count as f64 * it.login.mean_ms / 1e3 / it.seconds.max(1e-9);
    let under_way: Vec<f64> = some.map(under_way).collect();
    let at_once = quantile(&under_way, BUSIEST)?;
    let queued = at_once > run.manifest.machine.cores.max(1) as f64;
    (on != On::Ack && queued && login.p99_ms >= PART * is).then(|| {
        format!(
            "{at_once:.0} logins were under way at once in the busiest tenth of the seconds that had some, one \
             took {} at p99, {} {name} was {}",
            ms(login.p99_ms),
            on.name(),
            ms(is)
        )
    })
}

/// The percentile of that name.
fn at(name: &str, of: &Percentiles) -> f64 {
    match name {
        "p50" => of.p50_ms,
        "p90" => of.p90_ms,
        "p95" => of.p95_ms,
        "p999" => of.p999_ms,
        _ => of.p99_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::folder::{Cost, Fsync, Manifest, Summary};

    fn run(server: f64, generator: f64) -> Folder {
        let mut manifest = Manifest::default();
        (manifest.machine.cores, manifest.machine.memory_bytes) = (2, 1 << 30);
        let second = Second {
            seconds: 1.0,
            server_cpu: server,
            generator_cpu: generator,
            ..Second::default()
        };
        let sync = Fsync { p50_us: 100.0, p99_us: 200.0 };
        let mut summary = Summary { ending: Ending::Pass, ..Summary::default() };
        summary.fsync = Some([sync, sync]);
        summary.latency.ack.p99_ms = 50.0;
        summary.cost = Some(Cost { rss_max_bytes: 1 << 20, ..Cost::default() });
        Folder {
            manifest,
            seconds: vec![second; 20],
            lines: Vec::new(),
            clients: Vec::new(),
            profile: None,
            summary,
        }
    }

    fn of_acks(run: &Folder) -> (Limit, String) {
        of(run, On::Ack, ("p99", run.summary.latency.ack.p99_ms, 40.0))
    }

    /// Deliveries took 1,200 ms at p99, a sync 40.
    fn slow_deliveries() -> (Folder, Bound) {
        let mut run = run(0.4, 0.2);
        run.summary.fsync = Some([Fsync { p50_us: 9_000.0, p99_us: 40_000.0 }; 2]);
        run.summary.latency.delivery.p99_ms = 1_200.0;
        (run, ("p99", 1_200.0, 1_000.0))
    }

    #[test]
    fn each_limit_is_known_by_what_it_leaves() {
        assert_eq!(of_acks(&run(1.4, 0.5)).0, Limit::Cpu);
        let (other, why) = of_acks(&run(0.4, 0.2));
        assert!(other == Limit::Other && why.contains("of 2 cores; one sync took"), "{why}");
        let mut slow_disk = run(0.4, 0.2);
        slow_disk.summary.fsync = Some([Fsync { p50_us: 9_000.0, p99_us: 40_000.0 }; 2]);
        let (limit, why) = of_acks(&slow_disk);
        assert!(limit == Limit::Fsync && why.starts_with("one sync took 40"), "{why}");
        let mut large = run(0.4, 0.2);
        large.summary.cost = Some(Cost { rss_max_bytes: 1_000 << 20, ..Cost::default() });
        assert_eq!(of_acks(&large).0, Limit::Memory);
        let mut tired = run(1.4, 0.6);
        tired.summary.ending = Ending::Invalid;
        tired.summary.reasons = vec!["the p99 lag was 80".into()];
        let (limit, why) = of_acks(&tired);
        assert!(limit == Limit::Generator && why.contains("lag") && why.contains("share full"));
    }

    #[test]
    fn cores_that_others_had_are_not_the_servers_doing() {
        let mut run = run(0.12, 0.01);
        assert_eq!(of_acks(&run).0, Limit::Other);
        run.seconds.iter_mut().for_each(|it| it.counted.others = Some(1.59));
        let (limit, why) = of_acks(&run);
        assert_eq!(limit, Limit::Others, "{why}");
        assert!(why.contains("the generator 1 %, other programs 159 %, 86 % of 2"), "{why}");
        // A generator that was late because of them.
        run.summary.ending = Ending::Invalid;
        run.summary.reasons = vec!["the p99 lag was 80".into()];
        assert_eq!(of_acks(&run).0, Limit::Others);
        // A server that fills the cores by itself is full, whoever takes the rest.
        run.summary.ending = Ending::Pass;
        run.seconds.iter_mut().for_each(|it| (it.server_cpu, it.counted.others) = (1.7, Some(0.3)));
        let (limit, why) = of_acks(&run);
        assert!(limit == Limit::Cpu && why.contains("other programs 30 %"), "{why}");
        // And where there was room, they were not what ran out.
        run.seconds.iter_mut().for_each(|it| (it.server_cpu, it.counted.others) = (0.4, Some(0.5)));
        assert_eq!(of_acks(&run).0, Limit::Other);
    }

    /// Steal is a share of all cores: 30 % of two is 0.6 of one.
    #[test]
    fn time_given_to_other_guests_counts_as_what_it_was_of_all_cores() {
        let mut run = run(0.7, 0.5);
        assert_eq!(of_acks(&run).0, Limit::Other);
        run.seconds.iter_mut().for_each(|it| it.steal = 0.3);
        let (limit, why) = of_acks(&run);
        assert!(limit == Limit::Cpu && why.contains("90 % of 2 cores"), "{why}");
        // The same of a sample that is longer than a second: CPU is counted, steal is a share.
        for second in &mut run.seconds {
            (second.seconds, second.server_cpu, second.generator_cpu) = (2.0, 1.4, 1.0);
        }
        let (limit, why) = of_acks(&run);
        assert!(limit == Limit::Cpu && why.contains("90 % of 2 cores"), "{why}");
    }

    #[test]
    fn a_server_that_is_full_for_a_few_seconds_is_full() {
        let mut run = run(0.1, 0.1);
        for second in run.seconds.iter_mut().take(3) {
            second.server_cpu = 1.9;
        }
        assert_eq!(of_acks(&run).0, Limit::Cpu);
    }

    /// The sync was most of an ack, and a thirtieth of what was slow.
    #[test]
    fn deliveries_that_are_slow_while_acks_are_not_are_not_the_disks_doing() {
        let (mut run, bound) = slow_deliveries();
        assert_eq!(of_acks(&run).0, Limit::Fsync, "by the acks alone it would be");
        let (limit, why) = of(&run, On::Delivery, bound);
        assert_eq!(limit, Limit::Other, "{why}");
        assert!(why.contains("delivery p99 was 1") && why.contains("ack p99 was 50"), "{why}");
        // A disk that is as slow as that, and so are the acks.
        run.summary.fsync = Some([Fsync { p50_us: 90_000.0, p99_us: 700_000.0 }; 2]);
        assert_eq!(
            of(&run, On::Delivery, bound).0,
            Limit::Other,
            "the acks were quick all the same"
        );
        run.summary.latency.ack.p99_ms = 1_000.0;
        assert_eq!(of(&run, On::Delivery, bound).0, Limit::Fsync);
    }

    #[test]
    fn logins_that_queue_are_named_with_how_many_and_how_long() {
        let (mut run, bound) = slow_deliveries();
        run.summary.latency.login =
            Percentiles { count: 900, p99_ms: 1_100.0, ..Percentiles::default() };
        let login = Percentiles { count: 40, mean_ms: 800.0, ..Percentiles::default() };
        run.seconds.iter_mut().take(10).for_each(|it| it.login = login);
        let (limit, why) = of(&run, On::Delivery, bound);
        assert_eq!(limit, Limit::Logins, "{why}");
        assert!(why.starts_with("32 logins were under way at once"), "{why}");
        assert!(why.contains("delivery p99 was 1") && why.contains("of 2 cores"), "{why}");
        assert_eq!(of_acks(&run).0, Limit::Fsync, "no login is in an ack");
        // Quick ones, or few at once, are nothing that ran out.
        run.summary.latency.login.p99_ms = 100.0;
        assert_eq!(of(&run, On::Delivery, bound).0, Limit::Other);
        run.summary.latency.login.p99_ms = 1_100.0;
        let few = Percentiles { count: 2, mean_ms: 800.0, ..Percentiles::default() };
        run.seconds.iter_mut().take(10).for_each(|it| it.login = few);
        assert_eq!(of(&run, On::Delivery, bound).0, Limit::Other);
        // Full cores are the reason for slow logins, and not the other way round.
        run.seconds.iter_mut().for_each(|it| (it.login, it.server_cpu) = (login, 1.9));
        let (limit, why) = of(&run, On::Delivery, bound);
        assert!(limit == Limit::Cpu && why.contains("32 logins"), "{why}");
    }

    #[test]
    fn sends_that_leave_late_are_the_generators_doing() {
        let (mut run, bound) = slow_deliveries();
        run.summary.generator.lag =
            Percentiles { count: 9, p99_ms: 400.0, ..Percentiles::default() };
        let (limit, why) = of(&run, On::Delivery, bound);
        assert!(limit == Limit::Generator && why.starts_with("sends left 400"), "{why}");
    }
}
