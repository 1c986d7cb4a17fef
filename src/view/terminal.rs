//! What a terminal can show, by what its environment says, and how it is told.
//!
//! Owns escape sequences. Follows <https://no-color.org>, COLORTERM, and the locale as POSIX has it.

use emocam::draw::{TRACK, color_of_label, text_color_on};
use emocam::flow::emotion::Label;

/// Resets all that was switched on.
const RESET: &str = "\x1b[0m";

/// Blocks that fill one eighth of a cell more each, from the left.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// How colors are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colors {
    None,
    /// As numbers of the palette that nearly all terminals share.
    Palette,
    /// As red, green and blue.
    True,
}

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    pub(super) colors: Colors,
    /// Whether it shows letters beyond ASCII.
    pub(super) has_blocks: bool,
    /// Whether it can erase a line.
    pub(super) can_erase: bool,
}

impl Terminal {
    pub(super) fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// A variable that is empty counts as one that is not set.
    pub(super) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let is_dumb = set("TERM").is_some_and(|term| term == "dumb");
        let has_all_colors = set("COLORTERM")
            .is_some_and(|value| ["truecolor", "24bit"].iter().any(|name| value.eq_ignore_ascii_case(name)));
        let colors = match (is_dumb || set("NO_COLOR").is_some(), has_all_colors) {
            (true, _) => Colors::None,
            (false, true) => Colors::True,
            (false, false) => Colors::Palette,
        };
        // The first that is set decides. Without any, the locale is POSIX, which is ASCII; Windows has no such variables.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| set(name)).map(|it| it.to_ascii_uppercase());
        let has_blocks = locale.map_or(cfg!(windows), |it| it.contains("UTF-8") || it.contains("UTF8"));
        Self { colors, has_blocks, can_erase: !is_dumb }
    }

    /// What takes a line of some columns away, and goes back to its start.
    pub(super) fn erased(self, columns: usize) -> String {
        if self.can_erase { "\r\x1b[2K".to_owned() } else { format!("\r{}\r", " ".repeat(columns)) }
    }

    /// What writes a line anew in the place of the one above, and goes back to where the cursor was.
    pub(super) fn written_above(self, line: &str) -> String {
        format!("\x1b7\x1b[1A\r\x1b[2K{line}\x1b8")
    }

    /// What takes the line above away, and goes there. A terminal that can erase nothing keeps it.
    pub(super) fn erased_above(self) -> &'static str {
        if self.can_erase { "\x1b[1A\r\x1b[2K" } else { "" }
    }

    /// A bar of some cells, filled up to a share of 0 to 1. Never empty: there is something to see of any share.
    pub(super) fn bar(self, share: f32, cells: usize) -> String {
        let filled = if self.has_blocks {
            let eighths = ((share * (cells * 8) as f32).round() as usize).clamp(1, cells * 8);
            let rest = eighths % 8;
            let full = std::iter::repeat_n('█', eighths / 8);
            full.chain((rest > 0).then(|| EIGHTHS[rest - 1])).collect::<String>()
        } else {
            "#".repeat(((share * cells as f32).round() as usize).clamp(1, cells))
        };
        // The part that is not reached has a color, or else dots; a bar of blocks without colors ends where it ends.
        let rest = if self.has_blocks { " " } else { "." };
        let missing = cells - filled.chars().count();
        filled + &rest.repeat(missing)
    }

    /// A label's name on a plate of its color, as in pictures: it can be read on dark and on light terminals.
    pub(super) fn plate(self, text: &str, label: Label) -> String {
        let color = color_of_label(label);
        self.painted(text, text_color_on(color), Some(color))
    }

    /// A bar in a label's color.
    pub(super) fn colored_bar(self, bar: &str, label: Label) -> String {
        self.painted(bar, color_of_label(label), self.has_blocks.then_some(TRACK))
    }

    fn painted(self, text: &str, letters: [u8; 3], ground: Option<[u8; 3]>) -> String {
        let code = |[red, green, blue]: [u8; 3]| match self.colors {
            Colors::True => format!("2;{red};{green};{blue}"),
            Colors::Palette | Colors::None => format!("5;{}", nearest([red, green, blue])),
        };
        let ground = ground.map_or_else(String::new, |color| format!(";48;{}", code(color)));
        match self.colors {
            Colors::None => text.to_owned(),
            Colors::Palette | Colors::True => format!("\x1b[38;{}{ground}m{text}{RESET}", code(letters)),
        }
    }
}

