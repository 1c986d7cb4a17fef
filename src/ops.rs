//! What candle does too slowly on a CPU, as custom operations.
//!
//! Owns convolution (forward and both gradients), batch norm over a batch, and the rectified sum of a residual block. Each is
//! checked against candle's own result and gradient in the tests below. On a GPU candle's operations are used as they are.
//!
//! Convolution is done as matrix products: the patches of a picture become the columns of a matrix (im2col, Chellapilla et
//! al., <https://inria.hal.science/inria-00112631>), so both gradients are matrix products too. candle 0.11 computes the
//! input's gradient by a transposed convolution in plain loops, and batch norm's from a dozen elementwise passes, which
//! makes a training step several times slower. Work is split into parts whose number does not depend on the machine, and
//! partial sums are added in a fixed order: the same numbers in give the same numbers out, bit for bit.
//!
//! Shapes: pictures are `(batch, channels, height, width)`, kernels `(out, in, k, k)` with odd k, padding `k / 2`.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

/// The batch is cut into this many parts, each worked on by one thread: enough for any laptop.
const PARTS: usize = 16;

/// Small pictures are put side by side until the matrix has about this many columns: below that the matrix product spends
/// its time on rearranging the kernel, above it the columns leave the second-level cache.
const COLUMNS: usize = 576;

/// Convolution without bias, differentiable. `kernel` is `(out, in, k, k)`.
///
/// # Errors
/// When the shapes don't fit each other.
pub fn conv2d(input: &Tensor, kernel: &Tensor, stride: usize) -> Result<Tensor> {
    if !input.device().is_cpu() {
        return input.conv2d(kernel, kernel.dim(3)? / 2, stride, 1, 1);
    }
    input.contiguous()?.apply_op2(&kernel.contiguous()?, Conv2d { stride })
}

/// Convolution with bias and optional rectification in one pass, for inference: it has no gradient.
///
/// # Errors
/// When the shapes don't fit each other.
pub fn conv2d_bias(input: &Tensor, kernel: &Tensor, bias: &Tensor, stride: usize, relu: bool) -> Result<Tensor> {
    if input.device().is_cpu() {
        return input.contiguous()?.apply_op3_no_bwd(kernel, bias, &Conv2dBias { stride, relu });
    }
    let output = input.conv2d(kernel, kernel.dim(3)? / 2, stride, 1, 1)?.broadcast_add(&bias.reshape((
        1,
        bias.elem_count(),
        1,
        1,
    ))?)?;
    if relu { output.relu() } else { Ok(output) }
}

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

/// `max(a + b, 0)`, differentiable: how a residual block ends (He et al. 2015, <https://arxiv.org/abs/1512.03385>).
///
/// # Errors
/// When the shapes differ.
pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.device().is_cpu() { a.contiguous()?.apply_op2(&b.contiguous()?, AddRelu) } else { (a + b)?.relu() }
}

/// A matrix inside a slice: element (r, c) is at `r * row_stride + c * column_stride`.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn fits(&self) -> bool {
        self.rows > 0
            && self.columns > 0
            && (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride < self.data.len()
    }
}

