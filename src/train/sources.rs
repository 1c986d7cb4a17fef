//! The data sets of a run: what it learns from, what it chooses by, and what it only watches.
//!
//! The first source is the run's own: its validation decides, unless others are named for that, and its shares of the
//! emotions are the natural ones. Of the others the training pictures are learned from, and the validation pictures watched.
//! No picture that anything is measured on is learned from.

use std::collections::HashSet;
use std::io::Write;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::classes;
use super::config::{Recipe, Sampling};
use super::shown::Shown;
use super::source::Source;
use crate::dataset::{Dataset, Part, Sample, picture_hash, picture_number};

/// Pictures that are only measured.
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) dataset: String,
    pub(super) split_hash: String,
    pub(super) samples: Vec<Sample>,
}

/// All pictures of a run.
pub(super) struct Pictures {
    /// The first source, with the training pictures of all.
    pub(super) dataset: Dataset,
    /// How often which of the training pictures are shown.
    pub(super) shown: Vec<Shown>,
    pub(super) watched: Vec<Watched>,
    /// The number of each picture that is learned from, and of those that the weights at the start learned from, ascending.
    pub(super) learned_from: Vec<u32>,
    /// The name and split hash of each source.
    splits: Vec<(String, String)>,
}

impl Pictures {
    /// Reads all sources and watched sets, and says what there is to say about them.
    ///
    /// # Errors
    /// When one can't be read, two have one name, the first has nothing to learn from or to choose by, or a watched set
    /// holds pictures that are learned from or chosen by.
    pub(super) fn load(
        sources: &[Source],
        watched: &[Source],
        sampling: Sampling,
        log: &mut dyn Write,
    ) -> Result<Self> {
        check_names(sources, watched)?;
        let mut datasets = Vec::new();
        for source in sources {
            datasets.push(load(source, log)?);
        }
        let mut watch = Vec::new();
        for source in watched {
            watch.push(everything_of(source, load(source, log)?));
        }
        let splits = datasets.iter().map(|dataset| (dataset.name.clone(), dataset.split_hash())).collect();
        keep_apart(sources, &mut datasets, &watch, log)?;

        let mut others = datasets.split_off(1.min(datasets.len()));
        let mut dataset = datasets.pop().unwrap_or_default();
        let mut shown = Vec::new();
        let mut start = 0;
        for (i, source) in sources.iter().enumerate() {
            let range = start..start + if i == 0 { dataset.train.len() } else { others[i - 1].train.len() };
            start = range.end;
            let sampling = if source.balanced { Sampling::Balanced } else { sampling };
            shown.push(Shown { range, weight: source.weight, sampling });
        }
        let mut all = Vec::new();
        for (source, other) in sources[1..].iter().zip(&mut others) {
            dataset.train.append(&mut other.train);
            if !other.validation.is_empty() {
                all.push(Watched {
                    name: source.name.clone(),
                    dataset: other.name.clone(),
                    split_hash: other.split_hash(),
                    samples: std::mem::take(&mut other.validation),
                });
            }
        }
        all.append(&mut watch);
        classes::check(&dataset)?;
        let mut pictures = Self { dataset, shown, watched: all, learned_from: Vec::new(), splits };
        pictures.add_learned(&pictures.dataset.train.iter().map(picture_number).collect::<Vec<_>>());
        Ok(pictures)
    }

    /// Adds pictures that the weights at the start learned from.
    pub(super) fn add_learned(&mut self, numbers: &[u32]) {
        self.learned_from.extend(numbers);
        self.learned_from.sort_unstable();
        self.learned_from.dedup();
    }

    /// The split hash of the first source, as it is by itself.
    pub(super) fn split_hash(&self) -> &str {
        self.splits.first().map_or("", |(_, hash)| hash)
    }

    /// Refuses to choose by sets that the run does not have.
    pub(super) fn check_selection(&self, sources: &[Source], recipe: &Recipe) -> Result<()> {
        let first = sources.first().map(|source| source.name.as_str());
        recipe.select.check(first.into_iter().chain(self.watched.iter().map(|watched| watched.name.as_str())))
    }

    /// For the card of what comes of it: which data they were, without the names of folders.
    pub(super) fn record(&self, sources: &[Source]) -> Value {
        let one = |(source, (dataset, hash)): (&Source, &(String, String))| {
            let Source { name, weight, balanced, options, path: _ } = source;
            json!({
                "name": name,
                "dataset": dataset,
                "split_hash": hash,
                "weight": weight,
                "balanced": balanced,
                "data": options
            })
        };
        sources.iter().zip(&self.splits).map(one).collect()
    }
}

fn check_names(sources: &[Source], watched: &[Source]) -> Result<()> {
    let mut seen = HashSet::new();
    for Source { name, .. } in sources.iter().chain(watched) {
        ensure!(seen.insert(name), "two data sets are called {name:?}: say name=OTHER behind the path of one");
    }
    Ok(())
}

/// The data set, and what there is to say about it.
fn load(source: &Source, log: &mut dyn Write) -> Result<Dataset> {
    let dataset = Dataset::load(&source.path, &source.options)?;
    let [train, validation, test] = Part::ALL.map(|part| dataset.part(part).len());
    let Dataset { name, split, copies, .. } = &dataset;
    writeln!(
        log,
        "{name}: {train} training, {validation} validation, {test} test pictures (split: {split}); \
         {copies} exact copies left out"
    )?;
    for warning in &dataset.warnings {
        writeln!(log, "warning: {warning}")?;
    }
    Ok(dataset)
}

/// A set that is only measured, with all of its parts.
fn everything_of(source: &Source, dataset: Dataset) -> Watched {
    let split_hash = dataset.split_hash();
    let Dataset { name, train, validation, test, .. } = dataset;
    let samples = [test, validation, train].into_iter().flatten().collect();
    Watched { name: source.name.clone(), dataset: name, split_hash, samples }
}

/// Takes pictures that another source measures on, or learns from already, out of those that are learned from; refuses
/// watched sets with pictures of the sources.
fn keep_apart(sources: &[Source], datasets: &mut [Dataset], watched: &[Watched], log: &mut dyn Write) -> Result<()> {
    let hashes = |samples: &[Sample]| samples.iter().map(|sample| picture_hash(&sample.image)).collect::<Vec<_>>();
    let measured: HashSet<_> =
        datasets.iter().flat_map(|dataset| [hashes(&dataset.validation), hashes(&dataset.test)]).flatten().collect();
    let mut learned = HashSet::new();
    for (source, dataset) in sources.iter().zip(datasets.iter_mut()) {
        let (kept_for_measuring, twice) = (dataset.leave_out(&measured), dataset.leave_out(&learned));
        if kept_for_measuring + twice > 0 {
            writeln!(
                log,
                "warning: {}: left out of training {kept_for_measuring} pictures that another source keeps for validation or \
                 test, and {twice} that an earlier one trains on",
                source.name
            )?;
        }
        learned.extend(hashes(&dataset.train));
    }
    for Watched { name, samples, .. } in watched {
        ensure!(!samples.is_empty(), "--watch {name}: found no pictures in it");
        let known = |sample: &&Sample| {
            let hash = picture_hash(&sample.image);
            learned.contains(&hash) || measured.contains(&hash)
        };
        let shared: Vec<&Sample> = samples.iter().filter(known).collect();
        if let Some(first) = shared.first() {
            bail!(
                "--watch {name}: expected pictures that the run knows nothing of, found {} of {} in its data, such as {}; \
                 watch another set, or leave this one out (the validation part of each --data is watched anyway)",
                shared.len(),
                samples.len(),
                first.name
            );
        }
    }
    Ok(())
}
