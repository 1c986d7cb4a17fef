//! Conversions against the standards' definitions in `f64`, on all values and on a photo.

use std::path::Path;

use image::RgbImage;

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

/// What red and blue weigh in luma: BT.601-7 section 2.5.1, BT.709-6 item 3.2, BT.2020-2 table 4.
fn weights(matrix: Matrix) -> (f64, f64) {
    match matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    }
}

/// Offset and scale of luma, scale of chroma.
fn quantization(range: Range) -> (f64, f64, f64) {
    match range {
        Range::Limited => (16.0, 219.0, 224.0),
        Range::Full => (0.0, 255.0, 255.0),
    }
}

fn yuv_from_rgb(rgb: [u8; 3], Encoding { matrix, range }: Encoding) -> [f64; 3] {
    let [r, g, b] = rgb.map(|value| f64::from(value) / 255.0);
    let ((kr, kb), (black, luma, chroma)) = (weights(matrix), quantization(range));
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (pb, pr) = ((b - y) / (2.0 - 2.0 * kb), (r - y) / (2.0 - 2.0 * kr));
    [black + luma * y, 128.0 + chroma * pb, 128.0 + chroma * pr]
}

fn rgb_from_yuv([y, u, v]: [u8; 3], Encoding { matrix, range }: Encoding) -> [u8; 3] {
    let ((kr, kb), (black, luma, chroma)) = (weights(matrix), quantization(range));
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

fn photo() -> RgbImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/astronaut.jpg");
    let photo = image::open(path).unwrap().into_rgb8();
    // The face; a width that is no multiple of what is converted at a time, and a stride that is longer.
    image::imageops::crop_imm(&photo, 100, 20, 250, 200).to_image()
}

/// Chroma is the mean of the `rows` by 2 pixels that share it; even sizes.
fn subsampled(photo: &RgbImage, rows: u32, encoding: Encoding) -> [Vec<u8>; 3] {
    let yuv = |x, y| yuv_from_rgb(photo.get_pixel(x, y).0, encoding);
    let luma = photo.pixels().map(|pixel| yuv_from_rgb(pixel.0, encoding)[0].round() as u8).collect();
    let chroma = |channel: usize| {
        let mut plane = Vec::new();
        for y in (0..photo.height()).step_by(rows as usize) {
            for x in (0..photo.width()).step_by(2) {
                let shared = (y..y + rows).flat_map(|y| [yuv(x, y), yuv(x + 1, y)]);
                plane.push((shared.map(|yuv| yuv[channel]).sum::<f64>() / f64::from(2 * rows)).round() as u8);
            }
        }
        plane
    };
    [luma, chroma(1), chroma(2)]
}

/// What a decoder without rounding makes of the planes.
fn expected(planes: &[Vec<u8>; 3], rows: u32, (width, height): (u32, u32), encoding: Encoding) -> Vec<u8> {
    let (columns, [luma, u, v]) = (width as usize, planes);
    let pixel = |i: usize| {
        let chroma = i / columns / rows as usize * (columns / 2) + i % columns / 2;
        rgb_from_yuv([luma[i], u[chroma], v[chroma]], encoding)
    };
    (0..columns * height as usize).flat_map(pixel).collect()
}

#[test]
fn a_photo_comes_back_from_yuyv_and_nv12_in_every_encoding() {
    const PADDING: usize = 6;

    let photo = photo();
    let ((width, height), columns) = (photo.dimensions(), photo.width() as usize);
    for encoding in ENCODINGS {
        let planes = subsampled(&photo, 1, encoding);
        let mut yuyv = Vec::new();
        for ((luma, u), v) in
            planes[0].chunks(columns).zip(planes[1].chunks(columns / 2)).zip(planes[2].chunks(columns / 2))
        {
            yuyv.extend(luma.chunks(2).zip(u.iter().zip(v)).flat_map(|(luma, (u, v))| [luma[0], *u, luma[1], *v]));
            yuyv.extend([0xAB; PADDING]);
        }
        let stride = 2 * columns + PADDING;
        let found = rgb_from_yuyv(&yuyv, width, height, stride, encoding, &mut Buffers::default()).unwrap();
        check("YUYV", encoding, &found.pixels, &expected(&planes, 1, (width, height), encoding), &photo);

        let planes = subsampled(&photo, 2, encoding);
        let mut nv12 = Vec::new();
        for luma in planes[0].chunks(columns) {
            nv12.extend_from_slice(luma);
            nv12.extend([0xAB; PADDING]);
        }
        for (u, v) in planes[1].chunks(columns / 2).zip(planes[2].chunks(columns / 2)) {
            nv12.extend(u.iter().zip(v).flat_map(|(u, v)| [*u, *v]));
            nv12.extend([0xAB; PADDING]);
        }
        let stride = columns + PADDING;
        let found = rgb_from_nv12(&nv12, width, height, stride, encoding, &mut Buffers::default()).unwrap();
        check("NV12", encoding, &found.pixels, &expected(&planes, 2, (width, height), encoding), &photo);
    }
}

