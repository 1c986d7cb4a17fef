//! The main thread's loop: what happens to a labelled frame, and what keys do to it. A frame is smoothed, drawn, shown and
//! counted, and its data written.
//!
//! A picture that stands still, in a pause of a file or after its end, is a state of the same loop: every key works there.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use emocam::flow::labelled::Labelled;
use emocam::flow::stop::Stop;
use emocam::measure::stats::Stats;
use emocam::pipeline::Event;
use emocam::sink::{Ending, OnDemand, Requests, Sink};
use emocam::source::{Notice, Switch};
use emocam::system::clock::Stopwatch;
use emocam::track::smooth::Smoother;
use image::RgbImage;

use super::keys::{Controls, KeyAction};
use super::lines::{Lines, MOST_LETTERS};
use super::marks::{Marks, told};
use super::render::{Renderer, Wanted};
use super::status::Meter;
use super::{Sight, View, display_is_gone};

/// How often keys are looked for while a picture stands still.
const STILL_POLL: Duration = Duration::from_millis(15);

/// How often a picture that stands still after the end is recorded.
const STILL_PERIOD: Duration = Duration::from_millis(100);

/// How many marks of a moment are told one by one.
const MOST_TOLD: usize = 3;

const RECORDED: Wanted = Wanted { recorded: true, shown: false };
const SHOWN: Wanted = Wanted { recorded: false, shown: true };

/// The main thread's part of a run.
pub(crate) struct Presenter<'a> {
    pub(crate) view: View,
    pub(crate) controls: Controls,
    /// Whether annotated pictures are recorded from the start.
    pub(crate) records: bool,
    /// Whether the run is of use to somebody who does not watch.
    pub(crate) has_outputs: bool,
    pub(crate) frames_left: Option<u64>,
    /// Whether a pause stops the source: a file waits, a camera goes on.
    pub(crate) waits_when_paused: bool,
    pub(crate) smoother: Smoother,
    pub(crate) unsure_below: Option<f32>,
    /// Lines that mark moments.
    pub(crate) lines: Option<Lines>,
    /// Takes the next camera.
    pub(crate) switch: Option<Switch>,
    /// Whether any output takes what is marked.
    pub(crate) writes_marks: bool,
    /// Takes what the keys ask to be written.
    pub(crate) requests: Option<Requests>,
    pub(crate) stats: &'a mut Stats,
    pub(crate) stop: &'a Stop,
    pub(crate) state: State,
}

/// What came before the moment at hand.
#[derive(Default)]
pub(crate) struct State {
    renderer: Renderer,
    meter: Meter,
    /// The frame that the window shows, as it was before anything was drawn or hidden.
    last: Option<Labelled>,
    /// What was said last of frames that don't come, unless a later one has come.
    notice: Option<Notice>,
    marks: Marks,
    /// Whether it was said that a line was too long.
    has_cut: bool,
    /// Writes what is asked for after the end.
    after_end: Option<AfterEnd>,
}

/// The writer that works when the run's own is done. Nothing moves then, so it may do so on this thread.
struct AfterEnd {
    writer: OnDemand,
    since: Instant,
    recorded_at: Instant,
}

