//! HTTP/1: REST and the page by the router, and the upgrade to WebSocket, after which the socket is
//! taken back from the HTTP library and runs as a connection of our own.
//!
//! Neighbours: `rest` answers requests; `connection` runs what was upgraded. A page of a foreign
//! origin is refused: a browser would lend it the user's address and cookies.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use throng_wire::ws::deflate::accept;
use throng_wire::{native, ws};
use tokio::net::TcpStream;

use super::Pass;
use super::write_deadline::WriteDeadline;
use crate::address::AddressKey;
use crate::app::App;
use crate::connection::{Connection, DRAIN, Opened};
use crate::outbox::Outbox;
use crate::protocols::Form;
use crate::protocols::native::Native;
use crate::rest::{self, Peer};

/// A request's head. hyper takes no smaller buffer than this either.
const HEAD_LEN_MAX: usize = 8 * 1024;

/// The socket's pass, until an upgrade takes it along.
#[derive(Clone, Debug)]
struct Carried(Arc<Mutex<Option<Pass>>>);

impl Carried {
    fn new(pass: Pass) -> Self {
        Self(Arc::new(Mutex::new(Some(pass))))
    }

    fn take(&self) -> Option<Pass> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The socket was not upgraded: it stays open, and so it stays counted.
    fn give_back(&self, pass: Pass) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pass);
    }
}

#[derive(Clone, Debug)]
struct Upgrade {
    app: Arc<App>,
}

/// REST, the page and `/ws`.
pub fn router(app: &Arc<App>) -> Router {
    let upgrade = Upgrade { app: Arc::clone(app) };
    let ws = Router::new().route("/ws", get(self::upgrade)).with_state(upgrade);
    ws.merge(rest::router(Arc::clone(app)))
}

/// Serves HTTP on a socket until it is closed or upgraded.
pub fn serve(app: &Arc<App>, router: Router, stream: TcpStream, peer: IpAddr, pass: Pass) {
    let carried = Carried::new(pass);
    let service = tower::ServiceExt::map_request(router, {
        let carried = carried.clone();
        move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(carried.clone());
            request
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(app.limits.handshake_timeout_ms))
        .max_buf_size(HEAD_LEN_MAX)
        .half_close(false);
    let takes_within = Duration::from_millis(app.limits.write_timeout_ms);
    let (clock, metrics) = (app.clock.clone(), Arc::clone(&app.metrics));
    let io = TokioIo::new(WriteDeadline::new(stream, takes_within, clock, metrics));
    let serving = http.serve_connection(io, TowerToHyperService::new(service)).with_upgrades();
    let lifecycle = app.lifecycle.clone();
    // Boxed: a socket that is upgraded lives on as a connection, and this goes.
    app.lifecycle.spawn(Box::pin(async move {
        let mut serving = std::pin::pin!(serving);
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = lifecycle.draining() => {
                serving.as_mut().graceful_shutdown();
                // Not for ever: it may be that its answer is not read.
                tokio::time::timeout(DRAIN, serving).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection ended");
        }
        drop(carried);
    }));
}

async fn upgrade(State(upgrade): State<Upgrade>, mut request: Request) -> Response<Body> {
    let app = upgrade.app;
    let form = match check(&app, &request) {
        Ok(form) => form,
        Err(refusal) => return refuse(refusal),
    };
    let Some(carried) = request.extensions_mut().remove::<Carried>() else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "not on a socket\n").into_response();
    };
    let Some(mut pass) = carried.take() else {
        return (StatusCode::BAD_REQUEST, "one upgrade a connection\n").into_response();
    };
    let address = rest::client(&app, request.headers(), request.extensions());
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(bearer_token);
    let bearer = bearer.map(str::to_owned);
    if let Some(refusal) = refused(&app, &mut pass, address, bearer.as_deref()).await {
        app.metrics.connections_refused.inc();
        carried.give_back(pass);
        return refusal;
    }
    let headers = request.headers();
    let extension = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
    let extension = extension.filter_map(|value| value.to_str().ok());
    let extension = if app.settings.websocket_deflate { accept(extension) } else { None };
    let answer = switching(headers, form, extension);
    let form = Form::of_websocket(form.unwrap_or(native::Form::Json), extension.is_some());
    let upgrading = hyper::upgrade::on(&mut request);
    let running = Arc::clone(&app);
    app.lifecycle.spawn(Box::pin(async move {
        let Some((stream, head)) = take_back(upgrading).await else { return };
        let outbox = Outbox::new(running.sessions.next_id(), form, stream, &running.limits);
        let protocol = Native::new(form, &running.limits);
        let outbox = Arc::new(outbox);
        let opened = Opened { outbox, protocol, address, head, bearer, pass };
        // A task of its own: the upgrade's future is large and ends here.
        running.lifecycle.spawn(Connection::new(&running, opened));
    }));
    answer
}

