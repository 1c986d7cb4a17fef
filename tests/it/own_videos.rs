//! What emocam records, emocam reads: with ffmpeg and with the decoder inside the program alike.

use std::path::Path;

use crate::common::{self, emocam, parsed_lines, run, skip, succeed, temporary_folder, text};

/// The times of a video's frames, in seconds, as the program sees them.
fn times(path: &Path, with_ffmpeg: bool) -> Vec<f64> {
    let mut command = emocam();
    command.arg("annotate").arg(path).args(["-o", "-"]);
    if !with_ffmpeg {
        command.env("PATH", "");
    }
    let output = run(&mut command);
    common::assert_exit(&output, 0, &[]);
    parsed_lines(&text(&output.stdout)).iter().map(|line| line["time_s"].as_f64().expect("a time")).collect()
}

#[test]
fn a_recording_has_the_same_times_for_both_decoders() {
    let folder = temporary_folder();
    let path = folder.path().join("out.mp4");
    succeed(emocam().args(["annotate", "demo", "--frames", "50", "-o"]).arg(&path));
    let built_in = times(&path, false);
    assert_eq!(built_in.len(), 50);
    assert!(built_in.iter().enumerate().all(|(id, time)| (time - id as f64 / 30.0).abs() < 1e-3), "{built_in:?}");
    if !common::ffmpeg() {
        return skip("a_recording_has_the_same_times_for_both_decoders", "ffmpeg is not installed");
    }
    let by_ffmpeg = times(&path, true);
    assert_eq!(by_ffmpeg.len(), 50);
    assert!(built_in.iter().zip(&by_ffmpeg).all(|(a, b)| (a - b).abs() < 1e-3), "{built_in:?}\n{by_ffmpeg:?}");
}
