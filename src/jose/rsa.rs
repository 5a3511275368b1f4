//! RSA signature verification (RFC 8017, RSASSA-PKCS1-v1_5 and RSASSA-PSS), public keys only.
//!
//! Our own code because proving tokens fast is what this project exists for: with the common
//! big-integer libraries one RS256 verification takes 0.6 to 1.1 ms inside a wasm host, with this
//! Montgomery multiplication on 32-bit limbs (wasm has no 64x64->128 multiplication) a fraction of
//! it. It handles no secret, so it need not run in constant time. The tests hold it against
//! `num-bigint` and against signatures made by another library.

use sha2::{Digest, Sha256, Sha384, Sha512};

const LIMB_BITS: usize = 32;
const MIN_BITS: usize = 2048;
const MAX_BITS: usize = 8192;
const MIN_EXPONENT: u64 = 65_537;
/// Keys with a larger exponent only cost time; no known issuer uses one.
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

    /// The DER of `DigestInfo` up to the digest (RFC 8017 section 9.2, note 1).
    const fn digest_info_prefix(self) -> &'static [u8] {
        match self {
            Self::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
            Self::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
            Self::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
        }
    }
}

/// An RSA public key that is fit for use, with what its Montgomery arithmetic needs.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RsaPublicKey {
    /// Little-endian limbs, the last one not zero.
    modulus: Vec<u32>,
    /// -1/modulus modulo 2^32.
    negated_inverse: u32,
    /// R^2 modulo the modulus, R = 2^(32 * limbs).
    r_squared: Vec<u32>,
    exponent: u64,
    bits: usize,
}

impl RsaPublicKey {
    /// The key of modulus `n` and exponent `e`, both big-endian; `None` when it is not fit for use:
    /// below 2048 or above 8192 bits, an even or tiny or huge exponent, a modulus that is even, has a
    /// small factor or carries the fingerprint of the ROCA weakness (CVE-2017-15361).
    pub(super) fn new(n: &[u8], e: &[u8]) -> Option<Self> {
        let modulus = limbs_from_bytes(n);
        let bits = bit_length(&modulus);
        if !(MIN_BITS..=MAX_BITS).contains(&bits) || has_small_factor(&modulus) || has_roca_fingerprint(&modulus) {
            return None;
        }
        let exponent = exponent_from_bytes(e)?;
        let negated_inverse = negated_inverse(*modulus.first()?);
        let r_squared = r_squared(&modulus);
        Some(Self { modulus, negated_inverse, r_squared, exponent, bits })
    }

    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2.2): the whole encoded message is compared, so nothing
    /// in the padding can be other than it must be.
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

    /// RSASSA-PSS (RFC 8017 section 8.1.2) with MGF1 of the same hash and a salt as long as the hash,
    /// as RFC 7518 section 3.5 fixes them.
    pub(super) fn verifies_pss(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        self.public_operation(signature)
            .is_some_and(|encoded| pss_encoding_is_consistent(hash, message, &encoded, self.bits - 1))
    }

    /// How long the modulus is, and so a signature.
    pub(super) const fn byte_length(&self) -> usize {
        self.bits.div_ceil(8)
    }

    /// `signature^exponent mod modulus`, as long as the modulus; `None` when the signature is not as
    /// long as the modulus or not smaller.
    fn public_operation(&self, signature: &[u8]) -> Option<Vec<u8>> {
        if signature.len() != self.byte_length() {
            return None;
        }
        let mut base = limbs_from_bytes(signature);
        base.resize(self.modulus.len(), 0);
        if !is_less(&base, &self.modulus) {
            return None;
        }
        let mut scratch = Scratch::new(self.modulus.len());
        let montgomery_base = self.multiply(&base, &self.r_squared, &mut scratch);
        let mut power = montgomery_base.clone();
        // Left to right over the bits below the highest one. The exponent is odd, so the last step
        // multiplies, and with the plain base: that takes the result out of Montgomery form.
        for bit in (0..self.exponent.ilog2()).rev() {
            power = self.multiply(&power, &power, &mut scratch);
            if bit == 0 {
                power = self.multiply(&power, &base, &mut scratch);
            } else if self.exponent >> bit & 1 == 1 {
                power = self.multiply(&power, &montgomery_base, &mut scratch);
            }
        }
        Some(bytes_from_limbs(&power, self.byte_length()))
    }

    /// Montgomery product `a * b / R mod modulus` (Koç, Acar, Kaliski 1996: the CIOS method, its two
    /// inner loops fused).
    fn multiply(&self, a: &[u32], b: &[u32], scratch: &mut Scratch) -> Vec<u32> {
        let Scratch { sum, next } = scratch;
        sum.fill(0);
        let (Some(a_low), Some(modulus_low)) = (a.first(), self.modulus.first()) else { return Vec::new() };
        for b_limb in b {
            let b_limb = u64::from(*b_limb);
            let lowest = sum.first().map_or(0, |limb| u64::from(*limb)) + u64::from(*a_low) * b_limb;
            let factor = u64::from((low(lowest)).wrapping_mul(self.negated_inverse));
            let mut carry_product = lowest >> LIMB_BITS;
            let mut carry_reduction = (u64::from(low(lowest)) + u64::from(*modulus_low) * factor) >> LIMB_BITS;
            let rest = sum.iter().zip(a).zip(&self.modulus).skip(1);
            for (((sum_limb, a_limb), modulus_limb), out) in rest.zip(next.iter_mut()) {
                let product = u64::from(*sum_limb) + u64::from(*a_limb) * b_limb + carry_product;
                carry_product = product >> LIMB_BITS;
                let reduced = u64::from(low(product)) + u64::from(*modulus_limb) * factor + carry_reduction;
                carry_reduction = reduced >> LIMB_BITS;
                *out = low(reduced);
            }
            let top = sum.last().map_or(0, |limb| u64::from(*limb)) + carry_product + carry_reduction;
            if let [.., second, first] = next.as_mut_slice() {
                *second = low(top);
                *first = low(top >> LIMB_BITS);
            }
            std::mem::swap(sum, next);
        }
        let mut result = sum.clone();
        let overflow = result.pop().unwrap_or(0);
        if overflow != 0 || !is_less(&result, &self.modulus) {
            subtract(&mut result, &self.modulus);
        }
        result
    }
}

