//! An account's own life, over every form and REST: sessions, passwords, invitations.

use serde_json::Value;
use throng_server::auth::SignUp;
use throng_server::auth::token::Token;
use throng_server::config::Fate;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, SessionInfo};

use super::Server;
use super::client::{Client, Speak, refused};
use super::rights::http;

const FORBIDDEN: u32 = 210;
const BAD_TOKEN: u32 = 202;
const WRONG: u32 = 201;
const CLOSED: u32 = 260;
const INVITATION_NEEDED: u32 = 264;
const BAD_LINK: u32 = 261;
const NO_SUCH_SESSION: u32 = 262;

fn sessions(client: &mut Client) -> Vec<SessionInfo> {
    match client.ask(Request::ListSessions(v1::ListSessions {})) {
        Outcome::Sessions(list) => list.sessions,
        other => panic!("{other:?} is no list"),
    }
}

pub fn login(server: &Server, speak: Speak, name: &str, password: &str) -> (Client, Outcome) {
    let mut client = server.connect(speak);
    let (name, password) = (name.to_owned(), password.to_owned());
    let outcome = client.ask(Request::Login(v1::Login { name, password }));
    (client, outcome)
}

pub fn register(server: &Server, speak: Speak, name: &str, link: &str) -> (Client, Outcome) {
    let mut client = server.connect(speak);
    let (name, link, password) = (name.to_owned(), link.to_owned(), "correct horse".to_owned());
    let outcome = client.ask(Request::Register(v1::Register { name, password, link }));
    (client, outcome)
}

fn change(password: &str, new_password: &str) -> Request {
    let (password, new_password) = (password.to_owned(), new_password.to_owned());
    Request::ChangePassword(v1::ChangePassword { password, new_password })
}

#[test]
fn a_session_that_is_ended_from_the_list_is_refused_and_its_connections_are_closed() {
    let server = Server::start();
    for (number, speak) in Speak::ALL.into_iter().enumerate() {
        let name = format!("anna{number}");
        let mut first = server.join_in(speak, &name);
        let token = first.token.clone();
        let [mut second, mut third] =
            [Speak::Raw, Speak::Json].map(|speak| login(&server, speak, &name, "correct horse").0);
        let list = sessions(&mut first);
        assert_eq!(list.len(), 3);
        let current: Vec<u64> = list.iter().filter(|it| it.current).map(|it| it.id).collect();
        let others: Vec<u64> = list.iter().filter(|it| !it.current).map(|it| it.id).collect();
        assert_eq!((current.len(), others.len()), (1, 2));
        // The newest is that of `third`; one is ended over the connection, one over REST.
        let ended = Request::EndSession(v1::EndSession { session: others[0] });
        assert!(matches!(first.ask(ended.clone()), Outcome::Done(_)));
        assert_eq!(third.farewell().code, 4401);
        assert_eq!(refused(&first.ask(ended)), NO_SUCH_SESSION);
        let path = format!("/sessions/{}", others[1]);
        assert_eq!(http(&server, &token, "DELETE", &path, "").0, 0);
        assert_eq!(second.farewell().code, 4401);
        assert_eq!(http(&server, &token, "DELETE", &path, "").0, NO_SUCH_SESSION);
        assert_eq!(http(&server, &token, "DELETE", "/sessions/x", "").0, NO_SUCH_SESSION);
        // One's own: the answer, then the farewell.
        let own = first.send(Request::EndSession(v1::EndSession { session: current[0] }));
        assert!(matches!(first.answer(own), Outcome::Done(_)));
        assert_eq!(first.farewell().code, 4401);
        assert_eq!(http(&server, &token, "GET", "/sessions", "").0, BAD_TOKEN);
    }
}

