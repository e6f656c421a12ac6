//! `docs/reference/protocol.md` says what the `.proto` says: its examples are frames, its table of
//! requests names every request, reply and field.

use serde_json::Value;
use throng_wire::native::json;

const REFERENCE: &str = include_str!("../../../docs/reference/protocol.md");
const SCHEMA: &str = include_str!("../proto/throng.proto");

/// Names of the fields of a message or oneof.
fn fields(of: &str) -> Vec<&'static str> {
    let (_, after) = SCHEMA.split_once(&format!("{of} {{")).expect(of);
    let (inside, _) = after.split_once('}').expect(of);
    let named = |line: &'static str| line.trim().split_once(" = ").map(|(left, _)| left);
    inside.lines().filter_map(named).filter_map(|left| left.split(' ').next_back()).collect()
}

fn without_unknown(written: &Value, known: &Value) -> bool {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => written
            .iter()
            .all(|(key, value)| known.get(key).is_some_and(|known| without_unknown(value, known))),
        (Value::Array(written), Value::Array(known)) => {
            written.len() == known.len()
                && written.iter().zip(known).all(|(one, other)| without_unknown(one, other))
        }
        _ => written == known,
    }
}

#[test]
fn every_example_is_a_frame_of_the_schema() {
    let mut examples = 0;
    for line in REFERENCE.lines() {
        let mut again = Vec::new();
        let text = match line.split_at_checked(2) {
            Some(("> ", text)) if text.starts_with('{') => {
                let frame = json::decode_client(text.as_bytes()).expect(text);
                json::encode_client(&frame, &mut again);
                text
            }
            Some(("< ", text)) => {
                let frame = json::decode_server(text.as_bytes()).expect(text);
                json::encode_server(&frame, &mut again);
                text
            }
            _ => continue,
        };
        examples += 1;
        let written: Value = serde_json::from_str(text).unwrap();
        let known: Value = serde_json::from_slice(&again).unwrap();
        assert!(without_unknown(&written, &known), "a field that is not in the schema: {text}");
    }
    assert!(examples > 20, "only {examples} examples were found");
}

#[test]
fn every_request_and_its_fields_are_in_the_table() {
    for request in fields("oneof request") {
        let row = REFERENCE.lines().find(|line| line.starts_with(&format!("| `{request}` |")));
        let row = row.unwrap_or_else(|| panic!("no row for {request}"));
        let message: String =
            request.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        for field in fields(&format!("message {message}")) {
            assert!(row.contains(&format!("`{field}`")), "{request}: {field} is missing");
        }
    }
    for outcome in fields("oneof outcome") {
        assert!(REFERENCE.contains(&format!("`{outcome}`")), "the reply {outcome} is missing");
    }
}

#[test]
fn every_limit_that_is_told_is_told_of() {
    for limit in fields("message Limits") {
        let told = REFERENCE.matches(&format!("`{limit}`")).count();
        assert!(told > 0, "{limit} is missing");
    }
}
