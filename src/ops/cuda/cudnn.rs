//! Convolution and its gradients by cuDNN, for training, where the build has it.
//!
//! cuDNN chooses an algorithm for each set of sizes by its own heuristics, once; descriptors, choice and the size of the
//! scratch memory are kept. Products are rounded to TF32 on chips that can, as PyTorch does by default: its error is far below
//! the noise of a step. Inference never comes here, so what a network says does not depend on the build.

#![allow(
    unsafe_code,
    reason = "cuDNN is foreign code; what it is told of each tensor is checked against its length here"
)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::cudnn::safe::{
    ConvBackwardData, ConvBackwardFilter, ConvDescriptor, ConvForward, Cudnn, FilterDescriptor, TensorDescriptor,
};
use candle_core::cuda_backend::cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdFilterAlgo_t, cudnnConvolutionFwdAlgo_t, cudnnConvolutionMode_t,
    cudnnTensorFormat_t,
};
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::cuda_backend::{CudaDevice, DeviceId};
use candle_core::{Error, Result};

use super::launch::{Values, check, memory};
use super::sizes::ConvSizes;

thread_local! {
    // A handle belongs to a thread, and all else to a handle.
    static HANDLES: RefCell<HashMap<DeviceId, Arc<Cudnn>>> = RefCell::default();
    static PLANS: RefCell<HashMap<(DeviceId, ConvSizes), Rc<Plan>>> = RefCell::default();
}

/// What the result replaces, and what it is multiplied by: all and 1.
const REPLACE: (f32, f32) = (1.0, 0.0);

/// Descriptors of one convolution.
struct Plan {
    conv: ConvDescriptor<f32>,
    x: TensorDescriptor<f32>,
    weights: FilterDescriptor<f32>,
    y: TensorDescriptor<f32>,
    forward: Chosen<cudnnConvolutionFwdAlgo_t>,
    input: Chosen<cudnnConvolutionBwdDataAlgo_t>,
    kernel: Chosen<cudnnConvolutionBwdFilterAlgo_t>,
}

/// An algorithm, and how many bytes it wants to scribble on.
#[derive(Clone, Copy)]
struct Chosen<Algorithm> {
    algorithm: Algorithm,
    scratch: usize,
}

impl Plan {
    fn new(handle: &Arc<Cudnn>, sizes: &ConvSizes) -> Result<Self> {
        let ConvSizes { kernel, stride, .. } = *sizes;
        let (padding, stride) = ((kernel / 2) as i32, stride as i32);
        let mode = cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let format = cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;
        let [batch, in_channels, height, width, out_channels, out_height, out_width, side, _] = sizes.plan()?;
        let conv = handle.create_conv2d([padding; 2], [stride; 2], [1; 2], mode).map_err(Error::wrap)?;
        let x = handle.create_4d_tensor(format, [batch, in_channels, height, width]).map_err(Error::wrap)?;
        let weights = handle.create_4d_filter(format, [out_channels, in_channels, side, side]).map_err(Error::wrap)?;
        let y = handle.create_4d_tensor(format, [batch, out_channels, out_height, out_width]).map_err(Error::wrap)?;
        let forward = {
            let conv = ConvForward { conv: &conv, x: &x, w: &weights, y: &y };
            let algorithm = conv.pick_algorithm().map_err(Error::wrap)?;
            Chosen { algorithm, scratch: conv.get_workspace_size(algorithm).map_err(Error::wrap)? }
        };
        let input = {
            let conv = ConvBackwardData { conv: &conv, dx: &x, w: &weights, dy: &y };
            let algorithm = conv.pick_algorithm().map_err(Error::wrap)?;
            Chosen { algorithm, scratch: conv.get_workspace_size(algorithm).map_err(Error::wrap)? }
        };
        let kernel = {
            let conv = ConvBackwardFilter { conv: &conv, x: &x, dw: &weights, dy: &y };
            let algorithm = conv.pick_algorithm().map_err(Error::wrap)?;
            Chosen { algorithm, scratch: conv.get_workspace_size(algorithm).map_err(Error::wrap)? }
        };
        Ok(Self { conv, x, weights, y, forward, input, kernel })
    }

