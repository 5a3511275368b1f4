//! Verification by the host's library, where the host has one and it was seen to judge rightly.
//!
//! Speaks the message of Envoy's foreign function `verify_signature`; how the bytes get to the host and
//! back is the caller's. The function takes more than we do (SHA-1, RSA 1024, a P-256 key with SHA-384),
//! so what is asked is decided before: the key and its algorithm by `jwk`, a signature's length and
//! range here. Only the one answer that says "valid" counts: a host that answers anything else, or
//! nonsense, can refuse good tokens and never let a bad one pass. A call that fails is no verdict: then the module
//! verifies the signature itself.

mod known_answers;

use std::borrow::Cow;
use std::fmt;

use super::algorithm::Algorithm;
use super::compact::decode;
use super::der;
use super::jwk::{Key, PublicKey};
use super::verify::{PortableVerifier, SignatureVerifier};
use known_answers::{KNOWN_ANSWERS, KnownAnswer, MESSAGE, OTHER_MESSAGE};

/// Calls `verify_signature` with these arguments; `None` when the call fails.
pub type HostCall = Box<dyn Fn(&[u8]) -> Option<Vec<u8>>>;

/// The protobuf of `VerifySignatureResult { result: true }`, and nothing else.
const VALID: [u8; 2] = [0x08, 0x01];

/// Has the host verify what it can be trusted with, and verifies the rest itself.
pub struct NativeVerifier {
    call: HostCall,
    by_host: Vec<Algorithm>,
    doubts: Vec<(Algorithm, SelfTestFailure)>,
}

/// Why the host is not asked about an algorithm that it was to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTestFailure {
    /// It did not call a good signature valid; most likely it lacks the function, or this algorithm.
    GoodRefused,
    /// It called a signature valid that is none. Then it is asked about no algorithm at all.
    BadAccepted(BadSignature),
}

/// What was wrong with the signature that a host called valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSignature {
    /// It is of another message.
    OtherMessage,
    /// It is of another key.
    OtherKey,
    /// One bit of it was altered.
    Altered,
    /// It is an ECDSA signature that is not DER.
    NotDer,
}

impl fmt::Display for SelfTestFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::GoodRefused => "it does not call a good signature valid",
            Self::BadAccepted(BadSignature::OtherMessage) => "it calls a signature of another message valid",
            Self::BadAccepted(BadSignature::OtherKey) => "it calls a signature of another key valid",
            Self::BadAccepted(BadSignature::Altered) => "it calls an altered signature valid",
            Self::BadAccepted(BadSignature::NotDer) => "it calls an ECDSA signature valid that is not DER",
        })
    }
}

impl NativeVerifier {
    /// Puts the known answers for `algorithms` to the host, and from then on has it verify those that it
    /// got right. A handful of calls for each algorithm: meant for the time of configuration.
    pub fn tested(call: HostCall, algorithms: &[Algorithm]) -> Self {
        let mut verifier = Self { call, by_host: Vec::new(), doubts: Vec::new() };
        let wanted = |known: &&KnownAnswer| algorithms.contains(&known.algorithm);
        for known in KNOWN_ANSWERS.iter().filter(wanted) {
            match verifier.doubt(known) {
                None => verifier.by_host.push(known.algorithm),
                Some(doubt) => verifier.doubts.push((known.algorithm, doubt)),
            }
        }
        if verifier.doubts.iter().any(|(_, doubt)| matches!(doubt, SelfTestFailure::BadAccepted(_))) {
            verifier.by_host.clear();
        }
        verifier
    }

    /// The algorithms that the host verifies; all others are verified here.
    pub fn by_host(&self) -> &[Algorithm] {
        &self.by_host
    }

    /// The algorithms that the host was asked about and failed at, and how.
    pub fn doubts(&self) -> &[(Algorithm, SelfTestFailure)] {
        &self.doubts
    }

