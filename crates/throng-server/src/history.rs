//! What has happened in a room, wherever it is kept: the tail first, then the store below it.
//!
//! Neighbours: connections and REST ask for pages and gaps, sequencers for events.
//! The order of the two looks is what makes it right while the fold moves events: what has left the
//! tail by the first look is in the store by the second. It decides nothing about who may ask.

mod kept;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use throng_core::id::SEQ_MAX;
use throng_core::limits::MENTIONS_COUNTED_MAX;
use throng_core::reaction::take_in;
use throng_core::{Event, EventKind, RoomId, Seq, Tally, UserId};

use crate::clock::Clock;
use crate::keeping::Keeping;
use crate::leavers::Leavers;
use crate::pages::{Note, Span, is_swept, sender_of, text_of};
use crate::store::{Members, Store, StoreError};
use crate::tail::Tail;

/// Events that are looked through for each pushed one that a gap may hold. Rooms in which not every
/// event is pushed are large ones; there a client that was away for many joins reads pages instead.
const GAP_EVENTS_PER_PUSHED: u64 = 16;
/// Events read at a time while a gap is gathered.
const GAP_PAGE: usize = 256;

/// Tail and store as one.
#[derive(Clone, Debug)]
pub struct History {
    tail: Arc<Tail>,
    store: Arc<dyn Store>,
    /// How long rooms keep what was said; `None` for ever.
    kept: Option<(Arc<Keeping>, Clock)>,
    /// Who is named no more.
    leavers: Arc<Leavers>,
}

/// What came of asking for a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// All pushed events above the place asked for, up to `through`, which was the room's head.
    Events {
        /// In order.
        events: Vec<Arc<Event>>,
        /// The room's newest place at that time, pushed or not.
        through: Seq,
    },
    /// More than the limit: the client begins anew.
    TooOld,
}

impl History {
    /// The two as one.
    pub fn new(tail: Arc<Tail>, store: Arc<dyn Store>) -> Self {
        Self { tail, store, kept: None, leavers: Arc::default() }
    }

    /// Shows nothing that is older than its room keeps it.
    pub fn keeping(self, keeping: Arc<Keeping>, clock: Clock) -> Self {
        Self { kept: Some((keeping, clock)), ..self }
    }

    /// Names these no more.
    pub fn without(self, leavers: Arc<Leavers>) -> Self {
        Self { leavers, ..self }
    }

    /// The room's newest durable place.
    pub fn head(&self, room: RoomId) -> Seq {
        self.tail.head(room)
    }

    /// At most `limit` events of the span that are kept, ascending. Blocks on the store.
    pub fn page(
        &self,
        room: RoomId,
        span: Span,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, StoreError> {
        let mut events = self.read(room, span, limit)?;
        match self.cut_old(room, span, &mut events)? {
            Some(kept) => self.read(room, kept, limit),
            None => Ok(events),
        }
    }

    /// The same, whether it is still kept or not.
    fn read(&self, room: RoomId, span: Span, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        let mut events = self.look(room, span, limit)?;
        self.leavers.names().take_from(&mut events);
        Ok(events)
    }

    fn look(&self, room: RoomId, span: Span, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        let look = self.tail.look(room, span, limit);
        match span {
            Span::After(after) if after.next() >= look.first => Ok(look.events),
            Span::After(_) => {
                let mut events = self.store.page(room, span, limit)?;
                events.retain(|event| event.seq < look.first);
                events.extend(look.events);
                events.truncate(limit);
                Ok(events)
            }
            Span::Before(_) if look.events.len() == limit || look.first <= Seq(1) => {
                Ok(look.events)
            }
            Span::Before(before) => {
                let below = Span::Before(before.min(look.first));
                let mut events = self.store.page(room, below, limit - look.events.len())?;
                events.extend(look.events);
                Ok(events)
            }
        }
    }

    /// Shows events of a room, ascending, with all in them that became of their messages. Blocks on
    /// the store.
    pub fn show(&self, room: RoomId, events: &mut [Arc<Event>]) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        let (first, last) = (first.seq, last.seq);
        if events.iter().all(|event| text_of(event).is_none()) {
            return Ok(());
        }
        let mut notes = self.notes(room, first, last)?;
        let edits = events.iter().filter_map(|event| text_of(event));
        let mut outside: Vec<Seq> = edits.filter(|of| !(first..=last).contains(of)).collect();
        outside.sort_unstable();
        outside.dedup();
        for of in outside {
            notes.extend(self.notes(room, of, of)?);
        }
        let sweeps = self.sweeps(room, events)?;
        for event in events.iter_mut() {
            if is_swept(event, &sweeps) {
                *event = Arc::new(event.erased());
            } else if let Some(note) = text_of(event).and_then(|of| notes.get(&of)) {
                *event = note.show(event);
            }
        }
        self.hide_old_edits(room, events)
    }

