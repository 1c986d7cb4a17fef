//! This program's own kernels, as functions that check what their kernel relies on.
//!
//! Each function holds a launch (`launch`) to the kernel's declaration in the `.cu` file: the arguments are those, in that
//! order, and every tensor is as long as the sizes say.

use candle_core::Result;
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, PushKernelArg};

use super::launch::{
    AUGMENT, CONV, NORM, THREADS, VALUES, Values, WARP, blocks_of, check, int, kernel, launch, memory, processors, push,
};
use super::sizes::{ConvSizes, NormSizes, Tile};

/// Blocks that a sum over a channel is shared out to, over all channels.
const SUMMING_BLOCKS: usize = 512;

/// The most memory that the parts of a kernel's gradient may take, in values: 64 MB.
#[cfg(not(feature = "cudnn"))]
const PART_VALUES: usize = 16 << 20;

/// What comes after a convolution's sums.
#[derive(Clone, Copy, Default)]
pub(super) struct Finish<'a> {
    /// Added to each channel, `(out,)`.
    pub(super) bias: Option<&'a Values<'a>>,
    /// Added, in the output's shape.
    pub(super) skip: Option<&'a Values<'a>>,
    /// Whether negative outputs become 0.
    pub(super) relu: bool,
}

/// `(batch, in, h, w)` with kernels `(out, in, k, k)` to `(batch, out, h / stride, w / stride)`.
pub(super) fn convolve(
    device: &CudaDevice,
    sizes: &ConvSizes,
    x: &Values<'_>,
    weights: &Values<'_>,
    finish: Finish<'_>,
) -> Result<CudaSlice<f32>> {
    let tile = Tile::choose(sizes.out_channels, sizes.batch * sizes.out_pixels(), 1, processors(device)?);
    convolve_in(tile, device, sizes, x, weights, finish)
}

/// The same in tiles of this kind.
pub(super) fn convolve_in(
    tile: Tile,
    device: &CudaDevice,
    sizes: &ConvSizes,
    x: &Values<'_>,
    weights: &Values<'_>,
    Finish { bias, skip, relu }: Finish<'_>,
) -> Result<CudaSlice<f32>> {
    check("the pictures", x.len(), sizes.input_len())?;
    check("the kernels", weights.len(), sizes.kernel_len())?;
    bias.map_or(Ok(()), |bias| check("the biases", bias.len(), sizes.out_channels))?;
    skip.map_or(Ok(()), |skip| check("the way around", skip.len(), sizes.output_len()))?;
    let mut y = memory(device, sizes.output_len())?;
    let (function, plan, relu) = (kernel(device, CONV, &tile.name("convolve"))?, sizes.plan()?, i32::from(relu));
    let mut args = function.builder();
    args.arg(&plan).arg(x).arg(weights);
    push(&mut args, bias);
    push(&mut args, skip);
    args.arg(&relu).arg(&mut y);
    let (columns, rows) = tile.blocks(sizes.out_channels, sizes.batch * sizes.out_pixels());
    launch(&mut args, (columns, rows, 1), 0)?;
    Ok(y)
}

/// The same without anything that comes after, for training.
#[cfg(not(feature = "cudnn"))]
pub(super) fn output(
    device: &CudaDevice,
    sizes: &ConvSizes,
    x: &Values<'_>,
    weights: &Values<'_>,
) -> Result<CudaSlice<f32>> {
    convolve(device, sizes, x, weights, Finish::default())
}

/// The gradient of a convolution's input from that of its output.
#[cfg(not(feature = "cudnn"))]
pub(super) fn input_gradient(
    device: &CudaDevice,
    sizes: &ConvSizes,
    grad: &Values<'_>,
    weights: &Values<'_>,
) -> Result<CudaSlice<f32>> {
    let (pixels, phases) = sizes.phases();
    let tile = Tile::choose(sizes.in_channels, pixels, phases, processors(device)?);
    input_gradient_in(tile, device, sizes, grad, weights)
}

/// The same in tiles of this kind.
#[cfg(not(feature = "cudnn"))]
pub(super) fn input_gradient_in(
    tile: Tile,
    device: &CudaDevice,
    sizes: &ConvSizes,
    grad: &Values<'_>,
    weights: &Values<'_>,
) -> Result<CudaSlice<f32>> {
    check("the gradient", grad.len(), sizes.output_len())?;
    check("the kernels", weights.len(), sizes.kernel_len())?;
    let (pixels, phases) = sizes.phases();
    let mut gradient = memory(device, sizes.input_len())?;
    let (function, plan) = (kernel(device, CONV, &tile.name("input_gradient"))?, sizes.plan()?);
    let mut args = function.builder();
    args.arg(&plan).arg(grad).arg(weights).arg(&mut gradient);
    let (columns, rows) = tile.blocks(sizes.in_channels, pixels);
    launch(&mut args, (columns, rows, phases), 0)?;
    Ok(gradient)
}

