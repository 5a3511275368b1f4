//! The path as a rule names it: all, one, a prefix of whole segments, or a regular expression.
//!
//! A slash at the end is no difference: most frameworks serve `/admin/` as `/admin`, and a rule for one that is
//! none for the other is dodged by a keystroke. So an exact path and a prefix are met with and without it, however
//! they are written. A regular expression is tried on the path as it is, and on one that ends with a slash also
//! without that; it says itself (`/?`) when it is also to be met by a path that lacks one.
//!
//! Regular expressions match the whole path, in time linear in its length (no back-references, no look-around),
//! and know ASCII only, as normal paths are ASCII.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

use crate::encoding::percent_encode;
use crate::policy::request_target::{AmbiguousPaths, NormalPath, RequestTarget};
use crate::policy::route::PatternFault;

/// The longest path or regular expression of a rule, in bytes.
pub const LONGEST_PATTERN: usize = 1024;

/// How much a regular expression may take when compiled, in bytes: about a thousand steps, each of which a path of
/// [`LONGEST_PATH`](crate::policy::request_target::LONGEST_PATH) may cost for each of its bytes.
const LARGEST_PROGRAM: usize = 32 * 1024;

/// Up to this it is an expression that is too large, and no mistake in its writing.
const LARGEST_TRIED: usize = 1024 * 1024;

/// Groups within groups.
const DEEPEST_NESTING: u32 = 32;

/// Whether `/Admin` is `/admin`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LetterCase {
    /// It is another path, as RFC 3986 section 6.2.2.1 has it.
    #[default]
    Matters,
    /// It is the same, for backends that route so (Express, IIS). Not for a rule that lets requests in without a
    /// token: for another backend it would be a wider door.
    Ignored,
}

/// The paths that a rule is for.
#[derive(Clone, Debug, Default)]
pub struct PathPattern {
    pub(super) kind: Kind,
    pub(super) case: LetterCase,
}

