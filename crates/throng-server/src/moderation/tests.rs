//! What is kept, and how much of it: each bound from both sides.

use std::sync::Arc;

use throng_core::limits::{
    AUDIT_ENTRIES_MAX, BLOCKED_MAX, REPORTS_OF_ONE_MAX, REPORTS_OPEN_MAX, REPORTS_SETTLED_MAX,
};
use throng_core::{
    Act, Attachment, EventKind, FileHash, FileId, FileKind, FileName, RoomName, Seq, Settings,
    Timestamp, Topic,
};

use super::*;
use crate::samples;
use crate::store::RoomBatch;

fn memory() -> Moderation {
    Moderation::open(None, Box::new(|cause| panic!("{cause}"))).unwrap()
}

fn report(room: u32, seq: u64, by: u64) -> Report {
    Report {
        id: 0,
        room: samples::room(room),
        seq: Seq(seq),
        at: Timestamp(5),
        by: samples::author(by),
        about: samples::author(7),
        reason: "rude".to_owned(),
        body: "what was said".to_owned(),
        files: Box::default(),
        settled: None,
    }
}

fn settlement(by: u64) -> Settlement {
    Settlement { at: Timestamp(9), by: samples::author(by), upheld: true, note: String::new() }
}

#[test]
fn a_report_says_which_files_the_message_carried_until_it_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Moderation::open(Some(folder.path()), Box::new(|cause| panic!("{cause}")));
    let file = |name: &str| Attachment {
        id: FileId([1; 16]),
        hash: FileHash([2; 32]),
        kind: FileKind::Png,
        len: 7,
        size: (4, 3),
        name: FileName::parse(name).unwrap(),
    };
    let files = Box::new([file("cat.png"), file("dog.png")]);
    let (none, of_files) = (report(1, 4, 2), Report { files, ..report(1, 5, 2) });
    let kept = open().unwrap();
    let taken = [&none, &of_files].map(|one| kept.report(one).unwrap().id);
    drop(kept);
    let kept = open().unwrap();
    let told = |settled| {
        let page = kept.reports(samples::room(1), 0, 0, settled).unwrap();
        page.reports.into_iter().map(|report| report.files).collect::<Vec<_>>()
    };
    assert_eq!(told(false), [none.files.clone(), of_files.files.clone()]);
    kept.settle(samples::room(1), taken[1], &settlement(1)).unwrap();
    assert_eq!((told(false), told(true)), (vec![none.files.clone()], vec![Box::default()]));
    let own = kept.reported_by(samples::author(2).id, samples::room(1)).unwrap();
    assert_eq!(own.len(), 2, "{own:?}");
}

#[test]
fn a_report_waits_until_it_is_settled_once_and_in_its_own_room() {
    let kept = memory();
    let first = kept.report(&report(1, 5, 2)).unwrap();
    assert_eq!(kept.report(&report(1, 5, 2)), Ok(Reported { id: first.id, already: true }));
    let second = kept.report(&report(1, 5, 3)).unwrap();
    assert_eq!((first.already, second.already), (false, false));
    let waiting = |settled| {
        let page = kept.reports(samples::room(1), 0, 0, settled).unwrap();
        page.reports.into_iter().map(|report| (report.id, report.body)).collect::<Vec<_>>()
    };
    let text = "what was said".to_owned();
    assert_eq!(waiting(false), [(first.id, text.clone()), (second.id, text.clone())]);
    let settle = |room, id| kept.settle(samples::room(room), id, &settlement(1));
    assert_eq!(settle(2, first.id), Err(Rejection::NoSuchReport), "of another room");
    assert_eq!(settle(1, first.id), Ok(()));
    assert_eq!(settle(1, first.id), Err(Rejection::NoSuchReport), "settled before");
    assert_eq!(settle(1, u64::MAX), Err(Rejection::NoSuchReport));
    assert_eq!(
        (waiting(false), waiting(true)),
        (vec![(second.id, text)], vec![(first.id, String::new())])
    );
    let entries = kept.audit(samples::room(1), 0, 0).unwrap().entries;
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].act.as_str(), &entries[0].about),
        ("settle_report", &Some(samples::author(7)))
    );
    assert_eq!(entries[0].detail, format!("report {} of message 5 upheld", first.id));
}

#[test]
fn one_reporter_has_so_many_that_wait_in_a_room_and_a_room_so_many_of_all() {
    let kept = memory();
    let full = Err(Rejection::LimitReached);
    let of_one = REPORTS_OF_ONE_MAX as u64;
    for seq in 1..=of_one {
        kept.report(&report(1, seq, 2)).unwrap();
    }
    assert_eq!(kept.report(&report(1, of_one + 1, 2)), full);
    assert!(kept.report(&report(1, 1, 2)).unwrap().already, "what is there is there");
    assert!(kept.report(&report(2, 1, 2)).is_ok(), "another room");
    for number in of_one..REPORTS_OPEN_MAX as u64 {
        kept.report(&report(1, number, 3 + number / of_one)).unwrap();
    }
    assert_eq!(kept.report(&report(1, 1, 999)), full);
    let first = kept.reports(samples::room(1), 0, 1, false).unwrap().reports.remove(0).id;
    kept.settle(samples::room(1), first, &settlement(1)).unwrap();
    assert!(kept.report(&report(1, 1, 999)).is_ok(), "a place was given back");
}

