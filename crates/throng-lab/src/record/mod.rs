//! `lab record`: what a running server carries, as a scenario that can be run again, at three times
//! the load say. Rates, lengths and sizes of rooms; no name and no text, because the server counts
//! none.
//!
//! Neighbours: `figures` reads `/metrics`, `bodies` fits lengths, `witness` asks. What it makes is
//! an ordinary scenario file: `run`, `capacity` and `compare` take it too.

mod bodies;
mod figures;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock;
use crate::drivers::Dress;
use crate::run::LabError;
use crate::runner::RunError;
use crate::scenario::{
    Ack, Arrivals, Changes, Churn, Phase, Rooms, Scenario, SelfCheck, Shape, Users,
};
use crate::target::Target;
use crate::witness;
use figures::{Figures, Sizes};

/// Pieces that the time is cut into: the load of each is kept.
const STEPS_MAX: usize = 60;
/// The longest recording.
pub const SECONDS_MAX: f64 = 7.0 * 24.0 * 3_600.0;
/// Between looks at whether it should end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Each look is a connection while it lasts.
const OWN_CONNECTIONS: f64 = 1.0;

/// What to record.
#[derive(Clone, Debug)]
pub struct RecordArgs {
    /// The server, by its URL.
    pub target: String,
    /// For how long.
    pub seconds: f64,
    /// Where the scenario goes.
    pub out: PathBuf,
    /// What it is called.
    pub name: String,
    /// Set from outside to end before the time; what was seen until then is kept.
    pub stop: Arc<AtomicBool>,
}

/// Figures of one moment.
#[derive(Clone, Debug)]
struct Look {
    /// Seconds from the first.
    at: f64,
    figures: Figures,
}

/// Watches the server and writes the scenario.
pub fn record(args: &RecordArgs, say: &mut dyn Write) -> Result<Scenario, LabError> {
    if !(1.0..=SECONDS_MAX).contains(&args.seconds) {
        let text = format!("--seconds {} is not from 1 to {SECONDS_MAX}", args.seconds);
        return Err(LabError::Arguments(text));
    }
    let failed = |error| LabError::Folder(args.out.clone(), error);
    if args.out.exists() {
        let text = format!("{} is there already; name another --out", args.out.display());
        return Err(LabError::Arguments(text));
    }
    let address = Target::at(&args.target, None)?.door.address;
    let every = (args.seconds / STEPS_MAX as f64).max(1.0);
    let count = (args.seconds / every).round() as usize;
    writeln!(say, "recording {address} for {} s, a look every {every:.0} s", args.seconds)
        .map_err(failed)?;
    let looks = look(args, address, (every, count), say)?;
    let scenario = scenario_of(&args.name, &looks).map_err(RunError::Trouble)?;
    write(&args.out, &scenario, &looks).map_err(failed)?;
    write!(
        say,
        "{}\nrun it with  throng lab replay {} --times 3\n",
        scenario.says,
        args.out.display()
    )
    .map_err(failed)?;
    Ok(scenario)
}

/// Asks again and again, at moments that do not drift.
fn look(
    args: &RecordArgs,
    address: SocketAddr,
    (every, count): (f64, usize),
    say: &mut dyn Write,
) -> Result<Vec<Look>, LabError> {
    let begun = clock::now();
    let mut looks: Vec<Look> = Vec::with_capacity(count + 1);
    for number in 0..=count {
        let due = begun.plus(Duration::from_secs_f64(every * number as f64));
        while clock::now() < due && !args.stop.load(Ordering::Relaxed) {
            std::thread::park_timeout(due.since(clock::now()).min(LOOK_EVERY));
        }
        if args.stop.load(Ordering::Relaxed) && !looks.is_empty() {
            break;
        }
        let text = witness::metrics(address).map_err(|error| {
            RunError::Trouble(format!("http://{address}/metrics does not answer: {error}"))
        })?;
        let figures = Figures::of_text(&text);
        looks.push(Look { at: clock::now().since(begun).as_secs_f64(), figures });
        if let Some(line) = progress(&looks, number, count, args.seconds) {
            // One who does not look must not end it.
            let _ = writeln!(say, "{line}").and_then(|()| say.flush());
        }
    }
    Ok(looks)
}

