//! Selects the decisions that are logged. `engine::audit` defines the record.

use std::num::NonZeroU32;

/// How many decisions of each kind are logged. A report-only denial counts as a denial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuditTrail {
    pub allowed: Logged,
    /// Denied requests, including report-only denials.
    pub denied: Logged,
    /// How many denials one worker logs per second and reason. `None` logs all. The others are counted.
    pub denied_per_second: Option<NonZeroU32>,
}

impl AuditTrail {
    /// 20 denials per second and worker for one reason come from a flood or a broken client.
    pub const DENIED_PER_SECOND: Option<NonZeroU32> = NonZeroU32::new(20);
}

impl Default for AuditTrail {
    fn default() -> Self {
        Self { allowed: Logged::None, denied: Logged::All, denied_per_second: Self::DENIED_PER_SECOND }
    }
}

/// How many decisions are logged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Logged {
    All,
    Sampled(SampleRate),
    None,
}

/// A share greater than 0 and at most 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRate(f64);

impl SampleRate {
    pub const ONE_PERCENT: Self = Self(0.01);

    /// The share, if it is in range.
    pub fn new(share: f64) -> Option<Self> {
        (share > 0.0 && share <= 1.0).then_some(Self(share))
    }

    /// The share as a number.
    pub const fn as_f64(self) -> f64 {
        self.0
    }

    /// Whether a uniformly distributed random number is in the sample.
    pub fn includes(self, drawn: u32) -> bool {
        f64::from(drawn) / (f64::from(u32::MAX) + 1.0) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_rate_out_of_range_is_rejected() {
        for share in [0.0, -0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            assert_eq!(SampleRate::new(share), None, "{share}");
        }
        assert_eq!(SampleRate::new(1.0).map(SampleRate::as_f64), Some(1.0));
    }

    #[test]
    fn sample_rate_includes_its_share_of_numbers() {
        assert!([0, 1 << 31, u32::MAX].into_iter().all(|drawn| SampleRate(1.0).includes(drawn)));
        assert!(SampleRate(0.25).includes((1 << 30) - 1) && !SampleRate(0.25).includes(1 << 30));
        assert!(SampleRate(f64::MIN_POSITIVE).includes(0) && !SampleRate(f64::MIN_POSITIVE).includes(1));
    }
}
