//! The inner loops over one row: neighbouring pixels fill a vector.
//!
//! A row's channel is a whole number of vectors; where the picture is narrower, what lies beyond it is computed and not used.

use pulp::{Simd, WithSimd};

/// Output channels that are computed together: with two vectors of pixels, 24 sums of AVX-512's and NEON's 32 registers.
pub(super) const TILE: usize = 12;

/// The three rows and columns that a depthwise kernel covers.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) input: &'a [f32],
    /// Where each row begins.
    pub(super) rows: [usize; 3],
    /// Where in the row of a channel each column begins.
    pub(super) columns: [usize; 3],
    /// From one channel to the next.
    pub(super) channel: usize,
}

impl<'a> Window<'a> {
    /// The vectors of a channel at one place under the kernel.
    #[inline(always)]
    fn at<S: Simd>(&self, channel: usize, row: usize, column: usize, filled: usize) -> &'a [S::f32s] {
        let start = self.rows[row] + channel * self.channel + self.columns[column];
        S::as_simd_f32s(&self.input[start..][..filled]).0
    }
}

/// A depthwise convolution of 3x3.
pub(super) struct Depthwise<'a> {
    pub(super) window: Window<'a>,
    pub(super) kernels: &'a [[f32; 9]],
    pub(super) bias: &'a [f32],
    /// Each channel `stride` after the one before.
    pub(super) output: &'a mut [f32],
    pub(super) stride: usize,
    /// Values of a channel, whole vectors.
    pub(super) filled: usize,
}

impl WithSimd for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { window, kernels, bias, output, stride, filled } = self;
        for (channel, (kernel, bias)) in kernels.iter().zip(bias).enumerate() {
            let bias = simd.splat_f32s(*bias);
            let (mut weights, mut taps) = ([bias; 9], [&[][..]; 9]);
            for i in 0..9 {
                weights[i] = simd.splat_f32s(kernel[i]);
                taps[i] = window.at::<S>(channel, i / 3, i % 3, filled);
            }
            let output = S::as_mut_simd_f32s(&mut output[channel * stride..][..filled]).0;
            for (i, output) in output.iter_mut().enumerate() {
                let mut sum = bias;
                for tap in 0..9 {
                    sum = simd.mul_add_e_f32s(weights[tap], taps[tap][i], sum);
                }
                *output = sum;
            }
        }
    }
}

/// The largest of the first two by two values under a depthwise kernel, of each channel.
pub(super) struct Largest<'a> {
    pub(super) window: Window<'a>,
    pub(super) channels: usize,
    pub(super) output: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) filled: usize,
}

impl WithSimd for Largest<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { window, channels, output, stride, filled } = self;
        for channel in 0..channels {
            let at = |row, column| window.at::<S>(channel, row, column, filled);
            let (a, b, c, d) = (at(0, 0), at(0, 1), at(1, 0), at(1, 1));
            let output = S::as_mut_simd_f32s(&mut output[channel * stride..][..filled]).0;
            for (i, output) in output.iter_mut().enumerate() {
                *output = simd.max_f32s(simd.max_f32s(a[i], b[i]), simd.max_f32s(c[i], d[i]));
            }
        }
    }
}

/// A convolution over so many channels, or places under a kernel, of each pixel.
pub(super) struct Pointwise<'a> {
    pub(super) input: &'a [f32],
    /// Where in the input each of them begins.
    pub(super) taps: &'a [usize],
    /// `(out / TILE, taps, TILE)`.
    pub(super) weights: &'a [[f32; TILE]],
    /// `(out / TILE, TILE)`.
    pub(super) bias: &'a [[f32; TILE]],
    /// What is added to so many of the first channels, in the output's layout.
    pub(super) skip: Option<(&'a [f32], usize)>,
    /// Whether negative outputs become 0.
    pub(super) relu: bool,
    pub(super) output: &'a mut [f32],
    /// Output channels.
    pub(super) channels: usize,
    pub(super) stride: usize,
    pub(super) filled: usize,
}

impl WithSimd for Pointwise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for tile in 0..self.bias.len() {
            // Of sixteen registers twelve hold sums: half a tile.
            if S::REGISTER_COUNT >= 32 {
                self.channels::<S, TILE>(simd, tile, 0);
            } else {
                self.channels::<S, { TILE / 2 }>(simd, tile, 0);
                self.channels::<S, { TILE / 2 }>(simd, tile, TILE / 2);
            }
        }
    }
}

impl Pointwise<'_> {
    /// Computes `C` channels of a tile, from `first` on.
    #[inline(always)]
    fn channels<S: Simd, const C: usize>(&mut self, simd: S, tile: usize, first: usize) {
        let vectors = self.filled / S::F32_LANES;
        for at in (0..vectors - vectors % 2).step_by(2) {
            self.block::<S, 2, C>(simd, tile, first, at);
        }
        if vectors % 2 == 1 {
            self.block::<S, 1, C>(simd, tile, first, vectors - 1);
        }
    }

    /// For the `V` vectors from `at` on.
    #[inline(always)]
    fn block<S: Simd, const V: usize, const C: usize>(&mut self, simd: S, tile: usize, first: usize, at: usize) {
        let mut block = [[simd.splat_f32s(0.0); V]; C];
        self.sum(simd, tile, first, at, &mut block);
        let zero = simd.splat_f32s(0.0);
        let channel = tile * TILE + first;
        for (c, sums) in block.iter().enumerate().take(self.channels.saturating_sub(channel)) {
            let start = (channel + c) * self.stride + at * S::F32_LANES;
            let skip = self.skip.filter(|(_, channels)| channel + c < *channels);
            let output = S::as_mut_simd_f32s(&mut self.output[start..][..V * S::F32_LANES]).0;
            for (v, output) in output.iter_mut().enumerate() {
                let mut sum = sums[v];
                if let Some((rows, _)) = skip {
                    sum = simd.add_f32s(sum, S::as_simd_f32s(&rows[start..][..V * S::F32_LANES]).0[v]);
                }
                *output = if self.relu { simd.max_f32s(sum, zero) } else { sum };
            }
        }
    }

    /// Bias and products. The sums are not returned but copied, since what is later indexed at run time lies in memory, and a
    /// compiler that makes the two one value keeps the sums there.
    #[inline(always)]
    fn sum<S: Simd, const V: usize, const C: usize>(
        &self,
        simd: S,
        tile: usize,
        first: usize,
        at: usize,
        block: &mut [[S::f32s; V]; C],
    ) {
        let mut sums = [[simd.splat_f32s(0.0); V]; C];
        for (sums, bias) in sums.iter_mut().zip(&self.bias[tile][first..]) {
            *sums = [simd.splat_f32s(*bias); V];
        }
        let weights = &self.weights[tile * self.taps.len()..][..self.taps.len()];
        let input = &self.input[at * S::F32_LANES..];
        for (tap, weights) in self.taps.iter().zip(weights) {
            let values = S::as_simd_f32s(&input[*tap..][..V * S::F32_LANES]).0;
            for c in 0..C {
                let weight = simd.splat_f32s(weights[first + c]);
                for v in 0..V {
                    sums[c][v] = simd.mul_add_e_f32s(weight, values[v], sums[c][v]);
                }
            }
        }
        *block = sums;
    }
}
