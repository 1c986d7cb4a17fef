//! Doors for tests/fuzz to what only a file reaches otherwise. No part of what the library offers.

use std::collections::HashMap;

use super::model::{Architecture, Tensors};
use super::preprocess::InputSpec;
use super::weights::{ModelCard, Weights};

/// Reads a weights file; whether it is one.
pub fn weights(bytes: &[u8]) -> bool {
    Weights::from_bytes(bytes).is_ok()
}

/// Reads a weights file with this card and the tensors of [`tiny_weights`]; whether they fit.
pub fn card(text: &str) -> bool {
    let text = HashMap::from([("emocam".to_owned(), text.to_owned())]);
    tiny().and_then(|(_, tensors)| Ok(safetensors::serialize(tensors, Some(text))?)).is_ok_and(|bytes| weights(&bytes))
}

/// The smallest weights file that there can be.
pub fn tiny_weights() -> Vec<u8> {
    let bytes = tiny().and_then(|(card, tensors)| Weights { card, tensors, learned_from: vec![1, 7] }.to_bytes());
    bytes.unwrap_or_default()
}

/// Its card.
pub fn tiny_card() -> String {
    tiny().and_then(|(card, _)| Ok(serde_json::to_string(&card)?)).unwrap_or_default()
}

fn tiny() -> anyhow::Result<(ModelCard, Tensors)> {
    let arch = Architecture { channels: [1; 4], blocks: [1; 3], ..Default::default() };
    let tensors = arch.initial_tensors(1)?;
    Ok((ModelCard::new(arch, InputSpec::default(), "fuzz".into(), "0".into(), 1), tensors))
}
