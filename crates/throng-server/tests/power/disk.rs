//! A disk in memory that keeps what was not synced apart, and can lose it.
//!
//! Neighbours: `vfs` calls it as SQLite calls a file system; the tests plan what goes wrong. It
//! promises what a disk with a file system does, and no more: what was synced stays; of what was not,
//! any part may, in any order, in sectors of 512 bytes; bytes beside a write are not touched by it
//! (SQLite's `POWERSAFE_OVERWRITE`, which its own layer for this system claims too); names come and go
//! durably when the folder is synced, as that layer does at a journal's or WAL's first sync.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use libsqlite3_sys as ffi;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const SECTOR: usize = 512;

/// SQLite's code for what went wrong.
pub type Code = i32;
pub type InodeId = usize;

/// What can go wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and does nothing.
    Eio,
    /// The call fails for want of space and does nothing; reads and syncs cannot.
    Enospc,
    /// Half of a write is written, then it fails; other calls fail and do nothing.
    Short,
    /// A sync fails, and what was written is lost from then on: the pages are marked clean.
    Sync,
}

/// The calls that change something, which a power cut can meet, and reads, which can only fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Open,
    Read,
    Write,
    Truncate,
    Sync,
    Delete,
}

#[derive(Debug)]
pub struct Disk {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, InodeId>,
    durable_names: BTreeMap<String, InodeId>,
    /// Which name became which, in order: a file that was renamed has one of the two.
    renamed: Vec<(String, String)>,
    /// Calls that change something, so far.
    changes: u64,
    /// All calls, so far.
    calls: u64,
    kinds: Vec<Call>,
    cut_at: Option<u64>,
    /// From this call on, so many calls.
    fault: Option<(u64, u64, Fault)>,
    /// Files of which a sync failed.
    unsynced: Vec<String>,
    /// Bytes that all files together may take.
    space: Option<usize>,
    off: bool,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    /// As it was at the last sync.
    durable: Vec<u8>,
    /// As those see it that read it now.
    current: Vec<u8>,
    /// What was done since the last sync, in order.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { size: usize },
}

/// What a cut does to what was not synced.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// All of it is gone.
    All,
    /// None of it is: the cut came just after the disk had caught up.
    None,
    /// It was on its way in order; what was under way is torn.
    Order,
    /// Each sector by itself: this many of a hundred arrive, earlier or later ones.
    Sectors(u32),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Truncate { size } => content.resize(*size, 0),
            Self::Write { offset, bytes } => write(content, *offset, bytes, 0),
        }
    }
}

/// Writes; what lies between the end and the write is filled.
fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8], fill: u8) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, fill);
    }
    content[offset..end].copy_from_slice(bytes);
}

