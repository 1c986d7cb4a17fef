//! What commands share: outputs, the classifier and the job that were asked for, and the account at the end.

use std::io::Write;
use std::num::NonZero;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;
use clap::ValueEnum;
use emocam::detect::SmallestFace;
use emocam::measure::stats::Stats;
use emocam::network::calibration::Prior;
use emocam::network::classify::Classifier;
use emocam::network::device::{DeviceSpec, GpuError};
use emocam::network::weights::Weights;
use emocam::pipeline::DropPolicy;
use emocam::sink::{self, Inputs, OutputOptions, Record, SinkSpec};
use emocam::source::{Excerpt, RotatedSource, Source, SourceSpec, Turn};
use emocam::track::{Search, Sequence};
use serde_json::{Value, json};

use super::job::Job;
use crate::cli::{Common, Dials};
use crate::view::keys::Controls;
use crate::view::tell::{self, notice};

pub(super) fn options_of(common: &Common, live: bool) -> OutputOptions<'static> {
    let Common { force, empty_rows, .. } = *common;
    OutputOptions { force, live, empty_rows, quality: common.quality(), ..OutputOptions::default() }
}

/// What the outputs of a command keep of it, but for its inputs: all that they depend on.
pub(super) fn record(command: &str, common: &Common, prior: Prior) -> Result<Record> {
    let Common { frames, every, rate, privacy, unsure, empty_rows, text_size, rotate, dials, .. } = common;
    let settings = json!({
        "start": common.start.map(|time| time.as_secs_f64()),
        "end": common.end.map(|time| time.as_secs_f64()),
        "every": every,
        "rate": rate,
        "frames": frames,
        "empty_rows": empty_rows,
        "privacy": privacy.and_then(|how| how.to_possible_value()).map(|how| how.get_name().to_owned()),
        "rotate": rotate.map(Turn::degrees),
        "text_size": text_size,
        "crf": common.quality().0,
        "min_face": dials.min_face,
        "detect_every": dials.detect_every,
        "smoothing": dials.smoothing,
        "prior": prior.to_string(),
        "unsure": unsure.map(f64::from).map(|unsure| sink::rounded(unsure, 4)),
    });
    let Value::Object(settings) = settings else { bail!("the settings are no object") };
    Ok(Record::new(command, Weights::sha256(dials.weights.as_deref())?, settings))
}

/// All that a command reads.
pub(super) fn inputs<'a>(sources: impl IntoIterator<Item = &'a SourceSpec>, common: &'a Common) -> Inputs {
    Inputs::new(sources, common.dials.weights.as_deref())
}

/// A source as it is to be seen.
pub(super) fn upright(source: Box<dyn Source>, common: &Common) -> Box<dyn Source> {
    match common.rotate {
        Some(turn) => Box::new(RotatedSource::new(source, turn)),
        None => source,
    }
}

/// The job for a source that was opened as `spec` says, without outputs and without an end of its own.
pub(super) fn job<'a>(
    source: &'a mut dyn Source,
    drop_policy: DropPolicy,
    dials: &Dials,
    spec: Option<&SourceSpec>,
) -> Job<'a> {
    Job {
        source,
        drop_policy,
        outputs: &[],
        tables: Vec::new(),
        options: OutputOptions::default(),
        excerpt: Excerpt::default(),
        frames: None,
        search: search(dials, spec),
        faces_a_frame: None,
        frames_at_once: None,
        smoothing: Duration::from_millis(dials.smoothing.into()),
        controls: Controls::default(),
        unsure_below: None,
        osc: None,
        switch: None,
        lines: None,
    }
}

/// How faces are looked for where they are to be hidden: as small as they can be found, unless a size was asked for.
pub(super) fn to_hide(search: Search, dials: &Dials) -> Search {
    let smallest_face = if dials.min_face.is_none() { SmallestFace::TO_HIDE } else { search.smallest_face };
    Search { smallest_face, sees_all: true, ..search }
}

