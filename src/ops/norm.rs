//! Batch norm over a batch, with its gradient and an optional rectification, each in two passes over the values.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{kept, values_of, with_values};

/// Mean and (biased) variance of each channel over a batch.
#[derive(Clone, Debug)]
pub struct ChannelStatistics {
    /// One mean per channel.
    pub mean: Vec<f32>,
    /// One variance per channel, divided by the count.
    pub variance: Vec<f32>,
    /// How many values went into each.
    pub count: usize,
}

/// Batch norm by the batch's own statistics, with optional rectification, differentiable
/// (Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>). Returns the statistics, from which running ones are kept.
///
/// # Errors
/// When the shapes don't fit each other.
pub fn batch_norm(
    input: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f32,
    relu: bool,
) -> Result<(Tensor, ChannelStatistics)> {
    let statistics = Arc::new(OnceLock::new());
    let op = BatchNorm { epsilon, relu, statistics: statistics.clone() };
    if input.device().is_cpu() {
        let output = input.contiguous()?.apply_op3(&gamma.contiguous()?, &beta.contiguous()?, op)?;
        let statistics = statistics.get().cloned();
        return Ok((
            output,
            statistics.ok_or_else(|| candle_core::Error::Msg("batch norm kept no statistics".into()))?,
        ));
    }
    let (batch, channels, height, width) = input.dims4()?;
    let mean = input.mean_keepdim((0, 2, 3))?;
    let centred = input.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
    let output = centred
        .broadcast_div(&(&variance + f64::from(epsilon))?.sqrt()?)?
        .broadcast_mul(&gamma.reshape((1, channels, 1, 1))?)?
        .broadcast_add(&beta.reshape((1, channels, 1, 1))?)?;
    let statistics = ChannelStatistics {
        mean: mean.flatten_all()?.to_vec1()?,
        variance: variance.flatten_all()?.to_vec1()?,
        count: batch * height * width,
    };
    Ok((if relu { output.relu()? } else { output }, statistics))
}

struct BatchNorm {
    epsilon: f32,
    relu: bool,
    statistics: Arc<OnceLock<ChannelStatistics>>,
}

impl BatchNorm {
    /// Above this an output passes its gradient on.
    fn floor(&self) -> f32 {
        if self.relu { 0.0 } else { f32::NEG_INFINITY }
    }

    fn inverse_deviation(&self, statistics: &ChannelStatistics) -> Vec<f32> {
        statistics.variance.iter().map(|variance| 1.0 / (variance + self.epsilon).sqrt()).collect()
    }

    fn forward(
        &self,
        x: &[f32],
        gamma: &[f32],
        beta: &[f32],
        statistics: &ChannelStatistics,
        pixels: usize,
    ) -> Vec<f32> {
        let (inverse, floor) = (self.inverse_deviation(statistics), self.floor());
        let size = gamma.len() * pixels;
        let mut output = vec![0.0; x.len()];
        output.par_chunks_mut(size).zip(x.par_chunks(size)).for_each(|(output, x)| {
            for (channel, (out, x)) in output.chunks_exact_mut(pixels).zip(x.chunks_exact(pixels)).enumerate() {
                let scale = gamma[channel] * inverse[channel];
                let shift = beta[channel] - statistics.mean[channel] * scale;
                out.iter_mut().zip(x).for_each(|(out, x)| *out = (x * scale + shift).max(floor));
            }
        });
        output
    }
}

/// The statistics of `(batch, channels, pixels)` values.
fn channel_statistics(x: &[f32], channels: usize, pixels: usize) -> ChannelStatistics {
    let count = x.len() / channels;
    let statistics = (0..channels).into_par_iter().map(|channel| {
        let planes = || planes(x, channel, channels, pixels);
        let sum: f64 = planes().map(|plane| f64::from(lane_sum(plane, |x| x))).sum();
        let mean = (sum / count as f64) as f32;
        let squares: f64 = planes().map(|plane| f64::from(lane_sum(plane, |x| (x - mean) * (x - mean)))).sum();
        (mean, (squares / count as f64) as f32)
    });
    let (mean, variance) = statistics.collect::<Vec<_>>().into_iter().unzip();
    ChannelStatistics { mean, variance, count }
}

/// The backward pass's values: input, output, the output's gradient; `(batch, channels, pixels)` each.
struct Backward<'a> {
    x: &'a [f32],
    y: &'a [f32],
    g: &'a [f32],
    channels: usize,
    pixels: usize,
    floor: f32,
    statistics: &'a ChannelStatistics,
    inverse: Vec<f32>,
}

