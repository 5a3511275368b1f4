//! `check`: reports every fault of a configuration with its position, and every warning.

use std::path::Path;

use okta_proxy_wasm::analysis::Warning;
use okta_proxy_wasm::config;
use serde_json::{Value, json};

use crate::arguments::{Check, Format};
use crate::effective;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::plugin::{self, HostFault, Plugin};
use crate::positions::{Position, Positions};
use crate::secrets::Secrets;
use crate::style::Style;

/// The result for one configuration.
struct Diagnostics {
    location: String,
    faults: Vec<Fault>,
    warnings: Vec<CheckedWarning>,
    effective: Option<Value>,
}

struct Fault {
    /// The path in the configuration, or the directive of the host.
    path: String,
    message: String,
    /// The position, with its file.
    position: Option<(String, Position)>,
}

struct CheckedWarning {
    code: &'static str,
    /// The path in the configuration; a warning about the host's configuration has it in the message.
    path: Option<String>,
    caused_by: Vec<String>,
    message: String,
    fix: Option<&'static str>,
    position: Option<(String, Position)>,
}

/// The code of warnings about the host's configuration.
const HOST_SETTING: &str = "host_setting";

impl CheckedWarning {
    fn of_filter(warning: &Warning, position: Option<(String, Position)>) -> Self {
        Self {
            code: warning.code.name(),
            path: Some(warning.path.as_str().to_owned()),
            caused_by: warning.caused_by.iter().map(|path| path.as_str().to_owned()).collect(),
            message: warning.message.to_string(),
            fix: Some(warning.fix),
            position,
        }
    }

    /// Code, path and message.
    fn text(&self) -> String {
        let path = self.path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
        format!("[{}] {path}{}", self.code, self.message)
    }

    const fn of_host(message: String) -> Self {
        Self { code: HOST_SETTING, path: None, caused_by: Vec::new(), message, fix: None, position: None }
    }
}

/// `FILE:LINE:COLUMN: `
fn prefix(position: Option<&(String, Position)>) -> String {
    position.map(|(file, Position { line, column })| format!("{file}:{line}:{column}: ")).unwrap_or_default()
}

pub fn run(arguments: &Check) -> Result<Outcome, Failure> {
    let secrets = Secrets::new(&arguments.secrets)?;
    let mut results = Vec::new();
    for file in &arguments.files {
        for plugin in plugin::read(file)? {
            results.push(diagnose(file, plugin, &secrets, arguments.effective)?);
        }
    }
    let fails = |result: &Diagnostics| !result.faults.is_empty() || arguments.strict && !result.warnings.is_empty();
    let has_failed = results.iter().any(fails);
    match arguments.format {
        Format::Text => results.iter().for_each(|result| print_text(result, Style::of_stdout())),
        Format::Json => {
            let configurations: Vec<Value> = results.iter().map(as_json).collect();
            output::line(&format!("{:#}", json!({ "ok": !has_failed, "configurations": configurations })));
        }
    }
    Ok(Outcome::negative_if(has_failed))
}

fn diagnose(file: &Path, mut plugin: Plugin, secrets: &Secrets, wants_effective: bool) -> Result<Diagnostics, Failure> {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    let mut effective = None;
    let positions = Positions::of(&plugin.text);
    let position_of = |path: &str, plugin: &Plugin| {
        let name = plugin.included_file.clone().unwrap_or_else(|| file.display().to_string());
        positions.find(path, &plugin.origin).map(|position| (name, position))
    };
    let loaded = match config::load(plugin.text.as_bytes(), &secrets.environment(&plugin.document)) {
        Ok(loaded) => {
            effective = wants_effective.then(|| effective::document(&plugin.document, &loaded));
            let checked =
                |warning: &Warning| CheckedWarning::of_filter(warning, position_of(warning.path.as_str(), &plugin));
            warnings.extend(loaded.warnings.iter().map(checked));
            Some(loaded)
        }
        Err(errors) => {
            for error in errors {
                let text = error.to_string();
                let message = text.strip_prefix(&format!("{}: ", error.path)).unwrap_or(&text).to_owned();
                faults.push(Fault { position: position_of(&error.path, &plugin), path: error.path, message });
            }
            None
        }
    };
    for HostFault { path, message, position } in plugin.take_host_faults(loaded.as_ref()) {
        let position = position.or_else(|| position_of(&path, &plugin));
        faults.push(Fault { path, message, position });
    }
    if !faults.is_empty() {
        effective = None;
    }
    warnings.extend(plugin.warnings.into_iter().map(CheckedWarning::of_host));
    Ok(Diagnostics { location: plugin.location, faults, warnings, effective })
}

fn print_text(result: &Diagnostics, style: Style) {
    // With `--effective`, standard output contains only the effective configuration.
    if let Some(effective) = &result.effective {
        for warning in &result.warnings {
            eprintln!("{}: warning: {}", result.location, warning.text());
        }
        output::line(&format!("{effective:#}"));
        return;
    }
    if result.faults.is_empty() {
        output::line(&format!("{}: {}", result.location, style.success("no fault")));
    } else {
        let count = result.faults.len();
        let faults = format!("{count} fault{}", if count == 1 { "" } else { "s" });
        output::line(&format!("{}: {}", result.location, style.failure(&faults)));
    }
    for Fault { path, message, position } in &result.faults {
        output::line(&format!("  {}{path}: {message}", style.faint(&prefix(position.as_ref()))));
    }
    for warning in &result.warnings {
        let location = prefix(warning.position.as_ref());
        output::line(&format!("  {}{} {}", style.faint(&location), style.warning("warning:"), warning.text()));
        if let Some(fix) = warning.fix {
            output::line(&format!("    {} {fix}", style.faint("fix:")));
        }
    }
}

fn as_json(result: &Diagnostics) -> Value {
    let faults: Vec<Value> = result
        .faults
        .iter()
        .map(|Fault { path, message, position }| {
            json!({
                "path": path,
                "message": message,
                "file": position.as_ref().map(|(file, _)| file),
                "line": position.as_ref().map(|(_, position)| position.line),
                "column": position.as_ref().map(|(_, position)| position.column),
            })
        })
        .collect();
    let warnings: Vec<Value> = result
        .warnings
        .iter()
        .map(|warning| {
            json!({
                "code": warning.code,
                "path": warning.path,
                "caused_by": warning.caused_by,
                "message": warning.message,
                "fix": warning.fix,
                "file": warning.position.as_ref().map(|(file, _)| file),
                "line": warning.position.as_ref().map(|(_, position)| position.line),
                "column": warning.position.as_ref().map(|(_, position)| position.column),
            })
        })
        .collect();
    let mut members = json!({ "location": result.location, "faults": faults, "warnings": warnings });
    if let (Some(effective), Some(members)) = (&result.effective, members.as_object_mut()) {
        members.insert(String::from("effective"), effective.clone());
    }
    members
}
