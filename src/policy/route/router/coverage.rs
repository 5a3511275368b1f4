//! Which rules match every request of a part of another rule, for the analysis of a policy.
//!
//! A part has one host pattern, one method and one path pattern. Its requests are covered if one rule before it matches
//! the whole part: a pattern that matches an unnamed host, path or method matches all of them, so several rules never
//! cover a part that none of them covers alone. The exceptions are paths that ignore case. They stand for a finite
//! number of paths, so each spelling is looked up.

use super::{Entry, Node, Paths, RouteIndex, Router};
use crate::policy::route::path_pattern::{CaseSensitivity, Kind, PathPattern, PathRegex};
use crate::policy::route::{HostPattern, Method};

/// Of a path that ignores case, this many letters are looked up in both cases.
const VARIED_LETTERS: usize = 6;

/// Requests of a rule: those with one of its hosts and one of its methods.
#[derive(Clone, Copy, Debug)]
pub struct RoutePart<'a> {
    /// `None`: any host.
    pub host: Option<&'a HostPattern>,
    pub path: &'a PathPattern,
    /// `None`: any method.
    pub method: Option<&'a str>,
}

/// The work that an analysis may do.
#[derive(Debug)]
pub struct WorkLimit {
    /// Visits of entries of the index.
    visits: usize,
    /// Runs of regular expressions, each as long as about a hundred visits.
    runs: usize,
    is_exceeded: bool,
}

impl WorkLimit {
    pub const fn new(visits: usize, runs: usize) -> Self {
        Self { visits, runs, is_exceeded: false }
    }

    /// Whether some work was not done: a rule that matches may not have been found.
    pub const fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }

    /// Whether so many entries may be visited.
    const fn may_visit(&mut self, entries: usize) -> bool {
        let may_visit = entries <= self.visits;
        self.is_exceeded |= !may_visit;
        self.visits = self.visits.saturating_sub(entries);
        may_visit
    }

    /// Whether an expression may be run.
    const fn may_run(&mut self) -> bool {
        self.is_exceeded |= self.runs == 0;
        let may_run = self.runs > 0;
        self.runs = self.runs.saturating_sub(1);
        may_run
    }
}

/// One lookup: a path, and whether all paths below it are meant.
struct Search<'a> {
    path: &'a str,
    is_below: bool,
    /// The regular expression whose paths are meant.
    regex: Option<&'a PathRegex>,
    method: Option<&'a str>,
    before: usize,
    /// A rule may depend on the case of this many letters.
    letters: usize,
    found: Option<usize>,
}

impl Router {
    /// The rules with an index below `before` that together certainly match every request of the part. `None` if there
    /// is a request that they do not match, or if none was found within the limit.
    pub fn covers_of(&self, part: &RoutePart<'_>, before: usize, limit: &mut WorkLimit) -> Option<Vec<RouteIndex>> {
        let (path, is_below, regex) = match &part.path.kind {
            Kind::Any => (String::new(), true, None),
            Kind::Exact(path) => (joined(path.segments()), false, None),
            Kind::Prefix(path) => (joined(path.segments()), true, None),
            Kind::Regex(regex) => (joined(regex.leading().segments()), true, Some(regex)),
        };
        let (spellings, letters) = match part.path.case {
            CaseSensitivity::Sensitive => (vec![path], usize::MAX),
            CaseSensitivity::Insensitive => spellings(&path),
        };
        let mut covers = Vec::new();
        for path in &spellings {
            let search = Search { path, is_below, regex, method: part.method, before, letters, found: None };
            let cover = self.search(part.host, search, limit)?;
            if !covers.contains(&cover) {
                covers.push(cover);
            }
        }
        Some(covers)
    }

    /// The first rule with an index below `before` that certainly matches requests for this path, host and method.
    pub fn cover_at(
        &self,
        part: &RoutePart<'_>,
        path: &str,
        before: usize,
        limit: &mut WorkLimit,
    ) -> Option<RouteIndex> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let letters = usize::MAX;
        let search = Search { path, is_below: false, regex: None, method: part.method, before, letters, found: None };
        self.search(part.host, search, limit)
    }

    fn search(&self, host: Option<&HostPattern>, mut search: Search<'_>, limit: &mut WorkLimit) -> Option<RouteIndex> {
        search.visit(&self.any_host, limit);
        if let Some(host) = host {
            let (name, is_parent) = match host {
                HostPattern::Exact(name) => (name.as_str(), false),
                HostPattern::Subdomains(name) => (name.as_str(), true),
            };
            if !is_parent && let Some(paths) = self.by_host.get(name) {
                search.visit(paths, limit);
            }
            let parents = name.match_indices('.').filter_map(|(at, _)| name.get(at.saturating_add(1)..));
            for parent in is_parent.then_some(name).into_iter().chain(parents) {
                if let Some(paths) = self.below_host.get(parent) {
                    search.visit(paths, limit);
                }
            }
        }
        search.found.map(RouteIndex)
    }
}

