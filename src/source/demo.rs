//! The clip inside the program, so that it can be tried without a camera and without a file.
//!
//! An astronaut's portrait (Eileen Collins, NASA, public domain) that moves over a plain background, comes nearer, leaves the
//! picture and comes back. `scripts/make-demo` made it. Its last frame goes over into its first one: it can be played in a
//! loop, by opening it again.

use std::io::Cursor;

use anyhow::Result;

use super::h264::H264Source;

static CLIP: &[u8] = include_bytes!("demo.mp4");

/// Goes to the clip's start, for one pass.
pub(super) fn open() -> Result<H264Source<Cursor<&'static [u8]>>> {
    H264Source::open(Cursor::new(CLIP), "demo".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::frame::Frame;
    use crate::source::Source;

    #[test]
    fn the_demo_plays_to_its_end_and_ends_as_it_begins() {
        let mut source = open().unwrap();
        let frames: Vec<Frame> = std::iter::from_fn(|| source.next_frame().unwrap()).collect();
        assert_eq!(frames.len(), 240);
        assert!(CLIP.len() < 600_000);
        let difference = |a: &Frame, b: &Frame| {
            let differences = a.rgb.iter().zip(b.rgb.iter()).map(|(a, b)| u64::from(a.abs_diff(*b)));
            differences.sum::<u64>()
        };
        // In a loop, the step from the last frame to the first is one like any other.
        let (step, joint) = (difference(&frames[238], &frames[239]), difference(&frames[239], &frames[0]));
        assert!(joint < 2 * step, "{joint}, elsewhere {step}");
    }
}
