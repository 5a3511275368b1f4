//! The operator's rules: the rule of a request, and its access requirements.
//!
//! The first rule that matches applies. If none matches, the default rule applies. A rule defines whether a token is
//! required ([`Access`]) and the [`Requirement`] for it. A request without a token is allowed only with
//! [`AnonymousAccess`], which only a rule grants.

use std::rc::Rc;

use super::condition::token_attributes;
use super::preflight::is_preflight;
use super::request_target::{AmbiguousPaths, RequestTarget, TargetFault};
use super::requirement::{Requirement, RequirementContext, Unmet, UnmetReason};
use super::route::{AmbiguousHosts, Method, RouteFault, RouteIndex, Router};
use super::token_source::Credential;
use super::validate::ValidatedToken;
use crate::cel::{Activation, Attribute, AttributeValues, CostTracker};
use crate::http::RequestHead;
use crate::unix_time::UnixTime;

/// Whether a token is required.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Tokens are ignored.
    Public,
    /// A request without a credential is allowed. A credential must be valid.
    Optional,
    /// A valid token is required.
    #[default]
    Token,
    /// Every request is denied.
    Deny,
}

/// The access requirements of a rule.
#[derive(Debug, Default)]
pub struct Rule {
    /// The operator's name for it.
    pub name: Option<Rc<str>>,
    /// Whether a token is required.
    pub access: Access,
    /// The requirement for token and request, or for the request alone if anonymous access is possible.
    pub requirement: Option<Rc<Requirement>>,
    /// Report only: an unmet requirement is reported, not enforced. The token must be valid.
    pub report_only: bool,
    /// Browsers are redirected to sign in if that would help.
    pub redirect_browsers: bool,
    /// Tokens are introspected, including JWTs.
    pub introspects: bool,
}

#[derive(Debug, Default)]
pub struct Rules {
    router: Router,
    rules: Vec<Rule>,
    /// The rule for requests that match no other rule.
    default_rule: Rule,
    ambiguous: AmbiguousPaths,
    bypass_cors_preflight: bool,
    strict_path_spelling: bool,
}

/// The request that a rule evaluates.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// The validated token and the name of its provider.
    pub token: Option<(&'a ValidatedToken, &'a str)>,
    pub head: &'a RequestHead,
    /// The host's values of [`Requirement::attributes`].
    pub attributes: &'a AttributeValues,
    /// When the request was received.
    pub arrived_at: UnixTime,
    /// When it is evaluated.
    pub now: UnixTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleId {
    /// A rule by its index.
    Index(RouteIndex),
    Default,
}

/// Why a request matches no rule at all and is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleFault {
    /// The target is invalid or ambiguous.
    Target(TargetFault),
    /// Its method is missing, repeated, not a token, or has a lower-case letter.
    Method,
    /// The rule depends on how a server reads the request.
    Route(RouteFault),
}

/// Permission to forward a request without a token.
#[derive(Debug)]
pub struct AnonymousAccess {
    would_deny: Option<UnmetReason>,
    is_preflight: bool,
}

impl AnonymousAccess {
    /// Why a report-only rule would have denied the request.
    pub const fn would_deny(&self) -> Option<UnmetReason> {
        self.would_deny
    }

    /// Whether the request is allowed only as a preflight. Its credentials are not verified then.
    pub const fn is_preflight(&self) -> bool {
        self.is_preflight
    }
}

impl Rules {
    /// The rules, with the `router` of their conditions in the same order.
    pub const fn new(
        router: Router,
        rules: Vec<Rule>,
        default_rule: Rule,
        ambiguous: AmbiguousPaths,
        bypass_cors_preflight: bool,
    ) -> Self {
        Self { router, rules, default_rule, ambiguous, bypass_cors_preflight, strict_path_spelling: false }
    }

    /// Whether a path as the client wrote it must match the same rule as its normal form.
    #[must_use]
    pub fn with_strict_path_spelling(mut self, strict: bool) -> Self {
        self.strict_path_spelling = strict;
        self
    }

    /// The rule that matches a request. Without rules the path is not read.
    ///
    /// # Errors
    /// If the rule cannot be determined.
    pub fn find(&self, head: &RequestHead) -> Result<RuleId, RuleFault> {
        // Conditions read host and method too, so both are checked even without rules.
        if head.values(":method").any(|method| !Method::is_well_formed(method)) {
            return Err(RuleFault::Method);
        }
        if head.values(":authority").any(|authority| authority.ends_with(b":")) {
            return Err(RuleFault::Route(RouteFault::HostUnusable));
        }
        if self.rules.is_empty() {
            return Ok(RuleId::Default);
        }
        let mut target = RequestTarget::of(head, self.ambiguous).map_err(RuleFault::Target)?;
        if self.strict_path_spelling {
            target = target.with_reading_as_written(head).map_err(RuleFault::Target)?;
        }
        let method = head.single(":method").ok_or(RuleFault::Method)?;
        let authority = head.single(":authority");
        let found = self.router.find(authority, &target, method).map_err(RuleFault::Route)?;
        Ok(found.map_or(RuleId::Default, RuleId::Index))
    }

