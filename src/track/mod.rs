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
pub mod smooth;
mod tracks;

use std::time::Duration;

use anyhow::Result;
use image::GrayImage;

use crate::detect::{FaceDetector, Nearby, SmallestFace};
use crate::flow::frame::FaceBox;
use schedule::Schedule;
pub use tracks::{Faces, TrackedFace};
use tracks::{Found, Tracks, overlap};

/// The most faces of a frame that are labelled in motion, the largest ones: a bound for the time that a frame takes.
const MOST_FACES: usize = 16;

/// The most faces of a picture that are labelled.
const MOST_FACES_IN_PICTURES: usize = 256;

/// A box must score this much to become a new face in motion. False boxes stay, so a missed frame is the lesser evil: on
/// clips of people before a camera 95% of the closer looks at a face reach this, and a tenth of those at something else.
const NEW_SCORE: f32 = 5.0;

/// A known face that is searched for nearby must score this much to count as found.
const FOLLOW_SCORE: f32 = 1.0;

/// After a longer gap in time, in seconds, nothing is where it was: the frame is scanned whole.
const GAP: f32 = 0.5;

/// What overlaps a known face more than this is not news.
const KNOWN: f32 = 0.2;

/// How many suspicions are kept for the next frames.
const SUSPICIONS: usize = 8;

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
    /// A camera or a video, swept over in this many frames; `None` for 0.3 s.
    Motion(Option<u32>),
}

impl Sequence {
    /// The same, swept over in so many frames where nothing else was asked for.
    pub fn or_every(self, frames: u32) -> Self {
        if self == Self::Motion(None) { Self::Motion(Some(frames)) } else { self }
    }
}

/// Which frame it is that is looked at.
#[derive(Clone, Copy, Debug)]
struct FrameAt {
    number: u64,
    pts: Duration,
    size: (u32, u32),
}

