//! The file of cases as it is written. What is not known here is refused: a misspelt expectation would hold.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::failure::Failure;

/// The claims that are times, and may be written relative to now.
pub const TIMES: [&str; 4] = ["exp", "iat", "nbf", "auth_time"];

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// The configuration, beside this file.
    pub config: String,
    /// What is the same in all cases.
    #[serde(default)]
    pub defaults: Defaults,
    /// The cases.
    pub cases: Vec<Case>,
}

/// What is the same in all cases unless they say otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// The host of requests that are written with a path only.
    pub host: Option<String>,
    /// The time.
    pub at: Option<String>,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// Claims of every token, over issuer, audience and times of a good one.
    #[serde(default)]
    pub token: Map<String, Value>,
}

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in words.
    pub name: String,
    /// Method and URL, or method and path.
    pub request: String,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// Claims of the token, over the defaults; `null` takes one away. Left out: no token.
    pub token: Option<Map<String, Value>>,
    /// The token itself, as it is.
    pub token_text: Option<String>,
    /// The provider that issues the token, where there are several.
    pub signed_by: Option<String>,
    /// What the issuer says when it is asked; without `token` the token is an opaque one.
    pub introspection: Option<Map<String, Value>>,
    /// Entries of the list of revoked tokens.
    pub revoked: Option<Vec<Value>>,
    /// What conditions ask of the host.
    #[serde(default)]
    pub attributes: BTreeMap<String, Value>,
    /// The time.
    pub at: Option<String>,
    /// What is to come of it.
    pub expect: Expectation,
}

/// A header's value, or several lines of it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Values {
    /// Each of them.
    pub fn each(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

/// Whether a request passes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedDecision {
    /// It does.
    Allow,
    /// It does not.
    Deny,
    /// The filter itself was asked.
    LocalResponse,
}

impl ExpectedDecision {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::LocalResponse => "local_response",
        }
    }
}

/// What is to come of a case; `null` is expected not to be there, and what is left out does not matter.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Whether it passes.
    pub decision: Option<ExpectedDecision>,
    /// The status of a refusal.
    pub status: Option<u16>,
    /// The reason, as the log has it.
    #[serde(default, deserialize_with = "written")]
    pub reason: Option<Option<String>>,
    /// The rule's name.
    #[serde(default, deserialize_with = "written")]
    pub rule: Option<Option<String>>,
    /// What a rule on trial would refuse it for.
    #[serde(default, deserialize_with = "written")]
    pub would_deny: Option<Option<String>>,
    /// `WWW-Authenticate`.
    #[serde(default, deserialize_with = "written")]
    pub challenge: Option<Option<String>>,
    /// Headers that reach the backend.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    /// Headers of the refusal.
    #[serde(default)]
    pub response: BTreeMap<String, Option<String>>,
}

/// Tells `null` from what was left out.
fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Suite {
    /// Reads a file.
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
