//! Random RequestAuthentication and AuthorizationPolicy, evaluated as Istio documents it, and by the engine under the
//! imported configuration: the engine never allows what Istio denies.

use okta_proxy_wasm::config;
use okta_proxy_wasm::engine::{Arrival, Engine, PortableVerifier, Room, StreamId, Verdict};
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

use super::import;
use super::signing::{ISSUER, SigningKey, key_set};

const NOW: u64 = 1_800_000_000;
/// `IMPORT_MODEL_DOCUMENTS` searches for longer.
const DOCUMENTS: usize = 160;
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
const PRINCIPALS: [&str; 6] = ["*", "ISSUER/*", "ISSUER/alice", "*/bob", "ISSUER*", "https://other.example/*"];
const KEYS: [&str; 9] = [
    "request.auth.claims[groups]",
    "request.auth.claims[scope]",
    "request.auth.claims[a][b]",
    "request.auth.claims[tier]",
    "request.headers[x-user-id]",
    "request.headers[X-Channel]",
    "request.headers[authorization]",
    "request.auth.audiences",
    "request.auth.presenter",
];
const VALUES: [&str; 10] = ["staff", "read", "read write", "*", "st*", "*ff", "alice", "web", "api://x", "0oa1"];

/// Xorshift; the same sequence in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % end
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }

    fn some(&mut self, choices: &[&str]) -> Value {
        let count = 1 + self.below(2);
        (0..count).map(|_| choices[self.below(choices.len())].replace("ISSUER", ISSUER)).collect()
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
            let fields: [(&str, &[&str], usize); 4] = [
                ("requestPrincipals", &PRINCIPALS, 2),
                ("notRequestPrincipals", &PRINCIPALS, 3),
                ("namespaces", &["prod"], 9),
                ("remoteIpBlocks", &["10.0.0.0/8"], 9),
            ];
            rule["from"] = (0..1 + self.below(2)).map(|_| json!({ "source": self.object(&fields) })).collect();
        }
        if !self.one_in(4) {
            let fields: [(&str, &[&str], usize); 7] = [
                ("paths", &PATHS, 2),
                ("methods", &METHODS, 3),
                ("hosts", &HOSTS, 4),
                ("notPaths", &PATHS, 9),
                ("notMethods", &METHODS, 9),
                ("notHosts", &HOSTS, 12),
                ("ports", &["8443"], 12),
            ];
            rule["to"] = (0..1 + self.below(2)).map(|_| json!({ "operation": self.object(&fields) })).collect();
        }
        if self.one_in(2) {
            let mut condition = json!({ "key": KEYS[self.below(KEYS.len())] });
            let negated = self.one_in(3);
            condition[if negated { "notValues" } else { "values" }] = self.some(&VALUES);
            rule["when"] = json!([condition]);
        }
        rule
    }

    fn policy(&mut self) -> Value {
        let mut spec = json!({});
        if self.one_in(2) {
            spec["action"] = json!(["ALLOW", "DENY", "AUDIT"][self.below(3)]);
        }
        if !self.one_in(12) {
            spec["rules"] = (0..self.below(4)).map(|_| self.rule()).collect();
        }
        let annotations = if self.one_in(8) { json!({ "istio.io/dry-run": "true" }) } else { json!({}) };
        json!({ "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": { "annotations": annotations }, "spec": spec })
    }
}

/// A request as Istio's filters see it behind jwt_authn.
struct Request<'a> {
    method: &'a str,
    target: &'a str,
    authority: &'a str,
    claims: Option<&'a Value>,
    channel: Option<&'a str>,
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap()).collect()
}

/// `*`, `*SUFFIX`, `PREFIX*` or the whole; the first sign counts first.
fn matches_text(pattern: &str, text: &str) -> bool {
    match (pattern, pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        ("*", _, _) => !text.is_empty(),
        (_, Some(suffix), _) => text.ends_with(suffix),
        (_, None, Some(prefix)) => text.starts_with(prefix),
        (whole, None, None) => text == whole,
    }
}

fn matches_path(pattern: &str, path: &str) -> bool {
    if !pattern.contains("{*}") && !pattern.contains("{**}") {
        return matches_text(pattern, path);
    }
    // The templates in the table are whole segments, `{**}` the last one.
    let is_segment = |text: &str| {
        text.chars().all(|character| character.is_ascii_alphanumeric() || "-._~%!$&'()+,;:@".contains(character))
    };
    if let Some(start) = pattern.strip_suffix("{**}") {
        return path.strip_prefix(start).is_some_and(|rest| rest.split('/').all(is_segment));
    }
    let (wanted, found): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    wanted.len() == found.len()
        && wanted.iter().zip(&found).all(|(wanted, found)| match *wanted {
            "{*}" => !found.is_empty() && is_segment(found),
            literal => literal == *found,
        })
}

