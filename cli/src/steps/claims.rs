//! The claims that validation evaluates, and the ones that failed.

use okta_proxy_wasm::jose::{Claim, Claims};
use okta_proxy_wasm::policy::{Audiences, ClaimFault, Provider};
use okta_proxy_wasm::unix_time::UnixTime;

use super::{Step, StepOutcome};
use crate::clock;
use crate::text::{duration, list, one_of};

/// The claims that identify another type of token.
const TOKEN_TYPE_CLAIMS: [&str; 9] =
    ["typ", "token_type", "token_use", "token_usage", "tokenName", "nonce", "at_hash", "c_hash", "events"];

/// A claim with its value and the expectation.
pub struct ClaimDetail {
    name: &'static str,
    message: String,
}

/// The claims that `ValidatedToken::validate` evaluates, in its order.
pub fn claim_details(claims: &Claims, provider: &Provider, now: UnixTime) -> Vec<ClaimDetail> {
    let value = |name: &str| claims.members().get(name).map_or_else(|| String::from("(absent)"), ToString::to_string);
    let skew = provider.clock_skew.as_secs();
    let time = |name: &str| match claims.time(name) {
        Claim::Valid(time) => {
            let (before, after) = (now.since(time), time.since(now));
            let distance =
                if time > now { format!("in {}", duration(after)) } else { format!("{} ago", duration(before)) };
            format!("{} ({distance}; {skew} s of clock skew)", clock::to_rfc3339(time))
        }
        Claim::Absent => String::from("(absent)"),
        Claim::Malformed => format!("{}: not a time", value(name)),
    };
    let audiences = match &provider.audiences {
        Audiences::AnyOf(names) => format!("expected: {}", one_of(names.iter().map(String::as_str))),
        Audiences::InsecureAny => String::from("any is accepted"),
    };
    let client = provider.claim_names.client.iter().find(|name| claims.contains(name));
    let client = client.map_or_else(|| String::from("(absent)"), |name| value(name));
    let allowed = provider
        .client_ids
        .as_ref()
        .map(|ids| format!("; allowed: {}", list(ids.iter().map(String::as_str))))
        .unwrap_or_default();
    let limit = provider.max_token_lifetime.map(|limit| format!("; at most {} s before exp", limit.as_secs()));
    let of = |name, message| ClaimDetail { name, message };
    let mut details = vec![
        of("iss", value("iss")),
        of("aud", format!("{}; {audiences}", value("aud"))),
        of("exp", time("exp")),
        of("nbf", time("nbf")),
        of("iat", format!("{}{}", time("iat"), limit.unwrap_or_default())),
        of("client", format!("{client}{allowed}")),
    ];
    for name in TOKEN_TYPE_CLAIMS.into_iter().chain(["jti", "cnf"]).filter(|name| claims.contains(name)) {
        details.push(of(name, value(name)));
    }
    details
}

/// The step, which marks the claim that failed.
pub fn step(details: Vec<ClaimDetail>, fault: Option<ClaimFault>) -> Step {
    let (outcome, message) = match fault {
        None => (StepOutcome::Pass, String::from("valid")),
        Some(fault) => (StepOutcome::Fail, describe(fault).to_owned()),
    };
    let mut step = Step::new("claims", outcome, message);
    let is_wrong = |name: &str| fault.is_some_and(|fault| affected_claims(fault).contains(&name));
    let details = details.into_iter().map(|ClaimDetail { name, message }| {
        let outcome = match (is_wrong(name), fault) {
            (true, _) => StepOutcome::Fail,
            (false, None) => StepOutcome::Pass,
            // Validation stops at the first fault, so the other claims have no outcome.
            (false, Some(_)) => StepOutcome::Info,
        };
        (outcome, format!("{name} {message}"))
    });
    step.details = details.collect();
    step
}

const fn affected_claims(fault: ClaimFault) -> &'static [&'static str] {
    match fault {
        ClaimFault::IssuerMalformed | ClaimFault::IssuerUnknown => &["iss"],
        ClaimFault::NotAnAccessToken => &TOKEN_TYPE_CLAIMS,
        ClaimFault::AudienceMissing
        | ClaimFault::AudienceMalformed
        | ClaimFault::AudienceUnexpected
        | ClaimFault::AudienceAmbiguous => &["aud"],
        ClaimFault::ExpiryMissing | ClaimFault::Expired => &["exp"],
        ClaimFault::TimeMalformed => &["exp", "nbf", "iat"],
        ClaimFault::NotYetValid => &["nbf"],
        ClaimFault::IssuedInTheFuture | ClaimFault::LifetimeTooLong => &["iat"],
        ClaimFault::IdentityMalformed => &["client", "jti"],
        ClaimFault::ClientUnexpected => &["client"],
        ClaimFault::SenderConstrained => &["cnf", "typ", "token_type"],
        ClaimFault::ThumbprintMalformed | ClaimFault::KeyThumbprintMalformed | ClaimFault::TokenNotBound => &["cnf"],
    }
}

pub const fn describe(fault: ClaimFault) -> &'static str {
    match fault {
        ClaimFault::IssuerMalformed => "`iss` is missing or not a string",
        ClaimFault::IssuerUnknown => "`iss` differs from the provider's issuer",
        ClaimFault::NotAnAccessToken => "not an access token",
        ClaimFault::AudienceMissing => "`aud` is missing",
        ClaimFault::AudienceMalformed => "`aud` is neither a string nor a list of strings",
        ClaimFault::AudienceUnexpected => "`aud` names no expected audience",
        ClaimFault::AudienceAmbiguous => "`aud` names audiences of several providers",
        ClaimFault::ExpiryMissing => "`exp` is missing",
        ClaimFault::TimeMalformed => "`exp`, `nbf` or `iat` is not a time",
        ClaimFault::Expired => "it has expired",
        ClaimFault::NotYetValid => "it is not valid yet",
        ClaimFault::IssuedInTheFuture => "it was issued in the future",
        ClaimFault::LifetimeTooLong => "its lifetime exceeds `max_token_lifetime`, or is not stated",
        ClaimFault::IdentityMalformed => "the claim for subject, client or scopes, or `jti`, is of the wrong type",
        ClaimFault::ClientUnexpected => "its client is not in `client_ids`",
        ClaimFault::SenderConstrained => {
            "it is sender-constrained (`cnf`), which the filter does not check: see `sender_constraint`"
        }
        ClaimFault::ThumbprintMalformed => "`cnf.x5t#S256` is not base64url of a SHA-256 digest (43 characters)",
        ClaimFault::KeyThumbprintMalformed => "`cnf.jkt` is not base64url of a SHA-256 digest (43 characters)",
        ClaimFault::TokenNotBound => {
            "it is bound to no certificate (`cnf.x5t#S256`) or no key (`cnf.jkt`), and `sender_constraint` requires it"
        }
    }
}