    fn doubt(&self, known: &KnownAnswer) -> Option<SelfTestFailure> {
        let key = Key::of_text(known.key);
        let other_key = Key::of_text(known.other_key);
        let (Some(key), Some(other_key), Ok(signature)) = (key, other_key, decode(known.signature.as_bytes())) else {
            return Some(SelfTestFailure::GoodRefused);
        };
        let asked = |key: &Key, message: &[u8], signature: &[u8]| {
            question(known.algorithm, key, message, signature).is_some_and(|question| self.ask(&question) == Some(true))
        };
        let not_der = || {
            let question = question(known.algorithm, &key, MESSAGE, &signature);
            question
                .filter(|question| *question.signature != *signature)
                .map(|question| Question { signature: Cow::Borrowed(&signature), ..question })
                .is_some_and(|question| self.ask(&question) == Some(true))
        };
        if !asked(&key, MESSAGE, &signature) {
            return Some(SelfTestFailure::GoodRefused);
        }
        let bad = if asked(&key, OTHER_MESSAGE, &signature) {
            BadSignature::OtherMessage
        } else if asked(&other_key, MESSAGE, &signature) {
            BadSignature::OtherKey
        } else if asked(&key, MESSAGE, &altered(&signature)) {
            BadSignature::Altered
        } else if not_der() {
            BadSignature::NotDer
        } else {
            return None;
        };
        Some(SelfTestFailure::BadAccepted(bad))
    }

    /// Whether the host calls the signature valid; `None` when the call fails.
    fn ask(&self, question: &Question<'_>) -> Option<bool> {
        (self.call)(&question.to_protobuf()).map(|answer| answer == VALID)
    }
}

impl SignatureVerifier for NativeVerifier {
    fn verifies(&self, algorithm: Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        let by_module = || PortableVerifier.verifies(algorithm, key, message, signature);
        if !self.by_host.contains(&algorithm) {
            return by_module();
        }
        // A call that fails says nothing of the token: a good one must not be rejected for it.
        question(algorithm, key, message, signature)
            .is_some_and(|question| self.ask(&question).unwrap_or_else(by_module))
    }
}

/// One call of `verify_signature`.
struct Question<'a> {
    hash: &'static str,
    public_key: &'a [u8],
    signature: Cow<'a, [u8]>,
    message: &'a [u8],
}

/// What to ask; `None` when the answer is no without asking, or the function does not know the algorithm.
fn question<'a>(algorithm: Algorithm, key: &'a Key, message: &'a [u8], signature: &'a [u8]) -> Option<Question<'a>> {
    use Algorithm::{EdDsa, Es256, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    let hash = match algorithm {
        Rs256 | Es256 => "sha256",
        Rs384 | Es384 => "sha384",
        Rs512 | Es512 => "sha512",
        Ps256 | Ps384 | Ps512 | EdDsa => return None,
    };
    if !key.serves(algorithm) {
        return None;
    }
    let is_in_range = match &key.material {
        PublicKey::Rsa(key) => signature.len() == key.byte_length(),
        // Both numbers as long as the curve's order, neither zero nor as large as it.
        PublicKey::P256(_) => p256::ecdsa::Signature::from_slice(signature).is_ok(),
        PublicKey::P384(_) => p384::ecdsa::Signature::from_slice(signature).is_ok(),
        PublicKey::P521(_) => p521::ecdsa::Signature::from_slice(signature).is_ok(),
        PublicKey::Ed25519(_) => false,
    };
    let encoded = || match &key.material {
        PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_) => Cow::Owned(der::ecdsa_signature(signature)),
        PublicKey::Rsa(_) | PublicKey::Ed25519(_) => Cow::Borrowed(signature),
    };
    is_in_range.then(|| Question { hash, public_key: key.subject_public_key_info(), signature: encoded(), message })
}

impl Question<'_> {
    /// `VerifySignatureArguments` of envoy/source/extensions/common/wasm/ext/verify_signature.proto.
    fn to_protobuf(&self) -> Vec<u8> {
        let fields: [&[u8]; 4] = [self.hash.as_bytes(), self.public_key, &self.signature, self.message];
        let mut encoded = Vec::with_capacity(fields.iter().map(|field| field.len() + 6).sum());
        for (number, field) in (1_u8..).zip(fields) {
            // Wire type 2: a length, and so many bytes.
            encoded.push(number << 3 | 2);
            write_varint(&mut encoded, field.len());
            encoded.extend_from_slice(field);
        }
        encoded
    }
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
