//! Paths of an operation: exact, `PREFIX*`, `*SUFFIX`, and templates. In templates `{*}` is one segment and `{**}` any
//! number of segments.

use crate::import::draft::{cel_string, regex_literal};

/// A path as Istio matches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// Every path.
    Any,
    /// This path.
    Exact(String),
    /// Paths that start with this string.
    Prefix(String),
    /// Paths that end with this string.
    Suffix(String),
    /// A URI template; segments are literal, `{*}` or `{**}`.
    Template(String),
}

/// The direction of an approximation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Only paths that certainly match.
    Certain,
    /// All paths that may match.
    Possible,
}

impl PathPattern {
    /// Parses a path. `None` for a wildcard that is neither the first nor the last character, which has more than one
    /// meaning.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains(['{', '}']) {
            let is_known = |part: &str| matches!(part, "{*}" | "{**}") || !part.contains(['{', '}', '*']);
            return text.split('/').all(is_known).then(|| Self::Template(text.to_owned()));
        }
        if text == "*" {
            return Some(Self::Any);
        }
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(suffix), None) if !suffix.contains('*') => Some(Self::Suffix(suffix.to_owned())),
            (None, Some(prefix)) if !prefix.contains('*') => Some(Self::Prefix(prefix.to_owned())),
            (None, None) if !text.contains('*') => Some(Self::Exact(text.to_owned())),
            (None | Some(_), None | Some(_)) => None,
        }
    }

    /// `path_regex` of a rule; `None` for every path.
    pub fn regex(&self, bound: Bound) -> Option<String> {
        match self {
            Self::Any => None,
            Self::Exact(path) => Some(regex_literal(path)),
            Self::Prefix(prefix) => Some(format!("{}.*", regex_literal(prefix))),
            Self::Suffix(suffix) => Some(format!(".*{}", regex_literal(suffix))),
            Self::Template(template) => Some(template_regex(template, bound)),
        }
    }

    /// A condition that holds for paths that certainly match: in normal form and as the client wrote them.
    pub fn certainly_matches(&self) -> String {
        match self {
            Self::Any => String::from("true"),
            Self::Exact(_) | Self::Prefix(_) | Self::Suffix(_) | Self::Template(_) => {
                format!("({} && {})", self.normal_form(Bound::Certain), self.as_written(Bound::Certain))
            }
        }
    }

    /// A condition that holds for all paths that may match: in normal form or as the client wrote them.
    pub fn possibly_matches(&self) -> String {
        match self {
            Self::Any => String::from("true"),
            Self::Exact(_) | Self::Prefix(_) | Self::Suffix(_) | Self::Template(_) => {
                format!("({} || {})", self.normal_form(Bound::Possible), self.as_written(Bound::Possible))
            }
        }
    }

    fn normal_form(&self, bound: Bound) -> String {
        match self {
            Self::Exact(path) if is_normal(path) => format!("request.url_path == {}", cel_string(path)),
            Self::Prefix(prefix) if is_normal(prefix.trim_end_matches('/')) => {
                format!("request.url_path.startsWith({})", cel_string(prefix))
            }
            Self::Any | Self::Exact(_) | Self::Prefix(_) | Self::Suffix(_) | Self::Template(_) => {
                let regex = self.regex(bound).unwrap_or_default();
                format!("request.url_path.matches({})", cel_string(&format!("^(?:{regex})$")))
            }
        }
    }

    /// `:path` also contains the query.
    fn as_written(&self, bound: Bound) -> String {
        match self {
            Self::Prefix(prefix) => format!("request.raw_path.startsWith({})", cel_string(prefix)),
            Self::Any | Self::Exact(_) | Self::Suffix(_) | Self::Template(_) => {
                let regex = match self {
                    Self::Suffix(suffix) => format!("[^?#]*{}", regex_literal(suffix)),
                    Self::Any | Self::Exact(_) | Self::Prefix(_) | Self::Template(_) => {
                        self.regex(bound).unwrap_or_default()
                    }
                };
                format!("request.raw_path.matches({})", cel_string(&format!("^(?:{regex})(?:[?#].*)?$")))
            }
        }
    }

    /// A pattern that matches only paths that both match; `None` if these kinds of patterns cannot express it.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, pattern) | (pattern, Self::Any) => Some(pattern.clone()),
            (Self::Exact(path), pattern) | (pattern, Self::Exact(path)) if pattern.has(path) => {
                Some(Self::Exact(path.clone()))
            }
            (Self::Prefix(one), Self::Prefix(two)) if one.starts_with(two.as_str()) => Some(self.clone()),
            (Self::Prefix(one), Self::Prefix(two)) if two.starts_with(one.as_str()) => Some(other.clone()),
            (Self::Suffix(one), Self::Suffix(two)) if one.ends_with(two.as_str()) => Some(self.clone()),
            (Self::Suffix(one), Self::Suffix(two)) if two.ends_with(one.as_str()) => Some(other.clone()),
            (Self::Template(one), Self::Template(two)) if one == two => Some(self.clone()),
            (_, _) => None,
        }
    }

    /// Whether the patterns certainly have no path in common.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let starts = |path: &str, pattern: &Self| path.starts_with(pattern.literal_start());
        match (self, other) {
            (Self::Exact(path), pattern) | (pattern, Self::Exact(path)) => {
                !starts(path, pattern) || matches!(pattern, Self::Exact(_) | Self::Suffix(_)) && !pattern.has(path)
            }
            (one, two) => !starts(one.literal_start(), two) && !starts(two.literal_start(), one),
        }
    }

    /// The prefix of every matching path.
    fn literal_start(&self) -> &str {
        match self {
            Self::Any | Self::Suffix(_) => "",
            Self::Exact(path) | Self::Prefix(path) => path,
            Self::Template(template) => template.split('{').next().unwrap_or_default(),
        }
    }

    /// Whether this path certainly matches.
    fn has(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => path.ends_with(suffix.as_str()),
            Self::Template(_) => false,
        }
    }
}

fn template_regex(template: &str, bound: Bound) -> String {
    let (segment, segments) = match bound {
        Bound::Certain => (SEGMENT, SEGMENTS),
        Bound::Possible => ("[^/?#]*", "[^?#]*"),
    };
    let part = |part: &str| match part {
        "{*}" => segment.to_owned(),
        "{**}" => segments.to_owned(),
        literal => regex_literal(literal),
    };
    template.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Whether every kind of normalization keeps the path unchanged.
fn is_normal(path: &str) -> bool {
    let is_plain = |segment: &str| {
        !segment.is_empty()
            && !segment.trim_matches('.').is_empty()
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_plain))
}

/// The characters that `{*}` and `{**}` certainly match in Envoy's URI templates.
const SEGMENT: &str = "[a-zA-Z0-9._~%!$&'()+,;:@-]+";
const SEGMENTS: &str = "[a-zA-Z0-9._~%!$&'()+,;:@/-]*";
