//! What is counted: on Envoy alone, for the SDK panics on a host that refuses a metric.
//!
//! Names are made of the operator's and of reasons, never of what a request says: there is no end to those, and a metric
//! is never freed.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

/// The host's numbers of the metrics that were counted so far, by their names.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    are_counted: Cell<bool>,
    ids: RefCell<HashMap<String, u32>>,
}

impl Metrics {
    /// Counts only where the host is one that can.
    pub(super) fn count_where(&self, host_can: bool) {
        self.are_counted.set(host_can);
    }

    /// A request that passes, and that its rule would have refused for this reason were it not on trial.
    pub(super) fn count_on_trial(&self, rule: Option<&str>, reason: &'static str) {
        // A dot in a name would end the label that Envoy makes of it.
        let rule = rule.unwrap_or("default_rule").replace('.', "_");
        self.increment(format!("okta_proxy_wasm.would_deny.rule.{rule}.reason.{reason}"));
    }

    fn increment(&self, name: String) {
        if !self.are_counted.get() {
            return;
        }
        let known = self.ids.borrow().get(&name).copied();
        let counted = match known {
            Some(id) => hostcalls::increment_metric(id, 1),
            None => hostcalls::define_metric(MetricType::Counter, &name).and_then(|id| {
                self.ids.borrow_mut().insert(name, id);
                hostcalls::increment_metric(id, 1)
            }),
        };
        if let Err(status) = counted {
            log::error!("the host does not count ({status:?})");
        }
    }
}
