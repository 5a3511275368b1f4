//! Last step: the decision and its audit record. Only this function allows a request, and it takes the proof.

use std::rc::Rc;

use super::outcome::Conclusion;
use super::request::RequestContext;
use crate::engine::audit::{AuditRecord, request_id_of};
use crate::engine::decision::{Decision, Verdict};
use crate::engine::deny_reason::DenyReason;
use crate::engine::filter_state::FilterStateValues;
use crate::engine::response::{Denial, deny_response};
use crate::http::HeadEdits;
use crate::policy::{Policy, Remedy};
use crate::unix_time::UnixTime;

pub(super) fn decide(
    context: RequestContext<'_>,
    policy: &Policy,
    conclusion: Conclusion<'_>,
    now: UnixTime,
) -> Decision {
    let rule = policy.rules.rule(context.rule);
    let provider = context.provider.and_then(|id| policy.providers.get(id));
    let (request_id, source) = (request_id_of(&context.head), context.source);
    let describe = |record: AuditRecord, issuer| record.with_issuer(provider, issuer).with_source(source);
    let deny = |reason, remedy, token| {
        let denial = Denial { reason, remedy, rule, provider, token, head: &context.head };
        Verdict::Deny(deny_response(&denial, policy))
    };
    match conclusion {
        Conclusion::Authorized { token, verification, report } => {
            let audit = AuditRecord::allowed(request_id, rule, Rc::clone(&token.token), report);
            let audit = describe(audit, context.issuer).with_verification(verification);
            let verdict = Verdict::Allow(HeadEdits::new(context.removals, Rc::clone(&token.identity_headers)));
            Decision { verdict, filter_state: FilterStateValues::new(&audit, Some(&token), policy), audit }
        }
        Conclusion::Anonymous(access) => {
            let audit = AuditRecord::allowed_without_token(request_id, rule, access.would_deny());
            let verdict = Verdict::Allow(HeadEdits::new(context.removals, Rc::from([])));
            Decision { verdict, filter_state: FilterStateValues::new(&audit, None, policy), audit }
        }
        Conclusion::Unmet { token, verification, unmet } => {
            let reason = DenyReason::Unmet(unmet.reason);
            let verdict = deny(reason, unmet.remedy, Some((token.token.as_ref(), now)));
            let audit = AuditRecord::unmet(request_id, rule, Rc::clone(&token.token), unmet.reason);
            let audit = describe(audit, context.issuer).with_verification(verification);
            Decision { verdict, filter_state: FilterStateValues::new(&audit, Some(&token), policy), audit }
        }
        Conclusion::Denied(reason) => {
            let verdict = deny(reason, Remedy::None, None);
            let audit = describe(AuditRecord::denied(request_id, rule, reason), context.issuer);
            Decision { verdict, filter_state: FilterStateValues::new(&audit, None, policy), audit }
        }
    }
}
