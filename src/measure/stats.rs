//! How a run went: frames, time per stage, latency, what was dropped, what was seen, what it took of the machine.
//!
//! Durations go into histograms of a fixed size, so a run of a week takes no more memory than one of a minute. Values are
//! kept to within 1%. A stage's processor time is that of its own thread; what it hands to the pool of threads that compute
//! counts for the process alone.

use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::flow::emotion::{Emotion, Label};
use crate::flow::labelled::{Labelled, Losses};
use crate::measure::machine;
use crate::sink::rounded;
use crate::source::Health;
use crate::system::clock::{Spent, cpu_of_this_process};

/// The longest duration that is told apart, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// Names of what is timed, in the order in which it happens. Latency runs from a frame's capture until it was shown.
const STAGES: [&str; 5] = ["capture", "detect", "classify", "render", LATENCY];

const LATENCY: &str = "latency";

/// What a run has done so far.
pub struct Stats {
    started: Instant,
    finished: Option<Instant>,
    /// The processor's time of the whole process, at the start and at the end.
    cpu_at_start: Option<Duration>,
    cpu_at_end: Option<Duration>,
    frames: u64,
    losses: Losses,
    health: Health,
    stages: [Stage; STAGES.len()],
    emotions: [u64; Emotion::COUNT],
    /// Faces without an emotion; `None` where every face gets one.
    unsure: Option<u64>,
    /// Faces that were not labelled, since there were more than fit into a frame's time.
    ignored: u64,
    first_face: Option<Instant>,
}

/// What one stage took, frame by frame.
struct Stage {
    durations: Histogram<u64>,
    /// Over all frames; `None` where nobody measured it.
    cpu: Option<Duration>,
}

impl Stage {
    fn new() -> Self {
        let durations = Histogram::new_with_bounds(1, LONGEST, 2);
        Self { durations: durations.unwrap_or_else(|_| unreachable!("constant bounds in range")), cpu: None }
    }

    fn add(&mut self, spent: Spent) {
        self.durations.saturating_record((spent.wall.as_micros() as u64).min(LONGEST));
        if let Some(cpu) = spent.cpu {
            *self.cpu.get_or_insert_default() += cpu;
        }
    }
}

/// How long a stage takes for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTimes {
    /// capture, detect, classify, render or latency.
    pub name: &'static str,
    /// Half of the frames took no longer.
    pub p50: Duration,
    /// 95% of the frames took no longer.
    pub p95: Duration,
    /// 99% of the frames took no longer.
    pub p99: Duration,
    /// How long a processor worked on the stage's thread, as a mean. Latency has none, nor has a system without that clock.
    pub cpu: Option<Duration>,
}

impl StageTimes {
    /// In milliseconds, under the names `p50`, `p95`, `p99` and, but for latency, `cpu_ms`.
    pub fn to_json(&self) -> Value {
        let mut times = json!({"p50": ms(self.p50), "p95": ms(self.p95), "p99": ms(self.p99)});
        if self.name != LATENCY {
            times["cpu_ms"] = self.cpu.map(ms).into();
        }
        times
    }
}

impl Stats {
    /// An empty account that starts now, with a place for unsure faces where there may be some.
    pub fn new(with_unsure: bool) -> Self {
        Self {
            started: Instant::now(),
            finished: None,
            cpu_at_start: cpu_of_this_process(),
            cpu_at_end: None,
            frames: 0,
            losses: Losses::default(),
            health: Health::default(),
            stages: STAGES.map(|_| Stage::new()),
            emotions: [0; Emotion::COUNT],
            unsure: with_unsure.then_some(0),
            ignored: 0,
            first_face: None,
        }
    }

    /// Counts a frame that was just shown or written.
    pub fn add(&mut self, labelled: &Labelled) {
        let timing = labelled.timing;
        let latency = Spent { wall: labelled.frame.captured_at.elapsed(), cpu: None };
        let spent = [timing.capture, timing.detect, timing.classify, timing.render, latency];
        for (stage, spent) in self.stages.iter_mut().zip(spent) {
            stage.add(spent);
        }
        self.frames += 1;
        self.ignored += labelled.ignored as u64;
        if !labelled.predictions.is_empty() {
            self.first_face.get_or_insert_with(Instant::now);
        }
        for prediction in &labelled.predictions {
            match prediction.label() {
                Label::Emotion(emotion) => self.emotions[emotion.index()] += 1,
                Label::Unsure => *self.unsure.get_or_insert(0) += 1,
            }
        }
    }

