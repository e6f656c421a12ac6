//! A server in memory, on the raw port (and HTTP for files), that keeps every promise but the one it is told to
//! break. One thread a connection and one lock for everything: it is right by being simple.

mod changes;
mod counts;
mod files;
mod placeless;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throng_wire::native::protobuf;
use throng_wire::native::v1::{
    self, ClientFrame, ServerFrame, client_frame::Request, event::What, reply::Outcome,
    server_frame::Frame,
};
use throng_wire::raw;

use counts::Counts;

/// What it does wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sin {
    None,
    DropDelivery,
    RepeatDelivery,
    SwapDeliveries,
    LeakToAnotherRoom,
    ChangeBody,
    LieInAck,
    ForgetPost,
    PostRetryTwice,
    ResumeOneTooLate,
    ResumeOneTooEarly,
    NeverAck,
    /// Says of a file that was sent that it has other bytes.
    KeepAnotherFile,
    /// Tells of a message, and not of the file that it carries.
    LoseFile,
    /// Hands out other bytes.
    ChangeFile,
    /// Hands a file out to one who is in no such room.
    LeakFile,
    /// Hands it out to no member.
    RefuseFile,
    /// Tells one who hears a room nothing more.
    GoSilent,
    /// Counts each post twice.
    CountPostsTwice,
    /// Counts every other delivery.
    CountHalfOfDeliveries,
    /// Says that each post was answered twice.
    CountAcksTwice,
    /// Says that its stages took ten seconds of each post.
    CountLongStages,
    /// Lets each wait a while who wants to be somebody.
    LetThemWait,
    /// Says that one who joins hears what follows later, and withholds what came until then.
    JoinLate,
    /// Has one leave that never asked to.
    ThrowOut,
    /// Shows the text of a message that it says was deleted.
    ShowDeleted,
    /// Shows the text of an edit of such a one.
    ShowDeletedEdit,
    /// Says of an edit that it was made before, and makes none.
    SwallowEdit,
    /// Tells one of another time.
    AlterTime,
    /// Tells one of another name.
    AlterName,
    /// Refuses what it keeps and tells.
    RefuseKept,
    /// Says to one who leaves that it is no member, and tells it nothing more.
    RefuseLeave,
    /// Reads and answers nothing from now on.
    Stall,
    /// Closes everything and refuses what comes.
    Die,
}

#[derive(Default)]
struct Room {
    order: Vec<v1::Event>,
    members: BTreeSet<u64>,
    posts: u64,
    listeners: BTreeMap<u64, usize>,
    origins: HashMap<(u64, String), v1::Posted>,
    /// The newest texts, with the places of their edits.
    edits: HashMap<u64, (u64, String)>,
    deleted: HashSet<u64>,
    /// Who has answered what.
    reacted: HashSet<(u64, u64)>,
}

struct World {
    sin: Sin,
    sinned: bool,
    /// Tells no places.
    placeless: bool,
    /// Posts before it sins.
    patience: u64,
    rooms: Vec<Room>,
    connections: Vec<Option<TcpStream>>,
    held: Option<(usize, ServerFrame)>,
    /// A connection that is told nothing of a room up to a place.
    deaf: Option<(usize, u32, u64)>,
    /// Who is to be answered after the next post: user, connection, request.
    late: Vec<(u64, usize, u32, v1::Subscribe)>,
    dead: bool,
    pages: u64,
    files: Vec<Vec<u8>>,
    counts: Counts,
    /// Who has to wait.
    waited: BTreeSet<u64>,
}

/// What one has to wait: a fifth of a visit in the tests.
pub const WAIT_MS: u32 = 200;

/// More than this is too old to be resumed; and a page has no more.
const RESUME_MAX: usize = 7;

/// A page of members has no more.
const MEMBERS_MAX: usize = 4;

/// What the picture of an account is: bytes that are none, which is nothing to the lab.
pub fn picture(user: u64) -> Vec<u8> {
    format!("the picture of {user}").into_bytes()
}

/// What it is called.
pub fn picture_name(user: u64) -> String {
    blake3::hash(&picture(user)).to_hex().to_string()
}

pub struct Double {
    /// Of the raw port.
    pub address: SocketAddr,
    /// Of HTTP.
    pub files: SocketAddr,
    world: Arc<Mutex<World>>,
}

