//! Names of files of which a run writes many: `frames/%06d.png` is one a frame, `faces/{frame}_{id}.jpg` one a face.
//!
//! Owns how such a name is read, made and known again. Only the last component of a path is one; any other word in braces
//! is text here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::template::{self, Variables};
use crate::system::files::folder_of;

/// The least digits of a frame's number where a name does not say how many.
const DIGITS: usize = 6;

/// What stands for the frame's number and for the face's in a name, besides `%d` and `%06d`.
const FRAME: &str = "{frame}";
const ID: &str = "{id}";

/// A part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// As it is.
    Text(String),
    /// The frame's number, with at least so many digits.
    Frame { digits: usize },
    /// The face's number.
    Id,
}

/// How files are named that have numbers in their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naming(Vec<Piece>);

/// A path with such a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    path: PathBuf,
    naming: Naming,
}

impl Default for Naming {
    fn default() -> Self {
        Self(vec![Piece::Text("frame_".into()), Piece::Frame { digits: DIGITS }, Piece::Text(".png".into())])
    }
}

impl Naming {
    /// From a name; `None` where it has no number in it.
    ///
    /// # Errors
    /// When two files could get the same name.
    fn parse(name: &str) -> Result<Option<Self>> {
        let mut pieces = Vec::new();
        let (mut text, mut rest) = (String::new(), name);
        while let Some(next) = rest.chars().next() {
            let (piece, length) = match number_at(rest) {
                Some(found) => found,
                None => {
                    text.push(next);
                    rest = &rest[next.len_utf8()..];
                    continue;
                }
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(piece);
            rest = &rest[length..];
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        let naming = Self(pieces);
        for (count, what) in [(naming.frames(), "the frame"), (naming.ids(), "the face")] {
            ensure!(count <= 1, "{name:?} has the number of {what} {count} times: once is enough");
        }
        naming.check_apart(name)?;
        Ok((naming.frames() + naming.ids() > 0).then_some(naming))
    }

    /// Digits beside digits are one number: 1 and 12 would be 11 and 2.
    fn check_apart(&self, name: &str) -> Result<()> {
        let mut after_number = false;
        for piece in &self.0 {
            match piece {
                Piece::Text(text) if text.bytes().any(|byte| !byte.is_ascii_digit()) => after_number = false,
                Piece::Text(_) => {}
                Piece::Frame { .. } | Piece::Id => {
                    ensure!(
                        !after_number,
                        "{name:?} has nothing between two numbers that parts them: write {FRAME}_{ID}"
                    );
                    after_number = true;
                }
            }
        }
        Ok(())
    }

    fn frames(&self) -> usize {
        self.0.iter().filter(|piece| matches!(piece, Piece::Frame { .. })).count()
    }

    fn ids(&self) -> usize {
        self.0.iter().filter(|piece| matches!(piece, Piece::Id)).count()
    }

    /// The name of a face in a frame, or of the frame, where the face's number has no place.
    pub(super) fn name(&self, frame: u64, id: u64) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Frame { digits } => format!("{frame:0digits$}"),
            Piece::Id => id.to_string(),
        };
        self.0.iter().map(text).collect()
    }

    /// Whether it is the name of any frame or face.
    pub(super) fn is_name(&self, name: &str) -> bool {
        is_name(&self.0, name)
    }
}

fn is_name(pieces: &[Piece], name: &str) -> bool {
    let Some((first, others)) = pieces.split_first() else { return name.is_empty() };
    if let Piece::Text(text) = first {
        return name.strip_prefix(text.as_str()).is_some_and(|rest| is_name(others, rest));
    }
    // The text behind a number may begin with a digit.
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    (1..=digits).any(|count| is_name(others, &name[count..]))
}

/// The number that a text begins with, and the length of what stands for it.
fn number_at(text: &str) -> Option<(Piece, usize)> {
    if text.starts_with(FRAME) {
        return Some((Piece::Frame { digits: DIGITS }, FRAME.len()));
    }
    if text.starts_with(ID) {
        return Some((Piece::Id, ID.len()));
    }
    // As ffmpeg has it.
    let (digits, _) = text.strip_prefix('%')?.split_once('d')?;
    let count = match digits.strip_prefix('0') {
        Some(count) => count.parse().ok().filter(|count| (1..=20).contains(count))?,
        None if digits.is_empty() => 1,
        None => return None,
    };
    Some((Piece::Frame { digits: count }, 2 + digits.len()))
}

impl Pattern {
    /// From a path; `None` where its name has no number in it.
    ///
    /// # Errors
    /// When two files could get the same name.
    pub(super) fn parse(path: &Path) -> Result<Option<Self>> {
        // What is no text has no such words in it.
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
        Ok(Naming::parse(name)?.map(|naming| Self { path: path.to_path_buf(), naming }))
    }

