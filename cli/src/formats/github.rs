//! Workflow commands of GitHub Actions, which become annotations of a pull request.
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use super::diagnostic::{Diagnostic, Level, cut, without_control_characters};
use crate::positions::Position;

/// GitHub cuts longer messages at a place of its own.
const MAX_MESSAGE: usize = 4_000;
const MAX_TITLE: usize = 250;

/// One line for each diagnostic.
pub fn annotations(diagnostics: &[Diagnostic]) -> String {
    let line = |diagnostic: &Diagnostic| {
        let place = diagnostic.file.as_deref().map(|file| (file, diagnostic.position));
        annotation(diagnostic.level, place, &format!("okta-proxy-wasm: {}", diagnostic.code), &diagnostic.text()) + "\n"
    };
    diagnostics.iter().map(line).collect()
}

/// `::error file=…,line=…,col=…,title=…::message`
pub fn annotation(level: Level, place: Option<(&str, Option<Position>)>, title: &str, message: &str) -> String {
    let name = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "notice",
    };
    let mut properties = Vec::new();
    if let Some((file, position)) = place {
        properties.push(format!("file={}", property(file)));
        if let Some(Position { line, column }) = position {
            properties.push(format!("line={line},col={column}"));
        }
    }
    properties.push(format!("title={}", property(&cut(title, MAX_TITLE))));
    format!("::{name} {}::{}", properties.join(","), data(&cut(message, MAX_MESSAGE)))
}

/// The escapes of `@actions/core`. Without them a line of the message would be a command of its own.
fn data(text: &str) -> String {
    without_control_characters(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_texts_stay_inside_of_one_command() {
        for (message, expected) in [
            ("plain", "plain"),
            ("100% of a, b: c", "100%25 of a, b: c"),
            ("a\n::add-mask::b", "a%0A::add-mask::b"),
            ("a\r::set-output name=x::y", "a\u{fffd}::set-output name=x::y"),
            ("%0A::error::x", "%250A::error::x"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
        ] {
            let line = annotation(Level::Error, None, "t", message);
            assert_eq!(line, format!("::error title=t::{expected}"));
            assert!(!line.contains(['\n', '\r']), "{line:?}");
        }
        let place = Some(("a,line=1::b:c%\n.json", Some(Position { line: 3, column: 7 })));
        assert_eq!(
            annotation(Level::Warning, place, "x,file=y::z", "m"),
            "::warning file=a%2Cline=1%3A%3Ab%3Ac%25%0A.json,line=3,col=7,title=x%2Cfile=y%3A%3Az::m"
        );
        assert!(annotation(Level::Note, None, &"t".repeat(5_000), &"m".repeat(100_000)).len() < 5_000);
    }
}
