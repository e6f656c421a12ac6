//! What an account has here, for itself to take along: what it is, how its rooms begin, its rooms, what it
//! said in them, its files, whom it blocked, what it reported. Written a piece at a time, as fast as it is taken.
//!
//! Neighbours: REST asks it and sends the pieces; the directory says which rooms and from which place
//! on, page by page, so that one who is removed meanwhile gets no more of that room. What others said
//! is theirs. One at a time for an account, and not often: each reads all of its rooms' history.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Serialize;
use throng_core::rights::Operation;
use throng_core::{
    Author, Event, EventKind, FileId, Limits, Rejection, RoomId, Seq, SessionId, UserId,
};
use throng_wire::native::{json, v1};

use super::App;
use super::reading::blocking;
use crate::clock::Moment;
use crate::files;
use crate::pages::{Listed, Span};
use crate::personal::{Kept, Level, Marker};
use crate::protocols::native::mapping::{self, oversight};

/// Events looked at in one read.
const PAGE: usize = 512;
/// Accounts whose last export is remembered; beyond it `busy`.
const REMEMBERED_MAX: usize = 10_000;
/// What one is told to wait who finds others exporting.
const BUSY_MS: u32 = 5_000;

/// Who exports, and who did a short while ago.
#[derive(Debug)]
pub struct Exports {
    state: Mutex<State>,
    at_once: usize,
    every: Duration,
}

#[derive(Debug, Default)]
struct State {
    running: Vec<UserId>,
    begun: HashMap<UserId, Moment>,
}

/// A place among those who export; given back when it is dropped.
#[derive(Debug)]
pub struct Exporting {
    exports: Arc<Exports>,
    user: UserId,
}

impl Exports {
    /// As the limits are.
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: Mutex::default(),
            at_once: limits.exports_max as usize,
            every: Duration::from_millis(limits.export_every_ms),
        }
    }

    /// Lets an account begin, or says how long to wait.
    pub fn begin(self: &Arc<Self>, user: UserId, now: Moment) -> Result<Exporting, Rejection> {
        let mut state = self.state();
        state.begun.retain(|_, begun| now.since(*begun) < self.every);
        if let Some(begun) = state.begun.get(&user) {
            let wait = self.every.saturating_sub(now.since(*begun));
            let retry_after_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
            return Err(Rejection::RateLimited { retry_after_ms });
        }
        // Each that runs may have to be remembered.
        let remembered = state.begun.len() + state.running.len();
        let full = state.running.len() >= self.at_once || remembered >= REMEMBERED_MAX;
        if full || state.running.contains(&user) {
            return Err(Rejection::Busy { retry_after_ms: BUSY_MS });
        }
        state.running.push(user);
        Ok(Exporting { exports: Arc::clone(self), user })
    }

    /// An account's export is being read: the next may begin so long after this.
    pub fn read(&self, user: UserId, now: Moment) {
        self.state().begun.insert(user, now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds who exports")
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.exports.state().running.retain(|user| *user != self.user);
    }
}

/// One line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Account(v1::User),
    /// One of its sessions, without its token.
    Session(v1::SessionInfo),
    /// Who may write to it.
    Contacts(v1::ContactsAre),
    /// How its rooms begin, where it has said it.
    RoomDefaults(v1::RoomDefaultsAre),
    Room(v1::Room),
    /// How far it has read a room, and what of it it wants to be told of.
    Marks(Marks),
    Message(v1::Event),
    Report(Report),
    File(File),
    Blocked(v1::User),
    /// The last one: all is there.
    End(End),
}

#[derive(Debug, Serialize)]
struct Marks {
    room: u32,
    /// The last message read, and its number among the posts; 0 for none yet.
    seq: u64,
    n: u64,
    level: &'static str,
}

#[derive(Debug, Serialize)]
struct Report {
    room: u32,
    report: v1::ReportItem,
}

#[derive(Debug, Serialize)]
struct File {
    id: String,
    name: String,
    bytes: u64,
    /// The same: what earlier builds called it.
    len: u64,
    /// All of it has come.
    whole: bool,
}

#[derive(Debug, Serialize)]
struct End {
    /// Before this one.
    lines: u64,
}

