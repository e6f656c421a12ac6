//! What ends when a session ends: its token everywhere, its connections at once, and nothing else.

use std::ffi::OsStr;

use serde_json::{Value, json};
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{Event, Goodbye, Join, Ping};

use crate::process::{Server, run, said};
use crate::raw_client::Client;

#[test]
fn a_log_out_over_http_closes_the_sessions_connections_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--raw-listen", "127.0.0.1:0"]);
    let raw = server.raw.unwrap();
    let first = server.sign_up("anna", "correct horse");
    let login = json!({"name": "anna", "password": "correct horse"});
    let second = server.json("POST", "/api/v1/sessions", "", &login);
    let second = second["token"].as_str().unwrap().to_owned();

    let mut ended = [Client::open(raw, &first).unwrap(), Client::open(raw, &first).unwrap()];
    let mut other = Client::open(raw, &second).unwrap();
    let done = server.json("DELETE", "/api/v1/sessions/current", &first, &Value::Null);
    assert_eq!(done, json!({}));
    for client in &mut ended {
        let farewell = client.read().unwrap();
        let Frame::Goodbye(Goodbye { code, reconnect, .. }) = farewell else {
            panic!("{farewell:?} is no farewell");
        };
        assert_eq!((code, reconnect), (4401, false));
    }
    assert!(other.ask(Request::Ping(Ping {})).is_ok());
    assert_eq!(server.ask("GET", "/api/v1/rooms", &first, "").0, 401);
    assert_eq!(server.ask("GET", "/api/v1/rooms", &second, "").0, 200);
}

#[test]
fn sessions_ended_by_another_process_close_their_connections_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--raw-listen", "127.0.0.1:0"]);
    let raw = server.raw.unwrap();
    let (anna, bert) =
        (server.sign_up("anna", "correct horse"), server.sign_up("bert", "correct horse"));
    let mut ended = Client::open(raw, &anna).unwrap();
    let mut other = Client::open(raw, &bert).unwrap();
    let logout = |name: &str| {
        let data = folder.path().as_os_str();
        run(["admin", "users", "logout", name, "--data"].map(OsStr::new).into_iter().chain([data]))
    };
    let output = logout("Anna");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(output.stdout, b"ended 1 sessions of Anna\n");
    assert!(matches!(ended.read(), Ok(Frame::Goodbye(Goodbye { code: 4401, .. }))));
    assert_eq!(server.ask("GET", "/api/v1/rooms", &anna, "").0, 401);
    assert!(other.ask(Request::Ping(Ping {})).is_ok());
    assert!(said(&logout("nobody")).contains("nobody is called nobody"));
}

#[test]
fn a_guest_is_logged_out_by_its_name_and_leaves_its_rooms() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--raw-listen", "127.0.0.1:0", "--set", "guests=on"];
    let server = Server::start(folder.path(), &arguments);
    let anna = server.sign_up("anna", "correct horse");
    let mut host = Client::open(server.raw.unwrap(), &anna).unwrap();
    let room = host.create_room("tea");
    let gus = server.json("POST", "/api/v1/guests", "", &json!({"name": "gus"}));
    let gus = gus["token"].as_str().unwrap();
    let mut guest = Client::open(server.raw.unwrap(), gus).unwrap();
    let joined = guest.ask(Request::Join(Join { room })).unwrap().0;
    assert!(matches!(joined, Outcome::Joined(_)), "{joined:?}");
    let data = folder.path().as_os_str();
    let logout = ["admin", "users", "logout", "Gus", "--data"].map(OsStr::new);
    let output = run(logout.into_iter().chain([data]));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(output.stdout, b"ended 1 sessions of Gus\n");
    let farewell = loop {
        match guest.read().unwrap() {
            Frame::Goodbye(goodbye) => break goodbye,
            Frame::Event(_) | Frame::Here(_) => {}
            other => panic!("{other:?} is no farewell"),
        }
    };
    assert_eq!(farewell.code, 4401);
    assert_eq!(server.ask("GET", "/api/v1/rooms", gus, "").0, 401);
    // Told to those who are there, when the server has taken it out.
    loop {
        let Frame::Event(Event { what, .. }) = host.read().unwrap() else { continue };
        match what {
            Some(What::Joined(_)) => {}
            Some(What::Left(left)) => break assert_eq!(left.user.unwrap().name, "gus"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn one_session_too_many_ends_the_one_that_was_used_longest_ago() {
    let folder = tempfile::tempdir().unwrap();
    let set = ["--set", "limits.sessions_per_user_max=1", "--raw-listen", "127.0.0.1:0"];
    let server = Server::start(folder.path(), &set);
    let first = server.sign_up("anna", "correct horse");
    let mut connection = Client::open(server.raw.unwrap(), &first).unwrap();
    let login = json!({"name": "anna", "password": "correct horse"});
    let second = server.json("POST", "/api/v1/sessions", "", &login);
    assert!(matches!(connection.read(), Ok(Frame::Goodbye(Goodbye { code: 4401, .. }))));
    assert_eq!(server.ask("GET", "/api/v1/rooms", &first, "").0, 401);
    let second = second["token"].as_str().unwrap();
    assert_eq!(server.ask("GET", "/api/v1/rooms", second, "").0, 200);
}
