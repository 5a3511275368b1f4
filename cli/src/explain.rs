//! `explain`: shows what the filter does with one request, and why.

mod curl;
mod page;

use std::path::Path;

use okta_proxy_wasm::config::{ConfigError, ConfigErrorKind};
use okta_proxy_wasm::engine::Verdict;
use okta_proxy_wasm::engine::trace::{KeyLookUp, TraceEvent};
use okta_proxy_wasm::http::{HeaderName, LocalResponse};
use okta_proxy_wasm::jose::KeySet;
use okta_proxy_wasm::policy::{Logged, Policy};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

use crate::arguments::{Explain, Format};
use crate::clock;
use crate::document::{self, Text};
use crate::dpop_key::DpopKey;
use crate::failure::{Failure, Outcome};
use crate::gateway::{self, Configuration, Evaluation, IssuerData, RequestResult};
use crate::output;
use crate::plugin;
use crate::request::{self, Request};
use crate::secrets::Secrets;
use crate::steps::{Formatter, Step, StepOutcome};
use crate::style::Style;

struct Explanation {
    now: UnixTime,
    request: Request,
    policy: Policy,
    steps: Vec<Step>,
    evaluation: Evaluation,
    /// The request as a command, if asked for.
    curl: Option<String>,
}

pub fn run(arguments: &Explain) -> Result<Outcome, Failure> {
    let explanation = evaluate(arguments)?;
    match arguments.format {
        _ if arguments.html => output::write(&page::write(&explanation)),
        Format::Text => print_text(&explanation, Style::of_stdout()),
        Format::Json => output::line(&format!("{:#}", as_json(&explanation))),
    }
    let is_denied = match &explanation.evaluation.result {
        RequestResult::Decision(decision) => matches!(decision.verdict, Verdict::Deny(_)),
        RequestResult::LocalResponse(_) => false,
    };
    Ok(Outcome::negative_if(is_denied))
}

fn evaluate(arguments: &Explain) -> Result<Explanation, Failure> {
    let plugin = plugin::read_one(&arguments.config)?;
    let now = match &arguments.at {
        None => clock::now(),
        Some(text) => clock::parse(text).ok_or_else(|| Failure(format!("{text:?} is not a time")))?,
    };
    let mut request = Request::parse(&arguments.request)?;
    for header in &arguments.headers {
        let (name, value) =
            header.split_once(':').ok_or_else(|| Failure(format!("{header:?} is not a header: write NAME: VALUE")))?;
        request.add(name, value);
    }
    let token = arguments.token.as_deref().map(read_token).transpose()?;
    if let Some(token) = &token {
        let locations = plugin.document.get("token").unwrap_or(&Value::Null);
        match arguments.dpop_key {
            Some(_) => request.add("authorization", &format!("DPoP {token}")),
            None => request.add_token(token, locations)?,
        }
    }
    let given = arguments.attribute.iter().map(|pair| {
        pair.split_once('=').ok_or_else(|| Failure(format!("{pair:?} is not an attribute: write NAME=VALUE")))
    });
    let attributes = request::attributes(given.collect::<Result<Vec<_>, _>>()?)?;
    let read = |path: &Option<std::path::PathBuf>| path.as_deref().map(document::read_response).transpose();
    let issuers = IssuerData {
        fetch_keys: arguments.fetch,
        introspection: read(&arguments.introspection)?,
        revocations: read(&arguments.revocations)?,
    };
    let keys = arguments.keys.as_deref().map(key_set).transpose()?;
    let head = request.head();
    let configuration = Configuration::new(&plugin, Secrets::assumed()?, |policy| {
        let Some(keys) = &keys else { return Ok(Vec::new()) };
        // Only the provider that the token selects gets these keys.
        let provider = gateway::token_provider(policy, &head).and_then(|id| policy.providers.get(id));
        Ok(provider.into_iter().map(|provider| (provider.name.to_string(), keys.clone())).collect())
    })?;
    if let (Some(path), Some(token)) = (&arguments.dpop_key, &token) {
        let (key, policy) = (DpopKey::read(path)?, configuration.policy()?);
        let dpop = policy.providers.iter().find_map(|(id, provider)| {
            let is_selected = gateway::token_provider(&policy, &head).is_none_or(|selected| selected == id);
            provider.sender_constraint.dpop.as_ref().filter(|_| is_selected)
        });
        let dpop =
            dpop.ok_or_else(|| Failure(String::from("--dpop-key: the provider has no `sender_constraint.dpop`")))?;
        let proof = |nonce: Option<&str>| key.proof(&request, token, dpop, nonce, now);
        let mut nonce = arguments.dpop_nonce.clone();
        if nonce.is_none() {
            // A first try, as clients make it.
            let mut first = request.clone();
            first.add("dpop", &proof(None)?);
            nonce = next_nonce(&configuration.evaluate(&first.head(), &attributes, &issuers, now)?);
        }
        let proof = proof(nonce.as_deref())?;
        request.add("dpop", &proof);
    }
    let head = request.head();
    let evaluation = configuration.evaluate(&head, &attributes, &issuers, now)?;
    if let RequestResult::Decision(decision) = &evaluation.result
        && issuers.fetch_keys
        && decision.trace.events().iter().any(has_no_keys)
    {
        return Err(Failure(format!("--fetch: the issuer's keys cannot be fetched: {}", evaluation.notes.join("; "))));
    }
    let policy = configuration.policy()?;
    let formatter = Formatter {
        policy: &policy,
        document: configuration.document(),
        head: &head,
        attributes: &attributes,
        introspection: issuers.introspection.as_deref(),
    };
    let steps = match &evaluation.result {
        RequestResult::Decision(decision) => formatter.steps(decision.trace.events()),
        RequestResult::LocalResponse(_) => Vec::new(),
    };
    let curl = arguments.curl.then(|| curl::command(&request, token.as_deref(), &policy.token_source));
    Ok(Explanation { now, request, policy, steps, evaluation, curl })
}

