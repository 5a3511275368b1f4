//! Runs one request through the filter's engine, in place of a host and with given responses of the issuers.

use std::collections::VecDeque;

use okta_proxy_wasm::callout::{CalloutResult, HttpResponse};
use okta_proxy_wasm::config::{self, Loaded};
use okta_proxy_wasm::engine::{
    AttributeValues, Callout, CalloutId, Decision, Effect, Engine, Entropy, Event, HostServices, Message,
    ParkingLimits, PortableVerifier, Report, RequestOutcome, StreamId,
};
use okta_proxy_wasm::http::{LocalResponse, RequestHead};
use okta_proxy_wasm::introspection::call::CallResult;
use okta_proxy_wasm::jose::UnverifiedToken;
use okta_proxy_wasm::policy::token_source::Credential;
use okta_proxy_wasm::policy::{KeyOrigin, Policy, ProviderId};
use okta_proxy_wasm::revocation::feed::PollResult;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::fetch;
use crate::plugin::Plugin;
use crate::secrets::Secrets;

const STREAM: StreamId = StreamId(1);
/// Nothing that the tool shows is random.
const ENTROPY: Entropy = Entropy([u8::MAX; 32]);
/// An upper limit: the engine needs fewer steps for one request.
const MAX_ITERATIONS: usize = 64;

/// The issuers' responses.
#[derive(Default)]
pub struct IssuerData {
    /// Whether to fetch keys from the URLs that the filter uses.
    pub fetch_keys: bool,
    /// The introspection response.
    pub introspection: Option<Vec<u8>>,
    /// The revocation list.
    pub revocations: Option<Vec<u8>>,
}

/// The engine's result for one request.
pub struct Evaluation {
    pub result: RequestResult,
    /// Notes on callouts.
    pub notes: Vec<String>,
}

/// The result for the request.
pub enum RequestResult {
    /// A decision by the rules.
    Decision(Box<Decision>),
    /// A response of the filter itself, such as readiness.
    LocalResponse(LocalResponse),
}

/// A configuration that evaluates any number of requests.
pub struct Configuration {
    document: Vec<u8>,
    secrets: Secrets,
    as_json: Value,
}

impl Configuration {
    /// Loads a configuration, or returns its faults. `keys` returns key sets by provider name; they replace the keys of
    /// these providers.
    pub fn new(
        plugin: &Plugin,
        secrets: Secrets,
        keys: impl FnOnce(&Policy) -> Result<Vec<(String, Value)>, Failure>,
    ) -> Result<Self, Failure> {
        let written = Self { document: plugin.text.clone().into_bytes(), as_json: plugin.document.clone(), secrets };
        let policy = written.load(&plugin.location)?.policy;
        let mut document = plugin.document.clone();
        let has_keys = |name: &str| {
            let provider = policy.providers.iter().find(|(_, provider)| provider.name.as_ref() == name);
            provider.is_some_and(|(_, provider)| !matches!(provider.keys, KeyOrigin::IntrospectionOnly))
        };
        for (name, keys) in keys(&policy)?.into_iter().filter(|(name, _)| has_keys(name)) {
            if let Some(provider) = document.pointer_mut("/providers").and_then(|all| all.get_mut(&name)) {
                provider["jwks"] = json!({ "inline": keys });
            }
        }
        // The introspection response is given, so the endpoint must not be discovered.
        for (_, provider) in policy.providers.iter() {
            let settings = document.pointer_mut("/providers").and_then(|all| all.get_mut(provider.name.as_ref()));
            let settings = settings.and_then(|settings| settings.get_mut("introspection"));
            if let Some(settings) = settings.filter(|settings| settings.get("uri").is_none_or(Value::is_null)) {
                settings["uri"] = json!(format!("{}/introspect", provider.issuer.trim_end_matches('/')));
            }
        }
        let with_keys = Self { document: document.to_string().into_bytes(), as_json: document, ..written };
        with_keys.load(&plugin.location)?;
        Ok(with_keys)
    }

    fn load(&self, location: &str) -> Result<Loaded, Failure> {
        config::load(&self.document, &self.secrets.environment(&self.as_json)).map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
            Failure(format!("{location}: the configuration is rejected{}", faults.concat()))
        })
    }

    /// Loads the policy again: `Policy` is not `Clone`, and each engine owns one.
    pub fn policy(&self) -> Result<Policy, Failure> {
        Ok(self.load("the configuration")?.policy)
    }

    pub const fn document(&self) -> &Value {
        &self.as_json
    }

    /// Evaluates one request with a new engine.
    pub fn evaluate(
        &self,
        head: &RequestHead,
        attributes: &AttributeValues,
        issuers: &IssuerData,
        now: UnixTime,
    ) -> Result<Evaluation, Failure> {
        let policy = self.policy()?;
        let wanted = token_provider(&policy, head);
        let host = HostServices::with_verifier(Box::new(PortableVerifier));
        let engine = Engine::new(policy, host, ParkingLimits::default(), &ENTROPY, now).with_trace();
        let run = Run {
            engine,
            issuers,
            token_provider: wanted,
            now,
            callouts: VecDeque::new(),
            decided: None,
            notes: Vec::new(),
        };
        run.finish(head, attributes)
    }
}

