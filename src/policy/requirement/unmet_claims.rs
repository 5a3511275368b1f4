//! The claims that cause a denial, for diagnosis.

use super::{Requirement, RequirementContext, Term, Verdict};
use crate::http::push_new;
use crate::policy::provider::ClaimNames;
use crate::policy::validate::ValidatedToken;
use crate::unix_time::UnixTime;

impl Requirement {
    /// The claims of all terms that this token does not certainly meet, each once, as paths of names. All alternatives
    /// are included. Claims that a condition reads are not included.
    pub fn unmet_claims(&self, token: &ValidatedToken, now: UnixTime, names: &ClaimNames) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        self.add_unmet(&RequirementContext { token: Some(token), now, request: None }, names, &mut found);
        found
    }

    fn add_unmet(&self, context: &RequirementContext<'_>, names: &ClaimNames, found: &mut Vec<Vec<String>>) {
        for term in self.terms.iter().filter(|term| term.evaluate(context) != Verdict::Holds) {
            if let Term::Not(inner) = term {
                // In a `not`, the terms that hold cause the denial.
                inner.terms.iter().filter_map(|term| term.claim(names)).for_each(|path| push_new(found, path));
            } else {
                term.claim(names).into_iter().for_each(|path| push_new(found, path));
                term.inner().iter().for_each(|alternative| alternative.add_unmet(context, names, found));
            }
        }
    }
}

impl Term {
    /// The claim of the term. If it has several possible names, the first.
    fn claim(&self, names: &ClaimNames) -> Option<Vec<String>> {
        let named = |name: &str| Some(vec![name.to_owned()]);
        match self {
            Self::Audiences(_) => named("aud"),
            Self::Clients(_) => names.client.first().and_then(|name| named(name)),
            Self::Groups(_) => Some(names.groups.to_vec()),
            Self::Claim(test) => Some(test.path.clone()),
            Self::Methods(_) => named("amr"),
            Self::Proof(_) => named("cnf"),
            Self::Authentication(_) => named("acr"),
            Self::MaxAge(_) => named("auth_time"),
            Self::Scopes(_) | Self::AnyScope(_) => names.scope.first().and_then(|name| named(name)),
            Self::Condition(_) | Self::Not(_) | Self::AnyOf(_) => None,
        }
    }
}
