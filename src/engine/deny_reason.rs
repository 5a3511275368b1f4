//! Why a request is refused, exactly: stable snake_case names for logs and metrics, and whose fault it
//! is. What the client is told of it is decided in `reply`, and is much less.

use std::time::Duration;

use crate::jose::TokenFault;
use crate::policy::{ClaimFault, RouteFault, RuleFault, TargetFault, Unforwardable, UnmetReason};

/// One reason per way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenyReason {
    /// No credential of a kind that is looked for.
    TokenMissing,
    /// More than one credential, wherever they stand.
    MultipleCredentials,
    /// A place for a credential with something in it that is not one token.
    CredentialMalformed,
    /// A token over the size limit.
    TokenTooLarge,
    /// Not a JWT, and no provider takes opaque tokens.
    TokenOpaque,
    /// Not a JWT that could be verified, or one whose signature does not hold.
    Token(TokenFault),
    /// An algorithm that this provider's tokens may not use.
    AlgorithmNotAllowed,
    /// A `kid` that the issuer does not publish.
    KeyUnknown,
    /// The claims do not say what they must.
    Claim(ClaimFault),
    /// The request's target or method cannot be read in one way, or it comes under rules that depend on who reads it.
    Rule(RuleFault),
    /// The rule lets nobody pass.
    AccessDenied,
    /// The token is good, and not for this.
    Unmet(UnmetReason),
    /// The token is good, and says something that is to be handed over and is too long for that.
    IdentityTooLong,
    /// The token is good, and a number that is to be forwarded was rounded when it was read.
    IdentityNumberInexact,
    /// Its issuer says that it is not active: expired, revoked, or never issued.
    TokenInactive,
    /// Its issuer's answer is about another token.
    IntrospectionMismatch,
    /// It is on the list of revoked tokens.
    TokenRevoked,
    /// The issuer's keys, or this one, cannot be had now.
    KeysUnavailable(Duration),
    /// Its issuer cannot be asked now.
    IntrospectionUnavailable(Duration),
    /// Its issuer was asked about as many tokens as it may be.
    IntrospectionRateLimited(Duration),
    /// There never was a list of revoked tokens.
    RevocationsUnavailable(Duration),
    /// The request waited until its own deadline.
    WaitTimedOut,
    /// Too many requests wait already.
    TooManyPending,
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorSource {
    /// The client's: it can do something about it.
    Client,
    /// Ours, the issuer's or the network's: never answered with a 401.
    Gateway,
}

impl DenyReason {
    /// The reason's stable name.
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
        }
    }

    /// Whose fault it is.
    pub const fn error_source(self) -> ErrorSource {
        match self {
            Self::TokenMissing
            | Self::MultipleCredentials
            | Self::CredentialMalformed
            | Self::TokenTooLarge
            | Self::TokenOpaque
            | Self::Token(_)
            | Self::AlgorithmNotAllowed
            | Self::KeyUnknown
            | Self::Claim(_)
            | Self::Rule(_)
            | Self::AccessDenied
            | Self::IdentityTooLong
            | Self::IdentityNumberInexact
            | Self::TokenInactive
            | Self::IntrospectionMismatch
            | Self::TokenRevoked
            | Self::Unmet(_) => ErrorSource::Client,
            Self::KeysUnavailable(_)
            | Self::IntrospectionUnavailable(_)
            | Self::IntrospectionRateLimited(_)
            | Self::RevocationsUnavailable(_)
            | Self::WaitTimedOut
            | Self::TooManyPending => ErrorSource::Gateway,
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
