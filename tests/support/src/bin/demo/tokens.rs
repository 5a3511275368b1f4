//! The tokens of the demo: real ones from the token endpoint, and hand-made ones with one defect each.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testbed::authorization_server::{OPAQUE_AUDIENCE, now};
use testbed::{AuthorizationServer, ClientTokenRequest, SigningKey, UserTokenRequest};

const HOUR: u64 = 3600;

/// What takes tokens from an authorization server.
pub struct Tokens<'a>(pub &'a AuthorizationServer);

impl Tokens<'_> {
    /// A user's, as issued.
    pub fn alices(&self) -> String {
        self.0.user_token(&UserTokenRequest::default())
    }

    /// One that a client got for itself.
    pub fn services(&self) -> String {
        self.0.client_token(&ClientTokenRequest::default())
    }

    /// A user's for another API, as issued.
    pub fn for_another_api(&self) -> String {
        self.0.user_token(&UserTokenRequest { audience: "api://payroll", ..Default::default() })
    }

    /// One that only the server itself can read.
    pub fn opaque(&self) -> String {
        self.0.client_token(&ClientTokenRequest { audience: OPAQUE_AUDIENCE, ..Default::default() })
    }

    /// Expired an hour ago.
    pub fn expired(&self) -> String {
        self.signed(json!({"iat": now() - 2 * HOUR, "exp": now() - HOUR}), SigningKey::Active)
    }

    /// Says that another issuer made it.
    pub fn of_another_issuer(&self) -> String {
        self.signed(json!({"iss": "https://evil.okta.com/oauth2/default"}), SigningKey::Active)
    }

    /// Signed with a key that is in no key set, under that key's own id.
    pub fn of_an_unpublished_key(&self) -> String {
        self.signed(json!({}), SigningKey::Unpublished)
    }

    /// An ID token: a key of the issuer signed it, but it says who logged in and opens no API.
    pub fn identity(&self) -> String {
        self.signed(
            json!({"jti": "ID.demo00000000000000000000000000000000", "nonce": "n-0S6_WzA2Mj"}),
            SigningKey::Active,
        )
    }

    /// A hand-made one that is as good as an issued one, but for the claims that are replaced.
    fn signed(&self, replaced: Value, key: SigningKey) -> String {
        let mut claims = self.0.base_claims(now());
        replace(&mut claims, replaced);
        self.0.sign(&json!({}), &claims, key)
    }
}

/// The same token saying that it is bob's, with the signature of the original.
pub fn forged(token: &str) -> String {
    let [header, payload, signature] = parts(token);
    let mut claims: Value = serde_json::from_slice(&decoded(payload)).expect("the claims are JSON");
    replace(&mut claims, json!({"sub": "bob@acme.com"}));
    format!("{header}.{}.{signature}", encoded(&claims))
}

/// The same claims under `alg: none`, without a signature.
pub fn unsigned(token: &str) -> String {
    let [_, payload, _] = parts(token);
    format!("{}.{payload}.", encoded(&json!({"alg": "none"})))
}

fn replace(claims: &mut Value, replaced: Value) {
    let Value::Object(members) = replaced else { panic!("claims are an object") };
    for (name, value) in members {
        claims[name] = value;
    }
}

fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().expect("a JWT has three parts")
}

fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("a part of a JWT is base64url")
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
