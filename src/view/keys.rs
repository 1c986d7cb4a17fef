//! What the keys of the window do, and what they have switched so far.
//!
//! Owns the list of keys, which the window's help and its input are both made from.

use emocam::draw::{Look, Privacy};

/// What a key asks for, in the words of [`KEYS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyAction {
    Quit,
    Pause,
    Snapshot,
    Record,
    Bars,
    Trail,
    Mirror,
    Privacy,
    Stretch,
    Larger,
    Smaller,
    Help,
    /// Takes the next camera.
    Camera,
    /// Marks the moment, by a digit.
    Mark(char),
}

/// Each key with what it does, in the order of the help.
pub(crate) const KEYS: [(char, &str, KeyAction); 23] = [
    ('q', "quit", KeyAction::Quit),
    (' ', "pause", KeyAction::Pause),
    ('s', "save the picture", KeyAction::Snapshot),
    ('r', "record", KeyAction::Record),
    ('1', "mark the moment", KeyAction::Mark('1')),
    ('b', "bars", KeyAction::Bars),
    ('t', "the last 10 s", KeyAction::Trail),
    ('m', "mirror", KeyAction::Mirror),
    ('p', "hide faces", KeyAction::Privacy),
    ('c', "the next camera", KeyAction::Camera),
    ('f', "fill the window", KeyAction::Stretch),
    ('+', "larger", KeyAction::Larger),
    ('-', "smaller", KeyAction::Smaller),
    ('h', "this help", KeyAction::Help),
    ('2', "", KeyAction::Mark('2')),
    ('3', "", KeyAction::Mark('3')),
    ('4', "", KeyAction::Mark('4')),
    ('5', "", KeyAction::Mark('5')),
    ('6', "", KeyAction::Mark('6')),
    ('7', "", KeyAction::Mark('7')),
    ('8', "", KeyAction::Mark('8')),
    ('9', "", KeyAction::Mark('9')),
    // On most keyboards the plus is the upper sign of this key.
    ('=', "", KeyAction::Larger),
];

impl KeyAction {
    /// What a typed letter asks for; capitals count, too.
    pub(crate) fn from_letter(letter: char) -> Option<Self> {
        let letter = letter.to_ascii_lowercase();
        KEYS.iter().find(|(key, ..)| *key == letter).map(|(.., action)| *action)
    }
}

/// The rows of the help: key and meaning.
pub(crate) fn help_rows() -> Vec<(String, &'static str)> {
    let name = |key: char| match key {
        ' ' => "space".to_owned(),
        '1' => "1-9".to_owned(),
        _ => key.to_string(),
    };
    KEYS.iter().filter(|(_, what, _)| !what.is_empty()).map(|(key, what, _)| (name(*key), *what)).collect()
}

/// Where pictures are mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mirror {
    /// Nowhere.
    Off,
    /// In the window, where the source is a camera.
    #[default]
    Auto,
    /// In the window.
    Window,
    /// In the window and in what is recorded.
    All,
}

/// What is switched on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Controls {
    /// What is drawn beside each face.
    pub(crate) look: Look,
    /// Whether the window is mirrored.
    pub(crate) mirror: bool,
    /// Whether what is recorded is mirrored, too.
    pub(crate) mirror_recordings: bool,
    pub(crate) hide_faces: bool,
    /// How faces are hidden.
    pub(crate) privacy: Privacy,
    pub(crate) paused: bool,
    pub(crate) help: bool,
    /// Whether the picture fills the window, without regard to its own shape.
    pub(crate) stretch: bool,
}

impl Default for Controls {
    fn default() -> Self {
        Self::new(Mirror::Off, None, false)
    }
}

impl Controls {
    /// As the command line has it. `camera` tells whether the source is one.
    pub(crate) fn new(mirror: Mirror, privacy: Option<Privacy>, camera: bool) -> Self {
        Self {
            look: Look::default(),
            mirror: match mirror {
                Mirror::Off => false,
                Mirror::Auto => camera,
                Mirror::Window | Mirror::All => true,
            },
            mirror_recordings: mirror == Mirror::All,
            hide_faces: privacy.is_some(),
            privacy: privacy.unwrap_or(Privacy::Blur),
            paused: false,
            help: false,
            stretch: false,
        }
    }

    /// Switches what an action switches; the others are for whoever heard them.
    pub(crate) fn switch(&mut self, action: KeyAction) {
        let switch = match action {
            KeyAction::Pause => &mut self.paused,
            KeyAction::Bars => &mut self.look.bars,
            KeyAction::Trail => &mut self.look.trail,
            KeyAction::Mirror => &mut self.mirror,
            KeyAction::Privacy => &mut self.hide_faces,
            KeyAction::Stretch => &mut self.stretch,
            KeyAction::Help => &mut self.help,
            KeyAction::Quit
            | KeyAction::Snapshot
            | KeyAction::Record
            | KeyAction::Larger
            | KeyAction::Smaller
            | KeyAction::Camera
            | KeyAction::Mark(_) => return,
        };
        *switch = !*switch;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_meaning_and_capitals_count() {
        for (index, (key, what, action)) in KEYS.iter().enumerate() {
            assert_eq!(KeyAction::from_letter(*key), Some(*action));
            assert_eq!(KeyAction::from_letter(key.to_ascii_uppercase()), Some(*action));
            assert!(KEYS[..index].iter().all(|(other, ..)| other != key), "{key} twice");
            assert!(what.len() <= 20, "{what}");
        }
        assert_eq!(KeyAction::from_letter('x'), None);
        assert!(help_rows().iter().any(|(key, what)| key == "space" && *what == "pause"));
        assert!(help_rows().iter().any(|(key, what)| key == "1-9" && *what == "mark the moment"));
    }

    #[test]
    fn all_keys_have_room_in_a_small_window() {
        let rows = help_rows();
        let rows: Vec<(&str, &str)> = rows.iter().map(|(key, what)| (key.as_str(), *what)).collect();
        for (width, height) in [(320, 240), (240, 320), (640, 360)] {
            let mut picture = image::RgbImage::new(width, height);
            emocam::draw::help(&mut picture, &rows);
            assert!(picture.pixels().any(|pixel| pixel.0 != [0; 3]), "{width}x{height}");
        }
    }

    #[test]
    fn a_switch_switches_back_and_nothing_else() {
        let before = format!("{:?}", Controls::new(Mirror::Auto, None, true));
        let mut controls = Controls::new(Mirror::Auto, None, true);
        for (.., action) in KEYS {
            controls.switch(action);
            controls.switch(action);
            assert_eq!(format!("{controls:?}"), before, "{action:?}");
        }
        controls.switch(KeyAction::Privacy);
        assert!(controls.hide_faces);
    }

    #[test]
    fn a_window_is_mirrored_for_cameras_and_recordings_only_when_asked() {
        let of = |mirror, camera| {
            let controls = Controls::new(mirror, None, camera);
            (controls.mirror, controls.mirror_recordings)
        };
        assert_eq!((of(Mirror::Auto, true), of(Mirror::Auto, false)), ((true, false), (false, false)));
        assert_eq!((of(Mirror::Off, true), of(Mirror::Window, false)), ((false, false), (true, false)));
        assert_eq!(of(Mirror::All, false), (true, true));
    }
}