/// `out = a b`, or `out += a b` where `accumulate`; `out` is row-major. Runs on the calling thread.
#[allow(unsafe_code, reason = "the matrix product takes raw pointers; all three extents are checked first")]
fn matrix_product(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, accumulate: bool) {
    assert!(a.fits() && b.fits() && a.columns == b.rows && out.len() == a.rows * b.columns, "matrix shapes do not fit");
    // SAFETY: `fits` and the length of `out` keep every element that is read or written inside its slice; `out` is
    // borrowed mutably, so it overlaps neither `a` nor `b`; strides of existing slices fit into isize.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// The sizes of one convolution.
#[derive(Clone, Copy)]
struct Geometry {
    batch: usize,
    in_channels: usize,
    height: usize,
    width: usize,
    out_channels: usize,
    kernel: usize,
    stride: usize,
    out_height: usize,
    out_width: usize,
}

impl Geometry {
    fn new(input: &Shape, kernel: &Shape, stride: usize) -> Result<Self> {
        let (batch, in_channels, height, width) = input.dims4()?;
        let (out_channels, expected_channels, kernel_height, kernel) = kernel.dims4()?;
        if expected_channels != in_channels || kernel_height != kernel || kernel % 2 == 0 || stride == 0 {
            bail!(
                "a convolution of {input:?} with kernels {expected_channels}x{kernel_height}x{kernel}, stride {stride}"
            );
        }
        let out = |size: usize| (size + 2 * (kernel / 2)).saturating_sub(kernel) / stride + 1;
        let (out_height, out_width) = (out(height), out(width));
        Ok(Self { batch, in_channels, height, width, out_channels, kernel, stride, out_height, out_width })
    }

    fn in_size(&self) -> usize {
        self.in_channels * self.height * self.width
    }

    fn out_pixels(&self) -> usize {
        self.out_height * self.out_width
    }

    fn out_size(&self) -> usize {
        self.out_channels * self.out_pixels()
    }

    /// Rows of the patch matrix: one per input value under the kernel.
    fn patch(&self) -> usize {
        self.in_channels * self.kernel * self.kernel
    }

    /// How many pictures go into one matrix product.
    fn group(&self) -> usize {
        (COLUMNS / self.out_pixels()).clamp(1, self.batch)
    }

    /// Pictures per part, a whole number of groups.
    fn part(&self) -> usize {
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
    fn patches_from_picture(&self, picture: &[f32], columns: &mut [f32], row_length: usize, at: usize) {
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

    /// Adds one picture's patch gradients back onto the picture: the transpose of `patches_from_picture`.
    fn add_patches_to_picture(&self, columns: &[f32], row_length: usize, at: usize, picture: &mut [f32]) {
        let padding = self.kernel / 2;
        self.each_run(|row, input_row, (first, last), oy| {
            let Some(input_row) = input_row else { return };
            let start = row * row_length + at + oy * self.out_width;
            let values = &columns[start + first..start + last];
            let x = input_row + first * self.stride + row % self.kernel - padding;
            if self.stride == 1 {
                picture[x..x + values.len()].iter_mut().zip(values).for_each(|(p, v)| *p += v);
            } else {
                picture[x..].iter_mut().step_by(self.stride).zip(values).for_each(|(p, v)| *p += v);
            }
        });
    }
}

/// The values of a contiguous f32 tensor on the CPU.
fn values_of<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        (CpuStorage::F32(_), None) => bail!("a tensor that is not contiguous"),
        (other, _) => bail!("a tensor of {:?} instead of f32", candle_core::backend::BackendStorage::dtype(other)),
    }
}

/// Runs `work` on the values of a tensor on the CPU.
fn with_values<T>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(values_of(storage, layout)?),
        _ => bail!("a tensor that is not on the CPU"),
    }
}

struct Conv2d {
    stride: usize,
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d-im2col"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let geometry = Geometry::new(l1.shape(), l2.shape(), self.stride)?;
        let output = convolve(&geometry, values_of(s1, l1)?, values_of(s2, l2)?, None, false);
        let shape = (geometry.batch, geometry.out_channels, geometry.out_height, geometry.out_width);
        Ok((CpuStorage::F32(output), shape.into()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        kernel: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let geometry = Geometry::new(input.shape(), kernel.shape(), self.stride)?;
        let input_needed = input.track_op();
        let (grad_input, grad_kernel) = with_values(input, |x| {
            with_values(kernel, |w| with_values(grad, |g| Ok(convolve_backward(&geometry, x, w, g, input_needed))))
        })?;
        let grad_input =
            input_needed.then(|| Tensor::from_vec(grad_input, input.shape(), input.device())).transpose()?;
        Ok((grad_input, Some(Tensor::from_vec(grad_kernel, kernel.shape(), kernel.device())?)))
    }
}

struct Conv2dBias {
    stride: usize,
    relu: bool,
}

impl CustomOp3 for Conv2dBias {
    fn name(&self) -> &'static str {
        "conv2d-bias-im2col"
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
        let geometry = Geometry::new(l1.shape(), l2.shape(), self.stride)?;
        let bias = values_of(s3, l3)?;
        if bias.len() != geometry.out_channels {
            bail!("{} biases for {} channels", bias.len(), geometry.out_channels);
        }
        let output = convolve(&geometry, values_of(s1, l1)?, values_of(s2, l2)?, Some(bias), self.relu);
        let shape = (geometry.batch, geometry.out_channels, geometry.out_height, geometry.out_width);
        Ok((CpuStorage::F32(output), shape.into()))
    }
}

