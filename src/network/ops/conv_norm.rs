//! A layer as it learns on a CPU, in one operation: convolution, batch norm, an optional way around, an optional
//! rectification.
//!
//! One operation instead of four, because every gradient that candle passes on costs two more passes over the values.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::conv::{Sizes, correlate, kernel_gradient};
use super::lanes::{LANES, in_last_group};
use super::norm::{NormGradient, Normalization, Statistics};
use super::storage::{values_of, with_values};

/// The learned values of one layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerWeights<'a> {
    /// `(out, in, k, k)`, k is 1 or 3.
    pub kernel: &'a Tensor,
    /// Scale of each output channel, `(out,)`.
    pub gamma: &'a Tensor,
    /// Shift of each output channel, `(out,)`.
    pub beta: &'a Tensor,
}

/// What a layer does beside its weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerForm {
    /// 1 or 2.
    pub stride: usize,
    /// Keeps batch norm's division finite.
    pub epsilon: f32,
    /// Whether negative outputs become 0.
    pub relu: bool,
    /// Pictures in the batch.
    pub batch: usize,
}

/// Mean and (biased) variance of each channel over a batch, on the device.
#[derive(Clone, Debug)]
pub(crate) struct ChannelStatistics {
    /// One mean per channel.
    pub mean: Tensor,
    /// One variance per channel, divided by the count.
    pub variance: Tensor,
    /// How many values went into each.
    pub count: usize,
}

/// As [`super::conv_norm`], on pictures `(groups, channels, height, width, 16)`.
pub(super) fn conv_norm(
    input: &Tensor,
    weights: LayerWeights<'_>,
    skip: Option<&Tensor>,
    form: LayerForm,
) -> Result<(Tensor, ChannelStatistics)> {
    let LayerWeights { kernel, gamma, beta } = weights;
    let sizes = Sizes::new(input.shape(), kernel.shape(), form.stride)?;
    let kept = Arc::new(OnceLock::new());
    let op = ConvNorm { form, has_skip: skip.is_some(), kernel: kernel.shape().clone(), kept: kept.clone() };
    let input = input.contiguous()?;
    let packed = Tensor::cat(&[&kernel.flatten_all()?, gamma, beta], 0)?;
    if packed.elem_count() != kernel.elem_count() + 2 * sizes.out_channels {
        bail!("{} scales and {} shifts for {} channels", gamma.elem_count(), beta.elem_count(), sizes.out_channels);
    }
    // Three arguments in any case; what stands in for a way around gets no gradient.
    let output = input.apply_op3(&packed, &skip.unwrap_or(&packed).contiguous()?, op)?;
    let Some(Kept { statistics: Statistics { mean, variance, count }, .. }) = kept.get() else {
        bail!("a layer kept no statistics")
    };
    let per_channel = |values: &[f32]| Tensor::new(values, input.device());
    Ok((output, ChannelStatistics { mean: per_channel(mean)?, variance: per_channel(variance)?, count: *count }))
}

/// What the forward pass leaves to the backward pass.
struct Kept {
    convolved: Vec<f32>,
    statistics: Statistics,
}

struct ConvNorm {
    form: LayerForm,
    has_skip: bool,
    kernel: Shape,
    kept: Arc<OnceLock<Kept>>,
}

impl ConvNorm {
    fn normalization<'a>(
        &self,
        statistics: &'a Statistics,
        gamma: &'a [f32],
        sizes: &Sizes,
    ) -> Result<Normalization<'a>> {
        let filled = in_last_group(self.form.batch, sizes.groups)?;
        Ok(Normalization { statistics, epsilon: self.form.epsilon, gamma, pixels: sizes.out_pixels(), filled })
    }
}

impl CustomOp3 for ConvNorm {
    fn name(&self) -> &'static str {
        "conv-norm"
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
        let (input, packed) = (values_of(s1, l1)?, values_of(s2, l2)?);
        let skip = self.has_skip.then(|| values_of(s3, l3)).transpose()?;
        let sizes = Sizes::new(l1.shape(), &self.kernel, self.form.stride)?;
        let (kernel, norm) = packed.split_at(self.kernel.elem_count());
        let (gamma, beta) = norm.split_at(sizes.out_channels);
        let weights = sizes.forward_weights(kernel);
        let convolved = correlate(&sizes.forward(), input, &weights, sizes.padding());
        if skip.is_some_and(|skip| skip.len() != convolved.len()) {
            bail!("a way around a layer of another size than its output");
        }
        let filled = in_last_group(self.form.batch, sizes.groups)?;
        let statistics = Statistics::new(&convolved, sizes.out_channels, sizes.out_pixels(), filled);
        let norm = self.normalization(&statistics, gamma, &sizes)?;
        let output = norm.apply(&convolved, beta, skip, self.form.relu);
        // A second forward pass over the same graph node would compute the same.
        let _ = self.kept.set(Kept { convolved, statistics });
        let shape = (sizes.groups, sizes.out_channels, sizes.out_height(), sizes.out_width(), LANES);
        Ok((CpuStorage::F32(output), shape.into()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        packed: &Tensor,
        _: &Tensor,
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(Kept { convolved, statistics }) = self.kept.get() else { bail!("a gradient before its forward pass") };
        let sizes = Sizes::new(input.shape(), &self.kernel, self.form.stride)?;
        let packed: Vec<f32> = packed.to_vec1()?;
        let (kernel, norm) = packed.split_at(self.kernel.elem_count());
        let gamma = &norm[..sizes.out_channels];
        let norm = self.normalization(statistics, gamma, &sizes)?;
        let NormGradient { input: grad_convolved, gamma, beta, rectified } = with_values(output, |y| {
            with_values(grad, |g| Ok(norm.gradient(convolved, g, self.form.relu.then_some(y), self.has_skip)))
        })?;
        let mut grad_packed = with_values(input, |x| Ok(kernel_gradient(&sizes, x, &grad_convolved)))?;
        grad_packed.extend(gamma);
        grad_packed.extend(beta);
        let grad_packed = Tensor::from_vec(grad_packed, packed.len(), input.device())?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        let grad_input = input.track_op().then(|| {
            let weights = sizes.backward_weights(kernel);
            tensor(correlate(&sizes.backward(), &grad_convolved, &weights, sizes.padding()), input)
        });
        let grad_skip = rectified.map(|values| tensor(values, output));
        Ok((grad_input.transpose()?, Some(grad_packed), grad_skip.transpose()?))
    }
}
