//! The scopes of a requirement, for clients that have no token yet.

use super::{Requirement, Term};
use crate::http::push_new;

impl Requirement {
    /// All scopes that a token could use to meet the requirement, each once.
    pub fn all_scopes(&self) -> Vec<&str> {
        let mut named = Vec::new();
        self.add_named_scopes(&mut named);
        named
    }

    fn add_named_scopes<'a>(&'a self, named: &mut Vec<&'a str>) {
        for term in self.terms() {
            // Scopes in a `not` are not required.
            if let Term::Scopes(scopes) | Term::AnyScope(scopes) = term {
                scopes.iter().for_each(|scope| push_new(named, scope));
            }
            if let Term::AnyOf(alternatives) = term {
                alternatives.iter().for_each(|alternative| alternative.add_named_scopes(named));
            }
        }
    }

    /// The scopes to request first. Of several alternatives the first, as in an `insufficient_scope` challenge.
    pub fn scopes_to_request(&self) -> Vec<&str> {
        let mut initial = Vec::new();
        self.add_initial_scopes(&mut initial);
        initial
    }

    fn add_initial_scopes<'a>(&'a self, initial: &mut Vec<&'a str>) {
        for term in self.terms() {
            if let Term::Scopes(scopes) = term {
                scopes.iter().for_each(|scope| push_new(initial, scope));
            }
            if let Term::AnyScope(scopes) = term {
                scopes.first().into_iter().for_each(|scope| push_new(initial, scope));
            }
            if let Term::AnyOf(alternatives) = term {
                alternatives.first().into_iter().for_each(|alternative| alternative.add_initial_scopes(initial));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scopes_are_named_and_the_first_alternative_is_requested() {
        let list = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>();
        let scopes = |of: &[&str]| Requirement::all(vec![Term::Scopes(list(of))]);
        let requirement = Requirement::all(vec![
            Term::Scopes(list(&["a", "b"])),
            Term::AnyScope(list(&["c", "d"])),
            Term::AnyOf(vec![scopes(&["a", "e"]), scopes(&["f"])]),
            Term::Not(scopes(&["z"])),
            Term::Groups(std::iter::once(String::from("g")).collect()),
        ]);
        assert_eq!(requirement.all_scopes(), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(requirement.scopes_to_request(), ["a", "b", "c", "e"]);
        assert_eq!(Requirement::all(Vec::new()).scopes_to_request(), [""; 0]);
    }
}
