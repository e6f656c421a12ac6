//! Carries out what a connection asks: at once where memory answers, in a future of its own where
//! something must be waited for. One such future at a time: what is asked after it waits its turn.
//!
//! Neighbours: `mod.rs` drives it; commands go to the shard's queue, reads to the directory and the
//! history, passwords and tokens to `auth`. It answers for its own connection only.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use throng_core::rights::Operation;
use throng_core::session::{Ask as Sort, Identity};
use throng_core::{
    Author, Disconnect, Event, Kind, Position, Rejection, RoomDefaults, RoomId, RoomName, Seq,
    UserId,
};
use tokio::sync::oneshot;

use super::{Connection, UNREAD_MAX};
use crate::address::AddressKey;
use crate::app::App;
use crate::auth::account::{AccountAsk, Secret};
use crate::clock::Moment;
use crate::fanout::{Attach, Attached, Order};
use crate::faults::{Fault, planted};
use crate::history::Gap;
use crate::operations::metrics::Stage;
use crate::outbox::{Outbox, Writer};
use crate::protocols::{Ack, Answer, Ask, Protocol, What, moderation};

/// What came of one ask.
pub enum Served {
    /// This.
    Answer(Answer),
    /// The answer comes by itself.
    Later,
    /// Not before the commands that are under way are answered.
    Wait(Ask),
}

/// What came of something slow.
pub enum Slow {
    /// This answer to that request.
    Answer(u32, Answer),
    /// The connection speaks for someone; the answer, unless nobody asked.
    Entered(Box<Entered>),
    /// It did not come about, and nobody asked.
    Refused(Rejection),
    /// This one may not come in before so many milliseconds.
    Waits(u32, u32),
    /// Answered elsewhere.
    Done,
}

pub struct Entered {
    re: Option<u32>,
    identity: Identity,
    /// Given to the client, if it is a new one.
    token: Option<String>,
    /// To make sure that the session did not end while nobody knew of this connection.
    check: String,
    endings: u64,
}

pub(super) type Future_ = Pin<Box<dyn Future<Output = Slow> + Send>>;

impl<P: Protocol + Unpin> Connection<P> {
    /// Serves one ask.
    pub(super) fn serve(&mut self, ask: Ask, now: Moment) -> Served {
        if let What::Refused(answer) = ask.what {
            // One that is nobody hears that first, whatever else is wrong with what it asks.
            let of_form = matches!(answer, Answer::Rejected(it) if it != Rejection::UnknownRequest);
            let nobody = of_form && self.session.identity().is_none();
            let first = Answer::Rejected(Rejection::NotAuthenticated);
            return Served::Answer(if nobody { first } else { answer });
        }
        if needs_quiet(&ask.what) && !self.outbox.idle_or_tell() {
            return Served::Wait(ask);
        }
        let now = match self.permit(&ask.what, now) {
            Ok(permitted) => permitted,
            Err(rejection) => return Served::Answer(Answer::Rejected(rejection)),
        };
        let Ask { id, what } = ask;
        match what {
            What::Command { command, ack, trace } if self.app.knows_mentioned(&command) => {
                self.command(id, command, (ack, trace), now)
            }
            What::CreateRoom { name, kind, settled } => self.create(id, (name, kind), settled, now),
            What::ListRooms(asked) => match self.user() {
                Ok(user) => Served::Answer(Answer::Rooms(self.app.rooms(user.id, &asked))),
                Err(rejection) => Served::Answer(Answer::Rejected(rejection)),
            },
            What::ListWords { room } => {
                let words = self.user().and_then(|user| self.app.directory.words(user.id, room));
                let answer = words.map(|words| Answer::Words { room, words });
                Served::Answer(answer.unwrap_or_else(Answer::Rejected))
            }
            What::Contacts => match self.user() {
                Ok(user) => Served::Answer(Answer::Contacts(self.app.personal.writers(user.id))),
                Err(rejection) => Served::Answer(Answer::Rejected(rejection)),
            },
            What::RoomDefaults => match self.user() {
                Ok(user) => {
                    let defaults = self.app.personal.room_defaults(user.id);
                    Served::Answer(Answer::RoomDefaults(defaults))
                }
                Err(rejection) => Served::Answer(Answer::Rejected(rejection)),
            },
            What::Typing { room } => {
                let typed = self.user().and_then(|user| self.app.types(user.id, room, now));
                Served::Answer(typed.map_or_else(Answer::Rejected, |()| Answer::Done))
            }
            What::Ping => Served::Answer(Answer::Pong),
            What::Unsubscribe { room } => {
                let outbox = Arc::clone(&self.outbox);
                self.app.fanout_of(room).ask(Order::Detach { room, outbox, re: id });
                Served::Later
            }
            slow => {
                self.slow = Some(self.begin(id, slow));
                Served::Later
            }
        }
    }

