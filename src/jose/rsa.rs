//! RSA signature verification (RFC 8017, RSASSA-PKCS1-v1_5 and RSASSA-PSS), public keys only.
//!
//! Verification speed is a goal of this project. With the common big-integer libraries one RS256 verification takes 0.6
//! to 1.1 ms inside a wasm host; with `montgomery` it takes a tenth of that (`make microbench`). The code handles no
//! secret, so it need not run in constant time. The tests compare it with `num-bigint` and with signatures of another
//! library.

mod montgomery;

use sha2::{Digest, Sha256, Sha384, Sha512};

use montgomery::Modulus;

const MIN_BITS: usize = 2048;
const MAX_BITS: usize = 8192;
const MIN_EXPONENT: u64 = 65_537;
/// A larger exponent only costs time. No known issuer uses one.
const MAX_EXPONENT: u64 = 1 << 33;

/// A hash function of the SHA-2 family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn run<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut hasher = D::new();
            for part in parts {
                hasher.update(part);
            }
            hasher.finalize().to_vec()
        }
        match self {
            Self::Sha256 => run::<Sha256>(parts),
            Self::Sha384 => run::<Sha384>(parts),
            Self::Sha512 => run::<Sha512>(parts),
        }
    }

    const fn output_length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The DER of `DigestInfo` before the digest (RFC 8017 section 9.2, note 1).
    const fn digest_info_prefix(self) -> &'static [u8] {
        match self {
            Self::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
            Self::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
            Self::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
        }
    }
}

/// An RSA public key that passed the checks of [`Self::new`].
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RsaPublicKey {
    modulus: Modulus,
    exponent: u64,
    bits: usize,
}

impl RsaPublicKey {
    /// The key with modulus `n` and exponent `e`, both big-endian. `None` if it is weak: below 2048 or above 8192 bits,
    /// an even, small or huge exponent, a modulus that is even, has a small factor or the ROCA fingerprint
    /// (CVE-2017-15361).
    pub(super) fn new(n: &[u8], e: &[u8]) -> Option<Self> {
        let n = without_leading_zeros(n);
        let bits = bit_length(n);
        if !(MIN_BITS..=MAX_BITS).contains(&bits) || has_small_factor(n) || has_roca_fingerprint(n) {
            return None;
        }
        let exponent = exponent_from_bytes(e)?;
        Some(Self { modulus: Modulus::new(n, bits), exponent, bits })
    }

    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2.2). Compares the whole encoded message, so the padding is verified too.
    pub(super) fn verifies_pkcs1(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let Some(encoded) = self.public_operation(signature) else { return false };
        let digest = hash.digest(&[message]);
        let prefix = hash.digest_info_prefix();
        let Some(padding) = encoded.len().checked_sub(prefix.len() + digest.len() + 3) else { return false };
        let mut expected = Vec::with_capacity(encoded.len());
        expected.extend_from_slice(&[0, 1]);
        expected.resize(2 + padding, 0xff);
        expected.push(0);
        expected.extend_from_slice(prefix);
        expected.extend_from_slice(&digest);
        encoded == expected
    }

    /// RSASSA-PSS (RFC 8017 section 8.1.2) with MGF1 of the same hash and a salt of the hash's length (RFC 7518 section
    /// 3.5).
    pub(super) fn verifies_pss(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        self.public_operation(signature)
            .is_some_and(|encoded| pss_encoding_is_consistent(hash, message, &encoded, self.bits - 1))
    }

    /// The length of the modulus and of a signature.
    pub(super) const fn byte_length(&self) -> usize {
        self.bits.div_ceil(8)
    }

    /// `signature^exponent mod modulus`, with the length of the modulus. `None` if the signature has another length or
    /// is not below the modulus.
    fn public_operation(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let has_modulus_length = signature.len() == self.byte_length();
        has_modulus_length.then(|| self.modulus.power(signature, self.exponent)).flatten()
    }
}

