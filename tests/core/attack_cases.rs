//! Attacks on a token verifier, case by case: the request, and the expected reason and status, or that it is allowed. A row
//! begins with the case's id: group letter and number in the group. The tables below describe each case.
//!
//! Everything goes through the engine as a host drives it: configuration JSON in, request in, decision out. By path, the same
//! cases go through the built module on every host (`tests/embedded-host`).

#[path = "attack_cases/advisories.rs"]
mod advisories;
#[path = "attack_cases/introspection.rs"]
mod introspection;
#[path = "attack_cases/keys.rs"]
mod keys;
#[path = "attack_cases/requests.rs"]
mod requests;
#[path = "attack_cases/tokens.rs"]
mod tokens;

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::engine_harness::{Effects, Harness, NOW, Setup, head, status_of};
use crate::forge::Forge;
use crate::signing::{AUDIENCE, ISSUER, payload, with};
use okta_proxy_wasm::callout::CalloutResult;
use okta_proxy_wasm::config;
use okta_proxy_wasm::engine::{Callout, Decision, FetchResult, StreamId, Verdict};
use okta_proxy_wasm::http::HeaderEdit;
use okta_proxy_wasm::jose::Algorithm;
use serde_json::{Value, json};

const OTHER_ISSUER: &str = "https://idp.example";
/// What the environment says of `CLIENT_SECRET`.
const CLIENT_SECRET: &str = "hunter2";

/// Where a case is answered.
enum CoveredBy {
    /// By rows here whose label begins with the case's id.
    Rows,
    /// By this test elsewhere.
    By(&'static str, &'static str),
}
use CoveredBy::{By, Rows};

