//! The end of an account: what becomes of its messages is the server's setting, its rooms are left
//! in their order, and then it is gone.
//!
//! Neighbours: connections and REST ask it, `auth` proves who asks, the rooms' shards decide what is
//! deleted and left. Nothing is kept about how far it got: who lost the answer still has an account,
//! and asks again.

use throng_core::session::Identity;
use throng_core::{Author, Command, EventKind, Rejection, RoomId, Seq};

use super::App;
use crate::address::AddressKey;
use crate::config::Fate;
use crate::pages::Span;

impl App {
    /// Deletes the asker's account. When this returns its sessions are refused and their connections
    /// closed, and its name is nobody's. `ends` is called before that.
    pub async fn delete_account(
        &self,
        who: &Identity,
        from: AddressKey,
        password: String,
        ends: impl FnOnce() + Send,
    ) -> Result<(), Rejection> {
        let password = self.auth.prove(who, from, password).await?;
        self.leave_everything(&who.user).await?;
        ends();
        self.auth.accounts().delete(who.user.id, password).await?;
        if self.files.is_some() {
            let user = who.user.id;
            self.with_files(move |files| files.set_face(user, None)).await?;
        }
        // What another connection of it joined or said meanwhile. The account is gone either way.
        if let Err(rejection) = self.leave_everything(&who.user).await {
            let (user, code) = (who.user.id.get(), rejection.code());
            tracing::warn!(user, code, "a deleted account is still a member of rooms");
        }
        Ok(())
    }

    async fn leave_everything(&self, who: &Author) -> Result<(), Rejection> {
        let mut after = 0;
        loop {
            let list = self.rooms(who.id, after, 0, true);
            for room in &list.rooms {
                after = room.room.get();
                if self.settings.deleted_messages == Fate::Erased {
                    self.erase(who, room.room).await?;
                }
                match self.carry(who.clone(), Command::Leave { room: room.room }).await {
                    Ok(_) | Err(Rejection::NotMember | Rejection::NoSuchRoom) => {}
                    Err(rejection) => return Err(rejection),
                }
            }
            if !list.more {
                return Ok(());
            }
        }
    }

    /// Deletes all that the asker said in a room, a page at a time.
    async fn erase(&self, who: &Author, room: RoomId) -> Result<(), Rejection> {
        let mut after = Seq::ZERO;
        loop {
            let page = match self.page(who.id, room, Span::After(after), 0).await {
                // Removed meanwhile.
                Err(Rejection::NotMember | Rejection::NoSuchRoom | Rejection::Banned) => {
                    return Ok(());
                }
                page => page?,
            };
            for event in &page.events {
                after = event.seq;
                let said = match &event.kind {
                    EventKind::Posted { author, .. } => author.id == who.id,
                    _ => false,
                };
                if !said {
                    continue;
                }
                match self.carry(who.clone(), Command::Delete { room, of: event.seq }).await {
                    Ok(_) | Err(Rejection::NoSuchMessage | Rejection::NotMember) => {}
                    Err(rejection) => return Err(rejection),
                }
            }
            if !page.more {
                return Ok(());
            }
        }
    }
}
