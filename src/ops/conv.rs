//! Convolution as matrix products: the patches of a picture become the columns of a matrix (im2col, Chellapilla et al. 2006,
//! <https://inria.hal.science/inria-00112631>), so both gradients are matrix products too.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::geometry::Geometry;
use super::matrix::{Matrix, matrix_product};
use super::{values_of, with_values};

/// Convolution without bias, differentiable. `kernel` is `(out, in, k, k)`.
///
/// # Errors
/// When the shapes don't fit each other.
pub fn conv2d(input: &Tensor, kernel: &Tensor, stride: usize) -> Result<Tensor> {
    if !input.device().is_cpu() {
        return input.conv2d(kernel, kernel.dim(3)? / 2, stride, 1, 1);
    }
    input.contiguous()?.apply_op2(&kernel.contiguous()?, Conv2d { stride })
}

/// Convolution with bias and optional rectification in one pass, for inference: it has no gradient.
///
/// # Errors
/// When the shapes don't fit each other.
pub fn conv2d_bias(input: &Tensor, kernel: &Tensor, bias: &Tensor, stride: usize, relu: bool) -> Result<Tensor> {
    if input.device().is_cpu() {
        return input.contiguous()?.apply_op3_no_bwd(kernel, bias, &Conv2dBias { stride, relu });
    }
    let output = input.conv2d(kernel, kernel.dim(3)? / 2, stride, 1, 1)?.broadcast_add(&bias.reshape((
        1,
        bias.elem_count(),
        1,
        1,
    ))?)?;
    if relu { output.relu() } else { Ok(output) }
}

struct Conv2d {
    stride: usize,
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d-im2col"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let geometry = Geometry::new(l1.shape(), l2.shape(), self.stride)?;
        let output = convolve(&geometry, values_of(s1, l1)?, values_of(s2, l2)?, None, false);
        let shape = (geometry.batch, geometry.out_channels, geometry.out_height, geometry.out_width);
        Ok((CpuStorage::F32(output), shape.into()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        kernel: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let geometry = Geometry::new(input.shape(), kernel.shape(), self.stride)?;
        let input_needed = input.track_op();
        let (grad_input, grad_kernel) = with_values(input, |x| {
            with_values(kernel, |w| with_values(grad, |g| Ok(convolve_backward(&geometry, x, w, g, input_needed))))
        })?;
        let grad_input =
            input_needed.then(|| Tensor::from_vec(grad_input, input.shape(), input.device())).transpose()?;
        Ok((grad_input, Some(Tensor::from_vec(grad_kernel, kernel.shape(), kernel.device())?)))
    }
}

struct Conv2dBias {
    stride: usize,
    relu: bool,
}

impl CustomOp3 for Conv2dBias {
    fn name(&self) -> &'static str {
        "conv2d-bias-im2col"
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
        let geometry = Geometry::new(l1.shape(), l2.shape(), self.stride)?;
        let bias = values_of(s3, l3)?;
        if bias.len() != geometry.out_channels {
            bail!("{} biases for {} channels", bias.len(), geometry.out_channels);
        }
        let output = convolve(&geometry, values_of(s1, l1)?, values_of(s2, l2)?, Some(bias), self.relu);
        let shape = (geometry.batch, geometry.out_channels, geometry.out_height, geometry.out_width);
        Ok((CpuStorage::F32(output), shape.into()))
    }
}

fn convolve(geometry: &Geometry, input: &[f32], kernel: &[f32], bias: Option<&[f32]>, relu: bool) -> Vec<f32> {
    let (group, pixels, out_size) = (geometry.group(), geometry.out_pixels(), geometry.out_size());
    let kernel = Matrix::row_major(kernel, geometry.out_channels, geometry.patch());
    let mut output = vec![0.0; geometry.batch * out_size];
    let parts = output.par_chunks_mut(geometry.part() * out_size);
    parts.zip(input.par_chunks(geometry.part() * geometry.in_size())).for_each(|(output, input)| {
        let mut columns = vec![0.0; geometry.patch() * group * pixels];
        let mut product = vec![0.0; if group > 1 { geometry.out_channels * group * pixels } else { 0 }];
        for (output, input) in output.chunks_mut(group * out_size).zip(input.chunks(group * geometry.in_size())) {
            let count = output.len() / out_size;
            let row_length = count * pixels;
            let columns = &mut columns[..geometry.patch() * row_length];
            for (i, picture) in input.chunks(geometry.in_size()).enumerate() {
                geometry.patches_from_picture(picture, columns, row_length, i * pixels);
            }
            let columns = Matrix::row_major(columns, geometry.patch(), row_length);
            if count == 1 {
                matrix_product(output, kernel, columns, false);
            } else {
                let product = &mut product[..geometry.out_channels * row_length];
                matrix_product(product, kernel, columns, false);
                scatter(product, output, geometry.out_channels, pixels);
            }
            if let Some(bias) = bias {
                add_bias(output, bias, pixels, relu);
            }
        }
    });
    output
}