    /// Whether it may ask this; when that was known, of what is said.
    fn permit(&mut self, what: &What, now: Moment) -> Result<Moment, Rejection> {
        let kind = match what {
            What::Register { .. }
            | What::ResetPassword { .. }
            | What::EnterAsGuest { .. }
            | What::Login { .. }
            | What::Authenticate { .. } => Sort::Identity,
            What::Command { command, .. } if command.is_send() => Sort::Send,
            What::Moderate { .. } | What::Carry { .. } | What::SetRoomAvatar { .. } => Sort::Send,
            _ => Sort::Request,
        };
        self.session.permit(kind, now.millis(), self.app.requests)?;
        if kind == Sort::Send {
            let user = self.user()?.id;
            self.app.sessions.permit_send(user, now)?;
            let permitted = self.app.clock.now();
            self.app.metrics.stages.observe(Stage::Authorize, permitted.since(now));
            return Ok(permitted);
        }
        Ok(now)
    }

    pub(super) fn user(&self) -> Result<&Author, Rejection> {
        let identity = self.session.identity().ok_or(Rejection::NotAuthenticated)?;
        Ok(&identity.user)
    }

    fn create(
        &mut self,
        id: u32,
        named: (RoomName, Kind),
        settled: RoomDefaults,
        now: Moment,
    ) -> Served {
        let prepared = self.user().and_then(|by| self.app.new_room(by.id, named, settled));
        match prepared {
            Ok(prepared) => self.command(id, prepared, (Ack::Durable, None), now),
            Err(rejection) => Served::Answer(Answer::Rejected(rejection)),
        }
    }

    /// What must be waited for.
    fn begin(&self, re: u32, what: What) -> Future_ {
        let app = Arc::clone(&self.app);
        let address = self.address;
        match what {
            What::Register { .. }
            | What::ResetPassword { .. }
            | What::EnterAsGuest { .. }
            | What::Login { .. } => come_in(app, re, what, address),
            What::Account(ask) => self.account(app, re, ask),
            What::DeleteAccount { password } => self.delete_account(app, re, password),
            What::Authenticate { token } => Box::pin(async move {
                match authenticate(&app, token).await {
                    Ok(entered) => Slow::Entered(Box::new(Entered { re: Some(re), ..entered })),
                    Err(Rejection::RateLimited { retry_after_ms }) => {
                        Slow::Waits(re, retry_after_ms)
                    }
                    Err(rejection) => Slow::Answer(re, Answer::Rejected(rejection)),
                }
            }),
            What::Logout => self.log_out(app, re),
            What::History { room, span, limit } => {
                let user = self.user().map(|user| user.id);
                Box::pin(async move {
                    let page = match user {
                        Ok(user) => app.page(user, room, span, limit).await,
                        Err(rejection) => Err(rejection),
                    };
                    Slow::Answer(re, page.map_or_else(Answer::Rejected, Answer::Page))
                })
            }
            What::Subscribe { room, from } => {
                let user = self.user().cloned();
                let outbox = Arc::clone(&self.outbox);
                Box::pin(async move {
                    let outcome = match user {
                        Ok(user) => subscribe(&app, &outbox, &user, room, from, re).await,
                        Err(rejection) => Err(rejection),
                    };
                    match outcome {
                        Ok(()) => Slow::Done,
                        Err(rejection) => Slow::Answer(re, Answer::Rejected(rejection)),
                    }
                })
            }
            What::Moderation(asked) => self.oversee(re, asked),
            what @ (What::Pins { .. }
            | What::Read { .. }
            | What::SetLevel { .. }
            | What::Unread { .. }
            | What::Members { .. }
            | What::Search { .. }
            | What::SetAvatar { .. }
            | What::SetContacts { .. }
            | What::SetRoomDefaults { .. }) => self.begin_personal(re, what),
            // It mentions somebody who must be looked for.
            What::Command { command, ack, trace } => {
                self.begin_lookup(re, What::Carry { command, files: Vec::new(), ack, trace })
            }
            What::Moderate { .. }
            | What::SetRoomAvatar { .. }
            | What::Carry { .. }
            | What::OpenDirect { .. }
            | What::JoinByLink { .. } => self.begin_lookup(re, what),
            _ => unreachable!("served without waiting"),
        }
    }

