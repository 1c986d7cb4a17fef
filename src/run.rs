//! What each command does: opens sources and outputs, runs the pipeline between them, and tells how it went.
//!
//! Messages for people go to standard error; standard output belongs to data, tables and training logs.

use std::fs;
use std::io::{self, Write};
use std::iter;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;

use crate::annotate;
use crate::bench;
use crate::calibration::Prior;
use crate::cameras;
use crate::classify::Classifier;
use crate::cli::{self, Command, Common, Dials, Live, Train};
use crate::controls::Controls;
use crate::detect::SmallestFace;
use crate::device::{DeviceSpec, GpuError};
use crate::eval;
use crate::job::Job;
use crate::manual;
use crate::pipeline::{Delivery, Stop};
use crate::preprocess::InputSpec;
use crate::sink::{OutputOptions, SinkSpec, check_display};
use crate::source::{CameraOptions, LoopingSource, Source, SourceSpec, list_cameras};
use crate::stats::Stats;
use crate::track::{Search, Sequence};
use crate::train::{self, DataPlace, Init, NewRun};
use crate::viewer::Viewer;
use crate::weights::Weights;

/// Runs a command to its end. The program started at `started`.
///
/// # Errors
/// Whatever kept the command from doing all of its work.
pub fn run(command: &Command, stop: &Stop, started: Instant) -> Result<()> {
    match command {
        Command::Live(arguments) => live(arguments, stop),
        Command::Annotate(arguments) => annotate::command(arguments, stop),
        Command::Bench(arguments) => bench(arguments, started),
        Command::Cameras(arguments) => cameras::command(arguments, &mut io::stdout().lock()),
        Command::Train(arguments) => train(arguments, stop),
        Command::Eval(arguments) => eval::command(arguments, &mut io::stdout().lock(), &mut io::stderr()),
        Command::Completions(arguments) => manual::completions(&arguments.shell, &mut io::stdout().lock()),
        Command::Man => manual::page(&mut io::stdout().lock()),
    }
}

/// Tells a person something.
pub(crate) fn notice(text: &str) {
    eprintln!("emocam: {text}");
}

fn live(arguments: &Live, stop: &Stop) -> Result<()> {
    let common = &arguments.common;
    let spec = arguments.source.clone().map(SourceSpec::or_camera_name).transpose()?;
    check_camera_options(arguments, spec.as_ref())?;
    let mut classifier = classifier(&common.dials)?;
    let options = options_of(common, true);
    let outputs = common.all_outputs();
    check_outputs(&outputs, options, common, spec.as_ref())?;
    let mut viewer = if arguments.headless {
        Viewer::status()
    } else if let Err(reason) = check_display() {
        notice(&format!("{reason:#}; running without a window"));
        Viewer::status()
    } else {
        Viewer::window()
    };
    // Without a window nobody could watch the demo a second time.
    let camera = CameraOptions { format: arguments.camera_format, no_reconnect: arguments.no_reconnect };
    let mut source = live_source(spec.as_ref(), &camera, viewer.is_window())?;
    notice(&source.info().name);
    let delivery = if source.info().live { Delivery::Latest } else { Delivery::EveryInRealTime };
    viewer.set_controls(Controls::new(arguments.mirror, common.privacy, source.info().live));
    let mut stats = Stats::new(common.unsure.is_some());
    let stop = stop.child();
    let job = job_of(source.as_mut(), delivery, &outputs, options, common, spec.as_ref());
    let outcome = job.run(&mut classifier, &mut viewer, &stop, &mut stats);
    if outcome.is_ok() {
        viewer.hold(&stop)?;
    }
    viewer.close();
    outcome.and(finish(&stats, common))
}

/// Refuses options that would do nothing.
fn check_camera_options(arguments: &Live, spec: Option<&SourceSpec>) -> Result<()> {
    if let Some(spec @ (SourceSpec::Path(_) | SourceSpec::Demo)) = spec {
        ensure!(arguments.camera_format.is_none(), "--camera-format is for cameras, and {spec} is none");
        ensure!(!arguments.no_reconnect, "--no-reconnect is for cameras, and {spec} is none");
    }
    Ok(())
}

/// The named source, or the first camera that opens, or the demo.
fn live_source(spec: Option<&SourceSpec>, camera: &CameraOptions, repeat_demo: bool) -> Result<Box<dyn Source>> {
    let demo = || -> Result<Box<dyn Source>> {
        if repeat_demo { Ok(Box::new(LoopingSource::open(SourceSpec::Demo)?)) } else { SourceSpec::Demo.open() }
    };
    match spec {
        Some(SourceSpec::Demo) => return demo(),
        Some(spec) => return spec.open_with(camera),
        None => {}
    }
    let cameras = match list_cameras() {
        Ok(cameras) => cameras,
        Err(error) => {
            notice(&format!("{error:#}"));
            Vec::new()
        }
    };
    let mut reason = "no camera was found";
    for found in cameras {
        match SourceSpec::CameraIndex(found.index).open_with(camera) {
            Ok(source) => return Ok(source),
            Err(error) => notice(&format!("{error:#}")),
        }
        reason = "no camera can be opened";
    }
    notice(&format!("{reason}; showing the demo inside the program instead"));
    demo()
}

