//! The inner loops of a convolution over sixteen pictures side by side, and of its kernel's gradient.
//!
//! Both keep a block of sums in registers: [`TILE`] output channels by three positions, or by the three columns of a
//! kernel. That takes 24 of the 32 registers of AVX-512; where there are 16 registers, half a tile is done at a time. The
//! order of summation depends on the processor's kind alone.

use pulp::{Simd, WithSimd};

use super::lanes::LANES;

/// Output channels that are computed together.
pub(super) const TILE: usize = 8;

/// Neighbouring positions that are computed together.
const REACH: usize = 3;

/// Which inputs make which outputs, for one group of pictures. It describes a convolution, and also the gradient of a
/// convolution's input, which is a convolution of the output's gradient.
pub(super) struct Plan {
    pub(super) in_channels: usize,
    /// Width of an input row, with its padding.
    pub(super) in_width: usize,
    pub(super) in_height: usize,
    pub(super) out_channels: usize,
    pub(super) out_width: usize,
    /// For each output row, the kernel rows that fall into the picture, and the input row that they fall on.
    pub(super) rows: Vec<Vec<(usize, usize)>>,
    /// Output columns repeat with this many phases; for each, the kernel columns and the input column of its first output.
    pub(super) phases: Vec<Vec<(usize, usize)>>,
    /// Input columns between neighbouring outputs of one phase, 1 or 2.
    pub(super) step: usize,
    /// Width and height of the kernel, 1 or 3.
    pub(super) kernel: usize,
}

impl Plan {
    /// Values of one group's padded input.
    pub(super) fn in_len(&self) -> usize {
        self.in_channels * self.in_height * self.in_width * LANES
    }

    /// Values of one group's output.
    pub(super) fn out_len(&self) -> usize {
        self.out_channels * self.rows.len() * self.out_width * LANES
    }
}

/// Computes one group's output.
pub(super) struct Correlate<'a> {
    pub(super) plan: &'a Plan,
    /// `(in, height, width, 16)`, with padded rows.
    pub(super) input: &'a [f32],
    /// `(out / TILE, in, k, k, TILE)`; channels that are missing in the last tile are 0.
    pub(super) weights: &'a [f32],
    /// `(out, height, width, 16)`.
    pub(super) output: &'a mut [f32],
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.plan.step, S::REGISTER_COUNT >= 32) {
            (1, true) => correlate::<S, 1, TILE>(simd, self),
            (1, false) => correlate::<S, 1, { TILE / 2 }>(simd, self),
            (_, true) => correlate::<S, 2, TILE>(simd, self),
            (_, false) => correlate::<S, 2, { TILE / 2 }>(simd, self),
        }
    }
}

/// Where one tap finds its first input, and its weights in their tile.
#[derive(Clone, Copy)]
struct Tap {
    input: usize,
    weights: usize,
}

/// Where a block of sums goes: the position of its first value, and the distance to the next one's.
#[derive(Clone, Copy)]
struct Target {
    start: usize,
    step: usize,
    /// From one channel to the next.
    plane: usize,
    /// How many channels there are.
    channels: usize,
}

/// `STEP` is the plan's, `C` the channels that are computed together.
#[inline(always)]
fn correlate<S: Simd, const STEP: usize, const C: usize>(simd: S, work: Correlate<'_>) {
    let Correlate { plan, input, weights, output } = work;
    let per_position = LANES / S::F32_LANES;
    let (input, output) = (S::as_simd_f32s(input).0, S::as_mut_simd_f32s(output).0);
    let (weights, _) = weights.as_chunks::<TILE>();
    let kernel_taps = plan.kernel * plan.kernel;
    let mut taps = Vec::with_capacity(plan.in_channels * kernel_taps);
    for (y, rows) in plan.rows.iter().enumerate() {
        for (phase, columns) in plan.phases.iter().enumerate() {
            taps.clear();
            for channel in 0..plan.in_channels {
                for &(ky, row) in rows {
                    let row = (channel * plan.in_height + row) * plan.in_width;
                    taps.extend(columns.iter().map(|&(kx, column)| Tap {
                        input: (row + column) * per_position,
                        weights: channel * kernel_taps + ky * plan.kernel + kx,
                    }));
                }
            }
            let (step, plane) = (plan.phases.len(), plan.rows.len() * plan.out_width);
            let count = plan.out_width.saturating_sub(phase).div_ceil(step);
            for (tile, weights) in weights.chunks_exact(plan.in_channels * kernel_taps).enumerate() {
                for m in (0..count).step_by(REACH) {
                    let start = tile * TILE * plane + y * plan.out_width + phase + m * step;
                    let target = Target { start, step, plane, channels: plan.out_channels - tile * TILE };
                    let input = &input[m * STEP * per_position..];
                    match count - m {
                        1 => block::<S, 1, STEP, C>(simd, input, weights, &taps, output, target),
                        2 => block::<S, 2, STEP, C>(simd, input, weights, &taps, output, target),
                        _ => block::<S, REACH, STEP, C>(simd, input, weights, &taps, output, target),
                    }
                }
            }
        }
    }
}