/// How far it has got.
#[derive(Debug)]
enum At {
    Account,
    /// Rooms above this number.
    Rooms(u32),
    /// What was said in a room behind this place.
    Said(RoomId, Seq),
    /// Files above this one.
    Files(Option<FileId>),
    /// Whom it blocked, above this number.
    Blocked(u64),
    End,
    Ended,
}

/// What is written, piece after piece.
#[derive(Debug)]
pub struct Export {
    app: Arc<App>,
    user: Author,
    /// The one that asks.
    session: SessionId,
    at: At,
    /// Of those written.
    lines: u64,
    piece: Vec<u8>,
    _place: Exporting,
}

impl App {
    /// Begins to write what an account has.
    pub fn export(self: &Arc<Self>, user: Author, session: SessionId) -> Result<Export, Rejection> {
        let place = self.exports.begin(user.id, self.clock.now())?;
        let (app, piece) = (Arc::clone(self), Vec::new());
        Ok(Export { app, user, session, at: At::Account, lines: 0, piece, _place: place })
    }

    /// What an account has is being read by it: that counts.
    pub fn export_is_read(&self, user: UserId) {
        self.exports.read(user, self.clock.now());
    }
}

impl Export {
    /// The next piece, of whole lines; it may be empty. `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Rejection> {
        self.at = match std::mem::replace(&mut self.at, At::Ended) {
            At::Account => {
                self.line(&Line::Account(mapping::user(&self.user)));
                self.settled().await?;
                let defaults = self.app.personal.room_defaults(self.user.id);
                if !defaults.is_empty() {
                    self.line(&Line::RoomDefaults(mapping::defaults::are(defaults)));
                }
                At::Rooms(0)
            }
            At::Rooms(after) => self.room_above(after).await?,
            At::Said(room, after) => self.said(room, after).await?,
            At::Files(after) => self.files(after).await?,
            At::Blocked(after) => self.blocked(after).await?,
            At::End => {
                self.line(&Line::End(End { lines: self.lines }));
                At::Ended
            }
            At::Ended => return Ok(None),
        };
        Ok(Some(std::mem::take(&mut self.piece)))
    }

    fn line(&mut self, line: &Line) {
        json::encode(line, &mut self.piece);
        self.piece.push(b'\n');
        self.lines += 1;
    }

    /// The next room, and then what was said in it.
    async fn room_above(&mut self, after: u32) -> Result<At, Rejection> {
        let user = self.user.id;
        let list = self.app.rooms(user, &Listed { after, limit: 1, mine: true, named: None });
        let first = list.rooms.first().map(|room| room.room);
        let Some(room) = first else { return Ok(At::Files(None)) };
        for room in mapping::rooms(&list).rooms {
            self.line(&Line::Room(room));
        }
        let personal = Arc::clone(&self.app.personal);
        let Kept { read, level } = blocking(move || personal.kept(user, room)).await?;
        let (Marker { seq, n }, level) = (read.unwrap_or_default(), level.unwrap_or_default());
        self.line(&Line::Marks(Marks {
            room: room.get(),
            seq: seq.0,
            n,
            level: level_name(level),
        }));
        Ok(At::Said(room, Seq::ZERO))
    }

    /// What is of the account and of no room.
    async fn settled(&mut self) -> Result<(), Rejection> {
        for session in self.app.auth.accounts().sessions_of(self.user.id).await? {
            self.line(&Line::Session(mapping::account::session(&session, self.session)));
        }
        let writers = self.app.personal.writers(self.user.id);
        self.line(&Line::Contacts(mapping::personal::contacts(writers)));
        Ok(())
    }

    /// What it said in a room behind a place, some events at a time; at last what it reported there.
    async fn said(&mut self, room: RoomId, after: Seq) -> Result<At, Rejection> {
        let (user, next) = (self.user.id, At::Rooms(room.get()));
        // One who was removed meanwhile reads no more of it.
        let Ok(reading) = self.app.directory.reading(user, room, Operation::History) else {
            return Ok(next);
        };
        let after = after.max(Seq(reading.from.0 - 1));
        let read = self.app.read(move |history| {
            let mut events = history.page(room, Span::After(after), PAGE)?;
            let last = events.last().map(|event| event.seq);
            events.retain(|event| is_of(event, user));
            history.show(room, &mut events)?;
            Ok((events, last))
        });
        let (events, last) = read.await?;
        for event in events.iter().filter(|event| event.stands()) {
            self.line(&Line::Message(mapping::event(event)));
        }
        if let Some(last) = last {
            return Ok(At::Said(room, last));
        }
        let moderation = Arc::clone(&self.app.moderation);
        for report in blocking(move || moderation.reported_by(user, room)).await? {
            let (room, report) = (room.get(), oversight::item(&report));
            self.line(&Line::Report(Report { room, report }));
        }
        Ok(next)
    }

    async fn files(&mut self, after: Option<FileId>) -> Result<At, Rejection> {
        if self.app.files.is_none() {
            return Ok(At::Blocked(0));
        }
        let user = self.user.id;
        let page = self.app.with_files(move |files| files.of(user, after)).await?;
        let next = page.last().map_or(At::Blocked(0), |kept| At::Files(Some(kept.file.id)));
        for files::Kept { file, whole, .. } in page {
            let (id, name) = (file.id.to_hex(), file.name.as_str().to_owned());
            self.line(&Line::File(File { id, name, bytes: file.len, len: file.len, whole }));
        }
        Ok(next)
    }

    async fn blocked(&mut self, after: u64) -> Result<At, Rejection> {
        let (moderation, user) = (Arc::clone(&self.app.moderation), self.user.id);
        let page = blocking(move || moderation.blocked(user, after, 0)).await?;
        let next = page.users.last().filter(|_| page.more).map(|last| At::Blocked(last.id.get()));
        for who in &page.users {
            self.line(&Line::Blocked(mapping::user(who)));
        }
        Ok(next.unwrap_or(At::End))
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::All => "all",
        Level::Mentions => "mentions",
        Level::Nothing => "nothing",
    }
}

