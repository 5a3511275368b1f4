//! The operator's JSON document: [`load`] compiles it to a [`crate::policy::Policy`], or returns all errors at once.
//!
//! [`schema`] is the document as it is written, `decode` decodes it and collects errors, `compile` makes the policy, and
//! `reference` generates JSON Schema and documentation. No other module knows JSON documents.

mod compile;
mod decode;
mod error;
mod json_error;
mod json_scanner;
#[cfg(not(target_family = "wasm"))]
pub mod reference;
pub mod schema;
#[cfg(not(target_family = "wasm"))]
mod suggestions;

use crate::analysis::Warning;
use crate::jose::{JsonFault, JsonLimits, parse_object};
use crate::policy::Policy;

pub use error::{ConfigError, ConfigErrorKind, LineAndColumn, Path};
pub use json_error::{JsonCause, JsonError, TextPosition};

const LIMITS: JsonLimits = JsonLimits { depth: 64, members: 4096 };

#[derive(Debug)]
pub struct Loaded {
    pub policy: Policy,
    /// Warnings, to be logged at start; without those that the document allows.
    pub warnings: Vec<Warning>,
    /// How many settings with `insecure` in their names are on.
    pub insecure_settings: usize,
    /// Who verifies signatures.
    pub native_crypto: NativeCrypto,
}

/// Who verifies signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NativeCrypto {
    /// The host, for algorithms where it has the function and passes the self-test.
    #[default]
    Auto,
    /// The module.
    Off,
}

/// The host's environment variables, which hold the secrets.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// An environment without variables.
pub const fn no_environment(_: &str) -> Option<String> {
    None
}

/// Loads a configuration, with secrets from `environment`.
///
/// # Errors
/// All errors of the document in the order of its text, each with its path and a hint. None contains a value of the document.
pub fn load(document: &[u8], environment: &Environment<'_>) -> Result<Loaded, Vec<ConfigError>> {
    let root = error::Path::root();
    let text = document.trim_ascii();
    match text.first() {
        None => return Err(vec![root.error(ConfigErrorKind::Empty)]),
        Some(b'{') => {}
        Some(_) if json_scanner::begins_like_json(text) => {}
        Some(_) => return Err(vec![root.error(ConfigErrorKind::NotAStringValue)]),
    }
    let members = parse_object(text, LIMITS).map_err(|fault| vec![json_error(document.trim_ascii_end(), fault)])?;
    let mut errors = Vec::new();
    let document = decode::decode_object::<schema::Document>(&members, &root, &mut errors);
    let loaded = compile::document(document, &root, environment, &mut errors);
    match (errors.is_empty(), loaded) {
        (true, Some(loaded)) => Ok(loaded),
        _ => {
            #[cfg(not(target_family = "wasm"))]
            suggestions::add(&members, &reference::JSON_SCHEMA, &mut errors);
            Err(sorted(errors, text))
        }
    }
}

/// The cause of invalid JSON, with its position in the document as it was given.
fn json_error(document: &[u8], fault: JsonFault) -> ConfigError {
    let found = json_scanner::find(document, LIMITS);
    let (path, error) = found.unwrap_or_else(|| (error::Path::root(), JsonError::of_parser(fault)));
    path.error(ConfigErrorKind::Json(error))
}

/// Puts errors in the order of the text; one about a missing member is at the object that lacks it.
fn sorted(errors: Vec<ConfigError>, text: &[u8]) -> Vec<ConfigError> {
    let offsets = json_scanner::offsets(text, LIMITS);
    let offset = |error: &ConfigError| {
        let mut path = error.path.as_str();
        loop {
            if let Some(offset) = offsets.get(path) {
                return *offset;
            }
            let Some(parent) = path.rfind(['.', '[']).and_then(|end| path.get(..end)) else { return 0 };
            path = parent;
        }
    };
    // Errors are few, and a sort of the standard library is 10 kB of the module.
    let mut sorted: Vec<(usize, ConfigError)> = Vec::new();
    for error in errors {
        let offset = offset(&error);
        sorted.insert(sorted.partition_point(|(before, _)| *before <= offset), (offset, error));
    }
    sorted.into_iter().map(|(_, error)| error).collect()
}
