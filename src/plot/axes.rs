//! From values to places: scales, ticks, and what is drawn about a plot's area.
//!
//! Owns the choice of round numbers for ticks and how they are written.

use super::canvas::{Anchor, Canvas, Point, Segment, dashed};
use super::looks::{CURVE, GRID, HAIRLINE, INK, SMALL, TEXT};
use crate::draw::paint::{Color, Rect};

/// Room between legend entries, and the length of a sample, in pixels.
const LEGEND_GAP: i32 = 48;
const SAMPLE: f32 = 64.0;

/// Dash and gap of dashed lines, in pixels.
pub(super) const DASH: (f32, f32) = (16.0, 12.0);

/// The values along one side of a plot, and the ticks among them.
pub(super) struct Scale {
    low: f64,
    high: f64,
    pub(super) ticks: Vec<(f64, String)>,
}

impl Scale {
    /// From one round number to another about all finite values, with about `count` ticks.
    pub(super) fn about(values: impl Iterator<Item = f64>, count: usize) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        // Equal values get some room; so do those that differ by less than can be written.
        let room = (low.abs().max(high.abs()) * 0.05).max(1e-6);
        let (low, high) = if high - low < room * 1e-3 { (low - room, high + room) } else { (low, high) };
        let step = round_step((high - low) / count as f64);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let ticks = (0..=(last - first) as usize).map(|i| (first + i as f64) * step);
        Self { low: first * step, high: last * step, ticks: ticks.map(|tick| (tick, written(tick, step))).collect() }
    }

    /// The epochs 1 to `count`, with a little room at both ends.
    pub(super) fn of_epochs(count: usize) -> Self {
        let last = count.max(1) as f64;
        let room = (0.02 * (last - 1.0)).max(if count > 1 { 0.0 } else { 0.5 });
        let step = round_step(last / 10.0).max(1.0);
        let mut ticks: Vec<f64> = (1..=(last / step) as usize).map(|i| i as f64 * step).collect();
        if step > 1.0 {
            ticks.insert(0, 1.0);
        }
        let ticks = ticks.into_iter().map(|tick| (tick, written(tick, step))).collect();
        Self { low: 1.0 - room, high: last + room, ticks }
    }

    /// Where a value is, as a share of the way from the low end to the high one.
    fn share(&self, value: f64) -> f32 {
        ((value - self.low) / (self.high - self.low)) as f32
    }
}

/// The round number (1, 2 or 5 times a power of ten) that is not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    // Rounding must not make 2.0000000001 a 5.
    let multiple = [1.0, 2.0, 5.0].into_iter().find(|multiple| multiple * power >= least * (1.0 - 1e-9));
    multiple.unwrap_or(10.0) * power
}

/// A tick in as many digits as its step needs.
fn written(tick: f64, step: f64) -> String {
    let digits = -step.log10().floor();
    if tick == 0.0 {
        "0".into()
    } else if digits > 4.0 || tick.abs() >= 1e6 {
        let mantissa = tick.abs().log10().floor() + digits;
        format!("{tick:.*e}", mantissa.max(0.0) as usize)
    } else {
        format!("{tick:.*}", digits.max(0.0) as usize)
    }
}

/// The area of a plot, with the scales of its sides.
pub(super) struct Axes {
    pub(super) area: Rect,
    pub(super) x: Scale,
    pub(super) y: Scale,
}

impl Axes {
    /// Where a pair of values is; nowhere where one of them is not finite.
    pub(super) fn point(&self, x: f64, y: f64) -> Option<Point> {
        (x.is_finite() && y.is_finite()).then(|| [self.across(x), self.up(y)])
    }

    fn across(&self, x: f64) -> f32 {
        self.area.x as f32 + self.x.share(x) * self.area.width as f32
    }

    fn up(&self, y: f64) -> f32 {
        self.area.bottom() as f32 - self.y.share(y) * self.area.height as f32
    }

