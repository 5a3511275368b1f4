//! Who may pass under a rule, for people and for comparison.

use okta_proxy_wasm::policy::requirement::Term;
use okta_proxy_wasm::policy::{Access, ProofKind, Requirement, Rule};

use crate::steps::requirement::expected;

/// Who may pass, in a few words.
pub fn describe(rule: &Rule) -> String {
    let required = rule.requirement.as_ref().map(|requirement| terms(requirement));
    let introspected = if rule.introspects { ", introspected" } else { "" };
    let text = match (rule.access, required) {
        (Access::Deny, _) => return String::from("nobody"),
        (Access::Public, None) => return String::from("anyone"),
        (Access::Public, Some(required)) => format!("anyone with {required}"),
        (Access::Optional, None) => format!("anyone, a token must be valid{introspected}"),
        (Access::Optional, Some(required)) => format!("anyone with {required}, a token must be valid{introspected}"),
        (Access::Token, None) => format!("any valid token{introspected}"),
        (Access::Token, Some(required)) => format!("{required}{introspected}"),
    };
    if rule.report_only && rule.requirement.is_some() { format!("any valid token (report only: {text})") } else { text }
}

fn terms(requirement: &Requirement) -> String {
    requirement.terms().iter().map(term).collect::<Vec<_>>().join("; ")
}

fn term(term: &Term) -> String {
    if let Some((name, values)) = expected(term) {
        return format!("{name} {values}");
    }
    let inner: Vec<String> = term.inner().iter().map(|inner| format!("({})", terms(inner))).collect();
    match term.condition() {
        Some(condition) => format!("condition {}", condition.source()),
        None if matches!(term, Term::Not(_)) => format!("not {}", inner.concat()),
        None => inner.join(" or "),
    }
}

/// How the permission of one rule compares with that of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// More requests or tokens are allowed.
    Weaker,
    /// Neither contains the other, as far as can be told.
    Different,
    /// Fewer requests or tokens are allowed.
    Stricter,
}

impl Change {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weaker => "weaker",
            Self::Different => "different",
            Self::Stricter => "stricter",
        }
    }
}

/// The change from one rule to another; `None` if both allow the same requests and tokens.
pub fn compare(old: &Rule, new: &Rule) -> Option<Change> {
    let (old_terms, new_terms) = (enforced(old), enforced(new));
    let (old_access, new_access) = (rank(old.access), rank(new.access));
    let introspection = new.introspects.cmp(&old.introspects);
    if old.access == Access::Deny && new.access == Access::Deny {
        return None;
    }
    let all_imply =
        |terms: &[Term], others: &[Term]| others.iter().all(|other| terms.iter().any(|term| implies(term, other)));
    let (loses, gains) = (!all_imply(new_terms, old_terms), !all_imply(old_terms, new_terms));
    let weaker = new_access < old_access || loses || introspection.is_lt();
    let stricter = new_access > old_access || gains || introspection.is_gt();
    match (weaker, stricter) {
        (false, false) => None,
        // A rule that denies every request is stricter than any other rule.
        _ if old.access == Access::Deny => Some(Change::Weaker),
        _ if new.access == Access::Deny => Some(Change::Stricter),
        (true, false) => Some(Change::Weaker),
        (false, true) => Some(Change::Stricter),
        (true, true) => Some(Change::Different),
    }
}

/// Whether every request that satisfies one term certainly satisfies the other.
fn implies(term: &Term, other: &Term) -> bool {
    match (term, other) {
        (Term::Audiences(few), Term::Audiences(many))
        | (Term::Clients(few), Term::Clients(many))
        | (Term::Groups(few), Term::Groups(many))
        // All of these are required.
        | (Term::Methods(many), Term::Methods(few)) => few.is_subset(many),
        (Term::Authentication(few), Term::Authentication(many)) | (Term::AnyScope(few), Term::AnyScope(many)) => {
            few.iter().all(|value| many.contains(value))
        }
        (Term::Scopes(many), Term::Scopes(few)) => few.iter().all(|scope| many.contains(scope)),
        (Term::Scopes(all), Term::AnyScope(any)) => any.iter().any(|scope| all.contains(scope)),
        (Term::MaxAge(short), Term::MaxAge(long)) => short <= long,
        (Term::Proof(_), Term::Proof(ProofKind::Any)) => true,
        _ => term == other,
    }
}

/// The terms that are not only reported.
fn enforced(rule: &Rule) -> &[Term] {
    rule.requirement.as_ref().filter(|_| !rule.report_only).map_or(&[], |requirement| requirement.terms())
}

const fn rank(access: Access) -> u8 {
    match access {
        Access::Public => 0,
        Access::Optional => 1,
        Access::Token => 2,
        Access::Deny => 3,
    }
}
