//! What can be wrong with a configuration, and where.

use std::fmt;

use crate::cel::CompileError;
use crate::jose::{JsonFault, KeySetFault};

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// Where: a JSON path, `$.providers.okta.audiences[0]`.
    pub path: String,
    /// What is wrong there.
    pub problem: ConfigProblem,
}

/// What is wrong at one place. The `&'static str`s are hints written in this crate: no value of the
/// document ever becomes part of a message, for it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigProblem {
    /// There is no configuration.
    Empty,
    /// The text is not JSON text: most likely a protobuf message of another type.
    NotAStringValue,
    /// Not JSON, or JSON with a member twice.
    Json(JsonFault),
    /// A field that does not exist here; perhaps this one was meant.
    UnknownField(Option<&'static str>),
    /// Another JSON type than this one is wanted.
    WrongType(&'static str),
    /// Needed and not there; what to write.
    Missing(&'static str),
    /// The right type, but a value that cannot be used; what would do.
    Unusable(&'static str),
    /// A key set in the configuration that cannot be used.
    Keys(KeySetFault),
    /// An environment variable of that name is not set, or empty. It looks like a name, and never like a value.
    Variable(String),
    /// A condition that cannot be used, and where in it.
    Condition(CompileError),
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.path)?;
        match &self.problem {
            ConfigProblem::Empty => formatter.write_str(
                "there is no configuration; set the plugin's `configuration` to a google.protobuf.StringValue that holds the JSON document",
            ),
            ConfigProblem::NotAStringValue => formatter.write_str(
                "this is not a JSON object; pass the document as google.protobuf.StringValue (a google.protobuf.Struct does not arrive as JSON)",
            ),
            ConfigProblem::Json(JsonFault::Syntax { line, column }) => {
                write!(formatter, "not valid JSON at line {line}, column {column}")
            }
            ConfigProblem::Json(JsonFault::DuplicateMember) => formatter.write_str("a member stands twice in one object; remove one of them"),
            ConfigProblem::Json(JsonFault::OverLimits) => formatter.write_str("nested too deeply, or too many members in one object"),
            ConfigProblem::Json(JsonFault::NotAnObject) => formatter.write_str("expected a JSON object"),
            ConfigProblem::UnknownField(None) => formatter.write_str("unknown field; remove it or check its spelling and place"),
            ConfigProblem::UnknownField(Some(near)) => write!(formatter, "unknown field; did you mean `{near}`?"),
            ConfigProblem::WrongType(wanted) => write!(formatter, "expected {wanted}"),
            ConfigProblem::Missing(hint) => write!(formatter, "missing; {hint}"),
            ConfigProblem::Unusable(hint) => formatter.write_str(hint),
            ConfigProblem::Variable(name) => write!(
                formatter,
                "the environment variable {name} is not set, or empty; on Envoy list it in vm_config.environment_variables.host_env_keys",
            ),
            ConfigProblem::Condition(fault) => write!(formatter, "{fault}"),
            ConfigProblem::Keys(KeySetFault::TooLarge) => formatter.write_str("the key set is too large"),
            ConfigProblem::Keys(KeySetFault::Malformed) => formatter.write_str("not a key set; expected {\"keys\": [...]} (RFC 7517)"),
            ConfigProblem::Keys(KeySetFault::NoUsableKey) => formatter.write_str(
                "no key here can verify a signature; wanted are public RSA (2048 bits or more), P-256, P-384, P-521 or Ed25519 keys",
            ),
        }
    }
}

/// A place in the document, as [`ConfigFault::path`] names it.
#[derive(Clone, Debug)]
pub struct Path(String);

impl Path {
    /// The whole document.
    pub fn root() -> Self {
        Self(String::from("$"))
    }

    /// The member `name` of this object. A name that is no plain word is quoted, its control bytes
    /// escaped and its length bounded: names come from the document too.
    pub fn member(&self, name: &str) -> Self {
        let plain = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte == b'$');
        let short: String = name.chars().take(64).collect();
        Self(if plain && short.len() == name.len() {
            format!("{}.{name}", self.0)
        } else {
            format!("{}[{short:?}]", self.0)
        })
    }

    /// The item `at` of this list.
    pub fn item(&self, at: usize) -> Self {
        Self(format!("{}[{at}]", self.0))
    }

    /// How it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn fault(&self, problem: ConfigProblem) -> ConfigFault {
        ConfigFault { path: self.0.clone(), problem }
    }

    /// Whether a fault was found here already: then what follows from it is not worth a second line.
    pub(super) fn is_reported(&self, faults: &[ConfigFault]) -> bool {
        let is_here_or_within =
            |path: &str| path.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        faults.iter().any(|fault| is_here_or_within(&fault.path))
    }

    /// Whether something around it is of a wrong type: then nothing is known of what it holds.
    pub(super) fn is_in_what_was_not_read(&self, faults: &[ConfigFault]) -> bool {
        let is_around = |path: &str| self.0.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
        faults.iter().any(|fault| matches!(fault.problem, ConfigProblem::WrongType(_)) && is_around(&fault.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn a_path_quotes_what_is_no_plain_word() {
        let path = Path::root().member("providers").member("a.b\n").member("audiences").item(2);
        assert_eq!(path.0, r#"$.providers["a.b\n"].audiences[2]"#);
        assert!(Path::root().member(&"x".repeat(5000)).0.len() < 100);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_was_not_read_silences_what_would_be_in_it() {
        let at = Path::root().member("ab");
        let faults = [at.item(1).fault(ConfigProblem::WrongType("an object"))];
        assert!(at.item(1).member("x").is_in_what_was_not_read(&faults));
        assert!(
            !at.item(1).is_in_what_was_not_read(&faults) && !at.item(12).member("x").is_in_what_was_not_read(&faults)
        );
        let faults = [at.item(1).fault(ConfigProblem::Empty)];
        assert!(!at.item(1).member("x").is_in_what_was_not_read(&faults));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_fault_silences_its_own_place_and_none_with_a_longer_name() {
        let at = Path::root().member("ab").item(10);
        let faults = [at.fault(ConfigProblem::Empty)];
        assert!(at.is_reported(&faults) && Path::root().member("ab").is_reported(&faults));
        assert!(!Path::root().member("a").is_reported(&faults));
        assert!(!Path::root().member("ab").item(1).is_reported(&faults));
    }
}
