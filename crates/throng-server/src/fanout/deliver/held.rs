//! What is told outside of a room's order of what waits for its delay: to those who keep order there and
//! hear it, and to the sender of what waits no longer.
//!
//! Neighbours: `deliver.rs`, whose listeners these are. Whoever keeps order no longer, or belongs no longer,
//! by the time of telling is told nothing.

use bytes::Bytes;
use throng_core::{RoomId, UserId};

use super::super::HeldNews;
use super::Deliver;
use crate::protocols::{FORMS, Form};

impl Deliver {
    /// Tells of one that waits, or waits no longer.
    pub(super) fn waited(&mut self, news: &HeldNews) {
        let HeldNews { waited, keepers } = news;
        let (post, sender) = (&waited.post, waited.post.author.id);
        let mut frames = [const { None }; FORMS];
        for keeper in keepers.iter().filter(|keeper| **keeper != sender) {
            if self.around.directory.keeps_order(*keeper, post.room) {
                self.tell_held(post.room, *keeper, news, &mut frames);
            }
        }
        let belongs = || self.around.directory.head(sender, post.room).is_ok();
        if waited.came.is_some() && belongs() {
            self.tell_held(post.room, sender, news, &mut frames);
        }
    }

    /// On each connection of an account that hears the room; it counts as an event there, so that who does
    /// not read it is too slow.
    fn tell_held(
        &mut self,
        room: RoomId,
        user: UserId,
        news: &HeldNews,
        frames: &mut [Option<Bytes>; FORMS],
    ) {
        for outbox in self.around.sessions.of(user) {
            let hears = |key| self.hub.after(room, key).is_some();
            if !self.keys.get(&outbox.id).is_some_and(|key| hears(*key)) {
                continue;
            }
            let form = outbox.form;
            let frame = frames[form.index()].get_or_insert_with(|| rendered(form, news));
            if outbox.stage(frame, 1) {
                self.touched.push(outbox);
            }
        }
    }
}

fn rendered(form: Form, HeldNews { waited, .. }: &HeldNews) -> Bytes {
    let mut out = Vec::with_capacity(256);
    let post = &waited.post;
    match waited.came {
        None => form.held_post(post, waited.until, &mut out),
        Some(came) => form.unheld(post.room, post.number, came, &mut out),
    }
    out.into()
}
