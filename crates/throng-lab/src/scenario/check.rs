//! Bounds of every number of a scenario. What is out of them is told with the line it stands in,
//! or the `--set` it came by, and with what is allowed.
//!
//! Neighbours: `mod` calls it when the grammar is satisfied. A scenario that passed can be run.

use super::{
    Abusers, Ack, BODY_BYTES_MAX, Bodies, Life, Phase, Rooms, Row, Scenario, ScenarioError,
    Threshold, USERS_MAX,
};
use crate::drivers::Dress;
use crate::plan;

const WEEK: f64 = 7.0 * 24.0 * 3_600.0;
/// Users of one group who mean ill.
const ABUSERS_MAX: f64 = 1_000.0;
/// Phases, lives and rows that a scenario may list.
const LISTED_MAX: usize = 100;
/// What one user may do in a run.
const ACTIONS_MAX: f64 = 1e6;
/// What is later than a minute is no answer to anybody.
const LATE_MS_MAX: f64 = 60_000.0;
/// A file is held in memory while it is sent.
const FILE_BYTES_MAX: f64 = 1_048_576.0;

/// A value out of its bounds.
#[derive(Debug)]
pub struct Broken {
    key: String,
    why: String,
}

impl Broken {
    fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self { key: key.into(), why: why.into() }
    }

    /// With the place it stands in.
    pub fn told(self, source: &str, text: &str, settings: &[String]) -> ScenarioError {
        let Self { key, why } = self;
        let is = |setting: &&String| setting.split_once('=').is_some_and(|(set, _)| set == key);
        if let Some(setting) = settings.iter().rev().find(is) {
            return ScenarioError::BadSetting(setting.clone(), why);
        }
        let place = match line_of(text, &key) {
            Some(line) => format!("{source}, line {line}"),
            None => source.to_owned(),
        };
        ScenarioError::BadValue(place, why)
    }
}

/// The line of a dotted key, where lists of tables are named by their `name`.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (section, field) = key.rsplit_once('.').unwrap_or(("", key));
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let header = |line: &str| line.starts_with('[') && line.ends_with(']');
    let value = |line: &str, field: &str| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == field).then(|| value.trim().trim_matches('"').to_owned())
    };
    let mut begin = 0;
    while begin <= lines.len() {
        let rest = lines.get(begin..)?;
        let end = begin + rest.iter().position(|line| header(line)).unwrap_or(rest.len());
        let body = &lines[begin..end];
        let title = if begin == 0 { "" } else { lines[begin - 1].trim_matches(['[', ']']) };
        let name = body.iter().find_map(|line| value(line, "name"));
        let named = name.is_some_and(|name| format!("{title}.{name}") == section);
        if title == section || named {
            let at = body.iter().position(|line| value(line, field).is_some());
            return at.map(|at| begin + at + 1).or((begin > 0).then_some(begin));
        }
        begin = end + 1;
    }
    None
}

fn within(key: &str, value: f64, min: f64, max: f64) -> Result<(), Broken> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Broken::new(key, format!("{key} = {value} is not from {min} to {max}")))
}

fn share(key: &str, value: f64) -> Result<(), Broken> {
    within(key, value, 0.0, 1.0)
}

impl Scenario {
    /// Whether the time of the load is one.
    pub(super) fn check_seconds(&self) -> Result<(), Broken> {
        within("seconds", self.seconds, 0.1, WEEK)
    }

