//! The run's tables, by the names of their columns: `series.csv`, what the server counted each second,
//! and `analysis.csv`, a line for each client of a row.
//!
//! Neighbours: `folder` joins them with its seconds. A table or a column that is not there leaves its
//! values out; a line that cannot be read does too.

use std::path::Path;

use super::Second;

/// Lines of a table that are read.
const LINES_MAX: usize = 7 * 24 * 3_600 + 1;

/// One second of the server by its own counters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    /// Messages committed.
    pub committed: Option<f64>,
    /// Offered and not committed, all in all.
    pub lag: Option<f64>,
    /// Syncs of the log.
    pub fsyncs: Option<f64>,
    /// Descriptors that the server had open at the second's end.
    pub descriptors: Option<f64>,
    /// Bytes of the files of its log, and of its whole folder.
    pub files: [Option<f64>; 2],
    /// Microseconds that the mean command took in the server: of its commit, of the fan-out, of all stages.
    pub processing: [Option<f64>; 3],
    /// Deliveries a second, smoothed.
    pub volume_ema: Option<f64>,
    /// Busy share of each core of the machine.
    pub cores: Vec<f64>,
    /// CPU seconds that other programs took.
    pub others: Option<f64>,
    /// Seconds of work a second, by stage.
    pub work: Vec<(String, f64)>,
    /// What else was looked at, by name: CPU seconds taken in the second, and bytes of memory, while it was there.
    pub trees: Vec<(String, Option<(f64, f64)>)>,
}

/// One client of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Client {
    /// Its number.
    pub id: u32,
    /// How many it sent.
    pub messages: u32,
    /// How long its connection took, microseconds.
    pub connect_us: f64,
    /// The median of its round trips.
    pub median_rtt_us: f64,
    /// The row.
    pub phase: String,
}

/// A table: the names of its columns, and its lines.
struct Columns {
    names: Vec<String>,
    lines: Vec<Vec<String>>,
}

impl Columns {
    fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut lines = text.lines().take(LINES_MAX).map(cells);
        let names = lines.next()?;
        let whole = |line: &Vec<String>| line.len() == names.len();
        let lines = lines.filter(whole).collect();
        Some(Self { names, lines })
    }

    fn at(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|it| it == name)
    }

    fn number(&self, line: &[String], name: &str) -> Option<f64> {
        line.get(self.at(name)?)?.parse().ok()
    }

    /// Columns whose name begins so, with the rest of it.
    fn starting<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        let named = self.names.iter().enumerate();
        named.filter_map(move |(at, name)| Some((at, name.strip_prefix(prefix)?)))
    }
}

/// Puts into each second what the server counted in it; how many whole lines there are, if there is a table.
pub fn counted(path: &Path, seconds: &mut [Second]) -> Option<usize> {
    let columns = Columns::read(path)?;
    for (second, line) in seconds.iter_mut().zip(&columns.lines) {
        let number = |name: &str| columns.number(line, name);
        let value = |at: usize| line[at].parse().unwrap_or_default();
        let tree = |name: &str| {
            Some((number(&format!("cpu_of_{name}"))?, number(&format!("memory_of_{name}"))?))
        };
        second.counted = Counted {
            committed: number("committed"),
            lag: number("lag"),
            fsyncs: number("fsyncs"),
            descriptors: number("descriptors"),
            files: ["log_bytes", "folder_bytes"].map(number),
            processing: ["commit_us", "fanout_us", "whole_us"].map(number),
            volume_ema: number("volume_ema"),
            cores: columns.starting("core_").map(|(at, _)| value(at)).collect(),
            others: number("others_cpu"),
            work: columns.starting("work_").map(|(at, it)| (it.to_owned(), value(at))).collect(),
            trees: columns
                .starting("cpu_of_")
                .map(|(_, name)| (name.to_owned(), tree(name)))
                .collect(),
        };
    }
    Some(columns.lines.len())
}

/// The clients of rows, as they were finished.
pub fn clients(path: &Path) -> Vec<Client> {
    let Some(columns) = Columns::read(path) else { return Vec::new() };
    let client = |line: &Vec<String>| {
        let number = |name: &str| columns.number(line, name);
        Some(Client {
            id: number("client_id")? as u32,
            messages: number("messages")? as u32,
            connect_us: number("connect_us")?,
            median_rtt_us: number("median_rtt_us")?,
            phase: line.get(columns.at("phase")?)?.clone(),
        })
    };
    columns.lines.iter().filter_map(client).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_names_and_broken_lines_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("series.csv");
        let text = "new,committed,lag,core_0,core_1,others_cpu,work_commit,cpu_of_db,memory_of_db,descriptors,folder_bytes,whole_us\n\
                    1,20,,0.5,0.25,1.59,0.125,0.75,4096,31,77,950\n1,2,,,,,,,,,,\n1,2\n";
        std::fs::write(&path, text).unwrap();
        let mut seconds = vec![Second::default(); 3];
        assert_eq!(counted(&path, &mut seconds), Some(2), "half a line is none");
        let one = &seconds[0].counted;
        assert_eq!((one.committed, one.lag, one.fsyncs), (Some(20.0), None, None));
        assert_eq!((one.others, seconds[1].counted.others), (Some(1.59), None));
        assert_eq!(one.cores, [0.5, 0.25]);
        assert_eq!((one.descriptors, one.files), (Some(31.0), [None, Some(77.0)]));
        assert_eq!(one.processing, [None, None, Some(950.0)]);
        assert_eq!(one.work, [("commit".to_owned(), 0.125)]);
        assert_eq!(one.trees, [("db".to_owned(), Some((0.75, 4_096.0)))]);
        assert_eq!(seconds[1].counted.trees, [("db".to_owned(), None)], "it has ended");
        assert_eq!(seconds[2].counted, Counted::default());
        std::fs::write(
            &path,
            "client_id,messages,connect_us,median_rtt_us,phase\n7,70,51,40,up\nx",
        )
        .unwrap();
        let clients = clients(&path);
        assert_eq!((clients.len(), clients[0].id, &*clients[0].phase), (1, 7, "up"));
        assert!(super::clients(&folder.path().join("nowhere")).is_empty());
    }
}
