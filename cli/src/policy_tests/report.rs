//! Formats test results for people and for build servers.

use serde_json::{Value, json};

use super::{CaseResult, SuiteResult};
use crate::arguments::ReportFormat;
use crate::formats::diagnostic::{Level, file_name, without_control_characters};
use crate::formats::junit::{TestCase, TestResult, TestSuite};
use crate::formats::tap::TestPoint;
use crate::formats::{github, junit, tap};
use crate::output;
use crate::style::Style;

const UNEXPECTED: &str = "the decision is not the expected one";

pub fn print(results: &[SuiteResult], format: ReportFormat) {
    match format {
        ReportFormat::Text => output::write(&text(results, Style::of_stdout())),
        ReportFormat::Json => output::line(&format!("{:#}", as_json(results))),
        ReportFormat::Tap => output::write(&tap(results)),
        ReportFormat::Junit => output::write(&junit(results)),
        ReportFormat::Github => output::write(&github(results)),
    }
}

const fn has_passed(case: &CaseResult) -> bool {
    case.differences.is_empty()
}

fn counts(results: &[SuiteResult]) -> (usize, usize) {
    let cases = || results.iter().flat_map(|suite| &suite.cases);
    (cases().filter(|case| has_passed(case)).count(), cases().filter(|case| !has_passed(case)).count())
}

fn text(results: &[SuiteResult], style: Style) -> String {
    let mut lines = Vec::new();
    for suite in results {
        lines.push(style.strong(&suite.file.display().to_string()));
        for case in &suite.cases {
            let sign = if has_passed(case) { style.success("ok  ") } else { style.failure("FAIL") };
            lines.push(format!("  {sign} {}", one_line(&case.name)));
            lines.extend(case.differences.iter().map(|difference| format!("         {}", one_line(difference))));
        }
        lines.extend(untested(suite).map(|note| format!("  {} {}", style.warning("note:"), one_line(&note))));
    }
    let (good, bad) = counts(results);
    lines.push(format!("{good} passed, {bad} failed"));
    lines.join("\n") + "\n"
}

/// A name may have line feeds and escape sequences of terminals.
fn one_line(text: &str) -> String {
    without_control_characters(text).replace('\n', " ")
}

fn as_json(results: &[SuiteResult]) -> Value {
    let case = |case: &CaseResult| json!({ "name": case.name, "line": case.position.map(|position| position.line), "ok": has_passed(case), "differences": case.differences });
    let suite = |suite: &SuiteResult| {
        let cases: Vec<Value> = suite.cases.iter().map(case).collect();
        json!({ "file": suite.file.display().to_string(), "cases": cases, "untested_rules": suite.untested })
    };
    let (good, bad) = counts(results);
    let suites: Vec<Value> = results.iter().map(suite).collect();
    json!({ "ok": bad == 0, "passed": good, "failed": bad, "suites": suites })
}

fn tap(results: &[SuiteResult]) -> String {
    let files: Vec<String> = results.iter().map(shown_file).collect();
    let mut points = Vec::new();
    let mut comments = Vec::new();
    for (suite, file) in results.iter().zip(&files) {
        for CaseResult { name, position, differences, .. } in &suite.cases {
            points.push(TestPoint { file, name, position: *position, differences });
        }
        comments.extend(untested(suite));
    }
    tap::document(&points, &comments)
}

fn junit(results: &[SuiteResult]) -> String {
    let suite = |suite: &SuiteResult| {
        let case = |case: &CaseResult| TestCase {
            name: case.name.clone(),
            file: file_name(&suite.file.display().to_string()),
            position: case.position,
            duration: case.duration,
            result: match case.differences.as_slice() {
                [] => TestResult::Passed,
                differences => TestResult::Failed(String::from(UNEXPECTED), differences.join("\n")),
            },
        };
        TestSuite {
            name: shown_file(suite),
            file: file_name(&suite.file.display().to_string()),
            cases: suite.cases.iter().map(case).collect(),
        }
    };
    junit::document(&results.iter().map(suite).collect::<Vec<_>>())
}

/// An error for each failed case, and a notice for rules without a case.
fn github(results: &[SuiteResult]) -> String {
    let mut lines = String::new();
    for suite in results {
        let file = file_name(&suite.file.display().to_string());
        let place = |position| file.as_deref().map(|file| (file, position));
        for case in suite.cases.iter().filter(|case| !has_passed(case)) {
            let message = format!("{}\n{}", case.name, case.differences.join("\n"));
            lines += &github::annotation(Level::Error, place(case.position), "okta-proxy-wasm: test", &message);
            lines.push('\n');
        }
        if let Some(note) = untested(suite) {
            lines += &github::annotation(Level::Note, place(None), "okta-proxy-wasm: untested rules", &note);
            lines.push('\n');
        }
    }
    lines
}

fn untested(suite: &SuiteResult) -> Option<String> {
    (!suite.untested.is_empty()).then(|| format!("no case matches {}", suite.untested.join(", ")))
}

fn shown_file(suite: &SuiteResult) -> String {
    file_name(&suite.file.display().to_string()).unwrap_or_else(|| String::from("standard input"))
}
