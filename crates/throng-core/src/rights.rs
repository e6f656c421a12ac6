//! Who may do what in a room: one function, `permit`, of what is asked, where the asker stands and
//! what the room has settled. `docs/reference/permissions.md` says the same as a table, and a test
//! compares every cell.
//!
//! Neighbours: the shard asks it before it decides, the directory before anything is read. It knows
//! no room and no account; what it is asked fits in a few bytes.

use crate::file::Avatar;
use crate::id::Seq;
use crate::limits::{DELAY_SECONDS_MAX, KEEP_SECONDS_MAX, KEEP_SECONDS_MIN, SLOW_SECONDS_MAX};
use crate::rejection::Rejection;
use crate::text::{RoomName, Topic, Words};

/// What a member is in a room. Ordered: a greater one may act on a lesser one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Hears; speaks where everyone may, or by voice.
    Visitor = 1,
    /// What who joins becomes.
    Member = 2,
    /// Keeps order.
    Moderator = 3,
    /// Decides what the room is; who makes a room is its first.
    Owner = 4,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Visitor, Self::Member, Self::Moderator, Self::Owner];

    /// The one of this number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Visitor),
            2 => Some(Self::Member),
            3 => Some(Self::Moderator),
            4 => Some(Self::Owner),
            _ => None,
        }
    }
}

/// Where an account stands in a room, in one byte: its role, if it belongs, and its marks, which
/// stay when it leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Standing(u8);

impl Standing {
    const ROLE: u8 = 0x07;
    /// May not speak.
    pub const MUTED: Self = Self(0x08);
    /// May speak where only those with voice do.
    pub const VOICED: Self = Self(0x10);
    /// May not come back.
    pub const BANNED: Self = Self(0x20);
    /// May come into a private room.
    pub const INVITED: Self = Self(0x40);
    /// What is kept of one who does not belong, and counted.
    const MARKS: Self = Self(Self::MUTED.0 | Self::BANNED.0 | Self::INVITED.0);

    /// Of one who belongs, with this role and without marks.
    pub fn of(role: Role) -> Self {
        Self(role as u8)
    }

    /// From the byte on disk; `None` for one that this build does not know.
    pub fn from_byte(byte: u8) -> Option<Self> {
        let role = byte & Self::ROLE;
        (byte < 0x80 && (role == 0 || Role::from_number(role).is_some())).then_some(Self(byte))
    }

    /// From a byte that `byte` gave.
    pub(crate) fn given(byte: u8) -> Self {
        debug_assert!(Self::from_byte(byte).is_some(), "a standing gave it");
        Self(byte)
    }

    /// The byte on disk.
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Its role, if it belongs.
    pub fn role(self) -> Option<Role> {
        Role::from_number(self.0 & Self::ROLE)
    }

    /// Whether it has this mark.
    pub fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    /// With this mark.
    pub fn with(self, mark: Self) -> Self {
        Self(self.0 | mark.0)
    }

    /// Without it.
    pub fn without(self, mark: Self) -> Self {
        Self(self.0 & !mark.0)
    }

    /// The same marks with this role.
    pub fn as_role(self, role: Role) -> Self {
        Self(self.0 & !Self::ROLE | role as u8)
    }

    /// What remains of one who belongs no longer.
    pub fn outside(self) -> Self {
        Self(self.0 & Self::MARKS.0)
    }

    /// Whether to leave is to decline an invitation: one who does not belong has it.
    pub fn declines(self) -> bool {
        self.role().is_none() && self.has(Self::INVITED)
    }

    /// Whether there is a mark that stays when its bearer goes.
    pub fn is_marked(self) -> bool {
        self.has(Self::MARKS)
    }

    /// Whether nothing needs to be kept of it.
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

/// For whom a room is; settled when it is made, because who spoke in a closed room did not speak to
/// all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Listed; who likes joins.
    #[default]
    Public,
    /// For those who were invited; to others it is as if it were not there.
    Private,
    /// Of two, for ever; to others it is as if it were not there.
    Direct,
}

/// Who may speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Speak {
    /// All who belong.
    #[default]
    Everyone,
    /// All but visitors without voice.
    Members,
    /// Those with voice, and those who keep order.
    Voiced,
}

/// Which history is for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// All of it for members.
    #[default]
    Members,
    /// For members, from their joining on.
    Joining,
    /// For all who can see the room.
    All,
}

