//! The server of the simulation: one queue, one shard, one hub, a log that can fail, bounded
//! outboxes. It does what the real one does between a socket and a disk, one step at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;
use throng_core::hub::Hub;
use throng_core::shard::{Facts, Now, Restored, Shard, Want};
use throng_core::{
    Command, Event, EventKind, Kind, Limits, Rejection, Reply, Request, RoomId, RoomName, Seq,
    Timestamp, UserId, Words,
};

use crate::histories::{room, user};

/// What reaches a client.
#[derive(Clone, Debug)]
pub enum Frame {
    /// The answer to the request of this number.
    Answer { re: u64, outcome: Result<Reply, Rejection> },
    /// Live, or part of what was missed.
    Event(Arc<Event>),
}

#[derive(Debug, Default)]
struct Connection {
    outbox: VecDeque<Frame>,
}

#[derive(Debug)]
struct Asked {
    connection: u64,
    re: u64,
    request: Request,
}

#[derive(Debug)]
pub struct Server {
    limits: Limits,
    shard: Shard,
    hub: Hub<u64>,
    queue: VecDeque<Asked>,
    /// By number; those of a user are found by its id.
    connections: BTreeMap<u64, (UserId, Connection)>,
    connections_made: u64,
    /// All that is durable.
    log: Vec<Arc<Event>>,
    now: u64,
}

impl Server {
    pub fn new(seed: u64, limits: Limits) -> Self {
        Self {
            shard: Shard::new(seed, &limits),
            hub: Hub::new(seed),
            queue: VecDeque::new(),
            connections: BTreeMap::new(),
            connections_made: 0,
            log: Vec::new(),
            now: 1,
            limits,
        }
    }

    /// Somebody who is no client of the simulation makes the rooms.
    pub fn make_room(&mut self, number: u32) {
        let name = RoomName::parse(&format!("room {number}")).expect("a short name");
        let command =
            Command::Create { room: room(number), name, kind: Kind::Public, settings: None };
        let request = Request { from: user(1_000), command };
        self.queue.push_back(Asked { connection: 0, re: 0, request });
        self.turn_all(true);
    }

    pub fn history(&self, room: RoomId) -> Vec<Arc<Event>> {
        self.log.iter().filter(|event| event.room == room).cloned().collect()
    }

    pub fn connect(&mut self, user: UserId) -> u64 {
        self.connections_made += 1;
        self.connections.insert(self.connections_made, (user, Connection::default()));
        self.connections_made
    }

    pub fn is_connected(&self, connection: u64) -> bool {
        self.connections.contains_key(&connection)
    }

    pub fn disconnect(&mut self, connection: u64) {
        self.hub.remove(connection);
        self.connections.remove(&connection);
    }

    pub fn ask(&mut self, connection: u64, re: u64, request: Request) {
        self.queue.push_back(Asked { connection, re, request });
    }

    pub fn read(&mut self, connection: u64) -> Option<Frame> {
        self.connections.get_mut(&connection)?.1.outbox.pop_front()
    }

    /// First exactly the pushed events after this place, then live ones. Refused to a stranger. What
    /// is resumed waits for its reader and is not cut off.
    pub fn resume(&mut self, connection: u64, room: RoomId, after: Seq) -> Result<(), Rejection> {
        let user = self.connections[&connection].0;
        let state = self.shard.room(room).ok_or(Rejection::NoSuchRoom)?;
        state.member(user).ok_or(Rejection::NotMember)?;
        let head = state.head();
        let missed = self.history(room).into_iter().filter(|e| e.seq > after && e.pushed);
        let (_, to) = self.connections.get_mut(&connection).expect("it is asked by a connection");
        to.outbox.extend(missed.map(Frame::Event));
        self.hub.subscribe(room, connection, head);
        Ok(())
    }

    /// Drain, gather, decide, commit, tell; or fail to commit, or to read, or die in between.
    pub fn turn(&mut self, rng: &mut StdRng, trouble: f64) {
        if rng.random_bool(trouble / 4.0) {
            self.crash_in_turn(rng);
        } else {
            let commits = !rng.random_bool(trouble);
            self.turn_all(commits);
        }
    }

    fn decide(&mut self) -> (Vec<Asked>, throng_core::shard::Turn) {
        self.now += 1;
        let now = Now { at: Timestamp(self.now), posts_total: 0 };
        let asked: Vec<_> = self.queue.drain(..).collect();
        let batch: Vec<_> = asked.iter().map(|asked| asked.request.clone()).collect();
        let mut facts = Facts::default();
        let mut wants = Vec::new();
        for _ in 0..2 {
            wants.clear();
            self.shard.wants(&batch, now, &mut wants);
            for want in &wants {
                match *want {
                    Want::Origins { room, .. } => self.load_origins(room),
                    Want::Message { .. } | Want::Tallies { .. } | Want::Consent { .. } => {
                        unreachable!("nobody touches messages here")
                    }
                    Want::Event { room, seq } => {
                        let found = self.log.iter().find(|e| (e.room, e.seq) == (room, seq));
                        facts.add(Arc::clone(found.expect("it wants what there is")));
                    }
                }
            }
        }
        let turn = self.shard.apply(&batch, &facts, now);
        (asked, turn)
    }

