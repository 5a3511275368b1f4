//! Fourth step: whether the token meets the requirement of the rule.

use std::rc::Rc;

use super::outcome::{Conclusion, Stop};
use super::request::RequestContext;
use crate::engine::audit::Verification;
use crate::engine::token_cache::AuthenticatedToken;
use crate::policy::Policy;
use crate::unix_time::UnixTime;

pub(super) fn authorize<'p>(
    context: &RequestContext<'_>,
    token: Rc<AuthenticatedToken>,
    verification: Verification,
    policy: &'p Policy,
    now: UnixTime,
) -> Result<Conclusion<'p>, Stop<'p>> {
    let request = context.authorization_request(Some((&token.token, &token.provider_name)), now);
    let report = match policy.rules.check(context.rule, &request) {
        Ok(()) => None,
        Err(unmet) if policy.rules.rule(context.rule).report_only => Some(unmet.reason),
        Err(unmet) => return Err(Stop::Concluded(Conclusion::Unmet { token, verification, unmet })),
    };
    Ok(Conclusion::Authorized { token, verification, report })
}
