//! Which face is which, from frame to frame, and where to look for it.
//!
//! Owns when a whole frame is scanned and when only the surroundings of known faces are searched, one identity per face,
//! and the smoothing of boxes. Coordinates are pixels of the frame; time is the frames' own (`pts`), so that a file gives
//! the same result at any speed. Labels are smoothed elsewhere (`smooth`).
//!
//! In motion, each known face is searched for near its expected place in every frame. New ones are found by a sweep over
//! the whole frame that is spread over several frames; where it suspects a face, a closer look decides.

mod motion;
mod schedule;
mod tracks;

use std::time::Duration;

use anyhow::Result;
use image::GrayImage;

use crate::detect::{FaceDetector, Nearby, SmallestFace};
use crate::frame::FaceBox;
use schedule::Schedule;
use tracks::{Found, Tracks, overlap};

/// The most faces of a frame that are labelled in motion, the largest ones: a bound for the time that a frame takes.
pub const MOST_FACES: usize = 16;

/// The most faces of a picture that are labelled.
pub const MOST_FACES_IN_PICTURES: usize = 256;

/// A box must score this much to become a new face in motion. False boxes stay, so a missed frame is the lesser evil: on
/// clips of people before a camera this keeps 99% of the faces that a threshold of 2 lets through, and half of the false
/// boxes.
const NEW_SCORE: f32 = 4.0;

/// A known face that is searched for nearby must score this much to count as found.
const FOLLOW_SCORE: f32 = 1.0;

/// After a longer gap in time, in seconds, nothing is where it was: the frame is scanned whole.
const GAP: f32 = 0.5;

/// What overlaps a known face more than this is not news.
const KNOWN: f32 = 0.2;

/// How many suspicions are kept for the next frames.
const SUSPICIONS: usize = 8;

/// A face that keeps its identity from frame to frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackedFace {
    /// Counted from 0 in each run; never used twice.
    pub id: u64,
    /// Where it is. The score is 0 where it was not found in this very frame, but is expected.
    pub face: FaceBox,
}

/// The faces of one frame.
#[derive(Clone, Debug, Default)]
pub struct Faces {
    /// Those that are labelled.
    pub tracked: Vec<TrackedFace>,
    /// How many more there are, beyond [`MOST_FACES`].
    pub ignored: usize,
}

/// How faces are looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// The smallest face to be found.
    pub smallest_face: SmallestFace,
    /// How frames follow each other.
    pub sequence: Sequence,
}

/// How frames follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// Pictures that have nothing to do with each other: each is scanned whole, and faces are numbered in each.
    Pictures,
    /// A camera or a video, swept over in this many frames; `None` for a third of a second.
    Motion(Option<u32>),
}

/// Finds faces and follows them. It can't be sent to another thread: make it where it is used.
pub struct FaceTracker {
    detector: FaceDetector,
    sequence: Sequence,
    schedule: Schedule,
    tracks: Tracks,
    last: Option<(Duration, (u32, u32))>,
    /// Where the sweep saw something, likeliest last.
    suspicions: Vec<FaceBox>,
    /// Hidden faces are searched for in turn.
    turn: usize,
    /// Where this sweep saw faces that there is no room for, and how many the last one saw.
    crowd: Vec<FaceBox>,
    last_crowd: usize,
}

impl FaceTracker {
    /// A tracker that knows no face yet.
    ///
    /// # Errors
    /// As [`FaceDetector::new`].
    pub fn new(search: Search) -> Result<Self> {
        let asked = if let Sequence::Motion(asked) = search.sequence { asked } else { None };
        Ok(Self {
            detector: FaceDetector::new(search.smallest_face)?,
            sequence: search.sequence,
            schedule: Schedule::new(asked),
            tracks: Tracks::new(MOST_FACES),
            last: None,
            suspicions: Vec::new(),
            turn: 0,
            crowd: Vec::new(),
            last_crowd: 0,
        })
    }

    /// The faces of the next frame, which was taken at `pts`. Times that stand still or go back count as one frame's.
    ///
    /// # Errors
    /// As [`FaceDetector::detect`].
    pub fn track(&mut self, frame: &GrayImage, pts: Duration) -> Result<Faces> {
        if self.sequence == Sequence::Pictures {
            return self.picture(frame);
        }
        let Some(seconds) = self.seconds_since_last(frame, pts) else {
            self.tracks.clear();
            let found = self.scan(frame)?;
            self.tracks.update(found, self.schedule.interval());
            return Ok(self.tracks.faces());
        };
        self.tracks.advance(seconds);
        if self.schedule.frames() == 1 || seconds > GAP {
            let found = self.scan(frame)?;
            self.tracks.update(found, seconds);
            return Ok(self.tracks.faces());
        }
        let mut found = self.follow(frame)?;
        found.extend(self.look_for_new(frame, &found)?);
        self.tracks.update(found, seconds);
        let mut faces = self.tracks.faces();
        faces.ignored = faces.ignored.max(self.last_crowd);
        Ok(faces)
    }

