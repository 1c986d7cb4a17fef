//! Makes data sets for the tests: faces of FER+ where they are there, else drawn ones, filed as KDEF or as folders.

use std::fs;
use std::path::{Path, PathBuf};

use emocam::flow::emotion::Emotion;
use image::{GrayImage, Luma};

/// The letters of KDEF for the emotions, in label order.
const LETTERS: [&str; Emotion::COUNT] = ["AN", "DI", "AF", "HA", "NE", "SA", "SU"];

/// The side of the faces.
pub(crate) const SIDE: u32 = 48;

/// A drawn face, another one for each emotion and number: enough to be told apart, and learned by a small network.
pub(crate) fn drawn_face(emotion: Emotion, number: usize) -> GrayImage {
    let mouth = 4.0 * (emotion.index() as f32 - 3.0);
    GrayImage::from_fn(SIDE, SIDE, |x, y| {
        let (dx, dy) = (x as f32 - 23.5, y as f32 - 23.5);
        let noise = ((x * 31 + y * 17 + number as u32 * 101).wrapping_mul(2_654_435_761) >> 28) as u8;
        let curve = 10.0 + mouth * (dx / 16.0).powi(2);
        let is_mouth = dx.abs() < 14.0 && (dy - curve).abs() < 2.5;
        let is_eye = (dx.abs() - 10.0).powi(2) + (dy + 8.0).powi(2) < 12.0;
        Luma([if is_mouth || is_eye { 40 } else { 180 } + noise])
    })
}

/// Writes a set in the layout of FER+: of each picture its part (0 to train, 1 to validate, 2 to test), the column of the emotion
/// that all raters see, and the picture.
pub(crate) fn write_ferplus(folder: &Path, pictures: impl IntoIterator<Item = (usize, usize, GrayImage)>) {
    let parts = [("Training", "FER2013Train"), ("PublicTest", "FER2013Valid"), ("PrivateTest", "FER2013Test")];
    parts.iter().for_each(|(_, subfolder)| fs::create_dir_all(folder.join(subfolder)).expect("a folder"));
    let mut labels =
        String::from("Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n");
    for (number, (part, column, picture)) in pictures.into_iter().enumerate() {
        let ((usage, subfolder), name) = (parts[part], format!("fer{number:07}.png"));
        picture.save(folder.join(subfolder).join(&name)).expect("a PNG");
        let mut votes = ["0"; 10];
        votes[column] = "10";
        labels += &format!("{usage},{name},{}\n", votes.join(","));
    }
    fs::write(folder.join("fer2013new.csv"), labels).expect("a file");
}

/// Where the faces of a data set come from.
pub(crate) struct Faces {
    /// Files of FER+ by emotion; empty where there are none.
    of_ferplus: [Vec<PathBuf>; Emotion::COUNT],
}

impl Faces {
    /// Drawn faces.
    pub(crate) fn drawn() -> Self {
        Self { of_ferplus: Default::default() }
    }

    /// Faces of the training part of FER+ on which most of the ten raters agree; drawn ones without that data set.
    pub(crate) fn real() -> Self {
        let mut faces = Self::drawn();
        let Some(folder) = super::shared().map(|shared| shared.join("data/ferplus")) else { return faces };
        let Ok(votes) = fs::read_to_string(folder.join("fer2013new.csv")) else { return faces };
        for line in votes.lines().skip(1) {
            let columns: Vec<&str> = line.split(',').collect();
            let [usage, name, neutral, happiness, surprise, sadness, anger, disgust, fear, ..] = columns[..] else {
                continue;
            };
            let in_label_order = [anger, disgust, fear, happiness, neutral, sadness, surprise];
            let agreed = in_label_order.iter().position(|votes| votes.parse().is_ok_and(|votes: u32| votes >= 6));
            if let (Some(index), "Training", false) = (agreed, usage, name.is_empty()) {
                faces.of_ferplus[index].push(folder.join("FER2013Train").join(name));
            }
        }
        faces
    }

    /// A face, another one for each number where there are enough.
    pub(crate) fn face(&self, emotion: Emotion, number: usize) -> GrayImage {
        let files = &self.of_ferplus[emotion.index()];
        match files.get(number % files.len().max(1)) {
            Some(file) => image::open(file).expect("a picture of FER+").into_luma8(),
            None => drawn_face(emotion, number),
        }
    }

    /// A set with the structure of KDEF: a folder for each person, in it each emotion from the front in two sessions, 14
    /// pictures. Above 23 people FER+ has too few faces of disgust, so there will be copies.
    pub(crate) fn write_posed(&self, folder: &Path, people: usize) {
        for person in 0..people {
            let subject = format!("{}{:02}", if person % 2 == 0 { 'F' } else { 'M' }, person / 2 + 1);
            let folder = folder.join(format!("A{subject}"));
            fs::create_dir_all(&folder).expect("a folder");
            for emotion in Emotion::ALL {
                for (session, letter) in ['A', 'B'].into_iter().enumerate() {
                    let name = format!("{letter}{subject}{}S.PNG", LETTERS[emotion.index()]);
                    self.face(emotion, 2 * person + session).save(folder.join(name)).expect("a PNG");
                }
            }
        }
    }

    /// A folder for each emotion with so many pictures.
    pub(crate) fn write_classes(&self, folder: &Path, pictures: usize) {
        for emotion in Emotion::ALL {
            let class = folder.join(emotion.name());
            fs::create_dir_all(&class).expect("a folder");
            for number in 0..pictures {
                self.face(emotion, number).save(class.join(format!("{number}.png"))).expect("a PNG");
            }
        }
    }
}
