//! How a run went: frames, time per stage, latency, what was dropped, what was seen.
//!
//! Durations go into histograms of a fixed size, so a run of a week takes no more memory than one of a minute. Values are
//! kept to within 1%.

use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::emotion::{Emotion, Label};
use crate::pipeline::Annotated;

/// The longest duration that is told apart, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// Names of what is timed, in the order in which it happens. Latency runs from a frame's capture until it was shown.
const STAGES: [&str; 5] = ["capture", "detect", "classify", "render", "latency"];

/// What a run has done so far.
pub struct Stats {
    started: Instant,
    finished: Option<Instant>,
    frames: u64,
    dropped: u64,
    lost: u64,
    stages: [Histogram<u64>; STAGES.len()],
    emotions: [u64; Emotion::COUNT],
    /// Faces without an emotion; `None` where every face gets one.
    unsure: Option<u64>,
}

impl Stats {
    /// An empty account that starts now, with a place for unsure faces where there may be some.
    pub fn new(with_unsure: bool) -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST, 2).unwrap_or_else(|_| unreachable!("constant bounds in range"));
        Self {
            started: Instant::now(),
            finished: None,
            frames: 0,
            dropped: 0,
            lost: 0,
            stages: STAGES.map(|_| histogram()),
            emotions: [0; Emotion::COUNT],
            unsure: with_unsure.then_some(0),
        }
    }

    /// Counts a frame that was just shown or written.
    pub fn add(&mut self, annotated: &Annotated) {
        let timing = annotated.timing;
        let latency = annotated.frame.captured_at.elapsed();
        let durations = [timing.capture, timing.detect, timing.classify, timing.render, latency];
        for (histogram, duration) in self.stages.iter_mut().zip(durations) {
            histogram.saturating_record((duration.as_micros() as u64).min(LONGEST));
        }
        self.frames += 1;
        for prediction in &annotated.predictions {
            match prediction.label() {
                Label::Emotion(emotion) => self.emotions[emotion.index()] += 1,
                Label::Unsure => *self.unsure.get_or_insert(0) += 1,
            }
        }
    }

    /// Ends the account, for now: how many more frames nobody took in time, and how many could not be recorded.
    pub fn finish(&mut self, dropped: u64, lost: u64) {
        self.finished = Some(Instant::now());
        self.dropped += dropped;
        self.lost += lost;
    }

    /// Frames that were labelled.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Frames a second over the whole run.
    pub fn fps(&self) -> f64 {
        let time = self.finished.unwrap_or_else(Instant::now).duration_since(self.started);
        self.frames as f64 / time.as_secs_f64().max(1e-9)
    }

    /// The time that half of the frames and 95% of them stayed below.
    fn quantiles(&self, stage: usize) -> (Duration, Duration) {
        let at = |share| Duration::from_micros(self.stages[stage].value_at_quantile(share));
        (at(0.5), at(0.95))
    }

    /// Faces that were seen, unsure ones too.
    fn faces(&self) -> u64 {
        self.emotions.iter().sum::<u64>() + self.unsure.unwrap_or(0)
    }

    /// Shares of all faces, in label order, unsure ones last; zeros without a face.
    fn shares(&self) -> Vec<(Label, f64)> {
        let emotions = Emotion::ALL.map(Label::Emotion).into_iter().zip(self.emotions);
        let counts = emotions.chain(self.unsure.map(|count| (Label::Unsure, count)));
        counts.map(|(label, count)| (label, count as f64 / self.faces().max(1) as f64)).collect()
    }

    /// The account as `--stats` writes it; documented in the README.
    pub fn to_json(&self) -> Value {
        let rounded = |value: f64, digits: i32| (value * 10f64.powi(digits)).round() / 10f64.powi(digits);
        let mut stages = Map::new();
        for (stage, name) in STAGES.into_iter().enumerate() {
            let (p50, p95) = self.quantiles(stage);
            let ms = |duration: Duration| rounded(duration.as_secs_f64() * 1e3, 3);
            stages.insert(name.into(), json!({"p50": ms(p50), "p95": ms(p95)}));
        }
        let shares = self.shares().into_iter();
        let shares: Map<_, _> = shares.map(|(label, share)| (label.to_string(), json!(rounded(share, 4)))).collect();
        json!({
            "frames": self.frames,
            "fps": rounded(self.fps(), 2),
            "dropped": self.dropped,
            "lost": self.lost,
            "faces": self.faces(),
            "stages_ms": stages,
            "emotions": shares,
        })
    }
}

