//! What everything that is fetched shares: leases and records by which the workers of a process share it, limits of how
//! often its server is called, and the circuit breaker for a server that fails. No provider and no token in it.

pub mod circuit_breaker;
pub mod lease;
pub mod record;
pub mod token_bucket;
