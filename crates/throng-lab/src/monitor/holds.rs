//! What a server holds on to: its open descriptors, its log, its whole folder. A server that leaks any of them
//! is well for hours and then is not.
//!
//! Neighbours: the witness looks once a second and writes `descriptors`, `log_bytes` and `folder_bytes`; the
//! summary makes slopes of them. Reads `/proc` and names and lengths of files, never what is in them. A
//! look is bounded: what has more files than that is not told.

use std::fs::{metadata, read_dir};
use std::path::{Path, PathBuf};

use super::family::members;

/// Files of a folder that a look counts.
const FILES_MAX: usize = 20_000;
/// Descriptors that are counted where the kernel does not say how many there are.
const DESCRIPTORS_MAX: usize = 100_000;
/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 8;
/// A server's log begins with this in its data folder: `log.db` and its journal.
const LOG: &str = "log.db";

/// Whose.
#[derive(Clone, Debug, Default)]
pub struct Holder {
    /// Its process, where that is ours to see.
    pub pid: Option<u32>,
    /// Its data folder, where the run knows it.
    pub folder: Option<PathBuf>,
}

/// At one moment; what could not be seen is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Bytes of the log's files; of a folder that has no such file, none.
    pub log_bytes: Option<u64>,
    /// Bytes of all files of the folder.
    pub folder_bytes: Option<u64>,
}

impl Holder {
    /// Looks.
    pub fn look(&self) -> Holds {
        let sizes = self.folder.as_deref().and_then(|folder| sizes(folder, FILES_MAX));
        Holds {
            descriptors: self.pid.and_then(of_family),
            log_bytes: sizes.and_then(|it| it.log),
            folder_bytes: sizes.map(|it| it.all),
        }
    }
}

/// Of a process and all that descend from it.
fn of_family(pid: u32) -> Option<u64> {
    let own = descriptors(pid)?;
    let others = members(pid).into_iter().filter(|it| *it != pid).filter_map(descriptors);
    Some(own + others.sum::<u64>())
}

/// Open descriptors of a process. The kernel says how many since 6.2, as the length of the folder; an older
/// one has them counted.
pub fn descriptors(pid: u32) -> Option<u64> {
    let folder = Path::new("/proc").join(pid.to_string()).join("fd");
    let told = metadata(&folder).ok()?.len();
    if told > 0 {
        return Some(told);
    }
    let counted = read_dir(&folder).ok()?.take(DESCRIPTORS_MAX + 1).count();
    (counted <= DESCRIPTORS_MAX).then_some(counted as u64)
}

#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    all: u64,
    log: Option<u64>,
}

/// Of all files, and of those of the log; none where there are more than `files_max`.
fn sizes(folder: &Path, files_max: usize) -> Option<Sizes> {
    let mut sizes = Sizes::default();
    let mut files = 0;
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        // One that went between two looks is as one that is empty.
        let Ok(entries) = read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(it) = entry.metadata() else { continue };
            files += 1;
            if files > files_max {
                return None;
            }
            if it.is_dir() {
                if depth < DEPTH_MAX {
                    folders.push((entry.path(), depth + 1));
                }
                continue;
            }
            sizes.all += it.len();
            if depth == 0 && entry.file_name().to_string_lossy().starts_with(LOG) {
                *sizes.log.get_or_insert(0) += it.len();
            }
        }
    }
    Some(sizes)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    /// A process of its own: this one's other tests open and close files too.
    #[test]
    fn a_process_that_opens_files_has_so_many_descriptors_more() {
        let mut shell = Command::new("sh")
            .args([
                "-c",
                "echo 1; read go; exec 7</dev/null 8</dev/null 9</dev/null; echo 2; read go",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut to, mut from) =
            (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()));
        let mut hears = || from.read_line(&mut String::new()).unwrap();
        hears();
        let before = descriptors(shell.id()).unwrap();
        to.write_all(b"\n").unwrap();
        hears();
        assert_eq!(descriptors(shell.id()), Some(before + 3));
        drop(to);
        shell.wait().unwrap();
        assert_eq!(descriptors(shell.id()), None, "it has ended");
    }

    #[test]
    fn the_log_is_its_files_and_the_folder_is_all_and_too_many_are_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir_all(path.join("files/whole")).unwrap();
        for (name, len) in
            [("log.db", 100), ("log.db-wal", 30), ("store.db", 7), ("files/whole/log.db", 5)]
        {
            std::fs::write(path.join(name), vec![0; len]).unwrap();
        }
        let holder = Holder { pid: None, folder: Some(path.to_owned()) };
        let seen = Holds { descriptors: None, log_bytes: Some(130), folder_bytes: Some(142) };
        assert_eq!(holder.look(), seen);
        assert!(sizes(path, 6).is_some() && sizes(path, 5).is_none(), "two folders, four files");
        assert_eq!(Holder::default().look(), Holds::default());
        let other = tempfile::tempdir().unwrap();
        let holder = Holder { pid: None, folder: Some(other.path().to_owned()) };
        assert_eq!((holder.look().log_bytes, holder.look().folder_bytes), (None, Some(0)));
    }
}
