//! `check`: reports every fault of a configuration with its position, and every warning.

mod report;

use std::path::Path;

use okta_proxy_wasm::config::{self, TextPosition};
use serde_json::Value;

use crate::arguments::{Check, CheckFormat};
use crate::effective;
use crate::failure::{Failure, Outcome};
use crate::finding::{Finding, Severity};
use crate::plugin::{self, HostFault, Plugin};
use crate::positions::Positions;
use crate::secrets::Secrets;

/// The result for one configuration.
struct Diagnostics {
    location: String,
    /// As named on the command line.
    file: String,
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

/// The code of findings about the host's configuration.
const HOST_SETTING: &str = "host_setting";

fn of_host(severity: Severity, path: Option<String>, message: String) -> Finding {
    Finding { severity, code: HOST_SETTING, path, message, fix: None, caused_by: Vec::new(), position: None }
}

pub fn run(arguments: &Check) -> Result<Outcome, Failure> {
    if arguments.effective && !matches!(arguments.format, CheckFormat::Text | CheckFormat::Json) {
        return Err(Failure(String::from("--effective needs --format text or json")));
    }
    let secrets = Secrets::new(&arguments.secrets)?;
    let mut results = Vec::new();
    for file in &arguments.files {
        for plugin in plugin::read(file)? {
            results.push(diagnose(file, plugin, &secrets, arguments.effective));
        }
    }
    let fails = |finding: &Finding| finding.is_fault() || arguments.strict;
    let has_failed = results.iter().any(|result| result.findings.iter().any(fails));
    report::write(&results, has_failed, arguments);
    Ok(Outcome::negative_if(has_failed))
}

fn diagnose(file: &Path, mut plugin: Plugin, secrets: &Secrets, wants_effective: bool) -> Diagnostics {
    let mut findings = Vec::new();
    let mut effective = None;
    let positions = Positions::of(&plugin.text);
    let file_of = |plugin: &Plugin| plugin.included_file.clone().unwrap_or_else(|| file.display().to_string());
    let position_of =
        |path: &str, plugin: &Plugin| positions.find(path, &plugin.origin).map(|position| (file_of(plugin), position));
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
                // Invalid JSON has a position in the text, and no path.
                let locate = |at: TextPosition| positions.at(at.offset, &plugin.origin);
                let position = match error.position() {
                    Some(at) => locate(at).map(|position| (file_of(&plugin), position)),
                    None => position_of(&error.path, &plugin),
                };
                let related = error.related().and_then(locate);
                findings.push(Finding::of_error(error, position, related));
            }
            None
        }
    };
    for HostFault { path, message, position } in plugin.take_host_faults(loaded.as_ref()) {
        let position = position.or_else(|| position_of(&path, &plugin));
        findings.push(Finding { position, ..of_host(Severity::Fault, Some(path), message) });
    }
    if findings.iter().any(Finding::is_fault) {
        effective = None;
    }
    findings.extend(plugin.warnings.into_iter().map(|message| of_host(Severity::Warning, None, message)));
    Diagnostics { location: plugin.location, file: file.display().to_string(), findings, effective }
}
