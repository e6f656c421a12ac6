//! Whose files there are, in a SQLite file of its own: one row a file, also of one that is on its way.
//!
//! Neighbours: `files` asks, under its lock. Every statement finds its rows by an index. What is
//! committed is synced.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use throng_core::id::GUESTS_FROM;
use throng_core::{Attachment, FileHash, FileId, FileKind, FileName, Timestamp, UserId};

use super::blobs::Content;
use crate::sqlite::{self, Checkpoints, Kind, Trouble};

const KIND: Kind = Kind {
    what: "table of files",
    application_id: 0x5468_7246, // "ThrF"
    version: 2,
    page_size: 4 * 1024,
    cache_kib: 1024,
    schema: "CREATE TABLE files (
                 id BLOB PRIMARY KEY, user INTEGER NOT NULL, name TEXT NOT NULL,
                 len INTEGER NOT NULL, here INTEGER NOT NULL, used_at INTEGER NOT NULL,
                 hash BLOB, kind INTEGER NOT NULL DEFAULT 0,
                 width INTEGER NOT NULL DEFAULT 0, height INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
             CREATE INDEX files_by_user ON files (user, len, hash);
             CREATE INDEX files_by_hash ON files (hash);
             CREATE INDEX files_by_use ON files (used_at);
             CREATE TABLE avatars (hash BLOB PRIMARY KEY, kept_at INTEGER NOT NULL) WITHOUT ROWID;
             CREATE INDEX avatars_by_time ON avatars (kept_at);
             CREATE TABLE faces (user INTEGER PRIMARY KEY, hash BLOB NOT NULL);
             CREATE INDEX faces_by_hash ON faces (hash)",
    steps: &[
        "CREATE TABLE avatars (hash BLOB PRIMARY KEY, kept_at INTEGER NOT NULL) WITHOUT ROWID;
              CREATE INDEX avatars_by_time ON avatars (kept_at);
              CREATE TABLE faces (user INTEGER PRIMARY KEY, hash BLOB NOT NULL);
              CREATE INDEX faces_by_hash ON faces (hash)",
    ],
    exclusive: true,
    shrinks: false,
};

/// The open table.
#[derive(Debug)]
pub struct Table {
    connection: Connection,
    checkpoints: Checkpoints,
}

/// A file's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose.
    pub user: UserId,
    /// How much of it has come and is synced.
    pub here: u64,
    /// What it is; its hash is all zeros until it is whole.
    pub file: Attachment,
    /// Whether all of it is there, under its hash.
    pub whole: bool,
}

/// What an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// Files.
    pub files: u64,
    /// Their bytes, as announced.
    pub len: u64,
    /// Files that are on their way.
    pub parts: u64,
}

type Outcome<T> = Result<T, Trouble>;

impl Table {
    /// Opens the file, or makes it.
    pub fn open(path: &Path, vfs: Option<&str>) -> Outcome<Self> {
        let connection = sqlite::open(path, vfs, &KIND, "FULL")?;
        Ok(Self { connection, checkpoints: Checkpoints::default() })
    }

    /// One statement that changes something, durable when this returns. After a failed sync nothing more
    /// may be written.
    fn write(&self, sql: &str, row: impl Params) -> Outcome<()> {
        self.change(sql, row).map(drop)
    }

    /// The same, and of how many rows.
    fn change(&self, sql: &str, row: impl Params) -> Outcome<usize> {
        self.checkpoints.when_due(&self.connection, KIND.what)?;
        let written = self.connection.prepare_cached(sql).and_then(|mut it| it.execute(row));
        written.map_err(|error| {
            let trouble = Trouble::from(error);
            if matches!(trouble, Trouble::SyncFailed(_)) {
                sqlite::never_checkpoint_again(&self.connection);
            }
            trouble
        })
    }

