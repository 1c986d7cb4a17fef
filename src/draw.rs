//! Boxes, labels and bars, drawn on a copy of a frame.
//!
//! Owns how results look: colours, sizes, what is written. Pure functions on pixels; the same input gives the same
//! picture. All sizes follow the frame, so that a label has the same share of a small picture as of a large one.
//! Coordinates are frame pixels. Boxes that reach over the frame are clipped, and nothing else leaves the frame.
//! Where things go is for `layout`, how pixels are mixed for `paint`, letters for `text`.

mod layout;
mod notice;
pub(crate) mod paint;
pub(crate) mod text;

use image::RgbImage;

use crate::emotion::{Emotion, Label, Prediction};
use crate::frame::{FaceBox, Frame};
pub use notice::notice;
use paint::{Color, OPAQUE, Rect, fill, outline};

/// The plate under light text, and how much it hides of what is below it: white text keeps a contrast of 7 to 1 (WCAG's
/// AAA) even on a white background.
const PLATE: Color = [14, 16, 20];
const PLATE_OPACITY: u8 = 200;

const LIGHT_TEXT: Color = [255, 255, 255];
const DIM_TEXT: Color = [196, 200, 206];
const DARK_TEXT: Color = [0, 0, 0];

/// The line around a box that keeps it visible on a background of its own colour.
const HALO: Color = [0, 0, 0];
const HALO_OPACITY: u8 = 130;

/// The part of a bar that is not reached.
const TRACK: Color = [70, 74, 80];

/// Below this size, in pixels per em, letters can't be read and are left out.
const SMALLEST_TEXT: f32 = 6.0;

/// What a panel is reduced to where there is no room: smaller text, then bars without names, which their colours tell.
const PANEL_FORMS: [(f32, bool); 3] = [(1.0, true), (0.82, true), (0.82, false)];

/// The colour of an emotion: the palette of Okabe and Ito, "Color Universal Design" (2008), which people with any kind of
/// colour blindness can tell apart, with a grey for Neutral.
pub const fn color_of(emotion: Emotion) -> [u8; 3] {
    match emotion {
        Emotion::Anger => [213, 94, 0],
        Emotion::Disgust => [0, 158, 115],
        Emotion::Fear => [204, 121, 167],
        Emotion::Happy => [240, 228, 66],
        Emotion::Neutral => [190, 190, 190],
        Emotion::Sad => [0, 114, 178],
        Emotion::Surprise => [86, 180, 233],
    }
}

/// The color of an unsure face's box and label: a grey in the middle between the lightness of Sad and that of Anger, well
/// below Neutral's, which black text can still be read on.
const UNSURE: Color = [120, 120, 120];

/// The color of a face's box and label.
const fn color_of_label(label: Label) -> Color {
    match label {
        Label::Emotion(emotion) => color_of(emotion),
        Label::Unsure => UNSURE,
    }
}

/// A copy of the frame with each face's box, label and panel of bars.
pub fn annotated_picture(frame: &Frame, predictions: &[Prediction]) -> RgbImage {
    let mut picture = RgbImage::new(frame.width, frame.height);
    annotate(frame, predictions, &mut picture);
    picture
}

/// As [`annotated_picture`], into a picture of the frame's size that is there already.
pub fn annotate(frame: &Frame, predictions: &[Prediction], picture: &mut RgbImage) {
    // A frame holds as many bytes as its size says; one that doesn't shows as much as it has.
    let bytes: &mut [u8] = picture;
    let shared = bytes.len().min(frame.rgb.len());
    bytes[..shared].copy_from_slice(&frame.rgb[..shared]);
    let bounds = Rect::of_picture(picture);
    let style = Style::of(bounds);
    let faces: Vec<(&Prediction, Rect)> = predictions
        .iter()
        .filter_map(|prediction| Some((prediction, visible_rect(prediction.face, bounds)?)))
        .collect();
    for (prediction, face) in &faces {
        draw_box(picture, *face, color_of_label(prediction.label()), &style);
    }
    // Labels before panels: a face can do without its panel, not without its label.
    let mut taken: Vec<Rect> = faces.iter().map(|(_, face)| *face).collect();
    let mut labelled = Vec::with_capacity(faces.len());
    for (prediction, face) in faces {
        let label = draw_label(picture, prediction, face, &style, &taken);
        taken.extend(label);
        labelled.push((prediction, [face, label.map_or(face, |label| face.united(label))]));
    }
    for (prediction, anchors) in labelled {
        taken.extend(draw_panel(picture, prediction, anchors, &style, &taken));
    }
}