    /// Ends the account, for now: what the run and its source lost.
    pub fn finish(&mut self, losses: Losses, health: Health) {
        self.finished = Some(Instant::now());
        self.cpu_at_end = cpu_of_this_process();
        self.losses.dropped += losses.dropped + health.missed;
        self.losses.unrecorded += losses.unrecorded;
        self.health.damaged += health.damaged;
        self.health.reconnects += health.reconnects;
    }

    /// Frames that were labelled.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Frames that nobody took in time.
    pub fn dropped(&self) -> u64 {
        self.losses.dropped
    }

    /// How long the run took.
    pub fn elapsed(&self) -> Duration {
        self.finished.unwrap_or_else(Instant::now).duration_since(self.started)
    }

    /// Frames a second over the whole run.
    pub fn fps(&self) -> f64 {
        self.frames as f64 / self.elapsed().as_secs_f64().max(1e-9)
    }

    /// When the first labelled face was shown.
    pub fn first_face(&self) -> Option<Instant> {
        self.first_face
    }

    /// How much of one processor the whole process took, in percent, which may be more than 100; `None` where the system
    /// doesn't tell, and before the end.
    pub fn cpu_percent_of_one_core(&self) -> Option<f64> {
        let used = self.cpu_at_end?.saturating_sub(self.cpu_at_start?);
        Some(100.0 * used.as_secs_f64() / self.elapsed().as_secs_f64().max(1e-9))
    }

    /// How long each stage took, and the latency last.
    pub fn stages(&self) -> Vec<StageTimes> {
        let times = |(stage, name): (&Stage, &'static str)| {
            let at = |share| Duration::from_micros(stage.durations.value_at_quantile(share));
            let mean = |cpu: Duration| cpu.div_f64(self.frames.max(1) as f64);
            StageTimes { name, p50: at(0.5), p95: at(0.95), p99: at(0.99), cpu: stage.cpu.map(mean) }
        };
        self.stages.iter().zip(STAGES).map(times).collect()
    }

    /// Faces that were seen, unsure ones too.
    pub fn faces(&self) -> u64 {
        self.emotions.iter().sum::<u64>() + self.unsure.unwrap_or(0)
    }

    /// Shares of all faces, in label order, unsure ones last; zeros without a face.
    fn shares(&self) -> Vec<(Label, f64)> {
        let emotions = Emotion::ALL.map(Label::Emotion).into_iter().zip(self.emotions);
        let counts = emotions.chain(self.unsure.map(|count| (Label::Unsure, count)));
        counts.map(|(label, count)| (label, count as f64 / self.faces().max(1) as f64)).collect()
    }

    /// The account as `--stats` writes it; documented in `emocam help data`.
    pub fn to_json(&self) -> Value {
        let stages: Map<_, _> = self.stages().iter().map(|stage| (stage.name.into(), stage.to_json())).collect();
        let shares = self.shares().into_iter();
        let shares: Map<_, _> = shares.map(|(label, share)| (label.to_string(), json!(rounded(share, 4)))).collect();
        json!({
            "frames": self.frames,
            "fps": rounded(self.fps(), 2),
            "dropped": self.losses.dropped,
            "damaged": self.health.damaged,
            "reconnects": self.health.reconnects,
            "lost": self.losses.unrecorded,
            "faces": self.faces(),
            "ignored_faces": self.ignored,
            "cpu_percent_of_one_core": self.cpu_percent_of_one_core().map(|share| rounded(share, 1)),
            "memory_peak_mb": machine::memory_peak().map(megabytes),
            "stages_ms": stages,
            "emotions": shares,
        })
    }
}

/// Milliseconds, down to the microsecond.
pub fn ms(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e3, 3)
}

/// Megabytes, of a million bytes.
pub fn megabytes(bytes: u64) -> f64 {
    rounded(bytes as f64 / 1e6, 1)
}

