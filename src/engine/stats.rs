//! The statistics of the engine.

use std::rc::Rc;

use crate::engine::Engine;
use crate::telemetry::stats::{ProviderStats, Stats};
use crate::unix_time::UnixTime;

impl Engine {
    pub fn stats(&self, now: UnixTime) -> Stats {
        let of_provider = |(id, keys): &(_, crate::keys::ProviderKeys)| {
            let name = Rc::clone(&self.policy.providers.get(*id)?.name);
            let introspection = self.status.of(*id).map(|introspection| introspection.stats(now));
            Some(ProviderStats { name, keys: keys.stats(now), introspection })
        };
        Stats {
            parked: self.parked.len(),
            token_cache: self.token_cache.stats(),
            providers: self.keys.iter().filter_map(of_provider).collect(),
            revocations: self.status.revocation_stats(now),
        }
    }
}
