//! The power goes while the store folds, erases and gives space back: what is kept is there, whole and in
//! order, and what was to go is in no row, and in no file that was written anew, once the erasing has been
//! done again.
//!
//! The real store on a disk of ours. A seed is one disk and up to four lives on it, each ended by a cut
//! at a call drawn from the seed; every seed repeats exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rusqlite::{Connection, OpenFlags};
use throng_core::{
    Act, Author, Body, Event, EventKind, Kind, OriginId, RoomId, RoomName, Seq, Timestamp, UserId,
    Username,
};
use throng_server::pages::Span;
use throng_server::store::{Erasing, RoomBatch, SqliteStore, Store, StoreOptions};

use super::cuts::{FIRST_VARIABLE, SEEDS_VARIABLE, seeds};
use super::disk::Disk;
use super::lives::{until_cut, while_powered};
use super::vfs::{self, Mounted};

const ROOMS: u32 = 3;
const USERS: u64 = 3;

#[test]
fn what_is_kept_outlives_a_cut_amid_erasing_and_what_is_not_is_in_no_file() {
    for seed in seeds() {
        if let Err(violation) = run(seed, true) {
            panic!(
                "seed {seed}: {violation:.400}\nto repeat: {FIRST_VARIABLE}={seed} {SEEDS_VARIABLE}=1 \
                 cargo test -p throng-server --test runner power::erasing"
            );
        }
    }
}

#[test]
fn texts_that_stay_in_the_files_are_found() {
    let caught = (0..20).find(|seed| run(*seed, false).is_err());
    assert!(caught.is_some(), "20 seeds did not notice that nothing is erased");
}

/// A room as it was said, and what of it was to go.
#[derive(Debug, Default)]
struct Said {
    events: Vec<Arc<Event>>,
    /// What is there after a power cut, at least.
    synced: usize,
    texts: Timestamp,
    places: Timestamp,
    /// Up to which place all was taken away of a sender.
    swept: BTreeMap<UserId, Seq>,
}

fn author(number: u64) -> Author {
    let name = Username::parse(&format!("user{number}")).unwrap();
    Author { id: UserId::new(number).unwrap(), name }
}

/// A text that stands nowhere else.
fn text(chance: &mut SmallRng) -> Body {
    let len = [0, 30, 300, 9_000][chance.random_range(0..4)];
    Body::parse(format!("<{:032x}>{}", chance.random::<u128>(), "z".repeat(len.min(8_000))))
        .unwrap()
}

impl Said {
    fn next(&self, room: RoomId, chance: &mut SmallRng) -> EventKind {
        let by = author(chance.random_range(1..=USERS));
        let posts = || self.events.iter().filter(|it| matches!(it.kind, EventKind::Posted { .. }));
        match self.events.len() {
            0 => {
                let name = RoomName::parse(&format!("room {room}")).unwrap();
                return EventKind::Created { by, name, kind: Kind::Public };
            }
            1 => return EventKind::Joined { who: by },
            _ => {}
        }
        let count = posts().count();
        if count > 0 && chance.random_ratio(1, 6) {
            let of = posts().nth(chance.random_range(0..count)).unwrap();
            // Of what stands: the shard takes no other edit.
            if let EventKind::Posted { author: by, .. } = &of.kind
                && self.stands(of)
            {
                // A text that is left blank stands, and is not one that was erased.
                let blank = chance.random_ratio(1, 8);
                let body = if blank { Body::beside_files("").unwrap() } else { text(chance) };
                return EventKind::Edited { by: by.clone(), of: of.seq, body };
            }
        }
        if chance.random_ratio(1, 60) {
            return EventKind::Moderated { by: author(9), who: by, act: Act::DeleteAll };
        }
        let origin_id = Some(OriginId::parse(format!("{:x}", chance.random::<u64>())).unwrap());
        let n = count as u64 + 1;
        EventKind::Posted { n, author: by, origin_id, body: text(chance), extras: None }
    }

