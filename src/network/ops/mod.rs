//! The network's operations: our own on a CPU, candle's on a GPU. Which of them runs is decided in this file and nowhere else.
//!
//! Owns a layer as it learns (convolution, batch norm, way around, rectification, with all gradients), convolution for
//! inference, and what optimizers do to values. Each is checked against candle's own result and gradient, or against finite
//! differences, in the tests below.
//!
//! On a CPU candle 0.11 computes the gradient of a convolution's input by a transposed convolution in plain loops, and batch norm's
//! from a dozen elementwise passes, which makes a training step several times slower. Here sixteen pictures lie side by side
//! (`lanes`), so that the inner loops (`kernel`) work on whole vector registers without copying patches. Work is split into
//! parts whose number does not depend on the machine, and partial sums are added in a fixed order: on the same kind of
//! processor, the same numbers in give the same numbers out, bit for bit, whatever the number of threads.
//!
//! Inference has other loops (`block`): few pictures, so output channels side by side, and weights packed once. BlazeFace has
//! its own (`rows`), and runs on the CPU beside a GPU, too: candle's depthwise convolution is one launch for each channel.
//!
//! A GPU runs candle's operations (`by_candle`), which its users run every day. They are tested on a CPU, where they compute
//! the same.
//!
//! Pictures lie as whoever computes with them wants it: on a CPU `(batch / 16, channels, height, width, 16)` for training and
//! `(batch, height, width, channels)` for inference, on a GPU `(batch, channels, height, width)`. Kernels are
//! `(out, in, k, k)` with odd k, the padding is `k / 2`.

mod block;
mod by_candle;
mod conv;
mod conv_norm;
mod inference;
mod kernel;
mod lanes;
mod norm;
mod packed;
mod rows;
mod storage;
mod update;

use candle_core::{Device, Result, Tensor};

use crate::network::device::is_gpu;
use by_candle::BiasedConv;
pub(crate) use conv_norm::{ChannelStatistics, LayerForm, LayerWeights};
use packed::PackedConv;
pub(crate) use rows::{ConvWeights, HeadRows, RowLayer, RowNet};
pub(crate) use update::AdamWStep;

/// Pictures `(batch, channels, height, width)` as [`conv_norm`] takes them.
pub(crate) fn training_layout(pictures: &Tensor) -> Result<Tensor> {
    if is_gpu(pictures.device()) { Ok(pictures.clone()) } else { lanes::from_pictures(pictures) }
}

/// The mean of each channel of each of so many pictures in the layout of training, `(batch, channels)`.
pub(crate) fn training_means(x: &Tensor, batch: usize) -> Result<Tensor> {
    if is_gpu(x.device()) { x.mean((2, 3)) } else { lanes::means(x, batch) }
}

/// Convolves pictures in the layout of training, normalizes each channel by its mean and variance over the batch (Ioffe and
/// Szegedy 2015, <https://arxiv.org/abs/1502.03167>), adds `skip` and rectifies; differentiable. Returns the statistics too,
/// from which running ones are kept.
pub(crate) fn conv_norm(
    input: &Tensor,
    weights: LayerWeights<'_>,
    skip: Option<&Tensor>,
    form: LayerForm,
) -> Result<(Tensor, ChannelStatistics)> {
    let layer = if is_gpu(input.device()) { by_candle::conv_norm } else { conv_norm::conv_norm };
    layer(input, weights, skip, form)
}

/// A convolution with bias, for inference on one device.
#[derive(Debug)]
pub(crate) enum InferenceConv {
    Packed(PackedConv),
    ByCandle(BiasedConv),
}

impl InferenceConv {
    /// From a kernel `(out, in, k, k)` with odd k and a bias `(out,)`; the padding is `k / 2`, the stride 1 or 2.
    pub(crate) fn new(kernel: &Tensor, bias: &Tensor, stride: usize, device: &Device) -> Result<Self> {
        Ok(if is_gpu(device) {
            Self::ByCandle(BiasedConv::new(kernel.to_device(device)?, &bias.to_device(device)?, stride)?)
        } else {
            Self::Packed(PackedConv::new(kernel, bias, stride)?)
        })
    }

    /// Convolves, adds the bias and `skip`, and makes negative outputs 0 where `relu` is set.
    pub(crate) fn forward(&self, x: &Tensor, skip: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        match self {
            Self::Packed(conv) => inference::convolve(conv, x, skip, relu),
            Self::ByCandle(conv) => conv.forward(x, skip, relu),
        }
    }
}

/// Pictures `(batch, channels, height, width)` as [`InferenceConv`] takes them on their device.
pub(crate) fn inference_layout(pictures: &Tensor) -> Result<Tensor> {
    if is_gpu(pictures.device()) { Ok(pictures.clone()) } else { pictures.permute((0, 2, 3, 1))?.contiguous() }
}

/// The mean of each channel of each picture in the layout of inference, `(batch, channels)`.
pub(crate) fn inference_means(x: &Tensor) -> Result<Tensor> {
    if is_gpu(x.device()) { x.mean((2, 3)) } else { inference::means(x) }
}

/// `target = target * keep + other * add`, in place.
///
/// # Errors
/// When `other` has another shape, or `target` is a part of another tensor.
pub(crate) fn blend(target: &Tensor, other: &Tensor, keep: f64, add: f64) -> Result<()> {
    let blend = if is_gpu(target.device()) { by_candle::blend } else { update::blend };
    blend(target, other, keep, add)
}

/// One step of AdamW, in place: `moments`, `(2, n)`, the running means of the gradient and of its square, move to the
/// gradient, and values to `values * kept - length * mean / (sqrt(square) * scale + epsilon)`.
///
/// # Errors
/// When the lengths differ, or one that changes is a part of another tensor.
pub(crate) fn adamw(values: &Tensor, moments: &Tensor, gradient: &Tensor, step: &AdamWStep) -> Result<()> {
    let adamw = if is_gpu(values.device()) { by_candle::adamw } else { update::adamw };
    adamw(values, moments, gradient, step)
}

#[cfg(test)]
mod tests;
