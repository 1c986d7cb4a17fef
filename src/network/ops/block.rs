//! The inner loops of a convolution for inference.
//!
//! Vector registers hold output channels; a block of sums, some channels by some neighbouring output pixels, stays in them
//! from the first weight to the last. Each step loads a few vectors of weights and multiplies them by one input value per
//! pixel, so that loads are rarer than multiplications. The input lies as `(rows, channels, columns)`: the values of
//! neighbouring pixels are then neighbours too, at distances that the compiler knows. See Georganas et al. 2018,
//! <https://arxiv.org/abs/1808.05567>, for the scheme, with another layout of the input.
//!
//! The order of summation depends on the processor's kind alone.

use pulp::{Simd, WithSimd};

/// Output channels that are packed together: the values of an AVX-512 register, two of AVX2, four of NEON.
pub(super) const TILE: usize = 16;

/// Values of one tile, on a cache line of their own: a vector that lies across two takes two loads.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [f32; TILE]);

/// Rows of a block where there are registers enough; padded pictures have an even number of output rows.
pub(super) const BLOCK_ROWS: usize = 2;

/// Columns of a wide block: the rows of today's network, 48 to 6 pixels wide, are multiples of it.
pub(super) const WIDE: usize = 6;

/// Columns of a block for pictures that wide ones would reach too far beyond.
pub(super) const NARROW: usize = 4;

/// The sizes of one convolution, and those of its padded input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) in_channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) out_channels: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
    /// Width and height of the kernel, odd.
    pub(super) kernel: usize,
    /// 1 or 2.
    pub(super) stride: usize,
    /// Columns of a block, [`WIDE`] or [`NARROW`].
    pub(super) columns: usize,
    pub(super) padded_height: usize,
    pub(super) padded_width: usize,
}

impl Plan {
    /// Values of one padded picture.
    pub(super) fn padded_len(&self) -> usize {
        self.padded_height * self.padded_row()
    }

    /// Values of one padded row, of all channels.
    pub(super) fn padded_row(&self) -> usize {
        self.in_channels * self.padded_width
    }

    /// Values of one picture.
    pub(super) fn in_len(&self) -> usize {
        self.height * self.width * self.in_channels
    }

    /// Values of one output picture.
    pub(super) fn out_len(&self) -> usize {
        self.out_height * self.out_width * self.out_channels
    }
}

/// Convolves some pictures on the calling thread.
pub(super) struct Convolve<'a> {
    pub(super) plan: &'a Plan,
    /// `(out / TILE, k, k, in, TILE)`; channels that are missing in the last tile are 0.
    pub(super) weights: &'a [Lanes],
    /// `(out / TILE, TILE)`.
    pub(super) bias: &'a [Lanes],
    /// `(pictures, padded height, in, padded width)`.
    pub(super) input: &'a [f32],
    /// What is added, as `output`.
    pub(super) skip: Option<&'a [f32]>,
    /// Whether negative outputs become 0.
    pub(super) relu: bool,
    /// `(pictures, height, width, out)`.
    pub(super) output: &'a mut [f32],
}

impl WithSimd for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // AVX-512 has 32 registers, of which 24 hold sums; so do NEON's. AVX2 has 16, of which 12 do.
        match S::F32_LANES {
            16 => {
                let pairs = self.bias.len() / 2;
                (0..pairs).for_each(|pair| self.tiles::<S, 2, 2, BLOCK_ROWS>(simd, 2 * pair));
                if self.bias.len() % 2 == 1 {
                    self.tiles::<S, 1, 1, BLOCK_ROWS>(simd, 2 * pairs);
                }
            }
            8 => (0..self.bias.len()).for_each(|tile| self.tiles::<S, 1, 2, 1>(simd, tile)),
            4 => (0..self.bias.len()).for_each(|tile| self.tiles::<S, 1, 4, 1>(simd, tile)),
            _ => (0..self.bias.len()).for_each(|tile| self.tiles::<S, 1, TILE, 1>(simd, tile)),
        }
    }
}

/// Output rows and columns of a block's first pixel.
#[derive(Clone, Copy)]
struct Corner {
    y: usize,
    x: usize,
}

