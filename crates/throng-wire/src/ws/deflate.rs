//! `permessage-deflate` (RFC 7692) without context takeover: every message is compressed for itself,
//! so that one compression serves every recipient and no connection keeps a window.
//!
//! Neighbours: `handshake` carries the headers, `decode` inflates what `accept` allowed, `encode`
//! writes what `compress` made. An offer that wants a window below 32 KiB is passed over: the
//! compressor knows no other.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Error;

/// Shorter payloads are sent as they are: they gain little, and a frame fits into a packet anyway.
pub const DEFLATE_LEN_MIN: usize = 1024;
/// Ends a message's last block; it is not sent (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Output is made room for in pieces of this.
const PIECE: usize = 4 * 1024;
const NAME: &str = "permessage-deflate";
/// Half the time of the usual 6, for a fiftieth more bytes (`cargo run --release -p xtask --features measure --example
/// deflate`).
const LEVEL: u32 = 3;

thread_local! {
    /// A compressor takes a third of a megabyte; a thread has one, and no message leaves a trace in it.
    static COMPRESS: RefCell<Compress> =
        RefCell::new(Compress::new(Compression::new(LEVEL), false));
}

/// What a server answers to the values of `Sec-WebSocket-Extensions`: the first offer that it can
/// keep, or `None` to go on without.
pub fn accept<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<&'static str> {
    let offers = headers.into_iter().flat_map(|header| header.split(','));
    let kept = offers.map(str::trim).any(can_keep);
    kept.then_some(OFFER)
}

/// What is agreed to, and what our own clients offer.
pub const OFFER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Whether this is an offer of the extension, well-formed (RFC 7692 §7.1), and of a window we have.
fn can_keep(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
        return false;
    }
    let mut seen = Vec::new();
    parts.all(|part| {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (part, None),
        };
        let name = name.to_ascii_lowercase();
        let known = match (name.as_str(), value) {
            (
                "server_no_context_takeover"
                | "client_no_context_takeover"
                | "client_max_window_bits",
                None,
            ) => true,
            ("server_max_window_bits", Some(bits)) => bits == "15",
            // The client's window is its own affair: an inflater reads them all.
            ("client_max_window_bits", Some(bits)) => {
                ["8", "9", "10", "11", "12", "13", "14", "15"].contains(&bits)
            }
            _ => false,
        };
        let new = !seen.contains(&name);
        seen.push(name);
        known && new
    })
}

/// Appends the payload, compressed as one message. False, and nothing appended, when that is no
/// shorter than the payload itself.
pub fn compress(payload: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    COMPRESS.with_borrow_mut(|state| {
        state.reset();
        loop {
            out.reserve(PIECE);
            let rest = &payload[state.total_in() as usize..];
            let went = state.compress_vec(rest, out, FlushCompress::Sync);
            went.expect("deflate takes any bytes, and there is room for its output");
            // Room was left over: all that was taken in has come out.
            if state.total_in() as usize == payload.len() && out.len() < out.capacity() {
                break;
            }
        }
    });
    debug_assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    let shorter = out.len() - start < payload.len();
    if !shorter {
        out.truncate(start);
    }
    shorter
}

/// The message that these bytes were made from, if it is no longer than `len_max`. Memory grows with
/// what has come out, and no further than that.
pub fn inflate(bytes: &[u8], len_max: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut state = Decompress::new(false);
    for input in [bytes, &TAIL] {
        let mut rest = input;
        while !rest.is_empty() {
            if out.len() == out.capacity() {
                if out.len() > len_max {
                    return Err(Error::TooBig);
                }
                out.reserve_exact(PIECE.max(out.len()).min(len_max + 1 - out.len()));
            }
            let (taken, made) = (state.total_in(), out.len());
            let status = state.decompress_vec(rest, &mut out, FlushDecompress::None);
            rest = &rest[(state.total_in() - taken) as usize..];
            match status {
                // The last block was marked as the last of all (RFC 7692 §7.2.3.4); what follows
                // begins anew.
                Ok(Status::StreamEnd) => state.reset(false),
                Ok(_) if state.total_in() > taken || out.len() > made => {}
                Ok(_) if out.len() == out.capacity() => {}
                _ => return Err(Error::BadDeflate),
            }
        }
    }
    drain(&mut state, &mut out, len_max)?;
    if out.len() > len_max { Err(Error::TooBig) } else { Ok(out) }
}