impl Double {
    pub fn start(sin: Sin) -> Self {
        Self::start_as(sin, false)
    }

    /// One that keeps the same promises, and tells no places: what it says cannot be compared with an order.
    pub fn without_places(sin: Sin) -> Self {
        Self::start_as(sin, true)
    }

    fn start_as(sin: Sin, placeless: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::new(Mutex::new(World {
            sin,
            sinned: false,
            placeless,
            patience: 20,
            rooms: Vec::new(),
            connections: Vec::new(),
            held: None,
            deaf: None,
            late: Vec::new(),
            dead: false,
            pages: 0,
            files: Vec::new(),
            counts: Counts::default(),
            waited: BTreeSet::new(),
        }));
        let files = files::listen(&world);
        let shared = Arc::clone(&world);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut world = shared.lock().unwrap();
                if world.dead {
                    continue;
                }
                let number = world.connections.len();
                world.connections.push(Some(stream.try_clone().unwrap()));
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, number, &shared));
            }
        });
        Self { address, files, world }
    }

    pub fn sinned(&self) -> bool {
        self.world.lock().unwrap().sinned
    }
}

fn serve(mut stream: TcpStream, number: usize, world: &Mutex<World>) {
    let welcome = v1::Welcome { server: "double".into(), epoch: 1, limits: None };
    world.lock().unwrap().write(number, &ServerFrame { frame: Some(Frame::Welcome(welcome)) });
    let mut user = 0;
    let mut head = [0; raw::HEADER_LEN];
    while stream.read_exact(&mut head).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(head) as usize];
        if stream.read_exact(&mut frame).is_err() {
            break;
        }
        let ClientFrame { id, request } = protobuf::decode_client(&frame).unwrap();
        let mut world = world.lock().unwrap();
        if let Some(Request::Authenticate(it)) = &request {
            user = it.token.parse().unwrap();
        }
        let Some(outcome) = world.request(user, number, id, request.unwrap()) else { continue };
        world.reply(number, id, outcome);
    }
    let mut world = world.lock().unwrap();
    for room in &mut world.rooms {
        room.listeners.retain(|_, connection| *connection != number);
    }
    world.connections[number] = None;
}

impl World {
    /// Whether to sin now.
    fn sins(&mut self, sin: Sin) -> bool {
        let now = self.sin == sin && !self.sinned && self.patience == 0;
        self.sinned |= now;
        now
    }

    fn write(&mut self, connection: usize, frame: &ServerFrame) {
        let mut bytes = Vec::new();
        let frame = if self.placeless { placeless::told(frame.clone()) } else { frame.clone() };
        raw::encode_with(&mut bytes, |out| protobuf::encode_server(&frame, out));
        if let Some(stream) = &mut self.connections[connection] {
            // The peer may be gone already.
            let _ = stream.write_all(&bytes);
        }
    }

    fn reply(&mut self, connection: usize, re: u32, outcome: Outcome) {
        let reply = v1::Reply { re, outcome: Some(outcome) };
        self.write(connection, &ServerFrame { frame: Some(Frame::Reply(reply)) });
    }

    /// Each time one comes: who comes in then has come late, and not by its own plan.
    fn lets_wait(&mut self, user: u64) -> bool {
        let waits = self.sin == Sin::LetThemWait && self.waited.insert(user);
        if !waits {
            self.waited.remove(&user);
        }
        waits
    }

