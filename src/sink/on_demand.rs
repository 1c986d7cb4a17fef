//! What a person asks for while a run goes on: recordings that begin and end with a key, and pictures.
//!
//! Owns their names (the date and the time, in the current folder) and the way from the keys, which the main thread hears,
//! to the recorder's thread, where all writing is done: a slow disk stops no window. Nothing that goes wrong here ends the
//! run; it is told at once, and is the run's error in the end.

use std::mem;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use image::RgbImage;

use super::options::OutputOptions;
use super::part::part_path;
use super::picture_file::write_picture;
use super::record::Record;
use super::recorder::Recorder;
use super::{Ending, Shown, Sink};
use crate::flow::labelled::Labelled;

/// The end that asks.
pub struct Requests(Arc<Mutex<Shared>>);

/// The end that writes.
pub struct OnDemand {
    shared: Arc<Mutex<Shared>>,
    options: OutputOptions<'static>,
    record: Option<Record>,
    folder: PathBuf,
    recording: Option<(Recorder, PathBuf)>,
    first_error: Option<Error>,
}

#[derive(Default)]
struct Shared {
    /// Since when a recording is asked for.
    since: Option<Instant>,
    /// When the last one was asked to end.
    ended_at: Option<Instant>,
    pictures: Vec<Arc<RgbImage>>,
    news: Vec<String>,
    marks: Vec<(Instant, String)>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Each holder leaves it as it should be.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both ends. Files go into `folder`.
pub fn on_demand(folder: &Path, options: OutputOptions<'_>) -> (Requests, OnDemand) {
    let shared = Arc::<Mutex<Shared>>::default();
    let record = options.record.cloned();
    let options = OutputOptions { force: false, source: None, sound: None, record: None, ..options };
    let writer = OnDemand {
        shared: Arc::clone(&shared),
        options,
        record,
        folder: folder.to_path_buf(),
        recording: None,
        first_error: None,
    };
    (Requests(shared), writer)
}

impl Requests {
    /// Begins a recording, or ends it.
    pub fn toggle_recording(&self) {
        let (mut shared, now) = (lock(&self.0), Instant::now());
        (shared.since, shared.ended_at) = if shared.since.is_none() { (Some(now), None) } else { (None, Some(now)) };
    }

    /// For how long a recording has been going on.
    pub fn recording(&self) -> Option<Duration> {
        lock(&self.0).since.map(|since| since.elapsed())
    }

    /// Asks for a picture to be saved.
    pub fn save(&self, picture: Arc<RgbImage>) {
        lock(&self.0).pictures.push(picture);
    }

    /// What was done or went wrong since the last time.
    pub fn news(&self) -> Vec<String> {
        mem::take(&mut lock(&self.0).news)
    }

    /// When recordings that have begun or ended since the last time were asked for, and which, for the data.
    pub fn marks(&self) -> Vec<(Instant, String)> {
        mem::take(&mut lock(&self.0).marks)
    }
}

impl OnDemand {
    /// Records a frame, the first one to a new file.
    fn record(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        let (recorder, _) = match &mut self.recording {
            Some(recording) => recording,
            None => {
                let path = new_name(&self.folder, "mp4");
                let options = OutputOptions { record: self.record.as_ref(), ..self.options };
                let recorder = Recorder::create(&path, Shown::Labelled, options)?;
                let mut shared = lock(&self.shared);
                let since = shared.since.unwrap_or_else(Instant::now);
                shared.marks.push((since, format!("recording started: {}", path.display())));
                drop(shared);
                self.recording.insert((recorder, path))
            }
        };
        recorder.write(labelled)
    }

    /// Ends the recording, if there is one.
    fn end(&mut self, ending: Ending) {
        if let Some((mut recorder, path)) = self.recording.take() {
            let outcome = recorder.finish(ending);
            self.mark_end(&path);
            self.tell(outcome.map(|()| format!("saved {}", path.display())));
        }
    }

    fn mark_end(&self, path: &Path) {
        let mut shared = lock(&self.shared);
        let at = shared.ended_at.take().unwrap_or_else(Instant::now);
        shared.marks.push((at, format!("recording ended: {}", path.display())));
    }

    fn save_pictures(&mut self) {
        let pictures = mem::take(&mut lock(&self.shared).pictures);
        let record = self.record.as_ref().map(|record| record.ended(true));
        for picture in pictures {
            let path = new_name(&self.folder, "png");
            let outcome = write_picture(&picture, &path, OutputOptions { record: record.as_ref(), ..self.options });
            self.tell(outcome.map(|()| format!("saved {}", path.display())));
        }
    }

