//! What a process used and counted between the two ends of the measured window.
//!
//! Neighbours: `load` calls at the ends; `process` reads `/proc` and `/metrics`.

use std::collections::BTreeMap;
use std::io;
use std::thread::JoinHandle;

use super::process::{Metrics, Process, scrape};

/// Takes the marks.
#[derive(Debug)]
pub struct Window<'a> {
    process: &'a Process,
    cpu: Vec<u64>,
    threads: Vec<BTreeMap<String, u64>>,
    scrapes: Vec<JoinHandle<io::Result<Metrics>>>,
}

/// What there was between them.
#[derive(Debug)]
pub struct Seen {
    /// CPU nanoseconds.
    pub cpu: u64,
    /// Share of it by thread name, the greatest first.
    pub threads: Vec<(String, f64)>,
    metrics: [Metrics; 2],
}

impl<'a> Window<'a> {
    pub fn of(process: &'a Process) -> Self {
        Self { process, cpu: Vec::new(), threads: Vec::new(), scrapes: Vec::new() }
    }

    /// One end. The scrape runs beside, so that the clients do not wait for it.
    pub fn mark(&mut self) -> io::Result<()> {
        let address = self.process.address;
        self.scrapes.push(std::thread::spawn(move || scrape(address)));
        self.cpu.push(self.process.cpu_nanos()?);
        self.threads.push(self.process.cpu_by_thread()?);
        Ok(())
    }

    /// After both ends.
    pub fn close(self) -> io::Result<Seen> {
        let missing = || io::Error::other("the window has two ends");
        let ([first, last], [before, after]) = (
            <[u64; 2]>::try_from(self.cpu).map_err(|_| missing())?,
            <[_; 2]>::try_from(self.threads).map_err(|_| missing())?,
        );
        let cpu = last.saturating_sub(first);
        let threads = shares(&before, after, cpu);
        let scrapes = self
            .scrapes
            .into_iter()
            .map(|scrape| scrape.join().map_err(|_| io::Error::other("a scrape panicked"))?);
        let metrics: Vec<_> = scrapes.collect::<io::Result<_>>()?;
        let metrics = metrics.try_into().map_err(|_| missing())?;
        Ok(Seen { cpu, threads, metrics })
    }
}

/// What each thread used between the two as a share of `cpu` nanoseconds, the greatest first.
pub fn shares(
    before: &BTreeMap<String, u64>,
    after: BTreeMap<String, u64>,
    cpu: u64,
) -> Vec<(String, f64)> {
    let mut shares: Vec<_> = after
        .into_iter()
        .map(|(name, nanos)| {
            let used = nanos.saturating_sub(before.get(&name).copied().unwrap_or(0));
            (name, used as f64 / cpu.max(1) as f64)
        })
        .collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

impl Seen {
    /// What a counter grew by.
    pub fn grew(&self, name: &str) -> io::Result<f64> {
        Ok(self.metrics[1].get(name)? - self.metrics[0].get(name)?)
    }

    /// Growth of one counter for one of another.
    pub fn ratio(&self, name: &str, of: &str) -> io::Result<f64> {
        Ok(self.grew(name)? / self.grew(of)?)
    }

    /// A gauge at the end.
    pub fn last(&self, name: &str) -> io::Result<f64> {
        self.metrics[1].get(name)
    }
}