#[test]
fn a_session_of_another_account_is_as_if_it_were_not_there() {
    let server = Server::start();
    let mut anna = server.join_in(Speak::Json, "anna");
    let mut bert = server.join_in(Speak::Json, "bert");
    let session = sessions(&mut anna)[0].id;
    let end = |session| Request::EndSession(v1::EndSession { session });
    assert_eq!(refused(&bert.ask(end(session))), NO_SUCH_SESSION);
    assert_eq!(refused(&bert.ask(end(999))), NO_SUCH_SESSION);
    let other = http(&server, &bert.token, "DELETE", &format!("/sessions/{session}"), "");
    let none = http(&server, &bert.token, "DELETE", "/sessions/999", "");
    assert_eq!(other, none);
    assert_eq!(sessions(&mut anna).len(), 1);
}

#[test]
fn another_password_ends_all_other_sessions_and_the_old_one_enters_no_more() {
    let server = Server::with(|settings| settings.limits.logins_per_minute_account = 100);
    for (number, speak) in Speak::ALL.into_iter().enumerate() {
        let name = format!("anna{number}");
        let mut first = server.join_in(speak, &name);
        let (mut second, _) = login(&server, speak, &name, "correct horse");
        assert_eq!(refused(&first.ask(change("wrong horse", "staple horse"))), WRONG);
        assert_eq!(refused(&first.ask(change("correct horse", "short"))), 103);
        assert!(matches!(second.ask(Request::Ping(v1::Ping {})), Outcome::Pong(_)));
        assert!(matches!(first.ask(change("correct horse", "staple horse")), Outcome::Done(_)));
        assert_eq!(second.farewell().code, 4401);
        assert!(matches!(first.ask(Request::Ping(v1::Ping {})), Outcome::Pong(_)));
        assert_eq!(refused(&login(&server, speak, &name, "correct horse").1), WRONG);
        let (mut third, entered) = login(&server, speak, &name, "staple horse");
        assert!(matches!(entered, Outcome::Session(_)));
        let body = r#"{"password":"staple horse","new_password":"horse battery"}"#;
        assert_eq!(http(&server, &first.token, "PUT", "/password", body).0, 0);
        assert_eq!(third.farewell().code, 4401);
    }
}

#[test]
fn a_password_is_tried_by_changing_it_as_often_as_by_logging_in_and_no_more() {
    let server = Server::with(|settings| settings.limits.logins_per_minute_account = 3);
    let mut anna = server.join_in(Speak::Json, "anna");
    for _ in 0..3 {
        assert_eq!(refused(&anna.ask(change("wrong horse", "staple horse"))), WRONG);
    }
    assert_eq!(refused(&anna.ask(change("wrong horse", "staple horse"))), 300);
    assert_eq!(refused(&login(&server, Speak::Json, "anna", "correct horse").1), 300);
}

/// The first administrator, who came by the server's own link.
fn administrator(server: &Server, speak: Speak) -> (Client, Token) {
    let runtime = server.runtime.as_ref().unwrap();
    let offer = || runtime.block_on(server.app().auth.offer_administrator()).unwrap();
    let link = offer().expect("there is none yet");
    let (mut client, made) = register(server, speak, "admin", link.reveal());
    match made {
        Outcome::Session(session) => client.token = session.token,
        other => panic!("{other:?}"),
    }
    assert!(offer().is_none(), "there is one now");
    (client, link)
}

fn invite(client: &mut Client, uses: u32) -> Outcome {
    client.ask(Request::InvitePeople(v1::InvitePeople { uses, hours: 1 }))
}

