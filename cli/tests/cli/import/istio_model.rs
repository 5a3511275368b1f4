//! Random RequestAuthentication and AuthorizationPolicy, evaluated as Istio documents it, and by the engine under the
//! imported configuration: the engine never allows what Istio denies.

use okta_proxy_wasm::engine::Attribute;
use serde_json::{Value, json};

use super::import;
use super::istio_rules::Request;
use crate::engine_harness::{Harness, NOW, Setup, head, status_of};
use crate::random::Random;
use crate::signing::{ISSUER, SigningKey, key_set, with};

const OTHER: &str = "testing@other.example";
/// `IMPORT_MODEL_DOCUMENTS` searches for longer.
const DOCUMENTS: usize = 500;
const REQUESTS: usize = 60;

const PATHS: [&str; 14] =
    ["/a", "/a/*", "/a*", "*/b", "*", "/a/{*}/c", "/a/{**}", "/A", "/a/b", "/a%3Ab", "/a*b", "/", "/a/", "{*}*"];
const TARGETS: [&str; 22] = [
    "/a", "/a/", "/a/b", "/a/b/", "/ab", "/a/x/c", "/a/x/y/c", "/b", "/x/b", "/", "/A", "/a?x=/b", "/a:b", "/a%3Ab",
    "/a%3ab", "/a*b", "/axb", "/a/{*}/c", "//a", "/a/../b", "/%61", "/a;x",
];
const HOSTS: [&str; 6] = ["a.example", "*.example", "*", "a.example:81", "*a.example", "A.example"];
const AUTHORITIES: [&str; 6] = ["a.example", "A.EXAMPLE", "a.example:81", "a.example.", "b.a.example", "c.test"];
const METHODS: [&str; 5] = ["GET", "POST", "*", "P*", "get"];
const VERBS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const PRINCIPALS: [&str; 6] = ["*", "ISSUER/*", "ISSUER/alice", "*/bob", "ISSUER*", "testing@other.example/*"];
/// Keys of `when`, and the values that each is compared with.
const KEYS: [(&str, &[&str]); 14] = [
    ("request.auth.claims[groups]", &VALUES),
    ("request.auth.claims[scope]", &VALUES),
    ("request.auth.claims[scp]", &VALUES),
    ("request.auth.claims[permission]", &VALUES),
    ("request.auth.claims[a][b]", &VALUES),
    ("request.auth.claims[tier]", &VALUES),
    ("request.auth.principal", &PRINCIPALS),
    ("request.headers[x-user-id]", &VALUES),
    ("request.headers[X-Channel]", &VALUES),
    ("request.headers[authorization]", &VALUES),
    ("request.auth.audiences", &VALUES),
    ("request.auth.presenter", &VALUES),
    ("remote.ip", &NETWORKS),
    ("destination.port", &PORTS),
];
const VALUES: [&str; 11] =
    ["staff", "read", "write", "read write", "*", "st*", "*ff", "alice", "web", "api://x", "0oa1"];
const NETWORKS: [&str; 2] = ["10.0.0.0/8", "11.0.0.0/8"];
const ADDRESSES: [&str; 2] = ["10.1.2.3", "192.0.2.1"];
const PORTS: [&str; 2] = ["8443", "8080"];

impl Random {
    fn some(&mut self, choices: &[&str]) -> Value {
        let count = 1 + self.index(2);
        (0..count).map(|_| choices[self.index(choices.len())].replace("ISSUER", ISSUER)).collect()
    }

    /// Some of these fields, each with values.
    fn object(&mut self, fields: &[(&str, &[&str], usize)]) -> Value {
        let mut object = json!({});
        for (name, choices, rarity) in fields {
            if self.one_in(*rarity) {
                object[*name] = self.some(choices);
            }
        }
        object
    }

    fn rule(&mut self) -> Value {
        let mut rule = json!({});
        if self.one_in(2) {
            let fields: [(&str, &[&str], usize); 5] = [
                ("requestPrincipals", &PRINCIPALS, 2),
                ("notRequestPrincipals", &PRINCIPALS, 3),
                ("namespaces", &["prod"], 12),
                ("remoteIpBlocks", &NETWORKS, 9),
                ("notRemoteIpBlocks", &NETWORKS, 9),
            ];
            rule["from"] = (0..1 + self.index(2)).map(|_| json!({ "source": self.object(&fields) })).collect();
        }
        if !self.one_in(4) {
            let fields: [(&str, &[&str], usize); 8] = [
                ("paths", &PATHS, 2),
                ("methods", &METHODS, 4),
                ("hosts", &HOSTS, 5),
                ("notPaths", &PATHS, 3),
                ("notMethods", &METHODS, 7),
                ("notHosts", &HOSTS, 9),
                ("ports", &PORTS, 12),
                ("notPorts", &PORTS, 12),
            ];
            rule["to"] = (0..1 + self.index(2)).map(|_| json!({ "operation": self.object(&fields) })).collect();
        }
        if self.one_in(2) {
            rule["when"] = (0..1 + self.index(2)).map(|_| self.condition()).collect();
        }
        rule
    }

