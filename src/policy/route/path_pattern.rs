//! The path condition of a rule: any path, one path, a prefix of whole segments, or a regular expression.
//!
//! A trailing slash makes no difference: most frameworks serve `/admin/` as `/admin`, and a rule for only one of them
//! could be bypassed. So exact paths and prefixes match with and without it. A regular expression is matched against
//! the path, and if the path ends with a slash also against the path without it. It must contain `/?` to match a path
//! that lacks one.
//!
//! Regular expressions match the whole path in linear time (no back-references, no look-around). They are ASCII only,
//! as normalized paths are ASCII.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

use crate::encoding::percent_encode;
use crate::policy::request_target::{AmbiguousPaths, NormalPath, RequestTarget};
use crate::policy::route::PatternFault;
use crate::policy::route::samples::samples;

/// The longest path or regular expression of a rule in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// The size limit of a compiled regular expression in bytes. It allows about a thousand steps, each of which may run
/// for each byte of a path of [`MAX_PATH_BYTES`](crate::policy::request_target::MAX_PATH_BYTES).
const MAX_PROGRAM_BYTES: usize = 32 * 1024;

/// Up to this size an expression is reported as too large, beyond it as invalid.
const MAX_PARSE_BYTES: usize = 1024 * 1024;

/// They surround an expression, which must match the whole path.
const ANCHORS: (&str, &str) = ("^(?:", ")$");

/// The maximum depth of nested groups.
const MAX_NESTING: u32 = 32;

/// Whether `/Admin` equals `/admin`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaseSensitivity {
    /// Case-sensitive (RFC 3986 section 6.2.2.1).
    #[default]
    Sensitive,
    /// Case-insensitive, for backends that route this way (Express, IIS). Not for rules that allow requests without a
    /// token, because it would also allow other paths of a case-sensitive backend.
    Insensitive,
}

/// The paths that a rule matches.
#[derive(Clone, Debug, Default)]
pub struct PathPattern {
    pub(super) kind: Kind,
    pub(super) case: CaseSensitivity,
}

