//! Names of outputs with variables in braces, which stand for what an input is called: `out/{folder}/{name}.csv`.
//!
//! Owns the variables of inputs and what becomes of a path with them. Those of frames and faces, `{frame}` and `{id}`, are
//! filled in by whoever writes pictures.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::picture_file::is_picture;

/// Each variable of an input, and what it is.
const OF_INPUTS: [&str; 3] = ["name", "folder", "extension"];

/// Those of pictures.
const OF_PICTURES: [&str; 2] = ["frame", "id"];

/// What an input is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// Without folders and ending.
    pub name: OsString,
    /// The folder that it is in, below the one that all inputs share; may be empty.
    pub folder: PathBuf,
    /// What follows the last point of its name; may be empty.
    pub extension: OsString,
}

/// A piece of a name.
enum Piece<'a> {
    Text(&'a str),
    Variable(&'a str),
}

/// A name in pieces. A brace without its other one is text.
fn pieces(name: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some((before, from)) = rest.split_once('{')
        && let Some((variable, after)) = from.split_once('}')
    {
        pieces.extend([Piece::Text(before), Piece::Variable(variable)]);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// The variables in a path, in order.
fn variables(path: &Path) -> Vec<&str> {
    let variable = |piece| if let Piece::Variable(name) = piece { Some(name) } else { None };
    path.iter().filter_map(OsStr::to_str).flat_map(pieces).filter_map(variable).collect()
}

/// Refuses variables that do not exist, or that have no meaning where they are.
pub(super) fn check(path: &Path) -> Result<()> {
    let known = [&OF_INPUTS[..], &OF_PICTURES].concat();
    let folders = path.parent().map(variables).unwrap_or_default();
    let is_picture = is_picture(path);
    for (place, variable) in variables(path).into_iter().enumerate() {
        if !known.contains(&variable) {
            bail!(
                "there is no variable {{{variable}}}: {{name}}, {{folder}} and {{extension}} are the input's, {{frame}} and \
                 {{id}} count in names of pictures"
            );
        }
        ensure!(
            OF_INPUTS.contains(&variable) || (is_picture && place >= folders.len()),
            "{{{variable}}} counts pictures, so it belongs in the name of a .png or .jpg, and not in that of a folder"
        );
    }
    Ok(())
}

/// Whether a path differs from input to input.
pub(super) fn names_input(path: &Path) -> bool {
    variables(path).iter().any(|variable| OF_INPUTS.contains(variable))
}

/// The path of an input's output.
pub(super) fn filled(path: &Path, of: &Variables) -> PathBuf {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => filled_name(name, of),
        other => other.as_os_str().to_owned(),
    };
    // A folder that is none leaves no gap behind.
    path.components().map(part).filter(|part| !part.is_empty()).collect()
}

fn filled_name(name: &OsStr, of: &Variables) -> OsString {
    name.to_str().map_or_else(|| name.to_owned(), |text| filled_text(text, of))
}

/// A text with what its variables stand for.
pub(super) fn filled_text(text: &str, of: &Variables) -> OsString {
    let mut filled = OsString::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => filled.push(text),
            Piece::Variable("name") => filled.push(&of.name),
            Piece::Variable("folder") => filled.push(&of.folder),
            Piece::Variable("extension") => filled.push(&of.extension),
            Piece::Variable(other) => filled.push(format!("{{{other}}}")),
        }
    }
    filled
}

/// The folders of a path that are the same for all inputs.
pub(super) fn fixed_folder(path: &Path) -> PathBuf {
    let folders = path.parent().map(Path::components).into_iter().flatten();
    folders.take_while(|folder| variables(folder.as_ref()).is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables_of(name: &str, folder: &str, extension: &str) -> Variables {
        Variables { name: name.into(), folder: folder.into(), extension: extension.into() }
    }

    #[test]
    fn variables_stand_for_what_an_input_is_called() {
        let of = variables_of("video", "group/s1", "mp4");
        for (template, path) in [
            ("out/{name}.csv", "out/video.csv"),
            ("out/{folder}/{name}.jsonl", "out/group/s1/video.jsonl"),
            ("/data/{folder}-{name}-{extension}.csv", "/data/group/s1-video-mp4.csv"),
            ("crops/{name}-{frame}-{id}.png", "crops/video-{frame}-{id}.png"),
            ("{name}/{", "video/{"),
            ("plain.csv", "plain.csv"),
        ] {
            assert_eq!(filled(Path::new(template), &of), Path::new(path));
        }
        // What an input is called is no template itself, and its folder may be none.
        let odd = variables_of("{folder}", "", "");
        assert_eq!(filled(Path::new("{folder}/{name}.csv"), &odd), Path::new("{folder}.csv"));
        assert_eq!(filled(Path::new("out/{folder}/{name}.csv"), &odd), Path::new("out/{folder}.csv"));
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        for path in [
            "out/{name}.csv",
            "{folder}/{name}.mp4",
            "a/{name}-{frame}-{id}.png",
            "{extension}/{frame}.JPG",
            "a}{b.csv",
        ] {
            check(Path::new(path)).expect(path);
        }
        for (path, word) in [
            ("out/{nam}.csv", "no variable {nam}"),
            ("{}.csv", "no variable {}"),
            ("{frame}.csv", "belongs in the name of a .png"),
            ("{id}/{frame}.png", "not in that of a folder"),
        ] {
            let error = check(Path::new(path)).expect_err(path).to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn what_is_fixed_ends_before_the_first_variable() {
        for (path, fixed) in [("out/a/{folder}/b/{name}.csv", "out/a"), ("{name}.csv", ""), ("/x/{name}.csv", "/x")] {
            assert_eq!(fixed_folder(Path::new(path)), Path::new(fixed));
        }
        assert!(names_input(Path::new("{folder}/a.csv")) && !names_input(Path::new("a/{frame}.png")));
    }
}
