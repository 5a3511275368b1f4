//! Project Wycheproof's signature vectors, each through the filter's own JWK import and verification.
//!
//! Keys are written as JWKs and read by `KeySet::parse`. The numbers are asserted exactly: a corpus
//! that shrinks, or a loop that silently runs over nothing, fails.
// The functions here are called by tests only; clippy allows this in the #[test] functions alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use okta_proxy_wasm::jose::jwk::KeyFault;
use okta_proxy_wasm::jose::{Algorithm, KeySet, PortableVerifier, SignatureVerifier};
use serde_json::{Value, json};
use wycheproof::{EllipticCurve, HashFunction, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

/// What became of the vectors of one corpus.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Valid, and verified.
    verified: usize,
    /// Invalid, and refused.
    refused: usize,
    /// Acceptable by Wycheproof's reading, and refused.
    acceptable_refused: usize,
    /// Valid or not: the key as such is not taken.
    key_refused: usize,
}

impl Tally {
    const fn of(verified: usize, refused: usize, acceptable_refused: usize, key_refused: usize) -> Self {
        Self { verified, refused, acceptable_refused, key_refused }
    }

    fn count(&mut self, result: TestResult, verifies: bool, case: &str) {
        match (result, verifies) {
            (TestResult::Valid, true) => self.verified += 1,
            (TestResult::Invalid, false) => self.refused += 1,
            (TestResult::Acceptable, false) => self.acceptable_refused += 1,
            (TestResult::Valid, false) => panic!("a valid signature is refused: {case}"),
            (TestResult::Invalid, true) => panic!("an invalid signature verifies: {case}"),
            (TestResult::Acceptable, true) => panic!("a signature that need not verify does: {case}"),
        }
    }
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key set that holds this key, or the fault that it is skipped with: a good key beside it makes
/// the set as such one that can be used.
fn import(jwk: &Value) -> Result<KeySet, KeyFault> {
    // RFC 8037 appendix A.2
    let other =
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "other", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let mixed = KeySet::parse(json!({"keys": [jwk, other]}).to_string().as_bytes()).unwrap();
    if let [fault] = mixed.skipped() {
        return Err(*fault);
    }
    Ok(KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap())
}

fn verifies(keys: &KeySet, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    let candidates = keys.candidates(None, algorithm);
    let [key] = candidates.as_slice() else { panic!("the key is no candidate for {algorithm}") };
    PortableVerifier.verifies(algorithm, key, message, signature)
}

fn rsa_jwk(n: &[u8], e: &[u8]) -> Value {
    json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)})
}

fn pkcs1(name: rsa_pkcs1_verify::TestName, algorithm: Algorithm) -> Tally {
    let set = rsa_pkcs1_verify::TestSet::load(name).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        let keys = match import(&rsa_jwk(&group.key.n, &group.key.e)) {
            Ok(keys) => keys,
            Err(fault) => {
                assert_eq!(
                    (fault, &group.key.e[..]),
                    (KeyFault::Weak, &[3][..]),
                    "only e = 3 is a reason to refuse these"
                );
                tally.key_refused += group.tests.len();
                continue;
            }
        };
        for test in &group.tests {
            let verifies = verifies(&keys, algorithm, &test.msg, &test.sig);
            tally.count(test.result, verifies, &format!("{name:?} {} {:?} {}", test.tc_id, test.flags, test.comment));
            if test.result == TestResult::Acceptable {
                assert_eq!(test.flags, [rsa_pkcs1_verify::TestFlag::MissingNull], "{name:?} {}", test.tc_id);
            }
        }
    }
    println!("{name:?} {algorithm}: {tally:?}");
    tally
}

