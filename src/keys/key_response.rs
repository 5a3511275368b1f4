//! Reads the responses to the callouts of a fetch.

use std::time::Duration;

use crate::callout::{CalloutResult, HttpResponse};
use crate::jose::{KeySet, KeySetFault};
use crate::keys::cache_control;
use crate::keys::fetch::{FetchFault, KEY_RESPONSE};
use crate::policy::{CalloutAddress, Discovery, DiscoveryFault, DiscoveryStep};

/// Which callout of a fetch is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The how-many-eth metadata address.
    Metadata(usize),
    Keys,
}

/// Where the response to a metadata callout leads: to the keys, or to the next metadata address.
pub(super) fn next_step(
    outcome: &CalloutResult,
    discovery: &Discovery,
    at: usize,
) -> Result<(Step, Option<CalloutAddress>), FetchFault> {
    // No connection to the issuer: its other address is no better.
    let response = response_of(outcome)?;
    match discovery.read(at, response, "jwks_uri") {
        Ok(DiscoveryStep::Address(address)) => Ok((Step::Keys, Some(address))),
        Ok(DiscoveryStep::Document(next)) => Ok((Step::Metadata(next), None)),
        Err(DiscoveryFault::Status(status)) => Err(FetchFault::Status(status)),
        Err(DiscoveryFault::Metadata(fault)) => Err(FetchFault::Metadata(fault)),
    }
}

/// The key set, and how long the server says it is fresh.
pub(super) fn read_key_set(outcome: &CalloutResult) -> Result<(KeySet, Option<Duration>), FetchFault> {
    let response = response_of(outcome)?;
    if response.status != 200 {
        return Err(FetchFault::Status(response.status));
    }
    let set = KeySet::parse(&response.body).map_err(FetchFault::KeySet)?;
    Ok((set, response.header("cache-control").and_then(cache_control::max_age)))
}

fn response_of(outcome: &CalloutResult) -> Result<&HttpResponse, FetchFault> {
    let response = outcome.as_ref().map_err(|error| FetchFault::Transport(*error))?;
    let is_too_large = response.body.len() > KEY_RESPONSE.max_bytes;
    if is_too_large { Err(FetchFault::KeySet(KeySetFault::TooLarge)) } else { Ok(response) }
}
