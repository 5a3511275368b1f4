//! `import`: what another filter's configuration means, as one of ours.
//!
//! Never more permissive than what it is made from: what cannot be said as strictly is said more strictly, or there is no
//! result. Each such place is named.

mod draft;
mod envoy;
mod fields;
mod issuer;
mod istio;

use okta_proxy_wasm::config;
use serde_json::Value;

use crate::arguments::{Import, ImportFrom};
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::output;
use crate::plugin::{visit, yaml_documents};

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The result lets less pass, or hands less over.
    Stricter,
    /// It is not carried over, and lets nothing more pass.
    Left,
    /// There is no result.
    Fatal,
}

/// Something that does not carry over as it is.
#[derive(Debug)]
pub struct Remark {
    place: String,
    effect: Effect,
    says: String,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Remarks(Vec<Remark>);

impl Remarks {
    fn add(&mut self, effect: Effect, place: &str, says: impl Into<String>) {
        self.0.push(Remark { place: place.to_owned(), effect, says: says.into() });
    }

    /// What lets less pass here.
    pub fn stricter(&mut self, place: &str, says: impl Into<String>) {
        self.add(Effect::Stricter, place, says);
    }

    /// What is not carried over.
    pub fn left(&mut self, place: &str, says: impl Into<String>) {
        self.add(Effect::Left, place, says);
    }

    /// What leaves no result.
    pub fn fatal(&mut self, place: &str, says: impl Into<String>) {
        self.add(Effect::Fatal, place, says);
    }

    fn has_fatal(&self) -> bool {
        self.0.iter().any(|remark| remark.effect == Effect::Fatal)
    }
}

/// Imports the file.
pub fn run(arguments: &Import) -> Result<Outcome, Failure> {
    let documents = yaml_documents(&arguments.file, &input::read_text(&arguments.file)?)?;
    let mut remarks = Remarks::default();
    for document in &documents {
        visit(document, "$", &mut |at, value| {
            if let Some(why) = of_another_product(value) {
                remarks.fatal(at, why);
            }
        });
    }
    let drafted = match arguments.from {
        _ if remarks.has_fatal() => None,
        ImportFrom::EnvoyJwtAuthn => envoy::import(&documents, &mut remarks),
        ImportFrom::Istio => istio::import(&documents, &mut remarks),
    };
    let accepted = drafted.filter(|_| !remarks.has_fatal()).and_then(|document| accepted(document, &mut remarks));
    for Remark { place, effect, says } in &remarks.0 {
        let effect = match effect {
            Effect::Stricter => "stricter here",
            Effect::Left => "not carried over",
            Effect::Fatal => "cannot be imported",
        };
        eprintln!("{place}: {effect}: {says}");
    }
    let Some((document, warnings)) = accepted else { return Ok(Outcome::Found) };
    warnings.iter().for_each(|warning| eprintln!("$: warning: {warning}"));
    output::line(&format!("{document:#}"));
    Ok(Outcome::Fine)
}

/// Why a resource of a product without an importer has no result.
fn of_another_product(resource: &Value) -> Option<&'static str> {
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

/// What the filter itself would load.
fn accepted(document: Value, remarks: &mut Remarks) -> Option<(Value, Vec<String>)> {
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
