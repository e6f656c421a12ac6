//! Who looks at pictures, and when: as it comes, and again a moment after somebody else has come, together
//! with all who come meanwhile.
//!
//! Neighbours: `gallery` has the pictures and their connections; `crowd` reads what these requests of a
//! user's own connection are answered.

use super::crowd::Crowd;
use super::gallery::Told;
use super::reply::Reply;
use super::user::{Asked, Link};
use crate::clock::{self, Nanos};
use crate::drivers::{Action, Dress};
use crate::engine::{ConnId, Sockets};

/// Who comes is looked at so much later, so that a rush is one page and not one for each.
const LOOKS_AGAIN_MS: u32 = 1_000;

impl Crowd {
    /// A user wants to see who is in a room.
    pub(super) fn look_at_faces(&mut self, user: u32, room: u32, sockets: &mut Sockets) {
        let since = self.users[user as usize].entering.unwrap_or_else(clock::now);
        self.gallery.look(user, since);
        self.ask_members(user, room, 0, sockets);
    }

    pub(super) fn ask_members(&mut self, user: u32, room: u32, after: u64, sockets: &mut Sockets) {
        let (number, _) = self.made(room);
        let action = Action::Members { room: number, after };
        self.ask(user, Asked::Members { room, after }, &action, sockets);
    }

    /// A page of who is there was answered.
    pub(super) fn members_told(
        &mut self,
        user: u32,
        room: u32,
        what: Reply,
        sockets: &mut Sockets,
        now: Nanos,
    ) {
        let (pictures, as_of, next) = match what {
            Reply::Members { pictures, as_of, next } => (pictures, as_of, next),
            // It went meanwhile, or asked too often: it does without.
            Reply::Rejected { name, .. } => return super::crowd::count(&mut self.refusals, name),
            _ => return,
        };
        if !self.gallery.looks(user) {
            return;
        }
        self.gallery.shown(user, &pictures, now);
        if let Err(why) = self.gallery.fetch(user, sockets) {
            self.trouble = Some(why);
        }
        if let Some(after) = next {
            return self.ask_members(user, room, after, sockets);
        }
        // The list follows the room's order a moment behind, and says where it stands.
        let heard = self.ledger.knows_of(self.me(user), self.ix(room));
        if self.gallery.is_behind(user, room, as_of, heard) && self.gallery.came(user, room, as_of)
        {
            self.later(user, Asked::Members { room, after: 0 }, LOOKS_AGAIN_MS);
        }
        self.gallery.entered(user, &mut self.recorder, now);
    }

    /// A user who looks at pictures heard somebody come, into the room of this number.
    pub(super) fn heard_somebody_come(&mut self, user: u32, number: u32, seq: u64) {
        let is =
            |room: &u32| self.places[*room as usize].made.is_some_and(|(known, _)| known == number);
        let room = self.users[user as usize].rooms.iter().copied().find(is);
        if let Some(room) = room
            && self.gallery.came(user, room, seq)
        {
            self.later(user, Asked::Members { room, after: 0 }, LOOKS_AGAIN_MS);
        }
    }

    /// A connection stands that is no user's own: a file's, or one for pictures.
    pub(super) fn other_connected(&mut self, conn: ConnId, sockets: &mut Sockets, now: Nanos) {
        self.carrier_connected(conn, sockets);
        if let Err(why) = self.gallery.connected(sockets, conn, now, &self.accounts) {
            self.trouble = Some(why);
        }
    }

    /// Bytes of such a connection.
    pub(super) fn other_received(
        &mut self,
        conn: ConnId,
        bytes: &mut [u8],
        sockets: &mut Sockets,
        now: Nanos,
    ) {
        self.carrier_received(conn, bytes, sockets, now);
        let Self { gallery, recorder, refusals, accounts, .. } = self;
        let mut told = Told { recorder, refusals, accounts };
        if let Err(why) = gallery.received(sockets, conn, bytes, now, &mut told) {
            self.trouble = Some(why);
        }
    }

    /// A connection of one who speaks HTTP, on which nothing is asked. Servers hang those up after a while: that
    /// is no farewell.
    pub(super) fn is_idle_http(&self, conn: ConnId) -> bool {
        let Some(user) = self.user_of(conn) else { return self.gallery.has_idle(conn) };
        let it = &self.users[user as usize];
        it.dress == Dress::Rest && it.link == Link::Up && it.asked.is_empty()
    }

    /// Who lost nothing with the connection comes back with the next one, and that is no resume.
    pub(super) fn needs_no_resume(&mut self, user: Option<u32>) {
        if let Some(user) = user {
            self.users[user as usize].hung_up = true;
        }
    }

    /// A connection is gone, and not by our doing; whether it was one of these.
    pub fn other_lost(&mut self, conn: ConnId, sockets: &mut Sockets) -> bool {
        if self.carrier_gone(conn, sockets) {
            return true;
        }
        self.gallery.lost(conn).unwrap_or_else(|why| {
            self.trouble = Some(why);
            true
        })
    }

    /// Everybody who is to have a picture has one.
    pub fn pictures_are_set(&mut self, sockets: &mut Sockets) -> bool {
        let set = self.gallery.is_set(sockets);
        set.unwrap_or_else(|why| {
            self.trouble = Some(why);
            false
        })
    }
}