impl Disk {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default() })
    }

    /// The power goes at this call that changes something, counted from now.
    pub fn cut_at(&self, change: u64) {
        let mut state = self.state();
        state.cut_at = Some(state.changes + change);
    }

    /// From this call on, counted from now, so many calls fail, and no other.
    pub fn fail_from(&self, call: u64, calls: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.calls + call, calls, fault));
    }

    /// There is space again.
    pub fn free_space(&self) {
        self.state().space = None;
    }

    /// Whether there is nothing that a power cut could take.
    pub fn is_settled(&self) -> bool {
        let state = self.state();
        let settled = |inode: &InodeId| {
            let inode = &state.inodes[*inode];
            inode.pending.is_empty() && inode.durable == inode.current
        };
        state.names == state.durable_names && state.names.values().all(settled)
    }

    /// Another process begins, and trusts what it finds: the journals as the disk has them (`app/folder.rs`).
    pub fn forget_failed_syncs(&self) {
        let mut state = self.state();
        state.unsynced.clear();
        state.read_journals();
    }

    /// Whether a sync failed of a file whose name begins so.
    pub fn sync_failed(&self, name: &str) -> bool {
        self.state().unsynced.iter().any(|file| file.starts_with(name))
    }

    /// The files may grow by so many bytes more.
    pub fn leave_space(&self, bytes: usize) {
        let mut state = self.state();
        state.space = Some(state.used() + bytes);
    }

    /// Which of the calls so far this fault would have met otherwise than another.
    pub fn met_by(&self, fault: Fault) -> Vec<u64> {
        let meets = |call: &Call| match fault {
            Fault::Eio => true,
            Fault::Enospc => matches!(call, Call::Open | Call::Write),
            Fault::Short => *call == Call::Write,
            Fault::Sync => *call == Call::Sync,
        };
        (1..).zip(&self.state().kinds).filter(|(_, kind)| meets(kind)).map(|(at, _)| at).collect()
    }

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// The power goes now.
    pub fn cut(&self) {
        self.state().off = true;
    }

    /// What is found when the power is back.
    pub fn after_cut(&self, chance: &mut SmallRng) -> Arc<Self> {
        let state = self.state();
        assert!(state.off, "the power is still there");
        let loss = match chance.random_range(0..10) {
            0 | 1 => Loss::All,
            2 => Loss::None,
            3 | 4 => Loss::Order,
            _ => Loss::Sectors([10, 50, 90][chance.random_range(0..3)]),
        };
        let fill = if chance.random_ratio(1, 4) { 0xa5 } else { 0 };
        let survives = |inode: &Inode, chance: &mut SmallRng| {
            let content = inode.after_cut(loss, fill, chance);
            Inode { durable: content.clone(), current: content, pending: Vec::new() }
        };
        let mut after = State::default();
        let names: Vec<&String> = state.names.keys().chain(state.durable_names.keys()).collect();
        for name in names {
            if after.names.contains_key(name) {
                continue;
            }
            let (now, synced) = (state.names.get(name), state.durable_names.get(name));
            let kept = match loss {
                Loss::All => false,
                Loss::None => true,
                Loss::Order | Loss::Sectors(_) => chance.random(),
            };
            let Some(inode) = (if now == synced || kept { now } else { synced }) else { continue };
            after.names.insert(name.clone(), after.inodes.len());
            after.inodes.push(survives(&state.inodes[*inode], chance));
        }
        for (old, new) in &state.renamed {
            let (Some(inode), false) =
                (state.durable_names.get(old), after.names.contains_key(new))
            else {
                continue;
            };
            if !after.names.contains_key(old) {
                after.names.insert(old.clone(), after.inodes.len());
                after.inodes.push(survives(&state.inodes[*inode], chance));
            }
        }
        after.durable_names = after.names.clone();
        Arc::new(Self { state: Mutex::new(after) })
    }

    /// What the next process finds when one alone has died: what was not synced can be read, and can still be
    /// lost. But its start syncs the journals and reads them as the disk has them (`app/folder.rs`).
    pub fn after_kill(&self) -> Arc<Self> {
        let state = self.state();
        let mut after = State {
            inodes: state.inodes.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            renamed: state.renamed.clone(),
            ..State::default()
        };
        after.read_journals();
        Arc::new(Self { state: Mutex::new(after) })
    }

    pub fn open(&self, name: &str, create: bool) -> Result<InodeId, Code> {
        let mut state = self.state();
        state.call(Call::Open)?;
        if let Some(inode) = state.names.get(name) {
            return Ok(*inode);
        }
        if !create {
            return Err(ffi::SQLITE_CANTOPEN);
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(name.to_owned(), inode);
        Ok(inode)
    }

    pub fn exists(&self, name: &str) -> bool {
        self.state().names.contains_key(name)
    }

    pub fn delete(&self, name: &str, sync_folder: bool) -> Result<(), Code> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(ffi::SQLITE_IOERR_DELETE_NOENT);
        }
        let called = state.call(Call::Delete);
        if called.is_ok() || state.off {
            state.names.remove(name);
        }
        called?;
        if sync_folder {
            state.durable_names = state.names.clone();
        }
        Ok(())
    }

    /// Another name for a file, in place of one that had it.
    pub fn rename(&self, old: &str, new: &str) -> Result<(), Code> {
        let mut state = self.state();
        if !state.names.contains_key(old) {
            return Err(ffi::SQLITE_IOERR_DELETE_NOENT);
        }
        let called = state.call(Call::Delete);
        if called.is_ok() || state.off {
            let inode = state.names.remove(old).expect("it was there");
            state.names.insert(new.to_owned(), inode);
            state.renamed.push((old.to_owned(), new.to_owned()));
        }
        called
    }

    /// The names in a folder are durable as they are.
    pub fn sync_folder(&self, folder: &str) -> Result<(), Code> {
        let mut state = self.state();
        state.call(Call::Sync)?;
        let inside = |name: &String| name.rsplit_once('/').is_some_and(|(its, _)| its == folder);
        let names = state.names.clone();
        state.durable_names.retain(|name, _| !inside(name));
        state.durable_names.extend(names.into_iter().filter(|(name, _)| inside(name)));
        Ok(())
    }

    /// The names in a folder.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let state = self.state();
        let parted = state.names.keys().filter_map(|name| name.rsplit_once('/'));
        parted.filter(|(its, _)| *its == folder).map(|(_, name)| name.to_owned()).collect()
    }

    /// What stands in every file.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        let state = self.state();
        state.names.values().map(|inode| state.inodes[*inode].current.clone()).collect()
    }

    /// Reads what there is; the rest of `into` is left alone.
    pub fn read(&self, inode: InodeId, offset: usize, into: &mut [u8]) -> Result<usize, Code> {
        let mut state = self.state();
        state.call(Call::Read)?;
        let content = &state.inodes[inode].current;
        let from = offset.min(content.len());
        let count = into.len().min(content.len() - from);
        into[..count].copy_from_slice(&content[from..from + count]);
        Ok(count)
    }

    pub fn write(&self, inode: InodeId, offset: usize, bytes: &[u8]) -> Result<(), Code> {
        let mut state = self.state();
        let grows = (offset + bytes.len()).saturating_sub(state.inodes[inode].current.len());
        if state.space.is_some_and(|space| state.used() + grows > space) {
            return Err(ffi::SQLITE_FULL);
        }
        let was_on = !state.off;
        let called = state.call(Call::Write);
        let written = match called {
            Ok(()) => bytes.len(),
            Err(_) if was_on && state.off => bytes.len(),
            Err(_) if state.failing() == Some(Fault::Short) => bytes.len() / 2,
            Err(_) => 0,
        };
        if written > 0 {
            state.inodes[inode].change(Change::Write { offset, bytes: bytes[..written].to_vec() });
        }
        called
    }

    pub fn truncate(&self, inode: InodeId, size: usize) -> Result<(), Code> {
        let mut state = self.state();
        let was_on = !state.off;
        let called = state.call(Call::Truncate);
        if called.is_ok() || (was_on && state.off) {
            state.inodes[inode].change(Change::Truncate { size });
        }
        called
    }

    pub fn sync(&self, inode: InodeId, sync_folder: bool) -> Result<(), Code> {
        let mut state = self.state();
        let called = state.call(Call::Sync);
        if called.is_err() && !state.off {
            let named = state.names.iter().find(|(_, of)| **of == inode).map(|(name, _)| name);
            let name = named.cloned().unwrap_or_default();
            state.unsynced.push(name);
            if state.failing() == Some(Fault::Sync) {
                // The pages are clean now, and were never written: a later sync passes over them.
                state.inodes[inode].lose_pending();
            }
        }
        called?;
        let file = &mut state.inodes[inode];
        for change in std::mem::take(&mut file.pending) {
            change.apply(&mut file.durable);
        }
        if sync_folder {
            state.durable_names = state.names.clone();
        }
        Ok(())
    }

    pub fn size(&self, inode: InodeId) -> usize {
        self.state().inodes[inode].current.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the disk")
    }
}

