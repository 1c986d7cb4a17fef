//! How a face becomes the network's input, as the model card says it.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// How a face becomes the network's input. Part of the model card: weights only fit the input that they were trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Width and height of the input in pixels.
    pub size: usize,
    /// By what the crop is laid. Cards of before this field have none; see [`Alignment::default`].
    #[serde(default)]
    pub alignment: Alignment,
    /// Side of the crop as a multiple of the face box's longer side. A crop that is laid by points grows and shrinks with
    /// it: at the default it shows as much as a picture of FER2013.
    pub crop_margin: f32,
    /// How the crop is brought to `size`.
    pub filter: Filter,
    /// What is done to the values after that.
    pub normalization: Normalization,
}

/// By what the crop of a face is laid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// By the box alone: a tilted head is tilted in the crop.
    Box,
    /// By eyes and mouth where they are known, else by the box: heads are upright and of one size.
    ///
    /// Also for weights whose card doesn't say. They learned from boxes around upright faces, or from whole pictures of
    /// FER2013: both are framed as the crop by points is, so for such faces little changes. On a tilted face, which those
    /// weights have not learned, it helps them.
    #[default]
    Points,
}

/// A resampling filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// A triangle as wide as two output pixels, so that a reduced picture does not alias.
    Bilinear,
}

/// What happens to the grey values of a crop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Each crop is brought to mean 0 and deviation 1 by its own values: light and contrast of the room drop out.
    PerCrop {
        /// The least deviation, in grey levels of 255, that is divided by: a flat crop must not become pure noise.
        least_deviation: f32,
    },
}

/// A rustface box has 0.91 times the width of a FER2013 picture around the same centre.
pub(super) const FER_MARGIN: f32 = 1.1;

impl Default for InputSpec {
    fn default() -> Self {
        Self {
            size: 48,
            alignment: Alignment::default(),
            crop_margin: FER_MARGIN,
            filter: Filter::Bilinear,
            normalization: Normalization::PerCrop { least_deviation: 8.0 },
        }
    }
}

impl InputSpec {
    /// Refuses sizes and margins that no network of emocam can have.
    ///
    /// # Errors
    /// When a value is out of range.
    pub fn check(&self) -> Result<()> {
        let Self { size, crop_margin, .. } = self;
        let Normalization::PerCrop { least_deviation } = self.normalization;
        ensure!(
            (0.1..=255.0).contains(&least_deviation),
            "input: expected a least deviation of 0.1 to 255, found {least_deviation}"
        );
        ensure!((16..=256).contains(size), "input: expected a size of 16 to 256 pixels, found {size}");
        ensure!((0.5..=3.0).contains(crop_margin), "input: expected a crop margin of 0.5 to 3, found {crop_margin}");
        Ok(())
    }
}
