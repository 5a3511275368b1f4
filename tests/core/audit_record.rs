//! The record of a decision: it follows `docs/audit-record.schema.json`, and the configured decisions are logged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine_harness::{Effects, Harness, NOW, Setup, call_response, get, list_response};
use crate::proof_requirement::{self, confirmation, key_thumbprint};
use crate::proof_signer::{ProofSigner, claims};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, fetched_issuer, key_set, payload, with};
use jsonschema::Validator;
use okta_proxy_wasm::callout::{CalloutResult, TransportError};
use okta_proxy_wasm::config;
use okta_proxy_wasm::engine::audit::MAX_BYTES;
use okta_proxy_wasm::engine::{Attribute, Decision, LeaseOutcome, LimitReached, ParkingLimits};
use okta_proxy_wasm::http::RequestHead;
use serde_json::{Value, json};

/// A condition that speaks of a token stands under no rule that lets requests without one come so far.
const UNREACHABLE: [&str; 1] = ["condition_token_missing"];

/// The digest of the client's certificate.
const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const THUMBPRINT: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(root().join("docs/audit-record.schema.json")).unwrap()).unwrap()
}

/// Takes records and holds each against the schema.
struct Reader {
    validator: Validator,
    reasons: BTreeSet<String>,
    /// The words found under each member that has few.
    members: BTreeMap<String, BTreeSet<String>>,
}

impl Reader {
    fn new() -> Self {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        Self { validator, reasons: BTreeSet::new(), members: BTreeMap::new() }
    }

    fn read(&mut self, decision: &Decision) -> Value {
        self.read_line(&decision.audit.to_json())
    }

    fn read_line(&mut self, line: &str) -> Value {
        assert!(line.len() <= MAX_BYTES && !line.contains('\n'), "{} bytes: {line}", line.len());
        let record: Value = serde_json::from_str(line).unwrap();
        let faults: Vec<String> = self.validator.iter_errors(&record).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{record}: {faults:?}");
        self.reasons.insert(record["reason"].as_str().unwrap().to_owned());
        for (name, value) in record.as_object().unwrap() {
            self.members.entry(name.clone()).or_default().extend(value.as_str().map(str::to_owned));
        }
        record
    }
}

/// An engine, and what becomes of its requests.
struct Scene<'a> {
    engine: Harness,
    reader: &'a mut Reader,
}

fn environment(name: &str) -> Option<String> {
    (name == "SECRET").then(|| "hunter2".to_owned())
}

impl<'a> Scene<'a> {
    fn new(configuration: &Value, reader: &'a mut Reader) -> Self {
        Self::with_limits(configuration, ParkingLimits::default(), reader)
    }

    fn with_limits(configuration: &Value, limits: ParkingLimits, reader: &'a mut Reader) -> Self {
        let setup = Setup { environment: &environment, limits, ..Setup::default() };
        Self { engine: Harness::with(configuration, setup), reader }
    }

    /// What is logged of a request that is decided at once; of one that waits nothing.
    fn request(&mut self, fields: &[(&str, &str)]) -> Option<Value> {
        self.bytes(fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect())
    }

    fn bytes(&mut self, mut fields: Vec<(String, Vec<u8>)>) -> Option<Value> {
        for (name, value) in [(":method", "GET"), (":path", "/"), (":authority", "api.acme.com")] {
            if !fields.iter().any(|(field, _)| field == name) {
                fields.push((name.to_owned(), value.as_bytes().to_vec()));
            }
        }
        let decision = self.engine.request(&RequestHead::new(fields)).ok()?;
        Some(self.reader.read(&decision))
    }

    fn bearer(&mut self, path: &str, token: &str) -> Option<Value> {
        self.request(&[(":path", path), ("authorization", &format!("Bearer {token}"))])
    }

    fn reason(&mut self, path: &str, token: &str) -> String {
        self.bearer(path, token).expect("decided at once")["reason"].as_str().unwrap().to_owned()
    }

    /// The records of the pending requests that were decided by now.
    fn read_all(&mut self) -> Vec<Value> {
        self.engine.take_decided().iter().map(|(_, decision)| self.reader.read(decision)).collect()
    }

    fn tick(&mut self) -> Effects {
        let effects = self.engine.tick();
        self.read_all();
        effects
    }

    /// What is logged when the call that is due ends like this.
    fn record_after(&mut self, outcome: CalloutResult) -> Value {
        let call = self.tick().calls.remove(0);
        self.engine.done(call.id, outcome);
        self.read_all().remove(0)
    }

    fn pass(&mut self, time: Duration) {
        self.engine.pass(time);
    }
}

