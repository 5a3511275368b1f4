//! Encodes the DER (ITU-T X.690) that the host's crypto library expects: a public key as `SubjectPublicKeyInfo` (RFC
//! 5280 section 4.1, RFC 3279 section 2.3), the gateway's RSA key as `PrivateKeyInfo` (RFC 5208 section 5) and an ECDSA
//! signature as a sequence of two integers.
//!
//! Encodes only. It parses no external input.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const SEQUENCE: u8 = 0x30;

/// rsaEncryption with its NULL parameters (RFC 3279 section 2.3.1).
const RSA_ENCRYPTION: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// id-ecPublicKey. The curve follows.
const EC_PUBLIC_KEY: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
/// id-Ed25519 (RFC 8410 section 3), without parameters.
const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";

/// The object identifier of a named curve (RFC 5480 section 2.1.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const fn identifier(self) -> &'static [u8] {
        match self {
            Self::P256 => b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
            Self::P384 => b"\x06\x05\x2b\x81\x04\x00\x22",
            Self::P521 => b"\x06\x05\x2b\x81\x04\x00\x23",
        }
    }
}

/// The `SubjectPublicKeyInfo` of an RSA key with modulus `n` and exponent `e`, both big-endian.
pub(super) fn rsa_public_key(n: &[u8], e: &[u8]) -> Vec<u8> {
    let key = tagged(SEQUENCE, &[&unsigned_integer(n), &unsigned_integer(e)]);
    subject_public_key_info(&[RSA_ENCRYPTION], &key)
}

/// The `PrivateKeyInfo` of an RSA key: `n`, `e`, `d`, `p`, `q`, `dp`, `dq`, `qi` (RFC 8017 appendix A.1.2).
pub(super) fn rsa_private_key(numbers: &[Vec<u8>]) -> Vec<u8> {
    let version = unsigned_integer(&[]);
    let numbers: Vec<Vec<u8>> = numbers.iter().map(|number| unsigned_integer(number)).collect();
    let key = tagged(SEQUENCE, &[&version, &numbers.concat()]);
    tagged(SEQUENCE, &[&version, &tagged(SEQUENCE, &[RSA_ENCRYPTION]), &tagged(OCTET_STRING, &[&key])])
}

/// The `SubjectPublicKeyInfo` of a point in SEC 1 form.
pub(super) fn ec_public_key(curve: Curve, point: &[u8]) -> Vec<u8> {
    subject_public_key_info(&[EC_PUBLIC_KEY, curve.identifier()], point)
}

/// The `SubjectPublicKeyInfo` of an Ed25519 key.
pub(super) fn ed25519_public_key(encoded: &[u8]) -> Vec<u8> {
    subject_public_key_info(&[ED25519], encoded)
}

/// Converts a JWS signature, two integers of the same length (RFC 7518 section 3.4), to `Ecdsa-Sig-Value` (RFC 3279
/// section 2.2.3).
pub(super) fn ecdsa_signature(fixed_length: &[u8]) -> Vec<u8> {
    let (r, s) = fixed_length.split_at(fixed_length.len() / 2);
    tagged(SEQUENCE, &[&unsigned_integer(r), &unsigned_integer(s)])
}

fn subject_public_key_info(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
    // The leading zero byte: the last byte has no unused bits.
    tagged(SEQUENCE, &[&tagged(SEQUENCE, algorithm), &tagged(BIT_STRING, &[&[0], key])])
}

/// The shortest form, which DER requires: a leading zero only where the number would otherwise be negative.
fn unsigned_integer(big_endian: &[u8]) -> Vec<u8> {
    let leading_zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    let digits = big_endian.get(leading_zeros..).unwrap_or_default();
    let needs_sign = digits.first().is_none_or(|first| *first >= 0x80);
    let sign: &[u8] = if needs_sign { &[0] } else { &[] };
    tagged(INTEGER, &[sign, digits])
}

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let leading_zeros = length.iter().take_while(|byte| **byte == 0).count();
    let digits = length.get(leading_zeros..).unwrap_or_default();
    let mut encoded = vec![tag];
    match (content.len(), u8::try_from(digits.len())) {
        (0, _) => encoded.push(0),
        (..=0x7f, _) => encoded.extend_from_slice(digits),
        (_, Ok(count)) => {
            encoded.push(0x80 | count);
            encoded.extend_from_slice(digits);
        }
        // Unreachable: the length of a usize has at most eight bytes.
        (_, Err(_)) => return Vec::new(),
    }
    encoded.extend(content);
    encoded
}

#[cfg(test)]
#[path = "der/tests.rs"]
mod tests;
