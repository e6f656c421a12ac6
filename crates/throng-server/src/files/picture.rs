//! Small pictures of large ones, made without trusting them: what a picture says of its size is read
//! before anything is unpacked, and one that says too much for its bytes is not unpacked at all.
//!
//! Neighbours: the thread of `files` calls it, one picture at a time. It reads nothing but the bytes it
//! is given, and keeps none of what they say beside the picture (places, dates, names).

use std::io::{BufRead, Cursor, Seek};

use image::codecs::jpeg::JpegEncoder;
use image::{
    DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, ImageResult, Limits,
};
use throng_core::FileKind;

/// The longer side of a small picture.
pub const EDGE: u32 = 320;
/// Nothing that people look at is longer.
const SIDE_MAX: u32 = 32_768;
/// What reading a head may take: profiles of colours.
const HEAD_ALLOC_MAX: u64 = 512 * 1024;
/// A picture unpacks to so many times its own bytes and `UNPACKED_FREE`: screens of one colour do,
/// bombs do not.
const UNPACKED_RATIO_MAX: u64 = 128;
/// A picture may always unpack to this.
const UNPACKED_FREE: u64 = 256 * 1024;
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
    bytes: impl BufRead + Seek,
    kind: FileKind,
    len: u64,
    unpacked_max: u64,
) -> Option<Vec<u8>> {
    let most = unpacked_max.min(len.saturating_mul(UNPACKED_RATIO_MAX) + UNPACKED_FREE);
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
    let mut small = if fits { picture } else { picture.thumbnail(EDGE, EDGE) };
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
            // A frame of one colour is small enough to be always unpacked only below its limit.
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
        for side in [2_048, 8_192] {
            let bytes = bomb(side);
            assert!(bytes.len() < 128 * 1_024, "{} bytes for {side}", bytes.len());
            assert_eq!(made(&bytes, FileKind::Png), None, "{side}");
        }
        // A head that says more than any picture has, and nothing behind it.
        let mut head = bomb(1);
        head[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(size(Cursor::new(&head), FileKind::Png), (0, 0));
        assert_eq!(made(&head, FileKind::Png), None);
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
