//! [`VerifiedToken`] or [`ActiveToken`] and the time -> [`ValidatedToken`]: the only place that makes one.
//!
//! The signature holds already, or the issuer itself has said that the token is active; here the claims are held
//! against what the operator expects of this issuer's *access tokens* (RFC 7519, RFC 9068, RFC 7662, Okta's shapes).
//! Every claim that is looked at is either valid or a fault; one of the wrong type is never taken as absent.

use std::rc::Rc;
use std::time::Duration;

use crate::jose::{ActiveToken, Claim, Claims, SignedPayload, VerifiedToken};
use crate::policy::provider::{Audiences, Provider};
use crate::policy::token_kind::{self, Kind, Nonce};
use crate::unix_time::UnixTime;

/// A token that is proved, current and meant for us: identity may be taken from it.
#[derive(Debug)]
pub struct ValidatedToken {
    claims: Claims,
    payload: Option<SignedPayload>,
    subject: Option<String>,
    client: Option<String>,
    scopes: Vec<String>,
    groups_claim: Rc<[String]>,
    validity: Validity,
}

/// When a token is good, by what it says and the provider's clock skew.
#[derive(Clone, Copy, Debug)]
struct Validity {
    /// The later of `nbf` and `iat`.
    start: Option<UnixTime>,
    skew: Duration,
    /// `exp`, with the skew.
    end: UnixTime,
}

impl Validity {
    /// RFC 7519 sections 4.1.4 to 4.1.6: a token is good *before* `exp`, from `nbf` on, with the skew in the
    /// token's favour.
    fn contains(self, now: UnixTime) -> bool {
        now < self.end && self.start.is_none_or(|start| now.plus(self.skew) >= start)
    }
}

/// Why a token that is genuine is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimFault {
    /// `iss` is missing or not a string.
    IssuerMalformed,
    /// `iss` names no configured provider.
    IssuerUnknown,
    /// Another kind of token: an ID token, a logout token, a DPoP proof.
    NotAnAccessToken,
    /// `aud` is missing.
    AudienceMissing,
    /// `aud` is neither a string nor a list of strings with an item.
    AudienceMalformed,
    /// `aud` names nobody that is expected.
    AudienceUnexpected,
    /// `aud` names audiences of several providers that share the issuer.
    AudienceAmbiguous,
    /// `exp` is missing.
    ExpiryMissing,
    /// `exp`, `nbf` or `iat` is not a time.
    TimeMalformed,
    /// `exp` has passed.
    Expired,
    /// `nbf` lies ahead.
    NotYetValid,
    /// `iat` lies ahead.
    IssuedInTheFuture,
    /// `exp - iat` exceeds the provider's limit, or `iat` is missing where there is one.
    LifetimeTooLong,
    /// The subject, client or scope claim, or `jti`, is of the wrong type.
    IdentityMalformed,
    /// The client is none of those allowed.
    ClientUnexpected,
    /// The token is bound to its sender (`cnf`) and the binding cannot be checked.
    SenderConstrained,
}

impl ValidatedToken {
    /// Judges a verified token of `provider` at the time `now`.
    ///
    /// # Errors
    /// The first expectation that is not met.
    pub fn validate(token: VerifiedToken, provider: &Provider, now: UnixTime) -> Result<Self, ClaimFault> {
        let claims = token.claims();
        if !matches!(claims.text("iss"), Claim::Valid(issuer) if provider.issuer_named(issuer).is_some()) {
            return Err(ClaimFault::IssuerUnknown);
        }
        check_type(&token)?;
        let nonce = if media_type(&token).as_deref() == Some("at+jwt") { Nonce::Accepted } else { nonce_of(provider) };
        check_kind(claims, nonce)?;
        let judged = validate_claims(claims, provider, Proof::Signature, now)?;
        let (claims, payload) = token.into_claims_and_payload();
        Ok(judged.with(claims, Some(payload), provider))
    }

