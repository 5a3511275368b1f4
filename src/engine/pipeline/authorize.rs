//! Fourth step: whether the token meets the requirement of the rule.

use std::rc::Rc;

use super::outcome::{Conclusion, Stop};
use super::request::RequestContext;
use crate::engine::audit::Verification;
use crate::engine::token_cache::AuthenticatedToken;
use crate::engine::trace::TraceEvent;
use crate::policy::Policy;
use crate::unix_time::UnixTime;

pub(super) fn authorize<'p>(
    context: &mut RequestContext<'_>,
    token: Rc<AuthenticatedToken>,
    verification: Verification,
    policy: &'p Policy,
    now: UnixTime,
) -> Result<Conclusion<'p>, Stop<'p>> {
    let request = context.authorization_request(Some((&token.token, &token.provider_name)), now);
    let checked = policy.rules.check(context.rule, &request);
    context.trace.record(|| TraceEvent::Requirement {
        rule: context.rule,
        provider: token.provider,
        token: Rc::clone(&token.token),
        unmet: checked.as_ref().err().map(|unmet| unmet.reason),
        arrived_at: context.arrived_at,
        now,
    });
    let report = match checked {
        Ok(()) => None,
        Err(unmet) if policy.rules.rule(context.rule).report_only => Some(unmet.reason),
        Err(unmet) => return Err(Stop::Concluded(Conclusion::Unmet { token, verification, unmet })),
    };
    Ok(Conclusion::Authorized { token, verification, report })
}