    /// The account of the greatest number that has files, or a picture.
    pub fn newest(&self) -> Outcome<Option<UserId>> {
        let select = "SELECT max(user) FROM (
                          SELECT max(user) AS user FROM files WHERE user < ?1 UNION ALL
                          SELECT max(user) FROM faces WHERE user < ?1)";
        let below = [GUESTS_FROM as i64];
        let newest: Option<i64> = self.connection.query_row(select, below, |row| row.get(0))?;
        Ok(newest.and_then(|user| UserId::new(user as u64)))
    }

    /// What an account has.
    pub fn owned(&self, user: UserId) -> Outcome<Owned> {
        let select = "SELECT count(*), coalesce(sum(len), 0), count(*) - count(hash)
                      FROM files WHERE user = ?1";
        let mut select = self.connection.prepare_cached(select)?;
        let owned = select.query_row([user.get() as i64], |row| {
            let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
            Ok(Owned { files: number(0)?, len: number(1)?, parts: number(2)? })
        })?;
        Ok(owned)
    }

    /// A file that is to come.
    pub fn begin(
        &self,
        (user, id): (UserId, FileId),
        name: &FileName,
        len: u64,
        now: Timestamp,
    ) -> Outcome<()> {
        let insert = "INSERT INTO files (id, user, name, len, here, used_at)
                      VALUES (?1, ?2, ?3, ?4, 0, ?5)";
        let row = params![id.0, user.get() as i64, name.as_str(), len as i64, now.0 as i64];
        self.write(insert, row)
    }

    /// Files of an account above this one, at most `limit`.
    pub fn of(&self, user: UserId, after: Option<FileId>, limit: usize) -> Outcome<Vec<Kept>> {
        let select = "SELECT id FROM files WHERE user = ?1 AND +id > ?2 ORDER BY +id LIMIT ?3";
        let mut select = self.connection.prepare_cached(select)?;
        let after = after.map_or([0; 16], |after| after.0);
        let row = params![user.get() as i64, after, limit as i64];
        let ids = select.query_map(row, |row| row.get::<_, [u8; 16]>(0))?;
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let found = ids.into_iter().map(|id| self.find(FileId(id)));
        found.filter_map(Result::transpose).collect()
    }

    /// The row of a file.
    pub fn find(&self, id: FileId) -> Outcome<Option<Kept>> {
        let select = "SELECT user, here, hash, kind, len, width, height, name
                      FROM files WHERE id = ?1";
        let mut select = self.connection.prepare_cached(select)?;
        let found = select.query_row([id.0], |row| Ok(read(id, row))).optional()?;
        found.transpose()
    }

    /// So much of it has come, synced.
    pub fn came(&self, id: FileId, here: u64, now: Timestamp) -> Outcome<()> {
        let update = "UPDATE files SET here = ?2, used_at = ?3 WHERE id = ?1";
        let row = params![id.0, here as i64, now.0 as i64];
        self.write(update, row)
    }

    /// All of it has come, and lies under its hash.
    pub fn whole(&self, id: FileId, content: Content, size: (u32, u32)) -> Outcome<()> {
        let update = "UPDATE files SET hash = ?2, kind = ?3, width = ?4, height = ?5 WHERE id = ?1";
        let row = params![id.0, content.hash.0, content.kind.number(), size.0, size.1];
        self.write(update, row)
    }

    /// It is to be carried by a message, or was found to be.
    pub fn used(&self, id: FileId, now: Timestamp) -> Outcome<()> {
        let update = "UPDATE files SET used_at = ?2 WHERE id = ?1";
        self.write(update, params![id.0, now.0 as i64])
    }

    /// It is no more.
    pub fn forget(&self, id: FileId) -> Outcome<()> {
        self.write("DELETE FROM files WHERE id = ?1", [id.0])
    }

    /// It is no more, unless it was used at this time or later. Whether it went.
    pub fn forget_unused(&self, id: FileId, before: Timestamp) -> Outcome<bool> {
        let delete = "DELETE FROM files WHERE id = ?1 AND used_at < ?2";
        Ok(self.change(delete, params![id.0, before.0 as i64])? > 0)
    }

    /// A picture is kept from now on, or was found to stand for somebody or something.
    pub fn keep_avatar(&self, hash: FileHash, now: Timestamp) -> Outcome<()> {
        let upsert = "INSERT INTO avatars VALUES (?1, ?2)
                      ON CONFLICT (hash) DO UPDATE SET kept_at = excluded.kept_at";
        self.write(upsert, params![hash.0, now.0 as i64])
    }

    /// It is kept no longer, unless that began anew at this time or later. Whether it went.
    pub fn forget_avatar(&self, hash: FileHash, before: Timestamp) -> Outcome<bool> {
        let delete = "DELETE FROM avatars WHERE hash = ?1 AND kept_at < ?2";
        Ok(self.change(delete, params![hash.0, before.0 as i64])? > 0)
    }

    /// Pictures that were kept before this, the longest first.
    pub fn old_avatars(&self, before: Timestamp, limit: u32) -> Outcome<Vec<FileHash>> {
        let select = "SELECT hash FROM avatars WHERE kept_at < ?1 ORDER BY kept_at LIMIT ?2";
        let mut select = self.connection.prepare_cached(select)?;
        let found =
            select.query_map(params![before.0 as i64, limit], |row| row.get(0).map(FileHash))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Which picture stands for an account.
    pub fn set_face(&self, user: UserId, hash: Option<FileHash>) -> Outcome<()> {
        let user = user.get() as i64;
        let Some(hash) = hash else {
            return self.write("DELETE FROM faces WHERE user = ?1", [user]);
        };
        let upsert = "INSERT INTO faces VALUES (?1, ?2)
                      ON CONFLICT (user) DO UPDATE SET hash = excluded.hash";
        self.write(upsert, params![user, hash.0])
    }

    /// The picture of an account.
    pub fn face(&self, user: UserId) -> Outcome<Option<FileHash>> {
        let select = "SELECT hash FROM faces WHERE user = ?1";
        let mut select = self.connection.prepare_cached(select)?;
        Ok(select.query_row([user.get() as i64], |row| row.get(0).map(FileHash)).optional()?)
    }

    /// Whether this is the picture of any account.
    pub fn is_face(&self, hash: FileHash) -> Outcome<bool> {
        let mut select = self.connection.prepare_cached("SELECT 1 FROM faces WHERE hash = ?1")?;
        Ok(select.exists([hash.0])?)
    }

    /// Whether a file of these bytes is somebody's.
    pub fn has(&self, hash: FileHash) -> Outcome<bool> {
        let mut select = self.connection.prepare_cached("SELECT 1 FROM files WHERE hash = ?1")?;
        Ok(select.exists([hash.0])?)
    }

    /// Files that were last used before this, the longest unused first.
    pub fn unused(&self, before: Timestamp, limit: u32) -> Outcome<Vec<FileId>> {
        let select = "SELECT id FROM files WHERE used_at < ?1 ORDER BY used_at LIMIT ?2";
        let mut select = self.connection.prepare_cached(select)?;
        let found =
            select.query_map(params![before.0 as i64, limit], |row| row.get(0).map(FileId))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}

fn read(id: FileId, row: &Row<'_>) -> Outcome<Kept> {
    let wrong = || Trouble::Corrupt(format!("the table of files: a row of {}", id.to_hex()));
    let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
    let hash: Option<[u8; 32]> = row.get(2)?;
    let name: String = row.get(7)?;
    Ok(Kept {
        user: UserId::new(number(0)?).ok_or_else(wrong)?,
        here: number(1)?,
        whole: hash.is_some(),
        file: Attachment {
            id,
            hash: FileHash(hash.unwrap_or_default()),
            kind: FileKind::from_number(row.get(3)?).ok_or_else(wrong)?,
            len: number(4)?,
            size: (row.get(5)?, row.get(6)?),
            name: FileName::stored(&name).map_err(|_| wrong())?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_the_journal_is_written_back_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let table = Table::open(&folder.path().join("files.db"), None).unwrap();
        let hash = |number: u16| {
            let mut hash = [0; 32];
            hash[..2].copy_from_slice(&number.to_le_bytes());
            FileHash(hash)
        };
        let user = |number: u16| UserId::new(u64::from(number)).unwrap();
        for number in 1..=400 {
            table.keep_avatar(hash(number), Timestamp(1)).unwrap();
            table.set_face(user(number), Some(hash(number))).unwrap();
        }
        for number in 1..=400 {
            table.set_face(user(number), None).unwrap();
            assert!(table.forget_avatar(hash(number), Timestamp(2)).unwrap());
        }
        let wal = std::fs::metadata(folder.path().join("files.db-wal")).unwrap().len();
        assert!(wal < 3 << 20, "1,600 changes left a journal of {wal} bytes");
    }

    #[test]
    fn what_is_used_anew_between_two_looks_is_not_forgotten_by_the_second() {
        let folder = tempfile::tempdir().unwrap();
        let table = Table::open(&folder.path().join("files.db"), None).unwrap();
        let (id, hash, user) = (FileId([1; 16]), FileHash([2; 32]), UserId::new(1).unwrap());
        table.begin((user, id), &FileName::parse("a").unwrap(), 3, Timestamp(5)).unwrap();
        table.keep_avatar(hash, Timestamp(5)).unwrap();
        let old = Timestamp(6);
        assert_eq!(table.unused(old, 9).unwrap(), [id]);
        assert_eq!(table.old_avatars(old, 9).unwrap(), [hash]);
        table.used(id, old).unwrap();
        table.keep_avatar(hash, old).unwrap();
        assert!(!table.forget_unused(id, old).unwrap() && table.find(id).unwrap().is_some());
        assert!(!table.forget_avatar(hash, old).unwrap());
        let later = Timestamp(7);
        assert!(table.forget_unused(id, later).unwrap() && table.find(id).unwrap().is_none());
        assert!(table.forget_avatar(hash, later).unwrap());
        assert!(table.old_avatars(later, 9).unwrap().is_empty());
    }
}
