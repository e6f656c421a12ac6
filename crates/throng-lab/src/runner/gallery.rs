//! Pictures of people: where the scenario has somebody look at them, everybody sets one before load is
//! offered; who looks asks who is in the room and fetches those that it has not got, as a client with a
//! cache does, over one further connection of its own.
//!
//! Neighbours: `faces` moves it for the crowd; a driver sends, fetches and says whether a picture is what its
//! name says, `plan` paints them. The ledger knows nothing of pictures: they are in no room's order.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::account::Account;
use crate::clock::Nanos;
use crate::drivers::{self, Action, Dress, Driver, Memory, Observation, Outcome};
use crate::engine::{ConnId, Sockets};
use crate::plan;
use crate::recorder::Recorder;
use crate::scenario::{Scenario, USERS_MAX};

/// Users who set their pictures at once.
const SETTING_MAX: usize = 8;
/// Pictures that a run knows: one of each user. What a server names beyond them is not fetched.
const PICTURES_MAX: usize = USERS_MAX as usize;

/// What was done with pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pictures {
    /// Set, before load was offered.
    pub set: u64,
    /// Fetched, each once by each who looks.
    pub fetched: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Of those, not what their name says: a broken promise.
    pub not_as_named: u64,
    /// Wanted by one who went, or lost the connection, before they came.
    pub unanswered: u64,
}

/// Where and how pictures are asked for.
#[derive(Debug)]
pub struct Way {
    address: SocketAddr,
    host: Rc<str>,
    memory: Rc<RefCell<Memory>>,
}

impl Way {
    /// To this server, with what all drivers there share.
    pub fn new(address: SocketAddr, host: &Rc<str>, memory: &Rc<RefCell<Memory>>) -> Self {
        Self { address, host: Rc::clone(host), memory: Rc::clone(memory) }
    }
}

/// Everybody's pictures.
#[derive(Debug)]
pub struct Gallery {
    way: Way,
    seed: u64,
    dresses: Vec<Dress>,
    /// One for each user; none where nobody looks at pictures.
    albums: Vec<Album>,
    by_conn: Vec<Option<u32>>,
    /// Pictures by their names, and the names by their numbers.
    numbers: HashMap<Rc<str>, u32>,
    names: Vec<Rc<str>>,
    /// Who has not begun to set its own.
    unset: VecDeque<u32>,
    setting: usize,
    pub counts: Pictures,
}

/// One user's.
#[derive(Debug, Default)]
struct Album {
    line: Option<Line>,
    /// To be asked for, since when.
    wanted: VecDeque<(u32, Nanos)>,
    /// One bit for each picture that it has or wants.
    known: Vec<u64>,
    /// It sets its own.
    sets: bool,
    /// It looks at those of others.
    looks: bool,
    /// It has not read to its end who was there when it came, ...
    lists: bool,
    /// ... as of this place.
    first: Option<u64>,
    /// It does not have all yet that were there when it came: when it should have come.
    entering: Option<Nanos>,
    /// Rooms in which somebody has come since it looked.
    again: BTreeMap<u32, Again>,
}

/// A room that is to be looked at as it was at a place, or later.
#[derive(Debug, Default)]
struct Again {
    place: u64,
    /// It is about to be.
    soon: bool,
}

/// A connection for pictures.
#[derive(Debug)]
struct Line {
    conn: ConnId,
    driver: Box<dyn Driver>,
    up: bool,
    asked: VecDeque<(u32, Errand, Nanos)>,
}

#[derive(Clone, Copy, Debug)]
enum Errand {
    LogIn,
    Set,
    Fetch(u32),
}

/// What came of an errand.
#[derive(Debug)]
enum Came {
    Somebody,
    Set,
    Picture { bytes: u64, as_named: bool },
    Refused(String),
    Otherwise(String),
}

/// Where it is told what came.
#[derive(Debug)]
pub struct Told<'a> {
    pub recorder: &'a mut Recorder,
    pub refusals: &'a mut BTreeMap<String, u64>,
    pub accounts: &'a [Account],
}

impl Album {
    /// One more picture to have; false where it has or wants it already.
    fn learn(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if word >= self.known.len() {
            self.known.resize(word + 1, 0);
        }
        let new = self.known[word] & bit == 0;
        self.known[word] |= bit;
        new
    }

    /// One that did not come is one it does not know.
    fn forget(&mut self, number: u32) {
        self.known[number as usize / 64] &= !(1 << (number % 64));
    }

    /// Nothing is on its way to it.
    fn has_all(&self) -> bool {
        self.wanted.is_empty() && self.line.as_ref().is_none_or(|line| line.asked.is_empty())
    }