    /// The rules with match conditions, in the operator's order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether preflights are allowed without a token.
    pub const fn bypasses_cors_preflight(&self) -> bool {
        self.bypass_cors_preflight
    }

    /// The index of their matches.
    pub const fn router(&self) -> &Router {
        &self.router
    }

    pub const fn default_rule(&self) -> &Rule {
        &self.default_rule
    }

    /// The rule with this id.
    pub fn rule(&self, id: RuleId) -> &Rule {
        match id {
            RuleId::Index(index) => self.rules.get(index.index()).unwrap_or(&self.default_rule),
            RuleId::Default => &self.default_rule,
        }
    }

    /// Checks whether a rule authorizes a request.
    ///
    /// # Errors
    /// The reason and remedy of the denial.
    pub fn check(&self, id: RuleId, request: &AuthorizationRequest<'_>) -> Result<(), Unmet<'_>> {
        match &self.rule(id).requirement {
            None => Ok(()),
            Some(requirement) => self.with_context(requirement, request, |context| requirement.check(context)),
        }
    }

    /// Evaluates a requirement with its context. Also used to explain a decision term by term.
    pub fn with_context<T>(
        &self,
        requirement: &Requirement,
        request: &AuthorizationRequest<'_>,
        evaluate: impl FnOnce(&RequirementContext<'_>) -> T,
    ) -> T {
        let AuthorizationRequest { token, head, attributes, arrived_at, now } = *request;
        let token_variables = token.map(|(token, provider)| token_attributes(token, provider));
        let token = token.map(|(token, _)| token);
        if !requirement.has_condition() {
            return evaluate(&RequirementContext { token, now, request: None });
        }
        let target = RequestTarget::of(head, self.ambiguous).ok();
        // A path with other readings is not used in conditions.
        let target = target.as_ref().filter(|target| target.other_readings().is_empty());
        let path = target.map(|target| target.path().as_str());
        let cost = CostTracker::default();
        let request = Activation::new(head, path, arrived_at, attributes, token_variables).with_cost(&cost);
        let request = match self.router.ambiguous_hosts() {
            AmbiguousHosts::Reject => request,
            AmbiguousHosts::InsecureAllow => request.ignoring_host_spelling(),
        };
        evaluate(&RequirementContext { token, now, request: Some(request) })
    }

    /// Whether the request is allowed without a token. A preflight has no token by design (Fetch, section 4.8). It must
    /// have everything that a browser sends with one.
    ///
    /// # Errors
    /// The reason, if the rule requires no token and another requirement is not met.
    pub fn anonymous_access(
        &self,
        id: RuleId,
        credential: &Credential<'_>,
        request: &AuthorizationRequest<'_>,
    ) -> Result<Option<AnonymousAccess>, UnmetReason> {
        let rule = self.rule(id);
        let is_preflight = match rule.access {
            Access::Public => false,
            Access::Optional => *credential != Credential::Missing && self.allows_preflight(request.head),
            Access::Token => self.allows_preflight(request.head),
            Access::Deny => return Ok(None),
        };
        let allow = |would_deny| Ok(Some(AnonymousAccess { would_deny, is_preflight }));
        match rule.access {
            Access::Token if is_preflight => return allow(None),
            Access::Optional if is_preflight || *credential == Credential::Missing => {}
            Access::Public => {}
            Access::Optional | Access::Token | Access::Deny => return Ok(None),
        }
        match self.check(id, request) {
            Ok(()) => allow(None),
            Err(unmet) if rule.report_only => allow(Some(unmet.reason)),
            Err(unmet) => Err(unmet.reason),
        }
    }

    /// The host attributes that the rule needs to evaluate the request, usually none.
    pub fn required_attributes(&self, id: RuleId, credential: &Credential<'_>) -> Option<Rc<[Attribute]>> {
        let rule = self.rule(id);
        let attributes = rule.requirement.as_ref()?.attributes();
        // A request without a required token is denied whatever the attributes are.
        let is_relevant = rule.access != Access::Token || matches!(credential, Credential::Token(..));
        (is_relevant && !attributes.is_empty()).then(|| Rc::clone(attributes))
    }

    /// Every rule with its path in the configuration.
    pub fn with_paths(&self) -> impl Iterator<Item = (String, &Rule)> {
        let listed = self.rules.iter().enumerate().map(|(at, rule)| (format!("$.rules[{at}]"), rule));
        listed.chain([(String::from("$.default_rule"), &self.default_rule)])
    }

    fn allows_preflight(&self, head: &RequestHead) -> bool {
        self.bypass_cors_preflight && is_preflight(head)
    }
}
