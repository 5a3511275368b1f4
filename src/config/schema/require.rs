//! The schema of `require`: what a rule requires of the token. The doc comments are the reference.
//!
//! ```json
//! "require": {
//!   "scopes": ["payments:write"],
//!   "acr": "urn:okta:loa:2fa:any", "max_age": "15m",
//!   "claims": { "department": "finance", "clearance": { "one_of": [3, 4] } },
//!   "any_of": [{ "groups": ["treasury"] }, { "client_ids": ["0oaBatch"] }],
//!   "not": { "groups": ["suspended"] }
//! }
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::claim_path::ClaimPath;
use crate::config::decode::{Decode, document, expect, string_enum};
use crate::config::error::{ConfigError, ConfigErrorKind, Path};
use crate::policy::ProofKind;
use crate::policy::requirement::ClaimValue;

document! {
    /// The requirements of a rule: all members must be met.
    ///
    /// If several are not met, the response names what the client can act on: the scopes to request or the required sign-in,
    /// but only if a token with these would be accepted; otherwise 403.
    RequireDocument {
        /// The token grants all of these scopes, compared whole. Otherwise 403 `insufficient_scope`, with all of them.
        scopes: Vec<String>,
        /// The token grants at least one of these scopes. The challenge names the first one: list the least privilege first.
        any_scope: Vec<String>,
        /// The user is in at least one of these groups (the provider's `groups_claim`).
        groups: Vec<String>,
        /// The token was issued to one of these clients.
        client_ids: Vec<String>,
        /// The token's `aud` contains one of these, in addition to the provider's `audiences`.
        audiences: Vec<String>,
        /// Tests of other claims: an object of claim names with a value or test for each, or a list of tests that name the claim
        /// in `claim`, which may be the path of a nested claim.
        claims: ClaimsDocument,
        /// The authentication context: one value, or a list of accepted values. A stronger value of Okta also meets a weaker
        /// one: `phrh`, `phr`, `urn:okta:loa:2fa:any`, `urn:okta:loa:1fa:any` (the same
        /// as `urn:okta:loa:1fa:pwd` and `urn:okta:loa:2fa:any:ifpossible`). Other values are compared exactly.
        /// Otherwise, or without an `acr` in the token: 401 `insufficient_user_authentication` (RFC 9470).
        acr: AcrDocument,
        /// The maximum time since the user authenticated (`auth_time`), plus the provider's `clock_skew`, in whole seconds.
        /// Otherwise, or without `auth_time`: 401 as for `acr`.
        max_age: Duration,
        /// The user was authenticated by all of these methods (RFC 8176), such as `["hwk"]`. Okta has them in ID
        /// tokens only: use `acr` there.
        amr: Vec<String>,
        /// The client has proved that the token is its own: `dpop` with a DPoP proof (RFC 9449), `mtls` with the client
        /// certificate that the token is bound to (RFC 8705), `any` with one of these. Requires the provider's
        /// `sender_constraint`. Otherwise 401 `invalid_token`; 403 if the provider accepts no such tokens.
        proof: ProofKind,
        /// An expression in CEL (the Common Expression Language) over the request and the token that is true, such as
        /// `"ip_in(source.address, ['10.0.0.0/8'])"`. An error, such as a missing claim or attribute or one
        /// of another type, denies the request.
        condition: String,
        /// At least one of these is met.
        any_of: Vec<RequireDocument>,
        /// Each of these is met.
        all_of: Vec<RequireDocument>,
        /// This is certainly not met. It is not certain where the token lacks groups, client, audiences or methods, or has them
        /// in a malformed claim. (A missing claim of `claims` certainly does not have the value.) One member only, and neither
        /// `acr` nor `max_age`.
        not: Box<RequireDocument>,
    }
}

document! {
    /// The test of one claim; exactly one of the five. Values are strings, numbers and booleans, compared
    /// whole and by type. A claim that is a single value counts as a list of one.
    ClaimTestDocument {
        /// The claim: a name, or the list of names of the path to a nested claim. Names are literal, also with dots. In the list
        /// form only.
        claim: ClaimPath,
        /// The claim is this value, or a list that contains it. `"department": "finance"` is short for this.
        equals: ClaimValue,
        /// The same as `equals`, for claims that are lists.
        contains: ClaimValue,
        /// The claim is one of these values, or a list that contains one.
        one_of: Vec<ClaimValue>,
        /// The claim is a list that contains all of these values.
        contains_all: Vec<ClaimValue>,
        /// Whether the claim is present. `null` is neither.
        exists: bool,
    }
}

/// The tests of claims.
#[derive(Debug)]
pub enum ClaimsDocument {
    /// By the literal name of a claim of the token.
    ByName(BTreeMap<String, ClaimTestDocument>),
    /// With the claim named in each.
    List(Vec<ClaimTestDocument>),
}

/// `acr`: the accepted values.
#[derive(Debug)]
pub struct AcrDocument(pub Vec<String>);

string_enum!(ProofKind { "dpop" => Dpop, "mtls" => Mtls, "any" => Any });

impl Decode for Box<RequireDocument> {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        RequireDocument::decode(value, at, errors).map(Self::new)
    }
}

impl Decode for ClaimsDocument {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        match value {
            Value::Object(members) => {
                let mut tests = BTreeMap::new();
                for (name, value) in members {
                    tests.extend(short_test(value, &at.member(name), errors).map(|test| (name.clone(), test)));
                }
                Some(Self::ByName(tests))
            }
            Value::Array(_) => Vec::decode(value, at, errors).map(Self::List),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => expect(
                None,
                "an object of claim names with what each must hold, or a list of tests with `claim` in each",
                at,
                errors,
            ),
        }
    }
}

/// `"finance"` for `{"equals": "finance"}`. A bare list is an error: `scopes` requires all and `groups` one, so its meaning
/// is not obvious.
fn short_test(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<ClaimTestDocument> {
    let problem = match value {
        Value::Object(_) => return ClaimTestDocument::decode(value, at, errors),
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {
            let equals = Some(ClaimValue::decode(value, at, errors)?);
            return Some(ClaimTestDocument { equals, ..ClaimTestDocument::default() });
        }
        Value::Array(_) => "say which is meant: {\"one_of\": [...]} or {\"contains_all\": [...]}",
        Value::Null => "to require that the claim is missing, write {\"exists\": false}",
    };
    errors.push(at.error(ConfigErrorKind::Invalid(problem)));
    None
}

impl Decode for AcrDocument {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self(vec![text.clone()])),
            Value::Array(_) => Vec::decode(value, at, errors).map(Self),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                expect(None, "an `acr` value, or a list of them", at, errors)
            }
        }
    }
}

impl Decode for ClaimValue {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        // Beyond 2^53 several integers are one double, so that another number than the written one would match.
        const EXACT: f64 = 9_007_199_254_740_991.0;
        let read = match value {
            Value::String(text) if text.is_empty() => Err("an empty string; is something missing?"),
            Value::String(text) => Ok(Self::Text(text.clone())),
            Value::Bool(truth) => Ok(Self::Bool(*truth)),
            Value::Number(number) => match number.as_f64().filter(|number| number.abs() <= EXACT) {
                Some(number) => Ok(Self::Number(number)),
                None => Err("a number beyond 2^53 is not compared exactly; let the issuer write it as a string"),
            },
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return expect(None, "a string, a number or a boolean", at, errors);
            }
        };
        read.map_err(|problem| errors.push(at.error(ConfigErrorKind::Invalid(problem)))).ok()
    }
}
