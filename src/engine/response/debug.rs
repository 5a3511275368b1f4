//! The debug header: the reason of a denial for callers that show the configured secret
//! ([`crate::policy::DebugCallers`]). It has what the log has, and no claim values. It is a header and no body, so it also
//! works with custom bodies, gRPC, `HEAD` and browsers.

use serde_json::{Map, Value};

use super::Denial;
use crate::http::{HeaderName, HeaderValue};
use crate::policy::Policy;

const MAX_NAME_CHARS: usize = 256;
const MAX_CLAIMS: usize = 32;

/// The header, if the request has the secret.
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

/// The claims of the unmet requirements, by their names; a nested one by its path.
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
