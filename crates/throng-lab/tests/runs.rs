//! A run says what the server did: nothing wrong, or what it did wrong.

use std::fmt::Write as _;
use std::net::SocketAddr;

use throng_lab::ledger::Verdict;
use throng_lab::runner::{self, Account, Door, Outcome, RunError};
use throng_lab::scenario::Scenario;
use throng_lab::summary::{Ending, Summary};

use crate::double::{Double, Nothing, Sin, WAIT_MS};

/// A small crowd whose people come and go; a second of it.
const SMALL: &str = r#"
name = "small"
says = "four rooms of five with much coming and going"
seconds = 1.0
seed = 3
[users]
count = 20
dresses = ["raw"]
[[rooms]]
name = "room"
count = 4
members = 5
sends_per_second = 50.0
arrivals = "poisson"
[bodies]
bytes_min = 20
bytes_median = 60
bytes_max = 2000
sigma = 1.0
[churn]
reconnect = 1.0
membership = 0.3
stall = 0.1
stall_seconds = 0.2
"#;

/// It, with these settings changed.
pub fn scenario(settings: &[&str]) -> Scenario {
    let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
    Scenario::parse("small", SMALL, &settings).unwrap()
}

/// As many as it has users.
pub fn accounts(scenario: &Scenario) -> Vec<Account> {
    let account = |user: u64| {
        let id = 100 + user;
        Account { id, name: format!("u{user}"), token: id.to_string(), password: None }
    };
    (0..u64::from(scenario.users.count)).map(account).collect()
}

/// The way in.
pub fn door(double: &Double) -> Door {
    Door { address: double.files, raw: Some(double.address), agents: Vec::new() }
}

/// It, against this double.
pub fn run(double: &Double, scenario: &Scenario) -> Result<Outcome, RunError> {
    let accounts = accounts(scenario);
    runner::run(scenario, accounts, door(double), 7, &mut Nothing, &mut |_| {})
}

#[test]
fn a_server_that_keeps_its_promises_passes_through_all_the_coming_and_going() {
    let scenario = scenario(&[]);
    let double = Double::start(Sin::None);
    let outcome = run(&double, &scenario).unwrap();
    let verdict = &outcome.verdict;
    assert!(verdict.is_clean(), "{:?}\n{verdict:#?}", outcome.incomplete);
    assert!(verdict.sends > 100 && verdict.resumed > 5, "{verdict:#?}");
    assert_eq!(verdict.deliveries, verdict.deliveries_due);
    assert_eq!(verdict.sends, verdict.acked + verdict.refused);
    let summary = Summary::new(&scenario, outcome, None);
    assert!(matches!(summary.ending, Ending::Pass | Ending::Invalid), "{:?}", summary.reasons);
    assert!(summary.latency.ack.count > 50);
    assert!(summary.words().contains("deliveries"));
}

#[test]
fn some_sends_ask_where_their_time_went_and_what_they_are_told_is_kept() {
    let nobody = ["churn.reconnect=0", "churn.membership=0", "churn.stall=0"];
    let scenario = scenario(&nobody);
    let outcome = run(&Double::start(Sin::None), &scenario).unwrap();
    let (sends, summary) = (outcome.verdict.sends, Summary::new(&scenario, outcome, None));
    let traces = &summary.traces;
    assert!(sends > 100 && traces.asked >= 2 && traces.asked < sends / 10, "{traces:?} of {sends}");
    assert_eq!(traces.told, traces.asked);
    assert!((traces.stages_us["commit"] - 40.0).abs() < 1e-9);
    let [slow] = traces.slowest.as_slice() else { panic!("{traces:?}") };
    assert_eq!((slow.stages_us["commit"], slow.stages_us["queue"]), (40, 0));
    let outside = slow.client_us as i64 - slow.generator_us as i64;
    assert_eq!(slow.kernel_and_client_us, outside - 40);
    assert!(outside > 0 && outside <= slow.client_us as i64, "{slow:?}");
    assert!(slow.at < 1.0 && summary.words().contains("traced "), "{}", summary.words());
}

