//! The acts of the demo, in order.

use std::time::{Duration, Instant};
use std::{io, panic, thread};

use testbed::presentation::{Presentation, Screen, Stop, in_seconds};
use testbed::{AuthorizationServer, Backend, Mode, Request, polling};

use crate::case::{Case, Expected, Outcome};
use crate::stage::{Gateway, PLUGIN_CONFIGURATION, Stage};
use crate::tokens::{Tokens, forged, unsigned};

/// How long the key server stays silent while a request waits; much less than the filter would wait.
const SILENCE: Duration = Duration::from_millis(600);
const TIME_TO_RECOVER: Duration = Duration::from_secs(15);
const BODY: &str = r#"{"amount": 100, "to": "bob"}"#;

/// The demo as far as it has come.
pub struct Demo<'a> {
    presentation: &'a Presentation,
    screen: &'a Screen,
    admitted: usize,
    refused: usize,
    unexpected: usize,
}

impl<'a> Demo<'a> {
    /// Nothing is shown yet.
    pub fn new(presentation: &'a Presentation) -> Self {
        Self { presentation, screen: &presentation.screen, admitted: 0, refused: 0, unexpected: 0 }
    }

    /// Says what is about to happen and what of it is real.
    pub fn introduce(&self) {
        self.screen.heading("okta-proxy-wasm: Envoy admits requests by the access token they carry");
        self.screen.paragraph(
            "\nRequests go through a real Envoy 1.40 with the module that was just built. It proves each token with the \
             issuer's published keys and hands the caller's identity to the backend in headers, or refuses and logs \
             why.",
        );
        self.screen.paragraph(
            "\nThe tokens come from a real OAuth server (oidc-provider) that plays Okta at \
             https://acme.okta.com/oauth2/default; Envoy reaches it over TLS and checks its certificate. The backend \
             answers with what it received. All of it runs on 127.0.0.1 and is gone when the demo ends.",
        );
    }

    /// Starts the servers.
    pub fn set_the_stage(&self) -> Result<Stage, Stop> {
        self.screen.heading("Starting");
        let authorization_server = self.presentation.doing(|| {
            let server = AuthorizationServer::start();
            let text = format!("authorization server: issues tokens, publishes {} keys", number_of_keys(&server));
            (server, text)
        })?;
        let backend = self.presentation.doing(|| (Backend::start(), "backend: echoes what it receives".to_owned()))?;
        Ok(Stage::new(authorization_server, backend))
    }

    /// The first act.
    pub fn tokens_good_and_bad(&mut self, stage: &Stage) -> Result<(), Stop> {
        let gateway =
            self.presentation.doing(|| (stage.gateway(Mode::Pass), "Envoy with the filter, two workers".to_owned()))?;
        self.presentation.doing(|| ((), wait_for_keys(&gateway)))?;

        self.screen.heading("The filter's whole configuration");
        self.screen.verbatim(PLUGIN_CONFIGURATION);

        self.screen.heading("1. Tokens, good and bad");
        self.screen.paragraph(
            "Beside each request: Envoy's answer; the identity that reached the backend; and the exact reason, which only \
             the filter's log tells, never the client. (It tells nothing of admitted requests.)",
        );
        self.screen.table_head();
        for case in good_and_bad(stage) {
            self.show(&case, stage, &gateway)?;
        }
        Ok(())
    }

    /// The second act.
    pub fn keys_come_late_rotate_and_fail(&mut self, stage: &Stage) -> Result<(), Stop> {
        self.screen.heading("2. The issuer's keys come late, change, and cannot be had any more");
        let tokens = Tokens(&stage.authorization_server);
        let old = tokens.alices();
        let gateway = self.presentation.doing(|| {
            let text = "another Envoy, started while the key server accepts connections and stays silent".to_owned();
            (stage.gateway(Mode::Hold), text)
        })?;
        self.screen.table_head();
        self.screen.event("a request comes before the keys");
        self.show_a_wait(stage, &gateway, &old)?;

        self.screen.event("the authorization server rotates its keys: a new one signs from now on");
        stage.authorization_server.rotate();
        let new = tokens.alices();
        self.show_timed(&get(stage, "alice's token, signed with the new key", &new), stage, &gateway)?;
        self.show(&get(stage, "alice's token from before, signed with the old key", &old), stage, &gateway)?;

        self.screen.event("the key server dies");
        gateway.key_server.set(Mode::Refuse);
        self.show(&get(stage, "alice's token: the last good keys stay in use", &old), stage, &gateway)?;
        self.show(&post(stage, "POST with a body, alice's token", &old), stage, &gateway)
    }

