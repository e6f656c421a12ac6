//! Who is in a room and who types there, told to all who hear it; and to what a large room cuts that.

use std::time::Duration;

use throng_server::clock::Clock;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Here, Member, Role};

use super::Server;
use super::client::{Client, Speak, refused};

fn typing(room: u32) -> Request {
    Request::Typing(v1::Typing { room })
}

fn members(client: &mut Client, room: u32, after: u64, limit: u32) -> v1::MemberList {
    match client.ask(Request::Members(v1::Members { room, after, limit })) {
        Outcome::Members(members) => members,
        other => panic!("{other:?}"),
    }
}

/// Waits for a telling that says this.
fn until(client: &mut Client, says: impl Fn(&Here) -> bool) -> Here {
    loop {
        let here = client.next_here();
        if says(&here) {
            return here;
        }
    }
}

fn crowd(server: &Server, count: usize) -> (Vec<Client>, u32) {
    let speak = Speak::ALL.into_iter().cycle();
    let mut people: Vec<_> = (0..count)
        .zip(speak)
        .map(|(i, speak)| server.join_in(speak, &format!("user{i}")))
        .collect();
    let room = people[0].create("tea");
    people[1..].iter_mut().for_each(|person| _ = person.join(room));
    (people, room)
}

#[test]
fn all_are_told_alike_who_is_there_and_who_types_until_it_has_posted() {
    let server = Server::start();
    let (mut people, room) = crowd(&server, 3);
    let users: Vec<u64> = people.iter().map(|person| person.user).collect();
    for person in &mut people {
        let here = until(person, |here| here.here == 3);
        assert_eq!((here.members, &here.users, here.typing), (3, &users, 0));
    }
    assert!(matches!(people[1].ask(typing(room)), Outcome::Done(_)));
    let heard: Vec<_> =
        people.iter_mut().map(|person| until(person, |here| here.typing > 0)).collect();
    assert!(heard.iter().all(|here| *here == heard[0]), "{heard:?}");
    assert_eq!(heard[0].typists, [users[1]]);
    people[1].post(room, "there");
    until(&mut people[0], |here| here.typing == 0);
    // One goes without a word, another stops listening: it belongs all the same.
    let gone = people.pop().expect("the third");
    drop(gone);
    people[1].ask(Request::Unsubscribe(v1::Unsubscribe { room }));
    let here = until(&mut people[0], |here| here.here == 1);
    assert_eq!((here.members, here.users), (3, vec![users[0]]));
    let mut eve = server.join_in(Speak::Raw, "eve");
    assert_eq!(refused(&eve.ask(typing(room))), 206);
    let asked = Request::Members(v1::Members { room, ..v1::Members::default() });
    assert_eq!(refused(&eve.ask(asked)), 206);
    assert!(eve.here.is_empty(), "it is told nothing of it");
}

#[test]
fn where_presence_is_off_nobody_is_told_and_who_asks_for_the_members_is() {
    let server = Server::with(|settings| {
        settings.presence = false;
        settings.limits.requests_burst = 1_000_000;
    });
    let (mut people, room) = crowd(&server, 3);
    assert!(matches!(people[1].ask(typing(room)), Outcome::Done(_)));
    // The list is a second and a half behind: whatever is told once a second has been told by then.
    let all = loop {
        let all = members(&mut people[0], room, 0, 0).members;
        if all.len() == 3 {
            break all;
        }
    };
    assert!(all.iter().all(|member| member.here));
    for person in &mut people {
        person.ask(Request::Ping(v1::Ping {}));
        assert!(person.here.is_empty(), "{:?}", person.here);
    }
}

#[test]
fn above_the_limit_of_members_they_are_counted_and_below_it_named_again() {
    let server = Server::with(|settings| settings.limits.pushed_members_max = 3);
    let (mut people, room) = crowd(&server, 3);
    let named: Vec<u64> = people.iter().map(|person| person.user).collect();
    assert_eq!(until(&mut people[0], |here| here.here == 3).users, named, "as many as the limit");
    let mut fourth = server.join_in(Speak::Raw, "fourth");
    for _ in 0..2 {
        fourth.join(room);
        fourth.ask(typing(room));
        let here = until(&mut people[0], |here| here.here == 4 && here.typing == 1);
        assert_eq!((here.members, &*here.users, &*here.typists), (4, &[][..], &[][..]));
        fourth.ask(Request::Leave(v1::Leave { room }));
        let here = until(&mut people[0], |here| here.members == 3);
        assert_eq!((here.here, here.users, here.typing), (3, named.clone(), 0));
    }
}

