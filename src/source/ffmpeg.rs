//! Videos by way of the system's `ffmpeg`, which decodes everything.
//!
//! ffmpeg runs as a child that writes raw RGB frames to a pipe, each with its time and size; what it complains of is read
//! beside them. Owns that child: its start, what its end means, and which frames of it are a video's.
//!
//! Frames come out as they are shown: turned as the file says, with square pixels, every one of them, none made up. Their
//! size may change.

use std::io::{self, ErrorKind};
use std::process::Child;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail, ensure};
use crossbeam::channel::{Receiver, RecvTimeoutError};

use super::complaints::{Complaints, Listener};
use super::ffmpeg_input::{Input, Tools, can_map_tones, command};
use super::ffprobe::{VideoTrack, probe, video_track};
use super::raw_frames::{RawFrame, read_frames};
use super::{Next, Source, SourceInfo};
use crate::flow::frame::Frame;

/// How long one frame is shown where nothing says so, in seconds.
const DEFAULT_GAP: f64 = 0.04;

/// How long [`Source::poll`] waits at most.
const MOMENT: Duration = Duration::from_millis(50);

/// Why a pipe may not be readable where the file is.
const NO_WAY_BACK: &str = "; an MP4 file has its index at the end as a rule, and can't be read out of a pipe then: name the \
    file itself, or write it with `-movflags +faststart`";

/// A video that an ffmpeg child is decoding.
pub(super) struct FfmpegSource {
    info: SourceInfo,
    child: Child,
    frames: Option<Receiver<Result<RawFrame>>>,
    reader: Option<JoinHandle<()>>,
    complaints: Listener,
    /// What its addresses are not to be shown as, and how they are.
    secret: Option<(String, String)>,
    is_pipe: bool,
    track: VideoTrack,
    /// Read ahead by `open`, so that what is no video fails there.
    first: Option<Frame>,
    /// How it ended, known before its last frame was given out.
    ending: Option<Result<()>>,
    next_id: u64,
    /// The first and the last frame's times in the file's own time, in seconds.
    start: f64,
    last: f64,
    warnings: Vec<String>,
}

impl FfmpegSource {
    /// Starts ffmpeg and waits for its first frame.
    pub(super) fn open(input: Input<'_>, tools: &Tools) -> Result<Self> {
        let (name, live, is_pipe) = (input.name(), input.is_live(), matches!(input, Input::Pipe(..)));
        let mut track = match (&input, &tools.ffprobe) {
            (Input::File(path), Some(ffprobe)) => video_track(&probe(ffprobe, path, "v")),
            _ => None,
        };
        let secret = match &input {
            Input::Address(address, name) => Some(((*address).to_owned(), name.clone())),
            Input::File(_) | Input::Pipe(..) => None,
        };
        let warnings = track.as_mut().map_or_else(Vec::new, |track| settle(track, &name, tools));
        let mut child = command(input, tools, track.as_ref())?
            .spawn()
            .with_context(|| format!("cannot start {}", tools.ffmpeg.display()))?;
        let complaints = child.stderr.take().context("ffmpeg was started without a way to complain")?;
        let complaints = Listener::start(complaints)?;
        let frames = child.stdout.take().context("ffmpeg was started without an output")?;
        let track = track.unwrap_or_default();
        let (frames, reader) = read_frames(frames, track.end.is_some())?;
        let mut source = Self {
            info: SourceInfo { name, live, frames: track.frames, fps: track.fps, ..SourceInfo::default() },
            child,
            frames: Some(frames),
            reader: Some(reader),
            complaints,
            secret,
            is_pipe,
            track,
            first: None,
            ending: None,
            next_id: 0,
            start: 0.0,
            last: 0.0,
            warnings,
        };
        source.first = source.next_frame()?;
        ensure!(source.first.is_some(), "{}: there is no picture in this video", source.info.name);
        source.info.start = Duration::try_from_secs_f64(source.start).unwrap_or_default();
        Ok(source)
    }