fn convolve(geometry: &Geometry, input: &[f32], kernel: &[f32], bias: Option<&[f32]>, relu: bool) -> Vec<f32> {
    let (group, pixels, out_size) = (geometry.group(), geometry.out_pixels(), geometry.out_size());
    let kernel = Matrix::row_major(kernel, geometry.out_channels, geometry.patch());
    let mut output = vec![0.0; geometry.batch * out_size];
    let parts = output.par_chunks_mut(geometry.part() * out_size);
    parts.zip(input.par_chunks(geometry.part() * geometry.in_size())).for_each(|(output, input)| {
        let mut columns = vec![0.0; geometry.patch() * group * pixels];
        let mut product = vec![0.0; if group > 1 { geometry.out_channels * group * pixels } else { 0 }];
        for (output, input) in output.chunks_mut(group * out_size).zip(input.chunks(group * geometry.in_size())) {
            let count = output.len() / out_size;
            let row_length = count * pixels;
            let columns = &mut columns[..geometry.patch() * row_length];
            for (i, picture) in input.chunks(geometry.in_size()).enumerate() {
                geometry.patches_from_picture(picture, columns, row_length, i * pixels);
            }
            let columns = Matrix::row_major(columns, geometry.patch(), row_length);
            if count == 1 {
                matrix_product(output, kernel, columns, false);
            } else {
                let product = &mut product[..geometry.out_channels * row_length];
                matrix_product(product, kernel, columns, false);
                scatter(product, output, geometry.out_channels, pixels);
            }
            if let Some(bias) = bias {
                add_bias(output, bias, pixels, relu);
            }
        }
    });
    output
}

fn add_bias(output: &mut [f32], bias: &[f32], pixels: usize, relu: bool) {
    for (plane, bias) in output.chunks_mut(pixels).zip(bias.iter().cycle()) {
        for value in plane {
            let sum = *value + bias;
            *value = if relu { sum.max(0.0) } else { sum };
        }
    }
}

/// From `(channels, pictures, pixels)`, as matrix products give it, to `(pictures, channels, pixels)`.
fn scatter(product: &[f32], pictures: &mut [f32], channels: usize, pixels: usize) {
    let row_length = product.len() / channels;
    for (i, picture) in pictures.chunks_mut(channels * pixels).enumerate() {
        for (channel, plane) in picture.chunks_mut(pixels).enumerate() {
            let start = channel * row_length + i * pixels;
            plane.copy_from_slice(&product[start..start + pixels]);
        }
    }
}

/// The reverse of [`scatter`].
fn gather(pictures: &[f32], product: &mut [f32], channels: usize, pixels: usize) {
    let row_length = product.len() / channels;
    for (i, picture) in pictures.chunks(channels * pixels).enumerate() {
        for (channel, plane) in picture.chunks(pixels).enumerate() {
            let start = channel * row_length + i * pixels;
            product[start..start + pixels].copy_from_slice(plane);
        }
    }
}

