//! Convolution and its gradients as operations of candle, for training.

use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Tensor};

#[cfg(feature = "cudnn")]
use super::cudnn as library;
#[cfg(not(feature = "cudnn"))]
use super::kernels as library;
use super::sizes::ConvSizes;
use super::{not_on_a_cpu, result, values_of};

/// Convolves pictures `(batch, in, h, w)` with kernels `(out, in, k, k)`; differentiable.
pub(super) fn convolve(input: &Tensor, kernel: &Tensor, stride: usize) -> Result<Tensor> {
    let sizes = ConvSizes::new(input.shape(), kernel.shape(), stride)?;
    input.contiguous()?.apply_op2(&kernel.contiguous()?, Convolution { sizes, what: What::Output })
}

/// What is computed, from which two operands.
#[derive(Clone, Copy)]
enum What {
    /// From input and kernel.
    Output,
    /// From the gradient of the output and the kernel.
    InputGradient,
    /// From the input and the gradient of the output.
    KernelGradient,
}

struct Convolution {
    sizes: ConvSizes,
    what: What,
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        match self.what {
            What::Output => "convolution",
            What::InputGradient => "convolution-input-gradient",
            What::KernelGradient => "convolution-kernel-gradient",
        }
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_on_a_cpu(self.name())
    }

    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, first, second) = (&s1.device, values_of(s1, l1)?, values_of(s2, l2)?);
        let sizes = &self.sizes;
        let (values, shape) = match self.what {
            What::Output => (library::output(device, sizes, &first, &second)?, sizes.output()),
            What::InputGradient => (library::input_gradient(device, sizes, &first, &second)?, sizes.input()),
            What::KernelGradient => (library::kernel_gradient(device, sizes, &first, &second)?, sizes.kernels()),
        };
        Ok(result(values, device, shape))
    }

    fn bwd(
        &self,
        input: &Tensor,
        kernel: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (sizes, grad) = (self.sizes, grad.contiguous()?);
        let of_kernel = input.apply_op2_no_bwd(&grad, &Self { sizes, what: What::KernelGradient })?;
        // Nobody wants the gradient of the pictures themselves.
        let of_input = || grad.apply_op2_no_bwd(kernel, &Self { sizes, what: What::InputGradient });
        Ok((input.track_op().then(of_input).transpose()?, Some(of_kernel)))
    }
}
