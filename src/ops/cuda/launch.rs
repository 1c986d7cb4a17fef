//! How a kernel gets onto a GPU: the files of kernels, memory for results, grids, and the launch.
//!
//! Owns what is unsafe of that: a launch is a call of foreign code that the compiler can't see into, and memory that a kernel
//! writes as a whole is not cleared before. `kernels` holds each launch to its kernel's declaration, and is alone to use this
//! beside `cudnn`. Everything of a device runs on one stream, in the order of the calls; nothing here waits for it.

#![allow(unsafe_code, reason = "kernels are foreign code; kernels.rs checks each launch, and nowhere else is one")]

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, CudaView, DeviceRepr, LaunchArgs, LaunchConfig, PushKernelArg,
    sys::CUdevice_attribute,
};
use candle_core::cuda_backend::{CudaDevice, WrapErr};
use candle_core::{Result, bail};

/// Values of a tensor on a GPU.
pub(super) type Values<'a> = CudaView<'a, f32>;

/// Threads of a block, as in the kernels.
pub(super) const THREADS: u32 = 256;

/// Threads that work in step, on every chip so far.
pub(super) const WARP: usize = 32;

/// Instead of values that there are none of.
const NULL: u64 = 0;

/// A file of kernels, as the build made it: its name and its text.
pub(super) type Module = (&'static str, &'static str);

macro_rules! module {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx")))
    };
}

pub(super) const AUGMENT: Module = module!("augment");
pub(super) const CONV: Module = module!("conv");
pub(super) const NORM: Module = module!("norm");
pub(super) const VALUES: Module = module!("values");

/// A kernel and the queue that it goes into.
pub(super) struct Kernel {
    function: CudaFunction,
    stream: Arc<CudaStream>,
}

impl Kernel {
    pub(super) fn builder(&self) -> LaunchArgs<'_> {
        self.stream.launch_builder(&self.function)
    }
}

pub(super) fn kernel(device: &CudaDevice, (module, ptx): Module, name: &str) -> Result<Kernel> {
    // Modules are known by their name alone, and a dependency could have one of the same.
    let function = device.get_or_load_custom_func(name, &format!("emocam-{module}"), ptx)?.into_cuda_function();
    Ok(Kernel { function, stream: device.cuda_stream() })
}

/// Memory that the caller writes as a whole before anything reads it.
pub(super) fn memory<T: DeviceRepr>(device: &CudaDevice, len: usize) -> Result<CudaSlice<T>> {
    // SAFETY: nothing but numbers is kept in it, and every value is written by the kernel that it is made for.
    unsafe { device.alloc::<T>(len) }
}

/// Puts a kernel into the queue of its stream.
pub(super) fn launch(args: &mut LaunchArgs<'_>, grid: (usize, usize, usize), shared_bytes: u32) -> Result<()> {
    let side = |blocks: usize, limit: u32| match u32::try_from(blocks) {
        Ok(blocks) if blocks > 0 && blocks <= limit => Ok(blocks),
        _ => bail!("a grid of {grid:?} blocks for the GPU"),
    };
    let (rows, layers) = (u32::from(u16::MAX), u32::from(u16::MAX));
    let grid_dim = (side(grid.0, i32::MAX as u32)?, side(grid.1, rows)?, side(grid.2, layers)?);
    let config = LaunchConfig { grid_dim, block_dim: (THREADS, 1, 1), shared_mem_bytes: shared_bytes };
    // SAFETY: the caller has pushed the kernel's own arguments, in order, and has checked their lengths.
    unsafe { args.launch(config) }.w()?;
    Ok(())
}

/// As many blocks as give each of `count` a thread.
pub(super) fn blocks_of(count: usize) -> (usize, usize, usize) {
    (count.div_ceil(THREADS as usize), 1, 1)
}

pub(super) fn check(what: &str, found: usize, expected: usize) -> Result<()> {
    if found != expected {
        bail!("{what}: expected {expected} values on the GPU, found {found}");
    }
    Ok(())
}

/// A count as kernels take it.
pub(super) fn int(count: usize) -> Result<i32> {
    i32::try_from(count).or_else(|_| bail!("{count} values at once are more than a kernel counts"))
}

/// How many processors the chip has, among which blocks are dealt out.
pub(super) fn processors(device: &CudaDevice) -> Result<usize> {
    let count = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
    let count = device.cuda_stream().context().attribute(count).w()?;
    Ok(usize::try_from(count).unwrap_or(1).max(1))
}

/// Pushes values, or null.
pub(super) fn push<'a>(args: &mut LaunchArgs<'a>, values: Option<&'a Values<'a>>) {
    match values {
        Some(values) => args.arg(values),
        None => args.arg(&NULL),
    };
}
