//! Logs the results of callouts. Of introspection calls and polls of the revocation list, the first event of each kind is logged
//! at once, later ones at intervals.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::{CallFault, CallResult, FetchResult, MAX_KEYS, PollResult, SuppressedRecords};
use crate::host::clock;
use crate::unix_time::UnixTime;

/// The minimum interval between log lines of the same fault.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// The latest log lines. The size is bounded by the configured providers and the kinds of faults.
#[derive(Debug, Default)]
pub(super) struct CalloutLog {
    last_lines: RefCell<HashMap<LineKey, LastLine>>,
    /// The number of entries of the last list.
    entries: Cell<Option<usize>>,
}

/// The provider, or `None` for the list, and the name of the fault.
type LineKey = (Option<Rc<str>>, &'static str);

#[derive(Clone, Copy, Debug)]
struct LastLine {
    at: UnixTime,
    /// How many lines were suppressed since.
    suppressed: u64,
}

impl CalloutLog {
    pub(super) fn log_call(&self, provider: &Rc<str>, result: CallResult) {
        match result {
            CallResult::Discovered => log::info!("provider {provider:?}: its introspection endpoint was found"),
            CallResult::Failed { fault, pause } => {
                let (name, hint) = (fault.name(), fault.hint());
                let Some(suppressed) = self.suppressed_since(Some(Rc::clone(provider)), name) else { return };
                let line = format!(
                    "provider {provider:?}: introspection failed ({name}){}: {hint}{}{}",
                    with_status(fault),
                    if pause.is_zero() { String::new() } else { format!("; no call for {pause:.1?}") },
                    suppressed_note(suppressed),
                );
                // Only the operator can fix these.
                if matches!(fault, CallFault::CredentialsRefused(_) | CallFault::NotSigned) {
                    log::error!("{line}");
                } else {
                    log::warn!("{line}");
                }
            }
            CallResult::Answered | CallResult::TakenOver | CallResult::Continues | CallResult::Late => {}
        }
    }

    pub(super) fn log_poll(&self, result: PollResult) {
        match result {
            PollResult::Replaced(entries) => {
                if self.entries.replace(Some(entries)) != Some(entries) {
                    log::info!("the list of revoked tokens has {entries} entries");
                }
            }
            PollResult::TakenOver(entries) => {
                self.entries.set(Some(entries));
                log::info!("the list of revoked tokens has {entries} entries (taken over from another worker)");
            }
            PollResult::Failed { fault, retry_in } => {
                let name = fault.name();
                if let Some(suppressed) = self.suppressed_since(None, name) {
                    let note = suppressed_note(suppressed);
                    log::warn!(
                        "the list of revoked tokens could not be read ({name}): the last list remains in force; next attempt in {retry_in:.1?}{note}"
                    );
                }
            }
            PollResult::Unchanged | PollResult::Late => {}
        }
    }

    /// Whether to log again: the number of lines suppressed since the last one, or `None` to suppress this one.
    fn suppressed_since(&self, provider: Option<Rc<str>>, fault: &'static str) -> Option<u64> {
        let now = clock::now();
        let mut lines = self.last_lines.borrow_mut();
        let last = lines.entry((provider, fault)).or_insert(LastLine { at: UnixTime::from_millis(0), suppressed: 0 });
        // A clock that was set back must not suppress the line.
        if now.since(last.at) < MIN_INTERVAL && last.at <= now {
            last.suppressed = last.suppressed.saturating_add(1);
            return None;
        }
        let suppressed = last.suppressed;
        *last = LastLine { at: now, suppressed: 0 };
        Some(suppressed)
    }
}

fn with_status(fault: CallFault) -> String {
    if let CallFault::Status(status) | CallFault::CredentialsRefused(status) = fault {
        format!(" with status {status}")
    } else {
        String::new()
    }
}

fn suppressed_note(suppressed: u64) -> String {
    if suppressed == 0 { String::new() } else { format!(" ({suppressed} more of these were not logged)") }
}

/// Logs how many denials were not logged.
pub(super) fn log_suppressed(records: &SuppressedRecords) {
    log::info!("{}", records.to_json());
}

pub(super) fn log_fetch(provider: &str, result: FetchResult) {
    match result {
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
