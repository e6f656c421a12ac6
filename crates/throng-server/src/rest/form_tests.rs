//! What HTTP answers to requests that do not say what they must, or name what cannot be read.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::tests::Server;

/// Anna's room with a message of hers, and Bert in it.
async fn scene(server: &Server) -> (String, String, u64) {
    let anna = server.sign_up("anna").await;
    let bert = server.sign_up("bert").await;
    let made = server.post("/api/v1/rooms", &anna, json!({"name": "Lobby"})).await;
    let room = made.json()["room"].as_u64().unwrap();
    server.post(&format!("/api/v1/rooms/{room}/join"), &bert, Value::Null).await;
    let said = json!({"body": "hello"});
    let said = server.post(&format!("/api/v1/rooms/{room}/messages"), &anna, said).await;
    assert_eq!(said.status, StatusCode::CREATED, "{}", said.body);
    (anna, bert, room)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_decides_must_be_there_and_its_refusal_names_it() {
    let server = Server::start(|_| {});
    let (anna, bert, room) = scene(&server).await;
    let nobody = json!({"writers": "nobody"});
    server.send(Method::PUT, "/api/v1/contacts", &anna, &nobody).await;
    let report = json!({"reason": "rude"});
    let reports = format!("/api/v1/rooms/{room}/reports");
    let path = format!("/api/v1/rooms/{room}/messages/4/report");
    let report = server.post(&path, &bert, report).await.json()["report"].as_u64().unwrap();
    let decided = [
        (Method::PUT, "/contacts".to_owned(), "writers"),
        (Method::PUT, "/avatar".to_owned(), "file"),
        (Method::PUT, format!("/rooms/{room}/avatar"), "file"),
        (Method::PUT, format!("/rooms/{room}/level"), "level"),
        (Method::POST, format!("/rooms/{room}/held/1/settlement"), "pass"),
        (Method::POST, format!("/rooms/{room}/reports/{report}/settlement"), "upheld"),
    ];
    for (method, path, field) in decided {
        for body in [json!({}), json!({format!("{field}s"): true}), json!({"writer": "nobody"})] {
            let path = format!("/api/v1{path}");
            let refused = server.send(method.clone(), &path, &anna, &body).await;
            refused.refused(400, "malformed");
            let text = refused.json()["rejected"]["text"].as_str().unwrap().to_owned();
            assert!(text.contains(&format!("`{field}`")), "{path} {body}: {text}");
        }
    }
    let words = json!({"words": {"lst": ["spam"]}});
    let path = format!("/api/v1/rooms/{room}");
    server.send(Method::PATCH, &path, &anna, &words).await.refused(400, "malformed");
    // Nothing of it was done.
    assert_eq!(server.get("/api/v1/contacts", &anna).await.json(), json!({"writers": "nobody"}));
    let waiting = server.get(&reports, &anna).await.json();
    assert_eq!(waiting["reports"][0]["body"], json!("hello"), "{waiting}");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_behind_a_room_is_not_the_room_whoever_asks() {
    let server = Server::start(|_| {});
    let (anna, bert, room) = scene(&server).await;
    server.post(&format!("/api/v1/rooms/{room}/leave"), &bert, Value::Null).await;
    let behind = [
        (Method::PUT, "/read/abc", Value::Null, 404, "no_such_message"),
        (Method::PATCH, "/messages/abc", json!({"body": "x"}), 404, "no_such_message"),
        (Method::DELETE, "/messages/-1", Value::Null, 404, "no_such_message"),
        (Method::DELETE, "/messages/%ff", Value::Null, 404, "no_such_message"),
        (Method::POST, "/messages/4.0/report", json!({"reason": "x"}), 404, "no_such_message"),
        (Method::PUT, "/messages/4/reactions/%ff", Value::Null, 400, "bad_reaction"),
        (Method::GET, "/messages/4/files/%ff", Value::Null, 404, "no_such_file"),
        (Method::GET, "/messages/x/files/1/small", Value::Null, 404, "no_such_file"),
        (Method::PUT, "/pins/zz", Value::Null, 404, "no_such_message"),
        (Method::POST, "/reports/zz/settlement", json!({"upheld": true}), 404, "no_such_report"),
        (Method::POST, "/held/zz/settlement", json!({"pass": true}), 404, "no_such_message"),
        (Method::DELETE, "/links/zz", Value::Null, 400, "bad_argument"),
    ];
    for (method, path, body, status, name) in behind {
        for (who, room) in [(&anna, room), (&bert, room), (&bert, 77)] {
            let path = format!("/api/v1/rooms/{room}{path}");
            let answer = server.send(method.clone(), &path, who, &body).await;
            answer.refused(status, name);
        }
        for room in ["abc", "-1", "%ff", "0"] {
            let path = format!("/api/v1/rooms/{room}{}", path.replace("%ff", "5"));
            // Where both are wrong, either is said; neither says anything of a room.
            let answer = server.send(method.clone(), &path, &anna, &body).await;
            let said = answer.json()["rejected"]["name"].as_str().unwrap().to_owned();
            assert!(said == "no_such_room" || (room == "0" && said == name), "{path}: {said}");
        }
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_text_behind_the_question_mark_is_refused_and_not_looked_for() {
    let server = Server::start(|_| {});
    let (anna, ..) = scene(&server).await;
    for (asked, taken) in [
        ("rooms?named=%4cobb%79", true),
        ("rooms?named=caf%C3%A9", true),
        ("rooms?named=100%", true),
        ("rooms?named=%zz", true),
        ("rooms?named=%ff", false),
        ("rooms?named=caf%C3", false),
        ("rooms?named=%ED%A0%BD", false),
        ("rooms?%ff=1", false),
        ("search?query=tea+%E7%8C", false),
        ("search?query=tea+%E7%8C%AB", true),
    ] {
        let answer = server.get(&format!("/api/v1/{asked}"), &anna).await;
        if taken {
            assert_eq!(answer.status, StatusCode::OK, "{asked}: {}", answer.body);
        } else {
            answer.refused(400, "bad_argument");
        }
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_encoded_is_refused_as_that_and_one_that_says_that_it_is_not_is_read() {
    let server = Server::start(|settings| {
        settings.limits.requests_burst_anonymous = 3;
        settings.limits.requests_per_second_anonymous = 1;
    });
    let (anna, _, room) = scene(&server).await;
    let said = json!({"body": "hello"}).to_string();
    let ask = async |method: Method, path: &str, token: &str, coding: &str| {
        let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = request.header("content-encoding", coding);
        let request = request.header("content-type", "application/offset+octet-stream");
        server.ask(request.body(Body::from(said.clone())).unwrap()).await
    };
    let messages = format!("/rooms/{room}/messages");
    for (method, path) in [
        (Method::POST, messages.as_str()),
        (Method::PATCH, &format!("{messages}/4")),
        (Method::PUT, "/contacts"),
        (Method::DELETE, "/account"),
        (Method::POST, "/files"),
        (Method::PATCH, "/files/00000000000000000000000000000000"),
    ] {
        for coding in ["gzip", "GZIP", "br, identity", "deflate"] {
            let refused = ask(method.clone(), path, &anna, coding).await;
            refused.refused(415, "malformed");
            assert_eq!(refused.headers["accept-encoding"], "identity", "{method} {path}");
        }
    }
    for coding in ["identity", "Identity"] {
        let taken = ask(Method::POST, &messages, &anna, coding).await;
        assert_eq!(taken.status, StatusCode::CREATED, "{}", taken.body);
    }
    // Of one who is nobody it counts, as whatever came no further than its form.
    for _ in 0..3 {
        ask(Method::POST, "/sessions", "", "gzip").await.refused(415, "malformed");
    }
    ask(Method::POST, "/sessions", "", "gzip").await.refused(429, "rate_limited");
    server.app.stop().await;
}
