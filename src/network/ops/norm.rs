//! Batch norm's arithmetic: statistics, the normalized values, and the gradient.
//!
//! Values are `(groups, channels, pixels)`, where a group is sixteen pictures side by side.

use std::array;

use pulp::Arch;
use rayon::prelude::*;

use super::lanes::LANES;
use super::storage::kept;

/// Mean and (biased) variance of each channel over a batch.
pub(super) struct Statistics {
    /// One mean per channel.
    pub(super) mean: Vec<f32>,
    /// One variance per channel, divided by the count.
    pub(super) variance: Vec<f32>,
    /// How many values went into each.
    pub(super) count: usize,
}

impl Statistics {
    /// Of `(groups, channels, pixels)`, where the last group holds so many pictures.
    pub(super) fn new(values: &[f32], channels: usize, pixels: usize, filled: usize) -> Self {
        let groups = values.len() / channels / pixels;
        let (arch, count) = (Arch::new(), ((groups - 1) * LANES + filled) * (pixels / LANES));
        let statistics = (0..channels).into_par_iter().map(|channel| {
            let (mut sum, mut squares) = (0f64, 0f64);
            // The first value is near the mean, so the squares do not cancel out.
            let near = values[channel * pixels];
            for (group, plane) in planes(values, channel, channels, pixels).enumerate() {
                let (plane_sum, plane_squares) = if group + 1 == groups && filled < LANES {
                    let pictures: Vec<f32> =
                        in_lanes(plane).iter().flat_map(|lanes| &lanes[..filled]).copied().collect();
                    arch.dispatch(|| sums(&pictures, near))
                } else {
                    arch.dispatch(|| sums(plane, near))
                };
                sum += f64::from(plane_sum);
                squares += f64::from(plane_squares);
            }
            let mean = sum / count as f64;
            ((f64::from(near) + mean) as f32, (squares / count as f64 - mean * mean).max(0.0) as f32)
        });
        let (mean, variance) = statistics.collect::<Vec<_>>().into_iter().unzip();
        Self { mean, variance, count }
    }
}

/// Batch norm by given statistics.
pub(super) struct Normalization<'a> {
    pub(super) statistics: &'a Statistics,
    pub(super) epsilon: f32,
    /// Scale of each channel.
    pub(super) gamma: &'a [f32],
    /// Values of one channel in one group, a multiple of [`LANES`].
    pub(super) pixels: usize,
    /// Pictures in the last group.
    pub(super) filled: usize,
}

/// Gradients of batch norm.
pub(super) struct NormGradient {
    pub(super) input: Vec<f32>,
    pub(super) gamma: Vec<f32>,
    pub(super) beta: Vec<f32>,
    /// The output's gradient where the output is not rectified, if it was asked for.
    pub(super) rectified: Option<Vec<f32>>,
}

