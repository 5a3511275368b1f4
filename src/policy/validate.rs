//! Validates the claims of a [`VerifiedToken`] or [`ActiveToken`]. This module is the only one that creates a
//! [`ValidatedToken`].
//!
//! The signature is verified, or the issuer reported the token as active. This module checks the claims against the
//! requirements for the issuer's *access tokens* (RFC 7519, RFC 9068, RFC 7662, Okta's claims). Every claim that is
//! read is either valid or a fault. A claim of the wrong type is never treated as absent.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::jose::{ActiveToken, Claim, Claims, SignedPayload, VerifiedToken};
use crate::policy::provider::{Audiences, Provider};
use crate::policy::sender_constraint::{Binding, BindingFault, ConstraintModes};
use crate::policy::token_kind::{self, Kind, Nonce};
use crate::unix_time::UnixTime;

/// An authenticated, current token for this resource. Its identity may be used.
#[derive(Debug)]
pub struct ValidatedToken {
    claims: Claims,
    payload: Option<SignedPayload>,
    subject: Option<String>,
    client: Option<String>,
    scopes: Vec<String>,
    groups_claim: Rc<[String]>,
    validity: Validity,
    binding: Binding,
    constraint_modes: ConstraintModes,
}

/// The validity period of a token, with the provider's clock skew.
#[derive(Clone, Copy, Debug)]
struct Validity {
    /// The later of `nbf` and `iat`.
    start: Option<UnixTime>,
    skew: Duration,
    /// `exp` plus the skew.
    end: UnixTime,
}

impl Validity {
    /// RFC 7519 sections 4.1.4 to 4.1.6: a token is valid from `nbf` until *before* `exp`, with the skew in its favour.
    fn contains(self, now: UnixTime) -> bool {
        now < self.end && self.start.is_none_or(|start| now.plus(self.skew) >= start)
    }
}

/// Why an authentic token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimFault {
    /// `iss` is missing or not a string.
    IssuerMalformed,
    /// `iss` names no configured provider.
    IssuerUnknown,
    /// Another kind of token: an ID token, a logout token, a DPoP proof.
    NotAnAccessToken,
    AudienceMissing,
    /// `aud` is neither a string nor a list of strings with an item.
    AudienceMalformed,
    /// `aud` contains no expected audience.
    AudienceUnexpected,
    /// `aud` names audiences of several providers that share the issuer.
    AudienceAmbiguous,
    ExpiryMissing,
    /// `exp`, `nbf` or `iat` is not a time.
    TimeMalformed,
    Expired,
    /// `nbf` is in the future.
    NotYetValid,
    /// `iat` is in the future.
    IssuedInTheFuture,
    /// `exp - iat` exceeds the provider's limit, or `iat` is missing and there is a limit.
    LifetimeTooLong,
    /// The subject, client or scope claim, or `jti`, has the wrong type.
    IdentityMalformed,
    /// The client is not one of the accepted ones.
    ClientUnexpected,
    /// The token is sender-constrained (`cnf`), and the constraint cannot be verified.
    SenderConstrained,
    /// The thumbprint of its certificate (`cnf.x5t#S256`) is not base64url of a SHA-256 digest.
    ThumbprintMalformed,
    /// The thumbprint of its key (`cnf.jkt`) is not base64url of a SHA-256 digest.
    KeyThumbprintMalformed,
    /// The token is not bound to a certificate or key, and the provider's tokens must be.
    TokenNotBound,
}

impl From<BindingFault> for ClaimFault {
    fn from(fault: BindingFault) -> Self {
        match fault {
            BindingFault::Unverified => Self::SenderConstrained,
            BindingFault::CertificateMalformed => Self::ThumbprintMalformed,
            BindingFault::KeyMalformed => Self::KeyThumbprintMalformed,
            BindingFault::Missing => Self::TokenNotBound,
        }
    }
}

impl ValidatedToken {
    /// Validates a verified token of `provider` at the time `now`.
    ///
    /// # Errors
    /// The first requirement that is not met.
    pub fn validate(token: VerifiedToken, provider: &Provider, now: UnixTime) -> Result<Self, ClaimFault> {
        let claims = token.claims();
        if !matches!(claims.string("iss"), Claim::Valid(issuer) if provider.find_issuer(issuer).is_some()) {
            return Err(ClaimFault::IssuerUnknown);
        }
        check_type(&token)?;
        let nonce = if media_type(&token).as_deref() == Some("at+jwt") { Nonce::Accepted } else { nonce_of(provider) };
        check_kind(claims, nonce, is_bound(claims, provider))?;
        let validated = validate_claims(claims, provider, Origin::Signature, now)?;
        let (claims, payload) = token.into_claims_and_payload();
        Ok(validated.with(claims, Some(payload), provider))
    }

