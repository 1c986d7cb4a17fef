//! Which face is which, from frame to frame, and where to look for it.
//!
//! Owns when which look of the detector is due, one identity per face, and the smoothing of boxes and points. Coordinates are
//! pixels of the frame; time is the frames' own (`pts`), so that a file gives the same result at any speed. Labels are
//! smoothed elsewhere (`smooth`).
//!
//! In motion a frame is looked at as a whole, which shows near faces, known and new ones, however many there are. Known faces
//! that are too small for that are looked for near their expected places; where there are few of them, that alone is done in
//! two of three frames, since it takes less. New small faces are found by a sweep over the frame's bands that is spread over
//! several frames. Wherever something new looks like a face, a closer look decides.

mod cut;
mod motion;
mod points;
mod schedule;
pub mod smooth;
mod tracks;

use std::time::Duration;

use anyhow::Result;

use crate::detect::{FaceDetector, Look, Picture, Sighting, SmallestFace, is_same, overlap};
use crate::flow::frame::{Face, FaceBox};
use cut::Cuts;
use schedule::Schedule;
pub use tracks::{Faces, TrackedFace};
use tracks::{Found, Tracks};

/// The most faces of a frame that are labelled in motion, the largest ones.
const MOST_FACES: usize = 64;

/// The most faces of a picture that are labelled.
const MOST_FACES_IN_PICTURES: usize = 256;

/// After a longer gap in time, in seconds, nothing is where it was: the frame is scanned whole.
const GAP: f32 = 0.5;

/// What overlaps a known face more than this is not news.
const KNOWN: f32 = 0.2;

/// How many suspicions are kept for the next frames.
const SUSPICIONS: usize = 16;

/// How many suspicions are looked at closer in a frame: each takes a millisecond.
const CLOSER_LOOKS: usize = 2;

/// A whole frame takes as long as about five closer looks. With up to so many the frame is not looked at as a whole for so many
/// frames: a new face waits for less than a tenth of a second.
const FEW_LOOKS: usize = 4;
const FRAMES_WITHOUT: u32 = 2;

/// A place where closer looks found no face is left alone for so long, in seconds, for what is seen there first.
const LEFT_ALONE: f32 = 0.5;

/// How faces are looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// The smallest face to be found.
    pub smallest_face: SmallestFace,
    /// How frames follow each other.
    pub sequence: Sequence,
    /// Whether every frame of a motion is looked at as a whole, so that a new near face is seen in its first one, where every
    /// third would do.
    pub sees_all: bool,
}

