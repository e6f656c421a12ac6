//! The floor's process: one thread, one epoll, the plan's writes and nothing else.
//!
//! Neighbours: `member` holds a socket; `bench` starts this in a process of its own and reads its
//! `/metrics`. Setup requests (upgrade, authenticate, create, join) are decoded properly, because
//! they are not measured; of a post only the length and the room are read.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use throng_wire::native::v1::{self, client_frame::Request, reply::Outcome, server_frame::Frame};
use throng_wire::native::{Form, json, protobuf};
use throng_wire::ws;

use super::hold::{self, Hold};
use super::member::{Ink, Member, is_due};
use super::{Done, Plan};
use crate::clock::own_cpu;

const LISTENER: Token = Token(usize::MAX - 1);
const UNTIL: Token = Token(usize::MAX - 2);
/// Nothing came for so long: what is held is written, so that the last frames arrive.
const IDLE_FLUSH: Duration = Duration::from_millis(400);
/// Where a post's room must stand, by its grammar; only these bytes of it are unmasked.
const ROOM_WITHIN: usize = 96;
/// Sockets waiting to be accepted.
const BACKLOG: i32 = 4_096;
/// A request or frame longer than this ends its connection.
const REST_LEN_MAX: usize = 256 * 1024;
/// Rooms there can be.
const ROOMS_MAX: usize = 1_000_000;

/// Serves until `until` (standard input, of a process) can be read or ends, then prints a `Done`.
pub fn serve(plan: &Plan, until: BorrowedFd, out: &mut dyn Write) -> io::Result<()> {
    let mut floor = Floor::open(plan, until)?;
    writeln!(out, "floor: listening on {}", floor.listener.local_addr()?)?;
    out.flush()?;
    floor.run()?;
    floor.done.cpu_seconds = own_cpu().as_secs_f64();
    writeln!(out, "{}", serde_json::to_string(&floor.done).map_err(io::Error::other)?)
}

struct Floor {
    poll: Poll,
    listener: TcpListener,
    members: Vec<Option<Member>>,
    forms: Vec<Form>,
    /// Members of each room, by its number.
    rooms: Vec<Vec<usize>>,
    ink: Ink,
    frames_per_write: f64,
    send_buffer_bytes: usize,
    disk: Option<Disk>,
    /// Read, not told yet: (room, sender).
    waiting: Vec<(usize, usize)>,
    /// At so many posts all that is held goes out.
    flush_at: Option<u64>,
    done: Done,
}

struct Disk {
    file: File,
    sends_per_sync: f64,
    /// Syncs that the posts read so far are worth, less those made.
    due: f64,
    record: Vec<u8>,
    bytes: Vec<u8>,
}

