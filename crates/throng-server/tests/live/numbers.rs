//! Numbers are given once, also where a file of the data folder was lost or is an older copy: who comes next
//! does not stand in another one's rooms, nor hear what was reported in a room that is no more.

use std::fs;
use std::path::Path;

use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, CreateRoom, RoomKind};

use super::Server;
use super::client::{Client, Speak, refused};

fn start(data: &Path) -> Server {
    let data = data.to_owned();
    Server::with(move |settings| {
        settings.memory = false;
        settings.data = data;
    })
}

/// A file of the folder, with its journal.
fn lose(data: &Path, name: &str) {
    for end in ["", "-wal", "-shm"] {
        _ = fs::remove_file(data.join(format!("{name}{end}")));
    }
}

fn den(client: &mut Client) -> u32 {
    let kind = RoomKind::Private as i32;
    let made = CreateRoom { name: "den".into(), kind, ..CreateRoom::default() };
    match client.ask(Request::CreateRoom(made)) {
        Outcome::Joined(joined) => joined.room,
        other => panic!("{other:?}"),
    }
}

fn page(client: &mut Client, room: u32) -> Outcome {
    client.ask(Request::History(v1::History { room, ..v1::History::default() }))
}

#[test]
fn who_signs_up_after_the_accounts_were_lost_is_nobody_that_was_known() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path());
    let mut anna = server.join_in(Speak::Json, "anna");
    let room = den(&mut anna);
    anna.post(room, "for me alone");
    let lobby = anna.create("lobby");
    // One that has left all its rooms, and is in none of their lists.
    let mut ben = server.join_in(Speak::Raw, "ben");
    ben.join(lobby);
    ben.post(lobby, "I was here");
    assert!(matches!(ben.ask(Request::Leave(v1::Leave { room: lobby })), Outcome::Left(_)));
    let last = ben.user;
    assert!(last > anna.user);
    drop((anna, ben));
    server.stop();
    lose(folder.path(), "accounts.db");

    for name in ["eve", "eva"] {
        let mut server = start(folder.path());
        let mut eve = server.join_in(Speak::Json, name);
        assert!(eve.user > last, "{} was somebody's number", eve.user);
        assert_eq!(refused(&page(&mut eve, room)), 205, "a private room of others");
        eve.join(lobby);
        assert!(matches!(page(&mut eve, lobby), Outcome::Page(_)));
        drop(eve);
        server.stop();
    }
}

#[test]
fn an_older_copy_of_the_accounts_gives_no_number_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path());
    let anna = server.join_in(Speak::Json, "anna").user;
    server.stop();
    let files = ["accounts.db", "accounts.db-wal"].map(|name| folder.path().join(name));
    let copies = files.clone().map(|file| fs::read(file).ok());
    let mut server = start(folder.path());
    let mut ben = server.join_in(Speak::Json, "ben");
    let room = den(&mut ben);
    let known = ben.user;
    drop(ben);
    server.stop();
    lose(folder.path(), "accounts.db");
    for (file, copy) in files.iter().zip(copies) {
        if let Some(bytes) = copy {
            fs::write(file, bytes).unwrap();
        }
    }

    let server = start(folder.path());
    let mut eve = server.join_in(Speak::Json, "eve");
    assert!(known > anna && eve.user > known, "{anna} {known} {}", eve.user);
    assert_eq!(refused(&page(&mut eve, room)), 205);
}

#[test]
fn a_room_that_is_made_after_the_rooms_were_lost_has_nobody_elses_reports() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path());
    let mut anna = server.join_in(Speak::Json, "anna");
    let room = anna.create("lobby");
    let said = anna.post(room, "what was said in confidence").seq;
    let mut ben = server.join_in(Speak::Raw, "ben");
    ben.join(room);
    let report = v1::Report { room, seq: said, reason: "rude".into() };
    assert!(matches!(ben.ask(Request::Report(report)), Outcome::Reported(_)));
    drop((anna, ben));
    server.stop();
    lose(folder.path(), "log.db");
    lose(folder.path(), "store.db");

    let server = start(folder.path());
    let mut eve = server.join_in(Speak::Json, "eve");
    let made = eve.create("lobby");
    assert!(made > room, "{made}");
    let reports = v1::ListReports { room: made, ..v1::ListReports::default() };
    match eve.ask(Request::ListReports(reports)) {
        Outcome::Reports(told) => assert_eq!(told.reports, []),
        other => panic!("{other:?}"),
    }
}
