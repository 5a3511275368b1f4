//! Selects the decisions that are logged where a share is configured.
//!
//! The selection is random, from a seed of the host. No request can influence or predict it, neither by its id nor by the
//! number of requests sent. [`LogLimit`] limits the denials.

use std::hash::{DefaultHasher, Hasher as _};

use crate::engine::audit::{AuditRecord, Sampling};
use crate::engine::log_limit::{LogLimit, SuppressedRecords};
use crate::policy::{AuditTrail, Logged, SampleRate};
use crate::randomness::Entropy;
use crate::unix_time::UnixTime;

/// Draws a random number for each decision.
pub(super) struct Sampler {
    trail: AuditTrail,
    /// The seed, hashed with a counter. No client knows it.
    seeded: DefaultHasher,
    drawn: u64,
    limit: LogLimit,
}

impl Sampler {
    pub(super) fn new(trail: AuditTrail, seed: &Entropy) -> Self {
        let mut seeded = DefaultHasher::new();
        seeded.write(&seed.0);
        let share = if let Logged::Sampled(share) = trail.denied { Some(share) } else { None };
        let limit = LogLimit::new(trail.denied_per_second, share.map(SampleRate::as_f64));
        Self { trail, seeded, drawn: 0, limit }
    }

    /// Whether this record is logged. To be called once for each decision.
    pub(super) fn sample(&mut self, record: &AuditRecord, now: UnixTime) -> Sampling {
        let entry = match record.extent(&self.trail) {
            Logged::All => Sampling::Always,
            Logged::Sampled(share) if share.includes(self.draw()) => Sampling::Sampled(share),
            Logged::Sampled(_) | Logged::None => return Sampling::Dropped,
        };
        match record.denial_kind() {
            Some(kind) if !self.limit.admits(kind, now) => Sampling::Dropped,
            _ => entry,
        }
    }

    /// The records of denials that were suppressed for a second or longer; of all without `now`.
    pub(super) fn take_suppressed(&mut self, now: Option<UnixTime>) -> Vec<SuppressedRecords> {
        self.limit.take_suppressed(now)
    }

    /// When such records are due.
    pub(super) fn next_due(&self) -> Option<UnixTime> {
        self.limit.next_due()
    }

    fn draw(&mut self) -> u32 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut hasher = self.seeded.clone();
        hasher.write_u64(self.drawn);
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u8) -> Vec<u32> {
        let mut sampling = Sampler::new(AuditTrail::default(), &Entropy([seed; 32]));
        (0..10_000).map(|_| sampling.draw()).collect()
    }

    #[test]
    fn numbers_are_spread_evenly_and_differ_with_the_seed() {
        let numbers = drawn(1);
        for quarter in 0..4 {
            let found = numbers.iter().filter(|number| *number >> 30 == quarter).count();
            // Five standard deviations.
            assert!((2283..=2717).contains(&found), "{quarter}: {found}");
        }
        assert!(numbers.iter().zip(drawn(2)).filter(|(one, other)| *one == other).count() < 3);
        assert_eq!(numbers, drawn(1));
    }
}
