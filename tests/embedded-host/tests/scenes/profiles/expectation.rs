//! What each host makes of a decision of the native engine.

use embedded_host::{Fields, Outcome};
use okta_proxy_wasm::engine::{Decision, Verdict};
use okta_proxy_wasm::http::{HeaderEdit, LocalResponse};
use serde_json::Value;

/// The field that marks the filter's own responses in nginx.
const MARK: &str = "x-okta-proxy-wasm-response";
/// The fields of a head that nginx shows, with its own four.
const MAX_FIELDS: usize = 96;

/// How a kind of host differs for a client and a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    Envoy,
    Nginx {
        /// Whether the configuration needs what this host lacks.
        is_refused: bool,
    },
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Expected {
    /// The backend gets these fields, in any order.
    Forwarded(Fields),
    /// The client gets this response, for this reason.
    Response(LocalResponse, &'static str),
    /// The client gets a response of the host's limits: this status.
    Status(u32),
}

impl Host {
    pub fn nginx(configuration: &Value) -> Self {
        let is_set = |name: &str| configuration.get(name).is_some_and(|value| *value != Value::Bool(false));
        let token = configuration.get("token").unwrap_or(&Value::Null);
        let has_parameters = token["from_params"].as_array().is_some_and(|names| !names.is_empty());
        let is_refused = is_set("filter_state")
            || is_set("clear_route_cache")
            || has_parameters && token["forward"] != Value::Bool(true);
        Self::Nginx { is_refused }
    }

    /// The head of a client as this host receives it.
    pub fn sent(self, head: &Fields) -> Fields {
        let mut sent = head.clone();
        if let Self::Nginx { .. } = self {
            // Its client names the host in the field `Host`, and the target is never missing.
            let authority = head.iter().find(|(name, _)| name == ":authority").map(|(_, value)| value.clone());
            sent.retain(|(name, _)| name != "host" || authority.is_none());
            sent.extend(authority.map(|value| (String::from("host"), value)));
            let has_path = head.iter().any(|(name, _)| name == ":path");
            sent.extend((!has_path).then(|| (String::from(":path"), b"/".to_vec())));
            sent.retain(|(name, _)| name.starts_with(':') || is_valid_in_nginx(name));
        }
        sent
    }
}

fn is_valid_in_nginx(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

pub fn expected(host: &Host, sent: &Fields, decision: &Decision) -> Expected {
    if let Host::Nginx { is_refused } = host {
        let path = sent.iter().find(|(name, _)| name == ":path").map(|(_, value)| value.as_slice());
        if *is_refused {
            return Expected::Status(503);
        } else if sent.len() > MAX_FIELDS {
            return Expected::Status(431);
        } else if path.is_some_and(<[u8]>::is_empty) {
            return Expected::Status(503);
        } else if path.is_some_and(has_dot_segment) {
            return Expected::Status(400);
        }
    }
    let edits = match &decision.verdict {
        Verdict::Deny(response) => return Expected::Response(response.clone(), decision.audit.reason()),
        Verdict::Allow(edits) => edits,
    };
    let mut fields = sent.clone();
    for edit in edits.iter() {
        let (name, value) = match edit {
            HeaderEdit::Remove(name) => (name.as_str(), None),
            HeaderEdit::Set(name, value) => (name.as_str(), Some(value.as_str().as_bytes())),
            HeaderEdit::Rewrite(rest) => (rest.field(), Some(rest.as_bytes())),
        };
        match host {
            Host::Envoy => {
                fields.retain(|(field, _)| field != name);
                fields.extend(value.map(|value| (name.to_owned(), value.to_vec())));
            }
            // A field that nginx drops has not come.
            Host::Nginx { .. } if !name.starts_with(':') && !is_valid_in_nginx(name) => {}
            Host::Nginx { .. } => {
                let value = value.unwrap_or_default().to_vec();
                if sent.iter().filter(|(field, _)| field == name).count() > 1 {
                    return Expected::Status(400);
                }
                match fields.iter_mut().find(|(field, _)| field == name) {
                    Some((_, old)) => *old = value,
                    None => fields.push((name.to_owned(), value)),
                }
            }
        }
    }
    fields.sort();
    Expected::Forwarded(fields)
}

fn has_dot_segment(target: &[u8]) -> bool {
    let path = target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    let path = String::from_utf8_lossy(path).to_ascii_lowercase();
    let path = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace('\\', "/");
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

impl Expected {
    pub fn is(&self, host: &Host, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Forwarded(expected), Outcome::Forwarded(head)) => {
                let mut head = head.clone();
                head.sort();
                *expected == head
            }
            (Self::Response(expected, reason), Outcome::Responded(response)) => {
                // How long a client is to wait is random.
                let comparable = |name: &str, value: &[u8]| {
                    (name.to_owned(), if name == "retry-after" { Vec::new() } else { value.to_vec() })
                };
                let named = |(name, value): &(String, Vec<u8>)| comparable(name, value);
                let is_mark = |name: &str| *host != Host::Envoy && name == MARK;
                let headers: Fields = response.headers.iter().filter(|(name, _)| !is_mark(name)).map(named).collect();
                let fields = expected.headers.iter();
                let fields: Fields =
                    fields.map(|(name, value)| comparable(name.as_str(), value.as_str().as_bytes())).collect();
                // nginx shows the details to the client.
                let details = if *host == Host::Envoy { format!("okta_proxy_wasm{{{reason}}}") } else { String::new() };
                u32::from(expected.status) == response.status
                    && expected.body == response.body
                    && fields == headers
                    && details == response.details
            }
            (Self::Status(expected), Outcome::Responded(response)) => *expected == response.status,
            (Self::Forwarded(_) | Self::Response(..) | Self::Status(_), _) => false,
        }
    }
}
