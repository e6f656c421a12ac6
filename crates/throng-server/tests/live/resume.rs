//! Coming back: exactly the gap, or too old; and no race between history and what is live.

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Position};

use super::Server;
use super::client::{Speak, body, refused};

#[test]
fn a_returning_client_hears_exactly_what_it_missed() {
    let server = Server::start();
    let mut poster = server.join_in(Speak::Json, "poster");
    let room = poster.create("tea");
    for speak in Speak::ALL {
        let mut away = server.join_in(speak, &format!("{speak:?}"));
        let seen = away.join(room).seq;
        let token = away.token.clone();
        drop(away);
        let missed: Vec<u64> = (0..5).map(|i| poster.post(room, &format!("{i}")).seq).collect();
        let mut back = server.connect(speak);
        assert!(matches!(back.authenticate(&token), Outcome::Session(_)));
        let Outcome::Subscribed(subscribed) = back.subscribe(room, Some(seen)) else { panic!() };
        let heard: Vec<u64> = back.events.drain(..).map(|event| event.seq).collect();
        assert_eq!(heard, missed, "{speak:?}");
        assert_eq!(subscribed.position.unwrap().seq, missed[4]);
        let live = poster.post(room, "live").seq;
        let event = back.event();
        assert_eq!((event.seq, event.prev), (live, missed[4]));
    }
}

#[test]
fn a_gap_at_the_limit_is_given_and_one_above_it_is_too_old() {
    let server = Server::with(|settings| settings.limits.resume_events_max = 20);
    let mut poster = server.join_in(Speak::Raw, "poster");
    let room = poster.create("tea");
    for i in 0..30 {
        poster.post(room, &format!("{i}"));
    }
    let head = poster.post(room, "last").seq;
    for (missed, given) in [(19, true), (20, true), (21, false)] {
        let mut client = server.connect(Speak::Json);
        client.authenticate(&poster.token.clone());
        let outcome = client.subscribe(room, Some(head - missed));
        if given {
            assert!(matches!(outcome, Outcome::Subscribed(_)), "{missed}: {outcome:?}");
            assert_eq!(client.events.len() as u64, missed);
        } else {
            assert_eq!(refused(&outcome), 207);
            assert!(client.events.is_empty(), "all or nothing");
        }
    }
}

#[test]
fn a_place_of_another_life_or_of_the_future_is_too_old() {
    let server = Server::start();
    let mut client = server.join_in(Speak::Json, "anna");
    let room = client.create("tea");
    for (epoch, seq) in [(client.epoch ^ 1, 1), (client.epoch, 99)] {
        let from = Some(Position { epoch, seq });
        let outcome = client.ask(Request::Subscribe(v1::Subscribe { room, from }));
        assert_eq!(refused(&outcome), 207);
    }
}

#[test]
fn history_goes_up_to_n_and_live_begins_at_n_and_one_under_load() {
    let server = Server::with(|settings| {
        settings.limits.sends_burst = 100_000;
        settings.limits.requests_burst = 100_000;
        settings.limits.resume_events_max = 100_000;
        settings.limits.connections_per_user = 1_000;
        settings.limits.connections_per_address = 1_000;
    });
    let mut poster = server.join_in(Speak::Raw, "poster");
    let room = poster.create("tea");
    let token = poster.token.clone();
    std::thread::scope(|scope| {
        let posting = scope.spawn(|| {
            for round in 0..60 {
                let requests = (0..20).map(|i| super::client::post(room, &format!("{round} {i}")));
                let last = poster.send_all(requests);
                for id in last - 19..=last {
                    poster.answer(id);
                }
                poster.events.clear();
            }
        });
        let mut rounds = 0;
        while !posting.is_finished() || rounds == 0 {
            for speak in Speak::ALL {
                let mut client = server.connect(speak);
                client.authenticate(&token);
                let Outcome::Subscribed(to) = client.subscribe(room, Some(0)) else { panic!() };
                let to = to.position.unwrap().seq;
                let history: Vec<u64> = client.events.drain(..).map(|event| event.seq).collect();
                assert!(
                    history.iter().copied().eq(1..=to),
                    "the gap to {to} is whole: {history:?}"
                );
                if !posting.is_finished() {
                    let mut prev = to;
                    for _ in 0..5.min(1_202 - to) {
                        let event = client.event();
                        assert_eq!((event.seq, event.prev), (prev + 1, prev), "live is dense");
                        prev = event.seq;
                    }
                }
            }
            rounds += 1;
        }
        posting.join().unwrap();
    });
}

#[test]
fn a_page_has_what_is_asked_for_from_either_end() {
    let server = Server::start();
    let mut client = server.join_in(Speak::Protobuf, "anna");
    let room = client.create("tea");
    for i in 0..10 {
        client.post(room, &format!("{i}"));
    }
    let mut page = |before, after, limit| {
        let asked = v1::History { room, before, after, limit };
        match client.ask(Request::History(asked)) {
            Outcome::Page(page) => (page.events, page.more),
            other => panic!("{other:?}"),
        }
    };
    let (events, more) = page(None, Some(2), 3);
    assert_eq!(events.iter().map(body).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert!(more);
    let (events, more) = page(Some(13), None, 4);
    assert_eq!(events.iter().map(body).collect::<Vec<_>>(), ["6", "7", "8", "9"]);
    assert!(more);
    let (events, more) = page(None, Some(10), 0);
    assert_eq!((events.len(), more), (2, false));
}

#[test]
fn one_who_does_not_belong_learns_nothing_of_a_room() {
    let server = Server::start();
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut stranger = server.join_in(Speak::Json, "stranger");
    assert_eq!(refused(&stranger.subscribe(room, None)), 206);
    let page = Request::History(v1::History { room, ..v1::History::default() });
    assert_eq!(refused(&stranger.ask(page)), 206);
    assert_eq!(refused(&stranger.ask(super::client::post(room, "hi"))), 206);
    host.post(room, "secret");
    assert!(matches!(stranger.ask(Request::Ping(v1::Ping {})), Outcome::Pong(_)));
    assert!(stranger.events.is_empty());
}
