//! What a file is, found out by looking at it: a client's word for it is never asked.
//!
//! Neighbours: `blobs` shows it a file's head. It names a kind only where it is sure; what it does
//! not know is bytes, which no browser opens.

use throng_core::FileKind;

/// How much of a file is looked at.
pub const HEAD_LEN: usize = 512;

/// The kind of a file with this head; `whole` when nothing follows it.
pub fn sniff(head: &[u8], whole: bool) -> FileKind {
    let at = |place: usize, magic: &[u8]| head.get(place..).is_some_and(|it| it.starts_with(magic));
    let riff = |form: &[u8]| at(0, b"RIFF") && at(8, form);
    match head {
        _ if at(0, b"\x89PNG\r\n\x1a\n") => FileKind::Png,
        _ if at(0, b"\xff\xd8\xff") => FileKind::Jpeg,
        _ if at(0, b"GIF87a") || at(0, b"GIF89a") => FileKind::Gif,
        _ if riff(b"WEBP") => FileKind::Webp,
        _ if riff(b"WAVE") => FileKind::Wav,
        _ if at(0, b"%PDF-") => FileKind::Pdf,
        _ if at(0, b"PK\x03\x04") || at(0, b"PK\x05\x06") => FileKind::Zip,
        _ if at(4, b"ftyp") => FileKind::Mp4,
        _ if at(0, b"\x1a\x45\xdf\xa3") => FileKind::Webm,
        _ if at(0, b"ID3") || at(0, b"\xff\xfb") || at(0, b"\xff\xf3") => FileKind::Mp3,
        _ if at(0, b"OggS") => FileKind::Ogg,
        _ if at(0, b"fLaC") => FileKind::Flac,
        _ if is_text(head, whole) => FileKind::Text,
        _ => FileKind::Bytes,
    }
}

/// UTF-8 that a page could show: no control characters but those of lines.
fn is_text(head: &[u8], whole: bool) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut by the head's end.
        Err(error) if !whole && error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).expect("valid up to there")
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_bytes_say() {
        for (head, kind) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], FileKind::Png),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", FileKind::Jpeg),
            (b"GIF89a\x01\0", FileKind::Gif),
            (b"RIFF\x10\0\0\0WEBPVP8 ", FileKind::Webp),
            (b"RIFF\x10\0\0\0WAVEfmt ", FileKind::Wav),
            (b"%PDF-1.7", FileKind::Pdf),
            (b"PK\x03\x04\x14\0", FileKind::Zip),
            (b"\0\0\0\x20ftypisom", FileKind::Mp4),
            (b"\x1a\x45\xdf\xa3\x9f", FileKind::Webm),
            (b"ID3\x04", FileKind::Mp3),
            (b"OggS\0\x02", FileKind::Ogg),
            (b"fLaC\0\0", FileKind::Flac),
            ("Füße\n".as_bytes(), FileKind::Text),
            // What could run as a script is text like any other.
            (b"<svg xmlns='x'><script>1</script></svg>", FileKind::Text),
            (b"<!doctype html><script>1</script>", FileKind::Text),
            (b"\x7fELF\x02\x01", FileKind::Bytes),
            (b"MZ\x90\0", FileKind::Bytes),
            (b"text\0with a hole", FileKind::Bytes),
            (b"\xff\xfe\x41\0", FileKind::Bytes),
            (b"", FileKind::Bytes),
        ] {
            assert_eq!(sniff(head, true), kind, "{head:?}");
        }
    }

    #[test]
    fn a_character_that_the_heads_end_cuts_is_no_fault_of_the_text() {
        let text = "ж".repeat(HEAD_LEN);
        let cut = &text.as_bytes()[..HEAD_LEN - 1];
        assert_eq!(sniff(cut, false), FileKind::Text);
        assert_eq!(sniff(cut, true), FileKind::Bytes);
    }
}