/// The summary that a run ends with.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames, {:.1} frames a second, {} dropped", self.frames, self.fps(), self.losses.dropped)?;
        if self.health.damaged > 0 {
            write!(f, ", {} damaged", self.health.damaged)?;
        }
        if self.health.reconnects > 0 {
            let times = if self.health.reconnects == 1 { "time" } else { "times" };
            write!(f, ", camera back {} {times}", self.health.reconnects)?;
        }
        if self.ignored > 0 {
            write!(f, ", faces beyond the limit {} times", self.ignored)?;
        }
        if self.losses.unrecorded > 0 {
            write!(f, ", {} not recorded", self.losses.unrecorded)?;
        }
        if self.frames == 0 {
            return Ok(());
        }
        if let Some(share) = self.cpu_percent_of_one_core() {
            write!(f, ", {share:.0}% of one core")?;
        }
        write!(f, "\n{:<10}{:>10}{:>10}{:>10}{:>10}", "", "p50 ms", "p95 ms", "p99 ms", "CPU ms")?;
        for StageTimes { name, p50, p95, p99, cpu } in self.stages() {
            let [p50, p95, p99] = [p50, p95, p99].map(ms);
            let cpu = cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{:.1}", ms(cpu)));
            write!(f, "\n{name:<10}{p50:>10.1}{p95:>10.1}{p99:>10.1}{cpu:>10}")?;
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
    use crate::flow::labelled::Timing;
    use crate::sink::tests::prediction;

    /// Half of the time the processor worked.
    fn spent(ms: u64) -> Spent {
        let wall = Duration::from_millis(ms);
        Spent { wall, cpu: Some(wall / 2) }
    }

    fn labelled(detect_ms: u64, faces: u64) -> Labelled {
        let happy = |id| prediction(id, [0.0, 0.0, 1.0, 1.0], 3.0, [0.01, 0.01, 0.01, 0.94, 0.01, 0.01, 0.01]);
        let frame = crate::sink::tests::labelled(0, 0, 1, 1, (0..faces).map(happy).collect());
        Labelled { timing: Timing { detect: spent(detect_ms), ..Default::default() }, ..frame }
    }

    #[test]
    fn quantiles_shares_and_counts() {
        let mut stats = Stats::new(false);
        for ms in 1..=100 {
            stats.add(&labelled(ms, u64::from(ms > 50)));
        }
        let losses = Losses { dropped: 4, unrecorded: 0 };
        stats.finish(losses, Health { missed: 3, damaged: 2, reconnects: 1 });
        let json = stats.to_json();
        assert_eq!(json["frames"], 100);
        assert_eq!((&json["dropped"], &json["damaged"], &json["reconnects"]), (&7.into(), &2.into(), &1.into()));
        assert!(stats.to_string().contains("7 dropped, 2 damaged, camera back 1 time"), "{stats}");
        assert_eq!(json["faces"], 50);
        assert_eq!(json["emotions"]["Happy"], 1.0);
        assert!(json["emotions"].get("Unsure").is_none(), "{json}");
        for (quantile, expected) in [("p50", 50.0), ("p95", 95.0), ("p99", 99.0), ("cpu_ms", 25.25)] {
            let found = json["stages_ms"]["detect"][quantile].as_f64().expect("a number");
            assert!((found / expected - 1.0).abs() < 0.02, "{quantile} {found}");
        }
        assert!(json["stages_ms"]["capture"]["cpu_ms"].is_null(), "nobody measured it: {json}");
        assert!(json["stages_ms"]["latency"].get("cpu_ms").is_none(), "{json}");
        assert!(stats.to_string().contains("Happy 100.0%"), "{stats}");
    }

    #[cfg(unix)]
    #[test]
    fn the_processor_time_is_that_of_the_run() {
        let mut stats = Stats::new(false);
        assert_eq!(stats.cpu_percent_of_one_core(), None);
        let watch = crate::system::clock::Stopwatch::start();
        while watch.spent().cpu.expect("a clock") < Duration::from_millis(20) {}
        stats.finish(Losses::default(), Health::default());
        let used = stats.elapsed().mul_f64(stats.cpu_percent_of_one_core().expect("a clock") / 100.0);
        // Clocks of threads and of processes need not tick together.
        assert!(used >= Duration::from_millis(15), "{used:?}");
    }

    #[test]
    fn the_first_face_is_noted_once() {
        let mut stats = Stats::new(false);
        stats.add(&labelled(1, 0));
        assert_eq!(stats.first_face(), None);
        stats.add(&labelled(1, 1));
        let first = stats.first_face().expect("a face");
        stats.add(&labelled(1, 1));
        assert_eq!(stats.first_face(), Some(first));
    }

    #[test]
    fn unsure_faces_are_counted_apart() {
        let mut stats = Stats::new(true);
        stats.add(&labelled(1, 1));
        assert_eq!(stats.to_json()["emotions"]["Unsure"], 0.0);
        assert!(!stats.to_string().contains("Unsure"), "{stats}");
        let mut frame = labelled(1, 3);
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
        stats.finish(Losses::default(), Health::default());
        assert!(stats.to_string().starts_with("0 frames"));
        assert_eq!(stats.to_json()["stages_ms"]["latency"]["p95"], 0.0);
    }
}
