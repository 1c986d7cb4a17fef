//! Convolution for inference, as one matrix product: the patches of a picture become the columns of a matrix (im2col,
//! Chellapilla et al. 2006, <https://inria.hal.science/inria-00112631>). It takes any number of pictures and has no gradient.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::geometry::Geometry;
use super::matrix::{Matrix, matrix_product};
use super::values_of;

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
        let output = convolve(&geometry, values_of(s1, l1)?, values_of(s2, l2)?, bias, self.relu);
        let shape = (geometry.batch, geometry.out_channels, geometry.out_height, geometry.out_width);
        Ok((CpuStorage::F32(output), shape.into()))
    }
}

fn convolve(geometry: &Geometry, input: &[f32], kernel: &[f32], bias: &[f32], relu: bool) -> Vec<f32> {
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
                matrix_product(output, kernel, columns);
            } else {
                let product = &mut product[..geometry.out_channels * row_length];
                matrix_product(product, kernel, columns);
                scatter(product, output, geometry.out_channels, pixels);
            }
            add_bias(output, bias, pixels, relu);
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
