//! The reliability diagram: confidence against accuracy, before and after the temperature, and how many predictions have
//! which confidence (Guo et al. 2017, <https://arxiv.org/abs/1706.04599>, figures 1 and 4).

use std::path::Path;

use anyhow::Result;

use super::axes::{Axes, DASH, Scale, Style, legend};
use super::canvas::{Anchor, Canvas, Point, Segment, dashed, path};
use super::{BLUE, CURVE, GRAY, HAIRLINE, INK, TITLE, VERMILION};
use crate::draw::paint::Rect;
use crate::eval::{BINS, BinFigures, Reliability};

const WIDTH: u32 = 1300;
const HEIGHT: u32 = 1700;
const LEFT: i32 = 190;

/// Side of the diagram, in pixels.
const SIDE: i32 = 1050;

const BEFORE: Style = Style { color: VERMILION, dashed: true };
const AFTER: Style = Style { color: BLUE, dashed: false };

/// Writes the diagram. `before` is at a temperature of 1, `after` comes with its temperature. Bars are 95% intervals.
///
/// # Errors
/// When the file can't be written.
pub fn reliability(path: &Path, title: &str, before: &Reliability, after: (f32, &Reliability)) -> Result<()> {
    let (temperature, after) = after;
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    canvas.text(title, [(LEFT + SIDE / 2) as f32, 50.0], Anchor::Middle, TITLE, INK);
    let error = |reliability: &Reliability| format!("ECE {:.2}%", 100.0 * reliability.error());
    let names =
        [format!("before (T = 1): {}", error(before)), format!("after (T = {temperature:.2}): {}", error(after))];
    legend(&mut canvas, [LEFT as f32, 115.0], &[(BEFORE, &names[0]), (AFTER, &names[1])]);

    let ticks = || Scale::about([0.0, 1.0].into_iter(), 5);
    let axes = Axes { area: Rect { x: LEFT, y: 165, width: SIDE, height: SIDE }, x: ticks(), y: ticks() };
    axes.draw(&mut canvas, None, "Accuracy");
    let diagonal = path_of(&axes, &[(0.0, 0.0), (1.0, 1.0)]);
    canvas.stroke(&dashed(&diagonal, DASH.0 / 2.0, DASH.1), HAIRLINE, GRAY);
    for (style, reliability) in [(BEFORE, before), (AFTER, after)] {
        let bins: Vec<BinFigures> = reliability.bins().into_iter().filter(|bin| bin.count > 0).collect();
        let points: Vec<(f64, f64)> = bins.iter().map(|bin| (bin.confidence, bin.accuracy)).collect();
        let bar = |bin: &BinFigures| {
            path_of(&axes, &[(bin.confidence, bin.interval.low), (bin.confidence, bin.interval.high)])
        };
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
        let all = f64::from(reliability.count().max(1));
        reliability.bins().map(|bin| 100.0 * f64::from(bin.count) / all)
    };
    let (before, after) = (share(before), share(after));
    let axes = Axes {
        area: Rect { x: LEFT, y: 165 + SIDE + 55, width: SIDE, height: 300 },
        x: Scale::about([0.0, 1.0].into_iter(), 5),
        y: Scale::about(before.into_iter().chain(after).chain([0.0]), 3),
    };
    axes.draw(canvas, Some("Confidence"), "Pictures (%)");
    let edge = |i: usize| i as f64 / BINS as f64;
    for (i, share) in after.into_iter().enumerate() {
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
    use crate::eval::Metrics;
    use crate::flow::emotion::{Emotion, Probabilities};

    /// Predictions that are right less often than they are sure, by more the sharper they are.
    fn metrics(sharpness: f32) -> Metrics {
        let mut metrics = Metrics::default();
        for i in 0..3000u32 {
            let strength = (i * 7919 % 3000) as f32 / 3000.0 * 5.0;
            let likely = strength.exp() / (strength.exp() + 6.0);
            let right = (i * 104_729 % 1000) as f32 / 1000.0 < likely;
            let mut logits = [0.0; 7];
            logits[3] = sharpness * strength;
            metrics.add(if right { Emotion::Happy } else { Emotion::Sad }, &Probabilities::from_logits(&logits));
        }
        metrics
    }

    #[test]
    fn both_curves_are_drawn_and_nothing_is_drawn_of_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let plot = |name: &str, before: &Metrics, after: &Metrics| {
            let path = folder.path().join(name);
            reliability(&path, "FER+, test", &before.reliability, (1.6, &after.reliability)).expect("a plot");
            let picture = image::open(path).expect("a PNG").to_rgb8();
            [BLUE, VERMILION].map(|color| picture.pixels().filter(|pixel| pixel.0 == color).count())
        };
        let (sharp, fair) = (metrics(1.6), metrics(1.0));
        assert!(sharp.reliability.error() > 0.05 && fair.reliability.error() < 0.045, "{}", fair.reliability.error());
        assert!(plot("both.png", &sharp, &fair).into_iter().all(|ink| ink > 4000));
        assert!(plot("none.png", &Metrics::default(), &Metrics::default()).into_iter().all(|ink| ink < 9000));
    }
}
