//! What a camera can deliver, what is wanted of it, and which of its formats comes nearest.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};

/// The wanted size: enough for a face at the other end of a desk, and cheap to search.
const SIZE: (u32, u32) = (640, 480);

/// What is narrower shows faces only up close, in pixels.
const SMALLEST_WIDTH: u32 = 320;

/// The wanted frames per second, and the fewest that look like motion.
const FPS: f64 = 30.0;
const LOWEST_FPS: f64 = 25.0;

/// How pixels come, the best first: as MJPEG, USB cameras reach their full frame rate; what is not compressed comes before
/// H.264, where one lost frame costs many; grey ones are infrared cameras.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PixelFormat {
    /// One JPEG per frame.
    Mjpeg,
    /// YCbCr 4:2:2, two pixels in four bytes.
    Yuyv,
    /// The same in another order.
    Uyvy,
    /// YCbCr 4:2:0 in two planes.
    Nv12,
    /// YCbCr 4:2:0 in three planes, also called I420.
    Yu12,
    /// The same with the planes of chroma in the other order.
    Yv12,
    /// Red, green and blue in three bytes.
    Rgb3,
    /// Blue, green and red in three bytes.
    Bgr3,
    /// One picture of an H.264 stream per frame.
    H264,
    /// One byte of lightness per pixel.
    Grey,
}

impl PixelFormat {
    /// All that emocam reads, the best first.
    pub const ALL: [Self; 10] = [
        Self::Mjpeg,
        Self::Yuyv,
        Self::Uyvy,
        Self::Nv12,
        Self::Yu12,
        Self::Yv12,
        Self::Rgb3,
        Self::Bgr3,
        Self::H264,
        Self::Grey,
    ];

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mjpeg => "MJPEG",
            Self::Yuyv => "YUYV",
            Self::Uyvy => "UYVY",
            Self::Nv12 => "NV12",
            Self::Yu12 => "YU12",
            Self::Yv12 => "YV12",
            Self::Rgb3 => "RGB3",
            Self::Bgr3 => "BGR3",
            Self::H264 => "H264",
            Self::Grey => "GREY",
        }
    }

    /// The names of all, for people.
    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PixelFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(text));
        known.with_context(|| format!("{text:?} is none of {}", Self::names().to_lowercase()))
    }
}

/// Frames per second as drivers state them: so many frames in so many seconds, such as 30000 in 1001.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Frames.
    pub frames: u32,
    /// Seconds that they take, at least 1.
    pub seconds: u32,
}

impl Rate {
    /// Frames per second.
    pub fn fps(self) -> f64 {
        f64::from(self.frames) / f64::from(self.seconds.max(1))
    }
}

impl fmt::Display for Rate {
    /// With two digits where it is no whole number: `30`, `29.97`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (self.fps() * 100.0).round() / 100.0)
    }
}

/// One thing that a camera can deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CameraFormat {
    /// How pixels come.
    pub pixel_format: PixelFormat,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// How many frames, at most.
    pub rate: Rate,
}

impl CameraFormat {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

impl fmt::Display for CameraFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} {} at {} fps", self.width, self.height, self.pixel_format, self.rate)
    }
}

/// What a user asks of a camera: `1280x720`, `1280x720@30`, `1280x720@30:mjpeg`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WantedFormat {
    /// Width and height in pixels.
    pub(super) size: (u32, u32),
    fps: Option<f64>,
    pixel_format: Option<PixelFormat>,
}

#[cfg_attr(any(not(target_os = "linux"), feature = "nokhwa"), allow(dead_code, reason = "only V4L2 tells of steps"))]
impl WantedFormat {
    /// The frame rate, if one is asked for, to a thousandth.
    pub(super) fn rate(&self) -> Option<Rate> {
        self.fps.map(|fps| Rate { frames: (fps * 1000.0).round() as u32, seconds: 1000 })
    }
}

