//! What a token says that it is judged by, and which of it is wrong.

use okta_proxy_wasm::jose::{Claim, Claims};
use okta_proxy_wasm::policy::{Audiences, ClaimFault, Provider};
use okta_proxy_wasm::unix_time::UnixTime;

use super::{Mark, Step};
use crate::clock;

/// The claims by which a token is recognized as another kind.
const KIND: [&str; 9] =
    ["typ", "token_type", "token_use", "token_usage", "tokenName", "nonce", "at_hash", "c_hash", "events"];

/// One claim, what it is and what is expected of it.
pub struct Told {
    name: &'static str,
    says: String,
}

/// What `judge` looks at, in its order.
pub fn told(claims: &Claims, provider: &Provider, now: UnixTime) -> Vec<Told> {
    let value = |name: &str| claims.members().get(name).map_or_else(|| String::from("(absent)"), ToString::to_string);
    let skew = provider.clock_skew.as_secs();
    let time = |name: &str| match claims.time(name) {
        Claim::Valid(time) => {
            let (before, after) = (now.since(time).as_secs(), time.since(now).as_secs());
            let distance = if time > now { format!("in {after} s") } else { format!("{before} s ago") };
            format!("{} ({distance}; {skew} s of clock skew)", clock::shown(time))
        }
        Claim::Absent => String::from("(absent)"),
        Claim::Malformed => format!("{}: not a time", value(name)),
    };
    let audiences = match &provider.audiences {
        Audiences::AnyOf(names) => format!("expected: one of {names:?}"),
        Audiences::InsecureAny => String::from("any is accepted"),
    };
    let client = provider.claim_names.client.iter().find(|name| claims.contains(name));
    let client = client.map_or_else(|| String::from("(absent)"), |name| value(name));
    let allowed = provider.client_ids.as_ref().map(|ids| format!("; allowed: {ids:?}")).unwrap_or_default();
    let limit = provider.max_token_lifetime.map(|limit| format!("; at most {} s before exp", limit.as_secs()));
    let of = |name, says| Told { name, says };
    let mut told = vec![
        of("iss", value("iss")),
        of("aud", format!("{}; {audiences}", value("aud"))),
        of("exp", time("exp")),
        of("nbf", time("nbf")),
        of("iat", format!("{}{}", time("iat"), limit.unwrap_or_default())),
        of("client", format!("{client}{allowed}")),
    ];
    for name in KIND.into_iter().chain(["jti", "cnf"]).filter(|name| claims.contains(name)) {
        told.push(of(name, value(name)));
    }
    told
}

/// The claims with the one marked for which the token is refused, if it is.
pub fn step(told: Vec<Told>, fault: Option<ClaimFault>) -> Step {
    let (mark, says) = match fault {
        None => (Mark::Good, String::from("valid")),
        Some(fault) => (Mark::Bad, sentence(fault).to_owned()),
    };
    let mut step = Step::new("claims", mark, says);
    let is_wrong = |name: &str| fault.is_some_and(|fault| about(fault).contains(&name));
    let details = told.into_iter().map(|Told { name, says }| {
        let mark = match (is_wrong(name), fault) {
            (true, _) => Mark::Bad,
            (false, None) => Mark::Good,
            // The first fault ends it: of the others nothing was said.
            (false, Some(_)) => Mark::Plain,
        };
        (mark, format!("{name} {says}"))
    });
    step.details = details.collect();
    step
}

const fn about(fault: ClaimFault) -> &'static [&'static str] {
    match fault {
        ClaimFault::IssuerMalformed | ClaimFault::IssuerUnknown => &["iss"],
        ClaimFault::NotAnAccessToken => &KIND,
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
    }
}

/// What is wrong.
pub const fn sentence(fault: ClaimFault) -> &'static str {
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
        ClaimFault::SenderConstrained => "it is sender-constrained (`cnf`), which the filter does not check",
    }
}
