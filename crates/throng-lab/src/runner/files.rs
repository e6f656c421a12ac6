//! Files: each is sent over a connection of its own, carried by a message, and then fetched by some who may
//! read that message and by one who may not; once the message is deleted, by who said it.
//!
//! Neighbours: the plan says who sends when; `carrier` speaks; the ledger judges what came of it. Nothing
//! here decides what is right, only who could read the message from when it asked until it was answered.

use std::collections::HashMap;

use super::crowd::{Crowd, count};
use super::recent::Meant;
use super::user::{Asked, Link, Todo};
use crate::clock::Nanos;
use crate::drivers::{self, Carried, Carrier};
use crate::engine::{ConnId, Sockets};
use crate::ledger::{Got, May, SendIx};
use crate::scenario::Changes;

/// Connections that one errand may lose.
const LOST_MAX: u8 = 3;
/// Users looked at for one who is in no such room.
const STRANGERS_SOUGHT: u32 = 16;

/// What is under way, and what messages carry.
#[derive(Debug)]
pub struct Files {
    bytes: u32,
    alone: f64,
    readers: u32,
    sent: u32,
    errands: Vec<Errand>,
    by_conn: HashMap<ConnId, u32>,
    carried: HashMap<SendIx, File>,
}

/// A file that a message carries.
#[derive(Clone, Debug)]
struct File {
    id: String,
    /// Of its bytes.
    digest: u64,
    room: u32,
    /// Who fetches it, at random.
    pick: u32,
    /// Its message, as it was planned.
    meant: Meant,
}

/// One file on its way, in either direction.
#[derive(Debug)]
struct Errand {
    user: u32,
    what: What,
    carrier: Option<Carrier>,
    /// When it should have begun.
    began: Nanos,
    lost: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    UnderWay,
    /// Nobody answered.
    Failed,
    Over,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Send {
        number: u32,
        room: u32,
        bytes: u32,
        pick: u32,
        meant: Meant,
    },
    /// `joins`: how often its user had asked to come in anywhere.
    Fetch {
        send: SendIx,
        may: May,
        joins: u32,
    },
}

impl Files {
    /// None yet.
    pub fn new(changes: &Changes) -> Self {
        Self {
            bytes: changes.file_bytes,
            alone: changes.files_alone,
            readers: changes.file_readers,
            sent: 0,
            errands: Vec::new(),
            by_conn: HashMap::new(),
            carried: HashMap::new(),
        }
    }

    /// Whether the message of this file says nothing besides: as many as its share, evenly among them.
    fn is_alone(&self, number: u32) -> bool {
        let up_to = |count: u32| (f64::from(count) * self.alone).floor();
        up_to(number + 1) > up_to(number)
    }

    /// Nothing is under way.
    pub fn are_done(&self) -> bool {
        self.errands.iter().all(|errand| errand.state != State::UnderWay)
    }

    /// Whether this send carries a file.
    pub fn carries(&self, send: SendIx) -> bool {
        !self.carried.is_empty() && self.carried.contains_key(&send)
    }

    /// The name of the file that goes with this send.
    pub fn of(&self, send: SendIx) -> Option<String> {
        let file = self.carried.get(&send).filter(|_| !self.carried.is_empty())?;
        Some(file.id.clone())
    }
}

impl Crowd {
    /// A file is due, and a message of `bytes` that carries it. Who is away sends none.
    pub fn share(
        &mut self,
        user: u32,
        (room, bytes, pick): (u32, u32, u32),
        intended: Nanos,
        sockets: &mut Sockets,
    ) {
        let meant = self.recent.meant(room);
        if self.users[user as usize].link != Link::Up || !self.stays(user, room) {
            return self.recent.never(meant);
        }
        let number = self.files.sent;
        self.files.sent += 1;
        let bytes = if self.files.is_alone(number) { 0 } else { bytes };
        let what = What::Send { number, room, bytes, pick, meant };
        self.begin(user, what, intended, sockets);
    }

    fn begin(&mut self, user: u32, what: What, began: Nanos, sockets: &mut Sockets) {
        let number = self.files.errands.len() as u32;
        let state = State::UnderWay;
        self.files.errands.push(Errand { user, what, carrier: None, began, lost: 0, state });
        self.set_out(number, sockets);
    }

