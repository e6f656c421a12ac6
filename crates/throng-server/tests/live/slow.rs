//! A store that is slow: who reads waits, nobody else does, and those who read the same wait for one
//! read.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use throng_core::{
    Author, Body, Epoch, Event, EventKind, FileId, Kind, Rejection, RoomId, RoomName, Seq, Tally,
    Timestamp, UserId, Username,
};
use throng_server::app::{App, Disk};
use throng_server::clock::Clock;
use throng_server::config::Settings;
use throng_server::leavers::Names;
use throng_server::lifecycle::Fatal;
use throng_server::listeners;
use throng_server::log::MemoryLog;
use throng_server::pages::{Note, Page, Span};
use throng_server::store::{
    Erased, Erasing, Members, MemoryStore, RoomBatch, RoomSnapshot, Store, StoreError, Unnamed,
    VisitOrigin,
};
use throng_wire::native::v1;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use tokio::runtime::Runtime;

use super::client::{Client, Speak, body};

/// Posts that the store has; the room's first events make it and let the members in.
pub const POSTS: u64 = 200;
pub const MEMBERS: u64 = 21;
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store whose pages come when the test lets them.
#[derive(Debug)]
pub struct Held {
    store: MemoryStore,
    pages: AtomicUsize,
    gate: Mutex<Gate>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Gate {
    open: bool,
    waiting: usize,
}

impl Held {
    fn new() -> Self {
        let store = MemoryStore::new(1 << 24);
        store.fold(&[RoomBatch { room: room(), events: history() }]).unwrap();
        Self { store, pages: AtomicUsize::new(0), gate: Mutex::default(), moved: Condvar::new() }
    }

    /// From now on all reads come.
    pub fn open(&self) {
        self.gate.lock().unwrap().open = true;
        self.moved.notify_all();
    }

    /// Returns when so many reads wait at the gate.
    pub fn wait_for(&self, readers: usize) {
        let gate = self.gate.lock().unwrap();
        let too_few = |gate: &mut Gate| gate.waiting < readers;
        let (_gate, out) = self.moved.wait_timeout_while(gate, PATIENCE, too_few).unwrap();
        assert!(!out.timed_out(), "{readers} reads have not begun");
    }

    fn pages(&self) -> usize {
        self.pages.load(Ordering::SeqCst)
    }
}

impl Store for Held {
    fn page(&self, room: RoomId, span: Span, limit: usize) -> Result<Vec<Arc<Event>>, StoreError> {
        self.pages.fetch_add(1, Ordering::SeqCst);
        let mut gate = self.gate.lock().unwrap();
        gate.waiting += 1;
        self.moved.notify_all();
        let mut gate = self.moved.wait_while(gate, |gate| !gate.open).unwrap();
        gate.waiting -= 1;
        drop(gate);
        self.store.page(room, span, limit)
    }

    fn fold(&self, rooms: &[RoomBatch]) -> Result<(), StoreError> {
        self.store.fold(rooms)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }

    fn rooms(&self, visit: &mut dyn FnMut(RoomSnapshot)) -> Result<(), StoreError> {
        self.store.rooms(visit)
    }

    fn event(&self, room: RoomId, seq: Seq) -> Result<Option<Arc<Event>>, StoreError> {
        self.store.event(room, seq)
    }

