//! Reads a configuration with the files that its `include` directives name.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::syntax::{Directive, Source, SyntaxError, Word, parse};
use crate::document::Text;
use crate::failure::Failure;

/// Files that include one another end here.
const MAX_DEPTH: usize = 16;

/// Reads the file and all that it includes. Relative names are relative to the folder of this file, also in the included
/// files, as in nginx.
pub(super) fn read(path: &Path, text: &str) -> Result<Vec<Directive>, Failure> {
    let folder = path.parent().unwrap_or(Path::new(""));
    read_source(&Source { name: path.display().to_string(), text: text.into() }.into(), folder, 0)
}

fn read_source(source: &Rc<Source>, folder: &Path, depth: usize) -> Result<Vec<Directive>, Failure> {
    let directives = parse(source).map_err(|error| Failure(error.to_string()))?;
    expand(directives, folder, depth)
}

/// Replaces each `include` by the directives of its files.
fn expand(directives: Vec<Directive>, folder: &Path, depth: usize) -> Result<Vec<Directive>, Failure> {
    let mut expanded = Vec::new();
    for mut directive in directives {
        match (directive.is("include"), directive.arguments.as_slice()) {
            (true, [pattern]) => expanded.extend(included(pattern, folder, depth)?),
            _ => {
                directive.block = directive.block.map(|inner| expand(inner, folder, depth)).transpose()?;
                expanded.push(directive);
            }
        }
    }
    Ok(expanded)
}

fn included(pattern: &Word, folder: &Path, depth: usize) -> Result<Vec<Directive>, Failure> {
    let failure = |message: String| Failure(SyntaxError::new(pattern.location.clone(), message).to_string());
    if depth == MAX_DEPTH {
        return Err(failure(format!("more than {MAX_DEPTH} files include one another")));
    }
    let whole = folder.join(&pattern.value);
    // A pattern may match no file; a name must exist.
    let files = if pattern.value.contains(['*', '?', '[']) { matching(&whole) } else { vec![whole] };
    let mut directives = Vec::new();
    for file in files {
        let text = Text::read(&file).map_err(|why| failure(format!("cannot include {why}")))?.text;
        let source = Source { name: file.display().to_string(), text };
        directives.extend(read_source(&source.into(), folder, depth + 1)?);
    }
    Ok(directives)
}

/// The files that match a pattern, sorted.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str().to_string_lossy();
        let is_pattern = matches!(component, Component::Normal(_)) && name.contains(['*', '?', '[']);
        found = if is_pattern {
            found.iter().flat_map(|folder| entries(folder, &name)).collect()
        } else {
            found.iter().map(|folder| folder.join(component)).collect()
        };
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

fn entries(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let pattern: Vec<char> = pattern.chars().collect();
    let names = fs::read_dir(listed).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    // A leading dot is matched by a dot only.
    let is_hidden = |name: &str| name.starts_with('.') && pattern.first() != Some(&'.');
    names
        .filter(|name| !is_hidden(name) && matches_pattern(&name.chars().collect::<Vec<_>>(), &pattern))
        .map(|name| folder.join(name))
        .collect()
}

/// Whether a name matches a pattern with `*`, `?` and `[a-z]` or `[!a-z]`.
fn matches_pattern(name: &[char], pattern: &[char]) -> bool {
    match (name, pattern) {
        ([], []) => true,
        (_, ['*', after @ ..]) => {
            (0..=name.len()).any(|length| matches_pattern(name.get(length..).unwrap_or(&[]), after))
        }
        ([_, name @ ..], ['?', after @ ..]) => matches_pattern(name, after),
        ([first, name @ ..], ['[', class @ ..]) => {
            let (is_negated, class) = match class {
                ['!' | '^', class @ ..] => (true, class),
                class => (false, class),
            };
            // `]` as the first character belongs to the class.
            let Some(end) = class.iter().skip(1).position(|character| *character == ']').map(|at| at + 1) else {
                return false;
            };
            let (class, after) = class.split_at(end);
            is_in_class(*first, class) != is_negated && matches_pattern(name, after.get(1..).unwrap_or_default())
        }
        ([first, name @ ..], [wanted, after @ ..]) => first == wanted && matches_pattern(name, after),
        ([], [_, ..]) | ([_, ..], []) => false,
    }
}

fn is_in_class(character: char, class: &[char]) -> bool {
    match class {
        [low, '-', high, rest @ ..] => (*low..=*high).contains(&character) || is_in_class(character, rest),
        [one, rest @ ..] => *one == character || is_in_class(character, rest),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directives: &[Directive]) -> Vec<String> {
        let name = |directive: &Directive| format!("{} {}", directive.name.value, directive.argument(0));
        directives.iter().map(name).collect()
    }

    fn read_main(folder: &Path, text: &str) -> Result<Vec<Directive>, Failure> {
        read(&folder.join("nginx.conf"), text)
    }

    #[test]
    fn included_files_replace_the_directive_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sites/deep")).unwrap();
        for (file, text) in [
            ("sites/b.conf", "listen 2; include snippet;"),
            ("sites/a.conf", "listen 1;"),
            ("sites/.hidden.conf", "listen 3;"),
            ("sites/c.txt", "listen 4;"),
            ("sites/deep/d.conf", "listen 5;"),
            // Relative to the first file.
            ("snippet", "root /srv;"),
        ] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let included = |pattern: &str| {
            let found = read_main(folder.path(), &format!("http {{ a; include {pattern}; z; }}")).unwrap();
            names(found[0].directives())[1..].to_vec()
        };
        assert_eq!(included("sites/*.conf"), ["listen 1", "listen 2", "root /srv", "z "]);
        assert_eq!(included("sites/[b-z].????"), ["listen 2", "root /srv", "z "]);
        assert_eq!(included("s*/[!bc].*"), ["listen 1", "z "]);
        assert_eq!(included("sites/*/*.conf"), ["listen 5", "z "]);
        assert_eq!(included("sites/*.none"), ["z "]);
        assert_eq!(included(&folder.path().join("snippet").display().to_string()), ["root /srv", "z "]);
    }

    #[test]
    fn a_missing_file_a_fault_in_a_file_and_a_circle_are_reported_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let failure = |text: &str| read_main(folder.path(), text).map(|found| names(&found)).unwrap_err().0;
        let missing = failure("a;\n  include missing.conf;");
        let main = folder.path().join("nginx.conf");
        assert!(missing.starts_with(&format!("{}:2:11: cannot include ", main.display())), "{missing}");
        assert!(missing.contains("missing.conf: "), "{missing}");
        let broken = folder.path().join("broken.conf");
        fs::write(&broken, "a;\nb }").unwrap();
        assert!(failure("include broken.conf;").starts_with(&format!("{}:2:3: unexpected", broken.display())));
        fs::write(folder.path().join("circle.conf"), "include circle.conf;").unwrap();
        assert!(failure("include circle.conf;").ends_with("more than 16 files include one another"));
    }
}
