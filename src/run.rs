//! What each command does: opens sources and outputs, runs the pipeline between them, and tells how it went.
//!
//! Messages for people go to standard error; standard output belongs to data, tables and training logs.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;

use crate::bench;
use crate::calibration::Prior;
use crate::cameras;
use crate::classify::Classifier;
use crate::cli::{self, Annotate, Command, Common, Dials, Live, Train};
use crate::controls::{Controls, Mirror};
use crate::detect::SmallestFace;
use crate::device::DeviceSpec;
use crate::eval;
use crate::job::Job;
use crate::pipeline::{Delivery, Stop};
use crate::preprocess::InputSpec;
use crate::sink::{self, OutputOptions, SinkSpec, Sound, check_display};
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
        Command::Annotate(arguments) => annotate(arguments, stop),
        Command::Bench(arguments) => bench(arguments, started),
        Command::Cameras(arguments) => cameras::command(arguments, &mut io::stdout().lock()),
        Command::Train(arguments) => train(arguments, stop),
        Command::Eval(arguments) => eval::command(arguments, &mut io::stdout().lock(), &mut io::stderr()),
    }
}

/// Tells a person something.
fn notice(text: &str) {
    eprintln!("emocam: {text}");
}

fn live(arguments: &Live, stop: &Stop) -> Result<()> {
    let common = &arguments.common;
    let spec = arguments.source.clone().map(SourceSpec::or_camera_name).transpose()?;
    check_camera_options(arguments, spec.as_ref())?;
    let mut classifier = classifier(&common.dials, common.dials.device.open()?)?;
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

fn annotate(arguments: &Annotate, stop: &Stop) -> Result<()> {
    let common = &arguments.common;
    let mut classifier = classifier(&common.dials, common.dials.device.open()?)?;
    let jobs = jobs(&arguments.inputs, &common.all_outputs())?;
    for (input, outputs) in &jobs {
        check_outputs(outputs, options_of(common, false), common, Some(input))?;
    }
    let mut stats = Stats::new(common.unsure.is_some());
    let mut failures = Vec::new();
    for (done, (input, outputs)) in jobs.iter().enumerate() {
        let outcome = annotate_one(input, outputs, common, &mut classifier, stop, &mut stats);
        match outcome {
            Ok(()) => {}
            Err(error) if jobs.len() == 1 => {
                // An input that could not be opened has no summary: the error alone says it.
                if stats.frames() > 0 {
                    let _ = finish(&stats, common);
                }
                return Err(error);
            }
            Err(error) => {
                notice(&format!("error: {error:#}"));
                failures.push(input.to_string());
            }
        }
        if stop.is_requested() {
            finish(&stats, common)?;
            bail!("interrupted in input {} of {}: {input}; its outputs hold what was done", done + 1, jobs.len());
        }
    }
    finish(&stats, common)?;
    ensure!(failures.is_empty(), "{} of {} inputs failed: {}", failures.len(), jobs.len(), failures.join(", "));
    Ok(())
}

fn annotate_one(
    input: &SourceSpec,
    outputs: &[SinkSpec],
    common: &Common,
    classifier: &mut Classifier,
    stop: &Stop,
    stats: &mut Stats,
) -> Result<()> {
    let mut source = input.open()?;
    let mut viewer = Viewer::progress(source.info());
    viewer.set_controls(Controls::new(Mirror::Off, common.privacy, false));
    let sound = match input {
        SourceSpec::Path(file) if !input.is_pictures() => Some(Sound { file, start: Duration::ZERO }),
        _ => None,
    };
    let options = OutputOptions { sound, ..options_of(common, false) };
    let job = job_of(source.as_mut(), Delivery::Every, outputs, options, common, Some(input));
    let outcome = job.run(classifier, &mut viewer, &stop.child(), stats);
    viewer.close();
    outcome
}

fn options_of(common: &Common, live: bool) -> OutputOptions<'static> {
    OutputOptions { force: common.force, live, quality: common.quality(), sound: None }
}

/// The job for a source that was opened as `spec` says.
fn job_of<'a>(
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
        smoothing: Duration::from_millis(dials.smoothing.into()),
        unsure_below: None,
    }
}

fn bench(arguments: &cli::Bench, started: Instant) -> Result<()> {
    let device = arguments.dials.device.open()?;
    let name = DeviceSpec::of(&device).to_string();
    let mut classifier = classifier(&arguments.dials, device)?;
    let subject = bench::Subject { arguments, classifier: &mut classifier, device: name, started };
    bench::command(subject, &mut io::stdout().lock())
}

/// Inputs with their outputs. Several inputs share folders: there each gets files that bear its name.
fn jobs(inputs: &[SourceSpec], outputs: &[SinkSpec]) -> Result<Vec<(SourceSpec, Vec<SinkSpec>)>> {
    if let [input] = inputs {
        return Ok(vec![(input.clone(), outputs.to_vec())]);
    }
    let mut jobs = Vec::new();
    for input in inputs {
        let mut named = Vec::new();
        for folder in outputs.iter().filter_map(SinkSpec::path) {
            if !folder.is_dir() {
                fs::create_dir(folder).with_context(|| format!("the folder {} can't be made", folder.display()))?;
            }
            let stem = match input {
                SourceSpec::Path(path) => path.file_stem(),
                _ => Some(OsStr::new("demo")),
            };
            let stem = stem.with_context(|| format!("{input} has no name that its outputs could bear"))?;
            let path = |extension: &str| {
                let mut name = stem.to_os_string();
                name.push(extension);
                folder.join(name)
            };
            named.push(SinkSpec::Jsonl(path(".jsonl")));
            named.push(if input.is_one_picture() {
                SinkSpec::Still(path(".png"))
            } else {
                SinkSpec::Video(path(".mp4"))
            });
        }
        jobs.push((input.clone(), named));
    }
    let all: Vec<SinkSpec> = jobs.iter().flat_map(|(_, outputs)| outputs.clone()).collect();
    sink::check_distinct(&all).context("two inputs of the same name")?;
    Ok(jobs)
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
fn classifier(dials: &Dials, device: Device) -> Result<Classifier> {
    let half = || thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
    set_threads(dials.threads.unwrap_or_else(half))?;
    let weights = dials.weights.as_deref().map_or_else(Weights::embedded, Weights::load)?;
    let classifier = Classifier::new(&weights, dials.prior, device)?;
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
fn check_outputs(
    outputs: &[SinkSpec],
    options: OutputOptions<'_>,
    common: &Common,
    input: Option<&SourceSpec>,
) -> Result<()> {
    // What holds for a file of data holds for the statistics, too.
    let stats = common.stats.clone().map(SinkSpec::Jsonl);
    for output in outputs.iter().chain(&stats) {
        output.check(options)?;
        if let (Some(path), Some(SourceSpec::Path(input))) = (output.path(), input) {
            ensure!(
                !is_part_of(path, input),
                "{output} is the input itself or one of its pictures: choose another output"
            );
        }
    }
    Ok(())
}

/// Whether an output is the input itself, or an existing file in a folder of inputs.
fn is_part_of(output: &Path, input: &Path) -> bool {
    let (Ok(output), Ok(input)) = (output.canonicalize(), input.canonicalize()) else { return false };
    output == input || (input.is_dir() && output.parent() == Some(&input) && SourceSpec::Path(output).is_one_picture())
}

/// The summary, and the file of `--stats`.
fn finish(stats: &Stats, common: &Common) -> Result<()> {
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
    let (device, mut log) = (device.open()?, io::stdout());
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
