//! What ffprobe says of a file: how long a video is, for progress bars and nothing else, and which kind of sound is in it.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::system::programs::file_url;

/// Asks ffprobe of one stream, such as `v:0`, in its own words. Whatever goes wrong here leaves all unknown and is told by
/// ffmpeg itself, if it matters.
pub(crate) fn probe(ffprobe: &Path, path: &Path, stream: &str) -> Value {
    let output = Command::new(ffprobe)
        .args(["-v", "error", "-protocol_whitelist", "file", "-select_streams", stream, "-show_entries"])
        .args(["stream=codec_name,nb_frames,avg_frame_rate,duration:format=duration", "-of", "json", "-i"])
        .arg(file_url(path))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok()).unwrap_or_default()
}

/// How many frames there will be, counted or estimated, and how many a second, on average.
pub(super) fn length(probed: &Value) -> (Option<u64>, Option<f64>) {
    let stream = &probed["streams"][0];
    let fps = stream["avg_frame_rate"]
        .as_str()
        .and_then(|rate| rate.split_once('/'))
        .and_then(|(frames, seconds)| Some(frames.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?))
        .filter(|fps| fps.is_finite() && *fps > 0.0);
    let seconds = stream["duration"].as_str().or_else(|| probed["format"]["duration"].as_str());
    let estimate = || Some((seconds?.parse::<f64>().ok()? * fps?).round() as u64);
    let frames = stream["nb_frames"].as_str().and_then(|frames| frames.parse().ok()).or_else(estimate);
    (frames.filter(|&frames| frames > 0), fps)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lengths_are_taken_or_estimated() {
        let stream = json!({"avg_frame_rate": "24000/1001", "duration": "19.685000", "nb_frames": "472"});
        assert_eq!(length(&json!({"streams": [stream]})), (Some(472), Some(24000.0 / 1001.0)));
        let probed = json!({"streams": [{"avg_frame_rate": "25/1"}], "format": {"duration": "2.0"}});
        assert_eq!(length(&probed), (Some(50), Some(25.0)));
        assert_eq!(length(&json!({"streams": [{"avg_frame_rate": "0/0"}]})), (None, None));
        assert_eq!(length(&Value::Null), (None, None));
    }
}
