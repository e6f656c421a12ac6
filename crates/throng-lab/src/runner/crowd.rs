//! All virtual users of a generator: what they are told goes to the ledger, what they do goes to
//! their sockets.
//!
//! Neighbours: the runner decides when; drivers speak; the ledger judges. Nothing here decides what
//! is planned or when the run is over.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use super::account::{Account, Credentials, Door};
use super::files::Files;
use super::gallery::{Gallery, Way};
use super::recent::{Meant, Recent};
use super::reply::{BANNED, NOT_MEMBER, Place, Reply, TOO_OLD, judge};
use super::trouble;
use super::user::{self, AWAY, Asked, Link, User};
use crate::clock::{self, Nanos};
use crate::drivers::{self, Action, Broken, Change, Dress, Memory, Observation, Outcome, What};
use crate::engine::{ConnId, Sockets};
use crate::ledger::{Ledger, RoomIx, SendIx, UserIx};
use crate::plan::{PlannedRoom, Words};
use crate::recorder::Recorder;
use crate::scenario::{Ack, Login, Scenario};

/// Who is banned and wants to come in asks again after so long.
const JOINS_AGAIN_MS: u32 = 300;
/// Reasons and refusals kept by name.
const NAMES_MAX: usize = 100;

/// Something that was refused for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Later {
    pub ms: u32,
    pub user: u32,
    pub asked: Asked,
    /// When that user last lost its connection: the one after it asks for itself.
    pub(super) since: Nanos,
}

/// What follows from an observation, once the driver is put back.
#[derive(Debug)]
enum Follow {
    Ready {
        epoch: u32,
    },
    Reply {
        asked: Asked,
        what: Reply,
    },
    Goodbye {
        code: u32,
    },
    Unasked {
        tag: u32,
    },
    /// The send of a row was acked.
    Row,
    /// A send was that changes wait for.
    Changes(Meant, SendIx),
    /// A send that carries a file was.
    Carries(SendIx),
    /// Somebody came into the room of this number, whose picture is wanted.
    Newcomer {
        number: u32,
        seq: u64,
    },
}

/// The users.
#[derive(Debug)]
pub struct Crowd {
    pub users: Vec<User>,
    pub places: Vec<Place>,
    pub ledger: Ledger,
    pub recorder: Recorder,
    pub words: Words,
    /// The kind of each room of the ledger.
    pub kinds: Vec<usize>,
    /// Why connections ended that we did not end, with how often.
    pub farewells: BTreeMap<String, u64>,
    /// What was refused, with how often.
    pub refusals: BTreeMap<String, u64>,
    /// Users to be connected again.
    pub lost: VecDeque<u32>,
    /// What was refused for now, to be asked again.
    pub later: Vec<Later>,
    /// What makes the run impossible.
    pub trouble: Option<String>,
    /// What answers, as it names itself.
    pub server: String,
    /// The limits that it tells its users, where it does.
    pub server_limits: Option<serde_json::Value>,
    /// Who comes from now on comes to read history.
    pub load_over: bool,
    /// How long what is sent in rows is.
    pub row_bytes: u32,
    /// Users whose row of sends is over.
    pub rows_done: VecDeque<u32>,
    pub(super) gallery: Gallery,
    /// What may be changed.
    pub(super) recent: Recent,
    pub(super) files: Files,
    /// Connections ask to be told compressed.
    compressed: bool,
    /// Sends ask for a durable ack.
    pub(super) durable: bool,
    pub(super) epoch: Option<u32>,
    pub(super) body: String,
    /// For each user, its further connections, which only post.
    pub(super) lanes: Vec<Vec<u32>>,
    pub(super) accounts: Vec<Account>,
    pub(super) door: Door,
    pub(super) host: Rc<str>,
    memories: [Rc<RefCell<Memory>>; 2],
    by_conn: Vec<Option<u32>>,
    follows: Vec<Follow>,
    pub(super) out: Vec<u8>,
    pub(super) seed: u64,
    driver_count: u64,
}

