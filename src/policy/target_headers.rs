//! Request headers with which a backend serves another path, method or host than the one that the rules evaluated.
//!
//! A reverse proxy sets them; behind Envoy they come from the client. They are removed as headers and trailers, in
//! every spelling that folds to their name, by all rules. `docs/security.md` has the same table (a test compares them).

use crate::http::{folds_equal, without_gateway_prefix};

/// A header that changes the target of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct TargetHeader {
    /// The name in lower case, as its readers spell it.
    pub name: &'static str,
    pub changes: &'static str,
    /// Software that reads it.
    pub readers: &'static str,
}

const fn row(name: &'static str, changes: &'static str, readers: &'static str) -> TargetHeader {
    TargetHeader { name, changes, readers }
}

const PATH: &str = "path";
const HOST: &str = "host";
const METHOD: &str = "method";
const ADDRESS: &str = "server address";
const IDENTITY: &str = "identity";
const FILE: &str = "served file";
const OUTGOING: &str = "outgoing requests";

/// All target headers, the shortest names first.
pub const TARGET_HEADERS: &[TargetHeader] = &[
    row("$wsat", IDENTITY, "WebSphere and Liberty (authentication type)"),
    row("$wscc", IDENTITY, "WebSphere and Liberty (client certificate)"),
    row("$wsra", ADDRESS, "WebSphere and Liberty (client address)"),
    row("$wsrh", ADDRESS, "WebSphere and Liberty (client host)"),
    row("$wsru", IDENTITY, "WebSphere and Liberty (remote user)"),
    row("$wssn", HOST, "WebSphere and Liberty"),
    row("$wssp", HOST, "WebSphere and Liberty (port)"),
    row("proxy", OUTGOING, "CGI programs, PHP and Go under CGI (httpoxy, CVE-2016-5385)"),
    row("x-host", HOST, "CamCOPS, PHP applications behind a proxy"),
    row("_method", METHOD, "no reader is known as a header; frameworks read the form field"),
    row("forwarded", HOST, "Rack, Spring, Symfony, aiohttp, Jetty"),
    row("path_info", PATH, "gunicorn (`forwarder_headers`)"),
    row("script_name", PATH, "gunicorn (`forwarder_headers`)"),
    row("x-proxyhost", HOST, "Apache NiFi"),
    row("x-real-path", PATH, "WSGI adapters for Vercel"),
    row("x-http-method", METHOD, "OData and SharePoint, method-override for Express"),
    row("x-invoke-path", PATH, "Next.js 13, WSGI adapters for Vercel"),
    row("x-rewrite-url", PATH, "Symfony, Laminas, Zend, Magento 1 (IIS with ISAPI_Rewrite)"),
    row("x-script-name", PATH, "Radicale, klaus, OctoPrint, Tandoor, Flask's ReverseProxied"),
    row("x-ingress-path", PATH, "Home Assistant add-ons"),
    row("x-matched-path", PATH, "Next.js, WSGI adapters for Vercel"),
    row("x-original-uri", PATH, "authorization services behind nginx `auth_request`, WSGI adapters for Vercel"),
    row("x-original-url", PATH, "Symfony, Laminas, Zend, Drupal (IIS URL Rewrite), Authelia"),
    row("x-accel-mapping", FILE, "Rack::Sendfile (CVE-2025-61780)"),
    row("x-forwarded-uri", PATH, "oauth2-proxy (CVE-2026-40575), Authelia, WSGI adapters for Vercel"),
    row("x-original-host", HOST, "IIS behind Azure Application Gateway, PHP applications behind ngrok"),
    row("x-sendfile-type", FILE, "Rack::Sendfile (CVE-2025-61780), Symfony BinaryFileResponse"),
    row("x-forwarded-host", HOST, "Rack, Rails, Express, Django, Symfony, Laravel, Spring, ASP.NET, ProxyFix, Astro"),
    row("x-forwarded-path", PATH, "Flask applications, WSGI adapters, backends of Kong"),
    row("x-forwarded-port", HOST, "Rack, Django, Symfony, Spring, ProxyFix, Astro (CVE-2025-64525)"),
    row("x-method-override", METHOD, "method-override for Express, PHP frameworks"),
    row("x-original-method", METHOD, "authorization services behind nginx `auth_request`"),
    row("x-forwarded-method", METHOD, "oauth2-proxy, Authelia"),
    row("x-forwarded-prefix", PATH, "Spring, Symfony, ProxyFix, ASP.NET, Apache NiFi"),
    row("x-forwarded-server", HOST, "Jetty, OctoPrint, PHP applications (Apache mod_proxy)"),
    row("x-proxycontextpath", PATH, "Apache NiFi"),
    row("x-forwarded-context", PATH, "Apache NiFi, Spark, Impala (Apache Knox)"),
    row("x-http-host-override", HOST, "no reader is known; PortSwigger lists it among host overrides"),
    row("x-envoy-original-host", HOST, "backends of Envoy that rewrites"),
    row(
        "x-envoy-original-path",
        PATH,
        "backends of Envoy that rewrites, Envoy's access log and tracing (CVE-2023-27487)",
    ),
    row("x-http-method-override", METHOD, "Rack, Symfony, Laravel, Yii, CakePHP, Slim, Jersey, Play, grpc-gateway"),
    row("x-forwarded-script-name", PATH, "CamCOPS, WSGI middleware"),
    row("x-middleware-subrequest", PATH, "Next.js (CVE-2025-29927)"),
    row("x-envoy-original-dst-host", ADDRESS, "Envoy's ORIGINAL_DST clusters with `use_http_header`"),
];

