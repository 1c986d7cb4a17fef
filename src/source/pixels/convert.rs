//! From YCbCr to RGB, a row at a time.
//!
//! Owns the arithmetic and the order of bytes within a row. Chroma that two pixels share is used for both as it is, without
//! interpolation. Every layout is brought into the words of YUYV, one for each pair of pixels, and one loop converts those.
//! It is written so that the compiler can use the processor's vectors, and compiled once for each kind of them. The crate
//! `yuv` 0.8 takes two thirds of the time for YUYV and a quarter for NV12, which is 0.1 ms a frame, and a sixth of the time
//! of a clean build.

use pulp::{Arch, Simd, WithSimd};

/// How YCbCr values stand for colors. BT.601 in limited range is the default of V4L2 for YUYV and NV12, and of ffmpeg for
/// files that do not say. (JPEG is BT.601 in full range, always: ITU-T T.871.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::source) struct Encoding {
    pub(in crate::source) matrix: Matrix,
    pub(in crate::source) range: Range,
}

/// What luma and chroma are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(any(not(target_os = "linux"), feature = "nokhwa"), allow(dead_code, reason = "only V4L2 tells"))]
pub(in crate::source) enum Matrix {
    /// ITU-R BT.601: standard definition, and nearly all webcams.
    #[default]
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
    /// ITU-R BT.2020 with non-constant luminance.
    Bt2020,
}

/// Which values stand for black and white.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(any(not(target_os = "linux"), feature = "nokhwa"), allow(dead_code, reason = "only V4L2 tells"))]
pub(in crate::source) enum Range {
    /// Black at 16, white at 235, chroma 16 to 240 around 128.
    #[default]
    Limited,
    /// Black at 0, white at 255, chroma 0 to 255 around 128.
    Full,
}

/// Pairs of pixels that are converted together: 640 columns are ten times as many.
const PAIRS: usize = 32;

/// Bits after the binary point of coefficients. With 13 of them the largest, 2.14 for blue in BT.2020, fits into 16 bits,
/// so that a product of it takes one instruction. Results are off by one level at most, where the exact one is near a half.
const FRACTION_BITS: u32 = 13;

/// One row of a picture. All of its slices belong to the same columns; luma has one byte for each.
pub(super) enum Row<'a> {
    /// `Y U Y V`, whole pairs.
    Yuyv(&'a [u8]),
    /// `U Y V Y`, whole pairs.
    Uyvy(&'a [u8]),
    /// Chroma as `U V`, one for each pair.
    Nv12 { luma: &'a [u8], chroma: &'a [u8] },
    /// A byte of each chroma for each pair.
    Planar { luma: &'a [u8], u: &'a [u8], v: &'a [u8] },
    /// No chroma.
    Grey(&'a [u8]),
}

/// Fills `rgb`, rows of `columns` pixels, from the rows that `row_at` gives for 0, 1 and so on.
pub(super) fn write_rgb<'a>(rgb: &mut [u8], columns: usize, encoding: Encoding, row_at: impl Fn(usize) -> Row<'a>) {
    Arch::new().dispatch(Conversion { rgb, columns, coefficients: Coefficients::of(encoding), row_at });
}

struct Conversion<'r, F> {
    rgb: &'r mut [u8],
    columns: usize,
    coefficients: Coefficients,
    row_at: F,
}

impl<'a, F: Fn(usize) -> Row<'a>> WithSimd for Conversion<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (y, line) in self.rgb.chunks_exact_mut(3 * self.columns).enumerate() {
            let row = (self.row_at)(y);
            for (block, rgb) in line.chunks_mut(6 * PAIRS).enumerate() {
                self.coefficients.convert(&row.words(block * PAIRS), rgb);
            }
        }
    }
}

impl Row<'_> {
    /// The pairs from `first` on as YUYV has them, the first byte lowest. What is beyond the row's end is arbitrary.
    #[inline(always)]
    fn words(&self, first: usize) -> [u32; PAIRS] {
        let mut words = [0; PAIRS];
        match self {
            Self::Uyvy(row) => {
                for (word, &pair) in words.iter_mut().zip(from(row.as_chunks().0, first)) {
                    let pair = u32::from_le_bytes(pair);
                    *word = (pair & 0x00FF_00FF) << 8 | pair >> 8 & 0x00FF_00FF;
                }
            }
            Self::Yuyv(row) => {
                let pairs = from(row.as_chunks().0, first);
                // A copy of a length that the compiler knows is not a call.
                if let Some(pairs) = pairs.first_chunk() {
                    return pairs.map(u32::from_le_bytes);
                }
                for (word, &pair) in words.iter_mut().zip(pairs) {
                    *word = u32::from_le_bytes(pair);
                }
            }
            Self::Nv12 { luma, chroma } => {
                add_luma(&mut words, luma, first);
                for (word, &uv) in words.iter_mut().zip(from(chroma.as_chunks().0, first)) {
                    let uv = u32::from(u16::from_le_bytes(uv));
                    *word |= (uv & 0xFF) << 8 | (uv & 0xFF00) << 16;
                }
            }
            Self::Planar { luma, u, v } => {
                add_luma(&mut words, luma, first);
                for ((word, &u), &v) in words.iter_mut().zip(from(u, first)).zip(from(v, first)) {
                    *word |= u32::from(u) << 8 | u32::from(v) << 24;
                }
            }
            Self::Grey(luma) => {
                add_luma(&mut words, luma, first);
                for word in &mut words {
                    *word |= 128 << 8 | 128 << 24;
                }
            }
        }
        words
    }
}

