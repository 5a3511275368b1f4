//! Parses an introspection response (RFC 7662 section 2.2) into an [`IntrospectedToken`]. Only this module creates an
//! [`ActiveToken`].
//!
//! It is as strict as the token parser: size limits, no duplicate members, and `active` must be a JSON boolean.
//! `policy` validates the claims.

use serde_json::Value;

use super::claims::Claims;
use super::strict_json::{JsonLimits, parse_object};

/// The longest response body that is parsed.
pub const MAX_INTROSPECTION_BYTES: usize = 64 * 1024;
/// The optional members of RFC 7662 section 2.2. Serializers write `null` for unset ones.
const MAY_BE_NULL: [&str; 11] =
    ["scope", "client_id", "username", "token_type", "exp", "iat", "nbf", "sub", "aud", "iss", "jti"];
const LIMITS: JsonLimits = JsonLimits { depth: 32, members: 256 };

/// The status of a token according to the introspection endpoint.
#[derive(Debug)]
pub enum IntrospectedToken {
    /// `"active": true`
    Active(ActiveToken),
    /// `"active": false`. Other members are ignored (RFC 7662 section 2.2).
    Inactive,
}

/// A token that the issuer reported as active with status 200. Its issuer, audience and times are not validated yet.
#[derive(Debug)]
pub struct ActiveToken {
    claims: Claims,
}

/// Why a response body is not a valid introspection response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResponseFault {
    /// The body is longer than the limit.
    TooLarge,
    /// The body is not an unambiguous JSON object: HTML, truncated, a list, or with duplicate members.
    NotAnObject,
    /// The JSON object has no boolean `active`.
    ActiveMissing,
}

impl IntrospectedToken {
    /// Parses the body of a response with status 200.
    ///
    /// # Errors
    /// If the body is not a valid introspection response.
    pub fn read(body: &[u8]) -> Result<Self, ResponseFault> {
        if body.len() > MAX_INTROSPECTION_BYTES {
            return Err(ResponseFault::TooLarge);
        }
        let mut members = parse_object(body, LIMITS).map_err(|_| ResponseFault::NotAnObject)?;
        // `active` alone decides whether the token is current, so an unset time removes no check.
        members.retain(|name, value| !(value.is_null() && MAY_BE_NULL.contains(&name.as_str())));
        match members.get("active") {
            Some(Value::Bool(true)) => Ok(Self::Active(ActiveToken { claims: Claims::new(members) })),
            Some(Value::Bool(false)) => Ok(Self::Inactive),
            Some(_) | None => Err(ResponseFault::ActiveMissing),
        }
    }
}

impl ActiveToken {
    /// The claims of the response.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Consumes the token and returns its claims.
    pub fn into_claims(self) -> Claims {
        self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<&'static str, ResponseFault> {
        IntrospectedToken::read(body.as_bytes()).map(|token| match token {
            IntrospectedToken::Active(_) => "active",
            IntrospectedToken::Inactive => "inactive",
        })
    }

    #[test]
    fn active_must_be_a_boolean() {
        assert_eq!(read(r#"{"active":true,"sub":"alice"}"#), Ok("active"));
        assert_eq!(read(r#" {"active" : false, "sub": 5} "#), Ok("inactive"));
        for value in ["\"true\"", "\"false\"", "1", "0", "null", "[true]", "{\"active\":true}", "\"\""] {
            assert_eq!(read(&format!("{{\"active\":{value}}}")), Err(ResponseFault::ActiveMissing), "{value}");
        }
        for object in ["{}", r#"{"Active":true}"#, r#"{"keys":[]}"#, r#"{"error":"invalid_token"}"#] {
            assert_eq!(read(object), Err(ResponseFault::ActiveMissing), "{object}");
        }
    }

    #[test]
    fn ambiguous_or_malformed_body_is_rejected() {
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

    #[test]
    fn body_over_the_size_limit_is_rejected() {
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
