//! One virtual user: its connection, what it has asked and not heard about, and what it could not
//! ask yet.
//!
//! Neighbours: `crowd` moves it. It lives as long as the run; its connections come and go.

use std::collections::VecDeque;

use crate::clock::Nanos;
use crate::drivers::{Act, Change, Dress, Driver};
use crate::engine::ConnId;
use crate::ledger::{RoomIx, SendIx, UserIx};
use crate::scenario::Login;

/// A user.
#[derive(Debug)]
pub struct User {
    /// Who it is in the books: several connections of one account are one.
    pub me: UserIx,
    pub token: String,
    pub dress: Dress,
    pub conn: Option<ConnId>,
    pub driver: Box<dyn Driver>,
    pub link: Link,
    /// Asked on this connection and not answered, oldest first.
    pub asked: VecDeque<(u32, Asked)>,
    /// To be asked as soon as the user is up, in this order.
    pub backlog: VecDeque<Todo>,
    /// What was intended earlier does not count as live: the user was away or asleep by plan. Whom the
    /// server keeps waiting, or cuts off, is live all the same.
    pub live_since: Nanos,
    /// When the connection was lost.
    pub lost_at: Nanos,
    /// Nothing was on its way there: the next one resumes nothing.
    pub hung_up: bool,
    /// Connections in a row that were not made.
    pub failures: u32,
    /// Reads nothing until then.
    pub asleep: bool,
    /// The rooms it is in or has asked to be in, by index.
    pub rooms: Vec<u32>,
    /// How often it has asked to be in one.
    pub joins: u32,
    /// Comes from where it was away by plan: when it should have come, and how it logs in.
    pub coming: Option<(Nanos, Login)>,
    /// How long the kernel took to make this connection.
    pub connect_us: u32,
    /// When it asked to be somebody, at first and for the last time.
    pub login_began: Nanos,
    pub login_asked: Nanos,
    /// When and how it comes again, where that was due before it had gone.
    pub next_visits: VecDeque<(Nanos, Login)>,
    /// It is to go as soon as everything is answered and heard.
    pub leaves: Option<Leaving>,
    /// It has come and not read the history it wants: when it should have come.
    pub entering: Option<Nanos>,
    /// Sends in a row, each after the ack of the one before.
    pub row: Option<Box<InRow>>,
}

/// One that wants to go: in which rooms it has to hear up to which place before.
#[derive(Clone, Debug, Default)]
pub struct Leaving(pub Vec<(RoomIx, u64)>);

/// A row of sends that a user is in.
#[derive(Debug)]
pub struct InRow {
    pub room: u32,
    pub total: u32,
    pub left: u32,
    /// When the one under way was sent.
    pub sent_at: Nanos,
    /// Of each send so far, microseconds.
    pub round_trips: Vec<u32>,
    /// How long making the connection took.
    pub connect_us: u32,
}

/// Where its connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// None, by plan: it has not come yet, or has gone.
    Away,
    /// None.
    Down,
    /// Being made, greeted, authenticated.
    Opening,
    /// So many rooms have still to be resumed.
    Resuming(u32),
    /// Can act.
    Up,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    Authenticate,
    Create(u32),
    Join(u32),
    Leave(u32),
    Post {
        send: SendIx,
        bytes: u32,
    },
    /// Something was to be done to a message.
    Change {
        send: SendIx,
        change: Change,
    },
    /// The room was to know that one types.
    Type(u32),
    /// Somebody was to be put out, or let in.
    Moderate {
        room: u32,
        of: UserIx,
        act: Act,
    },
    /// Hear a room from where it was left.
    Resume(u32),
    /// Hear a room from now on.
    Hear(u32),
    /// A file, to be sent or fetched.
    Errand(u32),
    /// A page, as one looks at who has just come.
    Look(u32),
    /// Too much had happened for a resume: pages instead.
    CatchUp(u32),
    /// History, for the ledger.
    Page(u32),
    /// Who is there, above an account's number, as one asks who looks at pictures.
    Members {
        room: u32,
        after: u64,
    },
}

impl Asked {
    /// Refused, it is counted and nothing else: its asker may have been put out meanwhile.
    pub fn is_only_counted(self) -> bool {
        matches!(self, Self::Change { .. } | Self::Type(_) | Self::Moderate { .. })
    }
}

/// What is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Todo {
    Join { room: u32 },
    Leave { room: u32, again: bool },
    Post { send: SendIx, bytes: u32, again: bool },
    Look { room: u32, history: u32 },
    Faces { room: u32 },
    Change { send: SendIx, change: Change },
    Type { room: u32 },
    Moderate { room: u32, of: UserIx, act: Act },
}

/// Live since no time: nothing is meant for one that is away or asleep by plan.
pub const AWAY: Nanos = Nanos(u64::MAX);

impl User {
    /// It is away by plan until it is up again.
    pub fn goes_away(&mut self) {
        self.live_since = AWAY;
    }

