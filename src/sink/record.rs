//! What made an output: of which input, by which version and weights, with which settings, and whether it is whole.
//!
//! Owns the form of that, which `emocam help data` documents, where it is, and how it is found again. A video and a picture
//! have it inside, a summary and statistics as a field, data in a small file beside them. It is JSON in all of them, and is
//! found by how it begins, near the end of a file or near its front; so whatever is left of a file that was cut off can
//! be asked, too. By it a run knows what is done already, and what it may replace: what it made itself, and nothing else.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::source::SourceSpec;

/// The version of the form. It changes only when an old reader would misread a new record.
const FORM: u32 = 1;

/// How a record begins, but for white space. A quote inside a text has a backslash before it, so no text can hold this.
const BEGINNING: &[u8] = b"\"emocam_record\":";

/// The most bytes from the end or the front of a file in which a record is looked for.
const REACH: u64 = 64 * 1024;

/// How much of an input's content is looked at: so many bytes from its front and from its end.
const SAMPLE: u64 = 64 * 1024;

/// What made an output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The first field: see [`BEGINNING`].
    emocam_record: u32,
    /// The command: `annotate` or `live`.
    pub command: String,
    /// The program's version.
    pub version: String,
    /// SHA-256 of the file of weights.
    pub weights: String,
    /// Of what it was made; several in the statistics of several inputs.
    pub inputs: Vec<Input>,
    /// The options that an output depends on, by their names; `null` for the default.
    pub settings: Map<String, Value>,
    /// Whether all that the run was to write is there.
    pub whole: bool,
    /// The length of the data that the record lies beside, once they are whole: what somebody changed is theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// An input, and how to know it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The name without the folders, or that of a camera.
    pub name: String,
    /// Of the file, or of all pictures of a folder together.
    pub bytes: Option<u64>,
    /// A hash of its length, front and end; `None` for what can't be had again, such as a camera or a pipe.
    pub sample: Option<String>,
}

impl Input {
    /// What a source names. An input that can't be read is known by its name alone: opening it will tell.
    pub fn of(source: &SourceSpec) -> Self {
        let (path, name) = match source {
            SourceSpec::Path(path) => (path, path.file_name().unwrap_or(path.as_os_str())),
            // It is a part of the version.
            SourceSpec::Demo => return Self { sample: Some("demo".to_owned()), ..Self::named("demo") },
            other => return Self::named(&other.to_string()),
        };
        let mut hash = Sha256::new();
        let bytes = if path.is_dir() { sample_folder(path, &mut hash) } else { sample(path, &mut hash) };
        let sample = bytes.map(|_| hex::encode(&hash.finalize()[..16]));
        Self { bytes, sample, ..Self::named(&name.to_string_lossy()) }
    }

    /// What can't be had again.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), bytes: None, sample: None }
    }
}

/// Takes in the length, the front and the end of an ordinary file. Returns its length.
fn sample(path: &Path, hash: &mut Sha256) -> Option<u64> {
    let (mut file, length) = ordinary(path)?;
    hash.update(length.to_le_bytes());
    for start in [0, length.saturating_sub(SAMPLE)] {
        hash.update(&read(&mut file, start, SAMPLE)?);
    }
    Some(length)
}

/// The same for each picture of a folder, by name.
fn sample_folder(folder: &Path, hash: &mut Sha256) -> Option<u64> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut pictures: Vec<PathBuf> = entries.filter(|path| SourceSpec::Path(path.clone()).is_one_picture()).collect();
    pictures.sort();
    let mut bytes = 0;
    for picture in &pictures {
        hash.update(picture.file_name()?.as_encoded_bytes());
        bytes += sample(picture, hash)?;
    }
    Some(bytes)
}

/// Opens a file and tells its length. A pipe or a device would have to be waited for, so it is not even opened.
fn ordinary(path: &Path) -> Option<(File, u64)> {
    let length = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.len();
    Some((File::open(path).ok()?, length))
}

/// At most so many bytes from a place on.
fn read(file: &mut File, start: u64, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start)).ok()?;
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

