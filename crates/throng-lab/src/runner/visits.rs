//! Who is there when: users who are expected at the beginning, those who come and go while load is
//! offered, and those who are called back to read history.
//!
//! Neighbours: the runner says when; `crowd` connects. What a visit means for the books is
//! `ledger`'s.

use std::collections::BTreeSet;
use std::time::Duration;

use super::user::{Link, Todo};
use super::{Runner, Wake};
use crate::clock::Nanos;
use crate::engine::Sockets;
use crate::scenario::Login;

/// Between looks at whether who wants to go has got all its answers.
const DEPARTS_WITHIN: Duration = Duration::from_millis(5);

impl Runner<'_> {
    /// Users who come later by plan.
    fn visitors(&self) -> BTreeSet<u32> {
        let lives = self.scenario.lives.iter().filter(|life| life.login != Login::Before);
        let lives = lives.map(|life| (life.first, life.count));
        let rows = self.scenario.rows.iter().map(|row| (row.first, row.count));
        lives.chain(rows).flat_map(|(first, count)| first..first + count).collect()
    }

    /// Everybody is to connect who is there all the time or is in a room before the load begins.
    pub fn expect_users(&mut self) {
        let mut absent = self.visitors();
        for place in &self.crowd.places {
            for member in &place.members {
                absent.remove(member);
            }
        }
        for user in 0..self.crowd.users.len() as u32 {
            if absent.contains(&user) {
                self.crowd.users[user as usize].link = Link::Away;
            } else {
                self.to_connect.push_back(user);
            }
        }
    }

    /// Whoever was only there to make or to join rooms goes, and comes when its time has come.
    pub fn send_home(&mut self, sockets: &mut Sockets, now: Nanos) {
        for user in self.visitors() {
            if self.crowd.users[user as usize].link == Link::Up {
                self.depart(user, sockets, now);
            }
        }
    }

    /// Comes from where it was away.
    pub fn arrive(
        &mut self,
        user: u32,
        login: Login,
        intended: Nanos,
        sockets: &mut Sockets,
        now: Nanos,
    ) {
        let it = &mut self.crowd.users[user as usize];
        if it.link == Link::Away {
            it.coming = Some((intended, login));
            self.crowd.connect(user, sockets, now);
        }
    }

    /// Goes once everything is answered, and stays away.
    pub fn depart(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        let it = &mut self.crowd.users[user as usize];
        if it.link == Link::Away {
            return;
        }
        if it.link != Link::Up || !it.is_idle() {
            self.wake(now.plus(DEPARTS_WITHIN), Wake::Depart(user));
            return;
        }
        if let Some(conn) = it.conn {
            sockets.close(conn);
        }
        it.lose(now);
        it.link = Link::Away;
        self.crowd.ledger.departed(it.me);
    }

    /// Where nobody is in a room who could read its history to its end, somebody comes back for
    /// it. Whether somebody had to.
    pub fn call_readers(&mut self, sockets: &mut Sockets, now: Nanos) -> bool {
        let mut called = false;
        self.crowd.load_over = true;
        for room in 0..self.crowd.places.len() as u32 {
            let Some((_, ix)) = self.crowd.places[room as usize].made else { continue };
            let users = &self.crowd.users;
            let reads = |it: &super::user::User| {
                it.link == Link::Up && self.crowd.ledger.is_member(it.me, ix)
            };
            if users.iter().any(reads) {
                continue;
            }
            let member = users.iter().position(|it| it.rooms.contains(&room));
            let reader = member.map_or(self.crowd.places[room as usize].maker, |at| at as u32);
            self.crowd.places[room as usize].members.push(reader);
            self.arrive(reader, Login::Token, now, sockets, now);
            if member.is_none() {
                self.crowd.doing(reader, Todo::Join { room }, sockets);
            }
            called = true;
        }
        if called {
            self.since = now;
        }
        called
    }
}
