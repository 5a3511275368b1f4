use super::budget::Take;
use super::fixture::{NOW, answer, provider, settings};
use super::sharing::{CallLease, CallTurn};
use super::*;
use crate::jose::private_key::NoRsaSigner;
use crate::jose::signing_fixture::verified;
use crate::policy::{CalloutAddress, Discovery, IntrospectionAddress, MetadataFault};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use wasm_bindgen_test::wasm_bindgen_test;

const FULL: Jitter = Jitter(u16::MAX);
const ENTROPY: Entropy = Entropy([1; 32]);

struct Scene {
    introspection: ProviderIntrospection,
    provider: Provider,
    now: UnixTime,
}

fn at(millis: u64) -> UnixTime {
    NOW.plus(Duration::from_millis(millis))
}

fn response(status: u16, body: Vec<u8>) -> CallOutcome {
    CallOutcome::Response { status, retry_after: None, rate_limit_reset: None, body }
}

fn scene_of(settings: Introspection) -> Scene {
    Scene {
        introspection: ProviderIntrospection::new(settings, CacheLimits::default()),
        provider: provider(),
        now: NOW,
    }
}

fn scene() -> Scene {
    scene_of(settings())
}

fn scene_with(change: impl FnOnce(&mut Introspection)) -> Scene {
    let mut settings = settings();
    change(&mut settings);
    scene_of(settings)
}

impl Scene {
    /// What a request is told that comes now.
    fn asks(&mut self, token: &str) -> String {
        self.asks_since(token, self.now)
    }

    /// What a request is told that came at `asked_at`.
    fn asks_since(&mut self, token: &str, asked_at: UnixTime) -> String {
        match self.introspection.look_up_opaque(token.as_bytes(), asked_at, self.now) {
            LookUp::Active(token, freshness) => format!("{freshness:?} {}", token.subject().unwrap_or_default()),
            LookUp::Refused(Refusal::Inactive) => "inactive".to_owned(),
            LookUp::Refused(refusal) => format!("{refusal:?}"),
            LookUp::Wait(_) => "wait".to_owned(),
            LookUp::Unavailable(wait) => format!("unavailable {}", wait.as_millis()),
        }
    }

    fn calls(&mut self) -> Vec<Call> {
        self.introspection.begin_calls(FULL, self.now).calls
    }

    fn only_call(&mut self) -> CallNumber {
        let calls = self.calls();
        assert_eq!(calls.len(), 1);
        calls[0].number
    }

    fn finish(&mut self, number: CallNumber, outcome: CallOutcome) -> CallEnd {
        self.introspection.finish_call(number, outcome, &self.provider, FULL, self.now)
    }

    fn answers(&mut self, changes: &Value) -> CallEnd {
        let number = self.only_call();
        self.finish(number, response(200, answer(changes)))
    }

    /// Makes a token known as active.
    fn knows(&mut self, token: &str) {
        assert_eq!(self.asks(token), "wait");
        self.answers(&json!({"sub": token}));
        assert_eq!(self.asks(token), format!("Fresh {token}"));
    }

