//! Bodies, in and out, as JSON.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, HttpBody as _, to_bytes};
use axum::extract::{FromRef, FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use throng_core::Rejection;
use throng_core::limits::BODY_BYTES_MAX;
use throng_wire::native::json;

use super::refusal::Refusal;
use crate::app::App;

/// What a client sent. Its content type is not looked at: what is not JSON is refused, and no cookie
/// makes a foreign page's request ours.
#[derive(Debug)]
pub struct Asked<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Asked<T>
where
    Arc<App>: FromRef<S>,
{
    type Rejection = Untaken;

    /// A body has the time that a head has: one that drips holds a socket no longer.
    async fn from_request(request: Request, state: &S) -> Result<Self, Untaken> {
        if is_encoded(request.headers()) {
            return Err(Untaken::Encoded);
        }
        let body = request.body();
        if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            return Err(Untaken::Refused(Rejection::BodyTooLong));
        }
        let app = Arc::<App>::from_ref(state);
        let time = Duration::from_millis(app.limits.handshake_timeout_ms);
        let reading = to_bytes(request.into_body(), BODY_BYTES_MAX);
        let bytes: Bytes = tokio::time::timeout(time, reading)
            .await
            .map_err(|_| Untaken::Refused(Rejection::Malformed))?
            .map_err(|error| unread(&error))?;
        // A list would be taken for the fields in their order.
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(Untaken::Unread("not an object".to_owned()));
        }
        let unread = |error| Untaken::Unread(json::why(&error));
        serde_json::from_slice(&bytes).map(Self).map_err(unread)
    }
}

/// Why the bytes did not come: too many, or framed as no HTTP has it.
fn unread(error: &axum::Error) -> Untaken {
    let too_long = error.source().is_some_and(<dyn Error>::is::<LengthLimitError>);
    Untaken::Refused(if too_long { Rejection::BodyTooLong } else { Rejection::Malformed })
}

/// Whether a body is sent in another form than its own, as by gzip. None such is taken: what it would come
/// to is not known before it is unpacked.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// What is said of one: 415, with what is taken (RFC 9110 §15.5.16).
pub fn encoded() -> Response {
    let text = "the body is encoded; send it as it is, without Content-Encoding";
    let mut response = Refusal(Rejection::Malformed).saying(text.to_owned());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

/// A body that is not taken.
#[derive(Debug)]
pub enum Untaken {
    /// It is encoded.
    Encoded,
    /// By the table.
    Refused(Rejection),
    /// It is `malformed`; the text is for the client's author, and holds nothing of the body.
    Unread(String),
}

impl IntoResponse for Untaken {
    fn into_response(self) -> Response {
        match self {
            Self::Encoded => encoded(),
            Self::Refused(rejection) => Refusal(rejection).into_response(),
            Self::Unread(why) => {
                Refusal(Rejection::Malformed).saying(format!("the body could not be read: {why}"))
            }
        }
    }
}

/// What stands behind the question mark.
#[derive(Debug)]
pub struct Asking<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Asking<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        if !spells_text(parts.uri.query().unwrap_or_default()) {
            return Err(Refusal(Rejection::BadArgument));
        }
        Query::try_from_uri(&parts.uri)
            .map(|Query(asking)| Self(asking))
            .map_err(|_| Refusal(Rejection::BadArgument))
    }
}

/// Whether it is UTF-8 that is percent-encoded: the decoder puts a sign in place of what is not, and that
/// would be looked for.
fn spells_text(query: &str) -> bool {
    let mut bytes = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let [first, behind @ ..] = rest {
        let digits = behind.get(..2).and_then(|two| str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    str::from_utf8(&bytes).is_ok()
}

/// What is answered: a message of the wire.
#[derive(Debug)]
pub struct Answer<T>(pub T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut bytes = Vec::new();
        json::encode(&self.0, &mut bytes);
        let kind = HeaderValue::from_static("application/json");
        ([(CONTENT_TYPE, kind)], bytes).into_response()
    }
}
