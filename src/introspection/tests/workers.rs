//! Several VMs of one process.

use super::*;
use std::cell::RefCell;
use std::slice;

#[test]
fn exhausted_shared_limit_is_waited_for_or_reported() {
    let mut scene = scene_with(|settings| settings.stale_if_error = Duration::from_secs(60));
    scene.make_active("user");
    scene.now = at(30_000);
    for token in ["user", "t", "u"] {
        assert_eq!(scene.look_up(token), "wait");
    }
    let calls = scene.calls();
    assert_eq!(calls.len(), 3);
    let spent = Deferral::LimitReached(LimitReached::Exhausted(Duration::from_secs(9)));
    let recalled = scene.introspection.defer(calls[1].number, spent, scene.now);
    assert_eq!(recalled.len(), 1);
    assert_eq!((scene.look_up("t").as_str(), scene.cause), ("unavailable 9000", Some(Cause::RateLimited)));
    assert!(scene.introspection.is_calling(calls[2].number), "one that was begun goes on");
    scene.introspection.defer(calls[0].number, spent, scene.now);
    assert_eq!(scene.look_up("user"), "Stale user");
    scene.now = at(39_000);
    assert_eq!((scene.look_up("t"), scene.look_up("user")), ("wait".to_owned(), "wait".to_owned()));
    assert_eq!(scene.calls().len(), 2);
}

#[test]
fn shared_response_spares_a_call() {
    let (mut one, mut two) = (scene(), scene());
    for (changes, expected) in [(json!({}), "Fresh alice@acme.com"), (json!({"active": false}), "inactive")] {
        let token = expected;
        one.now = two.now;
        assert_eq!((one.look_up(token), two.look_up(token)), ("wait".to_owned(), "wait".to_owned()));
        let end = one.respond(&changes);
        let record = end.share.unwrap().to_bytes();
        let shared = SharedResponse::from_bytes(&record).unwrap();
        let places = two.introspection.record_names(&shared.token);
        assert_eq!(places.of_slot(shared.slot), one.introspection.record_names(&shared.token).of_slot(shared.slot));
        assert!(!String::from_utf8_lossy(&record).contains(token));
        let number = two.only_call();
        two.now = two.now.plus(Duration::from_millis(100));
        let end = two.introspection.adopt(number, slice::from_ref(&shared), &two.provider, two.now);
        assert_eq!((end.result, end.resume.len()), (CallResult::TakenOver, 1));
        assert_eq!(two.look_up(token), expected);
        assert!(!two.introspection.is_calling(number));
    }
    // It counts from when it was asked, not from when it was taken.
    two.now = at(29_999);
    assert_eq!(two.look_up("Fresh alice@acme.com"), "Fresh alice@acme.com");
    two.now = at(30_000);
    assert_eq!(two.look_up("Fresh alice@acme.com"), "wait");
}

/// What stands in the shared data, whatever the place.
#[derive(Debug, Default)]
pub(super) struct Store(pub(super) RefCell<Vec<SharedResponse>>);

impl SharedResponses for Store {
    fn read(&self, _: &RecordNames) -> Vec<SharedResponse> {
        self.0.borrow().iter().rev().cloned().collect()
    }
}

/// Two workers of one process, whose calls are all spent.
fn two_workers(stale_if_error: Duration) -> (Rc<Store>, Scene, Scene) {
    let store = Rc::new(Store::default());
    let worker = || {
        let settings = Introspection { stale_if_error, ..settings() };
        let mut scene = scene_of(settings.clone());
        let others: Rc<dyn SharedResponses> = Rc::<Store>::clone(&store);
        scene.introspection = ProviderIntrospection::new(settings, CacheLimits::default(), others);
        scene
    };
    let (one, two) = (worker(), worker());
    (store, one, two)
}

fn spend_all(scene: &mut Scene) {
    scene.look_up("spender");
    let number = scene.only_call();
    scene.introspection.defer(
        number,
        Deferral::LimitReached(LimitReached::Exhausted(Duration::from_secs(30))),
        scene.now,
    );
    assert!(scene.look_up("spender").starts_with("unavailable"));
}

