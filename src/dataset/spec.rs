//! One data set among several, as a user names it: `PATH` or `PATH,weight=0.5,faces=whole`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::ValueEnum;

use super::class_map::ClassMap;
use super::listing::file_name;
use super::options::{DataOptions, FacesMode, Format, Labels};
use super::split::SplitRule;

/// A data set, and what is said of it alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataSpec {
    /// Folder or table.
    pub path: PathBuf,
    /// What it is called in tables and columns; `None` takes the name of the folder.
    pub name: Option<String>,
    /// How often each of its pictures is shown in an epoch, on average; `None` is once.
    pub weight: Option<f64>,
    /// Whether its emotions are shown equally often.
    pub balanced: bool,
    format: Option<Format>,
    split: Option<SplitRule>,
    faces: Option<FacesMode>,
    labels: Option<Labels>,
    trust: Option<f32>,
    map: Option<ClassMap>,
}

/// What may stand behind a path.
const KEYS: &str = "name, weight (above 0, up to 100), sampling (natural, balanced), format, split, faces, labels (soft, \
                    hard), trust (0 to 1), map (contempt:disgust+boredom:none)";

impl DataSpec {
    /// A data set of which nothing special is said.
    pub fn plain(path: &Path) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// What it is called: its own name, or that of its folder, without what a file name or a column can't hold.
    pub fn name(&self) -> String {
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let folder = if path.is_file() { path.parent().unwrap_or(&path) } else { &path };
        let name = self.name.clone().unwrap_or_else(|| file_name(folder).to_lowercase());
        name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+') { c } else { '_' }).collect()
    }

    /// The same, dealt out by this rule.
    pub fn with_split(&self, rule: SplitRule) -> Self {
        Self { split: Some(rule), ..self.clone() }
    }

    /// The options for reading it: what is said of all sets, but for what is said of this one.
    pub fn options(&self, of_all: &DataOptions) -> DataOptions {
        let map = self.map.as_ref().map_or_else(|| of_all.map.clone(), |map| of_all.map.with(map));
        DataOptions {
            format: self.format.or(of_all.format),
            split: self.split.or(of_all.split),
            faces: self.faces.unwrap_or(of_all.faces),
            labels: self.labels.unwrap_or(of_all.labels),
            trust: self.trust.unwrap_or(of_all.trust),
            map,
            ..of_all.clone()
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let number = || value.parse::<f64>().ok();
        match key {
            "name" => self.name = Some(value.into()),
            "weight" => {
                let weight = number().filter(|weight| *weight > 0.0 && *weight <= 100.0);
                self.weight = Some(
                    weight.with_context(|| format!("weight: expected a number above 0, up to 100, found {value:?}"))?,
                );
            }
            "sampling" => {
                self.balanced = match value {
                    "balanced" => true,
                    "natural" => false,
                    _ => bail!("sampling: expected natural or balanced, found {value:?}"),
                }
            }
            "format" => self.format = Some(one_of(key, value)?),
            "faces" => self.faces = Some(one_of(key, value)?),
            "labels" => self.labels = Some(one_of(key, value)?),
            "split" => self.split = Some(value.parse()?),
            "map" => self.map = Some(value.parse()?),
            "trust" => {
                let trust = number().filter(|trust| (0.0..=1.0).contains(trust));
                self.trust = Some(
                    trust.with_context(|| format!("trust: expected a number from 0 to 1, found {value:?}"))? as f32,
                );
            }
            _ => bail!("expected one of {KEYS}, found {key:?}"),
        }
        Ok(())
    }
}

fn one_of<T: ValueEnum>(key: &str, value: &str) -> Result<T> {
    let names = || T::value_variants().iter().filter_map(|v| Some(v.to_possible_value()?.get_name().to_owned()));
    let expected = || format!("{key}: expected {}, found {value:?}", names().collect::<Vec<_>>().join(", "));
    T::from_str(value, true).ok().with_context(expected)
}

impl FromStr for DataSpec {
    type Err = anyhow::Error;

    /// What follows a comma is a setting where it has the form `key=value`; else it is a part of the path.
    fn from_str(text: &str) -> Result<Self> {
        let is_setting = |part: &str| {
            part.split_once('=')
                .is_some_and(|(key, _)| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase()))
        };
        let mut parts: Vec<&str> = text.split(',').collect();
        let first = parts.iter().skip(1).rposition(|part| !is_setting(part)).map_or(1, |at| at + 2);
        let settings = parts.split_off(first.min(parts.len()));
        let mut spec = Self { path: parts.join(",").into(), ..Self::default() };
        ensure!(!spec.path.as_os_str().is_empty(), "expected a folder or table, found {text:?}");
        for setting in settings {
            let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
            // Whoever shows arguments shows the first line of an error only.
            spec.set(key, value).map_err(|error| anyhow!("{error:#}, behind {}", spec.path.display()))?;
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::super::class_map::Class;
    use super::*;
    use crate::flow::emotion::Emotion;

    #[test]
    fn settings_follow_the_path_and_go_before_those_of_all() {
        let spec: DataSpec =
            "a,b/c,name=web,weight=0.5,sampling=balanced,faces=whole,labels=hard,trust=0.8,map=x:sad".parse().unwrap();
        assert_eq!((spec.path.as_path(), spec.name().as_str(), spec.weight), (Path::new("a,b/c"), "web", Some(0.5)));
        let of_all = DataOptions { map: "y=happy".parse().unwrap(), seed: 3, ..DataOptions::default() };
        let options = spec.options(&of_all);
        assert_eq!(
            (options.faces, options.labels, options.trust, options.seed),
            (FacesMode::Whole, Labels::Hard, 0.8, 3)
        );
        assert_eq!(options.map.class("x"), Class::Emotion(Emotion::Sad));
        assert_eq!(options.map.class("y"), Class::Emotion(Emotion::Happy));
        assert_eq!("d".parse::<DataSpec>().unwrap().options(&of_all), of_all);
    }

    #[test]
    fn the_name_is_that_of_the_folder_and_fits_a_column() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("My Faces");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("labels.csv"), "").unwrap();
        assert_eq!(DataSpec::plain(&data).name(), "my_faces");
        assert_eq!(DataSpec::plain(&data.join("labels.csv")).name(), "my_faces");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in
            ["", "a,weight=0", "a,weight=x", "a,trust=2", "a,colour=red", "a,faces=all", "a,map=x", "a,sampling=odd"]
        {
            assert!(wrong.parse::<DataSpec>().is_err(), "{wrong}");
        }
    }
}
