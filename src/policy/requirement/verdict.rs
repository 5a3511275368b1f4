//! Three-valued judgement (Kleene's strong logic): a demand holds, fails, or cannot be judged.
//!
//! With two values a demand that cannot be judged would have to count as failing, and `not` would make a pass of it:
//! whoever gets an issuer to write `"groups": 5` would be in none of the groups that are kept out. With three, only
//! what is *known* to hold passes, also behind `not`; and what cannot be judged matters only where it could have made
//! a difference.

use crate::cel::EvaluationError;

/// Whether a demand is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Holds,
    /// It is not.
    Fails,
    /// Nobody can tell, so it passes neither as it is nor negated.
    Indeterminate(Indeterminate),
}

/// Why a demand cannot be judged; of two doubts the greater one is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Indeterminate {
    /// The token does not say what the demand is about.
    Missing,
    /// It says it in a form that means nothing.
    Malformed,
    /// A condition could not be judged.
    Condition(EvaluationError),
}

impl Verdict {
    /// The verdict on what can be told.
    pub const fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }

    /// The verdict on the opposite: what cannot be judged stays so.
    #[must_use]
    pub const fn negated(self) -> Self {
        match self {
            Self::Holds => Self::Fails,
            Self::Fails => Self::Holds,
            Self::Indeterminate(doubt) => Self::Indeterminate(doubt),
        }
    }

    /// All hold; none at all: they do. One that fails decides, whatever the others are.
    pub fn all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::Holds;
        for verdict in verdicts {
            all = match (all, verdict) {
                (_, Self::Fails) => return Self::Fails,
                (known, Self::Holds) => known,
                (Self::Indeterminate(one), Self::Indeterminate(other)) => Self::Indeterminate(one.max(other)),
                (Self::Holds | Self::Fails, doubtful @ Self::Indeterminate(_)) => doubtful,
            };
        }
        all
    }

    /// At least one holds; none at all: none does. One that holds decides, whatever the others are.
    pub fn any(verdicts: impl IntoIterator<Item = Self>) -> Self {
        Self::all(verdicts.into_iter().map(Self::negated)).negated()
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Fails, Holds};
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    const DOUBT: Verdict = Verdict::Indeterminate(Indeterminate::Missing);

    #[wasm_bindgen_test(unsupported = test)]
    fn the_tables_are_those_of_kleene() {
        let table = [
            // one, other, both, either
            (Holds, Holds, Holds, Holds),
            (Holds, Fails, Fails, Holds),
            (Holds, DOUBT, DOUBT, Holds),
            (Fails, Fails, Fails, Fails),
            (Fails, DOUBT, Fails, DOUBT),
            (DOUBT, DOUBT, DOUBT, DOUBT),
        ];
        for (one, other, both, either) in table {
            for pair in [[one, other], [other, one]] {
                assert_eq!(Verdict::all(pair), both, "all of {pair:?}");
                assert_eq!(Verdict::any(pair), either, "any of {pair:?}");
            }
        }
        assert_eq!([Holds, Fails, DOUBT].map(Verdict::negated), [Fails, Holds, DOUBT]);
        assert_eq!((Verdict::all([]), Verdict::any([])), (Holds, Fails));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_greater_of_two_doubts_is_kept() {
        let doubts = [Verdict::Indeterminate(Indeterminate::Malformed), DOUBT];
        for pair in [doubts, [DOUBT, Verdict::Indeterminate(Indeterminate::Malformed)]] {
            assert_eq!(Verdict::all(pair), Verdict::Indeterminate(Indeterminate::Malformed));
            assert_eq!(Verdict::any(pair), Verdict::Indeterminate(Indeterminate::Malformed));
        }
    }
}
