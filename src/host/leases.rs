//! The leases that this worker holds in the host's shared data.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::engine::{CalloutId, TokenBucket, TokenDigest};
use crate::host::shared_data::HeldLease;

#[derive(Debug, Default)]
pub(super) struct Leases(RefCell<HashMap<CalloutId, LeaseOf>>);

/// A lease, by what is looked up.
#[derive(Debug)]
pub(super) enum LeaseOf {
    Keys(HeldLease<TokenBucket>),
    Introspection(HeldLease<TokenDigest>),
}

impl LeaseOf {
    fn give_back(self) {
        match self {
            Self::Keys(lease) => lease.give_back(),
            Self::Introspection(lease) => lease.give_back(),
        }
    }
}

impl Leases {
    pub(super) fn hold(&self, callout: CalloutId, lease: LeaseOf) {
        self.0.borrow_mut().insert(callout, lease);
    }

    pub(super) fn release(&self, callout: CalloutId) {
        let held = self.0.borrow_mut().remove(&callout);
        held.into_iter().for_each(LeaseOf::give_back);
    }

    /// Gives all leases back: other workers look whether they may make the lookups.
    pub(super) fn release_all(&self) {
        self.0.take().into_values().for_each(LeaseOf::give_back);
    }
}
