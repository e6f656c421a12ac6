//! WebSocket (RFC 6455), without io: bytes in, messages out, and the reverse. One extension,
//! `permessage-deflate`, where both ends agree.
//!
//! `decode` reads frames and keeps the grammar, `encode` writes them, `handshake` is the opening.
//! Neighbours: the server's connections and the lab's drivers own the sockets, answer pings and send
//! the closing handshake; `native` knows what the messages say. Nothing here reads a clock or rolls
//! dice: masks and keys are passed in.

use std::fmt;

mod decode;
pub mod deflate;
mod encode;
pub mod handshake;
mod mask;

pub use decode::{Decoder, Limits, Message, Step};
pub use encode::{
    Header, close_payload, encode_deflated, encode_fragment, encode_frame, encode_with, header,
    header_masked,
};
pub use handshake::accept_key;
pub use mask::apply_mask;

/// The longest payload of a ping, pong or close (RFC 6455 §5.5).
pub const CONTROL_LEN_MAX: usize = 125;
/// The reserved bit that marks a compressed message, in its first frame (RFC 7692 §6).
const COMPRESSED: u8 = 0x40;
/// The longest header: two bytes, an eight-byte length, a mask.
pub const HEADER_LEN_MAX: usize = 14;

/// Which end of the connection this is. It decides who masks: clients must, servers must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We are the server: what comes in must be masked.
    Server,
    /// We are the client: what comes in must not be masked.
    Client,
}

/// What a frame is (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// More of the message that was begun.
    Continuation = 0,
    /// Text: UTF-8.
    Text = 1,
    /// Bytes.
    Binary = 2,
    /// The closing handshake.
    Close = 8,
    /// Answer me with a pong of the same payload.
    Ping = 9,
    /// The answer, or a sign of life.
    Pong = 10,
}

impl Opcode {
    /// `None` for the reserved ones.
    pub fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Close, ping and pong: short, whole, and allowed between fragments.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Why a stream cannot be read any further. `code` goes into the close frame that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// A reserved bit is set and no extension was agreed.
    ReservedBits,
    /// A reserved opcode.
    ReservedOpcode,
    /// A client's frame without a mask.
    Unmasked,
    /// A server's frame with one.
    Masked,
    /// A ping, pong or close above 125 bytes.
    ControlTooLong,
    /// A ping, pong or close in fragments.
    ControlFragmented,
    /// More of a message that was never begun.
    NothingToContinue,
    /// A new message before the last one ended.
    MessageUnfinished,
    /// A length in more bytes than it needs, or above 2^63.
    BadLength,
    /// A close frame of one byte, or with a code that may not be sent.
    BadClose,
    /// Text that is not UTF-8.
    NotUtf8,
    /// A message marked as compressed that cannot be inflated.
    BadDeflate,
    /// A frame or message above the limit.
    TooBig,
}

impl Error {
    /// The close code that says so.
    pub fn code(self) -> u16 {
        match self {
            Self::NotUtf8 | Self::BadDeflate => 1007,
            Self::TooBig => 1009,
            Self::ReservedBits
            | Self::ReservedOpcode
            | Self::Unmasked
            | Self::Masked
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::NothingToContinue
            | Self::MessageUnfinished
            | Self::BadLength
            | Self::BadClose => 1002,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReservedBits => "a reserved bit is set",
            Self::ReservedOpcode => "a reserved opcode",
            Self::Unmasked => "a client's frame must be masked",
            Self::Masked => "a server's frame must not be masked",
            Self::ControlTooLong => "a control frame above 125 bytes",
            Self::ControlFragmented => "a control frame in fragments",
            Self::NothingToContinue => "a continuation of nothing",
            Self::MessageUnfinished => "a new message inside an unfinished one",
            Self::BadLength => "a length that is not in its shortest form",
            Self::BadClose => "a close frame with a code that may not be sent",
            Self::NotUtf8 => "text that is not UTF-8",
            Self::BadDeflate => "a compressed message that cannot be inflated",
            Self::TooBig => "a frame or message above the limit",
        })
    }
}

impl std::error::Error for Error {}

/// Whether a close frame may carry this code: those of RFC 6455 §7.4 and IANA's registry that are
/// meant for the wire, and the ranges of libraries (3000) and applications (4000).
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
