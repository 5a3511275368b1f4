//! Warnings about servers and locations: where no filter runs, and directives that respond, forward or redirect without it.

use super::backends::{self, PASSES};
use super::scopes::{Kind, Matcher, Scope, Scopes};
use super::syntax::Directive;
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};

/// The warnings of a file, each once.
#[derive(Default)]
pub(super) struct Report {
    pub(super) warnings: Vec<HostDiagnostic>,
}

impl Report {
    pub(super) fn warn(&mut self, code: HostCode, directive: &Directive, message: &str, fix: &str) {
        let warning = directive.diagnostic(code, message, fix.to_owned());
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

pub(super) fn warn(scopes: &Scopes<'_>, report: &mut Report) {
    for scope in scopes.iter() {
        let Some(directive) = scope.directive else { continue };
        match scope.kind {
            Kind::Http => {}
            Kind::Server => warn_of_server(scopes, scope, directive, report),
            Kind::Location if scopes.is_protected(scope) => {
                warn_of_early_responses(scope, report);
                warn_of_subrequests(scopes, scope, report);
                if scopes.remove_tokens(scope) {
                    warn_of_second_runs(scopes, scope, directive, report);
                }
                backends::warn(scope, directive, report);
            }
            Kind::Location => warn_of_unprotected_location(scopes, scope, directive, report),
        }
    }
}

/// Whether the scope serves nothing: it responds itself, or denies everybody.
fn serves_nothing(scope: &Scope<'_>) -> bool {
    let denies = scope.own("deny").iter().any(|deny| deny.argument(0) == "all");
    scope.has("return") || denies && !scope.has("allow") && !scope.has("satisfy")
}

fn passes(scope: &Scope<'_>) -> bool {
    scope.with_conditional().iter().any(|(directive, _)| PASSES.contains(&directive.name.value.as_str()))
}

/// Requests that no location matches are the server's own.
fn warn_of_server(scopes: &Scopes<'_>, scope: &Scope<'_>, directive: &Directive, report: &mut Report) {
    if scopes.is_protected(scope) || serves_nothing(scope) {
        return;
    }
    if !scopes.locations(scope).any(|location| scopes.is_protected(location)) {
        if scopes.locations(scope).all(serves_nothing) && has_location_for_all(scopes, scope) {
            return;
        }
        report.warn(
            HostCode::NGINX_SERVER_WITHOUT_FILTER,
            directive,
            "no okta-proxy-wasm filter is in effect in this server, and it forwards or serves every request without a check",
            "add `proxy_wasm` to the server, or remove the server",
        );
    } else if !has_location_for_all(scopes, scope) {
        report.warn(
            HostCode::NGINX_SERVER_WITHOUT_FILTER,
            directive,
            "requests that no location of this server matches are served from files without a check",
            "write `location / { return 404; }`, or move `proxy_wasm` from the locations to the server",
        );
    }
}

fn has_location_for_all(scopes: &Scopes<'_>, server: &Scope<'_>) -> bool {
    let mut locations = scopes.locations(server).filter_map(|location| location.directive);
    locations.any(|location| Matcher::of(location) == Matcher::Prefix("/"))
}

fn warn_of_unprotected_location(scopes: &Scopes<'_>, scope: &Scope<'_>, directive: &Directive, report: &mut Report) {
    let server = scopes.server(scope);
    // One warning for a server without any filter.
    let is_alone = server.is_some_and(|server| {
        !scopes.is_protected(server) && !scopes.locations(server).any(|location| scopes.is_protected(location))
    });
    if is_alone || serves_nothing(scope) {
        return;
    }
    let matcher = Matcher::of(directive);
    let is_internal = scope.has("internal") || matches!(matcher, Matcher::Named(_));
    if !is_internal {
        let replaced = if scope.has("proxy_wasm") || scope.has("wasm_call") {
            "; its own `proxy_wasm` and `wasm_call` replace those of the outer block"
        } else {
            ""
        };
        let verb = if passes(scope) { "forwarded" } else { "served" };
        report.warn(
            HostCode::NGINX_LOCATION_WITHOUT_FILTER,
            directive,
            &format!(
                "no okta-proxy-wasm filter is in effect in this location, and every request that it matches is {verb} without a \
                 check{replaced}"
            ),
            "add `proxy_wasm` to the location or to the server",
        );
        return;
    }
    // nginx makes some errors, such as 413, before it runs any filter.
    let mut pages = server.into_iter().flat_map(|server| {
        let inner = scopes.locations(server).flat_map(|location| location.own("error_page"));
        inner.chain(scopes.in_effect(server, "error_page"))
    });
    let is_target = |page: &Directive| match matcher {
        Matcher::Named(path) | Matcher::Exact(path) => page.last_argument() == path,
        Matcher::Prefix(path) => page.last_argument().starts_with(path),
        Matcher::Regex => false,
    };
    if passes(scope)
        && let Some(page) = pages.find(|page| is_target(page))
    {
        report.warn(
            HostCode::NGINX_LOCATION_WITHOUT_FILTER,
            directive,
            &format!(
                "`error_page` ({}) leads here for errors that nginx makes before the filter runs (413, for example), and no \
                 okta-proxy-wasm filter is in effect in this location",
                page.location()
            ),
            "add `proxy_wasm` to it",
        );
    }
}

/// The directives of the rewrite module run in the filter's phase.
fn warn_of_early_responses(scope: &Scope<'_>, report: &mut Report) {
    for (directive, _) in scope.with_conditional() {
        match directive.name.value.as_str() {
            "return" if !is_error(directive) => report.warn(
                HostCode::NGINX_EARLY_RESPONSE,
                directive,
                "`return` responds also to requests that the filter denies",
                "if everybody may see the response, move it to a location that does not inherit the filter, otherwise remove it",
            ),
            "rewrite" if is_redirect(directive) => report.warn(
                HostCode::NGINX_EARLY_RESPONSE,
                directive,
                "this `rewrite` redirects also requests that the filter denies",
                "move it to `server {}`, if everybody may see the redirect, or remove it",
            ),
            "rewrite" if directive.argument(2) != "break" => report.warn(
                HostCode::NGINX_REWRITE,
                directive,
                "`rewrite` without `break` leads to another location after the filter has denied a request: the backend executes \
                 the request, and the filter can only withhold the response (500)",
                "write the flag `break`, or move the directive to `server {}`",
            ),
            _ => {}
        }
    }
}

/// `return 403`: denied anyway. 444 closes the connection.
fn is_error(directive: &Directive) -> bool {
    let status = directive.argument(0);
    status.len() == 3 && status.starts_with(['4', '5'])
}

fn is_redirect(rewrite: &Directive) -> bool {
    let is_absolute = ["http://", "https://", "$scheme"].iter().any(|start| rewrite.argument(1).starts_with(start));
    is_absolute || ["redirect", "permanent"].contains(&rewrite.argument(2))
}

fn warn_of_subrequests(scopes: &Scopes<'_>, scope: &Scope<'_>, report: &mut Report) {
    for name in ["mirror", "auth_request"] {
        for directive in scopes.in_effect(scope, name) {
            if directive.argument(0) != "off" {
                report.warn(
                    HostCode::NGINX_SUBREQUEST,
                    directive,
                    &format!(
                        "`{name}` makes a subrequest of a request that the filter handles, which this host does not support"
                    ),
                    &format!("remove it, or write `{name} off;` in the locations with the filter"),
                );
            }
        }
    }
}

/// An internal redirect runs the filter of the new location again.
fn warn_of_second_runs(scopes: &Scopes<'_>, scope: &Scope<'_>, location: &Directive, report: &mut Report) {
    let mut warn = |directive: &Directive, what: &str| {
        report.warn(
            HostCode::NGINX_SECOND_RUN,
            directive,
            &format!("{what} an internal redirect, after which the filter runs again and finds no token (401)"),
            "set `token.forward` to `true`, or lead to an `internal` location without the filter",
        );
    };
    for directive in scopes.in_effect(scope, "error_page") {
        if is_protected_target(scopes, scope, directive.last_argument()) {
            warn(directive, "`error_page` makes");
        }
    }
    if serves_nothing(scope) {
        return;
    }
    // Not inherited by a location inside of another one.
    for directive in scope.own("try_files") {
        if is_protected_target(scopes, scope, directive.last_argument()) {
            warn(directive, "`try_files` makes");
        }
    }
    let is_file = matches!(Matcher::of(location), Matcher::Exact(path) if !path.ends_with('/'));
    if !passes(scope) && !scope.has("try_files") && !is_file {
        let index = scopes.in_effect(scope, "index");
        let directive = index.first().copied().unwrap_or(location);
        warn(directive, "for a path that ends in `/`, `index` makes");
    }
}

/// Whether an internal redirect to this address runs the filter. Regular expressions are not compared.
fn is_protected_target(scopes: &Scopes<'_>, scope: &Scope<'_>, target: &str) -> bool {
    let target = target.split('?').next().unwrap_or_default();
    if target.starts_with('=') || target.contains("://") {
        return false;
    }
    // With a variable it may be this location again.
    let length = |location: &Scope<'_>| match Matcher::of(location.directive?) {
        Matcher::Exact(path) | Matcher::Named(path) if path == target => Some(usize::MAX),
        Matcher::Prefix(path) if target.starts_with(path) => Some(path.len()),
        Matcher::Exact(_) | Matcher::Named(_) | Matcher::Prefix(_) | Matcher::Regex => None,
    };
    let locations = scopes.server(scope).into_iter().flat_map(|server| scopes.locations(server));
    let found = locations.filter_map(|location| Some((length(location)?, location)));
    let found = found.max_by_key(|(length, _)| *length);
    scopes.is_protected(found.map_or(scope, |(_, location)| location))
}