impl Crowd {
    pub fn new(
        accounts: Vec<Account>,
        scenario: &Scenario,
        rooms: Vec<PlannedRoom>,
        door: Door,
        run: u32,
    ) -> Self {
        let mut ledger = Ledger::new(run);
        let durable = scenario.users.ack == Ack::Durable;
        if !durable {
            ledger.asks_for_less();
        }
        let kinds: Vec<String> = scenario.rooms.iter().map(|kind| kind.name.clone()).collect();
        let places = rooms.into_iter().map(|room| Place {
            kind: room.kind,
            name: format!("{}-{run:08x}", room.name),
            maker: room.members[0],
            direct: room.direct,
            members: room.members,
            made: None,
        });
        let dresses = &scenario.users.dresses;
        let host: Rc<str> = door.address.to_string().into();
        let memories: [Rc<RefCell<Memory>>; 2] = Default::default();
        let mut crowd = Self {
            users: Vec::new(),
            places: places.collect(),
            recorder: Recorder::new(&kinds),
            words: Words::new(scenario.seed),
            kinds: Vec::new(),
            farewells: BTreeMap::new(),
            refusals: BTreeMap::new(),
            lost: VecDeque::new(),
            later: Vec::new(),
            trouble: None,
            server: String::new(),
            server_limits: None,
            load_over: false,
            row_bytes: scenario.bodies.bytes_median,
            rows_done: VecDeque::new(),
            gallery: Gallery::new(scenario, Way::new(door.address, &host, &memories[0])),
            recent: Recent::new(scenario.changes.of_messages()),
            files: Files::new(&scenario.changes),
            compressed: scenario.users.compressed,
            durable,
            epoch: None,
            body: String::new(),
            lanes: Vec::new(),
            host,
            door,
            memories,
            by_conn: Vec::new(),
            follows: Vec::new(),
            out: Vec::new(),
            seed: scenario.seed,
            driver_count: 0,
            ledger: {
                for account in &accounts {
                    ledger.add_user(account.id);
                }
                ledger
            },
            accounts,
        };
        for ix in 0..crowd.accounts.len() {
            crowd.add_user(ix as u32, dresses[ix % dresses.len()]);
        }
        crowd.add_lanes(scenario.users.rest_connections);
        crowd
    }

    fn add_user(&mut self, account: u32, dress: Dress) -> u32 {
        let memory = &self.memories[usize::from(dress == Dress::WsJson)];
        self.users.push(User {
            me: UserIx(account),
            token: self.accounts[account as usize].token.clone(),
            dress,
            conn: None,
            driver: drivers::driver((dress, self.compressed), &self.host, memory, self.seed),
            link: Link::Down,
            asked: VecDeque::new(),
            backlog: VecDeque::new(),
            live_since: Nanos(0),
            lost_at: Nanos(0),
            hung_up: false,
            failures: 0,
            asleep: false,
            rooms: Vec::new(),
            joins: 0,
            coming: None,
            connect_us: 0,
            login_began: Nanos(0),
            login_asked: Nanos(0),
            entering: None,
            next_visits: VecDeque::new(),
            leaves: None,
            row: None,
        });
        self.users.len() as u32 - 1
    }

    fn add_lanes(&mut self, each: u32) {
        for user in 0..self.accounts.len() as u32 {
            let rest = self.users[user as usize].dress == Dress::Rest;
            let further = if rest { each - 1 } else { 0 };
            let lanes = (0..further).map(|_| self.add_user(user, Dress::Rest)).collect();
            self.lanes.push(lanes);
        }
    }

    /// Who a user is in the books.
    pub(super) fn me(&self, user: u32) -> UserIx {
        self.users[user as usize].me
    }

    /// Where a user's connections go.
    pub fn at(&self, user: u32) -> SocketAddr {
        self.door.of(self.users[user as usize].dress)
    }

    /// Begins a connection for a user.
    pub fn connect(&mut self, user: u32, sockets: &mut Sockets) {
        let to = self.at(user);
        let it = &mut self.users[user as usize];
        self.driver_count += 1;
        let memory = &self.memories[usize::from(it.dress == Dress::WsJson)];
        let seed = self.seed.wrapping_mul(0x9e37_79b9).wrapping_add(self.driver_count);
        it.driver = drivers::driver((it.dress, self.compressed), &self.host, memory, seed);
        match sockets.connect_for(user, to) {
            Ok(conn) => {
                it.link = Link::Opening;
                it.conn = Some(conn);
                if conn.index() >= self.by_conn.len() {
                    self.by_conn.resize(conn.index() + 1, None);
                }
                self.by_conn[conn.index()] = Some(user);
            }
            Err(error) => {
                self.trouble = Some(trouble::no_socket(to, &error));
            }
        }
    }

