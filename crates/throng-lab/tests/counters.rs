//! A server whose own counters are not what its clients saw is not believed in what it counts of itself, and the
//! report says so.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use throng_lab::monitor::holds::Holder;
use throng_lab::report::{Folder, Form};
use throng_lab::runner::{self, Watch};
use throng_lab::summary::{Ending, Present, Summary};
use throng_lab::witness::{Told, Witness};

use crate::double::{Double, Sin};
use crate::runs::{accounts, door, scenario};

/// Tells the witness when load begins and when all is said.
struct Telling(SyncSender<Told>);

impl Watch for Telling {
    fn server(&mut self) -> Option<(Duration, u64)> {
        None
    }
    fn steal(&mut self) -> f64 {
        0.0
    }
    fn load_begins(&mut self) {
        self.0.send(Told::Begins).unwrap();
    }
    fn drained(&mut self) {
        self.0.send(Told::Drained).unwrap();
    }
    fn stop(&mut self) -> Option<String> {
        None
    }
}

/// A second of people who come and go by leaving and joining, witnessed; and the folder's page.
fn run(sin: Sin) -> (Summary, String) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let scenario = scenario(&["churn.reconnect=0", "churn.stall=0"]);
    let double = Double::start(sin);
    let holder = Holder { pid: None, folder: None };
    let witness = Witness::new(out, double.files, holder, None, Vec::new(), 7).unwrap();
    let (tell, told) = sync_channel(100);
    let (outcome, witnessed) = std::thread::scope(|scope| {
        let watching = scope.spawn(move || witness.watch(&told, |_| {}));
        let mut watch = Telling(tell.clone());
        let mut sample = |it: &_| tell.send(Told::Sample(Box::new(Clone::clone(it)))).unwrap();
        let (accounts, door) = (accounts(&scenario), door(&double));
        let outcome = runner::run(&scenario, accounts, door, 7, &mut watch, &mut sample).unwrap();
        drop((tell, watch));
        (outcome, watching.join().unwrap().finish().0)
    });
    assert!(outcome.verdict.is_clean(), "{:?}\n{:#?}", outcome.incomplete, outcome.verdict);
    let samples = outcome.samples.clone();
    let mut summary = Summary::new(&scenario, outcome, None);
    summary.counted(witnessed.work, witnessed.whole, &samples, Present::default());
    std::fs::write(out.join("manifest.json"), r#"{"schema": 3, "scenario": {}}"#).unwrap();
    std::fs::write(out.join("summary.json"), serde_json::to_vec(&summary).unwrap()).unwrap();
    let page = Form::Html.of(&Folder::read(out).unwrap());
    (summary, String::from_utf8(page).unwrap())
}

#[test]
fn counters_that_say_what_the_clients_saw_are_believed_and_shown() {
    let (summary, page) = run(Sin::None);
    let work = summary.believed().unwrap_or_else(|| panic!("{:?}", summary.server_work));
    assert!(work.sends > 100 && (work.ack_us["commit"] - 1.0).abs() < 1e-3, "{work:?}");
    assert!(matches!(summary.ending, Ending::Pass | Ending::Invalid), "{:?}", summary.reasons);
    assert!(!page.contains("differ from what was seen"));
    assert!(page.contains("id=\"processing\"") && page.contains("the mean ack&#39;s time went"));
}

#[test]
fn counters_that_lie_are_named_with_how_much_and_their_stages_are_not_shown() {
    for (sin, what, percent) in [
        (Sin::CountPostsTwice, "sends", 100.0),
        (Sin::CountHalfOfDeliveries, "deliveries", -50.0),
        (Sin::CountAcksTwice, "posts answered", 100.0),
    ] {
        let (summary, page) = run(sin);
        let work = summary.server_work.as_ref().unwrap();
        let [differs] = work.differs.as_slice() else { panic!("{sin:?}: {:?}", work.differs) };
        assert!(differs.what == what && (differs.by_percent - percent).abs() < 1.0, "{differs:?}");
        assert_not_shown(&summary, &page);
    }
}

#[test]
fn stages_that_are_longer_than_the_acks_they_are_a_part_of_are_not_shown() {
    let (summary, page) = run(Sin::CountLongStages);
    let differs = &summary.server_work.as_ref().unwrap().differs;
    assert_eq!(
        (differs.len(), differs[0].what),
        (1, "µs of the mean ack outside the generator"),
        "{differs:?}"
    );
    assert!(differs[0].by_percent > 100.0, "{differs:?}");
    assert_not_shown(&summary, &page);
}

fn assert_not_shown(summary: &Summary, page: &str) {
    let work = summary.server_work.as_ref().unwrap();
    assert!(work.stages.is_empty() && work.ack_us.is_empty() && summary.believed().is_none());
    let said = "the server's own counters differ from what was seen by ";
    let words = summary.words();
    assert!(words.contains(said) && !words.contains("\nstages "), "{words}");
    assert!(page.contains("counters differ from what was seen by "), "no word of it");
    // Where the mean ack's time went is still told of the lab's own part.
    for shown in ["id=\"processing\"", "id=\"work\"", "id=\"flow\""] {
        assert!(!page.contains(shown), "{shown}");
    }
    let word = " (by a server whose counters differ from what was seen)";
    assert!(page.matches(word).count() >= 2, "single messages, as a table and a chart");
}
