//! The whole search against synthetic servers whose limit is known.

use super::*;
use crate::recorder::Sample;
use crate::report::folder::{Cost, Manifest, Second, Summary};
use crate::runner::Outcome;
use crate::scenario::Scenario;
use crate::summary;

/// A server with two cores whose latency is that of one queue, full at `knee`.
fn server(size: f64, knee: f64) -> Folder {
    let load = size / knee;
    let wait = if load < 1.0 { 5.0 / (1.0 - load) } else { 60_000.0 };
    let mut manifest = Manifest::default();
    (manifest.machine.cores, manifest.machine.memory_bytes) = (2, 1 << 33);
    let cpu = 1.9 * load.min(1.0);
    let second =
        Second { seconds: 1.0, server_cpu: cpu, generator_cpu: 0.1 * cpu, ..Second::default() };
    let mut summary = Summary { ending: Ending::Pass, ..Summary::default() };
    summary.latency.delivery =
        Percentiles { count: 1_000, p50_ms: wait / 4.0, p99_ms: wait, ..Percentiles::default() };
    summary.rates.deliveries = 10.0 * size.min(knee);
    summary.cost = Some(Cost::default());
    Folder {
        manifest,
        seconds: vec![second; 10],
        lines: Vec::new(),
        clients: Vec::new(),
        profile: None,
        summary,
    }
}

fn wanted(out: &Path) -> Wanted {
    Wanted {
        scenario: "synthetic".into(),
        unit: "users",
        whole: true,
        sizes: [100.0, 1.0, 20_000.0],
        slo: Slo::parse("p50=100ms,p99=200ms").unwrap(),
        on: On::Delivery,
        shortened: Some("plateau 30 s instead of 183.5 s".into()),
        seconds: 158.5,
        out: out.to_owned(),
    }
}

#[test]
fn a_server_that_is_full_is_found_with_what_ran_out_and_its_curve() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    // 5 ms / (1 − load) is 200 ms at a load of 0.975: 1,950 users of 2,000.
    let mut run = |Asked { size, .. }: Asked<'_>| Ok(server(size, 2_000.0));
    let it = find(wanted(folder.path()), &mut run, &mut said).unwrap();
    let End::Found { holds, breaks } = it.end else { panic!("{:?}", it.end) };
    assert!((1_850.0..=1_950.0).contains(&holds) && breaks > 1_950.0, "{holds} {breaks}");
    let sentence = it.sentence();
    assert!(sentence.contains("deliveries/s at p99 ≤ 200 ms"), "{sentence}");
    assert!(sentence.contains("limited by CPU"), "{sentence}");
    assert!(it.words().contains("plateau 30 s instead of 183.5 s"));
    assert!(
        it.fit
            .and_then(|it| it.law)
            .is_some_and(|law| (law.at(1_000.0) / 10_000.0 - 1.0).abs() < 0.2),
        "{:?}",
        it.fit
    );
    let json: Value = serde_json::from_slice(&std::fs::read(it.write().unwrap()).unwrap()).unwrap();
    assert_eq!((&json["schema"], &json["limit"]), (&2.into(), &"cpu".into()));
    assert!(json["fit"]["told"].as_f64() > Some(0.9) && json["fit"]["law"].is_object(), "{json}");
    assert_eq!(json["steps"].as_array().unwrap().len(), it.tried.len());
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said.lines().count(), it.tried.len() * 2, "a line before each step, and one after");
    assert!(said.starts_with("step 1: 100 users (climb), 159 s of load …\n"), "{said}");
    assert!(said.contains("(confirm 3 of 3): held"), "{said}");
}

#[test]
fn a_generator_that_ends_first_gives_at_least() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = |Asked { size, .. }: Asked<'_>| {
        let mut folder = server(size, 100_000.0);
        if size > 700.0 {
            folder.summary.ending = Ending::Invalid;
            folder.summary.reasons = vec!["its share of a core was 0.99".into()];
        }
        Ok(folder)
    };
    let it = find(wanted(folder.path()), &mut run, &mut Vec::new()).unwrap();
    assert!(matches!(it.end, End::AtLeast { generator: true, .. }), "{:?}", it.end);
    let sentence = it.sentence();
    assert!(sentence.starts_with("At least ") && sentence.contains("limited by generator"));
}

