//! `import`: converts the configuration of another filter.
//!
//! The result is never more permissive than the original. A construct without an exact counterpart becomes stricter or
//! fails the import. A remark names each such construct.

mod draft;
mod envoy;
mod fields;
mod issuer;
mod istio;

use okta_proxy_wasm::analysis::Warning;
use okta_proxy_wasm::config;
use serde_json::Value;

use crate::arguments::{Import, ImportFrom};
use crate::document::Text;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::plugin::visit;

/// How a construct is converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The result allows fewer requests or forwards less.
    Stricter,
    /// It is not carried over, and no additional request is allowed.
    NotCarriedOver,
    /// The import fails.
    Fatal,
}

/// A construct that is not converted exactly.
#[derive(Debug)]
pub struct Remark {
    location: String,
    effect: Effect,
    message: String,
}

#[derive(Debug, Default)]
pub struct Remarks(Vec<Remark>);

impl Remarks {
    fn add(&mut self, effect: Effect, location: &str, message: impl Into<String>) {
        self.0.push(Remark { location: location.to_owned(), effect, message: message.into() });
    }

    pub fn stricter(&mut self, location: &str, message: impl Into<String>) {
        self.add(Effect::Stricter, location, message);
    }

    pub fn not_carried_over(&mut self, location: &str, message: impl Into<String>) {
        self.add(Effect::NotCarriedOver, location, message);
    }

    pub fn fatal(&mut self, location: &str, message: impl Into<String>) {
        self.add(Effect::Fatal, location, message);
    }

    fn has_fatal(&self) -> bool {
        self.0.iter().any(|remark| remark.effect == Effect::Fatal)
    }
}

pub fn run(arguments: &Import) -> Result<Outcome, Failure> {
    let documents = Text::read(&arguments.file)?.documents(&arguments.file)?;
    let documents: Vec<Value> = documents.into_iter().map(|document| document.value).collect();
    let mut remarks = Remarks::default();
    for document in &documents {
        visit(document, "$", &mut |at, value| {
            if let Some(why) = unsupported_product(value) {
                remarks.fatal(at, why);
            }
        });
    }
    let draft = match arguments.from {
        _ if remarks.has_fatal() => None,
        ImportFrom::EnvoyJwtAuthn => envoy::import(&documents, &mut remarks),
        ImportFrom::Istio => istio::import(&documents, &mut remarks),
    };
    let validated = draft.filter(|_| !remarks.has_fatal()).and_then(|document| validate(document, &mut remarks));
    for Remark { location, effect, message } in &remarks.0 {
        let effect = match effect {
            Effect::Stricter => "stricter here",
            Effect::NotCarriedOver => "not carried over",
            Effect::Fatal => "cannot be imported",
        };
        eprintln!("{location}: {effect}: {message}");
    }
    let Some((document, warnings)) = validated else { return Ok(Outcome::Negative) };
    warnings.iter().for_each(|warning| eprintln!("$: warning: {warning}"));
    output::line(&format!("{document:#}"));
    Ok(Outcome::Success)
}

/// The error for a resource of a product without an importer.
fn unsupported_product(resource: &Value) -> Option<&'static str> {
    let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_of_kong =
        resource.get("_format_version").is_some() || text("apiVersion").starts_with("configuration.konghq.com/");
    if is_of_kong {
        Some(
            "Kong's configuration is not imported: docs/guides/from-kong.md has a configuration of the filter for each of its settings",
        )
    } else if text("apiVersion").starts_with("gateway.envoyproxy.io/") && text("kind") == "SecurityPolicy" {
        Some(
            "SecurityPolicy of Envoy Gateway is not imported, because its routes are in other resources: write `jwt.providers` as providers and `authorization.rules` as rules, and attach the filter by an EnvoyExtensionPolicy with the same targetRefs",
        )
    } else {
        None
    }
}

/// Accepts the document only if the filter's loader accepts it.
fn validate(document: Value, remarks: &mut Remarks) -> Option<(Value, Vec<Warning>)> {
    match config::load(document.to_string().as_bytes(), &config::no_environment) {
        Ok(loaded) => Some((document, loaded.warnings)),
        Err(faults) => {
            for fault in faults {
                remarks.fatal("$", format!("the filter would reject the result: {fault}"));
            }
            None
        }
    }
}