/// Gradients of the input (empty unless `input_needed`) and of the kernel.
fn convolve_backward(
    geometry: &Geometry,
    input: &[f32],
    kernel: &[f32],
    grad: &[f32],
    input_needed: bool,
) -> (Vec<f32>, Vec<f32>) {
    let (group, pixels, in_size, out_size) =
        (geometry.group(), geometry.out_pixels(), geometry.in_size(), geometry.out_size());
    let kernel_matrix = Matrix::row_major(kernel, geometry.out_channels, geometry.patch());
    let mut grad_input = vec![0.0; if input_needed { input.len() } else { 0 }];
    let part = geometry.part();
    let mut grad_input_parts: Vec<&mut [f32]> = grad_input.chunks_mut(part * in_size).collect();
    grad_input_parts.resize_with(geometry.batch.div_ceil(part), Default::default);
    let partial: Vec<Vec<f32>> = grad_input_parts
        .into_par_iter()
        .zip(input.par_chunks(part * in_size).zip(grad.par_chunks(part * out_size)))
        .map(|(grad_input, (input, grad))| {
            let mut columns = vec![0.0; geometry.patch() * group * pixels];
            let mut grad_out = vec![0.0; geometry.out_channels * group * pixels];
            let mut grad_kernel = vec![0.0; kernel.len()];
            for (i, (input, grad)) in input.chunks(group * in_size).zip(grad.chunks(group * out_size)).enumerate() {
                let row_length = grad.len() / out_size * pixels;
                let columns = &mut columns[..geometry.patch() * row_length];
                let grad_out = &mut grad_out[..geometry.out_channels * row_length];
                gather(grad, grad_out, geometry.out_channels, pixels);
                let grad_out = Matrix::row_major(grad_out, geometry.out_channels, row_length);
                for (j, picture) in input.chunks(in_size).enumerate() {
                    geometry.patches_from_picture(picture, columns, row_length, j * pixels);
                }
                let patches = Matrix::row_major(columns, geometry.patch(), row_length);
                matrix_product(&mut grad_kernel, grad_out, patches.transposed(), true);
                if input_needed {
                    matrix_product(columns, kernel_matrix.transposed(), grad_out, false);
                    let start = i * group * in_size;
                    let pictures = &mut grad_input[start..start + input.len()];
                    for (j, picture) in pictures.chunks_mut(in_size).enumerate() {
                        geometry.add_patches_to_picture(columns, row_length, j * pixels, picture);
                    }
                }
            }
            grad_kernel
        })
        .collect();
    let mut grad_kernel = vec![0.0; kernel.len()];
    for part in partial {
        grad_kernel.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    (grad_input, grad_kernel)
}

struct BatchNorm {
    epsilon: f32,
    relu: bool,
    statistics: Arc<OnceLock<ChannelStatistics>>,
}

impl BatchNorm {
    fn inverse_deviation(&self, statistics: &ChannelStatistics) -> Vec<f32> {
        statistics.variance.iter().map(|variance| 1.0 / (variance + self.epsilon).sqrt()).collect()
    }
}

/// The slices of one channel, one per picture.
fn planes(values: &[f32], channel: usize, channels: usize, pixels: usize) -> impl Iterator<Item = &[f32]> {
    values.chunks_exact(pixels).skip(channel).step_by(channels)
}

/// Sums are kept in this many lanes: processors add lanes side by side, and the order of summation stays fixed.
const LANES: usize = 16;

/// `value` or 0, without a branch: with one, compilers do not put lanes side by side.
fn kept(value: f32, keep: bool) -> f32 {
    f32::from_bits(value.to_bits() & u32::from(keep).wrapping_neg())
}

/// The sum of `f` over the values.
fn lane_sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &value)| *lane += f(value));
    }
    lanes.into_iter().chain(rest.iter().map(|&value| f(value))).sum()
}