/// What is still held back because there was no room.
fn drain(state: &mut Decompress, out: &mut Vec<u8>, len_max: usize) -> Result<(), Error> {
    while out.len() == out.capacity() && !out.is_empty() {
        if out.len() > len_max {
            return Err(Error::TooBig);
        }
        out.reserve_exact(PIECE.min(len_max + 1 - out.len()));
        let made = out.len();
        let status = state.decompress_vec(&[], out, FlushDecompress::None);
        if status.is_err() || out.len() == made {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offers_are_answered_as_the_rfc_says() {
        for (offers, kept) in [
            (&["permessage-deflate"][..], true),
            (&["permessage-deflate; client_max_window_bits"], true),
            (&["permessage-deflate; client_max_window_bits=\"10\""], true),
            (&["PerMessage-Deflate; Server_No_Context_Takeover"], true),
            (&["permessage-deflate; server_max_window_bits=15"], true),
            (&["permessage-deflate; server_max_window_bits=10"], false),
            (&["permessage-deflate; server_max_window_bits=10, permessage-deflate"], true),
            (&["x-webkit-deflate-frame", "permessage-deflate"], true),
            (&["permessage-deflate; server_max_window_bits"], false),
            (&["permessage-deflate; client_max_window_bits=16"], false),
            (&["permessage-deflate; client_max_window_bits=08"], false),
            (&["permessage-deflate; client_no_context_takeover=1"], false),
            (&["permessage-deflate; unknown"], false),
            (
                &["permessage-deflate; client_no_context_takeover; client_no_context_takeover"],
                false,
            ),
            (&["permessage-bzip2"], false),
            (&[""], false),
            (&[], false),
        ] {
            assert_eq!(accept(offers.iter().copied()).is_some(), kept, "{offers:?}");
        }
        assert!(accept([OFFER]).is_some());
    }

    #[test]
    fn the_rfcs_examples_are_read() {
        let hello = Ok(b"Hello".to_vec());
        // §7.2.3.1, a block without compression §7.2.3.3, one marked as the last §7.2.3.4, two §7.2.3.5.
        assert_eq!(inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 5), hello);
        assert_eq!(inflate(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 5), hello);
        assert_eq!(inflate(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 5), hello);
        assert_eq!(inflate(b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 5), hello);
        assert_eq!(inflate(b"\x00", 0), Ok(vec![]));
    }

    #[test]
    fn a_message_is_read_at_the_limit_and_refused_above_it() {
        for (len, read) in [(9_999, true), (10_000, true), (10_001, false), (40_000, false)] {
            let mut small = Vec::new();
            assert!(compress(&vec![b'a'; len], &mut small));
            let expected = if read { Ok(vec![b'a'; len]) } else { Err(Error::TooBig) };
            assert_eq!(inflate(&small, 10_000), expected, "{len}");
        }
    }

    #[test]
    fn a_bomb_costs_no_more_than_the_limit() {
        let mut bomb = Vec::new();
        compress(&vec![0; 64 << 20], &mut bomb);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        assert_eq!(inflate(&bomb, 64 * 1024), Err(Error::TooBig));
    }

    #[test]
    fn what_is_no_deflate_is_refused() {
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\x06", b"\x00\x05\x00\xfa\xfeHello"] {
            assert_eq!(inflate(bytes, 1_000), Err(Error::BadDeflate), "{bytes:x?}");
        }
    }

    #[test]
    fn what_does_not_get_shorter_is_left_as_it_is() {
        for payload in [&b""[..], b"x", b"hello"] {
            let mut out = b"before".to_vec();
            assert!(!compress(payload, &mut out), "{payload:?}");
            assert_eq!(out, b"before");
        }
    }

    proptest! {
        #[test]
        fn what_was_compressed_is_read_again(seed in proptest::collection::vec(any::<u8>(), 0..400), times in 1..200_usize) {
            let payload = seed.repeat(times);
            let mut small = Vec::new();
            if compress(&payload, &mut small) {
                prop_assert_eq!(inflate(&small, payload.len()), Ok(payload));
            }
        }

        #[test]
        fn any_bytes_are_an_answer_and_no_more_than_allowed(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(read) = inflate(&bytes, 1_000) {
                prop_assert!(read.len() <= 1_000);
            }
        }
    }
}
