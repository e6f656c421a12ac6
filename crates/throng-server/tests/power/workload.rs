//! A server without its sockets: real shards, log, store, tail, fold and history on a disk of ours,
//! driven by seeded requests, and the truth that it must keep.
//!
//! Neighbours: `cuts` and `faults` run it and end it. It decides nothing itself: the shard does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rand::RngExt;
use rand::rngs::SmallRng;
use throng_core::reaction::take_in;
use throng_core::shard::{Facts, Now, Restored, Shard, Want};
use throng_core::{
    Avatar, Body, Command, Event, EventKind, Limits, Person, Policy, Rejection, Reply, Request,
    RoomId, Seq, Timestamp, Topic, Words,
};
use throng_server::clock::Clock;
use throng_server::fold::{FoldError, Folder};
use throng_server::history::History;
use throng_server::log::{Log, LogError, LogOptions, SqliteLog, TurnId};
use throng_server::pages::Span;
use throng_server::record;
use throng_server::recovery::recover;
use throng_server::store::{Erasing, RoomSnapshot, SqliteStore, Store, StoreError, StoreOptions};
use throng_server::tail::Tail;

use super::disk::Disk;
use super::erased::{are_still, is_still};
use super::lying::Lying;
use super::requests::{author, create};
use super::vfs::{self, Mounted};

pub const SHARDS: u32 = 2;
pub const ROOMS: u32 = 6;
const ALL: usize = 1_000_000;
/// So small that a fold has several slices, and a trim several transactions.
const SLICE_BYTES: usize = 2 * 1024;
const TRIM_TURNS: u64 = 2;

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Planted {
    #[default]
    Nothing,
    /// Commits are not synced: `synchronous=OFF`.
    NoSync,
    /// The log is trimmed behind folds that are not synced.
    NoCheckpoint,
    /// The log is trimmed behind the first slice of a fold.
    TrimsEarly,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    disk: Arc<Disk>,
    log: Arc<SqliteLog>,
    store: Arc<dyn Store>,
    tail: Arc<Tail>,
    folder: Folder,
    history: History,
    shards: Vec<Mutex<Shard>>,
}

/// What was asked of one turn and what came of it.
pub type Outcomes = Vec<Result<Reply, Rejection>>;

impl Server {
    /// Opens what is on the disk and recovers.
    pub fn start(mounted: &Mounted, planted: Planted) -> Result<Self, String> {
        let mut options = LogOptions::new(Clock::manual());
        options.vfs = Some(vfs::NAME.into());
        options.checkpoint_pages = 24;
        options.trim_turns_max = TRIM_TURNS;
        options.fault_no_sync = planted == Planted::NoSync;
        let log = SqliteLog::open(&mounted.path("log.db"), &options).map_err(|e| e.to_string())?;
        let (vfs, pack_from) = (Some(vfs::NAME.into()), Some(256));
        let options = StoreOptions { vfs, readers: 1, pack_from };
        let path = mounted.path("store.db");
        let store = SqliteStore::open(&path, &options).map_err(|e| e.to_string())?;
        let store: Arc<dyn Store> = match planted {
            Planted::NoCheckpoint => Arc::new(Lying(store)),
            _ => Arc::new(store),
        };
        let limits = Limits::default();
        let shard = |number: u32| Mutex::new(Shard::new(number.into(), &limits));
        let shards: Vec<_> = (0..SHARDS).map(shard).collect();
        let shard = |room: RoomId| lock(&shards[(room.get() % SHARDS) as usize]);
        let tail = recover(
            &log,
            &*store,
            1 << 30,
            1 << 30,
            &mut |room| shard(room.room).restore(restored(room)),
            &mut |event| shard(event.room).replay(event).map_err(|misfit| format!("{misfit:?}")),
        );
        let tail = Arc::new(tail.map_err(|e| e.to_string())?);
        let log = Arc::new(log);
        let folder = Folder::new(tail.clone(), log.clone(), store.clone());
        let folder = folder.with_slices_of(SLICE_BYTES);
        let folder = folder.with_fault_trims_early(planted == Planted::TrimsEarly);
        let history = History::new(tail.clone(), store.clone());
        Ok(Self { disk: mounted.disk.clone(), log, store, tail, folder, history, shards })
    }

