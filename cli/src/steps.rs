//! The evaluation steps of a request, each by the same functions that the engine calls. They only explain: the engine
//! makes the decision.

mod claims;
mod requirement;

use okta_proxy_wasm::engine::{AttributeValues, PortableVerifier};
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::jose::{Claim, IntrospectedToken, KeySet, UnverifiedToken, VerifiedToken};
use okta_proxy_wasm::policy::token_source::Credential;
use okta_proxy_wasm::policy::{
    Access, Audiences, AuthorizationRequest, ClaimFault, KeyOrigin, Policy, Provider, RuleId, SelectedProvider,
    TokenSource, ValidatedToken,
};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

use crate::clock;

/// The hint for a token of the organization's other Okta authorization server.
const ORG_SERVER: &str = "the Okta org authorization server issued the token: let the client request a token of ISSUER, or configure a provider for the org authorization server with `introspection`";

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// The check passed.
    Pass,
    /// The check failed: the request is denied here.
    Fail,
    /// Information without a check.
    Info,
}

impl StepOutcome {
    pub const fn of(is_good: bool) -> Self {
        if is_good { Self::Pass } else { Self::Fail }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }
}

/// One evaluation step.
#[derive(Debug)]
pub struct Step {
    /// The name of the step.
    pub name: &'static str,
    pub outcome: StepOutcome,
    /// The result in one sentence.
    pub message: String,
    /// Details with their outcomes.
    pub details: Vec<(StepOutcome, String)>,
}

impl Step {
    fn new(name: &'static str, outcome: StepOutcome, message: impl Into<String>) -> Self {
        Self { name, outcome, message: message.into(), details: Vec::new() }
    }

    pub fn as_json(&self) -> Value {
        let details: Vec<Value> = self
            .details
            .iter()
            .map(|(outcome, message)| json!({ "outcome": outcome.name(), "message": message }))
            .collect();
        json!({ "step": self.name, "outcome": self.outcome.name(), "message": self.message, "details": details })
    }
}

/// The inputs of the evaluation.
pub struct Inspection<'a> {
    pub policy: &'a Policy,
    /// The operator's document.
    pub document: &'a Value,
    pub head: &'a RequestHead,
    /// The host's attributes.
    pub attributes: &'a AttributeValues,
    pub fetched: Option<&'a KeySet>,
    /// The introspection response.
    pub introspection: Option<&'a [u8]>,
    pub now: UnixTime,
}

