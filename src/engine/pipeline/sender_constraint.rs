//! Third step: whether the client is the one that the token is bound to. It runs for each request, also for cached tokens.

use super::request::RequestContext;
use crate::engine::token_cache::AuthenticatedToken;
use crate::engine::trace::TraceEvent;
use crate::policy::ConstraintFault;

pub(super) fn check(context: &mut RequestContext<'_>, token: &AuthenticatedToken) -> Result<(), ConstraintFault> {
    let Some(certificate) = token.token.certificate() else { return Ok(()) };
    let checked = certificate.check(&context.attributes);
    context.trace.record(|| TraceEvent::SenderConstraint(checked));
    checked
}
