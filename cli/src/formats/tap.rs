//! Test Anything Protocol, version 14. <https://testanything.org/tap-version-14-specification.html>

use std::fmt::Write as _;

use super::diagnostic::without_control_characters;
use crate::positions::Position;

/// A test point.
pub struct TestPoint<'a> {
    pub file: &'a str,
    pub name: &'a str,
    pub position: Option<Position>,
    /// Empty for a passed test.
    pub differences: &'a [String],
}

/// A document of all test points, and comments at the end.
pub fn document(points: &[TestPoint<'_>], comments: &[String]) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", points.len());
    for (number, TestPoint { file, name, position, differences }) in (1..).zip(points) {
        let sign = if differences.is_empty() { "ok" } else { "not ok" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{sign} {number} - {}", description(&format!("{file}: {name}")));
        if !differences.is_empty() {
            let _ = writeln!(text, "  ---\n  message: {}", scalar("the decision is not the expected one"));
            let _ = writeln!(text, "  severity: fail\n  at:\n    file: {}", scalar(file));
            if let Some(Position { line, column }) = position {
                let _ = writeln!(text, "    line: {line}\n    column: {column}");
            }
            let _ = writeln!(text, "  differences:");
            for difference in *differences {
                let _ = writeln!(text, "    - {}", scalar(difference));
            }
            text.push_str("  ...\n");
        }
    }
    for comment in comments {
        let _ = writeln!(text, "# {}", one_line(comment));
    }
    text
}

/// The document of a run that ended before the tests.
pub fn failed(message: &str) -> String {
    format!("TAP version 14\nBail out! {}\n", one_line(message))
}

/// A description. `#` starts a directive, such as `# SKIP`, and `\` an escape.
fn description(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('#', "\\#")
}

fn one_line(text: &str) -> String {
    without_control_characters(text).replace(['\n', '\t', '\u{2028}', '\u{2029}'], " ")
}

/// A double-quoted scalar of YAML, on one line: JSON's escapes, and further ones for what YAML does not allow as it is.
fn scalar(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            other if is_escaped(other) => {
                // Writing to a string cannot fail. None of these is above U+FFFF.
                let _ = write!(quoted, "\\u{:04X}", u32::from(other));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn is_escaped(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_inside_of_one_test_point() {
        for (name, expected) in [
            ("plain", "f.yaml: plain"),
            ("a # SKIP b", "f.yaml: a \\# SKIP b"),
            ("a\\# TODO", "f.yaml: a\\\\\\# TODO"),
            ("a\nnot ok 2 - b\nBail out!", "f.yaml: a not ok 2 - b Bail out!"),
            ("a\u{1b}[2J\u{2028}b", "f.yaml: a\u{fffd}[2J b"),
        ] {
            let point = TestPoint { file: "f.yaml", name, position: None, differences: &[] };
            assert_eq!(document(&[point], &[]), format!("TAP version 14\n1..1\nok 1 - {expected}\n"));
        }
        assert_eq!(failed("a\n1..3"), "TAP version 14\nBail out! a 1..3\n");
    }

    #[test]
    fn differences_are_a_yaml_block_that_yields_the_same_texts() {
        let differences: Vec<String> = [
            "a: b",
            "x\n  ...\nnot ok 7",
            "\u{0}\u{1b}\u{85}\u{2028}\u{feff}",
            "\"quoted\" \\ back",
            "- & * ! | > % @ `",
        ]
        .map(str::to_owned)
        .to_vec();
        let position = Some(Position { line: 4, column: 3 });
        let point = TestPoint { file: "a: b\n.yaml", name: "n", position, differences: &differences };
        let text = document(&[point], &[]);
        let block = text.split("  ---\n").nth(1).unwrap().split("\n  ...\n").next().unwrap();
        let read: serde_json::Value = yaml_serde::from_str(block).unwrap();
        assert_eq!(read["differences"], serde_json::json!(differences));
        assert_eq!(read["at"], serde_json::json!({ "file": "a: b\n.yaml", "line": 4, "column": 3 }));
        assert!(text.ends_with("\n  ...\n"), "{text}");
    }
}
