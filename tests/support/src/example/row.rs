//! One entry of an example's `requests.json`: a request, and its expected outcome. `examples/README.md` documents the
//! members; an unknown one is rejected.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::authorization_server::{OPAQUE_AUDIENCE, UserTokenRequest};
use crate::backend::Behaviour;

/// A request and its answer, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// In words.
    pub what: String,
    /// Method and target.
    pub request: String,
    /// Header fields; a list is sent as several lines.
    #[serde(default)]
    pub headers: BTreeMap<String, OneOrMore>,
    /// The body.
    pub body: Option<String>,
    /// The claims of the token that matter, over those of a good one; `null` takes one away. Left out: no token.
    pub token: Option<Map<String, Value>>,
    /// In place of `token`: one that the authorization server issues, and that says nothing itself.
    pub opaque_token: Option<OpaqueToken>,
    /// Whether the issuer has revoked the token before it is sent.
    #[serde(default)]
    pub revoked: bool,
    /// The provider whose authorization server signs the token; the only one, unless said.
    pub signed_by: Option<String>,
    /// The DNS name or the URI of the certificate that the token is bound to (`cnf`).
    pub token_bound_to: Option<String>,
    /// The name of the key that the token is bound to (`cnf.jkt`). Each name is a key of its own.
    pub token_bound_to_key: Option<String>,
    /// The DPoP proof that is sent with the token, whose scheme then is `DPoP`.
    pub proof: Option<Proof>,
    /// The request of the row above is sent again, byte for byte.
    #[serde(default)]
    pub again: bool,
    /// Where the token stands in place of `Authorization: Bearer`: a cookie's name.
    pub token_cookie: Option<String>,
    /// The listener, where there are several.
    pub listener: Option<String>,
    /// The address the client connects from, 127.0.0.1 unless said.
    pub from: Option<String>,
    /// The DNS name or the URI in the client's certificate, signed by the CA that the listener trusts.
    pub certificate: Option<String>,
    /// The same, signed by a CA that nobody trusts.
    pub untrusted_certificate: Option<String>,
    /// What the backend does, other than to answer 200 at once.
    #[serde(default)]
    pub backend_does: Behaviour,
    /// How often it is sent; each time the answer is the same.
    #[serde(default = "once")]
    pub times: usize,

    /// The status of the answer.
    pub status: Option<u16>,
    /// In place of the status: there is no answer, the TLS handshake fails.
    #[serde(default)]
    pub handshake_fails: bool,
    /// `WWW-Authenticate`; left out or `null`: there is none.
    pub challenge: Option<String>,
    /// Header fields of the answer; `null`: there is none of that name.
    #[serde(default)]
    pub response: BTreeMap<String, Option<String>>,
    /// Members of the JSON object in the answer's body.
    #[serde(default)]
    pub response_json: BTreeMap<String, Value>,
    /// Header fields that reach the backend; `null`: none of that name does.
    #[serde(default)]
    pub backend: BTreeMap<String, Option<String>>,
    /// The cluster whose backend is reached, where there are several.
    pub reaches: Option<String>,
    /// How many requests reach the backend each time: one if the status is 200, otherwise none, unless said.
    pub forwarded: Option<usize>,
    /// The reason in the filter's log; left out: the filter refuses nothing.
    pub reason: Option<String>,
    /// How often the issuers are asked about tokens, all times together.
    pub introspections: Option<u64>,
    /// What the log says a rule on trial would have refused for.
    pub would_deny: Option<String>,
    /// Members of Envoy's access log line, where it writes JSON; `null`: it says nothing of that.
    #[serde(default)]
    pub access_log: BTreeMap<String, Value>,
}

/// What is asked of the authorization server for a token that says nothing itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpaqueToken {
    /// The user.
    pub user: String,
    /// The scopes, space separated.
    pub scopes: String,
    /// The audience.
    pub audience: String,
}

impl Default for OpaqueToken {
    fn default() -> Self {
        let UserTokenRequest { login, scopes, .. } = UserTokenRequest::default();
        Self { user: login.to_owned(), scopes: scopes.to_owned(), audience: OPAQUE_AUDIENCE.to_owned() }
    }
}

/// A DPoP proof (RFC 9449): for this request with the key of the token, unless it says otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The name of the key.
    pub key: Option<String>,
    /// `htm`
    pub method: Option<String>,
    /// `htu`
    pub url: String,
    /// Whether it has the nonce that the gateway sent last.
    #[serde(default)]
    pub nonce: bool,
    /// `iat`, such as `now - 20m`.
    pub iat: Option<String>,
}

/// A header's value, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One line.
    One(String),
    /// A line each.
    More(Vec<String>),
}

impl OneOrMore {
    /// The values.
    pub fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::More(values) => values,
        }
    }
}

fn once() -> usize {
    1
}

impl Row {
    /// How many requests are to reach the backend, all times together.
    pub fn expected_forwarded(&self) -> usize {
        self.times * self.forwarded.unwrap_or(usize::from(self.status == Some(200)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_member_is_rejected() {
        let read = |text| serde_json::from_str::<Row>(text);
        assert!(read(r#"{"what": "", "request": "GET /", "status": 200, "backend_does": {"takes_ms": 1}}"#).is_ok());
        for text in [
            r#"{"what": "", "request": "GET /", "status": 200, "statsu": 401}"#,
            r#"{"what": "", "request": "GET /", "status": 200, "backend_does": {"sleeps_ms": 1}}"#,
            r#"{"what": "", "request": "GET /", "status": 200, "opaque_token": {"scope": "read:accounts"}}"#,
            r#"{"what": "", "request": "GET /", "status": 200, "proof": {"url": "", "htu": ""}}"#,
            r#"{"what": "", "request": "GET /", "status": "200"}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
