//! The network: layers, with shapes beside them.
//!
//! A small residual network (He et al. 2015, <https://arxiv.org/abs/1512.03385>) of dense convolutions over a grey picture
//! of a face. Owns the architecture, the names and shapes of its tensors and both of its forms: [`ConvNorm`] layers, which
//! learn, and [`FoldedConv`] layers, in which batch norm has become part of the convolution, for inference. Knows nothing
//! of files (`weights.rs`) and pixels (`preprocess.rs`).

mod architecture;

use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};

pub(crate) use architecture::{Architecture, Role, TensorSpec, Tensors};

use crate::flow::emotion::Emotion;
use crate::network::ops;
use architecture::ConvSpec;

/// Keeps the division in batch norm finite; PyTorch's default.
const BATCH_NORM_EPSILON: f32 = 1e-5;

/// How much of a new batch's statistics enters the running ones; PyTorch's default.
const BATCH_NORM_MOMENTUM: f64 = 0.1;

/// A convolution that is followed by batch norm, in one of its two forms.
pub trait Layer {
    /// Pictures `(batch, channels, h, w)` in the layout in which layers of this form pass them on.
    fn arrange(pictures: &Tensor) -> Result<Tensor>;

    /// `(batch, in, h, w)` to `(batch, out, h / stride, w / stride)`, each in that layout, plus `skip`, rectified on demand.
    fn forward(&self, x: &Tensor, batch: usize, skip: Option<&Tensor>, relu: bool) -> Result<Tensor>;

    /// The mean of each channel of each picture, `(batch, channels)`, from that layout.
    fn channel_means(x: &Tensor, batch: usize) -> Result<Tensor>;
}

/// Convolution and batch norm as they learn: normalised by the statistics of the batch at hand.
#[derive(Debug)]
pub struct ConvNorm {
    pub(super) name: String,
    weight: Tensor,
    gamma: Tensor,
    beta: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    pub(super) stride: usize,
    last: Mutex<Option<ops::ChannelStatistics>>,
}

impl ConvNorm {
    fn new(tensors: &Tensors, ConvSpec { name, stride, .. }: ConvSpec) -> Result<Self> {
        let get = |part: &str| tensor(tensors, &format!("{name}.{part}"));
        Ok(Self {
            weight: get("weight")?,
            gamma: get("norm.weight")?,
            beta: get("norm.bias")?,
            running_mean: get("norm.running_mean")?,
            running_var: get("norm.running_var")?,
            stride,
            last: Mutex::new(None),
            name,
        })
    }

    /// Kernel and bias of the same function without the norm: `w' = w gamma / sqrt(var + e)`,
    /// `b' = beta - mean gamma / sqrt(var + e)`.
    pub(super) fn folded(&self) -> Result<(Tensor, Tensor)> {
        let scale = (&self.gamma / (&self.running_var + f64::from(BATCH_NORM_EPSILON))?.sqrt()?)?;
        let weight = self.weight.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?.detach();
        let bias = (&self.beta - (&self.running_mean * &scale)?)?.detach();
        Ok((weight, bias))
    }

    fn fold(&self, device: &Device) -> Result<FoldedConv> {
        let (weight, bias) = self.folded()?;
        Ok(FoldedConv(ops::InferenceConv::new(&weight, &bias, self.stride, device)?))
    }

    /// Moves the running statistics to those of the last forward pass.
    fn remember(&self) -> Result<()> {
        let last = self.last.lock().map_err(|_| anyhow::anyhow!("{}: a panic in a forward pass", self.name))?.take();
        let Some(ops::ChannelStatistics { mean, variance, count }) = last else { return Ok(()) };
        // As in PyTorch: normalised by the biased variance, remembered as the unbiased one.
        let unbiased = count as f64 / (count as f64 - 1.0).max(1.0);
        let keep = 1.0 - BATCH_NORM_MOMENTUM;
        ops::blend(&self.running_mean, &mean, keep, BATCH_NORM_MOMENTUM)?;
        Ok(ops::blend(&self.running_var, &variance, keep, BATCH_NORM_MOMENTUM * unbiased)?)
    }
}

impl Layer for ConvNorm {
    fn arrange(pictures: &Tensor) -> Result<Tensor> {
        Ok(ops::training_layout(pictures)?)
    }

    fn forward(&self, x: &Tensor, batch: usize, skip: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let weights = ops::LayerWeights { kernel: &self.weight, gamma: &self.gamma, beta: &self.beta };
        let form = ops::LayerForm { stride: self.stride, epsilon: BATCH_NORM_EPSILON, relu, batch };
        let (x, statistics) = ops::conv_norm(x, weights, skip, form)?;
        if let Ok(mut last) = self.last.lock() {
            *last = Some(statistics);
        }
        Ok(x)
    }

    fn channel_means(x: &Tensor, batch: usize) -> Result<Tensor> {
        Ok(ops::training_means(x, batch)?)
    }
}

/// A convolution with bias, which batch norm was folded into.
#[derive(Debug)]
pub struct FoldedConv(ops::InferenceConv);

