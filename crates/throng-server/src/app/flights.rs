//! Pages of history. Those who ask for one page at the same moment wait for one read of it.
//!
//! Neighbours: connections and REST ask `App::page`; `history.rs` reads. Who may read is asked of each
//! by itself, before it joins others and again before it is told. A read is joined only while nothing
//! has happened in the room since it began, so that nobody is shown less than was durable, or more than
//! still stood, when it asked. The first asker may go away: the read is nobody's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use throng_core::limits::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use throng_core::rights::Operation;
use throng_core::{Event, Rejection, RoomId, Seq, UserId};
use tokio::sync::Semaphore;
use tokio::sync::watch::{self, Receiver};

use super::App;
use crate::clock::Moment;
use crate::history::History;
use crate::operations::seldom::Seldom;
use crate::pages::{Page, Span};
use crate::spread::Spread;
use crate::store::StoreError;
use crate::tail::event_bytes;

/// Threads that may read history at one moment, of some five hundred that may wait.
const READS_MAX: usize = 64;
/// Pages that are read or wait to be: askers may have gone away from each.
const FLIGHTS_MAX: usize = 1_024;
/// What one is told to wait who asks for one more.
const BUSY_MS: u32 = 1_000;

/// What is read: the room's newest place says that it has not changed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked {
    room: RoomId,
    span: Span,
    limit: usize,
    head: Seq,
    /// Nor has anybody been deleted with its name.
    leavers: u64,
}

/// A page, for whoever may read it.
#[derive(Debug)]
struct Read {
    events: Vec<Arc<Event>>,
    /// As this account is shown them, with what they were answered with.
    shown: (UserId, Vec<Arc<Event>>),
    /// Something in it was answered with anything.
    reacted: bool,
}

type Landed = Option<Result<Arc<Read>, Rejection>>;

/// The reads that are under way.
#[derive(Debug)]
pub struct Flights {
    flying: Flying,
    /// Threads that may read.
    reads: Arc<Semaphore>,
    /// What is said of what cannot be read.
    unread: Mutex<Seldom>,
}

impl Default for Flights {
    fn default() -> Self {
        let reads = Arc::new(Semaphore::new(READS_MAX));
        Self { flying: Flying::default(), reads, unread: Mutex::default() }
    }
}

/// What is being read for whom, up to its limit.
#[derive(Debug, Default)]
struct Flying {
    reads: Mutex<HashMap<Asked, Receiver<Landed>>>,
    refused: Spread,
}

/// Where one who asks waits; the first of them is to see to the read.
type Seat = (Receiver<Landed>, Option<watch::Sender<Landed>>);

impl Flying {
    /// The read that is under way, or a new one.
    fn board(&self, asked: Asked) -> Result<Seat, Rejection> {
        let mut flying = self.locked();
        if let Some(landing) = flying.get(&asked) {
            return Ok((landing.clone(), None));
        }
        if flying.len() == FLIGHTS_MAX {
            return Err(self.refused.busy(BUSY_MS));
        }
        let (land, landing) = watch::channel(None);
        flying.insert(asked, landing.clone());
        Ok((landing, Some(land)))
    }

    /// It is read: who asks from now on asks anew, and those who wait are told.
    fn land(&self, asked: Asked, land: &watch::Sender<Landed>, read: Result<Read, Rejection>) {
        self.locked().remove(&asked);
        land.send_replace(Some(read.map(Arc::new)));
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<Asked, Receiver<Landed>>> {
        self.reads.lock().expect("nothing panics while it holds the flights")
    }
}

impl Flights {
    /// Reads history on a thread that may wait, when there is one. However slow the disk, threads are
    /// left for what does not read.
    pub async fn read<T: Send + 'static>(
        &self,
        history: History,
        now: Moment,
        read: impl FnOnce(&History) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Rejection> {
        let turn = Arc::clone(&self.reads).acquire_owned().await;
        let Ok(turn) = turn else { return Err(Rejection::Unavailable) };
        let reading = tokio::task::spawn_blocking(move || {
            let value = read(&history);
            // Only now: who asked may have gone away, the thread is taken all the same.
            drop(turn);
            value
        });
        match reading.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                self.cannot_read(&error, now);
                Err(Rejection::Unavailable)
            }
            // The reader panicked or the runtime ends; either is said elsewhere.
            Err(_) => Err(Rejection::Unavailable),
        }
    }

    fn cannot_read(&self, error: &StoreError, now: Moment) {
        let may = self.unread.lock().expect("nothing panics while it holds this").may(now);
        if let Some(others) = may {
            tracing::error!(%error, others, "cannot read history");
        }
    }
}

