//! What the server's own `/metrics` say of its disk, so that a stopped disk can be told from a
//! stopped server when a row breaks off.
//!
//! Neighbours: a row reads them before it begins and asks for words when it fails. It judges nothing.

use std::net::SocketAddr;

use super::process::get;

const BUCKET: &str = "throng_fsync_seconds_bucket{le=\"";
const UNDER_WAY: &str = "throng_fsync_under_way_millis ";

/// The log's syncs so far: how many took at most so many seconds, ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Syncs {
    buckets: Vec<(f64, u64)>,
    /// How long the one under way has taken, milliseconds; `None` where the server does not tell.
    under_way_ms: Option<u64>,
}

impl Syncs {
    /// As the server tells them now.
    pub fn read(address: SocketAddr) -> std::io::Result<Self> {
        get(address, "/metrics").map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let bucket = |line: &str| {
            let (bound, count) = line.strip_prefix(BUCKET)?.split_once("\"} ")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.parse().ok()?))
        };
        let under_way = text.lines().find_map(|line| line.strip_prefix(UNDER_WAY));
        Self {
            buckets: text.lines().filter_map(bucket).collect(),
            under_way_ms: under_way.and_then(|ms| ms.parse().ok()),
        }
    }

    /// Since `before`: how many there were, and the bound below which the longest lies.
    fn since(&self, before: &Self) -> (u64, Option<f64>) {
        let (mut below, mut longest) = (0, None);
        for (i, (bound, count)) in self.buckets.iter().enumerate() {
            let then = before.buckets.get(i).map_or(0, |(_, count)| *count);
            let up_to = count.saturating_sub(then);
            if up_to > below {
                longest = Some(*bound);
            }
            below = up_to;
        }
        (below, longest)
    }
}

/// What the disk did since `before`, in words.
pub fn since(before: &Syncs, address: SocketAddr) -> String {
    match Syncs::read(address) {
        Ok(now) => words(before, &now),
        Err(error) => format!("its /metrics do not answer ({error}): the server has stopped"),
    }
}

fn words(before: &Syncs, now: &Syncs) -> String {
    let syncs = match now.since(before) {
        (_, None) => "no sync of the log was completed in that time".to_owned(),
        (count, Some(bound)) if bound.is_finite() => {
            format!("{count} syncs of the log in that time, the longest at most {bound:.3} s")
        }
        (count, Some(_)) => {
            format!("{count} syncs of the log in that time, the longest above 16 s")
        }
    };
    match now.under_way_ms {
        Some(0) => format!("{syncs}, none under way"),
        Some(ms) => format!("{syncs}, one under way for {:.1} s", ms as f64 / 1e3),
        None => syncs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(counts: [u64; 3], under_way: &str) -> String {
        let bucket = |bound: &str, count: u64| format!("{BUCKET}{bound}\"}} {count}\n");
        let [a, b, c] = counts;
        let rest = "throng_fsync_seconds_count 9\nthrong_other_bucket{le=\"8\"} 7\n";
        format!("{}{}{}{rest}{under_way}", bucket("0.001", a), bucket("4.2", b), bucket("+Inf", c))
    }

    #[test]
    fn the_longest_sync_is_that_of_the_time_asked_for_and_not_of_before() {
        let before = Syncs::parse(&text([5, 9, 9], ""));
        for (counts, told) in [
            ([5, 9, 9], "no sync of the log was completed in that time"),
            ([8, 12, 12], "3 syncs of the log in that time, the longest at most 0.001 s"),
            ([6, 11, 11], "2 syncs of the log in that time, the longest at most 4.200 s"),
            ([5, 9, 10], "1 syncs of the log in that time, the longest above 16 s"),
        ] {
            assert_eq!(words(&before, &Syncs::parse(&text(counts, ""))), told);
        }
    }

    #[test]
    fn a_sync_that_has_not_come_back_is_told() {
        let before = Syncs::parse(&text([5, 5, 5], ""));
        let stuck = Syncs::parse(&text([5, 5, 5], "throng_fsync_under_way_millis 19500\n"));
        let told = words(&before, &stuck);
        assert!(told.ends_with("completed in that time, one under way for 19.5 s"), "{told}");
        let well = Syncs::parse(&text([7, 7, 7], "throng_fsync_under_way_millis 0\n"));
        assert!(words(&before, &well).ends_with("0.001 s, none under way"));
    }

    #[test]
    fn a_server_that_does_not_answer_is_told_apart_from_a_disk() {
        // Below all ports that are given out by chance.
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(since(&Syncs::default(), nobody).contains("the server has stopped"));
    }
}
