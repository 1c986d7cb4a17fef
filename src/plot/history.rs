//! Loss and accuracy over the epochs of a run.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::axes::{Axes, Scale, Style, legend};
use super::canvas::{Canvas, Point, path};
use super::looks::{BLUE, CURVE, GRAY, GREEN, SKY, VERMILION};
use crate::draw::paint::Rect;

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 1200;

/// Left and right edge of the plots, and the height of the legend's middle.
const LEFT: i32 = 190;
const RIGHT: i32 = 1550;
const LEGEND: f32 = 50.0;

/// Up to this many epochs each has a mark of its own; the curves of more are thin.
const MARKED: usize = 60;
const THIN: f32 = 3.0;

const TRAINING: Style = Style { color: BLUE, dashed: false };
const VALIDATION: Style = Style { color: VERMILION, dashed: false };
const MACRO_F1: Style = Style { color: GREEN, dashed: true };
const RATE: Style = Style { color: SKY, dashed: false };
const BEST: Style = Style { color: GRAY, dashed: true };

/// An epoch's figures. Accuracies and F1 are 0 to 1; what is not finite is left out of the plots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Mean loss over the training pictures as they were shown: augmented, weighted, with smoothed targets.
    pub train_loss: f64,
    /// Accuracy over the training pictures as they were shown.
    pub train_accuracy: f64,
    /// Mean negative log likelihood on validation.
    pub validation_loss: f64,
    /// Accuracy on validation.
    pub validation_accuracy: f64,
    /// Macro F1 on validation.
    pub validation_macro_f1: f64,
}

/// One curve: its style, its name, and its value in an epoch.
type Curve = (Style, &'static str, fn(&Epoch) -> f64);

/// Writes `loss.png`, with the learning rate below, and `accuracy.png` into a folder. `best` is the position in `epochs`
/// of the one that was kept.
///
/// # Errors
/// When a file can't be written.
pub fn history(folder: &Path, epochs: &[Epoch], best: Option<usize>) -> Result<()> {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let curves: [Curve; 2] =
        [(TRAINING, "training", |epoch| epoch.train_loss), (VALIDATION, "validation", |epoch| epoch.validation_loss)];
    plot(&mut canvas, rect(100, 790), epochs, best, &curves, (None, "Loss", 7));
    let curves: [Curve; 1] = [(RATE, "learning rate", |epoch| epoch.learning_rate)];
    plot(&mut canvas, rect(840, 1065), epochs, best, &curves, (Some("Epoch"), "Rate", 3));
    let names = [(TRAINING, "training"), (VALIDATION, "validation"), (RATE, "learning rate")];
    draw_legend(&mut canvas, &names, best);
    canvas.save(&folder.join("loss.png"))?;

    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let curves: [Curve; 3] = [
        (TRAINING, "training", |epoch| 100.0 * epoch.train_accuracy),
        (VALIDATION, "validation", |epoch| 100.0 * epoch.validation_accuracy),
        (MACRO_F1, "validation macro F1", |epoch| 100.0 * epoch.validation_macro_f1),
    ];
    plot(&mut canvas, rect(100, 1065), epochs, best, &curves, (Some("Epoch"), "Accuracy and macro F1 (%)", 8));
    draw_legend(&mut canvas, &curves.map(|(style, name, _)| (style, name)), best);
    canvas.save(&folder.join("accuracy.png"))
}

fn rect(top: i32, bottom: i32) -> Rect {
    Rect { x: LEFT, y: top, width: RIGHT - LEFT, height: bottom - top }
}

/// One area with its curves. `titles` are those of the x axis and the y axis, then the number of ticks on the latter.
fn plot(
    canvas: &mut Canvas,
    area: Rect,
    epochs: &[Epoch],
    best: Option<usize>,
    curves: &[Curve],
    titles: (Option<&str>, &str, usize),
) {
    let (x_title, y_title, ticks) = titles;
    let values = curves.iter().flat_map(|(_, _, value)| epochs.iter().map(value));
    let axes = Axes { area, x: Scale::of_epochs(epochs.len()), y: Scale::about(values, ticks) };
    axes.draw(canvas, x_title, y_title);
    if let Some([x, _]) = best.and_then(|best| axes.point(best as f64 + 1.0, 0.0)) {
        let (top, bottom) = (area.y as f32, area.bottom() as f32);
        BEST.stroke(canvas, &[[[x, top], [x, bottom]]], THIN);
    }
    for (style, _, value) in curves {
        let points: Vec<Option<Point>> =
            epochs.iter().enumerate().map(|(i, epoch)| axes.point(i as f64 + 1.0, value(epoch))).collect();
        let marked = points.len() <= MARKED;
        style.stroke(canvas, &path(&points), if marked { CURVE } else { THIN });
        if marked {
            points.into_iter().flatten().for_each(|point| canvas.marker(point, 2.4 * CURVE, style.color));
        }
    }
}

fn draw_legend(canvas: &mut Canvas, names: &[(Style, &str)], best: Option<usize>) {
    let best = best.map(|best| format!("best epoch: {}", best + 1));
    let names: Vec<(Style, &str)> = names.iter().copied().chain(best.as_deref().map(|name| (BEST, name))).collect();
    legend(canvas, [LEFT as f32, LEGEND], &names);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(i: usize) -> Epoch {
        let t = i as f64;
        Epoch {
            train_loss: 0.6 + 0.9 / (1.0 + t),
            validation_loss: 0.55 + 0.7 / (1.0 + t) + 0.02 * (t * 1.7).sin(),
            train_accuracy: 0.8 - 0.4 / (1.0 + t),
            validation_accuracy: 0.85 - 0.4 / (1.0 + t) + 0.01 * (t * 1.3).sin(),
            validation_macro_f1: 0.75 - 0.5 / (1.0 + t) + 0.01 * (t * 2.3).sin(),
            learning_rate: 3e-3 * (t * 0.12).sin().abs(),
        }
    }

    #[test]
    fn any_number_of_epochs_is_drawn() {
        let broken = Epoch { train_loss: f64::NAN, validation_loss: f64::INFINITY, learning_rate: 0.0, ..epoch(3) };
        let cases: [(Vec<Epoch>, Option<usize>); 5] = [
            (vec![], None),
            (vec![epoch(0)], Some(0)),
            ((0..25).map(epoch).collect(), Some(21)),
            ((0..1000).map(epoch).collect(), Some(900)),
            (vec![epoch(0), broken, broken, epoch(3)], Some(3)),
        ];
        let parent = tempfile::tempdir().expect("folder");
        for (i, (epochs, best)) in cases.into_iter().enumerate() {
            let folder = parent.path().join(i.to_string());
            std::fs::create_dir(&folder).expect("folder");
            history(&folder, &epochs, best).expect("plots");
            for (name, colors) in [("loss.png", [BLUE, VERMILION, SKY]), ("accuracy.png", [BLUE, VERMILION, GREEN])] {
                let picture = image::open(folder.join(name)).expect("a PNG").to_rgb8();
                assert_eq!(picture.dimensions(), (WIDTH, HEIGHT));
                // The legend has each color; a curve makes it much more.
                let ink = |color| picture.pixels().filter(|pixel| pixel.0 == color).count();
                let least = if epochs.is_empty() { 100 } else { 250 };
                assert!(
                    colors.into_iter().all(|color| ink(color) >= least),
                    "{name} of case {i}: {:?}",
                    colors.map(ink)
                );
            }
        }
    }
}
