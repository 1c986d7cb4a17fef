//! How ffmpeg is asked for raw frames: what it reads, which track of it, and what is done to the pictures.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::ffprobe::{HighRange, VideoTrack};
use crate::system::programs::file_url;

/// The programs, where they were found.
pub(super) struct Tools {
    /// The decoder.
    pub(super) ffmpeg: PathBuf,
    /// Says what is in a file.
    pub(super) ffprobe: Option<PathBuf>,
}

/// What ffmpeg reads.
pub(super) enum Input<'a> {
    /// A file, which can be read as often as one likes.
    File(&'a Path),
    /// A pipe with its name: standard input, where there is no other.
    Pipe(Option<File>, String),
    /// An address, and how it is shown.
    Address(&'a str, String),
}

impl Input<'_> {
    /// For people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Pipe(_, name) | Self::Address(_, name) => name.clone(),
        }
    }

    /// Whether what comes is lost unless it is taken at once.
    pub(super) fn is_live(&self) -> bool {
        matches!(self, Self::Address(address, _) if !address.starts_with("http"))
    }

    fn url(&self) -> OsString {
        match self {
            Self::File(path) => file_url(path),
            Self::Pipe(..) => "pipe:0".into(),
            Self::Address(address, _) => address.into(),
        }
    }

    /// What ffmpeg may open. A file or a stream may be a playlist that points anywhere: only what the user named is
    /// reached, and from there nothing but the protocols that carry it.
    fn protocols(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Pipe(..) => "pipe",
            Self::Address(address, _) => match address.split_once(':').map_or("", |(scheme, _)| scheme) {
                // Many addresses of the one lead on to the other.
                "http" | "https" => "http,https,httpproxy,tls,tcp,crypto",
                "rtsp" => "rtsp,rtp,rtcp,udp,tcp",
                "rtsps" => "rtsps,rtsp,rtp,rtcp,srtp,udp,tls,tcp",
                "rtmp" => "rtmp,tcp",
                "rtmps" => "rtmps,rtmp,tls,tcp",
                "rtp" => "rtp,rtcp,udp",
                "srt" => "srt",
                "tcp" => "tcp",
                _ => "udp",
            },
        }
    }

    fn stdin(self) -> Stdio {
        match self {
            Self::Pipe(Some(pipe), _) => pipe.into(),
            Self::Pipe(None, _) => Stdio::inherit(),
            Self::File(_) | Self::Address(..) => Stdio::null(),
        }
    }
}

/// ffmpeg on its way to read an input. It writes NUT with two streams: the first has a row of each picture, of which the
/// length tells the width; the second has the pictures, in RGB8. So a picture's size may change from one to the next.
pub(super) fn command(input: Input<'_>, tools: &Tools, track: Option<&VideoTrack>) -> Result<Command> {
    let version = version(&tools.ffmpeg)?;
    let mut command = Command::new(&tools.ffmpeg);
    command
        .args(["-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+error"])
        .args(["-protocol_whitelist", input.protocols()]);
    if input.protocols().starts_with("rtsp") {
        // By datagrams, pictures are lost wherever the network is busy.
        command.args(["-rtsp_flags", "prefer_tcp"]);
    }
    command.arg("-i").arg(input.url());
    if version.is_none_or(|version| version >= (4, 4)) {
        // Else what comes after a change of size is stretched to what was before.
        command.args(["-autoscale", "0"]);
    }
    let every_frame = if version.is_some_and(|version| version < (5, 1)) { "-vsync" } else { "-fps_mode" };
    command
        .args(["-filter_complex", &filters(track)])
        .args([
            "-map",
            "[row]",
            "-map",
            "[picture]",
            "-map_metadata",
            "-1",
            "-c:v",
            "rawvideo",
            every_frame,
            "passthrough",
        ])
        // By its rate ffmpeg would round times, and frames of a camera that are close to each other would fall together.
        .args(["-enc_time_base", "1:90000", "-flush_packets", "1", "-write_index", "0", "-f", "nut", "pipe:1"])
        .stdin(input.stdin())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Ctrl-C in a terminal goes to a whole process group. This one decides for itself when its child ends.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command)
}

