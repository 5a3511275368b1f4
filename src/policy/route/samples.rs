//! Examples of paths that a regular expression matches. They need not be complete: each is compared with the expression
//! before it is used.

use crate::policy::request_target::{AmbiguousPaths, RequestTarget};

/// The maximum number of examples of an expression and of each part of it.
const MAX_SAMPLES: usize = 8;
const MAX_SAMPLE_BYTES: usize = 256;
/// For `.` and for classes that exclude characters.
const USUAL: &str = "a0z-Z_.";

/// Candidates for examples of an expression; none if it has a syntax that is not read here.
pub(super) fn samples(expression: &str) -> Vec<String> {
    let mut parser = Parser { left: expression };
    let mut found = parser.alternatives().filter(|_| parser.left.is_empty()).unwrap_or_default();
    found.retain(|path| {
        let target = RequestTarget::read(path.as_bytes(), AmbiguousPaths::Reject);
        target.is_ok_and(|target| target.other_readings().is_empty() && target.path().as_str() == path)
    });
    found
}

struct Parser<'a> {
    left: &'a str,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let mut characters = self.left.chars();
        let next = characters.next();
        self.left = characters.as_str();
        next
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.left.strip_prefix(text);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }

    fn alternatives(&mut self) -> Option<Vec<String>> {
        let mut branches = vec![self.sequence()?];
        while self.take("|") {
            branches.push(self.sequence()?);
        }
        // The first of each, then the second of each.
        let longest = branches.iter().map(Vec::len).max().unwrap_or_default();
        let mut found = Vec::new();
        for place in 0..longest {
            found.extend(branches.iter().filter_map(|branch| branch.get(place)).cloned());
        }
        found.truncate(MAX_SAMPLES);
        Some(found)
    }

    fn sequence(&mut self) -> Option<Vec<String>> {
        let mut found = vec![String::new()];
        while !self.left.is_empty() && !self.left.starts_with(['|', ')']) {
            let part = self.repeated()?;
            let count =
                if found.len().max(part.len()) > MAX_SAMPLES { MAX_SAMPLES } else { found.len().max(part.len()) };
            let at = |list: &[String], place: usize| list.get(place % list.len().max(1)).cloned();
            found = (0..count).filter_map(|place| Some(at(&found, place)? + &at(&part, place)?)).collect();
            found.retain(|text| text.len() <= MAX_SAMPLE_BYTES);
        }
        Some(found)
    }

    fn repeated(&mut self) -> Option<Vec<String>> {
        let part = self.single()?;
        let counts: [usize; 2] = match self.left.chars().next() {
            Some('?') => [0, 1],
            Some('*') => [0, 2],
            Some('+') => [1, 2],
            Some('{') => {
                let (counts, _) = self.left.get(1..)?.split_once('}')?;
                let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
                let least: usize = least.trim().parse().ok()?;
                [least, most.trim().parse().unwrap_or(least.saturating_add(1))]
            }
            _ => return Some(part),
        };
        let operator = if self.left.starts_with('{') { self.left.find('}')? } else { 0 };
        self.left = self.left.get(operator.saturating_add(1)..)?;
        self.take("?");
        let mut found: Vec<String> = Vec::new();
        for count in counts {
            found.extend(part.iter().map(|text| text.repeat(count.min(MAX_SAMPLE_BYTES))));
        }
        found.retain(|text| text.len() <= MAX_SAMPLE_BYTES);
        found.dedup();
        Some(found)
    }

    fn single(&mut self) -> Option<Vec<String>> {
        match self.next()? {
            '(' => {
                if self.take("?") && !self.take(":") {
                    return None;
                }
                let inner = self.alternatives()?;
                self.take(")").then_some(inner)
            }
            '[' => self.class(),
            '.' => Some(characters(USUAL.chars())),
            '^' | '$' => Some(vec![String::new()]),
            '\\' => Some(characters(escaped(self.next()?)?.chars())),
            plain => Some(vec![plain.to_string()]),
        }
    }

    fn class(&mut self) -> Option<Vec<String>> {
        let excludes = self.take("^");
        let mut ranges: Vec<(char, char)> = Vec::new();
        while ranges.is_empty() || !self.left.starts_with(']') {
            let first = match self.next()? {
                '\\' => {
                    let members = escaped(self.next()?)?;
                    ranges.extend(members.chars().map(|member| (member, member)));
                    continue;
                }
                '[' | '&' | '~' => return None,
                plain => plain,
            };
            let is_range = self.left.starts_with('-') && !self.left.starts_with("-]");
            let last = if is_range { self.next().and_then(|_| self.next())? } else { first };
            ranges.push((first, last));
        }
        self.take("]");
        let is_in = |one: &char| ranges.iter().any(|(first, last)| first <= one && one <= last);
        Some(if excludes {
            characters(USUAL.chars().filter(|one| !is_in(one)))
        } else {
            characters(ranges.iter().flat_map(|(first, last)| [*first, *last]))
        })
    }
}

/// The characters of an escape.
fn escaped(character: char) -> Option<&'static str> {
    match character {
        'd' => Some("09"),
        'w' => Some("a0_"),
        '.' => Some("."),
        '-' => Some("-"),
        '/' => Some("/"),
        '_' => Some("_"),
        '+' => Some("+"),
        '$' => Some("$"),
        '(' => Some("("),
        ')' => Some(")"),
        _ => None,
    }
}

fn characters(members: impl Iterator<Item = char>) -> Vec<String> {
    let mut found: Vec<String> = members.map(String::from).collect();
    found.dedup();
    found.truncate(MAX_SAMPLES);
    found
}
