//! The power goes, and calls fail, under the files: what was answered is there afterwards.
//!
//! The real files and their table, both on one disk of ours. A seed is one disk and up to four lives on
//! it, each ended by a cut at a call drawn from the seed. Three claims: how much of a file was told to
//! have come, has; what was told to be whole is whole, byte for byte, and what a message carries stays
//! so through every sweep; and what is on its way goes on from where it was told to be. A seed repeats but
//! for the files' ids, which are random, and so the order in which parts are looked at.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use throng_core::{FileHash, FileId, FileName, Limits, Rejection, Timestamp, UserId};
use throng_server::clock::Clock;
use throng_server::files::shelf::{Growing, Shelf, Source};
use throng_server::files::{Carriers, Files, Place, Turn};
use throng_server::lifecycle::Fatal;

use super::cuts::hold;
use super::disk::{Code, Disk, InodeId};
use super::lives::{each_call_fails, some_steps, until_cut, while_powered};
use super::vfs::{self, Mounted};
use super::workload::lock;

const UNUSED: Duration = Duration::from_hours(1);
const LEN_MAX: usize = 3_000;

/// The disk as a shelf, beside SQLite's files on it.
#[derive(Debug)]
struct OnDisk {
    disk: Arc<Disk>,
    fault_no_sync: bool,
}

#[derive(Debug)]
struct Opened {
    disk: Arc<Disk>,
    inode: InodeId,
    at: u64,
    fault_no_sync: bool,
}

fn failed(code: Code) -> io::Error {
    match code & 0xff {
        libsqlite3_sys::SQLITE_FULL => io::ErrorKind::StorageFull.into(),
        _ => io::Error::other(format!("the disk says {code}")),
    }
}

/// As `vfs` has it: what stands behind the number of the disk.
fn name(path: &Path) -> String {
    let path = path.to_str().unwrap().trim_start_matches('/');
    path.split_once('/').unwrap().1.to_owned()
}

impl OnDisk {
    fn inode(&self, path: &Path, create: bool) -> io::Result<Opened> {
        let name = name(path);
        if !create && !self.disk.exists(&name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = self.disk.open(&name, create).map_err(failed)?;
        let disk = Arc::clone(&self.disk);
        Ok(Opened { disk, inode, at: 0, fault_no_sync: self.fault_no_sync })
    }
}

impl Shelf for OnDisk {
    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn grow(&self, path: &Path, len: u64) -> io::Result<Box<dyn Growing>> {
        let mut file = self.inode(path, len == 0)?;
        let here = self.disk.size(file.inode) as u64;
        if here < len {
            return Err(io::ErrorKind::NotFound.into());
        }
        if here > len {
            file.cut(len)?;
        }
        file.at = len;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<(Box<dyn Source>, u64)> {
        let file = self.inode(path, false)?;
        let len = self.disk.size(file.inode) as u64;
        Ok((Box::new(file), len))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(&name(from), &name(to)).map_err(failed)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_folder(&name(path)).map_err(failed)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.disk.exists(&name(path)) {
            return Ok(());
        }
        self.disk.delete(&name(path), false).map_err(failed)
    }

    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        Ok(self.disk.names(&name(path)))
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }
}

impl Growing for Opened {
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(self.inode, self.at as usize, bytes).map_err(failed)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.fault_no_sync {
            return Ok(());
        }
        self.disk.sync(self.inode, false).map_err(failed)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.disk.truncate(self.inode, len as usize).map_err(failed)
    }
}

impl Read for Opened {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.disk.read(self.inode, self.at as usize, into).map_err(failed)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Opened {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let end = self.disk.size(self.inode) as u64;
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => end.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// What was answered of one file.
#[derive(Clone, Debug)]
struct Known {
    bytes: Vec<u8>,
    /// So much of it was told to have come.
    here: u64,
    whole: bool,
    /// A message carries it.
    carried: bool,
    /// A message carried it once, or it was given up, or left: it may go.
    may_go: bool,
}

/// All that was answered, through all lives.
#[derive(Clone, Debug, Default)]
struct Truth(Vec<(FileId, Known)>);

/// The messages, which are on another disk.
#[derive(Clone, Debug, Default)]
struct Messages(Arc<Mutex<Vec<FileId>>>);

impl Carriers for Messages {
    fn carry(&self, file: FileId, _: Timestamp) -> Option<bool> {
        Some(lock(&self.0).contains(&file))
    }

