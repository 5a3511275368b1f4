//! Groups H and N: request fields besides the token, and attacks on availability.

use okta_proxy_wasm::policy::target_headers::TARGET_HEADERS;
use serde_json::{Value, json};

use super::{Decision, NOW, Scene, Verdict, claiming, edits, one_issuer, status_for, two_issuers};
use crate::forge::{Forge, base64url};
use crate::random::Random;
use crate::signing::{payload, with};
use okta_proxy_wasm::unix_time::UnixTime;

/// The decision on a request with this token and these fields.
pub fn sent(configuration: &Value, token: &str, fields: &[(&str, &[u8])]) -> Decision {
    let bearer = format!("Bearer {token}");
    let mut all: Vec<(&str, &[u8])> = vec![("authorization", bearer.as_bytes())];
    all.extend(fields);
    Scene::new(configuration).request(&all).unwrap()
}

/// What the backend gets of these fields: those that no edit removes, and those that edits set.
pub fn at_the_backend(decision: &Decision, fields: &[(&str, &[u8])]) -> Vec<(String, String)> {
    let mut remaining: Vec<(String, String)> = fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    for edit in edits(decision) {
        match edit.strip_prefix('-') {
            Some(name) => remaining.retain(|(field, _)| field != name),
            None => {
                let (name, value) = edit.split_once('=').unwrap();
                remaining.retain(|(field, _)| field != name);
                remaining.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    remaining
}

/// As a backend folds names: CGI, WSGI and their like.
fn folded(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[test]
fn identity_headers_from_a_client_do_not_reach_the_backend() {
    let spellings = [
        ("H1 the identity header itself", "x-user-id"),
        ("H1 in capitals", "X-USER-ID"),
        ("H2 underscores", "X_User_Id"),
        ("H2 lower case underscores", "x_user_id"),
        ("H2 dots", "X.User.Id"),
        ("H2 mixed", "x-user_id"),
        ("H2 mixed with dots", "x.user-id"),
        ("H2 another sign", "x!user!id"),
        ("H2 the client's", "x_client_id"),
        ("H2 the scopes'", "X.Granted_Scopes"),
    ];
    for claims in [json!({}), json!({ "sub": null, "cid": null, "scp": null })] {
        for (label, name) in spellings {
            let fields: Vec<(&str, &[u8])> = vec![(name, b"mallory"), ("accept", b"*/*"), (name, b"mallory")];
            let decision = sent(&two_issuers(), &claiming(claims.clone()), &fields);
            let arrived = at_the_backend(&decision, &fields);
            assert!(arrived.iter().all(|(_, value)| value != "mallory"), "{label}: {arrived:?}");
            assert!(arrived.iter().any(|(name, _)| name == "accept"), "{label}: {arrived:?}");
            let mut names: Vec<String> = arrived.iter().map(|(name, _)| folded(name)).collect();
            names.sort();
            let before = names.len();
            names.dedup();
            assert_eq!(names.len(), before, "{label}: H3 exactly one ours remains: {arrived:?}");
        }
    }
    let duplicated: Vec<(&str, &[u8])> =
        vec![("x-user-id", b"alice@acme.com"), ("x-user-id", b"root"), ("x_user_id", b"root")];
    let decision = sent(&two_issuers(), &claiming(json!({})), &duplicated);
    let arrived = at_the_backend(&decision, &duplicated);
    let ours: Vec<_> = arrived.iter().filter(|(name, _)| folded(name) == "X_USER_ID").collect();
    assert_eq!(ours, [&("x-user-id".to_owned(), "alice@acme.com".to_owned())], "H3 duplicate identity header");
}

#[test]
fn header_that_changes_the_target_is_removed_under_every_rule() {
    let mut open = two_issuers();
    open["default_rule"] = json!({ "access": "public" });
    for configuration in [two_issuers(), open] {
        let scene = Scene::new(&configuration);
        for header in TARGET_HEADERS {
            for name in
                [header.name.to_owned(), header.name.replace('-', "_"), format!("Grpc.Metadata-{}", header.name)]
            {
                let fields: Vec<(&str, &[u8])> = vec![(&name, b"evil"), ("accept", b"*/*"), (&name, b"evil")];
                let decision = sent(&configuration, &claiming(json!({})), &fields);
                let arrived = at_the_backend(&decision, &fields);
                assert!(arrived.iter().all(|(_, value)| value != "evil"), "{name}: {arrived:?}");
                assert!(arrived.iter().any(|(name, _)| name == "accept"), "{name}: {arrived:?}");
                assert!(scene.engine.is_managed_trailer(&name), "{name}");
            }
        }
    }
    let mut kept = two_issuers();
    kept["insecure_keep_target_headers"] = json!(["x-forwarded-host"]);
    let fields: Vec<(&str, &[u8])> =
        vec![("x-forwarded-host", b"proxy"), ("X_Forwarded_Host", b"evil"), ("forwarded", b"evil")];
    let arrived = at_the_backend(&sent(&kept, &claiming(json!({})), &fields), &fields);
    assert!(arrived.contains(&("x-forwarded-host".to_owned(), "proxy".to_owned())), "{arrived:?}");
    assert!(arrived.iter().all(|(_, value)| value != "evil"), "{arrived:?}");
    assert!(Scene::new(&kept).engine.is_managed_trailer("X-Forwarded-Host"));
}

#[test]
fn connection_header_names_only_the_upgrade() {
    for (values, expected) in [
        (&["upgrade"][..], None),
        (&["keep-alive, Upgrade"], None),
        (&["close"], None),
        (&[""], None),
        (&["Upgrade, x-user-id"], Some("connection=upgrade")),
        (&["x-user-id,UPGRADE"], Some("connection=upgrade")),
        (&["upgrade", "X_User_Id"], Some("connection=upgrade")),
        (&["upgrade, \u{ff}"], Some("connection=upgrade")),
        (&["close, x-user-id"], Some("-connection")),
        (&["upgradex"], Some("-connection")),
    ] {
        let fields: Vec<(&str, &[u8])> = values.iter().map(|value| ("Connection", value.as_bytes())).collect();
        let decision = sent(&two_issuers(), &claiming(json!({})), &fields);
        let found: Vec<String> = edits(&decision).into_iter().filter(|edit| edit.contains("connection")).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{values:?}");
    }
}

#[test]
fn a_trailer_cannot_repeat_an_identity_header() {
    let scene = Scene::new(&two_issuers());
    for name in [
        "x-user-id",
        "x_user_id",
        "x.user.id",
        "X-User-Id",
        "x-client-id",
        "x.granted.scopes",
        "Grpc-Metadata-X-User-Id",
    ] {
        assert!(scene.engine.is_managed_trailer(name), "H5 trailers that repeat the identity header: {name}");
    }
    for name in ["grpc-status", "x-user-idx", "x-user", "user-id"] {
        assert!(!scene.engine.is_managed_trailer(name), "H5 {name} is nobody's");
    }
}

#[test]
fn a_claim_is_never_raw_in_a_header() {
    let mut configuration = one_issuer(&[Forge::RsaA.jwk("rsa")]);
    configuration["claim_to_headers"] = json!([
        { "header": "x-user", "claim": "sub" }, { "header": "x-list", "claim": "list", "format": "comma" },
        { "header": "x-words", "claim": "list", "format": "space" }, { "header": "x-json", "claim": "list", "format": "json" },
    ]);
    let nasty = [
        ("H4 CR LF", "alice\r\nx-user-id: root"),
        ("H4 LF", "alice\nroot"),
        ("H4 NUL", "alice\0"),
        ("H4 DEL", "\u{7f}"),
        ("H4 comma", "alice,root"),
        ("H4 semicolon and equals", "alice; admin=true"),
        ("H4 non-ASCII", "Zo\u{eb}"),
        ("H4 right-to-left", "\u{202e}toor"),
        ("H4 blanks", " root "),
        ("H4 percent", "%0d%0a"),
        ("H4 next line U+0085", "a\u{85}b"),
        ("H4 line separator", "a\u{2028}b"),
        ("H4 quotes", "\"a\\\""),
        ("H4 emoji", "\u{1f600}"),
    ];
    let mut seen = Vec::new();
    for (label, text) in nasty {
        let token = claiming(json!({ "sub": text, "list": [text, "b"] }));
        let written = edits(&sent(&configuration, &token, &[]));
        for edit in &written {
            assert!(edit.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{label}: {edit:?}");
        }
        let value = |name: &str| {
            written
                .iter()
                .find_map(|edit| edit.strip_prefix(&format!("{name}=")).map(str::to_owned))
                .unwrap_or_default()
        };
        assert_eq!(value("x-list").matches(',').count(), 1, "{label}: an element that splits");
        assert_eq!(value("x-words").matches(' ').count(), 1, "{label}: an element that splits");
        let json: Value = serde_json::from_str(&value("x-json")).unwrap();
        assert_eq!(json, json!([text, "b"]), "{label}: JSON in ASCII");
        assert!(!seen.contains(&value("x-user")), "{label}: two texts, one value");
        seen.push(value("x-user"));
    }
}

#[test]
fn no_request_header_bypasses_the_token_requirement() {
    let fields: [(&str, &[u8]); 18] = [
        ("x-forwarded-uri", b"/public"),
        ("x-original-url", b"/public"),
        ("x-original-uri", b"/public"),
        ("x-rewrite-url", b"/public"),
        ("x-envoy-original-path", b"/public"),
        ("x-envoy-decorator-operation", b"health"),
        ("x-forwarded-for", b"127.0.0.1"),
        ("x-envoy-external-address", b"127.0.0.1"),
        ("x-envoy-internal", b"true"),
        ("x-forwarded-client-cert", b"By=spiffe://x;URI=spiffe://root"),
        ("x-http-method-override", b"OPTIONS"),
        ("user-agent", b"kube-probe/1.29"),
        ("user-agent", b"GoogleHC/1.0"),
        ("x-user-id", b"root"),
        ("x-forwarded-access-token", b"a.b.c"),
        ("proxy-authorization", b"Bearer a.b.c"),
        ("upgrade", b"websocket"),
        ("origin", b"https://acme.com"),
    ];
    for (name, value) in fields {
        let decision = Scene::new(&two_issuers()).request(&[(name, value)]).unwrap();
        assert_eq!(decision.audit.reason(), "token_missing", "H7 {name} spoof");
        assert!(matches!(&decision.verdict, Verdict::Deny(reply) if reply.status == 401), "H7 {name}");
    }
    let everything = Scene::new(&two_issuers()).request(&fields).unwrap();
    assert_eq!(everything.audit.reason(), "token_missing", "H7 all of them");
}

/// Texts that stress a parser, each within and beyond the size limit.
fn monsters() -> Vec<(&'static str, String)> {
    let claims = payload(NOW).to_string();
    let inner = &claims[1..claims.len() - 1];
    let many = |count: usize| (0..count).map(|n| format!("\"k{n}\":0")).collect::<Vec<_>>().join(",");
    vec![
        ("D4 100 000 keys", format!("{{{inner},{}}}", many(100_000))),
        ("D4 257 keys", format!("{{{}}}", many(257))),
        ("D4 4000 keys within the size limit", format!("{{{inner},{}}}", many(4000))),
        ("D4 1 MB string", format!("{{{inner},\"x\":\"{}\"}}", "a".repeat(1 << 20))),
        ("D4 1e6 escapes", format!("{{{inner},\"x\":\"{}\"}}", "\\u0061".repeat(1_000_000))),
        ("D4 7000 escapes", format!("{{{inner},\"x\":\"{}\"}}", "\\u0061".repeat(7000))),
        ("D4 40 KB string", format!("{{{inner},\"x\":\"{}\"}}", "a".repeat(40_000))),
        ("D4 40 KB of one number", format!("{{{inner},\"x\":{}}}", "9".repeat(40_000))),
        ("D4 a number of 40 000 zeros behind the point", format!("{{{inner},\"x\":0.{}1}}", "0".repeat(40_000))),
        ("D4 20 000 elements", format!("{{{inner},\"x\":[{}0]}}", "0,".repeat(20_000))),
        ("D4 10 000 empty objects", format!("{{{inner},\"x\":[{}0]}}", "{},".repeat(10_000))),
        ("D3 depth 20 000", format!("{{{inner},\"x\":{}", "[".repeat(20_000))),
        ("D4 10 000 audiences", format!("{{{inner},\"x\":1,\"AUD\":[{}0]}}", "\"a\",".repeat(10_000))),
    ]
}

#[test]
fn large_or_deep_input_costs_no_more_than_one_read() {
    for max_bytes in [8192, 61_440] {
        let mut configuration = two_issuers();
        configuration["token"] = json!({ "max_bytes": max_bytes });
        let mut scene = Scene::new(&configuration);
        for (label, text) in monsters() {
            let token = format!("{}.{}.AAAA", base64url(r#"{"alg":"RS256","kid":"rsa"}"#), base64url(&text));
            let reason = scene.reason(&token);
            if token.len() > max_bytes {
                assert_eq!(reason, "token_too_large", "{label}: nothing is decoded");
            } else {
                assert!(["token_claims_json", "signature_invalid"].contains(&reason), "{label}: {reason}");
            }
            assert_eq!(status_for(reason), 401);
        }
        assert!(
            scene.signatures_verified() <= 7,
            "one verification at most for each that can be parsed: {}",
            scene.signatures_verified()
        );
        assert_eq!(scene.pending(), 0);
    }
    let limit = Forge::RsaA.token("RS256", "rsa", json!({}), &with(&payload(NOW), json!({ "x": "a".repeat(20_000) })));
    let mut configuration = two_issuers();
    configuration["token"] = json!({ "max_bytes": 61_440 });
    assert_eq!(Scene::new(&configuration).reason(&limit), "authorized", "D4 large and good, where that is allowed");
    let long_kid = Forge::RsaA.token("RS256", &"k".repeat(1000), json!({}), &payload(NOW));
    assert_eq!(Scene::new(&two_issuers()).reason(long_kid), "key_unknown", "D4 a kid of 1000 characters");
}

#[test]
fn flood_leaves_only_bounded_state() {
    let mut scene = super::keys::holding(&[Forge::RsaA.jwk("rsa")]);
    let good = claiming(json!({}));
    // N2 token flood: decided requests hold nothing, parked ones have a bounded room and all are decided.
    for number in 0..2000_u32 {
        let token = format!(
            "{}.{}.AAAA",
            base64url(format!("{{\"alg\":\"RS256\",\"kid\":\"{number}\"}}")),
            base64url(payload(NOW).to_string())
        );
        let _ = scene.bearer(token);
        let _ = scene.bearer("x".repeat(usize::try_from(number).unwrap()));
    }
    let waiting = scene.pending();
    assert!(waiting <= 4096, "N2 token flood: {waiting} wait");
    for _ in 0..200 {
        scene.pass(1);
        for fetch in scene.tick() {
            scene.answer(&fetch, super::keys::published(&[Forge::RsaA.jwk("rsa")]));
        }
    }
    assert_eq!(scene.pending(), 0, "N2 token flood: nobody is left waiting");
    // N2 header flood: ten thousand fields, and as many spellings of a managed one.
    let names: Vec<String> = (0..10_000).map(|n| format!("x-h{n}")).collect();
    let mut fields: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"v"[..])).collect();
    fields.extend((0..1000).map(|_| ("x_user_id", &b"root"[..])));
    let bearer = format!("Bearer {good}");
    fields.push(("authorization", bearer.as_bytes()));
    let decision = scene.request(&fields).unwrap();
    assert_eq!(edits(&decision).len(), 5, "N2 header flood: one edit for each name that must go or be set");
}

#[test]
fn arbitrary_bytes_are_rejected_like_any_bad_token() {
    let mut scene = Scene::new(&two_issuers());
    let good = claiming(json!({}));
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    let mut decided = 0;
    // N1 panic anywhere: every byte of a good credential replaced, removed, doubled; and noise.
    let bearer = format!("Bearer {good}").into_bytes();
    for at in 0..bearer.len() {
        for byte in [0, b' ', b'.', b'=', b',', b'A', 0x7f, 0xff, random.byte()] {
            let mut bent = bearer.clone();
            bent[at] = byte;
            decided += usize::from(scene.request(&[("authorization", &bent)]).is_ok());
        }
        let mut shorter = bearer.clone();
        shorter.remove(at);
        decided += usize::from(scene.request(&[("authorization", &shorter)]).is_ok());
        decided += usize::from(scene.request(&[("authorization", &bearer[..at])]).is_ok());
    }
    assert_eq!(decided, bearer.len() * 11, "N1 panic anywhere: one was not decided");
    for length in 0..2000_usize {
        let noise: Vec<u8> = (0..length % 300).map(|_| random.byte()).collect();
        let name = ["authorization", "x-request-id", "x_user_id", ":path", ":method", ""][length % 6];
        scene.request(&[(name, &noise)]).unwrap();
        let parts: Vec<String> = (0..3).map(|part| base64url(&noise[noise.len() * part / 4..])).collect();
        assert_ne!(scene.reason(parts.join(".")), "authorized");
    }
    assert_eq!(scene.reason(&good), "authorized", "N1 the next request is served");
    for now in [0, 1, u64::MAX / 1000, u64::MAX] {
        scene.now = UnixTime::from_secs(now);
        assert_ne!(scene.reason(&good), "authorized", "N1 at the ends of time");
        scene.tick();
    }
}
