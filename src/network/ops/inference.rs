//! The layers of inference on a CPU, as candle's custom operations: convolution, bias, way around and rectification in one
//! pass (`packed.rs`), and the mean of each channel.
//!
//! Pictures are channels last, `(batch, height, width, channels)`. Any number of them goes in, and nothing here has a gradient.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::packed::PackedConv;
use super::storage::values_of;

/// As [`super::InferenceConv::forward`].
pub(super) fn convolve(conv: &PackedConv, x: &Tensor, skip: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    let op = Forward { conv, relu };
    match skip {
        Some(skip) => x.contiguous()?.apply_op2_no_bwd(&skip.contiguous()?, &op),
        None => x.contiguous()?.apply_op1_no_bwd(&op),
    }
}

/// As [`super::inference_means`].
pub(super) fn means(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&PixelMeans)
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
