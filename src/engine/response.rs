//! Maps each reason to the response of the client.
//!
//! Status and challenge say what helps (RFC 6750 section 3, RFC 9470). The submodules write the challenge, the body, the
//! redirect to sign-in and the debug header. Responses are terse: the client learns which credential would help, never
//! which check failed. Nothing of the request gets into a response, except a configured `Origin` and, percent-encoded, the
//! path of a browser.

mod body;
mod challenge;
mod debug;
mod redirect;

use std::time::Duration;

use crate::engine::deny_reason::DenyReason;
use crate::http::{HeaderName, HeaderValue, LocalResponse, RequestHead};
use crate::policy::{
    ConstraintFault, Cors, CredentialLocation, Policy, ProofFault, ProofKind, Provider, Remedy, ResponseClass, Rule,
    ValidatedToken,
};
use crate::unix_time::UnixTime;

/// The kinds of responses to denied requests.
enum Message<'a> {
    /// 401 with a bare challenge: there was no credential, so there is no error.
    NoCredential,
    /// 401 `invalid_token`.
    InvalidToken,
    /// 401 `invalid_token`: a token that is bound to the client would help.
    BoundTokenRequired(ProofKind),
    /// 401 `insufficient_user_authentication` (RFC 9470 section 3).
    StepUpRequired { acr_values: &'a [&'a str], max_age: Option<Duration>, scopes: &'a [&'a str] },
    /// 401 `invalid_dpop_proof` (RFC 9449 section 7.1).
    InvalidProof,
    /// 401 `use_dpop_nonce` (RFC 9449 section 9).
    NonceRequired,
    /// 400 `invalid_request`.
    InvalidRequest,
    /// 403 `insufficient_scope`.
    ScopeMissing(&'a [&'a str]),
    /// 403 without a challenge: no other token is known to help.
    Forbidden,
    /// 503 without a challenge: another token would not help.
    Unavailable(Duration),
}

/// `Retry-After` where the time is unknown.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Denial<'a> {
    pub reason: DenyReason,
    /// What would help the client.
    pub remedy: Remedy<'a>,
    /// Its rule. The default rule if the rule is unknown.
    pub rule: &'a Rule,
    /// The provider that its token names, verified or not.
    pub provider: Option<&'a Provider>,
    /// The authenticated token that does not meet the rule, and the time.
    pub token: Option<(&'a ValidatedToken, UnixTime)>,
    /// Where its token was.
    pub source: Option<CredentialLocation>,
    /// The request head, for the format of the response.
    pub head: &'a RequestHead,
}

/// The response to a denied request. A response to `HEAD` has the body of one to `GET`: hosts drop it and keep its length and
/// type (RFC 9110 section 9.3.2).
pub fn deny_response(refusal: &Denial<'_>, policy: &Policy) -> LocalResponse {
    let answers = &policy.responses;
    let message = Message::of(refusal);
    let custom = answers.custom.of(message.class());
    let mut reply = match redirect::location(&message, refusal, answers) {
        Some(location) => LocalResponse {
            status: redirect::STATUS,
            headers: vec![(HeaderName::LOCATION, location)],
            body: Vec::new(),
        },
        None => {
            let (content_type, body) = body::body(&message, refusal, answers);
            let mut reply = LocalResponse {
                status: message.class().status(),
                headers: vec![(HeaderName::CONTENT_TYPE, content_type)],
                body,
            };
            let challenges = challenge::challenges(&message, refusal, policy).into_iter();
            reply.headers.extend(challenges.map(|challenge| (HeaderName::WWW_AUTHENTICATE, challenge)));
            if let Message::Unavailable(retry_after) = message {
                let seconds =
                    retry_after.clamp(MIN_RETRY_AFTER, MAX_RETRY_AFTER).as_millis().div_ceil(1000).to_string();
                reply.headers.push((HeaderName::RETRY_AFTER, HeaderValue::encode(&seconds, None)));
            }
            reply
        }
    };
    reply.headers.push((HeaderName::CACHE_CONTROL, HeaderValue::encode("no-store", None)));
    reply.headers.extend(answers.cors.iter().flat_map(|cors| cors_headers(cors, refusal.head)));
    reply.headers.extend(custom.headers.iter().cloned());
    reply.headers.extend(debug::field(refusal, policy));
    reply
}

/// The response if the host cannot show the request or apply its decision. The client can correct a 4xx only.
pub fn host_error_response(status: u16) -> LocalResponse {
    let message = if status >= 500 { Message::Unavailable(MIN_RETRY_AFTER) } else { Message::InvalidRequest };
    let body = serde_json::json!({ "error": message.error(), "error_description": message.sentence() });
    let mut reply = json_response(status, &body);
    if let Message::Unavailable(retry_after) = message {
        let seconds = retry_after.as_secs().to_string();
        reply.headers.push((HeaderName::RETRY_AFTER, HeaderValue::encode(&seconds, None)));
    }
    reply
}

/// The response of the readiness path.
pub fn readiness_response(is_ready: bool) -> LocalResponse {
    json_response(if is_ready { 200 } else { 503 }, &serde_json::json!({ "ready": is_ready }))
}

/// A response that the configuration does not change.
fn json_response(status: u16, body: &serde_json::Value) -> LocalResponse {
    LocalResponse {
        status,
        headers: vec![
            (HeaderName::CONTENT_TYPE, HeaderValue::encode("application/json", None)),
            (HeaderName::CACHE_CONTROL, HeaderValue::encode("no-store", None)),
        ],
        body: body.to_string().into_bytes(),
    }
}

