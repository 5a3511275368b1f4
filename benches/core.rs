//! What the parts of a decision cost, natively and as wasm under V8: `make microbench`. Arguments choose items whose
//! names contain one of them.
//!
//! Our own few lines of harness, because on a shared machine the clock and the neighbours change within seconds: all
//! items run in turn, round after round, so that two of them can be compared. Criterion runs one after the other.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

#[path = "core/proofs.rs"]
mod proofs;

use std::hint::black_box;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use okta_proxy_wasm::cel::{Activation, Attribute, AttributeValues, Program};
use okta_proxy_wasm::config;
use okta_proxy_wasm::engine::{
    Engine, Entropy, HostServices, ParkingLimits, PortableVerifier, SignatureVerifier, StreamId,
};
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::jose::{Algorithm, JsonLimits, Key, KeySet, UnverifiedToken, parse_object};
use okta_proxy_wasm::policy::condition::token_attributes;
use okta_proxy_wasm::policy::{Policy, ValidatedToken};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const WARM_UP: Duration = Duration::from_millis(150);
/// Long enough for the clock, and short enough for many rounds.
const BATCH: Duration = Duration::from_millis(2);
const ROUNDS: usize = 50;
/// The time in which the tokens are valid.
const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

struct Item {
    name: &'static str,
    run: Box<dyn FnMut()>,
    batch: u32,
    /// Microseconds for one run, one of each round.
    times: Vec<f64>,
}

impl Item {
    fn new<T>(name: &'static str, mut run: impl FnMut() -> T + 'static) -> Self {
        Self { name, run: Box::new(move || drop(black_box(run()))), batch: 1, times: Vec::new() }
    }

    fn time(&mut self, runs: u32) -> Duration {
        #[allow(clippy::disallowed_methods, reason = "the filter is given the time; a benchmark measures it")]
        let began = Instant::now();
        for _ in 0..runs {
            (self.run)();
        }
        began.elapsed()
    }

    /// Until V8 has compiled it with all it can.
    fn warm_up(&mut self) {
        let mut spent = Duration::ZERO;
        let mut fastest = Duration::MAX;
        while spent < WARM_UP {
            let took = self.time(1);
            spent += took;
            fastest = fastest.min(took);
        }
        self.batch = u32::try_from(BATCH.as_nanos() / fastest.as_nanos().max(1)).unwrap().max(1);
    }

