//! `rules` -> [`Rules`]: rules that some request can match, with requirements that can have an effect.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::diagnostics::{Diagnostics, present};
use super::requirement::requirement;
use super::warnings;
use crate::config::error::Path;
use crate::config::schema::rules::{DefaultRuleDocument, MatchDocument, RuleDocument};
use crate::policy::{
    Access, AmbiguousHosts, AmbiguousPaths, CaseSensitivity, HostPattern, Method, PathPattern, PatternFault, Providers,
    Route, Router, Rule, Rules, TokenSource,
};

/// The fields about rules.
pub(super) struct RulesDocument {
    pub(super) rules: Option<Vec<RuleDocument>>,
    pub(super) default_rule: Option<DefaultRuleDocument>,
    pub(super) bypass_cors_preflight: bool,
    pub(super) insecure_ambiguous_paths: bool,
    pub(super) strict_path_spelling: bool,
    pub(super) insecure_ambiguous_hosts: bool,
    /// Whether `responses.login` is configured.
    pub(super) login: bool,
    pub(super) introspecting: Introspecting,
}

/// Which providers have `introspection`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Introspecting {
    All,
    NotAll,
    /// Unknown because of another error.
    Unknown,
}

impl Introspecting {
    pub(super) fn of(providers: Option<&Providers>) -> Self {
        match providers {
            None => Self::Unknown,
            Some(providers) if providers.iter().all(|(_, provider)| provider.introspection.is_some()) => Self::All,
            Some(_) => Self::NotAll,
        }
    }
}

impl RulesDocument {
    /// Warns of settings that have no effect.
    pub(super) fn warn_of_redirects(&self, token_source: &TokenSource, at: &Path, diagnostics: &mut Diagnostics<'_>) {
        let of_rules = self.rules.iter().flatten().map(|rule| rule.redirect_browsers);
        let of_default = self.default_rule.iter().map(|rule| rule.redirect_browsers);
        let redirects = of_rules.chain(of_default).any(|wanted| wanted == Some(true));
        if self.login && !redirects {
            diagnostics.warn(&warnings::UNUSED_LOGIN, &at.member("responses").member("login"));
        }
        if redirects && token_source.cookies.is_empty() {
            diagnostics.warn(&warnings::REDIRECT_WITHOUT_COOKIE, &at.member("token"));
        }
    }
}

