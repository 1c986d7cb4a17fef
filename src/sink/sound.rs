//! The sound of a video file, beside its pictures in an annotated one.
//!
//! ffmpeg copies both into a new file: the pictures as they were encoded, with their times, and each track of sound as it is
//! where an MP4 can hold it, else as AAC. Without ffmpeg, or where the input has no sound, the video stays as it is. So it
//! does where the input is a pipe, which can't be read again.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::options::Sound;
use crate::source::ffprobe::probe;
use crate::system::programs::{file_url, installed};

/// Kinds of sound that an MP4 file can hold and that players know in it, as ffprobe names them.
const IN_MP4: [&str; 6] = ["aac", "mp3", "ac3", "eac3", "opus", "alac"];

/// Puts the sound of the input beside the pictures of `video`, whose length is `length`, in `target`. Returns whether
/// there is any; without, there is no file.
///
/// # Errors
/// When ffmpeg fails. What it wrote is removed then.
pub(super) fn add(sound: Sound<'_>, video: &Path, length: Duration, target: &Path) -> Result<bool> {
    let (Some(ffmpeg), Some(ffprobe)) = (installed("ffmpeg"), installed("ffprobe")) else { return Ok(false) };
    if !sound.file.is_file() {
        return Ok(false);
    }
    let codecs = codecs(&probe(&ffprobe, sound.file, "a"));
    if codecs.is_empty() {
        return Ok(false);
    }
    // Sound that begins before the pictures is heard, but for what belongs to pictures that are left out.
    let (lead, skipped) = match sound.skipped {
        Duration::ZERO => (sound.start, Duration::ZERO),
        skipped => (Duration::ZERO, sound.start + skipped),
    };
    let mut command = Command::new(ffmpeg);
    command
        .args(["-nostdin", "-y", "-v", "error", "-protocol_whitelist", "file"])
        .args(["-itsoffset", &seconds(lead), "-i"])
        .arg(file_url(video))
        .args(["-protocol_whitelist", "file", "-ss", &seconds(skipped), "-i"])
        .arg(file_url(sound.file))
        .args(["-map", "0:v:0", "-map", "1:a", "-c:v", "copy"])
        .args(codecs)
        // Where not all frames were wanted, not all sound is.
        .args(["-t", &seconds(lead + length), "-video_track_timescale", "90000", "-f", "mp4"])
        .arg(file_url(target))
        .stdin(Stdio::null());
    // Ctrl-C in a terminal goes to a whole process group; a file that is nearly complete is completed.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let outcome = command.output().context("ffmpeg can't be started").and_then(|output| {
        let problem = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ffmpeg: {}", problem.lines().next().unwrap_or("no reason given"));
        Ok(true)
    });
    if outcome.is_err() {
        // It may not even be there.
        let _ = std::fs::remove_file(target);
    }
    outcome.with_context(|| format!("the sound of {} can't be taken over", sound.file.display()))
}

/// What is done to each track of sound, as ffmpeg's options.
fn codecs(probed: &Value) -> Vec<String> {
    let tracks = probed["streams"].as_array().into_iter().flatten().enumerate();
    let codec = |track: &Value| match track["codec_name"].as_str() {
        Some(name) if IN_MP4.contains(&name) => "copy",
        _ => "aac",
    };
    tracks.flat_map(|(number, track)| [format!("-c:a:{number}"), codec(track).to_owned()]).collect()
}

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_track_is_copied_or_encoded_as_an_mp4_file_takes_it() {
        let probed = json!({"streams": [{"codec_name": "aac"}, {"codec_name": "pcm_s16le"}, {}]});
        assert_eq!(codecs(&probed), ["-c:a:0", "copy", "-c:a:1", "aac", "-c:a:2", "aac"]);
        assert!(codecs(&Value::Null).is_empty());
    }
}