impl Floor {
    fn open(plan: &Plan, until: BorrowedFd) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(plan.listen),
            socket2::Type::STREAM.nonblocking(),
            None,
        )?;
        socket.set_reuse_address(true)?;
        socket.bind(&plan.listen.into())?;
        socket.listen(BACKLOG)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        poll.registry().register(&mut SourceFd(&until.as_raw_fd()), UNTIL, Interest::READABLE)?;
        let disk = plan.durable.as_ref().map(|durable| {
            Ok::<_, io::Error>(Disk {
                file: File::create(&durable.file)?,
                sends_per_sync: durable.sends_per_sync,
                due: 0.0,
                record: vec![b'r'; durable.record_bytes],
                bytes: Vec::new(),
            })
        });
        Ok(Self {
            poll,
            listener,
            members: Vec::new(),
            forms: Vec::new(),
            rooms: Vec::new(),
            ink: Ink::new(plan.ack_bytes, plan.event_bytes),
            frames_per_write: plan.frames_per_write,
            send_buffer_bytes: plan.send_buffer_bytes,
            disk: disk.transpose()?,
            waiting: Vec::new(),
            flush_at: None,
            done: Done::default(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.poll.poll(&mut events, Some(IDLE_FLUSH)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            if events.is_empty() {
                self.flush()?;
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    UNTIL => return Ok(()),
                    Token(index) => {
                        let went = self.ready(index, event.is_writable(), &mut buffer);
                        if went.is_err() {
                            self.drop_member(index);
                        }
                    }
                }
            }
            self.commit(false)?;
            if self.flush_at.is_some_and(|posts| self.done.posts >= posts) {
                self.flush_at = None;
                self.flush()?;
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            socket2::SockRef::from(&stream).set_send_buffer_size(self.send_buffer_bytes)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(self.members.len()), both)?;
            self.members.push(Some(Member::new(stream)));
            self.forms.push(Form::Json);
        }
    }

    fn drop_member(&mut self, index: usize) {
        self.members[index] = None;
        for room in &mut self.rooms {
            room.retain(|&member| member != index);
        }
    }

    fn ready(&mut self, index: usize, writable: bool, buffer: &mut [u8]) -> io::Result<()> {
        let Some(member) = &mut self.members[index] else { return Ok(()) };
        if writable {
            member.writable()?;
        }
        loop {
            let Some(member) = &mut self.members[index] else { return Ok(()) };
            let (len, more) = member.read(buffer)?;
            if len > 0 {
                self.received(index, &mut buffer[..len])?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Takes whole frames out of the bytes; keeps what is left of a part.
    fn received(&mut self, index: usize, bytes: &mut [u8]) -> io::Result<()> {
        let Some(member) = &mut self.members[index] else { return Ok(()) };
        if member.rest.is_empty() && member.upgraded {
            let taken = self.frames(index, bytes)?;
            if let Some(member) = &mut self.members[index] {
                member.rest.extend_from_slice(&bytes[taken..]);
            }
            return Ok(());
        }
        member.rest.extend_from_slice(bytes);
        if member.rest.len() > REST_LEN_MAX {
            return Err(io::Error::other("a frame too long"));
        }
        let mut rest = std::mem::take(&mut member.rest);
        let (mut taken, upgraded) = (0, member.upgraded);
        if !upgraded {
            taken = self.upgrade(index, &rest)?;
        }
        // A head that has not wholly come is no frame.
        if taken > 0 || upgraded {
            taken += self.frames(index, &mut rest[taken..])?;
        }
        rest.drain(..taken);
        if let Some(member) = &mut self.members[index] {
            member.rest = rest;
        }
        Ok(())
    }

    /// Answers a request head: the upgrade, or one without.
    fn upgrade(&mut self, index: usize, bytes: &[u8]) -> io::Result<usize> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(0);
        };
        let head = std::str::from_utf8(&bytes[..end]).map_err(io::Error::other)?;
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let Some(key) = header("sec-websocket-key") else {
            let text = self.asked(head.split(' ').nth(1).unwrap_or_default());
            let member = self.members[index].as_mut().expect("it was read from");
            member.answer(text.as_bytes())?;
            return Err(io::Error::other("answered"));
        };
        let member = self.members[index].as_mut().expect("it was read from");
        let form = header("sec-websocket-protocol").and_then(Form::offered).unwrap_or(Form::Json);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-accept: {}\r\nsec-websocket-protocol: {}\r\n\r\n",
            ws::accept_key(key),
            form.subprotocol()
        );
        member.upgraded = true;
        self.forms[index] = form;
        member.answer(answer.as_bytes())?;
        let welcome = v1::Welcome { server: "floor".into(), epoch: 1, limits: None };
        self.say(index, Frame::Welcome(welcome))?;
        Ok(end + 4)
    }

    /// What was asked for is the counters, after `GET /hold?…` has been heeded.
    fn asked(&mut self, target: &str) -> String {
        let hold = target.strip_prefix(hold::TARGET).map(Hold::from_query);
        let (status, body) = match hold {
            Some(None) => ("400 Bad Request", String::new()),
            Some(Some(_)) | None => ("200 OK", metrics(&self.done)),
        };
        if let Some(hold) = hold.flatten() {
            self.frames_per_write = hold.frames_per_write;
            if let Some(disk) = &mut self.disk {
                disk.sends_per_sync = hold.sends_per_sync;
            }
            self.flush_at = Some(self.done.posts + hold.posts);
        }
        let len = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}")
    }

    /// Goes through whole frames; the bytes they take.
    fn frames(&mut self, index: usize, bytes: &mut [u8]) -> io::Result<usize> {
        let mut at = 0;
        while let Some((head, len)) = frame_len(&bytes[at..]) {
            if bytes.len() - at < head + len {
                break;
            }
            let mask: [u8; 4] = bytes[at + head - 4..at + head].try_into().expect("four bytes");
            let opcode = bytes[at] & 0x0f;
            let payload = &mut bytes[at + head..at + head + len];
            if opcode == 8 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if opcode < 8 {
                self.frame(index, mask, payload)?;
            }
            at += head + len;
        }
        Ok(at)
    }

    fn frame(&mut self, index: usize, mask: [u8; 4], payload: &mut [u8]) -> io::Result<()> {
        let start = payload.len().min(ROOM_WITHIN);
        unmask(&mut payload[..start], mask, 0);
        let room = match self.forms[index] {
            Form::Json => room_in_json(&payload[..start]),
            Form::Protobuf => room_in_protobuf(&payload[..start]),
        };
        if let Some(room) = room {
            self.done.posts += 1;
            if let Some(disk) = &mut self.disk {
                disk.due += 1.0 / disk.sends_per_sync;
                self.waiting.push((room, index));
                return Ok(());
            }
            return self.tell(room, index);
        }
        unmask(&mut payload[start..], mask, start);
        let frame = match self.forms[index] {
            Form::Json => json::decode_client(payload),
            Form::Protobuf => protobuf::decode_client(payload),
        };
        let frame = frame.map_err(io::Error::other)?;
        self.request(index, &frame)
    }

    /// What the setup asks; answered as a server would, remembered only as far as rooms go.
    fn request(&mut self, index: usize, frame: &v1::ClientFrame) -> io::Result<()> {
        let outcome = match &frame.request {
            Some(Request::Authenticate(_)) => Outcome::Session(v1::Session {
                user: Some(v1::User { id: index as u64 + 1, name: format!("u{index}") }),
                token: String::new(),
            }),
            Some(Request::CreateRoom(_)) => {
                self.join(self.rooms.len().max(1), index);
                Outcome::Joined(joined(self.rooms.len() - 1))
            }
            Some(Request::Join(join)) => {
                self.join((join.room as usize).min(ROOMS_MAX), index);
                Outcome::Joined(joined(join.room as usize))
            }
            Some(Request::Ping(_)) => Outcome::Pong(v1::Pong {}),
            _ => Outcome::Done(v1::Done {}),
        };
        self.say(index, Frame::Reply(v1::Reply { re: frame.id, outcome: Some(outcome) }))
    }

    fn join(&mut self, room: usize, index: usize) {
        if self.rooms.len() <= room {
            self.rooms.resize(room + 1, Vec::new());
        }
        if !self.rooms[room].contains(&index) {
            self.rooms[room].push(index);
        }
    }

    fn say(&mut self, index: usize, frame: Frame) -> io::Result<()> {
        let frame = v1::ServerFrame { frame: Some(frame) };
        let (mut payload, mut bytes) = (Vec::new(), Vec::new());
        let opcode = match self.forms[index] {
            Form::Json => {
                json::encode_server(&frame, &mut payload);
                ws::Opcode::Text
            }
            Form::Protobuf => {
                protobuf::encode_server(&frame, &mut payload);
                ws::Opcode::Binary
            }
        };
        ws::encode_frame(opcode, &payload, None, &mut bytes);
        self.members[index].as_mut().map_or(Ok(()), |member| member.answer(&bytes))
    }

    /// Appends and syncs what waits, when there are as many as the server had, then tells it.
    fn commit(&mut self, all: bool) -> io::Result<()> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        if self.waiting.is_empty() || (!all && !is_due(disk.due)) {
            return Ok(());
        }
        disk.bytes.clear();
        for _ in &self.waiting {
            disk.bytes.extend_from_slice(&disk.record);
        }
        disk.file.write_all(&disk.bytes)?;
        disk.file.sync_data()?;
        disk.due -= 1.0;
        self.done.syncs += 1;
        let mut waiting = std::mem::take(&mut self.waiting);
        for (room, sender) in waiting.drain(..) {
            self.tell(room, sender)?;
        }
        self.waiting = waiting;
        Ok(())
    }

    /// Writes the post to the room's members, and the ack to its sender.
    fn tell(&mut self, room: usize, sender: usize) -> io::Result<()> {
        let Some(listeners) = self.rooms.get(room) else { return Ok(()) };
        for &index in listeners {
            let Some(member) = &mut self.members[index] else { continue };
            let ack = (index == sender).then_some((1, 0));
            for (acks, events) in ack.into_iter().chain([(0, 1)]) {
                if member.told(acks, events, self.frames_per_write) {
                    self.done.frames += member.write(&self.ink)? as u64;
                    self.done.writes += 1;
                }
            }
        }
        Ok(())
    }

    /// Nothing came for a while: what is held goes out.
    fn flush(&mut self) -> io::Result<()> {
        self.commit(true)?;
        for member in self.members.iter_mut().flatten() {
            let frames = member.write(&self.ink)?;
            self.done.frames += frames as u64;
            self.done.writes += u64::from(frames > 0);
        }
        Ok(())
    }
}

