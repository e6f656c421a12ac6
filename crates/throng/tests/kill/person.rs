//! One client through many lives of the server. It remembers what it sent, what was acked, and what
//! it saw, and says what of that does not fit together.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::net::SocketAddr;

use rand::RngExt;
use rand::rngs::StdRng;
use throng_wire::native::json;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{Event, Join, Position, Posted, Reply, Subscribe};

use super::{Counter, Violation};
use crate::raw_client::{Client, post};

/// Posts under way at a time,
const WINDOW: usize = 8;
/// for so many posts in each life of the server. Then one goes on, one at a time, and the others
/// listen, so that a thousand lives fit into memory.
const BURST: usize = 500;

#[derive(Clone, Debug)]
struct Sent {
    room: u32,
    acked: Option<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    seq: u64,
    n: u64,
    at: u64,
}

/// An event, as much of it as is needed to recognize it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    room: u32,
    seq: u64,
    digest: u64,
}

#[derive(Debug)]
pub struct Person {
    index: usize,
    token: String,
    /// The newest place seen in each room; `None` before it has joined.
    rooms: BTreeMap<u32, Option<u64>>,
    /// By its number, from which follow `origin_id` and body.
    posts: Vec<Sent>,
    seen: Vec<Seen>,
    pub tried_again: usize,
}