    /// Up to where all is taken away that those have said whose texts these are.
    fn sweeps(
        &self,
        room: RoomId,
        events: &[Arc<Event>],
    ) -> Result<HashMap<UserId, Seq>, StoreError> {
        let newer = self.tail.sweeps(room);
        let mut users: Vec<UserId> = events.iter().filter_map(|event| sender_of(event)).collect();
        users.sort_unstable();
        users.dedup();
        let older = self.store.sweeps(room, &users)?;
        Ok(older.into_iter().chain(newer).collect())
    }

    /// What became of the messages between two places.
    fn notes(&self, room: RoomId, from: Seq, to: Seq) -> Result<HashMap<Seq, Note>, StoreError> {
        let newer = self.tail.notes(room, from, to);
        let older = self.store.notes(room, from, to)?;
        Ok(older.into_iter().chain(newer).map(|note| (note.of, note)).collect())
    }

    /// Puts what posts of a room, ascending, were answered with into them, as this account is shown
    /// it: for its eyes alone. Blocks on the store.
    pub fn show_reactions(
        &self,
        room: RoomId,
        asker: UserId,
        events: &mut [Arc<Event>],
    ) -> Result<(), StoreError> {
        let stands = |event: &Event| matches!(&event.kind, EventKind::Posted { body, .. } if !body.is_erased());
        let mut posts = events.iter().filter(|event| stands(event)).map(|event| event.seq);
        let Some(first) = posts.next() else { return Ok(()) };
        let last = posts.next_back().unwrap_or(first);
        let mut tallies = self.reactions(room, (first, last), asker)?;
        for event in events.iter_mut().filter(|event| stands(event)) {
            if let Some(tallies) = tallies.remove(&event.seq).filter(|it| !it.is_empty()) {
                *event = Arc::new(event.reacted(tallies.into()));
            }
        }
        Ok(())
    }

    /// What a message was answered with, as this account is shown it. Blocks on the store.
    pub fn tallies(&self, room: RoomId, of: Seq, asker: UserId) -> Result<Vec<Tally>, StoreError> {
        Ok(self.reactions(room, (of, of), asker)?.remove(&of).unwrap_or_default())
    }

    fn reactions(
        &self,
        room: RoomId,
        (from, to): (Seq, Seq),
        asker: UserId,
    ) -> Result<BTreeMap<Seq, Vec<Tally>>, StoreError> {
        let newer = self.tail.changes(room, from, to);
        let mut tallies: BTreeMap<Seq, Vec<Tally>> = BTreeMap::new();
        for (of, tally) in self.store.reactions(room, from, to, asker)? {
            tallies.entry(of).or_default().push(tally);
        }
        for event in newer {
            if let EventKind::Reacted { of, .. } = &event.kind {
                take_in(tallies.entry(*of).or_default(), &event, asker);
            }
        }
        Ok(tallies)
    }

    /// The posts that a room has had since this account joined it at this place, where it has `posts`
    /// now. Blocks on the store.
    pub fn posts_since_joining(
        &self,
        room: RoomId,
        (user, joined): (UserId, Seq),
        posts: u64,
    ) -> Result<u64, StoreError> {
        let look = self.tail.look(room, Span::After(joined), usize::MAX);
        if joined >= look.first {
            let posted = |event: &&Arc<Event>| matches!(event.kind, EventKind::Posted { .. });
            return Ok(look.events.iter().filter(posted).count() as u64);
        }
        let found = self.store.members(room, user.get() - 1, 1)?.members;
        let then = found.first().filter(|member| member.user == user);
        Ok(posts.saturating_sub(then.map_or(0, |member| member.posts)))
    }

