//! What is written while a run goes on: each second's sample, and beside it what the server counted
//! in it, as any Prometheus would ask for it.
//!
//! Neighbours: `run` starts it as a thread of its own, so that neither a disk that stalls nor a
//! server that answers slowly holds the generator up. A server without `/metrics` is measured all
//! the same; its columns stay empty. `counters.rs` reads what the server says, `inside.rs` what is in its
//! stages, `others.rs` what other programs took.

mod counters;
mod inside;
mod others;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use serde::Serialize;

use crate::clock::{self, Nanos};
use crate::live::server_cpu;
use crate::monitor::Cores;
use crate::monitor::holds::{Holder, Holds};
use crate::monitor::trees::{self, Tree};
use crate::recorder::Sample;
use crate::run::keep::Lines;
use crate::stats::Ema;
use crate::summary::Differs;
use counters::ack_path;
pub(crate) use counters::metrics;
pub use counters::{Counters, Whole};
use inside::Inside;
use others::Others;
pub use others::{OthersSecond, OthersSeen};

/// Of the smoothed volume, in seconds.
const VOLUME_HALF_LIFE: f64 = 2.0;

/// What the runner tells.
#[derive(Debug)]
pub enum Told {
    /// Load is offered from now on.
    Begins,
    /// All that was said has been answered and heard, and nothing more is said.
    Drained,
    /// A second of it is over.
    Sample(Box<Sample>),
}

/// What was seen of the server while load was offered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Witnessed {
    /// What it counted, where it counts.
    pub work: Option<ServerWork>,
    /// What it counted from before anybody came until all was said; absent where it counts nothing, or the
    /// run broke off.
    pub whole: Option<Whole>,
    /// Frames in a write of its, by phase, where it counts them.
    pub frames_per_write: BTreeMap<String, f64>,
    /// What it held on to at each second's end, with that second's place in the load.
    pub held: Vec<(f64, Holds)>,
    /// What other programs took.
    pub others: OthersSeen,
}

/// What the server counted while load was offered. The counters are its own; calls are also from
/// `/proc`, where its process is ours to see.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServerWork {
    /// Messages it committed.
    pub sends: u64,
    /// Syncs of its log, for a thousand of them.
    pub fsyncs_per_1000_sends: f64,
    /// Turns committed, for a thousand.
    pub turns_per_1000_sends: f64,
    /// Reads of sockets that brought something, for a thousand, by its own counter.
    pub reads_per_1000_sends: f64,
    /// Writes to sockets, for a thousand, by its own counter.
    pub writes_per_1000_sends: f64,
    /// Frames in a write, on average, where it counts them.
    pub frames_per_write: Option<f64>,
    /// Bytes of a frame on the wire, on average, likewise.
    pub bytes_per_frame: Option<f64>,
    /// `read` calls of the process, for a thousand, by `/proc`: files, and sockets read as files.
    pub proc_reads_per_1000_sends: Option<f64>,
    /// `write` calls, likewise.
    pub proc_writes_per_1000_sends: Option<f64>,
    /// Passwords it hashed, where it counts them.
    pub passwords_hashed: Option<u64>,
    /// Its stages, by name.
    pub stages: BTreeMap<String, StageWork>,
    /// What each stage on the way to the ack took of one post, microseconds: of a turn, each waits for all.
    /// Of one command of any kind, where the server does not tell posts apart.
    pub ack_us: BTreeMap<String, f64>,
    /// Posts that this is the mean of, where it tells posts apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posts_answered: Option<u64>,
    /// Looks at how many commands were in its stages.
    pub looks: u32,
    /// Where its counters are not what its clients saw; then it has no stages here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Differs>,
    /// What could not be held against them, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
}

/// One stage of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StageWork {
    /// Passages a second.
    pub per_second: f64,
    /// Mean time of one, microseconds.
    pub mean_us: f64,
    /// Seconds of work a second: by Little's law, how many passages were in it at once.
    pub in_flight: f64,
    /// Commands a second times what each waited in it: by Little's law, how many commands were in it at
    /// once. Absent where commands are not counted.
    pub commands_by_littles_law: Option<f64>,
    /// How many the server counted in it, on average over all looks; absent likewise.
    pub commands_measured: Option<f64>,
}

