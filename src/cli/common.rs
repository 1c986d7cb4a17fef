//! Options that `emocam live` and `emocam annotate` have both, and how what is typed there is read.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, value_parser};

use super::dials::Dials;
use emocam::draw::{Look, Privacy};
use emocam::sink::{self, Quality, SinkSpec};
use emocam::source::{Excerpt, Pick, SourceSpec, Turn};

/// Options of `live` and `annotate`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Outputs")]
pub(crate) struct Common {
    /// Write results here; may be given several times. FILE ends in .mp4 or .mkv (annotated video), .jsonl, .json or .csv
    /// (data), .png or .jpg (one picture; one a frame with %06d or {frame} in its name, one a face with {frame}_{id}), or
    /// is a folder; /dev/video10 is a virtual camera, - writes JSON lines to standard output
    #[arg(short, long = "output", value_name = "FILE", value_parser = sink_parser())]
    pub(crate) outputs: Vec<SinkSpec>,

    /// Record the picture without boxes and labels, too; FILE ends in .mp4 or .mkv
    #[arg(long, value_name = "FILE", value_parser = clean_parser())]
    pub(crate) clean: Option<SinkSpec>,

    /// Write what each face showed over the whole run: time seen, share of each emotion, changes, longest spell. FILE ends
    /// in .json; a timeline of the same name, but .png, lies beside it
    #[arg(long, value_name = "FILE", value_parser = summary_parser())]
    pub(crate) summary: Option<SinkSpec>,

    /// How well recordings show what was seen, from 0 (best) to 51, as x264's option of this name; larger is smaller
    /// [default: 22]
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(0..=51))]
    pub(crate) crf: Option<u8>,

    /// Write frame rate, times and processor time per stage, memory and dropped frames as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) stats: Option<PathBuf>,

    /// Give frames without faces a row in .csv, too, with empty cells; in .jsonl they have a line in any case
    #[arg(long)]
    pub(crate) empty_rows: bool,

    /// Overwrite outputs that exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Stop after this many frames
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..), help_heading = "Part of the source")]
    pub(crate) frames: Option<u64>,

    /// Begin at this time of the source, in seconds or as 1:30 or 1:02:03.5
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Part of the source")]
    pub(crate) start: Option<Duration>,

    /// End before this time
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Part of the source")]
    pub(crate) end: Option<Duration>,

    /// Take each N-th frame only
    #[arg(
        long,
        value_name = "N",
        value_parser = value_parser!(NonZeroU64),
        conflicts_with = "rate",
        help_heading = "Part of the source"
    )]
    pub(crate) every: Option<NonZeroU64>,

    /// Take so many frames a second only, such as 2 or 0.5
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = "Part of the source")]
    pub(crate) rate: Option<f64>,

    /// Hide faces in the window, in recordings and in pictures: blur, pixelate or box. Labels and data stay. Faces are
    /// looked for down to 16 pixels then, where nothing else is asked for
    #[arg(long, value_enum, value_name = "HOW", hide_possible_values = true, help_heading = "Picture")]
    pub(crate) privacy: Option<Privacy>,

    /// The size of text beside faces, in percent of the usual one, from 50 to 400; where larger text has no room it is
    /// smaller, down to that [default: 100]
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u16).range(50..=400), help_heading = "Picture")]
    pub(crate) text_size: Option<u16>,

    /// Turn the picture clockwise by 90, 180 or 270 degrees before all else, as of a camera that is mounted sideways
    #[arg(long, value_name = "DEGREES", help_heading = "Picture")]
    pub(crate) rotate: Option<Turn>,

    /// How faces are looked for and labelled
    #[command(flatten)]
    pub(crate) dials: Dials,

    /// Say "Unsure" of a face whose likeliest emotion has a probability below this, from 0 to 1, such as 0.45; it is said
    /// of a face that is turned away in any case
    #[arg(long, value_name = "CONFIDENCE", value_parser = confidence, help_heading = "Faces and labels")]
    pub(crate) unsure: Option<f32>,
}

