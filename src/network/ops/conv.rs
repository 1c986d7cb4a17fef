//! Convolution and both of its gradients over sixteen pictures side by side (`lanes.rs`).
//!
//! Owns the way from whole batches to the inner loops of `kernel.rs`: sizes, padding, the order of the weights, and what runs in
//! parallel. The gradient of the input is a convolution of the output's gradient with the kernel turned round.

use candle_core::{Result, Shape, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::kernel::{Correlate, KernelGradient, Plan, TILE};
use super::lanes::LANES;

/// The sizes of one convolution.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) groups: usize,
    in_channels: usize,
    height: usize,
    width: usize,
    pub(super) out_channels: usize,
    kernel: usize,
    stride: usize,
}

impl Sizes {
    pub(super) fn new(input: &Shape, kernel: &Shape, stride: usize) -> Result<Self> {
        let (groups, in_channels, height, width, lanes) = input.dims5()?;
        let (out_channels, expected_channels, kernel_height, kernel) = kernel.dims4()?;
        if input.elem_count() == 0 || out_channels == 0 || lanes != LANES {
            bail!("a convolution of {input:?} with {out_channels} kernels");
        }
        if expected_channels != in_channels
            || kernel_height != kernel
            || !matches!(kernel, 1 | 3)
            || !matches!(stride, 1 | 2)
        {
            bail!(
                "a convolution of {input:?} with kernels {expected_channels}x{kernel_height}x{kernel}, stride {stride}"
            );
        }
        Ok(Self { groups, in_channels, height, width, out_channels, kernel, stride })
    }

    pub(super) fn padding(&self) -> usize {
        self.kernel / 2
    }

    pub(super) fn out_height(&self) -> usize {
        (self.height - 1) / self.stride + 1
    }

    pub(super) fn out_width(&self) -> usize {
        (self.width - 1) / self.stride + 1
    }

    /// Values of one output channel in one group.
    pub(super) fn out_pixels(&self) -> usize {
        self.out_height() * self.out_width() * LANES
    }

    /// How the output is made from the padded input.
    pub(super) fn forward(&self) -> Plan {
        let rows = (0..self.out_height()).map(|y| {
            let row = |ky: usize| (y * self.stride + ky).checked_sub(self.padding()).filter(|&row| row < self.height);
            (0..self.kernel).filter_map(|ky| row(ky).map(|row| (ky, row))).collect()
        });
        Plan {
            in_channels: self.in_channels,
            in_width: self.width + 2 * self.padding(),
            in_height: self.height,
            out_channels: self.out_channels,
            out_width: self.out_width(),
            rows: rows.collect(),
            phases: vec![(0..self.kernel).map(|kx| (kx, kx)).collect()],
            step: self.stride,
            kernel: self.kernel,
        }
    }

    /// How the input's gradient is made from the padded gradient of the output.
    pub(super) fn backward(&self) -> Plan {
        // The output that input `i` reaches through kernel row or column `k`.
        let reached = |i: usize, k: usize| {
            let shifted = (i + self.padding()).checked_sub(k)?;
            (shifted % self.stride == 0).then_some(shifted / self.stride)
        };
        let rows = (0..self.height).map(|y| {
            let row = |ky| reached(y, ky).filter(|&row| row < self.out_height());
            (0..self.kernel).filter_map(|ky| row(ky).map(|row| (ky, row))).collect()
        });
        let phases = (0..self.stride).map(|phase| {
            // One stride to the right, where nothing is negative; the padding's place is then one position less.
            let column = |kx| reached(phase + self.stride, kx).map(|column| (kx, column + self.padding() - 1));
            (0..self.kernel).filter_map(column).collect()
        });
        Plan {
            in_channels: self.out_channels,
            in_width: self.out_width() + 2 * self.padding(),
            in_height: self.out_height(),
            out_channels: self.in_channels,
            out_width: self.width,
            rows: rows.collect(),
            phases: phases.collect(),
            step: 1,
            kernel: self.kernel,
        }
    }

