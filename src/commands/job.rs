//! One run of the pipeline, from a source to outputs and a view: what `live` does once and `annotate` for each input.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use emocam::detect::Picture;
use emocam::flow::frame::Frame;
use emocam::flow::stop::Stop;
use emocam::measure::stats::Stats;
use emocam::network::classify::{Classifier, FrameFaces};
use emocam::pipeline::{self, DropPolicy, Stages};
use emocam::sink::{self, OscSink, OutputOptions, Sink, SinkSpec, Sound, on_demand};
use emocam::source::{Excerpt, ExcerptSource, LimitedSource, Source, SourceInfo, Switch};
use emocam::track::smooth::Smoother;
use emocam::track::{FaceTracker, Search, Sequence};

use crate::view::keys::Controls;
use crate::view::lines::Lines;
use crate::view::presenter::{Presenter, State};
use crate::view::{DISPLAY_GONE, View, display_is_gone};

/// What is to be done.
pub(crate) struct Job<'a> {
    /// Where frames come from.
    pub(crate) source: &'a mut dyn Source,
    /// What happens to frames that nobody takes in time.
    pub(crate) drop_policy: DropPolicy,
    /// Where results go; they were checked before.
    pub(crate) outputs: &'a [SinkSpec],
    /// What else takes results, frame by frame.
    pub(crate) tables: Vec<Box<dyn Sink + Send>>,
    /// How outputs are written.
    pub(crate) options: OutputOptions<'a>,
    /// Which of its frames are wanted.
    pub(crate) excerpt: Excerpt,
    /// After how many of these to stop.
    pub(crate) frames: Option<u64>,
    /// How faces are looked for.
    pub(crate) search: Search,
    /// How many faces of a frame are labelled at most in motion, the others by turns; by default all of a file's, and of a
    /// camera's what its time allows.
    pub(crate) faces_a_frame: Option<usize>,
    /// How many frames are labelled at once where none is waited for; by default what suits the classifier's device.
    pub(crate) frames_at_once: Option<usize>,
    /// How long a change of expression takes to show, in motion.
    pub(crate) smoothing: Duration,
    /// What is switched on at the start.
    pub(crate) controls: Controls,
    /// The confidence below which a face is shown as unsure, 0 to 1.
    pub(crate) unsure_below: Option<f32>,
    /// Where results are sent as they come.
    pub(crate) osc: Option<OscSink>,
    /// Takes the next camera.
    pub(crate) switch: Option<Switch>,
    /// Lines that mark moments in the data.
    pub(crate) lines: Option<Lines>,
}

