//! Start-up: numbers that were given to nobody else. An account is known by its number in rooms, notes and
//! files, a room in reports and links; so a number that any file of the data folder knows is not given
//! again, though the file that gives it was lost, or put back from an older copy.
//!
//! Neighbours: `start.rs` alone, when all files but the accounts are open. What was lost is not made again
//! here: nobody has those numbers any more.

use std::sync::Arc;

use throng_core::{EventKind, RoomId, Seq};

use super::watch::SessionsWatch;
use super::{Disk, StartError};
use crate::accounts::{self, Accounts, Numbers};
use crate::auth::{Auth, AuthError};
use crate::clock::Clock;
use crate::config::Settings;
use crate::directory::Directory;
use crate::files::{self, Files};
use crate::lifecycle::Fatal;
use crate::moderation::Moderation;
use crate::operations::metrics::Metrics;
use crate::pages::Span;
use crate::personal::{self, Personal};
use crate::sessions::Sessions;
use crate::store::StoreError;

/// Events read at a time where accounts were lost.
const EVENTS: usize = 4_096;

/// What knows accounts and rooms by their numbers, beside the accounts and the rooms' people: whom the events
/// know that are not folded, what is folded, and the files that are open.
pub(super) type Beside<'a> = (Numbers, &'a Disk, &'a Moderation, &'a Personal, Option<&'a Files>);

#[derive(Debug)]
struct Knowing<'a> {
    directory: &'a Directory,
    beside: Beside<'a>,
}

impl Knowing<'_> {
    /// Rooms are numbered above all that moderation keeps something of: their reports and links are those
    /// of other people.
    fn number_rooms(&self) -> Result<(), StoreError> {
        if let Some(room) = self.beside.2.newest_room()? {
            self.directory.number_above(room);
        }
        Ok(())
    }

    /// The greatest numbers that are known here, of which `given` were given as far as the accounts know.
    fn numbers(&self, given: Numbers) -> Result<Numbers, StartError> {
        let trouble = |file| move |trouble| StartError::Kept { file, trouble };
        let (tail, _, moderation, personal, files) = self.beside;
        let mut known = self.directory.numbers().or(tail).or(moderation.numbers());
        known = known.or(personal.numbers().map_err(trouble(personal::FILE))?);
        if let Some(files) = files {
            known = known.or(files.numbers().map_err(trouble(files::FILE))?);
        }
        if given.or(known) == given {
            return Ok(given);
        }
        // Some were lost: then those are looked for too who left all their rooms.
        let known = known.or(self.all_in_rooms()?);
        tracing::warn!(
            accounts = given.accounts,
            known = known.accounts,
            "other files know more accounts than accounts.db, which was lost or is an older copy; \
             their numbers are given to nobody"
        );
        Ok(known)
    }

    /// Whoever said something or came and went, in all that is folded.
    fn all_in_rooms(&self) -> Result<Numbers, StoreError> {
        let mut rooms: Vec<(RoomId, Seq)> = Vec::new();
        let store = &self.beside.1.store;
        store.rooms(&mut |room| rooms.push((room.room, room.head)))?;
        let mut numbers = Numbers::default();
        for (room, head) in rooms {
            let mut after = Seq::ZERO;
            while after < head {
                let events = store.page(room, Span::After(after), EVENTS)?;
                let Some(last) = events.last() else { break };
                after = last.seq;
                for event in &events {
                    note(&mut numbers, &event.kind);
                }
            }
        }
        Ok(numbers)
    }
}

/// Whom an event is about, and who said it.
pub(super) fn note(numbers: &mut Numbers, kind: &EventKind) {
    kind.about().into_iter().chain(kind.sender()).for_each(|user| numbers.note(user));
}

/// Opens the accounts, beside what knows them; rooms are numbered too.
pub(super) fn open_auth(
    settings: &Settings,
    beside: Beside<'_>,
    (sessions, fatal, directory): (&Arc<Sessions>, &Fatal, &Directory),
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Auth, StartError> {
    let knowing = Knowing { directory, beside };
    knowing.number_rooms()?;
    let form = if settings.memory {
        accounts::Form::Memory
    } else {
        accounts::Form::Folder(settings.data.as_path().into())
    };
    let limits = &settings.limits;
    let mut trouble = None;
    let accounts = Accounts::open_beside(form, limits, clock.clone(), |given| {
        if settings.memory {
            // None of them were lost: they begin with each start.
            return given;
        }
        knowing.numbers(given).unwrap_or_else(|error| {
            trouble = Some(error);
            given
        })
    });
    let accounts = accounts.map_err(AuthError::Accounts)?;
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    let (sign_up, metrics) = (settings.sign_up(), Arc::clone(metrics));
    let auth = Auth::over(accounts, limits, sign_up, clock.clone(), metrics)?;
    let auth = auth.with_guests(settings.guests);
    auth.accounts().watch(Arc::new(SessionsWatch::new(sessions, fatal)));
    for (who, at) in auth.accounts().leaving_before() {
        directory.leavers().note(who.clone(), *at);
    }
    Ok(auth)
}
