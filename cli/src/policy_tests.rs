//! `test`: evaluates the cases of a policy with the filter's engine, and compares the results with the expectations.

mod document;
mod report;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use okta_proxy_wasm::engine::{Decision, Verdict};
use okta_proxy_wasm::http::{HeaderName, LocalResponse};
use okta_proxy_wasm::jose::KeySet;
use okta_proxy_wasm::policy::{Audiences, EndpointAddress, KeyOrigin, Policy, Provider, RemoteKeys};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Map, Value, json};

use crate::arguments::Test;
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::gateway::{Configuration, IssuerData, RequestResult};
use crate::plugin;
use crate::positions::Position;
use crate::request::{self, Request};
use crate::secrets::Secrets;
use crate::signing::RunKeys;
use document::{Case, Expectation, Suite, TIME_CLAIMS};

/// The result of one case.
pub struct CaseResult {
    pub name: String,
    pub position: Option<Position>,
    /// One line for each difference from the expectation; empty for a passed case.
    pub differences: Vec<String>,
    pub duration: Duration,
}

/// The results of one file.
pub struct SuiteResult {
    pub file: PathBuf,
    pub cases: Vec<CaseResult>,
    /// The rules that no case matched.
    pub untested: Vec<String>,
}

pub fn run(arguments: &Test) -> Result<Outcome, Failure> {
    // All files share the keys: generating a key takes longer than running the cases.
    let keys = RunKeys::default();
    let mut results = Vec::new();
    for file in &arguments.files {
        results.push(run_suite(file, arguments.config.as_deref(), &keys)?);
    }
    report::print(&results, arguments.format);
    Ok(Outcome::negative_if(results.iter().flat_map(|suite| &suite.cases).any(|case| !case.differences.is_empty())))
}

fn run_suite(file: &Path, config: Option<&Path>, keys: &RunKeys) -> Result<SuiteResult, Failure> {
    let (suite, positions) = Suite::read(file)?;
    let beside = |path: &str| file.parent().unwrap_or(Path::new("")).join(path);
    let config = config.map_or_else(|| beside(&suite.config), Path::to_owned);
    let plugin = plugin::read_one(&config)?;
    let mut key_ids = HashMap::new();
    let configuration = Configuration::new(&plugin, Secrets::assumed()?, |policy| {
        key_ids = self::key_ids(policy);
        let of = |provider: &Provider| {
            let name = provider.name.to_string();
            let key_id = key_ids.get(&name).map_or("", String::as_str);
            let keys = keys.key_set(&provider.algorithms, key_id)?;
            Ok((name, keys))
        };
        policy.providers.iter().map(|(_, provider)| of(provider)).collect()
    })?;
    let policy = configuration.policy()?;
    let rules: Vec<&str> = policy
        .rules
        .rules()
        .iter()
        .chain([policy.rules.default_rule()])
        .filter_map(|rule| rule.name.as_deref())
        .collect();
    suite.check_names(file, &rules)?;
    let runner = Runner { policy, configuration, suite: &suite, keys, key_ids };
    let mut cases = Vec::new();
    let mut matched_rules = Vec::new();
    for (index, case) in suite.cases.iter().enumerate() {
        let started = Instant::now();
        let found =
            runner.evaluate(case).map_err(|failure| Failure::of_file(file, format!("{:?}: {failure}", case.name)))?;
        matched_rules.extend(found.rule.clone());
        let differences = differences(&case.expect, &found);
        let (name, position) = (case.name.clone(), positions.find(&format!("$.cases[{index}]")));
        cases.push(CaseResult { name, position, differences, duration: started.elapsed() });
    }
    let named = runner.policy.rules.rules().iter().filter_map(|rule| rule.name.as_deref());
    let untested = named.filter(|name| !matched_rules.iter().any(|met| met == name)).map(str::to_owned).collect();
    Ok(SuiteResult { file: file.to_owned(), cases, untested })
}

