//! What a rule demands of an admitted token, compiled and immutable.
//!
//! Called by the engine for each request, also for tokens that were remembered: what a token *is* may be remembered,
//! what it *may do* here is judged anew (CVE-2021-32701). Knows the token and the time and nothing of the request;
//! why it refuses is a [`UnmetReason`], and what would help the client is a [`Remedy`].
//!
//! All terms of a [`Requirement`] must hold. Judging is three-valued ([`verdict`]): a claim of the wrong type is
//! neither there nor absent, and passes neither a demand nor its negation.
//!
//! **What the client is told** when several terms fail: what it can act on. A remedy is told only where a token that
//! the client may ask for would pass; while anything else stands in the way (a group, a client, a claim) nobody is
//! sent to log in again for nothing, and that reason is given. Of several reasons the first counts, in the order of
//! [`Term`]. When both the log-in and the scopes fall short, both are told at once, as a demand for a better log-in.
//! (A rule that keeps out by `not` the very scope that it asks for elsewhere is not reckoned with.)

pub mod acr;
mod claim_test;
mod remedy;
mod scopes;
mod unmet_claims;
pub mod verdict;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::validate::ValidatedToken;
use crate::cel::{Activation, Attribute, Program};
use crate::jose::Claim;
use crate::unix_time::UnixTime;

pub use claim_test::{ClaimTest, ClaimValue, Expected};
pub use remedy::{Remedy, Unmet, UnmetReason};
pub use verdict::{Indeterminate, Verdict};

/// What a requirement is held against.
#[derive(Clone, Copy, Debug)]
pub struct RequirementContext<'a> {
    /// Who asks; nobody where a rule lets pass without a token: then nothing is known of one.
    pub token: Option<&'a ValidatedToken>,
    /// When.
    pub now: UnixTime,
    /// The request, for conditions; without it none can be judged.
    pub request: Option<Activation<'a>>,
}

/// What a rule demands: all of its terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    terms: Vec<Term>,
    has_condition: bool,
    attributes: Rc<[Attribute]>,
}

/// One demand. The order is that in which reasons are given.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// `aud` names at least one of these: beyond those that the provider expects, for a route of its own.
    Audiences(BTreeSet<String>),
    /// The token was issued to one of these clients.
    Clients(BTreeSet<String>),
    /// The user is in at least one of these groups. A token without groups is not known to be in none: issuers leave
    /// the claim out also when there are too many (Microsoft Entra ID beyond 200), so `not` does not pass it.
    Groups(BTreeSet<String>),
    /// A claim holds what it must.
    Claim(ClaimTest),
    /// The condition holds for the request and its token.
    Condition(Rc<Program>),
    /// The user was authenticated by all of these methods (`amr`, RFC 8176). Okta has them in ID tokens only.
    Methods(BTreeSet<String>),
    /// The requirement within is not met, and that is certain.
    Not(Requirement),
    /// The authentication was as strong as one of these ([`acr`]). A token without `acr` is not known to be strong,
    /// nor to be weak.
    Authentication(Vec<String>),
    /// The user was authenticated not longer ago than this.
    MaxAge(Duration),
    /// The token grants all of these scopes. Compared whole: `read` grants no `read:all`, nor the reverse.
    Scopes(Vec<String>),
    /// The token grants at least one of these scopes; a client with none of them is told to ask for the first.
    AnyScope(Vec<String>),
    /// At least one of these is met. Last, so that the alternative that is told goes with all the rest.
    AnyOf(Vec<Requirement>),
}

impl Requirement {
    /// Demands all of these, judged in the order of [`Term`] whatever their order here.
    pub fn all(mut terms: Vec<Term>) -> Self {
        terms.sort_by_key(Term::place);
        let has_condition = terms.iter().any(Term::has_condition);
        let attributes: BTreeSet<Attribute> = terms.iter().flat_map(Term::attributes).collect();
        Self { terms, has_condition, attributes: attributes.into_iter().collect() }
    }

    /// Whether it is about the request alone, and can be judged without a token.
    pub fn is_about_request(&self) -> bool {
        self.terms.iter().all(Term::is_about_request)
    }

    /// Whether anything in it is a condition.
    pub const fn has_condition(&self) -> bool {
        self.has_condition
    }

    /// What its conditions ask of the host, each once.
    pub const fn attributes(&self) -> &Rc<[Attribute]> {
        &self.attributes
    }

    /// Its terms.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// How many terms there are in it, those within others counted.
    pub fn size(&self) -> usize {
        self.terms.iter().map(|term| 1 + term.inner().iter().map(Self::size).sum::<usize>()).sum()
    }

    /// Whether it is met.
    pub fn evaluate(&self, facts: &RequirementContext<'_>) -> Verdict {
        Verdict::all(self.terms.iter().map(|term| term.evaluate(facts)))
    }