    fn shows(&self, _: FileHash) -> bool {
        false
    }
}

/// One life of the files on a disk.
struct Life {
    files: Arc<Files>,
    messages: Messages,
    clock: Clock,
}

fn owner() -> UserId {
    UserId::new(1).unwrap()
}

/// A read may meet a fault, but only once.
fn insist<T>(ask: impl Fn() -> Result<T, Rejection>) -> Result<T, Rejection> {
    match ask() {
        Err(Rejection::Unavailable) => ask(),
        done => done,
    }
}

impl Life {
    fn start(mounted: &Mounted, truth: &Truth, fault_no_sync: bool) -> Result<Self, String> {
        let unused = UNUSED.as_millis() as u64;
        let limits = Limits { disk_free_min: 0, file_unused_ms: unused, ..Limits::default() };
        let limits = Limits { uploads_per_user_max: 10_000, ..limits };
        let shelf = Arc::new(OnDisk { disk: Arc::clone(&mounted.disk), fault_no_sync });
        let folder = mounted.path("");
        let place = Place { folder: &folder, shelf, vfs: Some(vfs::NAME) };
        let messages = Messages::default();
        *lock(&messages.0) = truth.carried();
        // A failed sync ends the process: nothing is answered after it.
        let disk = Arc::clone(&mounted.disk);
        let fatal = Fatal::new(move |_, _| disk.cut());
        let clock = Clock::manual();
        let files = Files::open(place, &limits, clock.clone(), fatal, messages.clone());
        let files = files.map_err(|error| error.to_string())?;
        Ok(Self { files, messages, clock })
    }

    /// One request, and what its answer says about the truth.
    fn step(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        match chance.random_range(0..20) {
            0..4 => self.begin(truth, chance),
            4..13 => self.add(truth, chance)?,
            13..16 => self.carry(truth, chance)?,
            16 => self.delete(truth, chance),
            17 => self.give_up(truth, chance),
            _ => self.sweep(truth, chance),
        }
        Ok(())
    }

    fn begin(&self, truth: &mut Truth, chance: &mut SmallRng) {
        // Few different bytes, so that two files are sometimes the same.
        let (byte, len) = (chance.random_range(0..4), chance.random_range(1..=LEN_MAX));
        let len = if chance.random_ratio(1, 4) { 600 } else { len };
        let name = FileName::parse("cat").unwrap();
        if let Ok(id) = self.files.begin(owner(), &name, len as u64) {
            let bytes: Vec<u8> = (0..len).map(|at| byte ^ (at / 7) as u8).collect();
            let known = Known { bytes, here: 0, whole: false, carried: false, may_go: false };
            truth.0.push((id, known));
        }
    }

    /// A part of a file, in some pieces; it is settled, or its client goes away in the middle of it.
    fn add(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        let Some((id, known)) = truth.any(chance, |known| !known.whole && !known.may_go) else {
            return Ok(());
        };
        let Ok(Turn::Now(mut part)) = self.files.part(owner(), id, known.here) else {
            // Its last answer was lost: it is asked how much has come.
            return match self.files.find(owner(), id) {
                Ok(found) => truth.told(id, found.here, found.whole),
                Err(Rejection::NoSuchFile) => Err(format!("{id:?} is gone")),
                Err(_) => Ok(()),
            };
        };
        let to = chance.random_range(known.here as usize..=known.bytes.len());
        let to = if chance.random_ratio(1, 3) { known.bytes.len() } else { to };
        for piece in known.bytes[known.here as usize..to].chunks(700) {
            if part.write(piece).is_err() {
                break;
            }
        }
        let here = part.here;
        if chance.random_ratio(9, 10)
            && let Ok(whole) = part.settle()
        {
            return truth.told(id, here, whole);
        }
        Ok(())
    }

    fn carry(&self, truth: &mut Truth, chance: &mut SmallRng) -> Result<(), String> {
        let Some((id, known)) = truth.any(chance, |known| !known.may_go) else { return Ok(()) };
        match self.files.carried(owner(), &[id]) {
            Ok(carried) => {
                if carried[0].len != known.bytes.len() as u64 {
                    return Err(format!("{carried:?} is carried for {} bytes", known.bytes.len()));
                }
                lock(&self.messages.0).push(id);
                let known = truth.of(id);
                (known.here, known.whole, known.carried) = (carried[0].len, true, true);
            }
            Err(Rejection::NoSuchFile) if known.whole => return Err(format!("{id:?} is gone")),
            Err(_) => {}
        }
        Ok(())
    }

    /// The message is deleted.
    fn delete(&self, truth: &mut Truth, chance: &mut SmallRng) {
        if let Some((id, _)) = truth.any(chance, |known| known.carried) {
            lock(&self.messages.0).retain(|carried| *carried != id);
            let known = truth.of(id);
            (known.carried, known.may_go) = (false, true);
        }
    }

    fn give_up(&self, truth: &mut Truth, chance: &mut SmallRng) {
        if let Some((id, _)) = truth.any(chance, |known| !known.whole) {
            truth.of(id).may_go = true;
            _ = self.files.cancel(owner(), id);
        }
    }

    /// Later: what nobody carries has had its time, if it was long.
    fn sweep(&self, truth: &mut Truth, chance: &mut SmallRng) {
        if chance.random_ratio(1, 3) {
            self.clock.advance(UNUSED + Duration::from_millis(1));
            for known in truth.0.iter_mut().map(|(_, known)| known) {
                known.may_go |= !known.carried;
            }
        }
        for first in 0..=255 {
            self.files.sweep(&self.messages, first);
        }
    }

