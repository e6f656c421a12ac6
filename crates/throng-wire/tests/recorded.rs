//! The recorded v1 conversation (`v1/README.md` says how it is written) means what it meant.

use serde_json::Value;
use throng_wire::native::v1::{ClientFrame, ServerFrame};
use throng_wire::native::{json, protobuf};

const CONVERSATION: &str = include_str!("v1/conversation.txt");
const LATER: &str = include_str!("v1/later.txt");

#[derive(Debug, PartialEq)]
enum Frame {
    Client(ClientFrame),
    Server(ServerFrame),
}

impl Frame {
    fn from_json(mark: &str, text: &str) -> Self {
        match mark {
            ">" => Self::Client(json::decode_client(text.as_bytes()).expect(text)),
            _ => Self::Server(json::decode_server(text.as_bytes()).expect(text)),
        }
    }

    fn from_protobuf(mark: &str, bytes: &[u8]) -> Self {
        match mark {
            ">" => Self::Client(protobuf::decode_client(bytes).expect("a client's frame")),
            _ => Self::Server(protobuf::decode_server(bytes).expect("a server's frame")),
        }
    }

    fn to_json(&self) -> Value {
        let mut out = Vec::new();
        match self {
            Self::Client(frame) => json::encode_client(frame, &mut out),
            Self::Server(frame) => json::encode_server(frame, &mut out),
        }
        serde_json::from_slice(&out).expect("we wrote it")
    }
}

/// A frame in both forms, and what it means where that is less than what it says.
struct Line {
    mark: &'static str,
    text: &'static str,
    bytes: Vec<u8>,
    meaning: Option<&'static str>,
}

fn lines(file: &'static str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for line in file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.splitn(3, ' ').skip(1);
        let (mark, rest) = (parts.next().expect(line), parts.next().unwrap_or_default());
        match mark {
            "=" => lines.last_mut().expect(line).bytes = hex(rest),
            "~" => lines.last_mut().expect(line).meaning = Some(rest),
            _ => lines.push(Line { mark, text: rest, bytes: vec![], meaning: None }),
        }
    }
    lines
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hex digit") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Whether `whole` says everything that `part` says.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().all(|(key, value)| {
            // Text at its default is left out.
            value.as_str() == Some("") || whole.get(key).is_some_and(|other| holds(other, value))
        }),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len()
                && whole.iter().zip(part).all(|(one, other)| holds(one, other))
        }
        _ => whole == part,
    }
}

#[test]
fn both_forms_of_each_line_say_the_same_and_nothing_in_it_is_lost() {
    for line in lines(CONVERSATION) {
        let frame = Frame::from_json(line.mark, line.text);
        assert_eq!(frame, Frame::from_protobuf(line.mark, &line.bytes), "{}", line.text);
        let said: Value = serde_json::from_str(line.text).unwrap();
        assert!(holds(&frame.to_json(), &said), "lost: {said} became {}", frame.to_json());
    }
}

#[test]
fn a_later_versions_frames_mean_to_v1_what_v1_knows_of_them() {
    for line in lines(LATER) {
        let meaning = Frame::from_json(line.mark, line.meaning.expect("a line says what it means"));
        assert_eq!(Frame::from_json(line.mark, line.text), meaning, "{}", line.text);
        assert_eq!(Frame::from_protobuf(line.mark, &line.bytes), meaning, "{}", line.text);
    }
}

#[test]
fn no_kind_of_frame_is_missing_from_the_conversation() {
    let schema = include_str!("../proto/throng.proto");
    let said: Vec<String> = lines(CONVERSATION).iter().map(|line| line.text.to_owned()).collect();
    for oneof in ["oneof request", "oneof frame", "oneof outcome", "oneof what"] {
        let (_, after) = schema.split_once(oneof).expect(oneof);
        let (inside, _) = after.split_once('}').expect(oneof);
        let fields = inside.lines().filter_map(|line| line.trim().split_once(" = "));
        let names: Vec<&str> = fields.filter_map(|(left, _)| left.split(' ').nth(1)).collect();
        assert!(names.len() >= 4, "{oneof}: {names:?}");
        for name in names {
            let key = format!("\"{name}\":{{");
            assert!(said.iter().any(|text| text.contains(&key)), "nobody says {name}");
        }
    }
}
