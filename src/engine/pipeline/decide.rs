//! Last step: the decision and its audit record. Only this function allows a request, and it takes the proof.

use std::rc::Rc;

use super::outcome::Conclusion;
use super::request::RequestContext;
use crate::engine::audit::{AuditRecord, Outcome};
use crate::engine::decision::{Decision, Verdict};
use crate::engine::deny_reason::DenyReason;
use crate::engine::filter_state::FilterStateValues;
use crate::engine::response::{Denial, deny_response};
use crate::engine::sampling::Sampler;
use crate::engine::token_cache::AuthenticatedToken;
use crate::http::HeadEdits;
use crate::policy::{Policy, Remedy};
use crate::unix_time::UnixTime;

pub(super) fn decide(
    context: RequestContext<'_>,
    policy: &Policy,
    conclusion: Conclusion<'_>,
    sampler: &mut Sampler,
    now: UnixTime,
) -> Decision {
    let rule = policy.rules.rule(context.rule);
    let provider = context.provider.and_then(|id| policy.providers.get(id));
    let deny = |reason, remedy, token: Option<&AuthenticatedToken>| {
        let token = token.map(|token| (token.token.as_ref(), now));
        Verdict::Deny(deny_response(&Denial { reason, remedy, rule, provider, token, head: &context.head }, policy))
    };
    let (outcome, verdict, authenticated) = match conclusion {
        Conclusion::Authorized { token, verification, report } => {
            let validated = Rc::clone(&token.token);
            let outcome = match report {
                None => Outcome::Allowed(validated),
                Some(reason) => Outcome::Reported(validated, reason),
            };
            let edits = HeadEdits::new(context.removals, Rc::clone(&token.identity_headers));
            (outcome, Verdict::Allow(edits), Some((token, verification)))
        }
        Conclusion::Anonymous(access) => {
            let edits = HeadEdits::new(context.removals, Rc::from([]));
            (Outcome::AllowedWithoutToken(access.would_deny()), Verdict::Allow(edits), None)
        }
        Conclusion::Unmet { token, verification, unmet } => {
            let outcome = Outcome::Unmet(Rc::clone(&token.token), unmet.reason);
            let verdict = deny(DenyReason::Unmet(unmet.reason), unmet.remedy, Some(&token));
            (outcome, verdict, Some((token, verification)))
        }
        Conclusion::Denied(reason) => (Outcome::Denied(reason), deny(reason, Remedy::None, None), None),
    };
    let mut audit = AuditRecord::new(rule, outcome)
        .with_issuer(provider, context.issuer)
        .with_unknown_issuer(context.unknown_issuer)
        .with_source(context.source)
        .with_verification(authenticated.as_ref().map(|(_, verification)| *verification));
    audit.set_sampling(sampler.sample(&audit, now));
    if audit.is_logged() || context.trace.is_recording() {
        audit.set_request(&context.head);
    }
    let token = authenticated.as_ref().map(|(token, _)| token.as_ref());
    Decision { verdict, filter_state: FilterStateValues::new(&audit, token, policy), audit, trace: context.trace }
}