pub(crate) fn options_of(common: &Common, live: bool) -> OutputOptions<'static> {
    OutputOptions { force: common.force, live, source: None, quality: common.quality(), sound: None }
}

/// The job for a source that was opened as `spec` says.
pub(crate) fn job_of<'a>(
    source: &'a mut dyn Source,
    delivery: Delivery,
    outputs: &'a [SinkSpec],
    options: OutputOptions<'a>,
    common: &Common,
    spec: Option<&SourceSpec>,
) -> Job<'a> {
    Job {
        outputs,
        options,
        frames: common.frames,
        unsure_below: common.unsure,
        ..job(source, delivery, &common.dials, spec)
    }
}

/// The same without outputs and without an end of its own.
pub(crate) fn job<'a>(
    source: &'a mut dyn Source,
    delivery: Delivery,
    dials: &Dials,
    spec: Option<&SourceSpec>,
) -> Job<'a> {
    Job {
        source,
        delivery,
        outputs: &[],
        options: OutputOptions::default(),
        frames: None,
        search: search(dials, spec),
        frames_at_once: None,
        smoothing: Duration::from_millis(dials.smoothing.into()),
        unsure_below: None,
    }
}

fn bench(arguments: &cli::Bench, started: Instant) -> Result<()> {
    let mut classifier = classifier(&arguments.dials)?;
    let subject = bench::Subject { arguments, classifier: &mut classifier, started };
    bench::command(subject, &mut io::stdout().lock())
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
    }
}

/// The classifier that was asked for. A prior that is not the natural one is never used silently.
pub(crate) fn classifier(dials: &Dials) -> Result<Classifier> {
    let device = dials.device.open(notice)?;
    let half = || thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
    set_threads(dials.threads.unwrap_or_else(half))?;
    let weights = dials.weights.as_deref().map_or_else(Weights::embedded, Weights::load)?;
    let classifier = match Classifier::new(&weights, dials.prior, device) {
        // What was not asked for by name is not insisted on: its memory may be full.
        Err(error) if dials.device == DeviceSpec::Auto && GpuError::find(&error).is_some() => {
            notice(&format!("running on the CPU after all: {error:#}"));
            Classifier::new(&weights, dials.prior, Device::Cpu)?
        }
        made => made?,
    };
    if classifier.prior() != Prior::Natural {
        let whose =
            if dials.prior.is_some() { "as asked for" } else { "as the weights say; --prior natural undoes it" };
        notice(&format!(
            "the prior is {}: all emotions are taken to occur equally often ({whose})",
            classifier.prior()
        ));
    }
    Ok(classifier)
}

/// Refuses outputs that can't be written or would be written over the input, before anything is opened.
pub(crate) fn check_outputs(
    outputs: &[SinkSpec],
    options: OutputOptions<'_>,
    common: &Common,
    input: Option<&SourceSpec>,
) -> Result<()> {
    // What holds for a file of data holds for the statistics, too.
    let stats = common.stats.clone().map(SinkSpec::Jsonl);
    for output in outputs.iter().chain(&stats) {
        output.check(options)?;
        let Some(SourceSpec::Path(path)) = input else { continue };
        for written in iter::once(output).chain(&output.timeline()) {
            ensure!(
                !written.path().is_some_and(|output| is_part_of(output, path)),
                "{written} is the input itself or one of its pictures: choose another output"
            );
        }
        ensure!(
            !(matches!(output, SinkSpec::Summary(_)) && input.is_some_and(SourceSpec::is_pictures)),
            "--summary is about time, and pictures have none: for {} use -o FILE.csv",
            path.display()
        );
    }
    Ok(())
}

/// Whether an output is the input itself, or an existing file in a folder of inputs.
fn is_part_of(output: &Path, input: &Path) -> bool {
    let (Ok(output), Ok(input)) = (output.canonicalize(), input.canonicalize()) else { return false };
    output == input || (input.is_dir() && output.parent() == Some(&input) && SourceSpec::Path(output).is_one_picture())
}

/// The summary, and the file of `--stats`.
pub(crate) fn finish(stats: &Stats, common: &Common) -> Result<()> {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "{stats}");
    let Some(path) = &common.stats else { return Ok(()) };
    let text = format!("{:#}\n", stats.to_json());
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// How many threads compute what can be shared out. Only the first call of a process has an effect.
fn set_threads(threads: usize) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global().with_context(|| format!("--threads {threads}"))
}

fn train(arguments: &Train, stop: &Stop) -> Result<()> {
    let Train { data, out, resume, init, device, threads, data_options, recipe } = arguments;
    if let Some(threads) = *threads {
        set_threads(threads)?;
    }
    let (device, mut log) = (device.open(notice)?, train::Log(io::stdout()));
    match (resume, data, out) {
        (Some(run), data, _) => {
            let place = DataPlace { data: data.as_deref(), cache: data_options.cache_folder() };
            train::resume(run, place, recipe, &device, stop, &mut log)
        }
        (None, Some(data), Some(out)) => {
            let init = init.as_ref().unwrap_or(&Init::Shipped);
            // The seed of the split and the size of faces are the run's: it puts them in.
            let data_options = &data_options.options(0, InputSpec::default());
            let new = NewRun { data, data_options, out, init, recipe };
            train::start(new, &device, stop, &mut log)
        }
        (None, ..) => bail!("expected --data DIR and --out RUN, or --resume RUN"),
    }
}
