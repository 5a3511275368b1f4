//! Modular exponentiation with an odd modulus, by Montgomery multiplication for wasm. The widest product in wasm is
//! 32x32 -> 64 bits, and a carry costs more than a multiplication.
//!
//! So a digit has 27 or 28 bits instead of 32. A *column*, the sum of all products of one weight, then fits into 64
//! bits without a carry ("reduced radix"; Gueron and Krasnov, "Software implementation of modular exponentiation, using
//! advanced vector instructions architectures", 2012). One pass adds two rows, so a column is loaded and stored once
//! for two products. A square needs half the products. Intermediate numbers stay below twice the modulus, which saves a
//! comparison per step (Walter, "Montgomery exponentiation needs no final subtractions", 1999). It handles no secrets,
//! so it may branch on its input.

use std::sync::OnceLock;

/// The columns per iteration of the inner loop. Each row ends in as many zeros, so no remainder is left.
const STRIDE: usize = 4;
/// Up to this size digits have 28 bits: 2 * 110 products of 56 bits plus the carry stay below 2^64.
const MAX_BITS_OF_WIDE_DIGITS: usize = 3072;

/// An odd modulus of at most 8192 bits with its precomputed values. R is 2^(digit_bits * length).
#[derive(Clone)]
pub(super) struct Modulus {
    /// Little-endian: `length` digits and `STRIDE` zeros.
    row: Vec<u32>,
    /// The significant bits.
    bits: usize,
    /// The digits per number. It is even, and R is more than four times the modulus.
    length: usize,
    /// 28, or 27 for moduli up to 8192 bits: 2 * 304 products of 54 bits.
    digit_bits: u32,
    /// -1/modulus modulo a digit.
    negated_inverse: u64,
    /// R^2 modulo the modulus. It costs as much as several verifications, and most keys of a large set are never used,
    /// so the first verification computes it.
    r_squared: OnceLock<Vec<u32>>,
}

impl PartialEq for Modulus {
    /// Compares the modulus only. The other fields derive from it.
    fn eq(&self, other: &Self) -> bool {
        self.row == other.row
    }
}

impl Eq for Modulus {}

impl Modulus {
    /// The modulus with `bits` significant bits. The caller checks that it is odd and not too long.
    pub(super) fn new(big_endian: &[u8], bits: usize) -> Self {
        let (digit_bits, length) = shape(bits);
        let mut row = digits_from_bytes(big_endian, digit_bits);
        let negated_inverse = negated_inverse(row.first().copied().unwrap_or(0)) & mask(digit_bits);
        row.resize(length + STRIDE, 0);
        Self { row, bits, length, digit_bits, negated_inverse, r_squared: OnceLock::new() }
    }

    /// `base^exponent` with the length of `base`, for an odd exponent of at least 3. `None` if the base is not below
    /// the modulus.
    pub(super) fn power(&self, base: &[u8], exponent: u64) -> Option<Vec<u8>> {
        let length = base.len();
        let mut base = digits_from_bytes(base, self.digit_bits);
        base.resize(self.length, 0);
        if !is_less(&base, self.digits()) {
            return None;
        }
        let mut columns = Columns::new(self.length);
        let mut power = base.clone();
        self.multiply(&mut power, self.r_squared(), &mut columns);
        let montgomery_base = power.clone();
        // Left to right over the bits below the highest one. The exponent is odd, so the last step multiplies. It uses
        // the plain base, which converts the result out of Montgomery form.
        for bit in (0..exponent.ilog2()).rev() {
            self.square(&mut power, &mut columns);
            if bit == 0 {
                self.multiply(&mut power, &base, &mut columns);
            } else if exponent >> bit & 1 == 1 {
                self.multiply(&mut power, &montgomery_base, &mut columns);
            }
        }
        if !is_less(&power, self.digits()) {
            subtract(&mut power, self.digits(), self.digit_bits);
        }
        Some(bytes_from_digits(&power, self.digit_bits, length))
    }

