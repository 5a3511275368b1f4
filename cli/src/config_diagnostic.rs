//! A fault or a warning of a configuration, with its position in a file.

use std::borrow::Cow;

use okta_proxy_wasm::analysis::Warning;
use okta_proxy_wasm::config::ConfigError;

use crate::positions::Position;

/// Whether a diagnostic makes the configuration unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Fault,
    Warning,
}

/// A position, with its file.
pub type FilePosition = (String, Position);

/// A fault or a warning.
pub struct ConfigDiagnostic {
    pub severity: Severity,
    /// A stable name of the kind of diagnostic.
    pub code: &'static str,
    /// The path in the plugin's configuration or the host's, or the directive of the host.
    pub path: Option<String>,
    pub message: String,
    pub fix: Option<Cow<'static, str>>,
    /// The paths of the rules that cause it.
    pub caused_by: Vec<String>,
    pub position: Option<FilePosition>,
}

impl ConfigDiagnostic {
    /// `related` is the second position of the error, in the file.
    pub fn of_error(error: ConfigError, position: Option<FilePosition>, related: Option<Position>) -> Self {
        // Without a position of its own, the text has the one in the document.
        let message = if position.is_some() {
            error.message(related.map(|Position { line, column }| (line, column)))
        } else {
            let text = error.to_string();
            text.strip_prefix(&format!("{}: ", error.path)).unwrap_or(&text).to_owned()
        };
        Self {
            severity: Severity::Fault,
            code: error.kind.code(),
            path: Some(error.path),
            message,
            fix: None,
            caused_by: Vec::new(),
            position,
        }
    }

    pub fn of_warning(warning: &Warning, position: Option<FilePosition>) -> Self {
        Self {
            severity: Severity::Warning,
            code: warning.code.name(),
            path: Some(warning.path.as_str().to_owned()),
            message: warning.message.to_string(),
            fix: Some(warning.fix.into()),
            caused_by: warning.caused_by.iter().map(|path| path.as_str().to_owned()).collect(),
            position,
        }
    }

    pub const fn is_fault(&self) -> bool {
        matches!(self.severity, Severity::Fault)
    }

    /// Path and message.
    pub fn text(&self) -> String {
        let path = self.path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
        format!("{path}{}", self.message)
    }
}
