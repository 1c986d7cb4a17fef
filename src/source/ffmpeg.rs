//! Video files by way of the system's `ffmpeg`, which decodes everything.
//!
//! ffmpeg runs as a child that writes raw RGB frames to a pipe. Raw frames carry neither time nor size: both come from the
//! line that its filter `showinfo` logs for each frame. The log goes to a file without a name, not to a second pipe: with
//! two pipes and one reader ffmpeg could wait for us to read the one while we wait for it to write the other. It logs a
//! frame before it writes it, so the line is there when the frame's first byte is. A line takes about 300 bytes, 30 MB an
//! hour of video at 30 frames a second.
//!
//! Frames come out as they are shown: turned as the file says, every one of them, none made up, all of one size.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::ffmpeg_log::Log;
use super::ffprobe::{length, probe};
use super::pixels::rgb_len;
use super::{Source, SourceInfo};
use crate::flow::frame::Frame;
use crate::system::buffers::Buffers;
use crate::system::programs::file_url;

/// The gap after a frame without a time of its own, where the file does not say how many frames it has a second.
const DEFAULT_FRAME_GAP: Duration = Duration::from_millis(40);

/// The programs, where they were found.
pub(super) struct Tools {
    /// The decoder.
    pub(super) ffmpeg: PathBuf,
    /// Says what is in a file; only the progress bar misses it.
    pub(super) ffprobe: Option<PathBuf>,
}

/// A video file that an ffmpeg child is decoding.
pub(super) struct FfmpegSource {
    info: SourceInfo,
    child: Child,
    frames: ChildStdout,
    log: Log,
    /// Read ahead by `open`, so that a file that is no video fails there.
    first: Option<Frame>,
    /// Width and height of every frame.
    size: Option<(u32, u32)>,
    buffers: Buffers<[u8]>,
    next_id: u64,
    /// The file's own time of its first frame.
    start: Option<f64>,
    last_pts: Duration,
    ended: bool,
}

impl FfmpegSource {
    /// Starts ffmpeg on a file and waits for its first frame.
    pub(super) fn open(path: &Path, tools: &Tools) -> Result<Self> {
        let mut info = SourceInfo { name: path.display().to_string(), ..SourceInfo::default() };
        if let Some(ffprobe) = &tools.ffprobe {
            (info.frames, info.fps) = length(&probe(ffprobe, path, "v:0"));
        }
        let (log, log_writer) = Log::new()?;
        let mut child = command(path, &tools.ffmpeg)?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_writer)
            .spawn()
            .with_context(|| format!("cannot start {}", tools.ffmpeg.display()))?;
        let frames = child.stdout.take().context("ffmpeg was started without an output")?;
        let mut source = Self {
            info,
            child,
            frames,
            log,
            first: None,
            size: None,
            buffers: Buffers::default(),
            next_id: 0,
            start: None,
            last_pts: Duration::ZERO,
            ended: false,
        };
        source.first = source.next_frame()?;
        if source.first.is_none() {
            bail!("{}: there is no picture in this video", path.display());
        }
        source.info.start = Duration::try_from_secs_f64(source.start.unwrap_or(0.0)).unwrap_or_default();
        Ok(source)
    }

    fn read_frame(&mut self) -> Result<Option<Frame>> {
        let mut first = Vec::with_capacity(1);
        self.frames.by_ref().take(1).read_to_end(&mut first).context("cannot read from ffmpeg")?;
        // Without a byte ffmpeg has closed its end.
        let Some(&first_byte) = first.first() else { return self.finish() };
        let shown = self.log.next_shown()?.context("ffmpeg sent a frame without saying how large it is")?;
        // Where the size changes in the middle of a stream, ffmpeg scales the rest to the first frame's size.
        let (width, height) = *self.size.get_or_insert((shown.width, shown.height));
        let mut rgb = self.buffers.bytes(rgb_len(width, height)?);
        let pixels = Arc::make_mut(&mut rgb);
        pixels[0] = first_byte;
        if let Err(error) = self.frames.read_exact(&mut pixels[1..]) {
            if error.kind() == ErrorKind::UnexpectedEof {
                self.finish()?;
            }
            return Err(error).context("ffmpeg stopped in the middle of a frame");
        }
        self.buffers.keep(&rgb);
        let (id, pts) = (self.next_id, self.pts(shown.seconds));
        self.next_id += 1;
        self.last_pts = pts;
        Ok(Some(Frame::new(id, pts, (width, height), rgb)))
    }

    /// The time since the first frame, of a frame at `seconds` in the file's own time, where it has one.
    fn pts(&mut self, seconds: Option<f64>) -> Duration {
        if let Some(seconds) = seconds {
            let start = *self.start.get_or_insert(seconds);
            Duration::try_from_secs_f64((seconds - start).max(0.0)).unwrap_or(self.last_pts)
        } else if self.next_id == 0 {
            Duration::ZERO
        } else {
            let gap = self.info.fps.and_then(|fps| Duration::try_from_secs_f64(fps.recip()).ok());
            self.last_pts + gap.unwrap_or(DEFAULT_FRAME_GAP)
        }
    }

    /// ffmpeg has closed the pipe: was that the end of the video, or did something go wrong?
    fn finish(&mut self) -> Result<Option<Frame>> {
        let status = self.child.wait().context("cannot wait for ffmpeg")?;
        let problems = self.log.problems()?;
        if status.success() && problems.is_empty() {
            return Ok(None);
        }
        let what = if self.next_id == 0 {
            "ffmpeg cannot read this as a video".to_owned()
        } else {
            format!("the video is damaged or cut short; {} frames could be read", self.next_id)
        };
        if problems.is_empty() {
            bail!("{what} (ffmpeg ended with {status})");
        }
        bail!("{what} (ffmpeg: {})", problems.join("; "));
    }
}

