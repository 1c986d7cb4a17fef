//! The real binary on real files: what each command and option does where all is well. What isn't, is in `bad_input.rs`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use emocam::network::calibration::{ClassPrior, Prior};
use emocam::network::weights::Weights;
use emocam::source::SourceSpec;
use image::RgbImage;

use crate::common::{
    self, LIMIT, assert_exit, astronaut, demo_clip, emocam, fail, frames_of, json_lines, names_in, parsed_lines, run,
    skip, start, succeed, temporary_folder, text,
};
use crate::formats::{assert_schema, faces};

/// The first frame of the demo, which has a face in it, as a picture file.
fn save_face(path: &Path) {
    let mut demo = SourceSpec::Demo.open().expect("the demo");
    let frame = demo.next_frame().expect("the demo").expect("a frame");
    let picture = RgbImage::from_raw(frame.width, frame.height, frame.rgb.to_vec()).expect("a frame of its size");
    picture.save(path).expect("a picture can be saved");
}

#[test]
fn every_command_has_its_help() {
    for (arguments, words) in [
        (&["--help"][..], &["live", "annotate", "cameras", "train", "eval"][..]),
        (
            &["live", "--help"],
            &["SOURCE", "--headless", "--output", "--force", "--frames", "--weights", "--prior", "--unsure"],
        ),
        (&["annotate", "--help"], &["INPUT", "--output", "--force", "--weights", "--prior", "--unsure", "--stats"]),
        (&["cameras", "--help"], &["Usage: emocam cameras"]),
        (&["train", "--help"], &["--data", "--out", "--epochs", "--seed"]),
        (&["eval", "--help"], &["--data", "--weights", "--part", "--out"]),
        (&["--version"], &["emocam 0."]),
    ] {
        let output = succeed(emocam().args(arguments));
        let help = text(&output.stdout);
        for word in words {
            assert!(help.contains(word), "{arguments:?}: {word:?} is not in:\n{help}");
        }
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn with_an_output_standard_output_stays_empty() {
    let folder = temporary_folder();
    let output = succeed(emocam().args(["annotate", "demo", "--frames", "2", "-o"]).arg(folder.path().join("out.csv")));
    assert_eq!(text(&output.stdout), "");
    // What a run ends with.
    let left_out = "faces smaller than 24 pixels were not looked for";
    for word in
        [left_out, "2 frames", "frames a second", "0 dropped", "p50", "p95", "capture", "detect", "classify", "latency"]
    {
        assert!(text(&output.stderr).contains(word), "{word}");
    }
}

#[test]
fn the_prior_is_the_weights_own_or_the_asked_for_one_and_never_silent() {
    let folder = temporary_folder();
    let [without, balanced] =
        ["without", "balanced"].map(|name| folder.path().join(name).with_extension("safetensors"));
    let mut weights = Weights::embedded().expect("the weights inside the program");
    (weights.card.class_prior, weights.card.prior) = (None, Prior::NATURAL);
    fs::write(&without, weights.to_bytes().expect("bytes")).expect("a file");
    let shares = [0.1, 0.01, 0.03, 0.3, 0.36, 0.1, 0.1];
    weights.card.class_prior = Some(ClassPrior { data: shares, learned: shares });
    weights.card.prior = Prior::BALANCED;
    fs::write(&balanced, weights.to_bytes().expect("bytes")).expect("a file");
    let annotate = |weights: &Path, options: &[&str]| {
        let mut command = emocam();
        command.arg("annotate").arg(astronaut()).args(["--device", "cpu", "-o", "-", "--weights"]).arg(weights);
        command.args(options);
        command
    };
    let outcome = |weights: &Path, options: &[&str]| {
        let output = succeed(&mut annotate(weights, options));
        (text(&output.stdout), text(&output.stderr))
    };

    fail(&mut annotate(&without, &["--prior", "balanced"]), 1, &["balanced prior needs weights", "--prior natural"]);
    let (natural, silence) = outcome(&without, &[]);
    assert!(!silence.contains("prior"), "{silence}");
    // The card's own prior, which says so, and says how to be rid of it.
    let (other, notice) = outcome(&balanced, &[]);
    assert_eq!(notice.matches("the prior is balanced").count(), 1, "{notice}");
    assert!(notice.contains("--prior natural"), "{notice}");
    assert_ne!(other, natural);
    let (asked, notice) = outcome(&balanced, &["--prior", "balanced"]);
    assert_eq!(notice.matches("the prior is balanced").count(), 1, "{notice}");
    assert_eq!(asked, other);
    let (overridden, silence) = outcome(&balanced, &["--prior", "natural"]);
    assert!(!silence.contains("prior"), "{silence}");
    assert_eq!(overridden, natural);
}

#[test]
fn a_face_is_boxed_in_the_picture() {
    let folder = temporary_folder();
    let (input, still, json) = ["in.png", "out.png", "out.jsonl"].map(|name| folder.path().join(name)).into();
    save_face(&input);
    succeed(emocam().arg("annotate").arg(&input).arg("-o").arg(&still).arg("-o").arg(&json));
    let [line] = &json_lines(&json)[..] else { panic!("one picture is one line") };
    assert_schema(line);
    let [face] = faces(line) else { panic!("one face: {line}") };
    let (before, after) = (image::open(&input).expect("a picture"), image::open(&still).expect("a picture"));
    let (before, after) = (before.to_rgb8(), after.to_rgb8());
    assert_eq!(before.dimensions(), after.dimensions());
    // The box is drawn where the data say, and the middle of the face is left as it was.
    let of = |key: &str| face["box"][key].as_i64().expect("a whole number") as u32;
    let (x, y, width, height) = (of("x"), of("y"), of("width"), of("height"));
    let changed = |x: u32, y: u32| before.get_pixel(x, y) != after.get_pixel(x, y);
    assert!((0..=4).any(|line| changed(x + line, y + height / 2)), "there is no line on the left");
    assert!((0..=4).any(|line| changed(x + width / 2, y + height - line)), "there is no line at the bottom");
    assert!(!changed(x + width / 2, y + height / 2), "the face is drawn over");
}

#[test]
fn several_inputs_go_to_a_folder_under_their_names() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    save_face(&file("face.png"));
    fs::copy(demo_clip(), file("clip.mp4")).expect("a copy");
    let mut command = emocam();
    command.arg("annotate").args([file("face.png"), file("clip.mp4")]).args(["--frames", "3", "-o"]);
    succeed(command.arg(file("results/")));
    assert_eq!(
        names_in(&file("results")),
        ["clip.jsonl", "clip.jsonl.record.json", "clip.mp4", "face.jsonl", "face.jsonl.record.json", "face.png"]
    );
    assert_eq!(json_lines(&file("results/clip.jsonl")).len(), 3);
    assert_eq!(json_lines(&file("results/face.jsonl")).len(), 1);
}

#[test]
fn live_writes_as_many_frames_as_were_asked_for() {
    let folder = temporary_folder();
    let path = folder.path().join("x.jsonl");
    let output = succeed(emocam().args(["live", "demo", "--headless", "--frames", "30", "-o"]).arg(&path));
    let lines = json_lines(&path);
    assert_eq!(lines.len(), 30);
    for (id, line) in lines.iter().enumerate() {
        assert_schema(line);
        assert_eq!(line["frame"], id);
    }
    assert!(text(&output.stderr).contains("30 frames"));
}

#[test]
fn live_without_a_camera_and_a_display_says_so_and_plays_the_demo() {
    let has_camera = ["/dev", "/sys/class/video4linux"]
        .into_iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .any(|entries| entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("video")));
    if has_camera || !cfg!(target_os = "linux") {
        return skip("live_without_a_camera_and_a_display_says_so_and_plays_the_demo", "there may be a camera");
    }
    let output = succeed(emocam().args(["live", "--frames", "3", "-o", "-"]));
    assert_eq!(parsed_lines(&text(&output.stdout)).len(), 3);
    assert_exit(&output, 0, &["no display", "without a window", "no camera", "the demo"]);

    let output = run(emocam().arg("cameras"));
    assert_exit(&output, 1, &["no camera was found", "/dev/video"]);
    assert_eq!(text(&output.stdout), "");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_run_with_complete_outputs() {
    let folder = temporary_folder();
    let (json, video) = (folder.path().join("out.jsonl"), folder.path().join("out.mp4"));
    let mut command = emocam();
    // Eight seconds, in real time: it can't be over before it is interrupted.
    command.args(["live", "demo", "--headless", "-o"]).arg(&json).arg("-o").arg(&video);
    let mut running = start(&mut command);
    running.wait_for("it has labelled a frame", || fs::metadata(&json).is_ok_and(|file| file.len() > 0).then_some(()));
    running.interrupt();
    assert_exit(&running.finish(LIMIT), 0, &["frames a second"]);
    let lines = json_lines(&json);
    assert!(!lines.is_empty() && lines.len() < 240, "{} frames", lines.len());
    assert_eq!(frames_of(&video), lines.len());
}

#[cfg(unix)]
#[test]
fn annotate_that_was_interrupted_has_failed() {
    let folder = temporary_folder();
    // Enough inputs that the run can't be over before it is interrupted.
    let copies: Vec<_> = (0..50).map(|i| folder.path().join(format!("copy{i}.mp4"))).collect();
    copies.iter().for_each(|copy| _ = fs::copy(common::demo_clip(), copy).expect("a copy"));
    let results = folder.path().join("results");
    fs::create_dir(&results).expect("a folder");
    let mut running = start(emocam().args(["annotate", "demo", "-o"]).arg(&results).args(&copies));
    let first = results.join("demo.part.jsonl");
    running.wait_for("it has labelled a frame", || fs::metadata(&first).is_ok_and(|file| file.len() > 0).then_some(()));
    running.interrupt();
    assert_exit(&running.finish(LIMIT), 1, &["interrupted in input", "of 51", "what was done is in", "demo.part.mp4"]);
    assert_eq!(names_in(&results), ["demo.jsonl.record.json", "demo.part.jsonl", "demo.part.mp4"]);
}

#[cfg(unix)]
#[test]
fn a_second_interrupt_ends_a_run_that_hangs() {
    let folder = temporary_folder();
    let fifo = folder.path().join("picture.png");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo starts");
    assert!(made.success());
    let mut running = start(emocam().arg("annotate").arg(&fifo));
    // Opening the writing end waits for the reader. Then the program waits for a picture that never comes.
    let (sender, writer) = channel();
    thread::spawn(move || sender.send(File::options().write(true).open(fifo)));
    let writer = writer.recv_timeout(LIMIT).expect("the picture is opened").expect("a writing end");
    // Two signals in quick succession may count as one, so it goes on until they were heard.
    let deadline = Instant::now() + LIMIT;
    while !running.has_ended() && Instant::now() < deadline {
        running.interrupt();
    }
    assert_exit(&running.finish(LIMIT), 130, &[]);
    drop(writer);
}

/// A picture that lies on its side shows its face when it is turned, and what is written is as the turned one.
#[test]
fn a_turned_picture_is_seen_and_written_upright() {
    let folder = temporary_folder();
    let path = |name: &str| folder.path().join(name);
    save_face(&path("upright.png"));
    let upright = image::open(path("upright.png")).expect("a picture");
    upright.rotate270().save(path("lying.png")).expect("a picture can be saved");
    let annotate = |input: &str, more: &[&str]| {
        let mut command = emocam();
        command.current_dir(folder.path()).args(["annotate", input, "-o", "-"]).args(more);
        parsed_lines(&text(&succeed(&mut command).stdout))
    };
    let [turned] = &annotate("lying.png", &["--rotate", "90", "-o", "turned.png"])[..] else { panic!("a line") };
    let [expected] = &annotate("upright.png", &["-o", "expected.png"])[..] else { panic!("a line") };
    assert_eq!(turned, expected);
    assert_eq!(faces(turned).len(), 1);
    let picture = |name: &str| image::open(path(name)).expect("a picture").to_rgb8();
    assert!(picture("turned.png") == picture("expected.png"));
    // Larger letters change the picture and no data.
    let large = annotate("upright.png", &["--text-size", "200", "-o", "large.png"]);
    assert_eq!(&large[0], expected);
    assert!(picture("large.png") != picture("expected.png"));
    let record = fs::read(path("large.png")).expect("a picture");
    assert!(String::from_utf8_lossy(&record).contains(r#""rotate":null,"text_size":200"#));
    for (option, value) in [("--rotate", "45"), ("--text-size", "49"), ("--text-size", "401"), ("--text-size", "a")] {
        fail(emocam().args(["annotate", "demo", option, value]), 2, &[option, value]);
    }
}
