//! What the formats show: a message about a place in a file.

use std::env;
use std::path::Path;

use crate::positions::Position;

/// How serious a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Warning,
    Note,
}

/// A message about a place in a file.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub level: Level,
    /// A stable name of the kind of diagnostic.
    pub code: &'static str,
    /// The path in the configuration.
    pub path: Option<String>,
    pub message: String,
    pub fix: Option<String>,
    /// The paths of the rules that cause it.
    pub caused_by: Vec<String>,
    /// The file as it was named on the command line; `None` for standard input.
    pub file: Option<String>,
    pub position: Option<Position>,
}

impl Diagnostic {
    /// Path, message and fix.
    pub fn text(&self) -> String {
        let path = self.path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
        let fix = self.fix.as_ref().map(|fix| format!("\nFix: {fix}")).unwrap_or_default();
        format!("{path}{}{fix}", self.message)
    }
}

/// A file's name as build servers expect it: relative to the working directory, if it is inside. `None` for standard input.
pub fn file_name(file: &str) -> Option<String> {
    let working_directory = env::current_dir().ok();
    file_name_in(file, working_directory.as_deref())
}

fn file_name_in(file: &str, working_directory: Option<&Path>) -> Option<String> {
    if file == "-" {
        return None;
    }
    let path = Path::new(file);
    let inside = working_directory.and_then(|directory| path.strip_prefix(directory).ok()).unwrap_or(path);
    let parts: Vec<String> = inside
        .components()
        .filter(|part| !matches!(part, std::path::Component::CurDir))
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    Some(parts.join("/").replacen("//", "/", 1))
}

/// At most `limit` characters. What is cut off is replaced by `…`.
pub fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Replaces control characters by U+FFFD, except line feeds and tabs: no reader shows them, and terminals execute them.
pub fn without_control_characters(text: &str) -> String {
    let is_kept = |character: char| !character.is_control() || matches!(character, '\n' | '\t');
    text.replace("\r\n", "\n")
        .chars()
        .map(|character| if is_kept(character) { character } else { '\u{fffd}' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_relative_to_the_working_directory() {
        let directory = Path::new("/work/project");
        for (given, expected) in [
            ("plugin.json", Some("plugin.json")),
            ("./gateway/./plugin.json", Some("gateway/plugin.json")),
            ("/work/project/gateway/plugin.json", Some("gateway/plugin.json")),
            ("/work/elsewhere/plugin.json", Some("/work/elsewhere/plugin.json")),
            ("../plugin.json", Some("../plugin.json")),
            ("-", None),
        ] {
            assert_eq!(file_name_in(given, Some(directory)).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn control_characters_are_replaced_and_long_texts_are_cut() {
        assert_eq!(
            without_control_characters("a\u{1b}[31m\0\r\nb\tc\u{9b}d\r"),
            "a\u{fffd}[31m\u{fffd}\nb\tc\u{fffd}d\u{fffd}"
        );
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöü", 2), "äö…");
    }
}
