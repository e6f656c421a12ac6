//! Section 6: UTF-8, valid and not, whole and in fragments, and failing at the first wrong byte. The
//! sequences of 6.5 to 6.23 are those of Markus Kuhn's decoder test, which the suite adopts.

use throng_wire::ws::Opcode;

use super::{Case, LAST, MORE, Pieces, TEXT, TEXT_BEGINS, case};

/// The Greek word for "world".
const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";

pub fn cases() -> Vec<Case> {
    let mut cases = fragmented();
    cases.extend(failing_fast());
    for (section, sequences) in (5..).zip(sequences()) {
        for (number, (valid, bytes)) in (1..).zip(sequences) {
            let one = case(format!("6.{section}.{number}")).send(TEXT, &bytes);
            cases.push(if valid { one.echoes(Opcode::Text, bytes) } else { one.fails(1007) });
        }
    }
    cases
}

fn by_bytes(id: &str, payload: &[u8]) -> Case {
    let mut sent = case(id);
    for (at, byte) in payload.iter().enumerate() {
        let first = if at == 0 { TEXT_BEGINS } else { MORE };
        let fin = if at + 1 == payload.len() { LAST } else { 0 };
        sent = sent.send(first | fin, [*byte]);
    }
    sent
}

fn fragmented() -> Vec<Case> {
    let hello = "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!";
    let (left, right) = hello.split_at(hello.find('\u{e4}').expect("it is in there"));
    let invalid = [KOSME, b"\xed\xa0\x80edited"].concat();
    let middle = "middle frame payload";
    let empty = |id| case(id).send(TEXT_BEGINS, "");
    vec![
        case("6.1.1").send(TEXT, "").echoes(Opcode::Text, ""),
        empty("6.1.2").send(MORE, "").send(LAST, "").echoes(Opcode::Text, ""),
        empty("6.1.3").send(MORE, middle).send(LAST, "").echoes(Opcode::Text, middle),
        case("6.2.1").send(TEXT, hello).echoes(Opcode::Text, hello),
        case("6.2.2").send(TEXT_BEGINS, left).send(LAST, right).echoes(Opcode::Text, hello),
        by_bytes("6.2.3", hello.as_bytes()).echoes(Opcode::Text, hello),
        by_bytes("6.2.4", KOSME).echoes(Opcode::Text, KOSME),
        case("6.3.1").send(TEXT, &invalid).fails(1007),
        // ED A0 begins no character: A0, at 12, is the last frame that is read.
        by_bytes("6.3.2", &invalid).fails_at(12, 1007),
    ]
}

fn failing_fast() -> Vec<Case> {
    let invalid = [KOSME, b"\xf4\x90\x80\x80edited"].concat();
    let in_frames = |id: &str, first: usize, second: usize| {
        let (start, rest) = invalid.split_at(first);
        let (middle, rest) = rest.split_at(second);
        let sent = case(id).send(TEXT_BEGINS, start).send(MORE, middle).send(LAST, rest);
        sent.fails_at(1, 1007)
    };
    let in_pieces = |id: &str, first: usize, second: usize| {
        let sent = case(id).send(TEXT, &invalid).pieces(Pieces::Payload(first, second));
        sent.fails_at(1, 1007)
    };
    vec![
        in_frames("6.4.1", 11, 4),
        in_frames("6.4.2", 12, 1),
        in_pieces("6.4.3", 11, 4),
        in_pieces("6.4.4", 12, 1),
    ]
}

type Sequences = Vec<(bool, Vec<u8>)>;

fn all(valid: bool, sequences: &[&[u8]]) -> Sequences {
    sequences.iter().map(|bytes| (valid, bytes.to_vec())).collect()
}

