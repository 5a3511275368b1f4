//! Rules that require a proof (`proof`): what each kind of bound token may do, what the others are told, and what the
//! operator learns.

use std::cell::Cell;

use crate::engine_harness::{Harness, NOW, get, head, response_of, status_of};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use okta_proxy_wasm::config;
use okta_proxy_wasm::encoding::base64url;
use okta_proxy_wasm::engine::{Attribute, Decision};
use okta_proxy_wasm::http::{HeaderName, RequestHead};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The digest of the client's certificate in both spellings.
const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const CERTIFICATE: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
const ORIGIN: &str = "https://api.acme.com";

/// A provider that accepts tokens without a constraint, and those of each kind.
pub(crate) fn provider() -> Value {
    json!({ "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) },
        "sender_constraint": { "mtls": "if_bound", "dpop": "if_bound",
            "proofs": { "origins": [ORIGIN], "algorithms": ["RS256"] } } })
}

fn rules() -> Value {
    json!([
        { "name": "dpop", "match": { "path": "/dpop" }, "require": { "proof": "dpop" } },
        { "name": "mtls", "match": { "path": "/mtls" }, "require": { "proof": "mtls" } },
        { "name": "any", "match": { "path": "/any" }, "require": { "proof": "any" } },
        { "name": "both", "match": { "path": "/both" },
            "require": { "all_of": [{ "proof": "mtls" }, { "proof": "dpop" }] } },
        { "name": "without", "match": { "path": "/without" }, "require": { "not": { "proof": "dpop" } } },
        { "name": "or-group", "match": { "path": "/or-group" },
            "require": { "any_of": [{ "groups": ["staff"] }, { "proof": "any" }] } },
        { "name": "and-group", "match": { "path": "/and-group" }, "require": { "proof": "any", "groups": ["staff"] } },
        { "name": "and-scope", "match": { "path": "/and-scope" }, "require": { "proof": "any", "scopes": ["pay"] } },
        { "name": "trial", "match": { "path": "/trial" }, "require": { "proof": "any" }, "report_only": true },
        { "name": "trial-dpop", "match": { "path": "/trial-dpop" }, "require": { "proof": "dpop" }, "report_only": true },
        { "name": "browser", "match": { "path": "/browser" }, "require": { "proof": "any" }, "redirect_browsers": true },
    ])
}

fn engine(provider: &Value) -> Harness {
    let configuration = json!({ "providers": { "okta": provider }, "rules": rules(),
        "filter_state": ["sender_constraint", "jkt", "x5t_s256"],
        "responses": { "login": { "url": "https://app.acme.com/login" } } });
    let mut engine = Harness::new(&configuration);
    engine.attributes = Some(vec![(Attribute::PeerDigest, HEX.into())]);
    engine
}

fn client_key() -> SigningKey {
    SigningKey::b("client")
}