    fn fails(&mut self, outcome: CallOutcome) -> CallEnd {
        let number = self.only_call();
        self.finish(number, outcome)
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn two_thousand_requests_with_one_cold_token_are_one_call() {
    let mut scene = scene();
    for _ in 0..2000 {
        assert_eq!(scene.asks("cold"), "wait");
    }
    let number = scene.only_call();
    scene.now = at(500);
    assert_eq!((scene.asks("cold"), scene.calls().len()), ("wait".to_owned(), 0));
    let end = scene.finish(number, response(200, answer(&json!({}))));
    assert_eq!((end.result, end.recall.len()), (CallResult::Answered, 1));
    for _ in 0..2000 {
        assert_eq!(scene.asks_since("cold", NOW), "Fresh alice@acme.com");
    }
    assert_eq!(scene.introspection.figures().asked, 0);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_serves_to_the_end_of_its_ttl_and_no_longer() {
    let mut scene = scene();
    scene.knows("t");
    scene.now = at(29_999);
    assert_eq!(scene.asks("t"), "Fresh t");
    scene.now = at(30_000);
    assert_eq!(scene.asks("t"), "wait");
    let number = scene.only_call();
    scene.finish(number, response(200, br#"{"active":false}"#.to_vec()));
    assert_eq!(scene.asks("t"), "inactive", "revoked while it was remembered");
    scene.now = at(34_999);
    assert_eq!(scene.asks("t"), "inactive");
    scene.now = at(35_000);
    assert_eq!(scene.asks("t"), "wait");
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_serves_no_longer_than_its_token_lives() {
    let mut scene = scene();
    scene.asks("t");
    scene.answers(&json!({"exp": NOW.as_secs() + 10}));
    scene.now = at(9_999);
    assert_eq!(scene.asks("t"), "Fresh alice@acme.com");
    scene.now = at(10_000);
    assert_eq!(scene.asks("t"), "wait", "by our clock it has expired: its issuer is asked");
    // The issuer's clock is behind ours: whoever waited is served, the next asks again.
    scene.answers(&json!({"exp": NOW.as_secs() + 10}));
    assert_eq!(scene.asks_since("t", at(10_000)), "Fresh alice@acme.com");
    assert_eq!(scene.asks_since("t", at(10_001)), "wait");
    scene.now = at(40_000);
    scene.calls();
    let mut late = super::tests::scene();
    late.now = at(40_000);
    late.asks("t");
    late.answers(&json!({"exp": NOW.as_secs() + 10}));
    assert_eq!(late.asks_since("t", at(40_000)), "Claim(Expired)", "past the skew nobody is believed");
}

#[wasm_bindgen_test(unsupported = test)]
fn without_a_ttl_each_request_is_served_by_a_call_that_began_after_it_came() {
    let mut scene = scene_with(|settings| settings.cache_ttl = Duration::ZERO);
    assert_eq!(scene.asks("t"), "wait");
    scene.now = at(5);
    let number = scene.only_call();
    scene.now = at(6);
    assert_eq!(scene.asks("t"), "wait");
    scene.now = at(50);
    scene.finish(number, response(200, answer(&json!({}))));
    assert_eq!(scene.asks_since("t", at(0)), "Fresh alice@acme.com");
    assert_eq!(scene.asks_since("t", at(5)), "Fresh alice@acme.com");
    assert_eq!(scene.asks_since("t", at(6)), "wait", "it came when the call was under way");
    assert_eq!(scene.calls().len(), 1);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_is_active_and_not_meant_for_us_is_refused_and_remembered_as_such() {
    for (changes, refusal) in [
        (json!({"aud": "api://other"}), "Claim(AudienceUnexpected)"),
        (json!({"aud": null}), "Claim(AudienceMissing)"),
        (json!({"iss": "https://evil.example"}), "Claim(IssuerUnknown)"),
        (json!({"iss": [super::fixture::ISSUER]}), "Claim(IssuerMalformed)"),
        (json!({"exp": "soon"}), "Claim(TimeMalformed)"),
        (json!({"exp": NOW.as_secs() - 30}), "Claim(Expired)"),
        (json!({"nbf": NOW.as_secs() + 31}), "Claim(NotYetValid)"),
        (json!({"token_type": "DPoP"}), "Claim(SenderConstrained)"),
        (json!({"cnf": {}}), "Claim(SenderConstrained)"),
        (json!({"jti": "ID.1"}), "Claim(NotAnAccessToken)"),
        (json!({"client_id": 5}), "Claim(IdentityMalformed)"),
    ] {
        let mut scene = scene();
        scene.asks("t");
        let end = scene.answers(&changes);
        assert_eq!(end.share.unwrap().slot, SharedSlot::Refused, "{changes}");
        assert_eq!(scene.asks("t"), refusal, "{changes}");
        assert_eq!(scene.introspection.figures().active, 0, "{changes}");
        scene.now = at(4999);
        assert_eq!((scene.asks("t"), scene.calls().len()), (refusal.to_owned(), 0), "{changes}");
        scene.now = at(5000);
        assert_eq!(scene.asks("t"), "wait", "{changes}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_that_is_none_is_undecidable_and_never_active_or_inactive() {
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
        (CallOutcome::Failed(CallFault::TimedOut), "timed_out"),
        (CallOutcome::Failed(CallFault::Incomplete), "incomplete"),
    ] {
        let mut scene = scene();
        scene.asks("t");
        let end = scene.fails(outcome);
        let CallResult::Failed { fault, .. } = end.result else { panic!("{name}: {:?}", end.result) };
        assert_eq!((fault.name(), end.share), (name, None));
        assert!(scene.asks("t").starts_with("unavailable"), "{name}");
        assert_eq!(scene.calls(), [], "{name}: not asked again at once");
        scene.now = at(1000);
        assert_eq!(scene.asks_since("t", NOW).starts_with("unavailable"), true, "{name}: whoever waited is told");
        assert_eq!(scene.asks("t"), "wait", "{name}: later it is");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn stale_answers_serve_only_where_asked_for_only_so_long_and_never_past_a_no() {
    let error = || response(500, Vec::new());
    let mut strict = scene();
    strict.knows("t");
    strict.now = at(30_000);
    strict.asks("t");
    strict.fails(error());
    assert!(strict.asks("t").starts_with("unavailable"));

    let stale = || scene_with(|settings| settings.stale_if_error = Duration::from_secs(60));
    let mut scene = stale();
    scene.knows("t");
    scene.now = at(30_000);
    assert_eq!(scene.asks("t"), "wait", "while it can be asked it is");
    scene.fails(error());
    assert_eq!(scene.asks_since("t", at(30_000)), "Stale t");
    assert_eq!((scene.asks("t"), scene.calls().len()), ("Stale t".to_owned(), 0));
    scene.now = at(31_001);
    assert_eq!(scene.asks("t"), "wait", "and after a moment it is asked again");
    scene.fails(response(200, b"<html>".to_vec()));
    assert_eq!(scene.asks("t"), "Stale t");
    scene.now = at(89_999);
    scene.asks("t");
    scene.fails(error());
    assert_eq!(scene.asks("t"), "Stale t");
    scene.now = at(90_000);
    assert!(scene.asks("t").starts_with("unavailable"), "its time is over");

    for no in [&br#"{"active":false}"#[..], br#"{"active":"false"}"#, b"{}"] {
        let mut scene = stale();
        scene.knows("t");
        scene.now = at(30_000);
        scene.asks("t");
        scene.fails(response(200, no.to_vec()));
        assert!(!scene.asks("t").contains("Stale"), "{no:?}");
        scene.now = at(40_000);
        scene.asks("t");
        scene.fails(error());
        assert!(scene.asks("t").starts_with("unavailable"), "{no:?}: nothing is left of it");
    }

    let mut scene = stale();
    scene.asks("t");
    scene.answers(&json!({"exp": NOW.as_secs() + 40}));
    scene.now = at(39_999);
    scene.asks("t");
    scene.fails(error());
    assert_eq!(scene.asks("t"), "Stale alice@acme.com");
    scene.now = at(40_000);
    assert!(!scene.asks("t").contains("Stale"), "never past exp");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_flood_of_random_tokens_costs_no_more_than_its_share_and_touches_no_known_one() {
    let mut scene = scene_with(|settings| settings.requests_per_minute = NonZeroU32::new(100).unwrap());
    for user in 0..40 {
        scene.knows(&format!("user{user}"));
    }
    let mut calls = [0, 0];
    let mut most_asked = 0;
    let mut untouched = 0;
    for second in 0..50_u64 {
        for token in 0..10_000 {
            scene.now = at(second * 1000 + token / 10);
            scene.asks(&format!("random {second} {token}"));
            if token % 1000 == 999 {
                let begun = scene.calls();
                most_asked = most_asked.max(scene.introspection.figures().asked);
                for call in begun {
                    let Purpose::Token { standing, digest } = call.purpose else { panic!("{call:?}") };
                    calls[usize::from(standing == Standing::Known)] += 1;
                    let user = (0..40).map(|user| format!("user{user}"));
                    let known = user.clone().find(|user| TokenDigest::of(TokenKind::Opaque, user.as_bytes()) == digest);
                    let body = known.map_or(br#"{"active":false}"#.to_vec(), |user| answer(&json!({"sub": user})));
                    scene.finish(call.number, response(200, body));
                }
            }
        }
        for user in 0..40 {
            let user = format!("user{user}");
            if scene.asks(&user) == "wait" {
                let call = scene.calls().into_iter().find_map(|call| match call.purpose {
                    Purpose::Token { digest, .. } if digest == TokenDigest::of(TokenKind::Opaque, user.as_bytes()) => {
                        Some(call.number)
                    }
                    Purpose::Token { .. } | Purpose::Metadata(_) => None,
                });
                calls[1] += 1;
                scene.finish(call.expect("asked at once"), response(200, answer(&json!({"sub": user}))));
            }
            assert_eq!(scene.asks(&user), format!("Fresh {user}"), "in second {second}");
            untouched += 1;
        }
    }
    assert_eq!(untouched, 2000);
    // The first calls of the forty were unknown tokens' too, and in the same minute.
    assert_eq!(calls, [10, 40], "unknown and known");
    assert!(most_asked <= 512 + 32, "{most_asked}");
    assert_eq!(scene.introspection.figures().active, 40);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_waits_and_what_is_remembered_is_bounded() {
    let mut scene = scene_with(|settings| settings.requests_per_minute = NonZeroU32::new(1_000_000).unwrap());
    let told: Vec<String> = (0..2000).map(|token| scene.asks(&format!("t{token}"))).collect();
    assert_eq!(told.iter().filter(|told| *told == "wait").count(), 512);
    assert_eq!(told.last().map(String::as_str), Some("unavailable 1000"));
    assert_eq!(scene.calls().len(), 32, "at the same time");
    let long = "x".repeat(1024 * 1024);
    let told: Vec<String> = (0..10).map(|token| scene.asks(&format!("{long}{token}"))).collect();
    assert!(told.iter().filter(|told| *told == "wait").count() <= 4, "{told:?}");

    let limits = CacheLimits { tokens: 100, bytes: 64 * 1024 };
    let mut small = super::tests::scene();
    small.introspection = ProviderIntrospection::new(
        Introspection { requests_per_minute: NonZeroU32::new(1_000_000).unwrap(), ..settings() },
        limits,
    );
    for token in 0..1000 {
        small.asks(&format!("t{token}"));
        small.answers(&json!({"groups": vec!["g"; token % 50]}));
        let figures = small.introspection.figures();
        assert!(figures.active <= limits.tokens && figures.bytes <= limits.bytes, "{figures:?}");
    }
    assert!(small.introspection.figures().active > 5);
    for token in 0..5000 {
        small.asks(&format!("bad{token}"));
        small.fails(response(200, br#"{"active":false}"#.to_vec()));
    }
    assert_eq!(small.asks("t999"), "Fresh alice@acme.com", "no number of bad tokens pushes a good one out");
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_that_make_the_endpoint_fail_close_the_door_for_their_like_only() {
    let mut scene = scene_with(|settings| settings.cache_ttl = Duration::from_secs(1));
    scene.knows("user");
    for token in 0..5 {
        scene.asks(&format!("odd{token}"));
        scene.fails(response(500, Vec::new()));
    }
    assert_eq!(scene.asks("new"), "wait", "for a short while one waits");
    assert_eq!(scene.calls(), []);
    scene.now = at(1000);
    assert_eq!(scene.asks("user"), "wait");
    let calls = scene.calls();
    assert_eq!(calls.len(), 2, "the known one, and one unknown to see");
    for call in calls {
        scene.finish(call.number, response(200, answer(&json!({"sub": "user"}))));
    }
    assert_eq!(scene.asks("user"), "Fresh user");
    for token in 0..100 {
        scene.asks(&format!("long{token}"));
        let end = scene.fails(response(400, Vec::new()));
        let CallResult::Failed { pause, .. } = end.result else { panic!("{end:?}") };
        assert_eq!(pause, Duration::ZERO, "the endpoint answers, if not for these");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_endpoint_that_fails_is_left_alone_and_then_asked_once() {
    let mut scene = scene();
    for token in 0..10 {
        scene.asks(&format!("t{token}"));
    }
    let calls = scene.calls();
    assert_eq!(calls.len(), 10);
    scene.asks("waits");
    let mut recalled = 0;
    for call in calls {
        recalled += scene.finish(call.number, CallOutcome::Failed(CallFault::ConnectionFailed)).recall.len();
    }
    assert_eq!(recalled, 11, "whoever was in line looks again too");
    for expected in [1, 2, 4, 8] {
        for token in 0..10 {
            scene.asks(&format!("u{expected}{token}"));
        }
        assert_eq!(scene.calls(), []);
        scene.now = scene.now.plus(Duration::from_secs(expected));
        for token in 0..10 {
            scene.asks(&format!("v{expected}{token}"));
        }
        let number = scene.only_call();
        scene.finish(number, CallOutcome::Failed(CallFault::ConnectionFailed));
    }
    let told = scene.asks("w");
    assert!(told.starts_with("unavailable 15"), "{told}");
    scene.now = scene.now.plus(Duration::from_secs(16));
    scene.asks("x");
    scene.answers(&json!({}));
    for token in 0..10 {
        scene.asks(&format!("y{token}"));
    }
    assert_eq!(scene.calls().len(), 10);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_429_silences_everybody_for_as_long_as_the_server_says() {
    let mut scene = scene_with(|settings| settings.stale_if_error = Duration::from_secs(600));
    scene.knows("user");
    scene.asks("t");
    let number = scene.only_call();
    let body = Vec::new();
    let retry_after = Some("20".to_owned());
    let end = scene.finish(number, CallOutcome::Response { status: 429, retry_after, rate_limit_reset: None, body });
    assert_eq!(end.block, Some(at(20_000)));
    assert!(matches!(end.result, CallResult::Failed { fault: CallFault::TooManyRequests, .. }));
    assert_eq!(scene.asks("u"), "unavailable 20000");
    scene.now = at(19_999);
    assert_eq!(scene.asks("v"), "wait");
    assert_eq!(scene.calls(), []);
    scene.now = at(20_000);
    assert_eq!(scene.calls().len(), 1);
    assert_eq!(scene.asks("user"), "Fresh user");
    // Another worker was told: the shared budget says so here.
    let blocked = scene.introspection.budget().block(None, at(40_000), scene.now);
    let taken = scene.introspection.budget().take(Some(&blocked), Standing::Known, scene.now);
    assert_eq!(taken, Take::Spent(Duration::from_secs(20)));
}

#[wasm_bindgen_test(unsupported = test)]
fn credentials_that_are_refused_are_not_tried_again_and_again() {
    let mut scene = scene();
    scene.asks("t");
    let end = scene.fails(response(401, br#"{"error":"invalid_client"}"#.to_vec()));
    let CallResult::Failed { fault: CallFault::CredentialsRefused(401), pause } = end.result else { panic!("{end:?}") };
    assert!(pause > Duration::ZERO);
    scene.asks("u");
    assert_eq!(scene.calls(), []);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_budget_that_all_have_spent_is_waited_for_or_told() {
    let mut scene = scene_with(|settings| settings.stale_if_error = Duration::from_secs(60));
    scene.knows("user");
    scene.now = at(30_000);
    for token in ["user", "t", "u"] {
        assert_eq!(scene.asks(token), "wait");
    }
    let calls = scene.calls();
    assert_eq!(calls.len(), 3);
    let spent = Postponed::BudgetSpent(Duration::from_secs(9));
    let recalled = scene.introspection.postpone(calls[1].number, spent, scene.now);
    assert_eq!(recalled.len(), 1);
    assert_eq!(scene.asks("t"), "unavailable 9000");
    assert!(scene.introspection.is_calling(calls[2].number), "one that was begun goes on");
    scene.introspection.postpone(calls[0].number, spent, scene.now);
    assert_eq!(scene.asks("user"), "Stale user");
    scene.now = at(39_000);
    assert_eq!((scene.asks("t"), scene.asks("user")), ("wait".to_owned(), "wait".to_owned()));
    assert_eq!(scene.calls().len(), 2);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_call_that_is_never_answered_is_given_up() {
    let mut scene = scene();
    scene.asks("t");
    let number = scene.only_call();
    scene.now = at(2999);
    assert_eq!((scene.calls().len(), scene.asks("t")), (0, "wait".to_owned()));
    scene.now = at(3000);
    let begun = scene.introspection.begin_calls(FULL, scene.now);
    assert_eq!(begun.recall.len(), 1);
    assert!(scene.asks_since("t", NOW).starts_with("unavailable"));
    let late = scene.finish(number, response(200, answer(&json!({}))));
    assert_eq!(late.result, CallResult::Late);
    assert!(scene.asks_since("t", NOW).starts_with("unavailable"), "a late answer changes nothing");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_jwt_is_held_against_what_its_issuer_says_now() {
    let claims = json!({
        "iss": super::fixture::ISSUER, "aud": "api://default", "exp": NOW.as_secs() + 600, "sub": "alice@acme.com", "cid": "0oa1",
        "jti": "AT.1",
    });
    let token = AdmittedToken::admit(verified(&claims, None), &provider(), NOW).unwrap();
    let looks = |scene: &mut Scene| {
        let now = scene.now;
        match scene.introspection.look_up_jwt(b"a.b.c", &token, now, now) {
            LookUp::Active(_, freshness) => format!("{freshness:?}"),
            LookUp::Refused(refusal) => format!("{refusal:?}"),
            LookUp::Wait(_) => "wait".to_owned(),
            LookUp::Unavailable(_) => "unavailable".to_owned(),
        }
    };
    for (changes, expected) in [
        (json!({}), "Fresh"),
        (json!({"aud": "somebody else", "iss": null}), "Fresh"),
        (json!({"jti": "AT.2"}), "AnotherToken"),
        (json!({"sub": "bob"}), "AnotherToken"),
        (json!({"exp": "soon"}), "Claim(TimeMalformed)"),
        (json!({"active": false}), "Inactive"),
    ] {
        let mut scene = scene();
        assert_eq!(looks(&mut scene), "wait");
        let calls = scene.calls();
        assert!(matches!(calls[0].purpose, Purpose::Token { standing: Standing::Known, .. }), "its signature holds");
        scene.finish(calls[0].number, response(200, answer(&changes)));
        assert_eq!(looks(&mut scene), expected, "{changes}");
        assert_eq!(scene.asks("a.b.c"), "wait", "as an opaque token it is another question");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_another_worker_was_told_need_not_be_asked() {
    let (mut one, mut two) = (scene(), scene());
    for (changes, expected) in [(json!({}), "Fresh alice@acme.com"), (json!({"active": false}), "inactive")] {
        let token = expected;
        (one.now, two.now) = (NOW, NOW);
        assert_eq!((one.asks(token), two.asks(token)), ("wait".to_owned(), "wait".to_owned()));
        let end = one.answers(&changes);
        let record = end.share.unwrap().to_bytes();
        let shared = SharedAnswer::from_bytes(&record).unwrap();
        let places = two.introspection.places(&shared.token);
        assert_eq!(places.of_slot(shared.slot), one.introspection.places(&shared.token).of_slot(shared.slot));
        assert!(!String::from_utf8_lossy(&record).contains(token));
        let number = two.only_call();
        two.now = at(100);
        let end = two.introspection.adopt(number, &shared, &two.provider, two.now);
        assert_eq!((end.result, end.recall.len()), (CallResult::Answered, 1));
        assert_eq!(two.asks(token), expected);
        assert!(!two.introspection.is_calling(number));
    }
    // It counts from when it was asked, not from when it was taken.
    two.now = at(29_999);
    assert_eq!(two.asks("Fresh alice@acme.com"), "Fresh alice@acme.com");
    two.now = at(30_000);
    assert_eq!(two.asks("Fresh alice@acme.com"), "wait");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_record_that_is_old_or_another_tokens_or_from_the_future_is_none() {
    let mut one = scene();
    one.asks("t");
    let shared = one.answers(&json!({})).share.unwrap();
    let adopted = |change: &dyn Fn(&mut SharedAnswer), now: UnixTime| {
        let mut two = scene();
        two.now = now;
        two.asks("t");
        let number = two.only_call();
        let mut shared = shared.clone();
        change(&mut shared);
        let end = two.introspection.adopt(number, &shared, &two.provider, two.now);
        assert!(two.introspection.is_calling(number) || end.result == CallResult::Answered);
        end.result == CallResult::Answered
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

#[wasm_bindgen_test(unsupported = test)]
fn while_another_worker_asks_the_call_waits_and_nothing_is_counted() {
    let mut scene = scene_with(|settings| settings.requests_per_minute = NonZeroU32::MIN);
    scene.asks("t");
    let number = scene.only_call();
    let turn = |lease| CallTurn::of(TokenDigest::of(TokenKind::Opaque, b"t"), Duration::from_secs(2), lease, NOW);
    let CallTurn::Ours(lease) = turn(None) else { panic!("nobody asks yet") };
    assert_eq!(turn(CallLease::from_bytes(&lease.to_bytes())), CallTurn::Theirs);
    for _ in 0..5 {
        scene.introspection.postpone(number, Postponed::AskedElsewhere, scene.now);
    }
    assert_eq!(scene.asks("t"), "wait");
    assert_eq!(scene.calls(), []);
    assert_eq!(scene.introspection.next_due(scene.now), Some(at(25)));
    scene.now = at(25);
    let again = scene.only_call();
    assert_ne!(again, number);
    scene.finish(again, response(200, answer(&json!({}))));
    assert_eq!(scene.asks("t"), "Fresh alice@acme.com");
    assert!(scene.asks("u").starts_with("unavailable"), "one a minute, and that was made");
}

fn discovered() -> Scene {
    scene_with(|settings| {
        let discovery = Discovery::of("https://idp.example/realms/a", "idp").unwrap();
        settings.address = IntrospectionAddress::Discovered(discovery);
    })
}

#[wasm_bindgen_test(unsupported = test)]
fn an_endpoint_is_found_at_its_issuers_own_host() {
    let mut scene = discovered();
    assert_eq!(scene.calls(), [], "nobody needs it yet");
    scene.asks("t");
    let call = scene.calls().remove(0);
    assert_eq!(call.purpose, Purpose::Metadata(0));
    assert_eq!(scene.calls(), [], "once");
    let sent = |scene: &Scene, number| scene.introspection.request(number, &ENTROPY, &NoRsaSigner, NOW).unwrap();
    let first = sent(&scene, call.number);
    assert_eq!(first.address.to_string(), "https://idp.example/realms/a/.well-known/openid-configuration");
    assert_eq!(first.message, Message::Get);
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
    scene.asks("u");
    assert_eq!(scene.calls().remove(0).purpose, Purpose::Metadata(0));
}

#[wasm_bindgen_test(unsupported = test)]
fn metadata_that_leads_elsewhere_or_nowhere_is_a_failure_that_backs_off() {
    for (endpoint, fault) in [
        (json!("https://evil.example/i"), MetadataFault::ForeignAddress),
        (json!("http://idp.example/i"), MetadataFault::ForeignAddress),
        (json!(null), MetadataFault::NoAddress),
    ] {
        let mut scene = discovered();
        scene.asks("t");
        let number = scene.only_call();
        let document = json!({"issuer": "https://idp.example/realms/a", "introspection_endpoint": endpoint});
        let end = scene.finish(number, response(200, document.to_string().into_bytes()));
        let CallResult::Failed { fault: CallFault::Metadata(found), pause } = end.result else { panic!("{end:?}") };
        assert_eq!((found, end.recall.len()), (fault, 1));
        assert!(pause > Duration::ZERO);
        scene.asks("u");
        assert_eq!(scene.calls(), []);
        for expected in [1, 2, 4] {
            scene.now = scene.now.plus(Duration::from_secs(expected));
            scene.asks("v");
            let number = scene.only_call();
            scene.finish(number, response(500, Vec::new()));
        }
        let told = scene.asks("w");
        assert!(told.starts_with("unavailable 7"), "{told}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_has_the_token_in_its_body_and_there_is_none_for_a_call_that_ended() {
    let mut scene = scene();
    scene.asks("s3cret");
    let number = scene.only_call();
    let request = scene.introspection.request(number, &ENTROPY, &NoRsaSigner, NOW).unwrap();
    let address = CalloutAddress::parse("https://acme.okta.com/oauth2/default/v1/introspect", "okta").unwrap();
    assert_eq!(request.address, address);
    let Message::PostForm { body, .. } = &request.message else { panic!("a POST") };
    assert!(body.reveal().contains("token=s3cret&"));
    let calls = scene.calls();
    let shown = format!("{:?} {request:?} {calls:?}", scene.introspection);
    assert!(!shown.contains("s3cret") && !shown.contains("hunter2"), "{shown}");
    scene.finish(number, response(200, answer(&json!({}))));
    assert_eq!(scene.introspection.request(number, &ENTROPY, &NoRsaSigner, NOW), Err(NoRequest::Ended));
    let shown = format!("{:?}", scene.introspection);
    assert!(!shown.contains("alice"), "{shown}");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_clock_that_is_set_back_leaves_nobody_waiting_and_nothing_fresh_for_ever() {
    let mut scene = scene();
    scene.knows("t");
    scene.asks("u");
    scene.calls();
    scene.now = UnixTime::from_millis(NOW.as_millis() - 3_600_000);
    assert_eq!(scene.asks("t"), "wait");
    let begun = scene.introspection.begin_calls(FULL, scene.now);
    assert_eq!(begun.recall.len(), 1, "the call of another time is given up");
    assert_eq!(begun.calls.len(), 1);
}
