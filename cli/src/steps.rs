//! Formats the trace of a request that the engine recorded: each event as a step.

mod claims;
pub mod requirement;
mod sender_constraint;

use okta_proxy_wasm::engine::AttributeValues;
use okta_proxy_wasm::engine::deny_reason::DenyReason;
use okta_proxy_wasm::engine::trace::{AnonymousCheck, CheckResult, KeyLookUp, TraceEvent};
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::introspection::call::TokenKind;
use okta_proxy_wasm::jose::{Claim, Claims, IntrospectedToken, ResponseFault, TokenFault, UnverifiedToken};
use okta_proxy_wasm::policy::token_source::Credential;
use okta_proxy_wasm::policy::{
    Access, Audiences, AuthorizationRequest, ClaimFault, CredentialLocation, Policy, ProviderId, RuleId, TokenSource,
    UnmetReason, ValidatedToken,
};
use serde_json::{Value, json};

use crate::clock;
use crate::text::list;

/// How a request without a token is described.
const CREDENTIAL_FAULTS: [(DenyReason, &str); 4] = [
    (DenyReason::TokenMissing, "none"),
    (DenyReason::MultipleCredentials, "more than one"),
    (DenyReason::CredentialMalformed, "not a single token"),
    (DenyReason::TokenTooLarge, "longer than token.max_bytes"),
];

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

/// What the events refer to.
pub struct Formatter<'a> {
    pub policy: &'a Policy,
    /// The operator's document.
    pub document: &'a Value,
    pub head: &'a RequestHead,
    /// The host's attributes.
    pub attributes: &'a AttributeValues,
    /// The introspection response.
    pub introspection: Option<&'a [u8]>,
}

