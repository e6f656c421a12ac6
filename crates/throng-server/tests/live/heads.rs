//! Who knows what when: a turn is in the tail, then in the directory, then told. Whoever reads between two of
//! them gets each event once, and one who is removed and comes back while it reads gets nothing of what was
//! between where that is not for it.

use std::sync::Arc;

use throng_core::{Author, Body, Event, EventKind, Seq, Timestamp, Username};
use throng_server::fanout::Told;
use throng_server::log::TurnId;
use throng_server::operations::posts::TurnTimes;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act, HistoryFor, Position};

use super::client::{Client, Speak, body, refused};
use super::moderation::{applied, moderate};
use super::slow::{Asking, MEMBERS, POSTS, Server, room, user};

/// The newest place that the store has.
const HEAD: u64 = 1 + MEMBERS + POSTS;
/// Reads of history that may be under way at a time.
const READS: usize = 64;

/// A turn of one more post, as the shard decides it.
fn turn(seq: u64) -> Vec<Arc<Event>> {
    let author = Author { id: user(3), name: Username::parse("user3").unwrap() };
    let (n, body) = (seq - 1 - MEMBERS, Body::parse(format!("post {seq}")).unwrap());
    let kind = EventKind::Posted { n, author, origin_id: None, body, extras: None };
    let at = Timestamp(1_790_000_000_000 + seq);
    let (seq, prev) = (Seq(seq), Seq(seq - 1));
    vec![Arc::new(Event { room: room(), seq, prev, pushed: true, at, kind })]
}

/// Takes the turn of this number as far as the sequencer has come after so many of its steps: each takes
/// what is not done before.
fn carry_out(server: &Server, number: u64, events: &[Arc<Event>], steps: std::ops::Range<usize>) {
    for step in steps {
        match step {
            0 => server.app.tail.insert(TurnId(number), events),
            1 => server.app.directory.update(events),
            _ => {
                let (events, times) = (events.to_vec(), TurnTimes::default());
                let told = Told { answers: Vec::new(), events, waited: Vec::new(), times };
                server.app.fanout_of(room()).tell(told);
            }
        }
    }
}

#[test]
fn who_resumes_between_two_steps_of_a_commit_gets_each_event_once() {
    let server = Server::start();
    server.store.open();
    server.join_in("user1");
    let token = server.join_in("user2").token.clone();
    for (number, done) in (1..).zip(0..=3) {
        let seq = HEAD + number;
        let events = turn(seq);
        carry_out(&server, number, &events, 0..done);
        let mut back = Client::connect(server.http, Speak::Json);
        back.authenticate(&token);
        let from = seq - 101;
        let Outcome::Subscribed(to) = back.subscribe(1, Some(from)) else { panic!("refused") };
        let position = to.position.unwrap().seq;
        assert_eq!(position, if done < 2 { seq - 1 } else { seq }, "after {done} steps");
        assert_eq!(back.events.len() as u64, position - from, "the gap is whole and no more");
        carry_out(&server, number, &events, done..3);
        // By the answer to a ping whatever came twice has come.
        let mut heard: Vec<(u64, u64)> = Vec::new();
        while heard.last().is_none_or(|(newest, _)| *newest < seq) {
            let event = back.event();
            heard.push((event.seq, event.prev));
        }
        assert!(matches!(back.ask(Request::Ping(v1::Ping {})), Outcome::Pong(_)));
        heard.extend(back.events.drain(..).map(|event| (event.seq, event.prev)));
        assert_eq!(heard, (from + 1..=seq).map(|at| (at, at - 1)).collect::<Vec<_>>(), "{done}");
    }
}

/// From now on what was said is for those who had joined by then.
fn for_those_who_were_there(owner: &mut Client) {
    let history = HistoryFor::Joining as i32;
    applied(owner.ask(Request::SetRoom(v1::SetRoom { room: 1, history, ..Default::default() })));
}

/// Has one removed, says something, and lets it come back; the place where it does.
fn removed_and_back(server: &Server, owner: &mut Client, who: &Client) -> u64 {
    applied(owner.ask(moderate(1, Act::Kick, who.user)));
    owner.post(1, "between");
    let mut other = Client::connect(server.http, Speak::Json);
    other.authenticate(&who.token);
    other.join(1).seq
}

#[test]
fn one_who_was_removed_and_came_back_resumes_nothing_of_what_was_between() {
    let server = Server::start();
    let mut owner = server.join_in("user1");
    let mut away = server.join_in("user2");
    for_those_who_were_there(&mut owner);
    let from = Some(Position { epoch: away.epoch, seq: HEAD - 100 });
    let id = away.send(Request::Subscribe(v1::Subscribe { room: 1, from }));
    server.store.wait_for(1);
    let joined = removed_and_back(&server, &mut owner, &away);
    server.store.open();
    assert_eq!(refused(&away.answer(id)), 207, "between it was not there");
    assert!(away.events.is_empty(), "{:?}", away.events);
    // From where it came back on it is as before.
    assert!(matches!(away.subscribe(1, Some(joined)), Outcome::Subscribed(_)));
    owner.post(1, "news");
    assert_eq!(body(&away.event()), "news");
}

#[test]
fn a_page_that_was_read_late_shows_one_who_came_back_nothing_of_what_was_between() {
    let server = Server::start();
    let mut owner = server.join_in("user1");
    let away = server.join_in("user2");
    for_those_who_were_there(&mut owner);
    // As many as may read at a time: the next one waits, and then reads what is there by then.
    let mut others: Vec<Asking> = (1..=READS as u32).map(|limit| server.ask(1, limit)).collect();
    for other in &mut others {
        assert!(server.begin(other).is_none());
    }
    server.store.wait_for(READS);
    let mut asking = server.ask(2, 90);
    assert!(server.begin(&mut asking).is_none());
    let joined = removed_and_back(&server, &mut owner, &away);
    server.store.open();
    let page = server.runtime.block_on(asking).unwrap();
    let places: Vec<u64> = page.events.iter().map(|event| event.seq.0).collect();
    assert_eq!(
        places,
        [joined],
        "what was said between is not for it, nor what it might read before"
    );
}

#[test]
fn a_page_shows_nothing_of_which_it_is_not_known_yet_whom_it_removes() {
    let server = Server::start();
    server.store.open();
    server.join_in("user1");
    server.join_in("user2");
    let events = turn(HEAD + 1);
    for (steps, newest) in [(0..1, HEAD), (1..2, HEAD + 1)] {
        carry_out(&server, 1, &events, steps);
        let page = server.runtime.block_on(server.ask(2, 50)).unwrap();
        assert_eq!(page.events.last().map(|event| event.seq.0), Some(newest));
    }
}
