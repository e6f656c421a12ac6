//! The queue of reports: a message that somebody objects to, with the text it had then, until one
//! who keeps order there has settled it.
//!
//! Neighbours: `mod.rs`, whose file it is; settling is noted in the audit log in the same transaction.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use throng_core::limits::{REPORTS_OF_ONE_MAX, REPORTS_OPEN_MAX, REPORTS_SETTLED_MAX};
use throng_core::{Attachment, Author, Rejection, RoomId, Seq, Timestamp, UserId};

use super::{Moderation, audit, author, author_if_any, number, page_len};
use crate::record::moderation::{decode_files, encode_files};

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its number; 0 for one that is not kept yet.
    pub id: u64,
    /// In which room.
    pub room: RoomId,
    /// The place of the message.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Author,
    /// Whose message it is.
    pub about: Author,
    /// What is wrong with it.
    pub reason: String,
    /// The text as it was then; empty once the report is settled.
    pub body: String,
    /// The files that it carried; none once the report is settled.
    pub files: Box<[Attachment]>,
    /// What came of it.
    pub settled: Option<Settlement>,
}

/// What came of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Author,
    /// It was right.
    pub upheld: bool,
    /// What those who keep order say of it, to each other.
    pub note: String,
}

/// A report was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Its number.
    pub id: u64,
    /// The same account had reported the same message before.
    pub already: bool,
}

/// A page of reports, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportPage {
    /// The reports.
    pub reports: Vec<Report>,
    /// There are more after the last of these.
    pub more: bool,
}

impl Moderation {
    /// Takes a report; the same account's second one of a message is the first one.
    pub fn report(&self, report: &Report) -> Result<Reported, Rejection> {
        self.change(|connection| {
            let (room, by) = (report.room.get(), report.by.id.get() as i64);
            let select = "SELECT id FROM reports WHERE room = ?1 AND seq = ?2 AND by = ?3";
            let key = params![room, report.seq.0 as i64, by];
            let mut known = connection.prepare_cached(select)?;
            if let Some(id) = known.query_row(key, |row| number(row, 0)).optional()? {
                return Ok(Ok(Reported { id, already: true }));
            }
            if let Err(full) = has_place(connection, room, by)? {
                return Ok(Err(full));
            }
            let insert = "INSERT INTO reports
                          (room, seq, at, by, by_name, about, about_name, reason, body, files)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
            let files = (!report.files.is_empty()).then(|| encode_files(&report.files));
            let row = params![
                room,
                report.seq.0 as i64,
                report.at.0 as i64,
                by,
                report.by.name.as_str(),
                report.about.id.get() as i64,
                report.about.name.as_str(),
                report.reason,
                report.body,
                files,
            ];
            connection.prepare_cached(insert)?.execute(row)?;
            Ok(Ok(Reported { id: connection.last_insert_rowid() as u64, already: false }))
        })
    }

    /// What an account has reported in a room, the settled too as long as they are kept.
    pub fn reported_by(&self, user: UserId, room: RoomId) -> Result<Vec<Report>, Rejection> {
        let mut reports: Vec<Report> = self.read(|connection| {
            let select = "SELECT id, room, seq, at, by, by_name, about, about_name, reason, body,
                                 settled_at, settled_by, settled_name, upheld, note, files FROM reports
                          WHERE room = ?1 AND by = ?2 ORDER BY seq";
            let mut statement = connection.prepare_cached(select)?;
            let row = params![room.get(), user.get() as i64];
            let rows = statement.query_map(row, |row| report(row, room))?;
            rows.collect()
        })?;
        self.unnamed(&mut reports);
        Ok(reports)
    }

