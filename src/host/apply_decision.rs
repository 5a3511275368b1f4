//! Carrying out what the engine decided: exactly one of "go on" and "answer" for each stream.

use crate::engine::response::internal_error_response;
use crate::engine::{Decision, FetchNote, FetchResult, MAX_KEYS, SuppressedRecords, Verdict};
use crate::host::filter_state::{clear_route_cache, set_filter_state};
use crate::host::headers;
use crate::host::host_error::HostError;
use crate::host::metrics::Metrics;
use crate::host::stream_state::StreamState;
use crate::http::{HeadEdits, LocalResponse};

/// Applies a decision to the stream whose context is in effect. The caller continues or resumes it when
/// the result is [`StreamState::Admitted`], and only then.
pub(super) fn apply_decision(decision: &Decision, metrics: &Metrics) -> StreamState {
    // Before the response: it ends the request, and its line in the access log should say why.
    let told = set_filter_state(&decision.filter_state);
    match &decision.verdict {
        Verdict::Allow(edits) => {
            if let Err(error) = told.and_then(|()| edit_request(edits, decision.filter_state.clears_route_cache)) {
                // Neither half-edited headers nor half of the filter state may reach the backend or another filter.
                metrics.count_undelivered(&decision.audit);
                return reject(error);
            }
            metrics.count_decision(&decision.audit);
            log_decision(decision);
            StreamState::Allowed
        }
        Verdict::Deny(reply) => {
            if let Err(error) = told {
                log::error!("{error}; the request is rejected anyway");
            }
            metrics.count_decision(&decision.audit);
            log_decision(decision);
            send_response(reply)
        }
    }
}

/// Edits the request for the backend, and has the host choose the route again where the configuration says so.
fn edit_request(edits: &HeadEdits, clears_route_cache: bool) -> Result<(), HostError> {
    headers::edit_request(edits)?;
    if clears_route_cache { clear_route_cache() } else { Ok(()) }
}

/// Rejects the request whose context is in effect with 503: what its decision needs, the host cannot do.
pub(super) fn reject(error: HostError) -> StreamState {
    log::error!("{error}; the request is rejected");
    send_response(&internal_error_response())
}

fn log_decision(decision: &Decision) {
    if decision.audit.is_logged() {
        log::info!("{}", decision.audit.to_json());
    }
}

/// Logs how many refusals had no line of their own.
pub(super) fn log_suppressed(records: &[SuppressedRecords]) {
    for record in records {
        log::info!("{}", record.to_json());
    }
}

/// Answers the stream whose context is in effect.
pub(super) fn send_response(reply: &LocalResponse) -> StreamState {
    if let Err(error) = headers::send_reply(reply) {
        log::error!("{error}; the request stays paused");
    }
    StreamState::Rejected
}

/// Tells the operator how a fetch ended.
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
