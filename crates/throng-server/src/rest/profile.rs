//! `GET /api/v1/admin/profile?seconds=10`: where the server's CPU goes, as folded stacks
//! (`thread;outer;inner 12`), which flame graphs are made of. For administrators; one look at a time.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::body::Asking;
use super::caller::Caller;
use super::refusal::Refusal;
use crate::app::App;
use crate::operations::profile::Profiler;

/// For how long.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Long {
    seconds: u32,
}

impl Default for Long {
    fn default() -> Self {
        Self { seconds: 10 }
    }
}

/// Looks.
pub async fn show(
    profiler: Profiler,
    State(app): State<Arc<App>>,
    caller: Caller,
    Asking(Long { seconds }): Asking<Long>,
) -> Result<impl IntoResponse, Refusal> {
    app.auth.must_administrate(caller.user.id).await?;
    Ok(profiler.look(seconds).await?)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::{Value, json};

    use crate::operations::profile::SECONDS_MAX;
    use crate::rest::tests::Server;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_administrators_may_look_and_no_longer_than_is_told() {
        let server = Server::start(|_| {});
        let bert = server.sign_up("bert").await;
        let path = "/api/v1/admin/profile";
        server.get(path, "").await.refused(401, "not_authenticated");
        server.get(path, &bert).await.refused(403, "forbidden");
        let link = server.app.auth.offer_administrator().await.unwrap().unwrap();
        let asked = json!({"name": "anna", "password": "correct horse", "link": link.reveal()});
        let made = server.post("/api/v1/accounts", "", asked).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let anna = made.json()["token"].as_str().unwrap().to_owned();
        for seconds in ["0", "61", "ten"] {
            let asked = format!("{path}?seconds={seconds}");
            server.get(&asked, &anna).await.refused(400, "bad_argument");
        }
        server.app.stop().await;
    }

    #[test]
    fn the_description_has_the_limit_that_is_enforced() {
        let document = include_str!("../../../../docs/reference/openapi.json");
        let document: Value = serde_json::from_str(document).unwrap();
        let schema = "/paths/~1admin~1profile/get/parameters/0/schema/maximum";
        assert_eq!(document.pointer(schema), Some(&json!(SECONDS_MAX)));
    }
}
