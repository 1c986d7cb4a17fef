//! The layers of inference as operations of candle: each is one kernel, and none uploads anything.

use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::kernels::{self, Finish};
use super::launch::Values;
use super::sizes::ConvSizes;
use super::{not_on_a_cpu, result, values_of, with_values};

/// A convolution with bias on a GPU.
#[derive(Debug)]
pub(in crate::ops) struct FusedConv {
    /// `(out, in, k, k)`.
    kernel: Tensor,
    /// `(out,)`.
    bias: Tensor,
    stride: usize,
}

impl FusedConv {
    /// From a kernel and a bias that are on the GPU already.
    pub(in crate::ops) fn new(kernel: &Tensor, bias: &Tensor, stride: usize) -> Result<Self> {
        // A picture of one pixel will do to see whether the rest fits.
        let picture = Shape::from((1, kernel.dim(1)?, 1, 1));
        let sizes = ConvSizes::new(&picture, kernel.shape(), stride)?;
        if bias.dims() != [sizes.out_channels] {
            bail!("biases {:?} for {} channels", bias.dims(), sizes.out_channels);
        }
        Ok(Self { kernel: kernel.contiguous()?, bias: bias.contiguous()?, stride })
    }

    /// Convolves, adds the bias and `skip`, and rectifies on demand.
    pub(in crate::ops) fn forward(&self, x: &Tensor, skip: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let op = Forward { conv: self, relu };
        match skip {
            Some(skip) => x.contiguous()?.apply_op2_no_bwd(&skip.contiguous()?, &op),
            None => x.contiguous()?.apply_op1_no_bwd(&op),
        }
    }
}

struct Forward<'a> {
    conv: &'a FusedConv,
    relu: bool,
}

impl Forward<'_> {
    fn run(&self, storage: &CudaStorage, layout: &Layout, skip: Option<&Values<'_>>) -> Result<(CudaStorage, Shape)> {
        let FusedConv { kernel, bias, stride } = self.conv;
        let sizes = ConvSizes::new(layout.shape(), kernel.shape(), *stride)?;
        let (device, x) = (&storage.device, values_of(storage, layout)?);
        let y = with_values(kernel, |kernel| {
            with_values(bias, |bias| {
                let finish = Finish { bias: Some(bias), skip, relu: self.relu };
                kernels::convolve(device, &sizes, &x, kernel, finish)
            })
        })?;
        Ok(result(y, device, sizes.output()))
    }
}

impl CustomOp1 for Forward<'_> {
    fn name(&self) -> &'static str {
        "fused-conv"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_on_a_cpu("fused-conv")
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.run(storage, layout, None)
    }
}

impl CustomOp2 for Forward<'_> {
    fn name(&self) -> &'static str {
        "fused-conv-skip"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_on_a_cpu("fused-conv")
    }

    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        self.run(s1, l1, Some(&values_of(s2, l2)?))
    }
}

/// The mean of each channel of each picture: `(batch, channels, h, w)` to `(batch, channels)`.
pub(in crate::ops) fn channel_means(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&ChannelMeans)
}

struct ChannelMeans;

impl CustomOp1 for ChannelMeans {
    fn name(&self) -> &'static str {
        "channel-means"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_on_a_cpu("channel-means")
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let means = kernels::row_means(&storage.device, &values_of(storage, layout)?, height * width)?;
        Ok(result(means, &storage.device, (batch, channels)))
    }
}

/// Rows `(count, inputs)` times weights `(outputs, inputs)` plus a bias `(outputs,)`.
pub(in crate::ops) fn linear(x: &Tensor, weights: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3_no_bwd(&weights.contiguous()?, &bias.contiguous()?, &Linear)
}

struct Linear;

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
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
        not_on_a_cpu("linear")
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
        let ((count, inputs), (outputs, expected)) = (l1.shape().dims2()?, l2.shape().dims2()?);
        if inputs != expected || l3.shape().dims() != [outputs] {
            bail!("rows {:?}, weights {:?} and a bias {:?}", l1.shape(), l2.shape(), l3.shape());
        }
        let (x, weights, bias) = (values_of(s1, l1)?, values_of(s2, l2)?, values_of(s3, l3)?);
        Ok(result(kernels::linear(&s1.device, &x, &weights, &bias)?, &s1.device, (count, outputs)))
    }
}
