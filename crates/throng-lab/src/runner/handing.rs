//! When the kernel is handed what users say: until then a send waits here, for its user to be there, for a connection
//! over REST that carries one request at a time, or for the kernel to take more.
//!
//! Neighbours: `engine` says what it handed over, `recorder` keeps how long each waited; `acts` and `crowd` call.

use super::crowd::Crowd;
use super::user::Asked;
use crate::drivers::Action;
use crate::engine::{ConnId, Sockets};
use crate::ledger::SendIx;

impl Crowd {
    /// Asks for something: its bytes leave with the next flush, or wait within the driver.
    pub(super) fn ask(
        &mut self,
        user: u32,
        asked: Asked,
        action: &Action<'_>,
        sockets: &mut Sockets,
    ) {
        let it = &mut self.users[user as usize];
        let Some(conn) = it.conn else { return };
        let out = sockets.out(conn);
        let before = out.len();
        let tag = it.driver.act(action, out);
        let leaves = out.len() > before;
        it.asked.push_back((tag, asked));
        if let Asked::Post { send, .. } = asked
            && leaves
        {
            sockets.stamp(conn, before, send.0);
        }
    }

    /// What a driver says by itself when it has read: of one that carries one request at a time, the next that
    /// waited.
    pub(super) fn goes_on(&mut self, user: u32, conn: ConnId, sockets: &mut Sockets) {
        let out = sockets.out(conn);
        let before = out.len();
        out.append(&mut self.out);
        let it = &self.users[user as usize];
        let under_way = it.driver.under_way();
        let asked = it.asked.iter().find(|(tag, _)| Some(*tag) == under_way);
        if let Some((_, Asked::Post { send, .. })) = asked {
            sockets.stamp(conn, before, send.0);
        }
    }

    /// Notes what the kernel was handed since the last time.
    pub fn note_handed(&mut self, sockets: &mut Sockets) {
        for (send, at) in sockets.handed() {
            let send = SendIx(send);
            let waited = at.since(self.ledger.intended(send));
            self.recorder.waits.handed(send, waited);
        }
    }

    /// A look at how many sends are in the generator.
    pub fn look_into_generator(&mut self) {
        let sends = self.ledger.sends();
        self.recorder.looked(sends);
    }
}