#[test]
fn shared_response_serves_where_no_call_may_be_made() {
    let (store, mut one, mut two) = two_workers(Duration::from_secs(60));
    for (token, changes) in [("alice", json!({"sub": "alice"})), ("gone", json!({"active": false}))] {
        one.look_up(token);
        let share = one.respond(&changes).share.unwrap();
        store.0.borrow_mut().push(share);
    }
    (two.now, one.now) = (at(1000), at(1000));
    spend_all(&mut two);
    assert_eq!((two.look_up("alice"), two.look_up("gone")), ("Fresh alice".to_owned(), "inactive".to_owned()));
    assert!(two.look_up("bob").starts_with("unavailable"));
    // As old as it is to the one that asked.
    let (_, _, mut three) = two_workers(Duration::ZERO);
    let (_, mut four, _) = two_workers(Duration::from_secs(60));
    for (worker, expected) in [(&mut three, "unavailable 30000"), (&mut four, "Stale alice")] {
        let settings = worker.introspection.settings.clone();
        let others: Rc<dyn SharedResponses> = Rc::<Store>::clone(&store);
        worker.introspection = ProviderIntrospection::new(settings, CacheLimits::default(), others);
        worker.now = at(30_000);
        spend_all(worker);
        worker.introspection.limits.exhaust(
            BudgetClass::Established.into(),
            LimitReached::Exhausted(Duration::from_secs(30)),
            worker.now,
        );
        assert_eq!(worker.look_up("alice"), expected);
    }
}

#[test]
fn active_response_ended_by_an_invalid_one_is_not_adopted_again() {
    let (store, mut one, mut two) = two_workers(Duration::from_secs(60));
    one.look_up("t");
    let share = one.respond(&json!({})).share.unwrap();
    store.0.borrow_mut().push(share);
    one.now = at(30_000);
    assert_eq!(one.look_up("t"), "wait");
    let end = one.fails(response(200, br#"{"active":"false"}"#.to_vec()));
    // It takes the place of the other.
    let share = end.share.unwrap();
    assert_eq!(share.slot, SharedSlot::Active);
    *store.0.borrow_mut() = vec![share];
    (one.now, two.now) = (at(32_000), at(32_000));
    spend_all(&mut two);
    two.introspection.limits.exhaust(
        BudgetClass::Established.into(),
        LimitReached::Exhausted(Duration::from_secs(30)),
        two.now,
    );
    assert!(two.look_up("t").starts_with("unavailable"));
    one.introspection.limits.exhaust(
        BudgetClass::Established.into(),
        LimitReached::Exhausted(Duration::from_secs(30)),
        one.now,
    );
    assert!(one.look_up("t").starts_with("unavailable"));
}

#[test]
fn a_record_that_is_old_or_another_tokens_or_from_the_future_is_none() {
    let mut one = scene();
    one.look_up("t");
    let shared = one.respond(&json!({})).share.unwrap();
    let adopted = |change: &dyn Fn(&mut SharedResponse), now: UnixTime| {
        let mut two = scene();
        two.now = now;
        two.look_up("t");
        let number = two.only_call();
        let mut shared = shared.clone();
        change(&mut shared);
        let end = two.introspection.adopt(number, slice::from_ref(&shared), &two.provider, two.now);
        assert!(two.introspection.is_calling(number) || end.result == CallResult::TakenOver);
        end.result == CallResult::TakenOver
    };
    assert!(adopted(&|_| {}, at(0)));
    assert!(adopted(&|_| {}, at(29_999)));
    assert!(!adopted(&|_| {}, at(30_000)));
    assert!(!adopted(&|shared| shared.token = TokenDigest::of(TokenKind::Opaque, b"u"), at(0)));
    assert!(!adopted(&|shared| shared.token = TokenDigest::of(TokenKind::Jwt, b"t"), at(0)));
    assert!(!adopted(&|shared| shared.ended = at(1), at(0)));
    assert!(!adopted(&|shared| shared.began = at(1), at(0)));
    assert!(!adopted(&|shared| shared.body = b"{\"active\":\"true\"}".to_vec(), at(0)));
    assert!(!adopted(&|shared| shared.body.truncate(20), at(0)));
}

#[test]
fn call_waits_uncounted_while_another_worker_has_the_lease() {
    let mut scene = scene_with(|settings| settings.requests_per_minute = NonZeroU32::MIN);
    scene.look_up("t");
    let number = scene.only_call();
    let token = TokenDigest::of(TokenKind::Opaque, b"t");
    let lease_after = |lease| Lease::for_call(token, Duration::from_secs(2), lease, Sequence::default(), NOW);
    let Lease::Acquired(lease) = lease_after(None) else { panic!("nobody asks yet") };
    assert_eq!(lease_after(CallLease::from_bytes(&lease.to_bytes())), Lease::HeldByOther(lease.sequence));
    for _ in 0..5 {
        scene.introspection.defer(number, Deferral::HeldByOther, scene.now);
    }
    assert_eq!(scene.look_up("t"), "wait");
    assert_eq!(scene.calls(), []);
    assert_eq!(scene.introspection.next_due(scene.now), Some(at(25)));
    scene.now = at(25);
    let again = scene.only_call();
    assert_ne!(again, number);
    scene.finish(again, response(200, answer(&json!({}))));
    assert_eq!(scene.look_up("t"), "Fresh alice@acme.com");
    assert!(scene.look_up("u").starts_with("unavailable"), "one a minute, and that was made");
}
