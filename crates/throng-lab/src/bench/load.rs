//! Sends at their intended times, reads what comes, and takes the marks of the measured window.
//!
//! Neighbours: `crowd` has the sockets, `book` the account. Open loop: a send is due at its time
//! whether or not the server keeps up, and its latency counts from then.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use mio::Events;
use throng_wire::native::v1::{self, client_frame::Request};

use super::book::Sent;
use super::crowd::{Crowd, Hears};
use super::text::Text;
use crate::clock::now;

/// Sockets read between two looks at what is due to be sent.
const READS_A_LOOK: usize = 8;
/// Sends in one look, so that reading goes on when sends are late.
const SENDS_A_LOOK: usize = 64;
/// The timer is set no finer than this.
const TICK_NANOS: u64 = 50_000;

/// One post to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    pub link: usize,
    pub room: u32,
    pub number: u64,
    /// A repeat of an old post.
    pub repeat: bool,
}

/// Evenly spaced sends over a span of time, with marks where the measured window begins and ends.
#[derive(Debug)]
pub struct Plan {
    pub sends_per_second: f64,
    pub warmup: Duration,
    pub window: Duration,
    /// How long after the last send to wait for what is missing.
    pub settle: Duration,
    /// Sends wait while so many are without an ack: to fill a folder, never to measure.
    pub unacked_max: Option<u64>,
}

impl Plan {
    /// Sends that are due before its end.
    pub fn sends(&self) -> u64 {
        let span = (self.warmup + self.window).as_nanos() as u64;
        let mut sends = (span as f64 / period(self.sends_per_second)) as u64;
        while after(sends, period(self.sends_per_second)) < span {
            sends += 1;
        }
        sends
    }
}

/// Nanoseconds from one send to the next.
fn period(sends_per_second: f64) -> f64 {
    1e9 / sends_per_second
}

/// When that send is due, nanoseconds after the first.
fn after(sends: u64, period: f64) -> u64 {
    (sends as f64 * period) as u64
}

/// What hears the sockets and is told of the sends.
pub trait Account: Hears {
    /// Takes a send over this link; its index, from which its request's id is made.
    fn sends(&mut self, link: usize, sent: Sent) -> usize;
    /// Only latencies of sends intended in this span count.
    fn span(&mut self, from: u64, to: u64);
    /// Acks and deliveries so far.
    fn counts(&self) -> (u64, u64);
    /// Nothing is missing.
    fn settled(&self) -> bool;
}

/// Counts at the two ends of the window, and what the generator itself was like.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    pub sent: u64,
    pub acked: u64,
    pub delivered: u64,
    pub seconds: f64,
}

/// Runs the plan. `choose` says who sends what; `mark` is called at the two ends of the window.
/// The marks' counts are those of the window; the histogram is the generator's own lateness.
pub fn run(
    crowd: &mut Crowd,
    book: &mut impl Account,
    text: &Text,
    plan: &Plan,
    choose: &mut dyn FnMut(u64) -> Next,
    mark: &mut dyn FnMut(bool) -> io::Result<()>,
) -> io::Result<(Marks, Histogram<u64>)> {
    let start = now().0 + 20_000_000;
    let mut pace = Pace {
        start,
        period: period(plan.sends_per_second),
        sent: 0,
        unacked_max: plan.unacked_max,
        end: start + (plan.warmup + plan.window).as_nanos() as u64,
        late: Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("bounds are in order"),
    };
    let (from, to) = (start + plan.warmup.as_nanos() as u64, pace.end);
    book.span(from, to);
    let mut marks = Marks::default();
    let mut ends: [Option<u64>; 2] = [None, None];
    let give_up = to + plan.settle.as_nanos() as u64;
    let mut events = Events::with_capacity(512);
    loop {
        let at = now().0;
        if ends[0].is_none() && at >= from {
            mark(true)?;
            ends[0] = Some(now().0);
            marks = count(&pace, book);
        }
        if ends[1].is_none() && at >= to {
            let first = std::mem::take(&mut marks);
            marks = count(&pace, book).since(&first);
            ends[1] = Some(now().0);
            mark(false)?;
        }
        let all_sent = pace.due() >= pace.end;
        if at >= to && ((all_sent && book.settled()) || at >= give_up) {
            break;
        }
        let due = pace.send_due(crowd, book, text, choose, at)?;
        crowd.wake_at(due.max(at + TICK_NANOS).min(at + 20_000_000))?;
        crowd.wait(&mut events, Some(Duration::from_millis(20)))?;
        for (reads, event) in events.iter().enumerate() {
            crowd.ready(event.token(), event.is_writable(), book);
            if reads % READS_A_LOOK == READS_A_LOOK - 1 {
                pace.send_due(crowd, book, text, choose, now().0)?;
            }
        }
    }
    if let [Some(first), Some(last)] = ends {
        marks.seconds = (last - first) as f64 / 1e9;
    }
    Ok((marks, pace.late))
}

