use std::sync::Arc;
use std::time::Duration;

use super::color::{DARK_TEXT, LIGHT_TEXT, color_of, contrast, text_color_on};
use super::paint::Color;
use super::panel::TRACK;
use super::style::{DIM_TEXT, PLATE, PLATE_OPACITY};
use super::*;
use crate::flow::emotion::{Emotion, Label, Probabilities};

pub(super) fn frame(width: u32, height: u32, color: Color) -> Frame {
    let rgb: Arc<[u8]> = color.repeat((width * height) as usize).into();
    Frame::new(0, Duration::ZERO, (width, height), rgb)
}

/// As many keys as the window has, with meanings as long.
pub(super) const KEYS: [(&str, &str); 12] = [
    ("q", "quit"),
    ("space", "pause"),
    ("s", "save the picture"),
    ("r", "record"),
    ("b", "bars"),
    ("t", "the last 10 s"),
    ("m", "mirror"),
    ("p", "hide faces"),
    ("f", "fill the window"),
    ("+", "larger"),
    ("-", "smaller"),
    ("h", "this help"),
];

/// A face whose likeliest emotion has a probability of about 0.9.
pub(super) fn prediction(emotion: Emotion, x: f32, y: f32, width: f32, height: f32) -> Prediction {
    let mut logits = [0.0; Emotion::COUNT];
    logits[emotion.index()] = 4.0;
    let face = FaceBox { x, y, width, height, score: 10.0 };
    Prediction::new(0, face, Probabilities::from_logits(&logits))
}

/// The smallest rectangle around every pixel that differs between two pictures.
pub(super) fn changed(before: &[u8], after: &RgbImage) -> Option<Rect> {
    let pixels = after.enumerate_pixels().zip(before.as_chunks::<3>().0);
    let differing = pixels.filter(|((.., pixel), old)| pixel.0 != **old);
    let rects = differing.map(|((x, y, _), _)| Rect { x: x as i32, y: y as i32, width: 1, height: 1 });
    rects.reduce(Rect::united)
}

#[test]
fn without_faces_the_picture_is_the_frame() {
    let frame = frame(64, 48, [10, 200, 30]);
    assert_eq!(annotated_picture(&frame, &[]).as_raw()[..], frame.rgb[..]);
}

#[test]
fn a_box_over_an_edge_keeps_its_label_and_panel_in_the_frame() {
    let frame = frame(640, 480, [128, 128, 128]);
    let alone = annotated_picture(&frame, &[prediction(Emotion::Happy, 300.0, 200.0, 120.0, 120.0)]);
    let ink = |picture: &RgbImage| picture.pixels().filter(|pixel| pixel.0 == DARK_TEXT).count();
    let expected = ink(&alone);
    assert!(expected > 100);
    for (x, y) in [(-60.0, -60.0), (300.0, -60.0), (580.0, -60.0), (580.0, 200.0), (580.0, 420.0), (-60.0, 420.0)] {
        let picture = annotated_picture(&frame, &[prediction(Emotion::Happy, x, y, 120.0, 120.0)]);
        // The whole label: as many pixels of pure text as where there is room.
        assert_eq!(ink(&picture), expected, "at {x}, {y}");
        let bar = picture.pixels().filter(|pixel| pixel.0 == TRACK).count();
        assert!(bar > 500, "no panel at {x}, {y}");
    }
}

#[test]
fn boxes_that_are_none_draw_nothing() {
    let frame = frame(64, 48, [1, 2, 3]);
    let nothing = [
        [f32::NAN, 0.0, 10.0, 10.0],
        [0.0, 0.0, f32::NAN, 10.0],
        [10.0, 10.0, 0.0, 10.0],
        [10.0, 10.0, -5.0, -5.0],
        [100.0, 10.0, 10.0, 10.0],
        [-100.0, -100.0, 10.0, 10.0],
        [f32::INFINITY, 0.0, 10.0, 10.0],
        [f32::NEG_INFINITY, 0.0, f32::INFINITY, 10.0],
    ];
    for [x, y, width, height] in nothing {
        let picture = annotated_picture(&frame, &[prediction(Emotion::Fear, x, y, width, height)]);
        assert_eq!(changed(&frame.rgb, &picture), None, "[{x}, {y}, {width}, {height}]");
    }
}

#[test]
fn huge_boxes_and_tiny_frames_are_drawn_without_harm() {
    for (width, height) in [(1, 1), (1, 500), (500, 1), (8, 8), (40, 30), (3000, 16)] {
        let frame = frame(width, height, [90, 90, 90]);
        for side in [0.4, 1.0, 7.0, 1e9, f32::MAX] {
            for corner in [-1e9, -3.0, 0.0, 0.6] {
                let mut picture = annotated_picture(&frame, &[prediction(Emotion::Anger, corner, corner, side, side)]);
                hud(&mut picture, "29.9 fps · 34 ms");
                assert_eq!(picture.dimensions(), (width, height));
            }
        }
    }
}

#[test]
fn a_network_without_numbers_still_gives_a_label() {
    let frame = frame(640, 480, [128, 128, 128]);
    let mut broken = prediction(Emotion::Happy, 200.0, 150.0, 160.0, 160.0);
    broken.probabilities = Probabilities::from_logits(&[f32::NAN; Emotion::COUNT]);
    let picture = annotated_picture(&frame, &[broken]);
    assert_eq!(picture.get_pixel(200, 150).0, color_of(Emotion::Anger));
}

#[test]
fn of_an_unsure_face_no_name_stands_out() {
    let sure = prediction(Emotion::Happy, 200.0, 150.0, 160.0, 160.0);
    let unsure = Prediction { unsure: true, ..sure.clone() };
    let bright = [sure, unsure].map(|prediction| {
        let picture = annotated_picture(&frame(640, 480, [128, 128, 128]), &[prediction]);
        let panel = image::imageops::crop_imm(&picture, 366, 0, 274, 480).to_image();
        panel.pixels().filter(|pixel| pixel.0 == LIGHT_TEXT).count()
    });
    assert!(bright[0] > 0 && bright[1] == 0, "{bright:?}");
}

#[test]
fn text_can_be_read_on_every_plate() {
    // The worst background of the translucent plate is white. 4.5 and 7 are WCAG's levels AA and AAA.
    let mut worst = [255; 3];
    paint::blend(&mut worst, PLATE, PLATE_OPACITY);
    assert!(contrast(worst, LIGHT_TEXT) > 7.0);
    assert!(contrast(worst, DIM_TEXT) > 4.5);
    for label in Emotion::ALL.map(Label::Emotion).into_iter().chain([Label::Unsure]) {
        let color = color_of_label(label);
        assert!(contrast(color, text_color_on(color)) > 4.5, "{label}");
    }
}
