//! Recordings that break: killed processes, full disks, folders that can't be written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use emocam::source::SourceSpec;

use crate::common::{emocam, fail, json_lines, lines_of, names_in, skip, start, succeed, temporary_folder, text};

/// The times of a video's frames, in seconds, as far as ffmpeg can play it. The reason to skip where there is no ffmpeg.
fn times_of(path: &Path) -> Result<Vec<f64>, String> {
    let mut command = Command::new("ffprobe");
    command
        .args(["-v", "quiet", "-select_streams", "v", "-show_entries", "frame=pts_time", "-of", "csv=p=0"])
        .arg(path);
    let output = command.output().map_err(|_| "ffprobe is not installed".to_owned())?;
    Ok(text(&output.stdout).lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect())
}

#[test]
fn a_recording_that_is_killed_plays_until_two_seconds_before_at_most() {
    let folder = temporary_folder();
    let (video, lines) = (folder.path().join("out.mp4"), folder.path().join("out.jsonl"));
    let mut command = emocam();
    command.args(["live", "demo", "--headless", "-o"]).arg(&video).arg("-o").arg(&lines);
    let mut running = start(&mut command);
    let count = || fs::read(&lines).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count());
    running.wait_for("it has labelled 5 seconds", || (count() >= 150).then_some(()));
    // Killed by the signal that no process hears.
    drop(running);
    let lines = fs::read_to_string(&lines).expect("data");
    assert!(lines.ends_with('\n'), "the data ends with a whole line");
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().expect("a line")).expect("JSON");
    let last = last["time_s"].as_f64().expect("a time");
    assert_eq!(
        names_in(folder.path()),
        ["out.jsonl", "out.jsonl.record.json", "out.part.mp4"],
        "what is not whole says so"
    );
    let part = folder.path().join("out.part.mp4");
    match times_of(&part) {
        Ok(times) => {
            let played = times.last().copied().unwrap_or(0.0);
            assert!(played >= last - 2.0, "{played} s of {last} s can be played");
        }
        Err(reason) => return skip("a_recording_that_is_killed_plays_until_two_seconds_before_at_most", &reason),
    }
    // It may be all that there is of something, so the next run does not take its place.
    let before = fs::read(&part).expect("the recording");
    let mut again = emocam();
    again.args(["live", "demo", "--headless", "--frames", "2", "-o"]).arg(&video);
    fail(&mut again, 1, &["out.part.mp4 is there", "--force"]);
    assert_eq!(fs::read(&part).expect("the recording"), before);
    succeed(again.arg("--force"));
    assert_eq!(names_in(folder.path()), ["out.jsonl", "out.jsonl.record.json", "out.mp4"]);
}