fn is_of(event: &Event, user: UserId) -> bool {
    matches!(&event.kind, EventKind::Posted { author, .. } if author.id == user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_exports_at_a_time_and_not_often_and_so_many_do_at_once() {
        let limits = Limits { exports_max: 2, export_every_ms: 1_000, ..Limits::default() };
        let exports = Arc::new(Exports::new(&limits));
        let at = |millis: u64| Moment(millis * 1_000_000);
        let user = |user| UserId::new(user).expect("a number");
        let begin = |one, millis| {
            exports.begin(user(one), at(millis)).inspect(|_| exports.read(user(one), at(millis)))
        };
        let busy = Some(Rejection::Busy { retry_after_ms: BUSY_MS });
        let early = |retry_after_ms| Some(Rejection::RateLimited { retry_after_ms });
        let first = begin(1, 0).expect("below the limit");
        let second = begin(2, 100).expect("at it");
        assert_eq!(begin(3, 200).err(), busy);
        assert_eq!(begin(1, 999).err(), early(1));
        assert_eq!(begin(1, 1_000).err(), busy, "it goes on still");
        drop(first);
        let third = begin(3, 1_000).expect("one has ended");
        drop((second, third));
        assert_eq!(begin(2, 1_099).err(), early(1));
        assert!(begin(2, 1_100).is_ok());
        // What nobody read does not count.
        exports.begin(user(4), at(2_000)).map(drop).expect("it is the first");
        exports.begin(user(4), at(2_000)).map(drop).expect("nothing of that was read");
    }

    #[test]
    fn so_many_are_remembered_and_one_more_is_told_to_wait() {
        let limits = Limits { exports_max: 1, export_every_ms: 1_000, ..Limits::default() };
        let exports = Arc::new(Exports::new(&limits));
        let begin = |user: usize, millis: u64| {
            let user = UserId::new(user as u64).expect("a number");
            let now = Moment(millis * 1_000_000);
            exports.begin(user, now).map(|_| exports.read(user, now))
        };
        for user in 1..REMEMBERED_MAX {
            begin(user, 1).expect("below the limit");
        }
        begin(REMEMBERED_MAX, 500).expect("at it");
        let busy = Rejection::Busy { retry_after_ms: BUSY_MS };
        assert_eq!(begin(REMEMBERED_MAX + 1, 1_000), Err(busy));
        begin(REMEMBERED_MAX + 1, 1_001).expect("those before were forgotten");
    }
}
