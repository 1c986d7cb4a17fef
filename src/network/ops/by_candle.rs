//! The network's layers, their gradients and the optimizer's arithmetic by candle's own operations, as they run on a GPU.
//!
//! Pictures are `(batch, channels, height, width)`, kernels `(out, in, k, k)` with odd k, the padding is `k / 2`. candle's own
//! gradient of a convolution is a transposed convolution in plain loops; here the input's gradient is a convolution with
//! kernels that are turned round.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp3, DType, Layout, Result, Shape, Storage, Tensor, bail};

use super::conv_norm::{ChannelStatistics, LayerForm, LayerWeights};
use super::update::AdamWStep;
use crate::network::device::rehearsal;

/// A convolution with bias, for inference.
#[derive(Debug)]
pub(crate) struct BiasedConv {
    kernel: Tensor,
    /// `(1, out, 1, 1)`.
    bias: Tensor,
    stride: usize,
}

impl BiasedConv {
    pub(super) fn new(kernel: Tensor, bias: &Tensor, stride: usize) -> Result<Self> {
        Ok(Self { kernel, bias: bias.reshape((1, (), 1, 1))?, stride })
    }

    pub(super) fn forward(&self, x: &Tensor, skip: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        finish(&convolve(x, &self.kernel, self.stride)?.broadcast_add(&self.bias)?, skip, relu)
    }
}

fn convolve(x: &Tensor, kernel: &Tensor, stride: usize) -> Result<Tensor> {
    rehearsal::call()?;
    x.conv2d(kernel, kernel.dim(3)? / 2, stride, 1, 1)
}

/// Adds what is to be added, and rectifies on demand.
fn finish(y: &Tensor, skip: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    let y = skip.map_or_else(|| Ok(y.clone()), |skip| y + skip)?;
    if relu { y.relu() } else { Ok(y) }
}

/// One layer as it learns. What it computes is known when the operation is made; the operation hands that on, and has the
/// gradients in closed form (Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>).
struct ConvNorm {
    form: LayerForm,
    has_skip: bool,
    kernel: Tensor,
    /// The convolution's result with mean 0 and deviation 1 in each channel.
    normal: Tensor,
    /// What each channel's gradient is multiplied by, `(1, out, 1, 1)`: its scale over its deviation.
    factor: Tensor,
    output: Tensor,
}

/// As [`super::conv_norm`].
pub(super) fn conv_norm(
    input: &Tensor,
    LayerWeights { kernel, gamma, beta }: LayerWeights<'_>,
    skip: Option<&Tensor>,
    form: LayerForm,
) -> Result<(Tensor, ChannelStatistics)> {
    let packed = Tensor::cat(&[&kernel.flatten_all()?, gamma, beta], 0)?;
    let (kernel, gamma, beta) = (kernel.detach(), per_channel(&gamma.detach())?, per_channel(&beta.detach())?);
    let convolved = convolve(&input.detach(), &kernel, form.stride)?;
    let count = convolved.elem_count() / gamma.elem_count();
    let mean = (channel_sums(&convolved)? / count as f64)?;
    let centred = convolved.broadcast_sub(&per_channel(&mean)?)?;
    let variance = (channel_sums(&centred.sqr()?)? / count as f64)?;
    let inverse = per_channel(&(&variance + f64::from(form.epsilon))?.sqrt()?.recip()?)?;
    let normal = centred.broadcast_mul(&inverse)?;
    let scaled = normal.broadcast_mul(&gamma)?.broadcast_add(&beta)?;
    let output = finish(&scaled, skip.map(Tensor::detach).as_ref(), form.relu)?;
    let op = ConvNorm { form, has_skip: skip.is_some(), kernel, normal, factor: (gamma * inverse)?, output };
    // Three arguments in any case; what stands in for a way around gets no gradient.
    let output = input.apply_op3(&packed, skip.unwrap_or(&packed), op)?;
    Ok((output, ChannelStatistics { mean, variance, count }))
}

/// One value a channel, so that it meets `(batch, channels, height, width)`.
fn per_channel(values: &Tensor) -> Result<Tensor> {
    values.reshape((1, (), 1, 1))
}

/// The sum of each channel of all pictures, in two steps: the first one has work enough for a whole GPU.
fn channel_sums(x: &Tensor) -> Result<Tensor> {
    x.flatten_from(2)?.sum(2)?.sum(0)
}

