//! What those who keep order have besides moderation of persons: a word filter, taking away all that
//! one has said, reports and the audit log; and what anyone has: blocking somebody.

use throng_core::limits::PINS_MAX;
use throng_wire::native::v1::client_frame::Request;
use throng_wire::native::v1::event::What;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::v1::{self, Act};

use super::Server;
use super::client::{Client, Speak, body, post, refused};
use super::moderation::{applied, moderate};
use super::rights::{http, http_body};

/// A room of a host and a guest.
fn room_of_two(server: &Server) -> (Client, Client, u32) {
    let mut host = server.join_in(Speak::Json, "host");
    let room = host.create("tea");
    let mut guest = server.join_in(Speak::Raw, "guest");
    guest.join(room);
    (host, guest, room)
}

fn filter(room: u32, list: &[&str]) -> Request {
    let list = list.iter().map(|word| (*word).to_owned()).collect();
    let words = Some(v1::Words { list });
    Request::SetRoom(v1::SetRoom { room, words, ..v1::SetRoom::default() })
}

#[test]
fn a_filtered_word_is_refused_to_members_in_posts_and_edits_and_its_list_is_for_keepers() {
    let server = Server::start();
    let (mut host, mut guest, room) = room_of_two(&server);
    let before = guest.post(room, "I like spam").seq;
    assert_eq!(refused(&guest.ask(filter(room, &["tea"]))), 210);
    applied(host.ask(filter(room, &["Spam", "*ham*"])));
    for said in ["spam", "so much S\u{200b}PAM!", "a hamster", "\u{ff53}p\u{430}m"] {
        assert_eq!(refused(&guest.ask(post(room, said))), 250, "{said}");
        let edit = v1::Edit { room, seq: before, body: said.into() };
        assert_eq!(refused(&guest.ask(Request::Edit(edit))), 250, "{said}");
    }
    for said in ["sp\u{7}am", "sp\0am", "\u{1}spam", "spa\u{7f}m", "spam\u{85}!", "tea\tspam\nx"] {
        assert_eq!(refused(&guest.ask(post(room, said))), 250, "{said:?}");
        let said = serde_json::json!({ "body": said }).to_string();
        let path = format!("/rooms/{room}/messages");
        assert_eq!(http(&server, &guest.token, "POST", &path, &said).0, 250, "{said}");
    }
    guest.post(room, "sp\tam");
    guest.post(room, "spammers");
    host.post(room, "do not say spam");
    let words = Request::ListWords(v1::ListWords { room });
    assert_eq!(refused(&guest.ask(words.clone())), 210);
    match host.ask(words.clone()) {
        Outcome::Words(words) => assert_eq!(words.list, ["Spam", "*ham*"]),
        other => panic!("{other:?}"),
    }
    // What all are told is how many, not which.
    let told = guest.events.iter().find_map(|event| match &event.what {
        Some(What::Set(set)) => set.words,
        _ => None,
    });
    assert_eq!(told, Some(2));
    applied(host.ask(filter(room, &[])));
    guest.post(room, "spam");
}

