//! What ran out first: CPU, the disk's sync, memory, or the generator itself.
//!
//! Neighbours: `capacity` asks of the step that gave way; the figures are those of its folder.

use serde::Serialize;

use crate::report::Folder;
use crate::report::folder::Ending;
use crate::report::words::{bytes, ms, percent};
use crate::stats::quantile;

/// A machine whose cores were busier than this in its busiest seconds had none left.
const CPU_FULL: f64 = 0.85;
/// Memory of the server beyond this share of the machine's.
const MEMORY_FULL: f64 = 0.8;
/// Where a sync alone is this share of the slow acks, the disk is what they waited for.
const SYNC_SHARE: f64 = 0.25;
/// The seconds that are looked at: the busiest tenth begins here.
const BUSIEST: f64 = 0.9;

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The cores, server and generator together.
    Cpu,
    /// The disk's sync.
    Fsync,
    /// Memory.
    Memory,
    /// The generator: nothing is known of the server above.
    Generator,
    /// None of them: the server waits for something else.
    Other,
}

impl Limit {
    /// In the sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Fsync => "fsync",
            Self::Memory => "memory",
            Self::Generator => "generator",
            Self::Other => "none of CPU, fsync, memory and generator",
        }
    }
}

/// What ran out in a run, and why it is taken to be that.
pub fn of(run: &Folder) -> (Limit, String) {
    let summary = &run.summary;
    let machine = &run.manifest.machine;
    let cores = machine.cores.max(1) as f64;
    let busy = |cpu: fn(&crate::report::folder::Second) -> f64| -> f64 {
        let whole = run.seconds.iter().filter(|it| it.seconds > 0.5);
        let shares: Vec<f64> = whole.map(|it| cpu(it) / it.seconds).collect();
        quantile(&shares, BUSIEST).unwrap_or_default()
    };
    let (server, generator) = (busy(|it| it.server_cpu), busy(|it| it.generator_cpu));
    let all = busy(|it| it.server_cpu + it.generator_cpu + it.steal) / cores;
    let shares = format!(
        "in the busiest tenth of its seconds the server used {} of a core and the generator {}, {} of \
         {cores} cores",
        percent(server),
        percent(generator),
        percent(all)
    );
    if summary.ending == Ending::Invalid {
        let full = if all >= CPU_FULL { "; server and generator share full cores" } else { "" };
        return (Limit::Generator, format!("{}; {shares}{full}", summary.reasons.join("; ")));
    }
    let memory = summary.cost.map_or(0.0, |it| it.rss_max_bytes as f64);
    if memory > MEMORY_FULL * machine.memory_bytes.max(1) as f64 {
        return (Limit::Memory, format!("the server held {}", bytes(memory)));
    }
    if all >= CPU_FULL {
        return (Limit::Cpu, shares);
    }
    let sync = summary.fsync.map_or(0.0, |it| it[0].p99_us.max(it[1].p99_us) / 1e3);
    let ack = summary.latency.ack.p99_ms;
    if sync > 0.0 && sync >= SYNC_SHARE * ack {
        return (
            Limit::Fsync,
            format!("one sync took {} at p99, an ack {}; {shares}", ms(sync), ms(ack)),
        );
    }
    (Limit::Other, format!("the cores had room and the disk too: {shares}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::folder::{Cost, Fsync, Manifest, Second, Summary};

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

    #[test]
    fn each_limit_is_known_by_what_it_leaves() {
        assert_eq!(of(&run(1.4, 0.5)).0, Limit::Cpu);
        assert_eq!(of(&run(0.4, 0.2)).0, Limit::Other);
        let mut slow_disk = run(0.4, 0.2);
        slow_disk.summary.fsync = Some([Fsync { p50_us: 9_000.0, p99_us: 40_000.0 }; 2]);
        assert_eq!(of(&slow_disk).0, Limit::Fsync);
        let mut large = run(0.4, 0.2);
        large.summary.cost = Some(Cost { rss_max_bytes: 1_000 << 20, ..Cost::default() });
        assert_eq!(of(&large).0, Limit::Memory);
        let mut tired = run(1.4, 0.6);
        tired.summary.ending = Ending::Invalid;
        tired.summary.reasons = vec!["the p99 lag was 80".into()];
        let (limit, why) = of(&tired);
        assert!(limit == Limit::Generator && why.contains("lag") && why.contains("share full"));
    }

    #[test]
    fn a_server_that_is_full_for_a_few_seconds_is_full() {
        let mut run = run(0.1, 0.1);
        for second in run.seconds.iter_mut().take(3) {
            second.server_cpu = 1.9;
        }
        assert_eq!(of(&run).0, Limit::Cpu);
    }
}
