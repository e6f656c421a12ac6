//! Passwords, tokens and bodies stand in no log line, whatever is logged and whatever went wrong.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::{Login, Post};

use crate::process::Server;
use crate::raw_client::Client;

const PASSWORD: &str = "PassWord-that-nobody-may-read";
const BODY: &str = "Body-that-is-not-for-the-operator";

#[test]
fn at_the_most_talkative_level_no_log_line_holds_a_secret() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let set = format!("log_format={format}");
        let raw = ["--raw-listen", "127.0.0.1:0"];
        let arguments = ["--set", "log_level=trace", "--set", &set, raw[0], raw[1]];
        let mut server = Server::start(folder.path(), &arguments);
        let token = server.sign_up("anna", PASSWORD);
        let login = json!({"name": "anna", "password": PASSWORD});
        let second = server.json("POST", "/api/v1/sessions", "", &login);
        let second = second["token"].as_str().unwrap().to_owned();
        let room = server.json("POST", "/api/v1/rooms", &token, &json!({"name": "Lobby"}));
        let messages = format!("/api/v1/rooms/{}/messages", room["room"]);
        server.json("POST", &messages, &token, &json!({"body": BODY}));
        // What goes wrong is what is logged most.
        server.ask("POST", "/api/v1/sessions", "", &format!("{{\"password\":\"{PASSWORD}\""));
        server.ask("POST", "/api/v1/sessions", "", &format!("{{\"password\":[\"{PASSWORD}\"]}}"));
        server.ask("POST", &messages, &second, &format!("[\"{BODY}\"]"));
        over_raw(server.raw.unwrap(), &second);
        server.ask("DELETE", "/api/v1/sessions/current", &second, "");
        server.ask("GET", "/api/v1/rooms", &second, "");
        server.ask("GET", &format!("/ws?token={second}"), &second, "");
        server.signal(rustix::process::Signal::TERM);
        server.wait();
        let log = server.log();
        assert!(!log.is_empty(), "trace says something");
        for secret in [PASSWORD, BODY, token.as_str(), second.as_str()] {
            let found = log.lines().find(|line| line.contains(secret));
            assert_eq!(found, None, "{format}");
        }
        if format == "json" {
            for line in log.lines() {
                assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
            }
        }
    }
}

/// Over a connection: what is refused, and what cannot be read.
fn over_raw(address: SocketAddr, token: &str) {
    let mut client = Client::open(address, token).unwrap();
    let (name, password) = ("anna".to_owned(), PASSWORD.to_owned());
    client.ask(Request::Login(Login { name, password })).unwrap();
    let post = Post { room: 99, body: BODY.to_owned(), ..Post::default() };
    client.ask(Request::Post(post)).unwrap();
    let mut garbage = TcpStream::connect(address).unwrap();
    let text = format!("{PASSWORD}{token}");
    garbage.write_all(&(text.len() as u32).to_be_bytes()).unwrap();
    garbage.write_all(text.as_bytes()).unwrap();
    garbage.shutdown(std::net::Shutdown::Write).unwrap();
    // Whether it is answered or cut, it was read.
    let _ = garbage.read_to_end(&mut Vec::new());
}