    fn measure(&mut self) {
        // Enough of a slow one.
        if self.times.iter().sum::<f64>() > 1e6 {
            return;
        }
        let took = self.time(self.batch);
        self.times.push(took.as_secs_f64() * 1e6 / f64::from(self.batch));
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut items = items();
    items.retain(|item| wanted.is_empty() || wanted.iter().any(|part| item.name.contains(part)));
    items.iter_mut().for_each(Item::warm_up);
    for _ in 0..ROUNDS {
        items.iter_mut().for_each(Item::measure);
    }
    println!("{:44} {:>9} {:>9}", "microseconds", "median", "minimum");
    for item in &mut items {
        item.times.sort_by(f64::total_cmp);
        let (minimum, median) = (item.times.first().unwrap(), item.times.get(item.times.len() / 2).unwrap());
        println!("{:44} {median:9.2} {minimum:9.2}", item.name);
    }
}

/// Says yes: what is left is the cost of all the rest.
struct Believing;

impl SignatureVerifier for Believing {
    fn verifies(&self, _: Algorithm, _: &Key, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

/// What `benches/make-tokens.mjs` made.
struct Material(Value);

impl Material {
    fn read() -> Self {
        Self(serde_json::from_str(include_str!("tokens.json")).unwrap())
    }

    fn token(&self, name: &str) -> String {
        self.0.pointer(&format!("/tokens/{name}")).unwrap().as_str().unwrap().to_owned()
    }

    fn payload(&self) -> String {
        self.0.get("payload").unwrap().as_str().unwrap().to_owned()
    }

    fn keys(&self) -> KeySet {
        KeySet::from_members(self.0.get("key_set").unwrap().as_object().unwrap()).unwrap()
    }

    /// A key set document of so many RSA keys.
    fn rsa_keys(&self, count: usize) -> String {
        let keys = self.0.pointer("/key_set/keys").unwrap().as_array().unwrap();
        let is_rsa_2048 = |key: &&Value| key.get("n").and_then(Value::as_str).is_some_and(|n| n.len() == 342);
        let key = keys.iter().find(is_rsa_2048).unwrap().as_object().unwrap();
        let numbered = |number: usize| {
            let mut key = key.clone();
            key.insert("kid".to_owned(), json!(format!("k{number}")));
            key
        };
        json!({ "keys": (0..count).map(numbered).collect::<Vec<_>>() }).to_string()
    }

    /// One issuer whose keys stand in the configuration, and room for so many tokens.
    fn policy(&self, max_tokens: u32) -> Policy {
        self.policy_with_rules(max_tokens, &[])
    }

    fn policy_with_rules(&self, max_tokens: u32, rules: &[Value]) -> Policy {
        let issuer = "https://acme.okta.com/oauth2/default";
        let provider =
            json!({ "issuer": issuer, "audiences": ["api://default"], "jwks": { "inline": self.0.get("key_set") } });
        let document =
            json!({ "providers": { "okta": provider }, "cache": { "max_tokens": max_tokens }, "rules": rules });
        config::load(document.to_string().as_bytes(), &config::no_environment).unwrap().policy
    }

    /// The check of one token's signature, without anything else.
    fn verification(&self, item: &'static str, name: &str) -> Item {
        let token = self.token(name);
        let keys = self.keys();
        let parsed = UnverifiedToken::parse(token.as_bytes()).unwrap();
        let algorithm = parsed.header().algorithm;
        let key = (*keys.candidates(parsed.header().key_id.as_deref(), algorithm).first().unwrap()).clone();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let (message, signature) = (message.to_owned(), URL_SAFE_NO_PAD.decode(signature).unwrap());
        let verify = move || PortableVerifier.verifies(algorithm, &key, message.as_bytes(), &signature);
        assert!(verify(), "{name}");
        Item::new(item, verify)
    }

    /// The whole decision on a request whose token is new, or with room for one known from the second time on.
    fn decision(
        &self,
        item: &'static str,
        max_tokens: u32,
        verifier: impl SignatureVerifier + 'static,
        head: RequestHead,
    ) -> Item {
        let mut engine = Engine::new(
            self.policy(max_tokens),
            HostServices::with_verifier(Box::new(verifier)),
            ParkingLimits::default(),
            &Entropy([0; 32]),
            NOW,
        );
        Item::new(item, move || engine.on_request(StreamId(1), &head, NOW))
    }
}

/// As many rules, of each kind in turn, the last of which is for the request.
fn rules(count: usize) -> Vec<Value> {
    let other = |number: usize| {
        let service = format!("/service-{number}");
        let matched = match number % 5 {
            0 => json!({ "path_prefix": service }),
            1 => json!({ "path": format!("{service}/status") }),
            2 => json!({ "path_prefix": format!("{service}/v1"), "methods": ["GET", "HEAD"] }),
            3 => json!({ "path_regex": format!("{service}/[0-9]{{4}}/[a-z]+") }),
            _ => json!({ "hosts": [format!("team-{number}.acme.com")], "path_prefix": "/accounts" }),
        };
        json!({ "match": matched })
    };
    let last = json!({ "match": { "path_prefix": "/accounts", "methods": ["GET"] } });
    (1..count).map(other).chain([last]).collect()
}

/// Judging a condition on a claim, the path and the client's address, which holds.
fn condition(material: &Material, token: &str) -> Item {
    let text =
        "claims.cid == path_segment(request.url_path, 2) && ip_in(source.address, ['10.0.0.0/8', '203.0.113.0/24'])";
    let condition = Program::compile(text).unwrap();
    let (policy, keys) = (material.policy(0), material.keys());
    let parsed = UnverifiedToken::parse(token.as_bytes()).unwrap();
    let candidates = keys.candidates(parsed.header().key_id.as_deref(), Algorithm::Rs256);
    let verified = parsed.verify(&candidates, &Believing).unwrap();
    let admitted = ValidatedToken::validate(verified, policy.providers.iter().next().unwrap().1, NOW).unwrap();
    let path = format!("/orgs/{}/accounts", admitted.client().unwrap());
    let mut attributes = AttributeValues::default();
    attributes.insert(Attribute::SourceAddress, b"203.0.113.7:51234".to_vec());
    let head = head(None);
    let judge = move || {
        let activation =
            Activation::new(&head, Some(&path), NOW, &attributes, Some(token_attributes(&admitted, "okta")));
        condition.evaluate(&activation)
    };
    assert_eq!(judge(), Ok(true));
    Item::new("condition: claim, path and address", judge)
}

/// The longest request that Envoy accepts by default has 60 KiB of headers.
const LONGEST_HEAD: usize = 60_000;

/// An anonymous request with one long header, `x-a`, and a second one with the same value.
fn long_header(value: &str) -> RequestHead {
    let fields = [(":path", "/"), (":method", "GET"), (":authority", "a.com"), ("x-a", value), ("x-b", value)];
    RequestHead::new(fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into())
}

/// An anonymous request with as many short headers, each under its own name.
fn many_headers(count: usize) -> RequestHead {
    let fields = (0..count).map(|number| (format!("{number:05}x"), b"1".to_vec()));
    RequestHead::new(fields.collect())
}

/// What an anonymous request can make a condition cost: at most a millisecond, whatever the condition is.
fn hostile_conditions() -> Vec<Item> {
    // A loop as long as an expression has room for.
    let repeat = |body: &str| format!("[{}0].all(i, {body})", "0, ".repeat(900));
    let half = LONGEST_HEAD / 2;
    let long = || long_header(&"a".repeat(half));
    let spans = || long_header(&"0h".repeat(half / 2));
    let digits = || long_header(&format!("0.{}1", "123456789".repeat(80)));
    let item = |name: &'static str, text: String, head: RequestHead| {
        let condition = Program::compile(&text).unwrap();
        let path = format!("/{}", "a/".repeat(4000));
        let attributes = AttributeValues::default();
        Item::new(name, move || {
            let activation = Activation::new(&head, Some(&path), NOW, &attributes, None);
            condition.evaluate(&activation)
        })
    };
    let pattern = format!("({}a)*b", "a|".repeat(240));
    vec![
        item(
            "hostile: plain steps",
            format!("[{0}0].all(i, [{0}0].all(j, i == 0 && j < 1))", "0, ".repeat(600)),
            long(),
        ),
        item("hostile: arithmetic", repeat("(i + 1) * 2 - 3 / 1 < 5 && [1, 2, 3][0] == 1"), long()),
        item(
            "hostile: lists",
            repeat("[1, 2, 3] + [4, 5, 6] == [1, 2, 3, 4, 5, 6] && {'a': 1, 'b': 2} == {'a': 1, 'b': 2}"),
            long(),
        ),
        item("hostile: read a long header", repeat("request.headers['x-a'] != 'b'"), long()),
        item("hostile: compare long headers", repeat("request.headers['x-a'] == request.headers['x-b']"), long()),
        item("hostile: startsWith itself", repeat("request.headers['x-a'].startsWith(request.headers['x-b'])"), long()),
        item("hostile: contains", repeat("!request.headers['x-a'].contains('aaaaaaaaaaaaaaaab')"), long()),
        item(
            "hostile: contains a long part",
            repeat("request.headers['x-a'].contains(request.headers['x-b'])"),
            long(),
        ),
        item("hostile: join texts", repeat("request.headers['x-a'] + request.headers['x-a'] != ''"), long()),
        item("hostile: size", repeat("size(request.headers['x-a']) > 0"), long()),
        item("hostile: lowerAscii", repeat("request.headers['x-a'].lowerAscii() != ''"), long()),
        item(
            "hostile: a made text in a variable",
            format!("[request.headers['x-a'].lowerAscii()].all(x, {})", repeat("x != 'b'")),
            long(),
        ),
        item("hostile: path_segment", repeat("path_segment(request.url_path, 4000) == 'a'"), long()),
        item("hostile: duration of a long text", repeat("duration(request.headers['x-a']) == duration('0s')"), spans()),
        item(
            "hostile: int of a long text",
            repeat("int(request.headers['x-a']) == 1 || true"),
            long_header(&"0".repeat(half)),
        ),
        item("hostile: double of a long text", repeat("double(request.headers['x-a']) > 0.0"), digits()),
        item(
            "hostile: double of a short text",
            repeat("double('8.7290912345678901234567890123456789e-290') > 0.0"),
            long(),
        ),
        item("hostile: string of a number", repeat("string(i) == '0'"), long()),
        item(
            "hostile: timestamps",
            repeat("timestamp('2026-01-31T08:00:00' + 'Z').getDayOfYear('-23:59') > 0"),
            long(),
        ),
        item(
            "hostile: addresses",
            repeat("ip_in('::ffff:10.0.0.1', ['10.0.0.0' + '/8', '2001:db8::' + '/32'])"),
            long(),
        ),
        item("hostile: matches, many states", repeat(&format!("!request.headers['x-a'].matches('{pattern}')")), long()),
        item(
            "hostile: matches a short text, many states",
            repeat(&format!("!'{}'.matches('{pattern}')", "a".repeat(30))),
            long(),
        ),
        item(
            "hostile: matches a short text, many classes",
            repeat(&format!("!'{}'.matches('({}[a-c])*d')", "a".repeat(30), "[a-c]|".repeat(60))),
            long(),
        ),
        item("hostile: matches, few states", repeat("!request.headers['x-a'].matches('^a+b$')"), long()),
        item("hostile: matches, classes", repeat("!request.headers['x-a'].matches('[^b][^b][^b][^b]b')"), long()),
        item("hostile: matches a short text", repeat("'aaaaaaaa'.matches('^(a|b)+$')"), long()),
        item(
            "hostile: matches, case folded",
            repeat("!request.headers['x-a'].matches('(?i)[[:alpha:]]+[0-9]')"),
            long(),
        ),
        item(
            "hostile: 10,000 headers, each looked up",
            "request.headers.all(n, n in request.headers)".into(),
            many_headers(10_000),
        ),
        item("hostile: 10,000 headers, counted", "size(request.headers) > 0".into(), many_headers(10_000)),
        item("hostile: 10,000 headers, one looked up", repeat("!('00000y' in request.headers)"), many_headers(10_000)),
        item(
            "hostile: 100 headers, each looked up",
            "request.headers.all(n, n in request.headers)".into(),
            many_headers(100),
        ),
    ]
}

/// What becomes of a hostile request before a condition is judged.
fn hostile_requests(material: &Material) -> Vec<Item> {
    let with_path = |path: &str| {
        let fields = [(":path", path), (":method", "GET"), (":authority", "a.com")];
        RequestHead::new(fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into())
    };
    let found = |name, path: String| {
        let (policy, head) = (material.policy_with_rules(0, &rules(5)), with_path(&path));
        Item::new(name, move || policy.rules.find(&head))
    };
    let decided = |name, head: RequestHead| {
        let mut engine = Engine::new(
            material.policy_with_rules(0, &rules(5)),
            HostServices::with_verifier(Box::new(PortableVerifier)),
            ParkingLimits::default(),
            &Entropy([0; 32]),
            NOW,
        );
        Item::new(name, move || engine.on_request(StreamId(1), &head, NOW))
    };
    let alike = (0..2000).map(|number| {
        let prefix: String = (0..11)
            .map(|bit| if number >> bit & 1 == 0 { "grpc-metadata-" } else { "grpc_metadata-" })
            .take(1 + number % 2)
            .collect();
        (format!("{prefix}{number}authorization"), b"1".to_vec())
    });
    let separators = b"!#$%&'*+-.^_`|~";
    let spelled = (0..225).map(|number| {
        let sign = |index: usize| char::from(*separators.get(index % 15).unwrap());
        (format!("grpc{}metadata{}authorization", sign(number), sign(number / 15)), b"1".to_vec())
    });
    let start = || {
        with_path("/a")
            .names()
            .zip(["/a", "GET", "a.com"])
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .collect::<Vec<_>>()
    };
    vec![
        found("hostile request: path of semicolons", format!("//{}", "/;%3b".repeat(1600))),
        found("hostile request: path of names and semicolons", format!("//a{}", "/a;b".repeat(2000))),
        found("hostile request: path of dots", format!("/{}", "a/../".repeat(1600))),
        found("hostile request: path of escapes", "/%C3%A9".repeat(1100)),
        decided("hostile request: query of 60 KiB", with_path(&format!("/a?{}", "a=b&".repeat(15_000)))),
        decided("hostile request: escaped query of 60 KiB", with_path(&format!("/a?{}", "%61=%62&".repeat(7_500)))),
        decided(
            "hostile request: 10,000 headers",
            RequestHead::new(
                start().into_iter().chain((0..10_000).map(|number| (format!("{number:05}x"), b"1".to_vec()))).collect(),
            ),
        ),
        decided("hostile request: 2,000 grpc headers", RequestHead::new(start().into_iter().chain(alike).collect())),
        decided(
            "hostile request: 225 spellings of authorization",
            RequestHead::new(start().into_iter().chain(spelled).collect()),
        ),
    ]
}

/// Selecting the provider of a token: by its issuer, and by its audience where two providers have the issuer.
fn selections(material: &Material, token: &str) -> Vec<Item> {
    let provider = |audience: &str| {
        json!({ "issuer": "https://acme.okta.com/oauth2/default", "audiences": [audience],
            "jwks": { "inline": material.0.get("key_set") } })
    };
    let two = json!({ "providers": { "a": provider("api://default"), "b": provider("api://payments") } });
    let two = || config::load(two.to_string().as_bytes(), &config::no_environment).unwrap().policy;
    let select = |name, policy: Policy| {
        let token = UnverifiedToken::parse(token.as_bytes()).unwrap();
        assert!(policy.providers.select(&token).is_ok());
        Item::new(name, move || policy.providers.select(&token).map(|selected| selected.id))
    };
    let audiences: Vec<String> = (0..1400).map(|number| char::from(b'a' + number_byte(number)).to_string()).collect();
    let mut payload: Value = serde_json::from_str(&material.payload()).unwrap();
    *payload.get_mut("aud").unwrap() = json!(audiences);
    let header = token.split('.').next().unwrap();
    let hostile = format!("{header}.{}.AAAA", URL_SAFE_NO_PAD.encode(payload.to_string()));
    let hostile = |name, policy: Policy| {
        let head = head(Some(&hostile));
        let mut engine = Engine::new(
            policy,
            HostServices::with_verifier(Box::new(Believing)),
            ParkingLimits::default(),
            &Entropy([0; 32]),
            NOW,
        );
        Item::new(name, move || engine.on_request(StreamId(1), &head, NOW))
    };
    vec![
        select("provider: by issuer", material.policy(0)),
        select("provider: by audience, of two of an issuer", two()),
        hostile("hostile request: 1,400 audiences", material.policy(0)),
        hostile("hostile request: 1,400 audiences, two providers", two()),
    ]
}

fn number_byte(number: usize) -> u8 {
    u8::try_from(number % 26).unwrap()
}

/// A request of so many fields, the token among them: the first ones of [`head`], then what browsers and proxies add.
fn head_of(fields: usize, token: &str) -> RequestHead {
    let more = [
        "accept-charset",
        "cache-control",
        "content-length",
        "content-type",
        "cookie",
        "if-none-match",
        "origin",
        "priority",
        "referer",
        "sec-ch-ua",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "traceparent",
        "tracestate",
        "x-csrf-token",
    ];
    let field = |name: &str| (name.to_owned(), head(Some(token)).single(name).unwrap_or(b"1").to_vec());
    let head = head(Some(token));
    let names = head.names().filter(|name| *name != "authorization").chain(more);
    RequestHead::new(names.take(fields - 1).chain(["authorization"]).map(field).collect())
}

/// A browser's request, of twelve fields with the token.
fn head(token: Option<&str>) -> RequestHead {
    let plain = [
        (":method", "GET"),
        (":path", "/accounts/1234567/transactions?from=2026-01-01&limit=50"),
        (":scheme", "https"),
        (":authority", "api.acme.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0"),
        ("accept", "application/json"),
        ("accept-language", "en-US,en;q=0.9"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "5f3c1a52-8f0e-4d0a-9a3b-0c5d6b7a8e9f"),
    ];
    let credential = token.map(|token| ("authorization".to_owned(), format!("Bearer {token}").into_bytes()));
    let plain = plain.into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    RequestHead::new(plain.chain(credential).collect())
}

/// What a start costs with so many rules, the analysis included: usual ones, and those that reach its limit.
fn loads(material: &Material) -> [Item; 2] {
    let rule = |number: usize| {
        let path = if number.is_multiple_of(10) {
            json!({ "path_regex": format!("/v[0-9]/service-{number}/[a-z]+"), "methods": ["GET", "HEAD"] })
        } else {
            json!({ "path_prefix": format!("/service-{number}/orders"), "hosts": ["api.acme.com", "*.eu.acme.com"] })
        };
        json!({ "name": format!("r{number}"), "match": path, "require": { "scopes": [format!("s{number}")] } })
    };
    let expression = |number: usize| json!({ "match": { "path_regex": format!("/(a|b)/{number}/[0-9]+/(x|y)") } });
    let load = |name, rules: Vec<Value>| {
        let key_set = material.0.get("key_set");
        let provider = json!({ "issuer": "https://idp.example", "audiences": ["a"], "jwks": { "inline": key_set } });
        let document = json!({ "providers": { "p": provider }, "rules": rules }).to_string();
        Item::new(name, move || config::load(document.as_bytes(), &config::no_environment).unwrap().warnings.len())
    };
    [
        load("configuration: load 1000 rules", (0..1000).map(rule).collect()),
        load("configuration: load 3000 regular expressions", (0..3000).map(expression).collect()),
    ]
}

fn items() -> Vec<Item> {
    let material = Material::read();
    let token = material.token("RS256");
    let payload = material.payload();
    let encoded = URL_SAFE_NO_PAD.encode(&payload);
    let message = vec![b'a'; 800];
    let limits = JsonLimits { depth: 32, members: 256 };
    let with_token = || head(Some(&token));
    let (to_parse, to_admit) = (token.clone(), token.clone());
    let (admitting, stripping) = (material.policy(0), material.policy(0));
    let keys = material.keys();
    let (full, bare) = (with_token(), head(None));
    let found = |name, count| {
        let (policy, head) = (material.policy_with_rules(0, &rules(count)), with_token());
        Item::new(name, move || policy.rules.find(&head))
    };
    let strip = |name, fields| {
        let (policy, head) = (material.policy(0), head_of(fields, &token));
        assert_eq!(head.names().count(), fields);
        Item::new(name, move || policy.strip(&head))
    };
    let mut items = hostile_conditions();
    items.extend(loads(&material));
    items.extend(hostile_requests(&material));
    items.extend(selections(&material, &token));
    items.extend(proofs::items(&token, head(None)));
    items.extend([
        Item::new("SHA-256 of 800 bytes", move || Sha256::digest(&message)),
        Item::new("base64url: decode the payload", move || URL_SAFE_NO_PAD.decode(&encoded)),
        Item::new("strict JSON: read the payload", move || parse_object(payload.as_bytes(), limits)),
        Item::new("token: parse", move || UnverifiedToken::parse(to_parse.as_bytes())),
        Item::new("token: parse, believe and admit", move || {
            let token = UnverifiedToken::parse(to_admit.as_bytes()).unwrap();
            let candidates = keys.candidates(token.header().key_id.as_deref(), Algorithm::Rs256);
            let token = token.verify(&candidates, &Believing).unwrap();
            ValidatedToken::validate(token, admitting.providers.iter().next().unwrap().1, NOW).unwrap()
        }),
        Item::new("head of 12 fields: find and strip", move || {
            black_box(stripping.token_source.find(&full));
            stripping.strip(&full)
        }),
        strip("head of 8 fields: strip", 8),
        strip("head of 28 fields: strip", 28),
        found("rules: find the last of 1", 1),
        found("rules: find the last of 100", 100),
        found("rules: find the last of 1,000", 1000),
        condition(&material, &token),
        Item::new("key set: parse 512 RSA keys of 2048 bits", {
            let set = material.rsa_keys(512);
            move || KeySet::parse(set.as_bytes())
        }),
        material.verification("verify: RS256, 2048 bits", "RS256"),
        material.verification("verify: RS256, 4096 bits", "RS256_4096"),
        material.verification("verify: PS256, 2048 bits", "PS256"),
        material.verification("verify: ES256", "ES256"),
        material.verification("verify: ES384", "ES384"),
        material.verification("verify: EdDSA", "EdDSA"),
        material.decision("decision: new token, RS256 2048", 0, PortableVerifier, with_token()),
        material.decision("decision: new token, signature believed", 0, Believing, with_token()),
        material.decision("decision: known token", 1, Believing, with_token()),
        material.decision("decision: refused, no token", 0, PortableVerifier, bare),
    ]);
    items
}
