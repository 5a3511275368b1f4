//! Carrying out what the engine decided: exactly one of "go on" and "answer" for each stream.

use crate::engine::reply::undelivered_reply;
use crate::engine::{Decision, FetchNote, FetchResult, MAX_KEYS, SuppressedRecords, Verdict};
use crate::host::filter_state::{Untold, clear_route_cache, tell};
use crate::host::headers;
use crate::host::metrics::Metrics;
use crate::host::streams::Passage;
use crate::http::{HeadEdits, Reply};

/// Applies a decision to the stream whose context is in effect. The caller continues or resumes it when
/// the answer is [`Passage::Admitted`], and only then.
pub(super) fn apply(decision: &Decision, metrics: &Metrics) -> Passage {
    // First of all: a reply ends the request, and its line in the access log should say why.
    let told = tell(&decision.told).map_err(|fault| match fault {
        Untold::TakenAlready => log::error!(
            "another plugin has put a decision into this request's filter state: leave `filter_state` out of all but one"
        ),
        Untold::Host(status) => log::error!("the host refused a value for the filter state ({status:?})"),
    });
    match &decision.verdict {
        Verdict::Allow(edits) if told.is_ok() && is_handed_over(edits, decision.told.clears_route_cache) => {
            metrics.count_decision(&decision.audit);
            log_decision(decision);
            Passage::Admitted
        }
        // Half-edited headers must not go on; other filters would go by what somebody else has put there, or by half of it.
        Verdict::Allow(_) => {
            metrics.count_undelivered(&decision.audit);
            answer(&undelivered_reply())
        }
        Verdict::Deny(reply) => {
            metrics.count_decision(&decision.audit);
            log_decision(decision);
            answer(reply)
        }
    }
}

/// Whether the host took all that the backend is told, and chose its route by it where it is to.
fn is_handed_over(edits: &HeadEdits, clears_route_cache: bool) -> bool {
    if let Err(status) = headers::edit_request(edits) {
        log::error!("the host refused a header edit ({status:?}); the request is not let through");
        return false;
    }
    if clears_route_cache && clear_route_cache().is_err() {
        log::error!("the host does not choose the route anew; the request is not let through");
        return false;
    }
    true
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
pub(super) fn answer(reply: &Reply) -> Passage {
    if let Err(status) = headers::send_reply(reply) {
        log::error!("the host refused a reply ({status:?}); the request is not let through");
    }
    Passage::Refused
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
