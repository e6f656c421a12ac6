//! Pictures that stand for accounts and rooms: small, made here of what somebody sent, kept under the
//! hash of their own bytes, and freed when nobody and nothing has them any longer.
//!
//! Neighbours: `app` sets them and asks whose is which, REST serves them, `sweep` frees them; `table`
//! has their rows, `blobs` their bytes. Which room has which is the room's to say (`Carriers::shows`).

use std::collections::HashMap;
use std::io::{self, ErrorKind};

use throng_core::{FileHash, Rejection, Timestamp, UserId};

use super::sweep::Carriers;
use super::{Files, trouble_with};
use crate::sqlite::Trouble;

/// Pictures looked at in one sweep.
const AT_ONCE: u32 = 100;

impl Files {
    /// Keeps a picture that was made small; the hash by which it is had. One that nobody has is freed
    /// after the time in which files are.
    pub fn keep_avatar(&self, bytes: &[u8]) -> Result<FileHash, Rejection> {
        let hash = FileHash(*blake3::hash(bytes).as_bytes());
        self.room_for(bytes.len() as u64)?;
        let table = self.table();
        // The row first: bytes without one would be nobody's to free.
        table.keep_avatar(hash, self.clock.wall()).map_err(|trouble| self.refusal(&trouble))?;
        self.blobs.keep_avatar(hash, bytes).map_err(|error| trouble_with(&error))?;
        Ok(hash)
    }

    /// A picture.
    pub fn avatar(&self, hash: FileHash) -> Result<Vec<u8>, Rejection> {
        self.blobs.avatar(hash).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Rejection::NoSuchFile,
            _ => trouble_with(&error),
        })
    }

    /// This picture, which is kept, or none stands for an account from now on.
    pub fn set_face(&self, user: UserId, avatar: Option<FileHash>) -> Result<(), Rejection> {
        self.table().set_face(user, avatar).map_err(|trouble| self.refusal(&trouble))
    }

    /// Which pictures stand for these accounts.
    pub fn faces(&self, users: &[UserId]) -> Result<HashMap<UserId, FileHash>, Rejection> {
        let table = self.table();
        let mut faces = HashMap::new();
        for user in users {
            let face = table.face(*user).map_err(|trouble| self.refusal(&trouble))?;
            faces.extend(face.map(|hash| (*user, hash)));
        }
        Ok(faces)
    }

    /// Frees those that were kept before a time and that stand for nobody and nothing now.
    pub(super) fn sweep_avatars(
        &self,
        carriers: &impl Carriers,
        now: Timestamp,
        before: Timestamp,
    ) -> Result<(), Trouble> {
        let old = self.table().old_avatars(before, AT_ONCE)?;
        for hash in old {
            let table = self.table();
            if table.is_face(hash)? || carriers.shows(hash) {
                // Looked at again after as long a time.
                table.keep_avatar(hash, now)?;
                continue;
            }
            // Looked at again: the same bytes may have been kept anew since they were found to be old.
            if table.forget_avatar(hash, before)? {
                self.blobs.drop_avatar(hash);
            }
        }
        Ok(())
    }
}

/// A picture as HTTP names it: we made it, it is one or the other.
pub fn media(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(b"\x89PNG") { "image/png" } else { "image/jpeg" }
}

impl super::blobs::Blobs {
    fn keep_avatar(&self, hash: FileHash, bytes: &[u8]) -> io::Result<()> {
        self.keep_in("avatars", hash, bytes)?;
        self.sync_in("avatars")
    }

    fn avatar(&self, hash: FileHash) -> io::Result<Vec<u8>> {
        self.read_in("avatars", hash)
    }

    fn drop_avatar(&self, hash: FileHash) {
        self.drop_in("avatars", hash);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use image::ImageFormat;
    use throng_core::{FileId, Limits};

    use super::super::picture::tests::picture;
    use super::*;
    use crate::clock::Clock;
    use crate::lifecycle::Fatal;

    const UNUSED: Duration = Duration::from_hours(24);

    /// The pictures of rooms.
    #[derive(Clone, Debug, Default)]
    struct Rooms(Arc<Mutex<HashSet<FileHash>>>);

    impl Carriers for Rooms {
        fn carry(&self, _: FileId, _: Timestamp) -> Option<bool> {
            Some(false)
        }

        fn shows(&self, avatar: FileHash) -> bool {
            self.0.lock().unwrap().contains(&avatar)
        }
    }

    fn ann() -> UserId {
        UserId::new(1).unwrap()
    }

    #[test]
    fn a_picture_is_kept_while_it_stands_for_somebody_or_something_and_freed_a_day_later() {
        let folder = tempfile::tempdir().unwrap();
        let (clock, rooms) = (Clock::manual(), Rooms::default());
        clock.advance(UNUSED * 4);
        let limits = Limits { disk_free_min: 0, ..Limits::default() };
        let fatal = Fatal::new(|code, why| panic!("ended with {code}: {why}"));
        let files = Files::open(folder.path(), &limits, clock.clone(), fatal, rooms.clone());
        let files = files.unwrap();
        let bytes = picture(8, 8, ImageFormat::Png);
        let hash = files.keep_avatar(&bytes).unwrap();
        assert_eq!(files.keep_avatar(&bytes).unwrap(), hash, "the same bytes are one picture");
        let sweep = |by: Duration| {
            clock.advance(by);
            files.sweep(&rooms, 0);
            files.avatar(hash).is_ok()
        };
        files.set_face(ann(), Some(hash)).unwrap();
        assert_eq!(files.faces(&[ann()]).unwrap(), HashMap::from([(ann(), hash)]));
        assert!(sweep(UNUSED * 2), "it is somebody's");
        files.set_face(ann(), None).unwrap();
        assert!(files.faces(&[ann()]).unwrap().is_empty());
        rooms.0.lock().unwrap().insert(hash);
        assert!(sweep(UNUSED * 2), "it is a room's");
        rooms.0.lock().unwrap().clear();
        assert!(sweep(UNUSED), "not longer than a day is it nobody's");
        assert!(!sweep(Duration::from_millis(1)));
        assert_eq!(files.avatar(hash).unwrap_err(), Rejection::NoSuchFile);
    }
}
