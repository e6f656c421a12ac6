//! Throng's own protocol: JSON or Protobuf frames over WebSocket, or Protobuf over bare TCP.
//!
//! Neighbours: the codecs are `throng-wire`'s; `memory` spares decoding what was just decoded.

use std::cell::RefCell;
use std::rc::Rc;

use throng_wire::native::v1::{self, client_frame::Request, event, reply, server_frame::Frame};
use throng_wire::native::{Form, json, protobuf};
use throng_wire::raw;
use throng_wire::ws::{self, Opcode, Role};
use throng_wire::ws::{deflate, handshake};

use super::{
    Act, Action, Broken, Change, Driver, Event, Member, Memory, NAMELESS, Now, Observation,
    Outcome, Position, Posted, REACTION, What, called, digest, with_file,
};
use crate::traces::Trace;

/// The longest frame taken from a server: a page of its longest messages.
const FRAME_LEN_MAX: usize = 4 * 1024 * 1024;
/// The bit of a frame's first byte that marks it as compressed.
const COMPRESSED: u8 = 0x40;

/// What the protocol wears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dress {
    /// JSON in WebSocket's text messages.
    WsJson,
    /// Protobuf in WebSocket's binary messages.
    WsProtobuf,
    /// Protobuf, length-prefixed, on a port of its own.
    Raw,
    /// JSON bodies over HTTP: speaks and does not hear.
    Rest,
}

impl Dress {
    /// How one speaks who sends and fetches pictures for a user in this dress, beside it: pictures go over
    /// HTTP, whatever else a connection speaks.
    pub fn of_pictures(self) -> Self {
        Self::Rest
    }

    fn form(self) -> Form {
        match self {
            Self::WsJson | Self::Rest => Form::Json,
            Self::WsProtobuf | Self::Raw => Form::Protobuf,
        }
    }
}

/// One connection of one user.
#[derive(Debug)]
pub struct Native {
    dress: Dress,
    host: Rc<str>,
    /// Offers `permessage-deflate`, and does not go on without.
    compressed: bool,
    transport: Transport,
    memory: Rc<RefCell<Memory>>,
    /// State of the masks' generator.
    chance: u64,
    tag: u32,
    scratch: Vec<u8>,
}

#[derive(Debug)]
enum Transport {
    /// The upgrade was asked for; what has come of the answer.
    Opening { key: String, head: Vec<u8> },
    /// Frames. `within`: a message has begun and not ended; `deflate`: it may be compressed.
    WebSocket { decoder: Box<ws::Decoder>, within: bool, deflate: bool },
    /// Records.
    Raw(raw::Decoder),
}

impl Native {
    /// A connection to `host` (as the `Host` header says it). `seed` makes its key and its masks.
    pub fn new(dress: Dress, host: Rc<str>, memory: Rc<RefCell<Memory>>, seed: u64) -> Self {
        let transport = match dress {
            Dress::Raw => Transport::Raw(raw::Decoder::new(FRAME_LEN_MAX)),
            Dress::WsJson | Dress::WsProtobuf | Dress::Rest => {
                Transport::Opening { key: String::new(), head: Vec::new() }
            }
        };
        let scratch = Vec::new();
        Self { dress, host, compressed: false, transport, memory, chance: seed, tag: 0, scratch }
    }

    /// What the server says at length, it is to say compressed.
    pub fn compressed(self) -> Self {
        Self { compressed: true, ..self }
    }

