//! A network that learns: its variables, their average, the optimizer, and what one step does to them.

use anyhow::{Context, Result};
use candle_core::{D, DType, Device, Tensor, Var};
use rand::RngExt;

use super::batches::{Batch, Stream, random};
use super::config::Recipe;
use super::figures::Figures;
use crate::flow::emotion::Emotion;
use crate::network::device::is_gpu;
use crate::network::model::{ConvNorm, EmotionNet, FoldedConv, Role, Tensors};
use crate::network::weights::ModelCard;
use crate::train::optim::{AdamW, Average, Group, Schedule, average_decay};

/// The tensors of the last layer, which learn at the full rate.
const HEAD: &str = "head.";

/// The kinds of tensors in a checkpoint, as the first part of their names.
const VARIABLE: &str = "variable";
const AVERAGE: &str = "average";
const MEAN: &str = "mean";
const SQUARE: &str = "square";

/// A network that learns.
pub(super) struct Learner {
    recipe: Recipe,
    net: EmotionNet<ConvNorm>,
    /// What gives the features where only the last layer learns: normalized by the running statistics, without gradients.
    frozen: Option<EmotionNet<FoldedConv>>,
    /// Every tensor of the network, in the architecture's order.
    variables: Vec<(String, Var)>,
    /// Of those variables that move, in the same order.
    average: Average,
    /// The names of those variables that the optimizer moves, in its order.
    learned: Vec<String>,
    optimizer: AdamW,
    pub(super) schedule: Schedule,
    class_weights: Tensor,
    /// What the steps came to.
    pub(super) figures: Figures,
    size: usize,
    device: Device,
}

/// Whether a tensor of the network changes at all.
fn moves(recipe: &Recipe, name: &str) -> bool {
    !recipe.freeze || name.starts_with(HEAD)
}

impl Learner {
    /// A learner that starts from tensors, for a run of this many steps.
    pub(super) fn new(
        card: &ModelCard,
        start: &Tensors,
        recipe: &Recipe,
        class_weights: [f32; Emotion::COUNT],
        steps: usize,
        device: &Device,
    ) -> Result<Self> {
        let mut variables = Vec::new();
        let (mut learned, mut groups) = (Vec::new(), Vec::new());
        for spec in card.arch.tensors() {
            let tensor = start.get(&spec.name).with_context(|| format!("tensor {}: not there", spec.name))?;
            let variable = Var::from_tensor(&tensor.to_device(device)?)?;
            let weight_decay = match spec.role {
                Role::Kernel => Some(recipe.weight_decay),
                Role::Scale | Role::Shift => Some(0.0),
                Role::Running(_) => None,
            };
            if let Some(weight_decay) = weight_decay
                && moves(recipe, &spec.name)
            {
                let rate_factor = if spec.name.starts_with(HEAD) { 1.0 } else { recipe.body_rate };
                groups.push((variable.clone(), Group { weight_decay, rate_factor }));
                learned.push(spec.name.clone());
            }
            variables.push((spec.name, variable));
        }
        let tensors = variables.iter().map(|(name, variable)| (name.clone(), variable.as_tensor().clone())).collect();
        let Recipe { schedule, learning_rate, warm_up, .. } = *recipe;
        let net = EmotionNet::new(&card.arch, &tensors)?;
        let moving = variables.iter().filter(|(name, _)| moves(recipe, name));
        Ok(Self {
            frozen: recipe.freeze.then(|| net.fold(device)).transpose()?,
            net,
            average: Average::new(moving.map(|(_, variable)| variable.clone()))?,
            optimizer: AdamW::new(groups)?,
            schedule: Schedule { shape: schedule, top: learning_rate, warm_up, steps },
            class_weights: Tensor::new(&class_weights, device)?,
            figures: Figures::new(device),
            size: card.input.size,
            device: device.clone(),
            recipe: recipe.clone(),
            variables,
            learned,
        })
    }

    /// Goes on from the tensors of a checkpoint after `step` steps, but for the variables, which it started from.
    pub(super) fn restore(&mut self, step: usize, tensors: &Tensors) -> Result<()> {
        let get = |kind: &str, name: &str| -> Result<Tensor> {
            let name = format!("{kind}.{name}");
            let tensor = tensors.get(&name).with_context(|| format!("tensor {name}: not in the checkpoint"))?;
            Ok(tensor.to_device(&self.device)?)
        };
        let average: Vec<Tensor> = self.moving().map(|name| get(AVERAGE, name)).collect::<Result<_>>()?;
        let moments = self.learned.iter().map(|name| Ok([get(MEAN, name)?, get(SQUARE, name)?]));
        let moments = moments.collect::<Result<_>>()?;
        self.average.restore(&average)?;
        Ok(self.optimizer.restore(step, moments)?)
    }