impl Request<'_> {
    fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// `ISSUER/SUBJECT`, each of them whole, `*`, or with a `*` at one end of the pattern.
    fn has_principal(&self, patterns: &Value) -> bool {
        let claim = |name: &str| self.claims.and_then(|claims| claims.get(name)?.as_str()).unwrap_or_default();
        texts(patterns).into_iter().any(|pattern| match pattern.rsplit_once('/') {
            Some((issuer, subject)) => matches_text(issuer, claim("iss")) && matches_text(subject, claim("sub")),
            None if pattern == "*" => !claim("iss").is_empty() && !claim("sub").is_empty(),
            None => false,
        })
    }

    fn is_from(&self, source: &Value) -> bool {
        source.as_object().unwrap().iter().all(|(name, values)| match name.as_str() {
            "requestPrincipals" => self.has_principal(values),
            "notRequestPrincipals" => !self.has_principal(values),
            // Neither from that namespace nor from that network.
            _ => false,
        })
    }

    fn is_to(&self, operation: &Value) -> bool {
        let any = |values: &Value, matches: &dyn Fn(&str) -> bool| texts(values).into_iter().any(matches);
        let host = self.authority.to_ascii_lowercase();
        let is_path = |pattern: &str| matches_path(pattern, self.path());
        let is_method = |pattern: &str| matches_text(pattern, self.method);
        let is_host = |pattern: &str| matches_text(&pattern.to_ascii_lowercase(), &host);
        operation.as_object().unwrap().iter().all(|(name, values)| match name.as_str() {
            "paths" => any(values, &is_path),
            "notPaths" => !any(values, &is_path),
            "methods" => any(values, &is_method),
            "notMethods" => !any(values, &is_method),
            "hosts" => any(values, &is_host),
            "notHosts" => !any(values, &is_host),
            _ => false,
        })
    }

    /// What a key of `when` has; claims `scope` and `permission` are lists with blanks between their items.
    fn values_of(&self, key: &str) -> Vec<String> {
        if let Some(path) = key.strip_prefix("request.auth.claims[") {
            let path: Vec<&str> = path.trim_end_matches(']').split("][").collect();
            return self.claim(&path);
        }
        match key {
            "request.auth.audiences" => self.claim(&["aud"]),
            "request.auth.presenter" => self.claim(&["azp"]),
            // Written from the token, or removed.
            "request.headers[x-user-id]" => self.claim(&["sub"]),
            "request.headers[X-Channel]" => self.channel.map(str::to_owned).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn claim(&self, path: &[&str]) -> Vec<String> {
        let found = self.claims.and_then(|claims| path.iter().try_fold(claims, |value, name| value.get(name)));
        match found {
            Some(Value::String(text)) if path == ["scope"] => text.split(' ').map(str::to_owned).collect(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => Vec::new(),
        }
    }

    fn meets(&self, condition: &Value) -> bool {
        let found = self.values_of(condition["key"].as_str().unwrap());
        let has = |patterns: &Value| {
            texts(patterns).iter().any(|pattern| found.iter().any(|value| matches_text(pattern, value)))
        };
        condition.get("values").is_none_or(has) && !condition.get("notValues").is_some_and(has)
    }

    fn matches(&self, rule: &Value) -> bool {
        let any = |list: &str, item: &str, matches: &dyn Fn(&Value) -> bool| {
            rule.get(list).and_then(Value::as_array).is_none_or(|items| items.iter().any(|entry| matches(&entry[item])))
        };
        any("from", "source", &|source| self.is_from(source))
            && any("to", "operation", &|operation| self.is_to(operation))
            && rule.get("when").and_then(Value::as_array).into_iter().flatten().all(|condition| self.meets(condition))
    }

    /// DENY first, then ALLOW, of which one has to match when there are any.
    fn is_allowed(&self, policies: &[Value]) -> bool {
        let enforced =
            policies.iter().filter(|policy| policy["metadata"]["annotations"].get("istio.io/dry-run").is_none());
        let (mut has_allow, mut is_allowed) = (false, false);
        for spec in enforced.map(|policy| &policy["spec"]) {
            let matches = spec["rules"].as_array().into_iter().flatten().any(|rule| self.matches(rule));
            match spec.get("action").and_then(Value::as_str) {
                Some("DENY") if matches => return false,
                Some("DENY" | "AUDIT") => {}
                _ => {
                    has_allow = true;
                    is_allowed |= matches;
                }
            }
        }
        is_allowed || !has_allow
    }
}

#[test]
fn no_random_istio_policy_is_weaker_after_import() {
    let (key, other) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let authentication = json!({ "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": { "annotations": {} },
        "spec": { "jwtRules": [{ "issuer": ISSUER, "jwks": key_set(&[&key]).to_string(), "forwardOriginalToken": true,
            "outputClaimToHeaders": [{ "header": "x-user-id", "claim": "sub" }] }] } });
    let claims =
        |changes: Value| super::signing::with(&json!({ "iss": ISSUER, "sub": "alice", "exp": NOW + 600 }), changes);
    let all_claims = [
        claims(json!({})),
        claims(json!({ "sub": "bob", "groups": ["staff"], "scope": "read write", "tier": "web" })),
        claims(json!({ "sub": null, "groups": [], "scope": "read", "tier": "" })),
        claims(json!({ "groups": "staff", "a": { "b": "staff" }, "aud": ["api://x"], "azp": "0oa1" })),
        claims(json!({ "groups": 7, "scope": ["read"], "tier": { "x": 1 }, "a": { "b": [] } })),
    ];
    // The claims that are good, if any, and the value of `authorization`.
    let mut credentials: Vec<(Option<&Value>, Option<String>)> = vec![(None, None)];
    credentials.extend(all_claims.iter().map(|claims| (Some(claims), Some(format!("Bearer {}", key.token(claims))))));
    let forged = format!("Bearer {}", other.token(&all_claims[1]));
    let mut random = Random(0x0197_5c3e_8d21_44f7);
    let (mut allowed, mut converted) = (0, 0);
    let documents = std::env::var("IMPORT_MODEL_DOCUMENTS").map_or(DOCUMENTS, |count| count.parse().unwrap());
    for number in 0..documents {
        let policies: Vec<Value> = (0..1 + random.below(3)).map(|_| random.policy()).collect();
        let texts: Vec<String> = std::iter::once(&authentication).chain(&policies).map(Value::to_string).collect();
        let imported = import("istio", &texts.join("\n---\n"));
        if imported.status != 0 {
            continue;
        }
        converted += 1;
        let loaded = config::load(imported.stdout.as_bytes(), &config::no_environment).unwrap();
        let now = UnixTime::from_secs(NOW);
        let mut engine = Engine::new(loaded.policy, Box::new(PortableVerifier), Room::default(), now);
        for stream in 0..REQUESTS {
            let target = TARGETS[random.below(TARGETS.len())];
            let authority = AUTHORITIES[if random.one_in(2) { 0 } else { random.below(AUTHORITIES.len()) }];
            let method = VERBS[random.below(VERBS.len())];
            let is_forged = random.one_in(10);
            let (claims, credential) = match is_forged {
                true => (None, Some(&forged)),
                false => {
                    let (claims, credential) = &credentials[random.below(credentials.len())];
                    (*claims, credential.as_ref())
                }
            };
            let channel = random.one_in(2).then_some("web");
            let mut fields =
                vec![(":method", method), (":path", target), (":authority", authority), ("x-user-id", "alice")];
            fields.extend(channel.map(|channel| ("x-channel", channel)));
            fields.extend(credential.map(|value| ("authorization", value.as_str())));
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
            let stream = StreamId(u32::try_from(stream).unwrap());
            let is_allowed = match engine.on_request(stream, &RequestHead::new(fields), now) {
                Arrival::Decided(decision) => matches!(decision.verdict, Verdict::Allow(_)),
                Arrival::Parked | Arrival::Answered(_) | Arrival::Asks(_) => panic!("not decided with inline keys"),
            };
            let request = Request { method, target, authority, claims, channel };
            let istio = !is_forged && request.is_allowed(&policies);
            assert!(
                istio || !is_allowed,
                "document {number}: {method} {target} at {authority} with {claims:?} is allowed here only\n{}\n{}",
                json!(policies),
                imported.stdout
            );
            allowed += usize::from(is_allowed);
        }
    }
    assert!(
        converted > documents / 2 && allowed > converted,
        "{converted} documents are converted, {allowed} requests allowed"
    );
}
