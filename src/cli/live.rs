//! Arguments of `emocam live`.

use anyhow::Result;
use clap::Args;

use super::common::{Common, source_parser};
use super::dials::positive;
use crate::view::keys::Mirror;
use emocam::source::{SourceSpec, WantedFormat};

/// `emocam live`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam live                            the first camera, else the demo
  emocam live 1 -o today.mp4             camera 1, and a recording
  emocam live C920                       the camera with this in its name
  emocam live rtsp://192.168.1.20/1      a camera in the network
  emocam live demo                       a short clip inside the program
  emocam live --privacy blur             faces are hidden
  emocam live --headless -o - | jq .     no window, JSON lines
  emocam live -o /dev/video10            a camera for meetings (v4l2loopback)
  emocam live --osc 127.0.0.1:9000       faces to a program that listens

Keys in the window: h shows them all, q or Esc ends the run, r records,
s saves the picture, p hides faces, 1 to 9 mark the moment in the data, c
takes the next camera. Ctrl-C in the terminal ends the run, too.

A line on standard input marks the moment as well: one typed in the terminal,
or written to a pipe by the program that runs an experiment.")]
pub(crate) struct Live {
    /// Camera index, part of a camera's name, /dev/video path, video, picture, folder of pictures, address (rtsp://,
    /// http://, udp:// and others, with ffmpeg), - for a video from standard input, or demo
    #[arg(value_name = "SOURCE", value_parser = source_parser())]
    pub(crate) source: Option<SourceSpec>,

    /// Options that `annotate` has too
    #[command(flatten)]
    pub(crate) common: Common,

    /// Read at most this many faces of a frame, and the others by turns in the next ones: in between each keeps what it
    /// showed last [default: 4 for each of --threads, where a camera's time is short; all on a GPU and of files]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Faces and labels")]
    pub(crate) labels: Option<usize>,

    /// Send each frame's faces to a program that listens for OSC (Open Sound Control) over UDP, such as 127.0.0.1:9000; only
    /// then does anything leave this machine, if HOST is another one. `emocam help data` has the messages
    #[arg(long, value_name = "HOST:PORT", help_heading = "Outputs")]
    pub(crate) osc: Option<String>,

    /// Run without a window; show one line of status in the terminal
    #[arg(long, help_heading = "Picture")]
    pub(crate) headless: bool,

    /// Where to mirror the picture: off, auto (in the window, for cameras), window or all (recordings, too). Data keep the
    /// camera's own sides
    #[arg(
        long,
        value_enum,
        value_name = "WHERE",
        default_value_t,
        hide_possible_values = true,
        help_heading = "Picture"
    )]
    pub(crate) mirror: Mirror,

    /// Ask a camera for a size, a frame rate and a pixel format (mjpeg, yuyv, nv12 and others), such as 1280x720,
    /// 1280x720@30 or 1280x720@30:mjpeg [default: what is nearest to 640x480 at 25 fps or more]
    #[arg(long, value_name = "FORMAT", help_heading = "Camera")]
    pub(crate) camera_format: Option<WantedFormat>,

    /// End with an error when the camera is unplugged or stops, instead of waiting for it
    #[arg(long, help_heading = "Camera")]
    pub(crate) no_reconnect: bool,
}

impl Live {
    /// Refuses what is wrong only in combination.
    pub(super) fn check(&self) -> Result<()> {
        self.common.check(|| self.source.as_ref().is_some_and(SourceSpec::is_one_picture))
    }
}
