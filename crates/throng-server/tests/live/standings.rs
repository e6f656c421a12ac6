//! Who stands how in a room, told to those who keep order and to each of itself; invitations, which are
//! told at once, declined, withdrawn and kept away.

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{self, Act, Mark, RoomKind, Writers};

use super::Server;
use super::client::{Came, Client, Speak, refused};
use super::moderation::{applied, moderate};
use super::rights::{Rest, http, http_body};

const NO_SUCH_ROOM: u32 = 205;
const NO_SUCH_USER: u32 = 214;
const NOT_ACCEPTED: u32 = 252;

fn den(client: &mut Client) -> u32 {
    let (name, kind) = ("den".to_owned(), RoomKind::Private as i32);
    match client.ask(Request::CreateRoom(v1::CreateRoom { name, kind, ..Default::default() })) {
        Outcome::Joined(joined) => joined.room,
        other => panic!("{other:?}"),
    }
}

/// The names of those who have a mark, over the socket; the same over REST.
fn standings(server: &Server, client: &mut Client, room: u32, what: Mark) -> Vec<String> {
    let asked = v1::ListStandings { room, what: what as i32, ..v1::ListStandings::default() };
    let Outcome::Standings(told) = client.ask(Request::ListStandings(asked)) else {
        panic!("not told")
    };
    assert!(!told.more);
    let name = what.as_str_name().trim_start_matches("MARK_").to_lowercase();
    let path = format!("/rooms/{room}/standings?what={name}");
    let rest = http_body(server, &client.token, "GET", &path, "");
    let names: Vec<String> = told.users.into_iter().map(|user| user.name).collect();
    let over_rest = rest["users"].as_array().unwrap().iter();
    assert_eq!(over_rest.map(|user| user["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    names
}

/// Who is banned, for the table of rights.
pub fn of_standings(room: u32) -> (Request, Option<Rest>) {
    let asked =
        v1::ListStandings { room, what: Mark::Banned as i32, ..v1::ListStandings::default() };
    let rest = ("GET", format!("/rooms/{room}/standings?what=banned"), String::new());
    (Request::ListStandings(asked), Some(rest))
}

#[test]
fn those_who_keep_order_list_who_is_banned_muted_voiced_and_invited() {
    let server = Server::start();
    let mut host = server.join_in(Speak::Json, "host");
    let room = den(&mut host);
    let mut others: Vec<_> = [("ada", Speak::Json), ("ben", Speak::Protobuf), ("cy", Speak::Raw)]
        .map(|(name, speak)| server.join_in(speak, name))
        .into();
    for other in &mut others {
        applied(host.ask(moderate(room, Act::Invite, other.user)));
        other.join(room);
    }
    let di = server.join_in(Speak::Raw, "di");
    applied(host.ask(moderate(room, Act::Invite, di.user)));
    let [ada, ben, cy] = [0, 1, 2].map(|i: usize| others[i].user);
    for (act, user) in [(Act::Mute, ada), (Act::Voice, ben), (Act::Ban, cy), (Act::Mute, cy)] {
        _ = host.ask(moderate(room, act, user));
    }
    let told = Mark::try_from;
    let expected = [(1, "cy"), (2, "ada"), (3, "ben"), (4, "di")];
    for (what, name) in expected {
        assert_eq!(standings(&server, &mut host, room, told(what).unwrap()), [name]);
    }
    // In pages, by number.
    applied(host.ask(moderate(room, Act::Mute, ben)));
    let page = |host: &mut Client, after| {
        let what = Mark::Muted as i32;
        let asked = v1::ListStandings { room, what, after, limit: 1 };
        let Outcome::Standings(told) = host.ask(Request::ListStandings(asked)) else { panic!() };
        (told.users.iter().map(|user| user.id).collect::<Vec<_>>(), told.more)
    };
    assert_eq!((page(&mut host, 0), page(&mut host, ada)), ((vec![ada], true), (vec![ben], false)));
    // Whom it does not concern is not told, and nothing is no mark.
    let what = Mark::Muted as i32;
    let asked = v1::ListStandings { room, what, ..v1::ListStandings::default() };
    assert_eq!(refused(&others[1].ask(Request::ListStandings(asked))), 210);
    let none = v1::ListStandings { what: 0, ..asked };
    assert_eq!(refused(&host.ask(Request::ListStandings(none))), 108);
    for what in ["", "?what=", "?what=loud", "?what=none"] {
        let path = format!("/rooms/{room}/standings{what}");
        assert_eq!(http(&server, &host.token, "GET", &path, "").0, 108, "{what}");
    }
}

#[test]
fn members_say_who_is_muted_and_voiced_to_those_who_keep_order_and_to_oneself() {
    let server = Server::with(|settings| settings.limits.requests_burst = 1_000_000);
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut ada = server.join_in(Speak::Protobuf, "ada");
    let mut ben = server.join_in(Speak::Raw, "ben");
    ada.join(room);
    ben.join(room);
    applied(host.ask(moderate(room, Act::Mute, ada.user)));
    applied(host.ask(moderate(room, Act::Voice, ben.user)));
    // Who belongs is two seconds behind at most: asked until they do.
    let marks = |client: &mut Client| loop {
        let asked = v1::Members { room, ..v1::Members::default() };
        let Outcome::Members(told) = client.ask(Request::Members(asked)) else { panic!() };
        if told.members.len() == 3 {
            break told.members.iter().map(|it| (it.muted, it.voiced)).collect::<Vec<_>>();
        }
        std::thread::yield_now();
    };
    let (none, muted, voiced) = ((false, false), (true, false), (false, true));
    assert_eq!(marks(&mut host), [none, muted, voiced]);
    assert_eq!(marks(&mut ada), [none, muted, none]);
    assert_eq!(marks(&mut ben), [none, none, voiced]);
    let told = http_body(&server, &ada.token, "GET", &format!("/rooms/{room}/members"), "");
    assert_eq!(told["members"][1]["muted"], true);
    assert!(told["members"][2].get("voiced").is_none(), "{told}");
}

#[test]
fn an_invitation_is_told_at_once_declined_by_the_one_and_withdrawn_by_the_other() {
    for speak in Speak::ALL {
        let server = Server::start();
        let mut host = server.join_in(Speak::Json, "host");
        let mut ada = server.join_in(speak, "ada");
        let room = den(&mut host);
        let leave = || Request::Leave(v1::Leave { room });
        let invite = moderate(room, Act::Invite, ada.user);
        assert_eq!(refused(&ada.ask(leave())), NO_SUCH_ROOM);
        applied(host.ask(invite.clone()));
        match ada.next() {
            Came::Frame(Frame::Invited(told)) => {
                let by = told.by.unwrap().name;
                assert_eq!((told.room, &*told.name, &*by), (room, "den", "host"));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(ada.ask(leave()), Outcome::Left(_)), "declined");
        assert_eq!(standings(&server, &mut host, room, Mark::Invited), [] as [&str; 0]);
        for asked in [leave(), Request::Join(v1::Join { room })] {
            assert_eq!(refused(&ada.ask(asked)), NO_SUCH_ROOM, "as if it were not there");
        }
        // Over REST too.
        applied(host.ask(invite.clone()));
        let path = format!("/rooms/{room}/leave");
        assert_eq!(http(&server, &ada.token, "POST", &path, "").0, 0);
        assert_eq!(http(&server, &ada.token, "POST", &path, "").0, NO_SUCH_ROOM);
        applied(host.ask(invite));
        let kick = moderate(room, Act::Kick, ada.user);
        assert!(!applied(host.ask(kick.clone())).already, "withdrawn");
        assert_eq!(refused(&ada.ask(Request::Join(v1::Join { room }))), NO_SUCH_ROOM);
        assert_eq!(refused(&host.ask(kick)), NO_SUCH_USER);
    }
}

#[test]
fn who_has_blocked_one_or_takes_no_messages_is_not_invited_by_it() {
    let server = Server::start();
    let mut host = server.join_in(Speak::Json, "host");
    let mut ada = server.join_in(Speak::Raw, "ada");
    let room = den(&mut host);
    let invite = moderate(room, Act::Invite, ada.user);
    let open = Request::OpenDirect(v1::OpenDirect { user: ada.user, name: String::new() });
    let block = v1::Block { user: host.user, name: String::new() };
    assert!(matches!(ada.ask(Request::Block(block)), Outcome::Done(_)));
    let answers = [host.ask(invite.clone()), host.ask(open)];
    assert_eq!(refused(&answers[0]), NOT_ACCEPTED);
    assert_eq!(answers[0], answers[1], "as a direct room is refused");
    let path = format!("/rooms/{room}/moderation");
    let asked = format!(r#"{{"act":"invite","user":{}}}"#, ada.user);
    assert_eq!(http(&server, &host.token, "POST", &path, &asked).0, NOT_ACCEPTED);
    let unblock = v1::Unblock { user: host.user, name: String::new() };
    assert!(matches!(ada.ask(Request::Unblock(unblock)), Outcome::Done(_)));
    let writers = Writers::Nobody as i32;
    let nobody = Request::SetContacts(v1::SetContacts { writers });
    assert!(matches!(ada.ask(nobody), Outcome::Done(_)));
    assert_eq!(refused(&host.ask(invite)), NOT_ACCEPTED);
    assert_eq!(standings(&server, &mut host, room, Mark::Invited), [] as [&str; 0]);
    // By a link that it brings itself it comes in.
    let made = host.ask(Request::MakeRoomLink(v1::MakeRoomLink { room, uses: 1, hours: 1 }));
    let Outcome::RoomLink(made) = made else { panic!("{made:?}") };
    let by_link = Request::JoinByLink(v1::JoinByLink { link: made.link });
    assert!(matches!(ada.ask(by_link), Outcome::Joined(_)));
}
