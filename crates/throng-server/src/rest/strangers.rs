//! Who asks without a token, or with one that is good for nothing, is counted by the address it comes
//! from: 429 when there are too many. With a good token it is the account that has a rate, and the
//! address none.
//!
//! Neighbours: `mod.rs` puts it before all of `/api/v1`; what it found out about the token, `caller.rs`
//! reads. The page, the probes and `/metrics` are not behind it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use throng_core::Rejection;

use super::caller::{bearer, client};
use super::refusal::Refusal;
use crate::accounts::Authenticated;
use crate::app::App;
use crate::operations::metrics::Stage;
use crate::operations::trace::Trace;

/// What the token of a request stands for.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Whom.
    pub known: Result<Authenticated, Rejection>,
    /// When the request was read, and how long that took to find out.
    pub trace: Trace,
}

/// Looks at the token, and counts those who have none; and counts what was asked and refused, as a
/// connection does.
pub async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    app.metrics.requests.inc();
    let answer = answer(&app, request, next).await;
    if answer.status().is_client_error() || answer.status().is_server_error() {
        app.metrics.rejections.inc();
    }
    answer
}

async fn answer(app: &App, mut request: Request, next: Next) -> Response {
    let mut trace = Trace::default();
    trace.begin(app.clock.now());
    let known = match bearer(request.headers()) {
        Some(token) => app.auth.authenticate_request(token).await,
        None => Err(Rejection::NotAuthenticated),
    };
    let nobody = matches!(known, Err(Rejection::NotAuthenticated | Rejection::BadToken));
    let counted = nobody && !is_picture(&request);
    trace.passed(Stage::Authorize, app.clock.now());
    request.extensions_mut().insert(Shown { known, trace });
    if !counted {
        return next.run(request).await;
    }
    let from = client(app, request.headers(), request.extensions());
    if !is_door(&request) {
        return match app.auth.anonymous_request(from) {
            Ok(()) => next.run(request).await,
            Err(rejection) => Refusal(rejection).into_response(),
        };
    }
    // What else was asked from there keeps nobody from coming in.
    let answer = next.run(request).await;
    if !came_no_further(answer.status()) {
        return answer;
    }
    match app.auth.anonymous_request(from) {
        Ok(()) => answer,
        Err(rejection) => Refusal(rejection).into_response(),
    }
}

/// Those that stand for somebody: a page shows a hundred of them at once and cannot show a token, and
/// caches keep them for ever.
fn is_picture(request: &Request) -> bool {
    request.uri().path().starts_with("/avatars/")
        && (request.method() == Method::GET || request.method() == Method::HEAD)
}

/// Where one becomes somebody. How often an address may is counted there, by throttles of their own.
fn is_door(request: &Request) -> bool {
    const DOORS: [&str; 4] = ["/accounts", "/sessions", "/guests", "/password"];
    request.method() == Method::POST && DOORS.contains(&request.uri().path())
}