fn count(pace: &Pace, book: &impl Account) -> Marks {
    let (acked, delivered) = book.counts();
    Marks { sent: pace.sent, acked, delivered, seconds: 0.0 }
}

impl Marks {
    fn since(&self, first: &Self) -> Self {
        Self {
            sent: self.sent - first.sent,
            acked: self.acked - first.acked,
            delivered: self.delivered - first.delivered,
            seconds: 0.0,
        }
    }
}

struct Pace {
    start: u64,
    period: f64,
    sent: u64,
    unacked_max: Option<u64>,
    end: u64,
    late: Histogram<u64>,
}

impl Pace {
    fn due(&self) -> u64 {
        self.start + after(self.sent, self.period)
    }

    /// Sends what is due; when the next one is.
    fn send_due(
        &mut self,
        crowd: &mut Crowd,
        book: &mut impl Account,
        text: &Text,
        choose: &mut dyn FnMut(u64) -> Next,
        mut at: u64,
    ) -> io::Result<u64> {
        for _ in 0..SENDS_A_LOOK {
            let intended = self.due();
            if intended >= self.end {
                return Ok(u64::MAX);
            }
            if intended > at {
                return Ok(intended);
            }
            if self.unacked_max.is_some_and(|most| self.sent - book.counts().0 >= most) {
                return Ok(at);
            }
            let next = choose(self.sent);
            let Next { link, room, number, repeat } = next;
            let sent = Sent { intended, room, number, acked: 0, heard: 0, repeat };
            let index = book.sends(link, sent);
            let post = v1::Post {
                room: next.room,
                body: text.body(next.number, index),
                origin_id: Text::origin(next.number),
                ack: 0,
                ..v1::Post::default()
            };
            let request = Some(Request::Post(post));
            crowd.send(next.link, &v1::ClientFrame { id: index as u32 + 1, request })?;
            self.sent += 1;
            at = now().0;
            self.late.saturating_record(at - intended);
        }
        Ok(self.due())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sends_of_a_plan_are_those_that_are_due_before_its_end() {
        for (sends_per_second, millis, sends) in [
            (100.0, 1_000, 100),
            (400.0, 500, 200),
            (3_000.0, 0, 0),
            (0.5, 1_000, 1),
            (7.0, 500, 4),
        ] {
            let (warmup, window) = (Duration::ZERO, Duration::from_millis(millis));
            let settle = Duration::ZERO;
            let plan = Plan { sends_per_second, warmup, window, settle, unacked_max: None };
            assert_eq!(plan.sends(), sends, "{sends_per_second} a second, {millis} ms");
        }
        // Periods that are no whole number of nanoseconds: as the pace itself counts them.
        for sends_per_second in [3_000.0, 7_777.7, 33.3] {
            let (warmup, window) = (Duration::from_millis(300), Duration::from_millis(700));
            let settle = Duration::ZERO;
            let plan = Plan { sends_per_second, warmup, window, settle, unacked_max: None };
            let period = period(sends_per_second);
            let due = (0..10_000).take_while(|&sends| after(sends, period) < 1_000_000_000).count();
            assert_eq!(plan.sends(), due as u64, "{sends_per_second} a second");
        }
    }
}
