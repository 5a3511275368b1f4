//! The errors of a configuration.

use std::fmt;

use super::json_error::{JsonError, TextPosition};
use crate::cel::CompileError;
use crate::jose::KeySetFault;
pub use crate::json_path::Path;

/// An error of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The JSON path, `$.providers.okta.audiences[0]`.
    pub path: String,
    pub kind: ConfigErrorKind,
    /// What to write instead, from names and forms that this crate knows. Only the command-line tool has it.
    pub suggestion: Option<String>,
}

/// The kind of an error. The `&'static str`s are hints written in this crate: no message contains a value of the document,
/// which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigErrorKind {
    Empty,
    /// Not JSON: most likely a protobuf message of another type.
    NotAStringValue,
    /// Invalid JSON, or an object with a duplicate member.
    Json(JsonError),
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

/// A line and a column, from 1.
pub type LineAndColumn = (usize, usize);

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line_and_column = |position: TextPosition| (position.line, position.column);
        write!(formatter, "{}: ", self.path)?;
        self.write(formatter, self.position().map(line_and_column), self.related().map(line_and_column))
    }
}

impl ConfigError {
    /// The position of invalid JSON. Other errors have the one of their path.
    pub const fn position(&self) -> Option<TextPosition> {
        if let ConfigErrorKind::Json(error) = &self.kind { Some(error.position) } else { None }
    }

    /// A second position that invalid JSON has to do with, such as that of the bracket that is not closed.
    pub const fn related(&self) -> Option<TextPosition> {
        if let ConfigErrorKind::Json(error) = &self.kind { error.related } else { None }
    }

    /// The message without path and position, for a tool that shows them in its own way; several lines for a condition, of
    /// which it shows a part.
    #[cfg(not(target_family = "wasm"))]
    pub fn message(&self, related: Option<LineAndColumn>) -> String {
        if let ConfigErrorKind::Condition(error) = &self.kind {
            return error.message_with_excerpt();
        }
        let mut message = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut message, None, related);
        message
    }

    /// Writes the message without the path.
    fn write(
        &self,
        formatter: &mut impl fmt::Write,
        position: Option<LineAndColumn>,
        related: Option<LineAndColumn>,
    ) -> fmt::Result {
        match (&self.kind, &self.suggestion) {
            // Instead of the nearest name in the same object.
            (ConfigErrorKind::UnknownField(_), Some(suggestion)) => write!(formatter, "unknown field; {suggestion}"),
            (kind, None) => kind.write(formatter, position, related),
            (kind, Some(suggestion)) => {
                kind.write(formatter, position, related)?;
                write!(formatter, "; {suggestion}")
            }
        }
    }
}

impl ConfigErrorKind {
    fn write(
        &self,
        formatter: &mut impl fmt::Write,
        position: Option<LineAndColumn>,
        related: Option<LineAndColumn>,
    ) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str(
                "there is no configuration; set the plugin's `configuration` to a google.protobuf.StringValue that holds the JSON document",
            ),
            Self::NotAStringValue => formatter.write_str(
                "this is not a JSON object; pass the document as google.protobuf.StringValue (a google.protobuf.Struct does not arrive as JSON)",
            ),
            Self::Json(error) => error.write(formatter, position, related),
            Self::UnknownField(None) => formatter.write_str("unknown field; remove it or check its spelling and place"),
            Self::UnknownField(Some(near)) => write!(formatter, "unknown field; did you mean `{near}`?"),
            Self::UnknownWarning(None) => formatter.write_str("unknown warning code; docs/policy-analysis.md lists them"),
            Self::UnknownWarning(Some(near)) => write!(formatter, "unknown warning code; did you mean `{near}`?"),
            Self::WrongType(expected) => write!(formatter, "expected {expected}"),
            Self::Missing(hint) => write!(formatter, "missing; {hint}"),
            Self::Invalid(hint) => formatter.write_str(hint),
            Self::Variable(name) => write!(
                formatter,
                "the environment variable {name} is not set, or empty; on Envoy list it in vm_config.environment_variables.host_env_keys",
            ),
            Self::Condition(error) => write!(formatter, "{error}"),
            Self::Keys(KeySetFault::TooLarge) => formatter.write_str("the key set is too large"),
            Self::Keys(KeySetFault::Malformed) => formatter.write_str("not a key set; expected {\"keys\": [...]} (RFC 7517)"),
            Self::Keys(KeySetFault::NoUsableKey) => formatter.write_str(
                "no key here can verify a signature; wanted are public RSA (2048 bits or more), P-256, P-384, P-521 or Ed25519 keys",
            ),
        }
    }
}

impl Path {
    pub(super) fn error(&self, kind: ConfigErrorKind) -> ConfigError {
        ConfigError { path: self.as_str().to_owned(), kind, suggestion: None }
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