    fn load_origins(&mut self, room: RoomId) {
        for event in self.log.iter().filter(|event| event.room == room) {
            if let EventKind::Posted { author, origin_id: Some(id), .. } = &event.kind {
                self.shard.load_origin(room, author.id, id.as_str(), event.seq, event.at);
            }
        }
        self.shard.origins_loaded(room);
    }

    fn turn_all(&mut self, commits: bool) {
        let (asked, turn) = self.decide();
        if !commits {
            for Asked { connection, re, .. } in asked {
                self.send(connection, Frame::Answer { re, outcome: Err(Rejection::Unavailable) });
            }
            self.shard.revert(turn);
            return;
        }
        self.log.extend(turn.events.iter().cloned());
        let mut events = turn.events.iter();
        for (Asked { connection, re, .. }, outcome) in asked.into_iter().zip(turn.outcomes) {
            let made = match outcome {
                Ok(Reply::Created { .. }) => 2,
                Ok(Reply::Joined { already, .. } | Reply::Applied { already, .. }) => {
                    usize::from(!already)
                }
                Ok(Reply::Left { .. }) => 1,
                Ok(Reply::Posted { repeat, .. }) => usize::from(!repeat),
                Ok(Reply::Held { .. } | Reply::Unheld { .. }) => {
                    unreachable!("no room here has a delay")
                }
                Err(_) => 0,
            };
            for event in events.by_ref().take(made) {
                self.tell(event);
                if matches!(event.kind, EventKind::Joined { .. }) && self.is_connected(connection) {
                    self.hub.subscribe(event.room, connection, event.seq);
                }
            }
            self.send(connection, Frame::Answer { re, outcome });
        }
        assert!(events.next().is_none(), "each event comes of a request");
    }

    /// The process dies: before the append, or after it and before anybody was told.
    fn crash_in_turn(&mut self, rng: &mut StdRng) {
        let (_, turn) = self.decide();
        if rng.random_bool(0.5) {
            self.log.extend(turn.events);
        }
        self.crash(rng);
    }

    /// All that is not in the log is gone. Some of the log has been folded.
    pub fn crash(&mut self, rng: &mut StdRng) {
        self.queue.clear();
        self.connections.clear();
        self.hub = Hub::new(rng.random());
        self.shard = Shard::new(rng.random(), &self.limits);
        let folded = rng.random_range(0..=self.log.len());
        let mut store = Shard::new(1, &self.limits);
        for event in &self.log[..folded] {
            store.replay(event).expect("the log follows itself");
        }
        let rooms = (1..).map(room).map_while(|id| store.room(id).map(|state| (id, state)));
        for (id, state) in rooms {
            self.shard.restore(Restored {
                room: id,
                name: RoomName::parse("room").expect("a short name"),
                at: Timestamp(0),
                head: state.head(),
                pushed: state.pushed(),
                posts: state.posts(),
                words: Words::default(),
                policy: state.policy(),
                people: state.people().collect(),
                pins: state.pins().to_vec(),
            });
        }
        for event in &self.log[rng.random_range(0..=folded)..] {
            self.shard.replay(event).expect("the log follows the store");
        }
    }

    fn tell(&mut self, event: &Arc<Event>) {
        if let Some(removed) = event.kind.removes() {
            let of_user = self.connections.iter().filter(|(_, (user, _))| *user == removed);
            let gone: Vec<_> = of_user.map(|(connection, _)| *connection).collect();
            for connection in gone {
                self.hub.unsubscribe(event.room, connection);
            }
        }
        if !event.pushed {
            return;
        }
        let slots = 0..self.hub.slots(event.room);
        let hears: Vec<_> = self.hub.slice(event.room, slots).collect();
        for (connection, after) in hears {
            if event.seq > after {
                self.send(connection, Frame::Event(Arc::clone(event)));
            }
        }
    }

    /// Into the outbox; one that is full ends the connection, and loses nothing but time.
    fn send(&mut self, to: u64, frame: Frame) {
        let Some((_, connection)) = self.connections.get_mut(&to) else { return };
        if connection.outbox.len() >= self.limits.outbox_frames_max {
            self.disconnect(to);
        } else {
            connection.outbox.push_back(frame);
        }
    }
}
