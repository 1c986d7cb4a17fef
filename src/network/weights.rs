//! Weights files: safetensors with a [`ModelCard`] inside.
//!
//! Owns saving, loading and refusing. Loading never trusts the file: its size is bounded before it is read, and card, names,
//! shapes and types must fit before anything is used.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::flow::emotion::Emotion;
use crate::network::calibration::{Calibration, ClassPrior, Prior};
use crate::network::model::{Architecture, ConvNorm, EmotionNet, Role, Tensors};
use crate::network::preprocess::InputSpec;
use crate::network::tensor_file::FileKind;
use crate::system::files::read_at_most;

/// The version of the card that this program writes and reads.
const FORMAT: u32 = 1;

const FILE: FileKind =
    FileKind { name: "a safetensors file written by `emocam train`", key: "emocam", text: "model card" };

/// The largest weights file that is read, in bytes; the default network takes 2.4 MB.
pub(crate) const MAX_FILE_SIZE: u64 = 256 * 1024 * 1024;

/// The weights inside the program, made by `emocam train`.
pub(crate) const EMBEDDED: &[u8] = include_bytes!("../../weights/emocam.safetensors");

/// What a weights file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Version of this card.
    pub format: u32,
    /// The network.
    pub arch: Architecture,
    /// Names of the outputs, in order.
    pub labels: Vec<String>,
    /// How a face becomes the network's input.
    pub input: InputSpec,
    /// What it was trained on, for people.
    pub dataset: String,
    /// SHA-256 over which picture was in which split.
    pub split_hash: String,
    /// The seed of weights, order, augmentation and dropout.
    pub seed: u64,
    /// What the trainer measured, by name, on validation.
    pub metrics: BTreeMap<String, f64>,
    /// What logits are divided by, fitted on validation.
    #[serde(default = "one")]
    pub temperature: f32,
    /// How often each emotion occurs in the training data and in what was learned.
    #[serde(default)]
    pub class_prior: Option<ClassPrior>,
    /// The prior that probabilities follow unless the user names another.
    #[serde(default)]
    pub prior: Prior,
    /// How it was trained: the recipe, and what the weights started from. For people; no weights depend on it.
    #[serde(default)]
    pub training: Option<serde_json::Value>,
}

fn one() -> f32 {
    1.0
}

impl ModelCard {
    /// A card of the current format for emocam's labels.
    pub fn new(arch: Architecture, input: InputSpec, dataset: String, split_hash: String, seed: u64) -> Self {
        let labels = Emotion::ALL.iter().map(ToString::to_string).collect();
        Self {
            format: FORMAT,
            arch,
            labels,
            input,
            dataset,
            split_hash,
            seed,
            metrics: BTreeMap::new(),
            temperature: 1.0,
            class_prior: None,
            prior: Prior::NATURAL,
            training: None,
        }
    }

    /// A warning where these weights, or some that they grew from, may have been trained on pictures that a split of the same
    /// data keeps for measuring.
    pub fn leak(&self, dataset: &str, split_hash: &str) -> Option<String> {
        let mut splits = vec![(self.dataset.as_str(), self.split_hash.as_str())];
        let mut step = self.training.as_ref();
        while let Some(training) = step {
            let sources = training.get("sources").and_then(Value::as_array).into_iter().flatten();
            splits.extend(sources.filter_map(split_of));
            let init = training.get("init").filter(|init| init.is_object());
            splits.extend(init.and_then(split_of));
            step = init.and_then(|init| init.get("training"));
        }
        splits.iter().any(|(name, hash)| *name == dataset && *hash != split_hash).then(|| {
            format!(
                "the weights were trained on another split of {dataset}: they may know pictures that are for validation or \
                 test here, and figures measured on those would be too high"
            )
        })
    }

    /// The prior that probabilities follow: the wanted one, else the card's own.
    ///
    /// # Errors
    /// When it is not the natural one and the card does not tell what that needs.
    pub fn prior_in_use(&self, wanted: Option<Prior>) -> Result<Prior> {
        let prior = wanted.unwrap_or(self.prior);
        ensure!(
            prior == Prior::NATURAL || self.class_prior.is_some(),
            "the {prior} prior needs weights that tell each class's share of their training data; these don't: \
             choose --prior natural, or train them anew"
        );
        Ok(prior)
    }

    /// How logits become probabilities: by the card's temperature, and by its prior unless another is wanted.
    pub fn calibration(&self, prior: Option<Prior>) -> Calibration {
        Calibration::new(self.temperature, prior.unwrap_or(self.prior), self.class_prior)
    }