/// Compiles the rules, with their matches in the same order; `None` with an error.
pub(super) fn rules(
    document: RulesDocument,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<(Rules, Vec<Route>)> {
    let ambiguous = if document.insecure_ambiguous_paths {
        diagnostics.insecure(&warnings::INSECURE_AMBIGUOUS_PATHS, &at.member("insecure_ambiguous_paths"));
        AmbiguousPaths::InsecureAllow
    } else {
        AmbiguousPaths::Reject
    };
    let ambiguous_hosts = if document.insecure_ambiguous_hosts {
        diagnostics.insecure(&warnings::INSECURE_AMBIGUOUS_HOSTS, &at.member("insecure_ambiguous_hosts"));
        AmbiguousHosts::InsecureAllow
    } else {
        AmbiguousHosts::Reject
    };
    let has_login = document.login || at.member("responses").is_reported(diagnostics.errors);
    let introspecting = if at.member("providers").is_reported(diagnostics.errors) {
        Introspecting::Unknown
    } else {
        document.introspecting
    };
    let mut names = BTreeSet::new();
    let (mut routes, mut rules) = (Vec::new(), Vec::new());
    let documents = document.rules.unwrap_or_default();
    let written = documents.len();
    for (index, document) in documents.into_iter().enumerate() {
        let at = at.member("rules").item(index);
        if document.name.as_ref().is_some_and(|name| !names.insert(name.clone())) {
            diagnostics.invalid(&at.member("name"), "another rule has this name; the log could not tell them apart");
        }
        let name = document.name.filter(|name| is_name(name, &at.member("name"), diagnostics));
        let access = document.access.unwrap_or_default();
        let route = route(document.conditions.unwrap_or_default(), access, ambiguous, &at.member("match"), diagnostics);
        let access_rule = DefaultRuleDocument {
            access: document.access,
            require: document.require,
            report_only: document.report_only,
            redirect_browsers: document.redirect_browsers,
            introspect: document.introspect,
        };
        let rule = rule(name, access_rule, (has_login, introspecting), &at, diagnostics);
        routes.extend(route);
        rules.extend(rule);
    }
    let default_rule = document.default_rule.unwrap_or_default();
    let default_rule = rule(None, default_rule, (has_login, introspecting), &at.member("default_rule"), diagnostics);
    let complete = routes.len() == written && rules.len() == written;
    let (router, default_rule) = (Router::new(routes.clone()).with_ambiguous_hosts(ambiguous_hosts), default_rule?);
    complete.then(|| {
        let rules = Rules::new(router, rules, default_rule, ambiguous, document.bypass_cors_preflight)
            .with_strict_path_spelling(document.strict_path_spelling);
        (rules, routes)
    })
}

fn rule(
    name: Option<String>,
    document: DefaultRuleDocument,
    (has_login, introspecting): (bool, Introspecting),
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Rule> {
    let access = document.access.unwrap_or_default();
    let report_only = document.report_only.unwrap_or(false);
    let redirect_browsers = document.redirect_browsers.unwrap_or(false);
    let introspects = document.introspect.unwrap_or(false);
    let has_requirement = document.require.is_some();
    let requirement = document.require.map(|document| requirement(document, &at.member("require"), diagnostics));
    let needs_token = requirement
        .as_ref()
        .is_some_and(|compiled| compiled.as_ref().is_none_or(|compiled| !compiled.is_request_only()));
    match access {
        Access::Deny if has_requirement => {
            diagnostics.invalid(&at.member("require"), "never looked at: with this `access` nobody passes");
        }
        Access::Public if needs_token => diagnostics.invalid(
            &at.member("require"),
            "with this `access` no token is looked at; there can be a `condition` on the request alone",
        ),
        Access::Optional if needs_token => diagnostics.invalid(
            &at.member("require"),
            "who leaves the token out would pass, and who has one might not; use \"token\", or a rule each",
        ),
        Access::Public | Access::Optional | Access::Token | Access::Deny => {}
    }
    let hint = "there is no `require` whose refusals could be reported";
    diagnostics.check(has_requirement || !report_only, &at.member("report_only"), hint);
    if redirect_browsers {
        let at = at.member("redirect_browsers");
        match access {
            Access::Public | Access::Deny => {
                diagnostics.invalid(&at, "never happens: with this `access` no sign-in makes a difference");
            }
            Access::Optional | Access::Token => {
                diagnostics.check(has_login, &at, "there is nowhere to send them; write `responses.login`");
            }
        }
    }
    if introspects {
        let at = at.member("introspect");
        match (access, introspecting) {
            (Access::Public | Access::Deny, _) => {
                diagnostics.invalid(&at, "never happens: with this `access` no token is looked at");
            }
            (Access::Optional | Access::Token, Introspecting::NotAll) => diagnostics.invalid(
                &at,
                "a provider has no `introspection`: its tokens could not be asked about, and none of them would pass",
            ),
            (Access::Optional | Access::Token, Introspecting::All | Introspecting::Unknown) => {}
        }
    }
    let requirement = present(requirement)?.map(Rc::new);
    Some(Rule { name: name.map(Into::into), access, requirement, report_only, redirect_browsers, introspects })
}

fn is_name(name: &str, at: &Path, diagnostics: &mut Diagnostics<'_>) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_plain);
    diagnostics.check(is_name, at, "1 to 64 letters, digits, `-`, `_` and `.`: it becomes part of logs and metrics")
}

fn route(
    document: MatchDocument,
    access: Access,
    ambiguous: AmbiguousPaths,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Route> {
    let hosts = all(document.hosts, HostPattern::parse, &at.member("hosts"), diagnostics);
    let methods = all(document.methods, Method::parse, &at.member("methods"), diagnostics);
    let case =
        if document.ignore_case.unwrap_or(false) { CaseSensitivity::Insensitive } else { CaseSensitivity::Sensitive };
    if case == CaseSensitivity::Insensitive && matches!(access, Access::Public | Access::Optional) {
        diagnostics.invalid(
            &at.member("ignore_case"),
            "not for a rule that lets requests pass without a token: where the backend tells letters apart, it would open other paths too",
        );
    }
    let path = match (document.path, document.path_prefix, document.path_regex) {
        (None, None, None) => (Ok(PathPattern::ANY), ""),
        (Some(text), None, None) => (PathPattern::exact(&text, case, ambiguous), "path"),
        (None, Some(text), None) => (PathPattern::prefix(&text, case, ambiguous), "path_prefix"),
        (None, None, Some(text)) => (PathPattern::regex(&text, case, ambiguous), "path_regex"),
        _ => {
            diagnostics.invalid(at, "one of `path`, `path_prefix` and `path_regex`");
            return None;
        }
    };
    let path = usable(path.0, &at.member(path.1), diagnostics);
    // All parts are compiled before, so that every error is listed.
    Some(Route { hosts: hosts?, path: path?, methods: methods? })
}

fn all<T>(
    texts: Option<Vec<String>>,
    parse: impl Fn(&str) -> Result<T, PatternFault>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<T>> {
    let Some(texts) = texts else { return Some(Vec::new()) };
    if !diagnostics.check(!texts.is_empty(), at, "an empty list: no request would come under this rule") {
        return None;
    }
    diagnostics.each(texts, at, |diagnostics, text, at, _| usable(parse(&text), at, diagnostics))
}

fn usable<T>(parsed: Result<T, PatternFault>, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<T> {
    diagnostics.accept(parsed.map_err(|fault| fault.hint()), at)
}
