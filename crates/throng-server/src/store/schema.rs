//! The tables of the store's file, and the steps from each version of them to the next.
//!
//! Neighbours: `sqlite.rs` opens the file by it. A step that was released is never changed.

use crate::sqlite::Kind;

/// The file, as this build makes it, and what brings an older one up to date.
pub const KIND: Kind = Kind {
    what: "store",
    application_id: 0x5468_7253, // "ThrS"
    version: 10,
    page_size: 16 * 1024,
    cache_kib: 32 * 1024,
    schema: "CREATE TABLE rooms (
                 id INTEGER PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL,
                 at INTEGER NOT NULL, head INTEGER NOT NULL, pushed INTEGER NOT NULL, posts INTEGER NOT NULL,
                 kind INTEGER NOT NULL DEFAULT 0, topic TEXT NOT NULL DEFAULT '',
                 speak INTEGER NOT NULL DEFAULT 0, history INTEGER NOT NULL DEFAULT 0,
                 slow INTEGER NOT NULL DEFAULT 0, words TEXT NOT NULL DEFAULT '',
                 keep INTEGER, erased INTEGER NOT NULL DEFAULT 0,
                 avatar BLOB NOT NULL DEFAULT x'', delay INTEGER NOT NULL DEFAULT 0);
             CREATE TABLE sweeps (
                 room INTEGER NOT NULL, user INTEGER NOT NULL, seq INTEGER NOT NULL,
                 PRIMARY KEY (room, user)) WITHOUT ROWID;
             CREATE TABLE erasing (
                 room INTEGER NOT NULL, user INTEGER NOT NULL, seq INTEGER NOT NULL, done INTEGER NOT NULL,
                 PRIMARY KEY (room, user)) WITHOUT ROWID;
             CREATE TABLE members (
                 room INTEGER NOT NULL, user INTEGER NOT NULL, seq INTEGER NOT NULL,
                 standing INTEGER NOT NULL DEFAULT 2, posts INTEGER NOT NULL DEFAULT 0,
                 PRIMARY KEY (room, user)) WITHOUT ROWID;
             CREATE TABLE mentions (
                 user INTEGER NOT NULL, id INTEGER NOT NULL, sender INTEGER NOT NULL DEFAULT 0,
                 PRIMARY KEY (user, id)) WITHOUT ROWID;
             CREATE INDEX mentions_by_id ON mentions (id, sender);
             CREATE TABLE notes (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, body TEXT);
             CREATE TABLE reactions (
                 id INTEGER NOT NULL, reaction TEXT NOT NULL, user INTEGER NOT NULL,
                 PRIMARY KEY (id, reaction, user)) WITHOUT ROWID;
             CREATE TABLE tallies (
                 id INTEGER NOT NULL, reaction TEXT NOT NULL, count INTEGER NOT NULL,
                 seq INTEGER NOT NULL, PRIMARY KEY (id, reaction)) WITHOUT ROWID;
             CREATE TABLE pins (id INTEGER PRIMARY KEY);
             CREATE TABLE blocks (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
             CREATE TABLE carried (
                 id INTEGER NOT NULL, file BLOB NOT NULL, user INTEGER NOT NULL,
                 PRIMARY KEY (id, file)) WITHOUT ROWID;
             CREATE INDEX carried_by_file ON carried (file)",
    // Who made a room had joined it at its second place.
    steps: &["ALTER TABLE rooms ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
              ALTER TABLE rooms ADD COLUMN topic TEXT NOT NULL DEFAULT '';
              ALTER TABLE rooms ADD COLUMN speak INTEGER NOT NULL DEFAULT 0;
              ALTER TABLE rooms ADD COLUMN history INTEGER NOT NULL DEFAULT 0;
              ALTER TABLE rooms ADD COLUMN slow INTEGER NOT NULL DEFAULT 0;
              ALTER TABLE members ADD COLUMN standing INTEGER NOT NULL DEFAULT 2;
              UPDATE members SET standing = 4 WHERE seq = 2;
              CREATE TABLE notes (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, body TEXT)",
             "CREATE TABLE reactions (
                  id INTEGER NOT NULL, reaction TEXT NOT NULL, user INTEGER NOT NULL,
                  PRIMARY KEY (id, reaction, user)) WITHOUT ROWID;
              CREATE TABLE tallies (
                  id INTEGER NOT NULL, reaction TEXT NOT NULL, count INTEGER NOT NULL,
                  seq INTEGER NOT NULL, PRIMARY KEY (id, reaction)) WITHOUT ROWID;
              CREATE TABLE pins (id INTEGER PRIMARY KEY)",
             "ALTER TABLE rooms ADD COLUMN words TEXT NOT NULL DEFAULT '';
              CREATE TABLE sweeps (
                  room INTEGER NOT NULL, user INTEGER NOT NULL, seq INTEGER NOT NULL,
                  PRIMARY KEY (room, user)) WITHOUT ROWID",
             "ALTER TABLE members ADD COLUMN posts INTEGER NOT NULL DEFAULT 0;
              CREATE TABLE mentions (
                  user INTEGER NOT NULL, id INTEGER NOT NULL,
                  PRIMARY KEY (user, id)) WITHOUT ROWID;
              CREATE INDEX mentions_by_id ON mentions (id)",
             "CREATE TABLE carried (
                  id INTEGER NOT NULL, file BLOB NOT NULL, user INTEGER NOT NULL,
                  PRIMARY KEY (id, file)) WITHOUT ROWID;
              CREATE INDEX carried_by_file ON carried (file)",
             // All that was taken away before is erased now.
             "ALTER TABLE rooms ADD COLUMN keep INTEGER;
              ALTER TABLE rooms ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;
              CREATE TABLE erasing (
                  room INTEGER NOT NULL, user INTEGER NOT NULL, seq INTEGER NOT NULL, done INTEGER NOT NULL,
                  PRIMARY KEY (room, user)) WITHOUT ROWID;
              INSERT INTO erasing SELECT room, user, seq, 0 FROM sweeps",
             "ALTER TABLE rooms ADD COLUMN avatar BLOB NOT NULL DEFAULT x''",
             "ALTER TABLE rooms ADD COLUMN delay INTEGER NOT NULL DEFAULT 0",
             // Who said what was kept before is not known here: the mentions of those all of whose messages
             // were taken away go as their texts are looked for once more.
             "ALTER TABLE mentions ADD COLUMN sender INTEGER NOT NULL DEFAULT 0;
              DROP INDEX mentions_by_id;
              CREATE INDEX mentions_by_id ON mentions (id, sender);
              INSERT OR REPLACE INTO erasing SELECT room, user, seq, 0 FROM sweeps"],
    exclusive: false,
    shrinks: true,
};

/// The same for those who only read.
pub const READER: Kind = Kind { cache_kib: 8 * 1024, ..KIND };
