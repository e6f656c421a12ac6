//! Searches: what is asked, and what was found.
//!
//! Neighbours: `mapping.rs`, and REST, which asks with the same message. What is typed is parsed by the
//! search's own grammar.

use throng_core::limits::{SEARCH_HITS_MAX, SEARCH_RANKED_MAX};
use throng_core::{Rejection, RoomId, Timestamp, UserId};
use throng_wire::native::v1;

use super::{event, room_id};
use crate::protocols::What;
use crate::search::{Found, Query, Sought};

/// A search, or its refusal.
pub fn asked(asked: &v1::Search) -> Result<What, Rejection> {
    let (room, sought) = sought(asked)?;
    Ok(What::Search { room, sought: Box::new(sought) })
}

/// What is looked for, and in which room.
pub fn sought(asked: &v1::Search) -> Result<(Option<RoomId>, Sought), Rejection> {
    let v1::Search { query, room, sender, since, until, newest, skip, limit } = asked;
    let room = if *room == 0 { None } else { Some(room_id(*room)?) };
    let sender = match sender {
        0 => None,
        number => Some(UserId::new(*number).ok_or(Rejection::BadArgument)?),
    };
    let skip = *skip as usize;
    if skip > SEARCH_RANKED_MAX {
        return Err(Rejection::BadArgument);
    }
    let time = |at: u64| (at != 0).then_some(Timestamp(at));
    let limit = match *limit as usize {
        0 => SEARCH_HITS_MAX,
        asked => asked.min(SEARCH_HITS_MAX),
    };
    let sought = Sought {
        query: Query::parse(query)?,
        sender,
        since: time(*since),
        until: time(*until),
        newest: *newest,
        skip,
        limit,
    };
    Ok((room, sought))
}

/// What was found.
pub fn found(found: &Found) -> v1::Found {
    let hit = |hit: &crate::search::Hit| v1::Hit {
        event: Some(event(&hit.event)),
        pieces: hit
            .pieces
            .iter()
            .map(|piece| v1::Piece { text: piece.text.clone(), matched: piece.matched })
            .collect(),
    };
    v1::Found {
        hits: found.hits.iter().map(hit).collect(),
        total: found.counts.iter().map(|(_, count)| count).sum(),
        more: found.more,
        next: found.next as u32,
        behind: found.behind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(change: impl FnOnce(&mut v1::Search)) -> Result<(Option<RoomId>, Sought), Rejection> {
        let mut search = v1::Search { query: "tea".into(), ..v1::Search::default() };
        change(&mut search);
        sought(&search)
    }

    #[test]
    fn an_answer_has_at_most_its_page_and_no_more_is_passed_over_than_is_ranked() {
        for (limit, cut) in [(0, 50), (1, 1), (49, 49), (50, 50), (51, 50)] {
            assert_eq!(asked(|it| it.limit = limit).unwrap().1.limit, cut);
        }
        assert!(asked(|it| it.skip = SEARCH_RANKED_MAX as u32 - 1).is_ok());
        assert!(asked(|it| it.skip = SEARCH_RANKED_MAX as u32).is_ok());
        let beyond = asked(|it| it.skip = SEARCH_RANKED_MAX as u32 + 1);
        assert_eq!(beyond.unwrap_err(), Rejection::BadArgument);
    }

    #[test]
    fn nothing_asked_means_all_rooms_everybody_and_any_time() {
        let (room, sought) = asked(|_| ()).unwrap();
        assert!(room.is_none() && sought.sender.is_none());
        assert!(sought.since.is_none() && sought.until.is_none());
        assert_eq!(asked(|it| it.query = String::new()).unwrap_err(), Rejection::EmptyQuery);
        assert_eq!(asked(|it| it.sender = u64::MAX).unwrap_err(), Rejection::BadArgument);
    }
}