/// What a room has settled, as far as rights depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// For whom it is.
    pub kind: Kind,
    /// Who may speak.
    pub speak: Speak,
    /// Which history is for whom.
    pub history: Visibility,
    /// Seconds between two posts of one account; 0 for no rule.
    pub slow_seconds: u32,
    /// Seconds before others than those who keep order see a message of one who does not; 0 for none.
    pub delay_seconds: u32,
    /// Seconds that what was said is kept; 0 for ever, `None` for as long as the server says.
    pub keep_seconds: Option<u32>,
}

/// What is changed in a room's settings; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What it is called.
    pub name: Option<RoomName>,
    /// What it is about.
    pub topic: Option<Topic>,
    /// Who may speak.
    pub speak: Option<Speak>,
    /// Which history is for whom.
    pub history: Option<Visibility>,
    /// Seconds between two posts of one account.
    pub slow_seconds: Option<u32>,
    /// Which words may not be said.
    pub words: Option<Words>,
    /// Seconds that what was said is kept.
    pub keep_seconds: Option<u32>,
    /// Which picture stands for it.
    pub avatar: Option<Avatar>,
    /// Seconds before others than those who keep order see a message.
    pub delay_seconds: Option<u32>,
}

impl Settings {
    /// Whether they change nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses what is outside of what a setting may be.
    pub fn check(&self) -> Result<(), Rejection> {
        let slow = self.slow_seconds.is_some_and(|seconds| seconds > SLOW_SECONDS_MAX);
        let kept = self.keep_seconds.filter(|seconds| *seconds != 0);
        let kept = kept.is_none_or(|it| (KEEP_SECONDS_MIN..=KEEP_SECONDS_MAX).contains(&it));
        let delay = self.delay_seconds.is_some_and(|seconds| seconds > DELAY_SECONDS_MAX);
        if slow || delay || !kept || self.is_empty() { Err(Rejection::BadArgument) } else { Ok(()) }
    }

    /// What is asked for by them: what may be read, and for how long, is not for those who only keep
    /// order.
    pub fn operation(&self) -> Operation {
        let access = self.history.is_some() || self.keep_seconds.is_some();
        if access { Operation::SetAccess } else { Operation::SetConduct }
    }
}

impl Policy {
    /// With these changes.
    pub fn with(self, settings: &Settings) -> Self {
        Self {
            kind: self.kind,
            speak: settings.speak.unwrap_or(self.speak),
            history: settings.history.unwrap_or(self.history),
            slow_seconds: settings.slow_seconds.unwrap_or(self.slow_seconds),
            delay_seconds: settings.delay_seconds.unwrap_or(self.delay_seconds),
            keep_seconds: settings.keep_seconds.or(self.keep_seconds),
        }
    }

    /// Whether a post is asked more than whether it may be said: slow mode, or a delay.
    pub fn is_paced(&self) -> bool {
        self.slow_seconds | self.delay_seconds > 0
    }

    /// The first place that one who may read at all may read; `joined` is where it joined.
    pub fn readable_from(&self, joined: Option<Seq>) -> Seq {
        match (self.history, joined) {
            (Visibility::Joining, Some(joined)) => joined,
            _ => Seq(1),
        }
    }
}

/// What a moderator does to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// To belong no longer; may join again where that is open.
    Kick,
    /// To belong no longer and never again.
    Ban,
    /// To be no longer banned.
    Unban,
    /// To speak no longer.
    Mute,
    /// To speak again.
    Unmute,
    /// To speak where few may.
    Voice,
    /// No longer to.
    Unvoice,
    /// To be let into a private room.
    Invite,
    /// To be something else.
    SetRole(Role),
    /// To have all taken away that it has said here so far.
    DeleteAll,
}

impl Act {
    /// What is asked for by it.
    pub fn operation(self) -> Operation {
        match self {
            Self::Kick => Operation::Kick,
            Self::Ban => Operation::Ban,
            Self::Unban => Operation::Unban,
            Self::Mute => Operation::Mute,
            Self::Unmute => Operation::Unmute,
            Self::Voice => Operation::Voice,
            Self::Unvoice => Operation::Unvoice,
            Self::Invite => Operation::Invite,
            Self::SetRole(_) => Operation::SetRole,
            Self::DeleteAll => Operation::DeleteAll,
        }
    }

    /// Whether its target belongs no longer.
    pub fn removes(self) -> bool {
        matches!(self, Self::Kick | Self::Ban)
    }

