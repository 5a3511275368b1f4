//! Applies the engine's decision: each stream is either continued or gets one local response.

use crate::engine::response::host_error_response;
use crate::engine::{Decision, Verdict};
use crate::host::host_error::HostError;
use crate::host::host_interface::{Host, ResponseBody};
use crate::host::metrics::Metrics;
use crate::host::stream_state::StreamState;
use crate::http::{HeadEdits, LocalResponse};

/// The reason of responses that no decision made.
const HOST_ERROR: &str = "host_error";
/// The reason of responses to requests to the filter itself: readiness and metadata.
pub(super) const SERVED_BY_FILTER: &str = "served_by_filter";

/// Applies a decision to the stream of the effective context. The caller continues or resumes the stream only if the
/// result is [`StreamState::Allowed`].
pub(super) fn apply_decision(
    decision: &Decision,
    host: &dyn Host,
    metrics: &Metrics,
    body: ResponseBody,
) -> StreamState {
    // Before the response, because the response ends the request and the access log should show the reason.
    let filter_state = host.set_filter_state(&decision.filter_state);
    match &decision.verdict {
        Verdict::Allow(edits) => {
            if let Err(error) =
                filter_state.and_then(|()| edit_request(edits, host, decision.filter_state.clears_route_cache))
            {
                // Neither half-edited headers nor partial filter state may reach the backend or another filter.
                metrics.count_undelivered(&decision.audit);
                return reject(error, host);
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
            let reason = decision.audit.reason();
            match body {
                ResponseBody::Kept => send_response(response, reason, host),
                ResponseBody::Dropped => {
                    send_response(&LocalResponse { body: Vec::new(), ..response.clone() }, reason, host)
                }
            }
        }
    }
}

/// Edits the request for the backend and clears the route cache if the configuration requires it.
fn edit_request(edits: &HeadEdits, host: &dyn Host, clears_route_cache: bool) -> Result<(), HostError> {
    host.edit_request(edits)?;
    if clears_route_cache { host.clear_route_cache() } else { Ok(()) }
}

/// Rejects the request of the effective context, because the host cannot show it or apply its decision.
pub(super) fn reject(error: HostError, host: &dyn Host) -> StreamState {
    log::error!("{error}; the request is rejected");
    send_response(&host_error_response(error.status()), HOST_ERROR, host)
}

fn log_decision(decision: &Decision) {
    if decision.audit.is_logged() {
        log::info!("{}", decision.audit.to_json());
    }
}

/// Sends a local response to the stream of the effective context.
pub(super) fn send_response(response: &LocalResponse, reason: &str, host: &dyn Host) -> StreamState {
    host.send_response(response, reason);
    StreamState::Rejected
}
