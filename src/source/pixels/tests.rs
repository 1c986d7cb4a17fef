//! Conversions against the standards' definitions in `f64`, on all values and in all layouts.

use super::*;

const ENCODINGS: [Encoding; 6] = {
    use Matrix::{Bt601, Bt709, Bt2020};
    use Range::{Full, Limited};
    [
        Encoding { matrix: Bt601, range: Limited },
        Encoding { matrix: Bt709, range: Limited },
        Encoding { matrix: Bt2020, range: Limited },
        Encoding { matrix: Bt601, range: Full },
        Encoding { matrix: Bt709, range: Full },
        Encoding { matrix: Bt2020, range: Full },
    ]
};

fn rgb_from_yuv([y, u, v]: [u8; 3], Encoding { matrix, range }: Encoding) -> [u8; 3] {
    // What red and blue weigh in luma: BT.601-7 section 2.5.1, BT.709-6 item 3.2, BT.2020-2 table 4.
    let (kr, kb) = match matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    };
    // Offset and scale of luma, scale of chroma.
    let (black, luma, chroma) = match range {
        Range::Limited => (16.0, 219.0, 224.0),
        Range::Full => (0.0, 255.0, 255.0),
    };
    let (y, pb, pr) = ((f64::from(y) - black) / luma, (f64::from(u) - 128.0) / chroma, (f64::from(v) - 128.0) / chroma);
    let (r, b) = (y + (2.0 - 2.0 * kr) * pr, y + (2.0 - 2.0 * kb) * pb);
    [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b].map(level)
}

/// As bytes, which a cast clamps to 0 and 255.
fn level(value: f64) -> u8 {
    (255.0 * value).round() as u8
}

/// The mean of the channels' differences, for each channel, and the largest of all.
fn difference(found: &[u8], expected: &[u8]) -> ([f64; 3], u8) {
    assert_eq!(found.len(), expected.len());
    let (mut sums, mut most) = ([0.0; 3], 0);
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        sums[i % 3] += f64::from(a.abs_diff(*b));
        most = most.max(a.abs_diff(*b));
    }
    (sums.map(|sum| sum / (found.len() / 3) as f64), most)
}

#[test]
fn every_value_is_converted_as_the_standards_say() {
    // Chroma that wide ranges turn into colors outside of RGB is among them.
    let chromas: Vec<u8> = (0..=255).step_by(17).chain([1, 16, 127, 128, 129, 240, 254]).collect();
    for encoding in ENCODINGS {
        let mut yuyv = Vec::new();
        for luma in (0..=255).step_by(2) {
            for &u in &chromas {
                yuyv.extend(chromas.iter().flat_map(|&v| [luma, u, luma + 1, v]));
            }
        }
        let exact: Vec<u8> = yuyv
            .chunks(4)
            .flat_map(|pair| [[pair[0], pair[1], pair[3]], [pair[2], pair[1], pair[3]]])
            .flat_map(|yuv| rgb_from_yuv(yuv, encoding))
            .collect();
        let (columns, rows) = (2 * chromas.len() * chromas.len(), 128);
        let found = rgb_from_yuyv(&yuyv, columns as u32, rows, 2 * columns, encoding, &mut Buffers::default()).unwrap();
        let (mean, most) = difference(&found.pixels, &exact);
        assert!(mean.iter().all(|&mean| mean < 0.01) && most <= 1, "{encoding:?}: {mean:?}, at most {most}");
    }
}

#[test]
fn known_colors_are_themselves() {
    // ITU-R BT.601-7, table 2; SMPTE bars of BT.709 as ITU-R BT.1729 lists them; full range as T.871 has it.
    let (sd, hd) = (ENCODINGS[0], ENCODINGS[1]);
    for (encoding, yuv, rgb) in [
        (sd, [16, 128, 128], [0, 0, 0]),
        (sd, [235, 128, 128], [255, 255, 255]),
        (sd, [81, 90, 240], [255, 0, 0]),
        (sd, [145, 54, 34], [0, 255, 0]),
        (sd, [41, 240, 110], [0, 0, 255]),
        (hd, [63, 102, 240], [255, 0, 0]),
        (hd, [173, 42, 26], [0, 255, 0]),
        (hd, [32, 240, 118], [0, 0, 255]),
        (ENCODINGS[3], [76, 85, 255], [254, 0, 0]),
        (ENCODINGS[3], [200, 128, 128], [200, 200, 200]),
    ] {
        let [y, u, v] = yuv;
        let found = rgb_from_yuyv(&[y, u, y, v], 2, 1, 4, encoding, &mut Buffers::default()).unwrap();
        // 8 bits of YCbCr in limited range are coarser than those of RGB.
        assert!(difference(&found.pixels[..3], &rgb).1 <= 2, "{encoding:?} {yuv:?}: {:?}", found.pixels);
        assert_eq!(found.pixels[..3], found.pixels[3..]);
    }
}

