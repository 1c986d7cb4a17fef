//! The order of the house, as the tables in `src/lib.rs` and `src/main.rs` give it: a file uses what stands above it there,
//! and no files use each other in a circle.
//!
//! A file uses another where it names something of it, in a `use` or in the midst of code. What a file passes on by `pub use`
//! belongs to the file that has it: the parent that gives out an item of its child does not use the child by that, and who
//! takes the item from the parent uses the child. Neither is `mod` a use, nor what a file names of the `mod.rs` of a folder
//! that it lies in: that is where a folder's files have what they share. Tests may look anywhere.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

/// The most names at the top of src, besides main.rs and lib.rs: what a newcomer reads before the first idea.
const MOST_NAMES: usize = 18;

/// The names of a module from the top of src on. The tops of the library and of the program are one.
type Module = Vec<String>;

/// The modules that a module uses, and the line where it first does.
type Uses = BTreeMap<Module, BTreeMap<Module, usize>>;

/// A file without its tests.
#[derive(Default)]
struct Code {
    file: PathBuf,
    /// The paths that it names, and where.
    named: Vec<(usize, Vec<String>)>,
    /// The paths of its `use` lines, by the name that they give.
    imports: BTreeMap<String, Vec<String>>,
}

#[test]
fn files_use_what_stands_above_them_and_never_in_a_circle() {
    // Tests run in the root of the project.
    let source = Path::new("src");
    let tables = ["lib.rs", "main.rs"].map(|name| fs::read_to_string(source.join(name)).expect("a table")).concat();
    let order: Vec<_> = tables.lines().filter_map(|line| line.strip_prefix("//! | ")?.split('`').nth(1)).collect();
    let rank = |module: &Module| order.iter().position(|name| module.first().is_some_and(|top| top == name));
    let (mut codes, mut tests) = (BTreeMap::new(), Vec::new());
    read_folder(source, &Module::new(), &mut codes, &mut tests);
    codes.retain(|module, _| !tests.iter().any(|tests| module.starts_with(tests)));

    let mut wrong = Vec::new();
    let tops: BTreeSet<_> = codes.keys().filter_map(|module| module.first()).collect();
    if tops.len() > MOST_NAMES {
        wrong.push(format!("src has {} names at its top, more than {MOST_NAMES}", tops.len()));
    }
    wrong.extend(tops.iter().filter(|top| !order.contains(&top.as_str())).map(|top| format!("no table has `{top}`")));
    let uses = uses(&codes);
    let place = |module: &Module, line: usize| format!("{}:{line}", codes[module].file.display());
    for (module, used) in uses.iter().filter(|(module, _)| !module.is_empty()) {
        let up = used.iter().filter(|(other, _)| rank(other).is_none_or(|other| Some(other) > rank(module)));
        wrong.extend(up.map(|(other, &line)| format!("{} runs up to `{}`", place(module, line), other.join("::"))));
    }
    let mut told = BTreeSet::new();
    for circle in uses.keys().filter_map(|module| circle(&uses, module)) {
        // One message for those that have a file in common.
        if told.is_disjoint(&circle.iter().map(|&(module, _)| module).collect()) {
            let places: Vec<_> = circle.iter().map(|&(module, line)| place(module, line)).collect();
            wrong.push(format!("a circle: {}", places.join(", ")));
        }
        told.extend(circle.into_iter().map(|(module, _)| module));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The shortest way from a module back to itself: each module on it, and its line that uses the next one.
fn circle<'a>(uses: &'a Uses, start: &'a Module) -> Option<Vec<(&'a Module, usize)>> {
    let (mut ways, mut seen) = (VecDeque::from([(start, vec![])]), BTreeSet::new());
    while let Some((last, way)) = ways.pop_front() {
        for (next, &line) in &uses[last] {
            let way = [&way[..], &[(last, line)]].concat();
            if next == start {
                return Some(way);
            }
            if seen.insert(next) {
                ways.push_back((next, way));
            }
        }
    }
    None
}

fn uses(codes: &BTreeMap<Module, Code>) -> Uses {
    let of_code = |(module, code): (&Module, &Code)| {
        let owners = code.named.iter().rev().filter_map(|(line, path)| Some((owner(codes, module, path)?, *line)));
        // What stands in lib.rs or main.rs is no part of a folder.
        let counts = |owner: &Module| owner.is_empty() || !module.starts_with(owner);
        (module.clone(), owners.filter(|(owner, _)| counts(owner)).collect())
    };
    codes.iter().map(of_code).collect()
}

/// The module that has what a path in `module` names, behind those that pass it on; `None` for what is not in src.
fn owner(codes: &BTreeMap<Module, Code>, module: &[String], path: &[String]) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    let mut whole = match first.as_str() {
        "crate" | "emocam" => rest.to_vec(),
        "self" => [module, rest].concat(),
        "super" => {
            let (ups, rest) = rest.split_at(rest.iter().take_while(|name| *name == "super").count());
            [&module[..module.len() - 1 - ups.len()], rest].concat()
        }
        _ => [module, path].concat(),
    };
    let length = (0..=whole.len()).rev().find(|&length| codes.contains_key(&whole[..length]))?;
    let rest = whole.split_off(length);
    match rest.split_first() {
        // Its own, from a crate, or by the name that a `use` gave, which counts itself.
        _ if whole == module => None,
        // A visibility: `pub(in super::super)`.
        None if whole.is_empty() => None,
        Some((item, rest)) if codes[&whole].imports.contains_key(item) => {
            owner(codes, &whole, &[&codes[&whole].imports[item], rest].concat())
        }
        _ => Some(whole),
    }
}

