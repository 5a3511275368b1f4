use super::super::tests::{SIZES, Xorshift, edges, one};
use super::*;
use num_bigint::BigUint;

fn modulus(n: &BigUint) -> Modulus {
    Modulus::new(&n.to_bytes_be(), usize::try_from(n.bits()).unwrap())
}

impl Modulus {
    fn digits_of(&self, number: &BigUint) -> Vec<u32> {
        let mut digits = digits_from_bytes(&number.to_bytes_be(), self.digit_bits);
        digits.resize(self.length, 0);
        digits
    }

    fn number_of(&self, digits: &[u32]) -> BigUint {
        assert!(digits.iter().all(|digit| u64::from(*digit) <= mask(self.digit_bits)), "{digits:x?}");
        digits.iter().rev().fold(BigUint::ZERO, |number, digit| (number << self.digit_bits) + *digit)
    }

    /// Asserts that `a * b / R` is correct and below twice the modulus, and that the square of `a` equals `a * a`.
    fn assert_multiplies(&self, n: &BigUint, a: &BigUint, b: &BigUint, columns: &mut Columns) {
        let r = one() << (self.digit_bits as usize * self.length);
        assert!(r > n * 4_u32, "R is too small");
        let mut product = self.digits_of(a);
        self.multiply(&mut product, &self.digits_of(b), columns);
        let (mut square, mut same) = (self.digits_of(a), self.digits_of(a));
        self.square(&mut square, columns);
        self.multiply(&mut same, &self.digits_of(a), columns);
        assert_eq!(square, same, "{a:x} squared modulo {n:x}");
        for (result, factor) in [(product, b), (square, a)] {
            let result = self.number_of(&result);
            assert!(result < n * 2_u32, "{a:x} * {factor:x} modulo {n:x}");
            assert_eq!(result * &r % n, a * factor % n, "{a:x} * {factor:x} modulo {n:x}");
        }
    }
}

/// Edge cases of multiplication: those of [`edges`], and numbers between the modulus and twice the modulus.
fn operands(n: &BigUint) -> Vec<BigUint> {
    let ones = (one() << n.bits()) - one();
    let mut numbers = edges(n);
    numbers.extend([n.clone(), n + 1_u32, n * 2_u32 - 1_u32, n * 2_u32 - 2_u32]);
    numbers.extend((0..usize::try_from(n.bits()).unwrap()).step_by(389).map(|bits| &ones >> bits));
    numbers.retain(|number| *number < n * 2_u32);
    numbers
}

#[test]
fn no_column_overflows_at_any_size() {
    for bits in 2048..=8192 {
        let (digit_bits, length) = shape(bits);
        let product = u128::from(mask(digit_bits)).pow(2);
        let carried_in = u128::from(u64::MAX >> digit_bits);
        let most = 2 * u128::try_from(length).unwrap() * product + 2 * carried_in;
        assert!(most <= u128::from(u64::MAX), "{bits}");
        assert!(length * digit_bits as usize >= bits + 2 && length.is_multiple_of(2), "{bits}");
    }
}

#[test]
fn products_and_squares_match_a_big_integer_library() {
    for (at, bits) in SIZES.into_iter().chain([2801, 3074, 3077, 5003, 6144]).enumerate() {
        let mut random = Xorshift(0x2545_f491_4f6c_dd1d ^ u64::try_from(at).unwrap());
        let n = random.odd(bits);
        let modulus = modulus(&n);
        let mut columns = Columns::new(modulus.length);
        let mut numbers = operands(&n);
        numbers.extend((0..4).map(|_| random.number(bits + 1) % (&n * 2_u32)));
        let some = [random.number(bits) % &n, &n * 2_u32 - 1_u32];
        for a in &numbers {
            for b in &some {
                modulus.assert_multiplies(&n, a, b, &mut columns);
            }
        }
    }
}

