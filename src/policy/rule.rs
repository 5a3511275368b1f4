//! The operator's rules: which one a request comes under, and what it takes to pass.
//!
//! The first rule whose conditions hold counts, and the one for everything else where there is none. A rule says
//! whether a token is needed ([`Access`]) and what is demanded of it ([`Requirement`]). Without a token nobody
//! passes but by [`NoTokenNeeded`], and only a rule makes one.

use std::rc::Rc;

use super::admit::AdmittedToken;
use super::request_target::{AmbiguousPaths, RequestTarget, TargetFault};
use super::requirement::{Facts, Requirement, Unmet};
use super::route::{RouteFault, RouteIndex, Router};
use super::token_source::Credential;
use crate::http::RequestHead;
use crate::unix_time::UnixTime;

/// Whether a token is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everybody passes, and a token is not looked at.
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
    /// What is demanded of the token.
    pub requirement: Option<Requirement>,
    /// What is demanded is only reported: the token must be good, whatever else is unmet.
    pub report_only: bool,
}

/// All rules.
#[derive(Debug, Default)]
pub struct Rules {
    router: Router,
    rules: Vec<Rule>,
    /// For what comes under no rule.
    otherwise: Rule,
    ambiguous: AmbiguousPaths,
    bypass_cors_preflight: bool,
}

/// One of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleId {
    /// By its place.
    Numbered(RouteIndex),
    /// The one for everything else.
    Otherwise,
}

/// Why a request comes under no rule at all, and is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleFault {
    /// Its target cannot be read in one way.
    Target(TargetFault),
    /// It has no method, or several: which one counts is for each server to guess.
    Method,
    /// The rule depends on how a server reads it.
    Route(RouteFault),
}

/// That a request passes without a token.
#[derive(Debug)]
pub struct NoTokenNeeded(());

impl Rules {
    /// Puts rules together; `router` knows the conditions of each, in the same order.
    pub const fn new(
        router: Router,
        rules: Vec<Rule>,
        otherwise: Rule,
        ambiguous: AmbiguousPaths,
        bypass_cors_preflight: bool,
    ) -> Self {
        Self { router, rules, otherwise, ambiguous, bypass_cors_preflight }
    }

    /// The rule that a request comes under. Without rules its path is not looked at.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn find(&self, head: &RequestHead) -> Result<RuleId, RuleFault> {
        if self.rules.is_empty() {
            return Ok(RuleId::Otherwise);
        }
        let target = RequestTarget::of(head, self.ambiguous).map_err(RuleFault::Target)?;
        let method = the_only(head, ":method").ok_or(RuleFault::Method)?;
        let authority = the_only(head, ":authority");
        let found = self.router.find(authority, &target, method).map_err(RuleFault::Route)?;
        Ok(found.map_or(RuleId::Otherwise, RuleId::Numbered))
    }

    /// Those with conditions, in the operator's order.
    pub fn in_order(&self) -> &[Rule] {
        &self.rules
    }

    /// The one for everything else.
    pub const fn otherwise(&self) -> &Rule {
        &self.otherwise
    }

    /// What that rule asks for.
    pub fn rule(&self, id: RuleId) -> &Rule {
        match id {
            RuleId::Numbered(index) => self.rules.get(index.place()).unwrap_or(&self.otherwise),
            RuleId::Otherwise => &self.otherwise,
        }
    }

    /// Whether the request passes without a token. A preflight carries none by design (Fetch, section 4.8), and is
    /// one only when it has all of what a browser sends with it.
    pub fn without_token(&self, id: RuleId, credential: &Credential<'_>, head: &RequestHead) -> Option<NoTokenNeeded> {
        let passes = match self.rule(id).access {
            Access::Public => true,
            Access::Optional => *credential == Credential::Absent || self.lets_preflight_pass(head),
            Access::Token => self.lets_preflight_pass(head),
            Access::Deny => false,
        };
        passes.then_some(NoTokenNeeded(()))
    }

    fn lets_preflight_pass(&self, head: &RequestHead) -> bool {
        // Envoy joins a repeated `Origin` with a comma: what no origin and no method has in it is not one.
        let is_one =
            |value: &[u8]| !value.is_empty() && value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',');
        let has = |name| the_only(head, name).is_some_and(is_one);
        self.bypass_cors_preflight
            && the_only(head, ":method") == Some(b"OPTIONS")
            && has("origin")
            && has("access-control-request-method")
    }
}

impl Rule {
    /// Whether the token may do what is asked under this rule.
    ///
    /// # Errors
    /// Why not, and what would help.
    pub fn check(&self, token: &AdmittedToken, now: UnixTime) -> Result<(), Unmet<'_>> {
        self.requirement.as_ref().map_or(Ok(()), |requirement| requirement.check(&Facts { token, now }))
    }
}

/// A field that is there twice is none.
fn the_only<'a>(head: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
    let mut values = head.values(name);
    let first = values.next();
    first.filter(|_| values.next().is_none())
}
