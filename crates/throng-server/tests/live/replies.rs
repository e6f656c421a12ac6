//! A message that answers another and mentions somebody, in every form and in the history.

use throng_core::limits::MENTIONS_MAX;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Message};

use super::Server;
use super::client::{Client, Speak, refused};

fn reply(room: u32, in_reply_to: u64, mentioned: Vec<u64>) -> Request {
    let body = "indeed".to_owned();
    Request::Post(v1::Post { room, body, in_reply_to, mentioned, ..v1::Post::default() })
}

fn told(message: &Message) -> (u64, Vec<u64>) {
    (message.in_reply_to, message.mentioned.clone())
}

fn next_message(client: &mut Client) -> Message {
    loop {
        if let Some(What::Message(message)) = client.event().what {
            return message;
        }
    }
}

#[test]
fn what_a_message_answers_and_whom_it_mentions_comes_with_it_live_and_in_history() {
    let server = Server::start();
    let mut people: Vec<_> = Speak::ALL
        .iter()
        .enumerate()
        .map(|(i, speak)| server.join_in(*speak, &format!("user{i}")))
        .collect();
    let room = people[0].create("tea");
    for person in &mut people[1..] {
        person.join(room);
    }
    let first = people[0].post(room, "hello").seq;
    for speaker in 0..3 {
        let asked = reply(room, first, vec![people[0].user, people[1].user]);
        assert!(matches!(people[speaker].ask(asked), Outcome::Posted(_)));
    }
    let expected = (first, vec![people[0].user, people[1].user]);
    for person in &mut people {
        assert_eq!(told(&next_message(person)), (0, vec![]));
        for _ in 0..3 {
            assert_eq!(told(&next_message(person)), expected);
        }
        let asked = v1::History { room, after: Some(first), ..v1::History::default() };
        let Outcome::Page(page) = person.ask(Request::History(asked)) else { panic!("no page") };
        for event in &page.events {
            let Some(What::Message(message)) = &event.what else { panic!("{event:?}") };
            assert_eq!(told(message), expected);
        }
        assert_eq!(page.events.len(), 3);
    }
}

#[test]
fn a_reply_to_nothing_and_too_many_mentions_are_refused() {
    let server = Server::start();
    for speak in Speak::ALL {
        let mut client = server.join_in(speak, &format!("{speak:?}"));
        let room = client.create(&format!("{speak:?}"));
        let head = 2;
        assert!(matches!(client.ask(reply(room, head, vec![])), Outcome::Posted(_)));
        assert_eq!(refused(&client.ask(reply(room, head + 2, vec![]))), 215, "not there yet");
        let own = client.user;
        let many = |count: usize| vec![own; count];
        for (count, refusal) in [(MENTIONS_MAX - 1, 0), (MENTIONS_MAX, 0), (MENTIONS_MAX + 1, 108)]
        {
            match client.ask(reply(room, 0, many(count))) {
                Outcome::Posted(_) => assert_eq!(refusal, 0, "{count}"),
                other => assert_eq!(refused(&other), refusal, "{count}"),
            }
        }
        assert_eq!(refused(&client.ask(reply(room, 0, vec![0]))), 108, "nobody has this number");
    }
}