/// Finds faces and follows them. It can't be sent to another thread: make it where it is used.
pub struct FaceTracker {
    detector: FaceDetector,
    search: Search,
    schedule: Schedule,
    tracks: Tracks,
    last: Option<FrameAt>,
    /// Where the sweep saw something, likeliest last.
    suspicions: Vec<FaceBox>,
    /// Hidden faces are searched for in turn.
    turn: usize,
    /// Where this sweep saw faces that there is no room for, and how many the last one saw.
    crowd: Vec<FaceBox>,
    last_crowd: Vec<FaceBox>,
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
            search,
            schedule: Schedule::new(asked),
            tracks: Tracks::new(MOST_FACES),
            last: None,
            suspicions: Vec::new(),
            turn: 0,
            crowd: Vec::new(),
            last_crowd: Vec::new(),
        })
    }

    /// The faces of the next frame, which was taken at `pts`. Times that stand still or go back count as one frame's. The
    /// frame's number tells where frames were dropped.
    ///
    /// # Errors
    /// As [`FaceDetector::detect`], and in motion when the smallest face is larger than the first frame. (A folder may well
    /// have pictures that are too small among others.)
    pub fn track(&mut self, frame: &GrayImage, number: u64, pts: Duration) -> Result<Faces> {
        if self.search.sequence == Sequence::Pictures {
            return self.picture(frame);
        }
        if self.last.is_none() {
            self.search.smallest_face.check(frame)?;
        }
        let now = FrameAt { number, pts, size: frame.dimensions() };
        let Some(last) = self.last.replace(now).filter(|last| last.size == now.size) else {
            // The first frame, another scene or another size: nothing known is of use.
            self.tracks.clear();
            return self.scan(frame, self.schedule.interval());
        };
        let (seconds, frames) = self.passed(last, now);
        self.tracks.advance(seconds);
        // On a machine that is too slow, frames are dropped. To scan every whole frame would make it slower still.
        if self.schedule.frames() == 1 || (seconds > GAP && frames == 1) {
            return self.scan(frame, seconds);
        }
        let mut found = self.follow(frame)?;
        found.extend(self.look_for_new(frame, &found)?);
        self.tracks.update(found, seconds);
        let mut faces = self.tracks.faces();
        faces.ignored = faces.ignored.max(self.last_crowd.len());
        faces.unlabelled = self.tracks.hidden_places();
        faces.unlabelled.extend(self.suspicions.iter().chain(&self.crowd).chain(&self.last_crowd));
        Ok(faces)
    }

    /// Forgets all faces: what comes next is another scene.
    pub fn forget(&mut self) {
        self.last = None;
    }

    fn picture(&mut self, frame: &GrayImage) -> Result<Faces> {
        let mut found = self.detector.detect(frame)?;
        let unlabelled = found.split_off(found.len().min(MOST_FACES_IN_PICTURES));
        let tracked = found.into_iter().enumerate().map(|(id, face)| TrackedFace {
            id: id as u64,
            face,
            points: None,
            turned: false,
        });
        Ok(Faces { tracked: tracked.collect(), ignored: unlabelled.len(), unlabelled })
    }

    /// Seconds and frames of the source from one frame to another.
    fn passed(&mut self, last: FrameAt, now: FrameAt) -> (f32, u64) {
        let frames = now.number.saturating_sub(last.number).max(1);
        match now.pts.checked_sub(last.pts).map(|passed| passed.as_secs_f32()).filter(|&passed| passed > 0.0) {
            Some(seconds) => {
                self.schedule.note(seconds / frames as f32);
                (seconds, frames)
            }
            None => (self.schedule.interval(), frames),
        }
    }

    /// The whole frame at once.
    fn scan(&mut self, frame: &GrayImage, seconds: f32) -> Result<Faces> {
        self.schedule.restart();
        self.suspicions.clear();
        self.crowd.clear();
        let boxes = self.detector.detect(frame)?;
        let found = boxes.iter().map(|&face| Found { face, may_be_new: face.score >= NEW_SCORE });
        self.tracks.update(found.collect(), seconds);
        let mut faces = self.tracks.faces();
        let labelled = |face: &FaceBox| faces.tracked.iter().any(|tracked| overlap(&tracked.face, face) > KNOWN);
        let others: Vec<FaceBox> = boxes.into_iter().filter(|face| !labelled(face)).collect();
        // Of a crowd, the most certain ones stand for those that there was no room for.
        self.last_crowd = others.iter().copied().take(faces.ignored).collect();
        faces.unlabelled = self.tracks.hidden_places();
        faces.unlabelled.extend(others);
        Ok(faces)
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
            let faces = self.search_near(frame, &hidden[self.turn], Nearby::VERIFY)?.into_iter();
            found.extend(faces.map(|Found { face, .. }| Found { face, may_be_new: face.score >= NEW_SCORE }));
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
        // A found box that is at none of these places belongs to nobody yet.
        let at_a_place = |found: &&Found| places.iter().any(|place| overlap(place, &found.face) > KNOWN);
        let followed: Vec<FaceBox> = known.iter().filter(at_a_place).map(|found| found.face).collect();
        let is_known = |face: &FaceBox| places.iter().chain(&followed).any(|known| overlap(known, face) > KNOWN);
        self.suspicions.retain(|face| !is_known(face));
        let turned_away = self.suspicions.extract_if(.., |face| !self.tracks.has_room_for(face));
        for face in turned_away {
            if self.crowd.iter().all(|other| overlap(other, &face) <= KNOWN) {
                self.crowd.push(face);
            }
        }
        if complete {
            self.last_crowd = std::mem::take(&mut self.crowd);
        }
        self.suspicions.sort_by(|a, b| a.score.total_cmp(&b.score));
        let Some(suspicion) = self.suspicions.pop() else { return Ok(None) };
        // The same face shows in several parts.
        self.suspicions.retain(|face| overlap(face, &suspicion) <= KNOWN);
        let excess = self.suspicions.len().saturating_sub(SUSPICIONS);
        self.suspicions.drain(..excess);
        let faces = self.detector.search_near(frame, &suspicion, Nearby::VERIFY)?;
        let is_new = |face: &FaceBox| face.score >= NEW_SCORE && overlap(face, &suspicion) > KNOWN && !is_known(face);
        let face = faces.into_iter().find(is_new);
        Ok(face.map(|face| Found { face, may_be_new: true }))
    }
}

#[cfg(test)]
mod tests {
    use image::imageops::{FilterType, overlay, resize};
    use image::{GrayImage, Luma};

    use super::*;

    const FRAME: Duration = Duration::from_nanos(33_333_333);

    /// The astronaut's head, 200 pixels wide; the face in it is about half as wide.
    fn head() -> GrayImage {
        let picture = image::load_from_memory(include_bytes!("../../tests/data/astronaut.jpg")).expect("a picture");
        let picture = picture.to_luma8();
        let (width, height) = picture.dimensions();
        let head = image::imageops::crop_imm(&picture, width / 4, 0, width * 2 / 5, height * 2 / 5).to_image();
        resize(&head, 200, 200, FilterType::Triangle)
    }