impl Job<'_> {
    /// How many faces of a frame are read at most. Pictures have no next frame.
    fn most_faces(&self, classifier: &Classifier) -> Option<usize> {
        let is_live = self.drop_policy == DropPolicy::Latest && classifier.device().is_cpu();
        let by_default = is_live.then(pipeline::most_in_time);
        self.faces_a_frame.or(by_default).filter(|_| self.search.sequence != Sequence::Pictures)
    }

    /// Does it. Outputs are completed also when it fails. After a good end a window holds its last picture until the user
    /// closes it.
    ///
    /// # Errors
    /// The first error of a stage, else of an output that can't be completed; or that frames are missing in a recording.
    pub(crate) fn run(
        mut self,
        classifier: &mut Classifier,
        mut view: View,
        stop: &Stop,
        stats: &mut Stats,
    ) -> Result<()> {
        let faces_a_frame = self.most_faces(classifier);
        let (recorders, tables): (Vec<_>, Vec<_>) = self.outputs.iter().partition(|output| output.takes_time());
        let records = recorders.iter().any(|recorder| recorder.wants_drawing());
        let SourceInfo { name, start, .. } = self.source.info().clone();
        let sound = self.options.sound.map(|sound| Sound { start, ..sound });
        let options = OutputOptions { sound, source: Some(&name), ..self.options };
        let open = |outputs: Vec<&SinkSpec>| {
            outputs.into_iter().map(|output| output.open(options)).collect::<Result<Vec<_>>>()
        };
        // First what may fail: a table is created when it is opened, and would be in the way of the next try.
        let mut recorders = open(recorders)?;
        let mut tables = open(tables)?;
        tables.append(&mut self.tables);
        // First, so that it waits for no other.
        if let Some(osc) = self.osc {
            tables.insert(0, Box::new(osc));
        }
        let has_outputs = !(recorders.is_empty() && tables.is_empty());
        let needs_outputs = has_outputs && !view.draws();
        // In the window, recordings and pictures can be asked for at any time.
        let requests = view.draws().then(|| {
            let (requests, writer) = on_demand(Path::new(""), self.options);
            recorders.push(Box::new(writer));
            requests
        });
        if self.lines.as_ref().is_some_and(Lines::are_typed) {
            view.leave_room_for_typing();
        }
        stats.look_for(self.search.smallest_face);
        // Pictures have no time in which anything could be smoothed.
        let smoothing = if self.search.sequence == Sequence::Pictures { Duration::ZERO } else { self.smoothing };
        let mut presenter = Presenter {
            view,
            controls: self.controls,
            records,
            has_outputs,
            // Of a live source frames may be dropped, so those that arrive are counted.
            frames_left: self.frames.filter(|_| self.drop_policy == DropPolicy::Latest),
            waits_when_paused: self.drop_policy == DropPolicy::EveryInRealTime,
            smoother: Smoother::new(smoothing),
            unsure_below: self.unsure_below,
            lines: self.lines,
            switch: self.switch,
            writes_marks: !tables.is_empty(),
            requests,
            stats,
            stop,
            state: State::default(),
        };
        let (mut excerpt, mut limited);
        let source: &mut dyn Source = if self.excerpt == Excerpt::default() {
            self.source
        } else {
            excerpt = ExcerptSource::new(self.source, self.excerpt);
            &mut excerpt
        };
        let stages = Stages {
            source: match self.frames {
                Some(frames) if self.drop_policy != DropPolicy::Latest => {
                    limited = LimitedSource::new(source, frames);
                    &mut limited
                }
                _ => source,
            },
            make_detect: || {
                let mut tracker = FaceTracker::new(self.search)?;
                let mut scene = 0;
                Ok(move |frame: &Frame, gray: &_| {
                    if std::mem::replace(&mut scene, frame.scene) != frame.scene {
                        tracker.forget();
                    }
                    tracker.track(Picture { rgb: &frame.rgb, gray }, frame.id, frame.pts)
                })
            },
            faces_a_frame,
            frames_at_once: self.frames_at_once.unwrap_or_else(|| classifier.frames_at_once()),
            classify: |frames: &[FrameFaces<'_>], tell: &mut dyn FnMut(String)| {
                classifier.classify_frames(frames, tell)
            },
            tables,
            recorders,
            needs_outputs,
        };
        let (losses, outcome) = pipeline::run(stages, self.drop_policy, stop, |event| presenter.present(event));
        presenter.tell_news();
        // A wish to stop that came when the recordings were being completed cut nothing off.
        let is_recorded = sink::are_whole(self.outputs.iter().filter(|output| output.takes_time()));
        let is_stopped = stop.is_requested() && !is_recorded;
        let cut_off = self.drop_policy == DropPolicy::Every && (outcome.is_err() || is_stopped);
        // A decoder's time is known when it has ended.
        self.source.close();
        let health = self.source.health();
        presenter.stats.finish(losses, health);
        if cut_off || outcome.is_err() {
            for part in self.outputs.iter().filter_map(SinkSpec::part_path).filter(|path| path.is_file()) {
                presenter.view.say(&format!("what was done is in {}", part.display()));
            }
        }
        outcome?;
        // Of a camera a frame that is lost is one of many.
        ensure!(
            health.damaged == 0 || self.search.sequence != Sequence::Pictures,
            "{} could not be read, see above; all else was done",
            if health.damaged == 1 { "a picture".to_owned() } else { format!("{} pictures", health.damaged) }
        );
        ensure!(!display_is_gone(), "{DISPLAY_GONE}; all else was done");
        ensure!(
            losses.unrecorded == 0,
            "{} frames are missing in the recording: this machine encodes or writes too slowly. Try a smaller picture",
            losses.unrecorded
        );
        presenter.hold(on_demand(Path::new(""), self.options))
    }
}
