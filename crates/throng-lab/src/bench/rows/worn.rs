//! Data folders that already hold millions of posts, made once through the server and kept between
//! runs: what the rows "pairs" and "restart" begin with.
//!
//! Neighbours: `pair_rooms` and `restart` copy them. The first ack of every post is kept beside, so
//! that a repeat can be held against it.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Bench;
use crate::bench::book::{Book, First};
use crate::bench::load::{self, Next, Plan};
use crate::bench::pairs::BODY_BYTES;
use crate::bench::process::read_tokens;
use crate::bench::scene::{Scene, WINDOW, join};
use crate::bench::text::{Text, mix};

/// Connections, each a user.
pub const LINKS: usize = 100;
/// Rooms of two.
pub const ROOMS: usize = 1_000;
/// What the load needs above the defaults: five hundred sends a second of each user.
pub const SETTINGS: [&str; 3] = [
    "limits.sends_per_second=5000",
    "limits.sends_burst=5000",
    "limits.connections_per_address=200",
];

/// A folder as it was when its server had stopped.
#[derive(Clone, Debug)]
pub struct Worn {
    pub data: PathBuf,
    pub tokens: Vec<String>,
    /// Numbers of the rooms.
    pub rooms: Vec<u32>,
    /// First acks by the number of the post.
    pub firsts: Vec<First>,
}

/// The two members of a room.
pub fn members(room: usize) -> [usize; 2] {
    let one = room % LINKS;
    [one, (one + 1 + room / LINKS) % LINKS]
}

/// Where and from whom post `number` comes: the same for ever, so that it can be repeated.
pub fn post(number: u64, rooms: &[u32], repeat: bool) -> Next {
    let chance = mix(number ^ 0x00c0_ffee);
    let room = (chance % ROOMS as u64) as usize;
    let link = members(room)[(chance >> 32) as usize & 1];
    Next { link, room: rooms[room], number, repeat }
}

/// Connects everybody to their rooms; they are made if their numbers are not known yet.
pub fn scene(
    bench: &Bench,
    to: SocketAddr,
    tokens: &[String],
    rooms: Option<&[u32]>,
) -> io::Result<Scene> {
    let mut scene = Scene::nobody(bench.options.form)?;
    scene.enter(to, tokens)?;
    let numbers = match rooms {
        Some(rooms) => rooms.to_vec(),
        None => scene.create_all((0..ROOMS).map(|room| members(room)[0]), "pair")?,
    };
    scene.rooms = numbers
        .into_iter()
        .enumerate()
        .map(|(room, number)| (number, members(room).to_vec()))
        .collect();
    let joins: Vec<_> = scene
        .rooms
        .iter()
        .flat_map(|(room, links)| links.iter().map(|&link| (link, join(*room))))
        .collect();
    scene.crowd.ask_all(joins, WINDOW)?;
    Ok(scene)
}

/// A book in which everybody hears their rooms.
pub fn book(bench: &Bench, scene: &Scene, text: &Text) -> Book {
    let mut book = Book::new(bench.options.form, text.clone());
    for (room, links) in &scene.rooms {
        for &link in links {
            book.joins(link, *room);
        }
    }
    book
}

impl Worn {
    /// The folder with so many posts; made if it is not there.
    pub fn of(bench: &mut Bench, posts: u64) -> io::Result<Self> {
        let home = bench.scratch.join(format!("worn-{posts}"));
        if !home.join("complete").exists() {
            bench.say(&format!("  filling a folder with {posts} posts, once"))?;
            if home.exists() {
                std::fs::remove_dir_all(&home)?;
            }
            std::fs::create_dir_all(&home)?;
            fill(bench, &home, posts)?;
            std::fs::write(home.join("complete"), "")?;
        }
        Ok(Self {
            data: home.join("data"),
            tokens: read_tokens(&home.join("data.u.tokens"))?,
            rooms: serde_json::from_slice(&std::fs::read(home.join("rooms"))?)?,
            firsts: read_firsts(&home.join("firsts"))?,
        })
    }

    /// A copy to be worn further.
    pub fn copy(&self, to: &Path) -> io::Result<()> {
        copy_folder(&self.data, to)?;
        // The copy must be on the disk before the run: its write-back is not the server's.
        rustix::fs::sync();
        Ok(())
    }
}

/// All that is in a folder, into one that is there.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&copy)?;
            copy_folder(&entry.path(), &copy)?;
        } else {
            std::fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}

fn fill(bench: &mut Bench, home: &Path, posts: u64) -> io::Result<()> {
    let data = home.join("data");
    std::fs::create_dir(&data)?;
    let tokens = bench.programs.users(&data, "u", LINKS)?;
    let process = bench.serve(&data, &SETTINGS.map(str::to_owned))?;
    let mut scene = scene(bench, process.address, &tokens, None)?;
    let text = Text::new(BODY_BYTES);
    let mut book = book(bench, &scene, &text);
    book.keep_firsts = true;
    let rooms: Vec<u32> = scene.rooms.iter().map(|(room, _)| *room).collect();
    // As fast as it goes: offered above what there is, held back by what is not acked.
    let rate = 200_000.0;
    let plan = Plan {
        sends_per_second: rate,
        warmup: Duration::ZERO,
        window: Duration::from_secs_f64(posts as f64 / rate),
        settle: Duration::from_hours(1),
        unacked_max: Some(4_000),
    };
    let mut choose = |number: u64| post(number, &rooms, false);
    load::run(&mut scene.crowd, &mut book, &text, &plan, &mut choose, &mut |_| Ok(()))?;
    book.close();
    if book.faults.any() {
        return Err(io::Error::other(format!("filling: {:?} {:?}", book.faults, book.refusals)));
    }
    drop(scene);
    process.stop()?;
    std::fs::write(home.join("rooms"), serde_json::to_vec(&rooms)?)?;
    write_firsts(&home.join("firsts"), &book.firsts)
}

fn write_firsts(path: &Path, firsts: &[First]) -> io::Result<()> {
    let mut file = io::BufWriter::new(std::fs::File::create(path)?);
    for first in firsts {
        file.write_all(&first.seq.to_le_bytes())?;
        file.write_all(&first.n.to_le_bytes())?;
        file.write_all(&first.at.to_le_bytes())?;
    }
    file.flush()
}

fn read_firsts(path: &Path) -> io::Result<Vec<First>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.read_to_end(&mut bytes)?;
    let (records, _) = bytes.as_chunks::<16>();
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    Ok(records
        .iter()
        .map(|record| First {
            seq: number(&record[..4]),
            n: number(&record[4..8]),
            at: u64::from_le_bytes(record[8..].try_into().expect("eight bytes")),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_what_lies_in_folders_too() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::create_dir_all(from.join("files/made")).unwrap();
        std::fs::create_dir(&to).unwrap();
        std::fs::write(from.join("log.db"), "log").unwrap();
        std::fs::write(from.join("files/made/one"), "one").unwrap();
        copy_folder(&from, &to).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("log.db")).unwrap(), "log");
        assert_eq!(std::fs::read_to_string(to.join("files/made/one")).unwrap(), "one");
    }
}
