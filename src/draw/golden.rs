//! Pictures of all that can be drawn, held against those that a person has looked at: `tests/data/golden`.
//!
//! `EMOCAM_UPDATE_GOLDEN=1 cargo test --lib golden` writes them anew. Look at them then.

use std::path::PathBuf;
use std::time::Duration;

use image::RgbImage;

use super::tests::{KEYS, frame, prediction};
use super::*;
use crate::flow::emotion::Emotion;

/// Letters come out of floating-point arithmetic, which may differ from machine to machine by this much in a value.
const MOST: u8 = 24;

/// A background on which light and dark, plain and busy places alternate.
fn background(width: u32, height: u32) -> Frame {
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let check = if (x / 40 + y / 40) % 2 == 0 { 30 } else { 0 };
        image::Rgb([(x * 200 / width) as u8 + check, (y * 200 / height) as u8 + check, 90 + check])
    });
    Frame { rgb: picture.into_raw().into(), ..frame(width, height, [0; 3]) }
}

/// So many faces in rows, each of another emotion.
fn faces(count: usize, side: f32, (width, height): (f32, f32)) -> Vec<Prediction> {
    let columns = (count as f32).sqrt().ceil();
    let rows = (count as f32 / columns).ceil();
    (0..count)
        .map(|i| {
            let (column, row) = ((i as f32) % columns, (i as f32 / columns).floor());
            let (x, y) = ((column + 0.4) * width / columns - side / 2.0, (row + 0.5) * height / rows - side / 2.0);
            Prediction { id: i as u64, unsure: i == 5, ..prediction(Emotion::ALL[i % 7], x, y, side, side) }
        })
        .collect()
}

fn trails(faces: &[Prediction]) -> Trails {
    let mut trails = Trails::default();
    for step in 0..100usize {
        let shown: Vec<Prediction> = faces
            .iter()
            .map(|face| Prediction { id: face.id, ..prediction(Emotion::ALL[step / 15 % 7], 0.0, 0.0, 1.0, 1.0) })
            .collect();
        trails.push(Duration::from_millis(100 * step as u64), &shown);
    }
    trails
}

fn scenes() -> Vec<(&'static str, RgbImage)> {
    let drawn = |(width, height): (u32, u32), faces: &[Prediction], look: Look| {
        let mut picture = RgbImage::new(width, height);
        annotate(&background(width, height), faces, look, Some(&trails(faces)), &mut picture);
        picture
    };
    let (bars, all) = (Look::default(), Look { trail: true, ..Look::default() });
    let one = faces(1, 200.0, (640.0, 480.0));
    let mut window = drawn((640, 480), &one, all);
    hud(&mut window, "29.9 fps  34 ms");
    recording(&mut window, Duration::from_secs(754));
    paused(&mut window);
    toast(&mut window, "saved emocam-2026-11-24-13.05.00.png");
    let mut keys = drawn((640, 480), &one, bars);
    help(&mut keys, &KEYS);
    let mut small_keys = drawn((320, 240), &faces(1, 90.0, (320.0, 240.0)), bars);
    help(&mut small_keys, &KEYS);
    let mut away = drawn((640, 480), &one, bars);
    notice(&mut away, "camera 1 (/dev/video1): unplugged; waiting for it to come back", "last picture 7 s ago");
    let hidden = [Privacy::Blur, Privacy::Pixelate, Privacy::Box].map(|how| {
        let picture =
            image::load_from_memory(include_bytes!("../../tests/data/webcam.jpg")).expect("a picture").to_rgb8();
        let mut picture = image::imageops::resize(&picture, 320, 240, image::imageops::FilterType::Triangle);
        let face = FaceBox { x: 120.0, y: 70.0, width: 90.0, height: 90.0, score: 9.0 };
        hide(&mut picture, 320, 240, &[face], how);
        picture
    });
    let [blur, pixelate, plain] = hidden;
    vec![
        ("one", drawn((640, 480), &one, bars)),
        ("four", drawn((640, 480), &faces(4, 110.0, (640.0, 480.0)), all)),
        ("crowd", drawn((640, 480), &faces(12, 56.0, (640.0, 480.0)), bars)),
        ("close", drawn((640, 480), &faces(1, 470.0, (640.0, 480.0)), bars)),
        ("labels", drawn((480, 640), &faces(3, 120.0, (480.0, 640.0)), Look { bars: false, ..Look::default() })),
        ("small", drawn((320, 240), &faces(1, 90.0, (320.0, 240.0)), all)),
        ("window", window),
        ("keys", keys),
        ("small_keys", small_keys),
        ("away", away),
        ("blur", blur),
        ("pixelate", pixelate),
        ("box", plain),
    ]
}

#[test]
fn what_is_drawn_is_what_a_person_has_looked_at() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden");
    let update = std::env::var_os("EMOCAM_UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for (name, picture) in scenes() {
        let path = folder.join(format!("{name}.png"));
        if update {
            std::fs::create_dir_all(&folder).expect("a folder");
            picture.save(&path).expect("a picture can be saved");
            continue;
        }
        let golden = image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgb8();
        let is_same = golden.dimensions() == picture.dimensions() && {
            let differences = golden.iter().zip(picture.iter()).map(|(a, b)| a.abs_diff(*b));
            let (sum, most) = differences.fold((0u64, 0), |(sum, most), d| (sum + u64::from(d), most.max(d)));
            most <= MOST && sum * 2 <= golden.len() as u64
        };
        if !is_same {
            let other = std::env::temp_dir().join(format!("emocam-golden-{name}.png"));
            picture.save(&other).expect("a picture can be saved");
            wrong.push(format!("{} differs from {}", other.display(), path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