/// By its mean over ten steps it would not be full below twice as many.
#[test]
fn a_generator_that_is_full_in_the_last_of_ten_steps_alone_is_what_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = Scenario::load("spammers", &[]).unwrap();
    let mut run = |Asked { size, .. }: Asked<'_>| {
        let second = |at: u32| {
            let step = f64::from(at / 10 + 1) / 10.0;
            let generator_cpu = (size / 1_000.0 * step).min(1.0);
            Sample { seconds: 1.0, generator_cpu, ..Sample::default() }
        };
        let samples = (0..100).map(second).collect();
        let outcome = Outcome { samples, ..Outcome::of_nothing(&scenario) };
        let judged = summary::Summary::new(&scenario, outcome, None);
        let judged: Summary = serde_json::from_value(json!(judged)).unwrap();
        let mut folder = server(size, 100_000.0);
        (folder.summary.ending, folder.summary.reasons) = (judged.ending, judged.reasons);
        Ok(folder)
    };
    let it = find(wanted(folder.path()), &mut run, &mut Vec::new()).unwrap();
    let End::AtLeast { holds, generator: true } = it.end else { panic!("{:?}", it.end) };
    assert!((850.0..=900.0).contains(&holds), "{holds}");
    let sentence = it.sentence();
    let why = "limited by generator: the generator's share of a core in its busiest 3 s was 0.9";
    assert!(sentence.contains(why), "{sentence}");
}

#[test]
fn a_server_that_breaks_promises_at_any_size_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = |Asked { size, .. }: Asked<'_>| {
        let mut folder = server(size, 1_000.0);
        folder.summary.ending = Ending::Faults;
        folder.summary.reasons = vec!["3 faults".into()];
        Ok(folder)
    };
    let it = find(wanted(folder.path()), &mut run, &mut Vec::new()).unwrap();
    assert_eq!(it.end, End::Nothing);
    assert!(it.sentence().contains("faults: 3 faults"), "{}", it.sentence());
}

/// From 500 users on a neighbour takes a core and a half.
#[test]
fn a_size_that_gave_way_beside_other_programs_is_not_the_servers_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = |Asked { size, .. }: Asked<'_>| {
        if size < 500.0 {
            return Ok(server(size, 4_000.0));
        }
        let mut folder = server(size, 500.0);
        for second in &mut folder.seconds {
            (second.server_cpu, second.counted.others) = (0.3, Some(1.5));
        }
        let disturbed = Some("they took the machine".to_owned());
        let (cores, mean_cores) = (2, Some(1.5));
        let others = OtherPrograms { cores, mean_cores, disturbed, ..OtherPrograms::default() };
        folder.summary.other_programs = Some(others);
        Ok(folder)
    };
    let mut said = Vec::new();
    let it = find(wanted(folder.path()), &mut run, &mut said).unwrap();
    let End::Found { holds, .. } = it.end else { panic!("{:?}", it.end) };
    assert!((470.0..500.0).contains(&holds), "{holds}");
    let sentence = it.sentence();
    assert!(sentence.contains(", limited by other programs: in the busiest tenth"), "{sentence}");
    let words = it.words();
    let second = words.lines().nth(1).unwrap();
    assert!(second.starts_with("NOT ALONE: beside "), "{words}");
    assert!(second.ends_with("other programs took 1.50 of 2 cores meanwhile."), "{words}");
    let json = it.json();
    assert_eq!((&json["limit"], &json["not_alone"]), (&"others".into(), &second.into()));
    assert_eq!(json["steps"][0]["other_programs"], Value::Null);
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("; NOT ALONE: they took the machine\n"), "{said}");
}

#[test]
fn what_was_not_measured_is_not_taken_for_quick() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = |Asked { size, .. }: Asked<'_>| Ok(server(size, 1_000.0));
    let on_acks = Wanted { on: On::Ack, ..wanted(folder.path()) };
    let it = find(on_acks, &mut run, &mut Vec::new()).unwrap();
    assert!(it.sentence().contains("no ack was measured"), "{}", it.sentence());
    let none = Wanted { sizes: [1.0, 5.0, 2.0], ..wanted(folder.path()) };
    assert!(find(none, &mut run, &mut Vec::new()).is_err());
}