    /// Whether the text of a post or an edit is to be there.
    fn stands(&self, event: &Event) -> bool {
        let (of, by) = match &event.kind {
            EventKind::Posted { author, .. } => (event, author.id),
            EventKind::Edited { by, of, .. } => (&*self.events[of.0 as usize - 1], by.id),
            _ => return true,
        };
        let swept = self.swept.get(&by).is_some_and(|before| event.seq < *before);
        let replaced = matches!(event.kind, EventKind::Edited { .. })
            && self.events[event.seq.0 as usize..].iter().any(
                |later| matches!(&later.kind, EventKind::Edited { of: again, .. } if *again == of.seq),
            );
        of.at >= self.texts && !swept && !replaced
    }

    /// After a cut: what was not synced may be gone, for the log to bring again.
    fn cut(&mut self, head: usize) {
        self.events.truncate(head);
        self.swept = self
            .events
            .iter()
            .filter_map(|event| Some((event.kind.sweeps()?, event.seq)))
            .collect();
    }

    /// What is there is what was said, from one end of it that is not too old to the other.
    fn check(&mut self, room: RoomId, store: &SqliteStore) -> Result<(), String> {
        let there = store.page(room, Span::After(Seq(0)), 99_999).map_err(|e| e.to_string())?;
        let head = there.last().map_or(0, |event| event.seq.0 as usize);
        if head < self.synced || head > self.events.len() {
            return Err(format!("room {room} ends at {head}, {} were synced", self.synced));
        }
        self.cut(head);
        let first = there.first().map_or(1, |event| event.seq.0);
        if !there.iter().map(|event| event.seq.0).eq(first..first + there.len() as u64) {
            return Err(format!("room {room} has a hole"));
        }
        let early = self.events.iter().take(first as usize - 1).find(|it| it.at >= self.places);
        if let Some(early) = early {
            return Err(format!("lost: {early:?}"));
        }
        for (is, said) in there.iter().zip(&self.events[first as usize - 1..]) {
            let erased = **is == said.erased() && !self.stands(said);
            if is != said && !erased {
                return Err(format!("said {said:?}, found {is:?}"));
            }
        }
        Ok(())
    }
}

/// All beginnings of texts that stand in a file, wherever.
fn marks(disk: &Disk) -> BTreeSet<Vec<u8>> {
    let mut marks = BTreeSet::new();
    for file in disk.contents() {
        let windows = file.windows(34).filter(|window| window[0] == b'<' && window[33] == b'>');
        marks.extend(windows.map(<[u8]>::to_vec));
    }
    marks
}

struct Life<'a> {
    mounted: &'a Mounted,
    said: &'a mut BTreeMap<RoomId, Said>,
    now: &'a mut u64,
    erases: bool,
    packs: bool,
}

