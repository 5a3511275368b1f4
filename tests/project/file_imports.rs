//! Imports per file: no two files of `src/` import each other. A path is followed to the file that has the item: a `pub use`
//! in a `mod.rs` counts as the file it names, and is no import of the file that has it. Tests are left out.
//!
//! `tests/project/file_imports_known.txt` holds the pairs that still do. It may only become shorter: with `UPDATE_GOLDEN=1` the
//! test writes it again, also after files were renamed, unless there are more pairs than before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module: its path, as in `engine::batch`, the modules in it, its re-exports by name, and the paths that it names.
#[derive(Default)]
struct Module {
    file: String,
    /// What `pub use` gives a name to: the path behind it.
    reexports: BTreeMap<String, Vec<String>>,
    /// The paths behind `pub use …::*`.
    globs: Vec<Vec<String>>,
    named: Vec<Vec<String>>,
}

type Modules = BTreeMap<Vec<String>, Module>;

/// The code without comments, and without the tests at the end of the file: `super` is another module there.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The paths of a `use` tree, with the name that each gets.
fn expand(tree: &str, prefix: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    let Some((start, rest)) = tree.split_once('{') else {
        let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
        let mut whole = prefix.to_vec();
        whole.extend(path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
        if whole.last().is_some_and(|last| last == "self") {
            whole.pop();
        }
        let Some(last) = whole.last().cloned() else { return };
        found.push((whole, if name.is_empty() { last } else { name.trim().to_owned() }));
        return;
    };
    let mut prefix = prefix.to_vec();
    prefix.extend(start.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
    let inner = rest.rsplit_once('}').expect("a closed tree").0;
    let (mut depth, mut start) = (0, 0);
    for (at, character) in inner.char_indices().chain([(inner.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..at].trim().is_empty() {
                    expand(&inner[start..at], &prefix, found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// A path as it stands in the module `here`, from the root of the crate; `None` where it leads out of the crate.
fn absolute(path: &[String], here: &[String], children: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let mut base = here.to_vec();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                base.pop()?;
                rest = &rest[1..];
            }
        }
        first => {
            let child = [here, &[first.to_owned()]].concat();
            if !children.contains(&child) {
                return None;
            }
        }
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

fn read_modules() -> Modules {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts = Vec::new();
    walk(&source, &source, &mut texts);
    assert!(texts.len() > 100, "the sources were not found");
    let module_of = |file: &str| -> Vec<String> {
        let parts = file.trim_end_matches(".rs").trim_end_matches("/mod");
        parts.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
    };
    let all: BTreeSet<Vec<String>> = texts.iter().map(|(file, _)| module_of(file)).collect();
    let mut modules = Modules::new();
    for (file, text) in texts {
        let here = module_of(&file);
        let mut module = Module { file, ..Module::default() };
        let text = code(&text);
        let mut rest = String::new();
        // Items, each up to its semicolon, as far as they are imports; the remaining text has paths, too.
        let mut statements = text.as_str();
        while let Some(at) = find_use(statements) {
            let (before, statement) = statements.split_at(at);
            rest.push_str(before);
            let (statement, after) = statement.split_once(';').expect("a whole import");
            let is_public = statement.starts_with("pub");
            let tree = statement.split_once("use ").expect("an import").1;
            let mut paths = Vec::new();
            expand(&tree.replace('\n', " "), &[], &mut paths);
            for (path, name) in paths {
                let Some(path) = absolute(&path, &here, &all) else { continue };
                match (is_public, path.last().is_some_and(|last| last == "*")) {
                    (true, true) => module.globs.push(path[..path.len() - 1].to_vec()),
                    (true, false) => drop(module.reexports.insert(name, path)),
                    (false, true) => module.named.push(path[..path.len() - 1].to_vec()),
                    (false, false) => module.named.push(path),
                }
            }
            statements = after;
        }
        rest.push_str(statements);
        for start in ["crate::", "super::", "self::"] {
            for (at, _) in rest.match_indices(start) {
                if rest[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':') {
                    continue;
                }
                let is_part = |one: char| one.is_alphanumeric() || one == '_' || one == ':';
                let path: String = rest[at..].chars().take_while(|one| is_part(*one)).collect();
                let path: Vec<String> = path.split("::").map(str::to_owned).filter(|part| !part.is_empty()).collect();
                module.named.extend(absolute(&path, &here, &all));
            }
        }
        modules.insert(here, module);
    }
    modules
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_test =
            name == "tests" || name.ends_with("tests.rs") || name.contains("fixture") || name.contains("of_tests");
        if is_test {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, found);
        } else if name.ends_with(".rs") {
            let relative = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            found.push((relative, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Where the next import begins, with its visibility.
fn find_use(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let is_use = trimmed.starts_with("use ")
            || (trimmed.starts_with("pub")
                && trimmed.split_once("use ").is_some_and(|(before, _)| {
                    before.trim() == "pub" || (before.starts_with("pub(") && before.trim_end().ends_with(')'))
                }));
        if is_use {
            return Some(at + line.len() - trimmed.len());
        }
        at += line.len();
    }
    None
}

/// The module whose file has what a path leads to.
fn owner(path: &[String], modules: &Modules, depth: usize) -> Option<Vec<String>> {
    assert!(depth < 20, "re-exports in a circle: {path:?}");
    let mut here = Vec::new();
    for (at, part) in path.iter().enumerate() {
        let child = [&here[..], std::slice::from_ref(part)].concat();
        if modules.contains_key(&child) {
            here = child;
            continue;
        }
        let module = modules.get(&here)?;
        if let Some(behind) = module.reexports.get(part) {
            return owner(&[behind, &path[at + 1..]].concat(), modules, depth + 1);
        }
        for glob in &module.globs {
            let behind = [glob, &path[at..]].concat();
            let found = owner(&behind, modules, depth + 1);
            if found.is_some_and(|found| found != *glob) {
                return owner(&behind, modules, depth + 1);
            }
        }
        return Some(here);
    }
    Some(here)
}

#[test]
fn no_two_files_import_each_other() {
    let modules = read_modules();
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (here, module) in &modules {
        for path in &module.named {
            if let Some(owner) = owner(path, &modules, 0)
                && owner != *here
                && let Some(other) = modules.get(&owner)
            {
                imports.entry(&module.file).or_default().insert(&other.file);
            }
        }
    }
    let count: usize = imports.values().map(BTreeSet::len).sum();
    assert!(count > 300, "only {count} imports were found");
    let mut pairs = Vec::new();
    for (file, others) in &imports {
        for other in others {
            if file < other && imports.get(other).is_some_and(|back| back.contains(file)) {
                pairs.push((*file, *other));
            }
        }
    }
    println!("{count} imports, {} pairs that import each other: {pairs:#?}", pairs.len());
    let pairs: BTreeSet<String> = pairs.into_iter().map(|(file, other)| format!("{file} {other}")).collect();
    let known_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/project/file_imports_known.txt");
    let text = fs::read_to_string(&known_file).unwrap();
    let known: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() && pairs.len() <= known.len() {
        return fs::write(known_file, pairs.into_iter().map(|pair| pair + "\n").collect::<String>()).unwrap();
    }
    let (new, gone): (Vec<_>, Vec<_>) = (pairs.difference(&known).collect(), known.difference(&pairs).collect());
    assert!(new.is_empty(), "these files import each other: {new:#?}");
    assert!(gone.is_empty(), "these do not import each other any more: shorten the list (UPDATE_GOLDEN=1): {gone:#?}");
}

#[test]
fn import_syntax_is_parsed() {
    let mut found = Vec::new();
    expand("crate::a::{self, b::{C, D as E}, f}", &[], &mut found);
    let found: Vec<String> = found.iter().map(|(path, name)| format!("{} {name}", path.join("::"))).collect();
    assert_eq!(found, ["crate::a a", "crate::a::b::C C", "crate::a::b::D E", "crate::a::f f"]);
    let modules: Modules = [
        (vec![], Module::default()),
        (
            vec!["a".to_owned()],
            Module {
                reexports: [("C".to_owned(), vec!["a".to_owned(), "b".to_owned(), "C".to_owned()])].into(),
                ..Module::default()
            },
        ),
        (vec!["a".to_owned(), "b".to_owned()], Module::default()),
    ]
    .into();
    let of =
        |path: &str| owner(&path.split("::").map(str::to_owned).collect::<Vec<_>>(), &modules, 0).unwrap().join("::");
    assert_eq!((of("a::C"), of("a::D"), of("a::b::C")), ("a::b".to_owned(), "a".to_owned(), "a::b".to_owned()));
}
