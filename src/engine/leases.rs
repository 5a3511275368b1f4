//! The leases of lookups: which this worker holds, and which it waits for because another worker holds them.

use std::time::Duration;

use crate::engine::effects::CalloutId;
use crate::sequence::Sequence;

/// How often to look whether another worker's fetch has ended, should its wake-up not come.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The leases of one worker.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: Vec<(CalloutId, Sequence)>,
    awaited: Vec<CalloutId>,
}

impl Leases {
    /// This worker has acquired the lease.
    pub(super) fn hold(&mut self, callout: CalloutId, sequence: Sequence) {
        self.held.push((callout, sequence));
    }

    /// The number in the lease of a callout.
    pub(super) fn sequence(&self, callout: CalloutId) -> Option<Sequence> {
        self.held.iter().find(|(held, _)| *held == callout).map(|(_, sequence)| *sequence)
    }

    /// Takes out the leases that are not needed any more.
    pub(super) fn take_unneeded(&mut self, is_needed: impl Fn(CalloutId) -> bool) -> Vec<CalloutId> {
        self.held.extract_if(.., |(callout, _)| !is_needed(*callout)).map(|(callout, _)| callout).collect()
    }

    /// Another worker holds the lease.
    pub(super) fn await_other(&mut self, callout: CalloutId) {
        self.awaited.push(callout);
    }

    /// Takes out those that another worker held.
    pub(super) fn take_awaited(&mut self) -> Vec<CalloutId> {
        std::mem::take(&mut self.awaited)
    }

    /// Whether another worker holds a lease that this one waits for.
    pub(super) fn is_awaiting(&self) -> bool {
        !self.awaited.is_empty()
    }
}