impl Life<'_> {
    fn open(&self) -> Result<SqliteStore, String> {
        let pack_from = self.packs.then_some(256);
        let options = StoreOptions { vfs: Some(vfs::NAME.into()), readers: 1, pack_from };
        SqliteStore::open(&self.mounted.path("store.db"), &options).map_err(|e| e.to_string())
    }

    fn step(&mut self, store: &SqliteStore, chance: &mut SmallRng) -> Result<(), String> {
        let room = RoomId::new(chance.random_range(1..=ROOMS)).unwrap();
        let said = self.said.entry(room).or_default();
        match chance.random_range(0..10) {
            0..5 => {
                let from = said.events.len();
                for _ in 0..chance.random_range(1..50) {
                    let kind = said.next(room, chance);
                    if let Some(user) = kind.sweeps() {
                        said.swept.insert(user, Seq(said.events.len() as u64 + 1));
                    }
                    *self.now += 1;
                    let seq = Seq(said.events.len() as u64 + 1);
                    let (prev, at) = (Seq(seq.0 - 1), Timestamp(*self.now));
                    said.events.push(Arc::new(Event { room, seq, prev, pushed: true, at, kind }));
                }
                let events = said.events[from..].to_vec();
                store.fold(&[RoomBatch { room, events }]).map_err(|e| e.to_string())?;
            }
            5..7 => self.sync(store)?,
            7 if !said.events.is_empty() => {
                let place = chance.random_range(0..said.events.len());
                said.texts = said.texts.max(said.events[place].at);
                said.places = said.places.max(Timestamp(said.texts.0 / 2));
                self.erase(store, Some(room))?;
            }
            8 => self.erase(store, None)?,
            _ if self.erases => {
                _ = store.erase(Erasing::Remains).map_err(|e| e.to_string())?;
            }
            _ => {}
        }
        Ok(())
    }

    fn sync(&mut self, store: &SqliteStore) -> Result<(), String> {
        store.sync().map_err(|e| e.to_string())?;
        self.said.values_mut().for_each(|said| said.synced = said.events.len());
        Ok(())
    }

    fn erase(&self, store: &SqliteStore, room: Option<RoomId>) -> Result<(), String> {
        let what = match room {
            _ if !self.erases => return Ok(()),
            Some(room) => {
                let Said { texts, places, .. } = self.said[&room];
                Erasing::Old { room, texts, places }
            }
            None => Erasing::Swept,
        };
        store.erase(what).map(|_| ()).map_err(|e| e.to_string())
    }

    fn check(&mut self, store: &SqliteStore) -> Result<(), String> {
        self.said.iter_mut().try_for_each(|(room, said)| said.check(*room, store))
    }

    /// As an operator may: SQLite leaves copies of rows in the unused parts of pages that they left.
    fn write_anew(&self) -> Result<(), String> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let path = self.mounted.path("store.db");
        let store = Connection::open_with_flags_and_vfs(path, flags, vfs::NAME);
        let vacuum = "PRAGMA temp_store = MEMORY; VACUUM";
        let anew = store.and_then(|store| {
            store.execute_batch(vacuum)?;
            store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        });
        anew.map_err(|error| error.to_string())
    }

    /// All that is to go has gone: no row has it, nor a file that is written anew.
    fn finish(&mut self, store: &SqliteStore) -> Result<(), String> {
        let rooms = self.said.iter();
        let old = rooms.map(|(room, said)| (*room, said.texts, said.places));
        let old = old.map(|(room, texts, places)| Erasing::Old { room, texts, places });
        for what in old.chain([Erasing::Swept, Erasing::Remains]).filter(|_| self.erases) {
            while store.erase(what).map_err(|e| e.to_string())?.more {
                store.sync().map_err(|e| e.to_string())?;
            }
        }
        self.check(store)?;
        self.write_anew()?;
        let left = marks(&self.mounted.disk);
        for said in self.said.values() {
            for event in said.events.iter().filter(|event| !said.stands(event)) {
                let (EventKind::Posted { body, .. } | EventKind::Edited { body, .. }) = &event.kind
                else {
                    continue;
                };
                if !body.is_blank() && left.contains(&body.as_str().as_bytes()[..34]) {
                    return Err(format!("still in a file: {event:?}"));
                }
            }
        }
        Ok(())
    }
}

fn run(seed: u64, erases: bool) -> Result<(), String> {
    let mut chance = SmallRng::seed_from_u64(seed);
    let (mut said, mut now) = (BTreeMap::new(), 0);
    let packs = seed.is_multiple_of(2);
    let (mounted, _) = until_cut(&mut chance, (60, 600), |mounted, chance| {
        let mut life = Life { mounted, said: &mut said, now: &mut now, erases, packs };
        live(&mut life, chance)
    })?;
    let mut life = Life { mounted: &mounted, said: &mut said, now: &mut now, erases, packs };
    let store = life.open()?;
    life.check(&store)?;
    life.finish(&store)
}

fn live(life: &mut Life<'_>, chance: &mut SmallRng) -> Result<(), String> {
    let store = match life.open() {
        Ok(store) => store,
        Err(failed) => return while_powered(life.mounted, failed),
    };
    life.check(&store)
        .and_then(|()| (0..chance.random_range(5..40)).try_for_each(|_| life.step(&store, chance)))
        .or_else(|failed| while_powered(life.mounted, failed))
}