/// Some come back to more than can be resumed, and read pages; some pages are refused at first.
#[test]
fn what_is_too_old_to_be_resumed_is_caught_up_by_pages() {
    let scenario = scenario(&["rooms.room.sends_per_second=1000", "churn.reconnect=1"]);
    let double = Double::start(Sin::None);
    let outcome = run(&double, &scenario).unwrap();
    let verdict = &outcome.verdict;
    assert!(verdict.is_clean(), "{:?}\n{verdict:#?}", outcome.incomplete);
    assert!(outcome.refusals["rate_limited"] > 0);
    assert_eq!(verdict.deliveries, verdict.deliveries_due);
}

/// Where one is, and five may come.
const HALL: &str = r#"
says = "five who come to where one is"
seed = 3
[users]
count = 6
dresses = ["raw"]
[[rooms]]
name = "hall"
count = 1
members = 1
sends_per_second = 0.0
arrivals = "constant"
[bodies]
bytes_min = 20
bytes_median = 60
bytes_max = 2000
sigma = 1.0
"#;

/// The five do as these lives say, in phases of such names and lengths.
fn five(phases: &[(&str, f64)], lives: &[&str]) -> Scenario {
    let mut text = format!("name = \"five\"{HALL}");
    for (name, seconds) in phases {
        writeln!(text, "[[phases]]\nname = \"{name}\"\nseconds = {seconds:?}").unwrap();
    }
    for (number, life) in lives.iter().enumerate() {
        writeln!(
            text,
            "[[lives]]\nname = \"life-{number}\"\nfirst = 1\ncount = 5\nrooms = \"hall\"\n\
             arrive_every_seconds = 0.0\nevery_seconds = 0.1\n{life}"
        )
        .unwrap();
    }
    Scenario::parse("five", &text, &[]).unwrap()
}

#[test]
fn who_is_to_come_again_before_it_has_gone_comes_late_and_is_not_forgotten() {
    // The same five who are to go come again in that very moment.
    let lives = ["actions = 2\nleaves_in = \"again\"", "actions = 2\narrives_in = \"again\""];
    let scenario = five(&[("first", 0.4), ("again", 0.4)], &lives);
    let outcome = run(&Double::start(Sin::None), &scenario).unwrap();
    assert!(outcome.verdict.is_clean(), "{:?}\n{:#?}", outcome.incomplete, outcome.verdict);
    assert_eq!(outcome.recorder.arrive.count(), 10);
    assert_eq!(outcome.missing, Vec::<String>::new());
}

/// Five who come after the load has begun, and go before it ends.
fn visitors() -> Scenario {
    five(&[("all", 1.5)], &["actions = 10"])
}

#[test]
fn who_goes_has_heard_all_that_was_known_to_have_been_said() {
    let scenario = visitors();
    let outcome = run(&Double::start(Sin::None), &scenario).unwrap();
    assert!(outcome.verdict.is_clean(), "{:?}\n{:#?}", outcome.incomplete, outcome.verdict);
    assert_eq!(outcome.verdict.doubted, 0, "nobody goes while something is due to it");
    let double = Double::start(Sin::GoSilent);
    let outcome = run(&double, &scenario).unwrap();
    assert!(double.sinned());
    assert!(!outcome.verdict.is_clean(), "{:#?}", outcome.verdict);
}

#[test]
fn who_is_let_wait_by_the_server_is_not_away_by_plan() {
    let scenario = visitors();
    let outcome = run(&Double::start(Sin::LetThemWait), &scenario).unwrap();
    assert!(outcome.verdict.is_clean(), "{:?}\n{:#?}", outcome.incomplete, outcome.verdict);
    let recorder = &outcome.recorder;
    assert_eq!(recorder.catch_up.count(), 0, "nobody is away before it goes");
    assert_eq!(recorder.ack.count(), outcome.verdict.acked);
    let most = recorder.ack.percentiles().max_ms;
    assert!(most > f64::from(WAIT_MS) / 2.0, "what was said while one waited: {most} ms");
}

