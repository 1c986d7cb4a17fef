//! A folder of pictures for each class: `DIR/<class>/…`, or `DIR/{train,val,test}/<class>/…` with a split of its own.
//!
//! Folder names count in any case, with the names that are usual for classes (`labels.rs`) and splits. Below a class folder
//! pictures may lie at any depth. A class that emocam doesn't know is refused by its name, never guessed or passed over.
//! Who is shown is known only where file names are as in KDEF.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::class_map::{Class, ClassMap};
use super::kdef;
use super::labels::{emotion_from_name, plain};
use super::listing::{
    Content, Entry, Listing, Picture, content_of, count, file_name, files_below, name_below, some_of,
};
use super::sample::Part;
use crate::flow::emotion::Emotion;
use crate::source::images::{EXTENSIONS, is_picture};

/// What folders of a split are called.
const SPLITS: [(Part, &[&str]); 3] = [
    (Part::Train, &["train", "training"]),
    (Part::Validation, &["val", "valid", "validation"]),
    (Part::Test, &["test", "testing"]),
];

/// The split that a folder is named after.
pub(super) fn part_from_name(name: &str) -> Option<Part> {
    let name = name.to_lowercase();
    SPLITS.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(part, _)| *part)
}

/// Whether a folder holds folders of splits or of classes.
pub(super) fn is_folders(content: &Content) -> bool {
    let mut names = content.folders.iter().map(|folder| file_name(folder));
    names.any(|name| part_from_name(&name).is_some() || emotion_from_name(&name).is_some())
}

/// Lists the pictures of every class.
pub(super) fn list(folder: &Path, ignored: &[String], map: &ClassMap) -> Result<Listing> {
    let mut found =
        Found { root: folder, ignored, map, listing: Listing::default(), set_aside: Vec::new(), used: Vec::new() };
    found.listing.name = format!("folders of {}", file_name(folder));
    let content = content_of(folder)?;
    let splits: Vec<_> =
        content.folders.iter().filter_map(|path| Some((part_from_name(&file_name(path))?, path))).collect();
    if splits.is_empty() {
        found.classes(content, None)?;
    } else {
        for other in content.folders.iter().filter(|path| part_from_name(&file_name(path)).is_none()) {
            if !found.is_ignored(other) {
                bail!(
                    "{}: expected folders of a split (train, val, test) only, since there is one, found {:?} beside it; \
                     move it, or leave it aside with --ignore-class {:?}",
                    folder.display(),
                    file_name(other),
                    file_name(other)
                );
            }
        }
        for (part, path) in splits {
            found.classes(content_of(path)?, Some(part))?;
        }
        found.set_aside.extend(content.files.iter().map(|path| name_below(folder, path)));
    }
    found.finish()
}

/// What was found so far.
struct Found<'a> {
    root: &'a Path,
    ignored: &'a [String],
    map: &'a ClassMap,
    listing: Listing,
    /// Files that are no pictures, or in no class.
    set_aside: Vec<String>,
    /// Names that were to be ignored and have been found.
    used: Vec<String>,
}

impl Found<'_> {
    fn is_ignored(&mut self, path: &Path) -> bool {
        let name = file_name(path);
        let ignored = self.ignored.iter().find(|ignored| plain(ignored) == plain(&name));
        self.used.extend(ignored.cloned());
        ignored.is_some()
    }

    /// Takes in the folders of classes that lie in one folder.
    fn classes(&mut self, content: Content, part: Option<Part>) -> Result<()> {
        self.set_aside.extend(content.files.iter().map(|path| name_below(self.root, path)));
        for path in content.folders {
            if self.is_ignored(&path) {
                continue;
            }
            let name = file_name(&path);
            match self.map.class(&name) {
                Class::Emotion(emotion) => self.class(&path, emotion, part)?,
                Class::Aside => {}
                Class::Unknown => bail!(
                    "{}: the class {name:?} is none of emocam's; to leave it aside: --ignore-class {name:?}; {}",
                    path.display(),
                    ClassMap::advice(&name)
                ),
            }
        }
        Ok(())
    }

    /// Takes in the pictures of one class.
    fn class(&mut self, folder: &Path, emotion: Emotion, part: Option<Part>) -> Result<()> {
        let files = files_below(folder)?;
        let name = |path: &PathBuf| name_below(self.root, path);
        if files.pictures.is_empty() {
            self.listing.warnings.push(format!("the folder {} of a class holds no picture", name(&folder.into())));
        }
        self.set_aside.extend(files.others.iter().map(name));
        self.listing.entries.extend(files.pictures.into_iter().map(|path| {
            let subject = kdef::parse(&path).map(|name| name.subject);
            let name = name_below(self.root, &path);
            Entry { subject, part, ..Entry::sure(name, Picture::File(path), emotion) }
        }));
        Ok(())
    }

    fn finish(mut self) -> Result<Listing> {
        if !self.set_aside.is_empty() {
            let files = count(self.set_aside.len(), "file");
            let pictures = self.set_aside.iter().any(|name| is_picture(Path::new(name)));
            let reason = if pictures { "in no folder of a class, or no pictures" } else { "no pictures" };
            self.listing.warnings.push(format!(
                "{files} left aside, being {reason} ({}): {}",
                EXTENSIONS.join(", "),
                some_of(&self.set_aside)
            ));
        }
        for name in self.ignored.iter().filter(|name| !self.used.contains(name)) {
            self.listing.warnings.push(format!("--ignore-class {name}: there is no such class"));
        }
        ensure!(
            !self.listing.entries.is_empty(),
            "{}: found folders of classes, but no picture in them ({})",
            self.root.display(),
            EXTENSIONS.join(", ")
        );
        Ok(self.listing)
    }
}