    /// Begins an errand, or begins it again.
    pub(super) fn set_out(&mut self, number: u32, sockets: &mut Sockets) {
        let Errand { user, what, .. } = self.files.errands[number as usize];
        let token = &self.accounts[self.me(user).0 as usize].token;
        let carrier = match what {
            What::Send { number, .. } => {
                let (bytes, picture) = self.words.file(number, self.files.bytes);
                Carrier::sends(&self.host, token, &bytes, picture)
            }
            What::Fetch { send, .. } => {
                let (Some(file), Some(seq)) =
                    (self.files.carried.get(&send), self.ledger.place_of(send))
                else {
                    return;
                };
                let at = (self.ledger.number(self.ledger.room_of(send)), seq);
                Carrier::fetches(&self.host, token, at, &file.id)
            }
        };
        match sockets.connect_for(user, self.door.address) {
            Ok(conn) => {
                self.files.by_conn.insert(conn, number);
                self.files.errands[number as usize].carrier = Some(carrier);
            }
            Err(error) => self.trouble = Some(format!("no socket for a file: {error}")),
        }
    }

    pub(super) fn carrier_connected(&mut self, conn: ConnId, sockets: &mut Sockets) {
        if let Some(number) = self.files.by_conn.get(&conn)
            && let Some(carrier) = &mut self.files.errands[*number as usize].carrier
        {
            carrier.open(sockets.out(conn));
        }
    }

    pub(super) fn carrier_received(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        sockets: &mut Sockets,
        now: Nanos,
    ) {
        let Some(number) = self.files.by_conn.get(&conn).copied() else { return };
        let errand = &mut self.files.errands[number as usize];
        let Some(carrier) = &mut errand.carrier else { return };
        match carrier.receive(bytes) {
            Ok(None) => {}
            Ok(Some(carried)) => {
                errand.carrier = None;
                self.files.by_conn.remove(&conn);
                sockets.close(conn);
                self.carried(number, carried, sockets, now);
            }
            Err(broken) => self.trouble = Some(format!("user {}: {broken}", errand.user)),
        }
    }

    /// The connection of an errand is gone before its answer: a few times it tries again. Whether it was
    /// one.
    pub(super) fn carrier_gone(&mut self, conn: ConnId, sockets: &mut Sockets) -> bool {
        let Some(number) = self.files.by_conn.remove(&conn) else { return false };
        let errand = &mut self.files.errands[number as usize];
        errand.lost += 1;
        if errand.lost < LOST_MAX {
            self.set_out(number, sockets);
        } else {
            errand.state = State::Failed;
        }
        true
    }

    fn carried(&mut self, number: u32, carried: Carried, sockets: &mut Sockets, now: Nanos) {
        let Errand { user, what, began, .. } = self.files.errands[number as usize];
        if let Carried::Refused { name, retry_after_ms } = &carried {
            // Of one who may not, a refusal is what was asked for.
            if !matches!(what, What::Fetch { may: May::Not, .. }) {
                count(&mut self.refusals, name.clone());
            }
            if let Some(ms) = retry_after_ms {
                return self.later(user, Asked::Errand(number), (*ms).max(1));
            }
        }
        self.files.errands[number as usize].state = State::Over;
        match what {
            What::Send { number, room, bytes, pick, meant } => {
                let (content, _) = self.words.file(number, self.files.bytes);
                let digest = drivers::digest_of(&content);
                let kept = match carried {
                    Carried::Kept { id, hash, whole } => {
                        let right = whole && hash == *blake3::hash(&content).to_hex();
                        right.then_some((id, hash))
                    }
                    Carried::Fetched(_) | Carried::Refused { .. } => None,
                };
                self.ledger.file_sent(self.me(user), kept.is_some());
                let Some((id, hash)) = kept else { return };
                self.recorder.upload.record(now.since(began));
                if self.stays(user, room) {
                    let file = File { id, digest, room, pick, meant };
                    self.say_with(user, file, &hash, bytes, sockets, now);
                }
            }
            What::Fetch { send, may, joins } => {
                let got = match carried {
                    Carried::Fetched(is) if self.files.carried[&send].digest == is => Got::Right,
                    Carried::Refused { .. } => Got::Refused,
                    Carried::Fetched(_) | Carried::Kept { .. } => Got::Wrong,
                };
                let may = self.may_still(user, send, may, joins);
                self.ledger.fetched(self.me(user), send, may, got);
                if got == Got::Right {
                    self.recorder.fetch.record(now.since(began));
                }
            }
        }
    }

