//! What was found, as text in a terminal: a table of the faces in pictures, and of a video what each face showed, with a line
//! of its time.
//!
//! Owns how that looks. It is gathered while an input is labelled, and told when it ends: only then is it known how wide
//! a table is and how long a video, and no progress bar is in its way.

use std::fmt::Write;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use emocam::flow::emotion::{Emotion, Label};
use emocam::flow::labelled::Labelled;
use emocam::sink::{Account, Ending, Seen, Sink};

use super::terminal::{Colors, Terminal};

/// Cells of a line of time: with its margin, 80 columns.
const CELLS: usize = 70;

/// The most faces of a video that are told of: those that were seen longest.
const MOST_FACES: usize = 8;

/// A label of which a face has shown less than this is not named.
const LEAST_SHARE: f64 = 0.01;

/// What is found in an input.
pub(crate) struct Findings {
    input: String,
    found: Arc<Mutex<Found>>,
}

enum Found {
    /// A row a face, and one for a picture without any.
    Pictures(Vec<Row>),
    Video(Box<Account>),
}

/// File, number of the face, and what it shows; the last two only where there is a face.
struct Row {
    file: Option<Arc<str>>,
    face: Option<(u64, Label, f32)>,
}

/// The end that gathers.
struct Gathering(Arc<Mutex<Found>>);

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink for Gathering {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        let frame = &labelled.frame;
        match &mut *lock(&self.0) {
            Found::Video(account) => account.add(frame.pts, &labelled.predictions, frame.duration),
            Found::Pictures(rows) => {
                let faces = labelled.predictions.iter().map(|face| (face.id, face.label(), face.confidence()));
                let row = |face| Row { file: frame.file.clone(), face };
                if labelled.predictions.is_empty() {
                    rows.push(row(None));
                }
                rows.extend(faces.map(|face| row(Some(face))));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, _: Ending) -> Result<()> {
        if let Found::Video(account) = &mut *lock(&self.0) {
            account.finish();
        }
        Ok(())
    }
}

impl Findings {
    /// Of an input, which is pictures or else moves.
    pub(crate) fn new(input: &str, is_pictures: bool) -> Self {
        let found = if is_pictures { Found::Pictures(Vec::new()) } else { Found::Video(Box::default()) };
        Self { input: input.to_owned(), found: Arc::new(Mutex::new(found)) }
    }

    /// What gathers them from a run.
    pub(crate) fn sink(&self) -> Box<dyn Sink + Send> {
        Box::new(Gathering(Arc::clone(&self.found)))
    }

    pub(crate) fn is_video(&self) -> bool {
        matches!(*lock(&self.found), Found::Video(_))
    }

    /// All of it as text. The first column of a table of pictures is at least as wide as asked for.
    pub(crate) fn text(&self, terminal: Terminal, width: usize, has_heading: bool) -> String {
        match &*lock(&self.found) {
            Found::Pictures(rows) => table(&self.input, rows, terminal, width, has_heading),
            Found::Video(account) => times(&self.input, account, terminal),
        }
    }
}

impl Terminal {
    /// What standard output can show; a file or a pipe gets plain text.
    pub(crate) fn of_output() -> Self {
        let terminal = Self::from_environment();
        if std::io::stdout().is_terminal() { terminal } else { Self { colors: Colors::None, ..terminal } }
    }
}

fn table(input: &str, rows: &[Row], terminal: Terminal, width: usize, has_heading: bool) -> String {
    let folder = input.trim_end_matches('/');
    let names =
        rows.iter().map(|row| row.file.as_ref().map_or_else(|| input.to_owned(), |file| format!("{folder}/{file}")));
    let names: Vec<String> = names.collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let width = width.max(longest).max("file".len());
    let mut text = String::new();
    if has_heading {
        let _ = writeln!(text, "{:width$}  face  label     confidence", "file");
    }
    for (name, row) in names.iter().zip(rows) {
        let end = match row.face {
            None => "   -  no face".to_owned(),
            Some((id, label, confidence)) => {
                let plate = terminal.plate(&format!("{:<8}", label.name()), label);
                format!("{id:>4}  {plate}  {confidence:>10.2}")
            }
        };
        let _ = writeln!(text, "{name:width$}  {end}");
    }
    text
}

fn times(input: &str, account: &Account, terminal: Terminal) -> String {
    let end = account.end();
    let mut faces = account.faces();
    let count = faces.len();
    faces.sort_by_key(|face| (std::cmp::Reverse(face.time), face.id));
    faces.truncate(MOST_FACES);
    faces.sort_by_key(|face| face.id);
    let faces_text = if count == 1 { "1 face".to_owned() } else { format!("{count} faces") };
    let mut text = format!("{input}: {}, {faces_text}\n", clock(end));
    for face in &faces {
        let changes = if face.changes == 1 { "1 change".to_owned() } else { format!("{} changes", face.changes) };
        let _ = writeln!(text, "\nface {}: seen for {}, {changes}", face.id, clock(face.time));
        let _ = writeln!(text, "  {}", shares(face, terminal));
        let _ = writeln!(text, "  {}", line(face, end, terminal));
    }
    if !faces.is_empty() {
        let last = clock(end);
        let _ = writeln!(text, "  {:<gap$}{last}", "0:00", gap = CELLS.saturating_sub(last.len()));
        let letters: Vec<String> = labels().map(|label| format!("{} {label}", letter(label))).collect();
        let _ = writeln!(text, "  {}", letters.join("  "));
    }
    if count > faces.len() {
        let _ = writeln!(text, "  and {} more, seen for less time", count - faces.len());
    }
    text
}

fn labels() -> impl Iterator<Item = Label> {
    Emotion::ALL.map(Label::Emotion).into_iter().chain([Label::Unsure])
}

/// What a face showed, the most frequent first.
fn shares(face: &Seen, terminal: Terminal) -> String {
    let mut shares: Vec<_> = face.shares.iter().filter(|(_, share)| *share >= LEAST_SHARE).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    // A plate has a margin.
    let margin = if terminal.colors == Colors::None { "" } else { " " };
    let shares = shares.into_iter().map(|(label, share)| {
        format!("{} {:.0}%", terminal.plate(&format!("{margin}{}{margin}", label.name()), *label), 100.0 * share)
    });
    shares.collect::<Vec<_>>().join("  ")
}

/// A face's time: each cell has the letter and the color of what was shown for most of it; where it was not seen, a point.
fn line(face: &Seen, end: Duration, terminal: Terminal) -> String {
    let cell = end.as_secs_f64().max(f64::MIN_POSITIVE) / CELLS as f64;
    let mut times = vec![[0.0f64; Emotion::COUNT + 1]; CELLS];
    for spell in &face.spells {
        let (from, to) = (spell.start.as_secs_f64() / cell, spell.end.as_secs_f64() / cell);
        let label = labels().position(|label| label == spell.label).unwrap_or(Emotion::COUNT);
        for (number, shown) in times.iter_mut().enumerate().skip(from as usize).take_while(|(at, _)| (*at as f64) < to)
        {
            shown[label] += (to.min(number as f64 + 1.0) - from.max(number as f64)).max(0.0);
        }
    }
    let cells = times.iter().map(|shown| {
        let most = labels().zip(shown).max_by(|a, b| a.1.total_cmp(b.1)).filter(|(_, time)| **time > 0.0);
        most.map(|(label, _)| label)
    });
    let cells: Vec<Option<Label>> = cells.collect();
    // One color for cells that are alike.
    let runs = cells.chunk_by(|a, b| a == b).map(|run| match run[0] {
        Some(label) => terminal.plate(&letter(label).to_string().repeat(run.len()), label),
        None => ".".repeat(run.len()),
    });
    runs.collect()
}

/// Sad and Surprise, and Unsure, can't have the same letter.
fn letter(label: Label) -> char {
    match label {
        Label::Unsure => '?',
        Label::Emotion(Emotion::Surprise) => '!',
        Label::Emotion(emotion) => emotion.name().chars().next().unwrap_or('?'),
    }
}

/// 1:02:03, 1:02, or, for less than a minute, 12.3 s.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emocam::flow::emotion::{Prediction, Probabilities};
    use emocam::flow::frame::FaceBox;

    const PLAIN: Terminal = Terminal { colors: Colors::None, has_blocks: true, can_erase: true };

    fn face(id: u64, emotion: Emotion) -> Prediction {
        let mut logits = [0.0; Emotion::COUNT];
        logits[emotion.index()] = 9.0;
        let bounds = FaceBox { x: 0.0, y: 0.0, width: 9.0, height: 9.0, score: 5.0 };
        Prediction::new(id, bounds, Probabilities::from_logits(&logits))
    }

    #[test]
    fn a_face_has_a_line_of_its_time() {
        let mut account = Account::default();
        // Ten frames a second: 2 s Sad, 1 s nobody, 4 s Surprise.
        for frame in 0..70u32 {
            let faces = match frame {
                0..20 => vec![face(0, Emotion::Sad)],
                20..30 => vec![],
                _ => vec![face(0, Emotion::Surprise)],
            };
            account.add(Duration::from_millis(100) * frame, &faces, None);
        }
        account.finish();
        let text = times("clip.mp4", &account, PLAIN);
        let line = format!("  {}{}{}\n", "S".repeat(20), ".".repeat(10), "!".repeat(40));
        assert!(text.contains(&line), "{text}");
        assert!(text.starts_with("clip.mp4: 7.0 s, 1 face\n\nface 0: seen for 6.0 s, 1 change\n"), "{text}");
        assert!(text.contains("  Surprise 67%  Sad 33%\n"), "{text}");
        let colored = times("clip.mp4", &account, Terminal { colors: Colors::True, ..PLAIN });
        assert!(colored.contains(&format!("m{}\x1b[0m", "S".repeat(20))), "{colored}");
    }

    #[test]
    fn only_faces_that_were_seen_long_have_a_line() {
        let mut account = Account::default();
        for frame in 0..40u32 {
            let faces =
                (0..12).filter(|id| frame < 20 + *id as u32).map(|id| face(id, Emotion::Happy)).collect::<Vec<_>>();
            account.add(Duration::from_millis(100) * frame, &faces, None);
        }
        account.finish();
        let text = times("clip.mp4", &account, PLAIN);
        assert!(text.starts_with("clip.mp4: 4.0 s, 12 faces\n") && text.contains("and 4 more"), "{text}");
        assert!(!text.contains("face 3:") && text.contains("face 4:") && text.contains("face 11:"), "{text}");
    }

    #[test]
    fn letters_differ() {
        let mut letters: Vec<char> = labels().map(letter).collect();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), Emotion::COUNT + 1);
        let times = [0.0, 12.34, 59.94, 59.96, 3599.6, 3723.0].map(|it| clock(Duration::from_secs_f64(it)));
        assert_eq!(times, ["0.0 s", "12.3 s", "59.9 s", "1:00", "1:00:00", "1:02:03"]);
    }
}
