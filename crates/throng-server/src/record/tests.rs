//! What is written is read again, and what is not whole is refused.

use proptest::prelude::*;

use super::*;
use crate::samples;

fn turn(events: &[Arc<Event>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_turn(events, &mut bytes);
    bytes
}

fn read_turn(bytes: &[u8]) -> Result<Vec<Event>, RecordError> {
    let mut events = Vec::new();
    decode_turn(bytes, |event| events.push(event))?;
    Ok(events)
}

fn read_block(room: RoomId, first: Seq, bytes: &[u8]) -> Result<Vec<Event>, RecordError> {
    let mut block = Block::open(first, bytes)?;
    let mut events = Vec::new();
    while let Some(raw) = block.advance()? {
        events.push(raw.to_event(room)?);
    }
    Ok(events)
}

#[test]
fn every_kind_of_event_comes_back_as_it_went_into_a_turn() {
    let events = samples::every_kind();
    let read = read_turn(&turn(&events)).unwrap();
    assert_eq!(read.iter().collect::<Vec<_>>(), events.iter().map(|e| &**e).collect::<Vec<_>>());
}

#[test]
fn a_block_comes_back_and_can_be_gone_on_with() {
    let room = samples::room(7);
    let events = samples::history(room, 1, 10);
    let mut open = OpenBlock::new(Seq(1));
    events[..4].iter().for_each(|event| open.push(event));
    let mut bytes = Vec::new();
    open.encode(&mut bytes);
    let mut open = OpenBlock::reopen(Seq(1), &bytes).unwrap();
    events[4..].iter().for_each(|event| open.push(event));
    bytes.clear();
    open.encode(&mut bytes);
    let read = read_block(room, Seq(1), &bytes).unwrap();
    assert_eq!(read, events.iter().map(|e| (**e).clone()).collect::<Vec<_>>());
    assert_eq!(
        Block::open(Seq(2), &bytes).map(|_| ()),
        Err(RecordError::Field("first")),
        "a block under another key is not taken for it"
    );
}

/// A turn of one event at place 4 of room 1, by ada, as it lies on disk: its tag, and what stands behind
/// the name.
fn by_ada(tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let start = begin(TURN_VERSION, &mut bytes);
    bytes.extend_from_slice(&[1, 1, 4, tag, 1, 0, 1, 3, b'a', b'd', b'a']);
    bytes.extend_from_slice(rest);
    finish(start, &mut bytes);
    bytes
}

#[test]
fn an_empty_text_is_one_that_was_erased_as_ever_unless_its_tag_says_that_it_was_left_blank() {
    let read =
        |tag, rest: &[u8]| read_turn(&by_ada(tag, rest)).map(|events| events[0].kind.clone());
    let (post, edit) = (KIND_POSTED | TAG_PUSHED, KIND_EDITED | TAG_PUSHED);
    for (tag, rest) in [(post, &[1, 0][..]), (edit, &[3, 0][..])] {
        for (tag, blank) in [(tag, false), (tag | TAG_BLANK, true)] {
            let (EventKind::Posted { body, .. } | EventKind::Edited { body, .. }) =
                read(tag, rest).unwrap()
            else {
                panic!("neither a post nor an edit")
            };
            assert_eq!((body.is_blank(), body.is_erased()), (blank, !blank), "{tag:#04x}");
        }
    }
    assert_eq!(read(post | TAG_BLANK, &[1, 1, b'x']), Err(RecordError::Field("body")));
    assert_eq!(read(edit | TAG_BLANK, &[3, 1, b'x']), Err(RecordError::Field("body")));
    let joined = KIND_JOINED | TAG_PUSHED;
    assert!(read(joined, &[]).is_ok());
    assert_eq!(read(joined | TAG_BLANK, &[]), Err(RecordError::Field("tag")));
}

#[test]
fn a_blank_post_is_erased_like_another_and_then_is_not_blank() {
    let room = samples::room(7);
    let mut open = OpenBlock::new(Seq(9));
    open.push(&samples::blank(room, 9));
    let read = |open: &OpenBlock| {
        let mut bytes = Vec::new();
        open.encode(&mut bytes);
        read_block(room, Seq(9), &bytes).unwrap().remove(0)
    };
    assert_eq!(read(&open), *samples::blank(room, 9));
    assert_eq!(open.erase(room, Seq(9)), Ok(true));
    assert_eq!(read(&open), samples::blank(room, 9).erased());
    assert_eq!(open.erase(room, Seq(9)), Ok(false), "once");
}

#[test]
fn a_turn_with_one_bit_turned_or_cut_short_is_refused() {
    let whole = turn(&samples::every_kind());
    for at in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        assert!(read_turn(&bytes).is_err(), "bit {at}");
    }
    for len in 0..whole.len() {
        assert!(read_turn(&whole[..len]).is_err(), "length {len}");
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        version in prop_oneof![Just(TURN_VERSION), Just(BLOCK_VERSION), any::<u8>()],
    ) {
        // With a true checksum in front, so that the fields behind it are reached.
        let mut bytes = Vec::new();
        let start = begin(version, &mut bytes);
        bytes.extend_from_slice(&body);
        finish(start, &mut bytes);
        let _ = read_turn(&bytes);
        let _ = read_block(samples::room(1), Seq(1), &bytes);
        let _ = OpenBlock::reopen(Seq(1), &bytes);
        let _ = read_turn(&body);
        let _ = read_block(samples::room(1), Seq(1), &body);
    }

    #[test]
    fn an_almost_right_turn_never_panics(at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = turn(&samples::every_kind());
        let body = bytes.len() - HEADER_LEN;
        bytes[HEADER_LEN + at % body] = byte;
        finish(0, &mut bytes);
        let _ = read_turn(&bytes);
    }
}