    /// The variables in the tensors of a checkpoint.
    pub(super) fn variables_of(tensors: &Tensors) -> Tensors {
        let name = |name: &String| Some(name.strip_prefix(VARIABLE)?.strip_prefix('.')?.to_owned());
        tensors.iter().filter_map(|(key, tensor)| Some((name(key)?, tensor.clone()))).collect()
    }

    /// All tensors that a checkpoint needs.
    pub(super) fn tensors(&self) -> Result<Tensors> {
        let mut all = Tensors::new();
        let mut put = |kind: &str, name: &str, tensor: Tensor| {
            all.insert(format!("{kind}.{name}"), tensor);
        };
        for (name, variable) in &self.variables {
            put(VARIABLE, name, variable.as_detached_tensor());
        }
        for (name, average) in self.moving().zip(self.average.tensors()?) {
            put(AVERAGE, name, average);
        }
        for (name, [mean, square]) in self.learned.iter().zip(self.optimizer.moments()?) {
            put(MEAN, name, mean);
            put(SQUARE, name, square);
        }
        Ok(all)
    }

    /// The averaged weights: what is validated and kept. What does not move is as it was, to the last bit.
    pub(super) fn averaged(&self) -> Result<Tensors> {
        let variables = self.variables.iter();
        let mut all: Tensors =
            variables.map(|(name, variable)| (name.clone(), variable.as_detached_tensor())).collect();
        all.extend(self.moving().cloned().zip(self.average.tensors()?));
        Ok(all)
    }

    /// The names of the variables that have an average, in its order.
    fn moving(&self) -> impl Iterator<Item = &String> {
        self.variables.iter().map(|(name, _)| name).filter(|name| moves(&self.recipe, name))
    }

    /// What of the weights is not a number any more.
    pub(super) fn divergence(&self) -> Result<Option<String>> {
        for (name, variable) in &self.variables {
            let values: Vec<f32> = variable.flatten_all()?.to_vec1()?;
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Ok(Some(format!("the tensor {name} has a value of {value}")));
            }
        }
        Ok(None)
    }

    /// One step of the run, counted from 0. Returns what is not a number any more, if that was seen.
    pub(super) fn step(&mut self, batch: Batch, step: usize) -> Result<Option<String>> {
        let count = batch.targets.len() / Emotion::COUNT;
        let inputs = Tensor::from_vec(batch.inputs, (count, 1, self.size, self.size), &self.device)?;
        let targets = Tensor::from_vec(batch.targets, (count, Emotion::COUNT), &self.device)?;
        let features = match &self.frozen {
            Some(body) => body.features(&inputs)?,
            None => self.net.features(&inputs)?,
        };
        let mask = self.dropout_mask(features.dims(), step)?;
        let logits = self.net.head(&(features * mask)?)?;
        let smoothing = self.recipe.label_smoothing;
        let smooth = ((&targets * (1.0 - smoothing))? + smoothing / Emotion::COUNT as f64)?;
        let log_probabilities = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
        let loss = (smooth * log_probabilities)?.broadcast_mul(&self.class_weights)?.sum(1)?.mean(0)?.neg()?;
        let right = logits.argmax(1)?.eq(&targets.argmax(1)?)?.to_dtype(DType::F32)?.sum_all()?;
        if let Some(loss) = self.figures.add(&loss, &right)? {
            return Ok(Some(format!("the loss is {loss}")));
        }
        self.optimizer.step(&loss.backward()?, self.schedule.at(step))?;
        self.net.remember_statistics()?;
        self.average.follow(average_decay(step, self.recipe.ema_decay))?;
        // A rectification may turn what is no number into 0, so the loss alone does not tell. On a GPU this would wait for each
        // step; there it is seen at the end of the epoch.
        if is_gpu(&self.device) { Ok(None) } else { self.divergence() }
    }

    /// Zeros with the chance of dropout, else what keeps the mean (Srivastava et al. 2014,
    /// <https://jmlr.org/papers/v15/srivastava14a.html>).
    fn dropout_mask(&self, shape: &[usize], step: usize) -> Result<Tensor> {
        let mut rng = random(self.recipe.seed, Stream::Dropout, step);
        let dropout = self.recipe.dropout as f32;
        let keep = 1.0 / (1.0 - dropout);
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|_| if rng.random::<f32>() < dropout { 0.0 } else { keep }).collect();
        Ok(Tensor::from_vec(values, shape, &self.device)?)
    }
}
