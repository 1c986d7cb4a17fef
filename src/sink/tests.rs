use std::ffi::OsStr;
use std::fs;
use std::time::Duration;

use super::*;
use crate::flow::emotion::{Emotion, Prediction, Probabilities};
use crate::flow::frame::{FaceBox, Frame};
use crate::flow::labelled::Timing;

/// A frame of a gradient, with predictions.
pub(crate) fn labelled(id: u64, nanoseconds: u64, width: u32, height: u32, predictions: Vec<Prediction>) -> Labelled {
    let picture = RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, (id * 5 % 256) as u8])
    });
    let frame = Frame::new(id, Duration::from_nanos(nanoseconds), (width, height), picture.into_raw().into());
    Labelled {
        frame,
        predictions,
        ignored: 0,
        unlabelled: Vec::new(),
        events: Vec::new(),
        timing: Timing::default(),
        picture: None,
    }
}

pub(crate) fn prediction(id: u64, place: [f32; 4], score: f32, probabilities: [f32; Emotion::COUNT]) -> Prediction {
    let [x, y, width, height] = place;
    // The softmax of logarithms gives the probabilities back.
    let probabilities = Probabilities::from_logits(&probabilities.map(f32::ln));
    Prediction::new(id, FaceBox { x, y, width, height, score }, probabilities)
}

fn spec(name: &str) -> SinkSpec {
    SinkSpec::try_from(OsStr::new(name)).expect("a known output")
}

#[test]
fn the_extension_picks_the_kind() {
    assert_eq!(spec("-"), SinkSpec::Stdout);
    assert_eq!(spec("a.mp4"), SinkSpec::Video("a.mp4".into()));
    assert_eq!(spec("a.MKV"), SinkSpec::Video("a.MKV".into()));
    assert_eq!(spec("a.json"), SinkSpec::Json("a.json".into()));
    assert_eq!(spec("a.b/c.JSONL"), SinkSpec::Jsonl("a.b/c.JSONL".into()));
    assert_eq!(spec("a.csv"), SinkSpec::Csv("a.csv".into()));
    for name in ["a.png", "a.jpg", "a.JPEG", "50%.png"] {
        assert_eq!(spec(name), SinkSpec::Still(name.into()));
    }
    assert!(matches!(spec("a/%d.png"), SinkSpec::Numbered(_)) && matches!(spec("{frame}.jpg"), SinkSpec::Numbered(_)));
    assert!(matches!(spec("a/{frame}_{id}.png"), SinkSpec::Crops(_)));
    assert_eq!(spec("/dev/video10"), SinkSpec::VirtualCamera("/dev/video10".into()));
    let of_folder = SinkSpec::try_from(OsStr::new("{id}/a.png")).expect_err("a face has no folder").to_string();
    assert!(of_folder.contains("not in that of a folder"), "{of_folder}");
    assert_eq!(spec("new/"), SinkSpec::Stills("new/".into()));
    assert_eq!(spec("new.mp4/"), SinkSpec::Stills("new.mp4/".into()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(spec(&folder.path().to_string_lossy()), SinkSpec::Stills(folder.path().into()));
}

#[test]
fn an_unknown_output_is_told_what_is_known() {
    for name in ["", "out", "out.avi", ".mp4", "mp4"] {
        let error = SinkSpec::try_from(OsStr::new(name)).expect_err(name).to_string();
        for known in [".mp4", ".mkv", ".jsonl", ".json ", ".csv", ".jpg", "folder", "standard output"] {
            assert!(error.contains(known), "{error}");
        }
    }
}

#[test]
fn only_what_encodes_pictures_takes_time() {
    let wanting = |names: &[&str]| names.iter().map(|name| spec(name).takes_time()).collect::<Vec<_>>();
    assert_eq!(wanting(&["-", "a.jsonl", "a.json", "a.csv"]), [false; 4]);
    assert_eq!(wanting(&["a.mkv", "a.png", "a/", "%d.jpg", "{frame}_{id}.jpg"]), [true; 5]);
    assert!(spec("%d.jpg").wants_drawing() && !spec("{frame}_{id}.jpg").wants_drawing());
}

#[test]
fn nothing_is_overwritten_unasked_and_a_missing_folder_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let inside = |name: &str| spec(&folder.path().join(name).to_string_lossy());
    fs::write(folder.path().join("there.csv"), "old").expect("a file");
    fs::write(folder.path().join("file"), "").expect("a file");
    fs::create_dir(folder.path().join("folder.mp4")).expect("a folder");
    let refusal = |spec: &SinkSpec, force| {
        spec.check(OutputOptions { force, ..Default::default() }).expect_err("refused").to_string()
    };

    assert!(refusal(&inside("there.csv"), false).contains("exists already (--force"));
    assert!(inside("there.csv").open(OutputOptions::default()).is_err());
    assert_eq!(fs::read_to_string(folder.path().join("there.csv")).expect("the file"), "old");
    inside("there.csv").check(OutputOptions { force: true, live: true, ..Default::default() }).expect("with force");
    inside("new.csv").check(OutputOptions::default()).expect("a new file");
    assert!(refusal(&inside("folder.mp4"), true).contains("is a folder"));
    assert!(refusal(&inside("none/new.csv"), true).contains("mkdir"));
    assert!(refusal(&inside("none/frames/"), true).contains("mkdir"));
    assert!(refusal(&inside("file/"), true).contains("not a folder"));
    spec("-").check(OutputOptions::default()).expect("standard output is always there");
    assert!(!folder.path().join("new.csv").exists(), "check writes nothing");
}

#[test]
fn the_same_output_twice_is_refused_by_whatever_name() {
    let distinct = |names: &[&str]| check_distinct(&names.iter().map(|name| spec(name)).collect::<Vec<_>>());
    distinct(&["a.csv", "b.csv", "a.jsonl", "-"]).expect("different files");
    for twice in [["-", "-"], ["a.csv", "./a.csv"], ["frames/", "./frames/"], ["src/a.mp4", "src/../src/a.mp4"]] {
        let error = distinct(&twice).expect_err("the same place").to_string();
        assert!(error.contains("twice"), "{error}");
    }
}

#[test]
fn an_array_is_one_wherever_it_ends_and_has_another_name_until_it_is_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (count, ending) in [(0, Ending::Whole), (1, Ending::Whole), (3, Ending::Whole), (2, Ending::CutOff)] {
        let place = |name: &str| folder.path().join(format!("{count}.{name}"));
        let spec = spec(&place("json").to_string_lossy());
        // In `live`, too, where lines of data have their name at once.
        let mut sink = spec.open(OutputOptions { live: true, ..Default::default() }).expect("an empty folder");
        for id in 0..count {
            let _ = sink.write(&labelled(id, id, 2, 2, vec![])).expect("a disk with room");
        }
        assert!(!place("json").exists() && place("part.json").exists());
        sink.finish(ending).expect("a disk with room");
        let name = if ending == Ending::Whole { "json" } else { "part.json" };
        let text = fs::read_to_string(place(name)).expect("the file");
        let array: Vec<serde_json::Value> = serde_json::from_str(&text).expect("an array");
        let frames: Vec<u64> = array.iter().filter_map(|object| object["frame"].as_u64()).collect();
        assert_eq!(frames, (0..count).collect::<Vec<_>>(), "{text}");
        assert_eq!(text.lines().count() as u64, if count == 0 { 1 } else { count + 2 }, "{text}");
    }
}
