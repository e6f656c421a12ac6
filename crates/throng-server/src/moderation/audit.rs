//! The audit log: who did what to whom, room by room. What was done in a room's order is folded into
//! it from the log, so that nothing that was acknowledged is missing; what is done beside the order
//! (settled reports) is noted when it is done, and what is done to what waits is kept before it is done.
//!
//! Neighbours: `mod.rs`, whose file it is; the fold calls `fold` before the store has the events, and
//! calls it again with the same ones after a crash, which is harmless.

use rusqlite::{Connection, OptionalExtension as _, params};
use throng_core::limits::AUDIT_ENTRIES_MAX;
use throng_core::{
    Act, Author, Avatar, Event, EventKind, Rejection, RoomId, Seq, Settings, Timestamp,
};

use super::{Moderation, author, author_if_any, number, page_len};
use crate::store::{RoomBatch, StoreError};

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number: ascending in the order in which it was noted.
    pub id: u64,
    /// When it was done.
    pub at: Timestamp,
    /// By whom.
    pub by: Author,
    /// What: the name of an act, `delete`, `set_room`, `settle_report`, `pass_held`, `drop_held`.
    pub act: String,
    /// To whom, if to somebody.
    pub about: Option<Author>,
    /// What else there is to know.
    pub detail: String,
    /// The place of its event, if it is in the room's order.
    pub seq: Option<Seq>,
}

/// A page of the audit log, the newest entry first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// There are older ones.
    pub more: bool,
}

/// What somebody is about to do: until `Moderation::came_of`, or until the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    id: i64,
    room: RoomId,
}

/// Notes what was about to be done when the server ended.
pub(super) fn note_intents(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "BEGIN IMMEDIATE;
         INSERT INTO audit (room, at, by, by_name, act, about, about_name, detail)
             SELECT room, at, by, by_name, act, about, about_name, detail FROM verdicts ORDER BY id;
         DELETE FROM verdicts;
         COMMIT",
    )
}

/// What is noted.
pub(super) struct Done<'a> {
    pub at: Timestamp,
    pub by: &'a Author,
    pub act: &'static str,
    pub about: Option<&'a Author>,
    pub detail: String,
}

impl Moderation {
    /// Notes what was done in these rooms' orders. Durable when this returns `Ok`.
    pub fn fold(&self, rooms: &[RoomBatch]) -> Result<(), StoreError> {
        let mut done = rooms.iter().flat_map(|batch| &batch.events).filter_map(|event| {
            let entry = done(event)?;
            Some((event, entry))
        });
        let Some(first) = done.next() else { return Ok(()) };
        let written = self.write(|connection| {
            let mut touched = Vec::new();
            for (event, entry) in std::iter::once(first).chain(done) {
                note(connection, event.room, Some(event.seq), &entry)?;
                touched.push(event.room);
            }
            touched.dedup();
            for room in touched {
                forget_old(connection, room)?;
            }
            Ok(Ok(()))
        });
        let failed = |trouble| StoreError::from_trouble(trouble, "write the audit log");
        written.map(|_| ()).map_err(failed)
    }

    /// Keeps what somebody is about to do to another's message that waits, which is no event: if the server
    /// ends before it is known what came of it, the next start notes this. Durable when this returns `Ok`.
    pub fn about_to(
        &self,
        room: RoomId,
        at: Timestamp,
        (by, act): (&Author, &'static str),
        about: &Author,
        detail: &str,
    ) -> Result<Intent, Rejection> {
        self.change(|connection| {
            let insert =
                "INSERT INTO verdicts (room, at, by, by_name, act, about, about_name, detail)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let row = params![
                room.get(),
                at.0 as i64,
                by.id.get() as i64,
                by.name.as_str(),
                act,
                about.id.get() as i64,
                about.name.as_str(),
                detail,
            ];
            connection.prepare_cached(insert)?.execute(row)?;
            Ok(Ok(Intent { id: connection.last_insert_rowid(), room }))
        })
    }

    /// Notes what came of it; nothing, where nothing was done. Durable when this returns `Ok`.
    pub fn came_of(&self, intent: Intent, detail: Option<&str>) -> Result<(), Rejection> {
        self.change(|connection| {
            let Intent { id, room } = intent;
            if let Some(detail) = detail {
                let insert =
                    "INSERT INTO audit (room, at, by, by_name, act, about, about_name, detail)
                              SELECT room, at, by, by_name, act, about, about_name, ?2
                              FROM verdicts WHERE id = ?1";
                connection.prepare_cached(insert)?.execute(params![id, detail])?;
                forget_old(connection, room)?;
            }
            let delete = "DELETE FROM verdicts WHERE id = ?1";
            connection.prepare_cached(delete)?.execute([id])?;
            Ok(Ok(()))
        })
    }

