//! A post that asks where its time goes, over each way to speak.

use throng_server::clock::Clock;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Ack, Trace};

use super::Server;
use super::client::{Client, Speak, post};

fn traced(room: u32, ack: Ack, origin_id: &str) -> Request {
    let Request::Post(asked) = post(room, "hi") else { unreachable!() };
    let (ack, origin_id) = (ack as i32, origin_id.to_owned());
    Request::Post(v1::Post { ack, origin_id, trace: true, ..asked })
}

fn posted(client: &mut Client, asked: Request) -> v1::Posted {
    match client.ask(asked) {
        Outcome::Posted(posted) => posted,
        other => panic!("{other:?}"),
    }
}

fn sum(trace: Trace) -> u64 {
    let Trace { decode, authorize, queue, decide, commit, fanout } = trace;
    [decode, authorize, queue, decide, commit, fanout].map(u64::from).iter().sum()
}

#[test]
fn the_ack_says_where_the_time_went_where_that_is_asked() {
    let server = Server::start();
    for speak in Speak::ALL {
        let mut client = server.join_in(speak, &format!("user{}", speak as u8));
        let room = client.create(&format!("tea{}", speak as u8));
        let clock = Clock::system();
        let asked = clock.now();
        let trace = posted(&mut client, traced(room, Ack::Durable, "one")).trace.unwrap();
        let took = clock.now().since(asked);
        assert!(
            u128::from(sum(trace)) <= took.as_micros(),
            "{trace:?} is more than all of it, {took:?}"
        );
        // A repeat is a message on its own way.
        let again = posted(&mut client, traced(room, Ack::Durable, "one"));
        assert!(again.repeat && again.trace.is_some());
        assert_eq!(client.post(room, "without").trace, None);
        let accepted = posted(&mut client, traced(room, Ack::Accepted, "two")).trace.unwrap();
        assert_eq!((accepted.commit, accepted.fanout), (0, 0), "not over: {accepted:?}");
    }
}

#[test]
fn traced_posts_in_one_breath_are_answered_and_told_in_order() {
    let server = Server::start();
    let mut client = server.join_in(Speak::Json, "anna");
    let room = client.create("tea");
    let mut asked: Vec<Request> =
        (0..50).map(|at| traced(room, Ack::Durable, &format!("m{at}"))).collect();
    asked.push(Request::Leave(v1::Leave { room }));
    let last = client.send_all(asked);
    for at in 0..50 {
        let Outcome::Posted(posted) = client.answer(last - 50 + at) else { panic!("no ack") };
        assert_eq!(posted.seq, 3 + u64::from(at));
        assert!(posted.trace.is_some());
    }
    assert!(matches!(client.answer(last), Outcome::Left(_)));
}

#[test]
fn nothing_is_said_of_it_where_stages_are_not_timed() {
    let server = Server::with(|settings| settings.stage_timings = false);
    let mut client = server.join_in(Speak::Protobuf, "anna");
    let room = client.create("tea");
    assert_eq!(posted(&mut client, traced(room, Ack::Durable, "one")).trace, None);
    let text = server.app().metrics.render();
    assert!(!text.contains("throng_stage_") && !text.contains("throng_post"), "{text}");
}

/// Posts that were answered, and the seconds of all their stages.
fn posts(server: &Server) -> (u64, f64) {
    let text = server.app().metrics.render();
    let stages = text.lines().filter(|line| line.starts_with("throng_post_stage_seconds_total{"));
    let seconds = stages.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
    let seconds: Vec<f64> = seconds.collect();
    assert_eq!(seconds.len(), 6, "{text}");
    (server.app().metrics.posts.answered.get(), seconds.iter().sum())
}

#[test]
fn what_posts_took_is_less_than_their_senders_waited_and_nothing_else_is_in_it() {
    let (clock, mut said, mut waited) = (Clock::system(), 0, 0.0);
    let server = Server::at(clock.clone(), |_| {});
    for speak in Speak::ALL {
        let mut client = server.join_in(speak, &format!("user{}", speak as u8));
        let room = client.create(&format!("tea{}", speak as u8));
        for ack in [Ack::Durable, Ack::Accepted] {
            let asked = clock.now();
            posted(&mut client, traced(room, ack, ack.as_str_name()));
            client.post(room, "without");
            waited += clock.now().since(asked).as_secs_f64();
            said += 2;
        }
        // What is answered after a post is answered by a fan-out that is done with it.
        client.ask(Request::Leave(v1::Leave { room }));
    }
    let (answered, took) = posts(&server);
    assert_eq!(answered, said, "rooms were made and left beside");
    assert!(took > 0.0 && took <= waited, "{took} of {waited}");
}

#[test]
fn what_is_answered_is_in_no_stage_any_more() {
    let server = Server::start();
    let mut client = server.join_in(Speak::Raw, "anna");
    let room = client.create("tea");
    for _ in 0..20 {
        client.post(room, "hi");
    }
    let text = server.app().metrics.render();
    for stage in ["queue", "decide", "commit"] {
        let line = format!("throng_stage_in_flight{{stage=\"{stage}\"}} 0\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}
