//! What HTTP answers, asked of a whole server in memory, without a socket.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::{Frame, SizeHint};
use serde_json::{Value, json};
use throng_core::limits::BODY_BYTES_MAX;
use tower::ServiceExt as _;

use super::*;
use crate::address::TrustedProxies;
use crate::clock::Clock;
use crate::config::Settings;
use crate::lifecycle::Fatal;
use crate::log::SyncObserver as _;
use crate::operations::metrics::Stage;

/// A server and what is asked of it.
pub struct Server {
    pub app: Arc<App>,
    pub router: Router,
}

/// An answer.
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    #[track_caller]
    pub fn refused(&self, status: u16, name: &str) {
        let said = &self.json()["rejected"]["name"];
        assert_eq!((self.status.as_u16(), said.as_str()), (status, Some(name)), "{}", self.body);
    }
}

impl Server {
    /// No time passes: no rate gives anything back, however slow the machine is.
    pub fn start(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_at(Clock::manual(), change)
    }

    pub fn start_at(clock: Clock, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { memory: true, shards: 2, ..Settings::default() };
        settings.limits.hash_threads = 1;
        change(&mut settings);
        let fatal = Fatal::new(|code, why| panic!("ended with {code}: {why}"));
        let app = App::start(settings, clock, fatal).unwrap();
        Self { router: router(Arc::clone(&app)), app }
    }

    pub async fn ask(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answered { status: parts.status, headers: parts.headers, body }
    }

