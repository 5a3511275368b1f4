//! Attacks on the filter with real backends behind it (`make attack`, `tests/e2e_attack.rs`).
//!
//! A generator writes requests in spellings that two servers may read differently ([`spelling`]). They go through a real
//! Envoy with the filter ([`gateway`]) to real web servers and frameworks ([`backend`]), which report what they executed
//! ([`execution`]). The [`oracle`] compares each report with the rule for what was executed, by an evaluator of its own
//! ([`policy`]): it shares no code with the filter.

pub mod backend;
pub mod campaign;
pub mod client;
pub mod credential;
pub mod execution;
pub mod gateway;
pub mod http2;
pub mod oracle;
pub mod other_path;
pub mod policy;
pub mod random;
pub mod spelling;