impl Presenter<'_> {
    /// Takes in what comes out of the pipeline. `Break` for the end.
    pub(crate) fn present(&mut self, event: Event<'_>) -> Result<ControlFlow<()>> {
        match event {
            Event::Frame(labelled) => return self.frame(labelled),
            Event::Notice(notice) => {
                if self.state.notice.as_ref().is_none_or(|last| last.text != notice.text) {
                    self.view.say(&notice.text);
                }
                self.state.notice = Some(notice);
            }
            Event::Warning(warning) => self.view.tell(&warning),
            Event::Idle => return self.idle(),
            Event::End(marks) => {
                self.hear_lines();
                self.tell_news();
                *marks = self.state.marks.take();
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Tells what was written since the last frame, and marks it.
    pub(crate) fn tell_news(&mut self) {
        for (at, text) in self.requests.iter().flat_map(Requests::marks) {
            self.state.marks.add(text, at);
        }
        for (at, camera) in self.switch.iter().flat_map(Switch::taken) {
            self.state.marks.add(camera, at);
        }
        for news in self.requests.iter().flat_map(Requests::news) {
            self.view.tell(&news);
        }
    }

    /// Leaves the last picture in the window until the user closes it. All outputs are complete.
    pub(crate) fn hold(&mut self, (requests, writer): (Requests, OnDemand)) -> Result<()> {
        self.requests = Some(requests);
        self.state.after_end = Some(AfterEnd { writer, since: Instant::now(), recorded_at: Instant::now() });
        let held = self.stand_still();
        let written = self.state.after_end.take().map_or(Ok(()), |mut end| end.writer.finish(Ending::Whole));
        self.tell_news();
        held.and(written)
    }

    fn frame(&mut self, labelled: &mut Labelled) -> Result<ControlFlow<()>> {
        let watch = Stopwatch::start();
        self.state.marks.tick(labelled.frame.pts, labelled.frame.captured_at);
        self.leave_out_pause(labelled);
        self.smooth(labelled);
        self.end_notice(labelled);
        self.state.renderer.remember(labelled);
        let is_still = self.controls.paused;
        if self.requests.is_some() && !is_still {
            self.state.last = Some(labelled.clone());
        }
        let recorded = self.records || self.recording().is_some();
        let wanted = Wanted { recorded, shown: self.view.draws() && !is_still };
        let picture = self.state.renderer.render(labelled, &self.controls, wanted);
        self.state.meter.tick(labelled);
        let mut is_over = self.show(Some(labelled), picture.as_deref())?.is_break();
        labelled.timing.render = watch.spent();
        self.stats.add(labelled);
        is_over |= self.obey()?.is_break();
        if !is_over && self.stands_still() {
            self.state.marks.stand_still();
            is_over = self.stand_still()?.is_break();
            self.state.marks.go_on();
            self.state.meter.restart();
        }
        if let Some(left) = &mut self.frames_left {
            *left -= 1;
            is_over |= *left == 0;
        }
        labelled.events = self.state.marks.take();
        Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Here and nowhere else: all that shows a frame comes after this.
    fn smooth(&mut self, labelled: &mut Labelled) {
        self.smoother.smooth_frame(labelled);
        for prediction in &mut labelled.predictions {
            prediction.unsure |= self.unsure_below.is_some_and(|least| !prediction.is_confident(least));
        }
    }

    /// A frame's clock stands still in a pause: what it waited there is no latency.
    fn leave_out_pause(&self, labelled: &mut Labelled) {
        let at = &mut labelled.frame.captured_at;
        if let Some((begun, ended)) = self.state.marks.pause() {
            *at += ended.saturating_duration_since(begun.max(*at));
        }
    }

    fn end_notice(&mut self, labelled: &Labelled) {
        let at = labelled.frame.captured_at;
        if let Some(notice) = self.state.notice.take_if(|notice| at > notice.since) {
            let away = at.saturating_duration_since(notice.since);
            self.view.say(&format!("frames again after {:.1} s", away.as_secs_f64()));
        }
    }

    fn recording(&self) -> Option<Duration> {
        self.requests.as_ref().and_then(Requests::recording)
    }

    fn show(&mut self, frame: Option<&Labelled>, picture: Option<&RgbImage>) -> Result<ControlFlow<()>> {
        let recording = self.recording();
        let shown = self.view.show(&Sight {
            frame,
            picture,
            line: self.state.meter.line(),
            controls: &self.controls,
            recording,
            notice: self.state.notice.as_ref(),
        })?;
        // Without a window no key would ever end it.
        let is_of_use = self.has_outputs || recording.is_some() || !display_is_gone();
        Ok(if is_of_use { shown } else { ControlFlow::Break(()) })
    }

    /// What there is to do while no frame comes.
    fn idle(&mut self) -> Result<ControlFlow<()>> {
        let shown = self.show(None, None)?;
        let obeyed = self.obey()?;
        Ok(if shown.is_break() { shown } else { obeyed })
    }

    fn stands_still(&self) -> bool {
        let is_paused = self.waits_when_paused && self.controls.paused;
        (is_paused || self.state.after_end.is_some()) && self.view.is_open() && !self.stop.is_requested()
    }

    /// Does what there is to do while the picture stands still. `Break` for the end.
    fn stand_still(&mut self) -> Result<ControlFlow<()>> {
        while self.stands_still() {
            if self.idle()?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.write_after_end()?;
            thread::sleep(STILL_POLL);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Saves pictures and goes on with a recording, both of the picture that stands still.
    fn write_after_end(&mut self) -> Result<()> {
        let is_recording = self.recording().is_some();
        let Some(end) = &mut self.state.after_end else { return Ok(()) };
        end.writer.idle();
        if is_recording && end.recorded_at.elapsed() >= STILL_PERIOD {
            end.recorded_at = Instant::now();
            let (pts, now) = (end.since.elapsed(), end.recorded_at);
            if let Some((mut labelled, _)) = self.still(RECORDED) {
                (labelled.frame.pts, labelled.frame.captured_at) = (pts, now);
                let _ = self.state.after_end.as_mut().map(|end| end.writer.write(&labelled)).transpose()?;
            }
        }
        Ok(())
    }

    /// Does what the keys ask for. `Break` for the end.
    fn obey(&mut self) -> Result<ControlFlow<()>> {
        let mut flow = ControlFlow::Continue(());
        let actions = self.view.actions()?;
        for action in &actions {
            self.controls.switch(*action);
            match action {
                KeyAction::Quit => flow = ControlFlow::Break(()),
                KeyAction::Mark(digit) => self.mark(digit.to_string(), Instant::now()),
                KeyAction::Camera => match &self.switch {
                    Some(switch) => switch.request(),
                    None => self.view.tell("key c is for cameras, and this is none"),
                },
                KeyAction::Record => self.requests.iter().for_each(Requests::toggle_recording),
                KeyAction::Snapshot => {
                    let picture = self.still(RECORDED).and_then(|(labelled, _)| labelled.picture);
                    self.requests.iter().zip(picture).for_each(|(requests, picture)| requests.save(picture));
                }
                _ => {}
            }
        }
        // A picture that moves is drawn anew in any case.
        if !actions.is_empty()
            && (self.controls.paused || self.state.after_end.is_some())
            && let Some((_, picture)) = self.still(SHOWN)
        {
            let _ = self.show(None, picture.as_deref())?;
        }
        self.hear_lines();
        self.tell_news();
        Ok(flow)
    }

    /// Marks a moment in the data, and says so.
    fn mark(&mut self, text: String, at: Instant) {
        let what = format!("mark {text}");
        let told = if self.state.after_end.is_some() {
            format!("{what} came after the end: all outputs are complete")
        } else {
            let time = told(self.state.marks.add(text, at));
            let nowhere = if self.writes_marks { "" } else { ", written nowhere: -o FILE.jsonl keeps it" };
            format!("{what} at {time}{nowhere}")
        };
        self.view.tell(&told);
    }

    /// Marks the moments of lines that have come.
    fn hear_lines(&mut self) {
        let Some(lines) = &self.lines else { return };
        self.view.forget_typed(lines.typed());
        let lines: Vec<_> = lines.take(self.state.marks.room()).collect();
        if lines.iter().any(|line| line.is_cut) && !std::mem::replace(&mut self.state.has_cut, true) {
            self.view.say(&format!("a line on standard input has more than {MOST_LETTERS} letters, and is cut there"));
        }
        // Whoever sends so many looks at none of them here.
        let count = lines.len();
        let (first, rest) = lines.split_at(count.min(MOST_TOLD));
        first.iter().for_each(|line| self.mark(line.text.clone(), line.at));
        for line in rest {
            self.state.marks.add(line.text.clone(), line.at);
        }
        if !rest.is_empty() {
            self.view.say(&format!("and {} more", rest.len()));
        }
    }

    /// The frame in the window drawn anew, and the window's picture of it.
    fn still(&mut self, wanted: Wanted) -> Option<(Labelled, Option<Arc<RgbImage>>)> {
        let mut last = self.state.last.clone()?;
        let picture = self.state.renderer.render(&mut last, &self.controls, wanted);
        Some((last, picture))
    }
}
