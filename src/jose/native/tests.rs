use super::*;
use crate::jose::signing_fixture::TestKey;
use serde_json::json;
use std::cell::RefCell;
use std::rc::Rc;

const OFFERED: [Algorithm; 6] =
    [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512, Algorithm::Es256, Algorithm::Es384, Algorithm::Es512];
const SIGNERS: [TestKey; 4] = [TestKey::RsaA, TestKey::P256, TestKey::P384, TestKey::P521];
const INVALID: &[u8] = b"\x12\x24Failed to verify digest. Error code: 0";

/// The fields of `VerifySignatureArguments`, decoded by independent code.
struct Arguments {
    hash: String,
    public_key: Vec<u8>,
    signature: Vec<u8>,
    text: Vec<u8>,
}

impl Arguments {
    fn read(mut message: &[u8]) -> Self {
        let mut fields = Vec::new();
        for number in 1..=4 {
            let (tag, rest) = message.split_first().unwrap();
            assert_eq!(*tag, number << 3 | 2);
            let digits = rest.iter().position(|byte| *byte < 0x80).unwrap() + 1;
            let (length, rest) = rest.split_at(digits);
            let length = length.iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
            let (field, rest) = rest.split_at(length);
            fields.push(field.to_vec());
            message = rest;
        }
        assert_eq!(message, b"", "more than four fields");
        let [hash, public_key, signature, text]: [Vec<u8>; 4] = fields.try_into().unwrap();
        Self { hash: String::from_utf8(hash).unwrap(), public_key, signature, text }
    }

    /// The JWS form of a signature that is a well-formed sequence of two integers.
    fn fixed_length(&self, length: usize) -> Option<Vec<u8>> {
        fn integer(der: &[u8], length: usize) -> Option<(Vec<u8>, &[u8])> {
            let [2, count, rest @ ..] = der else { return None };
            let (digits, rest) = rest.split_at_checked(usize::from(*count))?;
            let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
            Some(([vec![0; length.checked_sub(digits.len())?], digits.to_vec()].concat(), rest))
        }
        let body = match self.signature.as_slice() {
            [0x30, 0x81, count @ (0x80..), body @ ..] | [0x30, count @ (..=0x7f), body @ ..]
                if usize::from(*count) == body.len() =>
            {
                body
            }
            _ => return None,
        };
        let (r, rest) = integer(body, length)?;
        let (s, rest) = integer(rest, length)?;
        rest.is_empty().then(|| [r, s].concat())
    }

    /// The verdict of a correct host, for the test keys.
    fn is_valid(&self) -> bool {
        let known = || TEST_VECTORS.iter().flat_map(|known| [known.key, known.other_key]).filter_map(Key::from_jwk);
        let own_keys = || {
            SIGNERS.into_iter().chain([TestKey::RsaB]).map(|key| Key::from_jwk(&key.public_jwk().to_string()).unwrap())
        };
        let Some(key) = known().chain(own_keys()).find(|key| key.subject_public_key_info() == self.public_key) else {
            return false;
        };
        let (algorithm, signature) = match (&key.material, self.hash.as_str()) {
            (PublicKey::Rsa(_), "sha256") => (Algorithm::Rs256, Some(self.signature.clone())),
            (PublicKey::Rsa(_), "sha384") => (Algorithm::Rs384, Some(self.signature.clone())),
            (PublicKey::Rsa(_), "sha512") => (Algorithm::Rs512, Some(self.signature.clone())),
            (PublicKey::P256(_), "sha256") => (Algorithm::Es256, self.fixed_length(32)),
            (PublicKey::P384(_), "sha384") => (Algorithm::Es384, self.fixed_length(48)),
            (PublicKey::P521(_), "sha512") => (Algorithm::Es512, self.fixed_length(66)),
            _ => return false,
        };
        signature.is_some_and(|signature| PortableVerifier.verifies(algorithm, &key, &self.text, &signature))
    }
}

