//! Helvetica, as every PDF reader has it: how wide its letters are, and text in its encoding.
//!
//! Neighbours: `pdf` sets text with it. The widths are those Adobe published for the font.

/// From the space to the tilde, in thousandths of the font's size.
const ASCII: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];
/// Of the other letters, near enough to break a line.
const OTHERS: u16 = 556;

/// Text in the encoding that readers call `WinAnsi`; what it has not becomes what is read alike.
pub fn encode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            ' '..='~' => bytes.push(letter as u8),
            '\u{a0}'..='\u{ff}' => bytes.push(letter as u32 as u8),
            '–' => bytes.push(0x96),
            '—' => bytes.push(0x97),
            '•' => bytes.push(0x95),
            '…' => bytes.push(0x85),
            '‘' | '’' => bytes.push(b'\''),
            '“' | '”' => bytes.push(b'"'),
            '≤' => bytes.extend(b"<="),
            '≥' => bytes.extend(b">="),
            'μ' => bytes.push(0xb5),
            '\t' => bytes.extend(b"    "),
            _ if letter.is_control() => {}
            _ => bytes.push(b'?'),
        }
    }
    bytes
}

/// How wide encoded text is, in sizes of the font.
pub fn width(bytes: &[u8]) -> f64 {
    let of = |byte: &u8| match byte {
        b' '..=b'~' => ASCII[usize::from(*byte - b' ')],
        _ => OTHERS,
    };
    bytes.iter().map(|byte| f64::from(of(byte))).sum::<f64>() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_as_wide_as_the_font_has_them() {
        assert!((width(b"Hello") - (0.722 + 0.556 + 0.222 + 0.222 + 0.556)).abs() < 1e-9);
        assert!((width(b"~ @") - (0.584 + 0.278 + 1.015)).abs() < 1e-9);
    }

    #[test]
    fn letters_that_the_font_has_not_are_read_alike() {
        assert_eq!(encode("µs ≤ 5 × é – 中\u{1b}"), b"\xb5s <= 5 \xd7 \xe9 \x96 ?");
    }
}
