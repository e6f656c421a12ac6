//! What the server says that it counts, as any Prometheus would read it; calls of its process by `/proc`.
//!
//! Neighbours: the witness asks once a second, and what grew between two answers is what it tells.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::monitor::family::members;

/// A server that takes longer to say what it counts is not asked again in this second.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The longest answer taken.
const ANSWER_LEN_MAX: u64 = 1024 * 1024;

/// Stages that a send passes before its ack.
const ACK_STAGES: [&str; 6] = ["decode", "authorize", "queue", "decide", "commit", "fanout"];

/// What the server counted of a whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Whole {
    /// Messages committed.
    pub sends: f64,
    /// Events handed to recipients, where it counts them.
    pub deliveries: Option<f64>,
    /// Posts answered, those whose stages it tells apart.
    pub answered: Option<f64>,
}

/// The server's counters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters(BTreeMap<String, f64>);

impl Counters {
    /// Asks the server, and `/proc` for its process; empty where neither answers.
    pub fn ask(address: SocketAddr, pid: Option<u32>) -> Self {
        let mut counters = Self::of_text(&metrics(address).unwrap_or_default());
        for pid in pid.map(members).unwrap_or_default() {
            let io = read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            for (name, value) in io.lines().filter_map(|line| line.split_once(": ")) {
                let value: f64 = value.parse().unwrap_or_default();
                *counters.0.entry(format!("proc_{name}")).or_default() += value;
            }
        }
        counters
    }

    /// From the text form, histogram buckets left out.
    pub(super) fn of_text(text: &str) -> Self {
        let number = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            let wanted = !name.starts_with('#') && !name.contains("_bucket");
            let name = name.strip_prefix("throng_").unwrap_or(name).to_owned();
            Some((name, value.parse().ok()?)).filter(|_| wanted)
        };
        Self(text.lines().filter_map(number).collect())
    }

    pub(super) fn of(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// How much a counter has grown.
    pub(super) fn since(&self, before: &Self, name: &str) -> Option<f64> {
        Some((self.of(name)? - before.of(name)?).max(0.0))
    }

    /// Names of the server's stages.
    pub(super) fn stages(&self) -> Vec<String> {
        let stage = |name: &String| {
            let rest = name.strip_prefix("stage_seconds_sum{stage=\"")?;
            Some(rest.strip_suffix("\"}")?.to_owned())
        };
        self.0.keys().filter_map(stage).collect()
    }
}

/// The text of `/metrics`.
pub(crate) fn metrics(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_LEN_MAX).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other("no figures there")),
    }
}

/// What each stage on the way to the ack took of one post between two answers, microseconds; of one command,
/// where the server does not tell posts from others. Empty where there was none, or the server does not say.
pub(super) fn ack_path(now: &Counters, before: &Counters) -> BTreeMap<String, f64> {
    let grown = |name: &str| now.since(before, name);
    if let Some(posts) = grown("posts_answered_total") {
        let took = |name: &str| {
            let seconds = grown(&format!("post_stage_seconds_total{{stage=\"{name}\"}}"))?;
            Some((name.to_owned(), seconds * 1e6 / posts))
        };
        return ACK_STAGES.into_iter().filter_map(took).filter(|_| posts > 0.0).collect();
    }
    let of = |stage: &str, what: &str| grown(&format!("stage_seconds_{what}{{stage=\"{stage}\"}}"));
    let commands = of("queue", "count").filter(|count| *count > 0.0);
    let waited = |name: &str| Some(grown(&format!("{name}_waited_micros_total"))? / commands?);
    let passage = |name: &str| {
        let count = of(name, "count").filter(|count| *count > 0.0)?;
        Some(of(name, "sum")? * 1e6 / count)
    };
    // Writing is a part of the fan-out.
    let took = |name: &str| Some((name.to_owned(), waited(name).or_else(|| passage(name))?));
    ACK_STAGES.into_iter().filter_map(took).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_without_their_buckets_and_stages_by_their_names() {
        let counters = Counters::of_text(
            "# TYPE throng_sends counter\nthrong_sends_total 10\n\
             throng_stage_seconds_bucket{stage=\"commit\",le=\"0.1\"} 3\n\
             throng_stage_seconds_sum{stage=\"commit\"} 1.0\n# EOF\n",
        );
        assert_eq!(counters.of("sends_total"), Some(10.0));
        assert_eq!(counters.stages(), ["commit"]);
        assert!(!counters.0.keys().any(|name| name.contains("bucket")));
    }

    #[test]
    fn the_way_of_one_command_is_commit_fan_out_and_all_stages_together() {
        let answer = |commands: u32, commit: f64, waited: u32| {
            Counters::of_text(&format!(
                "throng_stage_seconds_sum{{stage=\"queue\"}} {0}\n\
                 throng_stage_seconds_count{{stage=\"queue\"}} {commands}\n\
                 throng_stage_seconds_sum{{stage=\"commit\"}} {commit}\n\
                 throng_stage_seconds_count{{stage=\"commit\"}} {1}\n\
                 throng_commit_waited_micros_total {waited}\n\
                 throng_stage_seconds_sum{{stage=\"fanout\"}} {2}\n\
                 throng_stage_seconds_count{{stage=\"fanout\"}} {1}\n",
                f64::from(commands) * 1e-3,
                commands / 10,
                f64::from(commands / 10) * 5e-4,
            ))
        };
        // A hundred commands in ten turns; each waits for the 2 ms of its turn's commit.
        let path = ack_path(&answer(300, 0.06, 600_000), &answer(200, 0.04, 400_000));
        let near = |name: &str, us: f64| (path[name] - us).abs() < 1e-3;
        assert!(
            near("queue", 1_000.0) && near("commit", 2_000.0) && near("fanout", 500.0),
            "{path:?}"
        );
        assert_eq!(path.len(), 3);
        assert!(ack_path(&answer(200, 0.04, 1), &answer(200, 0.04, 1)).is_empty());
    }

    #[test]
    fn where_posts_are_told_apart_the_way_is_theirs_whatever_joins_beside() {
        let answer = |posts: u32, commands: u32| {
            Counters::of_text(&format!(
                "throng_stage_seconds_sum{{stage=\"queue\"}} {commands}\n\
                 throng_stage_seconds_count{{stage=\"queue\"}} {commands}\n\
                 throng_posts_answered_total {posts}\n\
                 throng_post_stage_seconds_total{{stage=\"queue\"}} {}\n\
                 throng_post_stage_seconds_total{{stage=\"commit\"}} {}\n",
                f64::from(posts) * 1e-4,
                f64::from(posts) * 2e-3,
            ))
        };
        let path = ack_path(&answer(30, 900), &answer(20, 100));
        assert!((path["queue"] - 100.0).abs() < 1e-6 && (path["commit"] - 2_000.0).abs() < 1e-6);
        assert_eq!(path.len(), 2);
        assert!(ack_path(&answer(20, 900), &answer(20, 100)).is_empty(), "nobody posted");
    }
}