impl Source for FfmpegSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.ended {
            return Ok(None);
        }
        let frame = self.read_frame().with_context(|| self.info.name.clone());
        self.ended = !matches!(frame, Ok(Some(_)));
        frame
    }

    fn close(&mut self) {
        (self.first, self.ended) = (None, true);
        // Both fail only where it has ended already; waiting is what leaves no zombie behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for FfmpegSource {
    fn drop(&mut self) {
        self.close();
    }
}

fn command(path: &Path, ffmpeg: &Path) -> Result<Command> {
    let [show, every_frame] = options_for(version(ffmpeg)?);
    let mut command = Command::new(ffmpeg);
    command
        .args(["-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info"])
        // A file may be a playlist that points into the network; nothing leaves this machine.
        .args(["-protocol_whitelist", "file", "-i"])
        .arg(file_url(path))
        .args(["-map", "0:v:0", "-an", "-sn", "-dn", "-vf", show, every_frame, "passthrough"])
        // By its rate ffmpeg would round times, and frames of a camera that are close to each other would fall together.
        .args(["-enc_time_base", "1:90000", "-f", "rawvideo", "-pix_fmt", "rgb24", "-flush_packets", "1", "pipe:1"]);
    // Ctrl-C in a terminal goes to a whole process group. This one decides for itself when its child ends.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command)
}

/// What has to be said differently to different versions: how to show frames, and how to get every one. Development builds
/// carry no version number; they are taken as recent.
fn options_for(version: Option<(u32, u32)>) -> [&'static str; 2] {
    if version.is_some_and(|version| version < (5, 1)) {
        ["showinfo", "-vsync"]
    } else {
        // Without the checksums, which take longer than the decoding.
        ["showinfo=checksum=0", "-fps_mode"]
    }
}

fn version(ffmpeg: &Path) -> Result<Option<(u32, u32)>> {
    let output = Command::new(ffmpeg)
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", ffmpeg.display()))?;
    Ok(parse_version(&String::from_utf8_lossy(&output.stdout)))
}

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
    fn versions_choose_the_options() {
        assert_eq!(parse_version("ffmpeg version 5.1.9-0+deb12u1 Copyright"), Some((5, 1)));
        assert_eq!(parse_version("ffmpeg version n6.0 Copyright"), Some((6, 0)));
        assert_eq!(parse_version("ffmpeg version 4.4.2-0ubuntu0.22.04.1"), Some((4, 4)));
        assert_eq!(parse_version("ffmpeg version 7.1"), Some((7, 1)));
        assert_eq!(parse_version("ffmpeg version N-109544-g1234 Copyright"), None);
        assert_eq!(parse_version("ffmpeg version 2024-05-02-git-71669f2ad5-full_build"), None);
        assert_eq!(options_for(Some((4, 4))), ["showinfo", "-vsync"]);
        assert_eq!(options_for(Some((5, 1))), ["showinfo=checksum=0", "-fps_mode"]);
        assert_eq!(options_for(None), options_for(Some((8, 0))));
    }
}