    fn oversee(&self, re: u32, asked: moderation::Asked) -> Future_ {
        let (app, user) = (Arc::clone(&self.app), self.user().cloned());
        Box::pin(async move {
            let told = match user {
                Ok(user) => app.moderation(user, asked).await,
                Err(rejection) => Err(rejection),
            };
            Slow::Answer(re, told.map_or_else(Answer::Rejected, Answer::Moderation))
        })
    }

    fn account(&self, app: Arc<App>, re: u32, ask: AccountAsk) -> Future_ {
        let who = self.session.identity().cloned();
        let own = who.as_ref().map(|who| who.session);
        if matches!(ask, AccountAsk::EndSession { session } if Some(session) == own) {
            return self.log_out(app, re);
        }
        let address = self.address;
        Box::pin(async move {
            let answer = match who {
                Some(who) => app.auth.account(&who, address, ask).await,
                None => Err(Rejection::NotAuthenticated),
            };
            Slow::Answer(re, answer.map_or_else(Answer::Rejected, Answer::Account))
        })
    }

    fn delete_account(&self, app: Arc<App>, re: u32, password: Secret) -> Future_ {
        let (who, address) = (self.session.identity().cloned(), self.address);
        let outbox = Arc::clone(&self.outbox);
        Box::pin(async move {
            let Some(who) = who else {
                return Slow::Answer(re, Answer::Rejected(Rejection::NotAuthenticated));
            };
            // Its end closes this connection too, with the answer before the farewell.
            let ending = Arc::clone(&outbox);
            let ends = move || {
                let mut bytes = Vec::new();
                ending.form.answer(re, &Answer::Done, &mut bytes);
                ending.set_last_word(Some(bytes));
            };
            match app.delete_account(who, address, password.0, ends).await {
                Ok(()) => Slow::Done,
                Err(rejection) => {
                    outbox.set_last_word(None);
                    Slow::Answer(re, Answer::Rejected(rejection))
                }
            }
        })
    }

    fn log_out(&self, app: Arc<App>, re: u32) -> Future_ {
        let session = self.session.identity().map(|identity| identity.session);
        let outbox = Arc::clone(&self.outbox);
        let mut bytes = Vec::new();
        outbox.form.answer(re, &Answer::Done, &mut bytes);
        outbox.set_last_word(Some(bytes));
        Box::pin(async move {
            let Some(session) = session else { return Slow::Done };
            match app.auth.logout(session).await {
                // Its end has closed this connection too, with the answer before the farewell.
                Ok(()) => Slow::Done,
                Err(rejection) => {
                    outbox.set_last_word(None);
                    Slow::Answer(re, Answer::Rejected(rejection))
                }
            }
        })
    }

    /// Something slow is done.
    pub(super) fn finish(&mut self, done: Slow) {
        match done {
            Slow::Done => {}
            Slow::Refused(rejection) => self.judge(&Answer::Rejected(rejection)),
            Slow::Waits(re, retry_after_ms) => {
                let answer = Answer::Rejected(Rejection::RateLimited { retry_after_ms });
                self.judge(&answer);
                self.answer(re, &answer);
                // Who stays connected and asks again is heard when it may be.
                self.turn_deaf(self.app.clock.now(), retry_after_ms);
            }
            Slow::Answer(re, answer) => {
                self.judge(&answer);
                self.answer(re, &answer);
            }
            Slow::Entered(entered) => self.enter(*entered),
        }
    }

