//! Rules against a naive reference: random documents and requests, evaluated by the engine and by a reference that reads the
//! JSON from top to bottom and checks each rule for a match.
//!
//! Invariants for every document: no request is allowed that the reference rejects, in any reading of the path that some server
//! is known to have; and for paths and hosts that have one reading, both agree on the status, whether a token was validated,
//! the rule's name and the report-only result.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::engine_harness::{Harness, NOW, Setup};
use crate::random::Random;
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use okta_proxy_wasm::engine::{Algorithm, Attribute, Decision, PortableVerifier, SignatureVerifier, Verdict};
use okta_proxy_wasm::http::{HeaderEdit, RequestHead};
use okta_proxy_wasm::jose::Key;
use serde_json::{Value, json};

const DOCUMENTS: usize = 1500;
const REQUESTS: usize = 20;

const HOSTS: [&str; 4] = ["a.example", "b.a.example", "*.a.example", "c.example"];
const PATHS: [&str; 7] = ["/", "/a", "/a/b", "/a/b/1", "/ab", "/c", "/c/12"];
const REGEXES: [&str; 4] = ["/a/[a-z]+", "/c/[0-9]{2}", "/(a|c)", "/.*/b"];
const METHODS: [&str; 4] = ["GET", "POST", "OPTIONS", "DELETE"];
const SCOPES: [&str; 3] = ["read", "read:all", "write"];
const GROUPS: [&str; 3] = ["staff", "beta", "admins"];
/// Judged by hand in [`condition_holds`].
const CONDITIONS: [&str; 4] = [
    "claims.team == 'a'",
    "path_segment(request.url_path, 1) == claims.team",
    "request.method == 'GET' || 'staff' in claims.groups",
    "has(claims.team) && size(claims.team) == 1",
];
const STRONG: &str = "urn:okta:loa:2fa:any";
/// The digest of the certificate of every connection, in both spellings.
const CERTIFICATE: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
const CERTIFICATE_IN_HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OTHER_CERTIFICATE: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

