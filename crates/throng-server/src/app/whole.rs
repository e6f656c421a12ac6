//! What must not be left half done: of two things the second follows from the first, whoever asked for them
//! goes away in between.
//!
//! Neighbours: those of `app` that do such things. Connections and REST drop what they wait for when their
//! socket goes; a stop waits for what is here, as for a connection.

use std::future::Future;

use throng_core::Rejection;

use super::App;

impl App {
    /// Carries this to its end, whether the asker waits for it or not.
    pub(super) async fn whole<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Rejection>> + Send + 'static,
    ) -> Result<T, Rejection> {
        // It panicked or the runtime ends; either is said elsewhere.
        self.lifecycle.spawn(Box::pin(work)).await.unwrap_or(Err(Rejection::Unavailable))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake, Waker};

    use throng_core::{
        Author, Body, Command, Epoch, Kind, Reply, RoomDefaults, RoomId, RoomName, Standing,
        Verdict,
    };

    use super::*;
    use crate::app::Disk;
    use crate::clock::Clock;
    use crate::config::Settings;
    use crate::lifecycle::Fatal;
    use crate::log::MemoryLog;
    use crate::log::suite::Held;
    use crate::protocols::moderation::{Asked, Told};
    use crate::store::MemoryStore;

    fn server() -> (Arc<App>, Arc<Held>) {
        let log = Arc::new(Held::new(MemoryLog::new(Epoch(1), 1 << 24)));
        let disk = Disk::new(log.clone(), Arc::new(MemoryStore::new(1 << 24)));
        let mut settings = Settings { memory: true, shards: 2, ..Settings::default() };
        settings.limits.hash_threads = 1;
        let fatal = Fatal::new(|code, why| panic!("ended with {code}: {why}"));
        (App::start_on(disk, settings, Clock::manual(), fatal).unwrap(), log)
    }

    async fn somebody(app: &App, name: &str) -> Author {
        let here = IpAddr::from([127, 0, 0, 1]).into();
        app.auth.register(name, "correct horse", "", here).await.unwrap().user
    }

    async fn made(app: &App, by: &Author, kind: Kind, defaults: RoomDefaults) -> RoomId {
        let named = (RoomName::parse("tea").unwrap(), kind);
        app.create_room(by.clone(), named, defaults).await.unwrap().0
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    /// Asks, goes away as soon as this is so, which is before the log has anything of it, and returns when
    /// nothing of it is under way any more.
    async fn asks_and_goes<T>(
        (app, log): (&App, &Held),
        asking: impl Future<Output = Result<T, Rejection>>,
        goes: impl Fn() -> bool,
    ) {
        log.hold(true);
        {
            let mut asking = pin!(asking);
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut there = true;
            while there {
                let polled = asking.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending(), "it is answered already");
                // It goes on only with what came before this was so.
                loop {
                    let goes_on = woken.0.swap(false, Ordering::AcqRel);
                    there = !goes();
                    if goes_on || !there {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
        log.hold(false);
        app.lifecycle.ended().await;
    }

    #[tokio::test]
    async fn what_a_moderator_does_to_what_waits_is_noted_though_it_goes_away_at_once() {
        let (app, log) = server();
        let (owner, ben) = (somebody(&app, "owner").await, somebody(&app, "ben").await);
        let delayed = RoomDefaults { delay_seconds: Some(60), ..RoomDefaults::default() };
        let room = made(&app, &owner, Kind::Public, delayed).await;
        app.ask(ben.clone(), Command::Join { room }).await.unwrap();
        let body = Body::parse("hello").unwrap();
        let post = Command::Post { room, origin_id: None, body, extras: None };
        let Reply::Held { number, .. } = app.ask(ben.clone(), post).await.unwrap() else {
            panic!("it does not wait")
        };
        let asked = Asked::SettleHeld { room, number, verdict: Verdict::Drop };
        asks_and_goes((&app, &log), app.moderation(owner.clone(), asked), || true).await;
        let asked = Asked::Audit { room, before: 0, limit: 0 };
        let Told::Audit(_, page) = app.moderation(owner, asked).await.unwrap() else { panic!() };
        let noted = page.entries.iter().find(|entry| entry.act == "drop_held");
        let about = noted.and_then(|entry| entry.about.as_ref());
        assert_eq!(about.map(|about| about.id), Some(ben.id), "{:?}", page.entries);
        app.stop().await;
    }

    #[tokio::test]
    async fn a_use_of_a_link_lets_its_bearer_in_though_it_goes_away_in_the_middle() {
        let (app, log) = server();
        let (owner, ben) = (somebody(&app, "owner").await, somebody(&app, "ben").await);
        let room = made(&app, &owner, Kind::Private, RoomDefaults::default()).await;
        let asked = Asked::MakeLink { room, uses: 1, hours: 0 };
        let made = app.moderation(owner, asked).await.unwrap();
        let Told::Link(token, _) = made else { panic!("{made:?} is no link") };
        let used_up = || app.moderation.room_links(room, app.clock.wall()).unwrap().is_empty();
        assert!(!used_up());
        asks_and_goes((&app, &log), app.by_link(&ben, token.reveal()), used_up).await;
        assert!(app.directory.standing(ben.id, room).has(Standing::INVITED));
        app.ask(ben, Command::Join { room }).await.unwrap();
        app.stop().await;
    }

    /// Until it is answered the next start would settle what a kill leaves: so many uses of links, and so much
    /// that somebody is about to do.
    async fn leaves_open_until_it_is_answered<T: std::fmt::Debug + Send + 'static>(
        (app, log): (&App, &Held),
        asking: impl Future<Output = Result<T, Rejection>> + Send + 'static,
        open: (u64, u64),
    ) {
        assert_eq!(app.moderation.left_open(), (0, 0));
        log.hold(true);
        let asking = app.lifecycle.spawn(Box::pin(asking));
        while !log.is_waited_for() {
            tokio::task::yield_now().await;
        }
        assert_eq!(app.moderation.left_open(), open);
        log.hold(false);
        asking.await.unwrap().unwrap();
        assert_eq!(app.moderation.left_open(), (0, 0));
    }

    #[tokio::test]
    async fn what_a_kill_would_leave_half_done_is_known_to_the_next_start_until_it_is_answered() {
        let (app, log) = server();
        let (owner, ben) = (somebody(&app, "owner").await, somebody(&app, "ben").await);
        let delayed = RoomDefaults { delay_seconds: Some(60), ..RoomDefaults::default() };
        let room = made(&app, &owner, Kind::Public, delayed).await;
        app.ask(ben.clone(), Command::Join { room }).await.unwrap();
        let body = Body::parse("hello").unwrap();
        let post = Command::Post { room, origin_id: None, body, extras: None };
        let Reply::Held { number, .. } = app.ask(ben.clone(), post).await.unwrap() else {
            panic!("it does not wait")
        };
        let (own, by) = (Arc::clone(&app), owner.clone());
        let asked = Asked::SettleHeld { room, number, verdict: Verdict::Pass };
        let passing = async move { own.moderation(by, asked).await };
        leaves_open_until_it_is_answered((&app, &log), passing, (0, 1)).await;
        let asked = Asked::Audit { room, before: 0, limit: 0 };
        let told = app.moderation(owner.clone(), asked).await.unwrap();
        let Told::Audit(_, page) = told else { panic!("{told:?} is no audit log") };
        let noted = page.entries.iter().filter(|entry| entry.act == "pass_held");
        let noted: Vec<_> = noted.map(|entry| (&entry.about, entry.detail.as_str())).collect();
        assert_eq!(noted, [(&Some(ben.clone()), "message 5")]);
        // What is refused was not done.
        let asked = Asked::SettleHeld { room, number, verdict: Verdict::Drop };
        let refused = app.moderation(owner.clone(), asked).await;
        assert_eq!(refused, Err(Rejection::NoSuchMessage));
        assert_eq!(app.moderation.left_open(), (0, 0));

        let den = made(&app, &owner, Kind::Private, RoomDefaults::default()).await;
        let asked = Asked::MakeLink { room: den, uses: 1, hours: 0 };
        let told = app.moderation(owner, asked).await.unwrap();
        let Told::Link(token, _) = told else { panic!("{told:?} is no link") };
        let own = Arc::clone(&app);
        let coming = async move { own.by_link(&ben, token.reveal()).await };
        leaves_open_until_it_is_answered((&app, &log), coming, (1, 0)).await;
        app.stop().await;
    }
}
