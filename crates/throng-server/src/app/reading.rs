//! How far accounts have read: markers, what is unread, and what of a room one wants to be told of.
//!
//! Neighbours: connections and REST ask; the history counts, `personal` keeps. None of it is of a room's
//! order: an account's other connections are told outside of it.

use bytes::Bytes;
use throng_core::rights::Operation;
use throng_core::{EventKind, Rejection, RoomId, Seq, UserId};

use super::App;
use crate::outbox::{ConnectionId, Writer};
use crate::pages::{Listed, Unread, Unreads};
use crate::personal::{Level, Marker};

impl App {
    /// An account has read up to this message. Its connections but the asking one are told, if that
    /// is further than before.
    pub async fn read_to(
        &self,
        user: UserId,
        room: RoomId,
        seq: Seq,
        asking: Option<ConnectionId>,
    ) -> Result<(), Rejection> {
        let reading = self.directory.reading(user, room, Operation::Subscribe)?;
        if seq < reading.from || seq > reading.head {
            return Err(Rejection::NoSuchMessage);
        }
        let event = self.read(move |history| history.event(room, seq)).await?;
        let Some(EventKind::Posted { n, .. }) = event.as_ref().map(|event| &event.kind) else {
            return Err(Rejection::NoSuchMessage);
        };
        let marker = Marker { seq, n: *n };
        let personal = self.personal.clone();
        let moved = blocking(move || personal.mark(user, room, marker)).await?;
        if moved {
            self.tell_read(user, room, marker, asking);
        }
        Ok(())
    }

    fn tell_read(&self, user: UserId, room: RoomId, marker: Marker, asking: Option<ConnectionId>) {
        let mut writer = Writer::default();
        for outbox in self.sessions.of(user) {
            if Some(outbox.id) != asking {
                let mut bytes = Vec::with_capacity(64);
                outbox.form.read_to(room, marker, &mut bytes);
                outbox.deliver(&Bytes::from(bytes), 1, &mut writer);
            }
        }
        writer.count_into(&self.metrics);
    }

    /// What of a room an account wants to be told of.
    pub async fn set_level(
        &self,
        user: UserId,
        room: RoomId,
        level: Level,
    ) -> Result<(), Rejection> {
        self.directory.reading(user, room, Operation::Subscribe)?;
        self.personal.set_level(user, room, level).await
    }

    /// What an account has not read in its rooms above `after`; `limit` as in `rooms`.
    pub async fn unread(&self, user: UserId, after: u32, limit: u32) -> Result<Unreads, Rejection> {
        let asked = Listed { after, limit, mine: true, named: None };
        let list = self.directory.list(user, &asked);
        let mut rooms = Vec::with_capacity(list.rooms.len());
        for room in list.rooms {
            // Left meanwhile: it is left out.
            if let Some(joined) = self.directory.joined(user, room.room) {
                rooms.push((room.room, joined, room.posts));
            }
        }
        let personal = self.personal.clone();
        let counted = self.read(move |history| {
            let count = |(room, joined, posts)| {
                let kept = personal.kept(user, room);
                let read = kept.map(|kept| kept.read.unwrap_or_default()).unwrap_or_default();
                let level = kept.map(|kept| kept.level.unwrap_or_default()).unwrap_or_default();
                let unread = if read.seq > joined {
                    u64::saturating_sub(posts, read.n)
                } else {
                    history.posts_since_joining(room, (user, joined), posts)?
                };
                let unread = history.unread_kept(room, unread, posts)?;
                let mentions = history.mentions(room, user, read.seq.max(joined))?;
                Ok(Unread { room, read, unread, mentions, level })
            };
            rooms.into_iter().map(count).collect::<Result<Vec<_>, _>>()
        });
        Ok(Unreads { rooms: counted.await?, more: list.next.is_some() })
    }
}

/// Does what waits for the disk where it holds up nobody else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Rejection> + Send + 'static,
) -> Result<T, Rejection> {
    let done = tokio::task::spawn_blocking(work).await;
    // The work panicked or the runtime ends; either is said elsewhere.
    done.unwrap_or(Err(Rejection::Unavailable))
}
