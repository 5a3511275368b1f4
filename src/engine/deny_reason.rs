//! The reason of a denial, with a stable name for logs and metrics. The client learns less: see `response`.

use std::time::Duration;

use crate::jose::TokenFault;
use crate::policy::{ClaimFault, ConstraintFault, RouteFault, RuleFault, TargetFault, Unforwardable, UnmetReason};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenyReason {
    TokenMissing,
    /// There is more than one credential, in whatever places.
    MultipleCredentials,
    /// A credential is not one token.
    CredentialMalformed,
    /// The token is larger than the limit.
    TokenTooLarge,
    /// The token is not a JWT, and no provider accepts opaque tokens.
    TokenOpaque,
    /// The JWT is malformed, or its signature is invalid.
    Token(TokenFault),
    /// The provider's tokens may not use the algorithm.
    AlgorithmNotAllowed,
    /// The issuer publishes no key with this `kid`.
    KeyUnknown,
    /// The claims are not valid.
    Claim(ClaimFault),
    /// The client does not meet the constraint of its token.
    Constraint(ConstraintFault),
    /// Servers may read target or method differently, or rules depend on how they do.
    Rule(RuleFault),
    /// The rule denies all requests.
    AccessDenied,
    /// The token is valid and does not meet the requirement of the rule.
    Unmet(UnmetReason),
    /// A claim that is forwarded is too long.
    IdentityTooLong,
    /// A number that is forwarded lost precision when it was parsed.
    IdentityNumberInexact,
    /// The introspection response says that the token is not active.
    TokenInactive,
    /// The introspection response is about another token.
    IntrospectionMismatch,
    /// The token is on the revocation list.
    TokenRevoked,
    /// The keys are not available now.
    KeysUnavailable(Duration),
    /// Introspection is not available now.
    IntrospectionUnavailable(Duration),
    /// The rate limit of introspection calls is reached.
    IntrospectionRateLimited(Duration),
    /// The revocation list was never read.
    RevocationsUnavailable(Duration),
    /// The request was pending until its deadline.
    WaitTimedOut,
    /// The memory of used proofs has no space: the client uses its share, or it is full.
    ReplayDetectionFull,
    /// Too many requests are pending.
    TooManyPending,
}

