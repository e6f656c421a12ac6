//! Files over HTTP, asked of a whole server on a folder of its own: they come in parts, are carried by
//! messages, are read by who may, and every limit holds from both sides.

use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Frame;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::tests::{Answered, Server};
use crate::config::Settings;
use crate::files::picture::tests::{bomb, picture};

const PART: &str = "application/offset+octet-stream";

pub struct Fetched {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

pub fn start(folder: &Path, change: impl FnOnce(&mut Settings)) -> Server {
    Server::start(|settings| {
        settings.memory = false;
        settings.data = folder.to_owned();
        settings.limits.disk_free_min = 0;
        change(settings);
    })
}

impl Server {
    async fn announce(&self, token: &str, name: &str, len: u64) -> Answered {
        use base64::Engine as _;
        let name = base64::engine::general_purpose::STANDARD.encode(name);
        let request = Request::post("/api/v1/files")
            .header("authorization", format!("Bearer {token}"))
            .header("tus-resumable", "1.0.0")
            .header("upload-length", len)
            .header("upload-metadata", format!("filename {name},filetype aW1hZ2UvcG5n"));
        self.ask(request.body(Body::empty()).unwrap()).await
    }

    async fn add(&self, token: &str, path: &str, at: u64, bytes: impl Into<Body>) -> Answered {
        let request = Request::patch(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", PART)
            .header("upload-offset", at);
        self.ask(request.body(bytes.into()).unwrap()).await
    }

    /// Sends a file, and gives its id.
    pub async fn send_file(&self, token: &str, name: &str, bytes: &[u8]) -> String {
        let announced = self.announce(token, name, bytes.len() as u64).await;
        assert_eq!(announced.status, StatusCode::CREATED, "{}", announced.body);
        let path = announced.headers["location"].to_str().unwrap().to_owned();
        let added = self.add(token, &path, 0, bytes.to_vec()).await;
        assert_eq!(added.status, StatusCode::NO_CONTENT, "{}", added.body);
        announced.json()["file"]["id"].as_str().unwrap().to_owned()
    }

    pub async fn fetch(&self, path: &str, token: &str, head: &[(&str, &str)]) -> Fetched {
        let mut request = Request::get(path).header("authorization", format!("Bearer {token}"));
        for (name, value) in head {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Fetched { status: parts.status, headers: parts.headers, bytes }
    }

    /// Stops, and gives the folder back.
    pub async fn end(self) {
        self.app.stop().await;
        drop(self.router);
    }

    pub async fn room(&self, token: &str, kind: &str) -> u64 {
        let made = json!({"name": "hall", "kind": kind});
        self.post("/api/v1/rooms", token, made).await.json()["room"].as_u64().unwrap()
    }

    async fn carry(&self, token: &str, room: u64, files: &[&str]) -> Answered {
        let said = json!({"body": "look", "attachments": files});
        self.post(&format!("/api/v1/rooms/{room}/messages"), token, said).await
    }
}

fn path(room: u64, seq: &Value, file: &str) -> String {
    format!("/api/v1/rooms/{room}/messages/{seq}/files/{file}")
}

/// What lies in the folder of files, below this.
fn lying(folder: &Path, below: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("files").join(below)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filtered_word_is_refused_in_the_name_of_a_file_to_those_who_do_not_keep_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |_| {});
    let (anna, bert) = (server.sign_up("anna").await, server.sign_up("bert").await);
    let room = server.room(&anna, "public").await;
    server.post(&format!("/api/v1/rooms/{room}/join"), &bert, json!({})).await;
    let (method, words) = (Method::PATCH, json!({"words": {"list": ["rose"]}}));
    let set = server.send(method, &format!("/api/v1/rooms/{room}"), &anna, &words).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.body);
    let named = "buy my R\u{f3}se.txt";
    let files = [
        server.send_file(&bert, named, b"x").await,
        server.send_file(&bert, "roses.txt", b"x").await,
    ];
    let refused = server.carry(&bert, room, &[&files[1], &files[0]]).await;
    assert_eq!(
        (refused.status, &refused.json()["rejected"]["code"]),
        (StatusCode::FORBIDDEN, &json!(250))
    );
    assert_eq!(server.carry(&bert, room, &[&files[1]]).await.status, StatusCode::CREATED);
    let hers = server.send_file(&anna, named, b"x").await;
    assert_eq!(server.carry(&anna, room, &[&hers]).await.status, StatusCode::CREATED);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_comes_in_parts_over_a_restart_too_and_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |_| {});
    let anna = server.sign_up("anna").await;
    let discovered = server.send(Method::OPTIONS, "/api/v1/files", "", &Value::Null).await;
    assert_eq!(discovered.status, StatusCode::NO_CONTENT);
    assert_eq!(discovered.headers["tus-version"], "1.0.0");
    let announced = server.announce(&anna, "../cat.txt", 10).await;
    assert_eq!(announced.json()["file"]["name"], "cat.txt", "{}", announced.body);
    let path = announced.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(server.add(&anna, &path, 0, "hello").await.headers["upload-offset"], "5");
    for at in [0, 4, 6] {
        server.add(&anna, &path, at, "world").await.refused(409, "wrong_offset");
    }
    server.end().await;

