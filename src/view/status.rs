//! One line that tells how a run goes: in the window's corner, and in the terminal where there is no window.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use console::Term;
use emocam::flow::emotion::Prediction;
use emocam::flow::labelled::Labelled;

use super::terminal::{Colors, Terminal};

/// How often the line changes: fast enough to feel live, slow enough to be read.
const PERIOD: Duration = Duration::from_millis(250);

/// Stands for faces that the line has no room for.
const MORE: &str = "  ...";

/// The frame rate and the latency of the last moments.
#[derive(Debug)]
pub(super) struct Meter {
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
    /// What there is to show: `29.8 fps  18 ms`; empty at first.
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    /// Begins to count anew: the time since then was a pause.
    pub(super) fn restart(&mut self) {
        (self.since, self.frames, self.latency) = (Instant::now(), 0, Duration::ZERO);
    }

    /// Counts a frame.
    pub(super) fn tick(&mut self, annotated: &Labelled) {
        self.frames += 1;
        self.latency += annotated.frame.captured_at.elapsed();
        let time = self.since.elapsed();
        if time >= PERIOD {
            let fps = f64::from(self.frames) / time.as_secs_f64();
            let latency = self.latency.as_secs_f64() * 1e3 / f64::from(self.frames);
            self.line = format!("{fps:.1} fps  {latency:.0} ms");
            self.restart();
        }
    }
}

/// The line in the terminal. Nothing is written where standard error is no terminal.
#[derive(Debug)]
pub(crate) struct StatusView {
    terminal: Option<Terminal>,
    /// When the line that stands there was written, and its columns.
    written: Option<(Instant, usize)>,
    /// Whether the line below it is left to somebody who types.
    leaves_room: bool,
}

impl Default for StatusView {
    fn default() -> Self {
        Self {
            terminal: io::stderr().is_terminal().then(Terminal::from_environment),
            written: None,
            leaves_room: false,
        }
    }
}