/// Xorshift; the same sequence in every run.
impl Random {
    fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.index(choices.len())]
    }

    /// At least one, each once.
    fn some(&mut self, choices: &[&str]) -> Value {
        let first = self.index(choices.len());
        let mut chosen = vec![choices[first]];
        for (at, choice) in choices.iter().enumerate() {
            if at != first && self.one_in(4) {
                chosen.push(choice);
            }
        }
        json!(chosen)
    }

    fn require(&mut self) -> Value {
        let mut require = serde_json::Map::new();
        while require.is_empty() {
            if self.one_in(2) {
                require.insert("scopes".to_owned(), self.some(&SCOPES));
            }
            if self.one_in(5) {
                require.insert("any_scope".to_owned(), self.some(&SCOPES));
            }
            if self.one_in(3) {
                require.insert("groups".to_owned(), self.some(&GROUPS));
            }
            if self.one_in(6) {
                require.insert("acr".to_owned(), json!(STRONG));
            }
            if self.one_in(6) {
                require.insert("proof".to_owned(), json!(self.of(&["mtls", "any", "any", "dpop"])));
            }
            if self.one_in(6) {
                require.insert("not".to_owned(), json!({ "groups": ["suspended"] }));
            }
            if self.one_in(5) {
                let alternatives = [json!({ "groups": self.some(&GROUPS) }), json!({ "scopes": self.some(&SCOPES) })];
                require.insert("any_of".to_owned(), json!(alternatives[..=self.index(2)]));
            }
            if self.one_in(5) {
                require.insert("condition".to_owned(), json!(self.of(&CONDITIONS)));
            }
            let excluded = self.of(&CONDITIONS);
            // The loader refuses what contradicts itself.
            if self.one_in(10) && require.get("condition").is_none_or(|demanded| demanded != excluded) {
                require.insert("not".to_owned(), json!({ "condition": excluded }));
            }
            if self.one_in(10) {
                let alternatives = json!([{ "condition": self.of(&CONDITIONS) }, { "groups": self.some(&GROUPS) }]);
                require.insert("any_of".to_owned(), alternatives);
            }
        }
        Value::Object(require)
    }

    fn requirements(&mut self) -> Value {
        match self.index(10) {
            0 | 1 => json!({ "access": "public" }),
            2 => json!({ "access": "optional" }),
            3 => json!({ "access": "deny" }),
            4 => json!({ "access": "token" }),
            5 => json!({}),
            6 => json!({ "require": self.require(), "report_only": true }),
            _ => json!({ "require": self.require() }),
        }
    }

    pub(crate) fn rule(&mut self, place: usize) -> Value {
        let mut rule = self.requirements();
        let mut conditions = serde_json::Map::new();
        if self.one_in(4) {
            conditions.insert("hosts".to_owned(), self.some(&HOSTS));
        }
        if self.one_in(3) {
            conditions.insert("methods".to_owned(), self.some(&METHODS));
        }
        match self.index(7) {
            0 => {}
            1 | 2 => drop(conditions.insert("path".to_owned(), json!(self.of(&PATHS)))),
            3 => drop(conditions.insert("path_regex".to_owned(), json!(self.of(&REGEXES)))),
            _ => drop(conditions.insert("path_prefix".to_owned(), json!(self.of(&PATHS)))),
        }
        let needs_token = !matches!(rule["access"].as_str(), Some("public" | "optional"));
        if needs_token && self.one_in(5) {
            conditions.insert("ignore_case".to_owned(), json!(true));
        }
        if !conditions.is_empty() || self.one_in(2) {
            rule["match"] = Value::Object(conditions);
        }
        if !self.one_in(4) {
            rule["name"] = json!(format!("r{place}"));
        }
        rule
    }

    fn document(&mut self) -> Value {
        let mut document = json!({ "bypass_cors_preflight": self.one_in(3) });
        let rules: Vec<Value> = (0..self.index(8)).map(|place| self.rule(place)).collect();
        if !rules.is_empty() || self.one_in(2) {
            document["rules"] = json!(rules);
        }
        if !self.one_in(3) {
            document["default_rule"] = self.requirements();
        }
        document
    }

    fn target(&mut self) -> String {
        let plain = [
            "/", "/a", "/a/", "/a/b", "/a/b/1", "/ab", "/abc", "/c", "/c/12", "/c/123", "/x/b", "/a/b/1/2", "/A",
            "/A/B", "/x",
        ];
        let odd = [
            "/a/../c",
            "/x/%2e%2e/a",
            "/./a",
            "//a",
            "//c/a",
            "//a/b",
            "/c//12",
            "/a;x",
            "/a;x/b",
            "/x;/../a",
            "/x/..;/a",
            "/a%3bx/b",
            "/%61/b",
            "/a%2fb",
            "/a\\b",
            "/x/..%5ca",
            "/../a",
            "/x//../a",
            "/a/%00",
            "/a%",
            "/a#",
            "/a b",
            "a",
            "",
            "*",
            "/a/.",
            "/a/b/..",
            "/a%3Fx",
            "/%2561",
            "/x/%252e%252e/a",
            "/a/b;",
            "/;/a",
            "/%2e/a",
            "/x/.%2e;y/a",
            "https://a.example/a",
            "//a/..",
            "/a/;/b",
        ];
        let mut target = if self.one_in(3) { self.of(&odd) } else { self.of(&plain) }.to_owned();
        if self.one_in(5) {
            target.push_str(self.of(&["?", "?x=/c", "?/../a", "?a;b"]));
        }
        target
    }
}

/// A credential of a request, and what the reference knows of it.
struct Credential {
    /// The values of `authorization`.
    fields: Vec<String>,
    /// What it answers where a token is needed; 200 for a good one.
    status: u16,
    claims: Value,
}