    fn tell(&mut self, outcome: Result<String>) {
        let text = match outcome {
            Ok(text) => text,
            Err(error) => {
                let text = format!("{error:#}");
                self.first_error.get_or_insert(error);
                text
            }
        };
        lock(&self.shared).news.push(text);
    }
}

impl Sink for OnDemand {
    fn write(&mut self, labelled: &Labelled) -> Result<ControlFlow<()>> {
        self.idle();
        let is_wanted = lock(&self.shared).since.is_some();
        if is_wanted && let Err(error) = self.record(labelled) {
            // What is there so far is kept.
            if let Some((_, path)) = self.recording.take() {
                self.mark_end(&path);
            }
            self.tell(Err(error));
            lock(&self.shared).since = None;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Pictures are saved and recordings ended also while a file is paused or a camera away.
    fn idle(&mut self) {
        self.save_pictures();
        let is_over = lock(&self.shared).since.is_none();
        if is_over {
            self.end(Ending::Whole);
        }
    }

    fn finish(&mut self, ending: Ending) -> Result<()> {
        self.save_pictures();
        self.end(ending);
        self.first_error.take().map_or(Ok(()), Err)
    }
}

/// `emocam-2026-11-24-13.05.00.mp4`, by the clock on the wall; with a number where that is taken.
fn new_name(folder: &Path, extension: &str) -> PathBuf {
    let time = jiff::ZonedDateTime::now().strftime("%Y-%m-%d-%H.%M.%S").to_string();
    let is_free = |path: &PathBuf| !path.exists() && !part_path(path).exists();
    let named = |end: String| folder.join(format!("emocam-{time}{end}.{extension}"));
    let first = named(String::new());
    if is_free(&first) {
        return first;
    }
    (2..1000).map(|number| named(format!("-{number}"))).find(is_free).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::tests::labelled;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("the folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Two recordings and a picture, one after the other.
    #[test]
    fn each_recording_is_a_file_of_its_own_and_bears_its_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (requests, mut writer) = on_demand(folder.path(), OutputOptions::default());
        let mut frames = 0..;
        let mut write = |count: usize| {
            for id in frames.by_ref().take(count) {
                let _ = writer.write(&labelled(id, id * 33_000_000, 64, 48, vec![])).expect("nothing ends the run");
            }
        };
        write(2);
        assert!(names(folder.path()).is_empty() && requests.recording().is_none());
        for recordings in 1..=2 {
            let before = Instant::now();
            requests.toggle_recording();
            write(3);
            assert!(requests.recording().is_some());
            requests.toggle_recording();
            let asked = Instant::now();
            write(1);
            let [(begun, start), (ended, end)] = &requests.marks()[..] else { panic!("two marks") };
            // Of the keys, not of what came of them.
            assert!(before <= *begun && begun <= ended && *ended <= asked);
            let name = start.strip_prefix("recording started: ").expect("a start");
            assert!(name.ends_with(".mp4") && end.strip_prefix("recording ended: ") == Some(name), "{start} {end}");
            assert!(requests.recording().is_none());
            assert_eq!(names(folder.path()).iter().filter(|name| name.ends_with(".mp4")).count(), recordings);
        }
        requests.save(Arc::new(RgbImage::new(8, 8)));
        write(1);
        let (names, news) = (names(folder.path()), requests.news());
        assert_eq!((names.len(), news.len()), (3, 3), "{names:?} {news:?}");
        // emocam-2026-11-24-13.05.00
        assert!(names.iter().all(|name| name.starts_with("emocam-2") && name.len() >= 30), "{names:?}");
        assert!(news.iter().all(|text| text.starts_with("saved ")), "{news:?}");
        writer.finish(Ending::Whole).expect("nothing went wrong");
    }

    #[test]
    fn a_recording_that_goes_on_at_the_end_is_completed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (requests, mut writer) = on_demand(folder.path(), OutputOptions::default());
        requests.toggle_recording();
        let _ = writer.write(&labelled(0, 0, 64, 48, vec![])).expect("nothing ends the run");
        assert!(names(folder.path())[0].ends_with(".part.mp4"));
        writer.finish(Ending::Whole).expect("a disk with room");
        assert!(!names(folder.path())[0].contains("part"));
    }

    #[test]
    fn what_cannot_be_written_is_told_and_is_the_error_in_the_end() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (requests, mut writer) = on_demand(&folder.path().join("none"), OutputOptions::default());
        requests.toggle_recording();
        requests.save(Arc::new(RgbImage::new(8, 8)));
        for id in 0..3 {
            let _ = writer.write(&labelled(id, id, 64, 48, vec![])).expect("nothing ends the run");
        }
        assert!(requests.recording().is_none());
        let news = requests.news();
        assert_eq!(news.len(), 2, "{news:?}");
        assert!(news.iter().all(|text| text.contains("can't be written")), "{news:?}");
        writer.finish(Ending::Whole).expect_err("something was lost");
    }
}
