//! `GET /healthz` → 200 while every shard answers: when not, restart the server.
//! `GET /readyz` → 200 while new work is taken: 503 while draining or while the disk is full; when
//! not, send clients elsewhere, and leave it alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use throng_core::id::ROOM_ID_MAX;
use throng_core::{Author, Command, Rejection, RoomId, UserId, Username};

use crate::app::App;

/// A shard that has not answered for this long has stopped: its longest turn waits for one sync.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// One look is good for this long, so that asking often costs the shards nothing.
const LOOK_GOOD_MILLIS: u64 = 500;

/// When the shards were last found alive, in milliseconds of the server's clock, plus one.
#[derive(Debug, Default)]
pub struct Pulse(AtomicU64);

impl Pulse {
    /// Whether the server lives.
    pub async fn alive(self: Arc<Self>, app: &App) -> Response {
        let now = app.clock.now().millis();
        let last = self.0.load(Ordering::Relaxed);
        if last > 0 && now.saturating_sub(last - 1) < LOOK_GOOD_MILLIS {
            return "alive\n".into_response();
        }
        match every_shard_answers(app).await {
            Ok(()) => {
                self.0.store(now + 1, Ordering::Relaxed);
                "alive\n".into_response()
            }
            Err(shard) => {
                let said = format!("shard {shard} does not answer\n");
                (StatusCode::SERVICE_UNAVAILABLE, said).into_response()
            }
        }
    }
}

/// Asks each shard, through its queue and its sequencer, for something that it refuses: nobody
/// leaves a room to which nobody belongs. A shard that waits for its log answers no more than one
/// that has ended. `Err` is the number of the first that does not.
async fn every_shard_answers(app: &App) -> Result<(), usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for shard in 0..app.settings.shard_count(cores) {
        // Neighbouring numbers fall to different shards.
        let room = RoomId::new(ROOM_ID_MAX - shard as u32).expect("there are fewer shards");
        let asked = tokio::time::timeout(ANSWER_MAX, app.ask(nobody(), Command::Leave { room }));
        match asked.await {
            Ok(Err(Rejection::NoSuchRoom | Rejection::NotMember)) => {}
            Ok(_) | Err(_) => return Err(shard),
        }
    }
    Ok(())
}

/// The greatest number there is, which no account will get.
fn nobody() -> Author {
    let id = UserId::new(i64::MAX as u64).expect("within bounds");
    Author { id, name: Username::parse("nobody").expect("a username") }
}

/// Whether it takes work.
pub async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not taking new work\n")
    }
}
