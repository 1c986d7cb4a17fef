//! One line that tells how a run goes: in the window's corner, and in the terminal where there is no window.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use console::Term;

use crate::draw::color_of_label;
use crate::pipeline::Annotated;

/// How often the line changes: fast enough to feel live, slow enough to be read.
const PERIOD: Duration = Duration::from_millis(250);

/// Stands for faces that the line has no room for.
const MORE: &str = "  ...";

/// How many columns a face's bar has.
const BAR: usize = 6;

/// The eighths of a column, the whole one last.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

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
    style: Style,
    written: Option<Instant>,
    /// How many columns the last line took, where it can't be cleared.
    columns: usize,
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Style {
    colors: Colors,
    /// Whether there are blocks, or only ASCII.
    blocks: bool,
    /// Whether it knows control sequences.
    controls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colors {
    None,
    /// The 6 by 6 by 6 colors of xterm's 256.
    Indexed,
    Rgb,
}

impl Style {
    /// As the environment has it: NO_COLOR (<https://no-color.org>), TERM, COLORTERM, and the locale.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let controls = set("TERM").is_none_or(|term| term != "dumb");
        let colors = if !controls || set("NO_COLOR").is_some() {
            Colors::None
        } else if set("COLORTERM").is_some_and(|term| ["truecolor", "24bit"].contains(&term.as_str())) {
            Colors::Rgb
        } else {
            Colors::Indexed
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let blocks = locale.is_none_or(|name| {
            let name = name.to_lowercase();
            name.contains("utf-8") || name.contains("utf8")
        });
        Self { colors, blocks, controls }
    }

    /// A text in a color.
    fn colored(self, text: &str, [red, green, blue]: [u8; 3]) -> String {
        match self.colors {
            Colors::None => text.to_owned(),
            Colors::Rgb => format!("\x1b[38;2;{red};{green};{blue}m{text}\x1b[0m"),
            Colors::Indexed => {
                // The levels are 0, 95, 135, 175, 215 and 255.
                let level = |value: u8| if value < 48 { 0 } else { (usize::from(value).max(75) - 35) / 40 };
                let index = 16 + 36 * level(red) + 6 * level(green) + level(blue);
                format!("\x1b[38;5;{index}m{text}\x1b[0m")
            }
        }
    }

    /// A bar of a share, 0 to 1, as wide as it ever is.
    fn bar(self, share: f32) -> String {
        let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f32).round() as usize;
        let (whole, rest) = (eighths / 8, eighths % 8);
        if !self.blocks {
            return format!("{:<BAR$}", "#".repeat(((eighths + 4) / 8).min(BAR)));
        }
        let mut bar = "█".repeat(whole);
        if rest > 0 {
            bar.push(EIGHTHS[rest - 1]);
        }
        format!("{bar:<BAR$}")
    }
}

impl Default for StatusLine {
    fn default() -> Self {
        let style = Style::of(|name| std::env::var(name).ok());
        Self { on_terminal: io::stderr().is_terminal(), style, written: None, columns: 0 }
    }
}

impl StatusLine {
    /// Writes the line for a frame, unless it was written a moment ago.
    pub fn show(&mut self, annotated: &Annotated, meter: &str) {
        if self.on_terminal && self.written.is_none_or(|at| at.elapsed() >= PERIOD) {
            self.written = Some(Instant::now());
            // Without a standard error there is nobody to tell.
            let (text, columns) = line(annotated, meter, self.width(), self.style);
            let _ = write!(io::stderr(), "{}{text}", self.cleared());
            self.columns = columns;
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
            let _ = write!(io::stderr(), "{}", self.cleared());
            let _ = io::stderr().flush();
        }
    }

    /// What takes the last line away.
    fn cleared(&self) -> String {
        if self.style.controls { "\r\x1b[2K".to_owned() } else { format!("\r{:1$}\r", "", self.columns) }
    }
}

/// Faces, each with its emotion and a bar of its confidence, as far as there is room, and what the meter says; with the
/// columns that it takes. Where bars have no room, the labels go without.
fn line(annotated: &Annotated, meter: &str, width: usize, style: Style) -> (String, usize) {
    let with_bars = fitted(annotated, meter, width, style, true);
    with_bars.or_else(|| fitted(annotated, meter, width, style, false)).unwrap_or_else(|| {
        let text: String = count(annotated).chars().take(width).collect();
        let columns = text.len();
        (text, columns)
    })
}

fn count(annotated: &Annotated) -> String {
    let faces = annotated.predictions.len();
    format!("{faces} {}", if faces == 1 { "face" } else { "faces" })
}

