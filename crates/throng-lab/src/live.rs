//! A run as it goes, on a terminal: a block of lines that is drawn again each second.
//!
//! Neighbours: `run` shows a sample at a time, by this or by plain lines where there is no terminal.
//! Lines are narrower than any terminal, so that none is broken and the block stays in its place.

use std::collections::VecDeque;
use std::fmt::Write as _;

use crate::recorder::{Percentiles, Sample};

/// Seconds that the curve shows.
const CURVE: usize = 60;
/// Of the bar of progress.
const BAR: usize = 30;
/// Heights of the curve.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// No line is wider.
const WIDTH: usize = 79;

/// A second in one plain line, where there is no terminal; `seconds` is how long the whole load is.
pub(crate) fn line_of(sample: &Sample, seconds: f64) -> String {
    let none = || "\u{2013}".to_owned();
    let ms = |it: &Percentiles, value: f64| {
        if it.count > 0 { format!("{value:.2}") } else { none() }
    };
    let percent = |cpu: f64| format!("{:.0}", cpu * 100.0);
    let server = server_cpu(sample).map_or_else(none, percent);
    let beside = sample.beside_cpu.map(|it| format!("  beside {:>3.0} %", it.max(0.0) * 100.0));
    let beside = beside.unwrap_or_default();
    format!(
        "{:>4} of {seconds:.0} s  {:>6} sent {:>6} acked {:>8} delivered  ack p50 {:>6} p99 {:>7} ms  \
         delivery p99 {:>7} ms  server {server:>3} %  lab {:>3} %{beside}",
        sample.second + 1,
        sample.sent,
        sample.acked,
        sample.deliveries,
        ms(&sample.ack, sample.ack.p50_ms),
        ms(&sample.ack, sample.ack.p99_ms),
        ms(&sample.delivery, sample.delivery.p99_ms),
        percent(sample.generator_cpu),
    )
}

/// CPU of the server's process in a second, where it is ours to see: every process has some memory.
pub(crate) fn server_cpu(sample: &Sample) -> Option<f64> {
    let seen = sample.server_rss_bytes > 0 || sample.server_cpu > 0.0;
    seen.then_some(sample.server_cpu)
}

/// What has been seen so far.
#[derive(Debug)]
pub struct Live {
    name: String,
    seconds: f64,
    curve: VecDeque<f64>,
    dropped: u64,
    late: u64,
    refused: u64,
    ended: u64,
    overflows: u64,
    /// Lines of the block that stands on the screen.
    lines: usize,
}

impl Live {
    /// Of a scenario of this name that lasts so long.
    pub fn new(name: &str, seconds: f64) -> Self {
        Self {
            name: name.to_owned(),
            seconds,
            curve: VecDeque::with_capacity(CURVE),
            dropped: 0,
            late: 0,
            refused: 0,
            ended: 0,
            overflows: 0,
            lines: 0,
        }
    }

    /// The block for this second, with what takes the one before away.
    pub fn draw(&mut self, sample: &Sample) -> String {
        let mut text = String::new();
        if self.lines > 0 {
            write!(text, "\u{1b}[{}A\u{1b}[J", self.lines).expect("a String grows");
        }
        let lines = self.block(sample);
        self.lines = lines.len();
        for line in lines {
            text.extend(line.chars().take(WIDTH));
            text.push('\n');
        }
        text
    }

    fn block(&mut self, it: &Sample) -> Vec<String> {
        self.dropped += it.dropped;
        self.late += it.late_arrivals;
        self.refused += it.refusals;
        self.ended += it.farewells;
        self.overflows += it.listen_overflows;
        if self.curve.len() == CURVE {
            self.curve.pop_front();
        }
        self.curve.push_back(it.delivery.p99_ms.max(it.ack.p99_ms));
        let a_second = |count: u64| count as f64 / it.seconds.max(1e-9);
        let over = it.at + it.seconds;
        let full = ((over / self.seconds.max(1e-9)).clamp(0.0, 1.0) * BAR as f64) as usize;
        let phase = if it.phase.is_empty() { "load" } else { &it.phase };
        let latency = |name: &str, it: &Percentiles| {
            let Percentiles { p50_ms, p95_ms, p99_ms, max_ms, .. } = it;
            if it.count == 0 {
                return format!("{name:12} none in this second");
            }
            format!(
                "{name:12} p50 {p50_ms:>8.2}  p95 {p95_ms:>8.2}  p99 {p99_ms:>8.2}  max {max_ms:>8.2} ms"
            )
        };
        let beside = it.beside_cpu.map(|cpu| {
            let cpu = share(it, cpu.max(0.0));
            format!("beside       CPU {cpu:>5.0} % of a core, by programs that are neither")
        });
        let mut lines = vec![
            format!("{}: {phase}, {over:.0} of {:.0} s", self.name, self.seconds),
            format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full)),
            format!(
                "sends        target {:>8.0}/s  achieved {:>8.0}/s  acked {:>8.0}/s",
                a_second(it.intended),
                a_second(it.sent),
                a_second(it.acked)
            ),
            format!(
                "deliveries   {:>15.0}/s  in flight {:>7.1}    backlog {:>6}",
                a_second(it.deliveries),
                it.in_flight,
                it.backlog
            ),
            latency("ack", &it.ack),
            latency("delivery", &it.delivery),
            format!("p99          {}", curve(&self.curve)),
            format!(
                "here         {:>8} connections  {:>8} users  {:>6} came late",
                it.connections, it.users, self.late
            ),
            server(it),
            generator(it),
        ];
        lines.extend(beside);
        lines.push(format!(
            "errors       {} refused, {} connections ended, {} given up, {} by the kernel",
            self.refused, self.ended, self.dropped, self.overflows
        ));
        lines
    }
}

