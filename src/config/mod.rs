//! The operator's JSON document; after this room nothing knows that there was JSON.
//!
//! [`load`] turns bytes into a [`crate::policy::Policy`] or into every fault at once. [`schema`] is the
//! document as it is written, `reading` how one is read without stopping at the first fault, `manual` describes it.

mod compile;
mod fault;
#[cfg(not(target_family = "wasm"))]
pub mod manual;
mod reading;
pub mod schema;

use crate::jose::{JsonLimits, parse_object};
use crate::policy::Policy;

pub use fault::{ConfigFault, ConfigProblem, Path};

const LIMITS: JsonLimits = JsonLimits { depth: 64, members: 4096 };

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// What the operator wants.
    pub policy: Policy,
    /// What the operator weakened: one line each, to be shown at start.
    pub warnings: Vec<String>,
    /// How many settings with `insecure` in their names are on.
    pub insecure_settings: usize,
    /// Who is to verify signatures.
    pub native_crypto: NativeCrypto,
}

/// Who verifies signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NativeCrypto {
    /// The host, as far as it can and is seen to do it rightly.
    #[default]
    Auto,
    /// The module.
    Off,
}

/// What the host's environment says under a name: secrets stand there, and not in the document.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// An environment in which nothing is set.
pub const fn no_environment(_: &str) -> Option<String> {
    None
}

/// Reads a configuration, whose secrets stand in `environment`.
///
/// # Errors
/// Every fault of the document, each with its path and a hint. No value of the document is in them.
pub fn load(document: &[u8], environment: &Environment<'_>) -> Result<Loaded, Vec<ConfigFault>> {
    let root = fault::Path::root();
    let text = document.trim_ascii();
    match text.first() {
        None => return Err(vec![root.fault(ConfigProblem::Empty)]),
        Some(b'{') => {}
        Some(_) => return Err(vec![root.fault(ConfigProblem::NotAStringValue)]),
    }
    let members = parse_object(text, LIMITS).map_err(|problem| vec![root.fault(ConfigProblem::Json(problem))])?;
    let mut faults = Vec::new();
    let document = reading::read_object::<schema::Document>(&members, &root, &mut faults);
    let loaded = compile::document(document, &root, environment, &mut faults);
    match (faults.is_empty(), loaded) {
        (true, Some(loaded)) => Ok(loaded),
        _ => Err(faults),
    }
}
