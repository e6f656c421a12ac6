//! The end of an account: what becomes of its messages is the server's setting, its rooms are left
//! in their order, and then it is gone.
//!
//! Neighbours: connections and REST ask it, `auth` proves who asks, the rooms' shards decide what is
//! deleted and left; `leavers.rs` knows who is named no more. Nothing is kept about how far it got until the
//! account is gone: who lost the answer still has one, and asks again. From then on the accounts know that it
//! is to be cleared up behind, so that a start does what a kill left.

use std::sync::Arc;
use std::time::Duration;

use throng_core::session::Identity;
use throng_core::{
    Author, Command, EventKind, Kind, Rejection, RoomId, Seq, Standing, UserId, Username,
};
use tokio::sync::oneshot;

use super::App;
use crate::accounts::life::Gone;
use crate::address::AddressKey;
use crate::config::Fate;
use crate::pages::{Listed, Span};
use crate::sequencer::{Item, Look, LookAt};

/// How often it is looked for those whom nothing names any more.
const SWEEP: Duration = Duration::from_secs(5);
/// What one is told to wait who finds too many others going.
const FULL_MS: u32 = 60_000;

impl App {
    /// Deletes the asker's account, whether the asker waits for it or not. When this returns its sessions
    /// are refused and their connections closed, and its name is nobody's; where it is named no more,
    /// nobody is shown it from before that on. `ends` is called before.
    pub async fn delete_account(
        self: &Arc<Self>,
        who: Identity,
        from: AddressKey,
        password: String,
        ends: impl FnOnce() + Send + 'static,
    ) -> Result<(), Rejection> {
        let app = Arc::clone(self);
        // The connection that asked is closed by its end.
        self.whole(async move { app.delete(&who, from, password, ends).await }).await
    }

    async fn delete(
        &self,
        who: &Identity,
        from: AddressKey,
        password: String,
        ends: impl FnOnce(),
    ) -> Result<(), Rejection> {
        let leavers = self.directory.leavers();
        let named_no_more = self.settings.deleted_messages == Fate::Anonymous;
        if named_no_more && leavers.is_full() {
            return Err(Rejection::Busy { retry_after_ms: FULL_MS });
        }
        let password = self.auth.prove(who, from, password).await?;
        let name = if named_no_more { Username::gone() } else { who.user.name.clone() };
        let leaver = Author { id: who.user.id, name };
        self.leave_everything(&leaver).await?;
        ends();
        let (directory, named) = (Arc::clone(&self.directory), who.user.clone());
        let gone: Gone = Box::new(move |at| directory.leavers().note(named, at));
        let gone = named_no_more.then_some(gone);
        if let Err(rejection) = self.auth.accounts().delete(leaver.id, password, gone).await {
            leavers.forget(&[leaver.id]);
            return Err(rejection);
        }
        // The account is gone, whatever comes of this.
        let cleared_up = match self.clear_up(&leaver).await {
            Ok(()) if !named_no_more => self.auth.accounts().is_cleared_up(leaver.id).await,
            // Looked at once more when it is forgotten.
            cleared_up => cleared_up,
        };
        warn_of(&leaver, cleared_up);
        Ok(())
    }

    /// Clears up behind those who went and whom a kill, or trouble, left in their rooms.
    async fn clear_up_rest(&self) -> Result<(), Rejection> {
        let accounts = self.auth.accounts();
        for leaver in accounts.going().await? {
            self.clear_up(&leaver).await?;
            accounts.is_cleared_up(leaver.id).await?;
        }
        Ok(())
    }

    /// What another connection of one that is gone joined or said until it was closed, and what it kept for
    /// itself.
    async fn clear_up(&self, leaver: &Author) -> Result<(), Rejection> {
        // Each of them, whatever comes of the one before.
        let decided = self.all_decided().await;
        let left = self.leave_everything(leaver).await;
        decided.and(left).and(self.forget_notes(leaver.id).await)
    }

    /// Waits until every shard has decided what is in its queue by now.
    async fn all_decided(&self) -> Result<(), Rejection> {
        for shard in &self.shards {
            let (done, told) = oneshot::channel();
            // Nobody asks, of no room: it is answered behind all that came before it.
            let (room, asker) = (throng_core::id::ROOM_ID_MAX, throng_core::id::GUESTS_FROM);
            let (room, asker) = RoomId::new(room).zip(UserId::new(asker)).expect("within bounds");
            let at = LookAt::Standings(Standing::BANNED, done);
            let look = Look { room, asker, after: 0, limit: 0, at };
            shard.queue.send(Item::Look(look)).await.map_err(|_| Rejection::Unavailable)?;
            // Whatever it says of that room.
            _ = told.await.map_err(|_| Rejection::Unavailable)?;
        }
        Ok(())
    }