/// The thread's part of a run.
#[derive(Debug)]
pub struct Witness {
    samples: Lines<File>,
    series: Lines<File>,
    address: SocketAddr,
    holder: Holder,
    held: Vec<(f64, Holds)>,
    stages: Vec<String>,
    /// Before anybody came.
    empty: Counters,
    began: Counters,
    last: Counters,
    /// When all was said.
    drained: Option<Counters>,
    offered: u64,
    committed: f64,
    /// Frames and writes of each phase.
    written: BTreeMap<String, [f64; 2]>,
    seconds: f64,
    /// The kind of room whose latency has columns of its own.
    probe: Option<String>,
    volume: Ema,
    cores: Cores,
    inside: Inside,
    others: Others,
    /// What else is looked at.
    trees: Vec<Tree>,
}

/// What was watched, its files still open.
#[derive(Debug)]
pub struct Watched {
    witnessed: Witnessed,
    samples: Lines<File>,
    series: Lines<File>,
}

impl Watched {
    /// Writes what had to wait for room. What the server counted, where it tells; and what was not kept, or
    /// late, in words.
    pub fn finish(self) -> (Witnessed, Vec<String>) {
        let Self { witnessed, samples, series } = self;
        let files = [(samples, "samples.jsonl"), (series, "series.csv")];
        let late = files.into_iter().filter_map(|(lines, name)| lines.finish(name));
        (witnessed, late.collect())
    }
}

impl Witness {
    /// Writes `samples.jsonl` and `series.csv` in this folder.
    /// `probe` names a kind of room whose latency has columns of its own; `seed` is of the moments at
    /// which the server's stages are looked into.
    pub fn new(
        out: &Path,
        address: SocketAddr,
        holder: Holder,
        probe: Option<String>,
        trees: Vec<Tree>,
        seed: u64,
    ) -> io::Result<Self> {
        let server = holder.pid;
        Ok(Self {
            samples: Lines::new(File::create(out.join("samples.jsonl"))?),
            series: Lines::new(File::create(out.join("series.csv"))?),
            address,
            holder,
            held: Vec::new(),
            stages: Vec::new(),
            empty: Counters::ask(address, None),
            began: Counters::default(),
            last: Counters::default(),
            drained: None,
            offered: 0,
            committed: 0.0,
            written: BTreeMap::new(),
            seconds: 0.0,
            probe,
            volume: Ema::new(VOLUME_HALF_LIFE),
            cores: Cores::default(),
            inside: Inside::new(seed),
            others: Others::beside(server, &trees),
            trees,
        })
    }

