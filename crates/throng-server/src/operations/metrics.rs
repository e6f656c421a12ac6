//! What the server counts, and how it is told: the stage clock, turns, writes, connections.
//!
//! Neighbours: every room of the server holds an `Arc<Metrics>` and adds to it; `/metrics` renders.
//! It never decides anything. Counting must stay below 3 % of the server's CPU: threads that see
//! hundreds of thousands of things a second keep a `Tally` and add it once a tick.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::histogram::Histogram;
use super::posts::Posts;
use super::traffic::{Audiences, ByLabel, Kinds};

/// Where a message's time goes, in the order in which it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Bytes of one read to requests.
    Decode,
    /// May it ask this?
    Authorize,
    /// Waiting for the shard.
    Queue,
    /// One batch decided.
    Decide,
    /// One turn appended and synced.
    Commit,
    /// From told to handed to the outboxes.
    Fanout,
    /// One flush of all outboxes that a tick touched.
    Write,
}

const STAGES: [(Stage, &str); 7] = [
    (Stage::Decode, "decode"),
    (Stage::Authorize, "authorize"),
    (Stage::Queue, "queue"),
    (Stage::Decide, "decide"),
    (Stage::Commit, "commit"),
    (Stage::Fanout, "fanout"),
    (Stage::Write, "write"),
];

/// Microseconds told in seconds.
const MICROS: f64 = 1e-6;

/// Stages in which commands are counted while they are there; each of the others is microseconds of one
/// thread, and to count it would cost as much.
const HOLDING: [&str; 4] = ["queue", "decide", "commit", "fanout"];

/// One histogram a stage, in microseconds.
#[derive(Debug)]
pub struct Stages {
    /// They are counted at all.
    on: bool,
    of: [Histogram; STAGES.len()],
    /// Commands that are in them now.
    inside: Arc<ByLabel<{ HOLDING.len() }>>,
}

/// Commands that may come back from where they wait; unless they are kept there, they have.
#[derive(Debug)]
pub struct Waiting<'a>(Option<&'a Stages>);

impl Waiting<'_> {
    /// They are taken out by somebody else.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(stages) = self.0 {
            stages.leave(Stage::Queue, 1);
        }
    }
}

impl Stages {
    fn new(on: bool) -> Self {
        let inside = Arc::new(ByLabel::new("stage", &HOLDING, false));
        Self { on, of: std::array::from_fn(|_| Histogram::new(MICROS)), inside }
    }

    /// They are counted.
    pub fn are_counted(&self) -> bool {
        self.on
    }

    /// So many commands are in this stage from now on.
    pub fn enter(&self, stage: Stage, commands: u64) {
        self.moved(stage, commands as i64);
    }

    /// They are so no longer.
    pub fn leave(&self, stage: Stage, commands: u64) {
        self.moved(stage, -(commands as i64));
    }

    /// One more waits for its shard, until this is dropped or the shard has it.
    pub fn wait(&self) -> Waiting<'_> {
        self.enter(Stage::Queue, 1);
        Waiting(Some(self))
    }

    fn moved(&self, stage: Stage, commands: i64) {
        let at = match stage {
            Stage::Queue => 0,
            Stage::Decide => 1,
            Stage::Commit => 2,
            Stage::Fanout => 3,
            Stage::Decode | Stage::Authorize | Stage::Write => return,
        };
        if self.on {
            self.inside.add(at, commands);
        }
    }

    /// Commands that are in a stage now; 0 for one in which they are not counted.
    #[cfg(test)]
    pub fn inside(&self, stage: Stage) -> i64 {
        let (_, name) = STAGES[stage as usize];
        if HOLDING.contains(&name) { self.inside.of(name) } else { 0 }
    }

    /// One passage of a stage.
    pub fn observe(&self, stage: Stage, took: Duration) {
        self.observe_many(stage, took, 1);
    }

    /// As many passages of the same length.
    pub fn observe_many(&self, stage: Stage, took: Duration, times: u64) {
        if self.on {
            self.of[stage as usize].observe_many(took.as_micros() as u64, times);
        }
    }

    /// One stage's histogram.
    pub fn of(&self, stage: Stage) -> &Histogram {
        &self.of[stage as usize]
    }
}

