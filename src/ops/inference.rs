//! The layers of inference: convolution, bias, way around and rectification in one pass, and the mean of each channel.
//!
//! Owns the choice between the loops for a CPU (`packed.rs`) and the kernels for a GPU (`cuda`), and with it the
//! layout of pictures: channels last, `(batch, height, width, channels)`, on a CPU; `(batch, channels, height, width)` on a
//! GPU. Any number of pictures goes in, and nothing here has a gradient.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};

use super::packed::PackedConv;
use super::{cuda, values_of};

/// A convolution with bias, for inference on one device.
#[derive(Debug)]
pub struct InferenceConv(Form);

#[derive(Debug)]
enum Form {
    /// On a CPU.
    Packed(PackedConv),
    /// On a GPU.
    Fused(cuda::FusedConv),
}

impl InferenceConv {
    /// From a kernel `(out, in, k, k)` with odd k and a bias `(out,)`; the padding is `k / 2`, the stride 1 or 2.
    ///
    /// # Errors
    /// When the shapes don't fit each other, or the device has no room.
    pub fn new(kernel: &Tensor, bias: &Tensor, stride: usize, device: &Device) -> Result<Self> {
        if device.is_cpu() {
            return PackedConv::new(kernel, bias, stride).map(|packed| Self(Form::Packed(packed)));
        }
        let conv = cuda::FusedConv::new(&kernel.to_device(device)?, &bias.to_device(device)?, stride)?;
        Ok(Self(Form::Fused(conv)))
    }

    /// Convolves, adds the bias and `skip`, and makes negative outputs 0 where `relu` is set.
    ///
    /// # Errors
    /// When the shapes don't fit each other.
    pub fn forward(&self, x: &Tensor, skip: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        match &self.0 {
            Form::Packed(conv) => {
                let op = Forward { conv, relu };
                match skip {
                    Some(skip) => x.contiguous()?.apply_op2_no_bwd(&skip.contiguous()?, &op),
                    None => x.contiguous()?.apply_op1_no_bwd(&op),
                }
            }
            Form::Fused(conv) => conv.forward(x, skip, relu),
        }
    }
}

/// Pictures `(batch, channels, height, width)` in the layout of inference on their device.
///
/// # Errors
/// When the tensor has other dimensions.
pub fn inference_layout(pictures: &Tensor) -> Result<Tensor> {
    if pictures.device().is_cpu() { pictures.permute((0, 2, 3, 1))?.contiguous() } else { Ok(pictures.clone()) }
}

/// The mean of each channel of each picture in the layout of inference, `(batch, channels)`.
///
/// # Errors
/// When the tensor has other dimensions.
pub fn inference_means(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.contiguous()?.apply_op1_no_bwd(&PixelMeans) } else { cuda::channel_means(x) }
}

/// The last layer: rows `(batch, inputs)` times weights `(outputs, inputs)` plus a bias `(outputs,)`, without a gradient.
///
/// # Errors
/// When the shapes don't fit each other.
pub fn inference_linear(x: &Tensor, weights: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.matmul(&weights.t()?)?.broadcast_add(bias) } else { cuda::linear(x, weights, bias) }
}

struct Forward<'a> {
    conv: &'a PackedConv,
    relu: bool,
}

impl Forward<'_> {
    fn run(
        &self,
        (input, layout): (&CpuStorage, &Layout),
        skip: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let (shape, plan) = self.conv.plan(layout.shape())?;
        if let Some((_, layout)) = skip
            && layout.shape() != &shape
        {
            bail!("a way around of {:?} for a layer's output of {shape:?}", layout.shape());
        }
        let skip = skip.map(|(skip, layout)| values_of(skip, layout)).transpose()?;
        let output = self.conv.forward(&plan, values_of(input, layout)?, skip, self.relu);
        Ok((CpuStorage::F32(output), shape))
    }
}

impl CustomOp1 for Forward<'_> {
    fn name(&self) -> &'static str {
        "inference-conv"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run((storage, layout), None)
    }
}

impl CustomOp2 for Forward<'_> {
    fn name(&self) -> &'static str {
        "inference-conv-skip"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run((s1, l1), Some((s2, l2)))
    }
}

struct PixelMeans;

impl CustomOp1 for PixelMeans {
    fn name(&self) -> &'static str {
        "pixel-means"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = layout.shape().dims4()?;
        if layout.shape().elem_count() == 0 {
            bail!("the means of {:?}", layout.shape());
        }
        let mut means = vec![0.0; batch * channels];
        let pictures = values_of(storage, layout)?.chunks_exact(height * width * channels);
        for (means, picture) in means.chunks_exact_mut(channels).zip(pictures) {
            for pixel in picture.chunks_exact(channels) {
                means.iter_mut().zip(pixel).for_each(|(mean, value)| *mean += value);
            }
            means.iter_mut().for_each(|mean| *mean /= (height * width) as f32);
        }
        Ok((CpuStorage::F32(means), (batch, channels).into()))
    }
}