/// The thumbprint of the client's key (RFC 7638).
pub(crate) fn key_thumbprint() -> String {
    let jwk = client_key().jwk();
    base64url(Sha256::digest(format!(r#"{{"e":{},"kty":"RSA","n":{}}}"#, jwk["e"], jwk["n"])))
}

/// The members of `cnf` for a token of this kind: `none`, `dpop`, `mtls` or `dpop_mtls`.
pub(crate) fn confirmation(kind: &str) -> Value {
    let mut cnf = json!({});
    if kind.contains("dpop") {
        cnf["jkt"] = json!(key_thumbprint());
    }
    if kind.contains("mtls") {
        cnf["x5t#S256"] = json!(CERTIFICATE);
    }
    if kind == "none" { Value::Null } else { cnf }
}

fn token(kind: &str) -> String {
    SigningKey::a("k1").token(&with(&payload(NOW), json!({ "cnf": confirmation(kind) })))
}

/// A request with the token, and with a new proof where the token is bound to a key.
pub(crate) fn request(path: &str, kind: &str, token: &str) -> RequestHead {
    if !kind.contains("dpop") {
        return get(path, token, &[]);
    }
    let (authorization, proof) = (format!("DPoP {token}"), proof("GET", path, token));
    head(&[
        (":method", "GET"),
        (":authority", "api.acme.com"),
        (":path", path),
        ("authorization", &authorization),
        ("dpop", &proof),
    ])
}

/// A new proof for a request with the token.
pub(crate) fn proof(method: &str, path: &str, token: &str) -> String {
    thread_local!(static PROOFS: Cell<u32> = const { Cell::new(0) });
    PROOFS.set(PROOFS.get() + 1);
    let jwk = client_key().jwk();
    let header = json!({ "typ": "dpop+jwt", "alg": "RS256", "jwk": { "kty": "RSA", "n": jwk["n"], "e": jwk["e"] } });
    let claims = json!({ "jti": format!("proof-{}", PROOFS.get()), "htm": method, "htu": format!("{ORIGIN}{path}"),
        "iat": NOW, "ath": base64url(Sha256::digest(token)) });
    client_key().token_with_header(&header, &claims)
}

fn decide(engine: &mut Harness, path: &str, kind: &str) -> Decision {
    engine.decide(&request(path, kind, &token(kind)))
}

fn challenges(decision: &Decision) -> Vec<String> {
    let headers = response_of(decision).headers.iter();
    let named = headers.filter(|(name, _)| *name == HeaderName::WWW_AUTHENTICATE);
    named.map(|(_, value)| value.as_str().to_owned()).collect()
}

fn record(decision: &Decision) -> Value {
    serde_json::from_str(&decision.audit.to_json()).unwrap()
}

#[test]
fn each_rule_accepts_the_tokens_of_its_kinds_also_from_the_cache() {
    let (yes, no) = ("authorized", "proof_required");
    let mut engine = engine(&provider());
    for (path, expected) in [
        // none, dpop, mtls, dpop_mtls
        ("/dpop", [no, yes, no, yes]),
        ("/mtls", [no, no, yes, yes]),
        ("/any", [no, yes, yes, yes]),
        ("/both", [no, no, no, yes]),
        ("/without", [yes, "not_condition_matched", yes, "not_condition_matched"]),
        ("/or-group", [no, yes, yes, yes]),
        ("/and-group", ["group_missing"; 4]),
        ("/and-scope", [no, "scope_missing", "scope_missing", "scope_missing"]),
        ("/trial", [yes; 4]),
        ("/elsewhere", [yes; 4]),
    ] {
        for (kind, expected) in ["none", "dpop", "mtls", "dpop_mtls"].into_iter().zip(expected) {
            for _ in 0..2 {
                let decision = decide(&mut engine, path, kind);
                assert_eq!(decision.audit.reason(), expected, "{path}: {kind}");
                let status = match expected {
                    "authorized" => 200,
                    "proof_required" => 401,
                    _ => 403,
                };
                assert_eq!(status_of(&decision), status, "{path}: {kind}");
            }
        }
    }
}

/// A bound token whose client does not meet the constraint never gets as far as the rule.
#[test]
fn a_bound_token_without_its_proof_or_certificate_meets_no_rule() {
    let mut engine = engine(&provider());
    for path in ["/dpop", "/any", "/trial-dpop"] {
        assert_eq!(engine.reason(&get(path, &token("dpop"), &[])), "dpop_scheme_required", "{path}");
        let authorization = format!("DPoP {}", token("dpop"));
        let without = [(":method", "GET"), (":authority", "api.acme.com"), (":path", path)];
        let without = head(&[&without[..], &[("authorization", &*authorization)]].concat());
        assert_eq!(engine.reason(&without), "proof_missing", "{path}");
    }
    engine.attributes = Some(Vec::new());
    for path in ["/mtls", "/any", "/trial"] {
        assert_eq!(engine.reason(&get(path, &token("mtls"), &[])), "certificate_missing", "{path}");
    }
}

#[test]
fn the_challenge_names_the_scheme_that_helps() {
    let mut engine = engine(&provider());
    const DPOP: &str = r#"DPoP realm="okta-proxy-wasm", error="invalid_token", algs="RS256""#;
    const DPOP_HELP: &str = r#"DPoP realm="okta-proxy-wasm", algs="RS256""#;
    const BEARER: &str = r#"Bearer realm="okta-proxy-wasm", error="invalid_token""#;
    for (path, kind, expected) in [
        ("/dpop", "none", &[DPOP][..]),
        ("/dpop", "mtls", &[DPOP]),
        ("/both", "none", &[DPOP]),
        ("/both", "mtls", &[DPOP]),
        // The client uses DPoP; it needs the certificate besides.
        ("/both", "dpop", &[DPOP]),
        ("/mtls", "none", &[BEARER, DPOP_HELP]),
        ("/any", "none", &[BEARER, DPOP_HELP]),
        ("/or-group", "none", &[BEARER, DPOP_HELP]),
        ("/mtls", "dpop", &[DPOP]),
        ("/and-group", "none", &[]),
        ("/without", "dpop", &[]),
    ] {
        assert_eq!(challenges(&decide(&mut engine, path, kind)), expected, "{path}: {kind}");
    }
    // Without a token too: `Bearer` would not help.
    assert_eq!(challenges(&engine.decide(&get("/dpop", "", &[]))), [DPOP_HELP]);
    assert_eq!(challenges(&engine.decide(&get("/dpop", "nonsense", &[]))), [DPOP]);
    // What a rule only reports is required of nobody.
    let bearer_help = r#"Bearer realm="okta-proxy-wasm""#;
    for path in ["/trial-dpop", "/any", "/elsewhere"] {
        assert_eq!(challenges(&engine.decide(&get(path, "", &[]))), [bearer_help, DPOP_HELP], "{path}");
    }
}

#[test]
fn the_body_says_which_token_is_needed_and_a_browser_is_not_redirected() {
    let mut engine = engine(&provider());
    for (path, sentence) in [
        ("/dpop", "An access token that is bound to a DPoP key is needed."),
        ("/mtls", "An access token that is bound to a client certificate is needed."),
        ("/any", "An access token that is bound to a client certificate or a DPoP key is needed."),
    ] {
        let decision = decide(&mut engine, path, "none");
        let body: Value = serde_json::from_slice(&response_of(&decision).body).unwrap();
        assert_eq!(body, json!({ "error": "invalid_token", "error_description": sentence }), "{path}");
    }
    let browser = |token: &str| get("/browser", token, &[("accept", "text/html")]);
    assert_eq!(status_of(&engine.decide(&browser(""))), 302);
    assert_eq!(status_of(&engine.decide(&browser(&token("none")))), 401);
}

#[test]
fn a_provider_without_such_tokens_denies_with_no_challenge() {
    let mut off = provider();
    off.as_object_mut().unwrap().remove("sender_constraint");
    let mut mtls = provider();
    mtls["sender_constraint"] = json!({ "mtls": "if_bound" });
    for (provider, path, status, is_challenged) in [
        (&off, "/dpop", 403, false),
        (&off, "/mtls", 403, false),
        (&off, "/any", 403, false),
        (&mtls, "/dpop", 403, false),
        (&mtls, "/mtls", 401, true),
        (&mtls, "/any", 401, true),
    ] {
        let decision = decide(&mut engine(provider), path, "none");
        assert_eq!((decision.audit.reason(), status_of(&decision)), ("proof_required", status), "{path}");
        assert_eq!(!challenges(&decision).is_empty(), is_challenged, "{path}");
    }
    // The other provider's tokens are not what its clients can request.
    let mut second = off;
    second["issuer"] = json!("https://legacy.acme.com");
    let configuration = json!({ "providers": { "okta": provider(), "legacy": second }, "rules": [rules()[0]] });
    let mut engine = Harness::new(&configuration);
    engine.attributes = Some(Vec::new());
    let legacy = SigningKey::a("k1").token(&with(&payload(NOW), json!({ "iss": "https://legacy.acme.com" })));
    assert_eq!(status_of(&engine.decide(&get("/dpop", &legacy, &[]))), 403);
    assert_eq!(status_of(&engine.decide(&get("/dpop", &token("none"), &[]))), 401);
}

#[test]
fn a_rule_on_trial_reports_who_lacks_a_proof() {
    let mut engine = engine(&provider());
    for (path, kind, expected) in [
        ("/trial", "none", Some("proof_required")),
        ("/trial", "dpop", None),
        ("/trial", "mtls", None),
        ("/trial-dpop", "mtls", Some("proof_required")),
        ("/trial-dpop", "dpop_mtls", None),
    ] {
        let decision = decide(&mut engine, path, kind);
        assert_eq!((status_of(&decision), decision.audit.would_deny()), (200, expected), "{path}: {kind}");
    }
}

#[test]
fn record_and_filter_state_name_the_constraint_of_authenticated_tokens() {
    let mut engine = engine(&provider());
    for kind in ["none", "dpop", "mtls", "dpop_mtls"] {
        // Also where the rule denies it.
        for path in ["/elsewhere", "/and-group", "/trial"] {
            let decision = decide(&mut engine, path, kind);
            let constraint = if kind == "none" { Value::Null } else { json!(kind) };
            let jkt = if kind.contains("dpop") { json!(key_thumbprint()) } else { Value::Null };
            let certificate = if kind.contains("mtls") { json!(CERTIFICATE) } else { Value::Null };
            let record = record(&decision);
            let found = (&record["sender_constraint"], &record["jkt"], &record["x5t_s256"]);
            assert_eq!(found, (&constraint, &jkt, &certificate), "{path}: {kind}");
            assert_eq!(decision.audit.counted_constraint(), Some(kind), "{path}");
            let value = |name: &str| {
                let mut entries = decision.filter_state.iter();
                entries.find(|entry| &*entry.name == name).map_or(Value::Null, |entry| json!(entry.value.as_str()))
            };
            let told = (value("auth_sender_constraint"), value("auth_jkt"), value("auth_x5t_s256"));
            assert_eq!(told, (constraint, jkt, certificate), "{path}: {kind}");
        }
    }
    // Nothing of a token whose client does not meet the constraint, or of none.
    engine.attributes = Some(Vec::new());
    for request in [get("/elsewhere", &token("mtls"), &[]), get("/elsewhere", &token("dpop"), &[]), get("/a", "", &[])]
    {
        let decision = engine.decide(&request);
        let record = record(&decision);
        assert_eq!(record["decision"], "deny");
        assert!(["sender_constraint", "jkt", "x5t_s256"].iter().all(|name| record.get(*name).is_none()), "{record}");
        assert_eq!((decision.filter_state.iter().count(), decision.audit.counted_constraint()), (1, None));
    }
    // A provider whose tokens are never bound is not counted.
    let mut off = provider();
    off.as_object_mut().unwrap().remove("sender_constraint");
    let decision = decide(&mut self::engine(&off), "/elsewhere", "none");
    assert_eq!((decision.audit.reason(), decision.audit.counted_constraint()), ("authorized", None));
}

#[test]
fn a_rule_without_a_token_cannot_require_a_proof() {
    for access in ["public", "optional", "deny"] {
        let rule = json!({ "match": { "path": "/a" }, "access": access, "require": { "proof": "any" } });
        let document = json!({ "providers": { "okta": provider() }, "rules": [rule] }).to_string();
        let errors = config::load(document.as_bytes(), &config::no_environment).unwrap_err();
        let paths: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert!(paths.iter().all(|error| error.starts_with("$.rules[0]")) && paths.len() == 1, "{paths:?}");
    }
}
