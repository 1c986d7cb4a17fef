//! `emocam annotate`: files, one after the other, each with outputs of its own.
//!
//! Owns how a run over many of them goes on and ends: one that fails does not keep the others from being done, and is named
//! at the end. Which inputs there are and what each gets is in `tasks.rs`. Where no output is asked for, the result is told
//! in the terminal.

mod tasks;

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use self::tasks::{Plan, Task};
use super::job::Job;
use super::setup::{
    Threads, check_outputs, check_part, classifier, finish, inputs, job, options_of, record, to_hide, upright,
};
use crate::cli::{Annotate, Common};
use crate::view::keys::{Controls, Mirror};
use crate::view::tell::{lines, notice};
use crate::view::{Findings, ProgressView, Terminal, View};
use emocam::flow::stop::Stop;
use emocam::measure::stats::Stats;
use emocam::network::classify::Classifier;
use emocam::pipeline::DropPolicy;
use emocam::sink::{self, Ending, Input, OutputOptions, Record, SharedTable, SinkSpec, Sound};
use emocam::source::SourceSpec;

/// What is said below a result that is not kept.
const HOW_TO_KEEP: &str = "add -o out.csv (or .jsonl, .mp4 and others) to keep this, or --summary out.json";

/// A run over all inputs.
struct Run<'a> {
    arguments: &'a Annotate,
    classifier: &'a mut Classifier,
    stop: &'a Stop,
    stats: Stats,
    tables: Vec<SharedTable>,
    /// Where results are told in the terminal: nothing else is asked for then.
    told: Option<Told>,
}

/// Runs the command.
///
/// # Errors
/// When arguments don't fit what is there, and when an input failed or the run was interrupted.
pub(super) fn run(arguments: &Annotate, stop: &Stop) -> Result<()> {
    let common = &arguments.common;
    let mut classifier = classifier(&common.dials, Threads::All)?;
    let record = record("annotate", common, classifier.prior())?;
    let mut plan = Plan::new(arguments, &record)?;
    let inputs = inputs(plan.tasks.iter().map(|task| &task.input), common);
    if !common.force {
        // An input in the place of an output is told as what it is.
        plan.outputs().try_for_each(|output| inputs.check(output))?;
        plan.look_for_done()?;
    }
    let count = plan.tasks.len();
    let all_inputs: Vec<Input> = plan.tasks.iter().flat_map(|task| task.record.inputs.clone()).collect();
    let record = record.of(all_inputs);
    plan.make_folders(&common.all_outputs())?;
    let Plan { tasks, shared } = plan;
    let (done, tasks): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(|task| task.is_done);
    if !done.is_empty() {
        notice(&format!("{} of {count} inputs are done already (--force does them again)", done.len()));
    }
    for task in &tasks {
        if !arguments.takes_many() {
            check_part(common, &task.input)?;
        }
        check_outputs(&task.outputs, options(task, common), common, Some(&task.input), &inputs)?;
    }
    let options = OutputOptions { record: Some(&record), ..options_of(common, false) };
    check_outputs(&shared, options, common, None, &inputs)?;
    let pictures = tasks.iter().filter(|task| task.input.is_pictures()).count();
    if arguments.takes_many() && pictures > 0 && common.excerpt().is_about_time() {
        notice(&format!(
            "a part of a time, or a rate, is for what moves: of the pictures among the inputs ({pictures}) all are taken"
        ));
    }
    let tables = shared.iter().map(|spec| SharedTable::open(spec, options)).collect::<Result<_>>()?;
    let told = common.all_outputs().is_empty().then(|| Told::of(&tasks));
    let mut run = Run { arguments, classifier: &mut classifier, stop, stats: Stats::new(), tables, told };
    let outcome = run.all(&tasks, count);
    let ending = run.complete(&shared, &outcome);
    if outcome.is_ok() || run.stats.frames() > 0 {
        run.account(&record.ended(outcome.is_ok()), !tasks.is_empty())?;
    }
    outcome.map_err(Failure::into_error).and(ending)
}

/// Results in the terminal.
struct Told {
    terminal: Terminal,
    /// How wide the names of pictures are.
    width: usize,
    /// Whether the last one was a video; `None` at the start.
    was_video: Option<bool>,
}

impl Told {
    fn of(tasks: &[Task]) -> Self {
        let pictures = tasks.iter().map(|task| &task.input).filter(|input| input.is_one_picture());
        let width = pictures.map(|input| input.to_string().chars().count()).max().unwrap_or_default();
        Self { terminal: Terminal::of_output(), width, was_video: None }
    }

    /// Pictures after pictures go on in the same table; all else begins anew.
    fn tell(&mut self, findings: &Findings) -> Result<()> {
        let is_video = findings.is_video();
        let goes_on = !is_video && self.was_video == Some(false);
        let gap = if goes_on || self.was_video.is_none() { "" } else { "\n" };
        self.was_video = Some(is_video);
        let text = gap.to_owned() + &findings.text(self.terminal, self.width, !goes_on);
        let mut out = io::stdout();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // The reader has what it wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("standard output takes no more"),
        }
    }
}

/// How a run over inputs did not come to a good end.
enum Failure {
    /// The only input failed.
    Alone(anyhow::Error),
    /// Some did, and their names were told.
    Some {
        failed: Vec<String>,
        of: usize,
    },
    Interrupted(String),
}