    /// Refuses a card that this program can't use.
    ///
    /// # Errors
    /// When something in it does not fit; the message says what was expected and what was found.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.format == FORMAT, "model card: expected format {FORMAT}, found {}", self.format);
        let expected = Emotion::ALL.map(Emotion::name);
        ensure!(self.labels == expected, "labels: expected {}, found {}", expected.join(", "), self.labels.join(", "));
        ensure!(
            (0.05..=20.0).contains(&self.temperature),
            "model card: expected a temperature of 0.05 to 20, found {}",
            self.temperature
        );
        for shares in self.class_prior.iter().flat_map(|prior| [prior.data, prior.learned]) {
            let fit = shares.iter().all(|share| (0.0..=1.0).contains(share)) && shares.iter().any(|&share| share > 0.0);
            ensure!(fit, "model card: expected class shares of 0 to 1, found {shares:?}");
        }
        self.arch.check()?;
        self.input.check()
    }
}

/// A card and the tensors that it describes, checked against each other.
#[derive(Clone, Debug)]
pub struct Weights {
    /// What the file says of itself.
    pub card: ModelCard,
    /// The tensors, on the CPU, batch norm not folded.
    pub tensors: Tensors,
    /// A number for each picture that they and their ancestors learned from, ascending, by which a leak is found whatever a
    /// data set is called; none where that was not kept. A picture can't be made of it.
    pub learned_from: Vec<u32>,
}

/// The name of a data set and the hash of its split, in a part of a card.
fn split_of(record: &Value) -> Option<(&str, &str)> {
    let text = |key| record.get(key).and_then(Value::as_str);
    text("dataset").zip(text("split_hash"))
}

/// The tensor that holds [`Weights::learned_from`].
const LEARNED_FROM: &str = "learned_from";

impl Weights {
    /// The weights inside the program.
    ///
    /// # Errors
    /// Never in a program that passed its tests.
    pub fn embedded() -> Result<Self> {
        Self::from_bytes(EMBEDDED).context("the embedded weights")
    }

    /// Reads a weights file.
    ///
    /// # Errors
    /// When the file can't be read, is damaged, or is not for this program; the message names the file, what was expected
    /// and what was found.
    pub fn load(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> { Self::from_bytes(&read_at_most(path, MAX_FILE_SIZE)?) };
        read().with_context(|| format!("weights file {}", path.display()))
    }

