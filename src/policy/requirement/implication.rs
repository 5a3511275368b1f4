//! Which requirements follow from others, as far as their terms show it.

use super::{Requirement, Term};

impl Requirement {
    /// Whether what meets this requirement certainly meets the other.
    pub fn implies(&self, other: &Self) -> bool {
        other.terms().iter().all(|term| self.terms().iter().any(|own| own.implies(term)))
    }
}

impl Term {
    /// Whether what meets this term certainly meets the other.
    pub fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scopes(granted), Self::AnyScope(some)) => granted.iter().any(|scope| some.contains(scope)),
            (Self::Scopes(granted), Self::Scopes(all)) => all.iter().all(|scope| granted.contains(scope)),
            (Self::Groups(few), Self::Groups(many))
            | (Self::Clients(few), Self::Clients(many))
            | (Self::Audiences(few), Self::Audiences(many)) => few.is_subset(many),
            (term, other) => term == other,
        }
    }
}