    /// Where somebody stands after it.
    pub fn applied(self, was: Standing) -> Standing {
        match self {
            Self::Kick => was.outside().without(Standing::INVITED),
            Self::Ban => was.outside().without(Standing::INVITED).with(Standing::BANNED),
            Self::Unban => was.without(Standing::BANNED),
            Self::Mute => was.with(Standing::MUTED),
            Self::Unmute => was.without(Standing::MUTED),
            Self::Voice => was.with(Standing::VOICED),
            Self::Unvoice => was.without(Standing::VOICED),
            Self::Invite => was.with(Standing::INVITED),
            Self::SetRole(role) => was.as_role(role),
            Self::DeleteAll => was,
        }
    }
}

macro_rules! operations {
    ($($(#[doc = $about:literal])+ $variant:ident = $name:literal;)+) => {
        /// What can be asked of a room, as far as rights go.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Operation {
            $($(#[doc = $about])+ $variant,)+
        }

        impl Operation {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name in the table of rights.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

operations! {
    /// To find it in the list of rooms.
    See = "list_rooms";
    /// To become a member.
    Join = "join";
    /// To be one no longer.
    Leave = "leave";
    /// To hear it live, and to resume.
    Subscribe = "subscribe";
    /// To read pages.
    History = "history";
    /// To find its messages by their words.
    Search = "search";
    /// To say something.
    Post = "post";
    /// To change one's own message.
    EditOwn = "edit own";
    /// To change another's.
    EditOther = "edit other";
    /// To take one's own message back.
    DeleteOwn = "delete own";
    /// To take another's away.
    DeleteOther = "delete other";
    /// To answer a message with a reaction.
    React = "react";
    /// To take one's own back.
    Unreact = "unreact";
    /// To pin a message.
    Pin = "pin";
    /// To take it off.
    Unpin = "unpin";
    /// To let the others know that one types.
    Typing = "typing";
    /// To read who belongs.
    Members = "members";
    /// `Act::Kick`.
    Kick = "moderate kick";
    /// `Act::Ban`.
    Ban = "moderate ban";
    /// `Act::Unban`.
    Unban = "moderate unban";
    /// `Act::Mute`.
    Mute = "moderate mute";
    /// `Act::Unmute`.
    Unmute = "moderate unmute";
    /// `Act::Voice`.
    Voice = "moderate voice";
    /// `Act::Unvoice`.
    Unvoice = "moderate unvoice";
    /// `Act::Invite`.
    Invite = "moderate invite";
    /// `Act::SetRole`.
    SetRole = "moderate set_role";
    /// `Act::DeleteAll`.
    DeleteAll = "moderate delete_all";
    /// To settle how it is talked: topic, who may speak, slow mode, word filter.
    SetConduct = "set_room conduct";
    /// To settle who reads what.
    SetAccess = "set_room access";
    /// To read the word filter.
    Words = "list_words";
    /// To read what waits for the room's delay: all of it for those who keep order, one's own for others.
    Held = "list_held";
    /// To let one of them pass before its time.
    PassHeld = "settle_held pass";
    /// To object to a message.
    Report = "report";
    /// To read what others object to.
    Reports = "list_reports";
    /// To settle it.
    Settle = "settle_report";
    /// To read who did what.
    Audit = "list_audit";
    /// To read who is banned, muted, voiced or invited.
    Standings = "list_standings";
    /// To make a link by which others come in.
    MakeLink = "make_room_link";
    /// To read which there are.
    Links = "list_room_links";
    /// To end one.
    EndLink = "end_room_link";
}

/// Whether one who stands so may do this in a room that has settled so. What depends on a second
/// person is asked of `outranks` besides.
pub fn permit(operation: Operation, who: Standing, policy: Policy) -> Result<(), Rejection> {
    use Operation as O;
    let Some(role) = who.role() else { return permit_outside(operation, who, policy) };
    if policy.kind == Kind::Direct {
        return permit_one_of_two(operation);
    }
    let allowed = match operation {
        O::See
        | O::Join
        | O::Leave
        | O::Subscribe
        | O::History
        | O::Search
        | O::DeleteOwn
        | O::Unreact
        | O::Members
        | O::Held
        | O::Report => true,
        O::Post | O::EditOwn | O::React | O::Typing => return speak(role, who, policy),
        O::EditOther => false,
        O::Invite | O::MakeLink | O::Links | O::EndLink => {
            policy.kind == Kind::Private && role >= Role::Moderator
        }
        O::SetAccess => role == Role::Owner,
        O::DeleteOther
        | O::Pin
        | O::Unpin
        | O::Kick
        | O::Ban
        | O::Unban
        | O::Mute
        | O::Unmute
        | O::Voice
        | O::Unvoice
        | O::SetRole
        | O::DeleteAll
        | O::SetConduct
        | O::Words
        | O::PassHeld
        | O::Reports
        | O::Settle
        | O::Audit
        | O::Standings => role >= Role::Moderator,
    };
    if allowed { Ok(()) } else { Err(Rejection::Forbidden) }
}

/// One who does not belong: a room that is not for it must look like one that is not there.
fn permit_outside(operation: Operation, who: Standing, policy: Policy) -> Result<(), Rejection> {
    let banned = who.has(Standing::BANNED);
    let seen = match policy.kind {
        Kind::Public => true,
        Kind::Private => who.has(Standing::INVITED) && !banned,
        Kind::Direct => false,
    };
    match operation {
        _ if !seen => Err(Rejection::NoSuchRoom),
        Operation::Join | Operation::History if banned => Err(Rejection::Banned),
        Operation::See | Operation::Join => Ok(()),
        // Who is invited declines.
        Operation::Leave if policy.kind == Kind::Private => Ok(()),
        Operation::History if policy.history == Visibility::All => Ok(()),
        _ => Err(Rejection::NotMember),
    }
}

/// The two of a direct room are alike, and neither is above the other. Neither goes: that nothing more
/// is to come is said by who may write to one.
fn permit_one_of_two(operation: Operation) -> Result<(), Rejection> {
    use Operation as O;
    match operation {
        O::See
        | O::Join
        | O::Subscribe
        | O::History
        | O::Search
        | O::Post
        | O::EditOwn
        | O::DeleteOwn
        | O::React
        | O::Unreact
        | O::Pin
        | O::Unpin
        | O::Typing
        | O::Members => Ok(()),
        _ => Err(Rejection::Forbidden),
    }
}

fn speak(role: Role, who: Standing, policy: Policy) -> Result<(), Rejection> {
    let voiced = who.has(Standing::VOICED);
    let allowed = match policy.speak {
        Speak::Everyone => true,
        Speak::Members => role >= Role::Member || voiced,
        Speak::Voiced => role >= Role::Moderator || voiced,
    };
    match allowed {
        _ if who.has(Standing::MUTED) => Err(Rejection::Muted),
        true => Ok(()),
        false => Err(Rejection::NoVoice),
    }
}

/// Whether `asker` may act on somebody who stands so: only on one of a lesser role, and only an
/// owner gives a role that is not less than its own.
pub fn outranks(asker: Standing, target: Standing, act: Option<Act>) -> Result<(), Rejection> {
    let (asker, target) = (asker.role(), target.role());
    let gives = match act {
        Some(Act::SetRole(role)) => asker == Some(Role::Owner) || Some(role) < asker,
        _ => true,
    };
    if target < asker && gives { Ok(()) } else { Err(Rejection::Forbidden) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_is_a_byte_and_comes_back_from_it() {
        let known = (0..=u8::MAX).filter_map(Standing::from_byte).count();
        assert_eq!(known, 5 * 16, "four roles or none, with four marks");
        for byte in (0..=u8::MAX).filter(|byte| Standing::from_byte(*byte).is_some()) {
            assert_eq!(Standing::from_byte(byte).unwrap().byte(), byte);
        }
    }

    #[test]
    fn marks_outlast_membership_and_voice_does_not() {
        let was = Standing::of(Role::Member).with(Standing::MUTED).with(Standing::VOICED);
        assert_eq!(was.outside(), Standing::MUTED);
        assert_eq!(Act::Ban.applied(was), Standing::MUTED.with(Standing::BANNED));
        assert_eq!(Act::Kick.applied(Standing::of(Role::Owner)), Standing::default());
    }

    #[test]
    fn one_acts_on_lesser_roles_only_and_gives_less_than_one_has_unless_one_owns() {
        let roles = [None, Some(Role::Visitor), Some(Role::Member), Some(Role::Moderator)];
        let of = |role: Option<Role>| role.map_or(Standing::default(), Standing::of);
        let owner = Standing::of(Role::Owner);
        for target in roles {
            assert_eq!(outranks(owner, of(target), Some(Act::SetRole(Role::Owner))), Ok(()));
            let moderator = Standing::of(Role::Moderator);
            let less = target < Some(Role::Moderator);
            assert_eq!(outranks(moderator, of(target), Some(Act::Kick)).is_ok(), less);
            let gives = |role| outranks(moderator, of(target), Some(Act::SetRole(role)));
            assert_eq!(gives(Role::Member).is_ok(), less);
            assert!(gives(Role::Moderator).is_err() && gives(Role::Owner).is_err());
        }
        assert!(outranks(owner, owner, Some(Act::Kick)).is_err());
    }
}
