//! `GET /api/v1/rooms/{room}/messages/{seq}/files/{file}`: a file that a message carries, whole or a
//! `Range` of it, for one who may read that message now. `…/small`: a small picture of it.
//!
//! What comes of strangers is served from where no script runs: `nosniff`, a policy that allows
//! nothing in a sandbox, and as a download unless it is a picture.

use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE, REFERRER_POLICY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use throng_core::{Attachment, FileId, Rejection, Seq};
use tokio::sync::mpsc;

use super::at::{At, parts};
use super::caller::Caller;
use super::refusal::Refusal;
use crate::app::App;
use crate::files::avatars::media;
use crate::files::shelf::Source;
use crate::files::tag;
use crate::files::transfers::Transfer;
use crate::protocols::native::mapping;

/// What is read and held at once of a file that is fetched.
const CHUNK_LEN: usize = 64 * 1024;
pub const POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

type Named = At<(u32, u64, String)>;

/// The file of the path, as its message carries it.
async fn carried(app: &App, caller: &Caller, at: Named) -> Result<Attachment, Refusal> {
    let (room, seq, file) = parts(at, Rejection::NoSuchFile)?;
    let room = mapping::room_id(room)?;
    let file = FileId::parse(&file).ok_or(Rejection::NoSuchFile)?;
    Ok(app.attachment(caller.user.id, (room, Seq::said(seq)), file).await?)
}

/// A file.
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: Named,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let file = carried(&app, &caller, at).await?;
    let tag = HeaderValue::try_from(tag(file.hash)).expect("hexadecimal between quotes");
    if headers.get(IF_NONE_MATCH).is_some_and(|known| *known == tag) {
        return Ok((StatusCode::NOT_MODIFIED, safe(&file, tag)).into_response());
    }
    let same = headers.get(IF_RANGE).is_none_or(|known| *known == tag);
    let asked = headers.get(RANGE).filter(|_| same).and_then(|range| range.to_str().ok());
    let range = match asked.map_or(Asked::Whole, |range| range_of(range, file.len)) {
        Asked::Whole => None,
        Asked::Part(from, to) => Some((from, to)),
        Asked::Nothing => {
            let len = HeaderValue::try_from(format!("bytes */{}", file.len)).expect("a number");
            let refusal = Refusal(Rejection::BadArgument).body();
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return Ok((status, [(CONTENT_RANGE, len)], refusal).into_response());
        }
    };
    let files = app.files.as_ref().ok_or(Rejection::NoSuchFile)?;
    let place = files.transfers.begin(caller.user.id)?;
    let opened = file.clone();
    let opened = app.with_files(move |files| files.open_whole(&opened)).await?;
    let (from, to) = range.unwrap_or((0, file.len));
    let body = send(&app, opened, (from, to), place);
    let media = HeaderValue::from_static(file.kind.media());
    let mut response = (safe(&file, tag), [(CONTENT_TYPE, media)], body).into_response();
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let part = format!("bytes {from}-{}/{}", to - 1, file.len);
        let part = HeaderValue::try_from(part).expect("numbers");
        response.headers_mut().insert(CONTENT_RANGE, part);
    }
    Ok(response)
}

/// A small picture of it.
pub async fn small(
    State(app): State<Arc<App>>,
    caller: Caller,
    at: Named,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let file = carried(&app, &caller, at).await?;
    let tag = HeaderValue::try_from(tag(file.hash)).expect("hexadecimal between quotes");
    if headers.get(IF_NONE_MATCH).is_some_and(|known| *known == tag) {
        return Ok((StatusCode::NOT_MODIFIED, safe(&file, tag)).into_response());
    }
    let files = app.files.as_ref().ok_or(Rejection::NoSuchFile)?;
    let bytes = files.small(&file).await?;
    let media = HeaderValue::from_static(media(&bytes));
    Ok((safe(&file, tag), [(CONTENT_TYPE, media)], bytes).into_response())
}