/// How frames follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// Pictures that have nothing to do with each other: each is scanned whole, and faces are numbered in each.
    Pictures,
    /// A camera or a video, swept over for small faces in this many frames; `None` for 0.9 s.
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
    cuts: Cuts,
    last: Option<FrameAt>,
    /// How many frames ago one was looked at as a whole.
    since_whole: u32,
    /// Whose turn it is where known faces can't all be looked at closer.
    turn: usize,
    /// Where something looked like a face, likeliest last.
    suspicions: Vec<(Face, Look)>,
    /// Where closer looks at what another look had noted found none, and how many seconds ago.
    refuted: Vec<(FaceBox, Look, f32)>,
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
            cuts: Cuts::default(),
            last: None,
            since_whole: 0,
            turn: 0,
            suspicions: Vec::new(),
            refuted: Vec::new(),
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
    pub fn track(&mut self, picture: Picture<'_>, number: u64, pts: Duration) -> Result<Faces> {
        if self.search.sequence == Sequence::Pictures {
            return self.picture(picture);
        }
        let frame = picture.gray;
        if self.last.is_none() {
            self.search.smallest_face.check(frame)?;
        }
        let now = FrameAt { number, pts, size: frame.dimensions() };
        let is_cut = self.cuts.is_cut(frame);
        let Some(last) = self.last.replace(now).filter(|last| last.size == now.size && !is_cut) else {
            // The first frame, another scene or another size: nothing known is of use.
            self.tracks.clear();
            self.refuted.clear();
            return self.scan(picture, self.schedule.interval());
        };
        let (seconds, frames) = self.passed(last, now);
        self.tracks.advance(seconds);
        self.refuted.retain_mut(|(.., age)| {
            *age += seconds;
            *age < LEFT_ALONE
        });
        // On a machine that is too slow, frames are dropped. To scan every whole frame would make it slower still.
        if self.schedule.frames() == 1 || (seconds > GAP && frames == 1) {
            return self.scan(picture, seconds);
        }
        let (mut found, places) = self.follow(picture, seconds)?;
        found.extend(self.look_for_new(picture, &places)?);
        self.tracks.update(found, seconds);
        let mut faces = self.tracks.faces();
        faces.ignored = faces.ignored.max(self.last_crowd.len());
        faces.unlabelled = self.tracks.hidden_places();
        faces.unlabelled.extend(self.suspicions.iter().map(|(face, _)| face.bounds));
        faces.unlabelled.extend(self.refuted.iter().map(|(place, ..)| *place));
        faces.unlabelled.extend(self.crowd.iter().chain(&self.last_crowd));
        Ok(faces)
    }

    /// Forgets all faces: what comes next is another scene.
    pub fn forget(&mut self) {
        self.last = None;
    }

    fn picture(&mut self, picture: Picture<'_>) -> Result<Faces> {
        let Sighting { mut faces, doubtful } = self.detector.search(picture)?;
        let rest = faces.split_off(faces.len().min(MOST_FACES_IN_PICTURES));
        let tracked = faces.into_iter().zip(0..).map(|(face, id)| TrackedFace::new(id, face.bounds, face.points));
        let unlabelled = rest.iter().map(|face| face.bounds).chain(doubtful).collect();
        Ok(Faces { tracked: tracked.collect(), ignored: rest.len(), unlabelled })
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

    /// The whole frame and all its bands at once.
    fn scan(&mut self, picture: Picture<'_>, seconds: f32) -> Result<Faces> {
        self.schedule.restart();
        self.since_whole = 0;
        self.suspicions.clear();
        self.crowd.clear();
        let Sighting { faces: seen, doubtful } = self.detector.scan(picture)?;
        let found = seen.iter().map(|&face| Found { face, may_be_new: true });
        self.tracks.update(found.collect(), seconds);
        let mut faces = self.tracks.faces();
        let labelled = |face: &FaceBox| faces.tracked.iter().any(|tracked| overlap(&tracked.face, face) > KNOWN);
        let others: Vec<FaceBox> = seen.iter().map(|face| face.bounds).filter(|face| !labelled(face)).collect();
        // Of a crowd, the largest ones stand for those that there was no room for.
        self.last_crowd = others.iter().copied().take(faces.ignored).collect();
        faces.unlabelled = self.tracks.hidden_places();
        faces.unlabelled.extend(others.into_iter().chain(doubtful));
        Ok(faces)
    }

    /// Looks at the whole frame where that is due, and near the places of known faces that were not seen in it. Returns what
    /// may be known faces, and all places that are known now; what was seen elsewhere becomes a suspicion.
    fn follow(&mut self, picture: Picture<'_>, seconds: f32) -> Result<(Vec<Found>, Vec<FaceBox>)> {
        let (shown, hidden) = (self.tracks.shown_places(), self.tracks.hidden_places());
        let is_at = |place: &FaceBox, faces: &[Face]| {
            faces.iter().any(|face| overlap(&face.bounds, place) > KNOWN && FaceDetector::is_seen(face))
        };
        let mut missed = shown.clone();
        missed.extend(&hidden);
        self.since_whole += 1;
        let in_whole =
            self.search.sees_all || self.since_whole > FRAMES_WITHOUT || FaceDetector::looks_near(&missed) > FEW_LOOKS;
        let mut seen = if in_whole { self.detector.look_at_whole(picture)? } else { Vec::new() };
        if in_whole {
            self.since_whole = 0;
        }
        // What the whole of a frame shows of a small face is rough: where one is known, a closer look counts.
        let well_seen = FaceDetector::seen_in_whole(picture.gray);
        let is_small = |place: &FaceBox| place.width < well_seen;
        seen.retain(|face| !missed.iter().any(|place| is_small(place) && overlap(place, &face.bounds) > KNOWN));
        missed.retain(|place| !is_at(place, &seen));
        let (near, left_out) = self.detector.near(picture, missed, self.turn)?;
        self.turn = self.turn.wrapping_add(1);
        self.tracks.excuse(&left_out, seconds);
        let news = seen.iter().filter(|face| !shown.iter().any(|place| overlap(place, &face.bounds) > KNOWN));
        self.suspicions.extend(news.map(|&face| (face, Look::Whole)));
        seen.extend(near);
        // A known face may be seen beside its expected place, too.
        let found = seen.iter().map(|&face| Found { face, may_be_new: false }).collect();
        let at_a_place = |face: &&Face| shown.iter().any(|place| overlap(place, &face.bounds) > KNOWN);
        let mut places: Vec<FaceBox> = seen.iter().filter(at_a_place).map(|face| face.bounds).collect();
        places.extend(shown);
        Ok((found, places))
    }

    /// The bands of the sweep that are due, and closer looks at the likeliest places of new faces.
    fn look_for_new(&mut self, picture: Picture<'_>, known: &[FaceBox]) -> Result<Vec<Found>> {
        let bands = self.detector.bands(picture.gray)?;
        let (due, complete) = self.schedule.due(bands.len());
        for band in &bands[due] {
            let seen = self.detector.look_at_band(picture, band)?;
            self.suspicions.extend(seen.into_iter().map(|face| (face, Look::Band)));
        }
        let is_known = |face: &FaceBox| known.iter().any(|known| overlap(known, face) > KNOWN || is_same(known, face));
        self.suspicions.retain(|(face, _)| !is_known(&face.bounds));
        let refuted = &self.refuted;
        let is_refuted = |(face, by): &(Face, Look)| {
            refuted.iter().any(|(place, look, _)| look == by && overlap(place, &face.bounds) > KNOWN)
        };
        self.suspicions.retain(|suspicion| !is_refuted(suspicion));
        let turned_away = self.suspicions.extract_if(.., |(face, _)| !self.tracks.has_room_for(&face.bounds));
        for (face, _) in turned_away {
            if self.crowd.iter().all(|other| overlap(other, &face.bounds) <= KNOWN) {
                self.crowd.push(face.bounds);
            }
        }
        if complete {
            self.last_crowd = std::mem::take(&mut self.crowd);
        }
        self.suspicions.sort_by(|(a, _), (b, _)| a.bounds.score.total_cmp(&b.bounds.score));
        let mut found = Vec::new();
        for _ in 0..CLOSER_LOOKS {
            let Some((suspicion, by)) = self.suspicions.pop() else { break };
            let confirmed = self.detector.confirmed(picture, &suspicion, by)?;
            // The same face shows in several bands, and what one kind of look did not see well the other may.
            self.suspicions.retain(|(face, look)| {
                overlap(&face.bounds, &suspicion.bounds) <= KNOWN || (confirmed.is_none() && *look != by)
            });
            match confirmed {
                Some(face) => found.push(Found { face, may_be_new: true }),
                None => self.refuted.push((suspicion.bounds, by, 0.0)),
            }
        }
        let excess = self.suspicions.len().saturating_sub(SUSPICIONS);
        self.suspicions.drain(..excess);
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