/// EMSA-PSS-VERIFY (RFC 8017 section 9.1.2) of an encoding of `bits` bits.
fn pss_encoding_is_consistent(hash: Hash, message: &[u8], encoded: &[u8], bits: usize) -> bool {
    let length = hash.output_length();
    // A modulus of 8k+1 bits adds one leading byte, which must be zero.
    let (leading, encoded) = encoded.split_at(encoded.len() - bits.div_ceil(8));
    let Some((body, [0xbc])) = encoded.split_last_chunk::<1>() else { return false };
    let Some(mask_length) = body.len().checked_sub(length) else { return false };
    let (masked, digest) = body.split_at(mask_length);
    let Some(zeros) = mask_length.checked_sub(length + 1) else { return false };

    let unused_bits = 8 * (body.len() + 1) - bits;
    let top_mask = 0xff_u8.checked_shr(u32::try_from(unused_bits).unwrap_or(u32::MAX)).unwrap_or(0);
    let leading_is_zero = leading.iter().all(|byte| *byte == 0);
    if !leading_is_zero || masked.first().is_none_or(|byte| byte & !top_mask != 0) {
        return false;
    }
    let mut unmasked: Vec<u8> =
        masked.iter().zip(mask_generation(hash, digest, mask_length)).map(|(byte, mask)| byte ^ mask).collect();
    if let Some(first) = unmasked.first_mut() {
        *first &= top_mask;
    }
    let (padding, salt) = unmasked.split_at(zeros + 1);
    let padding_is_valid = matches!(padding.split_last(), Some((1, zeros)) if zeros.iter().all(|byte| *byte == 0));
    padding_is_valid && hash.digest(&[&[0; 8], &hash.digest(&[message]), salt]) == digest
}

/// MGF1 (RFC 8017 appendix B.2.1).
fn mask_generation(hash: Hash, seed: &[u8], length: usize) -> Vec<u8> {
    let mut mask = Vec::with_capacity(length + hash.output_length());
    let mut counter = 0_u32;
    while mask.len() < length {
        mask.extend(hash.digest(&[seed, &counter.to_be_bytes()]));
        counter += 1;
    }
    mask.truncate(length);
    mask
}

fn without_leading_zeros(big_endian: &[u8]) -> &[u8] {
    big_endian.iter().position(|byte| *byte != 0).map_or(&[], |zeros| big_endian.split_at(zeros).1)
}

/// The significant bits of a number without leading zeros.
fn bit_length(number: &[u8]) -> usize {
    number.first().map_or(0, |highest| 8 * number.len() - highest.leading_zeros() as usize)
}

fn exponent_from_bytes(big_endian: &[u8]) -> Option<u64> {
    let number = without_leading_zeros(big_endian);
    if number.len() > 8 {
        return None;
    }
    let exponent = number.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    (exponent % 2 == 1 && (MIN_EXPONENT..MAX_EXPONENT).contains(&exponent)).then_some(exponent)
}

/// `number mod divisor` by long division. A remainder with six more bytes stays below 2^64.
fn remainder(number: &[u8], divisor: u16) -> u64 {
    number.chunks(6).fold(0, |rest, bytes| {
        bytes.iter().fold(rest, |value, byte| value << 8 | u64::from(*byte)) % u64::from(divisor)
    })
}

fn primes_up_to(limit: u16) -> impl Iterator<Item = u16> {
    (2..=limit).filter(|candidate| (2..*candidate).take_while(|d| d * d <= *candidate).all(|d| candidate % d != 0))
}

fn has_small_factor(modulus: &[u8]) -> bool {
    primes_up_to(751).any(|prime| remainder(modulus, prime) == 0)
}

/// Moduli of the flawed Infineon library are powers of 65537 modulo every small prime. For a sound modulus this holds
/// for all 38 primes with a probability of about 2^-27.
fn has_roca_fingerprint(modulus: &[u8]) -> bool {
    primes_up_to(167).skip(1).all(|prime| {
        let rest = remainder(modulus, prime);
        let generator = 65_537 % u64::from(prime);
        let mut power = 1;
        (0..prime).any(|_| {
            let hit = power == rest;
            power = power * generator % u64::from(prime);
            hit
        })
    })
}

#[cfg(test)]
#[path = "rsa/tests.rs"]
mod tests;
