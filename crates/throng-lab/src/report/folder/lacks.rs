//! What of a run's evidence is not there any more: a file that was taken away, or one that was cut.
//!
//! Neighbours: `folder` reads what there is; `verdict` says what is told here, and leaves out causes that need what
//! is not there. Folders of the first schemas had fewer files.

use super::{Second, Summary};
use crate::report::words::number;

/// From here on every run that offers load writes `series.csv`.
const SERIES_SINCE: u32 = 3;
/// The samples make up the load to the last microsecond; so much is for rounding.
const SECONDS_APART: f64 = 0.1;

/// Looks what there should be: the load that the summary tells of, a line of `series.csv` for each sample, clients
/// where there are rows.
pub fn look(
    summary: &mut Summary,
    schema: u32,
    seconds: &[Second],
    (counted, clients): (Option<usize>, usize),
) {
    let sampled: f64 = seconds.iter().map(|it| it.seconds).sum();
    let load = summary.load_seconds;
    let tenths = |value: f64| number((value * 10.0).round() / 10.0);
    if sampled < load - SECONDS_APART {
        summary.samples_cut = true;
        let what = format!("samples.jsonl has {} of {} seconds", tenths(sampled), tenths(load));
        summary.lacks.push(what);
    }
    match counted {
        None if schema >= SERIES_SINCE && load > 0.0 => {
            summary.lacks.push("series.csv is not there".to_owned());
        }
        Some(lines) if lines < seconds.len() => {
            let all = seconds.len();
            summary.lacks.push(format!("series.csv has {lines} of {all} whole lines"));
        }
        _ => {}
    }
    let of_rows: u64 = summary.rows.iter().map(|it| it.clients).sum();
    if (clients as u64) < of_rows {
        let what = match clients {
            0 => "analysis.csv is not there".to_owned(),
            _ => format!("analysis.csv has {clients} of {of_rows} clients"),
        };
        summary.lacks.push(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::folder::Row;

    fn lacking(seconds: usize, counted: Option<usize>, clients: usize, schema: u32) -> Summary {
        let rows = vec![Row { clients: 3, ..Row::default() }];
        let mut summary = Summary { load_seconds: 2.000_04, rows, ..Summary::default() };
        let second = Second { seconds: 1.0, ..Second::default() };
        look(&mut summary, schema, &vec![second; seconds], (counted, clients));
        summary
    }

    #[test]
    fn what_was_cut_or_taken_away_is_told_and_what_is_whole_is_not() {
        let whole = lacking(2, Some(2), 3, 3);
        assert!(whole.lacks.is_empty() && !whole.samples_cut);
        let cut = lacking(1, Some(2), 3, 3);
        assert!(cut.samples_cut);
        assert_eq!(cut.lacks, ["samples.jsonl has 1 of 2 seconds"]);
        let gone = lacking(2, None, 0, 3);
        assert_eq!(gone.lacks, ["series.csv is not there", "analysis.csv is not there"]);
        assert!(!gone.samples_cut);
        let halves = lacking(2, Some(1), 1, 3);
        let said = ["series.csv has 1 of 2 whole lines", "analysis.csv has 1 of 3 clients"];
        assert_eq!(halves.lacks, said);
        assert!(lacking(2, None, 3, 1).lacks.is_empty(), "the first folders had no series");
    }
}
