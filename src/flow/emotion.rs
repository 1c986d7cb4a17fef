//! The seven emotions, their probabilities and one face's prediction, with the label that it is shown under.
//!
//! The order of [`Emotion::ALL`] is the label index everywhere: in the network's output, in weights files, in datasets and
//! in reports. It never changes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::flow::frame::{FaceBox, FacePoints};

/// A facial expression of one of the seven classes that KDEF, FER2013 and FER+ share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Emotion {
    Anger,
    Disgust,
    Fear,
    Happy,
    Neutral,
    Sad,
    Surprise,
}

impl Emotion {
    /// How many classes there are.
    pub const COUNT: usize = 7;

    /// All emotions; the position is the label index.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Anger, Self::Disgust, Self::Fear, Self::Happy, Self::Neutral, Self::Sad, Self::Surprise];

    /// The label index, 0 to 6.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name as shown to users and written to data files.
    pub const fn name(self) -> &'static str {
        const NAMES: [&str; Emotion::COUNT] = ["Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"];
        NAMES[self.index()]
    }
}

impl fmt::Display for Emotion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The share of equal probabilities in those of a face that is turned away: with it a certain emotion becomes 1/2, and the
/// likeliest of any stays the likeliest.
const EQUAL_SHARE: f32 = 7.0 / 12.0;

/// One probability per emotion, in label order; they sum to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probabilities([f32; Emotion::COUNT]);

impl Probabilities {
    /// Softmax of the network's raw outputs. The largest is subtracted first, so that no exponential overflows.
    pub fn from_logits(logits: &[f32; Emotion::COUNT]) -> Self {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exponentials = logits.map(|logit| (logit - largest).exp());
        let sum: f32 = exponentials.iter().sum();
        Self(exponentials.map(|e| e / sum))
    }

    /// The probability of one emotion, 0 to 1.
    pub fn of(&self, emotion: Emotion) -> f32 {
        self.0[emotion.index()]
    }

    /// The likeliest emotion; of equal ones the first in label order.
    pub fn top(&self) -> Emotion {
        let likelier = |best, emotion| if self.of(emotion) > self.of(best) { emotion } else { best };
        Emotion::ALL.into_iter().fold(Emotion::Anger, likelier)
    }

    /// `1 - share` of these and `share`, 0 to 1, of others.
    pub(crate) fn mixed(&self, others: &Self, share: f32) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + share * (others.0[i] - self.0[i])))
    }

    /// Drawn towards equal ones, so that none is above 1/2: what is read in a face that is turned away, where the network
    /// is as certain as ever and often wrong.
    pub fn flattened(&self) -> Self {
        self.mixed(&Self([1.0 / Emotion::COUNT as f32; Emotion::COUNT]), EQUAL_SHARE)
    }

    /// How far these are from others: half of the sum of all differences, 0 to 1.
    pub(crate) fn difference(&self, others: &Self) -> f32 {
        self.0.iter().zip(others.0).map(|(a, b)| (a - b).abs()).sum::<f32>() / 2.0
    }

    /// Emotions with their probabilities, in label order.
    pub fn iter(&self) -> impl Iterator<Item = (Emotion, f32)> + '_ {
        Emotion::ALL.into_iter().zip(self.0)
    }
}

/// What a face is shown as: in the picture, in the data and in the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// The likeliest emotion.
    Emotion(Emotion),
    /// No emotion is likely enough for the user.
    Unsure,
}

impl Label {
    /// The name as shown to users and written to data files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Emotion(emotion) => emotion.name(),
            Self::Unsure => "Unsure",
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What emocam says of one face in one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Which face this is, from frame to frame; in pictures its position, the largest first.
    pub id: u64,
    /// Where the face is, in frame pixels.
    pub face: FaceBox,
    /// Where its parts are, where that is known.
    pub points: Option<FacePoints>,
    /// Whether it is turned so far away that nobody could tell what it expresses.
    pub turned: bool,
    /// Whether the network read it in this very frame; else what it expressed when it was read last.
    pub read: bool,
    /// The network's belief, smoothed over time in motion.
    pub probabilities: Probabilities,
    /// Whether the belief is too weak to name an emotion; always so of a face that is turned away.
    pub unsure: bool,
}