#[test]
fn the_newest_settled_reports_are_kept_and_no_more() {
    let kept = memory();
    let room = samples::room(1);
    for number in 0..=REPORTS_SETTLED_MAX as u64 {
        let taken = kept.report(&report(1, number + 1, 2)).unwrap();
        kept.settle(room, taken.id, &settlement(1)).unwrap();
    }
    let (mut after, mut count) = (0, 0);
    loop {
        let page = kept.reports(room, after, 0, true).unwrap();
        count += page.reports.len();
        after = page.reports.last().map_or(after, |report| report.id);
        if !page.more {
            break;
        }
    }
    assert_eq!(count, REPORTS_SETTLED_MAX);
}

#[test]
fn the_audit_log_is_what_was_done_in_order_once_and_its_newest_entries() {
    let kept = memory();
    let room = samples::room(1);
    let moderated = |seq, act| {
        let (by, who) = (samples::author(1), samples::author(7));
        samples::event(room, seq, EventKind::Moderated { by, who, act })
    };
    let (by, whose) = (samples::author(1), Some(samples::author(7)));
    let topic = Some(Topic::parse("tea").unwrap());
    let name = Some(RoomName::parse("tea house").unwrap());
    let settings = Settings { name, topic, slow_seconds: Some(30), ..Settings::default() };
    let events = vec![
        moderated(3, Act::SetRole(throng_core::Role::Visitor)),
        samples::event(room, 4, EventKind::Deleted { by: by.clone(), of: Seq(2), whose }),
        samples::event(room, 5, EventKind::Deleted { by: by.clone(), of: Seq(2), whose: None }),
        samples::event(room, 6, EventKind::Set { by, settings: Box::new(settings) }),
    ];
    let batch = [RoomBatch { room, events }];
    kept.fold(&batch).unwrap();
    kept.fold(&batch).unwrap();
    let told = |before, limit| {
        let page = kept.audit(room, before, limit).unwrap();
        let line =
            |entry: &AuditEntry| format!("{} {} {}", entry.seq.unwrap(), entry.act, entry.detail);
        (
            page.entries.iter().map(line).collect::<Vec<_>>(),
            page.more,
            page.entries.last().map(|it| it.id),
        )
    };
    let (newest, more, last) = told(0, 2);
    assert_eq!(
        newest,
        ["6 set_room name \"tea house\", topic \"tea\", slow_seconds 30", "4 delete message 2"]
    );
    assert!(more);
    let (oldest, more, _) = told(last.unwrap(), 2);
    assert_eq!((oldest, more), (vec!["3 set_role visitor".to_owned()], false));

    let many = (7..=AUDIT_ENTRIES_MAX as u64 + 6).map(|seq| moderated(seq, Act::Mute));
    kept.fold(&[RoomBatch { room, events: many.collect() }]).unwrap();
    let (mut before, mut places) = (0, Vec::new());
    loop {
        let page = kept.audit(room, before, 0).unwrap();
        places.extend(page.entries.iter().map(|entry| entry.seq.unwrap().0));
        before = page.entries.last().unwrap().id;
        if !page.more {
            break;
        }
    }
    assert!(places.into_iter().rev().eq(7..=AUDIT_ENTRIES_MAX as u64 + 6));
}

#[test]
fn the_audit_log_is_by_time_whenever_its_entries_were_noted_and_pages_tell_each_once() {
    let kept = memory();
    let (room, by) = (samples::room(1), samples::author(1));
    let beside = |at, detail: &str| {
        let detail = detail.to_owned();
        let about = samples::author(7);
        let intent = kept.about_to(room, Timestamp(at), (&by, "drop_held"), &about, "unknown");
        kept.came_of(intent.unwrap(), Some(&detail)).unwrap();
    };
    let who = samples::author(7);
    let act = EventKind::Moderated { by: by.clone(), who, act: Act::Mute };
    let muted = samples::event(room, 3, act);
    let at = muted.at.0;
    // Beside the order it is noted at once, an event some time after it.
    for (when, detail) in [(at + 9, "d"), (at - 9, "a"), (at, "b"), (at + 9, "e")] {
        beside(when, detail);
    }
    kept.fold(&[RoomBatch { room, events: vec![muted] }]).unwrap();
    beside(at + 8, "c");
    let told = |entry: &AuditEntry| match &*entry.act {
        "mute" => "mute".to_owned(),
        _ => entry.detail.clone(),
    };
    for limit in [1, 2, 3, 9] {
        let (mut before, mut all) = (0, Vec::new());
        loop {
            let page = kept.audit(room, before, limit).unwrap();
            all.extend(page.entries.iter().map(told));
            before = page.entries.last().unwrap().id;
            if !page.more {
                break;
            }
        }
        assert_eq!(all, ["e", "d", "c", "mute", "b", "a"], "{limit} a page");
    }
    let beyond = kept.audit(room, u64::MAX, 0).unwrap();
    assert_eq!(beyond.entries.len(), 6, "a number that none has is after all");
}