impl Record {
    /// The record of this program, of no input yet.
    pub fn new(command: &str, weights: String, settings: Map<String, Value>) -> Self {
        let (command, version) = (command.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        Self { emocam_record: FORM, command, version, weights, inputs: vec![], settings, whole: false, bytes: None }
    }

    /// The same, of these inputs.
    #[must_use]
    pub fn of(&self, inputs: Vec<Input>) -> Self {
        Self { inputs, ..self.clone() }
    }

    /// The same, of an output that is whole or not.
    #[must_use]
    pub fn ended(&self, whole: bool) -> Self {
        Self { whole, ..self.clone() }
    }

    /// As one line of JSON.
    pub(super) fn text(&self) -> String {
        // Nothing in it can fail to be written: its keys are texts and its numbers finite.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What an output would be made of, or with, that another one was not; empty where both are of one job. Without a sample
    /// of their input no two are.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.command != other.command {
            found.push(format!("it is of `emocam {}`", other.command));
        }
        if self.version != other.version {
            found.push(format!("it is of emocam {}, this is {}", other.version, self.version));
        }
        if self.weights != other.weights {
            let [theirs, ours] = [other, self].map(|record| record.weights.get(..12).unwrap_or(&record.weights));
            found.push(format!("it was made with other weights ({theirs}, now {ours})"));
        }
        if self.inputs != other.inputs || self.inputs.iter().any(|input| input.sample.is_none()) {
            found.push(different_input(&self.inputs, &other.inputs));
        }
        let news = self.settings.keys().filter(|name| !other.settings.contains_key(*name));
        for name in other.settings.keys().chain(news) {
            let [theirs, ours] = [other, self].map(|record| record.settings.get(name).unwrap_or(&Value::Null));
            if theirs != ours {
                let option = format!("--{}", name.replace('_', "-"));
                found.push(format!("it was made {}, now {}", with(&option, theirs), with(&option, ours)));
            }
        }
        found
    }

    /// Whether another output is of the same job, be it whole or not.
    pub(super) fn is_same_job(&self, other: &Self) -> bool {
        self.differences(other).is_empty()
    }

    /// Of what it was made, for people.
    pub(super) fn origin(&self) -> String {
        let names: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        format!("of {}, by emocam {} {}", names.join(" and "), self.version, self.command)
    }

    /// The record in a file, whatever its form.
    pub fn inside(path: &Path) -> Option<Self> {
        let (mut file, length) = ordinary(path)?;
        // The end first: a video that is whole has the record of its beginning, too.
        let places = [length.saturating_sub(REACH), 0];
        places.into_iter().find_map(|start| last_in(&read(&mut file, start, REACH)?))
    }
}

/// The last record in some bytes.
fn last_in(bytes: &[u8]) -> Option<Record> {
    let places = (0..bytes.len()).rev().filter(|&place| bytes[place..].starts_with(BEGINNING));
    places.filter_map(|place| bytes[..place].iter().rposition(|byte| !byte.is_ascii_whitespace())).find_map(|start| {
        let record = serde_json::Deserializer::from_slice(&bytes[start..]).into_iter::<Record>().next()?.ok()?;
        (record.emocam_record == FORM).then_some(record)
    })
}

fn with(option: &str, value: &Value) -> String {
    match value {
        Value::Null => format!("without {option}"),
        Value::Bool(true) => format!("with {option}"),
        Value::String(text) => format!("with {option} {text}"),
        other => format!("with {option} {other}"),
    }
}

fn different_input(ours: &[Input], theirs: &[Input]) -> String {
    let ([ours], [theirs]) = (ours, theirs) else { return "it was made of other inputs".to_owned() };
    let bytes = |input: &Input| input.bytes.map_or_else(String::new, |bytes| format!(", {bytes} bytes"));
    if ours.name != theirs.name || ours.bytes != theirs.bytes {
        let about = |input: &Input| format!("{}{}", input.name, bytes(input));
        return format!("it was made of another input ({}; now {})", about(theirs), about(ours));
    }
    if ours.sample.is_some() && theirs.sample.is_some() {
        return format!("it was made of another {} of the same length", ours.name);
    }
    format!("it can't be known whether it was made of the same {}", ours.name)
}