fn add_bias(output: &mut [f32], bias: &[f32], pixels: usize, relu: bool) {
    for (plane, bias) in output.chunks_mut(pixels).zip(bias.iter().cycle()) {
        for value in plane {
            let sum = *value + bias;
            *value = if relu { sum.max(0.0) } else { sum };
        }
    }
}

/// From `(channels, pictures, pixels)`, as matrix products give it, to `(pictures, channels, pixels)`.
fn scatter(product: &[f32], pictures: &mut [f32], channels: usize, pixels: usize) {
    let row_length = product.len() / channels;
    for (i, picture) in pictures.chunks_mut(channels * pixels).enumerate() {
        for (channel, plane) in picture.chunks_mut(pixels).enumerate() {
            let start = channel * row_length + i * pixels;
            plane.copy_from_slice(&product[start..start + pixels]);
        }
    }
}

/// The reverse of [`scatter`].
fn gather(pictures: &[f32], product: &mut [f32], channels: usize, pixels: usize) {
    let row_length = product.len() / channels;
    for (i, picture) in pictures.chunks(channels * pixels).enumerate() {
        for (channel, plane) in picture.chunks(pixels).enumerate() {
            let start = channel * row_length + i * pixels;
            product[start..start + pixels].copy_from_slice(plane);
        }
    }
}

/// Gradients of the input (empty unless `input_needed`) and of the kernel.
fn convolve_backward(
    geometry: &Geometry,
    input: &[f32],
    kernel: &[f32],
    grad: &[f32],
    input_needed: bool,
) -> (Vec<f32>, Vec<f32>) {
    let (group, pixels, in_size, out_size) =
        (geometry.group(), geometry.out_pixels(), geometry.in_size(), geometry.out_size());
    let kernel_matrix = Matrix::row_major(kernel, geometry.out_channels, geometry.patch());
    let mut grad_input = vec![0.0; if input_needed { input.len() } else { 0 }];
    let part = geometry.part();
    let mut grad_input_parts: Vec<&mut [f32]> = grad_input.chunks_mut(part * in_size).collect();
    grad_input_parts.resize_with(geometry.batch.div_ceil(part), Default::default);
    let partial: Vec<Vec<f32>> = grad_input_parts
        .into_par_iter()
        .zip(input.par_chunks(part * in_size).zip(grad.par_chunks(part * out_size)))
        .map(|(grad_input, (input, grad))| {
            let mut columns = vec![0.0; geometry.patch() * group * pixels];
            let mut grad_out = vec![0.0; geometry.out_channels * group * pixels];
            let mut grad_kernel = vec![0.0; kernel.len()];
            for (i, (input, grad)) in input.chunks(group * in_size).zip(grad.chunks(group * out_size)).enumerate() {
                let row_length = grad.len() / out_size * pixels;
                let columns = &mut columns[..geometry.patch() * row_length];
                let grad_out = &mut grad_out[..geometry.out_channels * row_length];
                gather(grad, grad_out, geometry.out_channels, pixels);
                let grad_out = Matrix::row_major(grad_out, geometry.out_channels, row_length);
                for (j, picture) in input.chunks(in_size).enumerate() {
                    geometry.patches_from_picture(picture, columns, row_length, j * pixels);
                }
                let patches = Matrix::row_major(columns, geometry.patch(), row_length);
                matrix_product(&mut grad_kernel, grad_out, patches.transposed(), true);
                if input_needed {
                    matrix_product(columns, kernel_matrix.transposed(), grad_out, false);
                    let start = i * group * in_size;
                    let pictures = &mut grad_input[start..start + input.len()];
                    for (j, picture) in pictures.chunks_mut(in_size).enumerate() {
                        geometry.add_patches_to_picture(columns, row_length, j * pixels, picture);
                    }
                }
            }
            grad_kernel
        })
        .collect();
    let mut grad_kernel = vec![0.0; kernel.len()];
    for part in partial {
        grad_kernel.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    (grad_input, grad_kernel)
}
