//! A room has been made, or was found: where the books of it begin.
//!
//! Neighbours: `reply` reads the answer, `crowd` hands it on, the ledger keeps the books. A room of two is known by
//! the two who are in it, so that a second run with the same accounts finds it as the first one left it. What was
//! said there before is not this run's: its books begin after the newest place that there is when it is opened.

use super::crowd::Crowd;

/// What the server said of a room that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its number there.
    pub number: u32,
    /// The place of its maker's join.
    pub seq: u64,
    /// Who made it hears what comes after this place.
    pub from: u64,
    /// It was there before, and so was its maker in it.
    pub already: bool,
}

impl Crowd {
    /// A room was made by its first member, who hears it after `from`; or it was found.
    pub(super) fn room_made(&mut self, user: u32, room: u32, made: Made) {
        let Made { number, seq, from, already } = made;
        let hears = self.users[user as usize].driver.hears();
        let is_old = already && seq != 0;
        if is_old && !hears {
            // Over REST the answer has the place of the join, and not the newest one.
            self.trouble = Some(format!(
                "room {number} is of two accounts that wrote to each other before this run, and who speaks REST is \
                 not told how far it has come: make new accounts for this run (throng admin users create --tokens)"
            ));
        }
        let ix = if is_old {
            self.ledger.add_room(number, from)
        } else {
            self.ledger.room_made(number, (seq, from))
        };
        let place = &mut self.places[room as usize];
        self.kinds.push(place.kind);
        place.made = Some((number, ix));
        // Of a room of two, the last that happened is that the other joined.
        let (seq, members) = match place.direct {
            true if is_old => (0, 0),
            true => (0, 2),
            false => (seq, 1),
        };
        for member in place.members.iter().take(members) {
            self.ledger.asks_to_join(self.users[*member as usize].me, ix);
        }
        let it = &mut self.users[user as usize];
        it.rooms.push(room);
        let me = it.me;
        if hears {
            self.ledger.joined(me, ix, seq, from);
        } else {
            self.ledger.joined_unheard(me, ix, seq);
        }
    }
}