    /// Judges a token that the introspection endpoint of `provider` called active, at the time `now`. Where the answer
    /// does not say when it expires, it is good until `answer_ends`: an answer is never good for ever.
    ///
    /// # Errors
    /// The first expectation that is not met.
    pub fn validate_active(
        token: ActiveToken,
        provider: &Provider,
        answer_ends: UnixTime,
        now: UnixTime,
    ) -> Result<Self, ClaimFault> {
        let claims = token.claims();
        // Optional in an answer (RFC 7662 section 2.2), which comes from the provider itself; another one's is refused.
        match claims.text("iss") {
            Claim::Absent => {}
            Claim::Valid(issuer) if provider.issuer_named(issuer).is_some() => {}
            Claim::Valid(_) => return Err(ClaimFault::IssuerUnknown),
            Claim::Malformed => return Err(ClaimFault::IssuerMalformed),
        }
        check_kind(claims, nonce_of(provider))?;
        let judged = validate_claims(claims, provider, Proof::Answer { ends: answer_ends }, now)?;
        Ok(judged.with(token.into_claims(), None, provider))
    }

    /// Whether it is still good at another time than that of its admission: nothing else it says changes.
    pub fn is_current(&self, now: UnixTime) -> bool {
        self.validity.contains(now)
    }

    /// Whom the token speaks for.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The OAuth client it was issued to.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// What it grants.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The groups of the user, where its provider has them. They are judged when a rule asks for them and not at
    /// admission: a route that wants no group has nothing against a token without, or with strange ones.
    pub fn groups(&self) -> Claim<Vec<&str>> {
        self.claims.names(&self.groups_claim)
    }

    /// How far the clock of its issuer and ours may differ.
    pub const fn clock_skew(&self) -> Duration {
        self.validity.skew
    }

    /// All that it says, as it was signed; an opaque token signs nothing.
    pub const fn payload(&self) -> Option<&SignedPayload> {
        self.payload.as_ref()
    }

    /// Everything else it says.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// What proved the token.
#[derive(Clone, Copy)]
enum Proof {
    /// Its signature: all it has to say stands in it.
    Signature,
    /// Its issuer's answer, which may leave things out (RFC 7662 section 2.2) and serves until then.
    Answer { ends: UnixTime },
}

impl Proof {
    /// Names that are the answer's own; what the operator wrote comes first.
    const fn names(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Signature => (&[], &[]),
            Self::Answer { .. } => (&["client_id"], &["scope"]),
        }
    }
}

/// What is taken from claims that are as they have to be.
struct ValidatedClaims {
    subject: Option<String>,
    client: Option<String>,
    scopes: Vec<String>,
    validity: Validity,
}

impl ValidatedClaims {
    fn with(self, claims: Claims, payload: Option<SignedPayload>, provider: &Provider) -> ValidatedToken {
        let Self { subject, client, scopes, validity } = self;
        let groups_claim = Rc::clone(&provider.claim_names.groups);
        ValidatedToken { claims, payload, subject, client, scopes, groups_claim, validity }
    }
}

/// What a token has to say, however it was proved.
fn validate_claims(
    claims: &Claims,
    provider: &Provider,
    proof: Proof,
    now: UnixTime,
) -> Result<ValidatedClaims, ClaimFault> {
    check_audience(claims, &provider.audiences)?;
    let validity = check_times(claims, provider, proof, now)?;
    if claims.contains("cnf") {
        return Err(ClaimFault::SenderConstrained);
    }
    let names = &provider.claim_names;
    let (own_client, own_scope) = proof.names();
    // The list of revoked tokens names them by it.
    optional(claims.text("jti"))?;
    let subject = optional(claims.text(&names.subject))?.map(str::to_owned);
    let client = first_present(&names.client, own_client, |name| claims.text(name))?.map(str::to_owned);
    let scopes = first_present(&names.scope, own_scope, |name| claims.scopes(name))?
        .unwrap_or_default()
        .into_iter()
        .map(str::to_owned)
        .collect();
    if let Some(allowed) = &provider.client_ids
        && !client.as_ref().is_some_and(|client| allowed.contains(client))
    {
        return Err(ClaimFault::ClientUnexpected);
    }
    Ok(ValidatedClaims { subject, client, scopes, validity })
}

