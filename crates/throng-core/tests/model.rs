//! What a shard should decide, said as plainly as possible: every question is answered by looking
//! through all events of the room. No tables, no windows in grains, nothing to take back.

mod held;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use throng_core::rights::{Operation, outranks, permit};
use throng_core::shard::Now;
use throng_core::{
    Act, Author, Body, Command, Event, EventKind, Extras, Kind, Limits, OriginId, Person, Policy,
    Reaction, Rejection, Reply, Request, Role, RoomId, RoomName, Seq, Settings, Standing, Tally,
    Timestamp, UserId, Words,
};

pub type Outcome = Result<Reply, Rejection>;

/// Every event of every room, in the order of commit.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub limits: Limits,
    pub events: Vec<Arc<Event>>,
    at: Timestamp,
    /// Events that were folded when the shard was last restarted: slow mode has forgotten them.
    forgiven: usize,
    /// What has no place yet.
    pub waiting: held::Waiting,
}

impl Model {
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    pub fn room(&self, room: RoomId) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        self.events.iter().filter(move |event| event.room == room)
    }

    pub fn event(&self, room: RoomId, seq: Seq) -> Option<&Arc<Event>> {
        self.room(room).find(|event| event.seq == seq)
    }

    pub fn head(&self, room: RoomId) -> Seq {
        Seq(self.room(room).count() as u64)
    }

    pub fn pushed(&self, room: RoomId) -> Seq {
        self.room(room).filter(|event| event.pushed).map(|event| event.seq).max().unwrap_or(Seq(0))
    }

    pub fn posts(&self, room: RoomId) -> u64 {
        self.room(room).filter(|event| matches!(event.kind, EventKind::Posted { .. })).count()
            as u64
    }

    pub fn posts_total(&self) -> u64 {
        self.events.iter().filter(|e| matches!(e.kind, EventKind::Posted { .. })).count() as u64
    }

    pub fn members(&self, room: RoomId) -> BTreeMap<UserId, Seq> {
        let joined = |(user, person): (UserId, Person)| Some((user, person.joined()?));
        self.people(room).into_iter().filter_map(joined).collect()
    }

    /// Who belongs, and who has marks.
    pub fn people(&self, room: RoomId) -> BTreeMap<UserId, Person> {
        let mut people: BTreeMap<UserId, (Seq, Standing)> = BTreeMap::new();
        for event in self.room(room) {
            match &event.kind {
                EventKind::Joined { who } => {
                    let role = match who.id.is_guest() {
                        true => Role::Visitor,
                        false if event.seq == Seq(2) => Role::Owner,
                        false => Role::Member,
                    };
                    let (seq, standing) = people.entry(who.id).or_default();
                    *seq = event.seq;
                    *standing = standing.without(Standing::INVITED).as_role(role);
                }
                EventKind::Left { who } => {
                    let (_, standing) = people.entry(who.id).or_default();
                    let there = standing.role().is_some();
                    *standing = match there {
                        true => standing.outside(),
                        // To decline an invitation is all that the first one does.
                        false if standing.has(Standing::INVITED) => {
                            standing.without(Standing::INVITED)
                        }
                        false => Standing::default(),
                    };
                }
                EventKind::Moderated { who, act, .. } => {
                    let (_, standing) = people.entry(who.id).or_default();
                    *standing = act.applied(*standing);
                }
                EventKind::Created { .. }
                | EventKind::Posted { .. }
                | EventKind::Edited { .. }
                | EventKind::Deleted { .. }
                | EventKind::Reacted { .. }
                | EventKind::Pinned { .. }
                | EventKind::Set { .. } => {}
            }
        }
        let kept = people.into_iter().filter(|(_, (_, standing))| !standing.is_nothing());
        let of = |(seq, standing): (Seq, Standing)| {
            Person::new(if standing.role().is_some() { seq } else { Seq(0) }, standing)
        };
        kept.map(|(user, person)| (user, of(person))).collect()
    }

    pub fn policy(&self, room: RoomId) -> Policy {
        self.room(room).fold(Policy::default(), |policy, event| match &event.kind {
            EventKind::Created { kind, .. } => Policy { kind: *kind, ..policy },
            EventKind::Set { settings, .. } => policy.with(settings),
            _ => policy,
        })
    }

    pub fn words(&self, room: RoomId) -> Words {
        let set = |event: &Arc<Event>| match &event.kind {
            EventKind::Set { settings, .. } => settings.words.clone(),
            _ => None,
        };
        self.room(room).filter_map(set).next_back().unwrap_or_default()
    }

    fn in_words(&self, room: RoomId, user: UserId, body: &Body) -> Result<(), Rejection> {
        let refused = !self.keeps_order(room, user) && self.words(room).refuse(body.as_str());
        if refused { Err(Rejection::WordRefused) } else { Ok(()) }
    }

    fn is_deleted(&self, room: RoomId, seq: Seq) -> bool {
        let author = self.event(room, seq).and_then(|event| match &event.kind {
            EventKind::Posted { author, .. } => Some(author.id),
            _ => None,
        });
        self.room(room).filter(|event| event.seq > seq).any(|event| match &event.kind {
            EventKind::Deleted { of, .. } => *of == seq,
            EventKind::Moderated { who, act: Act::DeleteAll, .. } => Some(who.id) == author,
            _ => false,
        })
    }

    /// A message as it is shown: erased if it was deleted.
    pub fn shown(&self, room: RoomId, seq: Seq) -> Option<Arc<Event>> {
        let event = self.event(room, seq)?;
        Some(if self.is_deleted(room, seq) { Arc::new(event.erased()) } else { event.clone() })
    }

    /// A restart: the newest time known is that of the newest event.
    pub fn restart(&mut self, folded: usize) {
        self.forgiven = folded;
        self.forget_waiting();
        self.at = self.events.iter().map(|event| event.at).max().unwrap_or_default();
    }

    /// Begins a turn: time goes on, or stays.
    pub fn begin(&mut self, now: Now) {
        self.at = self.at.max(now.at);
    }

    fn forget(&mut self, room: RoomId, who: &Author) -> Outcome {
        let standing = self.standing(room, who.id);
        if self.head(room) == Seq(0) {
            return Err(Rejection::NoSuchRoom);
        }
        if standing.role().is_some() || !standing.is_marked() {
            return Err(Rejection::NoSuchUser);
        }
        let mut seq = Seq(0);
        while !self.standing(room, who.id).is_nothing() {
            seq = self.happen(room, EventKind::Left { who: who.clone() }, false);
        }
        Ok(Reply::Left { seq })
    }

    /// Decides one request. Where the window's edge leaves it open whether a post is a repeat,
    /// `actual` decides; all else must be as said here.
    pub fn decide(&mut self, request: &Request, actual: Outcome) -> Outcome {
        use Rejection as R;
        let who = &request.from;
        let room = request.command.room();
        if let Command::Create { name, kind, settings, .. } = &request.command {
            return Ok(self.create(room, who, (name, *kind, settings.as_deref())));
        }
        match &request.command {
            Command::Direct { with, .. } => return self.direct(room, who, with),
            Command::Forget { .. } => return self.forget(room, who),
            _ if self.head(room) == Seq(0) => return Err(Rejection::NoSuchRoom),
            Command::Held { number, verdict, .. } => {
                return self.settle(room, who, (*number, *verdict), actual);
            }
            _ => {}
        }
        let operation = operation_of(&request.command);
        let may = permit(operation, self.standing(room, who.id), self.policy(room));
        // What one has said stands and is answered again, whatever has been said of speaking since.
        if let (Command::Post { origin_id: Some(id), .. }, Err(R::Muted | R::NoVoice)) =
            (&request.command, &may)
            && let Some(first) = self.first(room, who, id, actual)
        {
            return Ok(first);
        }
        may?;
        match &request.command {
            Command::Join { .. } => self.join(room, who),
            Command::Enter { beside, .. } => self.enter(room, who, beside),
            Command::Leave { .. } => {
                let pushed = self.members(room).len() <= self.limits.pushed_members_max;
                let seq = self.happen(room, EventKind::Left { who: who.clone() }, pushed);
                self.drop_of(room, who.id);
                Ok(Reply::Left { seq })
            }
            Command::Post { .. } => self.post(request, actual),
            Command::Edit { of, body, .. } => self.edit(room, who, *of, Some(body)),
            Command::Delete { of, .. } => self.edit(room, who, *of, None),
            Command::React { of, reaction, on, .. } => self.react(room, who, *of, (reaction, *on)),
            Command::Pin { of, on, .. } => self.pin(room, who, *of, *on),
            Command::Moderate { act, who: target, .. } => self.moderate(room, who, *act, target),
            Command::BanGuest { who: guest, beside, .. } => {
                self.ban_guest(room, who, guest, beside)
            }
            Command::Set { settings, .. } => {
                let (by, settings) = (who.clone(), settings.clone());
                self.applied(room, EventKind::Set { by, settings })
            }
            _ => unreachable!("answered above"),
        }
    }

    fn join(&mut self, room: RoomId, who: &Author) -> Outcome {
        let members = self.members(room);
        if let Some(seq) = members.get(&who.id) {
            return Ok(Reply::Joined { seq: *seq, already: true });
        }
        if members.len() >= self.limits.members_max {
            return Err(Rejection::LimitReached);
        }
        let pushed = members.len() < self.limits.pushed_members_max;
        let seq = self.happen(room, EventKind::Joined { who: who.clone() }, pushed);
        Ok(Reply::Joined { seq, already: false })
    }

    /// A guest comes in where none of those from its address is banned.
    fn enter(&mut self, room: RoomId, who: &Author, beside: &[UserId]) -> Outcome {
        let belongs = self.standing(room, who.id).role().is_some();
        let banned = |one: &UserId| self.standing(room, *one).has(Standing::BANNED);
        if !belongs && beside.iter().any(banned) {
            return Err(Rejection::Banned);
        }
        self.join(room, who)
    }

    /// A guest is banned; those guests of its address who are here go, where they may be sent away.
    fn ban_guest(&mut self, room: RoomId, by: &Author, who: &Author, beside: &[Author]) -> Outcome {
        let banned = self.moderate(room, by, Act::Ban, who)?;
        for guest in beside.iter().filter(|one| one.id.is_guest()) {
            let may = permit(Act::Kick.operation(), self.standing(room, by.id), self.policy(room));
            if may.is_ok() {
                _ = self.moderate(room, by, Act::Kick, guest);
            }
        }
        Ok(banned)
    }

    fn create(
        &mut self,
        room: RoomId,
        who: &Author,
        (name, kind, settings): (&RoomName, Kind, Option<&Settings>),
    ) -> Reply {
        self.happen(room, EventKind::Created { by: who.clone(), name: name.clone(), kind }, true);
        let pushed = self.limits.pushed_members_max >= 1;
        let seq = self.happen(room, EventKind::Joined { who: who.clone() }, pushed);
        if let Some(settings) = settings.cloned().map(Box::new) {
            self.happen(room, EventKind::Set { by: who.clone(), settings }, true);
        }
        Reply::Created { seq }
    }

    fn direct(&mut self, room: RoomId, who: &Author, with: &Author) -> Outcome {
        if self.head(room) > Seq(0) {
            permit(Operation::Join, self.standing(room, who.id), self.policy(room))?;
            let seq = *self.members(room).get(&who.id).ok_or(Rejection::NoSuchRoom)?;
            return Ok(Reply::Joined { seq, already: true });
        }
        let name = RoomName::of_two(&who.name, &with.name);
        self.happen(room, EventKind::Created { by: who.clone(), name, kind: Kind::Direct }, true);
        for (members, one) in [who, with].into_iter().enumerate() {
            let pushed = members < self.limits.pushed_members_max;
            self.happen(room, EventKind::Joined { who: one.clone() }, pushed);
        }
        Ok(Reply::Created { seq: Seq(3) })
    }

    fn post(&mut self, request: &Request, actual: Outcome) -> Outcome {
        let Request { from: who, command: Command::Post { room, origin_id, body, extras } } =
            request
        else {
            unreachable!("a post is asked for")
        };
        let room = *room;
        let first = origin_id.as_ref().and_then(|id| self.first(room, who, id, actual));
        if let Some(first) = first {
            return Ok(first);
        }
        if let Some(first) = self.waits_already(room, who.id, origin_id.as_ref()) {
            return Ok(first);
        }
        self.in_time(room, who.id)?;
        self.in_words(room, who.id, body)?;
        self.in_sight(room, who.id, extras.as_deref())?;
        if self.policy(room).delay_seconds > 0 && !self.keeps_order(room, who.id) {
            return self.hold(request, actual);
        }
        let n = self.posts(room) + 1;
        let (author, origin_id, body) = (who.clone(), origin_id.clone(), body.clone());
        let extras = extras.clone();
        let kind = EventKind::Posted { n, author, origin_id, body, extras };
        let seq = self.happen(room, kind, true);
        Ok(Reply::Posted { seq, n, at: self.at, repeat: false })
    }

    /// What it answers is there, and to be seen.
    fn in_sight(
        &self,
        room: RoomId,
        user: UserId,
        extras: Option<&Extras>,
    ) -> Result<(), Rejection> {
        let from = self.policy(room).readable_from(self.members(room).get(&user).copied());
        match extras.and_then(|extras| extras.reply_to) {
            Some(of) if of < from || of > self.head(room) => Err(Rejection::NoSuchMessage),
            _ => Ok(()),
        }
    }

    fn standing(&self, room: RoomId, user: UserId) -> Standing {
        self.people(room).get(&user).map_or(Standing::default(), |person| person.standing())
    }

    /// Slow mode looks at the posts since it was switched on, and nothing before.
    fn in_time(&self, room: RoomId, user: UserId) -> Result<(), Rejection> {
        let slow = u64::from(self.policy(room).slow_seconds) * 1_000;
        let mut last = None;
        let mut policy = Policy::default();
        for (i, event) in self.events.iter().enumerate().filter(|(_, event)| event.room == room) {
            match &event.kind {
                EventKind::Set { settings, .. } => {
                    policy = policy.with(settings);
                    last = last.filter(|_| policy.slow_seconds > 0);
                }
                EventKind::Posted { author: by, .. } | EventKind::Edited { by, .. }
                    if by.id == user && i >= self.forgiven =>
                {
                    last = (policy.slow_seconds > 0).then_some(event.at.0);
                }
                _ => {}
            }
        }
        let last = last.max(self.waits_since(room, user));
        let wait = last.map_or(0, |at| (at + slow).saturating_sub(self.at.0));
        let exempt = self.standing(room, user).role() >= Some(Role::Moderator);
        if wait == 0 || exempt {
            return Ok(());
        }
        Err(Rejection::SlowMode { retry_after_ms: u32::try_from(wait).expect("hours at most") })
    }

    fn edit(&mut self, room: RoomId, who: &Author, of: Seq, body: Option<&Body>) -> Outcome {
        let policy = self.policy(room);
        let asker = self.standing(room, who.id);
        if body.is_some() && policy.delay_seconds > 0 && !self.keeps_order(room, who.id) {
            return Err(Rejection::Forbidden);
        }
        let from = policy.readable_from(self.members(room).get(&who.id).copied());
        let author = match self.event(room, of).map(|event| &event.kind) {
            Some(EventKind::Posted { author, .. }) if of >= from => author.clone(),
            _ => return Err(Rejection::NoSuchMessage),
        };
        if author.id != who.id {
            let other = if body.is_some() { Operation::EditOther } else { Operation::DeleteOther };
            permit(other, asker, policy)?;
            outranks(asker, self.standing(room, author.id), None)?;
        }
        let by = who.clone();
        let whose = (author.id != who.id).then_some(author);
        match (self.is_deleted(room, of), body) {
            (true, Some(_)) => Err(Rejection::NoSuchMessage),
            (true, None) => self.already(room),
            (false, Some(body)) if body.is_blank() && !self.carries(room, of) => {
                Err(Rejection::EmptyBody)
            }
            (false, Some(body)) => {
                self.in_time(room, who.id)?;
                self.in_words(room, who.id, body)?;
                self.applied(room, EventKind::Edited { by, of, body: body.clone() })
            }
            (false, None) => self.applied(room, EventKind::Deleted { by, of, whose }),
        }
    }

    /// Whether a message carries files.
    fn carries(&self, room: RoomId, of: Seq) -> bool {
        let kind = self.event(room, of).map(|event| &event.kind);
        let Some(EventKind::Posted { extras: Some(extras), .. }) = kind else { return false };
        !extras.files.is_empty()
    }

    /// Whether a message stands there that this account may see.
    fn stands(&self, room: RoomId, who: &Author, of: Seq) -> bool {
        let from = self.policy(room).readable_from(self.members(room).get(&who.id).copied());
        let event = self.event(room, of).map(|event| &event.kind);
        matches!(event, Some(EventKind::Posted { .. })) && of >= from && !self.is_deleted(room, of)
    }

    /// Who gave which reaction to a message.
    fn given(&self, room: RoomId, seq: Seq) -> BTreeMap<Reaction, BTreeSet<UserId>> {
        let mut given: BTreeMap<Reaction, BTreeSet<UserId>> = BTreeMap::new();
        for event in self.room(room) {
            if let EventKind::Reacted { by, of, reaction, on, .. } = &event.kind
                && *of == seq
            {
                let users = given.entry(reaction.clone()).or_default();
                _ = if *on { users.insert(by.id) } else { users.remove(&by.id) };
            }
        }
        given
    }

    /// What a message was answered with, as an account is shown it.
    pub fn tallies(&self, room: RoomId, of: Seq, asker: UserId) -> Vec<Tally> {
        let tally = |(reaction, users): (Reaction, BTreeSet<UserId>)| {
            let changed = |event: &&Arc<Event>| {
                let EventKind::Reacted { of: it, reaction: which, .. } = &event.kind else {
                    return false;
                };
                *it == of && *which == reaction
            };
            let seq = self.room(room).rfind(changed)?.seq;
            let (count, mine) = (users.len() as u32, users.contains(&asker));
            (count > 0).then_some(Tally { reaction, count, mine, seq })
        };
        self.given(room, of).into_iter().filter_map(tally).collect()
    }

    fn react(&mut self, room: RoomId, who: &Author, of: Seq, what: (&Reaction, bool)) -> Outcome {
        let (reaction, on) = what;
        if !self.stands(room, who, of) {
            return Err(Rejection::NoSuchMessage);
        }
        let mut users = self.given(room, of).remove(reaction).unwrap_or_default();
        let given = !users.is_empty();
        let changed = if on { users.insert(who.id) } else { users.remove(&who.id) };
        if !changed {
            return self.already(room);
        }
        if on && !self.keeps_order(room, who.id) {
            let (text, delay) = (reaction.as_str(), self.policy(room).delay_seconds);
            if self.words(room).refuse(text) {
                return Err(Rejection::WordRefused);
            }
            if delay > 0 && !given && text.chars().any(char::is_alphanumeric) {
                return Err(Rejection::Forbidden);
            }
        }
        let (by, reaction, count) = (who.clone(), reaction.clone(), users.len() as u32);
        self.applied(room, EventKind::Reacted { by, of, reaction, on, count })
    }

    /// The messages that are pinned.
    pub fn pins(&self, room: RoomId) -> BTreeSet<Seq> {
        let mut pins = BTreeSet::new();
        for event in self.room(room) {
            match &event.kind {
                EventKind::Pinned { of, on: true, .. } => _ = pins.insert(*of),
                EventKind::Pinned { of, .. } | EventKind::Deleted { of, .. } => {
                    pins.remove(of);
                }
                _ => {}
            }
        }
        pins
    }

    fn pin(&mut self, room: RoomId, who: &Author, of: Seq, on: bool) -> Outcome {
        if on && !self.stands(room, who, of) {
            return Err(Rejection::NoSuchMessage);
        }
        if self.pins(room).contains(&of) == on {
            return self.already(room);
        }
        self.applied(room, EventKind::Pinned { by: who.clone(), of, on })
    }

    fn moderate(&mut self, room: RoomId, by: &Author, act: Act, who: &Author) -> Outcome {
        let was = self.standing(room, who.id);
        let belongs = was.role().is_some();
        let needs_member =
            matches!(act, Act::Kick | Act::Mute | Act::Voice | Act::Unvoice | Act::SetRole(_));
        let withdraws = act == Act::Kick && was.has(Standing::INVITED);
        if needs_member && !belongs && !withdraws {
            return Err(Rejection::NoSuchUser);
        }
        if act == Act::Invite && was.has(Standing::BANNED) {
            return Err(Rejection::Banned);
        }
        if act == Act::Invite && belongs {
            return self.already(room);
        }
        outranks(self.standing(room, by.id), was, Some(act))?;
        if who.id.is_guest() && matches!(act, Act::SetRole(role) if role > Role::Visitor) {
            return Err(Rejection::Forbidden);
        }
        let now = act.applied(was);
        if now == was && act != Act::DeleteAll {
            return self.already(room);
        }
        let marked = self.people(room).values().filter(|it| it.standing().is_marked()).count();
        if now.is_marked() && !was.is_marked() && marked >= self.limits.marked_max {
            return Err(Rejection::LimitReached);
        }
        if act.removes() || act == Act::DeleteAll {
            self.drop_of(room, who.id);
        }
        if act == Act::DeleteAll {
            // Nothing that goes stays pinned.
            for of in self.pins(room) {
                let posted = self.event(room, of).map(|event| &event.kind);
                if matches!(posted, Some(EventKind::Posted { author, .. }) if author.id == who.id) {
                    self.happen(room, EventKind::Pinned { by: by.clone(), of, on: false }, true);
                }
            }
        }
        let (by, who) = (by.clone(), who.clone());
        self.applied(room, EventKind::Moderated { by, who, act })
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands beside outcomes that are refusals")]
    fn applied(&mut self, room: RoomId, kind: EventKind) -> Outcome {
        let seq = self.happen(room, kind, true);
        Ok(Reply::Applied { seq, at: self.at, already: false })
    }

    #[expect(clippy::unnecessary_wraps, reason = "as above")]
    fn already(&self, room: RoomId) -> Outcome {
        Ok(Reply::Applied { seq: self.head(room), at: self.at, already: true })
    }

    /// The reply to the newest post of this `origin_id`, if it must be remembered, or may and was.
    fn first(&self, room: RoomId, who: &Author, id: &OriginId, actual: Outcome) -> Option<Reply> {
        let (index, event, n) =
            self.events.iter().enumerate().rev().find_map(|(i, event)| match &event.kind {
                EventKind::Posted { n, author, origin_id, .. }
                    if event.room == room
                        && author.id == who.id
                        && origin_id.as_ref() == Some(id) =>
                {
                    Some((i, event, *n))
                }
                _ => None,
            })?;
        let reply = Reply::Posted { seq: event.seq, n, at: event.at, repeat: true };
        let age = self.at.0 - event.at.0;
        let later = &self.events[index + 1..];
        let later = later.iter().filter(|e| matches!(e.kind, EventKind::Posted { .. })).count();
        let window = self.limits.origin_window_ms;
        let must = age <= window && (later as u64) < self.limits.origin_window_posts;
        let may = age <= window + window.div_ceil(8_192).max(1);
        (must || (may && actual == Ok(reply))).then_some(reply)
    }

    fn happen(&mut self, room: RoomId, kind: EventKind, pushed: bool) -> Seq {
        let seq = self.head(room).next();
        let prev = self.pushed(room);
        self.events.push(Arc::new(Event { room, seq, prev, pushed, at: self.at, kind }));
        seq
    }
}

/// What somebody must be permitted who commands this.
fn operation_of(command: &Command) -> Operation {
    match command {
        Command::Join { .. } | Command::Enter { .. } => Operation::Join,
        Command::Leave { .. } => Operation::Leave,
        Command::Post { .. } => Operation::Post,
        Command::Edit { .. } => Operation::EditOwn,
        Command::Delete { .. } => Operation::DeleteOwn,
        Command::React { on: true, .. } => Operation::React,
        Command::React { on: false, .. } => Operation::Unreact,
        Command::Pin { on: true, .. } => Operation::Pin,
        Command::Pin { on: false, .. } => Operation::Unpin,
        Command::Moderate { act, .. } => act.operation(),
        Command::BanGuest { .. } => Act::Ban.operation(),
        Command::Set { settings, .. } => settings.operation(),
        _ => unreachable!("answered before anybody is asked"),
    }
}
