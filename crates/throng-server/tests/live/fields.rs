//! Every field of every request with values that nobody should send, by every way of asking: what
//! comes back is an answer or a refusal of the table, and never the server's own trouble.
//!
//! The fields are read from the schema and from the OpenAPI, so that one that is added is tried too.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use throng_core::Rejection;
use throng_wire::native::v1::Act;
use throng_wire::native::v1::ClientFrame;
use throng_wire::native::v1::reply::Outcome;
use throng_wire::native::{json as json_form, protobuf};
use throng_wire::ws;

use super::Server;
use super::client::{Came, Client, Frame, Speak};
use super::moderation::moderate;

const SCHEMA: &str = include_str!("../../../throng-wire/proto/throng.proto");
const OPENAPI: &str = include_str!("../../../../docs/reference/openapi.json");
/// What is asked by one who is nobody yet: others are told at once that they are somebody.
const BY_NOBODY: [&str; 5] =
    ["register", "login", "authenticate", "reset_password", "enter_as_guest"];
/// Ends the session, as it should.
const ENDS: u32 = 4401;

/// A field as the schema has it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub of_type: &'static str,
    pub name: &'static str,
    number: u64,
}

/// The messages of the schema, and what they hold.
pub fn schema() -> BTreeMap<&'static str, Vec<Field>> {
    let mut messages: BTreeMap<&str, Vec<Field>> = BTreeMap::new();
    let mut inside = "";
    for line in SCHEMA.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("message ") {
            inside = rest.split(' ').next().unwrap();
            messages.insert(inside, Vec::new());
        } else if line.starts_with("enum ") {
            inside = "";
        }
        let Some((left, right)) = line.split_once(" = ") else { continue };
        let words: Vec<&str> = left.split(' ').collect();
        let [.., of_type, name] = words[..] else { continue };
        let number = right.trim_end_matches(';').parse();
        if let (Ok(number), Some(fields)) = (number, messages.get_mut(inside)) {
            fields.push(Field { of_type, name, number });
        }
    }
    messages
}

/// Values that no field should be sent, as JSON.
fn hostile() -> Vec<String> {
    let mut values: Vec<String> = [
        "null",
        "true",
        "-1",
        "0",
        "1",
        "1.5",
        "4294967295",
        "4294967296",
        "8388608",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "1e308",
        "-1e-308",
        r#""""#,
        r#""0""#,
        r#"" ""#,
        r#""\u0000""#,
        r#""\u202e\ufeff\u200b""#,
        r#""\ud83d\ude00""#,
        r#""\ud800""#,
        r#""../../etc/passwd""#,
        r#""' OR 1=1 --""#,
        r#""<script>""#,
        r#""\" OR \"*""#,
        r#""%s%n""#,
        "[]",
        "{}",
        "[null]",
        "[[]]",
        "[0,0,0]",
        r#"["","",""]"#,
        r#"{"list":[0]}"#,
        r#"{"list":null}"#,
        r#"{"epoch":-1,"seq":18446744073709551615}"#,
        r#"{"epoch":4294967295,"seq":9007199254740993}"#,
    ]
    .map(str::to_owned)
    .into();
    values.push(format!("\"{}\"", "x".repeat(3_000)));
    values.push(format!("\"{}\"", "\u{301}".repeat(1_000)));
    values.push(format!("[{}0]", "0,".repeat(1_000)));
    values.push(format!("{}{}", "[".repeat(100), "]".repeat(100)));
    values
}

/// A place where everything that may be asked of is there.
struct Scene {
    server: Server,
    /// What is sensible for a field of this name.
    sensible: BTreeMap<&'static str, Value>,
    tried: usize,
    codes: BTreeSet<u32>,
}

impl Scene {
    fn new() -> Self {
        let server = Server::with(|settings| {
            let limits = &mut settings.limits;
            limits.sends_burst = 1_000_000;
            limits.requests_burst = 1_000_000;
            limits.refusals_max = 1_000_000;
            limits.refusals_burst = 1_000_000;
            limits.connections_per_user = 1_000_000;
            limits.connections_per_address = 1_000_000;
            limits.logins_per_minute_account = 1_000_000;
            limits.logins_per_minute_address = 1_000_000;
            limits.requests_burst_anonymous = 1_000_000;
        });
        Self { server, sensible: BTreeMap::new(), tried: 0, codes: BTreeSet::new() }
    }