    /// The SHA-256 of a file of weights, of the one inside the program where there is no path.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn sha256(path: Option<&Path>) -> Result<String> {
        let Some(path) = path else { return Ok(hex::encode(Sha256::digest(EMBEDDED))) };
        let bytes = read_at_most(path, MAX_FILE_SIZE).with_context(|| format!("weights file {}", path.display()))?;
        Ok(hex::encode(Sha256::digest(bytes)))
    }

    /// The weights in the bytes of a file.
    ///
    /// # Errors
    /// As [`Self::load`], without the name of a file.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (card, mut tensors): (ModelCard, Tensors) = FILE.read(bytes)?;
        card.check()?;
        let learned_from = tensors.remove(LEARNED_FROM).map(|tensor| tensor.to_vec1::<u32>()).transpose();
        let learned_from = learned_from.with_context(|| format!("tensor {LEARNED_FROM}"))?.unwrap_or_default();
        for (name, tensor) in &mut tensors {
            match tensor.dtype() {
                DType::F32 => {}
                DType::F16 => *tensor = tensor.to_dtype(DType::F32)?,
                other => bail!("tensor {name}: expected f32 or f16, found {other:?}"),
            }
            let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                bail!("tensor {name}: expected finite numbers, found {value}");
            }
            if name.ends_with("running_var")
                && let Some(value) = values.iter().find(|value| **value < 0.0)
            {
                bail!("tensor {name}: expected variances, which are not negative, found {value}");
            }
        }
        let weights = Self { card, tensors, learned_from };
        weights.net()?;
        Ok(weights)
    }

    /// The network in its learning form.
    ///
    /// # Errors
    /// When the tensors don't fit the card's architecture.
    pub fn net(&self) -> Result<EmotionNet<ConvNorm>> {
        EmotionNet::new(&self.card.arch, &self.tensors)
    }

    /// How many of these pictures they learned from, by the numbers of pictures; about one in 100,000 is one by chance.
    pub fn known(&self, numbers: impl IntoIterator<Item = u32>) -> usize {
        numbers.into_iter().filter(|number| self.learned_from.binary_search(number).is_ok()).count()
    }

    /// The file, byte for byte: the same weights give the same bytes. Kernels are kept in half precision, which takes half
    /// of the room and moves no probability by a thousandth; what little the rest takes keeps single precision.
    ///
    /// # Errors
    /// When the device fails.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = self.tensors.clone();
        for spec in self.card.arch.tensors().iter().filter(|spec| spec.role == Role::Kernel) {
            if let Some(kernel) = tensors.get_mut(&spec.name) {
                *kernel = kernel.to_dtype(DType::F16)?;
            }
        }
        if !self.learned_from.is_empty() {
            let numbers = Tensor::from_slice(&self.learned_from, self.learned_from.len(), &Device::Cpu)?;
            tensors.insert(LEARNED_FROM.into(), numbers);
        }
        FILE.to_bytes(&self.card, &tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::preprocess::Alignment;

    fn weights() -> Weights {
        let arch = Architecture { channels: [2, 3, 4, 5], ..Default::default() };
        let tensors = arch.initial_tensors(3).expect("tensors");
        let card = ModelCard::new(arch, InputSpec::default(), "test".into(), "0".into(), 3);
        Weights { card, tensors, learned_from: vec![1, 7, u32::MAX] }
    }

    fn refusal(bytes: &[u8]) -> String {
        format!("{:#}", Weights::from_bytes(bytes).expect_err("should be refused"))
    }

    #[test]
    fn what_is_written_is_read_and_the_same_weights_give_the_same_bytes() {
        let bytes = weights().to_bytes().expect("bytes");
        let read = Weights::from_bytes(&bytes).expect("weights");
        assert_eq!((&read.card, &read.learned_from), (&weights().card, &weights().learned_from));
        assert_eq!(read.known([7, 8, 1]), 2);
        assert_eq!(read.to_bytes().expect("bytes"), bytes);
    }

    #[test]
    fn damaged_and_foreign_files_are_refused_with_what_was_expected_and_found() {
        let bytes = weights().to_bytes().expect("bytes");
        for end in [0, 7, 8, 100, bytes.len() - 1] {
            assert!(refusal(&bytes[..end]).contains("expected a safetensors file"), "cut at {end}");
        }
        assert!(refusal(b"not weights at all").contains("expected a safetensors file"));
        let plain = safetensors::serialize(Vec::<(&str, Tensor)>::new(), None).expect("plain");
        assert!(refusal(&plain).contains("without a model card"));

        let refused_for = |change: fn(&mut Weights), words: &str| {
            let mut other = weights();
            change(&mut other);
            let message = refusal(&other.to_bytes().expect("bytes"));
            assert!(message.contains(words), "{message}");
        };
        refused_for(|other| other.card.labels.swap(0, 1), "expected Anger, Disgust");
        refused_for(|other| other.card.arch.channels[2] += 1, "expected shape [5, 3, 3, 3], found [4, 3, 3, 3]");
        refused_for(|other| other.card.arch.family = "transformer".into(), "found \"transformer\"");
        let set_nan = |other: &mut Weights| {
            let nan = Tensor::new(&[f32::NAN; 7], &Device::Cpu).expect("tensor");
            other.tensors.insert("head.bias".into(), nan);
        };
        refused_for(set_nan, "finite");
    }

    #[test]
    fn a_card_that_does_not_say_how_its_crops_are_laid_has_them_by_points() {
        let card = weights().card;
        let text = serde_json::to_string(&card).expect("a card");
        let read = |said: &str| serde_json::from_str::<ModelCard>(&text.replace("\"alignment\":\"points\",", said));
        assert_eq!(read("").expect("a card of before"), card);
        assert_eq!(read("\"alignment\":\"box\",").expect("a card").input.alignment, Alignment::Box);
        let error = read("\"alignment\":\"ears\",").expect_err("what this program can't do").to_string();
        assert!(error.contains("unknown variant `ears`, expected `box` or `points`"), "{error}");
    }

    #[test]
    fn a_leak_is_found_in_what_the_weights_grew_from() {
        let mut card = weights().card;
        card.training = Some(serde_json::json!({
            "sources": [{ "dataset": "web", "split_hash": "w" }],
            "init": { "dataset": "FER+", "split_hash": "f", "training": { "init": { "dataset": "old", "split_hash": "o" } } },
        }));
        for (dataset, hash) in [("test", "0"), ("web", "w"), ("FER+", "f"), ("old", "o")] {
            assert_eq!(card.leak(dataset, hash), None, "{dataset}");
            assert!(card.leak(dataset, "other").is_some(), "{dataset}");
        }
        assert_eq!(card.leak("unknown", "x"), None);
    }

    #[test]
    fn the_balanced_prior_needs_the_classes_shares_and_a_wish_overrides_the_card() {
        let mut card = weights().card;
        assert_eq!(card.prior_in_use(None).expect("natural"), Prior::NATURAL);
        let message = card.prior_in_use(Some(Prior::BALANCED)).expect_err("no shares").to_string();
        assert!(message.contains("choose --prior natural"), "{message}");
        card.prior = Prior::BALANCED;
        card.prior_in_use(None).expect_err("no shares");
        assert_eq!(card.prior_in_use(Some(Prior::NATURAL)).expect("natural"), Prior::NATURAL);
        card.class_prior = Some(ClassPrior { data: [0.1; Emotion::COUNT], learned: [0.1; Emotion::COUNT] });
        assert_eq!(card.prior_in_use(None).expect("shares"), Prior::BALANCED);
    }
}
