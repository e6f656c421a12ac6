//! Where the time of an ack went: what it waited in the generator, the server's stages by its own clock, and the
//! rest, which is the kernel's and the client's; and which of the server's threads has least left.
//!
//! Neighbours: the witness asked the server; `tables` and `verdict` set it. A stage's mean is of one
//! command: of a turn, each of its commands waits for all of it.

use super::folder::Folder;

/// The order in which a send passes them.
const ORDER: [&str; 6] = ["decode", "authorize", "queue", "decide", "commit", "fanout"];
/// The server's parts that work one after the other, and the stages that keep them busy.
const THREADS: [(&str, &[&str]); 2] = [
    ("the sequencer (decide and commit)", &["decide", "commit"]),
    ("the fan-out (write)", &["write"]),
];

/// Two clocks, and means of not quite the same sends, may differ by so much.
const SLACK: f64 = 1.1;

/// One ack on average, microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// From the intended time until the kernel was handed the first byte; folders of before do not tell.
    pub generator_us: Option<f64>,
    /// Each stage of the server; none where it does not tell, or is not believed.
    pub parts: Vec<(String, f64)>,
    /// All of them.
    pub sum_us: f64,
    /// From the intended time to the ack, as the client saw it.
    pub client_us: f64,
    /// The thread that has least left: its name and how busy it is.
    pub nearest: Option<(&'static str, f64)>,
}

impl Path {
    /// What is in no stage: sockets, wake-ups, the client's own reading. `None` where the stages
    /// are a tenth more than the ack: then the server's clock was that of other commands too.
    pub fn rest_us(&self) -> Option<f64> {
        let known_us = self.generator_us.unwrap_or_default() + self.sum_us;
        (known_us <= self.client_us * SLACK).then(|| (self.client_us - known_us).max(0.0))
    }

    /// Whose that is.
    pub fn rest_of(&self) -> &'static str {
        match (self.generator_us, self.parts.is_empty()) {
            (Some(_), false) => "kernel and client",
            (Some(_), true) => "server, kernel and client",
            // Nobody told what waited in the generator.
            (None, _) => "generator, kernel and client",
        }
    }
}

/// Of a run whose server told.
pub fn path(run: &Folder) -> Option<Path> {
    let work = run.summary.believed().filter(|it| !it.ack_us.is_empty());
    let measured = run.summary.ack_path.filter(|it| it.acks > 0);
    let mean_us = mean_ack_ms(run).filter(|ms| *ms > 0.0).map(|ms| ms * 1e3);
    let client_us = measured.map(|it| it.client_us).or(mean_us)?;
    if work.is_none() && measured.is_none() {
        return None;
    }
    let part = |name: &str| Some((name.to_owned(), *work?.ack_us.get(name)?));
    let parts: Vec<(String, f64)> = ORDER.into_iter().filter_map(part).collect();
    let shards = shards(run);
    let busy = |stages: &[&str]| {
        let work = stages.iter().filter_map(|name| work?.stages.get(*name));
        work.map(|it| it.in_flight).sum::<f64>() / shards
    };
    let threads = work.iter().flat_map(|_| THREADS).map(|(name, stages)| (name, busy(stages)));
    Some(Path {
        generator_us: measured.map(|it| it.generator_us),
        sum_us: parts.iter().map(|it| it.1).sum(),
        parts,
        client_us,
        nearest: threads.max_by(|a, b| a.1.total_cmp(&b.1)),
    })
}

/// The mean of the acks that came while load was offered, as the server's clock was read; of a server that fell
/// behind, those that came after it are the slowest. The first folders had no mean of a second.
fn mean_ack_ms(run: &Folder) -> Option<f64> {
    let acks = || run.seconds.iter().map(|it| it.ack);
    let count: u64 = acks().map(|it| it.count).sum();
    let sum: f64 = acks().map(|it| it.count as f64 * it.mean_ms).sum();
    if count > 0 && sum > 0.0 {
        return Some(sum / count as f64);
    }
    let all = run.summary.latency.ack;
    (all.count > 0).then_some(all.mean_ms)
}

