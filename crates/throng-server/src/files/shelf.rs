//! What files lie on: the few things that are asked of a folder, and the promise of each.
//!
//! Neighbours: `blobs` alone asks. A real folder is below it, or a disk of a test's own that fails and
//! loses its power. It knows no owners, no hashes and no names but paths.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::Path;

/// What is read of a shelf.
pub trait Source: Read + Seek + Send + Debug {}

impl<T: Read + Seek + Send + Debug> Source for T {}

/// A file to which is added.
pub trait Growing: Send + Debug {
    /// Adds at its end.
    fn add(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// All that was added is there after a power cut too, if the file's name is.
    fn sync(&mut self) -> io::Result<()>;
    /// Takes away what lies behind.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

/// A place for files.
pub trait Shelf: Send + Sync + Debug + 'static {
    /// A folder, and those above it; its name is kept.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a file when `len` is 0, or goes on with one that has so much; what lies behind goes. Not
    /// found, when less is there.
    fn grow(&self, path: &Path, len: u64) -> io::Result<Box<dyn Growing>>;
    /// A file to be read, and its length.
    fn open(&self, path: &Path) -> io::Result<(Box<dyn Source>, u64)>;
    /// Another name for a file; one that had it goes. All at once, before a power cut or after it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// The names in a folder are kept as they are now.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// It is no more; one that is not there is none either.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder; none, where it is not there.
    fn names(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Bytes that are free for us.
    fn free(&self, path: &Path) -> io::Result<u64>;
}

/// Folders of the system.
#[derive(Debug)]
pub struct Folder;

impl Shelf for Folder {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(path)?;
        path.parent().map_or(Ok(()), |above| self.sync_folder(above))
    }

    fn grow(&self, path: &Path, len: u64) -> io::Result<Box<dyn Growing>> {
        let mut file =
            OpenOptions::new().create(len == 0).truncate(false).write(true).open(path)?;
        if file.metadata()?.len() < len {
            return Err(io::Error::new(io::ErrorKind::NotFound, "less is there than was kept"));
        }
        file.set_len(len)?;
        file.seek(SeekFrom::Start(len))?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<(Box<dyn Source>, u64)> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok((Box::new(file), len))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

impl Growing for File {
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}
