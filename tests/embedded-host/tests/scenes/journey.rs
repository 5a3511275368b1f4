//! A worker's life in one script: it starts with two configurations, fetches keys and the list of revoked tokens, decides
//! requests of every kind, reports, is configured again and ends. With a fault of one host function, or without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use embedded_host::{
    Action, Callout, CalloutResponse, Fault, Fields, HostBehavior, HostCall, OnTrap, Outcome, Property,
};
use embedded_host::{RootId, SharedStore, StreamId, Support, Vm};
use serde_json::{Value, json};

use super::signing::{AUDIENCE, ISSUER, SigningKey, payload, with};
use super::{NOW, good_token, published};

/// No request waits longer: five seconds for keys, two for an introspection response, and as much for the list.
const LONGEST_WAIT: Duration = Duration::from_secs(12);
const ENVIRONMENT: &[&str] = &["OKTA_CLIENT_SECRET=hunter2"];
const PROPERTIES: Property = Property::EnvoyAnd(&[("source.address", b"10.1.2.3:4567")]);

/// The tokens of the requests: signed once, for that takes longer than all the rest.
struct Tokens {
    good: String,
    new: String,
    revoked: String,
    forged: String,
    unknown_key: String,
}

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let of = |sub: &str| SigningKey::a("k1").token(&with(&payload(NOW), json!({ "sub": sub })));
    let of_other_key = |id: &str| SigningKey::b(id).token(&payload(NOW));
    Tokens {
        good: good_token(),
        new: of("bob@acme.com"),
        revoked: of("eve@acme.com"),
        forged: of_other_key("k1"),
        unknown_key: of_other_key("k2"),
    }
});

/// What the configuration uses of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Configuration {
    /// Nothing that only Envoy has.
    Portable,
    /// `filter_state` and `clear_route_cache` too.
    Envoy,
}

/// What the host and the backend got of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    pub head: Fields,
    pub trailers: Fields,
    pub filter_state: Vec<String>,
    pub is_route_cleared: bool,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestResult {
    /// It was forwarded.
    Forwarded(Forwarded),
    /// The client got this status, with `Retry-After` or without.
    Rejected { status: u32, is_retried: bool },
    /// Neither.
    Unanswered,
}

/// How the script went.
#[derive(Debug, Default)]
pub struct ScenarioResult {
    /// What became of each request.
    pub results: BTreeMap<&'static str, RequestResult>,
    /// Whether a configuration was refused.
    pub is_refused: bool,
    /// Why the module trapped.
    pub trap: Option<String>,
    /// The calls of host functions.
    pub trace: Vec<HostCall>,
    /// The log.
    pub log: Vec<String>,
}

impl Configuration {
    fn document(self) -> Value {
        let mut document = json!({
            "providers": { "okta": {
                "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "upstream": "okta",
                "introspection": { "client_id": "0oaGateway", "client_secret": { "env": "OKTA_CLIENT_SECRET" } } } },
            "revocations": { "uri": "https://sec.acme.com/revoked", "upstream": "sec" },
            "readiness_path": "/ready",
            "rules": [
                { "name": "public", "match": { "path": "/public" }, "access": "public" },
                { "name": "admin", "match": { "path": "/admin" }, "require": { "scopes": ["admin"] } },
                { "name": "office", "match": { "path": "/office" },
                  "require": { "condition": "ip_in(source.address, ['10.0.0.0/8'])" } },
                { "name": "live", "match": { "path": "/live" }, "introspect": true },
            ],
        });
        if self == Self::Envoy {
            document["filter_state"] = json!(["subject", "reason"]);
            document["clear_route_cache"] = json!(true);
        }
        document
    }
}

/// Plays the script.
pub fn play(configuration: Configuration, fault: Option<Fault>) -> ScenarioResult {
    let behavior = HostBehavior {
        foreign_functions: Support::Served,
        properties: PROPERTIES,
        environment: ENVIRONMENT,
        on_trap: OnTrap::FailClosed,
        fault,
        ..HostBehavior::envoy()
    };
    match Vm::try_start(behavior, &SharedStore::default()) {
        Ok(vm) => Script::new(vm, configuration).play(),
        Err(trap) => ScenarioResult { trap: Some(trap), ..ScenarioResult::default() },
    }
}