    fn request(
        &mut self,
        user: u64,
        connection: usize,
        re: u32,
        request: Request,
    ) -> Option<Outcome> {
        match request {
            Request::Authenticate(_) if self.lets_wait(user) => {
                Some(rejected(300, "rate_limited", Some(WAIT_MS)))
            }
            Request::Authenticate(_) => {
                let user = Some(v1::User { id: user, name: format!("u{user}") });
                Some(Outcome::Session(v1::Session { user, token: String::new() }))
            }
            Request::CreateRoom(_) => {
                self.rooms.push(Room::default());
                let room = self.rooms.len() as u32;
                let by = Some(v1::User { id: user, name: String::new() });
                let created = v1::RoomCreated { by, name: String::new(), kind: 0 };
                self.happen(room, What::Created(created));
                Some(self.join(user, connection, room))
            }
            Request::Join(it) => Some(self.join(user, connection, it.room)),
            Request::Leave(it) => Some(self.leave(user, connection, it.room)),
            Request::Post(it) => self.post(user, connection, re, it),
            Request::Subscribe(it) if self.is_too_soon(&it) => {
                self.late.push((user, connection, re, it));
                None
            }
            Request::Subscribe(it) => Some(self.subscribe(user, connection, &it)),
            Request::History(it) => {
                self.pages += 1;
                if self.pages.is_multiple_of(5) {
                    return Some(rejected(300, "rate_limited", Some(1)));
                }
                let room = &self.rooms[it.room as usize - 1];
                let after = it.after.unwrap() as usize;
                let to = (after + RESUME_MAX).min(room.order.len());
                let (events, more) = (room.order[after..to].to_vec(), to < room.order.len());
                let events = self.shown(it.room, events);
                Some(Outcome::Page(v1::Page { room: it.room, events, more }))
            }
            Request::Members(it) => Some(self.members(&it)),
            Request::Edit(it) => Some(self.edit(user, it)),
            Request::Delete(it) => Some(self.delete(user, &it)),
            Request::React(it) => Some(self.react(user, it)),
            _ => Some(Outcome::Done(v1::Done {})),
        }
    }

    /// Some of those who are there, each with its picture.
    fn members(&self, it: &v1::Members) -> Outcome {
        let all = &self.rooms[it.room as usize - 1].members;
        let mut above = all.range(it.after + 1..);
        let member = |user: &u64| v1::Member {
            user: Some(v1::User { id: *user, name: String::new() }),
            avatar: picture_name(*user),
            ..v1::Member::default()
        };
        let members = above.by_ref().take(MEMBERS_MAX).map(member).collect();
        let more = above.next().is_some();
        let seq = self.rooms[it.room as usize - 1].order.len() as u64;
        Outcome::Members(v1::MemberList { room: it.room, seq, members, more })
    }

    fn join(&mut self, user: u64, connection: usize, room: u32) -> Outcome {
        let already = !self.rooms[room as usize - 1].members.insert(user);
        if !already {
            let user = Some(v1::User { id: user, name: String::new() });
            self.happen(room, What::Joined(v1::MemberJoined { user }));
        }
        let it = &mut self.rooms[room as usize - 1];
        it.listeners.insert(user, connection);
        let seq = it.order.len() as u64;
        let mut from = seq;
        if !already && self.sins(Sin::JoinLate) {
            from += 1;
            self.deaf = Some((connection, room, from));
        }
        let position = Some(v1::Position { epoch: 1, seq: from });
        Outcome::Joined(v1::Joined { room, seq, position, already })
    }

    fn leave(&mut self, user: u64, connection: usize, room: u32) -> Outcome {
        let refuses = self.sin == Sin::RefuseLeave && self.patience == 0;
        let it = &mut self.rooms[room as usize - 1];
        if refuses && it.members.contains(&user) {
            it.listeners.remove(&user);
            self.sinned = true;
            return not_member();
        }
        if !it.members.remove(&user) {
            return not_member();
        }
        let heard = it.listeners.remove(&user);
        let user = Some(v1::User { id: user, name: String::new() });
        let seq = self.happen(room, What::Left(v1::MemberLeft { user }));
        let left = v1::Left { room, seq, act: 0 };
        // Read late, of a connection that is gone: the one that hears the room now is told.
        if let Some(other) = heard.filter(|heard| *heard != connection) {
            self.write(other, &ServerFrame { frame: Some(Frame::Left(left)) });
        }
        Outcome::Left(left)
    }