fn credentials() -> Vec<Credential> {
    let key = SigningKey::a("k1");
    let of = |status: u16, claims: Value, fields: &[String]| Credential {
        fields: fields.iter().map(|token| format!("Bearer {token}")).collect(),
        status,
        claims,
    };
    let good = |changes: Value| {
        let claims = with(&with(&payload(NOW), json!({ "scp": null })), changes);
        of(200, claims.clone(), &[key.token(&claims)])
    };
    let bad = SigningKey::b("k1").token(&payload(NOW));
    vec![
        of(401, Value::Null, &[]),
        of(401, Value::Null, std::slice::from_ref(&bad)),
        of(
            401,
            Value::Null,
            &[key.token(&with(&payload(NOW), json!({ "exp": NOW - 3600, "scp": SCOPES, "groups": GROUPS })))],
        ),
        of(401, Value::Null, &["opaque".to_owned()]),
        of(400, Value::Null, &[bad.clone(), bad]),
        good(json!({})),
        good(json!({ "scp": ["read"] })),
        good(json!({ "scp": ["read", "write"], "groups": ["staff"] })),
        good(json!({ "scope": "read:all", "groups": ["beta", "suspended"] })),
        good(json!({ "scp": SCOPES, "groups": GROUPS, "acr": "phr" })),
        good(json!({ "scp": SCOPES, "groups": GROUPS })),
        good(json!({ "scp": SCOPES, "groups": GROUPS, "acr": "phr", "cnf": { "x5t#S256": CERTIFICATE } })),
        good(json!({ "scp": ["read"], "groups": ["staff"], "cnf": { "x5t#S256": CERTIFICATE } })),
        of(401, Value::Null, &[key.token(&with(&payload(NOW), json!({ "cnf": { "x5t#S256": OTHER_CERTIFICATE } })))]),
        good(json!({ "scp": SCOPES, "acr": "urn:okta:loa:1fa:pwd" })),
        good(json!({ "groups": ["staff", "beta"], "acr": STRONG })),
        good(json!({ "scp": SCOPES, "groups": { "staff": true }, "acr": STRONG })),
        good(json!({ "scp": SCOPES, "groups": ["staff"], "team": "a" })),
        good(json!({ "scp": SCOPES, "groups": ["admins"], "team": "c", "acr": STRONG })),
        good(json!({ "scp": ["read"], "groups": [], "team": "ab" })),
        good(json!({ "scp": SCOPES, "groups": GROUPS, "team": 1 })),
    ]
}

struct Request {
    method: String,
    host: Vec<String>,
    target: String,
    is_preflight: bool,
}

impl Request {
    fn random(random: &mut Random) -> Self {
        let method =
            if random.one_in(8) { random.of(&["get", "PATCH", "Options", "GETX"]) } else { random.of(&METHODS) };
        let host: &[&str] = match random.index(12) {
            0 => random.of(&[&[][..], &["a.example", "c.example"], &["a.example,c.example"], &["c.example/a.example"]]),
            1 => random.of(&[&["A.Example:443"][..], &["a.example."], &["B.a.example:80"]]),
            _ => random.of(&[
                &["a.example"][..],
                &["b.a.example"],
                &["x.y.a.example"],
                &["c.example"],
                &["d.example"],
                &["xa.example"],
            ]),
        };
        Self {
            method: method.to_owned(),
            host: host.iter().map(|host| (*host).to_owned()).collect(),
            target: random.target(),
            is_preflight: random.one_in(3),
        }
    }

    fn head(&self, credential: &Credential) -> RequestHead {
        let mut fields = vec![(":method", self.method.as_str()), (":path", self.target.as_str())];
        fields.extend(self.host.iter().map(|host| (":authority", host.as_str())));
        fields.extend(credential.fields.iter().map(|value| ("authorization", value.as_str())));
        if self.is_preflight {
            fields.extend([("origin", "https://app.example"), ("access-control-request-method", "PUT")]);
        }
        fields.extend([("x-user-id", "root"), ("x-original-url", "/c")]);
        // With a method override it would be no preflight.
        fields.extend((!self.is_preflight).then_some(("x-http-method-override", "GET")));
        RequestHead::new(fields.into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect())
    }