/// What is done to the pictures of a track; by default it is the first that is no cover of a song.
fn filters(track: Option<&VideoTrack>) -> String {
    let tones = track.and_then(|track| track.high_range).map_or_else(String::new, |range| tone_map(range) + ",");
    let track = track.map_or_else(|| "V:0".to_owned(), |track| track.index.to_string());
    // The shorter side of a pixel is widened, so that nothing is lost. A ratio that no camera has is a mistake.
    let ratio = "if(between(sar\\,0.2\\,5)\\,sar\\,1)";
    format!(
        "[0:{track}]{tones}scale=w=round(iw*max({ratio}\\,1)):h=round(ih/min({ratio}\\,1)),format=rgb24,\
         split[picture][copy];[copy]crop=iw:1:0:0[row]"
    )
}

/// From a high range to that of an ordinary screen, whose white is at 203 candela per square metre (ITU-R BT.2408).
fn tone_map(range: HighRange) -> String {
    let transfer = match range {
        HighRange::Pq => "smpte2084",
        HighRange::Hlg => "arib-std-b67",
    };
    format!(
        "setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc,zscale=t=linear:npl=203,\
         format=gbrpf32le,zscale=p=709,tonemap=mobius:desat=0,zscale=t=709:m=709:r=limited,format=yuv420p"
    )
}

/// Whether this ffmpeg has the filters for that: some builds don't.
pub(super) fn can_map_tones(tools: &Tools) -> bool {
    let trial = Command::new(&tools.ffmpeg)
        .args(["-nostdin", "-v", "quiet", "-f", "lavfi", "-i", "color=s=64x64:d=0.1,format=yuv420p10le", "-vf"])
        .args([&tone_map(HighRange::Pq), "-frames:v", "1", "-f", "null", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    trial.is_ok_and(|status| status.success())
}

fn version(ffmpeg: &Path) -> Result<Option<(u32, u32)>> {
    let output = Command::new(ffmpeg)
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", ffmpeg.display()))?;
    Ok(parse_version(&String::from_utf8_lossy(&output.stdout)))
}

/// Development builds carry no version number; they are taken as recent.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    // Some builds put an "n" before it, as the project's own tags do.
    let version = text.strip_prefix("ffmpeg version ")?.trim_start_matches('n');
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    let major = parts.next()?.parse().ok()?;
    // "20240101-..." is a date and no version.
    if major > 1000 {
        return None;
    }
    Some((major, parts.next().and_then(|minor| minor.parse().ok()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("ffmpeg version 5.1.9-0+deb12u1 Copyright"), Some((5, 1)));
        assert_eq!(parse_version("ffmpeg version n6.0 Copyright"), Some((6, 0)));
        assert_eq!(parse_version("ffmpeg version 4.4.2-0ubuntu0.22.04.1"), Some((4, 4)));
        assert_eq!(parse_version("ffmpeg version 7.1"), Some((7, 1)));
        assert_eq!(parse_version("ffmpeg version N-109544-g1234 Copyright"), None);
        assert_eq!(parse_version("ffmpeg version 2024-05-02-git-71669f2ad5-full_build"), None);
    }

    #[test]
    fn only_what_carries_an_address_is_reached() {
        let protocols = |address: &str| Input::Address(address, String::new()).protocols();
        assert!(protocols("http://example.org/a.mp4").split(',').all(|protocol| !["file", "udp"].contains(&protocol)));
        assert_eq!(protocols("udp://127.0.0.1:5000"), "udp");
        assert!(!protocols("rtsp://127.0.0.1/1").contains("file"));
        assert_eq!(Input::File(Path::new("http:a")).protocols(), "file");
        let is_live = |address: &str| Input::Address(address, String::new()).is_live();
        assert!(is_live("rtsp://127.0.0.1/1") && !is_live("http://example.org/a.mp4"));
    }
}