/// Writes a line of text, such as frames per second and latency, into the lower left corner.
pub fn hud(picture: &mut RgbImage, line: &str) {
    let bounds = Rect::of_picture(picture);
    let style = Style::of(bounds);
    let Some(plate) = Plate::of(line, style.panel_text, &style, bounds) else { return };
    let place = Rect {
        x: style.gap.min(bounds.width - plate.width),
        y: (bounds.height - plate.height - style.gap).max(0),
        width: plate.width,
        height: plate.height,
    };
    // Opaque, so that a label below it does not show through.
    fill(picture, place, PLATE, OPAQUE);
    plate.write(picture, line, place, LIGHT_TEXT);
}

/// Sizes in pixels; text in pixels per em.
struct Style {
    label_text: f32,
    panel_text: f32,
    /// How thick a box's line is.
    line: i32,
    /// The room around text in a plate.
    padding: i32,
    /// The distance between a box and its panel, and of a panel from the frame's edge.
    gap: i32,
}

impl Style {
    /// Sizes were chosen on 640x480; 1.0 there. Small frames keep letters that can be read.
    fn of(frame: Rect) -> Self {
        let unit = (frame.width.min(frame.height) as f32 / 480.0).max(0.6);
        Self {
            label_text: 16.0 * unit,
            panel_text: (12.0 * unit).max(9.0),
            line: (2.0 * unit).round().max(1.0) as i32,
            padding: (5.0 * unit).round() as i32,
            gap: (6.0 * unit).round() as i32,
        }
    }
}

/// The part of a face that the frame shows; `None` if it shows nothing or the box is no box.
fn visible_rect(face: FaceBox, frame: Rect) -> Option<Rect> {
    let FaceBox { x, y, width, height, .. } = face;
    if [x, y, width, height].iter().any(|value| value.is_nan()) {
        return None;
    }
    // Bounded first: a huge box must not overflow whole numbers.
    let edge = |value: f32, end: i32| value.round().clamp(0.0, end as f32) as i32;
    let (left, top) = (edge(x, frame.width), edge(y, frame.height));
    let (right, bottom) = (edge(x + width, frame.width), edge(y + height, frame.height));
    Rect { x: left, y: top, width: right - left, height: bottom - top }.intersection(frame)
}

/// A thin line all around; on boxes that are not small, with heavier corners.
fn draw_box(picture: &mut RgbImage, face: Rect, color: Color, style: &Style) {
    outline(picture, face.grown(1), style.line + 2, HALO, HALO_OPACITY);
    outline(picture, face, style.line, color, OPAQUE);
    let thick = 2 * style.line;
    let arm = face.width.min(face.height) / 6;
    if arm < 4 * thick {
        return;
    }
    let (right, bottom) = (face.right(), face.bottom());
    for x in [face.x, right - arm] {
        for y in [face.y, bottom - thick] {
            fill(picture, Rect { x, y, width: arm, height: thick }, color, OPAQUE);
        }
    }
    for x in [face.x, right - thick] {
        for y in [face.y, bottom - arm] {
            fill(picture, Rect { x, y, width: thick, height: arm }, color, OPAQUE);
        }
    }
}

/// Draws "Happy 97%", or "Unsure 38%", and returns the place that it took.
fn draw_label(
    picture: &mut RgbImage,
    prediction: &Prediction,
    face: Rect,
    style: &Style,
    taken: &[Rect],
) -> Option<Rect> {
    let bounds = Rect::of_picture(picture);
    let line = format!("{} {:.0}%", prediction.label(), bounded(prediction.confidence()) * 100.0);
    let plate = Plate::of(&line, style.label_text, style, bounds)?;
    let place = layout::place_label(plate.width, plate.height, face, bounds, taken);
    let color = color_of_label(prediction.label());
    fill(picture, place, color, OPAQUE);
    plate.write(picture, &line, place, text_color_on(color));
    Some(place)
}

/// Draws one bar per emotion beside an anchor, the face or else the face with its label, and returns the place that it took;
/// draws nothing where there is no room.
fn draw_panel(
    picture: &mut RgbImage,
    prediction: &Prediction,
    anchors: [Rect; 2],
    style: &Style,
    taken: &[Rect],
) -> Option<Rect> {
    let bounds = Rect::of_picture(picture);
    let (panel, place) = PANEL_FORMS.iter().find_map(|&(scale, with_names)| {
        let panel = Panel::of(style.panel_text * scale, with_names);
        let place = anchors
            .into_iter()
            .find_map(|anchor| layout::place_panel(panel.width, panel.height, style.gap, anchor, bounds, taken))?;
        Some((panel, place))
    })?;
    panel.draw(picture, prediction, place);
    Some(place)
}