    /// The room's reports above `after`: those that wait, or those that were settled.
    pub fn reports(
        &self,
        room: RoomId,
        after: u64,
        limit: u32,
        settled: bool,
    ) -> Result<ReportPage, Rejection> {
        let limit = page_len(limit);
        let mut reports = self.read(|connection| {
            let select = "SELECT id, room, seq, at, by, by_name, about, about_name, reason, body,
                                 settled_at, settled_by, settled_name, upheld, note, files FROM reports
                          WHERE room = ?1 AND (settled_at IS NOT NULL) = ?2 AND id > ?3
                          ORDER BY id LIMIT ?4";
            let mut statement = connection.prepare_cached(select)?;
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let asked = params![room.get(), settled, after, (limit + 1) as i64];
            let rows = statement.query_map(asked, |row| report(row, room))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let more = reports.len() > limit;
        reports.truncate(limit);
        self.unnamed(&mut reports);
        Ok(ReportPage { reports, more })
    }

    fn unnamed(&self, reports: &mut [Report]) {
        let names = self.leavers.names();
        for Report { by, about, settled, .. } in reports {
            let settled = settled.as_mut().map(|settlement| &mut settlement.by);
            names.take_name([by, about].into_iter().chain(settled));
        }
    }

    /// Settles a report that waits in this room. The text and the files it kept go.
    pub fn settle(
        &self,
        room: RoomId,
        report: u64,
        settlement: &Settlement,
    ) -> Result<(), Rejection> {
        self.change(|connection| {
            let update = "UPDATE reports SET settled_at = ?3, settled_by = ?4, settled_name = ?5,
                                 upheld = ?6, note = ?7, body = '', files = NULL
                          WHERE id = ?2 AND room = ?1 AND settled_at IS NULL
                          RETURNING seq, about, about_name";
            let Settlement { at, by, upheld, note } = settlement;
            let row = params![
                room.get(),
                i64::try_from(report).unwrap_or(i64::MAX),
                at.0 as i64,
                by.id.get() as i64,
                by.name.as_str(),
                upheld,
                note,
            ];
            let about = |row: &Row<'_>| Ok((number(row, 0)?, author(row, 1)?));
            let settled = connection.prepare_cached(update)?.query_row(row, about).optional()?;
            let Some((seq, about)) = settled else { return Ok(Err(Rejection::NoSuchReport)) };
            let verdict = if *upheld { "upheld" } else { "dismissed" };
            let note = if note.is_empty() { String::new() } else { format!(": {note}") };
            let entry = audit::Done {
                at: *at,
                by,
                act: "settle_report",
                about: Some(&about),
                detail: format!("report {report} of message {seq} {verdict}{note}"),
            };
            audit::note(connection, room, None, &entry)?;
            forget_old(connection, room)?;
            Ok(Ok(()))
        })
    }
}

/// Whether another report may wait in this room, and of this reporter.
fn has_place(
    connection: &Connection,
    room: u32,
    by: i64,
) -> rusqlite::Result<Result<(), Rejection>> {
    let waiting = "SELECT count(*), coalesce(sum(by = ?2), 0) FROM reports
                   WHERE room = ?1 AND (settled_at IS NOT NULL) = 0";
    let (all, own) = connection
        .prepare_cached(waiting)?
        .query_row(params![room, by], |row| Ok((number(row, 0)?, number(row, 1)?)))?;
    let full = all >= REPORTS_OPEN_MAX as u64 || own >= REPORTS_OF_ONE_MAX as u64;
    Ok(if full { Err(Rejection::LimitReached) } else { Ok(()) })
}

/// Drops the settled reports of a room beyond those that are kept.
fn forget_old(connection: &Connection, room: RoomId) -> rusqlite::Result<()> {
    let delete = "DELETE FROM reports WHERE room = ?1 AND (settled_at IS NOT NULL) = 1 AND id <= (
                      SELECT id FROM reports WHERE room = ?1 AND (settled_at IS NOT NULL) = 1
                      ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    let row = params![room.get(), REPORTS_SETTLED_MAX as i64];
    connection.prepare_cached(delete)?.execute(row).map(drop)
}

fn report(row: &Row<'_>, room: RoomId) -> rusqlite::Result<Report> {
    let settled_at: Option<i64> = row.get(10)?;
    let settled = match (settled_at, author_if_any(row, 11)?) {
        (Some(at), Some(by)) => {
            let (upheld, note) = (row.get(13)?, row.get(14)?);
            Some(Settlement { at: Timestamp(at as u64), by, upheld, note })
        }
        _ => None,
    };
    Ok(Report {
        id: number(row, 0)?,
        room,
        seq: Seq(number(row, 2)?),
        at: Timestamp(number(row, 3)?),
        by: author(row, 4)?,
        about: author(row, 6)?,
        reason: row.get(8)?,
        body: row.get(9)?,
        files: files(row, 15)?,
        settled,
    })
}

fn files(row: &Row<'_>, column: usize) -> rusqlite::Result<Box<[Attachment]>> {
    let bytes: Option<Vec<u8>> = row.get(column)?;
    let files = bytes.map_or_else(|| Ok(Box::default()), |bytes| decode_files(&bytes));
    files.map_err(|error| {
        let kind = rusqlite::types::Type::Blob;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}
