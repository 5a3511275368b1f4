//! The configuration changes while a real Envoy is busy, by a changed listener (LDS) and by a changed extension
//! configuration (ECDS): every request is decided by the configuration under which it came; a rejected configuration changes
//! nothing.

#![allow(clippy::disallowed_methods, reason = "a test judges answers by when they were given")]

mod dependencies;

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::steady_load::{ActivePeriod, CLIENTS, ExpectedRequest, Generation, Load};
use serde_json::{Value, json};
use testbed::authorization_server::{DEFAULT_AUDIENCE, DNS_NAME, now};
use testbed::polling::until;
use testbed::{
    AuthorizationServer, Backend, Cluster, Envoy, EnvoyBuilder, Gate, ListenerOptions, ListenerUpdate, Mode, Request,
    SigningKey, TempDir,
};

const API: &str = "api";
const WORKERS: u32 = 2;
const OTHER_AUDIENCE: &str = "api://other";
/// How long replaced filter chains live on: longer than this test, so that no client is cut off while it waits for keys.
const DRAIN_SECONDS: u32 = 300;
const A_WHILE: Duration = Duration::from_secs(30);
/// Enough for each client to ask each question more than once.
const SOME: usize = 15 * CLIENTS;

const GENERATIONS: [Generation; 5] = [
    Generation { number: 0, audience: DEFAULT_AUDIENCE, flip_is_open: true },
    Generation { number: 1, audience: DEFAULT_AUDIENCE, flip_is_open: false },
    Generation { number: 2, audience: OTHER_AUDIENCE, flip_is_open: false },
    Generation { number: 3, audience: OTHER_AUDIENCE, flip_is_open: true },
    Generation { number: 4, audience: DEFAULT_AUDIENCE, flip_is_open: true },
];

/// How an Envoy is given another configuration.
trait Delivery {
    /// The listener that it starts with.
    fn listener(&self, first: &Value) -> ListenerOptions;
    /// Hands a configuration over, and says whether it was taken.
    fn deliver(&self, envoy: &Envoy, configuration: &Value) -> bool;
    /// Waits until no client is served by what was replaced.
    fn wait_until_everywhere(&self, envoy: &Envoy, load: &Load<'_>, turn: ActivePeriod);
}

/// The listener is replaced; connections of the old one are drained.
struct ByListener;

impl Delivery for ByListener {
    fn listener(&self, first: &Value) -> ListenerOptions {
        ListenerOptions::filtered(API, first)
    }

    fn deliver(&self, envoy: &Envoy, configuration: &Value) -> bool {
        envoy.replace_listener(ListenerOptions::filtered(API, configuration)) == ListenerUpdate::Accepted
    }

    fn wait_until_everywhere(&self, _envoy: &Envoy, load: &Load<'_>, turn: ActivePeriod) {
        load.wait_until_all_connect_after(turn.accepted);
    }
}

/// The filter alone is replaced, for open connections too: the listener only names it.
struct ByExtension {
    directory: TempDir,
}

impl ByExtension {
    const NAME: &str = "okta";

    fn new() -> Self {
        Self { directory: TempDir::with_prefix("extension-").expect("a temporary directory") }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("okta.json")
    }

    /// Envoy looks when a file is moved there.
    fn write(&self, configuration: &Value) {
        let filter = ListenerOptions::filtered(API, configuration).filter();
        let resource = json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": Self::NAME, "typed_config": filter["typed_config"],
        });
        let unfinished = self.directory.path().join("unfinished");
        fs::write(&unfinished, json!({ "resources": [resource] }).to_string()).expect("written");
        fs::rename(unfinished, self.file()).expect("moved");
    }

    /// How many were taken, and how many refused.
    fn counts(envoy: &Envoy) -> [u64; 2] {
        ["success", "rejected"]
            .map(|what| envoy.stat(&format!("extension_config_discovery.http_filter.{}.update_{what}", Self::NAME)))
    }
}

impl Delivery for ByExtension {
    fn listener(&self, first: &Value) -> ListenerOptions {
        self.write(first);
        let reference = json!({ "name": Self::NAME, "config_discovery": {
            "config_source": { "resource_api_version": "V3", "path_config_source": { "path": self.file() } },
            "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"] } });
        ListenerOptions { filters_after: vec![reference], ..ListenerOptions::unfiltered(API) }
    }

    fn deliver(&self, envoy: &Envoy, configuration: &Value) -> bool {
        let before = Self::counts(envoy);
        self.write(configuration);
        until("Envoy to take or refuse the filter", A_WHILE, || {
            let now = Self::counts(envoy);
            (now != before).then_some(now[0] > before[0])
        })
    }

    fn wait_until_everywhere(&self, envoy: &Envoy, _load: &Load<'_>, turn: ActivePeriod) {
        wait_until_keys_are_held(envoy, turn.generation);
    }
}

/// Every VM has keys: each worker's, and the one of Envoy's main thread.
fn wait_until_keys_are_held(envoy: &Envoy, generation: Generation) {
    let provider = format!("provider {:?}: ", generation.provider());
    until("every VM's keys", A_WHILE, || {
        let log = envoy.log();
        let of_provider = log.lines().filter(|line| line.contains(&provider) && line.contains(" keys "));
        let threads: HashSet<&str> = of_provider.filter_map(|line| line.split('[').nth(2)).collect();
        (threads.len() > WORKERS as usize).then_some(())
    });
}