/// Every case of the groups A to F, H, J, K and N. G is about token sources, M about senders: they are answered where
/// those are built.
const CASES: [(&str, &str, CoveredBy); 67] = [
    ("A1", "alg `none`, empty signature", Rows),
    ("A2", "alg `None`, `NONE`, `nOnE`, `none ` , `hs256`", Rows),
    ("A3", "alg missing / number / null / array / \"\"", Rows),
    ("A4", "HS256 signed with the RSA public key PEM / DER / JWK JSON / x,y bytes", Rows),
    ("A5", "alg allowed globally but not for this issuer", Rows),
    ("A6", "any `oct` key inside a remote JWKS -> ignored, set flagged", Rows),
    ("A7", "HS keys shorter than the hash, or empty -> cfg", Rows),
    ("A8", "header carries `jwk` with attacker key", Rows),
    ("A9", "header `jku`/`x5u` -> ignored, no network call", Rows),
    ("A10", "header `x5c` chain -> ignored", Rows),
    ("A11", "kid number/array/null", Rows),
    ("A12", "kid in NFC vs NFD, or homoglyph -> no match", Rows),
    ("A13", "kid absent: one matching key -> OK; several -> at most N=4", Rows),
    ("A14", "same kid at two issuers", Rows),
    ("A15", "JWK `use:\"enc\"`, `key_ops` without verify -> unusable", Rows),
    ("A16", "RSA < 2048 bits, > 8192 -> unusable", Rows),
    ("A17", "RSA e=1, even e, e=3 -> unusable", Rows),
    ("A18", "RSA modulus even, small factors, ROCA -> unusable", Rows),
    ("A19", "EC point off curve, crv/alg mismatch, wrong kty, length -> unusable", Rows),
    ("A20", "JWK with private members in a remote set -> refuse that key", Rows),
    ("A21", "Ed25519 low-order / non-canonical A or R, S >= L", Rows),
    ("B1", "ECDSA r=0, s=0, r=n, s=n, (0,0) \"psychic\"", Rows),
    ("B2", "ECDSA DER-encoded, 65 bytes, trailing zeros, 63 bytes", Rows),
    ("B3", "(r, n-s) twin -> OK cryptographically", Rows),
    ("B4", "PKCS#1 v1.5: bad padding, trailing garbage, BER, missing NULL, wrong hash OID", Rows),
    ("B5", "PSS salt length != hash length", Rows),
    ("B6", "signature of another token, empty, truncated", Rows),
    ("C1", "`==` padding, `=` inside, spaces, CR/LF, tab, `+` `/`, `%2B`, U+FF0E dot", Rows),
    ("C2", "`!!!!`/`?` appended to the signature", Rows),
    ("C3", "0, 1, 2, 4, 5 segments; trailing dot; leading dot", Rows),
    ("C4", "5-segment JWE -> not parsed", Rows),
    ("C5", "`b64:false` with crit, detached payload", Rows),
    ("C6", "`crit` any value", Rows),
    ("C7", "`zip` header", Rows),
    ("C8", "nested JWT (`cty:\"JWT\"`)", Rows),
    ("D1", "duplicate header key, also via \\u0061lg", Rows),
    ("D2", "header/payload = array, string, number, null, junk, BOM, invalid UTF-8, lone surrogate", Rows),
    ("D3", "depth 1000 in header or payload", Rows),
    ("D4", "100 000 keys, 1 MB string, 1e6 escapes within size limit", Rows),
    ("D5", "case-variant claim names", Rows),
    ("E1", "`exp` as string / bool / null / array / object", Rows),
    ("E2", "`exp` missing", Rows),
    ("E3", "`exp` float -> OK with floor; 1e400, NaN, Infinity -> 401", Rows),
    ("E4", "`exp` 2^53, 2^63, 2^64, 1e308", Rows),
    ("E5", "boundary: now == exp; leeway", Rows),
    ("E6", "`nbf` far future; `iat` in the future", Rows),
    ("E7", "exp - iat > max lifetime", Rows),
    ("E8", "host clock jumps; cached tokens", Rows),
    ("F1", "`iss` missing / array / prefix / trailing slash / case", Rows),
    ("F2", "single provider configured without issuer -> cfg", Rows),
    ("F3", "`aud` missing, array with one match, non-string, empty, prefix, object", Rows),
    ("F4", "ID token where an access token is wanted", Rows),
    (
        "F5",
        "token for tenant A at the route of tenant B",
        By("rules.rs", "token_of_one_tenant_is_rejected_on_the_route_of_another"),
    ),
    (
        "F6",
        "scope `read` vs required `read:all`",
        By("rules.rs", "cached_token_is_checked_against_the_rule_of_each_request"),
    ),
    ("H1", "client sends the identity header itself", Rows),
    ("H2", "`X_User_Id`, `X.User.Id`, mixed -> removed too", Rows),
    ("H3", "duplicate identity header", Rows),
    ("H4", "claim value with CR LF, `,`, `;`, `=`, non-ASCII", Rows),
    ("H5", "trailers that repeat the identity header", Rows),
    (
        "H6",
        "anonymous-allowed route + invalid token",
        By("rules.rs", "bad_token_is_rejected_where_a_token_is_optional"),
    ),
    (
        "H8",
        "`X-Forwarded-Client-Cert` / `Client-Cert` of a client that is no hop; certificate of the hop itself",
        By("client_certificate.rs", "the_header_of_a_hop_is_the_certificate_of_the_client_and_no_other_header_is"),
    ),
    (
        "H9",
        "`Hash=` in the subject or URI of the client's certificate, chains of elements, unclosed quotes",
        By(
            "../../src/policy/client_certificate/tests.rs",
            "only_one_element_with_one_hash_is_read_from_x_forwarded_client_cert",
        ),
    ),
    (
        "H10",
        "`Client-Cert` spoof reaches the backend, on public paths too",
        By("client_certificate.rs", "the_backend_never_receives_a_header_with_a_certificate"),
    ),
    ("H7", "X-Forwarded-Uri / X-Original-URL spoof; no header-based skips", Rows),
    ("N1", "panic anywhere -> none reachable", Rows),
    ("N2", "config update, token flood, header flood -> memory flat", Rows),
    ("N3", "bodies and logs hold no token", By("../redaction.rs", "no_decision_contains_a_token_in_any_form")),
];

