//! A source whose frames are turned by quarters, before anything else sees them: for a camera that is mounted sideways.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Error, Result, bail};

use super::{Health, Next, Source, SourceInfo};
use crate::flow::frame::Frame;
use crate::system::buffers::Buffers;

/// Pixels of one side of the squares that are turned one after the other: their lines stay in the processor's cache.
const TILE: usize = 32;

/// How far a picture is turned, clockwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A quarter: what was on the left is above.
    Right,
    /// Upside down.
    Half,
    /// Three quarters: what was on the right is above.
    Left,
}

impl Turn {
    /// In degrees.
    pub fn degrees(self) -> u16 {
        match self {
            Self::Right => 90,
            Self::Half => 180,
            Self::Left => 270,
        }
    }
}

impl FromStr for Turn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "90" => Self::Right,
            "180" => Self::Half,
            "270" => Self::Left,
            _ => bail!("expected 90, 180 or 270"),
        })
    }
}

/// A source whose frames are turned.
pub struct RotatedSource {
    inner: Box<dyn Source>,
    turn: Turn,
    buffers: Buffers<[u8]>,
}

impl RotatedSource {
    /// A source, turned.
    pub fn new(inner: Box<dyn Source>, turn: Turn) -> Self {
        Self { inner, turn, buffers: Buffers::default() }
    }

    fn turned(&mut self, frame: Frame) -> Frame {
        let (width, height) = (frame.width as usize, frame.height as usize);
        let mut turned = self.buffers.bytes(frame.rgb.len());
        // Nobody else holds it.
        if let Some(target) = Arc::get_mut(&mut turned) {
            turn(frame.rgb.as_chunks().0, target.as_chunks_mut().0, (width, height), self.turn);
        }
        self.buffers.keep(&turned);
        let (width, height) =
            if self.turn == Turn::Half { (frame.width, frame.height) } else { (frame.height, frame.width) };
        Frame { width, height, rgb: turned, ..frame }
    }
}

/// Turns a picture of so many pixels a row and so many rows.
fn turn(from: &[[u8; 3]], to: &mut [[u8; 3]], (width, height): (usize, usize), turn: Turn) {
    if from.len() != width * height || to.len() != from.len() {
        return;
    }
    if turn == Turn::Half {
        return to.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
    }
    for top in (0..height).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for x in left..(left + TILE).min(width) {
                for y in top..(top + TILE).min(height) {
                    // Rows become columns, whose number of pixels is now that of a row.
                    let place = match turn {
                        Turn::Right => x * height + height - 1 - y,
                        _ => (width - 1 - x) * height + y,
                    };
                    to[place] = from[y * width + x];
                }
            }
        }
    }
}

impl Source for RotatedSource {
    fn info(&self) -> &SourceInfo {
        self.inner.info()
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        Ok(self.inner.next_frame()?.map(|frame| self.turned(frame)))
    }

    fn poll(&mut self) -> Result<Next> {
        Ok(match self.inner.poll()? {
            Next::Frame(frame) => Next::Frame(self.turned(frame)),
            other => other,
        })
    }

    fn warnings(&mut self) -> Vec<String> {
        self.inner.warnings()
    }

    fn close(&mut self) {
        self.inner.close();
    }

    fn health(&self) -> Health {
        self.inner.health()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use image::imageops::{rotate90, rotate180, rotate270};
    use image::{Rgb, RgbImage};

    use super::*;

    /// Gives one frame.
    struct One(Option<Frame>, SourceInfo);

    impl Source for One {
        fn info(&self) -> &SourceInfo {
            &self.1
        }

        fn next_frame(&mut self) -> Result<Option<Frame>> {
            Ok(self.0.take())
        }
    }

    #[test]
    fn pictures_are_turned_clockwise_whatever_their_size() {
        for (width, height) in [(1, 1), (3, 2), (70, 33), (32, 64), (1, 100)] {
            let picture = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 7]));
            let expected = [rotate90(&picture), rotate180(&picture), rotate270(&picture)];
            for (degrees, expected) in ["90", "180", "270"].into_iter().zip(expected) {
                let pts = Duration::from_secs(3);
                let frame = Frame::new(5, pts, (width, height), picture.as_raw().as_slice().into());
                let turn: Turn = degrees.parse().expect(degrees);
                assert_eq!(turn.degrees().to_string(), degrees);
                let mut source = RotatedSource::new(Box::new(One(Some(frame), SourceInfo::default())), turn);
                let Ok(Next::Frame(turned)) = source.poll() else { panic!("a frame") };
                assert_eq!((turned.id, turned.pts), (5, pts));
                assert_eq!((turned.width, turned.height), expected.dimensions());
                assert_eq!(turned.rgb[..], expected.as_raw()[..], "{degrees} {width}x{height}");
                assert!(source.next_frame().expect("the end").is_none());
            }
        }
    }

    #[test]
    fn only_quarters_are_turns() {
        for text in ["0", "45", "360", "-90", "90.0", "right", ""] {
            assert!(text.parse::<Turn>().is_err(), "{text}");
        }
    }
}
