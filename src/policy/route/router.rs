//! Finds the first rule whose conditions hold, without trying all rules in order.
//!
//! Rules are indexed by host, then by the segments of their path. Each node keeps them in order. A lookup follows the
//! segments of the path for the request's host, its parent domains and "any host". So its cost depends on the length of
//! the longest configured path, not on the number of rules. Regular expressions are tried only at the node of their
//! literal start, and only while they could still be the first match.

mod coverage;

use std::collections::HashMap;

use crate::authority::read_host;
use crate::policy::request_target::{NormalPath, RequestTarget};
use crate::policy::route::host::HostPattern;
use crate::policy::route::path_pattern::{CaseSensitivity, Kind, PathPattern, PathRegex};
use crate::policy::route::{Method, Route};

pub use coverage::{RoutePart, WorkLimit};

/// The index of a rule in the operator's order, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIndex(usize);

impl RouteIndex {
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Why a request matches no rule, not even the default rule, and is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteFault {
    /// The host has an empty port. Or a rule names a host, and the request's host is missing, repeated or invalid.
    HostUnusable,
    /// The host is not normalized, and as written it matches another rule. Envoy's virtual hosts compare `:authority`
    /// as written, with its port and trailing dot.
    HostAmbiguous,
    /// Servers may read the path differently, and the readings match different rules.
    PathAmbiguous,
}

/// The rule for a host that is not normalized: with a port, a trailing dot, or another spelling of an IPv6 address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AmbiguousHosts {
    /// The request is rejected if the rule for the normal form differs from the rule for the host as written.
    #[default]
    Reject,
    /// The rule for the normal form. Only safe if the proxy in front of the backend ignores port and trailing dot too.
    InsecureAllow,
}

/// The index of all rules' conditions.
#[derive(Debug, Default)]
pub struct Router {
    any_host: Paths,
    by_host: HashMap<String, Paths>,
    /// Wildcard hosts, by the parent domain.
    below_host: HashMap<String, Paths>,
    ambiguous_hosts: AmbiguousHosts,
}

/// The rules of a host. Case-insensitive paths are indexed and looked up in lower case.
#[derive(Debug, Default)]
struct Paths {
    case_sensitive: Node,
    lower_case: Option<Node>,
}

/// The rules of a path, and the nodes below it.
#[derive(Debug, Default)]
struct Node {
    below: HashMap<Box<str>, Node>,
    exact: Vec<Entry>,
    prefix: Vec<Entry>,
    regex: Vec<(Entry, PathRegex)>,
}

#[derive(Clone, Debug)]
struct Entry {
    index: RouteIndex,
    /// Empty means every method.
    methods: Vec<Method>,
}

impl Router {
    /// Indexes the rules in the operator's order.
    pub fn new(routes: Vec<Route>) -> Self {
        let mut router = Self::default();
        for (index, route) in routes.into_iter().enumerate() {
            let entry = Entry { index: RouteIndex(index), methods: route.methods };
            if route.hosts.is_empty() {
                router.any_host.insert(&route.path, &entry);
            }
            for host in &route.hosts {
                let paths = match host {
                    HostPattern::Exact(name) => router.by_host.entry(name.as_str().to_owned()),
                    HostPattern::Subdomains(name) => router.below_host.entry(name.as_str().to_owned()),
                };
                paths.or_default().insert(&route.path, &entry);
            }
        }
        router
    }

    /// Sets the handling of hosts that are not normalized.
    #[must_use]
    pub fn with_ambiguous_hosts(self, ambiguous_hosts: AmbiguousHosts) -> Self {
        Self { ambiguous_hosts, ..self }
    }

    /// The handling of hosts that are not normalized.
    pub const fn ambiguous_hosts(&self) -> AmbiguousHosts {
        self.ambiguous_hosts
    }

    /// The first rule that matches the request's `:authority` as received, its target and its `:method`.
    ///
    /// # Errors
    /// If the rule depends on how a server reads the request.
    pub fn find(
        &self,
        authority: Option<&[u8]>,
        target: &RequestTarget<'_>,
        method: &[u8],
    ) -> Result<Option<RouteIndex>, RouteFault> {
        if self.by_host.is_empty() && self.below_host.is_empty() {
            return self.first_of_all_readings(None, target, method);
        }
        let authority = authority.ok_or(RouteFault::HostUnusable)?;
        let host = read_host(authority).ok_or(RouteFault::HostUnusable)?;
        let found = self.first_of_all_readings(Some(&host), target, method)?;
        let is_normal = authority.eq_ignore_ascii_case(host.as_bytes());
        // As written, the host matches no rule's host: no rule contains a port, a trailing dot or a second spelling of
        // an address.
        if self.ambiguous_hosts == AmbiguousHosts::Reject
            && !is_normal
            && self.first_of_all_readings(None, target, method) != Ok(found)
        {
            return Err(RouteFault::HostAmbiguous);
        }
        Ok(found)
    }

