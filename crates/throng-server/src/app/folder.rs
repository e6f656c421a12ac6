//! The data folder: made when it is not there, locked while a server runs, and what stands in its journals
//! at a start is on the disk.
//!
//! Neighbours: `start.rs` alone. Of the files in it but the lock it asks only whether they may be used, and
//! never looks into them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Advice, access, fadvise};
use rustix::io::Errno;

use super::StartError;
use crate::sqlite::Trouble;

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

/// SQLite's journals of files that may not be lost.
fn journals(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".db-wal") && !name.starts_with("search.") {
            journals.push(entry.path());
        }
    }
    Ok(journals)
}

/// What a process before this one wrote and did not sync can be read, and would be told: it is synced first.
/// What one could not sync can be read too, though it is not on the disk, because a sync that fails leaves
/// its pages marked clean: these are let go of, so that the journal is read as the disk has it. Else what
/// is synced behind such a hole would go with the power.
pub(super) fn trust_the_disk(folder: &Path) -> Result<(), StartError> {
    let read = |cause| StartError::Folder {
        attempted: "read the data folder",
        path: folder.display().to_string(),
        cause,
    };
    for path in journals(folder).map_err(read)? {
        let journal = File::open(&path).map_err(read)?;
        journal.sync_all().map_err(|cause| StartError::Kept {
            file: "a journal",
            trouble: Trouble::SyncFailed(format!("{}: {cause}", path.display())),
        })?;
        if let Err(error) = fadvise(&journal, 0, None, Advice::DontNeed) {
            tracing::warn!(%error, path = %path.display(), "a journal is read as the memory has it");
        }
    }
    Ok(())
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

    #[test]
    fn the_journals_of_all_files_but_the_search_index_are_read_as_the_disk_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        for name in ["log.db", "log.db-wal", "store.db-wal", "search.db-wal", "log.db-shm"] {
            fs::write(data.join(name), "kept").unwrap();
        }
        let mut journals = journals(data).unwrap();
        journals.sort();
        assert_eq!(journals, ["log.db-wal", "store.db-wal"].map(|name| data.join(name)));
        trust_the_disk(data).unwrap();
        assert_eq!(fs::read(data.join("log.db-wal")).unwrap(), b"kept");
    }

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
