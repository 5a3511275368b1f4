//! The structured target for rules: any set of them and any request, beside a reference that tries one rule after the other.
//!
//! The reference takes the reading of a path from the product ([`RequestTarget`]), and checks only that it is in normal form
//! and parses as itself; which rule matches first is evaluated here, by every reading.

use arbitrary::{Arbitrary, Result, Unstructured};
use okta_proxy_wasm::policy::{
    AmbiguousPaths, CaseSensitivity, HostPattern, Method, PathPattern, RequestTarget, Route, RouteFault, RouteIndex,
    Router,
};
use regex_lite::{Regex, RegexBuilder};

const MOST_RULES: usize = 12;
const HOSTS: [&str; 5] = ["a.example", "b.a.example", "*.a.example", "*.example", "[::1]"];
const AUTHORITIES: [(&[u8], &str); 7] = [
    (b"a.example", "a.example"),
    (b"B.A.example:443", "b.a.example"),
    (b"x.b.a.example.", "x.b.a.example"),
    (b"example", "example"),
    (b"xa.example", "xa.example"),
    (b"[0:0::1]:80", "[::1]"),
    (b"other", "other"),
];
const METHODS: [&str; 3] = ["GET", "POST", "X-OWN"];
/// What paths and patterns are made of.
const PIECES: [&str; 20] = [
    "/", "a", "b", "A", "admin", ".", "..", "//", "%2e", "%2f", "%61", "%C3%A9", ";", ";x=1", "\\", "%5c", "-", "1",
    "~", "?",
];
const OF_EXPRESSIONS: [&str; 14] =
    ["/", "a", "b", "[a-z]+", "[0-9]{2}", "(a|b)", ".*", "(/.*)?", "\\.", "x?", "/a", "admin", "[^/]+", "|"];

/// How a rule's path is written, and how a naive reader compares it.
enum Path {
    Any,
    Exact(String),
    Prefix(String),
    Expression(Regex),
}

struct NaiveRoute {
    hosts: Vec<&'static str>,
    methods: Vec<&'static str>,
    path: Path,
    ignore_case: bool,
}

fn some<'a>(source: &mut Unstructured<'_>, choices: &[&'a str]) -> Result<Vec<&'a str>> {
    let bits = if source.ratio(1, 3)? { u8::arbitrary(source)? } else { 0 };
    Ok(choices.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1).map(|(_, choice)| *choice).collect())
}

fn joined(source: &mut Unstructured<'_>, pieces: &[&str]) -> Result<String> {
    let count = source.int_in_range(0..=8)?;
    (0..count).map(|_| source.choose(pieces).copied()).collect()
}

/// One rule in both forms; none where its pattern is a fault.
fn route(source: &mut Unstructured<'_>, ambiguous: AmbiguousPaths) -> Result<Option<(Route, NaiveRoute)>> {
    let (hosts, methods) = (some(source, &HOSTS)?, some(source, &METHODS)?);
    let ignore_case = source.ratio(1, 4)?;
    let case = if ignore_case { CaseSensitivity::Insensitive } else { CaseSensitivity::Sensitive };
    let kind = source.int_in_range(0..=3)?;
    let text = match kind {
        0 => String::new(),
        3 => format!("/{}", joined(source, &OF_EXPRESSIONS)?),
        _ => format!("/{}", joined(source, &PIECES)?),
    };
    let whole = |text: &str| {
        RegexBuilder::new(&format!("^(?:{text})$"))
            .case_insensitive(ignore_case)
            .build()
            .expect("it was compiled before")
    };
    let (pattern, path) = match kind {
        0 => (Ok(PathPattern::ANY), Path::Any),
        1 => (PathPattern::exact(&text, case, ambiguous), Path::Exact(text)),
        2 => (PathPattern::prefix(&text, case, ambiguous), Path::Prefix(text)),
        _ => {
            let pattern = PathPattern::regex(&text, case, ambiguous);
            let path = if pattern.is_ok() { Path::Expression(whole(&text)) } else { Path::Any };
            (pattern, path)
        }
    };
    let Ok(pattern) = pattern else { return Ok(None) };
    let parsed = Route {
        hosts: hosts.iter().map(|host| HostPattern::parse(host).expect("a host")).collect(),
        path: pattern,
        methods: methods.iter().map(|method| Method::parse(method).expect("a method")).collect(),
    };
    Ok(Some((parsed, NaiveRoute { hosts, methods, path, ignore_case })))
}