#[test]
fn where_an_invitation_is_needed_each_lets_in_as_many_as_it_says() {
    for speak in Speak::ALL {
        let server = Server::with(|settings| settings.sign_up = Some(SignUp::Invite));
        assert_eq!(refused(&register(&server, speak, "anna", "").1), INVITATION_NEEDED);
        assert_eq!(refused(&register(&server, speak, "anna", "no link").1), BAD_LINK);
        let (mut admin, link) = administrator(&server, speak);
        assert_eq!(refused(&register(&server, speak, "anna", link.reveal()).1), BAD_LINK);
        let Outcome::Invitation(made) = invite(&mut admin, 2) else { panic!("no invitation") };
        assert_eq!(made.uses, 2);
        let (mut anna, entered) = register(&server, speak, "anna", &made.link);
        assert!(matches!(entered, Outcome::Session(_)));
        // A name that is taken uses nothing up.
        assert_eq!(refused(&register(&server, speak, "anna", &made.link).1), 203);
        assert!(matches!(register(&server, speak, "bert", &made.link).1, Outcome::Session(_)));
        assert_eq!(refused(&register(&server, speak, "carl", &made.link).1), BAD_LINK);
        // Who was invited invites nobody.
        assert_eq!(refused(&invite(&mut anna, 1)), FORBIDDEN);
        let end = Request::EndInvitations(v1::EndInvitations {});
        assert_eq!(refused(&anna.ask(end.clone())), FORBIDDEN);
        let (code, answer) = http(&server, &admin.token, "POST", "/invitations", "{}");
        let json = answer.split_once("\n\n").expect("a head ends").1;
        let over_rest: Value = serde_json::from_str(json).unwrap();
        assert_eq!((code, &over_rest["uses"]), (0, &1.into()));
        assert!(matches!(admin.ask(end), Outcome::Done(_)));
        let link = over_rest["link"].as_str().unwrap();
        assert_eq!(refused(&register(&server, speak, "carl", link).1), BAD_LINK);
    }
}

#[test]
fn a_closed_server_takes_its_first_administrator_and_nobody_else() {
    let server = Server::with(|settings| settings.sign_up = Some(SignUp::Closed));
    assert_eq!(refused(&register(&server, Speak::Json, "anna", "").1), CLOSED);
    let (mut admin, _) = administrator(&server, Speak::Json);
    // An invitation would let nobody in: none is made.
    assert_eq!(refused(&invite(&mut admin, 1)), CLOSED);
    assert_eq!(http(&server, &admin.token, "POST", "/invitations", "{}").0, CLOSED);
}

#[test]
fn an_invitation_of_before_the_server_was_closed_lets_nobody_in_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let on = |sign_up| {
        Server::with(|settings| {
            settings.memory = false;
            folder.path().clone_into(&mut settings.data);
            settings.limits.disk_free_min = 0;
            settings.sign_up = Some(sign_up);
        })
    };
    let mut open = on(SignUp::Invite);
    let (mut admin, _) = administrator(&open, Speak::Json);
    let Outcome::Invitation(made) = invite(&mut admin, 1) else { panic!("no invitation") };
    open.stop();
    let closed = on(SignUp::Closed);
    let Outcome::Rejected(told) = register(&closed, Speak::Raw, "anna", &made.link).1 else {
        panic!("let in")
    };
    assert_eq!(told.code, CLOSED);
    assert!(!told.text.contains("invitation"), "{}", told.text);
    let body = format!(r#"{{"name":"anna","password":"correct horse","link":"{}"}}"#, made.link);
    assert_eq!(http(&closed, "", "POST", "/accounts", &body).0, CLOSED);
}

#[test]
fn an_invitation_is_bounded_in_uses_hours_and_number() {
    const INVITATIONS_MAX: usize = 1_000;
    let server = Server::with(|settings| settings.limits.requests_burst = 10_000);
    let (mut admin, _) = administrator(&server, Speak::Raw);
    let mut ask = |uses, hours| admin.ask(Request::InvitePeople(v1::InvitePeople { uses, hours }));
    for (uses, hours) in [(1_001, 1), (1, 721)] {
        assert_eq!(refused(&ask(uses, hours)), 108, "{uses} {hours}");
    }
    for (uses, hours) in [(1_000, 720), (0, 0)] {
        assert!(matches!(ask(uses, hours), Outcome::Invitation(_)), "{uses} {hours}");
    }
    for _ in 2..INVITATIONS_MAX {
        assert!(matches!(ask(1, 1), Outcome::Invitation(_)));
    }
    assert_eq!(refused(&ask(1, 1)), 208);
}

