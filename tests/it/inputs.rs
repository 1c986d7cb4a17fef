//! Videos as people have them: pixels that are not square, sizes that change, files that are cut, pipes, addresses. Each is
//! made of the clip inside the program: 640x480, 30 frames a second, one face.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{
    self, assert_exit, demo_clip, emocam, fail, ffmpeg, ffprobe, json_lines, lines_of, names_in, parsed_lines, run,
    skip, succeed, temporary_folder, text,
};

/// A folder for inputs; `None`, with the reason, where nothing can make them.
fn workshop(test: &str) -> Option<TempDir> {
    if ffmpeg() && ffprobe() {
        return Some(temporary_folder());
    }
    skip(test, "ffmpeg and ffprobe are not installed");
    None
}

/// Has ffmpeg make a file of the clip.
fn make(folder: &TempDir, name: &str, arguments: &[&str]) -> PathBuf {
    let path = folder.path().join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-i"]).arg(demo_clip()).args(arguments);
    assert_exit(&common::run(command.arg(&path)), 0, &[]);
    path
}

fn annotate(input: &Path) -> Command {
    let mut command = emocam();
    command.arg("annotate").arg(input);
    command
}

fn lines(input: &Path) -> Vec<Value> {
    lines_of(annotate(input).args(["-o", "-"]))
}

/// Each frame's first face: left, top, width and height.
fn boxes(lines: &[Value]) -> Vec<[f64; 4]> {
    let side = |face: &Value, name: &str| face["box"][name].as_f64().unwrap_or_else(|| panic!("{face}"));
    let faces = lines.iter().map(|line| &line["faces"][0]);
    faces.map(|face| ["x", "y", "width", "height"].map(|name| side(face, name))).collect()
}

/// Size and seconds of a video, as ffprobe has them.
fn facts(path: &Path) -> (u64, u64, f64) {
    let mut command = Command::new("ffprobe");
    command.args([
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "stream=width,height,duration",
        "-of",
        "json",
    ]);
    let facts: Value = serde_json::from_slice(&run(command.arg(path)).stdout).expect("JSON");
    let stream = &facts["streams"][0];
    let seconds = stream["duration"].as_str().and_then(|seconds| seconds.parse().ok());
    let side = |name: &str| stream[name].as_u64().unwrap_or_else(|| panic!("{facts}"));
    (side("width"), side("height"), seconds.unwrap_or_else(|| panic!("{facts}")))
}

#[test]
fn pixels_are_made_square_before_anything_else() {
    let Some(folder) = workshop("pixels_are_made_square_before_anything_else") else { return };
    let made = |name: &str, filter: &str| {
        make(&folder, name, &["-t", "0.2", "-vf", filter, "-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p"])
    };
    for (name, filter, size) in [
        ("wide.mp4", "scale=320:480,setsar=2", (640, 480)),
        // Never made smaller: here it is the height that grows.
        ("high.mp4", "scale=640:240,setsar=1/2", (640, 480)),
        ("senseless.mp4", "setsar=1/100", (640, 480)),
    ] {
        let (input, output) = (made(name, filter), folder.path().join("out.mp4"));
        let lines = lines_of(annotate(&input).args(["-o", "-", "--force", "-o"]).arg(&output));
        assert_eq!((facts(&output).0, facts(&output).1), size, "{name}");
        let square = boxes(&self::lines(&made("square.mp4", "null")));
        for (found, expected) in boxes(&lines).iter().zip(&square) {
            let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 8.0, "{name}: {found:?} instead of {expected:?}");
        }
    }
}

#[test]
fn a_size_that_changes_midway_is_the_size_of_the_frames_from_there_on() {
    let Some(folder) = workshop("a_size_that_changes_midway_is_the_size_of_the_frames_from_there_on") else { return };
    let part = |name: &str, filter: &str| {
        make(&folder, name, &["-t", "0.4", "-vf", filter, "-c:v", "libvpx", "-b:v", "1M", "-g", "1"])
    };
    let (_, second) = (part("a.webm", "null"), part("b.webm", "scale=360:-2,pad=360:640:0:200"));
    fs::write(folder.path().join("list"), "file a.webm\nfile b.webm\n").expect("a list");
    let both = folder.path().join("both.webm");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "concat", "-i"]).arg(folder.path().join("list")).args(["-c", "copy"]);
    assert_exit(&common::run(command.arg(&both)), 0, &[]);

    let output = folder.path().join("out.mp4");
    let joined = lines_of(annotate(&both).args(["-o", "-", "-o"]).arg(&output));
    let (joined, second) = (boxes(&joined), boxes(&lines(&second)));
    assert_eq!((joined.len(), second.len()), (24, 12));
    for (found, expected) in joined[12..].iter().zip(&second) {
        let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 8.0, "{found:?} instead of {expected:?}");
    }
    // One video has one size: the second half is between borders.
    assert_eq!((facts(&output).0, facts(&output).1), (640, 480));
    let recorded = boxes(&lines(&output));
    let aspect = |[_, _, width, height]: [f64; 4]| width / height;
    assert!((aspect(recorded[20]) / aspect(joined[20]) - 1.0).abs() < 0.15, "{:?} and {:?}", recorded[20], joined[20]);
}