    /// An input's own.
    pub(super) fn of_input(&self, variables: &Variables) -> Self {
        let own = |piece: &Piece| match piece {
            Piece::Text(text) => Piece::Text(template::filled_text(text, variables).to_string_lossy().into_owned()),
            other => other.clone(),
        };
        Self { path: template::filled(&self.path, variables), naming: Naming(self.naming.0.iter().map(own).collect()) }
    }

    /// As it was typed.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the files are.
    pub(super) fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    /// How they are named.
    pub(super) fn naming(&self) -> &Naming {
        &self.naming
    }

    /// Whether each face has a file of its own.
    pub(super) fn is_of_faces(&self) -> bool {
        self.naming.ids() > 0
    }

    /// Whether frames have names of their own.
    pub(super) fn tells_frames_apart(&self) -> bool {
        self.naming.frames() > 0
    }
}

/// The files in a folder that have such names, be they whole or in the making.
pub(super) fn files_in(folder: &Path, naming: &Naming) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_one = |name: &str| naming.is_name(name) || naming.is_name(&name.replace(".part.", "."));
    let files = entries.filter(|entry| is_one(&entry.file_name().to_string_lossy()));
    files.map(|entry| entry.path()).collect()
}

/// Refuses a folder that is a file, or, without `force`, one that holds such files already.
pub(super) fn check(folder: &Path, naming: &Naming, force: bool) -> Result<()> {
    let name = folder.display();
    if !folder.exists() {
        return Ok(());
    }
    ensure!(folder.is_dir(), "{name} can't be written: it is a file, not a folder");
    fs::read_dir(folder).with_context(|| format!("the folder {name} can't be read"))?;
    let files = files_in(folder, naming);
    ensure!(
        force || files.is_empty(),
        "{name} holds {} already, {} for one (--force overwrites them)",
        if naming.ids() > 0 { "faces" } else { "frames" },
        files.first().and_then(|file| file.file_name()).unwrap_or_default().to_string_lossy()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(name: &str) -> Naming {
        Naming::parse(name).expect("names that differ").expect("a number")
    }

    #[test]
    fn a_pattern_names_frames() {
        let pattern = naming("a_%04d_b.png");
        assert_eq!(
            (pattern.name(12, 0), pattern.name(123_456, 0)),
            ("a_0012_b.png".to_owned(), "a_123456_b.png".to_owned())
        );
        assert!(pattern.is_name("a_0012_b.png") && !pattern.is_name("a_x_b.png"));
        assert_eq!(naming("%d.png").name(7, 0), "7.png");
        assert_eq!(naming("frame_{frame}.png"), Naming::default());
        assert!(naming("%d0.png").is_name("70.png") && !naming("%d0.png").is_name("0.png"));
        // A sign of per cent alone is text, and so is a word that means nothing here.
        assert_eq!(naming("50%_{name}_%d.png").name(3, 0), "50%_{name}_3.png");
        for name in ["frame_.png", "frame_12.jpg", "face.png", "frame_1a.png"] {
            assert!(!Naming::default().is_name(name), "{name}");
        }
        for name in ["a.png", "%.png", "%s.png", "%5d.png", "%099d.png", "100%.png", "{name}.png", "{Frame}.png"] {
            assert_eq!(Naming::parse(name).expect("no number, no error"), None, "{name}");
        }
    }

    #[test]
    fn a_pattern_names_faces() {
        let pattern = naming("{frame}_{id}.jpg");
        assert_eq!(pattern.name(12, 3), "000012_3.jpg");
        assert!(pattern.is_name("000012_3.jpg") && !pattern.is_name("000012.jpg") && !pattern.is_name("12_a.jpg"));
        assert_eq!(naming("face {id} of %d.png").name(5, 2), "face 2 of 5.png");
        assert_eq!(naming("ä{id}.png").name(5, 2), "ä2.png");
    }

    #[test]
    fn what_an_input_is_called_is_no_pattern() {
        let pattern = Pattern::parse(Path::new("{folder}/{name}-{frame}_{id}.png")).expect("names that differ");
        let called = Variables { name: "%d{id}".into(), folder: "s1".into(), ..Variables::default() };
        let own = pattern.expect("numbers").of_input(&called);
        assert_eq!((own.folder(), own.naming().name(7, 1).as_str()), (Path::new("s1"), "%d{id}-000007_1.png"));
    }

    #[test]
    fn names_that_two_files_would_share_are_refused() {
        for (name, words) in [
            ("%d%d.png", "2 times"),
            ("{frame}_%d.png", "the frame 2 times"),
            ("{id}{id}.png", "the face 2 times"),
            ("{frame}{id}.png", "nothing between"),
            ("%d0{id}.png", "nothing between"),
        ] {
            let error = Naming::parse(name).expect_err(name).to_string();
            assert!(error.contains(words) && error.contains(name), "{error}");
        }
    }
}
