//! A stream gives the same records however it is cut, and holds no more than has come.

use throng_wire::raw::{Decoder, TooBig};

const LIMIT: usize = 300;
const SEEDS: [&[u8]; 3] =
    [b"\0\0\0\x02hi\0\0\0\0\0\0\0\x05world", b"\0\0\x01\x2dtoo long", b"\0\0\0\x09the end"];

fn read(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Result<(), TooBig>) {
    let mut decoder = Decoder::new(LIMIT);
    let mut frames = Vec::new();
    for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            match decoder.decode(piece) {
                Err(error) => return (frames, Err(error)),
                Ok(step) => {
                    frames.extend(step.frame.map(std::borrow::Cow::into_owned));
                    piece = &piece[step.used..];
                    assert!(decoder.held() <= 2 * LIMIT);
                }
            }
        }
    }
    (frames, Ok(()))
}

#[test]
fn fuzz() {
    bolero::check!().for_each(|input: &[u8]| {
        for bytes in super::tries(input, &SEEDS) {
            let whole = read(&bytes, bytes.len().max(1));
            for piece in [1, 3, 7] {
                assert_eq!(read(&bytes, piece), whole, "in pieces of {piece}");
            }
        }
    });
}
