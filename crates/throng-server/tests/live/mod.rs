//! The server in memory behind real sockets, spoken to in every form.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod accounts;
mod away;
mod blank;
mod bodies;
mod bombs;
mod bounds;
mod client;
mod defaults;
mod delivery;
mod descriptors;
mod devices;
mod direct;
mod export;
mod fields;
mod forms;
mod gone;
mod guests;
mod heads;
mod held;
mod keeping;
mod leaving;
mod limits;
mod links;
mod moderation;
mod names;
mod numbers;
mod presence;
mod reactions;
mod reading;
mod replies;
mod resume;
mod retention;
mod rights;
mod search;
mod slow;
mod standings;
mod stopping;
mod timings;
mod traces;
mod turns;
mod unread;
mod unseen;
mod upgrade;
mod uploads;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use throng_server::app::App;
use throng_server::clock::Clock;
use throng_server::config::Settings;
use throng_server::lifecycle::Fatal;
use throng_server::listeners;
use throng_server::operations;
use tokio::runtime::Runtime;

use client::{Client, Speak};

/// A server on free ports. Dropped: stopped, as by a signal.
struct Server {
    app: Option<Arc<App>>,
    http: SocketAddr,
    raw: SocketAddr,
    runtime: Option<Runtime>,
    clock: Clock,
}

/// How often, while a server stops, its clock is turned on by a second.
const TICK: Duration = Duration::from_millis(50);

impl Server {
    fn start() -> Self {
        Self::with(|_| {})
    }

    /// In memory, with these settings; hashing is not what these tests are about. No time passes: no rate
    /// gives anything back and no deadline comes, however slow the machine is.
    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::at(Clock::manual(), change)
    }

    /// By this clock.
    fn at(clock: Clock, change: impl FnOnce(&mut Settings)) -> Self {
        // Both ends of each connection are this process's, and many of its tests run side by side.
        operations::descriptors::raise().unwrap();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut settings =
            Settings { memory: true, listen: free, raw_listen: Some(free), ..Settings::default() };
        settings.limits.logins_per_minute_address = 10_000;
        settings.limits.hash_queue_max = 1_000;
        settings.shards = 2;
        change(&mut settings);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let fatal =
            Fatal::new(|code, last_word| panic!("the server ended with {code}: {last_word}"));
        let (app, open) = runtime.block_on(async {
            let app = App::start(settings, clock.clone(), fatal).unwrap();
            let open = listeners::open(&app).unwrap();
            (app, open)
        });
        let (http, raw) = (open.http, open.raw.unwrap());
        Self { app: Some(app), http, raw, runtime: Some(runtime), clock }
    }

    fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    /// A connection that is nobody yet.
    fn connect(&self, speak: Speak) -> Client {
        let address = if speak == Speak::Raw { self.raw } else { self.http };
        Client::connect(address, speak)
    }

    /// A connection of a new account.
    fn join_in(&self, speak: Speak, name: &str) -> Client {
        let mut client = self.connect(speak);
        client.register(name);
        client
    }

    /// Drains, as at the first signal; returns when all threads have ended. Time passes meanwhile, or a client
    /// that does not go would never be cut.
    fn stop(&mut self) {
        let (Some(app), Some(runtime)) = (self.app.take(), self.runtime.as_ref()) else { return };
        runtime.block_on(async {
            let mut stopping = std::pin::pin!(app.stop());
            while tokio::time::timeout(TICK, &mut stopping).await.is_err() {
                self.clock.advance(Duration::from_secs(1));
            }
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
