//! Which pictures are trained on, chosen on and measured on.
//!
//! A split is a function of the seed, the names of the pictures and the classes and people that they show, never of the
//! order in which a file system lists them. Within each class, or among the people, everything is put in the order of a hash
//! of seed and name; the first share is for validation, the next for the test, the rest for training. A picture that is
//! added later moves at most one other from part to part.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::listing::{Entry, count};
use super::sample::Part;
use crate::flow::emotion::Emotion;

/// How pictures are dealt out: `random:V[:T]` or `subject:V[:T]`, with the shares of validation and test; or `subject:2/5`,
/// with the second of five equal parts for validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SplitRule {
    /// What is never divided.
    pub by: SplitBy,
    /// Share of the whole that is for validation, above 0.
    pub validation: f64,
    /// Share of the whole that is for the test; 0 for none.
    pub test: f64,
    /// Which of how many equal parts is for validation, counted from 1; `None` is the first.
    pub fold: Option<(u32, u32)>,
}

/// The most parts of a cross-validation.
const MOST_FOLDS: u32 = 100;

impl SplitRule {
    /// The rule that takes one of several equal parts for validation, counted from 1.
    pub fn fold(by: SplitBy, number: u32, of: u32) -> Self {
        Self { by, validation: 1.0 / f64::from(of.max(1)), test: 0.0, fold: Some((number, of)) }
    }
}

/// What a split deals out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitBy {
    /// Single pictures, class by class, so that each part has the classes in the same shares.
    Picture,
    /// People with all of their pictures: nobody is in two parts.
    Subject,
}

/// The share for validation where nobody says otherwise, as in the reports that emocam is held against.
const VALIDATION: f64 = 0.2;

/// The share of the training pictures that becomes validation where data come with a test part only.
const VALIDATION_OF_TRAIN: f64 = 0.1;

impl FromStr for SplitRule {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let wanted =
            || format!("expected random:0.2 or subject:0.2, or random:0.2:0.1 with a test part, found {text:?}");
        let (name, shares) = text.split_once(':').with_context(wanted)?;
        let by = match name {
            "random" => SplitBy::Picture,
            "subject" => SplitBy::Subject,
            _ => bail!(wanted()),
        };
        let (validation, test) = shares.split_once(':').unwrap_or((shares, "0"));
        if let Some((number, of)) = validation.split_once('/') {
            let (number, of): (u32, u32) = (number.parse().with_context(wanted)?, of.parse().with_context(wanted)?);
            let fits = (1..=of).contains(&number) && (2..=MOST_FOLDS).contains(&of) && test == "0";
            ensure!(fits, "expected one of 2 to {MOST_FOLDS} parts, as in subject:2/5, found {text:?}");
            return Ok(Self::fold(by, number, of));
        }
        let rule = Self {
            fold: None,
            by,
            validation: validation.parse().with_context(wanted)?,
            test: test.parse().with_context(wanted)?,
        };
        let Self { validation, test, .. } = rule;
        ensure!(
            validation > 0.0 && test >= 0.0 && validation + test < 1.0,
            "expected shares above 0 that leave something to train on, found {text:?}"
        );
        Ok(rule)
    }
}

impl fmt::Display for SplitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.by {
            SplitBy::Picture => "random",
            SplitBy::Subject => "subject",
        };
        if let Some((number, of)) = self.fold {
            return write!(f, "{name}:{number}/{of}");
        }
        write!(f, "{name}:{}", self.validation)?;
        if self.test > 0.0 { write!(f, ":{}", self.test) } else { Ok(()) }
    }
}