fn verify_result(is_valid: bool) -> Option<Vec<u8>> {
    Some(if is_valid { VALID.to_vec() } else { INVALID.to_vec() })
}

fn correct_host() -> HostCall {
    Box::new(|message| verify_result(Arguments::read(message).is_valid()))
}

/// A host that passes its self-test and then returns `to` for every call, and the calls since.
fn host_that_changes(to: Option<Vec<u8>>) -> (NativeVerifier, Rc<RefCell<Vec<Vec<u8>>>>) {
    let calls: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
    let mut verifier = NativeVerifier::with_self_test(correct_host(), &Algorithm::ALL);
    let seen = Rc::clone(&calls);
    verifier.call = Box::new(move |message| {
        seen.borrow_mut().push(message.to_vec());
        to.clone()
    });
    (verifier, calls)
}

fn key(signer: TestKey) -> Key {
    Key::from_jwk(&signer.public_jwk().to_string()).unwrap()
}

#[test]
fn known_answers_match_the_portable_verifier() {
    for known in &TEST_VECTORS {
        let (key, other_key) = (Key::from_jwk(known.key).unwrap(), Key::from_jwk(known.other_key).unwrap());
        let signature = decode(known.signature.as_bytes()).unwrap();
        let verifies = |key: &Key, message: &[u8], signature: &[u8]| {
            assert!(key.supports(known.algorithm));
            PortableVerifier.verifies(known.algorithm, key, message, signature)
        };
        assert!(verifies(&key, MESSAGE, &signature), "{}", known.algorithm);
        assert!(!verifies(&key, OTHER_MESSAGE, &signature), "{}", known.algorithm);
        assert!(!verifies(&other_key, MESSAGE, &signature), "{}", known.algorithm);
        assert!(!verifies(&key, MESSAGE, &altered(&signature)), "{}", known.algorithm);
        // Each invalid signature must reach the host, otherwise the self-test shows nothing.
        for (key, signature) in [(&key, &signature), (&other_key, &signature), (&key, &altered(&signature))] {
            assert!(arguments(known.algorithm, key, MESSAGE, signature).is_some(), "{}", known.algorithm);
        }
    }
    assert_eq!(TEST_VECTORS.map(|known| known.algorithm), OFFERED);
}

#[test]
fn correct_host_verifies_its_algorithms_after_few_test_calls() {
    let verifier = NativeVerifier::with_self_test(correct_host(), &Algorithm::ALL);
    assert_eq!((verifier.host_algorithms(), verifier.failures()), (&OFFERED[..], &[][..]));
    for (algorithm, calls) in
        [(Algorithm::Rs256, 4), (Algorithm::Es384, 5), (Algorithm::Ps256, 0), (Algorithm::EdDsa, 0)]
    {
        let count = Rc::new(RefCell::new(0));
        let counted = Rc::clone(&count);
        let call = Box::new(move |message: &[u8]| {
            *counted.borrow_mut() += 1;
            verify_result(Arguments::read(message).is_valid())
        });
        let verifier = NativeVerifier::with_self_test(call, &[algorithm]);
        assert_eq!(*count.borrow(), calls, "{algorithm}");
        assert_eq!(verifier.host_algorithms().contains(&algorithm), calls > 0, "{algorithm}");
    }
}

#[test]
fn host_without_the_function_or_with_another_result_is_not_used() {
    let results: [Option<&[u8]>; 11] = [
        None,
        Some(b""),
        Some(b"\x08"),
        Some(b"\x08\x00"),
        Some(b"\x08\x02"),
        Some(b"\x08\x01\x00"),
        Some(b"\x08\x01\x12\x00"),
        Some(b"\x08\x81\x00"),
        Some(b"\x01"),
        Some(b"true"),
        Some(INVALID),
    ];
    for result in results {
        let given = result.map(<[u8]>::to_vec);
        let verifier = NativeVerifier::with_self_test(Box::new(move |_| given.clone()), &Algorithm::ALL);
        assert_eq!(verifier.host_algorithms(), [], "{result:x?}");
        assert_eq!(
            verifier.failures(),
            OFFERED.map(|algorithm| (algorithm, SelfTestFailure::ValidRejected)),
            "{result:x?}"
        );
        // The module verifies all of them.
        for signer in SIGNERS.into_iter().chain([TestKey::Ed25519]) {
            let (signature, algorithm) = (signer.sign(b"message"), signer.algorithm());
            assert!(verifier.verifies(algorithm, &key(signer), b"message", &signature), "{signer:?}");
            assert!(!verifier.verifies(algorithm, &key(signer), b"massage", &signature), "{signer:?}");
        }
    }
}

