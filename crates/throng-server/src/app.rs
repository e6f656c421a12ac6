//! The server put together: what a listener, a REST handler or a test asks it.
//!
//! Neighbours: `listeners` and `rest` hold an `Arc<App>`; below it are the sequencers, the
//! directory, the sessions and the history. `start.rs` builds it. It decides nothing about a room:
//! the shard does.

mod avatars;
pub mod export;
mod files;
mod flights;
mod folder;
mod guests;
mod held;
mod leaving;
mod links;
mod mentions;
mod moderation;
mod numbers;
mod presence;
mod reading;
mod search;
mod standings;
mod start;
mod stop;
mod watch;
mod whole;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use throng_core::rights::Operation;
use throng_core::session::Rate;
use throng_core::{
    Act, Author, Command, Epoch, Kind, Limits, Rejection, Reply, RoomDefaults, RoomId, RoomName,
    Seq, SessionId, UserId, Username,
};
use tokio::sync::{mpsc, oneshot};

use crate::auth::Auth;
use crate::clock::{Clock, Moment};
use crate::config::Settings;
use crate::contacts::Contacts;
use crate::directory::{Directory, Held};
use crate::fanout::{Decided, Fanout, Order, ReplyTo};
use crate::files::Files;
use crate::history::{Gap, History};
use crate::lifecycle::{Fatal, Lifecycle};
use crate::moderation::Moderation;
use crate::operations::metrics::{Metrics, Stage};
use crate::operations::syncs::Syncs;
use crate::operations::trace::Trace;
use crate::outbox::ConnectionId;
use crate::pages::{Listed, Page, RoomList, Span, show_among};
use crate::personal::Personal;
use crate::protocols::Target;
use crate::sequencer::{Item, Submission};
use crate::sessions::Sessions;
use crate::store::StoreError;
use crate::tail::Tail;
use flights::{cut, page_len};
pub use start::{Disk, StartError};
pub use stop::Stop;

/// The running server.
#[derive(Debug)]
pub struct App {
    /// What was set.
    pub settings: Settings,
    /// What is allowed.
    pub limits: Limits,
    /// This life of the orders.
    pub epoch: Epoch,
    /// The only reader of time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who may come in.
    pub auth: Auth,
    /// Which rooms there are.
    pub directory: Arc<Directory>,
    /// What those who keep order look at, and who is blocked.
    pub moderation: Arc<Moderation>,
    /// Who is connected.
    pub sessions: Arc<Sessions>,
    /// What accounts keep for themselves.
    pub personal: Arc<Personal>,
    /// Who may write to whom.
    pub contacts: Arc<Contacts>,
    /// What has happened.
    pub history: History,
    /// Pages of it that are being read.
    flights: Arc<flights::Flights>,
    /// What is not folded yet.
    pub tail: Arc<Tail>,
    /// Whether the disk keeps the log waiting.
    pub syncs: Arc<Syncs>,
    /// What messages carry; `None` in memory, where nothing is kept.
    pub files: Option<Arc<Files>>,
    /// Who exports what it has.
    exports: Arc<export::Exports>,
    /// Whether it goes on.
    pub lifecycle: Lifecycle,
    /// How it ends when it must.
    pub fatal: Fatal,
    /// The rate of a connection's requests.
    pub requests: Rate,
    /// Finding messages by their words, unless it is switched off or could not be opened.
    search: Option<search::Door>,
    shards: Box<[ShardDoor]>,
    stop: Mutex<Option<Stop>>,
}

/// A command, and what is kept for it in the directory.
#[derive(Debug)]
pub struct Prepared {
    /// What is asked.
    pub command: Command,
    /// Given back when it comes to nothing.
    pub held: Vec<Held>,
}

impl From<Command> for Prepared {
    fn from(command: Command) -> Self {
        Self { command, held: Vec::new() }
    }
}

/// The way into one shard.
#[derive(Debug)]
struct ShardDoor {
    queue: mpsc::Sender<Item>,
    fanout: Arc<Fanout>,
}

impl App {
    /// Asks a room's order and waits until the answer is durable. Posts count against the rate of
    /// the account.
    pub async fn ask(
        &self,
        from: Author,
        prepared: impl Into<Prepared>,
    ) -> Result<Reply, Rejection> {
        let prepared = prepared.into();
        if prepared.command.is_send() {
            self.sessions.permit_send(from.id, self.clock.now())?;
        }
        self.carry(from, prepared).await
    }

    /// The same, whatever the account's rate: for what one request asks many times.
    async fn carry(&self, from: Author, prepared: impl Into<Prepared>) -> Result<Reply, Rejection> {
        let (outcome, _) = self.carry_timed(from, prepared, None, self.clock.now()).await;
        outcome
    }