    pub fn connected(&mut self, sockets: &mut Sockets, conn: ConnId, now: Nanos) {
        let Some(user) = self.user_of(conn) else {
            return self.other_connected(conn, sockets, now);
        };
        let took = sockets.connect_took(conn, now);
        let it = &mut self.users[user as usize];
        it.connect_us = took.as_micros().min(u128::from(u32::MAX)) as u32;
        self.recorder.connected(took);
        it.driver.open(sockets.out(conn));
        if !it.driver.is_greeted() {
            self.follow(user, Follow::Ready { epoch: 0 }, sockets, now);
        }
    }

    /// The user drops its connection, as a phone in a tunnel does.
    pub fn drop_connection(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        if let Some(conn) = self.users[user as usize].conn {
            self.users[user as usize].goes_away();
            sockets.close(conn);
            self.gone(conn, now);
        }
    }

    /// The connection is gone; its user is to come back.
    pub fn gone(&mut self, conn: ConnId, now: Nanos) -> Option<u32> {
        let user = self.user_of(conn)?;
        self.by_conn[conn.index()] = None;
        let it = &mut self.users[user as usize];
        it.failures = if it.link == Link::Opening { it.failures + 1 } else { 0 };
        it.lose(now);
        let me = it.me;
        self.ledger.disconnected(me);
        self.lost.push_back(user);
        Some(user)
    }

    /// Counts why a connection ended that we did not end.
    pub fn farewell(&mut self, why: String) {
        count(&mut self.farewells, why);
    }

    pub fn received(&mut self, sockets: &mut Sockets, conn: ConnId, bytes: &mut [u8], now: Nanos) {
        self.recorder.now.counts.bytes_read += bytes.len() as u64;
        self.note_handed(sockets);
        let Some(user) = self.user_of(conn) else {
            return self.other_received(conn, bytes, sockets, now);
        };
        let outcome = self.observe(user, bytes, now);
        if !self.out.is_empty() {
            self.goes_on(user, conn, sockets);
        }
        let mut follows = std::mem::take(&mut self.follows);
        for follow in follows.drain(..) {
            self.follow(user, follow, sockets, now);
        }
        self.follows = follows;
        if let Err(broken) = outcome {
            self.trouble = Some(format!("user {user}: {broken}"));
        }
    }

    /// The hot path: what is told is judged and recorded as it is read.
    fn observe(&mut self, user: u32, bytes: &mut [u8], now: Nanos) -> Result<(), Broken> {
        let Self {
            users,
            places,
            ledger,
            recorder,
            follows,
            out,
            kinds,
            recent,
            files,
            server: name,
            server_limits: told,
            ..
        } = self;
        let (gallery, accounts) = (&self.gallery, &self.accounts);
        let User { me, driver, asked, live_since, row, .. } = &mut users[user as usize];
        let (me, live_since, in_row) = (*me, *live_since, row.is_some());
        let hears = driver.hears();
        let looks = gallery.looks(user).then(|| accounts[me.0 as usize].id);
        driver.receive(bytes, out, &mut |seen| match seen {
            Observation::Event(event) => {
                if let Some(receipt) = ledger.delivered(me, &event, now, live_since) {
                    recorder.delivered(kinds[receipt.room.0 as usize], &receipt, now);
                    recorder.at_agent(user, 1, receipt.intended, now, receipt.live);
                }
                if let (Some(own), What::Joined { user }) = (looks, event.what)
                    && user != own
                {
                    follows.push(Follow::Newcomer { number: event.room, seq: event.seq });
                }
            }
            Observation::Ready { epoch, server, limits } => {
                if name.is_empty() {
                    name.push_str(server);
                    *told = limits.and_then(|limits| serde_json::to_value(limits).ok());
                }
                follows.push(Follow::Ready { epoch });
            }
            Observation::Left { room, seq, removed } => ledger.told_left(me, room, seq, removed),
            Observation::Goodbye { code, .. } => follows.push(Follow::Goodbye { code }),
            Observation::Reply { tag, outcome } => match (user::answered(asked, tag), outcome) {
                (None, _) => follows.push(Follow::Unasked { tag }),
                (Some(Asked::Post { send, .. }), Outcome::Posted(posted)) => {
                    if let Some(intended) = ledger.acked(send, &posted) {
                        follows.extend(recent.acked(send).map(|it| Follow::Changes(it, send)));
                        let kind = kinds[ledger.room_of(send).0 as usize];
                        let live = intended >= live_since;
                        recorder.acked((send, kind), intended, now, live);
                        if let Some(trace) = posted.trace.filter(|_| live && !posted.repeat) {
                            recorder.traced(send, intended, now, trace);
                        }
                        recorder.at_agent(user, 0, intended, now, live);
                        if files.carries(send) {
                            follows.push(Follow::Carries(send));
                        }
                    }
                    if in_row {
                        follows.push(Follow::Row);
                    }
                }
                (Some(asked), outcome) => {
                    let what = judge(ledger, places, (me, hears), asked, outcome);
                    follows.push(Follow::Reply { asked, what });
                }
            },
        })
    }