impl App {
    /// A page of history, for a member; `limit` as in `rooms`.
    pub async fn page(
        &self,
        asker: UserId,
        room: RoomId,
        span: Span,
        limit: u32,
    ) -> Result<Page, Rejection> {
        let may = || self.directory.reading(asker, room, Operation::History);
        let from = may()?.from;
        let span = match span {
            Span::After(after) => Span::After(after.max(Seq(from.0 - 1))),
            before @ Span::Before(_) => before,
        };
        let limit = page_len(limit);
        let head = self.history.head(room);
        let leavers = self.directory.leavers().changes();
        let mut landing = self.join(Asked { room, span, limit, head, leavers }, asker)?;
        let read = match landing.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(landed)) => landed.clone()?,
            // The reader panicked or the runtime ends; either is said elsewhere.
            _ => return Err(Rejection::Unavailable),
        };
        let (first, shown) = &read.shown;
        let readable = |event: &&Arc<Event>| event.seq >= from;
        let all = if *first == asker { shown } else { &read.events };
        let mut events: Vec<_> = all.iter().filter(readable).cloned().collect();
        if read.reacted && *first != asker {
            let show = move |history: &History| {
                history.show_reactions(room, asker, &mut events)?;
                Ok(events)
            };
            events = self.read(show).await?;
        }
        // Asked again: one who was removed meanwhile reads nothing of what followed, nor, having come back,
        // of what was between where that is not for it. What is durable and not in the directory yet may be
        // what removes it, and waits for the next page.
        let now = may()?;
        events.retain(|event| now.shows(event.seq));
        Ok(cut(room, events, span, limit))
    }

    /// The read that is under way, or a new one.
    fn join(&self, asked: Asked, asker: UserId) -> Result<Receiver<Landed>, Rejection> {
        let (landing, first) = self.flights.flying.board(asked)?;
        if let Some(land) = first {
            self.fly(asked, asker, land);
        }
        Ok(landing)
    }

    #[expect(clippy::disallowed_methods, reason = "it ends with its read, whoever asked for it")]
    fn fly(&self, asked: Asked, asker: UserId, land: watch::Sender<Landed>) {
        let (flights, history) = (Arc::clone(&self.flights), self.history.clone());
        let now = self.clock.now();
        tokio::spawn(async move {
            let read = move |history: &History| read(history, asked, asker);
            let read = flights.read(history, now, read).await;
            flights.flying.land(asked, &land, read);
        });
    }
}

/// Blocks on the store.
fn read(history: &History, asked: Asked, asker: UserId) -> Result<Read, StoreError> {
    let Asked { room, span, limit, .. } = asked;
    let mut events = history.page(room, span, limit + 1)?;
    history.show(room, &mut events)?;
    let mut shown = events.clone();
    history.show_reactions(room, asker, &mut shown)?;
    let reacted = events.iter().zip(&shown).any(|(bare, shown)| !Arc::ptr_eq(bare, shown));
    Ok(Read { events, shown: (asker, shown), reacted })
}

/// How many events a page has, of what was asked for.
pub(super) fn page_len(limit: u32) -> usize {
    match limit as usize {
        0 => PAGE_EVENTS_MAX,
        asked => asked.min(PAGE_EVENTS_MAX),
    }
}