    /// The host when it is plainly one.
    fn plain_host(&self) -> Option<String> {
        let [host] = self.host.as_slice() else { return None };
        let host = host.to_ascii_lowercase();
        let host = host.split(':').next().unwrap().trim_end_matches('.').to_owned();
        host.chars().all(|character| character.is_ascii_alphanumeric() || character == '.').then_some(host)
    }

    /// The hosts that a proxy may compare rules with: the plain one, and where the request has a port or a trailing dot one
    /// that no rule names.
    fn host_readings(&self) -> Vec<Option<String>> {
        let plain = self.plain_host();
        let is_as_written = matches!(self.host.as_slice(), [host] if plain == Some(host.to_ascii_lowercase()));
        if is_as_written || plain.is_none() { vec![plain] } else { vec![plain, None] }
    }

    /// The path when every server reads it as it stands.
    fn plain_path(&self) -> Option<String> {
        let path = self.target.split('?').next().unwrap();
        let segments_are_plain = path.strip_prefix('/').is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_suffix('/').unwrap_or(rest).split('/').all(|segment| {
                    !segment.is_empty() && segment.chars().all(|character| character.is_ascii_alphanumeric())
                })
        });
        segments_are_plain.then(|| path.to_owned())
    }

    /// The paths that some server or other takes it for. None for what is no path.
    fn readings(&self) -> Vec<String> {
        let path = self.target.split('?').next().unwrap().split('#').next().unwrap();
        if !path.starts_with('/') {
            return Vec::new();
        }
        let behind_host = path
            .strip_prefix("//")
            .map(|rest| rest.split_once('/').map_or(String::from("/"), |(_, path)| format!("/{path}")));
        let mut readings: Vec<String> = Vec::new();
        for base in std::iter::once(path.to_owned()).chain(behind_host) {
            for backslash_separates in [false, true] {
                for text in [
                    decoded(&base),
                    decoded(&without_parameters(&base)),
                    without_parameters(&decoded(&base)),
                    decoded(&without_dots(&base)),
                    decoded(base.split(';').next().unwrap()),
                    decoded(&base).split(';').next().unwrap().to_owned(),
                ] {
                    let text = if backslash_separates { text.replace('\\', "/") } else { text };
                    readings.push(without_dots(&text));
                    readings.push(text.split('/').filter(|segment| !segment.is_empty()).fold(
                        String::from("/"),
                        |path, segment| {
                            if path == "/" { path + segment } else { path + "/" + segment }
                        },
                    ));
                }
            }
        }
        readings
    }
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], escape) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn without_parameters(text: &str) -> String {
    text.split('/').map(|segment| segment.split(';').next().unwrap()).collect::<Vec<_>>().join("/")
}

fn without_dots(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in text.split('/').filter(|segment| !segment.is_empty()) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    format!("/{}", kept.join("/"))
}

/// What the reference says of a request.
#[derive(Clone, Debug, PartialEq)]
struct ExpectedDecision {
    /// 200 for what passes.
    status: u16,
    /// Whether it passes as somebody.
    identified: bool,
    rule: Option<String>,
    reported: bool,
}