impl StatusView {
    /// Writes the line for a frame, unless it was written a moment ago.
    pub(super) fn show(&mut self, annotated: &Labelled, meter: &str) {
        let Some(terminal) = self.terminal else { return };
        let (at, before) = self.written.unzip();
        if at.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        let width = width();
        let (line, columns) = line(annotated, meter, width, terminal);
        self.written = Some((Instant::now(), columns));
        let text = match before {
            Some(_) if self.leaves_room => terminal.written_above(&line),
            None if self.leaves_room => line + "\n",
            before => terminal.erased(before.unwrap_or(0).min(width)) + &line,
        };
        // In one piece, so that nothing flickers. Without a standard error there is nobody to tell.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Takes the line away, so that what comes next stands alone.
    pub(super) fn clear(&mut self) {
        if let (Some(terminal), Some((_, columns))) = (self.terminal, self.written.take()) {
            let above = if self.leaves_room { terminal.erased_above() } else { "" };
            let _ = io::stderr().write_all((terminal.erased(columns.min(width())) + above).as_bytes());
        }
    }

    /// Somebody types in the terminal: from now on the line stands above what is typed, where that can be done.
    pub(super) fn leave_room(&mut self) {
        self.leaves_room = self.terminal.is_some_and(|terminal| terminal.can_erase);
    }

    /// So many lines were ended by somebody who types: the cursor is that far below, and what was typed is taken away.
    pub(super) fn forget_typed(&mut self, lines: usize) {
        if let (Some(terminal), Some(_)) = (self.terminal, self.written) {
            let _ = io::stderr().write_all(terminal.erased_above().repeat(lines).as_bytes());
        }
    }
}

impl Drop for StatusView {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Columns that the line may take. In the last one some terminals would begin a new line.
fn width() -> usize {
    // A terminal that does not know its own size is one of 80 columns.
    let columns = Term::stderr().size_checked().map_or(0, |(_, columns)| columns);
    usize::from(if columns == 0 { 80 } else { columns }) - 1
}

/// How much is said of a face.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// Its label, a bar of so many cells, and the confidence.
    Bar(usize),
    /// Its label and the confidence.
    Number,
    /// Its label.
    Name,
}

/// How much is said of each face where there is room for all of them, the most first.
const FORMS: [Form; 4] = [Form::Bar(10), Form::Bar(6), Form::Bar(3), Form::Number];

/// Faces, each with its emotion, as far as there is room, and what the meter says; and the columns that this takes. What has
/// no room gives way: first the bars, then the faces but one, then the meter.
fn line(annotated: &Labelled, meter: &str, width: usize, terminal: Terminal) -> (String, usize) {
    let faces = &annotated.predictions;
    let some = |form| (1..faces.len()).rev().map(move |shown| (form, shown, MORE));
    let with_numbers = || FORMS.map(|form| (form, faces.len(), "")).into_iter().chain(some(Form::Number));
    let meter = if meter.is_empty() { String::new() } else { format!("  |  {meter}") };
    let with_meter = with_numbers().map(|(form, shown, more)| (form, shown, format!("{more}{meter}")));
    let names = some(Form::Name).chain([(Form::Name, 1, "")]).filter(|_| !faces.is_empty());
    let without_meter = with_numbers().chain(names).map(|(form, shown, more)| (form, shown, more.to_owned()));
    let count = format!("{} {}", faces.len(), if faces.len() == 1 { "face" } else { "faces" });
    let text = |form, shown: usize, end: &str, terminal| {
        let faces = faces.iter().take(shown).map(|face| face_text(face, form, terminal));
        count.clone() + &faces.collect::<String>() + end
    };
    let (plain, columns) = (Terminal { colors: Colors::None, ..terminal }, |text: &str| text.chars().count());
    with_meter
        .chain(without_meter)
        .map(|(form, shown, end)| (columns(&text(form, shown, &end, plain)), form, shown, end))
        .find(|(columns, ..)| *columns <= width)
        .map_or_else(
            || (count.chars().take(width).collect(), columns(&count).min(width)),
            |(columns, form, shown, end)| (text(form, shown, &end, terminal), columns),
        )
}

fn face_text(face: &Prediction, form: Form, terminal: Terminal) -> String {
    let (label, confidence) = (face.label(), face.confidence());
    // One that is no number is none; percents as in pictures.
    let share = if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) };
    // The plate takes in the spaces around the name.
    match form {
        Form::Bar(cells) => {
            let bar = terminal.colored_bar(&terminal.bar(share, cells), label);
            format!(" {} {bar} {:.0}%", terminal.plate(&format!(" {label} "), label), share * 100.0)
        }
        Form::Number => format!(" {} {:.0}%", terminal.plate(&format!(" {label}"), label), share * 100.0),
        Form::Name => format!(" {}", terminal.plate(&format!(" {label}"), label)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emocam::flow::emotion::{Emotion, Probabilities};
    use emocam::flow::frame::{FaceBox, Frame};

    const PLAIN: Terminal = Terminal { colors: Colors::None, has_blocks: true, can_erase: true };
    const ASCII: Terminal = Terminal { has_blocks: false, ..PLAIN };
    const COLORED: Terminal = Terminal { colors: Colors::True, ..PLAIN };
    const PALETTE: Terminal = Terminal { colors: Colors::Palette, ..PLAIN };

    /// Faces with the same emotion, sure of it.
    fn annotated(faces: usize, emotion: Emotion) -> Labelled {
        let face = FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0, score: 3.0 };
        let mut logits = [0.0; Emotion::COUNT];
        logits[emotion.index()] = 50.0;
        let probabilities = Probabilities::from_logits(&logits);
        Labelled {
            frame: Frame::new(0, Duration::ZERO, (1, 1), [0; 3].into()),
            predictions: vec![Prediction::new(0, face, probabilities); faces],
            ignored: 0,
            unlabelled: Vec::new(),
            events: Vec::new(),
            timing: emocam::flow::labelled::Timing::default(),
            picture: None,
        }
    }

    fn happy(faces: usize) -> Labelled {
        annotated(faces, Emotion::Happy)
    }

    fn plain(annotated: &Labelled, meter: &str, width: usize) -> String {
        line(annotated, meter, width, PLAIN).0
    }

    /// What a terminal shows of a text: all but the escape sequences that switch colors.
    fn seen(text: &str) -> String {
        let mut parts = text.split("\x1b[");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |seen, part| seen + part.split_once('m').expect("a sequence that ends").1)
    }

    #[test]
    fn each_face_has_a_name_a_bar_and_a_number() {
        assert_eq!(plain(&happy(0), "30.0 fps  9 ms", 80), "0 faces  |  30.0 fps  9 ms");
        assert_eq!(plain(&happy(1), "9 ms", 80), "1 face  Happy  ██████████ 100%  |  9 ms");
        assert_eq!(line(&happy(1), "", 80, ASCII).0, "1 face  Happy  ########## 100%");
        let mut doubtful = happy(2);
        doubtful.predictions[1].unsure = true;
        doubtful.predictions[1].probabilities = Probabilities::from_logits(&[0.0; Emotion::COUNT]);
        assert_eq!(plain(&doubtful, "", 80), "2 faces  Happy  ██████████ 100%  Unsure  █▍         14%");
    }

    #[test]
    fn what_has_no_room_gives_way_bars_then_faces_then_the_meter() {
        let three = |width| plain(&happy(3), "9 ms", width);
        assert_eq!(three(80), "3 faces  Happy  ██████ 100%  Happy  ██████ 100%  Happy  ██████ 100%  |  9 ms");
        assert_eq!(three(70), "3 faces  Happy  ███ 100%  Happy  ███ 100%  Happy  ███ 100%  |  9 ms");
        assert_eq!(three(60), "3 faces  Happy 100%  Happy 100%  Happy 100%  |  9 ms");
        assert_eq!(three(46), "3 faces  Happy 100%  Happy 100%  ...  |  9 ms");
        assert_eq!(three(33), "3 faces  Happy 100%  ...  |  9 ms");
        assert_eq!(three(32), "3 faces  Happy 100%  ...");
        assert_eq!(three(23), "3 faces  Happy  ...");
        assert_eq!(three(18), "3 faces  Happy");
        assert_eq!((three(13), three(4), three(0)), ("3 faces".into(), "3 fa".into(), String::new()));
        assert_eq!(plain(&happy(1), "30.0 fps  9 ms", 31), "1 face  Happy  ██████████ 100%");
        assert_eq!(plain(&happy(0), "30.0 fps  9 ms", 19), "0 faces");
    }

    #[test]
    fn in_twenty_columns_there_is_still_the_name_of_a_face() {
        for emotion in Emotion::ALL {
            for faces in [1, 2, 16] {
                let line = plain(&annotated(faces, emotion), "30.0 fps  9 ms", 19);
                assert!(line.contains(emotion.name()), "{line}");
            }
        }
    }

    #[test]
    fn no_line_is_wider_than_there_is_room_for_and_colors_take_none() {
        for terminal in [PLAIN, ASCII, COLORED, PALETTE] {
            for faces in [0, 1, 3, 16] {
                for width in 0..100 {
                    let annotated = annotated(faces, Emotion::ALL[faces % 7]);
                    let (text, columns) = line(&annotated, "30.0 fps  9 ms", width, terminal);
                    assert_eq!(seen(&text).chars().count(), columns, "{text:?}");
                    assert!(columns <= width, "{text:?}");
                    if terminal != ASCII {
                        assert_eq!(seen(&text), plain(&annotated, "30.0 fps  9 ms", width));
                    }
                    assert!(terminal != ASCII || text.is_ascii(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn a_face_has_the_color_of_its_emotion() {
        let (text, _) = line(&happy(1), "", 80, COLORED);
        let (plate, bar) = ("38;2;0;0;0;48;2;237;225;63", "38;2;237;225;63;48;2;70;74;80");
        assert_eq!(text, format!("1 face \x1b[{plate}m Happy \x1b[0m \x1b[{bar}m██████████\x1b[0m 100%"));
    }

    #[test]
    fn a_network_without_numbers_still_gives_a_line() {
        let mut broken = happy(1);
        broken.predictions[0].probabilities = Probabilities::from_logits(&[f32::NAN; Emotion::COUNT]);
        assert_eq!(plain(&broken, "", 80), "1 face  Anger  ▏          0%");
    }
}
