//! Part of `authenticate`: parses the token and selects the provider that it names.

use std::rc::Rc;

use super::request::{Request, Token};
use crate::engine::deny_reason::DenyReason;
use crate::engine::request_summary::unknown_issuer;
use crate::engine::trace::{TraceEvent, TracedStep};
use crate::jose::{Claim, UnverifiedToken};
use crate::policy::{ClaimFault, KeyOrigin, Policy, SelectedProvider};
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

impl Request<'_> {
    /// Parses the token, unless it is parsed. `aud` is read only where several providers share its issuer.
    pub(super) fn identify(&mut self, policy: &Policy, now: UnixTime) -> Result<(), DenyReason> {
        let text = match &self.token {
            Token::Extracted(text) => text.reveal(),
            Token::Parsed(text) => &**text.reveal(),
            Token::Jwt(_) | Token::Opaque(_) => return Ok(()),
        };
        let trace = &mut self.context.trace;
        trace.restart(TracedStep::Identify);
        let opaque = |text: &[u8]| Token::Opaque(Redacted::new(Rc::from(text)));
        let token = match UnverifiedToken::parse(text) {
            Ok(token) => token,
            Err(_) if !UnverifiedToken::has_three_parts(text) => {
                let accepting = policy.providers.opaque_token_provider();
                trace.record(|| TraceEvent::OpaqueToken(accepting.map(|(id, _)| id)));
                let (id, provider) = accepting.ok_or(DenyReason::TokenOpaque)?;
                self.context.provider = Some(id);
                self.context.issuer = provider.single_issuer().cloned();
                self.token = opaque(text);
                return Ok(());
            }
            Err(fault) => {
                trace.record(|| TraceEvent::MalformedToken(fault));
                return Err(fault.into());
            }
        };
        trace.record(|| TraceEvent::Jwt { header: token.header().clone(), bytes: text.len() });
        let SelectedProvider { id, provider, issuer } = policy.providers.select(&token).inspect_err(|fault| {
            trace.record(|| TraceEvent::NoProvider { token: Box::new(token.clone()), fault: *fault });
            if let (ClaimFault::IssuerUnknown, Claim::Valid(issuer)) = (fault, token.claimed_issuer()) {
                self.context.unknown_issuer = Some(unknown_issuer(issuer));
            }
        })?;
        trace.record(|| TraceEvent::Provider { provider: id, issuer: Rc::clone(issuer) });
        self.context.issuer = Some(Rc::clone(issuer));
        self.context.provider = Some(id);
        let is_opaque = matches!(provider.keys, KeyOrigin::IntrospectionOnly);
        if !is_opaque {
            let algorithm = token.header().algorithm;
            let is_allowed = provider.algorithms.contains(&algorithm);
            trace.record(|| TraceEvent::Algorithm { provider: id, algorithm, is_allowed });
            if !is_allowed {
                return Err(DenyReason::AlgorithmNotAllowed);
            }
        }
        // A token that says itself that it has expired is not worth a signature check, let alone a fetch or a call.
        if let Claim::Valid(expiry) = token.claimed_expiry()
            && provider.is_expired(expiry, now)
        {
            trace.record(|| TraceEvent::ClaimedExpiry(expiry));
            return Err(ClaimFault::Expired.into());
        }
        if is_opaque {
            trace.record(|| TraceEvent::IntrospectionOnly(id));
        }
        self.token = if is_opaque { opaque(text) } else { Token::Jwt(token) };
        Ok(())
    }
}