impl Prediction {
    /// What the network read in a face of which only the place is known.
    pub fn new(id: u64, face: FaceBox, probabilities: Probabilities) -> Self {
        Self { id, face, points: None, turned: false, read: true, probabilities, unsure: false }
    }

    /// The same, but where the face is turned away with flattened probabilities and unsure.
    pub fn unless_turned(self) -> Self {
        if !self.turned {
            return self;
        }
        Self { probabilities: self.probabilities.flattened(), unsure: true, ..self }
    }

    /// What the face is shown as: the likeliest emotion, unless that is unsure.
    pub fn label(&self) -> Label {
        if self.unsure { Label::Unsure } else { Label::Emotion(self.probabilities.top()) }
    }

    /// The probability of the likeliest emotion, 0 to 1, also where it is unsure. (The detector's certainty is
    /// `face.score`.)
    pub fn confidence(&self) -> f32 {
        self.probabilities.of(self.probabilities.top())
    }

    /// Whether the confidence reaches `least`. One that is no number reaches nothing.
    pub fn is_confident(&self, least: f32) -> bool {
        self.confidence() >= least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_index_is_the_position() {
        for (index, emotion) in Emotion::ALL.into_iter().enumerate() {
            assert_eq!(emotion.index(), index);
        }
    }

    #[test]
    fn softmax_sums_to_one_and_keeps_the_order_even_for_huge_logits() {
        let p = Probabilities::from_logits(&[1000.0, 999.0, 0.0, -1000.0, 0.0, 0.0, 0.0]);
        assert!((p.iter().map(|(_, p)| p).sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(p.top(), Emotion::Anger);
        // e / (1 + e)
        assert!((p.of(Emotion::Anger) - 0.731_058_6).abs() < 1e-6);
    }

    #[test]
    fn an_unsure_face_keeps_its_confidence_and_loses_its_name() {
        let face = FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0, score: 3.0 };
        let probabilities = Probabilities::from_logits(&[0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0]);
        let sure = Prediction::new(0, face, probabilities);
        let unsure = Prediction { unsure: true, ..sure.clone() };
        assert_eq!((sure.label(), unsure.label()), (Label::Emotion(Emotion::Happy), Label::Unsure));
        assert_eq!((sure.label().name(), unsure.label().name()), ("Happy", "Unsure"));
        assert_eq!(sure.confidence(), unsure.confidence());
    }

    #[test]
    fn flattened_probabilities_keep_their_order_and_sum_and_none_is_above_a_half() {
        let certain = Probabilities::from_logits(&[0.0, 0.0, 0.0, 200.0, 0.0, 0.0, 0.0]).flattened();
        assert!((certain.of(Emotion::Happy) - 0.5).abs() < 1e-6, "{certain:?}");
        let mixed = Probabilities::from_logits(&[1.0, 0.5, 0.0, 2.0, 3.0, -1.0, -2.0]);
        let (flat, order) = (mixed.flattened(), |p: &Probabilities| {
            let mut emotions = Emotion::ALL;
            emotions.sort_by(|a, b| p.of(*a).total_cmp(&p.of(*b)));
            emotions
        });
        assert_eq!(order(&flat), order(&mixed));
        assert!((flat.iter().map(|(_, p)| p).sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(flat.of(flat.top()) < mixed.of(mixed.top()));
    }

    #[test]
    fn a_face_that_is_turned_away_is_unsure_and_another_stays_as_it_is() {
        let face = FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0, score: 3.0 };
        let seen = Prediction::new(0, face, Probabilities::from_logits(&[0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0]));
        assert_eq!(seen.clone().unless_turned(), seen);
        let turned = Prediction { turned: true, ..seen }.unless_turned();
        assert_eq!(turned.label(), Label::Unsure);
        assert!(turned.confidence() <= 0.5, "{turned:?}");
    }

    #[test]
    fn a_confidence_reaches_itself_and_what_is_no_number_reaches_nothing() {
        let face = FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0, score: 3.0 };
        let of = |logits| Prediction::new(0, face, Probabilities::from_logits(logits));
        // Two of seven are equally likely, the others are not.
        let half = of(&[0.0, 0.0, -200.0, -200.0, -200.0, -200.0, -200.0]);
        assert!(half.is_confident(0.0) && half.is_confident(0.5) && !half.is_confident(0.500_001));
        assert!(!of(&[f32::NAN; Emotion::COUNT]).is_confident(0.0));
    }
}
