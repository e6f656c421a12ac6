//! What was sent, and whether every receiver got all of it, once, in the room's one order.
//!
//! The first copy of an event that any socket reads is decoded and compared with what was sent; it
//! becomes the room's next event. Every other receiver must read the same event at the same place:
//! the same bytes, or if not, the same event decoded. So every delivery is checked, at the price of
//! comparing a few hundred bytes.
//!
//! Neighbours: `crowd` reads the frames, `load` books the sends. It never looks at a clock.

use std::collections::{BTreeMap, VecDeque};

use hdrhistogram::Histogram;
use throng_wire::native::Form;
use throng_wire::native::v1::{self, event::What, reply::Outcome, server_frame::Frame};

use super::crowd::{Hears, decode};
use super::load::Account;
use super::text::Text;

/// One post.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub intended: u64,
    pub room: u32,
    /// What its `origin_id` and body are made from.
    pub number: u64,
    /// Place that the durable ack told; 0 until then.
    pub acked: u64,
    /// Place at which it was first heard; 0 until then.
    pub heard: u64,
    /// A repeat of an old post, which keeps its first ack and is heard by nobody.
    pub repeat: bool,
}

/// What the first ack of a post told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct First {
    pub seq: u32,
    pub n: u32,
    pub at: u64,
}

/// What went wrong; all zero in a good run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Faults {
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub foreign: u64,
    pub refused: u64,
    /// Sends without an ack at the end.
    pub unacked: u64,
    /// Repeats whose ack was not the first one again.
    pub repeats_wrong: u64,
}

impl Faults {
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Those of two runs together.
    pub fn and(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            foreign: self.foreign + other.foreign,
            refused: self.refused + other.refused,
            unacked: self.unacked + other.unacked,
            repeats_wrong: self.repeats_wrong + other.repeats_wrong,
        }
    }
}

#[derive(Debug)]
struct Heard {
    bytes: Box<[u8]>,
    send: usize,
    seq: u64,
    left: u32,
}

#[derive(Debug, Default)]
struct Room {
    listeners: u32,
    /// Index of the first event kept.
    base: u64,
    events: VecDeque<Heard>,
    last_seq: u64,
}

/// The account of one run.
#[derive(Debug)]
pub struct Book {
    form: Form,
    text: Text,
    rooms: Vec<Room>,
    /// Rooms each socket hears, with the index of the event it must read next.
    hears: Vec<Vec<(u32, u64)>>,
    pub sends: Vec<Sent>,
    /// Only latencies of sends intended in this span are kept.
    pub span: (u64, u64),
    pub acks: Histogram<u64>,
    pub deliveries: Histogram<u64>,
    pub last_deliveries: Histogram<u64>,
    /// When the first and the last ack of this span's sends were read.
    pub ack_times: Option<(u64, u64)>,
    pub faults: Faults,
    pub refusals: BTreeMap<String, u64>,
    /// First acks of old posts by their number: what a repeat must get again. With `keep_firsts`,
    /// those of this run are added.
    pub firsts: Vec<First>,
    pub keep_firsts: bool,
    /// Deliveries and acks so far.
    pub delivered: u64,
    pub acked: u64,
    event_bytes: (u64, u64),
    ack_bytes: (u64, u64),
}

pub fn histogram() -> Histogram<u64> {
    // A nanosecond to a minute, 0.1 %.
    Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("bounds are in order")
}

impl Book {
    pub fn new(form: Form, text: Text) -> Self {
        Self {
            form,
            text,
            rooms: Vec::new(),
            hears: Vec::new(),
            sends: Vec::new(),
            span: (0, u64::MAX),
            acks: histogram(),
            deliveries: histogram(),
            last_deliveries: histogram(),
            ack_times: None,
            faults: Faults::default(),
            refusals: BTreeMap::new(),
            firsts: Vec::new(),
            keep_firsts: false,
            delivered: 0,
            acked: 0,
            event_bytes: (0, 0),
            ack_bytes: (0, 0),
        }
    }

