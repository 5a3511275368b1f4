//! `check`: reports every fault of a configuration with its position, and every warning.

mod report;

use std::path::Path;

use okta_proxy_wasm::config::{self, ConfigErrorKind};
use okta_proxy_wasm::jose::JsonFault;
use serde_json::Value;

use crate::arguments::Check;
use crate::effective;
use crate::failure::{Failure, Outcome};
use crate::finding::Finding;
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};
use crate::plugin::{self, Files, Plugin};
use crate::positions::Position;
use crate::secrets::Secrets;

/// The result for one configuration.
struct Diagnostics {
    location: String,
    findings: Vec<Finding>,
    effective: Option<Value>,
}

impl Diagnostics {
    fn faults(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_fault())
    }

    fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.is_fault())
    }
}

pub fn run(arguments: &Check) -> Result<Outcome, Failure> {
    run_accepting(arguments, &[])
}

/// Faults with the accepted codes are shown and do not count.
pub fn run_accepting(arguments: &Check, accepted: &[HostCode]) -> Result<Outcome, Failure> {
    let secrets = Secrets::new(&arguments.secrets)?;
    let Files { plugins, skipped, mut failures } = plugin::read_all(&arguments.files);
    let results: Vec<Diagnostics> =
        plugins.into_iter().map(|(file, plugin)| diagnose(&file, plugin, &secrets, arguments.effective)).collect();
    if results.is_empty() {
        failures.extend(skipped.iter().map(|file| plugin::no_plugin(file)));
        return Failure::of_all(failures).map_or(Ok(Outcome::Success), Err);
    }
    let is_accepted = |finding: &Finding| accepted.iter().any(|code| code.name == finding.code);
    let fails = |finding: &Finding| (finding.is_fault() || arguments.strict) && !is_accepted(finding);
    let has_failed = results.iter().any(|result| result.findings.iter().any(fails));
    report::write(&results, has_failed, arguments.format);
    for file in skipped {
        eprintln!("{}: skipped: no okta-proxy-wasm plugin in this file", file.display());
    }
    Failure::of_all(failures).map_or_else(|| Ok(Outcome::negative_if(has_failed)), Err)
}

fn diagnose(file: &Path, mut plugin: Plugin, secrets: &Secrets, wants_effective: bool) -> Diagnostics {
    let mut findings = Vec::new();
    let mut effective = None;
    let file_of = |plugin: &Plugin| plugin.included_file.clone().unwrap_or_else(|| file.display().to_string());
    let position_of =
        |path: &str, plugin: &Plugin| plugin.positions.find(path).map(|position| (file_of(plugin), position));
    let loaded = match config::load(plugin.text.as_bytes(), &secrets.environment(&plugin.document)) {
        Ok(loaded) => {
            effective = wants_effective.then(|| effective::document(&plugin.document, &loaded));
            for warning in &loaded.warnings {
                findings.push(Finding::of_warning(warning, position_of(warning.path.as_str(), &plugin)));
            }
            Some(loaded)
        }
        Err(errors) => {
            for error in errors {
                // The position of a syntax error is in the text.
                let position = if let ConfigErrorKind::Json(JsonFault::Syntax { line, column }) = error.kind {
                    let position = plugin.origin.position(Position { line, column: column.max(1) });
                    position.map(|position| (file_of(&plugin), position))
                } else {
                    position_of(&error.path, &plugin)
                };
                findings.push(Finding::of_error(error, position));
            }
            None
        }
    };
    for diagnostic in plugin.take_host_diagnostics(loaded.as_ref()) {
        let HostDiagnostic { code, path, message, fix, position, .. } = diagnostic;
        let position = position.or_else(|| position_of(path.as_deref()?, &plugin));
        let HostCode { name, severity } = code;
        let (fix, caused_by) = (Some(fix), Vec::new());
        findings.push(Finding { severity, code: name, path, message, fix, caused_by, position });
    }
    if findings.iter().any(Finding::is_fault) {
        effective = None;
    }
    Diagnostics { location: plugin.location, findings, effective }
}