    /// The kernel `(out, in, k, k)` as `(out / TILE, in, k, k, TILE)`.
    pub(super) fn forward_weights(&self, kernel: &[f32]) -> Vec<f32> {
        let taps = self.kernel * self.kernel;
        tiles(self.out_channels, self.in_channels * taps, |channel, rest| {
            kernel[channel * self.in_channels * taps + rest]
        })
    }

    /// The kernel `(out, in, k, k)` as `(in / TILE, out, k, k, TILE)`.
    pub(super) fn backward_weights(&self, kernel: &[f32]) -> Vec<f32> {
        let taps = self.kernel * self.kernel;
        tiles(self.in_channels, self.out_channels * taps, |channel, rest| {
            kernel[(rest / taps * self.in_channels + channel) * taps + rest % taps]
        })
    }
}

/// `(channels, rest)` as `(channels / TILE, rest, TILE)`, with zeros for channels that the last tile lacks.
fn tiles(channels: usize, rest: usize, value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut tiled = vec![0.0; channels.div_ceil(TILE) * rest * TILE];
    for channel in 0..channels {
        for i in 0..rest {
            tiled[(channel / TILE * rest + i) * TILE + channel % TILE] = value(channel, i);
        }
    }
    tiled
}

/// The convolution that the plan describes, of unpadded input.
pub(super) fn correlate(plan: &Plan, input: &[f32], weights: &[f32], padding: usize) -> Vec<f32> {
    let arch = Arch::new();
    let groups = input.len() / unpadded_len(plan, padding);
    let mut output = zeros(groups * plan.out_len());
    output.par_chunks_mut(plan.out_len()).zip(input.par_chunks(input.len() / groups)).for_each_init(
        || vec![0.0; plan.in_len()],
        |padded, (output, input)| {
            pad(plan, input, padding, padded);
            arch.dispatch(Correlate { plan, input: padded, weights, output });
        },
    );
    output
}

/// The kernel's gradient, `(out, in, k, k)`, from the unpadded input and the output's gradient.
pub(super) fn kernel_gradient(sizes: &Sizes, input: &[f32], grad: &[f32]) -> Vec<f32> {
    let arch = Arch::new();
    let plan = sizes.forward();
    let mut padded = zeros(sizes.groups * plan.in_len());
    let unpadded = input.par_chunks(unpadded_len(&plan, sizes.padding()));
    padded.par_chunks_mut(plan.in_len()).zip(unpadded).for_each(|(padded, input)| {
        pad(&plan, input, sizes.padding(), padded);
    });
    let kernel_len = sizes.in_channels * sizes.kernel * sizes.kernel;
    let mut gradient = vec![0.0; sizes.out_channels * kernel_len];
    gradient.par_chunks_mut(TILE * kernel_len).enumerate().for_each(|(tile, output)| {
        arch.dispatch(KernelGradient { plan: &plan, input: &padded, grad, channel: tile * TILE, output });
    });
    gradient
}

/// As `vec![0.0; count]`, on all threads.
fn zeros(count: usize) -> Vec<f32> {
    (0..count).into_par_iter().map(|_| 0.0).collect()
}

/// Values of one group's input without padding.
fn unpadded_len(plan: &Plan, padding: usize) -> usize {
    plan.in_channels * plan.in_height * (plan.in_width - 2 * padding) * LANES
}

/// Copies one group's rows between their padding, which stays as it is: 0.
fn pad(plan: &Plan, input: &[f32], padding: usize, padded: &mut [f32]) {
    let width = plan.in_width - 2 * padding;
    let rows = padded.chunks_exact_mut(plan.in_width * LANES).zip(input.chunks_exact(width * LANES));
    for (padded, row) in rows {
        padded[padding * LANES..][..width * LANES].copy_from_slice(row);
    }
}