impl CustomOp3 for ConvNorm {
    fn name(&self) -> &'static str {
        "conv-norm-by-candle"
    }

    #[rustfmt::skip] // Arguments that are known already.
    fn cpu_fwd(
        &self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (storage, layout) = self.output.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { bail!("a layer whose parts are on several devices") };
        Ok((storage.try_clone(layout)?, layout.shape().clone()))
    }

    #[rustfmt::skip] // As above.
    fn cuda_fwd(
        &self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (storage, layout) = self.output.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { bail!("a layer whose parts are on several devices") };
        Ok((storage.try_clone(layout)?, layout.shape().clone()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        _: &Tensor,
        _: &Tensor,
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let passed = || output.gt(0f32)?.to_dtype(DType::F32);
        let grad = if self.form.relu { (grad * passed()?)? } else { grad.clone() };
        let (beta, gamma) = (channel_sums(&grad)?, channel_sums(&(&grad * &self.normal)?)?);
        // What remains of the output's gradient after its mean and its share along the input are taken out.
        let count = (grad.elem_count() / beta.elem_count()) as f64;
        let along = self.normal.broadcast_mul(&per_channel(&(&gamma / count)?)?)?;
        let convolved = (grad.broadcast_sub(&per_channel(&(&beta / count)?)?)? - along)?.broadcast_mul(&self.factor)?;
        let kernel = kernel_gradient(input, &convolved, self.kernel.dim(3)?, self.form.stride)?;
        let packed = Tensor::cat(&[&kernel.flatten_all()?, &gamma, &beta], 0)?;
        let wanted = input.track_op().then(|| input_gradient(input, &convolved, &self.kernel, self.form.stride));
        Ok((wanted.transpose()?, Some(packed), self.has_skip.then_some(grad)))
    }
}

/// The gradient of a convolution's kernel, `(out, in, k, k)`, as candle has it: a convolution of the input, with pictures as
/// channels, by the output's gradient.
fn kernel_gradient(input: &Tensor, grad: &Tensor, side: usize, stride: usize) -> Result<Tensor> {
    let grad = grad.transpose(0, 1)?.contiguous()?;
    let places = input.transpose(0, 1)?.conv2d(&grad, side / 2, 1, stride, 1)?;
    places.narrow(2, 0, side)?.narrow(3, 0, side)?.transpose(0, 1)
}

/// The gradient of a convolution's input: the output's gradient under the kernel turned round. With a stride, inputs that
/// are a stride apart see the same places of the kernel, so each such phase is a convolution of its own.
fn input_gradient(input: &Tensor, grad: &Tensor, kernel: &Tensor, stride: usize) -> Result<Tensor> {
    let (batch, channels, height, width) = input.dims4()?;
    let (rows, columns) = (height.div_ceil(stride), width.div_ceil(stride));
    let phase = |y: usize, x: usize| {
        let (grad, kernel) = of_phase(grad, &kernel.transpose(0, 1)?.contiguous()?, 2, (y, rows), stride)?;
        let (grad, kernel) = of_phase(&grad, &kernel, 3, (x, columns), stride)?;
        if kernel.elem_count() == 0 {
            return Tensor::zeros((batch, channels, rows, columns), grad.dtype(), grad.device());
        }
        grad.conv2d(&kernel, 0, 1, 1, 1)?.narrow(2, 0, rows)?.narrow(3, 0, columns)
    };
    // Phases side by side, then one below the other.
    let rows = (0..stride).map(|y| {
        let row = (0..stride).map(|x| phase(y, x)).collect::<Result<Vec<_>>>()?;
        Tensor::stack(&row, 4)?.flatten_from(3)
    });
    let all = Tensor::stack(&rows.collect::<Result<Vec<_>>>()?, 3)?.flatten(2, 3)?;
    all.narrow(2, 0, height)?.narrow(3, 0, width)?.contiguous()
}

/// Along one dimension, for `count` inputs a stride apart from `first` on: the output's gradient with what it lacks at its
/// ends, and the kernel's places that those inputs are under, last one first.
fn of_phase(
    grad: &Tensor,
    kernel: &Tensor,
    dim: usize,
    (first, count): (usize, usize),
    stride: usize,
) -> Result<(Tensor, Tensor)> {
    let side = kernel.dim(dim)?;
    // Input `first + stride m` is at place `reach % stride + stride t` of output `m + reach / stride - t`.
    let reach = first + side / 2;
    let places: Vec<u32> = (reach % stride..side).step_by(stride).map(|place| place as u32).rev().collect();
    let before = places.len().saturating_sub(1 + reach / stride);
    let after = (count + reach / stride).saturating_sub(grad.dim(dim)?);
    let kernel = kernel.index_select(&Tensor::new(places, grad.device())?, dim)?;
    Ok((grad.pad_with_zeros(dim, before, after)?, kernel))
}

/// As [`super::blend`].
pub(super) fn blend(target: &Tensor, other: &Tensor, keep: f64, add: f64) -> Result<()> {
    replace(target, &(target.detach().affine(keep, 0.0)? + other.detach().affine(add, 0.0)?)?)
}

/// As [`super::adamw`].
pub(super) fn adamw(values: &Tensor, moments: &Tensor, gradient: &Tensor, step: &AdamWStep) -> Result<()> {
    let gradient = gradient.flatten_all()?;
    let blended =
        |row: usize, new: &Tensor, keep: f64| moments.get(row)?.affine(keep, 0.0)? + new.affine(1.0 - keep, 0.0)?;
    let mean = blended(0, &gradient, step.momentum)?;
    let square = blended(1, &gradient.sqr()?, step.square_momentum)?;
    replace(moments, &Tensor::stack(&[&mean, &square], 0)?)?;
    let length = (mean.affine(step.length, 0.0)? / square.sqrt()?.affine(step.scale, step.epsilon)?)?;
    replace(values, &(values.detach().affine(step.kept, 0.0)? - length.reshape(values.shape())?)?)
}

/// Puts other values into a tensor, in place.
fn replace(target: &Tensor, values: &Tensor) -> Result<()> {
    if target.shape() != values.shape() {
        bail!("values {:?} for a tensor {:?}", values.shape(), target.shape());
    }
    target.slice_set(values, 0, 0)
}
