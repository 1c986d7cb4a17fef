//! What is made of the command line's own description: help, completions for shells, and the manual page.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{Command, CommandFactory, Parser};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Cli;
use super::help::TOPICS;

/// What an error says that a full disk behind standard output gives.
const NOT_WRITTEN: &str = "standard output takes no more";

/// Prints the help of a command, the text of a topic, or both where they have the same name; without a name, the program's.
pub(crate) fn help(name: Option<&str>) -> Result<()> {
    let mut out = io::stdout();
    let topic = TOPICS.iter().find(|topic| Some(topic.name) == name);
    let words = ["emocam"].into_iter().chain(name).chain(["--help"]);
    if let Err(help) = Cli::try_parse_from(words)
        && help.kind() == ErrorKind::DisplayHelp
    {
        help.print().context(NOT_WRITTEN)?;
        write!(out, "{}", if topic.is_some() { "\n" } else { "" }).context(NOT_WRITTEN)?;
    }
    write!(out, "{}", topic.map_or("", |topic| topic.text)).context(NOT_WRITTEN)?;
    out.flush().context(NOT_WRITTEN)
}

/// Writes the completions for a shell.
pub(crate) fn completions(shell: Shell, out: &mut impl Write) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "emocam", &mut text);
    out.write_all(&text).and_then(|()| out.flush()).context(NOT_WRITTEN)
}

/// Writes the manual page: the program, each command with its options, and the topics.
pub(crate) fn page(out: &mut impl Write) -> Result<()> {
    let mut command = Cli::command();
    command.build();
    let mut text = Vec::new();
    let main = Man::new(command.clone());
    main.render_title(&mut text)?;
    main.render_name_section(&mut text)?;
    main.render_synopsis_section(&mut text)?;
    main.render_description_section(&mut text)?;
    main.render_options_section(&mut text)?;
    render_examples(&command, &mut text)?;
    for sub in command.get_subcommands() {
        writeln!(text, ".SH \"EMOCAM {}\"", sub.get_name().to_uppercase())?;
        let page = Man::new(sub.clone());
        let mut section = Vec::new();
        page.render_synopsis_section(&mut section)?;
        page.render_description_section(&mut section)?;
        page.render_options_section(&mut section)?;
        render_examples(sub, &mut section)?;
        // Within a command's section these are parts of it.
        text.extend(String::from_utf8_lossy(&section).replace(".SH ", ".SS ").into_bytes());
    }
    for topic in &TOPICS {
        topic.render(&mut text)?;
    }
    out.write_all(&text).and_then(|()| out.flush()).context(NOT_WRITTEN)
}

/// Writes what is below a command's help: lists of commands, each with its meaning under it, and notes. As plain text all
/// of it would run together into one paragraph.
fn render_examples(command: &Command, out: &mut impl Write) -> Result<()> {
    let Some(text) = command.get_after_help().map(ToString::to_string) else { return Ok(()) };
    let mut roff = Roff::new();
    for paragraph in text.split("\n\n") {
        let Some((heading, examples)) = paragraph.split_once(":\n  ") else {
            roff.control("PP", []).text([roman(paragraph)]);
            continue;
        };
        roff.control("SH", [heading.to_uppercase().as_str()]);
        for line in examples.lines().map(str::trim) {
            if line.starts_with("emocam ") {
                let (example, meaning) = line.split_once("  ").unwrap_or((line, ""));
                roff.control("TP", []).text([bold(example)]).text([roman(meaning.trim())]);
            } else {
                // What an example means may take several lines.
                roff.text([roman(line)]);
            }
        }
    }
    Ok(roff.to_writer(out)?)
}
