//! `GET /api/v1/export` → a line of JSON for each thing that the caller has here: its account, its rooms, what
//! it said in them and reported there, its files, whom it blocked; the last line says `end`. Written as
//! fast as it is taken; one that breaks off before that line is not whole.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
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
pub async fn show(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, Refusal> {
    let export = app.export(caller.user)?;
    let (out, pieces) = mpsc::channel(1);
    app.lifecycle.spawn(Box::pin(write(Arc::clone(&app), export, out)));
    let head = [(CONTENT_TYPE, LINES), (CONTENT_DISPOSITION, NAMED)];
    Ok((head, Body::new(Writing(pieces))).into_response())
}

/// Ends where the client takes nothing for too long, has gone, or the server stops.
async fn write(app: Arc<App>, mut export: Export, out: mpsc::Sender<io::Result<Bytes>>) {
    let stall = Duration::from_millis(app.limits.transfer_stall_ms);
    loop {
        let next = tokio::select! {
            next = export.next() => next,
            () = app.lifecycle.draining() => return broken(&out),
            () = out.closed() => return,
        };
        let piece = match next {
            Ok(Some(piece)) if piece.is_empty() => continue,
            Ok(Some(piece)) => piece,
            Ok(None) => return,
            Err(_) => return broken(&out),
        };
        let sent = tokio::select! {
            sent = tokio::time::timeout(stall, out.send(Ok(piece.into()))) => sent,
            () = app.lifecycle.draining() => return broken(&out),
        };
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// The client must not take it for the whole.
fn broken(out: &mpsc::Sender<io::Result<Bytes>>) {
    // It may have gone.
    _ = out.try_send(Err(io::ErrorKind::UnexpectedEof.into()));
}

struct Writing(mpsc::Receiver<io::Result<Bytes>>);

impl hyper::body::Body for Writing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
