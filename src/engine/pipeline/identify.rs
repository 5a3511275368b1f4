//! Part of `authenticate`: parses the token and selects the provider that it names.

use std::rc::Rc;

use super::request::{Request, Token};
use crate::engine::deny_reason::DenyReason;
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
        let opaque = |text: &[u8]| Token::Opaque(Redacted::new(Rc::from(text)));
        let token = match UnverifiedToken::parse(text) {
            Ok(token) => token,
            Err(_) if !UnverifiedToken::has_three_parts(text) => {
                let (id, provider) = policy.providers.opaque_token_provider().ok_or(DenyReason::TokenOpaque)?;
                self.context.provider = Some(id);
                self.context.issuer = provider.single_issuer().cloned();
                self.token = opaque(text);
                return Ok(());
            }
            Err(fault) => return Err(fault.into()),
        };
        let SelectedProvider { id, provider, issuer } = policy.providers.select(&token)?;
        self.context.issuer = Some(Rc::clone(issuer));
        self.context.provider = Some(id);
        let is_opaque = matches!(provider.keys, KeyOrigin::IntrospectionOnly);
        if !is_opaque && !provider.algorithms.contains(&token.header().algorithm) {
            return Err(DenyReason::AlgorithmNotAllowed);
        }
        // A token that says itself that it has expired is not worth a signature check, let alone a fetch or a call.
        if matches!(token.claimed_expiry(), Claim::Valid(expiry) if provider.is_expired(expiry, now)) {
            return Err(ClaimFault::Expired.into());
        }
        self.token = if is_opaque { opaque(text) } else { Token::Jwt(token) };
        Ok(())
    }
}