/// Sums of `g` and of `g (x - mean)`, leaving out where `relu` cut `y` off.
fn lane_sums(x: &[f32], y: &[f32], g: &[f32], mean: f32, relu: bool) -> (f32, f32) {
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
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
        let (batch, channels, height, width) = l1.shape().dims4()?;
        let (input, gamma, beta) = (values_of(s1, l1)?, values_of(s2, l2)?, values_of(s3, l3)?);
        let (pixels, count) = (height * width, batch * height * width);
        if gamma.len() != channels || beta.len() != channels || count == 0 {
            bail!("batch norm of {:?} with {} scales and {} shifts", l1.shape(), gamma.len(), beta.len());
        }
        let statistics = (0..channels).into_par_iter().map(|channel| {
            let planes = || planes(input, channel, channels, pixels);
            let sum: f64 = planes().map(|plane| f64::from(lane_sum(plane, |x| x))).sum();
            let mean = (sum / count as f64) as f32;
            let squares: f64 = planes().map(|plane| f64::from(lane_sum(plane, |x| (x - mean) * (x - mean)))).sum();
            (mean, (squares / count as f64) as f32)
        });
        let (mean, variance): (Vec<f32>, Vec<f32>) = statistics.collect::<Vec<_>>().into_iter().unzip();
        let statistics = ChannelStatistics { mean, variance, count };
        let inverse = self.inverse_deviation(&statistics);
        let mut output = vec![0.0; input.len()];
        output.par_chunks_mut(channels * pixels).zip(input.par_chunks(channels * pixels)).for_each(
            |(output, input)| {
                for (channel, (out, x)) in output.chunks_exact_mut(pixels).zip(input.chunks_exact(pixels)).enumerate() {
                    let scale = gamma[channel] * inverse[channel];
                    let shift = beta[channel] - statistics.mean[channel] * scale;
                    let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
                    out.iter_mut().zip(x).for_each(|(out, x)| *out = (x * scale + shift).max(floor));
                }
            },
        );
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
        let (pixels, count) = (height * width, statistics.count as f32);
        let inverse = self.inverse_deviation(statistics);
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        let (grad_input, grad_gamma, grad_beta) = with_values(input, |x| {
            with_values(output, |y| {
                with_values(grad, |g| {
                    let gamma = gamma.to_vec1::<f32>()?;
                    let sums: Vec<(f32, f32)> = (0..channels)
                        .into_par_iter()
                        .map(|c| {
                            let (mean, inverse) = (statistics.mean[c], inverse[c]);
                            let (mut shift, mut scale) = (0f64, 0f64);
                            for ((x, y), g) in planes(x, c, channels, pixels)
                                .zip(planes(y, c, channels, pixels))
                                .zip(planes(g, c, channels, pixels))
                            {
                                let (plane_shift, plane_scale) = lane_sums(x, y, g, mean, self.relu);
                                shift += f64::from(plane_shift);
                                scale += f64::from(plane_scale * inverse);
                            }
                            (shift as f32, scale as f32)
                        })
                        .collect();
                    let mut grad_input = vec![0.0; x.len()];
                    let size = channels * pixels;
                    grad_input
                        .par_chunks_mut(size)
                        .zip(x.par_chunks(size).zip(y.par_chunks(size).zip(g.par_chunks(size))))
                        .for_each(|(out, (x, (y, g)))| {
                            for c in 0..channels {
                                let range = c * pixels..(c + 1) * pixels;
                                let (mean, inverse) = (statistics.mean[c], inverse[c]);
                                let factor = gamma[c] * inverse;
                                let (mean_shift, mean_scale) = (sums[c].0 / count, sums[c].1 / count * inverse);
                                let (x, y, g) = (&x[range.clone()], &y[range.clone()], &g[range.clone()]);
                                for (((out, x), y), g) in out[range].iter_mut().zip(x).zip(y).zip(g) {
                                    let g = kept(*g, *y > floor);
                                    *out = factor * (g - mean_shift - (x - mean) * mean_scale);
                                }
                            }
                        });
                    let (grad_beta, grad_gamma): (Vec<f32>, Vec<f32>) = sums.into_iter().unzip();
                    Ok((grad_input, grad_gamma, grad_beta))
                })
            })
        })?;
        let device = input.device();
        Ok((
            Some(Tensor::from_vec(grad_input, input.shape(), device)?),
            Some(Tensor::from_vec(grad_gamma, channels, device)?),
            Some(Tensor::from_vec(grad_beta, channels, device)?),
        ))
    }
}

