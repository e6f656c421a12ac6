//! A floor's slice beside a scenario's: the same sockets in the same rooms, told as often, in frames
//! of the same mean size and as many a write, by a program that does nothing else.
//!
//! Neighbours: [`crate::beside`] alternates it with slices of the server; `scene`, `load` and
//! `tally` do the work, as for the bench's table. It starts no server and judges nothing.

use std::io;
use std::path::Path;
use std::time::Duration;

use throng_wire::native::Form;

use super::load::{self, Next, Plan};
use super::pairs::SEND_BUFFER_BYTES;
use super::process::Programs;
use super::rows::quantiles_ms;
use super::scene::Scene;
use super::tally::Tally;
use super::text::{Text, mix};
use super::window::Window;
use crate::floor;

/// Before the floor's window; its members' sockets are warm then.
const WARMUP: Duration = Duration::from_millis(500);
/// Events still on their way when the last send is out.
const SETTLE: Duration = Duration::from_secs(5);
/// A body holds its number.
const BODY_BYTES_MIN: usize = 16;

/// The work of a slice.
#[derive(Clone, Debug)]
pub struct Work {
    /// Sockets.
    pub users: usize,
    /// Who is in each room, and its share of the sends.
    pub rooms: Vec<(Vec<usize>, f64)>,
    /// In all rooms together.
    pub sends_per_second: f64,
    /// Mean length of what is said.
    pub body_bytes: usize,
    /// Mean length of what is written to a socket, header included.
    pub frame_bytes: usize,
    /// Mean number of frames in a write; at least 1.
    pub frames_per_write: f64,
    /// How long it is measured.
    pub window: Duration,
}

/// What the floor did.
#[derive(Clone, Copy, Debug)]
pub struct FloorSlice {
    /// All of its CPU over the deliveries its members got.
    pub cpu_us_per_delivery: f64,
    /// The same over its writes.
    pub cpu_us_per_write: f64,
    /// As it came out.
    pub frames_per_write: f64,
    /// From the intended time to the floor's ack, p50 and p99, milliseconds.
    pub ack_ms: [f64; 2],
}

/// Runs a floor as a child process (`own` is this program) and loads it.
pub fn floor_slice(own: &Path, work: &Work) -> io::Result<FloorSlice> {
    let plan = floor::Plan {
        listen: ([127, 0, 0, 1], 0).into(),
        frames_per_write: work.frames_per_write.max(1.0),
        event_bytes: work.frame_bytes,
        ack_bytes: work.frame_bytes,
        send_buffer_bytes: SEND_BUFFER_BYTES,
        durable: None,
    };
    let own = (own.to_owned(), vec!["lab".to_owned()]);
    let process = Programs { throng: own.0.clone(), own }.floor(&plan)?;
    let members: Vec<&[usize]> = work.rooms.iter().map(|(members, _)| &members[..]).collect();
    let mut scene = Scene::of_rooms(process.address, Form::Protobuf, work.users, &members)?;
    let rooms = scene.rooms.clone();
    let fanouts = rooms.iter().map(|(room, links)| (*room, links.len() as u64)).collect();
    let mut tally = Tally::of_rooms(fanouts);
    let up_to: Vec<f64> = work
        .rooms
        .iter()
        .scan(0.0, |sum, (_, share)| {
            *sum += share;
            Some(*sum)
        })
        .collect();
    let all = up_to.last().copied().unwrap_or_default();
    let mut choose = |number: u64| {
        let drawn = mix(number) as f64 / u64::MAX as f64 * all;
        let (room, links) = &rooms[up_to.partition_point(|it| *it < drawn).min(rooms.len() - 1)];
        let link = links[mix(!number) as usize % links.len()];
        Next { link, room: *room, number, repeat: false }
    };
    let text = Text::new(work.body_bytes.max(BODY_BYTES_MIN));
    let load = Plan {
        sends_per_second: work.sends_per_second,
        warmup: WARMUP,
        window: work.window,
        settle: SETTLE,
        unacked_max: None,
    };
    let mut window = Window::of(&process);
    let mut mark = |_| window.mark();
    let (marks, _) = load::run(&mut scene.crowd, &mut tally, &text, &load, &mut choose, &mut mark)?;
    let seen = window.close()?;
    drop(scene);
    process.stop()?;
    let (cpu, writes) = (seen.cpu as f64 / 1e3, seen.grew("floor_writes_total")?);
    if marks.delivered == 0 || tally.odd > 0 {
        let (delivered, odd) = (marks.delivered, tally.odd);
        let text = format!("the floor wrote {delivered} deliveries and {odd} odd frames");
        return Err(io::Error::other(text));
    }
    Ok(FloorSlice {
        cpu_us_per_delivery: cpu / marks.delivered as f64,
        cpu_us_per_write: cpu / writes.max(1.0),
        frames_per_write: seen.grew("floor_frames_total")? / writes.max(1.0),
        ack_ms: quantiles_ms(&tally.acks),
    })
}
