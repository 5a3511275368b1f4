//! Crowds and floods.

use super::*;

#[test]
fn two_thousand_requests_with_one_cold_token_are_one_call() {
    let mut scene = scene();
    let waiting = scene.introspection.arrived();
    for _ in 0..2000 {
        assert_eq!(scene.look_up("cold"), "wait");
    }
    let number = scene.only_call();
    scene.now = at(500);
    assert_eq!((scene.look_up("cold"), scene.calls().len()), ("wait".to_owned(), 0));
    let end = scene.finish(number, response(200, answer(&json!({}))));
    assert_eq!((end.result, end.resume.len()), (CallResult::Answered, 1));
    for _ in 0..2000 {
        assert_eq!(scene.look_up_since("cold", waiting), "Fresh alice@acme.com");
    }
    assert_eq!(scene.introspection.stats(scene.now).asked, 0);
}

#[test]
fn a_flood_of_random_tokens_costs_no_more_than_its_share_and_touches_no_known_one() {
    let mut scene = scene_with(|settings| settings.requests_per_minute = NonZeroU32::new(100).unwrap());
    for user in 0..40 {
        scene.make_active(&format!("user{user}"));
    }
    let mut calls = [0, 0];
    let mut most_asked = 0;
    let mut untouched = 0;
    for second in 0..50_u64 {
        for token in 0..10_000 {
            scene.now = at(second * 1000 + token / 10);
            scene.look_up(&format!("random {second} {token}"));
            if token % 1000 == 999 {
                let begun = scene.calls();
                most_asked = most_asked.max(scene.introspection.stats(scene.now).asked);
                for call in begun {
                    let Purpose::Token { class, digest, .. } = call.purpose else { panic!("{call:?}") };
                    calls[usize::from(class == BudgetClass::Established)] += 1;
                    let user = (0..40).map(|user| format!("user{user}"));
                    let known = user.clone().find(|user| TokenDigest::of(TokenKind::Opaque, user.as_bytes()) == digest);
                    let body = known.map_or(br#"{"active":false}"#.to_vec(), |user| answer(&json!({"sub": user})));
                    scene.finish(call.number, response(200, body));
                }
            }
        }
        for user in 0..40 {
            let user = format!("user{user}");
            if scene.look_up(&user) == "wait" {
                let call = scene.calls().into_iter().find_map(|call| match call.purpose {
                    Purpose::Token { digest, .. } if digest == TokenDigest::of(TokenKind::Opaque, user.as_bytes()) => {
                        Some(call.number)
                    }
                    Purpose::Token { .. } | Purpose::Metadata(_) => None,
                });
                calls[1] += 1;
                scene.finish(call.expect("asked at once"), response(200, answer(&json!({"sub": user}))));
            }
            assert_eq!(scene.look_up(&user), format!("Fresh {user}"), "in second {second}");
            untouched += 1;
        }
    }
    assert_eq!(untouched, 2000);
    // The first calls of the forty were unknown tokens' too, and in the same minute.
    assert_eq!(calls, [10, 40], "unknown and known");
    assert!(most_asked <= 512 + 32, "{most_asked}");
    assert_eq!(scene.introspection.stats(scene.now).active, 40);
}

#[test]
fn queue_and_cache_are_bounded() {
    let mut scene = scene_with(|settings| settings.requests_per_minute = NonZeroU32::new(1_000_000).unwrap());
    let told: Vec<String> = (0..2000).map(|token| scene.look_up(&format!("t{token}"))).collect();
    assert_eq!(told.iter().filter(|told| *told == "wait").count(), 512);
    assert_eq!((told.last().map(String::as_str), scene.cause), (Some("unavailable 1000"), Some(Cause::QueueFull)));
    assert_eq!(scene.calls().len(), 32, "at the same time");
    let long = "x".repeat(1024 * 1024);
    let told: Vec<String> = (0..10).map(|token| scene.look_up(&format!("{long}{token}"))).collect();
    assert!(told.iter().filter(|told| *told == "wait").count() <= 4, "{told:?}");

    let limits = CacheLimits { tokens: 100, bytes: 64 * 1024 };
    let mut small = super::scene();
    small.introspection = ProviderIntrospection::new(
        Introspection { requests_per_minute: NonZeroU32::new(1_000_000).unwrap(), ..settings() },
        limits,
        Rc::new(NothingShared),
    );
    for token in 0..1000 {
        small.look_up(&format!("t{token}"));
        small.respond(&json!({"groups": vec!["g"; token % 50]}));
        let stats = small.introspection.stats(small.now);
        assert!(stats.active <= limits.tokens && stats.bytes <= limits.bytes, "{stats:?}");
    }
    assert!(small.introspection.stats(small.now).active > 5);
    for token in 0..5000 {
        small.look_up(&format!("bad{token}"));
        small.fails(response(200, br#"{"active":false}"#.to_vec()));
    }
    assert_eq!(small.look_up("t999"), "Fresh alice@acme.com", "no number of bad tokens pushes a good one out");
}

#[test]
fn pending_calls_alone_need_no_tick() {
    let mut scene = scene_with(|settings| settings.requests_per_minute = NonZeroU32::new(1_000_000).unwrap());
    let due = |scene: &Scene| scene.introspection.next_due(scene.now);
    assert_eq!(due(&scene), None);
    for token in 0..40 {
        scene.look_up(&format!("t{token}"));
    }
    assert_eq!(due(&scene), Some(at(0)));
    let calls = scene.calls();
    assert_eq!((calls.len(), due(&scene)), (32, Some(at(3000))), "all that may be under way is");
    scene.finish(calls[0].number, response(200, answer(&json!({}))));
    assert_eq!(due(&scene), Some(at(0)), "now another one may");
    for call in &calls[1..] {
        scene.finish(call.number, Err(TransportError::ConnectionFailed));
    }
    scene.look_up("u");
    let wait = due(&scene).unwrap().since(scene.now);
    assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1), "the circuit is open: {wait:?}");
    scene.now = at(1000);
    scene.look_up("v");
    assert_eq!((scene.calls().len(), due(&scene)), (1, Some(at(4000))), "one to see, the other waits for it");
}
