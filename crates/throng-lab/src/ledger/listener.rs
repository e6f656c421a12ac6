//! One user's way through one room's order, in a few words of memory however much it hears.

use super::{RoomIx, UserIx};

/// Holes remembered, to tell late from again. A server that leaves more is broken beyond that
/// question; what is missing is counted all the same.
const HOLES_MAX: usize = 64;

/// A user in a room.
#[derive(Debug)]
pub struct Listener {
    pub user: UserIx,
    pub room: RoomIx,
    /// The place of its newest acked send, to see that sends keep their order.
    pub acked: u64,
    state: State,
    /// Where the span began.
    from: u64,
    /// How many sends had been made when the server said so.
    made: u32,
    /// The newest place heard, or told as heard.
    last: u64,
    /// The newest place heard as an event, or where the span began.
    heard: u64,
    /// Posts taken in this span.
    posts: u32,
    /// What a lost connection left open, where the reply to a leave was lost with it.
    doubt: Option<Doubt>,
    /// The last place heard when the connection was lost.
    lost_at: u64,
    holes: Vec<Hole>,
}

/// A leave was asked for and its reply lost: whether the user was a member all the time is for the
/// room's order to say, so the places told in the resume are kept.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// The last place heard before.
    pub lost_at: u64,
    /// Posts told in the resume.
    pub posts: Vec<u64>,
}

/// Of one resume; a server gives no more at once.
const DOUBTED_MAX: usize = 10_000;

/// Places above `after` and below `before` were skipped.
#[derive(Clone, Copy, Debug)]
struct Hole {
    after: u64,
    before: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Out,
    Live,
    /// Its connection is gone.
    Away,
    /// A resume was asked for: the gap is coming.
    Resuming,
}

/// What an event is to its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Further on.
    Next,
    /// Out of a hole left before.
    Late,
    /// Heard before.
    Again,
}

impl Listener {
    pub fn new(user: UserIx, room: RoomIx) -> Self {
        Self {
            user,
            room,
            acked: 0,
            state: State::Out,
            from: 0,
            made: 0,
            last: 0,
            heard: 0,
            posts: 0,
            doubt: None,
            lost_at: 0,
            holes: Vec::new(),
        }
    }

    /// A span begins after `from`, says the server when so many sends have been `made`.
    pub fn begin(&mut self, from: u64, made: u32) {
        self.state = State::Live;
        (self.from, self.made) = (from, made);
        self.heard = from;
        self.last = self.last.max(from);
        self.posts = 0;
        self.doubt = None;
        self.holes.retain(|hole| hole.before > from);
    }

    pub fn lose(&mut self) {
        self.state = State::Away;
        self.lost_at = self.last;
    }

    /// Where to resume from; the events of the gap are taken from now on.
    pub fn resume(&mut self, leave_unanswered: bool) -> Option<u64> {
        if self.state == State::Out {
            return None;
        }
        if leave_unanswered && self.doubt.is_none() {
            self.doubt = Some(Doubt { lost_at: self.lost_at, posts: Vec::new() });
        }
        self.state = State::Resuming;
        Some(self.last)
    }

    pub fn end(&mut self) {
        self.state = State::Out;
        self.holes.clear();
    }

    /// For a person.
    pub fn words(&self) -> String {
        format!("{:?} from {}, heard up to {}", self.state, self.from, self.last)
    }

    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    pub fn is_out(&self) -> bool {
        self.state == State::Out
    }

    /// Whether events may come.
    pub fn hears(&self) -> bool {
        matches!(self.state, State::Live | State::Resuming)
    }

    pub fn from(&self) -> u64 {
        self.from
    }

    pub fn made(&self) -> u32 {
        self.made
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn heard(&self) -> u64 {
        self.heard
    }

    pub fn doubt(&mut self) -> Option<Doubt> {
        self.doubt.take()
    }

    pub fn posts(&self) -> u32 {
        self.posts
    }

    /// Holes in the chain of what was pushed, as places (above, below).
    pub fn holes(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.holes.iter().map(|hole| (hole.after, hole.before))
    }

    /// The event at `seq` arrived; the server says that `prev` was pushed before it.
    pub fn take(&mut self, seq: u64, prev: u64, post: bool) -> Step {
        if let Some(doubt) = &mut self.doubt
            && post
            && doubt.posts.len() < DOUBTED_MAX
        {
            doubt.posts.push(seq);
        }
        if seq > self.last {
            if prev > self.last && self.holes.len() < HOLES_MAX {
                self.holes.push(Hole { after: self.last, before: seq });
            }
            self.last = seq;
            self.heard = seq;
            self.posts += u32::from(post);
            return Step::Next;
        }
        let Some(at) = self.holes.iter().position(|it| it.after < seq && seq < it.before) else {
            return Step::Again;
        };
        let hole = self.holes.swap_remove(at);
        for part in [Hole { before: seq, ..hole }, Hole { after: seq, ..hole }] {
            if part.before > part.after + 1 && self.holes.len() < HOLES_MAX {
                self.holes.push(part);
            }
        }
        self.posts += u32::from(post);
        Step::Late
    }
}
