//! Who is who: boxes found in one frame are assigned to the faces known from the frames before.
//!
//! Pure logic on boxes and seconds. A face that is not found stays where it should be for a moment, then out of sight, but
//! is remembered for a while: a hand before a face makes no new person of it.

use super::motion::Motion;
use super::points::{Points, is_turned};
use crate::detect::overlap;
use crate::flow::emotion::{Prediction, Probabilities};
use crate::flow::frame::{Face, FaceBox, FacePoints};

/// How long a face is shown that is not found, in seconds: longer than the detector's gaps, too short to be noticed.
const SHOWN_UNSEEN: f32 = 0.25;

/// How long a face that is out of sight keeps its identity, in seconds.
const REMEMBERED: f32 = 2.0;

/// The least score at which a face that is out of sight counts as found again.
const RETURN_SCORE: f32 = 2.0;

/// A face's evidence is the mean of its scores over about this many seconds.
const EVIDENCE_SECONDS: f32 = 0.3;

/// No single score counts for more: evidence must be able to fail within half a second.
const MOST_EVIDENCE: f32 = 4.0;

/// With less evidence a face is not shown. Searched for nearby, half of the boxes on clothes score below 1.6, faces below 6.
const LEAST_EVIDENCE: f32 = 2.0;

/// Boxes that overlap more are the same face (intersection over union).
const SAME: f32 = 0.4;

/// How much larger the area of a newcomer must be to take the place of the smallest face, where there are too many: more
/// than what the detector is off by.
const LARGER: f32 = 1.5;

/// How much larger than the box of its face a head is.
const HEAD: f32 = 1.5;

/// A face that keeps its identity from frame to frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackedFace {
    /// Counted from 0 in each run; never used twice.
    pub id: u64,
    /// Where it is. The score is 0 where it was not found in this very frame, but is expected.
    pub face: FaceBox,
    /// Where its parts are, where that is known.
    pub points: Option<FacePoints>,
    /// Whether it is turned so far away that nobody could tell what it expresses.
    pub turned: bool,
}

impl TrackedFace {
    /// A face with this number.
    pub fn new(id: u64, face: FaceBox, points: Option<FacePoints>) -> Self {
        Self { id, face, points, turned: points.is_some_and(|points| is_turned(&points)) }
    }

    /// What is known of its place.
    pub fn face(&self) -> Face {
        Face { bounds: self.face, points: self.points }
    }

    /// With what it expresses; whether that is sure enough is for others to say.
    pub fn labelled(self, probabilities: Probabilities) -> Prediction {
        let Self { id, face, points, turned } = self;
        Prediction { points, turned, ..Prediction::new(id, face, probabilities) }
    }
}

/// The faces of one frame.
#[derive(Clone, Debug, Default)]
pub struct Faces {
    /// Those that are labelled.
    pub tracked: Vec<TrackedFace>,
    /// How many more there are than are labelled. In motion it is an estimate: they are not looked at closely.
    pub ignored: usize,
    /// Other places where there is, or may be, a face: those beyond the most, those that are out of sight for a moment, and
    /// those not certain enough for a label. Whoever hides faces hides these, too.
    pub unlabelled: Vec<FaceBox>,
}

/// A box in this frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) face: Face,
    /// Whether it is certain enough to be a face that was not known before.
    pub(super) may_be_new: bool,
}

#[derive(Clone, Debug)]
struct Track {
    id: u64,
    motion: Motion,
    points: Option<Points>,
    /// Score in this frame, 0 where it was not found.
    score: f32,
    evidence: f32,
    /// Seconds since it was found, of those in which it was looked for.
    unseen: f32,
    /// Whether nobody looked for it in this frame.
    excused: bool,
    /// Whether it is to be seen, as of the last frame.
    shown: bool,
    /// Whether it was taken out of sight because what is there hardly looks like a face.
    doubtful: bool,
}

impl Track {
    /// Whether it is to be seen from now on.
    fn decide(&mut self) {
        let found = self.unseen == 0.0;
        if self.evidence < LEAST_EVIDENCE {
            if self.shown {
                self.doubtful = found;
            }
            self.shown = false;
        } else if found {
            (self.shown, self.doubtful) = (true, false);
        } else if self.unseen > SHOWN_UNSEEN {
            self.shown = false;
        }
    }

