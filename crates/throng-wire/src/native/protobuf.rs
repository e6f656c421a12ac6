//! The Protobuf form: the bytes of the `.proto`'s messages, one frame each.

use core::iter;

use prost::Message;

use super::v1::{ClientFrame, ServerFrame};
use super::{DecodeError, ELEMENTS_MAX};

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
    if is_crowded(bytes) {
        let what = "a list is longer than any may be".to_owned();
        return Err(DecodeError { re: request_id(bytes), what });
    }
    ClientFrame::decode(bytes).map_err(|error| refusal(&error, request_id(bytes)))
}

/// What a server said.
pub fn decode_server(bytes: &[u8]) -> Result<ServerFrame, DecodeError> {
    ServerFrame::decode(bytes).map_err(|error| refusal(&error, 0))
}

/// Whether the lists of a request are longer than any may be. Two bytes of a frame become a text of
/// twenty-four, so that it is asked before anything is made of them.
fn is_crowded(frame: &[u8]) -> bool {
    /// `Post.mentioned`, `Post.attachments` and `SetRoom.words`, which holds a list itself.
    const LISTS: [u64; 3] = [6, 40, 50];
    if frame.len() <= ELEMENTS_MAX {
        return false;
    }
    let requests = fields(frame).flat_map(|(_, request)| fields(request));
    let lists = requests.filter(|(number, _)| LISTS.contains(number));
    let elements = lists.map(|(number, content)| match number {
        // Packed: each ends with a byte that has no more behind it.
        6 => content.iter().filter(|byte| **byte < 0x80).count().max(1),
        50 => fields(content).count(),
        _ => 1,
    });
    elements.sum::<usize>() > ELEMENTS_MAX
}

/// The fields of a message by their numbers, with what lies in those of bytes; as far as they can be
/// read.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    iter::from_fn(move || {
        let key = prost::decode_length_delimiter(&mut rest).ok()?;
        let len = match key & 7 {
            0 => prost::decode_length_delimiter(&mut rest).map(|_| 0).ok()?,
            1 => 8,
            2 => prost::decode_length_delimiter(&mut rest).ok()?,
            5 => 4,
            _ => 0,
        };
        let (content, behind) = rest.split_at_checked(len)?;
        rest = behind;
        Some((key as u64 >> 3, content))
    })
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
    use crate::native::v1::{Post, SetRoom, Words, client_frame::Request};

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
    fn the_lists_of_a_request_are_so_long_and_not_one_element_longer() {
        let words = |count| {
            let list = vec![String::new(); count];
            Request::SetRoom(SetRoom { words: Some(Words { list }), ..SetRoom::default() })
        };
        let mentioned =
            |count| Request::Post(Post { mentioned: vec![1_000; count], ..Post::default() });
        let attachments = |count| {
            let attachments = vec![String::new(); count];
            Request::Post(Post { attachments, ..Post::default() })
        };
        let of: [&dyn Fn(usize) -> Request; 3] = [&words, &mentioned, &attachments];
        for made in of {
            for (count, taken) in
                [(ELEMENTS_MAX - 1, true), (ELEMENTS_MAX, true), (ELEMENTS_MAX + 1, false)]
            {
                let frame = ClientFrame { id: 7, request: Some(made(count)) };
                let mut out = Vec::new();
                encode_client(&frame, &mut out);
                let decoded = decode_client(&out);
                assert_eq!(decoded.is_ok(), taken, "{count}");
                assert!(decoded.is_ok_and(|it| it == frame) || !taken);
            }
        }
        // One by one, as older encoders write numbers, and spread over a request said twice.
        let unpacked = b"\x30\x01".repeat(ELEMENTS_MAX / 2 + 1);
        let mut post = vec![0x52];
        prost::encode_length_delimiter(unpacked.len(), &mut post).unwrap();
        post.extend(unpacked);
        assert!(decode_client(&post).is_ok());
        assert!(decode_client(&post.repeat(2)).is_err());
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let frame = decode_client(b"\x08\x07\xfa\x01\x02hi").unwrap();
        assert_eq!(frame, ClientFrame { id: 7, request: None });
    }
}