#[test]
fn the_largest_track_of_video_is_taken_and_that_is_said() {
    let Some(folder) = workshop("the_largest_track_of_video_is_taken_and_that_is_said") else { return };
    let tracks = "[0:v]split[a][b];[a]scale=64:48[a]";
    let input = ["-t", "0.2", "-filter_complex", tracks, "-map", "[a]", "-map", "[b]", "-c:v", "libx264"];
    let input = make(&folder, "two.mkv", &input);
    let output = run(annotate(&input).args(["-o", "-"]));
    assert_exit(&output, 0, &["2 tracks of video", "640x480"]);
    let found = parsed_lines(&text(&output.stdout));
    assert!(found.len() == 6 && found.iter().all(|line| line["faces"][0]["box"]["width"].as_f64() > Some(64.0)));
}

#[test]
fn a_cover_is_no_video() {
    let Some(folder) = workshop("a_cover_is_no_video") else { return };
    let cover = folder.path().join("cover.png");
    image::RgbImage::new(64, 64).save(&cover).expect("a picture");
    let song = folder.path().join("song.mp4");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i", "sine=duration=0.2", "-i"]).arg(&cover);
    command.args(["-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v:0", "attached_pic"]);
    assert_exit(&common::run(command.arg(&song)), 0, &[]);
    fail(annotate(&song).args(["-o", "-"]), 1, &["song.mp4", "cannot read this as a video"]);
}

/// Cut by an editor without encoding anew: what was cut off is in the file, and is not shown.
#[test]
fn an_edit_list_is_honoured_with_and_without_ffmpeg() {
    let Some(folder) = workshop("an_edit_list_is_honoured_with_and_without_ffmpeg") else { return };
    let long = ["-an", "-c:v", "libx264", "-g", "60", "-bf", "0", "-pix_fmt", "yuv420p"];
    let long = make(&folder, "long.mp4", &long);
    let cut = folder.path().join("cut.mp4");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-ss", "0.71", "-i"]).arg(&long).args(["-t", "1", "-c", "copy"]).arg(&cut);
    assert_exit(&common::run(&mut command), 0, &[]);
    let times = |without: bool| -> Vec<f64> {
        let mut command = annotate(&cut);
        if without {
            command.env("PATH", "");
        }
        let lines = lines_of(command.args(["-o", "-", "--force", "-o"]).arg(folder.path().join("out.mp4")));
        assert!((facts(&folder.path().join("out.mp4")).2 - lines.len() as f64 / 30.0).abs() < 0.01);
        lines.iter().map(|line| line["time_s"].as_f64().expect("a time")).collect()
    };
    let (with, without) = (times(false), times(true));
    assert!(with.len() < 60, "{} frames", with.len());
    assert_eq!(with.len(), without.len());
    assert!(with.iter().zip(&without).all(|(a, b)| (a - b).abs() < 1e-3), "{with:?}\n{without:?}");
}

#[test]
fn the_last_frame_is_shown_as_long_as_the_file_says() {
    let Some(folder) = workshop("the_last_frame_is_shown_as_long_as_the_file_says") else { return };
    let every = make(&folder, "every.mkv", &["-t", "1", "-c:v", "mjpeg"]);
    let copy = |input: &Path, name: &str, change: &str| {
        let path = folder.path().join(name);
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-i"]).arg(input).args(["-c", "copy", "-bsf:v", change]);
        assert_exit(&common::run(command.arg(&path)), 0, &[]);
        path
    };
    let slow = copy(&every, "slow.mkv", "setts=pts=if(gt(N\\,28)\\,PTS+5/TB\\,PTS)");
    // The picture before the last one stands for 5 s, the last one for a thirtieth of a second.
    let (video, summary) = (folder.path().join("slow.mp4"), folder.path().join("slow.json"));
    succeed(annotate(&slow).arg("-o").arg(&video).arg("--summary").arg(&summary));
    let seconds = |path: &Path| -> f64 {
        let summary: Value = serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON");
        summary["duration_s"].as_f64().expect("seconds")
    };
    assert!((facts(&video).2 - 6.0).abs() < 0.05 && (seconds(&summary) - 6.0).abs() < 0.05);
    // Here it is the last one itself.
    let long = copy(&every, "long.mp4", "setts=duration=if(gt(N\\,28)\\,5/TB\\,DURATION)");
    let expected = facts(&long).2;
    succeed(annotate(&long).args(["--force", "-o"]).arg(&video).arg("--summary").arg(&summary));
    assert!(expected > 1.2 && (facts(&video).2 - expected).abs() < 0.01, "{expected} and {:?}", facts(&video));
    assert!((seconds(&summary) - expected).abs() < 0.01);
}

