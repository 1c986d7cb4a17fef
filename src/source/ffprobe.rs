//! What ffprobe says of a file: its tracks, and how long they are. It is asked of files only, as they can be read twice.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::system::programs::file_url;

/// What is asked of each track, and of the file.
const ENTRIES: &str = "stream=index,codec_name,width,height,nb_frames,avg_frame_rate,start_time,duration,color_transfer\
    :stream_disposition=attached_pic:stream_tags=DURATION:format=start_time,duration";

/// Asks ffprobe of the tracks of a kind (`v` or `a`), in its own words. Whatever goes wrong here leaves all unknown and is
/// told by ffmpeg itself, if it matters.
pub(crate) fn probe(ffprobe: &Path, path: &Path, kind: &str) -> Value {
    let output = Command::new(ffprobe)
        .args(["-v", "error", "-protocol_whitelist", "file", "-select_streams", kind, "-show_entries", ENTRIES])
        .args(["-of", "json", "-i"])
        .arg(file_url(path))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok()).unwrap_or_default()
}

/// How light was turned into numbers, where that takes more than an ordinary screen shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HighRange {
    /// SMPTE ST 2084.
    Pq,
    /// ARIB STD-B67.
    Hlg,
}

/// The track of a file that is shown.
#[derive(Debug, Default, PartialEq)]
pub(super) struct VideoTrack {
    /// Its number among all tracks of the file.
    pub(super) index: u64,
    /// In pixels.
    pub(super) size: (u64, u64),
    /// How many other tracks of video there are.
    pub(super) others: usize,
    /// How many frames there will be, counted or estimated.
    pub(super) frames: Option<u64>,
    /// Frames a second, on average.
    pub(super) fps: Option<f64>,
    /// When it ends, in seconds since the file's first moment, of pictures or sound.
    pub(super) end: Option<f64>,
    pub(super) high_range: Option<HighRange>,
}

/// The largest track of video that is none of the pictures that are put into files of sound; of equal ones the first.
pub(super) fn video_track(probed: &Value) -> Option<VideoTrack> {
    let size = |stream: &Value| (stream["width"].as_u64().unwrap_or(0), stream["height"].as_u64().unwrap_or(0));
    let pixels = |stream: &Value| size(stream).0.saturating_mul(size(stream).1);
    let tracks: Vec<&Value> = probed["streams"].as_array()?.iter().filter(|stream| !is_attached(stream)).collect();
    let stream = *tracks.iter().rev().max_by_key(|stream| pixels(stream))?;
    let (frames, fps) = length(stream, &probed["format"]);
    let begin = number(&probed["format"]["start_time"]).unwrap_or(0.0);
    let start = number(&stream["start_time"]).unwrap_or(begin);
    // Matroska says when a track ends, the others how long it is.
    let end = clock(&stream["tags"]["DURATION"]).or_else(|| Some(start + number(&stream["duration"])?));
    Some(VideoTrack {
        index: stream["index"].as_u64()?,
        size: size(stream),
        others: tracks.len() - 1,
        frames,
        fps,
        end: end.map(|end| end - begin),
        high_range: match stream["color_transfer"].as_str() {
            Some("smpte2084") => Some(HighRange::Pq),
            Some("arib-std-b67") => Some(HighRange::Hlg),
            _ => None,
        },
    })
}

fn is_attached(stream: &Value) -> bool {
    stream["disposition"]["attached_pic"] == 1
}

fn number(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// `00:01:08.002000000` in seconds.
fn clock(value: &Value) -> Option<f64> {
    let parts = value.as_str()?.split(':').map(|part| part.parse().ok());
    parts.collect::<Option<Vec<f64>>>()?.into_iter().reduce(|larger, part| larger * 60.0 + part)
}

/// How many frames there will be, counted or estimated, and how many a second, on average.
fn length(stream: &Value, format: &Value) -> (Option<u64>, Option<f64>) {
    let fps = stream["avg_frame_rate"]
        .as_str()
        .and_then(|rate| rate.split_once('/'))
        .and_then(|(frames, seconds)| Some(frames.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?))
        .filter(|fps| fps.is_finite() && *fps > 0.0);
    let seconds = number(&stream["duration"]).or_else(|| number(&format["duration"]));
    let estimate = || Some((seconds? * fps?).round() as u64);
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
        assert_eq!(length(&stream, &Value::Null), (Some(472), Some(24000.0 / 1001.0)));
        let stream = json!({"avg_frame_rate": "25/1"});
        assert_eq!(length(&stream, &json!({"duration": "2.0"})), (Some(50), Some(25.0)));
        assert_eq!(length(&json!({"avg_frame_rate": "0/0"}), &Value::Null), (None, None));
        assert_eq!(length(&Value::Null, &Value::Null), (None, None));
    }

    #[test]
    fn the_largest_track_is_taken_and_no_cover_of_a_song() {
        let cover = json!({"index": 0, "width": 3000, "height": 3000, "disposition": {"attached_pic": 1}});
        let small = json!({"index": 1, "width": 64, "height": 36});
        let large = json!({"index": 3, "width": 640, "height": 360, "start_time": "1.500", "duration": "2.0",
            "color_transfer": "smpte2084"});
        let again = json!({"index": 4, "width": 640, "height": 360});
        let probed = json!({"streams": [cover, small, large, again], "format": {"start_time": "0.5"}});
        let track = video_track(&probed).unwrap();
        assert_eq!((track.index, track.size, track.others, track.end), (3, (640, 360), 2, Some(3.0)));
        assert_eq!(track.high_range, Some(HighRange::Pq));
        assert_eq!(video_track(&json!({"streams": [cover]})), None);
        assert_eq!(video_track(&Value::Null), None);
        let matroska =
            json!({"streams": [{"index": 0, "start_time": "1.0", "tags": {"DURATION": "00:01:08.002000000"}}]});
        assert_eq!(video_track(&matroska).unwrap().end, Some(68.002));
    }
}
