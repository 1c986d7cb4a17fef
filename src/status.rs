//! One line that tells how a run goes: in the window's corner, and in the terminal where there is no window.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::pipeline::Annotated;

/// How often the line changes: fast enough to feel live, slow enough to be read.
const PERIOD: Duration = Duration::from_millis(250);

/// The most faces that the terminal's line names.
const NAMED_FACES: usize = 3;

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
            let _ = write!(io::stderr(), "\r\x1b[2K{}", line(annotated, meter));
        }
    }

    /// Takes the line away, so that what comes next stands alone.
    pub fn clear(&mut self) {
        if self.written.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}

fn line(annotated: &Annotated, meter: &str) -> String {
    let faces = annotated.predictions.len();
    let mut line = format!("{faces} {}", if faces == 1 { "face" } else { "faces" });
    for prediction in annotated.predictions.iter().take(NAMED_FACES) {
        // Writing to a String cannot fail.
        let _ = write!(line, "  {} {:.0}%", prediction.emotion(), prediction.confidence() * 100.0);
    }
    if faces > NAMED_FACES {
        line.push_str("  ...");
    }
    format!("{line}  |  {meter}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emotion::{Prediction, Probabilities};
    use crate::frame::{FaceBox, Frame};

    fn annotated(faces: usize) -> Annotated {
        let face = FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0, score: 3.0 };
        let probabilities = Probabilities::from_logits(&[0.0, 0.0, 0.0, 50.0, 0.0, 0.0, 0.0]);
        let frame =
            Frame { id: 0, pts: Duration::ZERO, captured_at: Instant::now(), width: 1, height: 1, rgb: [0; 3].into() };
        let predictions = vec![Prediction { id: 0, face, probabilities }; faces];
        Annotated { frame, predictions, timing: crate::pipeline::Timing::default(), picture: None }
    }

    #[test]
    fn the_line_names_the_first_faces() {
        assert_eq!(line(&annotated(0), "30.0 fps  9 ms"), "0 faces  |  30.0 fps  9 ms");
        assert_eq!(line(&annotated(1), ""), "1 face  Happy 100%  |  ");
        assert_eq!(line(&annotated(5), ""), "5 faces  Happy 100%  Happy 100%  Happy 100%  ...  |  ");
    }
}