    /// One turn of a shard, as the sequencer does it.
    pub fn turn(&self, shard: u32, batch: &[Request], truth: &Truth) -> Result<Outcomes, LogError> {
        let mut shard = lock(&self.shards[shard as usize]);
        let batch = &made_once(&shard, batch);
        let now = truth.now();
        let facts = self.gather(&mut shard, batch, now);
        let turn = shard.apply(batch, &facts, now);
        if turn.events.is_empty() {
            return Ok(turn.outcomes);
        }
        let mut bytes = Vec::new();
        record::encode_turn(&turn.events, &mut bytes);
        truth.offered(&turn.events);
        match self.log.append(&bytes) {
            Ok(id) => {
                truth.acked(id, &turn.events);
                self.tail.insert(id, &turn.events);
                Ok(turn.outcomes)
            }
            Err(error) => {
                // With the power gone, or what is on disk unknown, the turn may have come to be.
                let may_be = self.disk.is_off() || matches!(error, LogError::SyncFailed(_));
                truth.not_acked(batch, &turn.events, may_be);
                shard.revert(turn);
                Err(error)
            }
        }
    }

    fn gather(&self, shard: &mut Shard, batch: &[Request], now: Now) -> Facts {
        let mut facts = Facts::default();
        for _ in 0..2 {
            let mut wants = Vec::new();
            shard.wants(batch, now, &mut wants);
            for want in wants {
                match want {
                    Want::Origins { room, through, since } => {
                        let mut load =
                            |user, id: &str, seq, at| shard.load_origin(room, user, id, seq, at);
                        if self.store.origins(room, through, since, &mut load).is_ok() {
                            shard.origins_loaded(room);
                        }
                    }
                    Want::Message { room, seq } => {
                        if let Ok(Some(event)) = self.history.shown(room, seq) {
                            facts.add_message(event);
                        }
                    }
                    // Everybody wants everything here.
                    Want::Consent { .. } => {}
                    Want::Tallies { room, seq, user } => {
                        if let Ok(tallies) = self.history.tallies(room, seq, user) {
                            facts.add_tallies(room, seq, user, tallies);
                        }
                    }
                    Want::Event { room, seq } => {
                        if let Ok(Some(event)) = self.history.event(room, seq) {
                            facts.add(event);
                        }
                    }
                }
            }
        }
        facts
    }

    /// Folds what is in the tail.
    pub fn fold(&self) -> Result<(), FoldError> {
        self.folder.fold_now()
    }

    /// Erases what was taken away, and its remains, also from the log.
    pub fn erase(&self) -> Result<(), FoldError> {
        for what in [Erasing::Swept, Erasing::Remains] {
            self.store.erase(what)?;
            self.store.sync()?;
        }
        let mut nothing = Vec::new();
        record::encode_turn(&[], &mut nothing);
        self.log.scrub(&nothing)?;
        Ok(())
    }

    /// The last call of a server that stops.
    pub fn close(&self) -> Result<(), LogError> {
        self.log.close()
    }

    /// A room's whole history.
    pub fn read(&self, room: RoomId) -> Result<Vec<Arc<Event>>, StoreError> {
        self.history.page(room, Span::After(Seq::ZERO), ALL)
    }

    /// Every room's whole history.
    pub fn histories(&self) -> Result<BTreeMap<RoomId, Vec<Arc<Event>>>, String> {
        let mut histories = BTreeMap::new();
        for room in (1..=ROOMS).filter_map(RoomId::new) {
            let history = self.read(room).map_err(|e| e.to_string())?;
            let backwards = self.history.page(room, Span::Before(Seq(u64::MAX)), ALL);
            if backwards.map_err(|e| e.to_string())? != history {
                return Err(format!("room {room} reads differently from its two ends"));
            }
            if !history.is_empty() {
                histories.insert(room, history);
            }
        }
        Ok(histories)
    }