#[inline(always)]
fn from<T>(values: &[T], first: usize) -> &[T] {
    values.get(first..).unwrap_or_default()
}

#[inline(always)]
fn add_luma(words: &mut [u32; PAIRS], luma: &[u8], first: usize) {
    let (pairs, last) = luma.as_chunks();
    let pairs = from(pairs, first);
    for (word, &pair) in words.iter_mut().zip(pairs) {
        let pair = u32::from(u16::from_le_bytes(pair));
        *word |= pair & 0xFF | (pair & 0xFF00) << 8;
    }
    // An odd width: the last pair is half a pair.
    if let (Some(word), &[luma]) = (words.get_mut(pairs.len()), last) {
        *word |= u32::from(luma);
    }
}

/// What the values of YCbCr are multiplied by, with [`FRACTION_BITS`].
#[derive(Clone, Copy)]
struct Coefficients {
    black: i32,
    luma: i16,
    v_to_red: i16,
    u_to_green: i16,
    v_to_green: i16,
    u_to_blue: i16,
}

impl Coefficients {
    /// The inverse of the standards' definitions, which ITU-T H.273 has together (8.3, equations 38 to 40 and its table
    /// of matrix coefficients): luma is `Kr R + (1 - Kr - Kb) G + Kb B`, chroma `(B - Y) / (2 - 2 Kb)` and
    /// `(R - Y) / (2 - 2 Kr)`.
    fn of(Encoding { matrix, range }: Encoding) -> Self {
        let (kr, kb) = match matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
        };
        let kg = 1.0 - kr - kb;
        let (black, luma, chroma) = match range {
            Range::Limited => (16, 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (0, 1.0, 1.0),
        };
        let (v_to_red, u_to_blue) = (chroma * 2.0 * (1.0 - kr), chroma * 2.0 * (1.0 - kb));
        let fixed = |value: f64| (value * f64::from(1 << FRACTION_BITS)).round() as i16;
        Self {
            black,
            luma: fixed(luma),
            v_to_red: fixed(v_to_red),
            u_to_green: fixed(-u_to_blue * kb / kg),
            v_to_green: fixed(-v_to_red * kr / kg),
            u_to_blue: fixed(u_to_blue),
        }
    }

    /// Converts as many pixels as `rgb` has, two for each word.
    #[inline(always)]
    fn convert(&self, words: &[u32; PAIRS], rgb: &mut [u8]) {
        let (mut firsts, mut seconds) = ([0; PAIRS], [0; PAIRS]);
        for ((&word, first), second) in words.iter().zip(&mut firsts).zip(&mut seconds) {
            (*first, *second) = self.pair(word);
        }
        let (pairs, last) = rgb.as_chunks_mut::<6>();
        for ((rgb, first), second) in pairs.iter_mut().zip(&firsts).zip(&seconds) {
            let [r, g, b, next_r] = u32::to_le_bytes(*first);
            let [next_g, next_b] = u16::to_le_bytes(*second as u16);
            *rgb = [r, g, b, next_r, next_g, next_b];
        }
        if let (&mut [ref mut r, ref mut g, ref mut b], Some(first)) = (last, firsts.get(pairs.len())) {
            [*r, *g, *b, _] = u32::to_le_bytes(*first);
        }
    }

    /// The six levels of a pair in the order of their bytes, the first one lowest: four and two.
    #[inline(always)]
    fn pair(&self, word: u32) -> (u32, u32) {
        let byte = |index: u32| (word >> (8 * index) & 0xFF) as i32;
        let (u, v) = (byte(1) - 128, byte(3) - 128);
        let red = i32::from(self.v_to_red) * v;
        let green = i32::from(self.u_to_green) * u + i32::from(self.v_to_green) * v;
        let blue = i32::from(self.u_to_blue) * u;
        let luma = |value| i32::from(self.luma) * (value - self.black) + (1 << (FRACTION_BITS - 1));
        let level = |value: i32| (value >> FRACTION_BITS).clamp(0, 255) as u32;
        let (first, second) = (luma(byte(0)), luma(byte(2)));
        (
            level(first + red) | level(first + green) << 8 | level(first + blue) << 16 | level(second + red) << 24,
            level(second + green) | level(second + blue) << 8,
        )
    }
}
