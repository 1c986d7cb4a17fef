//! Who was left out of a run: faces too small to be looked for, those beyond the ones that are labelled, those that were turned
//! away, and those that were shown with what an earlier frame had said of them. Nothing of that is silent.

use crate::detect::SmallestFace;
use crate::flow::labelled::Labelled;

/// The account of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// The widths below which no face was looked for, in pixels: the least and the most of all frames.
    pub(super) smallest: Option<(u32, u32)>,
    /// Faces that were not labelled, or not yet, over all frames.
    pub(super) ignored: u64,
    /// The most of them in one frame.
    pub(super) most_ignored: usize,
    /// Faces that were turned away.
    pub(super) turned: u64,
    /// Faces that were not read in the frame that they were shown in.
    pub(super) unread: u64,
}

impl LeftOut {
    /// Counts a frame in which faces of this size and more were looked for.
    pub(super) fn add(&mut self, labelled: &Labelled, smallest: Option<SmallestFace>) {
        if let Some(smallest) = smallest {
            let pixels = smallest.in_frame(labelled.frame.width, labelled.frame.height).round() as u32;
            let (least, most) = self.smallest.unwrap_or((pixels, pixels));
            self.smallest = Some((least.min(pixels), most.max(pixels)));
        }
        self.ignored += labelled.ignored as u64;
        self.most_ignored = self.most_ignored.max(labelled.ignored);
        let faces = &labelled.predictions;
        self.turned += faces.iter().filter(|face| face.turned).count() as u64;
        self.unread += faces.iter().filter(|face| !face.read).count() as u64;
    }

    /// What there is to say of it, for people, a line each.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        sentences.extend(self.smallest.map(not_looked_for));
        if self.ignored > 0 {
            let (all, most) = (self.ignored, self.most_ignored);
            sentences.push(format!("faces that were not labelled: at most {most} in a frame, {all} over all frames"));
        }
        if self.turned > 0 {
            sentences.push(format!("faces turned away, and therefore unsure: {} over all frames", self.turned));
        }
        if self.unread > 0 {
            sentences.push(format!("faces shown as an earlier frame had them: {} over all frames", self.unread));
        }
        sentences
    }
}

/// Says which faces were not looked for, by the least and the most of that width in a run.
fn not_looked_for((least, most): (u32, u32)) -> String {
    if least == most {
        format!("faces smaller than {most} pixels were not looked for")
    } else {
        format!("faces smaller than {least} to {most} pixels, by the frame's size, were not looked for")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::emotion::Prediction;
    use crate::sink::tests::{labelled, prediction};

    #[test]
    fn what_was_not_looked_for_is_told_in_pixels_of_the_frames() {
        let mut left_out = LeftOut::default();
        assert_eq!(left_out.sentences(), [] as [&str; 0]);
        left_out.add(&labelled(0, 0, 640, 480, vec![]), Some(SmallestFace::IN_MOTION));
        assert_eq!(left_out.sentences(), ["faces smaller than 24 pixels were not looked for"]);
        left_out.add(&labelled(1, 0, 600, 1200, vec![]), Some(SmallestFace::IN_MOTION));
        left_out.add(&labelled(2, 0, 600, 1200, vec![]), Some(SmallestFace::Pixels(9)));
        let sentence = "faces smaller than 9 to 30 pixels, by the frame's size, were not looked for";
        assert_eq!(left_out.sentences(), [sentence]);
    }

    #[test]
    fn who_was_not_labelled_turned_away_or_not_read_is_counted() {
        let mut left_out = LeftOut::default();
        let face = |id| prediction(id, [0.0, 0.0, 1.0, 1.0], 3.0, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        for ignored in [2, 5, 0] {
            let faces = vec![
                face(0),
                Prediction { turned: true, ..face(1) },
                Prediction { read: false, ..face(2) },
                Prediction { read: false, ..face(3) },
            ];
            left_out.add(&Labelled { ignored, ..labelled(0, 0, 1, 1, faces) }, None);
        }
        let expected = LeftOut { smallest: None, ignored: 7, most_ignored: 5, turned: 3, unread: 6 };
        assert_eq!(left_out, expected);
        assert_eq!(
            left_out.sentences(),
            [
                "faces that were not labelled: at most 5 in a frame, 7 over all frames",
                "faces turned away, and therefore unsure: 3 over all frames",
                "faces shown as an earlier frame had them: 6 over all frames",
            ]
        );
    }
}
