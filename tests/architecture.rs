//! The architecture as `docs/ARCHITECTURE.md` states it, checked against the sources.
//!
//! The document is read by people and by this test alike: its tables say which folder imports
//! which, where `unsafe` may stand and which files are longer than the rule allows. What is
//! written there and not so in the code fails as well, so that the tables stay true and lists of
//! exceptions only shrink.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file, tests included.
const LINES_MAX: usize = 1000;

/// File names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["common", "helper", "helpers", "manager", "misc", "types", "util", "utils"];

/// Text of a source file without its line comments.
struct Source {
    /// From `src/`, with slashes.
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Source {
        let text = fs::read_to_string(path).expect("a readable source file");
        let code = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
        let path = path.strip_prefix(root).expect("a path below the root");
        let path = path.to_str().expect("a path of ASCII").replace('\\', "/");
        Source { path, text, code }
    }

    /// The row of the import table that this file belongs to; none for files of the crate's root.
    fn folder(&self) -> Option<&str> {
        if self.path.starts_with("builtin/box/") {
            return Some("builtin/box");
        }
        self.path.split_once('/').map(|(folder, _)| folder)
    }

    /// Names that follow `crate::` anywhere, grouped imports included.
    fn imports(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (position, _) in self.code.match_indices("crate::") {
            let before = self.code[..position].chars().next_back();
            if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
                continue;
            }
            let rest = &self.code[position + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => names.extend(first_names(group)),
                None => names.extend(word(rest).map(str::to_owned)),
            }
        }
        // The macro of the error table lives in `base`; macros stand at the root of a crate.
        if names.remove("client_error") {
            names.insert("base".to_owned());
        }
        names
    }

    fn is_unsafe(&self) -> bool {
        has_word(&self.code, "unsafe")
    }
}

/// What one row of the import table says.
struct Rule {
    imports: BTreeSet<String>,
    /// Files and folders (these end with a slash) below the row's folder, or `anywhere`.
    unsafe_places: BTreeSet<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|name| name == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let root = root().join("src");
    files(&root, "rs").iter().map(|path| Source::read(&root, path)).collect()
}

/// A line up to its comment. Slashes in string literals that are no comment follow a colon.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(position, _)| !line[..*position].ends_with(':'));
    comment.map_or(line, |(position, _)| &line[..position])
}

fn word(text: &str) -> Option<&str> {
    let text = text.strip_prefix("r#").unwrap_or(text);
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let word = &text[..end.unwrap_or(text.len())];
    (!word.is_empty()).then_some(word)
}

/// The first name of each path of a group `{a::b, c::{d, e}}`, whose brace is already read.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut at_start, mut names) = (0, true, Vec::new());
    for (position, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            _ if letter.is_whitespace() => {}
            _ if at_start => {
                names.extend(word(&group[position..]).map(str::to_owned));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

fn has_word(text: &str, wanted: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == wanted)
}

/// The rows of the table under a heading of the document, as cells without backquotes.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("the document");
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let rows: Vec<Vec<String>> = lines
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.replace('`', "").trim().to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "docs/ARCHITECTURE.md has no table under {heading:?}");
    rows
}

fn words(cell: &str) -> BTreeSet<String> {
    cell.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn rules() -> BTreeMap<String, Rule> {
    let rows = table("## Import table");
    let rule = |row: &[String]| Rule { imports: words(&row[1]), unsafe_places: words(&row[2]) };
    rows.iter().map(|row| (row[0].clone(), rule(row))).collect()
}

#[track_caller]
fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}\n", found.join("\n  "));
}

#[test]
fn folders_import_what_the_table_says() {
    let rules = rules();
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for source in sources() {
        let Some(folder) = source.folder() else { continue };
        let Some(rule) = rules.get(folder) else {
            wrong.push(format!("src/{}: its folder is not in the table", source.path));
            continue;
        };
        for import in source.imports() {
            if rules.contains_key(&import) && import != folder && !rule.imports.contains(&import) {
                wrong.push(format!("src/{} imports {import}", source.path));
            }
            used.insert((folder.to_owned(), import));
        }
    }
    assert_none("imports that docs/ARCHITECTURE.md does not allow", &wrong);
    let unused: Vec<String> = rules
        .iter()
        .flat_map(|(folder, rule)| rule.imports.iter().map(move |import| (folder, import)))
        .filter(|(folder, import)| !used.contains(&((*folder).clone(), (*import).clone())))
        .map(|(folder, import)| format!("{folder} does not import {import}"))
        .collect();
    assert_none("imports of docs/ARCHITECTURE.md that no file has", &unused);
}