    /// Until the runner has nothing more to tell. `say` gets each sample too. What finds no room on the disk
    /// waits for [`Watched::finish`].
    pub fn watch(mut self, told: &Receiver<Told>, mut say: impl FnMut(&Sample)) -> Watched {
        // When it looks next into the server's stages.
        let mut look: Option<Nanos> = None;
        loop {
            let next = match look {
                Some(at) => told.recv_timeout(at.since(clock::now())),
                None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            // Lines are made in memory, and cannot fail.
            let _ = match next {
                Ok(Told::Begins) => self.begin(),
                Ok(Told::Drained) => {
                    self.drained = Some(Counters::ask(self.address, None));
                    Ok(())
                }
                Ok(Told::Sample(sample)) => {
                    say(&sample);
                    look = Some(clock::now().plus(self.inside.rest()));
                    self.second(&sample)
                }
                Err(RecvTimeoutError::Timeout) => {
                    look = None;
                    self.inside.look(&Counters::ask(self.address, None), &self.stages);
                    Ok(())
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
        }
        let witnessed = Witnessed {
            work: self.work(),
            whole: self.whole(),
            frames_per_write: self.frames_per_write(),
            held: self.held,
            others: self.others.seen(),
        };
        Watched { witnessed, samples: self.samples, series: self.series }
    }

    fn begin(&mut self) -> io::Result<()> {
        self.began = Counters::ask(self.address, self.holder.pid);
        self.last = self.began.clone();
        self.stages = self.began.stages();
        write!(
            self.series,
            "at,seconds,phase,users,offered,accepted,committed,delivered,lag,offered_total,\
             committed_total,in_flight,backlog,\
             fsyncs,server_cpu,generator_cpu,frames_per_write,listen_overflows,memory_bytes,volume,volume_ema,probe_p50_ms,\
             probe_max_ms,descriptors,log_bytes,folder_bytes,commit_us,fanout_us,whole_us"
        )?;
        for core in 0..self.cores.shares().len() {
            write!(self.series, ",core_{core}")?;
        }
        write!(self.series, ",others_cpu,abusers_cpu")?;
        for stage in &self.stages {
            write!(self.series, ",work_{stage}")?;
        }
        // From here on.
        self.others.begin();
        trees::look(&mut self.trees, &[]);
        for tree in &self.trees {
            write!(self.series, ",cpu_of_{0},memory_of_{0}", tree.name())?;
        }
        self.series.end();
        Ok(())
    }

    fn second(&mut self, sample: &Sample) -> io::Result<()> {
        serde_json::to_writer(&mut self.samples, sample)?;
        self.samples.end();
        let now = Counters::ask(self.address, self.holder.pid);
        let committed = now.since(&self.last, "sends_total");
        self.offered += sample.intended;
        self.committed += committed.unwrap_or_default();
        let told = |value: Option<f64>| value.map_or(String::new(), |it| it.to_string());
        let lag = committed.map(|_| (self.offered as f64 - self.committed).max(0.0));
        let fsyncs = now.since(&self.last, "fsyncs_total");
        let frames = self.frames(&sample.phase, &now);
        let Sample { at, seconds, phase, users, intended, acked, deliveries, .. } = sample;
        let (flight, backlog) = (sample.in_flight, sample.backlog);
        // Of a server that is not ours to see, nothing.
        let cpu = server_cpu(sample).map_or(String::new(), |it| format!("{it:.3}"));
        write!(
            self.series,
            "{at:.3},{seconds:.3},{phase},{users},{intended},{acked},{},{deliveries},{},{},{},\
             {flight:.2},{backlog},{},{cpu},{:.3},{},{}",
            told(committed),
            told(lag),
            self.offered,
            told(committed.map(|_| self.committed)),
            told(fsyncs),
            sample.generator_cpu,
            frames.map_or(String::new(), |it| format!("{it:.2}")),
            sample.listen_overflows
        )?;
        self.monitor(sample)?;
        let path = ack_path(&now, &self.last);
        let whole = (!path.is_empty()).then(|| path.values().sum());
        let part = |name: &str| path.get(name).copied();
        for us in [part("commit"), part("fanout"), whole] {
            write!(self.series, ",{}", us.map_or(String::new(), |it| format!("{it:.1}")))?;
        }
        for share in self.cores.shares() {
            write!(self.series, ",{share:.3}")?;
        }
        let own = self.holder.pid.as_slice();
        let (looked, monitored) = trees::look(&mut self.trees, own);
        let others = self.others.second(sample, monitored);
        for cpu in [others, sample.abusers_cpu] {
            write!(self.series, ",{}", cpu.map_or(String::new(), |it| format!("{it:.3}")))?;
        }
        for stage in &self.stages {
            let sum = now.since(&self.last, &format!("stage_seconds_sum{{stage=\"{stage}\"}}"));
            write!(self.series, ",{:.6}", sum.unwrap_or_default() / seconds.max(1e-9))?;
        }
        for looked in looked {
            match looked {
                Some(it) => write!(self.series, ",{:.3},{}", it.cpu.as_secs_f64(), it.resident)?,
                None => write!(self.series, ",,")?,
            }
        }
        self.series.end();
        // Who does not answer for once counts on; the next answer holds it all.
        if committed.is_some() || self.last == Counters::default() {
            self.last = now;
        }
        self.seconds += seconds;
        Ok(())
    }

    /// Frames in a write since the last answer, which are also the phase's.
    fn frames(&mut self, phase: &str, now: &Counters) -> Option<f64> {
        let grown = |name: &str| now.since(&self.last, name);
        let (frames, writes) = (grown("frames_written_total")?, grown("writes_total")?);
        let [all_frames, all_writes] = self.written.entry(phase.to_owned()).or_default();
        (*all_frames, *all_writes) = (*all_frames + frames, *all_writes + writes);
        (writes > 0.0).then(|| frames / writes)
    }

    /// The same of each phase, where it wrote.
    fn frames_per_write(&self) -> BTreeMap<String, f64> {
        let some = self.written.iter().filter(|(_, [_, writes])| *writes > 0.0);
        some.map(|(phase, [frames, writes])| (phase.clone(), frames / writes)).collect()
    }

    /// What somebody who watches the server once a second would see.
    fn monitor(&mut self, sample: &Sample) -> io::Result<()> {
        let volume = sample.deliveries as f64 / sample.seconds.max(1e-9);
        let smooth = self.volume.add(sample.at + sample.seconds, volume);
        let memory =
            server_cpu(sample).map_or(String::new(), |_| sample.server_rss_bytes.to_string());
        write!(self.series, ",{memory},{volume:.1},{smooth:.1}")?;
        let probe = self.probe.as_ref().and_then(|probe| sample.rooms.get(probe));
        match probe.map(|it| it.delivery).filter(|it| it.count > 0) {
            Some(it) => write!(self.series, ",{:.3},{:.3}", it.p50_ms, it.max_ms)?,
            None => write!(self.series, ",,")?,
        }
        let holds = self.holder.look();
        // As many as a run has seconds: a week's at most.
        self.held.push((sample.at + sample.seconds, holds));
        for held in [holds.descriptors, holds.log_bytes, holds.folder_bytes] {
            write!(self.series, ",{}", held.map_or(String::new(), |it| it.to_string()))?;
        }
        Ok(())
    }

    /// From before anybody came until all was said.
    fn whole(&self) -> Option<Whole> {
        let grown = |name: &str| self.drained.as_ref()?.since(&self.empty, name);
        let (deliveries, answered) = (grown("deliveries_total"), grown("posts_answered_total"));
        Some(Whole { sends: grown("sends_total")?, deliveries, answered })
    }

    /// From the first answer to the last.
    fn work(&self) -> Option<ServerWork> {
        let grown = |name: &str| self.last.since(&self.began, name);
        let sends = grown("sends_total")?;
        let each = |name: &str| grown(name).map(|count| count * 1e3 / sends.max(1.0));
        let over = |name: &str, of: &str| {
            let of = grown(of).filter(|count| *count > 0.0)?;
            Some(grown(name)? / of)
        };
        let commands = grown("stage_seconds_count{stage=\"queue\"}").filter(|count| *count > 0.0);
        let waited = |name: &str| Some(grown(&format!("{name}_waited_micros_total"))? / commands?);
        let seconds = self.seconds.max(1e-9);
        let stage = |stage: &String| {
            let of = |what: &str| grown(&format!("stage_seconds_{what}{{stage=\"{stage}\"}}"));
            let (sum, count) = (of("sum")?, of("count")?);
            let mean_us = sum * 1e6 / count.max(1.0);
            let measured = self.inside.mean(stage);
            let by_law =
                |_: f64| Some(commands? / seconds * waited(stage).unwrap_or(mean_us) / 1e6);
            let work = StageWork {
                per_second: count / seconds,
                mean_us,
                in_flight: sum / seconds,
                commands_by_littles_law: measured.and_then(by_law),
                commands_measured: measured,
            };
            Some((stage.clone(), work))
        };
        let stages: BTreeMap<String, StageWork> = self.stages.iter().filter_map(stage).collect();
        Some(ServerWork {
            ack_us: ack_path(&self.last, &self.began),
            posts_answered: grown("posts_answered_total").map(|count| count as u64),
            looks: self.inside.looks,
            differs: Vec::new(),
            not_compared: None,
            sends: sends as u64,
            fsyncs_per_1000_sends: each("fsyncs_total").unwrap_or_default(),
            turns_per_1000_sends: each("turns_total").unwrap_or_default(),
            reads_per_1000_sends: each("reads_total").unwrap_or_default(),
            writes_per_1000_sends: each("writes_total").unwrap_or_default(),
            frames_per_write: over("frames_written_total", "writes_total"),
            bytes_per_frame: over("bytes_written_total", "frames_written_total"),
            proc_reads_per_1000_sends: each("proc_syscr"),
            proc_writes_per_1000_sends: each("proc_syscw"),
            passwords_hashed: grown("hashes_total").map(|count| count as u64),
            stages,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::read_to_string;

    use super::*;
    use crate::monitor::trees::TreeAt;
    use crate::recorder::{Percentiles, RoomSample};

    const FIRST: &str = "# TYPE throng_sends counter\nthrong_sends_total 10\nthrong_fsyncs_total 5\n\
        throng_turns_total 5\nthrong_reads_total 0\nthrong_writes_total 0\n\
        throng_stage_seconds_bucket{stage=\"commit\",le=\"0.1\"} 3\n\
        throng_stage_seconds_sum{stage=\"commit\"} 1.0\n\
        throng_stage_seconds_count{stage=\"commit\"} 5\n# EOF\n";

    fn witness(folder: &Path) -> Witness {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let own = TreeAt { name: "own".into(), pid: std::process::id() };
        let trees = trees::find(&[own]).unwrap();
        let holder = Holder { pid: None, folder: Some(folder.to_owned()) };
        Witness::new(folder, nobody, holder, Some("probe".into()), trees, 1).unwrap()
    }

    #[test]
    fn work_is_what_grew_between_the_first_answer_and_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let mut witness = witness(folder.path());
        witness.began = Counters::of_text(FIRST);
        witness.stages = witness.began.stages();
        let last = FIRST
            .replace("sends_total 10", "sends_total 2010")
            .replace("fsyncs_total 5", "fsyncs_total 105")
            .replace("sum{stage=\"commit\"} 1.0", "sum{stage=\"commit\"} 3.0")
            .replace("count{stage=\"commit\"} 5", "count{stage=\"commit\"} 105");
        witness.last = Counters::of_text(&last);
        witness.seconds = 4.0;
        let work = witness.work().unwrap();
        assert_eq!(work.sends, 2_000);
        assert!((work.fsyncs_per_1000_sends - 50.0).abs() < 1e-9);
        let commit = work.stages["commit"];
        assert!((commit.mean_us - 20_000.0).abs() < 1e-6 && (commit.in_flight - 0.5).abs() < 1e-9);
        assert!((commit.per_second - 25.0).abs() < 1e-9);
        assert_eq!(work.proc_reads_per_1000_sends, None);
        assert!((work.ack_us["commit"] - 20_000.0).abs() < 1e-6, "by its passages");
        assert_eq!((commit.commands_measured, commit.commands_by_littles_law), (None, None));
    }

    #[test]
    fn commands_in_a_stage_are_looked_at_and_beside_them_stands_the_law() {
        let folder = tempfile::tempdir().unwrap();
        let mut witness = witness(folder.path());
        let text = |queued: u32, micros: u32, inside: u32| {
            Counters::of_text(&format!(
                "throng_sends_total {queued}\nthrong_commit_waited_micros_total {micros}\n\
                 throng_stage_seconds_sum{{stage=\"queue\"}} 0\n\
                 throng_stage_seconds_count{{stage=\"queue\"}} {queued}\n\
                 throng_stage_seconds_sum{{stage=\"commit\"}} 1.0\n\
                 throng_stage_seconds_count{{stage=\"commit\"}} 10\n\
                 throng_stage_in_flight{{stage=\"commit\"}} {inside}\n"
            ))
        };
        witness.began = text(0, 0, 9);
        witness.stages = witness.began.stages();
        for inside in [0, 3, 9] {
            witness.inside.look(&text(0, 0, inside), &witness.stages.clone());
        }
        witness.last = text(4_000, 8_000_000, 7);
        witness.seconds = 2.0;
        let work = witness.work().unwrap();
        let commit = work.stages["commit"];
        assert_eq!((work.looks, commit.commands_measured), (3, Some(4.0)));
        // 2,000 a second, each for 2 ms.
        assert!((commit.commands_by_littles_law.unwrap() - 4.0).abs() < 1e-9);
        assert_eq!(work.stages["queue"].commands_measured, None, "not told");
    }

    #[test]
    fn the_whole_of_a_run_is_from_before_anybody_came_until_all_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut witness = witness(folder.path());
        let text = |sends: u32| {
            Counters::of_text(&format!(
                "throng_sends_total {sends}\nthrong_deliveries_total {}\n",
                sends * 10
            ))
        };
        (witness.empty, witness.began, witness.last) = (text(5), text(6), text(90));
        assert_eq!(witness.whole(), None, "it broke off");
        witness.drained = Some(text(105));
        let whole = Whole { sends: 100.0, deliveries: Some(1_000.0), answered: None };
        assert_eq!(witness.whole(), Some(whole));
        witness.drained = Some(Counters::default());
        assert_eq!(witness.whole(), None, "it did not answer");
    }

    #[test]
    fn frames_a_write_are_those_of_their_phase_and_of_their_second() {
        let folder = tempfile::tempdir().unwrap();
        let mut witness = witness(folder.path());
        let text = |frames: u32, writes: u32| {
            Counters::of_text(&format!(
                "throng_frames_written_total {frames}\nthrong_writes_total {writes}\n"
            ))
        };
        witness.last = text(50, 50);
        let mut told = Vec::new();
        for (phase, frames, writes) in
            [("calm", 60, 60), ("calm", 60, 60), ("storm", 100, 70), ("storm", 190, 90)]
        {
            let now = text(frames, writes);
            told.push(witness.frames(phase, &now));
            witness.last = now;
        }
        assert_eq!(told, [Some(1.0), None, Some(4.0), Some(4.5)]);
        // Means are of all writes, and not of the seconds.
        let phases = [("calm".to_owned(), 1.0), ("storm".to_owned(), 130.0 / 30.0)];
        assert_eq!(witness.frames_per_write(), phases.into());
        assert_eq!(witness.frames("calm", &Counters::default()), None, "it does not answer");
    }

    #[test]
    fn a_server_that_counts_nothing_is_measured_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (tell, told) = std::sync::mpsc::sync_channel(4);
        tell.send(Told::Begins).unwrap();
        let mut sample = Sample { intended: 7, acked: 6, seconds: 1.0, ..Sample::default() };
        let quick = Percentiles { count: 1, p50_ms: 3.5, max_ms: 4.5, ..Percentiles::default() };
        let probe = RoomSample { delivery: quick, ..RoomSample::default() };
        sample.rooms.insert("probe".into(), probe);
        tell.send(Told::Sample(Box::new(sample))).unwrap();
        drop(tell);
        let mut said = 0;
        let watched = witness(folder.path()).watch(&told, |_| said += 1);
        let (witnessed, late) = watched.finish();
        assert_eq!(late, Vec::<String>::new());
        let (at, held) = witnessed.held[0];
        assert!(at > 0.9 && held.folder_bytes > Some(0), "{held:?}");
        assert_eq!((witnessed.work, held.descriptors, held.log_bytes), (None, None, None));
        assert_eq!(said, 1);
        let series = read_to_string(folder.path().join("series.csv")).unwrap();
        let line = series.lines().nth(1).unwrap();
        assert!(line.starts_with("0.000,1.000,,0,7,6,,0,,"), "{line}");
        assert!(line.contains(",0,,0.0,0.0,3.500,4.500,,,") && line.contains(",,,,"), "{line}");
        assert!(
            series.contains(",probe_max_ms,descriptors,log_bytes,folder_bytes,commit_us,fanout_us,whole_us,core_0"),
            "{series}"
        );
        let fields = |line: Option<&str>| line.map(|line| line.split(',').count());
        assert_eq!(fields(series.lines().next()), fields(series.lines().nth(1)));
        assert!(series.lines().next().unwrap().ends_with(",cpu_of_own,memory_of_own"), "{series}");
        assert!(line.rsplit(',').next().unwrap().parse::<u64>().unwrap() > 100_000, "{line}");
        assert_eq!(read_to_string(folder.path().join("samples.jsonl")).unwrap().lines().count(), 1);
    }
}
