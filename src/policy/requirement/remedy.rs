//! Why a requirement is not met, and which token would meet it.

use std::time::Duration;

use super::verdict::{Indeterminate, Verdict};
use super::{Requirement, RequirementContext, Term, acr};
use crate::cel::EvaluationError;
use crate::http::push_new;
use crate::policy::sender_constraint::ProofKind;

/// A requirement that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet<'a> {
    /// The reason for the audit record.
    pub reason: UnmetReason,
    /// The remedy for the client.
    pub remedy: Remedy<'a>,
}

/// A token that the client can request and that would meet the requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy<'a> {
    /// No token would help: 403 without a challenge.
    None,
    /// 401 `invalid_token` (RFC 6750 section 3.1, RFC 9449 section 7.1): a token that is bound to what this kind of proof
    /// proves.
    BoundToken(ProofKind),
    /// 403 `insufficient_scope` (RFC 6750 section 3.1) with all required scopes. The missing ones alone do not suffice:
    /// the client requests exactly these and would lose the others.
    Scopes(Vec<&'a str>),
    /// 401 `insufficient_user_authentication` (RFC 9470 section 3) with all authentication requirements. A client that
    /// is given only `max_age` would return with a recent but weak authentication.
    Authentication {
        /// `acr_values`: one of these, in the operator's order. Empty if any value is accepted.
        acr_values: Vec<&'a str>,
        /// `max_age` in whole seconds.
        max_age: Option<Duration>,
        /// `scope` (RFC 6750 section 3): all required scopes if some are missing, otherwise empty.
        scopes: Vec<&'a str>,
    },
}

/// Why a requirement is not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnmetReason {
    /// `aud` contains none of the rule's audiences.
    AudienceNotAllowed,
    /// The client is unknown or not one of the rule's clients.
    ClientNotAllowed,
    /// The groups are unknown or contain none of the rule's groups.
    GroupMissing,
    /// A claim is missing or has another value.
    ClaimUnmet,
    /// A condition does not hold.
    ConditionUnmet,
    /// A condition cannot be evaluated for this request and token.
    ConditionFailed(EvaluationError),
    /// `amr` lacks a method.
    MethodMissing,
    /// The requirement in a `not` is met.
    NotConditionMatched,
    /// The token lacks a claim that a `not` requires.
    ClaimMissing,
    /// A required claim is malformed, or its time is in the future.
    ClaimMalformed,
    /// The token is not bound to what the client must prove to have.
    ProofRequired,
    /// The authentication class is unknown or too weak.
    AuthenticationTooWeak,
    /// The authentication time is unknown or too old.
    AuthenticationTooOld,
    /// A required scope is missing.
    ScopeMissing,
    /// No alternative of an `any_of` is met, and no other token would meet one.
    NoAlternative,
}

impl UnmetReason {
    /// All reasons, except those of condition errors ([`EvaluationError::ALL`]).
    pub const ALL: [Self; 14] = [
        Self::AudienceNotAllowed,
        Self::ClientNotAllowed,
        Self::GroupMissing,
        Self::ClaimUnmet,
        Self::ConditionUnmet,
        Self::MethodMissing,
        Self::NotConditionMatched,
        Self::ClaimMissing,
        Self::ClaimMalformed,
        Self::ProofRequired,
        Self::AuthenticationTooWeak,
        Self::AuthenticationTooOld,
        Self::ScopeMissing,
        Self::NoAlternative,
    ];

    /// The stable name of the reason.
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
            Self::ProofRequired => "proof_required",
            Self::AuthenticationTooWeak => "authentication_too_weak",
            Self::AuthenticationTooOld => "authentication_too_old",
            Self::ScopeMissing => "scope_missing",
            Self::NoAlternative => "no_alternative_met",
        }
    }
}

/// What a token needs to meet the terms that a client can act on, and which of these are unmet.
#[derive(Clone, Default)]
struct RequiredRemedy<'a> {
    scopes: Vec<&'a str>,
    acr_values: Option<Vec<&'a str>>,
    max_age: Option<Duration>,
    missing_proof: Option<ProofKind>,
    lacks_scope: bool,
    is_too_weak: bool,
    is_too_old: bool,
}

/// Determines the reason and the remedy.
pub(super) fn unmet<'a>(requirement: &'a Requirement, context: &RequirementContext<'_>) -> Unmet<'a> {
    match RequiredRemedy::default().with(requirement, context) {
        Ok(required) => required.into_unmet(),
        Err(reason) => Unmet { reason, remedy: Remedy::None },
    }
}

impl<'a> RequiredRemedy<'a> {
    /// Adds a requirement, or returns the first reason that no other token would remove.
    fn with(mut self, requirement: &'a Requirement, context: &RequirementContext<'_>) -> Result<Self, UnmetReason> {
        for term in &requirement.terms {
            self.add(term, context)?;
        }
        Ok(self)
    }

