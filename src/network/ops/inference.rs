//! The layers of inference on a CPU: convolution, bias, way around and rectification in one pass (`packed.rs`), and the mean of
//! each channel.
//!
//! Pictures are channels last, `(batch, height, width, channels)`. Any number of them goes in, and nothing here has a gradient.

use candle_core::{Result, Tensor, bail};

use super::packed::PackedConv;
use super::storage::with_values;

/// As [`super::InferenceConv::forward`].
pub(super) fn convolve(conv: &PackedConv, x: &Tensor, skip: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    let (shape, plan) = conv.plan(x.shape())?;
    let output = with_values(x, |input| match skip {
        Some(skip) if skip.shape() != &shape => {
            bail!("a way around of {:?} for a layer's output of {shape:?}", skip.shape())
        }
        Some(skip) => with_values(skip, |skip| Ok(conv.forward(&plan, input, Some(skip), relu))),
        None => Ok(conv.forward(&plan, input, None, relu)),
    })?;
    Tensor::from_vec(output, shape, x.device())
}

/// As [`super::inference_means`].
pub(super) fn means(x: &Tensor) -> Result<Tensor> {
    let (batch, height, width, channels) = x.dims4()?;
    if x.elem_count() == 0 {
        bail!("the means of {:?}", x.shape());
    }
    let mut means = vec![0.0; batch * channels];
    with_values(x, |values| {
        let pictures = values.chunks_exact(height * width * channels);
        for (means, picture) in means.chunks_exact_mut(channels).zip(pictures) {
            for pixel in picture.chunks_exact(channels) {
                means.iter_mut().zip(pixel).for_each(|(mean, value)| *mean += value);
            }
            means.iter_mut().for_each(|mean| *mean /= (height * width) as f32);
        }
        Ok(())
    })?;
    Tensor::from_vec(means, (batch, channels), x.device())
}
