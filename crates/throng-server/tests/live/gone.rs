//! Taking away what one has said whose account is gone, or who was a guest.

use std::time::Duration;

use throng_server::auth::Guests;
use throng_server::clock::Clock;
use throng_server::config::Fate;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::{Client, Speak, body, refused};
use super::guests::guest;
use super::moderation::{applied, moderate};
use super::rights::http;

const NO_SUCH_USER: u32 = 214;

fn delete_account(client: &mut Client) {
    let password = "correct horse".to_owned();
    let asked = client.send(Request::DeleteAccount(v1::DeleteAccount { password }));
    assert!(matches!(client.answer(asked), Outcome::Done(_)));
}

fn texts(client: &mut Client, room: u32) -> Vec<String> {
    let asked = Request::History(v1::History { room, ..v1::History::default() });
    let Outcome::Page(page) = client.ask(asked) else { panic!("no page") };
    page.events.iter().map(body).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

#[test]
fn what_one_has_said_is_taken_away_also_when_its_account_is_gone() {
    for fate in [Fate::Kept, Fate::Anonymous] {
        let server = Server::with(|settings| settings.deleted_messages = fate);
        let mut host = server.join_in(Speak::Json, "host");
        let room = host.create("tea");
        let mut spammer = server.join_in(Speak::Protobuf, "spammer");
        spammer.join(room);
        spammer.post(room, "buy");
        host.post(room, "do not");
        delete_account(&mut spammer);
        assert_eq!(texts(&mut host, room), ["buy", "do not"]);
        let ban = moderate(room, Act::Ban, spammer.user);
        assert_eq!(refused(&host.ask(ban)), NO_SUCH_USER, "it says nothing any more");
        let never = moderate(room, Act::DeleteAll, spammer.user + 1_000);
        assert_eq!(refused(&host.ask(never)), NO_SUCH_USER);
        let by_name = r#"{"act":"delete_all","name":"Spammer"}"#;
        let path = format!("/rooms/{room}/moderation");
        let told = http(&server, &host.token, "POST", &path, by_name).0;
        assert_eq!(told, if fate == Fate::Kept { 0 } else { NO_SUCH_USER }, "{fate:?}");
        let swept = moderate(room, Act::DeleteAll, spammer.user);
        assert!(!applied(host.ask(swept)).already);
        assert_eq!(texts(&mut host, room), ["do not"]);
    }
}

#[test]
fn what_a_guest_has_said_is_taken_away_when_it_is_remembered_no_more() {
    let clock = Clock::manual();
    let server = Server::at(clock.clone(), |settings| settings.guests = Guests::On);
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut gus = guest(&server, Speak::Raw, "gus");
    gus.join(room);
    gus.post(room, "buy");
    let done = gus.send(Request::Logout(v1::Logout {}));
    assert!(matches!(gus.answer(done), Outcome::Done(_)));
    while !matches!(host.event().what, Some(What::Left(_))) {}
    clock.advance(Duration::from_hours(24 * 8));
    // Its connection is silent for too long by this clock: over REST from here on.
    let ask = |path: &str, body: &str| http(&server, &host.token, "POST", path, body).0;
    let block = format!(r#"{{"user":{}}}"#, gus.user);
    while ask("/blocked", &block) == 0 {
        // What is remembered is looked through twice a second; the rate of requests goes by this clock.
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(ask("/blocked", &block), NO_SUCH_USER, "it is forgotten");
    let path = format!("/rooms/{room}/moderation");
    let all_of = |user: u64| format!(r#"{{"act":"delete_all","user":{user}}}"#);
    assert_eq!(ask(&path, &all_of(gus.user)), 0);
    let page = http(&server, &host.token, "GET", &format!("/rooms/{room}/messages"), "").1;
    assert!(page.contains(r#""deleted":true"#) && !page.contains("buy"), "{page}");
    assert_eq!(ask(&path, &all_of(gus.user + 9)), NO_SUCH_USER);
}