/// How far it is, at every tenth of the way.
fn progress(looks: &[Look], number: usize, count: usize, seconds: f64) -> Option<String> {
    let (first, last) = (looks.first()?, looks.last()?);
    let tenths = |number: usize| number * 10 / count.max(1);
    if number == 0 || tenths(number) == tenths(number - 1) {
        return None;
    }
    let sends = (last.figures.sends() - first.figures.sends()).max(0.0);
    let left = (seconds - last.at).max(0.0);
    Some(format!("{:>5.0} of {seconds:.0} s  {sends:.0} sends so far, {left:.0} s left", last.at))
}

/// What the looks say, as a scenario.
fn scenario_of(name: &str, looks: &[Look]) -> Result<Scenario, String> {
    let (Some(first), Some(last)) = (looks.first(), looks.last()) else {
        return Err("nothing was recorded".into());
    };
    let seconds = last.at - first.at;
    if looks.len() < 2 || seconds <= 0.0 {
        return Err("it was ended before a second look: nothing was recorded".into());
    }
    let told = |look: &Look| look.figures.has("rooms_heard_posts_total");
    if !told(first) {
        return Err("the server does not tell the sizes of its rooms \
                    (throng_rooms_heard in /metrics): nothing can be recorded"
            .into());
    }
    if looks.is_sorted_by(|a, b| a.figures.sends() <= b.figures.sends()) {
        let grown = Grown { first: &first.figures, last: &last.figures, seconds };
        grown.scenario(name, looks)
    } else {
        Err("the server was started again while it was recorded".into())
    }
}

/// What has grown between the first look and the last.
struct Grown<'a> {
    first: &'a Figures,
    last: &'a Figures,
    seconds: f64,
}