    /// Whether every number is within its bounds and every name names something.
    pub(super) fn check(&self) -> Result<(), Broken> {
        for (key, count) in [
            ("phases", self.phases.len()),
            ("lives", self.lives.len()),
            ("rows", self.rows.len()),
            ("thresholds", self.thresholds.len()),
            ("abusers", self.abusers.len()),
            ("grades", self.grades.len()),
        ] {
            within(key, count as f64, 0.0, LISTED_MAX as f64)?;
        }
        for phase in &self.phases {
            check_phase(phase)?;
        }
        self.check_seconds()?;
        within("users.count", f64::from(self.users.count), 1.0, f64::from(USERS_MAX))?;
        let lanes = f64::from(self.users.rest_connections);
        within("users.rest_connections", lanes, 1.0, 1_000.0)?;
        if self.users.ack == Ack::Accepted && self.users.dresses.contains(&Dress::Rest) {
            let why = "users.ack: what is posted over REST is answered when it is durable";
            return Err(Broken::new("users.ack", why));
        }
        if self.users.dresses.is_empty() {
            let why = "users.dresses: at least one of ws-json, ws-protobuf, raw, rest";
            return Err(Broken::new("users.dresses", why));
        }
        let uncompressed = |dress: &Dress| matches!(dress, Dress::Raw | Dress::Rest);
        if self.users.compressed && self.users.dresses.iter().any(uncompressed) {
            let why = "users.compressed: only what comes over ws-json and ws-protobuf can be";
            return Err(Broken::new("users.compressed", why));
        }
        if self.users.dresses.iter().all(|dress| *dress == Dress::Rest) {
            let why = "users.dresses: someone beside rest is needed, who hears";
            return Err(Broken::new("users.dresses", why));
        }
        if self.rooms.is_empty() {
            return Err(Broken::new("rooms", "rooms: at least one kind of room"));
        }
        for life in &self.lives {
            self.check_life(life)?;
        }
        for row in &self.rows {
            self.check_row(row)?;
        }
        for room in &self.rooms {
            self.check_rooms(room)?;
        }
        if let Some(goal) = &self.goal {
            self.kind_of(&goal.rooms, "goal.rooms")?;
            within("goal.p90_ms", goal.p90_ms, 0.001, goal.p95_ms)?;
            within("goal.p95_ms", goal.p95_ms, goal.p90_ms, goal.p99_ms)?;
        }
        for abusers in &self.abusers {
            self.check_abusers(abusers)?;
        }
        for threshold in &self.thresholds {
            self.check_threshold(threshold)?;
        }
        for grade in &self.grades {
            let key = |field: &str| format!("grades.{}.{field}", grade.name);
            within(&key("sends_per_second"), grade.sends_per_second, 0.1, 1e9)?;
            within(&key("ack_p99_ms"), grade.ack_p99_ms, 0.001, LATE_MS_MAX)?;
            within(&key("fan_out"), grade.fan_out, 0.0, f64::from(USERS_MAX))?;
        }
        self.check_bodies()?;
        self.check_changes()?;
        self.check_self_check()?;
        self.check_churn()
    }

    /// What is no number is above no bound: a generator that is held against it is never the bottleneck.
    fn check_self_check(&self) -> Result<(), Broken> {
        let it = &self.self_check;
        within("self_check.cpu_max", it.cpu_max, 0.01, 100.0)?;
        within("self_check.lag_p50_ms", it.lag_p50_ms, 0.001, LATE_MS_MAX)?;
        within("self_check.lag_p99_ms", it.lag_p99_ms, 0.001, LATE_MS_MAX)?;
        within("self_check.others_cores", it.others_cores.unwrap_or(1.0), 0.001, 100.0)?;
        within("self_check.late_ms", it.late_ms, 1.0, LATE_MS_MAX)
    }

    fn check_rooms(&self, room: &Rooms) -> Result<(), Broken> {
        let key = |field: &str| format!("rooms.{}.{field}", room.name);
        let users = f64::from(self.users.count);
        let lived_in = self.lives.iter().any(|life| life.rooms == room.name);
        within(&key("count"), f64::from(room.count), 1.0, 100_000.0)?;
        let least = if lived_in { 0.0 } else { 1.0 };
        within(&key("members"), f64::from(room.members), least, users)?;
        within(&key("first"), f64::from(room.first), 0.0, users - 1.0)?;
        let members = f64::from(room.members);
        let speakers = room.speakers.unwrap_or(room.members);
        within(&key("speakers"), f64::from(speakers), least, members)?;
        within(&key("zipf"), room.zipf.unwrap_or(1.0), 0.1, 4.0)?;
        let most = if members == 0.0 { 0.0 } else { 200_000.0 };
        within(&key("sends_per_second"), room.sends_per_second, 0.0, most)?;
        if room.direct {
            within(&key("members"), members, 2.0, 2.0)?;
            within(&key("count"), f64::from(room.count), 1.0, (users / 2.0).floor())?;
            let plain = room.zipf.is_none() && room.speakers.is_none();
            if !plain || self.rooms.iter().filter(|room| room.direct).count() > 1 {
                let why = "a room of two has neither zipf nor speakers, and two people have one";
                return Err(Broken::new(key("direct"), format!("{}: {why}", key("direct"))));
            }
        }
        let dresses = &self.users.dresses;
        if let Some(dress) = room.speakers_in.filter(|dress| !dresses.contains(dress)) {
            let why = format!("{}: nobody in users.dresses is {dress:?}", key("speakers_in"));
            return Err(Broken::new(key("speakers_in"), why));
        }
        Ok(())
    }

