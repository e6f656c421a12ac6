//! Throng over REST: one HTTP/1.1 connection, one request at a time. It speaks and cannot hear. Pictures
//! of those who hear go over it too.
//!
//! Neighbours: bodies are the messages of `throng-wire`. An action waits here while another is under
//! way: pipelining is not what HTTP clients do.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::rc::Rc;

use serde::Deserialize;
use throng_wire::native::v1;

use super::native::{of_event, of_member, position};
use super::{Action, Broken, Driver, Event, Member, Observation, Outcome, Posted};

/// A response's head is shorter than this.
const HEAD_LEN_MAX: usize = 16 * 1024;
const JSON: &str = "Content-Type: application/json\r\n";
/// The longest body taken: a page of a server's longest messages.
const BODY_LEN_MAX: usize = 4 * 1024 * 1024;

/// One connection of one user.
#[derive(Debug)]
pub struct Rest {
    host: Rc<str>,
    token: String,
    tag: u32,
    under_way: Option<(u32, Kind)>,
    waiting: VecDeque<(u32, Kind, Vec<u8>)>,
    read: Vec<u8>,
}

/// What kind of answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whose token it is, nobody says here.
    WhoAmI,
    Session,
    Joined,
    Left,
    Posted,
    Page,
    Members,
    /// A picture was sent as a file, and is to stand for who sent it.
    Sent,
    /// The bytes of a picture, named by their hash; `None` where the name is none.
    Picture(Option<blake3::Hash>),
    Done,
}

/// A file that was sent.
#[derive(Deserialize)]
struct Kept {
    file: v1::Attachment,
}

#[derive(Deserialize)]
pub(super) struct Refused {
    pub rejected: v1::Rejected,
}

impl Rest {
    /// A connection to `host` (as the `Host` header says it).
    pub fn new(host: Rc<str>) -> Self {
        Self {
            host,
            token: String::new(),
            tag: 0,
            under_way: None,
            waiting: VecDeque::new(),
            read: Vec::new(),
        }
    }

    fn request(&mut self, action: &Action<'_>) -> (Kind, Vec<u8>) {
        let json = |value: serde_json::Value| value.to_string();
        let (method, path, kind, body) = match *action {
            Action::Authenticate { token } => {
                token.clone_into(&mut self.token);
                ("GET", "/rooms?limit=1".to_owned(), Kind::WhoAmI, String::new())
            }
            Action::Login { name, password } | Action::Register { name, password } => {
                let body = json(serde_json::json!({"name": name, "password": password}));
                let new = matches!(action, Action::Register { .. });
                let path = if new { "/accounts" } else { "/sessions" };
                ("POST", path.to_owned(), Kind::Session, body)
            }
            Action::CreateRoom { name } => {
                let body = json(serde_json::json!({ "name": name }));
                ("POST", "/rooms".to_owned(), Kind::Joined, body)
            }
            Action::Join { room } => {
                ("POST", format!("/rooms/{room}/join"), Kind::Joined, String::new())
            }
            Action::Leave { room } => {
                ("POST", format!("/rooms/{room}/leave"), Kind::Left, String::new())
            }
            // Over REST there is no other ack, and no trace.
            Action::Post { room, origin_id, body, file, durable: _, trace: _ } => {
                let mut post = serde_json::json!({"body": body, "origin_id": origin_id});
                if let Some(file) = file {
                    post["attachments"] = serde_json::json!([file]);
                }
                let body = json(post);
                ("POST", format!("/rooms/{room}/messages"), Kind::Posted, body)
            }
            Action::SetPicture { picture } => {
                return (Kind::Sent, file((&self.host, &self.token), "", picture));
            }
            _ => {
                let (path, kind) = looked_at(action);
                ("GET", path, kind, String::new())
            }
        };
        let more = if method == "POST" { JSON } else { "" };
        (kind, self.written((method, &path), more, body.as_bytes()))
    }