/// A line of text with room around it, made small enough for the frame.
struct Plate {
    text: f32,
    padding: i32,
    width: i32,
    height: i32,
}

impl Plate {
    fn of(line: &str, text: f32, style: &Style, frame: Rect) -> Option<Self> {
        let wanted = text::BOLD.width(line, text) + 2 * style.padding;
        let shrink = (frame.width as f32 / wanted as f32).min(1.0);
        let (text, padding) = (text * shrink, (style.padding as f32 * shrink) as i32);
        let plate = Self {
            text,
            padding,
            width: (text::BOLD.width(line, text) + 2 * padding).min(frame.width),
            height: (text * 1.5).round() as i32,
        };
        (text >= SMALLEST_TEXT && plate.height <= frame.height).then_some(plate)
    }

    fn write(&self, picture: &mut RgbImage, line: &str, place: Rect, color: Color) {
        let baseline = baseline_in(place, self.text);
        text::BOLD.draw(picture, line, place.x + self.padding, baseline, self.text, color);
    }
}

/// The measures of a panel: one row per emotion, with or without its name.
struct Panel {
    text: f32,
    padding: i32,
    row: i32,
    /// The width of the column of names and the room after it.
    names: i32,
    bar: i32,
    width: i32,
    height: i32,
}

impl Panel {
    fn of(text: f32, with_names: bool) -> Self {
        let padding = (text * 0.55).round() as i32;
        let row = (text * 1.4).round() as i32;
        let widest = Emotion::ALL.iter().map(|emotion| text::BOLD.width(emotion.name(), text)).max().unwrap_or(0);
        let (names, bar) =
            if with_names { (widest + padding, (text * 4.5).round() as i32) } else { (0, (text * 3.0).round() as i32) };
        let height = row * Emotion::COUNT as i32 + 2 * (padding / 2);
        Self { text, padding, row, names, bar, width: names + bar + 2 * padding, height }
    }

    fn draw(&self, picture: &mut RgbImage, prediction: &Prediction, place: Rect) {
        fill(picture, place, PLATE, PLATE_OPACITY);
        // Of an unsure face no name stands out.
        let label = prediction.label();
        let thickness = (self.text * 0.6).round().max(2.0) as i32;
        for (index, (emotion, probability)) in (0..).zip(prediction.probabilities.iter()) {
            let x = place.x + self.padding;
            let row = Rect { x, y: place.y + self.padding / 2 + index * self.row, width: self.names, height: self.row };
            if self.names > 0 {
                let color = if label == Label::Emotion(emotion) { LIGHT_TEXT } else { DIM_TEXT };
                text::BOLD.draw(picture, emotion.name(), x, baseline_in(row, self.text), self.text, color);
            }
            let y = row.y + (self.row - thickness) / 2;
            let track = Rect { x: x + self.names, y, width: self.bar, height: thickness };
            let reached = (bounded(probability) * self.bar as f32).round() as i32;
            fill(picture, track, TRACK, OPAQUE);
            fill(picture, Rect { width: reached, ..track }, color_of(emotion), OPAQUE);
        }
    }
}

/// Where letters stand so that capitals are in the middle of the row.
fn baseline_in(row: Rect, text: f32) -> i32 {
    row.y + ((row.height as f32 + text * text::CAPITAL_HEIGHT) / 2.0).round() as i32
}

/// A probability as it can be drawn: 0 to 1, also where the network gave no number.
fn bounded(probability: f32) -> f32 {
    if probability.is_nan() { 0.0 } else { probability.clamp(0.0, 1.0) }
}

/// Black or white, whichever stands out more.
fn text_color_on(plate: Color) -> Color {
    if contrast(plate, DARK_TEXT) >= contrast(plate, LIGHT_TEXT) { DARK_TEXT } else { LIGHT_TEXT }
}

/// The contrast of two colours, 1 to 21 (WCAG 2.1).
fn contrast(a: Color, b: Color) -> f32 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Relative luminance of an sRGB colour, 0 to 1 (WCAG 2.1).
fn luminance(color: Color) -> f32 {
    let [red, green, blue] = color.map(|value| {
        let value = f32::from(value) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[cfg(test)]
mod tests;