    /// What came of it, and the clock that went with it.
    async fn carry_timed(
        &self,
        from: Author,
        prepared: impl Into<Prepared>,
        trace: Option<Box<Trace>>,
        now: Moment,
    ) -> Decided {
        let (done, answer) = oneshot::channel();
        let to = ReplyTo::Caller { done, trace };
        let submission = match self.submission(from, prepared, to, now) {
            Ok(submission) => submission,
            Err(rejection) => return (Err(rejection), None),
        };
        let room = submission.request.command.room();
        if let Err(rejection) = self.put(room, Item::Submit(submission)).await {
            return (Err(rejection), None);
        }
        answer.await.unwrap_or((Err(Rejection::Unavailable), None))
    }

    /// A post over REST, read at the moment where its `trace` begins. Its stages are counted like those of one
    /// over a socket; the fan-out is over when the answer can be written.
    pub async fn post(
        &self,
        from: Author,
        command: Command,
        mut trace: Trace,
    ) -> Result<Reply, Rejection> {
        self.sessions.permit_send(from.id, self.clock.now())?;
        let stages = &self.metrics.stages;
        if !stages.are_counted() {
            return self.carry(from, command).await;
        }
        let now = self.clock.now();
        trace.passed(Stage::Authorize, now);
        for stage in [Stage::Decode, Stage::Authorize] {
            stages.observe(stage, Duration::from_micros(u64::from(trace.micros(stage))));
        }
        let timed = self.carry_timed(from, command, Some(Box::new(trace)), now).await;
        let (outcome, trace) = timed;
        if let (Ok(Reply::Posted { .. }), Some(mut trace)) = (outcome, trace) {
            trace.passed(Stage::Fanout, self.clock.now());
            self.metrics.posts.add_one(&trace);
        }
        outcome
    }

    /// A new room, ready to be asked for: its number and name are reserved. What it begins with is said
    /// by the request, else by its maker's defaults, else by the server's, as they are now.
    pub fn new_room(
        &self,
        by: UserId,
        (name, kind): (RoomName, Kind),
        asked: RoomDefaults,
    ) -> Result<Prepared, Rejection> {
        let own = self.personal.room_defaults(by);
        let settings = asked.or(own).or(self.settings.rooms).settings();
        let (room, held) = self.directory.reserve(&name, kind)?;
        self.auth.may_make_room(by)?;
        let command = Command::Create { room, name, kind, settings };
        Ok(Prepared { command, held: vec![held] })
    }

    /// Makes a room, and joins its maker.
    pub async fn create_room(
        &self,
        from: Author,
        named: (RoomName, Kind),
        asked: RoomDefaults,
    ) -> Result<(RoomId, Seq), Rejection> {
        let prepared = self.new_room(from.id, named, asked)?;
        let room = prepared.command.room();
        match self.ask(from, prepared).await? {
            Reply::Created { seq } => Ok((room, seq)),
            other => unreachable!("a room that was asked for is created, not {other:?}"),
        }
    }

    /// Finds who is to be written to and the direct room with it, or a number for that.
    pub async fn direct(&self, from: &Author, target: Target) -> Result<Prepared, Rejection> {
        let with = self.whom(target).await?;
        if with.id == from.id {
            return Err(Rejection::BadArgument);
        }
        if from.id.is_guest() {
            return Err(Rejection::Forbidden);
        }
        // Of two for ever: not with one who will be gone.
        if with.id.is_guest() || !self.contacts.may_write(from.id, with.id) {
            return Err(Rejection::NotAccepted);
        }
        let (room, held) = self.directory.open(from.id, with.id)?;
        Ok(Prepared { command: Command::Direct { room, with }, held: vec![held] })
    }

    /// A page of rooms; `limit` 0 is the page's own size, above it is cut to it.
    pub fn rooms(&self, asker: UserId, asked: &Listed) -> RoomList {
        self.directory.list(asker, asked)
    }

    /// The pinned messages of a room above a place, for one who reads it; `limit` as in `rooms`.
    pub async fn pins(
        &self,
        asker: UserId,
        room: RoomId,
        after: Seq,
        limit: u32,
    ) -> Result<Page, Rejection> {
        let may = || self.directory.reading(asker, room, Operation::History);
        let from = may()?.from.max(after.next());
        let limit = page_len(limit);
        let read = move |history: &History| {
            let places = history.pins(room)?;
            let mut events = Vec::new();
            for place in places.range(from..).take(limit + 1) {
                events.extend(history.shown(room, *place)?);
            }
            history.show_reactions(room, asker, &mut events)?;
            Ok(events)
        };
        let mut events = self.read(read).await?;
        // As of a page.
        let now = may()?;
        events.retain(|event| now.shows(event.seq));
        Ok(cut(room, events, Span::After(after), limit))
    }

