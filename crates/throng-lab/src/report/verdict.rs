//! What a run comes to: a sentence, then why, then each promise and limit by itself.
//!
//! Neighbours: the page, the PDF, the JSON and the JUnit file all say what is said here. Nothing
//! here judges anew: the run's own ending stands, this puts it into words and looks for what was
//! nearest to its limit.

use super::folder::{Agent, Came, Ending, Folder, Percentiles, Second};
use super::others;
use super::stages::path;
use super::words::{bytes, ms, number, percent};
use crate::summary::REST_SHARE_MAX;

/// A run that used more of the machine than this was near its end.
const BUSY: f64 = 0.85;
/// A second is slow when its p99 is this many times that of the median second.
const SLOW: f64 = 3.0;
/// Shares of time that went to other guests above this are worth a word.
const STEAL: f64 = 0.02;
/// As `summary` judges it: more refusals than this share, and the load was not what was planned.
const REFUSED_SHARE_MAX: f64 = 0.001;
/// The one thing that is known of a run without a summary.
const ENDS: &str = "the run comes to its end";
/// Faults that are told one by one.
const FAULTS_TOLD: usize = 10;

/// One promise or limit, and whether it held.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// A claim.
    pub name: String,
    /// About the server, or about the generator: then a failure says the run cannot be believed.
    pub of: Of,
    /// Why not, if it did not hold.
    pub failed: Option<String>,
    /// Why nothing is known of it, if nothing is.
    pub unknown: Option<String>,
}

/// Whose doing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The server's.
    Server,
    /// The lab's own.
    Lab,
}

/// The one sentence, and that the run was not alone, if it was not.
pub fn sentence(run: &Folder) -> String {
    came(run) + &others::meanwhile(run) + &not_whole(run)
}

/// That some of the evidence is not there, if it is not.
fn not_whole(run: &Folder) -> String {
    match run.summary.lacks.as_slice() {
        [] => String::new(),
        lacks => format!(" Not all of its evidence is here: {}.", lacks.join("; ")),
    }
}

fn came(run: &Folder) -> String {
    let summary = &run.summary;
    let ledger = &summary.ledger;
    match summary.ending {
        Ending::Pass => format!(
            "Pass{}: nothing was lost, duplicated, reordered or foreign in {} sends and {} deliveries; \
             {} and {}.{}",
            if goals_are_met(run) { ", goals met" } else { "" },
            number(ledger.sends as f64),
            number(ledger.deliveries as f64),
            came_within("acks", &summary.latency.ack),
            came_within("deliveries", &summary.latency.delivery),
            open_goals(run),
        ),
        Ending::Missed => format!(
            "Goal missed: {}. Every promise was kept in {} sends and {} deliveries, and the generator \
             kept its times.{}",
            missed(run).join("; "),
            number(ledger.sends as f64),
            number(ledger.deliveries as f64),
            open_goals(run),
        ),
        Ending::Undecided => undecided(run),
        Ending::Faults => format!("Promises were broken: {}.", broken(run).join(", ")),
        Ending::Invalid if never_began(run) => {
            "Invalid: this machine cannot hold the generator's sockets, so nothing was started."
                .into()
        }
        Ending::Invalid if others::spoilt(run) => {
            "Invalid: other programs took the machine, so these figures say nothing of the server \
             alone."
                .into()
        }
        Ending::Invalid => {
            let goals = summary.thresholds.len();
            let none = if goals > 0 { ", and no goal is met or missed" } else { "" };
            let steal = mean(run.seconds.iter().map(|it| it.steal));
            let took = if steal > STEAL {
                format!(", and the hypervisor took {} of the machine", percent(steal))
            } else {
                String::new()
            };
            format!(
                "Invalid: the generator fell behind its plan (its core was {} used on average{took}), so these \
                 figures say nothing of the server{none}.",
                percent(summary.generator.cpu_share)
            )
        }
        Ending::Unproved => format!(
            "Unproved, which is no pass: no promise was seen broken in {} sends and {} deliveries, but the server \
             tells no places, so that nobody can say that all were kept.",
            number(ledger.sends as f64),
            number(ledger.deliveries as f64),
        ),
        Ending::Incomplete => {
            let why = summary.reasons.first().map_or("it broke off", String::as_str);
            let why = why.lines().next().unwrap_or_default().trim_end_matches([':', ';', '.']);
            format!("Incomplete: {why}; what was measured until then is below.")
        }
    }
}

