//! A PNG made small row by row, so that what it unpacks to is never held: screens and logos of few colours
//! unpack to hundreds of times their bytes, as bombs do, and cost no memory here.
//!
//! Neighbours: `picture.rs` asks it first, and decodes whole what cannot be read so (interlaced ones),
//! and what is no PNG.

use std::io::{BufRead, Seek};

use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use png::{ColorType, Decoder, DecodingError, Limits, Reader, Transformations};

/// Places looked at of each row for each of a small picture's: more would change nothing that is seen.
const SAMPLES: usize = 4;

/// A picture whose head was read.
pub struct Rows<R: BufRead + Seek> {
    reader: Reader<R>,
    width: usize,
    height: usize,
    channels: usize,
}

impl<R: BufRead + Seek> Rows<R> {
    /// Reads the head; `held_max` bytes are held at most, rows included. `None` for one that must be
    /// decoded whole.
    pub fn open(bytes: R, held_max: usize) -> Result<Option<Self>, DecodingError> {
        let mut decoder = Decoder::new_with_limits(bytes, Limits { bytes: held_max });
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        decoder.set_transformations(Transformations::normalize_to_color8());
        let reader = decoder.read_info()?;
        if reader.info().interlaced {
            return Ok(None);
        }
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        let channels = match reader.output_color_type().0 {
            ColorType::Grayscale => 1,
            ColorType::GrayscaleAlpha => 2,
            ColorType::Rgb | ColorType::Indexed => 3,
            ColorType::Rgba => 4,
        };
        Ok(Some(Self { reader, width, height, channels }))
    }

    /// Width and height.
    pub fn size(&self) -> (u32, u32) {
        (self.width as u32, self.height as u32)
    }

    /// What it unpacks to, bytes.
    pub fn unpacked(&self) -> u64 {
        self.width as u64 * self.height as u64 * self.channels as u64
    }

    /// How it is to be turned.
    pub fn orientation(&self) -> Orientation {
        let exif = self.reader.info().exif_metadata.as_deref();
        exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
    }

    /// Makes it small, each of its places the mean of those it stands for. `None` where it ends early or
    /// is broken.
    pub fn shrink(mut self, width: u32, height: u32) -> Option<DynamicImage> {
        let (to_width, to_height, channels) = (width as usize, height as usize, self.channels);
        let spans: Vec<_> = (0..to_width).map(|at| span(at, to_width, self.width)).collect();
        let mut out = Vec::with_capacity(to_width * to_height * channels);
        let mut sums = vec![0_u32; to_width * channels];
        let mut counts = vec![0_u32; to_width];
        for at in 0..to_height {
            let (first, last) = span(at, to_height, self.height);
            for _ in first..last {
                let row = self.reader.next_row().ok()??;
                add(row.data(), channels, &spans, &mut sums, &mut counts);
            }
            for (sum, count) in sums.chunks_exact_mut(channels).zip(&mut counts) {
                out.extend(sum.iter().map(|sum| (sum / *count) as u8));
                sum.fill(0);
                *count = 0;
            }
        }
        match channels {
            1 => GrayImage::from_raw(width, height, out).map(DynamicImage::from),
            2 => GrayAlphaImage::from_raw(width, height, out).map(DynamicImage::from),
            3 => RgbImage::from_raw(width, height, out).map(DynamicImage::from),
            _ => RgbaImage::from_raw(width, height, out).map(DynamicImage::from),
        }
    }
}

/// Which of `from` places the place `at` of `to` stands for; they lie one behind the other, and there are
/// no fewer of them.
fn span(at: usize, to: usize, from: usize) -> (usize, usize) {
    (at * from / to, (at + 1) * from / to)
}

fn add(
    row: &[u8],
    channels: usize,
    spans: &[(usize, usize)],
    sums: &mut [u32],
    counts: &mut [u32],
) {
    for ((first, last), (sum, count)) in
        spans.iter().zip(sums.chunks_exact_mut(channels).zip(counts))
    {
        let step = ((last - first) / SAMPLES).max(1);
        for place in (*first..*last).step_by(step) {
            let dot = &row[place * channels..(place + 1) * channels];
            for (sum, part) in sum.iter_mut().zip(dot) {
                *sum += u32::from(*part);
            }
            *count += 1;
        }
    }
}
