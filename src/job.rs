//! One run of the pipeline, from a source to outputs and a viewer: what `live` does once and `annotate` for each input.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use image::RgbImage;

use crate::buffers::Buffers;
use crate::classify::Classifier;
use crate::clock::Stopwatch;
use crate::draw;
use crate::frame::Frame;
use crate::pipeline::{self, Annotated, Delivery, Event, Stages, Stop};
use crate::sink::{Ending, OutputOptions, Sink, SinkSpec};
use crate::smooth::Smoother;
use crate::source::{LimitedSource, Source};
use crate::stats::Stats;
use crate::track::{FaceTracker, Search, Sequence};
use crate::viewer::Viewer;

/// What is to be done.
pub struct Job<'a> {
    /// Where frames come from.
    pub source: &'a mut dyn Source,
    /// What happens to frames that nobody takes in time.
    pub delivery: Delivery,
    /// Where results go; they were checked before.
    pub outputs: &'a [SinkSpec],
    /// How they are written.
    pub options: OutputOptions,
    /// After how many frames to stop.
    pub frames: Option<u64>,
    /// How faces are looked for.
    pub search: Search,
    /// How long a change of expression takes to show, in motion.
    pub smoothing: Duration,
    /// The confidence below which a face is shown as unsure, 0 to 1.
    pub unsure_below: Option<f32>,
}

impl Job<'_> {
    /// Does it. Outputs are completed also when it fails.
    ///
    /// # Errors
    /// The first error of a stage, else of an output that can't be completed; or that frames are missing in a recording.
    pub fn run(self, classifier: &mut Classifier, viewer: &mut Viewer, stop: &Stop, stats: &mut Stats) -> Result<()> {
        let (recorders, tables): (Vec<_>, Vec<_>) = self.outputs.iter().partition(|output| output.takes_time());
        let open = |outputs: Vec<&SinkSpec>| {
            outputs.into_iter().map(|output| output.open(self.options)).collect::<Result<Vec<_>>>()
        };
        // First what may fail: a table is created when it is opened, and would be in the way of the next try.
        let recorders = open(recorders)?;
        let mut presenter = Presenter {
            tables: open(tables)?,
            records: !recorders.is_empty(),
            // Of a live source frames may be dropped, so those that arrive are counted.
            frames_left: self.frames.filter(|_| self.delivery == Delivery::Latest),
            // Pictures have no time in which anything could be smoothed.
            smoother: Smoother::new(if self.search.sequence == Sequence::Pictures {
                Duration::ZERO
            } else {
                self.smoothing
            }),
            unsure_below: self.unsure_below,
            pictures: Buffers::default(),
            viewer,
            stats,
        };
        let mut limited;
        let stages = Stages {
            source: match self.frames {
                Some(frames) if self.delivery != Delivery::Latest => {
                    limited = LimitedSource::new(self.source, frames);
                    &mut limited
                }
                _ => self.source,
            },
            make_detect: || {
                let mut tracker = FaceTracker::new(self.search)?;
                let mut scene = 0;
                Ok(move |frame: &Frame, gray: &_| {
                    if std::mem::replace(&mut scene, frame.scene) != frame.scene {
                        tracker.forget();
                    }
                    tracker.track(gray, frame.id, frame.pts)
                })
            },
            classify: |frame: &_, faces: &[_]| classifier.classify(frame, faces),
            recorders,
        };
        let (losses, outcome) = pipeline::run(stages, self.delivery, stop, |event| match event {
            Event::Frame(annotated) => presenter.frame(annotated),
            Event::Notice(notice) => {
                presenter.viewer.notify(notice);
                Ok(ControlFlow::Continue(()))
            }
            Event::Idle => presenter.viewer.idle(),
        });
        let cut_off = self.delivery == Delivery::Every && (outcome.is_err() || stop.is_requested());
        let ending = if cut_off { Ending::CutOff } else { Ending::Whole };
        let finished = presenter.tables.iter_mut().map(|table| table.finish(ending)).fold(Ok(()), Result::and);
        stats.finish(losses, self.source.health());
        if cut_off || outcome.is_err() {
            let left = |path: &PathBuf| path.is_file();
            for part in self.outputs.iter().filter_map(SinkSpec::part_path).filter(left) {
                viewer.say(&format!("what was done is in {}", part.display()));
            }
        }
        outcome.and(finished)?;
        ensure!(
            losses.unrecorded == 0,
            "{} frames are missing in the recording: this machine encodes or writes too slowly. Try a smaller picture",
            losses.unrecorded
        );
        Ok(())
    }
}

/// What happens to a labelled frame on the main thread.
struct Presenter<'a> {
    tables: Vec<Box<dyn Sink + Send>>,
    /// Whether pictures are recorded.
    records: bool,
    frames_left: Option<u64>,
    smoother: Smoother,
    unsure_below: Option<f32>,
    pictures: Buffers<RgbImage>,
    viewer: &'a mut Viewer,
    stats: &'a mut Stats,
}

impl Presenter<'_> {
    fn frame(&mut self, annotated: &mut Annotated) -> Result<ControlFlow<()>> {
        let watch = Stopwatch::start();
        // Here and nowhere else: all that shows a frame comes after this.
        let pts = annotated.frame.pts;
        for prediction in &mut annotated.predictions {
            prediction.probabilities = self.smoother.smooth(prediction.id, prediction.probabilities, pts);
            prediction.unsure = self.unsure_below.is_some_and(|least| !prediction.is_confident(least));
        }
        if self.records || self.viewer.is_window() {
            let mut picture = self.pictures.picture(annotated.frame.width, annotated.frame.height);
            draw::annotate(&annotated.frame, &annotated.predictions, Arc::make_mut(&mut picture));
            self.pictures.keep(&picture);
            annotated.picture = Some(picture);
        }
        self.smoother.forget(pts);
        let mut flow = ControlFlow::Continue(());
        for table in &mut self.tables {
            if table.write(annotated)?.is_break() {
                flow = ControlFlow::Break(());
            }
        }
        if self.viewer.show(annotated)?.is_break() {
            flow = ControlFlow::Break(());
        }
        annotated.timing.render = watch.spent();
        self.stats.add(annotated);
        if let Some(left) = &mut self.frames_left {
            *left -= 1;
            if *left == 0 {
                flow = ControlFlow::Break(());
            }
        }
        Ok(flow)
    }
}