fn undecided(run: &Folder) -> String {
    let ledger = &run.summary.ledger;
    format!(
        "Undecided, which is no pass: every promise was kept in {} sends and {} deliveries, and no goal was \
         missed.{}",
        number(ledger.sends as f64),
        number(ledger.deliveries as f64),
        open_goals(run),
    )
}

/// The faults by side and kind; where there are none of them, why the run ended so.
fn broken(run: &Folder) -> Vec<String> {
    let ledger = &run.summary.ledger;
    let mut broken = Vec::new();
    for (side, tally) in [("sends", ledger.send_faults), ("deliveries", ledger.delivery_faults)] {
        for (kind, count) in tally.kinds().into_iter().filter(|(_, count)| *count > 0) {
            broken.push(format!("{} {side} {kind}", number(count as f64)));
        }
    }
    if broken.is_empty() {
        broken.clone_from(&run.summary.reasons);
    }
    broken
}

/// Of what there was none, no time is told.
fn came_within(what: &str, it: &Percentiles) -> String {
    if it.count == 0 {
        return format!("no time was measured of {what}");
    }
    let came = if what == "acks" { " came" } else { "" };
    format!("99 in 100 {what}{came} within {}", ms(it.p99_ms))
}

/// Too little was allowed here for it to begin: it says nothing of anybody's promises.
fn never_began(run: &Folder) -> bool {
    run.summary.ending == Ending::Invalid && run.summary.load_seconds == 0.0
}

fn goals_are_met(run: &Folder) -> bool {
    let all = &run.summary.thresholds;
    !all.is_empty() && all.iter().all(|it| it.came == Came::Met)
}

fn missed(run: &Folder) -> Vec<String> {
    let missed = run.summary.thresholds.iter().filter(|it| it.came == Came::Missed);
    missed.map(|it| format!("{}, but it was {}", it.says, it.was)).collect()
}

/// Goals that this run says nothing of.
fn open_goals(run: &Folder) -> String {
    let open = run.summary.thresholds.iter().filter_map(|it| match it.came {
        Came::Met | Came::Missed => None,
        Came::Unsure => Some(format!(" It cannot tell whether {}: it was {}.", it.says, it.was)),
        Came::Unmeasured => match it.was.strip_prefix("not measured: ") {
            Some(why) => Some(format!(" Nothing measured {}: {why}.", it.says)),
            None => Some(format!(" Nothing measured {}.", it.says)),
        },
    });
    open.collect()
}

/// Why it came out so, weightiest first.
pub fn causes(run: &Folder) -> Vec<String> {
    let mut causes = Vec::new();
    let summary = &run.summary;
    if !matches!(summary.ending, Ending::Pass | Ending::Missed | Ending::Undecided) {
        causes.extend(summary.reasons.iter().cloned());
    }
    for fault in summary.ledger.described.iter().take(FAULTS_TOLD) {
        causes.push(format!("{} {}: {}", fault.side, fault.kind, fault.what));
    }
    if never_began(run) {
        return causes;
    }
    causes.extend(others::cause(run));
    let differs = summary.differs().iter();
    causes
        .extend(differs.map(|it| {
            format!("Not believed: {}; what it counts of itself is not shown.", it.says)
        }));
    let lacks = summary.lacks.iter();
    causes.extend(lacks.map(|it| format!("Not all of the evidence is here: {it}.")));
    if !summary.is_missing {
        causes.push(nearest_limit(run));
    }
    causes.extend(stages_of_ack(run));
    // Of a load that was not seen whole, nobody knows which second was the slowest.
    let seconds: &[Second] = if summary.samples_cut { &[] } else { &run.seconds };
    causes.extend(slowest_second(seconds, run.manifest.machine.cores));
    causes.extend(disk(run));
    let steal = mean(seconds.iter().map(|it| it.steal));
    if steal > STEAL {
        causes.push(format!(
            "The hypervisor gave {} of the cores' time to others: latencies are partly its doing.",
            percent(steal)
        ));
    }
    for (what, counts) in [("ended", &summary.farewells), ("refused", &summary.refusals)] {
        if !counts.is_empty() {
            let counts: Vec<String> =
                counts.iter().map(|(name, n)| format!("{} × {name}", number(*n as f64))).collect();
            causes.push(format!("Connections or requests {what}: {}.", counts.join(", ")));
        }
    }
    causes
}

