//! Files that people own: what is there is not lost, what is done is done of this very input, and a file tells what made
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::{astronaut, demo_clip, emocam, fail, ffprobe, names_in, skip, succeed, temporary_folder, text};

/// A clip of so many frames, without sound.
fn clip(path: &Path, frames: u32) {
    succeed(emocam().args(["annotate", "demo", "--frames", &frames.to_string(), "-o"]).arg(path));
}

fn annotate(inputs: &[&Path], output: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = emocam();
    command.arg("annotate").args(inputs).arg("-o").arg(output);
    command
}

/// The text of a folder with the slash that makes it one.
fn folder_name(path: &Path) -> String {
    format!("{}/", path.display())
}

#[test]
fn an_input_that_bears_the_preliminary_name_of_an_output_stays() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    clip(&file("today.part.mp4"), 3);
    fs::create_dir(file("r")).expect("a folder");
    fs::copy(file("today.part.mp4"), file("r/a.part.mp4")).expect("a copy");
    fs::copy(file("today.part.mp4"), file("a.mp4")).expect("a copy");
    let before = fs::read(file("today.part.mp4")).expect("a video");
    for force in [&[][..], &["--force"]] {
        let words = ["today.part.mp4 is the input itself", "until it is whole", "choose another output"];
        fail(annotate(&[&file("today.part.mp4")], file("today.mp4")).args(force), 1, &words);
        // One input's output and another input.
        let both = [file("a.mp4"), file("r/a.part.mp4")];
        let both = both.each_ref().map(PathBuf::as_path);
        fail(annotate(&both, folder_name(&file("r"))).args(force), 1, &["a.part.mp4"]);
    }
    for name in ["today.part.mp4", "r/a.part.mp4"] {
        assert!(fs::read(file(name)).expect("a video") == before, "{name}");
    }
    assert_eq!(names_in(folder.path()), ["a.mp4", "r", "today.part.mp4"]);
    assert_eq!(names_in(&file("r")), ["a.part.mp4"]);
    fail(annotate(&[&file("a.mp4")], file("b.mp4")).arg("-o").arg(file("b.part.mp4")), 2, &["b.part.mp4", "twice"]);
}

#[test]
fn pictures_that_are_still_to_be_read_are_not_overwritten() {
    let folder = temporary_folder();
    let pictures = folder.path().join("pictures");
    fs::create_dir(&pictures).expect("a folder");
    for number in 0..3 {
        image::RgbImage::new(64, 64 + number).save(pictures.join(format!("{number}.png"))).expect("a PNG");
    }
    let sizes = || [0, 1, 2].map(|number| image::open(pictures.join(format!("{number}.png"))).expect("a PNG").height());
    for output in ["pictures/%d.png", "pictures/../pictures/%d.png"] {
        let words = ["is the input itself or one of its pictures", "choose another output"];
        fail(annotate(&[&pictures], folder.path().join(output)).arg("--force"), 1, &words);
        fail(&mut annotate(&[&pictures], folder.path().join(output)), 1, &["pictures"]);
    }
    assert_eq!(sizes(), [64, 65, 66]);
    succeed(annotate(&[&pictures], pictures.join("labelled_%d.png")).arg("--force"));
    assert_eq!(sizes(), [64, 65, 66]);
}

#[test]
fn what_another_run_left_is_kept_and_its_own_is_made_again() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    // What a recording of `live` leaves that was cut off, and files of somebody else.
    succeed(emocam().args(["live", "demo", "--headless", "--frames", "3", "-o"]).arg(file("x.mp4")));
    fs::rename(file("x.mp4"), file("x.part.mp4")).expect("a file");
    fs::write(file("x.part.csv"), "mine").expect("a file");
    let annotate = |name: &str, frames: &str| {
        let mut command = emocam();
        command.args(["annotate", "demo", "--frames", frames, "-o"]).arg(file(name));
        command
    };
    for name in ["x.mp4", "x.csv"] {
        let part = file(&name.replace("x.", "x.part."));
        let before = fs::read(&part).expect("a file");
        fail(&mut annotate(name, "3"), 1, &["x.part.", "is there", "another run", "--force"]);
        assert!(fs::read(&part).expect("a file") == before, "{name}");
        succeed(annotate(name, "3").arg("--force"));
        // The same job made this one; another one did not.
        fs::rename(file(name), &part).expect("a file");
        fail(&mut annotate(name, "4"), 1, &["is there", "--force"]);
        succeed(&mut annotate(name, "3"));
    }
    assert_eq!(names_in(folder.path()), ["x.csv", "x.csv.record.json", "x.mp4"]);
}