    /// How many messages above a place mention this account, up to what is counted. Blocks on the
    /// store.
    pub fn mentions(&self, room: RoomId, user: UserId, after: Seq) -> Result<usize, StoreError> {
        let after = self.above_old(room, after)?;
        // One look: a message and what takes it away, which comes behind it, leave the tail together.
        let newer = self.tail.look(room, Span::After(after), usize::MAX).events;
        let older = self.store.mentions(room, user, after, MENTIONS_COUNTED_MAX)?;
        let mut found: BTreeMap<Seq, u64> = older.into_iter().collect();
        for event in newer {
            match &event.kind {
                EventKind::Posted { extras: Some(extras), author, .. } => {
                    if extras.mentions.binary_search(&user).is_ok() {
                        found.insert(event.seq, author.id.get());
                    }
                }
                EventKind::Deleted { of, .. } => _ = found.remove(of),
                kind => {
                    if let Some(swept) = kind.sweeps() {
                        let stays = |seq: Seq, sender| sender != swept.get() || seq > event.seq;
                        found.retain(|seq, sender| stays(*seq, *sender));
                    }
                }
            }
        }
        Ok(found.len().min(MENTIONS_COUNTED_MAX))
    }

    /// Some of those who belong, as of a place that is two seconds ago at most. Blocks on the store.
    pub fn members(&self, room: RoomId, after: u64, limit: usize) -> Result<Members, StoreError> {
        self.store.members(room, after, limit)
    }

    /// The places of the messages that are pinned, ascending. Blocks on the store.
    pub fn pins(&self, room: RoomId) -> Result<BTreeSet<Seq>, StoreError> {
        let newer = self.tail.changes(room, Seq(1), Seq(SEQ_MAX));
        let mut pins: BTreeSet<Seq> = self.store.pins(room)?.into_iter().collect();
        for event in newer {
            match &event.kind {
                EventKind::Pinned { of, on: true, .. } => _ = pins.insert(*of),
                EventKind::Pinned { of, .. } | EventKind::Deleted { of, .. } => {
                    pins.remove(of);
                }
                _ => {}
            }
        }
        Ok(pins)
    }

    /// The event at this place, as it is shown. Blocks on the store.
    pub fn shown(&self, room: RoomId, seq: Seq) -> Result<Option<Arc<Event>>, StoreError> {
        let since = self.since(room);
        let mut event = self.event(room, seq)?.filter(|event| event.at >= since);
        self.show(room, event.as_mut_slice())?;
        Ok(event)
    }

    /// The event at this place, also of what is not shown any more. Blocks on the store.
    pub fn event(&self, room: RoomId, seq: Seq) -> Result<Option<Arc<Event>>, StoreError> {
        let Some(before) = seq.0.checked_sub(1) else { return Ok(None) };
        let look = self.tail.look(room, Span::After(Seq(before)), 1);
        let mut event = if seq >= look.first {
            look.events.into_iter().next()
        } else {
            self.store.event(room, seq)?
        };
        self.leavers.names().take_from(event.as_mut_slice());
        Ok(event)
    }

    /// The pushed events above `after`, up to `through`, all of them or none. Blocks on the store. The tail
    /// may have some above that: they are durable, but what they change of who may read is not known yet.
    pub fn gap(
        &self,
        room: RoomId,
        (after, through): (Seq, Seq),
        limit: usize,
    ) -> Result<Gap, StoreError> {
        let most = (limit as u64).saturating_mul(GAP_EVENTS_PER_PUSHED);
        if through.0.saturating_sub(after.0) > most {
            return Ok(Gap::TooOld);
        }
        let since = self.since(room);
        let mut events = Vec::new();
        let mut at = after;
        while at < through {
            let page = self.read(room, Span::After(at), GAP_PAGE)?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else { break };
            if first.at < since || first.seq != at.next() {
                return Ok(Gap::TooOld);
            }
            at = last.seq;
            events.extend(page.into_iter().filter(|event| event.pushed && event.seq <= through));
            if events.len() > limit {
                return Ok(Gap::TooOld);
            }
        }
        self.hide_old_edits(room, &mut events)?;
        Ok(Gap::Events { events, through })
    }
}

