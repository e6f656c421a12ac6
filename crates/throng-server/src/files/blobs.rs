//! Files as they lie in the data folder: what has come of one that is on its way in `parts/`, what is
//! whole under the hash of its bytes, small pictures beside them.
//!
//! Neighbours: `files` alone. A whole file is synced before it gets its name, and its folder after:
//! under a hash there is that file, whole, or nothing. It knows no owners and counts nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use throng_core::{FileHash, FileId, FileKind};

use super::kind::{HEAD_LEN, sniff};

/// What is read at once while a file is hashed.
const CHUNK_LEN: usize = 64 * 1024;

/// The folder.
#[derive(Debug)]
pub struct Blobs {
    folder: PathBuf,
}

/// What a whole file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// The hash of its bytes.
    pub hash: FileHash,
    /// What they are.
    pub kind: FileKind,
}

impl Blobs {
    /// Opens the folder, or makes it.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        for inside in ["parts", "whole", "small"] {
            fs::create_dir_all(folder.join(inside))?;
        }
        sync_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Bytes of the disk that are free for us.
    pub fn free(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Begins a file, or goes on with it: what came behind `len` was never promised and goes.
    pub fn part(&self, id: FileId, len: u64) -> io::Result<File> {
        let path = self.part_path(id);
        let mut file = OpenOptions::new().create(len == 0).append(false).write(true).open(path)?;
        if file.metadata()?.len() < len {
            return Err(io::Error::new(io::ErrorKind::NotFound, "less is there than was kept"));
        }
        file.set_len(len)?;
        file.seek(SeekFrom::Start(len))?;
        Ok(file)
    }

    /// A file that will not come, or did not fit.
    pub fn drop_part(&self, id: FileId) {
        remove(&self.part_path(id));
    }

    /// All of a file has come: what it is. Synced.
    pub fn content(&self, id: FileId) -> io::Result<Content> {
        let mut file = File::open(self.part_path(id))?;
        file.sync_all()?;
        let (mut hasher, mut chunk) = (blake3::Hasher::new(), vec![0; CHUNK_LEN]);
        let mut head = Vec::new();
        loop {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            let missing = HEAD_LEN - head.len();
            head.extend_from_slice(&chunk[..read.min(missing)]);
            hasher.update(&chunk[..read]);
        }
        let whole = file.metadata()?.len() <= HEAD_LEN as u64;
        let hash = FileHash(*hasher.finalize().as_bytes());
        Ok(Content { hash, kind: sniff(&head, whole) })
    }

    /// What has come of a file, to be read.
    pub fn read_part(&self, id: FileId) -> io::Result<File> {
        File::open(self.part_path(id))
    }

    /// Gives a file that was synced its name. One of the same bytes may be there already.
    pub fn keep(&self, id: FileId, hash: FileHash) -> io::Result<()> {
        let path = self.whole_path(hash);
        let folder = path.parent().expect("it lies in a folder");
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            sync_folder(&self.folder.join("whole"))?;
        }
        fs::rename(self.part_path(id), &path)?;
        sync_folder(folder)
    }

    /// A whole file, and its length.
    pub fn whole(&self, hash: FileHash) -> io::Result<(File, u64)> {
        let file = File::open(self.whole_path(hash))?;
        let len = file.metadata()?.len();
        Ok((file, len))
    }

    /// The small picture of a file, if it was made.
    pub fn small(&self, hash: FileHash) -> io::Result<Vec<u8>> {
        fs::read(self.small_path(hash))
    }

    /// Keeps a small picture. It can be made again, and is not synced.
    pub fn keep_small(&self, hash: FileHash, bytes: &[u8]) -> io::Result<()> {
        let path = self.small_path(hash);
        let beside = path.with_extension("new");
        File::create(&beside)?.write_all(bytes)?;
        fs::rename(beside, path)
    }

    /// Nobody has this file any more.
    pub fn drop_whole(&self, hash: FileHash) {
        remove(&self.small_path(hash));
        remove(&self.whole_path(hash));
    }

    /// The files that are on their way, by their names.
    pub fn parts(&self) -> io::Result<Vec<FileId>> {
        names(&self.folder.join("parts"), FileId::parse)
    }

    /// The whole files whose hashes begin with this byte.
    pub fn wholes(&self, first: u8) -> io::Result<Vec<FileHash>> {
        match names(&self.folder.join("whole").join(format!("{first:02x}")), FileHash::parse) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            found => found,
        }
    }

    fn part_path(&self, id: FileId) -> PathBuf {
        self.folder.join("parts").join(id.to_hex())
    }

    fn whole_path(&self, hash: FileHash) -> PathBuf {
        let name = hash.to_hex();
        self.folder.join("whole").join(&name[..2]).join(name)
    }

    fn small_path(&self, hash: FileHash) -> PathBuf {
        self.folder.join("small").join(hash.to_hex())
    }
}

fn names<T>(folder: &Path, parse: impl Fn(&str) -> Option<T>) -> io::Result<Vec<T>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.extend(entry?.file_name().to_str().and_then(&parse));
    }
    Ok(found)
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, path = %path.display(), "cannot remove a file"),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
