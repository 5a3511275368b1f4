//! The output of `check`.

use serde_json::{Value, json};

use crate::arguments::Format;
use crate::check::Diagnostics;
use crate::finding::{FilePosition, Finding};
use crate::output;
use crate::positions::Position;
use crate::style::Style;

pub(super) fn write(results: &[Diagnostics], has_failed: bool, format: Format) {
    match format {
        Format::Text => results.iter().for_each(|result| write_text(result, Style::of_stdout())),
        Format::Json => {
            let configurations: Vec<Value> = results.iter().map(as_json).collect();
            output::line(&format!("{:#}", json!({ "ok": !has_failed, "configurations": configurations })));
        }
    }
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

fn write_fix(finding: &Finding, style: Style) {
    if let Some(fix) = &finding.fix {
        output::line(&format!("    {} {fix}", style.faint("fix:")));
    }
}

/// `FILE:LINE:COLUMN: `
fn prefix(position: Option<&FilePosition>) -> String {
    position.map(|(file, Position { line, column })| format!("{file}:{line}:{column}: ")).unwrap_or_default()
}

fn as_json(result: &Diagnostics) -> Value {
    let faults: Vec<Value> = result.faults().map(finding_as_json).collect();
    let warnings: Vec<Value> = result.warnings().map(finding_as_json).collect();
    let mut members = json!({ "location": result.location, "faults": faults, "warnings": warnings });
    if let (Some(effective), Some(members)) = (&result.effective, members.as_object_mut()) {
        members.insert(String::from("effective"), effective.clone());
    }
    members
}

fn finding_as_json(finding: &Finding) -> Value {
    json!({
        "code": finding.code,
        "path": finding.path,
        "caused_by": finding.caused_by,
        "message": finding.message,
        "fix": finding.fix,
        "file": finding.position.as_ref().map(|(file, _)| file),
        "line": finding.position.as_ref().map(|(_, position)| position.line),
        "column": finding.position.as_ref().map(|(_, position)| position.column),
    })
}