impl<'a> Message<'a> {
    fn of(refusal: &'a Denial<'_>) -> Self {
        match refusal.reason {
            DenyReason::TokenMissing => Self::NoCredential,
            DenyReason::MultipleCredentials | DenyReason::Rule(_) => Self::InvalidRequest,
            DenyReason::CredentialMalformed
            | DenyReason::TokenTooLarge
            | DenyReason::TokenOpaque
            | DenyReason::Token(_)
            | DenyReason::AlgorithmNotAllowed
            | DenyReason::KeyUnknown
            | DenyReason::Claim(_)
            | DenyReason::Constraint(
                ConstraintFault::CertificateMissing
                | ConstraintFault::CertificateHeaderMalformed
                | ConstraintFault::CertificateMismatch
                | ConstraintFault::SchemeNotDpop
                | ConstraintFault::NotBoundToKey
                | ConstraintFault::Proof(ProofFault::KeyMismatch),
            )
            | DenyReason::TokenInactive
            | DenyReason::IntrospectionMismatch
            | DenyReason::TokenRevoked => Self::InvalidToken,
            DenyReason::Constraint(ConstraintFault::Proof(ProofFault::Nonce(_))) => Self::NonceRequired,
            DenyReason::Constraint(ConstraintFault::Proof(_)) => Self::InvalidProof,
            DenyReason::AccessDenied
            | DenyReason::IdentityTooLong
            | DenyReason::IdentityNumberInexact
            | DenyReason::Unmet(_) => match &refusal.remedy {
                Remedy::None => Self::Forbidden,
                Remedy::BoundToken(kind) => Self::BoundTokenRequired(*kind),
                Remedy::Scopes(scopes) => Self::ScopeMissing(scopes),
                Remedy::Authentication { acr_values, max_age, scopes } => {
                    Self::StepUpRequired { acr_values, max_age: *max_age, scopes }
                }
            },
            DenyReason::KeysUnavailable(retry_after)
            | DenyReason::IntrospectionUnavailable(retry_after)
            | DenyReason::IntrospectionRateLimited(retry_after)
            | DenyReason::RevocationsUnavailable(retry_after) => Self::Unavailable(retry_after),
            DenyReason::WaitTimedOut | DenyReason::TooManyPending | DenyReason::ReplayDetectionFull => {
                Self::Unavailable(MIN_RETRY_AFTER)
            }
        }
    }

    const fn class(&self) -> ResponseClass {
        match self {
            Self::NoCredential
            | Self::InvalidToken
            | Self::BoundTokenRequired(_)
            | Self::InvalidProof
            | Self::NonceRequired
            | Self::StepUpRequired { .. } => ResponseClass::Unauthorized,
            Self::InvalidRequest => ResponseClass::BadRequest,
            Self::ScopeMissing(_) | Self::Forbidden => ResponseClass::Forbidden,
            Self::Unavailable(_) => ResponseClass::Unavailable,
        }
    }

    /// The error code in bodies.
    const fn error(&self) -> &'static str {
        match self {
            Self::NoCredential => "unauthorized",
            Self::InvalidToken | Self::BoundTokenRequired(_) => "invalid_token",
            Self::InvalidProof => "invalid_dpop_proof",
            Self::NonceRequired => "use_dpop_nonce",
            Self::StepUpRequired { .. } => "insufficient_user_authentication",
            Self::InvalidRequest => "invalid_request",
            Self::ScopeMissing(_) => "insufficient_scope",
            Self::Forbidden => "access_denied",
            Self::Unavailable(_) => "temporarily_unavailable",
        }
    }

    const fn sentence(&self) -> &'static str {
        match self {
            Self::NoCredential => "An access token is needed.",
            Self::InvalidToken => "The access token is not valid.",
            Self::BoundTokenRequired(ProofKind::Dpop) => "An access token that is bound to a DPoP key is needed.",
            Self::BoundTokenRequired(ProofKind::Mtls) => {
                "An access token that is bound to a client certificate is needed."
            }
            Self::BoundTokenRequired(ProofKind::Any) => {
                "An access token that is bound to a client certificate or a DPoP key is needed."
            }
            Self::InvalidProof => "The DPoP proof is not valid.",
            Self::NonceRequired => "The DPoP proof needs the nonce of this response.",
            Self::StepUpRequired { .. } => "A stronger or more recent authentication is needed.",
            Self::InvalidRequest => "The request is malformed or carries more than one credential.",
            Self::ScopeMissing(_) => "The access token lacks a scope.",
            Self::Forbidden => "The access token does not permit this request.",
            Self::Unavailable(_) => "The request cannot be authorized at the moment.",
        }
    }
}

/// The CORS headers (Fetch, section 3.2). A denied preflight has them too: it fails by its status.
fn cors_headers(cors: &Cors, head: &RequestHead) -> Vec<(HeaderName, HeaderValue)> {
    // Also without an `Origin`: with another one the response would differ.
    let mut headers = vec![(HeaderName::VARY, HeaderValue::encode("Origin", None))];
    if let Some(allowed) = head.single("origin").and_then(|origin| cors.origins.allow_origin_header(origin)) {
        headers.push((HeaderName::ALLOW_ORIGIN, allowed));
        if cors.allow_credentials {
            headers.push((HeaderName::ALLOW_CREDENTIALS, HeaderValue::encode("true", None)));
        }
        headers.push((HeaderName::EXPOSE_HEADERS, cors.expose.clone()));
    }
    headers
}

/// As Envoy does: the response becomes a gRPC status, and its body the message.
fn is_grpc(head: &RequestHead) -> bool {
    let is_named =
        |value: &[u8]| value.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest, [] | [b'+', ..]));
    head.values("content-type").any(is_named)
}
