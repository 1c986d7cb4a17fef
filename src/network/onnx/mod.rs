//! The network as an ONNX file, for programs that are not emocam: in a browser, on a phone, in another language.
//!
//! Owns the graph, which goes from the grey values of a crop to the probabilities that the program would give, and what the
//! file says of itself. `graph` has ONNX's parts, `wire` how they are written. How a crop is laid is no part of the graph:
//! `emocam help export` tells it.

mod graph;
mod wire;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};

use self::graph::{Attribute, Graph, value};
use self::wire::Message;
use crate::flow::emotion::Emotion;
use crate::network::calibration::Prior;
use crate::network::model::{ConvNorm, EmotionNet};
use crate::network::preprocess::{Alignment, InputSpec, Normalization};
use crate::network::weights::Weights;
use crate::system::files::{identity, write_new, write_whole};

/// The version of ONNX's format. Runtimes of 2022 read it, and those of today do.
const IR_VERSION: u64 = 8;

/// The version of ONNX's operations, of the same year.
const OPSET: u64 = 17;

/// What an exported network is, for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The side of the crops that it takes.
    pub size: usize,
    /// The length of its file.
    pub bytes: usize,
}

/// Writes a network as an ONNX file: that of a weights file, or without one that inside the program. What its probabilities
/// follow is the weights' own prior unless another is named.
///
/// # Errors
/// When the weights can't be read or don't fit, don't tell what the prior needs, or the file can't be written; without
/// `overwrite` also when it is there already. Weights are never overwritten.
pub fn export(weights: Option<&Path>, prior: Option<Prior>, to: &Path, overwrite: bool) -> Result<Exported> {
    let name = to.display();
    ensure!(!to.is_dir(), "{name} can't be written: it is a folder");
    // A link that leads nowhere is there, too.
    ensure!(overwrite || to.symlink_metadata().is_err(), "{name} exists already (--force overwrites it)");
    let is_input = weights.and_then(identity).is_some_and(|input| identity(to) == Some(input));
    ensure!(!is_input, "{name} is the weights file itself: choose another output");
    let hash = Weights::sha256(weights)?;
    let is_own = hash == Weights::sha256(None)?;
    let weights = weights.map_or_else(Weights::embedded, Weights::load)?;
    let prior = weights.card.prior_in_use(prior)?;
    let bytes = model(&weights, prior, &hash, is_own)?.into_bytes();
    if overwrite { write_whole(to, &bytes) } else { write_new(to, &bytes) }?;
    Ok(Exported { size: weights.card.input.size, bytes: bytes.len() })
}

/// The whole file.
fn model(weights: &Weights, prior: Prior, hash: &str, is_own: bool) -> Result<Message> {
    let card = &weights.card;
    let mut properties = vec![
        ("labels", card.labels.join(",")),
        ("preprocessing", preprocessing(&card.input)),
        ("input", serde_json::to_string(&card.input).context("the model card's input")?),
        ("temperature", card.temperature.to_string()),
        ("prior", prior.to_string()),
        ("dataset", card.dataset.clone()),
        ("weights_sha256", hash.to_owned()),
    ];
    if is_own {
        // Of other weights nothing is known.
        properties.push(("licence", env!("CARGO_PKG_LICENSE").to_owned()));
    }
    let properties: Vec<Message> =
        properties.iter().map(|(key, value)| Message::default().bytes(1, key).bytes(2, value)).collect();
    let head = Message::default()
        .number(1, IR_VERSION)
        .bytes(2, "emocam")
        .bytes(3, env!("CARGO_PKG_VERSION"))
        .bytes(6, "What a face expresses. It reads expressions, not feelings; `emocam help export` says how to use it.")
        .message(8, &Message::default().number(2, OPSET));
    Ok(head.messages(14, &properties).message(7, &network(weights, prior)?))
}

/// From a crop to probabilities.
fn network(weights: &Weights, prior: Prior) -> Result<Message> {
    let (card, net, mut graph) = (&weights.card, weights.net()?, Graph::default());
    let x = normalized(&mut graph, &card.input)?;
    let features = features(&mut graph, &net, &x)?;
    let weight = graph.tensor("head.weight".into(), &net.head_weight)?;
    let bias = graph.tensor("head.bias".into(), &net.head_bias)?;
    graph.node("Gemm", &[&features, &weight, &bias], "logits", &[Attribute::Number("transB", 1)]);
    let shift = card.calibration(Some(prior)).shifted(&[0.0; Emotion::COUNT]);
    let shift = graph.tensor("prior".into(), &Tensor::new(&shift, &Device::Cpu)?)?;
    let temperature = graph.tensor("temperature".into(), &Tensor::new(card.temperature, &Device::Cpu)?)?;
    let shifted = graph.node("Add", &["logits", &shift], "shifted", &[]);
    let scaled = graph.node("Div", &[&shifted, &temperature], "scaled", &[]);
    graph.node("Softmax", &[&scaled], "probabilities", &[]);
    let (size, count) = (card.input.size, Emotion::COUNT);
    let image = value("image", &[1, size, size], &preprocessing(&card.input));
    let probabilities = value("probabilities", &[count], "of each label, in their order; they sum to 1");
    let logits = value("logits", &[count], "what they are made of, before prior and temperature");
    Ok(graph.into_message("emocam", &[image], &[probabilities, logits]))
}

