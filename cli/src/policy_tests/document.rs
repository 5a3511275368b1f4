//! The file of cases. Unknown fields are rejected: a misspelt expectation would always hold.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::document::{self, Document};
use crate::failure::Failure;
use crate::positions::{Position, Positions, member_path};

/// Time claims, which may be relative to now.
pub const TIME_CLAIMS: [&str; 4] = ["exp", "iat", "nbf", "auth_time"];

const AUDIT_RECORD: &str = include_str!("../../../docs/audit-record.schema.json");

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
    /// Reads the cases and their positions, or returns all their faults.
    pub fn read(path: &Path) -> Result<(Self, Positions), Failure> {
        let document = document::read_one(path)?;
        let suite: Self =
            serde_path_to_error::deserialize(&document.value).map_err(|error| fault(path, &document, &error))?;
        let mut faults = Vec::new();
        if suite.cases.is_empty() {
            faults.push(String::from("no cases"));
        }
        for (at, case) in suite.cases.iter().enumerate() {
            let mut add = |fault: &str| faults.push(format!("{:?} {fault}", case.name));
            let is_same = |other: &Case| other.name == case.name;
            if suite.cases.iter().take(at).any(is_same) {
                add("is the name of an earlier case too");
            }
            if case.expect.decision.is_none() && case.expect.status.is_none() {
                add("expects neither a `decision` nor a `status`");
            }
            if case.token.is_some() && case.token_text.is_some() {
                add("has a `token` and a `token_text`");
            }
        }
        reported(path, faults)?;
        Ok((suite, document.positions))
    }

    /// Rejects expectations that no decision can meet: an unknown reason, or a rule that the policy does not have.
    pub fn check_names(&self, path: &Path, rules: &[&str]) -> Result<(), Failure> {
        let reasons = reasons();
        let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
        let mut faults = Vec::new();
        for case in &self.cases {
            let expect = &case.expect;
            for (member, name, known) in [
                ("reason", &expect.reason, &reasons[..]),
                ("would_deny", &expect.would_deny, &reasons[..]),
                ("rule", &expect.rule, rules),
            ] {
                if let Some(Some(name)) = name
                    && !known.contains(&name.as_str())
                {
                    let near = nearest(name, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                    faults.push(format!("{:?} expects the unknown {member} {name:?}{near}", case.name));
                }
            }
        }
        reported(path, faults)
    }
}

/// The fault of a value of another type, with its path and position.
fn fault(path: &Path, document: &Document, error: &serde_path_to_error::Error<serde_json::Error>) -> Failure {
    let at = error.path().iter().fold(String::from("$"), |at, segment| match segment {
        Segment::Seq { index } => format!("{at}[{index}]"),
        Segment::Map { key } => member_path(&at, key),
        Segment::Enum { .. } | Segment::Unknown => at,
    });
    let position = document.positions.find(&at);
    let position = position.map(|Position { line, column }| format!("{line}:{column}: ")).unwrap_or_default();
    Failure(format!("{}:{position}{at}: {}", path.display(), with_suggestion(&error.inner().to_string())))
}

fn reported(path: &Path, faults: Vec<String>) -> Result<(), Failure> {
    match faults.as_slice() {
        [] => Ok(()),
        [fault] => Err(Failure::of_file(path, fault)),
        faults => {
            let lines: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
            Err(Failure::of_file(path, lines.concat()))
        }
    }
}

/// Every reason of a decision, as the schema of audit records lists them.
fn reasons() -> Vec<String> {
    let schema: Value = serde_json::from_str(AUDIT_RECORD).unwrap_or_default();
    let lists = schema.pointer("/properties/reason/anyOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let names = lists.iter().filter_map(|list| list.get("enum")?.as_array());
    names.flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The message of an unknown field or variant, which lists the known ones, with the one that is likely to be meant.
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let is_about_name = message.contains("unknown field `") || message.contains("unknown variant `");
    let name = quoted.next().filter(|_| is_about_name).unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    match nearest(name, &known) {
        Some(near) => format!("{message}; did you mean `{near}`?"),
        None => message.to_owned(),
    }
}

/// The known name that `name` is likely to mean.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let similarity = |known: &str| strsim::jaro_winkler(name, known);
    let best = known.iter().copied().max_by(|one, other| similarity(one).total_cmp(&similarity(other)))?;
    (similarity(best) > 0.8).then_some(best)
}