/// The line, unless no face has room in it.
fn fitted(annotated: &Annotated, meter: &str, width: usize, style: Style, bars: bool) -> Option<(String, usize)> {
    let mut text = count(annotated);
    let mut columns = text.len();
    let end = if meter.is_empty() { String::new() } else { format!("  |  {meter}") };
    let faces = &annotated.predictions;
    for (index, prediction) in faces.iter().enumerate() {
        let label = format!("{} {:.0}%", prediction.label(), prediction.confidence() * 100.0);
        let is_last = index + 1 == faces.len();
        let taken = 2 + label.len() + if bars { 1 + BAR } else { 0 };
        let more = if is_last { 0 } else { MORE.len() };
        if columns + taken + more + end.len() > width {
            if index == 0 {
                return None;
            }
            text.push_str(MORE);
            columns += MORE.len();
            break;
        }
        text.push_str("  ");
        let color = color_of_label(prediction.label());
        text.push_str(&style.colored(&label, color));
        if bars {
            text.push(' ');
            text.push_str(&style.colored(&style.bar(prediction.confidence()), color));
        }
        columns += taken;
    }
    if columns + end.len() <= width {
        text.push_str(&end);
        columns += end.len();
    }
    (columns <= width).then_some((text, columns))
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

    const PLAIN: Style = Style { colors: Colors::None, blocks: true, controls: true };

    fn plain(annotated: &Annotated, meter: &str, width: usize) -> String {
        line(annotated, meter, width, PLAIN).0
    }

    #[test]
    fn the_line_names_as_many_faces_as_there_is_room_for() {
        assert_eq!(plain(&annotated(0), "30.0 fps  9 ms", 80), "0 faces  |  30.0 fps  9 ms");
        assert_eq!(plain(&annotated(1), "", 80), "1 face  Happy 100% ██████");
        assert_eq!(
            plain(&annotated(3), "9 ms", 79),
            "3 faces  Happy 100% ██████  Happy 100% ██████  Happy 100% ██████  |  9 ms"
        );
        assert_eq!(plain(&annotated(9), "9 ms", 46), "9 faces  Happy 100% ██████  ...  |  9 ms");
        assert_eq!(plain(&annotated(1), "9 ms", 30), "1 face  Happy 100%  |  9 ms");
        assert_eq!(plain(&annotated(1), "30.0 fps  9 ms", 20), "1 face");
        let mut doubtful = annotated(2);
        doubtful.predictions[1].unsure = true;
        assert_eq!(plain(&doubtful, "", 80), "2 faces  Happy 100% ██████  Unsure 100% ██████");
    }

    #[test]
    fn a_narrow_terminal_never_gets_a_line_that_is_too_long() {
        let styles = [Colors::None, Colors::Indexed, Colors::Rgb].map(|colors| Style { colors, ..PLAIN });
        for width in 0..120 {
            for style in styles {
                let (text, columns) = line(&annotated(9), "30.0 fps  9 ms", width, style);
                let seen = console::strip_ansi_codes(&text);
                assert_eq!(console::measure_text_width(&seen), columns);
                assert!(columns <= width, "{columns} of {width}");
            }
        }
    }

    #[test]
    fn the_environment_says_what_the_terminal_can_show() {
        let style = |variables: &[(&str, &str)]| {
            Style::of(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(style(&[]).colors, Colors::Indexed);
        assert_eq!(style(&[("COLORTERM", "truecolor"), ("NO_COLOR", "")]).colors, Colors::Rgb);
        assert_eq!(style(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]).colors, Colors::None);
        let dumb = style(&[("TERM", "dumb"), ("COLORTERM", "truecolor")]);
        assert_eq!((dumb.colors, dumb.controls), (Colors::None, false));
        assert!(style(&[("LANG", "de_DE.UTF-8")]).blocks && style(&[("LC_ALL", "C.utf8"), ("LANG", "C")]).blocks);
        assert!(!style(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]).blocks);
    }

    #[test]
    fn bars_and_colors() {
        let bars = [0.0, 0.5, 0.52, 1.0, 7.0, f32::NAN].map(|share| PLAIN.bar(share));
        assert_eq!(bars, ["      ", "███   ", "███▏  ", "██████", "██████", "      "]);
        let ascii = Style { blocks: false, ..PLAIN };
        assert_eq!([0.0, 0.5, 1.0].map(|share| ascii.bar(share)), ["      ", "###   ", "######"]);
        assert_eq!(Style { colors: Colors::Rgb, ..PLAIN }.colored("x", [1, 2, 3]), "\x1b[38;2;1;2;3mx\x1b[0m");
        // Red is 16 + 36 * 5.
        assert_eq!(Style { colors: Colors::Indexed, ..PLAIN }.colored("x", [255, 0, 0]), "\x1b[38;5;196mx\x1b[0m");
    }
}
