//! Connected members in their rooms, on a server or a floor: what most rows begin with.
//!
//! Neighbours: the rows set it up, before anything is measured.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use throng_wire::native::Form;
use throng_wire::native::v1::{self, client_frame::Request, reply::Outcome};

use super::crowd::{Crowd, Nobody};
use crate::clock::now;

/// Setup requests in flight.
pub const WINDOW: usize = 256;

/// Rooms with their members' sockets.
#[derive(Debug)]
pub struct Scene {
    pub crowd: Crowd,
    /// Number of each room and the sockets in it.
    pub rooms: Vec<(u32, Vec<usize>)>,
}

impl Scene {
    /// Nobody yet.
    pub fn nobody(form: Form) -> io::Result<Self> {
        Ok(Self { crowd: Crowd::new(form)?, rooms: Vec::new() })
    }

    /// One connection for each token, `members` of them in each of `rooms` rooms.
    pub fn open(
        to: SocketAddr,
        form: Form,
        tokens: &[String],
        rooms: usize,
        members: usize,
    ) -> io::Result<Self> {
        let mut scene = Self::nobody(form)?;
        let links = scene.enter(to, &tokens[..rooms * members])?;
        let groups: Vec<&[usize]> = links.chunks(members).collect();
        let numbers = scene.create_all(groups.iter().map(|links| links[0]), "bench")?;
        for (room, links) in numbers.into_iter().zip(groups) {
            scene.rooms.push((room, links.to_vec()));
        }
        let joins: Vec<_> = scene
            .rooms
            .iter()
            .flat_map(|(room, links)| links[1..].iter().map(|&link| (link, join(*room))))
            .collect();
        scene.crowd.ask_all(joins, WINDOW)?;
        Ok(scene)
    }

    /// One connection for each user, in these rooms; the first of each makes it. For a floor, which
    /// takes any token.
    pub fn of_rooms(
        to: SocketAddr,
        form: Form,
        users: usize,
        rooms: &[&[usize]],
    ) -> io::Result<Self> {
        let mut scene = Self::nobody(form)?;
        scene.enter(to, &vec!["floor".to_owned(); users])?;
        let numbers = scene.create_all(rooms.iter().map(|members| members[0]), "floor")?;
        for (room, members) in numbers.into_iter().zip(rooms) {
            let joins = members[1..].iter().map(|&link| (link, join(room)));
            scene.crowd.ask_all(joins.collect::<Vec<_>>(), WINDOW)?;
            scene.rooms.push((room, members.to_vec()));
        }
        Ok(scene)
    }

    /// One room of this name with one connection for each token.
    pub fn enter_room(
        to: SocketAddr,
        form: Form,
        tokens: &[String],
        name: &str,
    ) -> io::Result<Self> {
        let mut scene = Self::nobody(form)?;
        let links = scene.enter(to, tokens)?;
        let room = scene.create_all(links[..1].iter().copied(), name)?[0];
        let joins: Vec<_> = links[1..].iter().map(|&link| (link, join(room))).collect();
        scene.crowd.ask_all(joins, WINDOW)?;
        scene.rooms.push((room, links));
        Ok(scene)
    }

    /// Connects and authenticates one socket for each token.
    pub fn enter(&mut self, to: SocketAddr, tokens: &[String]) -> io::Result<Vec<usize>> {
        let first = self.crowd.len();
        self.crowd.connect(to, tokens.len())?;
        let logins = tokens.iter().enumerate().map(|(at, token)| {
            let token = token.clone();
            (first + at, Request::Authenticate(v1::Authenticate { token }))
        });
        self.crowd.ask_all(logins.collect::<Vec<_>>(), WINDOW)?;
        Ok((first..first + tokens.len()).collect())
    }

    /// Reads on for so long, and answers pings.
    pub fn rest(&mut self, time: Duration) -> io::Result<()> {
        let end = now().plus(time);
        while now() < end {
            self.crowd.turn(Some(Duration::from_millis(50)), &mut Nobody)?;
        }
        Ok(())
    }

    /// Each of them makes a room; their numbers.
    pub fn create_all(
        &mut self,
        links: impl Iterator<Item = usize>,
        name: &str,
    ) -> io::Result<Vec<u32>> {
        let requests = links.enumerate().map(|(number, link)| {
            let name = format!("{name} {number}");
            (link, Request::CreateRoom(v1::CreateRoom { name, ..Default::default() }))
        });
        let answers = self.crowd.ask_all(requests.collect::<Vec<_>>(), WINDOW)?;
        let number = |answer| match answer {
            Outcome::Joined(joined) => Ok(joined.room),
            other => Err(io::Error::other(format!("no room was made: {other:?}"))),
        };
        answers.into_iter().map(number).collect()
    }
}

/// A request to join.
pub fn join(room: u32) -> Request {
    Request::Join(v1::Join { room })
}
