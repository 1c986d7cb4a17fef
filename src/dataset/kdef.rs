//! KDEF, the Karolinska Directed Emotional Faces (Lundqvist, Flykt and Öhman 1998, <https://kdef.se>): 70 people, 35 women
//! and 35 men, each with seven expressions from five views, all of it in two sessions, 4900 pictures.
//!
//! Everything is in the file names, whose letters that site explains. `AF01ANS.JPG` is session `A`
//! (or `B`), a woman `F` (or man `M`), number `01` to `35` of her sex, the expression `AN` (`AF` afraid, `AN` angry, `DI`
//! disgusted, `HA` happy, `NE` neutral, `SA` sad, `SU` surprised) and the view `S` (straight; `HL` and `HR` half profiles,
//! `FL` and `FR` full ones). As published, each person has a folder, but only the names count here.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use super::labels::emotion_from_name;
use super::listing::{Entry, Files, Listing, Picture, count, file_name, files_below, name_below, some_of};
use super::options::View;
use crate::flow::emotion::Emotion;

/// The highest number of a person of either sex.
const LAST_PERSON: u8 = 35;

/// What a file name of KDEF says. The session is not kept: nothing depends on it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    /// Sex and number, such as `F01`.
    pub(super) subject: String,
    pub(super) emotion: Emotion,
    pub(super) view: View,
}

/// Reads a file name; `None` where it is not one of KDEF.
pub(super) fn parse(path: &Path) -> Option<Name> {
    let stem = path.file_stem()?.to_str()?.to_ascii_uppercase();
    let rest = stem.strip_prefix(['A', 'B'])?;
    let (subject, rest) = rest.split_at_checked(3)?;
    let number = subject.strip_prefix(['F', 'M']).filter(|number| number.bytes().all(|b| b.is_ascii_digit()))?;
    (1..=LAST_PERSON).contains(&number.parse().ok()?).then_some(())?;
    let (letters, view) = rest.split_at_checked(2)?;
    Some(Name {
        subject: subject.into(),
        emotion: emotion_from_name(letters)?,
        view: View::from_str(view, false).ok()?,
    })
}

/// Whether at least half of the pictures are named like KDEF's.
pub(super) fn is_kdef(files: &Files) -> bool {
    let named = files.pictures.iter().filter(|path| parse(path).is_some()).count();
    named > 0 && 2 * named >= files.pictures.len()
}

/// Lists the pictures in the wanted views.
pub(super) fn list(folder: &Path, views: &[View]) -> Result<Listing> {
    let files = files_below(folder)?;
    let mut entries = Vec::new();
    let mut unnamed = Vec::new();
    let mut unwanted = BTreeMap::<String, usize>::new();
    for path in files.pictures {
        let Some(Name { subject, emotion, view }) = parse(&path) else {
            unnamed.push(name_below(folder, &path));
            continue;
        };
        if views.contains(&view) {
            let name = name_below(folder, &path);
            entries.push(Entry { subject: Some(subject), ..Entry::sure(name, Picture::File(path), emotion) });
        } else {
            *unwanted.entry(format!("{view:?}")).or_default() += 1;
        }
    }
    let wanted = views.iter().map(|view| format!("{view:?}")).collect::<Vec<_>>().join(",");
    let others: Vec<_> = unwanted.iter().map(|(view, count)| format!("{view}: {count}")).collect();
    ensure!(
        !entries.is_empty(),
        "{}: expected pictures with names such as AF01ANS.JPG in the views {wanted}, found {} with other names and {} in \
         other views ({}); --views names the ones to use",
        folder.display(),
        unnamed.len(),
        unwanted.values().sum::<usize>(),
        others.join(", ")
    );
    let mut warnings = Vec::new();
    if !unnamed.is_empty() {
        let named = some_of(&unnamed);
        warnings.push(format!(
            "{} not named as in KDEF (AF01ANS.JPG) and left aside: {named}",
            count(unnamed.len(), "picture")
        ));
    }
    if !unwanted.is_empty() {
        warnings.push(format!(
            "{} in other views than {wanted} left aside ({}); --views names the ones to use",
            count(unwanted.values().sum(), "picture"),
            others.join(", ")
        ));
    }
    Ok(Listing { name: format!("{} as in KDEF, views {wanted}", file_name(folder)), entries, warnings })
}

#[cfg(test)]
mod tests {
    use super::super::listing::tests::folder_of;
    use super::*;

    #[test]
    fn names_say_who_shows_what_from_where() {
        let name = |text: &str| parse(Path::new(text));
        let expected = Name { subject: "F01".into(), emotion: Emotion::Anger, view: View::S };
        assert_eq!(name("KDEF/AF01/AF01ANS.JPG"), Some(expected.clone()));
        assert_eq!(name("bf01ans.jpeg"), Some(expected), "the other session, in lower case");
        let expected = Name { subject: "M35".into(), emotion: Emotion::Fear, view: View::HL };
        assert_eq!(name("AM35AFHL.png"), Some(expected));
        for other in [
            "AF31V", "AF36ANS", "AF00ANS", "CF01ANS", "AX01ANS", "AF01XXS", "AF01ANX", "AF+1ANS", "AF01ANS2",
            "AF0éANS", "AF", "",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn other_views_and_names_are_counted_and_named() {
        let names = ["AF01/AF01ANS.JPG", "AF01/AF01ANHL.JPG", "AF01/AF01ANFL.JPG", "AF31V.JPG"];
        let folder = folder_of(&names);
        assert!(is_kdef(&files_below(folder.path()).unwrap()));
        let listing = list(folder.path(), &[View::S]).unwrap();
        let names: Vec<_> = listing.entries.iter().map(|entry| (&*entry.name, entry.subject.as_deref())).collect();
        assert_eq!(names, [("AF01/AF01ANS.JPG", Some("F01"))]);
        assert_eq!(listing.entries[0].label(), Some(Emotion::Anger));
        let [unnamed, unwanted] = &listing.warnings[..] else { panic!("{:?}", listing.warnings) };
        assert!(unnamed.starts_with("1 picture not named as in KDEF") && unnamed.ends_with("AF31V.JPG"), "{unnamed}");
        assert!(unwanted.starts_with("2 pictures in other views than S") && unwanted.contains("HL: 1"), "{unwanted}");
        assert_eq!(list(folder.path(), &[View::S, View::HL]).unwrap().entries.len(), 2);
        let error = list(folder.path(), &[View::HR]).unwrap_err().to_string();
        assert!(error.contains("views HR") && error.contains("3 in other views (FL: 1, HL: 1, S: 1)"), "{error}");
    }
}
