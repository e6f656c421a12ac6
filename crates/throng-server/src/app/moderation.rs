//! Answers what is asked beside the rooms' orders: reports, the audit log, who is blocked.
//!
//! Neighbours: connections and REST ask; the directory says who may, `moderation` keeps it. Waiting
//! for its file holds up nobody else.

use std::sync::Arc;

use throng_core::rights::Operation;
use throng_core::{Author, EventKind, Rejection, RoomId, Seq, UserId};

use super::App;
use crate::moderation::{Moderation, Report, Settlement};
use crate::protocols::moderation::{Asked, Told};

impl App {
    /// Answers it, or refuses.
    pub async fn moderation(
        self: &Arc<Self>,
        from: Author,
        asked: Asked,
    ) -> Result<Told, Rejection> {
        let at = self.clock.wall();
        match asked {
            Asked::Report { room, seq, reason } => self.report(from, room, seq, reason).await,
            Asked::Reports { room, after, limit, settled } => {
                let may = || self.directory.reading(from.id, room, Operation::Reports).map(drop);
                may()?;
                let reports =
                    self.keep(move |kept| kept.reports(room, after, limit, settled)).await?;
                // Asked again: one who keeps order no longer reads nothing of it.
                may()?;
                Ok(Told::Reports(room, reports))
            }
            Asked::Settle { room, report, upheld, note } => {
                self.directory.reading(from.id, room, Operation::Settle)?;
                let settlement = Settlement { at, by: from, upheld, note };
                self.keep(move |kept| kept.settle(room, report, &settlement)).await?;
                Ok(Told::Done)
            }
            Asked::Audit { room, before, limit } => {
                let may = || self.directory.reading(from.id, room, Operation::Audit).map(drop);
                may()?;
                let entries = self.keep(move |kept| kept.audit(room, before, limit)).await?;
                may()?;
                Ok(Told::Audit(room, entries))
            }
            Asked::Standings { room, mark, after, limit } => {
                self.standings(from.id, room, mark, (after, limit)).await
            }
            Asked::Held { room, after, limit } => {
                Ok(Told::Held(room, self.held(from.id, room, after, limit).await?))
            }
            Asked::SettleHeld { room, number, verdict } => {
                let app = Arc::clone(self);
                // One who keeps order leaves a note of what it did, though it did not wait for the answer.
                self.whole(async move { app.settle_held(from, room, number, verdict).await }).await
            }
            Asked::MakeLink { room, uses, hours } => self.make_link(from, room, uses, hours).await,
            Asked::Links { room } => self.links(from, room).await,
            Asked::EndLink { room, link } => self.end_link(from, room, link).await,
            // It is kept for as long as the account is.
            Asked::Block(_) if from.id.is_guest() => Err(Rejection::Forbidden),
            Asked::Block(target) => {
                let other = self.whom(target).await?;
                self.set_block(from.id, other, true).await
            }
            Asked::Unblock(target) => {
                let other = self.whom(target).await?;
                self.set_block(from.id, other, false).await
            }
            Asked::Blocked { after, limit } => {
                let page = self.keep(move |kept| kept.blocked(from.id, after, limit)).await?;
                Ok(Told::Blocked(page))
            }
        }
    }

    /// Keeps whether one blocks another, and has the two hear of each other no more, or again.
    async fn set_block(
        self: &Arc<Self>,
        one: UserId,
        other: Author,
        blocked: bool,
    ) -> Result<Told, Rejection> {
        let app = Arc::clone(self);
        let setting = async move {
            let two = other.id;
            let keep = move |kept: &Moderation| {
                if blocked { kept.block(one, &other) } else { kept.unblock(one, two) }
            };
            app.keep(keep).await?;
            app.part(one, two);
            Ok(Told::Done)
        };
        self.whole(setting).await
    }

    /// A message is reported with the text that it has now, and with what it carries.
    async fn report(
        &self,
        by: Author,
        room: RoomId,
        seq: Seq,
        reason: String,
    ) -> Result<Told, Rejection> {
        self.directory.reading(by.id, room, Operation::Report)?;
        let reading = self.directory.reading(by.id, room, Operation::History)?;
        if !reading.shows(seq) {
            return Err(Rejection::NoSuchMessage);
        }
        let event = self.read(move |history| history.shown(room, seq)).await?;
        let event = event.ok_or(Rejection::NoSuchMessage)?;
        let EventKind::Posted { author, body, extras, .. } = &event.kind else {
            return Err(Rejection::NoSuchMessage);
        };
        if body.is_erased() {
            return Err(Rejection::NoSuchMessage);
        }
        let (about, body) = (author.clone(), body.as_str().to_owned());
        let files = extras.as_ref().map(|extras| extras.files.clone()).unwrap_or_default();
        let at = self.clock.wall();
        let report = Report { id: 0, room, seq, at, by, about, reason, body, files, settled: None };
        let taken = self.keep(move |kept| kept.report(&report)).await?;
        Ok(Told::Reported(room, taken))
    }

    /// Asks what moderation keeps, where waiting for the disk holds up nobody else.
    pub(super) async fn keep<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Moderation) -> Result<T, Rejection> + Send + 'static,
    ) -> Result<T, Rejection> {
        let kept = Arc::clone(&self.moderation);
        // A panic in it is said elsewhere, and so is the runtime's end.
        tokio::task::spawn_blocking(move || ask(&kept)).await.unwrap_or(Err(Rejection::Unavailable))
    }
}
