//! How long a video file is, as ffprobe says: for progress bars and nothing else.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::system::programs::file_url;

/// What ffprobe knows of a file's length.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// How many frames there will be, counted or estimated.
    pub(super) frames: Option<u64>,
    /// Frames per second, on average.
    pub(super) fps: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Probe {
    streams: Vec<ProbedStream>,
    format: ProbedFormat,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProbedStream {
    nb_frames: Option<String>,
    avg_frame_rate: Option<String>,
    duration: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProbedFormat {
    duration: Option<String>,
}

/// Asks ffprobe. Whatever goes wrong here leaves the length unknown and is told by ffmpeg itself, if it matters.
pub(super) fn probe(ffprobe: &Path, path: &Path) -> Option<Facts> {
    let output = Command::new(ffprobe)
        .args(["-v", "error", "-protocol_whitelist", "file", "-select_streams", "v:0", "-show_entries"])
        .args(["stream=nb_frames,avg_frame_rate,duration:format=duration", "-of", "json", "-i"])
        .arg(file_url(path))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    Some(parse_probe(&output.stdout))
}

fn parse_probe(json: &[u8]) -> Facts {
    let probe: Probe = serde_json::from_slice(json).unwrap_or_default();
    let Some(stream) = probe.streams.first() else {
        return Facts::default();
    };
    let fps = stream
        .avg_frame_rate
        .as_deref()
        .and_then(|rate| rate.split_once('/'))
        .and_then(|(frames, seconds)| Some(frames.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?))
        .filter(|fps| fps.is_finite() && *fps > 0.0);
    let seconds = stream.duration.as_deref().or(probe.format.duration.as_deref());
    let estimate = || Some((seconds?.parse::<f64>().ok()? * fps?).round() as u64);
    let frames = stream.nb_frames.as_deref().and_then(|frames| frames.parse().ok()).or_else(estimate);
    Facts { frames: frames.filter(|&frames| frames > 0), fps }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_taken_or_estimated() {
        let json = br#"{"streams":[{"avg_frame_rate":"24000/1001","duration":"19.685000","nb_frames":"472"}]}"#;
        assert_eq!(parse_probe(json), Facts { frames: Some(472), fps: Some(24000.0 / 1001.0) });
        let json = br#"{"streams":[{"avg_frame_rate":"25/1"}],"format":{"duration":"2.0"}}"#;
        assert_eq!(parse_probe(json), Facts { frames: Some(50), fps: Some(25.0) });
        assert_eq!(parse_probe(br#"{"streams":[{"avg_frame_rate":"0/0"}]}"#), Facts::default());
        assert_eq!(parse_probe(b"no json"), Facts::default());
    }
}
