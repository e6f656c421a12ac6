//! A refusal as HTTP says it: the code's own words, and the status that fits.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use throng_core::Rejection;
use throng_wire::native::v1;

use super::body::Answer;
use crate::protocols::native::mapping;

/// A refused request.
#[derive(Clone, Copy, Debug)]
pub struct Refusal(pub Rejection);

/// `{"rejected":{…}}`.
#[derive(Debug, Serialize)]
pub struct Rejected {
    rejected: v1::Rejected,
}

impl Refusal {
    /// What goes into the body.
    pub fn body(self) -> Answer<Rejected> {
        Answer(Rejected { rejected: mapping::rejected(self.0) })
    }

    /// The answer with a text of its own.
    pub fn saying(self, text: String) -> Response {
        let rejected = v1::Rejected { text, ..mapping::rejected(self.0) };
        (self.status(), Answer(Rejected { rejected })).into_response()
    }

    /// The status that goes with it.
    pub fn status(self) -> StatusCode {
        match self.0 {
            Rejection::Malformed
            | Rejection::UnknownRequest
            | Rejection::BadUsername
            | Rejection::BadPassword
            | Rejection::BadRoomName
            | Rejection::EmptyBody
            | Rejection::BadOriginId
            | Rejection::BadArgument
            | Rejection::BadTopic
            | Rejection::BadReaction
            | Rejection::BadWords
            | Rejection::EmptyQuery
            | Rejection::BadQuery
            | Rejection::BadPicture
            | Rejection::AlreadyAuthenticated => StatusCode::BAD_REQUEST,
            Rejection::BodyTooLong | Rejection::FileTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Rejection::NotAuthenticated | Rejection::WrongCredentials | Rejection::BadToken => {
                StatusCode::UNAUTHORIZED
            }
            Rejection::NotMember
            | Rejection::QuotaExceeded
            | Rejection::LimitReached
            | Rejection::Forbidden
            | Rejection::Muted
            | Rejection::NoVoice
            | Rejection::WordRefused
            | Rejection::NotAccepted
            | Rejection::Banned
            | Rejection::SignUpClosed
            | Rejection::InvitationNeeded
            | Rejection::NoGuests
            | Rejection::SearchOff
            | Rejection::BadLink => StatusCode::FORBIDDEN,
            Rejection::NoSuchRoom
            | Rejection::NoSuchUser
            | Rejection::NoSuchMessage
            | Rejection::NoSuchReport
            | Rejection::NoSuchSession
            | Rejection::NoSuchFile => StatusCode::NOT_FOUND,
            Rejection::UsernameTaken | Rejection::RoomNameTaken | Rejection::WrongOffset => {
                StatusCode::CONFLICT
            }
            Rejection::TooOld => StatusCode::GONE,
            Rejection::RateLimited { .. } | Rejection::SlowMode { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Rejection::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Rejection::Busy { .. } | Rejection::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self(rejection)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.body()).into_response();
        let headers = response.headers_mut();
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(ms) = self.0.retry_after_ms() {
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
        }
        debug_assert!(headers.contains_key(CONTENT_TYPE));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_the_status_that_the_reference_tells() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/protocol.md");
        let reference = std::fs::read_to_string(path).unwrap();
        for rejection in Rejection::ALL.iter().copied() {
            let (code, name) = (rejection.code(), rejection.name());
            let status = Refusal(rejection).status().as_u16();
            let row = format!("| {code} | `{name}` | {status} |");
            assert!(reference.contains(&row), "{row}");
        }
    }

    #[test]
    fn one_who_is_to_come_back_hears_when_in_whole_seconds() {
        let response = Refusal(Rejection::Busy { retry_after_ms: 1_001 }).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
