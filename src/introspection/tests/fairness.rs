//! One client among others: calls that nobody waits for, turns, shares, and what the server says of its limit.

use super::*;
use crate::lookup::requester::Caller;
use crate::lookup::requester::{Requester, Sender};

fn address(number: u16) -> Sender {
    let [a, b] = number.to_be_bytes();
    Requester::at_address(format!("10.0.{a}.{b}").as_bytes()).map_or(Sender::Anonymous, Sender::Known)
}

fn digest(token: &str) -> TokenDigest {
    TokenDigest::of(TokenKind::Opaque, token.as_bytes())
}

impl Scene {
    /// The result of a request from there.
    fn look_up_from(&mut self, sender: Sender, token: &str) -> &'static str {
        let (provider, arrived, now) = (&self.provider, self.introspection.arrived(), self.now);
        match self.introspection.look_up_opaque_from(sender, token.as_bytes(), provider, arrived, now) {
            Err(AddressNeeded) => "address needed",
            Ok(LookUp::Active(..)) => "active",
            Ok(LookUp::Rejected(_)) => "refused",
            Ok(LookUp::Pending(_)) => "wait",
            Ok(LookUp::Unavailable(unavailable)) => {
                self.cause = Some(unavailable.cause);
                "unavailable"
            }
        }
    }

    /// The tokens that are asked about now.
    fn called_about(&mut self) -> Vec<(CallNumber, TokenDigest)> {
        let about = |call: Call| match call.purpose {
            Purpose::Token { digest, .. } => (call.number, digest),
            Purpose::Metadata(_) => panic!("the address is known"),
        };
        self.calls().into_iter().map(about).collect()
    }
}

fn limited(requests_per_minute: u32) -> Scene {
    scene_with(|settings| settings.requests_per_minute = NonZeroU32::new(requests_per_minute).unwrap())
}

#[test]
fn abandoned_call_is_not_made_and_not_counted() {
    let mut scene = limited(2);
    for token in ["a", "b", "c"] {
        assert_eq!(scene.look_up(token), "wait");
        scene.introspection.abandon(&digest(token));
    }
    assert_eq!((scene.calls(), scene.introspection.stats(scene.now).asked), (vec![], 0));
    assert_eq!(scene.introspection.next_due(scene.now), None);
    // A call that was begun goes on: it is paid for.
    scene.look_up("d");
    let number = scene.only_call();
    scene.introspection.abandon(&digest("d"));
    assert!(scene.introspection.is_calling(number));
    scene.finish(number, response(200, answer(&json!({}))));
    assert_eq!(scene.look_up("d"), "Fresh alice@acme.com");
    assert!(scene.look_up("e").starts_with("unavailable"), "one call for unknown tokens, and it was made");
}

#[test]
fn a_call_that_waits_for_another_worker_is_dropped_with_its_request_and_given_back() {
    let mut scene = limited(2);
    scene.look_up("t");
    let number = scene.only_call();
    scene.introspection.defer(number, Deferral::HeldByOther, scene.now);
    scene.introspection.abandon(&digest("t"));
    scene.now = at(25);
    assert_eq!(scene.calls(), []);
    scene.look_up("u");
    assert_eq!(scene.calls().len(), 1);
}

#[test]
fn address_is_requested_only_when_it_decides_about_a_call() {
    let mut scene = limited(10);
    scene.make_active("known");
    assert_eq!(scene.look_up_from(Sender::NotRequested, "known"), "active");
    assert_eq!(scene.look_up_from(Sender::NotRequested, "new"), "address needed");
    assert_eq!(scene.introspection.stats(scene.now).asked, 0);
    assert_eq!(scene.look_up_from(address(1), "new"), "wait");
    assert_eq!(scene.look_up_from(Sender::NotRequested, "new"), "address needed", "also to join those that wait");
    scene.respond(&json!({ "active": false }));
    assert_eq!(scene.look_up_from(Sender::NotRequested, "new"), "refused");
    scene.now = at(30_000);
    assert_eq!(scene.look_up_from(Sender::NotRequested, "known"), "wait", "it was active: its client counts");
    for number in 2..5 {
        assert_eq!(scene.look_up_from(address(number), &format!("n{number}")), "wait");
    }
    scene.calls();
    assert_eq!(scene.look_up_from(Sender::NotRequested, "late"), "unavailable", "nobody can have a call");
}

