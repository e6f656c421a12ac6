//! One file over one HTTP connection: sent, announced and whole in one request (tus 1.0), or fetched as a
//! message carries it.
//!
//! Neighbours: the response's head is read as `rest` reads it; the runner says whose file it is and what
//! comes of it. Once it is answered the connection has nothing more to say.

use std::rc::Rc;

use serde::Deserialize;
use throng_wire::native::v1;

use super::rest::{Refused, file, request, response};
use super::{Broken, digest_of};

/// Names of files as tus has them, in base64: `note.txt`, `dot.png`.
const NAMES: [&str; 2] = ["bm90ZS50eHQ=", "ZG90LnBuZw=="];

/// The request and what has come of its answer.
#[derive(Debug)]
pub struct Carrier {
    request: Vec<u8>,
    sends: bool,
    read: Vec<u8>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// The server has the file.
    Kept {
        /// How it is named from now on.
        id: String,
        /// What the server says of its bytes.
        hash: String,
        /// It has all of them.
        whole: bool,
    },
    /// Its bytes, by their hash.
    Fetched(u64),
    /// No.
    Refused {
        /// The refusal's name.
        name: String,
        /// When to try again, where that is known.
        retry_after_ms: Option<u32>,
    },
}

#[derive(Deserialize)]
struct Info {
    whole: bool,
    file: v1::Attachment,
}

impl Carrier {
    /// Sends a file as the account of this token.
    pub fn sends(host: &Rc<str>, token: &str, bytes: &[u8], picture: bool) -> Self {
        let name = NAMES[usize::from(picture)];
        let more = format!("Upload-Metadata: filename {name}\r\n");
        Self { request: file((host, token), &more, bytes), sends: true, read: Vec::new() }
    }

    /// Fetches the file that the message at this place carries.
    pub fn fetches(host: &Rc<str>, token: &str, (room, seq): (u32, u64), id: &str) -> Self {
        let path = format!("/rooms/{room}/messages/{seq}/files/{id}");
        let request = request((host, token), ("GET", &path), "", b"");
        Self { request, sends: false, read: Vec::new() }
    }

    /// The whole of what is to be said.
    pub fn open(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.request);
    }

    /// Takes what one read returned; the answer, once it is whole.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Carried>, Broken> {
        self.read.extend_from_slice(bytes);
        let Some(response) = response(&self.read)? else { return Ok(None) };
        let body = &self.read[response.head..response.head + response.body];
        let json = |error: serde_json::Error| Broken(error.to_string());
        if !(200..300).contains(&response.status) {
            let refused: Refused = serde_json::from_slice(body).map_err(json)?;
            let v1::Rejected { name, retry_after_ms, .. } = refused.rejected;
            return Ok(Some(Carried::Refused { name, retry_after_ms }));
        }
        if !self.sends {
            return Ok(Some(Carried::Fetched(digest_of(body))));
        }
        let Info { whole, file } = serde_json::from_slice(body).map_err(json)?;
        Ok(Some(Carried::Kept { id: file.id, hash: file.hash, whole }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Vec<u8> {
        let len = body.len();
        format!("HTTP/1.1 {status} X\r\ncontent-length: {len}\r\n\r\n{body}").into_bytes()
    }

    /// What it makes of an answer, however that is cut.
    fn told(carrier: impl Fn() -> Carrier, answer: &[u8]) -> Carried {
        let whole = carrier().receive(answer).unwrap().unwrap();
        let mut cut = carrier();
        for (at, byte) in answer.iter().enumerate() {
            let told = cut.receive(&[*byte]).unwrap();
            assert_eq!(told.is_some(), at + 1 == answer.len());
            assert!(told.is_none_or(|told| told == whole));
        }
        whole
    }

    #[test]
    fn a_file_is_sent_whole_in_one_request_and_the_server_says_what_it_has() {
        let host = Rc::from("lab");
        let carrier = || Carrier::sends(&host, "secret", b"abc", true);
        let mut out = Vec::new();
        carrier().open(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("POST /api/v1/files HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("Bearer secret") && text.contains("Upload-Length: 3"), "{text}");
        assert!(text.ends_with("\r\n\r\nabc"), "{text}");
        let body = r#"{"here":3,"whole":true,"file":{"id":"f","name":"dot.png","hash":"h"}}"#;
        let kept = Carried::Kept { id: "f".into(), hash: "h".into(), whole: true };
        assert_eq!(told(carrier, &answer(201, body)), kept);
    }

    #[test]
    fn a_file_is_fetched_by_its_hash_or_refused_and_what_is_no_answer_breaks() {
        let host = Rc::from("lab");
        let carrier = || Carrier::fetches(&host, "secret", (7, 9), "f");
        let mut out = Vec::new();
        carrier().open(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("GET /api/v1/rooms/7/messages/9/files/f HTTP/1.1\r\n"), "{text}");
        assert_eq!(told(carrier, &answer(200, "abc")), Carried::Fetched(digest_of(b"abc")));
        let no = r#"{"rejected":{"code":206,"name":"not_member","text":"t"}}"#;
        let refused = Carried::Refused { name: "not_member".into(), retry_after_ms: None };
        assert_eq!(told(carrier, &answer(403, no)), refused);
        assert!(carrier().receive(&answer(500, "oops")).is_err());
    }
}
