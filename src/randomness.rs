//! Randomness as an input: the core generates none, the caller passes it in.

use std::fmt;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// Random bytes from the host, new with every event: they make the `jti` of assertions, and the jitter of pauses.
#[derive(Clone, Copy)]
pub struct Entropy(pub [u8; 32]);

/// A random fraction of 1, in 65536ths. It spreads the calls of many gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(pub u16);

impl Entropy {
    /// The jitter of one event. Without entropy all gateways pause for the same time.
    pub fn jitter(entropy: Option<&Self>) -> Jitter {
        Jitter(entropy.map_or(0, |Self([low, high, ..])| u16::from_le_bytes([*low, *high])))
    }

    /// Other random bytes for each number.
    #[must_use]
    pub fn derive(&self, number: u64) -> Self {
        let hasher = Sha256::new().chain_update(self.0).chain_update(number.to_le_bytes());
        Self(hasher.finalize().into())
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Entropy")
    }
}

impl Jitter {
    /// A duration between `least` and `most` tenths of `whole`.
    #[must_use]
    pub fn between_tenths(self, whole: Duration, least: u32, most: u32) -> Duration {
        let spread = whole * most.saturating_sub(least) / 10;
        whole * least / 10 + spread * u32::from(self.0) / 65_536
    }

    /// The wait after so many earlier failures: `first`, doubled with each, at most `longest`, and up to 30 % less.
    #[must_use]
    pub fn back_off(self, first: Duration, failures: u32, longest: Duration) -> Duration {
        self.between_tenths((first * (1 << failures.min(6))).min(longest), 7, 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_entropy_differs_by_number_and_by_origin() {
        let (one, other) = (Entropy([1; 32]), Entropy([2; 32]));
        assert_eq!(one.derive(1).0, one.derive(1).0);
        assert_ne!(one.derive(1).0, one.derive(2).0);
        assert_ne!(one.derive(1).0, other.derive(1).0);
        assert_eq!(Entropy::jitter(Some(&one)), Jitter(0x0101));
        assert_eq!(Entropy::jitter(None), Jitter(0));
    }

    #[test]
    fn duration_is_within_its_bounds() {
        let ten = Duration::from_secs(10);
        assert_eq!(Jitter(0).between_tenths(ten, 7, 10), Duration::from_secs(7));
        assert_eq!(Jitter(32_768).between_tenths(ten, 8, 10), Duration::from_secs(9));
        assert!(Jitter(u16::MAX).between_tenths(ten, 7, 10) < ten);
    }
}
