//! Reading frames. A message that lies in the input as a whole is unmasked in place and borrowed; only
//! one that arrives in parts is gathered, and then by what has arrived, never by what was declared.
//! Between messages nothing is held. Text is checked as it comes, so that bad text fails at its first
//! wrong byte; compressed text when it is inflated.

use std::borrow::Cow;

use super::deflate::inflate;
use super::{
    COMPRESSED, CONTROL_LEN_MAX, Error, HEADER_LEN_MAX, Opcode, Role, apply_mask, may_be_sent,
};

/// What the other end may send, in payload bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One frame.
    pub frame_len_max: usize,
    /// One message, all its fragments together.
    pub message_len_max: usize,
}

/// What has come in, whole and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'i> {
    /// Text.
    Text(Cow<'i, str>),
    /// Bytes.
    Binary(Cow<'i, [u8]>),
    /// To be answered with a pong of the same payload.
    Ping(Cow<'i, [u8]>),
    /// An answer to a ping, or a sign of life.
    Pong(Cow<'i, [u8]>),
    /// The other end closes; to be answered with a close of the same code unless one was sent.
    /// Everything after it is discarded.
    Close(Option<(u16, Cow<'i, str>)>),
}

/// What one call of `Decoder::decode` did.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'i> {
    /// Bytes of the input that are done with; the next call begins after them.
    pub used: usize,
    /// What they completed. `None`: all input was used, more is needed.
    pub message: Option<Message<'i>>,
}

/// Reads one direction of one connection.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    limits: Limits,
    /// Messages may be compressed.
    deflate: bool,
    state: State,
    head: [u8; HEADER_LEN_MAX],
    head_len: u8,
    /// The message that was begun and not finished, if any: what it is and what came of it.
    kind: Option<Opcode>,
    /// That message is compressed.
    compressed: bool,
    gathered: Vec<u8>,
    /// How much of `gathered` is known to be whole characters.
    checked: usize,
    /// What came of an unfinished control frame, which may lie inside a message.
    control: Vec<u8>,
    scraps: u32,
}

/// A piece of a message below this costs more to take in than it brings.
const SCRAP_LEN: usize = 64;

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Payload(Frame),
    Closed,
    Failed(Error),
}

/// A frame whose header was read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    compressed: bool,
    mask: [u8; 4],
    /// Payload bytes read so far.
    read: usize,
    len: usize,
}

impl Decoder {
    /// For the bytes right after the handshake.
    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            deflate: false,
            state: State::Head,
            head: [0; HEADER_LEN_MAX],
            head_len: 0,
            kind: None,
            compressed: false,
            gathered: Vec::new(),
            checked: 0,
            control: Vec::new(),
            scraps: 0,
        }
    }

    /// Where `permessage-deflate` was agreed.
    #[must_use]
    pub fn with_deflate(self) -> Self {
        Self { deflate: true, ..self }
    }

    /// Pieces of messages that were empty or nearly so, since the last call; not a message's last
    /// one. To be charged to whoever sends them: a message may consist of any number.
    pub fn take_scraps(&mut self) -> u32 {
        std::mem::take(&mut self.scraps)
    }

    /// From the next frame on (after authentication, larger messages are allowed).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Bytes held of what is unfinished: 0 between messages.
    pub fn held(&self) -> usize {
        self.gathered.capacity() + self.control.capacity()
    }

    /// Takes the next bytes, up to the end of one message or control frame; they are unmasked in
    /// place. After an error every call gives the same error.
    pub fn decode<'i>(&mut self, input: &'i mut [u8]) -> Result<Step<'i>, Error> {
        let mut used = 0;
        loop {
            match self.state {
                State::Failed(error) => return Err(error),
                State::Closed => return Ok(Step { used: input.len(), message: None }),
                State::Head => {
                    used += self.take_head(&input[used..]);
                    match self.parse_head() {
                        Ok(Some(frame)) => self.state = State::Payload(frame),
                        Ok(None) => return Ok(Step { used, message: None }),
                        Err(error) => return self.fail(error),
                    }
                }
                State::Payload(frame) => {
                    let take = (frame.len - frame.read).min(input.len() - used);
                    let part = used..used + take;
                    apply_mask(frame.mask, frame.read, &mut input[part.clone()]);
                    used += take;
                    let whole = frame.read + take == frame.len;
                    if whole {
                        self.state = State::Head;
                        self.head_len = 0;
                    } else {
                        self.state = State::Payload(Frame { read: frame.read + take, ..frame });
                    }
                    if whole && frame.fin {
                        let bytes = &input[part];
                        return match self.deliver(frame, bytes) {
                            Ok(message) => Ok(Step { used, message: Some(message) }),
                            Err(error) => self.fail(error),
                        };
                    }
                    if let Err(error) = self.gather(frame, &input[part]) {
                        return self.fail(error);
                    }
                    if !whole {
                        return Ok(Step { used, message: None });
                    }
                    self.scraps += u32::from(frame.len < SCRAP_LEN);
                }
            }
        }
    }

    fn fail<'i>(&mut self, error: Error) -> Result<Step<'i>, Error> {
        self.state = State::Failed(error);
        self.gathered = Vec::new();
        self.control = Vec::new();
        Err(error)
    }

    /// Moves what the header still needs out of the input; how much that was.
    fn take_head(&mut self, input: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let have = usize::from(self.head_len);
            let take = (head_len(&self.head[..have]) - have).min(input.len() - used);
            if take == 0 {
                return used;
            }
            self.head[have..have + take].copy_from_slice(&input[used..used + take]);
            self.head_len += take as u8;
            used += take;
        }
    }

    /// `None` while the header is incomplete. What is wrong in its first two bytes fails before the
    /// rest is there.
    fn parse_head(&mut self) -> Result<Option<Frame>, Error> {
        let head = &self.head[..usize::from(self.head_len)];
        let &[first, second, ..] = head else { return Ok(None) };
        let compressed = self.deflate && first & COMPRESSED != 0;
        let reserved = if compressed { first & 0x30 } else { first & 0x70 };
        if reserved != 0 {
            return Err(Error::ReservedBits);
        }
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(Error::ReservedOpcode)?;
        if compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(Error::ReservedBits);
        }
        let fin = first & 0x80 != 0;
        match (self.role, second & 0x80 != 0) {
            (Role::Server, false) => return Err(Error::Unmasked),
            (Role::Client, true) => return Err(Error::Masked),
            _ => {}
        }
        match opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                if !fin {
                    return Err(Error::ControlFragmented);
                }
                if usize::from(second & 0x7f) > CONTROL_LEN_MAX {
                    return Err(Error::ControlTooLong);
                }
            }
            Opcode::Continuation if self.kind.is_none() => return Err(Error::NothingToContinue),
            Opcode::Text | Opcode::Binary if self.kind.is_some() => {
                return Err(Error::MessageUnfinished);
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {}
        }
        if head.len() < head_len(head) {
            return Ok(None);
        }
        let (len, rest) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([head[2], head[3]])), &head[4..]),
            127 => (u64::from_be_bytes(head[2..10].try_into().expect("eight bytes")), &head[10..]),
            short => (u64::from(short), &head[2..]),
        };
        let shortest = match second & 0x7f {
            126 => len > 125,
            127 => len > 0xffff && len < 1 << 63,
            _ => true,
        };
        if !shortest {
            return Err(Error::BadLength);
        }
        let allowed = self.limits.frame_len_max.min(self.limits.message_len_max) as u64;
        let before = if opcode == Opcode::Continuation { self.gathered.len() as u64 } else { 0 };
        let fits = len <= allowed && before + len <= self.limits.message_len_max as u64;
        if !opcode.is_control() && !fits {
            return Err(Error::TooBig);
        }
        let mask = rest.try_into().unwrap_or([0; 4]);
        Ok(Some(Frame { opcode, fin, compressed, mask, read: 0, len: len as usize }))
    }

    /// Keeps a part of what is not complete yet.
    fn gather(&mut self, frame: Frame, part: &[u8]) -> Result<(), Error> {
        if frame.opcode.is_control() {
            self.control.extend_from_slice(part);
            return Ok(());
        }
        self.begin(frame);
        self.gathered.extend_from_slice(part);
        self.check_text(false)
    }

    /// Makes the message that `frame`, whose last bytes are `part`, completes.
    fn deliver<'i>(&mut self, frame: Frame, part: &'i [u8]) -> Result<Message<'i>, Error> {
        if frame.opcode.is_control() {
            let payload = completed(&mut self.control, part);
            return match frame.opcode {
                Opcode::Ping => Ok(Message::Ping(payload)),
                Opcode::Pong => Ok(Message::Pong(payload)),
                _ => self.close(payload),
            };
        }
        self.begin(frame);
        if self.compressed {
            return self.deliver_inflated(part);
        }
        let text = self.kind == Some(Opcode::Text);
        if self.gathered.is_empty() {
            self.kind = None;
            return if text {
                let text = std::str::from_utf8(part).map_err(|_| Error::NotUtf8)?;
                Ok(Message::Text(Cow::Borrowed(text)))
            } else {
                Ok(Message::Binary(Cow::Borrowed(part)))
            };
        }
        self.gathered.extend_from_slice(part);
        self.check_text(true)?;
        self.kind = None;
        self.checked = 0;
        let gathered = std::mem::take(&mut self.gathered);
        if text {
            let text = String::from_utf8(gathered).map_err(|_| Error::NotUtf8)?;
            Ok(Message::Text(Cow::Owned(text)))
        } else {
            Ok(Message::Binary(Cow::Owned(gathered)))
        }
    }

    /// Remembers what the first frame of a message says of all of it.
    fn begin(&mut self, frame: Frame) {
        if frame.opcode != Opcode::Continuation {
            self.kind = Some(frame.opcode);
            self.compressed = frame.compressed;
        }
    }

    fn deliver_inflated<'i>(&mut self, part: &[u8]) -> Result<Message<'i>, Error> {
        let whole = completed(&mut self.gathered, part);
        let message = inflate(&whole, self.limits.message_len_max)?;
        self.compressed = false;
        if self.kind.take() == Some(Opcode::Text) {
            let text = String::from_utf8(message).map_err(|_| Error::NotUtf8)?;
            return Ok(Message::Text(Cow::Owned(text)));
        }
        Ok(Message::Binary(Cow::Owned(message)))
    }

    /// Goes on checking the gathered text where it stopped: a character may be split between parts.
    fn check_text(&mut self, last: bool) -> Result<(), Error> {
        if self.kind != Some(Opcode::Text) || self.compressed {
            return Ok(());
        }
        match std::str::from_utf8(&self.gathered[self.checked..]) {
            Ok(_) => self.checked = self.gathered.len(),
            Err(error) if error.error_len().is_none() && !last => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(Error::NotUtf8),
        }
        Ok(())
    }

    fn close<'i>(&mut self, payload: Cow<'i, [u8]>) -> Result<Message<'i>, Error> {
        let said = match payload.len() {
            0 => None,
            1 => return Err(Error::BadClose),
            _ => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                if !may_be_sent(code) {
                    return Err(Error::BadClose);
                }
                Some((code, reason(payload)?))
            }
        };
        self.state = State::Closed;
        self.gathered = Vec::new();
        Ok(Message::Close(said))
    }
}

/// The length of the header that begins with these bytes, as far as they tell.
fn head_len(head: &[u8]) -> usize {
    let Some(second) = head.get(1) else { return 2 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 != 0 { 4 } else { 0 }
}

/// What was gathered and the last part, as one; borrowed where nothing was gathered.
fn completed<'i>(gathered: &mut Vec<u8>, part: &'i [u8]) -> Cow<'i, [u8]> {
    if gathered.is_empty() {
        return Cow::Borrowed(part);
    }
    let mut whole = std::mem::take(gathered);
    whole.extend_from_slice(part);
    Cow::Owned(whole)
}

fn reason(payload: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Error> {
    match payload {
        Cow::Borrowed(bytes) => {
            std::str::from_utf8(&bytes[2..]).map(Cow::Borrowed).map_err(|_| Error::NotUtf8)
        }
        Cow::Owned(mut bytes) => {
            bytes.drain(..2);
            String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Error::NotUtf8)
        }
    }
}
