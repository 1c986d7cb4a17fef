//! The layers on a GPU, for builds without: nothing comes to them, since no such device can be opened.

use candle_core::{Result, Tensor, bail};

use super::{ChannelStatistics, LayerForm, LayerWeights};

fn absent<T>() -> Result<T> {
    bail!("this emocam was built for the CPU")
}

#[derive(Debug)]
pub(super) struct FusedConv;

impl FusedConv {
    pub(super) fn new(_: &Tensor, _: &Tensor, _: usize) -> Result<Self> {
        absent()
    }

    pub(super) fn forward(&self, _: &Tensor, _: Option<&Tensor>, _: bool) -> Result<Tensor> {
        absent()
    }
}

pub(super) fn conv_norm(
    _: &Tensor,
    _: LayerWeights<'_>,
    _: Option<&Tensor>,
    _: LayerForm,
) -> Result<(Tensor, ChannelStatistics)> {
    absent()
}

pub(super) fn channel_means(_: &Tensor) -> Result<Tensor> {
    absent()
}

pub(super) fn linear(_: &Tensor, _: &Tensor, _: &Tensor) -> Result<Tensor> {
    absent()
}

pub(super) fn augment(_: &Tensor, _: &Tensor, _: f32) -> Result<Tensor> {
    absent()
}
