//! What is made of the command line's own description: completions for shells, and the manual page.

use std::io::Write;

use anyhow::{Result, bail};
use clap::CommandFactory;
use clap_complete::shells::{Bash, Fish, Zsh};
use clap_mangen::Man;

use crate::cli::Cli;

/// Writes the completions for a shell.
///
/// # Errors
/// When the shell is another one than bash, zsh and fish, or the text can't be written.
pub fn completions(shell: &str, out: &mut impl Write) -> Result<()> {
    let mut command = Cli::command();
    let mut text = Vec::new();
    match shell {
        "bash" => clap_complete::generate(Bash, &mut command, "emocam", &mut text),
        "zsh" => clap_complete::generate(Zsh, &mut command, "emocam", &mut text),
        "fish" => clap_complete::generate(Fish, &mut command, "emocam", &mut text),
        _ => bail!("no completions for {shell}: expected bash, zsh or fish"),
    }
    Ok(out.write_all(&text)?)
}

/// Writes the manual page: the program, then each command with its options.
///
/// # Errors
/// When the text can't be written.
pub fn page(out: &mut impl Write) -> Result<()> {
    let mut command = Cli::command();
    command.build();
    let mut text = Vec::new();
    let main = Man::new(command.clone());
    main.render_title(&mut text)?;
    main.render_name_section(&mut text)?;
    main.render_synopsis_section(&mut text)?;
    main.render_description_section(&mut text)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        writeln!(text, ".SH \"EMOCAM {}\"", sub.get_name().to_uppercase())?;
        let page = Man::new(sub.clone());
        let mut section = Vec::new();
        page.render_synopsis_section(&mut section)?;
        page.render_description_section(&mut section)?;
        page.render_options_section(&mut section)?;
        page.render_extra_section(&mut section)?;
        // Within a command's section these are parts of it.
        text.extend(String::from_utf8_lossy(&section).replace(".SH ", ".SS ").into_bytes());
    }
    Ok(out.write_all(&text)?)
}
