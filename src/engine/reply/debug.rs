//! Why a request is refused, exactly, for callers that the operator trusts ([`crate::policy::DebugCallers`]): what the log
//! has, and nothing of what the token says. A header field and no body: so it stands beside a body of the operator's, in
//! answers to gRPC, to `HEAD` and to browsers.

use serde_json::{Value, json};

use super::Refusal;
use crate::http::{HeaderName, HeaderValue};
use crate::policy::Policy;

const MAX_NAME_CHARS: usize = 256;
const MAX_CLAIMS: usize = 32;

/// The answer's field, where the request shows the secret.
pub(super) fn field(refusal: &Refusal<'_>, policy: &Policy) -> Option<(HeaderName, HeaderValue)> {
    let callers = policy.answers.debug.as_ref().filter(|callers| callers.sent(refusal.head))?;
    let mut answer = json!({ "reason": refusal.reason.name() });
    let short = |name: &str| Value::from(name.chars().take(MAX_NAME_CHARS).collect::<String>());
    if let (Some(members), Some(rule)) = (answer.as_object_mut(), &refusal.rule.name) {
        members.insert(String::from("rule"), short(rule));
    }
    if let (Some(members), Some(provider)) = (answer.as_object_mut(), refusal.provider) {
        members.insert(String::from("provider"), short(&provider.name));
    }
    let claims = claims(refusal);
    if let (Some(members), false) = (answer.as_object_mut(), claims.is_empty()) {
        members.insert(String::from("claims"), Value::from(claims));
    }
    Some((callers.header().clone(), HeaderValue::json(&answer)))
}

/// The claims that the rule's unmet demands are about, by the names that the operator knows them by; one that is nested by
/// the names that lead to it.
fn claims(refusal: &Refusal<'_>) -> Vec<Value> {
    let (Some(requirement), Some((token, now)), Some(provider)) =
        (&refusal.rule.requirement, refusal.token, refusal.provider)
    else {
        return Vec::new();
    };
    let written = |path: Vec<String>| match path.as_slice() {
        [name] => Value::from(name.as_str()),
        _ => Value::from(path),
    };
    requirement.unmet_claims(token, now, &provider.claim_names).into_iter().take(MAX_CLAIMS).map(written).collect()
}