/// The nonce of a response that asks for one.
fn next_nonce(evaluation: &Evaluation) -> Option<String> {
    let RequestResult::Decision(decision) = &evaluation.result else { return None };
    let Verdict::Deny(response) = &decision.verdict else { return None };
    response.header(&HeaderName::DPOP_NONCE).map(str::to_owned)
}

const fn has_no_keys(event: &TraceEvent) -> bool {
    matches!(event, TraceEvent::Keys { result: KeyLookUp::Unavailable, .. })
}

fn read_token(given: &str) -> Result<String, Failure> {
    let text = match (given, given.strip_prefix('@')) {
        ("-", _) => Text::read(Path::new("-"))?.text.to_string(),
        (_, Some(path)) => Text::read(Path::new(path))?.text.to_string(),
        (text, None) if Path::new(text).is_file() => {
            return Err(Failure(format!("--token: {text} is a file: write @{text} to read the token from it")));
        }
        (text, None) => text.to_owned(),
    };
    let text = text.trim();
    // Copied from a header, perhaps with its name.
    let value = match text.split_once(':') {
        Some((name, value)) if name.eq_ignore_ascii_case("authorization") => value.trim_start(),
        _ => text,
    };
    let (scheme, token) = value.split_once(' ').unwrap_or(("", value));
    Ok(if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("dpop") { token.trim() } else { value }
        .to_owned())
}

/// Reads a key set from a file, with the same checks as for a fetched key set.
fn key_set(path: &Path) -> Result<Value, Failure> {
    let text = document::read_response(path)?;
    let rejected =
        |fault| ConfigError { path: String::from("$"), kind: ConfigErrorKind::Keys(fault), suggestion: None };
    KeySet::parse(&text).map_err(|fault| Failure::of_file(path, rejected(fault)))?;
    serde_json::from_slice(&text).map_err(|_| Failure::of_file(path, "not JSON"))
}