    /// The third act; its gateway has found its keys at the end.
    pub fn no_keys_to_be_had(&mut self, stage: &Stage) -> Result<Gateway, Stop> {
        self.screen.heading("3. No keys at all");
        let token = Tokens(&stage.authorization_server).alices();
        let gateway = self.presentation.doing(|| {
            (stage.gateway(Mode::Refuse), "another Envoy, started while the key server is down".to_owned())
        })?;
        self.screen.table_head();
        let unavailable = get(stage, "alice's token, but nothing to prove it with", &token);
        self.show(&unavailable.expecting(Expected::unavailable("keys_unavailable")), stage, &gateway)?;

        self.screen.event("the key server is back: the filter keeps asking by itself");
        gateway.key_server.set(Mode::Pass);
        let again = get(stage, "alice's token, until it is admitted", &token);
        self.show_the_first_allowed(&again, stage, &gateway)?;
        Ok(gateway)
    }

    /// The last line; whether all was as expected.
    pub fn summarize(&self, took: Duration) -> bool {
        let Self { admitted, refused, unexpected, .. } = self;
        let requests = format!("{} requests: {admitted} admitted, {refused} refused", admitted + refused);
        let judgement = match unexpected {
            0 => "all as expected".to_owned(),
            unexpected => format!("{unexpected} NOT as expected"),
        };
        self.screen.verdict(*unexpected == 0, &format!("{requests}, {judgement}. ({})", in_seconds(took)));
        *unexpected == 0
    }

    /// A request that is repeated until it is admitted; shown with the time until then.
    fn show_the_first_allowed(&mut self, case: &Case, stage: &Stage, gateway: &Gateway) -> Result<(), Stop> {
        let began = Instant::now();
        let mut last = case.play(stage, gateway);
        polling::within(TIME_TO_RECOVER, || {
            let may_end =
                last.as_ref().is_ok_and(|outcome| outcome.status() == 200) || self.presentation.interruption.has_come();
            if !may_end {
                last = case.play(stage, gateway);
            }
            may_end.then_some(())
        });
        self.tell(case, last, Some(began.elapsed()))
    }

    /// A request that comes before the keys: shown when it is answered, watched while it waits.
    fn show_a_wait(&mut self, stage: &Stage, gateway: &Gateway, token: &str) -> Result<(), Stop> {
        let case = post(stage, "POST with a body, alice's token, before there are keys", token);
        let seen_before = stage.backend.count();
        let outcome = thread::scope(|scope| {
            let waiting = scope.spawn(|| case.play(stage, gateway));
            // Not synchronisation: this is how long the silence lasts.
            thread::sleep(SILENCE);
            let seen_meanwhile = stage.backend.count() - seen_before;
            if waiting.is_finished() || seen_meanwhile > 0 {
                self.unexpected += 1;
                self.screen.remark("NOT AS EXPECTED: the request did not wait for the keys");
            } else {
                let waited = in_seconds(SILENCE);
                self.screen.remark(&format!("It waits; after {waited} the backend has seen nothing of it."));
            }
            self.screen.event("the key server answers");
            gateway.key_server.set(Mode::Pass);
            waiting.join()
        });
        let outcome = outcome.unwrap_or_else(|panic| panic::resume_unwind(panic));
        let waited = outcome.as_ref().ok().map(Outcome::took);
        self.tell(&case, outcome, waited)
    }

    fn show(&mut self, case: &Case, stage: &Stage, gateway: &Gateway) -> Result<(), Stop> {
        self.presentation.check()?;
        self.tell(case, case.play(stage, gateway), None)
    }

