//! Matches a request to a rule: conditions on host, path and method, and the [`Router`] that finds the first rule whose
//! conditions all hold.
//!
//! It reads `:authority`, `:path` and `:method` only. An omitted condition always holds. A rule is represented by its
//! index in the operator's order.

mod host;
mod path_pattern;
mod router;
mod samples;

use std::fmt;

use crate::http::is_token_byte;
use crate::policy::request_target::{NormalPath, TargetFault};

pub use host::{Authority, HostPattern};
pub use path_pattern::{CaseSensitivity, MAX_PATTERN_BYTES, PathPattern};
pub use router::{AmbiguousHosts, RouteFault, RouteIndex, RoutePart, Router, WorkLimit};

/// The match conditions of a rule.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Any of these hosts. Empty means every host.
    pub hosts: Vec<HostPattern>,
    pub path: PathPattern,
    /// Any of these methods. Empty means every method.
    pub methods: Vec<Method>,
}

impl Route {
    /// The parts with one host pattern and one method each.
    pub fn parts(&self) -> impl Iterator<Item = RoutePart<'_>> {
        let hosts = self.hosts.iter().map(Some).chain(self.hosts.is_empty().then_some(None));
        hosts.flat_map(move |host| {
            let methods = self.methods.iter().map(|method| Some(method.as_str()));
            let methods = methods.chain(self.methods.is_empty().then_some(None));
            methods.map(move |method| RoutePart { host, path: &self.path, method })
        })
    }

    /// Whether every host and path of `other` certainly matches this route, whatever the methods are.
    pub fn covers_target_of(&self, other: &Self) -> bool {
        let covers_host = |host: &HostPattern| self.hosts.iter().any(|own| own.covers(host));
        let covers_hosts = self.hosts.is_empty() || (!other.hosts.is_empty() && other.hosts.iter().all(covers_host));
        covers_hosts && self.path.covers(&other.path)
    }
}

/// A method in a rule. Methods are case-sensitive (RFC 9110 section 9.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Method(String);

impl Method {
    /// Parses an upper-case method, registered or not.
    ///
    /// # Errors
    /// If it is not a token or has a lower-case letter. No client sends such a method, so the rule would never match.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        if Self::is_well_formed(text.as_bytes()) { Ok(Self(text.to_owned())) } else { Err(PatternFault::Method) }
    }

    /// Whether a request's method is a token without lower-case letters, as all registered methods are (RFC 9110
    /// section 16.1.1). Many servers convert the method to upper case: for them `delete` is `DELETE`.
    pub fn is_well_formed(method: &[u8]) -> bool {
        !method.is_empty() && method.iter().all(|byte| is_token_byte(*byte) && !byte.is_ascii_lowercase())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a condition is invalid. Usually no request could match it, and a rule that never matches protects nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternFault {
    /// A path that does not start with `/`.
    NotAPath,
    /// Longer than [`MAX_PATTERN_BYTES`].
    TooLong,
    /// A path with `?` or `#`. Rules do not match the query.
    QueryOrFragment,
    /// A path with `*`, `{` or `}`, intended as a placeholder.
    Placeholder,
    /// A path with `;`. Some servers remove it from a segment.
    Parameter,
    /// A path that is not normalized. Contains the normalized form.
    NotNormal(NormalPath<'static>),
    /// A path for which every request is rejected.
    Rejected(TargetFault),
    Regex,
    /// A regular expression that is too large when compiled.
    RegexTooLarge,
    /// A regular expression with a character that is not ASCII.
    RegexNotAscii,
    /// A host that is not a name, an address, or `*.` with a name.
    Host,
    HostPort,
    /// A method that no client sends.
    Method,
}

impl PatternFault {
    /// What to write instead. Shown as a configuration error, so it contains no part of the operator's input.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotAPath => "a path begins with `/`",
            Self::TooLong => "longer than 1024 bytes",
            Self::QueryOrFragment => "rules do not look at the query; write the path alone",
            Self::Placeholder => {
                "`*`, `{` and `}` are no placeholders here; use `path_prefix` for whole segments, or `path_regex`"
            }
            Self::Parameter => {
                "`;` and what follows it is no part of a name for every server; write the path without it"
            }
            Self::NotNormal(_) => {
                "paths are compared in normal form: no `.`, `..` or empty segments, no escapes for characters that need \
                 none, capitals in the others (`%C3%A9`)"
            }
            Self::Rejected(_) => "every request for this path is refused, because servers may read it differently",
            Self::Regex => "not a regular expression; look-around and back-references are not available",
            Self::RegexTooLarge => "the regular expression is too large; use smaller repetitions",
            Self::RegexNotAscii => "paths are compared percent-encoded: write `%C3%A9` for `é`",
            Self::Host => {
                "expected a host such as `api.acme.com`, `*.acme.com` or `[::1]`; for every host leave `hosts` out"
            }
            Self::HostPort => "write the host without a port; a request's port is not looked at",
            Self::Method => "expected a method as clients send it, in capitals: `GET`",
        }
    }
}

impl fmt::Display for PatternFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.hint())
    }
}

#[cfg(test)]
mod tests;