    fn digits(&self) -> &[u32] {
        self.row.split_at(self.length).0
    }

    fn r_squared(&self) -> &[u32] {
        let exponent = 2 * self.length * self.digit_bits as usize;
        self.r_squared.get_or_init(|| power_of_two(exponent, self.digits(), self.bits, self.digit_bits))
    }

    /// `number = number * factor / R` modulo the modulus. Inputs and result are below twice the modulus, because R is
    /// more than four times the modulus: 2n * 2n / R + n < 2n.
    fn multiply(&self, number: &mut [u32], factor: &[u32], columns: &mut Columns) {
        columns.begin_with(number.iter().copied());
        let mut sums = columns.sums.as_mut_slice();
        for pair in factor.as_chunks::<2>().0 {
            add_rows(sums, &columns.row, *pair);
            sums = sums.split_at_mut(2).1;
        }
        self.reduce(number, &mut columns.sums);
    }

    /// `number = number * number / R`, like [`Self::multiply`]. A pair of digits is multiplied once with itself and
    /// twice with all higher digits, so it is multiplied with itself and with their doubles.
    fn square(&self, number: &mut [u32], columns: &mut Columns) {
        columns.begin_with(number.iter().map(|digit| digit << 1));
        let (mut sums, mut row) = (columns.sums.as_mut_slice(), columns.row.as_mut_slice());
        for pair in number.as_chunks::<2>().0 {
            row.split_at_mut(2).0.copy_from_slice(pair);
            add_rows(sums, row, *pair);
            (sums, row) = (sums.split_at_mut(4).1, row.split_at_mut(2).1);
        }
        self.reduce(number, &mut columns.sums);
    }

    /// `number = sums / R`. Adds multiples of the modulus that make two digits at a time zero.
    fn reduce(&self, number: &mut [u32], sums: &mut [u64]) {
        let (mask, inverse) = (mask(self.digit_bits), self.negated_inverse);
        let [n0, n1] = self.row.first_chunk().map_or([0; 2], |digits| digits.map(u64::from));
        let mut sums = sums;
        for _ in 0..self.length / 2 {
            let [s0, s1] = sums.first_chunk().copied().unwrap_or_default();
            let q0 = s0.wrapping_mul(inverse) & mask;
            let s1 = s1 + q0 * n1 + ((s0 + q0 * n0) >> self.digit_bits);
            let q1 = s1.wrapping_mul(inverse) & mask;
            add_rows(sums, &self.row, [low(q0), low(q1)]);
            if let [s0, s1, next, ..] = sums {
                *next += (*s1 + (*s0 >> self.digit_bits)) >> self.digit_bits;
            }
            sums = sums.split_at_mut(2).1;
        }
        let mut carry = 0;
        for (digit, sum) in number.iter_mut().zip(sums) {
            let sum = *sum + carry;
            *digit = low(sum & mask);
            carry = sum >> self.digit_bits;
        }
    }
}

/// The buffers of a multiplication.
struct Columns {
    sums: Vec<u64>,
    row: Vec<u32>,
}

impl Columns {
    fn new(length: usize) -> Self {
        Self { sums: vec![0; 2 * length + STRIDE], row: vec![0; length + STRIDE] }
    }

    fn begin_with(&mut self, digits: impl Iterator<Item = u32>) {
        self.sums.fill(0);
        for (row, digit) in self.row.iter_mut().zip(digits) {
            *row = digit;
        }
    }
}

/// `sums += row * pair`, a number of two digits. This is the hot loop. `row` ends in `STRIDE` zeros, so the digits that
/// the last stride skips are zeros, and so is the column after them.
#[inline]
fn add_rows(sums: &mut [u64], row: &[u32], pair: [u32; 2]) {
    let [low, high] = pair.map(u64::from);
    let mut before = 0;
    for (sums, digits) in sums.as_chunks_mut::<STRIDE>().0.iter_mut().zip(row.as_chunks::<STRIDE>().0) {
        for (sum, digit) in sums.iter_mut().zip(digits) {
            let digit = u64::from(*digit);
            *sum += low * digit + high * before;
            before = digit;
        }
    }
}

