//! What is asked and told beside the rooms' orders: reports, the audit log, who is blocked.
//!
//! Neighbours: `native/mapping` and REST make it of their messages and back; `app` answers it.

use throng_core::shard::HeldPage;
use throng_core::{Came, RoomId, Seq, Standing, Verdict};

use super::Target;
use crate::auth::token::Token;
use crate::moderation::{AuditPage, BlockedPage, ReportPage, Reported, RoomLink};
use crate::pages::Marked;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Object to a message.
    Report {
        /// In which room.
        room: RoomId,
        /// The message's place.
        seq: Seq,
        /// What is wrong with it; checked.
        reason: String,
    },
    /// A page of a room's reports.
    Reports {
        /// Which room.
        room: RoomId,
        /// Above this number.
        after: u64,
        /// At most this many; 0 for the page's own size.
        limit: u32,
        /// Those that were settled.
        settled: bool,
    },
    /// Settle a report.
    Settle {
        /// In which room.
        room: RoomId,
        /// Which.
        report: u64,
        /// It was right.
        upheld: bool,
        /// What to remember of it; checked.
        note: String,
    },
    /// A page of a room's audit log.
    Audit {
        /// Which room.
        room: RoomId,
        /// Below this number; 0 for the newest.
        before: u64,
        /// At most this many; 0 for the page's own size.
        limit: u32,
    },
    /// A page of those who have a mark in a room.
    Standings {
        /// Which room.
        room: RoomId,
        /// Which mark.
        mark: Standing,
        /// Above this number.
        after: u64,
        /// At most this many; 0 for the page's own size.
        limit: u32,
    },
    /// A page of what waits in a room for its delay.
    Held {
        /// Which room.
        room: RoomId,
        /// Above this number.
        after: u64,
        /// At most this many; 0 for the page's own size.
        limit: u32,
    },
    /// Settle one of them.
    SettleHeld {
        /// In which room.
        room: RoomId,
        /// Its number.
        number: u64,
        /// How.
        verdict: Verdict,
    },
    /// Make a link into a room.
    MakeLink {
        /// Which room.
        room: RoomId,
        /// For how many people; 0 for one.
        uses: u32,
        /// For how many hours; 0 for what is usual.
        hours: u32,
    },
    /// The links into a room.
    Links {
        /// Which room.
        room: RoomId,
    },
    /// End one of them.
    EndLink {
        /// Of which room.
        room: RoomId,
        /// Its number.
        link: u64,
    },
    /// Hear no more from somebody.
    Block(Target),
    /// Hear from somebody again.
    Unblock(Target),
    /// A page of those whom the asker blocks.
    Blocked {
        /// Above this number.
        after: u64,
        /// At most this many; 0 for the page's own size.
        limit: u32,
    },
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The report was taken.
    Reported(RoomId, Reported),
    /// A page of reports.
    Reports(RoomId, ReportPage),
    /// A page of the audit log.
    Audit(RoomId, AuditPage),
    /// A page of those whom the asker blocks.
    Blocked(BlockedPage),
    /// A page of those who have a mark in a room.
    Standings(RoomId, Marked),
    /// A page of what waits.
    Held(RoomId, HeldPage),
    /// It waits no longer: its number, and what came of it.
    Unheld(RoomId, u64, Came),
    /// A link that was made, and what opens it.
    Link(Token, RoomLink),
    /// The links into a room.
    Links(RoomId, Vec<RoomLink>),
    /// Done.
    Done,
}