    /// Grid, ticks and their numbers, and the titles of both sides. Without a title, the x axis has no numbers either.
    pub(super) fn draw(&self, canvas: &mut Canvas, x_title: Option<&str>, y_title: &str) {
        let [left, right, top, bottom] =
            [self.area.x, self.area.right(), self.area.y, self.area.bottom()].map(|v| v as f32);
        let grid: Vec<Segment> =
            self.y.ticks.iter().map(|(y, _)| [[left, self.up(*y)], [right, self.up(*y)]]).collect();
        canvas.stroke(&grid, HAIRLINE, GRID);
        let mut lines = vec![[[left, top], [left, bottom]], [[left, bottom], [right, bottom]]];
        for (y, text) in &self.y.ticks {
            lines.push([[left - 10.0, self.up(*y)], [left, self.up(*y)]]);
            canvas.text(text, [left - 20.0, self.up(*y)], Anchor::End, SMALL, INK);
        }
        for (x, text) in &self.x.ticks {
            lines.push([[self.across(*x), bottom], [self.across(*x), bottom + 10.0]]);
            if x_title.is_some() {
                canvas.text(text, [self.across(*x), bottom + 36.0], Anchor::Middle, SMALL, INK);
            }
        }
        canvas.stroke(&lines, HAIRLINE, INK);
        if let Some(title) = x_title {
            canvas.text(title, [(left + right) / 2.0, bottom + 94.0], Anchor::Middle, TEXT, INK);
        }
        canvas.text_upwards(y_title, [42.0, (top + bottom) / 2.0], TEXT, INK);
    }
}

/// How a curve looks, in the plot and in its legend.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) color: Color,
    pub(super) dashed: bool,
}

impl Style {
    /// Strokes segments in this style.
    pub(super) fn stroke(self, canvas: &mut Canvas, segments: &[Segment], width: f32) {
        if self.dashed {
            canvas.stroke(&dashed(segments, DASH.0, DASH.1), width, self.color);
        } else {
            canvas.stroke(segments, width, self.color);
        }
    }
}

/// A row of samples with their names, above the plot, where it covers nothing.
pub(super) fn legend(canvas: &mut Canvas, [left, y]: Point, entries: &[(Style, &str)]) {
    let mut x = left;
    for (style, name) in entries {
        style.stroke(canvas, &[[[x, y], [x + SAMPLE, y]]], CURVE);
        canvas.text(name, [x + SAMPLE + 16.0, y], Anchor::Start, SMALL, INK);
        let width = crate::draw::text::REGULAR.width(name, SMALL);
        x += SAMPLE + 16.0 + (width + LEGEND_GAP) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        let scale = Scale::about([0.62, 1.13].into_iter(), 6);
        assert_eq!(ticks(&scale), ["0.6", "0.7", "0.8", "0.9", "1.0", "1.1", "1.2"]);
        assert!(scale.share(0.6).abs() < 1e-6 && (scale.share(1.2) - 1.0).abs() < 1e-6);
        assert_eq!(ticks(&Scale::about([0.0, 3e-3].into_iter(), 3)), ["0", "0.001", "0.002", "0.003"]);
        assert_eq!(ticks(&Scale::about([0.0, 2e-6].into_iter(), 2)), ["0", "1e-6", "2e-6"]);
        assert_eq!(ticks(&Scale::about([1.1e-5, 1.3e-5].into_iter(), 2)), ["1.1e-5", "1.2e-5", "1.3e-5"]);
    }

    #[test]
    fn epochs_are_whole_numbers() {
        assert_eq!(ticks(&Scale::of_epochs(1)), ["1"]);
        assert_eq!(ticks(&Scale::of_epochs(3)), ["1", "2", "3"]);
        assert_eq!(ticks(&Scale::of_epochs(25)), ["1", "5", "10", "15", "20", "25"]);
        assert_eq!(ticks(&Scale::of_epochs(1000)).len(), 11);
        assert_eq!(Scale::of_epochs(1).share(1.0), 0.5);
    }

    #[test]
    fn odd_values_give_scales_without_holes() {
        let cases: [&[f64]; 7] =
            [&[], &[f64::NAN], &[0.5], &[0.5, 0.5], &[0.0, 0.0], &[1e30, f64::INFINITY, -1e30], &[-2.0, 1e-300]];
        for values in cases {
            let scale = Scale::about(values.iter().copied(), 6);
            assert!(scale.high > scale.low && (2..=15).contains(&scale.ticks.len()), "{values:?}: {:?}", scale.ticks);
            let inside = |value: &f64| !value.is_finite() || (-1e-3..=1.001).contains(&scale.share(*value));
            assert!(values.iter().all(inside), "{values:?}: {} to {}", scale.low, scale.high);
        }
    }
}
