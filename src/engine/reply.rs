//! The exhaustive map from why a request is refused to what the client is told (RFC 6750 section 3).
//!
//! Terse on purpose: the client learns what kind of credential would help, never which check failed.

use std::time::Duration;

use crate::engine::deny_reason::DenyReason;
use crate::http::{HeaderName, HeaderValue, Reply};

/// What a class of refusals looks like from outside.
enum Class {
    /// 401 with a bare challenge: nothing was offered, so nothing is said to be wrong.
    NoCredential,
    /// 401 `invalid_token`.
    InvalidToken,
    /// 400 `invalid_request`.
    InvalidRequest,
    /// 503: undecidable now; no challenge, for another token would not help.
    Unavailable(Duration),
}

/// How soon a client may try again when we cannot know better.
const RETRY_SOON: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(60);

/// The reply to a request that is refused for `reason`.
pub fn reply_to(reason: DenyReason, realm: &str) -> Reply {
    let realm = quoted(realm);
    match class_of(reason) {
        Class::NoCredential => {
            with_challenge(401, &format!("Bearer realm={realm}"), "unauthorized", "An access token is needed.")
        }
        Class::InvalidToken => with_challenge(
            401,
            &format!("Bearer realm={realm}, error=\"invalid_token\""),
            "invalid_token",
            "The access token is not valid.",
        ),
        Class::InvalidRequest => with_challenge(
            400,
            &format!("Bearer realm={realm}, error=\"invalid_request\""),
            "invalid_request",
            "The request is malformed or carries more than one credential.",
        ),
        Class::Unavailable(retry_after) => {
            let mut reply =
                error_reply(503, "temporarily_unavailable", "The request cannot be authorized at the moment.");
            let seconds = retry_after.clamp(RETRY_SOON, RETRY_AT_MOST).as_millis().div_ceil(1000).to_string();
            reply.headers.push((HeaderName::RETRY_AFTER, HeaderValue::encode(&seconds, None)));
            reply
        }
    }
}

/// The reply to a question for readiness.
pub fn readiness_reply(is_ready: bool) -> Reply {
    json_reply(if is_ready { 200 } else { 503 }, &serde_json::json!({ "ready": is_ready }))
}

fn class_of(reason: DenyReason) -> Class {
    match reason {
        DenyReason::TokenMissing => Class::NoCredential,
        DenyReason::CredentialRepeated => Class::InvalidRequest,
        DenyReason::CredentialMalformed
        | DenyReason::TokenTooLarge
        | DenyReason::TokenOpaque
        | DenyReason::Token(_)
        | DenyReason::AlgorithmNotAllowed
        | DenyReason::KeyUnknown
        | DenyReason::Claim(_) => Class::InvalidToken,
        DenyReason::KeysUnavailable(retry_after) => Class::Unavailable(retry_after),
        DenyReason::WaitTimedOut | DenyReason::TooManyWaiting => Class::Unavailable(RETRY_SOON),
    }
}

fn with_challenge(status: u16, challenge: &str, error: &str, description: &str) -> Reply {
    let mut reply = error_reply(status, error, description);
    reply.headers.push((HeaderName::WWW_AUTHENTICATE, HeaderValue::encode(challenge, None)));
    reply
}

fn error_reply(status: u16, error: &str, description: &str) -> Reply {
    json_reply(status, &serde_json::json!({ "error": error, "error_description": description }))
}

fn json_reply(status: u16, body: &serde_json::Value) -> Reply {
    Reply {
        status,
        headers: vec![
            (HeaderName::CONTENT_TYPE, HeaderValue::encode("application/json", None)),
            (HeaderName::CACHE_CONTROL, HeaderValue::encode("no-store", None)),
        ],
        body: body.to_string().into_bytes(),
    }
}

/// A quoted-string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