/// What is answered where one more connection may not be, from there and with that token.
async fn refused(
    app: &App,
    pass: &mut Pass,
    address: AddressKey,
    bearer: Option<&str>,
) -> Option<Response<Body>> {
    let may = match bearer {
        Some(token) => app.auth.may_connect_with(token, address).await,
        None => app.auth.may_connect(address),
    };
    if let Err(rejection) = may {
        return Some(rest::Refusal(rejection).into_response());
    }
    if pass.count_for(address) {
        return None;
    }
    let text = "too many connections from this address\n";
    Some((StatusCode::TOO_MANY_REQUESTS, text).into_response())
}

/// The socket itself, and what the peer sent right behind its request. Everything of the HTTP
/// library's is gone after this.
async fn take_back(upgrading: OnUpgrade) -> Option<(TcpStream, Vec<u8>)> {
    let upgraded = upgrading.await.ok()?;
    let parts = upgraded.downcast::<TokioIo<WriteDeadline<TcpStream>>>().ok()?;
    // Copied, so that the library's buffer is freed: it would live as long as its smallest slice.
    Some((parts.io.into_inner().into_inner(), parts.read_buf.to_vec()))
}

type Refusal = (StatusCode, &'static str);

/// With what would have been taken: a 426 must name it (RFC 9110).
fn refuse(refusal: Refusal) -> Response<Body> {
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
    ];
    (headers, refusal).into_response()
}

/// Whether this is an upgrade that may be, and in which form. `None` is JSON without a subprotocol.
fn check(app: &App, request: &Request) -> Result<Option<native::Form>, Refusal> {
    let headers = request.headers();
    let has = |name, token: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    // The router sends `HEAD` where `GET` goes, and an older HTTP cannot be upgraded.
    let begins = request.method() == Method::GET && request.version() == Version::HTTP_11;
    if !begins || !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Err((StatusCode::UPGRADE_REQUIRED, "this is a WebSocket: upgrade to it\n"));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "only version 13 of WebSocket\n"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    if !key.is_some_and(ws::handshake::is_key) {
        return Err((StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing or wrong\n"));
    }
    // Of two, one would be asked for the origin and another may have been asked by a proxy.
    if headers.get_all(header::HOST).iter().count() != 1 {
        return Err((StatusCode::BAD_REQUEST, "there must be one Host\n"));
    }
    if !is_allowed_origin(headers, &app.settings.allowed_origins) {
        let text = "pages of this origin may not connect; see the setting allowed_origins\n";
        return Err((StatusCode::FORBIDDEN, text));
    }
    let mut offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().peekable();
    if offers.peek().is_none() {
        return Ok(None);
    }
    let known = offers.find_map(|offer| native::Form::offered(offer.to_str().ok()?));
    let text = "no subprotocol that is known here: throng.v1.json, throng.v1.protobuf\n";
    known.map(Some).ok_or((StatusCode::BAD_REQUEST, text))
}

/// A browser names the page's origin; it must be this host's own or one that is allowed. What is no
/// browser names none.
fn is_allowed_origin(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return false };
    if allowed.iter().any(|one| one.trim_end_matches('/').eq_ignore_ascii_case(origin)) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.filter(|host| !host.is_empty()) else { return false };
    let Some((scheme, of_page)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |host: &str| {
        let host = host.to_ascii_lowercase();
        host.strip_suffix(default_port).map_or(host.clone(), str::to_owned)
    };
    bare(of_page) == bare(host)
}

fn switching(
    headers: &HeaderMap,
    form: Option<native::Form>,
    extension: Option<&'static str>,
) -> Response<Body> {
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    let accept = ws::accept_key(key.unwrap_or_default());
    let mut answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(form) = form {
        answer = answer.header(header::SEC_WEBSOCKET_PROTOCOL, form.subprotocol());
    }
    if let Some(extension) = extension {
        answer = answer.header(header::SEC_WEBSOCKET_EXTENSIONS, extension);
    }
    answer.body(Body::empty()).expect("headers of letters and digits")
}

fn bearer_token(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        list.iter().map(pair).collect()
    }

    #[test]
    fn only_pages_of_this_host_and_of_allowed_origins_may_connect() {
        let allowed = ["https://app.example".to_owned()];
        let table = [
            (None, "chat.example", true),
            (Some("https://chat.example"), "chat.example", true),
            (Some("https://CHAT.example"), "chat.example", true),
            (Some("https://chat.example"), "chat.example:443", true),
            (Some("http://chat.example:8080"), "chat.example:8080", true),
            (Some("http://chat.example"), "chat.example:8080", false),
            (Some("https://app.example"), "chat.example", true),
            (Some("https://evil.example"), "chat.example", false),
            (Some("https://chat.example.evil"), "chat.example", false),
            (Some("https://evil.chat.example"), "chat.example", false),
            (Some("null"), "chat.example", false),
            (Some("file://"), "", false),
            (Some("https://"), "", false),
        ];
        for (origin, host, expected) in table {
            let mut list = vec![("host", host)];
            list.extend(origin.map(|origin| ("origin", origin)));
            assert_eq!(is_allowed_origin(&headers(&list), &allowed), expected, "{origin:?} {host}");
        }
        let twice = [("host", "a"), ("origin", "http://a"), ("origin", "http://b")];
        let mut both = headers(&twice[..2]);
        both.append("origin", HeaderValue::from_static("http://b"));
        assert!(!is_allowed_origin(&both, &[]), "two origins are none");
    }
}
