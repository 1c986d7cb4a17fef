//! The file from which a run goes on: all of its state, and nothing else than its state.
//!
//! It is the one truth about a run. It is replaced as a whole, and the other files of the folder are made from it, so a run
//! may be killed between any two bytes. One JSON text holds what is not a tensor. Weights, their average and the moments of
//! the optimizer are f32 tensors; the best weights so far are kept as the bytes of their file. Paths are in the settings
//! alone, and times nowhere: two runs with the same settings write the same bytes.

use std::cmp::Ordering;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::TrainConfig;
use super::history::EpochRecord;
use crate::network::model::Tensors;
use crate::network::tensor_file::FileKind;
use crate::network::weights::{self, ModelCard};
use crate::system::files::{read_at_most, write_whole};

/// The version of the state that this program writes and reads.
const FORMAT: u32 = 2;

const FILE: FileKind =
    FileKind { name: "a checkpoint written by `emocam train`", key: "emocam_checkpoint", text: "run's state" };

/// The tensor that holds the bytes of the best weights' file.
const BEST: &str = "best";

/// The largest checkpoint that is read, in bytes: five times the largest weights file.
const MAX_FILE_SIZE: u64 = 5 * weights::MAX_FILE_SIZE;

/// What is not a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    pub(super) config: TrainConfig,
    /// The card of the weights, but for what each epoch puts in.
    pub(super) card: ModelCard,
    /// SHA-256 over pictures and targets in their order, which decides what each step sees; empty where it was not kept.
    #[serde(default)]
    pub(super) data_hash: String,
    /// The numbers of the pictures that the weights at the start learned from, as in weights files.
    pub(super) learned_before: Vec<u32>,
    /// Complete epochs.
    pub(super) history: Vec<EpochRecord>,
    pub(super) partial: Partial,
    pub(super) best: Option<Best>,
}

/// The epoch at hand, as far as it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Partial {
    /// Steps done.
    pub(super) steps: usize,
    /// Sum of their losses.
    pub(super) loss: f64,
    /// Pictures that were labelled right.
    pub(super) right: f64,
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    /// Counted from 1.
    pub(super) epoch: usize,
    /// The figure that it was chosen by; more is better.
    pub(super) score: f64,
    /// The loss on validation, which decides between equals: a small set has many.
    #[serde(default)]
    pub(super) loss: f64,
}

impl Best {
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        self.score > other.score || (self.score == other.score && self.loss < other.loss)
    }
}

impl State {
    /// The state before the first step.
    pub(super) fn new(config: TrainConfig, card: ModelCard, data_hash: String) -> Self {
        let learned_before = Vec::new();
        Self {
            format: FORMAT,
            config,
            card,
            data_hash,
            learned_before,
            history: Vec::new(),
            partial: Partial::default(),
            best: None,
        }
    }

    /// Gives the run so many epochs, whose learning rate is from the next step on that of a run with as many. The card says
    /// after which epoch this was done.
    ///
    /// # Errors
    /// When more are done.
    pub(super) fn set_epochs(&mut self, epochs: usize) -> Result<()> {
        let done = self.history.len();
        ensure!(epochs >= done, "--epochs {epochs}: the run has done {done} epochs; ask for as many or more");
        self.config.recipe.epochs = epochs;
        if let Some(Value::Object(training)) = &mut self.card.training {
            training.insert("recipe".into(), serde_json::to_value(&self.config.recipe)?);
            let changes = training.entry("changes").or_insert_with(|| Value::Array(Vec::new()));
            changes.as_array_mut().into_iter().for_each(|all| all.push(json!({ "after": done, "epochs": epochs })));
        }
        Ok(())
    }

    /// Whether there is nothing left to do: all epochs are done, or none was better for too long.
    pub(super) fn is_over(&self) -> bool {
        let recipe = &self.config.recipe;
        let waited = self.best.map_or(0, |best| self.history.len().saturating_sub(best.epoch));
        self.history.len() >= recipe.epochs || recipe.patience.is_some_and(|patience| waited >= patience)
    }

    fn check(&self) -> Result<()> {
        self.config.recipe.check()?;
        self.card.check()?;
        let (done, epochs) = (self.history.len(), self.config.recipe.epochs);
        ensure!(done <= epochs, "expected at most {epochs} complete epochs, found {done}");
        Ok(())
    }
}

/// A run at one moment.
#[derive(Clone, Debug)]
pub(super) struct Checkpoint {
    pub(super) state: State,
    /// Weights, average and moments, by names that `learner` chooses.
    pub(super) tensors: Tensors,
    /// The file of the best weights so far.
    pub(super) best: Option<Vec<u8>>,
}

impl Checkpoint {
    /// Writes the file, as a whole.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        write_whole(path, &self.to_bytes()?)
    }

    /// Reads the file. Nothing in it is trusted: it may be damaged or of another program.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> { Self::from_bytes(&read_at_most(path, MAX_FILE_SIZE)?) };
        read().with_context(|| format!("checkpoint {}", path.display()))
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = self.tensors.clone();
        if let Some(best) = &self.best {
            tensors.insert(BEST.into(), Tensor::from_slice(best, best.len(), &Device::Cpu)?);
        }
        FILE.to_bytes(&self.state, &tensors)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (state, mut tensors): (Value, _) = FILE.read(bytes)?;
        check_format(&state)?;
        let state: State = serde_json::from_value(state).context("the state of the run cannot be read")?;
        state.check().context("the state of the run")?;
        let best = tensors.remove(BEST).map(|best| best.to_vec1()).transpose().context("the best weights")?;
        for (name, tensor) in &tensors {
            ensure!(tensor.dtype() == DType::F32, "tensor {name}: expected f32, found {:?}", tensor.dtype());
        }
        ensure!(
            best.is_some() == state.best.is_some(),
            "expected {}, found one that lacks its best weights",
            FILE.name
        );
        Ok(Self { state, tensors, best })
    }
}

