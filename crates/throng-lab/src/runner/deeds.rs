//! What is planned is done: each deed at its time, by the user it names.
//!
//! Neighbours: `plan` says what and when, `crowd` does it, `visits` has those who come and go. Nothing here
//! waits for an answer.

use super::user::{Link, Todo};
use super::{Phase, Runner, Wake};
use crate::clock::{self, Nanos};
use crate::engine::Sockets;
use crate::plan::Deed;

/// Between looks at whether a join was answered, where a reconnect waits for it.
const MOVED_WITHIN: std::time::Duration = std::time::Duration::from_millis(1);

impl Runner<'_> {
    /// While load is offered: does what is due by now and was planned for before that moment. What is too late by now
    /// is counted as dropped, so that nothing which was planned goes uncounted.
    pub(super) fn do_what_is_due(&mut self, before: Nanos, sockets: &mut Sockets, now: Nanos) {
        if self.phase != Phase::Load {
            return;
        }
        let begun = self.begun;
        let is_due = |at: Nanos| at <= now && at < before;
        while let Some(planned) = self.plan.next_if(|it| is_due(begun.plus(it.at))) {
            self.deed(planned.deed, self.begun.plus(planned.at), sockets, now);
        }
        self.collect_lost(now);
    }

    fn deed(&mut self, deed: Deed, intended: Nanos, sockets: &mut Sockets, now: Nanos) {
        match deed {
            Deed::Say { room, user, bytes } => {
                let meant = self.crowd.recent.meant(room);
                if now.since(intended) > self.late {
                    self.crowd.recorder.dropped();
                    self.figures.dropped += 1;
                    self.crowd.recent.never(meant);
                    return;
                }
                self.crowd.recorder.sent(intended, clock::now());
                let todo = self.crowd.new_send(meant, user, room, bytes, intended);
                self.crowd.doing(user, todo, sockets);
            }
            Deed::Join { user, room } => self.crowd.doing(user, Todo::Join { room }, sockets),
            Deed::Leave { user, room } => {
                self.crowd.doing(user, Todo::Leave { room, again: false }, sockets);
            }
            Deed::Change { room, user, change, pick } => {
                self.crowd.change_due((room, user), change, pick, sockets);
            }
            Deed::Share { room, user, bytes, pick } => {
                self.crowd.share(user, (room, bytes, pick), intended, sockets);
            }
            Deed::Type { user, room } => {
                // Who is away does not type.
                if self.crowd.users[user as usize].link == Link::Up {
                    self.crowd.doing(user, Todo::Type { room }, sockets);
                }
            }
            Deed::Moderate { by, room, user, act } => {
                let of = self.crowd.me(user);
                self.crowd.doing(by, Todo::Moderate { room, of, act }, sockets);
            }
            Deed::Reconnect { user } => self.drop_connection(user, sockets, now),
            Deed::Stall { user, lasts } => {
                let it = &mut self.crowd.users[user as usize];
                if let Some(conn) = it.conn.filter(|_| it.link == Link::Up) {
                    it.asleep = true;
                    it.goes_away();
                    sockets.pause(conn);
                    self.wake(now.plus(lasts), Wake::Awake(user));
                }
            }
            Deed::Arrive { user, life } => {
                let login = self.scenario.lives[life as usize].login;
                self.arrive(user, login, intended, sockets);
            }
            Deed::Look { user, room, history, avatars } => {
                if history > 0 {
                    self.crowd.doing(user, Todo::Look { room, history }, sockets);
                }
                if avatars {
                    self.crowd.doing(user, Todo::Faces { room }, sockets);
                }
            }
            Deed::Depart { user } => self.depart(user, sockets, now),
        }
    }

    /// Not while a join is unanswered: the server may yet read it from the old connection, after the
    /// new one joined and left, and nothing would tell the user that it is a member. A late leave is
    /// told to whoever hears the room, and posts have an `origin_id`.
    pub(super) fn drop_connection(&mut self, user: u32, sockets: &mut Sockets, now: Nanos) {
        let it = &self.crowd.users[user as usize];
        if it.is_joining() {
            self.wake(now.plus(MOVED_WITHIN), Wake::Drop(user));
        } else if it.link == Link::Up {
            self.crowd.drop_connection(user, sockets, now);
        }
    }
}