    fn add(&mut self, term: &'a Term, context: &RequirementContext<'_>) -> Result<(), UnmetReason> {
        let verdict = term.evaluate(context);
        match verdict {
            _ if matches!(term, Term::AnyOf(_)) => {}
            Verdict::Indeterminate(Indeterminate::Malformed) => return Err(UnmetReason::ClaimMalformed),
            Verdict::Indeterminate(Indeterminate::Condition(error)) => return Err(UnmetReason::ConditionFailed(error)),
            Verdict::Indeterminate(Indeterminate::Missing) | Verdict::Holds | Verdict::Fails => {}
        }
        let is_met = verdict == Verdict::Holds;
        let fail_unless_met = |reason| if is_met { Ok(()) } else { Err(reason) };
        match term {
            Term::Audiences(_) => fail_unless_met(UnmetReason::AudienceNotAllowed),
            Term::Clients(_) => fail_unless_met(UnmetReason::ClientNotAllowed),
            Term::Groups(_) => fail_unless_met(UnmetReason::GroupMissing),
            Term::Claim(_) => fail_unless_met(UnmetReason::ClaimUnmet),
            Term::Condition(_) => fail_unless_met(UnmetReason::ConditionUnmet),
            Term::Methods(_) => fail_unless_met(UnmetReason::MethodMissing),
            Term::Not(_) if verdict == Verdict::Fails => Err(UnmetReason::NotConditionMatched),
            Term::Not(_) => fail_unless_met(UnmetReason::ClaimMissing),
            Term::Proof(kind) if !is_met => {
                // The provider rejects tokens that are bound in this way.
                if context.token.is_some_and(|token| !token.constraint_modes().accept(*kind)) {
                    return Err(UnmetReason::ProofRequired);
                }
                // Of several the most specific: a key has a challenge of its own.
                self.missing_proof = Some(self.missing_proof.map_or(*kind, |other| other.min(*kind)));
                Ok(())
            }
            Term::Proof(_) => Ok(()),
            Term::Authentication(values) => {
                self.is_too_weak |= !is_met;
                self.require_authentication(values.iter().map(String::as_str).collect())
            }
            Term::MaxAge(max_age) => {
                self.is_too_old |= !is_met;
                self.require_max_age(*max_age);
                Ok(())
            }
            Term::Scopes(scopes) => {
                self.lacks_scope |= !is_met;
                scopes.iter().for_each(|scope| push_new(&mut self.scopes, scope));
                Ok(())
            }
            Term::AnyScope(scopes) => {
                self.lacks_scope |= !is_met;
                // RFC 6750 has no "or". A client that is given all of them would request the administrator's scope too.
                // So the challenge names the scope that the token has, or the first.
                let granted =
                    scopes.iter().find(|scope| context.token.is_some_and(|token| token.scopes().contains(scope)));
                granted.or(scopes.first()).into_iter().for_each(|scope| push_new(&mut self.scopes, scope));
                Ok(())
            }
            Term::AnyOf(alternatives) => {
                *self = self.with_one_of(alternatives, context).ok_or(UnmetReason::NoAlternative)?;
                Ok(())
            }
        }
    }

    /// Adds an alternative that is met, or else the first one that a token could meet, in the operator's order. Skips
    /// alternatives whose authentication contradicts the rest.
    fn with_one_of(&self, alternatives: &'a [Requirement], context: &RequirementContext<'_>) -> Option<Self> {
        let is_met = |alternative: &&Requirement| alternative.evaluate(context) == Verdict::Holds;
        let mut met_first = alternatives.iter().filter(is_met).chain(alternatives);
        met_first.find_map(|alternative| self.clone().with(alternative, context).ok())
    }

    fn require_max_age(&mut self, max_age: Duration) {
        self.max_age = Some(self.max_age.map_or(max_age, |other| other.min(max_age)));
    }

    /// A token has one `acr`. Of two requirements only the values that satisfy both remain.
    fn require_authentication(&mut self, values: Vec<&'a str>) -> Result<(), UnmetReason> {
        let Some(required) = &mut self.acr_values else {
            self.acr_values = Some(values);
            return Ok(());
        };
        let meets = |value: &str, classes: &[&str]| classes.iter().any(|class| acr::satisfies(value, class));
        let mut both: Vec<&str> = required.iter().copied().filter(|value| meets(value, &values)).collect();
        both.extend(values.iter().filter(|value| !required.contains(value) && meets(value, required)));
        *required = both;
        if required.is_empty() { Err(UnmetReason::AuthenticationTooWeak) } else { Ok(()) }
    }

    fn into_unmet(self) -> Unmet<'a> {
        if let Some(kind) = self.missing_proof {
            return Unmet { reason: UnmetReason::ProofRequired, remedy: Remedy::BoundToken(kind) };
        }
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