/// Of the things that can run out, the one that had least left.
fn nearest_limit(run: &Folder) -> String {
    let summary = &run.summary;
    let cores = run.manifest.machine.cores.max(1) as f64;
    let cpu_max = run.scenario_number("self_check.cpu_max").unwrap_or(1.0);
    let generator = match summary.generator.cpu_share_3s_max {
        Some(busiest) => ("the generator's one core in its busiest 3 s", busiest / cpu_max),
        None => ("the generator's one core", summary.generator.cpu_share / cpu_max),
    };
    let mut shares = vec![generator];
    if let Some(cost) = summary.cost {
        let cores_used = (cost.cpu_share + summary.generator.cpu_share) / cores;
        shares.push(("the machine's cores, server and generator together", cores_used));
        let memory = run.manifest.machine.memory_bytes.max(1) as f64;
        shares.push(("the machine's memory", cost.rss_max_bytes as f64 / memory));
    }
    shares.extend(others::share(run));
    let (what, share) =
        shares.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("there is one at least");
    let word = if share >= BUSY { "It ran out of" } else { "Nearest to its limit:" };
    let of_server = summary.cost.map_or(String::new(), |cost| {
        let most = bytes(cost.rss_max_bytes as f64);
        let each = cost.cpu_us_per_delivery;
        format!("; the server took {each:.2} µs of CPU a delivery and {most} at most")
    });
    format!("{word} {what}, {} used{of_server}.", percent(share))
}

/// Where the mean ack's time went, and which of the server's threads has least left.
fn stages_of_ack(run: &Folder) -> Option<String> {
    let path = path(run)?;
    let us = |us: f64| ms(us / 1e3);
    let waited = path.generator_us.map_or(String::new(), |it| {
        format!(", {} ({}) passed in the generator,", us(it), percent(it / path.client_us))
    });
    let Some((name, longest)) = path.parts.iter().max_by(|a, b| a.1.total_cmp(&b.1)) else {
        let rest = path.rest_us().unwrap_or_default();
        return Some(format!(
            "Of the mean ack's {}{waited} the rest, {}, is {}.",
            us(path.client_us),
            us(rest),
            path.rest_of()
        ));
    };
    let nearest = path.nearest.map_or(String::new(), |(thread, busy)| {
        format!(
            " Of its threads {thread} is nearest to its limit: busy {} of the time.",
            percent(busy)
        )
    });
    let rest = path.rest_us().map_or(
        "more than the ack: its clock is that of other commands too".to_owned(),
        |rest| {
            let share = rest / path.client_us;
            let more =
                if share > REST_SHARE_MAX { ": more than a tenth is in no stage" } else { "" };
            format!("the rest, {} ({}), is {}{more}", us(rest), percent(share), path.rest_of())
        },
    );
    Some(format!(
        "Of the mean ack's {}{waited} the server's stages took {} (most of it {name}, {}); {rest}.{nearest}",
        us(path.client_us),
        us(path.sum_us),
        us(*longest),
    ))
}

