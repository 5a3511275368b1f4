//! `require` -> [`Requirement`]: requirements that a token can meet and that are not ambiguous.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::diagnostics::Diagnostics;
use super::warnings;
use crate::cel::{CompileError, Program};
use crate::config::error::{ConfigErrorKind, Path};
use crate::config::schema::claim_path::ClaimPath;
use crate::config::schema::require::{AcrDocument, ClaimTestDocument, ClaimsDocument, RequireDocument};
use crate::policy::requirement::{ClaimTest, Expected, Term, acr};
use crate::policy::{ProofKind, Requirement};

/// The maximum nesting of `any_of`, `all_of` and `not`.
const MAX_DEPTH: usize = 6;
/// The maximum number of terms of one `require`, which bounds its cost.
const MAX_TERMS: usize = 256;
/// The maximum number of entries of one list.
const MAX_ENTRIES: usize = 1024;
/// The maximum number of scopes and `acr` values, which challenges list: headers are bounded.
const MOST_IN_A_CHALLENGE: usize = 64;

pub(super) const SCOPE_HINT: &str =
    "one scope: ASCII without spaces, quotes and backslashes (RFC 6749 section 3.3); write several as several";

/// Compiles a `require`; `None` with an error.
pub(super) fn requirement(
    document: RequireDocument,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Requirement> {
    let requirement = Requirement::all(terms(document, at, Nesting::default(), diagnostics)?);
    let hint = "more than 256 requirements; have the issuer put the result into a claim";
    diagnostics.check(requirement.size() <= MAX_TERMS, at, hint).then_some(requirement)
}

/// The position of a document in the tree.
#[derive(Clone, Copy, Default)]
struct Nesting {
    depth: usize,
    is_negated: bool,
}

impl Nesting {
    const fn within(self) -> Self {
        Self { depth: self.depth + 1, is_negated: self.is_negated }
    }
}

fn terms(
    document: RequireDocument,
    at: &Path,
    nesting: Nesting,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<Term>> {
    let hint = "`any_of`, `all_of` and `not` are nested more than 6 deep";
    if !diagnostics.check(nesting.depth <= MAX_DEPTH, at, hint) {
        return None;
    }
    let RequireDocument { scopes, any_scope, groups, client_ids, audiences, claims, acr, max_age, amr, proof, .. } =
        document;
    let condition = document.condition.and_then(|text| condition(&text, &at.member("condition"), diagnostics));
    let mut terms = Vec::new();
    terms.extend(scope_names(scopes, &at.member("scopes"), diagnostics).map(Term::Scopes));
    terms.extend(scope_names(any_scope, &at.member("any_scope"), diagnostics).map(Term::AnyScope));
    terms.extend(set(groups, &at.member("groups"), diagnostics).map(Term::Groups));
    terms.extend(set(client_ids, &at.member("client_ids"), diagnostics).map(Term::Clients));
    terms.extend(set(audiences, &at.member("audiences"), diagnostics).map(Term::Audiences));
    terms.extend(condition.map(Rc::new).map(Term::Condition));
    terms.extend(set(amr, &at.member("amr"), diagnostics).map(Term::Methods));
    terms.extend(proof.map(Term::Proof));
    if let Some(claims) = claims {
        terms.extend(claim_tests(claims, &at.member("claims"), diagnostics).into_iter().map(Term::Claim));
    }
    if nesting.is_negated {
        for (name, is_missing) in [("acr", acr.is_none()), ("max_age", max_age.is_none())] {
            // A token without `acr` and `auth_time` would meet the requirement.
            let hint = "not within `not`: no client can be asked for a weaker sign-in";
            diagnostics.check(is_missing, &at.member(name), hint);
        }
    } else {
        terms.extend(authentication(acr, &at.member("acr"), diagnostics).map(Term::Authentication));
        terms.extend(max_age.and_then(|age| whole_seconds(age, &at.member("max_age"), diagnostics)).map(Term::MaxAge));
    }
    for (at, inner) in written(document.all_of, &at.member("all_of"), diagnostics) {
        terms.extend(self::terms(inner, &at, nesting.within(), diagnostics).unwrap_or_default());
    }
    let mut alternatives = Vec::new();
    for (at, inner) in written(document.any_of, &at.member("any_of"), diagnostics) {
        alternatives.extend(self::terms(inner, &at, nesting.within(), diagnostics).map(Requirement::all));
    }
    if !alternatives.is_empty() {
        terms.push(Term::AnyOf(alternatives));
    }
    terms.extend(
        document.not.and_then(|inner| excluded(*inner, &at.member("not"), nesting, diagnostics)).map(Term::Not),
    );
    if at.is_reported(diagnostics.errors) {
        return None;
    }
    let hint = "no token can meet this: what it requires is excluded by its own `not`";
    (diagnostics.check(!terms.is_empty(), at, "requires nothing; remove it, or write what the token must have")
        && diagnostics.check(!contradict(&terms), at, hint))
    .then_some(terms)
}

fn written(
    documents: Option<Vec<RequireDocument>>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Vec<(Path, RequireDocument)> {
    let documents = some(documents, at, diagnostics).unwrap_or_default();
    documents.into_iter().enumerate().map(|(index, document)| (at.item(index), document)).collect()
}

/// The operand of `not`. Some read "not a and b" as "neither", so several members must say which.
fn excluded(
    document: RequireDocument,
    at: &Path,
    nesting: Nesting,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Requirement> {
    let written = members(&document);
    let inner = terms(document, at, Nesting { is_negated: true, ..nesting.within() }, diagnostics)?;
    if written > 1 {
        diagnostics.invalid(at, "several members: write {\"any_of\": [...]} to exclude each, {\"all_of\": [...]} to exclude only what meets all");
        return None;
    }
    Some(Requirement::all(inner))
}

fn members(document: &RequireDocument) -> usize {
    let RequireDocument {
        scopes,
        any_scope,
        groups,
        client_ids,
        audiences,
        claims,
        acr,
        max_age,
        amr,
        proof,
        condition,
        any_of,
        all_of,
        not,
    } = document;
    let claims = match claims {
        None => 0,
        Some(ClaimsDocument::ByName(tests)) => tests.len(),
        Some(ClaimsDocument::List(tests)) => tests.len(),
    };
    let lists = [scopes, any_scope, groups, client_ids, audiences, amr].iter().filter(|list| list.is_some()).count();
    let others = [
        acr.is_some(),
        max_age.is_some(),
        proof.is_some(),
        condition.is_some(),
        any_of.is_some(),
        all_of.is_some(),
        not.is_some(),
    ];
    claims + lists + others.iter().filter(|is_written| **is_written).count()
}

/// Whether a term is certain to fail where the others hold.
fn contradict(terms: &[Term]) -> bool {
    let is_implied = |inner: &Term| terms.iter().any(|term| implies(term, inner));
    terms.iter().any(|term| matches!(term, Term::Not(inner) if inner.terms().iter().all(is_implied)))
}

fn implies(term: &Term, other: &Term) -> bool {
    match (term, other) {
        (Term::Scopes(granted), Term::AnyScope(some)) => granted.iter().any(|scope| some.contains(scope)),
        (Term::Scopes(granted), Term::Scopes(all)) => all.iter().all(|scope| granted.contains(scope)),
        (Term::Groups(few), Term::Groups(many))
        | (Term::Clients(few), Term::Clients(many))
        | (Term::Audiences(few), Term::Audiences(many)) => few.is_subset(many),
        (Term::Proof(_), Term::Proof(ProofKind::Any)) => true,
        (term, other) => term == other,
    }
}

/// A list of strings in order, each once; `None` without a value and with an error.
fn texts(
    list: Option<Vec<String>>,
    is_usable: impl Fn(&str) -> bool,
    hint: &'static str,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<String>> {
    let list = some(list, at, diagnostics)?;
    let mut seen = BTreeSet::new();
    for (index, text) in list.iter().enumerate() {
        let at = at.item(index);
        if diagnostics.check(is_usable(text), &at, hint) {
            diagnostics.check(seen.insert(text), &at, "named twice");
        }
    }
    (!at.is_reported(diagnostics.errors)).then_some(list)
}

/// A list of at least one and not too many.
fn some<T>(list: Option<Vec<T>>, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<Vec<T>> {
    diagnostics.not_empty(list, at).filter(|list| {
        let hint = "more than 1024 entries; have the issuer put the result into a claim";
        diagnostics.check(list.len() <= MAX_ENTRIES, at, hint)
    })
}

fn set(list: Option<Vec<String>>, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<BTreeSet<String>> {
    let is_usable = |text: &str| !text.is_empty() && text.trim() == text;
    let texts = texts(list, is_usable, "empty, or with a space before or after it", at, diagnostics)?;
    Some(texts.into_iter().collect())
}

fn scope_names(list: Option<Vec<String>>, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<Vec<String>> {
    texts(list, stands_in_a_challenge, SCOPE_HINT, at, diagnostics)
        .filter(|scopes| fits_into_a_challenge(scopes, at, diagnostics))
}

fn fits_into_a_challenge(words: &[String], at: &Path, diagnostics: &mut Diagnostics<'_>) -> bool {
    let hint = "more than 64 entries; they would not fit into the challenge that names them";
    diagnostics.check(words.len() <= MOST_IN_A_CHALLENGE, at, hint)
}

/// The characters that RFC 6749 (appendix A) allows in scopes and RFC 9470 in `acr` values, separated by spaces.
pub(super) fn stands_in_a_challenge(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

fn authentication(document: Option<AcrDocument>, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<Vec<String>> {
    const UNKNOWN: &str = "like one of Okta's values and none of them; they are `phrh`, `phr`, `urn:okta:loa:2fa:any`, `urn:okta:loa:2fa:any:ifpossible`, `urn:okta:loa:1fa:any` and `urn:okta:loa:1fa:pwd`; other issuers' are ASCII without spaces, quotes and backslashes";
    let is_usable = |value: &str| {
        let lower = value.to_ascii_lowercase();
        // A typing error here would require a sign-in that does not exist.
        let is_like_oktas = lower.starts_with("urn:okta:") || lower.starts_with("phr");
        acr::OKTA_VALUES.contains(&value) || (stands_in_a_challenge(value) && !is_like_oktas)
    };
    let values = texts(document.map(|document| document.0), is_usable, UNKNOWN, at, diagnostics)
        .filter(|values| fits_into_a_challenge(values, at, diagnostics))?;
    if values.iter().any(|value| value == "urn:okta:loa:2fa:any:ifpossible") {
        diagnostics.warn(&warnings::WEAK_ACR, at);
    }
    Some(values)
}

fn condition(text: &str, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<Program> {
    let parsed = Program::compile(text);
    let errors = |found: Vec<CompileError>| found.into_iter().map(|error| at.error(ConfigErrorKind::Condition(error)));
    parsed.map_err(|found| diagnostics.errors.extend(errors(found))).ok()
}

/// `max_age` is an integer of seconds (RFC 9470). With 0 every sign-in is too old when its token arrives.
fn whole_seconds(age: Duration, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<Duration> {
    let is_whole = age.subsec_nanos() == 0 && !age.is_zero();
    diagnostics.check(is_whole, at, "whole seconds, at least \"1s\"").then_some(age)
}

fn claim_tests(document: ClaimsDocument, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Vec<ClaimTest> {
    let documents: Vec<(Path, Option<ClaimPath>, ClaimTestDocument)> = match document {
        ClaimsDocument::ByName(tests) => tests
            .into_iter()
            .map(|(name, mut test)| {
                let at = at.member(&name);
                if test.claim.take().is_some() {
                    diagnostics.invalid(
                        &at.member("claim"),
                        "the name before it is the claim; for a path use the list form: [{\"claim\": [...], ...}]",
                    );
                }
                (at, Some(ClaimPath(vec![name])), test)
            })
            .collect(),
        ClaimsDocument::List(tests) => {
            tests.into_iter().enumerate().map(|(index, mut test)| (at.item(index), test.claim.take(), test)).collect()
        }
    };
    if documents.is_empty() && !at.is_reported(diagnostics.errors) {
        diagnostics.invalid(at, "no claim is named; leave the field out or name at least one");
    }
    let mut tests: Vec<ClaimTest> = Vec::new();
    for (at, path, document) in documents {
        if path.as_ref().is_some_and(|ClaimPath(path)| path.iter().any(String::is_empty)) {
            diagnostics.invalid(&at, "the name of a claim is not empty");
        }
        let path = diagnostics.required(
            path,
            &at.member("claim"),
            "write the name of the claim, or the names on the way to it",
        );
        let expected = expected(document, &at, diagnostics);
        let (Some(ClaimPath(path)), Some(expected)) = (path, expected) else { continue };
        if let [name] = path.as_slice()
            && ["scp", "scope"].contains(&name.as_str())
        {
            // As a string, "read write" is neither "read" nor "write"; in `not` every token would pass.
            diagnostics.invalid(&at, "scopes have fields of their own: `scopes` and `any_scope`");
            continue;
        }
        let is_against = |other: &ClaimTest| {
            other.path == path && (other.expected == Expected::Absence) != (expected == Expected::Absence)
        };
        if tests.iter().any(is_against) {
            diagnostics
                .invalid(&at, "contradicts another test of the same claim, one of which wants it not to be there");
        }
        tests.push(ClaimTest { path, expected });
    }
    tests
}

fn expected(document: ClaimTestDocument, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<Expected> {
    const HINT: &str = "exactly one test: `equals`, `contains`, `one_of`, `contains_all` or `exists`";
    let one_of = some(document.one_of, &at.member("one_of"), diagnostics);
    let contains_all = some(document.contains_all, &at.member("contains_all"), diagnostics);
    let mut tests = [
        document.equals.map(|value| Expected::OneOf(vec![value])),
        document.contains.map(|value| Expected::OneOf(vec![value])),
        one_of.map(Expected::OneOf),
        contains_all.map(Expected::AllOf),
        document.exists.map(|exists| if exists { Expected::Presence } else { Expected::Absence }),
    ]
    .into_iter()
    .flatten();
    let first = tests.next();
    if (first.is_none() || tests.next().is_some()) && !at.is_reported(diagnostics.errors) {
        diagnostics.invalid(at, HINT);
        return None;
    }
    first
}

#[cfg(test)]
#[path = "requirement/random_tests.rs"]
mod random_tests;
#[cfg(test)]
#[path = "requirement/tests.rs"]
mod tests;
