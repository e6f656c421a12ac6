//! Which accounts and rooms this file knows by their numbers.
//!
//! Neighbours: `app` asks at a start, before numbers are given.

use throng_core::RoomId;

use super::{FILE, Moderation};
use crate::accounts::Numbers;
use crate::sqlite::Trouble;
use crate::store::StoreError;

impl Moderation {
    /// The greatest numbers of those who block, and who are blocked.
    pub fn numbers(&self) -> Numbers {
        let mut numbers = Numbers::default();
        self.known_blocks().everybody().for_each(|user| numbers.note(user));
        numbers
    }

    /// The room of the greatest number of which there are reports, entries or links.
    pub fn newest_room(&self) -> Result<Option<RoomId>, StoreError> {
        let select = "SELECT max(room) FROM (SELECT max(room) AS room FROM reports UNION ALL
                      SELECT max(room) FROM audit UNION ALL SELECT max(room) FROM links)";
        let newest = self.tables().connection.query_row(select, [], |row| row.get(0));
        let newest: Option<u32> = newest.map_err(|error| {
            let attempted = "read what moderation keeps";
            StoreError::from_trouble(Trouble::from(error).of(FILE), attempted)
        })?;
        Ok(newest.and_then(RoomId::new))
    }
}