    fn notes(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Note>, StoreError> {
        self.store.notes(room, from, to)
    }

    fn reactions(
        &self,
        room: RoomId,
        from: Seq,
        to: Seq,
        asker: UserId,
    ) -> Result<Vec<(Seq, Tally)>, StoreError> {
        self.store.reactions(room, from, to, asker)
    }

    fn pins(&self, room: RoomId) -> Result<Vec<Seq>, StoreError> {
        self.store.pins(room)
    }

    fn sweeps(&self, room: RoomId, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        self.store.sweeps(room, users)
    }

    fn members(&self, room: RoomId, after: u64, limit: usize) -> Result<Members, StoreError> {
        self.store.members(room, after, limit)
    }

    fn carries(&self, file: FileId) -> Result<bool, StoreError> {
        self.store.carries(file)
    }

    fn mentions(
        &self,
        room: RoomId,
        user: UserId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, u64)>, StoreError> {
        self.store.mentions(room, user, after, limit)
    }

    fn first_since(&self, room: RoomId, since: Timestamp) -> Result<Option<Seq>, StoreError> {
        self.store.first_since(room, since)
    }

    fn erase(&self, what: Erasing) -> Result<Erased, StoreError> {
        self.store.erase(what)
    }

    fn unname(&self, names: &Names, after: Option<(RoomId, Seq)>) -> Result<Unnamed, StoreError> {
        self.store.unname(names, after)
    }

    fn origins(
        &self,
        room: RoomId,
        through: Seq,
        since: Timestamp,
        visit: &mut VisitOrigin<'_>,
    ) -> Result<(), StoreError> {
        self.store.origins(room, through, since, visit)
    }
}

pub fn room() -> RoomId {
    RoomId::new(1).unwrap()
}

pub fn user(number: u64) -> UserId {
    UserId::new(number).unwrap()
}

/// A room with members from 1 on, and more posts than a page has.
fn history() -> Vec<Arc<Event>> {
    let author = |number| Author {
        id: user(number),
        name: Username::parse(&format!("user{number}")).unwrap(),
    };
    let (name, kind) = (RoomName::parse("tea").unwrap(), Kind::Public);
    let mut kinds = vec![EventKind::Created { by: author(1), name, kind }];
    kinds.extend((1..=MEMBERS).map(|number| EventKind::Joined { who: author(number) }));
    kinds.extend((1..=POSTS).map(|n| EventKind::Posted {
        n,
        author: author(1 + n % MEMBERS),
        origin_id: None,
        body: Body::parse(format!("post {n}")).unwrap(),
        extras: None,
    }));
    let events = (1..).zip(kinds).map(|(seq, kind)| {
        let (prev, at) = (Seq(seq - 1), Timestamp(1_790_000_000_000 + seq));
        Arc::new(Event { room: room(), seq: Seq(seq), prev, pushed: true, at, kind })
    });
    events.collect()
}

/// A server over such a store, all of whose connections are served by one thread.
pub struct Server {
    pub runtime: Runtime,
    pub app: Arc<App>,
    pub store: Arc<Held>,
    pub http: SocketAddr,
    raw: SocketAddr,
    pub clock: Clock,
}

impl Server {
    pub fn start() -> Self {
        Self::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut settings = Settings { memory: true, listen: free, ..Settings::default() };
        settings.raw_listen = Some(free);
        settings.shards = 1;
        settings.limits.connections_per_user = 100;
        settings.limits.sends_per_second = 10_000;
        settings.limits.sends_burst = 10_000;
        settings.limits.requests_per_second = 10_000;
        settings.limits.requests_burst = 10_000;
        settings.search = false;
        change(&mut settings);
        let clock = Clock::manual();
        let store = Arc::new(Held::new());
        let log = Arc::new(MemoryLog::new(Epoch(1), 1 << 24));
        let disk = Disk::new(log, Arc::clone(&store) as Arc<dyn Store>);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let fatal = Fatal::new(|code, word| panic!("the server ended with {code}: {word}"));
        let (app, open) = runtime.block_on(async {
            let app = App::start_on(disk, settings, clock.clone(), fatal).unwrap();
            let open = listeners::open(&app).unwrap();
            (app, open)
        });
        let raw = open.raw.expect("it was asked for");
        Self { runtime, app, store, http: open.http, raw, clock }
    }

    pub fn join_in(&self, name: &str) -> Client {
        self.join_in_as(Speak::Json, name)
    }

    pub fn join_in_as(&self, speak: Speak, name: &str) -> Client {
        let address = if speak == Speak::Raw { self.raw } else { self.http };
        let mut client = Client::connect(address, speak);
        client.register(name);
        client
    }

    pub fn ask(&self, asker: u64, limit: u32) -> Asking {
        let app = Arc::clone(&self.app);
        let newest = Span::Before(Seq(throng_core::id::SEQ_MAX));
        Box::pin(async move { app.page(user(asker), room(), newest, limit).await })
    }

