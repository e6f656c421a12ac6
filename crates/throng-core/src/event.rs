//! What has happened in a room, at a place of its order. An event is immutable: edits and deletes
//! are events of the same order, and what is read of an older one is told with them taken in.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::file::Attachment;
use crate::id::{RoomId, SEQ_MAX, Seq, Timestamp, UserId};
use crate::limits::{ATTACHMENTS_MAX, MENTIONS_MAX};
use crate::reaction::Tally;
use crate::rejection::Rejection;
use crate::rights::{Act, Kind, Settings};
use crate::text::{Body, OriginId, Reaction, RoomName, Username};

/// Who did it, with the name held at that time, so that a page of history needs no look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The account.
    pub id: UserId,
    /// Its name when it spoke.
    pub name: Username,
}

/// One durable event of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The room whose order this is a place in.
    pub room: RoomId,
    /// The place; dense from 1.
    pub seq: Seq,
    /// The place of the pushed event before this one; a client that has seen less has a gap.
    pub prev: Seq,
    /// Whether this event is pushed to those who listen. Depends on the room alone: membership
    /// events of a room above `Limits::pushed_members_max` are kept but not pushed.
    pub pushed: bool,
    /// The server's wall clock when it was decided.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The room came to be; always at `Seq` 1.
    Created {
        /// Who made it (a `Joined` of the same account follows).
        by: Author,
        /// Its name.
        name: RoomName,
        /// For whom it is.
        kind: Kind,
    },
    /// An account became a member.
    Joined {
        /// The new member.
        who: Author,
    },
    /// A member left.
    Left {
        /// Who is a member no longer.
        who: Author,
    },
    /// A message was posted.
    Posted {
        /// The post's number among the room's posts; dense from 1.
        n: u64,
        /// The sender.
        author: Author,
        /// The sender's own id, for retries and local echo.
        origin_id: Option<OriginId>,
        /// The text; `Body::erased` where it is shown after its deletion.
        body: Body,
        /// What few posts have.
        extras: Option<Box<Extras>>,
    },
    /// A message has another text.
    Edited {
        /// Who changed it: its sender.
        by: Author,
        /// The message's place.
        of: Seq,
        /// The new text; `Body::erased` where it is shown after the message's deletion.
        body: Body,
    },
    /// A message was taken away.
    Deleted {
        /// By whom.
        by: Author,
        /// The message's place.
        of: Seq,
        /// Whose it was, if another's.
        whose: Option<Author>,
    },
    /// A message was given a reaction, or one was taken back.
    Reacted {
        /// Whose reaction.
        by: Author,
        /// The message's place.
        of: Seq,
        /// Which.
        reaction: Reaction,
        /// Given, not taken back.
        on: bool,
        /// How many have given it after this.
        count: u32,
    },
    /// A message was pinned, or taken off.
    Pinned {
        /// By whom.
        by: Author,
        /// The message's place.
        of: Seq,
        /// Pinned, not taken off.
        on: bool,
    },
    /// Something was done to somebody.
    Moderated {
        /// By whom.
        by: Author,
        /// To whom.
        who: Author,
        /// What.
        act: Act,
    },
    /// The room's settings were changed.
    Set {
        /// By whom.
        by: Author,
        /// What was changed.
        settings: Box<Settings>,
    },
}

/// What few posts have, out of the way of the many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The place of the newest edit, where the post is shown with it taken in; never in the order.
    pub edited: Option<Seq>,
    /// The place of the message that it answers.
    pub reply_to: Option<Seq>,
    /// Whose attention it asks for.
    pub mentions: Box<[UserId]>,
    /// What it was answered with, where the post is shown to one who asks; never in the order.
    pub reactions: Box<[Tally]>,
    /// The files that it carries.
    pub files: Box<[Attachment]>,
}

impl Extras {
    /// Whether a post carries files: then it needs no text.
    pub fn carry_files(extras: Option<&Self>) -> bool {
        extras.is_some_and(|extras| !extras.files.is_empty())
    }

    /// What a post says besides its text: `None` for nothing, as nearly all do. An account that is
    /// mentioned twice is mentioned once; a number that is nobody's and too many are refused.
    pub fn parse(reply_to: u64, mentions: &[u64]) -> Result<Option<Box<Self>>, Rejection> {
        Self::carrying(reply_to, mentions, Box::default())
    }

    /// The same, of a post that carries files.
    pub fn carrying(
        reply_to: u64,
        mentions: &[u64],
        files: Box<[Attachment]>,
    ) -> Result<Option<Box<Self>>, Rejection> {
        if reply_to == 0 && mentions.is_empty() && files.is_empty() {
            return Ok(None);
        }
        let many = mentions.len() > MENTIONS_MAX || files.len() > ATTACHMENTS_MAX;
        if many || reply_to > SEQ_MAX {
            return Err(Rejection::BadArgument);
        }
        let users: Option<Vec<UserId>> = mentions.iter().map(|user| UserId::new(*user)).collect();
        let mut users = users.ok_or(Rejection::BadArgument)?;
        users.sort_unstable();
        users.dedup();
        let reply_to = (reply_to != 0).then_some(Seq(reply_to));
        Ok(Some(Box::new(Self { reply_to, mentions: users.into(), files, ..Self::default() })))
    }

    /// About what they take in memory.
    pub fn bytes(&self) -> usize {
        let reactions: usize = self.reactions.iter().map(Tally::bytes).sum();
        let names: usize = self.files.iter().map(|file| file.name.as_str().len()).sum();
        let lists = size_of_val(&*self.mentions) + size_of_val(&*self.files);
        size_of::<Self>() + lists + names + reactions
    }
}

