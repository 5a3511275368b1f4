//! Parses PKCS#8 in PEM (RFC 7468 section 10, RFC 5958), limited to the supported signing keys.
//!
//! A general DER parser adds 40 kB to the module. This one accepts the few forms of a signing key and rejects all
//! others. Its only input is the operator's configuration.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::der::{BIT_STRING, INTEGER, OCTET_STRING, SEQUENCE};

const OBJECT_IDENTIFIER: u8 = 0x06;
/// Context-specific, constructed tags: parameters and public key in an `ECPrivateKey` (RFC 5915 section 3).
const PARAMETERS: u8 = 0xa0;
const PUBLIC_KEY: u8 = 0xa1;

/// rsaEncryption (RFC 8017 appendix A.1), id-ecPublicKey and secp256r1 (RFC 5480 section 2.1.1).
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const ELLIPTIC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const P256: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";

/// Why a string is not a usable signing key. It holds no part of the string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateKeyFault {
    /// Neither valid PEM nor a valid JWK.
    Malformed,
    /// PEM in another format: PKCS#1, SEC 1, or a certificate. `openssl pkcs8 -topk8 -nocrypt` converts it.
    NotPkcs8,
    /// PEM that is encrypted with a password.
    Encrypted,
    /// A key type other than RSA or P-256, or a JWK for an algorithm other than RS256 or ES256.
    Unsupported,
    /// An RSA key below 2048 bits, or a weak one.
    Weak,
    /// The private and public halves do not match, or the key is not for signatures.
    Inconsistent,
    /// A JWK without its private half.
    NotPrivate,
}

/// The components of a key.
#[derive(Clone, Copy)]
pub(super) enum Parts<'a> {
    /// Modulus and exponent, big-endian. Only the host reads the private components.
    Rsa { n: &'a [u8], e: &'a [u8] },
    /// The private scalar, and the public point in SEC 1 form if it is present.
    P256 { secret: &'a [u8], public: Option<&'a [u8]> },
}

pub(super) fn from_pem(pem: &str) -> Result<Vec<u8>, PrivateKeyFault> {
    let label =
        |line: &str, edge: &str| -> Option<String> { Some(line.strip_prefix(edge)?.strip_suffix("-----")?.to_owned()) };
    let mut lines = pem.lines().map(str::trim);
    let begin = lines.next().and_then(|line| label(line, "-----BEGIN ")).ok_or(PrivateKeyFault::Malformed)?;
    let end = lines.next_back().and_then(|line| label(line, "-----END "));
    if end.as_ref() != Some(&begin) {
        return Err(PrivateKeyFault::Malformed);
    }
    match begin.as_str() {
        "PRIVATE KEY" => {}
        "ENCRYPTED PRIVATE KEY" => return Err(PrivateKeyFault::Encrypted),
        _ => return Err(PrivateKeyFault::NotPkcs8),
    }
    STANDARD.decode(lines.collect::<String>()).map_err(|_| PrivateKeyFault::Malformed)
}

pub(super) fn parts(der: &[u8]) -> Result<Parts<'_>, PrivateKeyFault> {
    let (mut algorithm, key) = algorithm_and_key(der).ok_or(PrivateKeyFault::Malformed)?;
    match algorithm.take(OBJECT_IDENTIFIER).ok_or(PrivateKeyFault::Malformed)? {
        RSA => rsa(key).ok_or(PrivateKeyFault::Malformed),
        ELLIPTIC if algorithm.take(OBJECT_IDENTIFIER) == Some(P256) => p256(key).ok_or(PrivateKeyFault::Malformed),
        _ => Err(PrivateKeyFault::Unsupported),
    }
}

fn algorithm_and_key(der: &[u8]) -> Option<(Reader<'_>, &[u8])> {
    let mut info = Reader(Reader(der).only(SEQUENCE)?);
    // Version 1 may have a public key after the private one. It is not needed.
    if !matches!(info.take(INTEGER)?, [0 | 1]) {
        return None;
    }
    Some((Reader(info.take(SEQUENCE)?), info.take(OCTET_STRING)?))
}

/// Parses an `RSAPrivateKey` of two primes (RFC 8017 appendix A.1.2).
fn rsa(key: &[u8]) -> Option<Parts<'_>> {
    let mut numbers = Reader(Reader(key).only(SEQUENCE)?);
    if numbers.take(INTEGER)? != [0] {
        return None;
    }
    let (n, e) = (numbers.unsigned()?, numbers.unsigned()?);
    for _ in 0..6 {
        numbers.unsigned()?;
    }
    numbers.0.is_empty().then_some(Parts::Rsa { n, e })
}

/// Parses an `ECPrivateKey` (RFC 5915 section 3). The algorithm identifier names the curve.
fn p256(key: &[u8]) -> Option<Parts<'_>> {
    let mut members = Reader(Reader(key).only(SEQUENCE)?);
    if members.take(INTEGER)? != [1] {
        return None;
    }
    let secret = members.take(OCTET_STRING)?;
    if let Some(parameters) = members.take(PARAMETERS)
        && Reader(parameters).only(OBJECT_IDENTIFIER)? != P256
    {
        return None;
    }
    let public = match members.take(PUBLIC_KEY) {
        // The leading zero byte: the last byte has no unused bits.
        Some(public) => Some(Reader(public).only(BIT_STRING)?.strip_prefix(&[0])?),
        None => None,
    };
    members.0.is_empty().then_some(Parts::P256 { secret, public })
}

/// The input that is not consumed yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Consumes the next element and returns its content, if it has this tag. Otherwise consumes nothing.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        let (length, rest) = if *found == tag { length(rest)? } else { return None };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }

    /// The content of the only element.
    fn only(mut self, tag: u8) -> Option<&'a [u8]> {
        let content = self.take(tag)?;
        self.0.is_empty().then_some(content)
    }

    /// The digits of the next element, a non-negative integer in its one valid DER form.
    fn unsigned(&mut self) -> Option<&'a [u8]> {
        match self.take(INTEGER)? {
            [] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => None,
            [0, digits @ ..] if !digits.is_empty() => Some(digits),
            digits => Some(digits),
        }
    }
}

/// A length in its shortest form, and the bytes after it. No key is longer than 64 kB.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short @ 0..=0x7f, rest @ ..] => Some((usize::from(*short), rest)),
        [0x81, length @ 0x80..=0xff, rest @ ..] => Some((usize::from(*length), rest)),
        [0x82, high @ 1..=0xff, low, rest @ ..] => Some((usize::from(u16::from_be_bytes([*high, *low])), rest)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "pkcs8/tests.rs"]
mod tests;