    fn condition(&mut self) -> Value {
        let (key, values) = KEYS[self.index(KEYS.len())];
        let mut condition = json!({ "key": key });
        let side = self.index(4);
        if side != 0 {
            condition["values"] = self.some(values);
        }
        if side < 2 {
            condition["notValues"] = self.some(values);
        }
        condition
    }

    /// A token is needed, but at some paths.
    fn token_but_at_some_paths(&mut self) -> Value {
        let operation = json!({ "notPaths": self.some(&PATHS) });
        let source =
            json!({ "notRequestPrincipals": [if self.one_in(4) { format!("{ISSUER}/*") } else { "*".to_owned() }] });
        json!({ "from": [{ "source": source }], "to": [{ "operation": operation }] })
    }

    fn policy(&mut self) -> Value {
        if self.one_in(4) {
            let spec = json!({ "action": "DENY", "rules": [self.token_but_at_some_paths()] });
            return json!({ "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
                "metadata": { "annotations": {} }, "spec": spec });
        }
        let mut spec = json!({});
        if self.one_in(2) {
            spec["action"] = json!(["ALLOW", "DENY", "AUDIT"][self.index(3)]);
        }
        if !self.one_in(12) {
            spec["rules"] = (0..self.index(4)).map(|_| self.rule()).collect();
        }
        let annotations = if self.one_in(8) { json!({ "istio.io/dry-run": "true" }) } else { json!({}) };
        json!({ "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": { "annotations": annotations }, "spec": spec })
    }
}

/// The engine under an imported configuration.
pub struct Scene(Harness);

impl Scene {
    pub fn of(document: &str) -> Self {
        Self(Harness::of_document(document.as_bytes(), Setup::default()))
    }

    pub fn allows(&mut self, request: &Request<'_>, credential: Option<&str>) -> bool {
        let mut fields = vec![
            (":method", request.method),
            (":path", request.target),
            (":authority", request.authority),
            ("x-user-id", "alice"),
        ];
        fields.extend(request.channel.map(|channel| ("x-channel", channel)));
        fields.extend(credential.map(|value| ("authorization", value)));
        let port: i64 = request.port.parse().unwrap();
        self.0.attributes = Some(vec![
            (Attribute::SourceAddress, format!("{}:4711", request.address).into_bytes()),
            (Attribute::DestinationPort, port.to_le_bytes().to_vec()),
        ]);
        status_of(&self.0.decide(&head(&fields))) == 200
    }
}