    /// splitmix64: masks need to differ, not to be secret, between a lab and its server.
    fn roll(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn opened(&mut self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let Transport::Opening { key, head } = &mut self.transport else { return Ok(Some(0)) };
        let before = head.len();
        head.extend_from_slice(bytes);
        let answer = handshake::response(head, key).map_err(|error| Broken(error.to_string()))?;
        let Some(opened) = answer else { return Ok(None) };
        let wanted = self.dress.form().subprotocol();
        if opened.subprotocol.as_deref() != Some(wanted) {
            return Err(Broken(format!("subprotocol {wanted} was not agreed")));
        }
        // A run that is to show what compressing saves must not go on where nothing is compressed.
        if opened.deflate != self.compressed {
            let said = if opened.deflate { "agreed to, unasked" } else { "not agreed to" };
            return Err(Broken(format!("permessage-deflate was {said} (websocket_deflate)")));
        }
        let limits = ws::Limits { frame_len_max: FRAME_LEN_MAX, message_len_max: FRAME_LEN_MAX };
        let decoder = ws::Decoder::new(Role::Client, limits);
        let deflate = opened.deflate;
        let decoder = Box::new(if deflate { decoder.with_deflate() } else { decoder });
        self.transport = Transport::WebSocket { decoder, within: false, deflate };
        Ok(Some(opened.used - before))
    }
}

impl Driver for Native {
    fn open(&mut self, out: &mut Vec<u8>) {
        if self.dress == Dress::Raw {
            return;
        }
        let nonce = (u128::from(self.roll()) << 64 | u128::from(self.roll())).to_be_bytes();
        let key = handshake::key(nonce);
        let subprotocol = self.dress.form().subprotocol();
        let offer = format!("Sec-WebSocket-Extensions: {}\r\n", deflate::OFFER);
        let more = if self.compressed { offer.as_str() } else { "" };
        out.extend_from_slice(&handshake::request(&self.host, "/ws", &key, subprotocol, more));
        self.transport = Transport::Opening { key, head: Vec::new() };
    }

    fn act(&mut self, action: &Action<'_>, out: &mut Vec<u8>) -> u32 {
        self.tag = self.tag.wrapping_add(1).max(1);
        let frame = v1::ClientFrame { id: self.tag, request: Some(request(action)) };
        match self.dress {
            Dress::Raw => raw::encode_with(out, |out| protobuf::encode_client(&frame, out)),
            Dress::WsJson | Dress::WsProtobuf | Dress::Rest => {
                self.scratch.clear();
                let opcode = if self.dress.form() == Form::Json {
                    json::encode_client(&frame, &mut self.scratch);
                    Opcode::Text
                } else {
                    protobuf::encode_client(&frame, &mut self.scratch);
                    Opcode::Binary
                };
                let mask = (self.roll() as u32).to_be_bytes();
                ws::encode_frame(opcode, &self.scratch, Some(mask), out);
            }
        }
        self.tag
    }

