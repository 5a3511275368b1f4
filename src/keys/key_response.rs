//! What the responses to the callouts of a fetch say.

use std::time::Duration;

use crate::jose::KeySet;
use crate::keys::cache_control;
use crate::keys::fetch::{FetchFault, FetchOutcome, MetadataFault};
use crate::policy::{CalloutAddress, Discovery, address_in_metadata};

/// Which callout of a fetch is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The how-many-eth metadata address.
    Metadata(usize),
    /// The key set.
    Keys,
}

/// Where the answer to a metadata callout leads: to the keys, or to the next metadata address.
pub(super) fn next_step(
    outcome: &FetchOutcome,
    discovery: &Discovery,
    at: usize,
) -> Result<(Step, Option<CalloutAddress>), FetchFault> {
    let fault = match outcome {
        // No connection to the issuer: its other address is no better.
        FetchOutcome::Failed(fault) => return Err(*fault),
        FetchOutcome::Response { status: 200, body, .. } => match address_in_metadata(body, discovery, "jwks_uri") {
            Ok(address) => return Ok((Step::Keys, Some(address))),
            Err(fault) => fault,
        },
        FetchOutcome::Response { status: 400..=499, .. } => MetadataFault::Malformed,
        FetchOutcome::Response { status, .. } => return Err(FetchFault::Status(*status)),
    };
    let is_last = at + 1 >= discovery.documents.len();
    if is_last || fault != MetadataFault::Malformed {
        return Err(FetchFault::Metadata(fault));
    }
    Ok((Step::Metadata(at + 1), None))
}

/// The key set, and how long the server says it is fresh.
pub(super) fn read_key_set(outcome: &FetchOutcome) -> Result<(KeySet, Option<Duration>), FetchFault> {
    match outcome {
        FetchOutcome::Failed(fault) => Err(*fault),
        FetchOutcome::Response { status: 200, cache_control, body } => {
            let set = KeySet::parse(body).map_err(FetchFault::KeySet)?;
            Ok((set, cache_control.as_deref().and_then(cache_control::max_age)))
        }
        FetchOutcome::Response { status, .. } => Err(FetchFault::Status(*status)),
    }
}