    fn post(&mut self, user: u64, connection: usize, re: u32, it: v1::Post) -> Option<Outcome> {
        let room = &mut self.rooms[it.room as usize - 1];
        if !room.members.contains(&user) {
            return Some(not_member());
        }
        self.patience = self.patience.saturating_sub(1);
        let key = (user, it.origin_id.clone());
        if let Some(first) = self.rooms[it.room as usize - 1].origins.get(&key).copied()
            && !self.sins(Sin::PostRetryTwice)
        {
            return Some(Outcome::Posted(v1::Posted { repeat: true, ..first }));
        }
        if self.sins(Sin::Stall) || (self.sin == Sin::Stall && self.sinned) {
            return None;
        }
        if self.sins(Sin::Die) {
            self.dead = true;
            for stream in self.connections.iter().flatten() {
                let _ = stream.shutdown(Shutdown::Both);
            }
            return None;
        }
        self.counts.sends += 1;
        let room = &mut self.rooms[it.room as usize - 1];
        room.posts += 1;
        let n = room.posts;
        let from = Some(v1::User { id: user, name: format!("u{user}") });
        let attachments = if !it.attachments.is_empty() && self.sins(Sin::LoseFile) {
            Vec::new()
        } else {
            it.attachments.iter().map(|id| self.attachment(id).unwrap()).collect()
        };
        let message = v1::Message {
            n,
            from,
            origin_id: it.origin_id,
            body: it.body,
            attachments,
            ..v1::Message::default()
        };
        let seq = self.happen(it.room, What::Message(message));
        let mut posted = v1::Posted { room: it.room, seq, n, ..v1::Posted::default() };
        self.rooms[it.room as usize - 1].origins.insert(key, posted);
        posted.seq += u64::from(self.sins(Sin::LieInAck));
        if self.sins(Sin::ThrowOut) {
            self.throw_out(it.room, user);
        }
        if self.sins(Sin::RefuseKept) {
            return Some(rejected(302, "unavailable", None));
        }
        posted.trace = it.trace.then(|| v1::Trace { commit: 40, ..v1::Trace::default() });
        if self.sins(Sin::ForgetPost) {
            let order = &mut self.rooms[it.room as usize - 1].order;
            order[seq as usize - 1].what = Some(What::Created(v1::RoomCreated::default()));
        }
        if self.sins(Sin::NeverAck) {
            return None;
        }
        self.counts.answered += 1;
        self.reply(connection, re, Outcome::Posted(posted));
        self.subscribe_late(posted.room);
        None
    }

    /// Somebody else leaves and is told so, as if it had asked on a connection that was lost.
    fn throw_out(&mut self, room: u32, user: u64) {
        let it = &mut self.rooms[room as usize - 1];
        let other = it.listeners.iter().find(|(other, _)| **other != user);
        let Some((other, heard)) = other.map(|(other, heard)| (*other, *heard)) else {
            self.sinned = false;
            return;
        };
        it.members.remove(&other);
        it.listeners.remove(&other);
        let user = Some(v1::User { id: other, name: String::new() });
        let seq = self.happen(room, What::Left(v1::MemberLeft { user }));
        let left = v1::Left { room, seq, act: 0 };
        self.write(heard, &ServerFrame { frame: Some(Frame::Left(left)) });
    }

    /// A resume that is to be wrong needs something that was missed: it is answered after the next post.
    /// However quick who comes back is, there is one then.
    fn is_too_soon(&self, it: &v1::Subscribe) -> bool {
        let sins = self.sin == Sin::ResumeOneTooLate && !self.sinned;
        let missed = self.rooms[it.room as usize - 1].order.len() as u64;
        sins && it.from.is_some_and(|from| from.seq == missed)
    }

    fn subscribe_late(&mut self, room: u32) {
        let late = std::mem::take(&mut self.late);
        // Once it has sinned nobody need wait.
        let (now, later) = late.into_iter().partition(|(.., it)| it.room == room || self.sinned);
        self.late = later;
        for (user, connection, re, it) in now {
            let outcome = self.subscribe(user, connection, &it);
            self.reply(connection, re, outcome);
        }
    }

    fn happen(&mut self, room: u32, what: What) -> u64 {
        let it = &mut self.rooms[room as usize - 1];
        let seq = it.order.len() as u64 + 1;
        let post = matches!(what, What::Message(_));
        let event = v1::Event { room, seq, prev: seq - 1, at: 0, what: Some(what) };
        it.order.push(event.clone());
        if post && self.sins(Sin::GoSilent) {
            self.rooms[room as usize - 1].listeners.pop_last();
        }
        let it = &mut self.rooms[room as usize - 1];
        let listeners: Vec<usize> = it.listeners.values().copied().collect();
        let frame = ServerFrame { frame: Some(Frame::Event(event)) };
        for connection in listeners {
            self.deliver(connection, &frame, post);
        }
        if post && self.sins(Sin::LeakToAnotherRoom) {
            let strangers = self.rooms.iter().flat_map(|it| it.listeners.iter());
            let here = &self.rooms[room as usize - 1].members;
            let stranger =
                strangers.filter(|(user, _)| !here.contains(user)).map(|(_, it)| *it).next();
            match stranger {
                Some(stranger) => self.write(stranger, &frame),
                None => self.sinned = false,
            }
        }
        seq
    }

