//! `annotate` on whole videos: nothing is lost, added or moved, and what is found is right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use emocam::flow::emotion::Emotion;
use emocam::flow::frame::Frame;
use emocam::flow::labelled::{self, Timing};
use emocam::sink::{Ending, OutputOptions, SinkSpec};
use emocam::source::SourceSpec;
use image::RgbImage;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{
    self, assert_exit, demo_clip, emocam, fail, ffmpeg, ffprobe, json_lines, lines_of, names_in, run_within, shared,
    skip, succeed, temporary_folder,
};

/// Some hundred frames on a busy machine.
const LONG_LIMIT: Duration = Duration::from_secs(400);

/// A video as ffprobe sees it, all frames decoded.
#[derive(Debug)]
struct Facts {
    codec: String,
    size: (u64, u64),
    frames: usize,
    seconds: f64,
}

fn facts(path: &Path) -> Facts {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-count_frames", "-select_streams", "v:0", "-of", "json", "-show_entries"]);
    command.arg("stream=codec_name,width,height,nb_read_frames:format=duration").arg(path);
    let output = common::run(&mut command);
    assert_exit(&output, 0, &[]);
    // It complains and still ends with 0.
    assert!(output.stderr.is_empty(), "{}", common::text(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let stream = &json["streams"][0];
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{json}")).to_owned();
    Facts {
        codec: text(&stream["codec_name"]),
        size: (stream["width"].as_u64().expect("a width"), stream["height"].as_u64().expect("a height")),
        frames: text(&stream["nb_read_frames"]).parse().expect("a count"),
        seconds: text(&json["format"]["duration"]).parse().expect("a duration"),
    }
}

/// The same frames, size and duration, as H.264.
fn assert_same_video(input: &Path, output: &Path) {
    let (before, after) = (facts(input), facts(output));
    assert_eq!(after.codec, "h264");
    assert_eq!((before.size, before.frames), (after.size, after.frames));
    let frame_time = before.seconds / before.frames as f64;
    assert!((before.seconds - after.seconds).abs() < frame_time, "{before:?}, {after:?}");
}

/// What one run made of a clip; made once for all tests.
struct Labelled {
    /// Holds the outputs.
    folder: TempDir,
    input: PathBuf,
    lines: Vec<Value>,
}

impl Labelled {
    fn new(input: PathBuf) -> Self {
        let folder = temporary_folder();
        let (video, json) = (folder.path().join("out.mp4"), folder.path().join("out.jsonl"));
        let mut command = emocam();
        command.arg("annotate").arg(&input).arg("-o").arg(&video).arg("-o").arg(&json);
        assert_exit(&run_within(&mut command, LONG_LIMIT), 0, &[]);
        let lines = json_lines(&json);
        Self { folder, input, lines }
    }

    fn video(&self) -> PathBuf {
        self.folder.path().join("out.mp4")
    }

    /// Numbers and times of the lines are those of the input's frames.
    fn assert_every_frame(&self) {
        let mut source = SourceSpec::Path(self.input.clone()).open().expect("the clip");
        for (index, line) in self.lines.iter().enumerate() {
            let frame = source.next_frame().expect("the clip").expect("no more lines than frames");
            assert_eq!((&line["frame"], frame.id), (&Value::from(index), index as u64));
            let time = line["time_s"].as_f64().expect("a time");
            assert!((time - frame.pts.as_secs_f64()).abs() < 1e-5, "frame {index} at {time} s");
        }
        assert!(source.next_frame().expect("the clip").is_none(), "more frames than lines");
    }
}

/// A woman who first cries and then smiles: 640x360, with B-frames.
fn crying_to_smiling(test: &str) -> Option<&'static Labelled> {
    static RUN: OnceLock<Labelled> = OnceLock::new();
    let clip = shared().map(|folder| folder.join("data/clips/crying_to_smiling_640x360.mp4"));
    let Some(clip) = clip.filter(|clip| clip.is_file()) else {
        skip(test, "the shared clips are not there");
        return None;
    };
    if !ffmpeg() {
        skip(test, "ffmpeg is not installed");
        return None;
    }
    Some(RUN.get_or_init(|| Labelled::new(clip)))
}

#[test]
fn the_demo_is_annotated_frame_by_frame() {
    let demo = Labelled::new(demo_clip());
    assert_eq!(demo.lines.len(), 240);
    demo.assert_every_frame();
    // The face is there at first, leaves the picture and comes back.
    let seen: Vec<usize> = demo.lines.iter().map(|line| line["faces"].as_array().expect("a list").len()).collect();
    assert_eq!((seen[0], seen[239]), (1, 1));
    assert!(seen.contains(&0) && seen.iter().all(|&faces| faces <= 1), "{seen:?}");
    if ffprobe() {
        assert_same_video(&demo.input, &demo.video());
    } else {
        skip("the_demo_is_annotated_frame_by_frame", "ffprobe is not installed; the video was not looked at");
    }
}

#[test]
fn a_clip_keeps_its_frames_size_and_duration() {
    const TEST: &str = "a_clip_keeps_its_frames_size_and_duration";
    let Some(clip) = crying_to_smiling(TEST) else { return };
    assert_eq!(clip.lines.len(), 472);
    clip.assert_every_frame();
    if !ffprobe() {
        return skip(TEST, "ffprobe is not installed; the video was not looked at");
    }
    assert_same_video(&clip.input, &clip.video());
}

#[test]
fn the_face_of_a_clip_is_found_in_nine_of_ten_frames() {
    let Some(clip) = crying_to_smiling("the_face_of_a_clip_is_found_in_nine_of_ten_frames") else { return };
    let with_face = clip.lines.iter().filter(|line| !line["faces"][0].is_null()).count();
    assert!(10 * with_face >= 9 * clip.lines.len(), "{with_face} of {}", clip.lines.len());
}

/// How often each emotion leads, and its mean probability, over the largest face of each frame in a span of time.
fn account(lines: &[Value], span: std::ops::Range<f64>) -> ([usize; 7], [f64; 7]) {
    let (mut leads, mut means) = ([0; 7], [0.0; 7]);
    let in_span = |line: &&Value| span.contains(&line["time_s"].as_f64().expect("a time"));
    for face in lines.iter().filter(in_span).map(|line| &line["faces"][0]).filter(|face| !face.is_null()) {
        for emotion in Emotion::ALL {
            leads[emotion.index()] += usize::from(face["emotion"] == emotion.name());
            means[emotion.index()] += face["probabilities"][emotion.name()].as_f64().expect("a probability");
        }
    }
    let faces = leads.iter().sum::<usize>().max(1) as f64;
    (leads, means.map(|mean| mean / faces))
}

#[track_caller]
fn assert_leads(expected: Emotion, (leads, means): ([usize; 7], [f64; 7])) {
    let listing: Vec<_> =
        Emotion::ALL.iter().map(|e| format!("{e} {} {:.3}", leads[e.index()], means[e.index()])).collect();
    for emotion in Emotion::ALL.into_iter().filter(|&emotion| emotion != expected) {
        let leading = leads[expected.index()] > leads[emotion.index()];
        let likelier = means[expected.index()] > means[emotion.index()];
        assert!(leading && likelier, "{expected} should lead; frames and mean probability: {}", listing.join(", "));
    }
}

#[test]
fn the_clip_begins_sad() {
    let Some(clip) = crying_to_smiling("the_clip_begins_sad") else { return };
    assert_leads(Emotion::Sad, account(&clip.lines, 0.0..5.0));
}

#[test]
fn the_clip_ends_happy() {
    let Some(clip) = crying_to_smiling("the_clip_ends_happy") else { return };
    let end = clip.lines.last().expect("a line")["time_s"].as_f64().expect("a time");
    assert_leads(Emotion::Happy, account(&clip.lines, end - 5.0..f64::INFINITY));
}

#[test]
fn frames_are_written_as_pictures_to_a_folder() {
    let folder = temporary_folder();
    let stills = folder.path().join("frames");
    let mut command = emocam();
    // The slash says that it is to be a folder.
    succeed(command.args(["live", "demo", "--headless", "--frames", "3", "-o"]).arg(stills.join("")));
    let names = ["frame_000000.png", "frame_000001.png", "frame_000002.png"];
    assert_eq!(names_in(&stills), names);
    let mut demo = SourceSpec::Demo.open().expect("the demo");
    for name in names {
        let still = image::open(stills.join(name)).expect("a picture").to_rgb8();
        let frame = demo.next_frame().expect("the demo").expect("a frame");
        assert_eq!(still.dimensions(), (frame.width, frame.height));
        // A box, a label and bars: something is drawn, and most of the picture is as it was.
        let pixels = still.pixels().zip(frame.rgb.chunks_exact(3));
        let changed = pixels.filter(|(drawn, shown)| drawn.0 != **shown).count();
        assert!((100..still.pixels().len() / 3).contains(&changed), "{name}: {changed} pixels are drawn");
    }
}

#[test]
fn without_ffmpeg_an_ordinary_video_is_refused_with_what_to_install() {
    const TEST: &str = "without_ffmpeg_an_ordinary_video_is_refused_with_what_to_install";
    if !ffmpeg() {
        return skip(TEST, "ffmpeg is not installed, which makes the video");
    }
    let folder = temporary_folder();
    let path = folder.path().join("ordinary.mp4");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=duration=1:rate=25:size=320x240"]);
    let made = common::run(command.args(["-c:v", "libx264", "-bf", "3", "-pix_fmt", "yuv420p"]).arg(&path));
    if !made.status.success() {
        return skip(TEST, "this ffmpeg has no x264");
    }
    let out = folder.path().join("out.jsonl");
    let mut command = emocam();
    command.arg("annotate").arg(&path).arg("-o").arg(&out);
    fail(command.env("PATH", ""), 1, &["ordinary.mp4", "B-frames", "apt install ffmpeg"]);
    assert!(!out.exists());
    succeed(command.env("PATH", std::env::var_os("PATH").unwrap_or_default()));
    assert_eq!(json_lines(&out).len(), 25);
}

#[test]
fn frames_that_a_camera_took_close_to_each_other_are_all_read() {
    const TEST: &str = "frames_that_a_camera_took_close_to_each_other_are_all_read";
    if !ffmpeg() {
        return skip(TEST, "ffmpeg is not installed, which reads the video");
    }
    let folder = temporary_folder();
    let path = folder.path().join("uneven.mp4");
    // As after a moment without processor; the mean rate of these is 10 frames a second.
    let times = [0, 30, 31, 32, 60, 500, 501, 900].map(Duration::from_millis);
    let mut demo = SourceSpec::Demo.open().expect("the demo");
    let mut recorder = SinkSpec::Video(path.clone()).open(OutputOptions::default()).expect("a new file");
    for pts in times {
        let frame = Frame { pts, ..demo.next_frame().expect("the demo").expect("a frame") };
        let picture = RgbImage::from_raw(frame.width, frame.height, frame.rgb.to_vec()).map(Arc::new);
        let timing = Timing::default();
        let annotated = labelled::Labelled {
            frame,
            predictions: Vec::new(),
            ignored: 0,
            unlabelled: Vec::new(),
            events: Vec::new(),
            timing,
            picture,
        };
        assert!(recorder.write(&annotated).expect("a frame is recorded").is_continue());
    }
    recorder.finish(Ending::Whole).expect("the recording is completed");
    let mut video = SourceSpec::Path(path).open().expect("the recording");
    for pts in times {
        let read = video.next_frame().expect("a whole recording").expect("no fewer frames than were written").pts;
        assert!(read.abs_diff(pts) < Duration::from_millis(1), "{read:?} instead of {pts:?}");
    }
    assert!(video.next_frame().expect("the end").is_none());
}

#[test]
fn the_demo_needs_no_ffmpeg() {
    let folder = temporary_folder();
    let out = folder.path().join("out.jsonl");
    let mut command = emocam();
    succeed(command.args(["annotate", "demo", "--frames", "2", "-o"]).arg(&out).env("PATH", ""));
    assert_eq!(fs::read_to_string(&out).expect("a file").lines().count(), 2);
}

/// The times of a video's frames, in seconds, as the program sees them.
fn times(path: &Path, with_ffmpeg: bool) -> Vec<f64> {
    let mut command = emocam();
    command.arg("annotate").arg(path).args(["-o", "-"]);
    if !with_ffmpeg {
        command.env("PATH", "");
    }
    lines_of(&mut command).iter().map(|line| line["time_s"].as_f64().expect("a time")).collect()
}

/// What emocam records, emocam reads: with ffmpeg and with the decoder inside the program alike.
#[test]
fn a_recording_has_the_same_times_for_both_decoders() {
    let folder = temporary_folder();
    let path = folder.path().join("out.mp4");
    succeed(emocam().args(["annotate", "demo", "--frames", "50", "-o"]).arg(&path));
    let built_in = times(&path, false);
    assert_eq!(built_in.len(), 50);
    assert!(built_in.iter().enumerate().all(|(id, time)| (time - id as f64 / 30.0).abs() < 1e-3), "{built_in:?}");
    if !ffmpeg() {
        return skip("a_recording_has_the_same_times_for_both_decoders", "ffmpeg is not installed");
    }
    let by_ffmpeg = times(&path, true);
    assert_eq!(by_ffmpeg.len(), 50);
    assert!(built_in.iter().zip(&by_ffmpeg).all(|(a, b)| (a - b).abs() < 1e-3), "{built_in:?}\n{by_ffmpeg:?}");
}