    /// The socket hears the room from now on.
    pub fn joins(&mut self, link: usize, room: u32) {
        if self.hears.len() <= link {
            self.hears.resize(link + 1, Vec::new());
        }
        if self.rooms.len() <= room as usize {
            self.rooms.resize_with(room as usize + 1, Room::default);
        }
        let entry = &mut self.rooms[room as usize];
        entry.listeners += 1;
        self.hears[link].push((room, entry.base + entry.events.len() as u64));
    }

    /// Mean length of an event's and an ack's payload so far.
    pub fn mean_bytes(&self) -> (f64, f64) {
        let mean = |(bytes, count): (u64, u64)| bytes as f64 / count.max(1) as f64;
        (mean(self.event_bytes), mean(self.ack_bytes))
    }

    /// Adds up what never came.
    pub fn close(&mut self) {
        for sent in &self.sends {
            if sent.acked == 0 {
                self.faults.unacked += 1;
            } else if !sent.repeat && sent.heard == 0 {
                let room = &self.rooms[sent.room as usize];
                self.faults.lost += u64::from(room.listeners);
            } else if !sent.repeat && sent.heard != sent.acked {
                self.faults.reordered += 1;
            }
        }
        self.faults.unacked = self.faults.unacked.saturating_sub(self.faults.refused);
        for hears in &self.hears {
            for &(room, next) in hears {
                let room = &self.rooms[room as usize];
                self.faults.lost += (room.base + room.events.len() as u64).saturating_sub(next);
            }
        }
    }

    /// The room of an event for a socket that hears several: read, where it stands by the grammar.
    fn slot(&self, link: usize, payload: &[u8]) -> Option<usize> {
        let hears = self.hears.get(link)?;
        if hears.len() == 1 {
            return Some(0);
        }
        let room = match self.form {
            Form::Json => json_room(payload)?,
            Form::Protobuf => protobuf_room(payload)?,
        };
        hears.iter().position(|&(heard, _)| heard == room)
    }

    fn in_span(&self, intended: u64) -> bool {
        self.span.0 <= intended && intended < self.span.1
    }

    /// The event at its place in the room was read by one more.
    fn heard(&mut self, link: usize, slot: usize, at: u64) {
        let (room, next) = &mut self.hears[link][slot];
        let room = &mut self.rooms[*room as usize];
        let event = &mut room.events[(*next - room.base) as usize];
        *next += 1;
        event.left -= 1;
        let last = event.left == 0;
        let intended = self.sends[event.send].intended;
        while room.events.front().is_some_and(|event| event.left == 0) {
            room.events.pop_front();
            room.base += 1;
        }
        self.delivered += 1;
        if self.in_span(intended) {
            let latency = at.saturating_sub(intended);
            self.deliveries.saturating_record(latency);
            if last {
                self.last_deliveries.saturating_record(latency);
            }
        }
    }

    fn event(&mut self, link: usize, event: &v1::Event, payload: &[u8], at: u64) {
        let Some(What::Message(message)) = &event.what else { return };
        let slot = self
            .hears
            .get(link)
            .and_then(|hears| hears.iter().position(|&(room, _)| room == event.room));
        let Some(slot) = slot else {
            self.faults.foreign += 1;
            return;
        };
        let Some(send) = Text::index(&message.body).filter(|&send| {
            self.sends.get(send).is_some_and(|sent| {
                sent.room == event.room
                    && self.text.body(sent.number, send) == message.body
                    && Text::origin(sent.number) == message.origin_id
            })
        }) else {
            self.faults.foreign += 1;
            return;
        };
        let next = self.hears[link][slot].1;
        let room = &mut self.rooms[event.room as usize];
        let behind = room.base + room.events.len() as u64;
        if next == behind {
            if self.sends[send].heard != 0 {
                self.faults.duplicated += 1;
                return;
            }
            if event.seq <= room.last_seq {
                self.faults.reordered += 1;
            }
            room.last_seq = event.seq;
            self.sends[send].heard = event.seq;
            self.event_bytes.0 += payload.len() as u64;
            self.event_bytes.1 += 1;
            let left = room.listeners;
            room.events.push_back(Heard { bytes: payload.into(), send, seq: event.seq, left });
        } else {
            let at = (next - room.base) as usize;
            let found = room.events.iter().position(|event| event.send == send);
            match found {
                Some(place) if place == at && room.events[at].seq == event.seq => {}
                Some(place) if place > at => {
                    for skipped in at..place {
                        self.faults.lost += 1;
                        room.events[skipped].left -= 1;
                    }
                    self.hears[link][slot].1 += (place - at) as u64;
                }
                _ => {
                    self.faults.duplicated += 1;
                    return;
                }
            }
        }
        self.heard(link, slot, at);
    }