impl State {
    /// They are synced, and what memory alone has of them is let go of.
    fn read_journals(&mut self) {
        let journals = self.names.iter().filter(|(name, _)| name.ends_with("-wal"));
        let journals: Vec<InodeId> = journals.map(|(_, inode)| *inode).collect();
        for inode in journals {
            let journal = &mut self.inodes[inode];
            for change in std::mem::take(&mut journal.pending) {
                change.apply(&mut journal.durable);
            }
            journal.current.clone_from(&journal.durable);
        }
    }

    /// Counts a call, and says whether it comes to pass.
    fn call(&mut self, call: Call) -> Result<(), Code> {
        if self.off {
            return Err(ffi::SQLITE_IOERR);
        }
        self.calls += 1;
        self.kinds.push(call);
        if call != Call::Read {
            self.changes += 1;
            if Some(self.changes) == self.cut_at {
                self.off = true;
                return Err(ffi::SQLITE_IOERR);
            }
        }
        match self.failing() {
            None => Ok(()),
            Some(fault) => call.fails(fault).map_or(Ok(()), Err),
        }
    }

    fn failing(&self) -> Option<Fault> {
        let (from, calls, fault) = self.fault?;
        (from..from + calls).contains(&self.calls).then_some(fault)
    }

    fn used(&self) -> usize {
        self.names.values().map(|inode| self.inodes[*inode].current.len()).sum()
    }
}