    /// A new room of this client's, with a message and somebody else in it.
    fn settle(&mut self, client: &mut Client, name: &str) {
        let room = client.create(name);
        let seq = client.post(room, "hello").seq;
        client.ask(moderate(room, Act::Mute, 2));
        client.events.clear();
        let (act, link) = ("mute", "A".repeat(43));
        self.sensible = [
            ("room", json!(room)),
            ("seq", json!(seq)),
            ("user", json!(2)),
            ("body", json!("hi")),
            ("act", json!(act)),
            ("reaction", json!("+1")),
            ("text", json!("+1")),
            ("reason", json!("rude")),
            ("query", json!("hello")),
            ("link", json!(link)),
            ("password", json!("wrong horse")),
            ("new_password", json!("another horse")),
            ("file", json!("0".repeat(32))),
            ("report", json!(1)),
            ("held", json!(1)),
            ("session", json!(1_u64 << 40)),
            // Without them nothing else would be looked at.
            ("pass", json!(true)),
            ("upheld", json!(true)),
            ("level", json!("all")),
            ("writers", json!("everyone")),
        ]
        .into();
    }

    /// What came back is noted, and must be of the table.
    fn heard(&mut self, of: &str, code: u32) {
        self.tried += 1;
        self.codes.insert(code);
        let known = Rejection::ALL.iter().any(|it| u32::from(it.code()) == code);
        let own = u32::from(Rejection::Unavailable.code());
        assert!(code == 0 || (known && code != own), "{code} of {of}");
    }

    /// The request with sensible fields, but for those that are named by an alternative.
    fn whole(&self, fields: &[Field], but: &str) -> serde_json::Map<String, Value> {
        let other = |name: &str| name == "name" && but != "user";
        let wanted = fields.iter().filter(|it| it.name != but && !other(it.name));
        let wanted = wanted.filter(|it| !(it.name == "user" && but == "name"));
        let value = |it: &Field| {
            let value = self.sensible.get(it.name)?.clone();
            // A link is a text, and its number is one too.
            let other = it.of_type.starts_with("uint") && value.is_string();
            Some((it.name.to_owned(), if other { json!(1) } else { value }))
        };
        wanted.filter_map(value).collect()
    }
}

fn framed(speak: Speak, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match speak {
        Speak::Json => {
            ws::encode_frame(ws::Opcode::Text, payload, Some([1, 2, 3, 4]), &mut bytes);
        }
        Speak::Protobuf => {
            ws::encode_frame(ws::Opcode::Binary, payload, Some([1, 2, 3, 4]), &mut bytes);
        }
        Speak::Raw => {
            bytes.extend((payload.len() as u32).to_be_bytes());
            bytes.extend_from_slice(payload);
        }
    }
    bytes
}