    /// A frame with heads whose left upper corners are at these places.
    fn frame(head: &GrayImage, places: &[(i64, i64)]) -> GrayImage {
        let mut frame = GrayImage::from_fn(640, 480, |x, y| Luma([(100 + (x * 7 + y * 13) % 31) as u8]));
        places.iter().for_each(|&(x, y)| overlay(&mut frame, head, x, y));
        frame
    }

    fn tracker() -> FaceTracker {
        let smallest_face = SmallestFace::IN_MOTION;
        FaceTracker::new(Search { smallest_face, sequence: Sequence::Motion(None) }).expect("a tracker")
    }

    fn ids(faces: &Faces) -> Vec<u64> {
        faces.tracked.iter().map(|face| face.id).collect()
    }

    #[test]
    fn a_new_face_is_found_and_a_gone_one_dropped_within_half_a_second() {
        let (head, mut tracker, mut now) = (head(), tracker(), Duration::ZERO);
        let mut number = 0;
        let mut step = |places: &[(i64, i64)]| {
            (now, number) = (now + FRAME, number + 1);
            ids(&tracker.track(&frame(&head, places), number, now).expect("faces"))
        };
        assert_eq!(step(&[(20, 40)]), [0], "the first frame is scanned whole");
        for _ in 0..7 {
            assert_eq!(step(&[(20, 40)]), [0]);
        }
        let both = (0..15).position(|_| step(&[(20, 40), (380, 200)]) == [0, 1]);
        assert!(both.is_some(), "a new face is not found within 15 frames");
        let alone = (0..15).position(|_| step(&[(380, 200)]) == [1]);
        assert!(alone.is_some(), "a gone face is still there after 15 frames");
    }

    #[test]
    fn a_moving_face_is_one_and_is_where_it_is_said_to_be() {
        let (head, mut tracker) = (head(), tracker());
        let mut offset = None;
        for i in 0..60i64 {
            let x = 5 * i;
            let faces = tracker.track(&frame(&head, &[(x, 100)]), i as u64, FRAME * i as u32).expect("faces");
            assert_eq!(ids(&faces), [0], "frame {i}");
            let face = faces.tracked[0].face;
            let offset = *offset.get_or_insert(face.x);
            // The detector itself is off by a few pixels from frame to frame.
            assert!((face.x - x as f32 - offset).abs() < 12.0, "frame {i}: {face:?}, {x} + {offset}");
        }
    }

    #[test]
    fn odd_times_and_sizes_are_borne() {
        let (head, mut tracker) = (head(), tracker());
        let picture = frame(&head, &[(100, 100)]);
        for (number, seconds) in (0..).zip([0.0, 0.03, 0.03, 0.01, 7200.0, 1.0, 1.03]) {
            let faces = tracker.track(&picture, number, Duration::from_secs_f64(seconds)).expect("faces");
            assert_eq!(faces.tracked.len(), 1, "at {seconds} s");
        }
        let small = resize(&picture, 320, 240, FilterType::Triangle);
        let faces = tracker.track(&small, 7, Duration::from_secs_f64(1.07)).expect("faces");
        assert_eq!(faces.tracked.len(), 1, "another size");
        assert!(faces.tracked[0].face.width < 100.0, "{faces:?}");
        for (width, height) in [(1, 1), (3000, 2), (640, 480)] {
            let black = GrayImage::new(width, height);
            assert!(tracker.track(&black, 8, Duration::from_secs(3)).expect("no failure").tracked.is_empty());
        }
    }

    #[test]
    fn a_slow_machine_does_not_scan_every_frame_whole() {
        let (head, mut tracker) = (head(), tracker());
        let picture = frame(&head, &[(100, 100)]);
        for i in 0..20 {
            // Of a camera's 30 frames a second, two are looked at.
            let faces = tracker.track(&picture, 15 * i, FRAME * 15 * i as u32).expect("faces");
            assert_eq!(ids(&faces), [0]);
            assert!(i < 2 || tracker.schedule.frames() > 5, "{} frames", tracker.schedule.frames());
        }
    }

    #[test]
    fn each_picture_is_by_itself() {
        let head = head();
        let search = Search { smallest_face: SmallestFace::IN_PICTURES, sequence: Sequence::Pictures };
        let mut tracker = FaceTracker::new(search).expect("a tracker");
        for places in [&[(20, 40)][..], &[(20, 40), (380, 200)], &[(380, 200)]] {
            let faces = tracker.track(&frame(&head, places), 0, Duration::ZERO).expect("faces");
            assert_eq!(ids(&faces), (0..places.len() as u64).collect::<Vec<_>>());
        }
    }
}
