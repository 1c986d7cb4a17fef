//! The reliability diagram: confidence against accuracy, before and after the temperature, and how many predictions have
//! which confidence (Guo et al. 2017, <https://arxiv.org/abs/1706.04599>, figures 1 and 4).

use std::path::Path;

use anyhow::Result;

use super::axes::{Axes, DASH, Scale, Style, legend};
use super::canvas::{Anchor, Canvas, Point, Segment, dashed, path};
use super::looks::{BLUE, CURVE, GRAY, HAIRLINE, INK, TITLE, VERMILION};
use crate::draw::paint::Rect;

const WIDTH: u32 = 1300;
const HEIGHT: u32 = 1700;
const LEFT: i32 = 190;

/// Side of the diagram, in pixels.
const SIDE: i32 = 1050;

const BEFORE: Style = Style { color: VERMILION, dashed: true };
const AFTER: Style = Style { color: BLUE, dashed: false };

/// One curve of the diagram.
#[derive(Clone, Debug)]
pub struct Reliability {
    /// Its name in the legend.
    pub name: String,
    /// Bins of equal width between 0 and 1, from the least confident to the most; both curves have as many.
    pub bins: Vec<Bin>,
}

/// Predictions of about one confidence.
#[derive(Clone, Copy, Debug)]
pub struct Bin {
    /// How many there are; a bin without any is left out of the curve.
    pub count: u32,
    /// Their mean confidence, 0 to 1.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
    /// From where to where the accuracy may be, which is drawn as a bar.
    pub interval: [f64; 2],
}

/// Writes the diagram of what a temperature changes.
///
/// # Errors
/// When the file can't be written.
pub fn reliability(path: &Path, title: &str, before: &Reliability, after: &Reliability) -> Result<()> {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    canvas.text(title, [(LEFT + SIDE / 2) as f32, 50.0], Anchor::Middle, TITLE, INK);
    legend(&mut canvas, [LEFT as f32, 115.0], &[(BEFORE, &before.name), (AFTER, &after.name)]);

    let ticks = || Scale::about([0.0, 1.0].into_iter(), 5);
    let axes = Axes { area: Rect { x: LEFT, y: 165, width: SIDE, height: SIDE }, x: ticks(), y: ticks() };
    axes.draw(&mut canvas, None, "Accuracy");
    let diagonal = path_of(&axes, &[(0.0, 0.0), (1.0, 1.0)]);
    canvas.stroke(&dashed(&diagonal, DASH.0 / 2.0, DASH.1), HAIRLINE, GRAY);
    for (style, reliability) in [(BEFORE, before), (AFTER, after)] {
        let bins: Vec<Bin> = reliability.bins.iter().copied().filter(|bin| bin.count > 0).collect();
        let points: Vec<(f64, f64)> = bins.iter().map(|bin| (bin.confidence, bin.accuracy)).collect();
        let bar = |bin: &Bin| path_of(&axes, &bin.interval.map(|end| (bin.confidence, end)));
        canvas.stroke(&bins.iter().flat_map(bar).collect::<Vec<_>>(), HAIRLINE, style.color);
        style.stroke(&mut canvas, &path_of(&axes, &points), CURVE);
        points.iter().filter_map(|&(x, y)| axes.point(x, y)).for_each(|p| canvas.marker(p, 3.2 * CURVE, style.color));
    }
    histogram(&mut canvas, before, after);
    canvas.save(path)
}

/// The share of predictions in each bin: bars for after, outlines for before.
fn histogram(canvas: &mut Canvas, before: &Reliability, after: &Reliability) {
    let share = |reliability: &Reliability| {
        let all = f64::from(reliability.bins.iter().map(|bin| bin.count).sum::<u32>().max(1));
        reliability.bins.iter().map(|bin| 100.0 * f64::from(bin.count) / all).collect::<Vec<_>>()
    };
    let (before, after) = (share(before), share(after));
    let axes = Axes {
        area: Rect { x: LEFT, y: 165 + SIDE + 55, width: SIDE, height: 300 },
        x: Scale::about([0.0, 1.0].into_iter(), 5),
        y: Scale::about(before.iter().chain(&after).copied().chain([0.0]), 3),
    };
    axes.draw(canvas, Some("Confidence"), "Pictures (%)");
    let edge = |i: usize| i as f64 / after.len() as f64;
    for (i, &share) in after.iter().enumerate() {
        if let (Some([left, top]), Some([right, bottom])) = (axes.point(edge(i), share), axes.point(edge(i + 1), 0.0)) {
            let (x, y) = (left as i32 + 3, top.round() as i32);
            canvas.fill(Rect { x, y, width: right as i32 - 2 - x, height: bottom as i32 - 1 - y }, AFTER.color);
        }
    }
    let used = before.into_iter().enumerate().skip_while(|(_, share)| *share == 0.0);
    let outline: Vec<(f64, f64)> = used.flat_map(|(i, share)| [(edge(i), share), (edge(i + 1), share)]).collect();
    BEFORE.stroke(canvas, &path_of(&axes, &outline), CURVE);
}

fn path_of(axes: &Axes, values: &[(f64, f64)]) -> Vec<Segment> {
    let points: Vec<Option<Point>> = values.iter().map(|&(x, y)| axes.point(x, y)).collect();
    path(&points)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fifteen bins, the first two empty, whose predictions are right less often than they are sure.
    fn curve(name: &str, overconfidence: f64) -> Reliability {
        let bin = |i: u32| {
            let confidence = (f64::from(i) + 0.5) / 15.0;
            let accuracy = confidence - overconfidence * confidence * (1.0 - confidence);
            let count = if i < 2 { 0 } else { 20 * i };
            Bin { count, confidence, accuracy, interval: [accuracy - 0.03, accuracy + 0.03] }
        };
        Reliability { name: name.into(), bins: (0..15).map(bin).collect() }
    }

    #[test]
    fn both_curves_are_drawn_and_nothing_is_drawn_of_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let ink = |before: &Reliability, after: &Reliability| {
            let path = folder.path().join("reliability.png");
            reliability(&path, "FER+, test", before, after).expect("a plot");
            let picture = image::open(path).expect("a PNG").to_rgb8();
            [BLUE, VERMILION].map(|color| picture.pixels().filter(|pixel| pixel.0 == color).count())
        };
        assert!(ink(&curve("before", 0.5), &curve("after", 0.0)).into_iter().all(|ink| ink > 4000));
        let none = |name: &str| {
            let bin = Bin { count: 0, confidence: 0.0, accuracy: 0.0, interval: [0.0, 1.0] };
            Reliability { name: name.into(), bins: vec![bin; 15] }
        };
        assert!(ink(&none("before"), &none("after")).into_iter().all(|ink| ink < 9000));
    }
}
