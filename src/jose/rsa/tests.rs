use super::*;
use crate::jose::signing_fixture::TestKey;
use num_bigint::BigUint;

const E: u64 = 65_537;
/// Boundary sizes: a word or digit that is full, one bit short of full, or has one bit; a byte that has one bit; the
/// last digit full except for its two reserved bits; the ends of the accepted range.
pub(super) const SIZES: [usize; 14] =
    [2048, 2049, 2050, 2056, 2057, 2079, 2080, 2081, 3071, 3072, 4096, 4097, 8191, 8192];
const MESSAGE: &[u8] = b"the message";

/// Marsaglia's xorshift64. Every run uses the same numbers.
pub(super) struct Xorshift(pub(super) u64);

impl Xorshift {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn number(&mut self, bits: usize) -> BigUint {
        let limbs: Vec<u32> = (0..bits.div_ceil(32)).map(|_| montgomery::low(self.next() >> 16)).collect();
        BigUint::new(limbs) % (one() << bits)
    }

    /// An odd number of exactly this many bits.
    pub(super) fn odd(&mut self, bits: usize) -> BigUint {
        let mut number = self.number(bits);
        number.set_bit(0, true);
        number.set_bit(u64::try_from(bits).unwrap() - 1, true);
        number
    }

    /// A key that passes all checks. About one in six odd numbers has no small factor.
    fn key(&mut self, bits: usize, exponent: u64) -> (BigUint, RsaPublicKey) {
        loop {
            let n = self.odd(bits);
            if let Some(key) = key(&n, exponent) {
                return (n, key);
            }
        }
    }
}

pub(super) fn one() -> BigUint {
    BigUint::from(1_u32)
}

fn key(n: &BigUint, exponent: u64) -> Option<RsaPublicKey> {
    RsaPublicKey::new(&n.to_bytes_be(), &exponent.to_be_bytes())
}

/// `number` as `length` bytes.
fn bytes(number: &BigUint, length: usize) -> Vec<u8> {
    let digits = number.to_bytes_be();
    [vec![0; length - digits.len()], digits].concat()
}

fn assert_is_modpow(n: &BigUint, key: &RsaPublicKey, base: &BigUint, context: &str) {
    let length = n.to_bytes_be().len();
    let expected = bytes(&base.modpow(&BigUint::from(key.exponent), n), length);
    assert_eq!(
        key.public_operation(&bytes(base, length)),
        Some(expected),
        "{context}: {base:x}^{} mod {n:x}",
        key.exponent
    );
}

/// Edge cases of arithmetic below `n`.
pub(super) fn edges(n: &BigUint) -> Vec<BigUint> {
    let ones = |bits: u64| (one() << bits) - one();
    let half = n >> 1_u32;
    let top = one() << (n.bits() - 1);
    vec![0_u32.into(), one(), 2_u32.into(), n - one(), n - 2_u32, half, ones(31), ones(32), ones(33), ones(2047), top]
        .into_iter()
        .filter(|edge| edge < n)
        .collect()
}

#[test]
fn public_operation_matches_a_big_integer_library() {
    for (at, bits) in SIZES.into_iter().enumerate() {
        let moduli = if cfg!(target_family = "wasm") || bits > 4097 { 1 } else { 6 };
        for round in 0..moduli {
            let seed = 0x9e37_79b9_7f4a_7c15 ^ u64::try_from(at * 1000 + round).unwrap();
            let mut random = Xorshift(seed);
            let (n, key) = random.key(bits, E);
            let context = format!("{bits} bits, seed {seed:#x}");
            let bases = (0..4).map(|_| random.number(bits) % &n);
            for base in bases.chain(if round == 0 { edges(&n) } else { Vec::new() }) {
                assert_is_modpow(&n, &key, &base, &context);
            }
        }
    }
}

#[test]
fn accepted_exponents_are_computed_correctly() {
    let mut random = Xorshift(7);
    for exponent in [E, 65_539, 98_303, 131_071, (1 << 32) - 1, (1 << 32) + 1, (1 << 33) - 1, 0x1_5555_5555] {
        for bits in [2048, 2081] {
            let (n, key) = random.key(bits, exponent);
            for base in [random.number(bits) % &n, &n - one(), one()] {
                assert_is_modpow(&n, &key, &base, "seed 7");
            }
        }
    }
}

/// Moduli next to a power of two, where numbers below twice the modulus need one more bit, and moduli with few set
/// bits, where carries run far.
#[test]
fn extreme_moduli_are_computed_correctly() {
    for bits in [2048_usize, 2080, 3072] {
        let ceiling = one() << bits;
        let floor = one() << (bits - 1);
        let gap = one() << (bits / 2);
        let below = |from: BigUint| (0_u32..).step_by(2).map(move |step| &from - step).find_map(usable).unwrap();
        let above = |from: BigUint| (0_u32..).step_by(2).map(move |step| &from + step).find_map(usable).unwrap();
        let moduli = [
            below(&ceiling - one()),
            above(&floor + one()),
            below(&ceiling - &gap - one()),
            above(floor + gap + one()),
        ];
        for (n, key) in moduli {
            assert_eq!(n.bits(), u64::try_from(bits).unwrap());
            let mut random = Xorshift(n.bits());
            for base in edges(&n).into_iter().chain((0..4).map(|_| random.number(bits) % &n)) {
                assert_is_modpow(&n, &key, &base, "extreme modulus");
            }
        }
    }
}

