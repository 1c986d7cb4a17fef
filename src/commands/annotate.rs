//! `emocam annotate`: files, one after the other, each with outputs of its own.
//!
//! Owns which outputs an input gets, which inputs are done already, and how a run over many of them ends: one that fails
//! does not keep the others from being done, and is named at the end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::job::Job;
use super::setup::{Threads, check_outputs, classifier, finish, inputs, job, options_of, record, to_hide, upright};
use crate::cli::{Annotate, Common};
use crate::view::keys::{Controls, Mirror};
use crate::view::tell::notice;
use crate::view::{ProgressView, View};
use emocam::flow::stop::Stop;
use emocam::measure::stats::Stats;
use emocam::network::classify::Classifier;
use emocam::pipeline::DropPolicy;
use emocam::sink::{self, Input, Made, OutputOptions, Record, SinkSpec, Sound};
use emocam::source::SourceSpec;

/// One input and what is made of it.
struct Task {
    input: SourceSpec,
    outputs: Vec<SinkSpec>,
    /// Whether all outputs are in folders, under the input's name.
    is_named: bool,
    /// What the outputs keep of all this.
    record: Record,
    is_done: bool,
}

/// Runs the command.
///
/// # Errors
/// When arguments don't fit what is there, and when an input failed or the run was interrupted.
pub(super) fn run(arguments: &Annotate, stop: &Stop) -> Result<()> {
    let common = &arguments.common;
    let mut classifier = classifier(&common.dials, Threads::All)?;
    let record = record("annotate", common, classifier.prior())?;
    let mut all = tasks(&arguments.inputs, &common.all_outputs(), &record)?;
    let inputs = inputs(&arguments.inputs, common);
    if !common.force {
        // An input in the place of an output is told as what it is.
        all.iter().flat_map(|task| &task.outputs).try_for_each(|output| inputs.check(output))?;
        look_for_done(&mut all)?;
    }
    let count = all.len();
    let all_inputs: Vec<Input> = all.iter().flat_map(|task| task.record.inputs.clone()).collect();
    let (tasks, done): (Vec<Task>, Vec<Task>) = all.into_iter().partition(|task| !task.is_done);
    if !done.is_empty() {
        notice(&format!("{} of {count} inputs are done already (--force does them again)", done.len()));
    }
    make_folders(&common.outputs)?;
    for task in &tasks {
        check_outputs(&task.outputs, options(task, common), common, Some(&task.input), &inputs)?;
    }
    let mut stats = Stats::new();
    let mut failures = Vec::new();
    let account = |stats: &Stats, whole: bool| finish(stats, common, &record.of(all_inputs.clone()).ended(whole));
    for (number, task) in (1..).zip(&tasks) {
        let prefix = if tasks.len() > 1 { format!("[{number}/{}] ", tasks.len()) } else { String::new() };
        let outcome = one(task, &prefix, arguments, &mut classifier, stop, &mut stats);
        let is_whole = outcome.is_ok() && sink::are_whole(&task.outputs);
        if let Err(error) = outcome {
            if count == 1 {
                // An input that could not be opened has no summary: the error alone says it.
                if stats.frames() > 0 {
                    let _ = account(&stats, false);
                }
                return Err(error);
            }
            notice(&format!("error: {error:#}"));
            failures.push(task.input.to_string());
        }
        // Someone who interrupts the last step of the last input gets all that there was to do.
        if stop.is_requested() && !(is_whole && number == tasks.len()) {
            account(&stats, false)?;
            let how = if is_whole { "after" } else { "in" };
            bail!(
                "interrupted {how} input {number} of {}: {}; the same command goes on from there",
                tasks.len(),
                task.input
            );
        }
    }
    if !tasks.is_empty() {
        account(&stats, failures.is_empty())?;
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
    let mut source = upright(input.open()?, common);
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
        controls: Controls { look: common.look(), ..Controls::new(Mirror::Off, common.privacy, false) },
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
fn tasks(inputs: &[SourceSpec], outputs: &[SinkSpec], record: &Record) -> Result<Vec<Task>> {
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
        let record = record.of(vec![Input::of(input)]);
        tasks.push(Task { input: input.clone(), outputs: named, is_named, record, is_done: false });
    }
    let all: Vec<SinkSpec> = tasks.iter().flat_map(|task| task.outputs.clone()).collect();
    if let Err(error) = sink::check_distinct(&all) {
        let names = |task: &Task| task.outputs.iter().any(|output| error.to_string().contains(&output.to_string()));
        let same: Vec<String> = tasks.iter().filter(|task| names(task)).map(|task| task.input.to_string()).collect();
        return Err(match same.len() {
            0 | 1 => error,
            _ => error.context(format!("two inputs of the same name: {}", same.join(" and "))),
        });
    }
    Ok(tasks)
}

fn named_after(input: &SourceSpec, folder: &Path, extension: &str) -> Result<std::path::PathBuf> {
    let mut name =
        input.stem().with_context(|| format!("{input} has no name that its outputs could bear"))?.to_os_string();
    name.push(extension);
    Ok(folder.join(name))
}

/// Finds out which inputs are done. Only what this very command would make again counts.
///
/// # Errors
/// When something else bears the name of an output: the first such output and what differs.
fn look_for_done(tasks: &mut [Task]) -> Result<()> {
    let mut others = Vec::new();
    for task in tasks.iter_mut().filter(|task| task.is_named && !task.outputs.is_empty()) {
        let made: Vec<Made> = task.outputs.iter().map(|output| output.made(&task.record)).collect();
        task.is_done = made.iter().all(|made| *made == Made::ThisJob { whole: true });
        let other = task.outputs.iter().zip(made).find_map(|(output, made)| match made {
            Made::Other(reason) => Some(format!("{output} exists already, and {reason}")),
            _ => None,
        });
        others.extend(other);
    }
    let Some(first) = others.first() else { return Ok(()) };
    let more = if others.len() > 1 { format!(", and {} more are like it", others.len() - 1) } else { String::new() };
    bail!("{first}{more} (choose another folder; --force overwrites it)");
}

/// How an input's outputs are written. A run that was killed between two of them left one whole and one in part: both are
/// its own, and are made again.
fn options<'a>(task: &'a Task, common: &Common) -> OutputOptions<'a> {
    OutputOptions { again: task.is_named, record: Some(&task.record), ..options_of(common, false) }
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