    /// Goes as far as it can without waiting.
    pub fn begin(&self, asking: &mut Asking) -> Option<Result<Page, Rejection>> {
        self.runtime.block_on(async {
            std::future::poll_fn(|context| match asking.as_mut().poll(context) {
                std::task::Poll::Ready(page) => std::task::Poll::Ready(Some(page)),
                std::task::Poll::Pending => std::task::Poll::Ready(None),
            })
            .await
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.store.open();
        if !std::thread::panicking() {
            self.runtime.block_on(Arc::clone(&self.app).stop());
        }
    }
}

pub type Asking = std::pin::Pin<Box<dyn Future<Output = Result<Page, Rejection>>>>;

#[test]
fn simultaneous_requests_for_one_page_are_one_read_though_the_first_asker_goes_away() {
    let server = Server::start();
    let mut asking: Vec<Asking> = (1..=MEMBERS).map(|asker| server.ask(asker, 50)).collect();
    for asking in &mut asking {
        assert!(server.begin(asking).is_none(), "it waits");
    }
    server.store.wait_for(1);
    drop(asking.remove(0));
    server.store.open();
    for asking in asking {
        let page = server.runtime.block_on(asking).unwrap();
        let places: Vec<u64> = page.events.iter().map(|event| event.seq.0).collect();
        let last = 1 + MEMBERS + POSTS;
        assert_eq!(places, (last - 49..=last).collect::<Vec<_>>());
        assert!(page.more);
    }
    assert_eq!(server.store.pages(), 1);
}

#[test]
fn who_may_not_read_joins_no_read_and_who_was_removed_meanwhile_gets_nothing_of_it() {
    let server = Server::start();
    let mut member = server.ask(2, 50);
    assert!(server.begin(&mut member).is_none());
    let mut stranger = server.ask(MEMBERS + 1, 50);
    let refused = server.begin(&mut stranger).expect("it does not wait");
    assert_eq!(refused.err(), Some(Rejection::NotMember));
    server.store.wait_for(1);
    let mut owner = server.join_in("user1");
    server.join_in("user2");
    let kick =
        v1::Moderate { room: 1, act: v1::Act::Kick as i32, user: 2, ..v1::Moderate::default() };
    assert!(matches!(owner.ask(Request::Moderate(kick)), Outcome::Applied(_)));
    server.store.open();
    assert_eq!(server.runtime.block_on(member).err(), Some(Rejection::NotMember));
}

#[test]
fn one_who_asks_after_something_was_said_is_shown_it_and_waits_for_no_older_read() {
    let server = Server::start();
    let mut before = server.ask(2, 50);
    assert!(server.begin(&mut before).is_none());
    server.store.wait_for(1);
    let mut owner = server.join_in("user1");
    let posted = owner.post(1, "news");
    let mut after = server.ask(2, 50);
    assert!(server.begin(&mut after).is_none());
    server.store.wait_for(2);
    server.store.open();
    let newest = |page: &Page| page.events.last().map(|event| event.seq.0);
    let after = server.runtime.block_on(after).unwrap();
    assert_eq!(newest(&after), Some(posted.seq));
    assert!(server.runtime.block_on(before).is_ok());
    assert_eq!(server.store.pages(), 2);
}

#[test]
fn while_every_read_of_the_store_hangs_the_one_thread_goes_on_with_pings_sends_and_deliveries() {
    let server = Server::start();
    let mut owner = server.join_in("user1");
    let mut hearer = server.join_in("user2");
    assert!(matches!(hearer.subscribe(1, None), Outcome::Subscribed(_)));
    let token = owner.token.clone();
    let mut readers: Vec<(Client, u32)> = (1..=20)
        .map(|limit| {
            let mut client = Client::connect(server.http, Speak::Json);
            client.authenticate(&token);
            let history = v1::History { room: 1, before: None, after: None, limit };
            let id = client.send(Request::History(history));
            (client, id)
        })
        .collect();
    server.store.wait_for(readers.len());
    for n in 1..=50 {
        assert!(matches!(owner.ask(Request::Ping(v1::Ping {})), Outcome::Pong(_)));
        let text = format!("still here {n}");
        owner.post(1, &text);
        assert_eq!(body(&hearer.event()), text);
    }
    // Who comes now comes in and is heard.
    let mut late = server.join_in("user3");
    late.post(1, "me too");
    assert_eq!(body(&hearer.event()), "me too");
    assert_eq!(server.store.pages(), readers.len(), "all of them hang still");
    server.store.open();
    for (client, id) in &mut readers {
        assert!(matches!(client.answer(*id), Outcome::Page(_)));
    }
}
