//! The random numbers of the tests: a xorshift64 generator, the same sequence on every machine, so that a test that fails
//! with a seed fails again with it. Shared by path between the test crates; also compiled to wasm.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that asks for one of nothing has failed")]

/// A generator; its seed is not zero.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        assert_ne!(seed, 0, "xorshift stays at zero");
        Self(seed)
    }

    /// The generator of the `number`-th of many sequences.
    pub fn nth(number: u64) -> Self {
        Self::new(Self::nth_seed(number))
    }

    /// The seed of that generator.
    pub fn nth_seed(number: u64) -> u64 {
        0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number + 1) | 1
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// An index into so many items; 0 where there are none. By the upper bits: the lowest ones of a xorshift generator are weak.
    pub fn index(&mut self, items: usize) -> usize {
        usize::try_from((self.next() >> 11) % items.max(1) as u64).unwrap()
    }

    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.index(256)).unwrap()
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.index(times) == 0
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }
}