impl Formatter<'_> {
    /// The steps of a trace.
    pub fn steps(&self, trace: &[TraceEvent]) -> Vec<Step> {
        trace.iter().flat_map(|event| self.steps_of(event)).collect()
    }

    fn steps_of(&self, event: &TraceEvent) -> Vec<Step> {
        let fail = |name, message: &str| vec![Step::new(name, StepOutcome::Fail, message)];
        let info = |name, message: String| vec![Step::new(name, StepOutcome::Info, message)];
        match event {
            TraceEvent::Rule(Ok(rule)) => vec![self.rule(*rule)],
            TraceEvent::Rule(Err(fault)) => {
                fail("rule", &format!("no rule can be selected: {}", DenyReason::Rule(*fault).name()))
            }
            TraceEvent::Unremovable => fail("credential", "a credential or header cannot be removed from the request"),
            TraceEvent::Credential { rule, location, anonymous } => self.credential(*rule, *location, *anonymous),
            TraceEvent::OpaqueToken(None) => fail("token", "not a JWT, and no provider accepts opaque tokens"),
            TraceEvent::OpaqueToken(Some(id)) => {
                info("token", format!("not a JWT: the provider {} introspects it", self.name_of(*id)))
            }
            TraceEvent::MalformedToken(fault) => {
                fail("token", &format!("not a JWT that can be verified: {}", token_fault(*fault)))
            }
            TraceEvent::Jwt { header, bytes } => {
                let mut step = Step::new("token", StepOutcome::Info, format!("a JWT of {bytes} bytes"));
                let text = |value: &Option<String>| value.clone().unwrap_or_else(|| String::from("(none)"));
                step.details.push((StepOutcome::Info, format!("alg {}", header.algorithm)));
                step.details.push((StepOutcome::Info, format!("kid {}", text(&header.key_id))));
                step.details.push((StepOutcome::Info, format!("typ {}", text(&header.token_type))));
                vec![step]
            }
            TraceEvent::Provider { provider, issuer } => {
                let is_shared = self.policy.providers.of_issuer(issuer).nth(1).is_some();
                let by = if is_shared { ", selected by `aud`" } else { "" };
                let message = format!("{}, of the issuer {issuer:?}{by}", self.name_of(*provider));
                vec![Step::new("provider", StepOutcome::Pass, message)]
            }
            TraceEvent::NoProvider { token, fault } => vec![self.no_provider(token, *fault)],
            TraceEvent::Algorithm { provider, algorithm, is_allowed } => {
                let algorithms = self.policy.providers.get(*provider).map(|provider| provider.algorithms.as_slice());
                let allowed: Vec<&str> = algorithms.unwrap_or_default().iter().map(|allowed| allowed.name()).collect();
                let message = format!("{algorithm}; allowed: {}", allowed.join(", "));
                vec![Step::new("algorithm", StepOutcome::of(*is_allowed), message)]
            }
            TraceEvent::ClaimedExpiry(expiry) => {
                let expiry = clock::to_rfc3339(*expiry);
                fail("claims", &format!("according to its `exp` it expired at {expiry}; its signature is not verified"))
            }
            TraceEvent::IntrospectionOnly(id) => {
                info("key", format!("only introspection can authenticate tokens of {}", self.name_of(*id)))
            }
            TraceEvent::CachedToken => info("token", String::from("in the cache of verified tokens")),
            TraceEvent::Keys { count, algorithm, result } => match result {
                KeyLookUp::Found(ids) => {
                    let ids: Vec<&str> = ids.iter().map(|id| id.as_deref().unwrap_or("(without kid)")).collect();
                    let message = format!("of the provider's {count} keys: {}", ids.join(", "));
                    vec![Step::new("key", StepOutcome::Pass, message)]
                }
                KeyLookUp::Unknown => {
                    let none = format!("none of the provider's {count} keys has this kid and serves {algorithm}");
                    fail("key", &none)
                }
                KeyLookUp::Pending => info("key", String::from("the keys are being fetched")),
                KeyLookUp::Unavailable => fail("key", "no keys of this provider are available"),
            },
            TraceEvent::Signature { is_valid } => {
                let message = if *is_valid { "valid" } else { "not valid under this key" };
                vec![Step::new("signature", StepOutcome::of(*is_valid), message)]
            }
            TraceEvent::Introspection { kind, result } => {
                let by = match kind {
                    TokenKind::Opaque => "",
                    TokenKind::Jwt => "required by the rule: ",
                };
                let (outcome, message) = self.introspection(*result);
                vec![Step::new("introspection", outcome, format!("{by}{message}"))]
            }
            TraceEvent::Claims { provider, claims, fault, now } => {
                let claims = claims.clone().or_else(|| self.introspected_claims());
                let details = claims.zip(self.policy.providers.get(*provider));
                let details = details.map(|(claims, provider)| claims::claim_details(&claims, provider, *now));
                vec![claims::step(details.unwrap_or_default(), *fault)]
            }
            TraceEvent::Identity(token) => vec![identity(token)],
            TraceEvent::Unforwardable(DenyReason::IdentityNumberInexact) => {
                fail("headers", "a number cannot be forwarded exactly")
            }
            TraceEvent::Unforwardable(_) => fail("headers", "a value is too long to be forwarded"),
            TraceEvent::SenderConstraint { binding, certificate, checked } => {
                sender_constraint::step(binding, *certificate, *checked).into_iter().collect()
            }
            TraceEvent::UsedProof(fault) => fail("constraint", sender_constraint::describe(*fault, None)),
            TraceEvent::Revocation(result) => {
                let (outcome, message) = match result {
                    CheckResult::Passed => (StepOutcome::Pass, "not on the revocation list"),
                    CheckResult::Denied(DenyReason::TokenRevoked) => (StepOutcome::Fail, "on the revocation list"),
                    CheckResult::Denied(reason) => (StepOutcome::Fail, reason.name()),
                    CheckResult::Pending => (StepOutcome::Info, "the revocation list is being fetched"),
                };
                vec![Step::new("revocation", outcome, message)]
            }
            TraceEvent::Requirement { rule, provider, token, unmet, arrived_at, now } => {
                let request = AuthorizationRequest {
                    token: Some((token, self.name_of(*provider))),
                    head: self.head,
                    attributes: self.attributes,
                    arrived_at: *arrived_at,
                    now: *now,
                };
                self.requirement(*rule, &request, *unmet).into_iter().collect()
            }
            TraceEvent::NotPending(reason) => fail("engine", reason.name()),
        }
    }

    fn name_of(&self, provider: ProviderId) -> &str {
        self.policy.providers.get(provider).map_or("(unknown)", |provider| &provider.name)
    }

    fn rule(&self, id: RuleId) -> Step {
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
        Step::new("rule", outcome, format!("{location}: {access}{report_only}"))
    }

    fn credential(
        &self,
        rule: RuleId,
        location: Result<CredentialLocation, DenyReason>,
        anonymous: AnonymousCheck,
    ) -> Vec<Step> {
        let found = match location {
            Ok(location) => format!("one token, in {}", self.location(location)),
            Err(reason) => {
                let known = CREDENTIAL_FAULTS.iter().find(|(known, _)| *known == reason);
                known.map_or(reason.name(), |(_, text)| text).to_owned()
            }
        };
        match anonymous {
            AnonymousCheck::Allowed { would_deny } => {
                let step = Step::new("credential", StepOutcome::Pass, format!("{found}; no token is required"));
                let reported = would_deny.map(|reason| {
                    Step::new("requirement", StepOutcome::Info, format!("only reported: {}", reason.name()))
                });
                std::iter::once(step).chain(reported).collect()
            }
            AnonymousCheck::Unmet(reason) => vec![Step::new("requirement", StepOutcome::Fail, reason.name())],
            AnonymousCheck::TokenRequired => {
                let is_optional = self.policy.rules.rule(rule).access != Access::Token;
                let message = if location.is_err() && is_optional { format!("{found}: invalid") } else { found };
                vec![Step::new("credential", StepOutcome::of(location.is_ok()), message)]
            }
        }
    }

    /// The name of the field that has the token: reads each of them alone.
    fn location(&self, location: CredentialLocation) -> String {
        let source = &self.policy.token_source;
        let only = TokenSource { headers: Vec::new(), cookies: Vec::new(), params: Vec::new(), ..source.clone() };
        let has = |alone: TokenSource| alone.find(self.head) != Credential::Missing;
        match location {
            CredentialLocation::Header | CredentialLocation::DpopHeader => {
                let header = source
                    .headers
                    .iter()
                    .find(|one| has(TokenSource { headers: vec![(*one).clone()], ..only.clone() }));
                format!("the header {}", header.map_or("", |header| header.name.as_str()))
            }
            CredentialLocation::Query => {
                let param =
                    source.params.iter().find(|one| has(TokenSource { params: vec![(*one).clone()], ..only.clone() }));
                format!("the query parameter {}", param.map_or("", |param| param.as_str()))
            }
            CredentialLocation::Cookie => String::from("a cookie"),
        }
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
                step.details.push((StepOutcome::Fail, format!("aud {}", list(audiences))));
            }
            for (_, provider) in self.policy.providers.of_issuer(issuer) {
                if let Audiences::AnyOf(names) = &provider.audiences {
                    step.details.push((
                        StepOutcome::Info,
                        format!("{}: {}", provider.name, list(names.iter().map(String::as_str))),
                    ));
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

    fn introspection(&self, result: CheckResult) -> (StepOutcome, String) {
        let reason = match result {
            CheckResult::Passed => return (StepOutcome::Pass, String::from("the token is active")),
            CheckResult::Pending => return (StepOutcome::Info, String::from("the response is pending")),
            CheckResult::Denied(reason) => reason,
        };
        let message = match (reason, self.introspection.map(IntrospectedToken::read)) {
            (DenyReason::TokenInactive, _) => String::from("the token is inactive"),
            (DenyReason::IntrospectionMismatch, _) => String::from("the response is about another token"),
            (DenyReason::Claim(fault), _) => claims::describe(fault).to_owned(),
            (_, Some(Err(fault))) => format!("invalid introspection response: {}", response_fault(fault)),
            (reason, _) => reason.name().to_owned(),
        };
        (StepOutcome::Fail, message)
    }

    /// The claims of an active introspection response.
    fn introspected_claims(&self) -> Option<Claims> {
        match IntrospectedToken::read(self.introspection?).ok()? {
            IntrospectedToken::Active(token) => Some(token.into_claims()),
            IntrospectedToken::Inactive => None,
        }
    }

    /// The requirement of a rule, term by term.
    fn requirement(&self, id: RuleId, request: &AuthorizationRequest<'_>, unmet: Option<UnmetReason>) -> Option<Step> {
        let rule = self.policy.rules.rule(id);
        let requirement = rule.requirement.as_ref()?;
        let (outcome, message) = match unmet {
            None => (StepOutcome::Pass, String::from("met")),
            Some(reason) if rule.report_only => (StepOutcome::Info, format!("only reported: {}", reason.name())),
            Some(reason) => (StepOutcome::Fail, reason.name().to_owned()),
        };
        let mut step = Step::new("requirement", outcome, message);
        let issuer = self.issuer_of(request);
        let written = self.written_requirement(id);
        step.details = requirement::details(requirement, &self.policy.rules, request, written, &issuer);
        Some(step)
    }

    fn issuer_of(&self, request: &AuthorizationRequest<'_>) -> requirement::Issuer {
        let name = request.token.map(|(_, name)| name);
        let provider = self.policy.providers.iter().find(|(_, provider)| name == Some(&*provider.name));
        let okta = name.and_then(|name| self.document.get("providers")?.get(name)?.get("okta"));
        let groups = provider.map(|(_, provider)| provider.claim_names.groups.join(" > "));
        requirement::Issuer {
            is_okta: okta.is_some_and(Value::is_object),
            groups: groups.unwrap_or_else(|| String::from("groups")),
        }
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

fn or_none(list: String) -> String {
    if list.is_empty() { String::from("(none)") } else { list }
}

const fn token_fault(fault: TokenFault) -> &'static str {
    match fault {
        TokenFault::Encoding => "a part is not base64url without padding",
        TokenFault::HeaderTooLarge => "its header is too long",
        TokenFault::HeaderJson => "its header is not a JSON object, has a duplicate member, or is nested too deeply",
        TokenFault::AlgorithmMalformed => "`alg` is missing or not a string",
        TokenFault::AlgorithmUnsupported => "`alg` names no asymmetric algorithm that the filter verifies",
        TokenFault::HeaderParameterMalformed => "`kid` or `typ` is not a string",
        TokenFault::ExtensionUnsupported => "`crit`, `b64`, `zip` or a nested token is not supported",
        TokenFault::ClaimsJson => "its payload is not a JSON object, has a duplicate member, or is nested too deeply",
        TokenFault::SignatureInvalid => "no key verifies its signature",
    }
}

const fn response_fault(fault: ResponseFault) -> &'static str {
    match fault {
        ResponseFault::TooLarge => "it is too long",
        ResponseFault::NotAnObject => "it is not a JSON object, or has a duplicate member",
        ResponseFault::ActiveMissing => "`active` is missing or not a boolean",
    }
}

fn identity(token: &ValidatedToken) -> Step {
    let name = |found: Option<&str>| found.map_or_else(|| String::from("(none)"), |found| format!("{found:?}"));
    let mut step = Step::new("identity", StepOutcome::Pass, format!("subject {}", name(token.subject())));
    step.details.push((StepOutcome::Info, format!("client {}", name(token.client()))));
    step.details
        .push((StepOutcome::Info, format!("scopes {}", or_none(list(token.scopes().iter().map(String::as_str))))));
    if let Claim::Valid(groups) = token.groups() {
        step.details.push((StepOutcome::Info, format!("groups {}", or_none(list(groups)))));
    }
    step
}
