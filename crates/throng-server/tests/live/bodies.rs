//! What becomes of a connection over HTTP whose request was answered before its body was read.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use throng_core::limits::BODY_BYTES_MAX;

use super::Server;
use super::rights::Http;

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.http).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Asks what nobody may who shows no token; the body is yet to come.
fn begin(stream: &mut TcpStream, len: usize) {
    let head = format!("POST /api/v1/rooms HTTP/1.1\r\nhost: x\r\ncontent-length: {len}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
}

#[test]
fn behind_a_short_body_that_comes_after_its_head_a_connection_goes_on() {
    let server = Server::start();
    let mut stream = connect(&server);
    let mut another = Http::connect(&server);
    for _ in 0..3 {
        begin(&mut stream, 20);
        // The server has time to answer the head alone.
        assert_eq!(another.ask("", "GET", "/rooms", ""), 401);
        stream.write_all(&[b' '; 20]).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the connection is kept");
            answer.extend(byte);
        }
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        assert!(answer.starts_with("http/1.1 401"), "{answer}");
        assert!(!answer.contains("connection:"), "{answer}");
    }
}

#[test]
fn a_long_body_is_not_waited_for_and_the_end_of_its_connection_is_said() {
    let server = Server::start();
    let mut stream = connect(&server);
    begin(&mut stream, BODY_BYTES_MAX + 1);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and the end");
    let answer = answer.to_lowercase();
    assert!(answer.starts_with("http/1.1 401"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}
