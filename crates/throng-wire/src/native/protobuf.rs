//! The Protobuf form: the bytes of the `.proto`'s messages, one frame each.

use prost::Message;

use super::DecodeError;
use super::v1::{ClientFrame, ServerFrame};

/// Appends the frame.
pub fn encode_client(frame: &ClientFrame, out: &mut Vec<u8>) {
    frame.encode(out).expect("a Vec grows");
}

/// Appends the frame.
pub fn encode_server(frame: &ServerFrame, out: &mut Vec<u8>) {
    frame.encode(out).expect("a Vec grows");
}

/// What a client said.
pub fn decode_client(bytes: &[u8]) -> Result<ClientFrame, DecodeError> {
    ClientFrame::decode(bytes).map_err(|error| refusal(&error, request_id(bytes)))
}

/// What a server said.
pub fn decode_server(bytes: &[u8]) -> Result<ServerFrame, DecodeError> {
    ServerFrame::decode(bytes).map_err(|error| refusal(&error, 0))
}

/// The id of a request that is Protobuf but not a frame. Encoders write fields in order, so it is
/// read only where it is the first.
fn request_id(bytes: &[u8]) -> u32 {
    const ID_KEY: u8 = 1 << 3;
    match bytes.split_first() {
        Some((&ID_KEY, mut rest)) => {
            prost::decode_length_delimiter(&mut rest).ok().and_then(|id| u32::try_from(id).ok())
        }
        _ => None,
    }
    .unwrap_or(0)
}

fn refusal(error: &prost::DecodeError, re: u32) -> DecodeError {
    DecodeError { re, what: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::v1::{Post, client_frame::Request};

    #[test]
    fn a_frame_is_the_protos_bytes() {
        let post = Post { room: 1, body: "hi".into(), ..Post::default() };
        let frame = ClientFrame { id: 7, request: Some(Request::Post(post)) };
        let mut out = Vec::new();
        encode_client(&frame, &mut out);
        assert_eq!(out, b"\x08\x07\x52\x06\x08\x01\x12\x02hi");
        assert_eq!(decode_client(&out), Ok(frame));
    }

    #[test]
    fn a_refusal_names_its_request_where_that_can_be_read() {
        assert_eq!(decode_client(b"\x08\x07\x52\x06\x08\x01").unwrap_err().re, 7);
        assert_eq!(decode_client(b"\x52\x06\x08\x01").unwrap_err().re, 0);
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let frame = decode_client(b"\x08\x07\xfa\x01\x02hi").unwrap();
        assert_eq!(frame, ClientFrame { id: 7, request: None });
    }
}
