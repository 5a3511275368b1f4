//! Two VMs of one process that share their fetches, on a host with Envoy's behaviour.

use std::time::Duration;

use embedded_host::{Callout, CalloutResponse, HostBehavior, Outcome, RootId, SharedStore, Vm};

use super::signing::{SigningKey, key_set, payload};
use super::{NOW, fetched_keys, forwarded, good_token, published, status, tick_until, with_token};

/// A process with two workers, configured alike.
fn two_vms() -> [(Vm, RootId); 2] {
    let store = SharedStore::default();
    [(); 2].map(|()| {
        let mut vm = Vm::start_sharing(HostBehavior::envoy(), &store);
        let (root, accepted) = vm.configure(fetched_keys().to_string().as_bytes());
        assert!(accepted, "{:?}", vm.log());
        (vm, root)
    })
}

#[test]
fn two_vms_of_one_process_make_one_callout_and_both_resume_pending_requests() {
    let [(mut one, root_one), (mut two, root_two)] = two_vms();
    let waits_at_one = one.request(root_one, with_token(&good_token()));
    let waits_at_two = two.request(root_two, with_token(&good_token()));
    one.tick(root_one);
    two.tick(root_two);
    let callout = one.take_callout().unwrap();
    assert_eq!((one.take_callout(), two.take_callout()), (None, None), "one callout for both");
    assert_eq!(two.outcome(waits_at_two), Outcome::Waiting);

    two.deliver_queues();
    one.answer(&callout, published());
    tick_until(&mut one, root_one, |vm| vm.outcome(waits_at_one) != Outcome::Waiting);
    assert!(two.deliver_queues() > 0, "the other VM is woken, not left to poll");
    tick_until(&mut two, root_two, |vm| vm.outcome(waits_at_two) != Outcome::Waiting);
    assert_eq!(forwarded(&one, waits_at_one, "x-user-id"), ["alice@acme.com"]);
    assert_eq!(forwarded(&two, waits_at_two, "x-user-id"), ["alice@acme.com"]);

    // Time for polls and second thoughts: nobody asks again.
    for _ in 0..20 {
        one.pass(Duration::from_millis(500));
        two.pass(Duration::from_millis(500));
        one.tick(root_one);
        two.tick(root_two);
        one.deliver_queues();
        two.deliver_queues();
    }
    assert_eq!((one.take_callout(), two.take_callout()), (None, None), "a second callout");
}

/// Any plugin of the same `vm_id` writes there.
#[test]
fn corrupt_shared_records_neither_trap_nor_allow_a_request() {
    let junk: [&[u8]; 6] = [b"", b"\0", b"\xff\xff\xff", &[0xff; 64], b"{\"keys\":[]}", &[0; 4096]];
    for junk in junk {
        let store = SharedStore::default();
        let mut vm = Vm::start_sharing(HostBehavior::envoy(), &store);
        let (root, accepted) = vm.configure(fetched_keys().to_string().as_bytes());
        assert!(accepted, "{:?}", vm.log());
        vm.tick(root);
        let callout = vm.take_callout().unwrap();
        vm.answer(&callout, published());
        let records = store.keys();
        assert!(records.iter().any(|record| record.ends_with("roots/slots")), "{records:?}");
        assert!(records.iter().any(|record| record.ends_with("good")), "{records:?}");
        // Once for what is held, once for what comes.
        for turn in 1..=2 {
            records.iter().for_each(|record| store.overwrite(record.as_bytes(), junk));
            vm.pass(Duration::from_secs(7200));
            vm.deliver_queues();
            vm.tick(root);
            let claims = payload(NOW + turn * 7200);
            let forged = vm.request(root, with_token(&SigningKey::b("k1").token(&claims)));
            let good = vm.request(root, with_token(&SigningKey::a("k1").token(&claims)));
            vm.deliver_queues();
            while let Some(callout) = vm.take_callout() {
                vm.answer(&callout, published());
            }
            tick_until(&mut vm, root, |vm| vm.outcome(forged) != Outcome::Waiting);
            assert_eq!(status(&vm, forged), 401, "{junk:?}");
            assert_eq!(forwarded(&vm, good, "x-user-id"), ["alice@acme.com"], "{junk:?}");
        }
        vm.remove_root(root);
    }
}

