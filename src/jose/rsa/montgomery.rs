//! Powers modulo an odd number, by Montgomery multiplication in wasm's terms: the widest product there is
//! 32x32 -> 64 bits, and passing a carry on costs more than a multiplication.
//!
//! So a digit has 27 or 28 bits and not 32: then a *column*, the sum of all products of one weight, fits
//! into 64 bits with nothing carried ("reduced radix"; Gueron and Krasnov, "Software implementation of
//! modular exponentiation, using advanced vector instructions architectures", 2012). Two rows are added in
//! one pass, so a column is loaded and stored once for two products; a square takes half the products.
//! Numbers between are kept below twice the modulus, which saves the comparison after every step (Walter,
//! "Montgomery exponentiation needs no final subtractions", 1999). No secrets: it branches on what it reads.

use std::sync::OnceLock;

/// The columns that the inner loop treats in one go; as many zeros end each row, so that none is left over.
const STRIDE: usize = 4;
/// Up to here digits have 28 bits: 2 * 110 products of 56 bits and what is carried in stay below 2^64.
const MAX_BITS_OF_WIDE_DIGITS: usize = 3072;

/// An odd number of at most 8192 bits, with what calculating modulo it needs. R is 2^(digit_bits * length).
#[derive(Clone)]
pub(super) struct Modulus {
    /// Little-endian, `length` digits and `STRIDE` zeros.
    row: Vec<u32>,
    /// The significant bits.
    bits: usize,
    /// How many digits a number has: an even number, R more than four times the modulus.
    length: usize,
    /// 28, or 27 where 8192 bits fit: 2 * 304 products of 54 bits.
    digit_bits: u32,
    /// -1/modulus modulo a digit.
    negated_inverse: u64,
    /// R^2 modulo the modulus. It costs as much as some verifications, and most keys of a large set verify nothing: computed
    /// by the first one.
    r_squared: OnceLock<Vec<u32>>,
}

impl PartialEq for Modulus {
    /// The number says everything; what was computed of it does not count.
    fn eq(&self, other: &Self) -> bool {
        self.row == other.row
    }
}

impl Eq for Modulus {}

impl Modulus {
    /// The modulus of these `bits` significant bits; it is for the caller to see that it is odd and not too long.
    pub(super) fn new(big_endian: &[u8], bits: usize) -> Self {
        let (digit_bits, length) = shape(bits);
        let mut row = digits_from_bytes(big_endian, digit_bits);
        let negated_inverse = negated_inverse(row.first().copied().unwrap_or(0)) & mask(digit_bits);
        row.resize(length + STRIDE, 0);
        Self { row, bits, length, digit_bits, negated_inverse, r_squared: OnceLock::new() }
    }

    /// `base^exponent`, as many bytes as `base`, for an odd exponent from 3 up; `None` when the base is not
    /// below the modulus.
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
        // Left to right over the bits below the highest one. The exponent is odd, so the last step
        // multiplies, and with the plain base: that takes the result out of Montgomery form.
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

    /// `number = number * factor / R`, in the sense of the modulus. Both are below twice the modulus, and so
    /// is the result, for R is more than four times the modulus: 2n * 2n / R + n < 2n.
    fn multiply(&self, number: &mut [u32], factor: &[u32], columns: &mut Columns) {
        columns.begin_with(number.iter().copied());
        let mut sums = columns.sums.as_mut_slice();
        for pair in factor.as_chunks::<2>().0 {
            add_rows(sums, &columns.row, *pair);
            sums = sums.split_at_mut(2).1;
        }
        self.reduce(number, &mut columns.sums);
    }

    /// `number = number * number / R`, like [`Self::multiply`]: a pair of digits meets itself once and all
    /// the higher digits twice, so it is multiplied with itself and with their doubles.
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

    /// `number = sums / R`: adds such multiples of the modulus that two digits at a time become zero.
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

/// What a multiplication works on.
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

/// `sums += row * pair`, a number of two digits: the hot loop. `row` ends in `STRIDE` zeros, so the digits
/// that the last stride leaves out, fewer than that, are zeros, and so is what would be one column further.
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

/// How many bits a digit and how many digits a number has.
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

/// `a < b` for numbers of the same number of digits.
fn is_less(a: &[u32], b: &[u32]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// `a -= b`, where `b` is not larger.
fn subtract(a: &mut [u32], b: &[u32], digit_bits: u32) {
    let mut borrow = 0;
    for (a_digit, b_digit) in a.iter_mut().zip(b) {
        let difference = u64::from(*a_digit).wrapping_sub(u64::from(*b_digit) + borrow);
        *a_digit = low(difference & mask(digit_bits));
        borrow = difference >> 63;
    }
}

/// -1/x modulo 2^32 for odd `x`, by Newton's iteration: each round doubles the correct bits.
fn negated_inverse(x: u32) -> u64 {
    let mut inverse = x; // correct to 3 bits
    for _ in 0..4 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(x.wrapping_mul(inverse)));
    }
    u64::from(inverse.wrapping_neg())
}

/// `2^exponent mod modulus`, by doubling the highest power of two below the modulus: once per key.
fn power_of_two(exponent: usize, modulus: &[u32], bits: usize, digit_bits: u32) -> Vec<u32> {
    let (highest, place) = ((bits - 1) / digit_bits as usize, (bits - 1) % digit_bits as usize);
    let mut value: Vec<u32> = (0..modulus.len()).map(|at| if at == highest { 1 << place } else { 0 }).collect();
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
