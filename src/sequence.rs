//! Orders events without a wall clock, which can be set back and forward.
//!
//! There are two orders. A [`Moment`] orders the events of this VM. A [`Sequence`] orders the fetches or calls of all
//! VMs of the process; the lease that a VM acquires assigns the number.

/// A position in the order of this VM's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The number of a fetch or call in the process. It uses serial number arithmetic (RFC 1982), so newer numbers exist
/// even after a corrupt record with a huge number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence(u64);

impl Sequence {
    /// The number as stored in a record.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number to store in a record.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether this fetch or call started after `other`.
    pub const fn is_newer_than(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0);
        ahead != 0 && ahead < 1 << 63
    }

    /// The newer of the two.
    #[must_use]
    pub const fn newer(self, other: Self) -> Self {
        if other.is_newer_than(self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrupt_number_does_not_block_newer_ones() {
        for corrupt in [0, 5, 1 << 40, 1 << 62, u64::MAX / 2, u64::MAX] {
            let next = Sequence(corrupt).next();
            assert!(next.is_newer_than(Sequence(corrupt)) && !Sequence(corrupt).is_newer_than(next), "{corrupt}");
            assert!(!next.is_newer_than(next));
        }
        assert_eq!(Sequence(7).newer(Sequence(u64::MAX)), Sequence(7), "older by eight");
    }
}
