//! The part of an expression that a compile error is about, for the command-line tool: the log never shows an expression.

use std::fmt;

/// How much of the line is shown.
const MAX_CHARACTERS: usize = 100;

/// A line of the expression with the position of an error in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, or a part of it around the error.
    line: String,
    /// The characters before the error, and the number of those that it is about.
    before: usize,
    marked: usize,
}

impl Excerpt {
    pub(super) fn at(source: &str, offset: usize) -> Self {
        let (before, after) = source.split_at_checked(offset).unwrap_or((source, ""));
        let before: Vec<char> = before.rsplit('\n').next().unwrap_or_default().chars().collect();
        let after: Vec<char> = after.split(['\n', '\r']).next().unwrap_or_default().chars().collect();
        let is_of_name = |character: &&char| character.is_alphanumeric() || **character == '_';
        let marked = after.iter().take_while(is_of_name).count().clamp(1, MAX_CHARACTERS / 2);
        let skipped = (before.len() + marked).saturating_sub(MAX_CHARACTERS * 3 / 4);
        let is_cut = before.len() + after.len() - skipped > MAX_CHARACTERS;
        let shown = before.iter().chain(&after).skip(skipped).take(MAX_CHARACTERS);
        // A control character would move the caret.
        let shown = shown.map(|character| if character.is_control() { ' ' } else { *character });
        let mut line = String::from(if skipped > 0 { "…" } else { "" });
        line.extend(shown);
        line.push_str(if is_cut { "…" } else { "" });
        Self { line, before: before.len() - skipped + usize::from(skipped > 0), marked }
    }

    /// The name that the error is about; empty where it is about something else.
    pub fn name(&self) -> String {
        let marked = self.line.chars().skip(self.before).take(self.marked);
        marked.take_while(|character| character.is_alphanumeric() || *character == '_').collect()
    }
}

impl fmt::Display for Excerpt {
    /// The line, and a second one with carets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n{}{}", self.line, " ".repeat(self.before), "^".repeat(self.marked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_are_under_the_name_in_its_line() {
        let of = |source: &str, offset| Excerpt::at(source, offset).to_string();
        assert_eq!(of("reqest.path == 'a'", 0), "reqest.path == 'a'\n^^^^^^");
        assert_eq!(of("true &&\n  é.foo", 13), "  é.foo\n    ^^^");
        assert_eq!(of("true &&", 7), "true &&\n       ^");
        assert_eq!(of("a\t== 1", 2), "a == 1\n  ^");
        assert_eq!(Excerpt::at("a.foo == 1", 2).name(), "foo");
        assert_eq!(Excerpt::at("a == 1", 2).name(), "");
    }

    #[test]
    fn long_line_is_cut_around_the_error() {
        let source = format!("{}name{}", "a ".repeat(500), " b".repeat(500));
        let excerpt = Excerpt::at(&source, 1000);
        assert_eq!(excerpt.name(), "name");
        let text = excerpt.to_string();
        let (line, carets) = text.split_once('\n').unwrap();
        assert_eq!(line.chars().count(), MAX_CHARACTERS + 2);
        assert!(line.starts_with('…') && line.ends_with('…'));
        assert_eq!(line.chars().position(|one| one == 'n'), carets.find('^'));
        let long = "x".repeat(4000);
        assert!(Excerpt::at(&long, 0).to_string().len() < 3 * MAX_CHARACTERS);
    }
}
