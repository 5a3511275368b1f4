//! Warnings about `proxy_pass` and `alias`: which path the backend receives, and which file is served.

use super::locations::Report;
use super::scopes::{Matcher, Scope};
use super::syntax::Directive;
use crate::plugin::diagnostic::HostCode;

/// The directives that forward a request to a backend.
pub(super) const PASSES: [&str; 5] = ["proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass"];

/// Warns of the backends of a location with the filter.
pub(super) fn warn(scope: &Scope<'_>, location: &Directive, report: &mut Report) {
    let matcher = Matcher::of(location);
    for (directive, is_conditional) in scope.with_conditional() {
        let address = directive.argument(0);
        let target = match directive.name.value.as_str() {
            "proxy_pass" => target_of(address),
            "alias" => Some(address),
            _ => continue,
        };
        let is_open_prefix = matches!(matcher, Matcher::Prefix(path) if !path.ends_with('/') && !path.is_empty());
        match target {
            None => warn_of_missing_uri(directive, address, matcher, is_conditional, report),
            Some(target) if target.contains("$request_uri") => report.warn(
                HostCode::NGINX_PATH_OF_BACKEND,
                directive,
                "`$request_uri` is the path as the client wrote it, which the backend may read differently than the filter",
                "write the address without variables: `proxy_pass http://backend/;`",
            ),
            Some(target) if ["$uri", "$document_uri"].iter().any(|path| target.contains(path)) => report.warn(
                HostCode::NGINX_PATH_OF_BACKEND,
                directive,
                "`$uri` is decoded, so that `%0D%0A` in a path adds lines to the request that the backend receives, such as \
                 identity headers",
                "write the address without variables: `proxy_pass http://backend/;`",
            ),
            Some(target) if is_open_prefix && target.ends_with('/') => report.warn(
                HostCode::NGINX_PATH_OF_BACKEND,
                directive,
                &format!(
                    "this location also matches paths that continue without a slash (`{path}x`, `{path}../x`), and nginx \
                     makes another path of them than the rules see",
                    path = location.last_argument()
                ),
                &format!("write `location {}/`", location.last_argument()),
            ),
            Some(_) => {}
        }
    }
}

fn warn_of_missing_uri(
    directive: &Directive,
    address: &str,
    matcher: Matcher<'_>,
    is_conditional: bool,
    report: &mut Report,
) {
    let fix = match matcher {
        Matcher::Exact(path) | Matcher::Prefix(path) if !is_conditional && !address.contains('$') => {
            let end = if address.contains("//unix:") { ":" } else { "" };
            format!("write `proxy_pass {address}{end}{path};`")
        }
        Matcher::Exact(path) | Matcher::Prefix(path) if !is_conditional => {
            format!("write the address without variables: `proxy_pass http://backend{path};`")
        }
        Matcher::Exact(_) | Matcher::Prefix(_) | Matcher::Regex | Matcher::Named(_) => String::from(
            "nginx accepts no URI here: use a location with a prefix instead, such as `location /api/` with \
             `proxy_pass http://backend/api/;`",
        ),
    };
    report.warn(
        HostCode::NGINX_PATH_OF_BACKEND,
        directive,
        "`proxy_pass` without a URI forwards the path as the client wrote it, which the backend may read differently than the \
         filter",
        &fix,
    );
}

/// The URI of an address; `None` if it has none.
fn target_of(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://").unwrap_or(("", address));
    let rest = match rest.strip_prefix("unix:") {
        Some(socket) => return socket.split_once(':').map(|(_, target)| target),
        None => rest,
    };
    let paths = ["/", "$uri", "$document_uri", "$request_uri"];
    let start = paths.iter().filter_map(|start| rest.find(start)).min()?;
    rest.get(start..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_of_an_address() {
        for (address, expected) in [
            ("http://backend", None),
            ("http://127.0.0.1:9000", None),
            ("http://backend/", Some("/")),
            ("https://backend/api/", Some("/api/")),
            ("http://$backend", None),
            ("$backend", None),
            ("http://$backend$uri$is_args$args", Some("$uri$is_args$args")),
            ("http://backend$request_uri", Some("$request_uri")),
            ("http://unix:/run/backend.sock", None),
            ("http://unix:/run/backend.sock:/", Some("/")),
        ] {
            assert_eq!(target_of(address), expected, "{address}");
        }
    }
}
