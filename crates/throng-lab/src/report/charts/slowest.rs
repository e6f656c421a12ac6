//! The slowest of the messages whose acks said where their time went, as bars of its parts.
//!
//! Neighbours: `charts` puts it among the others; a run without such messages has none, and `tables` says
//! so.

use crate::report::chart::{Bar, Chart, Kind};
use crate::report::folder::{Folder, SlowTrace};
use crate::report::words::number;

/// Parts between the generator's, which is the lowest, and what is in none: the server's stages. Those that are
/// microseconds stand with a neighbour, so that each part has a colour of its own.
const PARTS: [(&str, &[&str]); 4] = [
    ("decode, authorize", &["decode", "authorize"]),
    ("queue", &["queue"]),
    ("decide, commit", &["decide", "commit"]),
    ("fanout", &["fanout"]),
];

/// One, where something was traced.
pub fn of(run: &Folder) -> Option<Chart> {
    let traces = run.summary.traces.as_ref().filter(|it| !it.slowest.is_empty())?;
    let stages = PARTS.iter().map(|it| it.0);
    let names = ["generator"].into_iter().chain(stages).chain([traces.rest_of()]);
    let names = names.map(str::to_owned).collect();
    let count = traces.slowest.len();
    let which = if count == 1 { "The slowest".to_owned() } else { format!("The slowest {count}") };
    Some(Chart {
        id: "slowest".to_owned(),
        title: format!(
            "{which} of {} traced sends{}",
            number(traces.told as f64),
            run.summary.whose_word()
        ),
        unit: "ms to the ack".to_owned(),
        across: "the slowest first; when each was intended, seconds from the beginning of the load"
            .to_owned(),
        kind: Kind::Stacks { names, bars: traces.slowest.iter().map(bar).collect() },
        right: None,
        marks: Vec::new(),
    })
}

fn bar(slow: &SlowTrace) -> Bar {
    let us = |stage: &&str| slow.stages_us.get(*stage).copied().unwrap_or_default();
    let stages = PARTS.iter().map(|(_, stages)| stages.iter().map(us).sum::<f64>());
    let all = [slow.generator_us].into_iter().chain(stages).chain([slow.kernel_and_client_us]);
    let parts = all.map(|us| us / 1e3).collect();
    Bar { name: format!("{:.1}", slow.at), parts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::COLOURS;
    use crate::report::charts::tests::run;
    use crate::report::folder::Traces;

    #[test]
    fn each_of_the_slowest_is_a_bar_that_is_as_high_as_its_ack_was_late() {
        let mut run = run(4);
        assert_eq!(of(&run), None);
        let us = |name: &str, us: f64| (name.to_owned(), us);
        let slow = SlowTrace {
            at: 3.25,
            client_us: 9_000.0,
            generator_us: 1_000.0,
            stages_us: [us("decode", 300.0), us("authorize", 200.0), us("commit", 7_000.0)].into(),
            kernel_and_client_us: 500.0,
        };
        let slowest = vec![slow.clone(), slow];
        let generator_us = Some(400.0);
        run.summary.traces = Some(Traces { told: 150, generator_us, slowest, ..Traces::default() });
        let chart = of(&run).unwrap();
        assert_eq!(chart.title, "The slowest 2 of 150 traced sends");
        let Kind::Stacks { names, bars } = &chart.kind else { panic!("{chart:?}") };
        assert_eq!((names.len(), bars.len()), (6, 2));
        assert_eq!(bars[0].parts, [1.0, 0.5, 0.0, 7.0, 0.0, 0.5]);
        assert!((bars[0].parts.iter().sum::<f64>() - 9.0).abs() < 1e-9);
        assert_eq!([&names[0], &names[5]], ["generator", "kernel and client"]);
        assert_eq!(names.len(), COLOURS, "each has a colour of its own");
        // Folders of before did not tell what waited in the generator: it is in the rest.
        run.summary.traces.as_mut().unwrap().generator_us = None;
        let Kind::Stacks { names, .. } = of(&run).unwrap().kind else { panic!("{chart:?}") };
        assert_eq!(names[5], "generator, kernel and client");
    }
}
