//! The storms, a soak and those who mean ill, in their short forms: what each must put out is there.

use crate::scenarios::{read, short};

#[test]
fn everybody_who_loses_the_connection_at_once_resumes() {
    let done = short("reconnect-all", &[]);
    assert!(done.summary["ledger"]["resumed"].as_u64().unwrap() >= 100, "{}", done.said);
    assert_eq!(done.came("all-resumed"), "met", "{}", done.said);
    assert_eq!(done.came("by-token"), "met", "{}", done.said);
}

#[test]
fn a_hot_room_is_joined_by_all_who_come_with_its_history() {
    let done = short("join-hot-room", &[]);
    assert_eq!(done.summary["latency"]["arrive"]["count"], 50);
    assert_eq!(done.came("all-entered"), "met", "{}", done.said);
    // A machine that stalls in the second half may miss the bound; that both halves are told is of all machines.
    let entries = &done.summary["entries"];
    let of = |key: &str| entries[key].as_f64().unwrap();
    let all = of("first_half_seconds") + of("second_half_seconds");
    let slowest = done.summary["latency"]["enter"]["max_ms"].as_f64().unwrap() / 1e3;
    assert_eq!(entries["count"], 50, "{}", done.said);
    assert!(entries["halves"].is_number() && slowest * 0.99 <= all, "{entries}: {}", done.said);
    assert_eq!(done.came("linear") == "met", of("halves") <= 1.5, "{}", done.said);
    assert!(done.said.contains("\nentries     50 came in: the first half in "), "{}", done.said);
}

#[test]
fn readers_that_stall_and_passwords_that_wait_hold_nobody_up_for_good() {
    let slow = short("slow-readers", &[]);
    assert!(slow.summary["latency"]["catch_up"]["count"].as_u64().unwrap() > 100);
    let login = short("login-storm", &[]);
    assert_eq!(login.summary["latency"]["arrive"]["count"], 20, "{}", login.said);
}

#[test]
fn a_soak_looks_at_descriptors_and_files_and_two_seconds_of_it_have_no_slope() {
    let done = short("soak", &[]);
    assert_eq!(done.came("memory-slope"), "unmeasured", "{}", done.said);
    assert_eq!(done.came("descriptor-slope"), "unmeasured", "{}", done.said);
    let why = done.summary["slopes"]["descriptors"]["unmeasured"].as_str().unwrap();
    assert!(why.contains("a slope needs 240"), "{why}");
    let series = String::from_utf8(read(&done.out, "series.csv")).unwrap();
    let mut lines = series.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let line = lines.next().unwrap();
    let number = |name: &str| -> u64 {
        line[names.iter().position(|it| *it == name).unwrap()].parse().unwrap()
    };
    // Forty users' sockets; a log whose first turns were committed.
    assert!(number("descriptors") > 40, "{line:?}");
    assert!(number("log_bytes") > 0 && number("folder_bytes") > number("log_bytes"), "{line:?}");
}

#[test]
fn those_who_mean_ill_are_refused_in_each_way_and_told_of_no_room() {
    let done = short("hostile-mix", &[]);
    let ill = &done.summary["abused"];
    assert_eq!(ill["leaks"], 0, "{}", done.said);
    let count = |kind: &str, what: &str| ill["answers"][kind][what].as_u64().unwrap_or_default();
    assert!(count("oversize", "body_too_long") > 0, "{}", done.said);
    assert!(
        count("malformed", "refused to speak") + count("malformed", "cut") > 0,
        "{}",
        done.said
    );
    assert!(count("flap", "left") > 0, "{}", done.said);
    assert!(count("probe", "not_member") > 0, "{}", done.said);
    assert!(count("guess", "wrong_credentials") > 0, "{}", done.said);
    // An ack may be cut with its connection; what it stands for was told to the others.
    let posted = count("flood", "posted") + count("flood", "event");
    assert!(posted > 0 && count("flood", "rate_limited") > 0, "{}", done.said);
    assert!(count("typing", "done") > 0 && count("typing", "not_member") > 0, "{}", done.said);
    let flood = short("flood", &[]);
    let answers = &flood.summary["abused"]["answers"]["flood"];
    assert!(answers["rate_limited"].as_u64().unwrap() > 0, "{}", flood.said);
    // They cost the machine something, and it is told whose that is.
    let share = flood.summary["abused"]["cpu_share"].as_f64().unwrap();
    assert!(
        share > 0.0 && flood.said.contains("in a thread beside the generator's"),
        "{}",
        flood.said
    );
    let series = String::from_utf8(read(&flood.out, "series.csv")).unwrap();
    let mut rows = series.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let at = rows.next().unwrap().iter().position(|it| *it == "abusers_cpu").unwrap();
    let each: Vec<f64> = rows.map(|row| row[at].parse().unwrap()).collect();
    let seconds = flood.summary["load_seconds"].as_f64().unwrap();
    // To a thousandth of a second in each line.
    let (sum, most) = (each.iter().sum::<f64>(), 0.001 * (each.len() + 1) as f64);
    assert!((sum - share * seconds).abs() < most, "{sum} {share} {series}");
}
