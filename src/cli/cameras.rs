//! Arguments of `emocam cameras`.

use clap::Args;

/// `emocam cameras`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam cameras                       names, sizes and frame rates
  emocam cameras --json | jq '.[0]'    the first one, as data")]
pub(crate) struct Cameras {
    /// Print the list as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
