//! What everything that is fetched shares: single flight, limits of how often a server is called, the circuit breaker for one
//! that fails, and the leases and records by which the workers of a process share what they fetched. No provider and no
//! token in it.

pub(crate) mod bounded_lru;
pub(crate) mod call_limits;
pub mod circuit_breaker;
pub mod http_request;
pub mod lease;
mod ledger;
pub mod order;
pub mod rate_limiter;
pub mod record;
pub mod requester;
mod requester_counts;
pub(crate) mod retry_after;
pub mod single_flight;
pub mod token_bucket;