#[test]
fn host_that_accepts_an_invalid_signature_is_not_used() {
    let host_that_also_accepts = |wrong: fn(&Arguments) -> bool| -> HostCall {
        Box::new(move |message| {
            let arguments = Arguments::read(message);
            verify_result(arguments.is_valid() || wrong(&arguments))
        })
    };
    let known = |algorithm| TEST_VECTORS.iter().find(|known| known.algorithm == algorithm).unwrap();
    let rows: [(HostCall, Algorithm, InvalidSignature); 5] = [
        (Box::new(|_| verify_result(true)), Algorithm::Rs256, InvalidSignature::OtherMessage),
        (
            host_that_also_accepts(|arguments| arguments.hash == "sha384" && arguments.text == OTHER_MESSAGE),
            Algorithm::Rs384,
            InvalidSignature::OtherMessage,
        ),
        (
            host_that_also_accepts(|arguments| {
                arguments.public_key == Key::from_jwk(TEST_VECTORS[3].other_key).unwrap().subject_public_key_info()
            }),
            Algorithm::Es256,
            InvalidSignature::OtherKey,
        ),
        (
            host_that_also_accepts(|arguments| {
                let Some(signature) = arguments.fixed_length(48) else { return false };
                arguments.text == MESSAGE
                    && altered(&signature) == decode(TEST_VECTORS[4].signature.as_bytes()).unwrap()
            }),
            Algorithm::Es384,
            InvalidSignature::Altered,
        ),
        (
            host_that_also_accepts(|arguments| arguments.signature.len() == 132),
            Algorithm::Es512,
            InvalidSignature::NotDer,
        ),
    ];
    assert_eq!([known(Algorithm::Es256).key, known(Algorithm::Es384).key], [TEST_VECTORS[3].key, TEST_VECTORS[4].key]);
    for (call, algorithm, bad) in rows {
        let verifier = NativeVerifier::with_self_test(call, &Algorithm::ALL);
        assert_eq!(verifier.host_algorithms(), [], "{bad:?}");
        assert!(
            verifier.failures().contains(&(algorithm, SelfTestFailure::InvalidAccepted(bad))),
            "{:?}",
            verifier.failures()
        );
    }
}

#[test]
fn arguments_are_hash_key_der_signature_and_message() {
    for signer in SIGNERS {
        let (verifier, calls) = host_that_changes(verify_result(true));
        let message = vec![b'm'; 300];
        let (signature, algorithm) = (signer.sign(&message), signer.algorithm());
        assert!(verifier.verifies(algorithm, &key(signer), &message, &signature));
        let arguments = Arguments::read(&calls.borrow()[0]);
        assert_eq!(arguments.public_key, key(signer).subject_public_key_info());
        assert_eq!(arguments.text, message);
        assert_eq!(arguments.hash, format!("sha{}", &algorithm.name()[2..]));
        if signer == TestKey::RsaA {
            assert_eq!(arguments.signature, signature);
        } else {
            assert_eq!(arguments.fixed_length(signature.len() / 2), Some(signature));
        }
    }
}

#[test]
fn only_the_exact_valid_result_accepts_a_signature() {
    let results: [&[u8]; 5] = [b"", b"\x08\x00", b"\x08\x02", b"\x08\x01\x08\x01", INVALID];
    for result in results {
        let (verifier, calls) = host_that_changes(Some(result.to_vec()));
        for signer in SIGNERS {
            let good = signer.sign(b"message");
            assert!(!verifier.verifies(signer.algorithm(), &key(signer), b"message", &good), "{signer:?} {result:x?}");
        }
        assert_eq!(calls.borrow().len(), SIGNERS.len());
    }
}