    fn reply(&mut self, reply: &v1::Reply, len: usize, at: u64) {
        let Some(sent) = (reply.re as usize).checked_sub(1).and_then(|i| self.sends.get_mut(i))
        else {
            return;
        };
        match &reply.outcome {
            Some(Outcome::Posted(posted)) => {
                self.ack_bytes.0 += len as u64;
                self.ack_bytes.1 += 1;
                self.acked += 1;
                if sent.acked != 0 || posted.room != sent.room {
                    self.faults.duplicated += 1;
                }
                let now = First { seq: posted.seq as u32, n: posted.n as u32, at: posted.at };
                let number = sent.number as usize;
                if sent.repeat && (!posted.repeat || self.firsts.get(number) != Some(&now)) {
                    self.faults.repeats_wrong += 1;
                }
                if self.keep_firsts {
                    if self.firsts.len() <= number {
                        self.firsts.resize(number + 1, First::default());
                    }
                    self.firsts[number] = now;
                }
                sent.acked = posted.seq;
                let intended = sent.intended;
                if self.in_span(intended) {
                    self.acks.saturating_record(at.saturating_sub(intended));
                    let first = self.ack_times.map_or(at, |(first, _)| first);
                    self.ack_times = Some((first, at));
                }
            }
            Some(Outcome::Rejected(rejected)) => {
                self.faults.refused += 1;
                *self.refusals.entry(rejected.name.clone()).or_default() += 1;
            }
            _ => {}
        }
    }
}

impl Hears for Book {
    fn frame(&mut self, link: usize, payload: &[u8], at: u64) {
        if let Some(slot) = self.slot(link, payload) {
            let (room, next) = self.hears[link][slot];
            let room = &self.rooms[room as usize];
            let event = room.events.get((next - room.base) as usize);
            if event.is_some_and(|event| *event.bytes == *payload) {
                self.heard(link, slot, at);
                return;
            }
        }
        match decode(self.form, payload).and_then(|frame| frame.frame) {
            Some(Frame::Event(event)) => self.event(link, &event, payload, at),
            Some(Frame::Reply(reply)) => self.reply(&reply, payload.len(), at),
            Some(Frame::Goodbye(goodbye)) => {
                *self.refusals.entry(format!("goodbye: {}", goodbye.reason)).or_default() += 1;
            }
            Some(
                Frame::Welcome(_)
                | Frame::Opened(_)
                | Frame::Invited(_)
                | Frame::Membership(_)
                | Frame::Read(_)
                | Frame::Here(_)
                | Frame::HeldPost(_)
                | Frame::Unheld(_),
            ) => {}
            // Nobody leaves a room of the bench.
            Some(Frame::Left(_)) | None => self.faults.foreign += 1,
        }
    }
}

impl Account for Book {
    fn sends(&mut self, _: usize, sent: Sent) -> usize {
        self.sends.push(sent);
        self.sends.len() - 1
    }

    fn span(&mut self, from: u64, to: u64) {
        self.span = (from, to);
        self.ack_times = None;
    }

    fn counts(&self) -> (u64, u64) {
        (self.acked, self.delivered)
    }

    fn settled(&self) -> bool {
        self.acked + self.faults.refused == self.sends.len() as u64
            && self.rooms.iter().all(|room| room.events.is_empty())
    }
}

