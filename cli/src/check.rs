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
    let mut results = Vec::new();
    for file in &arguments.files {
        for plugin in plugin::read(file)? {
            results.push(diagnose(file, plugin, &secrets, arguments.effective)?);
        }
    }
    let fails =
        |result: &Diagnostics| !result.faults.is_empty() || arguments.deny_warnings && !result.warnings.is_empty();
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

fn diagnose(file: &Path, plugin: Plugin, secrets: &Secrets, wants_effective: bool) -> Result<Diagnostics, Failure> {
    let Plugin { location, text, document, origin, mut warnings } = plugin;
    let file = file.display().to_string();
    Ok(match config::load(text.as_bytes(), &secrets.environment(&document)) {
        Ok(loaded) => {
            let effective = wants_effective.then(|| effective::document(&document, &loaded));
            warnings.splice(0..0, loaded.warnings);
            Diagnostics { location, file, faults: Vec::new(), warnings, effective }
        }
        Err(faults) => {
            let positions = Positions::of(&text);
            let located = faults.into_iter().map(|fault| {
                let position = positions.find(&fault.path, origin);
                (fault, position)
            });
            Diagnostics { location, file, faults: located.collect(), warnings, effective: None }
        }
    })
}

fn print_text(result: &Diagnostics, style: Style) {
    // With `--effective`, standard output contains only the effective configuration.
    if let Some(effective) = &result.effective {
        for warning in &result.warnings {
            eprintln!("{}: warning: {warning}", result.location);
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
    for (fault, position) in &result.faults {
        let location = position.map(|Position { line, column }| format!("{}:{line}:{column}: ", result.file));
        output::line(&format!("  {}{fault}", style.faint(&location.unwrap_or_default())));
    }
    for warning in &result.warnings {
        output::line(&format!("  {} {warning}", style.warning("warning:")));
    }
}

fn as_json(result: &Diagnostics) -> Value {
    let faults: Vec<Value> = result
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
    let mut members = json!({ "location": result.location, "faults": faults, "warnings": result.warnings });
    if let (Some(effective), Some(members)) = (&result.effective, members.as_object_mut()) {
        members.insert(String::from("effective"), effective.clone());
    }
    members
}
