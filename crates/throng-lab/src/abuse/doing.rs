//! What each kind does when its moment has come.
//!
//! Neighbours: `abuse` connects them and counts what is answered. Nothing here waits for an answer.

use super::Ill;
use crate::drivers::{Action, Position};
use crate::engine::Sockets;
use crate::scenario::Abuse;

/// Posts that a flooder makes at once, while so few bytes wait.
const FLOOD_AT_ONCE: usize = 64;
const FLOOD_BYTES_MAX: usize = 128 * 1024;
/// Beyond any limit on a body, and on a frame.
const BODY_LEN: usize = 9 * 1024;
const FRAME_LEN: usize = 512 * 1024;
/// Bytes of nonsense.
const NONSENSE_LEN: usize = 100;
/// Foreign rooms are looked for among so many numbers.
const ROOMS_PROBED: u64 = 200;
/// The head that is sent byte by byte.
const HEAD: &[u8] = b"GET /ws HTTP/1.1\r\nHost: throng\r\nUpgrade: websocket\r\nX-Drip: ";

impl Ill<'_> {
    /// One is to do its thing; it is connected.
    pub fn ill(&mut self, at: usize, sockets: &mut Sockets) {
        let one = &mut self.all[at];
        let Some(conn) = one.conn else { return };
        let done = one.done;
        let needs_session = !matches!(one.does, Abuse::Drip | Abuse::HalfOpen);
        if needs_session && !one.is_up {
            return;
        }
        one.done += 1;
        match one.does {
            Abuse::HalfOpen => {}
            Abuse::Drip => {
                let byte = HEAD.get(done as usize).copied().unwrap_or(b'a');
                sockets.out(conn).push(byte);
            }
            Abuse::Malformed => {
                let nonsense = (0..NONSENSE_LEN as u64).map(|it| (it * 37 + done * 101) as u8);
                sockets.out(conn).extend(nonsense);
            }
            Abuse::Oversize => {
                let len = if done % 8 == 7 { FRAME_LEN } else { BODY_LEN };
                let body = "x".repeat(len);
                let action = Action::Post {
                    room: 1,
                    origin_id: "oversize",
                    body: &body,
                    file: None,
                    durable: true,
                    trace: false,
                };
                self.act(at, &action, sockets);
            }
            Abuse::Guess => {
                let name = self.all[at].account.name.clone();
                let password = format!("guess number {done}");
                self.act(at, &Action::Login { name: &name, password: &password }, sockets);
            }
            Abuse::Probe => self.probe(at, done, sockets),
            Abuse::Flap => {
                let Some(room) = self.room_of(at, sockets) else { return };
                let leave = self.all[at].is_in;
                let action = if leave { Action::Leave { room } } else { Action::Join { room } };
                self.act(at, &action, sockets);
            }
            Abuse::Flood => self.flood(at, sockets),
            Abuse::Typing => self.types(at, done, sockets),
        }
    }

    /// The room of its group: the first makes it, the others join it.
    fn room_of(&mut self, at: usize, sockets: &mut Sockets) -> Option<u32> {
        let does = self.all[at].does;
        if let Some(room) = self.rooms.get(&does) {
            return Some(*room);
        }
        let is_first = self.all.iter().position(|it| it.does == does) == Some(at);
        if is_first {
            self.names += 1;
            let name = format!("ill-{}-{}", self.all[at].account.id, self.names);
            self.act(at, &Action::CreateRoom { name: &name }, sockets);
        }
        None
    }

    fn probe(&mut self, at: usize, done: u64, sockets: &mut Sockets) {
        // Whoever probes belongs to no room at all.
        let room = (1 + done / 4 % ROOMS_PROBED) as u32;
        let action = match done % 4 {
            0 => Action::History { room, after: 0, limit: 0 },
            1 => Action::Subscribe { room, from: None },
            2 => Action::Subscribe { room, from: Some(Position { epoch: 0, seq: 1 }) },
            _ => Action::Post {
                room,
                origin_id: "probe",
                body: "is anybody there?",
                file: None,
                durable: true,
                trace: false,
            },
        };
        self.act(at, &action, sockets);
    }

    /// Without the pauses that a client makes, and every fourth time where it does not belong.
    fn types(&mut self, at: usize, done: u64, sockets: &mut Sockets) {
        let Some(room) = self.room_of(at, sockets) else { return };
        if !self.all[at].is_in {
            return self.act(at, &Action::Join { room }, sockets);
        }
        let foreign = (1 + done / 4 % ROOMS_PROBED) as u32;
        let room = if done.is_multiple_of(4) && foreign != room { foreign } else { room };
        self.act(at, &Action::Type { room }, sockets);
    }

    fn flood(&mut self, at: usize, sockets: &mut Sockets) {
        let Some(room) = self.room_of(at, sockets) else { return };
        if !self.all[at].is_in {
            return self.act(at, &Action::Join { room }, sockets);
        }
        for _ in 0..FLOOD_AT_ONCE {
            let Some(conn) = self.all[at].conn else { return };
            if sockets.out(conn).len() > FLOOD_BYTES_MAX {
                return;
            }
            self.names += 1;
            let id = format!("flood-{}", self.names);
            let action = Action::Post {
                room,
                origin_id: &id,
                body: "as much as the line takes",
                file: None,
                durable: true,
                trace: false,
            };
            self.act(at, &action, sockets);
        }
    }
}
