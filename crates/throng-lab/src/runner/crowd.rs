//! All virtual users of a generator: what they are told goes to the ledger, what they do goes to
//! their sockets.
//!
//! Neighbours: the runner decides when; drivers speak; the ledger judges. Nothing here decides what
//! is planned or when the run is over.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use super::reply::{NOT_MEMBER, Place, Reply, TOO_OLD, judge};
use super::user::{self, Asked, Link, Todo, User};
use crate::clock::Nanos;
use crate::drivers::{
    Action, Broken, Dress, Driver, Memory, Native, Observation, Outcome, Position,
};
use crate::engine::{ConnId, Sockets};
use crate::ledger::{Ledger, RoomIx, UserIx};
use crate::plan::{PlannedRoom, Words};
use crate::recorder::Recorder;

/// Reasons and refusals kept by name.
const NAMES_MAX: usize = 100;

/// An account that a user is.
#[derive(Clone, Debug)]
pub struct Account {
    /// As the server numbers it.
    pub id: u64,
    /// What it authenticates by.
    pub token: String,
}

/// Where the server is.
#[derive(Clone, Debug)]
pub struct Door {
    /// WebSocket.
    pub address: SocketAddr,
    /// The raw port, where it is open.
    pub raw: Option<SocketAddr>,
}

/// Something that was refused for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Later {
    pub ms: u32,
    pub user: u32,
    pub asked: Asked,
    /// When that user last lost its connection: the one after it asks for itself.
    since: Nanos,
}

/// What follows from an observation, once the driver is put back.
#[derive(Debug)]
enum Follow {
    Ready { epoch: u32 },
    Reply { asked: Asked, what: Reply },
    Goodbye { code: u32 },
    Unasked { tag: u32 },
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
    epoch: Option<u32>,
    accounts: Vec<Account>,
    door: Door,
    host: Rc<str>,
    memories: [Rc<RefCell<Memory>>; 2],
    by_conn: Vec<Option<u32>>,
    follows: Vec<Follow>,
    out: Vec<u8>,
    body: String,
    seed: u64,
    driver_count: u64,
}

impl Crowd {
    pub fn new(
        accounts: Vec<Account>,
        dresses: &[Dress],
        rooms: Vec<PlannedRoom>,
        door: Door,
        seed: u64,
        run: u32,
    ) -> Self {
        let mut ledger = Ledger::new(run);
        let host: Rc<str> = door.address.to_string().into();
        let kinds = rooms.iter().map(|room| room.kind + 1).max().unwrap_or_default();
        let places: Vec<Place> = rooms
            .into_iter()
            .map(|room| Place {
                kind: room.kind,
                name: format!("{}-{run:08x}", room.name),
                maker: room.members[0],
                members: room.members,
                made: None,
            })
            .collect();
        let memories: [Rc<RefCell<Memory>>; 2] = [Rc::default(), Rc::default()];
        let users = accounts.iter().enumerate().map(|(ix, account)| {
            ledger.add_user(account.id);
            let dress = dresses[ix % dresses.len()];
            let memory = Rc::clone(&memories[usize::from(dress == Dress::WsJson)]);
            User {
                token: account.token.clone(),
                dress,
                conn: None,
                driver: Native::new(dress, Rc::clone(&host), memory, seed),
                link: Link::Down,
                asked: VecDeque::new(),
                backlog: VecDeque::new(),
                live_since: Nanos(0),
                lost_at: Nanos(0),
                failures: 0,
                asleep: false,
                rooms: Vec::new(),
            }
        });
        Self {
            users: users.collect(),
            places,
            ledger,
            recorder: Recorder::new(kinds),
            words: Words::new(seed),
            kinds: Vec::new(),
            farewells: BTreeMap::new(),
            refusals: BTreeMap::new(),
            lost: VecDeque::new(),
            later: Vec::new(),
            trouble: None,
            server: String::new(),
            epoch: None,
            accounts,
            door,
            host,
            memories,
            by_conn: Vec::new(),
            follows: Vec::new(),
            out: Vec::new(),
            body: String::new(),
            seed,
            driver_count: 0,
        }
    }

