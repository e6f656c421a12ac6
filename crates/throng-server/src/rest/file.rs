//! `GET /api/v1/files/{file}` → `file`: one of the asker's own files, and how much of it has come; `HEAD`
//! tells a tus client the same in its head. `PATCH` → 204: the next part, from `Upload-Offset` on.
//! `DELETE` → 204: gives up a file that is on its way.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use throng_core::{FileId, Rejection};

use super::body::{encoded, is_encoded};
use super::caller::Caller;
use super::files::{OFFSET, PART, RESUMABLE, is_part, number, other_version, receive, told};
use super::refusal::Refusal;
use crate::app::App;

/// The file of the path; what cannot be a file's name names none.
#[derive(Clone, Copy, Debug)]
pub struct OfFile(pub FileId);

impl<S: Send + Sync> FromRequestParts<S> for OfFile {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(text)| FileId::parse(&text));
        id.map(Self).ok_or(Refusal(Rejection::NoSuchFile))
    }
}

/// How far it is.
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    OfFile(id): OfFile,
) -> Result<Response, Refusal> {
    let kept = app.with_files(move |files| files.find(caller.user.id, id)).await?;
    Ok(told(StatusCode::OK, &kept))
}

/// Takes the next part.
pub async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    OfFile(id): OfFile,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    if let Some(other) = other_version(&headers) {
        return Ok(other);
    }
    if is_encoded(&headers) {
        return Ok(encoded());
    }
    if !is_part(&headers) {
        let text = format!("a part of a file says `Content-Type: {PART}`");
        let mut refusal = Refusal(Rejection::Malformed).saying(text);
        *refusal.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Ok(refusal);
    }
    let user = caller.user.id;
    let at = number(&headers, &OFFSET).ok_or(Rejection::BadArgument)?;
    receive(&app, user, (id, at), body).await?;
    let kept = app.with_files(move |files| files.find(user, id)).await?;
    let mut response = told(StatusCode::NO_CONTENT, &kept);
    *response.body_mut() = Body::empty();
    response.headers_mut().remove(CONTENT_TYPE);
    Ok(response)
}

/// Gives it up.
pub async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    OfFile(id): OfFile,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if let Some(other) = other_version(&headers) {
        return Ok(other);
    }
    app.with_files(move |files| files.cancel(caller.user.id, id)).await?;
    Ok((StatusCode::NO_CONTENT, [(RESUMABLE, "1.0.0")]).into_response())
}
