use super::*;
use crate::jose::PortableVerifier;
use crate::jose::SignatureVerifier as _;
use crate::jose::signing_fixture::TestKey;
use serde_json::json;

/// A host that signs with this key, whatever key it is given.
struct HostWith(TestKey);

impl RsaSigner for HostWith {
    fn sign_rs256(&self, _: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.sign(message))
    }
}

/// Records the DER that the host is given.
struct Handed(std::cell::RefCell<Vec<u8>>);

impl RsaSigner for Handed {
    fn sign_rs256(&self, pkcs8: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        self.0.replace(pkcs8.to_vec());
        None
    }
}

fn jwk(key: TestKey, changes: &Value) -> String {
    let mut members = key.public_jwk();
    for name in ["d", "p", "q", "dp", "dq", "qi"] {
        if key.has(name) {
            members[name] = crate::jose::signing_fixture::base64url(key.octets(name)).into();
        }
    }
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.as_object_mut().unwrap().remove(name);
        } else {
            members[name] = value.clone();
        }
    }
    members.to_string()
}

fn fault(text: &str) -> Option<PrivateKeyFault> {
    PrivateKey::parse(text).err()
}

#[test]
fn jwk_with_null_optional_members_signs() {
    let text = jwk(TestKey::P256, &json!({})).replacen('{', r#"{"use":null,"alg":null,"kid":null,"#, 1);
    assert_eq!(PrivateKey::parse(&text).unwrap().id(), None);
}

#[test]
fn p256_key_signs_in_the_module_deterministically() {
    for text in [TestKey::P256.pem().to_owned(), jwk(TestKey::P256, &json!({"kid": "k1", "alg": "ES256"}))] {
        let key = PrivateKey::parse(&text).unwrap();
        assert_eq!((key.algorithm(), key.signed_by()), (Algorithm::Es256, SignedBy::Module));
        let signature = key.sign(b"message", &NoRsaSigner).unwrap();
        assert_eq!(key.sign(b"message", &NoRsaSigner), Some(signature.clone()));
        let set = TestKey::P256.key_set();
        let public = set.candidates(None, Algorithm::Es256)[0];
        assert!(PortableVerifier.verifies(Algorithm::Es256, public, b"message", &signature));
    }
}

#[test]
fn host_signature_with_an_rsa_key_is_verified() {
    let from_pem = PrivateKey::parse(TestKey::RsaA.pem()).unwrap();
    let from_jwk = PrivateKey::parse(&jwk(TestKey::RsaA, &json!({"use": "sig", "alg": "RS256"}))).unwrap();
    for key in [&from_pem, &from_jwk] {
        assert_eq!((key.algorithm(), key.signed_by()), (Algorithm::Rs256, SignedBy::Host));
        assert!(key.sign(b"message", &HostWith(TestKey::RsaA)).is_some());
        assert_eq!(key.sign(b"message", &HostWith(TestKey::RsaB)), None, "a signature of another key");
        assert_eq!(key.sign(b"message", &NoRsaSigner), None);
    }
    let handed = |key: &PrivateKey| {
        let host = Handed(std::cell::RefCell::default());
        let _ = key.sign(b"", &host);
        host.0.into_inner()
    };
    assert_eq!(handed(&from_pem), handed(&from_jwk), "the JWK is converted to the PKCS#8 of OpenSSL");
}

#[test]
fn kid_is_read_from_the_jwk_or_set_explicitly() {
    let key = PrivateKey::parse(&jwk(TestKey::P256, &json!({"kid": "k1"}))).unwrap();
    assert_eq!(key.id(), Some("k1"));
    assert_eq!(key.with_id("k2".to_owned()).id(), Some("k2"));
    assert_eq!(PrivateKey::parse(TestKey::P256.pem()).unwrap().id(), None);
}

#[test]
fn unusable_key_is_rejected_with_its_fault() {
    let labelled = |label: &str| TestKey::P256.pem().replace("PRIVATE KEY", label);
    let cut = TestKey::P256.pem().replace("MIG", "MIH");
    for (text, expected) in [
        ("", PrivateKeyFault::Malformed),
        ("hunter2", PrivateKeyFault::Malformed),
        ("{}", PrivateKeyFault::Malformed),
        ("{\"kty\":\"EC\",\"kty\":\"EC\"}", PrivateKeyFault::Malformed),
        (&cut, PrivateKeyFault::Malformed),
        (&labelled("EC PRIVATE KEY"), PrivateKeyFault::NotPkcs8),
        (&labelled("RSA PRIVATE KEY"), PrivateKeyFault::NotPkcs8),
        (&labelled("PUBLIC KEY"), PrivateKeyFault::NotPkcs8),
        (&labelled("ENCRYPTED PRIVATE KEY"), PrivateKeyFault::Encrypted),
        (TestKey::P384.pem(), PrivateKeyFault::Unsupported),
        (TestKey::P521.pem(), PrivateKeyFault::Unsupported),
        (TestKey::Ed25519.pem(), PrivateKeyFault::Unsupported),
        (&TestKey::P256.public_jwk().to_string(), PrivateKeyFault::NotPrivate),
        (&jwk(TestKey::P384, &json!({})), PrivateKeyFault::Unsupported),
        (&jwk(TestKey::Ed25519, &json!({})), PrivateKeyFault::Unsupported),
        (&jwk(TestKey::P256, &json!({"alg": "RS256"})), PrivateKeyFault::Unsupported),
        (&jwk(TestKey::RsaA, &json!({"alg": "PS256"})), PrivateKeyFault::Unsupported),
        (&jwk(TestKey::P256, &json!({"use": "enc"})), PrivateKeyFault::Inconsistent),
        (&jwk(TestKey::P256, &json!({"d": "AAAA"})), PrivateKeyFault::Malformed),
        (&jwk(TestKey::P256, &json!({"d": 5})), PrivateKeyFault::Malformed),
        (&jwk(TestKey::RsaA, &json!({"qi": null})), PrivateKeyFault::Malformed),
        (&jwk(TestKey::RsaA, &json!({"n": "AQAB"})), PrivateKeyFault::Weak),
        ("{\"kty\":\"oct\",\"k\":\"AAAA\",\"d\":\"AAAA\"}", PrivateKeyFault::Unsupported),
    ] {
        let kind: String = text.chars().take(40).collect();
        assert_eq!(fault(text), Some(expected), "{kind}");
    }
    let other: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let other = crate::jose::signing_fixture::base64url(other);
    assert_eq!(fault(&jwk(TestKey::P256, &json!({"d": other}))), Some(PrivateKeyFault::Inconsistent));
}

#[test]
fn debug_output_omits_the_key() {
    for key in [TestKey::P256, TestKey::RsaA] {
        let shown = format!("{:?}", PrivateKey::parse(&jwk(key, &json!({"kid": "k1"}))).unwrap());
        assert_eq!(shown, format!("PrivateKey {{ id: Some(\"k1\"), algorithm: {:?}, .. }}", key.algorithm()));
    }
}

#[test]
fn pem_with_the_public_half_of_another_key_is_rejected() {
    use base64::Engine as _;
    let mut der = pkcs8::from_pem(TestKey::P256.pem()).unwrap();
    *der.last_mut().unwrap() ^= 1;
    let text = base64::engine::general_purpose::STANDARD.encode(&der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    assert_eq!(fault(&pem), Some(PrivateKeyFault::Inconsistent));
}