/// The one acceptable case of each corpus lacks the NULL of `AlgorithmIdentifier`. RFC 8017 appendix
/// A.2.4 lets a verifier take it; RFC 7518 has no such case, so it is refused.
#[test]
fn rsa_pkcs1_signatures_verify_only_when_valid() {
    use Algorithm::{Rs256, Rs384, Rs512};
    use rsa_pkcs1_verify::TestName::{
        Rsa2048Sha256, Rsa2048Sha384, Rsa2048Sha512, Rsa3072Sha256, Rsa3072Sha384, Rsa3072Sha512, Rsa4096Sha256,
        Rsa4096Sha384, Rsa4096Sha512, Rsa8192Sha256, Rsa8192Sha384, Rsa8192Sha512,
    };
    for (name, algorithm, expected) in [
        (Rsa2048Sha256, Rs256, Tally::of(7, 249, 1, 2)),
        (Rsa2048Sha384, Rs384, Tally::of(7, 250, 1, 0)),
        (Rsa2048Sha512, Rs512, Tally::of(7, 250, 1, 1)),
        (Rsa3072Sha256, Rs256, Tally::of(7, 250, 1, 1)),
        (Rsa3072Sha384, Rs384, Tally::of(7, 251, 1, 0)),
        (Rsa3072Sha512, Rs512, Tally::of(7, 251, 1, 1)),
        (Rsa4096Sha256, Rs256, Tally::of(7, 250, 1, 0)),
        (Rsa4096Sha384, Rs384, Tally::of(7, 251, 1, 0)),
        (Rsa4096Sha512, Rs512, Tally::of(7, 251, 1, 0)),
        (Rsa8192Sha256, Rs256, Tally::of(7, 250, 1, 0)),
        (Rsa8192Sha384, Rs384, Tally::of(7, 251, 1, 0)),
        (Rsa8192Sha512, Rs512, Tally::of(7, 251, 1, 0)),
    ] {
        assert_eq!(pkcs1(name, algorithm), expected, "{name:?}");
    }
}

/// Signatures over hashes that no JOSE algorithm names: valid as such, never ours.
#[test]
fn rsa_pkcs1_signatures_over_other_hashes_never_verify() {
    use rsa_pkcs1_verify::TestName::{
        Rsa2048Sha3_256, Rsa2048Sha3_512, Rsa2048Sha224, Rsa2048Sha512_256, Rsa3072Sha3_384, Rsa3072Sha512_256,
        Rsa4096Sha512_256,
    };
    let mut refused = 0;
    for name in [
        Rsa2048Sha224,
        Rsa2048Sha3_256,
        Rsa2048Sha3_512,
        Rsa2048Sha512_256,
        Rsa3072Sha3_384,
        Rsa3072Sha512_256,
        Rsa4096Sha512_256,
    ] {
        for group in &rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let keys = import(&rsa_jwk(&group.key.n, &group.key.e)).unwrap();
            for test in group.tests.iter().filter(|test| !test.result.must_fail()) {
                for algorithm in [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512, Algorithm::Ps256] {
                    assert!(!verifies(&keys, algorithm, &test.msg, &test.sig), "{name:?} {}", test.tc_id);
                    refused += 1;
                }
            }
        }
    }
    assert_eq!(refused, 7 * 8 * 4);
}

/// RFC 7518 section 3.5, with the salt length of each.
const PSS: [(Algorithm, HashFunction, usize); 3] = [
    (Algorithm::Ps256, HashFunction::Sha2_256, 32),
    (Algorithm::Ps384, HashFunction::Sha2_384, 48),
    (Algorithm::Ps512, HashFunction::Sha2_512, 64),
];

/// The algorithm that has these parameters, if there is one.
fn pss_algorithm(group: &rsa_pss_verify::TestGroup) -> Option<Algorithm> {
    let is_it = |(_, hash, salt): &&(Algorithm, HashFunction, usize)| {
        group.hash == *hash && group.mgf_hash == Some(*hash) && group.salt_size == *salt
    };
    PSS.iter().find(is_it).map(|(algorithm, ..)| *algorithm)
}

fn pss(name: rsa_pss_verify::TestName, algorithm: Algorithm) -> Tally {
    let set = rsa_pss_verify::TestSet::load(name).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        assert_eq!(pss_algorithm(group), Some(algorithm));
        let keys = import(&rsa_jwk(&group.key.n, &group.key.e)).unwrap();
        for test in &group.tests {
            let verifies = verifies(&keys, algorithm, &test.msg, &test.sig);
            tally.count(test.result, verifies, &format!("{name:?} {} {:?} {}", test.tc_id, test.flags, test.comment));
        }
    }
    println!("{name:?} {algorithm}: {tally:?}");
    tally
}