    fn follow(&mut self, user: u32, follow: Follow, sockets: &mut Sockets, now: Nanos) {
        match follow {
            Follow::Ready { epoch } => {
                if self.epoch.is_some_and(|known| known != epoch && epoch != 0) {
                    self.trouble =
                        Some("the server's epoch changed: it is not the same any more".into());
                }
                self.epoch = self.epoch.or((epoch != 0).then_some(epoch));
                self.users[user as usize].login_began = now;
                self.log_in(user, sockets);
            }
            Follow::Changes(meant, send) => self.change_now(meant, send, sockets),
            Follow::Row => self.row_acked(user, sockets, now),
            Follow::Carries(send) => self.send_readers(send, sockets, now),
            Follow::Goodbye { code } => self.farewell(format!("goodbye {code}")),
            Follow::Unasked { tag } => {
                self.trouble = Some(format!("user {user}: a reply to {tag}, which was not asked"));
            }
            Follow::Newcomer { number, seq } => self.heard_somebody_come(user, number, seq),
            Follow::Reply { asked: Asked::Members { room, .. }, what } => {
                self.members_told(user, room, what, sockets, now);
            }
            Follow::Reply { asked, what } => self.reply(user, asked, what, sockets, now),
        }
    }

    /// By what the plan says for this arrival, else by the token.
    pub(super) fn log_in(&mut self, user: u32, sockets: &mut Sockets) {
        let it = &mut self.users[user as usize];
        it.login_asked = clock::now();
        let account = &self.accounts[it.me.0 as usize];
        let by_password = matches!(it.coming, Some((_, Login::Password)));
        if by_password && let Some(Credentials { name, password }) = account.password.clone() {
            let action = Action::Login { name: &name, password: &password };
            return self.ask(user, Asked::Authenticate, &action, sockets);
        }
        let token = std::mem::take(&mut it.token);
        self.ask(user, Asked::Authenticate, &Action::Authenticate { token: &token }, sockets);
        self.users[user as usize].token = token;
    }