/// The two rows that a Montgomery multiplication works on, each one limb longer than the modulus.
struct Scratch {
    sum: Vec<u32>,
    next: Vec<u32>,
}

impl Scratch {
    fn new(limbs: usize) -> Self {
        Self { sum: vec![0; limbs + 1], next: vec![0; limbs + 1] }
    }
}

/// EMSA-PSS-VERIFY (RFC 8017 section 9.1.2) on an encoding of `bits` bits.
fn pss_encoding_is_consistent(hash: Hash, message: &[u8], encoded: &[u8], bits: usize) -> bool {
    let length = hash.output_length();
    // A modulus of 8k+1 bits leaves one leading byte that must be zero.
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
    let padding_is_right = matches!(padding.split_last(), Some((1, zeros)) if zeros.iter().all(|byte| *byte == 0));
    padding_is_right && hash.digest(&[&[0; 8], &hash.digest(&[message]), salt]) == digest
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

/// The low limb of a double one.
#[allow(clippy::cast_possible_truncation)] // the truncation is the point
const fn low(double: u64) -> u32 {
    double as u32
}

fn limbs_from_bytes(big_endian: &[u8]) -> Vec<u32> {
    let mut limbs: Vec<u32> =
        big_endian.rchunks(4).map(|chunk| chunk.iter().fold(0, |limb, byte| limb << 8 | u32::from(*byte))).collect();
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
    limbs
}

fn bytes_from_limbs(limbs: &[u32], length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).take(length).collect();
    bytes.resize(length, 0);
    bytes.reverse();
    bytes
}

fn bit_length(limbs: &[u32]) -> usize {
    limbs.last().map_or(0, |highest| limbs.len() * LIMB_BITS - highest.leading_zeros() as usize)
}

/// `a < b` for numbers of the same number of limbs.
fn is_less(a: &[u32], b: &[u32]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// `a -= b` modulo 2^(32 * limbs).
fn subtract(a: &mut [u32], b: &[u32]) {
    let mut borrow = false;
    for (a_limb, b_limb) in a.iter_mut().zip(b) {
        let (difference, first) = a_limb.overflowing_sub(*b_limb);
        let (difference, second) = difference.overflowing_sub(u32::from(borrow));
        *a_limb = difference;
        borrow = first || second;
    }
}

/// -1/x modulo 2^32 for odd `x`, by Newton's iteration: each round doubles the correct bits.
fn negated_inverse(x: u32) -> u32 {
    let mut inverse = x; // correct to 3 bits
    for _ in 0..4 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(x.wrapping_mul(inverse)));
    }
    inverse.wrapping_neg()
}

/// 2^(64 * limbs) mod modulus, by doubling 1: once per key.
fn r_squared(modulus: &[u32]) -> Vec<u32> {
    let mut value = vec![0; modulus.len()];
    if let Some(lowest) = value.first_mut() {
        *lowest = 1;
    }
    for _ in 0..2 * LIMB_BITS * modulus.len() {
        let mut carry = 0;
        for limb in &mut value {
            let doubled = *limb << 1 | carry;
            carry = *limb >> (LIMB_BITS - 1);
            *limb = doubled;
        }
        if carry == 1 || !is_less(&value, modulus) {
            subtract(&mut value, modulus);
        }
    }
    value
}

fn exponent_from_bytes(big_endian: &[u8]) -> Option<u64> {
    let limbs = limbs_from_bytes(big_endian);
    if limbs.len() > 2 {
        return None;
    }
    let exponent = limbs.iter().rev().fold(0_u64, |value, limb| value << LIMB_BITS | u64::from(*limb));
    (exponent % 2 == 1 && (MIN_EXPONENT..MAX_EXPONENT).contains(&exponent)).then_some(exponent)
}

fn remainder(number: &[u32], divisor: u32) -> u32 {
    let rest =
        number.iter().rev().fold(0_u64, |rest, limb| (rest << LIMB_BITS | u64::from(*limb)) % u64::from(divisor));
    low(rest)
}

fn primes_up_to(limit: u32) -> impl Iterator<Item = u32> {
    (2..=limit).filter(|candidate| (2..*candidate).take_while(|d| d * d <= *candidate).all(|d| candidate % d != 0))
}

fn has_small_factor(modulus: &[u32]) -> bool {
    primes_up_to(751).any(|prime| remainder(modulus, prime) == 0)
}

/// Moduli made by the flawed Infineon library are powers of 65537 modulo every small prime; a sound
/// modulus is so for all 38 of these primes with a chance of about 2^-27.
fn has_roca_fingerprint(modulus: &[u32]) -> bool {
    primes_up_to(167).skip(1).all(|prime| {
        let rest = remainder(modulus, prime);
        let generator = 65_537 % prime;
        let mut power = 1;
        (0..prime).any(|_| {
            let hit = power == rest;
            power = power * generator % prime;
            hit
        })
    })
}

#[cfg(test)]
#[path = "rsa/tests.rs"]
mod tests;