/// The rows of group I stand with the router, each under its id; that none is missing is asserted there.
const PATH_ROWS: CoveredBy =
    By("../../src/policy/route/tests/attack_tests.rs", "path_attacks_match_the_right_rule_or_are_rejected");

/// The cases of the group I.
const PATH_CASES: [(&str, &str, CoveredBy); 10] = [
    ("I1", "`/public/../admin`, escaped, `..%2f`, `..%5c`, `.%2e` -> as /admin or 400", PATH_ROWS),
    ("I2", "`//admin`, `/./admin`, `/admin//x` -> the rule of /admin, or 400", PATH_ROWS),
    ("I3", "`%2Fadmin`, `%5Cadmin`, `\\admin` -> 400", PATH_ROWS),
    ("I4", "`/admin?x`, `/public?/../admin`, `/x?skip=/public` -> query never matched", PATH_ROWS),
    ("I5", "`/admin#frag` and `%23`", PATH_ROWS),
    ("I6", "`/Admin`, `/ADMIN` -> case-sensitive; a rule without a token never folds case", PATH_ROWS),
    ("I7", "`/admin/`, `%20`, `%00`, `%0a`, overlong UTF-8, `/adm%69n`", PATH_ROWS),
    ("I8", "prefix `/api` vs `/apifoo`, `/api;foo`", PATH_ROWS),
    ("I9", "methods exact; an unknown one comes under no rule for a method", PATH_ROWS),
    ("I10", "regex: `.` in literals, anchored, linear", PATH_ROWS),
];

/// The cases of the groups J and K.
const KEY_SET_CASES: [(&str, &str, CoveredBy); 13] = [
    ("J1", "unknown kid flood -> at most 1 fetch per cooldown", Rows),
    ("J2", "timeout, reset, 500, 204, 302, HTML, truncated, `{}`, `keys:{}`, 10 MB", Rows),
    ("J3", "key removed from JWKS -> stops verifying at the next refresh", Rows),
    ("J4", "`iss` chosen by the attacker -> no discovery for unlisted issuers", Rows),
    ("J5", "cluster name and authority only from config", Rows),
    ("J6", "Cache-Control clamped", Rows),
    ("J7", "keys for provider A while B's fetch fails", Rows),
    (
        "K1",
        "cached OK for scope foo, then route needs bar -> 403",
        By("rules.rs", "cached_token_is_checked_against_the_rule_of_each_request"),
    ),
    ("K2", "cached under introspection server A, used at a rule of B", Rows),
    (
        "K3",
        "cached token after key rotation, config change, exp -> re-verified",
        By("token_cache.rs", "withdrawn_key_invalidates_the_cached_tokens_that_it_verified"),
    ),
    (
        "K4",
        "exact token bytes; collision by concatenation impossible",
        By("token_cache.rs", "another_encoding_of_a_cached_token_is_verified_by_itself"),
    ),
    (
        "K5",
        "negative result cached -> short (<= 5 s)",
        By("token_cache.rs", "bad_signature_is_cached_for_five_seconds_and_only_with_the_same_keys"),
    ),
    (
        "N4",
        "shared data corrupted / version skew",
        By("../embedded-host/tests/scenes/shared_keys.rs", "corrupt_shared_records_neither_trap_nor_allow_a_request"),
    ),
];

/// The cases of the group L.
const INTROSPECTION_CASES: [(&str, &str, CoveredBy); 5] = [
    ("L1", "`active:\"true\"`, 1, missing, null -> not active", Rows),
    ("L2", "200 with HTML / other JSON / 401 / 500 / timeout -> 503; never OK", Rows),
    ("L3", "`iss`/`aud`/`client_id`/`exp`/`token_type` mismatched -> 401", Rows),
    ("L4", "token only in the POST body, secret never logged, token not in URL", Rows),
    ("L5", "a JWT-shaped token at an opaque route, and reverse", Rows),
];

