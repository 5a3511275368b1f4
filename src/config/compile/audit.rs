//! `audit` -> [`AuditTrail`]: denials are all logged by default; anything less is a warning.

use std::num::NonZeroU32;

use super::diagnostics::Diagnostics;
use super::warnings;
use crate::config::error::Path;
use crate::config::schema::audit::{AuditDocument, ExtentWord};
use crate::policy::{AuditTrail, Logged, SampleRate};

/// Compiles `audit`; `None` with an error.
pub(super) fn audit(document: AuditDocument, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<AuditTrail> {
    let AuditDocument { allowed, sample, denied, denied_per_second } = document;
    let sample_at = at.member("sample");
    let is_sampled = [allowed, denied].contains(&Some(ExtentWord::Sampled));
    if sample.is_some() && !is_sampled && !at.is_reported(diagnostics.errors) {
        diagnostics
            .invalid(&sample_at, "nothing is sampled; write \"sampled\" in `allowed` or `denied`, or leave it out");
    }
    let share = sample.map_or(Some(SampleRate::ONE_PERCENT), SampleRate::new);
    if share.is_none() && is_sampled {
        diagnostics
            .invalid(&sample_at, "more than 0 and at most 1, such as 0.01 for one in a hundred; \"none\" logs nothing");
    }
    match denied {
        Some(ExtentWord::Sampled) => diagnostics.warn(&warnings::DENIALS_SAMPLED, &at.member("denied")),
        Some(ExtentWord::None) => diagnostics.warn(&warnings::DENIALS_NOT_LOGGED, &at.member("denied")),
        Some(ExtentWord::All) | None => {}
    }
    if denied_per_second == Some(0) && denied != Some(ExtentWord::None) {
        diagnostics.warn(&warnings::UNLIMITED_DENIAL_LOG, &at.member("denied_per_second"));
    }
    let share = share?;
    let extent = |word: ExtentWord| match word {
        ExtentWord::All => Logged::All,
        ExtentWord::Sampled => Logged::Sampled(share),
        ExtentWord::None => Logged::None,
    };
    let default = AuditTrail::default();
    Some(AuditTrail {
        allowed: allowed.map_or(default.allowed, extent),
        denied: denied.map_or(default.denied, extent),
        denied_per_second: denied_per_second.map_or(default.denied_per_second, NonZeroU32::new),
    })
}