/// Everything that is counted. Fields are public: adding to one is the interface.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The stage clock.
    pub stages: Shared<Stages>,
    /// The same for posts alone, up to their acks.
    pub posts: Shared<Posts>,
    /// Commands in one turn.
    pub turn_size: Shared<Histogram>,
    /// Frames handed to the kernel by one write.
    pub frames_per_write: Shared<Histogram>,
    /// One sync of the log, microseconds.
    pub fsync: Shared<Histogram>,
    /// Checkpoints of the log, microseconds.
    pub checkpoint: Shared<Histogram>,
    /// One search, from asked to found, microseconds.
    pub search: Shared<Histogram>,
    /// Messages posted and committed; a repeat is not counted.
    pub sends: Count,
    /// Bytes of the messages in them.
    pub body_bytes: Shared<Histogram>,
    /// Events committed, by what they are.
    pub events: Kinds,
    /// Rooms by how many hear them.
    pub heard: Audiences,
    /// Events written or queued, one for each recipient.
    pub deliveries: Count,
    /// Writes to sockets.
    pub writes: Count,
    /// Frames in them.
    pub frames_written: Count,
    /// Bytes in them.
    pub bytes_written: Count,
    /// Reads from sockets that brought something.
    pub reads: Count,
    /// Requests decoded.
    pub requests: Count,
    /// Requests refused.
    pub rejections: Count,
    /// Turns committed.
    pub turns: Count,
    /// Microseconds that commands waited while their turn was decided: each waits for all of it.
    pub decide_waited_micros: Count,
    /// The same while it was committed.
    pub commit_waited_micros: Count,
    /// The same from then until all of its tick was handed to the outboxes.
    pub fanout_waited_micros: Count,
    /// Turns that could not be committed and were taken back.
    pub turns_reverted: Count,
    /// Syncs of the log.
    pub fsyncs: Count,
    /// Those of the log's writes that took a second or longer.
    pub slow_syncs: Count,
    /// Bytes of turns in them: what the bench's durable floor appends too.
    pub log_bytes: Count,
    /// Connections opened so far.
    pub connections_opened: Count,
    /// Connections refused at a limit.
    pub connections_refused: Count,
    /// Connections ended because they read too slowly.
    pub slow_disconnects: Count,
    /// Times that accepting had to pause for want of descriptors.
    pub accept_pauses: Count,
    /// Passwords hashed, of sign-ups and of tries.
    pub hashes: Count,
    /// Passwords refused because too many waited already.
    pub hashes_refused: Count,
    /// Passwords passed over because the one who asked had gone.
    pub hashes_passed_over: Count,
    /// Searches asked.
    pub searches: Count,
    /// Connections now.
    pub connections: Level,
    /// Events committed and not folded yet.
    pub fold_lag_events: Level,
    /// Age of the oldest of them, milliseconds.
    pub fold_lag_millis: Level,
    /// Age of the oldest event of the index's newest batch when it was taken in, milliseconds.
    pub search_lag_millis: Level,
    /// 1 while the index has not caught up.
    pub search_behind: Level,
    /// How long the log's write that is under way has taken so far, milliseconds; 0 for none.
    pub fsync_under_way_millis: Level,
}

/// A metric held by us and by the registry.
pub type Shared<M> = Held<M>;
/// A number that only grows.
pub type Count = Counter<u64, AtomicU64>;
/// A number that comes and goes.
pub type Level = Gauge;

/// Shares a metric between its owner and the registry.
#[derive(Debug)]
pub struct Held<M>(Arc<M>);

impl<M> Held<M> {
    fn new(metric: M) -> Self {
        Self(Arc::new(metric))
    }

    fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> std::ops::Deref for Held<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.0
    }
}

