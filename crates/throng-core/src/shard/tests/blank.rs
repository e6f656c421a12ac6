//! Messages of files that have no text: what may be left blank, and what is deleted all the same.

use super::*;
use crate::event::Extras;
use crate::file::{Attachment, FileHash, FileId, FileKind, FileName};

fn files() -> Option<Box<Extras>> {
    let file = Attachment {
        id: FileId([1; 16]),
        hash: FileHash([1; 32]),
        kind: FileKind::Png,
        len: 7,
        size: (1, 1),
        name: FileName::parse("cat.png").unwrap(),
    };
    Extras::carrying(0, &[], Box::new([file])).unwrap()
}

/// User 2 says this, with a file.
fn show(text: &str) -> Request {
    let (body, extras) = (Body::beside_files(text).unwrap(), files());
    let command = Command::Post { room: room(1), origin_id: None, body, extras };
    Request { from: user(2), command }
}

fn leave_blank(who: u64, of: u64) -> Request {
    let body = Body::beside_files("").unwrap();
    Request { from: user(who), command: Command::Edit { room: room(1), of: Seq(of), body } }
}

fn body_at(kept: &Kept, seq: usize) -> &Body {
    match &kept.events[seq - 1].kind {
        EventKind::Posted { body, .. } | EventKind::Edited { body, .. } => body,
        other => panic!("{other:?} has no text"),
    }
}

#[test]
fn the_text_of_a_message_of_files_is_left_blank_by_a_post_or_an_edit_and_no_other_is() {
    let mut kept = Kept::new(&Limits::default());
    kept.turn(&[create(1, 1), join(2, 1), show(""), post(2, 1, ""), show("look")]);
    assert!(body_at(&kept, 4).is_blank() && !body_at(&kept, 4).is_erased());
    let outcomes = kept.turn(&[
        leave_blank(2, 5),
        leave_blank(1, 6),
        leave_blank(2, 6),
        edit(2, 1, 4, "a cat"),
        leave_blank(2, 4),
        leave_blank(2, 3),
    ]);
    let (none, empty) = (Err(Rejection::NoSuchMessage), Err(Rejection::EmptyBody));
    assert_eq!(outcomes[..3], [empty, Err(Rejection::Forbidden), applied(7, false)]);
    assert_eq!(outcomes[3..], [applied(8, false), applied(9, false), none]);
    assert!(body_at(&kept, 7).is_blank() && body_at(&kept, 9).is_blank());
}

#[test]
fn a_blank_message_is_not_taken_for_a_deleted_one_nor_a_deleted_one_for_it() {
    let mut kept = Kept::new(&Limits::default());
    let react = |of| {
        let (of, reaction) = (Seq(of), crate::text::Reaction::parse("+1").unwrap());
        let command = Command::React { room: room(1), of, reaction, on: true };
        Request { from: user(1), command }
    };
    kept.turn(&[create(1, 1), join(2, 1), show(""), show("")]);
    assert_eq!(kept.turn(&[react(4)]), [applied(6, false)]);
    assert_eq!(kept.turn(&[delete(1, 1, 4)]), [applied(7, false)], "it is there to be deleted");
    let none = Err(Rejection::NoSuchMessage);
    assert_eq!(kept.turn(&[leave_blank(2, 4), react(4)]), [none, none]);
    assert_eq!(
        kept.turn(&[delete(1, 1, 4), leave_blank(2, 5)]),
        [applied(7, true), applied(8, false)]
    );
    let deleted = kept.events[4].erased();
    assert!(!deleted.stands() && kept.events[4].stands());
    let EventKind::Posted { body, extras, .. } = &deleted.kind else { panic!("a post") };
    assert!(body.is_erased() && !body.is_blank());
    assert!(!Extras::carry_files(extras.as_deref()), "and it carries nothing");
}
