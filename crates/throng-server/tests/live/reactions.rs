//! Reactions and pins, from one socket to the others, in every form; and what a crowd that reacts does
//! to a page: little.

use throng_core::limits::{PINS_MAX, REACTION_LEN_MAX, REACTIONS_MAX};
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, ReactionCount};

use super::Server;
use super::client::{Client, Speak, refused};
use super::moderation::applied;

fn react(room: u32, seq: u64, reaction: &str) -> Request {
    Request::React(v1::React { room, seq, reaction: reaction.to_owned() })
}

fn unreact(room: u32, seq: u64, reaction: &str) -> Request {
    Request::Unreact(v1::Unreact { room, seq, reaction: reaction.to_owned() })
}

fn page(outcome: Outcome) -> v1::Page {
    match outcome {
        Outcome::Page(page) => page,
        other => panic!("{other:?} is no page"),
    }
}

/// What the message at this place was answered with, as this client is shown it.
fn shown(client: &mut Client, room: u32, seq: u64) -> Vec<(String, u32, bool)> {
    let asked = v1::History { room, after: Some(seq - 1), limit: 1, ..v1::History::default() };
    let page = page(client.ask(Request::History(asked)));
    let Some(What::Message(message)) = &page.events[0].what else { panic!("{page:?}") };
    let told = |it: &ReactionCount| (it.reaction.clone(), it.count, it.mine);
    message.reactions.iter().map(told).collect()
}

fn many(server: &Server, room: u32, count: usize) -> Vec<Client> {
    let speak = Speak::ALL.into_iter().cycle();
    let join = |(i, speak)| {
        let mut client = server.join_in(speak, &format!("user{i}"));
        client.join(room);
        client
    };
    (0..count).zip(speak).map(join).collect()
}

fn free_sends() -> Server {
    Server::with(|settings| {
        settings.limits.sends_burst = 1_000_000;
        settings.limits.sends_per_second = 1_000_000;
        settings.limits.requests_burst = 1_000_000;
        settings.limits.refusals_max = 1_000_000;
        settings.limits.refusals_burst = 1_000_000;
    })
}