/// The gradient of a convolution's kernels from its input and the gradient of its output.
#[cfg(not(feature = "cudnn"))]
pub(super) fn kernel_gradient(
    device: &CudaDevice,
    sizes: &ConvSizes,
    x: &Values<'_>,
    grad: &Values<'_>,
) -> Result<CudaSlice<f32>> {
    let tile = Tile::for_kernels(sizes.out_channels, sizes.places());
    kernel_gradient_in(tile, device, sizes, x, grad)
}

/// The same in tiles of this kind.
#[cfg(not(feature = "cudnn"))]
pub(super) fn kernel_gradient_in(
    tile: Tile,
    device: &CudaDevice,
    sizes: &ConvSizes,
    x: &Values<'_>,
    grad: &Values<'_>,
) -> Result<CudaSlice<f32>> {
    check("the pictures", x.len(), sizes.input_len())?;
    check("the gradient", grad.len(), sizes.output_len())?;
    let (places, pixels) = (sizes.places(), sizes.batch * sizes.out_pixels());
    let (columns, rows) = tile.blocks(sizes.out_channels, places);
    // Enough blocks to keep every processor busy, as long as each sums over some steps.
    let parts = (4 * processors(device)?).div_ceil(columns * rows).min(pixels.div_ceil(64));
    let parts = parts.min(PART_VALUES / sizes.kernel_len()).max(1);
    let per_part = pixels.div_ceil(parts);
    let parts = pixels.div_ceil(per_part);
    let mut partial = memory(device, parts * sizes.kernel_len())?;
    let (function, plan) = (kernel(device, CONV, &tile.name("kernel_gradient"))?, sizes.plan()?);
    let per_part = int(per_part)?;
    let mut args = function.builder();
    args.arg(&plan).arg(&per_part).arg(x).arg(grad).arg(&mut partial);
    launch(&mut args, (columns, rows, parts), 0)?;
    if parts == 1 {
        return Ok(partial);
    }
    let mut sums = memory(device, sizes.kernel_len())?;
    let (function, count, parts) = (kernel(device, CONV, "sum_parts")?, int(sizes.kernel_len())?, int(parts)?);
    let mut args = function.builder();
    args.arg(&count).arg(&parts).arg(&partial).arg(&mut sums);
    launch(&mut args, blocks_of(sizes.kernel_len()), 0)?;
    Ok(sums)
}

/// Blocks that each channel's sum is shared out to.
fn parts_of(sizes: &NormSizes) -> usize {
    let useful = (sizes.batch * sizes.pixels).div_ceil(THREADS as usize);
    SUMMING_BLOCKS.div_ceil(sizes.channels).clamp(1, useful)
}

/// Mean, biased variance, and batch norm's factor and summand, `(4, channels)`. `weights` is `(2, channels)`, gamma and beta.
pub(super) fn statistics(
    device: &CudaDevice,
    sizes: &NormSizes,
    x: &Values<'_>,
    weights: &Values<'_>,
    epsilon: f32,
) -> Result<CudaSlice<f32>> {
    check("the values", x.len(), sizes.len())?;
    check("scales and shifts", weights.len(), 2 * sizes.channels)?;
    let (plan, parts) = (sizes.plan()?, parts_of(sizes));
    let mut sums = memory::<f64>(device, 2 * sizes.channels * parts)?;
    let function = kernel(device, NORM, "channel_sums")?;
    let mut args = function.builder();
    args.arg(&plan).arg(x).arg(&mut sums);
    launch(&mut args, (sizes.channels, parts, 1), 0)?;
    let mut statistics = memory(device, 4 * sizes.channels)?;
    let (function, parts) = (kernel(device, NORM, "channel_statistics")?, int(parts)?);
    let mut args = function.builder();
    args.arg(&plan).arg(&parts).arg(&epsilon).arg(x).arg(&sums).arg(weights).arg(&mut statistics);
    launch(&mut args, blocks_of(sizes.channels), 0)?;
    Ok(statistics)
}

