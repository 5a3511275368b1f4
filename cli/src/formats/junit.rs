//! JUnit XML, as Jenkins and GitLab read it. The schema of Jenkins' xUnit plugin (junit-10.xsd) allows no file and no line of
//! a case: they are in the text.

use std::fmt::Write as _;
use std::time::Duration;

use crate::positions::Position;

/// A file, or a configuration in it.
pub struct TestSuite {
    pub name: String,
    pub file: Option<String>,
    pub cases: Vec<TestCase>,
}

/// One result.
pub struct TestCase {
    pub name: String,
    pub file: Option<String>,
    pub position: Option<Position>,
    pub duration: Duration,
    pub result: TestResult,
}

/// What is known of a case.
pub enum TestResult {
    Passed,
    /// Passed, with a text to show.
    Noted(String),
    /// A headline, and the whole text.
    Failed(String, String),
    /// The case could not run.
    Error(String),
}

impl TestCase {
    const fn is_failed(&self) -> bool {
        matches!(self.result, TestResult::Failed(..))
    }

    const fn is_error(&self) -> bool {
        matches!(self.result, TestResult::Error(_))
    }
}

/// The document of all suites.
pub fn document(suites: &[TestSuite]) -> String {
    let all = || suites.iter().flat_map(|suite| &suite.cases);
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "<testsuites name=\"okta-proxy-wasm\" {}>", totals(all()));
    for TestSuite { name, file, cases } in suites {
        let name = escaped(name);
        let file = file.as_ref().map(|file| format!(" file=\"{}\"", escaped(file))).unwrap_or_default();
        let _ = writeln!(text, "  <testsuite name=\"{name}\"{file} {} skipped=\"0\">", totals(cases.iter()));
        for case in cases {
            add_case(&mut text, &name, case);
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// The document of a command that could not run.
pub fn failed(command: &str, message: &str) -> String {
    let case = TestCase {
        name: String::from("the command can run"),
        file: None,
        position: None,
        duration: Duration::ZERO,
        result: TestResult::Error(message.to_owned()),
    };
    document(&[TestSuite { name: format!("okta-proxy-wasm {command}"), file: None, cases: vec![case] }])
}

fn totals<'a>(cases: impl Iterator<Item = &'a TestCase> + Clone) -> String {
    let failures = cases.clone().filter(|case| case.is_failed()).count();
    let errors = cases.clone().filter(|case| case.is_error()).count();
    let time: Duration = cases.clone().map(|case| case.duration).sum();
    format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{:.3}\"",
        cases.count(),
        time.as_secs_f64()
    )
}

fn add_case(text: &mut String, class: &str, case: &TestCase) {
    let TestCase { name, file, position, duration, result } = case;
    let place = match (file, position) {
        (Some(file), Some(Position { line, column })) => format!("{file}:{line}:{column}: "),
        (Some(file), None) => format!("{file}: "),
        (None, _) => String::new(),
    };
    let (name, seconds) = (escaped(name), duration.as_secs_f64());
    let head = format!("    <testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\"");
    let body = match result {
        TestResult::Passed => {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{head}/>");
            return;
        }
        TestResult::Noted(note) => format!("<system-out>{}</system-out>", text_of(&format!("{place}{note}"))),
        TestResult::Failed(headline, whole) => {
            format!("<failure message=\"{}\">{}</failure>", escaped(headline), text_of(&format!("{place}{whole}")))
        }
        TestResult::Error(message) => format!("<error message=\"{}\"/>", escaped(message)),
    };
    let _ = writeln!(text, "{head}>\n      {body}\n    </testcase>");
}

/// The text of an element, with its line feeds.
fn text_of(text: &str) -> String {
    escaped(text).replace("&#10;", "\n")
}

/// Escapes text and attributes. Line feeds are escaped, because parsers read those of attributes as spaces. A character
/// that XML 1.0 does not allow becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            '\r' => escaped.push_str("&#13;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_reads_back_hostile_texts() {
        for (given, expected) in [
            ("plain", "plain"),
            ("<a href=\"x\">&amp;'</a>", "<a href=\"x\">&amp;'</a>"),
            ("]]><!-- --><?x?>", "]]><!-- --><?x?>"),
            ("a\n\tb\rc", "a\n\tb\rc"),
            (
                "\u{0}\u{b}\u{1b}\u{7f}\u{9b}\u{fffe}\u{ffff}",
                "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("ä\u{1f600}\u{2028}", "ä\u{1f600}\u{2028}"),
        ] {
            let case = |result| TestCase {
                name: given.to_owned(),
                file: Some(given.to_owned()),
                position: Some(Position { line: 3, column: 1 }),
                duration: Duration::from_millis(1500),
                result,
            };
            let results = [
                TestResult::Passed,
                TestResult::Noted(given.to_owned()),
                TestResult::Failed(given.to_owned(), given.to_owned()),
                TestResult::Error(given.to_owned()),
            ];
            let file = Some(given.to_owned());
            let suite = TestSuite { name: given.to_owned(), file, cases: results.into_iter().map(case).collect() };
            let text = document(&[suite]);
            let read = roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            let root = read.root_element();
            assert_eq!(root.attribute("tests"), Some("4"));
            assert_eq!((root.attribute("failures"), root.attribute("errors")), (Some("1"), Some("1")));
            assert_eq!(root.attribute("time"), Some("6.000"));
            let mut checked = 0;
            for node in read.descendants() {
                for name in ["classname", "file", "message"] {
                    checked += usize::from(node.attribute(name).map(|found| assert_eq!(found, expected)).is_some());
                }
                if node.has_tag_name("failure") || node.has_tag_name("system-out") {
                    assert_eq!(node.text(), Some(format!("{expected}:3:1: {expected}").as_str()));
                    checked += 1;
                }
            }
            assert_eq!(checked, 9);
        }
    }
}