    /// After a start: what was told to have come has, and can be gone on with to its end.
    fn check(&self, truth: &mut Truth) -> Result<(), String> {
        let promised: Vec<FileId> =
            truth.0.iter().filter(|(_, known)| !known.may_go).map(|(id, _)| *id).collect();
        for id in promised {
            let known = truth.of(id).clone();
            let found = insist(|| self.files.find(owner(), id));
            let found = found.map_err(|refused| format!("{id:?}, {known:.100?}: {refused:?}"))?;
            if known.whole && !found.whole {
                return Err(format!("{id:?} was whole, found {found:?}"));
            }
            truth.told(id, found.here, found.whole)?;
            if found.whole {
                let read = insist(|| self.files.open_whole(&found.file));
                let mut source = read.map_err(|refused| format!("{id:?} is {refused:?}"))?;
                let mut bytes = Vec::new();
                // Another reading, when a fault met the first.
                if source.read_to_end(&mut bytes).is_err() {
                    bytes.clear();
                    let again = self.files.open_whole(&found.file);
                    let mut again = again.map_err(|refused| format!("{refused:?}"))?;
                    again.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
                }
                if bytes != known.bytes {
                    return Err(format!("{id:?} is another file than was sent"));
                }
            }
        }
        Ok(())
    }

    /// All that is on its way comes to its end.
    fn end_all(&self, truth: &mut Truth) -> Result<(), String> {
        let under_way: Vec<(FileId, Known)> = truth
            .0
            .iter()
            .filter(|(_, known)| !known.may_go && !known.whole)
            .map(|(id, known)| (*id, known.clone()))
            .collect();
        for (id, known) in under_way {
            let mut part = match self.files.part(owner(), id, known.here) {
                Ok(Turn::Now(part)) => part,
                other => return Err(format!("{id:?} does not go on: {other:?}")),
            };
            let rest = &known.bytes[known.here as usize..];
            let ended = part.write(rest).and_then(|()| part.settle());
            if ended != Ok(true) {
                return Err(format!("{id:?} does not end: {ended:?}"));
            }
            truth.told(id, known.bytes.len() as u64, true)?;
        }
        self.check(truth)
    }
}

impl Truth {
    fn of(&mut self, id: FileId) -> &mut Known {
        let found = self.0.iter_mut().find(|(known, _)| *known == id);
        &mut found.unwrap().1
    }

    fn told(&mut self, id: FileId, here: u64, whole: bool) -> Result<(), String> {
        let known = self.of(id);
        let len = known.bytes.len() as u64;
        if here > len || here < known.here || (whole && here < len) {
            return Err(format!("{here} of {id:?} have come, whole: {whole}"));
        }
        (known.here, known.whole) = (here, whole);
        Ok(())
    }

    fn carried(&self) -> Vec<FileId> {
        self.0.iter().filter(|(_, known)| known.carried).map(|(id, _)| *id).collect()
    }

    fn any(&self, chance: &mut SmallRng, of: impl Fn(&Known) -> bool) -> Option<(FileId, Known)> {
        let fitting: Vec<_> = self.0.iter().filter(|(_, known)| of(known)).collect();
        let at = chance.random_range(0..fitting.len().max(1));
        fitting.get(at).map(|one| (*one).clone())
    }
}

#[test]
fn a_file_that_was_told_to_have_come_is_there_after_a_power_cut_and_goes_on_from_there() {
    println!("{}", hold("files", "files", |seed| run(seed, false)));
}

#[test]
fn files_that_are_not_synced_are_caught() {
    let caught = (0..50).find(|seed| run(*seed, true).is_err());
    assert!(caught.is_some(), "50 seeds did not notice that no file is synced");
}

fn run(seed: u64, fault_no_sync: bool) -> Result<(u64, usize), String> {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut truth = Truth::default();
    let (mounted, cuts) = until_cut(&mut chance, (40, 400), |mounted, chance| {
        let life = match Life::start(mounted, &truth, fault_no_sync) {
            Ok(life) => life,
            Err(failed) => return while_powered(mounted, failed),
        };
        life.check(&mut truth)
            .and_then(|()| some_steps(mounted, chance, |chance| life.step(&mut truth, chance)))
            .or_else(|failed| while_powered(mounted, failed))
    })?;
    let life = Life::start(&mounted, &truth, fault_no_sync)?;
    life.check(&mut truth)?;
    life.end_all(&mut truth)?;
    Ok((cuts, truth.0.iter().filter(|(_, known)| known.whole && !known.may_go).count()))
}

/// A full disk and a failed sync are among the faults. The server goes on where it may, and what was told to
/// have come goes on to its end in the same life.
#[test]
fn a_fault_at_any_call_loses_nothing_that_was_told_to_have_come() {
    const STEPS: u32 = 25;
    let live = |mounted: &Mounted, truth: &mut Truth| -> Result<bool, String> {
        let mut chance = SmallRng::seed_from_u64(3);
        let Ok(life) = Life::start(mounted, truth, false) else { return Ok(false) };
        (0..STEPS).try_for_each(|_| life.step(truth, &mut chance))?;
        if !mounted.disk.is_off() {
            life.check(truth)?;
        }
        Ok(true)
    };
    each_call_fails(100, live, |mounted, truth| {
        let life = Life::start(mounted, truth, false)?;
        life.check(truth)?;
        life.end_all(truth)
    });
}
