//! Arguments that say which labelled pictures a command works on, for `emocam train` and `emocam eval`.

use std::env;
use std::path::PathBuf;

use clap::Args;

use emocam::dataset::{ClassMap, DataOptions, FacesMode, Format, SplitRule, View};
use emocam::network::preprocess::InputSpec;

/// The help of `--data`.
pub(super) const DATA: &str = "Data set: the folder of FER+, of KDEF, or with a folder for each class (maybe below train, \
                               val and test); or FER2013 as a .csv file";

/// The help of `--data` where there may be several.
pub(super) const SOURCES: &str = "Data set: the folder of FER+, of KDEF, with a folder for each class (maybe below train, \
                                  val and test) or with manifest.csv; or a table. Several are learned from together, and \
                                  the first decides. Behind a comma: name, weight, sampling, format, split, faces, \
                                  labels, trust and map, as in web,weight=0.5,map=contempt:disgust";

/// Options of commands that read a data set.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct DataArgs {
    /// Format of the data set [default: found by itself]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,

    /// How validation (and test) pictures are chosen: random:0.2 or subject:0.2 (nobody in two parts), with a share for the
    /// test, as in random:0.2:0.1, or one of equal parts, as in subject:2/5 [default: as the data say, else by subject where people are known, else random:0.2]
    #[arg(long, value_name = "RULE")]
    pub(crate) split: Option<SplitRule>,

    /// Leave this class folder aside; may be given several times
    #[arg(long = "ignore-class", value_name = "NAME")]
    pub(crate) ignored_classes: Vec<String>,

    /// What a class counts as: NAME=EMOTION, NAME=none to leave it aside, or whose numbers they are: raf-db, affectnet or
    /// fer2013; may be given several times
    #[arg(long = "map", value_name = "RULE")]
    pub(crate) maps: Vec<ClassMap>,

    /// Views of KDEF to use, with commas between them
    #[arg(long, value_enum, value_delimiter = ',', ignore_case = true, default_value = "S")]
    pub(crate) views: Vec<View>,

    /// Whether the pictures are faces already or are searched for one, as `live` does it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) faces: FacesMode,

    /// Folder for faces that were cut out, so that it is done once [default: emocam in the user's folder for caches]
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    pub(crate) cache: Option<PathBuf>,

    /// Keep no faces on disk
    #[arg(long)]
    pub(crate) no_cache: bool,
}

impl DataArgs {
    /// Whether anything is named that decides which samples there are.
    pub(crate) fn decides(&self) -> bool {
        let Self { format, split, ignored_classes, maps, views, faces, cache: _, no_cache: _ } = self;
        let DataOptions { views: own_views, faces: own_faces, .. } = DataOptions::default();
        format.is_some()
            || split.is_some()
            || !ignored_classes.is_empty()
            || !maps.is_empty()
            || *views != own_views
            || *faces != own_faces
    }

    /// The options for reading the data, with the seed of the split and the input that faces are cut for.
    pub(crate) fn options(&self, seed: u64, input: InputSpec) -> DataOptions {
        DataOptions {
            format: self.format,
            split: self.split,
            ignored_classes: self.ignored_classes.clone(),
            map: self.maps.iter().fold(ClassMap::default(), |all, map| all.with(map)),
            views: self.views.clone(),
            faces: self.faces,
            seed,
            input,
            cache: self.cache_folder(),
            ..DataOptions::default()
        }
    }

    /// The folder for faces that were cut out; `None` for none.
    pub(crate) fn cache_folder(&self) -> Option<PathBuf> {
        let default = || user_cache_folder(|name| env::var_os(name).map(PathBuf::from));
        if self.no_cache { None } else { self.cache.clone().or_else(default) }
    }
}

/// The folder that users' caches belong into: by the XDG base directory specification
/// (<https://specifications.freedesktop.org/basedir-spec/latest/>), on Windows the one for local data of programs. A
/// relative path is no valid one there.
fn user_cache_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let variable = |name| variable(name).filter(|path| path.is_absolute());
    let local = || if cfg!(windows) { variable("LOCALAPPDATA") } else { None };
    let home = || variable("HOME").map(|home| home.join(".cache"));
    variable("XDG_CACHE_HOME").or_else(local).or_else(home).map(|folder| folder.join("emocam"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use emocam::dataset::SplitBy;

    #[derive(Debug, Parser)]
    struct Program {
        #[arg(long)]
        data: PathBuf,
        #[command(flatten)]
        options: DataArgs,
    }

    fn parse(line: &str) -> Result<DataOptions, clap::Error> {
        let program = Program::try_parse_from(line.split(' '))?;
        assert_eq!(program.data, PathBuf::from("d"));
        Ok(program.options.options(7, InputSpec::default()))
    }

    #[test]
    fn the_arguments_are_well_defined_and_their_defaults_those_of_the_options() {
        Program::command().debug_assert();
        let options = parse("emocam --data d --no-cache").unwrap();
        assert_eq!(options, DataOptions { seed: 7, ..Default::default() });
    }

    #[test]
    fn arguments_become_options() {
        let line = "emocam --data d --format fer2013-csv --split subject:0.2:0.1 --ignore-class contempt \
                    --ignore-class boredom --views s,HL --faces whole --cache /c";
        let options = parse(line).unwrap();
        let split = SplitRule { by: SplitBy::Subject, validation: 0.2, test: 0.1, fold: None };
        let expected = DataOptions {
            format: Some(Format::Fer2013Csv),
            split: Some(split),
            ignored_classes: vec!["contempt".into(), "boredom".into()],
            views: vec![View::S, View::HL],
            faces: FacesMode::Whole,
            seed: 7,
            cache: Some("/c".into()),
            ..Default::default()
        };
        assert_eq!(options, expected);
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<DataOptions>(&json).unwrap(), DataOptions { cache: None, ..expected });
        for wrong in ["--split half", "--views X", "--views S,", "--faces all", "--cache a --no-cache", "--format zip"]
        {
            assert!(parse(&format!("emocam --data d {wrong}")).is_err(), "{wrong}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_cache_is_where_the_system_wants_it() {
        let folder = |variables: &[(&str, &str)]| {
            user_cache_folder(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, path)| path.into()))
        };
        assert_eq!(folder(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "/c")]), Some("/c/emocam".into()));
        assert_eq!(folder(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "c")]), Some("/home/a/.cache/emocam".into()));
        assert_eq!(folder(&[]), None);
    }
}
