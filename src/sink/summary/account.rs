//! What each face showed over a whole run: for how long, how steadily, and when.
//!
//! Owns the figures of `--summary` and their JSON form, which `emocam help data` documents. A face counts from a frame that
//! shows it until the next frame, but for no more than a second: a camera that is away shows nobody. Time is the
//! frames' own. What is kept is one entry per face and per spell of one label.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::flow::emotion::{Emotion, Label, Prediction};
use crate::flow::labelled::Mark;
use crate::plot::{Event, Row, Spell};
use crate::sink::rounded;

/// The longest time that one frame stands for.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// What the last frame stands for where there is no other.
const LONE_FRAME: Duration = Duration::from_millis(33);

/// The most spells that are kept for the timeline; the figures go on after that.
const MOST_SPELLS: usize = 200_000;

/// The most events that are kept: a program that writes lines without end must not fill the memory.
const MOST_EVENTS: usize = 10_000;

/// All that a label can say.
const LABELS: usize = Emotion::COUNT + 1;

/// One face's time.
struct FaceTime {
    /// When it was seen first and last.
    first: Duration,
    last: Duration,
    /// For how long it was seen.
    seen: Duration,
    /// For how long as what: by label index, unsure last.
    times: [Duration; LABELS],
    /// Probabilities times seconds.
    probabilities: [f64; Emotion::COUNT],
    /// How often what it was shown as changed.
    changes: u64,
    longest: Spell,
    /// In order; the last one may go on.
    spells: Vec<Spell>,
}

fn index_of(label: Label) -> usize {
    match label {
        Label::Emotion(emotion) => emotion.index(),
        Label::Unsure => Emotion::COUNT,
    }
}

impl FaceTime {
    fn new(at: Duration, label: Label) -> Self {
        Self {
            first: at,
            last: at,
            seen: Duration::ZERO,
            times: [Duration::ZERO; LABELS],
            probabilities: [0.0; Emotion::COUNT],
            changes: 0,
            longest: Spell { label, start: at, end: at },
            spells: Vec::new(),
        }
    }

    /// Shown as something from one moment to another. Returns how many spells more there are to keep.
    fn show(&mut self, seen: &Prediction, from: Duration, to: Duration, may_keep: bool) -> usize {
        let (time, label) = (to.saturating_sub(from), seen.label());
        self.seen += time;
        self.times[index_of(label)] += time;
        for (sum, (_, probability)) in self.probabilities.iter_mut().zip(seen.probabilities.iter()) {
            *sum += f64::from(probability) * time.as_secs_f64();
        }
        self.last = to;
        let before = self.spells.len();
        let spell = Spell { label, start: from, end: to };
        match self.spells.last_mut() {
            Some(current) if current.label == label && current.end == from => current.end = to,
            Some(current) => {
                self.changes += u64::from(current.label != label);
                if may_keep { self.spells.push(spell) } else { *current = spell }
            }
            None => self.spells.push(spell),
        }
        if let Some(current) = self.spells.last()
            && current.length() > self.longest.length()
        {
            self.longest = *current;
        }
        self.spells.len() - before
    }

    /// In seconds, and never zero.
    fn total(&self) -> f64 {
        self.seen.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn shares(&self) -> Vec<(Label, f64)> {
        let labels = Emotion::ALL.map(Label::Emotion).into_iter().chain([Label::Unsure]);
        labels.map(|label| (label, self.times[index_of(label)].as_secs_f64() / self.total())).collect()
    }

    fn to_json(&self, id: u64) -> Value {
        let total = self.total();
        let share = self.shares().into_iter().map(|(label, share)| (label.name().to_owned(), json!(rounded(share, 4))));
        let mean = Emotion::ALL
            .map(|emotion| (emotion.name().to_owned(), json!(rounded(self.probabilities[emotion.index()] / total, 4))));
        json!({
            "id": id,
            "first_s": seconds(self.first),
            "last_s": seconds(self.last),
            "seen_s": seconds(self.seen),
            "share": share.collect::<Map<_, _>>(),
            "mean_probabilities": mean.into_iter().collect::<Map<_, _>>(),
            "changes": self.changes,
            "longest_spell": {
                "emotion": self.longest.label.name(),
                "start_s": seconds(self.longest.start),
                "duration_s": seconds(self.longest.length()),
            },
        })
    }
}

/// What one face showed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The face's number.
    pub id: u64,
    /// For how long it was seen.
    pub time: Duration,
    /// How often what it was shown as changed.
    pub changes: u64,
    /// The share of this time that each label has, in label order, unsure last.
    pub shares: Vec<(Label, f64)>,
    /// When it was shown as what, in order.
    pub spells: Vec<Spell>,
}