impl DenyReason {
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenMissing => "token_missing",
            Self::MultipleCredentials => "multiple_credentials",
            Self::CredentialMalformed => "credential_malformed",
            Self::TokenTooLarge => "token_too_large",
            Self::TokenOpaque => "token_opaque",
            Self::Token(TokenFault::Encoding) => "token_encoding",
            Self::Token(TokenFault::HeaderTooLarge) => "token_header_too_large",
            Self::Token(TokenFault::HeaderJson) => "token_header_json",
            Self::Token(TokenFault::AlgorithmMalformed) => "algorithm_malformed",
            Self::Token(TokenFault::AlgorithmUnsupported) => "algorithm_unsupported",
            Self::Token(TokenFault::HeaderParameterMalformed) => "token_header_malformed",
            Self::Token(TokenFault::ExtensionUnsupported) => "token_extension_unsupported",
            Self::Token(TokenFault::ClaimsJson) => "token_claims_json",
            Self::Token(TokenFault::SignatureInvalid) => "signature_invalid",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::KeyUnknown => "key_unknown",
            Self::Claim(ClaimFault::IssuerMalformed) => "issuer_malformed",
            Self::Claim(ClaimFault::IssuerUnknown) => "issuer_unknown",
            Self::Claim(ClaimFault::NotAnAccessToken) => "not_an_access_token",
            Self::Claim(ClaimFault::AudienceMissing) => "audience_missing",
            Self::Claim(ClaimFault::AudienceMalformed) => "audience_malformed",
            Self::Claim(ClaimFault::AudienceUnexpected) => "audience_unexpected",
            Self::Claim(ClaimFault::AudienceAmbiguous) => "audience_ambiguous",
            Self::Claim(ClaimFault::ExpiryMissing) => "expiry_missing",
            Self::Claim(ClaimFault::TimeMalformed) => "time_malformed",
            Self::Claim(ClaimFault::Expired) => "token_expired",
            Self::Claim(ClaimFault::NotYetValid) => "token_not_yet_valid",
            Self::Claim(ClaimFault::IssuedInTheFuture) => "token_issued_in_the_future",
            Self::Claim(ClaimFault::LifetimeTooLong) => "token_lifetime_too_long",
            Self::Claim(ClaimFault::IdentityMalformed) => "identity_malformed",
            Self::Claim(ClaimFault::ClientUnexpected) => "client_unexpected",
            Self::Claim(ClaimFault::SenderConstrained) => "sender_constrained",
            Self::Claim(ClaimFault::ThumbprintMalformed) => "certificate_thumbprint_malformed",
            Self::Claim(ClaimFault::KeyThumbprintMalformed) => "key_thumbprint_malformed",
            Self::Claim(ClaimFault::TokenNotBound) => "token_not_bound",
            Self::Constraint(ConstraintFault::CertificateMissing) => "certificate_missing",
            Self::Constraint(ConstraintFault::CertificateHeaderMalformed) => "certificate_header_malformed",
            Self::Constraint(ConstraintFault::CertificateMismatch) => "certificate_mismatch",
            Self::Constraint(ConstraintFault::SchemeNotDpop) => "dpop_scheme_required",
            Self::Constraint(ConstraintFault::NotBoundToKey) => "token_not_bound_to_key",
            Self::Constraint(ConstraintFault::Proof(fault)) => fault.name(),
            Self::Rule(RuleFault::Target(TargetFault::NotAPath)) => "path_malformed",
            Self::Rule(RuleFault::Target(TargetFault::TooLong)) => "path_too_long",
            Self::Rule(RuleFault::Target(TargetFault::EscapedSlash)) => "path_escaped_slash",
            Self::Rule(RuleFault::Target(TargetFault::Backslash)) => "path_backslash",
            Self::Rule(RuleFault::Target(TargetFault::ControlByte)) => "path_control_byte",
            Self::Rule(RuleFault::Target(TargetFault::BrokenEscape)) => "path_broken_escape",
            Self::Rule(RuleFault::Target(TargetFault::Fragment)) => "path_fragment",
            Self::Rule(RuleFault::Target(TargetFault::RawByte)) => "path_raw_byte",
            Self::Rule(RuleFault::Target(TargetFault::NotUtf8)) => "path_not_utf8",
            Self::Rule(RuleFault::Target(TargetFault::ParameterInDotSegment)) => "path_parameter_in_dot_segment",
            Self::Rule(RuleFault::Target(TargetFault::DotsAfterEmptySegment)) => "path_dots_after_empty_segment",
            Self::Rule(RuleFault::Target(TargetFault::AboveRoot)) => "path_above_root",
            Self::Rule(RuleFault::Method) => "method_malformed",
            Self::Rule(RuleFault::Route(RouteFault::HostUnusable)) => "host_unusable",
            Self::Rule(RuleFault::Route(RouteFault::HostAmbiguous)) => "host_ambiguous",
            Self::Rule(RuleFault::Route(RouteFault::PathAmbiguous)) => "path_ambiguous",
            Self::AccessDenied => "access_denied",
            Self::Unmet(reason) => reason.name(),
            Self::IdentityTooLong => "identity_too_long",
            Self::IdentityNumberInexact => "identity_number_inexact",
            Self::TokenInactive => "token_inactive",
            Self::IntrospectionMismatch => "introspection_mismatch",
            Self::TokenRevoked => "token_revoked",
            Self::IntrospectionUnavailable(_) => "introspection_unavailable",
            Self::IntrospectionRateLimited(_) => "introspection_rate_limited",
            Self::RevocationsUnavailable(_) => "revocations_unavailable",
            Self::KeysUnavailable(_) => "keys_unavailable",
            Self::WaitTimedOut => "pending_timed_out",
            Self::TooManyPending => "too_many_pending",
            Self::ReplayDetectionFull => "replay_detection_full",
        }
    }
}

impl From<TokenFault> for DenyReason {
    fn from(fault: TokenFault) -> Self {
        Self::Token(fault)
    }
}

impl From<ClaimFault> for DenyReason {
    fn from(fault: ClaimFault) -> Self {
        Self::Claim(fault)
    }
}

impl From<ConstraintFault> for DenyReason {
    fn from(fault: ConstraintFault) -> Self {
        Self::Constraint(fault)
    }
}

impl From<Unforwardable> for DenyReason {
    fn from(fault: Unforwardable) -> Self {
        match fault {
            Unforwardable::TooLong => Self::IdentityTooLong,
            Unforwardable::NumberInexact => Self::IdentityNumberInexact,
        }
    }
}

impl From<UnmetReason> for DenyReason {
    fn from(reason: UnmetReason) -> Self {
        Self::Unmet(reason)
    }
}

impl From<RuleFault> for DenyReason {
    fn from(fault: RuleFault) -> Self {
        Self::Rule(fault)
    }
}
