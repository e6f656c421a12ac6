//! Who is sent away waits, and nobody else does; who is refused too often is read at the rate of refusals.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use throng_server::clock::Clock;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Rejected};
use throng_wire::ws::handshake;

use super::Server;
use super::client::{Client, Speak, refused};
use super::rights::http_body;

const BAD_ROOM: u32 = 9_999;
const SECOND: Duration = Duration::from_secs(1);

fn page() -> Request {
    Request::History(v1::History { room: BAD_ROOM, ..v1::History::default() })
}

/// Asks for what it may not until it is sent away.
fn flood(client: &mut Client, refusals_max: usize) {
    for _ in 1..refusals_max {
        assert_eq!(refused(&client.ask(page())), 205);
    }
    client.send(page());
    assert_eq!(client.farewell().code, 4402);
}

/// What one who shows this token is told.
fn shown(client: &mut Client, token: &str) -> Result<u64, Rejected> {
    match client.ask(Request::Authenticate(v1::Authenticate { token: token.into() })) {
        Outcome::Session(session) => Ok(session.user.unwrap().id),
        Outcome::Rejected(rejected) => Err(rejected),
        other => panic!("{other:?}"),
    }
}

/// Status and head of the answer to an upgrade.
fn upgrade(server: &Server, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.http).unwrap();
    let key = handshake::key([1; 16]);
    let host = server.http.to_string();
    stream.write_all(&handshake::request(&host, "/ws", &key, "throng.v1.json", headers)).unwrap();
    let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let len = stream.read(&mut chunk).unwrap();
        assert!(len > 0, "{}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&chunk[..len]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    (head[9..12].parse().unwrap(), head)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn an_account_that_was_sent_away_waits_ever_longer_by_every_way_in_and_its_neighbours_do_not() {
    for speak in Speak::ALL {
        let clock = Clock::manual();
        let server = Server::at(clock.clone(), |settings| settings.limits.refusals_max = 5);
        let mut client = server.join_in(speak, "anna");
        let neighbour = server.join_in(speak, "bert").token;
        let token = client.token.clone();
        for wait in [1_000_u32, 2_000, 4_000] {
            flood(&mut client, 5);
            let mut again = server.connect(speak);
            let told = shown(&mut again, &token).unwrap_err();
            assert_eq!((told.code, told.retry_after_ms), (300, Some(wait)), "{speak:?}");
            assert!(shown(&mut server.connect(speak), &neighbour).is_ok(), "{speak:?}");
            // By its password, and with its token at the door.
            let login = serde_json::json!({"name": "anna", "password": "correct horse"});
            let login = http_body(&server, "", "POST", "/sessions", &login.to_string());
            assert_eq!(login["rejected"]["retry_after_ms"], wait, "{login}");
            let (status, head) = upgrade(&server, &bearer(&token));
            let seconds = format!("\r\nretry-after: {}\r\n", wait / 1_000);
            assert!(status == 429 && head.contains(&seconds), "{head}");
            assert_eq!(upgrade(&server, &bearer(&neighbour)).0, 101);
            clock.advance(Duration::from_millis(u64::from(wait) - 1));
            assert!(shown(&mut server.connect(speak), &token).is_err(), "{speak:?}");
            clock.advance(Duration::from_millis(1));
            client = server.connect(speak);
            assert!(shown(&mut client, &token).is_ok(), "{speak:?}");
        }
    }
}

#[test]
fn who_stays_connected_while_it_waits_is_heard_when_its_time_has_come() {
    let clock = Clock::manual();
    let server = Server::at(clock.clone(), |settings| settings.limits.refusals_max = 5);
    let mut client = server.join_in(Speak::Json, "anna");
    let token = client.token.clone();
    flood(&mut client, 5);
    let mut again = server.connect(Speak::Json);
    assert!(shown(&mut again, &token).is_err());
    // Asked too early, it is answered in its time and not refused once more.
    let early = again.send(Request::Authenticate(v1::Authenticate { token }));
    let before = server.app().metrics.rejections.get();
    let mut bert = server.join_in(Speak::Raw, "bert");
    assert!(matches!(bert.ask(Request::Ping(v1::Ping {})), Outcome::Pong(_)));
    clock.advance(SECOND);
    assert!(matches!(again.answer(early), Outcome::Session(_)));
    assert_eq!(server.app().metrics.rejections.get(), before);
}