    /// Forgets what has not come; how many that were.
    fn give_up(&mut self) -> u64 {
        let asked = self.line.take().map(|line| line.asked).unwrap_or_default();
        let fetched = asked.into_iter().filter_map(|(_, errand, _)| match errand {
            Errand::Fetch(number) => Some(number),
            Errand::LogIn | Errand::Set => None,
        });
        let wanted = std::mem::take(&mut self.wanted).into_iter().map(|(number, _)| number);
        let lost: Vec<u32> = fetched.chain(wanted).collect();
        for number in &lost {
            self.forget(*number);
        }
        lost.len() as u64
    }
}

impl Gallery {
    /// Of all users, if any of them looks at pictures.
    pub fn new(scenario: &Scenario, way: Way) -> Self {
        let users = if scenario.looks_at_pictures() { scenario.users.count } else { 0 };
        Self {
            way,
            seed: scenario.seed,
            dresses: scenario.users.dresses.clone(),
            albums: (0..users).map(|_| Album::default()).collect(),
            by_conn: Vec::new(),
            numbers: HashMap::new(),
            names: Vec::new(),
            unset: (0..users).collect(),
            setting: 0,
            counts: Pictures::default(),
        }
    }

    /// What was done, where pictures were looked at.
    pub fn counted(&self) -> Option<Pictures> {
        (!self.albums.is_empty()).then_some(self.counts)
    }

    /// Everybody has set a picture; as long as somebody has not, the next few do.
    pub fn is_set(&mut self, sockets: &mut Sockets) -> Result<bool, String> {
        while self.setting < SETTING_MAX
            && let Some(user) = self.unset.pop_front()
        {
            self.albums[user as usize].sets = true;
            self.setting += 1;
            self.open(user, sockets)?;
        }
        Ok(self.setting == 0)
    }

    /// A user begins to look: it should have come then.
    pub fn look(&mut self, user: u32, since: Nanos) {
        let album = &mut self.albums[user as usize];
        (album.looks, album.lists, album.entering) = (true, true, Some(since));
        album.first = None;
    }

    /// Whether a user looks at pictures now.
    pub fn looks(&self, user: u32) -> bool {
        self.albums.get(user as usize).is_some_and(|album| album.looks)
    }

    /// Somebody came into a room, at this place: it is to be looked at soon. False where it is about to be.
    pub fn came(&mut self, user: u32, room: u32, place: u64) -> bool {
        let again = self.albums[user as usize].again.entry(room).or_default();
        again.place = again.place.max(place);
        !std::mem::replace(&mut again.soon, true)
    }

    /// The room is looked at again now, or will not be.
    pub fn looks_again(&mut self, user: u32, room: u32) {
        let album = self.albums.get_mut(user as usize);
        if let Some(again) = album.and_then(|album| album.again.get_mut(&room)) {
            again.soon = false;
        }
    }

    /// Who is there was read to its end, as of a place: whether that is before what the user knows of; who
    /// looks for the first time has heard the room up to `heard`.
    pub fn is_behind(&mut self, user: u32, room: u32, as_of: u64, heard: u64) -> bool {
        let Album { again, lists, first, .. } = &mut self.albums[user as usize];
        let first = *first.get_or_insert(heard);
        let place = if *lists { first } else { 0 };
        *lists &= as_of < first;
        let it = again.entry(room).or_insert(Again { place, soon: false });
        let behind = as_of < it.place;
        if !behind && !it.soon {
            again.remove(&room);
        }
        behind
    }

    /// A page of who is there was read: what is new is wanted.
    pub fn shown(&mut self, user: u32, names: &[String], now: Nanos) {
        for name in names {
            let known = self.numbers.get(name.as_str()).copied();
            let Some(number) = known.or_else(|| self.number(name)) else { continue };
            let album = &mut self.albums[user as usize];
            if album.learn(number) {
                album.wanted.push_back((number, now));
            }
        }
    }

    fn number(&mut self, name: &str) -> Option<u32> {
        if self.names.len() == PICTURES_MAX {
            return None;
        }
        let (name, number): (Rc<str>, u32) = (name.into(), self.names.len() as u32);
        self.names.push(Rc::clone(&name));
        self.numbers.insert(name, number);
        Some(number)
    }

    /// Asks for what is wanted, over a connection that is made if there is none.
    pub fn fetch(&mut self, user: u32, sockets: &mut Sockets) -> Result<(), String> {
        let album = &mut self.albums[user as usize];
        match &mut album.line {
            None if album.wanted.is_empty() => Ok(()),
            None => self.open(user, sockets),
            Some(line) => {
                while line.up
                    && let Some((number, since)) = album.wanted.pop_front()
                {
                    let action = Action::Picture { name: &self.names[number as usize] };
                    line.ask(Errand::Fetch(number), since, &action, sockets);
                }
                Ok(())
            }
        }
    }