#[derive(Clone, Debug, Default)]
pub(super) enum Kind {
    #[default]
    Any,
    Exact(NormalPath<'static>),
    Prefix(NormalPath<'static>),
    Regex(PathRegex),
}

/// A regular expression that matches whole paths.
#[derive(Clone)]
pub(super) struct PathRegex {
    regex: Regex,
    /// Every matching path has all segments of this path: the literal start of the expression.
    leading: NormalPath<'static>,
    /// The string that every matching path ends with. Comparing it is a hundred times as fast as running the
    /// expression.
    ending: String,
    case: CaseSensitivity,
}

impl PathPattern {
    /// Every path.
    pub const ANY: Self = Self { kind: Kind::Any, case: CaseSensitivity::Sensitive };

    /// This path, with or without a trailing slash.
    ///
    /// # Errors
    /// If it is not normalized.
    pub fn exact(text: &str, case: CaseSensitivity, ambiguous: AmbiguousPaths) -> Result<Self, PatternFault> {
        Ok(Self { kind: Kind::Exact(normal(text, ambiguous)?), case })
    }

    /// This path and all paths below it. `/admin` is not a prefix of `/administrator`.
    ///
    /// # Errors
    /// If it is not normalized.
    pub fn prefix(text: &str, case: CaseSensitivity, ambiguous: AmbiguousPaths) -> Result<Self, PatternFault> {
        Ok(Self { kind: Kind::Prefix(normal(text, ambiguous)?), case })
    }

    /// The paths that this expression matches completely.
    ///
    /// # Errors
    /// If it does not compile, is too large, or can match no path.
    pub fn regex(text: &str, case: CaseSensitivity, ambiguous: AmbiguousPaths) -> Result<Self, PatternFault> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternFault::TooLong);
        }
        if !text.is_ascii() {
            return Err(PatternFault::RegexNotAscii);
        }
        // Compiled without anchors first: `a)|(?:b` is invalid but would become valid, and escape the anchors.
        compile(text, case)?;
        let regex = compile(&format!("{}{text}{}", ANCHORS.0, ANCHORS.1), case)?;
        let literal = leading_literal(text);
        // Without a literal start it may match any path: `(/a|/b)/c`, `.*\.json`.
        if text.is_empty() || !(literal.is_empty() || literal.starts_with('/')) {
            return Err(PatternFault::NotAPath);
        }
        let leading = literal.rsplit_once('/').map_or("", |(whole_segments, _)| whole_segments);
        let leading = normal_text(&format!("{leading}/"), ambiguous)?;
        let ending = ending_literal(text).to_owned();
        Ok(Self { kind: Kind::Regex(PathRegex { regex, leading, ending, case }), case })
    }

    /// Whether it may match this path or one below it. May return `true` if in doubt.
    pub fn may_match_below(&self, path: &NormalPath<'_>) -> bool {
        let is_above = |own: &NormalPath<'_>| self.is_prefix(own, path);
        let is_below = |own: &NormalPath<'_>| self.is_prefix(path, own);
        match &self.kind {
            Kind::Any => true,
            Kind::Exact(own) => is_below(own),
            Kind::Prefix(own) => is_above(own) || is_below(own),
            Kind::Regex(regex) => is_above(regex.leading()) || is_below(regex.leading()),
        }
    }

    /// Whether every path of `other` certainly matches this pattern. Returns `false` if in doubt.
    pub fn covers(&self, other: &Self) -> bool {
        let is_as_permissive = self.case == CaseSensitivity::Insensitive || other.case == CaseSensitivity::Sensitive;
        match (&self.kind, &other.kind) {
            (Kind::Any, _) => true,
            (Kind::Prefix(own), Kind::Exact(path) | Kind::Prefix(path)) => {
                is_as_permissive && self.is_prefix(own, path)
            }
            (Kind::Prefix(own), Kind::Regex(regex)) => is_as_permissive && self.is_prefix(own, regex.leading()),
            (Kind::Exact(own), Kind::Exact(path)) => {
                is_as_permissive && self.is_prefix(own, path) && other.is_prefix(path, own)
            }
            (Kind::Regex(own), Kind::Regex(regex)) => own.is_same(regex),
            (Kind::Prefix(_) | Kind::Exact(_) | Kind::Regex(_), _) => false,
        }
    }

    /// Whether the second path has all segments of the first.
    fn is_prefix(&self, first: &NormalPath<'_>, second: &NormalPath<'_>) -> bool {
        let mut left = second.segments();
        first.segments().all(|segment| {
            left.next().is_some_and(|other| match self.case {
                CaseSensitivity::Sensitive => segment == other,
                CaseSensitivity::Insensitive => segment.eq_ignore_ascii_case(other),
            })
        })
    }

    /// Whether it is a regular expression.
    pub const fn is_regex(&self) -> bool {
        matches!(self.kind, Kind::Regex(_))
    }

    /// Whether it matches all paths below another one.
    pub const fn is_prefix_or_any(&self) -> bool {
        matches!(self.kind, Kind::Any | Kind::Prefix(_))
    }

    /// Examples of paths that it matches: of a regular expression a few or none.
    pub fn samples(&self) -> Vec<String> {
        match &self.kind {
            Kind::Any => vec![String::from("/")],
            Kind::Exact(path) | Kind::Prefix(path) => vec![path.as_str().to_owned()],
            Kind::Regex(regex) => {
                let mut samples = samples(regex.expression());
                samples.retain(|path| regex.matches_text(path));
                samples
            }
        }
    }

    /// Whether letter case matters.
    pub const fn case(&self) -> CaseSensitivity {
        self.case
    }

    /// Whether it matches exactly this path.
    pub fn is_exactly(&self, path: &str) -> bool {
        matches!(&self.kind, Kind::Exact(own) if own.as_str() == path)
    }
}

impl PathRegex {
    pub(super) fn matches(&self, path: &NormalPath<'_>) -> bool {
        let shorter = path.as_str().strip_suffix('/').filter(|shorter| !shorter.is_empty());
        self.matches_text(path.as_str()) || shorter.is_some_and(|shorter| self.matches_text(shorter))
    }

    pub(super) fn matches_text(&self, text: &str) -> bool {
        let end = text.len().checked_sub(self.ending.len()).and_then(|at| text.get(at..));
        let has_ending = end.is_some_and(|end| match self.case {
            CaseSensitivity::Sensitive => end == self.ending,
            CaseSensitivity::Insensitive => end.eq_ignore_ascii_case(&self.ending),
        });
        has_ending && self.regex.is_match(text)
    }

    /// Whether both are the same expression, so that they match the same paths.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.case == other.case && self.regex.as_str() == other.regex.as_str()
    }

    /// The expression as it is written.
    fn expression(&self) -> &str {
        let anchored = self.regex.as_str();
        anchored.strip_prefix(ANCHORS.0).and_then(|text| text.strip_suffix(ANCHORS.1)).unwrap_or(anchored)
    }

    /// The literal of an expression such as `/api/.*`, which matches every path that begins with it.
    pub(super) fn everything_after(&self) -> Option<String> {
        let start = self.expression().strip_suffix(".*")?;
        let literal = leading_literal(start);
        (literal == start).then_some(literal)
    }

    pub(super) const fn leading(&self) -> &NormalPath<'static> {
        &self.leading
    }
}

impl fmt::Debug for PathRegex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PathRegex({})", self.regex.as_str())
    }
}

