//! Small pictures of large ones, made without trusting them: what a picture says of its size is read
//! before anything is unpacked, and one that says too much for its bytes is not unpacked at all.
//!
//! Neighbours: the thread of `files` calls it, one picture at a time. It reads nothing but the bytes it
//! is given, and keeps none of what they say beside the picture (places, dates, names).

use std::io::{BufRead, Cursor, Seek};

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{
    DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, ImageResult, Limits,
};
use throng_core::FileKind;

use super::rows::Rows;

/// The longer side of a small picture.
pub const EDGE: u32 = 320;
/// Nothing that people look at is longer.
const SIDE_MAX: u32 = 32_768;
/// What reading a head may take: profiles of colours.
const HEAD_ALLOC_MAX: u64 = 512 * 1024;
/// A picture that is decoded whole unpacks to so many times its own bytes and `UNPACKED_FREE`: what it
/// takes of memory its sender had to send a part of.
const UNPACKED_RATIO_MAX: u64 = 128;
/// A picture may always unpack to this.
const UNPACKED_FREE: u64 = 256 * 1024;
/// The same of one that is read row by row and costs time alone: a screen of 3840 by 2160 that can be
/// seen through.
const UNPACKED_FREE_BY_ROWS: u64 = 32 * 1024 * 1024;
const JPEG_QUALITY: u8 = 80;

/// Width and height, as the head says; zeros for what is no picture or a broken one.
pub fn size(bytes: impl BufRead + Seek, kind: FileKind) -> (u32, u32) {
    let Some(format) = format(kind) else { return (0, 0) };
    let mut reader = ImageReader::with_format(bytes, format);
    reader.limits(limits(HEAD_ALLOC_MAX));
    match reader.into_dimensions() {
        Ok(size) if size.0 <= SIDE_MAX && size.1 <= SIDE_MAX => size,
        _ => (0, 0),
    }
}

/// A small picture as PNG or JPEG; `None` where there is none to make: no picture, a broken one, or
/// one that unpacks to more than `unpacked_max` or than its `len` lets expect.
pub fn small(
    mut bytes: impl BufRead + Seek,
    kind: FileKind,
    len: u64,
    unpacked_max: u64,
) -> Option<Vec<u8>> {
    let ratio = len.saturating_mul(UNPACKED_RATIO_MAX);
    if kind == FileKind::Png {
        let most = unpacked_max.min(ratio.saturating_add(UNPACKED_FREE_BY_ROWS));
        match by_rows(&mut bytes, most) {
            ByRows::Made(made) => return made,
            ByRows::Whole => bytes.rewind().ok()?,
        }
    }
    let most = unpacked_max.min(ratio.saturating_add(UNPACKED_FREE));
    let made = format(kind).map(|format| shrink(bytes, format, most));
    match made {
        Some(Ok(bytes)) => Some(bytes),
        Some(Err(error)) => {
            tracing::debug!(%error, "no small picture");
            None
        }
        None => None,
    }
}

/// What came of reading a picture row by row.
enum ByRows {
    /// This, or that there is none to make.
    Made(Option<Vec<u8>>),
    /// It must be decoded whole.
    Whole,
}

fn by_rows(bytes: impl BufRead + Seek, most: u64) -> ByRows {
    let opened = match Rows::open(bytes, HEAD_ALLOC_MAX as usize) {
        Ok(Some(opened)) => opened,
        Ok(None) => return ByRows::Whole,
        Err(error) => {
            tracing::debug!(%error, "no small picture");
            return ByRows::Made(None);
        }
    };
    let (width, height) = opened.size();
    if width > SIDE_MAX || height > SIDE_MAX || opened.unpacked() > most {
        return ByRows::Made(None);
    }
    let orientation = opened.orientation();
    let (to_width, to_height) = fitting(width, height);
    let made = opened.shrink(to_width, to_height);
    ByRows::Made(made.and_then(|small| written(small, orientation).ok()))
}

/// The size of the small picture of one of this size: of its shape, and not larger than it.
fn fitting(width: u32, height: u32) -> (u32, u32) {
    let longer = width.max(height);
    if longer <= EDGE {
        return (width, height);
    }
    let part = |side: u32| {
        let rounded =
            (u64::from(side) * u64::from(EDGE) * 2 + u64::from(longer)) / (u64::from(longer) * 2);
        (rounded as u32).max(1)
    };
    (part(width), part(height))
}

