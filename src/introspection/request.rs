//! The introspection request: the POST of RFC 7662 section 2.1, as data.
//!
//! The token is in the body and nowhere else; neither body nor `Authorization` is ever shown. The host adds nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::encoding::{base64url, push_percent_escape};
use crate::introspection::call::CallNumber;
use crate::jose::{PrivateKey, RsaSigner};
use crate::lookup::http_request::{HttpRequest, Message};
use crate::policy::{CalloutAddress, ClientAuthentication};
use crate::randomness::Entropy;
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

/// How long an assertion is good (RFC 7523 section 3: as short as clocks allow).
const ASSERTION_SECONDS: u64 = 60;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A request could not be made: the host did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotSigned;

/// What makes one request's assertion unlike all others.
pub(super) struct Stamp<'a> {
    pub(super) number: CallNumber,
    pub(super) entropy: &'a Entropy,
    pub(super) now: UnixTime,
}

/// The request about `token`.
pub(super) fn request_about(
    token: &[u8],
    endpoint: &CalloutAddress,
    client: &ClientAuthentication,
    stamp: &Stamp<'_>,
    signer: &dyn RsaSigner,
) -> Result<HttpRequest, NotSigned> {
    let mut body = String::from("token=");
    push_encoded(&mut body, token);
    body.push_str("&token_type_hint=access_token");
    let mut authorization = None;
    match client {
        // RFC 6749 section 2.3.1: both are encoded before they are joined, so that a colon in an id is none between.
        ClientAuthentication::SecretBasic { client_id, secret } => {
            let pair = format!("{}:{}", encoded(client_id), encoded(secret.reveal()));
            authorization = Some(Redacted::new(format!("Basic {}", STANDARD.encode(pair))));
        }
        ClientAuthentication::SecretPost { client_id, secret } => {
            push_parameter(&mut body, "client_id", client_id);
            push_parameter(&mut body, "client_secret", secret.reveal());
        }
        ClientAuthentication::PrivateKeyJwt { client_id, key } => {
            push_parameter(&mut body, "client_id", client_id);
            push_parameter(&mut body, "client_assertion_type", ASSERTION_TYPE);
            push_parameter(&mut body, "client_assertion", &assertion(client_id, key, endpoint, stamp, signer)?);
        }
    }
    let message = Message::PostForm { authorization, body: Redacted::new(body) };
    Ok(HttpRequest { address: endpoint.clone(), message })
}

/// RFC 7523 section 3, OpenID Connect Core section 9: who we are, for this endpoint, once.
fn assertion(
    client_id: &str,
    key: &PrivateKey,
    endpoint: &CalloutAddress,
    stamp: &Stamp<'_>,
    signer: &dyn RsaSigner,
) -> Result<String, NotSigned> {
    let mut header = json!({ "alg": key.algorithm().name(), "typ": "JWT" });
    if let (Some(id), Some(members)) = (key.id(), header.as_object_mut()) {
        members.insert(String::from("kid"), id.into());
    }
    let mut hasher = Sha256::new();
    hasher.update(stamp.entropy.0);
    hasher.update(stamp.number.0.to_le_bytes());
    let issued_at = stamp.now.as_secs();
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": endpoint.to_string(),
        "jti": base64url(hasher.finalize()),
        "iat": issued_at,
        "exp": issued_at.saturating_add(ASSERTION_SECONDS),
    });
    let part = |json: serde_json::Value| base64url(json.to_string());
    let signing_input = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(signing_input.as_bytes(), signer).ok_or(NotSigned)?;
    Ok(format!("{signing_input}.{}", base64url(signature)))
}

fn push_parameter(body: &mut String, name: &str, value: &str) {
    body.push('&');
    body.push_str(name);
    body.push('=');
    push_encoded(body, value.as_bytes());
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    push_encoded(&mut encoded, text.as_bytes());
    encoded
}

