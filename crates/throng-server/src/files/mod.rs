//! Files of accounts: they come in parts, are kept by the hash of their bytes, and go when no message
//! carries them.
//!
//! Neighbours: REST sends and fetches, `app` asks for what a message is to carry; below are `table`
//! (whose they are), `blobs` (where they lie), `picture` (small ones) and `transfers` (how many at a
//! time). Calls block and are made where nobody else waits for the disk. Who may read a file is not
//! asked here: that is who may read its message.

pub mod avatars;
mod blobs;
mod busy;
mod kind;
pub mod picture;
mod rows;
pub mod shelf;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
pub mod transfers;

use std::io::{self, BufReader, ErrorKind};
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use throng_core::{Attachment, FileHash, FileId, FileKind, FileName, Limits, Rejection, UserId};
use tokio::sync::{oneshot, watch};

use crate::accounts::Numbers;
use crate::clock::Clock;
use crate::lifecycle::Fatal;
use crate::spread::Spread;
use crate::sqlite::Trouble;
use blobs::Blobs;
pub use busy::Holder;
use busy::{Busy, Claim};
use shelf::{Folder, Growing, Shelf, Source};
pub use sweep::Carriers;
pub use table::Kept;
use table::Table;
use transfers::Transfers;

/// The table's file in the data folder.
pub const FILE: &str = "files.db";

/// Files in one page of a list.
const FILES_LISTED_MAX: usize = 256;
/// What one is told to wait when the pictures' queue is full.
const PICTURE_RETRY_AFTER_MS: u32 = 1_000;

/// Why they could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The table.
    #[error("{FILE}: {0}")]
    Table(Trouble),
    /// The folders.
    #[error(transparent)]
    Folder(#[from] io::Error),
}

/// The files of a server.
#[derive(Debug)]
pub struct Files {
    limits: Limits,
    clock: Clock,
    fatal: Fatal,
    blobs: Blobs,
    /// Held over what must not fall between a file and its row.
    table: Mutex<Table>,
    /// Files to which somebody is adding now.
    busy: Busy,
    /// Who sends and fetches.
    pub transfers: Arc<Transfers>,
    pictures: SyncSender<Picture>,
    /// Those for whose pictures there was no place.
    refused: Spread,
}

/// A small picture that is asked for.
struct Picture {
    of: Attachment,
    reply: oneshot::Sender<Small>,
}

/// A small picture, where one could be made.
type Small = Option<Vec<u8>>;

/// What one hears who wants to go on with a file.
#[derive(Debug)]
pub enum Turn {
    /// It is free.
    Now(Part),
    /// Somebody goes on with it at that place, on another connection: it may be asked to give way.
    Later(Holder),
}

/// A file to which its owner adds.
#[derive(Debug)]
pub struct Part {
    files: Arc<Files>,
    file: Box<dyn Growing>,
    claim: Claim,
    id: FileId,
    /// How much is there, written.
    pub here: u64,
    /// How much of it was there before.
    before: u64,
    /// What was written is not synced.
    loose: bool,
    len: u64,
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.loose {
            // Nothing of it was promised, and somebody else may need the space; who goes on cuts it too.
            _ = self.file.cut(self.before);
        }
    }
}

/// Where files lie: a data folder, or a disk of a test's own.
#[derive(Debug)]
pub struct Place<'a> {
    /// The data folder.
    pub folder: &'a Path,
    /// What has the files themselves.
    pub shelf: Arc<dyn Shelf>,
    /// What has their table; SQLite's own unless it is said.
    pub vfs: Option<&'a str>,
}

impl<'a> From<&'a Path> for Place<'a> {
    fn from(folder: &'a Path) -> Self {
        Self { folder, shelf: Arc::new(Folder), vfs: None }
    }
}