/// Computes `N` neighbouring positions of one tile.
#[inline(always)]
fn block<S: Simd, const N: usize, const STEP: usize, const C: usize>(
    simd: S,
    input: &[S::f32s],
    weights: &[[f32; TILE]],
    taps: &[Tap],
    output: &mut [S::f32s],
    target: Target,
) {
    let per_position = LANES / S::F32_LANES;
    for part in 0..per_position {
        for first in (0..TILE).step_by(C) {
            let mut sums = [[simd.splat_f32s(0.0); N]; C];
            for tap in taps {
                let x = &input[tap.input + part..][..(N - 1) * STEP * per_position + 1];
                let weights = &weights[tap.weights][first..first + C];
                for c in 0..C {
                    let weight = simd.splat_f32s(weights[c]);
                    for j in 0..N {
                        sums[c][j] = simd.mul_add_e_f32s(weight, x[j * STEP * per_position], sums[c][j]);
                    }
                }
            }
            for (c, sums) in sums.iter().enumerate().take(target.channels.saturating_sub(first)) {
                for (j, &sum) in sums.iter().enumerate() {
                    let position = target.start + (first + c) * target.plane + j * target.step;
                    output[position * per_position + part] = sum;
                }
            }
        }
    }
}

/// Computes the gradient of the kernels of up to [`TILE`] output channels, over all groups.
pub(super) struct KernelGradient<'a> {
    /// The convolution.
    pub(super) plan: &'a Plan,
    /// `(groups, in, height, width, 16)`, with padded rows.
    pub(super) input: &'a [f32],
    /// The output's gradient, `(groups, out, height, width, 16)`.
    pub(super) grad: &'a [f32],
    /// The first of the output channels.
    pub(super) channel: usize,
    /// `(channels, in, k, k)`.
    pub(super) output: &'a mut [f32],
}

/// Positions that are taken at a time: with the gradient of [`TILE`] channels they fill half of a first-level cache.
const POSITIONS: usize = 48;

impl WithSimd for KernelGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.plan.kernel, S::REGISTER_COUNT >= 32) {
            (1, _) => tile_gradient::<S, 1, TILE>(simd, self),
            (_, true) => tile_gradient::<S, 3, TILE>(simd, self),
            (_, false) => tile_gradient::<S, 3, { TILE / 2 }>(simd, self),
        }
    }
}

#[inline(always)]
fn tile_gradient<S: Simd, const K: usize, const C: usize>(simd: S, work: KernelGradient<'_>) {
    let KernelGradient { plan, input, grad, channel, output } = work;
    let per_position = LANES / S::F32_LANES;
    let zero = simd.splat_f32s(0.0);
    let kernel_len = plan.in_channels * plan.kernel * plan.kernel;
    // (in, kernel row, part of a position, channel, kernel column)
    let mut sums = vec![zero; kernel_len * per_position * TILE];
    let rows_at_once = (POSITIONS / plan.out_width).max(1);
    for (input, grad) in input.chunks_exact(plan.in_len()).zip(grad.chunks_exact(plan.out_len())) {
        let (input, grad) = (S::as_simd_f32s(input).0, S::as_simd_f32s(grad).0);
        for first_row in (0..plan.rows.len()).step_by(rows_at_once) {
            let rows = first_row..(first_row + rows_at_once).min(plan.rows.len());
            for (slot, sums) in sums.chunks_exact_mut(TILE * plan.kernel).enumerate() {
                let (part, kernel_row) = (slot % per_position, slot / per_position);
                let (in_channel, ky) = (kernel_row / plan.kernel, kernel_row % plan.kernel);
                for first in (0..TILE).step_by(C) {
                    let sums = &mut sums[first * plan.kernel..(first + C) * plan.kernel];
                    let mut block = [[zero; K]; C];
                    for c in 0..C {
                        for kx in 0..K {
                            block[c][kx] = sums[c * K + kx];
                        }
                    }
                    for y in rows.clone() {
                        let Some(&(_, row)) = plan.rows[y].iter().find(|(k, _)| *k == ky) else { continue };
                        let row = &input[(in_channel * plan.in_height + row) * plan.in_width * per_position..]
                            [..plan.in_width * per_position];
                        let mut grads = [&grad[..0]; C];
                        for (c, grads) in grads.iter_mut().enumerate() {
                            // Channels that are missing in the last tile are computed as its last one and left out below.
                            let channel = (channel + first + c).min(plan.out_channels - 1);
                            let start = (channel * plan.rows.len() + y) * plan.out_width * per_position;
                            *grads = &grad[start..start + plan.out_width * per_position];
                        }
                        for x in 0..plan.out_width {
                            let mut values = [zero; K];
                            for kx in 0..K {
                                values[kx] = row[(x * plan.step + kx) * per_position + part];
                            }
                            for c in 0..C {
                                let g = grads[c][x * per_position + part];
                                for kx in 0..K {
                                    block[c][kx] = simd.mul_add_e_f32s(g, values[kx], block[c][kx]);
                                }
                            }
                        }
                    }
                    for c in 0..C {
                        for kx in 0..K {
                            sums[c * K + kx] = block[c][kx];
                        }
                    }
                }
            }
        }
    }
    for (i, out) in output.iter_mut().enumerate() {
        let (c, rest) = (i / kernel_len, i % kernel_len);
        let (kernel_row, kx) = (rest / plan.kernel, rest % plan.kernel);
        *out = 0.0;
        for part in 0..per_position {
            *out += simd.reduce_sum_f32s(sums[((kernel_row * per_position + part) * TILE + c) * plan.kernel + kx]);
        }
    }
}