// In all of these a block is `T` tiles, or `V` vectors, of output channels by `R` rows and `Q` columns of output pixels.
impl Convolve<'_> {
    /// The tiles from `first` on of all pictures, so that their weights stay in the cache.
    #[inline(always)]
    fn tiles<S: Simd, const T: usize, const V: usize, const R: usize>(&mut self, simd: S, first: usize) {
        debug_assert_eq!(V * S::F32_LANES, T * TILE);
        for picture in 0..self.output.len() / self.plan.out_len() {
            match (self.plan.stride, self.plan.columns) {
                (1, WIDE) => self.picture::<S, T, V, R, WIDE, 1>(simd, first, picture),
                (1, _) => self.picture::<S, T, V, R, NARROW, 1>(simd, first, picture),
                (_, WIDE) => self.picture::<S, T, V, R, WIDE, 2>(simd, first, picture),
                (_, _) => self.picture::<S, T, V, R, NARROW, 2>(simd, first, picture),
            }
        }
    }

    /// These tiles of one picture, block by block.
    #[inline(always)]
    fn picture<S: Simd, const T: usize, const V: usize, const R: usize, const Q: usize, const STRIDE: usize>(
        &mut self,
        simd: S,
        first: usize,
        picture: usize,
    ) {
        let mut block = [[[simd.splat_f32s(0.0); V]; Q]; R];
        for y in (0..self.plan.out_height).step_by(R) {
            for x in (0..self.plan.out_width).step_by(Q) {
                let corner = Corner { y, x };
                self.sum::<S, T, V, R, Q, STRIDE>(simd, first, picture, corner, &mut block);
                self.finish(simd, first, picture, corner, &block);
            }
        }
    }

    /// One block: bias and products. The sums are not returned but copied, since what is later indexed at run time lies in
    /// memory, and a compiler that makes the two one value keeps the sums there.
    #[inline(always)]
    fn sum<S: Simd, const T: usize, const V: usize, const R: usize, const Q: usize, const STRIDE: usize>(
        &self,
        simd: S,
        first: usize,
        picture: usize,
        corner: Corner,
        block: &mut [[[S::f32s; V]; Q]; R],
    ) {
        let plan = self.plan;
        let per_tile = TILE / S::F32_LANES;
        let mut bias = [simd.splat_f32s(0.0); V];
        for (v, bias) in bias.iter_mut().enumerate() {
            *bias = S::as_simd_f32s(&self.bias[first + v / per_tile].0).0[v % per_tile];
        }
        let mut sums = [[bias; Q]; R];
        for ky in 0..plan.kernel {
            let mut rows = [&[][..]; R];
            for (r, row) in rows.iter_mut().enumerate() {
                let y = picture * plan.padded_height + (corner.y + r) * STRIDE + ky;
                *row = &self.input[y * plan.padded_row()..][..plan.padded_row()];
            }
            for kx in 0..plan.kernel {
                let mut weights = [&[][..]; T];
                for (t, weights) in weights.iter_mut().enumerate() {
                    let tap = ((first + t) * plan.kernel + ky) * plan.kernel + kx;
                    *weights = &self.weights[tap * plan.in_channels..][..plan.in_channels];
                }
                let column = corner.x * STRIDE + kx;
                for c in 0..plan.in_channels {
                    let mut w = [simd.splat_f32s(0.0); V];
                    for (v, w) in w.iter_mut().enumerate() {
                        *w = S::as_simd_f32s(&weights[v / per_tile][c].0).0[v % per_tile];
                    }
                    for r in 0..R {
                        let x = &rows[r][c * plan.padded_width + column..][..(Q - 1) * STRIDE + 1];
                        for q in 0..Q {
                            let x = simd.splat_f32s(x[q * STRIDE]);
                            for v in 0..V {
                                sums[r][q][v] = simd.mul_add_e_f32s(w[v], x, sums[r][q][v]);
                            }
                        }
                    }
                }
            }
        }
        *block = sums;
    }

    /// Adds what is to be added, rectifies and stores, leaving out what lies beyond the picture and its channels.
    #[inline(always)]
    fn finish<S: Simd, const V: usize, const R: usize, const Q: usize>(
        &mut self,
        simd: S,
        first: usize,
        picture: usize,
        corner: Corner,
        block: &[[[S::f32s; V]; Q]; R],
    ) {
        let plan = self.plan;
        let zero = simd.splat_f32s(0.0);
        for (r, row) in block.iter().enumerate().take(plan.out_height - corner.y) {
            for (q, sums) in row.iter().enumerate().take(plan.out_width - corner.x) {
                let pixel = (picture * plan.out_height + corner.y + r) * plan.out_width + corner.x + q;
                for (v, &sum) in sums.iter().enumerate() {
                    let channel = (first * TILE + v * S::F32_LANES).min(plan.out_channels);
                    let count = (plan.out_channels - channel).min(S::F32_LANES);
                    let start = pixel * plan.out_channels + channel;
                    let mut sum = sum;
                    if let Some(skip) = self.skip {
                        sum = simd.add_f32s(sum, load(simd, &skip[start..start + count]));
                    }
                    if self.relu {
                        sum = simd.max_f32s(sum, zero);
                    }
                    store(simd, &mut self.output[start..start + count], sum);
                }
            }
        }
    }
}

/// Up to one vector; a whole one by the way that is fast.
#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values).0 {
        [vector] => *vector,
        _ => simd.partial_load_f32s(values),
    }
}

/// Up to one vector; a whole one by the way that is fast.
#[inline(always)]
fn store<S: Simd>(simd: S, values: &mut [f32], vector: S::f32s) {
    match S::as_mut_simd_f32s(values).0 {
        [target] => *target = vector,
        _ => simd.partial_store_f32s(values, vector),
    }
}