    fn reply(&mut self, user: u32, asked: Asked, what: Reply, sockets: &mut Sockets, now: Nanos) {
        match (asked, what) {
            (Asked::Authenticate, Reply::Session(account)) => {
                let it = &self.users[user as usize];
                self.recorder.logged_in(now.since(it.login_began));
                let expected = self.accounts[it.me.0 as usize].id;
                if account != expected && account != 0 {
                    let text = format!("the token of account {expected} is that of {account}");
                    self.trouble = Some(text);
                }
                self.come_back(user, sockets, now);
            }
            (Asked::Create(room), Reply::Made(made)) => self.room_made(user, room, made),
            (Asked::Change { send, change: Change::Delete }, Reply::Done) => {
                self.fetch_deleted(send, sockets, now);
            }
            (Asked::Leave(room), Reply::Done) => self.users[user as usize].forget_room(room),
            (Asked::Join(room), Reply::Done) => self.users[user as usize].keep_room(room),
            (
                Asked::Resume(room) | Asked::CatchUp(room),
                Reply::Rejected { code: NOT_MEMBER | BANNED, .. },
            ) => {
                self.is_out(user, room);
                self.resumed_one(user, sockets, now);
            }
            // Its ban is not lifted yet: it tries again, as people do.
            (Asked::Join(room), Reply::Rejected { code: BANNED, name, .. })
                if self.ledger.may_be_out(self.me(user), self.ix(room)) =>
            {
                count(&mut self.refusals, name);
                self.later(user, asked, JOINS_AGAIN_MS);
            }
            (Asked::Resume(room), Reply::Rejected { code: TOO_OLD, .. })
            | (Asked::CatchUp(room), Reply::Page { more: true }) => {
                let asked = self.catch_up(user, room, sockets);
                self.one_room_less(asked, user, sockets, now);
            }
            (Asked::CatchUp(room), Reply::Page { more: false }) => {
                let asked = self.resume(user, room, sockets);
                self.one_room_less(asked, user, sockets, now);
            }
            (Asked::Resume(_) | Asked::Hear(_), Reply::Done) => {
                self.resumed_one(user, sockets, now);
            }
            (Asked::Page(room), Reply::Page { more: true }) => self.read_page(room, sockets),
            (asked, Reply::Rejected { name, .. }) if asked.is_only_counted() => {
                count(&mut self.refusals, name);
            }
            (Asked::Post { send, .. }, Reply::Rejected { name, .. }) => {
                self.recent.refused(send);
                count(&mut self.refusals, name);
                self.row_acked(user, sockets, now);
            }
            (Asked::Look(_), Reply::Done) => self.looked(user, now),
            (asked, Reply::Rejected { name, retry_after_ms: Some(ms), .. }) => {
                count(&mut self.refusals, name);
                if asked == Asked::Authenticate {
                    let since = self.users[user as usize].login_asked;
                    self.recorder.login_refused.record(now.since(since));
                }
                self.later(user, asked, ms.max(1));
            }
            (asked, Reply::Rejected { code, name, .. }) => {
                self.trouble = Some(format!("user {user}: {asked:?} was refused: {code} {name}"));
            }
            _ => {}
        }
    }

    /// Authenticated: hears its rooms again, then does what had to wait. Who comes from where it
    /// was away by plan hears them from now on; who lost its connection, from where it was.
    fn come_back(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        let it = &mut self.users[user as usize];
        it.failures = 0;
        let rooms = it.rooms.clone();
        let comes = it.coming.is_some();
        let mut asked = 0;
        for room in rooms {
            let resumes = self.resume(user, room, sockets);
            asked += u32::from(resumes || (comes && self.hear(user, room, sockets)));
        }
        self.users[user as usize].link = Link::Resuming(asked);
        if asked == 0 {
            self.up(user, sockets, now);
        }
    }

    pub(super) fn up(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        let it = &mut self.users[user as usize];
        it.link = Link::Up;
        if let Some((intended, _)) = it.coming.take() {
            if !self.load_over {
                self.recorder.arrived(now.since(intended));
                it.entering = Some(intended);
            }
            // It should have been there since then: however long the server let it wait is the server's.
            it.live_since = intended;
        } else if it.lost_at != Nanos(0) && !std::mem::take(&mut it.hung_up) {
            self.recorder.resume.record(now.since(it.lost_at));
            if it.live_since == AWAY {
                it.live_since = now;
            }
        }
        if self.users[user as usize].row.as_ref().is_some_and(|row| row.sent_at == Nanos(0)) {
            self.row_acked(user, sockets, now);
        }
        while self.users[user as usize].link == Link::Up
            && let Some(todo) = self.users[user as usize].backlog.pop_front()
        {
            self.do_now(user, todo, sockets);
        }
    }

    /// Frames that were recognised, and frames that were decoded.
    pub fn frames(&self) -> (u64, u64) {
        self.memories.iter().fold((0, 0), |sum, memory| {
            let (hits, misses) = memory.borrow().counts();
            (sum.0 + hits, sum.1 + misses)
        })
    }

    pub(super) fn user_of(&self, conn: ConnId) -> Option<u32> {
        let user = self.by_conn.get(conn.index()).copied().flatten()?;
        (self.users[user as usize].conn == Some(conn)).then_some(user)
    }

    pub(super) fn made(&self, room: u32) -> (u32, RoomIx) {
        self.places[room as usize].made.expect("deeds begin when all rooms are made")
    }

    pub(super) fn ix(&self, room: u32) -> RoomIx {
        self.made(room).1
    }
}

/// A map that stays small, whatever a server says.
pub fn count(counts: &mut BTreeMap<String, u64>, name: String) {
    if counts.len() < NAMES_MAX || counts.contains_key(&name) {
        *counts.entry(name).or_default() += 1;
    }
}