    fn check_life(&self, life: &Life) -> Result<(), Broken> {
        let key = |field: &str| format!("lives.{}.{field}", life.name);
        let users = f64::from(self.users.count);
        within(&key("first"), f64::from(life.first), 0.0, users - 1.0)?;
        let rest = users - f64::from(life.first);
        within(&key("count"), f64::from(life.count), 1.0, rest)?;
        within(&key("arrive_every_seconds"), life.arrive_every_seconds, 0.0, 3_600.0)?;
        within(&key("actions"), f64::from(life.actions), 0.0, ACTIONS_MAX)?;
        within(&key("every_seconds"), life.every_seconds, 0.001, 86_400.0)?;
        share(&key("join"), life.join)?;
        share(&key("leave"), life.leave)?;
        share(&key("leave"), life.join + life.leave)?;
        within(&key("history"), f64::from(life.history), 0.0, 100.0)?;
        let rooms = self.kind_of(&life.rooms, &key("rooms"))?;
        let [least, most] = life.member_of;
        within(&key("member_of"), f64::from(most), 0.0, f64::from(rooms.count))?;
        within(&key("member_of"), f64::from(least), 0.0, f64::from(most))?;
        if let Some([least, most]) = life.words {
            within(&key("words"), f64::from(most), 1.0, 500.0)?;
            within(&key("words"), f64::from(least), 1.0, f64::from(most))?;
        }
        for (field, phase) in [
            ("arrives_in", &life.arrives_in),
            ("acts_in", &life.acts_in),
            ("leaves_in", &life.leaves_in),
        ] {
            self.phase_of(phase.as_deref(), &key(field))?;
        }
        Ok(())
    }

    fn check_row(&self, row: &Row) -> Result<(), Broken> {
        let key = |field: &str| format!("rows.{}.{field}", row.name);
        let users = f64::from(self.users.count);
        within(&key("first"), f64::from(row.first), 0.0, users - 1.0)?;
        within(&key("count"), f64::from(row.count), 1.0, users - f64::from(row.first))?;
        within(&key("messages_step"), f64::from(row.messages_step), 1.0, 10_000.0)?;
        if let Some(most) = row.messages_max {
            within(&key("messages_max"), f64::from(most), 1.0, ACTIONS_MAX)?;
        }
        let last = row.messages(row.count - 1);
        within(&key("messages_step"), f64::from(last), 1.0, ACTIONS_MAX)?;
        within(&key("in_flight_max"), f64::from(row.in_flight_max), 1.0, f64::from(USERS_MAX))?;
        self.kind_of(&row.rooms, &key("rooms")).map(|_| ())
    }

    fn check_abusers(&self, it: &Abusers) -> Result<(), Broken> {
        let key = |field: &str| format!("abusers.{}.{field}", it.name);
        within(&key("count"), f64::from(it.count), 1.0, ABUSERS_MAX)?;
        within(&key("every_seconds"), it.every_seconds, 0.001, 3_600.0)?;
        self.phase_of(it.phase.as_deref(), &key("phase"))
    }

    fn check_threshold(&self, it: &Threshold) -> Result<(), Broken> {
        let key = |field: &str| format!("thresholds.{}.{field}", it.name);
        let bounds = [("at_most", it.at_most), ("at_least", it.at_least)];
        if bounds.iter().all(|(_, bound)| bound.is_none()) {
            let why = format!("{}: it needs at_most or at_least", key("figure"));
            return Err(Broken::new(key("figure"), why));
        }
        for (field, bound) in bounds {
            within(&key(field), bound.unwrap_or_default(), 0.0, 1e12)?;
        }
        within(&key("unless_within_ms"), it.unless_within_ms.unwrap_or_default(), 0.0, 60_000.0)?;
        for (field, phase) in [("phase", &it.phase), ("against", &it.against)] {
            self.phase_of(phase.as_deref(), &key(field))?;
        }
        if let Some(rooms) = &it.rooms {
            self.kind_of(rooms, &key("rooms"))?;
        }
        let whole = it.rooms.is_none() && it.against.is_none();
        if it.figure.is_slope() && !(self.is_steady() && whole) {
            let why =
                "a slope is of the whole of a load that does not change: no phases, lives, rows";
            return Err(Broken::new(key("figure"), format!("{}: {why}", key("figure"))));
        }
        let alone = it.phase.is_none() || it.rooms.is_none() || it.against.is_some();
        if (it.figure.is_latency() && alone) || (!it.figure.is_latency() && whole) {
            return Ok(());
        }
        let why = "rooms and against are for latencies; a phase with rooms needs against";
        Err(Broken::new(key("figure"), format!("{}: {why}", key("figure"))))
    }

    fn phase_of(&self, phase: Option<&str>, key: &str) -> Result<(), Broken> {
        if self.phase(phase).is_some() {
            return Ok(());
        }
        let known: Vec<&str> = self.phases.iter().map(|it| it.name.as_str()).collect();
        Err(Broken::new(key, format!("{key}: not one of {}", known.join(", "))))
    }