    /// What was asked and is not answered has to be asked again, before what had to wait.
    pub fn lose(&mut self, now: Nanos) {
        self.conn = None;
        self.link = Link::Down;
        self.lost_at = now;
        self.asleep = false;
        for (_, asked) in self.asked.drain(..).rev() {
            match asked {
                Asked::Join(room) => self.backlog.push_front(Todo::Join { room }),
                Asked::Leave(room) => self.backlog.push_front(Todo::Leave { room, again: true }),
                Asked::Post { send, bytes } => {
                    self.backlog.push_front(Todo::Post { send, bytes, again: true });
                }
                Asked::Moderate { room, of, act } => {
                    self.backlog.push_front(Todo::Moderate { room, of, act });
                }
                // Whether a change was made is for the room's order to say, and who typed types no more. The
                // others are asked for again by coming back; pages by the verification itself.
                Asked::Change { .. }
                | Asked::Type(_)
                | Asked::Authenticate
                | Asked::Create(_)
                | Asked::Resume(_)
                | Asked::Hear(_)
                | Asked::Look(_)
                | Asked::Errand(_)
                | Asked::CatchUp(_)
                | Asked::Members { .. }
                | Asked::Page(_) => {}
            }
        }
    }

    /// A join is asked for and not answered.
    pub fn is_joining(&self) -> bool {
        self.asked.iter().any(|(_, asked)| matches!(asked, Asked::Join(_)))
    }

    /// A leave of this room is asked for or is to be.
    pub fn is_leaving(&self, room: u32) -> bool {
        let leaves = |todo: &Todo| matches!(todo, Todo::Leave { room: it, .. } if *it == room);
        let asked = self.asked.iter().any(|(_, asked)| *asked == Asked::Leave(room));
        asked || self.backlog.iter().any(leaves)
    }

    /// A leave of this room was asked for, and its reply lost with the connection.
    pub fn leave_is_unanswered(&self, room: u32) -> bool {
        self.backlog.contains(&Todo::Leave { room, again: true })
    }

    /// A leave of this room had been asked for before the connection was lost: takes it out of the
    /// backlog.
    pub fn forget_leave(&mut self, room: u32) -> bool {
        let is = |todo: &Todo| *todo == Todo::Leave { room, again: true };
        let at = self.backlog.iter().position(is);
        at.and_then(|at| self.backlog.remove(at)).is_some()
    }
}

impl User {
    /// Nothing is on its way in either direction.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.backlog.is_empty()
    }

    /// It has left the room, and nothing brings it back by itself.
    pub fn forget_room(&mut self, room: u32) {
        let joins = self.asked.iter().any(|(_, asked)| *asked == Asked::Join(room));
        if !joins && !self.will_join(room) {
            self.rooms.retain(|other| *other != room);
        }
    }

    /// It is to be in the room, or is. Said at the answer too: one read may have brought it together with
    /// that of the leave before, which forgot the room.
    pub fn keep_room(&mut self, room: u32) {
        if !self.rooms.contains(&room) {
            self.rooms.push(room);
        }
    }

    /// A join of this room has to be asked for, or again.
    pub fn will_join(&self, room: u32) -> bool {
        self.backlog.contains(&Todo::Join { room })
    }
}

/// Takes what a reply with this tag answers. Replies come nearly in order.
pub fn answered(asked: &mut VecDeque<(u32, Asked)>, tag: u32) -> Option<Asked> {
    let at = asked.iter().position(|(asked, _)| *asked == tag)?;
    asked.remove(at).map(|(_, asked)| asked)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::drivers::Native;

    #[test]
    fn what_was_not_answered_is_asked_again_in_its_order_and_first() {
        let mut user = User {
            me: UserIx(0),
            token: String::new(),
            dress: Dress::Raw,
            conn: None,
            driver: Box::new(Native::new(Dress::Raw, "lab".into(), Rc::default(), 1)),
            link: Link::Up,
            asked: VecDeque::new(),
            backlog: VecDeque::new(),
            live_since: Nanos(0),
            lost_at: Nanos(0),
            hung_up: false,
            failures: 0,
            asleep: false,
            rooms: vec![],
            joins: 0,
            coming: None,
            connect_us: 0,
            login_began: Nanos(0),
            login_asked: Nanos(0),
            entering: None,
            next_visits: VecDeque::new(),
            leaves: None,
            row: None,
        };
        let post = |ix, again| Todo::Post { send: SendIx(ix), bytes: 20, again };
        user.asked.push_back((1, Asked::Post { send: SendIx(0), bytes: 20 }));
        user.asked.push_back((2, Asked::Leave(4)));
        user.asked.push_back((3, Asked::Page(4)));
        assert!(!user.is_joining(), "a reconnect does not wait for the reply to a leave");
        user.backlog.push_back(post(1, false));
        assert_eq!(answered(&mut user.asked, 9), None);
        user.lose(Nanos(5));
        let again = Todo::Leave { room: 4, again: true };
        assert_eq!(user.backlog, [post(0, true), again, post(1, false)]);
        assert!(user.forget_leave(4) && !user.forget_leave(4));
        assert_eq!(answered(&mut user.asked, 1), None, "tags belong to their connection");
        // A leave and a join whose answers come in one read: both are taken before either is acted upon.
        user.keep_room(4);
        user.forget_room(4);
        user.keep_room(4);
        assert_eq!(user.rooms, [4]);
    }
}