    /// Forgets what an account kept for itself.
    async fn forget_notes(&self, user: UserId) -> Result<(), Rejection> {
        if self.files.is_some() {
            self.with_files(move |files| files.set_face(user, None)).await?;
        }
        self.personal.forget(user).await?;
        self.keep(move |kept| kept.forget_blocks(user)).await
    }

    async fn leave_everything(&self, who: &Author) -> Result<(), Rejection> {
        let mut mine = Listed { mine: true, ..Listed::default() };
        loop {
            let list = self.rooms(who.id, &mine);
            for room in &list.rooms {
                if self.settings.deleted_messages == Fate::Erased {
                    self.erase(who, room.room).await?;
                }
                // Of two for ever: the other one keeps it.
                if room.policy.kind == Kind::Direct {
                    continue;
                }
                match self.carry(who.clone(), Command::Leave { room: room.room }).await {
                    Ok(_) | Err(Rejection::NotMember | Rejection::NoSuchRoom) => {}
                    Err(rejection) => return Err(rejection),
                }
            }
            let Some(next) = list.next else { return Ok(()) };
            mine.after = next.get();
        }
    }

    /// Has those forgotten whom nothing names any more; ends with the runtime.
    #[expect(clippy::disallowed_methods, reason = "nobody waits for it to end")]
    pub(super) fn start_forgetting(self: &Arc<Self>) {
        let app = Arc::downgrade(self);
        let mut ticks = tokio::time::interval(SWEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::spawn(async move {
            loop {
                ticks.tick().await;
                let Some(app) = app.upgrade() else { return };
                if let Err(rejection) = app.clear_up_rest().await {
                    let code = rejection.code();
                    tracing::warn!(code, "deleted accounts are in their rooms still, trying again");
                }
                let gone = app.directory.leavers().finished();
                // Where a crash came between its end and this, or what it asked was long on its way.
                for one in &gone {
                    let leaver = Author { id: one.id, name: Username::gone() };
                    warn_of(&leaver, app.clear_up(&leaver).await);
                }
                app.forget_leavers(&gone).await;
            }
        });
    }

    /// Has the accounts forget those whom nothing names any more. What fails is tried again.
    pub(super) async fn forget_leavers(&self, gone: &[Author]) {
        if gone.is_empty() {
            return;
        }
        for one in gone {
            self.directory.name_no_more(one);
        }
        let gone: Vec<UserId> = gone.iter().map(|one| one.id).collect();
        match self.auth.accounts().forget_leavers(gone.clone()).await {
            Ok(()) => self.directory.leavers().forget(&gone),
            Err(rejection) => {
                let code = rejection.code();
                tracing::warn!(code, "cannot forget deleted accounts, trying again");
            }
        }
    }

    /// Deletes all that the asker said in a room, a page at a time.
    async fn erase(&self, who: &Author, room: RoomId) -> Result<(), Rejection> {
        let mut after = Seq::ZERO;
        loop {
            let page = match self.page(who.id, room, Span::After(after), 0).await {
                // Removed meanwhile.
                Err(Rejection::NotMember | Rejection::NoSuchRoom | Rejection::Banned) => {
                    return Ok(());
                }
                page => page?,
            };
            for event in &page.events {
                after = event.seq;
                let said = match &event.kind {
                    EventKind::Posted { author, .. } => author.id == who.id,
                    _ => false,
                };
                if !said {
                    continue;
                }
                match self.carry(who.clone(), Command::Delete { room, of: event.seq }).await {
                    Ok(_) | Err(Rejection::NoSuchMessage | Rejection::NotMember) => {}
                    Err(rejection) => return Err(rejection),
                }
            }
            if !page.more {
                return Ok(());
            }
        }
    }
}

fn warn_of(leaver: &Author, cleared_up: Result<(), Rejection>) {
    if let Err(rejection) = cleared_up {
        let (user, code) = (leaver.id.get(), rejection.code());
        tracing::warn!(user, code, "something is kept of an account that was deleted");
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use throng_core::{Body, Epoch, RoomDefaults, RoomName};

    use super::*;
    use crate::app::Disk;
    use crate::clock::Clock;
    use crate::config::Settings;
    use crate::lifecycle::Fatal;
    use crate::log::MemoryLog;
    use crate::log::suite::Held;
    use crate::store::MemoryStore;

    async fn somebody(app: &App, name: &str) -> Identity {
        let here = IpAddr::from([127, 0, 0, 1]).into();
        let login = app.auth.register(name, "correct horse", "", here).await.unwrap();
        Identity { user: login.user, session: login.session }
    }

    #[tokio::test]
    async fn a_join_that_waits_for_its_shard_while_its_account_is_deleted_makes_nobody_a_member() {
        let held = Arc::new(Held::new(MemoryLog::new(Epoch(1), 1 << 24)));
        let disk = Disk::new(held.clone(), Arc::new(MemoryStore::new(1 << 24)));
        let mut settings = Settings { memory: true, shards: 1, ..Settings::default() };
        settings.limits.hash_threads = 1;
        let fatal = Fatal::new(|code, why| panic!("ended with {code}: {why}"));
        let app = App::start_on(disk, settings, Clock::manual(), fatal).unwrap();
        let (host, leaver) = (somebody(&app, "host").await, somebody(&app, "leaver").await);
        let named = (RoomName::parse("tea").unwrap(), Kind::Public);
        let made = app.create_room(host.user.clone(), named, RoomDefaults::default()).await;
        let room = made.unwrap().0;
        held.hold(true);
        let body = Body::parse("slow").unwrap();
        let post = Command::Post { room, origin_id: None, body, extras: None };
        let posting = app.lifecycle.spawn(Box::pin({
            let (app, host) = (Arc::clone(&app), host.user.clone());
            async move { app.ask(host, post).await }
        }));
        while !held.is_waited_for() {
            tokio::task::yield_now().await;
        }
        let joining = app.lifecycle.spawn(Box::pin({
            let (app, who) = (Arc::clone(&app), leaver.user.clone());
            async move { app.ask(who, Command::Join { room }).await }
        }));
        let door = app.queue_of(room);
        while door.capacity() == door.max_capacity() {
            tokio::task::yield_now().await;
        }
        let deleting = app.lifecycle.spawn(Box::pin({
            let (app, who) = (Arc::clone(&app), leaver.clone());
            let from = IpAddr::from([127, 0, 0, 1]).into();
            async move { app.delete_account(who, from, "correct horse".to_owned(), || {}).await }
        }));
        while app.auth.accounts().known(leaver.user.id).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
        held.hold(false);
        posting.await.unwrap().unwrap();
        joining.await.unwrap().unwrap();
        deleting.await.unwrap().unwrap();
        assert_eq!(app.directory.joined(leaver.user.id, room), None, "it is nobody's");
        assert_eq!(app.directory.members(room).0, 1);
        app.stop().await;
    }

    /// A kill between the two: the account's end is written, and nothing behind it is done.
    #[tokio::test]
    async fn an_account_that_a_kill_left_in_its_rooms_is_out_of_them_after_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let start = || {
            let mut settings = Settings { data: folder.path().to_owned(), ..Settings::default() };
            (settings.shards, settings.limits.hash_threads) = (1, 1);
            let fatal = Fatal::new(|code, why| panic!("ended with {code}: {why}"));
            App::start(settings, Clock::manual(), fatal).unwrap()
        };
        let app = start();
        let (host, leaver) = (somebody(&app, "host").await, somebody(&app, "leaver").await);
        let named = (RoomName::parse("tea").unwrap(), Kind::Public);
        let made = app.create_room(host.user.clone(), named, RoomDefaults::default()).await;
        let room = made.unwrap().0;
        app.ask(leaver.user.clone(), Command::Join { room }).await.unwrap();
        let here = IpAddr::from([127, 0, 0, 1]).into();
        let password = app.auth.prove(&leaver, here, "correct horse".to_owned()).await.unwrap();
        app.auth.accounts().delete(leaver.user.id, password, None).await.unwrap();
        app.stop().await;

        let app = start();
        app.clear_up_rest().await.unwrap();
        assert_eq!(app.directory.joined(leaver.user.id, room), None, "it is nobody's");
        assert_eq!(app.directory.members(room).0, 1);
        assert_eq!(app.auth.accounts().going().await, Ok(Vec::new()));
        app.stop().await;
    }

    #[tokio::test]
    async fn behind_an_account_that_goes_nothing_is_left_to_clear_up() {
        let settings = Settings { memory: true, shards: 1, ..Settings::default() };
        let fatal = Fatal::new(|code, why| panic!("ended with {code}: {why}"));
        let app = App::start(settings, Clock::manual(), fatal).unwrap();
        let leaver = somebody(&app, "leaver").await;
        let from = IpAddr::from([127, 0, 0, 1]).into();
        app.delete_account(leaver, from, "correct horse".to_owned(), || {}).await.unwrap();
        assert_eq!(app.auth.accounts().going().await, Ok(Vec::new()));
        app.stop().await;
    }
}
