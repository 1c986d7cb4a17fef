//! `emocam annotate`: files, one after the other, each with outputs of its own.
//!
//! Owns which outputs an input gets, which inputs are done already, and how a run over many of them ends: one that fails
//! does not keep the others from being done, and is named at the end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::job::Job;
use super::setup::{Threads, check_outputs, classifier, finish, job, options_of, to_hide};
use crate::cli::{Annotate, Common};
use crate::view::keys::{Controls, Mirror};
use crate::view::tell::notice;
use crate::view::{ProgressView, View};
use emocam::flow::stop::Stop;
use emocam::measure::stats::Stats;
use emocam::network::classify::Classifier;
use emocam::pipeline::DropPolicy;
use emocam::sink::{self, OutputOptions, SinkSpec, Sound};
use emocam::source::SourceSpec;

/// One input and what is made of it.
struct Task {
    input: SourceSpec,
    outputs: Vec<SinkSpec>,
    /// Whether all outputs are in folders, under the input's name.
    is_named: bool,
}

/// Runs the command.
///
/// # Errors
/// When arguments don't fit what is there, and when an input failed or the run was interrupted.
pub(super) fn run(arguments: &Annotate, stop: &Stop) -> Result<()> {
    let common = &arguments.common;
    let mut classifier = classifier(&common.dials, Threads::All)?;
    let all = tasks(&arguments.inputs, &common.all_outputs())?;
    let count = all.len();
    let (tasks, done): (Vec<Task>, Vec<Task>) = all.into_iter().partition(|task| common.force || !is_done(task));
    if !done.is_empty() {
        notice(&format!("{} of {count} inputs are done already (--force does them again)", done.len()));
    }
    make_folders(&common.outputs)?;
    for task in &tasks {
        let Task { input, outputs, .. } = task;
        check_outputs(outputs, options(task, common), common, Some(input))?;
    }
    let mut stats = Stats::new();
    let mut failures = Vec::new();
    for (number, task) in (1..).zip(&tasks) {
        let prefix = if tasks.len() > 1 { format!("[{number}/{}] ", tasks.len()) } else { String::new() };
        let outcome = one(task, &prefix, arguments, &mut classifier, stop, &mut stats);
        if let Err(error) = outcome {
            if count == 1 {
                // An input that could not be opened has no summary: the error alone says it.
                if stats.frames() > 0 {
                    let _ = finish(&stats, common);
                }
                return Err(error);
            }
            notice(&format!("error: {error:#}"));
            failures.push(task.input.to_string());
        }
        if stop.is_requested() {
            finish(&stats, common)?;
            bail!(
                "interrupted in input {number} of {}: {}; the same command goes on from there",
                tasks.len(),
                task.input
            );
        }
    }
    if !tasks.is_empty() {
        finish(&stats, common)?;
    }
    ensure!(failures.is_empty(), "{} of {} inputs failed:\n  {}", failures.len(), tasks.len(), failures.join("\n  "));
    Ok(())
}

fn one(
    task: &Task,
    number: &str,
    arguments: &Annotate,
    classifier: &mut Classifier,
    stop: &Stop,
    stats: &mut Stats,
) -> Result<()> {
    let Task { input, outputs, .. } = task;
    let common = &arguments.common;
    let mut source = input.open()?;
    let view = View::Progress(ProgressView::new(source.info(), number));
    let sound = match input {
        SourceSpec::Path(file) if !input.is_pictures() => Some(Sound { file, start: Duration::ZERO }),
        _ => None,
    };
    let mut job = Job {
        outputs,
        options: OutputOptions { sound, ..options(task, common) },
        frames: common.frames,
        frames_at_once: arguments.batch.map(usize::from),
        controls: Controls::new(Mirror::Off, common.privacy, false),
        unsure_below: common.unsure,
        ..job(source.as_mut(), DropPolicy::Every, &common.dials, Some(input))
    };
    if common.privacy.is_some() {
        job.search = to_hide(job.search, &common.dials);
        // There is time: no face is to be seen before the search comes past it.
        job.search.sequence = job.search.sequence.or_every(1);
    }
    job.run(classifier, view, &stop.child(), stats)
}

/// Inputs with their outputs. In a folder each input gets files that bear its name.
fn tasks(inputs: &[SourceSpec], outputs: &[SinkSpec]) -> Result<Vec<Task>> {
    let mut tasks = Vec::with_capacity(inputs.len());
    for input in inputs {
        let mut named = Vec::new();
        for output in outputs {
            let SinkSpec::Stills(folder) = output else {
                named.push(output.clone());
                continue;
            };
            let path = |extension: &str| named_after(input, folder, extension);
            named.push(SinkSpec::Jsonl(path(".jsonl")?));
            named.push(if input.is_one_picture() {
                SinkSpec::Still(path(".png")?)
            } else {
                SinkSpec::Video(path(".mp4")?)
            });
        }
        let is_named = outputs.iter().all(|output| matches!(output, SinkSpec::Stills(_)));
        tasks.push(Task { input: input.clone(), outputs: named, is_named });
    }
    let all: Vec<SinkSpec> = tasks.iter().flat_map(|task| task.outputs.clone()).collect();
    if let Err(error) = sink::check_distinct(&all) {
        let names = |task: &Task| task.outputs.iter().any(|output| error.to_string().contains(&output.to_string()));
        let same: Vec<String> = tasks.iter().filter(|task| names(task)).map(|task| task.input.to_string()).collect();
        return Err(error.context(format!("two inputs of the same name: {}", same.join(" and "))));
    }
    Ok(tasks)
}

fn named_after(input: &SourceSpec, folder: &Path, extension: &str) -> Result<std::path::PathBuf> {
    let mut name =
        input.stem().with_context(|| format!("{input} has no name that its outputs could bear"))?.to_os_string();
    name.push(extension);
    Ok(folder.join(name))
}

/// Whether all of an input's outputs are there, which bear its name.
fn is_done(task: &Task) -> bool {
    task.is_named
        && !task.outputs.is_empty()
        && task.outputs.iter().all(|output| output.path().is_some_and(Path::is_file))
}

/// How an input's outputs are written. A run that was killed between two of them left one whole and one in part: both are
/// its own, and are made again.
fn options(task: &Task, common: &Common) -> OutputOptions<'static> {
    let is_there = |output: &SinkSpec| output.path().is_some_and(Path::is_file);
    let is_in_part = |output: &SinkSpec| output.part_path().is_some_and(|part| part.is_file());
    let outputs = &task.outputs;
    let was_killed = task.is_named
        && outputs.iter().any(is_in_part)
        && outputs.iter().all(|output| is_there(output) || is_in_part(output));
    let options = options_of(common, false);
    OutputOptions { force: options.force || was_killed, ..options }
}

/// The folders that inputs share are made where they are missing; their own parents must be there, so that a slip of the
/// pen makes no tree.
fn make_folders(outputs: &[SinkSpec]) -> Result<()> {
    for output in outputs {
        if let SinkSpec::Stills(folder) = output
            && !folder.is_dir()
        {
            output.check(OutputOptions::default())?;
            fs::create_dir(folder).with_context(|| format!("the folder {} can't be made", folder.display()))?;
        }
    }
    Ok(())
}
