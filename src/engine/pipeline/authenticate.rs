//! Second step: proves the token, by the cache, by its signature, or by the introspection response about an opaque one.

use std::rc::Rc;

use super::Resources;
use super::outcome::{PendingOn, Stop, check_result};
use super::request::{Request, RequestContext, Token};
use crate::engine::audit::{Proof, Verification};
use crate::engine::deny_reason::DenyReason;
use crate::engine::token_cache::AuthenticatedToken;
use crate::engine::trace::{CheckResult, KeyLookUp, Trace, TraceEvent, TracedStep};
use crate::engine::{keys_of, keys_of_mut};
use crate::introspection::Freshness;
use crate::introspection::call::TokenKind;
use crate::jose::{Algorithm, TokenFault, UnverifiedToken};
use crate::keys::LookUp;
use crate::policy::{ClaimFault, Policy, Provider, ProviderId, ValidatedToken};
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

type Authenticated = (Rc<AuthenticatedToken>, Verification);

pub(super) fn authenticate(
    request: &mut Request<'_>,
    resources: &mut Resources<'_>,
) -> Result<Authenticated, Stop<'static>> {
    // Introspection responses have a cache of their own.
    let is_cacheable = !matches!(request.token, Token::Opaque(_));
    if is_cacheable && let Some(token) = cached(request.token.text(), resources) {
        request.context.provider = Some(token.provider);
        request.context.issuer.clone_from(&token.issuer);
        // Where the request verified it before it was parked, its trace says more.
        if !request.context.trace.is_authenticated() {
            request.context.trace.restart(TracedStep::Authenticate);
            request.context.trace.record(|| TraceEvent::CachedToken);
            request.context.trace.record(|| TraceEvent::Identity(Rc::clone(&token.token)));
        }
        return Ok((token, Verification { proof: Proof::Cached, introspection: None }));
    }
    request.identify(resources.policy, resources.now)?;
    let id = request.context.provider.ok_or(ClaimFault::IssuerUnknown)?;
    let provider = resources.policy.providers.get(id).ok_or(ClaimFault::IssuerUnknown)?;
    request.context.trace.restart(TracedStep::Authenticate);
    if let Token::Opaque(text) = &request.token {
        let text = Rc::clone(text.reveal());
        return by_introspection(request, &text, (id, provider), resources);
    }
    resources.token_cache.count_miss();
    by_signature(request, (id, provider), resources)
}

/// A token that was verified with the keys in use and is current.
fn cached(text: &[u8], resources: &mut Resources<'_>) -> Option<Rc<AuthenticatedToken>> {
    let Resources { keys, token_cache, now, .. } = resources;
    token_cache.find(text, *now, |id| keys_of(keys, id)?.generation_in_use(*now)).map(Rc::clone)
}

fn by_signature(
    request: &mut Request<'_>,
    (id, provider): (ProviderId, &Provider),
    resources: &mut Resources<'_>,
) -> Result<Authenticated, Stop<'static>> {
    let Resources { policy, keys, token_cache, verifier, now, .. } = resources;
    let now = *now;
    // Every provider of the policy has keys by construction.
    let keys = keys_of_mut(keys, id).ok_or(DenyReason::KeyUnknown)?;
    let Token::Jwt(token) = &request.token else { return Err(DenyReason::TokenOpaque.into()) };
    let generation = keys.generation_in_use(now);
    let (text, held_bytes) = (Rc::clone(token.serialized().reveal()), token.held_bytes());
    let (key_id, algorithm) = (token.header().key_id.as_deref(), token.header().algorithm);
    let arrived = *request.context.key_arrival.get_or_insert(keys.arrived(now));
    let trace = &mut request.context.trace;
    let count = if trace.is_recording() { keys.stats(now).held } else { 0 };
    let found = keys.look_up(key_id, algorithm, arrived, now);
    trace.record(|| keys_event(count, algorithm, &found));
    let candidates = match found {
        LookUp::Found(candidates) => candidates,
        LookUp::Pending => {
            request.context.key_arrival = Some(arrived.waiting());
            return Err(PendingOn::Keys(id).into());
        }
        LookUp::Unknown => return Err(DenyReason::KeyUnknown.into()),
        LookUp::Unavailable(retry_after) => return Err(DenyReason::KeysUnavailable(retry_after).into()),
    };
    let is_cached_as_invalid = generation.is_some_and(|keys| token_cache.is_cached_as_invalid(&text, keys, now));
    let verified = match take_jwt(request, &text) {
        Some(token) if is_cached_as_invalid => Err(Box::new(token)),
        Some(token) => token.try_verify(&candidates, *verifier),
        None => return Err(DenyReason::TokenOpaque.into()),
    };
    request.context.trace.record(|| TraceEvent::Signature { is_valid: verified.is_ok() });
    let verified = match verified {
        Ok(verified) => verified,
        Err(token) => {
            if let Some(keys) = generation.filter(|_| !is_cached_as_invalid) {
                token_cache.insert_invalid(text, keys, now);
            }
            let (key_id, algorithm) = (token.header().key_id.as_deref(), token.header().algorithm);
            let awaits_newer_set = keys.awaits_newer_set(key_id, algorithm, arrived, now);
            request.token = Token::Jwt(*token);
            return Err(match awaits_newer_set {
                true => PendingOn::NewerKeys(id).into(),
                false => TokenFault::SignatureInvalid.into(),
            });
        }
    };
    let trace = &mut request.context.trace;
    let claims = trace.is_recording().then(|| verified.claims().clone());
    let validated = ValidatedToken::validate(verified, provider, now);
    let fault = validated.as_ref().err().copied();
    trace.record(|| TraceEvent::Claims { provider: id, claims, fault, now });
    let token = accept(&mut request.context, (id, provider), Rc::new(validated?), policy)?;
    if let Some(keys) = generation {
        token_cache.insert(text, Rc::clone(&token), keys, held_bytes);
    }
    Ok((token, Verification { proof: Proof::Verified, introspection: None }))
}