#[test]
fn an_address_over_its_share_is_refused_at_once_and_another_one_is_not() {
    let mut scene = limited(150);
    let mut made = 0;
    for number in 0..200 {
        scene.look_up_from(address(1), &format!("random{number}"));
        for (call, _) in scene.called_about() {
            made += 1;
            scene.finish(call, response(200, br#"{"active":false}"#.to_vec()));
        }
    }
    assert_eq!(made, 25, "a third of the half of 150");
    assert_eq!((scene.look_up_from(address(1), "one more"), scene.cause), ("unavailable", Some(Cause::RateLimited)));
    assert_eq!(scene.look_up_from(address(2), "visitor"), "wait");
    assert_eq!(scene.called_about().len(), 1);
    // Without an address there is only the common limit.
    assert_eq!(scene.look_up_from(Sender::Anonymous, "somebody"), "wait");
}

#[test]
fn addresses_take_turns_and_none_fills_the_queue_or_all_calls() {
    let mut scene = limited(100_000);
    let flood: Vec<&str> = (0..600).map(|number| scene.look_up_from(address(1), &format!("random{number}"))).collect();
    let places = flood.iter().filter(|told| **told == "wait").count();
    assert!((170..=172).contains(&places), "{places} of 512 places");
    assert_eq!(scene.cause, Some(Cause::QueueFull));
    for number in 0..3 {
        assert_eq!(scene.look_up_from(address(2), &format!("visitor{number}")), "wait");
    }
    let first = scene.called_about();
    let visitors = (0..3).filter(|number| {
        let token = digest(&format!("visitor{number}"));
        first.iter().any(|(_, about)| *about == token)
    });
    assert_eq!(visitors.count(), 3, "all clients with few tokens are in the first calls");
    assert!(first.len() <= 3 + 11, "{} calls at a time, a third of 32 of them for one address", first.len());
    // Each end of a call lets the next one begin, in turns.
    for number in 3..6 {
        assert_eq!(scene.look_up_from(address(2), &format!("visitor{number}")), "wait");
    }
    for (call, _) in &first[..6] {
        scene.finish(*call, response(200, br#"{"active":false}"#.to_vec()));
    }
    let next: Vec<TokenDigest> = scene.called_about().into_iter().map(|(_, about)| about).collect();
    for number in 3..6 {
        assert!(next.contains(&digest(&format!("visitor{number}"))), "visitor{number} is behind a crowd");
    }
}

#[test]
fn requester_over_its_shared_share_is_dismissed_alone() {
    let mut scene = limited(600);
    for (sender, token) in [(1, "a"), (1, "b"), (2, "c")] {
        assert_eq!(scene.look_up_from(address(sender), token), "wait");
    }
    let calls = scene.called_about();
    let of = |token: &str| calls.iter().find(|(_, about)| *about == digest(token)).unwrap().0;
    let recalled = scene.introspection.defer(
        of("a"),
        Deferral::LimitReached(LimitReached::ShareExhausted(Duration::from_secs(20))),
        scene.now,
    );
    assert_eq!(recalled, [digest("a")]);
    assert_eq!(scene.look_up_from(address(1), "a"), "unavailable");
    assert!(scene.introspection.is_calling(of("b")) && scene.introspection.is_calling(of("c")));
    assert_eq!(scene.look_up_from(address(2), "d"), "wait");
    scene.now = at(20_000);
    assert_eq!(scene.look_up_from(address(1), "a"), "wait");
    // A short time is waited for, without looking again all the while.
    let call = scene.called_about().into_iter().find(|(_, about)| *about == digest("a")).unwrap().0;
    let recalled = scene.introspection.defer(
        call,
        Deferral::LimitReached(LimitReached::ShareExhausted(Duration::from_secs(1))),
        scene.now,
    );
    assert_eq!(recalled, []);
    assert_eq!(scene.called_about(), []);
    scene.now = at(21_000);
    assert_eq!(scene.called_about().len(), 1);
}

#[test]
fn another_workers_429_counts_as_the_endpoints_failure() {
    for class in [BudgetClass::Unknown, BudgetClass::Established] {
        let mut scene = scene();
        scene.make_active("user");
        scene.now = at(30_000);
        scene.look_up(if class == BudgetClass::Established { "user" } else { "t" });
        let number = scene.only_call();
        let recalled = scene.introspection.defer(
            number,
            Deferral::LimitReached(LimitReached::Blocked(Duration::from_secs(20))),
            scene.now,
        );
        assert_eq!(recalled.len(), 1);
        for token in ["t", "user"] {
            assert_eq!(scene.look_up(token), "unavailable 20000", "{token}");
            assert_eq!(scene.cause, Some(Cause::EndpointFailing), "{token}");
        }
        assert!(scene.introspection.stats(scene.now).is_paused);
        scene.now = at(50_000);
        assert_eq!(scene.look_up("t"), "wait");
    }
}

fn stating(limit: &str, remaining: &str, reset_in: u64, body: Vec<u8>) -> CalloutResult {
    let reset = (NOW.as_secs() + reset_in).to_string();
    Ok(HttpResponse::new(200, body)
        .with_header("x-rate-limit-limit", Some(limit))
        .with_header("x-rate-limit-remaining", Some(remaining))
        .with_header("x-rate-limit-reset", Some(reset)))
}

#[test]
fn a_stated_limit_lowers_ours_is_shared_when_it_changes_and_is_forgotten_in_time() {
    let mut scene = limited(600);
    for (limit, shared, effective) in [
        ("300", Some(300), 300),
        ("300", None, 300),
        ("junk", None, 300),
        ("1200", Some(1200), 600),
        ("40", Some(40), 40),
    ] {
        scene.look_up(&format!("t{limit}{shared:?}"));
        let number = scene.only_call();
        let end = scene.finish(number, stating(limit, "9", 30, answer(&json!({}))));
        assert_eq!(end.ceiling.map(NonZeroU32::get), shared, "{limit}");
        assert_eq!((end.result, end.block), (CallResult::Answered, None));
        assert_eq!(scene.introspection.stats(scene.now).calls_per_minute, effective, "{limit}");
    }
    scene.now = at(300_000);
    assert_eq!(scene.introspection.stats(scene.now).calls_per_minute, 600);
}

#[test]
fn last_call_that_the_server_allows_pauses_until_the_next_minute() {
    let mut scene = scene();
    for token in ["t", "u"] {
        scene.look_up(token);
    }
    let numbers: Vec<_> = scene.calls().iter().map(|call| call.number).collect();
    scene.look_up("v");
    let end = scene.finish(numbers[0], stating("300", "0", 20, answer(&json!({}))));
    assert_eq!((end.result, end.block), (CallResult::Answered, Some(at(20_000))));
    assert_eq!(end.resume.len(), 2, "the answered one, and the one that has no call yet");
    assert_eq!(scene.look_up("t"), "Fresh alice@acme.com");
    assert_eq!((scene.look_up("v").as_str(), scene.cause), ("unavailable 20000", Some(Cause::EndpointFailing)));
    scene.now = at(20_000);
    assert_eq!(scene.look_up("v"), "wait");
    assert_eq!(scene.calls().len(), 1);
}

#[test]
fn one_oauth_client_leaves_calls_to_others_whatever_its_tokens() {
    let mut scene = limited(150);
    let mut made = [0, 0];
    for number in 0..400 {
        let greedy = number < 390;
        let claims = json!({ "iss": super::super::fixture::ISSUER, "aud": "api://default", "exp": NOW.as_secs() + 600,
            "cid": if greedy { "greedy" } else { "modest" }, "jti": format!("AT.{number}") });
        let token = ValidatedToken::validate(verified(&claims, None), &provider(), NOW).unwrap();
        let text = format!("jwt{number}");
        let (provider, arrived, now) = (&scene.provider, scene.introspection.arrived(), scene.now);
        scene.introspection.look_up_jwt(text.as_bytes(), &token, provider, arrived, now);
        for (call, _) in scene.called_about() {
            made[usize::from(!greedy)] += 1;
            scene.finish(call, response(200, br#"{"active":false}"#.to_vec()));
        }
    }
    assert!((122..=125).contains(&made[0]), "{made:?}");
    assert_eq!(made[1], 10, "{made:?}");
    let caller = Caller { class: BudgetClass::Established, requester: None };
    assert_eq!(scene.introspection.limits.pause(caller, scene.now), Duration::ZERO);
}