/// Why a conversation ended.
enum End {
    Broken,
    Violation(Violation),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Under way: request to post.
type Waiting = BTreeMap<u32, usize>;

impl Person {
    pub fn new(index: usize, token: String, rooms: &[u32]) -> Self {
        let rooms = rooms.iter().map(|room| (*room, None)).collect();
        Self { index, token, rooms, posts: Vec::new(), seen: Vec::new(), tried_again: 0 }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn acked(&self) -> usize {
        self.posts.iter().filter(|sent| sent.acked.is_some()).count()
    }

    pub fn seen(&self) -> usize {
        self.seen.len()
    }

    /// Posts as fast as it is answered, until the server is gone.
    pub fn talk(
        &mut self,
        address: SocketAddr,
        rng: &mut StdRng,
        acks: &Counter,
    ) -> Result<(), Violation> {
        let mut conversation = || -> Result<(), End> {
            let mut client = self.arrive(address)?;
            let mut waiting = self.retry(&mut client)?;
            if !self.posts.is_empty() {
                let old = rng.random_range(0..self.posts.len());
                waiting.insert(self.post(&mut client, old)?, old); // Perhaps acked before: the same ack.
            }
            let before = self.posts.len();
            loop {
                let window = match self.posts.len() - before {
                    0..BURST => WINDOW,
                    _ => usize::from(self.index == 0),
                };
                while waiting.len() < window {
                    let nth = rng.random_range(0..self.rooms.len());
                    let room = *self.rooms.keys().nth(nth).expect("there are rooms");
                    self.posts.push(Sent { room, acked: None });
                    let number = self.posts.len() - 1;
                    waiting.insert(self.post(&mut client, number)?, number);
                }
                if self.hear(client.read()?, &mut waiting)? {
                    acks.add();
                }
            }
        };
        match conversation() {
            Ok(()) | Err(End::Broken) => Ok(()),
            Err(End::Violation(violation)) => {
                acks.enough();
                Err(violation)
            }
        }
    }

    /// Comes back a last time, and leaves when all that it ever sent is acked.
    pub fn settle(&mut self, address: SocketAddr) -> Result<(), Violation> {
        let mut conversation = || -> Result<(), End> {
            let mut client = self.arrive(address)?;
            let mut waiting = self.retry(&mut client)?;
            while !waiting.is_empty() {
                self.hear(client.read()?, &mut waiting)?;
            }
            Ok(())
        };
        match conversation() {
            Ok(()) => Ok(()),
            Err(End::Broken) => Err("a connection to a healthy server broke".into()),
            Err(End::Violation(violation)) => Err(violation),
        }
    }

    /// Connects, and hears every room from where it was.
    fn arrive(&mut self, address: SocketAddr) -> Result<Client, End> {
        let mut client = Client::open(address, &self.token)?;
        let rooms: Vec<_> = self.rooms.iter().map(|(room, last)| (*room, *last)).collect();
        for (room, last) in rooms {
            match last {
                None => self.join(&mut client, room)?,
                Some(_) => self.resume(&mut client, room)?,
            }
        }
        Ok(client)
    }

    fn join(&mut self, client: &mut Client, room: u32) -> Result<(), End> {
        let (outcome, events) = client.ask(Request::Join(Join { room }))?;
        let Outcome::Joined(joined) = outcome else {
            return Err(End::Violation(format!("cannot join: {outcome:?}")));
        };
        self.see_all(&events)?;
        self.rooms.insert(room, joined.position.map(|position| position.seq));
        Ok(())
    }

    fn resume(&mut self, client: &mut Client, room: u32) -> Result<(), End> {
        loop {
            let seq = self.rooms[&room].expect("it has joined");
            let from = Some(Position { epoch: client.epoch, seq });
            let (outcome, events) = client.ask(Request::Subscribe(Subscribe { room, from }))?;
            self.see_all(&events)?;
            match outcome {
                Outcome::Subscribed(subscribed) => {
                    let position = subscribed.position.map_or(0, |position| position.seq);
                    let last = self.rooms.get_mut(&room).and_then(Option::as_mut);
                    let last = last.expect("it has joined");
                    if position < *last {
                        let place = format!("is at {position}, and {last} was seen");
                        return Err(End::Violation(format!("room {room} {place}")));
                    }
                    *last = position;
                    return Ok(());
                }
                Outcome::Rejected(rejected) if rejected.name == "too_old" => {
                    let events = client.history(room, seq)?;
                    self.see_all(&events)?;
                }
                other => return Err(End::Violation(format!("cannot resume: {other:?}"))),
            }
        }
    }

    /// Sends again what was never acked, in the order of the first time.
    fn retry(&mut self, client: &mut Client) -> Result<Waiting, End> {
        let unacked = self.posts.iter().enumerate().filter(|(_, sent)| sent.acked.is_none());
        let unacked: Vec<_> = unacked.map(|(number, _)| number).collect();
        self.tried_again += unacked.len();
        unacked.into_iter().map(|number| Ok((self.post(client, number)?, number))).collect()
    }

    fn post(&self, client: &mut Client, number: usize) -> io::Result<u32> {
        let room = self.posts[number].room;
        client.send(post(room, &self.origin_id(number), &self.body(number)))
    }

    fn origin_id(&self, number: usize) -> String {
        format!("{}-{number}", self.index)
    }

    fn body(&self, number: usize) -> String {
        format!("{} says {number}", self.index)
    }

    fn see_all(&mut self, events: &[Event]) -> Result<(), End> {
        events.iter().try_for_each(|event| self.see(event))
    }

    /// Each event is the next one: none is missing before it and none comes twice.
    fn see(&mut self, event: &Event) -> Result<(), End> {
        let Some(Some(last)) = self.rooms.get_mut(&event.room) else {
            return Err(End::Violation(format!("heard before it has joined: {event:?}")));
        };
        if event.seq <= *last || event.prev > *last {
            return Err(End::Violation(format!("after {last} comes {event:?}")));
        }
        *last = event.seq;
        self.seen.push(Seen { room: event.room, seq: event.seq, digest: digest(event) });
        Ok(())
    }

    /// Takes a frame in; returns whether it was an ack.
    fn hear(&mut self, frame: Frame, waiting: &mut Waiting) -> Result<bool, End> {
        match frame {
            Frame::Event(event) => self.see(&event).map(|()| false),
            Frame::Reply(Reply { re, outcome: Some(Outcome::Posted(posted)) }) => {
                let number = waiting.remove(&re).expect("an answer to what was asked");
                self.acked_at(number, posted).map(|()| true)
            }
            Frame::Reply(Reply { re, outcome }) => {
                let number = waiting.get(&re);
                Err(End::Violation(format!("post {number:?} was answered by {outcome:?}")))
            }
            Frame::Goodbye(_) => Err(End::Broken),
            Frame::Welcome(welcome) => Err(End::Violation(format!("{welcome:?} comes late"))),
            Frame::Opened(_)
            | Frame::Invited(_)
            | Frame::Membership(_)
            | Frame::Read(_)
            | Frame::Here(_)
            | Frame::HeldPost(_)
            | Frame::Unheld(_) => Ok(false),
            Frame::Left(left) => Err(End::Violation(format!("{left:?}, and nobody leaves"))),
        }
    }

    fn acked_at(&mut self, number: usize, posted: Posted) -> Result<(), End> {
        let place = Place { seq: posted.seq, n: posted.n, at: posted.at };
        let sent = &mut self.posts[number];
        if posted.room != sent.room || sent.acked.is_some_and(|first| first != place) {
            return Err(End::Violation(format!("acked as {sent:?}, then as {posted:?}")));
        }
        sent.acked = Some(place);
        Ok(())
    }

    /// History, read at the end, says what this one was told.
    pub fn check(&self, history: &BTreeMap<u32, Vec<Event>>) -> Result<(), Violation> {
        for Seen { room, seq, digest } in &self.seen {
            let event = history[room].get(*seq as usize - 1);
            if event.map(self::digest) != Some(*digest) {
                return Err(format!("{} saw something else at {seq} than {event:?}", self.index));
            }
        }
        let prefix = format!("{}-", self.index);
        let mut copies = vec![0; self.posts.len()];
        for (room, events) in history {
            let mut last = None;
            for event in events {
                let Some(What::Message(message)) = &event.what else { continue };
                let Some(number) = message.origin_id.strip_prefix(&prefix) else { continue };
                let number: usize = number.parse().map_err(|_| format!("never sent: {event:?}"))?;
                let sent = self.posts.get(number).ok_or(format!("never sent: {event:?}"))?;
                let place = Place { seq: event.seq, n: message.n, at: event.at };
                if sent.room != *room
                    || sent.acked != Some(place)
                    || message.body != self.body(number)
                {
                    return Err(format!("{event:?} is not what was sent and acked: {sent:?}"));
                }
                if last.is_some_and(|last| last >= number) {
                    return Err(format!("{number} after {last:?}: a sender's order is not kept"));
                }
                last = Some(number);
                copies[number] += 1;
            }
        }
        match copies.iter().position(|copies| *copies != 1) {
            Some(number) => {
                let (sent, copies) = (&self.posts[number], copies[number]);
                Err(format!(
                    "{} sent {number} ({sent:?}), history has it {copies} times",
                    self.index
                ))
            }
            None => Ok(()),
        }
    }
}

fn digest(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut text = Vec::new();
    json::encode(event, &mut text);
    hasher.write(&text);
    hasher.finish()
}