/// Against an exact decoder of the same bytes, which is the converter's own error; and against the photo, to which
/// shared chroma and 8 bits add theirs.
fn check(format: &str, encoding: Encoding, found: &[u8], exact: &[u8], photo: &RgbImage) {
    let (own, own_most) = difference(found, exact);
    let (all, all_most) = difference(found, photo.as_raw());
    println!(
        "{format} {encoding:?}: off by {own:.3?}, at most {own_most}; from the photo {all:.2?}, at most {all_most}"
    );
    assert!(
        own.iter().all(|&mean| mean <= 0.05) && own_most <= 1,
        "{format} {encoding:?}: {own:?}, at most {own_most}"
    );
    assert!(all.iter().all(|&mean| mean <= 2.0), "{format} {encoding:?}: {all:?} from the photo");
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

#[test]
fn yuyv_keeps_the_order_of_two_pixels() {
    let bytes = [16, 128, 235, 128];
    let rgb = rgb_from_yuyv(&bytes, 2, 1, 4, Encoding::default(), &mut Buffers::default()).unwrap();
    assert_eq!(rgb.pixels[..], [0, 0, 0, 255, 255, 255]);
}

/// The last columns and rows of every size around that of a block, in all layouts that hold the same picture.
#[test]
fn every_size_is_filled_to_the_last_pixel_in_all_layouts() {
    let encoding = Encoding::default();
    let mut buffers = Buffers::default();
    for (width, height) in (1_u32..=9).chain(62..=67).chain([127, 128, 129]).map(|width| (width, width % 4 + 1)) {
        let (columns, rows, pairs) = (width as usize, height as usize, width.div_ceil(2) as usize);
        // Differs from column to column, chroma from pair to pair; all rows have the same chroma.
        let luma = |x: usize, y: usize| (40 + 7 * x + 3 * y) as u8;
        let (u, v) = (|pair: usize| (100 + 5 * pair) as u8, |pair: usize| (170 - 3 * pair as i32) as u8);
        let at = |x: usize, y: usize| rgb_from_yuv([luma(x, y), u(x / 2), v(x / 2)], encoding);
        let expected: Vec<u8> =
            (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y))).flat_map(|(x, y)| at(x, y)).collect();

        let yuyv: Vec<u8> = (0..rows)
            .flat_map(|y| (0..pairs).map(move |pair| (pair, y)))
            .flat_map(|(pair, y)| [luma(2 * pair, y), u(pair), luma(2 * pair + 1, y), v(pair)])
            .collect();
        let found = rgb_from_yuyv(&yuyv, width, height, 4 * pairs, encoding, &mut buffers).unwrap();
        assert!(difference(&found.pixels, &expected).1 <= 1, "YUYV {width}x{height}");

        // Rows of luma of an odd width have one byte more.
        let lumas = (0..rows).flat_map(|y| (0..2 * pairs).map(move |x| luma(x, y)));
        let chroma_rows = rows.div_ceil(2);
        let row: Vec<u8> = (0..pairs).flat_map(|pair| [u(pair), v(pair)]).collect();
        let nv12: Vec<u8> = lumas.chain(row.repeat(chroma_rows)).collect();
        let found = rgb_from_nv12(&nv12, width, height, 2 * pairs, encoding, &mut buffers).unwrap();
        assert!(difference(&found.pixels, &expected).1 <= 1, "NV12 {width}x{height}");
        assert!(rgb_from_nv12(&nv12[..nv12.len() - 1], width, height, 2 * pairs, encoding, &mut buffers).is_err());

        // As a decoder hands it out: no more bytes than are needed, and half a row of chroma less.
        let lumas: Vec<u8> = (0..rows).flat_map(|y| (0..columns).map(move |x| luma(x, y))).collect();
        let chroma = |plane: &dyn Fn(usize) -> u8| (0..pairs).map(plane).collect::<Vec<_>>().repeat((rows / 2).max(1));
        let (us, vs) = (chroma(&u), chroma(&v));
        let planes = [(&lumas[..], columns), (&us[..], pairs), (&vs[..], pairs)];
        let found = rgb_from_i420(&I420 { width, height, planes }, &mut buffers).unwrap();
        assert!(difference(&found.pixels, &expected).1 <= 1, "I420 {width}x{height}");
    }
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

#[test]
fn the_steady_state_takes_no_memory() {
    let mut buffers = Buffers::default();
    let mut convert = || rgb_from_yuyv(&[0; 8], 2, 2, 4, Encoding::default(), &mut buffers).unwrap().pixels.as_ptr();
    assert_eq!(convert(), convert());
}