    /// The newest entries of a room, by the time they are of and then by their numbers; those before the
    /// one of this number (0 for all).
    pub fn audit(&self, room: RoomId, before: u64, limit: u32) -> Result<AuditPage, Rejection> {
        let limit = page_len(limit);
        let mut entries = self.read(|connection| {
            let (at, id) = bound(connection, room, before)?;
            let select =
                "SELECT id, at, by, by_name, act, about, about_name, detail, seq FROM audit
                 WHERE room = ?1 AND (at, id) < (?2, ?3) ORDER BY at DESC, id DESC LIMIT ?4";
            let mut statement = connection.prepare_cached(select)?;
            let rows =
                statement.query_map(params![room.get(), at, id, (limit + 1) as i64], |row| {
                    Ok(AuditEntry {
                        id: number(row, 0)?,
                        at: Timestamp(number(row, 1)?),
                        by: author(row, 2)?,
                        act: row.get(4)?,
                        about: author_if_any(row, 5)?,
                        detail: row.get(7)?,
                        seq: row.get::<_, Option<i64>>(8)?.map(|seq| Seq(seq as u64)),
                    })
                })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let names = self.leavers.names();
        for AuditEntry { by, about, .. } in &mut entries {
            names.take_name(std::iter::once(by).chain(about));
        }
        Ok(AuditPage { entries, more })
    }
}

/// Notes one entry; an event that was noted before is passed over.
pub(super) fn note(
    connection: &Connection,
    room: RoomId,
    seq: Option<Seq>,
    done: &Done<'_>,
) -> rusqlite::Result<()> {
    let insert = "INSERT OR IGNORE INTO audit
                  (room, seq, at, by, by_name, act, about, about_name, detail)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let row = params![
        room.get(),
        seq.map(|seq| seq.0 as i64),
        done.at.0 as i64,
        done.by.id.get() as i64,
        done.by.name.as_str(),
        done.act,
        done.about.map(|about| about.id.get() as i64),
        done.about.map(|about| about.name.as_str()),
        done.detail,
    ];
    connection.prepare_cached(insert)?.execute(row).map(drop)
}

/// Where the page before an entry begins. One that was dropped was older than all that are left, so that
/// any of these will do.
fn bound(connection: &Connection, room: RoomId, before: u64) -> rusqlite::Result<(i64, i64)> {
    let all = (i64::MAX, i64::MAX);
    let Ok(before @ 1..) = i64::try_from(before) else { return Ok(all) };
    let select = "SELECT at, id FROM audit WHERE room = ?1 AND id >= ?2 ORDER BY id LIMIT 1";
    let mut select = connection.prepare_cached(select)?;
    let found = select.query_row(params![room.get(), before], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?.unwrap_or(all))
}

/// Drops the entries of a room beyond those that are kept.
fn forget_old(connection: &Connection, room: RoomId) -> rusqlite::Result<()> {
    let delete = "DELETE FROM audit WHERE room = ?1 AND (at, id) <= (
                      SELECT at, id FROM audit WHERE room = ?1
                      ORDER BY at DESC, id DESC LIMIT 1 OFFSET ?2)";
    let row = params![room.get(), AUDIT_ENTRIES_MAX as i64];
    connection.prepare_cached(delete)?.execute(row).map(drop)
}

/// What an event says that somebody did as one who keeps order.
fn done(event: &Event) -> Option<Done<'_>> {
    let at = event.at;
    match &event.kind {
        EventKind::Moderated { by, who, act } => {
            let detail = match act {
                Act::SetRole(role) => format!("{role:?}").to_lowercase(),
                _ => String::new(),
            };
            Some(Done { at, by, act: name(*act), about: Some(who), detail })
        }
        EventKind::Deleted { by, of, whose: Some(whose) } => {
            let detail = format!("message {of}");
            Some(Done { at, by, act: "delete", about: Some(whose), detail })
        }
        EventKind::Set { by, settings } => {
            Some(Done { at, by, act: "set_room", about: None, detail: changed(settings) })
        }
        _ => None,
    }
}

/// The act's name, as the protocol has it.
fn name(act: Act) -> &'static str {
    let operation = act.operation().name();
    operation.strip_prefix("moderate ").unwrap_or(operation)
}

/// What was changed, for a person to read.
fn changed(settings: &Settings) -> String {
    let Settings {
        name,
        topic,
        speak,
        history,
        slow_seconds,
        words,
        keep_seconds,
        avatar,
        delay_seconds,
    } = settings;
    let lower = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let parts = [
        name.as_ref().map(|name| format!("name {:?}", name.as_str())),
        topic.as_ref().map(|topic| format!("topic {:?}", topic.as_str())),
        speak.as_ref().map(|speak| format!("speak {}", lower(speak))),
        history.as_ref().map(|history| format!("history {}", lower(history))),
        slow_seconds.map(|seconds| format!("slow_seconds {seconds}")),
        words.as_ref().map(|words| format!("words {}", words.list().len())),
        keep_seconds.map(|seconds| format!("keep_seconds {seconds}")),
        avatar.map(|Avatar(it)| match it {
            Some(hash) => format!("avatar {}", hash.to_hex()),
            None => "no avatar".to_owned(),
        }),
        delay_seconds.map(|seconds| format!("delay_seconds {seconds}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
