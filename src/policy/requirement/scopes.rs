//! The scopes that a requirement asks for, without a token at hand: for clients that have none yet.

use super::{Requirement, Term};

impl Requirement {
    /// All scopes that it names and that some token might bring to meet it, each once.
    pub fn scopes_named(&self) -> Vec<&str> {
        let mut named = Vec::new();
        self.name_scopes(&mut named);
        named
    }

    fn name_scopes<'a>(&'a self, named: &mut Vec<&'a str>) {
        for term in self.terms() {
            // What stands in a `not` is not asked for.
            if let Term::Scopes(scopes) | Term::AnyScope(scopes) = term {
                scopes.iter().for_each(|scope| add(named, scope));
            }
            if let Term::AnyOf(alternatives) = term {
                alternatives.iter().for_each(|alternative| alternative.name_scopes(named));
            }
        }
    }

    /// The scopes to ask for first: of several that would do the first, as a refusal for a missing one tells.
    pub fn scopes_to_ask_for(&self) -> Vec<&str> {
        let mut wanted = Vec::new();
        self.want_scopes(&mut wanted);
        wanted
    }

    fn want_scopes<'a>(&'a self, wanted: &mut Vec<&'a str>) {
        for term in self.terms() {
            if let Term::Scopes(scopes) = term {
                scopes.iter().for_each(|scope| add(wanted, scope));
            }
            if let Term::AnyScope(scopes) = term {
                scopes.first().into_iter().for_each(|scope| add(wanted, scope));
            }
            if let Term::AnyOf(alternatives) = term {
                alternatives.first().into_iter().for_each(|alternative| alternative.want_scopes(wanted));
            }
        }
    }
}

fn add<'a>(scopes: &mut Vec<&'a str>, scope: &'a str) {
    if !scopes.contains(&scope) {
        scopes.push(scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn all_scopes_are_named_and_of_alternatives_the_first_is_asked_for() {
        let list = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>();
        let scopes = |of: &[&str]| Requirement::all(vec![Term::Scopes(list(of))]);
        let requirement = Requirement::all(vec![
            Term::Scopes(list(&["a", "b"])),
            Term::AnyScope(list(&["c", "d"])),
            Term::AnyOf(vec![scopes(&["a", "e"]), scopes(&["f"])]),
            Term::Not(scopes(&["z"])),
            Term::Groups(std::iter::once(String::from("g")).collect()),
        ]);
        assert_eq!(requirement.scopes_named(), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(requirement.scopes_to_ask_for(), ["a", "b", "c", "e"]);
        assert_eq!(Requirement::all(Vec::new()).scopes_to_ask_for(), [""; 0]);
    }
}
