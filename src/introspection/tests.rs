mod bounds;
mod clock;
mod failures;
mod fairness;
mod workers;

use super::call::{Call, CallFault, CallNumber, CallResult, Deferral, Purpose, TokenDigest, TokenKind};
use super::fixture::{NOW, answer, provider, settings};
use super::sharing::{CallLease, NothingShared, RecordNames, SharedResponse, SharedResponses, SharedSlot};
use super::*;
use crate::callout::{CalloutResult, HttpResponse, TransportError};
use crate::jose::private_key::NoRsaSigner;
use crate::jose::signing_fixture::verified;
use crate::lookup::http_request::Message;
use crate::lookup::lease::Lease;
use crate::lookup::rate_limiter::{Acquire, LimitReached};
use crate::lookup::record::Record as _;
use crate::lookup::requester::BudgetClass;
use crate::policy::{CalloutAddress, Discovery, EndpointAddress, MetadataFault, Provider, ValidatedToken};
use crate::randomness::{Entropy, Jitter};
use crate::sequence::Sequence;
use serde_json::{Value, json};
use std::num::NonZeroU32;

const FULL: Jitter = Jitter(u16::MAX);
const ENTROPY: Entropy = Entropy([1; 32]);

struct Scene {
    introspection: ProviderIntrospection,
    provider: Provider,
    now: UnixTime,
    /// The number of the last call.
    last: Sequence,
    /// Why the last that was told so cannot be told anything.
    cause: Option<Cause>,
}

fn at(millis: u64) -> UnixTime {
    NOW.plus(Duration::from_millis(millis))
}

fn response(status: u16, body: Vec<u8>) -> CalloutResult {
    Ok(HttpResponse::new(status, body))
}

