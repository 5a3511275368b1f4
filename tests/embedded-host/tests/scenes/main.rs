//! The built module in the embedded host: its decisions as a host sees them, with Envoy's behaviour and with worse ones.
//! One binary, so that the module is read and checked once.

#![allow(missing_docs, reason = "a test")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod bare_hosts;
mod conditions;
mod configuration;
mod engine_harness;
mod faults;
mod filter_state;
#[path = "../../../core/forge.rs"]
mod forge;
mod host_itself;
mod introspection;
mod journey;
mod nginx;
mod profiles;
#[path = "../../../signing/proof.rs"]
mod proof_signer;
#[path = "../../../random/mod.rs"]
mod random;
mod reloads;
mod requests;
mod roots_and_streams;
mod shared_keys;
#[path = "../../../signing/mod.rs"]
mod signing;
mod tables;
#[path = "../../../core/verdicts.rs"]
mod verdicts;

use std::time::Duration;

use embedded_host::{CalloutResponse, Fields, HostBehavior, Outcome, RootId, StreamId, Vm};
use serde_json::{Value, json};
use signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload};

/// What the host's clock says at first.
const NOW: u64 = 1_800_000_000;
/// A module that keeps asking for ticks without doing anything is broken.
const MANY_TICKS: usize = 100;

/// Keys that are fetched, as the documentation writes it.
fn fetched_keys() -> Value {
    json!({ "providers": { "okta": {
        "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "upstream": "okta" } } })
}

/// Keys that stand in the configuration.
fn inline_keys() -> Value {
    json!({ "providers": { "okta": {
        "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) } } } })
}

fn configured(behavior: HostBehavior, configuration: &Value) -> (Vm, RootId) {
    let mut vm = Vm::start(behavior);
    let (root, accepted) = vm.configure(configuration.to_string().as_bytes());
    assert!(accepted, "{:?}", vm.log());
    (vm, root)
}

/// A VM that has fetched the keys.
fn with_keys(behavior: HostBehavior) -> (Vm, RootId) {
    let (mut vm, root) = configured(behavior, &fetched_keys());
    fetch_keys(&mut vm, root);
    (vm, root)
}

/// Ticks until a callout is made and answers it with the keys.
fn fetch_keys(vm: &mut Vm, root: RootId) {
    vm.tick(root);
    let callout = vm.take_callout().unwrap();
    vm.answer(&callout, published());
}

fn published() -> CalloutResponse {
    CalloutResponse::new(200, key_set(&[&SigningKey::a("k1")]).to_string().as_bytes())
}

fn good_token() -> String {
    SigningKey::a("k1").token(&payload(NOW))
}

fn fields(more: &[(&str, &[u8])]) -> Fields {
    let always: [(&str, &[u8]); 4] =
        [(":method", b"GET"), (":path", b"/accounts"), (":authority", b"api.example"), ("x-request-id", b"r-1")];
    always.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
}

fn with_token(token: &str) -> Fields {
    fields(&[("authorization", format!("Bearer {token}").as_bytes())])
}

/// The status that a refused client sees.
fn status(vm: &Vm, stream: StreamId) -> u32 {
    match vm.outcome(stream) {
        Outcome::Responded(reply) => reply.status,
        other => panic!("not answered: {other:?}; {:?}", vm.log()),
    }
}

/// What the backend sees of a header.
fn forwarded(vm: &Vm, stream: StreamId, name: &str) -> Vec<String> {
    match vm.outcome(stream) {
        Outcome::Forwarded(head) => head
            .iter()
            .filter(|(field, _)| field == name)
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect(),
        other => panic!("not forwarded: {other:?}; {:?}", vm.log()),
    }
}

/// Lets time pass and fires the timer as the module asked for it, until `done`.
fn tick_until(vm: &mut Vm, root: RootId, done: impl Fn(&Vm) -> bool) {
    for _ in 0..MANY_TICKS {
        if done(vm) {
            return;
        }
        let period = vm.tick_period(root).unwrap();
        vm.pass(period.max(Duration::from_millis(1)));
        vm.tick(root);
    }
    panic!("{MANY_TICKS} ticks were not enough; {:?}", vm.log());
}