#[test]
fn all_that_one_has_said_is_gone_from_pages_and_resumes_and_what_comes_after_is_not() {
    let server = Server::start();
    let (mut host, mut guest, room) = room_of_two(&server);
    let first = guest.post(room, "buy this").seq;
    let edit = v1::Edit { room, seq: first, body: "buy that".into() };
    applied(guest.ask(Request::Edit(edit.clone())));
    let hosts = host.post(room, "please do not").seq;
    guest.post(room, "buy all");
    assert_eq!(refused(&guest.ask(moderate(room, Act::DeleteAll, host.user))), 210);
    // Also of one who is gone.
    applied(host.ask(moderate(room, Act::Ban, guest.user)));
    let swept = applied(host.ask(moderate(room, Act::DeleteAll, guest.user)));
    assert!(!swept.already);
    applied(host.ask(moderate(room, Act::Unban, guest.user)));
    guest.join(room);
    let after = guest.post(room, "sorry").seq;
    assert_eq!(refused(&guest.ask(Request::Edit(edit))), 215);
    let texts = |events: &[v1::Event]| -> Vec<(u64, String)> {
        let texts = events.iter().filter(|event| !body(event).is_empty());
        texts.map(|event| (event.seq, body(event).to_owned())).collect()
    };
    let left = vec![(hosts, "please do not".to_owned()), (after, "sorry".to_owned())];
    let deleted = |events: &[v1::Event]| {
        let deleted = |event: &&v1::Event| match &event.what {
            Some(What::Message(message)) => message.deleted,
            Some(What::Edited(edited)) => edited.body.is_empty(),
            _ => false,
        };
        events.iter().filter(deleted).count()
    };
    let pages = Request::History(v1::History { room, ..v1::History::default() });
    let Outcome::Page(page) = host.ask(pages) else { panic!("no page") };
    assert_eq!((texts(&page.events), deleted(&page.events)), (left.clone(), 3));
    let mut late = server.connect(Speak::Protobuf);
    late.authenticate(&host.token);
    assert!(matches!(late.subscribe(room, Some(2)), Outcome::Subscribed(_)));
    let resumed: Vec<_> = late.events.drain(..).collect();
    assert_eq!((texts(&resumed), deleted(&resumed)), (left, 3));
    assert!(resumed.iter().any(|event| event.seq == swept.seq));
    // Again: what came since goes too.
    applied(host.ask(moderate(room, Act::DeleteAll, guest.user)));
    let pages = Request::History(v1::History { room, ..v1::History::default() });
    let Outcome::Page(page) = host.ask(pages) else { panic!("no page") };
    assert_eq!(texts(&page.events), [(hosts, "please do not".to_owned())]);
}

#[test]
fn what_is_pinned_of_one_goes_with_all_that_it_said_and_gives_its_place_back() {
    let server = Server::with(|settings| settings.limits.sends_burst = 10_000);
    let (mut host, mut guest, room) = room_of_two(&server);
    let pin = |seq| Request::Pin(v1::Pin { room, seq });
    let hosts = host.post(room, "the rules").seq;
    applied(host.ask(pin(hosts)));
    let guests: Vec<u64> = (1..PINS_MAX).map(|_| guest.post(room, "buy").seq).collect();
    for seq in &guests {
        applied(host.ask(pin(*seq)));
    }
    let more = host.post(room, "one more").seq;
    assert_eq!(refused(&host.ask(pin(more))), 208, "as many as may be");
    guest.events.clear();
    let swept = applied(host.ask(moderate(room, Act::DeleteAll, guest.user))).seq;
    let pinned = |host: &mut Client| {
        let asked = v1::Pins { room, ..v1::Pins::default() };
        let Outcome::Page(page) = host.ask(Request::Pins(asked)) else { panic!("no page") };
        let told = http_body(&server, &host.token, "GET", &format!("/rooms/{room}/pins"), "");
        let seqs: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
        let rest = told["events"].as_array().unwrap().iter();
        assert_eq!(rest.map(|event| event["seq"].as_u64().unwrap()).collect::<Vec<_>>(), seqs);
        seqs
    };
    assert_eq!(pinned(&mut host), [hosts]);
    applied(host.ask(pin(more)));
    assert_eq!(pinned(&mut host), [hosts, more]);
    // All were told, before it.
    let mut taken_off = Vec::new();
    loop {
        let event = guest.event();
        match event.what {
            Some(What::Pinned(pinned)) if pinned.removed => taken_off.push(pinned.of),
            Some(What::Moderated(_)) => break assert_eq!(event.seq, swept),
            _ => {}
        }
    }
    assert_eq!(taken_off, guests);
}

fn reports(room: u32, settled: bool) -> Request {
    Request::ListReports(v1::ListReports { room, settled, ..v1::ListReports::default() })
}

