//! What the engine knows of itself in numbers, for the operator's metrics.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::Engine;
use crate::unix_time::UnixTime;

pub use crate::engine::token_cache::TokenCacheStats;
pub use crate::introspection::figures::{Figures as IntrospectionFigures, LookUps};
pub use crate::keys::KeyFigures;

/// One engine's numbers.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Requests that wait.
    pub parked: usize,
    /// Tokens that were verified before.
    pub token_cache: TokenCacheStats,
    /// Each provider's.
    pub providers: Vec<ProviderFigures>,
    /// The list of revoked tokens, where there is to be one.
    pub revocations: Option<RevocationFigures>,
}

/// One provider's numbers.
#[derive(Clone, Debug)]
pub struct ProviderFigures {
    /// The operator's name for it.
    pub name: Rc<str>,
    /// Its keys.
    pub keys: KeyFigures,
    /// What it says of tokens, where it is asked.
    pub introspection: Option<IntrospectionFigures>,
}

/// The list of revoked tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationFigures {
    /// How long ago its server confirmed it; `None`: there is none.
    pub age: Option<Duration>,
    /// Its entries.
    pub entries: usize,
}

impl Engine {
    /// The numbers as they are `now`.
    pub fn figures(&self, now: UnixTime) -> Figures {
        let of_provider = |(id, keys): &(_, crate::keys::ProviderKeys)| {
            let name = Rc::clone(&self.policy.providers.get(*id)?.name);
            let introspection = self.status.of(*id).map(|introspection| introspection.figures(now));
            Some(ProviderFigures { name, keys: keys.figures(now), introspection })
        };
        Figures {
            parked: self.parked.len(),
            token_cache: self.token_cache.stats(),
            providers: self.keys.iter().filter_map(of_provider).collect(),
            revocations: self.status.revocation_figures(now),
        }
    }
}