/// The `kid` for each provider's keys. Providers with the same keys have the same `kid`.
/// So a token of one provider is rejected with the keys of another.
fn key_ids(policy: &Policy) -> HashMap<String, String> {
    let mut inline: Vec<(&KeySet, &str)> = Vec::new();
    let mut key_ids = HashMap::new();
    for (_, provider) in policy.providers.iter() {
        let name = provider.name.as_ref();
        let key_id = match &provider.keys {
            KeyOrigin::Remote(RemoteKeys { address: EndpointAddress::Known(address), .. }) => address.to_string(),
            KeyOrigin::Remote(RemoteKeys { address: EndpointAddress::Discovered(discovery), .. }) => {
                discovery.issuer.clone()
            }
            KeyOrigin::Inline(keys) => {
                inline.push((keys, name));
                let same = inline.iter().find(|(other, _)| other.has_same_keys(keys));
                same.map_or(name, |(_, first)| first).to_owned()
            }
            KeyOrigin::IntrospectionOnly => name.to_owned(),
        };
        key_ids.insert(name.to_owned(), key_id);
    }
    key_ids
}

/// The filter's result, in the terms of an expectation.
struct Actual {
    decision: &'static str,
    status: Option<u16>,
    reason: Option<&'static str>,
    rule: Option<String>,
    would_deny: Option<&'static str>,
    response: Option<LocalResponse>,
    backend: Option<Request>,
}

impl Actual {
    fn of(result: RequestResult, request: &Request) -> Self {
        let decision = match result {
            RequestResult::Decision(decision) => decision,
            RequestResult::LocalResponse(response) => {
                let status = Some(response.status);
                let response = Some(response);
                let (reason, rule, would_deny, backend) = (None, None, None, None);
                return Self { decision: "local_response", status, reason, rule, would_deny, response, backend };
            }
        };
        let Decision { verdict, audit, .. } = *decision;
        let (response, backend) = match verdict {
            Verdict::Allow(edits) => (None, Some(request.with_edits(&edits))),
            Verdict::Deny(response) => (Some(response), None),
        };
        Self {
            decision: audit.verdict(),
            status: response.as_ref().map(|response| response.status),
            reason: Some(audit.reason()),
            rule: audit.rule().map(|rule| rule.as_ref().to_owned()),
            would_deny: audit.would_deny(),
            response,
            backend,
        }
    }
}

/// The configuration with the keys of this run, and the suite of the cases.
struct Runner<'a> {
    configuration: Configuration,
    policy: Policy,
    suite: &'a Suite,
    keys: &'a RunKeys,
    key_ids: HashMap<String, String>,
}

