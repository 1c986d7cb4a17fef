//! A layer as it learns, as operations of candle: a convolution (`conv`), and what follows it in one operation.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::conv::convolve;
use super::kernels::{self, NormGradient};
use super::launch::Values;
use super::sizes::NormSizes;
use super::{not_on_a_cpu, result, values_of, with_values};
use crate::ops::{ChannelStatistics, LayerForm, LayerWeights};

/// As [`crate::ops::conv_norm`], on a GPU.
pub(in crate::ops) fn conv_norm(
    input: &Tensor,
    LayerWeights { kernel, gamma, beta }: LayerWeights<'_>,
    skip: Option<&Tensor>,
    form: LayerForm,
) -> Result<(Tensor, ChannelStatistics)> {
    let convolved = convolve(input, kernel, form.stride)?;
    let sizes = NormSizes::new(convolved.shape())?;
    let weights = Tensor::cat(&[gamma, beta], 0)?;
    if weights.dims() != [2 * sizes.channels] || skip.is_some_and(|skip| skip.shape() != convolved.shape()) {
        bail!("scales and shifts {:?} and a way around {:?} of {:?}", weights.shape(), skip, convolved.shape());
    }
    let kept = Arc::new(OnceLock::new());
    let norm = Norm { sizes, form, kept: kept.clone() };
    let output = match skip {
        Some(skip) => convolved.apply_op3(&weights, &skip.contiguous()?, norm)?,
        None => convolved.apply_op2(&weights, norm)?,
    };
    let Some(statistics) = kept.get() else { bail!("a layer kept no statistics") };
    let part = |row: usize| statistics.narrow(0, row, 1)?.flatten_all();
    let statistics =
        ChannelStatistics { mean: part(0)?, variance: part(1)?, count: convolved.elem_count() / sizes.channels };
    Ok((output, statistics))
}

/// Batch norm by the batch's own statistics, a way around, rectification.
struct Norm {
    sizes: NormSizes,
    form: LayerForm,
    /// What [`kernels::statistics`] made in the forward pass.
    kept: Arc<OnceLock<Tensor>>,
}

impl Norm {
    fn forward(
        &self,
        (input, layout): (&CudaStorage, &Layout),
        weights: (&CudaStorage, &Layout),
        skip: Option<(&CudaStorage, &Layout)>,
    ) -> Result<(CudaStorage, Shape)> {
        let (device, sizes) = (&input.device, &self.sizes);
        let (x, weights) = (values_of(input, layout)?, values_of(weights.0, weights.1)?);
        let skip = skip.map(|(skip, layout)| values_of(skip, layout)).transpose()?;
        let statistics = kernels::statistics(device, sizes, &x, &weights, self.form.epsilon)?;
        let y = kernels::normalize(device, sizes, &x, &statistics.as_view(), skip.as_ref(), self.form.relu)?;
        let (statistics, shape) = result(statistics, device, (4, sizes.channels));
        // A second forward pass over the same graph node would compute the same.
        let _ = self.kept.set(Tensor::from((candle_core::Storage::Cuda(statistics), shape)));
        Ok(result(y, device, layout.shape().clone()))
    }

    /// The gradients of the values, of the weights, and of the way around.
    fn backward(&self, x: &Tensor, has_skip: bool, output: &Tensor, grad: &Tensor) -> Result<[Tensor; 3]> {
        let Some(statistics) = self.kept.get() else { bail!("a gradient before its forward pass") };
        let mut grad = grad.contiguous()?;
        // Where the way around wants the rectified gradient, the others take it, too.
        let mut rectified = self.form.relu.then_some(output);
        if has_skip && let Some(y) = rectified.take() {
            grad = y.apply_op2_no_bwd(&grad, &Gradient::Rectified)?;
        }
        let (sizes, epsilon) = (self.sizes, self.form.epsilon);
        let of = |what: fn(NormParts) -> Gradient| {
            let parts = NormParts { sizes, epsilon, statistics: statistics.clone(), y: rectified.cloned() };
            what(parts)
        };
        let weights = x.apply_op2_no_bwd(&grad, &of(Gradient::Weights))?;
        let values = x.apply_op3_no_bwd(&grad, &weights, &of(Gradient::Values))?;
        Ok([values, weights, grad])
    }
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_on_a_cpu("norm")
    }

    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        self.forward((s1, l1), (s2, l2), None)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, output: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [values, weights, _] = self.backward(x, false, output, grad)?;
        Ok((Some(values), Some(weights)))
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "norm-skip"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        not_on_a_cpu("norm")
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
        s3: &CudaStorage,
        l3: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward((s1, l1), (s2, l2), Some((s3, l3)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        _: &Tensor,
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [values, weights, skip] = self.backward(x, true, output, grad)?;
        Ok((Some(values), Some(weights), Some(skip)))
    }
}

/// What gradients are made from beside their operands.
struct NormParts {
    sizes: NormSizes,
    epsilon: f32,
    statistics: Tensor,
    /// The output, where it was rectified.
    y: Option<Tensor>,
}

/// The gradients of [`Norm`], none of which has one itself.
enum Gradient {
    /// From the output and its gradient: that of the sum before rectification.
    Rectified,
    /// From the values and the output's gradient: that of scales and shifts.
    Weights(NormParts),
    /// From the values, the output's gradient and that of scales and shifts.
    Values(NormParts),
}

impl NormParts {
    /// Calls `work` with all that a gradient is made from.
    fn with<T>(
        &self,
        x: &Values<'_>,
        grad: &Values<'_>,
        work: impl FnOnce(NormGradient<'_>) -> Result<T>,
    ) -> Result<T> {
        let (sizes, epsilon) = (self.sizes, self.epsilon);
        with_values(&self.statistics, |statistics| match &self.y {
            Some(y) => with_values(y, |y| work(NormGradient { sizes, epsilon, x, statistics, y: Some(y), grad })),
            None => work(NormGradient { sizes, epsilon, x, statistics, y: None, grad }),
        })
    }
}

impl CustomOp2 for Gradient {
    fn name(&self) -> &'static str {
        "norm-gradient"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_on_a_cpu("norm-gradient")
    }

    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, first, grad) = (&s1.device, values_of(s1, l1)?, values_of(s2, l2)?);
        match self {
            Self::Rectified => {
                Ok(result(kernels::rectified_gradient(device, &first, &grad)?, device, l1.shape().clone()))
            }
            Self::Weights(parts) => {
                let gradients = parts.with(&first, &grad, |gradient| gradient.weights(device))?;
                Ok(result(gradients, device, 2 * parts.sizes.channels))
            }
            Self::Values(_) => bail!("the gradient of values wants that of scales and shifts"),
        }
    }
}

impl CustomOp3 for Gradient {
    fn name(&self) -> &'static str {
        "norm-value-gradient"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        not_on_a_cpu("norm-gradient")
    }

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
        s3: &CudaStorage,
        l3: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (Self::Weights(parts) | Self::Values(parts)) = self else { bail!("no gradient of three operands") };
        let (device, x, grad) = (&s1.device, values_of(s1, l1)?, values_of(s2, l2)?);
        let weights = values_of(s3, l3)?;
        let gradients = parts.with(&x, &grad, |gradient| gradient.values(device, &weights))?;
        Ok(result(gradients, device, l1.shape().clone()))
    }
}