fn scene_of(settings: Introspection) -> Scene {
    Scene {
        introspection: ProviderIntrospection::new(settings, CacheLimits::default(), Rc::new(NothingShared)),
        provider: provider(),
        now: NOW,
        last: Sequence::default(),
        cause: None,
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
    fn look_up(&mut self, token: &str) -> String {
        self.look_up_since(token, self.introspection.arrived())
    }

    /// The result for a request that `arrived` then.
    fn look_up_since(&mut self, token: &str, arrived: Arrived) -> String {
        match self.introspection.look_up_opaque(token.as_bytes(), &self.provider, arrived, self.now) {
            LookUp::Active(token, freshness) => format!("{freshness:?} {}", token.subject().unwrap_or_default()),
            LookUp::Rejected(Rejection::Inactive) => "inactive".to_owned(),
            LookUp::Rejected(refusal) => format!("{refusal:?}"),
            LookUp::Pending(_) => "wait".to_owned(),
            LookUp::Unavailable(unavailable) => {
                self.cause = Some(unavailable.cause);
                format!("unavailable {}", unavailable.wait.as_millis())
            }
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

    /// The call ends, whose lease has the next number.
    fn finish(&mut self, number: CallNumber, outcome: CalloutResult) -> CallEnd {
        self.last = self.last.next();
        self.finish_as(number, self.last, outcome)
    }

    fn finish_as(&mut self, number: CallNumber, sequence: Sequence, outcome: CalloutResult) -> CallEnd {
        self.introspection.finish_call(number, Some(sequence), outcome, &self.provider, FULL, self.now)
    }

    fn respond(&mut self, changes: &Value) -> CallEnd {
        let number = self.only_call();
        self.finish(number, response(200, answer(changes)))
    }

    /// Makes a token known as active.
    fn make_active(&mut self, token: &str) {
        assert_eq!(self.look_up(token), "wait");
        self.respond(&json!({"sub": token}));
        assert_eq!(self.look_up(token), format!("Fresh {token}"));
    }

    fn fails(&mut self, outcome: CalloutResult) -> CallEnd {
        let number = self.only_call();
        self.finish(number, outcome)
    }
}

#[test]
fn response_serves_until_the_end_of_its_ttl() {
    let mut scene = scene();
    scene.make_active("t");
    scene.now = at(29_999);
    assert_eq!(scene.look_up("t"), "Fresh t");
    scene.now = at(30_000);
    assert_eq!(scene.look_up("t"), "wait");
    let number = scene.only_call();
    scene.finish(number, response(200, br#"{"active":false}"#.to_vec()));
    assert_eq!(scene.look_up("t"), "inactive", "revoked while it was remembered");
    scene.now = at(34_999);
    assert_eq!(scene.look_up("t"), "inactive");
    scene.now = at(35_000);
    assert_eq!(scene.look_up("t"), "wait");
}

#[test]
fn response_serves_no_longer_than_its_token_lives() {
    let mut scene = scene();
    scene.look_up("t");
    scene.respond(&json!({"exp": NOW.as_secs() + 10}));
    scene.now = at(9_999);
    assert_eq!(scene.look_up("t"), "Fresh alice@acme.com");
    scene.now = at(10_000);
    assert_eq!(scene.look_up("t"), "wait", "by our clock it has expired: its issuer is asked");
    // The issuer's clock is behind ours: whoever waited is served, the next asks again.
    let waiting = scene.introspection.arrived();
    scene.respond(&json!({"exp": NOW.as_secs() + 10}));
    assert_eq!(scene.look_up_since("t", waiting), "Fresh alice@acme.com");
    assert_eq!(scene.look_up("t"), "wait");
    scene.now = at(40_000);
    scene.calls();
    let mut late = super::tests::scene();
    late.now = at(40_000);
    let waiting = late.introspection.arrived();
    late.look_up("t");
    late.respond(&json!({"exp": NOW.as_secs() + 10}));
    assert_eq!(late.look_up_since("t", waiting), "Claim(Expired)", "past the skew nobody is believed");
}

#[test]
fn without_a_ttl_each_request_is_served_by_a_call_that_began_after_it_came() {
    let mut scene = scene_with(|settings| settings.cache_ttl = Duration::ZERO);
    let before = scene.introspection.arrived();
    assert_eq!(scene.look_up("t"), "wait");
    scene.now = at(5);
    let number = scene.only_call();
    let during = scene.introspection.arrived();
    assert_eq!(scene.look_up("t"), "wait");
    scene.now = at(50);
    scene.finish(number, response(200, answer(&json!({}))));
    assert_eq!(scene.look_up_since("t", before), "Fresh alice@acme.com");
    assert_eq!(scene.look_up_since("t", during), "wait", "it came when the call was under way");
    assert_eq!(scene.calls().len(), 1);
}

#[test]
fn active_token_for_another_audience_is_rejected_and_cached_as_such() {
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
        scene.look_up("t");
        let end = scene.respond(&changes);
        assert_eq!(end.share.unwrap().slot, SharedSlot::Negative, "{changes}");
        assert_eq!(scene.look_up("t"), refusal, "{changes}");
        assert_eq!(scene.introspection.stats(scene.now).active, 0, "{changes}");
        scene.now = at(4999);
        assert_eq!((scene.look_up("t"), scene.calls().len()), (refusal.to_owned(), 0), "{changes}");
        scene.now = at(5000);
        assert_eq!(scene.look_up("t"), "wait", "{changes}");
    }
}

#[test]
fn a_jwt_is_held_against_what_its_issuer_says_now() {
    let claims = json!({
        "iss": super::fixture::ISSUER, "aud": "api://default", "exp": NOW.as_secs() + 600, "sub": "alice@acme.com", "cid": "0oa1",
        "jti": "AT.1",
    });
    let token = ValidatedToken::validate(verified(&claims, None), &provider(), NOW).unwrap();
    let looks = |scene: &mut Scene| {
        let (arrived, now) = (scene.introspection.arrived(), scene.now);
        match scene.introspection.look_up_jwt(b"a.b.c", &token, &scene.provider, arrived, now) {
            LookUp::Active(_, freshness) => format!("{freshness:?}"),
            LookUp::Rejected(refusal) => format!("{refusal:?}"),
            LookUp::Pending(_) => "wait".to_owned(),
            LookUp::Unavailable(_) => "unavailable".to_owned(),
        }
    };
    for (changes, expected) in [
        (json!({}), "Fresh"),
        (json!({"aud": "somebody else", "iss": null}), "Fresh"),
        (json!({"jti": "AT.2"}), "OtherToken"),
        (json!({"sub": "bob"}), "OtherToken"),
        (json!({"exp": "soon"}), "Claim(TimeMalformed)"),
        (json!({"active": false}), "Inactive"),
        (json!({"token_use": "refresh_token"}), "Claim(NotAnAccessToken)"),
        (json!({"typ": "ID"}), "Claim(NotAnAccessToken)"),
        (json!({"token_type": "DPoP"}), "Claim(SenderConstrained)"),
        (json!({"nonce": "n", "token_use": "access_token"}), "Fresh"),
    ] {
        let mut scene = scene();
        assert_eq!(looks(&mut scene), "wait");
        let calls = scene.calls();
        assert!(
            matches!(calls[0].purpose, Purpose::Token { class: BudgetClass::Established, .. }),
            "its signature holds"
        );
        scene.finish(calls[0].number, response(200, answer(&changes)));
        assert_eq!(looks(&mut scene), expected, "{changes}");
        assert_eq!(scene.look_up("a.b.c"), "wait", "as an opaque token it is another question");
    }
}

#[test]
fn a_request_has_the_token_in_its_body_and_there_is_none_for_a_call_that_ended() {
    let mut scene = scene();
    scene.look_up("s3cret");
    let number = scene.only_call();
    let request = scene.introspection.request(number, Some(&ENTROPY), &NoRsaSigner, NOW).unwrap();
    let address = CalloutAddress::parse("https://acme.okta.com/oauth2/default/v1/introspect", "okta").unwrap();
    assert_eq!(request.address, address);
    let Message::PostForm { body, .. } = &request.message else { panic!("a POST") };
    assert!(body.reveal().contains("token=s3cret&"));
    let calls = scene.calls();
    let shown = format!("{:?} {request:?} {calls:?}", scene.introspection);
    assert!(!shown.contains("s3cret") && !shown.contains("hunter2"), "{shown}");
    scene.finish(number, response(200, answer(&json!({}))));
    assert_eq!(scene.introspection.request(number, Some(&ENTROPY), &NoRsaSigner, NOW), Err(NoRequest::Ended));
    let shown = format!("{:?}", scene.introspection);
    assert!(!shown.contains("alice"), "{shown}");
}