#[test]
fn every_attack_case_has_its_rows_or_a_test_elsewhere() {
    let here = [
        include_str!("attack_cases/advisories.rs"),
        include_str!("attack_cases/introspection.rs"),
        include_str!("attack_cases/keys.rs"),
        include_str!("attack_cases/requests.rs"),
        include_str!("attack_cases/tokens.rs"),
    ]
    .concat();
    let mut ids = Vec::new();
    for (id, wording, answered) in CASES.iter().chain(&PATH_CASES).chain(&KEY_SET_CASES).chain(&INTROSPECTION_CASES) {
        ids.push(*id);
        match answered {
            Rows => assert!(here.contains(&format!("\"{id} ")), "no row for {id}: {wording}"),
            By(file, test) => {
                let path = testbed::module::project_root().join("tests/core").join(file);
                let text = std::fs::read_to_string(path).unwrap();
                assert!(text.contains(&format!("fn {test}(")), "{id}: {file} has no {test}");
                assert!(!id.starts_with('I') || text.contains(&format!("(\"{id} ")), "no row for {id}: {wording}");
            }
        }
    }
    let groups = [
        ("A", 21),
        ("B", 6),
        ("C", 8),
        ("D", 5),
        ("E", 8),
        ("F", 6),
        ("H", 10),
        ("I", 10),
        ("J", 7),
        ("K", 5),
        ("L", 5),
        ("N", 4),
    ];
    for (group, count) in groups {
        let listed = ids.iter().filter(|id| id.starts_with(group)).count();
        assert_eq!(listed, count, "group {group} has {count} cases");
    }
}

/// A configuration with two issuers that use the same key ids, both with inline keys. The first takes every
/// algorithm, the other ES256 alone.
fn two_issuers() -> Value {
    let keys = |rsa: Forge| {
        json!({ "keys": [
            rsa.jwk("rsa"), Forge::P256.jwk("p256"), Forge::P384.jwk("p384"), Forge::Ed25519.jwk("ed25519"),
        ] })
    };
    json!({ "providers": {
        "a": { "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": keys(Forge::RsaA) },
            "algorithms": Algorithm::ALL.map(Algorithm::name) },
        "b": { "issuer": OTHER_ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": keys(Forge::RsaB) },
            "algorithms": ["ES256"] },
    } })
}

/// One provider, RS256 alone, with these keys.
fn one_issuer(keys: &[Value]) -> Value {
    json!({ "providers": { "a": { "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": { "keys": keys } } } } })
}

fn faults_of(configuration: &Value) -> String {
    match config::load(configuration.to_string().as_bytes(), &config::no_environment) {
        Ok(_) => String::new(),
        Err(faults) => faults.iter().map(|fault| format!("{fault}\n")).collect(),
    }
}

/// An engine, and how its fetches ended.
struct Scene {
    harness: Harness,
    notes: Vec<(String, FetchResult)>,
}

impl Deref for Scene {
    type Target = Harness;

    fn deref(&self) -> &Harness {
        &self.harness
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Harness {
        &mut self.harness
    }
}

impl Scene {
    fn new(configuration: &Value) -> Self {
        let environment = |name: &str| (name == "CLIENT_SECRET").then(|| CLIENT_SECRET.to_owned());
        let setup = Setup { environment: &environment, ..Setup::default() };
        Self { harness: Harness::with(configuration, setup), notes: Vec::new() }
    }

    fn pass(&mut self, seconds: u64) {
        self.harness.pass(Duration::from_secs(seconds));
    }

