//! What the network is shown in a run's first step, as a picture for people: a sheet of the batch, after all changes.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};
use image::GrayImage;

use super::batches::{Batch, Batches};
use super::config::{Init, Recipe};
use super::options::RecipeOptions;
use super::shown::Shown;
use super::source::Source;
use super::sources::Pictures;
use super::start::Start;
use crate::dataset::{DataOptions, DataSpec, Dataset};
use crate::flow::emotion::Emotion;
use crate::plot::{self, Tile};

/// The most pictures on a sheet.
const MOST: usize = 64;

/// Grey levels for one standard deviation of a crop, about a middle grey: two and a half to either side are shown.
const LEVELS: f32 = 51.0;
const MIDDLE: f32 = 127.5;

/// A run whose first batch is asked for.
#[derive(Clone, Copy, Debug)]
pub struct FirstBatch<'a> {
    /// The data sets.
    pub data: &'a [DataSpec],
    /// Which samples it has, but for the seed of the split and the input that faces are cut for, which are the run's.
    pub data_options: &'a DataOptions,
    /// What the weights would start from.
    pub init: &'a Init,
    /// How they would learn.
    pub recipe: &'a RecipeOptions,
}

/// Writes a PNG of what the network would be shown in the first step of a run: up to 64 pictures as it sees them, and
/// beneath each the emotion with the largest share of its target, before the smoothing of labels. Nothing is trained.
///
/// # Errors
/// When the file exists already or can't be written, the data or the weights to start from can't be read, or a setting makes
/// no sense.
pub fn show_batch(run: FirstBatch<'_>, path: &Path, log: &mut dyn Write) -> Result<()> {
    let FirstBatch { data, data_options, init, recipe: options } = run;
    ensure!(!path.exists(), "{} exists already: choose another file for --show-batch", path.display());
    let recipe = options.applied_to(Recipe::of(init))?;
    recipe.check()?;
    let input = Start::open(init, options, &recipe)?.input;
    let data_options = DataOptions { seed: recipe.seed, input: input.clone(), ..data_options.clone() };
    let sources = data.iter().map(|spec| Source::new(spec, &data_options)).collect::<Result<Vec<_>>>()?;
    let Pictures { dataset, shown, .. } = Pictures::load(&sources, &[], recipe.sampling, log)?;
    let recipe = options.suited(recipe, init, shown.iter().map(Shown::pictures).sum());
    let batches = Batches { samples: &dataset.train, shown: &shown, recipe: &recipe, input: &input };
    let batch = batches.run(0, 0, |prepared| prepared.recv()?)?;
    let tiles: Vec<Tile> = tiles(&batch, input.size).take(MOST).collect();
    plot::sheet(path, [&title(&dataset, &recipe, tiles.len()), ABOUT], &tiles)?;
    writeln!(log, "what the network is shown in the first step is in {}", path.display())?;
    Ok(())
}

const ABOUT: &str = "As the network sees them. The label is the largest share of the target, before smoothing.";

fn title(dataset: &Dataset, recipe: &Recipe, shown: usize) -> String {
    let Recipe { batch_size, seed, .. } = *recipe;
    let which = if shown < batch_size { format!("{shown} of the {batch_size}") } else { format!("the {shown}") };
    format!("{}: {which} pictures of the first step, seed {seed}", dataset.name)
}

/// The pictures of a batch, in grey, with the emotion that has the largest share of each target.
fn tiles(batch: &Batch, size: usize) -> impl Iterator<Item = Tile> {
    let targets = batch.targets.chunks_exact(Emotion::COUNT);
    batch.inputs.chunks_exact(size * size).zip(targets).filter_map(move |(input, target)| {
        let gray = input.iter().map(|value| (MIDDLE + LEVELS * value).round() as u8).collect();
        let picture = GrayImage::from_raw(size as u32, size as u32, gray)?;
        let (emotion, share) = Emotion::ALL.into_iter().zip(target).max_by(|a, b| a.1.total_cmp(b.1))?;
        Some(Tile { picture, label: format!("{} {:.0}%", emotion.name(), 100.0 * share) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_the_input_in_grey_and_the_largest_share() {
        let mut targets = vec![0.0; 2 * Emotion::COUNT];
        targets[Emotion::Sad.index()] = 0.7;
        targets[Emotion::Fear.index()] = 0.3;
        targets[Emotion::COUNT + Emotion::Happy.index()] = 1.0;
        let batch = Batch { inputs: vec![0.0, -9.0, 9.0, 1.0, 0.0, 0.0, 0.0, 0.0], targets };
        let tiles: Vec<_> = tiles(&batch, 2).collect();
        assert_eq!(tiles[0].picture.as_raw(), &[128, 0, 255, 179]);
        let labels: Vec<_> = tiles.iter().map(|tile| tile.label.as_str()).collect();
        assert_eq!(labels, ["Sad 70%", "Happy 100%"]);
    }
}