#[test]
fn rsa_pss_signatures_verify_only_when_valid() {
    use Algorithm::{Ps256, Ps384, Ps512};
    use rsa_pss_verify::TestName::{
        RsaPss2048Sha256Mgf1SaltLen32, RsaPss2048Sha256Mgf1SaltLen32WithParams, RsaPss2048Sha384Mgf1SaltLen48,
        RsaPss3072Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32WithParams, RsaPss4096Sha256Mgf1SaltLen32,
        RsaPss4096Sha384Mgf1SaltLen48, RsaPss4096Sha512Mgf1SaltLen64, RsaPss4096Sha512Mgf1SaltLen64WithParams,
    };
    for (name, algorithm, expected) in [
        (RsaPss2048Sha256Mgf1SaltLen32, Ps256, Tally::of(63, 45, 0, 0)),
        (RsaPss2048Sha256Mgf1SaltLen32WithParams, Ps256, Tally::of(63, 45, 0, 0)),
        (RsaPss2048Sha384Mgf1SaltLen48, Ps384, Tally::of(95, 46, 0, 0)),
        (RsaPss3072Sha256Mgf1SaltLen32, Ps256, Tally::of(63, 45, 0, 0)),
        (RsaPss3072Sha256Mgf1SaltLen32WithParams, Ps256, Tally::of(63, 45, 0, 0)),
        (RsaPss4096Sha256Mgf1SaltLen32, Ps256, Tally::of(63, 45, 0, 0)),
        (RsaPss4096Sha384Mgf1SaltLen48, Ps384, Tally::of(95, 46, 0, 0)),
        (RsaPss4096Sha512Mgf1SaltLen64, Ps512, Tally::of(132, 47, 0, 0)),
        (RsaPss4096Sha512Mgf1SaltLen64WithParams, Ps512, Tally::of(132, 47, 0, 0)),
    ] {
        assert_eq!(pss(name, algorithm), expected, "{name:?}");
    }
}

/// RFC 7518 section 3.5: the salt is as long as the hash, the mask's hash is the same. Valid
/// signatures with anything else are refused under every algorithm.
#[test]
fn rsa_pss_signatures_with_another_salt_length_or_hash_never_verify() {
    use rsa_pss_verify::TestName::{
        RsaPss2048Sha1Mgf1SaltLen20, RsaPss2048Sha256Mgf1SaltLen0, RsaPss2048Sha256Mgf1Sha1_20,
        RsaPss2048Sha512_256Mgf1SaltLen32, RsaPss2048Sha512Mgf1Sha256SaltLen32WithParams, RsaPss2048Shake128,
        RsaPss2048Shake256, RsaPss4096Sha512Mgf1SaltLen32,
    };
    for (name, valid) in [
        (RsaPss2048Sha1Mgf1SaltLen20, 42),
        (RsaPss2048Sha256Mgf1SaltLen0, 61),
        (RsaPss2048Sha256Mgf1Sha1_20, 63),
        (RsaPss2048Sha512_256Mgf1SaltLen32, 69),
        (RsaPss2048Sha512Mgf1Sha256SaltLen32WithParams, 132),
        (RsaPss2048Shake128, 69),
        (RsaPss2048Shake256, 138),
        (RsaPss4096Sha512Mgf1SaltLen32, 132),
    ] {
        let mut refused = 0;
        for group in &rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let keys = import(&rsa_jwk(&group.key.n, &group.key.e)).unwrap();
            for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
                for algorithm in [Algorithm::Ps256, Algorithm::Ps384, Algorithm::Ps512] {
                    assert!(!verifies(&keys, algorithm, &test.msg, &test.sig), "{name:?} {} {algorithm}", test.tc_id);
                }
                refused += 1;
            }
        }
        println!("{name:?}: {refused} valid signatures refused");
        assert_eq!(refused, valid, "{name:?}");
    }
}

/// One valid signature for each of 150 combinations of hash, mask hash and salt length: those that
/// RFC 7518 names verify, all others do not.
#[test]
fn only_the_pss_parameters_of_rfc_7518_verify() {
    let (mut verified, mut refused) = (0, 0);
    let set = rsa_pss_verify::TestSet::load(rsa_pss_verify::TestName::RsaPssmisc).unwrap();
    for group in &set.test_groups {
        let keys = import(&rsa_jwk(&group.key.n, &group.key.e)).unwrap();
        for test in &group.tests {
            assert_eq!(test.result, TestResult::Valid, "{}", test.tc_id);
            for algorithm in [Algorithm::Ps256, Algorithm::Ps384, Algorithm::Ps512] {
                let is_ours = pss_algorithm(group) == Some(algorithm);
                assert_eq!(verifies(&keys, algorithm, &test.msg, &test.sig), is_ours, "{} {algorithm}", test.tc_id);
                *(if is_ours { &mut verified } else { &mut refused }) += 1;
            }
        }
    }
    println!("PSS parameters: {verified} verified, {refused} refused");
    assert_eq!((verified, refused), (3, 447));
}

