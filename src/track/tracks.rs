//! Who is who: boxes found in one frame are assigned to the faces known from the frames before.
//!
//! Pure logic on boxes and seconds. A face that is not found stays where it should be for a moment, then out of sight, but
//! is remembered for a while: a hand before a face makes no new person of it.

use super::motion::Motion;
use super::{Faces, TrackedFace};
use crate::frame::FaceBox;

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

/// With less evidence a face is not shown. Steady boxes on clothes and hands score about 1, faces 6.
const LEAST_EVIDENCE: f32 = 2.0;

/// Boxes that overlap more are the same face (intersection over union).
const SAME: f32 = 0.4;

/// How much larger the area of a newcomer must be to take the place of the smallest face, where there are too many: more
/// than what the detector is off by.
const LARGER: f32 = 1.5;

/// How much larger than the box of its face a head is.
const HEAD: f32 = 1.5;

/// A box in this frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) face: FaceBox,
    /// Whether it is certain enough to be a face that was not known before.
    pub(super) may_be_new: bool,
}

#[derive(Clone, Debug)]
struct Track {
    id: u64,
    motion: Motion,
    /// Score in this frame, 0 where it was not found.
    score: f32,
    evidence: f32,
    /// Seconds since it was found.
    unseen: f32,
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

    /// How badly a box fits, or `None` where it can't be this face. The longer a face was not seen, the further it may be.
    fn misfit(&self, Found { face: found, may_be_new }: &Found) -> Option<f32> {
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
            track.score = 0.0;
        }
        self.all.retain(|track| track.unseen <= REMEMBERED);
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
        found.sort_by(|a, b| b.face.score.total_cmp(&a.face.score));
        let mut distinct: Vec<Found> = Vec::with_capacity(found.len());
        for found in found {
            match distinct.iter_mut().find(|other| overlap(&other.face, &found.face) > SAME) {
                Some(other) => other.may_be_new |= found.may_be_new,
                None => distinct.push(found),
            }
        }
        let rest = self.assign(distinct);
        let blend = 1.0 - (-seconds / EVIDENCE_SECONDS).exp();
        for track in &mut self.all {
            track.evidence += blend * (track.score.min(MOST_EVIDENCE) - track.evidence);
            track.decide();
        }
        while self.shown().count() > self.limit
            && let Some(smallest) = self.smallest()
        {
            self.all[smallest].shown = false;
        }
        self.ignored = 0;
        let mut new: Vec<FaceBox> = rest.into_iter().filter(|found| found.may_be_new).map(|found| found.face).collect();
        new.sort_by(|a, b| area(b).total_cmp(&area(a)));
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
            let (track, face) = (&mut self.all[t], &found[f].face);
            let clear = !found.iter().enumerate().any(|(other, found)| other != f && touch(&found.face, face));
            if !track.shown {
                // It was elsewhere in between: what is known of its motion has no meaning any more.
                track.motion = Motion::new(face);
                track.evidence = face.score.min(MOST_EVIDENCE);
            }
            track.motion.measure(face, clear);
            (track.score, track.unseen) = (face.score, 0.0);
        }
        found.into_iter().zip(box_taken).filter(|(_, taken)| !taken).map(|(found, _)| found).collect()
    }

    /// A new face, unless there are too many larger ones.
    fn begin(&mut self, face: FaceBox) {
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
                score: face.score,
                evidence,
                unseen: 0.0,
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
        Faces {
            tracked: tracked.map(|track| TrackedFace { id: track.id, face: track.face() }).collect(),
            ignored: self.ignored,
        }
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

/// Intersection over union, 0 to 1.
pub(super) fn overlap(a: &FaceBox, b: &FaceBox) -> f32 {
    let width = (a.x + a.width).min(b.x + b.width) - a.x.max(b.x);
    let height = (a.y + a.height).min(b.y + b.height) - a.y.max(b.y);
    let intersection = width.max(0.0) * height.max(0.0);
    intersection / (area(a) + area(b) - intersection).max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: f32 = 1.0 / 30.0;

    fn face(x: f32, score: f32) -> Found {
        Found { face: FaceBox { x, y: 50.0, width: 80.0, height: 80.0, score }, may_be_new: score >= 3.0 }
    }

    fn step(tracks: &mut Tracks, found: Vec<Found>) -> Vec<TrackedFace> {
        tracks.advance(FRAME);
        tracks.update(found, FRAME);
        tracks.faces().tracked
    }

    fn ids(faces: &[TrackedFace]) -> Vec<u64> {
        faces.iter().map(|face| face.id).collect()
    }

    #[test]
    fn two_faces_that_cross_keep_their_ids() {
        let mut tracks = Tracks::new(16);
        for i in 0..90 {
            let (left, right) = (i as f32 * 6.0, 540.0 - i as f32 * 6.0);
            // The one in front hides the other while they overlap by half.
            let found = if (left - right).abs() < 50.0 {
                vec![face(right, 6.0)]
            } else {
                vec![face(left, 6.0), face(right, 5.9)]
            };
            let faces = step(&mut tracks, found);
            if i > 2 && (left - right).abs() > 120.0 {
                assert_eq!(ids(&faces), [0, 1], "frame {i}");
                assert!((faces[0].face.x - left).abs() < 20.0, "frame {i}: {faces:?}, {left}");
            }
        }
    }

    #[test]
    fn a_hand_over_the_face_makes_no_new_id_and_a_face_that_is_gone_is_dropped() {
        let mut tracks = Tracks::new(16);
        (0..30).for_each(|_| drop(step(&mut tracks, vec![face(100.0, 6.0)])));
        let shown = (0..28).filter(|_| !step(&mut tracks, vec![]).is_empty()).count();
        assert!((3..=15).contains(&shown), "gone after {shown} frames");
        assert_eq!(ids(&step(&mut tracks, vec![face(110.0, 6.0)])), [0]);
        (0..90).for_each(|_| drop(step(&mut tracks, vec![])));
        assert_eq!(ids(&step(&mut tracks, vec![face(110.0, 6.0)])), [1], "after three seconds it is somebody else");
    }

    #[test]
    fn weak_boxes_begin_nothing_and_do_not_keep_a_face_for_ever() {
        let mut tracks = Tracks::new(16);
        assert!(step(&mut tracks, vec![face(100.0, 2.9)]).is_empty());
        step(&mut tracks, vec![face(100.0, 3.1)]);
        let shown = (0..60).filter(|_| !step(&mut tracks, vec![face(100.0, 1.05)]).is_empty()).count();
        assert!((5..40).contains(&shown), "{shown}");
    }

    #[test]
    fn what_was_hidden_as_doubtful_needs_certainty_to_come_back() {
        let mut tracks = Tracks::new(16);
        step(&mut tracks, vec![face(100.0, 5.0)]);
        // A weak box while it is shown, and a better one from the closer look while it is not.
        let mut shown = 0;
        for _ in 0..120 {
            let score = if tracks.shown_places().is_empty() { 2.9 } else { 1.1 };
            shown += usize::from(!step(&mut tracks, vec![face(100.0, score)]).is_empty());
        }
        assert!(shown < 15, "{shown} frames");
        for _ in 0..70 {
            step(&mut tracks, vec![]);
        }
        assert_eq!(ids(&step(&mut tracks, vec![face(100.0, 5.0)])), [1]);
    }

    #[test]
    fn faces_that_come_back_keep_to_the_limit() {
        let mut tracks = Tracks::new(2);
        step(&mut tracks, vec![face(0.0, 5.0), face(200.0, 5.0)]);
        (0..10).for_each(|_| drop(step(&mut tracks, vec![])));
        step(&mut tracks, vec![face(400.0, 5.0), face(600.0, 5.0)]);
        for _ in 0..5 {
            let faces = step(&mut tracks, [0.0, 200.0, 400.0, 600.0].map(|x| face(x, 5.0)).to_vec());
            assert_eq!(faces.len(), 2, "{faces:?}");
        }
    }

    #[test]
    fn faces_are_followed_at_three_frames_a_second() {
        let mut tracks = Tracks::new(16);
        for i in 0..10 {
            tracks.advance(0.33);
            assert_eq!(tracks.shown_places().len(), if i == 0 { 0 } else { 2 }, "frame {i}");
            tracks.update(vec![face(100.0 + i as f32, 5.0), face(300.0, 5.0)], 0.33);
            assert_eq!(ids(&tracks.faces().tracked), [0, 1]);
        }
    }

    #[test]
    fn of_too_many_faces_the_largest_are_kept_and_the_rest_is_counted() {
        let mut tracks = Tracks::new(16);
        let crowd: Vec<Found> = (0..50)
            .map(|i| {
                let (x, y, side) = ((i % 10) as f32 * 100.0, (i / 10) as f32 * 100.0, 40.0 + i as f32);
                Found { face: FaceBox { x, y, width: side, height: side, score: 5.0 }, may_be_new: true }
            })
            .collect();
        for _ in 0..5 {
            tracks.advance(FRAME);
            tracks.update(crowd.clone(), FRAME);
            let faces = tracks.faces();
            assert_eq!((faces.tracked.len(), faces.ignored), (16, 34));
            assert!(faces.tracked.iter().all(|face| face.face.width > 40.0 + 32.0), "{faces:?}");
        }
        // A much larger one takes the place of the smallest.
        let mut found = crowd.clone();
        found.push(Found {
            face: FaceBox { x: 2000.0, y: 0.0, width: 300.0, height: 300.0, score: 5.0 },
            may_be_new: true,
        });
        tracks.advance(FRAME);
        tracks.update(found, FRAME);
        assert!(tracks.faces().tracked.iter().any(|face| face.face.width == 300.0));
        assert_eq!(tracks.faces().tracked.len(), 16);
    }

    #[test]
    fn one_face_is_never_shown_twice() {
        let mut tracks = Tracks::new(16);
        (0..10).for_each(|_| drop(step(&mut tracks, vec![face(100.0, 6.0), face(250.0, 6.0)])));
        for i in 0..30 {
            // The second one slides onto the first and is not found any more.
            let found = if i < 12 {
                vec![face(100.0, 6.0), face(250.0 - 12.0 * i as f32, 5.0)]
            } else {
                vec![face(100.0, 6.0)]
            };
            let faces = step(&mut tracks, found);
            let pairs = faces.iter().enumerate().flat_map(|(i, a)| faces[i + 1..].iter().map(move |b| (a, b)));
            assert!(pairs.into_iter().all(|(a, b)| overlap(&a.face, &b.face) < 0.6), "frame {i}: {faces:?}");
        }
    }

    #[test]
    fn overlap_of_equal_apart_and_half_boxes() {
        let at = |x| FaceBox { x, y: 0.0, width: 2.0, height: 2.0, score: 0.0 };
        assert_eq!((overlap(&at(0.0), &at(0.0)), overlap(&at(0.0), &at(5.0))), (1.0, 0.0));
        assert!((overlap(&at(0.0), &at(1.0)) - 1.0 / 3.0).abs() < 1e-6);
    }
}