/// The first rule that matches, or the one for everything else; from the JSON, one after the other.
fn rule_for<'a>(document: &'a Value, host: Option<&str>, path: &str, method: &str) -> &'a Value {
    let listed = |value: &Value, is_it: &dyn Fn(&str) -> bool| {
        value.as_array().is_none_or(|list| list.iter().any(|item| is_it(item.as_str().unwrap())))
    };
    let matches = |rule: &&Value| {
        let conditions = &rule["match"];
        let is_host = |pattern: &str| match (host, pattern.strip_prefix('*')) {
            (Some(host), Some(ending)) => host.ends_with(ending),
            (Some(host), None) => host == pattern,
            (None, _) => false,
        };
        let (mut path, mut written) = (path.to_owned(), None);
        for field in ["path", "path_prefix", "path_regex"] {
            written = written.or(conditions[field].as_str().map(|pattern| (field, pattern)));
        }
        if conditions["ignore_case"] == true {
            path.make_ascii_lowercase();
        }
        // A slash at the end is no difference.
        let path = if path == "/" { "" } else { path.strip_suffix('/').unwrap_or(&path) };
        let is_path = match written {
            None => true,
            Some(("path", "/")) => path.is_empty(),
            Some(("path", pattern)) => path == pattern,
            Some(("path_prefix", "/")) => true,
            Some(("path_prefix", pattern)) => path == pattern || path.starts_with(&format!("{pattern}/")),
            Some((_, regex)) => matches_regex(regex, path),
        };
        listed(&conditions["hosts"], &is_host) && listed(&conditions["methods"], &|name| name == method) && is_path
    };
    let rules = document["rules"].as_array();
    rules.and_then(|rules| rules.iter().find(matches)).unwrap_or(&document["default_rule"])
}

/// [`REGEXES`], by hand.
fn matches_regex(regex: &str, path: &str) -> bool {
    match regex {
        "/a/[a-z]+" => path
            .strip_prefix("/a/")
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|character| character.is_ascii_lowercase())),
        "/c/[0-9]{2}" => path
            .strip_prefix("/c/")
            .is_some_and(|rest| rest.len() == 2 && rest.chars().all(|digit| digit.is_ascii_digit())),
        "/(a|c)" => path == "/a" || path == "/c",
        "/.*/b" => path.starts_with('/') && path.len() > 2 && path[1..].ends_with("/b"),
        other => panic!("{other}"),
    }
}

/// [`CONDITIONS`], by hand; `None` for what cannot be judged.
fn condition_holds(condition: &Value, claims: &Value, path: &str, method: &str) -> Option<bool> {
    let team = &claims["team"];
    match condition.as_str()? {
        // Values of different types are not compared.
        "claims.team == 'a'" => team.is_string().then(|| team == "a"),
        "path_segment(request.url_path, 1) == claims.team" => {
            let first = path.split('/').find(|segment| !segment.is_empty())?;
            team.is_string().then(|| team == first)
        }
        "request.method == 'GET' || 'staff' in claims.groups" => {
            let is_staff = match &claims["groups"] {
                Value::Array(groups) => {
                    groups.iter().all(Value::is_string).then(|| groups.iter().any(|group| group == "staff"))
                }
                Value::Object(groups) => Some(groups.contains_key("staff")),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            };
            if method == "GET" { Some(true) } else { is_staff }
        }
        "has(claims.team) && size(claims.team) == 1" => match team {
            Value::Null => Some(false),
            Value::String(team) => Some(team.len() == 1),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        },
        other => panic!("{other}"),
    }
}

