//! The shape of a network: its stages, the names and shapes of its tensors, and how they start.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

use crate::flow::emotion::Emotion;

/// Named tensors, in the order of their names.
pub(crate) type Tensors = BTreeMap<String, Tensor>;

/// The shape of a network; it travels in the weights file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// The family; only `residual` exists.
    pub family: String,
    /// Channels of the four stages, at 1/1, 1/2, 1/4 and 1/8 of the input's size.
    pub channels: [usize; 4],
    /// Residual blocks of the last three stages.
    #[serde(default = "one_two_one")]
    pub blocks: [usize; 3],
}

fn one_two_one() -> [usize; 3] {
    [1, 2, 1]
}

impl Default for Architecture {
    /// 1.2 million weights, about 96 million multiply-adds at 48x48.
    fn default() -> Self {
        Self { family: Self::FAMILY.into(), channels: [16, 40, 80, 160], blocks: [1, 3, 2] }
    }
}

/// What a tensor is, which decides how it starts and whether it decays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Weights of a convolution or of the last layer.
    Kernel,
    /// A scale, which starts at 1.
    Scale,
    /// A shift, which starts at 0.
    Shift,
    /// Running mean (`0`) or variance (`1`) of batch norm; not learned by gradient.
    Running(u8),
}

/// Name, shape and role of one tensor.
#[derive(Clone, Debug)]
pub struct TensorSpec {
    /// Path of the tensor, as in `blocks.0.first.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is.
    pub role: Role,
}

/// One convolution's place in the network.
pub(super) struct ConvSpec {
    pub(super) name: String,
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

impl ConvSpec {
    pub(super) fn new(name: impl Into<String>, (input, output): (usize, usize), kernel: usize, stride: usize) -> Self {
        Self { name: name.into(), input, output, kernel, stride }
    }
}

impl Architecture {
    const FAMILY: &str = "residual";

    /// Refuses what this program can't build.
    ///
    /// # Errors
    /// When the family is unknown or a stage is empty or absurdly wide.
    pub fn check(&self) -> Result<()> {
        ensure!(self.family == Self::FAMILY, "architecture: expected {:?}, found {:?}", Self::FAMILY, self.family);
        ensure!(
            self.channels.iter().all(|c| (1..=1024).contains(c)),
            "architecture: expected 1 to 1024 channels in each stage, found {:?}",
            self.channels
        );
        ensure!(
            self.blocks.iter().all(|count| (1..=16).contains(count)),
            "architecture: expected 1 to 16 blocks in each stage, found {:?}",
            self.blocks
        );
        Ok(())
    }

    /// (name, input channels, output channels, stride) of each residual block.
    pub(super) fn residual_blocks(&self) -> Vec<(String, usize, usize, usize)> {
        let mut all = Vec::new();
        let mut input = self.channels[1];
        for (stage, (&count, &output)) in self.blocks.iter().zip(&self.channels[1..]).enumerate() {
            for i in 0..count {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                all.push((format!("blocks.{}", all.len()), input, output, stride));
                input = output;
            }
        }
        all
    }

    pub(super) fn convolutions(&self) -> Vec<ConvSpec> {
        let [a, b, ..] = self.channels;
        let mut all = vec![ConvSpec::new("stem", (1, a), 3, 1), ConvSpec::new("down", (a, b), 3, 2)];
        for (name, input, output, stride) in self.residual_blocks() {
            all.push(ConvSpec::new(format!("{name}.first"), (input, output), 3, stride));
            all.push(ConvSpec::new(format!("{name}.second"), (output, output), 3, 1));
            if stride > 1 || input != output {
                all.push(ConvSpec::new(format!("{name}.skip"), (input, output), 1, stride));
            }
        }
        all
    }

    /// All tensors of the network, in the order in which they are initialised.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let spec = |name: String, shape: Vec<usize>, role| TensorSpec { name, shape, role };
        let mut all = Vec::new();
        for ConvSpec { name, input, output, kernel, .. } in self.convolutions() {
            all.push(spec(format!("{name}.weight"), vec![output, input, kernel, kernel], Role::Kernel));
            all.push(spec(format!("{name}.norm.weight"), vec![output], Role::Scale));
            all.push(spec(format!("{name}.norm.bias"), vec![output], Role::Shift));
            all.push(spec(format!("{name}.norm.running_mean"), vec![output], Role::Running(0)));
            all.push(spec(format!("{name}.norm.running_var"), vec![output], Role::Running(1)));
        }
        all.push(spec("head.weight".into(), vec![Emotion::COUNT, self.channels[3]], Role::Kernel));
        all.push(spec("head.bias".into(), vec![Emotion::COUNT], Role::Shift));
        all
    }

    /// How many numbers are learned by gradient.
    pub fn parameters(&self) -> usize {
        let learned = self.tensors().into_iter().filter(|tensor| !matches!(tensor.role, Role::Running(_)));
        learned.map(|tensor| tensor.shape.iter().product::<usize>()).sum()
    }

    /// Multiply-adds for one picture of `size` x `size`.
    pub fn multiply_adds(&self, size: usize) -> usize {
        let mut side = size;
        let mut total = Emotion::COUNT * self.channels[3];
        for ConvSpec { name, input, output, kernel, stride } in self.convolutions() {
            // A block's skip reads what its first convolution reads, and ends at the side that the block has reached.
            if !name.ends_with("skip") {
                side = side.div_ceil(stride);
            }
            total += side * side * input * output * kernel * kernel;
        }
        total
    }

    /// Seeded starting values: kernels from a normal distribution with variance 2 / (values under the kernel)
    /// (He et al. 2015, <https://arxiv.org/abs/1502.01852>), scales 1, the rest 0.
    pub fn initial_tensors(&self, seed: u64) -> Result<Tensors> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut tensors = Tensors::new();
        for TensorSpec { name, shape, role } in self.tensors() {
            let count = shape.iter().product();
            let values = match role {
                Role::Kernel => {
                    let fan_in: usize = shape[1..].iter().product();
                    let normal = Normal::new(0.0, (2.0 / fan_in as f32).sqrt())?;
                    normal.sample_iter(&mut rng).take(count).collect()
                }
                Role::Scale | Role::Running(1) => vec![1.0; count],
                Role::Shift | Role::Running(_) => vec![0.0; count],
            };
            tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
        }
        Ok(tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_architecture_has_the_size_it_claims() {
        let weights = Architecture::default().parameters();
        assert!((1_150_000..1_250_000).contains(&weights), "{weights}");
        let multiply_adds = Architecture::default().multiply_adds(48);
        assert!((90_000_000..100_000_000).contains(&multiply_adds), "{multiply_adds}");
    }

    #[test]
    fn the_seed_decides_the_start() {
        let architecture = Architecture::default();
        let values = |seed| {
            let tensors = architecture.initial_tensors(seed).expect("tensors");
            tensors["stem.weight"].flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("values")
        };
        assert_eq!(values(1), values(1));
        assert_ne!(values(1), values(2));
    }
}
