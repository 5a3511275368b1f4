//! `check`: reports every fault of a configuration with its position, and every warning.

use std::path::Path;

use okta_proxy_wasm::config::{self, ConfigError};
use serde_json::{Value, json};

use crate::arguments::{Check, Format};
use crate::effective;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::plugin::{self, Plugin};
use crate::positions::{Position, Positions};
use crate::secrets::Secrets;
use crate::style::Style;

/// The result for one configuration.
struct Diagnostics {
    location: String,
    file: String,
    faults: Vec<(ConfigError, Option<Position>)>,
    warnings: Vec<String>,
    effective: Option<Value>,
}

pub fn run(arguments: &Check) -> Result<Outcome, Failure> {
    let secrets = Secrets::new(&arguments.secrets)?;
    let mut findings = Vec::new();
    for file in &arguments.files {
        for plugin in plugin::read(file)? {
            findings.push(diagnose(file, plugin, &secrets, arguments.effective)?);
        }
    }
    let is_bad =
        |finding: &Diagnostics| !finding.faults.is_empty() || arguments.deny_warnings && !finding.warnings.is_empty();
    let found = findings.iter().any(is_bad);
    match arguments.format {
        Format::Text => findings.iter().for_each(|finding| print_text(finding, Style::of_stdout())),
        Format::Json => {
            let configurations: Vec<Value> = findings.iter().map(as_json).collect();
            output::line(&format!("{:#}", json!({ "ok": !found, "configurations": configurations })));
        }
    }
    Ok(Outcome::negative_if(found))
}

fn diagnose(file: &Path, plugin: Plugin, secrets: &Secrets, wants_effective: bool) -> Result<Diagnostics, Failure> {
    let Plugin { location: place, text, document, origin, mut warnings } = plugin;
    let file = file.display().to_string();
    Ok(match config::load(text.as_bytes(), &secrets.environment(&document)) {
        Ok(loaded) => {
            let effective = wants_effective.then(|| effective::document(&document, &loaded));
            warnings.splice(0..0, loaded.warnings);
            Diagnostics { location: place, file, faults: Vec::new(), warnings, effective }
        }
        Err(faults) => {
            let positions = Positions::of(&text);
            let placed = faults.into_iter().map(|fault| {
                let position = positions.find(&fault.path, origin);
                (fault, position)
            });
            Diagnostics { location: place, file, faults: placed.collect(), warnings, effective: None }
        }
    })
}

fn print_text(finding: &Diagnostics, style: Style) {
    // With `--effective`, standard output contains only the effective configuration.
    if let Some(effective) = &finding.effective {
        for warning in &finding.warnings {
            eprintln!("{}: warning: {warning}", finding.location);
        }
        output::line(&format!("{effective:#}"));
        return;
    }
    if finding.faults.is_empty() {
        output::line(&format!("{}: {}", finding.location, style.good("no fault")));
    } else {
        let count = finding.faults.len();
        let faults = format!("{count} fault{}", if count == 1 { "" } else { "s" });
        output::line(&format!("{}: {}", finding.location, style.bad(&faults)));
    }
    for (fault, position) in &finding.faults {
        let place = position.map(|Position { line, column }| format!("{}:{line}:{column}: ", finding.file));
        output::line(&format!("  {}{fault}", style.faint(&place.unwrap_or_default())));
    }
    for warning in &finding.warnings {
        output::line(&format!("  {} {warning}", style.warning("warning:")));
    }
}

fn as_json(finding: &Diagnostics) -> Value {
    let faults: Vec<Value> = finding
        .faults
        .iter()
        .map(|(fault, position)| {
            let text = fault.to_string();
            let message = text.strip_prefix(&format!("{}: ", fault.path)).unwrap_or(&text);
            json!({
                "path": fault.path,
                "message": message,
                "line": position.map(|position| position.line),
                "column": position.map(|position| position.column),
            })
        })
        .collect();
    let mut members = json!({ "location": finding.location, "faults": faults, "warnings": finding.warnings });
    if let (Some(effective), Some(members)) = (&finding.effective, members.as_object_mut()) {
        members.insert(String::from("effective"), effective.clone());
    }
    members
}
