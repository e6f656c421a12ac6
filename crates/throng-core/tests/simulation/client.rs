//! A client of the simulation. It believes nothing: every event it reads must be the next one by
//! `prev`, and it keeps all that it has seen and all that it was promised.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;
use throng_core::{
    Author, Body, Command, Event, EventKind, Rejection, Reply, Request, RoomId, Seq,
};

use super::server::{Frame, Server};
use crate::histories::{origin, room, user};

/// What it knows of a room it belongs to.
#[derive(Debug)]
struct Membership {
    /// The place of its `Joined`: live and resumed events come after it.
    joined: Seq,
    /// The newest pushed event seen.
    last: Seq,
    seen: Vec<Arc<Event>>,
}

/// Every try has its number; the first answer to any of them counts.
#[derive(Debug)]
struct Pending {
    first_try: u64,
    request: Request,
}

#[derive(Debug)]
pub struct Client {
    user: Author,
    connection: u64,
    requests_made: u64,
    posts_made: u64,
    rooms: BTreeMap<RoomId, Membership>,
    /// What was asked and not answered; asked again after a break. One at a time.
    pending: Option<Pending>,
    /// The place that each post was acked with.
    acked: Vec<(RoomId, u64, Seq)>,
}

impl Client {
    pub fn new(number: u64) -> Self {
        Self {
            user: user(number),
            connection: 0,
            requests_made: 0,
            posts_made: 0,
            rooms: BTreeMap::new(),
            pending: None,
            acked: Vec::new(),
        }
    }

    /// The network is gone. What was under way to it may be read in part, or not at all.
    pub fn vanish(&mut self, server: &mut Server, rng: &mut StdRng) {
        self.read(server, rng.random_range(0..3));
        server.disconnect(self.connection);
    }

    /// Comes back, unless it is there, and resumes each room from the last event seen.
    pub fn connect(&mut self, server: &mut Server) {
        if server.is_connected(self.connection) {
            return;
        }
        self.connection = server.connect(self.user.id);
        let places: Vec<_> = self.rooms.iter().map(|(room, known)| (*room, known.last)).collect();
        for (room, last) in places {
            match server.resume(self.connection, room, last) {
                Ok(()) => {}
                Err(Rejection::NotMember) => drop(self.rooms.remove(&room)), // It left; the ack was lost.
                Err(refused) => panic!("cannot resume room {room}: {refused:?}"),
            }
            self.read(server, usize::MAX);
        }
        self.retry(server);
    }

    /// Asks again what was not answered.
    pub fn retry(&mut self, server: &mut Server) {
        if let (Some(pending), true) = (&self.pending, server.is_connected(self.connection)) {
            self.requests_made += 1;
            server.ask(self.connection, self.requests_made, pending.request.clone());
        }
    }

    pub fn act(&mut self, server: &mut Server, rng: &mut StdRng) {
        if !server.is_connected(self.connection) {
            return;
        }
        if self.pending.is_some() {
            if rng.random_bool(0.2) {
                self.retry(server); // An impatient one: the first may still be answered, too.
            }
            return;
        }
        let room = room(rng.random_range(1..=super::ROOMS));
        let command = if !self.rooms.contains_key(&room) {
            Command::Join { room }
        } else if rng.random_bool(0.05) {
            Command::Leave { room }
        } else {
            self.posts_made += 1;
            let origin_id = Some(origin(self.posts_made));
            let body = Body::parse(format!("{}", self.posts_made)).expect("a short text");
            Command::Post { room, origin_id, body, extras: None }
        };
        let request = Request { from: self.user.clone(), command };
        self.pending = Some(Pending { first_try: self.requests_made + 1, request });
        self.retry(server);
    }

    pub fn read(&mut self, server: &mut Server, frames: usize) {
        for _ in 0..frames {
            match server.read(self.connection) {
                Some(Frame::Event(event)) => self.see(event),
                Some(Frame::Answer { re, outcome }) => self.hear(re, outcome, server),
                None => return,
            }
        }
    }

    fn see(&mut self, event: Arc<Event>) {
        let known = self.rooms.get_mut(&event.room).expect("heard only where it belongs");
        assert!(event.seq > known.last, "seen twice: {event:?}");
        assert!(event.prev <= known.last, "something is missing before {event:?}");
        known.last = event.seq;
        known.seen.push(event);
    }

    fn hear(&mut self, re: u64, outcome: Result<Reply, Rejection>, server: &mut Server) {
        if outcome == Err(Rejection::Unavailable) {
            return; // It will be tried again.
        }
        let Some(Pending { request, .. }) = self.pending.take_if(|asked| re >= asked.first_try)
        else {
            return; // A second answer.
        };
        let room = request.command.room();
        match (&request.command, outcome) {
            (Command::Post { origin_id: Some(id), .. }, Ok(Reply::Posted { seq, .. })) => {
                let number = id.as_str()[1..].parse().expect("it is one of ours");
                self.acked.push((room, number, seq));
            }
            (Command::Join { .. }, Ok(Reply::Joined { seq, already })) => {
                let known = Membership { joined: seq, last: seq, seen: Vec::new() };
                let was = self.rooms.insert(room, known);
                assert!(was.is_none(), "it asks to join where it does not belong");
                if already {
                    // The first answer was lost with its connection: this one hears nothing yet.
                    server.resume(self.connection, room, seq).expect("it belongs there");
                }
            }
            (Command::Leave { .. }, Ok(Reply::Left { .. }) | Err(Rejection::NotMember)) => {
                self.rooms.remove(&room);
            }
            (command, outcome) => panic!("{outcome:?} is no answer to {command:?}"),
        }
    }

    /// Everything was answered, and nothing is under way.
    pub fn is_settled(&self, server: &Server) -> bool {
        let read = self.rooms.iter().all(|(room, known)| {
            let pushed = server.history(*room).iter().filter(|e| e.pushed).map(|e| e.seq).max();
            pushed.is_none_or(|pushed| pushed <= known.last.max(known.joined))
        });
        self.pending.is_none() && server.is_connected(self.connection) && read
    }

    /// What it has seen and what it was promised is what history says.
    pub fn check(&self, number: u32, history: &[Arc<Event>]) {
        if let Some(known) = self.rooms.get(&room(number)) {
            let entitled = history.iter().filter(|e| e.pushed && e.seq > known.joined);
            assert!(entitled.eq(&known.seen), "all that was pushed since it joined, in order");
        }
        let mut last = Seq::ZERO;
        for (_, id, seq) in self.acked.iter().filter(|(of, ..)| *of == room(number)) {
            let event = &history[seq.0 as usize - 1];
            let EventKind::Posted { author, origin_id, .. } = &event.kind else {
                panic!("acked at {seq}, where {event:?} is")
            };
            assert_eq!((author, origin_id), (&self.user, &Some(origin(*id))));
            assert!(*seq > last, "a sender's order is kept");
            last = *seq;
        }
    }
}