fn joined(room: usize) -> v1::Joined {
    let position = Some(v1::Position { epoch: 1, seq: 0 });
    v1::Joined { room: room as u32, seq: 0, position, already: false }
}

/// The floor's counters, under names of their own.
fn metrics(done: &Done) -> String {
    format!(
        "floor_posts_total {}\nfloor_frames_total {}\nfloor_writes_total {}\nfloor_syncs_total {}\n",
        done.posts, done.frames, done.writes, done.syncs
    )
}

/// Header and payload length of a masked frame.
fn frame_len(bytes: &[u8]) -> Option<(usize, usize)> {
    let short = usize::from(bytes.get(1)? & 0x7f);
    match short {
        126 => Some((8, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)))),
        127 => Some((14, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize)),
        len => Some((6, len)),
    }
    .filter(|(head, _)| bytes.len() >= *head)
}

fn unmask(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte ^= mask[(at + offset) % 4];
    }
}

/// `{"id":7,"post":{"room":12,…`: the number after `"room":`, of a post only.
fn room_in_json(start: &[u8]) -> Option<usize> {
    let post = find(start, b"\"post\":{")?;
    let room = post + find(&start[post..], b"\"room\":")?;
    let mut number = None;
    for byte in &start[room..] {
        match byte {
            b'0'..=b'9' => number = Some(number.unwrap_or(0) * 10 + usize::from(byte - b'0')),
            b' ' if number.is_none() => {}
            _ => break,
        }
    }
    number.filter(|&number| number <= ROOMS_MAX)
}