#[test]
fn members_are_listed_in_pages_as_of_a_place_with_their_roles_and_whether_they_are_there() {
    let server = Server::start();
    let (mut people, room) = crowd(&server, 5);
    let users: Vec<u64> = people.iter().map(|person| person.user).collect();
    people[4].ask(Request::Unsubscribe(v1::Unsubscribe { room }));
    // The list is as of a place that may be two seconds ago.
    let all = loop {
        let all = members(&mut people[0], room, 0, 0);
        if all.seq >= 6 {
            break all;
        }
        // Somebody types now and then, so that a second can be waited for.
        people[0].ask(typing(room));
        people[0].post(room, "waiting");
        people[0].next_here();
    };
    let user = |member: &Member| member.user.as_ref().map(|user| user.id).unwrap_or_default();
    assert_eq!(all.members.iter().map(user).collect::<Vec<_>>(), users);
    let roles = all.members.iter().map(|member| member.role == Role::Owner as i32);
    assert_eq!(roles.collect::<Vec<_>>(), [true, false, false, false, false]);
    let here = all.members.iter().map(|member| member.here).collect::<Vec<_>>();
    assert_eq!(here, [true, true, true, true, false]);
    let part = members(&mut people[0], room, users[1], 2);
    assert_eq!(part.members.iter().map(user).collect::<Vec<_>>(), users[2..4]);
    assert!(part.more && !all.more);
}

#[test]
fn who_says_too_often_that_it_types_is_told_so_and_when_to_try_again() {
    let clock = Clock::manual();
    let server = Server::at(clock.clone(), |settings| {
        settings.limits.sends_per_second = 1;
        settings.limits.sends_burst = 3;
    });
    let (mut people, room) = crowd(&server, 3);
    // Whatever was said until now is forgotten.
    clock.advance(Duration::from_secs(10));
    for person in &mut people {
        for _ in 0..3 {
            assert!(matches!(person.ask(typing(room)), Outcome::Done(_)));
        }
        let Outcome::Rejected(rejected) = person.ask(typing(room)) else { panic!("let through") };
        assert_eq!((rejected.code, rejected.retry_after_ms), (300, Some(1_000)));
    }
    clock.advance(Duration::from_secs(1));
    assert!(matches!(people[0].ask(typing(room)), Outcome::Done(_)));
}

#[test]
fn one_whom_the_other_has_blocked_is_not_told_that_it_is_here_nor_can_type_to_it() {
    let server = Server::start();
    let mut ada = server.join_in(Speak::Json, "ada");
    let mut ben = server.join_in(Speak::Protobuf, "ben");
    let open = v1::OpenDirect { user: ben.user, name: String::new() };
    let Outcome::Joined(v1::Joined { room, .. }) = ada.ask(Request::OpenDirect(open)) else {
        panic!("no room")
    };
    ben.join(room);
    until(&mut ada, |here| here.here == 2);
    assert!(matches!(ben.ask(typing(room)), Outcome::Done(_)));
    until(&mut ada, |here| here.typists == [ben.user]);
    let block = v1::Block { user: ben.user, name: String::new() };
    assert!(matches!(ada.ask(Request::Block(block)), Outcome::Done(_)));
    assert_eq!(refused(&ben.ask(typing(room))), 252);
    let here = until(&mut ben, |here| here.here == 0);
    assert_eq!((here.members, here.users, here.typing), (2, vec![], 0));
    let listed = members(&mut ben, room, 0, 0).members;
    assert!(listed.iter().all(|member| !member.here), "{listed:?}");
    let unblock = v1::Unblock { user: ben.user, name: String::new() };
    assert!(matches!(ada.ask(Request::Unblock(unblock)), Outcome::Done(_)));
    assert_eq!(until(&mut ben, |here| here.here == 2).users, [ada.user, ben.user]);
}
