//! Three-valued evaluation (Kleene's strong logic): a term holds, fails, or is indeterminate.
//!
//! With two values an indeterminate term would fail, and `not` would turn it into a pass. A user whose token contains
//! `"groups": 5` would be in none of the excluded groups. With three values only a term that *certainly* holds is
//! accepted, also in a `not`. An indeterminate term matters only if it could change the result.

use crate::cel::EvaluationError;

/// The result of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    /// The term does not hold.
    Fails,
    /// Unknown: neither the term nor its negation is accepted.
    Indeterminate(Indeterminate),
}

/// Why a term is indeterminate. Of two causes the greater one is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Indeterminate {
    /// The token lacks the claim.
    Missing,
    Malformed,
    /// A condition could not be evaluated.
    Condition(EvaluationError),
}

impl Verdict {
    /// The verdict of a boolean.
    pub const fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }

    /// The negation. An indeterminate verdict is unchanged.
    #[must_use]
    pub const fn negated(self) -> Self {
        match self {
            Self::Holds => Self::Fails,
            Self::Fails => Self::Holds,
            Self::Indeterminate(cause) => Self::Indeterminate(cause),
        }
    }

    /// Conjunction. It holds if there are no verdicts. One that fails decides, whatever the others are.
    pub fn all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::Holds;
        for verdict in verdicts {
            all = match (all, verdict) {
                (_, Self::Fails) => return Self::Fails,
                (result, Self::Holds) => result,
                (Self::Indeterminate(one), Self::Indeterminate(other)) => Self::Indeterminate(one.max(other)),
                (Self::Holds | Self::Fails, indeterminate @ Self::Indeterminate(_)) => indeterminate,
            };
        }
        all
    }

    /// Disjunction. It fails if there are no verdicts. One that holds decides, whatever the others are.
    pub fn any(verdicts: impl IntoIterator<Item = Self>) -> Self {
        Self::all(verdicts.into_iter().map(Self::negated)).negated()
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Fails, Holds};
    use super::*;

    const INDETERMINATE: Verdict = Verdict::Indeterminate(Indeterminate::Missing);

    #[test]
    fn verdicts_follow_kleene_logic() {
        let table = [
            // one, other, all, any
            (Holds, Holds, Holds, Holds),
            (Holds, Fails, Fails, Holds),
            (Holds, INDETERMINATE, INDETERMINATE, Holds),
            (Fails, Fails, Fails, Fails),
            (Fails, INDETERMINATE, Fails, INDETERMINATE),
            (INDETERMINATE, INDETERMINATE, INDETERMINATE, INDETERMINATE),
        ];
        for (one, other, all, any) in table {
            for pair in [[one, other], [other, one]] {
                assert_eq!(Verdict::all(pair), all, "all of {pair:?}");
                assert_eq!(Verdict::any(pair), any, "any of {pair:?}");
            }
        }
        assert_eq!([Holds, Fails, INDETERMINATE].map(Verdict::negated), [Fails, Holds, INDETERMINATE]);
        assert_eq!((Verdict::all([]), Verdict::any([])), (Holds, Fails));
    }

    #[test]
    fn greater_cause_of_two_is_reported() {
        let causes = [Verdict::Indeterminate(Indeterminate::Malformed), INDETERMINATE];
        for pair in [causes, [INDETERMINATE, Verdict::Indeterminate(Indeterminate::Malformed)]] {
            assert_eq!(Verdict::all(pair), Verdict::Indeterminate(Indeterminate::Malformed));
            assert_eq!(Verdict::any(pair), Verdict::Indeterminate(Indeterminate::Malformed));
        }
    }
}