fn shrink(bytes: impl BufRead + Seek, format: ImageFormat, most: u64) -> ImageResult<Vec<u8>> {
    let mut reader = ImageReader::with_format(bytes, format);
    // Until the size is known, as for a head.
    reader.limits(limits(HEAD_ALLOC_MAX.min(most)));
    let mut decoder = reader.into_decoder()?;
    let unpacked = decoder.total_bytes();
    if unpacked > most {
        let kind = image::error::LimitErrorKind::InsufficientMemory;
        return Err(ImageError::Limits(image::error::LimitError::from_kind(kind)));
    }
    // What a decoder holds beside its picture: a row or two, or the planes of a film's frame.
    decoder.set_limits(limits(unpacked * 2 + HEAD_ALLOC_MAX))?;
    let orientation = decoder.orientation()?;
    let picture = DynamicImage::from_decoder(decoder)?;
    let fits = picture.width() <= EDGE && picture.height() <= EDGE;
    written(if fits { picture } else { picture.thumbnail(EDGE, EDGE) }, orientation)
}

/// The bytes of a small picture, turned upright.
fn written(mut small: DynamicImage, orientation: Orientation) -> ImageResult<Vec<u8>> {
    small.apply_orientation(orientation);
    let mut out = Cursor::new(Vec::new());
    if small.color().has_alpha() {
        small.into_rgba8().write_to(&mut out, ImageFormat::Png)?;
    } else {
        let encoder = JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY);
        small.into_rgb8().write_with_encoder(encoder)?;
    }
    Ok(out.into_inner())
}

fn limits(alloc: u64) -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(alloc);
    limits
}

fn format(kind: FileKind) -> Option<ImageFormat> {
    match kind {
        FileKind::Png => Some(ImageFormat::Png),
        FileKind::Jpeg => Some(ImageFormat::Jpeg),
        FileKind::Gif => Some(ImageFormat::Gif),
        FileKind::Webp => Some(ImageFormat::WebP),
        _ => None,
    }
}

#[cfg(test)]
pub mod tests {
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    const UNPACKED_MAX: u64 = 64 << 20;

