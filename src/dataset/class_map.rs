//! Which emotion a class of a data set counts as, where its name does not say so, or says something else.

use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::labels::{emotion_from_name, known_names, plain};
use crate::flow::emotion::Emotion;

/// The numbers of published sets, by the name of the set: RAF-DB (Li et al. 2017,
/// <https://doi.org/10.1109/CVPR.2017.277>), AffectNet (Mollahosseini et al. 2017, <https://arxiv.org/abs/1708.03985>;
/// 7 is contempt, which is none of emocam's), FER2013 (Goodfellow et al. 2013, <https://arxiv.org/abs/1307.0414>).
const PUBLISHED: [(&str, &str); 3] = [
    ("raf-db", "1=surprise 2=fear 3=disgust 4=happy 5=sad 6=anger 7=neutral"),
    ("affectnet", "0=neutral 1=happy 2=sad 3=surprise 4=fear 5=disgust 6=anger 7=none"),
    ("fer2013", "0=anger 1=disgust 2=fear 3=happy 4=sad 5=surprise 6=neutral"),
];

/// What stands for no emotion: a class of that kind is left aside.
const NONE: &str = "none";

/// Classes by name, and what they count as; of two rules for one name the later counts. Other names count as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassMap(Vec<(String, Option<Emotion>)>);

/// What a class counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// An emotion.
    Emotion(Emotion),
    /// Nothing: its pictures are left out.
    Aside,
    /// Its name is unknown.
    Unknown,
}

impl ClassMap {
    /// Both together; of two rules for one name that of `later` counts.
    pub fn with(&self, later: &Self) -> Self {
        Self(self.0.iter().chain(&later.0).cloned().collect())
    }

    /// Whether it has no rules.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a class of this name counts as, in any case.
    pub(super) fn class(&self, name: &str) -> Class {
        let rule = self.0.iter().rev().find(|(known, _)| *known == name.trim().to_lowercase() || *known == plain(name));
        match rule {
            Some((_, Some(emotion))) => Class::Emotion(*emotion),
            Some((_, None)) => Class::Aside,
            None => emotion_from_name(name).map_or(Class::Unknown, Class::Emotion),
        }
    }

    /// For people: what to do about a class that is unknown.
    pub(super) fn advice(name: &str) -> String {
        let sets = PUBLISHED.map(|(set, _)| set).join(", ");
        if name.trim().bytes().all(|byte| byte.is_ascii_digit()) {
            format!(
                "numbers differ from set to set: --map SET names whose they are ({sets}), --map {name}=happy each one"
            )
        } else {
            format!(
                "--map {name}=disgust lets it count as another, --map {name}=none leaves it aside. Known names: {}",
                known_names()
            )
        }
    }
}

impl FromStr for ClassMap {
    type Err = anyhow::Error;

    /// Rules such as `contempt=disgust`, `boredom=none` or `raf-db`, with spaces or commas between them.
    fn from_str(text: &str) -> Result<Self> {
        let mut rules = Vec::new();
        for word in text.split([' ', ',', '+']).filter(|word| !word.is_empty()) {
            if let Some((_, published)) = PUBLISHED.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
                rules.extend(Self::from_str(published)?.0);
                continue;
            }
            let wanted = || {
                let sets = PUBLISHED.map(|(set, _)| set).join(", ");
                format!("expected NAME=EMOTION, NAME=none or one of {sets}, found {word:?}")
            };
            let (name, emotion) = word.split_once(['=', ':']).with_context(wanted)?;
            ensure!(!name.is_empty(), "{}", wanted());
            let emotion = match emotion_from_name(emotion) {
                Some(emotion) => Some(emotion),
                None if emotion.eq_ignore_ascii_case(NONE) => None,
                None => bail!("{}; known emotions: {}", wanted(), known_names()),
            };
            rules.push((name.to_lowercase(), emotion));
        }
        ensure!(!rules.is_empty(), "expected at least one rule such as contempt=disgust, found {text:?}");
        Ok(Self(rules))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> ClassMap {
        text.parse().expect("a map")
    }

    #[test]
    fn rules_come_before_usual_names_and_later_ones_before_earlier() {
        let map = map("Contempt=disgust,happy:none").with(&map("contempt=anger"));
        assert_eq!(map.class("CONTEMPT"), Class::Emotion(Emotion::Anger));
        assert_eq!(map.class("3_happy"), Class::Aside);
        assert_eq!(map.class("sadness"), Class::Emotion(Emotion::Sad));
        assert_eq!(map.class("boredom"), Class::Unknown);
    }

    #[test]
    fn published_numbers_are_known_by_the_set_and_refused_without_it() {
        assert_eq!(map("raf-db").class("4"), Class::Emotion(Emotion::Happy));
        assert_eq!(map("AffectNet").class("4"), Class::Emotion(Emotion::Fear));
        assert_eq!(map("affectnet+7=disgust").class("7"), Class::Emotion(Emotion::Disgust));
        assert_eq!(map("affectnet").class("7"), Class::Aside);
        assert_eq!(ClassMap::default().class("4"), Class::Unknown);
        assert!(ClassMap::advice("4").contains("raf-db"));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for wrong in ["", "contempt", "=happy", "contempt=boredom", "rafdb"] {
            assert!(wrong.parse::<ClassMap>().is_err(), "{wrong}");
        }
    }
}