#[cfg(test)]
mod tests {
    use throng_core::Epoch;

    use super::*;
    use crate::fold::Folder;
    use crate::log::{MemoryLog, TurnId};
    use crate::samples;
    use crate::store::MemoryStore;

    struct Bench {
        tail: Arc<Tail>,
        folder: Folder,
        history: History,
    }

    fn bench() -> Bench {
        let tail = Arc::new(Tail::new(1 << 24, 1000));
        let store = Arc::new(MemoryStore::new(1 << 24));
        let log = Arc::new(MemoryLog::new(Epoch(1), 1 << 24));
        let folder = Folder::new(tail.clone(), log, store.clone());
        let history = History::new(tail.clone(), store);
        Bench { tail, folder, history }
    }

    #[test]
    fn a_page_is_the_same_wherever_the_fold_has_got_to() {
        let room = samples::room(1);
        let whole = samples::history(room, 1, 30);
        for folded in [0, 1, 15, 29, 30] {
            let bench = bench();
            if folded > 0 {
                bench.tail.insert(TurnId(1), &whole[..folded]);
                bench.folder.fold_now().unwrap();
            }
            bench.tail.insert(TurnId(if folded > 0 { 2 } else { 1 }), &whole[folded..]);
            for at in 0..=32 {
                for limit in [0, 1, 7, 100] {
                    let after = bench.history.page(room, Span::After(Seq(at)), limit).unwrap();
                    let expected = whole.iter().skip(at as usize).take(limit);
                    assert!(after.iter().eq(expected), "{folded} after {at} {limit}");
                    let before = bench.history.page(room, Span::Before(Seq(at)), limit).unwrap();
                    let end = (at.saturating_sub(1) as usize).min(30);
                    assert_eq!(before, whole[end.saturating_sub(limit)..end], "{folded} {at}");
                }
                let event = bench.history.event(room, Seq(at)).unwrap();
                let expected = at.checked_sub(1).and_then(|index| whole.get(index as usize));
                assert_eq!(event.as_ref(), expected);
            }
        }
    }

    #[test]
    fn what_one_sender_said_is_erased_up_to_its_place_wherever_the_fold_has_got_to() {
        use throng_core::{Act, EventKind};
        let room = samples::room(1);
        let mut whole = samples::history(room, 1, 9);
        let said = |seq, user: u64| {
            let mut event = Event::clone(&samples::post(room, seq));
            if let EventKind::Posted { author, .. } = &mut event.kind {
                *author = samples::author(user);
            }
            Arc::new(event)
        };
        let (by, who) = (samples::author(1), samples::author(8));
        let act = Act::DeleteAll;
        whole.extend([said(10, 8), said(11, 9), said(12, 8)]);
        whole.push(samples::event(room, 13, EventKind::Moderated { by, who, act }));
        whole.push(said(14, 8));
        let erased = |events: &[Arc<Event>]| -> Vec<u64> {
            let erased = |event: &&Arc<Event>| matches!(&event.kind, EventKind::Posted { body, .. } if body.is_erased());
            events.iter().filter(erased).map(|event| event.seq.0).collect()
        };
        for folded in [0, 9, 12, 13, 14] {
            let bench = bench();
            if folded > 0 {
                bench.tail.insert(TurnId(1), &whole[..folded]);
                bench.folder.fold_now().unwrap();
            }
            bench.tail.insert(TurnId(if folded > 0 { 2 } else { 1 }), &whole[folded..]);
            for (after, limit, expected) in
                [(9, 100, vec![10, 12]), (9, 2, vec![10]), (11, 1, vec![12]), (12, 9, vec![])]
            {
                let mut page = bench.history.page(room, Span::After(Seq(after)), limit).unwrap();
                bench.history.show(room, &mut page).unwrap();
                assert_eq!(erased(&page), expected, "{folded} folded, after {after}");
            }
            let shown = bench.history.shown(room, Seq(12)).unwrap();
            assert_eq!(erased(shown.as_slice()), [12]);
        }
    }