    fn kind_of(&self, name: &str, key: &str) -> Result<&Rooms, Broken> {
        self.rooms.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.rooms.iter().map(|it| it.name.as_str()).collect();
            Broken::new(key, format!("{key} = `{name}` is not one of {}", known.join(", ")))
        })
    }

    fn check_changes(&self) -> Result<(), Broken> {
        let it = &self.changes;
        share("changes.edits", it.edits)?;
        share("changes.deletes", it.deletes)?;
        share("changes.reactions", it.reactions)?;
        share("changes.typing", it.typing)?;
        within("changes.kicks", it.kicks, 0.0, 1_000.0)?;
        within("changes.bans", it.bans, 0.0, 1_000.0)?;
        within("changes.ban_seconds", it.ban_seconds, 0.0, 3_600.0)?;
        within("changes.files", it.files, 0.0, 1_000.0)?;
        share("changes.files_alone", it.files_alone)?;
        let least = f64::from(plan::FILE_BYTES_MIN);
        within("changes.file_bytes", f64::from(it.file_bytes), least, FILE_BYTES_MAX)?;
        within("changes.file_readers", f64::from(it.file_readers), 0.0, 100.0)?;
        let speaks_only = self.users.dresses.contains(&Dress::Rest);
        let direct = self.rooms.iter().any(|room| room.direct);
        let of_all = direct || it.of_messages() || it.put_out() || it.files > 0.0;
        if (speaks_only || !self.lives.is_empty()) && of_all || speaks_only && it.typing > 0.0 {
            let why =
                "changes: only among users who hear and are there all the time (no rest, no lives)";
            return Err(Broken::new("changes.edits", why));
        }
        // What is only taken may not be there yet for one who fetches its file.
        if it.files > 0.0 && !self.users.ack.is_durable() {
            let why =
                "changes.files: a file is fetched when its message is durable; users.ack is not";
            return Err(Broken::new("changes.files", why));
        }
        Ok(())
    }

    fn check_bodies(&self) -> Result<(), Broken> {
        let Bodies { bytes_min, bytes_median, bytes_max, sigma } = self.bodies;
        let (min, median, max) =
            (f64::from(bytes_min), f64::from(bytes_median), f64::from(bytes_max));
        within("bodies.bytes_min", min, f64::from(plan::BODY_BYTES_MIN), median)?;
        within("bodies.bytes_median", median, min, max)?;
        within("bodies.bytes_max", max, median, f64::from(BODY_BYTES_MAX))?;
        within("bodies.sigma", sigma, 0.0, 4.0)
    }

    fn check_churn(&self) -> Result<(), Broken> {
        share("churn.reconnect", self.churn.reconnect)?;
        share("churn.membership", self.churn.membership)?;
        share("churn.stall", self.churn.stall)?;
        within("churn.stall_seconds", self.churn.stall_seconds, 0.0, 3_600.0)?;
        let come_and_go = !self.lives.is_empty() || !self.rows.is_empty();
        if come_and_go && self.churn != super::Churn::default() {
            let why = "churn: users with lives or rows come and go by themselves; leave it out";
            return Err(Broken::new("churn.reconnect", why));
        }
        Ok(())
    }
}

fn check_phase(phase: &Phase) -> Result<(), Broken> {
    let key = |field: &str| format!("phases.{}.{field}", phase.name);
    within(&key("seconds"), phase.seconds, 0.01, WEEK)?;
    share(&key("reconnect"), phase.reconnect)?;
    share(&key("stall"), phase.stall)?;
    let shares = phase.load.shares();
    if shares.is_empty() {
        let why = format!("{}: at least one step", key("load"));
        return Err(Broken::new(key("load"), why));
    }
    shares.into_iter().try_for_each(|it| within(&key("load"), it, 0.0, 1_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "seconds = 1\n[users]\ncount = 5\n\n[[rooms]]\nname = \"a\"\ncount = 1\n\
                        [[rooms]]\nname = \"b\"\n# how many\ncount = 2\n[bodies]\nsigma = 1\n";

    #[test]
    fn a_key_is_found_in_its_table_and_in_the_list_by_its_name() {
        for (key, line) in [
            ("seconds", Some(1)),
            ("users.count", Some(3)),
            ("rooms.a.count", Some(7)),
            ("rooms.b.count", Some(11)),
            ("bodies.sigma", Some(13)),
            ("rooms.b.members", Some(8)),
            ("lives.x.count", None),
        ] {
            assert_eq!(line_of(TEXT, key), line, "{key}");
        }
    }
}