/// Access tokens only: their `typ` is absent (Okta), `JWT` or `at+jwt` (RFC 9068 section 2.1, RFC 8725 section 3.11). `JOSE`
/// (RFC 7515 section 4.1.9, SPIFFE) says no more than `JWT`.
fn check_type(token: &VerifiedToken) -> Result<(), ClaimFault> {
    let is_accepted = media_type(token).is_none_or(|name| matches!(name.as_str(), "jwt" | "jose" | "at+jwt"));
    if is_accepted { Ok(()) } else { Err(ClaimFault::NotAnAccessToken) }
}

/// `typ` of the JOSE header in lower case, without `application/` (RFC 7515 section 4.1.9).
fn media_type(token: &VerifiedToken) -> Option<String> {
    let name = token.header().token_type.as_deref()?.to_ascii_lowercase();
    Some(name.strip_prefix("application/").unwrap_or(&name).to_owned())
}

fn check_kind(claims: &Claims, nonce: Nonce) -> Result<(), ClaimFault> {
    match token_kind::kind(claims, nonce) {
        Kind::Access => Ok(()),
        Kind::SenderConstrained => Err(ClaimFault::SenderConstrained),
        Kind::Other => Err(ClaimFault::NotAnAccessToken),
    }
}

/// Rejects an introspection response that names a JWT another kind of token. Its `nonce` was judged with the JWT.
///
/// # Errors
/// When it is not an access token, or is bound to its sender.
pub fn check_confirming_kind(token: &ActiveToken) -> Result<(), ClaimFault> {
    check_kind(token.claims(), Nonce::Accepted)
}

const fn nonce_of(provider: &Provider) -> Nonce {
    if provider.accept_nonce { Nonce::AcceptedInAccessTokens } else { Nonce::Rejected }
}

fn check_audience(claims: &Claims, expected: &Audiences) -> Result<(), ClaimFault> {
    let audiences = match (claims.texts("aud"), expected) {
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

fn check_times(claims: &Claims, provider: &Provider, proof: Proof, now: UnixTime) -> Result<Validity, ClaimFault> {
    let skew = provider.clock_skew;
    let expiry = present_time(claims.time("exp"))?;
    let end = match (expiry, proof) {
        (Some(expiry), Proof::Signature | Proof::Answer { .. }) => expiry.plus(skew),
        (None, Proof::Answer { ends }) => ends,
        (None, Proof::Signature) => return Err(ClaimFault::ExpiryMissing),
    };
    let not_before = present_time(claims.start("nbf"))?;
    let issued_at = present_time(claims.time("iat"))?;
    if expiry.is_some_and(|expiry| provider.takes_as_expired(expiry, now)) {
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
        // What does not say how long it lives may live longer.
        (Some(_), _, _) => return Err(ClaimFault::LifetimeTooLong),
    }
    Ok(Validity { start: not_before.max(issued_at), skew, end })
}

fn present_time(claim: Claim<UnixTime>) -> Result<Option<UnixTime>, ClaimFault> {
    match claim {
        Claim::Absent => Ok(None),
        Claim::Valid(time) => Ok(Some(time)),
        Claim::Malformed => Err(ClaimFault::TimeMalformed),
    }
}

fn optional<T>(claim: Claim<T>) -> Result<Option<T>, ClaimFault> {
    match claim {
        Claim::Absent => Ok(None),
        Claim::Valid(value) => Ok(Some(value)),
        Claim::Malformed => Err(ClaimFault::IdentityMalformed),
    }
}

fn first_present<'a, T>(
    names: &'a [String],
    further: &[&'static str],
    claim: impl Fn(&'a str) -> Claim<T>,
) -> Result<Option<T>, ClaimFault> {
    for name in names.iter().map(String::as_str).chain(further.iter().copied()) {
        if let Some(value) = optional(claim(name))? {
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
