//! Finding the first rule whose conditions hold, without trying one after the other.
//!
//! Rules are filed by host, then by the segments of their path, and at each place by their order. A request is
//! looked up under its host, the names above it and "any host", and in each along the segments of its path, as far
//! as rules go: so many steps as the longest path that a rule names has segments, however many rules there are. Only
//! regular expressions are tried, each where its literal beginning leads, and only while it could still be the first.

use std::collections::HashMap;

use crate::authority::read_host;
use crate::policy::request_target::{NormalPath, RequestTarget};
use crate::policy::route::host::HostPattern;
use crate::policy::route::path_pattern::{Kind, LetterCase, PathPattern, PathRegex};
use crate::policy::route::{Method, Route};

/// A rule's place in the operator's order, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIndex(usize);

impl RouteIndex {
    /// The place, from 0.
    pub const fn place(self) -> usize {
        self.0
    }
}

/// Why a request comes under no rule, and not under the one for everything else either: it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteFault {
    /// The host has an empty port, or a rule names a host and the request's host is missing, repeated or invalid.
    HostUnusable,
    /// The host is not written in its normal form, and as written it comes under another rule. Envoy's virtual hosts
    /// compare `:authority` as written, with its port and trailing dot.
    HostAmbiguous,
    /// Servers may read the path differently, and the readings come under different rules.
    PathAmbiguous,
}

/// Which rule applies to a host that is not written in its normal form: with a port, a trailing dot, or another
/// spelling of an IPv6 address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AmbiguousHosts {
    /// The request is rejected if the rule for the normal form differs from the rule for the host as written.
    #[default]
    Reject,
    /// The rule for the normal form. Only correct where the proxy in front of the backend ignores port and trailing dot too.
    InsecureAllow,
}

/// All rules' conditions, filed.
#[derive(Debug, Default)]
pub struct Router {
    any_host: Paths,
    by_host: HashMap<String, Paths>,
    /// By the name above those that match.
    below_host: HashMap<String, Paths>,
    ambiguous_hosts: AmbiguousHosts,
}

/// The rules for a host. Where letters do not matter they are filed, and looked up, in small ones.
#[derive(Debug, Default)]
struct Paths {
    as_written: Node,
    in_small_letters: Option<Node>,
}

/// The rules at one path, and those below it.
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
    /// None: every method.
    methods: Vec<Method>,
}

impl Router {
    /// Files the rules; the first comes first.
    pub fn new(routes: Vec<Route>) -> Self {
        let mut router = Self::default();
        for (place, route) in routes.into_iter().enumerate() {
            let entry = Entry { index: RouteIndex(place), methods: route.methods };
            if route.hosts.is_empty() {
                router.any_host.file(&route.path, &entry);
            }
            for host in &route.hosts {
                let paths = match host {
                    HostPattern::Exact(name) => router.by_host.entry(name.as_str().to_owned()),
                    HostPattern::Below(name) => router.below_host.entry(name.as_str().to_owned()),
                };
                paths.or_default().file(&route.path, &entry);
            }
        }
        router
    }

    /// The same router, with this treatment of hosts that are not written in their normal form.
    #[must_use]
    pub fn with_ambiguous_hosts(self, ambiguous_hosts: AmbiguousHosts) -> Self {
        Self { ambiguous_hosts, ..self }
    }

    /// The treatment of hosts that are not written in their normal form.
    pub const fn ambiguous_hosts(&self) -> AmbiguousHosts {
        self.ambiguous_hosts
    }

    /// The first rule for a request, by its `:authority` as it came, its target and its `:method`; `None` when
    /// there is none.
    ///
    /// # Errors
    /// When the rule depends on how a server reads the request.
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
        // No rule names a port, a trailing dot or a second spelling of an address: as written, the host is one that no
        // rule names.
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
    fn file(&mut self, path: &PathPattern, entry: &Entry) {
        let (node, case) = match path.case {
            LetterCase::Matters => (&mut self.as_written, path.case),
            LetterCase::Ignored => (self.in_small_letters.get_or_insert_default(), path.case),
        };
        match &path.kind {
            Kind::Any => add(&mut node.prefix, entry),
            Kind::Exact(path) => add(&mut node.descend(path, case).exact, entry),
            Kind::Prefix(path) => add(&mut node.descend(path, case).prefix, entry),
            Kind::Regex(regex) => node.descend(regex.leading(), case).regex.push((entry.clone(), regex.clone())),
        }
    }

    fn improve(&self, path: &NormalPath<'_>, best: &mut Best<'_>) {
        self.as_written.improve(path.segments(), path, best);
        if let Some(node) = &self.in_small_letters {
            let small = path.as_str().to_ascii_lowercase();
            node.improve(small.split('/').filter(|segment| !segment.is_empty()), path, best);
        }
    }
}

impl Node {
    fn descend(&mut self, path: &NormalPath<'_>, case: LetterCase) -> &mut Self {
        path.segments().fold(self, |node, segment| {
            let segment = match case {
                LetterCase::Matters => segment.to_owned(),
                LetterCase::Ignored => segment.to_ascii_lowercase(),
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

/// Adds a rule behind those at the same place, unless they leave nothing to it: so no more than one for each method
/// stands anywhere, and one for all.
fn add(entries: &mut Vec<Entry>, entry: &Entry) {
    let is_taken = |method: &Method| entries.iter().any(|earlier| earlier.methods.contains(method));
    let all_taken = !entry.methods.is_empty() && entry.methods.iter().all(is_taken);
    if !all_taken && entries.last().is_none_or(|last| !last.methods.is_empty()) {
        entries.push(entry.clone());
    }
}

/// The first rule so far.
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