#[cfg(test)]
mod tests {
    use super::super::listing::tests::folder_of;
    use super::*;

    fn found(listing: &Listing) -> Vec<(&str, Emotion, Option<Part>)> {
        listing.entries.iter().map(|entry| (&*entry.name, entry.label().unwrap(), entry.part)).collect()
    }

    #[test]
    fn classes_are_read_at_any_depth_and_without_a_split() {
        let folder = folder_of(&["Angry/1.png", "Angry/more/2.jpg", "happiness/3.webp", "AF/4.PNG"]);
        let listing = list(folder.path(), &[], &ClassMap::default()).unwrap();
        let expected = [
            ("AF/4.PNG", Emotion::Fear, None),
            ("Angry/1.png", Emotion::Anger, None),
            ("Angry/more/2.jpg", Emotion::Anger, None),
            ("happiness/3.webp", Emotion::Happy, None),
        ];
        assert_eq!(found(&listing), expected);
        assert_eq!(listing.warnings, [] as [&str; 0]);
    }

    #[test]
    fn a_split_of_its_own_is_kept() {
        let folder = folder_of(&["TRAIN/sad/1.png", "Validation/sad/1.png", "test/Neutral/1.png", "test/readme.txt"]);
        let listing = list(folder.path(), &[], &ClassMap::default()).unwrap();
        let expected = [
            ("TRAIN/sad/1.png", Emotion::Sad, Some(Part::Train)),
            ("Validation/sad/1.png", Emotion::Sad, Some(Part::Validation)),
            ("test/Neutral/1.png", Emotion::Neutral, Some(Part::Test)),
        ];
        assert_eq!(found(&listing), expected);
        assert!(listing.warnings[0].starts_with("1 file left aside, being no pictures"), "{:?}", listing.warnings);
    }

    #[test]
    fn unknown_classes_are_refused_by_name_unless_they_are_ignored() {
        let folder = folder_of(&["angry/1.png", "Contempt/2.png", "fear/3.txt"]);
        let error = list(folder.path(), &[], &ClassMap::default()).unwrap_err().to_string();
        for word in ["\"Contempt\"", "--ignore-class \"Contempt\"", "surprised", "fear, fearful"] {
            assert!(error.contains(word), "{error}");
        }
        let ignored = ["contempt".to_string(), "boredom".to_string()];
        let listing = list(folder.path(), &ignored, &ClassMap::default()).unwrap();
        assert_eq!(found(&listing), [("angry/1.png", Emotion::Anger, None)]);
        let warnings = listing.warnings.join("\n");
        for words in ["fear of a class holds no picture", "fear/3.txt", "boredom: there is no such class"] {
            assert!(warnings.contains(words), "{warnings}");
        }
    }

    #[test]
    fn a_folder_beside_a_split_is_refused_and_so_are_classes_without_pictures() {
        let beside = folder_of(&["train/angry/1.png", "more/2.png"]);
        let error = list(beside.path(), &[], &ClassMap::default()).unwrap_err().to_string();
        assert!(error.contains("\"more\"") && error.contains("--ignore-class"), "{error}");
        let empty = folder_of(&["angry/notes.txt"]);
        assert!(list(empty.path(), &[], &ClassMap::default()).unwrap_err().to_string().contains("no picture in them"));
    }

    #[test]
    fn names_as_in_kdef_say_who_it_is() {
        let folder = folder_of(&["angry/AF01ANS.JPG", "angry/x.jpg"]);
        let subjects: Vec<_> =
            list(folder.path(), &[], &ClassMap::default()).unwrap().entries.into_iter().map(|e| e.subject).collect();
        assert_eq!(subjects, [Some("F01".to_string()), None]);
    }
}
