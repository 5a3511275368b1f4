//! Settings outside of the locations: the `wasm` block, isolation, headers, paths and the access log.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;

use super::locations::Report;
use super::module_exports;
use super::scopes::{Kind, Scope, Scopes};
use super::syntax::Directive;
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};
use crate::plugin::visit;

/// All three are needed: otherwise nginx verifies no certificate of a callout.
const VERIFICATION: [(&str, &str); 3] = [
    ("tls_trusted_certificate", "tls_trusted_certificate /etc/ssl/certs/ca-certificates.crt;"),
    ("tls_verify_cert", "tls_verify_cert on;"),
    ("tls_verify_host", "tls_verify_host on;"),
];
/// A callback that the module for Envoy does not export.
const CALLBACK: &str = "proxy_on_response_headers";
/// The format of an access log without a name of one.
const DEFAULT_FORMAT: &str = "combined";
/// Variables with queries or credentials, where clients put tokens.
const SECRET_VARIABLES: [&str; 9] = [
    "request",
    "request_uri",
    "args",
    "query_string",
    "http_referer",
    "http_authorization",
    "http_cookie",
    "arg_access_token",
    "arg_token",
];

/// The faults and warnings of the file's own `wasm` block; none for a file that `http` includes.
pub(super) fn check_wasm(
    file: &[Directive],
    scopes: &Scopes<'_>,
    filters: &[&Directive],
    documents: &[Value],
    report: &mut Report,
) -> Vec<HostDiagnostic> {
    let mut faults = Vec::new();
    let Some(wasm) = file.iter().find(|directive| directive.is("wasm")) else { return faults };
    let upstreams = upstreams(documents);
    let settings = wasm.directives();
    let lacks = |name: &str| {
        let set = settings.iter().rfind(|directive| directive.is(name));
        !set.is_some_and(|set| name == "tls_trusted_certificate" || set.argument(0) == "on")
    };
    let missing: Vec<&str> = VERIFICATION.iter().filter(|(name, _)| lacks(name)).map(|(_, line)| *line).collect();
    if !missing.is_empty() && !upstreams.is_empty() {
        faults.push(wasm.diagnostic(
            HostCode::NGINX_TLS_NOT_VERIFIED,
            "nginx does not verify the certificates of upstreams, and the filter accepts the keys of an impostor",
            format!("add `{}`", missing.join(" ")),
        ));
    }
    let is_name = |upstream: &&String| host_of(upstream).parse::<IpAddr>().is_err();
    if let Some(name) = upstreams.iter().find(is_name)
        && !settings.iter().any(|directive| directive.is("resolver"))
    {
        report.warn(
            HostCode::NGINX_RESOLVER,
            wasm,
            &format!("without `resolver` nginx asks 8.8.8.8 for the address of {name:?}"),
            "add `resolver ADDRESS;` to `wasm {}`",
        );
    }
    for upstream in upstreams.iter().filter(|upstream| !upstream.contains(['.', ':'])) {
        report.warn(
            HostCode::NGINX_UPSTREAM,
            wasm,
            &format!("the upstream {upstream:?} is not a name of DNS, and nginx has no clusters"),
            "write `host:port`",
        );
    }
    for module in scopes.modules_of(filters) {
        // A file of another machine cannot be read here.
        let exports = fs::read(Path::new(module.argument(1))).ok().and_then(|bytes| module_exports::names(&bytes));
        if exports.is_some_and(|names| !names.iter().any(|name| name == CALLBACK)) {
            faults.push(module.diagnostic(
                HostCode::NGINX_MODULE_OF_ENVOY,
                &format!("this is the module for Envoy: it lacks {CALLBACK}, and the first request ends the worker"),
                String::from("use the one in `kong/` of the release (`make wasm-nginx`)"),
            ));
        }
    }
    faults
}

/// The upstreams that the configurations name, each once.
fn upstreams(documents: &[Value]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for document in documents {
        visit(document, "$", &mut |_, value| {
            if let Some(upstream) = value.get("upstream").and_then(Value::as_str)
                && !found.iter().any(|known| known == upstream)
            {
                found.push(upstream.to_owned());
            }
        });
    }
    found
}

