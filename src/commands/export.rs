//! `emocam export`: the network for other programs.

use anyhow::Result;
use emocam::network::onnx;

use crate::cli::Export;
use crate::view::tell;

/// Writes the network as it was asked for, and says what to do with it.
pub(super) fn run(arguments: &Export) -> Result<()> {
    let Export { file, weights, prior, force } = arguments;
    let written = onnx::export(weights.as_deref(), *prior, file, *force)?;
    tell::lines(&format!(
        "{0}: {1:.1} MB; takes grey crops of {2}x{2}, which `emocam help export` lays",
        file.display(),
        written.bytes as f64 / 1e6,
        written.size,
    ));
    Ok(())
}
