//! The smallest face that is looked for: in pixels, or as a share of the frame.

use anyhow::{Result, ensure};
use image::GrayImage;

/// The smallest face to be found, as a width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SmallestFace {
    /// In pixels, at least 1.
    Pixels(u32),
    /// As a share of the frame's shorter side, but not less than 16 pixels.
    Share(f32),
}

impl SmallestFace {
    /// For cameras and videos: 24 pixels at 640x480, someone six metres away from a webcam.
    pub const IN_MOTION: Self = Self::Share(1.0 / 20.0);

    /// For pictures, where nothing is in a hurry and people stand in groups.
    pub const IN_PICTURES: Self = Self::Share(1.0 / 30.0);

    /// For hiding faces: as small as they can be found, and of very large pictures what a search comes to an end with.
    pub const TO_HIDE: Self = Self::Share(1.0 / 300.0);

    /// Of smaller faces neither detector finds most.
    const LEAST: f32 = 16.0;

    /// Refuses a size that no face in such a frame can have.
    ///
    /// # Errors
    /// When it is larger than the frame.
    pub(crate) fn check(self, frame: &GrayImage) -> Result<()> {
        let (width, height) = frame.dimensions();
        if let Self::Pixels(pixels) = self {
            ensure!(
                pixels <= width.min(height),
                "no face of {pixels} pixels and more fits into a frame of {width}x{height}: ask for smaller ones (--min-face)"
            );
        }
        Ok(())
    }

    /// In pixels of a frame of this size.
    pub fn in_frame(self, width: u32, height: u32) -> f32 {
        match self {
            Self::Pixels(pixels) => pixels as f32,
            Self::Share(share) => (width.min(height) as f32 * share).max(Self::LEAST),
        }
    }
}
