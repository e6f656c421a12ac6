//! The rows of what is kept beside the rooms' orders: reports, links, and the pages of them.

use serde_json::{Value, json};
use throng_core::limits::{OVERSIGHT_LIST_MAX, REASON_LEN_MAX, REPORTS_OF_ONE_MAX, ROOM_LINKS_MAX};
use throng_wire::native::v1;
use throng_wire::native::v1::client_frame::Request;

use super::rows::{TAKEN, count, row};
use super::{Asker, Row};

#[rustfmt::skip]
pub const KEPT: &[Row] = &[
    row("REASON_LEN_MAX", REASON_LEN_MAX, reason, [TAKEN, TAKEN, 108]),
    row("REASON_LEN_MAX, of a note", REASON_LEN_MAX, note, [TAKEN, TAKEN, 108]),
    row("REPORTS_OF_ONE_MAX", REPORTS_OF_ONE_MAX, reports, [TAKEN, TAKEN, 208]),
    row("ROOM_LINKS_MAX", ROOM_LINKS_MAX, links, [TAKEN, TAKEN, 208]),
    row("OVERSIGHT_LIST_MAX", OVERSIGHT_LIST_MAX, page, [99, 100, 100]),
];

/// Reports a new message of the asker's own.
fn report(asker: &mut Asker, reason: String) -> Result<Value, usize> {
    let room = asker.room();
    let seq = asker.post(room, "something");
    let rest = ("POST", format!("/rooms/{room}/messages/{seq}/report"), json!({"reason": reason}));
    asker.ask(Request::Report(v1::Report { room, seq, reason }), rest)
}

fn settle(asker: &mut Asker, note: String) -> usize {
    let told = report(asker, "rude".to_owned()).unwrap();
    let (room, report) = (asker.room(), told["report"].as_u64().unwrap());
    let body = json!({"upheld": true, "note": note});
    let rest = ("POST", format!("/rooms/{room}/reports/{report}/settlement"), body);
    let asked = v1::SettleReport { room, report, upheld: true, note };
    asker.code(Request::SettleReport(asked), rest)
}

fn reason(asker: &mut Asker, len: usize) -> usize {
    report(asker, "x".repeat(len)).err().unwrap_or(TAKEN)
}

fn note(asker: &mut Asker, len: usize) -> usize {
    settle(asker, "x".repeat(len))
}

fn reports(asker: &mut Asker, count: usize) -> usize {
    asker.until(count, |asker| report(asker, "rude".to_owned()).err().unwrap_or(TAKEN))
}

fn links(asker: &mut Asker, count: usize) -> usize {
    if asker.room == 0 {
        asker.room = asker.new_room(v1::RoomKind::Private);
    }
    asker.until(count, |asker| {
        let room = asker.room;
        let asked = v1::MakeRoomLink { room, uses: 1, hours: 1 };
        let rest = ("POST", format!("/rooms/{room}/links"), json!({"uses": 1, "hours": 1}));
        asker.code(Request::MakeRoomLink(asked), rest)
    })
}

fn page(asker: &mut Asker, limit: usize) -> usize {
    asker.until(OVERSIGHT_LIST_MAX + 1, |asker| settle(asker, String::new()));
    let room = asker.room();
    let limited = v1::ListReports { room, limit: limit as u32, ..v1::ListReports::default() };
    let asked = v1::ListReports { settled: true, ..limited };
    let rest = ("GET", format!("/rooms/{room}/reports?settled=true&limit={limit}"), Value::Null);
    count(asker.ask(Request::ListReports(asked), rest), "reports")
}
