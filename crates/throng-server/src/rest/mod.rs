//! HTTP for people with `curl` and for programs that only post: one file an endpoint.
//!
//! Neighbours: the listener hands requests here, with their peer's address; `app` answers them. What
//! goes in and out are the wire's own messages, bare: `{"room":1,"seq":7,…}`, and a refusal is
//! `{"rejected":{"code":…,"name":…,"text":…}}` with a status that fits. Nothing here decides.

mod account;
mod accounts;
mod at;
mod attachment;
mod audit;
#[cfg(test)]
mod avatar_tests;
mod avatars;
mod blocked;
mod body;
mod caller;
mod defaults;
mod direct;
mod export;
mod file;
#[cfg(test)]
mod file_tests;
mod files;
#[cfg(test)]
mod form_tests;
mod guests;
mod health;
mod held;
mod links;
mod members;
mod membership;
mod message;
mod messages;
mod metrics;
mod moderation;
mod openapi;
mod pins;
mod profile;
mod react;
mod reading;
mod refusal;
mod reports;
mod room;
mod rooms;
mod search;
mod sessions;
mod standings;
mod strangers;
#[cfg(test)]
mod tests;
mod unread;
mod words;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse as _;
use axum::routing::{delete, get, patch, post, put};
use throng_core::Rejection;

use crate::app::App;
use crate::operations::profile::Profiler;
use crate::web;
pub use caller::client;
pub use refusal::Refusal;

/// The socket's other end, put into each request by the listener.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// A file a route.
fn api() -> Router<Arc<App>> {
    let profiler = Profiler::default();
    let profile = move |app, caller, asking| profile::show(profiler, app, caller, asking);
    Router::new()
        .route("/admin/profile", get(profile))
        .route("/accounts", post(accounts::create))
        .route("/sessions", get(sessions::list).post(sessions::create))
        .route("/sessions/current", delete(sessions::end))
        .route("/sessions/{session}", delete(sessions::end_one))
        .route("/account", get(account::show).delete(account::end))
        .route("/guests", post(guests::create))
        .route("/avatar", put(avatars::set))
        .route("/rooms/{room}/avatar", put(avatars::set_room))
        .route("/avatars/{hash}", get(avatars::show))
        .route("/export", get(export::show))
        .route("/password", put(account::change_password).post(account::reset_password))
        .route("/invitations", post(account::invite).delete(account::end_invitations))
        .route("/rooms", get(rooms::list).post(rooms::create))
        .route("/rooms/{room}", patch(room::set))
        .route("/rooms/{room}/messages/{seq}/report", post(reports::create))
        .route("/rooms/{room}/reports", get(reports::list))
        .route("/rooms/{room}/reports/{report}/settlement", post(reports::settle))
        .route("/rooms/{room}/held", get(held::list))
        .route("/rooms/{room}/held/{held}/settlement", post(held::settle))
        .route("/rooms/{room}/audit", get(audit::list))
        .route("/rooms/{room}/standings", get(standings::list))
        .route("/blocked", get(blocked::list).post(blocked::add))
        .route("/blocked/{user}", delete(blocked::remove))
        .route("/rooms/{room}/words", get(words::list))
        .route("/rooms/{room}/moderation", post(moderation::create))
        .route("/rooms/{room}/messages/{seq}", patch(message::edit).delete(message::delete))
        .route("/rooms/{room}/messages/{seq}/reactions/{text}", put(react::on).delete(react::off))
        .route("/rooms/{room}/pins", get(pins::list))
        .route("/rooms/{room}/read/{seq}", put(reading::read))
        .route("/rooms/{room}/level", put(reading::level))
        .route("/rooms/{room}/members", get(members::list))
        .route("/rooms/{room}/typing", post(members::typing))
        .route("/rooms/{room}/links", get(links::list).post(links::create))
        .route("/rooms/{room}/links/{link}", delete(links::end))
        .route("/joins", post(links::join))
        .route("/unread", get(reading::unread))
        .route("/direct-rooms", post(direct::open))
        .route("/contacts", get(direct::contacts).put(direct::set_contacts))
        .route("/room-defaults", get(defaults::show).put(defaults::set))
        .route("/rooms/{room}/pins/{seq}", put(pins::pin).delete(pins::unpin))
        .route("/rooms/{room}/join", post(membership::join))
        .route("/rooms/{room}/leave", post(membership::leave))
        .route("/rooms/{room}/messages", get(messages::page).post(messages::create))
        .route("/search", get(search::find))
        .route("/rooms/{room}/messages/{seq}/files/{file}", get(attachment::show))
        .route("/rooms/{room}/messages/{seq}/files/{file}/small", get(attachment::small))
        .route("/files", post(files::create).options(files::discover))
        .route("/files/{file}", get(file::show).patch(file::add).delete(file::cancel))
        .route("/openapi.json", get(openapi::show))
        .fallback(nothing_there)
        .method_not_allowed_fallback(other_method)
}

/// Everything that is served over HTTP, but for the upgrade.
pub fn router(app: Arc<App>) -> Router {
    let pulse = Arc::new(health::Pulse::default());
    let alive = {
        let pulse = Arc::clone(&pulse);
        move |State(app): State<Arc<App>>| {
            let pulse = Arc::clone(&pulse);
            async move { pulse.alive(&app).await }
        }
    };
    let ready = move |State(app): State<Arc<App>>| async move { pulse.ready(&app) };
    let api = api().layer(from_fn_with_state(Arc::clone(&app), strangers::admit));
    let api = api.layer(from_fn(files::resumable));
    let unread = from_fn_with_state(Arc::clone(&app), unread::settle);
    Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::show))
        .merge(web::router())
        .fallback(nothing_there)
        .with_state(app)
        .layer(axum::middleware::map_response(harden))
        .layer(unread)
}

/// What holds for every answer: it is what it says it is, and unless it says otherwise no cache
/// keeps it. There are no CORS headers: pages of other hosts may not read answers.
async fn harden<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn nothing_there() -> axum::response::Response {
    (StatusCode::NOT_FOUND, Refusal(Rejection::UnknownRequest).body()).into_response()
}

async fn other_method() -> axum::response::Response {
    (StatusCode::METHOD_NOT_ALLOWED, Refusal(Rejection::UnknownRequest).body()).into_response()
}
