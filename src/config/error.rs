//! The errors of a configuration.

use std::fmt;

use crate::cel::CompileError;
use crate::jose::{JsonFault, KeySetFault};
pub use crate::json_path::Path;

/// An error of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The JSON path, `$.providers.okta.audiences[0]`.
    pub path: String,
    pub kind: ConfigErrorKind,
}

/// The kind of an error. The `&'static str`s are hints written in this crate: no message contains a value of the document,
/// which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigErrorKind {
    Empty,
    /// Not JSON: most likely a protobuf message of another type.
    NotAStringValue,
    /// Invalid JSON, or an object with a duplicate member.
    Json(JsonFault),
    /// An unknown field, with the one that may be meant.
    UnknownField(Option<&'static str>),
    /// An unknown warning code, with the one that may be meant.
    UnknownWarning(Option<&'static str>),
    /// Another JSON type than the expected one.
    WrongType(&'static str),
    /// A missing field, with what to write.
    Missing(&'static str),
    /// An invalid value of the right type, with valid ones.
    Invalid(&'static str),
    /// An invalid inline key set.
    Keys(KeySetFault),
    /// An unset or empty environment variable. Only what looks like a name is shown.
    Variable(String),
    /// An invalid condition, with the position in it.
    Condition(CompileError),
}

impl ConfigErrorKind {
    /// The name of the kind, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "no_configuration",
            Self::NotAStringValue => "not_a_string_value",
            Self::Json(_) => "invalid_json",
            Self::UnknownField(_) => "unknown_field",
            Self::UnknownWarning(_) => "unknown_warning",
            Self::WrongType(_) => "wrong_type",
            Self::Missing(_) => "missing_field",
            Self::Invalid(_) => "invalid_value",
            Self::Keys(_) => "invalid_keys",
            Self::Variable(_) => "unset_variable",
            Self::Condition(_) => "invalid_condition",
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.path)?;
        match &self.kind {
            ConfigErrorKind::Empty => formatter.write_str(
                "there is no configuration; set the plugin's `configuration` to a google.protobuf.StringValue that holds the JSON document",
            ),
            ConfigErrorKind::NotAStringValue => formatter.write_str(
                "this is not a JSON object; pass the document as google.protobuf.StringValue (a google.protobuf.Struct does not arrive as JSON)",
            ),
            ConfigErrorKind::Json(JsonFault::Syntax { line, column }) => {
                write!(formatter, "not valid JSON at line {line}, column {column}")
            }
            ConfigErrorKind::Json(JsonFault::DuplicateMember) => formatter.write_str("a member stands twice in one object; remove one of them"),
            ConfigErrorKind::Json(JsonFault::OverLimits) => formatter.write_str("nested too deeply, or too many members in one object"),
            ConfigErrorKind::Json(JsonFault::NotAnObject) => formatter.write_str("expected a JSON object"),
            ConfigErrorKind::UnknownField(None) => formatter.write_str("unknown field; remove it or check its spelling and place"),
            ConfigErrorKind::UnknownField(Some(near)) => write!(formatter, "unknown field; did you mean `{near}`?"),
            ConfigErrorKind::UnknownWarning(None) => formatter.write_str("unknown warning code; docs/policy-analysis.md lists them"),
            ConfigErrorKind::UnknownWarning(Some(near)) => write!(formatter, "unknown warning code; did you mean `{near}`?"),
            ConfigErrorKind::WrongType(expected) => write!(formatter, "expected {expected}"),
            ConfigErrorKind::Missing(hint) => write!(formatter, "missing; {hint}"),
            ConfigErrorKind::Invalid(hint) => formatter.write_str(hint),
            ConfigErrorKind::Variable(name) => write!(
                formatter,
                "the environment variable {name} is not set, or empty; on Envoy list it in vm_config.environment_variables.host_env_keys",
            ),
            ConfigErrorKind::Condition(error) => write!(formatter, "{error}"),
            ConfigErrorKind::Keys(KeySetFault::TooLarge) => formatter.write_str("the key set is too large"),
            ConfigErrorKind::Keys(KeySetFault::Malformed) => formatter.write_str("not a key set; expected {\"keys\": [...]} (RFC 7517)"),
            ConfigErrorKind::Keys(KeySetFault::NoUsableKey) => formatter.write_str(
                "no key here can verify a signature; wanted are public RSA (2048 bits or more), P-256, P-384, P-521 or Ed25519 keys",
            ),
        }
    }
}

impl Path {
    pub(super) fn error(&self, kind: ConfigErrorKind) -> ConfigError {
        ConfigError { path: self.as_str().to_owned(), kind }
    }

    /// Whether there is an error here or inside already, so that one that follows from it is not added.
    pub(super) fn is_reported(&self, errors: &[ConfigError]) -> bool {
        let is_here_or_within = |path: &str| {
            path.strip_prefix(self.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        errors.iter().any(|error| is_here_or_within(&error.path))
    }

    /// Whether a value around it has a wrong type, so that its content is unknown.
    pub(super) fn is_inside_undecoded(&self, errors: &[ConfigError]) -> bool {
        let is_around = |path: &str| self.as_str().strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
        errors.iter().any(|error| matches!(error.kind, ConfigErrorKind::WrongType(_)) && is_around(&error.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_a_wrong_type_suppresses_errors_inside_it() {
        let at = Path::root().member("ab");
        let errors = [at.item(1).error(ConfigErrorKind::WrongType("an object"))];
        assert!(at.item(1).member("x").is_inside_undecoded(&errors));
        assert!(!at.item(1).is_inside_undecoded(&errors) && !at.item(12).member("x").is_inside_undecoded(&errors));
        let errors = [at.item(1).error(ConfigErrorKind::Empty)];
        assert!(!at.item(1).member("x").is_inside_undecoded(&errors));
    }

    #[test]
    fn an_error_suppresses_others_at_its_path_and_none_at_a_longer_name() {
        let at = Path::root().member("ab").item(10);
        let errors = [at.error(ConfigErrorKind::Empty)];
        assert!(at.is_reported(&errors) && Path::root().member("ab").is_reported(&errors));
        assert!(!Path::root().member("a").is_reported(&errors));
        assert!(!Path::root().member("ab").item(1).is_reported(&errors));
    }
}
