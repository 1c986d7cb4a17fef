//! Training pictures that stay on a GPU, which changes them and makes inputs of them itself.
//!
//! Only what was drawn for each picture crosses over at a step, a tenth of what its input takes; and a processor draws much
//! faster than it turns and resamples. What comes out is, bit for bit, what `Augmentation::apply` and the preprocessor make.

use anyhow::Result;
use candle_core::{Device, Tensor};

use super::batches::Mixture;
use crate::dataset::Sample;
use crate::dataset::augment::Change;
use crate::ops;
use crate::preprocess::{InputSpec, Normalization};

/// The largest picture that the GPU changes, in pixels of its side: one must fit into what a block of threads shares.
const LARGEST_SIZE: usize = 108;

/// The most memory that the pictures may take, in bytes. More are prepared by the processor.
const MOST_BYTES: usize = 1 << 30;

/// Training pictures on a GPU.
#[derive(Debug)]
pub(super) struct Resident {
    /// `(all, size, size)`, grey.
    pictures: Tensor,
    least_deviation: f32,
}

impl Resident {
    /// The pictures on that device, if it is a GPU and they suit it.
    pub(super) fn new(samples: &[Sample], input: &InputSpec, device: &Device) -> Result<Option<Self>> {
        let size = input.size;
        let is_input = |sample: &Sample| sample.image.dimensions() == (size as u32, size as u32);
        let fit = size <= LARGEST_SIZE && samples.len() * size * size <= MOST_BYTES && samples.iter().all(is_input);
        if !device.is_cuda() || !fit {
            return Ok(None);
        }
        let pixels: Vec<u8> = samples.iter().flat_map(|sample| sample.image.as_raw().iter().copied()).collect();
        let Normalization::PerCrop { least_deviation } = input.normalization;
        Ok(Some(Self { pictures: Tensor::from_vec(pixels, (samples.len(), size, size), device)?, least_deviation }))
    }

    /// The inputs `(count, 1, size, size)` that come of rows of changes, mixed.
    pub(super) fn inputs(&self, rows: Vec<f32>, mixture: Option<Mixture>) -> Result<Tensor> {
        let (device, count) = (self.pictures.device(), rows.len() / Change::ROW_LEN);
        let rows = Tensor::from_vec(rows, (count, Change::ROW_LEN), device)?;
        let inputs = ops::augment(&self.pictures, &rows, self.least_deviation)?;
        let Some(Mixture { partners, shares }) = mixture else { return Ok(inputs) };
        let partners = Tensor::from_vec(partners, count, device)?;
        let rest: Vec<f32> = shares.iter().map(|share| 1.0 - share).collect();
        let per_input = |shares| Tensor::from_vec(shares, (count, 1, 1, 1), device);
        let others = inputs.index_select(&partners, 0)?.broadcast_mul(&per_input(rest)?)?;
        Ok((inputs.broadcast_mul(&per_input(shares)?)? + others)?)
    }
}