/// Takes the token out, which its verification uses up, and leaves its text.
fn take_jwt(request: &mut Request<'_>, text: &Rc<[u8]>) -> Option<UnverifiedToken> {
    match std::mem::replace(&mut request.token, Token::Parsed(Redacted::new(Rc::clone(text)))) {
        Token::Jwt(token) => Some(token),
        Token::Extracted(_) | Token::Parsed(_) | Token::Opaque(_) => None,
    }
}

/// The result is not cached here: the introspection response is.
fn by_introspection(
    request: &mut Request<'_>,
    text: &[u8],
    (id, provider): (ProviderId, &Provider),
    resources: &mut Resources<'_>,
) -> Result<Authenticated, Stop<'static>> {
    let Resources { policy, status, now, .. } = resources;
    let arrived = *request.context.status_arrival.get_or_insert(status.arrived(id));
    let sender = request.context.sender;
    let found = status.introspect_opaque((id, provider), sender, text, arrived, *now);
    if request.context.trace.is_recording() {
        record_introspection(&mut request.context.trace, id, &found, *now);
    }
    let (validated, freshness) = found?;
    let token = accept(&mut request.context, (id, provider), validated, policy)?;
    Ok((token, Verification { proof: Proof::Introspected, introspection: Some(freshness) }))
}

/// A token with valid claims. Its identity must be fit to be forwarded.
fn accept(
    context: &mut RequestContext<'_>,
    (id, provider): (ProviderId, &Provider),
    token: Rc<ValidatedToken>,
    policy: &Policy,
) -> Result<Rc<AuthenticatedToken>, DenyReason> {
    context.trace.record(|| TraceEvent::Identity(Rc::clone(&token)));
    let token = AuthenticatedToken::new(id, provider, token, policy)
        .inspect_err(|reason| context.trace.record(|| TraceEvent::Unforwardable(*reason)))?;
    context.issuer.clone_from(&token.issuer);
    Ok(Rc::new(token))
}

fn keys_event(count: usize, algorithm: Algorithm, found: &LookUp<'_>) -> TraceEvent {
    let result = match found {
        LookUp::Found(keys) => KeyLookUp::Found(keys.iter().map(|key| key.id().map(str::to_owned)).collect()),
        LookUp::Unknown => KeyLookUp::Unknown,
        LookUp::Pending => KeyLookUp::Pending,
        LookUp::Unavailable(_) => KeyLookUp::Unavailable,
    };
    TraceEvent::Keys { count, algorithm, result }
}

/// An active token may have claims that are not valid here.
fn record_introspection(
    trace: &mut Trace,
    provider: ProviderId,
    found: &Result<(Rc<ValidatedToken>, Freshness), Stop<'_>>,
    now: UnixTime,
) {
    let result = check_result(found);
    let (result, fault) = match result {
        CheckResult::Denied(DenyReason::Claim(fault)) => (CheckResult::Passed, Some(fault)),
        CheckResult::Denied(_) | CheckResult::Passed | CheckResult::Pending => (result, None),
    };
    trace.record(|| TraceEvent::Introspection { kind: TokenKind::Opaque, result });
    if result == CheckResult::Passed {
        let claims = found.as_ref().ok().map(|(token, _)| token.claims().clone());
        trace.record(|| TraceEvent::Claims { provider, claims, fault, now });
    }
}