/// Sends it and waits for its answer: the refusal's code, 0 for none; `None` when the session was
/// ended by it.
fn say(client: &mut Client, speak: Speak, id: u32, payload: &[u8], of: &str) -> Option<u32> {
    client.stream.write_all(&framed(speak, payload)).unwrap();
    loop {
        match client.next() {
            Came::Frame(Frame::Reply(reply)) if reply.re == id || reply.re == 0 => {
                return match reply.outcome {
                    Some(Outcome::Rejected(rejected)) => Some(rejected.code),
                    _ => Some(0),
                };
            }
            Came::Frame(Frame::Goodbye(goodbye)) if goodbye.code == ENDS => return None,
            Came::Frame(Frame::Goodbye(goodbye)) => panic!("{goodbye:?} of {of}"),
            Came::Frame(_) => {}
            Came::End => panic!("the end of {of}"),
        }
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn tagged(number: u64, wire: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(number << 3 | wire, &mut out);
    out
}

fn long(number: u64, content: &[u8]) -> Vec<u8> {
    let mut out = tagged(number, 2);
    varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

/// Encodings that no field of this number should be sent in.
fn hostile_encodings(number: u64) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for value in [0, 1, 2, 99, u64::from(u32::MAX), 1 << 32, 1 << 53, 1 << 63, u64::MAX] {
        let mut out = tagged(number, 0);
        varint(value, &mut out);
        all.push(out);
    }
    all.push([tagged(number, 0), vec![0xff; 11]].concat());
    all.push([tagged(number, 0), vec![0xff; 2]].concat());
    all.push([tagged(number, 1), vec![0xff; 8]].concat());
    all.push([tagged(number, 1), vec![0xff; 3]].concat());
    all.push([tagged(number, 5), vec![0xff; 4]].concat());
    all.push([tagged(number, 3), tagged(number, 4)].concat());
    all.push(tagged(number, 3));
    all.push(tagged(number, 4));
    all.push(tagged(number, 6));
    let texts: [&[u8]; 12] = [
        b"",
        b"x",
        b"\0",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        "\u{202e}\u{feff}\u{200b}".as_bytes(),
        b"../../etc/passwd",
        b"' OR 1=1 --",
        b"\x08\x01",
        b"\x0a\xff\xff\xff\xff\x0f",
        &[0x80; 12],
        &[b'x'; 3_000],
    ];
    all.extend(texts.map(|text| long(number, text)));
    let mut lie = tagged(number, 2);
    varint(u64::MAX, &mut lie);
    all.push(lie);
    all.push(long(number, b"a").repeat(300));
    all
}

/// What lies inside a request of this number, as Protobuf.
fn inside(frame: &ClientFrame) -> Vec<u8> {
    let mut out = Vec::new();
    protobuf::encode_client(&ClientFrame { id: 0, ..frame.clone() }, &mut out);
    let varint_len = |bytes: &[u8]| bytes.iter().position(|byte| *byte < 0x80).unwrap() + 1;
    let tag = varint_len(&out);
    let length = varint_len(&out[tag..]);
    out.split_off(tag + length)
}

#[test]
fn every_field_of_every_request_is_answered_whatever_stands_in_it() {
    let schema = schema();
    let requests: Vec<Field> = schema["ClientFrame"].iter().skip(1).copied().collect();
    assert!(requests.len() > 45, "{}", requests.len());
    let mut scene = Scene::new();
    let mut fields = 0;
    for speak in Speak::ALL {
        let name = format!("{speak:?}");
        let mut client = scene.server.join_in(speak, &name);
        for request in &requests {
            // One may leave it, or delete what is there.
            scene.settle(&mut client, &format!("{name} {}", request.number));
            for field in &schema[request.of_type] {
                fields += 1;
                let told = format!("{speak:?} {}.{}", request.name, field.name);
                let whole = scene.whole(&schema[request.of_type], field.name);
                for (id, payload) in (10_000..).zip(payloads(speak, request, *field, &whole)) {
                    if BY_NOBODY.contains(&request.name) {
                        let mut nobody = scene.server.connect(speak);
                        let code = say(&mut nobody, speak, id, &payload(id), &told);
                        scene.heard(&told, code.unwrap_or(0));
                        continue;
                    }
                    if let Some(code) = say(&mut client, speak, id, &payload(id), &told) {
                        scene.heard(&told, code);
                        continue;
                    }
                    client = scene.server.join_in(speak, &format!("{name}-{}", scene.tried));
                    scene.settle(&mut client, &format!("{name} {}", scene.tried));
                }
            }
        }
    }
    println!("{fields} fields, {} requests, codes {:?}", scene.tried, scene.codes);
    assert!(fields > 300 && scene.tried > 9_000 && scene.codes.len() > 15, "{fields}");
}

/// The request without this field, or, where JSON cannot leave it out, with it at its default: in Protobuf what
/// comes last counts.
fn base(request: &Field, field: Field, mut whole: serde_json::Map<String, Value>) -> Vec<u8> {
    let default = match field.of_type {
        "bool" => json!(false),
        "string" => json!(""),
        "Writers" => json!("everyone"),
        _ => json!("all"),
    };
    let read = |whole: &serde_json::Map<String, Value>| {
        json_form::decode_client(json!({request.name: whole}).to_string().as_bytes())
    };
    let frame = read(&whole).or_else(|_| {
        whole.insert(field.name.to_owned(), default);
        read(&whole)
    });
    inside(&frame.unwrap())
}

type Payload = Box<dyn Fn(u32) -> Vec<u8>>;

/// The request with each hostile value in this field.
fn payloads(
    speak: Speak,
    request: &Field,
    field: Field,
    whole: &serde_json::Map<String, Value>,
) -> Vec<Payload> {
    let (request, whole) = (*request, whole.clone());
    if speak == Speak::Json {
        let of = move |value: String| -> Payload {
            let mut rest = Value::Object(whole.clone()).to_string();
            rest.pop();
            let comma = if whole.is_empty() { "" } else { "," };
            Box::new(move |id| {
                let (name, field) = (request.name, field.name);
                format!(r#"{{"id":{id},"{name}":{rest}{comma}"{field}":{value}}}}}"#).into_bytes()
            })
        };
        return hostile().into_iter().map(of).collect();
    }
    let base = base(&request, field, whole);
    let of = move |bytes: Vec<u8>| -> Payload {
        let content = [base.clone(), bytes].concat();
        Box::new(move |id| {
            let mut out = vec![0x08];
            varint(u64::from(id), &mut out);
            out.extend(long(request.number, &content));
            out
        })
    };
    hostile_encodings(field.number).into_iter().map(of).collect()
}

/// A request over HTTP: its status, and the code in its answer.
fn http(server: &Server, token: &str, method: &str, path: &str, body: &str) -> (u16, u32) {
    let mut stream = TcpStream::connect(server.http).unwrap();
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}"));
    let status = head[9..12].parse().unwrap();
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    (status, json["rejected"]["code"].as_u64().unwrap_or(0) as u32)
}

/// The address with sensible parts, and this in one of them.
fn address(scene: &Scene, path: &str, part: &str, value: &str) -> String {
    let mut out = path.to_owned();
    for (name, sensible) in &scene.sensible {
        let sensible = match sensible {
            Value::String(text) => text.replace('+', "%2B"),
            other => other.to_string(),
        };
        let value = if *name == part { value } else { &sensible };
        out = out.replace(&format!("{{{name}}}"), value);
    }
    out
}

/// Values for a part of an address.
fn hostile_parts() -> Vec<String> {
    let plain = [
        "0",
        "-1",
        "1.5",
        "8388608",
        "4294967296",
        "18446744073709551615",
        "18446744073709551616",
        "x",
    ];
    let encoded = ["%00", "%ff", "%E2%80%AE", "%2e%2e%2f", "%27%20OR%201%3D1", "%", "a%20b", "%2B"];
    let mut all: Vec<String> = plain.iter().chain(&encoded).map(|it| (*it).to_owned()).collect();
    all.push("x".repeat(3_000));
    all
}

#[test]
fn every_part_of_every_address_and_every_field_of_a_body_is_answered_whatever_stands_in_it() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut scene = Scene::new();
    let mut client = scene.server.join_in(Speak::Json, "asker");
    let mut rooms = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let own = path.strip_prefix("/api/v1").unwrap_or(path);
        for (method, operation) in item.as_object().unwrap() {
            if !operation.is_object() || path.contains("sessions/current") {
                continue;
            }
            rooms += 1;
            scene.settle(&mut client, &format!("room {rooms}"));
            let method = method.to_uppercase();
            let listed = [&item["parameters"], &operation["parameters"]];
            for parameter in listed.iter().filter_map(|it| it.as_array()).flatten() {
                let parameter = resolve(&document, parameter);
                let name = parameter["name"].as_str().unwrap();
                for value in hostile_parts() {
                    let asked = match parameter["in"].as_str().unwrap() {
                        "path" => address(&scene, own, name, &value),
                        "query" => format!("{}?{name}={value}", address(&scene, own, "", "")),
                        _ => continue,
                    };
                    try_rest(&mut scene, &client.token, (&method, &asked), "{}");
                }
            }
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let schema = resolve(&document, schema);
            let Some(properties) = schema["properties"].as_object() else { continue };
            let asked = address(&scene, own, "", "");
            for property in properties.keys() {
                let mut whole = serde_json::Map::new();
                for name in properties.keys().filter(|name| *name != property) {
                    if let Some(value) = scene.sensible.get(name.as_str()) {
                        whole.insert(name.clone(), value.clone());
                    }
                }
                let mut rest = Value::Object(whole.clone()).to_string();
                rest.pop();
                let comma = if whole.is_empty() { "" } else { "," };
                for value in hostile() {
                    let body = format!(r#"{rest}{comma}"{property}":{value}}}"#);
                    try_rest(&mut scene, &client.token, (&method, &asked), &body);
                }
            }
        }
    }
    println!("{} requests, codes {:?}", scene.tried, scene.codes);
    assert!(scene.tried > 2_500 && scene.codes.len() > 12, "{} {:?}", scene.tried, scene.codes);
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

fn try_rest(scene: &mut Scene, token: &str, (method, path): (&str, &str), body: &str) {
    let (status, code) = http(&scene.server, token, method, path, body);
    let told = format!("{method} {path} {body}: {status}");
    assert!(status < 500 || status == 503 && code != 302, "{told}");
    assert!(status < 400 || code != 0 || status == 414, "no refusal of the table: {told}");
    scene.heard(&told, code);
}

#[test]
fn the_schema_is_read_as_it_is_written() {
    let schema = schema();
    let post: Vec<_> = schema["Post"].iter().map(|it| (it.of_type, it.name, it.number)).collect();
    assert_eq!(post[0], ("uint32", "room", 1));
    assert!(post.contains(&("uint64", "mentioned", 6)), "{post:?}");
    assert!(schema["ClientFrame"].iter().any(|it| it.name == "search"));
}
