//! Project Wycheproof's signature vectors through a real Envoy: each is verified by the host's library and by
//! the code inside the module, and both must agree with the corpus.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testbed::{Envoy, EnvoyBuilder, ListenerOptions, Request};
use wycheproof::{TestResult, ecdsa, rsa_pkcs1_verify};

const LISTENER: &str = "vectors";

/// What became of the vectors of one corpus, the same under both verifiers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    verified: usize,
    refused: usize,
    key_refused: usize,
    /// Of each request the time for one vector, in the host and in the module.
    nanoseconds: Vec<[u64; 2]>,
}

impl Tally {
    const fn counts(&self) -> [usize; 3] {
        [self.verified, self.refused, self.key_refused]
    }

    fn add(&mut self, envoy: &Envoy, algorithm: &str, jwk: &Value, cases: &[Case<'_>]) {
        for few in cases.chunks(50) {
            self.add_few(envoy, algorithm, jwk, few);
        }
    }

    fn add_few(&mut self, envoy: &Envoy, algorithm: &str, jwk: &Value, cases: &[Case<'_>]) {
        let pairs: Vec<[String; 2]> = cases.iter().map(|case| [case.message, case.signature].map(base64url)).collect();
        let body = json!({ "jwk": jwk, "algorithm": algorithm, "cases": pairs }).to_string();
        let response = Request::post("/").body(body.as_bytes()).send(envoy.port(LISTENER));
        assert_eq!(response.status, 200, "{}", response.text());
        let answer = response.json();
        if answer["key"] == "refused" {
            self.key_refused += cases.len();
            return;
        }
        assert_eq!(answer["by_host"], json!([algorithm]), "the host does not verify {algorithm}");
        let (native, portable) = (verdicts(&answer["native"]), verdicts(&answer["portable"]));
        assert_eq!((native.len(), portable.len()), (cases.len(), cases.len()));
        for ((case, native), portable) in cases.iter().zip(native).zip(portable) {
            let expected = case.result == TestResult::Valid;
            assert_eq!((native, portable), (expected, expected), "(native, portable) of {algorithm} {}", case.name);
            *(if expected { &mut self.verified } else { &mut self.refused }) += 1;
        }
        let each = |name: &str| answer[name].as_u64().unwrap() / cases.len() as u64;
        // What is refused unasked takes no time.
        if cases.iter().any(|case| case.result == TestResult::Valid) {
            self.nanoseconds.push([each("native_ns"), each("portable_ns")]);
        }
    }

    fn print(&self, corpus: &str) {
        let least = |which: usize| self.nanoseconds.iter().map(|pair| pair[which] / 1000).min().unwrap_or(0);
        let (native, portable, counts) = (least(0), least(1), self.counts());
        println!("{corpus}: {counts:?}; a vector takes {native} us in the host, {portable} us in the module");
    }
}

struct Case<'a> {
    message: &'a [u8],
    signature: &'a [u8],
    result: TestResult,
    name: String,
}

fn verdicts(list: &Value) -> Vec<bool> {
    list.as_array().unwrap().iter().map(|verdict| verdict.as_bool().unwrap()).collect()
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn start() -> Envoy {
    let runner = ListenerOptions {
        module: Some(testbed::module::vector_runner()),
        allow_on_headers_stop_iteration: Some(true),
        direct_response: true,
        ..ListenerOptions::filtered(LISTENER, &json!({}))
    };
    EnvoyBuilder::new().listener(runner).start()
}

fn pkcs1(envoy: &Envoy, name: rsa_pkcs1_verify::TestName, algorithm: &str) -> Tally {
    let mut tally = Tally::default();
    for group in &rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
        let jwk = json!({"kty": "RSA", "n": base64url(&group.key.n), "e": base64url(&group.key.e)});
        let cases: Vec<Case<'_>> = group
            .tests
            .iter()
            .map(|test| Case {
                message: &test.msg,
                signature: &test.sig,
                result: test.result,
                name: format!("{name:?} {} {:?} {}", test.tc_id, test.flags, test.comment),
            })
            .collect();
        tally.add(envoy, algorithm, &jwk, &cases);
    }
    tally.print(&format!("{name:?}"));
    tally
}

/// As in `tests/core/token_vectors.rs`: of each corpus the one acceptable signature is refused, and keys with e = 3.
#[test]
fn rsa_signatures_have_the_same_verdict_natively_and_portably() {
    use rsa_pkcs1_verify::TestName::{
        Rsa2048Sha256, Rsa2048Sha384, Rsa2048Sha512, Rsa3072Sha256, Rsa3072Sha384, Rsa3072Sha512, Rsa4096Sha256,
        Rsa4096Sha384, Rsa4096Sha512, Rsa8192Sha256, Rsa8192Sha384, Rsa8192Sha512,
    };
    let envoy = start();
    for (name, algorithm, expected) in [
        (Rsa2048Sha256, "RS256", [7, 250, 2]),
        (Rsa2048Sha384, "RS384", [7, 251, 0]),
        (Rsa2048Sha512, "RS512", [7, 251, 1]),
        (Rsa3072Sha256, "RS256", [7, 251, 1]),
        (Rsa3072Sha384, "RS384", [7, 252, 0]),
        (Rsa3072Sha512, "RS512", [7, 252, 1]),
        (Rsa4096Sha256, "RS256", [7, 251, 0]),
        (Rsa4096Sha384, "RS384", [7, 252, 0]),
        (Rsa4096Sha512, "RS512", [7, 252, 0]),
        (Rsa8192Sha256, "RS256", [7, 251, 0]),
        (Rsa8192Sha384, "RS384", [7, 252, 0]),
        (Rsa8192Sha512, "RS512", [7, 252, 0]),
    ] {
        assert_eq!(pkcs1(&envoy, name, algorithm).counts(), expected, "{name:?}");
    }
}

fn ecdsa(envoy: &Envoy, name: ecdsa::TestName, curve: &str, algorithm: &str) -> Tally {
    let mut tally = Tally::default();
    for group in &ecdsa::TestSet::load(name).unwrap().test_groups {
        let [4, point @ ..] = &group.key.key[..] else { panic!("not an uncompressed point") };
        let (x, y) = point.split_at(point.len() / 2);
        let jwk = json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)});
        let cases: Vec<Case<'_>> = group
            .tests
            .iter()
            .map(|test| Case {
                message: &test.msg,
                signature: &test.sig,
                result: test.result,
                name: format!("{name:?} {} {:?} {}", test.tc_id, test.flags, test.comment),
            })
            .collect();
        tally.add(envoy, algorithm, &jwk, &cases);
    }
    tally.print(&format!("{name:?}"));
    tally
}

#[test]
fn ecdsa_signatures_have_the_same_verdict_natively_and_portably() {
    use ecdsa::TestName::{EcdsaSecp256r1Sha256P1363, EcdsaSecp384r1Sha384P1363, EcdsaSecp521r1Sha512P1363};
    let envoy = start();
    for (name, curve, algorithm, expected) in [
        (EcdsaSecp256r1Sha256P1363, "P-256", "ES256", [173, 89, 0]),
        (EcdsaSecp384r1Sha384P1363, "P-384", "ES384", [193, 87, 0]),
        (EcdsaSecp521r1Sha512P1363, "P-521", "ES512", [231, 87, 0]),
    ] {
        assert_eq!(ecdsa(&envoy, name, curve, algorithm).counts(), expected, "{name:?}");
    }
}