    /// A picture with something on it.
    pub fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let dot = |x: u32, y: u32| Rgb([(x * 7 + y) as u8, (x ^ y) as u8, (y * 3) as u8]);
        let mut out = Cursor::new(Vec::new());
        RgbImage::from_fn(width, height, dot).write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    /// Few bytes that unpack to many: a square of one colour.
    pub fn bomb(side: u32) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let encoder =
            PngEncoder::new_with_quality(&mut out, CompressionType::Best, FilterType::NoFilter);
        image::GrayImage::new(side, side).write_with_encoder(encoder).unwrap();
        out.into_inner()
    }

    fn made(bytes: &[u8], kind: FileKind) -> Option<(u32, u32, ImageFormat)> {
        let small = small(Cursor::new(bytes), kind, bytes.len() as u64, UNPACKED_MAX)?;
        let format = image::guess_format(&small).unwrap();
        let small = image::load_from_memory(&small).unwrap();
        Some((small.width(), small.height(), format))
    }

    #[test]
    fn a_picture_of_every_kind_is_made_small_with_its_shape_kept() {
        for (kind, format) in [
            (FileKind::Png, ImageFormat::Png),
            (FileKind::Jpeg, ImageFormat::Jpeg),
            (FileKind::Webp, ImageFormat::WebP),
        ] {
            let bytes = picture(800, 400, format);
            assert_eq!(size(Cursor::new(&bytes), kind), (800, 400));
            assert_eq!(made(&bytes, kind), Some((320, 160, ImageFormat::Jpeg)), "{kind:?}");
        }
        let see_through = RgbaImage::from_pixel(400, 800, Rgba([1, 2, 3, 4]));
        for (kind, format) in [(FileKind::Png, ImageFormat::Png), (FileKind::Gif, ImageFormat::Gif)]
        {
            let mut bytes = Cursor::new(Vec::new());
            see_through.write_to(&mut bytes, format).unwrap();
            let kept = Some((160, 320, ImageFormat::Png));
            // A frame of one colour that is decoded whole is always unpacked only below its limit.
            let bytes = bytes.into_inner();
            let padded = bytes.len() as u64 + 16_384;
            let small = small(Cursor::new(&bytes), kind, padded, UNPACKED_MAX).unwrap();
            let format = image::guess_format(&small).unwrap();
            let small = image::load_from_memory(&small).unwrap();
            assert_eq!(Some((small.width(), small.height(), format)), kept, "{kind:?}");
        }
    }

    #[test]
    fn a_picture_that_is_small_is_not_made_larger() {
        let bytes = picture(200, 100, ImageFormat::Png);
        assert_eq!(made(&bytes, FileKind::Png), Some((200, 100, ImageFormat::Jpeg)));
    }

    #[test]
    fn a_picture_is_unpacked_up_to_its_limit_and_not_one_byte_further() {
        let bytes = picture(400, 300, ImageFormat::Png);
        let (len, unpacked) = (bytes.len() as u64, 400 * 300 * 3);
        let at = |most| small(Cursor::new(&bytes), FileKind::Png, len, most).is_some();
        assert!(at(unpacked + 1) && at(unpacked) && !at(unpacked - 1));
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bytes = bomb(8_192);
        assert!(bytes.len() < 128 * 1_024, "{} bytes", bytes.len());
        assert_eq!(made(&bytes, FileKind::Png), None);
        // A head that says more than any picture has, and nothing behind it.
        let mut head = bomb(1);
        head[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(size(Cursor::new(&head), FileKind::Png), (0, 0));
        assert_eq!(made(&head, FileKind::Png), None);
    }

    #[test]
    fn a_logo_and_a_screen_of_few_colours_are_made_small_and_look_like_themselves() {
        let logo = |x: u32, y: u32| {
            if x.abs_diff(512) < 300 && y.abs_diff(512) < 300 { [200, 30, 40] } else { [255; 3] }
        };
        let screen = |x: u32, y: u32| if y < 40 || x < 4 { [40, 44, 52] } else { [255; 3] };
        let (logo, screen) = (
            RgbImage::from_fn(1_024, 1_024, |x, y| Rgb(logo(x, y))),
            RgbImage::from_fn(1_920, 1_080, |x, y| Rgb(screen(x, y))),
        );
        for (picture, size, middle) in
            [(&logo, (320, 320), [200, 30, 40]), (&screen, (320, 180), [255; 3])]
        {
            let mut bytes = Vec::new();
            let best = CompressionType::Best;
            let encoder = PngEncoder::new_with_quality(&mut bytes, best, FilterType::Adaptive);
            picture.write_with_encoder(encoder).unwrap();
            assert!(bytes.len() as u64 * 128 < u64::from(picture.width() * picture.height()));
            let small = small(Cursor::new(&bytes), FileKind::Png, bytes.len() as u64, UNPACKED_MAX);
            let small = image::load_from_memory(&small.unwrap()).unwrap().into_rgb8();
            assert_eq!(small.dimensions(), size);
            let seen = small.get_pixel(size.0 / 2, size.1 / 2).0;
            let near = seen.iter().zip(middle).all(|(seen, meant)| seen.abs_diff(meant) < 8);
            assert!(near, "{seen:?}");
        }
    }

    #[test]
    fn a_small_picture_has_the_shape_of_the_large_one() {
        for (size, fits) in [
            ((900, 600), (320, 213)),
            ((320, 320), (320, 320)),
            ((321, 1), (320, 1)),
            ((32_768, 1), (320, 1)),
            ((1_080, 1_920), (180, 320)),
            ((5, 7), (5, 7)),
        ] {
            assert_eq!(fitting(size.0, size.1), fits, "{size:?}");
        }
    }

    #[test]
    fn a_broken_picture_is_none() {
        let bytes = picture(400, 300, ImageFormat::Jpeg);
        for cut in [0, 2, 10, 100] {
            assert_eq!(made(&bytes[..cut], FileKind::Jpeg), None, "{cut}");
        }
        assert_eq!(made(b"no picture", FileKind::Png), None);
        assert_eq!(made(&bytes, FileKind::Pdf), None);
    }
}