impl Normalization<'_> {
    /// The channel of the `i`th [`LANES`] values.
    fn channel(&self, i: usize) -> usize {
        i * LANES / self.pixels % self.gamma.len()
    }

    fn inverse_deviations(&self) -> Vec<f32> {
        self.statistics.variance.iter().map(|variance| 1.0 / (variance + self.epsilon).sqrt()).collect()
    }

    /// `(x - mean) / sqrt(variance + e) * gamma + beta + skip`, not below 0 on demand.
    pub(super) fn apply(&self, x: &[f32], beta: &[f32], skip: Option<&[f32]>, relu: bool) -> Vec<f32> {
        let inverse = self.inverse_deviations();
        let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
        let scales: Vec<f32> = self.gamma.iter().zip(&inverse).map(|(gamma, inverse)| gamma * inverse).collect();
        let means = self.statistics.mean.iter().zip(&scales);
        let shifts: Vec<f32> = beta.iter().zip(means).map(|(beta, (mean, scale))| beta - mean * scale).collect();
        let skip = skip.map(in_lanes);
        let output = in_lanes(x).par_iter().enumerate().map(|(i, x)| {
            let (scale, shift) = (scales[self.channel(i)], shifts[self.channel(i)]);
            match skip {
                Some(skip) => array::from_fn(|lane| (x[lane] * scale + shift + skip[i][lane]).max(floor)),
                None => x.map(|x| (x * scale + shift).max(floor)),
            }
        });
        output.collect::<Vec<[f32; LANES]>>().into_flattened()
    }

    /// The gradients, from the input and the output's gradient; `rectified` is the output where it was rectified.
    pub(super) fn gradient(
        &self,
        x: &[f32],
        grad: &[f32],
        rectified: Option<&[f32]>,
        wants_rectified: bool,
    ) -> NormGradient {
        let (arch, inverse) = (Arch::new(), self.inverse_deviations());
        let (channels, pixels, count) = (self.gamma.len(), self.pixels, self.statistics.count as f32);
        // Where nothing was rectified, all of the gradient goes on: any values above 0 will do.
        let (y, floor) = rectified.map_or((grad, f32::NEG_INFINITY), |y| (y, 0.0));
        let sums = |channel: usize| {
            let planes = |values| planes(values, channel, channels, pixels);
            let (mean, mut shift, mut scale) = (self.statistics.mean[channel], 0f64, 0f64);
            for ((x, y), g) in planes(x).zip(planes(y)).zip(planes(grad)) {
                let (plane_shift, plane_scale) = arch.dispatch(|| gradient_sums(x, y, g, mean, floor));
                shift += f64::from(plane_shift);
                scale += f64::from(plane_scale * inverse[channel]);
            }
            (shift as f32, scale as f32)
        };
        let (beta, gamma): (Vec<f32>, Vec<f32>) = (0..channels).into_par_iter().map(sums).unzip();
        let (x, y, grad) = (in_lanes(x), in_lanes(y), in_lanes(grad));
        let input = x.par_iter().zip(y.par_iter().zip(grad)).enumerate().map(|(i, (x, (y, g)))| {
            let channel = self.channel(i);
            let (mean, inverse) = (self.statistics.mean[channel], inverse[channel]);
            // What remains of the output's gradient after its mean and its share along the input are taken out.
            let factor = self.gamma[channel] * inverse;
            let (mean_shift, slope) = (beta[channel] / count, gamma[channel] / count * inverse);
            array::from_fn(|lane| factor * (kept(g[lane], y[lane] > floor) - mean_shift - (x[lane] - mean) * slope))
        });
        let mut input = input.collect::<Vec<[f32; LANES]>>();
        if self.filled < LANES {
            // No picture, no gradient; the output has none there either.
            let last = input.len() - channels * pixels / LANES;
            input[last..].iter_mut().for_each(|lanes| lanes[self.filled..].fill(0.0));
        }
        let input = input.into_flattened();
        let rectified = wants_rectified.then(|| {
            let passed = y.par_iter().zip(grad).map(|(y, g)| array::from_fn(|lane| kept(g[lane], y[lane] > floor)));
            passed.collect::<Vec<[f32; LANES]>>().into_flattened()
        });
        NormGradient { input, gamma, beta, rectified }
    }
}

/// The slices of one channel, one per group.
fn planes(values: &[f32], channel: usize, channels: usize, pixels: usize) -> impl Iterator<Item = &[f32]> {
    values.chunks_exact(pixels).skip(channel).step_by(channels)
}

/// The values, [`LANES`] at a time. Work on these is collected into memory that was not zeroed before, which a loop over a
/// mutable slice would need.
fn in_lanes(values: &[f32]) -> &[[f32; LANES]] {
    values.as_chunks().0
}

/// Sums are kept in this many lanes: processors add lanes side by side, and the order of summation stays fixed.
const SUMS: usize = 32;

/// Sums of `x - near` and of its square.
#[inline(always)]
fn sums(values: &[f32], near: f32) -> (f32, f32) {
    let (chunks, rest) = values.as_chunks::<SUMS>();
    let (mut sums, mut squares) = ([0f32; SUMS], [0f32; SUMS]);
    for chunk in chunks {
        for i in 0..SUMS {
            let x = chunk[i] - near;
            sums[i] += x;
            squares[i] += x * x;
        }
    }
    for x in rest {
        sums[0] += x - near;
        squares[0] += (x - near) * (x - near);
    }
    (sums.iter().sum(), squares.iter().sum())
}

/// Sums of `g` and of `g (x - mean)`, leaving out where `y` is not above the floor.
#[inline(always)]
fn gradient_sums(x: &[f32], y: &[f32], g: &[f32], mean: f32, floor: f32) -> (f32, f32) {
    let ((x, x_rest), (y, y_rest), (g, g_rest)) = (x.as_chunks::<SUMS>(), y.as_chunks::<SUMS>(), g.as_chunks::<SUMS>());
    let (mut shift, mut scale) = ([0f32; SUMS], [0f32; SUMS]);
    for ((x, y), g) in x.iter().zip(y).zip(g) {
        for i in 0..SUMS {
            let g = kept(g[i], y[i] > floor);
            shift[i] += g;
            scale[i] += g * (x[i] - mean);
        }
    }
    for ((x, y), g) in x_rest.iter().zip(y_rest).zip(g_rest) {
        let g = kept(*g, *y > floor);
        shift[0] += g;
        scale[0] += g * (x - mean);
    }
    (shift.iter().sum(), scale.iter().sum())
}
