//! A body that nobody read to its end, because the answer was there before it: one that is short is read
//! all the same, so that the connection goes on; of one that is long the answer says that the connection
//! is closed.
//!
//! Neighbours: `mod.rs` puts it around all of HTTP. The HTTP library closes a connection whose body was
//! left, and does not say so: a client that keeps its connections would fail with its next request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use throng_core::limits::BODY_BYTES_MAX;

use crate::app::App;

/// Answers, and settles what becomes of a body that is left.
pub async fn settle(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // For all of it, from here on: one that drips holds a socket no longer.
    let time = tokio::time::sleep(Duration::from_millis(app.limits.handshake_timeout_ms));
    let left = Arc::new(Mutex::new(Left::Lent));
    let request = request.map(|body| Body::new(Lent { body: Some(body), left: Arc::clone(&left) }));
    let mut response = next.run(request).await;
    let left = std::mem::replace(&mut *lock(&left), Left::Lent);
    let read = match left {
        Left::Nothing => true,
        Left::Rest(body) if body.size_hint().lower() <= BODY_BYTES_MAX as u64 => tokio::select! {
            read = to_bytes(body, BODY_BYTES_MAX) => read.is_ok(),
            () = time => false,
        },
        Left::Lent | Left::Broken | Left::Rest(_) => false,
    };
    if !read {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What is left of a body.
#[derive(Debug)]
enum Left {
    /// Not known: somebody has it still.
    Lent,
    /// It was read to its end.
    Nothing,
    /// It could not be read.
    Broken,
    /// This much was not asked for.
    Rest(Body),
}

fn lock(left: &Mutex<Left>) -> std::sync::MutexGuard<'_, Left> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body that comes back when it is dropped.
#[derive(Debug)]
struct Lent {
    body: Option<Body>,
    left: Arc<Mutex<Left>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        let ended = match &frame {
            Some(Ok(_)) => return Poll::Ready(frame),
            Some(Err(_)) => Left::Broken,
            None => Left::Nothing,
        };
        self.body = None;
        *lock(&self.left) = ended;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            *lock(&self.left) = if body.is_end_stream() { Left::Nothing } else { Left::Rest(body) };
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::rest::tests::{Answered, Server};

    async fn asked(server: &Server, body: Body) -> Answered {
        server.ask(Request::post("/api/v1/rooms").body(body).unwrap()).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_connection_goes_on_behind_a_short_body_that_was_left_and_not_behind_a_long_one() {
        let server = Server::start(|_| {});
        for (len, closes) in [
            (0, false),
            (1, false),
            (BODY_BYTES_MAX - 1, false),
            (BODY_BYTES_MAX, false),
            (BODY_BYTES_MAX + 1, true),
        ] {
            let answered = asked(&server, Body::from(vec![b' '; len])).await;
            assert_eq!(answered.status, StatusCode::UNAUTHORIZED);
            let said = answered.headers.get(CONNECTION).map(HeaderValue::as_bytes);
            assert_eq!(said, closes.then_some(&b"close"[..]), "{len} bytes");
        }
        server.app.stop().await;
    }

    /// A body of no announced length: so many pieces of so many bytes.
    struct Pieces(usize, usize);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
            self.0 = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b' '; self.1])))))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn so_it_is_with_one_whose_length_nobody_knows_and_one_that_is_read_is_as_ever() {
        let server = Server::start(|_| {});
        for (pieces, closes) in [(64, false), (65, true)] {
            let answered = asked(&server, Body::new(Pieces(pieces, BODY_BYTES_MAX / 64))).await;
            assert_eq!(answered.headers.contains_key(CONNECTION), closes, "{pieces}");
        }
        // One that is read to its end is as ever, however it is refused.
        let anna = server.sign_up("anna").await;
        let request =
            Request::post("/api/v1/rooms").header("authorization", format!("Bearer {anna}"));
        let answered = server.ask(request.body(Body::new(Pieces(3, 10))).unwrap()).await;
        answered.refused(400, "malformed");
        assert!(!answered.headers.contains_key(CONNECTION));
        server.app.stop().await;
    }
}
