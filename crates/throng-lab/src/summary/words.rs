//! The summary in plain words, as `lab run` ends with them.
//!
//! Neighbours: `mod` has the figures. Nothing is computed here, and what nobody did has no line.

use std::fmt::Write as _;

use super::{Came, Ending, InFlight, Judged, Prices, Slopes, Summary, Wire, phases};
use crate::ledger::Verdict;
use crate::recorder::Percentiles;
use crate::runner::Pictures;
use crate::traces::{STAGES, TraceSummary};
use crate::witness::StageWork;

impl Summary {
    /// For a person, in a screenful.
    pub fn words(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a String grows");
        text
    }

    fn write_ending(&self, to: &mut String) -> std::fmt::Result {
        let verdict = match self.ending {
            Ending::Pass => "PASS: nothing lost, duplicated, reordered or foreign",
            Ending::Missed => "MISSED: every promise was kept, but a goal was not reached",
            Ending::Undecided => {
                "UNDECIDED: every promise was kept and no goal missed, but not each was shown to be met"
            }
            Ending::Faults => "FAULTS: promises were broken",
            Ending::Invalid if self.spoilt_by_others() => {
                "INVALID: other programs took the machine"
            }
            Ending::Invalid if self.load_seconds == 0.0 => {
                "INVALID: this machine cannot hold the generator's sockets"
            }
            Ending::Invalid => "INVALID: the generator fell behind its plan",
            Ending::Incomplete => "INCOMPLETE: the run did not come to its end",
            Ending::Unproved => {
                "UNPROVED: the server tells too little to know that promises were kept"
            }
        };
        writeln!(to, "{}: {verdict}", self.scenario)?;
        if let Some(not_alone) = self.not_alone() {
            writeln!(to, "  NOT ALONE: {not_alone}")?;
        }
        for Judged { says, came, was, .. } in &self.thresholds {
            let word = match came {
                Came::Met => "met",
                Came::Missed => "MISSED",
                Came::Unsure => "cannot be told",
                Came::Unmeasured => "not measured here",
            };
            writeln!(to, "  {word}: {says}; it was {was}")?;
        }
        if let Some(grade) = &self.grade {
            writeln!(to, "  grade reached: {grade}")?;
        }
        // Those of goals stand above.
        let of_goals = matches!(self.ending, Ending::Missed | Ending::Undecided);
        for reason in self.reasons.iter().filter(|_| !of_goals) {
            writeln!(to, "  {reason}")?;
        }
        Ok(())
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        let Self { ledger, .. } = self;
        self.write_ending(to)?;
        if self.load_seconds == 0.0 {
            return writeln!(to, "  nothing was started");
        }
        writeln!(
            to,
            "\n{:12} {:>8} {:>11} {:>10} {:>8}",
            "", "lost", "duplicated", "reordered", "foreign"
        )?;
        for (what, tally) in [("sends", ledger.send_faults), ("deliveries", ledger.delivery_faults)]
        {
            let (lost, duplicated) = (tally.lost, tally.duplicated);
            let (reordered, foreign) = (tally.reordered, tally.foreign);
            writeln!(to, "{what:12} {lost:>8} {duplicated:>11} {reordered:>10} {foreign:>8}")?;
        }
        writeln!(
            to,
            "\nsends       {} ({:.0}/s): {} acked, {} refused, {} unanswered, {} retried and known",
            ledger.sends,
            self.rates.sends,
            ledger.acked,
            ledger.refused,
            ledger.unanswered,
            ledger.repeats
        )?;
        writeln!(
            to,
            "deliveries  {} of {} due ({:.0}/s), and {} events that are no posts",
            ledger.deliveries, ledger.deliveries_due, self.rates.deliveries, ledger.notices
        )?;
        writeln!(
            to,
            "checked     {} events of history in {} of {} rooms, {} resumes, {} tails in doubt, {} away",
            ledger.history,
            ledger.rooms_read,
            ledger.rooms,
            ledger.resumed,
            ledger.doubted,
            ledger.away
        )?;
        if let Some(unproved) = ledger.unproved {
            writeln!(to, "unproved    {}", unproved.words())?;
        }
        self.write_changes(to)?;
        self.write_pictures(to)?;
        self.write_latencies(to)?;
        phases::write(&self.phases, &self.rows, to)?;
        for line in self.prices.iter().flat_map(Prices::words) {
            writeln!(to, "price       {line}")?;
        }
        if let Some(entries) = &self.entries {
            writeln!(to, "entries     {}", entries.words())?;
        }
        self.write_costs(to)
    }

