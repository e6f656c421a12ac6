//! Links into private rooms: 256 random bits that a moderator gives to whom it likes. What is kept is
//! their hash, who made them, how often and until when they are good.
//!
//! Neighbours: `mod.rs`, whose file it is; `app` makes the token, and lets in who brings it through the
//! room's own order, in the name of the one who made the link. Who may is asked before.

use rusqlite::{Connection, OptionalExtension as _, params};
use throng_core::limits::ROOM_LINKS_MAX;
use throng_core::{Author, Rejection, RoomId, Timestamp, UserId};

use super::{Moderation, audit, author, number};
use crate::auth::token::TokenHash;

/// A link, without what opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomLink {
    /// Its number: for those who end it.
    pub id: u64,
    /// Into which room.
    pub room: RoomId,
    /// Who made it.
    pub by: Author,
    /// When.
    pub at: Timestamp,
    /// How often it can still be used.
    pub uses: u32,
    /// Until when.
    pub expires_at: Timestamp,
}

/// A use of a link of which it is not known yet whether it let somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use(i64);

fn link(row: &rusqlite::Row<'_>) -> rusqlite::Result<RoomLink> {
    let room = RoomId::new(row.get(1)?).ok_or(rusqlite::Error::IntegralValueOutOfRange(1, 0))?;
    Ok(RoomLink {
        id: number(row, 0)?,
        room,
        by: author(row, 2)?,
        at: Timestamp(number(row, 4)?),
        uses: row.get(5)?,
        expires_at: Timestamp(number(row, 6)?),
    })
}