#[test]
fn grey_keeps_its_levels() {
    let bytes: Vec<u8> = (0..=255).collect();
    let convert = |range| rgb_from_grey(&bytes, 85, 3, 85, range, &mut Buffers::default()).unwrap().pixels;
    let full: Vec<u8> = bytes[..255].iter().flat_map(|&level| [level; 3]).collect();
    assert_eq!(convert(Range::Full)[..], full);
    let limited = convert(Range::Limited);
    let at = |level: usize| limited[3 * level];
    assert_eq!([at(0), at(16), at(17), at(126), at(235), at(254)], [0, 0, 1, 128, 255, 255]);
}

/// The last columns and rows of every size around that of a block, in all layouts that hold the same picture.
#[test]
fn every_size_is_filled_to_the_last_pixel_in_all_layouts() {
    const PADDING: [u8; 6] = [0xAB; 6];

    let mut buffers = Buffers::default();
    let sizes = (1_u32..=9).chain(62..=67).chain([127, 128, 129]).map(|width| (width, width % 4 + 1));
    for ((width, height), encoding) in sizes.zip(ENCODINGS.into_iter().cycle()) {
        let (columns, rows, pairs) = (width as usize, height as usize, width.div_ceil(2) as usize);
        // Differs from column to column and from row to row, chroma from pair to pair.
        let luma = |x: usize, y: usize| (40 + 7 * x + 3 * y) as u8;
        let u = |pair: usize, row: usize| (100 + 5 * pair + 20 * row) as u8;
        let v = |pair: usize, row: usize| (170 - 3 * pair as i32 + 30 * row as i32) as u8;
        let expected = |chroma_rows: usize, encoding: Encoding| -> Vec<u8> {
            let row = |y: usize| (y / 2).min(chroma_rows - 1);
            let at = |x: usize, y: usize| rgb_from_yuv([luma(x, y), u(x / 2, row(y)), v(x / 2, row(y))], encoding);
            (0..rows * columns).flat_map(|i| at(i % columns, i / columns)).collect()
        };
        let chroma_rows = rows.div_ceil(2);
        let whole = expected(chroma_rows, encoding);

        let yuyv_pair = |pair, y| [luma(2 * pair, y), u(pair, y / 2), luma(2 * pair + 1, y), v(pair, y / 2)];
        let yuyv_row = |y| (0..pairs).flat_map(move |pair| yuyv_pair(pair, y)).chain(PADDING);
        let yuyv: Vec<u8> = (0..rows).flat_map(yuyv_row).collect();
        let stride = 4 * pairs + PADDING.len();
        let found = rgb_from_yuyv(&yuyv, width, height, stride, encoding, &mut buffers).unwrap();
        assert!(difference(&found.pixels, &whole).1 <= 1, "YUYV {width}x{height} {encoding:?}");

        let uyvy: Vec<u8> =
            yuyv.chunks(stride).flat_map(|row| row.as_chunks().0.iter().flat_map(|&[a, b]| [b, a])).collect();
        let found = rgb_from_uyvy(&uyvy, width, height, stride, encoding, &mut buffers).unwrap();
        assert!(difference(&found.pixels, &whole).1 <= 1, "UYVY {width}x{height} {encoding:?}");

        // Rows of luma of an odd width have one byte more.
        let lumas = (0..rows).flat_map(|y| (0..2 * pairs).map(move |x| luma(x, y)).chain(PADDING));
        let chroma_row = |row| (0..pairs).flat_map(move |pair| [u(pair, row), v(pair, row)]).chain(PADDING);
        let nv12: Vec<u8> = lumas.chain((0..chroma_rows).flat_map(chroma_row)).collect();
        let stride = 2 * pairs + PADDING.len();
        let found = rgb_from_nv12(&nv12, width, height, stride, encoding, &mut buffers).unwrap();
        assert!(difference(&found.pixels, &whole).1 <= 1, "NV12 {width}x{height} {encoding:?}");
        let short = &nv12[..nv12.len() - PADDING.len() - 1];
        assert!(rgb_from_nv12(short, width, height, stride, encoding, &mut buffers).is_err());

        let lumas = (0..rows).flat_map(|y| (0..2 * pairs).map(move |x| luma(x, y)).chain(PADDING));
        let half = &PADDING[..PADDING.len() / 2];
        let us = (0..chroma_rows).flat_map(|row| (0..pairs).map(move |pair| u(pair, row)).chain(half.iter().copied()));
        let vs = (0..chroma_rows).flat_map(|row| (0..pairs).map(move |pair| v(pair, row)).chain(half.iter().copied()));
        for (order, planes) in [
            (Chroma::UThenV, lumas.clone().chain(us.clone()).chain(vs.clone()).collect::<Vec<u8>>()),
            (Chroma::VThenU, lumas.chain(vs).chain(us).collect()),
        ] {
            let mut convert = |bytes| rgb_from_yu12(bytes, (width, height), stride, order, encoding, &mut buffers);
            let found = convert(&planes).unwrap();
            assert!(difference(&found.pixels, &whole).1 <= 1, "{order:?} {width}x{height} {encoding:?}");
            assert!(convert(&planes[..planes.len() - half.len() - 1]).is_err());
        }

        // As a decoder hands it out: no more bytes than are needed, and half a row of chroma less.
        let chroma_rows = (rows / 2).max(1);
        let lumas: Vec<u8> = (0..rows * columns).map(|i| luma(i % columns, i / columns)).collect();
        let us: Vec<u8> = (0..chroma_rows * pairs).map(|i| u(i % pairs, i / pairs)).collect();
        let vs: Vec<u8> = (0..chroma_rows * pairs).map(|i| v(i % pairs, i / pairs)).collect();
        let planes = [(&lumas[..], columns), (&us[..], pairs), (&vs[..], pairs)];
        let found = rgb_from_i420(&I420 { width, height, planes }, &mut buffers).unwrap();
        let whole = expected(chroma_rows, Encoding::default());
        assert!(difference(&found.pixels, &whole).1 <= 1, "I420 {width}x{height}");
    }
}

