//! Files as they lie in the data folder: what has come of one that is on its way in `parts/`, what is
//! whole under the hash of its bytes, small pictures beside them, and pictures that stand for somebody.
//!
//! Neighbours: `files` alone asks, `shelf` has them. A whole file is synced before it gets its name,
//! and its folder after: under a hash there is that file, whole, or nothing. It knows no owners and
//! counts nothing.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use throng_core::{FileHash, FileId, FileKind};

use super::kind::{HEAD_LEN, sniff};
use super::shelf::{Growing, Shelf, Source};

/// What is read at once while a file is hashed.
const CHUNK_LEN: usize = 64 * 1024;

/// The folder.
#[derive(Debug)]
pub struct Blobs {
    shelf: Arc<dyn Shelf>,
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
    pub fn open(shelf: Arc<dyn Shelf>, folder: PathBuf) -> io::Result<Self> {
        shelf.make_folder(&folder)?;
        for inside in ["parts", "whole", "small", "avatars"] {
            shelf.make_folder(&folder.join(inside))?;
        }
        Ok(Self { shelf, folder })
    }

    /// Bytes of the disk that are free for us.
    pub fn free(&self) -> io::Result<u64> {
        self.shelf.free(&self.folder)
    }

    /// Begins a file, or goes on with it: what came behind `len` was never promised and goes.
    pub fn part(&self, id: FileId, len: u64) -> io::Result<Box<dyn Growing>> {
        self.shelf.grow(&self.part_path(id), len)
    }

    /// The name of a part that was begun outlasts a power cut.
    pub fn keep_name(&self) -> io::Result<()> {
        self.shelf.sync_folder(&self.folder.join("parts"))
    }

    /// A file that will not come, or is somewhere else.
    pub fn drop_part(&self, id: FileId) {
        self.remove(&self.part_path(id));
    }

    /// All of a file has come, synced: what it is.
    pub fn content(&self, id: FileId) -> io::Result<Content> {
        let (mut file, len) = self.read_part(id)?;
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
        let hash = FileHash(*hasher.finalize().as_bytes());
        Ok(Content { hash, kind: sniff(&head, len <= HEAD_LEN as u64) })
    }

    /// What has come of a file, to be read, and how much it is.
    pub fn read_part(&self, id: FileId) -> io::Result<(Box<dyn Source>, u64)> {
        self.shelf.open(&self.part_path(id))
    }

    /// Gives a file that was synced its name; `keep` makes that last. One of the same bytes may be there
    /// already.
    pub fn name(&self, id: FileId, hash: FileHash) -> io::Result<()> {
        let path = self.whole_path(hash);
        let folder = path.parent().expect("it lies in a folder");
        self.shelf.make_folder(folder)?;
        self.shelf.rename(&self.part_path(id), &path)
    }

    /// The name of a whole file outlasts a power cut.
    pub fn keep(&self, hash: FileHash) -> io::Result<()> {
        self.shelf.sync_folder(self.whole_path(hash).parent().expect("it lies in a folder"))
    }

    /// A whole file, and its length.
    pub fn whole(&self, hash: FileHash) -> io::Result<(Box<dyn Source>, u64)> {
        self.shelf.open(&self.whole_path(hash))
    }

    /// The small picture of a file, if it was made.
    pub fn small(&self, hash: FileHash) -> io::Result<Vec<u8>> {
        self.read_in("small", hash)
    }

    /// Keeps a small picture. It can be made again: its name is not synced, but what is under it is.
    pub fn keep_small(&self, hash: FileHash, bytes: &[u8]) -> io::Result<()> {
        self.keep_in("small", hash, bytes)
    }

    /// What lies under a hash in one of the folders.
    pub(super) fn read_in(&self, folder: &str, hash: FileHash) -> io::Result<Vec<u8>> {
        let (mut file, len) = self.shelf.open(&self.path_in(folder, hash))?;
        let mut bytes = Vec::with_capacity(len as usize);
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes beside, syncs, and gives it its name.
    pub(super) fn keep_in(&self, folder: &str, hash: FileHash, bytes: &[u8]) -> io::Result<()> {
        let path = self.path_in(folder, hash);
        let beside = path.with_extension("new");
        let mut file = self.shelf.grow(&beside, 0)?;
        file.add(bytes)?;
        file.sync()?;
        self.shelf.rename(&beside, &path)
    }

    /// The names in one of the folders outlast a power cut.
    pub(super) fn sync_in(&self, folder: &str) -> io::Result<()> {
        self.shelf.sync_folder(&self.folder.join(folder))
    }

    /// What lies under a hash in one of the folders goes.
    pub(super) fn drop_in(&self, folder: &str, hash: FileHash) {
        self.remove(&self.path_in(folder, hash));
    }

    /// Nobody has this file any more.
    pub fn drop_whole(&self, hash: FileHash) {
        self.drop_in("small", hash);
        self.remove(&self.whole_path(hash));
    }

    /// The files that are on their way, by their names.
    pub fn parts(&self) -> io::Result<Vec<FileId>> {
        let names = self.shelf.names(&self.folder.join("parts"))?;
        Ok(names.iter().filter_map(|name| FileId::parse(name)).collect())
    }

    /// The whole files whose hashes begin with this byte.
    pub fn wholes(&self, first: u8) -> io::Result<Vec<FileHash>> {
        let names = self.shelf.names(&self.folder.join("whole").join(format!("{first:02x}")))?;
        Ok(names.iter().filter_map(|name| FileHash::parse(name)).collect())
    }

    fn part_path(&self, id: FileId) -> PathBuf {
        self.folder.join("parts").join(id.to_hex())
    }

    fn whole_path(&self, hash: FileHash) -> PathBuf {
        let name = hash.to_hex();
        self.folder.join("whole").join(&name[..2]).join(name)
    }

    fn path_in(&self, folder: &str, hash: FileHash) -> PathBuf {
        self.folder.join(folder).join(hash.to_hex())
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = self.shelf.remove(path) {
            tracing::warn!(%error, path = %path.display(), "cannot remove a file");
        }
    }
}
