//! The layout that training runs in on a CPU: sixteen pictures side by side.
//!
//! `(batch, channels, height, width)` becomes `(batch / 16, channels, height, width, 16)`. The last dimension is as wide as
//! the widest vector registers, so each operation works on whole vectors, whatever the picture's size. On a GPU tensors keep
//! their usual layout.

use candle_core::{D, Result, Tensor, bail};

/// Pictures side by side: the values of an AVX-512 register, two of AVX2, four of NEON.
pub const LANES: usize = 16;

/// Pictures `(batch, channels, height, width)` in the layout that [`super::conv_norm`] takes.
///
/// # Errors
/// On a CPU, when the batch is not a multiple of [`LANES`].
pub fn lanes_from_pictures(pictures: &Tensor) -> Result<Tensor> {
    if !pictures.device().is_cpu() {
        return Ok(pictures.clone());
    }
    let (batch, channels, height, width) = pictures.dims4()?;
    if batch == 0 || batch % LANES != 0 {
        bail!("expected a batch of a multiple of {LANES} pictures, found {batch}");
    }
    pictures.reshape((batch / LANES, LANES, channels, height, width))?.permute((0, 2, 3, 4, 1))?.contiguous()
}

/// The mean of each channel of each picture in the layout of training, `(batch, channels)`.
///
/// # Errors
/// When the tensor has another layout.
pub fn lane_means(x: &Tensor) -> Result<Tensor> {
    let means = x.mean((2, 3))?;
    if !x.device().is_cpu() {
        return Ok(means);
    }
    let (groups, channels, lanes) = means.dims3()?;
    means.transpose(1, D::Minus1)?.reshape((groups * lanes, channels))
}