/// The number of a near color of the palette (xterm's 256colres): from 232 on 24 greys in steps of 10 from 8, from 16 on a
/// cube of six levels for red, green and blue: 0, 95, and steps of 40. The first 16 are left out: users choose them.
fn nearest(color: [u8; 3]) -> u8 {
    let [darkest, .., lightest] = {
        let mut sorted = color;
        sorted.sort_unstable();
        sorted
    };
    if lightest - darkest <= 10 && (4..=242).contains(&darkest) {
        return 232 + ((color[1].max(8) - 3) / 10).min(23);
    }
    let [red, green, blue] = color.map(|value| if value < 48 { 0 } else { ((value - 35) / 40).max(1) });
    16 + 36 * red + 6 * green + blue
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use emocam::flow::emotion::Emotion;

    fn terminal(variables: &[(&str, &str)]) -> Terminal {
        Terminal::from_variables(|name| {
            variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colors_are_those_that_the_environment_allows() {
        let colors = |variables: &[(&str, &str)]| terminal(variables).colors;
        assert_eq!(colors(&[("TERM", "xterm-256color")]), Colors::Palette);
        assert_eq!(colors(&[("COLORTERM", "truecolor")]), Colors::True);
        assert_eq!(colors(&[("COLORTERM", "24bit")]), Colors::True);
        assert_eq!(colors(&[("COLORTERM", "yes")]), Colors::Palette);
        assert_eq!(colors(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]), Colors::None);
        assert_eq!(colors(&[("COLORTERM", "truecolor"), ("NO_COLOR", "")]), Colors::True);
        assert_eq!(colors(&[("COLORTERM", "truecolor"), ("TERM", "dumb")]), Colors::None);
    }

    #[test]
    fn blocks_are_for_locales_of_utf_8() {
        let has_blocks = |variables: &[(&str, &str)]| terminal(variables).has_blocks;
        assert!(has_blocks(&[("LANG", "en_US.UTF-8")]) && has_blocks(&[("LC_CTYPE", "C.utf8")]));
        assert!(!has_blocks(&[("LANG", "de_DE.ISO-8859-1")]) && !has_blocks(&[("LANG", "C")]));
        assert!(!has_blocks(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]));
        assert!(!has_blocks(&[("LC_CTYPE", "POSIX"), ("LANG", "en_US.UTF-8")]));
        assert!(has_blocks(&[("LC_ALL", ""), ("LANG", "en_US.UTF-8")]), "an empty one is none");
        assert_eq!(has_blocks(&[]), cfg!(windows));
    }

    #[test]
    fn a_bar_grows_by_eighths_of_a_cell_and_never_beyond_its_cells() {
        let blocks = Terminal { colors: Colors::None, has_blocks: true, can_erase: true };
        assert_eq!(blocks.bar(1.0, 4), "████");
        assert_eq!(blocks.bar(0.5, 4), "██  ");
        assert_eq!(blocks.bar(0.53125, 4), "██▏ ");
        assert_eq!(blocks.bar(0.96875, 4), "███▉");
        assert_eq!((blocks.bar(0.0, 4), blocks.bar(0.03, 4)), ("▏   ".to_owned(), "▏   ".to_owned()));
        let ascii = Terminal { has_blocks: false, ..blocks };
        assert_eq!((ascii.bar(0.6, 4), ascii.bar(0.0, 4)), ("##..".to_owned(), "#...".to_owned()));
        for share in [-1.0, 0.0, 0.3, 0.999, 1.0, 7.0, f32::NAN, f32::INFINITY] {
            for cells in 1..12 {
                assert_eq!(blocks.bar(share, cells).chars().count(), cells, "{share}");
                assert_eq!(ascii.bar(share, cells).len(), cells, "{share}");
            }
        }
    }

    #[test]
    fn colors_come_as_they_are_or_as_the_nearest_of_the_palette() {
        let happy = Label::Emotion(Emotion::Happy);
        let terminal = |colors| Terminal { colors, has_blocks: true, can_erase: true };
        assert_eq!(terminal(Colors::True).plate("Happy", happy), "\x1b[38;2;0;0;0;48;2;237;225;63mHappy\x1b[0m");
        assert_eq!(terminal(Colors::Palette).plate("Happy", happy), "\x1b[38;5;16;48;5;221mHappy\x1b[0m");
        assert_eq!(terminal(Colors::None).plate("Happy", happy), "Happy");
        let ascii = Terminal { has_blocks: false, ..terminal(Colors::True) };
        assert_eq!(ascii.colored_bar("##", happy), "\x1b[38;2;237;225;63m##\x1b[0m");
        // As xterm's documentation has them.
        assert_eq!([[95, 135, 175], [255; 3], [8; 3], TRACK].map(nearest), [67, 231, 232, 239]);
    }

    #[test]
    fn labels_differ_in_the_palette_too() {
        let labels = Emotion::ALL.map(Label::Emotion).into_iter().chain([Label::Unsure]);
        let numbers: HashSet<u8> = labels.map(|label| nearest(color_of_label(label))).collect();
        assert_eq!(numbers.len(), Emotion::COUNT + 1);
    }

    #[test]
    fn a_dumb_terminal_gets_no_escape_sequence() {
        let dumb = terminal(&[("TERM", "dumb"), ("COLORTERM", "truecolor"), ("LANG", "en_US.UTF-8")]);
        assert_eq!(dumb.erased(3), "\r   \r");
        let bar = dumb.colored_bar("##", Label::Unsure) + &dumb.plate("Unsure", Label::Unsure);
        assert_eq!(bar, "##Unsure");
        assert_eq!(terminal(&[("TERM", "xterm")]).erased(3), "\r\x1b[2K");
    }
}
