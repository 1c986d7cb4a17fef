//! How a run went: frames, time per stage, latency, what was dropped, what was seen, what it took of the machine.
//!
//! Durations go into histograms of a fixed size, so a run of a week takes no more memory than one of a minute. Values are
//! kept to within 1%. A stage's processor time is that of its own thread; what it hands to the pool of threads that compute
//! counts for the process alone. What programs take that the process starts, such as ffmpeg, is an account of its own.

use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::left_out::LeftOut;
use crate::detect::SmallestFace;
use crate::flow::emotion::{Emotion, Label};
use crate::flow::labelled::{Labelled, Losses};
use crate::measure::machine;
use crate::sink::rounded;
use crate::source::Health;
use crate::system::clock::{Spent, cpu_of_children, cpu_of_this_process};

/// The longest duration that is told apart, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// Names of what is timed, in the order in which it happens. Latency runs from a frame's capture until it was shown.
const STAGES: [&str; 5] = ["capture", "detect", "classify", "render", LATENCY];

const LATENCY: &str = "latency";

/// What a run has done so far.
pub struct Stats {
    started: Instant,
    finished: Option<Instant>,
    /// The processor's time at the start and at the end.
    cpu_at_start: Processor,
    cpu_at_end: Processor,
    frames: u64,
    losses: Losses,
    health: Health,
    stages: [Stage; STAGES.len()],
    emotions: [u64; Emotion::COUNT],
    /// Faces without an emotion.
    unsure: u64,
    /// The smallest face that is looked for, where that is known.
    smallest_face: Option<SmallestFace>,
    left_out: LeftOut,
    first_face: Option<Instant>,
}

/// The processor's time that was used up to a moment.
#[derive(Clone, Copy, Default)]
struct Processor {
    /// By the whole process.
    own: Option<Duration>,
    /// By the programs that it started and that have ended.
    children: Option<Duration>,
}

impl Processor {
    fn now() -> Self {
        Self { own: cpu_of_this_process(), children: cpu_of_children() }
    }
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

impl Default for Stats {
    fn default() -> Self {
        Self::new()
    }
}

impl Stats {
    /// An empty account that starts now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            finished: None,
            cpu_at_start: Processor::now(),
            cpu_at_end: Processor::default(),
            frames: 0,
            losses: Losses::default(),
            health: Health::default(),
            stages: STAGES.map(|_| Stage::new()),
            emotions: [0; Emotion::COUNT],
            unsure: 0,
            smallest_face: None,
            left_out: LeftOut::default(),
            first_face: None,
        }
    }

    /// Takes note of the smallest face that is looked for from now on.
    pub fn look_for(&mut self, smallest: SmallestFace) {
        self.smallest_face = Some(smallest);
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
        self.left_out.add(labelled, self.smallest_face);
        if !labelled.predictions.is_empty() {
            self.first_face.get_or_insert_with(Instant::now);
        }
        for prediction in &labelled.predictions {
            match prediction.label() {
                Label::Emotion(emotion) => self.emotions[emotion.index()] += 1,
                Label::Unsure => self.unsure += 1,
            }
        }
    }

    /// Ends the account, for now: what the run and its source lost.
    pub fn finish(&mut self, losses: Losses, health: Health) {
        self.finished = Some(Instant::now());
        self.cpu_at_end = Processor::now();
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
        self.percent_of_one_core(|time| time.own)
    }

    /// The same of the programs that it started, such as ffmpeg, of those that have ended.
    pub fn children_cpu_percent_of_one_core(&self) -> Option<f64> {
        self.percent_of_one_core(|time| time.children)
    }

    /// Both for people, where the system tells: `32% of one core`, and what other programs took if they took any.
    pub fn processor(&self) -> Option<String> {
        let own = self.cpu_percent_of_one_core()?;
        let children = self.children_cpu_percent_of_one_core().filter(|share| *share > 0.0);
        let children = children.map(|share| format!(" and {share:.0}% in other programs, such as ffmpeg"));
        Some(format!("{own:.0}% of one core{}", children.unwrap_or_default()))
    }

    fn percent_of_one_core(&self, whose: impl Fn(Processor) -> Option<Duration>) -> Option<f64> {
        let used = whose(self.cpu_at_end)?.saturating_sub(whose(self.cpu_at_start)?);
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
        self.emotions.iter().sum::<u64>() + self.unsure
    }

    /// Shares of all faces, in label order, unsure ones last; zeros without a face.
    fn shares(&self) -> Vec<(Label, f64)> {
        let emotions = Emotion::ALL.map(Label::Emotion).into_iter().zip(self.emotions);
        let counts = emotions.chain([(Label::Unsure, self.unsure)]);
        counts.map(|(label, count)| (label, count as f64 / self.faces().max(1) as f64)).collect()
    }

    /// Who was left out, for people, a line each.
    pub fn left_out(&self) -> Vec<String> {
        self.left_out.sentences()
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
            "ignored_faces": self.left_out.ignored,
            "ignored_faces_most": self.left_out.most_ignored,
            "turned_faces": self.left_out.turned,
            "unread_faces": self.left_out.unread,
            "smallest_face": self.left_out.smallest.map(|(_, most)| most),
            "cpu_percent_of_one_core": self.cpu_percent_of_one_core().map(|share| rounded(share, 1)),
            "children_cpu_percent_of_one_core":
                self.children_cpu_percent_of_one_core().map(|share| rounded(share, 1)),
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
        if self.losses.unrecorded > 0 {
            write!(f, ", {} not recorded", self.losses.unrecorded)?;
        }
        if self.frames == 0 {
            return Ok(());
        }
        if let Some(processor) = self.processor() {
            write!(f, ", {processor}")?;
        }
        write!(f, "\n{:<10}{:>10}{:>10}{:>10}{:>10}", "", "p50 ms", "p95 ms", "p99 ms", "CPU ms")?;
        for StageTimes { name, p50, p95, p99, cpu } in self.stages() {
            let [p50, p95, p99] = [p50, p95, p99].map(ms);
            let cpu = cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{:.1}", ms(cpu)));
            write!(f, "\n{name:<10}{p50:>10.1}{p95:>10.1}{p99:>10.1}{cpu:>10}")?;
        }
        let mut shares: Vec<_> = self.shares().into_iter().filter(|(_, share)| *share > 0.0).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        let shares: Vec<String> =
            shares.into_iter().map(|(label, share)| format!("{label} {:.1}%", share * 100.0)).collect();
        let shares = if shares.is_empty() { "no face was found".to_owned() } else { shares.join(", ") };
        write!(f, "\n{shares}")?;
        self.left_out().into_iter().try_for_each(|sentence| write!(f, "\n{sentence}"))
    }
}

#[cfg(test)]
mod tests;