/// The largest possible columns (tests check for overflow), and carries through all digits.
#[test]
fn numbers_of_all_ones_or_zeros_are_multiplied_correctly() {
    for bits in [2048_usize, 2049, 3072, 3073, 8192] {
        for n in
            [(one() << bits) - one(), (one() << (bits - 1)) + one(), (one() << bits) - (one() << (bits / 2)) - one()]
        {
            let modulus = modulus(&n);
            let mut columns = Columns::new(modulus.length);
            let all = operands(&n);
            let [first, .., last] = all.as_slice() else { panic!() };
            for a in &all {
                for b in [first, last, &(&n - one()), &(&n + one()), &(&n * 2_u32 - 1_u32)] {
                    modulus.assert_multiplies(&n, a, b, &mut columns);
                }
            }
        }
    }
}

#[test]
fn powers_match_a_big_integer_library_for_any_odd_exponent() {
    let mut random = Xorshift(23);
    for round in 0..24 {
        let bits = 2048 + usize::try_from(random.next() % 1200).unwrap();
        let n = random.odd(bits);
        let exponent = (random.next() >> (8 + 2 * round)) | 3;
        let base = random.number(bits) % &n;
        let length = n.to_bytes_be().len();
        let mut bytes = base.to_bytes_be();
        bytes.splice(0..0, vec![0; length - bytes.len()]);
        let power = modulus(&n).power(&bytes, exponent).unwrap();
        assert_eq!(power.len(), length);
        assert_eq!(BigUint::from_bytes_be(&power), base.modpow(&exponent.into(), &n), "{base:x}^{exponent} mod {n:x}");
    }
}

/// A set may have 512 keys, and this cost per key delays every request of the worker.
#[test]
fn r_squared_is_computed_once_with_the_first_power() {
    let mut random = Xorshift(37);
    for bits in [2048_usize, 3073, 4096, 8192] {
        let n = random.odd(bits);
        let modulus = modulus(&n);
        let before = modulus.clone();
        assert_eq!(modulus.r_squared.get(), None, "{bits}");
        let base = &n - 2_u32;
        let expected = base.modpow(&65_537_u32.into(), &n);
        let power = modulus.power(&base.to_bytes_be(), 65_537).unwrap();
        assert_eq!(BigUint::from_bytes_be(&power), expected, "{bits}");
        let r = one() << (modulus.digit_bits as usize * modulus.length);
        let computed = modulus.r_squared.get().map(|digits| modulus.number_of(digits));
        assert_eq!(computed, Some(&r * &r % &n), "{bits}");
        assert!(before == modulus, "whether it was computed or not");
        for other in [before, modulus.clone(), modulus] {
            assert_eq!(other.power(&base.to_bytes_be(), 65_537).as_ref(), Some(&power), "{bits}");
        }
    }
}

/// With 2070 bits R is just large enough: every tenth result for such a modulus and base exceeds the modulus.
#[test]
fn power_is_reduced_below_the_modulus() {
    let n = (one() << 2070_u32) - one();
    let modulus = modulus(&n);
    let mut random = Xorshift(31);
    for _ in 0..100 {
        let base = &n - random.number(2060) - 1_u32;
        let power = modulus.power(&base.to_bytes_be(), 3).unwrap();
        assert_eq!(BigUint::from_bytes_be(&power), base.modpow(&3_u32.into(), &n), "{base:x}^3 mod {n:x}");
    }
}

#[test]
fn digits_convert_back_to_the_same_bytes() {
    let mut random = Xorshift(29);
    for bits in [0, 1, 27, 28, 54, 56, 57, 216, 224, 2048] {
        for digit_bits in [27, 28] {
            let number = (random.number(bits + 1) >> 1_u32) | (one() << bits >> 1_u32);
            let bytes = number.to_bytes_be();
            let padded = [&[0, 0, 0, 0, 0], bytes.as_slice()].concat();
            let digits = digits_from_bytes(&padded, digit_bits);
            assert_ne!(digits.last(), Some(&0));
            assert_eq!(bytes_from_digits(&digits, digit_bits, padded.len()), padded);
        }
    }
}