    fn picture(&mut self, frame: &GrayImage) -> Result<Faces> {
        let found = self.detector.detect(frame)?;
        let ignored = found.len().saturating_sub(MOST_FACES_IN_PICTURES);
        let kept = found.into_iter().take(MOST_FACES_IN_PICTURES);
        let tracked = kept.enumerate().map(|(id, face)| TrackedFace { id: id as u64, face });
        Ok(Faces { tracked: tracked.collect(), ignored })
    }

    /// `None` for the first frame and where the size has changed: nothing known is of use then.
    fn seconds_since_last(&mut self, frame: &GrayImage, pts: Duration) -> Option<f32> {
        let size = frame.dimensions();
        let last = self.last.replace((pts, size));
        let (last, _) = last.filter(|(_, last_size)| *last_size == size)?;
        match pts.checked_sub(last).map(|passed| passed.as_secs_f32()).filter(|&passed| passed > 0.0) {
            Some(passed) => {
                self.schedule.note(passed);
                Some(passed)
            }
            None => Some(self.schedule.interval()),
        }
    }

    /// The whole frame at once.
    fn scan(&mut self, frame: &GrayImage) -> Result<Vec<Found>> {
        self.schedule.restart();
        self.suspicions.clear();
        self.crowd.clear();
        self.last_crowd = 0;
        let faces = self.detector.detect(frame)?;
        Ok(faces.into_iter().map(|face| Found { face, may_be_new: face.score >= NEW_SCORE }).collect())
    }

    /// The known faces, each near its expected place, and one of those that are out of sight.
    fn follow(&mut self, frame: &GrayImage) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for place in self.tracks.shown_places() {
            let mut faces = self.search_near(frame, &place, Nearby::FOLLOW)?;
            if faces.is_empty() {
                faces = self.search_near(frame, &place, Nearby::VERIFY)?;
            }
            found.extend(faces);
        }
        let hidden = self.tracks.hidden_places();
        if !hidden.is_empty() {
            self.turn = (self.turn + 1) % hidden.len();
            found.extend(self.search_near(frame, &hidden[self.turn], Nearby::VERIFY)?);
        }
        Ok(found)
    }

    fn search_near(&mut self, frame: &GrayImage, place: &FaceBox, how: Nearby) -> Result<Vec<Found>> {
        let faces = self.detector.search_near(frame, place, how)?.into_iter();
        let faces = faces.filter(|face| face.score >= FOLLOW_SCORE);
        Ok(faces.map(|face| Found { face, may_be_new: false }).collect())
    }

    /// The parts of the sweep that are due, and a closer look at the likeliest place of a new face.
    fn look_for_new(&mut self, frame: &GrayImage, known: &[Found]) -> Result<Option<Found>> {
        let parts = self.detector.sweep_of(frame)?;
        let (due, complete) = self.schedule.due(&parts);
        for part in &parts[due] {
            self.suspicions.extend(self.detector.glance(frame, part)?);
        }
        let places = self.tracks.shown_places();
        let is_known = |face: &FaceBox| {
            places.iter().chain(known.iter().map(|found| &found.face)).any(|known| overlap(known, face) > KNOWN)
        };
        self.suspicions.retain(|face| !is_known(face));
        let turned_away = self.suspicions.extract_if(.., |face| !self.tracks.has_room_for(face));
        for face in turned_away {
            if self.crowd.iter().all(|other| overlap(other, &face) <= KNOWN) {
                self.crowd.push(face);
            }
        }
        if complete {
            self.last_crowd = self.crowd.len();
            self.crowd.clear();
        }
        self.suspicions.sort_by(|a, b| a.score.total_cmp(&b.score));
        let Some(suspicion) = self.suspicions.pop() else { return Ok(None) };
        // The same face shows in several parts.
        self.suspicions.retain(|face| overlap(face, &suspicion) <= KNOWN);
        let excess = self.suspicions.len().saturating_sub(SUSPICIONS);
        self.suspicions.drain(..excess);
        let faces = self.detector.search_near(frame, &suspicion, Nearby::VERIFY)?;
        let face = faces.into_iter().find(|face| face.score >= NEW_SCORE && overlap(face, &suspicion) > KNOWN);
        Ok(face.map(|face| Found { face, may_be_new: true }))
    }
}