/// All faces' times.
#[derive(Default)]
pub struct Account {
    faces: BTreeMap<u64, FaceTime>,
    /// The time and the faces of the last frame, whose length is not known yet, and what the source says of that.
    pending: Option<(Duration, Vec<Prediction>, Option<Duration>)>,
    last_gap: Option<Duration>,
    frames: u64,
    spells: usize,
    end: Duration,
    events: Vec<(Duration, String)>,
}

impl Account {
    /// Takes a frame's faces, and how long it is shown where there is no other after it. A time that goes back counts as
    /// one that stands still.
    pub fn add(&mut self, pts: Duration, predictions: &[Prediction], duration: Option<Duration>) {
        self.frames += 1;
        if let Some((from, seen, _)) = self.pending.take() {
            let gap = pts.saturating_sub(from);
            self.show(from, gap.min(LONGEST_GAP), &seen);
            self.last_gap = Some(gap.min(LONGEST_GAP));
        }
        self.pending = Some((pts, predictions.to_vec(), duration));
    }

    /// Takes what was marked.
    pub(super) fn mark(&mut self, marks: &[Mark]) {
        let room = MOST_EVENTS.saturating_sub(self.events.len());
        self.events.extend(marks.iter().take(room).map(|mark| (mark.time, mark.text.clone())));
    }