/// Headers that Envoy or HTTP itself sets. They are kept, but another spelling (`x_forwarded_for`, `Content.Length`,
/// `Grpc-Metadata-X-Forwarded-For`) is removed: Envoy ignores it, and a backend that folds names would read it.
pub const PROTECTED_HEADERS: &[&str] = &[
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "transfer-encoding",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];

const MAX_NAME_BYTES: usize = 32;

/// The index of the first name of each length in [`TARGET_HEADERS`], and the end of the longest ones.
const STARTS: [usize; MAX_NAME_BYTES + 2] = starts();

#[allow(clippy::indexing_slicing, reason = "evaluated when this is compiled: out of bounds is an error there")]
const fn starts() -> [usize; MAX_NAME_BYTES + 2] {
    let mut starts = [0; MAX_NAME_BYTES + 2];
    let mut at = 0;
    while at < TARGET_HEADERS.len() {
        let length = TARGET_HEADERS[at].name.len();
        assert!(at == 0 || TARGET_HEADERS[at - 1].name.len() <= length, "the shortest names come first");
        let mut longer = length + 1;
        while longer < starts.len() {
            starts[longer] += 1;
            longer += 1;
        }
        at += 1;
    }
    starts
}

/// The last letters of the names of both lists, by length. Most names of a request are excluded by this check alone.
const ENDS: [u32; MAX_NAME_BYTES + 1] = ends();

#[allow(clippy::indexing_slicing, reason = "evaluated when this is compiled: out of bounds is an error there")]
const fn ends() -> [u32; MAX_NAME_BYTES + 1] {
    let mut ends = [0; MAX_NAME_BYTES + 1];
    let mut at = 0;
    while at < TARGET_HEADERS.len() + PROTECTED_HEADERS.len() {
        let name = if at < TARGET_HEADERS.len() {
            TARGET_HEADERS[at].name.as_bytes()
        } else {
            PROTECTED_HEADERS[at - TARGET_HEADERS.len()].as_bytes()
        };
        let last = name[name.len() - 1];
        assert!(last.is_ascii_lowercase(), "a name ends with a small letter");
        ends[name.len()] |= 1 << (last - b'a');
        at += 1;
    }
    ends
}

fn has_listed_end(name: &str) -> bool {
    let last = name.bytes().next_back().map_or(u32::MAX, |last| u32::from(last).wrapping_sub(u32::from(b'a')));
    let ends = ENDS.get(name.len()).copied().unwrap_or_default();
    last < 26 && ends & (1_u32 << last) != 0
}

/// The target headers that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetHeaders {
    kept: Vec<&'static str>,
}

impl TargetHeaders {
    /// Keeps these headers, in the listed spelling only.
    pub fn keeping(kept: &[&'static TargetHeader]) -> Self {
        Self { kept: kept.iter().map(|header| header.name).collect() }
    }

    /// Whether a header with this lower-case name is removed.
    pub fn removes_header(&self, name: &str) -> bool {
        removes_trailer(name) && !self.kept.contains(&name)
    }
}

/// Whether a trailer with this lower-case name is removed. No proxy sends these headers as trailers.
pub fn removes_trailer(name: &str) -> bool {
    let bare = without_gateway_prefix(name);
    if !has_listed_end(bare) {
        return false;
    }
    is_target(bare) || PROTECTED_HEADERS.iter().any(|header| folds_equal(bare, header) && name != *header)
}

/// The listed header with this name, in any case but no other spelling.
pub fn find(name: &str) -> Option<&'static TargetHeader> {
    TARGET_HEADERS.iter().find(|header| header.name.eq_ignore_ascii_case(name))
}

/// Whether a backend could read a field of this name as a listed header.
pub fn is_target(name: &str) -> bool {
    let (start, end) = (STARTS.get(name.len()), STARTS.get(name.len().saturating_add(1)));
    let candidates = start.zip(end).and_then(|(start, end)| TARGET_HEADERS.get(*start..*end));
    candidates.is_some_and(|headers| headers.iter().any(|header| folds_equal(name, header.name)))
}

/// Whether a backend could read the request's method from a field of this name.
pub fn changes_method(name: &str) -> bool {
    let name = without_gateway_prefix(name);
    TARGET_HEADERS.iter().any(|header| header.changes == METHOD && folds_equal(name, header.name))
}

#[cfg(test)]
#[path = "target_headers/tests.rs"]
mod tests;
