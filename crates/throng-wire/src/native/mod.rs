//! Throng's own protocol: frames (`v1`, generated from `proto/throng.proto`) and their two forms.
//!
//! Neighbours: `ws` and `raw` carry the encoded frames. Nothing here checks what a frame asks; a
//! decoded frame is well-formed and no more.

use std::fmt;

pub mod json;
mod names;
mod object;
mod oneof;
pub mod protobuf;
mod redacted;
#[rustfmt::skip]
pub mod v1;

/// Elements of a list that a client sends. Each list has a limit of its own, far below this; it is for
/// what must be bounded before it is known which list it is.
pub const ELEMENTS_MAX: usize = 1_024;

/// How frames are written. Named by the WebSocket subprotocol; raw TCP is always Protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A frame is a JSON object in a text message.
    Json,
    /// A frame is a Protobuf message in a binary message.
    Protobuf,
}

impl Form {
    /// Both, the server's preference first: what is cheaper for it.
    pub const ALL: [Self; 2] = [Self::Protobuf, Self::Json];

    /// The name in `Sec-WebSocket-Protocol`.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "throng.v1.json",
            Self::Protobuf => "throng.v1.protobuf",
        }
    }

    /// The first form that a client's `Sec-WebSocket-Protocol` offers, in the client's order.
    pub fn offered(header: &str) -> Option<Self> {
        let named = |name: &str| Self::ALL.into_iter().find(|form| form.subprotocol() == name);
        header.split(',').map(str::trim).find_map(named)
    }
}

/// Bytes that are not a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The `id` of the request, where it could still be read, so that the refusal finds its asker;
    /// else 0.
    pub re: u32,
    /// What is wrong, for the client's author. Holds nothing of the bytes themselves.
    pub what: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a frame: {}", self.what)
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_order_decides_between_the_forms_it_offers() {
        assert_eq!(Form::offered("throng.v1.json, throng.v1.protobuf"), Some(Form::Json));
        assert_eq!(Form::offered("x,throng.v1.protobuf,throng.v1.json"), Some(Form::Protobuf));
        assert_eq!(Form::offered("throng.v2.json"), None);
        assert_eq!(Form::offered(""), None);
    }
}
