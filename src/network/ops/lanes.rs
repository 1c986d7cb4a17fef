//! The layout that training runs in on a CPU: sixteen pictures side by side.
//!
//! `(batch, channels, height, width)` becomes `(groups, channels, height, width, 16)`. The last dimension is as wide as the
//! widest vector registers, so each operation works on whole vectors, whatever the picture's size. Where the pictures do not
//! fill the last group, what is in the rest of it counts for nothing: it enters no statistics and has no gradient.

use candle_core::{D, Result, Tensor, bail};

/// Pictures side by side: the values of an AVX-512 register, two of AVX2, four of NEON.
pub(super) const LANES: usize = 16;

/// As [`super::training_layout`].
pub(super) fn from_pictures(pictures: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = pictures.dims4()?;
    if batch == 0 {
        bail!("expected a batch of at least one picture, found none");
    }
    let groups = batch.div_ceil(LANES);
    let filled = pictures.pad_with_zeros(0, 0, groups * LANES - batch)?;
    filled.reshape((groups, LANES, channels, height, width))?.permute((0, 2, 3, 4, 1))?.contiguous()
}

/// As [`super::training_means`].
pub(super) fn means(x: &Tensor, batch: usize) -> Result<Tensor> {
    let means = x.mean((2, 3))?;
    let (groups, channels, lanes) = means.dims3()?;
    means.transpose(1, D::Minus1)?.reshape((groups * lanes, channels))?.narrow(0, 0, batch)
}

/// How many pictures the last of these groups holds.
pub(super) fn in_last_group(batch: usize, groups: usize) -> Result<usize> {
    match batch.checked_sub((groups - 1) * LANES) {
        Some(count @ 1..=LANES) => Ok(count),
        _ => bail!("a batch of {batch} pictures in {groups} groups of {LANES}"),
    }
}
