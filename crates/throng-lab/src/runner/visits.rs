//! Who is there when: users who are expected at the beginning, those who come and go while load is
//! offered, and those who are called back to read history.
//!
//! Neighbours: the runner says when; `crowd` connects. What a visit means for the books is
//! `ledger`'s.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use super::user::{Leaving, Link, Todo, User};
use super::{Runner, Wake};
use crate::clock::Nanos;
use crate::engine::Sockets;
use crate::scenario::Login;

/// Of those who have not come back, so many are described.
const MISSING_MAX: usize = 5;
/// And of what each had asked, so much.
const ASKED_TOLD_MAX: usize = 3;
/// Between looks at whether who wants to go has got all its answers, and heard what is due to it.
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

    /// Everybody joins the rooms that he is in from the beginning; their makers are in.
    pub fn join_all(&mut self, sockets: &mut Sockets) {
        for room in 0..self.crowd.places.len() as u32 {
            let direct = self.crowd.places[room as usize].direct;
            for member in self.crowd.places[room as usize].members.clone().into_iter().skip(1) {
                if direct {
                    self.crowd.join_direct(member, room, sockets);
                } else {
                    self.crowd.doing(member, Todo::Join { room }, sockets);
                }
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

    /// Comes from where it was away; one that was there from the beginning is there.
    pub fn arrive(&mut self, user: u32, login: Login, intended: Nanos, sockets: &mut Sockets) {
        let it = &mut self.crowd.users[user as usize];
        if it.link == Link::Away {
            it.coming = Some((intended, login));
            self.crowd.connect(user, sockets);
        } else if it.leaves.is_some() {
            // It has not gone from its last visit yet, because something is unanswered: it comes late.
            it.next_visits.push_back((intended, login));
        }
    }

    /// Goes once everything is answered and all is heard that was known to have been said when it wanted
    /// to go, and stays away. Whom the server owes something to the end is there to the end, and that is
    /// lost.
    pub fn depart(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        let it = &mut self.crowd.users[user as usize];
        if it.link == Link::Away {
            return;
        }
        let ledger = &self.crowd.ledger;
        let leaving = it.leaves.take().unwrap_or_else(|| Leaving(ledger.owed(it.me)));
        let answered = it.link == Link::Up && it.is_idle() && !it.asleep;
        if !answered || !ledger.has_heard(it.me, &leaving.0) {
            it.leaves = Some(leaving);
            self.wake(now.plus(DEPARTS_WITHIN), Wake::Depart(user));
            return;
        }
        if let Some(conn) = it.conn {
            sockets.close(conn);
        }
        it.goes_away();
        it.lose(now);
        it.link = Link::Away;
        self.crowd.gallery.leave(user, sockets);
        let it = &mut self.crowd.users[user as usize];
        let next = it.next_visits.pop_front();
        self.crowd.ledger.departed(it.me);
        if let Some((intended, login)) = next {
            self.arrive(user, login, intended, sockets);
        }
    }

    /// Somebody was told to come later, and will: nothing needs to move until then.
    pub fn awaits(&self) -> bool {
        let planned = |wake: &Wake| matches!(wake, Wake::Again(_) | Wake::Connect(_));
        self.wakes.iter().any(|Reverse((_, wake))| planned(wake))
    }

    /// Where those are who are neither there nor away by plan, a few of them.
    pub fn missing(&self) -> Vec<String> {
        let unheard = |it: &User| self.crowd.ledger.unheard(it.me);
        let lost = |(_, it): &(usize, &User)| {
            !matches!(it.link, Link::Up | Link::Away) || !unheard(it).is_empty()
        };
        let words = |(number, it): (usize, &User)| {
            let User { link, asked, backlog, failures, rooms, .. } = it;
            let asked: Vec<_> = asked.iter().map(|(_, asked)| asked).take(ASKED_TOLD_MAX).collect();
            let waits = backlog.len();
            format!(
                "user {number}: {link:?} after {failures} failures, asked {asked:?}, {waits} to do, \
                 in rooms {rooms:?}, unheard {unheard:?}",
                unheard = unheard(it)
            )
        };
        self.crowd.users.iter().enumerate().filter(lost).take(MISSING_MAX).map(words).collect()
    }

    /// Where nobody is in a room who could read its history to its end, somebody comes back for
    /// it. Whether somebody had to.
    pub fn call_readers(&mut self, sockets: &mut Sockets, now: Nanos) -> bool {
        let mut called = false;
        self.crowd.load_over = true;
        for room in 0..self.crowd.places.len() as u32 {
            let Some((_, ix)) = self.crowd.places[room as usize].made else { continue };
            let users = &self.crowd.users;
            let reads = |it: &User| it.link == Link::Up && self.crowd.ledger.is_member(it.me, ix);
            if users.iter().any(reads) {
                continue;
            }
            let member = users.iter().position(|it| it.rooms.contains(&room));
            let reader = member.map_or(self.crowd.places[room as usize].maker, |at| at as u32);
            self.crowd.places[room as usize].members.push(reader);
            self.arrive(reader, Login::Token, now, sockets);
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