impl TryFrom<String> for SplitRule {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<SplitRule> for String {
    fn from(rule: SplitRule) -> Self {
        rule.to_string()
    }
}

/// Deals entries out by the rule; without one as the data do it, else by people where they are known, else at random.
/// Returns each entry's part, and for people how it was done.
pub(super) fn deal(
    entries: &[Entry],
    rule: Option<SplitRule>,
    seed: u64,
    warnings: &mut Vec<String>,
) -> Result<(Vec<Part>, String)> {
    let own: Option<Vec<Part>> = entries.iter().map(|entry| entry.part).collect();
    let (parts, how) = match (rule, own) {
        (None, Some(own)) => with_validation(entries, own, seed, warnings)?,
        (rule, own) => {
            if own.is_some() {
                warnings.push("the split that the data come with is not used, since --split names another".into());
            }
            let rule = rule.unwrap_or_else(|| default_rule(entries, warnings));
            (parts_by_rule(entries, rule, seed)?, format!("{rule}, seed {seed}"))
        }
    };
    warnings.extend(leak(entries, &parts));
    Ok((parts, how))
}

/// The rule for data that have no split of their own.
fn default_rule(entries: &[Entry], warnings: &mut Vec<String>) -> SplitRule {
    let (by, reason) = match knows_everyone(entries) {
        true => (SplitBy::Subject, "nobody is in two parts"),
        false => (SplitBy::Picture, "stratified by class; who is shown is not known"),
    };
    let rule = SplitRule { by, validation: VALIDATION, test: 0.0, fold: None };
    warnings.push(format!("the data have no split of their own: taken is --split {rule} ({reason})"));
    rule
}

/// The data's own split, with validation taken from train where there is none.
fn with_validation(
    entries: &[Entry],
    mut own: Vec<Part>,
    seed: u64,
    warnings: &mut Vec<String>,
) -> Result<(Vec<Part>, String)> {
    let train: Vec<usize> = (0..own.len()).filter(|&index| own[index] == Part::Train).collect();
    if train.is_empty() || own.contains(&Part::Validation) {
        return Ok((own, "own".into()));
    }
    let picked: Vec<&Entry> = train.iter().map(|&index| &entries[index]).collect();
    let by = if knows_everyone(picked.iter().copied()) { SplitBy::Subject } else { SplitBy::Picture };
    let rule = SplitRule { by, validation: VALIDATION_OF_TRAIN, test: 0.0, fold: None };
    for (&index, part) in train.iter().zip(parts_by_rule(picked, rule, seed)?) {
        own[index] = part;
    }
    warnings.push(format!("the data have no validation part: taken is {rule} of their training part"));
    Ok((own, format!("own, with {rule} of train for validation, seed {seed}")))
}

/// Whether every picture says whom it shows, and they show more than one person: there is nobody to keep one apart from.
fn knows_everyone<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> bool {
    let people: Option<BTreeSet<&str>> = entries.into_iter().map(|entry| entry.subject.as_deref()).collect();
    people.is_some_and(|people| people.len() > 1)
}

fn parts_by_rule<'a>(entries: impl IntoIterator<Item = &'a Entry>, rule: SplitRule, seed: u64) -> Result<Vec<Part>> {
    let entries: Vec<&Entry> = entries.into_iter().collect();
    let mut parts = vec![Part::Train; entries.len()];
    match rule.by {
        SplitBy::Picture => {
            let mut classes = BTreeMap::<_, Vec<usize>>::new();
            for (index, entry) in entries.iter().enumerate() {
                classes.entry(entry.label().map(Emotion::index)).or_default().push(index);
            }
            for mut class in classes.into_values() {
                class.sort_by_cached_key(|&index| rank(seed, &entries[index].name));
                let dealt = dealt_out(class.len(), rule);
                class.iter().zip(dealt).for_each(|(&index, part)| parts[index] = part);
            }
        }
        SplitBy::Subject => {
            let parts_of = parts_of_people(&entries, rule, seed)?;
            for (part, entry) in parts.iter_mut().zip(&entries) {
                *part = entry.subject.as_deref().and_then(|who| parts_of.get(who)).copied().unwrap_or(Part::Train);
            }
        }
    }
    Ok(parts)
}

fn parts_of_people<'a>(entries: &[&'a Entry], rule: SplitRule, seed: u64) -> Result<BTreeMap<&'a str, Part>> {
    let unknown: Vec<_> = entries.iter().filter(|entry| entry.subject.is_none()).collect();
    if let Some(first) = unknown.first() {
        bail!(
            "--split {rule}: who is shown is not known for {} (such as {}): only names as in KDEF (AF01ANS.JPG) tell; \
             use --split random:{}",
            count(unknown.len(), "picture"),
            first.name,
            rule.validation
        );
    }
    let people: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.subject.as_deref()).collect();
    let least = if rule.test > 0.0 { 3 } else { 2 };
    ensure!(
        people.len() >= least,
        "--split {rule}: expected pictures of at least {least} people, found {}; use --split random:{}",
        people.len(),
        rule.validation
    );
    let mut people: Vec<&str> = people.into_iter().collect();
    people.sort_by_cached_key(|who| rank(seed, who));
    let dealt = dealt_out(people.len(), rule);
    Ok(people.into_iter().zip(dealt).collect())
}

