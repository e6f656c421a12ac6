//! The data folder: made when it is not there, and locked while a server runs.
//!
//! Neighbours: `start.rs` alone. It looks at no file in it but the lock.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::StartError;

/// Held by the process that uses a data folder.
const LOCK_FILE: &str = "lock";

/// A new folder's entry is synced: without it all that is in the folder goes with the power.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    match fs::canonicalize(folder)?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Takes the data folder for this process, and makes it if it is not there.
pub(super) fn lock_folder(folder: &Path) -> Result<File, StartError> {
    let trouble = |attempted, cause| {
        let path = folder.display().to_string();
        StartError::Folder { attempted, path, cause }
    };
    make_folder(folder).map_err(|cause| trouble("make the data folder", cause))?;
    let file = File::create(folder.join(LOCK_FILE))
        .map_err(|cause| trouble("write the data folder", cause))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StartError::InUse(folder.display().to_string())),
        Err(fs::TryLockError::Error(cause)) => Err(trouble("lock the data folder", cause)),
    }
}
