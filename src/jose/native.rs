//! Verifies signatures with the host's crypto library, for the algorithms that pass a self-test.
//!
//! It encodes the messages of Envoy's foreign function `verify_signature`. The caller transports them. The function
//! accepts more than this project does (SHA-1, RSA 1024, a P-256 key with SHA-384). So `jwk` checks the key and
//! algorithm before the call, and this module checks the length and range of the signature. Only the exact encoding of
//! "valid" is accepted: a faulty host can reject valid tokens but cannot allow invalid ones. If the call itself fails,
//! the module verifies the signature in its own code.

mod test_vectors;

use std::borrow::Cow;
use std::fmt;

use super::algorithm::Algorithm;
use super::compact::decode;
use super::der;
use super::jwk::{Key, PublicKey};
use super::verify::{PortableVerifier, SignatureVerifier};
use test_vectors::{MESSAGE, OTHER_MESSAGE, TEST_VECTORS, TestVector};

/// Calls `verify_signature` with these arguments. Returns `None` if the call fails.
pub type HostCall = Box<dyn Fn(&[u8]) -> Option<Vec<u8>>>;

/// The exact protobuf of `VerifySignatureResult { result: true }`.
const VALID: [u8; 2] = [0x08, 0x01];

/// Verifies with the host where its self-test passed, and with [`PortableVerifier`] otherwise.
pub struct NativeVerifier {
    call: HostCall,
    host_algorithms: Vec<Algorithm>,
    failures: Vec<(Algorithm, SelfTestFailure)>,
}

/// Why the host is not used for a configured algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTestFailure {
    /// The host did not accept a valid signature. Usually it lacks the function or the algorithm.
    ValidRejected,
    /// The host accepted an invalid signature. It is then used for no algorithm.
    InvalidAccepted(InvalidSignature),
}

/// The invalid signature that the host accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidSignature {
    /// A signature of another message.
    OtherMessage,
    /// A signature of another key.
    OtherKey,
    /// A signature with one altered bit.
    Altered,
    /// An ECDSA signature that is not DER.
    NotDer,
}

impl fmt::Display for SelfTestFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ValidRejected => "it rejects a valid signature",
            Self::InvalidAccepted(InvalidSignature::OtherMessage) => "it accepts a signature of another message",
            Self::InvalidAccepted(InvalidSignature::OtherKey) => "it accepts a signature of another key",
            Self::InvalidAccepted(InvalidSignature::Altered) => "it accepts an altered signature",
            Self::InvalidAccepted(InvalidSignature::NotDer) => "it accepts an ECDSA signature that is not DER",
        })
    }
}

impl NativeVerifier {
    /// Runs the known-answer tests of `algorithms` on the host and uses the host for those that pass. It makes a few
    /// calls per algorithm, so run it when the configuration is loaded.
    pub fn with_self_test(call: HostCall, algorithms: &[Algorithm]) -> Self {
        let mut verifier = Self { call, host_algorithms: Vec::new(), failures: Vec::new() };
        let is_configured = |test: &&TestVector| algorithms.contains(&test.algorithm);
        for test in TEST_VECTORS.iter().filter(is_configured) {
            match verifier.self_test(test) {
                None => verifier.host_algorithms.push(test.algorithm),
                Some(failure) => verifier.failures.push((test.algorithm, failure)),
            }
        }
        if verifier.failures.iter().any(|(_, failure)| matches!(failure, SelfTestFailure::InvalidAccepted(_))) {
            verifier.host_algorithms.clear();
        }
        verifier
    }

    /// The algorithms that the host verifies. The module verifies all others.
    pub fn host_algorithms(&self) -> &[Algorithm] {
        &self.host_algorithms
    }

    /// The algorithms that failed the self-test on the host, and why.
    pub fn failures(&self) -> &[(Algorithm, SelfTestFailure)] {
        &self.failures
    }

    fn self_test(&self, test: &TestVector) -> Option<SelfTestFailure> {
        let key = Key::from_jwk(test.key);
        let other_key = Key::from_jwk(test.other_key);
        let (Some(key), Some(other_key), Ok(signature)) = (key, other_key, decode(test.signature.as_bytes())) else {
            return Some(SelfTestFailure::ValidRejected);
        };
        let accepts = |key: &Key, message: &[u8], signature: &[u8]| {
            arguments(test.algorithm, key, message, signature)
                .is_some_and(|arguments| self.call_host(&arguments) == Some(true))
        };
        let not_der = || {
            let arguments = arguments(test.algorithm, &key, MESSAGE, &signature);
            arguments
                .filter(|arguments| *arguments.signature != *signature)
                .map(|arguments| Arguments { signature: Cow::Borrowed(&signature), ..arguments })
                .is_some_and(|arguments| self.call_host(&arguments) == Some(true))
        };
        if !accepts(&key, MESSAGE, &signature) {
            return Some(SelfTestFailure::ValidRejected);
        }
        let bad = if accepts(&key, OTHER_MESSAGE, &signature) {
            InvalidSignature::OtherMessage
        } else if accepts(&other_key, MESSAGE, &signature) {
            InvalidSignature::OtherKey
        } else if accepts(&key, MESSAGE, &altered(&signature)) {
            InvalidSignature::Altered
        } else if not_der() {
            InvalidSignature::NotDer
        } else {
            return None;
        };
        Some(SelfTestFailure::InvalidAccepted(bad))
    }

