//! Pictures that stand for accounts and rooms: whose may be set by whom, and what is set.
//!
//! Neighbours: connections and REST ask, `files` makes and keeps the pictures and says which is whose.
//! A room's is changed in the room's order, like its topic; an account's is no room's.

use std::collections::HashMap;
use std::sync::Arc;

use throng_core::rights::Operation;
use throng_core::{Avatar, Command, FileHash, FileId, Rejection, RoomId, Settings, UserId};

use super::App;

impl App {
    /// Another picture for the asker.
    pub async fn set_avatar(&self, user: UserId, file: Option<FileId>) -> Result<(), Rejection> {
        if user.is_guest() {
            return Err(Rejection::Forbidden);
        }
        let hash = self.picture(user, file).await?;
        self.with_files(move |files| files.set_face(user, hash)).await
    }

    /// What gives a room another picture, if the asker may; the room's order asks that again.
    pub async fn room_avatar(
        &self,
        user: UserId,
        room: RoomId,
        file: Option<FileId>,
    ) -> Result<Command, Rejection> {
        let may = self.directory.reading(user, room, Operation::SetConduct);
        may?;
        let avatar = Some(Avatar(self.picture(user, file).await?));
        Ok(Command::Set { room, settings: Box::new(Settings { avatar, ..Settings::default() }) })
    }

    /// The picture of an account.
    pub async fn face(&self, user: UserId) -> Result<Avatar, Rejection> {
        Ok(Avatar(self.faces(vec![user]).await?.remove(&user)))
    }

    /// The pictures of some accounts.
    pub(super) async fn faces(
        &self,
        users: Vec<UserId>,
    ) -> Result<HashMap<UserId, FileHash>, Rejection> {
        if self.files.is_none() {
            return Ok(HashMap::new());
        }
        self.with_files(move |files| files.faces(&users)).await
    }

    async fn picture(
        &self,
        user: UserId,
        file: Option<FileId>,
    ) -> Result<Option<FileHash>, Rejection> {
        let Some(file) = file else { return Ok(None) };
        let files = Arc::clone(self.files.as_ref().ok_or(Rejection::NoSuchFile)?);
        let of = self.with_files(move |files| files.carried(user, &[file])).await?;
        let of = of.first().ok_or(Rejection::NoSuchFile)?;
        let small = files.small(of).await.map_err(|refusal| match refusal {
            // It is there, and the asker's: it is no picture that can be made small.
            Rejection::NoSuchFile => Rejection::BadPicture,
            other => other,
        })?;
        self.with_files(move |files| files.keep_avatar(&small)).await.map(Some)
    }
}