    /// Begins a connection for a user.
    pub fn connect(&mut self, user: u32, sockets: &mut Sockets) {
        let it = &mut self.users[user as usize];
        let to = match it.dress {
            Dress::Raw => self.door.raw.unwrap_or(self.door.address),
            Dress::WsJson | Dress::WsProtobuf => self.door.address,
        };
        self.driver_count += 1;
        let memory = Rc::clone(&self.memories[usize::from(it.dress == Dress::WsJson)]);
        let seed = self.seed.wrapping_mul(0x9e37_79b9).wrapping_add(self.driver_count);
        it.driver = Native::new(it.dress, Rc::clone(&self.host), memory, seed);
        match sockets.connect(to) {
            Ok(conn) => {
                it.link = Link::Opening;
                it.conn = Some(conn);
                if conn.index() >= self.by_conn.len() {
                    self.by_conn.resize(conn.index() + 1, None);
                }
                self.by_conn[conn.index()] = Some(user);
            }
            Err(error) => self.trouble = Some(format!("no further socket: {error}")),
        }
    }

    pub fn connected(&mut self, sockets: &mut Sockets, conn: ConnId) {
        if let Some(user) = self.user_of(conn) {
            self.users[user as usize].driver.open(sockets.out(conn));
        }
    }

    /// The user drops its connection, as a phone in a tunnel does.
    pub fn drop_connection(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        if let Some(conn) = self.users[user as usize].conn {
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
        self.ledger.disconnected(UserIx(user));
        self.lost.push_back(user);
        Some(user)
    }

    /// Counts why a connection ended that we did not end.
    pub fn farewell(&mut self, why: String) {
        count(&mut self.farewells, why);
    }

    pub fn received(&mut self, sockets: &mut Sockets, conn: ConnId, bytes: &mut [u8], now: Nanos) {
        let Some(user) = self.user_of(conn) else { return };
        let outcome = self.observe(user, bytes, now);
        if !self.out.is_empty() {
            sockets.out(conn).append(&mut self.out);
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
        let Self { users, places, ledger, recorder, follows, out, kinds, server: name, .. } = self;
        let User { driver, asked, live_since, .. } = &mut users[user as usize];
        let live_since = *live_since;
        let me = UserIx(user);
        driver.receive(bytes, out, &mut |seen| match seen {
            Observation::Event(event) => {
                if let Some(receipt) = ledger.delivered(me, &event, now, live_since) {
                    recorder.delivered(kinds[receipt.room.0 as usize], &receipt, now);
                }
            }
            Observation::Ready { epoch, server } => {
                if name.is_empty() {
                    name.push_str(server);
                }
                follows.push(Follow::Ready { epoch });
            }
            Observation::Left { room, seq } => ledger.told_left(me, room, seq),
            Observation::Goodbye { code, .. } => follows.push(Follow::Goodbye { code }),
            Observation::Reply { tag, outcome } => match (user::answered(asked, tag), outcome) {
                (None, _) => follows.push(Follow::Unasked { tag }),
                (Some(Asked::Post { send, .. }), Outcome::Posted(posted)) => {
                    if let Some(intended) = ledger.acked(send, &posted) {
                        let kind = kinds[ledger.room_of(send).0 as usize];
                        recorder.acked(kind, intended, now, intended >= live_since);
                    }
                }
                (Some(asked), outcome) => {
                    let what = judge(ledger, places, me, asked, outcome);
                    follows.push(Follow::Reply { asked, what });
                }
            },
        })
    }

    fn follow(&mut self, user: u32, follow: Follow, sockets: &mut Sockets, now: Nanos) {
        match follow {
            Follow::Ready { epoch } => {
                if self.epoch.is_some_and(|known| known != epoch) {
                    self.trouble =
                        Some("the server's epoch changed: it is not the same any more".into());
                }
                self.epoch = Some(epoch);
                let token = std::mem::take(&mut self.users[user as usize].token);
                self.ask(
                    user,
                    Asked::Authenticate,
                    &Action::Authenticate { token: &token },
                    sockets,
                );
                self.users[user as usize].token = token;
            }
            Follow::Goodbye { code } => self.farewell(format!("goodbye {code}")),
            Follow::Unasked { tag } => {
                self.trouble = Some(format!("user {user}: a reply to {tag}, which was not asked"));
            }
            Follow::Reply { asked, what } => self.reply(user, asked, what, sockets, now),
        }
    }

    fn reply(&mut self, user: u32, asked: Asked, what: Reply, sockets: &mut Sockets, now: Nanos) {
        match (asked, what) {
            (Asked::Authenticate, Reply::Session(account)) => {
                let expected = self.accounts[user as usize].id;
                if account != expected {
                    let text = format!("the token of account {expected} is that of {account}");
                    self.trouble = Some(text);
                }
                self.come_back(user, sockets, now);
            }
            (Asked::Create(room), Reply::Made { number, seq, from }) => {
                let ix = self.ledger.add_room(number, 0);
                self.kinds.push(self.places[room as usize].kind);
                self.ledger.asked_membership(ix);
                self.places[room as usize].made = Some((number, ix));
                self.users[user as usize].rooms.push(room);
                self.ledger.joined(UserIx(user), ix, seq, from);
            }
            (Asked::Resume(room), Reply::Rejected { code: NOT_MEMBER, .. }) => {
                let ix = self.ix(room);
                if !self.users[user as usize].forget_leave(room) {
                    self.ledger.expelled(UserIx(user), ix);
                }
                self.ledger.not_member(UserIx(user), ix);
                self.resumed_one(user, sockets, now);
            }
            (Asked::Resume(room), Reply::Rejected { code: TOO_OLD, .. })
            | (Asked::CatchUp(room), Reply::Page { more: true }) => {
                self.catch_up(user, room, sockets);
            }
            (Asked::CatchUp(room), Reply::Page { more: false }) => {
                self.resume(user, room, sockets);
            }
            (Asked::Resume(_), Reply::Done) => self.resumed_one(user, sockets, now),
            (Asked::Page(room), Reply::Page { more: true }) => self.read_page(room, sockets),
            (Asked::Post { .. }, Reply::Rejected { name, .. }) => count(&mut self.refusals, name),
            (asked, Reply::Rejected { name, retry_after_ms: Some(ms), .. }) => {
                count(&mut self.refusals, name);
                let since = self.users[user as usize].lost_at;
                self.later.push(Later { ms: ms.max(1), user, asked, since });
            }
            (asked, Reply::Rejected { code, name, .. }) => {
                self.trouble = Some(format!("user {user}: {asked:?} was refused: {code} {name}"));
            }
            _ => {}
        }
    }

    /// Authenticated: hears its rooms again, then does what had to wait.
    fn come_back(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        self.users[user as usize].failures = 0;
        let rooms = self.users[user as usize].rooms.clone();
        let mut asked = 0;
        for room in rooms {
            asked += u32::from(self.resume(user, room, sockets));
        }
        self.users[user as usize].link = Link::Resuming(asked);
        if asked == 0 {
            self.up(user, sockets, now);
        }
    }

    fn resume(&mut self, user: u32, room: u32, sockets: &mut Sockets) -> bool {
        let Some((number, ix)) = self.places[room as usize].made else { return false };
        let doubt = self.users[user as usize].leave_is_unanswered(room);
        let Some(seq) = self.ledger.resume_from(UserIx(user), ix, doubt) else { return false };
        let from = Some(Position { epoch: self.epoch.unwrap_or_default(), seq });
        let action = Action::Subscribe { room: number, from };
        self.ask(user, Asked::Resume(room), &action, sockets);
        true
    }

    fn catch_up(&mut self, user: u32, room: u32, sockets: &mut Sockets) {
        let Some((number, ix)) = self.places[room as usize].made else { return };
        let doubt = self.users[user as usize].leave_is_unanswered(room);
        let Some(after) = self.ledger.resume_from(UserIx(user), ix, doubt) else { return };
        let action = Action::History { room: number, after, limit: 0 };
        self.ask(user, Asked::CatchUp(room), &action, sockets);
    }

    fn resumed_one(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        let it = &mut self.users[user as usize];
        if let Link::Resuming(left) = it.link {
            it.link = Link::Resuming(left.saturating_sub(1));
            if left <= 1 {
                self.up(user, sockets, now);
            }
        }
    }

    fn up(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        let it = &mut self.users[user as usize];
        it.link = Link::Up;
        if it.lost_at != Nanos(0) {
            self.recorder.resume.record(now.since(it.lost_at));
            it.live_since = now;
        }
        while self.users[user as usize].link == Link::Up
            && let Some(todo) = self.users[user as usize].backlog.pop_front()
        {
            self.do_now(user, todo, sockets);
        }
    }

    /// Does it if the user is up, else as soon as it is.
    pub fn doing(&mut self, user: u32, todo: Todo, sockets: &mut Sockets) {
        let it = &mut self.users[user as usize];
        if it.link == Link::Up && it.backlog.is_empty() {
            self.do_now(user, todo, sockets);
        } else {
            it.backlog.push_back(todo);
        }
    }

    fn do_now(&mut self, user: u32, todo: Todo, sockets: &mut Sockets) {
        match todo {
            Todo::Join { room } => {
                let (number, ix) = self.made(room);
                self.ledger.asked_membership(ix);
                let rooms = &mut self.users[user as usize].rooms;
                if !rooms.contains(&room) {
                    rooms.push(room);
                }
                self.ask(user, Asked::Join(room), &Action::Join { room: number }, sockets);
            }
            Todo::Leave { room, .. } => {
                let (number, ix) = self.made(room);
                self.ledger.asked_membership(ix);
                self.ask(user, Asked::Leave(room), &Action::Leave { room: number }, sockets);
            }
            Todo::Post { send, bytes, again } => {
                if again {
                    self.ledger.sent_again(send);
                }
                let number = self.ledger.number(self.ledger.room_of(send));
                let mut body = std::mem::take(&mut self.body);
                self.words.body(send.0, bytes, &mut body);
                let origin_id = self.ledger.origin_id(send);
                let action = Action::Post { room: number, origin_id: &origin_id, body: &body };
                self.ask(user, Asked::Post { send, bytes }, &action, sockets);
                self.body = body;
            }
        }
    }

    /// Enters a send into the books; `doing` makes it leave.
    pub fn new_send(&mut self, user: u32, room: u32, bytes: u32, intended: Nanos) -> Todo {
        let (_, ix) = self.made(room);
        let number = self.ledger.sends() as u32;
        let mut body = std::mem::take(&mut self.body);
        self.words.body(number, bytes, &mut body);
        let send = self.ledger.sent(UserIx(user), ix, intended, crate::drivers::digest(&body));
        self.body = body;
        Todo::Post { send, bytes, again: false }
    }

    /// Asks for the next page of a room's history, by any of its members that can.
    pub fn read_page(&mut self, room: u32, sockets: &mut Sockets) {
        let Some((number, ix)) = self.places[room as usize].made else { return };
        let Some(after) = self.ledger.page_wanted(ix) else { return };
        let up = |user: &&u32| {
            self.users[**user as usize].link == Link::Up
                && self.ledger.is_member(UserIx(**user), ix)
        };
        let Some(user) = self.places[room as usize].members.iter().find(up).copied() else {
            return;
        };
        let action = Action::History { room: number, after, limit: 0 };
        self.ask(user, Asked::Page(room), &action, sockets);
    }

    /// Asks again for what was refused for a while.
    pub fn ask_again(&mut self, it: Later, sockets: &mut Sockets) {
        let Later { user, asked, since, .. } = it;
        if self.users[user as usize].lost_at != since && !matches!(asked, Asked::Page(_)) {
            return;
        }
        match asked {
            Asked::Page(room) => self.read_page(room, sockets),
            Asked::CatchUp(room) => self.catch_up(user, room, sockets),
            Asked::Resume(room) => {
                self.resume(user, room, sockets);
            }
            Asked::Join(room) => self.doing(user, Todo::Join { room }, sockets),
            Asked::Leave(room) => self.doing(user, Todo::Leave { room, again: true }, sockets),
            Asked::Create(room) => self.make(room, sockets),
            Asked::Authenticate | Asked::Post { .. } => {
                self.trouble = Some(format!("user {user}: {asked:?} was refused for a while"));
            }
        }
    }

    /// Makes a room, by its first member.
    pub fn make(&mut self, room: u32, sockets: &mut Sockets) {
        let place = &self.places[room as usize];
        let (maker, name) = (place.maker, place.name.clone());
        self.ask(maker, Asked::Create(room), &Action::CreateRoom { name: &name }, sockets);
    }

    fn ask(&mut self, user: u32, asked: Asked, action: &Action<'_>, sockets: &mut Sockets) {
        let it = &mut self.users[user as usize];
        if let Some(conn) = it.conn {
            let tag = it.driver.act(action, sockets.out(conn));
            it.asked.push_back((tag, asked));
        }
    }

    /// Frames that were recognised, and frames that were decoded.
    pub fn frames(&self) -> (u64, u64) {
        self.memories.iter().fold((0, 0), |sum, memory| {
            let (hits, misses) = memory.borrow().counts();
            (sum.0 + hits, sum.1 + misses)
        })
    }

    fn user_of(&self, conn: ConnId) -> Option<u32> {
        let user = self.by_conn.get(conn.index()).copied().flatten()?;
        (self.users[user as usize].conn == Some(conn)).then_some(user)
    }

    fn made(&self, room: u32) -> (u32, RoomIx) {
        self.places[room as usize].made.expect("deeds begin when all rooms are made")
    }

    fn ix(&self, room: u32) -> RoomIx {
        self.made(room).1
    }
}

/// A map that stays small, whatever a server says.
fn count(counts: &mut BTreeMap<String, u64>, name: String) {
    if counts.len() < NAMES_MAX || counts.contains_key(&name) {
        *counts.entry(name).or_default() += 1;
    }
}
