//! `check`: reports every fault of a configuration with its position, and every warning.

mod report;

use std::path::Path;

use okta_proxy_wasm::config::{self, TextPosition};
use serde_json::Value;

use crate::arguments::{Check, CheckFormat};
use crate::config_diagnostic::ConfigDiagnostic;
use crate::effective;
use crate::failure::{Failure, Outcome};
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};
use crate::plugin::{self, Files, Plugin};
use crate::positions::Position;
use crate::secrets::Secrets;

/// The result for one configuration.
struct Diagnostics {
    location: String,
    /// As named on the command line.
    file: String,
    diagnostics: Vec<ConfigDiagnostic>,
    effective: Option<Value>,
}

impl Diagnostics {
    fn faults(&self) -> impl Iterator<Item = &ConfigDiagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_fault())
    }

    fn warnings(&self) -> impl Iterator<Item = &ConfigDiagnostic> {
        self.diagnostics.iter().filter(|diagnostic| !diagnostic.is_fault())
    }
}

pub fn run(arguments: &Check) -> Result<Outcome, Failure> {
    run_accepting(arguments, &[])
}

/// Faults with the accepted codes are shown and do not count.
pub fn run_accepting(arguments: &Check, accepted: &[HostCode]) -> Result<Outcome, Failure> {
    if arguments.effective && !matches!(arguments.format, CheckFormat::Text | CheckFormat::Json) {
        return Err(Failure(String::from("--effective needs --format text or json")));
    }
    let secrets = Secrets::new(&arguments.secrets)?;
    let Files { plugins, skipped, mut failures } = plugin::read_all(&arguments.files);
    let results: Vec<Diagnostics> =
        plugins.into_iter().map(|(file, plugin)| diagnose(&file, plugin, &secrets, arguments.effective)).collect();
    if results.is_empty() {
        failures.extend(skipped.iter().map(|file| plugin::no_plugin(file)));
        return Failure::of_all(failures).map_or(Ok(Outcome::Success), Err);
    }
    let is_accepted = |diagnostic: &ConfigDiagnostic| accepted.iter().any(|code| code.name == diagnostic.code);
    let fails = |diagnostic: &ConfigDiagnostic| (diagnostic.is_fault() || arguments.strict) && !is_accepted(diagnostic);
    let has_failed = results.iter().any(|result| result.diagnostics.iter().any(fails));
    report::write(&results, has_failed, arguments);
    report::write_skipped(&skipped, arguments.format);
    Failure::of_all(failures).map_or_else(|| Ok(Outcome::negative_if(has_failed)), Err)
}

fn diagnose(file: &Path, mut plugin: Plugin, secrets: &Secrets, wants_effective: bool) -> Diagnostics {
    let mut diagnostics = Vec::new();
    let mut effective = None;
    let file_of = |plugin: &Plugin| plugin.included_file.clone().unwrap_or_else(|| file.display().to_string());
    let position_of =
        |path: &str, plugin: &Plugin| plugin.positions.find(path).map(|position| (file_of(plugin), position));
    let loaded = match config::load(plugin.text.as_bytes(), &secrets.environment(&plugin.document)) {
        Ok(loaded) => {
            effective = wants_effective.then(|| effective::document(&plugin.document, &loaded));
            for warning in &loaded.warnings {
                diagnostics.push(ConfigDiagnostic::of_warning(warning, position_of(warning.path.as_str(), &plugin)));
            }
            Some(loaded)
        }
        Err(errors) => {
            for error in errors {
                // Invalid JSON has a position in the text, and no path.
                let locate = |at: TextPosition| plugin.origin.position(Position::of_offset(&plugin.text, at.offset)?);
                let position = match error.position() {
                    Some(at) => locate(at).map(|position| (file_of(&plugin), position)),
                    None => position_of(&error.path, &plugin),
                };
                let related = error.related().and_then(locate);
                diagnostics.push(ConfigDiagnostic::of_error(error, position, related));
            }
            None
        }
    };
    for diagnostic in plugin.take_host_diagnostics(loaded.as_ref()) {
        let HostDiagnostic { code, path, message, fix, position, .. } = diagnostic;
        let position = position.or_else(|| position_of(path.as_deref()?, &plugin));
        let HostCode { name, severity } = code;
        let (fix, caused_by) = (Some(fix), Vec::new());
        diagnostics.push(ConfigDiagnostic { severity, code: name, path, message, fix, caused_by, position });
    }
    if diagnostics.iter().any(ConfigDiagnostic::is_fault) {
        effective = None;
    }
    Diagnostics { location: plugin.location, file: file.display().to_string(), diagnostics, effective }
}