fn compile(text: &str, case: CaseSensitivity) -> Result<Regex, PatternFault> {
    let build = |size| {
        RegexBuilder::new(text)
            .case_insensitive(case == CaseSensitivity::Insensitive)
            .nest_limit(MAX_NESTING)
            .size_limit(size)
            .build()
    };
    build(MAX_PROGRAM_BYTES).map_err(|_| match build(MAX_PARSE_BYTES) {
        Ok(_) => PatternFault::RegexTooLarge,
        Err(_) => PatternFault::Regex,
    })
}

/// A path from the configuration.
fn normal(text: &str, ambiguous: AmbiguousPaths) -> Result<NormalPath<'static>, PatternFault> {
    if text.contains(['?', '#']) {
        return Err(PatternFault::QueryOrFragment);
    }
    if text.contains(['*', '{', '}']) {
        return Err(PatternFault::Placeholder);
    }
    normal_text(text, ambiguous)
}

fn normal_text(text: &str, ambiguous: AmbiguousPaths) -> Result<NormalPath<'static>, PatternFault> {
    if !text.starts_with('/') {
        return Err(PatternFault::NotAPath);
    }
    if text.len() > MAX_PATTERN_BYTES {
        return Err(PatternFault::TooLong);
    }
    // A path whose requests are all rejected is an error. A path in another spelling yields the normalized form.
    let escaped = percent_encode(text.as_bytes(), |_, byte| byte.is_ascii());
    let target = RequestTarget::read(escaped.as_bytes(), ambiguous).map_err(PatternFault::Rejected)?;
    let path = target.path().clone().into_owned();
    if path.as_str() != text {
        return Err(PatternFault::NotNormal(path));
    }
    if ambiguous == AmbiguousPaths::Reject && text.contains(';') {
        return Err(PatternFault::Parameter);
    }
    Ok(path)
}

/// The literal start of every string that the expression matches. It may be shorter than possible: that only costs
/// time, while a longer one would break matching.
fn leading_literal(expression: &str) -> String {
    let mut literal = String::new();
    if has_top_level_alternation(expression) {
        return literal;
    }
    let mut left = expression.strip_prefix('^').unwrap_or(expression).chars();
    while let Some(character) = left.next() {
        match character {
            '\\' => match left.next() {
                // `\<` and `\>` are word boundaries, as are letters.
                Some(escaped) if escaped.is_ascii_punctuation() && !matches!(escaped, '<' | '>') => {
                    literal.push(escaped)
                }
                Some(_) | None => return literal,
            },
            '?' | '*' | '+' | '{' => {
                // The previous character may be absent or repeated.
                literal.pop();
                return literal;
            }
            '.' | '(' | ')' | '[' | ']' | '}' | '|' | '^' | '$' => return literal,
            plain => literal.push(plain),
        }
    }
    literal
}

/// The literal end of every string that the expression matches. It may be shorter than possible too.
fn ending_literal(expression: &str) -> &str {
    if has_top_level_alternation(expression) {
        return "";
    }
    let body = expression.strip_suffix('$').unwrap_or(expression);
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_~/".contains(character);
    let (before, ending) = body.split_at_checked(body.trim_end_matches(is_plain).len()).unwrap_or_default();
    if before.ends_with('\\') {
        // The ending starts with the escaped character: `\d`, `\x41`.
        return ending.find('/').and_then(|at| ending.get(at..)).unwrap_or_default();
    }
    ending
}

/// Whether there may be an alternation outside all groups. Then there is no common start.
fn has_top_level_alternation(expression: &str) -> bool {
    let mut depth = 0_usize;
    let mut in_class = false;
    let mut before = ['\0'; 2];
    let mut left = expression.chars().peekable();
    while let Some(character) = left.next() {
        // `]` is an ordinary character at the start of a class.
        let is_class_start = before[1] == '[' || before == ['[', '^'];
        match (character, in_class) {
            ('\\', _) => drop(left.next()),
            ('[', true) => return true,
            ('[', false) => in_class = true,
            (']', true) => in_class = is_class_start,
            ('(', false) => {
                depth = depth.saturating_add(1);
                // Flags change the syntax: with `(?x)` comments may contain any character.
                let mut ahead = left.clone();
                if ahead.next() == Some('?') && ahead.next() != Some(':') {
                    return true;
                }
            }
            (')', false) => depth = depth.saturating_sub(1),
            ('|', false) if depth == 0 => return true,
            _ => {}
        }
        before = [before[1], character];
    }
    false
}

/// The index key of a regular expression: the literal start and end of its matches.
#[cfg(test)]
pub(super) fn index_key(pattern: &PathPattern) -> Option<(&str, &str)> {
    match &pattern.kind {
        Kind::Regex(regex) => Some((regex.leading.as_str(), &regex.ending)),
        Kind::Any | Kind::Exact(_) | Kind::Prefix(_) => None,
    }
}
