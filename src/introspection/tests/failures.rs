//! What fails, and what follows from it.

use super::*;

#[test]
fn invalid_response_is_indeterminate_and_never_active_or_inactive() {
    let long = answer(&json!({"x": "a".repeat(10 * 1024 * 1024)}));
    let truncated = answer(&json!({}))[..100].to_vec();
    for (outcome, name) in [
        (response(200, b"<html><body>Maintenance</body></html>".to_vec()), "not_json"),
        (response(200, truncated), "not_json"),
        (response(200, long), "too_large"),
        (response(200, Vec::new()), "not_json"),
        (response(200, b"[]".to_vec()), "not_json"),
        (response(200, br#"{"active":true,"active":true}"#.to_vec()), "not_json"),
        (response(200, answer(&json!({"active": "true"}))), "not_an_introspection_answer"),
        (response(200, answer(&json!({"active": 1}))), "not_an_introspection_answer"),
        (response(200, answer(&json!({"active": null}))), "not_an_introspection_answer"),
        (response(200, answer(&json!({"active": []}))), "not_an_introspection_answer"),
        (response(201, answer(&json!({}))), "status"),
        (response(302, answer(&json!({}))), "status"),
        (response(401, answer(&json!({}))), "credentials_refused"),
        (response(403, answer(&json!({}))), "credentials_refused"),
        (response(500, answer(&json!({}))), "status"),
        (Err(TransportError::TimedOut), "timed_out"),
        (Err(TransportError::Incomplete), "incomplete"),
    ] {
        let mut scene = scene();
        let waiting = scene.introspection.arrived();
        scene.look_up("t");
        let end = scene.fails(outcome);
        let CallResult::Failed { fault, .. } = end.result else { panic!("{name}: {:?}", end.result) };
        assert_eq!((fault.name(), end.share), (name, None));
        assert!(scene.look_up("t").starts_with("unavailable"), "{name}");
        assert_eq!(scene.calls(), [], "{name}: not asked again at once");
        scene.now = at(1000);
        assert!(
            scene.look_up_since("t", waiting).starts_with("unavailable"),
            "{name}: requests that waited get the result"
        );
        assert_eq!(scene.look_up("t"), "wait", "{name}: later it is");
    }
}

#[test]
fn stale_responses_serve_only_where_configured_for_a_time_and_never_past_inactive() {
    let error = || response(500, Vec::new());
    let mut strict = scene();
    strict.make_active("t");
    strict.now = at(30_000);
    strict.look_up("t");
    strict.fails(error());
    assert!(strict.look_up("t").starts_with("unavailable"));

    let stale = || scene_with(|settings| settings.stale_if_error = Duration::from_secs(60));
    let mut scene = stale();
    scene.make_active("t");
    scene.now = at(30_000);
    let waiting = scene.introspection.arrived();
    assert_eq!(scene.look_up("t"), "wait", "while it can be asked it is");
    scene.fails(error());
    assert_eq!(scene.look_up_since("t", waiting), "Stale t");
    assert_eq!((scene.look_up("t"), scene.calls().len()), ("Stale t".to_owned(), 0));
    scene.now = at(31_001);
    assert_eq!(scene.look_up("t"), "wait", "and after a moment it is asked again");
    scene.fails(response(200, b"<html>".to_vec()));
    assert_eq!(scene.look_up("t"), "Stale t");
    scene.now = at(89_999);
    scene.look_up("t");
    scene.fails(error());
    assert_eq!(scene.look_up("t"), "Stale t");
    scene.now = at(90_000);
    assert!(scene.look_up("t").starts_with("unavailable"), "its time is over");

    for no in [&br#"{"active":false}"#[..], br#"{"active":"false"}"#, b"{}"] {
        let mut scene = stale();
        scene.make_active("t");
        scene.now = at(30_000);
        scene.look_up("t");
        scene.fails(response(200, no.to_vec()));
        assert!(!scene.look_up("t").contains("Stale"), "{no:?}");
        scene.now = at(40_000);
        scene.look_up("t");
        scene.fails(error());
        assert!(scene.look_up("t").starts_with("unavailable"), "{no:?}: nothing is left of it");
    }

    let mut scene = stale();
    scene.look_up("t");
    scene.respond(&json!({"exp": NOW.as_secs() + 40}));
    scene.now = at(39_999);
    scene.look_up("t");
    scene.fails(error());
    assert_eq!(scene.look_up("t"), "Stale alice@acme.com");
    scene.now = at(40_000);
    assert!(!scene.look_up("t").contains("Stale"), "never past exp");
}

#[test]
fn tokens_that_make_the_endpoint_fail_open_the_breaker_of_their_class_only() {
    let mut scene = scene_with(|settings| settings.cache_ttl = Duration::from_secs(1));
    scene.make_active("user");
    for token in 0..5 {
        scene.look_up(&format!("odd{token}"));
        scene.fails(response(500, Vec::new()));
    }
    assert_eq!(scene.look_up("new"), "wait", "for a short while one waits");
    assert_eq!(scene.calls(), []);
    scene.now = at(1000);
    assert_eq!(scene.look_up("user"), "wait");
    let calls = scene.calls();
    assert_eq!(calls.len(), 2, "the known one, and one unknown to see");
    for call in calls {
        scene.finish(call.number, response(200, answer(&json!({"sub": "user"}))));
    }
    assert_eq!(scene.look_up("user"), "Fresh user");
    for token in 0..100 {
        scene.look_up(&format!("long{token}"));
        let end = scene.fails(response(400, Vec::new()));
        let CallResult::Failed { pause, .. } = end.result else { panic!("{end:?}") };
        assert_eq!(pause, Duration::ZERO, "the endpoint answers, if not for these");
    }
}

#[test]
fn failing_endpoint_is_paused_and_then_probed_once() {
    let mut scene = scene();
    for token in 0..10 {
        scene.look_up(&format!("t{token}"));
    }
    let calls = scene.calls();
    assert_eq!(calls.len(), 10);
    scene.look_up("waits");
    let mut recalled = 0;
    for call in calls {
        recalled += scene.finish(call.number, Err(TransportError::ConnectionFailed)).resume.len();
    }
    assert_eq!(recalled, 11, "whoever was in line looks again too");
    for expected in [1, 2, 4, 8] {
        for token in 0..10 {
            scene.look_up(&format!("u{expected}{token}"));
        }
        assert_eq!(scene.calls(), []);
        scene.now = scene.now.plus(Duration::from_secs(expected));
        for token in 0..10 {
            scene.look_up(&format!("v{expected}{token}"));
        }
        let number = scene.only_call();
        scene.finish(number, Err(TransportError::ConnectionFailed));
    }
    let told = scene.look_up("w");
    assert!(told.starts_with("unavailable 15"), "{told}");
    scene.now = scene.now.plus(Duration::from_secs(16));
    scene.look_up("x");
    scene.respond(&json!({}));
    for token in 0..10 {
        scene.look_up(&format!("y{token}"));
    }
    assert_eq!(scene.calls().len(), 10);
}

#[test]
fn a_429_silences_everybody_for_as_long_as_the_server_says() {
    let mut scene = scene_with(|settings| settings.stale_if_error = Duration::from_secs(600));
    scene.make_active("user");
    scene.look_up("t");
    let number = scene.only_call();
    let end = scene.finish(number, Ok(HttpResponse::new(429, Vec::new()).with_header("retry-after", Some("20"))));
    assert_eq!(end.block, Some(at(20_000)));
    assert!(matches!(end.result, CallResult::Failed { fault: CallFault::TooManyRequests, .. }));
    assert_eq!((scene.look_up("u").as_str(), scene.cause), ("unavailable 20000", Some(Cause::EndpointFailing)));
    scene.now = at(19_999);
    assert_eq!(scene.look_up("v"), "wait");
    assert_eq!(scene.calls(), []);
    scene.now = at(20_000);
    assert_eq!(scene.calls().len(), 1);
    assert_eq!(scene.look_up("user"), "Fresh user");
    // Another worker was told: the shared budget says so here.
    let blocked = scene.introspection.rate_limiter().block(None, at(40_000), scene.now);
    let taken = scene.introspection.rate_limiter().try_acquire(Some(&blocked), BudgetClass::Established, scene.now);
    assert_eq!(taken, Acquire::Exhausted(LimitReached::Blocked(Duration::from_secs(20))));
}

#[test]
fn credentials_that_are_refused_are_not_tried_again_and_again() {
    let mut scene = scene();
    scene.look_up("t");
    let end = scene.fails(response(401, br#"{"error":"invalid_client"}"#.to_vec()));
    let CallResult::Failed { fault: CallFault::CredentialsRefused(401), pause } = end.result else { panic!("{end:?}") };
    assert!(pause > Duration::ZERO);
    scene.look_up("u");
    assert_eq!(scene.calls(), []);
}

#[test]
fn call_without_an_end_times_out() {
    let mut scene = scene();
    let waiting = scene.introspection.arrived();
    scene.look_up("t");
    let number = scene.only_call();
    scene.now = at(2999);
    assert_eq!((scene.calls().len(), scene.look_up("t")), (0, "wait".to_owned()));
    scene.now = at(3000);
    let begun = scene.introspection.begin_calls(FULL, scene.now);
    assert_eq!(begun.resume.len(), 1);
    assert!(scene.look_up_since("t", waiting).starts_with("unavailable"));
    let late = scene.finish(number, response(200, answer(&json!({}))));
    assert_eq!(late.result, CallResult::Late);
    assert!(scene.look_up_since("t", waiting).starts_with("unavailable"), "a late answer changes nothing");
}

fn discovered() -> Scene {
    scene_with(|settings| {
        let discovery = Discovery::of("https://idp.example/realms/a", "idp").unwrap();
        settings.address = EndpointAddress::Discovered(discovery);
    })
}

#[test]
fn an_endpoint_is_found_at_its_issuers_own_host() {
    let mut scene = discovered();
    assert_eq!(scene.calls(), [], "nobody needs it yet");
    scene.look_up("t");
    let call = scene.calls().remove(0);
    assert_eq!(call.purpose, Purpose::Metadata(0));
    assert_eq!(scene.calls(), [], "once");
    let sent = |scene: &Scene, number| scene.introspection.request(number, Some(&ENTROPY), &NoRsaSigner, NOW).unwrap();
    let first = sent(&scene, call.number);
    assert_eq!(first.address.to_string(), "https://idp.example/realms/a/.well-known/openid-configuration");
    assert_eq!(first.message, Message::Get { if_none_match: None });
    assert_eq!(scene.finish(call.number, response(404, Vec::new())).result, CallResult::Continues);
    let call = scene.calls().remove(0);
    let second = sent(&scene, call.number).address.to_string();
    assert_eq!(second, "https://idp.example/.well-known/oauth-authorization-server/realms/a");
    let document = json!({"issuer": "https://idp.example/realms/a", "introspection_endpoint": "https://idp.example/i"});
    let end = scene.finish(call.number, response(200, document.to_string().into_bytes()));
    assert_eq!(end.result, CallResult::Discovered);
    let number = scene.only_call();
    let request = sent(&scene, number);
    assert_eq!(request.address.to_string(), "https://idp.example/i");
    assert!(matches!(request.message, Message::PostForm { .. }));
    // What is not there any more is looked for anew.
    scene.finish(number, response(404, Vec::new()));
    scene.look_up("u");
    assert_eq!(scene.calls().remove(0).purpose, Purpose::Metadata(0));
}

#[test]
fn metadata_that_leads_elsewhere_or_nowhere_is_a_failure_that_backs_off() {
    for (endpoint, fault) in [
        (json!("https://evil.example/i"), MetadataFault::ForeignAddress),
        (json!("http://idp.example/i"), MetadataFault::ForeignAddress),
        (json!(null), MetadataFault::NoAddress),
    ] {
        let mut scene = discovered();
        scene.look_up("t");
        let number = scene.only_call();
        let document = json!({"issuer": "https://idp.example/realms/a", "introspection_endpoint": endpoint});
        let end = scene.finish(number, response(200, document.to_string().into_bytes()));
        let CallResult::Failed { fault: CallFault::Metadata(found), pause } = end.result else { panic!("{end:?}") };
        assert_eq!((found, end.resume.len()), (fault, 1));
        assert!(pause > Duration::ZERO);
        scene.look_up("u");
        assert_eq!(scene.calls(), []);
        for expected in [1, 2, 4] {
            scene.now = scene.now.plus(Duration::from_secs(expected));
            scene.look_up("v");
            let number = scene.only_call();
            scene.finish(number, response(500, Vec::new()));
        }
        let told = scene.look_up("w");
        assert!(told.starts_with("unavailable 7"), "{told}");
    }
}