    /// Who knows who was there when it came, and wants nothing, has entered.
    pub fn entered(&mut self, user: u32, recorder: &mut Recorder, now: Nanos) {
        let album = &mut self.albums[user as usize];
        if album.has_all()
            && !album.lists
            && let Some(since) = album.entering.take()
        {
            recorder.faces.record(now.since(since));
        }
    }

    /// The user goes, with what it has.
    pub fn leave(&mut self, user: u32, sockets: &mut Sockets) {
        let Some(album) = self.albums.get_mut(user as usize) else { return };
        if let Some(line) = &album.line {
            sockets.close(line.conn);
        }
        self.counts.unanswered += album.give_up();
        (album.looks, album.entering) = (false, None);
        album.again.clear();
    }

    /// Whether it is one of these connections, and its user waits for nothing.
    pub fn has_idle(&self, conn: ConnId) -> bool {
        self.user_of(conn).is_some_and(|user| {
            let album = &self.albums[user as usize];
            !album.sets && album.has_all()
        })
    }

    /// Nobody waits for a picture.
    pub fn is_idle(&self) -> bool {
        self.albums.iter().all(Album::has_all)
    }

    fn open(&mut self, user: u32, sockets: &mut Sockets) -> Result<(), String> {
        let Way { address, host, memory } = &self.way;
        let dress = self.dresses[user as usize % self.dresses.len()].of_pictures();
        let driver = drivers::driver((dress, false), host, memory, self.seed ^ u64::from(user));
        let conn = sockets
            .connect_for(user, *address)
            .map_err(|error| format!("no further socket for a picture: {error}"))?;
        if conn.index() >= self.by_conn.len() {
            self.by_conn.resize(conn.index() + 1, None);
        }
        self.by_conn[conn.index()] = Some(user);
        let line = Line { conn, driver, up: false, asked: VecDeque::new() };
        self.albums[user as usize].line = Some(line);
        Ok(())
    }

    fn user_of(&self, conn: ConnId) -> Option<u32> {
        let user = self.by_conn.get(conn.index()).copied().flatten()?;
        let line = self.albums[user as usize].line.as_ref()?;
        (line.conn == conn).then_some(user)
    }

    /// The connection stands.
    pub fn connected(
        &mut self,
        sockets: &mut Sockets,
        conn: ConnId,
        now: Nanos,
        accounts: &[Account],
    ) -> Result<(), String> {
        let Some(user) = self.user_of(conn) else { return Ok(()) };
        let Some(line) = &mut self.albums[user as usize].line else { return Ok(()) };
        line.driver.open(sockets.out(conn));
        if line.driver.is_greeted() {
            return Ok(());
        }
        self.up(user, sockets, now, accounts)
    }

    fn up(
        &mut self,
        user: u32,
        sockets: &mut Sockets,
        now: Nanos,
        accounts: &[Account],
    ) -> Result<(), String> {
        let album = &mut self.albums[user as usize];
        let Some(line) = &mut album.line else { return Ok(()) };
        line.up = true;
        if !album.sets {
            return self.fetch(user, sockets);
        }
        let action = Action::Authenticate { token: &accounts[user as usize].token };
        line.ask(Errand::LogIn, now, &action, sockets);
        Ok(())
    }

    /// Bytes for one of its connections.
    pub fn received(
        &mut self,
        sockets: &mut Sockets,
        conn: ConnId,
        bytes: &mut [u8],
        now: Nanos,
        told: &mut Told<'_>,
    ) -> Result<(), String> {
        let Some(user) = self.user_of(conn) else { return Ok(()) };
        let Some(line) = &mut self.albums[user as usize].line else { return Ok(()) };
        let Line { driver, asked, .. } = line;
        let (mut ready, mut done) = (false, Vec::new());
        let read = driver.receive(bytes, sockets.out(conn), &mut |seen| match seen {
            Observation::Ready { .. } => ready = true,
            Observation::Reply { tag, outcome } => {
                if let Some(at) = asked.iter().position(|(asked, ..)| *asked == tag)
                    && let Some((_, errand, since)) = asked.remove(at)
                {
                    done.push((errand, since, came(errand, &outcome)));
                }
            }
            _ => {}
        });
        read.map_err(|broken| format!("user {user}, for pictures: {broken}"))?;
        if ready {
            self.up(user, sockets, now, told.accounts)?;
        }
        for (errand, since, came) in done {
            self.came_of(user, (errand, came), now.since(since), sockets, told)?;
        }
        if self.looks(user) {
            self.entered(user, told.recorder, now);
        }
        Ok(())
    }