    fn receive(
        &mut self,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        observe: &mut dyn FnMut(Observation<'_>),
    ) -> Result<(), Broken> {
        let Some(used) = self.opened(bytes)? else { return Ok(()) };
        let bytes = &mut bytes[used..];
        let form = self.dress.form();
        let mask = (self.roll() as u32).to_be_bytes();
        let memory = &mut *self.memory.borrow_mut();
        match &mut self.transport {
            Transport::Opening { .. } => Ok(()),
            Transport::WebSocket { decoder, within, deflate } => {
                let mut sink = Sink { form, memory, observe };
                web_socket(decoder, (within, *deflate), bytes, mask, out, &mut sink)
            }
            Transport::Raw(decoder) => {
                let mut sink = Sink { form, memory, observe };
                let mut rest = &*bytes;
                while !rest.is_empty() {
                    let step = decoder.decode(rest).map_err(|error| Broken(error.to_string()))?;
                    rest = &rest[step.used..];
                    if let Some(frame) = step.frame {
                        sink.take(&frame)?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Whole, unfragmented messages between two others, which is what a chat server writes, are taken
/// as they lie; everything else goes through the decoder with all its rules. A compressed one says the same
/// to all who get it, as nothing of what came before goes into it: it is recalled by its bytes too.
fn web_socket(
    decoder: &mut ws::Decoder,
    (within, deflate): (&mut bool, bool),
    bytes: &mut [u8],
    mask: [u8; 4],
    out: &mut Vec<u8>,
    sink: &mut Sink<'_>,
) -> Result<(), Broken> {
    let wanted = 0x80 | if sink.form == Form::Json { Opcode::Text } else { Opcode::Binary } as u8;
    let mut used = 0;
    while used < bytes.len() {
        let rest = &mut bytes[used..];
        if !*within
            && let Some((head, len)) = plain_frame(rest, wanted)
            && sink.recall(&rest[head..head + len])
        {
            used += head + len;
            continue;
        }
        if !*within
            && deflate
            && let Some((head, len)) = plain_frame(rest, wanted | COMPRESSED)
        {
            sink.take_compressed(&rest[head..head + len])?;
            used += head + len;
            continue;
        }
        let step = decoder.decode(rest).map_err(|error| Broken(error.to_string()))?;
        used += step.used;
        *within = step.message.is_none();
        match step.message {
            None | Some(ws::Message::Pong(_)) => {}
            Some(ws::Message::Text(text)) if sink.form == Form::Json => {
                sink.take(text.as_bytes())?;
            }
            Some(ws::Message::Binary(frame)) if sink.form == Form::Protobuf => sink.take(&frame)?,
            Some(ws::Message::Ping(payload)) => {
                ws::encode_frame(Opcode::Pong, &payload, Some(mask), out);
            }
            Some(ws::Message::Close(_)) => {
                let payload = ws::close_payload(1000, "");
                ws::encode_frame(Opcode::Close, &payload, Some(mask), out);
            }
            Some(ws::Message::Text(_) | ws::Message::Binary(_)) => {
                return Err(Broken("a message of the kind that was not agreed".into()));
            }
        }
    }
    Ok(())
}

/// Header and payload length of a frame that lies here as a whole and begins with `first`,
/// unmasked.
fn plain_frame(bytes: &[u8], first: u8) -> Option<(usize, usize)> {
    let (head, len) = match *bytes {
        [b0, b1, ..] if b0 == first && b1 < 126 => (2, usize::from(b1)),
        [b0, 126, hi, lo, ..] if b0 == first => (4, usize::from(u16::from_be_bytes([hi, lo]))),
        _ => return None,
    };
    (bytes.len() >= head + len).then_some((head, len))
}

/// Where frames become observations.
struct Sink<'a> {
    form: Form,
    memory: &'a mut Memory,
    observe: &'a mut dyn FnMut(Observation<'_>),
}

impl Sink<'_> {
    fn recall(&mut self, frame: &[u8]) -> bool {
        let Some(event) = self.memory.recall(frame) else { return false };
        (self.observe)(Observation::Event(event));
        true
    }

    fn take_compressed(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.recall(bytes) {
            return Ok(());
        }
        let text = deflate::inflate(bytes, FRAME_LEN_MAX);
        let text = text.map_err(|error| Broken(error.to_string()))?;
        self.take_as(&text, bytes)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.take_as(bytes, bytes)
    }

    /// `bytes` came as `came`, and will be recalled by that.
    fn take_as(&mut self, bytes: &[u8], came: &[u8]) -> Result<(), Broken> {
        self.memory.decoded();
        let decoded = match self.form {
            Form::Json => json::decode_server(bytes),
            Form::Protobuf => protobuf::decode_server(bytes),
        };
        let frame = decoded.map_err(|error| Broken(error.to_string()))?;
        match frame.frame {
            // A kind of frame that came after this version of the protocol.
            // Outside of every order: nothing that a load counts.
            None
            | Some(
                Frame::Opened(_)
                | Frame::Invited(_)
                | Frame::Membership(_)
                | Frame::Read(_)
                | Frame::Here(_)
                | Frame::HeldPost(_)
                | Frame::Unheld(_),
            ) => {}
            Some(Frame::Welcome(welcome)) => {
                (self.observe)(Observation::Ready {
                    server: &welcome.server,
                    epoch: welcome.epoch,
                    limits: welcome.limits.as_ref(),
                });
            }
            Some(Frame::Event(event)) => {
                if let Some(event) = of_event(&event) {
                    self.memory.keep(came, &event);
                    (self.observe)(Observation::Event(event));
                }
            }
            Some(Frame::Goodbye(goodbye)) => (self.observe)(Observation::Goodbye {
                code: goodbye.code,
                reconnect: goodbye.reconnect,
            }),
            Some(Frame::Reply(reply)) => self.reply(&reply),
            Some(Frame::Left(v1::Left { room, seq, act })) => {
                let removed = of_act(act).filter(|act| act.removes());
                (self.observe)(Observation::Left { room, seq, removed });
            }
        }
        Ok(())
    }

    fn reply(&mut self, reply: &v1::Reply) {
        let tag = reply.re;
        let mut tell = |outcome| (self.observe)(Observation::Reply { tag, outcome });
        match &reply.outcome {
            Some(reply::Outcome::Rejected(rejected)) => tell(Outcome::Rejected {
                code: rejected.code,
                name: &rejected.name,
                retry_after_ms: rejected.retry_after_ms,
            }),
            Some(reply::Outcome::Session(session)) => {
                tell(Outcome::Session { user: session.user.as_ref().map_or(0, |user| user.id) });
            }
            Some(reply::Outcome::Joined(joined)) => tell(Outcome::Joined {
                room: joined.room,
                seq: joined.seq,
                position: position(joined.position),
                already: joined.already,
            }),
            Some(reply::Outcome::Left(left)) => {
                tell(Outcome::Left { room: left.room, seq: left.seq });
            }
            Some(reply::Outcome::Posted(posted)) => tell(Outcome::Posted(Posted {
                room: posted.room,
                seq: posted.seq,
                n: posted.n,
                repeat: posted.repeat,
                durable: posted.ack == v1::Ack::Durable as i32,
                trace: posted.trace.map(trace),
            })),
            Some(reply::Outcome::Page(page)) => {
                let events: Vec<Event<'_>> = page.events.iter().filter_map(of_event).collect();
                tell(Outcome::Page { room: page.room, events: &events, more: page.more });
            }
            Some(reply::Outcome::Members(list)) => {
                let members: Vec<Member<'_>> = list.members.iter().map(of_member).collect();
                tell(Outcome::Members { members: &members, as_of: list.seq, more: list.more });
            }
            Some(reply::Outcome::Subscribed(subscribed)) => tell(Outcome::Subscribed {
                room: subscribed.room,
                position: position(subscribed.position),
            }),
            Some(reply::Outcome::Applied(v1::Applied { seq, already, .. })) => {
                tell(Outcome::Applied { seq: *seq, already: *already });
            }
            // What the scenarios look no closer at.
            _ => tell(Outcome::Done),
        }
    }
}

fn trace(it: v1::Trace) -> Trace {
    Trace([it.decode, it.authorize, it.queue, it.decide, it.commit, it.fanout])
}

pub(super) fn position(position: Option<v1::Position>) -> Position {
    position.map_or(Position { epoch: 0, seq: 0 }, |it| Position { epoch: it.epoch, seq: it.seq })
}

pub(super) fn of_member(member: &v1::Member) -> Member<'_> {
    let user = member.user.as_ref().map_or(0, |user| user.id);
    Member { user, picture: &member.avatar }
}

/// `None` for a kind of event that came after this version of the protocol.
pub(super) fn of_event(event: &v1::Event) -> Option<Event<'_>> {
    let user = |user: &Option<v1::User>| user.as_ref().map_or(0, |user| user.id);
    let what = match event.what.as_ref()? {
        event::What::Message(message) => What::Posted {
            n: message.n,
            user: user(&message.from),
            origin_id: &message.origin_id,
            digest: message
                .attachments
                .iter()
                .fold(digest(&message.body), |sum, file| with_file(sum, &file.id, &file.hash)),
            now: match message.edited {
                _ if message.deleted => Now::Deleted,
                0 => Now::AsSent,
                at => Now::Edited(at),
            },
        },
        event::What::Joined(joined) => What::Joined { user: user(&joined.user) },
        event::What::Left(left) => What::Left { user: user(&left.user) },
        event::What::Created(_) => What::Created,
        event::What::Edited(v1::Edited { by, of, body, .. }) => {
            let digest = digest(body);
            What::Changed { user: user(by), of: *of, change: Change::Edit, digest }
        }
        event::What::Deleted(v1::Deleted { by, of }) => {
            What::Changed { user: user(by), of: *of, change: Change::Delete, digest: 0 }
        }
        event::What::Reaction(it) if !it.removed && it.reaction == REACTION => {
            What::Changed { user: user(&it.by), of: it.of, change: Change::React, digest: 0 }
        }
        event::What::Moderated(it) => {
            What::Moderated { by: user(&it.by), user: user(&it.user), act: of_act(it.act)? }
        }
        // Not what a load of today asks for; a later one that does will count them.
        event::What::Reaction(_) | event::What::Pinned(_) | event::What::Set(_) => return None,
    };
    let v1::Event { room, seq, prev, at, .. } = *event;
    Some(Event { room, seq, prev, at, names: names(event.what.as_ref()?), what })
}

/// Of those who did it or had it done to them.
fn names(what: &event::What) -> u64 {
    let one =
        |sum, user: &Option<v1::User>| user.as_ref().map_or(sum, |user| called(sum, &user.name));
    match what {
        event::What::Message(v1::Message { from: by, .. })
        | event::What::Joined(v1::MemberJoined { user: by })
        | event::What::Left(v1::MemberLeft { user: by })
        | event::What::Created(v1::RoomCreated { by, .. })
        | event::What::Edited(v1::Edited { by, .. })
        | event::What::Deleted(v1::Deleted { by, .. })
        | event::What::Reaction(v1::Reaction { by, .. })
        | event::What::Pinned(v1::Pinned { by, .. })
        | event::What::Set(v1::RoomSet { by, .. }) => one(NAMELESS, by),
        event::What::Moderated(it) => one(one(NAMELESS, &it.by), &it.user),
    }
}

fn of_act(act: i32) -> Option<Act> {
    match v1::Act::try_from(act) {
        Ok(v1::Act::Kick) => Some(Act::Kick),
        Ok(v1::Act::Ban) => Some(Act::Ban),
        Ok(v1::Act::Unban) => Some(Act::Unban),
        _ => None,
    }
}

fn request(action: &Action<'_>) -> Request {
    match *action {
        Action::Authenticate { token } => {
            Request::Authenticate(v1::Authenticate { token: token.into() })
        }
        Action::CreateRoom { name } => {
            Request::CreateRoom(v1::CreateRoom { name: name.into(), ..Default::default() })
        }
        Action::OpenDirect { user } => {
            Request::OpenDirect(v1::OpenDirect { user, ..v1::OpenDirect::default() })
        }
        Action::Edit { room, seq, body } => {
            Request::Edit(v1::Edit { room, seq, body: body.into() })
        }
        Action::Delete { room, seq } => Request::Delete(v1::Delete { room, seq }),
        Action::React { room, seq } => {
            Request::React(v1::React { room, seq, reaction: REACTION.into() })
        }
        Action::Moderate { room, user, act } => {
            let act = match act {
                Act::Kick => v1::Act::Kick,
                Act::Ban => v1::Act::Ban,
                Act::Unban => v1::Act::Unban,
            };
            let act = act as i32;
            Request::Moderate(v1::Moderate { room, user, act, ..v1::Moderate::default() })
        }
        Action::Join { room } => Request::Join(v1::Join { room }),
        Action::Leave { room } => Request::Leave(v1::Leave { room }),
        Action::Type { room } => Request::Typing(v1::Typing { room }),
        Action::Post { room, origin_id, body, file, durable, trace } => Request::Post(v1::Post {
            room,
            body: body.into(),
            origin_id: origin_id.into(),
            ack: if durable { v1::Ack::Durable } else { v1::Ack::Accepted } as i32,
            trace,
            attachments: file.into_iter().map(str::to_owned).collect(),
            ..v1::Post::default()
        }),
        Action::Subscribe { room, from } => Request::Subscribe(v1::Subscribe {
            room,
            from: from.map(|it| v1::Position { epoch: it.epoch, seq: it.seq }),
        }),
        Action::History { room, after, limit } => {
            Request::History(v1::History { room, before: None, after: Some(after), limit })
        }
        Action::Login { name, password } => {
            Request::Login(v1::Login { name: name.into(), password: password.into() })
        }
        Action::Register { name, password } => {
            let (name, password) = (name.into(), password.into());
            Request::Register(v1::Register { name, password, ..v1::Register::default() })
        }
        Action::Latest { room, before, limit } => {
            Request::History(v1::History { room, before: Some(before), after: None, limit })
        }
        Action::Members { room, after } => {
            Request::Members(v1::Members { room, after, ..v1::Members::default() })
        }
        // Pictures go elsewhere; a sign of life answers whoever asks for them here.
        Action::Ping | Action::SetPicture { .. } | Action::Picture { .. } => {
            Request::Ping(v1::Ping {})
        }
    }
}

#[cfg(test)]
mod tests;
