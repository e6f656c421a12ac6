//! What a run keeps on its disk, also where that gets full while it runs: lines that wait in memory for
//! room, files that are written beside and then renamed, and room set aside for what is written last.
//!
//! Neighbours: `run` and `witness` write by it. Nothing here ends a run; what could not be kept is told,
//! and the summary says it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use serde::Serialize;

/// Room set aside: for the lines that may wait of two files, and a summary.
const RESERVE_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of one file's lines that may wait for room: at a kilobyte a second, ten minutes.
const WAITING_BYTES_MAX: usize = 768 * 1024;
/// What is set aside, as a file.
const RESERVE: &str = "reserved";

/// Room on the disk that nobody else can take; given back when this is dropped.
#[derive(Debug)]
pub struct Reserve(PathBuf);

impl Reserve {
    /// Sets room aside in the run's folder. A disk that has none now would have none for the summary.
    pub fn take(folder: &Path) -> io::Result<Self> {
        let reserve = Self(folder.join(RESERVE));
        let file = File::create(&reserve.0)?;
        fill(&file)?;
        Ok(reserve)
    }
}

fn fill(mut file: &File) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
        Ok(()) => Ok(()),
        // Some disks cannot be asked for room; bytes take it everywhere.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            io::copy(&mut io::Read::take(io::repeat(0), RESERVE_BYTES), &mut file).map(drop)
        }
        Err(error) => Err(error.into()),
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        // It holds nothing; one that stays is a file that anybody may delete.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file of lines that is written as a run goes. A line that finds no room waits in memory, and the file
/// never has a later line behind a broken one.
#[derive(Debug)]
pub struct Lines<W> {
    to: W,
    /// The line that is being made.
    open: Vec<u8>,
    /// Whole lines, the first of them perhaps written in part.
    waiting: Vec<u8>,
    /// Lines that there was no room for, here neither.
    lost: u64,
    /// What the disk said when it last took nothing.
    why: Option<io::Error>,
}

impl<W: Write> Lines<W> {
    /// An empty one.
    pub fn new(to: W) -> Self {
        Self { to, open: Vec::new(), waiting: Vec::new(), lost: 0, why: None }
    }

    /// The line that was written to it is whole.
    pub fn end(&mut self) {
        self.open.push(b'\n');
        if self.waiting.len() + self.open.len() > WAITING_BYTES_MAX {
            self.lost += 1;
        } else {
            self.waiting.extend_from_slice(&self.open);
        }
        self.open.clear();
        self.put();
    }

    /// Whatever the disk takes of what waits.
    fn put(&mut self) {
        let mut done = 0;
        while done < self.waiting.len() {
            match self.to.write(&self.waiting[done..]) {
                Ok(0) => {
                    self.why = Some(io::ErrorKind::WriteZero.into());
                    break;
                }
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.why = Some(error);
                    break;
                }
            }
        }
        self.waiting.drain(..done);
    }

    /// Tries once more, and says what could not be kept, and why; nothing where the disk always had room.
    pub fn finish(mut self, name: &str) -> Option<String> {
        self.put();
        let why = self.why?;
        let waits = self.waiting.split_inclusive(|byte| *byte == b'\n').count() as u64;
        Some(match self.lost + waits {
            0 => format!("{name} had to wait for its disk ({why}); it has all its lines"),
            lost => format!("{name} lacks its last {lost} lines: {why}"),
        })
    }
}

/// To the line that is being made.
impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a whole file: beside its place, then renamed to it. What cannot be written leaves nothing, and what
/// was there before as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".part");
    let beside = path.with_file_name(name);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()?;
        drop(file);
        std::fs::rename(&beside, path)
    });
    if written.is_err() {
        // It may not be there at all.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// The same for what is written as JSON.
pub fn write_json(path: &Path, what: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec_pretty(what)?;
    bytes.push(b'\n');
    write_whole(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so many bytes left.
    #[derive(Debug, Default)]
    struct Disk {
        room: usize,
        has: Vec<u8>,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.room);
            if len == 0 {
                return Err(io::Error::from(Errno::NOSPC));
            }
            self.room -= len;
            self.has.extend_from_slice(&bytes[..len]);
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn say(lines: &mut Lines<impl Write>, line: &str) {
        write!(lines, "{line}").unwrap();
        lines.end();
    }

    #[test]
    fn lines_that_found_no_room_come_when_there_is_some_and_none_is_broken() {
        let mut disk = Disk { room: 9, ..Disk::default() };
        let mut lines = Lines::new(&mut disk);
        for line in ["one", "two", "three", "four"] {
            say(&mut lines, line);
        }
        assert_eq!(lines.to.has, b"one\ntwo\nt");
        lines.to.room = 100;
        let said = lines.finish("samples.jsonl").unwrap();
        assert!(said.contains("No space left") && said.contains("has all its lines"), "{said}");
        assert_eq!(disk.has, b"one\ntwo\nthree\nfour\n");
    }

    #[test]
    fn lines_that_never_found_room_are_counted_and_memory_stays_bounded() {
        let mut disk = Disk { room: 2, ..Disk::default() };
        let mut lines = Lines::new(&mut disk);
        let line = "x".repeat(WAITING_BYTES_MAX / 2);
        for _ in 0..5 {
            say(&mut lines, &line);
        }
        assert!(lines.waiting.len() <= WAITING_BYTES_MAX);
        let said = lines.finish("series.csv").unwrap();
        assert!(said.starts_with("series.csv lacks its last 5 lines: No space left"), "{said}");
    }

    #[test]
    fn a_disk_that_always_had_room_is_not_spoken_of() {
        let mut disk = Disk { room: 100, ..Disk::default() };
        let mut lines = Lines::new(&mut disk);
        say(&mut lines, "one");
        assert_eq!(lines.finish("samples.jsonl"), None);
    }

    /// Linux has a file that is a full disk.
    #[test]
    fn the_kernels_own_full_disk_is_told_as_such() {
        let mut lines = Lines::new(File::create("/dev/full").unwrap());
        say(&mut lines, "one");
        let said = lines.finish("samples.jsonl").unwrap();
        assert!(said.contains("lacks its last 1 lines: No space left"), "{said}");
        assert!(fill(&File::create("/dev/full").unwrap()).is_err());
    }

    #[test]
    fn a_file_is_there_in_whole_or_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        write_json(&path, &[1]).unwrap();
        write_json(&path, &[2]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[\n  2\n]\n");
        // Nothing can be renamed to a folder that holds something.
        let taken = folder.path().join("taken");
        std::fs::create_dir_all(taken.join("in")).unwrap();
        write_whole(&taken, b"x").unwrap_err();
        let names = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["summary.json", "taken"]);
    }

    #[test]
    fn room_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::take(folder.path()).unwrap();
        let file = folder.path().join(RESERVE);
        assert_eq!(file.metadata().unwrap().len(), RESERVE_BYTES);
        drop(reserve);
        assert!(!file.exists());
    }
}
