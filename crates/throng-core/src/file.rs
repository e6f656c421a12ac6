//! Files as a message carries them: what is said of a file in the room's order, so that a page of
//! history needs no look-up.
//!
//! Neighbours: `event` (a post's extras hold them). The bytes are the server's: nothing here reads
//! one, and what a file is, was found out by looking at them, never from a client's word.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write as _;

use crate::limits::FILE_NAME_LEN_MAX;
use crate::rejection::Rejection;
use crate::text::shown::{is_shown, shows_something};

/// A file of an account: random, so that nobody comes upon another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub [u8; 16]);

/// What is in a file: its BLAKE3 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHash(pub [u8; 32]);

impl FileId {
    /// Reads 32 lower-case hexadecimal digits; whatever else names no file.
    pub fn parse(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    /// As it goes over the wire.
    pub fn to_hex(self) -> String {
        to_hex(&self.0)
    }
}

/// The picture of somebody or something: the hash of it, or that there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Avatar(pub Option<FileHash>);

impl FileHash {
    /// Reads 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    /// As it goes over the wire.
    pub fn to_hex(self) -> String {
        to_hex(&self.0)
    }
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes what is written");
    }
    text
}

/// A file's name: 1 to `FILE_NAME_LEN_MAX` bytes of one line that show, without a path and without
/// characters that hide what it ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(Arc<str>);

impl FileName {
    /// Takes what stands behind the last slash, then refuses what the type's comment does not allow.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        let name = text.rsplit(['/', '\\']).next().unwrap_or_default().trim();
        if name != "." && name != ".." && is_shown(name) && shows_something(name) {
            Self::stored(name)
        } else {
            Err(Rejection::BadArgument)
        }
    }

    /// A name that an earlier build took, by rules that may have been less strict.
    pub fn stored(name: &str) -> Result<Self, Rejection> {
        let fits = (1..=FILE_NAME_LEN_MAX).contains(&name.len());
        if fits && !name.chars().any(char::is_control) {
            Ok(Self(name.into()))
        } else {
            Err(Rejection::BadArgument)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes `FileKind` from one list: its number on disk, its media type.
macro_rules! kinds {
    ($($(#[doc = $about:literal])+ $kind:ident = $number:literal, $media:literal;)+) => {
        /// What a file's first bytes say that it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FileKind {
            $($(#[doc = $about])+ $kind = $number,)+
        }

        impl FileKind {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The media type it is served with.
            pub fn media(self) -> &'static str {
                match self { $(Self::$kind => $media,)+ }
            }
        }
    };
}

kinds! {
    /// Nothing that is known here.
    Bytes = 0, "application/octet-stream";
    /// UTF-8 without control characters; HTML and SVG too, which are never served as such.
    Text = 1, "text/plain; charset=utf-8";
    /// A picture.
    Png = 2, "image/png";
    /// A picture.
    Jpeg = 3, "image/jpeg";
    /// A picture, perhaps moving.
    Gif = 4, "image/gif";
    /// A picture.
    Webp = 5, "image/webp";
    /// A document.
    Pdf = 6, "application/pdf";
    /// An archive, or a document that is one.
    Zip = 7, "application/zip";
    /// Sound or film.
    Mp4 = 8, "video/mp4";
    /// Sound or film.
    Webm = 9, "video/webm";
    /// Sound.
    Mp3 = 10, "audio/mpeg";
    /// Sound or film.
    Ogg = 11, "audio/ogg";
    /// Sound.
    Wav = 12, "audio/wav";
    /// Sound.
    Flac = 13, "audio/flac";
}

impl FileKind {
    /// The number on disk.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// What the number on disk means.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.number() == number)
    }

    /// Whether it is a picture, of which a small one can be made, and which a browser shows.
    pub fn is_picture(self) -> bool {
        matches!(self, Self::Png | Self::Jpeg | Self::Gif | Self::Webp)
    }
}

/// A file of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Which.
    pub id: FileId,
    /// What is in it.
    pub hash: FileHash,
    /// What it is.
    pub kind: FileKind,
    /// How many bytes.
    pub len: u64,
    /// A picture's width and height, as its head says; 0 for what is no picture.
    pub size: (u32, u32),
    /// What its owner calls it.
    pub name: FileName,
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_in_no_other_way() {
        let id = FileId([0xa7; 16]);
        assert_eq!(FileId::parse(&id.to_hex()), Some(id));
        let hash = FileHash([0x0f; 32]);
        assert_eq!(FileHash::parse(&hash.to_hex()), Some(hash));
        let hex = id.to_hex();
        for text in ["", &hex[1..], &format!("{hex}0"), &hex.to_uppercase(), &hex.replace('a', "g")]
        {
            assert_eq!(FileId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_name_is_one_line_without_a_path_up_to_its_limit() {
        let long = "x".repeat(FILE_NAME_LEN_MAX);
        for (given, kept) in [
            ("a.png", "a.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\pictures\\cat.jpg", "cat.jpg"),
            (" Füße 部屋.txt ", "Füße 部屋.txt"),
            ("👨\u{200d}👩\u{200d}👧.jpg", "👨\u{200d}👩\u{200d}👧.jpg"),
            (&long[1..], &long[1..]),
            (&long, &long),
        ] {
            assert_eq!(FileName::parse(given).unwrap().as_str(), kept, "{given:?}");
        }
        let longer = "x".repeat(FILE_NAME_LEN_MAX + 1);
        for given in
            ["", "  ", "/", "a/", ".", "..", "a\nb", "exe.\u{202e}gpj", "\u{2800}", &longer]
        {
            assert_eq!(FileName::parse(given), Err(Rejection::BadArgument), "{given:?}");
        }
    }

    #[test]
    fn a_kind_is_found_by_its_number_and_none_has_two() {
        for (number, kind) in FileKind::ALL.iter().enumerate() {
            assert_eq!(usize::from(kind.number()), number);
            assert_eq!(FileKind::from_number(kind.number()), Some(*kind));
        }
        assert_eq!(FileKind::from_number(FileKind::ALL.len() as u8), None);
    }
}
