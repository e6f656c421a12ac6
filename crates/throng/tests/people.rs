//! Accounts as an operator looks after them, beside a running server: the link that makes the first
//! administrator, and the one that lets somebody in who forgot a password.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use serde_json::json;

use crate::process::{Server, run, said};

/// What stands behind `#KEY=` in a line.
fn link(text: &str, key: &str) -> String {
    let (_, rest) = text.split_once(&format!("#{key}=")).unwrap_or_else(|| panic!("{text}"));
    rest.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn the_printed_link_makes_the_first_administrator_and_is_printed_until_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let closed = ["--set", "sign_up=closed"];
    let first = link(&Server::start(&data, &closed).said, "link");
    let server = Server::start(&data, &closed);
    assert!(server.said.contains("nobody may sign up"), "{}", server.said);
    let second = link(&server.said, "link");
    let sign_up = |name: &str, link: &str| {
        let asked = json!({"name": name, "password": "correct horse", "link": link});
        server.json("POST", "/api/v1/accounts", "", &asked)
    };
    assert_eq!(sign_up("anna", "")["rejected"]["name"], "sign_up_closed");
    assert_eq!(sign_up("anna", &first)["rejected"]["name"], "bad_link", "the newest one stands");
    let anna = sign_up("anna", &second);
    let token = anna["token"].as_str().unwrap();
    let invited = server.json("POST", "/api/v1/invitations", token, &json!({}));
    assert_eq!(invited["rejected"]["name"], "sign_up_closed", "it would let nobody in");
    drop(server);
    let server = Server::start(&data, &[]);
    let said = &server.said;
    assert!(said.contains("anyone who reaches") && !said.contains("administrator"), "{said}");
}

#[test]
fn an_operator_prints_a_link_by_which_a_password_is_set_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let token = server.sign_up("anna", "correct horse");
    let reset = |name: &str| {
        let data = data.to_str().unwrap();
        run(["admin", "users", "reset", name, "--data", data])
    };
    let unknown = reset("nobody");
    assert_eq!(unknown.status.code(), Some(67), "{}", said(&unknown));
    assert!(said(&unknown).contains("nobody is called nobody in"), "{}", said(&unknown));
    let printed = String::from_utf8(reset("Anna").stdout).unwrap();
    let asked = json!({"link": link(&printed, "reset"), "password": "staple horse"});
    let session = server.json("POST", "/api/v1/password", "", &asked);
    assert_eq!(session["user"]["name"], "anna");
    assert_eq!(server.ask("GET", "/api/v1/sessions", &token, "").0, 401);
    let again = server.json("POST", "/api/v1/password", "", &asked);
    assert_eq!(again["rejected"]["name"], "bad_link");
    let login = json!({"name": "anna", "password": "staple horse"});
    assert!(server.json("POST", "/api/v1/sessions", "", &login)["token"].is_string());
}

#[test]
fn an_operator_makes_a_second_administrator_and_takes_it_away_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--set", "sign_up=invite"]);
    let sign_up = |name: &str, link: &str| {
        let asked = json!({"name": name, "password": "correct horse", "link": link});
        server.json("POST", "/api/v1/accounts", "", &asked)
    };
    let token = |session: &serde_json::Value| session["token"].as_str().unwrap().to_owned();
    let anna = token(&sign_up("anna", &link(&server.said, "link")));
    let invite = |token: &str| server.json("POST", "/api/v1/invitations", token, &json!({}));
    let bert = token(&sign_up("bert", invite(&anna)["link"].as_str().unwrap()));
    assert_eq!(invite(&bert)["rejected"]["name"], "forbidden");
    let rank = |what: &str, name: &str| {
        let done = run(["admin", "users", what, name, "--data", data.to_str().unwrap()]);
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(rank("promote", "nobody").0, Some(67));
    assert_eq!(rank("promote", "Bert"), (Some(0), "Bert is an administrator\n".to_owned()));
    let of_bert = invite(&bert)["link"].as_str().unwrap().to_owned();
    let (code, text) = rank("demote", "bert");
    assert!(code == Some(0) && text.contains("no longer; 1 invitations"), "{text}");
    assert_eq!(invite(&bert)["rejected"]["name"], "forbidden");
    assert_eq!(sign_up("carl", &of_bert)["rejected"]["name"], "bad_link");
    assert!(invite(&anna)["link"].is_string(), "nothing else is changed");
    let (code, text) = rank("demote", "anna");
    assert!(code == Some(0) && text.contains("there is none now"), "{text}");
    drop(server);
    assert!(Server::start(&data, &[]).said.contains("#link="), "it prints a link for another");
}