    /// A request with these fields: decided at once, or pending under its stream.
    fn request(&mut self, fields: &[(&str, &[u8])]) -> Result<Decision, StreamId> {
        let start: [(&str, &[u8]); 2] = [(":method", b"GET"), (":path", b"/accounts")];
        self.harness.request(&head(&[&start[..], fields].concat()))
    }

    fn bearer(&mut self, token: impl AsRef<[u8]>) -> Result<Decision, StreamId> {
        self.request(&[("authorization", &[b"Bearer ", token.as_ref()].concat())])
    }

    /// The reason for what was decided at once; `parked` when nothing was.
    fn reason(&mut self, token: impl AsRef<[u8]>) -> &'static str {
        self.bearer(token).map_or("parked", |decision| decision.audit.reason())
    }

    fn tick(&mut self) -> Vec<Callout> {
        let effects = self.harness.tick();
        self.take(effects)
    }

    fn answer(&mut self, fetch: &Callout, outcome: CalloutResult) {
        let effects = self.done(fetch.id, outcome);
        self.take(effects);
    }

    fn take(&mut self, effects: Effects) -> Vec<Callout> {
        self.notes.extend(effects.fetch_result);
        effects.fetches
    }
}

fn edits(decision: &Decision) -> Vec<String> {
    match &decision.verdict {
        Verdict::Deny(_) => panic!("denied: {}", decision.audit.reason()),
        Verdict::Allow(edits) => edits
            .iter()
            .map(|edit| match edit {
                HeaderEdit::Remove(name) => format!("-{name}"),
                HeaderEdit::Set(name, value) => format!("{}={}", name.as_str(), value.as_str()),
                HeaderEdit::Rewrite(_) => panic!("nothing to rewrite with a token in its header"),
            })
            .collect(),
    }
}

/// The status a client must see for a reason; 200 stands for "goes on to the backend".
fn status_for(reason: &str) -> u16 {
    match reason {
        "authorized" => 200,
        "multiple_credentials" => 400,
        "keys_unavailable" | "pending_timed_out" | "too_many_pending" | "introspection_unavailable" => 503,
        _ => 401,
    }
}

/// What a row says of a decision: its label, the reason expected, the token.
type Row = (&'static str, &'static str, Vec<u8>);

fn row(label: &'static str, reason: &'static str, token: impl Into<Vec<u8>>) -> Row {
    (label, reason, token.into())
}

/// Sends each row's token as a bearer token; every row that is not answered as expected is listed.
fn check(configuration: &Value, rows: Vec<Row>) {
    let mut scene = Scene::new(configuration);
    let mut wrong = Vec::new();
    let count = rows.len();
    for (label, expected, token) in rows {
        let Ok(decision) = scene.bearer(&token) else { panic!("{label}: parked with inline keys") };
        let reason = decision.audit.reason();
        let status = status_of(&decision);
        if let Verdict::Deny(reply) = &decision.verdict {
            assert!(reply.body.len() < 200, "{label}: a long body");
        }
        if reason != expected || status != status_for(expected) {
            wrong.push(format!("{label}: {status} {reason}, expected {expected}"));
        }
    }
    println!("{count} rows");
    assert!(wrong.is_empty(), "{} of {count} rows:\n{}", wrong.len(), wrong.join("\n"));
}

/// A good token of the first issuer with some claims replaced, signed RS256.
fn claiming(changes: Value) -> String {
    Forge::RsaA.token("RS256", "rsa", json!({}), &with(&payload(NOW), changes))
}

/// A good token of the first issuer with that header and the signature of `algorithm`.
fn headed(key: Forge, algorithm: &str, header: &str) -> String {
    key.token_of_texts(algorithm, header, &payload(NOW).to_string())
}

/// A good token of the first issuer whose payload is this text.
fn saying(payload: &str) -> String {
    Forge::RsaA.token_of_texts("RS256", r#"{"alg":"RS256","kid":"rsa"}"#, payload)
}