fn print_text(explanation: &Explanation, style: Style) {
    let line = |text: String| output::line(&text);
    let values = |name: &str| {
        explanation.request.redacted(&explanation.policy.token_source).into_iter().find(|(field, _)| field == name)
    };
    let value = |name: &str| values(name).map(|(_, value)| value).unwrap_or_default();
    line(style.strong(&format!("{} {}{}", value(":method"), value(":authority"), value(":path"))));
    line(style.faint(&format!("at {}", clock::to_rfc3339(explanation.now))));
    for note in &explanation.evaluation.notes {
        line(style.faint(note));
    }
    for step in &explanation.steps {
        line(format!("{} {:<13} {}", symbol(step.outcome, style), step.name, step.message));
        for (outcome, message) in &step.details {
            line(format!("  {:14} {} {message}", "", symbol(*outcome, style)));
        }
    }
    line(String::new());
    match &explanation.evaluation.result {
        RequestResult::LocalResponse(response) => {
            line(style.strong("Local response:"));
            response_lines(response).into_iter().for_each(line);
        }
        RequestResult::Decision(decision) => {
            let audit = &decision.audit;
            match &decision.verdict {
                Verdict::Deny(response) => {
                    line(format!("{} {}", style.failure("Denied:"), audit.reason()));
                    response_lines(response).into_iter().for_each(line);
                }
                Verdict::Allow(edits) => {
                    let report_only =
                        audit.would_deny().map(|reason| format!("; a rule with `report_only` would deny it: {reason}"));
                    line(format!(
                        "{} {}{}",
                        style.success("Allowed:"),
                        audit.reason(),
                        report_only.unwrap_or_default()
                    ));
                    line(String::from("Request to the backend:"));
                    for (name, value) in
                        explanation.request.with_edits(edits).redacted(&explanation.policy.token_source)
                    {
                        line(format!("  {name}: {value}"));
                    }
                }
            }
            let logged = match audit.extent(&explanation.policy.audit) {
                Logged::All => String::from("log:"),
                Logged::Sampled(share) => format!("logged at a sampling rate of {}:", share.as_f64()),
                Logged::None => String::from("not logged (`audit`):"),
            };
            line(style.faint(&format!("{logged} {}", audit.to_json())));
        }
    }
    if let Some(command) = &explanation.curl {
        line(format!("\n{}\n  {command}", style.strong("The same request:")));
    }
}

const fn symbol_of(outcome: StepOutcome) -> &'static str {
    match outcome {
        StepOutcome::Pass => "+",
        StepOutcome::Fail => "x",
        StepOutcome::Info => ".",
    }
}

fn symbol(outcome: StepOutcome, style: Style) -> String {
    let symbol = symbol_of(outcome);
    match outcome {
        StepOutcome::Pass => style.success(symbol),
        StepOutcome::Fail => style.failure(symbol),
        StepOutcome::Info => style.faint(symbol),
    }
}

fn response_lines(response: &LocalResponse) -> Vec<String> {
    let headers = response.headers.iter().map(|(name, value)| format!("  {}: {}", name.as_str(), value.as_str()));
    let body = String::from_utf8_lossy(&response.body).into_owned();
    let status = std::iter::once(format!("  {}", response.status));
    status.chain(headers).chain((!body.is_empty()).then(|| format!("  {body}"))).collect()
}

fn as_json(explanation: &Explanation) -> Value {
    let steps: Vec<Value> = explanation.steps.iter().map(Step::as_json).collect();
    let common =
        json!({ "at": clock::to_rfc3339(explanation.now), "notes": explanation.evaluation.notes, "steps": steps });
    let more = match &explanation.evaluation.result {
        RequestResult::LocalResponse(response) => {
            json!({ "verdict": "local_response", "response": response_json(response) })
        }
        RequestResult::Decision(decision) => {
            let audit: Value = serde_json::from_str(&decision.audit.to_json()).unwrap_or_default();
            let logged = match decision.audit.extent(&explanation.policy.audit) {
                Logged::All => "all",
                Logged::Sampled(_) => "sampled",
                Logged::None => "none",
            };
            let (response, backend) = match &decision.verdict {
                Verdict::Deny(response) => (response_json(response), Value::Null),
                Verdict::Allow(edits) => {
                    let fields = explanation.request.with_edits(edits).redacted(&explanation.policy.token_source);
                    (
                        Value::Null,
                        fields.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect(),
                    )
                }
            };
            json!({
                "verdict": decision.audit.verdict(), "reason": decision.audit.reason(), "audit": audit,
                "logged": logged,
                "response": response, "backend": backend,
            })
        }
    };
    let mut members = common.as_object().cloned().unwrap_or_default();
    members.extend(explanation.curl.iter().map(|command| (String::from("curl"), json!(command))));
    members.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(members)
}

fn response_json(response: &LocalResponse) -> Value {
    let headers: Vec<Value> = response
        .headers
        .iter()
        .map(|(name, value)| json!({ "name": name.as_str(), "value": value.as_str() }))
        .collect();
    json!({ "status": response.status, "headers": headers, "body": String::from_utf8_lossy(&response.body) })
}
