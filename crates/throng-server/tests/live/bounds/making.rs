//! How the bounds of what one account makes are met: rooms, each of which it leaves again.

use std::time::Duration;

use serde_json::Value;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::{self};

use super::Asker;
use super::rows::create;

/// The newest room that it belongs to, if it made one, is left.
fn make_and_leave(asker: &mut Asker) -> usize {
    let name = asker.name(12);
    let code = create(asker, name);
    let mine = v1::ListRooms { mine: true, ..v1::ListRooms::default() };
    let rest = ("GET", "/rooms?mine=true".to_owned(), Value::Null);
    let rooms = asker.ask(Request::ListRooms(mine), rest).unwrap();
    for room in rooms["rooms"].as_array().unwrap() {
        let room = room["id"].as_u64().unwrap() as u32;
        let rest = ("POST", format!("/rooms/{room}/leave"), Value::Null);
        assert_eq!(asker.code(Request::Leave(v1::Leave { room }), rest), 0);
    }
    code
}

/// So many, of another account each time.
pub fn many(asker: &mut Asker, count: usize) -> usize {
    asker.anew();
    (0..count).map(|_| make_and_leave(asker)).last().unwrap()
}

/// The second of two, so many milliseconds after the first.
pub fn again(asker: &mut Asker, ms: usize) -> usize {
    asker.anew();
    assert_eq!(make_and_leave(asker), 0);
    asker.clock.advance(Duration::from_millis(ms as u64));
    make_and_leave(asker)
}