impl Layer for FoldedConv {
    fn arrange(pictures: &Tensor) -> Result<Tensor> {
        Ok(ops::inference_layout(pictures)?)
    }

    fn forward(&self, x: &Tensor, _: usize, skip: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        Ok(self.0.forward(x, skip, relu)?)
    }

    fn channel_means(x: &Tensor, _: usize) -> Result<Tensor> {
        Ok(ops::inference_means(x)?)
    }
}

/// Two convolutions and a way around them.
#[derive(Debug)]
pub(super) struct Block<L> {
    pub(super) first: L,
    pub(super) second: L,
    pub(super) skip: Option<L>,
}

impl<L: Layer> Block<L> {
    fn forward(&self, x: &Tensor, batch: usize) -> Result<Tensor> {
        let y = self.first.forward(x, batch, None, true)?;
        match &self.skip {
            Some(skip) => self.second.forward(&y, batch, Some(&skip.forward(x, batch, None, false)?), true),
            None => self.second.forward(&y, batch, Some(x), true),
        }
    }
}

/// The network over one form of its layers.
#[derive(Debug)]
pub struct EmotionNet<L> {
    pub(super) stem: L,
    pub(super) down: L,
    pub(super) blocks: Vec<Block<L>>,
    pub(super) head_weight: Tensor,
    pub(super) head_bias: Tensor,
}

impl<L: Layer> EmotionNet<L> {
    /// Faces to features: `(batch, 1, 48, 48)` to `(batch, 160)` in the default architecture.
    pub fn features(&self, x: &Tensor) -> Result<Tensor> {
        let batch = x.dim(0)?;
        let x = self.stem.forward(&L::arrange(x)?, batch, None, true)?; // (batch, 16, 48, 48)
        let mut x = self.down.forward(&x, batch, None, true)?; // (batch, 40, 24, 24)
        for block in &self.blocks {
            x = block.forward(&x, batch)?; // (batch, 40, 24, 24), (80, 12, 12), (160, 6, 6)
        }
        L::channel_means(&x, batch) // (batch, 160)
    }

    /// Features to logits: `(batch, 160)` to `(batch, 7)`.
    pub fn head(&self, features: &Tensor) -> Result<Tensor> {
        Ok(features.matmul(&self.head_weight.t()?)?.broadcast_add(&self.head_bias)?)
    }

    /// Faces to logits: `(batch, 1, 48, 48)` to `(batch, 7)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.head(&self.features(x)?)
    }

    /// Faces to logits, one row per face, on the CPU.
    pub fn logits(&self, x: &Tensor) -> Result<Vec<[f32; Emotion::COUNT]>> {
        let logits: Vec<f32> = self.forward(x)?.flatten_all()?.to_vec1()?;
        let (rows, _) = logits.as_chunks();
        Ok(rows.to_vec())
    }
}

impl EmotionNet<ConvNorm> {
    /// The learning form, over tensors that may be variables.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the architecture asks for.
    pub fn new(architecture: &Architecture, tensors: &Tensors) -> Result<Self> {
        architecture.check()?;
        for TensorSpec { name, shape, .. } in architecture.tensors() {
            let found = tensor(tensors, &name)?;
            ensure!(found.dims() == shape, "tensor {name}: expected shape {shape:?}, found {:?}", found.dims());
        }
        if tensors.len() != architecture.tensors().len() {
            let known: Vec<String> = architecture.tensors().into_iter().map(|spec| spec.name).collect();
            let extra: Vec<&String> = tensors.keys().filter(|name| !known.contains(name)).collect();
            bail!("tensors that the architecture does not have: {extra:?}");
        }
        let mut layers = architecture.convolutions().into_iter().map(|spec| ConvNorm::new(tensors, spec));
        let mut next = || layers.next().context("one layer per convolution")?;
        let (stem, down) = (next()?, next()?);
        let mut blocks = Vec::new();
        for (_, input, output, stride) in architecture.residual_blocks() {
            let (first, second) = (next()?, next()?);
            let skip = if stride > 1 || input != output { Some(next()?) } else { None };
            blocks.push(Block { first, second, skip });
        }
        let (head_weight, head_bias) = (tensor(tensors, "head.weight")?, tensor(tensors, "head.bias")?);
        Ok(Self { stem, down, blocks, head_weight, head_bias })
    }

    /// The same function with batch norm folded into the convolutions, by the running statistics, on a device.
    pub fn fold(&self, device: &Device) -> Result<EmotionNet<FoldedConv>> {
        let fold = |layer: &ConvNorm| layer.fold(device);
        let block = |block: &Block<ConvNorm>| -> Result<Block<FoldedConv>> {
            Ok(Block {
                first: fold(&block.first)?,
                second: fold(&block.second)?,
                skip: block.skip.as_ref().map(&fold).transpose()?,
            })
        };
        Ok(EmotionNet {
            stem: fold(&self.stem)?,
            down: fold(&self.down)?,
            blocks: self.blocks.iter().map(block).collect::<Result<_>>()?,
            head_weight: self.head_weight.detach().to_device(device)?,
            head_bias: self.head_bias.detach().to_device(device)?,
        })
    }

