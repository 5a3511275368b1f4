//! Why a request is refused, exactly, for callers that the operator trusts ([`crate::policy::DebugCallers`]): what the log
//! has, and nothing of what the token says. A header field and no body: so it stands beside a body of the operator's, in
//! answers to gRPC, to `HEAD` and to browsers.

use serde_json::{Map, Value};

use super::Denial;
use crate::http::{HeaderName, HeaderValue};
use crate::policy::Policy;

const MAX_NAME_CHARS: usize = 256;
const MAX_CLAIMS: usize = 32;

/// The answer's field, where the request shows the secret.
pub(super) fn field(refusal: &Denial<'_>, policy: &Policy) -> Option<(HeaderName, HeaderValue)> {
    let callers = policy.responses.debug.as_ref().filter(|callers| callers.authenticates(refusal.head))?;
    let name = |name: &str| Value::from(name.chars().take(MAX_NAME_CHARS).collect::<String>());
    let claims = claims(refusal);
    let members = [
        ("reason", Some(Value::from(refusal.reason.name()))),
        ("rule", refusal.rule.name.as_deref().map(name)),
        ("provider", refusal.provider.map(|provider| name(&provider.name))),
        ("claims", (!claims.is_empty()).then(|| Value::from(claims))),
    ];
    let mut answer = Map::new();
    for (member, value) in members {
        if let Some(value) = value {
            answer.insert(member.to_owned(), value);
        }
    }
    Some((callers.header().clone(), HeaderValue::json(&Value::Object(answer))))
}

/// The claims that the rule's unmet demands are about, by the names that the operator knows them by; one that is nested by
/// the names that lead to it.
fn claims(refusal: &Denial<'_>) -> Vec<Value> {
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
