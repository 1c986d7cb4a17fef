//! Arguments of `emocam completions`.

use clap::Args;
use clap_complete::Shell;

/// `emocam completions`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam completions bash > ~/.local/share/bash-completion/completions/emocam
  emocam completions zsh > ~/.zfunc/_emocam
  emocam completions fish > ~/.config/fish/completions/emocam.fish")]
pub(crate) struct Completions {
    /// bash, zsh or fish; elvish and powershell, too
    #[arg(value_name = "SHELL", value_enum, hide_possible_values = true)]
    pub(crate) shell: Shell,
}
