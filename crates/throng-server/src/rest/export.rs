//! `GET /api/v1/export` → a line of JSON for each thing that the caller has here: its account, its rooms, what
//! it said in them and reported there, its files, whom it blocked; the last line says `end`. Written as
//! fast as it is taken; one that breaks off before that line is not whole. `HEAD` tells the same head and
//! begins nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::caller::Caller;
use super::refusal::Refusal;
use crate::app::App;
use crate::app::export::Export;

const LINES: HeaderValue = HeaderValue::from_static("application/jsonl");
const NAMED: HeaderValue = HeaderValue::from_static("attachment; filename=\"export.jsonl\"");

/// Writes it.
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    method: Method,
) -> Result<Response, Refusal> {
    let head = [(CONTENT_TYPE, LINES), (CONTENT_DISPOSITION, NAMED)];
    if method == Method::HEAD {
        return Ok(head.into_response());
    }
    let user = caller.user.id;
    let export = app.export(caller.user, caller.session)?;
    // A piece, and at last that it was the last.
    let (out, pieces) = mpsc::channel(1);
    app.lifecycle.spawn(Box::pin(write(Arc::clone(&app), export, out)));
    let is_read: IsRead = Box::new(move || app.export_is_read(user));
    let body = Writing { pieces, whole: false, taken: false, is_read: Some(is_read) };
    Ok((head, Body::new(body)).into_response())
}

/// Ends where the client takes nothing for too long, has gone, or the server stops: then without
/// saying that it is whole.
async fn write(app: Arc<App>, mut export: Export, out: mpsc::Sender<Option<Bytes>>) {
    let stall = Duration::from_millis(app.limits.transfer_stall_ms);
    loop {
        let next = tokio::select! {
            next = export.next() => next,
            () = app.lifecycle.draining() => return,
            () = out.closed() => return,
        };
        let piece = match next {
            Ok(Some(piece)) if piece.is_empty() => continue,
            Ok(piece) => piece.map(Bytes::from),
            Err(_) => return,
        };
        let last = piece.is_none();
        let sent = tokio::select! {
            sent = tokio::time::timeout(stall, out.send(piece)) => sent,
            () = app.lifecycle.draining() => return,
        };
        if last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// Called once: it is being read.
type IsRead = Box<dyn FnOnce() + Send>;

/// The pieces as a body. One whose writer ended without a word ends in an error, so that the client does
/// not take it for the whole.
struct Writing {
    pieces: mpsc::Receiver<Option<Bytes>>,
    whole: bool,
    /// The first piece was.
    taken: bool,
    /// Called when a piece is taken behind the first: by then the first is on its way, and whoever was gone
    /// before it has been found out.
    is_read: Option<IsRead>,
}

impl hyper::body::Body for Writing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.whole {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(context).map(|said| match said {
            Some(Some(piece)) => {
                let again = std::mem::replace(&mut self.taken, true);
                if let Some(is_read) = self.is_read.take_if(|_| again) {
                    is_read();
                }
                Some(Ok(Frame::data(piece)))
            }
            Some(None) => {
                self.whole = true;
                None
            }
            None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client reads of a body whose writer says this, and goes.
    async fn read(said: &[Option<&'static str>]) -> Result<Bytes, axum::Error> {
        let (out, pieces) = mpsc::channel(2);
        for piece in said {
            out.try_send(piece.map(Bytes::from)).expect("there is room for it");
        }
        drop(out);
        let body = Writing { pieces, whole: false, taken: false, is_read: None };
        axum::body::to_bytes(Body::new(body), 1_024).await
    }

    #[tokio::test]
    async fn what_broke_off_is_never_taken_for_the_whole() {
        let whole = read(&[Some("the lines\n"), None]).await;
        assert_eq!(whole.expect("it is whole"), "the lines\n");
        // Its client was slow: a piece waited still when the writer had to end.
        read(&[Some("a line\n")]).await.expect_err("it broke off");
        read(&[]).await.expect_err("it broke off before the first piece");
    }
}