    /// Waits for a frame, or for so long.
    fn wait(&mut self, most: Option<Duration>) -> Result<Next> {
        if let Some(first) = self.first.take() {
            return Ok(Next::Frame(first));
        }
        if let Some(ending) = self.ending.take() {
            return ending.map(|()| Next::End);
        }
        let Some(frames) = &self.frames else { return Ok(Next::End) };
        let came = match most {
            Some(most) => frames.recv_timeout(most),
            None => frames.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let outcome = match came {
            Ok(Ok(frame)) => return Ok(Next::Frame(self.frame(frame))),
            Err(RecvTimeoutError::Timeout) => return Ok(Next::Waiting(None)),
            Err(RecvTimeoutError::Disconnected) => self.finish(),
            // Where the stream breaks off, ffmpeg knows why.
            Ok(Err(error)) if is_cut(&error) => self.finish().and(Err(error)),
            Ok(Err(error)) => Err(error),
        };
        self.close();
        outcome.map(|()| Next::End).with_context(|| self.info.name.clone())
    }

    fn frame(&mut self, raw: RawFrame) -> Frame {
        if self.next_id == 0 {
            self.start = raw.seconds;
        }
        self.last = raw.seconds;
        let pts = Duration::try_from_secs_f64(raw.seconds - self.start).unwrap_or_default();
        let mut frame = Frame::new(self.next_id, pts, raw.size, raw.rgb);
        frame.captured_at = if self.info.live { raw.came_at } else { Instant::now() };
        self.next_id += 1;
        if raw.is_last {
            let ending = self.finish();
            // Of a file that is cut short nobody knows which frame was the last.
            frame.duration = ending.is_ok().then(|| self.last_duration()).flatten();
            self.close();
            self.ending = Some(ending.with_context(|| self.info.name.clone()));
        }
        frame
    }

    /// How long one frame is shown, in seconds.
    fn gap(&self) -> f64 {
        self.track.fps.map_or(DEFAULT_GAP, f64::recip)
    }

    /// How much longer the file says that it is than what came, in seconds.
    fn missing(&self) -> Option<f64> {
        let missing = self.track.end? - self.last - self.gap();
        // A frame more or less is a question of rounding, and of where an edit list begins.
        Some(missing).filter(|&missing| missing > self.gap())
    }

    fn last_duration(&self) -> Option<Duration> {
        let rest = self.missing().map(|missing| missing + self.gap());
        let seconds = rest.or(self.track.fps.map(f64::recip))?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// ffmpeg has closed the pipe: was that the end of the video, or did something go wrong?
    fn finish(&mut self) -> Result<()> {
        let status = self.child.wait().context("cannot wait for ffmpeg")?;
        let Complaints { first, count } = self.complaints.finish();
        let mut complaint = first.join("; ");
        if let Some((address, name)) = &self.secret {
            complaint = complaint.replace(address, name);
        }
        let frames = self.next_id;
        if status.success() && (count == 0 || (frames > 0 && self.missing().is_none())) {
            if count > 0 {
                self.warnings.push(format!(
                    "{}: {frames} frames were read; ffmpeg complained {count} times of what it could not read or had to \
                     mend (first of: {complaint})",
                    self.info.name
                ));
            }
            return Ok(());
        }
        let what = if frames == 0 {
            "ffmpeg cannot read this as a video".to_owned()
        } else {
            format!("the video is damaged or cut short; {frames} frames could be read")
        };
        if count == 0 {
            bail!("{what} (ffmpeg ended with {status})");
        }
        let hint = if self.is_pipe && frames == 0 { NO_WAY_BACK } else { "" };
        bail!("{what} (ffmpeg: {complaint}){hint}");
    }
}

/// Leaves out what this ffmpeg can't do. What is to be known of that, and of a choice among tracks, is returned.
fn settle(track: &mut VideoTrack, name: &str, tools: &Tools) -> Vec<String> {
    let mut warnings = Vec::new();
    let VideoTrack { size: (width, height), others, .. } = *track;
    if others > 0 {
        warnings.push(format!("{name}: of its {} tracks of video the largest is taken, {width}x{height}", others + 1));
    }
    if track.high_range.is_some() && !can_map_tones(tools) {
        track.high_range = None;
        warnings.push(format!(
            "{name} has a high dynamic range, which this ffmpeg can't bring to an ordinary one: its colors are pale, and \
             emotions less sure (install an ffmpeg that has the filters zscale and tonemap)"
        ));
    }
    warnings
}

/// Whether a stream ended in the middle of something.
fn is_cut(error: &Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| kind == ErrorKind::UnexpectedEof)
}

impl Source for FfmpegSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        Ok(match self.wait(None)? {
            Next::Frame(frame) => Some(frame),
            Next::Waiting(_) | Next::End => None,
        })
    }

    fn poll(&mut self) -> Result<Next> {
        self.wait(Some(MOMENT))
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn close(&mut self) {
        (self.first, self.ending, self.frames) = (None, None, None);
        // Both fail only where it has ended already; waiting is what leaves no zombie behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its pipe is closed, and nobody listens: it ends.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for FfmpegSource {
    fn drop(&mut self) {
        self.close();
    }
}