/// The name of the file with the record of data.
pub(super) fn beside(data: &Path) -> PathBuf {
    let mut name = data.as_os_str().to_os_string();
    name.push(".record.json");
    name.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(settings: &Value) -> Record {
        let input = Input { sample: Some("5a".to_owned()), bytes: Some(7), ..Input::named("a \"b\".mp4") };
        let settings = settings.as_object().expect("an object").clone();
        Record::new("annotate", "0123456789abcdef".to_owned(), settings).of(vec![input])
    }

    #[test]
    fn it_says_what_differs() {
        let ours = record(&json!({ "frames": null, "privacy": "blur", "min_face": 20 }));
        assert_eq!(ours.differences(&ours.ended(true)), [""; 0]);
        let theirs = record(&json!({ "frames": 5, "privacy": "blur" }));
        let found = ours.differences(&theirs);
        let expected =
            ["it was made with --frames 5, now without --frames", "without --min-face, now with --min-face 20"];
        assert!(found.len() == 2 && found[0] == expected[0] && found[1].ends_with(expected[1]), "{found:?}");
        let mut theirs = Record { version: "0.0.1".to_owned(), weights: "f".to_owned(), ..ours.clone() };
        theirs.inputs[0].bytes = Some(8);
        theirs.command = "live".to_owned();
        let found = ours.differences(&theirs).join("\n");
        for word in ["`emocam live`", "emocam 0.0.1", "weights (f, now 0123456789ab)", "8 bytes; now", "7 bytes"] {
            assert!(found.contains(word), "{word}: {found}");
        }
        // A camera is never the same again.
        let camera = Record { inputs: vec![Input::named("camera 0")], ..ours };
        assert_eq!(camera.differences(&camera).len(), 1);
    }

    #[test]
    fn it_is_found_in_any_file_the_last_one_first_and_never_in_a_text() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        let (first, last) = (record(&json!({})), record(&json!({ "frames": 5 })).ended(true));
        let noise = vec![b'{'; 200_000];
        let found = |parts: &[&[u8]]| {
            fs::write(&path, parts.concat()).expect("a file");
            Record::inside(&path)
        };
        let (head, tail) = (first.text(), format!("{:#}", serde_json::to_value(&last).expect("JSON")));
        assert_eq!(found(&[b"\0\0", head.as_bytes(), &noise]), Some(first.clone()));
        assert_eq!(found(&[head.as_bytes(), &noise, tail.as_bytes(), b"}\n"]), Some(last.clone()));
        assert_eq!(found(&[head.as_bytes(), tail.as_bytes()]), Some(last));
        assert_eq!(found(&[&noise, head.as_bytes(), &noise]), None);
        // Cut off, of a form to come, and in the name of a file.
        assert_eq!(found(&[&head.as_bytes()[..head.len() - 2]]), None);
        assert_eq!(found(&[Record { emocam_record: 2, ..first.clone() }.text().as_bytes()]), None);
        let mut named = first;
        named.inputs[0].name = "{\"emocam_record\":1}".to_owned();
        assert_eq!(found(&[named.text().as_bytes()]), Some(named));
        assert_eq!(Record::inside(folder.path()), None);
    }

    #[test]
    fn an_input_is_known_by_its_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.mp4");
        let spec = SourceSpec::Path(path.clone());
        let mut bytes = vec![1; 300_000];
        let mut input = |change: Option<usize>| {
            change.into_iter().for_each(|place| bytes[place] += 1);
            fs::write(&path, &bytes).expect("a file");
            Input::of(&spec)
        };
        let (whole, again, front, end) = (input(None), input(None), input(Some(9)), input(Some(299_999)));
        assert_eq!((whole.bytes, whole.name.as_str()), (Some(300_000), "a.mp4"));
        assert_eq!(whole, again);
        assert!(whole != front && front != end);
        fs::remove_file(&path).expect("a file");
        assert_eq!(Input::of(&spec), Input::named("a.mp4"));
        // A folder is what its pictures are.
        let folder_spec = SourceSpec::Path(folder.path().into());
        let empty = Input::of(&folder_spec);
        fs::write(folder.path().join("a.txt"), "text").expect("a file");
        assert_eq!(Input::of(&folder_spec), empty);
        fs::write(folder.path().join("a.png"), "picture").expect("a file");
        assert_eq!(Input::of(&folder_spec).bytes, Some(7));
    }
}
