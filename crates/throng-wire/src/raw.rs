//! Frames on a bare byte stream: a big-endian `u32` length, then that many bytes of one Protobuf
//! frame. Knows nothing of what the bytes mean.

use std::borrow::Cow;
use std::fmt;

/// Bytes before each frame.
pub const HEADER_LEN: usize = 4;

/// Appends one record whose payload `write` appends. One pass: the length is filled in afterwards.
pub fn encode_with(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    write(out);
    let len = u32::try_from(out.len() - start - HEADER_LEN).expect("a frame is far below 4 GiB");
    out[start..start + HEADER_LEN].copy_from_slice(&len.to_be_bytes());
}

/// Appends one record.
pub fn encode(payload: &[u8], out: &mut Vec<u8>) {
    encode_with(out, |out| out.extend_from_slice(payload));
}

/// A record longer than the limit; the stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig;

impl fmt::Display for TooBig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame above the limit")
    }
}

impl std::error::Error for TooBig {}

/// What one call of `Decoder::decode` did.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'i> {
    /// Bytes of the input that are done with; the next call begins after them.
    pub used: usize,
    /// A frame's bytes, borrowed where they lay in the input as a whole. `None`: all input was used,
    /// more is needed.
    pub frame: Option<Cow<'i, [u8]>>,
}

/// Cuts a stream into records. Holds what has come of an unfinished record, and nothing between
/// records; a length is never believed before its bytes are there.
#[derive(Debug)]
pub struct Decoder {
    frame_len_max: usize,
    head: [u8; HEADER_LEN],
    head_len: u8,
    payload: Vec<u8>,
}

impl Decoder {
    /// For a stream's beginning.
    pub fn new(frame_len_max: usize) -> Self {
        Self { frame_len_max, head: [0; HEADER_LEN], head_len: 0, payload: Vec::new() }
    }

    /// From the next record on (after authentication, larger frames are allowed).
    pub fn set_limit(&mut self, frame_len_max: usize) {
        self.frame_len_max = frame_len_max;
    }

    /// Bytes held of an unfinished record.
    pub fn held(&self) -> usize {
        self.payload.capacity()
    }

    /// Takes the next bytes of the stream, up to the end of one record. After an error the stream is
    /// of no further use.
    pub fn decode<'i>(&mut self, input: &'i [u8]) -> Result<Step<'i>, TooBig> {
        let mut used = 0;
        if usize::from(self.head_len) < HEADER_LEN {
            let have = usize::from(self.head_len);
            used = input.len().min(HEADER_LEN - have);
            self.head[have..have + used].copy_from_slice(&input[..used]);
            self.head_len += used as u8;
            if have + used < HEADER_LEN {
                return Ok(Step { used, frame: None });
            }
        }
        let len = u32::from_be_bytes(self.head) as usize;
        if self.payload.is_empty() && len > self.frame_len_max {
            return Err(TooBig);
        }
        let rest = &input[used..];
        let missing = len - self.payload.len();
        if rest.len() < missing {
            self.payload.extend_from_slice(rest);
            return Ok(Step { used: input.len(), frame: None });
        }
        self.head_len = 0;
        let frame = if self.payload.is_empty() {
            Cow::Borrowed(&rest[..missing])
        } else {
            self.payload.extend_from_slice(&rest[..missing]);
            Cow::Owned(std::mem::take(&mut self.payload))
        };
        Ok(Step { used: used + missing, frame: Some(frame) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(decoder: &mut Decoder, mut input: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while !input.is_empty() {
            let step = decoder.decode(input).unwrap();
            frames.extend(step.frame.map(Cow::into_owned));
            input = &input[step.used..];
        }
        frames
    }

    #[test]
    fn records_come_out_whole_however_they_are_chopped() {
        let sent: [&[u8]; 4] = [b"one", b"", b"three", &[7; 300]];
        let mut stream = Vec::new();
        for frame in sent {
            encode(frame, &mut stream);
        }
        for chop in 1..stream.len() {
            let mut decoder = Decoder::new(300);
            let got: Vec<_> =
                stream.chunks(chop).flat_map(|chunk| frames(&mut decoder, chunk)).collect();
            assert_eq!(got, sent, "in chops of {chop}");
            assert_eq!(decoder.held(), 0);
        }
    }

    #[test]
    fn a_length_is_refused_or_waited_for_but_never_allocated() {
        let mut decoder = Decoder::new(1 << 20);
        assert_eq!(decoder.decode(&u32::MAX.to_be_bytes()), Err(TooBig));
        let mut decoder = Decoder::new(1 << 20);
        let head = (1_u32 << 20).to_be_bytes();
        assert_eq!(decoder.decode(&head), Ok(Step { used: 4, frame: None }));
        assert_eq!(decoder.held(), 0);
    }
}