/// As from a television tuner: what comes before the first key frame can't be decoded, and is no reason to fail.
#[test]
fn a_recording_that_begins_between_key_frames_is_read_and_the_complaints_are_counted() {
    const TEST: &str = "a_recording_that_begins_between_key_frames_is_read_and_the_complaints_are_counted";
    let Some(folder) = workshop(TEST) else { return };
    let whole = ["-t", "4", "-an", "-c:v", "libx264", "-g", "40", "-bf", "2", "-pix_fmt", "yuv420p"];
    let whole = fs::read(make(&folder, "whole.ts", &whole)).expect("a file");
    let input = folder.path().join("input.ts");
    // A stream of packets of 188 bytes; the first ones are gone.
    fs::write(&input, &whole[188 * 60..]).expect("a file");
    let mut command = annotate(&input);
    for name in ["out.jsonl", "out.mp4"] {
        command.arg("-o").arg(folder.path().join(name));
    }
    let output = run(&mut command);
    assert_exit(&output, 0, &["input.ts", "ffmpeg complained", "times"]);
    assert_eq!(names_in(folder.path()), ["input.ts", "out.jsonl", "out.jsonl.record.json", "out.mp4", "whole.ts"]);
    let frames = json_lines(&folder.path().join("out.jsonl")).len();
    assert!((60..120).contains(&frames), "{frames} frames");
}

#[test]
fn each_track_of_sound_is_taken_over() {
    let Some(folder) = workshop("each_track_of_sound_is_taken_over") else { return };
    let tracks = ["-f", "lavfi", "-i", "sine=duration=0.3", "-t", "0.3", "-map", "0:v", "-map", "1:a", "-map", "1:a"];
    let input = [&tracks[..], &["-c:v", "libx264", "-c:a:0", "aac", "-c:a:1", "pcm_s16le"]].concat();
    let (input, output) = (make(&folder, "sounds.mkv", &input), folder.path().join("out.mp4"));
    let said = run(annotate(&input).arg("-o").arg(&output));
    assert_exit(&said, 0, &[]);
    assert!(!text(&said.stderr).contains("no sound"), "{}", text(&said.stderr));
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"]);
    assert_eq!(text(&run(command.arg(&output)).stdout).split_whitespace().collect::<Vec<_>>(), ["h264", "aac", "aac"]);
}

#[test]
fn frames_beyond_what_is_encoded_are_scaled_down_in_the_recording_alone() {
    let Some(folder) = workshop("frames_beyond_what_is_encoded_are_scaled_down_in_the_recording_alone") else { return };
    let wide = ["-frames:v", "2", "-vf", "scale=4096:3072", "-c:v", "libx264", "-preset", "ultrafast"];
    let (input, output) = (make(&folder, "wide.mp4", &wide), folder.path().join("out.mp4"));
    let said = run(annotate(&input).args(["-o", "-", "-o"]).arg(&output));
    assert_exit(&said, 0, &["4096x3072", "scaled down to 2880x2160"]);
    assert_eq!(parsed_lines(&text(&said.stdout)).len(), 2);
    assert_eq!((facts(&output).0, facts(&output).1), (2880, 2160));
}

#[test]
fn a_high_range_is_brought_to_an_ordinary_one() {
    let Some(folder) = workshop("a_high_range_is_brought_to_an_ordinary_one") else { return };
    // The clip as a camera of a high range would have it: numbers that an ordinary screen shows pale.
    let pq = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=smpte170m:range=tv,zscale=t=linear:npl=203,\
        format=gbrpf32le,zscale=p=2020,zscale=t=smpte2084:npl=203:m=2020_ncl:r=limited,format=yuv420p10le";
    let high = folder.path().join("high.mkv");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(demo_clip()).args(["-frames:v", "1", "-vf", pq, "-c:v", "libx264"]);
    command.args(["-color_trc", "smpte2084", "-color_primaries", "bt2020", "-colorspace", "bt2020nc"]);
    if !common::run(command.arg(&high)).status.success() {
        return skip("a_high_range_is_brought_to_an_ordinary_one", "this ffmpeg has no zscale");
    }
    let pixels = |input: &Path| {
        let still = folder.path().join("still.png");
        succeed(annotate(input).args(["--frames", "1", "--force", "-o"]).arg(&still));
        image::open(still).expect("a picture").to_rgb8().into_raw()
    };
    let (high, expected) = (pixels(&high), pixels(&demo_clip()));
    let off = high.iter().zip(&expected).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / high.len() as f64;
    assert!(off < 12.0, "pixels are off by {off}");
}

