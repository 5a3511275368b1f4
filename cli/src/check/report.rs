//! The output of `check`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::arguments::{Check, CheckFormat};
use crate::check::Diagnostics;
use crate::config_diagnostic::{ConfigDiagnostic, FilePosition};
use crate::formats::diagnostic::{Diagnostic, Level, file_name};
use crate::formats::junit::{TestCase, TestResult, TestSuite};
use crate::formats::{github, junit, sarif};
use crate::output;
use crate::positions::Position;
use crate::style::Style;

const SKIPPED: &str = "no okta-proxy-wasm plugin in this file";

pub(super) fn write(results: &[Diagnostics], has_failed: bool, arguments: &Check) {
    let diagnostics = || -> Vec<Diagnostic> {
        let of = |result: &Diagnostics| -> Vec<Diagnostic> {
            result.faults().chain(result.warnings()).map(|diagnostic| for_formats(result, diagnostic)).collect()
        };
        results.iter().flat_map(of).collect()
    };
    match arguments.format {
        CheckFormat::Text => results.iter().for_each(|result| write_text(result, Style::of_stdout())),
        CheckFormat::Json => {
            let configurations: Vec<Value> = results.iter().map(as_json).collect();
            output::line(&format!("{:#}", json!({ "ok": !has_failed, "configurations": configurations })));
        }
        CheckFormat::Sarif => output::line(&format!("{:#}", sarif::document("check", &diagnostics(), has_failed))),
        CheckFormat::Github => output::write(&github::annotations(&diagnostics())),
        CheckFormat::Junit => {
            let suites: Vec<TestSuite> = results.iter().map(|result| suite(result, arguments.strict)).collect();
            output::write(&junit::document(&suites));
        }
    }
}

/// Notes for people. GitHub executes commands on standard error, too, and a file's name may contain one.
pub(super) fn write_skipped(files: &[PathBuf], format: CheckFormat) {
    for file in files {
        let file = file.display().to_string();
        if matches!(format, CheckFormat::Github) {
            let place = file_name(&file);
            let place = place.as_deref().map(|file| (file, None));
            output::line(&github::annotation(Level::Note, place, "okta-proxy-wasm: skipped", SKIPPED));
        } else {
            eprintln!("{file}: skipped: {SKIPPED}");
        }
    }
}

fn for_formats(result: &Diagnostics, diagnostic: &ConfigDiagnostic) -> Diagnostic {
    let (file, position) = match &diagnostic.position {
        Some((file, position)) => (file, Some(*position)),
        None => (&result.file, None),
    };
    Diagnostic {
        level: if diagnostic.is_fault() { Level::Error } else { Level::Warning },
        code: diagnostic.code,
        path: diagnostic.path.clone(),
        message: diagnostic.message.clone(),
        fix: diagnostic.fix.as_deref().map(str::to_owned),
        caused_by: diagnostic.caused_by.clone(),
        file: file_name(file),
        position,
    }
}

/// A case for each fault and warning, or one that passes.
fn suite(result: &Diagnostics, is_strict: bool) -> TestSuite {
    let mut cases = Vec::new();
    let mut add = |name: String, file: Option<String>, position, result| {
        cases.push(TestCase { name, file, position, duration: Duration::ZERO, result });
    };
    for diagnostic in result.faults().chain(result.warnings()) {
        let found = for_formats(result, diagnostic);
        let name = match &found.path {
            Some(path) => format!("{} {path}", found.code),
            None => found.code.to_owned(),
        };
        let shown = if diagnostic.is_fault() || is_strict {
            TestResult::Failed(found.message.clone(), found.text())
        } else {
            TestResult::Noted(format!("warning: {}", found.text()))
        };
        add(name, found.file, found.position, shown);
    }
    if result.diagnostics.is_empty() {
        add(String::from("no fault"), file_name(&result.file), None, TestResult::Passed);
    }
    TestSuite { name: result.location.clone(), file: file_name(&result.file), cases }
}

fn write_text(result: &Diagnostics, style: Style) {
    // With `--effective`, standard output contains only the effective configuration.
    if let Some(effective) = &result.effective {
        for warning in result.warnings() {
            eprintln!("{}: warning: [{}] {}", result.location, warning.code, warning.text());
        }
        output::line(&format!("{effective:#}"));
        return;
    }
    let verdict = match result.faults().count() {
        0 => style.success("no fault"),
        1 => style.failure("1 fault"),
        count => style.failure(&format!("{count} faults")),
    };
    output::line(&format!("{}: {verdict}", result.location));
    for fault in result.faults() {
        output::line(&format!("  {}{}", style.faint(&prefix(fault.position.as_ref())), fault.text()));
        write_fix(fault, style);
    }
    for warning in result.warnings() {
        let location = style.faint(&prefix(warning.position.as_ref()));
        output::line(&format!("  {location}{} [{}] {}", style.warning("warning:"), warning.code, warning.text()));
        write_fix(warning, style);
    }
}

fn write_fix(diagnostic: &ConfigDiagnostic, style: Style) {
    if let Some(fix) = &diagnostic.fix {
        output::line(&format!("    {} {fix}", style.faint("fix:")));
    }
}

/// `FILE:LINE:COLUMN: `
fn prefix(position: Option<&FilePosition>) -> String {
    position.map(|(file, Position { line, column })| format!("{file}:{line}:{column}: ")).unwrap_or_default()
}

fn as_json(result: &Diagnostics) -> Value {
    let faults: Vec<Value> = result.faults().map(diagnostic_as_json).collect();
    let warnings: Vec<Value> = result.warnings().map(diagnostic_as_json).collect();
    let mut members = json!({ "location": result.location, "faults": faults, "warnings": warnings });
    if let (Some(effective), Some(members)) = (&result.effective, members.as_object_mut()) {
        members.insert(String::from("effective"), effective.clone());
    }
    members
}

fn diagnostic_as_json(diagnostic: &ConfigDiagnostic) -> Value {
    json!({
        "code": diagnostic.code,
        "path": diagnostic.path,
        "caused_by": diagnostic.caused_by,
        "message": diagnostic.message,
        "fix": diagnostic.fix,
        "file": diagnostic.position.as_ref().map(|(file, _)| file),
        "line": diagnostic.position.as_ref().map(|(_, position)| position.line),
        "column": diagnostic.position.as_ref().map(|(_, position)| position.column),
    })
}