fn inline() -> Value {
    json!({ "issuer": ISSUER, "audiences": [AUDIENCE], "client_ids": ["0oa1client"], "max_token_lifetime": "2h",
        "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) } })
}

fn token(changes: Value) -> String {
    SigningKey::a("k1").token(&with(&payload(NOW), changes))
}

/// One rule for each way in which a good token may not do something.
fn with_requirements() -> Value {
    let rules = [
        ("/audiences", json!({ "audiences": ["api://finance"] })),
        ("/clients", json!({ "client_ids": ["0oa2other"] })),
        ("/groups", json!({ "groups": ["finance"] })),
        ("/claims", json!({ "claims": { "department": "finance" } })),
        ("/amr", json!({ "amr": ["hwk"] })),
        ("/proof", json!({ "proof": "any" })),
        ("/not", json!({ "not": { "client_ids": ["0oa1client"] } })),
        ("/not-told", json!({ "not": { "groups": ["suspended"] } })),
        ("/acr", json!({ "acr": "urn:okta:loa:2fa:any" })),
        ("/age", json!({ "max_age": "15m" })),
        ("/scopes", json!({ "scopes": ["pay"] })),
        ("/any", json!({ "any_of": [{ "groups": ["a"] }, { "groups": ["b"] }] })),
        ("/condition", json!({ "condition": "claims.tenant == 'acme'" })),
        ("/number", json!({ "condition": "10 / claims.level == 10" })),
        ("/range", json!({ "condition": "int(claims.level) > 3" })),
        ("/address", json!({ "condition": "ip_in(claims.address, ['10.0.0.0/8'])" })),
        ("/flag", json!({ "condition": "claims.flag" })),
        ("/device", json!({ "condition": "request.headers['x-device'] != 'a'" })),
        ("/orgs", json!({ "condition": "request.url_path == '/orgs'" })),
        ("/many", json!({ "condition": "claims.many.all(one, claims.many.all(other, one != '' && other != ''))" })),
    ];
    let mut rules: Vec<Value> = rules
        .iter()
        .map(|(path, require)| json!({ "name": &path[1..], "match": { "path_prefix": path }, "require": require }))
        .collect();
    rules.push(json!({ "name": "closed", "match": { "path": "/closed" }, "access": "deny" }));
    rules.push(json!({ "name": "open", "match": { "path_prefix": "/open" }, "access": "public" }));
    rules.push(json!({ "name": "host", "match": { "hosts": ["admin.acme.com"] } }));
    rules.push(json!({ "name": "trial", "match": { "path": "/trial" }, "require": { "groups": ["beta"] }, "report_only": true }));
    rules.push(json!({ "name": "preview", "match": { "path": "/preview" }, "access": "optional", "report_only": true,
        "require": { "condition": "request.method == 'POST'" } }));
    json!({ "providers": { "okta": inline() }, "rules": rules, "filter_state": [{ "name": "account", "claim": "account" }],
        "token": { "from_headers": [{ "name": "authorization", "scheme": "Bearer" }], "from_cookies": ["at"],
            "from_params": ["at"], "max_bytes": 20000 } })
}

fn of_tokens(reader: &mut Reader) {
    let key = SigningKey::a("k1");
    let headed = |header: Value| key.token_with_header(&header, &payload(NOW));
    let good = token(json!({}));
    let mut scene = Scene::new(&with_requirements(), reader);
    let rows = [
        (good.clone(), "authorized"),
        ("a".repeat(20_001), "token_too_large"),
        ("opaque".to_owned(), "token_opaque"),
        (format!("{good}="), "token_encoding"),
        (headed(json!({ "alg": "RS256", "kid": "x".repeat(4000) })), "token_header_too_large"),
        (key.token_of_texts("{", "{}"), "token_header_json"),
        (headed(json!({ "alg": 5 })), "algorithm_malformed"),
        (headed(json!({ "alg": "none" })), "algorithm_unsupported"),
        (headed(json!({ "alg": "RS256", "kid": 5 })), "token_header_malformed"),
        (headed(json!({ "alg": "RS256", "kid": "k1", "crit": ["x"] })), "token_extension_unsupported"),
        (key.token_of_texts(r#"{"alg":"RS256","kid":"k1"}"#, "["), "token_claims_json"),
        (SigningKey::b("k1").token(&payload(NOW)), "signature_invalid"),
        (headed(json!({ "alg": "ES256", "kid": "k1" })), "algorithm_not_allowed"),
        (SigningKey::a("k9").token(&payload(NOW)), "key_unknown"),
        (token(json!({ "iss": 5 })), "issuer_malformed"),
        (token(json!({ "iss": "https://evil.example/\n\u{202e}" })), "issuer_unknown"),
        (token(json!({ "nonce": "x" })), "not_an_access_token"),
        (token(json!({ "aud": null })), "audience_missing"),
        (token(json!({ "aud": 5 })), "audience_malformed"),
        (token(json!({ "aud": "api://other" })), "audience_unexpected"),
        (token(json!({ "exp": null })), "expiry_missing"),
        (token(json!({ "exp": "soon" })), "time_malformed"),
        (token(json!({ "exp": NOW - 600 })), "token_expired"),
        (token(json!({ "nbf": NOW + 600 })), "token_not_yet_valid"),
        (token(json!({ "iat": NOW + 600 })), "token_issued_in_the_future"),
        (token(json!({ "exp": NOW + 86_400 })), "token_lifetime_too_long"),
        (token(json!({ "cid": 5 })), "identity_malformed"),
        (token(json!({ "cid": "0oa2other" })), "client_unexpected"),
        (token(json!({ "cnf": {} })), "sender_constrained"),
        (token(json!({ "sub": "x".repeat(9000) })), "identity_too_long"),
        (token(json!({ "account": 1e30 })), "identity_number_inexact"),
    ];
    for (token, expected) in rows {
        let record = scene.bearer("/", &token).expect("decided at once");
        assert_eq!(record["reason"], expected);
        let named = (expected == "issuer_unknown").then_some("https://evil.example/%0A%E2%80%AE");
        assert_eq!(record.get("unknown_issuer").and_then(Value::as_str), named, "{expected}");
    }
    let mut second = inline();
    second["audiences"] = json!(["api://second"]);
    let mut two = Scene::new(&json!({ "providers": { "okta": inline(), "second": second } }), scene.reader);
    let ambiguous = two.bearer("/", &token(json!({ "aud": [AUDIENCE, "api://second"] }))).unwrap();
    assert_eq!(
        ambiguous,
        json!({ "schema": 1, "decision": "deny", "reason": "audience_ambiguous", "method": "GET",
            "host": "api.acme.com", "path": "/", "source": "header" })
    );
    let record = scene.request(&[("x-request-id", "7c3d"), ("cookie", &format!("at={good}"))]).unwrap();
    assert_eq!((&record["source"], &record["proof"]), (&json!("cookie"), &json!("cached")), "{record}");
    let record = scene.request(&[(":path", &format!("/?at={good}"))]).unwrap();
    assert_eq!((&record["source"], &record["issuer"]), (&json!("query"), &json!(ISSUER)), "{record}");
    assert_eq!(scene.request(&[("x-request-id", "7c3d")]).unwrap()["request_id"], "7c3d");
    let bearer = format!("Bearer {good}");
    for (fields, expected) in [
        (&[][..], "token_missing"),
        (&[("authorization", &*bearer), ("authorization", &*bearer)], "multiple_credentials"),
        (&[("authorization", "Bearer a b")], "credential_malformed"),
    ] {
        assert_eq!(scene.request(fields).unwrap()["reason"], expected);
    }
}

fn of_constraints(reader: &mut Reader) {
    let mut provider = inline();
    provider["sender_constraint"] = json!({ "mtls": "required" });
    let mut scene = Scene::new(&json!({ "providers": { "okta": provider } }), reader);
    for (digest, cnf, expected) in [
        (&b""[..], json!({ "x5t#S256": THUMBPRINT }), "certificate_missing"),
        (&[b'0'; 64], json!({ "x5t#S256": THUMBPRINT }), "certificate_mismatch"),
        (b"", json!({ "x5t#S256": "00" }), "certificate_thumbprint_malformed"),
        (b"", Value::Null, "token_not_bound"),
    ] {
        scene.engine.attributes = Some(vec![(Attribute::PeerDigest, digest.to_vec())]);
        assert_eq!(scene.reason("/", &token(if cnf.is_null() { json!({}) } else { json!({ "cnf": cnf }) })), expected);
    }
    let hop = "0".repeat(64);
    let certificate = json!({ "header": "x-forwarded-client-cert", "hops": { "certificate_hashes": [hop] } });
    let mut scene =
        Scene::new(&json!({ "providers": { "okta": provider }, "client_certificate": certificate }), reader);
    scene.engine.attributes = Some(vec![(Attribute::PeerDigest, hop.into_bytes())]);
    let bearer = format!("Bearer {}", token(json!({ "cnf": { "x5t#S256": THUMBPRINT } })));
    let fields = [("authorization", &*bearer), ("x-forwarded-client-cert", "Hash=00")];
    assert_eq!(scene.request(&fields).unwrap()["reason"], "certificate_header_malformed");
    let mut scene = Scene::new(&json!({ "providers": { "okta": proof_requirement::provider() } }), reader);
    for kind in ["dpop", "mtls", "dpop_mtls"] {
        let bound = token(json!({ "cnf": confirmation(kind) }));
        scene.engine.attributes = Some(vec![(Attribute::PeerDigest, HEX.into())]);
        let decision = scene.engine.decide(&proof_requirement::request("/", kind, &bound));
        let record = scene.reader.read(&decision);
        let jkt = kind.contains("dpop").then(key_thumbprint);
        let certificate = kind.contains("mtls").then_some(THUMBPRINT);
        assert_eq!(
            (
                &record["sender_constraint"],
                record.get("jkt").and_then(Value::as_str),
                record.get("x5t_s256").and_then(Value::as_str)
            ),
            (&json!(kind), jkt.as_deref(), certificate)
        );
    }
}

fn of_proofs(reader: &mut Reader) {
    let mut provider = inline();
    provider["sender_constraint"] = json!({ "dpop": "if_bound", "proofs": {
        "origins": ["https://api.acme.com"], "algorithms": ["ES256"] } });
    let mut requiring_nonces = provider.clone();
    requiring_nonces["sender_constraint"]["proofs"]["nonce"] = json!("required");
    let client = ProofSigner::new(1);
    let bound = token(json!({ "cnf": { "jkt": client.thumbprint() } }));
    let proof = |changes: Value| client.proof(&bound, NOW, changes);
    let signed = |header: Value| client.sign(&with(&client.header(), header), &claims(&bound, NOW));
    let mut forged = proof(json!({}));
    let kept = forged.rfind('.').unwrap() + 1;
    forged.replace_range(kept.., &"A".repeat(86));
    let other_key = ProofSigner::new(2).proof(&bound, NOW, json!({}));
    let both = format!("{other_key},{other_key}");
    let private = with(&client.jwk(), json!({ "d": "AQ" }));
    let mut scene =
        Scene::new(&json!({ "providers": { "okta": provider }, "replay_detection": { "max_proofs": 16384 } }), reader);
    for (proof, expected) in [
        (proof(json!({})), "authorized"),
        (proof(json!({})), "proof_replayed"),
        (both, "multiple_proofs"),
        ("x".repeat(9000), "proof_too_large"),
        (proof(json!({ "ath": null })), "proof_malformed"),
        (signed(json!({ "alg": "HS256" })), "proof_algorithm_not_allowed"),
        (signed(json!({ "jwk": private })), "proof_key_unusable"),
        (other_key, "proof_key_mismatch"),
        (proof(json!({ "htm": "POST" })), "proof_htm_mismatch"),
        (proof(json!({ "htu": "https://api.acme.com/x" })), "proof_htu_mismatch"),
        (proof(json!({ "ath": "x" })), "proof_ath_mismatch"),
        (proof(json!({ "iat": NOW - 600 })), "proof_expired"),
        (proof(json!({ "iat": NOW + 600 })), "proof_issued_in_the_future"),
        (forged, "proof_signature_invalid"),
    ] {
        let record = scene.request(&[("authorization", &format!("DPoP {bound}")), ("dpop", &proof)]).unwrap();
        assert_eq!(record["reason"], expected);
        assert!(!record.to_string().contains(&proof), "{record}");
    }
    let (unbound, malformed) = (token(json!({})), token(json!({ "cnf": { "jkt": "x" } })));
    for (scheme, token, expected) in [
        ("DPoP", &bound, "proof_missing"),
        ("Bearer", &bound, "dpop_scheme_required"),
        ("DPoP", &unbound, "token_not_bound_to_key"),
        ("DPoP", &malformed, "key_thumbprint_malformed"),
    ] {
        assert_eq!(scene.request(&[("authorization", &format!("{scheme} {token}"))]).unwrap()["reason"], expected);
    }
    let full = (0..20_000).map(|number| {
        let proof = proof(json!({ "jti": number.to_string() }));
        scene.request(&[("authorization", &format!("DPoP {bound}")), ("dpop", &proof)])
    });
    let is_full =
        |record: &Option<Value>| record.as_ref().is_some_and(|record| record["reason"] == "replay_detection_full");
    assert!(full.into_iter().any(|record| is_full(&record)), "the client uses up its share");
    let mut scene = Scene::new(&json!({ "providers": { "okta": requiring_nonces } }), scene.reader);
    for (nonce, expected) in [(Value::Null, "nonce_required"), (json!("x"), "nonce_invalid")] {
        let proof = proof(json!({ "nonce": nonce }));
        let record = scene.request(&[("authorization", &format!("DPoP {bound}")), ("dpop", &proof)]).unwrap();
        assert_eq!(record["reason"], expected);
    }
}

fn of_rules(reader: &mut Reader) {
    let mut scene = Scene::new(&with_requirements(), reader);
    for (path, claims, expected) in [
        ("/closed", json!({}), "access_denied"),
        ("/audiences", json!({}), "rule_audience_not_allowed"),
        ("/clients", json!({}), "rule_client_not_allowed"),
        ("/groups", json!({ "groups": ["sales"] }), "group_missing"),
        ("/groups", json!({ "groups": 5 }), "claim_malformed"),
        ("/claims", json!({}), "claim_unmet"),
        ("/amr", json!({ "amr": ["pwd"] }), "authentication_method_missing"),
        ("/proof", json!({}), "proof_required"),
        ("/not", json!({}), "not_condition_matched"),
        ("/not-told", json!({}), "claim_missing"),
        ("/acr", json!({ "acr": "urn:okta:loa:1fa:any" }), "authentication_too_weak"),
        ("/age", json!({ "auth_time": NOW - 3600 }), "authentication_too_old"),
        ("/scopes", json!({}), "scope_missing"),
        ("/any", json!({ "groups": [] }), "no_alternative_met"),
        ("/condition", json!({ "tenant": "other" }), "condition_unmet"),
        ("/condition", json!({}), "condition_value_missing"),
        ("/number", json!({ "level": "4" }), "condition_wrong_type"),
        ("/number", json!({ "level": 0 }), "condition_division_by_zero"),
        ("/range", json!({ "level": "four" }), "condition_out_of_range"),
        ("/address", json!({ "address": "nowhere" }), "condition_not_an_address"),
        ("/flag", json!({ "flag": "true" }), "condition_not_boolean"),
        ("/many", json!({ "many": vec!["x"; 1000] }), "condition_too_costly"),
        ("/orgs/a;x", json!({}), "condition_path_ambiguous"),
        ("/open", json!({}), "no_token_required"),
        ("/closed;x", json!({}), "path_ambiguous"),
        ("/a%2fb", json!({}), "path_escaped_slash"),
        ("/a\\b", json!({}), "path_backslash"),
        ("/a/..;/b", json!({}), "path_parameter_in_dot_segment"),
        ("/a%00", json!({}), "path_control_byte"),
        ("/a%zz", json!({}), "path_broken_escape"),
        ("/a#b", json!({}), "path_fragment"),
        ("/a b", json!({}), "path_raw_byte"),
        ("/%c0%ae", json!({}), "path_not_utf8"),
        ("/a//../b", json!({}), "path_dots_after_empty_segment"),
        ("/..", json!({}), "path_above_root"),
        ("*", json!({}), "path_malformed"),
        (&format!("/{}", "a".repeat(8192)), json!({}), "path_too_long"),
    ] {
        assert_eq!(scene.reason(path, &token(claims)), expected, "{path}");
    }
    let bearer = format!("Bearer {}", token(json!({ "acr": "urn:okta:loa:1fa:any" })));
    let record = scene.bearer("/scopes", &token(json!({ "scp": ["a", "b"], "acr": "phr" }))).unwrap();
    assert_eq!(
        record,
        json!({ "schema": 1, "decision": "deny", "reason": "scope_missing", "method": "GET", "host": "api.acme.com",
        "path": "/scopes", "rule": "scopes", "provider": "okta",
        "issuer": ISSUER, "subject": "alice@acme.com", "client": "0oa1client", "jti": "AT.k8vHqQ0p", "scopes": ["a", "b"],
        "required_scopes": ["pay"], "acr": "phr", "source": "header", "proof": "verified" })
    );
    for (fields, expected) in [
        (&[(":authority", "a..b")][..], "host_unusable"),
        (&[(":authority", "admin.acme.com:81")], "host_ambiguous"),
        (&[(":method", "GET"), (":method", "PUT")], "method_malformed"),
    ] {
        assert_eq!(scene.request(fields).unwrap()["reason"], expected);
    }
    let device = vec![
        (":path".to_owned(), b"/device".to_vec()),
        ("x-device".to_owned(), b"\xff".to_vec()),
        ("authorization".to_owned(), bearer.clone().into_bytes()),
    ];
    assert_eq!(scene.bytes(device).unwrap()["reason"], "condition_not_text");
    let trial = scene.request(&[(":path", "/trial"), ("authorization", &bearer)]).unwrap();
    assert_eq!((&trial["decision"], &trial["would_deny"]), (&json!("allow"), &json!("group_missing")));
    let preview = scene.request(&[(":path", "/preview")]).unwrap();
    assert_eq!((&preview["reason"], &preview["would_deny"]), (&json!("no_token_required"), &json!("condition_unmet")));
    let condition = "request.host == 'acme.com' && request.headers['x-device'] == 'a'";
    let conditional =
        json!({ "providers": { "okta": inline() }, "default_rule": { "require": { "condition": condition } } });
    let mut spelled = Scene::new(&conditional, reader);
    for (host, devices, expected) in [
        ("a..b", &["a"][..], "condition_host_malformed"),
        ("acme.com:81", &["a"], "condition_host_ambiguous"),
        ("acme.com", &["a", "b"], "condition_header_ambiguous"),
    ] {
        let mut fields = vec![(":authority", host), ("authorization", &*bearer)];
        fields.extend(devices.iter().map(|device| ("x-device", *device)));
        assert_eq!(spelled.request(&fields).unwrap()["reason"], expected);
    }
}

fn of_waits(reader: &mut Reader) {
    let mut scene = Scene::with_limits(&fetched_issuer(), ParkingLimits { requests: 2, bytes: usize::MAX }, reader);
    let good = token(json!({}));
    assert_eq!(scene.bearer("/", &good), None);
    assert_eq!(scene.reason("/", &good), "too_many_pending");
    scene.pass(Duration::from_secs(60));
    let late = scene.engine.tick();
    let record = scene.read_all().remove(0);
    assert_eq!((&record["reason"], &record["waited_ms"]), (&json!("pending_timed_out"), &json!(60_000)));
    let failed = Err(TransportError::ConnectionFailed);
    scene.engine.done(late.fetches[0].id, failed);
    assert_eq!(scene.reason("/", &good), "keys_unavailable");
}

fn check_introspection_records(reader: &mut Reader) {
    let mut configuration = json!({
        "providers": { "okta": { "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "upstream": "okta",
            "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) },
            "introspection": { "client_id": "gateway", "client_secret": { "env": "SECRET" }, "stale_if_error": "1m" } } },
        "default_rule": { "introspect": true } });
    let answer = |changes: Value| {
        let members = json!({ "active": true, "sub": "alice@acme.com", "aud": AUDIENCE, "exp": NOW + 3600 });
        call_response(200, with(&members, changes).to_string())
    };
    let failed = || Err(TransportError::TimedOut);
    let mut scene = Scene::new(&configuration, reader);
    for (presented, outcome, reason, proof) in [
        ("opaque".to_owned(), answer(json!({})), "authorized", Some("introspected")),
        (token(json!({})), answer(json!({})), "authorized", Some("cached")),
        ("gone".to_owned(), answer(json!({ "active": false })), "token_inactive", None),
        (token(json!({ "jti": "a" })), answer(json!({ "sub": "bob" })), "introspection_mismatch", None),
        ("who".to_owned(), failed(), "introspection_unavailable", None),
    ] {
        assert_eq!(scene.bearer("/", &presented), None, "it waits");
        scene.pass(Duration::from_millis(20));
        let record = scene.record_after(outcome);
        let found = (&record["reason"], record.get("proof").and_then(Value::as_str), &record["waited_ms"]);
        assert_eq!(found, (&json!(reason), proof, &json!(20)), "{record}");
    }
    assert_eq!(scene.bearer("/", "spent"), None, "it waits");
    let call = scene.tick().calls.remove(0);
    let spent = LeaseOutcome::LimitReached(LimitReached::Exhausted(Duration::from_secs(30)));
    scene.engine.lease_done(call.id, spent);
    let mut records = scene.read_all();
    records.extend(scene.bearer("/", "spent"));
    assert!(records.iter().any(|record| record["reason"] == "introspection_rate_limited"), "{records:?}");
    // Past its time, and the endpoint fails.
    scene.pass(Duration::from_secs(35));
    assert_eq!(scene.bearer("/", "opaque"), None);
    assert_eq!(scene.record_after(failed())["introspection"], "stale");

    configuration["revocations"] = json!({ "uri": "https://sec.acme.com/revoked", "upstream": "sec" });
    configuration["default_rule"] = json!({});
    let mut scene = Scene::new(&configuration, reader);
    assert_eq!(scene.bearer("/", &token(json!({}))), None, "it waits for the first list");
    let poll = scene.tick().poll.unwrap();
    scene.engine.done(poll.id, list_response(500, &Value::Null));
    assert_eq!(scene.read_all()[0]["reason"], "revocations_unavailable");
    scene.pass(Duration::from_secs(1));
    let poll = scene.tick().poll.unwrap();
    let list = json!({ "revoked": [{ "sub": "alice@acme.com" }] });
    scene.engine.done(poll.id, list_response(200, &list));
    assert_eq!(scene.reason("/", &token(json!({}))), "token_revoked");
}

/// Every reason's name, as it stands in the code.
fn reasons_in_the_code() -> BTreeSet<String> {
    let mut reasons: BTreeSet<String> = ["authorized", "no_token_required"].map(str::to_owned).into();
    for file in ["src/engine/deny_reason.rs", "src/policy/dpop.rs", "src/policy/requirement/remedy.rs"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        reasons.extend(text.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    assert!(reasons.len() > 70, "the names were not found");
    reasons
}

fn words(schema: &Value) -> BTreeSet<String> {
    let own = schema["enum"].as_array().into_iter().flatten();
    let alternatives = schema["anyOf"].as_array().into_iter().flatten();
    own.filter_map(Value::as_str).map(str::to_owned).chain(alternatives.flat_map(words)).collect()
}

#[test]
fn every_record_matches_the_schema_and_every_member_of_the_schema_occurs() {
    let schema = schema();
    jsonschema::meta::validate(&schema).unwrap();
    let mut reader = Reader::new();
    of_tokens(&mut reader);
    of_rules(&mut reader);
    of_waits(&mut reader);
    of_constraints(&mut reader);
    of_proofs(&mut reader);
    check_introspection_records(&mut reader);
    let sampled =
        json!({ "providers": { "okta": inline() }, "audit": { "denied": "sampled", "sample": 0.999_999_999 } });
    assert_eq!(Scene::new(&sampled, &mut reader).request(&[]).unwrap()["sampled"], 0.999_999_999);

    let flooded = json!({ "providers": { "okta": inline() }, "audit": { "denied_per_second": 1 } });
    let mut scene = Scene::new(&flooded, &mut reader);
    scene.request(&[]);
    scene.request(&[]);
    scene.pass(Duration::from_secs(1));
    let [record] = &*scene.engine.tick().suppressed else { panic!("no record") };
    scene.reader.read_line(&record.to_json());

    let reasons = reasons_in_the_code();
    let reached = reasons.iter().filter(|reason| !UNREACHABLE.contains(&reason.as_str())).cloned().collect();
    assert_eq!(reader.reasons, reached, "a row is missing");
    let properties = schema["properties"].as_object().unwrap();
    for (name, property) in properties {
        assert!(property["description"].as_str().is_some_and(|text| text.len() > 20), "{name}");
        let found = reader.members.get(name).unwrap_or_else(|| panic!("no row has {name}"));
        let words = words(property);
        match name.as_str() {
            "reason" => assert_eq!(words, reasons),
            // Any that a requirement gives.
            "would_deny" => assert!(found.is_subset(&words) && words.is_subset(&reasons)),
            _ => assert!(words.is_empty() || *found == words, "{name}: {found:?}"),
        }
    }
}

#[test]
fn records_in_the_documentation_match_the_schema() {
    let mut reader = Reader::new();
    let mut found = 0;
    for page in ["README.md", "docs/troubleshooting.md", "docs/audit-trail.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        for line in text.lines().filter_map(|line| line.find("{\"schema\":1").and_then(|at| line.get(at..))) {
            reader.read_line(line);
            found += 1;
        }
    }
    assert!(found >= 4, "{found} records");
}

#[test]
fn every_string_in_a_record_is_bounded() {
    let mut reader = Reader::new();
    let mut configuration = with_requirements();
    let provider = configuration["providers"]["okta"].as_object_mut().unwrap();
    provider.remove("client_ids");
    let mut scene = Scene::new(&configuration, &mut reader);
    // What is longest when it is written, at each offset of a character's end.
    for (pad, part) in (0..6).flat_map(|pad| ["a", "é", "€", "\u{10ffff}", "\"", "\n", "\u{1}"].map(|part| (pad, part)))
    {
        let long = format!("{}{}", "a".repeat(pad), part.repeat(300));
        let scopes: Vec<String> = (0..500).map(|number| format!("scope-{number}")).collect();
        let token = token(json!({ "sub": long, "cid": long, "jti": long, "acr": long, "scp": scopes }));
        let record = scene.request(&[("x-request-id", &"r".repeat(65)), ("cookie", &format!("at={token}"))]).unwrap();
        for name in ["subject", "client", "jti", "acr"] {
            let text = record[name].as_str().unwrap();
            let whole = text.strip_suffix('…').expect("marked as cut");
            let written = serde_json::to_string(text).unwrap().len() - 2;
            assert!(long.starts_with(whole) && (250..=256).contains(&written), "{name}: {text}");
        }
        let listed = record["scopes"].as_array().unwrap();
        assert_eq!((listed.len(), &listed[63], record.get("request_id")), (64, &json!("…"), None));
    }
    // Nothing that fits is cut.
    let fits = "é".repeat(128);
    let record = scene.bearer("/", &token(json!({ "sub": fits, "scp": ["a", "b"] }))).unwrap();
    assert_eq!((&record["subject"], &record["scopes"]), (&json!(fits), &json!(["a", "b"])));
}

/// Everything that a record can have, as long as it can be.
#[test]
fn largest_record_has_at_most_four_kibibytes() {
    let mut reader = Reader::new();
    let long = |name: char| format!("{name}{}", "\u{1}".repeat(300));
    let scopes: Vec<String> = (0..60).map(|number| format!("{number:03}{}", "s".repeat(8))).collect();
    let mut configuration = with_requirements();
    let mut provider = configuration["providers"]["okta"].take();
    provider.as_object_mut().unwrap().remove("client_ids");
    let issuer = format!("https://acme.okta.com/{}", "i".repeat(300));
    provider["issuer"] = json!(issuer);
    provider["sender_constraint"] = proof_requirement::provider()["sender_constraint"].take();
    let name = "p".repeat(300);
    configuration["providers"] = json!({ name: provider });
    configuration["rules"] =
        json!([{ "name": "r".repeat(64), "match": { "path_prefix": "/" }, "require": { "scopes": scopes } }]);
    configuration["audit"] = json!({ "denied": "sampled", "sample": 0.999_999_999_999_9 });
    let mut scene = Scene::new(&configuration, &mut reader);
    let claims = json!({ "iss": issuer, "cnf": confirmation("dpop_mtls"), "sub": long('s'), "cid": long('c'), "jti": long('j'), "acr": long('a'),
        "scp": scopes.iter().map(|scope| format!("x{scope}")).collect::<Vec<_>>() });
    let id = "\"".repeat(64);
    let (method, path, token) = ("M".repeat(99), "/a".repeat(999), token(claims));
    let fields = [
        (":method", &*method),
        (":authority", &*"h".repeat(999)),
        (":path", &*path),
        ("x-request-id", &*id),
        ("authorization", &format!("DPoP {token}")),
        ("dpop", &proof_requirement::proof(&method, &path, &token)),
    ];
    scene.engine.attributes = Some(vec![(Attribute::PeerDigest, HEX.into())]);
    let record = scene.request(&fields).unwrap();
    let written = record.to_string().len();
    assert!((3000..=MAX_BYTES).contains(&written), "{written} bytes: {record}");
    assert_eq!(record["sender_constraint"], "dpop_mtls", "{record}");
}

/// How many of so many requests are logged, and what the last one says of itself.
fn logged(audit: Value, path: &str, token: &str, of: u32, id: impl Fn(u32) -> String) -> (u32, Option<Value>) {
    let configuration = with(&with_requirements(), json!({ "audit": audit }));
    let mut engine = Harness::with(&configuration, Setup { environment: &environment, ..Setup::default() });
    let (mut found, mut last) = (0, None);
    for number in 0..of {
        let decision = engine.decide(&get(path, token, &[("x-request-id", &id(number))]));
        if decision.audit.is_logged() {
            found += 1;
            last = Some(serde_json::from_str(&decision.audit.to_json()).unwrap());
        }
    }
    (found, last)
}

#[test]
fn by_default_rejections_are_logged_and_allowed_requests_are_not() {
    let good = token(json!({}));
    for (audit, allowed, denied) in [
        (json!({}), 0, 3),
        (json!({ "allowed": "all" }), 3, 3),
        (json!({ "allowed": "none", "denied": "all" }), 0, 3),
        (json!({ "denied": "none" }), 0, 0),
        (json!({ "allowed": "sampled", "sample": 1 }), 3, 3),
    ] {
        let count = |path| logged(audit.clone(), path, &good, 3, |number| number.to_string()).0;
        // A rule on trial refuses nothing, and its record is one of a refusal.
        let found = ["/", "/open", "/closed", "/groups", "/trial"].map(count);
        assert_eq!(found, [allowed, allowed, denied, denied, denied], "{audit}");
    }
}

/// 20 lines a second for each reason by default; what has none of its own is in a record that says how many.
#[test]
fn in_a_flood_of_rejections_a_few_are_logged_and_all_are_counted() {
    let good = token(json!({}));
    for (audit, of_refusals, of_admitted) in [
        (json!({ "allowed": "all" }), 20, 2000),
        (json!({ "allowed": "all", "denied_per_second": 3 }), 3, 2000),
        (json!({ "allowed": "all", "denied_per_second": 0 }), 2000, 2000),
    ] {
        for (path, expected) in
            [("/closed", of_refusals), ("/groups", of_refusals), ("/trial", of_refusals), ("/", of_admitted)]
        {
            let found = logged(audit.clone(), path, &good, 2000, |number| number.to_string()).0;
            assert_eq!(found, expected, "{path}: {audit}");
        }
    }
    let mut reader = Reader::new();
    let mut scene = Scene::new(&with_requirements(), &mut reader);
    let mut logged = 0;
    for _ in 0..1000 {
        for path in ["/closed", "/trial"] {
            let decision = scene.engine.decide(&get(path, &good, &[]));
            logged += u32::from(decision.audit.is_logged());
        }
    }
    assert_eq!(logged, 40);
    let at_once = scene.engine.tick();
    let in_a_second = scene.engine.now.plus(Duration::from_secs(1));
    assert!(at_once.suppressed.is_empty() && scene.engine.next_tick <= Some(in_a_second));
    scene.engine.now = in_a_second;
    let effects = scene.engine.tick();
    let records: Vec<Value> =
        effects.suppressed.iter().map(|record| scene.reader.read_line(&record.to_json())).collect();
    assert_eq!(
        records,
        [
            json!({ "schema": 1, "decision": "deny", "reason": "access_denied", "suppressed": 980 }),
            json!({ "schema": 1, "decision": "allow", "reason": "authorized", "would_deny": "group_missing", "suppressed": 980 }),
        ]
    );
    assert_eq!(scene.engine.engine.take_suppressed(), []);
}

#[test]
fn sampling_does_not_depend_on_request_content_and_records_state_the_rate() {
    let good = token(json!({}));
    let one_in_ten = json!({ "allowed": "sampled", "denied": "sampled", "sample": 0.1, "denied_per_second": 0 });
    for path in ["/", "/closed", "/trial"] {
        // Five standard deviations about 200. The same id each time is no way in, nor out.
        for id in [&(|_| "same".to_owned()) as &dyn Fn(u32) -> String, &|number| number.to_string()] {
            let (found, last) = logged(one_in_ten.clone(), path, &good, 2000, id);
            assert!((133..=267).contains(&found), "{path}: {found}");
            assert_eq!(last.unwrap()["sampled"], 0.1);
        }
    }
    let (found, last) = logged(json!({ "allowed": "sampled" }), "/", &good, 5000, |_| String::new());
    assert!((15..=85).contains(&found), "{found}");
    assert_eq!(last.unwrap()["sampled"], 0.01);
    // What is complete says nothing of a share.
    let (_, last) = logged(json!({ "allowed": "sampled", "sample": 0.5 }), "/closed", &good, 1, |_| String::new());
    assert_eq!(last.unwrap().get("sampled"), None);
}

#[test]
fn setting_that_weakens_the_audit_trail_logs_a_warning() {
    let warnings = |audit: Value| {
        let configuration = with(&with_requirements(), json!({ "audit": audit, "token": {} }));
        let found = config::load(configuration.to_string().as_bytes(), &environment).unwrap().warnings;
        let about_audit = found.into_iter().filter(|warning| warning.path.as_str().starts_with("$.audit."));
        about_audit.map(|warning| warning.code.name()).collect::<Vec<_>>()
    };
    for quiet in
        [json!({}), json!({ "allowed": "all" }), json!({ "allowed": "sampled", "sample": 0.01, "denied": "all" })]
    {
        assert_eq!(warnings(quiet), [""; 0]);
    }
    assert_eq!(warnings(json!({ "denied_per_second": 0 })), ["unlimited_denial_log"]);
    assert_eq!(warnings(json!({ "denied_per_second": 1 })), [""; 0]);
    for denied in ["sampled", "none"] {
        assert_eq!(warnings(json!({ "denied": denied })), ["denials_not_logged"]);
    }
}