struct Site {
    envoy: Envoy,
    backend: Backend,
    gate: Gate,
    questions: Vec<ExpectedRequest>,
    _idp: AuthorizationServer,
}

impl Site {
    fn start(delivery: &impl Delivery) -> Self {
        let idp = AuthorizationServer::start();
        let gate = Gate::in_front_of(idp.port());
        let backend = Backend::start();
        let envoy = EnvoyBuilder::new()
            .concurrency(WORKERS)
            .drain_time_s(DRAIN_SECONDS)
            .listener(delivery.listener(&GENERATIONS[0].configuration()))
            .cluster(Cluster::backend("backend", backend.port()))
            // A key server that is held must not fail at the TLS handshake.
            .cluster(
                Cluster::identity_provider("okta", gate.port(), DNS_NAME, &idp.ca_pem_path()).connect_timeout("60s"),
            )
            .start();
        let questions = questions(&idp);
        Self { envoy, backend, gate, questions, _idp: idp }
    }

    /// As many requests as there are clients, or nearly, wait for keys.
    fn wait_until_requests_wait(&self) {
        until("requests that wait", A_WHILE, || {
            let active = self.envoy.stat(&format!("http.{API}.downstream_rq_active"));
            (active >= CLIENTS as u64 / 2).then_some(())
        });
    }
}

fn questions(idp: &AuthorizationServer) -> Vec<ExpectedRequest> {
    // All of them name the key that is published: one that nobody knows would have to wait for a fetch of its own.
    let token = |audience: &str, key: SigningKey| {
        let mut payload = idp.base_claims(now());
        payload["aud"] = json!(audience);
        idp.sign(&json!({ "kid": idp.kid(SigningKey::Active) }), &payload, key)
    };
    let mut questions = Vec::new();
    for audience in [DEFAULT_AUDIENCE, OTHER_AUDIENCE] {
        let token = token(audience, SigningKey::Active);
        for (path, is_flip) in [("/accounts", false), ("/flip", true)] {
            let get = Request::get(path).bearer(&token);
            let post = Request::post(path).bearer(&token).body([b'x'; 4096]);
            let chunked = Request::post(path).bearer(&token).chunked(&[b"first", b"second"]);
            let ask = |request| ExpectedRequest { request, audience: Some(audience), is_flip };
            questions.extend([get, post, chunked].map(ask));
        }
    }
    let forged = token(DEFAULT_AUDIENCE, SigningKey::Unpublished);
    let refused = [Request::post("/accounts").bearer(&forged).body(b"body"), Request::get("/accounts")];
    questions.extend(refused.map(|request| ExpectedRequest { request, audience: None, is_flip: false }));
    questions
}

/// The filter refuses it.
fn faulty() -> Value {
    let mut configuration = GENERATIONS[2].configuration();
    configuration["providers"]["okta-2"]["audience"] = json!(["misspelt"]);
    configuration
}

/// The configurations one after another, the third and the fourth while requests wait for the keys of the former.
fn change(site: &Site, delivery: &impl Delivery, load: &Load<'_>, begun: Instant) -> Vec<ActivePeriod> {
    wait_until_keys_are_held(&site.envoy, GENERATIONS[0]);
    let mut turns = vec![ActivePeriod { generation: GENERATIONS[0], begun, accepted: begun, everywhere: begun }];
    load.goes_on_for(SOME);
    for steps in [&GENERATIONS[1..2], &GENERATIONS[2..4], &GENERATIONS[4..]] {
        assert!(!delivery.deliver(&site.envoy, &faulty()), "it should have been refused");
        load.goes_on_for(SOME);
        site.gate.set(Mode::Hold);
        let first = turns.len();
        for generation in steps {
            let begun = Instant::now();
            assert!(delivery.deliver(&site.envoy, &generation.configuration()), "{}", site.envoy.log());
            let accepted = Instant::now();
            turns.push(ActivePeriod { generation: *generation, begun, accepted, everywhere: accepted });
            site.wait_until_requests_wait();
        }
        site.gate.set(Mode::Pass);
        delivery.wait_until_everywhere(&site.envoy, load, turns[turns.len() - 1]);
        let everywhere = Instant::now();
        turns[first..].iter_mut().for_each(|turn| turn.everywhere = everywhere);
        load.goes_on_for(SOME);
    }
    turns
}

fn nothing_is_lost_or_decided_wrongly(delivery: &impl Delivery) {
    let site = Site::start(delivery);
    let begun = Instant::now();
    let answers = Load::during(site.envoy.port(API), &site.questions, |load| change(&site, delivery, load, begun));
    let all: usize = answers.iter().map(|(_, count)| count).sum();
    eprintln!("{all} answers in {:.1?}: {answers:?}", begun.elapsed());
    assert_eq!(answers[0], (200, site.backend.count()), "each that was let through was so once");
    let log = site.envoy.log();
    for sign in ["panicked", "wasm_fail_stream", "Uncaught"] {
        assert!(!log.contains(sign), "the log says {sign}");
    }
}

#[test]
fn under_load_no_request_is_lost_or_decided_wrongly_when_the_listener_changes() {
    nothing_is_lost_or_decided_wrongly(&ByListener);
}

#[test]
fn under_load_no_request_is_lost_or_decided_wrongly_when_the_extension_configuration_changes() {
    nothing_is_lost_or_decided_wrongly(&ByExtension::new());
}