    /// Whether the host accepts the signature. `None` if the call fails.
    fn call_host(&self, arguments: &Arguments<'_>) -> Option<bool> {
        (self.call)(&arguments.to_protobuf()).map(|result| result == VALID)
    }
}

impl SignatureVerifier for NativeVerifier {
    fn verifies(&self, algorithm: Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        let by_module = || PortableVerifier.verifies(algorithm, key, message, signature);
        if !self.host_algorithms.contains(&algorithm) {
            return by_module();
        }
        // A failed call is no verdict on the token, so a valid token must not be rejected for it.
        arguments(algorithm, key, message, signature)
            .is_some_and(|arguments| self.call_host(&arguments).unwrap_or_else(by_module))
    }
}

/// The arguments of one `verify_signature` call.
struct Arguments<'a> {
    hash: &'static str,
    public_key: &'a [u8],
    signature: Cow<'a, [u8]>,
    message: &'a [u8],
}

/// The arguments of the call. `None` if the signature is invalid without a call, or the function lacks the algorithm.
fn arguments<'a>(algorithm: Algorithm, key: &'a Key, message: &'a [u8], signature: &'a [u8]) -> Option<Arguments<'a>> {
    use Algorithm::{EdDsa, Es256, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    let hash = match algorithm {
        Rs256 | Es256 => "sha256",
        Rs384 | Es384 => "sha384",
        Rs512 | Es512 => "sha512",
        Ps256 | Ps384 | Ps512 | EdDsa => return None,
    };
    if !key.supports(algorithm) {
        return None;
    }
    let has_valid_range = match &key.material {
        PublicKey::Rsa(key) => signature.len() == key.byte_length(),
        // Both integers have the length of the curve's order and are in the range from one to the order minus one.
        PublicKey::P256(_) => p256::ecdsa::Signature::from_slice(signature).is_ok(),
        PublicKey::P384(_) => p384::ecdsa::Signature::from_slice(signature).is_ok(),
        PublicKey::P521(_) => p521::ecdsa::Signature::from_slice(signature).is_ok(),
        PublicKey::Ed25519(_) => false,
    };
    let encoded = || match &key.material {
        PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_) => Cow::Owned(der::ecdsa_signature(signature)),
        PublicKey::Rsa(_) | PublicKey::Ed25519(_) => Cow::Borrowed(signature),
    };
    has_valid_range.then(|| Arguments {
        hash,
        public_key: key.subject_public_key_info(),
        signature: encoded(),
        message,
    })
}

impl Arguments<'_> {
    /// Encodes `VerifySignatureArguments` of envoy/source/extensions/common/wasm/ext/verify_signature.proto.
    fn to_protobuf(&self) -> Vec<u8> {
        protobuf(&[self.hash.as_bytes(), self.public_key, &self.signature, self.message])
    }
}

/// A protobuf message of these byte fields, numbered from 1.
pub(super) fn protobuf(fields: &[&[u8]]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(fields.iter().map(|field| field.len() + 6).sum());
    for (number, field) in (1_u8..).zip(fields) {
        // Wire type 2: length-delimited.
        encoded.push(number << 3 | 2);
        write_varint(&mut encoded, field.len());
        encoded.extend_from_slice(field);
    }
    encoded
}

pub(super) fn write_varint(encoded: &mut Vec<u8>, mut number: usize) {
    while let rest @ 1.. = number >> 7 {
        encoded.push(0x80 | low_seven_bits(number));
        number = rest;
    }
    encoded.push(low_seven_bits(number));
}

#[allow(clippy::cast_possible_truncation)] // seven bits fit
const fn low_seven_bits(number: usize) -> u8 {
    (number & 0x7f) as u8
}

fn altered(signature: &[u8]) -> Vec<u8> {
    let mut altered = signature.to_vec();
    if let Some(last) = altered.last_mut() {
        *last ^= 1;
    }
    altered
}

#[cfg(test)]
#[path = "native/tests.rs"]
mod tests;