impl Call {
    /// With which code this fault meets this call, if it does.
    fn fails(self, fault: Fault) -> Option<Code> {
        match (fault, self) {
            (Fault::Enospc, Self::Write) => Some(ffi::SQLITE_FULL),
            (Fault::Enospc, Self::Open) => Some(ffi::SQLITE_CANTOPEN),
            (Fault::Sync, Self::Sync) => Some(ffi::SQLITE_IOERR_FSYNC),
            (Fault::Enospc | Fault::Sync, _) => None,
            (_, Self::Open) => Some(ffi::SQLITE_CANTOPEN),
            (_, Self::Read) => Some(ffi::SQLITE_IOERR_READ),
            (_, Self::Write) => Some(ffi::SQLITE_IOERR_WRITE),
            (_, Self::Truncate) => Some(ffi::SQLITE_IOERR_TRUNCATE),
            (_, Self::Sync) => Some(ffi::SQLITE_IOERR_FSYNC),
            (_, Self::Delete) => Some(ffi::SQLITE_IOERR_DELETE),
        }
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    /// Seen by those who read, but never written: gone with the power.
    fn lose_pending(&mut self) {
        let size = self.current.len();
        self.pending.clear();
        self.durable.resize(size, 0);
    }

    fn after_cut(&self, loss: Loss, fill: u8, chance: &mut SmallRng) -> Vec<u8> {
        let mut content = self.durable.clone();
        match loss {
            Loss::All => {}
            Loss::None => self.pending.iter().for_each(|change| change.apply(&mut content)),
            Loss::Order => {
                let arrived = chance.random_range(0..=self.pending.len());
                self.pending[..arrived].iter().for_each(|change| change.apply(&mut content));
                if let Some(Change::Write { offset, bytes }) = self.pending.get(arrived) {
                    let sectors = chance.random_range(0..=bytes.len().div_ceil(SECTOR));
                    let torn = &bytes[..bytes.len().min(sectors * SECTOR)];
                    write(&mut content, *offset, torn, fill);
                }
            }
            Loss::Sectors(percent) => {
                for change in &self.pending {
                    keep_some(change, percent, fill, chance, &mut content);
                }
            }
        }
        content
    }
}

fn keep_some(
    change: &Change,
    percent: u32,
    fill: u8,
    chance: &mut SmallRng,
    content: &mut Vec<u8>,
) {
    match change {
        Change::Truncate { .. } => {
            if chance.random_ratio(percent, 100) {
                change.apply(content);
            }
        }
        Change::Write { offset, bytes } => {
            let mut from = 0;
            while from < bytes.len() {
                // Sectors are those of the disk, not of the write.
                let end = bytes.len().min(from + SECTOR - (offset + from) % SECTOR);
                if chance.random_ratio(percent, 100) {
                    write(content, offset + from, &bytes[from..end], fill);
                }
                from = end;
            }
        }
    }
}

#[test]
fn a_cut_keeps_what_was_synced_and_any_part_of_what_was_not() {
    let disk = Disk::new();
    let file = disk.open("/f", true).unwrap();
    disk.write(file, 0, &[1; 2 * SECTOR]).unwrap();
    disk.sync(file, true).unwrap();
    disk.write(file, 0, &[2; 2 * SECTOR]).unwrap();
    disk.open("/unsynced", true).unwrap();
    disk.cut();
    assert!(disk.write(file, 0, &[3]).is_err());
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut chance = SmallRng::seed_from_u64(seed);
        let after = disk.after_cut(&mut chance);
        let file = after.open("/f", false).unwrap();
        let mut bytes = [0; 2 * SECTOR];
        assert_eq!(after.read(file, 0, &mut bytes).unwrap(), bytes.len());
        let sectors = [0, 1].map(|sector| bytes[sector * SECTOR]);
        assert!(bytes.chunks(SECTOR).zip(sectors).all(|(s, is)| s.iter().all(|b| *b == is)));
        seen.insert((sectors, after.exists("/unsynced")));
    }
    let both = |sectors| seen.contains(&(sectors, true)) && seen.contains(&(sectors, false));
    assert!(both([1, 1]) && both([2, 2]) && both([1, 2]) && both([2, 1]), "{seen:?}");
}
