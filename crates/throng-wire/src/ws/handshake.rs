//! The opening handshake (RFC 6455 §4). The server's HTTP head is read by its HTTP library, so here
//! is only what is particular to WebSocket, and the client's side, which the lab speaks.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// A response head longer than this is not waited for.
pub const RESPONSE_LEN_MAX: usize = 8 * 1024;

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

/// Whether a `Sec-WebSocket-Key` is what the RFC asks for: sixteen bytes in base64.
pub fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// A client's `Sec-WebSocket-Key` from sixteen bytes of chance.
pub fn key(nonce: [u8; 16]) -> String {
    STANDARD.encode(nonce)
}

/// A client's request head. `headers` are more lines, each ended by `\r\n`: an `Authorization`, say.
pub fn request(host: &str, path: &str, key: &str, subprotocol: &str, headers: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {subprotocol}\r\n{headers}\r\n"
    )
    .into_bytes()
}

/// A server's answer that opens the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Bytes of the head; what follows are frames.
    pub used: usize,
    /// The subprotocol that the server chose.
    pub subprotocol: Option<String>,
    /// The server agreed to `permessage-deflate`.
    pub deflate: bool,
}

/// A server's answer that does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another status than 101.
    Status(u16),
    /// Not an HTTP response, or one whose WebSocket headers are missing or wrong.
    BadResponse(&'static str),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the server answered {status}, not 101"),
            Self::BadResponse(what) => write!(f, "the server's answer is not a handshake: {what}"),
        }
    }
}

impl std::error::Error for Refused {}

/// Reads the answer to a `request` with `key`, from its first byte on. `None`: more is needed.
pub fn response(input: &[u8], key: &str) -> Result<Option<Opened>, Refused> {
    let bad = |what| Err(Refused::BadResponse(what));
    let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if input.len() > RESPONSE_LEN_MAX { bad("a head without end") } else { Ok(None) };
    };
    let Ok(head) = std::str::from_utf8(&input[..end]) else { return bad("not text") };
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3));
    match status.and_then(|status| status.parse().ok()) {
        None => return bad("no status"),
        Some(101) => {}
        Some(status) => return Err(Refused::Status(status)),
    }
    let (mut upgrade, mut accept, mut subprotocol, mut deflate) = (None, None, None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "upgrade" => upgrade = Some(value),
            "sec-websocket-accept" => accept = Some(value),
            "sec-websocket-protocol" => subprotocol = Some(value.to_owned()),
            "sec-websocket-extensions" => deflate = value.starts_with("permessage-deflate"),
            _ => {}
        }
    }
    if !upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        return bad("no upgrade");
    }
    if accept != Some(&accept_key(key)) {
        return bad("a wrong accept key");
    }
    Ok(Some(Opened { used: end + 4, subprotocol, deflate }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn the_accept_key_is_that_of_the_rfcs_example() {
        assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(is_key(KEY));
        assert!(!is_key("dGhl"));
    }

    #[test]
    fn a_response_is_read_up_to_its_first_frame() {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: throng.v1.json\r\n\r\n",
            accept_key(KEY)
        );
        let bytes = [answer.as_bytes(), b"\x81\x02hi"].concat();
        for cut in 0..answer.len() {
            assert_eq!(response(&bytes[..cut], KEY), Ok(None), "cut at {cut}");
        }
        let subprotocol = Some("throng.v1.json".to_owned());
        assert_eq!(
            response(&bytes, KEY),
            Ok(Some(Opened { used: answer.len(), subprotocol, deflate: false }))
        );
        let other = key([0; 16]);
        assert_eq!(response(&bytes, &other), Err(Refused::BadResponse("a wrong accept key")));
    }

    #[test]
    fn a_refusal_is_told_by_its_status() {
        let answer = b"HTTP/1.1 403 Forbidden\r\n\r\n";
        assert_eq!(response(answer, KEY), Err(Refused::Status(403)));
    }
}
