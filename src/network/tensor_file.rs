//! Tensors in a file with a text beside them: the form of weights and of checkpoints.
//!
//! A safetensors file. The text is JSON under one metadata key, since safetensors writes its keys in no order and the same
//! content must give the same file, byte for byte. What is read is not trusted, but for sizes, which whoever opens the file
//! bounds.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow};
use candle_core::Device;
use candle_core::safetensors::Load;
use safetensors::SafeTensors;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::network::model::Tensors;

/// A kind of file, in the words of its errors.
pub(crate) struct FileKind {
    /// What is expected, as in `a checkpoint written by emocam train`.
    pub(crate) name: &'static str,
    /// The metadata key of the text.
    pub(crate) key: &'static str,
    /// What the text is, as in `model card`.
    pub(crate) text: &'static str,
}

impl FileKind {
    /// The bytes of a file.
    pub(crate) fn to_bytes(&self, text: &impl Serialize, tensors: &Tensors) -> Result<Vec<u8>> {
        // Here and not while it is written, where candle panics if a GPU fails.
        let on_cpu = tensors.iter().map(|(name, tensor)| Ok((name, tensor.to_device(&Device::Cpu)?.contiguous()?)));
        let on_cpu = on_cpu.collect::<Result<Vec<_>>>()?;
        let text = HashMap::from([(self.key.to_owned(), serde_json::to_string(text)?)]);
        Ok(safetensors::serialize(on_cpu, Some(text))?)
    }

    /// Text and tensors, of whatever type, from the bytes of a file.
    ///
    /// # Errors
    /// When the file is damaged or of another kind; the message says what was expected and what was found.
    pub(crate) fn read<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<(T, Tensors)> {
        let Self { name, key, text } = self;
        let damaged = |error| anyhow!("expected {name}, found a damaged or other file ({error})");
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let found = metadata.metadata().as_ref().and_then(|map| map.get(*key));
        let found = found.with_context(|| format!("expected {name}, found one without a {text}"))?;
        let found = serde_json::from_str(found).with_context(|| format!("the {text} cannot be read"))?;
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        Ok((found, tensors_of(&file)?))
    }
}

/// All tensors of a file, of whatever type, on the CPU.
///
/// # Errors
/// When candle can't read one of them.
pub(crate) fn tensors_of(file: &SafeTensors<'_>) -> Result<Tensors> {
    file.iter().map(|(name, view)| Ok((name.to_owned(), view.load(&Device::Cpu)?))).collect()
}