/// What stands in the way of a good token: nothing, 401 for a log-in, 403 for the rest.
fn unmet(require: &Value, claims: &Value, path: &str, method: &str) -> Option<u16> {
    let judged = |condition: &Value| condition_holds(condition, claims, path, method);
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let scopes = match claims["scope"].as_str() {
        Some(text) => text.split(' ').map(str::to_owned).collect(),
        None => list(&claims["scp"]),
    };
    let groups = list(&claims["groups"]);
    let has_any = |wanted: &Value, found: &[String]| list(wanted).iter().any(|name| found.contains(name));
    let has_all = |wanted: &Value, found: &[String]| list(wanted).iter().all(|name| found.contains(name));
    let is_written = |name: &str| !require[name].is_null();
    // What no other token of this user would bring.
    let not = &require["not"];
    let is_excluded = if not["condition"].is_null() {
        is_written("not") && (!claims["groups"].is_array() || groups.contains(&"suspended".to_owned()))
    } else {
        judged(&not["condition"]) != Some(false)
    };
    // The provider accepts tokens that are bound to a certificate, and none that are bound to a key.
    let is_proved = !claims["cnf"].is_null() && require["proof"] != "dpop";
    let is_final = (require["proof"] == "dpop")
        || (is_written("groups") && !has_any(&require["groups"], &groups))
        || is_excluded
        || (is_written("condition") && judged(&require["condition"]) != Some(true));
    let alternatives: Vec<&Value> = require["any_of"].as_array().into_iter().flatten().collect();
    let is_met = |alternative: &&&Value| {
        if !alternative["condition"].is_null() {
            judged(&alternative["condition"]) == Some(true)
        } else if alternative["groups"].is_null() {
            has_all(&alternative["scopes"], &scopes)
        } else {
            has_any(&alternative["groups"], &groups)
        }
    };
    let is_hopeless = |alternatives: &[&Value]| alternatives.iter().all(|one| one["scopes"].is_null());
    let misses_all = !alternatives.is_empty() && !alternatives.iter().any(|one| is_met(&one));
    if is_final || (misses_all && is_hopeless(&alternatives)) {
        return Some(403);
    }
    if is_written("proof") && !is_proved {
        return Some(401);
    }
    let is_strong = matches!(claims["acr"].as_str(), Some(STRONG | "phr" | "phrh"));
    if is_written("acr") && !is_strong {
        return Some(401);
    }
    let lacks_scope = (is_written("scopes") && !has_all(&require["scopes"], &scopes))
        || (is_written("any_scope") && !has_any(&require["any_scope"], &scopes));
    (lacks_scope || misses_all).then_some(403)
}

fn answer(
    document: &Value,
    host: Option<&str>,
    path: &str,
    request: &Request,
    credential: &Credential,
) -> ExpectedDecision {
    let rule = rule_for(document, host, path, &request.method);
    let refused = |status| (status, false, false);
    let is_preflight = document["bypass_cors_preflight"] == true && request.is_preflight && request.method == "OPTIONS";
    let access = rule["access"].as_str().unwrap_or("token");
    let (status, identified, reported) = match access {
        "deny" => refused(403),
        "public" => (200, false, false),
        "optional" if credential.fields.is_empty() => (200, false, false),
        _ if is_preflight => (200, false, false),
        _ if credential.status != 200 => refused(credential.status),
        _ => match (unmet(&rule["require"], &credential.claims, path, &request.method), rule["report_only"] == true) {
            (None, _) => (200, true, false),
            (Some(_), true) => (200, true, true),
            (Some(status), false) => refused(status),
        },
    };
    ExpectedDecision { status, identified, rule: rule["name"].as_str().map(str::to_owned), reported }
}

fn answered(decision: &Decision) -> ExpectedDecision {
    let record: Value = serde_json::from_str(&decision.audit.to_json()).unwrap();
    let (status, identified) = match &decision.verdict {
        Verdict::Deny(reply) => (reply.status, false),
        Verdict::Allow(edits) => {
            let edits: Vec<&HeaderEdit> = edits.iter().collect();
            for name in ["x-user-id", "authorization"] {
                assert!(edits.contains(&&HeaderEdit::Remove(name.to_owned())), "{name} goes on");
            }
            (200, edits.iter().any(|edit| matches!(edit, HeaderEdit::Set(..))))
        }
    };
    assert_eq!(record["decision"] == "allow", status == 200);
    ExpectedDecision {
        status,
        identified,
        rule: record["rule"].as_str().map(str::to_owned),
        reported: decision.audit.would_deny().is_some(),
    }
}

/// Verifies each token once.
#[derive(Clone, Default)]
struct Memo(Rc<RefCell<HashMap<Vec<u8>, bool>>>);

impl SignatureVerifier for Memo {
    fn verifies(&self, algorithm: Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        let judged = || PortableVerifier.verifies(algorithm, key, message, signature);
        *self.0.borrow_mut().entry([message, b".", signature].concat()).or_insert_with(judged)
    }
}