/// The parts of `number` things in a row. Shares are rounded, yet each part gets one thing where there are enough, training
/// first, then validation.
fn dealt_out(number: usize, rule: SplitRule) -> impl Iterator<Item = Part> {
    let share = |share: f64| (number as f64 * share).round() as usize;
    let test = if rule.test > 0.0 && number > 2 { share(rule.test).max(1) } else { 0 };
    let validation = share(rule.validation).max(1).min(number.saturating_sub(test + 1));
    let of_fold = rule.fold.map(|(i, of)| (i as usize - 1) * number / of as usize..i as usize * number / of as usize);
    let part = move |index| match index {
        _ if of_fold.is_some() => match &of_fold {
            Some(fold) if fold.contains(&index) => Part::Validation,
            _ => Part::Train,
        },
        _ if index < validation => Part::Validation,
        _ if index < validation + test => Part::Test,
        _ => Part::Train,
    };
    (0..number).map(part)
}

/// The place of a name in the order of a seed.
fn rank(seed: u64, name: &str) -> [u8; 32] {
    Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize().into()
}

/// A warning where people are trained on and measured on.
fn leak(entries: &[Entry], parts: &[Part]) -> Option<String> {
    let people = |train: bool| -> BTreeSet<&str> {
        let some = entries.iter().zip(parts).filter(|(_, part)| (**part == Part::Train) == train);
        some.filter_map(|(entry, _)| entry.subject.as_deref()).collect()
    };
    let (trained, measured) = (people(true), people(false));
    let both = trained.intersection(&measured).count();
    (both > 0).then(|| {
        format!(
            "identity leaks: {both} of the {} people in validation or test are also in train, so figures will be \
             better than they are on strangers; --split subject:{VALIDATION} keeps people apart",
            measured.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::listing::Picture;
    use super::*;

    fn entry(name: &str, emotion: Emotion, subject: Option<String>) -> Entry {
        Entry { subject, ..Entry::sure(name.into(), Picture::File(PathBuf::new()), emotion) }
    }

    /// Twenty people with two pictures of each emotion.
    fn posed() -> Vec<Entry> {
        let mut entries = Vec::new();
        for person in 0..20 {
            for (emotion, session) in Emotion::ALL.into_iter().flat_map(|emotion| [(emotion, 'A'), (emotion, 'B')]) {
                entries.push(entry(&format!("{session}{person}{emotion}"), emotion, Some(person.to_string())));
            }
        }
        entries
    }

    fn rule(text: &str) -> SplitRule {
        text.parse().unwrap()
    }

    fn parts(entries: &[Entry], text: &str, seed: u64) -> Vec<Part> {
        deal(entries, Some(rule(text)), seed, &mut Vec::new()).unwrap().0
    }

    fn refusal(entries: &[Entry], text: &str) -> String {
        deal(entries, Some(rule(text)), 0, &mut Vec::new()).unwrap_err().to_string()
    }

    /// How many are for training, validation and test.
    fn numbers<'a>(parts: impl IntoIterator<Item = &'a Part>) -> [usize; 3] {
        let mut numbers = [0; 3];
        parts.into_iter().for_each(|&part| numbers[part as usize] += 1);
        numbers
    }

    #[test]
    fn folds_share_out_everybody_once() {
        let entries = posed();
        let mut times = vec![0; entries.len()];
        for fold in 1..=3 {
            let parts = parts(&entries, &format!("subject:{fold}/3"), 1);
            let [train, validation, test] = numbers(&parts);
            assert!((84..=98).contains(&validation) && test == 0 && train + validation == 280, "{validation}");
            assert_eq!(leak(&entries, &parts), None);
            times.iter_mut().zip(&parts).for_each(|(times, part)| *times += usize::from(*part == Part::Validation));
        }
        assert!(times.iter().all(|&times| times == 1));
        for wrong in ["subject:0/3", "subject:4/3", "subject:1/1", "subject:1/2:0.1", "subject:1/101"] {
            assert!(wrong.parse::<SplitRule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_are_read_and_written() {
        for text in ["random:0.2", "subject:0.25:0.1", "random:2/5"] {
            assert_eq!(rule(text).to_string(), text);
            let json = serde_json::to_string(&rule(text)).unwrap();
            assert_eq!(serde_json::from_str::<SplitRule>(&json).unwrap(), rule(text));
        }
        for text in
            ["random", "random:", "person:0.2", "random:0", "random:0.5:0.5", "random:NaN", "random:0.2:-0.1", ""]
        {
            assert!(text.parse::<SplitRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_random_split_has_each_class_in_its_share_and_depends_on_the_seed_only() {
        let mut entries = posed();
        let first = parts(&entries, "random:0.2:0.1", 1);
        for emotion in Emotion::ALL {
            let of_class = entries.iter().zip(&first).filter(|(entry, _)| entry.label() == Some(emotion));
            assert_eq!(numbers(of_class.map(|(_, part)| part)), [28, 8, 4], "{emotion}");
        }
        assert_ne!(first, parts(&entries, "random:0.2:0.1", 2));
        entries.reverse();
        let mut reversed = parts(&entries, "random:0.2:0.1", 1);
        reversed.reverse();
        assert_eq!(first, reversed);
    }

    #[test]
    fn a_split_by_subject_has_nobody_in_two_parts() {
        let entries = posed();
        for seed in 0..10 {
            let parts = parts(&entries, "subject:0.2:0.1", seed);
            let people = |part| -> BTreeSet<_> {
                entries.iter().zip(&parts).filter(|(_, p)| **p == part).map(|(e, _)| e.subject.clone()).collect()
            };
            let [train, validation, test] = Part::ALL.map(people);
            assert_eq!((train.len(), validation.len(), test.len()), (14, 4, 2));
            assert!(train.is_disjoint(&validation) && train.is_disjoint(&test) && validation.is_disjoint(&test));
            assert_eq!(leak(&entries, &parts), None);
        }
    }

    #[test]
    fn people_can_be_kept_apart_only_where_there_are_some() {
        let leak = leak(&posed(), &parts(&posed(), "random:0.2", 0)).unwrap();
        assert!(leak.contains("identity leaks: 20 of the 20 people"), "{leak}");
        let strangers: Vec<_> = (0..10).map(|i| entry(&i.to_string(), Emotion::Sad, None)).collect();
        assert_eq!(deal(&strangers, None, 0, &mut Vec::new()).unwrap().1, "random:0.2, seed 0");
        let error = refusal(&strangers, "subject:0.2");
        assert!(error.contains("10 pictures (such as 0)") && error.contains("--split random:0.2"), "{error}");
        let error = refusal(&posed()[..14], "subject:0.2");
        assert!(error.contains("at least 2 people, found 1"), "{error}");
    }

    #[test]
    fn an_own_split_is_kept_and_gets_a_validation_part() {
        let mut entries = posed();
        for (index, entry) in entries.iter_mut().enumerate() {
            entry.subject = None;
            entry.part = Some(if index < 210 { Part::Train } else { Part::Test });
        }
        let mut warnings = Vec::new();
        let (parts, _) = deal(&entries, None, 0, &mut warnings).unwrap();
        assert_eq!((numbers(&parts), numbers(&parts[210..])), ([189, 21, 70], [0, 0, 70]));
        assert!(warnings[0].contains("random:0.1 of their training part"), "{warnings:?}");

        entries[0].part = Some(Part::Validation);
        let own: Vec<Part> = entries.iter().filter_map(|entry| entry.part).collect();
        assert_eq!(deal(&entries, None, 0, &mut warnings).unwrap().0, own);
        let (other, _) = deal(&entries, Some(rule("random:0.5")), 0, &mut warnings).unwrap();
        assert_eq!(numbers(&other)[2], 0);
        assert!(warnings[1].contains("is not used"), "{warnings:?}");
    }

    #[test]
    fn the_smallest_classes_keep_something_to_train_on() {
        for (number_of_pictures, expected) in [(1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (10, [7, 2, 1])] {
            let entries: Vec<_> = (0..number_of_pictures).map(|i| entry(&i.to_string(), Emotion::Fear, None)).collect();
            assert_eq!(numbers(&parts(&entries, "random:0.2:0.1", 3)), expected);
        }
        assert!(deal(&[], None, 0, &mut Vec::new()).unwrap().0.is_empty());
    }
}