/// `application/x-www-form-urlencoded` (RFC 6749 appendix B).
fn push_encoded(target: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => target.push(char::from(*byte)),
            b' ' => target.push('+'),
            _ => push_percent_escape(target, *byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::private_key::NoRsaSigner;
    use crate::jose::signing_fixture::TestKey;
    use crate::jose::{Algorithm, Claim, PortableVerifier, UnverifiedToken};
    use std::rc::Rc;

    const ENDPOINT: &str = "https://acme.okta.com/oauth2/default/v1/introspect";
    const ENTROPY: Entropy = Entropy([7; 32]);

    fn request_as(client: &ClientAuthentication, number: u64) -> Result<HttpRequest, NotSigned> {
        let endpoint = CalloutAddress::parse(ENDPOINT, "okta").unwrap();
        let stamp =
            Stamp { number: CallNumber(number), entropy: &ENTROPY, now: UnixTime::from_millis(1_700_000_000_999) };
        request_about(b"t0k+n/=", &endpoint, client, &stamp, &NoRsaSigner)
    }

    fn sent(request: &HttpRequest) -> (Option<&str>, &str) {
        match &request.message {
            Message::PostForm { authorization, body } => {
                (authorization.as_ref().map(|value| value.reveal().as_str()), body.reveal())
            }
            Message::Get { .. } => panic!("a POST"),
        }
    }

    fn secret(secret: &str) -> Redacted<String> {
        Redacted::new(secret.to_owned())
    }

    fn key_jwt(key: TestKey) -> ClientAuthentication {
        let key = Rc::new(PrivateKey::parse(key.pem()).unwrap().with_id("k1".to_owned()));
        ClientAuthentication::PrivateKeyJwt { client_id: "0oa1".to_owned(), key }
    }

    #[test]
    fn basic_credentials_are_encoded_before_they_are_joined() {
        let client = ClientAuthentication::SecretBasic { client_id: "a:b c".to_owned(), secret: secret("s%€+") };
        let request = request_as(&client, 1).unwrap();
        assert_eq!(request.address.to_string(), ENDPOINT);
        let (authorization, body) = sent(&request);
        assert_eq!(body, "token=t0k%2Bn%2F%3D&token_type_hint=access_token");
        let pair = STANDARD.decode(authorization.unwrap().strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(pair, b"a%3Ab+c:s%25%E2%82%AC%2B");
    }

    #[test]
    fn posted_credentials_stand_in_the_body_alone() {
        let client = ClientAuthentication::SecretPost { client_id: "0oa1".to_owned(), secret: secret("a&token=x") };
        let request = request_as(&client, 1).unwrap();
        let body = "token=t0k%2Bn%2F%3D&token_type_hint=access_token&client_id=0oa1&client_secret=a%26token%3Dx";
        assert_eq!(sent(&request), (None, body));
    }

    #[test]
    fn an_assertion_says_who_for_whom_and_once() {
        let assertion_of = |number| {
            let request = request_as(&key_jwt(TestKey::P256), number).unwrap();
            let (authorization, body) = sent(&request);
            assert_eq!(authorization, None);
            let start = "token=t0k%2Bn%2F%3D&token_type_hint=access_token&client_id=0oa1&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=";
            body.strip_prefix(start).unwrap().to_owned()
        };
        let read = |text: &str| {
            let token = UnverifiedToken::parse(text.as_bytes()).unwrap();
            assert_eq!((token.header().key_id.as_deref(), token.header().algorithm), (Some("k1"), Algorithm::Es256));
            let set = TestKey::P256.key_set();
            token
                .verify(&set.candidates(None, Algorithm::Es256), &PortableVerifier)
                .unwrap()
                .into_claims_and_payload()
                .0
        };
        let claims = read(&assertion_of(1));
        for (name, expected) in [("iss", "0oa1"), ("sub", "0oa1"), ("aud", ENDPOINT)] {
            assert_eq!(claims.string(name), Claim::Valid(expected), "{name}");
        }
        assert_eq!(claims.time("iat"), Claim::Valid(UnixTime::from_secs(1_700_000_000)));
        assert_eq!(claims.time("exp"), Claim::Valid(UnixTime::from_secs(1_700_000_060)));
        assert_ne!(claims.string("jti"), read(&assertion_of(2)).string("jti"));
        assert!(!matches!(claims.string("jti"), Claim::Valid(id) if id.len() < 22));
    }

    #[test]
    fn without_a_signature_there_is_no_request() {
        assert_eq!(request_as(&key_jwt(TestKey::RsaA), 1).err(), Some(NotSigned));
    }

    #[test]
    fn neither_token_nor_secret_nor_assertion_shows() {
        let basic = ClientAuthentication::SecretBasic { client_id: "0oa1".to_owned(), secret: secret("hunter2") };
        let post = ClientAuthentication::SecretPost { client_id: "0oa1".to_owned(), secret: secret("hunter2") };
        for client in [basic, post, key_jwt(TestKey::P256)] {
            let shown = format!("{:?} {client:?} {ENTROPY:?}", request_as(&client, 1).unwrap());
            for hidden in ["t0k", "hunter2", "MG9h", "client_assertion", "eyJhbG", "7, 7"] {
                assert!(!shown.contains(hidden), "{hidden} in {shown}");
            }
        }
    }
}