#[test]
fn every_sin_is_caught() {
    std::thread::scope(|scope| {
        for sin in [
            Sin::DropDelivery,
            Sin::RepeatDelivery,
            Sin::SwapDeliveries,
            Sin::LeakToAnotherRoom,
            Sin::ChangeBody,
            Sin::LieInAck,
            Sin::ForgetPost,
            Sin::ResumeOneTooLate,
            Sin::ResumeOneTooEarly,
        ] {
            scope.spawn(move || {
                assert_caught(sin);
            });
        }
    });
}

/// Each of these is told as if it were true, and believed by whoever does not compare it.
#[test]
fn what_a_server_says_of_itself_is_not_taken_for_so() {
    std::thread::scope(|scope| {
        for sin in [
            Sin::JoinLate,
            Sin::ThrowOut,
            Sin::ShowDeleted,
            Sin::ShowDeletedEdit,
            Sin::SwallowEdit,
            Sin::AlterTime,
            Sin::AlterName,
            Sin::RefuseKept,
            Sin::RefuseLeave,
        ] {
            scope.spawn(move || {
                let verdict = assert_caught(sin);
                let faults = verdict.send_faults.sum() + verdict.delivery_faults.sum();
                assert!(faults > 0, "{sin:?}: the ledger has not seen it: {verdict:#?}");
            });
        }
    });
}

#[test]
fn changes_pass_through_all_the_coming_and_going() {
    let scenario = scenario(&CHANGES);
    let outcome = run(&Double::start(Sin::None), &scenario).unwrap();
    let verdict = &outcome.verdict;
    assert!(verdict.is_clean(), "{:?}\n{verdict:#?}", outcome.incomplete);
    assert!(verdict.changes > 50, "{verdict:#?}");
}

/// The lab waits as long as it has patience, and no longer; what it knows until then is judged.
#[test]
fn what_is_never_answered_leaves_the_run_incomplete() {
    std::thread::scope(|scope| {
        for sin in [Sin::Stall, Sin::NeverAck] {
            scope.spawn(move || {
                // Who comes back asks again, and may be answered then.
                let scenario = scenario(&[&ALL_STAY[..], &["churn.stall=0"]].concat());
                let double = Double::start(sin);
                let outcome = run(&double, &scenario).unwrap();
                assert!(double.sinned(), "{sin:?} did not happen");
                let (unanswered, kept) =
                    (outcome.verdict.unanswered, outcome.verdict.unanswered_kept);
                assert!(unanswered > 0, "{sin:?}: {:#?}", outcome.verdict);
                assert_eq!(kept, u64::from(sin == Sin::NeverAck), "history says which");
                let summary = Summary::new(&scenario, outcome, None);
                assert_eq!(summary.ending, Ending::Incomplete, "{sin:?}: {}", summary.words());
                assert!(summary.reasons[0].contains("did not get on"), "{:?}", summary.reasons);
            });
        }
    });
}

const CHANGES: [&str; 3] = ["changes.edits=0.8", "changes.deletes=0.5", "changes.reactions=0.5"];
const FILES: [&str; 3] = ["changes.files=60", "changes.file_bytes=500", "churn.stall=0"];
/// Nobody goes while a file is on its way to it.
const ALL_STAY: [&str; 2] = ["churn.membership=0", "churn.reconnect=0"];

#[test]
fn files_are_sent_carried_and_fetched_by_members_alone() {
    let scenario = scenario(&[&FILES[..], &ALL_STAY[..]].concat());
    let outcome = run(&Double::start(Sin::None), &scenario).unwrap();
    let verdict = &outcome.verdict;
    assert!(verdict.is_clean(), "{:?}\n{verdict:#?}", outcome.incomplete);
    assert!(verdict.files > 20 && verdict.fetches > verdict.files, "{verdict:#?}");
    assert!(verdict.fetches_refused > 10, "one in no such room asks for each: {verdict:#?}");
    assert_eq!(outcome.recorder.upload.count(), verdict.files);
    assert_eq!(outcome.refusals.get("not_member"), None, "{:?}", outcome.refusals);
    let words = Summary::new(&scenario, outcome, None).words();
    assert!(words.contains("\nfiles ") && words.contains("\nfile fetched"), "{words}");
}