/// As `preprocess` does it: mean 0 and deviation 1 of each crop.
fn normalized(graph: &mut Graph, spec: &InputSpec) -> Result<String> {
    let Normalization::PerCrop { least_deviation } = spec.normalization;
    let least = graph.tensor("least_deviation".into(), &Tensor::new(least_deviation, &Device::Cpu)?)?;
    let of_crop = || [Attribute::Numbers("axes", &[2, 3]), Attribute::Number("keepdims", 1)];
    let mean = graph.node("ReduceMean", &["image"], "mean", &of_crop());
    let centred = graph.node("Sub", &["image", &mean], "centred", &[]);
    let squares = graph.node("Mul", &[&centred, &centred], "squares", &[]);
    let variance = graph.node("ReduceMean", &[&squares], "variance", &of_crop());
    let deviation = graph.node("Sqrt", &[&variance], "deviation", &[]);
    let divisor = graph.node("Max", &[&deviation, &least], "divisor", &[]);
    Ok(graph.node("Div", &[&centred, &divisor], "normalized", &[]))
}

/// As [`EmotionNet::features`], with batch norm folded into the convolutions.
fn features(graph: &mut Graph, net: &EmotionNet<ConvNorm>, x: &str) -> Result<String> {
    let x = convolution(graph, &net.stem, x)?;
    let x = rectified(graph, &x);
    let x = convolution(graph, &net.down, &x)?;
    let mut x = rectified(graph, &x);
    for block in &net.blocks {
        let y = convolution(graph, &block.first, &x)?;
        let y = rectified(graph, &y);
        let y = convolution(graph, &block.second, &y)?;
        let way_around = block.skip.as_ref().map(|skip| convolution(graph, skip, &x)).transpose()?;
        let sum = graph.node("Add", &[&y, way_around.as_ref().unwrap_or(&x)], &format!("{y}.sum"), &[]);
        x = rectified(graph, &sum);
    }
    let means = graph.node("GlobalAveragePool", &[&x], "means", &[]);
    Ok(graph.node("Flatten", &[&means], "features", &[Attribute::Number("axis", 1)]))
}

fn convolution(graph: &mut Graph, layer: &ConvNorm, x: &str) -> Result<String> {
    let (name, stride) = (&layer.name, layer.stride);
    let (kernel, bias) = layer.folded()?;
    let padding = kernel.dim(3)? / 2;
    let kernel = graph.tensor(format!("{name}.weight"), &kernel)?;
    let bias = graph.tensor(format!("{name}.bias"), &bias)?;
    let form = [Attribute::Numbers("strides", &[stride; 2]), Attribute::Numbers("pads", &[padding; 4])];
    Ok(graph.node("Conv", &[x, &kernel, &bias], name, &form))
}

fn rectified(graph: &mut Graph, x: &str) -> String {
    graph.node("Relu", &[x], &format!("{x}.rectified"), &[])
}

/// What the graph expects, for people.
fn preprocessing(spec: &InputSpec) -> String {
    let InputSpec { size, alignment, crop_margin, .. } = spec;
    let laid = match alignment {
        Alignment::Points => "laid by eyes and mouth, where these are known, so that it is upright and of one size",
        Alignment::Box => "laid by the face's box",
    };
    format!(
        "Grey values from 0 to 255, 0.299 R + 0.587 G + 0.114 B, of a crop of one face, {size}x{size}, {laid}, else \
         {crop_margin} times as wide as the box of the face. The graph normalizes them by itself. `emocam help export` has \
         the rest."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::model::Architecture;
    use crate::network::weights::ModelCard;

    fn small() -> Weights {
        let arch = Architecture { channels: [2, 3, 4, 5], ..Default::default() };
        let tensors = arch.initial_tensors(3).expect("tensors");
        let card = ModelCard::new(arch, InputSpec::default(), "test".into(), "0".into(), 3);
        Weights { card, tensors, learned_from: Vec::new() }
    }

    #[test]
    fn a_file_is_written_once_and_never_over_the_weights() {
        let folder = tempfile::tempdir().expect("a folder");
        let [weights, to] = ["weights.safetensors", "net.onnx"].map(|name| folder.path().join(name));
        let bytes = small().to_bytes().expect("bytes");
        std::fs::write(&weights, &bytes).expect("a file");
        let export = |to: &Path, overwrite| export(Some(&weights), None, to, overwrite);
        let refusal = |to: &Path, overwrite| format!("{:#}", export(to, overwrite).expect_err("refused"));
        let written = export(&to, false).expect("written");
        assert_eq!(written.size, 48);
        let first = std::fs::read(&to).expect("the file");
        assert_eq!(written.bytes, first.len());
        assert!(refusal(&to, false).contains("exists already (--force overwrites it)"));
        std::fs::write(&to, "other").expect("a file");
        export(&to, true).expect("overwritten");
        assert_eq!(std::fs::read(&to).expect("the file"), first, "the same bytes again");
        assert!(refusal(&weights, true).contains("the weights file itself"));
        assert!(refusal(folder.path(), true).contains("it is a folder"));
        assert!(refusal(&folder.path().join("no/net.onnx"), true).contains("cannot write"));
        assert_eq!(std::fs::read(&weights).expect("the weights"), bytes);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 2, "nothing else is left");
    }

    #[test]
    fn only_weights_of_the_program_have_its_licence() {
        let weights = small();
        let has = |is_own, word: &str| {
            let bytes = model(&weights, Prior::NATURAL, "abc", is_own).expect("a model").into_bytes();
            bytes.windows(word.len()).any(|bytes| bytes == word.as_bytes())
        };
        assert!(has(true, "MIT OR Apache-2.0") && !has(false, "MIT OR Apache-2.0") && has(false, "weights_sha256"));
    }
}