#[test]
fn a_report_is_seen_and_settled_by_those_who_keep_order_and_keeps_what_was_said() {
    let server = Server::start();
    let (mut host, mut guest, room) = room_of_two(&server);
    let said = guest.post(room, "rude").seq;
    let report = |seq| Request::Report(v1::Report { room, seq, reason: "rude".into() });
    let mut stranger = server.join_in(Speak::Protobuf, "stranger");
    assert_eq!(refused(&stranger.ask(report(said))), 206);
    stranger.join(room);
    for nothing in [1, said + 2, u64::MAX] {
        assert_eq!(refused(&stranger.ask(report(nothing))), 215, "{nothing}");
    }
    let Outcome::Reported(taken) = stranger.ask(report(said)) else { panic!("not taken") };
    assert!(!taken.already);
    applied(guest.ask(Request::Delete(v1::Delete { room, seq: said })));
    assert_eq!(refused(&host.ask(report(said))), 215, "it is gone");
    assert_eq!(refused(&stranger.ask(reports(room, false))), 210);
    let Outcome::Reports(page) = host.ask(reports(room, false)) else { panic!("no page") };
    assert_eq!((page.reports.len(), page.more), (1, false));
    assert_eq!((page.reports[0].body.as_str(), page.reports[0].seq), ("rude", said));
    let settle = v1::SettleReport { room, report: taken.report, ..v1::SettleReport::default() };
    assert_eq!(refused(&stranger.ask(Request::SettleReport(settle.clone()))), 210);
    assert_eq!(host.ask(Request::SettleReport(settle.clone())), Outcome::Done(v1::Done {}));
    assert_eq!(refused(&host.ask(Request::SettleReport(settle))), 251);
    let Outcome::Reports(page) = host.ask(reports(room, true)) else { panic!("no page") };
    assert_eq!((page.reports.len(), page.reports[0].body.as_str()), (1, ""));
}

#[test]
fn the_audit_log_has_every_act_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_owned();
    let start = || {
        let data = data.clone();
        Server::with(move |settings| {
            settings.memory = false;
            settings.data = data;
        })
    };
    let mut server = start();
    let (mut host, mut guest, room) = room_of_two(&server);
    let said = guest.post(room, "hi").seq;
    applied(host.ask(Request::Delete(v1::Delete { room, seq: said })));
    applied(host.ask(filter(room, &["spam"])));
    applied(host.ask(moderate(room, Act::Kick, guest.user)));
    let audit = Request::ListAudit(v1::ListAudit { room, ..v1::ListAudit::default() });
    assert_eq!(refused(&guest.ask(audit.clone())), 206);
    let acts = |client: &mut Client| -> Vec<String> {
        let Outcome::Audit(page) = client.ask(audit.clone()) else { panic!("no page") };
        page.entries.into_iter().map(|entry| entry.what).collect()
    };
    assert!(acts(&mut host).len() <= 3);
    let token = host.token.clone();
    drop((host, guest));
    server.stop();
    let server = start();
    let mut host = server.connect(Speak::Raw);
    host.authenticate(&token);
    assert_eq!(acts(&mut host), ["kick", "set_room", "delete"]);
}

#[test]
fn whom_one_blocks_is_listed_until_it_is_unblocked() {
    let server = Server::start();
    let (mut host, mut guest, _) = room_of_two(&server);
    let block = |user, name: &str| Request::Block(v1::Block { user, name: name.into() });
    assert_eq!(refused(&host.ask(block(host.user, ""))), 108, "oneself");
    assert_eq!(refused(&host.ask(block(999, ""))), 214);
    assert_eq!(host.ask(block(0, "Guest")), Outcome::Done(v1::Done {}));
    let blocked = |client: &mut Client| -> Vec<u64> {
        let list = Request::ListBlocked(v1::ListBlocked::default());
        let Outcome::Blocked(page) = client.ask(list) else { panic!("no page") };
        page.users.iter().map(|user| user.id).collect()
    };
    assert_eq!(blocked(&mut host), [guest.user]);
    let write = |user| Request::OpenDirect(v1::OpenDirect { user, ..v1::OpenDirect::default() });
    assert_eq!(refused(&guest.ask(write(host.user))), 252, "the blocked one cannot write");
    assert!(matches!(host.ask(write(guest.user)), Outcome::Joined(_)), "the other one can");
    let unblock = v1::Unblock { user: guest.user, ..v1::Unblock::default() };
    assert_eq!(host.ask(Request::Unblock(unblock)), Outcome::Done(v1::Done {}));
    assert!(blocked(&mut host).is_empty());
    assert!(matches!(guest.ask(write(host.user)), Outcome::Joined(_)));
}