    /// Moves the running statistics, in the tensors that this was made of, to those of the last forward pass.
    pub fn remember_statistics(&self) -> Result<()> {
        for layer in [&self.stem, &self.down] {
            layer.remember()?;
        }
        for block in &self.blocks {
            for layer in [&block.first, &block.second].into_iter().chain(&block.skip) {
                layer.remember()?;
            }
        }
        Ok(())
    }
}

fn tensor(tensors: &Tensors, name: &str) -> Result<Tensor> {
    tensors.get(name).cloned().with_context(|| format!("tensor {name}: expected, but not there"))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn folding_batch_norm_does_not_change_the_function() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut random = |shape: &[usize], low: f32| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| 2.0 * rng.random::<f32>() + low).collect();
            Tensor::from_vec(values, shape, &Device::Cpu).expect("tensor")
        };
        let spec = ConvSpec::new("layer", (3, 4), 3, 2);
        let tensors = Tensors::from([
            ("layer.weight".into(), random(&[4, 3, 3, 3], -0.8)),
            ("layer.norm.weight".into(), random(&[4], 0.5)),
            ("layer.norm.bias".into(), random(&[4], -1.0)),
            ("layer.norm.running_mean".into(), random(&[4], -0.5)),
            ("layer.norm.running_var".into(), random(&[4], 0.1)),
        ]);
        let layer = ConvNorm::new(&tensors, spec).expect("layer");
        let x = random(&[2, 3, 8, 8], -0.8);
        // What batch norm is defined to compute in evaluation, step by step, by candle's operations.
        let channels = |name: &str| tensors[name].reshape((1, 4, 1, 1)).expect("four channels");
        let expected = x
            .conv2d(&tensors["layer.weight"], 1, 2, 1, 1)
            .and_then(|y| y.broadcast_sub(&channels("layer.norm.running_mean")))
            .and_then(|y| y.broadcast_div(&(channels("layer.norm.running_var") + 1e-5)?.sqrt()?))
            .and_then(|y| y.broadcast_mul(&channels("layer.norm.weight")))
            .and_then(|y| y.broadcast_add(&channels("layer.norm.bias")))
            .expect("batch norm");
        let folded = layer
            .fold(&Device::Cpu)
            .and_then(|folded| folded.forward(&FoldedConv::arrange(&x)?, 2, None, false))
            .and_then(|y| Ok(y.permute((0, 3, 1, 2))?))
            .expect("folded");
        let difference = (folded - expected).and_then(|d| d.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>());
        assert!(difference.expect("difference") < 1e-4);
    }

    #[test]
    fn running_statistics_move_a_tenth_of_the_way_to_the_batch() {
        let architecture = Architecture { channels: [4, 6, 8, 10], ..Default::default() };
        let tensors = architecture.initial_tensors(7).expect("tensors");
        let net = EmotionNet::new(&architecture, &tensors).expect("net");
        let running = architecture.tensors().into_iter().filter(|spec| matches!(spec.role, Role::Running(_)));
        let values = |name: &str| tensors[name].to_vec1::<f32>().expect("values");
        let before: Vec<_> = running.map(|spec| (values(&spec.name), spec.name)).collect();
        net.remember_statistics().expect("no batch yet");
        assert!(before.iter().all(|(before, name)| *before == values(name)));
        let input = Tensor::ones((16, 1, 24, 24), candle_core::DType::F32, &Device::Cpu).expect("input");
        net.forward(&input).expect("forward");
        net.remember_statistics().expect("statistics");
        assert!(before.iter().all(|(before, name)| *before != values(name)));
        let output = input.conv2d(&tensors["stem.weight"], 1, 1, 1, 1).expect("convolution");
        // In doubles: candle's sum of so many equal values in f32 is off by more than what is tested here.
        let mean = output.to_dtype(candle_core::DType::F64).and_then(|output| output.mean((0, 2, 3)));
        let mean = mean.and_then(|mean| mean.to_vec1::<f64>()).expect("mean");
        let found = values("stem.norm.running_mean");
        found.iter().zip(mean).for_each(|(found, mean)| assert!((f64::from(*found) - 0.1 * mean).abs() < 1e-5));
    }

    #[test]
    fn a_missing_and_a_misshapen_tensor_are_named() {
        let architecture = Architecture::default();
        let mut tensors = architecture.initial_tensors(0).expect("tensors");
        let head = tensors.remove("head.bias").expect("head");
        let error = EmotionNet::new(&architecture, &tensors).expect_err("missing").to_string();
        assert!(error.contains("head.bias"), "{error}");
        tensors.insert("head.bias".into(), head.reshape((7, 1)).expect("reshape"));
        let error = EmotionNet::new(&architecture, &tensors).expect_err("misshapen").to_string();
        assert!(error.contains("expected shape [7], found [7, 1]"), "{error}");
    }
}
