//! Configurations that are loaded and replaced in the VMs of one process, on a host with Envoy's behaviour.

use std::time::Duration;

use embedded_host::{CalloutResponse, HostBehavior, Outcome, RootId, SharedStore, Vm};
use serde_json::json;

use super::{fetched_keys, forwarded, good_token, inline_keys, status, tick_until, with_token};

const RELOADS: usize = 100;
/// The record of the queues by which roots wake each other.
const SLOTS: &str = "okta-proxy-wasm/roots/slots";

fn configure(vm: &mut Vm) -> RootId {
    let (root, accepted) = vm.configure(fetched_keys().to_string().as_bytes());
    assert!(accepted, "{:?}", vm.log());
    root
}

fn size_of_slots(store: &SharedStore) -> usize {
    store.get(SLOTS.as_bytes()).map_or(0, |(record, _)| record.len())
}

/// A host keeps what a definition takes until the VM ends.
#[test]
fn a_vm_defines_each_metric_once_for_all_its_configurations() {
    let mut vm = Vm::start(HostBehavior::envoy());
    let mut defined = Vec::new();
    for _ in 0..RELOADS {
        let (root, accepted) = vm.configure(inline_keys().to_string().as_bytes());
        assert!(accepted, "{:?}", vm.log());
        vm.tick(root);
        vm.request(root, with_token(&good_token()));
        vm.pass(Duration::from_secs(6));
        vm.tick(root);
        vm.remove_root(root);
        defined.push(vm.calls()["proxy_define_metric"]);
    }
    assert_eq!(defined.last(), defined.first(), "definitions after each configuration: {defined:?}");
}

/// Envoy configures a VM in its main thread to try a configuration, and removes it without a callback.
#[test]
fn vm_that_only_validates_a_configuration_uses_no_slot() {
    let store = SharedStore::default();
    let mut worker = Vm::start_sharing(HostBehavior::envoy(), &store);
    let root = configure(&mut worker);
    worker.tick(root);
    let before = size_of_slots(&store);
    assert!(before > 0, "{:?}", store.keys());
    for _ in 0..RELOADS {
        configure(&mut Vm::start_sharing(HostBehavior::envoy(), &store));
    }
    assert_eq!(size_of_slots(&store), before);
}

#[test]
fn vms_that_end_without_a_callback_leave_no_slots_behind() {
    let store = SharedStore::default();
    let mut worker = Vm::start_sharing(HostBehavior::envoy(), &store);
    let root = configure(&mut worker);
    let mut sizes = Vec::new();
    for reload in 0..RELOADS {
        let mut gone = Vm::start_sharing(HostBehavior::envoy(), &store);
        gone.pass(Duration::from_secs(20 * u64::try_from(reload).unwrap()));
        let root_of_gone = configure(&mut gone);
        gone.tick(root_of_gone);
        worker.pass(Duration::from_secs(20));
        worker.tick(root);
        sizes.push(size_of_slots(&store));
    }
    assert!(sizes[0] > 0 && sizes[RELOADS - 1] <= sizes[3], "bytes of the record after each VM: {sizes:?}");
}

#[test]
fn a_configuration_that_is_replaced_frees_its_slot() {
    let store = SharedStore::default();
    let mut worker = Vm::start_sharing(HostBehavior::envoy(), &store);
    let mut sizes = Vec::new();
    for _ in 0..RELOADS {
        let root = configure(&mut worker);
        worker.tick(root);
        sizes.push(size_of_slots(&store));
        worker.remove_root(root);
    }
    assert!(sizes[0] > 0, "{:?}", store.keys());
    assert_eq!(sizes.last(), sizes.first(), "bytes of the record after each configuration: {sizes:?}");
}

