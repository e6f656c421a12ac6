//! What compressing a message costs and saves: prose of several lengths, as one JSON event, compressed
//! as the server does it and inflated as a client does.
//!
//! ```text
//! cargo run --release -p xtask --features measure --example deflate
//! ```
#![expect(clippy::print_stdout, reason = "a measurement speaks to the one who runs it")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use throng_wire::ws::deflate::{compress, inflate};

/// Prose to cut messages from.
const TEXT: &str = concat!(
    include_str!("../../docs/reference/protocol.md"),
    include_str!("../../docs/reference/performance.md"),
);
/// Each length is measured for so long.
const FOR: Duration = Duration::from_millis(300);

fn main() {
    println!("| bytes | compressed | µs to compress | µs to inflate |\n| --- | --- | --- | --- |");
    for len in [1_100, 2_048, 4_096, 16_384, 65_536] {
        let events: Vec<String> = (0..32).map(|number| event(len, number)).collect();
        let small: Vec<Vec<u8>> = events.iter().map(|event| compressed(event)).collect();
        let bytes: usize = small.iter().map(Vec::len).sum();
        let mut next = events.iter().cycle();
        let down = each(|| {
            black_box(compressed(next.next().expect("a cycle")));
        });
        let mut next = small.iter().cycle();
        let up = each(|| {
            let message = inflate(next.next().expect("a cycle"), 1 << 20);
            black_box(message.expect("what was compressed just now"));
        });
        println!("| {len} | {:.2} | {down:.0} | {up:.0} |", bytes as f64 / (32 * len) as f64);
    }
}

/// An event of this many bytes, its text from another place each time.
fn event(len: usize, number: usize) -> String {
    let head = format!(r#"{{"event":{{"room":1,"seq":{number},"message":{{"body":""#);
    let begin = TEXT.floor_char_boundary(number * 997 % TEXT.len());
    let text = TEXT[begin..].chars().chain(TEXT.chars().cycle());
    let mut event = head;
    event.extend(text.map(|c| if c.is_ascii() && c != '\n' { c } else { ' ' }).take(len));
    event.truncate(len);
    event
}

fn compressed(event: &str) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(compress(event.as_bytes(), &mut out), "prose gets shorter");
    out
}

/// Mean microseconds of one call.
fn each(mut call: impl FnMut()) -> f64 {
    let began = Instant::now();
    let mut calls = 0;
    while began.elapsed() < FOR {
        call();
        calls += 1;
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}