    /// The pushed events of a room after a place, up to another.
    pub async fn gap(&self, room: RoomId, between: (Seq, Seq)) -> Result<Gap, Rejection> {
        let limit = self.limits.resume_events_max;
        let gap = self.read(move |history| history.gap(room, between, limit)).await?;
        Ok(match gap {
            Gap::Events { mut events, through } => {
                show_among(&mut events);
                Gap::Events { events, through }
            }
            Gap::TooOld => Gap::TooOld,
        })
    }

    /// Who is named by number or by name, but not by both.
    pub async fn whom(&self, target: Target) -> Result<Author, Rejection> {
        let known = match target {
            Target::Name(name) => {
                let name = Username::parse(&name).map_err(|_| Rejection::NoSuchUser)?;
                self.auth.accounts().find(&name).await?.map(|found| found.user)
            }
            Target::Number(id) => match UserId::new(id) {
                Some(id) => self.auth.accounts().known(id).await?,
                None => None,
            },
        };
        known.ok_or(Rejection::NoSuchUser)
    }

    /// Whom an act is for. What somebody has said outlasts its account: to take that away, one that has
    /// gone is found too.
    pub async fn whom_for(&self, act: Act, target: Target) -> Result<Author, Rejection> {
        if act != Act::DeleteAll {
            return self.whom(target).await;
        }
        let accounts = self.auth.accounts();
        let once = match target {
            Target::Name(name) => {
                let name = Username::parse(&name).map_err(|_| Rejection::NoSuchUser)?;
                accounts.once_called(&name).await?
            }
            Target::Number(id) => match UserId::new(id) {
                Some(id) => accounts.once_known(id).await?,
                None => None,
            },
        };
        once.ok_or(Rejection::NoSuchUser)
    }

    /// Reads history where waiting for the disk holds up nobody else.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&History) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Rejection> {
        self.flights.read(self.history.clone(), self.clock.now(), read).await
    }

    /// The session was ended: its connections are closed before this returns.
    pub fn session_ended(&self, session: SessionId) {
        self.sessions.end(session);
    }

    /// Whether new work is taken: false from the first signal to stop.
    pub fn ready(&self) -> bool {
        self.lifecycle.is_serving()
    }

    // ---- shards -------------------------------------------------------------------------------

    /// A command ready for its shard's queue, with the place it needs.
    pub fn submission(
        &self,
        from: Author,
        prepared: impl Into<Prepared>,
        to: ReplyTo,
        queued: Moment,
    ) -> Result<Submission, Rejection> {
        let Prepared { command, mut held } = prepared.into();
        let command = self.as_comer(from.id, command)?;
        match &command {
            Command::Join { room } | Command::Enter { room, .. } => {
                held.push(self.directory.may_join(from.id, Some(*room))?);
            }
            // A room outlives a guest.
            Command::Create { .. } if from.id.is_guest() => return Err(Rejection::Forbidden),
            Command::Create { .. } => held.push(self.directory.may_join(from.id, None)?),
            Command::Moderate { act: Act::Ban, who, .. } => {
                self.auth.accounts().addresses().judged(who.id);
            }
            Command::Set { room, settings } => {
                if let Some(name) = &settings.name {
                    held.push(self.directory.rename(from.id, *room, name)?);
                }
            }
            Command::Leave { .. }
            | Command::Forget { .. }
            | Command::Direct { .. }
            | Command::Post { .. }
            | Command::Edit { .. }
            | Command::Delete { .. }
            | Command::React { .. }
            | Command::Pin { .. }
            | Command::Moderate { .. }
            | Command::Admit { .. }
            | Command::BanGuest { .. }
            | Command::Held { .. } => {}
        }
        let request = throng_core::Request { from, command };
        Ok(Submission { request, to, held, queued })
    }

    /// Puts a command into the queue of its room's shard as soon as there is place; refused by a server
    /// that ends.
    pub async fn put(&self, room: RoomId, item: Item) -> Result<(), Rejection> {
        let waits = self.metrics.stages.wait();
        let sent = self.queue_of(room).send(item).await;
        sent.map_err(|_| Rejection::Unavailable)?;
        waits.keep();
        Ok(())
    }

    fn door(&self, room: RoomId) -> &ShardDoor {
        &self.shards[shard_of(room, self.shards.len())]
    }

    /// The queue of a room's shard.
    pub fn queue_of(&self, room: RoomId) -> &mpsc::Sender<Item> {
        &self.door(room).queue
    }

    /// The fan-out of a room's shard.
    pub fn fanout_of(&self, room: RoomId) -> &Fanout {
        &self.door(room).fanout
    }

    /// A connection hears nothing any more.
    pub fn connection_gone(&self, id: ConnectionId) {
        for shard in &self.shards {
            shard.fanout.ask(Order::Gone(id));
        }
    }
}

/// Which shard a room falls to: fixed while the process lives. All rooms are in one log, so that
/// another number of shards after a restart does no harm.
pub(crate) fn shard_of(room: RoomId, shards: usize) -> usize {
    room.get() as usize % shards
}