/// How faces are looked for in a source.
fn search(dials: &Dials, source: Option<&SourceSpec>) -> Search {
    let pictures = source.is_some_and(SourceSpec::is_pictures);
    Search {
        smallest_face: match dials.min_face {
            Some(pixels) => SmallestFace::Pixels(pixels),
            None if pictures => SmallestFace::IN_PICTURES,
            None => SmallestFace::IN_MOTION,
        },
        sequence: if pictures { Sequence::Pictures } else { Sequence::Motion(dials.detect_every) },
        sees_all: false,
    }
}

/// How many threads label where none were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    /// Half of the processors: a person does other things meanwhile.
    Half,
    /// All of them: a person waits for the end.
    All,
}

/// The classifier that was asked for. A prior that is not the natural one is never used silently.
pub(super) fn classifier(dials: &Dials, threads: Threads) -> Result<Classifier> {
    let device = dials.device.open(notice)?;
    let by_default = || {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        if threads == Threads::All { processors } else { processors.div_ceil(2) }
    };
    set_threads(dials.threads.unwrap_or_else(by_default))?;
    let weights = dials.weights.as_deref().map_or_else(Weights::embedded, Weights::load)?;
    let classifier = match Classifier::new(&weights, dials.prior, device) {
        // What was not asked for by name is not insisted on: its memory may be full.
        Err(error) if dials.device == DeviceSpec::Auto && GpuError::find(&error).is_some() => {
            notice(&format!("running on the CPU after all: {error:#}"));
            Classifier::new(&weights, dials.prior, Device::Cpu)?
        }
        made => made?,
    };
    let prior = classifier.prior();
    // What the program's own weights say is the default, of which the help tells.
    let is_default = dials.prior.is_none() && dials.weights.is_none();
    if prior != Prior::NATURAL && !is_default {
        let whose =
            if dials.prior.is_some() { "as asked for" } else { "as the weights say; --prior natural undoes it" };
        let how = if prior == Prior::BALANCED { "" } else { "nearer to " };
        notice(&format!("the prior is {prior}: all emotions are taken to occur {how}equally often ({whose})"));
    }
    Ok(classifier)
}

/// Refuses a part in time of what has none.
pub(super) fn check_part(common: &Common, input: &SourceSpec) -> Result<()> {
    let Common { start, end, rate, .. } = common;
    let options = [("--start", start.is_some()), ("--end", end.is_some()), ("--rate", rate.is_some())];
    match options.iter().find(|(_, is_set)| *is_set) {
        Some((option, _)) if input.is_pictures() => {
            bail!("{option} is about time, and pictures have none: of {input} use --every or --frames")
        }
        _ => Ok(()),
    }
}

/// Refuses outputs that can't be written or would be written over an input of the command, before anything is opened.
pub(super) fn check_outputs(
    outputs: &[SinkSpec],
    options: OutputOptions<'_>,
    common: &Common,
    input: Option<&SourceSpec>,
    inputs: &Inputs,
) -> Result<()> {
    // What holds for a file of data holds for the statistics, too, which keep their record themselves.
    let stats = common.stats.clone().map(SinkSpec::Jsonl);
    let stats = stats.as_ref().map(|stats| (stats, OutputOptions { record: None, live: true, ..options }));
    for (output, options) in outputs.iter().map(|output| (output, options)).chain(stats) {
        inputs.check(output)?;
        output.check(options)?;
        ensure!(
            !(matches!(output, SinkSpec::Summary(_)) && input.is_some_and(SourceSpec::is_pictures)),
            "--summary is about time, and pictures have none: for {} use -o FILE.csv",
            input.map(SourceSpec::to_string).unwrap_or_default()
        );
    }
    Ok(())
}

/// The summary, and the file of `--stats`.
pub(super) fn finish(stats: &Stats, common: &Common, record: &Record) -> Result<()> {
    tell::lines(&stats.to_string());
    let Some(path) = &common.stats else { return Ok(()) };
    let mut json = stats.to_json();
    if let Some(fields) = json.as_object_mut() {
        fields.insert("record".to_owned(), serde_json::to_value(record)?);
    }
    let text = format!("{json:#}\n");
    // What came into being meanwhile is somebody's.
    let mut options = fs::File::options();
    options.write(true).create(common.force).truncate(common.force).create_new(!common.force);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// How many threads compute what can be shared out. Only the first call of a process has an effect.
pub(super) fn set_threads(threads: usize) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global().with_context(|| format!("--threads {threads}"))
}
