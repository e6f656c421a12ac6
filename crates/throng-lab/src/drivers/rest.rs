//! Throng over REST: one HTTP/1.1 connection, one request at a time. It speaks and cannot hear.
//!
//! Neighbours: bodies are the messages of `throng-wire`. An action waits here while another is under
//! way: pipelining is not what HTTP clients do.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::rc::Rc;

use serde::Deserialize;
use throng_wire::native::v1;

use super::native::{of_event, position};
use super::{Action, Broken, Driver, Event, Observation, Outcome, Posted};

/// A response's head is shorter than this.
const HEAD_LEN_MAX: usize = 16 * 1024;
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
    Done,
}

#[derive(Deserialize)]
struct Refused {
    rejected: v1::Rejected,
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
            // Over REST there is no other ack.
            Action::Post { room, origin_id, body, durable: _ } => {
                let body = json(serde_json::json!({"body": body, "origin_id": origin_id}));
                ("POST", format!("/rooms/{room}/messages"), Kind::Posted, body)
            }
            Action::History { room, after, limit } => {
                let path = format!("/rooms/{room}/messages?after={after}&limit={limit}");
                ("GET", path, Kind::Page, String::new())
            }
            Action::Latest { room, before, limit } => {
                let path = format!("/rooms/{room}/messages?before={before}&limit={limit}");
                ("GET", path, Kind::Page, String::new())
            }
            // Nothing is pushed over REST; a sign of life answers both. The rest no scenario asks of those
            // who do not hear.
            Action::Subscribe { .. }
            | Action::Ping
            | Action::Type { .. }
            | Action::OpenDirect { .. }
            | Action::Edit { .. }
            | Action::Delete { .. }
            | Action::React { .. }
            | Action::Moderate { .. } => {
                ("GET", "/rooms?limit=1".to_owned(), Kind::Done, String::new())
            }
        };
        let mut text = format!("{method} /api/v1{path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        if !self.token.is_empty() {
            write!(text, "Authorization: Bearer {}\r\n", self.token).expect("a String grows");
        }
        if method == "POST" {
            let len = body.len();
            write!(text, "Content-Type: application/json\r\nContent-Length: {len}\r\n")
                .expect("a String grows");
        }
        text.push_str("\r\n");
        text.push_str(&body);
        (kind, text.into_bytes())
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
                tell(Outcome::Posted(Posted { room, seq, n, repeat, durable }));
            }
            Kind::Page => {
                let page: v1::Page = parse(body)?;
                let events: Vec<Event<'_>> = page.events.iter().filter_map(of_event).collect();
                tell(Outcome::Page { room: page.room, events: &events, more: page.more });
            }
            Kind::Done => tell(Outcome::Done),
        }
        Ok(())
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
struct Response {
    status: u16,
    head: usize,
    body: usize,
}

/// A whole response at the beginning of what was read.
fn response(read: &[u8]) -> Result<Option<Response>, Broken> {
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
        let post = Action::Post { room: 7, origin_id: "a", body: "quote \" and é", durable: true };
        assert_eq!(driver.act(&post, &mut out), 2);
        let text = String::from_utf8(std::mem::take(&mut out)).unwrap();
        assert!(text.starts_with("GET ") && text.contains("Bearer secret"), "{text}");
        assert!(!text.contains("POST"), "it waits: {text}");
        let whole = answer(200, r#"{"rooms":[],"more":false}"#);
        assert!(observe(&mut driver, &whole[..30], &mut out).is_empty() && out.is_empty());
        let seen = observe(&mut driver, &whole[30..], &mut out);
        assert!(seen[0].contains("tag: 1") && seen[0].contains("Session"), "{seen:?}");
        let text = String::from_utf8(std::mem::take(&mut out)).unwrap();
        assert!(text.starts_with("POST /api/v1/rooms/7/messages "), "{text}");
        assert!(text.ends_with(r#"{"body":"quote \" and é","origin_id":"a"}"#), "{text}");
        let posted = r#"{"room":7,"seq":3,"n":1,"at":5,"repeat":false,"ack":"durable"}"#;
        let seen = observe(&mut driver, &answer(201, posted), &mut out);
        assert!(seen[0].contains("seq: 3") && seen[0].contains("durable: true"), "{seen:?}");
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