impl Common {
    /// Refuses files that would be written twice, and what would do nothing. `is_one_picture` says whether each input is; that takes a look
    /// at it, and may wait for a pipe, so it is asked only where it matters.
    pub(super) fn check(&self, is_one_picture: impl Fn() -> bool) -> Result<()> {
        if let Some(crops) = self.outputs.iter().find(|output| output.is_for_one_picture() && !is_one_picture()) {
            bail!(
                "{crops} would be written anew in each frame: put the frame's number into the name, as in {{frame}}_{{id}}.jpg"
            );
        }
        let has_table = self.outputs.iter().any(|output| matches!(output, SinkSpec::Csv(_)));
        ensure!(has_table || !self.empty_rows, "--empty-rows is for -o FILE.csv, and there is none");
        if let (Some(start), Some(end)) = (self.start, self.end) {
            ensure!(start < end, "--end must be later than --start, and {end:?} is not later than {start:?}");
        }
        // The statistics are one more file that is written.
        let stats = self.stats.iter().cloned().map(SinkSpec::Jsonl);
        sink::check_distinct(&self.all_outputs().into_iter().chain(stats).collect::<Vec<_>>())
    }

    /// What `--crf` says.
    pub(crate) fn quality(&self) -> Quality {
        self.crf.map_or_else(Quality::default, Quality)
    }

    /// Which frames of the source are wanted.
    pub(crate) fn excerpt(&self) -> Excerpt {
        let pick = match (self.every, self.rate) {
            (Some(every), _) => Pick::Every(every),
            (None, Some(rate)) => Pick::Rate(rate),
            (None, None) => Pick::All,
        };
        Excerpt { start: self.start.unwrap_or_default(), end: self.end, pick }
    }

    /// What is drawn beside each face.
    pub(crate) fn look(&self) -> Look {
        let usual = Look::default();
        Look { text_percent: self.text_size.unwrap_or(usual.text_percent), ..usual }
    }

    /// What `-o`, `--clean` and `--summary` name.
    pub(crate) fn all_outputs(&self) -> Vec<SinkSpec> {
        self.outputs.iter().chain(&self.clean).chain(&self.summary).cloned().collect()
    }
}

fn confidence(text: &str) -> Result<f32, String> {
    let confidence = text.parse().ok().filter(|confidence| (0.0..=1.0).contains(confidence));
    confidence.ok_or_else(|| "expected a number from 0 to 1".into())
}

/// Reads a time in seconds, minutes and seconds, or hours, minutes and seconds.
fn time(text: &str) -> Result<Duration, String> {
    let problem = || "expected seconds, such as 90 or 2.5, or minutes and seconds, such as 1:30, or 1:02:03".to_owned();
    let parts: Vec<&str> = text.split(':').collect();
    let (last, before) = parts.split_last().filter(|(_, before)| before.len() <= 2).ok_or_else(problem)?;
    // In front of seconds stand whole minutes, and no part is more than 60 but for the first.
    let mut seconds =
        last.parse::<f64>().ok().filter(|it| *it >= 0.0 && (before.is_empty() || *it < 60.0)).ok_or_else(problem)?;
    for (place, part) in before.iter().rev().enumerate() {
        let value =
            part.parse::<u32>().ok().filter(|value| place + 1 == before.len() || *value < 60).ok_or_else(problem)?;
        seconds += f64::from(value) * 60f64.powi(place as i32 + 1);
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| problem())
}

fn rate(text: &str) -> Result<f64, String> {
    // Once in a day is as rare as anyone looks.
    let rate = text.parse().ok().filter(|rate| (1e-5..=1e5).contains(rate));
    rate.ok_or_else(|| "expected frames a second, more than 0, such as 2 or 0.5".into())
}

/// Reads what names a source.
pub(super) fn source_parser() -> impl TypedValueParser<Value = SourceSpec> {
    OsStringValueParser::new().map(|name| SourceSpec::from(name.as_os_str()))
}

fn sink_parser() -> impl TypedValueParser<Value = SinkSpec> {
    OsStringValueParser::new().try_map(|name| SinkSpec::try_from(name.as_os_str()))
}

fn summary_parser() -> impl TypedValueParser<Value = SinkSpec> {
    OsStringValueParser::new().try_map(|name| SinkSpec::summary(&name))
}

fn clean_parser() -> impl TypedValueParser<Value = SinkSpec> {
    sink_parser().try_map(|output| match output {
        SinkSpec::Video(path) => Ok(SinkSpec::CleanVideo(path)),
        other => Err(anyhow!("{other} is no video: name a file that ends in .mp4 or .mkv")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in
            [("0", 0.0), ("90", 90.0), ("2.5", 2.5), ("1:30", 90.0), ("75:00", 4500.0), ("1:02:03.5", 3723.5)]
        {
            assert_eq!(time(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "-1", "1:60", "1:60:00", "1:2:3:4", "1.5:00", ":30", "1m", "NaN", "inf", "1e300"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_is_more_than_nothing() {
        assert_eq!((rate("2"), rate("0.5")), (Ok(2.0), Ok(0.5)));
        for text in ["0", "-1", "NaN", "inf", "1e9", "two"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