    /// Validates a token that the introspection endpoint of `provider` reported as active, at the time `now`. If the
    /// response has no `exp`, the token is valid until `expires_at`, because no response is valid forever.
    ///
    /// # Errors
    /// The first requirement that is not met.
    pub fn validate_active(
        token: ActiveToken,
        provider: &Provider,
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<Self, ClaimFault> {
        let claims = token.claims();
        // Optional in a response of the provider (RFC 7662 section 2.2). Another issuer is rejected.
        match claims.string("iss") {
            Claim::Absent => {}
            Claim::Valid(issuer) if provider.find_issuer(issuer).is_some() => {}
            Claim::Valid(_) => return Err(ClaimFault::IssuerUnknown),
            Claim::Malformed => return Err(ClaimFault::IssuerMalformed),
        }
        check_kind(claims, nonce_of(provider), is_bound(claims, provider))?;
        let validated = validate_claims(claims, provider, Origin::Introspection { expires_at }, now)?;
        Ok(validated.with(token.into_claims(), None, provider))
    }

    /// Whether it is still current. Only the time needs to be checked again, as its claims do not change.
    pub fn is_current(&self, now: UnixTime) -> bool {
        self.validity.contains(now)
    }

    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The OAuth client that it was issued to.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The groups of the user, from the provider's claim. They are checked only by rules that require groups, so other
    /// routes accept tokens with missing or malformed groups.
    pub fn groups(&self) -> Claim<Vec<&str>> {
        self.claims.names(&self.groups_claim)
    }

    /// What it is bound to.
    pub const fn binding(&self) -> &Binding {
        &self.binding
    }

    /// How tokens of its provider may, or must, be bound.
    pub const fn constraint_modes(&self) -> ConstraintModes {
        self.constraint_modes
    }

    /// The tolerated difference between the issuer's clock and ours.
    pub const fn clock_skew(&self) -> Duration {
        self.validity.skew
    }

    /// The payload as signed. `None` for an opaque token.
    pub const fn payload(&self) -> Option<&SignedPayload> {
        self.payload.as_ref()
    }

    pub const fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// Where the claims come from.
#[derive(Clone, Copy)]
enum Origin {
    /// A signed token, which contains all claims.
    Signature,
    /// An introspection response, which may omit claims (RFC 7662 section 2.2) and expires at this time.
    Introspection { expires_at: UnixTime },
}

impl Origin {
    /// Additional claim names of introspection responses. Configured names take precedence.
    const fn names(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Signature => (&[], &[]),
            Self::Introspection { .. } => (&["client_id"], &["scope"]),
        }
    }
}

/// The values of validated claims.
struct ValidatedClaims {
    subject: Option<String>,
    client: Option<String>,
    scopes: Vec<String>,
    validity: Validity,
    binding: Binding,
}

impl ValidatedClaims {
    fn with(self, claims: Claims, payload: Option<SignedPayload>, provider: &Provider) -> ValidatedToken {
        let Self { subject, client, scopes, validity, binding } = self;
        let groups_claim = Rc::clone(&provider.claim_names.groups);
        let constraint_modes = provider.sender_constraint.modes();
        ValidatedToken { claims, payload, subject, client, scopes, groups_claim, validity, binding, constraint_modes }
    }
}

/// Validates the claims of any token.
fn validate_claims(
    claims: &Claims,
    provider: &Provider,
    origin: Origin,
    now: UnixTime,
) -> Result<ValidatedClaims, ClaimFault> {
    check_audience(claims, &provider.audiences)?;
    let validity = check_times(claims, provider, origin, now)?;
    let binding = Binding::of(claims, &provider.sender_constraint)?;
    let names = &provider.claim_names;
    let (extra_client, extra_scope) = origin.names();
    // The list of revoked tokens identifies tokens by it.
    optional(claims.string("jti"), ClaimFault::IdentityMalformed)?;
    let subject = optional(claims.string(&names.subject), ClaimFault::IdentityMalformed)?.map(str::to_owned);
    let client = first_present(&names.client, extra_client, |name| claims.string(name))?.map(str::to_owned);
    let scopes = first_present(&names.scope, extra_scope, |name| claims.scopes(name))?
        .unwrap_or_default()
        .into_iter()
        .map(str::to_owned)
        .collect();
    if let Some(allowed) = &provider.client_ids
        && !client.as_ref().is_some_and(|client| allowed.contains(client))
    {
        return Err(ClaimFault::ClientUnexpected);
    }
    Ok(ValidatedClaims { subject, client, scopes, validity, binding })
}

/// Access tokens only: their `typ` is absent (Okta), `JWT` or `at+jwt` (RFC 9068 section 2.1, RFC 8725 section 3.11).
/// `JOSE` (RFC 7515 section 4.1.9, SPIFFE) is equivalent to `JWT`.
fn check_type(token: &VerifiedToken) -> Result<(), ClaimFault> {
    let is_accepted = media_type(token).is_none_or(|name| matches!(name.as_str(), "jwt" | "jose" | "at+jwt"));
    if is_accepted { Ok(()) } else { Err(ClaimFault::NotAnAccessToken) }
}

/// `typ` of the JOSE header in lower case, without `application/` (RFC 7515 section 4.1.9).
fn media_type(token: &VerifiedToken) -> Option<String> {
    let name = token.header().token_type.as_deref()?.to_ascii_lowercase();
    Some(name.strip_prefix("application/").unwrap_or(&name).to_owned())
}

/// `is_bound`: its binding to a key is checked.
fn check_kind(claims: &Claims, nonce: Nonce, is_bound: bool) -> Result<(), ClaimFault> {
    match token_kind::kind(claims, nonce) {
        Kind::SenderConstrained if !is_bound => Err(ClaimFault::SenderConstrained),
        Kind::Access | Kind::SenderConstrained => Ok(()),
        Kind::Other => Err(ClaimFault::NotAnAccessToken),
    }
}

/// Rejects an introspection response that declares a JWT to be another kind of token. Its `nonce` was checked with the
/// JWT.
///
/// # Errors
/// If it is not an access token, or one of DPoP and the provider has none; `introspection` compares the binding.
pub fn check_introspected_kind(token: &ActiveToken, provider: &Provider) -> Result<(), ClaimFault> {
    check_kind(token.claims(), Nonce::Accepted, provider.sender_constraint.dpop.is_some())
}

/// Whether an introspection response calls a token one of DPoP.
pub fn is_named_dpop(token: &ActiveToken) -> bool {
    token_kind::kind(token.claims(), Nonce::Accepted) == Kind::SenderConstrained
}

/// Whether the token is bound to a key, in any form; `Binding` checks the form.
fn is_bound(claims: &Claims, provider: &Provider) -> bool {
    let is_bound = matches!(claims.members().get("cnf"), Some(Value::Object(members)) if members.contains_key("jkt"));
    is_bound && provider.sender_constraint.dpop.is_some()
}

const fn nonce_of(provider: &Provider) -> Nonce {
    if provider.accept_nonce { Nonce::AcceptedInAccessTokens } else { Nonce::Rejected }
}

fn check_audience(claims: &Claims, expected: &Audiences) -> Result<(), ClaimFault> {
    let audiences = match (claims.strings("aud"), expected) {
        (Claim::Valid(audiences), _) => audiences,
        (Claim::Malformed, _) => return Err(ClaimFault::AudienceMalformed),
        (Claim::Absent, Audiences::InsecureAny) => return Ok(()),
        // `null` or an empty list.
        (Claim::Absent, Audiences::AnyOf(_)) if claims.contains("aud") => return Err(ClaimFault::AudienceMalformed),
        (Claim::Absent, Audiences::AnyOf(_)) => return Err(ClaimFault::AudienceMissing),
    };
    let is_expected = match expected {
        Audiences::InsecureAny => true,
        Audiences::AnyOf(expected) => audiences.iter().any(|audience| expected.iter().any(|name| name == audience)),
    };
    if is_expected { Ok(()) } else { Err(ClaimFault::AudienceUnexpected) }
}

fn check_times(claims: &Claims, provider: &Provider, origin: Origin, now: UnixTime) -> Result<Validity, ClaimFault> {
    let skew = provider.clock_skew;
    let expiry = optional(claims.time("exp"), ClaimFault::TimeMalformed)?;
    let end = match (expiry, origin) {
        (Some(expiry), Origin::Signature | Origin::Introspection { .. }) => expiry.plus(skew),
        (None, Origin::Introspection { expires_at }) => expires_at,
        (None, Origin::Signature) => return Err(ClaimFault::ExpiryMissing),
    };
    let not_before = optional(claims.start_time("nbf"), ClaimFault::TimeMalformed)?;
    let issued_at = optional(claims.time("iat"), ClaimFault::TimeMalformed)?;
    if expiry.is_some_and(|expiry| provider.is_expired(expiry, now)) {
        return Err(ClaimFault::Expired);
    }
    if not_before.is_some_and(|start| now.plus(skew) < start) {
        return Err(ClaimFault::NotYetValid);
    }
    if issued_at.is_some_and(|issued| now.plus(skew) < issued) {
        return Err(ClaimFault::IssuedInTheFuture);
    }
    match (provider.max_token_lifetime, issued_at, expiry) {
        (Some(limit), Some(issued), Some(expiry)) if expiry.since(issued) <= limit => {}
        (None, _, _) => {}
        // A token without these times may live longer than the limit.
        (Some(_), _, _) => return Err(ClaimFault::LifetimeTooLong),
    }
    Ok(Validity { start: not_before.max(issued_at), skew, end })
}

fn optional<T>(claim: Claim<T>, malformed: ClaimFault) -> Result<Option<T>, ClaimFault> {
    match claim {
        Claim::Absent => Ok(None),
        Claim::Valid(value) => Ok(Some(value)),
        Claim::Malformed => Err(malformed),
    }
}

fn first_present<'a, T>(
    names: &'a [String],
    extra: &[&'static str],
    claim: impl Fn(&'a str) -> Claim<T>,
) -> Result<Option<T>, ClaimFault> {
    for name in names.iter().map(String::as_str).chain(extra.iter().copied()) {
        if let Some(value) = optional(claim(name), ClaimFault::IdentityMalformed)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[path = "validate/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "validate/active_tests.rs"]
mod active_tests;