/// Values under batch norm by their [`statistics`], plus a way around, rectified on demand.
pub(super) fn normalize(
    device: &CudaDevice,
    sizes: &NormSizes,
    x: &Values<'_>,
    statistics: &Values<'_>,
    skip: Option<&Values<'_>>,
    relu: bool,
) -> Result<CudaSlice<f32>> {
    check("the values", x.len(), sizes.len())?;
    check("the statistics", statistics.len(), 4 * sizes.channels)?;
    skip.map_or(Ok(()), |skip| check("the way around", skip.len(), sizes.len()))?;
    let mut y = memory(device, sizes.len())?;
    let (function, plan, relu) = (kernel(device, NORM, "normalize")?, sizes.plan()?, i32::from(relu));
    let mut args = function.builder();
    args.arg(&plan).arg(x).arg(statistics);
    push(&mut args, skip);
    args.arg(&relu).arg(&mut y);
    launch(&mut args, blocks_of(sizes.len()), 0)?;
    Ok(y)
}

/// What the gradients of batch norm are made from.
pub(super) struct NormGradient<'a> {
    pub(super) sizes: NormSizes,
    pub(super) epsilon: f32,
    /// The values before the norm.
    pub(super) x: &'a Values<'a>,
    /// Their [`statistics`].
    pub(super) statistics: &'a Values<'a>,
    /// The output, where it was rectified.
    pub(super) y: Option<&'a Values<'a>>,
    /// The gradient of the output.
    pub(super) grad: &'a Values<'a>,
}

impl NormGradient<'_> {
    fn check(&self) -> Result<()> {
        check("the values", self.x.len(), self.sizes.len())?;
        check("the statistics", self.statistics.len(), 4 * self.sizes.channels)?;
        check("the gradient", self.grad.len(), self.sizes.len())?;
        self.y.map_or(Ok(()), |y| check("the output", y.len(), self.sizes.len()))
    }

    /// The gradients of gamma and beta, `(2, channels)`.
    pub(super) fn weights(&self, device: &CudaDevice) -> Result<CudaSlice<f32>> {
        self.check()?;
        let Self { sizes, epsilon, x, statistics, y, grad } = self;
        let (plan, parts) = (sizes.plan()?, parts_of(sizes));
        let mut sums = memory::<f64>(device, 2 * sizes.channels * parts)?;
        let function = kernel(device, NORM, "gradient_sums")?;
        let mut args = function.builder();
        args.arg(&plan).arg(*x).arg(*statistics);
        push(&mut args, *y);
        args.arg(*grad).arg(&mut sums);
        launch(&mut args, (sizes.channels, parts, 1), 0)?;
        let mut gradients = memory(device, 2 * sizes.channels)?;
        let (function, parts) = (kernel(device, NORM, "weight_gradients")?, int(parts)?);
        let mut args = function.builder();
        args.arg(&plan).arg(&parts).arg(epsilon).arg(&sums).arg(*statistics).arg(&mut gradients);
        launch(&mut args, blocks_of(sizes.channels), 0)?;
        Ok(gradients)
    }

    /// The gradient of the values, by the gradients of gamma and beta.
    pub(super) fn values(&self, device: &CudaDevice, weights: &Values<'_>) -> Result<CudaSlice<f32>> {
        self.check()?;
        check("the gradients of scales and shifts", weights.len(), 2 * self.sizes.channels)?;
        let Self { sizes, epsilon, x, statistics, y, grad } = self;
        let mut gradients = memory(device, sizes.len())?;
        let (function, plan) = (kernel(device, NORM, "value_gradients")?, sizes.plan()?);
        let mut args = function.builder();
        args.arg(&plan).arg(epsilon).arg(*x).arg(*statistics).arg(weights);
        push(&mut args, *y);
        args.arg(*grad).arg(&mut gradients);
        launch(&mut args, blocks_of(sizes.len()), 0)?;
        Ok(gradients)
    }
}

/// The output's gradient where the output is above 0.
pub(super) fn rectified_gradient(device: &CudaDevice, y: &Values<'_>, grad: &Values<'_>) -> Result<CudaSlice<f32>> {
    check("the gradient", grad.len(), y.len())?;
    let (function, count) = (kernel(device, NORM, "rectified_gradient")?, y.len());
    let mut gradients = memory(device, count)?;
    let mut args = function.builder();
    args.arg(&count).arg(y).arg(grad).arg(&mut gradients);
    launch(&mut args, blocks_of(count), 0)?;
    Ok(gradients)
}