impl Files {
    /// Opens the files of a data folder, and starts the thread that makes small pictures and frees
    /// what nobody carries.
    pub fn open<'a>(
        place: impl Into<Place<'a>>,
        limits: &Limits,
        clock: Clock,
        fatal: Fatal,
        carriers: impl Carriers,
    ) -> Result<Arc<Self>, OpenError> {
        let Place { folder, shelf, vfs } = place.into();
        let table = Table::open(&folder.join(FILE), vfs).map_err(OpenError::Table)?;
        let (pictures, asked) = sync_channel(limits.picture_queue_max);
        let files = Arc::new(Self {
            limits: limits.clone(),
            clock,
            fatal,
            blobs: Blobs::open(shelf, folder.join("files"))?,
            table: Mutex::new(table),
            busy: Busy::default(),
            transfers: Transfers::new(limits),
            pictures,
            refused: Spread::default(),
        });
        files.settle_parts()?;
        sweep::start(&files, asked, carriers)?;
        Ok(files)
    }

    /// The greatest number of those who have files, or a picture.
    pub fn numbers(&self) -> Result<Numbers, Trouble> {
        let mut numbers = Numbers::default();
        self.table().newest()?.into_iter().for_each(|user| numbers.note(user));
        Ok(numbers)
    }

    /// A file that is to come.
    pub fn begin(&self, user: UserId, name: &FileName, len: u64) -> Result<FileId, Rejection> {
        if len == 0 {
            return Err(Rejection::BadArgument);
        }
        if len > self.limits.file_len_max {
            return Err(Rejection::FileTooLarge);
        }
        self.room_for(len)?;
        let mut id = FileId([0; 16]);
        getrandom::fill(&mut id.0).map_err(|_| Rejection::Unavailable)?;
        let table = self.table();
        let owned = table.owned(user).map_err(|trouble| self.refusal(&trouble))?;
        let limits = &self.limits;
        if owned.files >= u64::from(limits.files_per_user_max)
            || owned.parts >= u64::from(limits.uploads_per_user_max)
            || owned.len + len > limits.files_len_per_user_max
        {
            return Err(Rejection::QuotaExceeded);
        }
        let begun = table.begin((user, id), name, len, self.clock.wall());
        begun.map_err(|trouble| self.refusal(&trouble))?;
        Ok(id)
    }

    /// Files of an account above this one, some at a time.
    pub fn of(&self, user: UserId, after: Option<FileId>) -> Result<Vec<Kept>, Rejection> {
        let page = self.table().of(user, after, FILES_LISTED_MAX);
        page.map_err(|trouble| self.refusal(&trouble))
    }

    /// A file of this account; another's is none. One that has come, but was not ended, for a crash or a
    /// fault, is ended now.
    pub fn find(&self, user: UserId, id: FileId) -> Result<Kept, Rejection> {
        let kept = self.look_up(user, id)?;
        if kept.whole || kept.here < kept.file.len {
            return Ok(kept);
        }
        let Ok(claim) = self.busy.claim(id) else { return Ok(kept) };
        self.finish(id)?;
        drop(claim);
        self.look_up(user, id)
    }

    fn look_up(&self, user: UserId, id: FileId) -> Result<Kept, Rejection> {
        let found = self.table().find(id).map_err(|trouble| self.refusal(&trouble))?;
        found.filter(|kept| kept.user == user).ok_or(Rejection::NoSuchFile)
    }

    /// Goes on with a file where its last part ended, or says who is going on with it just there.
    pub fn part(self: &Arc<Self>, user: UserId, id: FileId, at: u64) -> Result<Turn, Rejection> {
        let kept = self.find(user, id)?;
        if kept.whole || kept.here != at {
            return Err(Rejection::WrongOffset);
        }
        let claim = match self.busy.claim(id) {
            Ok(claim) => claim,
            Err(holder) => return Ok(Turn::Later(holder)),
        };
        // It was not ours before: what was read of it may be old.
        if self.look_up(user, id)? != kept {
            return Err(Rejection::WrongOffset);
        }
        match self.blobs.part(id, at) {
            Ok(file) => {
                let (files, len) = (Arc::clone(self), kept.file.len);
                let part = Part { files, file, claim, id, here: at, before: at, loose: false, len };
                Ok(Turn::Now(part))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // A crash between its name and its row: it begins again as another.
                self.give_up(id);
                Err(Rejection::NoSuchFile)
            }
            Err(error) => Err(trouble_with(&error)),
        }
    }

    /// Gives up a file that is on its way.
    pub fn cancel(&self, user: UserId, id: FileId) -> Result<(), Rejection> {
        self.find(user, id)?;
        let claim = self.busy.claim(id).map_err(|_| Rejection::WrongOffset)?;
        // It was not ours before: it may have become whole.
        if self.look_up(user, id)?.whole {
            return Err(Rejection::Forbidden);
        }
        self.give_up(id);
        drop(claim);
        Ok(())
    }

    /// What a message of this account says of the files that it is to carry.
    pub fn carried(&self, user: UserId, ids: &[FileId]) -> Result<Box<[Attachment]>, Rejection> {
        let now = self.clock.wall();
        let mut files = Vec::with_capacity(ids.len());
        for id in ids {
            self.find(user, *id)?;
        }
        let table = self.table();
        for id in ids {
            let kept = table.find(*id).map_err(|trouble| self.refusal(&trouble))?;
            let kept = kept.filter(|kept| kept.user == user && kept.whole);
            files.push(kept.ok_or(Rejection::NoSuchFile)?.file);
        }
        for id in ids {
            table.used(*id, now).map_err(|trouble| self.refusal(&trouble))?;
        }
        Ok(files.into())
    }

    /// A whole file, to be read.
    pub fn open_whole(&self, file: &Attachment) -> Result<Box<dyn Source>, Rejection> {
        let opened = match self.blobs.whole(file.hash) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.name_again(file),
            opened => opened,
        };
        match opened {
            Ok((opened, len)) if len == file.len => Ok(opened),
            Ok((_, len)) => {
                tracing::error!(file = file.id.to_hex(), len, "a file is not as long as it was");
                Err(Rejection::Unavailable)
            }
            // It was swept while this was asked.
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Rejection::NoSuchFile),
            Err(error) => Err(trouble_with(&error)),
        }
    }

    /// A fault may have come before a whole file got its name.
    fn name_again(&self, file: &Attachment) -> io::Result<(Box<dyn Source>, u64)> {
        let _table = self.table();
        self.name(file.id, file.hash)?;
        self.blobs.whole(file.hash)
    }

    /// A small picture of a file: kept, or made now by the thread that makes them.
    pub async fn small(self: &Arc<Self>, file: &Attachment) -> Result<Vec<u8>, Rejection> {
        if !file.kind.is_picture() {
            return Err(Rejection::NoSuchFile);
        }
        let (files, hash) = (Arc::clone(self), file.hash);
        let kept = tokio::task::spawn_blocking(move || files.blobs.small(hash)).await;
        if let Ok(Ok(bytes)) = kept {
            return Ok(bytes);
        }
        let answer = self.ask_small(file)?;
        answer.await.map_err(|_| Rejection::Unavailable)?.ok_or(Rejection::NoSuchFile)
    }

    /// Has a small picture made, when those before it are.
    fn ask_small(&self, file: &Attachment) -> Result<oneshot::Receiver<Small>, Rejection> {
        let (reply, answer) = oneshot::channel();
        match self.pictures.try_send(Picture { of: file.clone(), reply }) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(self.refused.busy(PICTURE_RETRY_AFTER_MS)),
            Err(TrySendError::Disconnected(_)) => Err(Rejection::Unavailable),
        }
    }

    /// Makes a small picture, if nobody has meanwhile.
    fn make_small(&self, file: &Attachment) -> Option<Vec<u8>> {
        if let Ok(bytes) = self.blobs.small(file.hash) {
            return Some(bytes);
        }
        let (opened, len) = self.blobs.whole(file.hash).ok()?;
        let most = self.limits.picture_len_max;
        let bytes = picture::small(BufReader::new(opened), file.kind, len, most)?;
        if let Err(error) = self.blobs.keep_small(file.hash, &bytes) {
            tracing::warn!(%error, "cannot keep a small picture; it is made again when it is asked for");
        }
        Some(bytes)
    }

    /// All of it is there, synced and counted: it gets its name. The row comes first: what it calls whole
    /// and has no name yet gets it from `settle_parts`; a name without a row would be nobody's.
    fn finish(&self, id: FileId) -> Result<(), Rejection> {
        let content = self.blobs.content(id).map_err(|error| trouble_with(&error))?;
        let size = self.size_of(id, content.kind).map_err(|error| trouble_with(&error))?;
        // The sweep looks for files without a row; it must not look between these two.
        let table = self.table();
        table.whole(id, content, size).map_err(|trouble| self.refusal(&trouble))?;
        self.name(id, content.hash).map_err(|error| trouble_with(&error))
    }

    /// A name, and that it lasts. What a failed sync has left of it only a start can tell.
    fn name(&self, id: FileId, hash: FileHash) -> io::Result<()> {
        self.blobs.name(id, hash)?;
        self.blobs.keep(hash).inspect_err(|error| {
            self.fatal.sync_failed(&format!("a folder of files: {error}"));
        })
    }

    /// What a crash or a fault left in the parts: what is whole gets its name, what is nobody's goes.
    fn settle_parts(&self) -> io::Result<()> {
        for id in self.blobs.parts()? {
            let table = self.table();
            if self.busy.has(id) {
                continue;
            }
            match table.find(id) {
                Ok(Some(kept)) if kept.whole => self.name(id, kept.file.hash)?,
                Ok(Some(_)) => {}
                Ok(None) => self.blobs.drop_part(id),
                Err(trouble) => _ = self.refusal(&trouble),
            }
        }
        Ok(())
    }

    fn size_of(&self, id: FileId, kind: FileKind) -> io::Result<(u32, u32)> {
        if !kind.is_picture() {
            return Ok((0, 0));
        }
        Ok(picture::size(BufReader::new(self.blobs.read_part(id)?.0), kind))
    }

    /// Whether the disk has room for so much more; the log comes first.
    fn room_for(&self, len: u64) -> Result<(), Rejection> {
        let free = self.blobs.free().map_err(|error| trouble_with(&error))?;
        let enough = free.saturating_sub(len) >= self.limits.disk_free_min;
        if enough { Ok(()) } else { Err(Rejection::DiskFull) }
    }

    fn give_up(&self, id: FileId) {
        if let Err(trouble) = self.table().forget(id) {
            self.refusal(&trouble);
        }
        self.blobs.drop_part(id);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A statement is whole or not at all, whoever panicked beside it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a client hears of trouble with the table; the operator hears what it was.
    fn refusal(&self, trouble: &Trouble) -> Rejection {
        match trouble {
            Trouble::Full => return Rejection::DiskFull,
            Trouble::SyncFailed(cause) => self.fatal.sync_of_failed(FILE, cause),
            Trouble::Corrupt(cause) | Trouble::Io(cause) => {
                tracing::error!(cause, "cannot use the table of files");
            }
        }
        Rejection::Unavailable
    }
}