    fn deliver(&mut self, connection: usize, frame: &ServerFrame, post: bool) {
        if self.is_deaf(connection, frame) {
            return;
        }
        self.counts.deliveries += 1;
        if post && self.sins(Sin::DropDelivery) {
            return;
        }
        if post && self.sins(Sin::SwapDeliveries) {
            self.held = Some((connection, frame.clone()));
            return;
        }
        for sin in [Sin::ChangeBody, Sin::AlterTime, Sin::AlterName] {
            if post && self.sins(sin) {
                return self.write(connection, &altered(sin, frame.clone()));
            }
        }
        self.write(connection, frame);
        if post && self.sins(Sin::RepeatDelivery) {
            self.write(connection, frame);
        }
        if self.held.as_ref().is_some_and(|(held, _)| *held == connection) {
            let (_, late) = self.held.take().unwrap();
            self.write(connection, &late);
        }
    }

    fn is_deaf(&self, connection: usize, frame: &ServerFrame) -> bool {
        let Some(Frame::Event(event)) = &frame.frame else { return false };
        let deaf = |(to, room, up_to)| (to, room) == (connection, event.room) && event.seq <= up_to;
        self.deaf.is_some_and(deaf)
    }

    fn subscribe(&mut self, user: u64, connection: usize, it: &v1::Subscribe) -> Outcome {
        if !self.rooms[it.room as usize - 1].members.contains(&user) {
            return not_member();
        }
        // Without a place it is from now on.
        let order = &self.rooms[it.room as usize - 1].order;
        let from = it.from.map_or(order.len(), |from| from.seq as usize);
        let gap = order[from..].to_vec();
        let mut gap = self.shown(it.room, gap);
        // What is to be wrong is not refused, however slow who comes back is.
        let sins = matches!(self.sin, Sin::ResumeOneTooLate | Sin::ResumeOneTooEarly);
        if gap.len() > RESUME_MAX && !sins {
            return rejected(207, "too_old", None);
        }
        if !gap.is_empty() && self.sins(Sin::ResumeOneTooLate) {
            gap.remove(0);
        }
        if from > 0 && self.sins(Sin::ResumeOneTooEarly) {
            gap.insert(0, self.rooms[it.room as usize - 1].order[from - 1].clone());
        }
        self.counts.deliveries += gap.len() as u64;
        for event in gap {
            self.write(connection, &ServerFrame { frame: Some(Frame::Event(event)) });
        }
        let room = &mut self.rooms[it.room as usize - 1];
        room.listeners.insert(user, connection);
        let seq = room.order.len() as u64;
        let position = Some(v1::Position { epoch: 1, seq });
        Outcome::Subscribed(v1::Subscribed { room: it.room, position })
    }
}

/// A post, as this sin has it.
fn altered(sin: Sin, mut frame: ServerFrame) -> ServerFrame {
    let Some(Frame::Event(v1::Event { at, what: Some(What::Message(it)), .. })) = &mut frame.frame
    else {
        panic!("a post is a message")
    };
    match sin {
        Sin::AlterTime => *at += 1,
        Sin::AlterName => it.from.as_mut().unwrap().name.push('!'),
        _ => it.body.push('!'),
    }
    frame
}

fn not_member() -> Outcome {
    rejected(206, "not_member", None)
}

fn rejected(code: u32, name: &str, retry_after_ms: Option<u32>) -> Outcome {
    let (name, text) = (name.to_owned(), String::new());
    Outcome::Rejected(v1::Rejected { code, name, text, retry_after_ms })
}

/// No process to watch.
pub struct Nothing;

impl throng_lab::runner::Watch for Nothing {
    fn server(&mut self) -> Option<(Duration, u64)> {
        None
    }
    fn steal(&mut self) -> f64 {
        0.0
    }
    fn stop(&mut self) -> Option<String> {
        None
    }
}