    /// Why it is not met and what would help.
    ///
    /// # Errors
    /// Whenever it is not certain that it is met.
    pub fn check(&self, facts: &RequirementContext<'_>) -> Result<(), Unmet<'_>> {
        match self.evaluate(facts) {
            Verdict::Holds => Ok(()),
            Verdict::Fails | Verdict::Indeterminate(_) => Err(remedy::unmet(self, facts)),
        }
    }
}

impl Term {
    const fn place(&self) -> u8 {
        match self {
            Self::Audiences(_) => 0,
            Self::Clients(_) => 1,
            Self::Groups(_) => 2,
            Self::Claim(_) => 3,
            Self::Condition(_) => 4,
            Self::Methods(_) => 5,
            Self::Not(_) => 6,
            Self::Authentication(_) => 7,
            Self::MaxAge(_) => 8,
            Self::Scopes(_) => 9,
            Self::AnyScope(_) => 10,
            Self::AnyOf(_) => 11,
        }
    }

    /// The requirements within.
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
            | Self::Authentication(_)
            | Self::MaxAge(_)
            | Self::Scopes(_)
            | Self::AnyScope(_) => &[],
        }
    }

    fn condition(&self) -> Option<&Program> {
        if let Self::Condition(condition) = self { Some(condition) } else { None }
    }

    fn has_condition(&self) -> bool {
        self.condition().is_some() || self.inner().iter().any(Requirement::has_condition)
    }

    fn is_about_request(&self) -> bool {
        let inner = self.inner();
        let has_only_such = !inner.is_empty() && inner.iter().all(Requirement::is_about_request);
        has_only_such || self.condition().is_some_and(Program::is_about_request)
    }

    fn attributes(&self) -> impl Iterator<Item = Attribute> {
        let own = self.condition().map_or(&[][..], Program::attributes);
        own.iter().chain(self.inner().iter().flat_map(|inner| inner.attributes.iter())).copied()
    }

    /// Whether it holds.
    fn evaluate(&self, facts: &RequirementContext<'_>) -> Verdict {
        match self {
            Self::Not(inner) => inner.evaluate(facts).negated(),
            Self::AnyOf(alternatives) => Verdict::any(alternatives.iter().map(|inner| inner.evaluate(facts))),
            Self::Condition(condition) => match facts.request.as_ref().map(|request| condition.evaluate(request)) {
                Some(Ok(holds)) => Verdict::of(holds),
                Some(Err(error)) => Verdict::Indeterminate(Indeterminate::Condition(error)),
                None => Verdict::Indeterminate(Indeterminate::Missing),
            },
            Self::Audiences(_)
            | Self::Clients(_)
            | Self::Groups(_)
            | Self::Claim(_)
            | Self::Methods(_)
            | Self::Authentication(_)
            | Self::MaxAge(_)
            | Self::Scopes(_)
            | Self::AnyScope(_) => facts
                .token
                .map_or(Verdict::Indeterminate(Indeterminate::Missing), |token| self.evaluate_token(token, facts.now)),
        }
    }

    /// Whether it holds of a token; what is about more is not judged here.
    fn evaluate_token(&self, token: &ValidatedToken, now: UnixTime) -> Verdict {
        let has = |names: &BTreeSet<String>, found: &[&str]| found.iter().any(|name| names.contains(*name));
        match self {
            Self::Audiences(names) => claim_verdict(token.claims().texts("aud"), |found| has(names, &found)),
            Self::Clients(names) => {
                claim_verdict(token.client().map_or(Claim::Absent, Claim::Valid), |id| names.contains(id))
            }
            Self::Groups(names) => claim_verdict(token.groups(), |found| has(names, &found)),
            Self::Claim(test) => test.evaluate(token.claims()),
            Self::Methods(names) => claim_verdict(token.claims().texts("amr"), |found| {
                names.iter().all(|name| found.contains(&name.as_str()))
            }),
            Self::Authentication(demanded) => claim_verdict(token.claims().text("acr"), |presented| {
                demanded.iter().any(|demanded| acr::satisfies(presented, demanded))
            }),
            Self::MaxAge(max_age) => is_recent(token, *max_age, now),
            Self::Scopes(scopes) => Verdict::of(scopes.iter().all(|scope| token.scopes().contains(scope))),
            Self::AnyScope(scopes) => Verdict::of(scopes.iter().any(|scope| token.scopes().contains(scope))),
            Self::Not(_) | Self::AnyOf(_) | Self::Condition(_) => Verdict::Indeterminate(Indeterminate::Missing),
        }
    }
}

/// OpenID Connect Core 3.1.2.1: too old is what was *more* than `max_age` ago, so the very second still passes. The
/// issuer's clock may be behind ours or ahead, in the token's favour as with its other times; what lies further ahead
/// is no time of a log-in that has been.
fn is_recent(token: &ValidatedToken, max_age: Duration, now: UnixTime) -> Verdict {
    let skew = token.clock_skew();
    let logged_in = token.claims().time("auth_time");
    if matches!(logged_in, Claim::Valid(logged_in) if logged_in > now.plus(skew)) {
        return Verdict::Indeterminate(Indeterminate::Malformed);
    }
    claim_verdict(logged_in, |logged_in| logged_in.plus(max_age).plus(skew) >= now)
}

/// The verdict on what a token tells; what it does not tell, or not clearly, is not known.
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