    fn face(&self) -> FaceBox {
        FaceBox { score: self.score, ..self.motion.expected() }
    }

    fn tracked(&self) -> TrackedFace {
        let face = self.face();
        TrackedFace::new(self.id, face, self.points.as_ref().map(|points| points.within(&face)))
    }

    /// How badly a box fits, or `None` where it can't be this face. The longer a face was not seen, the further it may be.
    fn misfit(&self, Found { face: Face { bounds: found, .. }, may_be_new }: &Found) -> Option<f32> {
        let expected = self.motion.expected();
        if !self.shown && !may_be_new && (self.doubtful || found.score < RETURN_SCORE) {
            return None;
        }
        let width = (expected.width + found.width) / 2.0;
        let x = found.x + found.width / 2.0 - (expected.x + expected.width / 2.0);
        let y = found.y + found.height / 2.0 - (expected.y + expected.height / 2.0);
        let (distance, growth) = (x.hypot(y) / width, (found.width / expected.width).ln().abs());
        let reachable = distance < (0.5 + self.unseen).min(1.5) && growth < (0.4 + 0.3 * self.unseen).min(0.7);
        reachable.then_some(distance + growth + self.unseen)
    }
}

/// The faces that are known.
#[derive(Debug)]
pub(super) struct Tracks {
    all: Vec<Track>,
    next_id: u64,
    limit: usize,
    /// Faces in this frame that were too many.
    ignored: usize,
}

impl Tracks {
    /// At most `limit` faces are shown at a time.
    pub(super) fn new(limit: usize) -> Self {
        Self { all: Vec::new(), next_id: 0, limit, ignored: 0 }
    }

    /// Forgets all faces; their numbers are not used again.
    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// Lets time pass, in seconds.
    pub(super) fn advance(&mut self, seconds: f32) {
        for track in &mut self.all {
            track.motion.advance(seconds);
            track.unseen += seconds;
            (track.score, track.excused) = (0.0, false);
        }
        self.all.retain(|track| track.unseen <= REMEMBERED);
    }

    /// What is expected at these places is not looked for in this frame: that it is not found says nothing.
    pub(super) fn excuse(&mut self, places: &[FaceBox], seconds: f32) {
        for track in self.all.iter_mut().filter(|track| places.contains(&track.motion.expected())) {
            track.excused = true;
            track.unseen = (track.unseen - seconds).max(0.0);
        }
    }

    /// Where shown faces should be now.
    pub(super) fn shown_places(&self) -> Vec<FaceBox> {
        self.shown().map(|track| track.motion.expected()).collect()
    }

    /// Where the faces out of sight should be now.
    pub(super) fn hidden_places(&self) -> Vec<FaceBox> {
        self.all.iter().filter(|track| !track.shown).map(|track| track.motion.expected()).collect()
    }

    /// Whether a new face would be shown: there are not too many, or it is larger than the smallest of them.
    pub(super) fn has_room_for(&self, face: &FaceBox) -> bool {
        self.shown().count() < self.limit
            || self.smallest().is_some_and(|i| area(face) > LARGER * area(&self.all[i].face()))
    }

    fn shown(&self) -> impl Iterator<Item = &Track> {
        self.all.iter().filter(|track| track.shown)
    }

    /// The position of the smallest face that is shown.
    fn smallest(&self) -> Option<usize> {
        let shown = self.all.iter().enumerate().filter(|(_, track)| track.shown);
        shown.min_by(|a, b| area(&a.1.face()).total_cmp(&area(&b.1.face()))).map(|(i, _)| i)
    }

