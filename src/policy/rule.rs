//! The operator's rules: which one a request comes under, and what it takes to pass.
//!
//! The first rule whose conditions hold counts, and the one for everything else where there is none. A rule says
//! whether a token is needed ([`Access`]) and what is demanded of it ([`Requirement`]). Without a token nobody
//! passes but by [`AnonymousAccess`], and only a rule makes one.

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

/// Whether a token is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// A token is not looked at.
    Public,
    /// A request without a credential passes; one with a credential needs a good one.
    Optional,
    /// A good token is needed.
    #[default]
    Token,
    /// Nobody passes.
    Deny,
}

/// What a rule asks for.
#[derive(Debug, Default)]
pub struct Rule {
    /// The operator's name for it.
    pub name: Option<Rc<str>>,
    /// Whether a token is needed.
    pub access: Access,
    /// What is demanded of the token and the request; of the request alone where a request may pass without a token.
    pub requirement: Option<Rc<Requirement>>,
    /// What is demanded is only reported: the token must be good, whatever else is unmet.
    pub report_only: bool,
    /// Browsers that another log-in would help are sent to it instead of being told so.
    pub redirect_browsers: bool,
    /// Its issuer is asked about a token, JWTs too.
    pub introspects: bool,
}

/// All rules.
#[derive(Debug, Default)]
pub struct Rules {
    router: Router,
    rules: Vec<Rule>,
    /// For what comes under no rule.
    default_rule: Rule,
    ambiguous: AmbiguousPaths,
    bypass_cors_preflight: bool,
    strict_path_spelling: bool,
}

/// A request as rules judge it.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// Who asks: a good token, and the operator's name for who issued it.
    pub token: Option<(&'a ValidatedToken, &'a str)>,
    /// For what.
    pub head: &'a RequestHead,
    /// What the host said for [`Requirement::attributes`].
    pub attributes: &'a AttributeValues,
    /// When the request came.
    pub arrived_at: UnixTime,
    /// When it is decided.
    pub now: UnixTime,
}

/// One of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleId {
    /// By its place.
    Index(RouteIndex),
    /// The one for everything else.
    Default,
}

/// Why a request comes under no rule at all, and is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleFault {
    /// Its target cannot be read in one way.
    Target(TargetFault),
    /// Its method is missing, repeated, not a token, or has a lower-case letter.
    Method,
    /// The rule depends on how a server reads it.
    Route(RouteFault),
}

/// That a request passes without a token.
#[derive(Debug)]
pub struct AnonymousAccess {
    would_deny: Option<UnmetReason>,
    is_preflight: bool,
}

impl AnonymousAccess {
    /// What would have kept the request out if its rule were not on trial.
    pub const fn would_deny(&self) -> Option<UnmetReason> {
        self.would_deny
    }

    /// Whether the request passes only as a preflight, its credentials unchecked.
    pub const fn is_preflight(&self) -> bool {
        self.is_preflight
    }
}

impl Rules {
    /// Puts rules together; `router` knows the conditions of each, in the same order.
    pub const fn new(
        router: Router,
        rules: Vec<Rule>,
        otherwise: Rule,
        ambiguous: AmbiguousPaths,
        bypass_cors_preflight: bool,
    ) -> Self {
        Self { router, rules, default_rule: otherwise, ambiguous, bypass_cors_preflight, strict_path_spelling: false }
    }

    /// Whether a path as the client wrote it must match the same rule as its normal form.
    #[must_use]
    pub fn with_strict_path_spelling(mut self, strict: bool) -> Self {
        self.strict_path_spelling = strict;
        self
    }

    /// The rule that a request comes under. Without rules its path is not looked at.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn find(&self, head: &RequestHead) -> Result<RuleId, RuleFault> {
        // Conditions read host and method too, so these are checked without rules as well.
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

    /// Those with conditions, in the operator's order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The one for everything else.
    pub const fn otherwise(&self) -> &Rule {
        &self.default_rule
    }

