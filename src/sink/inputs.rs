//! The files that a command reads: no output may take the place of one, whatever it is called there and whatever a user
//! forces.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::SinkSpec;
use crate::source::SourceSpec;
use crate::system::files::{Identity, identity};

/// All files that a command reads.
#[derive(Debug, Default)]
pub struct Inputs(HashMap<Identity, PathBuf>);

impl Inputs {
    /// What sources name, and what else is read, such as weights. What is not there is none.
    pub fn new<'a>(
        sources: impl IntoIterator<Item = &'a SourceSpec>,
        others: impl IntoIterator<Item = &'a Path>,
    ) -> Self {
        let mut files: Vec<PathBuf> = others.into_iter().map(Path::to_path_buf).collect();
        for source in sources {
            let path = match source {
                SourceSpec::Path(path) | SourceSpec::CameraPath(path) => path,
                // No virtual camera may show the picture that it reads.
                SourceSpec::CameraIndex(index) => &PathBuf::from(format!("/dev/video{index}")),
                SourceSpec::Stdin | SourceSpec::Address(_) | SourceSpec::Demo => continue,
            };
            match fs::read_dir(path) {
                Ok(entries) => {
                    let entries = entries.flatten().map(|entry| entry.path());
                    files.extend(entries.filter(|path| SourceSpec::Path(path.clone()).is_one_picture()));
                }
                Err(_) => files.push(path.clone()),
            }
        }
        Self(files.into_iter().filter_map(|path| Some((identity(&path)?, path))).collect())
    }

    /// Refuses an output that would take an input's place, also for a while.
    ///
    /// # Errors
    /// Naming both.
    pub fn check(&self, output: &SinkSpec) -> Result<()> {
        for path in output.places() {
            let input = identity(&path).and_then(|identity| self.0.get(&identity));
            let Some(input) = input else { continue };
            ensure!(
                output.part_path().is_none_or(|part| part != path),
                "{} is the input itself, and the name that {output} has until it is whole: choose another output, or give \
                 the input another name",
                path.display()
            );
            let which = if *input == path { String::new() } else { format!(", {}", input.display()) };
            bail!("{} is the input itself or one of its pictures{which}: choose another output", path.display());
        }
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn an_input_is_known_by_any_of_its_names() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str| folder.path().join(name);
        fs::write(file("a.mp4"), "video").expect("a file");
        fs::create_dir(file("pictures")).expect("a folder");
        fs::write(file("pictures/000003.png"), "picture").expect("a file");
        fs::write(file("pictures/000004.part.png"), "picture").expect("a file");
        fs::hard_link(file("a.mp4"), file("hard.mp4")).expect("a link");
        std::os::unix::fs::symlink("a.mp4", file("soft.part.mp4")).expect("a link");
        fs::write(file("b.mp4"), "another").expect("a file");
        let sources = [SourceSpec::Path(file("a.mp4")), SourceSpec::Path(file("pictures")), SourceSpec::Demo];
        let inputs = Inputs::new(&sources, [file("w.csv").as_path()]);
        let check = |name: &str| {
            let path = file(name);
            inputs.check(&SinkSpec::try_from(OsStr::new(&path)).expect("an output")).map_err(|error| error.to_string())
        };
        for refused in
            ["a.mp4", "hard.mp4", "pictures/../a.mp4", "soft.mp4", "pictures/%06d.png", "pictures/000003.png"]
        {
            let error = check(refused).expect_err(refused);
            assert!(error.contains("is the input itself"), "{error}");
        }
        assert!(check("soft.mp4").expect_err("for a while").contains("until it is whole"));
        for free in ["b.mp4", "pictures/a_%06d.png", "pictures/000004.csv", "w.csv"] {
            check(free).expect(free);
        }
        fs::remove_file(file("pictures/000003.png")).expect("a file");
        assert!(check("pictures/%06d.png").expect_err("the name of a frame in the making").contains("000004.part.png"));
    }
}