#[test]
fn failed_fetch_rejects_pending_requests_of_both_vms() {
    let [(mut one, root_one), (mut two, root_two)] = two_vms();
    let waits_at_two = two.request(root_two, with_token(&good_token()));
    one.tick(root_one);
    two.tick(root_two);
    let callout = one.take_callout().unwrap();
    assert_eq!(two.take_callout(), None);
    one.answer(&callout, CalloutResponse::new(500, b""));
    two.deliver_queues();
    tick_until(&mut two, root_two, |vm| vm.outcome(waits_at_two) != Outcome::Waiting);
    assert_eq!(status(&two, waits_at_two), 503);
}

fn vm_in(store: &SharedStore) -> (Vm, RootId) {
    let mut vm = Vm::start_sharing(HostBehavior::envoy(), store);
    let (root, accepted) = vm.configure(fetched_keys().to_string().as_bytes());
    assert!(accepted, "{:?}", vm.log());
    (vm, root)
}

/// The first VM's lease has run out, the second one has another. Returns them with their callouts.
fn two_leases(store: &SharedStore) -> [(Vm, Callout); 2] {
    let [(mut one, root_one), (mut two, root_two)] = [vm_in(store), vm_in(store)];
    one.tick(root_one);
    let first = one.take_callout().unwrap();
    two.pass(Duration::from_millis(6500));
    two.tick(root_two);
    let second = two.take_callout().expect("the lease has run out");
    [(one, first), (two, second)]
}