#[test]
fn a_reaction_is_told_alike_to_all_and_a_page_says_to_each_whether_it_is_theirs() {
    let server = Server::start();
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut people = many(&server, room, 3);
    let seq = host.post(room, "biscuits?").seq;
    applied(people[0].ask(react(room, seq, "👍")));
    let second = applied(people[1].ask(react(room, seq, "👍")));
    assert!(applied(people[1].ask(react(room, seq, "👍"))).already);
    applied(people[1].ask(react(room, seq, "oh")));
    applied(people[0].ask(unreact(room, seq, "👍")));
    assert!(applied(people[2].ask(unreact(room, seq, "👍"))).already);
    let mut told = Vec::new();
    for person in &mut people {
        let mut heard = Vec::new();
        while heard.len() < 4 {
            let event = person.event();
            if let Some(What::Reaction(it)) = event.what {
                let by = it.by.expect("somebody").id;
                heard.push((event.seq, by, it.of, it.reaction, it.count, it.removed));
            }
        }
        told.push(heard);
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    let counts: Vec<_> = told[0].iter().map(|it| (&*it.3, it.4, it.5)).collect();
    assert_eq!(counts, [("👍", 1, false), ("👍", 2, false), ("oh", 1, false), ("👍", 1, true)]);
    assert_eq!(told[0][1].0, second.seq);
    let expected = |mine| vec![("oh".to_owned(), 1, mine), ("👍".to_owned(), 1, mine)];
    for (i, person) in people.iter_mut().enumerate() {
        assert_eq!(shown(person, room, seq), expected(i == 1));
    }
    // What a resume tells is the order again, and the message in it as it was pushed.
    people[2].ask(Request::Unsubscribe(v1::Unsubscribe { room }));
    people[2].events.clear();
    assert!(matches!(people[2].subscribe(room, Some(seq - 1)), Outcome::Subscribed(_)));
    let resumed: Vec<_> = people[2].events.drain(..).collect();
    assert_eq!(resumed.len(), 5);
    assert!(matches!(&resumed[0].what, Some(What::Message(it)) if it.reactions.is_empty()));
    applied(host.ask(Request::Delete(v1::Delete { room, seq })));
    assert_eq!(shown(&mut people[1], room, seq), [], "they went with it");
    assert_eq!(refused(&people[1].ask(react(room, seq, "👍"))), 215);
}

#[test]
fn four_thousand_reactions_on_one_message_stay_fifty_and_a_page_of_such_stays_a_page() {
    let server = free_sends();
    let mut host = server.join_in(Speak::Raw, "host");
    let room = host.create("tea");
    let seq = host.post(room, "attack this").seq;
    let word = |i: usize| format!("{i:0>REACTION_LEN_MAX$}");
    let mut taken = 0;
    for begins in (0..4_000).step_by(500) {
        let last = host.send_all((begins..begins + 500).map(|i| react(room, seq, &word(i))));
        for id in last - 499..=last {
            match host.answer(id) {
                Outcome::Applied(_) => taken += 1,
                other => assert_eq!(refused(&other), 208),
            }
        }
    }
    assert_eq!(taken, REACTIONS_MAX);
    assert_eq!(shown(&mut host, room, seq).len(), REACTIONS_MAX);
    // A hundred messages with fifty of the longest each are more than a page may hold.
    for _ in 0..99 {
        let seq = host.post(room, "and this").seq;
        let last = host.send_all((0..REACTIONS_MAX).map(|i| react(room, seq, &word(i))));
        (last + 1 - REACTIONS_MAX as u32..=last).for_each(|id| _ = host.answer(id));
    }
    host.events.clear();
    let before = host.received;
    let asked = v1::History { room, after: Some(0), ..v1::History::default() };
    let whole = page(host.ask(Request::History(asked)));
    let mut messages = 0;
    let mut after = 0;
    let mut more = true;
    assert!(whole.more);
    while more {
        let asked = v1::History { room, after: Some(after), ..v1::History::default() };
        let part = page(host.ask(Request::History(asked)));
        let posts = part.events.iter().filter(|it| matches!(it.what, Some(What::Message(_))));
        messages += posts.count();
        after = part.events.last().expect("a page has something").seq;
        more = part.more;
    }
    assert_eq!(messages, 100);
    assert!(host.received - before < 4 << 20, "{} bytes", host.received - before);
}

#[test]
fn a_reaction_is_as_long_as_it_may_be_and_not_a_byte_longer() {
    let server = Server::start();
    for speak in Speak::ALL {
        let mut client = server.join_in(speak, &format!("{speak:?}"));
        let room = client.create(&format!("{speak:?}"));
        let seq = client.post(room, "hello").seq;
        for (len, refusal) in [(0, 120), (REACTION_LEN_MAX - 1, 0), (REACTION_LEN_MAX, 0)] {
            match client.ask(react(room, seq, &"x".repeat(len))) {
                Outcome::Applied(_) => assert_eq!(refusal, 0, "{len}"),
                other => assert_eq!(refused(&other), refusal, "{len}"),
            }
        }
        let longer = "x".repeat(REACTION_LEN_MAX + 1);
        assert_eq!(refused(&client.ask(react(room, seq, &longer))), 120);
        assert_eq!(refused(&client.ask(react(room, seq, "a b"))), 120);
    }
}

#[test]
fn pins_are_listed_as_their_messages_are_now_up_to_their_limit() {
    let server = free_sends();
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut guest = many(&server, room, 1).remove(0);
    let pin = |seq| Request::Pin(v1::Pin { room, seq });
    let seqs: Vec<u64> = (0..=PINS_MAX).map(|i| guest.post(room, &format!("{i}")).seq).collect();
    assert_eq!(refused(&guest.ask(pin(seqs[0]))), 210);
    for seq in seqs[..PINS_MAX].iter().rev() {
        applied(host.ask(pin(*seq)));
    }
    assert!(applied(host.ask(pin(seqs[0]))).already);
    assert_eq!(refused(&host.ask(pin(seqs[PINS_MAX]))), 208);
    applied(host.ask(Request::Unpin(v1::Unpin { room, seq: seqs[1] })));
    applied(guest.ask(Request::Delete(v1::Delete { room, seq: seqs[2] })));
    let body = "edited".to_owned();
    applied(guest.ask(Request::Edit(v1::Edit { room, seq: seqs[0], body })));
    applied(guest.ask(react(room, seqs[0], "+1")));
    let mut list = |after, limit| page(guest.ask(Request::Pins(v1::Pins { room, after, limit })));
    let all = list(0, 0);
    let places: Vec<u64> = all.events.iter().map(|event| event.seq).collect();
    assert_eq!(places[0], seqs[0]);
    assert_eq!(places[1..], seqs[3..PINS_MAX]);
    let Some(What::Message(first)) = &all.events[0].what else { panic!("{all:?}") };
    assert_eq!((&*first.body, first.reactions.len()), ("edited", 1));
    assert!(!all.more);
    let part = list(seqs[0], 2);
    assert_eq!(part.events.iter().map(|event| event.seq).collect::<Vec<_>>(), seqs[3..5]);
    assert!(part.more);
    let mut stranger = server.join_in(Speak::Protobuf, "stranger");
    let asked = Request::Pins(v1::Pins { room, after: 0, limit: 0 });
    assert_eq!(refused(&stranger.ask(asked)), 206);
}