    fn enter(&mut self, entered: Entered) {
        let Entered { re, identity, token, check, endings } = entered;
        if let Err(why) = self.app.sessions.bind(&self.outbox, &identity) {
            self.app.metrics.connections_refused.inc();
            return self.outbox.end(why, 0);
        }
        let author = identity.user.clone();
        let session = identity.session;
        self.session.authenticate(identity);
        self.protocol.allow(self.app.limits.frame_len_max);
        self.outbox.judge(None);
        // Of a token in the head of its upgrade nobody has asked: 0 is the number of no request.
        self.answer(re.unwrap_or(0), &Answer::Session { author, token });
        if self.app.auth.accounts().endings() != endings {
            // A session ended meanwhile; whether it was this one is asked again, before anything
            // else is served. From here on its end finds this connection.
            let app = Arc::clone(&self.app);
            self.slow = Some(Box::pin(async move {
                if app.auth.authenticate(&check).await.is_err() {
                    app.sessions.end(session);
                }
                Slow::Done
            }));
        }
    }

    fn answer(&mut self, re: u32, answer: &Answer) {
        let mut bytes = Vec::new();
        self.outbox.form.answer(re, answer, &mut bytes);
        self.say(bytes, 1);
    }
}

/// What reads the state that commands change waits for those this connection sent before: who joins
/// and then asks for history has joined.
fn needs_quiet(what: &What) -> bool {
    match what {
        What::History { .. }
        | What::Pins { .. }
        | What::Read { .. }
        | What::Unread { .. }
        | What::Members { .. }
        | What::Typing { .. }
        | What::Search { .. }
        | What::Subscribe { .. }
        | What::Unsubscribe { .. }
        | What::ListRooms(_)
        | What::ListWords { .. }
        | What::Moderation(_)
        | What::DeleteAccount { .. }
        | What::Logout => true,
        What::Register { .. }
        | What::ResetPassword { .. }
        | What::EnterAsGuest { .. }
        | What::Account(_)
        | What::Login { .. }
        | What::Authenticate { .. }
        | What::CreateRoom { .. }
        | What::Command { .. }
        | What::Moderate { .. }
        | What::OpenDirect { .. }
        | What::JoinByLink { .. }
        | What::Contacts
        | What::SetContacts { .. }
        | What::RoomDefaults
        | What::SetRoomDefaults { .. }
        | What::SetAvatar { .. }
        | What::SetRoomAvatar { .. }
        | What::SetLevel { .. }
        | What::Carry { .. }
        | What::Ping
        | What::Refused(_) => false,
    }
}

/// By a password, old or new, or for a while without.
fn come_in(app: Arc<App>, re: u32, what: What, address: AddressKey) -> Future_ {
    Box::pin(async move {
        let (auth, endings) = (&app.auth, app.auth.accounts().endings());
        let made = match what {
            What::Register { name, password, link } => {
                auth.register(&name, password, &link, address).await
            }
            What::ResetPassword { link, password } => {
                auth.reset_password(&link, password, address).await
            }
            What::Login { name, password } => auth.login(&name, password, address).await,
            What::EnterAsGuest { name } => auth.enter_as_guest(&name, address).await,
            _ => unreachable!("nobody comes in by it"),
        };
        entered(re, made.map(|login| (login, endings)))
    })
}

fn entered(re: u32, made: Result<(crate::auth::Login, u64), Rejection>) -> Slow {
    match made {
        Ok((login, endings)) => {
            let token = login.token.reveal().to_owned();
            Slow::Entered(Box::new(Entered {
                re: Some(re),
                identity: Identity { user: login.user, session: login.session },
                check: token.clone(),
                token: Some(token),
                endings,
            }))
        }
        Err(rejection) => Slow::Answer(re, Answer::Rejected(rejection)),
    }
}

