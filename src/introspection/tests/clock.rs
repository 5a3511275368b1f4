//! Clocks that are set back and forward, and answers that come in another order than they were asked for.

use super::workers::Store;
use super::*;
use std::slice;

const HOUR: u64 = 3_600_000;

/// An hour before what [`at`] gives.
fn hour_before(millis: u64) -> UnixTime {
    UnixTime::from_millis(NOW.as_millis() - HOUR + millis)
}

/// An active answer that is good at any time.
fn always_active(subject: &str) -> Vec<u8> {
    answer(&json!({"sub": subject, "iat": null, "nbf": null, "exp": null}))
}

fn scene_among(store: &Rc<Store>, stale_if_error: Duration) -> Scene {
    let settings = Introspection { stale_if_error, ..settings() };
    let mut scene = scene_of(settings.clone());
    let others: Rc<dyn SharedResponses> = Rc::<Store>::clone(store);
    scene.introspection = ProviderIntrospection::new(settings, CacheLimits::default(), others);
    scene
}

/// The answer of another VM about the token `t`.
fn shared(number: u64, is_active: bool, began: UnixTime, ended: UnixTime) -> SharedResponse {
    let body = if is_active { always_active("elsewhere") } else { br#"{"active":false}"#.to_vec() };
    let slot = if is_active { SharedSlot::Active } else { SharedSlot::Negative };
    let token = TokenDigest::of(TokenKind::Opaque, b"t");
    SharedResponse { token, sequence: Sequence::new(number), began, ended, body, slot }
}

/// The call about `t`, which this VM is to make, ends with this number.
fn respond_as(scene: &mut Scene, number: u64, is_active: bool) -> CallEnd {
    assert_eq!(scene.look_up("t"), "wait");
    let call = scene.only_call();
    let body = if is_active { always_active("here") } else { br#"{"active":false}"#.to_vec() };
    scene.finish_as(call, Sequence::new(number), response(200, body))
}

#[test]
fn responses_keep_their_ttl_when_the_clock_is_set_back() {
    let mut scene = scene();
    respond_as(&mut scene, 1, true);
    assert_eq!(scene.look_up("bad"), "wait");
    scene.fails(response(200, br#"{"active":false}"#.to_vec()));
    for (millis, active, inactive) in
        [(0, "Fresh here", "inactive"), (4999, "Fresh here", "inactive"), (5000, "Fresh here", "wait")]
    {
        scene.now = hour_before(millis);
        assert_eq!((scene.look_up("t").as_str(), scene.look_up("bad").as_str()), (active, inactive), "{millis}");
    }
    scene.now = hour_before(29_999);
    assert_eq!(scene.look_up("t"), "Fresh here");
    scene.now = hour_before(30_000);
    assert_eq!(scene.look_up("t"), "wait");
}

#[test]
fn pending_request_gets_the_response_of_a_later_call_whatever_the_clock() {
    for step in [hour_before(100), at(100), at(HOUR)] {
        let mut scene = scene_with(|settings| settings.cache_ttl = Duration::ZERO);
        let waiting = scene.introspection.arrived();
        assert_eq!(scene.look_up("t"), "wait");
        let call = scene.only_call();
        let too_late = scene.introspection.arrived();
        scene.now = step;
        let end = scene.finish(call, response(200, always_active("alice@acme.com")));
        let share = end.share.unwrap();
        assert!(share.began <= share.ended && share.ended == scene.now, "the others can use it at once");
        scene.now = scene.now.plus(Duration::from_millis(HOUR));
        assert_eq!(scene.look_up_since("t", waiting), "Fresh alice@acme.com");
        assert_eq!(scene.look_up_since("t", too_late), "wait");
    }
    let mut failing = scene();
    let waiting = failing.introspection.arrived();
    failing.look_up("t");
    let call = failing.only_call();
    failing.now = hour_before(0);
    assert_eq!(failing.calls(), [], "the call goes on");
    failing.finish(call, response(500, Vec::new()));
    failing.now = hour_before(5000);
    assert!(failing.look_up_since("t", waiting).starts_with("unavailable"));
}

#[test]
fn call_without_an_end_times_out_when_the_clock_is_set_back() {
    let mut scene = scene();
    let waiting = scene.introspection.arrived();
    scene.look_up("t");
    scene.only_call();
    scene.now = hour_before(0);
    scene.calls();
    assert_eq!(scene.introspection.next_due(scene.now), Some(hour_before(3000)));
    scene.now = hour_before(2999);
    assert_eq!(scene.look_up_since("t", waiting), "wait");
    scene.now = hour_before(3000);
    scene.calls();
    assert!(scene.look_up_since("t", waiting).starts_with("unavailable"));
}

/// What it is about, what is held, what is shared, and the result.
type Case = (&'static str, Option<(u64, bool)>, Vec<SharedResponse>, &'static str);

#[test]
fn newer_sequence_number_wins_between_two_responses() {
    let (now, before, later) = (hour_before(31_000), hour_before(30_000), at(0));
    // Refused for five seconds, and that is over.
    let long_ago = hour_before(20_000);
    let cases: [Case; 12] = [
        ("newer, after a step back", Some((5, true)), vec![shared(6, true, before, before)], "Fresh elsewhere"),
        ("newer and inactive", Some((5, true)), vec![shared(6, false, before, before)], "inactive"),
        ("older, later by the clock", Some((5, true)), vec![shared(4, true, before, before)], "wait"),
        ("older than a refusal", Some((6, false)), vec![shared(5, true, before, before)], "wait"),
        ("the same", Some((5, true)), vec![shared(5, true, before, before)], "wait"),
        ("from the future", None, vec![shared(5, true, later, later)], "wait"),
        ("ended in the future", None, vec![shared(5, true, before, later)], "wait"),
        ("ended before it began", None, vec![shared(5, true, before, long_ago)], "wait"),
        (
            "older than a refusal that is over",
            None,
            vec![shared(5, true, before, before), shared(6, false, long_ago, long_ago)],
            "wait",
        ),
        (
            "older than a refusal of unknown age",
            None,
            vec![shared(6, false, later, later), shared(5, true, before, before)],
            "wait",
        ),
        (
            "newer than a refusal",
            None,
            vec![shared(5, false, before, before), shared(6, true, before, before)],
            "Fresh elsewhere",
        ),
        (
            "newer, across the end of the numbers",
            Some((u64::MAX, false)),
            vec![shared(0, true, before, before)],
            "Fresh elsewhere",
        ),
    ];
    for (case, held, others, expected) in cases {
        let store = Rc::new(Store::default());
        let mut scene = scene_among(&store, Duration::ZERO);
        if let Some((number, is_active)) = held {
            respond_as(&mut scene, number, is_active);
        }
        scene.now = hour_before(0);
        scene.calls();
        // What is held has aged.
        scene.now = now;
        *store.0.borrow_mut() = others;
        assert_eq!(scene.look_up("t"), expected, "{case}");
    }
}

#[test]
fn a_newer_refusal_ends_what_was_active_however_old_it_is() {
    for refusal in [shared(6, false, at(0), at(0)), shared(6, false, hour_before(1000), hour_before(1000))] {
        for is_learned_by_a_call in [false, true] {
            let store = Rc::new(Store::default());
            let mut scene = scene_among(&store, Duration::from_secs(600));
            respond_as(&mut scene, 5, true);
            scene.now = hour_before(0);
            scene.calls();
            scene.now = hour_before(40_000);
            if is_learned_by_a_call {
                assert_eq!(scene.look_up("t"), "wait");
                let call = scene.only_call();
                let provider = &scene.provider;
                let end = scene.introspection.adopt(call, slice::from_ref(&refusal), provider, scene.now);
                assert_eq!(
                    (end.result, scene.introspection.newest_sequence(call)),
                    (CallResult::Late, Some(refusal.sequence))
                );
                let spent = Deferral::LimitReached(LimitReached::Exhausted(Duration::from_secs(30)));
                scene.introspection.defer(call, spent, scene.now);
            } else {
                store.0.borrow_mut().push(refusal.clone());
            }
            scene.introspection.limits.exhaust(
                BudgetClass::Established.into(),
                LimitReached::Exhausted(Duration::from_secs(30)),
                scene.now,
            );
            scene.introspection.limits.exhaust(
                BudgetClass::Unknown.into(),
                LimitReached::Exhausted(Duration::from_secs(30)),
                scene.now,
            );
            assert!(scene.look_up("t").starts_with("unavailable"), "no stale answer serves any more");
            // Nor is an older one learned, though the refusal is not shared any more.
            *store.0.borrow_mut() = vec![shared(5, true, hour_before(39_000), hour_before(39_000))];
            assert!(scene.look_up("t").starts_with("unavailable"));
        }
    }
}

#[test]
fn failed_call_does_not_revive_an_older_response() {
    let store = Rc::new(Store::default());
    let mut scene = scene_among(&store, Duration::ZERO);
    respond_as(&mut scene, 6, false);
    scene.now = at(6000);
    assert_eq!(scene.look_up("t"), "wait");
    scene.fails(response(500, Vec::new()));
    scene.now = at(8000);
    store.0.borrow_mut().push(shared(5, true, at(7000), at(7000)));
    assert_eq!(scene.look_up("t"), "wait");
    let call = scene.only_call();
    let nonsense = response(200, br#"{"active":"true"}"#.to_vec());
    scene.finish_as(call, Sequence::new(8), nonsense);
    scene.now = at(10_000);
    *store.0.borrow_mut() = vec![shared(7, true, at(9000), at(9000))];
    assert_eq!(scene.look_up("t"), "wait", "what ends an active answer has its number");
    *store.0.borrow_mut() = vec![shared(9, true, at(9000), at(9000))];
    scene.introspection.abandon(&TokenDigest::of(TokenKind::Opaque, b"t"));
    assert_eq!(scene.look_up("t"), "Fresh elsewhere");
}

#[test]
fn own_response_older_than_a_shared_one_does_not_count() {
    let store = Rc::new(Store::default());
    let mut scene = scene_among(&store, Duration::ZERO);
    store.0.borrow_mut().push(shared(6, false, at(0), at(0)));
    let waiting = scene.introspection.arrived();
    // The record came when the call was under way.
    let records = store.0.take();
    assert_eq!(scene.look_up("t"), "wait");
    let call = scene.only_call();
    *store.0.borrow_mut() = records;
    scene.finish_as(call, Sequence::new(5), response(200, answer(&json!({}))));
    assert_eq!(scene.look_up_since("t", waiting), "inactive");
}

#[test]
fn response_without_a_lease_is_not_shared_and_counts_here() {
    let mut scene = scene();
    for (is_active, expected) in [(true, "Fresh alice@acme.com"), (false, "inactive")] {
        assert_eq!(scene.look_up("t"), "wait");
        let call = scene.only_call();
        assert_eq!(scene.introspection.newest_sequence(call), Some(Sequence::new(u64::from(!is_active))));
        let body = if is_active { answer(&json!({})) } else { br#"{"active":false}"#.to_vec() };
        let end = scene.introspection.finish_call(call, None, response(200, body), &scene.provider, FULL, scene.now);
        assert_eq!((end.result, end.share), (CallResult::Answered, None));
        assert_eq!(scene.look_up("t"), expected);
        scene.now = scene.now.plus(Duration::from_secs(30));
    }
}