    #[test]
    fn mentions_by_one_all_of_whose_messages_go_count_no_more_wherever_the_fold_has_got_to() {
        use throng_core::Act;
        let (room, mentioned) = (samples::room(1), samples::author(3).id);
        let mut whole = samples::history(room, 1, 2);
        // Each is of user 1 and mentions user 3.
        whole.extend([samples::carrying(room, 3, &[]), samples::carrying(room, 4, &[])]);
        let (by, who) = (samples::author(9), samples::author(1));
        let swept = EventKind::Moderated { by, who, act: Act::DeleteAll };
        whole.extend([samples::event(room, 5, swept), samples::carrying(room, 6, &[])]);
        for folded in [0, 3, 4, 5, 6] {
            let bench = bench();
            if folded > 0 {
                bench.tail.insert(TurnId(1), &whole[..folded]);
                bench.folder.fold_now().unwrap();
            }
            bench.tail.insert(TurnId(if folded > 0 { 2 } else { 1 }), &whole[folded..]);
            let count = |after| bench.history.mentions(room, mentioned, Seq(after)).unwrap();
            assert_eq!([count(0), count(5), count(6)], [1, 1, 0], "{folded} folded");
        }
    }

    #[test]
    fn a_gap_is_exactly_the_pushed_events_or_too_old() {
        let bench = bench();
        let room = samples::room(1);
        let mut events = samples::history(room, 1, 2);
        for seq in 3..=40 {
            let mut event = Event::clone(&samples::post(room, seq));
            event.pushed = seq % 2 == 0;
            events.push(Arc::new(event));
        }
        bench.tail.insert(TurnId(1), &events[..20]);
        bench.folder.fold_now().unwrap();
        bench.tail.insert(TurnId(2), &events[20..]);
        let through = Seq(40);
        let gap = |after, limit| bench.history.gap(room, (Seq(after), through), limit).unwrap();
        let expected: Vec<_> =
            events.iter().filter(|e| e.pushed && e.seq > Seq(9)).cloned().collect();
        assert_eq!(expected.len(), 16);
        assert_eq!(gap(9, 16), Gap::Events { events: expected, through });
        assert_eq!(gap(9, 15), Gap::TooOld);
        assert_eq!(gap(40, 15), Gap::Events { events: Vec::new(), through });
        assert_eq!(gap(0, 2), Gap::TooOld, "without reading all that is between");
        // A turn is in the tail before it is told who belongs to its rooms: it is not read before.
        for through in [Seq(15), Seq(20), Seq(33)] {
            let gap = bench.history.gap(room, (Seq(9), through), 16).unwrap();
            let within = |e: &&Arc<Event>| e.pushed && e.seq > Seq(9) && e.seq <= through;
            let expected = events.iter().filter(within).cloned().collect();
            assert_eq!(gap, Gap::Events { events: expected, through });
        }
    }

    #[test]
    fn readers_see_every_event_once_while_the_fold_moves_them() {
        const TURNS: u64 = 300;
        let bench = bench();
        let bench = &bench;
        let room = samples::room(1);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                for turn in 0..TURNS {
                    let events = samples::history(room, turn * 3 + 1, turn * 3 + 3);
                    bench.tail.insert(TurnId(turn + 1), &events);
                }
            });
            let folding = scope.spawn(move || {
                while !writing.is_finished() {
                    bench.folder.fold_now().unwrap();
                }
            });
            while !folding.is_finished() {
                let head = bench.history.head(room);
                let page = bench.history.page(room, Span::After(Seq(0)), 10_000).unwrap();
                assert!(page.iter().map(|event| event.seq.0).eq(1..=page.len() as u64));
                assert!(page.len() as u64 >= head.0);
                let newest = bench.history.page(room, Span::Before(Seq(u64::MAX)), 50).unwrap();
                let last = newest.last().map_or(0, |event| event.seq.0);
                assert!(last >= head.0);
                let first = last + 1 - newest.len() as u64;
                assert!(newest.iter().map(|event| event.seq.0).eq(first..=last));
            }
        });
        bench.folder.fold_now().unwrap();
        assert_eq!(bench.history.head(room), Seq(TURNS * 3));
    }
}
