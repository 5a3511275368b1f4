//! Why a requirement is not met, and which other token would meet it.

use std::time::Duration;

use super::verdict::{Indeterminate, Verdict};
use super::{Requirement, RequirementContext, Term, acr};
use crate::cel::EvaluationError;

/// A requirement that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet<'a> {
    /// Why, for the audit record.
    pub reason: UnmetReason,
    /// What the client is told.
    pub remedy: Remedy<'a>,
}

/// What would help: a token that the client may ask for and that would meet the requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy<'a> {
    /// Nothing: 403 without a challenge.
    None,
    /// 403 `insufficient_scope` (RFC 6750 section 3.1) with these scopes: all that are needed together and not only
    /// those that are missing, for a client asks anew with what it is told and would lose the others.
    Scopes(Vec<&'a str>),
    /// 401 `insufficient_user_authentication` (RFC 9470 section 3): a log-in as strong and as recent as the requirement
    /// has it, and not only what falls short: a client that is told of the age alone would come back with a recent
    /// but weak one.
    Authentication {
        /// `acr_values`: one of these, the operator's favourite first; empty where any will do.
        acr_values: Vec<&'a str>,
        /// `max_age`, whole seconds as the loader has it.
        max_age: Option<Duration>,
        /// `scope` (RFC 6750 section 3): all that are needed, when some are missing too; otherwise empty.
        scopes: Vec<&'a str>,
    },
}

/// Why a requirement is not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnmetReason {
    /// `aud` names none of the audiences of the rule.
    AudienceNotAllowed,
    /// Another client than those of the rule, or none that is known.
    ClientNotAllowed,
    /// In none of the groups, or in none that is known.
    GroupMissing,
    /// A claim is not there or holds something else.
    ClaimUnmet,
    /// A condition is not met.
    ConditionUnmet,
    /// A condition cannot be judged for this request and token.
    ConditionFailed(EvaluationError),
    /// `amr` lacks a method.
    MethodMissing,
    /// Kept out by `not`.
    NotConditionMatched,
    /// `not` asks for something that the token does not tell.
    ClaimMissing,
    /// A claim that the requirement needs has a form that means nothing, or is a log-in in the future.
    ClaimMalformed,
    /// The authentication was too weak, or nothing is known of it.
    AuthenticationTooWeak,
    /// The authentication was too long ago, or nothing is known of when.
    AuthenticationTooOld,
    /// A scope is missing.
    ScopeMissing,
    /// No alternative of an `any_of` is met, and no other token would meet one.
    NoAlternative,
}

impl UnmetReason {
    /// All of them, but one for each error of a condition ([`EvaluationError::ALL`]).
    pub const ALL: [Self; 13] = [
        Self::AudienceNotAllowed,
        Self::ClientNotAllowed,
        Self::GroupMissing,
        Self::ClaimUnmet,
        Self::ConditionUnmet,
        Self::MethodMissing,
        Self::NotConditionMatched,
        Self::ClaimMissing,
        Self::ClaimMalformed,
        Self::AuthenticationTooWeak,
        Self::AuthenticationTooOld,
        Self::ScopeMissing,
        Self::NoAlternative,
    ];

    /// The reason's stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AudienceNotAllowed => "rule_audience_not_allowed",
            Self::ClientNotAllowed => "rule_client_not_allowed",
            Self::GroupMissing => "group_missing",
            Self::ClaimUnmet => "claim_unmet",
            Self::ConditionUnmet => "condition_unmet",
            Self::ConditionFailed(EvaluationError::Missing) => "condition_value_missing",
            Self::ConditionFailed(EvaluationError::NoToken) => "condition_token_missing",
            Self::ConditionFailed(EvaluationError::WrongType) => "condition_wrong_type",
            Self::ConditionFailed(EvaluationError::NotText) => "condition_not_text",
            Self::ConditionFailed(EvaluationError::PathAmbiguous) => "condition_path_ambiguous",
            Self::ConditionFailed(EvaluationError::HostMalformed) => "condition_host_malformed",
            Self::ConditionFailed(EvaluationError::HostAmbiguous) => "condition_host_ambiguous",
            Self::ConditionFailed(EvaluationError::HeaderAmbiguous) => "condition_header_ambiguous",
            Self::ConditionFailed(EvaluationError::OutOfRange) => "condition_out_of_range",
            Self::ConditionFailed(EvaluationError::DivisionByZero) => "condition_division_by_zero",
            Self::ConditionFailed(EvaluationError::NotAnAddress) => "condition_not_an_address",
            Self::ConditionFailed(EvaluationError::NotBoolean) => "condition_not_boolean",
            Self::ConditionFailed(EvaluationError::CostLimitExceeded) => "condition_too_costly",
            Self::MethodMissing => "authentication_method_missing",
            Self::NotConditionMatched => "not_condition_matched",
            Self::ClaimMissing => "claim_missing",
            Self::ClaimMalformed => "claim_malformed",
            Self::AuthenticationTooWeak => "authentication_too_weak",
            Self::AuthenticationTooOld => "authentication_too_old",
            Self::ScopeMissing => "scope_missing",
            Self::NoAlternative => "no_alternative_met",
        }
    }
}

/// What a token must bring so that the terms hold which a client can do something about, and which of that is short.
#[derive(Clone, Default)]
struct RequiredRemedy<'a> {
    scopes: Vec<&'a str>,
    acr_values: Option<Vec<&'a str>>,
    max_age: Option<Duration>,
    lacks_scope: bool,
    is_too_weak: bool,
    is_too_old: bool,
}