/// A row may import only rows above it, so that the table is a list of layers.
#[test]
fn imports_point_upwards_in_the_table() {
    let mut above = BTreeSet::new();
    for row in table("## Import table") {
        for import in words(&row[1]) {
            assert!(above.contains(&import), "{} stands above {import}, which it imports", row[0]);
        }
        above.insert(row[0].clone());
    }
}

/// Modules that need no database must not reach into `builtin/box`, which is a part of their
/// folder; only the list of all modules may.
#[test]
fn storage_agnostic_modules_do_not_reach_into_box() {
    let reaching: Vec<String> = sources()
        .iter()
        .filter(|source| source.folder() == Some("builtin") && source.path != "builtin/mod.rs")
        .filter(|source| source.code.contains("r#box::"))
        .map(|source| format!("src/{}", source.path))
        .collect();
    assert_none("files that use builtin/box", &reaching);
}

#[test]
fn unsafe_code_stands_where_the_table_says() {
    let (rules, mut wrong, mut used) = (rules(), Vec::new(), BTreeSet::new());
    for source in sources().iter().filter(|source| source.is_unsafe()) {
        let folder = source.folder().unwrap_or_default();
        let name = source.path.strip_prefix(folder).unwrap_or_default().trim_start_matches('/');
        let places = rules.get(folder).map(|rule| &rule.unsafe_places);
        let covers = |place: &&String| {
            *place == "anywhere"
                || *place == name
                || place.ends_with('/') && name.starts_with(*place)
        };
        match places.and_then(|places| places.iter().find(covers)) {
            Some(place) => drop(used.insert(format!("{folder}: {place}"))),
            None => wrong.push(format!("src/{}", source.path)),
        }
    }
    assert_none("files with unsafe code that docs/ARCHITECTURE.md does not list", &wrong);
    let stale: Vec<String> = rules
        .iter()
        .flat_map(|(folder, rule)| rule.unsafe_places.iter().map(move |p| format!("{folder}: {p}")))
        .filter(|place| !used.contains(place))
        .collect();
    assert_none("places of the table that have no unsafe code", &stale);
}

#[test]
fn every_file_says_what_it_is() {
    let mut silent = Vec::new();
    for source in sources().iter().filter(|source| !source.text.starts_with("//! ")) {
        silent.push(format!("src/{}", source.path));
    }
    for folder in ["src", "lua"] {
        for path in files(&root().join(folder), "lua") {
            let text = fs::read_to_string(&path).expect("a readable file");
            if !text.starts_with("-- ") {
                silent.push(path.display().to_string());
            }
        }
    }
    assert_none("files without a header", &silent);
}

#[test]
fn files_are_short() {
    let listed: BTreeSet<String> =
        table("## Long files").iter().map(|row| row[0].clone()).filter(|f| f != "none").collect();
    let mut long = BTreeSet::new();
    for folder in ["src", "lua", "tests", "benches"] {
        for extension in ["rs", "lua"] {
            for path in files(&root().join(folder), extension) {
                let text = fs::read_to_string(&path).expect("a readable file");
                if text.lines().count() > LINES_MAX {
                    let path = path.strip_prefix(root()).expect("a path below the root");
                    long.insert(path.display().to_string());
                }
            }
        }
    }
    let new: Vec<String> = long.difference(&listed).cloned().collect();
    assert_none("files over 1000 lines", &new);
    let stale: Vec<String> = listed.difference(&long).cloned().collect();
    assert_none("files that docs/ARCHITECTURE.md calls long and that are not", &stale);
}

#[test]
fn file_names_are_nouns_of_the_domain() {
    let empty: Vec<String> = sources()
        .iter()
        .filter(|source| {
            let name = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
            name.split('/').any(|part| EMPTY_NAMES.contains(&part))
        })
        .map(|source| format!("src/{}", source.path))
        .collect();
    assert_none("file names that say nothing", &empty);
}

#[test]
fn imports_are_read_in_every_form() {
    let code = "use crate::base::X;\nuse crate::{\n    fiber::{a, b},\n    r#box, lua};\n\
                crate::client_error!(A); mycrate::value";
    let source = Source { path: "x/y.rs".into(), text: String::new(), code: code.into() };
    let names: Vec<String> = source.imports().into_iter().collect();
    assert_eq!(names, ["base", "box", "fiber", "lua"]);
    assert_eq!(without_comment("a // unsafe"), "a ");
    assert_eq!(without_comment("\"http://x\" // y"), "\"http://x\" ");
}