impl Grown<'_> {
    fn of(&self, name: &str) -> f64 {
        (self.last.of(name) - self.first.of(name)).max(0.0)
    }

    fn scenario(&self, name: &str, looks: &[Look]) -> Result<Scenario, String> {
        let sends = self.of("sends_total");
        if sends == 0.0 {
            return Err(format!("nobody said anything in {:.0} s: there is no load", self.seconds));
        }
        let mean = |of: &dyn Fn(&Figures) -> f64| {
            looks.iter().map(|it| of(&it.figures)).sum::<f64>() / looks.len() as f64
        };
        let connections = mean(&|it| (it.of("connections") - OWN_CONNECTIONS).max(0.0));
        let rooms = self.rooms(looks, connections.round().max(1.0) as u32);
        let members = rooms.iter().map(|it| it.members).max().unwrap_or(1);
        let count = (connections.round() as u32).max(members);
        let says = format!(
            "recorded for {:.0} s: {count} connections, {:.1} sends/s to {:.1} deliveries/s",
            self.seconds,
            sends / self.seconds,
            self.of("deliveries_total") / self.seconds,
        );
        let scenario = Scenario {
            name: name.to_owned(),
            says,
            seconds: tidy(self.seconds),
            seed: 1,
            unmeasured_may_pass: false,
            users: Users {
                count,
                dresses: vec![Dress::WsJson],
                rest_connections: 1,
                compressed: false,
                ack: Ack::Durable,
            },
            rooms,
            bodies: bodies::fit(&self.bodies()),
            churn: self.churn(looks.len(), f64::from(count)),
            changes: self.changes(sends),
            self_check: SelfCheck::default(),
            server: settings(),
            shorthands: std::collections::BTreeMap::new(),
            phases: vec![self.phase(looks, sends)],
            lives: Vec::new(),
            rows: Vec::new(),
            abusers: Vec::new(),
            goal: None,
            thresholds: Vec::new(),
            grades: Vec::new(),
            presets: Vec::new(),
            arms: Vec::new(),
        };
        // What is written must be what can be read.
        let text = toml::to_string(&scenario).map_err(|error| error.to_string())?;
        Scenario::parse("what was recorded", &text, &[]).map_err(|error| error.to_string())
    }

    /// A kind of room for each power of two that the server tells apart.
    fn rooms(&self, looks: &[Look], users: u32) -> Vec<Rooms> {
        let posts = |of: &Figures| of.sizes("rooms_heard_posts_total");
        let (before, after) = (posts(self.first), posts(self.last));
        let mut seats = 0_u64;
        let mut rooms = Vec::new();
        for (size, posts) in &after {
            let posts = posts - before.get(size).copied().unwrap_or_default();
            let mean = |name: &str| {
                let of = |look: &Look| look.figures.sizes(name).get(size).copied();
                looks.iter().filter_map(of).sum::<f64>() / looks.len() as f64
            };
            let (heard, listeners) = (mean("rooms_heard"), mean("rooms_heard_listeners"));
            if posts <= 0.0 && heard < 0.5 {
                continue;
            }
            let members = if heard > 0.0 { listeners / heard } else { size.0.min(1e9) };
            let members = (members.round() as u32).clamp(1, users.max(1));
            let count = (heard.round() as u32).max(1);
            rooms.push(Rooms {
                name: size.name(),
                count,
                members,
                first: (seats % u64::from(users.max(1))) as u32,
                zipf: None,
                speakers: None,
                speakers_in: None,
                sends_per_second: tidy(posts / self.seconds / f64::from(count)),
                arrivals: Arrivals::Poisson,
                direct: false,
                steady: false,
            });
            seats += u64::from(members) * u64::from(count);
        }
        rooms
    }

    /// How many messages were at most so long and longer than the bound before.
    fn bodies(&self) -> bodies::Lengths {
        let of = |figures: &Figures| figures.sizes("body_bytes_bucket");
        let (before, after) = (of(self.first), of(self.last));
        let mut below = 0.0;
        let mut counts = Vec::new();
        for (bound, all) in &after {
            let all = all - before.get(bound).copied().unwrap_or_default();
            counts.push((bound.0, (all - below).max(0.0)));
            below = all;
        }
        let mean = self.of("body_bytes_sum") / self.of("body_bytes_count").max(1.0);
        bodies::Lengths { counts, mean }
    }

    fn changes(&self, sends: f64) -> Changes {
        let share = |kind: &str| {
            tidy((self.of(&format!("events_total{{kind=\"{kind}\"}}")) / sends).min(1.0))
        };
        Changes {
            edits: share("edited"),
            deletes: share("deleted"),
            reactions: share("reacted"),
            ..Changes::default()
        }
    }

    /// As shares of all users. Our own looks are connections too.
    fn churn(&self, looks: usize, users: f64) -> Churn {
        let growth = self.last.of("connections") - self.first.of("connections");
        let own = looks.saturating_sub(1) as f64 * OWN_CONNECTIONS;
        let opened = self.of("connections_opened_total") - own - growth;
        let moved = ["joined", "left"].map(|it| self.of(&format!("events_total{{kind=\"{it}\"}}")));
        let share = |count: f64| tidy((count.max(0.0) / self.seconds / users).min(1.0));
        Churn {
            reconnect: share(opened),
            membership: share(moved.iter().sum()),
            ..Churn::default()
        }
    }

    /// How loud each piece was, against the mean of all.
    fn phase(&self, looks: &[Look], sends: f64) -> Phase {
        let mean = sends / self.seconds;
        let step = |pair: &[Look]| {
            let [a, b] = pair else { return 0.0 };
            let rate = (b.figures.sends() - a.figures.sends()) / (b.at - a.at).max(1e-9);
            tidy(rate / mean)
        };
        Phase {
            name: "recorded".into(),
            seconds: tidy(self.seconds),
            load: Shape::Steps(looks.windows(2).map(step).collect()),
            reconnect: 0.0,
            stall: 0.0,
        }
    }
}

/// Everybody comes from one address when it is run again, and nobody is to be told to write more
/// slowly.
fn settings() -> std::collections::BTreeMap<String, String> {
    let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    [
        of("limits.connections_per_address", "100000"),
        of("limits.sends_per_second", "1000000"),
        of("limits.sends_burst", "1000000"),
    ]
    .into()
}

/// Four digits: more would pretend to more than a recording knows.
fn tidy(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = 10_f64.powf(3.0 - value.abs().log10().floor());
    (value * digits).round() / digits
}

fn write(path: &Path, scenario: &Scenario, looks: &[Look]) -> io::Result<()> {
    let mut text = String::from(
        "# What a server carried, recorded by `throng lab record` from its own figures: no names, no\n\
         # texts. Rooms are told apart by powers of two; `members` are the connections that heard\n\
         # one, on average. Who said how much is not recorded: all members of a room speak. Messages in\n\
         # rooms that nobody heard have a room of one.\n",
    );
    let sizes: Vec<Sizes> = looks.iter().map(|it| it.figures.sizes("rooms_heard")).collect();
    let rooms: f64 = sizes.iter().flat_map(|it| it.values()).sum::<f64>() / looks.len() as f64;
    let _ = writeln!(text, "# {} looks; {rooms:.0} rooms were heard at once.\n", looks.len());
    text += &toml::to_string(scenario).map_err(io::Error::other)?;
    if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}

#[cfg(test)]
mod tests;