#[derive(Clone, Debug, Default)]
pub(super) enum Kind {
    #[default]
    Any,
    Exact(NormalPath<'static>),
    Prefix(NormalPath<'static>),
    Regex(PathRegex),
}

/// A regular expression over whole paths.
#[derive(Clone)]
pub(super) struct PathRegex {
    regex: Regex,
    /// The path of which every path that matches has all segments: literally what the expression begins with.
    leading: NormalPath<'static>,
    /// What every text that matches ends with. To compare that is a hundred times quicker than to run the expression.
    ending: String,
    case: LetterCase,
}

impl PathPattern {
    /// Every path.
    pub const ANY: Self = Self { kind: Kind::Any, case: LetterCase::Matters };

    /// This path, with or without a slash at its end.
    ///
    /// # Errors
    /// When it is not in normal form.
    pub fn exact(text: &str, case: LetterCase, ambiguous: AmbiguousPaths) -> Result<Self, PatternFault> {
        Ok(Self { kind: Kind::Exact(normal(text, ambiguous)?), case })
    }

    /// This path and every one below it: `/admin` is no prefix of `/administrator`.
    ///
    /// # Errors
    /// When it is not in normal form.
    pub fn prefix(text: &str, case: LetterCase, ambiguous: AmbiguousPaths) -> Result<Self, PatternFault> {
        Ok(Self { kind: Kind::Prefix(normal(text, ambiguous)?), case })
    }

    /// The paths that this expression matches from end to end.
    ///
    /// # Errors
    /// When it does not compile, is too large, or can match no path.
    pub fn regex(text: &str, case: LetterCase, ambiguous: AmbiguousPaths) -> Result<Self, PatternFault> {
        if text.len() > LONGEST_PATTERN {
            return Err(PatternFault::TooLong);
        }
        if !text.is_ascii() {
            return Err(PatternFault::RegexNotAscii);
        }
        // By itself first: `a)|(?:b` would get out of the anchors, and is no expression.
        compile(text, case)?;
        let regex = compile(&format!("^(?:{text})$"), case)?;
        let literal = leading_literal(text);
        // With nothing literal at the beginning it may be anything: `(/a|/b)/c`, `.*\.json`.
        if text.is_empty() || !(literal.is_empty() || literal.starts_with('/')) {
            return Err(PatternFault::NotAPath);
        }
        let leading = literal.rsplit_once('/').map_or("", |(whole_segments, _)| whole_segments);
        let leading = normal_text(&format!("{leading}/"), ambiguous)?;
        let ending = ending_literal(text).to_owned();
        Ok(Self { kind: Kind::Regex(PathRegex { regex, leading, ending, case }), case })
    }
}

impl PathPattern {
    /// Whether it may be met by this path or one below it: too often where that is not plain to see.
    pub fn may_meet_below(&self, path: &NormalPath<'_>) -> bool {
        let is_above = |own: &NormalPath<'_>| self.leads(own, path);
        let is_below = |own: &NormalPath<'_>| self.leads(path, own);
        match &self.kind {
            Kind::Any => true,
            Kind::Exact(own) => is_below(own),
            Kind::Prefix(own) => is_above(own) || is_below(own),
            Kind::Regex(regex) => is_above(regex.leading()) || is_below(regex.leading()),
        }
    }

    /// Whether every path of `other` is certainly one of this pattern; `false` where that is not plain to see.
    pub fn covers(&self, other: &Self) -> bool {
        let compares_as_loosely = self.case == LetterCase::Ignored || other.case == LetterCase::Matters;
        match (&self.kind, &other.kind) {
            (Kind::Any, _) => true,
            (Kind::Prefix(own), Kind::Exact(path) | Kind::Prefix(path)) => compares_as_loosely && self.leads(own, path),
            (Kind::Prefix(own), Kind::Regex(regex)) => compares_as_loosely && self.leads(own, regex.leading()),
            (Kind::Exact(own), Kind::Exact(path)) => {
                compares_as_loosely && self.leads(own, path) && other.leads(path, own)
            }
            (Kind::Regex(own), Kind::Regex(regex)) => {
                self.case == other.case && own.regex.as_str() == regex.regex.as_str()
            }
            (Kind::Prefix(_) | Kind::Exact(_) | Kind::Regex(_), _) => false,
        }
    }

    /// Whether the second path has all segments of the first.
    fn leads(&self, first: &NormalPath<'_>, second: &NormalPath<'_>) -> bool {
        let mut left = second.segments();
        first.segments().all(|segment| {
            left.next().is_some_and(|other| match self.case {
                LetterCase::Matters => segment == other,
                LetterCase::Ignored => segment.eq_ignore_ascii_case(other),
            })
        })
    }

    /// Whether it is this one path.
    pub fn is_exactly(&self, path: &str) -> bool {
        matches!(&self.kind, Kind::Exact(own) if own.as_str() == path)
    }
}

impl PathRegex {
    pub(super) fn matches(&self, path: &NormalPath<'_>) -> bool {
        let shorter = path.as_str().strip_suffix('/').filter(|shorter| !shorter.is_empty());
        self.matches_text(path.as_str()) || shorter.is_some_and(|shorter| self.matches_text(shorter))
    }

    fn matches_text(&self, text: &str) -> bool {
        let end = text.len().checked_sub(self.ending.len()).and_then(|at| text.get(at..));
        let ends_so = end.is_some_and(|end| match self.case {
            LetterCase::Matters => end == self.ending,
            LetterCase::Ignored => end.eq_ignore_ascii_case(&self.ending),
        });
        ends_so && self.regex.is_match(text)
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

fn compile(text: &str, case: LetterCase) -> Result<Regex, PatternFault> {
    let build = |size| {
        RegexBuilder::new(text)
            .case_insensitive(case == LetterCase::Ignored)
            .nest_limit(DEEPEST_NESTING)
            .size_limit(size)
            .build()
    };
    build(LARGEST_PROGRAM).map_err(|_| match build(LARGEST_TRIED) {
        Ok(_) => PatternFault::RegexTooLarge,
        Err(_) => PatternFault::Regex,
    })
}

/// A path as an operator writes it.
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
    if text.len() > LONGEST_PATTERN {
        return Err(PatternFault::TooLong);
    }
    // Everything refused would be refused in requests; what only needs another spelling is told how it is spelled.
    let spelled = match text.is_ascii() {
        true => text.to_owned(),
        false => escaped_where_not_ascii(text),
    };
    let target = RequestTarget::read(spelled.as_bytes(), ambiguous).map_err(PatternFault::Refused)?;
    let path = target.path().clone().into_owned();
    if path.as_str() != text {
        return Err(PatternFault::NotNormal(path));
    }
    if ambiguous == AmbiguousPaths::Refuse && text.contains(';') {
        return Err(PatternFault::Parameter);
    }
    Ok(path)
}

fn escaped_where_not_ascii(text: &str) -> String {
    percent_encode(text.as_bytes(), |_, byte| byte.is_ascii())
}

/// What every text that the expression matches begins with. Less than there is where the expression is not plain:
/// too little costs time, too much would lose a request its rule.
fn leading_literal(expression: &str) -> String {
    let mut literal = String::new();
    if branches_at_the_top(expression) {
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
                // The character before may be there never, or often.
                literal.pop();
                return literal;
            }
            '.' | '(' | ')' | '[' | ']' | '}' | '|' | '^' | '$' => return literal,
            plain => literal.push(plain),
        }
    }
    literal
}

/// What every text that the expression matches ends with; again rather too little.
fn ending_literal(expression: &str) -> &str {
    if branches_at_the_top(expression) {
        return "";
    }
    let body = expression.strip_suffix('$').unwrap_or(expression);
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_~/".contains(character);
    let (before, ending) = body.split_at_checked(body.trim_end_matches(is_plain).len()).unwrap_or_default();
    if before.ends_with('\\') {
        // It begins with what was escaped: `\d`, `\x41`.
        return ending.find('/').and_then(|at| ending.get(at..)).unwrap_or_default();
    }
    ending
}

/// Whether there is, or may be, an alternation outside of every group: then nothing stands at the beginning of all.
fn branches_at_the_top(expression: &str) -> bool {
    let mut depth = 0_usize;
    let mut in_class = false;
    let mut before = ['\0'; 2];
    let mut left = expression.chars().peekable();
    while let Some(character) = left.next() {
        // `]` is an ordinary character at the beginning of a class.
        let begins_class = before[1] == '[' || before == ['[', '^'];
        match (character, in_class) {
            ('\\', _) => drop(left.next()),
            ('[', true) => return true,
            ('[', false) => in_class = true,
            (']', true) => in_class = begins_class,
            ('(', false) => {
                depth = depth.saturating_add(1);
                // Flags change what follows: in `(?x)` there may be comments with any signs in them.
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

/// Where a regular expression is filed: what its matches begin and end with.
#[cfg(test)]
pub(super) fn filed_under(pattern: &PathPattern) -> Option<(&str, &str)> {
    match &pattern.kind {
        Kind::Regex(regex) => Some((regex.leading.as_str(), &regex.ending)),
        Kind::Any | Kind::Exact(_) | Kind::Prefix(_) => None,
    }
}
