//! The names that data sets give to the seven emotions.
//!
//! Collected from the folders of FER2013, FER+, RAF-DB, AffectNet and CK+, and from the letter codes of KDEF and JAFFE.

use crate::flow::emotion::Emotion;

/// Each emotion's names, in lower case; the first is emocam's own.
const NAMES: [(Emotion, &[&str]); Emotion::COUNT] = [
    (Emotion::Anger, &["anger", "angry", "an", "ang"]),
    (Emotion::Disgust, &["disgust", "disgusted", "di", "dis"]),
    (Emotion::Fear, &["fear", "fearful", "afraid", "scared", "af", "fe", "fea"]),
    (Emotion::Happy, &["happy", "happiness", "joy", "joyful", "ha", "hap"]),
    (Emotion::Neutral, &["neutral", "neutrality", "ne", "neu"]),
    (Emotion::Sad, &["sad", "sadness", "sa"]),
    (Emotion::Surprise, &["surprise", "surprised", "suprise", "su", "sur"]),
];

/// The emotion that a class is named after, in any case. A number in front, as in `3_happy`, is not part of the name.
pub(super) fn emotion_from_name(name: &str) -> Option<Emotion> {
    let name = plain(name);
    NAMES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(emotion, _)| *emotion)
}

/// A class's name as it is compared.
pub(super) fn plain(name: &str) -> String {
    let without_number = name.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '_' | '-' | '.' | ' '));
    let kept = if without_number.is_empty() { name } else { without_number };
    kept.trim().to_lowercase()
}

/// All names, for people who used another one.
pub(super) fn known_names() -> String {
    NAMES.map(|(_, names)| names.join(", ")).join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_known_in_any_case_and_unusual_ones_are_not() {
        for (name, emotion) in [
            ("angry", Emotion::Anger),
            ("AN", Emotion::Anger),
            ("Disgusted", Emotion::Disgust),
            ("AF", Emotion::Fear),
            ("3_Happy", Emotion::Happy),
            ("03 - joy", Emotion::Happy),
            ("neutral", Emotion::Neutral),
            ("SADNESS", Emotion::Sad),
            ("surprised ", Emotion::Surprise),
        ] {
            assert_eq!(emotion_from_name(name), Some(emotion), "{name}");
        }
        for name in ["contempt", "3", "", "happyness", "an1", "\u{fffd}"] {
            assert_eq!(emotion_from_name(name), None, "{name}");
        }
    }

    #[test]
    fn no_name_stands_for_two_emotions() {
        let mut names: Vec<_> = NAMES.iter().flat_map(|(_, names)| *names).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
