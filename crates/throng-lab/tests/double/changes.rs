//! What the double does with messages that were said, and how it shows them: edits, deletions, reactions.

use throng_wire::native::v1::{self, event::What, reply::Outcome};

use super::{Room, Sin, World, not_member, rejected};

impl World {
    /// Who may not, or asks it of what is gone, is refused.
    fn may_change(&self, user: u64, (room, of): (u32, u64)) -> Result<(), Outcome> {
        let it = &self.rooms[room as usize - 1];
        if !it.members.contains(&user) {
            return Err(not_member());
        }
        let gone = || rejected(215, "no_such_message", None);
        if it.deleted.contains(&of) { Err(gone()) } else { Ok(()) }
    }

    pub fn edit(&mut self, user: u64, it: v1::Edit) -> Outcome {
        let v1::Edit { room, seq: of, body } = it;
        if let Err(refused) = self.may_change(user, (room, of)) {
            return refused;
        }
        if self.sins(Sin::SwallowEdit) {
            return self.applied(room, None);
        }
        let by = Some(v1::User { id: user, name: String::new() });
        let edited = v1::Edited { by, of, body: body.clone(), deleted: false };
        let seq = self.happen(room, What::Edited(edited));
        self.rooms[room as usize - 1].edits.insert(of, (seq, body));
        self.applied(room, Some(seq))
    }

    pub fn delete(&mut self, user: u64, it: &v1::Delete) -> Outcome {
        let v1::Delete { room, seq: of } = *it;
        if let Err(refused) = self.may_change(user, (room, of)) {
            return refused;
        }
        self.rooms[room as usize - 1].deleted.insert(of);
        let by = Some(v1::User { id: user, name: String::new() });
        let seq = self.happen(room, What::Deleted(v1::Deleted { by, of }));
        self.applied(room, Some(seq))
    }

    pub fn react(&mut self, user: u64, it: v1::React) -> Outcome {
        let v1::React { room, seq: of, reaction } = it;
        if let Err(refused) = self.may_change(user, (room, of)) {
            return refused;
        }
        if !self.rooms[room as usize - 1].reacted.insert((user, of)) {
            return self.applied(room, None);
        }
        let by = Some(v1::User { id: user, name: String::new() });
        let reacted = v1::Reaction { by, of, reaction, removed: false, count: 1 };
        let seq = self.happen(room, What::Reaction(reacted));
        self.applied(room, Some(seq))
    }

    /// At this place; without one it was so before.
    fn applied(&self, room: u32, seq: Option<u64>) -> Outcome {
        let head = self.rooms[room as usize - 1].order.len() as u64;
        let (seq, already) = (seq.unwrap_or(head), seq.is_none());
        Outcome::Applied(v1::Applied { room, seq, at: 0, already })
    }

    /// Events as they are by now.
    pub fn shown(&mut self, room: u32, mut events: Vec<v1::Event>) -> Vec<v1::Event> {
        for event in &mut events {
            let seq = event.seq;
            let Room { edits, deleted, .. } = &self.rooms[room as usize - 1];
            match &mut event.what {
                Some(What::Message(it)) if deleted.contains(&seq) => {
                    it.deleted = true;
                    if !self.sins(Sin::ShowDeleted) {
                        it.body.clear();
                        it.attachments.clear();
                    }
                }
                Some(What::Message(it)) => {
                    if let Some((edited, body)) = edits.get(&seq) {
                        (it.edited, it.body) = (*edited, body.clone());
                    }
                }
                Some(What::Edited(it)) if deleted.contains(&it.of) => {
                    it.deleted = true;
                    if !self.sins(Sin::ShowDeletedEdit) {
                        it.body.clear();
                    }
                }
                _ => {}
            }
        }
        events
    }
}
