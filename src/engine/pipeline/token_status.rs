//! Third step: whether the token is revoked, by the revocation list and, where the rule says so, by introspection.

use super::Resources;
use super::outcome::{Stop, check_result};
use super::request::Request;
use crate::engine::audit::Verification;
use crate::engine::token_cache::AuthenticatedToken;
use crate::engine::trace::TraceEvent;
use crate::introspection::Freshness;
use crate::introspection::call::TokenKind;

/// Returns how fresh the introspection response is, where one was used.
pub(super) fn check(
    request: &mut Request<'_>,
    token: &AuthenticatedToken,
    verification: Verification,
    resources: &mut Resources<'_>,
) -> Result<Option<Freshness>, Stop<'static>> {
    let Resources { policy, status, now, .. } = resources;
    let arrived = *request.context.status_arrival.get_or_insert(status.arrived(token.provider));
    // First, because it costs no call.
    let listed = status.check_revocation_list(token, policy, *now);
    if status.revocations.is_some() {
        request.context.trace.record(|| TraceEvent::Revocation(check_result(&listed)));
    }
    listed?;
    if verification.introspection.is_some() || !request.introspects(policy) {
        return Ok(verification.introspection);
    }
    let found = status.introspect_jwt(token, policy, request.token.text(), arrived, *now);
    request.context.trace.record(|| TraceEvent::Introspection { kind: TokenKind::Jwt, result: check_result(&found) });
    found.map(Some)
}