    let server = start(folder.path(), |_| {});
    let far = server.send(Method::HEAD, &path, &anna, &Value::Null).await;
    assert_eq!(far.headers["upload-offset"], "5");
    assert_eq!(far.headers["upload-length"], "10");
    server.add(&anna, &path, 5, "world!").await.refused(413, "file_too_large");
    let bert = server.sign_up("bert").await;
    server.get(&path, &bert).await.refused(404, "no_such_file");
    server.add(&bert, &path, 5, "world").await.refused(404, "no_such_file");
    let last = server.add(&anna, &path, 5, "world").await;
    assert_eq!(last.status, StatusCode::NO_CONTENT, "{}", last.body);
    assert_eq!(last.headers["upload-offset"], "10");
    let whole = server.get(&path, &anna).await.json();
    let hash = blake3::hash(b"helloworld").to_hex().to_string();
    assert_eq!((&whole["whole"], &whole["file"]["hash"]), (&json!(true), &json!(hash)));
    // What it is, is not what the client called it.
    assert_eq!(whole["file"]["type"], "text/plain; charset=utf-8");
    assert_eq!(lying(folder.path(), "whole"), [hash]);
    assert!(lying(folder.path(), "parts").is_empty());
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_of_tus_and_another_kind_of_body_are_refused_as_tus_says() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |_| {});
    let anna = server.sign_up("anna").await;
    let authorized = format!("Bearer {anna}");
    let other = Request::post("/api/v1/files").header("authorization", &authorized);
    let other = other.header("tus-resumable", "0.2.2").body(Body::empty()).unwrap();
    let other = server.ask(other).await;
    assert_eq!(
        (other.status.as_u16(), &other.headers["tus-version"]),
        (412, &"1.0.0".parse().unwrap())
    );
    let announced = server.announce(&anna, "a", 1).await;
    let path = announced.headers["location"].to_str().unwrap().to_owned();
    let plain = Request::patch(&path).header("authorization", &authorized);
    let plain = plain.header("upload-offset", 0).body(Body::from("a")).unwrap();
    assert_eq!(server.ask(plain).await.status.as_u16(), 415);
    let gone = server.send(Method::DELETE, &path, &anna, &Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    server.get(&path, &anna).await.refused(404, "no_such_file");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_read_by_those_who_may_read_its_message_and_by_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |_| {});
    let (anna, bert) = (server.sign_up("anna").await, server.sign_up("bert").await);
    let room = server.room(&anna, "private").await;
    let bytes = picture(640, 480, image::ImageFormat::Png);
    let file = server.send_file(&anna, "cat.png", &bytes).await;
    server.carry(&bert, room, &[&file]).await.refused(404, "no_such_file");
    let posted = server.carry(&anna, room, &[&file]).await;
    assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.body);
    let seq = posted.json()["seq"].clone();
    let absent = path(999, &seq, &file);
    let path = path(room, &seq, &file);
    let messages = format!("/api/v1/rooms/{room}/messages");
    let page = server.get(&messages, &anna).await.json();
    let carried =
        page["events"].as_array().unwrap().last().unwrap()["message"]["attachments"][0].clone();
    assert_eq!(carried["type"], "image/png");
    assert_eq!((&carried["width"], &carried["height"]), (&json!(640), &json!(480)));

    // To one outside it is as if neither room nor file were there.
    let absent = server.get(&absent, &bert).await.body;
    assert_eq!(server.get(&path, &bert).await.body, absent);
    let moderation = format!("/api/v1/rooms/{room}/moderation");
    server.post(&moderation, &anna, json!({"act": "invite", "name": "bert"})).await;
    server.post(&format!("/api/v1/rooms/{room}/join"), &bert, Value::Null).await;
    let read = server.fetch(&path, &bert, &[]).await;
    assert_eq!((read.status, &read.bytes[..]), (StatusCode::OK, &bytes[..]));
    let header = |name: &str| read.headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), "image/png");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-disposition"), "inline; filename*=UTF-8''cat.png");
    assert!(header("content-security-policy").contains("default-src 'none'; sandbox"));
    assert_eq!(header("content-length"), bytes.len().to_string());
    let tag = header("etag").to_owned();
    let known = server.fetch(&path, &bert, &[("if-none-match", &tag)]).await;
    assert_eq!((known.status, known.bytes.len()), (StatusCode::NOT_MODIFIED, 0));
    let part = server.fetch(&path, &bert, &[("range", "bytes=1-3")]).await;
    assert_eq!((part.status.as_u16(), &part.bytes[..]), (206, &b"PNG"[..]));
    let beyond = server.fetch(&path, &bert, &[("range", "bytes=99999999-")]).await;
    assert_eq!(beyond.status.as_u16(), 416);

    server.post(&moderation, &anna, json!({"act": "kick", "name": "bert"})).await;
    for known in [&[][..], &[("if-none-match", &*tag)][..]] {
        assert_eq!(server.fetch(&path, &bert, known).await.status, StatusCode::NOT_FOUND);
    }
    let deleted =
        server.send(Method::DELETE, &format!("{messages}/{seq}"), &anna, &Value::Null).await;
    assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.body);
    server.get(&path, &anna).await.refused(404, "no_such_file");
    let page = server.get(&messages, &anna).await.body;
    assert!(!page.contains(&file), "a deleted message carries nothing: {page}");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_run_as_a_script_is_served_as_a_download_of_text() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |_| {});
    let anna = server.sign_up("anna").await;
    let room = server.room(&anna, "public").await;
    for (name, bytes) in [("a.png", "<script>1</script>"), ("a.svg", "<svg onload='1'/>")] {
        let file = server.send_file(&anna, name, bytes.as_bytes()).await;
        let seq = server.carry(&anna, room, &[&file]).await.json()["seq"].clone();
        let read = server.fetch(&path(room, &seq, &file), &anna, &[]).await;
        assert_eq!(read.headers["content-type"], "text/plain; charset=utf-8");
        assert!(read.headers["content-disposition"].to_str().unwrap().starts_with("attachment;"));
        server.get(&(path(room, &seq, &file) + "/small"), &anna).await.refused(404, "no_such_file");
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_has_a_small_one_and_a_bomb_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |_| {});
    let anna = server.sign_up("anna").await;
    let room = server.room(&anna, "public").await;
    let large = picture(1_600, 1_200, image::ImageFormat::Jpeg);
    let file = server.send_file(&anna, "a.jpg", &large).await;
    let seq = server.carry(&anna, room, &[&file]).await.json()["seq"].clone();
    for _ in 0..2 {
        let small = server.fetch(&(path(room, &seq, &file) + "/small"), &anna, &[]).await;
        assert_eq!(
            (small.status, &small.headers["content-type"]),
            (StatusCode::OK, &"image/jpeg".parse().unwrap())
        );
        let small = image::load_from_memory(&small.bytes).unwrap();
        assert_eq!((small.width(), small.height()), (320, 240));
    }
    assert_eq!(lying(folder.path(), "small").len(), 1);
    let file = server.send_file(&anna, "b.png", &bomb(8_192)).await;
    let seq = server.carry(&anna, room, &[&file]).await.json()["seq"].clone();
    server.get(&(path(room, &seq, &file) + "/small"), &anna).await.refused(404, "no_such_file");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_taken_up_to_their_limits_and_not_one_beyond() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |settings| {
        settings.limits.file_len_max = 100;
        settings.limits.files_len_per_user_max = 250;
        settings.limits.files_per_user_max = 5;
        settings.limits.uploads_per_user_max = 2;
    });
    let anna = server.sign_up("anna").await;
    server.announce(&anna, "a", 0).await.refused(400, "bad_argument");
    server.announce(&anna, "a", 101).await.refused(413, "file_too_large");
    // Two on their way, and not three; a whole one is not on its way.
    let first = server.send_file(&anna, "a", &[1; 99]).await;
    for len in [100, 1] {
        assert_eq!(server.announce(&anna, "a", len).await.status, StatusCode::CREATED);
    }
    server.announce(&anna, "a", 1).await.refused(403, "quota_exceeded");
    // 200 of 250 bytes are announced.
    let bert = server.sign_up("bert").await;
    for len in [100, 99] {
        server.send_file(&bert, "b", &vec![2; len]).await;
    }
    server.announce(&bert, "b", 52).await.refused(403, "quota_exceeded");
    server.send_file(&bert, "b", &[2; 51]).await;
    server.announce(&bert, "b", 1).await.refused(403, "quota_exceeded");
    let cleo = server.sign_up("cleo").await;
    for _ in 0..5 {
        server.send_file(&cleo, "c", b"c").await;
    }
    server.announce(&cleo, "c", 1).await.refused(403, "quota_exceeded");
    assert_eq!(server.get(&format!("/api/v1/files/{first}"), &anna).await.status, StatusCode::OK);
    // A name at its limit, and beyond it.
    let dora = server.sign_up("dora").await;
    for (len, status) in [(254, 201), (255, 201), (256, 400)] {
        let named = server.announce(&dora, &"x".repeat(len), 1).await;
        assert_eq!(named.status.as_u16(), status, "{len}: {}", named.body);
        if status == 201 {
            let path = named.headers["location"].to_str().unwrap().to_owned();
            server.add(&dora, &path, 0, "x").await;
        }
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_carries_ten_files_and_not_eleven() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |_| {});
    let anna = server.sign_up("anna").await;
    let room = server.room(&anna, "public").await;
    let mut files = Vec::new();
    for number in 0..11 {
        files.push(server.send_file(&anna, "a", &[number + 1]).await);
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    for (count, status) in [(9, 201), (10, 201), (11, 400)] {
        let carried = server.carry(&anna, room, &files[..count]).await;
        assert_eq!(carried.status.as_u16(), status, "{count}: {}", carried.body);
    }
    server.carry(&anna, room, &["x"]).await.refused(404, "no_such_file");
    let part = server.announce(&anna, "part", 2).await.json()["file"]["id"].clone();
    server.carry(&anna, room, &[part.as_str().unwrap()]).await.refused(404, "no_such_file");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_for_which_the_disk_has_no_room_is_refused_and_goes_on_when_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |_| {});
    let anna = server.sign_up("anna").await;
    let announced = server.announce(&anna, "a", 10).await;
    let path = announced.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(server.add(&anna, &path, 0, "hello").await.status, StatusCode::NO_CONTENT);
    assert_eq!(lying(folder.path(), "parts").len(), 1);
    server.end().await;

    // What is free now is less than what must stay free.
    let server = start(folder.path(), |settings| settings.limits.disk_free_min = u64::MAX);
    server.announce(&anna, "b", 1).await.refused(507, "disk_full");
    server.add(&anna, &path, 5, "world").await.refused(507, "disk_full");
    // Nothing that was told to have come is lost, and nothing else takes room.
    assert_eq!(server.get(&path, &anna).await.json()["here"], 5);
    let part = path.rsplit('/').next().unwrap();
    assert_eq!(std::fs::read(folder.path().join("files/parts").join(part)).unwrap(), b"hello");
    let room = server.room(&anna, "public").await;
    let said = server.carry(&anna, room, &[]).await;
    assert_eq!(said.status, StatusCode::CREATED, "chat goes on: {}", said.body);
    server.end().await;

    let server = start(folder.path(), |_| {});
    let added = server.add(&anna, &path, 5, "world").await;
    assert_eq!(added.headers["upload-offset"], "10", "{}", added.body);
    server.app.stop().await;
}

/// A body that gives its first piece, and nothing more.
struct Stalled(Option<Bytes>);

impl hyper::body::Body for Stalled {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_stops_sending_holds_no_place_and_loses_nothing_that_came() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), |settings| {
        settings.limits.transfer_stall_ms = 100;
        settings.limits.transfers_per_user_max = 1;
    });
    let anna = server.sign_up("anna").await;
    let announced = server.announce(&anna, "a", 10).await;
    let path = announced.headers["location"].to_str().unwrap().to_owned();
    let stalled = Body::new(Stalled(Some(Bytes::from_static(b"hello"))));
    server.add(&anna, &path, 0, stalled).await.refused(400, "malformed");
    let added = server.add(&anna, &path, 5, "world").await;
    assert_eq!(added.headers["upload-offset"], "10", "{}", added.body);
    server.app.stop().await;
}
