//! Which decisions are logged, as the operator wants it. The record itself is `engine::audit`.

use std::num::NonZeroU32;

/// How much of each kind is logged. What a rule on trial would have refused counts as refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuditTrail {
    /// Of requests that pass.
    pub allowed: Logged,
    /// Of requests that are refused, or would be.
    pub denied: Logged,
    /// How many of the latter one worker logs in a second for each reason; all, if there is no limit. The others are
    /// counted.
    pub denied_per_second: Option<NonZeroU32>,
}

impl AuditTrail {
    /// Clients that are refused for one reason 20 times in a second, by each worker, are a flood or broken.
    pub const DENIED_PER_SECOND: Option<NonZeroU32> = NonZeroU32::new(20);
}

impl Default for AuditTrail {
    fn default() -> Self {
        Self { allowed: Logged::None, denied: Logged::All, denied_per_second: Self::DENIED_PER_SECOND }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Logged {
    /// Everything.
    All,
    /// A share, chosen by chance.
    Sampled(SampleRate),
    /// Nothing.
    None,
}

/// A share of the whole: more than nothing, at most all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRate(f64);

impl SampleRate {
    /// One in a hundred.
    pub const ONE_PERCENT: Self = Self(0.01);

    /// The share, if it is one.
    pub fn new(share: f64) -> Option<Self> {
        (share > 0.0 && share <= 1.0).then_some(Self(share))
    }

    /// As a number.
    pub const fn as_number(self) -> f64 {
        self.0
    }

    /// Whether it takes in what drew this number, any being as likely as any other.
    pub fn takes_in(self, drawn: u32) -> bool {
        f64::from(drawn) / (f64::from(u32::MAX) + 1.0) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn a_share_is_more_than_nothing_and_at_most_all() {
        for share in [0.0, -0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            assert_eq!(SampleRate::new(share), None, "{share}");
        }
        assert_eq!(SampleRate::new(1.0).map(SampleRate::as_number), Some(1.0));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn all_takes_in_every_number_and_a_quarter_the_first_quarter() {
        assert!([0, 1 << 31, u32::MAX].into_iter().all(|drawn| SampleRate(1.0).takes_in(drawn)));
        assert!(SampleRate(0.25).takes_in((1 << 30) - 1) && !SampleRate(0.25).takes_in(1 << 30));
        assert!(SampleRate(f64::MIN_POSITIVE).takes_in(0) && !SampleRate(f64::MIN_POSITIVE).takes_in(1));
    }
}
