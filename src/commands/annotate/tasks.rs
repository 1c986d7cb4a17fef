//! Which inputs there are, and what is made of each: outputs of its own, or a part of a table that all share.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result, bail, ensure};
use emocam::sink::{self, Input, Made, Record, SinkSpec, Variables};
use emocam::source::{SourceSpec, walk};

use crate::cli::Annotate;
use crate::view::tell::notice;

/// All that is to be done.
pub(super) struct Plan {
    pub(super) tasks: Vec<Task>,
    /// Tables of all inputs.
    pub(super) shared: Vec<SinkSpec>,
}

/// One input and what is made of it.
pub(super) struct Task {
    pub(super) input: SourceSpec,
    pub(super) outputs: Vec<SinkSpec>,
    /// Whether all that is made of it is its own, under its name.
    pub(super) is_named: bool,
    /// What the outputs keep of all this.
    pub(super) record: Record,
    pub(super) is_done: bool,
}

/// An input, and the folder that it was looked for in.
struct Found {
    input: SourceSpec,
    root: PathBuf,
}

impl Plan {
    /// Looks for the inputs and gives each its outputs.
    ///
    /// # Errors
    /// When a folder can't be listed or has nothing for emocam, or two outputs would be one file.
    pub(super) fn new(arguments: &Annotate, record: &Record) -> Result<Self> {
        let found = find(arguments)?;
        let outputs = arguments.common.all_outputs();
        let is_own = |output: &&SinkSpec| output.is_folder() || output.names_input() || !arguments.takes_many();
        let (own, shared): (Vec<&SinkSpec>, Vec<&SinkSpec>) = outputs.iter().partition(is_own);
        let variables = variables(&found);
        let is_mirrored = arguments.recursive || have_same_names(&variables);
        let is_named = shared.is_empty() && own.iter().all(|output| output.is_folder() || output.names_input());
        let mut tasks = Vec::with_capacity(found.len());
        let mut without_time = 0;
        for (Found { input, .. }, variables) in found.into_iter().zip(&variables) {
            let mut outputs = own_outputs(&input, &own, variables, is_mirrored)?;
            if arguments.takes_many() && input.is_pictures() {
                let before = outputs.len();
                outputs.retain(|output| !matches!(output, SinkSpec::Summary(_)));
                without_time += before - outputs.len();
            }
            let record = record.of(vec![Input::of(&input)]);
            tasks.push(Task { input, outputs, is_named, record, is_done: false });
        }
        check_distinct(&tasks)?;
        if without_time > 0 {
            notice(&format!("--summary is about time: the pictures among the inputs ({without_time}) get none"));
        }
        Ok(Self { tasks, shared: shared.into_iter().cloned().collect() })
    }

    /// Everything that is written.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &SinkSpec> {
        self.tasks.iter().flat_map(|task| &task.outputs).chain(&self.shared)
    }

    /// Finds out which inputs are done. Only what this very command would make again counts.
    ///
    /// # Errors
    /// When something else bears the name of an output: the first such output and what differs.
    pub(super) fn look_for_done(&mut self) -> Result<()> {
        let mut others = Vec::new();
        for task in self.tasks.iter_mut().filter(|task| task.is_named && !task.outputs.is_empty()) {
            let made: Vec<Made> = task.outputs.iter().map(|output| output.made(&task.record)).collect();
            task.is_done = made.iter().all(|made| *made == Made::ThisJob { whole: true });
            let other = task.outputs.iter().zip(made).find_map(|(output, made)| match made {
                Made::Other(reason) => Some(format!("{output} exists already, and {reason}")),
                _ => None,
            });
            others.extend(other);
        }
        let Some(first) = others.first() else { return Ok(()) };
        let more =
            if others.len() > 1 { format!(", and {} more are like it", others.len() - 1) } else { String::new() };
        bail!("{first}{more} (choose another folder; --force overwrites it)");
    }

    /// Makes the folders of what is to be written, as far as inputs give them their names. What is the same for all inputs
    /// must be there, but for its last folder, so that a slip of the pen makes no tree.
    pub(super) fn make_folders(&self, outputs: &[SinkSpec]) -> Result<()> {
        for output in outputs.iter().filter(|output| output.is_folder() || output.names_input()) {
            let folder = output.fixed_folder();
            if folder.as_os_str().is_empty() || folder.is_dir() {
                continue;
            }
            ensure!(!folder.exists(), "{output} can't be written: {} is a file, not a folder", folder.display());
            let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
            if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
                let parent = parent.display();
                bail!(
                    "{output} can't be written: the folder {parent} does not exist (create it with: mkdir -p {parent})"
                );
            }
            make(&folder)?;
        }
        let open = self.tasks.iter().filter(|task| !task.is_done);
        let own = open.flat_map(|task| &task.outputs).filter(|output| !outputs.contains(output));
        own.filter_map(|output| output.path()?.parent()).try_for_each(make)
    }
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("the folder {} can't be made", folder.display()))
}

