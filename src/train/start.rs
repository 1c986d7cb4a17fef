//! What weights start from: random numbers, or weights that have learned before.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::config::{Init, Recipe};
use super::options::RecipeOptions;
use crate::network::model::{Architecture, Tensors};
use crate::network::preprocess::InputSpec;
use crate::network::weights::{self, ModelCard, Weights};
use crate::system::files::read_at_most;

/// Tensors to start from, and what fits them.
pub(super) struct Start {
    pub(super) arch: Architecture,
    pub(super) input: InputSpec,
    pub(super) tensors: Tensors,
    /// The card of the weights that these are.
    pub(super) parent: Option<Parent>,
}

/// Weights that have learned before.
pub(super) struct Parent {
    /// For people: which ones.
    pub(super) name: String,
    pub(super) card: ModelCard,
    /// As [`Weights::learned_from`].
    pub(super) learned_from: Vec<u32>,
    /// SHA-256 of the file, in hexadecimal.
    sha256: String,
}

impl Start {
    /// What was asked for. Options that shape the network are only for one from scratch, which has nothing to keep.
    pub(super) fn open(init: &Init, options: &RecipeOptions, recipe: &Recipe) -> Result<Self> {
        ensure!(
            !options.names_network() || *init == Init::Scratch,
            "--channels and --blocks are for a network from scratch: add --init none, or leave the network as it is"
        );
        ensure!(
            !recipe.freeze || *init != Init::Scratch,
            "--freeze keeps what was learned before, and a network from scratch has learned nothing: leave out --freeze or \
             --init none"
        );
        match init {
            Init::Scratch => {
                let arch = options.network(Architecture::default());
                arch.check()?;
                Ok(Self {
                    tensors: arch.initial_tensors(recipe.seed)?,
                    arch,
                    input: InputSpec::default(),
                    parent: None,
                })
            }
            Init::Shipped => Self::learned("the weights inside the program".into(), weights::EMBEDDED),
            Init::File(path) => read_at_most(path, weights::MAX_FILE_SIZE)
                .and_then(|file| Self::learned(path.display().to_string(), &file))
                .with_context(|| format!("--init {}", path.display())),
        }
    }

    fn learned(name: String, file: &[u8]) -> Result<Self> {
        let Weights { card, tensors, learned_from } = Weights::from_bytes(file)?;
        let sha256 = hex::encode(Sha256::digest(file));
        let (arch, input) = (card.arch.clone(), card.input.clone());
        Ok(Self { arch, input, tensors, parent: Some(Parent { name, card, learned_from, sha256 }) })
    }

    /// For people: what this is.
    pub(super) fn describe(&self) -> String {
        let Architecture { family, channels, blocks } = &self.arch;
        let network = format!("{family} network of {channels:?} channels and {blocks:?} blocks");
        match &self.parent {
            Some(parent) => format!("fine-tuning {}, a {network} trained on {}", parent.name, parent.card.dataset),
            None => format!("training a {network} from scratch"),
        }
    }

    /// For the card of what comes of it: where the weights come from, without the name of a file.
    pub(super) fn record(&self) -> Value {
        self.parent.as_ref().map_or(Value::Null, |Parent { card, sha256, .. }| {
            let training = card
                .training
                .as_ref()
                .map(|training| json!({ "init": training.get("init"), "sources": training.get("sources") }));
            json!({
                "sha256": sha256,
                "dataset": card.dataset,
                "split_hash": card.split_hash,
                "seed": card.seed,
                "training": training
            })
        })
    }

    /// A warning where the weights may have been trained on pictures that this data set keeps for measuring.
    pub(super) fn leak(&self, dataset: &str, split_hash: &str) -> Option<String> {
        let leak = self.parent.as_ref()?.card.leak(dataset, split_hash)?;
        Some(format!("{leak}; --init none avoids it"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::tests::options;
    use super::*;

    #[test]
    fn weights_bring_their_network_and_their_record() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("w.safetensors");
        std::fs::write(&path, weights::EMBEDDED).expect("file");
        let open = |init: &Init, wish: &str| {
            let options = options(wish).expect("options");
            Start::open(init, &options, &options.applied_to(Recipe::fine_tuning())?)
        };
        let start = open(&Init::File(path.clone()), "").expect("a start");
        let shipped = open(&Init::Shipped, "--freeze").expect("a start");
        assert_eq!((start.record(), &start.arch), (shipped.record(), &shipped.arch));
        assert!(!start.record().to_string().contains("w.safetensors"));
        let card = &shipped.parent.as_ref().expect("weights").card;
        assert_eq!(start.leak(&card.dataset, &card.split_hash), None);
        assert!(start.leak(&card.dataset, "other").expect("a warning").contains("another split"));

        let refusal = |init, wish: &str| format!("{:#}", open(&init, wish).err().expect("refused"));
        assert!(refusal(Init::Scratch, "--freeze").contains("--freeze"));
        assert!(refusal(Init::Shipped, "--channels 1,1,1,1").contains("--init none"));
        std::fs::write(&path, "no weights").expect("file");
        assert!(refusal(Init::File(path), "").contains("w.safetensors: expected a safetensors file"));
    }
}
