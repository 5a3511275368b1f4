//! The body of an introspection answer (RFC 7662 section 2.2) -> [`IntrospectedToken`]: the only maker of
//! [`ActiveToken`].
//!
//! Read as strictly as a token: duplicate members refused, bounded, `active` a JSON boolean and nothing that looks like
//! one. What the claims are worth is judged in `policy`, which also knows whose endpoint it was.

use serde_json::Value;

use super::claims::Claims;
use super::strict_json::{JsonLimits, parse_object};

/// The longest answer that is read.
pub const MAX_INTROSPECTION_BYTES: usize = 64 * 1024;
/// The optional members of RFC 7662 section 2.2. Serializers write `null` for those that are unset.
const MAY_BE_NULL: [&str; 11] =
    ["scope", "client_id", "username", "token_type", "exp", "iat", "nbf", "sub", "aud", "iss", "jti"];
const LIMITS: JsonLimits = JsonLimits { depth: 32, members: 256 };

/// What the endpoint says of a token.
#[derive(Debug)]
pub enum IntrospectedToken {
    /// `"active": true`
    Active(ActiveToken),
    /// `"active": false`. What else stands there is nobody's business (RFC 7662 section 2.2).
    Inactive,
}

/// A token of which its issuer said, with status 200 and in so many words, that it is active. Not yet one that is
/// wanted: issuer, audience, times and the rest are still to be judged.
#[derive(Debug)]
pub struct ActiveToken {
    claims: Claims,
}

/// Why an answer says nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResponseFault {
    /// Longer than the limit.
    TooLarge,
    /// Not a JSON object that reads in one way only: HTML, cut off, a list, a member twice.
    NotAnObject,
    /// A JSON object without a boolean `active`.
    NotAnAnswer,
}

impl IntrospectedToken {
    /// Reads the body of an answer with status 200.
    ///
    /// # Errors
    /// When it is no introspection answer.
    pub fn read(body: &[u8]) -> Result<Self, ResponseFault> {
        if body.len() > MAX_INTROSPECTION_BYTES {
            return Err(ResponseFault::TooLarge);
        }
        let mut members = parse_object(body, LIMITS).map_err(|_| ResponseFault::NotAnObject)?;
        // `active` alone says whether the token is current, so an unset time takes nothing away.
        members.retain(|name, value| !(value.is_null() && MAY_BE_NULL.contains(&name.as_str())));
        match members.get("active") {
            Some(Value::Bool(true)) => Ok(Self::Active(ActiveToken { claims: Claims::new(members) })),
            Some(Value::Bool(false)) => Ok(Self::Inactive),
            Some(_) | None => Err(ResponseFault::NotAnAnswer),
        }
    }
}

impl ActiveToken {
    /// What the endpoint said of it.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The same, when nothing else is needed.
    pub fn into_claims(self) -> Claims {
        self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn read(body: &str) -> Result<&'static str, ResponseFault> {
        IntrospectedToken::read(body.as_bytes()).map(|token| match token {
            IntrospectedToken::Active(_) => "active",
            IntrospectedToken::Inactive => "inactive",
        })
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn only_a_boolean_says_whether_a_token_is_active() {
        assert_eq!(read(r#"{"active":true,"sub":"alice"}"#), Ok("active"));
        assert_eq!(read(r#" {"active" : false, "sub": 5} "#), Ok("inactive"));
        for value in ["\"true\"", "\"false\"", "1", "0", "null", "[true]", "{\"active\":true}", "\"\""] {
            assert_eq!(read(&format!("{{\"active\":{value}}}")), Err(ResponseFault::NotAnAnswer), "{value}");
        }
        for object in ["{}", r#"{"Active":true}"#, r#"{"keys":[]}"#, r#"{"error":"invalid_token"}"#] {
            assert_eq!(read(object), Err(ResponseFault::NotAnAnswer), "{object}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_reads_in_two_ways_or_in_none_is_no_answer() {
        for body in [
            "",
            "<html>active</html>",
            "true",
            "[{\"active\":true}]",
            r#"{"active":true"#,
            r#"{"active":true}x"#,
            r#"{"active":true,"active":true}"#,
            r#"{"active":false,"active":true}"#,
            r#"{"active":true,"\u0061ctive":false}"#,
            r#"{"active":true,"sub":"a","sub":"b"}"#,
            "\u{feff}{\"active\":true}",
        ] {
            assert_eq!(read(body), Err(ResponseFault::NotAnObject), "{body}");
        }
        assert_eq!(
            IntrospectedToken::read(b"{\"active\":true,\"sub\":\"\xff\"}").err(),
            Some(ResponseFault::NotAnObject)
        );
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_answer_is_bounded_to_the_byte() {
        let of_length = |length: usize| {
            let start = r#"{"active":true,"x":""#;
            format!("{start}{}\"}}", "a".repeat(length - start.len() - 2))
        };
        assert_eq!(read(&of_length(MAX_INTROSPECTION_BYTES)), Ok("active"));
        assert_eq!(read(&of_length(MAX_INTROSPECTION_BYTES + 1)), Err(ResponseFault::TooLarge));
        assert_eq!(read(&of_length(10 * 1024 * 1024)), Err(ResponseFault::TooLarge));
        assert_eq!(read(&format!("{{\"active\":{}", "[".repeat(60_000))), Err(ResponseFault::NotAnObject));
    }
}