    /// What that rule asks for.
    pub fn rule(&self, id: RuleId) -> &Rule {
        match id {
            RuleId::Index(index) => self.rules.get(index.place()).unwrap_or(&self.default_rule),
            RuleId::Default => &self.default_rule,
        }
    }

    /// Whether what is asked may be done under that rule.
    ///
    /// # Errors
    /// Why not, and what would help.
    pub fn check(&self, id: RuleId, asked: &AuthorizationRequest<'_>) -> Result<(), Unmet<'_>> {
        match &self.rule(id).requirement {
            None => Ok(()),
            Some(requirement) => self.with_context(requirement, asked, |facts| requirement.check(facts)),
        }
    }

    /// What a requirement is held against, for `judge`; who explains a decision holds each of its terms against the same.
    pub fn with_context<T>(
        &self,
        requirement: &Requirement,
        asked: &AuthorizationRequest<'_>,
        judge: impl FnOnce(&RequirementContext<'_>) -> T,
    ) -> T {
        let AuthorizationRequest { token, head, attributes, arrived_at: came_at, now } = *asked;
        let token_variables = token.map(|(token, provider)| token_attributes(token, provider));
        let token = token.map(|(token, _)| token);
        if !requirement.has_condition() {
            return judge(&RequirementContext { token, now, request: None });
        }
        let target = RequestTarget::of(head, self.ambiguous).ok();
        // What only some servers would read is no path to reckon with.
        let target = target.as_ref().filter(|target| target.other_readings().is_empty());
        let path = target.map(|target| target.path().as_str());
        let cost = CostTracker::default();
        let request = Activation::new(head, path, came_at, attributes, token_variables).with_cost(&cost);
        let request = match self.router.ambiguous_hosts() {
            AmbiguousHosts::Reject => request,
            AmbiguousHosts::InsecureAllow => request.ignoring_host_spelling(),
        };
        judge(&RequirementContext { token, now, request: Some(request) })
    }

    /// Whether the request passes without a token. A preflight carries none by design (Fetch, section 4.8), and is
    /// one only when it has all of what a browser sends with it.
    ///
    /// # Errors
    /// Why not, where the rule asks for no token and demands something else.
    pub fn anonymous_access(
        &self,
        id: RuleId,
        credential: &Credential<'_>,
        asked: &AuthorizationRequest<'_>,
    ) -> Result<Option<AnonymousAccess>, UnmetReason> {
        let rule = self.rule(id);
        let is_preflight = match rule.access {
            Access::Public => false,
            Access::Optional => *credential != Credential::Missing && self.allows_preflight(asked.head),
            Access::Token => self.allows_preflight(asked.head),
            Access::Deny => return Ok(None),
        };
        let pass = |would_deny| Ok(Some(AnonymousAccess { would_deny, is_preflight }));
        match rule.access {
            Access::Token if is_preflight => return pass(None),
            Access::Optional if is_preflight || *credential == Credential::Missing => {}
            Access::Public => {}
            Access::Optional | Access::Token | Access::Deny => return Ok(None),
        }
        match self.check(id, asked) {
            Ok(()) => pass(None),
            Err(unmet) if rule.report_only => pass(Some(unmet.reason)),
            Err(unmet) => Err(unmet.reason),
        }
    }

    /// What has to be asked of the host before a request can be judged by that rule; mostly nothing.
    pub fn required_attributes(&self, id: RuleId, credential: &Credential<'_>) -> Option<Rc<[Attribute]>> {
        let rule = self.rule(id);
        let attributes = rule.requirement.as_ref()?.attributes();
        // Who has no token where one is needed is refused whatever the host says.
        let matters = rule.access != Access::Token || matches!(credential, Credential::Token(..));
        (matters && !attributes.is_empty()).then(|| Rc::clone(attributes))
    }

    fn allows_preflight(&self, head: &RequestHead) -> bool {
        self.bypass_cors_preflight && is_preflight(head)
    }
}