/// Means of rows of so many values.
pub(super) fn row_means(device: &CudaDevice, x: &Values<'_>, length: usize) -> Result<CudaSlice<f32>> {
    let rows = x.len() / length.max(1);
    check("the rows", x.len(), rows * length)?;
    let mut means = memory(device, rows)?;
    let (function, count, length) = (kernel(device, VALUES, "row_means")?, int(rows)?, int(length)?);
    let mut args = function.builder();
    args.arg(&count).arg(&length).arg(x).arg(&mut means);
    launch(&mut args, blocks_of(rows * WARP), 0)?;
    Ok(means)
}

/// Rows `(count, inputs)` times weights `(outputs, inputs)` plus a bias `(outputs,)`.
pub(super) fn linear(
    device: &CudaDevice,
    x: &Values<'_>,
    weights: &Values<'_>,
    bias: &Values<'_>,
) -> Result<CudaSlice<f32>> {
    let outputs = bias.len();
    let inputs = weights.len() / outputs.max(1);
    let count = x.len() / inputs.max(1);
    check("the weights", weights.len(), inputs * outputs)?;
    check("the rows", x.len(), count * inputs)?;
    let mut y = memory(device, count * outputs)?;
    let function = kernel(device, VALUES, "linear")?;
    let (rows, inputs, columns) = (int(count)?, int(inputs)?, int(outputs)?);
    let mut args = function.builder();
    args.arg(&rows).arg(&inputs).arg(&columns).arg(x).arg(weights).arg(bias).arg(&mut y);
    launch(&mut args, blocks_of(count * outputs * WARP), 0)?;
    Ok(y)
}

/// `target = target * keep + other * add`.
pub(super) fn blend(
    device: &CudaDevice,
    target: &mut CudaSlice<f32>,
    other: &Values<'_>,
    (keep, add): (f32, f32),
) -> Result<()> {
    check("what is blended in", other.len(), target.len())?;
    let (function, count) = (kernel(device, VALUES, "blend")?, int(target.len())?);
    let blocks = blocks_of(target.len());
    let mut args = function.builder();
    args.arg(&count).arg(&keep).arg(&add).arg(other).arg(target);
    launch(&mut args, blocks, 0)
}

/// Moves the running means of a gradient and of its square, `(2, count)`, each by `(keep, add)`.
pub(super) fn update_moments(
    device: &CudaDevice,
    moments: &mut CudaSlice<f32>,
    gradient: &Values<'_>,
    [(keep_1, add_1), (keep_2, add_2)]: [(f32, f32); 2],
) -> Result<()> {
    check("the moments", moments.len(), 2 * gradient.len())?;
    let (function, count) = (kernel(device, VALUES, "update_moments")?, int(gradient.len())?);
    let mut args = function.builder();
    args.arg(&count).arg(&keep_1).arg(&add_1).arg(&keep_2).arg(&add_2).arg(gradient).arg(moments);
    launch(&mut args, blocks_of(gradient.len()), 0)
}

/// `values = values * kept - length * mean / (sqrt(square) * scale + epsilon)`; the numbers in that order.
pub(super) fn descend(
    device: &CudaDevice,
    values: &mut CudaSlice<f32>,
    moments: &Values<'_>,
    [kept, length, scale, epsilon]: [f32; 4],
) -> Result<()> {
    check("the moments", moments.len(), 2 * values.len())?;
    let (function, count) = (kernel(device, VALUES, "descend")?, int(values.len())?);
    let blocks = blocks_of(values.len());
    let mut args = function.builder();
    args.arg(&count).arg(&kept).arg(&length).arg(&scale).arg(&epsilon).arg(moments).arg(values);
    launch(&mut args, blocks, 0)
}

/// Inputs `(count, size, size)` of pictures `(all, size, size)` by `count` rows of `row_len` numbers; see `augment.cu`.
/// The first number of a row is a picture's; the caller has made sure that there is one.
pub(super) fn augment(
    device: &CudaDevice,
    size: usize,
    least_deviation: f32,
    pictures: &CudaView<'_, u8>,
    (rows, row_len): (&Values<'_>, usize),
) -> Result<CudaSlice<f32>> {
    let count = rows.len() / row_len;
    check("the changes", rows.len(), count * row_len)?;
    check("the pictures", pictures.len() % (size * size).max(1), 0)?;
    let mut inputs = memory(device, count * size * size)?;
    let (function, side) = (kernel(device, AUGMENT, "augment")?, int(size)?);
    let shared_bytes = u32::try_from(size * size * size_of::<f32>()).unwrap_or(u32::MAX);
    let mut args = function.builder();
    args.arg(&side).arg(&least_deviation).arg(pictures).arg(rows).arg(&mut inputs);
    launch(&mut args, (count, 1, 1), shared_bytes)?;
    Ok(inputs)
}
