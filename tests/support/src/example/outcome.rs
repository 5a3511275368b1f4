//! The outcome of a row of `requests.json`, and its differences from the row.

use std::collections::BTreeMap;

use serde_json::Value;

use super::row::Row;
use crate::faults::Faults;
use crate::http1::{Headers, Received, Response};

/// What happened, everywhere.
pub struct Outcome {
    /// An answer for each time it was sent; `None` where the connection was refused.
    pub(super) answers: Vec<Option<Response>>,
    /// By cluster, what its backend got.
    pub(super) received: BTreeMap<String, Vec<Received>>,
    /// What the filter logged of its refusals.
    pub(super) records: Vec<Value>,
    /// How often issuers were asked about tokens.
    pub(super) introspections: u64,
    /// What Envoy wrote into its access log, if that is JSON and a row asks for it.
    pub(super) access_log: Vec<Value>,
}

impl Outcome {
    /// What is not as the row says.
    pub fn faults(&self, row: &Row) -> Vec<String> {
        let mut faults = Faults::default();
        let expected = if row.handshake_fails { None } else { row.status };
        for answer in &self.answers {
            faults.expect("the status", &expected, &answer.as_ref().map(|response| response.status));
            let Some(response) = answer else { continue };
            faults.expect("the challenge", &row.challenge, &response.header("www-authenticate"));
            for (name, value) in &row.response {
                faults.expect(&format!("{name} of the answer"), &one_or_none(value), &response.headers(name));
            }
            let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            for (name, value) in &row.response_json {
                faults.expect(&format!("{name} in the answer's body"), value, &body[name]);
            }
        }
        let received: Vec<_> = self.received().collect();
        faults.expect("how often a backend was asked", &row.expected_forwarded(), &received.len());
        for (cluster, request) in received {
            if let Some(reached) = &row.reaches {
                faults.expect("the backend that was reached", reached, cluster);
            }
            for (name, value) in &row.backend {
                faults.expect(&format!("{name} at the backend"), &one_or_none(value), &values(&request.headers, name));
            }
        }
        if let Some(expected) = row.introspections {
            faults.expect("how often the issuers were asked", &expected, &self.introspections);
        }
        for (member, expected) in [("reason", &row.reason), ("would_deny", &row.would_deny)] {
            let found: Vec<_> = self.audit_values(member);
            let expected: Vec<_> = expected.iter().flat_map(|reason| vec![reason.as_str(); row.times]).collect();
            faults.expect(&format!("{member} in the log"), &expected, &found);
        }
        if !row.access_log.is_empty() {
            faults.expect("the lines in the access log", &self.answers.len(), &self.access_log.len());
        }
        for line in &self.access_log {
            for (name, value) in &row.access_log {
                faults.expect(&format!("{name} in the access log"), value, &line[name]);
            }
        }
        faults.0
    }

    /// The status of the last answer.
    pub fn status(&self) -> String {
        let Some(Some(response)) = self.answers.last() else { return "the TLS handshake fails".to_owned() };
        response.status.to_string()
    }

    /// The last answer's challenge and nonce and the header fields that the row speaks of, and of its body and of the access log the
    /// members that it speaks of, and how often the issuers were asked where it speaks of that.
    pub fn details(&self, row: &Row) -> Vec<String> {
        let Some(Some(response)) = self.answers.last() else { return Vec::new() };
        let mut lines = field_lines("WWW-Authenticate", response.headers("www-authenticate"));
        lines.extend(field_lines("DPoP-Nonce", response.headers("dpop-nonce")));
        lines.extend(row.response.keys().flat_map(|name| field_lines_or_none(name, response.headers(name))));
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        lines.extend(row.response_json.keys().map(|name| format!("{name:?}: {}", body[name])));
        lines.extend(row.introspections.map(|_| match self.introspections {
            0 => "the issuer is not asked".to_owned(),
            1 => "the issuer is asked once".to_owned(),
            many => format!("the issuer is asked {many} times"),
        }));
        let asked_for = self.access_log.last().filter(|_| !row.access_log.is_empty());
        lines.extend(asked_for.map(|line| {
            let told = |name: &String| format!("{name}={}", line[name]);
            format!("access log: {}", row.access_log.keys().map(told).collect::<Vec<_>>().join(" "))
        }));
        lines
    }

    /// What reached a backend: where, if there are several, and the header fields in `names`; which are not there of those
    /// that the row speaks of.
    pub fn seen(&self, row: &Row, names: &[String]) -> String {
        let Some((cluster, request)) = self.received().last() else { return "nothing".to_owned() };
        let told = |name: &String| match row.backend.contains_key(name) {
            true => field_lines_or_none(name, values(&request.headers, name)),
            false => field_lines(name, values(&request.headers, name)),
        };
        let mut lines: Vec<String> = names.iter().flat_map(told).collect();
        if self.received.len() > 1 {
            lines.insert(0, format!("at {cluster}:"));
        }
        match self.received().count() / self.answers.len() {
            0 | 1 => {}
            tries => lines.insert(0, format!("it {tries} times")),
        }
        if lines.is_empty() {
            lines.push("it, without an identity".to_owned());
        }
        lines.join("\n")
    }

    /// The reason in the filter's log.
    pub fn reason(&self) -> String {
        let would_deny = self.audit_values("would_deny").last().map(|reason| format!("on trial: {reason}"));
        let reason = self.audit_values("reason").last().map(|reason| (*reason).to_owned());
        would_deny.or(reason).unwrap_or_else(|| "-".to_owned())
    }

    /// Whether a backend was asked.
    pub fn was_forwarded(&self) -> bool {
        self.received().next().is_some()
    }

    fn received(&self) -> impl Iterator<Item = (&String, &Received)> {
        self.received.iter().flat_map(|(cluster, requests)| requests.iter().map(move |request| (cluster, request)))
    }

    /// What the log says under a name; of what passes on trial, `reason` only says so.
    fn audit_values(&self, member: &str) -> Vec<&str> {
        let is_told = |record: &&Value| member != "reason" || record["decision"] == "deny";
        self.records.iter().filter(is_told).filter_map(|record| record[member].as_str()).collect()
    }
}

fn one_or_none(value: &Option<String>) -> Vec<String> {
    value.iter().cloned().collect()
}

fn values(headers: &Headers, name: &str) -> Vec<String> {
    headers.all(name).into_iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

fn field_lines_or_none(name: &str, values: Vec<String>) -> Vec<String> {
    if values.is_empty() { vec![format!("no {name}")] } else { field_lines(name, values) }
}

fn field_lines(name: &str, values: Vec<String>) -> Vec<String> {
    values.iter().map(|value| format!("{name}: {value}")).collect()
}