    fn written(&self, to: (&str, &str), more: &str, body: &[u8]) -> Vec<u8> {
        request((&self.host, &self.token), to, more, body)
    }

    fn answered(
        &mut self,
        status: u16,
        body: &[u8],
        observe: &mut dyn FnMut(Observation<'_>),
    ) -> Result<(), Broken> {
        let (tag, kind) =
            self.under_way.take().ok_or_else(|| Broken("an answer to no request".into()))?;
        let mut tell = |outcome: Outcome<'_>| observe(Observation::Reply { tag, outcome });
        if !(200..300).contains(&status) {
            let Ok(Refused { rejected }) = serde_json::from_slice(body) else {
                return Err(Broken(format!("status {status} without a refusal in it")));
            };
            let v1::Rejected { code, name, retry_after_ms, .. } = &rejected;
            tell(Outcome::Rejected { code: *code, name, retry_after_ms: *retry_after_ms });
            return Ok(());
        }
        match kind {
            Kind::WhoAmI => tell(Outcome::Session { user: 0 }),
            Kind::Session => {
                let session: v1::Session = parse(body)?;
                self.token = session.token;
                tell(Outcome::Session { user: session.user.map_or(0, |user| user.id) });
            }
            Kind::Joined => {
                let it: v1::Joined = parse(body)?;
                let position = position(it.position);
                let (room, seq, already) = (it.room, it.seq, it.already);
                tell(Outcome::Joined { room, seq, position, already });
            }
            Kind::Left => {
                let it: v1::Left = parse(body)?;
                tell(Outcome::Left { room: it.room, seq: it.seq });
            }
            Kind::Posted => {
                let it: v1::Posted = parse(body)?;
                let durable = it.ack == v1::Ack::Durable as i32;
                let (room, seq, n, repeat) = (it.room, it.seq, it.n, it.repeat);
                let trace = None;
                tell(Outcome::Posted(Posted { room, seq, n, repeat, durable, trace }));
            }
            Kind::Page => {
                let page: v1::Page = parse(body)?;
                let events: Vec<Event<'_>> = page.events.iter().filter_map(of_event).collect();
                tell(Outcome::Page { room: page.room, events: &events, more: page.more });
            }
            Kind::Members => {
                let list: v1::MemberList = parse(body)?;
                let members: Vec<Member<'_>> = list.members.iter().map(of_member).collect();
                tell(Outcome::Members { members: &members, as_of: list.seq, more: list.more });
            }
            // The second half of the same action, before whatever waits.
            Kind::Sent => {
                let Kept { file } = parse(body)?;
                let body = serde_json::json!({ "file": file.id }).to_string();
                let bytes = self.written(("PUT", "/avatar"), JSON, body.as_bytes());
                self.waiting.push_front((tag, Kind::Done, bytes));
            }
            Kind::Picture(name) => {
                let as_named = name.is_some_and(|name| blake3::hash(body) == name);
                tell(Outcome::Picture { bytes: body.len() as u64, as_named });
            }
            Kind::Done => tell(Outcome::Done),
        }
        Ok(())
    }
}

/// A file, announced and sent in one request, as tus has it; `more` as below.
pub(super) fn file(from: (&str, &str), more: &str, bytes: &[u8]) -> Vec<u8> {
    let more = format!(
        "Tus-Resumable: 1.0.0\r\nUpload-Length: {}\r\n{more}\
         Content-Type: application/offset+octet-stream\r\n",
        bytes.len()
    );
    request(from, ("POST", "/files"), &more, bytes)
}

/// A request to a host by a token, if it is not empty; `more` are lines of the head, each with its end.
pub(super) fn request(
    (host, token): (&str, &str),
    (method, path): (&str, &str),
    more: &str,
    body: &[u8],
) -> Vec<u8> {
    let mut text = format!("{method} /api/v1{path} HTTP/1.1\r\nHost: {host}\r\n");
    if !token.is_empty() {
        write!(text, "Authorization: Bearer {token}\r\n").expect("a String grows");
    }
    text.push_str(more);
    if method != "GET" {
        write!(text, "Content-Length: {}\r\n", body.len()).expect("a String grows");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Where what is only read is found. Nothing is pushed over REST; a sign of life answers who asks for that.
/// The rest no scenario asks of those who do not hear.
fn looked_at(action: &Action<'_>) -> (String, Kind) {
    match *action {
        Action::History { room, after, limit } => {
            (format!("/rooms/{room}/messages?after={after}&limit={limit}"), Kind::Page)
        }
        Action::Latest { room, before, limit } => {
            (format!("/rooms/{room}/messages?before={before}&limit={limit}"), Kind::Page)
        }
        Action::Members { room, after } => {
            (format!("/rooms/{room}/members?after={after}"), Kind::Members)
        }
        Action::Picture { name } => {
            (format!("/avatars/{name}"), Kind::Picture(blake3::Hash::from_hex(name).ok()))
        }
        _ => ("/rooms?limit=1".to_owned(), Kind::Done),
    }
}

fn parse<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Broken> {
    serde_json::from_slice(body).map_err(|error| Broken(error.to_string()))
}

impl Driver for Rest {
    fn open(&mut self, _out: &mut Vec<u8>) {}

    fn is_greeted(&self) -> bool {
        false
    }

    fn hears(&self) -> bool {
        false
    }

    fn act(&mut self, action: &Action<'_>, out: &mut Vec<u8>) -> u32 {
        self.tag = self.tag.wrapping_add(1).max(1);
        let (kind, bytes) = self.request(action);
        if self.under_way.is_none() {
            self.under_way = Some((self.tag, kind));
            out.extend_from_slice(&bytes);
        } else {
            self.waiting.push_back((self.tag, kind, bytes));
        }
        self.tag
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn under_way(&self) -> Option<u32> {
        self.under_way.map(|(tag, _)| tag)
    }

    fn receive(
        &mut self,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        observe: &mut dyn FnMut(Observation<'_>),
    ) -> Result<(), Broken> {
        self.read.extend_from_slice(bytes);
        while let Some(response) = response(&self.read)? {
            let rest = self.read.split_off(response.head + response.body);
            let whole = std::mem::replace(&mut self.read, rest);
            self.answered(response.status, &whole[response.head..], observe)?;
            if let Some((tag, kind, bytes)) = self.waiting.pop_front() {
                self.under_way = Some((tag, kind));
                out.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub status: u16,
    pub head: usize,
    pub body: usize,
}

/// A whole response at the beginning of what was read.
pub(super) fn response(read: &[u8]) -> Result<Option<Response>, Broken> {
    let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
        if read.len() > HEAD_LEN_MAX {
            return Err(Broken("a head without an end".into()));
        }
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&read[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let Some(status) = status else { return Err(Broken("no status line".into())) };
    let length = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let is = name.eq_ignore_ascii_case("content-length");
        is.then(|| value.trim().parse::<usize>().ok())?
    };
    let Some(body) = lines.find_map(length).filter(|len| *len <= BODY_LEN_MAX) else {
        return Err(Broken("a response whose length is not told, or too long".into()));
    };
    let head = end + 4;
    Ok((read.len() >= head + body).then_some(Response { status, head, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(driver: &mut Rest, bytes: &[u8], out: &mut Vec<u8>) -> Vec<String> {
        let mut seen = Vec::new();
        let mut bytes = bytes.to_vec();
        driver.receive(&mut bytes, out, &mut |it| seen.push(format!("{it:?}"))).unwrap();
        seen
    }

    fn answer(status: u16, body: &str) -> Vec<u8> {
        let len = body.len();
        format!("HTTP/1.1 {status} X\r\ncontent-length: {len}\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn one_request_is_under_way_and_the_next_follows_its_answer_however_it_is_cut() {
        let mut driver = Rest::new("lab".into());
        let mut out = Vec::new();
        driver.act(&Action::Authenticate { token: "secret" }, &mut out);
        let body = "quote \" and é";
        let post =
            Action::Post { room: 7, origin_id: "a", body, file: None, durable: true, trace: false };
        assert_eq!(driver.act(&post, &mut out), 2);
        let text = String::from_utf8(std::mem::take(&mut out)).unwrap();
        assert!(text.starts_with("GET ") && text.contains("Bearer secret"), "{text}");
        assert!(!text.contains("POST"), "it waits: {text}");
        assert_eq!((driver.waiting(), driver.under_way()), (1, Some(1)));
        let whole = answer(200, r#"{"rooms":[],"more":false}"#);
        assert!(observe(&mut driver, &whole[..30], &mut out).is_empty() && out.is_empty());
        let seen = observe(&mut driver, &whole[30..], &mut out);
        assert!(seen[0].contains("tag: 1") && seen[0].contains("Session"), "{seen:?}");
        let text = String::from_utf8(std::mem::take(&mut out)).unwrap();
        assert!(text.starts_with("POST /api/v1/rooms/7/messages "), "{text}");
        assert_eq!((driver.waiting(), driver.under_way()), (0, Some(2)), "it is on its way");
        assert!(text.ends_with(r#"{"body":"quote \" and é","origin_id":"a"}"#), "{text}");
        let posted = r#"{"room":7,"seq":3,"n":1,"at":5,"repeat":false,"ack":"durable"}"#;
        let seen = observe(&mut driver, &answer(201, posted), &mut out);
        assert!(seen[0].contains("seq: 3") && seen[0].contains("durable: true"), "{seen:?}");
    }

    #[test]
    fn a_picture_is_sent_as_a_file_and_set_before_anything_else_and_fetched_by_its_hash() {
        let mut driver = Rest::new("lab".into());
        let mut out = Vec::new();
        let set = driver.act(&Action::SetPicture { picture: b"\x89PNG \xff" }, &mut out);
        let name = blake3::hash(b"jpeg").to_hex();
        driver.act(&Action::Picture { name: &name }, &mut out);
        driver.act(&Action::Picture { name: "nonsense" }, &mut out);
        let text = String::from_utf8_lossy(&out);
        assert!(text.starts_with("POST /api/v1/files ") && text.contains("Upload-Length: 6\r\n"));
        assert!(out.ends_with(b"\r\n\r\n\x89PNG \xff"));
        out.clear();
        let seen = observe(&mut driver, &answer(201, r#"{"file":{"id":"f1"}}"#), &mut out);
        let text = String::from_utf8(std::mem::take(&mut out)).unwrap();
        assert!(seen.is_empty() && text.starts_with("PUT /api/v1/avatar "), "{seen:?} {text}");
        assert!(text.ends_with(r#"{"file":"f1"}"#), "{text}");
        let seen = observe(&mut driver, &answer(200, "{}"), &mut out);
        assert!(seen[0].contains(&format!("tag: {set}")) && seen[0].contains("Done"), "{seen:?}");
        assert!(out.starts_with(format!("GET /api/v1/avatars/{name} ").as_bytes()));
        for (picture, as_named) in [("jpeg", true), ("jpeg", false)] {
            let seen = observe(&mut driver, &answer(200, picture), &mut out);
            let wanted = format!("Picture {{ bytes: 4, as_named: {as_named} }}");
            assert!(seen[0].contains(&wanted), "{seen:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_with_its_code_and_what_is_no_http_breaks() {
        let mut driver = Rest::new("lab".into());
        let mut out = Vec::new();
        driver.act(&Action::Join { room: 1 }, &mut out);
        let refusal =
            r#"{"rejected":{"code":300,"name":"rate_limited","text":"t","retry_after_ms":80}}"#;
        let seen = observe(&mut driver, &answer(429, refusal), &mut out);
        assert!(seen[0].contains("300") && seen[0].contains("Some(80)"), "{seen:?}");
        let mut bytes = b"nonsense\r\n\r\n".to_vec();
        assert!(driver.receive(&mut bytes, &mut out, &mut |_| {}).is_err());
    }
}