    fn first_of_all_readings(
        &self,
        host: Option<&str>,
        target: &RequestTarget<'_>,
        method: &[u8],
    ) -> Result<Option<RouteIndex>, RouteFault> {
        let found = self.first(host, target.path(), method);
        let differs = |path| self.first(host, path, method) != found;
        if target.other_readings().iter().any(differs) { Err(RouteFault::PathAmbiguous) } else { Ok(found) }
    }

    fn first(&self, host: Option<&str>, path: &NormalPath<'_>, method: &[u8]) -> Option<RouteIndex> {
        let mut best = Best { index: None, method };
        self.any_host.improve(path, &mut best);
        if let Some(host) = host {
            if let Some(paths) = self.by_host.get(host) {
                paths.improve(path, &mut best);
            }
            let dots = host.match_indices('.').map(|(at, _)| at).take(if self.below_host.is_empty() { 0 } else { 127 });
            for above in dots.filter_map(|at| host.get(at.saturating_add(1)..)) {
                if let Some(paths) = self.below_host.get(above) {
                    paths.improve(path, &mut best);
                }
            }
        }
        best.index
    }
}

impl Paths {
    fn insert(&mut self, path: &PathPattern, entry: &Entry) {
        let (node, case) = match path.case {
            CaseSensitivity::Sensitive => (&mut self.case_sensitive, path.case),
            CaseSensitivity::Insensitive => (self.lower_case.get_or_insert_default(), path.case),
        };
        match &path.kind {
            Kind::Any => add(&mut node.prefix, entry),
            Kind::Exact(path) => add(&mut node.descend(path, case).exact, entry),
            Kind::Prefix(path) => add(&mut node.descend(path, case).prefix, entry),
            Kind::Regex(regex) => node.descend(regex.leading(), case).regex.push((entry.clone(), regex.clone())),
        }
    }

    fn improve(&self, path: &NormalPath<'_>, best: &mut Best<'_>) {
        self.case_sensitive.improve(path.segments(), path, best);
        if let Some(node) = &self.lower_case {
            let lower_case_path = path.as_str().to_ascii_lowercase();
            node.improve(lower_case_path.split('/').filter(|segment| !segment.is_empty()), path, best);
        }
    }
}

impl Node {
    fn descend(&mut self, path: &NormalPath<'_>, case: CaseSensitivity) -> &mut Self {
        path.segments().fold(self, |node, segment| {
            let segment = match case {
                CaseSensitivity::Sensitive => segment.to_owned(),
                CaseSensitivity::Insensitive => segment.to_ascii_lowercase(),
            };
            node.below.entry(segment.into_boxed_str()).or_default()
        })
    }

    fn improve<'a>(&self, segments: impl Iterator<Item = &'a str>, path: &NormalPath<'_>, best: &mut Best<'_>) {
        let mut node = self;
        let mut segments = segments;
        loop {
            best.improve(&node.prefix);
            for (entry, regex) in &node.regex {
                if best.is_improved_by(entry) && regex.matches(path) {
                    best.index = Some(entry.index);
                }
            }
            let Some(segment) = segments.next() else { return best.improve(&node.exact) };
            let Some(below) = node.below.get(segment) else { return };
            node = below;
        }
    }
}

/// Adds a rule after those of the same node, unless they match all its methods. So a node has at most one rule per
/// method and one for all methods.
fn add(entries: &mut Vec<Entry>, entry: &Entry) {
    let is_taken = |method: &Method| entries.iter().any(|earlier| earlier.methods.contains(method));
    let is_covered = !entry.methods.is_empty() && entry.methods.iter().all(is_taken);
    if !is_covered && entries.last().is_none_or(|last| !last.methods.is_empty()) {
        entries.push(entry.clone());
    }
}

struct Best<'a> {
    index: Option<RouteIndex>,
    method: &'a [u8],
}

impl Best<'_> {
    fn is_improved_by(&self, entry: &Entry) -> bool {
        let is_for = |method: &Method| method.as_str().as_bytes() == self.method;
        self.index.is_none_or(|best| entry.index < best)
            && (entry.methods.is_empty() || entry.methods.iter().any(is_for))
    }

    fn improve(&mut self, entries: &[Entry]) {
        if let Some(entry) = entries.iter().find(|entry| self.is_improved_by(entry)) {
            self.index = Some(entry.index);
        }
    }
}