/// Refuses the state of another version before anything else of it is looked at.
fn check_format(state: &Value) -> Result<()> {
    let format = state.get("format").and_then(Value::as_u64).context("the state of the run: expected a format")?;
    match format.cmp(&u64::from(FORMAT)) {
        Ordering::Equal => Ok(()),
        Ordering::Less => bail!(
            "written by an older emocam (format {format}; this one reads {FORMAT}), which alone can go on with it: start \
             another run with --out"
        ),
        Ordering::Greater => bail!(
            "written by a newer emocam (format {format}; this one reads {FORMAT}): go on with that one, or start another \
             run with --out"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::network::model::Architecture;
    use crate::network::preprocess::InputSpec;
    use crate::plot::Epoch;
    use crate::train::config::{Init, Recipe};

    fn checkpoint() -> Checkpoint {
        let recipe = Recipe { epochs: 9, patience: Some(2), ..Recipe::default() };
        let (sources, watched) = (Vec::new(), Vec::new());
        let config = TrainConfig { sources, watched, init: Init::Scratch, recipe, adjusted: BTreeMap::new() };
        let mut card = ModelCard::new(Architecture::default(), InputSpec::default(), "test".into(), "0".into(), 3);
        card.training = Some(json!({ "recipe": config.recipe }));
        let mut state = State::new(config, card, "0".into());
        // Sums of this kind are what a parser of JSON may get wrong in the last digit.
        state.partial = Partial { steps: 3, loss: 0.1 + 0.2 + 1.0 / 3.0, right: 7.0 };
        state.best = Some(Best { epoch: 1, score: 1.0 / 3.0, loss: 0.7 });
        let tensor = Tensor::new(&[[1.5f32, f32::MIN_POSITIVE]], &Device::Cpu).expect("tensor");
        Checkpoint { state, tensors: Tensors::from([("a".into(), tensor)]), best: Some(vec![1, 2, 3]) }
    }

    #[test]
    fn what_is_saved_is_loaded_to_the_last_bit() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("checkpoint");
        checkpoint().save(&path).expect("save");
        let loaded = Checkpoint::load(&path).expect("load");
        assert_eq!((&loaded.state, &loaded.best), (&checkpoint().state, &checkpoint().best));
        assert_eq!(loaded.to_bytes().expect("bytes"), checkpoint().to_bytes().expect("bytes"));
    }

    #[test]
    fn states_that_cannot_be_are_refused() {
        let refusal = |bytes: &[u8]| format!("{:#}", Checkpoint::from_bytes(bytes).expect_err("should be refused"));
        let mut other = checkpoint();
        other.best = None;
        assert!(refusal(&other.to_bytes().expect("bytes")).contains("lacks its best weights"));
        let mut other = checkpoint();
        other.state.config.recipe.batch_size = 0;
        assert!(refusal(&other.to_bytes().expect("bytes")).contains("--batch-size"));
    }

    #[test]
    fn a_state_of_another_version_is_named_whatever_else_it_lacks() {
        let refusal = |state: Value| {
            let bytes = FILE.to_bytes(&state, &checkpoint().tensors).expect("bytes");
            format!("{:#}", Checkpoint::from_bytes(&bytes).expect_err("should be refused"))
        };
        let older = refusal(json!({ "format": FORMAT - 1 }));
        assert!(older.contains("an older emocam") && older.contains("--out"), "{older}");
        assert!(refusal(json!({ "format": FORMAT + 1 })).contains("a newer emocam"));
        assert!(refusal(json!({ "format": FORMAT })).contains("cannot be read: missing field"));
        assert!(refusal(json!({})).contains("expected a format"));
    }

    #[test]
    fn a_run_may_get_other_epochs_but_not_fewer_than_it_has_done() {
        let mut state = checkpoint().state;
        state.history = vec![EpochRecord { figures: Epoch::default(), watched: Vec::new(), timing: None }; 3];
        let error = state.set_epochs(2).expect_err("too few").to_string();
        assert!(error.contains("--epochs 2") && error.contains("done 3"), "{error}");
        state.set_epochs(12).expect("more");
        assert_eq!(state.config.recipe.epochs, 12);
        let training = state.card.training.expect("a record");
        assert_eq!((&training["recipe"]["epochs"], &training["changes"][0]["after"]), (&json!(12), &json!(3)));
    }

    #[test]
    fn of_two_equal_epochs_the_one_with_less_loss_is_better() {
        let best = |score, loss| Best { epoch: 1, score, loss };
        assert!(best(0.9, 0.5).is_better_than(&best(0.8, 0.1)));
        assert!(best(0.9, 0.4).is_better_than(&best(0.9, 0.5)));
        assert!(!best(0.9, 0.5).is_better_than(&best(0.9, 0.5)));
    }

    #[test]
    fn a_run_is_over_after_its_epochs_or_its_patience() {
        let mut state = checkpoint().state;
        let record = EpochRecord { figures: Epoch::default(), watched: Vec::new(), timing: None };
        for (epochs, over) in [(1, false), (2, false), (3, true)] {
            state.history = vec![record.clone(); epochs];
            assert_eq!(state.is_over(), over, "best epoch 1, patience 2, {epochs} done");
        }
        state.config.recipe.patience = None;
        assert!(!state.is_over());
        state.config.recipe.epochs = 3;
        assert!(state.is_over());
    }
}