    fn write_changes(&self, to: &mut String) -> std::fmt::Result {
        let Verdict { changes, removals, refused_outside, files, fetches, .. } = &self.ledger;
        if changes + removals > 0 {
            let words = "edits, deletions and reactions";
            writeln!(
                to,
                "changes     {changes} {words}, {removals} members put out, {refused_outside} sends refused for it"
            )?;
        }
        for (why, count) in &self.changes_not_made {
            writeln!(to, "            {count} changes not made: {why}")?;
        }
        if files + fetches > 0 {
            let Verdict { fetches_refused: refused, fetches_doubted: doubted, .. } = &self.ledger;
            let words = "refused to those who may not, in doubt";
            writeln!(
                to,
                "files       {files} sent, {fetches} fetched, {refused} {words} {doubted}"
            )?;
        }
        Ok(())
    }

    fn write_latencies(&self, to: &mut String) -> std::fmt::Result {
        let Self { latency, .. } = self;
        writeln!(
            to,
            "\n{:28} {:>9} {:>9} {:>9} {:>9}",
            "ms from the intended time", "p50", "p95", "p99", "max"
        )?;
        for (what, said) in [
            (self.ack.words(), latency.ack),
            ("  of it in the generator", latency.generator),
            ("delivery, each recipient", latency.delivery),
            ("  first recipient", latency.first),
            ("  median recipient", latency.median),
            ("  last recipient", latency.last),
            ("(who was away or stalled)", latency.catch_up),
            ("(resume after a loss)", latency.resume),
            ("arrival, to hearing", latency.arrive),
            ("  to history read", latency.enter),
            ("file sent", latency.upload),
            ("file fetched", latency.fetch),
            ("  to all faces seen", latency.faces),
            ("a picture of somebody", latency.picture),
            ("  login", latency.login),
            ("  login refused", latency.login_refused),
        ] {
            if said.count == 0 {
                continue;
            }
            let Percentiles { p50_ms, p95_ms, p99_ms, max_ms, .. } = said;
            writeln!(to, "{what:28} {p50_ms:>9.2} {p95_ms:>9.2} {p99_ms:>9.2} {max_ms:>9.2}")?;
        }
        for (name, of) in self.latency_by_rooms.iter().filter(|_| self.latency_by_rooms.len() > 1) {
            for (what, said) in
                [(self.ack.words(), of.ack), ("delivery", of.delivery), ("last recipient", of.last)]
            {
                if said.count == 0 {
                    continue;
                }
                let Percentiles { p50_ms, p95_ms, p99_ms, max_ms, .. } = said;
                let what = format!("{name}: {what}");
                writeln!(to, "{what:28} {p50_ms:>9.2} {p95_ms:>9.2} {p99_ms:>9.2} {max_ms:>9.2}")?;
            }
        }
        Ok(())
    }

    fn write_costs(&self, to: &mut String) -> std::fmt::Result {
        writeln!(to)?;
        if let Some(cost) = self.cost {
            writeln!(
                to,
                "server      {:.2} µs CPU a delivery, {:.0} % of a core, {:.0} MiB",
                cost.cpu_us_per_delivery,
                cost.cpu_share * 100.0,
                cost.rss_max_bytes as f64 / f64::from(1 << 20)
            )?;
        }
        let it = &self.generator;
        let lag = it.lag.map_or("no lag (no send had a time of its own)".into(), |lag| {
            format!("lag p50 {:.3} ms p99 {:.2} ms", lag.p50_ms, lag.p99_ms)
        });
        writeln!(
            to,
            "generator   {:.0} % of a core ({:.0} % in its busiest 3 s), {lag}, {} dropped; {:.0} k deliveries a \
             CPU-second at {:.1} frames a read",
            it.cpu_share * 100.0,
            it.cpu_share_3s_max * 100.0,
            it.dropped,
            it.deliveries_per_cpu_second / 1e3,
            it.frames_per_read
        )?;
        if let Some(others) = &self.other_programs {
            writeln!(to, "beside      {}", others.words())?;
        }
        let Wire { bytes, bytes_per_delivery } = self.wire;
        let mib = bytes as f64 / f64::from(1 << 20);
        writeln!(to, "wire        {mib:.2} MiB read, {bytes_per_delivery:.0} bytes a delivery")?;
        if let Some([before, after]) = self.fsync {
            writeln!(
                to,
                "disk        fsync p50 {:.2} ms p99 {:.2} ms before, {:.2} and {:.2} after",
                before.p50_us / 1e3,
                before.p99_us / 1e3,
                after.p50_us / 1e3,
                after.p99_us / 1e3
            )?;
        }
        let InFlight { measured, by_littles_law } = self.in_flight;
        let here = self.ack_path.in_generator;
        writeln!(
            to,
            "in flight   {measured:.2} sends measured, {by_littles_law:.2} by L = λW; of them in the generator \
             {:.2} and {:.2}",
            here.measured, here.by_littles_law
        )?;
        for (name, words) in [("ack", self.ack_path.words()), ("", self.ack_path.unexplained())] {
            if let Some(words) = words {
                writeln!(to, "{name:11} {words}")?;
            }
        }
        self.write_server_work(to)?;
        self.write_traces(to)?;
        if let Some(slopes) = self.slopes.as_ref().and_then(Slopes::words) {
            writeln!(to, "slopes      {slopes}")?;
        }
        if let Some(bytes) = self.disk_bytes_per_send {
            writeln!(to, "            {bytes:.0} bytes of the folder a send")?;
        }
        self.write_counts(to)
    }

