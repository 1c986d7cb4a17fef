//! `emocam bench`: how fast this machine labels faces, on the pipeline that `live` and `annotate` run.
//!
//! Owns the order of what is measured, and nothing of the work itself. Four runs of the same source: a short one as if
//! from a camera, from the start of the program to the first label; the same again, until memory is taken; one as fast as it
//! goes, as `annotate` without an output; and one as if from a camera. At last the classification of some faces alone. Between the runs the yardstick is laid on: machines are
//! lent, shared and throttled, so only what was timed in the same minutes can be compared.

mod faces;
mod playback;
mod report;
mod yardstick;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use image::RgbImage;

use crate::cli::Bench;
use crate::commands::setup;
use crate::view::View;
use emocam::flow::stop::Stop;
use emocam::measure::machine::{Machine, memory_now, memory_peak};
use emocam::measure::stats::Stats;
use emocam::network::classify::Classifier;
use emocam::network::device::{DeviceSpec, description, gpu_name};
use emocam::pipeline::DropPolicy;
use emocam::source::{LoopingSource, Source};
use playback::{Playback, frame_rate};
use report::{Memory, Report, Setting};
use yardstick::Yardstick;

/// Of the time of the last run, what the runs before it take: one as fast as it goes, and each of the two that warm up.
const FAST_SHARE: f64 = 0.5;
const WARM_UP_SHARE: f64 = 0.1;

/// The same for each number of faces that are classified without a run around them.
const FACES_SHARE: f64 = 0.1;

/// A run that warms up ends after so many frames, if not before: by then all memory is taken that will be.
const WARM_UP_FRAMES: u64 = 1000;

/// What is measured, and on what.
struct Subject<'a> {
    /// The source, and how faces are looked for and labelled.
    arguments: &'a Bench,
    /// Tells what faces express.
    classifier: &'a mut Classifier,
    /// When the program started.
    started: Instant,
}

/// Measures, and writes the figures as a table or as JSON.
///
/// # Errors
/// When the source can't be played or has no frames, a stage fails, or `out` takes no more.
pub(super) fn run(arguments: &Bench, started: Instant, out: &mut dyn Write) -> Result<()> {
    let mut classifier = setup::classifier(&arguments.dials, setup::Threads::Half)?;
    let report = measure(Subject { arguments, classifier: &mut classifier, started })?;
    if arguments.json { writeln!(out, "{:#}", report.to_json()) } else { writeln!(out, "{report}") }
        .context("the figures can't be written")
}

fn measure(mut subject: Subject<'_>) -> Result<Report> {
    let on = subject.classifier.device();
    let (device, gpu, name) = (DeviceSpec::of(on), gpu_name(on), description(on));
    let seconds = subject.arguments.seconds;
    let part = |share: f64| Extent { length: seconds.mul_f64(share), frames: u64::MAX };
    let warm_up = Extent { frames: WARM_UP_FRAMES, ..part(WARM_UP_SHARE) };

    let first = subject.as_camera(warm_up)?;
    let first_label = first.first_face().map(|at| at.duration_since(subject.started));
    let mut yardstick = Yardstick::new(&subject.arguments.source)?;
    yardstick.scan(warm_up.length)?;
    let warm = subject.as_camera(warm_up)?;
    let memory_after_warm_up = memory_now();
    yardstick.scan(warm_up.length)?;
    let fast = subject.as_file(part(FAST_SHARE))?;
    yardstick.scan(warm_up.length)?;
    let live = subject.as_camera(part(1.0))?;

    let memory = Memory {
        after_warm_up: memory_after_warm_up,
        frames_of_warm_up: first.frames() + warm.frames(),
        end: memory_now(),
        frames: [&first, &warm, &fast, &live].into_iter().map(Stats::frames).sum(),
        peak: memory_peak(),
    };
    let Subject { arguments, classifier, .. } = subject;
    let faces = faces::classification(classifier, seconds.mul_f64(FACES_SHARE))?;
    // The CPU goes on then, and figures of two devices are those of none.
    ensure!(description(classifier.device()) == name, "{name} was lost while it was measured");
    Ok(Report {
        machine: Machine::this(),
        setting: Setting {
            source: arguments.source.to_string(),
            size: yardstick.source_size,
            fps: yardstick.source_fps,
            min_face: arguments.dials.min_face,
            device,
            gpu,
            threads: rayon::current_num_threads(),
        },
        scan: yardstick.median(),
        first_label,
        memory,
        fast,
        live,
        faces,
    })
}

/// How much of a source is played: until the time is over or the frames are used up.
#[derive(Clone, Copy)]
struct Extent {
    length: Duration,
    frames: u64,
}

impl Subject<'_> {
    /// As a camera would: frames come at their rate, and those that nobody takes are dropped. They are drawn as for a
    /// window.
    fn as_camera(&mut self, extent: Extent) -> Result<Stats> {
        let source = LoopingSource::open(self.arguments.source.clone())?;
        let pace = frame_rate(source.info());
        self.run(Playback::new(source, extent, Some(pace)), DropPolicy::Latest, View::None(Some(RgbImage::default())))
    }

    /// As `annotate` does without an output.
    fn as_file(&mut self, extent: Extent) -> Result<Stats> {
        let source = LoopingSource::open(self.arguments.source.clone())?;
        self.run(Playback::new(source, extent, None), DropPolicy::Every, View::None(None))
    }

    fn run(&mut self, mut source: Playback, drop_policy: DropPolicy, view: View) -> Result<Stats> {
        let mut stats = Stats::new();
        let job = setup::job(&mut source, drop_policy, &self.arguments.dials, Some(&self.arguments.source));
        job.run(self.classifier, view, &Stop::default(), &mut stats)?;
        ensure!(stats.frames() > 0, "{} has no frames", self.arguments.source);
        Ok(stats)
    }
}