/// The inputs, those in folders with them where that is asked for.
fn find(arguments: &Annotate) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for input in &arguments.inputs {
        match input {
            SourceSpec::Path(folder) if arguments.recursive && folder.is_dir() => {
                let (files, others) = walk(folder)?;
                others.iter().for_each(|others| notice(others));
                let file = |path| Found { input: SourceSpec::Path(path), root: folder.clone() };
                found.extend(files.into_iter().map(file));
            }
            SourceSpec::Path(path) => {
                let root = path.parent().unwrap_or(path).to_path_buf();
                found.push(Found { input: input.clone(), root });
            }
            _ => found.push(Found { input: input.clone(), root: PathBuf::new() }),
        }
    }
    Ok(found)
}

/// What the inputs are called. Their folders are told from the one that all share.
fn variables(found: &[Found]) -> Vec<Variables> {
    let whole = |path: &Path| absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let files = found.iter().filter(|found| matches!(found.input, SourceSpec::Path(_)));
    let shared = files.map(|found| whole(&found.root)).reduce(|a, b| {
        let same = a.components().zip(b.components()).take_while(|(a, b)| a == b);
        same.map(|(component, _)| component).collect()
    });
    let shared = shared.unwrap_or_default();
    let folder = |path: &Path| {
        let folder = path.parent().map(whole).unwrap_or_default();
        folder.strip_prefix(&shared).map(Path::to_path_buf).unwrap_or_default()
    };
    let of = |found: &Found| Variables {
        name: found.input.stem().unwrap_or_default().to_os_string(),
        folder: if let SourceSpec::Path(path) = &found.input { folder(path) } else { PathBuf::new() },
        extension: match &found.input {
            SourceSpec::Path(path) if !path.is_dir() => path.extension().unwrap_or_default().to_os_string(),
            _ => OsString::new(),
        },
    };
    found.iter().map(of).collect()
}

/// Whether there are inputs of one name in several folders.
fn have_same_names(all: &[Variables]) -> bool {
    let mut folders = HashMap::new();
    all.iter().any(|it| *folders.entry(&it.name).or_insert(&it.folder) != &it.folder)
}

/// The outputs of an input. In a folder it gets files that bear its name.
fn own_outputs(
    input: &SourceSpec,
    outputs: &[&SinkSpec],
    variables: &Variables,
    is_mirrored: bool,
) -> Result<Vec<SinkSpec>> {
    let mut own = Vec::new();
    for output in outputs {
        let is_nameless = variables.name.is_empty() && (output.is_folder() || output.names_input());
        ensure!(!is_nameless, "{input} has no name that its outputs could bear");
        match output.of_input(variables) {
            SinkSpec::Stills(folder) => {
                let below = if is_mirrored && !output.names_input() { folder.join(&variables.folder) } else { folder };
                let path = |extension: &str| {
                    let mut name = variables.name.clone();
                    name.push(extension);
                    below.join(name)
                };
                own.push(SinkSpec::Jsonl(path(".jsonl")));
                let is_picture = input.is_one_picture();
                own.push(if is_picture { SinkSpec::Still(path(".png")) } else { SinkSpec::Video(path(".mp4")) });
            }
            other => own.push(other),
        }
    }
    Ok(own)
}

/// Refuses outputs that would be one file, and names the inputs that they are of.
fn check_distinct(tasks: &[Task]) -> Result<()> {
    let all: Vec<SinkSpec> = tasks.iter().flat_map(|task| task.outputs.clone()).collect();
    let Err(error) = sink::check_distinct(&all) else { return Ok(()) };
    let text = error.to_string();
    let names = |task: &&Task| task.outputs.iter().any(|output| text.contains(&output.to_string()));
    let same: Vec<String> = tasks.iter().filter(names).map(|task| task.input.to_string()).collect();
    if same.len() < 2 {
        return Err(error);
    }
    Err(error.context(format!(
        "the outputs of {} would be one file: tell them apart by {{folder}} or {{extension}}, as in \
         -o 'out/{{folder}}/{{name}}-{{extension}}.jsonl'",
        same.join(" and ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, root: &str) -> Found {
        Found { input: SourceSpec::Path(path.into()), root: root.into() }
    }

    #[test]
    fn folders_are_told_from_the_one_that_all_inputs_share() {
        let folders = |found: &[Found]| {
            let of = |variables: &Variables| variables.folder.to_string_lossy().into_owned();
            variables(found).iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(folders(&[found("s1/video.mp4", "s1"), found("s2/video.mp4", "s2")]), ["s1", "s2"]);
        assert_eq!(folders(&[found("/d/a/s1/v.mp4", "/d/a"), found("/d/a/v.mp4", "/d/a")]), ["s1", ""]);
        assert_eq!(folders(&[found("/d/a/v.mp4", "/d/a"), found("/d/b/c/v.mp4", "/d/b")]), ["a", "b/c"]);
        assert_eq!(folders(&[found("s1/video.mp4", "s1")]), [""]);
        assert_eq!(folders(&[Found { input: SourceSpec::Demo, root: PathBuf::new() }]), [""]);
    }

    #[test]
    fn inputs_of_one_name_in_two_folders_are_noticed() {
        let all = variables(&[found("s1/video.mp4", "s1"), found("s2/video.mp4", "s2")]);
        assert!(have_same_names(&all) && all[0].extension == "mp4");
        assert!(!have_same_names(&variables(&[
            found("s1/a.mp4", "s1"),
            found("s1/a.mkv", "s1"),
            found("s2/b.mkv", "s2")
        ])));
    }
}