impl Search<'_> {
    fn visit(&mut self, paths: &Paths, limit: &mut WorkLimit) {
        self.walk(&paths.case_sensitive, CaseSensitivity::Sensitive, limit);
        if let Some(node) = &paths.lower_case {
            self.walk(node, CaseSensitivity::Insensitive, limit);
        }
    }

    fn walk(&mut self, node: &Node, case: CaseSensitivity, limit: &mut WorkLimit) {
        let folded = match case {
            CaseSensitivity::Sensitive => self.path.to_owned(),
            CaseSensitivity::Insensitive => self.path.to_ascii_lowercase(),
        };
        let mut segments = folded.split('/').filter(|segment| !segment.is_empty());
        let (mut node, mut letters) = (node, 0_usize);
        loop {
            if !limit.may_visit(1) {
                return;
            }
            let is_usable = case == CaseSensitivity::Insensitive || letters <= self.letters;
            let segment = segments.next();
            if is_usable {
                self.improve(&node.prefix, limit);
                if segment.is_none() && !self.is_below {
                    self.improve(&node.exact, limit);
                }
            }
            for (entry, regex) in &node.regex {
                if self.is_improved_by(entry) && self.is_matched_by(regex, case, limit) {
                    self.found = Some(entry.index.index());
                }
            }
            let Some(segment) = segment else { return };
            let Some(below) = node.below.get(segment) else { return };
            letters = letters.saturating_add(count_letters(segment));
            node = below;
        }
    }

    fn is_improved_by(&self, entry: &Entry) -> bool {
        let index = entry.index.index();
        let has_method = |methods: &[Method]| {
            methods.is_empty() || self.method.is_some_and(|method| methods.iter().any(|own| own.as_str() == method))
        };
        index < self.found.unwrap_or(self.before) && has_method(&entry.methods)
    }

    fn improve(&mut self, entries: &[Entry], limit: &mut WorkLimit) {
        if limit.may_visit(entries.len())
            && let Some(entry) = entries.iter().find(|entry| self.is_improved_by(entry))
        {
            self.found = Some(entry.index.index());
        }
    }

    /// Whether an expression certainly matches all paths that are meant.
    fn is_matched_by(&self, regex: &PathRegex, case: CaseSensitivity, limit: &mut WorkLimit) -> bool {
        let is_usable = |literal: &str| case == CaseSensitivity::Insensitive || count_letters(literal) <= self.letters;
        if self.regex.is_some_and(|own| own.is_same(regex)) {
            return true;
        }
        if !self.is_below {
            let path = if self.path.is_empty() { "/" } else { self.path };
            return is_usable(path) && limit.may_run() && regex.matches_text(path);
        }
        // `/api/.*` and `/api.*` match every path that begins so.
        regex.everything_after().is_some_and(|literal| {
            let path = if self.path.is_empty() { "/" } else { self.path };
            let start = path.get(..literal.len()).unwrap_or_default();
            let is_start = match case {
                CaseSensitivity::Sensitive => start == literal,
                CaseSensitivity::Insensitive => start.eq_ignore_ascii_case(&literal),
            };
            is_start && is_usable(&literal)
        })
    }
}

/// The path of the segments, without a slash at its end; the root is empty.
fn joined<'a>(segments: impl Iterator<Item = &'a str>) -> String {
    segments.fold(String::new(), |path, segment| path + "/" + segment)
}

fn count_letters(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_alphabetic).count()
}

/// The spellings of a path that ignores case, with the first letters in each case, and on how many letters a rule may
/// depend: what matches all of these spellings then matches every spelling.
fn spellings(path: &str) -> (Vec<String>, usize) {
    let varied = count_letters(path).min(VARIED_LETTERS);
    let limit = if count_letters(path) <= VARIED_LETTERS { usize::MAX } else { VARIED_LETTERS };
    let spelling = |bits: usize| {
        let mut letter = 0_usize;
        let change = |byte: u8| {
            let mut byte = byte.to_ascii_lowercase();
            if byte.is_ascii_alphabetic() {
                if letter < varied && (bits >> letter) & 1 == 1 {
                    byte = byte.to_ascii_uppercase();
                }
                letter = letter.saturating_add(1);
            }
            char::from(byte)
        };
        path.bytes().map(change).collect()
    };
    ((0..1_usize << varied).map(spelling).collect(), limit)
}
