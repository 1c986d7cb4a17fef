//! The sizes of a convolution, and the way from a picture to its patches and back.

use candle_core::{Result, Shape, bail};

/// The batch is cut into this many parts, each worked on by one thread: enough for any laptop.
const PARTS: usize = 16;

/// Small pictures are put side by side until the matrix has about this many columns: below that the matrix product spends
/// its time on rearranging the kernel, above it the columns leave the second-level cache.
const COLUMNS: usize = 576;

/// The sizes of one convolution.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    pub(super) batch: usize,
    in_channels: usize,
    height: usize,
    width: usize,
    pub(super) out_channels: usize,
    kernel: usize,
    stride: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
}

impl Geometry {
    pub(super) fn new(input: &Shape, kernel: &Shape, stride: usize) -> Result<Self> {
        let (batch, in_channels, height, width) = input.dims4()?;
        let (out_channels, expected_channels, kernel_height, kernel) = kernel.dims4()?;
        if input.elem_count() == 0 || out_channels == 0 {
            bail!("a convolution of {input:?} with {out_channels} kernels");
        }
        if expected_channels != in_channels || kernel_height != kernel || kernel % 2 == 0 || stride == 0 {
            bail!(
                "a convolution of {input:?} with kernels {expected_channels}x{kernel_height}x{kernel}, stride {stride}"
            );
        }
        let out = |size: usize| (size + 2 * (kernel / 2)).saturating_sub(kernel) / stride + 1;
        let (out_height, out_width) = (out(height), out(width));
        Ok(Self { batch, in_channels, height, width, out_channels, kernel, stride, out_height, out_width })
    }

    pub(super) fn in_size(&self) -> usize {
        self.in_channels * self.height * self.width
    }

    pub(super) fn out_pixels(&self) -> usize {
        self.out_height * self.out_width
    }

    pub(super) fn out_size(&self) -> usize {
        self.out_channels * self.out_pixels()
    }

    /// Rows of the patch matrix: one per input value under the kernel.
    pub(super) fn patch(&self) -> usize {
        self.in_channels * self.kernel * self.kernel
    }

    /// How many pictures go into one matrix product.
    pub(super) fn group(&self) -> usize {
        (COLUMNS / self.out_pixels()).clamp(1, self.batch)
    }

    /// Pictures per part, a whole number of groups.
    pub(super) fn part(&self) -> usize {
        let group = self.group();
        self.batch.div_ceil(PARTS).div_ceil(group) * group
    }

    /// The columns of output row `oy` whose input pixel at kernel column `kx` lies inside the picture.
    fn inside(&self, kx: usize) -> (usize, usize) {
        let padding = self.kernel / 2;
        let first = padding.saturating_sub(kx).div_ceil(self.stride);
        let last = (self.width + padding).saturating_sub(kx).div_ceil(self.stride).min(self.out_width);
        (first.min(last), last)
    }

    /// Calls `visit(patch row, input row offset, first column, last column, output row)` for every run of patch values that
    /// lie in one row of the input picture; with `None` as the input row where it falls outside.
    fn each_run(&self, mut visit: impl FnMut(usize, Option<usize>, (usize, usize), usize)) {
        let padding = self.kernel / 2;
        for channel in 0..self.in_channels {
            for ky in 0..self.kernel {
                for kx in 0..self.kernel {
                    let row = (channel * self.kernel + ky) * self.kernel + kx;
                    let inside = self.inside(kx);
                    for oy in 0..self.out_height {
                        let y = (oy * self.stride + ky).checked_sub(padding).filter(|&y| y < self.height);
                        visit(row, y.map(|y| (channel * self.height + y) * self.width), inside, oy);
                    }
                }
            }
        }
    }

    /// Writes one picture's patches into `columns`, whose rows are `row_length` long, from column `at` on.
    pub(super) fn patches_from_picture(&self, picture: &[f32], columns: &mut [f32], row_length: usize, at: usize) {
        let padding = self.kernel / 2;
        self.each_run(|row, input_row, (first, last), oy| {
            let start = row * row_length + at + oy * self.out_width;
            let out = &mut columns[start..start + self.out_width];
            let Some(input_row) = input_row else { return out.fill(0.0) };
            out[..first].fill(0.0);
            out[last..].fill(0.0);
            let x = input_row + first * self.stride + row % self.kernel - padding;
            if self.stride == 1 {
                out[first..last].copy_from_slice(&picture[x..x + last - first]);
            } else {
                let values = picture[x..].iter().step_by(self.stride);
                out[first..last].iter_mut().zip(values).for_each(|(out, value)| *out = *value);
            }
        });
    }
}