    /// The one for these sizes, made at first use.
    fn of(device: &CudaDevice, sizes: &ConvSizes) -> Result<Rc<Self>> {
        let key = (device.id(), *sizes);
        if let Some(plan) = PLANS.with_borrow(|plans| plans.get(&key).cloned()) {
            return Ok(plan);
        }
        let known = HANDLES.with_borrow(|handles| handles.get(&device.id()).cloned());
        let handle = match known {
            Some(handle) => handle,
            None => {
                let handle = Cudnn::new(device.cuda_stream()).map_err(Error::wrap)?;
                HANDLES.with_borrow_mut(|handles| handles.insert(device.id(), handle.clone()));
                handle
            }
        };
        let plan = Rc::new(Self::new(&handle, sizes)?);
        PLANS.with_borrow_mut(|plans| plans.insert(key, plan.clone()));
        Ok(plan)
    }
}

/// `(batch, in, h, w)` with kernels `(out, in, k, k)` to `(batch, out, h / stride, w / stride)`.
pub(super) fn output(
    device: &CudaDevice,
    sizes: &ConvSizes,
    x: &Values<'_>,
    weights: &Values<'_>,
) -> Result<CudaSlice<f32>> {
    check("the pictures", x.len(), sizes.input_len())?;
    check("the kernels", weights.len(), sizes.kernel_len())?;
    let plan = Plan::of(device, sizes)?;
    let Chosen { algorithm, scratch } = plan.forward;
    let (mut y, mut scratch) = (memory(device, sizes.output_len())?, memory::<u8>(device, scratch)?);
    let conv = ConvForward { conv: &plan.conv, x: &plan.x, w: &plan.weights, y: &plan.y };
    // SAFETY: the descriptors are of these sizes, and the lengths of all three tensors are, too.
    unsafe { conv.launch(algorithm, Some(&mut scratch), REPLACE, x, weights, &mut y) }.map_err(Error::wrap)?;
    Ok(y)
}

/// The gradient of a convolution's input from that of its output.
pub(super) fn input_gradient(
    device: &CudaDevice,
    sizes: &ConvSizes,
    grad: &Values<'_>,
    weights: &Values<'_>,
) -> Result<CudaSlice<f32>> {
    check("the gradient", grad.len(), sizes.output_len())?;
    check("the kernels", weights.len(), sizes.kernel_len())?;
    let plan = Plan::of(device, sizes)?;
    let Chosen { algorithm, scratch } = plan.input;
    let (mut gradient, mut scratch) = (memory(device, sizes.input_len())?, memory::<u8>(device, scratch)?);
    let conv = ConvBackwardData { conv: &plan.conv, dx: &plan.x, w: &plan.weights, dy: &plan.y };
    // SAFETY: as above.
    unsafe { conv.launch(algorithm, Some(&mut scratch), REPLACE, &mut gradient, weights, grad) }
        .map_err(Error::wrap)?;
    Ok(gradient)
}

/// The gradient of a convolution's kernels from its input and the gradient of its output.
pub(super) fn kernel_gradient(
    device: &CudaDevice,
    sizes: &ConvSizes,
    x: &Values<'_>,
    grad: &Values<'_>,
) -> Result<CudaSlice<f32>> {
    check("the pictures", x.len(), sizes.input_len())?;
    check("the gradient", grad.len(), sizes.output_len())?;
    let plan = Plan::of(device, sizes)?;
    let Chosen { algorithm, scratch } = plan.kernel;
    let (mut gradient, mut scratch) = (memory(device, sizes.kernel_len())?, memory::<u8>(device, scratch)?);
    let conv = ConvBackwardFilter { conv: &plan.conv, x: &plan.x, dw: &plan.weights, dy: &plan.y };
    // SAFETY: as above.
    unsafe { conv.launch(algorithm, Some(&mut scratch), REPLACE, x, &mut gradient, grad) }.map_err(Error::wrap)?;
    Ok(gradient)
}