fn read_folder(folder: &Path, module: &Module, codes: &mut BTreeMap<Module, Code>, tests: &mut Vec<Module>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let is_own = ["mod", "lib", "main"].contains(&name.as_str());
        let inner = if is_own { module.clone() } else { [&module[..], &[name]].concat() };
        if path.is_dir() {
            read_folder(&path, &inner, codes, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("the source");
            let after = text.split("#[cfg(test)]\nmod ").skip(1);
            let names = after.filter_map(|text| Some(text.lines().next()?.strip_suffix(';')?.to_owned()));
            tests.extend(names.map(|name| [&inner[..], &[name]].concat()));
            let code = codes.entry(inner).or_default();
            code.file = path;
            read(text.lines().take_while(|line| !line.ends_with("mod tests {")), code);
        }
    }
}

fn read<'a>(lines: impl Iterator<Item = &'a str>, code: &mut Code) {
    let mut lines = lines.enumerate();
    while let Some((number, line)) = lines.next() {
        // Neither what is between quotes nor a comment.
        let line: String = line.split('"').step_by(2).collect();
        let line = line.split("//").next().unwrap_or_default().trim();
        match line.split_once("use ") {
            // A line of a text may begin so, too.
            Some((before @ ("" | "pub " | "pub(crate) " | "pub(super) "), first)) if first.ends_with(['{', ';']) => {
                let mut tree = first.to_owned();
                while !tree.ends_with(';') {
                    tree.push_str(lines.next().expect("a `use` ends").1.trim());
                }
                let mut paths = Vec::new();
                expand(tree.trim_end_matches(';'), "", &mut paths);
                for path in paths {
                    let (path, alias) =
                        path.split_once(" as ").map_or((&*path, None), |(path, name)| (path, Some(name)));
                    let path: Vec<_> = path.trim_end_matches("::self").split("::").map(str::to_owned).collect();
                    if before.is_empty() {
                        code.named.push((number + 1, path.clone()));
                    }
                    code.imports.insert(alias.unwrap_or(&path[path.len() - 1]).to_owned(), path);
                }
            }
            _ => {
                let words = line.split(|letter: char| !letter.is_alphanumeric() && !"_:".contains(letter));
                for path in words.filter(|word| word.contains("::")) {
                    let path = path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
                    code.named.push((number + 1, path));
                }
            }
        }
    }
}

/// The paths of a tree of `use`.
fn expand(tree: &str, prefix: &str, paths: &mut Vec<String>) {
    let Some((path, inner)) = tree.split_once('{') else {
        return paths.push(format!("{prefix}{tree}"));
    };
    let (prefix, inner) = (format!("{prefix}{path}"), inner.strip_suffix('}').expect("the brace ends"));
    let mut depth = 0;
    let parts = inner.split(|letter| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        expand(part, &prefix, paths);
    }
}