/// `{"event":{"room":12,…`
fn json_room(payload: &[u8]) -> Option<u32> {
    let digits = payload.strip_prefix(b"{\"event\":{\"room\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// Field 3 of `ServerFrame`, whose field 1 is the room.
fn protobuf_room(payload: &[u8]) -> Option<u32> {
    if payload.first() != Some(&0x1a) {
        return None;
    }
    let length = 1 + payload[1..].iter().position(|byte| *byte < 0x80)? + 1;
    if payload.get(length) != Some(&0x08) {
        return None;
    }
    let mut room = 0;
    for (shift, byte) in payload[length + 1..].iter().take(5).enumerate() {
        room |= u32::from(byte & 0x7f) << (7 * shift);
        if *byte < 0x80 {
            return Some(room);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use throng_wire::native::{json, protobuf};

    fn event(book: &Book, send: usize, seq: u64) -> v1::ServerFrame {
        let sent = book.sends[send];
        let message = v1::Message {
            n: seq,
            from: None,
            origin_id: Text::origin(sent.number),
            body: book.text.body(sent.number, send),
            ..v1::Message::default()
        };
        let what = Some(What::Message(message));
        let event = v1::Event { room: sent.room, seq, prev: seq - 1, at: 0, what };
        v1::ServerFrame { frame: Some(Frame::Event(event)) }
    }

    fn payload(form: Form, frame: &v1::ServerFrame) -> Vec<u8> {
        let mut bytes = Vec::new();
        match form {
            Form::Json => json::encode_server(frame, &mut bytes),
            Form::Protobuf => protobuf::encode_server(frame, &mut bytes),
        }
        bytes
    }

    fn book(form: Form) -> Book {
        let mut book = Book::new(form, Text::new(200));
        for link in 0..3 {
            book.joins(link, 7);
            book.joins(link, 300);
        }
        for number in 0..4 {
            let sent = Sent { intended: 1, room: 300, number, acked: 0, heard: 0, repeat: false };
            book.sends.push(sent);
        }
        book
    }

    #[test]
    fn a_fault_of_either_run_is_one_of_both() {
        let refused = Faults { refused: 1, ..Faults::default() };
        let both = Faults { lost: 2, ..Faults::default() }.and(refused);
        assert!(both.any() && Faults::default().and(refused).any());
        assert_eq!(both, Faults { lost: 2, refused: 1, ..Faults::default() });
        assert!(!Faults::default().and(Faults::default()).any());
    }

    #[test]
    fn all_heard_in_one_order_is_faultless_in_both_forms() {
        for form in Form::ALL {
            let mut book = book(form);
            for link in 0..3 {
                for send in 0..4 {
                    let bytes = payload(form, &event(&book, send, send as u64 + 1));
                    book.frame(link, &bytes, 5);
                }
            }
            for send in 0..4 {
                let posted = v1::Posted { room: 300, seq: send + 1, ..v1::Posted::default() };
                let outcome = Some(Outcome::Posted(posted));
                let reply = v1::Reply { re: send as u32 + 1, outcome };
                let frame = v1::ServerFrame { frame: Some(Frame::Reply(reply)) };
                book.frame(0, &payload(form, &frame), 9 + send);
            }
            assert!(book.settled());
            assert_eq!(book.ack_times, Some((9, 12)));
            book.span(13, 20);
            assert_eq!(book.ack_times, None, "none of the next span has come");
            book.close();
            assert_eq!(book.faults, Faults::default());
            assert_eq!((book.delivered, book.acked), (12, 4));
        }
    }

    #[test]
    fn what_is_lost_doubled_swapped_or_foreign_is_counted() {
        let form = Form::Json;
        let hear = |book: &mut Book, link: usize, send: usize| {
            let bytes = payload(form, &event(book, send, send as u64 + 1));
            book.frame(link, &bytes, 5);
        };
        let mut lost = book(form);
        for send in 0..4 {
            hear(&mut lost, 0, send);
        }
        for send in [0, 2, 3] {
            hear(&mut lost, 1, send);
        }
        assert_eq!(lost.faults.lost, 1, "link 1 never heard the second");
        hear(&mut lost, 0, 3);
        assert_eq!(lost.faults.duplicated, 1);
        hear(&mut lost, 9, 3);
        assert_eq!(lost.faults.foreign, 1);
        lost.close();
        assert_eq!(lost.faults.lost, 5, "and link 2 heard none of four");
        assert_eq!(lost.faults.unacked, 4);
    }
}
