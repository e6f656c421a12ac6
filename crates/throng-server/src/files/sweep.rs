//! The thread of the files: makes small pictures as they are asked for, and in between frees what
//! nobody has: parts that were left, files that no message carries, bytes without a row.
//!
//! Neighbours: `files` starts it; whether a message carries a file is asked of `Carriers`. Niced, and
//! one picture at a time: pictures take the memory of one, and chat goes first.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use throng_core::{FileHash, FileId, Timestamp};

use super::{Files, Picture};

/// How often it looks for what nobody has.
const EVERY: Duration = Duration::from_secs(10);
/// Files looked at each time.
const AT_ONCE: u32 = 100;
const NICE: i32 = 10;

/// Who knows whether a message carries a file.
pub trait Carriers: Send + 'static {
    /// Whether one does that is not deleted. `None` where that is not known yet for all that was
    /// decided before this moment, or cannot be asked now.
    fn carry(&self, file: FileId, before: Timestamp) -> Option<bool>;

    /// Whether a picture stands for any room.
    fn shows(&self, avatar: FileHash) -> bool;
}

/// Starts the thread; it ends when the files are dropped.
pub(super) fn start(
    files: &Arc<Files>,
    asked: Receiver<Picture>,
    carriers: impl Carriers,
) -> io::Result<()> {
    let files = Arc::downgrade(files);
    let thread = std::thread::Builder::new().name("files".into());
    thread.spawn(move || run(&files, &asked, &carriers)).map(|_| ())
}

fn run(files: &Weak<Files>, asked: &Receiver<Picture>, carriers: &impl Carriers) {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "cannot lower the priority of pictures, chat may feel them");
    }
    let mut first = 0;
    let mut swept = None;
    loop {
        let picture = match asked.recv_timeout(EVERY) {
            Ok(picture) => Some(picture),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let Some(files) = files.upgrade() else { return };
        if let Some(Picture { of, reply }) = picture {
            // A decoder that panics has met a picture that it does not understand.
            let made = catch_unwind(AssertUnwindSafe(|| files.make_small(&of))).unwrap_or(None);
            // Who asked may have gone.
            _ = reply.send(made);
        }
        let now = files.clock.now();
        if swept.is_none_or(|last| now.since(last) >= EVERY) {
            swept = Some(now);
            files.sweep(carriers, first);
            first = first.wrapping_add(1);
        }
    }
}

impl Files {
    /// Frees what nobody has; of bytes without a row, those whose hash begins with `first`.
    pub fn sweep(&self, carriers: &impl Carriers, first: u8) {
        let now = self.clock.wall();
        let before = Timestamp(now.0.saturating_sub(self.limits.file_unused_ms));
        let unused = self.table().unused(before, AT_ONCE);
        match unused {
            Ok(unused) => {
                for id in unused {
                    self.sweep_file(id, carriers, now, before);
                }
            }
            Err(trouble) => _ = self.refusal(&trouble),
        }
        if let Err(trouble) = self.sweep_avatars(carriers, now, before) {
            self.refusal(&trouble);
        }
        if let Err(error) = self.sweep_bytes(first) {
            tracing::warn!(%error, "cannot look for files that nobody has");
        }
    }

    fn sweep_file(&self, id: FileId, carriers: &impl Carriers, now: Timestamp, before: Timestamp) {
        let Ok(Some(kept)) = self.table().find(id) else { return };
        let outcome = if kept.whole {
            match carriers.carry(id, before) {
                None => return,
                // Looked at again after as long a time.
                Some(true) => self.table().used(id, now),
                Some(false) => {
                    let table = self.table();
                    let hash = kept.file.hash;
                    // Looked at again: while messages were asked for, one was said that is to carry it.
                    let freed = table.forget_unused(id, before);
                    freed.and_then(|freed| Ok(freed && !table.has(hash)?)).map(|nobodys| {
                        if nobodys {
                            self.blobs.drop_whole(hash);
                        }
                    })
                }
            }
        } else {
            // Whoever goes on with it meanwhile waits, and then finds it gone; or was before.
            let Ok(_claim) = self.busy.claim(id) else { return };
            self.table().forget_unused(id, before).map(|freed| {
                if freed {
                    self.blobs.drop_part(id);
                }
            })
        };
        if let Err(trouble) = outcome {
            self.refusal(&trouble);
        }
    }

    /// A crash may leave bytes whose row was not written, or was taken away already.
    fn sweep_bytes(&self, first: u8) -> io::Result<()> {
        self.settle_parts()?;
        for hash in self.blobs.wholes(first)? {
            let table = self.table();
            if matches!(table.has(hash), Ok(false)) {
                self.blobs.drop_whole(hash);
            }
        }
        Ok(())
    }
}
