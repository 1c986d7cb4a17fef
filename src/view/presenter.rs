//! What happens to a labelled frame on the main thread: it is smoothed, drawn, shown and counted, and its data written.

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::view::Viewer;
use crate::view::keys::Command;
use crate::view::render::{Renderer, Wanted};
use emocam::flow::labelled::Labelled;
use emocam::flow::stop::Stop;
use emocam::measure::stats::Stats;
use emocam::pipeline::Event;
use emocam::sink::{Requests, Sink};
use emocam::system::clock::Stopwatch;
use emocam::track::smooth::Smoother;

/// How often keys are looked for while a file is paused.
const PAUSE_POLL: Duration = Duration::from_millis(15);

/// The main thread's part of a run.
pub(crate) struct Presenter<'a> {
    pub(crate) tables: &'a mut [Box<dyn Sink + Send>],
    /// Whether annotated pictures are recorded from the start.
    pub(crate) draws: bool,
    pub(crate) frames_left: Option<u64>,
    /// Whether a pause stops the source: a file waits, a camera goes on.
    pub(crate) waits_when_paused: bool,
    pub(crate) smoother: Smoother,
    pub(crate) unsure_below: Option<f32>,
    pub(crate) renderer: Renderer,
    /// Takes what the keys ask to be written.
    pub(crate) requests: Option<Requests>,
    /// The frame that the window shows, as it was before anything was drawn or hidden.
    pub(crate) last: Option<Labelled>,
    pub(crate) viewer: &'a mut Viewer,
    pub(crate) stats: &'a mut Stats,
    pub(crate) stop: &'a Stop,
}

impl Presenter<'_> {
    /// Takes in what comes out of the pipeline.
    pub(crate) fn present(&mut self, event: Event<'_>) -> Result<ControlFlow<()>> {
        match event {
            Event::Frame(annotated) => self.frame(annotated),
            Event::Notice(notice) => {
                self.viewer.notify(notice);
                Ok(ControlFlow::Continue(()))
            }
            Event::Warning(warning) => {
                self.viewer.tell(&warning);
                Ok(ControlFlow::Continue(()))
            }
            Event::Idle => self.idle(),
        }
    }

    /// Tells what has happened since the last frame.
    pub(crate) fn close(&mut self) {
        self.tell_news();
    }

    fn frame(&mut self, annotated: &mut Labelled) -> Result<ControlFlow<()>> {
        let watch = Stopwatch::start();
        // Here and nowhere else: all that shows a frame comes after this.
        let pts = annotated.frame.pts;
        for prediction in &mut annotated.predictions {
            prediction.probabilities = self.smoother.smooth(prediction.id, prediction.probabilities, pts);
            prediction.unsure = self.unsure_below.is_some_and(|least| !prediction.is_confident(least));
        }
        self.smoother.forget(pts);
        let mut flow = ControlFlow::Continue(());
        for table in &mut *self.tables {
            if table.write(annotated)?.is_break() {
                flow = ControlFlow::Break(());
            }
        }
        self.renderer.remember(annotated);
        let recording = self.requests.as_ref().and_then(Requests::recording);
        let paused = self.viewer.controls().paused;
        if self.requests.is_some() && !paused {
            self.last = Some(annotated.clone());
        }
        let wanted = Wanted { recorded: self.draws || recording.is_some(), shown: self.viewer.is_window() && !paused };
        let picture = self.renderer.render(annotated, self.viewer.controls(), wanted);
        self.viewer.set_recording(recording);
        if self.viewer.show(annotated, picture.as_deref())?.is_break() {
            flow = ControlFlow::Break(());
        }
        annotated.timing.render = watch.spent();
        self.stats.add(annotated);
        if self.obey()?.is_break() {
            flow = ControlFlow::Break(());
        }
        while flow.is_continue() && self.waits_when_paused && self.viewer.controls().paused && !self.stop.is_requested()
        {
            flow = self.idle()?;
            thread::sleep(PAUSE_POLL);
        }
        if let Some(left) = &mut self.frames_left {
            *left -= 1;
            if *left == 0 {
                flow = ControlFlow::Break(());
            }
        }
        Ok(flow)
    }

    fn idle(&mut self) -> Result<ControlFlow<()>> {
        self.viewer.set_recording(self.requests.as_ref().and_then(Requests::recording));
        let flow = self.viewer.idle()?;
        Ok(if self.obey()?.is_break() { ControlFlow::Break(()) } else { flow })
    }

    /// Does what the keys ask for. `Break` for the end.
    fn obey(&mut self) -> Result<ControlFlow<()>> {
        let mut flow = ControlFlow::Continue(());
        for command in self.viewer.commands()? {
            match (command, &self.requests) {
                (Command::Quit, _) => flow = ControlFlow::Break(()),
                (Command::Record, Some(requests)) => requests.toggle_recording(),
                (Command::Snapshot, Some(requests)) => {
                    let wanted = Wanted { recorded: true, shown: false };
                    if let Some(mut last) = self.last.clone() {
                        self.renderer.render(&mut last, self.viewer.controls(), wanted);
                        last.picture.into_iter().for_each(|picture| requests.save(picture));
                    }
                }
                _ => self.redraw()?,
            }
        }
        self.tell_news();
        Ok(flow)
    }

    /// Shows a picture that stands still as it is to be shown now.
    fn redraw(&mut self) -> Result<()> {
        if !self.viewer.controls().paused {
            return Ok(());
        }
        let Some(mut last) = self.last.clone() else { return Ok(()) };
        let wanted = Wanted { recorded: false, shown: true };
        match self.renderer.render(&mut last, self.viewer.controls(), wanted) {
            Some(picture) => self.viewer.replace(&picture),
            None => Ok(()),
        }
    }

    fn tell_news(&mut self) {
        for news in self.requests.iter().flat_map(Requests::news) {
            self.viewer.tell(&news);
        }
    }
}
