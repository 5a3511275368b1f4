//! The file of cases. Unknown fields are rejected: a misspelt expectation would always hold.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::failure::Failure;

/// Time claims, which may be relative to now.
pub const TIME_CLAIMS: [&str; 4] = ["exp", "iat", "nbf", "auth_time"];

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// The configuration file, relative to this file.
    pub config: String,
    /// Defaults of all cases.
    #[serde(default)]
    pub defaults: Defaults,
    /// The cases.
    pub cases: Vec<Case>,
}

/// Defaults of all cases, which a case can override.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// The host of requests without one.
    pub host: Option<String>,
    /// The time of evaluation.
    pub at: Option<String>,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// Claims of every token, in addition to issuer, audience and times of a valid one.
    #[serde(default)]
    pub token: Map<String, Value>,
}

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The description.
    pub name: String,
    /// Method and URL, or method and path.
    pub request: String,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// Claims of the token, which override the defaults; `null` removes a claim. Unset: no token.
    pub token: Option<Map<String, Value>>,
    /// The token itself.
    pub token_text: Option<String>,
    /// The provider that issues the token; required with several providers.
    pub signed_by: Option<String>,
    /// The introspection response; without `token` the token is an opaque one.
    pub introspection: Option<Map<String, Value>>,
    /// Entries of the revocation list.
    pub revoked: Option<Vec<Value>>,
    /// Host attributes for conditions.
    #[serde(default)]
    pub attributes: BTreeMap<String, Value>,
    /// The time of evaluation.
    pub at: Option<String>,
    /// The expected result.
    pub expect: Expectation,
}

/// One value of a header, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Values {
    One(String),
    Several(Vec<String>),
}

impl Values {
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

/// The expected decision.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedDecision {
    Allow,
    Deny,
    /// The filter itself responds, for example on `readiness_path`.
    LocalResponse,
}

impl ExpectedDecision {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::LocalResponse => "local_response",
        }
    }
}

/// The expected result. `null` means absent; an unset field is not compared.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The decision.
    pub decision: Option<ExpectedDecision>,
    /// The status of a denial.
    pub status: Option<u16>,
    /// The reason code.
    #[serde(default, deserialize_with = "double_option")]
    pub reason: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    pub rule: Option<Option<String>>,
    /// The reason for which a rule with `report_only` would deny the request.
    #[serde(default, deserialize_with = "double_option")]
    pub would_deny: Option<Option<String>>,
    /// `WWW-Authenticate`.
    #[serde(default, deserialize_with = "double_option")]
    pub challenge: Option<Option<String>>,
    /// Headers that are forwarded to the backend.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    /// Headers of the denial's response.
    #[serde(default)]
    pub response: BTreeMap<String, Option<String>>,
}

/// Distinguishes `null` from an unset field.
fn double_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Suite {
    pub fn read(path: &Path, text: &str) -> Result<Self, Failure> {
        let suite: Self = yaml_serde::from_str(text).map_err(|error| Failure::of_file(path, error))?;
        let is_named_twice = |case: &&Case| suite.cases.iter().filter(|other| other.name == case.name).count() > 1;
        if let Some(case) = suite.cases.iter().find(is_named_twice) {
            return Err(Failure::of_file(path, format!("two cases have the name {:?}", case.name)));
        }
        for case in &suite.cases {
            let expect = &case.expect;
            if expect.decision.is_none() && expect.status.is_none() {
                let why = format!("{:?} expects neither a `decision` nor a `status`", case.name);
                return Err(Failure::of_file(path, why));
            }
            if case.token.is_some() && case.token_text.is_some() {
                return Err(Failure::of_file(path, format!("{:?} has a `token` and a `token_text`", case.name)));
            }
        }
        if suite.cases.is_empty() {
            return Err(Failure::of_file(path, "no cases"));
        }
        Ok(suite)
    }
}
