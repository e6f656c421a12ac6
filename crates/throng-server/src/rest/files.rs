//! `POST /api/v1/files` → 201 `file`: announces a file, by tus 1.0 (creation, creation-with-upload,
//! termination): `Upload-Length`, and the name in `Upload-Metadata`. A body is its first part.
//! `OPTIONS` of the same: which tus.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use serde::Serialize;
use throng_core::{FileId, FileName, Rejection, UserId};
use throng_wire::native::v1;

use super::body::{Answer, encoded, is_encoded};
use super::caller::Caller;
use super::refusal::Refusal;
use crate::app::App;
use crate::files::{Files, Kept, Part, Turn};
use crate::protocols::native::mapping;

const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
pub const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub const PART: &str = "application/offset+octet-stream";
/// What is gathered before it is written.
const CHUNK_LEN: usize = 64 * 1024;
/// What a file is called whose sender does not say.
const UNNAMED: &str = "file";

/// A file of the asker's, and how much of it has come.
#[derive(Debug, Serialize)]
pub struct Info {
    here: u64,
    whole: bool,
    file: v1::Attachment,
}

/// A file as its owner sees it, with what tus wants of every answer.
pub fn told(status: StatusCode, kept: &Kept) -> Response {
    let file = mapping::attachment(&kept.file);
    let none = |text: String| if kept.whole { text } else { String::new() };
    let file = v1::Attachment { r#type: none(file.r#type), hash: none(file.hash), ..file };
    let info = Info { here: kept.here, whole: kept.whole, file };
    let headers = [
        (RESUMABLE, VERSION),
        (OFFSET, HeaderValue::from(kept.here)),
        (LENGTH, HeaderValue::from(kept.file.len)),
    ];
    (status, headers, Answer(info)).into_response()
}

/// What tus wants of every answer about files, refusals too.
pub async fn resumable(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let of_files = path == "/files" || path.starts_with("/files/");
    let mut response = next.run(request).await;
    if of_files {
        response.headers_mut().insert(RESUMABLE, VERSION);
    }
    response
}

/// Which tus this is.
pub async fn discover(State(app): State<Arc<App>>) -> Response {
    let extensions = HeaderValue::from_static("creation,creation-with-upload,termination");
    let headers = [
        (RESUMABLE, VERSION),
        (TUS_VERSION, VERSION),
        (EXTENSION, extensions),
        (MAX_SIZE, HeaderValue::from(app.limits.file_len_max)),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// A client that names another version of tus than ours speaks of something else: its answer.
pub fn other_version(headers: &HeaderMap) -> Option<Response> {
    headers.get(RESUMABLE).filter(|version| **version != VERSION).map(|_| {
        let refusal = Refusal(Rejection::UnknownRequest).body();
        (StatusCode::PRECONDITION_FAILED, [(TUS_VERSION, VERSION)], refusal).into_response()
    })
}

/// A number of a head.
pub fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Announces a file.
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    if let Some(other) = other_version(&headers) {
        return Ok(other);
    }
    if is_encoded(&headers) {
        return Ok(encoded());
    }
    let user = caller.user.id;
    if user.is_guest() {
        return Err(Refusal(Rejection::Forbidden));
    }
    let len = number(&headers, &LENGTH).ok_or(Rejection::BadArgument)?;
    let name = name(&headers)?;
    if len > app.limits.file_len_max {
        return Err(Refusal(Rejection::FileTooLarge));
    }
    let id = app.with_files(move |files| files.begin(user, &name, len)).await?;
    if !body.is_end_stream() && is_part(&headers) {
        receive(&app, user, (id, 0), body).await?;
    }
    let kept = app.with_files(move |files| files.find(user, id)).await?;
    let mut response = told(StatusCode::CREATED, &kept);
    let location = HeaderValue::try_from(format!("/api/v1/files/{}", id.to_hex()));
    response.headers_mut().insert(LOCATION, location.expect("hexadecimal"));
    Ok(response)
}

/// Whether a body is part of a file, as tus calls it.
pub fn is_part(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind == PART)
}

/// The name in `Upload-Metadata`: pairs of a key and base64, by commas.
fn name(headers: &HeaderMap) -> Result<FileName, Rejection> {
    let pairs = headers.get(METADATA).map_or(Ok(""), HeaderValue::to_str);
    let mut pairs = pairs.map_err(|_| Rejection::BadArgument)?.split(',').map(str::trim);
    let named = pairs.find_map(|pair| pair.strip_prefix("filename "));
    let Some(named) = named else { return FileName::parse(UNNAMED) };
    let bytes = STANDARD.decode(named.trim()).map_err(|_| Rejection::BadArgument)?;
    let text = String::from_utf8(bytes).map_err(|_| Rejection::BadArgument)?;
    FileName::parse(&text)
}

/// Adds a body to a file. What has come stays when the client goes away in the middle of it, and when
/// the disk has no room for more: by a task of its own, because who answers a request goes with its
/// socket.
pub async fn receive(
    app: &Arc<App>,
    user: UserId,
    file: (FileId, u64),
    body: Body,
) -> Result<(), Rejection> {
    let own = Arc::clone(app);
    let receiving = Box::pin(async move { take_in(&own, user, file, body).await });
    // It panicked or the runtime ends; either is said elsewhere.
    app.lifecycle.spawn(receiving).await.unwrap_or(Err(Rejection::Unavailable))
}

async fn take_in(
    app: &App,
    user: UserId,
    (id, at): (FileId, u64),
    mut body: Body,
) -> Result<(), Rejection> {
    let stall = Duration::from_millis(app.limits.transfer_stall_ms);
    let files = app.files.as_ref().ok_or(Rejection::NoSuchFile)?;
    let _place = files.transfers.begin(user)?;
    let mut part = turn(app, user, (id, at), stall).await?;
    let mut asked = part.asked();
    let mut draining = std::pin::pin!(app.lifecycle.draining());
    let mut waiting = Vec::new();
    let ended = loop {
        let gathered = tokio::select! {
            gathered = tokio::time::timeout(stall, gather(&mut body, &mut waiting)) => gathered,
            // Its owner has lost this connection, and goes on where it has come to.
            _ = asked.wait_for(|asked| *asked) => break Err(Rejection::WrongOffset),
            // A stop waits for nobody's line: its owner goes on with the next server.
            () = &mut draining => break Err(Rejection::Unavailable),
        };
        // One that drips is as one that has stopped.
        if let Some(ended) = gathered.unwrap_or(Some(Err(Rejection::Malformed))) {
            break ended;
        }
        let written;
        (part, written) = write(app, part, std::mem::take(&mut waiting)).await?;
        if written.is_err() {
            break written;
        }
    };
    let (part, written) = write(app, part, waiting).await?;
    app.with_files(move |_| part.settle()).await?;
    written.and(ended)
}

/// The right to add to a file from a place on. Who adds to it on another connection keeps what has come
/// and gives way: a client that has lost that one comes back long before the server knows.
async fn turn(
    app: &App,
    user: UserId,
    (id, at): (FileId, u64),
    stall: Duration,
) -> Result<Part, Rejection> {
    let ask = move |files: &Arc<Files>| files.part(user, id, at);
    let holder = match app.with_files(ask).await? {
        Turn::Now(part) => return Ok(part),
        Turn::Later(holder) => holder,
    };
    _ = tokio::time::timeout(stall, holder.gives_way()).await;
    match app.with_files(ask).await? {
        Turn::Now(part) => Ok(part),
        Turn::Later(_) => Err(Rejection::WrongOffset),
    }
}

/// Takes a body in until it is worth a write, or has come to its end, good or bad.
async fn gather(body: &mut Body, waiting: &mut Vec<u8>) -> Option<Result<(), Rejection>> {
    while waiting.len() < CHUNK_LEN {
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    waiting.extend_from_slice(&data);
                }
            }
            None => return Some(Ok(())),
            Some(Err(_)) => return Some(Err(Rejection::Malformed)),
        }
    }
    None
}

/// Adds a piece, and gives the part back, whether it could be added or not.
async fn write(
    app: &App,
    mut part: Part,
    bytes: Vec<u8>,
) -> Result<(Part, Result<(), Rejection>), Rejection> {
    app.with_files(move |_| {
        let written = part.write(&bytes);
        Ok((part, written))
    })
    .await
}