/// CPU seconds of this second, of one core.
fn share(it: &Sample, cpu: f64) -> f64 {
    cpu / it.seconds.max(1e-9) * 100.0
}

fn server(it: &Sample) -> String {
    match server_cpu(it) {
        Some(cpu) => format!(
            "server       CPU {:>5.0} % of a core  memory {:>8.1} MiB",
            share(it, cpu),
            it.server_rss_bytes as f64 / f64::from(1 << 20)
        ),
        None => "server       its process is not ours to see".to_owned(),
    }
}

fn generator(it: &Sample) -> String {
    let lag = match it.lag.count {
        0 => "\u{2013}".to_owned(),
        _ => format!("{:.2}", it.lag.p99_ms),
    };
    format!(
        "generator    CPU {:>5.0} % of a core  lag p99 {lag:>8} ms  steal {:>3.0} %",
        share(it, it.generator_cpu),
        it.steal * 100.0
    )
}

/// The last seconds as heights of the highest, which is named.
fn curve(values: &VecDeque<f64>) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let height = |value: &f64| {
        let share = if most > 0.0 { value / most } else { 0.0 };
        BLOCKS[((share * 8.0) as usize).min(7)]
    };
    let line: String = values.iter().map(height).collect();
    // The newest stands at the same place from the beginning.
    format!("{line:>CURVE$} {most:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_takes_the_place_of_the_one_before_and_no_line_is_broken() {
        let mut live = Live::new("canonical", 60.0);
        let sample = Sample {
            at: 29.0,
            seconds: 1.0,
            intended: 120,
            sent: 120,
            acked: 119,
            dropped: 1,
            deliveries: u64::MAX / 2,
            ack: Percentiles { count: 1, p99_ms: 123_456.7, ..Percentiles::default() },
            ..Sample::default()
        };
        let first = live.draw(&sample);
        assert!(!first.contains('\u{1b}'), "there is nothing to take away yet");
        assert!(first.contains("canonical: load, 30 of 60 s"), "{first}");
        assert!(first.contains(&format!("[{}{}]", "#".repeat(15), ".".repeat(15))), "{first}");
        assert!(first.contains("target      120/s  achieved      120/s"), "{first}");
        assert!(first.lines().all(|line| line.chars().count() <= WIDTH));
        let second = live.draw(&sample);
        let away = format!("\u{1b}[{}A\u{1b}[J", first.lines().count());
        assert!(second.starts_with(&away) && second.contains("2 given up"), "{second}");
        assert!(!second.contains("beside"), "nobody could tell");
        let busy = live.draw(&Sample { beside_cpu: Some(1.59), ..sample });
        assert!(busy.contains("\nbeside       CPU   159 % of a core"), "{busy}");
        assert!(busy.lines().skip(1).all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn what_nobody_measured_is_no_zero() {
        let sample = Sample { seconds: 1.0, ..Sample::default() };
        let line = line_of(&sample, 2.0);
        assert!(line.contains("ack p50      \u{2013} p99       \u{2013} ms"), "{line}");
        assert!(line.contains("server   \u{2013} %  lab   0 %"), "{line}");
        let block = Live::new("far", 2.0).draw(&sample);
        assert!(block.contains("\nserver       its process is not ours to see\n"), "{block}");
        let ack = Percentiles { count: 1, p50_ms: 0.25, p99_ms: 4.0, ..Percentiles::default() };
        let seen = Sample { ack, server_rss_bytes: 1 << 20, ..sample };
        let line = line_of(&seen, 2.0);
        assert!(line.contains("ack p50   0.25 p99    4.00 ms"), "{line}");
        assert!(line.contains("server   0 %  lab   0 %"), "idle is measured: {line}");
    }

    #[test]
    fn a_curve_rises_to_its_highest_and_forgets_what_is_long_ago() {
        let mut live = Live::new("soak", 600.0);
        for at in 0..100_u32 {
            let ack = Percentiles { p99_ms: f64::from(at), ..Percentiles::default() };
            live.draw(&Sample { ack, seconds: 1.0, ..Sample::default() });
        }
        assert_eq!(live.curve.len(), CURVE);
        let drawn = curve(&live.curve);
        assert!(drawn.contains('█') && drawn.ends_with(" 99"), "{drawn}");
        assert!(curve(&VecDeque::from([0.0])).contains('▁'));
    }
}
