//! What the server answers, entered into the books before anything that was read after it.
//!
//! Neighbours: `crowd` calls it while it reads, and does what is left to do once the read is over.

use super::rooms::Made;
use super::user::Asked;
use crate::drivers::Outcome;
use crate::ledger::{Ledger, RoomIx, SendIx, UserIx};

/// Of the server's table: not a member of the room.
pub const NOT_MEMBER: u32 = 206;
/// Of the server's table: may not come in.
pub const BANNED: u32 = 213;
/// Of the server's table: too old to be resumed.
pub const TOO_OLD: u32 = 207;
/// A room, known by its index in the plan.
#[derive(Debug)]
pub struct Place {
    pub kind: usize,
    pub name: String,
    pub maker: u32,
    /// Of two: the other is a member as soon as it is made.
    pub direct: bool,
    pub members: Vec<u32>,
    /// Once it was made: the server's number, and the ledger's index.
    pub made: Option<(u32, RoomIx)>,
}

/// What is left to do.
#[derive(Debug)]
pub enum Reply {
    Session(u64),
    Made(Made),
    Done,
    Page {
        more: bool,
    },
    /// What the pictures of those who were there at this place are called; after whom there are more.
    Members {
        pictures: Vec<String>,
        as_of: u64,
        next: Option<u64>,
    },
    Rejected {
        code: u32,
        name: String,
        retry_after_ms: Option<u32>,
    },
}

/// Enters a reply into the books, before anything that was read after it; what is left to do.
pub fn judge(
    ledger: &mut Ledger,
    places: &[Place],
    (me, hears): (UserIx, bool),
    asked: Asked,
    outcome: Outcome<'_>,
) -> Reply {
    let room = room_of(asked).and_then(|room| places[room as usize].made).map(|(_, ix)| ix);
    match (asked, room, outcome) {
        (Asked::Authenticate, _, Outcome::Session { user }) => return Reply::Session(user),
        (Asked::Create(_), _, Outcome::Joined { room, seq, position, already }) => {
            return Reply::Made(Made { number: room, seq, from: position.seq, already });
        }
        (Asked::Join(_), Some(room), Outcome::Joined { seq, position, already, .. }) => {
            let seq = if already { 0 } else { seq };
            if already {
                ledger.joined_before(me, room);
            }
            if hears {
                ledger.joined(me, room, seq, position.seq);
            } else {
                ledger.joined_unheard(me, room, seq);
            }
        }
        (Asked::Hear(_), Some(room), Outcome::Subscribed { position, .. }) => {
            ledger.joined(me, room, 0, position.seq);
        }
        (Asked::Look(_), Some(room), Outcome::Page { events, .. }) => {
            ledger.looked_at(room, events);
        }
        (Asked::Leave(_), Some(room), Outcome::Left { seq, .. }) => ledger.left(me, room, seq),
        (Asked::Leave(_), Some(room), Outcome::Rejected { code: NOT_MEMBER | BANNED, .. }) => {
            ledger.leave_is_refused(me, room);
        }
        (Asked::Change { .. } | Asked::Moderate { .. }, _, Outcome::Applied { seq, already }) => {
            applied(ledger, me, (asked, room), seq, already);
        }
        (Asked::Type(_), _, Outcome::Done) => {}
        (Asked::Resume(_), Some(room), Outcome::Subscribed { position, .. }) => {
            ledger.resumed(me, room, position.seq);
        }
        (Asked::CatchUp(_), Some(room), Outcome::Page { events, more, .. }) => {
            ledger.caught_up(me, room, events);
            return Reply::Page { more };
        }
        (Asked::Page(_), Some(room), Outcome::Page { events, more, .. }) => {
            ledger.page(room, events, more);
            return Reply::Page { more };
        }
        (Asked::Members { .. }, _, Outcome::Members { members, as_of, more }) => {
            let next = members.last().filter(|_| more).map(|last| last.user);
            let named = members.iter().filter(|it| !it.picture.is_empty());
            let pictures = named.map(|it| it.picture.to_owned()).collect();
            return Reply::Members { pictures, as_of, next };
        }
        (asked, room, Outcome::Rejected { code, name, retry_after_ms }) => {
            match (asked, room) {
                (Asked::Post { send, .. }, _) => refused(ledger, me, send, code),
                (Asked::Leave(_), Some(room)) => ledger.leave_is_settled(me, room),
                _ => {}
            }
            return Reply::Rejected { code, name: name.into(), retry_after_ms };
        }
        (asked, _, outcome) => {
            let name = format!("{asked:?} was answered by {outcome:?}");
            return Reply::Rejected { code: 0, name, retry_after_ms: None };
        }
    }
    Reply::Done
}

/// A change was made, or was `already`. What is done to a member is asked for again after a lost connection, and
/// one that is banned may be banned twice: there it says nothing.
fn applied(
    ledger: &mut Ledger,
    me: UserIx,
    (asked, room): (Asked, Option<RoomIx>),
    seq: u64,
    already: bool,
) {
    match (asked, room) {
        (Asked::Change { send, change }, _) if already => ledger.changed_before(me, send, change),
        (Asked::Change { send, change }, _) => ledger.changed(me, send, change, seq),
        (Asked::Moderate { of, act, .. }, Some(room)) if !already => {
            ledger.acted(room, of, act, seq);
        }
        _ => {}
    }
}

/// Which room it is about, where that is for the plan to say.
fn room_of(asked: Asked) -> Option<u32> {
    match asked {
        Asked::Join(room)
        | Asked::Leave(room)
        | Asked::Resume(room)
        | Asked::Hear(room)
        | Asked::Look(room)
        | Asked::Type(room)
        | Asked::CatchUp(room)
        | Asked::Moderate { room, .. }
        | Asked::Members { room, .. }
        | Asked::Page(room) => Some(room),
        Asked::Authenticate
        | Asked::Create(_)
        | Asked::Errand(_)
        | Asked::Post { .. }
        | Asked::Change { .. } => None,
    }
}

/// A post was refused; by one who had been put out, that is as it must be.
fn refused(ledger: &mut Ledger, me: UserIx, send: SendIx, code: u32) {
    let outside = matches!(code, NOT_MEMBER | BANNED);
    if outside && ledger.may_be_out(me, ledger.room_of(send)) {
        ledger.refused_outside(send);
    } else {
        ledger.refused(send);
    }
}
