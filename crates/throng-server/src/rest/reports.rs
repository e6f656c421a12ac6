//! `POST /api/v1/rooms/{id}/messages/{seq}/report` `{"reason":…}` → 201 `reported`, 200 when this account had
//! reported it before. `GET /api/v1/rooms/{id}/reports?after=&limit=&settled=` → `reports`.
//! `POST /api/v1/rooms/{id}/reports/{report}/settlement` `{"upheld":…,"note":…}` → `done`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use throng_core::Rejection;
use throng_wire::native::v1;

use super::at::{At, message, number};
use super::body::{Answer, Asked, Asking};
use super::caller::{Caller, InRoom};
use super::refusal::Refusal;
use crate::app::App;
use crate::protocols::moderation::Told;
use crate::protocols::native::mapping::oversight;

/// Reports a message.
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: At,
    Asked(asked): Asked<v1::Report>,
) -> Result<(StatusCode, Answer<v1::Reported>), Refusal> {
    let (room, seq) = message(at)?;
    let asked = v1::Report { room: room.get(), seq: seq.0, ..asked };
    match app.moderation(caller.user, oversight::report(asked)?).await? {
        Told::Reported(room, taken) => {
            let status = if taken.already { StatusCode::OK } else { StatusCode::CREATED };
            Ok((status, Answer(oversight::reported(room, taken))))
        }
        other => Err(unexpected(&other)),
    }
}

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Which {
    after: u64,
    limit: u32,
    settled: bool,
}

/// Lists.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    InRoom(room): InRoom,
    Asking(Which { after, limit, settled }): Asking<Which>,
) -> Result<Answer<v1::Reports>, Refusal> {
    let asked = v1::ListReports { room: room.get(), after, limit, settled };
    match app.moderation(caller.user, oversight::reports(&asked)?).await? {
        Told::Reports(room, page) => Ok(Answer(oversight::report_page(room, &page))),
        other => Err(unexpected(&other)),
    }
}

/// Settles a report.
pub async fn settle(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: At,
    Asked(asked): Asked<v1::SettleReport>,
) -> Result<Answer<v1::Done>, Refusal> {
    let (room, report) = number(at, Rejection::NoSuchReport)?;
    let asked = v1::SettleReport { room: room.get(), report, ..asked };
    match app.moderation(caller.user, oversight::settle(&asked)?).await? {
        Told::Done => Ok(Answer(v1::Done {})),
        other => Err(unexpected(&other)),
    }
}

/// An answer to another question is a bug; the one who asked must not take it for success.
pub fn unexpected(told: &Told) -> Refusal {
    tracing::error!(?told, "an answer does not fit its request; this is a bug");
    debug_assert!(false, "{told:?} does not fit its request");
    Refusal(Rejection::Unavailable)
}