/// Where `needle` ends.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle).map(|at| at + needle.len())
}

/// Field 1 of `ClientFrame` is its id, field 10 the post, whose field 1 is the room.
fn room_in_protobuf(start: &[u8]) -> Option<usize> {
    let mut at = 0;
    if start.first() == Some(&0x08) {
        at = 1;
        varint(start, &mut at)?;
    }
    if start.get(at) != Some(&0x52) {
        return None;
    }
    at += 1;
    varint(start, &mut at)?;
    if start.get(at) != Some(&0x08) {
        return None;
    }
    at += 1;
    varint(start, &mut at).map(|room| room as usize).filter(|&room| room <= ROOMS_MAX)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::Durable;
    use super::*;

    #[test]
    fn the_room_is_found_in_both_forms_and_only_in_a_post() {
        let post =
            v1::Post { room: 812, body: "hi".into(), origin_id: "a".into(), ..v1::Post::default() };
        let frame = v1::ClientFrame { id: 300, request: Some(Request::Post(post)) };
        let mut bytes = Vec::new();
        json::encode_client(&frame, &mut bytes);
        assert_eq!(room_in_json(&bytes), Some(812));
        bytes.clear();
        protobuf::encode_client(&frame, &mut bytes);
        assert_eq!(room_in_protobuf(&bytes), Some(812));
        let join = Request::Join(v1::Join { room: 5 });
        let frame = v1::ClientFrame { id: 1, request: Some(join) };
        bytes.clear();
        json::encode_client(&frame, &mut bytes);
        assert_eq!(room_in_json(&bytes), None);
        bytes.clear();
        protobuf::encode_client(&frame, &mut bytes);
        assert_eq!(room_in_protobuf(&bytes), None);
    }

    #[test]
    fn every_member_is_written_to_with_the_frames_a_write_asked_for() {
        for (frames_per_write, writes) in [(1.0, 225..=225), (4.0, 56..=64)] {
            let folder = tempfile::tempdir().expect("a folder");
            let plan = Plan {
                listen: ([127, 0, 0, 1], 0).into(),
                frames_per_write,
                event_bytes: 300,
                ack_bytes: 90,
                send_buffer_bytes: 32 * 1024,
                durable: Some(Durable {
                    file: folder.path().join("log"),
                    sends_per_sync: 1.0,
                    record_bytes: 100,
                }),
            };
            let done = crate::bench::floor_once(&plan, 4, &[(None, 45)]).expect("the floor ran");
            assert_eq!((done.posts, done.frames), (45, 45 * 5));
            assert!(writes.contains(&done.writes), "{} writes", done.writes);
            let log = std::fs::metadata(folder.path().join("log")).expect("a log");
            assert_eq!(log.len(), 45 * 100);
            assert!(done.syncs <= 45);
        }
    }

    #[test]
    fn a_floor_that_is_told_to_holds_back_otherwise_from_then_on() {
        let plan = Plan {
            listen: ([127, 0, 0, 1], 0).into(),
            frames_per_write: 1.0,
            event_bytes: 300,
            ack_bytes: 90,
            send_buffer_bytes: 32 * 1024,
            durable: None,
        };
        let hold =
            |frames_per_write| Some(Hold { frames_per_write, sends_per_sync: 1.0, posts: 40 });
        for (then, writes) in [(1.0, 400..=400), (5.0, 240..=248), (10.0, 220..=228)] {
            let slices = [(None, 40), (hold(then), 40)];
            let done = crate::bench::floor_once(&plan, 4, &slices).expect("the floor ran");
            assert_eq!((done.posts, done.frames), (80, 80 * 5));
            assert!(writes.contains(&done.writes), "{} writes at {then}", done.writes);
        }
    }

    #[test]
    fn a_frame_is_taken_only_with_its_whole_header() {
        assert_eq!(frame_len(&[0x81]), None);
        assert_eq!(frame_len(&[0x81, 0x85, 1, 2, 3]), None);
        assert_eq!(frame_len(&[0x81, 0x85, 1, 2, 3, 4]), Some((6, 5)));
        assert_eq!(frame_len(&[0x81, 0xfe, 1, 0, 0, 0, 0, 0]), Some((8, 256)));
    }
}
