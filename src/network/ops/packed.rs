//! A convolution's weights in the order in which inference reads them, and the way from whole batches to the inner loops.
//!
//! Owns sizes, packing, padding and what runs in parallel; the loops are in `block.rs`. Pictures are channels last,
//! `(batch, height, width, channels)`. Each picture is computed alone, in the same order wherever it runs: results depend
//! neither on the batch around it nor on the number of threads.

use candle_core::{Result, Shape, Tensor, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::block::{BLOCK_ROWS, Convolve, Lanes, NARROW, Plan, TILE, WIDE};

/// The most pictures that one thread takes at a time. While it works on them, a tile's weights stay in its cache; more
/// pictures would drive them out again and take more memory.
const PICTURES: usize = 4;

/// A convolution with bias.
#[derive(Debug)]
pub(crate) struct PackedConv {
    /// `(out / TILE, k, k, in, TILE)`; channels that are missing in the last tile are 0.
    weights: Vec<Lanes>,
    /// `(out / TILE, TILE)`.
    bias: Vec<Lanes>,
    in_channels: usize,
    out_channels: usize,
    kernel: usize,
    stride: usize,
}

impl PackedConv {
    /// From a kernel `(out, in, k, k)` and a bias `(out,)`.
    ///
    /// # Errors
    /// When they don't fit each other, the kernel's side is even, or the stride is not 1 or 2.
    pub(super) fn new(kernel: &Tensor, bias: &Tensor, stride: usize) -> Result<Self> {
        let (out_channels, in_channels, height, side) = kernel.dims4()?;
        if kernel.elem_count() == 0 || height != side || side % 2 == 0 || !matches!(stride, 1 | 2) {
            bail!("a convolution with kernels {in_channels}x{height}x{side}, {out_channels} of them, stride {stride}");
        }
        if bias.dims() != [out_channels] {
            bail!("biases {:?} for {out_channels} channels", bias.dims());
        }
        let values: Vec<f32> = kernel.permute((2, 3, 1, 0))?.flatten_all()?.to_vec1()?;
        let (taps, tiles) = (side * side * in_channels, out_channels.div_ceil(TILE));
        let mut weights = vec![Lanes::default(); tiles * taps];
        for (tap, values) in values.chunks_exact(out_channels).enumerate() {
            for (tile, values) in values.chunks(TILE).enumerate() {
                weights[tile * taps + tap].0[..values.len()].copy_from_slice(values);
            }
        }
        let mut biases = vec![Lanes::default(); tiles];
        for (lanes, values) in biases.iter_mut().zip(bias.to_vec1::<f32>()?.chunks(TILE)) {
            lanes.0[..values.len()].copy_from_slice(values);
        }
        Ok(Self { weights, bias: biases, in_channels, out_channels, kernel: side, stride })
    }

    /// The output's shape and the sizes of each picture's convolution.
    ///
    /// # Errors
    /// When the input is empty or has other channels than the kernel.
    pub(super) fn plan(&self, input: &Shape) -> Result<(Shape, Plan)> {
        let (batch, height, width, channels) = input.dims4()?;
        if input.elem_count() == 0 || channels != self.in_channels {
            bail!("a convolution of {input:?} with kernels of {} channels, which come last", self.in_channels);
        }
        let Self { in_channels, out_channels, kernel, stride, .. } = *self;
        let out = |size: usize| (size - 1) / stride + 1;
        let (out_height, out_width) = (out(height), out(width));
        let covered = |columns: usize| out_width.next_multiple_of(columns);
        let columns = if covered(WIDE) <= covered(NARROW) { WIDE } else { NARROW };
        let padded = |covered: usize, size: usize| ((covered - 1) * stride + kernel).max(size + kernel - 1);
        let plan = Plan {
            in_channels,
            height,
            width,
            out_channels,
            out_height,
            out_width,
            kernel,
            stride,
            columns,
            padded_height: padded(out_height.next_multiple_of(BLOCK_ROWS), height),
            padded_width: padded(covered(columns), width),
        };
        Ok(((batch, out_height, out_width, out_channels).into(), plan))
    }

    /// Convolves all pictures, adds the bias and `skip`, which has the output's shape, and rectifies on demand.
    pub(super) fn forward(&self, plan: &Plan, input: &[f32], skip: Option<&[f32]>, relu: bool) -> Vec<f32> {
        let batch = input.len() / plan.in_len();
        let mut output = vec![0.0; batch * plan.out_len()];
        let threads = rayon::current_num_threads();
        let pictures = batch.div_ceil(threads).clamp(1, PICTURES);
        let part = |(i, output): (usize, &mut [f32])| {
            let input = &input[i * pictures * plan.in_len()..][..output.len() / plan.out_len() * plan.in_len()];
            let skip = skip.map(|skip| &skip[i * pictures * plan.out_len()..][..output.len()]);
            self.convolve(plan, input, skip, relu, output);
        };
        if threads == 1 || batch == 1 {
            output.chunks_mut(pictures * plan.out_len()).enumerate().for_each(part);
        } else {
            output.par_chunks_mut(pictures * plan.out_len()).enumerate().for_each(part);
        }
        output
    }

    /// Convolves some pictures on the calling thread.
    fn convolve(&self, plan: &Plan, input: &[f32], skip: Option<&[f32]>, relu: bool, output: &mut [f32]) {
        let padded = padded(plan, input);
        Arch::new().dispatch(self.work(plan, &padded, skip, relu, output));
    }

    /// What the inner loops have to do for some pictures, whose input is padded.
    pub(super) fn work<'a>(
        &'a self,
        plan: &'a Plan,
        input: &'a [f32],
        skip: Option<&'a [f32]>,
        relu: bool,
        output: &'a mut [f32],
    ) -> Convolve<'a> {
        Convolve { plan, weights: &self.weights, bias: &self.bias, input, skip, relu, output }
    }
}

/// Pictures, `(height, width, in)`, as `(padded height, in, padded width)` with zeros all around.
pub(super) fn padded(plan: &Plan, input: &[f32]) -> Vec<f32> {
    let arch = Arch::new();
    let mut padded = vec![0.0; input.len() / plan.in_len() * plan.padded_len()];
    for (input, padded) in input.chunks_exact(plan.in_len()).zip(padded.chunks_exact_mut(plan.padded_len())) {
        arch.dispatch(|| pad(plan, input, padded));
    }
    padded
}

/// One picture, `(height, width, in)`, into the middle of `(padded height, in, padded width)`, which is 0 all around.
#[inline(always)]
fn pad(plan: &Plan, input: &[f32], padded: &mut [f32]) {
    let padding = plan.kernel / 2;
    let rows = padded.chunks_exact_mut(plan.padded_row()).skip(padding);
    for (input, padded) in input.chunks_exact(plan.width * plan.in_channels).zip(rows) {
        for (column, pixel) in input.chunks_exact(plan.in_channels).enumerate() {
            let column = padded[padding + column..].iter_mut().step_by(plan.padded_width);
            column.zip(pixel).for_each(|(padded, value)| *padded = *value);
        }
    }
}