    fn show_timed(&mut self, case: &Case, stage: &Stage, gateway: &Gateway) -> Result<(), Stop> {
        self.presentation.check()?;
        let outcome = case.play(stage, gateway);
        let waited = outcome.as_ref().ok().map(Outcome::took);
        self.tell(case, outcome, waited)
    }

    fn tell(&mut self, case: &Case, outcome: io::Result<Outcome>, waited: Option<Duration>) -> Result<(), Stop> {
        self.presentation.check()?;
        let outcome = outcome.unwrap_or_else(|fault| panic!("Envoy gave no answer: {fault}"));
        let waited = waited.map(|waited| format!("after {}", in_seconds(waited)));
        let faults = case.faults(&outcome);
        self.screen.row(&case.cells(&outcome, waited), &faults);
        self.unexpected += usize::from(!faults.is_empty());
        if outcome.status() == 200 {
            self.admitted += 1
        } else {
            self.refused += 1
        }
        Ok(())
    }
}

fn good_and_bad(stage: &Stage) -> Vec<Case> {
    let tokens = Tokens(&stage.authorization_server);
    let alices = tokens.alices();
    let refused = |title, token: &str, reason| get(stage, title, token).expecting(Expected::invalid_token(reason));
    let spoofed = |title, header: &str| {
        Case::new(stage, "GET", title, |request| request.bearer(&alices).header(header, "mallory@acme.com"))
    };
    let basic = |request: Request| request.header("authorization", "Basic YWxpY2U6YWxpY2UtcGFzc3dvcmQ=");
    let twice = |request: Request| request.bearer(&alices).bearer(&alices);
    let repeated = Expected::Refused { status: 400, error: Some("invalid_request"), reason: "multiple_credentials" };
    vec![
        Case::new(stage, "GET", "no token", |request| request).expecting(Expected::no_token()),
        get(stage, "alice's token", &alices),
        get(stage, "a service's own token (client credentials)", &tokens.services())
            .expecting(Expected::allowed_service()),
        spoofed("alice's token, and X-User-ID: mallory@acme.com", "X-User-ID"),
        spoofed("the same spelled X_User.Id, which some backends take for it", "X_User.Id"),
        refused("expired an hour ago", &tokens.expired(), "token_expired"),
        refused("issued for another API, api://payroll", &tokens.for_another_api(), "audience_unexpected"),
        refused("says it is from evil.okta.com", &tokens.of_another_issuer(), "issuer_unknown"),
        refused("forged: alice's token made bob's, signature kept", &forged(&alices), "signature_invalid"),
        refused("signed with a key the issuer never published", &tokens.of_an_unpublished_key(), "key_unknown"),
        refused("unsigned (alg: none)", &unsigned(&alices), "algorithm_unsupported"),
        refused("an ID token, which is for logging in", &tokens.identity(), "not_an_access_token"),
        refused("an opaque token, which only the issuer can read", &tokens.opaque(), "token_opaque"),
        Case::new(stage, "GET", "alice's token in two Authorization headers", twice).expecting(repeated),
        Case::new(stage, "GET", "user name and password (Basic)", basic).expecting(Expected::no_token()),
    ]
}

fn get(stage: &Stage, title: &'static str, token: &str) -> Case {
    Case::new(stage, "GET", title, |request| request.bearer(token))
}

fn post(stage: &Stage, title: &'static str, token: &str) -> Case {
    let with_body = |request: Request| request.bearer(token).header("content-type", "application/json").body(BODY);
    Case::new(stage, "POST", title, with_body).expecting(Expected::allowed_alice_with(BODY))
}

fn number_of_keys(server: &AuthorizationServer) -> usize {
    server.jwks()["keys"].as_array().map_or(0, Vec::len)
}

/// What the filter's log says of its first fetch.
fn wait_for_keys(gateway: &Gateway) -> String {
    let line = gateway.envoy.wait_for_log("keys fetched");
    let said = line.find("provider").and_then(|start| line.get(start..)).unwrap_or(&line);
    format!("the filter has fetched the issuer's keys; its log says: {said}")
}