#[test]
fn an_address_whose_nobodies_were_sent_away_too_often_waits_and_a_good_token_passes() {
    let clock = Clock::manual();
    let server = Server::at(clock.clone(), |settings| {
        settings.limits.refusals_max = 1;
        settings.limits.abuses_per_minute_address = 3;
    });
    let anna = server.join_in(Speak::Json, "anna");
    for _ in 0..3 {
        let mut nobody = server.connect(Speak::Raw);
        nobody.send(page());
        assert_eq!(nobody.farewell().code, 4402);
    }
    let (status, head) = upgrade(&server, "");
    assert!(status == 429 && head.contains("\r\nretry-after: 20\r\n"), "{head}");
    assert_eq!(upgrade(&server, &bearer("nonsense")).0, 429);
    assert_eq!(upgrade(&server, &bearer(&anna.token)).0, 101);
    let mut raw = TcpStream::connect(server.raw).unwrap();
    assert_eq!(raw.read(&mut [0; 1]).unwrap_or(0), 0, "closed without a word");
    let rooms = http_body(&server, &anna.token, "GET", "/rooms", "");
    assert!(rooms["rooms"].is_array(), "REST has throttles of its own: {rooms}");
    clock.advance(SECOND * 19);
    assert_eq!(upgrade(&server, "").0, 429);
    clock.advance(SECOND);
    assert_eq!(upgrade(&server, "").0, 101);
}

#[test]
fn beyond_the_rate_of_refusals_nothing_is_read_until_another_may_be() {
    for speak in Speak::ALL {
        let clock = Clock::manual();
        let server = Server::at(clock.clone(), |settings| {
            settings.limits.refusals_burst = 5;
            settings.limits.refusals_per_second = 10;
        });
        let mut client = server.join_in(speak, "anna");
        let ping = || Request::Ping(v1::Ping {});
        for _ in 0..5 {
            assert_eq!(refused(&client.ask(page())), 205);
        }
        assert!(
            matches!(client.ask(ping()), Outcome::Pong(_)),
            "{speak:?}: at the limit it is heard"
        );
        assert_eq!(refused(&client.ask(page())), 205);
        // From here on it is not: two refusals and a ping wait for their time.
        let waiting = [page(), page(), ping()].map(|request| client.send(request));
        let before = server.app().metrics.rejections.get();
        clock.advance(Duration::from_millis(99));
        let mut bert = server.join_in(speak, "bert");
        assert!(matches!(bert.ask(ping()), Outcome::Pong(_)), "{speak:?}: others are heard");
        assert_eq!(server.app().metrics.rejections.get(), before, "{speak:?}");
        clock.advance(SECOND);
        assert_eq!(refused(&client.answer(waiting[0])), 205, "{speak:?}");
        assert_eq!(refused(&client.answer(waiting[1])), 205, "{speak:?}");
        assert!(matches!(client.answer(waiting[2]), Outcome::Pong(_)), "{speak:?}");
    }
}

/// One who was told farewell and sends on is read no further than what was on its way.
#[test]
fn one_that_was_sent_away_and_floods_on_is_cut() {
    let server = Server::with(|settings| settings.limits.refusals_max = 1);
    let mut client = server.join_in(Speak::Raw, "anna");
    client.send(page());
    assert_eq!(client.farewell().code, 4402);
    let flood = vec![0; 64 * 1024];
    let mut sent = 0_usize;
    // It reads nothing more, and never closes its side.
    while sent < 256 << 20 && client.stream.write_all(&flood).is_ok() {
        sent += flood.len();
    }
    assert!(sent < 256 << 20, "somebody read all of it");
    _ = client.stream.shutdown(Shutdown::Both);
}
