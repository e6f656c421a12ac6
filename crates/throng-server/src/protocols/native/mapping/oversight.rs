//! Reports, the audit log and blocked accounts: the wire's messages and ours, both ways.
//!
//! Neighbours: `mapping.rs`, and REST, which asks and answers with the same messages.

use throng_core::{Rejection, RoomId, Seq, Standing};
use throng_wire::native::v1::{self, reply::Outcome};

use super::moderation::target;
use super::{attachment, held, links, room_id, user};
use crate::moderation::{AuditEntry, AuditPage, BlockedPage, Report, ReportPage, Reported};
use crate::moderation::{Settlement, explanation};
use crate::pages::Marked;
use crate::protocols::moderation::{Asked, Told};

/// An objection to a message.
pub fn report(asked: v1::Report) -> Result<Asked, Rejection> {
    let v1::Report { room, seq, reason } = asked;
    let reason = explanation(&reason, false)?.to_owned();
    Ok(Asked::Report { room: room_id(room)?, seq: Seq::said(seq), reason })
}

/// A page of reports.
pub fn reports(asked: &v1::ListReports) -> Result<Asked, Rejection> {
    let v1::ListReports { room, after, limit, settled } = *asked;
    Ok(Asked::Reports { room: room_id(room)?, after, limit, settled })
}

/// What came of a report.
pub fn settle(asked: &v1::SettleReport) -> Result<Asked, Rejection> {
    let v1::SettleReport { room, report, upheld, note } = asked;
    let note = explanation(note, true)?.to_owned();
    Ok(Asked::Settle { room: room_id(*room)?, report: *report, upheld: *upheld, note })
}

/// A page of the audit log.
pub fn audit(asked: &v1::ListAudit) -> Result<Asked, Rejection> {
    let v1::ListAudit { room, before, limit } = *asked;
    Ok(Asked::Audit { room: room_id(room)?, before, limit })
}

/// A page of those who have a mark.
pub fn standings_asked(asked: &v1::ListStandings) -> Result<Asked, Rejection> {
    let v1::ListStandings { room, what, after, limit } = *asked;
    let mark = match v1::Mark::try_from(what).map_err(|_| Rejection::BadArgument)? {
        v1::Mark::None => return Err(Rejection::BadArgument),
        v1::Mark::Banned => Standing::BANNED,
        v1::Mark::Muted => Standing::MUTED,
        v1::Mark::Voiced => Standing::VOICED,
        v1::Mark::Invited => Standing::INVITED,
    };
    Ok(Asked::Standings { room: room_id(room)?, mark, after, limit })
}

/// To hear no more from somebody.
pub fn block(v1::Block { user, name }: v1::Block) -> Result<Asked, Rejection> {
    Ok(Asked::Block(target(user, name)?))
}

/// To hear from somebody again.
pub fn unblock(v1::Unblock { user, name }: v1::Unblock) -> Result<Asked, Rejection> {
    Ok(Asked::Unblock(target(user, name)?))
}

/// A page of those whom the asker blocks.
pub fn list_blocked(v1::ListBlocked { after, limit }: v1::ListBlocked) -> Asked {
    Asked::Blocked { after, limit }
}

/// What is told, as its wire message.
pub fn outcome(told: &Told) -> Outcome {
    match told {
        Told::Reported(room, taken) => Outcome::Reported(reported(*room, *taken)),
        Told::Reports(room, page) => Outcome::Reports(report_page(*room, page)),
        Told::Audit(room, page) => Outcome::Audit(audit_page(*room, page)),
        Told::Blocked(page) => Outcome::Blocked(blocked(page)),
        Told::Link(token, link) => Outcome::RoomLink(links::made(token, link)),
        Told::Links(room, list) => Outcome::RoomLinks(links::list(*room, list)),
        Told::Standings(room, page) => Outcome::Standings(standings(*room, page)),
        Told::Held(room, page) => Outcome::HeldPosts(held::posts(*room, page)),
        Told::Unheld(room, number, came) => Outcome::Unheld(held::unheld(*room, *number, *came)),
        Told::Done => Outcome::Done(v1::Done {}),
    }
}

/// A report was taken.
pub fn reported(room: RoomId, Reported { id, already }: Reported) -> v1::Reported {
    v1::Reported { room: room.get(), report: id, already }
}

/// A page of reports.
pub fn report_page(room: RoomId, page: &ReportPage) -> v1::Reports {
    let reports = page.reports.iter().map(item).collect();
    v1::Reports { room: room.get(), reports, more: page.more }
}

/// A report.
pub fn item(report: &Report) -> v1::ReportItem {
    let Report { id, room: _, seq, at, by, about, reason, body, files, settled } = report;
    let (settled_at, settled_by, upheld, note) = match settled {
        None => (None, None, false, String::new()),
        Some(Settlement { at, by, upheld, note }) => {
            (Some(at.0), Some(user(by)), *upheld, note.clone())
        }
    };
    v1::ReportItem {
        report: *id,
        at: at.0,
        seq: seq.0,
        by: Some(user(by)),
        about: Some(user(about)),
        reason: reason.clone(),
        body: body.clone(),
        settled_at,
        settled_by,
        upheld,
        note,
        attachments: files.iter().map(attachment).collect(),
    }
}

/// A page of the audit log.
pub fn audit_page(room: RoomId, page: &AuditPage) -> v1::Audit {
    let entries = page.entries.iter().map(entry).collect();
    v1::Audit { room: room.get(), entries, more: page.more }
}

fn entry(entry: &AuditEntry) -> v1::AuditEntry {
    let AuditEntry { id, at, by, act, about, detail, seq } = entry;
    v1::AuditEntry {
        entry: *id,
        at: at.0,
        by: Some(user(by)),
        what: act.clone(),
        about: about.as_ref().map(user),
        detail: detail.clone(),
        seq: seq.map_or(0, |seq| seq.0),
    }
}

/// A page of those who have a mark.
pub fn standings(room: RoomId, Marked { users, more }: &Marked) -> v1::Standings {
    v1::Standings { room: room.get(), users: users.iter().map(user).collect(), more: *more }
}

/// A page of those whom the asker blocks.
pub fn blocked(page: &BlockedPage) -> v1::Blocked {
    v1::Blocked { users: page.users.iter().map(user).collect(), more: page.more }
}

#[cfg(test)]
mod tests {
    use throng_core::limits::REASON_LEN_MAX;

    use super::*;

    #[test]
    fn a_reason_is_there_and_fits_and_a_note_only_fits() {
        let report = |reason: &str| {
            report(v1::Report { room: 1, seq: 2, reason: reason.to_owned() }).map(|_| ())
        };
        let settle = |note: String| {
            let asked = v1::SettleReport { room: 1, report: 2, upheld: true, note };
            settle(&asked).map(|_| ())
        };
        let bad = Err(Rejection::BadArgument);
        assert_eq!((report(""), report("  "), report("rude")), (bad, bad, Ok(())));
        for (len, expected) in
            [(REASON_LEN_MAX - 1, Ok(())), (REASON_LEN_MAX, Ok(())), (REASON_LEN_MAX + 1, bad)]
        {
            assert_eq!(report(&"x".repeat(len)), expected, "{len}");
            assert_eq!(settle("x".repeat(len)), expected, "{len}");
        }
        assert_eq!(settle(String::new()), Ok(()));
    }
}