#[test]
fn an_account_that_is_deleted_leaves_its_rooms_and_its_messages_as_the_server_says() {
    for (fate, speak) in [Fate::Kept, Fate::Erased].into_iter().zip([Speak::Raw, Speak::Json]) {
        let server = Server::with(|settings| {
            settings.deleted_messages = fate;
            settings.limits.sends_burst = 150;
        });
        let mut anna = server.join_in(speak, "anna");
        let (mut tab, _) = login(&server, Speak::Protobuf, "anna", "correct horse");
        let mut bert = server.join_in(Speak::Json, "bert");
        let room = anna.create("tea");
        assert!(matches!(bert.ask(Request::Join(v1::Join { room })), Outcome::Joined(_)));
        // More than a page, and more than may be deleted at once.
        for number in 0..120 {
            anna.post(room, &format!("{number}"));
        }
        bert.post(room, "mine stays");
        let end = |password: &str| {
            Request::DeleteAccount(v1::DeleteAccount { password: password.to_owned() })
        };
        assert_eq!(refused(&anna.ask(end("wrong horse"))), WRONG);
        let asked = anna.send(end("correct horse"));
        assert!(matches!(anna.answer(asked), Outcome::Done(_)));
        assert_eq!(anna.farewell().code, 4401);
        assert_eq!(tab.farewell().code, 4401);
        assert_eq!(refused(&login(&server, speak, "anna", "correct horse").1), WRONG);
        assert_eq!(refused(&register(&server, speak, "Anna", "").1), 203);
        let (mut mine, mut hers, mut erased) = (0, 0, 0);
        let mut after = 0;
        loop {
            let page = v1::History { room, after: Some(after), ..v1::History::default() };
            let Outcome::Page(page) = bert.ask(Request::History(page)) else { panic!("no page") };
            for event in &page.events {
                after = event.seq;
                if let Some(v1::event::What::Message(message)) = &event.what {
                    let of_bert = message.from.as_ref().unwrap().id == bert.user;
                    mine += u32::from(of_bert && message.body == "mine stays");
                    hers += u32::from(!of_bert && !message.body.is_empty());
                    erased += u32::from(!of_bert && message.deleted);
                }
            }
            if !page.more {
                break;
            }
        }
        let expected = if fate == Fate::Kept { (1, 120, 0) } else { (1, 0, 120) };
        assert_eq!((mine, hers, erased), expected, "{fate:?}");
        let list = v1::ListRooms { mine: true, ..v1::ListRooms::default() };
        let Outcome::Rooms(rooms) = bert.ask(Request::ListRooms(list)) else { panic!("no list") };
        assert_eq!(rooms.rooms[0].members, 1, "she is a member no longer");
    }
}

#[test]
fn an_account_is_deleted_over_rest_too_and_is_nobody_afterwards() {
    let server = Server::start();
    let anna = server.join_in(Speak::Json, "anna");
    let mut bert = server.join_in(Speak::Json, "bert");
    let room = bert.create("tea");
    let wrong = r#"{"password":"wrong horse"}"#;
    assert_eq!(http(&server, &anna.token, "DELETE", "/account", wrong).0, WRONG);
    let right = r#"{"password":"correct horse"}"#;
    assert_eq!(http(&server, &anna.token, "DELETE", "/account", right).0, 0);
    assert_eq!(http(&server, &anna.token, "DELETE", "/account", right).0, BAD_TOKEN);
    let ban =
        v1::Moderate { room, act: v1::Act::Ban as i32, user: anna.user, ..v1::Moderate::default() };
    assert_eq!(refused(&bert.ask(Request::Moderate(ban))), 214);
}