fn without_end(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

impl NaiveRoute {
    fn matches(&self, host: &str, path: &str, method: &str) -> bool {
        let is_host = |pattern: &&str| match pattern.strip_prefix('*') {
            Some(ending) => host.len() > ending.len() && host.ends_with(ending),
            None => host == *pattern,
        };
        let alike = |text: &str| if self.ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
        let (own, asked) = match &self.path {
            Path::Exact(text) | Path::Prefix(text) => (alike(without_end(text)), alike(without_end(path))),
            Path::Any | Path::Expression(_) => (String::new(), String::new()),
        };
        let is_path = match &self.path {
            Path::Any => true,
            Path::Exact(_) => own == asked,
            Path::Prefix(_) => own == asked || asked.starts_with(&format!("{own}/")),
            Path::Expression(regex) => regex.is_match(path) || (path != "/" && regex.is_match(without_end(path))),
        };
        (self.hosts.is_empty() || self.hosts.iter().any(is_host))
            && (self.methods.is_empty() || self.methods.contains(&method))
            && is_path
    }
}

fn scene(source: &mut Unstructured<'_>) -> Result<()> {
    let ambiguous = if source.ratio(1, 8)? { AmbiguousPaths::InsecureAllow } else { AmbiguousPaths::Reject };
    let (mut routes, mut naive) = (Vec::new(), Vec::new());
    for _ in 0..source.int_in_range(0..=MOST_RULES)? {
        if let Some((route, reader)) = route(source, ambiguous)? {
            routes.push(route);
            naive.push(reader);
        }
    }
    let router = Router::new(routes);
    let (authority, host) = *source.choose(&AUTHORITIES)?;
    let method = *source.choose(&METHODS)?;
    // Of pieces that mean something, or of any bytes.
    let target = if source.ratio(2, 3)? {
        format!("/{}", joined(source, &PIECES)?).into_bytes()
    } else {
        source.bytes(source.len())?.to_vec()
    };
    let Ok(read) = RequestTarget::read(&target, ambiguous) else { return Ok(()) };
    let readings: Vec<&str> =
        std::iter::once(read.path().as_str()).chain(read.other_readings().iter().map(|path| path.as_str())).collect();
    for reading in &readings {
        assert!(reading.starts_with('/') && reading.is_ascii(), "no path: {reading:?}");
        // Another reading may keep dot segments, as servers do that do not resolve them.
        if reading.split('/').any(|segment| segment == "." || segment == "..") {
            assert_ne!(*reading, read.path().as_str(), "dots are left");
            continue;
        }
        let again = RequestTarget::read(reading.as_bytes(), ambiguous);
        assert_eq!(again.as_ref().map(|again| again.path().as_str()), Ok(*reading), "another path when read again");
    }
    let places = |host: &str| {
        let first = |path: &&str| naive.iter().position(|route| route.matches(host, path, method));
        let mut places: Vec<Option<usize>> = readings.iter().map(first).collect();
        places.dedup();
        places
    };
    let normal = places(host);
    // With a port or a trailing dot it is another host for Envoy, and none that a rule names.
    let is_normal = authority.eq_ignore_ascii_case(host.as_bytes());
    let as_written = if is_normal { normal.clone() } else { places("unnamed.invalid") };
    let found = router.find(Some(authority), &read, method.as_bytes());
    match (found, normal.as_slice()) {
        (Ok(found), [expected]) => {
            assert_eq!(found.map(RouteIndex::index), *expected, "another rule is the first");
            assert_eq!(as_written, normal, "the host as written comes under another rule");
        }
        (Ok(found), _) => panic!("readings differ in their rule, {normal:?}, and it is {found:?}"),
        (Err(RouteFault::PathAmbiguous), _) => assert!(normal.len() > 1, "path ambiguous for {normal:?}"),
        (Err(RouteFault::HostAmbiguous), _) => assert_ne!(as_written, normal, "host ambiguous"),
        (Err(fault @ RouteFault::HostUnusable), _) => panic!("{fault:?} for {host}"),
    }
    // Whatever stands in place of the host: an answer.
    let rest = target.as_slice();
    let _ = router.find(Some(rest), &read, rest);
    let _ = router.find(None, &read, rest);
    Ok(())
}

/// Runs what the bytes describe.
pub(crate) fn routes(input: &[u8]) {
    // What is too short describes nothing.
    let _ = scene(&mut Unstructured::new(input));
}

/// Inputs to begin with: bytes without order, which describe all kinds of rules in turn.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    let mut bytes = |count: usize| -> Vec<u8> {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..count).map(|_| next()).collect()
    };
    vec![
        ("few", bytes(60)),
        ("many", bytes(400)),
        ("more", bytes(700)),
        ("others", bytes(500)),
        ("raw", [bytes(150), b"/admin/..;/a%2e//b/%61?x".to_vec()].concat()),
    ]
}