impl Moderation {
    /// Keeps a link; its number is chosen here. Those that have expired or are used up are forgotten.
    pub fn add_link(&self, token: TokenHash, link: &RoomLink) -> Result<RoomLink, Rejection> {
        self.change(|connection| {
            let delete = "DELETE FROM links WHERE room = ?1 AND (expires_at <= ?2 OR uses = 0)";
            let row = params![link.room.get(), link.at.0 as i64];
            connection.prepare_cached(delete)?.execute(row)?;
            let count = "SELECT count(*) FROM links WHERE room = ?1";
            let standing = connection
                .prepare_cached(count)?
                .query_row([link.room.get()], |row| number(row, 0))?;
            if standing >= ROOM_LINKS_MAX as u64 {
                return Ok(Err(Rejection::LimitReached));
            }
            let insert = "INSERT INTO links (token, room, by, by_name, at, uses, expires_at)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let row = params![
                token.0.as_slice(),
                link.room.get(),
                link.by.id.get() as i64,
                link.by.name.as_str(),
                link.at.0 as i64,
                link.uses,
                link.expires_at.0 as i64,
            ];
            connection.prepare_cached(insert)?.execute(row)?;
            let id = connection.last_insert_rowid() as u64;
            let detail = format!("link {id}, {} uses", link.uses);
            note(connection, link.room, (link.at, &link.by, "make_room_link"), detail)?;
            Ok(Ok(RoomLink { id, ..link.clone() }))
        })
    }

    /// The links into a room that are good now, the oldest first.
    pub fn room_links(&self, room: RoomId, now: Timestamp) -> Result<Vec<RoomLink>, Rejection> {
        let mut links: Vec<RoomLink> = self.read(|connection| {
            let select = "SELECT id, room, by, by_name, at, uses, expires_at FROM links
                          WHERE room = ?1 AND expires_at > ?2 AND uses > 0 ORDER BY id";
            let mut statement = connection.prepare_cached(select)?;
            statement.query_map(params![room.get(), now.0 as i64], link)?.collect()
        })?;
        self.leavers.names().take_name(links.iter_mut().map(|link| &mut link.by));
        Ok(links)
    }

    /// A link is good for nothing any more; one that is not there is so already.
    pub fn end_link(
        &self,
        (room, id): (RoomId, u64),
        (at, by): (Timestamp, &Author),
    ) -> Result<(), Rejection> {
        self.change(|connection| {
            let delete = "DELETE FROM links WHERE room = ?1 AND id = ?2";
            let row = params![room.get(), i64::try_from(id).unwrap_or(i64::MAX)];
            if connection.prepare_cached(delete)?.execute(row)? > 0 {
                note(connection, room, (at, by, "end_room_link"), format!("link {id}"))?;
            }
            Ok(Ok(()))
        })
    }

    /// The link that this opens, if it is good now.
    pub fn link_of(&self, token: TokenHash, now: Timestamp) -> Result<Option<RoomLink>, Rejection> {
        self.read(|connection| {
            let select = "SELECT id, room, by, by_name, at, uses, expires_at FROM links
                          WHERE token = ?1 AND expires_at > ?2 AND uses > 0";
            let row = params![token.0.as_slice(), now.0 as i64];
            connection.prepare_cached(select)?.query_row(row, link).optional()
        })
    }

    /// Uses a link once, for this account; `None` if it is good no more. What comes of the use is not known
    /// before it is settled, by `settle_use` or by the next start. One that is used up stays until another
    /// is made in its room, so that the last use can be given back too.
    pub fn use_link(
        &self,
        token: TokenHash,
        now: Timestamp,
        user: UserId,
    ) -> Result<Option<Use>, Rejection> {
        self.change(|connection| {
            let update = "UPDATE links SET uses = uses - 1
                          WHERE token = ?1 AND expires_at > ?2 AND uses > 0 RETURNING id, room";
            let row = params![token.0.as_slice(), now.0 as i64];
            let used = connection
                .prepare_cached(update)?
                .query_row(row, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?)))
                .optional()?;
            let Some((link, room)) = used else { return Ok(Ok(None)) };
            let insert = "INSERT INTO uses (link, room, user) VALUES (?1, ?2, ?3)";
            let row = params![link, room, user.get() as i64];
            connection.prepare_cached(insert)?.execute(row)?;
            Ok(Ok(Some(Use(connection.last_insert_rowid()))))
        })
    }

    /// Somebody came in by a use; or nobody did, and it was none. A link that was ended meanwhile stays so.
    pub fn settle_use(&self, used: Use, came_in: bool) -> Result<(), Rejection> {
        self.change(|connection| settle(connection, used, came_in).map(Ok))
    }

    /// The same for all uses of which it was not known when the server ended; how many were given back.
    pub fn settle_uses(
        &self,
        came_in: impl Fn(UserId, RoomId) -> bool,
    ) -> Result<usize, Rejection> {
        self.change(|connection| {
            let select = "SELECT id, user, room FROM uses WHERE id > 0 ORDER BY id";
            let mut statement = connection.prepare_cached(select)?;
            let of = |row: &rusqlite::Row<'_>| {
                Ok((Use(row.get(0)?), UserId::new(number(row, 1)?), RoomId::new(row.get(2)?)))
            };
            let open = statement.query_map([], of)?.collect::<rusqlite::Result<Vec<_>>>()?;
            let mut given_back = 0;
            for (used, user, room) in open {
                let is_in = user.zip(room).is_some_and(|(user, room)| came_in(user, room));
                settle(connection, used, is_in)?;
                given_back += usize::from(!is_in);
            }
            Ok(Ok(given_back))
        })
    }
}

fn settle(connection: &Connection, Use(id): Use, came_in: bool) -> rusqlite::Result<()> {
    let delete = "DELETE FROM uses WHERE id = ?1 RETURNING link";
    let mut delete = connection.prepare_cached(delete)?;
    let link: Option<i64> = delete.query_row([id], |row| row.get(0)).optional()?;
    if let Some(link) = link.filter(|_| !came_in) {
        let update = "UPDATE links SET uses = uses + 1 WHERE id = ?1";
        connection.prepare_cached(update)?.execute([link])?;
    }
    Ok(())
}