#[test]
fn no_random_istio_policy_is_weaker_after_import() {
    let (key, other) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let partner = SigningKey::b("k2");
    let authentication = |split_claims: &[&str], others: &[&str], have_one_issuer: bool| {
        let rule = |issuer: &str, key: &SigningKey, split_claims: &[&str], audiences: &[&str]| {
            json!({ "issuer": issuer, "jwks": key_set(&[key]).to_string(), "forwardOriginalToken": true,
                "spaceDelimitedClaims": split_claims, "audiences": audiences,
                "outputClaimToHeaders": [{ "header": "x-user-id", "claim": "sub" }] })
        };
        let rules = match have_one_issuer {
            false => [rule(ISSUER, &key, split_claims, &[]), rule(OTHER, &partner, others, &[])],
            true => [rule(ISSUER, &key, split_claims, &["one", "api://x"]), rule(ISSUER, &partner, others, &["two"])],
        };
        json!({ "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": { "annotations": {} },
            "spec": { "jwtRules": rules } })
    };
    let claims = |changes: Value| with(&json!({ "iss": ISSUER, "sub": "alice", "exp": NOW + 600 }), changes);
    let all_claims = [
        claims(json!({})),
        claims(json!({ "sub": "bob", "groups": ["staff"], "scope": "read write", "tier": "web" })),
        claims(json!({ "sub": null, "groups": [], "scope": "read", "tier": "" })),
        claims(json!({ "groups": "staff", "a": { "b": "staff" }, "aud": ["api://x"], "azp": "0oa1" })),
        claims(json!({ "groups": 7, "scope": ["read"], "tier": { "x": 1 }, "a": { "b": [] } })),
        claims(json!({ "scp": "read write", "scope": "staff", "permission": "read write", "tier": "read staff" })),
        claims(json!({ "scp": ["read", "staff"], "permission": ["write"] })),
    ];
    // The claims that are good, if any, and the value of `authorization`.
    let mut credentials: Vec<(Option<&Value>, Option<String>)> = vec![(None, None)];
    credentials.extend(all_claims.iter().map(|claims| (Some(claims), Some(format!("Bearer {}", key.token(claims))))));
    let of_the_partner = claims(json!({ "iss": OTHER, "scp": "read write", "scope": "read", "tier": "read staff" }));
    credentials.push((Some(&of_the_partner), Some(format!("Bearer {}", partner.token(&of_the_partner)))));
    // The same where both rules have one issuer, and a token for the audiences of both.
    let with_audience = |claims: &Value| with(&json!({ "aud": "one" }), claims.clone());
    let for_audiences: Vec<Value> = all_claims.iter().map(with_audience).collect();
    let of_second = with(&of_the_partner, json!({ "iss": ISSUER, "aud": "two" }));
    let of_both = with(&all_claims[1], json!({ "aud": ["one", "two"] }));
    let mut of_one_issuer: Vec<(Option<&Value>, Option<String>)> = vec![(None, None)];
    for claims in for_audiences.iter().chain([&of_both]) {
        of_one_issuer.push((Some(claims), Some(format!("Bearer {}", key.token(claims)))));
    }
    of_one_issuer.push((Some(&of_second), Some(format!("Bearer {}", partner.token(&of_second)))));
    // Signed with the key of the rule for the other audience.
    of_one_issuer.push((None, Some(format!("Bearer {}", key.token(&of_second)))));
    of_one_issuer.push((None, Some(format!("Bearer {}", partner.token(&for_audiences[1])))));
    let forged = format!("Bearer {}", other.token(&for_audiences[1]));
    let mut random = Random::new(0x0197_5c3e_8d21_44f7);
    let (mut allowed, mut allowed_there, mut converted) = (0, 0, 0);
    let documents = std::env::var("IMPORT_MODEL_DOCUMENTS").map_or(DOCUMENTS, |count| count.parse().unwrap());
    for number in 0..documents {
        let mut split = || -> &[&str] { if random.one_in(2) { &["scp", "tier"] } else { &[] } };
        let (split, split_by_partner) = (split(), split());
        let have_one_issuer = random.one_in(3);
        let credentials = if have_one_issuer { &of_one_issuer } else { &credentials };
        let policies: Vec<Value> = (0..1 + random.index(3)).map(|_| random.policy()).collect();
        let texts: Vec<String> = std::iter::once(&authentication(split, split_by_partner, have_one_issuer))
            .chain(&policies)
            .map(Value::to_string)
            .collect();
        let imported = import("istio", &texts.join("\n---\n"));
        if imported.status != 0 {
            continue;
        }
        converted += 1;
        let mut scene = Scene::of(&imported.stdout);
        for _ in 0..REQUESTS {
            let mut is_forged = random.one_in(10);
            let (claims, credential) = match is_forged {
                true => (None, Some(&forged)),
                false => {
                    let (claims, credential) = &credentials[random.index(credentials.len())];
                    is_forged = claims.is_none() && credential.is_some();
                    (*claims, credential.as_ref())
                }
            };
            let is_of_partner = claims.is_some_and(|claims| claims["iss"] == OTHER || claims["aud"] == "two");
            let split_claims =
                [&["scope", "permission"][..], if is_of_partner { split_by_partner } else { split }].concat();
            let request = Request {
                method: VERBS[random.index(VERBS.len())],
                target: TARGETS[random.index(TARGETS.len())],
                authority: AUTHORITIES[if random.one_in(2) { 0 } else { random.index(AUTHORITIES.len()) }],
                claims,
                channel: random.one_in(2).then_some("web"),
                address: ADDRESSES[random.index(ADDRESSES.len())],
                port: PORTS[random.index(PORTS.len())],
                split_claims: &split_claims,
            };
            let is_allowed = scene.allows(&request, credential.map(String::as_str));
            let istio = !is_forged && request.is_allowed(&policies);
            assert!(
                istio || !is_allowed,
                "document {number}: {request:?} is allowed here only\n{}\n{}",
                json!(policies),
                imported.stdout
            );
            allowed += usize::from(is_allowed);
            allowed_there += usize::from(istio);
        }
    }
    println!("{converted} documents of {documents}; {allowed} requests allowed here, {allowed_there} by Istio");
    assert!(
        converted * 10 > documents * 9 && allowed * 3 > allowed_there,
        "{converted} documents are converted, {allowed} requests allowed, {allowed_there} by Istio"
    );
}
