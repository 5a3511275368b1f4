//! The tables of the core, which this binary runs on every host: its harness is [`crate::engine_harness`].

#[path = "../../../core/attack_cases.rs"]
mod attack_cases;
#[path = "../../../core/decisions.rs"]
mod decisions;
#[path = "../../../core/dpop.rs"]
mod dpop;
#[path = "../../../core/forwarding.rs"]
mod forwarding;
#[path = "../../../core/introspection.rs"]
mod introspection;
#[path = "../../../core/pending_requests.rs"]
mod pending_requests;
#[path = "../../../core/responses.rs"]
mod responses;
#[path = "../../../core/rules.rs"]
mod rules;