impl Runner<'_> {
    fn evaluate(&self, case: &Case) -> Result<Actual, Failure> {
        let defaults = &self.suite.defaults;
        let now = match case.at.as_ref().or(defaults.at.as_ref()) {
            None => clock::now(),
            Some(text) => clock::parse(text).ok_or_else(|| Failure(format!("{text:?} is not a time")))?,
        };
        let mut request = Request::parse(&case.request)?;
        if let Some(host) = &defaults.host
            && !case.request.contains("://")
        {
            request.add("host", host);
        }
        for (name, values) in defaults.headers.iter().filter(|(name, _)| !case.headers.contains_key(*name)) {
            values.as_slice().iter().for_each(|value| request.add(name, value));
        }
        for (name, values) in &case.headers {
            values.as_slice().iter().for_each(|value| request.add(name, value));
        }
        let mut issuers = IssuerData::default();
        if let Some(token) = self.token(case, now)? {
            let locations = self.configuration.document().get("token").unwrap_or(&Value::Null);
            request.add_token(&token, locations)?;
        }
        if let Some(claims) = &case.introspection {
            let claims = self.with_times(claims.clone(), now)?;
            issuers.introspection = Some(Value::Object(claims).to_string().into_bytes());
        }
        if let Some(list) = &case.revoked {
            issuers.revocations = Some(json!({ "revoked": list }).to_string().into_bytes());
        }
        let given = case.attributes.iter().map(|(name, value)| (name.clone(), value_string(value)));
        let given: Vec<(String, String)> = given.collect();
        let attributes = request::attributes(given.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        let evaluation = self.configuration.evaluate(&request.head(), &attributes, &issuers, now)?;
        Ok(Actual::of(evaluation.result, &request))
    }

    /// The case's token: signed from claims, given as text, or an opaque placeholder.
    fn token(&self, case: &Case, now: UnixTime) -> Result<Option<String>, Failure> {
        if let Some(text) = &case.token_text {
            return Ok(Some(text.clone()));
        }
        let Some(claims) = &case.token else {
            let is_opaque = case.introspection.is_some();
            return Ok(is_opaque.then(|| String::from("opaque-token-of-this-case")));
        };
        let provider = self.provider(case.signed_by.as_deref())?;
        let mut all = Map::new();
        all.insert(String::from("iss"), json!(provider.issuer.as_ref()));
        if let Audiences::AnyOf(names) = &provider.audiences {
            all.insert(String::from("aud"), json!(names.first()));
        }
        all.insert(String::from("iat"), json!("now"));
        all.insert(String::from("exp"), json!("+1h"));
        for (name, value) in self.suite.defaults.token.iter().chain(claims) {
            if value.is_null() {
                all.remove(name);
            } else {
                all.insert(name.clone(), value.clone());
            }
        }
        let all = self.with_times(all, now)?;
        let algorithm = provider.algorithms.first().copied();
        let algorithm = algorithm.ok_or_else(|| Failure(String::from("the provider allows no algorithm")))?;
        let key_id = self.key_ids.get(provider.name.as_ref()).map_or("", String::as_str);
        self.keys.token(algorithm, key_id, &Value::Object(all)).map(Some)
    }

    fn provider(&self, name: Option<&str>) -> Result<&Provider, Failure> {
        let mut providers = self.policy.providers.iter().map(|(_, provider)| provider);
        match name {
            Some(name) => providers
                .find(|provider| provider.name.as_ref() == name)
                .ok_or_else(|| Failure(format!("there is no provider {name:?}"))),
            None => match (providers.next(), providers.next()) {
                (Some(provider), None) => Ok(provider),
                _ => Err(Failure(String::from("there are several providers: name one with `signed_by`"))),
            },
        }
    }

    /// Replaces times such as `-10m` or `now` by seconds.
    fn with_times(&self, mut claims: Map<String, Value>, now: UnixTime) -> Result<Map<String, Value>, Failure> {
        for name in TIME_CLAIMS {
            if let Some(Value::String(text)) = claims.get(name) {
                let time = clock::parse_relative(text).and_then(|by| clock::add_signed(now, by));
                let time = time.or_else(|| clock::parse(text).map(UnixTime::as_secs));
                let time =
                    time.ok_or_else(|| Failure(format!("{name}: {text:?} is not a time: write -10m, +1h or now")))?;
                claims.insert(name.to_owned(), json!(time));
            }
        }
        Ok(claims)
    }
}

fn value_string(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn differences(expect: &Expectation, found: &Actual) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differs = |what: &str, expected: &str, found: &str| {
        if expected != found {
            differences.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    let none = "none";
    let why = found.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    if let Some(decision) = expect.decision
        && decision.name() != found.decision
    {
        differs("decision", decision.name(), &format!("{}{why}", found.decision));
    }
    if let Some(status) = expect.status {
        let found = found.status.map_or_else(|| format!("the backend's{why}"), |status| status.to_string());
        differs("status", &status.to_string(), &found);
    }
    for (what, expected, found) in [
        ("reason", &expect.reason, found.reason),
        ("rule", &expect.rule, found.rule.as_deref()),
        ("would_deny", &expect.would_deny, found.would_deny),
    ] {
        if let Some(expected) = expected {
            differs(what, expected.as_deref().unwrap_or(none), found.unwrap_or(none));
        }
    }
    if let Some(expected) = &expect.challenge {
        let challenge = found.response.as_ref().and_then(|response| response.header(&HeaderName::WWW_AUTHENTICATE));
        differs("challenge", expected.as_deref().unwrap_or(none), challenge.unwrap_or(none));
    }
    for (name, expected) in &expect.headers {
        let values = found.backend.as_ref().map(|request| request.values(&name.to_ascii_lowercase()).join(", "));
        let present = values.filter(|value| !value.is_empty());
        let nothing = if found.backend.is_some() { none } else { "no request to the backend" };
        differs(
            &format!("backend's {name}"),
            expected.as_deref().unwrap_or(none),
            present.as_deref().unwrap_or(nothing),
        );
    }
    for (name, expected) in &expect.response {
        let header = HeaderName::parse(name);
        let value = header.and_then(|name| found.response.as_ref()?.header(&name).map(str::to_owned));
        differs(&format!("response's {name}"), expected.as_deref().unwrap_or(none), value.as_deref().unwrap_or(none));
    }
    differences
}