/// Mounts a file system in memory of this size; it goes with the process of the test, unless `mount` is not allowed.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: &Path, options: &str) -> Result<Self, String> {
        fs::create_dir(place).expect("a folder");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place);
        let output = command.output().map_err(|_| "mount is not installed".to_owned())?;
        if output.status.success() {
            Ok(Self(place.to_path_buf()))
        } else {
            Err("file systems can't be mounted here (run it as root)".to_owned())
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: something may still look at it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_fills_keeps_what_it_has_and_the_reason_is_told() {
    let test = "a_disk_that_fills_keeps_what_it_has_and_the_reason_is_told";
    let folder = temporary_folder();
    let disk = match SmallDisk::mount(&folder.path().join("disk"), "size=600k") {
        Ok(disk) => disk,
        Err(reason) => return skip(test, &reason),
    };
    // The data lie elsewhere, and are complete.
    let lines = folder.path().join("out.jsonl");
    let mut command = emocam();
    command.args(["live", "demo", "--headless", "-o"]).arg(disk.0.join("out.mp4")).arg("-o").arg(&lines);
    let message = fail(&mut command, 1, &["out.mp4", "No space left on device", "can be played"]);
    assert_eq!(json_lines(&lines).len(), 240, "{message}");
    assert_eq!(names_in(&disk.0), ["out.part.mp4"]);
    match times_of(&disk.0.join("out.part.mp4")) {
        Ok(times) => {
            // As the message has it: `no more than its first 3.5 s can be played`.
            let told = message.split("its first ").nth(1).and_then(|rest| rest.split(' ').next());
            let told: f64 = told.and_then(|seconds| seconds.parse().ok()).expect("seconds");
            let last = times.last().copied().unwrap_or(0.0);
            assert!(told > 0.4 && (last - told).abs() < 0.1, "{last} s, and it says {told} s");
        }
        Err(reason) => return skip(test, &reason),
    }
    // The same for data: each line that is there is whole but the last.
    let table = disk.0.join("out.jsonl");
    fs::write(disk.0.join("filler"), vec![0; 700_000]).expect_err("a full disk");
    fs::remove_file(disk.0.join("out.part.mp4")).expect("a file");
    let mut command = emocam();
    command.args(["annotate", "demo", "-o"]).arg(&table);
    fs::remove_file(disk.0.join("filler")).expect("a file");
    fs::write(disk.0.join("filler"), vec![0; 580_000]).expect("a file");
    fail(&mut command, 1, &["out.part.jsonl", "No space left on device"]);
    let left = fs::read_to_string(disk.0.join("out.part.jsonl")).expect("data");
    assert!(left.lines().count() > 5 && !table.exists());
}

#[test]
fn what_cannot_be_written_is_told_before_anything_is_done() {
    let test = "what_cannot_be_written_is_told_before_anything_is_done";
    let folder = temporary_folder();
    let disk = match SmallDisk::mount(&folder.path().join("disk"), "size=600k,ro") {
        Ok(disk) => disk,
        Err(reason) => return skip(test, &reason),
    };
    for name in ["out.mp4", "out.jsonl", "out.csv", "out.png", "frames/"] {
        for what in [&["live", "--headless"][..], &["annotate"]] {
            let mut command = emocam();
            command.args(what).args(["demo", "--frames", "1", "-o"]).arg(disk.0.join(name));
            let message = fail(&mut command, 1, &["Read-only file system"]);
            assert!(message.contains("can't be") && message.contains(name.trim_end_matches('/')), "{message}");
        }
    }
}

#[test]
fn the_picture_alone_is_recorded_beside_the_one_with_labels() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    let mut command = emocam();
    command
        .args(["annotate", "demo", "--frames", "10", "-o"])
        .arg(file("out.mp4"))
        .arg("--clean")
        .arg(file("clean.mp4"));
    succeed(&mut command);
    let frames = |spec: SourceSpec| {
        let mut source = spec.open().expect("a video");
        let mut frames = Vec::new();
        while let Some(frame) = source.next_frame().expect("a video").filter(|frame| frame.id < 10) {
            frames.push(frame.rgb);
        }
        frames
    };
    let difference = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a.abs_diff(**b) > 40).count();
    let original = frames(SourceSpec::Demo);
    let [clean, labelled] = ["clean.mp4", "out.mp4"].map(|name| frames(SourceSpec::Path(file(name))));
    assert_eq!((clean.len(), labelled.len()), (10, 10));
    for ((original, clean), labelled) in original.iter().zip(&clean).zip(&labelled) {
        assert!(difference(original, clean) < 500, "{}", difference(original, clean));
        assert!(difference(original, labelled) > 5000, "{}", difference(original, labelled));
    }
    let clean = file("clean.mp4");
    let mut twice = emocam();
    fail(twice.args(["annotate", "demo", "-o"]).arg(&clean).arg("--clean").arg(&clean), 2, &["twice"]);
    fail(emocam().args(["annotate", "demo", "--clean", "out.jsonl"]), 2, &["out.jsonl", ".mp4"]);
}