/// Whom a kind of event names: who did it, and to whom it was done; to be read (`as_ref`) or changed
/// (`as_mut`).
macro_rules! named {
    ($kind:expr, $other:ident) => {{
        let (by, other) = match $kind {
            Self::Joined { who: by } | Self::Left { who: by } | Self::Posted { author: by, .. } => {
                (by, None)
            }
            Self::Created { by, .. }
            | Self::Edited { by, .. }
            | Self::Reacted { by, .. }
            | Self::Pinned { by, .. }
            | Self::Set { by, .. } => (by, None),
            Self::Deleted { by, whose, .. } => (by, whose.$other()),
            Self::Moderated { by, who, .. } => (by, Some(who)),
        };
        core::iter::once(by).chain(other)
    }};
}

impl EventKind {
    fn named(&self) -> impl Iterator<Item = &Author> {
        named!(self, as_ref)
    }

    fn named_mut(&mut self) -> impl Iterator<Item = &mut Author> {
        named!(self, as_mut)
    }

    /// Whose membership or marks it changes.
    pub fn about(&self) -> Option<UserId> {
        match self {
            Self::Joined { who } | Self::Left { who } | Self::Moderated { who, .. } => Some(who.id),
            _ => None,
        }
    }

    /// Who belongs no longer after it.
    pub fn removes(&self) -> Option<UserId> {
        match self {
            Self::Left { who } => Some(who.id),
            Self::Moderated { who, act, .. } if act.removes() => Some(who.id),
            _ => None,
        }
    }

    /// Who said it, if it is a message.
    pub fn sender(&self) -> Option<UserId> {
        match self {
            Self::Posted { author, .. } => Some(author.id),
            _ => None,
        }
    }

    /// Whose messages it takes away, all that came before it.
    pub fn sweeps(&self) -> Option<UserId> {
        match self {
            Self::Moderated { who, act: Act::DeleteAll, .. } => Some(who.id),
            _ => None,
        }
    }

    /// The place of the message that is shown otherwise after it, or stands elsewhere.
    pub fn changes(&self) -> Option<Seq> {
        match self {
            Self::Edited { of, .. }
            | Self::Deleted { of, .. }
            | Self::Reacted { of, .. }
            | Self::Pinned { of, .. } => Some(*of),
            _ => None,
        }
    }
}

impl Event {
    /// This post or edit as it is shown when its message was deleted.
    #[must_use]
    pub fn erased(&self) -> Self {
        let mut event = self.clone();
        if let EventKind::Posted { body, .. } | EventKind::Edited { body, .. } = &mut event.kind {
            *body = Body::erased();
        }
        if let EventKind::Posted { extras: Some(extras), .. } = &mut event.kind {
            extras.files = Box::default();
        }
        event
    }

    /// This event as it is shown when some are named no more; `None` where it names none of them. What
    /// they said stays, under their numbers; the ids that they gave their messages go with the names,
    /// for a client may have put anything into them. A direct room is called by two names.
    #[must_use]
    pub fn without_names(
        &self,
        is_gone: impl Fn(UserId) -> bool,
        is_gone_name: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let called = match &self.kind {
            EventKind::Created { name, kind: Kind::Direct, .. } => name.without(is_gone_name),
            _ => None,
        };
        let named = |author: &Author| !author.name.is_gone() && is_gone(author.id);
        if called.is_none() && !self.kind.named().any(named) {
            // Most of a history: it is walked through without a copy.
            return None;
        }
        let mut event = self.clone();
        for author in event.kind.named_mut().filter(|author| is_gone(author.id)) {
            author.name = Username::gone();
        }
        match &mut event.kind {
            EventKind::Created { name, .. } => *name = called.unwrap_or_else(|| name.clone()),
            EventKind::Posted { author, origin_id, .. } if author.name.is_gone() => {
                *origin_id = None;
            }
            _ => {}
        }
        Some(event)
    }

    /// Whether it is a post or an edit that was not erased; its text may be blank.
    pub fn stands(&self) -> bool {
        match &self.kind {
            EventKind::Posted { body, .. } | EventKind::Edited { body, .. } => !body.is_erased(),
            _ => false,
        }
    }

    /// This post as it is shown with an edit taken in.
    #[must_use]
    pub fn edited(&self, seq: Seq, text: &Body) -> Self {
        let mut event = self.clone();
        if let EventKind::Posted { body, extras, .. } = &mut event.kind {
            *body = text.clone();
            extras.get_or_insert_default().edited = Some(seq);
        }
        event
    }

    /// This post as it is shown with what it was answered with.
    #[must_use]
    pub fn reacted(&self, tallies: Box<[Tally]>) -> Self {
        let mut event = self.clone();
        if let EventKind::Posted { extras, .. } = &mut event.kind {
            extras.get_or_insert_default().reactions = tallies;
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_post_mentions_fifty_at_most_and_nobody_twice() {
        assert_eq!(Extras::parse(0, &[]), Ok(None));
        let many = |count: u64| (1..=count).collect::<Vec<_>>();
        let parse = |mentions: &[u64]| {
            Extras::parse(7, mentions).map(|extras| extras.expect("a reply").mentions.len())
        };
        assert_eq!((parse(&many(49)), parse(&many(50))), (Ok(49), Ok(50)));
        assert_eq!(parse(&many(51)), Err(Rejection::BadArgument));
        assert_eq!(parse(&vec![3; 50]), Ok(1));
        assert_eq!(parse(&[0]), Err(Rejection::BadArgument));
        assert_eq!(Extras::parse(SEQ_MAX + 1, &[]), Err(Rejection::BadArgument));
    }
}
