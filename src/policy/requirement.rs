//! The requirement of a rule for a validated token, compiled and immutable.
//!
//! The engine evaluates it for each request, also for cached tokens: validation results are cached, authorization
//! results are not (CVE-2021-32701). It reads the token and the time, and the request only in conditions. A denial has
//! an [`UnmetReason`], and a [`Remedy`] that describes a token which would be accepted.
//!
//! All terms of a [`Requirement`] must hold. Evaluation is three-valued ([`verdict`]): a claim of the wrong type is
//! neither present nor absent, and satisfies neither a term nor its negation.
//!
//! **Remedies.** If several terms fail, the response names what the client can act on. It names a remedy only if a
//! token that the client can request would be accepted. If another term also fails (a group, a client, a claim), a new
//! sign-in would not help, and that reason is given instead. Of several reasons the first counts, in the order of
//! [`Term`]. If both the authentication and the scopes are insufficient, one challenge for a stronger authentication
//! names both. A missing proof comes before these: the client requests a bound token, and learns
//! with it what else it needs. (A rule that excludes by `not` the very scope that it requires elsewhere is not considered.)

pub mod acr;
mod claim_test;
mod remedy;
mod scopes;
mod unmet_claims;
pub mod verdict;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::sender_constraint::ProofKind;
use super::validate::ValidatedToken;
use crate::cel::{Activation, Attribute, Program};
use crate::jose::Claim;
use crate::unix_time::UnixTime;

pub use claim_test::{ClaimTest, ClaimValue, Expected};
pub use remedy::{Remedy, Unmet, UnmetReason};
pub use verdict::{Indeterminate, Verdict};

/// The input of an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct RequirementContext<'a> {
    /// The validated token. `None` if the rule allows anonymous access.
    pub token: Option<&'a ValidatedToken>,
    /// The time of the evaluation.
    pub now: UnixTime,
    /// The request, for conditions. Without it every condition is indeterminate.
    pub request: Option<Activation<'a>>,
}

/// The requirement of a rule: all terms must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    terms: Vec<Term>,
    has_condition: bool,
    attributes: Rc<[Attribute]>,
}

/// One term. Reasons are reported in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// `aud` contains at least one of these, in addition to the provider's audiences.
    Audiences(BTreeSet<String>),
    /// The token was issued to one of these clients.
    Clients(BTreeSet<String>),
    /// The user is in at least one of these groups. A token without groups is indeterminate: issuers also omit the
    /// claim when there are too many groups (Microsoft Entra ID beyond 200). So `not` does not accept it.
    Groups(BTreeSet<String>),
    /// A claim has the expected value.
    Claim(ClaimTest),
    /// The condition holds for the request and its token.
    Condition(Rc<Program>),
    /// The user was authenticated with all of these methods (`amr`, RFC 8176). Okta has them in ID tokens only.
    Methods(BTreeSet<String>),
    /// The inner requirement is certainly not met.
    Not(Requirement),
    /// The client has proved that it has what the token is bound to. The engine checks the constraint of every bound token
    /// before it evaluates the rule.
    Proof(ProofKind),
    /// The authentication satisfies one of these classes ([`acr`]). A token without `acr` is indeterminate.
    Authentication(Vec<String>),
    /// The user was authenticated at most this long ago.
    MaxAge(Duration),
    /// The token grants all of these scopes. Compared exactly: `read` does not grant `read:all`, or the reverse.
    Scopes(Vec<String>),
    /// The token grants at least one of these scopes. The challenge names the first if the token has none.
    AnyScope(Vec<String>),
    /// At least one of these is met. Last, so that the remedy's alternative is compatible with the other terms.
    AnyOf(Vec<Requirement>),
}

impl Requirement {
    /// Requires all terms, evaluated in the order of [`Term`].
    pub fn all(mut terms: Vec<Term>) -> Self {
        terms.sort_by_key(Term::order);
        let has_condition = terms.iter().any(Term::has_condition);
        let attributes: BTreeSet<Attribute> = terms.iter().flat_map(Term::attributes).collect();
        Self { terms, has_condition, attributes: attributes.into_iter().collect() }
    }

    /// Whether it reads the request only, and can be evaluated without a token.
    pub fn is_request_only(&self) -> bool {
        self.terms.iter().all(Term::is_request_only)
    }

    /// Whether it contains a condition.
    pub const fn has_condition(&self) -> bool {
        self.has_condition
    }

    /// The host attributes that its conditions read, each once.
    pub const fn attributes(&self) -> &Rc<[Attribute]> {
        &self.attributes
    }

    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The number of terms, including nested ones.
    pub fn size(&self) -> usize {
        self.terms.iter().map(|term| 1 + term.inner().iter().map(Self::size).sum::<usize>()).sum()
    }

    /// Whether the requirement is met.
    pub fn evaluate(&self, context: &RequirementContext<'_>) -> Verdict {
        Verdict::all(self.terms.iter().map(|term| term.evaluate(context)))
    }

    /// Checks the requirement.
    ///
    /// # Errors
    /// The reason and remedy, unless the requirement is certainly met.
    pub fn check(&self, context: &RequirementContext<'_>) -> Result<(), Unmet<'_>> {
        match self.evaluate(context) {
            Verdict::Holds => Ok(()),
            Verdict::Fails | Verdict::Indeterminate(_) => Err(remedy::unmet(self, context)),
        }
    }
}

impl Term {
    const fn order(&self) -> u8 {
        match self {
            Self::Audiences(_) => 0,
            Self::Clients(_) => 1,
            Self::Groups(_) => 2,
            Self::Claim(_) => 3,
            Self::Condition(_) => 4,
            Self::Methods(_) => 5,
            Self::Not(_) => 6,
            Self::Proof(_) => 7,
            Self::Authentication(_) => 8,
            Self::MaxAge(_) => 9,
            Self::Scopes(_) => 10,
            Self::AnyScope(_) => 11,
            Self::AnyOf(_) => 12,
        }
    }

