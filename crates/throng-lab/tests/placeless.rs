//! A server that tells no places: what it surely owed is judged, what may have been owed is printed, and no run
//! against it is a pass.

use throng_lab::ledger::Unproved;
use throng_lab::report::{Folder, Form};
use throng_lab::summary::{Ending, Summary};

use crate::double::{Double, Sin};
use crate::runs::{run, scenario};

fn summary(sin: Sin, settings: &[&str]) -> Summary {
    let scenario = scenario(&[&["churn.stall=0"], settings].concat());
    let double = Double::without_places(sin);
    let outcome = run(&double, &scenario).unwrap();
    assert!(sin == Sin::None || double.sinned(), "{sin:?} did not happen");
    assert_eq!(outcome.incomplete, None);
    Summary::new(&scenario, outcome, None)
}

fn unproved(summary: &Summary) -> Unproved {
    assert!(
        matches!(summary.ending, Ending::Unproved | Ending::Invalid),
        "{:?}\n{}",
        summary.reasons,
        summary.words()
    );
    summary.ledger.unproved.unwrap()
}

#[test]
fn who_stays_is_owed_all_and_yet_it_is_no_pass() {
    let summary = summary(Sin::None, &["churn.reconnect=0", "churn.membership=0"]);
    let found = unproved(&summary);
    let heard = summary.ledger.deliveries;
    assert_eq!((found.rooms, found.due, found.in_doubt), (4, heard, 0), "{}", found.words());
    assert!(found.acked > 100 && summary.ledger.rooms_read == 0);
    assert_eq!(summary.grade, None);
}

#[test]
fn what_is_said_while_some_come_and_go_is_in_the_window_of_doubt_and_is_printed() {
    let summary = summary(Sin::None, &["churn.reconnect=1", "churn.membership=0.5"]);
    let found = unproved(&summary);
    assert!(found.in_doubt > 0 && found.due > found.in_doubt, "{}", found.words());
    let page = page(&summary);
    assert!(summary.words().contains("the window of doubt"), "{}", summary.words());
    if summary.ending == Ending::Unproved {
        assert!(page.contains("the window of doubt"), "not in the report");
        assert!(page.contains("Unproved, which is no pass") && !page.contains("<b>Pass"));
        assert!(summary.words().contains(": UNPROVED: "), "{}", summary.words());
    }
}

fn page(summary: &Summary) -> String {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("manifest.json", r#"{"schema": 3, "scenario": {}}"#);
    write("samples.jsonl", "");
    write("summary.json", &serde_json::to_string(summary).unwrap());
    String::from_utf8(Form::Html.of(&Folder::read(folder.path()).unwrap())).unwrap()
}

#[test]
fn what_can_be_known_without_places_is_caught_without_them() {
    std::thread::scope(|scope| {
        for sin in [Sin::DropDelivery, Sin::RepeatDelivery, Sin::LeakToAnotherRoom, Sin::ChangeBody]
        {
            scope.spawn(move || {
                let summary = summary(sin, &["churn.reconnect=0", "churn.membership=0"]);
                assert_eq!(summary.ending, Ending::Faults, "{sin:?}: {}", summary.words());
            });
        }
    });
}