impl WantedFormat {
    /// Whether a format is what was asked for.
    fn is_met_by(&self, format: &CameraFormat) -> bool {
        // 29.97 is what is meant by 30.
        self.size == format.size()
            && self.fps.is_none_or(|fps| (fps - format.rate.fps()).abs() < 0.5)
            && self.pixel_format.is_none_or(|pixels| pixels == format.pixel_format)
    }
}

impl FromStr for WantedFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let form = "expected WIDTHxHEIGHT[@FPS][:PIXELS], such as 1280x720@30:mjpeg";
        let (rest, pixel_format) = match text.split_once(':') {
            Some((rest, pixels)) => (rest, Some(pixels.parse()?)),
            None => (text, None),
        };
        let (size, fps) = match rest.split_once('@') {
            Some((size, fps)) => (size, Some(fps.parse::<f64>().context(form)?)),
            None => (rest, None),
        };
        let (width, height) = size.split_once('x').context(form)?;
        let size = (width.parse().context(form)?, height.parse().context(form)?);
        ensure!(size.0 > 0 && size.1 > 0 && fps.is_none_or(|fps| fps > 0.0 && fps.is_finite()), form);
        Ok(Self { size, fps, pixel_format })
    }
}

impl fmt::Display for WantedFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.size.0, self.size.1)?;
        if let Some(pixels) = self.pixel_format {
            write!(f, " {pixels}")?;
        }
        self.fps.map_or(Ok(()), |fps| write!(f, " at {fps} fps"))
    }
}

/// The format that is nearest to what is wanted. Where nothing was asked for, motion comes first, then the size, then how
/// the pixels come. A size that was asked for comes before the frame rate: who asks for it knows what it costs.
pub(super) fn best_format(formats: &[CameraFormat], asked: Option<&WantedFormat>) -> Option<CameraFormat> {
    let size = asked.map_or(SIZE, |asked| asked.size);
    let fps = asked.and_then(|asked| asked.fps).unwrap_or(FPS);
    let distance = |format: &CameraFormat| {
        let rate = format.rate.fps();
        let other_pixels =
            asked.and_then(|asked| asked.pixel_format).is_some_and(|pixels| pixels != format.pixel_format);
        let off = f64::from(format.width.abs_diff(size.0)) + f64::from(format.height.abs_diff(size.1));
        let missing = (LOWEST_FPS.min(fps) - rate).max(0.0);
        let too_small = f64::from(u8::from(format.width < SMALLEST_WIDTH));
        let rate_off = (rate - fps).abs();
        let rank = f64::from(format.pixel_format as u8);
        match asked.map(|asked| asked.fps) {
            None => [too_small, missing, off, rank, rate_off],
            Some(None) => [f64::from(u8::from(other_pixels)), off, missing, rank, rate_off],
            Some(Some(_)) => [f64::from(u8::from(other_pixels)), off, rate_off, rank, 0.0],
        }
    };
    let nearer = |a: &CameraFormat, b: &CameraFormat| {
        let pairs = distance(a).into_iter().zip(distance(b));
        pairs.map(|(a, b)| a.total_cmp(&b)).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    };
    formats.iter().copied().min_by(nearer)
}

/// What to add to a camera's name where it does not deliver what was asked for.
pub(super) fn unmet(asked: Option<&WantedFormat>, format: &CameraFormat) -> String {
    asked.filter(|asked| !asked.is_met_by(format)).map_or_else(String::new, |asked| format!(" (asked for {asked})"))
}

#[cfg(test)]
mod tests {
    use super::PixelFormat::{Bgr3, Grey, H264, Mjpeg, Nv12, Uyvy, Yuyv};
    use super::*;

    fn format(pixel_format: PixelFormat, width: u32, height: u32, fps: u32) -> CameraFormat {
        CameraFormat { pixel_format, width, height, rate: Rate { frames: fps, seconds: 1 } }
    }