fn note(
    connection: &Connection,
    room: RoomId,
    (at, by, act): (Timestamp, &Author, &'static str),
    detail: String,
) -> rusqlite::Result<()> {
    audit::note(connection, room, None, &audit::Done { at, by, act, about: None, detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::token::Token;
    use crate::samples;

    fn memory() -> Moderation {
        Moderation::open(None, Box::new(|cause| panic!("{cause}"))).unwrap()
    }

    fn made(kept: &Moderation, byte: u8, uses: u32) -> Result<(TokenHash, RoomLink), Rejection> {
        let token = Token::of_bytes([byte; 32]).hash();
        let (room, by) = (samples::room(1), samples::author(1));
        let (at, expires_at) = (Timestamp(5), Timestamp(10));
        let link = RoomLink { id: 0, room, by, at, uses, expires_at };
        Ok((token, kept.add_link(token, &link)?))
    }

    #[test]
    fn a_link_is_good_so_often_and_until_then_and_not_once_more() {
        let kept = memory();
        let (token, link) = made(&kept, 1, 2).unwrap();
        let at = Timestamp;
        assert_eq!(kept.link_of(token, at(9)), Ok(Some(link.clone())));
        assert_eq!(kept.link_of(token, at(10)), Ok(None), "expired");
        let bearer = samples::author(2).id;
        let used = |at| kept.use_link(token, at, bearer).unwrap();
        assert_eq!(used(at(10)), None);
        assert_eq!(kept.room_links(link.room, at(9)), Ok(vec![link]));
        let uses: Vec<_> = (0..3).map(|_| used(at(9)).is_some()).collect();
        assert_eq!(uses, [true, true, false]);
        assert_eq!(kept.link_of(token, at(9)), Ok(None));
        assert_eq!(kept.room_links(samples::room(1), at(9)), Ok(Vec::new()));
    }

    #[test]
    fn a_use_that_let_nobody_in_is_given_back_the_last_one_too_but_not_to_a_link_that_was_ended() {
        let kept = memory();
        let (token, link) = made(&kept, 1, 1).unwrap();
        let used = || kept.use_link(token, Timestamp(9), samples::author(2).id).unwrap();
        assert_eq!(kept.settle_use(used().unwrap(), false), Ok(()));
        assert_eq!(kept.link_of(token, Timestamp(9)), Ok(Some(link.clone())));
        let once_more = used().unwrap();
        assert_eq!(
            kept.end_link((link.room, link.id), (Timestamp(9), &samples::author(1))),
            Ok(())
        );
        assert_eq!(kept.settle_use(once_more, false), Ok(()));
        assert_eq!(kept.link_of(token, Timestamp(9)), Ok(None));
    }

    #[test]
    fn a_start_gives_back_the_uses_that_let_nobody_in_and_no_other_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Moderation::open(Some(folder.path()), Box::new(|cause| panic!("{cause}")));
        let (in_, out, known) =
            (samples::author(2).id, samples::author(3).id, samples::author(4).id);
        let (kept, now) = (open().unwrap(), Timestamp(9));
        let (token, link) = made(&kept, 1, 3).unwrap();
        for (user, settled) in [(in_, false), (out, false), (known, true)] {
            let used = kept.use_link(token, now, user).unwrap().unwrap();
            if settled {
                kept.settle_use(used, true).unwrap();
            }
        }
        assert_eq!(kept.link_of(token, now), Ok(None), "used up");
        drop(kept);
        for given_back in [1, 0] {
            let kept = open().unwrap();
            let came_in = |user, room| user == in_ && room == link.room;
            assert_eq!(kept.settle_uses(came_in), Ok(given_back));
            assert_eq!(kept.link_of(token, now).unwrap().map(|link| link.uses), Some(1));
        }
    }

    #[test]
    fn so_many_links_stand_in_a_room_and_one_that_ends_or_expires_makes_place() {
        let kept = memory();
        let (room, by) = (samples::room(1), samples::author(2));
        let links: Vec<_> =
            (0..ROOM_LINKS_MAX as u8).map(|byte| made(&kept, byte, 1).unwrap()).collect();
        assert_eq!(made(&kept, 99, 1).unwrap_err(), Rejection::LimitReached);
        let end = |room, id| kept.end_link((room, id), (Timestamp(6), &by));
        assert_eq!(end(samples::room(2), links[0].1.id), Ok(()));
        assert!(made(&kept, 99, 1).is_err(), "that was of another room");
        assert_eq!((end(room, links[0].1.id), end(room, u64::MAX)), (Ok(()), Ok(())));
        assert_eq!(kept.link_of(links[0].0, Timestamp(6)), Ok(None));
        assert!(made(&kept, 99, 1).is_ok() && made(&kept, 100, 1).is_err());
        let late = RoomLink { at: Timestamp(10), expires_at: Timestamp(20), ..links[1].1.clone() };
        assert!(
            kept.add_link(Token::of_bytes([101; 32]).hash(), &late).is_ok(),
            "all others expired"
        );
        let acts = kept.audit(room, 0, 0).unwrap().entries;
        let count = |act: &str| acts.iter().filter(|entry| entry.act == act).count();
        assert_eq!((count("make_room_link"), count("end_room_link")), (ROOM_LINKS_MAX + 2, 1));
    }
}