#[test]
fn module_verifies_when_the_host_call_fails() {
    let (verifier, calls) = host_that_changes(None);
    for signer in SIGNERS {
        let good = signer.sign(b"message");
        let verifies = |message| verifier.verifies(signer.algorithm(), &key(signer), message, &good);
        assert!(verifies(b"message"), "{signer:?}");
        assert!(!verifies(b"massage"), "{signer:?}");
    }
    assert_eq!(calls.borrow().len(), 2 * SIGNERS.len());
}

#[test]
fn signature_out_of_range_or_of_wrong_length_is_rejected_without_a_call() {
    let (verifier, calls) = host_that_changes(verify_result(true));
    for signer in SIGNERS {
        let good = signer.sign(b"message");
        let (r, s) = good.split_at(good.len() / 2);
        let zero = vec![0; r.len()];
        let mut bad = vec![
            Vec::new(),
            good[1..].to_vec(),
            good[..good.len() - 1].to_vec(),
            [&[0], &good[..]].concat(),
            [&good[..], &[0]].concat(),
            [&good[..], &[0, 0]].concat(),
            good.repeat(2),
        ];
        if signer != TestKey::RsaA {
            let ones = vec![0xff; r.len()];
            bad.extend([
                [r, &zero].concat(),
                [&zero, s].concat(),
                [&zero[..], &zero].concat(),
                [r, &ones].concat(),
                [&ones, s].concat(),
                der::ecdsa_signature(&good),
            ]);
        }
        for signature in bad {
            assert!(!verifier.verifies(signer.algorithm(), &key(signer), b"message", &signature), "{signature:x?}");
        }
    }
    assert_eq!(calls.borrow().len(), 0);
}

/// A host's library accepts a P-256 key with SHA-384 and other combinations.
#[test]
fn key_that_does_not_support_the_algorithm_is_rejected_without_a_call() {
    let (verifier, calls) = host_that_changes(verify_result(true));
    for signer in SIGNERS.into_iter().chain([TestKey::Ed25519]) {
        for algorithm in Algorithm::ALL {
            let key = key(signer);
            if !key.supports(algorithm) {
                assert!(
                    !verifier.verifies(algorithm, &key, b"message", &signer.sign(b"message")),
                    "{signer:?} {algorithm}"
                );
            }
        }
    }
    let mut jwk = TestKey::RsaA.public_jwk();
    jwk["alg"] = json!("PS256");
    let for_pss = Key::from_jwk(&jwk.to_string()).unwrap();
    assert!(!verifier.verifies(Algorithm::Rs256, &for_pss, b"message", &TestKey::RsaA.sign(b"message")));
    assert_eq!(calls.borrow().len(), 0);
}

#[test]
fn module_verifies_algorithms_that_the_host_lacks() {
    let (verifier, calls) = host_that_changes(None);
    let good = TestKey::Ed25519.sign(b"message");
    assert!(verifier.verifies(Algorithm::EdDsa, &key(TestKey::Ed25519), b"message", &good));
    assert!(!verifier.verifies(Algorithm::EdDsa, &key(TestKey::Ed25519), b"massage", &good));
    assert!(!verifier.verifies(Algorithm::Ps256, &key(TestKey::RsaA), b"message", &TestKey::RsaA.sign(b"message")));
    assert_eq!(calls.borrow().len(), 0);
}

#[test]
fn varint_encodes_seven_bits_per_byte_low_bits_first() {
    for (number, expected) in [
        (0, &b"\x00"[..]),
        (1, b"\x01"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),
        (16_384, b"\x80\x80\x01"),
    ] {
        let mut encoded = Vec::new();
        write_varint(&mut encoded, number);
        assert_eq!(encoded, expected, "{number}");
    }
}