impl Failure {
    fn into_error(self) -> anyhow::Error {
        match self {
            Self::Alone(error) => error,
            Self::Some { failed, of } => {
                anyhow!("{} of {of} inputs failed:\n  {}", failed.len(), failed.join("\n  "))
            }
            Self::Interrupted(text) => anyhow!(text),
        }
    }
}

impl Run<'_> {
    /// Does one input after the other.
    fn all(&mut self, tasks: &[Task], count: usize) -> Result<(), Failure> {
        let mut failed = Vec::new();
        for (number, task) in (1..).zip(tasks) {
            let prefix = if tasks.len() > 1 { format!("[{number}/{}] ", tasks.len()) } else { String::new() };
            let outcome = self.one(task, &prefix);
            let is_whole = outcome.is_ok() && sink::are_whole(&task.outputs);
            if let Err(error) = outcome {
                if count == 1 {
                    return Err(Failure::Alone(error));
                }
                notice(&format!("error: {error:#}"));
                failed.push(task.input.to_string());
            }
            // Someone who interrupts the last step of the last input gets all that there was to do.
            if self.stop.is_requested() && !(is_whole && number == tasks.len()) {
                let how = if is_whole { "after" } else { "in" };
                let goes_on = if self.tables.is_empty() { "; the same command goes on from there" } else { "" };
                return Err(Failure::Interrupted(format!(
                    "interrupted {how} input {number} of {}: {}{goes_on}",
                    tasks.len(),
                    task.input
                )));
            }
            // `emocam ... -o - | head`: the only reader has what it wanted.
            if !self.tables.is_empty() && task.outputs.is_empty() && !self.tables.iter().any(SharedTable::is_open) {
                break;
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(Failure::Some { failed, of: tasks.len() }) }
    }

    fn one(&mut self, task: &Task, number: &str) -> Result<()> {
        let Task { input, outputs, .. } = task;
        let common = &self.arguments.common;
        let mut source = upright(input.open()?, common);
        let excerpt = if input.is_pictures() { common.excerpt().without_time() } else { common.excerpt() };
        let view = View::Progress(ProgressView::new(&excerpt.info_of(source.info()), number));
        let sound = match input {
            SourceSpec::Path(file) if !input.is_pictures() => {
                Some(Sound { file, start: Duration::ZERO, skipped: Duration::ZERO })
            }
            _ => None,
        };
        let name = input.to_string();
        let findings = self.told.is_some().then(|| Findings::new(&name, input.is_pictures()));
        let tables = self.tables.iter().filter_map(|table| table.part(&name));
        let mut job = Job {
            outputs,
            tables: tables.chain(findings.iter().map(Findings::sink)).collect(),
            options: OutputOptions { sound, ..options(task, common) },
            excerpt,
            frames: common.frames,
            frames_at_once: self.arguments.batch.map(usize::from),
            controls: Controls { look: common.look(), ..Controls::new(Mirror::Off, common.privacy, false) },
            unsure_below: common.unsure,
            ..job(source.as_mut(), DropPolicy::Every, &common.dials, Some(input))
        };
        if common.privacy.is_some() {
            job.search = to_hide(job.search, &common.dials);
            // There is time: no face is to be seen before the search comes past it.
            job.search.sequence = job.search.sequence.or_every(1);
        }
        let outcome = job.run(self.classifier, view, &self.stop.child(), &mut self.stats);
        let told = self.told.as_mut().zip(findings).map_or(Ok(()), |(told, findings)| told.tell(&findings));
        outcome.and(told)
    }

    /// Completes the tables of all inputs. What failed is not in them, and was told; what was interrupted is not whole.
    fn complete(&self, shared: &[SinkSpec], outcome: &Result<(), Failure>) -> Result<()> {
        let ending = match outcome {
            Err(Failure::Interrupted(_) | Failure::Alone(_)) => Ending::CutOff,
            Err(Failure::Some { failed, of }) if failed.len() == *of => Ending::CutOff,
            Ok(()) | Err(Failure::Some { .. }) => Ending::Whole,
        };
        let finished = self.tables.iter().map(|table| table.finish(ending)).collect::<Vec<_>>();
        for part in
            shared.iter().filter_map(SinkSpec::part_path).filter(|part| ending == Ending::CutOff && part.is_file())
        {
            notice(&format!("what was done is in {}", part.display()));
        }
        finished.into_iter().collect()
    }

    /// How it went. Where results are told in the terminal, times are not what somebody asked for.
    fn account(&self, record: &Record, is_any: bool) -> Result<()> {
        if self.told.is_some() && self.arguments.common.stats.is_none() {
            self.stats.left_out().iter().for_each(|sentence| lines(sentence));
            notice(HOW_TO_KEEP);
        } else if is_any {
            finish(&self.stats, &self.arguments.common, record)?;
        }
        Ok(())
    }
}

/// How an input's outputs are written. A run that was killed between two of them left one whole and one in part: both are
/// its own, and are made again.
fn options<'a>(task: &'a Task, common: &Common) -> OutputOptions<'a> {
    OutputOptions { again: task.is_named, record: Some(&task.record), ..options_of(common, false) }
}