    #[test]
    fn motion_comes_before_size_and_size_before_pixels() {
        let best = |formats: &[CameraFormat]| best_format(formats, None);
        let slow = format(Yuyv, 640, 480, 10);
        let large = format(Mjpeg, 1280, 720, 30);
        let small = format(Yuyv, 640, 360, 30);
        assert_eq!(best(&[slow, large]), Some(large));
        assert_eq!(best(&[slow, large, small]), Some(small));
        let (nv12, mjpeg) = (format(Nv12, 640, 480, 30), format(Mjpeg, 640, 480, 30));
        assert_eq!(best(&[slow, nv12, format(Mjpeg, 640, 480, 60), mjpeg]), Some(mjpeg));
        assert_eq!(best(&[format(Yuyv, 320, 240, 5), slow]), Some(slow));
        let (h264, uyvy, bgr3) = (format(H264, 640, 480, 30), format(Uyvy, 640, 480, 30), format(Bgr3, 640, 480, 30));
        assert_eq!(best(&[h264, bgr3, uyvy]), Some(uyvy));
        assert_eq!(best(&[slow, h264, format(Grey, 640, 480, 30)]), Some(h264));
        assert_eq!(best(&[format(Grey, 340, 340, 30)]), Some(format(Grey, 340, 340, 30)));
        assert_eq!(best(&[]), None);
        assert_eq!(
            best(&[format(Mjpeg, 160, 120, 20), format(Mjpeg, 640, 480, 15)]),
            Some(format(Mjpeg, 640, 480, 15))
        );
        let ntsc = CameraFormat { rate: Rate { frames: 30000, seconds: 1001 }, ..mjpeg };
        assert_eq!(best(&[format(Mjpeg, 640, 480, 15), ntsc]), Some(ntsc));
    }

    #[test]
    fn what_is_asked_for_comes_before_the_frame_rate() {
        let formats = [
            format(Mjpeg, 640, 480, 30),
            format(Yuyv, 1280, 720, 10),
            format(Mjpeg, 1280, 720, 30),
            format(Nv12, 640, 480, 60),
        ];
        let best = |asked: &str| best_format(&formats, Some(&asked.parse().expect("well-formed"))).expect("one");
        assert_eq!(best("1280x720"), formats[2]);
        assert_eq!(best("1280x720:yuyv"), formats[1]);
        assert_eq!(best("1280x720@10"), formats[1]);
        assert_eq!(best("1920x1080@30"), formats[2]);
        assert_eq!(best("640x480@60"), formats[3]);
        assert_eq!(best("640x480:grey"), formats[0]);
        let formats = [format(Yuyv, 1280, 720, 10), format(Mjpeg, 1280, 720, 60)];
        let best = |asked: &str| best_format(&formats, Some(&asked.parse().expect("well-formed"))).expect("one");
        assert_eq!(best("1280x720"), formats[1]);
        assert_eq!(best("1280x720@15"), formats[0]);
    }

    #[test]
    fn what_is_not_met_is_said() {
        let unmet = |asked: &str| unmet(Some(&asked.parse().expect("well-formed")), &format(Mjpeg, 640, 480, 30));
        assert_eq!(unmet("640x480@29.97:mjpeg"), "");
        assert_eq!(unmet("640x480"), "");
        assert_eq!(unmet("1280x720@30:yuyv"), " (asked for 1280x720 YUYV at 30 fps)");
        assert_eq!(super::unmet(None, &format(Mjpeg, 1, 1, 1)), "");
    }

    #[test]
    fn senseless_formats_are_refused() {
        for text in ["", "640", "640x", "x480", "640x480@", "640x480@0", "640x480@NaN", "640x480:h265", "0x480", "-1x2"]
        {
            assert!(text.parse::<WantedFormat>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn rates_have_no_more_digits_than_they_need() {
        assert_eq!(Rate { frames: 30, seconds: 1 }.to_string(), "30");
        assert_eq!(Rate { frames: 30000, seconds: 1001 }.to_string(), "29.97");
        assert_eq!(Rate { frames: 25, seconds: 2 }.to_string(), "12.5");
    }
}