#[test]
fn colors_that_are_bytes_already_stay_what_they_are() {
    let padded = [1, 2, 3, 4, 5, 6, 0xAB, 0xAB, 7, 8, 9, 10, 11, 12];
    let convert = |first, bytes: &[u8]| rgb_from_rgb3(bytes, (2, 2), 8, first, &mut Buffers::default());
    assert_eq!(convert(First::Red, &padded).unwrap().pixels[..], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(convert(First::Blue, &padded).unwrap().pixels[..], [3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10]);
    assert!(convert(First::Red, &padded[..13]).is_err());
}

#[test]
fn frames_whose_bytes_do_not_suffice_are_refused() {
    let (encoding, buffers) = (Encoding::default(), &mut Buffers::default());
    let message = |result: Result<Rgb>| format!("{:#}", result.err().unwrap());

    // The last row need not be padded; one byte less is one too few.
    assert!(rgb_from_yuyv(&[0; 10 + 4], 2, 2, 10, encoding, buffers).is_ok());
    let short = message(rgb_from_yuyv(&[0; 13], 2, 2, 10, encoding, buffers));
    assert!(short.contains("YUYV") && short.contains("13 bytes"), "{short}");
    assert!(message(rgb_from_yuyv(&[0; 99], 3, 2, 6, encoding, buffers)).contains("a row has 8"));
    assert!(rgb_from_nv12(&[0; 3 * 8 - 4], 4, 2, 8, encoding, buffers).is_ok());
    assert!(message(rgb_from_nv12(&[0; 3 * 8 - 5], 4, 2, 8, encoding, buffers)).contains("chroma"));
    assert!(message(rgb_from_nv12(&[0; 9], 4, 2, 8, encoding, buffers)).contains("luma"));
    assert!(rgb_from_grey(&[0; 5], 3, 2, 3, Range::Full, buffers).is_err());
    // Nor are there sums that overflow.
    assert!(rgb_from_yuyv(&[0; 99], 2, 8, usize::MAX, encoding, buffers).is_err());
    assert!(rgb_from_nv12(&[0; 99], 2, 8, usize::MAX / 2, encoding, buffers).is_err());
    assert!(rgb_from_uyvy(&[0; 99], 2, 8, usize::MAX, encoding, buffers).is_err());
    assert!(rgb_from_yu12(&[0; 99], (2, 8), usize::MAX, Chroma::UThenV, encoding, buffers).is_err());
    assert!(rgb_from_rgb3(&[0; 99], (2, 8), usize::MAX, First::Red, buffers).is_err());
    let short = message(rgb_from_yu12(&[0; 5], (2, 2), 2, Chroma::UThenV, encoding, buffers));
    assert!(short.contains("chroma of a YU12"), "{short}");

    let planes = [(&[0; 4][..], 2), (&[][..], 1), (&[0; 1][..], 1)];
    assert!(rgb_from_i420(&I420 { width: 2, height: 2, planes }, buffers).is_err());
}

#[test]
fn pictures_without_pixels_or_with_too_many_are_refused() {
    for (width, height) in [(0, 0), (0, 5), (5, 0), (10_000, 10_000), (u32::MAX, u32::MAX)] {
        assert!(rgb_len(width, height).is_err(), "{width}x{height}");
        assert!(rgb_from_yuyv(&[], width, height, 0, Encoding::default(), &mut Buffers::default()).is_err());
        assert!(rgb_from_nv12(&[], width, height, 0, Encoding::default(), &mut Buffers::default()).is_err());
        assert!(rgb_from_grey(&[], width, height, 0, Range::Full, &mut Buffers::default()).is_err());
    }
    assert_eq!(rgb_len(1, 1).unwrap(), 3);
}
