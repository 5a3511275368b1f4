//! Applies the engine's decision: each stream is either continued or gets one local response.

use crate::engine::response::internal_error_response;
use crate::engine::{Decision, FetchNote, FetchResult, MAX_KEYS, SuppressedRecords, Verdict};
use crate::host::filter_state::{clear_route_cache, set_filter_state};
use crate::host::headers;
use crate::host::host_error::HostError;
use crate::host::metrics::Metrics;
use crate::host::stream_state::StreamState;
use crate::http::{HeadEdits, LocalResponse};

/// Applies a decision to the stream of the effective context. The caller continues or resumes the stream only if the
/// result is [`StreamState::Allowed`].
pub(super) fn apply_decision(decision: &Decision, metrics: &Metrics) -> StreamState {
    // Before the response, because the response ends the request and the access log should show the reason.
    let filter_state = set_filter_state(&decision.filter_state);
    match &decision.verdict {
        Verdict::Allow(edits) => {
            if let Err(error) =
                filter_state.and_then(|()| edit_request(edits, decision.filter_state.clears_route_cache))
            {
                // Neither half-edited headers nor partial filter state may reach the backend or another filter.
                metrics.count_undelivered(&decision.audit);
                return reject(error);
            }
            metrics.count_decision(&decision.audit);
            log_decision(decision);
            StreamState::Allowed
        }
        Verdict::Deny(response) => {
            if let Err(error) = filter_state {
                log::error!("{error}; the request is rejected anyway");
            }
            metrics.count_decision(&decision.audit);
            log_decision(decision);
            send_response(response)
        }
    }
}

/// Edits the request for the backend and clears the route cache if the configuration requires it.
fn edit_request(edits: &HeadEdits, clears_route_cache: bool) -> Result<(), HostError> {
    headers::edit_request(edits)?;
    if clears_route_cache { clear_route_cache() } else { Ok(()) }
}

/// Rejects the request of the effective context with 503, because a host call that its decision requires failed.
pub(super) fn reject(error: HostError) -> StreamState {
    log::error!("{error}; the request is rejected");
    send_response(&internal_error_response())
}

fn log_decision(decision: &Decision) {
    if decision.audit.is_logged() {
        log::info!("{}", decision.audit.to_json());
    }
}

/// Logs how many denials were not logged.
pub(super) fn log_suppressed(records: &[SuppressedRecords]) {
    for record in records {
        log::info!("{}", record.to_json());
    }
}

/// Sends a local response to the stream of the effective context.
pub(super) fn send_response(response: &LocalResponse) -> StreamState {
    if let Err(error) = headers::send_response(response) {
        log::error!("{error}; the request stays paused");
    }
    StreamState::Rejected
}

pub(super) fn log_fetch(note: &FetchNote) {
    let provider = &note.provider;
    match note.result {
        FetchResult::Replaced { usable, skipped: 0, fetched_here, .. } => {
            log::info!("provider {provider:?}: {usable} keys {}", origin(fetched_here));
        }
        FetchResult::Replaced { usable, skipped, fetched_here, .. } => {
            let over_limit = usable.saturating_add(skipped).saturating_sub(MAX_KEYS);
            let (unusable, origin) = (skipped.saturating_sub(over_limit), origin(fetched_here));
            let over_limit = if over_limit > 0 {
                format!(", {over_limit} not read: a set may have {MAX_KEYS} keys; tokens of the others are rejected")
            } else {
                String::new()
            };
            log::warn!("provider {provider:?}: {usable} keys {origin}, {unusable} skipped as unusable{over_limit}");
        }
        FetchResult::Failed { fault, retry_in } => {
            let (name, hint) = (fault.name(), fault.hint());
            log::warn!("provider {provider:?}: fetching keys failed ({name}): {hint}; next attempt in {retry_in:.1?}");
        }
        FetchResult::Continues | FetchResult::Late => {}
    }
}

const fn origin(fetched_here: bool) -> &'static str {
    if fetched_here { "fetched" } else { "taken over from another worker" }
}