/// Explains a refusal.
pub(super) fn unmet<'a>(requirement: &'a Requirement, facts: &RequirementContext<'_>) -> Unmet<'a> {
    match RequiredRemedy::default().with(requirement, facts) {
        Ok(wanted) => wanted.into_unmet(),
        Err(reason) => Unmet { reason, remedy: Remedy::None },
    }
}

impl<'a> RequiredRemedy<'a> {
    /// What is wanted together with a requirement, or the first reason that no other token takes away.
    fn with(mut self, requirement: &'a Requirement, facts: &RequirementContext<'_>) -> Result<Self, UnmetReason> {
        for term in &requirement.terms {
            self.add(term, facts)?;
        }
        Ok(self)
    }

    fn add(&mut self, term: &'a Term, facts: &RequirementContext<'_>) -> Result<(), UnmetReason> {
        let verdict = term.evaluate(facts);
        match verdict {
            _ if matches!(term, Term::AnyOf(_)) => {}
            Verdict::Indeterminate(Indeterminate::Malformed) => return Err(UnmetReason::ClaimMalformed),
            Verdict::Indeterminate(Indeterminate::Condition(error)) => return Err(UnmetReason::ConditionFailed(error)),
            Verdict::Indeterminate(Indeterminate::Missing) | Verdict::Holds | Verdict::Fails => {}
        }
        let is_met = verdict == Verdict::Holds;
        let final_unless_met = |reason| if is_met { Ok(()) } else { Err(reason) };
        match term {
            Term::Audiences(_) => final_unless_met(UnmetReason::AudienceNotAllowed),
            Term::Clients(_) => final_unless_met(UnmetReason::ClientNotAllowed),
            Term::Groups(_) => final_unless_met(UnmetReason::GroupMissing),
            Term::Claim(_) => final_unless_met(UnmetReason::ClaimUnmet),
            Term::Condition(_) => final_unless_met(UnmetReason::ConditionUnmet),
            Term::Methods(_) => final_unless_met(UnmetReason::MethodMissing),
            Term::Not(_) if verdict == Verdict::Fails => Err(UnmetReason::NotConditionMatched),
            Term::Not(_) => final_unless_met(UnmetReason::ClaimMissing),
            Term::Authentication(values) => {
                self.is_too_weak |= !is_met;
                self.want_authentication(values.iter().map(String::as_str).collect())
            }
            Term::MaxAge(max_age) => {
                self.is_too_old |= !is_met;
                self.want_max_age(*max_age);
                Ok(())
            }
            Term::Scopes(scopes) => {
                self.lacks_scope |= !is_met;
                scopes.iter().for_each(|scope| self.want_scope(scope));
                Ok(())
            }
            Term::AnyScope(scopes) => {
                self.lacks_scope |= !is_met;
                // RFC 6750 has no "or". To name them all would make a reader ask for the administrator's scope as
                // well, so it is the one that the token has, or the first.
                let granted =
                    scopes.iter().find(|scope| facts.token.is_some_and(|token| token.scopes().contains(scope)));
                granted.or(scopes.first()).into_iter().for_each(|scope| self.want_scope(scope));
                Ok(())
            }
            Term::AnyOf(alternatives) => {
                *self = self.with_one_of(alternatives, facts).ok_or(UnmetReason::NoAlternative)?;
                Ok(())
            }
        }
    }

    /// With what an alternative wants that is met or, where none is, the first one that a token could meet: the operator
    /// has put them in order. One that wants another log-in than the rest does is passed over.
    fn with_one_of(&self, alternatives: &'a [Requirement], facts: &RequirementContext<'_>) -> Option<Self> {
        let is_met = |alternative: &&Requirement| alternative.evaluate(facts) == Verdict::Holds;
        let mut met_ones_first = alternatives.iter().filter(is_met).chain(alternatives);
        met_ones_first.find_map(|alternative| self.clone().with(alternative, facts).ok())
    }

    fn want_scope(&mut self, scope: &'a str) {
        if !self.scopes.contains(&scope) {
            self.scopes.push(scope);
        }
    }

    fn want_max_age(&mut self, max_age: Duration) {
        self.max_age = Some(self.max_age.map_or(max_age, |other| other.min(max_age)));
    }

    /// A token has one `acr`: of two demands only those values are left that meet both.
    fn want_authentication(&mut self, values: Vec<&'a str>) -> Result<(), UnmetReason> {
        let Some(wanted) = &mut self.acr_values else {
            self.acr_values = Some(values);
            return Ok(());
        };
        let meets = |value: &str, demand: &[&str]| demand.iter().any(|demanded| acr::satisfies(value, demanded));
        let mut both: Vec<&str> = wanted.iter().copied().filter(|value| meets(value, &values)).collect();
        both.extend(values.iter().filter(|value| !wanted.contains(value) && meets(value, wanted)));
        *wanted = both;
        if wanted.is_empty() { Err(UnmetReason::AuthenticationTooWeak) } else { Ok(()) }
    }

    fn into_unmet(self) -> Unmet<'a> {
        let reason = match (self.is_too_weak, self.is_too_old) {
            (true, _) => UnmetReason::AuthenticationTooWeak,
            (false, true) => UnmetReason::AuthenticationTooOld,
            (false, false) => UnmetReason::ScopeMissing,
        };
        let remedy = if reason == UnmetReason::ScopeMissing {
            Remedy::Scopes(self.scopes)
        } else {
            Remedy::Authentication {
                acr_values: self.acr_values.unwrap_or_default(),
                max_age: self.max_age,
                scopes: if self.lacks_scope { self.scopes } else { Vec::new() },
            }
        };
        Unmet { reason, remedy }
    }
}