/// 6.5 to 6.23, in their order.
fn sequences() -> Vec<Sequences> {
    let mut sections = well_formed();
    sections.extend(ill_formed());
    sections.push(non_characters());
    sections.push(all(
        true,
        &[
            b"\xef\xbf\xb9",
            b"\xef\xbf\xba",
            b"\xef\xbf\xbb",
            b"\xef\xbf\xbc",
            b"\xef\xbf\xbd",
            b"\xef\xbf\xbe",
            b"\xef\xbf\xbf",
        ],
    ));
    sections
}

/// 6.5 to 6.11: correct text, its prefixes, and the ends of what can be said.
fn well_formed() -> Vec<Sequences> {
    let whole_characters = [2, 5, 7, 9, 11];
    let prefixes = 1..=KOSME.len();
    let mut bounds =
        all(true, &[b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf"]);
    bounds.extend(all(false, &[b"\xf4\x90\x80\x80"]));
    vec![
        all(
            true,
            &[
                b"hello$world",
                b"hello\xc2\xa2world",
                b"hello\xe2\x82\xacworld",
                b"hello\xf0\xa4\xad\xa2world",
                KOSME,
            ],
        ),
        prefixes.map(|len| (whole_characters.contains(&len), KOSME[..len].to_vec())).collect(),
        all(true, &[b"\0", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"]),
        all(false, &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
        all(true, &[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]),
        all(false, &[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
        bounds,
    ]
}

/// 6.12 to 6.21: strays, cut sequences, impossible bytes, overlong forms, surrogates.
fn ill_formed() -> Vec<Sequences> {
    let alternating = |len: usize| b"\x80\xbf".iter().copied().cycle().take(len).collect();
    let mut strays: Vec<Vec<u8>> = vec![vec![0x80], vec![0xbf]];
    strays.extend((2..=6).map(alternating));
    strays.push((0x80..0xbf).collect());
    let starts = [0xc0..0xdf, 0xe0..0xef, 0xf0..0xf7, 0xf8..0xfb, 0xfc..0xfd];
    let lonely = starts.map(|range| range.flat_map(|byte: u8| [byte, b' ']).collect::<Vec<u8>>());
    let cut: [&[u8]; 10] = [
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ];
    let overlong: [&[&[u8]]; 3] = [
        &[
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xf8\x80\x80\x80\xaf",
            b"\xfc\x80\x80\x80\x80\xaf",
        ],
        &[
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xf8\x87\xbf\xbf\xbf",
            b"\xfc\x83\xbf\xbf\xbf\xbf",
        ],
        &[
            b"\xc0\x80",
            b"\xe0\x80\x80",
            b"\xf0\x80\x80\x80",
            b"\xf8\x80\x80\x80\x80",
            b"\xfc\x80\x80\x80\x80\x80",
        ],
    ];
    let surrogates: [&[u8]; 7] = [
        b"\xed\xa0\x80",
        b"\xed\xad\xbf",
        b"\xed\xae\x80",
        b"\xed\xaf\xbf",
        b"\xed\xb0\x80",
        b"\xed\xbe\x80",
        b"\xed\xbf\xbf",
    ];
    let high = &surrogates[..4];
    let low: [&[u8]; 2] = [b"\xed\xb0\x80", b"\xed\xbf\xbf"];
    let pairs =
        high.iter().flat_map(|high| low.map(|low| (false, [*high, low].concat()))).collect();
    vec![
        strays.into_iter().map(|bytes| (false, bytes)).collect(),
        lonely.into_iter().map(|bytes| (false, bytes)).collect(),
        all(false, &cut),
        vec![(false, cut.concat())],
        all(false, &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
        all(false, overlong[0]),
        all(false, overlong[1]),
        all(false, overlong[2]),
        all(false, &surrogates),
        pairs,
    ]
}

/// 6.22: code points that are no characters and yet valid UTF-8: the last two of each plane.
fn non_characters() -> Sequences {
    let last_two = |plane: u32| [plane << 16 | 0xfffe, plane << 16 | 0xffff];
    let encoded = |point| char::from_u32(point).expect("not a surrogate").to_string().into_bytes();
    (0..=16).flat_map(last_two).map(|point| (true, encoded(point))).collect()
}
