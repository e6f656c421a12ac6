//! The bench: the table, measured by its method. Server and floors are processes of their own
//! and are loaded in turn, a second at a time; clients are one thread here.
//!
//! - [`process`]: child processes, and what the system says of them.
//! - `crowd`, `load`, `book`, `tally`, `text`, `scene`, `window`: the clients, what they send, and the account.
//! - `beside`: the floor with the sockets of a lab's run.
//! - `rows`: one file a kind of row; `pairs` judges server beside floors, `slices` takes them in turn; `table` prints.
//!
//! Neighbours: `floor` is the other side of each ratio; `cargo xtask bench` is the command.
//! It never links the server, and nothing here decides whether a test passes.

mod beside;
mod book;
mod crowd;
mod load;
mod machine;
mod pairs;
pub mod process;
mod rows;
mod scene;
mod slices;
mod syncs;
mod table;
mod tally;
mod text;
mod window;

pub use beside::{FloorSlice, Work, floor_slice};
pub use rows::{Options, machine, run};

/// A floor in a thread, one room of `members`, so many posts in each slice, before which it may be told how to
/// hold back: what it says it did.
#[cfg(test)]
pub fn floor_once(
    plan: &crate::floor::Plan,
    members: usize,
    slices: &[(Option<crate::floor::Hold>, u64)],
) -> std::io::Result<crate::floor::Done> {
    use std::io::{BufRead, BufReader, Error};
    use std::os::fd::AsFd as _;
    use std::time::Duration;

    let (until, ends) = std::io::pipe()?;
    let (said, mut says) = std::io::pipe()?;
    let plan = plan.clone();
    let floor = std::thread::spawn(move || crate::floor::serve(&plan, until.as_fd(), &mut says));
    let mut lines = BufReader::new(said);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let to = line.trim().rsplit(' ').next().and_then(|word| word.parse().ok());
    let to = to.ok_or_else(|| Error::other(format!("it said {line:?}")))?;
    let form = throng_wire::native::Form::Protobuf;
    let mut scene = scene::Scene::open(to, form, &vec![String::new(); members], 1, members)?;
    let (room, links) = scene.rooms[0].clone();
    let mut tally = tally::Tally::new(members as u64);
    let mut choose = |number: u64| {
        let link = links[number as usize % members];
        load::Next { link, room, number, repeat: false }
    };
    let text = text::Text::new(200);
    for (hold, posts) in slices {
        if let Some(hold) = hold {
            process::get(to, &hold.target())?;
        }
        let plan = load::Plan {
            sends_per_second: 1_000.0,
            warmup: Duration::ZERO,
            window: Duration::from_nanos(posts * 1_000_000),
            settle: Duration::from_secs(10),
            unacked_max: None,
        };
        load::run(&mut scene.crowd, &mut tally, &text, &plan, &mut choose, &mut |_| Ok(()))?;
    }
    drop((ends, scene));
    line.clear();
    lines.read_line(&mut line)?;
    floor.join().map_err(|_| Error::other("the floor panicked"))??;
    serde_json::from_str(&line).map_err(Error::other)
}