/// It was refused for its form, before the door's own throttle.
fn came_no_further(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::FORBIDDEN
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
    )
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::body::Body;
    use axum::http::Request;
    use serde_json::{Value, json};

    use super::*;
    use crate::accounts::bulk;
    use crate::auth::Guests;
    use crate::auth::token::Token;
    use crate::clock::Clock;
    use crate::config::Settings;
    use crate::rest::Peer;
    use crate::rest::tests::{Answered, Server};

    fn few(settings: &mut Settings) {
        settings.limits.requests_burst_anonymous = 3;
        settings.limits.requests_per_second_anonymous = 1;
    }

    async fn from(server: &Server, address: &str, forwarded: &str) -> Answered {
        let address: IpAddr = address.parse().unwrap();
        let request = Request::get("/api/v1/rooms").extension(Peer(address));
        let request = request.header("x-forwarded-for", forwarded).body(Body::empty()).unwrap();
        server.ask(request).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_address_asks_so_often_without_a_good_token_and_with_one_as_often_as_its_account() {
        let server = Server::start_at(Clock::manual(), few);
        let anna = server.sign_up("anna").await;
        server.get("/api/v1/rooms", "").await.refused(401, "not_authenticated");
        server.get("/api/v1/rooms", "nonsense").await.refused(401, "bad_token");
        let unknown = "A".repeat(43);
        server.get("/api/v1/rooms", &unknown).await.refused(401, "bad_token");
        for (path, token) in [
            ("/api/v1/rooms", ""),
            ("/api/v1/rooms", "nonsense"),
            ("/api/v1/rooms", &unknown),
            ("/api/v1/openapi.json", ""),
            ("/api/v1/nothing", ""),
        ] {
            let refused = server.get(path, token).await;
            refused.refused(429, "rate_limited");
            assert_eq!(refused.headers["retry-after"], "1", "{path}");
            assert_eq!(refused.json()["rejected"]["retry_after_ms"], json!(1_000), "{path}");
        }
        for _ in 0..20 {
            assert_eq!(server.get("/api/v1/rooms", &anna).await.status, StatusCode::OK);
        }
        server.app.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_asked_and_refused_is_counted_whatever_refused_it() {
        let server = Server::start_at(Clock::manual(), few);
        let metrics = &server.app.metrics;
        let counted = || (metrics.requests.get(), metrics.rejections.get());
        let anna = server.sign_up("anna").await;
        assert_eq!(counted(), (1, 0));
        server.post("/api/v1/rooms", &anna, json!({"name": "tea"})).await;
        server.get("/api/v1/rooms", &anna).await;
        assert_eq!(counted(), (3, 0));
        // By the endpoint, its path, its method, the token, the shard and the throttle.
        server.post("/api/v1/rooms", &anna, json!({"name": ""})).await;
        server.get("/api/v1/nothing", &anna).await;
        server.get("/api/v1/accounts", &anna).await;
        server.get("/api/v1/rooms", "nonsense").await;
        let bert = server.sign_up("bert").await;
        server.post("/api/v1/rooms/1/messages", &bert, json!({"body": "x"})).await;
        assert_eq!(counted(), (9, 5));
        for _ in 0..3 {
            server.get("/api/v1/rooms", "").await;
        }
        server.get("/api/v1/rooms", "").await.refused(429, "rate_limited");
        assert_eq!(counted(), (13, 9));
        server.get("/metrics", "").await;
        assert_eq!(counted(), (13, 9), "the probes ask for nothing that is chat");
        server.app.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_page_its_pictures_and_the_probes_are_there_for_an_address_that_asked_too_often() {
        let server = Server::start_at(Clock::manual(), few);
        for _ in 0..4 {
            server.get("/api/v1/rooms", "").await;
        }
        server.get("/api/v1/rooms", "").await.refused(429, "rate_limited");
        for path in ["/", "/app.js", "/healthz", "/readyz", "/metrics"] {
            assert_eq!(server.get(path, "").await.status, StatusCode::OK, "{path}");
        }
        let picture = format!("/api/v1/avatars/{}", "a".repeat(64));
        for _ in 0..20 {
            server.get(&picture, "").await.refused(404, "no_such_file");
        }
        server.app.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn to_become_somebody_counts_only_where_it_was_refused_for_its_form() {
        let server = Server::start_at(Clock::manual(), |settings| {
            few(settings);
            settings.limits.logins_per_minute_address = 1_000;
            settings.limits.logins_per_minute_account = 1_000;
        });
        for number in 0..5 {
            server.sign_up(&format!("user{number}")).await;
        }
        let taken = json!({"name": "user1", "password": "correct horse"});
        let wrong = json!({"name": "user1", "password": "wrong horse"});
        for _ in 0..5 {
            let again = server.post("/api/v1/accounts", "", taken.clone()).await;
            again.refused(409, "username_taken");
            let login = server.post("/api/v1/sessions", "", wrong.clone()).await;
            login.refused(401, "wrong_credentials");
        }
        server.post("/api/v1/sessions", "", json!("x")).await.refused(400, "malformed");
        server.post("/api/v1/accounts", "nonsense", json!({})).await.refused(400, "bad_username");
        server.post("/api/v1/guests", "", Value::Null).await;
        server.post("/api/v1/sessions", "", json!("x")).await.refused(429, "rate_limited");
        server.get("/api/v1/rooms", "").await.refused(429, "rate_limited");
        server.app.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_address_that_asked_too_often_still_becomes_somebody_by_every_door() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start_at(Clock::manual(), |settings| {
            few(settings);
            (settings.memory, settings.data) = (false, folder.path().into());
            settings.guests = Guests::On;
            settings.limits.logins_per_minute_address = 4;
        });
        for _ in 0..3 {
            server.get("/api/v1/rooms", "").await.refused(401, "not_authenticated");
        }
        server.get("/api/v1/rooms", "").await.refused(429, "rate_limited");
        // Three by a password, the third of them wrong.
        server.sign_up("anna").await;
        let login = |password| json!({"name": "anna", "password": password});
        let came = server.post("/api/v1/sessions", "nonsense", login("correct horse")).await;
        assert_eq!(came.status, StatusCode::CREATED, "{}", came.body);
        let wrong = server.post("/api/v1/sessions", "", login("wrong horse")).await;
        wrong.refused(401, "wrong_credentials");
        let guest = server.post("/api/v1/guests", "", json!({})).await;
        assert_eq!(guest.status, StatusCode::CREATED, "{}", guest.body);
        let link = Token::generate().unwrap();
        bulk::offer_password(folder.path(), "anna", &link, server.app.clock.wall()).unwrap();
        let reset = json!({"link": link.reveal(), "password": "battery staple"});
        let reset = server.post("/api/v1/password", "", reset).await;
        assert_eq!(reset.status, StatusCode::CREATED, "{}", reset.body);
        // Refused for its form it is one request more of a stranger; and the doors have their own rate.
        for path in ["/sessions", "/accounts", "/guests", "/password"] {
            let refused = server.post(&format!("/api/v1{path}"), "", json!("x")).await;
            refused.refused(429, "rate_limited");
            assert_eq!(refused.headers["retry-after"], "1", "{path}");
        }
        let beyond = server.post("/api/v1/sessions", "", login("battery staple")).await;
        beyond.refused(429, "rate_limited");
        assert_eq!(beyond.headers["retry-after"], "15", "by the throttle of logins");
        server.app.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_address_is_that_behind_a_trusted_proxy_and_no_ones_claim() {
        let server = Server::start_at(Clock::manual(), |settings| {
            few(settings);
            let proxies = vec!["10.0.0.0/8".parse().unwrap()];
            settings.trusted_proxies = crate::address::TrustedProxies(proxies);
        });
        for claim in ["9.9.9.9, 2.2.2.2", "2.2.2.2", "8.8.8.8, 2.2.2.2"] {
            from(&server, "10.0.0.1", claim).await.refused(401, "not_authenticated");
        }
        from(&server, "10.0.0.2", "2.2.2.2").await.refused(429, "rate_limited");
        from(&server, "10.0.0.1", "3.3.3.3").await.refused(401, "not_authenticated");
        for claim in ["4.4.4.4", "5.5.5.5", "6.6.6.6"] {
            from(&server, "1.1.1.1", claim).await.refused(401, "not_authenticated");
        }
        from(&server, "1.1.1.1", "7.7.7.7").await.refused(429, "rate_limited");
        server.app.stop().await;
    }
}