    /// A message that carries a file. It is due now: how long the file took is told apart.
    fn say_with(
        &mut self,
        user: u32,
        file: File,
        hash: &str,
        bytes: u32,
        sockets: &mut Sockets,
        now: Nanos,
    ) {
        let number = self.ledger.sends() as u32;
        let mut body = std::mem::take(&mut self.body);
        self.words.body(number, bytes, &mut body);
        let said = drivers::digest(&body);
        self.body = body;
        let whole = drivers::with_file(said, &file.id, hash);
        let send = self.ledger.sent(self.me(user), self.ix(file.room), now, whole);
        self.ledger.carries(send, said);
        self.recent.sent(file.meant, send);
        self.files.carried.insert(send, file);
        self.recorder.followed();
        self.doing(user, Todo::Post { send, bytes, again: false }, sockets);
    }

    /// A message that carries a file has its place: some members fetch it, and one who is no member.
    pub(super) fn send_readers(&mut self, send: SendIx, sockets: &mut Sockets, now: Nanos) {
        let Some(File { room, pick, .. }) = self.files.carried.get(&send).cloned() else { return };
        let author = self.ledger.author(send);
        let reads = |user: &u32| {
            let is_up = self.users[*user as usize].link == Link::Up;
            is_up && self.me(*user) != author && self.stays(*user, room)
        };
        let members = &self.places[room as usize].members;
        let begin = pick as usize % members.len();
        let in_turn = members[begin..].iter().chain(&members[..begin]).copied();
        let mut readers: Vec<(u32, May)> = in_turn
            .filter(reads)
            .take(self.files.readers as usize)
            .map(|it| (it, May::Read))
            .collect();
        let everybody = self.accounts.len() as u32;
        let mut sought = (0..STRANGERS_SOUGHT.min(everybody)).map(|at| (pick / 2 + at) % everybody);
        let stranger = sought.find(|user| self.is_stranger(*user, room));
        readers.extend(stranger.map(|user| (user, May::Not)));
        for (user, may) in readers {
            self.fetch(user, send, may, sockets, now);
        }
    }

    /// Its message is deleted: who said it tries to fetch it.
    pub(super) fn fetch_deleted(&mut self, send: SendIx, sockets: &mut Sockets, now: Nanos) {
        if self.files.carries(send) {
            self.fetch(self.ledger.author(send).0, send, May::Not, sockets, now);
        }
    }

    fn fetch(&mut self, user: u32, send: SendIx, may: May, sockets: &mut Sockets, now: Nanos) {
        let joins = self.users[user as usize].joins;
        self.begin(user, What::Fetch { send, may, joins }, now, sockets);
    }

    /// A member, as far as it knows, that has not asked to leave.
    fn stays(&self, user: u32, room: u32) -> bool {
        let it = &self.users[user as usize];
        it.rooms.contains(&room)
            && !it.will_join(room)
            && !it.is_leaving(room)
            && self.ledger.is_member(self.me(user), self.ix(room))
    }

    fn is_stranger(&self, user: u32, room: u32) -> bool {
        let it = &self.users[user as usize];
        !it.rooms.contains(&room)
            && !it.will_join(room)
            && !self.ledger.is_member(self.me(user), self.ix(room))
    }

    /// What one who asked for a file might do all the time until it was answered.
    fn may_still(&self, user: u32, send: SendIx, may: May, joins: u32) -> May {
        let room = self.files.carried[&send].room;
        let moved = self.users[user as usize].joins != joins;
        let out = self.ledger.may_be_out(self.me(user), self.ix(room));
        let is_sure = match may {
            May::Read => !out && self.stays(user, room) && !self.ledger.deletion_asked(send),
            May::Not => self.ledger.deletion_is_known(send) || self.is_stranger(user, room),
            May::Either => false,
        };
        if is_sure && !moved { may } else { May::Either }
    }

    /// The run is over: what is unanswered now will not be answered.
    pub fn give_up_files(&mut self) {
        for errand in std::mem::take(&mut self.files.errands) {
            let me = self.me(errand.user);
            match errand.what {
                _ if errand.state == State::Over => {}
                What::Send { .. } => self.ledger.file_unanswered(),
                What::Fetch { send, may, .. } => self.ledger.fetched(me, send, may, Got::Nothing),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_go_without_a_text_as_their_share_says_evenly_among_them() {
        let alone = |share: f64| {
            let files = Files::new(&Changes { files_alone: share, ..Changes::default() });
            (0..8).filter(|number| files.is_alone(*number)).collect::<Vec<u32>>()
        };
        assert_eq!(alone(0.0), [0; 0]);
        assert_eq!(alone(0.5), [1, 3, 5, 7]);
        assert_eq!(alone(1.0), (0..8).collect::<Vec<_>>());
    }
}