    /// Takes in all boxes of a frame. `seconds` have passed since the last one.
    pub(super) fn update(&mut self, mut found: Vec<Found>, seconds: f32) {
        found.sort_by(|a, b| b.face.bounds.score.total_cmp(&a.face.bounds.score));
        let mut distinct: Vec<Found> = Vec::with_capacity(found.len());
        for found in found {
            match distinct.iter_mut().find(|other| overlap(&other.face.bounds, &found.face.bounds) > SAME) {
                Some(other) => other.may_be_new |= found.may_be_new,
                None => distinct.push(found),
            }
        }
        let rest = self.assign(distinct);
        let blend = 1.0 - (-seconds / EVIDENCE_SECONDS).exp();
        for track in self.all.iter_mut().filter(|track| !track.excused || track.score > 0.0) {
            track.evidence += blend * (track.score.min(MOST_EVIDENCE) - track.evidence);
            track.decide();
        }
        while self.shown().count() > self.limit
            && let Some(smallest) = self.smallest()
        {
            self.all[smallest].shown = false;
        }
        self.ignored = 0;
        let mut new: Vec<Face> = rest.into_iter().filter(|found| found.may_be_new).map(|found| found.face).collect();
        new.sort_by(|a, b| area(&b.bounds).total_cmp(&area(&a.bounds)));
        for face in new {
            self.begin(face);
        }
    }

    /// Gives each box to the face that it fits best, the best pair first. Returns what nobody took.
    fn assign(&mut self, found: Vec<Found>) -> Vec<Found> {
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (t, track) in self.all.iter().enumerate() {
            let fits = found.iter().enumerate().filter_map(|(f, found)| Some((track.misfit(found)?, t, f)));
            pairs.extend(fits);
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut track_taken, mut box_taken) = (vec![false; self.all.len()], vec![false; found.len()]);
        for (_, t, f) in pairs {
            if track_taken[t] || box_taken[f] {
                continue;
            }
            (track_taken[t], box_taken[f]) = (true, true);
            let (track, Face { bounds: face, points }) = (&mut self.all[t], &found[f].face);
            let clear = !found.iter().enumerate().any(|(other, found)| other != f && touch(&found.face.bounds, face));
            if !track.shown {
                // It was elsewhere in between: what is known of its motion has no meaning any more.
                track.motion = Motion::new(face);
                track.points = None;
                track.evidence = face.score.min(MOST_EVIDENCE);
            }
            if let Some(points) = points {
                Points::measure(&mut track.points, points, face, track.unseen);
            }
            track.motion.measure(face, clear);
            (track.score, track.unseen) = (face.score, 0.0);
        }
        found.into_iter().zip(box_taken).filter(|(_, taken)| !taken).map(|(found, _)| found).collect()
    }

    /// A new face, unless there are too many larger ones.
    fn begin(&mut self, Face { bounds: face, points }: Face) {
        let room = self.has_room_for(&face);
        if self.shown().count() >= self.limit {
            self.ignored += 1;
            if room && let Some(smallest) = self.smallest() {
                self.all.remove(smallest);
            }
        }
        if room {
            let (id, evidence) = (self.next_id, face.score.min(MOST_EVIDENCE));
            self.next_id += 1;
            self.all.push(Track {
                id,
                motion: Motion::new(&face),
                points: points.map(|points| Points::new(&points, &face)),
                score: face.score,
                evidence,
                unseen: 0.0,
                excused: false,
                shown: true,
                doubtful: false,
            });
        }
    }

    /// The faces to be shown, oldest first.
    pub(super) fn faces(&self) -> Faces {
        let shown: Vec<&Track> = self.shown().collect();
        // Behind another face: two boxes on one face would help nobody.
        let covered = |track: &Track| {
            let covers = |other: &&Track| other.unseen == 0.0 && overlap(&other.face(), &track.face()) > SAME;
            track.unseen > 0.0 && shown.iter().any(covers)
        };
        let tracked = shown.iter().filter(|track| !covered(track));
        Faces { tracked: tracked.map(|track| track.tracked()).collect(), ignored: self.ignored, unlabelled: Vec::new() }
    }
}

/// Whether one face may cover a part of the other: heads are wider than the boxes of faces.
fn touch(a: &FaceBox, b: &FaceBox) -> bool {
    let (x, y) = (a.x + a.width / 2.0 - b.x - b.width / 2.0, a.y + a.height / 2.0 - b.y - b.height / 2.0);
    x.abs() < HEAD * (a.width + b.width) / 2.0 && y.abs() < HEAD * (a.height + b.height) / 2.0
}

fn area(face: &FaceBox) -> f32 {
    face.width * face.height
}

#[cfg(test)]
mod tests;
