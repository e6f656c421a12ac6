//! Which rooms an account is shown, page by page, and those whose names it looks for.
//!
//! Neighbours: `directory.rs` has the rooms and who belongs. A name is looked for among those that the
//! asker is shown, by what each is called for it, and never elsewhere.

use std::sync::atomic::Ordering;

use throng_core::limits::{ROOM_LIST_MAX, ROOM_NAMES_LOOKED_AT_MAX};
use throng_core::rights::{Operation, permit};
use throng_core::{Kind, NamePart, Role, RoomId, Seq, Standing, UserId};

use super::{Directory, Place, Rooms, Settled, lock};
use crate::pages::{Listed, RoomList, RoomSummary};

/// An account's rooms, and where it is more or less than a member.
#[derive(Debug, Default)]
struct Own {
    rooms: Vec<Place>,
    marks: Vec<(RoomId, Standing)>,
}

impl Own {
    fn standing(&self, room: RoomId) -> Standing {
        let member = self.rooms.binary_search_by_key(&room, |place| place.room()).is_ok();
        let mark = self.marks.binary_search_by_key(&room, |(marked, _)| *marked);
        let mark = mark.map_or(Standing::default(), |at| self.marks[at].1);
        if member && mark.role().is_none() { mark.as_role(Role::Member) } else { mark }
    }
}

impl Directory {
    /// A page of rooms.
    pub fn list(&self, asker: UserId, asked: &Listed) -> RoomList {
        let limit = match asked.limit as usize {
            0 => ROOM_LIST_MAX,
            asked => asked.min(ROOM_LIST_MAX),
        };
        let own = {
            let belonging = self.belonging(asker);
            let belongs = belonging.get(&asker);
            belongs.map(|it| Own { rooms: it.rooms.clone(), marks: it.marks.clone() })
        };
        let own = own.unwrap_or_default();
        let rooms = self.read();
        let by_name = asked.named.is_some();
        let looked_at = if by_name { ROOM_NAMES_LOOKED_AT_MAX } else { limit + 1 };
        let numbers = rooms.numbers(&own, asked, looked_at);
        let mut page = Vec::new();
        let mut next = None;
        let mut last = None;
        for room in &numbers {
            let Some(summary) = self.summary(&rooms, asker, *room, (&own, asked.named.as_ref()))
            else {
                last = Some(*room);
                continue;
            };
            if page.len() == limit {
                next = page.last().map(|room: &RoomSummary| room.room);
                break;
            }
            last = Some(*room);
            page.push(summary);
        }
        // Some of those that were looked at are not shown, and there are others.
        let others = numbers.len() == looked_at;
        RoomList { rooms: page, next: next.or(last.filter(|_| others)) }
    }

    /// A room as the asker is shown it; none where it is not, or is called otherwise.
    fn summary(
        &self,
        rooms: &Rooms,
        asker: UserId,
        room: RoomId,
        (own, named): (&Own, Option<&NamePart>),
    ) -> Option<RoomSummary> {
        let entry = rooms.get(room)?;
        let kind = lock(&entry.settled).policy.kind;
        let with = if kind == Kind::Direct { rooms.with(room, asker) } else { None };
        let with = with.map(|(other, name)| (other, self.leavers.called(other, name)));
        let name = lock(&entry.name).clone();
        let called = with.as_ref().map_or(name.as_str(), |(_, name)| name.as_str());
        if named.is_some_and(|part| !part.is_in(called)) {
            return None;
        }
        let Settled { mut policy, topic, avatar, .. } = lock(&entry.settled).clone();
        let standing = own.standing(room);
        permit(Operation::See, standing, policy).ok()?;
        policy.keep_seconds = Some(self.keeping.seconds(room));
        Some(RoomSummary {
            room,
            name,
            members: entry.members.load(Ordering::Relaxed),
            head: Seq(entry.head.load(Ordering::Acquire)),
            posts: entry.posts.load(Ordering::Relaxed),
            member: standing.role().is_some(),
            invited: standing.has(Standing::INVITED),
            policy,
            topic,
            avatar,
            with,
        })
    }
}

impl Rooms {
    /// The first of the rooms that may be shown, ascending.
    fn numbers(&self, own: &Own, asked: &Listed, max: usize) -> Vec<RoomId> {
        let above = |room: &RoomId| room.get() > asked.after;
        let of_own = own.rooms.iter().map(|place| place.room()).filter(above).take(max);
        let mut numbers: Vec<RoomId> = of_own.collect();
        if !asked.mine {
            let public = self.public.partition_point(|room| !above(room));
            numbers.extend(self.public[public..].iter().take(max));
            let invited = own.marks.iter().filter(|(_, mark)| mark.has(Standing::INVITED));
            numbers.extend(invited.map(|(room, _)| *room).filter(above));
            numbers.sort_unstable();
            numbers.dedup();
            numbers.truncate(max);
        }
        numbers
    }
}