    pub fn inner(&self) -> &[Requirement] {
        match self {
            Self::Not(inner) => std::slice::from_ref(inner),
            Self::AnyOf(alternatives) => alternatives,
            Self::Audiences(_)
            | Self::Clients(_)
            | Self::Groups(_)
            | Self::Claim(_)
            | Self::Condition(_)
            | Self::Methods(_)
            | Self::Proof(_)
            | Self::Authentication(_)
            | Self::MaxAge(_)
            | Self::Scopes(_)
            | Self::AnyScope(_) => &[],
        }
    }

    pub fn condition(&self) -> Option<&Program> {
        if let Self::Condition(condition) = self { Some(condition) } else { None }
    }

    fn has_condition(&self) -> bool {
        self.condition().is_some() || self.inner().iter().any(Requirement::has_condition)
    }

    fn is_request_only(&self) -> bool {
        let inner = self.inner();
        let is_nested_request_only = !inner.is_empty() && inner.iter().all(Requirement::is_request_only);
        is_nested_request_only || self.condition().is_some_and(Program::is_about_request)
    }

    fn attributes(&self) -> impl Iterator<Item = Attribute> {
        let own = self.condition().map_or(&[][..], Program::attributes);
        own.iter().chain(self.inner().iter().flat_map(|inner| inner.attributes.iter())).copied()
    }

    fn evaluate(&self, context: &RequirementContext<'_>) -> Verdict {
        match self {
            Self::Not(inner) => inner.evaluate(context).negated(),
            Self::AnyOf(alternatives) => Verdict::any(alternatives.iter().map(|inner| inner.evaluate(context))),
            Self::Condition(condition) => match context.request.as_ref().map(|request| condition.evaluate(request)) {
                Some(Ok(holds)) => Verdict::of(holds),
                Some(Err(error)) => Verdict::Indeterminate(Indeterminate::Condition(error)),
                None => Verdict::Indeterminate(Indeterminate::Missing),
            },
            Self::Audiences(_)
            | Self::Clients(_)
            | Self::Groups(_)
            | Self::Claim(_)
            | Self::Methods(_)
            | Self::Proof(_)
            | Self::Authentication(_)
            | Self::MaxAge(_)
            | Self::Scopes(_)
            | Self::AnyScope(_) => context.token.map_or(Verdict::Indeterminate(Indeterminate::Missing), |token| {
                self.evaluate_token(token, context.now)
            }),
        }
    }

    /// Evaluates a term about the token. Other terms are indeterminate here.
    fn evaluate_token(&self, token: &ValidatedToken, now: UnixTime) -> Verdict {
        let has = |names: &BTreeSet<String>, found: &[&str]| found.iter().any(|name| names.contains(*name));
        match self {
            Self::Audiences(names) => claim_verdict(token.claims().strings("aud"), |found| has(names, &found)),
            Self::Clients(names) => {
                claim_verdict(token.client().map_or(Claim::Absent, Claim::Valid), |id| names.contains(id))
            }
            Self::Groups(names) => claim_verdict(token.groups(), |found| has(names, &found)),
            Self::Claim(test) => test.evaluate(token.claims()),
            Self::Methods(names) => claim_verdict(token.claims().strings("amr"), |found| {
                names.iter().all(|name| found.contains(&name.as_str()))
            }),
            Self::Proof(kind) => Verdict::of(token.binding().proves(*kind)),
            Self::Authentication(required) => claim_verdict(token.claims().string("acr"), |presented| {
                required.iter().any(|required| acr::satisfies(presented, required))
            }),
            Self::MaxAge(max_age) => is_recent(token, *max_age, now),
            Self::Scopes(scopes) => Verdict::of(scopes.iter().all(|scope| token.scopes().contains(scope))),
            Self::AnyScope(scopes) => Verdict::of(scopes.iter().any(|scope| token.scopes().contains(scope))),
            Self::Not(_) | Self::AnyOf(_) | Self::Condition(_) => Verdict::Indeterminate(Indeterminate::Missing),
        }
    }
}

/// OpenID Connect Core 3.1.2.1: an authentication is too old if it was *more* than `max_age` ago, so exactly `max_age`
/// is accepted. The clock skew counts in the token's favour, as for its other times. A time further in the future is
/// invalid.
fn is_recent(token: &ValidatedToken, max_age: Duration, now: UnixTime) -> Verdict {
    let skew = token.clock_skew();
    let authenticated_at = token.claims().time("auth_time");
    if matches!(authenticated_at, Claim::Valid(authenticated_at) if authenticated_at > now.plus(skew)) {
        return Verdict::Indeterminate(Indeterminate::Malformed);
    }
    claim_verdict(authenticated_at, |authenticated_at| authenticated_at.plus(max_age).plus(skew) >= now)
}

/// The verdict on a claim. A missing or malformed claim is indeterminate.
fn claim_verdict<T>(claim: Claim<T>, holds: impl FnOnce(T) -> bool) -> Verdict {
    match claim {
        Claim::Valid(value) => Verdict::of(holds(value)),
        Claim::Absent => Verdict::Indeterminate(Indeterminate::Missing),
        Claim::Malformed => Verdict::Indeterminate(Indeterminate::Malformed),
    }
}

#[cfg(test)]
#[path = "requirement/remedy_tests.rs"]
mod remedy_tests;
#[cfg(test)]
#[path = "requirement/tests.rs"]
mod tests;