/// The rotation of the input has been done, its times and its sound are kept.
#[test]
fn an_annotated_file_has_the_times_and_the_sound_of_its_input() {
    let test = "an_annotated_file_has_the_times_and_the_sound_of_its_input";
    let folder = temporary_folder();
    let (input, output) = (folder.path().join("in.mkv"), folder.path().join("out.mp4"));
    // Pictures of 3 s at odd times, which begin a quarter of a second after the sound.
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=30:duration=3"])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:duration=3.25"])
        .args([
            "-vf",
            "select='mod(n,7)-3',setpts=PTS+0.25/TB",
            "-fps_mode",
            "vfr",
            "-c:v",
            "libx264",
            "-c:a",
            "pcm_s16le",
        ])
        .arg(&input)
        .status();
    let Ok(made) = made else { return skip(test, "ffmpeg is not installed") };
    assert!(made.success());
    succeed(emocam().arg("annotate").arg(&input).arg("-o").arg(&output));
    let [input, output] = [input, output].map(|path| times_of(&path).expect("ffprobe is beside ffmpeg"));
    assert_eq!(input.len(), output.len());
    assert!(input[0] > 0.2, "{input:?}");
    assert!(input.iter().zip(&output).all(|(a, b)| (a - b).abs() < 0.002), "{input:?}\n{output:?}");
    let streams = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"])
        .arg(folder.path().join("out.mp4"))
        .output();
    let streams = text(&streams.expect("ffprobe is beside ffmpeg").stdout);
    assert_eq!(streams.lines().collect::<Vec<_>>(), ["h264", "aac"]);
    assert_eq!(names_in(folder.path()), ["in.mkv", "out.mp4"]);
}

/// No frame of what is recorded shows a face, and the labels and the data stay.
#[test]
fn faces_are_hidden_in_all_that_is_written() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    for how in ["blur", "pixelate", "box"] {
        let mut command = emocam();
        command.args(["annotate", "demo", "--frames", "12", "--force", "--privacy", how]);
        for name in ["out.mp4", "out.jsonl", "f%02d.png"] {
            command.arg("-o").arg(file(name));
        }
        succeed(command.arg("--clean").arg(file("clean.mp4")));
        assert!(json_lines(&file("out.jsonl")).iter().all(|line| line["faces"][0]["emotion"] == "Happy"));
        for name in ["clean.mp4", "out.mp4", "f05.png"] {
            for line in lines_of(emocam().arg("annotate").arg(file(name)).args(["--detect-every", "1", "-o", "-"])) {
                assert_eq!(line["faces"], serde_json::json!([]), "{how}, {name}");
            }
        }
    }
    fail(emocam().args(["annotate", "demo", "--privacy", "wig"]), 2, &["wig", "blur", "pixelate", "box"]);
}

/// What each face showed, as figures and as a picture.
#[test]
fn the_summary_and_its_picture_are_written() {
    let folder = temporary_folder();
    let file = |name: &str| folder.path().join(name);
    succeed(emocam().args(["annotate", "demo", "--frames", "60", "--summary"]).arg(file("s.json")));
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(file("s.json")).expect("a file")).expect("JSON");
    assert_eq!((&summary["schema"], &summary["frames"], &summary["source"]), (&1.into(), &60.into(), &"demo".into()));
    let face = &summary["faces"][0];
    assert_eq!((&face["share"]["Happy"], &face["changes"]), (&1.0.into(), &0.into()));
    assert!((face["seen_s"].as_f64().expect("seconds") - 2.0).abs() < 0.05, "{face}");
    assert!(image::open(file("s.png")).expect("a picture").width() > 1000);
    fail(emocam().args(["annotate", "demo", "--summary"]).arg(file("s.json")), 1, &["s.json", "exists already"]);
    fs::remove_file(file("s.json")).expect("a file");
    fail(emocam().args(["annotate", "demo", "--summary"]).arg(file("s.json")), 1, &["s.png", "exists already"]);
    let mut both = emocam();
    both.args(["annotate", "demo", "--summary"]).arg(file("t.json")).arg("-o").arg(file("t.png"));
    fail(&mut both, 2, &["t.png", "twice"]);
}
