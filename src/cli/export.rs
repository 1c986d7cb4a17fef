//! Arguments of `emocam export`.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use emocam::network::calibration::Prior;

/// `emocam export`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam export emocam.onnx                        the network inside emocam
  emocam export mine.onnx --weights runs/mine/best.safetensors
  emocam help export                               how to use it elsewhere")]
pub(crate) struct Export {
    /// Write the network here; FILE ends in .onnx
    #[arg(value_name = "FILE", value_parser = onnx_parser())]
    pub(crate) file: PathBuf,

    /// Weights to write instead of the ones inside the program
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,

    /// How often each emotion is taken to occur: natural, balanced or a number between 0 (balanced) and 1 (natural)
    /// [default: what the weights say]
    #[arg(long, value_name = "PRIOR", allow_negative_numbers = true)]
    pub(crate) prior: Option<Prior>,

    /// Overwrite a file that exists
    #[arg(long)]
    pub(crate) force: bool,
}

fn onnx_parser() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|name| -> Result<PathBuf> {
        let path = PathBuf::from(name);
        let is_onnx = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("onnx"));
        if is_onnx { Ok(path) } else { Err(anyhow!("name a file that ends in .onnx")) }
    })
}