/// The summary that a run ends with.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames, {:.1} frames a second, {} dropped", self.frames, self.fps(), self.dropped)?;
        if self.lost > 0 {
            write!(f, ", {} not recorded", self.lost)?;
        }
        if self.frames == 0 {
            return Ok(());
        }
        write!(f, "\n{:<10}{:>10}{:>10}", "", "p50 ms", "p95 ms")?;
        for (stage, name) in STAGES.into_iter().enumerate() {
            let (p50, p95) = self.quantiles(stage);
            write!(f, "\n{name:<10}{:>10.1}{:>10.1}", p50.as_secs_f64() * 1e3, p95.as_secs_f64() * 1e3)?;
        }
        let mut shares: Vec<_> = self.shares().into_iter().filter(|(_, share)| *share > 0.0).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        if shares.is_empty() {
            return write!(f, "\nno face was found");
        }
        let shares: Vec<String> =
            shares.into_iter().map(|(label, share)| format!("{label} {:.1}%", share * 100.0)).collect();
        write!(f, "\n{}", shares.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emotion::{Prediction, Probabilities};
    use crate::frame::{FaceBox, Frame};
    use crate::pipeline::Timing;

    fn annotated(detect_ms: u64, faces: usize) -> Annotated {
        let face = FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0, score: 3.0 };
        let probabilities = Probabilities::from_logits(&[0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0]);
        Annotated {
            frame: Frame {
                id: 0,
                pts: Duration::ZERO,
                captured_at: Instant::now(),
                width: 1,
                height: 1,
                rgb: [0; 3].into(),
            },
            predictions: vec![Prediction { id: 0, face, probabilities, unsure: false }; faces],
            ignored: 0,
            timing: Timing { detect: Duration::from_millis(detect_ms), ..Default::default() },
            picture: None,
        }
    }

    #[test]
    fn quantiles_shares_and_counts() {
        let mut stats = Stats::new(false);
        for ms in 1..=100 {
            stats.add(&annotated(ms, usize::from(ms > 50)));
        }
        stats.finish(7, 0);
        let json = stats.to_json();
        assert_eq!(json["frames"], 100);
        assert_eq!(json["dropped"], 7);
        assert_eq!(json["faces"], 50);
        assert_eq!(json["emotions"]["Happy"], 1.0);
        assert!(json["emotions"].get("Unsure").is_none(), "{json}");
        for (quantile, expected) in [("p50", 50.0), ("p95", 95.0)] {
            let found = json["stages_ms"]["detect"][quantile].as_f64().expect("a number");
            assert!((found / expected - 1.0).abs() < 0.02, "{quantile} {found}");
        }
        assert!(stats.to_string().contains("Happy 100.0%"), "{stats}");
    }

    #[test]
    fn unsure_faces_are_counted_apart() {
        let mut stats = Stats::new(true);
        stats.add(&annotated(1, 1));
        assert_eq!(stats.to_json()["emotions"]["Unsure"], 0.0);
        assert!(!stats.to_string().contains("Unsure"), "{stats}");
        let mut frame = annotated(1, 3);
        frame.predictions[1].unsure = true;
        stats.add(&frame);
        let json = stats.to_json();
        assert_eq!(json["faces"], 4);
        assert_eq!((&json["emotions"]["Happy"], &json["emotions"]["Unsure"]), (&0.75.into(), &0.25.into()));
        assert!(stats.to_string().ends_with("Happy 75.0%, Unsure 25.0%"), "{stats}");
    }

    #[test]
    fn a_run_without_frames_has_a_summary() {
        let mut stats = Stats::new(false);
        stats.finish(0, 0);
        assert!(stats.to_string().starts_with("0 frames"));
        assert_eq!(stats.to_json()["stages_ms"]["latency"]["p95"], 0.0);
    }
}