#[test]
fn a_late_response_does_not_release_the_lease_of_another_vm() {
    let store = SharedStore::default();
    let [(mut one, first), (mut two, second)] = two_leases(&store);
    let (mut three, root) = vm_in(&store);
    three.pass(Duration::from_millis(6500));
    three.tick(root);
    one.answer(&first, CalloutResponse::new(500, b""));
    for _ in 0..20 {
        three.pass(Duration::from_millis(200));
        three.tick(root);
        assert_eq!(three.take_callout(), None, "the second VM is fetching");
    }
    two.answer(&second, published());
    three.deliver_queues();
    let stream = three.request(root, with_token(&good_token()));
    assert_eq!(forwarded(&three, stream, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn a_late_response_does_not_replace_newer_keys() {
    let store = SharedStore::default();
    let [(mut one, first), (mut two, second)] = two_leases(&store);
    two.answer(&second, published());
    let old = key_set(&[&SigningKey::b("old")]).to_string();
    one.answer(&first, CalloutResponse::new(200, old.as_bytes()));
    let (mut three, root) = vm_in(&store);
    three.pass(Duration::from_millis(6500));
    three.tick(root);
    assert_eq!(three.take_callout(), None);
    let stream = three.request(root, with_token(&good_token()));
    assert_eq!(forwarded(&three, stream, "x-user-id"), ["alice@acme.com"]);
}

/// Envoy does this when the filter alone is replaced (ECDS): its main thread, which serves nobody, lets go at once, and the
/// workers when the last request is over that waits there.
#[test]
fn other_vm_fetches_at_once_when_the_fetching_configuration_is_removed() {
    let [(mut one, root_one), (mut two, root_two)] = two_vms();
    let waits = two.request(root_two, with_token(&good_token()));
    one.tick(root_one);
    two.tick(root_two);
    assert!(one.take_callout().is_some() && two.take_callout().is_none());
    one.remove_root(root_one);
    two.pass(Duration::from_millis(50));
    two.tick(root_two);
    let callout = two.take_callout().expect("it is its turn");
    two.answer(&callout, published());
    tick_until(&mut two, root_two, |vm| vm.outcome(waits) != Outcome::Waiting);
    assert_eq!(forwarded(&two, waits, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn removed_configuration_is_not_woken() {
    let [(mut one, root_one), (mut two, root_two)] = two_vms();
    one.tick(root_one);
    one.remove_root(root_one);
    two.tick(root_two);
    let callout = two.take_callout().unwrap();
    two.answer(&callout, published());
    assert_eq!(two.calls().get("proxy_enqueue_shared_queue"), None, "nobody else is there");
    assert_eq!(one.deliver_queues(), 0);
}

/// The crashed VM could not free its slot, and its queue leads to the root of the same number.
#[test]
fn queue_of_a_crashed_vm_is_released_when_it_wakes_another_root() {
    let [(mut one, root_one), (mut two, root_two)] = two_vms();
    one.tick(root_one);
    let mut one = one.restart();
    let (root_one, accepted) = one.configure(fetched_keys().to_string().as_bytes());
    assert!(accepted, "{:?}", one.log());
    one.tick(root_one);
    let woken = |vm: &Vm| vm.calls().get("proxy_enqueue_shared_queue").copied().unwrap_or(0);
    let mut fetch = |one: &mut Vm| {
        // Past the lease of the crashed VM, and past the wait after a failure.
        two.pass(Duration::from_secs(8));
        two.tick(root_two);
        let before = woken(&two);
        let callout = two.take_callout().expect("keys are fetched");
        two.answer(&callout, CalloutResponse::new(500, b""));
        one.pass(Duration::from_secs(8));
        one.deliver_queues();
        woken(&two) - before
    };
    assert_eq!(fetch(&mut one), 2, "the queue that is left behind, and the new one");
    assert_eq!(fetch(&mut one), 1);
}

#[test]
fn each_root_of_a_vm_is_woken_by_a_fetch_of_another_vm() {
    let [(mut one, root_one), (mut two, first)] = two_vms();
    let (second, accepted) = two.configure(fetched_keys().to_string().as_bytes());
    assert!(accepted, "{:?}", two.log());
    let waiting = [first, second].map(|root| two.request(root, with_token(&good_token())));
    one.tick(root_one);
    let callout = one.take_callout().unwrap();
    [first, second].into_iter().for_each(|root| two.tick(root));
    two.deliver_queues();
    assert_eq!(two.take_callout(), None, "the other VM is asking");
    one.answer(&callout, published());
    two.deliver_queues();
    assert_eq!(waiting.map(|stream| two.outcome(stream) != Outcome::Waiting), [true, true], "without a tick");
}

#[test]
fn other_vm_fetches_when_the_fetching_vm_dies() {
    let [(mut one, root_one), (mut two, root_two)] = two_vms();
    one.tick(root_one);
    assert!(one.take_callout().is_some());
    drop(one);
    two.tick(root_two);
    for _ in 0..60 {
        two.pass(Duration::from_secs(1));
        two.tick(root_two);
        if let Some(callout) = two.take_callout() {
            two.answer(&callout, published());
            let stream = two.request(root_two, with_token(&good_token()));
            assert_eq!(forwarded(&two, stream, "x-user-id"), ["alice@acme.com"]);
            return;
        }
    }
    panic!("nobody fetches after the lease has run out: {:?}", two.log());
}

#[test]
fn fetch_that_ends_with_a_clock_step_releases_its_lease_to_other_vms() {
    let store = SharedStore::default();
    let [(mut one, root_one), (mut two, root_two), (mut three, root_three)] = [(); 3].map(|()| vm_in(&store));
    one.tick(root_one);
    assert!(one.take_callout().is_some());
    two.tick(root_two);
    assert_eq!(two.take_callout(), None, "it waits for the first VM");
    // The lease of the first VM has run out: the second one takes it, and gives its fetch up, for the same reason.
    two.pass(Duration::from_secs(120));
    two.tick(root_two);
    three.pass(Duration::from_secs(121));
    three.tick(root_three);
    let callout = three.take_callout().expect("nobody makes the fetch that the lease is on");
    three.answer(&callout, published());
    let stream = three.request(root_three, with_token(&good_token()));
    assert_eq!(forwarded(&three, stream, "x-user-id"), ["alice@acme.com"]);
}