struct Script {
    vm: Vm,
    document: Vec<u8>,
    /// The root that serves the requests, and one that shares with it.
    roots: Vec<RootId>,
    streams: BTreeMap<&'static str, StreamId>,
    closed: BTreeSet<StreamId>,
    is_refused: bool,
}

impl Script {
    fn new(vm: Vm, configuration: Configuration) -> Self {
        let document = configuration.document().to_string().into_bytes();
        Self { vm, document, roots: Vec::new(), streams: BTreeMap::new(), closed: BTreeSet::new(), is_refused: false }
    }

    fn play(mut self) -> ScenarioResult {
        for _ in 0..2 {
            let (root, is_accepted) = self.vm.configure(&self.document.clone());
            self.is_refused |= !is_accepted;
            self.roots.push(root);
        }
        self.requests_that_come_before_the_keys();
        self.requests_that_are_decided_at_once();
        self.requests_that_wait_for_an_introspection_response();
        self.later();
        self.end()
    }

    fn requests_that_come_before_the_keys(&mut self) {
        self.request("early", "/accounts", Some(&TOKENS.good));
        self.request("early, forged", "/accounts", Some(&TOKENS.forged));
        self.request("early, gone", "/accounts", Some(&TOKENS.good));
        self.close("early, gone");
        for name in ["early", "early, forged"] {
            self.body_and_trailers(name);
        }
        self.settle();
    }

    fn requests_that_are_decided_at_once(&mut self) {
        self.request("known", "/accounts", Some(&TOKENS.good));
        self.body_and_trailers("known");
        self.request("new", "/accounts", Some(&TOKENS.new));
        self.request("office", "/office", Some(&TOKENS.good));
        self.request("public", "/public", None);
        self.request("ready", "/ready", None);
        self.request("no token", "/accounts", None);
        self.body_and_trailers("no token");
        self.request("no scope", "/admin", Some(&TOKENS.good));
        self.request("revoked", "/accounts", Some(&TOKENS.revoked));
        self.request("unknown key", "/accounts", Some(&TOKENS.unknown_key));
        self.settle();
        for name in ["known", "no token", "office"] {
            self.close(name);
        }
    }

    fn requests_that_wait_for_an_introspection_response(&mut self) {
        self.request("introspected", "/live", Some(&TOKENS.good));
        self.request("introspected, gone", "/live", Some(&TOKENS.good));
        self.close("introspected, gone");
        self.body_and_trailers("introspected");
        self.request("opaque", "/accounts", Some("opaque-token"));
        self.request("inactive", "/accounts", Some("inactive-token"));
        self.settle();
        self.request("introspected again", "/live", Some(&TOKENS.good));
    }

    /// Another poll and reports, a new configuration of the first root, and the end of the second.
    fn later(&mut self) {
        self.pass(Duration::from_secs(11));
        self.request("later", "/accounts", Some(&TOKENS.good));
        let (first, second) = (self.roots[0], self.roots[1]);
        if !self.is_refused {
            self.is_refused |= !self.vm.reconfigure(first, &self.document);
        }
        self.request("configured again", "/accounts", Some(&TOKENS.good));
        self.settle();
        self.vm.remove_root(second);
        self.roots.truncate(1);
        self.request("last", "/accounts", Some(&TOKENS.good));
        self.settle();
        self.vm.remove_root(first);
    }

