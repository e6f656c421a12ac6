//! Lets a turn wait for others to join it, where the operator wants fewer and larger commits than the
//! load makes by itself.
//!
//! Neighbours: `sequencer.rs` calls it when a turn's first request has come, and not at all by default: while
//! one turn commits the next one gathers, which costs nobody a wait.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use super::held::Unpark;
use crate::clock::{Clock, Moment};

/// The clock is looked at this often: it may be turned by a test.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Takes what comes into the queue until there are so many items, the time has come, or nobody is left
/// who could send.
pub(super) fn gather<T>(
    queue: &mut mpsc::Receiver<T>,
    items: &mut Vec<T>,
    most: usize,
    until: Moment,
    clock: &Clock,
) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    while items.len() < most {
        // Looked at first: what was sent before the time had come is taken.
        let now = clock.now();
        match queue.poll_recv_many(&mut context, items, most - items.len()) {
            Poll::Ready(0) => return,
            Poll::Ready(_) => {}
            Poll::Pending if now >= until => return,
            Poll::Pending => thread::park_timeout(until.since(now).min(LOOK_EVERY)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(50);

    fn queue(waiting: &[u32]) -> (mpsc::Sender<u32>, mpsc::Receiver<u32>) {
        let (send, receive) = mpsc::channel(8);
        for item in waiting {
            send.try_send(*item).unwrap();
        }
        (send, receive)
    }

    #[test]
    fn a_full_turn_waits_for_nothing_and_takes_no_more() {
        let clock = Clock::manual();
        for (waiting, left) in [(&[2, 3][..], 0), (&[2, 3, 4][..], 1)] {
            let (_send, mut receive) = queue(waiting);
            let mut items = vec![1];
            gather(&mut receive, &mut items, 3, clock.now().plus(WAIT), &clock);
            assert_eq!((items, receive.len()), (vec![1, 2, 3], left));
        }
    }

    #[test]
    fn a_turn_that_is_not_full_waits_for_its_time_and_no_longer() {
        let clock = Clock::manual();
        let (send, mut receive) = queue(&[2]);
        let until = clock.now().plus(WAIT);
        let mut items = vec![1];
        let turning = clock.clone();
        let later = thread::spawn(move || {
            send.try_send(3).unwrap();
            turning.advance(WAIT);
            send
        });
        gather(&mut receive, &mut items, 8, until, &clock);
        assert_eq!(items, [1, 2, 3]);
        let send = later.join().unwrap();
        send.try_send(4).unwrap();
        let mut items = vec![5];
        gather(&mut receive, &mut items, 8, until, &clock);
        assert_eq!(items, [5, 4], "its time is over: what is there is taken, and that is all");
    }

    #[test]
    fn nobody_is_waited_for_when_nobody_can_send() {
        let clock = Clock::manual();
        let (send, mut receive) = queue(&[2]);
        drop(send);
        let mut items = vec![1];
        gather(&mut receive, &mut items, 8, clock.now().plus(WAIT), &clock);
        assert_eq!(items, [1, 2]);
    }
}