async fn authenticate(app: &App, token: String) -> Result<Entered, Rejection> {
    let endings = app.auth.accounts().endings();
    let known = app.auth.authenticate(&token).await?;
    app.auth.may_come_in(known.user.id)?;
    let identity = Identity { user: known.user, session: known.session };
    Ok(Entered { re: None, identity, token: None, check: token, endings })
}

/// The token of a request's head. A wrong one leaves the connection anonymous, and counts as a
/// refusal; it may still log in.
pub(super) fn authenticate_silently(app: &Arc<App>, token: String) -> Future_ {
    let app = Arc::clone(app);
    Box::pin(async move {
        match authenticate(&app, token).await {
            Ok(entered) => Slow::Entered(Box::new(entered)),
            Err(rejection) => Slow::Refused(rejection),
        }
    })
}

/// Gives the connection what it missed and lets it hear what follows, without a gap between the two.
async fn subscribe(
    app: &App,
    outbox: &Arc<Outbox>,
    user: &Author,
    room: RoomId,
    from: Option<Position>,
    re: u32,
) -> Result<(), Rejection> {
    let reading = app.directory.reading(user.id, room, Operation::Subscribe)?;
    let mut from = match from {
        None => None,
        // Between a place before its joining and that, there is what it may not read.
        Some(position)
            if position.epoch != app.epoch
                || position.seq > reading.head
                || !reading.goes_on_from(position.seq) =>
        {
            return Err(Rejection::TooOld);
        }
        Some(position) if planted(Fault::ResumeOffByOne) => {
            Some(position.seq.next().min(reading.head))
        }
        Some(position) => Some(position.seq),
    };
    let limit = app.limits.resume_events_max;
    let mut begun = false;
    loop {
        let (done, attached) = oneshot::channel();
        let outbox_ = Arc::clone(outbox);
        let since = app.history.since(room);
        let attach = Attach { room, user: user.id, outbox: outbox_, from, limit, since, re, done };
        app.fanout_of(room).ask(Order::Attach(attach));
        match attached.await.map_err(|_| Rejection::Unavailable)? {
            Attached::Done => return Ok(()),
            Attached::Refused(rejection) => return Err(rejection),
            Attached::Behind => {
                let after = from.unwrap_or(Seq::ZERO);
                let head = app.directory.goes_on(user.id, room, after)?;
                let gap = app.gap(room, (after, head)).await?;
                // Asked again: one who was removed meanwhile reads nothing of what followed.
                app.directory.goes_on(user.id, room, after)?;
                match gap {
                    Gap::Events { events, through } => {
                        send_paced(app, outbox, (user.id, room, after), &events).await?;
                        from = Some(through);
                    }
                    Gap::TooOld if !begun => return Err(Rejection::TooOld),
                    Gap::TooOld => {
                        // It was given a part, and the room has run away from it meanwhile.
                        outbox.end(Disconnect::Slow, 0);
                        return Ok(());
                    }
                }
                begun = true;
            }
        }
    }
}

/// Sends the events that follow a place as fast as the peer reads them: what it asked for never makes it too
/// slow. One who was removed since it asked is sent no more, nor, having come back, what was said between.
async fn send_paced(
    app: &App,
    outbox: &Outbox,
    (user, room, mut sent): (UserId, RoomId, Seq),
    events: &[Arc<Event>],
) -> Result<(), Rejection> {
    let mut writer = Writer::default();
    let mut bytes = Vec::new();
    let mut frames = 0;
    for (i, event) in events.iter().enumerate() {
        outbox.form.event(event, &mut bytes);
        frames += 1;
        if bytes.len() < UNREAD_MAX / 4 && i + 1 < events.len() {
            continue;
        }
        app.directory.goes_on(user, room, sent)?;
        sent = event.seq;
        outbox.answer(std::mem::take(&mut bytes), std::mem::take(&mut frames), &mut writer);
        // Polled by the connection's own task, which writes what waits between two polls.
        poll_fn(|_| {
            let may =
                outbox.room_or_tell(UNREAD_MAX) || outbox.ending().is_some() || outbox.is_gone();
            if may { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    app.metrics.deliveries.inc_by(events.len() as u64);
    writer.count_into(&app.metrics);
    Ok(())
}