    pub async fn send(&self, method: Method, path: &str, token: &str, body: &Value) -> Answered {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.ask(request.body(body).unwrap()).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Answered {
        self.send(Method::GET, path, token, &Value::Null).await
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> Answered {
        self.send(Method::POST, path, token, &body).await
    }

    /// Signs up and gives the token.
    pub async fn sign_up(&self, name: &str) -> String {
        let asked = json!({"name": name, "password": "correct horse"});
        let answered = self.post("/api/v1/accounts", "", asked).await;
        assert_eq!(answered.status, StatusCode::CREATED, "{}", answered.body);
        answered.json()["token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_passes_the_same_stages_as_one_over_a_socket_and_nothing_else_does() {
    let clock = Clock::system();
    let server = Server::start_at(clock.clone(), |_| {});
    let anna = server.sign_up("anna").await;
    let made = server.post("/api/v1/rooms", &anna, json!({"name": "Lobby"})).await;
    let room = made.json()["room"].as_u64().unwrap();
    let messages = format!("/api/v1/rooms/{room}/messages");
    let (posts, stages) = (&server.app.metrics.posts, &server.app.metrics.stages);
    assert_eq!(posts.answered.get(), 0, "a room was made");
    let asked = clock.now();
    let said = json!({"body": "hello", "origin_id": "a1"});
    for status in [StatusCode::CREATED, StatusCode::OK] {
        assert_eq!(server.post(&messages, &anna, said.clone()).await.status, status);
    }
    let waited = clock.now().since(asked).as_nanos() as u64;
    let gone = format!("/api/v1/rooms/{}/messages", room + 1);
    server.post(&gone, &anna, said).await.refused(404, "no_such_room");
    let all = [Stage::Decode, Stage::Authorize, Stage::Queue, Stage::Decide, Stage::Fanout];
    for stage in all {
        assert!(posts.nanos(stage) > 0, "{stage:?}");
    }
    let sum: u64 = all.map(|stage| posts.nanos(stage)).iter().sum();
    assert!(sum + posts.nanos(Stage::Commit) <= waited, "{sum} of {waited}");
    assert_eq!(posts.answered.get(), 2, "one of them a repeat");
    for stage in [Stage::Decode, Stage::Authorize] {
        assert_eq!(stages.of(stage).count(), 3, "as posts over sockets: {stage:?}");
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_with_curl_signs_up_makes_a_room_talks_and_reads_it_back() {
    let server = Server::start(|_| {});
    let anna = server.sign_up("anna").await;
    let bert = server.sign_up("bert").await;

    let made = server.post("/api/v1/rooms", &anna, json!({"name": "Lobby"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let room = made.json()["room"].as_u64().unwrap();
    let joined = server.post(&format!("/api/v1/rooms/{room}/join"), &bert, Value::Null).await;
    assert_eq!(joined.json()["already"], json!(false), "{}", joined.body);

    let messages = format!("/api/v1/rooms/{room}/messages");
    let said = json!({"body": "hello", "origin_id": "a1"});
    let first = server.post(&messages, &anna, said.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    assert_eq!(first.json()["ack"], json!("durable"));
    let again = server.post(&messages, &anna, said).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.json()["seq"], first.json()["seq"]);
    assert_eq!(again.json()["repeat"], json!(true));

    let page = server.get(&format!("{messages}?after=0&limit=50"), &bert).await;
    let events = page.json()["events"].as_array().unwrap().clone();
    let bodies: Vec<_> = events.iter().filter_map(|e| e["message"]["body"].as_str()).collect();
    assert_eq!(bodies, ["hello"], "{}", page.body);
    let newest = server.get(&format!("{messages}?before=1000&limit=1"), &bert).await;
    assert_eq!(newest.json()["events"][0]["message"]["from"]["name"], json!("anna"));
    assert_eq!(newest.json()["more"], json!(true));

    let rooms = server.get("/api/v1/rooms?mine=true", &bert).await;
    assert_eq!(rooms.json()["rooms"][0]["members"], json!(2), "{}", rooms.body);
    let left = server.post(&format!("/api/v1/rooms/{room}/leave"), &bert, Value::Null).await;
    assert_eq!(left.status, StatusCode::OK, "{}", left.body);
    server.get(&messages, &bert).await.refused(403, "not_member");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_logged_out_is_refused_and_another_of_the_same_account_is_not() {
    let server = Server::start(|_| {});
    let first = server.sign_up("anna").await;
    let asked = json!({"name": "ANNA", "password": "correct horse"});
    let second = server.post("/api/v1/sessions", "", asked).await;
    let second = second.json()["token"].as_str().unwrap().to_owned();
    let ended = server.send(Method::DELETE, "/api/v1/sessions/current", &first, &Value::Null);
    assert_eq!(ended.await.body, "{}");
    let refused = server.get("/api/v1/rooms", &first).await;
    refused.refused(401, "bad_token");
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    assert_eq!(server.get("/api/v1/rooms", &second).await.status, StatusCode::OK);
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_name_and_a_wrong_password_hear_the_same_words() {
    let server = Server::start(|_| {});
    server.sign_up("anna").await;
    let mut heard = Vec::new();
    for name in ["anna", "nobody"] {
        let asked = json!({"name": name, "password": "wrong horse"});
        let answered = server.post("/api/v1/sessions", "", asked).await;
        heard.push((answered.status, answered.headers, answered.body));
    }
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0].0, StatusCode::UNAUTHORIZED);
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_by_its_code_and_with_a_status_that_fits() {
    let server = Server::start(|_| {});
    let anna = server.sign_up("anna").await;
    server.get("/api/v1/rooms", "").await.refused(401, "not_authenticated");
    server.get("/api/v1/rooms", "nonsense").await.refused(401, "bad_token");
    server.get("/api/v1/rooms?limit=many", &anna).await.refused(400, "bad_argument");
    server
        .get("/api/v1/rooms/1/messages?before=1&after=1", &anna)
        .await
        .refused(400, "bad_argument");
    server.get("/api/v1/nothing", &anna).await.refused(404, "unknown_request");
    server.get("/nothing", "").await.refused(404, "unknown_request");
    server.get("/api/v1/accounts", "").await.refused(405, "unknown_request");
    for room in ["7", "0", "x", "99999999999"] {
        let path = format!("/api/v1/rooms/{room}/join");
        server.post(&path, &anna, Value::Null).await.refused(404, "no_such_room");
    }
    let path = "/api/v1/rooms";
    server.post(path, &anna, json!({"name": ""})).await.refused(400, "bad_room_name");
    server.post(path, &anna, json!("Lobby")).await.refused(400, "malformed");
    let path = "/api/v1/room-defaults";
    server.send(Method::PUT, path, &anna, &json!([])).await.refused(400, "malformed");
    let taken = json!({"name": "Anna", "password": "correct horse"});
    server.post("/api/v1/accounts", "", taken).await.refused(409, "username_taken");
    let long = "x".repeat(throng_core::limits::PASSWORD_LEN_MAX + 1);
    let long = json!({"name": "anna", "password": long});
    server.post("/api/v1/sessions", "", long).await.refused(400, "bad_password");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_read_up_to_its_bound_and_not_one_byte_further() {
    let server = Server::start(|_| {});
    let anna = server.sign_up("anna").await;
    for (len, name) in [
        (BODY_BYTES_MAX - 1, "bad_room_name"),
        (BODY_BYTES_MAX, "bad_room_name"),
        (BODY_BYTES_MAX + 1, "body_too_long"),
    ] {
        let asked = json!({"name": ""}).to_string();
        let padded = asked.clone() + &" ".repeat(len - asked.len());
        let request = Request::post("/api/v1/rooms")
            .header("authorization", format!("bearer {anna}"))
            .body(Body::from(padded))
            .unwrap();
        let answered = server.ask(request).await;
        assert_eq!(answered.json()["rejected"]["name"], json!(name), "{len} bytes");
    }
    server.app.stop().await;
}

/// A body that says how long it is, and fails or never comes.
struct Announced(u64, Option<std::io::Error>);

impl HttpBody for Announced {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.1.take().map_or(Poll::Pending, |error| Poll::Ready(Some(Err(error))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_announced_too_long_is_not_waited_for_and_a_broken_one_is_malformed() {
    let server = Server::start(|_| {});
    let anna = server.sign_up("anna").await;
    let bound = BODY_BYTES_MAX as u64;
    let broken = || Some(std::io::Error::other("no length of a chunk"));
    for (body, status, name) in [
        (Announced(bound + 1, None), 413, "body_too_long"),
        (Announced(bound, broken()), 400, "malformed"),
    ] {
        let request = Request::post("/api/v1/rooms")
            .header("authorization", format!("bearer {anna}"))
            .body(Body::new(body))
            .unwrap();
        server.ask(request).await.refused(status, name);
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_hear_when_to_come_back() {
    let server = Server::start(|settings| {
        settings.limits.requests_burst = 2;
        settings.limits.requests_per_second = 1;
        settings.limits.logins_per_minute_address = 2;
    });
    let anna = server.sign_up("anna").await;
    for _ in 0..2 {
        assert_eq!(server.get("/api/v1/rooms", &anna).await.status, StatusCode::OK);
    }
    let refused = server.get("/api/v1/rooms", &anna).await;
    refused.refused(429, "rate_limited");
    assert_eq!(refused.headers["retry-after"], "1");
    let asked = || json!({"name": "anna", "password": "wrong horse"});
    server.post("/api/v1/sessions", "", asked()).await.refused(401, "wrong_credentials");
    server.post("/api/v1/sessions", "", asked()).await.refused(429, "rate_limited");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_by_address_count_the_client_behind_a_trusted_proxy_and_no_ones_claim() {
    let proxy = "10.0.0.1".parse().unwrap();
    let server = Server::start(|settings| {
        settings.trusted_proxies = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        settings.limits.logins_per_minute_address = 1;
    });
    let log_in = |peer, forwarded: &'static str| {
        let asked = json!({"name": "nobody", "password": "wrong horse"}).to_string();
        let request = Request::post("/api/v1/sessions")
            .header("x-forwarded-for", forwarded)
            .extension(Peer(peer))
            .body(Body::from(asked))
            .unwrap();
        server.ask(request)
    };
    log_in(proxy, "2.2.2.2").await.refused(401, "wrong_credentials");
    log_in(proxy, "9.9.9.9, 2.2.2.2").await.refused(429, "rate_limited");
    log_in(proxy, "3.3.3.3").await.refused(401, "wrong_credentials");
    let stranger = "1.1.1.1".parse().unwrap();
    log_in(stranger, "4.4.4.4").await.refused(401, "wrong_credentials");
    log_in(stranger, "5.5.5.5").await.refused(429, "rate_limited");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_hears_that_it_lives_whether_it_is_ready_and_what_it_counted() {
    let server = Server::start(|_| {});
    for _ in 0..2 {
        let alive = server.get("/healthz", "").await;
        assert_eq!((alive.status, alive.body.as_str()), (StatusCode::OK, "alive\n"));
    }
    assert_eq!(server.get("/readyz", "").await.status, StatusCode::OK);
    let metrics = server.get("/metrics", "").await;
    assert!(metrics.body.contains("throng_sends_total"), "{}", metrics.body);
    assert!(metrics.body.ends_with("# EOF\n"));
    server.app.lifecycle.drain();
    assert_eq!(server.get("/readyz", "").await.status, StatusCode::SERVICE_UNAVAILABLE);
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_could_not_be_committed_makes_it_unready_for_a_while() {
    let clock = Clock::manual();
    let server = Server::start_at(clock.clone(), |_| {});
    assert_eq!(server.get("/readyz", "").await.status, StatusCode::OK);
    server.app.metrics.turns_reverted.inc();
    for (advance, status) in [(0, 503), (9_999, 503), (1, 200)] {
        clock.advance(std::time::Duration::from_millis(advance));
        assert_eq!(server.get("/readyz", "").await.status.as_u16(), status);
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_sniffed_kept_or_read_by_a_foreign_page() {
    let server = Server::start(|_| {});
    for path in ["/", "/metrics", "/api/v1/rooms", "/nothing"] {
        let answered = server.get(path, "").await;
        assert_eq!(answered.headers["x-content-type-options"], "nosniff", "{path}");
        assert!(answered.headers.contains_key("cache-control"), "{path}");
        assert!(!answered.headers.contains_key("access-control-allow-origin"), "{path}");
    }
    server.app.stop().await;
}

#[tokio::test]
async fn a_disk_that_keeps_the_log_waiting_makes_the_server_unready_and_does_not_kill_it() {
    let clock = Clock::manual();
    let server = Server::start_at(clock.clone(), |_| {});
    server.app.syncs.begins();
    for (advance, status) in [(999, 200), (1, 503), (60_000, 503)] {
        clock.advance(std::time::Duration::from_millis(advance));
        assert_eq!(server.get("/readyz", "").await.status.as_u16(), status);
        assert_eq!(server.get("/healthz", "").await.status.as_u16(), 200);
    }
    server.app.syncs.ends();
    assert_eq!(server.get("/readyz", "").await.status.as_u16(), 200);
    let metrics = server.get("/metrics", "").await.body;
    assert!(metrics.contains("throng_slow_syncs_total 1"), "{metrics}");
}