struct AddRelu;

/// Elementwise work is cut into pieces of this many values, small enough for the first-level cache.
const PIECE: usize = 16 * 1024;

impl CustomOp2 for AddRelu {
    fn name(&self) -> &'static str {
        "add-relu"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        if l1.shape() != l2.shape() {
            bail!("a sum of {:?} and {:?}", l1.shape(), l2.shape());
        }
        let (a, b) = (values_of(s1, l1)?, values_of(s2, l2)?);
        let mut output = vec![0.0; a.len()];
        output.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE).zip(b.par_chunks(PIECE))).for_each(|(out, (a, b))| {
            out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = (a + b).max(0.0));
        });
        Ok((CpuStorage::F32(output), l1.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, output: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let masked = with_values(output, |y| {
            with_values(grad, |g| {
                let mut masked = vec![0.0; g.len()];
                masked.par_chunks_mut(PIECE).zip(y.par_chunks(PIECE).zip(g.par_chunks(PIECE))).for_each(
                    |(out, (y, g))| {
                        out.iter_mut().zip(y.iter().zip(g)).for_each(|(out, (y, g))| *out = kept(*g, *y > 0.0));
                    },
                );
                Ok(masked)
            })
        })?;
        let masked = Tensor::from_vec(masked, output.shape(), output.device())?;
        Ok((Some(masked.clone()), Some(masked)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(seed: u64, shape: &[usize]) -> Var {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|_| (rng.next_u32() as f32 / u32::MAX as f32) * 2.0 - 1.0).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).expect("shape")).expect("variable")
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        assert_eq!(a.dims(), b.dims());
        (a - b).and_then(|d| d.abs()?.flatten_all()?.max(0)?.to_scalar()).expect("difference")
    }

    /// A loss whose gradient differs from value to value.
    fn loss(y: &Tensor) -> Tensor {
        let weights = random(99, y.dims());
        (y.sqr().expect("square") * weights.as_tensor()).and_then(|t| t.sum_all()).expect("sum")
    }

    fn compare(ours: &Tensor, candles: &Tensor, variables: &[&Var]) {
        assert!(largest_difference(ours, candles) < 1e-4, "forward: {}", largest_difference(ours, candles));
        let ours = loss(ours).backward().expect("our gradients");
        let candles = loss(candles).backward().expect("candle's gradients");
        for variable in variables {
            let (a, b) = (ours.get(variable).expect("ours"), candles.get(variable).expect("candle's"));
            let scale = b.abs().and_then(|b| b.flatten_all()?.max(0)?.to_scalar::<f32>()).expect("scale").max(1.0);
            assert!(largest_difference(a, b) / scale < 1e-4, "gradient: {}", largest_difference(a, b) / scale);
        }
    }

    #[test]
    fn convolution_and_gradients_equal_candles() {
        // Candle's own gradient of a strided convolution fails on odd sizes, so those are even here.
        for (batch, inputs, outputs, height, width, kernel, stride) in [
            (1, 1, 4, 9, 7, 3, 1),
            (3, 5, 6, 8, 8, 3, 1),
            (40, 3, 4, 6, 6, 3, 1),
            (5, 4, 3, 8, 8, 3, 2),
            (5, 4, 3, 8, 8, 1, 2),
            (2, 4, 3, 5, 6, 1, 1),
        ] {
            let (x, w) = (random(1, &[batch, inputs, height, width]), random(2, &[outputs, inputs, kernel, kernel]));
            let ours = conv2d(&x, &w, stride).expect("ours");
            let candles = x.conv2d(&w, kernel / 2, stride, 1, 1).expect("candle's");
            compare(&ours, &candles, &[&x, &w]);
        }
    }

    #[test]
    fn strided_convolution_gradient_of_odd_sizes_equals_finite_differences() {
        let (x, w) = (random(1, &[2, 2, 7, 5]), random(2, &[3, 2, 3, 3]));
        let gradients = loss(&conv2d(&x, &w, 2).expect("forward")).backward().expect("backward");
        for variable in [&x, &w] {
            let gradient: Vec<f32> =
                gradients.get(variable).and_then(|g| g.flatten_all().ok()?.to_vec1().ok()).expect("g");
            let original: Vec<f32> = variable.flatten_all().and_then(|v| v.to_vec1()).expect("values");
            for i in (0..original.len()).step_by(5) {
                let value_at = |offset: f32| {
                    let mut moved = original.clone();
                    moved[i] += offset;
                    variable.set(&Tensor::from_vec(moved, variable.dims(), &Device::Cpu).expect("t")).expect("set");
                    loss(&conv2d(&x, &w, 2).expect("forward")).to_scalar::<f32>().expect("scalar")
                };
                // The loss is quadratic in each value, so the central difference is exact but for rounding.
                let slope = (value_at(0.1) - value_at(-0.1)) / 0.2;
                value_at(0.0);
                assert!((slope - gradient[i]).abs() < 2e-3 * slope.abs().max(1.0), "{slope} {}", gradient[i]);
            }
        }
    }

    #[test]
    fn convolution_with_bias_equals_candles() {
        let (x, w, b) = (random(1, &[2, 3, 8, 8]), random(2, &[4, 3, 3, 3]), random(3, &[4]));
        let plain =
            x.conv2d(&w, 1, 2, 1, 1).and_then(|y| y.broadcast_add(&b.reshape((1, 4, 1, 1))?)).expect("candle's");
        for relu in [false, true] {
            let ours = conv2d_bias(&x, &w, &b, 2, relu).expect("ours");
            let candles = if relu { plain.relu().expect("relu") } else { plain.clone() };
            assert!(largest_difference(&ours, &candles) < 1e-5);
        }
        assert!(conv2d_bias(&x, &w, &random(3, &[5]), 2, false).is_err());
        assert!(conv2d(&x, &random(2, &[4, 2, 3, 3]), 1).is_err());
    }

    #[test]
    fn batch_norm_and_gradients_equal_candles() {
        for relu in [false, true] {
            let (x, gamma, beta) = (random(1, &[6, 3, 4, 5]), random(2, &[3]), random(3, &[3]));
            let (ours, statistics) = batch_norm(&x, &gamma, &beta, 1e-5, relu).expect("ours");
            let centred = x.mean_keepdim((0, 2, 3)).and_then(|mean| x.broadcast_sub(&mean)).expect("centred");
            let variance = centred.sqr().and_then(|s| s.mean_keepdim((0, 2, 3))).expect("variance");
            let candles = (&variance + 1e-5)
                .and_then(|v| centred.broadcast_div(&v.sqrt()?))
                .and_then(|y| y.broadcast_mul(&gamma.reshape((1, 3, 1, 1))?))
                .and_then(|y| y.broadcast_add(&beta.reshape((1, 3, 1, 1))?))
                .and_then(|y| if relu { y.relu() } else { Ok(y) })
                .expect("candle's");
            compare(&ours, &candles, &[&x, &gamma, &beta]);
            let variance: Vec<f32> = variance.flatten_all().and_then(|v| v.to_vec1()).expect("variance");
            statistics.variance.iter().zip(variance).for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
            assert_eq!(statistics.count, 6 * 4 * 5);
        }
    }

    #[test]
    fn rectified_sum_and_gradients_equal_candles() {
        let (a, b) = (random(1, &[2, 3, 4, 5]), random(2, &[2, 3, 4, 5]));
        let candles = (a.as_tensor() + b.as_tensor()).and_then(|s| s.relu()).expect("candle's");
        compare(&add_relu(&a, &b).expect("ours"), &candles, &[&a, &b]);
    }
}
