//! One line that tells how a run goes: in the window's corner, and in the terminal where there is no window.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use console::Term;

use crate::pipeline::Annotated;

/// How often the line changes: fast enough to feel live, slow enough to be read.
const PERIOD: Duration = Duration::from_millis(250);

/// Stands for faces that the line has no room for.
const MORE: &str = "  ...";

/// The frame rate and the latency of the last moments.
#[derive(Debug)]
pub struct Meter {
    since: Instant,
    frames: u32,
    latency: Duration,
    line: String,
}

impl Default for Meter {
    fn default() -> Self {
        Self { since: Instant::now(), frames: 0, latency: Duration::ZERO, line: String::new() }
    }
}

impl Meter {
    /// Counts a frame and returns the line to show: `29.8 fps  18 ms`; empty at first.
    pub fn tick(&mut self, annotated: &Annotated) -> &str {
        self.frames += 1;
        self.latency += annotated.frame.captured_at.elapsed();
        let time = self.since.elapsed();
        if time >= PERIOD {
            let fps = f64::from(self.frames) / time.as_secs_f64();
            let latency = self.latency.as_secs_f64() * 1e3 / f64::from(self.frames);
            self.line = format!("{fps:.1} fps  {latency:.0} ms");
            (self.since, self.frames, self.latency) = (Instant::now(), 0, Duration::ZERO);
        }
        &self.line
    }
}

/// The line in the terminal. Nothing is written where standard error is no terminal.
#[derive(Debug)]
pub struct StatusLine {
    on_terminal: bool,
    written: Option<Instant>,
}

impl Default for StatusLine {
    fn default() -> Self {
        Self { on_terminal: io::stderr().is_terminal(), written: None }
    }
}

impl StatusLine {
    /// Writes the line for a frame, unless it was written a moment ago.
    pub fn show(&mut self, annotated: &Annotated, meter: &str) {
        if self.on_terminal && self.written.is_none_or(|at| at.elapsed() >= PERIOD) {
            self.written = Some(Instant::now());
            // Without a standard error there is nobody to tell.
            let _ = write!(io::stderr(), "\r\x1b[2K{}", line(annotated, meter, self.width()));
        }
    }

    /// Columns that the line may take. In the last one some terminals would begin a new line.
    fn width(&self) -> usize {
        // A terminal that does not know its own size is one of 80 columns.
        let columns = Term::stderr().size_checked().map_or(0, |(_, columns)| columns);
        usize::from(if columns == 0 { 80 } else { columns }) - 1
    }

    /// Takes the line away, so that what comes next stands alone.
    pub fn clear(&mut self) {
        if self.written.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}

/// Faces, each with its emotion, as far as there is room, and what the meter says.
fn line(annotated: &Annotated, meter: &str, width: usize) -> String {
    let faces = annotated.predictions.len();
    let mut line = format!("{faces} {}", if faces == 1 { "face" } else { "faces" });
    let end = if meter.is_empty() { String::new() } else { format!("  |  {meter}") };
    let room = width.saturating_sub(end.len() + MORE.len());
    for prediction in &annotated.predictions {
        let face = format!("  {} {:.0}%", prediction.label(), prediction.confidence() * 100.0);
        if line.len() + face.len() > room {
            line.push_str(MORE);
            break;
        }
        line.push_str(&face);
    }
    line.push_str(&end);
    line.chars().take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emotion::{Prediction, Probabilities};
    use crate::frame::{FaceBox, Frame};

    fn annotated(faces: usize) -> Annotated {
        let face = FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0, score: 3.0 };
        let probabilities = Probabilities::from_logits(&[0.0, 0.0, 0.0, 50.0, 0.0, 0.0, 0.0]);
        let frame = Frame {
            id: 0,
            pts: Duration::ZERO,
            captured_at: Instant::now(),
            scene: 0,
            width: 1,
            height: 1,
            rgb: [0; 3].into(),
        };
        let predictions = vec![Prediction { id: 0, face, probabilities, unsure: false }; faces];
        Annotated {
            frame,
            predictions,
            ignored: 0,
            unlabelled: Vec::new(),
            timing: crate::pipeline::Timing::default(),
            picture: None,
        }
    }

    #[test]
    fn the_line_names_as_many_faces_as_there_is_room_for() {
        assert_eq!(line(&annotated(0), "30.0 fps  9 ms", 80), "0 faces  |  30.0 fps  9 ms");
        assert_eq!(line(&annotated(1), "", 80), "1 face  Happy 100%");
        assert_eq!(line(&annotated(3), "9 ms", 60), "3 faces  Happy 100%  Happy 100%  Happy 100%  |  9 ms");
        assert_eq!(line(&annotated(9), "9 ms", 46), "9 faces  Happy 100%  Happy 100%  ...  |  9 ms");
        let mut doubtful = annotated(2);
        doubtful.predictions[1].unsure = true;
        assert_eq!(line(&doubtful, "", 80), "2 faces  Happy 100%  Unsure 100%");
        for width in 0..80 {
            assert!(line(&annotated(9), "30.0 fps  9 ms", width).len() <= width);
        }
    }
}