    /// The store alone, after a fold: its rooms are what their histories say.
    pub fn check_rooms(&self, histories: &BTreeMap<RoomId, Vec<Arc<Event>>>) -> Result<(), String> {
        let mut rooms = Vec::new();
        self.store.rooms(&mut |room| rooms.push(room)).map_err(|e| e.to_string())?;
        if rooms.len() != histories.len() {
            return Err(format!("{} rooms with {} histories", rooms.len(), histories.len()));
        }
        for room in &rooms {
            let expected = snapshot(&histories[&room.room]);
            if *room != expected {
                return Err(format!("the store has {room:?}, its history says {expected:?}"));
            }
            self.check_reactions(&histories[&room.room])?;
        }
        Ok(())
    }

    /// The store counts what was given to the messages that stand.
    fn check_reactions(&self, history: &[Arc<Event>]) -> Result<(), String> {
        let asker = author(1).id;
        let mut expected = BTreeMap::new();
        for event in history {
            match &event.kind {
                EventKind::Reacted { of, .. } => {
                    take_in(expected.entry(*of).or_default(), event, asker);
                }
                EventKind::Deleted { of, .. } => _ = expected.remove(of),
                _ => {}
            }
        }
        let of_all = |(of, tallies): (Seq, Vec<_>)| tallies.into_iter().map(move |it| (of, it));
        let expected: Vec<_> = expected.into_iter().flat_map(of_all).collect();
        let (room, last) = (history[0].room, Seq(history.len() as u64));
        let told = self.store.reactions(room, Seq(1), last, asker).map_err(|e| e.to_string())?;
        if told != expected {
            return Err(format!("room {room}: counted {told:?}, given {expected:?}"));
        }
        Ok(())
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// The directory reserves a room's number and name once: to make it again becomes joining it.
fn made_once(shard: &Shard, batch: &[Request]) -> Vec<Request> {
    let mut made = BTreeSet::new();
    let once = batch.iter().map(|request| match request.command {
        Command::Create { room, .. } if shard.room(room).is_some() || !made.insert(room) => {
            Request { from: request.from.clone(), command: Command::Join { room } }
        }
        _ => request.clone(),
    });
    once.collect()
}

fn restored(room: RoomSnapshot) -> Restored {
    let RoomSnapshot { room, name, at, head, pushed, posts, policy, words, people, pins, .. } =
        room;
    Restored { room, name, at, head, pushed, posts, policy, words, people, pins }
}

fn snapshot(history: &[Arc<Event>]) -> RoomSnapshot {
    let (first, last) = (&history[0], &history[history.len() - 1]);
    let EventKind::Created { mut name, .. } = first.kind.clone() else { panic!("{first:?}") };
    let (mut people, mut pins) = (BTreeMap::new(), BTreeSet::new());
    let (mut posts, mut pushed, mut avatar) = (0, Seq::ZERO, Avatar::default());
    let (mut policy, mut topic, mut words) = <(Policy, Topic, Words)>::default();
    for event in history {
        match &event.kind {
            EventKind::Created { kind, .. } => policy.kind = *kind,
            EventKind::Posted { .. } => posts += 1,
            EventKind::Pinned { of, on: true, .. } => _ = pins.insert(*of),
            EventKind::Pinned { of, .. } | EventKind::Deleted { of, .. } => _ = pins.remove(of),
            EventKind::Set { settings, .. } => {
                policy = policy.with(settings);
                name = settings.name.clone().unwrap_or(name);
                topic = settings.topic.clone().unwrap_or(topic);
                words = settings.words.clone().unwrap_or(words);
                avatar = settings.avatar.unwrap_or(avatar);
            }
            _ => {}
        }
        if let Some(user) = event.kind.about() {
            match Person::after(event, people.get(&user).copied()) {
                Some(person) => _ = people.insert(user, person),
                None => _ = people.remove(&user),
            }
        }
        if event.pushed {
            pushed = event.seq;
        }
    }
    RoomSnapshot {
        room: first.room,
        name,
        created_at: first.at,
        at: last.at,
        head: last.seq,
        pushed,
        posts,
        policy,
        topic,
        words,
        avatar,
        people: people.into_iter().collect(),
        pins: pins.into_iter().collect(),
    }
}

/// What the server has promised, and what it was offered.
#[derive(Debug, Default)]
pub struct Truth {
    turns: AtomicU64,
    /// By so many milliseconds the clock was set back.
    set_back: AtomicU64,
    said: Mutex<Said>,
}

impl Clone for Truth {
    fn clone(&self) -> Self {
        let number = |of: &AtomicU64| of.load(Ordering::Relaxed).into();
        let said = Mutex::new(lock(&self.said).clone());
        Self { turns: number(&self.turns), set_back: number(&self.set_back), said }
    }
}

#[derive(Clone, Debug, Default)]
struct Said {
    /// Events that were acked, or read after a start: they stay for ever.
    durable: BTreeMap<(RoomId, Seq), Arc<Event>>,
    /// Turns that were appended, whatever came of it.
    offered: Vec<Vec<Arc<Event>>>,
    /// Turns that were refused: they must not come to be.
    refused: Vec<Vec<Arc<Event>>>,
    newest: TurnId,
    /// Posts whose senders were not answered and try again.
    unanswered: Vec<Request>,
}

impl Truth {
    fn now(&self) -> Now {
        let turns = self.turns.fetch_add(1, Ordering::Relaxed);
        let at = 1_760_000_000_000 + turns - self.set_back.load(Ordering::Relaxed);
        Now { at: Timestamp(at), posts_total: turns }
    }

    /// The clock is set back, by up to a day: what the server says of time must not go back with it.
    pub fn set_clock_back(&self, chance: &mut SmallRng) {
        self.set_back.fetch_add(chance.random_range(0..86_400_000), Ordering::Relaxed);
    }

    fn offered(&self, events: &[Arc<Event>]) {
        lock(&self.said).offered.push(events.to_vec());
    }

    fn acked(&self, id: TurnId, events: &[Arc<Event>]) {
        let mut said = lock(&self.said);
        said.newest = said.newest.max(id);
        said.durable.extend(events.iter().map(|event| ((event.room, event.seq), event.clone())));
    }

    fn not_acked(&self, batch: &[Request], events: &[Arc<Event>], may_be: bool) {
        let tries_again = |request: &&Request| {
            matches!(request.command, Command::Post { origin_id: Some(_), .. })
        };
        let mut said = lock(&self.said);
        said.unanswered.extend(batch.iter().filter(tries_again).cloned());
        if !may_be {
            said.offered.retain(|turn| turn != events);
            said.refused.push(events.to_vec());
        }
    }

    /// A post that was not answered, if there is one: it is asked for again once.
    pub fn tried_again(&self, shard: u32) -> Option<Request> {
        let unanswered = &mut lock(&self.said).unanswered;
        let of_shard = |request: &Request| request.command.room().get() % SHARDS == shard;
        let at = unanswered.iter().position(of_shard)?;
        Some(unanswered.remove(at))
    }

    /// A promised post, if there is one.
    pub fn any_post(&self, shard: u32, chance: &mut SmallRng) -> Option<Arc<Event>> {
        let said = lock(&self.said);
        let posts = said.durable.values().filter(|event| {
            event.room.get() % SHARDS == shard
                && matches!(event.kind, EventKind::Posted { origin_id: Some(_), .. })
        });
        let posts: Vec<_> = posts.collect();
        (!posts.is_empty()).then(|| posts[chance.random_range(0..posts.len())].clone())
    }

    /// Events that were promised.
    pub fn promised(&self) -> usize {
        lock(&self.said).durable.len()
    }

    /// After a start: every promise is kept, once and in order; what was never promised is there
    /// whole turns at a time or not at all. What is there now is promised from now on.
    pub fn check(&self, server: &Server) -> Result<(), String> {
        let histories = server.histories()?;
        let mut said = lock(&self.said);
        for (room, history) in &histories {
            if !history.iter().map(|event| event.seq.0).eq(1..=history.len() as u64) {
                return Err(format!("room {room} is not dense"));
            }
            if !history.is_sorted_by_key(|event| event.at) {
                return Err(format!("the times of room {room} go back"));
            }
        }
        let found = |room: RoomId, seq: Seq| {
            histories.get(&room).and_then(|history| history.get(seq.0 as usize - 1))
        };
        for ((room, seq), event) in &said.durable {
            match found(*room, *seq) {
                Some(is) if is_still(is, event, &histories[room]) => {}
                Some(is) => return Err(format!("promised {event:?}, found {is:?}")),
                None => return Err(format!("lost: {event:?}")),
            }
        }
        for event in said.refused.iter().flatten() {
            if found(event.room, event.seq) == Some(event) {
                return Err(format!("was refused and came to be: {event:?}"));
            }
        }
        let mut known = BTreeSet::new();
        for turn in &said.offered {
            let there = |event: &Arc<Event>| {
                found(event.room, event.seq)
                    .is_some_and(|is| is_still(is, event, &histories[&event.room]))
            };
            let count = turn.iter().filter(|event| there(event)).count();
            if count != 0 && count != turn.len() {
                return Err(format!("{count} of the {} events of a turn", turn.len()));
            }
            known.extend(turn.iter().filter(|e| there(e)).map(|event| (event.room, event.seq)));
        }
        let mut bodies = BTreeSet::new();
        for event in histories.values().flatten() {
            if !known.contains(&(event.room, event.seq))
                && !said.durable.contains_key(&(event.room, event.seq))
            {
                return Err(format!("nobody said {event:?}"));
            }
            if let EventKind::Posted { body, .. } = &event.kind
                && !body.is_erased()
                && !bodies.insert(body.as_str())
            {
                return Err(format!("twice: {event:?}"));
            }
        }
        said.offered.clear();
        said.durable = histories
            .values()
            .flatten()
            .map(|event| ((event.room, event.seq), event.clone()))
            .collect();
        server.fold().map_err(|e| e.to_string())?;
        if !are_still(&server.histories()?, &histories) {
            return Err("the fold has changed what is read".into());
        }
        server.check_rooms(&histories)
    }

    /// A turn of one post more: its number is above all that were given, and an old post asked for
    /// again is answered as it was.
    pub fn check_goes_on(&self, server: &Server, chance: &mut SmallRng) -> Result<(), String> {
        let before = lock(&self.said).newest;
        for shard in 0..SHARDS {
            let Some(post) = self.any_post(shard, chance) else { continue };
            let EventKind::Posted { n, author, origin_id, .. } = &post.kind else { continue };
            let request = |command| Request { from: author.clone(), command };
            let room = post.room;
            let body = Body::parse(format!("again {}", chance.random::<u64>())).unwrap();
            let origin_id = origin_id.clone();
            let repeat = Command::Post { room, origin_id, body, extras: None };
            let batch = [request(Command::Join { room }), request(repeat)];
            let outcomes = server.turn(shard, &batch, self).map_err(|e| e.to_string())?;
            let expected = Reply::Posted { seq: post.seq, n: *n, at: post.at, repeat: true };
            // Who was banned or muted since is not answered, as whoever else asks.
            let barred = [Rejection::Banned, Rejection::NoSuchRoom, Rejection::Muted];
            let barred = outcomes.iter().any(|it| it.is_err_and(|it| barred.contains(&it)));
            if outcomes[1] != Ok(expected) && !barred {
                return Err(format!("asked again for {post:?}, was told {:?}", outcomes[1]));
            }
        }
        for shard in 0..SHARDS {
            let batch = [create(shard, chance)];
            server.turn(shard, &batch, self).map_err(|e| e.to_string())?;
        }
        let said = lock(&self.said);
        let newest = said.durable.values().max_by_key(|event| event.at).map(|event| event.seq);
        if newest.is_some() && said.newest < before {
            return Err(format!("the log numbers turns {:?} after {before:?}", said.newest));
        }
        Ok(())
    }
}
