//! `insecure_keep_target_headers` -> [`TargetHeaders`]: known names only, each with a warning.

use super::diagnostics::Diagnostics;
use crate::config::error::Path;
use crate::policy::target_headers::find;
use crate::policy::{TargetHeader, TargetHeaders};

/// Compiles the names; `None` with an error.
pub(super) fn target_headers(
    names: Option<Vec<String>>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<TargetHeaders> {
    let Some(names) = names else { return Some(TargetHeaders::default()) };
    let names = diagnostics.not_empty(Some(names), at)?;
    let wanted = names.len();
    let mut kept: Vec<&'static TargetHeader> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let at = at.item(index);
        match find(name) {
            None => diagnostics.invalid(
                &at,
                "not a header that is removed because it changes the target; docs/security.md lists them",
            ),
            Some(header) if kept.contains(&header) => diagnostics.invalid(&at, "duplicate entry"),
            Some(header) => kept.push(header),
        }
    }
    for TargetHeader { name, changes, .. } in &kept {
        diagnostics.insecure(format!(
            "insecure_keep_target_headers has {name}: the backend reads another {changes} from it than the one that the rules decided for, unless a proxy in front overwrites it"
        ));
    }
    (kept.len() == wanted).then(|| TargetHeaders::keeping(&kept))
}