/// Units of order that the server had: as it was told, else one for two cores.
fn shards(run: &Folder) -> f64 {
    let set = run.manifest.server_settings_raised.get("shards");
    let set: Option<f64> = set.and_then(|it| it.parse().ok()).filter(|it| *it >= 1.0);
    set.unwrap_or_else(|| (run.manifest.machine.cores / 2).max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::folder::{
        Machine, Manifest, Percentiles, Second, ServerWork, StageWork, Summary,
    };
    use crate::summary::AckPath;

    #[test]
    fn what_the_server_does_not_see_is_the_kernels_and_the_clients() {
        let mut summary = Summary::default();
        (summary.latency.ack.count, summary.latency.ack.mean_ms) = (10, 2.0);
        let us = |name: &str, us: f64| (name.to_owned(), us);
        let work = |in_flight: f64| StageWork { in_flight, ..StageWork::default() };
        summary.server_work = Some(ServerWork {
            ack_us: [us("commit", 1_200.0), us("decode", 100.0), us("queue", 300.0)].into(),
            stages: [("commit".to_owned(), work(0.8)), ("write".to_owned(), work(0.6))].into(),
            ..ServerWork::default()
        });
        let machine = Machine { cores: 4, ..Machine::default() };
        let mut run = Folder {
            manifest: Manifest { machine, ..Manifest::default() },
            seconds: Vec::new(),
            lines: Vec::new(),
            clients: Vec::new(),
            profile: None,
            summary,
        };
        let path = path(&run).unwrap();
        let names: Vec<&str> = path.parts.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(names, ["decode", "queue", "commit"]);
        assert!(
            (path.sum_us - 1_600.0).abs() < 1e-9 && (path.rest_us().unwrap() - 400.0).abs() < 1e-9
        );
        assert_eq!(path.nearest, Some(("the sequencer (decide and commit)", 0.4)), "two shards");
        assert_eq!(path.rest_of(), "generator, kernel and client", "a folder of before");
        what_waited_in_the_generator_is_not_in_the_rest(run.clone());
        // What came after the load waited for what the server's clock was not read of.
        let came = |count: u64, mean_ms: f64| Second {
            ack: Percentiles { count, mean_ms, ..Percentiles::default() },
            ..Second::default()
        };
        run.seconds = vec![came(3, 1.0), came(0, 0.0), came(1, 5.0)];
        run.summary.latency.ack.mean_ms = 900.0;
        let path = super::path(&run).unwrap();
        assert!((path.client_us - 2_000.0).abs() < 1e-9, "{path:?}");
        run.seconds.clear();
        run.summary.latency.ack.mean_ms = 1.0;
        assert_eq!(
            super::path(&run).unwrap().rest_us(),
            None,
            "stages of 1.6 ms in an ack of 1 ms"
        );
        run.summary.latency.ack.count = 0;
        assert_eq!(super::path(&run), None);
    }

    fn what_waited_in_the_generator_is_not_in_the_rest(mut run: Folder) {
        let measured =
            AckPath { acks: 9, client_us: 2_500.0, generator_us: 850.0, ..AckPath::default() };
        run.summary.ack_path = Some(measured);
        let told = path(&run).unwrap();
        assert_eq!((told.client_us, told.generator_us), (2_500.0, Some(850.0)));
        assert!((told.rest_us().unwrap() - 50.0).abs() < 1e-9, "{told:?}");
        assert_eq!(told.rest_of(), "kernel and client");
        // A server that says nothing of its stages.
        run.summary.server_work = None;
        let silent = path(&run).unwrap();
        assert!((silent.rest_us().unwrap() - 1_650.0).abs() < 1e-9, "{silent:?}");
        assert_eq!((silent.rest_of(), silent.nearest), ("server, kernel and client", None));
    }
}
