//! A network of depthwise and pointwise convolutions on a CPU, row by row.
//!
//! Such a network computes little for each value that it reads, so whole layers one after the other would wait for memory.
//! Here a row goes as far through the layers as it can before the next one comes: a layer keeps the few rows that its kernel
//! covers, and everything stays in a cache of half a megabyte, however large the picture is. Vector registers hold
//! neighbouring pixels of a row (`kernel`), since there are only 24 channels where most of the work is.
//!
//! Pictures are `(channels, height, width)`, their sides multiples of what the strides make of them. All convolutions keep the
//! size, or halve it, with zeros around, as TensorFlow's padding `SAME` has it: for an even size and stride 2 the last row and
//! column get one more zero than the first. One thread computes; the order of summation depends on the processor's kind alone.

mod kernel;
mod stage;

use candle_core::{Result, Tensor, bail};
use pulp::Arch;

use stage::Stage;

/// A kernel and a bias, on the CPU.
pub(crate) struct ConvWeights {
    /// `(out, in, k, k)`, or `(channels, k, k)` of a depthwise convolution.
    pub(crate) kernel: Tensor,
    /// `(out,)`.
    pub(crate) bias: Tensor,
}

/// One layer of the network, as its weights come.
pub(crate) struct RowLayer {
    /// A depthwise convolution of 3x3 before the pointwise one; without it `point` has a kernel of 5x5 and halves the size.
    pub(crate) depth: Option<ConvWeights>,
    pub(crate) point: ConvWeights,
    /// Whether the depthwise convolution halves the size.
    pub(crate) halves: bool,
    /// Whether the input is added to the output: its largest values where the size is halved.
    pub(crate) skip: bool,
    /// A pointwise convolution of this layer's output that leaves the network.
    pub(crate) head: Option<ConvWeights>,
}

/// What leaves the network at one layer: `(height, channels, width)`.
pub(crate) struct HeadRows {
    pub(crate) values: Vec<f32>,
    pub(crate) channels: usize,
    pub(crate) width: usize,
}

/// The network, with the rows that are on their way.
pub(crate) struct RowNet {
    stages: Vec<Stage>,
    arch: Arch,
    /// Channels, height and width of the pictures that there is room for.
    size: Option<(usize, usize)>,
    in_channels: usize,
}

impl RowNet {
    /// # Errors
    /// When a layer doesn't fit the one before it.
    pub(crate) fn new(in_channels: usize, layers: Vec<RowLayer>) -> Result<Self> {
        let mut channels = in_channels;
        let mut stages = Vec::with_capacity(layers.len());
        for layer in layers {
            let stage = Stage::new(layer, channels)?;
            channels = stage.point.out_channels;
            stages.push(stage);
        }
        Ok(Self { stages, arch: Arch::new(), size: None, in_channels })
    }

    /// What the heads make of a picture `(channels, height, width)`, in the order of the layers.
    ///
    /// # Errors
    /// When the values are not as many as the size says, or a side can't be halved as often as the layers do.
    pub(crate) fn forward(&mut self, picture: &[f32], height: usize, width: usize) -> Result<Vec<HeadRows>> {
        if picture.len() != self.in_channels * height * width || picture.is_empty() {
            bail!("{} values for a picture of {}x{height}x{width}", picture.len(), self.in_channels);
        }
        if self.size != Some((height, width)) {
            self.size = None;
            let mut size = (height, width);
            for stage in &mut self.stages {
                size = stage.make_room(size)?;
            }
            self.size = Some((height, width));
        }
        self.stages.iter_mut().for_each(Stage::restart);
        let mut rows = vec![&[][..]; self.in_channels];
        for y in 0..height {
            for (channel, row) in rows.iter_mut().enumerate() {
                *row = &picture[(channel * height + y) * width..][..width];
            }
            if let Some(first) = self.stages.first_mut() {
                first.accept(rows.iter().copied());
            }
            advance(self.arch, &mut self.stages);
        }
        Ok(self.stages.iter_mut().filter_map(Stage::take_head).collect())
    }
}

/// Sends every row that can be computed on to the next layer, which goes as far as it can with it.
fn advance(arch: Arch, stages: &mut [Stage]) {
    let Some((stage, rest)) = stages.split_first_mut() else { return };
    while stage.is_ready() {
        let Some(next) = rest.first_mut() else {
            stage.compute(arch, None);
            continue;
        };
        if next.stride == 1 {
            // What one layer computes is what the next one keeps.
            stage.compute(arch, Some(next.next_row()));
        } else {
            stage.compute(arch, None);
            next.accept(stage.out_rows());
        }
        advance(arch, rest);
    }
}

#[cfg(test)]
mod tests;