fn usable(n: BigUint) -> Option<(BigUint, RsaPublicKey)> {
    key(&n, E).map(|key| (n, key))
}

#[test]
fn signature_not_below_the_modulus_or_of_wrong_length_is_rejected() {
    let (n, key) = Xorshift(11).key(2050, E);
    let length = n.to_bytes_be().len();
    assert!(key.public_operation(&bytes(&(&n - one()), length)).is_some());
    for number in [n.clone(), &n + one(), (one() << 2050_u32) - one(), (one() << 2056_u32) - one()] {
        assert_eq!(key.public_operation(&bytes(&number, length)), None, "{number:x}");
    }
    for wrong_length in [0, 1, length - 1, length + 1, length + 4, 2 * length] {
        assert_eq!(key.public_operation(&vec![0; wrong_length]), None, "{wrong_length}");
    }
}

#[test]
fn leading_zeros_of_modulus_and_exponent_are_ignored() {
    let (n, plain) = Xorshift(5).key(2048, E);
    for zeros in [1, 2, 3, 4, 7, 64] {
        let padded = [vec![0; zeros], n.to_bytes_be()].concat();
        assert!(RsaPublicKey::new(&padded, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]) == Some(plain.clone()));
    }
}

#[test]
fn even_or_small_exponents_are_rejected() {
    let (n, _) = Xorshift(5).key(2048, E);
    for bad in [0, 1, 2, 3, 5, 17, 257, 65_535, 65_536, 65_538, 1 << 32, 1 << 33, (1 << 33) + 1, u64::MAX] {
        assert!(key(&n, bad).is_none(), "{bad}");
    }
    for good in [E, 65_539, (1 << 33) - 1] {
        assert!(key(&n, good).is_some(), "{good}");
    }
    assert!(RsaPublicKey::new(&n.to_bytes_be(), &[]).is_none());
    // 2^64 + 65537 must not be read as 65537.
    assert!(RsaPublicKey::new(&n.to_bytes_be(), &[1, 0, 0, 0, 0, 0, 1, 0, 1]).is_none());
}

#[test]
fn moduli_below_2048_or_above_8192_bits_are_rejected() {
    let mut random = Xorshift(13);
    for (bits, fits) in
        [(512, false), (1024, false), (2047, false), (2048, true), (8192, true), (8193, false), (16_384, false)]
    {
        // Of sixty odd numbers some have no small factor.
        let any = (0..60).any(|_| key(&random.odd(bits), E).is_some());
        assert_eq!(any, fits, "{bits}");
    }
    for empty in [&[][..], &[0], &[0; 256], &[1], &[0xff; 200_000]] {
        assert!(RsaPublicKey::new(empty, &[1, 0, 1]).is_none());
    }
}

#[test]
fn modulus_that_is_even_or_has_a_small_factor_is_rejected() {
    let (n, _) = Xorshift(17).key(2048, E);
    assert!(key(&(&n - one()), E).is_none(), "even");
    for prime in [3_u16, 5, 7, 11, 13, 101, 499, 743, 751] {
        let mut random = Xorshift(u64::from(prime));
        // A multiple of this prime and of no smaller one, so that this prime is detected.
        let is_it = |n: &BigUint| n.bits() == 2048 && primes_up_to(prime - 1).all(|p| n % p != BigUint::ZERO);
        let multiple = std::iter::repeat_with(|| random.odd(2048) / prime * prime).find(is_it).unwrap();
        assert!(key(&multiple, E).is_none(), "{prime}");
        assert!(has_small_factor(&multiple.to_bytes_be()), "{prime}");
        assert!(!has_roca_fingerprint(&multiple.to_bytes_be()), "{prime}");
    }
}

/// The flawed library made primes `k * M + (65537^a mod M)`, with M a product of small primes. Their product has the
/// same form, which the fingerprint detects (CVE-2017-15361).
#[test]
fn modulus_with_the_roca_structure_is_rejected() {
    let product = primes_up_to(167).skip(1).fold(one(), |product, prime| product * prime);
    let power = BigUint::from(E).modpow(&12_345_u32.into(), &product);
    let mut random = Xorshift(19);
    let mut structured = std::iter::repeat_with(|| {
        let n = (random.odd(2048) / &product) * &product + &power;
        if n.bit(0) { n } else { n + &product }
    });
    let n = structured.find(|n| n.bits() == 2048 && !has_small_factor(&n.to_bytes_be())).unwrap();
    assert!(has_roca_fingerprint(&n.to_bytes_be()));
    assert!(key(&n, E).is_none());
    // Modulo 11 the powers of 65537 are 1 and 10. With another residue there, and only there, the modulus passes.
    let step = &product / 11_u32 * 2_u32;
    let moved = (1_u32..200).map(|times| &n - &step * times);
    let ordinary = moved.filter(|n| ![0, 1, 10].contains(&remainder(&n.to_bytes_be(), 11)));
    let accepted = ordinary.filter(|n| key(n, E).is_some()).count();
    assert!(accepted > 10, "{accepted}");
}

#[path = "encoding_tests.rs"]
mod encoding;