/// A signal, a port that is taken, a disk that is full: hours before it are not lost.
#[test]
fn what_was_tried_before_a_step_that_could_not_be_made_is_kept_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut steps = 0;
    let mut run = |Asked { size, .. }: Asked<'_>| {
        steps += 1;
        if steps == 7 { Err(CapacityError::Stopped) } else { Ok(server(size, 1_000.0)) }
    };
    let it = find(wanted(folder.path()), &mut run, &mut Vec::new()).unwrap();
    assert!(it.end == End::Cut && it.tried.len() == 6, "{:?}", it.end);
    let sentence = it.sentence();
    assert!(sentence.starts_with("Cut short after 6 steps (stopped by a signal), so nothing"));
    assert!(
        sentence.contains(" users held, ") && sentence.ends_with(" users gave way."),
        "{sentence}"
    );
    let json: Value = serde_json::from_slice(&std::fs::read(it.write().unwrap()).unwrap()).unwrap();
    assert_eq!(json["end"], json!({ "kind": "cut", "why": "stopped by a signal" }));
    assert_eq!(json["steps"].as_array().unwrap().len(), 6);
    let first = &mut |_: Asked<'_>| Err(CapacityError::Stopped);
    assert!(find(wanted(folder.path()), first, &mut Vec::new()).is_err(), "nothing was tried");
}

/// Three runs of one size: nothing was climbed, and nothing is known of what would give way.
#[test]
fn one_size_that_holds_says_what_was_not_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut steps = Vec::new();
    let mut run = |Asked { size, step, out }: Asked<'_>| {
        assert!(out.ends_with(format!("step-{step:02}")));
        steps.push(step);
        Ok(server(size, 100_000.0))
    };
    let one = Wanted { sizes: [1_500.0, 1.0, 1_500.0], ..wanted(folder.path()) };
    let it = find(one, &mut run, &mut Vec::new()).unwrap();
    assert_eq!(steps, [1, 2, 3, 4], "found, and confirmed three times");
    let sentence = it.sentence();
    let why = "; 1,500 is the largest size allowed (--max), and it held: no other size was tried: no climb, no \
               curve, and what limits the server was not looked for.";
    assert!(sentence.starts_with("At least 1,500 users") && sentence.ends_with(why), "{sentence}");
    assert!(!sentence.contains("limited by"), "{sentence}");
    let words = it.words();
    assert!(words.contains("curve  none: 1 of the sizes tried say"), "{words}");
    let json = it.json();
    assert_eq!((&json["limit"], &json["fit"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_climb_that_ends_at_the_largest_size_allowed_says_whose_bound_that_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = |Asked { size, .. }: Asked<'_>| Ok(server(size, 100_000.0));
    let climb = Wanted { sizes: [500.0, 1.0, 4_000.0], ..wanted(folder.path()) };
    let it = find(climb, &mut run, &mut Vec::new()).unwrap();
    assert_eq!(it.end, End::AtLeast { holds: 4_000.0, generator: false });
    let sentence = it.sentence();
    let why = "4,000 is the largest size allowed (--max), and it held: that bound is the command's and not the \
               server's, and what limits the server was not looked for.";
    assert!(sentence.ends_with(why), "{sentence}");
    assert!(it.fit.is_some() && it.json()["limit"].is_null());
}

/// From 1,000 users on runs break off, and had delivered next to nothing by then.
#[test]
fn what_broke_off_or_broke_a_promise_is_in_no_curve() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = |Asked { size, .. }: Asked<'_>| {
        let mut folder = server(size, 100_000.0);
        if size > 1_000.0 {
            folder.summary.ending = Ending::Incomplete;
            folder.summary.rates.deliveries = 1.0;
        }
        Ok(folder)
    };
    let it = find(wanted(folder.path()), &mut run, &mut Vec::new()).unwrap();
    assert!(it.tried.iter().any(|it| !it.whole && it.came == Step::Broke));
    let power = it.fit.unwrap().power;
    assert!((power.exponent - 1.0).abs() < 1e-6 && power.told > 0.999, "{power:?}");
}
