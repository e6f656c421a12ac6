//! Files as the server put together has them: which a post carries, and who may read one of them.
//!
//! Neighbours: `files` keeps the bytes, `history` says what a message carries, `directory` who may
//! read it. It opens no file itself.

use std::sync::Arc;

use throng_core::rights::Operation;
use throng_core::{
    Attachment, Command, EventKind, FileHash, FileId, Rejection, RoomId, Seq, Timestamp, UserId,
};

use super::{App, StartError};
use crate::clock::Clock;
use crate::config::Settings;
use crate::directory::Directory;
use crate::files::{self, Carriers, Files, OpenError};
use crate::lifecycle::Fatal;
use crate::store::Store;
use crate::tail::Tail;

/// A post that carries a file is decided this long after the file was looked up, at most.
const CARRYING_TAKES_MS: u64 = 600_000;

impl App {
    /// A post with the files that it is to carry, which must be the asker's and whole, and those whom it
    /// mentions, who must be somebody.
    pub async fn carrying(
        &self,
        asker: UserId,
        mut command: Command,
        ids: &[FileId],
    ) -> Result<Command, Rejection> {
        self.find_mentioned(&command).await?;
        if ids.is_empty() {
            return Ok(command);
        }
        let ids = ids.to_vec();
        let carried = self.with_files(move |files| files.carried(asker, &ids)).await?;
        command.carry(carried);
        Ok(command)
    }

    /// A file that a message carries, for one who may read that message now.
    pub async fn attachment(
        &self,
        asker: UserId,
        (room, seq): (RoomId, Seq),
        file: FileId,
    ) -> Result<Attachment, Rejection> {
        let may = || self.directory.reading(asker, room, Operation::History);
        if !may()?.shows(seq) {
            return Err(Rejection::NoSuchFile);
        }
        let event = self.read(move |history| history.shown(room, seq)).await?;
        // Asked again: one who was removed meanwhile, and has come back, may not read what it might before.
        if !may()?.shows(seq) {
            return Err(Rejection::NoSuchFile);
        }
        let kind = event.as_deref().map(|event| &event.kind);
        let Some(EventKind::Posted { extras: Some(extras), .. }) = kind else {
            return Err(Rejection::NoSuchFile);
        };
        let found = extras.files.iter().find(|carried| carried.id == file);
        found.cloned().ok_or(Rejection::NoSuchFile)
    }

    /// Does something with the files where waiting for the disk holds up nobody else.
    pub async fn with_files<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Arc<Files>) -> Result<T, Rejection> + Send + 'static,
    ) -> Result<T, Rejection> {
        let files = Arc::clone(self.files.as_ref().ok_or(Rejection::NoSuchFile)?);
        let done = tokio::task::spawn_blocking(move || ask(&files)).await;
        // It panicked or the runtime ends; either is said elsewhere.
        done.unwrap_or(Err(Rejection::Unavailable))
    }
}

/// Opens them; in memory, where nothing is kept on disk, there are none.
pub(super) fn open(
    settings: &Settings,
    clock: &Clock,
    fatal: &Fatal,
    (store, tail, directory): (&Arc<dyn Store>, &Arc<Tail>, &Arc<Directory>),
) -> Result<Option<Arc<Files>>, StartError> {
    if settings.memory {
        return Ok(None);
    }
    let (store, tail) = (Arc::clone(store), Arc::clone(tail));
    let messages = Messages { store, tail, directory: Arc::clone(directory) };
    let (clock, fatal) = (clock.clone(), fatal.clone());
    let files = Files::open(settings.data.as_path(), &settings.limits, clock, fatal, messages);
    let path = settings.data.display().to_string();
    let attempted = "open the files in";
    files.map(Some).map_err(|error| match error {
        OpenError::Table(trouble) => StartError::Kept { file: files::FILE, trouble },
        OpenError::Folder(cause) => StartError::Folder { attempted, path, cause },
    })
}

/// Knows which files messages carry, and which pictures rooms have.
#[derive(Debug)]
struct Messages {
    store: Arc<dyn Store>,
    tail: Arc<Tail>,
    directory: Arc<Directory>,
}

impl Carriers for Messages {
    fn carry(&self, file: FileId, before: Timestamp) -> Option<bool> {
        // What a post waits in queues is far below this.
        let decided = Timestamp(before.0 + CARRYING_TAKES_MS);
        if self.tail.since().is_some_and(|since| since <= decided) {
            return None;
        }
        let asked = self.store.carries(file);
        asked.inspect_err(|error| tracing::warn!(%error, "cannot look for a file's messages")).ok()
    }

    fn shows(&self, avatar: FileHash) -> bool {
        self.directory.shows(avatar)
    }
}
