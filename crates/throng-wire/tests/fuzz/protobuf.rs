//! What can be read as Protobuf is written and read again as the same, also by way of JSON.

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::{Ack, Act, HistoryFor, Level, Role, RoomKind, Speak, Writers};
use throng_wire::native::{json, protobuf};

const SEEDS: [&[u8]; 6] = [
    b"\x08\x07\x52\x06\x08\x01\x12\x02hi",
    b"\x08\x08\x52\x0d\x08\x01\x12\x02hi\x1a\x03a-1\x20\x01",
    b"\x08\x09\x62\x08\x08\x01\x12\x04\x08\x04\x10\x09",
    b"\x12\x0c\x08\x07\x3a\x08\x08\x01\x10\x05\x18\x04\x20\x63",
    b"\x1a\x19\x08\x01\x10\x05\x18\x04\x20\x63\x2a\x0f\x08\x04\x12\x07\x08\x02\x12\x03ada\x22\x02hi",
    b"\x22\x12\x08\xf4\x07\x12\x08shutdown\x18\x01\x20\xf4\x03",
];

/// JSON has no name for a number this version does not know.
fn has_names(request: Option<&Request>) -> bool {
    match request {
        Some(Request::Post(post)) => Ack::try_from(post.ack).is_ok(),
        Some(Request::CreateRoom(room)) => {
            let begins = Speak::try_from(room.speak).is_ok();
            let begins = begins && HistoryFor::try_from(room.history).is_ok();
            begins && RoomKind::try_from(room.kind).is_ok()
        }
        Some(Request::SetRoomDefaults(set)) => {
            Speak::try_from(set.speak).is_ok() && HistoryFor::try_from(set.history).is_ok()
        }
        Some(Request::Moderate(moderate)) => {
            Act::try_from(moderate.act).is_ok() && Role::try_from(moderate.role).is_ok()
        }
        Some(Request::SetRoom(set)) => {
            Speak::try_from(set.speak).is_ok() && HistoryFor::try_from(set.history).is_ok()
        }
        Some(Request::SetLevel(set)) => Level::try_from(set.level).is_ok(),
        Some(Request::SetContacts(set)) => Writers::try_from(set.writers).is_ok(),
        _ => true,
    }
}

#[test]
fn fuzz() {
    bolero::check!().for_each(|input: &[u8]| {
        for bytes in super::tries(input, &SEEDS) {
            match protobuf::decode_client(&bytes) {
                Ok(frame) => {
                    let mut again = Vec::new();
                    protobuf::encode_client(&frame, &mut again);
                    assert_eq!(protobuf::decode_client(&again).as_ref(), Ok(&frame));
                    if has_names(frame.request.as_ref()) {
                        again.clear();
                        json::encode_client(&frame, &mut again);
                        assert_eq!(json::decode_client(&again), Ok(frame));
                    }
                }
                Err(error) => assert!(error.what.len() < 200, "{error}"),
            }
            if let Ok(frame) = protobuf::decode_server(&bytes) {
                let mut again = Vec::new();
                protobuf::encode_server(&frame, &mut again);
                assert_eq!(protobuf::decode_server(&again), Ok(frame));
            }
        }
    });
}
