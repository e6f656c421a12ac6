//! `GET /healthz` → 200 while every shard and the accounts answer: when not, restart the server.
//! A log that waits for a slow disk lives: a restart would not make the disk faster.
//! `GET /readyz` → 200 while new work is taken: 503 while draining, or while what is sent cannot be
//! made durable (a full disk, or one that has not synced for a second); when not, send clients
//! elsewhere, and leave it alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use throng_core::id::ROOM_ID_MAX;
use throng_core::{Author, Command, Rejection, RoomId, UserId, Username};

use crate::app::App;

/// A shard that has not answered for this long has stopped: its longest turn waits for one sync.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// One look is good for this long, so that asking often costs the shards nothing.
const LOOK_GOOD_MILLIS: u64 = 500;

/// How long a turn that could not be committed speaks against sending clients here. Then it is tried
/// again: nothing else tells whether the disk has room for us.
const TROUBLE_MILLIS: u64 = 10_000;

/// What was found at the last looks. Moments are milliseconds of the server's clock, plus one.
#[derive(Debug, Default)]
pub struct Pulse {
    /// When the shards were last found alive.
    alive_at: AtomicU64,
    /// Turns taken back until the last look, and when there were more than at the one before.
    taken_back: AtomicU64,
    trouble_at: AtomicU64,
}

impl Pulse {
    /// Whether the server lives.
    pub async fn alive(self: Arc<Self>, app: &App) -> Response {
        let now = app.clock.now().millis() + 1;
        let last = self.alive_at.load(Ordering::Relaxed);
        if is_within(LOOK_GOOD_MILLIS, last, now) {
            return "alive\n".into_response();
        }
        if !accounts_answer(app).await {
            let said = "the accounts do not answer\n";
            return (StatusCode::SERVICE_UNAVAILABLE, said).into_response();
        }
        match every_shard_answers(app).await {
            Ok(()) => {
                self.alive_at.store(now, Ordering::Relaxed);
                "alive\n".into_response()
            }
            Err(_) if app.syncs.slow_now().is_some() => {
                "alive, and waiting for the disk\n".into_response()
            }
            Err(shard) => {
                let said = format!("shard {shard} does not answer\n");
                (StatusCode::SERVICE_UNAVAILABLE, said).into_response()
            }
        }
    }

    /// Whether it takes work.
    pub fn ready(&self, app: &App) -> Response {
        let now = app.clock.now().millis() + 1;
        let taken_back = app.metrics.turns_reverted.get();
        if self.taken_back.swap(taken_back, Ordering::Relaxed) < taken_back {
            self.trouble_at.store(now, Ordering::Relaxed);
        }
        let trouble = self.trouble_at.load(Ordering::Relaxed);
        let why_not = if !app.ready() {
            "draining\n"
        } else if is_within(TROUBLE_MILLIS, trouble, now) {
            "what is sent cannot be made durable; see the log\n"
        } else if app.syncs.slow_now().is_some() {
            "the disk keeps the log waiting; see `throng doctor`\n"
        } else {
            return "ready\n".into_response();
        };
        (StatusCode::SERVICE_UNAVAILABLE, why_not).into_response()
    }
}

/// Whether something was so lately; `at` is 0 for never, and may be a little later than `now`: another request
/// has found it since.
fn is_within(millis: u64, at: u64, now: u64) -> bool {
    at > 0 && now.saturating_sub(at) < millis
}

/// Asks the accounts' thread for an account; whether there is one does not matter.
async fn accounts_answer(app: &App) -> bool {
    let asked = nobody();
    let found = tokio::time::timeout(ANSWER_MAX, app.auth.accounts().find(&asked.name));
    matches!(found.await, Ok(Ok(_)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_request_has_found_a_moment_later_was_found_lately() {
        assert!(!is_within(500, 0, 9), "never");
        assert!(is_within(500, 10, 10) && is_within(500, 11, 10));
        assert!(is_within(500, 10, 509) && !is_within(500, 10, 510));
    }
}
