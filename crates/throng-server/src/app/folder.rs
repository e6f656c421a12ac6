//! The data folder: made when it is not there, and locked while a server runs.
//!
//! Neighbours: `start.rs` alone. Of the files in it but the lock it asks only whether they may be used.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::io::Errno;

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

/// The first file that this process may not read and write, of those that are there. SQLite would say so in
/// many ways, none of which names the reason.
fn forbidden(folder: &Path) -> io::Result<Option<(String, io::Error)>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The search index may be lost: without it the server goes on.
        let ours = [".db", ".db-wal", ".db-shm"].iter().any(|end| name.ends_with(end));
        if ours
            && !name.starts_with("search.")
            && let Err(errno) = access(&path, Access::READ_OK | Access::WRITE_OK)
            && errno != Errno::NOENT
        {
            return Ok(Some((path.display().to_string(), errno.into())));
        }
    }
    Ok(None)
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
        Ok(()) => {
            match forbidden(folder).map_err(|cause| trouble("read the data folder", cause))? {
                Some((path, cause)) => {
                    Err(StartError::Folder { attempted: "read and write", path, cause })
                }
                None => Ok(file),
            }
        }
        Err(fs::TryLockError::WouldBlock) => Err(StartError::InUse(folder.display().to_string())),
        Err(fs::TryLockError::Error(cause)) => Err(trouble("lock the data folder", cause)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What may not be used is seen by any user here: a link that leads to itself cannot be opened.
    #[test]
    fn a_file_that_may_not_be_used_is_named_and_the_search_index_may_be_lost() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        File::create(data.join("log.db")).unwrap();
        symlink("search.db", data.join("search.db")).unwrap();
        symlink("not-there-yet", data.join("store.db")).unwrap();
        assert!(lock_folder(data).is_ok());
        symlink("log.db-wal", data.join("log.db-wal")).unwrap();
        match lock_folder(data) {
            Err(StartError::Folder { path, .. }) => assert!(path.ends_with("log.db-wal"), "{path}"),
            other => panic!("{other:?}"),
        }
    }
}