impl EncodeMetric for Held<Histogram> {
    fn encode(&self, encoder: MetricEncoder) -> fmt::Result {
        self.0.encode_into(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl EncodeMetric for Held<Posts> {
    fn encode(&self, encoder: MetricEncoder) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}

impl<const N: usize> EncodeMetric for Held<ByLabel<N>> {
    fn encode(&self, encoder: MetricEncoder) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}

impl EncodeMetric for Held<Stages> {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for (stage, name) in STAGES {
            let labels = [("stage", name)];
            self.0.of(stage).encode_into(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl Metrics {
    /// Everything at zero, all of it counted.
    pub fn new() -> Arc<Self> {
        Self::counting(true)
    }

    /// The same; how long the stages take only if that is asked for.
    pub fn counting(stages: bool) -> Arc<Self> {
        let metrics = Self {
            registry: Registry::with_prefix("throng"),
            stages: Held::new(Stages::new(stages)),
            posts: Held::new(Posts::default()),
            turn_size: Held::new(Histogram::new(1.0)),
            frames_per_write: Held::new(Histogram::new(1.0)),
            fsync: Held::new(Histogram::new(MICROS)),
            checkpoint: Held::new(Histogram::new(MICROS)),
            search: Held::new(Histogram::new(MICROS)),
            sends: Count::default(),
            body_bytes: Held::new(Histogram::new(1.0)),
            events: Kinds::new(),
            heard: Audiences::new(),
            deliveries: Count::default(),
            writes: Count::default(),
            frames_written: Count::default(),
            bytes_written: Count::default(),
            reads: Count::default(),
            requests: Count::default(),
            rejections: Count::default(),
            turns: Count::default(),
            decide_waited_micros: Count::default(),
            commit_waited_micros: Count::default(),
            fanout_waited_micros: Count::default(),
            turns_reverted: Count::default(),
            fsyncs: Count::default(),
            slow_syncs: Count::default(),
            log_bytes: Count::default(),
            connections_opened: Count::default(),
            connections_refused: Count::default(),
            slow_disconnects: Count::default(),
            accept_pauses: Count::default(),
            hashes: Count::default(),
            hashes_refused: Count::default(),
            hashes_passed_over: Count::default(),
            searches: Count::default(),
            connections: Level::default(),
            fold_lag_events: Level::default(),
            fold_lag_millis: Level::default(),
            search_lag_millis: Level::default(),
            search_behind: Level::default(),
            fsync_under_way_millis: Level::default(),
        };
        Arc::new(metrics.registered())
    }

    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        if self.stages.on {
            r.register("stage_seconds", "Time of one passage of a stage", self.stages.share());
            let inside = Held(Arc::clone(&self.stages.inside));
            r.register("stage_in_flight", "Commands in a stage now", inside);
            let help = "Time of the posts answered, up to their acks";
            r.register("post_stage_seconds", help, self.posts.share());
            let answered = self.posts.answered.clone();
            r.register("posts_answered", "Posts answered, in these times", answered);
        }
        r.register("turn_size", "Commands in one turn", self.turn_size.share());
        r.register("frames_per_write", "Frames in one write", self.frames_per_write.share());
        r.register("fsync_seconds", "Time of one sync of the log", self.fsync.share());
        let checkpoint = self.checkpoint.share();
        r.register("log_checkpoint_seconds", "Time of one checkpoint of the log", checkpoint);
        r.register("search_seconds", "Time of one search", self.search.share());
        r.register("body_bytes", "Bytes of one message", self.body_bytes.share());
        r.register("events", "Events committed", Held(Arc::clone(&self.events.0)));
        for (name, help, by) in [
            ("rooms_heard", "Rooms that somebody hears", &self.heard.rooms),
            ("rooms_heard_listeners", "Who hears them", &self.heard.listeners),
            ("rooms_heard_posts", "Posts told there", &self.heard.posts),
        ] {
            r.register(name, help, Held(Arc::clone(by)));
        }
        let counts = [
            ("sends", "Messages committed", &self.sends),
            ("deliveries", "Events handed to recipients", &self.deliveries),
            ("writes", "Writes to sockets", &self.writes),
            ("frames_written", "Frames written to sockets", &self.frames_written),
            ("bytes_written", "Bytes written to sockets", &self.bytes_written),
            ("reads", "Reads from sockets", &self.reads),
            ("requests", "Requests decoded", &self.requests),
            ("rejections", "Requests refused", &self.rejections),
            ("turns", "Turns committed", &self.turns),
            ("turns_reverted", "Turns taken back", &self.turns_reverted),
            ("decide_waited_micros", "Decide, times commands", &self.decide_waited_micros),
            ("commit_waited_micros", "Commit, times commands", &self.commit_waited_micros),
            ("fanout_waited_micros", "Fan-out, times commands", &self.fanout_waited_micros),
            ("fsyncs", "Syncs of the log", &self.fsyncs),
            ("slow_syncs", "Writes of the log that took a second or longer", &self.slow_syncs),
            ("log_bytes", "Bytes of turns synced", &self.log_bytes),
            ("connections_opened", "Connections accepted", &self.connections_opened),
            ("connections_refused", "Connections refused at a limit", &self.connections_refused),
            ("slow_disconnects", "Connections ended as too slow", &self.slow_disconnects),
            ("accept_pauses", "Pauses of accepting, descriptors used up", &self.accept_pauses),
            ("hashes", "Passwords hashed", &self.hashes),
            ("hashes_refused", "Passwords refused, too many waited", &self.hashes_refused),
            ("hashes_passed_over", "Passwords whose asker had gone", &self.hashes_passed_over),
            ("searches", "Searches asked", &self.searches),
        ];
        for (name, help, count) in counts {
            r.register(name, help, count.clone());
        }
        r.register("connections", "Connections now", self.connections.clone());
        r.register("fold_lag_events", "Events not folded yet", self.fold_lag_events.clone());
        r.register("fold_lag_millis", "Age of the oldest unfolded", self.fold_lag_millis.clone());
        r.register("search_lag_millis", "Age when indexed", self.search_lag_millis.clone());
        r.register("search_behind", "1 while the index catches up", self.search_behind.clone());
        let under_way = self.fsync_under_way_millis.clone();
        r.register("fsync_under_way_millis", "Age of the log's write under way", under_way);
        self
    }

    /// One sync of the log, as `SyncObserver` has it.
    pub fn synced(&self, _turns: usize, bytes: usize, took: Duration) {
        self.fsyncs.inc();
        self.log_bytes.inc_by(bytes as u64);
        self.fsync.observe(took.as_micros() as u64);
    }

    /// The text that Prometheus reads, with the process's CPU time and memory.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        text::encode(&mut out, &self.registry).expect("a String takes everything");
        // The encoder ends with its end mark; process figures go before it.
        let end = out.rfind("# EOF").unwrap_or(out.len());
        out.truncate(end);
        process_figures(&mut out);
        out.push_str("# EOF\n");
        out
    }
}

/// CPU seconds and resident bytes of this process, by the names that dashboards know.
fn process_figures(out: &mut String) {
    use fmt::Write as _;
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 * 1e-9;
    let _ = writeln!(out, "# TYPE process_cpu_seconds counter");
    let _ = writeln!(out, "process_cpu_seconds_total {seconds}");
    if let Some(bytes) = resident_bytes() {
        let _ = writeln!(out, "# TYPE process_resident_memory_bytes gauge");
        let _ = writeln!(out, "process_resident_memory_bytes {bytes}");
    }
}

/// From `/proc/self/status`; `None` where there is no such file.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_names_every_metric_and_no_other() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/operations.md");
        let page = std::fs::read_to_string(path).unwrap();
        let text = Metrics::new().render();
        let told = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut told: Vec<String> = told
            .filter_map(|line| line.split_once(' '))
            .map(
                |(name, kind)| {
                    if kind == "counter" { format!("{name}_total") } else { name.into() }
                },
            )
            .collect();
        let named = page
            .split('`')
            .filter(|word| ["throng_", "process_"].iter().any(|prefix| word.starts_with(prefix)));
        let mut named: Vec<String> = named.map(str::to_owned).collect();
        for names in [&mut told, &mut named] {
            names.sort();
            names.dedup();
        }
        assert_eq!(named, told);
    }

    #[test]
    fn the_counters_that_the_bench_reads_are_there_by_name() {
        let metrics = Metrics::new();
        metrics.sends.inc_by(3);
        metrics.stages.observe(Stage::Commit, Duration::from_micros(300));
        let text = metrics.render();
        let without = Metrics::counting(false);
        without.stages.observe(Stage::Commit, Duration::from_micros(300));
        assert_eq!(without.stages.of(Stage::Commit).count(), 0);
        without.stages.enter(Stage::Commit, 3);
        assert_eq!(without.stages.inside(Stage::Commit), 0);
        assert!(!without.render().contains("throng_stage_"));
        for name in [
            "throng_writes_total",
            "throng_frames_written_total",
            "throng_turns_total",
            "throng_fsyncs_total",
            "throng_deliveries_total",
            "process_cpu_seconds_total",
            "throng_stage_seconds_bucket{le=\"0.000512\",stage=\"commit\"} 1",
        ] {
            assert!(text.contains(name), "{name} is missing in\n{text}");
        }
        assert!(text.contains("throng_sends_total 3"), "{text}");
    }

    #[test]
    fn a_command_is_in_a_stage_until_it_leaves_it_or_gives_up() {
        let metrics = Metrics::new();
        let stages = &metrics.stages;
        let (given_up, kept) = (stages.wait(), stages.wait());
        assert_eq!(stages.inside(Stage::Queue), 2);
        drop(given_up);
        kept.keep();
        stages.enter(Stage::Commit, 300);
        stages.enter(Stage::Write, 1);
        assert_eq!(stages.inside(Stage::Queue), 1);
        let text = metrics.render();
        assert!(text.contains("throng_stage_in_flight{stage=\"commit\"} 300"), "{text}");
        assert!(!text.contains("stage_in_flight{stage=\"write\"}"), "{text}");
        stages.leave(Stage::Queue, 1);
        stages.leave(Stage::Commit, 300);
        assert_eq!(stages.inside(Stage::Queue) + stages.inside(Stage::Commit), 0);
        assert!(text.ends_with("# EOF\n"));
    }
}