#[test]
fn done_is_what_was_made_of_this_input_with_these_settings() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    for (number, place) in (3..).zip(["p1", "p2"]) {
        fs::create_dir(file(place)).expect("a folder");
        clip(&file(place).join("clip.mp4"), number);
    }
    let results = file("r");
    let run = |place: &str, more: &[&str]| {
        let mut command = annotate(&[&file(place).join("clip.mp4")], folder_name(&results));
        command.args(more);
        command
    };
    let kept =
        || [fs::read(results.join("clip.mp4")), fs::read(results.join("clip.jsonl"))].map(|read| read.expect("a file"));
    let is_done = |command: &mut Command| text(&succeed(command).stderr).contains("1 of 1 inputs are done already");

    // A trial is not the whole.
    assert!(!is_done(&mut run("p1", &["--frames", "2"])));
    assert!(is_done(&mut run("p1", &["--frames", "2"])));
    let before = kept();
    fail(&mut run("p1", &[]), 1, &["exists already", "made with --frames 2, now without", "--force"]);
    assert!(kept() == before);
    assert!(!is_done(&mut run("p1", &["--force"])));
    assert!(is_done(&mut run("p1", &["--threads", "1"])), "what results do not depend on does not count");
    let before = kept();
    for (more, words) in [
        (&["--privacy", "blur"][..], "without --privacy, now with --privacy blur"),
        (&["--min-face", "99"], "--min-face 99"),
        (&["--prior", "balanced"], "--prior"),
        (&["--smoothing", "0"], "with --smoothing 110, now with --smoothing 0"),
    ] {
        fail(&mut run("p1", more), 1, &["exists already", words]);
    }
    // Another video of this name.
    let message = fail(&mut run("p2", &[]), 1, &["clip", "exists already", "made of another input"]);
    assert!(!message.contains("done"), "{message}");
    assert!(kept() == before);
    // A copy elsewhere is the same.
    fs::copy(file("p1/clip.mp4"), file("p2/clip.mp4")).expect("a copy");
    assert!(is_done(&mut run("p2", &[])));
}

#[test]
fn every_output_tells_what_made_it() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    let mut command = emocam();
    command.args(["annotate", "--frames", "3", "--privacy", "box"]).arg(demo_clip());
    for output in ["o.mp4", "o.jsonl", "o.csv", "%d.png"] {
        command.arg("-o").arg(file(output));
    }
    succeed(command.arg("--summary").arg(file("s.json")).arg("--stats").arg(file("stats.json")));
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
    let read = |name: &str| json(&fs::read(file(name)).expect("a file"));
    let check = |record: &Value, name: &str| {
        assert_eq!(record["command"], "annotate", "{name}");
        assert_eq!((&record["version"], &record["whole"]), (&env!("CARGO_PKG_VERSION").into(), &true.into()), "{name}");
        let (input, settings) = (&record["inputs"][0], &record["settings"]);
        let length = fs::metadata(demo_clip()).expect("a file").len();
        assert_eq!((&input["name"], &input["bytes"]), (&"demo.mp4".into(), &length.into()), "{name}");
        assert_eq!((&settings["frames"], &settings["privacy"]), (&3.into(), &"box".into()), "{name}");
        assert_eq!(record["weights"].as_str().map(str::len), Some(64), "{name}");
    };
    for name in ["o.jsonl.record.json", "o.csv.record.json"] {
        check(&read(name), name);
    }
    check(&read("s.json")["record"], "s.json");
    check(&read("stats.json")["record"], "stats.json");
    let picture = fs::read(file("2.png")).expect("a file");
    let start = picture.windows(16).position(|bytes| bytes == b"{\"emocam_record\"").expect("a record");
    check(
        &serde_json::Deserializer::from_slice(&picture[start..]).into_iter().next().expect("JSON").expect("JSON"),
        "PNG",
    );
    if !ffprobe() {
        return skip("every_output_tells_what_made_it", "ffprobe is not installed: the video was not asked");
    }
    let mut probe = Command::new("ffprobe");
    probe
        .args(["-v", "error", "-show_entries", "format_tags=description", "-of", "default=nk=1:nw=1"])
        .arg(file("o.mp4"));
    check(&json(&probe.output().expect("ffprobe starts").stdout), "o.mp4");
}