/// The host of `host:port` and `[address]:port`.
fn host_of(upstream: &str) -> &str {
    match upstream.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => upstream.split(':').next().unwrap_or_default(),
    }
}

/// Faults and warnings of directives in `http`, `server` and `location`.
pub(super) fn check_http(scopes: &Scopes<'_>, report: &mut Report) -> Vec<HostDiagnostic> {
    let mut faults = Vec::new();
    for scope in scopes.iter() {
        for isolation in scope.own("proxy_wasm_isolation") {
            if isolation.argument(0) != "none" {
                faults.push(isolation.diagnostic(
                    HostCode::NGINX_ISOLATION,
                    "the filter is configured again for each request, loses its caches and keys, and leaves a timer behind",
                    String::from("write `proxy_wasm_isolation none;`"),
                ));
            }
        }
        for (code, name, unsafe_value, safe_value, reason) in [
            (
                HostCode::UNDERSCORES_IN_HEADERS,
                "underscores_in_headers",
                "on",
                "off",
                "headers such as `X_User_Id` are forwarded, which CGI, WSGI and PHP backends read as `X-User-Id`",
            ),
            (
                HostCode::UNDERSCORES_IN_HEADERS,
                "ignore_invalid_headers",
                "off",
                "on",
                "headers such as `X.User.Id` are forwarded, which some backends read as `X-User-Id`",
            ),
            (
                HostCode::MERGE_SLASHES,
                "merge_slashes",
                "off",
                "on",
                "the backend receives `//`, which it may read differently than the filter",
            ),
            (
                HostCode::NGINX_ACCESS_PHASE,
                "proxy_wasm_request_headers_in_access",
                "on",
                "off",
                "the filter runs in the access phase, after directives that respond before it, and this was never tested",
            ),
        ] {
            for directive in scope.own(name).into_iter().filter(|directive| directive.argument(0) == unsafe_value) {
                report.warn(code, directive, reason, &format!("write `{name} {safe_value};`"));
            }
        }
        if scope.kind != Kind::Http && scopes.is_protected(scope) {
            warn_of_access_logs(scopes, scope, report);
        }
    }
    faults
}

/// Clients put tokens into queries, and `Referer` repeats them.
fn warn_of_access_logs(scopes: &Scopes<'_>, scope: &Scope<'_>, report: &mut Report) {
    let fix = "define a `log_format` with `$request_method $uri` and without `$request` and `$http_referer`, and name it in \
               `access_log`";
    let logs = scopes.in_effect(scope, "access_log");
    let http = scopes.iter().find(|outer| outer.kind == Kind::Http && outer.directive.is_some());
    let default = http.and_then(|http| http.directive);
    if let (true, Some(http)) = (logs.is_empty(), default) {
        let message = "the default access log contains queries, where clients put tokens";
        report.warn(HostCode::NGINX_ACCESS_LOG, http, message, fix);
    }
    for log in logs.into_iter().filter(|log| log.argument(0) != "off") {
        let name = log.arguments.get(1).map_or(DEFAULT_FORMAT, |word| &word.value);
        let name = if name.contains('=') { DEFAULT_FORMAT } else { name };
        let format = scopes.iter().flat_map(|scope| scope.own("log_format")).find(|format| format.argument(0) == name);
        let mut warn = |what: &str| {
            let message = format!("this access log contains {what}, where clients put tokens");
            report.warn(HostCode::NGINX_ACCESS_LOG, log, &message, fix);
        };
        match format {
            None if name == DEFAULT_FORMAT => warn("queries"),
            // Defined in a file that was not given.
            None => {}
            Some(format) => {
                let text: String = format.arguments.iter().map(|word| word.value.as_str()).collect();
                if let Some(variable) = variables(&text).find(|name| SECRET_VARIABLES.contains(name)) {
                    warn(&format!("`${variable}`"));
                }
            }
        }
    }
}

/// The variables in a text: `$name` and `${name}`.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.split('$').skip(1).map(move |rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.split(|character| !is_part(character)).next().unwrap_or_default()
    })
}