fn ecdsa(name: ecdsa::TestName, curve: EllipticCurve, length: usize, algorithm: Algorithm) -> Tally {
    let set = ecdsa::TestSet::load(name).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        assert_eq!(group.key.curve, curve);
        let [4, point @ ..] = &group.key.key[..] else { panic!("not an uncompressed point") };
        let (x, y) = point.split_at(length);
        let crv = format!("P-{}", if length == 66 { 521 } else { 8 * length });
        let ours = import(&json!({"kty": "EC", "crv": crv, "x": base64url(x), "y": base64url(y)})).unwrap();
        for test in &group.tests {
            let case = format!("{name:?} {} {:?} {}", test.tc_id, test.flags, test.comment);
            tally.count(test.result, verifies(&ours, algorithm, &test.msg, &test.sig), &case);
        }
    }
    println!("{name:?} {algorithm}: {tally:?}");
    tally
}

#[test]
fn ecdsa_signatures_verify_only_when_valid() {
    use ecdsa::TestName::{EcdsaSecp256r1Sha256P1363, EcdsaSecp384r1Sha384P1363, EcdsaSecp521r1Sha512P1363};
    let p256 = ecdsa(EcdsaSecp256r1Sha256P1363, EllipticCurve::Secp256r1, 32, Algorithm::Es256);
    assert_eq!(p256, Tally::of(173, 89, 0, 0));
    let p384 = ecdsa(EcdsaSecp384r1Sha384P1363, EllipticCurve::Secp384r1, 48, Algorithm::Es384);
    assert_eq!(p384, Tally::of(193, 87, 0, 0));
    let p521 = ecdsa(EcdsaSecp521r1Sha512P1363, EllipticCurve::Secp521r1, 66, Algorithm::Es512);
    assert_eq!(p521, Tally::of(231, 87, 0, 0));
}

/// A curve goes with its hash (RFC 7518 section 3.4), and a signature is not DER.
#[test]
fn ecdsa_signatures_with_another_hash_or_in_der_never_verify() {
    use ecdsa::TestName::{
        EcdsaSecp256r1Sha256, EcdsaSecp256r1Sha512P1363, EcdsaSecp384r1Sha384, EcdsaSecp384r1Sha512P1363,
    };
    for (name, length, algorithm, signatures) in [
        (EcdsaSecp256r1Sha256, 32, Algorithm::Es256, 484),
        (EcdsaSecp256r1Sha512P1363, 32, Algorithm::Es256, 332),
        (EcdsaSecp384r1Sha384, 48, Algorithm::Es384, 504),
        (EcdsaSecp384r1Sha512P1363, 48, Algorithm::Es384, 318),
    ] {
        let mut refused = 0;
        for group in &ecdsa::TestSet::load(name).unwrap().test_groups {
            let [4, point @ ..] = &group.key.key[..] else { panic!("not an uncompressed point") };
            let (x, y) = point.split_at(length);
            let crv = if length == 32 { "P-256" } else { "P-384" };
            let keys = import(&json!({"kty": "EC", "crv": crv, "x": base64url(x), "y": base64url(y)})).unwrap();
            for test in &group.tests {
                assert!(!verifies(&keys, algorithm, &test.msg, &test.sig), "{name:?} {}", test.tc_id);
                refused += 1;
            }
        }
        println!("{name:?}: {refused} signatures refused");
        assert_eq!(refused, signatures, "{name:?}");
    }
}

#[test]
fn ed25519_signatures_verify_only_when_valid() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        let keys = import(&json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&group.key.pk)})).unwrap();
        for test in &group.tests {
            let case = format!("{} {:?} {}", test.tc_id, test.flags, test.comment);
            tally.count(test.result, verifies(&keys, Algorithm::EdDsa, &test.msg, &test.sig), &case);
        }
    }
    println!("Ed25519: {tally:?}");
    assert_eq!(tally, Tally::of(88, 63, 0, 0));
}