/// The provider of the token. The filter fetches the keys of all providers; this tool fetches only those of this one.
pub fn token_provider(policy: &Policy, head: &RequestHead) -> Option<ProviderId> {
    let Credential::Token(text, _) = policy.token_source.find(head) else { return None };
    let token = UnverifiedToken::parse(&text).ok()?;
    policy.providers.select(&token).ok().map(|selected| selected.id)
}

/// An engine and the state of its host.
struct Run<'a> {
    engine: Engine,
    issuers: &'a IssuerData,
    token_provider: Option<ProviderId>,
    now: UnixTime,
    callouts: VecDeque<Callout>,
    decided: Option<Box<Decision>>,
    notes: Vec<String>,
}

impl Run<'_> {
    fn finish(mut self, head: &RequestHead, attributes: &AttributeValues) -> Result<Evaluation, Failure> {
        self.handle(Event::Tick);
        let mut outcome = self.engine.on_request(STREAM, head, self.now);
        if let RequestOutcome::NeedAttributes(_) = outcome {
            outcome = self.engine.on_request_with(STREAM, head, attributes.clone(), self.now);
        }
        match outcome {
            RequestOutcome::Decision(decision) => self.decided = Some(decision),
            RequestOutcome::LocalResponse(response) => {
                return Ok(self.into_evaluation(RequestResult::LocalResponse(response)));
            }
            RequestOutcome::Pending | RequestOutcome::NeedAttributes(_) => {}
        }
        for _ in 0..MAX_ITERATIONS {
            if let Some(decision) = self.decided.take() {
                return Ok(self.into_evaluation(RequestResult::Decision(decision)));
            }
            self.advance()?;
        }
        Err(Failure(String::from("the request stays pending: the given options do not provide what it requires")))
    }

    fn into_evaluation(self, result: RequestResult) -> Evaluation {
        Evaluation { result, notes: self.notes }
    }

    /// Completes one callout that the request may depend on, or advances the time.
    fn advance(&mut self) -> Result<(), Failure> {
        let is_needed = |callout: &Callout| match callout.id {
            CalloutId::Keys(provider, _) => self.token_provider == Some(provider),
            CalloutId::Introspection(..) | CalloutId::Revocations(_) => true,
        };
        let next = self.callouts.iter().position(is_needed).and_then(|at| self.callouts.remove(at));
        if let Some(callout) = next {
            let outcome = match callout.id {
                CalloutId::Keys(..) => self.fetch(&callout)?,
                CalloutId::Introspection(..) => self.introspect(&callout)?,
                CalloutId::Revocations(_) => {
                    let body = self.issuers.revocations.clone();
                    Ok(HttpResponse::new(200, body.unwrap_or_else(|| b"{\"revoked\":[]}".to_vec())))
                }
            };
            self.handle(Event::CalloutDone(callout.id, outcome));
            return Ok(());
        }
        self.handle(Event::Tick);
        if self.callouts.is_empty() && self.decided.is_none() {
            self.now = self.now.plus(std::time::Duration::from_secs(1));
        }
        Ok(())
    }

    fn fetch(&mut self, callout: &Callout) -> Result<CalloutResult, Failure> {
        if !self.issuers.fetch_keys {
            return Err(Failure(format!(
                "verification requires the issuer's keys: provide them with --keys FILE, or fetch them from {} with --fetch",
                callout.request.address
            )));
        }
        let (outcome, note) = fetch::get(callout);
        self.notes.push(note);
        Ok(outcome)
    }

    fn introspect(&self, callout: &Callout) -> Result<CalloutResult, Failure> {
        let Some(body) = self.issuers.introspection.clone() else {
            return Err(Failure(String::from(
                "the decision requires introspection: provide the introspection response with --introspection FILE",
            )));
        };
        match callout.request.message {
            Message::PostForm { .. } => Ok(Ok(HttpResponse::new(200, body))),
            Message::Get { .. } => Err(Failure(String::from("the introspection endpoint is unknown"))),
        }
    }

    fn handle(&mut self, event: Event) {
        for effect in self.engine.handle(event, self.now, Some(&ENTROPY)) {
            match effect {
                Effect::Callout(callout) => self.callouts.push_back(callout),
                Effect::Decide(_, decision) => self.decided = Some(decision),
                Effect::Report(Report::Call { provider, result }) => {
                    self.notes.extend(call_note(&provider, result));
                }
                Effect::Report(Report::Poll(result)) => self.notes.extend(poll_note(result)),
                // One engine alone shares nothing, and the tool sets the time itself.
                Effect::Report(_)
                | Effect::Share(_)
                | Effect::AcquireLease(..)
                | Effect::ReleaseLease(_)
                | Effect::TickAt(_) => {}
            }
        }
    }
}

fn call_note(provider: &str, result: CallResult) -> Option<String> {
    match result {
        CallResult::Failed { fault, .. } => {
            Some(format!("{provider}: introspection failed ({}): {}", fault.name(), fault.hint()))
        }
        CallResult::Answered
        | CallResult::TakenOver
        | CallResult::Discovered
        | CallResult::Continues
        | CallResult::Late => None,
    }
}

fn poll_note(result: PollResult) -> Option<String> {
    match result {
        PollResult::Replaced(entries) | PollResult::TakenOver(entries) => {
            Some(format!("revocation list: {entries} entries"))
        }
        PollResult::Failed { fault, .. } => Some(format!("revocation list: it cannot be read ({})", fault.name())),
        PollResult::Unchanged | PollResult::Late => None,
    }
}
