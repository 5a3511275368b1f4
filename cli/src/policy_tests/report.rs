//! Formats test results for people and for build servers.

use serde_json::{Value, json};

use super::{CaseResult, SuiteResult};
use crate::arguments::ReportFormat;
use crate::output;
use crate::style::Style;

pub fn print(results: &[SuiteResult], format: ReportFormat) {
    match format {
        ReportFormat::Text => output::write(&text(results, Style::of_stdout())),
        ReportFormat::Json => output::line(&format!("{:#}", as_json(results))),
        ReportFormat::Tap => output::write(&tap(results)),
        ReportFormat::Junit => output::write(&junit(results)),
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
            lines.push(format!("  {sign} {}", case.name));
            lines.extend(case.differences.iter().map(|difference| format!("         {difference}")));
        }
        if !suite.untested.is_empty() {
            lines.push(format!("  {} no case matches {}", style.warning("note:"), suite.untested.join(", ")));
        }
    }
    let (good, bad) = counts(results);
    lines.push(format!("{good} passed, {bad} failed"));
    lines.join("\n") + "\n"
}

fn as_json(results: &[SuiteResult]) -> Value {
    let case =
        |case: &CaseResult| json!({ "name": case.name, "ok": has_passed(case), "differences": case.differences });
    let suite = |suite: &SuiteResult| {
        let cases: Vec<Value> = suite.cases.iter().map(case).collect();
        json!({ "file": suite.file.display().to_string(), "cases": cases, "untested_rules": suite.untested })
    };
    let (good, bad) = counts(results);
    let suites: Vec<Value> = results.iter().map(suite).collect();
    json!({ "ok": bad == 0, "passed": good, "failed": bad, "suites": suites })
}

fn tap(results: &[SuiteResult]) -> String {
    let (good, bad) = counts(results);
    let mut lines = vec![String::from("TAP version 13"), format!("1..{}", good + bad)];
    let cases = results.iter().flat_map(|suite| suite.cases.iter().map(move |case| (suite, case)));
    for (number, (suite, case)) in (1..).zip(cases) {
        let sign = if has_passed(case) { "ok" } else { "not ok" };
        // `#` starts a directive in TAP.
        let name = format!("{}: {}", suite.file.display(), case.name).replace('#', "\\#").replace('\n', " ");
        lines.push(format!("{sign} {number} - {name}"));
        lines.extend(case.differences.iter().map(|difference| format!("# {}", difference.replace('\n', " "))));
    }
    lines.join("\n") + "\n"
}

fn junit(results: &[SuiteResult]) -> String {
    let (good, bad) = counts(results);
    let mut lines = vec![
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"),
        format!("<testsuites tests=\"{}\" failures=\"{bad}\">", good + bad),
    ];
    for suite in results {
        let file = escaped(&suite.file.display().to_string());
        let failures = suite.cases.iter().filter(|case| !has_passed(case)).count();
        lines.push(format!("  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failures}\">", suite.cases.len()));
        for case in &suite.cases {
            let (name, time) = (escaped(&case.name), case.duration.as_secs_f64());
            let head = format!("    <testcase classname=\"{file}\" name=\"{name}\" time=\"{time:.3}\"");
            if has_passed(case) {
                lines.push(format!("{head}/>"));
            } else {
                lines.push(format!("{head}>"));
                let differences = escaped(&case.differences.join("\n"));
                lines.push(format!("      <failure message=\"not as expected\">{differences}</failure>"));
                lines.push(String::from("    </testcase>"));
            }
        }
        lines.push(String::from("  </testsuite>"));
    }
    lines.push(String::from("</testsuites>"));
    lines.join("\n") + "\n"
}

/// Escapes text and attributes for XML. A control character, which XML does not allow, becomes a question mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() => escaped.push('?'),
            other => escaped.push(other),
        }
    }
    escaped
}