    fn came_of(
        &mut self,
        user: u32,
        (errand, came): (Errand, Came),
        took: Duration,
        sockets: &mut Sockets,
        told: &mut Told<'_>,
    ) -> Result<(), String> {
        let album = &mut self.albums[user as usize];
        match (errand, came) {
            (Errand::LogIn, Came::Somebody) => {
                let picture = plan::portrait(self.seed, user);
                let action = Action::SetPicture { picture: &picture };
                if let Some(line) = &mut album.line {
                    line.ask(Errand::Set, Nanos(0), &action, sockets);
                }
            }
            (Errand::Set, Came::Set) => {
                self.counts.set += 1;
                self.setting -= 1;
                album.sets = false;
                if let Some(line) = album.line.take() {
                    sockets.close(line.conn);
                }
            }
            (Errand::Fetch(_), Came::Picture { bytes, as_named }) => {
                self.counts.fetched += 1;
                self.counts.bytes += bytes;
                self.counts.not_as_named += u64::from(!as_named);
                told.recorder.pictured(took);
            }
            (Errand::Fetch(number), Came::Refused(name)) => {
                album.forget(number);
                super::crowd::count(told.refusals, name);
            }
            (errand, Came::Refused(what) | Came::Otherwise(what)) => {
                return Err(format!("user {user}, for pictures: {errand:?} was answered {what}"));
            }
            (_, Came::Somebody | Came::Set | Came::Picture { .. }) => {}
        }
        Ok(())
    }

    /// The connection is gone, and not by our doing. Whether it was one of these.
    pub fn lost(&mut self, conn: ConnId) -> Result<bool, String> {
        let Some(user) = self.user_of(conn) else { return Ok(false) };
        let album = &mut self.albums[user as usize];
        if album.sets {
            return Err(format!("user {user} lost the connection by which it set its picture"));
        }
        self.counts.unanswered += album.give_up();
        Ok(true)
    }
}

impl Line {
    fn ask(&mut self, errand: Errand, since: Nanos, action: &Action<'_>, sockets: &mut Sockets) {
        let tag = self.driver.act(action, sockets.out(self.conn));
        self.asked.push_back((tag, errand, since));
    }
}

fn came(errand: Errand, outcome: &Outcome<'_>) -> Came {
    match (errand, outcome) {
        (Errand::LogIn, Outcome::Session { .. }) => Came::Somebody,
        (Errand::Set, Outcome::Done) => Came::Set,
        (Errand::Fetch(_), Outcome::Picture { bytes, as_named }) => {
            Came::Picture { bytes: *bytes, as_named: *as_named }
        }
        (_, Outcome::Rejected { name, .. }) => Came::Refused((*name).to_owned()),
        (_, other) => Came::Otherwise(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_wanted_once_and_again_when_it_did_not_come() {
        let mut album = Album::default();
        assert!(album.learn(3) && album.learn(200) && !album.learn(3));
        album.wanted.push_back((3, Nanos(1)));
        assert!(!album.has_all());
        assert_eq!(album.give_up(), 1);
        assert!(album.has_all() && album.learn(3) && !album.learn(200));
    }

    fn gallery() -> Gallery {
        let scenario = Scenario::load("crowd", &[]).unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        Gallery::new(&scenario, Way::new(address, &"lab".into(), &Rc::default()))
    }

    #[test]
    fn a_list_that_is_behind_what_was_heard_is_looked_at_again_until_it_is_not() {
        let mut gallery = gallery();
        gallery.look(3, Nanos(0));
        assert!(gallery.is_behind(3, 0, 5, 9), "it has heard the room up to 9");
        assert!(gallery.albums[3].lists);
        assert!(gallery.came(3, 0, 5) && !gallery.came(3, 0, 12), "it is about to look");
        gallery.looks_again(3, 0);
        assert!(gallery.is_behind(3, 0, 11, 20), "somebody came at 12");
        assert!(gallery.came(3, 0, 11));
        gallery.looks_again(3, 0);
        assert!(!gallery.albums[3].lists, "of those who were there it knows");
        assert!(!gallery.is_behind(3, 0, 12, 20) && gallery.albums[3].again.is_empty());
    }

    #[test]
    fn a_server_that_names_more_pictures_than_there_can_be_is_asked_for_no_more() {
        let mut gallery = gallery();
        gallery.names = vec!["known".into(); PICTURES_MAX - 1];
        gallery.shown(3, &["one".into(), "two".into(), "one".into()], Nanos(0));
        assert_eq!(gallery.albums[3].wanted.len(), 1);
    }
}