/// What a run with this file as its standard input makes of it.
fn from_stdin(input: &Path, arguments: &[&str]) -> Output {
    let mut cat = Command::new("cat").arg(input).stdout(Stdio::piped()).spawn().expect("cat starts");
    let mut command = emocam();
    command.args(arguments).stdin(cat.stdout.take().expect("a pipe"));
    let output = command.output().expect("emocam starts");
    cat.wait().expect("cat ends");
    output
}

#[test]
fn a_video_out_of_a_pipe_is_as_out_of_the_file() {
    let Some(folder) = workshop("a_video_out_of_a_pipe_is_as_out_of_the_file") else { return };
    let clip = make(&folder, "clip.mkv", &["-t", "0.5", "-c:v", "libx264"]);
    let expected = lines(&clip);
    assert_eq!(expected.len(), 15);
    let lines_of = |output: Output| {
        assert_exit(&output, 0, &[]);
        parsed_lines(&text(&output.stdout))
    };
    assert_eq!(lines_of(from_stdin(&clip, &["annotate", "-", "-o", "-"])), expected);
    assert_eq!(lines_of(from_stdin(&clip, &["live", "-", "--headless", "-o", "-"])).len(), 15);
    let output = folder.path().join("made/");
    lines_of(from_stdin(&clip, &["annotate", "-", "-o", &output.display().to_string()]));
    assert_eq!(names_in(&output), ["stdin.jsonl", "stdin.jsonl.record.json", "stdin.mp4"]);

    // More than ffmpeg keeps in memory.
    let index_last = ["-t", "1", "-vf", "noise=alls=60:allf=t", "-c:v", "libx264", "-crf", "10"];
    let index_last = make(&folder, "clip.mp4", &index_last);
    let refused = from_stdin(&index_last, &["annotate", "-", "-o", "-"]);
    assert_exit(&refused, 1, &["standard input", "name the file itself"]);

    let mut command = annotate(Path::new("-"));
    fail(command.args(["-o", "-"]), 1, &["standard input", "cannot read this as a video"]);
    fail(command.env("PATH", ""), 1, &["standard input", "read with ffmpeg, which is not installed"]);
}

#[cfg(unix)]
#[test]
fn a_pipe_that_has_a_name_is_read_once() {
    let Some(folder) = workshop("a_pipe_that_has_a_name_is_read_once") else { return };
    let clip = make(&folder, "clip.mkv", &["-t", "0.5", "-c:v", "libx264"]);
    let pipe = folder.path().join("pipe");
    succeed(Command::new("mkfifo").arg(&pipe));
    let bytes = fs::read(&clip).expect("a file");
    let writer = thread::spawn({
        let pipe = pipe.clone();
        move || File::options().write(true).open(pipe).and_then(|mut pipe| pipe.write_all(&bytes))
    });
    let output = folder.path().join("out.mp4");
    let found = lines_of(annotate(&pipe).args(["-o", "-", "-o"]).arg(&output));
    writer.join().expect("the writer ends").expect("all of it was read");
    assert_eq!(found, lines(&clip));
    assert_eq!(common::frames_of(&output), 15);
}

#[test]
fn a_video_comes_by_http_from_the_address_that_was_named() {
    let Some(folder) = workshop("a_video_comes_by_http_from_the_address_that_was_named") else { return };
    let clip = make(&folder, "clip.mkv", &["-t", "0.5", "-c:v", "libx264"]);
    let expected = lines(&clip);
    let bytes = fs::read(&clip).expect("a file");
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://me:secret@{}/clip.mkv", server.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut client in server.incoming().flatten() {
            let mut request = [0; 4096];
            let length = client.read(&mut request).unwrap_or(0);
            let found = text(&request[..length]).contains("clip.mkv");
            let status = if found { "200 OK" } else { "404 Not Found" };
            let head = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n", if found { bytes.len() } else { 0 });
            // Who has seen enough hangs up.
            let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(if found { &bytes } else { &[] }));
        }
    });
    assert_eq!(lines_of(emocam().args(["annotate", &address, "-o", "-"])), expected);
    let missing = address.replace("clip.mkv", "other.mkv");
    let said = fail(emocam().args(["annotate", &missing, "-o", "-"]), 1, &["/other.mkv", "404"]);
    assert!(!said.contains("secret"), "{said}");
    fail(emocam().args(["annotate", &address, "-o", "-"]).env("PATH", ""), 1, &["ffmpeg, which is not installed"]);
}