#[test]
fn engine_rejects_whatever_a_naive_rule_reader_rejects() {
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    let (credentials, verifier) = (credentials(), Memo::default());
    let providers = json!({ "okta": {
        "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) },
        "sender_constraint": { "mtls": "if_bound" } } });
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..DOCUMENTS {
        let document = random.document();
        let configuration = with(&document, json!({ "providers": providers }));
        let setup = Setup { verifier: Box::new(verifier.clone()), ..Setup::default() };
        let mut engine = Harness::with(&configuration, setup);
        engine.attributes = Some(vec![(Attribute::PeerDigest, CERTIFICATE_IN_HEX.into())]);
        let has_rules = document["rules"].as_array().is_some_and(|rules| !rules.is_empty());
        let names_hosts =
            document["rules"].as_array().into_iter().flatten().any(|rule| !rule["match"]["hosts"].is_null());
        for _ in 0..REQUESTS {
            let request = Request::random(&mut random);
            let credential = &credentials[random.index(credentials.len())];
            let decision = engine.decide(&request.head(credential));
            let found = answered(&decision);
            let host = request.plain_host();
            let what = || {
                let (method, target, hosts) = (&request.method, &request.target, &request.host);
                format!(
                    "{method} {hosts:?} {target} {} preflight {}\n{document}",
                    credential.claims, request.is_preflight
                )
            };
            let expected = if request.method.contains(char::is_lowercase) {
                Some(ExpectedDecision { status: 400, identified: false, rule: None, reported: false })
            } else if !has_rules {
                // Nobody looks at the host, and at the path only a condition that asks for it.
                let asks_for_the_path = document["default_rule"].to_string().contains("url_path");
                let path = if asks_for_the_path { request.plain_path() } else { Some("/".to_owned()) };
                let Some(path) = path else { continue };
                Some(answer(&document, None, &path, &request, credential))
            } else if host.is_none() && names_hosts {
                Some(ExpectedDecision { status: 400, identified: false, rule: None, reported: false })
            } else {
                request.plain_path().map(|path| {
                    let rules = request.host_readings();
                    let rules = rules.iter().map(|host| rule_for(&document, host.as_deref(), &path, &request.method));
                    let rules: Vec<&Value> = rules.collect();
                    if rules.iter().all(|rule| std::ptr::eq(*rule, rules[0])) {
                        answer(&document, host.as_deref(), &path, &request, credential)
                    } else {
                        ExpectedDecision { status: 400, identified: false, rule: None, reported: false }
                    }
                })
            };
            if let Some(expected) = expected {
                // A target that is refused for itself is refused before the host is looked at; the status is the same.
                let found = if found.status == 400 { ExpectedDecision { rule: None, ..found } } else { found };
                let expected =
                    if expected.status == 400 { ExpectedDecision { rule: None, ..expected } } else { expected };
                assert_eq!(found, expected, "{}", what());
                *seen
                    .entry(format!("exactly {} {} {}", found.status, found.identified, found.reported))
                    .or_default() += 1;
                continue;
            }
            let readings = request.readings();
            assert!(found.status != 200 || !readings.is_empty(), "passes and is no path: {}", what());
            let hosts = request.host_readings();
            for (reading, host) in readings.iter().flat_map(|path| hosts.iter().map(move |host| (path, host))) {
                let expected = answer(&document, host.as_deref(), reading, &request, credential);
                // As the same one and under the same rule, too. A condition on a path with two readings is met by neither,
                // which is more to report than a reader of one of them has.
                let expected = ExpectedDecision { reported: expected.reported || found.reported, ..expected };
                assert!(found.status != 200 || found == expected, "as {reading}: {expected:?} {found:?} {}", what());
            }
            *seen.entry(format!("at most {}", found.status)).or_default() += 1;
        }
    }
    println!("{seen:#?}");
    // Whatever can come out has come out often, on both roads.
    for outcome in [
        "exactly 200 false false",
        "exactly 200 true false",
        "exactly 200 true true",
        "exactly 400 false false",
        "exactly 401 false false",
        "exactly 403 false false",
        "at most 200",
        "at most 400",
        "at most 401",
        "at most 403",
    ] {
        assert!(seen.get(outcome).is_some_and(|count| *count >= 100), "{outcome}: {seen:?}");
    }
}