/// The bits per digit and the digits per number.
const fn shape(bits: usize) -> (u32, usize) {
    let digit_bits = if bits <= MAX_BITS_OF_WIDE_DIGITS { 28 } else { 27 };
    (digit_bits, (bits + 2).div_ceil(digit_bits as usize).next_multiple_of(2))
}

const fn mask(digit_bits: u32) -> u64 {
    (1 << digit_bits) - 1
}

#[allow(clippy::cast_possible_truncation)] // the truncation is the point
pub(super) const fn low(double: u64) -> u32 {
    double as u32
}

fn digits_from_bytes(big_endian: &[u8], digit_bits: u32) -> Vec<u32> {
    let (mut digits, mut window, mut held) = (Vec::new(), 0_u64, 0);
    for byte in big_endian.iter().rev() {
        window |= u64::from(*byte) << held;
        held += 8;
        if held >= digit_bits {
            digits.push(low(window & mask(digit_bits)));
            window >>= digit_bits;
            held -= digit_bits;
        }
    }
    digits.push(low(window));
    while digits.last() == Some(&0) {
        digits.pop();
    }
    digits
}

fn bytes_from_digits(digits: &[u32], digit_bits: u32, length: usize) -> Vec<u8> {
    let (mut bytes, mut window, mut held) = (Vec::with_capacity(length + 8), 0_u64, 0);
    for digit in digits {
        window |= u64::from(*digit) << held;
        held += digit_bits;
        while held >= 8 {
            bytes.push(low(window).to_le_bytes()[0]);
            window >>= 8;
            held -= 8;
        }
    }
    bytes.push(low(window).to_le_bytes()[0]);
    bytes.resize(length, 0);
    bytes.reverse();
    bytes
}

/// `a < b` for numbers of equal digit count.
fn is_less(a: &[u32], b: &[u32]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// `a -= b`, if `b` is not larger.
fn subtract(a: &mut [u32], b: &[u32], digit_bits: u32) {
    let mut borrow = 0;
    for (a_digit, b_digit) in a.iter_mut().zip(b) {
        let difference = u64::from(*a_digit).wrapping_sub(u64::from(*b_digit) + borrow);
        *a_digit = low(difference & mask(digit_bits));
        borrow = difference >> 63;
    }
}

/// -1/x modulo 2^32 for odd `x`, by Newton's iteration. Each round doubles the correct bits.
fn negated_inverse(x: u32) -> u64 {
    let mut inverse = x; // correct to 3 bits
    for _ in 0..4 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(x.wrapping_mul(inverse)));
    }
    u64::from(inverse.wrapping_neg())
}

/// `2^exponent mod modulus`, by doubling the highest power of two below the modulus. Runs once per key.
fn power_of_two(exponent: usize, modulus: &[u32], bits: usize, digit_bits: u32) -> Vec<u32> {
    let (highest, offset) = ((bits - 1) / digit_bits as usize, (bits - 1) % digit_bits as usize);
    let mut value: Vec<u32> = (0..modulus.len()).map(|at| if at == highest { 1 << offset } else { 0 }).collect();
    for _ in bits - 1..exponent {
        let mut carry = 0;
        for digit in &mut value {
            let doubled = *digit << 1 | carry;
            *digit = low(u64::from(doubled) & mask(digit_bits));
            carry = doubled >> digit_bits;
        }
        if !is_less(&value, modulus) {
            subtract(&mut value, modulus, digit_bits);
        }
    }
    value
}

#[cfg(test)]
#[path = "montgomery_tests.rs"]
mod tests;
