//! Options that `emocam live` and `emocam annotate` have both, and how what is typed there is read.

use std::path::PathBuf;

use anyhow::{Result, anyhow, ensure};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, value_parser};

use super::dials::Dials;
use emocam::draw::{Look, Privacy};
use emocam::sink::{self, Quality, SinkSpec};
use emocam::source::{SourceSpec, Turn};

/// Options of `live` and `annotate`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Outputs")]
pub(crate) struct Common {
    /// Write results here; may be given several times. FILE ends in .mp4 (annotated video), .jsonl or .csv (data) or
    /// .png (one picture; with %06d in its name, one a frame), or is a folder; - writes JSON lines to standard output
    #[arg(short, long = "output", value_name = "FILE", value_parser = sink_parser())]
    pub(crate) outputs: Vec<SinkSpec>,

    /// Record the picture without boxes and labels, too; FILE ends in .mp4
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
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) frames: Option<u64>,

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
    /// Refuses files that would be written twice, and what would do nothing.
    pub(super) fn check(&self) -> Result<()> {
        let has_table = self.outputs.iter().any(|output| matches!(output, SinkSpec::Csv(_)));
        ensure!(has_table || !self.empty_rows, "--empty-rows is for -o FILE.csv, and there is none");
        // The statistics are one more file that is written.
        let stats = self.stats.iter().cloned().map(SinkSpec::Jsonl);
        sink::check_distinct(&self.all_outputs().into_iter().chain(stats).collect::<Vec<_>>())
    }

    /// What `--crf` says.
    pub(crate) fn quality(&self) -> Quality {
        self.crf.map_or_else(Quality::default, Quality)
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

/// Reads what names a source.
pub(super) fn source_parser() -> impl TypedValueParser<Value = SourceSpec> {
    OsStringValueParser::new().map(|name| SourceSpec::from(name.as_os_str()))
}

fn sink_parser() -> impl TypedValueParser<Value = SinkSpec> {
    OsStringValueParser::new().try_map(|name| SinkSpec::try_from(name.as_os_str()))
}

fn summary_parser() -> impl TypedValueParser<Value = SinkSpec> {
    OsStringValueParser::new().try_map(|name| {
        let path = PathBuf::from(name);
        let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        if is_json { Ok(SinkSpec::Summary(path)) } else { Err(anyhow!("name a file that ends in .json")) }
    })
}

fn clean_parser() -> impl TypedValueParser<Value = SinkSpec> {
    sink_parser().try_map(|output| match output {
        SinkSpec::Video(path) => Ok(SinkSpec::CleanVideo(path)),
        other => Err(anyhow!("{other} is no video: name a file that ends in .mp4")),
    })
}