    /// What was marked, for the timeline.
    pub(super) fn events(&self) -> Vec<Event<'_>> {
        self.events.iter().map(|(time, text)| Event { time: *time, text }).collect()
    }

    /// No frame comes any more: the last one counts for as long as its source says, else as the one before it.
    pub fn finish(&mut self) {
        if let Some((from, seen, duration)) = self.pending.take() {
            self.show(from, duration.or(self.last_gap).unwrap_or(LONE_FRAME), &seen);
        }
    }

    fn show(&mut self, from: Duration, time: Duration, seen: &[Prediction]) {
        self.end = from + time;
        for seen in seen {
            let face = self.faces.entry(seen.id).or_insert_with(|| FaceTime::new(from, seen.label()));
            self.spells += face.show(seen, from, self.end, self.spells < MOST_SPELLS);
        }
    }

    /// What each face showed, by number.
    pub fn faces(&self) -> Vec<Seen> {
        let seen = |(&id, face): (&u64, &FaceTime)| {
            let (shares, spells) = (face.shares(), face.spells.clone());
            Seen { id, time: face.seen, changes: face.changes, shares, spells }
        };
        self.faces.iter().map(seen).collect()
    }

    /// Each face's row of the timeline.
    pub(super) fn rows(&self) -> Vec<Row> {
        let row = |(&id, face): (&u64, &FaceTime)| Row { id, seen: face.seen, spells: face.spells.clone() };
        self.faces.iter().map(row).collect()
    }

    /// When the last frame ended.
    pub fn end(&self) -> Duration {
        self.end
    }

    /// As documented.
    pub(super) fn to_json(&self, source: &str) -> Value {
        let faces: Vec<Value> = self.faces.iter().map(|(id, face)| face.to_json(*id)).collect();
        let mut json = json!({
            "schema": 1,
            "source": source,
            "frames": self.frames,
            "duration_s": seconds(self.end),
            "faces": faces,
        });
        if !self.events.is_empty() {
            let event = |(time, text): &(Duration, String)| json!({"event": text, "time_s": seconds(*time)});
            json["events"] = self.events.iter().map(event).collect();
        }
        json
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::tests::prediction;

    fn face(id: u64, emotion: Emotion) -> Prediction {
        prediction(id, [0.0, 0.0, 9.0, 9.0], 5.0, std::array::from_fn(|i| f32::from(u8::from(i == emotion.index()))))
    }

    /// Ten frames a second: 2 s Sad, 1 s Happy, 1 s nobody, 0.5 s Happy; beside them 1 s of another face at the end.
    fn account() -> Account {
        let mut account = Account::default();
        for frame in 0..45u32 {
            let mut faces = match frame {
                0..20 => vec![face(3, Emotion::Sad)],
                20..30 | 40.. => vec![face(3, Emotion::Happy)],
                _ => vec![],
            };
            if frame >= 35 {
                faces.push(face(4, Emotion::Fear));
            }
            account.add(Duration::from_millis(100) * frame, &faces, None);
        }
        account.finish();
        account
    }

    #[test]
    fn times_shares_changes_and_spells() {
        let json = account().to_json("clip.mp4");
        assert_eq!((&json["frames"], &json["duration_s"]), (&45.into(), &4.5.into()));
        let first = &json["faces"][0];
        assert_eq!((&first["id"], &first["first_s"], &first["last_s"]), (&3.into(), &0.0.into(), &4.5.into()));
        assert_eq!((&first["seen_s"], &first["changes"]), (&3.5.into(), &1.into()));
        assert_eq!((&first["share"]["Sad"], &first["share"]["Happy"]), (&0.5714.into(), &0.4286.into()));
        assert_eq!(first["mean_probabilities"]["Sad"], 0.5714);
        assert_eq!(first["longest_spell"], json!({"emotion": "Sad", "start_s": 0.0, "duration_s": 2.0}));
        assert_eq!((&json["faces"][1]["id"], &json["faces"][1]["seen_s"]), (&4.into(), &1.0.into()));
        let spells: Vec<(f64, f64)> =
            account().faces[&3].spells.iter().map(|s| (seconds(s.start), seconds(s.end))).collect();
        assert_eq!(spells, [(0.0, 2.0), (2.0, 3.0), (4.0, 4.5)]);
    }

    #[test]
    fn a_camera_that_was_away_showed_nobody_and_a_clock_may_go_back() {
        let mut account = Account::default();
        for milliseconds in [0, 100, 60_000, 60_100, 50_000, 50_100] {
            account.add(Duration::from_millis(milliseconds), &[face(0, Emotion::Sad)], None);
        }
        account.finish();
        let seen = account.faces[&0].seen;
        assert_eq!(seen, Duration::from_millis(100 + 1000 + 100 + 100 + 100));
    }

    #[test]
    fn the_last_frame_lasts_as_long_as_its_source_says() {
        let mut account = Account::default();
        for (milliseconds, duration) in [(0, None), (2900, None), (2940, Some(Duration::from_secs(5)))] {
            account.add(Duration::from_millis(milliseconds), &[face(0, Emotion::Sad)], duration);
        }
        account.finish();
        assert_eq!(account.end(), Duration::from_millis(7940));
    }

    #[test]
    fn what_was_marked_is_listed_and_a_flood_is_not() {
        let (mut account, at) = (account(), std::time::Instant::now());
        assert_eq!(account.to_json("demo").get("events"), None);
        let mark = |text: &str| Mark { text: text.to_owned(), time: Duration::from_millis(1234), at };
        account.mark(&[mark("3"), mark("start of \"A\"")]);
        let events = json!([{"event": "3", "time_s": 1.234}, {"event": "start of \"A\"", "time_s": 1.234}]);
        assert_eq!(account.to_json("demo")["events"], events);
        account.mark(&vec![mark("y"); 3 * MOST_EVENTS]);
        assert_eq!(account.events().len(), MOST_EVENTS);
    }

    #[test]
    fn without_frames_there_is_nothing_and_unsure_is_a_label_of_its_own() {
        let mut account = Account::default();
        account.finish();
        assert_eq!(account.to_json("demo")["faces"], json!([]));
        let unsure = Prediction { unsure: true, ..face(0, Emotion::Sad) };
        account.add(Duration::ZERO, &[unsure], None);
        account.finish();
        let json = account.to_json("demo");
        assert_eq!((&json["faces"][0]["share"]["Unsure"], &json["faces"][0]["seen_s"]), (&1.0.into(), &0.033.into()));
    }
}