/// A configuration with a list of revoked tokens.
fn configure_with_list(vm: &mut Vm) -> RootId {
    let mut configuration = inline_keys();
    configuration["revocations"] = json!({ "uri": "https://sec.acme.com/revoked", "upstream": "sec" });
    let (root, accepted) = vm.configure(configuration.to_string().as_bytes());
    assert!(accepted, "{:?}", vm.log());
    root
}

fn read_list(vm: &mut Vm, root: RootId, list: &serde_json::Value) {
    vm.tick(root);
    let poll = vm.take_callout().expect("a poll");
    vm.answer(&poll, CalloutResponse::new(200, list.to_string().as_bytes()));
}

/// The server of the list is down from the first configuration's poll on: no callout of a later one is answered.
#[test]
fn new_configuration_uses_the_revocation_list_of_the_old_one() {
    let revoked = json!({ "revoked": [{ "sub": "alice@acme.com" }] });
    for (list, expected) in [(json!({ "revoked": [] }), None), (revoked, Some(401))] {
        let store = SharedStore::default();
        let mut vm = Vm::start_sharing(HostBehavior::envoy(), &store);
        let old = configure_with_list(&mut vm);
        read_list(&mut vm, old, &list);
        let new = configure_with_list(&mut vm);
        let stream = vm.request(new, with_token(&good_token()));
        vm.tick(new);
        assert_eq!(vm.take_callout(), None, "the list was confirmed a moment ago");
        match expected {
            None => assert_eq!(forwarded(&vm, stream, "x-user-id"), ["alice@acme.com"]),
            Some(expected) => assert_eq!(status(&vm, stream), expected),
        }
    }
}

#[test]
fn restarted_vm_uses_the_revocation_list_of_the_others() {
    let store = SharedStore::default();
    let [mut one, mut two] = [(); 2].map(|()| Vm::start_sharing(HostBehavior::envoy(), &store));
    let root_one = configure_with_list(&mut one);
    read_list(&mut one, root_one, &json!({ "revoked": [] }));
    let root_two = configure_with_list(&mut two);
    two.tick(root_two);
    let mut two = two.restart();
    let root_two = configure_with_list(&mut two);
    let stream = two.request(root_two, with_token(&good_token()));
    two.tick(root_two);
    assert_eq!(forwarded(&two, stream, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn worker_pending_on_its_first_revocation_list_is_woken_by_another_worker() {
    let store = SharedStore::default();
    let [mut one, mut two] = [(); 2].map(|()| Vm::start_sharing(HostBehavior::envoy(), &store));
    let [root_one, root_two] = [configure_with_list(&mut one), configure_with_list(&mut two)];
    let stream = two.request(root_two, with_token(&good_token()));
    two.tick(root_two);
    assert!(two.take_callout().is_some() && two.outcome(stream) == Outcome::Waiting);
    read_list(&mut one, root_one, &json!({ "revoked": [] }));
    assert!(two.deliver_queues() > 0, "it is woken");
    tick_until(&mut two, root_two, |vm| vm.outcome(stream) != Outcome::Waiting);
    assert_eq!(forwarded(&two, stream, "x-user-id"), ["alice@acme.com"]);
}

/// Nobody says since when the list is no longer the list.
#[test]
fn revocation_list_held_by_no_recent_worker_is_not_used() {
    let store = SharedStore::default();
    let mut vm = Vm::start_sharing(HostBehavior::envoy(), &store);
    let old = configure_with_list(&mut vm);
    read_list(&mut vm, old, &json!({ "revoked": [] }));
    vm.remove_root(old);
    vm.pass(Duration::from_secs(600));
    let new = configure_with_list(&mut vm);
    let stream = vm.request(new, with_token(&good_token()));
    vm.tick(new);
    assert_eq!(vm.outcome(stream), Outcome::Waiting);
    let poll = vm.take_callout().expect("a poll");
    vm.answer(&poll, CalloutResponse::new(500, b""));
    tick_until(&mut vm, new, |vm| vm.outcome(stream) != Outcome::Waiting);
    assert_eq!(status(&vm, stream), 503);
}
