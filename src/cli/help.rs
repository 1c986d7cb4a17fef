//! Arguments of `emocam help`, and its topics: what does not fit below a command's options.

use anyhow::Result;
use clap::Args;
use clap_mangen::roff::{Inline, Roff, bold, roman};

/// The topics, in the order of the manual page. `cameras` and `export` are commands, too: their help comes first.
pub(super) const TOPICS: [Topic; 5] = [
    Topic { name: "data", text: include_str!("help/data.md") },
    Topic { name: "cameras", text: include_str!("help/cameras.md") },
    Topic { name: "training", text: include_str!("help/training.md") },
    Topic { name: "python", text: include_str!("help/python.md") },
    Topic { name: "export", text: include_str!("help/export.md") },
];

/// What there is help on: each command, and the topics.
pub(super) const NAMES: [&str; 13] = [
    "live",
    "annotate",
    "bench",
    "cameras",
    "train",
    "eval",
    "export",
    "completions",
    "man",
    "help",
    "data",
    "training",
    "python",
];

/// `emocam help`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  emocam help live       the options of `emocam live`
  emocam help data       what is written: formats, fields, and how to read it
  emocam help cameras    formats, permissions, and what may happen to a camera
  emocam help training   data sets, settings, and what a run leaves
  emocam help python     frames and faces in a program of yours
  emocam help export     the network in a browser or on a phone")]
pub(crate) struct Help {
    /// A command, or a topic: data, cameras, training, python or export
    #[arg(value_name = "NAME", value_parser = NAMES, hide_possible_values = true)]
    pub(crate) name: Option<String>,
}

/// A text of some pages, in Markdown of at most 80 columns. It uses a title, headings of two signs, paragraphs, lists with a
/// minus sign, and blocks between three backticks.
pub(super) struct Topic {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

impl Topic {
    /// Writes it as a chapter of the manual page.
    pub(super) fn render(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut roff = Roff::new();
        let mut is_code = false;
        for line in self.text.lines() {
            if line.starts_with("```") {
                is_code = !is_code;
                roff.control(if is_code { "EX" } else { "EE" }, []);
            } else if is_code {
                roff.text([roman(if line.is_empty() { " " } else { line })]);
            } else if line.is_empty() {
                roff.control("PP", []);
            } else if let Some(title) = line.strip_prefix("# ") {
                roff.control("SH", [title.to_uppercase().as_str()]);
            } else if let Some(heading) = line.strip_prefix("## ") {
                roff.control("SS", [heading]);
            } else if let Some(item) = line.strip_prefix("- ") {
                roff.control("IP", ["-", "2"]).text(inlines(item));
            } else {
                roff.text(inlines(line.trim_start()));
            }
        }
        Ok(roff.to_writer(out)?)
    }
}

/// A line whose parts between backticks are bold.
fn inlines(line: &str) -> Vec<Inline> {
    let parts = line.split('`').enumerate();
    parts.map(|(number, part)| if number % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_fit_eighty_columns_and_have_no_markup_that_the_manual_lacks() {
        for Topic { name, text } in TOPICS {
            assert!(text.starts_with("# ") && text.matches("```").count() % 2 == 0, "{name}");
            for line in text.lines() {
                assert!(line.chars().count() <= 80 && line.matches('`').count() != 1, "{name}: {line}");
                assert!(!line.starts_with(['|', '*']) && !line.starts_with("###"), "{name}: {line}");
            }
        }
    }
}
