//! What the operator is told of introspection calls and of the list of revoked tokens: each kind of news at once, and
//! then not for every call again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::{CallFault, CallNote, CallResult, PollResult};
use crate::host::clock;
use crate::unix_time::UnixTime;

/// How far apart lines about the same trouble are.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// What was said lately. Its size is bounded: providers are the operator's, and faults are few.
#[derive(Debug, Default)]
pub(super) struct CalloutLog {
    last_lines: RefCell<HashMap<LineKey, LastLine>>,
    /// How many entries the list had.
    entries: Cell<Option<usize>>,
}

/// Of which provider, or of the list, and the fault's name.
type LineKey = (Option<Rc<str>>, &'static str);

#[derive(Clone, Copy, Debug)]
struct LastLine {
    at: UnixTime,
    /// How often it would have been said since.
    suppressed: u64,
}

impl CalloutLog {
    /// Tells how an introspection call ended.
    pub(super) fn log_call(&self, note: &CallNote) {
        let provider = &note.provider;
        match note.result {
            CallResult::Discovered => log::info!("provider {provider:?}: its introspection endpoint was found"),
            CallResult::Failed { fault, pause } => {
                let (name, hint) = (fault.name(), fault.hint());
                let Some(withheld) = self.suppressed_since(Some(Rc::clone(provider)), name) else { return };
                let line = format!(
                    "provider {provider:?}: introspection failed ({name}){}: {hint}{}{}",
                    status(fault),
                    if pause.is_zero() { String::new() } else { format!("; no call for {pause:.1?}") },
                    also(withheld),
                );
                // What only the operator can mend.
                if matches!(fault, CallFault::CredentialsRefused(_) | CallFault::NotSigned) {
                    log::error!("{line}");
                } else {
                    log::warn!("{line}");
                }
            }
            CallResult::Answered | CallResult::TakenOver | CallResult::Continues | CallResult::Late => {}
        }
    }

    /// Tells how a poll ended.
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
                if let Some(withheld) = self.suppressed_since(None, name) {
                    let also = also(withheld);
                    log::warn!(
                        "the list of revoked tokens could not be read ({name}): what was read last stays in force; next attempt in {retry_in:.1?}{also}"
                    );
                }
            }
            PollResult::Unchanged | PollResult::Late => {}
        }
    }

    /// Whether to say it again, and how often it was not said since the last time.
    fn suppressed_since(&self, of: Option<Rc<str>>, what: &'static str) -> Option<u64> {
        let now = clock::now();
        let mut said = self.last_lines.borrow_mut();
        let last = said.entry((of, what)).or_insert(LastLine { at: UnixTime::from_millis(0), suppressed: 0 });
        // A clock that was set back does not silence it.
        if now.since(last.at) < MIN_INTERVAL && last.at <= now {
            last.suppressed = last.suppressed.saturating_add(1);
            return None;
        }
        let withheld = last.suppressed;
        *last = LastLine { at: now, suppressed: 0 };
        Some(withheld)
    }
}

fn status(fault: CallFault) -> String {
    if let CallFault::Status(status) | CallFault::CredentialsRefused(status) = fault {
        format!(" with status {status}")
    } else {
        String::new()
    }
}

fn also(withheld: u64) -> String {
    if withheld == 0 { String::new() } else { format!(" ({withheld} more of these were not logged)") }
}
