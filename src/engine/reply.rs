//! The exhaustive map from why a request is refused to what the client is told (RFC 6750 section 3).
//!
//! Terse on purpose: the client learns what kind of credential would help, never which check failed.

use std::time::Duration;

use crate::engine::deny_reason::DenyReason;
use crate::http::{HeaderName, HeaderValue, Reply, RequestHead};
use crate::policy::{Answers, Remedy};

/// What a class of refusals looks like from outside.
enum Class {
    /// 401 with a bare challenge: nothing was offered, so nothing is said to be wrong.
    NoCredential,
    /// 401 `invalid_token`.
    InvalidToken,
    /// 400 `invalid_request`.
    InvalidRequest,
    /// 403 with what would help, or 401 when that is another log-in.
    Forbidden,
    /// 503: undecidable now; no challenge, for another token would not help.
    Unavailable(Duration),
}

/// How soon a client may try again when we cannot know better.
const RETRY_SOON: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(60);

/// A request that is refused.
#[derive(Debug)]
pub struct Refusal<'a> {
    /// Why.
    pub reason: DenyReason,
    /// What would help.
    pub remedy: Remedy<'a>,
    /// What the client has asked, and in which way it wants to be answered.
    pub head: &'a RequestHead,
}

/// The reply to a refusal.
pub fn reply_to(refusal: &Refusal<'_>, answers: &Answers) -> Reply {
    let realm = quoted(&answers.realm);
    match class_of(refusal.reason) {
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
        Class::Forbidden => forbidden(&refusal.remedy, &realm),
        Class::Unavailable(retry_after) => {
            let mut reply =
                error_reply(503, "temporarily_unavailable", "The request cannot be authorized at the moment.");
            let seconds = retry_after.clamp(RETRY_SOON, RETRY_AT_MOST).as_millis().div_ceil(1000).to_string();
            reply.headers.push((HeaderName::RETRY_AFTER, HeaderValue::encode(&seconds, None)));
            reply
        }
    }
}

/// The reply to a request whose decision could not be carried out: that is no fault of the client's.
pub fn undelivered_reply() -> Reply {
    error_reply(503, "temporarily_unavailable", "The request cannot be authorized at the moment.")
}

/// The reply to a question for readiness.
pub fn readiness_reply(is_ready: bool) -> Reply {
    json_reply(if is_ready { 200 } else { 503 }, &serde_json::json!({ "ready": is_ready }))
}

fn class_of(reason: DenyReason) -> Class {
    match reason {
        DenyReason::TokenMissing => Class::NoCredential,
        DenyReason::CredentialRepeated | DenyReason::Rule(_) => Class::InvalidRequest,
        DenyReason::CredentialMalformed
        | DenyReason::TokenTooLarge
        | DenyReason::TokenOpaque
        | DenyReason::Token(_)
        | DenyReason::AlgorithmNotAllowed
        | DenyReason::KeyUnknown
        | DenyReason::Claim(_) => Class::InvalidToken,
        DenyReason::AccessDenied | DenyReason::IdentityTooLong | DenyReason::Unmet(_) => Class::Forbidden,
        DenyReason::KeysUnavailable(retry_after) => Class::Unavailable(retry_after),
        DenyReason::WaitTimedOut | DenyReason::TooManyWaiting => Class::Unavailable(RETRY_SOON),
    }
}

/// A good token that may not do this (RFC 6750 section 3.1), or whose log-in will not do (RFC 9470 section 3).
fn forbidden(remedy: &Remedy<'_>, realm: &str) -> Reply {
    match remedy {
        Remedy::None => error_reply(403, "access_denied", "The access token does not permit this request."),
        Remedy::Scopes(scopes) => {
            let challenge =
                format!("Bearer realm={realm}, error=\"insufficient_scope\", scope={}", quoted_list(scopes));
            with_challenge(403, &challenge, "insufficient_scope", "The access token lacks a scope.")
        }
        Remedy::Authentication { acr_values, max_age, scopes } => {
            let mut challenge = format!("Bearer realm={realm}, error=\"insufficient_user_authentication\"");
            if !acr_values.is_empty() {
                challenge.push_str(&format!(", acr_values={}", quoted_list(acr_values)));
            }
            if let Some(age) = max_age {
                challenge.push_str(&format!(", max_age={}", age.as_secs()));
            }
            if !scopes.is_empty() {
                challenge.push_str(&format!(", scope={}", quoted_list(scopes)));
            }
            let description = "A stronger or more recent authentication is needed.";
            with_challenge(401, &challenge, "insufficient_user_authentication", description)
        }
    }
}

fn quoted_list(items: &[&str]) -> String {
    quoted(&items.join(" "))
}

fn with_challenge(status: u16, challenge: &str, error: &str, description: &str) -> Reply {
    let mut reply = error_reply(status, error, description);
    // As it is: an encoded `%` would make another scope of `a%b`. The loader lets nothing through that is not safe.
    let value = HeaderValue::parse(challenge).unwrap_or_else(|| HeaderValue::encode(challenge, None));
    reply.headers.push((HeaderName::WWW_AUTHENTICATE, value));
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