/// Cuts what was read to a page: by count, and by bytes from the end that was not asked for.
pub(super) fn cut(room: RoomId, mut events: Vec<Arc<Event>>, span: Span, limit: usize) -> Page {
    let mut bytes = 0;
    let fits = |event: &&Arc<Event>| {
        bytes += event_bytes(event);
        bytes <= PAGE_BYTES_MAX
    };
    let read = events.len();
    let keep = match span {
        Span::After(_) => events.iter().take(limit).take_while(fits).count(),
        Span::Before(_) => events.iter().rev().take(limit).take_while(fits).count(),
    };
    match span {
        Span::After(_) => events.truncate(keep),
        Span::Before(_) => _ = events.drain(..read - keep),
    }
    Page { room, events, more: keep < read }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::mpsc::sync_channel;
    use std::task::Poll;

    use super::*;
    use crate::samples;
    use crate::store::MemoryStore;
    use crate::tail::Tail;

    fn asked(head: usize) -> Asked {
        let (room, span) = (samples::room(1), Span::After(Seq(0)));
        Asked { room, span, limit: 1, head: Seq(head as u64), leavers: 0 }
    }

    fn nothing() -> Read {
        Read { events: Vec::new(), shown: (samples::author(1).id, Vec::new()), reacted: false }
    }

    #[test]
    fn so_many_pages_are_read_for_and_one_more_is_busy_until_one_has_landed() {
        let flying = Flying::default();
        let seats: Vec<Seat> =
            (0..FLIGHTS_MAX).map(|head| flying.board(asked(head)).unwrap()).collect();
        assert!(seats.iter().all(|(_, first)| first.is_some()), "each is a read of its own");
        let busy = Rejection::Busy { retry_after_ms: BUSY_MS };
        assert_eq!(flying.board(asked(FLIGHTS_MAX)).err(), Some(busy));
        let (landing, first) = flying.board(asked(0)).unwrap();
        assert!(first.is_none(), "who joins a read takes no place");
        let land = seats[0].1.as_ref().unwrap();
        flying.land(asked(0), land, Ok(nothing()));
        assert!(matches!(&*landing.borrow(), Some(Ok(_))), "and is told with the others");
        assert!(flying.board(asked(FLIGHTS_MAX)).unwrap().1.is_some());
        let again = flying.board(asked(0)).err();
        assert!(matches!(again, Some(Rejection::Busy { .. })), "its place is taken");
        assert_ne!(again, Some(busy), "and is told another time than the one before");
    }

    fn history() -> History {
        History::new(Arc::new(Tail::new(1 << 24, 1_000)), Arc::new(MemoryStore::new(1 << 24)))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn so_many_threads_read_at_once_and_one_more_waits_for_one_of_them() {
        let flights = Arc::new(Flights::default());
        let (begun, began) = sync_channel(READS_MAX + 1);
        let (release, released) = sync_channel::<()>(READS_MAX + 1);
        let released = Arc::new(Mutex::new(released));
        let read = || {
            let (flights, begun) = (Arc::clone(&flights), begun.clone());
            let released = Arc::clone(&released);
            async move {
                let read = move |_: &History| {
                    begun.send(()).unwrap();
                    released.lock().unwrap().recv().unwrap();
                    Ok(())
                };
                flights.read(history(), Moment::default(), read).await
            }
        };
        let mut all = tokio::task::JoinSet::new();
        (0..READS_MAX).for_each(|_| _ = all.spawn(read()));
        (0..READS_MAX).for_each(|_| began.recv().unwrap());
        assert_eq!(flights.reads.available_permits(), 0);
        // Asked, and not begun.
        let mut last = Box::pin(read());
        let waits = poll_fn(|context| Poll::Ready(last.as_mut().poll(context).is_pending()));
        assert!(waits.await);
        assert!(began.try_recv().is_err());
        (0..=READS_MAX).for_each(|_| release.send(()).unwrap());
        last.await.unwrap();
        while let Some(done) = all.join_next().await {
            done.unwrap().unwrap();
        }
    }
}