    fn write_server_work(&self, to: &mut String) -> std::fmt::Result {
        if let Some(work) = &self.server_work {
            if let Some(what) = &work.not_compared {
                writeln!(to, "not compared {what}")?;
            }
            for differs in &work.differs {
                writeln!(to, "differs     {}", differs.says)?;
            }
            if !work.differs.is_empty() {
                return writeln!(to, "            what it counts of itself is not shown");
            }
            let frames = work.frames_per_write.zip(work.bytes_per_frame);
            let frames = frames.map_or(String::new(), |(frames, bytes)| {
                format!("; {frames:.1} frames a write of {bytes:.0} bytes each")
            });
            writeln!(
                to,
                "counted     {:.1} syncs, {:.1} turns, {:.0} reads, {:.0} writes for 1,000 sends{frames}",
                work.fsyncs_per_1000_sends,
                work.turns_per_1000_sends,
                work.reads_per_1000_sends,
                work.writes_per_1000_sends
            )?;
            let stage = |(name, it): (&String, &StageWork)| {
                format!(
                    "{name} {:.0} µs × {:.0}/s = {:.3}",
                    it.mean_us, it.per_second, it.in_flight
                )
            };
            let stages: Vec<String> = work.stages.iter().map(stage).collect();
            writeln!(to, "stages      {}", stages.join("; "))?;
            let counted = work.stages.iter().filter_map(|(name, it)| {
                let (law, found) = (it.commands_by_littles_law?, it.commands_measured?);
                Some(format!("{name} {found:.2} measured, {law:.2} by L = λW"))
            });
            let counted: Vec<String> = counted.collect();
            if !counted.is_empty() {
                writeln!(to, "commands    {}", counted.join("; "))?;
            }
        }
        Ok(())
    }

    fn write_traces(&self, to: &mut String) -> std::fmt::Result {
        let TraceSummary { asked, told, slowest, .. } = &self.traces;
        if let Some(slow) = slowest.first() {
            let stages = STAGES.iter().map(|name| format!("{name} {}", slow.stages_us[*name]));
            let stages: Vec<String> = stages.collect();
            writeln!(
                to,
                "traced      {told} of {asked}; the slowest {:.2} ms: generator {}, {} µs, kernel and client {}",
                slow.client_us as f64 / 1e3,
                slow.generator_us,
                stages.join(", "),
                slow.kernel_and_client_us
            )?;
        }
        Ok(())
    }

    fn write_pictures(&self, to: &mut String) -> std::fmt::Result {
        let Some(Pictures { set, fetched, bytes, not_as_named, unanswered }) = self.pictures else {
            return Ok(());
        };
        writeln!(
            to,
            "pictures    {set} set; {fetched} fetched, {:.1} KiB each, {not_as_named} not as named, {unanswered} unanswered",
            bytes as f64 / 1024.0 / fetched.max(1) as f64
        )
    }

    /// What was answered to those who mean ill, what was refused, what ended, what went wrong.
    fn write_counts(&self, to: &mut String) -> std::fmt::Result {
        if let Some(share) = self.abused.cpu_share {
            let share = share * 100.0;
            writeln!(to, "ill         {share:.0} % of a core, in a thread beside the generator's")?;
        }
        for (kind, answers) in &self.abused.answers {
            let answers: Vec<String> =
                answers.iter().map(|(what, n)| format!("{n} × {what}")).collect();
            writeln!(to, "ill: {kind:9} {}", answers.join(", "))?;
        }
        for (what, counts) in [("ended", &self.farewells), ("refused", &self.refusals)] {
            for (name, count) in counts {
                writeln!(to, "{what:11} {count} × {name}")?;
            }
        }
        for fault in self.ledger.described.iter().take(10) {
            writeln!(to, "fault       {:?} {:?}: {}", fault.side, fault.kind, fault.what)?;
        }
        Ok(())
    }
}
