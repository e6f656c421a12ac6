//! Passwords, tokens and bodies stand in no log line, whatever is logged and whatever went wrong.

use serde_json::json;

use crate::process::Server;

const PASSWORD: &str = "PassWord-that-nobody-may-read";
const BODY: &str = "Body-that-is-not-for-the-operator";

#[test]
fn at_the_most_talkative_level_no_log_line_holds_a_secret() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let set = format!("log_format={format}");
        let arguments = ["--set", "log_level=trace", "--set", &set];
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
