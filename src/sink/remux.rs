//! What ffmpeg makes of a whole recording: the sound of the input beside its pictures, and Matroska of MP4.
//!
//! ffmpeg copies into a new file: the pictures as they were encoded, with their times, and each track of sound as it is
//! where the file can hold it, else as AAC. Without ffmpeg, or where the input has no sound, an MP4 stays as it is. So it
//! does where the input is a pipe, which can't be read again.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::options::Sound;
use crate::source::ffprobe::probe;
use crate::system::programs::{file_url, installed};

/// The form of a file of video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Which is what a recording is while it is made.
    Mp4,
    /// `.mkv`, which only ffmpeg writes.
    Matroska,
}

impl Form {
    /// By the name's end.
    pub(super) fn of(path: &Path) -> Self {
        let is_matroska = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("mkv"));
        if is_matroska { Self::Matroska } else { Self::Mp4 }
    }

    /// Refuses what can't be written on this machine.
    ///
    /// # Errors
    /// When ffmpeg is needed and is not installed.
    pub(super) fn check(self, path: &Path) -> Result<()> {
        ensure!(
            self == Self::Mp4 || installed("ffmpeg").is_some(),
            "{} can't be written: a .mkv is made by ffmpeg, which is not installed. Name a .mp4, or install ffmpeg",
            path.display()
        );
        Ok(())
    }

    /// As ffmpeg calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Matroska => "matroska",
        }
    }

    /// Kinds of sound that it can hold and that players know in it, as ffprobe names them.
    fn sounds(self) -> &'static [&'static str] {
        const BOTH: &[&str] = &["aac", "mp3", "ac3", "eac3", "opus", "alac"];
        const MATROSKA: &[&str] =
            &["aac", "mp3", "ac3", "eac3", "opus", "alac", "flac", "vorbis", "mp2", "dts", "pcm_s16le", "pcm_s24le"];
        match self {
            Self::Mp4 => BOTH,
            Self::Matroska => MATROSKA,
        }
    }
}

/// What is done to each track of an input's sound, as ffmpeg's options; `None` where there is none to be had.
pub(super) fn tracks(sound: Sound<'_>, form: Form) -> Option<Vec<String>> {
    installed("ffmpeg")?;
    let ffprobe = installed("ffprobe")?;
    let is_file = sound.file.is_file();
    let codecs = is_file.then(|| codecs(&probe(&ffprobe, sound.file, "a"), form))?;
    (!codecs.is_empty()).then_some(codecs)
}

/// Copies the pictures of `video`, whose length is `length`, to `target` in another form or with the sound of the input,
/// whose tracks are given.
///
/// # Errors
/// When ffmpeg fails. What it wrote is removed then.
pub(super) fn remux(
    video: &Path,
    length: Duration,
    sound: Option<(Sound<'_>, &[String])>,
    form: Form,
    target: &Path,
) -> Result<()> {
    let mut command = Command::new(installed("ffmpeg").context("ffmpeg is not installed")?);
    // Sound that begins before the pictures is heard, but for what belongs to pictures that are left out.
    let (lead, skipped) = match sound.map(|(sound, _)| sound) {
        None => (Duration::ZERO, Duration::ZERO),
        Some(Sound { start, skipped: Duration::ZERO, .. }) => (start, Duration::ZERO),
        Some(Sound { start, skipped, .. }) => (Duration::ZERO, start + skipped),
    };
    command
        .args(["-nostdin", "-y", "-v", "error", "-protocol_whitelist", "file"])
        .args(["-itsoffset", &seconds(lead), "-i"])
        .arg(file_url(video));
    if let Some((sound, _)) = sound {
        let skip = seconds(skipped);
        command.args(["-protocol_whitelist", "file", "-ss", &skip, "-i"]).arg(file_url(sound.file));
    }
    command.args(["-map", "0:v:0", "-c:v", "copy"]);
    if let Some((_, tracks)) = sound {
        // Where not all frames were wanted, not all sound is.
        command.args(["-map", "1:a"]).args(tracks).args(["-t", &seconds(lead + length)]);
    }
    if form == Form::Mp4 {
        command.args(["-video_track_timescale", "90000"]);
    }
    command.args(["-f", form.name()]).arg(file_url(target)).stdin(Stdio::null());
    // Ctrl-C in a terminal goes to a whole process group; a file that is nearly complete is completed.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let outcome = command.output().context("ffmpeg can't be started").and_then(|output| {
        let problem = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ffmpeg: {}", problem.lines().next().unwrap_or("no reason given"));
        Ok(())
    });
    if outcome.is_err() {
        // It may not even be there.
        let _ = std::fs::remove_file(target);
    }
    outcome
}

/// What is done to each track of sound, as ffmpeg's options.
fn codecs(probed: &Value, form: Form) -> Vec<String> {
    let tracks = probed["streams"].as_array().into_iter().flatten().enumerate();
    let codec = |track: &Value| match track["codec_name"].as_str() {
        Some(name) if form.sounds().contains(&name) => "copy",
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
    fn each_track_is_copied_or_encoded_as_the_file_takes_it() {
        let probed = json!({"streams": [{"codec_name": "aac"}, {"codec_name": "pcm_s16le"}, {}]});
        assert_eq!(codecs(&probed, Form::Mp4), ["-c:a:0", "copy", "-c:a:1", "aac", "-c:a:2", "aac"]);
        assert_eq!(codecs(&probed, Form::Matroska), ["-c:a:0", "copy", "-c:a:1", "copy", "-c:a:2", "aac"]);
        assert!(codecs(&Value::Null, Form::Mp4).is_empty());
    }
}