/// Who leaves while it fetches may be refused or not: neither is a fault.
#[test]
fn files_pass_through_all_the_coming_and_going() {
    let scenario = scenario(&FILES);
    let outcome = run(&Double::start(Sin::None), &scenario).unwrap();
    let verdict = &outcome.verdict;
    assert!(verdict.is_clean(), "{:?}\n{verdict:#?}", outcome.incomplete);
    assert!(verdict.files > 0 && verdict.fetches > 0, "{verdict:#?}");
}

#[test]
fn every_sin_against_a_file_is_caught() {
    std::thread::scope(|scope| {
        for sin in
            [Sin::KeepAnotherFile, Sin::LoseFile, Sin::ChangeFile, Sin::LeakFile, Sin::RefuseFile]
        {
            scope.spawn(move || {
                // Who comes or goes meanwhile may get either answer: where all stay each is judged.
                let scenario = scenario(&[&FILES[..], &ALL_STAY[..]].concat());
                let double = Double::start(sin);
                let outcome = run(&double, &scenario).unwrap();
                assert!(double.sinned(), "{sin:?} did not happen");
                let summary = Summary::new(&scenario, outcome, None);
                assert_eq!(summary.ending, Ending::Faults, "{sin:?}: {}", summary.words());
            });
        }
    });
}

fn assert_caught(sin: Sin) -> Verdict {
    let scenario = match sin {
        Sin::ShowDeleted | Sin::ShowDeletedEdit | Sin::SwallowEdit => {
            scenario(&[&CHANGES[..], &ALL_STAY[..], &["churn.stall=0"]].concat())
        }
        Sin::JoinLate | Sin::RefuseLeave => {
            scenario(&["churn.reconnect=0", "churn.stall=0", "churn.membership=1"])
        }
        Sin::ForgetPost | Sin::ResumeOneTooLate | Sin::ResumeOneTooEarly => {
            scenario(&["churn.stall=0"])
        }
        // What is told to a connection that is being lost is heard by nobody, and what is dropped or late
        // heals by a resume: these are looked for without.
        _ => scenario(&["churn.reconnect=0"]),
    };
    let double = Double::start(sin);
    let outcome = run(&double, &scenario).unwrap();
    assert!(double.sinned(), "{sin:?} did not happen");
    let verdict = outcome.verdict.clone();
    let summary = Summary::new(&scenario, outcome, None);
    assert_eq!(summary.ending, Ending::Faults, "{sin:?}: {}", summary.words());
    verdict
}

#[test]
fn a_retry_that_is_posted_twice_is_caught_or_never_came_to_be() {
    let scenario = scenario(&["churn.reconnect=1", "rooms.room.sends_per_second=200"]);
    let double = Double::start(Sin::PostRetryTwice);
    let outcome = run(&double, &scenario).unwrap();
    let summary = Summary::new(&scenario, outcome, None);
    assert_eq!(summary.ending == Ending::Faults, double.sinned(), "{}", summary.words());
}

#[test]
fn a_server_that_dies_ends_the_run_in_order() {
    let double = Double::start(Sin::Die);
    let outcome = run(&double, &scenario(&[])).unwrap();
    assert!(outcome.incomplete.is_some());
    assert!(outcome.verdict.sends > 0, "what was measured is kept");
}

#[test]
fn a_server_that_is_not_there_is_told_at_once() {
    // Nobody else can take the port while it is bound, and nobody listens there.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = bound.local_addr().unwrap().as_socket().unwrap();
    let scenario = scenario(&[]);
    let accounts =
        vec![Account { id: 1, name: "one".into(), token: "1".into(), password: None }; 20];
    let door = Door { address, raw: Some(address), agents: Vec::new() };
    let error = runner::run(&scenario, accounts, door, 7, &mut Nothing, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("Refused"), "{error}");
}