    fn end(self) -> ScenarioResult {
        let trap = self.vm.trap().map(str::to_owned);
        let fate = |stream: StreamId| match self.vm.outcome(stream) {
            Outcome::Waiting => RequestResult::Unanswered,
            Outcome::Forwarded(head) => RequestResult::Forwarded(Forwarded {
                head,
                trailers: self.vm.forwarded_trailers(stream),
                filter_state: self.vm.filter_state(stream),
                is_route_cleared: self.vm.is_route_cleared(stream),
            }),
            Outcome::Responded(reply) => {
                let is_retried = reply.headers.iter().any(|(name, _)| name == "retry-after");
                RequestResult::Rejected { status: reply.status, is_retried }
            }
        };
        let results = self.streams.iter().map(|(name, stream)| (*name, fate(*stream))).collect();
        let (trace, log) = (self.vm.trace().to_vec(), self.vm.log().to_vec());
        // A configuration that traps is not refused: there is no verdict.
        ScenarioResult { results, is_refused: self.is_refused && trap.is_none(), trap, trace, log }
    }

    /// A request with headers that only the filter may set.
    fn request(&mut self, name: &'static str, path: &str, token: Option<&str>) {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let always =
            [(":method", "GET"), (":path", path), (":authority", "api.example"), ("x-user-id", "mallory"), ("x", "y")];
        let fields = always.into_iter().chain(authorization.as_deref().map(|value| ("authorization", value)));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
        let stream = self.vm.request(self.roots[0], fields);
        self.streams.insert(name, stream);
    }

    /// Its body and trailers, with one that only the filter may set: they pass with a request that is forwarded and with
    /// no other.
    fn body_and_trailers(&mut self, name: &str) {
        let stream = self.streams[name];
        let is_forwarded = |vm: &Vm| matches!(vm.outcome(stream), Outcome::Forwarded(_));
        let before = is_forwarded(&self.vm);
        let body = self.vm.body(stream, 10, false);
        let trailers = [("x-user-id", "mallory"), ("authorization", "Bearer a.b.c"), ("x-checksum", "0")];
        let trailers = trailers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        let action = self.vm.trailers(stream, trailers);
        for action in [body, action] {
            assert!(action == Action::Pause || before, "{name}: the body or the trailers are forwarded undecided");
        }
    }

    fn close(&mut self, name: &str) {
        self.vm.close(self.streams[name]);
        self.closed.insert(self.streams[name]);
    }

    /// Lets the time pass that a request may wait.
    fn settle(&mut self) {
        let is_settled = |script: &Self| {
            let mut open = script.streams.values().filter(|stream| !script.closed.contains(stream));
            script.vm.trap().is_some() || open.all(|stream| script.vm.outcome(*stream) != Outcome::Waiting)
        };
        let mut waited = Duration::ZERO;
        while !is_settled(self) && waited < LONGEST_WAIT {
            let period = self.roots.iter().filter_map(|root| self.vm.tick_period(*root)).min();
            let period = period.unwrap_or(LONGEST_WAIT).clamp(Duration::from_millis(1), Duration::from_secs(1));
            waited += period;
            self.pass(period);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.vm.pass(time);
        for root in self.roots.clone() {
            self.vm.tick(root);
            self.vm.deliver_queues();
            while let Some(callout) = self.vm.take_callout() {
                let answer = serve(&callout);
                self.vm.answer(&callout, answer);
            }
        }
    }
}

/// The issuer, and the server of the list.
fn serve(callout: &Callout) -> CalloutResponse {
    let body = String::from_utf8_lossy(&callout.body);
    let active = json!({
        "active": true, "token_type": "Bearer", "scope": "read:accounts write:accounts", "client_id": "0oa1client",
        "sub": "alice@acme.com", "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 3600,
    });
    match callout.header(":path") {
        Some("/oauth2/default/v1/keys") => published(),
        Some("/oauth2/default/v1/introspect") if body.contains("inactive") => {
            CalloutResponse::new(200, br#"{"active":false}"#)
        }
        Some("/oauth2/default/v1/introspect") => CalloutResponse::new(200, active.to_string().as_bytes()),
        Some("/revoked") => {
            let mut list = CalloutResponse::new(200, br#"{"revoked":[{"sub":"eve@acme.com"}]}"#);
            list.headers.push((String::from("etag"), b"\"a\"".to_vec()));
            list
        }
        other => panic!("a callout to {other:?}"),
    }
}