impl Part {
    /// What becomes true when its owner goes on with the file elsewhere: then what has come is settled.
    pub fn asked(&self) -> watch::Receiver<bool> {
        self.claim.asked()
    }

    /// Adds bytes; not more than were announced. When they do not fit, none of them is added, and what
    /// came before can be settled.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Rejection> {
        let len = bytes.len() as u64;
        if len > self.len - self.here {
            return Err(Rejection::FileTooLarge);
        }
        if len == 0 {
            return Ok(());
        }
        self.files.room_for(len)?;
        self.loose = true;
        if let Err(error) = self.file.add(bytes) {
            // Some of it may be there.
            _ = self.file.cut(self.here);
            return Err(trouble_with(&error));
        }
        self.here += len;
        Ok(())
    }

    /// Keeps what has come: synced, and when all is there, under its hash. `true` when it is whole.
    /// After a failure it is as it was before, and goes on from there: what a failed sync has lost is
    /// behind that, and is written again.
    pub fn settle(mut self) -> Result<bool, Rejection> {
        let files = Arc::clone(&self.files);
        self.file.sync().map_err(|error| trouble_with(&error))?;
        if self.before == 0 {
            files.blobs.keep_name().map_err(|error| trouble_with(&error))?;
        }
        self.loose = false;
        let noted = files.table().came(self.id, self.here, files.clock.wall());
        noted.map_err(|trouble| files.refusal(&trouble))?;
        if self.here == self.len {
            files.finish(self.id)?;
        }
        Ok(self.here == self.len)
    }
}

fn trouble_with(error: &io::Error) -> Rejection {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Rejection::DiskFull,
        _ => {
            tracing::error!(%error, "cannot use the folder of files");
            Rejection::Unavailable
        }
    }
}

/// A hash as an entity tag.
pub fn tag(hash: FileHash) -> String {
    format!("\"{}\"", hash.to_hex())
}