impl Inspection<'_> {
    /// All steps up to the one that decides the request.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        // The result is in the steps.
        let _stopped = self.walk(&mut steps);
        steps
    }

    fn walk(&self, steps: &mut Vec<Step>) -> Option<()> {
        let rule = self.rule(steps)?;
        let text = self.credential(rule, steps)?;
        if !UnverifiedToken::has_three_parts(&text) {
            let Some((_, provider)) = self.policy.providers.opaque_token_provider() else {
                steps.push(Step::new("token", StepOutcome::Fail, "not a JWT, and no provider accepts opaque tokens"));
                return None;
            };
            steps.push(Step::new(
                "token",
                StepOutcome::Info,
                format!("not a JWT: the provider {} introspects it", provider.name),
            ));
            return self.introspect(provider, rule, steps);
        }
        let token = match UnverifiedToken::parse(&text) {
            Ok(token) => token,
            Err(fault) => {
                steps.push(Step::new("token", StepOutcome::Fail, format!("not a JWT that can be verified: {fault:?}")));
                return None;
            }
        };
        let header = token.header();
        let mut step = Step::new("token", StepOutcome::Info, format!("a JWT of {} bytes", text.len()));
        step.details.push((StepOutcome::Info, format!("alg {}", header.algorithm)));
        step.details.push((StepOutcome::Info, format!("kid {}", header.key_id.as_deref().unwrap_or("(none)"))));
        step.details.push((StepOutcome::Info, format!("typ {}", header.token_type.as_deref().unwrap_or("(none)"))));
        steps.push(step);
        let provider = self.provider(&token, steps)?;
        if matches!(provider.keys, KeyOrigin::IntrospectionOnly) {
            let message = format!("only introspection can authenticate tokens of {}", provider.name);
            steps.push(Step::new("key", StepOutcome::Info, message));
            return self.introspect(provider, rule, steps);
        }
        let verified = self.verify(token, provider, steps)?;
        let details = claims::claim_details(verified.claims(), provider, self.now);
        let validated = ValidatedToken::validate(verified, provider, self.now);
        steps.push(claims::step(details, validated.as_ref().err().copied()));
        self.authorize(rule, &validated.ok()?, provider, steps)
    }

    /// Selects candidate keys and verifies the signature.
    fn verify(&self, token: UnverifiedToken, provider: &Provider, steps: &mut Vec<Step>) -> Option<VerifiedToken> {
        let keys = match &provider.keys {
            KeyOrigin::Inline(keys) => Some(keys),
            KeyOrigin::Remote(_) | KeyOrigin::IntrospectionOnly => self.fetched,
        };
        let Some(keys) = keys else {
            steps.push(Step::new("key", StepOutcome::Fail, "no keys of this provider are available"));
            return None;
        };
        let algorithm = token.header().algorithm;
        let candidates = keys.candidates(token.header().key_id.as_deref(), algorithm);
        let ids: Vec<&str> = candidates.iter().map(|key| key.id().unwrap_or("(without kid)")).collect();
        let message = match ids.as_slice() {
            [] => format!("none of the provider's {} keys has this kid and serves {algorithm}", keys.len()),
            ids => format!("of the provider's {} keys: {}", keys.len(), ids.join(", ")),
        };
        steps.push(Step::new("key", StepOutcome::of(!candidates.is_empty()), message));
        if candidates.is_empty() {
            return None;
        }
        let verified = token.verify(&candidates, &PortableVerifier);
        let message = if verified.is_ok() { "valid" } else { "not valid under this key" };
        steps.push(Step::new("signature", StepOutcome::of(verified.is_ok()), message));
        verified.ok()
    }

    fn rule(&self, steps: &mut Vec<Step>) -> Option<RuleId> {
        let id = match self.policy.rules.find(self.head) {
            Ok(id) => id,
            Err(fault) => {
                steps.push(Step::new("rule", StepOutcome::Fail, format!("no rule can be selected: {fault:?}")));
                return None;
            }
        };
        let rule = self.policy.rules.rule(id);
        let location = match id {
            RuleId::Index(index) => {
                let name = rule.name.as_deref().map(|name| format!(" {name:?}")).unwrap_or_default();
                format!("rules[{}]{name}", index.index())
            }
            RuleId::Default => String::from("default_rule"),
        };
        let (outcome, access) = match rule.access {
            Access::Public => (StepOutcome::Pass, "public: tokens are ignored"),
            Access::Optional => (StepOutcome::Pass, "optional: a token is validated if there is one"),
            Access::Token => (StepOutcome::Pass, "a valid token is required"),
            Access::Deny => (StepOutcome::Fail, "every request is denied"),
        };
        let report_only = if rule.report_only { " (report_only)" } else { "" };
        steps.push(Step::new("rule", outcome, format!("{location}: {access}{report_only}")));
        (rule.access != Access::Deny).then_some(id)
    }

    /// The token, if the rule evaluates one.
    fn credential(&self, id: RuleId, steps: &mut Vec<Step>) -> Option<Vec<u8>> {
        let credential = self.policy.token_source.find(self.head);
        let rule = self.policy.rules.rule(id);
        let found = match &credential {
            Credential::Token(..) => format!("one token, in {}", self.credential_location()),
            Credential::Missing => String::from("none"),
            Credential::Multiple => String::from("more than one"),
            Credential::Malformed => String::from("not a single token"),
            Credential::TooLarge => String::from("longer than token.max_bytes"),
        };
        let request = self.authorization_request(None);
        match self.policy.rules.anonymous_access(id, &credential, &request) {
            Ok(Some(access)) => {
                steps.push(Step::new("credential", StepOutcome::Pass, format!("{found}; no token is required")));
                if let Some(reason) = access.would_deny() {
                    steps.push(Step::new(
                        "requirement",
                        StepOutcome::Info,
                        format!("only reported: {}", reason.name()),
                    ));
                }
                return None;
            }
            Ok(None) => {}
            Err(reason) => {
                steps.push(Step::new("requirement", StepOutcome::Fail, reason.name()));
                return None;
            }
        }
        let token = match credential {
            Credential::Token(text, _) => Some(text.into_owned()),
            Credential::Missing | Credential::Multiple | Credential::Malformed | Credential::TooLarge => None,
        };
        let outcome = StepOutcome::of(token.is_some());
        let message = if rule.access == Access::Token || token.is_some() { found } else { format!("{found}: invalid") };
        steps.push(Step::new("credential", outcome, message));
        token
    }

    /// The location of the token: reads each location alone.
    fn credential_location(&self) -> String {
        let source = &self.policy.token_source;
        let only = TokenSource { headers: Vec::new(), cookies: Vec::new(), params: Vec::new(), ..source.clone() };
        let has = |alone: TokenSource| alone.find(self.head) != Credential::Missing;
        for header in &source.headers {
            if has(TokenSource { headers: vec![header.clone()], ..only.clone() }) {
                return format!("the header {}", header.name.as_str());
            }
        }
        for param in &source.params {
            if has(TokenSource { params: vec![param.clone()], ..only.clone() }) {
                return format!("the query parameter {}", param.as_str());
            }
        }
        String::from("a cookie")
    }

    fn authorization_request<'b>(&'b self, token: Option<(&'b ValidatedToken, &'b str)>) -> AuthorizationRequest<'b> {
        AuthorizationRequest {
            token,
            head: self.head,
            attributes: self.attributes,
            arrived_at: self.now,
            now: self.now,
        }
    }

    fn provider(&self, token: &UnverifiedToken, steps: &mut Vec<Step>) -> Option<&Provider> {
        let SelectedProvider { provider, issuer, .. } = match self.policy.providers.select(token) {
            Ok(selected) => selected,
            Err(fault) => {
                steps.push(self.no_provider(token, fault));
                return None;
            }
        };
        let by = if self.policy.providers.of_issuer(issuer).nth(1).is_some() { ", selected by `aud`" } else { "" };
        steps.push(Step::new(
            "provider",
            StepOutcome::Pass,
            format!("{}, of the issuer {issuer:?}{by}", provider.name),
        ));
        let algorithm = token.header().algorithm;
        let allowed: Vec<&str> = provider.algorithms.iter().map(|algorithm| algorithm.name()).collect();
        let is_verified_here = !matches!(provider.keys, KeyOrigin::IntrospectionOnly);
        let is_allowed = !is_verified_here || provider.algorithms.contains(&algorithm);
        if is_verified_here {
            let message = format!("{algorithm}; allowed: {}", allowed.join(", "));
            steps.push(Step::new("algorithm", StepOutcome::of(is_allowed), message));
        }
        if let Claim::Valid(expiry) = token.claimed_expiry()
            && is_allowed
            && provider.is_expired(expiry, self.now)
        {
            let message = format!(
                "according to its `exp` it expired at {}; its signature is not verified",
                clock::to_rfc3339(expiry)
            );
            steps.push(Step::new("claims", StepOutcome::Fail, message));
            return None;
        }
        is_allowed.then_some(provider)
    }

    /// The step for a token that selects no provider.
    fn no_provider(&self, token: &UnverifiedToken, fault: ClaimFault) -> Step {
        let Claim::Valid(issuer) = token.claimed_issuer() else {
            return Step::new("provider", StepOutcome::Fail, "the token names no issuer");
        };
        if fault != ClaimFault::IssuerUnknown {
            let message = format!(
                "several providers have the issuer {issuer:?}, `aud` selects one, and {}",
                claims::describe(fault)
            );
            let mut step = Step::new("provider", StepOutcome::Fail, message);
            if let Claim::Valid(audiences) = token.claimed_audiences() {
                step.details.push((StepOutcome::Fail, format!("aud {audiences:?}")));
            }
            for (_, provider) in self.policy.providers.of_issuer(issuer) {
                if let Audiences::AnyOf(names) = &provider.audiences {
                    step.details.push((StepOutcome::Info, format!("{}: {names:?}", provider.name)));
                }
            }
            return step;
        }
        let mut step =
            Step::new("provider", StepOutcome::Fail, format!("no provider has the token's issuer {issuer:?}"));
        for (_, provider) in self.policy.providers.iter() {
            for issuer in provider.issuers() {
                step.details.push((StepOutcome::Info, format!("{}: {issuer:?}", provider.name)));
            }
            // The issuer of Okta's org authorization server is a prefix of those of its custom authorization servers.
            let below = provider.issuer.strip_prefix(issuer).filter(|path| path.starts_with("/oauth2/"));
            step.details.extend(below.map(|_| (StepOutcome::Info, ORG_SERVER.replace("ISSUER", &provider.issuer))));
        }
        step
    }

    /// Evaluates the introspection response of a token.
    fn introspect(&self, provider: &Provider, rule: RuleId, steps: &mut Vec<Step>) -> Option<()> {
        let active = match IntrospectedToken::read(self.introspection?) {
            Ok(IntrospectedToken::Active(token)) => token,
            Ok(IntrospectedToken::Inactive) => {
                steps.push(Step::new("introspection", StepOutcome::Fail, "the token is inactive"));
                return None;
            }
            Err(fault) => {
                steps.push(Step::new(
                    "introspection",
                    StepOutcome::Fail,
                    format!("invalid introspection response: {fault:?}"),
                ));
                return None;
            }
        };
        steps.push(Step::new("introspection", StepOutcome::Pass, "the token is active"));
        let details = claims::claim_details(active.claims(), provider, self.now);
        let ttl = provider.introspection.as_ref().map_or(std::time::Duration::ZERO, |settings| settings.cache_ttl);
        let validated = ValidatedToken::validate_active(active, provider, self.now.plus(ttl), self.now);
        steps.push(claims::step(details, validated.as_ref().err().copied()));
        self.authorize(rule, &validated.ok()?, provider, steps)
    }

    /// Evaluates the identity headers and the rule's requirement for a valid token.
    fn authorize(&self, id: RuleId, token: &ValidatedToken, provider: &Provider, steps: &mut Vec<Step>) -> Option<()> {
        let name = |found: Option<&str>| found.map_or_else(|| String::from("(none)"), |found| format!("{found:?}"));
        let mut step = Step::new("identity", StepOutcome::Pass, format!("subject {}", name(token.subject())));
        step.details.push((StepOutcome::Info, format!("client {}", name(token.client()))));
        step.details.push((StepOutcome::Info, format!("scopes {:?}", token.scopes())));
        if let Claim::Valid(groups) = token.groups() {
            step.details.push((StepOutcome::Info, format!("groups {groups:?}")));
        }
        steps.push(step);
        if self.policy.forwarding.identity(token).is_err() {
            steps.push(Step::new("headers", StepOutcome::Fail, "a value is too long to be forwarded"));
            return None;
        }
        let rule = self.policy.rules.rule(id);
        if rule.introspects {
            steps.push(Step::new("introspection", StepOutcome::Info, "the rule also requires introspection"));
        }
        let Some(requirement) = &rule.requirement else { return Some(()) };
        let request = self.authorization_request(Some((token, &provider.name)));
        let checked = self.policy.rules.check(id, &request);
        let (outcome, message) = match &checked {
            Ok(()) => (StepOutcome::Pass, String::from("met")),
            Err(unmet) if rule.report_only => (StepOutcome::Info, format!("only reported: {}", unmet.reason.name())),
            Err(unmet) => (StepOutcome::Fail, unmet.reason.name().to_owned()),
        };
        let mut step = Step::new("requirement", outcome, message);
        step.details = requirement::details(requirement, &self.policy.rules, &request, self.written_requirement(id));
        steps.push(step);
        checked.ok()
    }

    /// The operator's `require`.
    fn written_requirement(&self, id: RuleId) -> &Value {
        let location = match id {
            RuleId::Index(index) => format!("/rules/{}/require", index.index()),
            RuleId::Default => String::from("/default_rule/require"),
        };
        self.document.pointer(&location).unwrap_or(&Value::Null)
    }
}