/// A video with sound, of two seconds.
#[cfg(unix)]
fn with_sound(path: &Path) {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=10:duration=2"])
        .args(["-f", "lavfi", "-i", "sine=duration=2", "-c:v", "libx264", "-c:a", "aac"])
        .arg(path)
        .status();
    assert!(made.expect("ffmpeg starts").success());
}

/// Ctrl-C while the sound is being added: nothing is missing any more, so all outputs get their names.
#[cfg(unix)]
#[test]
fn an_interrupt_in_the_last_step_cuts_nothing_off() {
    use std::os::unix::fs::PermissionsExt;

    let test = "an_interrupt_in_the_last_step_cuts_nothing_off";
    if !crate::common::ffmpeg() {
        return skip(test, "ffmpeg is not installed");
    }
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    with_sound(&file("in.mp4"));
    fs::write(file("out.part.sound"), "mine").expect("a file");
    // Stands before ffmpeg: where that is to write a file, it says so and waits to be let go.
    fs::create_dir(file("bin")).expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let script = "#!/bin/sh\nPATH=${PATH#*:}\nfor last; do :; done\ncase $last in file:*) : > \"$HERE/waits\"\n\
                  while [ ! -e \"$HERE/go\" ]; do sleep 0.05; done;; esac\nexec ffmpeg \"$@\"\n";
    fs::write(file("bin/ffmpeg"), script).expect("a file");
    fs::set_permissions(file("bin/ffmpeg"), fs::Permissions::from_mode(0o755)).expect("a file of ours");
    let mut command = annotate(&[&file("in.mp4")], file("out.mp4"));
    command.arg("-o").arg(file("out.jsonl")).env("HERE", folder.path());
    command.env("PATH", format!("{}:{path}", file("bin").display()));
    let mut running = crate::common::start(&mut command);
    running.wait_for("the sound is being added", || file("waits").exists().then_some(()));
    running.interrupt();
    fs::write(file("go"), "").expect("a file");
    let output = running.finish(crate::common::LIMIT);
    let message = text(&output.stderr);
    let left: Vec<String> = names_in(folder.path()).into_iter().filter(|name| name.starts_with("out")).collect();
    assert_eq!(left, ["out.jsonl", "out.jsonl.record.json", "out.mp4", "out.part.sound"], "{message}");
    assert_eq!(fs::read(file("out.part.sound")).expect("a file"), b"mine");
    assert!(output.status.success() && !message.contains("what was done is in"), "{message}");
}

/// Ctrl-C where no recording tells how far the run came.
#[cfg(unix)]
#[test]
fn an_interrupt_in_the_middle_is_told_whatever_is_written() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    for name in ["pictures", "frames"] {
        fs::create_dir(file(name)).expect("a folder");
    }
    // So many that the run can't be over before it is interrupted.
    let first = file("pictures/0.jpg");
    fs::copy(astronaut(), &first).expect("a picture");
    for number in 1..2000 {
        fs::hard_link(&first, file(&format!("pictures/{number}.jpg"))).expect("a link");
    }
    let mut command = annotate(&[&file("pictures")], file("frames/%d.png"));
    let mut running = crate::common::start(command.arg("-o").arg(file("out.jsonl")));
    let part = file("out.part.jsonl");
    running.wait_for("it has labelled a picture", || fs::metadata(&part).is_ok_and(|it| it.len() > 0).then_some(()));
    running.interrupt();
    let output = running.finish(crate::common::LIMIT);
    crate::common::assert_exit(&output, 1, &["interrupted in input", "what was done is in", "out.part.jsonl"]);
    assert!(part.exists() && !file("out.jsonl").exists());
}