#[test]
fn blocked_accounts_are_listed_bounded_and_still_blocked_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        || Moderation::open(Some(folder.path()), Box::new(|cause| panic!("{cause}"))).unwrap();
    let kept = open();
    let (anna, bert) = (samples::author(1), samples::author(2));
    assert_eq!(kept.block(anna.id, &anna), Err(Rejection::BadArgument));
    assert_eq!(kept.block(anna.id, &bert), Ok(()));
    assert_eq!(kept.block(anna.id, &bert), Ok(()), "again");
    assert!(kept.blocks(anna.id, bert.id) && !kept.blocks(bert.id, anna.id));
    for other in 3..=BLOCKED_MAX as u64 + 1 {
        kept.block(anna.id, &samples::author(other)).unwrap();
    }
    let one_more = samples::author(BLOCKED_MAX as u64 + 2);
    assert_eq!(kept.block(anna.id, &one_more), Err(Rejection::LimitReached));
    drop(kept);
    let kept = open();
    assert!(kept.blocks(anna.id, bert.id));
    let page = kept.blocked(anna.id, 0, 2).unwrap();
    assert_eq!((page.users, page.more), (vec![bert.clone(), samples::author(3)], true));
    kept.unblock(anna.id, bert.id).unwrap();
    assert!(!kept.blocks(anna.id, bert.id));
    assert_eq!(kept.block(anna.id, &one_more), Ok(()));
}

#[test]
fn one_that_is_named_no_more_is_blocked_without_a_name_until_that_is_forgotten() {
    let leavers: Arc<Leavers> = Arc::default();
    let kept = memory().without(Arc::clone(&leavers));
    let (anna, bert) = (samples::author(1), samples::author(2));
    kept.block(anna.id, &bert).unwrap();
    leavers.note(bert.clone(), Timestamp(5));
    let nameless = Author { name: Username::gone(), ..bert.clone() };
    assert_eq!(kept.blocked(anna.id, 0, 0).unwrap().users, [nameless]);
    kept.forget_blocks(bert.id).unwrap();
    assert_eq!(kept.blocked(anna.id, 0, 0).unwrap().users, []);
}

#[test]
fn a_file_of_another_program_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), "not a database, but long enough to look at").unwrap();
    let refused = Moderation::open(Some(folder.path()), Box::new(|_| ())).unwrap_err();
    assert!(refused.to_string().contains(FILE), "{refused}");
    let kept: Arc<Moderation> = Arc::new(memory());
    assert!(kept.audit(samples::room(1), 0, 0).unwrap().entries.is_empty());
}

#[test]
fn whom_one_blocks_is_told_from_memory_while_the_disk_keeps_another_change_waiting() {
    let kept = memory();
    let (anna, bert) = (samples::author(1), samples::author(2));
    std::thread::scope(|scope| {
        let disk = kept.tables();
        let blocking = scope.spawn(|| kept.block(anna.id, &bert));
        while kept.blocking.try_lock().is_ok() {
            std::thread::yield_now();
        }
        // It waits for the disk, and holds nothing that a shard, a fan-out or the runtime asks for.
        for _ in 0..1_000 {
            assert!(kept.blocks.try_read().is_ok());
        }
        assert!(!kept.blocks(anna.id, bert.id), "it is not durable yet");
        drop(disk);
        assert_eq!(blocking.join().unwrap(), Ok(()));
    });
    assert!(kept.blocks(anna.id, bert.id));
}

#[test]
fn what_was_about_to_be_done_is_noted_once_by_the_next_start_and_what_came_to_nothing_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Moderation::open(Some(folder.path()), Box::new(|cause| panic!("{cause}")));
    let (room, by, about) = (samples::room(1), samples::author(1), samples::author(7));
    let kept = open().unwrap();
    let about_to =
        |act, detail| kept.about_to(room, Timestamp(5), (&by, act), &about, detail).unwrap();
    let (done, refused) = (about_to("pass_held", "a"), about_to("drop_held", "b"));
    about_to("drop_held", "c");
    kept.came_of(done, Some("message 5")).unwrap();
    kept.came_of(refused, None).unwrap();
    let told = |kept: &Moderation| -> Vec<_> {
        let entries = kept.audit(room, 0, 0).unwrap().entries;
        entries.into_iter().map(|entry| (entry.act, entry.about, entry.detail)).collect()
    };
    let line = |act: &str, detail: &str| (act.into(), Some(about.clone()), detail.into());
    assert_eq!(told(&kept), [line("pass_held", "message 5")]);
    drop(kept);
    for _ in 0..2 {
        let kept = open().unwrap();
        assert_eq!(told(&kept), [line("drop_held", "c"), line("pass_held", "message 5")]);
    }
}