/// What keeps a stranger's bytes from being more than bytes. Asked again each time, so that one who
/// was removed does not go on reading from a cache.
fn safe(file: &Attachment, tag: HeaderValue) -> [(HeaderName, HeaderValue); 7] {
    let how = if file.kind.is_picture() { "inline" } else { "attachment" };
    let named = format!("{how}; filename*=UTF-8''{}", percent(file.name.as_str()));
    [
        (ETAG, tag),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (CONTENT_DISPOSITION, HeaderValue::try_from(named).expect("percent-encoded")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ]
}

/// RFC 8187: all but letters and digits and what is harmless.
fn percent(name: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes what is written");
        }
    }
    out
}

/// What `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// All; also where what is asked is not understood, as RFC 9110 has it.
    Whole,
    /// From the first of these up to the second, which is not included.
    Part(u64, u64),
    /// What is not there.
    Nothing,
}

/// One range; more than one at a time is answered with the whole.
fn range_of(range: &str, len: u64) -> Asked {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|one| one.split_once('-'))
    else {
        return Asked::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let part = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(len)),
        (Ok(first), Err(_)) if last.is_empty() => (first, len),
        (Err(_), Ok(last)) if first.is_empty() => (len.saturating_sub(last), len),
        _ => return Asked::Whole,
    };
    if part.0 < part.1 { Asked::Part(part.0, part.1) } else { Asked::Nothing }
}

/// A file on its way out: read a piece at a time, as the client takes them.
struct Sending {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

fn send(app: &Arc<App>, file: Box<dyn Source>, (from, to): (u64, u64), place: Transfer) -> Body {
    let (out, pieces) = mpsc::channel(1);
    let stall = Duration::from_millis(app.limits.transfer_stall_ms);
    let lifecycle = app.lifecycle.clone();
    app.lifecycle.spawn(Box::pin(async move {
        // Kept until the last piece is taken.
        let _place = place;
        let mut file = Some(file);
        let mut at = from;
        while at < to {
            let Some(mut open) = file.take() else { return };
            let len = CHUNK_LEN.min((to - at) as usize);
            let read = tokio::task::spawn_blocking(move || {
                let read = read_at(&mut *open, at, len);
                (open, read)
            });
            let Ok((open, read)) = read.await else { return };
            let ended = read.is_err();
            file = Some(open);
            at += len as u64;
            let sent = tokio::select! {
                sent = tokio::time::timeout(stall, out.send(read)) => sent,
                () = lifecycle.draining() => return,
            };
            // A client that takes nothing, or has gone.
            if ended || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    }));
    Body::new(Sending { pieces, left: to - from })
}

fn read_at(file: &mut dyn Source, at: u64, len: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; len];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes.into())
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(context).map(|piece| match piece {
            Some(Ok(bytes)) => {
                self.left -= bytes.len() as u64;
                Some(Ok(Frame::data(bytes)))
            }
            Some(Err(error)) => Some(Err(error)),
            // It ended before the end: the client must not take it for the whole.
            None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_what_rfc_9110_says() {
        for (range, asked) in [
            ("bytes=0-0", Asked::Part(0, 1)),
            ("bytes=0-99", Asked::Part(0, 100)),
            ("bytes=10-19", Asked::Part(10, 20)),
            ("bytes=90-1000", Asked::Part(90, 100)),
            ("bytes=99-", Asked::Part(99, 100)),
            ("bytes=-1", Asked::Part(99, 100)),
            ("bytes=-1000", Asked::Part(0, 100)),
            ("bytes=100-", Asked::Nothing),
            ("bytes=100-200", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=5-4", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("bytes=-", Asked::Whole),
        ] {
            assert_eq!(range_of(range, 100), asked, "{range}");
        }
    }

    #[test]
    fn a_name_cannot_end_its_header() {
        assert_eq!(percent("cat & \"dog\"\r\n.png"), "cat%20%26%20%22dog%22%0D%0A.png");
        assert_eq!(percent("ü"), "%C3%BC");
    }
}