/// A second that was much slower than the median one, and what else it had.
fn slowest_second(seconds: &[Second], cores: u64) -> Option<String> {
    let mut p99: Vec<f64> =
        seconds.iter().filter(|it| it.ack.count > 0).map(|it| it.ack.p99_ms).collect();
    p99.sort_by(f64::total_cmp);
    let median = *p99.get(p99.len() / 2)?;
    let slow = seconds.iter().filter(|it| it.ack.p99_ms > SLOW * median);
    let count = slow.clone().count();
    let worst = slow.max_by(|a, b| a.ack.p99_ms.total_cmp(&b.ack.p99_ms))?;
    let more = if count > 1 { format!(" ({count} seconds were like it)") } else { String::new() };
    let late = match worst.lag {
        lag if lag.count == 0 => String::new(),
        lag => format!(", and sends started {} late at p99", ms(lag.p99_ms)),
    };
    // Of a server whose process is not ours to see, nothing.
    let own = percent(worst.generator_cpu);
    let used = match worst.server() {
        Some(cpu) => format!("the server used {} of a core, the generator {own}", percent(cpu)),
        None => format!("the generator used {own} of a core"),
    };
    Some(format!(
        "Second {} was the slowest: ack p99 {} beside {} in the median second{more}; in it {used}, the \
         hypervisor {}{}{}.",
        worst.second,
        ms(worst.ack.p99_ms),
        ms(median),
        percent(worst.steal * cores.max(1) as f64),
        others::in_second(worst),
        late,
    ))
}

/// An ack is worth what the disk is.
fn disk(run: &Folder) -> Option<String> {
    let [before, after] = run.summary.fsync?;
    let ack = run.summary.latency.ack;
    let apart = before.p50_us.max(after.p50_us) > 3.0 * before.p50_us.min(after.p50_us).max(1.0);
    let warn = if apart {
        " It was another disk afterwards: no figure between the two means much."
    } else {
        ""
    };
    Some(format!(
        "One sync of this disk took {} at p50 and {} at p99 before the run, {} and {} after it; the {} \
         took {} at p50.{warn}",
        ms(before.p50_us / 1e3),
        ms(before.p99_us / 1e3),
        ms(after.p50_us / 1e3),
        ms(after.p99_us / 1e3),
        run.ack(),
        ms(ack.p50_ms),
    ))
}

/// Whether each agent, where there are any, was as little late as the generator may be.
fn agents(run: &Folder) -> Vec<Check> {
    let Some(max) = run.scenario_number("self_check.lag_p99_ms") else { return Vec::new() };
    let told = run.summary.agents.iter().filter(|it| it.lag.count > 0);
    let check = |agent: &Agent| {
        let is = agent.lag.p99_ms;
        let name = format!("the agent at {} answers in time (ms)", agent.address);
        let failed = (is > max).then(|| format!("{is:.3}, above {max}"));
        Check { name, of: Of::Lab, failed, unknown: None }
    };
    told.map(check).collect()
}

/// Every promise and limit.
pub fn checks(run: &Folder) -> Vec<Check> {
    let summary = &run.summary;
    let ledger = &summary.ledger;
    let mut checks = Vec::new();
    let mut add = |of: Of, name: &str, failed: Option<String>| {
        checks.push(Check { name: name.to_owned(), of, failed, unknown: None });
    };
    for (side, tally) in [("send", ledger.send_faults), ("delivery", ledger.delivery_faults)] {
        for (kind, count) in tally.kinds() {
            let described = ledger
                .described
                .iter()
                .filter(|it| it.kind == kind && it.side.starts_with(&side[..4]));
            let first = described.map(|it| it.what.as_str()).next().unwrap_or("not described");
            let failed = (count > 0).then(|| format!("{count}, the first of them: {first}"));
            add(Of::Server, &format!("no {side} is {kind}"), failed);
        }
    }
    let some = |count: u64, what: &str| (count > 0).then(|| format!("{count} {what}"));
    add(Of::Server, "every send is answered", some(ledger.unanswered, "unanswered"));
    add(Of::Server, "every user comes back", some(ledger.away, "away"));
    if let Some(pictures) = summary.pictures {
        let wrong = some(pictures.not_as_named, "are not");
        add(Of::Server, "every picture is what its name says", wrong);
    }
    let placeless = ledger.unproved.map_or(0, |it| it.rooms);
    let unread = ledger.rooms.saturating_sub(ledger.rooms_read + placeless);
    add(Of::Server, "all history is read back", some(unread, "rooms not read to their end"));
    let refused = ledger.refused as f64 > ledger.sends as f64 * REFUSED_SHARE_MAX;
    let why = format!("{} of {} sends were refused", ledger.refused, ledger.sends);
    add(Of::Server, "at most one send in 1,000 is refused", refused.then_some(why));
    let incomplete = (summary.ending == Ending::Incomplete).then(|| summary.reasons.join("; "));
    add(Of::Server, ENDS, incomplete);
    let generator = &summary.generator;
    for (name, key, is) in [
        ("the generator keeps to its share of a core", "cpu_max", generator.cpu_share_judged()),
        ("the median send starts in time (ms)", "lag_p50_ms", generator.lag.p50_ms),
        ("99 in 100 sends start in time (ms)", "lag_p99_ms", generator.lag.p99_ms),
        ("no more sends are given up than allowed", "dropped_max", generator.dropped as f64),
    ] {
        // Where no send had a time of its own, none could be late.
        if key.starts_with("lag") && generator.lag.count == 0 {
            continue;
        }
        let Some(max) = run.scenario_number(&format!("self_check.{key}")) else { continue };
        add(Of::Lab, name, (is > max).then(|| format!("{is:.3}, above {max}")));
    }
    checks.extend(agents(run));
    checks.extend(others::check(run));
    checks.extend(goals(run));
    if summary.ending == Ending::Unproved {
        // What it was not seen to break, it is not known to have kept.
        let promises = checks.iter_mut().filter(|it| it.of == Of::Server && it.failed.is_none());
        promises.for_each(|it| it.unknown = Some("the server tells no places".to_owned()));
    }
    if unread > 0 {
        not_read_back(&mut checks, unread);
    }
    if summary.is_missing {
        no_summary(&mut checks);
    }
    if never_began(run) {
        nothing_was_started(&mut checks, summary.reasons.join("; "));
    }
    checks
}

