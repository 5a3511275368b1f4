//! `insecure_keep_target_headers` -> [`TargetHeaders`]: known names only, each with a warning.

use super::diagnostics::Diagnostics;
use super::warnings;
use crate::config::error::Path;
use crate::policy::TargetHeaders;
use crate::policy::target_headers::find;

/// Compiles the names; `None` with an error.
pub(super) fn target_headers(
    names: Option<Vec<String>>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<TargetHeaders> {
    let Some(names) = names else { return Some(TargetHeaders::default()) };
    let names = diagnostics.not_empty(Some(names), at)?;
    let kept = diagnostics.each(names, at, |diagnostics, name, at, kept| {
        let hint = "not a header that is removed because it changes the target; docs/security.md lists them";
        let header = diagnostics.parsed(find(&name), at, hint)?;
        diagnostics.check(!kept.contains(&header), at, "duplicate entry").then_some(header)
    })?;
    for index in 0..kept.len() {
        diagnostics.insecure(&warnings::INSECURE_TARGET_HEADER, &at.item(index));
    }
    Some(TargetHeaders::keeping(&kept))
}
