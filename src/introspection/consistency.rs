//! Whether an introspection response is about the JWT whose signature was verified.

use crate::jose::{ActiveToken, Claim};
use crate::policy::{ValidatedToken, is_named_dpop};

/// The response is about another token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtherToken;

/// Whether the response is about this token: where both have an issuer, a subject, a client or a `jti`, these are equal. What
/// grants access is the token itself; the response only must not contradict it.
///
/// # Errors
/// When they differ, or the response has no readable value where the token has one.
pub fn check_consistency(token: &ValidatedToken, answer: &ActiveToken) -> Result<(), OtherToken> {
    let said = answer.claims();
    for name in ["iss", "sub", "jti"] {
        agree(token.claims().string(name), said.string(name))?;
    }
    // A response may be the only one to say that a token is bound. It must not contradict the token that is checked.
    let confirmation = said.members().get("cnf").filter(|confirmation| !confirmation.is_null());
    if confirmation.is_some() && confirmation != token.claims().members().get("cnf") {
        return Err(OtherToken);
    }
    if token.binding().key.is_none() && is_named_dpop(answer) {
        return Err(OtherToken);
    }
    let ours = token.client().map_or(Claim::Absent, Claim::Valid);
    for name in ["client_id", "cid", "azp"] {
        // `azp` of a token that has a `client_id` too may be another party's (OpenID Connect Core section 2).
        match said.string(name) {
            Claim::Absent => {}
            named @ (Claim::Valid(_) | Claim::Malformed) => return agree(ours, named),
        }
    }
    Ok(())
}

fn agree(ours: Claim<&str>, said: Claim<&str>) -> Result<(), OtherToken> {
    match (ours, said) {
        (Claim::Absent, Claim::Absent | Claim::Valid(_)) | (Claim::Valid(_) | Claim::Malformed, Claim::Absent) => {
            Ok(())
        }
        (Claim::Valid(ours), Claim::Valid(said)) if ours == said => Ok(()),
        (Claim::Valid(_), Claim::Valid(_)) | (Claim::Malformed, Claim::Valid(_)) | (_, Claim::Malformed) => {
            Err(OtherToken)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::introspection::fixture::{NOW, active, provider};
    use crate::jose::signing_fixture::verified;
    use serde_json::{Value, json};

    fn verdict(token: &Value, answer: &Value) -> bool {
        let mut claims = json!({ "iss": &*provider().issuer, "aud": "api://default", "exp": NOW.as_secs() + 60 });
        for (name, value) in token.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let token = ValidatedToken::validate(verified(&claims, None), &provider(), NOW).unwrap();
        check_consistency(&token, &active(answer)).is_ok()
    }

    #[test]
    fn response_about_another_token_is_inconsistent() {
        let okta = json!({"sub": "alice", "cid": "0oa1", "jti": "AT.1"});
        assert!(verdict(
            &okta,
            &json!({"sub": "alice", "client_id": "0oa1", "jti": "AT.1", "iss": &*provider().issuer})
        ));
        assert!(verdict(&okta, &json!({})), "an answer may say nothing but active");
        assert!(verdict(&json!({}), &json!({"sub": "alice", "client_id": "x", "jti": "y"})));
        for other in [
            json!({"sub": "bob"}),
            json!({"sub": "Alice"}),
            json!({"client_id": "0oa2"}),
            json!({"cid": "0oa2"}),
            json!({"azp": "0oa2"}),
            json!({"jti": "AT.2"}),
            json!({"iss": "https://evil.example"}),
            json!({"sub": 5}),
            json!({"client_id": null, "cid": "0oa2"}),
            json!({"jti": ["AT.1"]}),
            json!({"iss": [&*provider().issuer]}),
            json!({"cnf": {"x5t#S256": "A"}}),
        ] {
            assert!(!verdict(&okta, &other), "{other}");
        }
        assert!(
            verdict(&okta, &json!({"sub": null, "client_id": null, "jti": null, "iss": null})),
            "nothing is stated"
        );
    }
}