/// What no fault was seen of is kept only where all history was read and compared with it.
fn not_read_back(checks: &mut [Check], rooms: u64) {
    for check in checks.iter_mut().filter(|it| it.failed.is_none() && is_promise(it)) {
        check.unknown = Some(format!("the history of {rooms} rooms was not read to its end"));
    }
}

/// Of the eight that the ledger counts faults of.
fn is_promise(check: &Check) -> bool {
    ["no send is ", "no delivery is "].iter().any(|it| check.name.starts_with(it))
}

/// Nothing is known of a server of which nothing was asked; why not is the one thing that failed.
fn nothing_was_started(checks: &mut Vec<Check>, why: String) {
    for check in checks.iter_mut() {
        (check.failed, check.unknown) = (None, Some("nothing was started".to_owned()));
    }
    let name = "this machine holds the generator's sockets".to_owned();
    checks.push(Check { name, of: Of::Lab, failed: Some(why), unknown: None });
}

/// Without its summary nothing is known of a run but that it did not come to its end.
fn no_summary(checks: &mut [Check]) {
    for check in checks.iter_mut().filter(|it| it.name != ENDS) {
        (check.failed, check.unknown) = (None, Some("the run left no summary".to_owned()));
    }
}

/// What the scenario wants to be reached. A run whose generator was the bottleneck, or that broke off,
/// neither reaches nor misses it.
fn goals(run: &Folder) -> Vec<Check> {
    let summary = &run.summary;
    let told = !matches!(summary.ending, Ending::Invalid | Ending::Incomplete | Ending::Unproved);
    let of_run = || Some(format!("the run is {}", summary.ending.name()));
    let check = |it: &super::folder::Threshold| {
        let was = Some(format!("it was {}", it.was));
        let (failed, unknown) = match it.came {
            _ if !told => (None, of_run()),
            Came::Met => (None, None),
            Came::Missed => (was, None),
            Came::Unsure | Came::Unmeasured => (None, was),
        };
        Check { name: format!("{} ({})", it.says, it.name), of: Of::Server, failed, unknown }
    };
    let mut goals: Vec<Check> = summary.thresholds.iter().map(check).collect();
    if let Some(goal) = summary.goal.as_ref().filter(|_| goals.is_empty()) {
        // Folders of schema 1 had no other.
        for (name, is, most) in &goal.percentiles {
            goals.push(Check {
                name: format!("delivery {name} of {}: at most {most} ms", goal.rooms),
                of: Of::Server,
                failed: (told && is > most).then(|| format!("it was {}", ms(*is))),
                unknown: if told { None } else { of_run() },
            });
        }
    }
    goals
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), it| (sum + it, count + 1));
    sum / f64::from(count.max(1))
}
