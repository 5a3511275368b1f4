//! What a backend reports of one operation that it executed.

use serde::Deserialize;

/// One line of a backend's report. Each list has what the framework gives for the name; empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Execution {
    /// The `x-attempt` of the request.
    pub attempt: String,
    /// The handler that ran; `none` if the framework found none.
    pub operation: String,
    /// The canonical path of what was done, made of the handler's own pattern and its decoded parts.
    pub path: Option<String>,
    /// The method that the handler stands for.
    pub method: String,
    /// The host as the framework gives it.
    pub host: String,
    /// The virtual host of Envoy that routed the request.
    pub virtual_host: Vec<String>,
    /// The identity header `x-user-id`.
    pub user: Vec<String>,
    /// The identity header `x-groups`.
    pub groups: Vec<String>,
    /// The header `authorization`.
    pub authorization: Vec<String>,
    /// The query parameter `access_token`.
    pub param: Vec<String>,
    /// The cookie `access_token`.
    pub cookie: Vec<String>,
}

impl Execution {
    /// Reads a line of a report.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}
