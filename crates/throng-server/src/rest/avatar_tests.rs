//! Pictures of accounts and rooms, asked of a whole server on a folder of its own.

use axum::http::{Method, StatusCode};
use image::ImageFormat;
use serde_json::{Value, json};

use super::file_tests::start;
use super::tests::Server;
use crate::files::picture::tests::{bomb, picture};

impl Server {
    async fn put(&self, path: &str, token: &str, body: &Value) -> super::tests::Answered {
        self.send(Method::PUT, path, token, body).await
    }

    /// The members of a room, when the list is not behind it any more.
    async fn people(&self, token: &str, room: u64, seq: u64) -> Value {
        loop {
            let told = self.get(&format!("/api/v1/rooms/{room}/members"), token).await.json();
            if told["seq"].as_u64().unwrap() >= seq {
                return told["members"].clone();
            }
            tokio::task::yield_now().await;
        }
    }

    async fn listed(&self, token: &str) -> Value {
        self.get("/api/v1/rooms?mine=true", token).await.json()["rooms"][0].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_stands_for_an_account_and_is_had_by_its_hash_by_anyone_and_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |settings| settings.limits.requests_burst = 1_000_000);
    let (anna, bert) = (server.sign_up("anna").await, server.sign_up("bert").await);
    let room = server.room(&anna, "public").await;
    let file = server.send_file(&anna, "me.png", &picture(900, 600, ImageFormat::Png)).await;
    let mine = json!({"file": file});
    server.put("/api/v1/avatar", &bert, &mine).await.refused(404, "no_such_file");
    let set = server.put("/api/v1/avatar", &anna, &mine).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.body);
    let people = server.people(&anna, room, 2).await;
    let hash = people[0]["avatar"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/avatars/{hash}");
    let shown = server.fetch(&path, "", &[]).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert_eq!(blake3::hash(&shown.bytes).to_hex().as_str(), hash);
    let small = image::load_from_memory(&shown.bytes).unwrap();
    assert_eq!((small.width(), small.height()), (320, 213));
    let said = |name: &str| shown.headers[name].to_str().unwrap();
    assert_eq!(said("content-type"), "image/jpeg");
    assert_eq!(said("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(said("x-content-type-options"), "nosniff");
    assert!(said("content-security-policy").contains("sandbox"), "no script runs there");
    for absent in ["0".repeat(64), "x".to_owned(), hash[..63].to_owned()] {
        let path = format!("/api/v1/avatars/{absent}");
        server.get(&path, "").await.refused(404, "no_such_file");
    }
    let none = server.put("/api/v1/avatar", &anna, &json!({"file": ""})).await;
    assert_eq!(none.status, StatusCode::OK);
    assert_eq!(server.people(&anna, room, 2).await[0]["avatar"], Value::Null);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rooms_picture_is_changed_in_its_order_by_who_keeps_order_and_outlasts_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |_| {});
    let (anna, bert) = (server.sign_up("anna").await, server.sign_up("bert").await);
    let room = server.room(&anna, "public").await;
    server.post(&format!("/api/v1/rooms/{room}/join"), &bert, Value::Null).await;
    let path = format!("/api/v1/rooms/{room}/avatar");
    let berts = server.send_file(&bert, "b.png", &picture(40, 40, ImageFormat::Png)).await;
    server.put(&path, &bert, &json!({"file": berts})).await.refused(403, "forbidden");
    let nowhere = "/api/v1/rooms/77/avatar";
    server.put(nowhere, &bert, &json!({"file": berts})).await.refused(404, "no_such_room");
    let file = server.send_file(&anna, "r.png", &picture(40, 40, ImageFormat::Png)).await;
    let applied = server.put(&path, &anna, &json!({"file": file})).await;
    assert_eq!(applied.status, StatusCode::OK, "{}", applied.body);
    let hash = server.listed(&bert).await["avatar"].clone();
    assert_eq!(hash.as_str().unwrap().len(), 64);
    let page = server.get(&format!("/api/v1/rooms/{room}/messages?before=99&limit=1"), &bert).await;
    let event = &page.json()["events"][0];
    assert_eq!((&event["seq"], &event["set"]["avatar"]), (&applied.json()["seq"], &hash));
    server.end().await;
    // Once from the log, once from the store, where the fold has put it when a server ends.
    for _ in 0..2 {
        let server = start(folder.path(), |_| {});
        assert_eq!(server.listed(&bert).await["avatar"], hash);
        let shown = format!("/api/v1/avatars/{}", hash.as_str().unwrap());
        assert_eq!(server.fetch(&shown, "", &[]).await.status, StatusCode::OK);
        server.end().await;
    }
    let server = start(folder.path(), |_| {});
    assert_eq!(server.put(&path, &anna, &json!({"file": ""})).await.status, StatusCode::OK);
    assert_eq!(server.listed(&bert).await["avatar"], Value::Null);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_picture_or_a_bomb_stands_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |_| {});
    let anna = server.sign_up("anna").await;
    for bytes in [b"<script>alert(1)</script>".to_vec(), bomb(8_192)] {
        let file = server.send_file(&anna, "me.png", &bytes).await;
        let set = server.put("/api/v1/avatar", &anna, &json!({"file": file})).await;
        set.refused(400, "bad_picture");
    }
    // Few bytes that unpack to many, and that are read row by row: a logo, a screen.
    let logo = bomb(1_024);
    assert!(logo.len() < 8_192, "{} bytes", logo.len());
    let file = server.send_file(&anna, "logo.png", &logo).await;
    let set = server.put("/api/v1/avatar", &anna, &json!({"file": file})).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.body);
    server.end().await;
}
