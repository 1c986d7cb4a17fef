//! Which format a data set is in, and what to say where it is in none.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::listing::{Content, Files, Listing, content_of, count, file_name, files_below, name_below, some_of};
use super::options::{DataOptions, Format};
use super::{csv, ferplus, folders, kdef, manifest};

/// Lists a data set in the format that the options name, or in the one that is found.
pub(super) fn list(path: &Path, options: &DataOptions) -> Result<Listing> {
    ensure!(path.exists(), "{}: no such folder or file", path.display());
    let format = options.format.map_or_else(|| find(path), Ok)?;
    let mut listing = match format {
        Format::Ferplus => ferplus::list(path),
        Format::Fer2013Csv => list_table(path),
        Format::Folders => folders::list(path, &options.ignored_classes, &options.map),
        Format::Manifest => list_manifest(path, options),
        Format::Kdef => kdef::list(path, &options.views),
    }?;
    if format != Format::Folders && !options.ignored_classes.is_empty() {
        listing
            .warnings
            .push("--ignore-class has no effect: only data sets with a folder for each class have names".into());
    }
    Ok(listing)
}

fn list_table(path: &Path) -> Result<Listing> {
    if path.is_file() {
        return csv::list(path);
    }
    let table = csv::table_of(path, &content_of(path)?)?;
    let expected = "expected a table (.csv) with the columns emotion, pixels and Usage, found none";
    csv::list(&table.with_context(|| format!("{}: {expected}", path.display()))?)
}

fn list_manifest(path: &Path, options: &DataOptions) -> Result<Listing> {
    if path.is_file() {
        return manifest::list(path, &options.map);
    }
    let missing = || {
        let names = manifest::NAMES.join(" or ");
        format!("{}: expected {names} with the columns path and label, found none", path.display())
    };
    manifest::list(&manifest::table_of(path).with_context(missing)?, &options.map)
}

fn find(path: &Path) -> Result<Format> {
    if path.is_file() {
        let is_table = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        ensure!(
            is_table,
            "{}: expected the folder of a data set, or FER2013 as a .csv file, found a file of another kind",
            path.display()
        );
        return Ok(if manifest::is_manifest(path) { Format::Manifest } else { Format::Fer2013Csv });
    }
    let content = content_of(path)?;
    if path.join(ferplus::LABELS).is_file() {
        return Ok(Format::Ferplus);
    }
    if csv::table_of(path, &content)?.is_some() {
        return Ok(Format::Fer2013Csv);
    }
    if manifest::table_of(path).is_some() {
        return Ok(Format::Manifest);
    }
    if folders::is_folders(&content) {
        return Ok(Format::Folders);
    }
    let files = files_below(path)?;
    if kdef::is_kdef(&files) {
        return Ok(Format::Kdef);
    }
    bail!(
        "{}: this is no data set that emocam knows. Looked for: {} beside the folders of FER+ (ferplus); a .csv file with \
         the columns emotion, pixels and Usage (fer2013-csv); {} with the columns path and label (manifest); a folder for each class, maybe below train, val and test \
         (folders); pictures with names such as AF01ANS.JPG (kdef). Found: {}. Name the folder that holds these, or the \
         format with --format",
        path.display(),
        ferplus::LABELS,
        manifest::NAMES.join(" or "),
        found(path, &content, &files)
    )
}

/// What is in a folder, in words.
fn found(path: &Path, content: &Content, files: &Files) -> String {
    let names = |what: &str, names: Vec<String>| match names.len() {
        0 => format!("no {what}"),
        number => format!("{} ({})", count(number, what), some_of(&names)),
    };
    [
        names("folder", content.folders.iter().map(|folder| file_name(folder)).collect()),
        names("picture", files.pictures.iter().map(|picture| name_below(path, picture)).collect()),
        names("other file", files.others.iter().map(|other| name_below(path, other)).collect()),
    ]
    .join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::listing::tests::folder_of;
    use super::*;

    #[test]
    fn the_format_is_found() {
        for (files, format) in [
            (&["fer2013new.csv", "FER2013Train/x.png"][..], Format::Ferplus),
            (&["fer2013.csv", "train/happy/x.png"], Format::Fer2013Csv),
            (&["test/sad/x.png"], Format::Folders),
            (&["angry/AF01ANS.JPG", "contempt/x.png"], Format::Folders),
            (&["AF01/AF01ANS.JPG", "AF01/AF01ANHL.JPG", "AF31V.JPG"], Format::Kdef),
        ] {
            assert_eq!(find(folder_of(files).path()).unwrap(), format, "{files:?}");
        }
        let table = folder_of(&["any.csv"]);
        assert_eq!(find(&table.path().join("any.csv")).unwrap(), Format::Fer2013Csv);
    }

    #[test]
    fn what_fits_nothing_is_described() {
        let folder = folder_of(&["boredom/1.png", "boredom/2.psd", "readme.txt"]);
        let error = find(folder.path()).unwrap_err().to_string();
        for words in
            ["fer2013new.csv", "AF01ANS.JPG", "1 folder (boredom)", "1 picture (boredom/1.png)", "2 other files"]
        {
            assert!(error.contains(words), "{error}");
        }
        let error = find(&folder.path().join("readme.txt")).unwrap_err().to_string();
        assert!(error.contains("readme.txt") && error.contains(".csv"), "{error}");
        let options = DataOptions { format: Some(Format::Fer2013Csv), ..Default::default() };
        let error = list(folder.path(), &options).unwrap_err().to_string();
        assert!(error.contains("emotion, pixels and Usage"), "{error}");
        let error = list(&folder.path().join("none"), &DataOptions::default()).unwrap_err().to_string();
        assert!(error.contains("no such folder"), "{error}");
    }
}
