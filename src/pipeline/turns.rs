//! Whose turn it is: which faces of a frame the network reads where there is no time for all of them, and what the others
//! showed last.
//!
//! Pure logic on the numbers of faces. Time is counted in frames, so it neither stands still nor goes back.

use std::collections::HashMap;

use crate::flow::emotion::Probabilities;

/// How many faces of a camera's frame one thread reads in its time: what is left of it goes into finding them.
const FACES_A_THREAD: usize = 4;

/// How many faces the processor reads in the time of a camera's frame, on the threads that compute.
pub fn most_in_time() -> usize {
    FACES_A_THREAD * rayon::current_num_threads()
}

/// What was read in a face last.
struct Reading {
    /// In which frame that was, counted from 1.
    frame: u64,
    probabilities: Probabilities,
}

/// What is known of a face in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Known {
    /// What was read in it last.
    pub(super) probabilities: Probabilities,
    /// Whether that was in this very frame.
    pub(super) now: bool,
}

/// Whose turn it is, from frame to frame.
pub(super) struct Turns {
    /// The most faces that are read in a frame; `None` for all.
    limit: Option<usize>,
    frames: u64,
    /// Of the faces in the last frame.
    readings: HashMap<u64, Reading>,
}

impl Turns {
    /// At most so many faces a frame, at least one; `None` for all.
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self { limit: limit.map(|limit| limit.max(1)), frames: 0, readings: HashMap::new() }
    }

    /// Which of a frame's faces are to be read, as positions in their order: first those that never were, then those that
    /// were not for longest, and of equal ones the first.
    pub(super) fn choose(&self, faces: &[u64]) -> Vec<usize> {
        let mut chosen: Vec<usize> = (0..faces.len()).collect();
        // None is less than any frame, and equal ones stay in their order.
        chosen.sort_by_key(|&position| self.readings.get(&faces[position]).map(|reading| reading.frame));
        chosen.truncate(self.limit.unwrap_or(usize::MAX));
        chosen.sort_unstable();
        chosen
    }

    /// Takes what was read in the chosen faces, and says what is known of each face of the frame: nothing of one that has not
    /// had its turn yet. Faces that are not in this frame are forgotten.
    pub(super) fn note(&mut self, faces: &[u64], chosen: &[usize], read: Vec<Probabilities>) -> Vec<Option<Known>> {
        self.frames += 1;
        self.readings.retain(|id, _| faces.contains(id));
        for (&position, probabilities) in chosen.iter().zip(read) {
            self.readings.insert(faces[position], Reading { frame: self.frames, probabilities });
        }
        let known =
            |reading: &Reading| Known { probabilities: reading.probabilities, now: reading.frame == self.frames };
        faces.iter().map(|id| self.readings.get(id).map(known)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something that tells readings of different frames apart.
    fn shares(frame: u64) -> Probabilities {
        Probabilities::from_logits(&[frame as f32, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    }

    /// One frame: who is read in it, by number, and what is known of all.
    fn step(turns: &mut Turns, frame: u64, faces: &[u64]) -> (Vec<u64>, Vec<Option<Known>>) {
        let chosen = turns.choose(faces);
        let known = turns.note(faces, &chosen, vec![shares(frame); chosen.len()]);
        (chosen.into_iter().map(|position| faces[position]).collect(), known)
    }

    #[test]
    fn sixteen_faces_are_each_read_in_every_fourth_frame() {
        let (faces, mut turns): (Vec<u64>, _) = ((0..16).collect(), Turns::new(Some(4)));
        let mut last = [None; 16];
        for frame in 0..40 {
            let (read, known) = step(&mut turns, frame, &faces);
            assert_eq!(read.len(), 4);
            for id in read {
                let before = last[id as usize].replace(frame);
                assert!(before.map_or(frame < 4, |before| frame - before == 4), "{id} in {before:?} and {frame}");
            }
            for (last, known) in last.iter().zip(known) {
                let expected = last.map(|last| Known { probabilities: shares(last), now: last == frame });
                assert_eq!(known, expected, "frame {frame}");
            }
        }
    }

    #[test]
    fn who_is_new_comes_first_and_who_left_is_forgotten() {
        let mut turns = Turns::new(Some(1));
        assert_eq!(step(&mut turns, 0, &[7, 8]).0, [7]);
        assert_eq!(step(&mut turns, 1, &[7, 8, 9]).0, [8], "of two that never were read the first");
        let (read, known) = step(&mut turns, 2, &[9, 7]);
        assert_eq!((read, known[1]), (vec![9], Some(Known { probabilities: shares(0), now: false })));
        // The one that was away is new again.
        let (read, known) = step(&mut turns, 3, &[7, 9, 8]);
        assert_eq!(read, [8]);
        assert_eq!(known[2], Some(Known { probabilities: shares(3), now: true }));
        assert_eq!(turns.readings.len(), 3);
        assert_eq!(step(&mut turns, 4, &[]), (vec![], vec![]));
        assert!(turns.readings.is_empty());
    }

    #[test]
    fn without_a_limit_every_face_is_read_in_every_frame_and_with_none_at_least_one() {
        let faces: Vec<u64> = (0..300).collect();
        let mut turns = Turns::new(None);
        for frame in 0..3 {
            let (read, known) = step(&mut turns, frame, &faces);
            assert_eq!(read, faces);
            assert!(known.iter().flatten().filter(|known| known.now).count() == 300);
        }
        assert_eq!(step(&mut Turns::new(Some(0)), 0, &faces).0, [0]);
    }
}
