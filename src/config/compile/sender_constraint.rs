//! `sender_constraint` -> [`SenderConstraint`], and `replay_detection`.

use std::collections::HashSet;
use std::time::Duration;

use super::diagnostics::{Diagnostics, present};
use super::secret::look_up;
use crate::config::error::Path;
use crate::config::schema::{NonceRequirement, ProofsDocument, ReplayDetectionDocument, SenderConstraintDocument};
use crate::jose::Algorithm;
use crate::policy::{ConstraintMode, Dpop, NonceMode, PublicOrigin, SenderConstraint};

const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);
const MIN_NONCE_KEY_BYTES: usize = 32;
const MAX_ORIGINS: usize = 64;
const DEFAULT_MAX_PROOFS: u32 = 131_072;

/// Compiles `sender_constraint`; `None` with an error. `allow_http` is `insecure_http` of the provider.
pub(super) fn sender_constraint(
    document: SenderConstraintDocument,
    allow_http: bool,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<SenderConstraint> {
    let proofs_at = at.member("proofs");
    let dpop = match document.dpop.unwrap_or_default() {
        ConstraintMode::Off => {
            if document.proofs.is_some() {
                diagnostics
                    .invalid(&proofs_at, "no proof is read: set `dpop` to \"if_bound\" or \"required\", or remove it");
            }
            None
        }
        mode @ (ConstraintMode::IfBound | ConstraintMode::Required) => {
            let is_required = mode == ConstraintMode::Required;
            const HINT: &str =
                "name the origins of the URLs that clients use: {\"origins\": [\"https://api.acme.com\"]}";
            let document = diagnostics.required(document.proofs, &proofs_at, HINT);
            Some(document.and_then(|document| proofs(document, is_required, allow_http, &proofs_at, diagnostics)))
        }
    };
    Some(SenderConstraint { mtls: document.mtls.unwrap_or_default(), dpop: present(dpop)? })
}

fn proofs(
    document: ProofsDocument,
    is_required: bool,
    allow_http: bool,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Dpop> {
    let origins = origins(document.origins, allow_http, &at.member("origins"), diagnostics);
    let mut algorithms = document.algorithms.unwrap_or_else(|| Algorithm::ALL.to_vec());
    // One algorithm has two names.
    let mut seen = HashSet::new();
    algorithms.retain(|algorithm| seen.insert(*algorithm));
    let algorithms = diagnostics.not_empty(Some(algorithms), &at.member("algorithms"));
    let max_age = diagnostics.bounded(
        document.max_age.unwrap_or(DEFAULT_MAX_AGE),
        &(Duration::from_secs(5)..=Duration::from_secs(300)),
        &at.member("max_age"),
        "between \"5s\" and \"300s\"",
    );
    let key_at = at.member("nonce_key");
    let nonce = match (document.nonce.unwrap_or_default(), document.nonce_key) {
        (NonceRequirement::Off, None) => Some(NonceMode::Off),
        (NonceRequirement::Off, Some(_)) => {
            diagnostics.invalid(&key_at, "no nonce is made: set `nonce` to \"required\", or remove it");
            None
        }
        (NonceRequirement::Required, None) => Some(NonceMode::OfProcess),
        (NonceRequirement::Required, Some(secret)) => look_up(secret, &key_at, diagnostics).and_then(|key| {
            let is_long = key.reveal().len() >= MIN_NONCE_KEY_BYTES;
            let hint = "the value of the variable has fewer than 32 bytes; `openssl rand -base64 32` makes one";
            diagnostics.check(is_long, &key_at, hint).then_some(NonceMode::WithKey(key))
        }),
    };
    Some(Dpop { is_required, algorithms: algorithms?, max_age: max_age?, nonce: nonce?, origins: origins? })
}

fn origins(
    origins: Option<Vec<String>>,
    allow_http: bool,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<PublicOrigin>> {
    const EXAMPLE: &str = "name the origins of the URLs that clients use, such as [\"https://api.acme.com\"]";
    const HINT: &str = "an origin such as \"https://api.acme.com\": scheme, host and port only, in lower case, no path and no slash at the end";
    let origins = diagnostics.required(origins, at, EXAMPLE)?;
    if !diagnostics.check(!origins.is_empty(), at, EXAMPLE)
        || !diagnostics.check(origins.len() <= MAX_ORIGINS, at, "at most 64 origins")
    {
        return None;
    }
    diagnostics.each(origins, at, |diagnostics, text, at, earlier| {
        let origin = diagnostics.parsed(PublicOrigin::parse(&text), at, HINT)?;
        let is_safe = origin.is_https() || allow_http;
        let hint = "clients send tokens over https; for a test, set \"insecure_http\": true";
        let is_new = !earlier.contains(&origin);
        (diagnostics.check(is_safe, at, hint) & diagnostics.check(is_new, at, "named twice")).then_some(origin)
    })
}

/// How many used proofs are remembered; `None` with an error.
pub(super) fn max_proofs(
    document: ReplayDetectionDocument,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<u32> {
    let number = document.max_proofs.unwrap_or(DEFAULT_MAX_PROOFS);
    let is_in_range = (16_384..=1_048_576).contains(&number);
    diagnostics.check(is_in_range, &at.member("max_proofs"), "between 16384 and 1048576").then_some(number)
}