impl Backward<'_> {
    /// Gradients of each channel's shift and scale.
    fn shift_and_scale(&self) -> Vec<(f32, f32)> {
        let Self { channels, pixels, floor, .. } = *self;
        let channel_sums = |c: usize| {
            let planes = |values| planes(values, c, channels, pixels);
            let (mut shift, mut scale) = (0f64, 0f64);
            for ((x, y), g) in planes(self.x).zip(planes(self.y)).zip(planes(self.g)) {
                let (plane_shift, plane_scale) = lane_sums(x, y, g, self.statistics.mean[c], floor);
                shift += f64::from(plane_shift);
                scale += f64::from(plane_scale * self.inverse[c]);
            }
            (shift as f32, scale as f32)
        };
        (0..channels).into_par_iter().map(channel_sums).collect()
    }

    /// The input's gradient: what remains of the output's after its mean and its share along the input are taken out.
    fn input(&self, gamma: &[f32], sums: &[(f32, f32)]) -> Vec<f32> {
        let (size, count) = (self.channels * self.pixels, self.statistics.count as f32);
        let mut gradient = vec![0.0; self.x.len()];
        let pictures = self.x.par_chunks(size).zip(self.y.par_chunks(size).zip(self.g.par_chunks(size)));
        gradient.par_chunks_mut(size).zip(pictures).for_each(|(out, (x, (y, g)))| {
            for c in 0..self.channels {
                let range = c * self.pixels..(c + 1) * self.pixels;
                let (mean, inverse) = (self.statistics.mean[c], self.inverse[c]);
                let factor = gamma[c] * inverse;
                let (mean_shift, mean_scale) = (sums[c].0 / count, sums[c].1 / count * inverse);
                let (x, y, g) = (&x[range.clone()], &y[range.clone()], &g[range.clone()]);
                for (((out, x), y), g) in out[range].iter_mut().zip(x).zip(y).zip(g) {
                    let g = kept(*g, *y > self.floor);
                    *out = factor * (g - mean_shift - (x - mean) * mean_scale);
                }
            }
        });
        gradient
    }
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, channels, height, width) = l1.shape().dims4()?;
        let (x, gamma, beta) = (values_of(s1, l1)?, values_of(s2, l2)?, values_of(s3, l3)?);
        if gamma.len() != channels || beta.len() != channels || x.is_empty() {
            bail!("batch norm of {:?} with {} scales and {} shifts", l1.shape(), gamma.len(), beta.len());
        }
        let statistics = channel_statistics(x, channels, height * width);
        let output = self.forward(x, gamma, beta, &statistics, height * width);
        // A second forward pass over the same graph node would compute the same statistics.
        let _ = self.statistics.set(statistics);
        Ok((CpuStorage::F32(output), l1.shape().clone()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        gamma: &Tensor,
        _: &Tensor,
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(statistics) = self.statistics.get() else { bail!("batch norm's gradient before its forward pass") };
        let (_, channels, height, width) = input.dims4()?;
        let gamma = gamma.to_vec1::<f32>()?;
        let (sums, grad_input) = with_values(input, |x| {
            with_values(output, |y| {
                with_values(grad, |g| {
                    let (floor, inverse) = (self.floor(), self.inverse_deviation(statistics));
                    let backward = Backward { x, y, g, channels, pixels: height * width, floor, statistics, inverse };
                    let sums = backward.shift_and_scale();
                    let grad_input = backward.input(&gamma, &sums);
                    Ok((sums, grad_input))
                })
            })
        })?;
        let (grad_beta, grad_gamma): (Vec<f32>, Vec<f32>) = sums.into_iter().unzip();
        let device = input.device();
        Ok((
            Some(Tensor::from_vec(grad_input, input.shape(), device)?),
            Some(Tensor::from_vec(grad_gamma, channels, device)?),
            Some(Tensor::from_vec(grad_beta, channels, device)?),
        ))
    }
}

/// The slices of one channel, one per picture.
fn planes(values: &[f32], channel: usize, channels: usize, pixels: usize) -> impl Iterator<Item = &[f32]> {
    values.chunks_exact(pixels).skip(channel).step_by(channels)
}

/// Sums are kept in this many lanes: processors add lanes side by side, and the order of summation stays fixed.
const LANES: usize = 16;

/// The sum of `f` over the values.
fn lane_sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &value)| *lane += f(value));
    }
    lanes.into_iter().chain(rest.iter().map(|&value| f(value))).sum()
}

/// Sums of `g` and of `g (x - mean)`, leaving out where `y` is not above the floor.
fn lane_sums(x: &[f32], y: &[f32], g: &[f32], mean: f32, floor: f32) -> (f32, f32) {
    let ((x, x_rest), (y, y_rest), (g, g_rest)) =
        (x.as_chunks::<LANES>(), y.as_chunks::<LANES>(), g.as_chunks::<LANES>());
    let (mut shift, mut scale) = ([0f32; LANES], [0f32; LANES]);
    for ((x, y), g) in x.iter().zip(y).zip(g) {
        for i in 0..LANES {
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
