//! Parses the request target (`:path`) into the normal form that rules match, or rejects it.
//!
//! A rule must match the path that the backend serves. `/public/../admin`, `/public/..;/admin` and `/public/..%2fadmin`
//! have each bypassed a gateway (group I of `tests/core/attack_cases.rs`). So targets that all servers read alike are normalized, and
//! targets that some servers read differently are rejected before any rule is matched.
//!
//! | in the target | servers | here |
//! |---|---|---|
//! | `?` and everything after it | not part of the path | removed |
//! | `%61`, `%7e`, `%3A`, `%40` | decoded by all | decoded, if the character may occur in a segment |
//! | `%20`, `%23`, `%3F`, `%25`, `{`, `é` as `%C3%A9` | one ordinary character | an escape in upper case |
//! | `%252e` | decoded once; twice only against RFC 3986 section 2.4 | the string `%2e`: `%25` remains an escape |
//! | `/a/../b`, `/a/%2e%2e/b`, `/./b` | Envoy (`normalize_path`), nginx: `/b` (RFC 3986 section 5.2.4); Express, Fastify, WSGI: unchanged | `/b`, and the unchanged path as another reading |
//! | `..` above the root | Tomcat and nginx reject, Go and URL parsers ignore | rejected |
//! | `/a//b` | nginx, Tomcat, Go: `/a/b`; Envoy if configured | `/a/b` |
//! | `/a//../b` | Go, nginx, Tomcat: `/b`; Envoy, RFC 3986: `/a/b` | rejected |
//! | `//a/b` | most: `/a/b`; `new URL()`, `urlsplit()`: `/b` of the host `a` | `/a/b`, and `/b` as another reading |
//! | `/a;x/b` | Tomcat, Jetty, Spring: `/a/b`; others: unchanged | unchanged, and `/a/b` as another reading |
//! | `/a;/b` | Fastify 3 and 4, restify: `/a`, the rest is the query | unchanged, and `/a` as another reading |
//! | `/a%3Bx/b` | Shiro: `/a/b` (CVE-2020-11989); others: `/a;x/b` | `/a;x/b`, and `/a/b` and `/a` as other readings |
//! | `/a/..;/b`, `/a/..%3b/b` | Tomcat: `/b`; others: unchanged | rejected |
//! | `%2f`, `\`, `%5c` | a separator for some | rejected |
//! | control bytes, `#`, a space, invalid escapes, bytes that are not UTF-8 | cut off, dropped, replaced | rejected |
//!
//! If a target has several readings, the router accepts it only if all of them match the same rule. Case is preserved.
//! Nothing is decoded twice. This module reads neither rules nor other header fields.

use std::borrow::Cow;

use crate::encoding::{is_pchar, percent_escape, push_percent_escape};
use crate::http::RequestHead;

/// The longest accepted path in bytes, without its query. It is the default limit of nginx, Apache and Tomcat, and
/// bounds the cost of regular expressions.
pub const MAX_PATH_BYTES: usize = 8192;

/// An escaped `;` in a path whose readings are not determined yet.
const ESCAPED_SEMICOLON: &str = "%3B";

/// The handling of targets that servers may read differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AmbiguousPaths {
    /// They are rejected.
    #[default]
    Reject,
    /// Ambiguous characters, including `%2f`, are ordinary characters of their segment, and `..` stops at the root.
    /// Only safe if the backend reads paths this way.
    InsecureAllow,
}

/// Why a target is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetFault {
    /// It does not start with `/`, is missing or repeated, so no rule could match it. This includes the `*` of
    /// `OPTIONS`, which hosts do not route (Envoy responds with 404).
    NotAPath,
    /// It is longer than [`MAX_PATH_BYTES`].
    TooLong,
    /// `%2f`: a separator for servers that decode first (CVE-2021-29492).
    EscapedSlash,
    /// `\` or `%5c`: a separator for Windows, browsers and Envoy's normalization.
    Backslash,
    /// A control byte, raw or escaped: some servers drop it, others end the string there.
    ControlByte,
    /// `%` without two hexadecimal digits after it.
    BrokenEscape,
    /// A raw `#`: some servers end the path there (CVE-2021-39156).
    Fragment,
    /// A raw space, where a request line may be cut, or a byte that is not ASCII.
    RawByte,
    /// Escaped bytes that are not UTF-8. An overlong `%c0%af` is a slash for lenient decoders.
    NotUtf8,
    /// `;` after a dot segment. Servers that remove parameters see `..` (Tomcat), others a name.
    ParameterInDotSegment,
    /// `..` after an empty segment. Servers disagree about which segment it removes.
    DotsAfterEmptySegment,
    /// More `..` than preceding segments.
    AboveRoot,
}

/// A normalized path. It starts with `/`, has no dot segments and no empty segment except a last one. Characters that
/// may occur in a segment are not escaped, and all others are escaped in upper case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NormalPath<'a>(Cow<'a, str>);

/// The path of a request, and the other paths that some servers may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTarget<'a> {
    path: NormalPath<'a>,
    other_readings: Vec<NormalPath<'static>>,
}

impl<'a> RequestTarget<'a> {
    /// The target of a request: its single `:path`. Fields such as `x-original-url` are ignored.
    ///
    /// # Errors
    /// If it is invalid or ambiguous.
    pub fn of(head: &'a RequestHead, ambiguous: AmbiguousPaths) -> Result<Self, TargetFault> {
        Self::read(head.single(":path").ok_or(TargetFault::NotAPath)?, ambiguous)
    }

    /// Parses a target as it occurs in `:path`.
    ///
    /// # Errors
    /// If it is invalid or ambiguous.
    pub fn read(target: &'a [u8], ambiguous: AmbiguousPaths) -> Result<Self, TargetFault> {
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        if path.first() != Some(&b'/') {
            return Err(TargetFault::NotAPath);
        }
        if path.len() > MAX_PATH_BYTES {
            return Err(TargetFault::TooLong);
        }
        if let Some(text) = already_normal(path) {
            return Ok(Self { path: NormalPath(Cow::Borrowed(text)), other_readings: Vec::new() });
        }
        let text = normalize_escapes(path, ambiguous)?;
        let path = without_dot_segments(&text, ambiguous)?;
        let mut other_readings = Vec::new();
        let mut add = |other: NormalPath<'static>| {
            if other != path && !other_readings.contains(&other) {
                other_readings.push(other);
            }
        };
        let readings = readings(&text, ambiguous);
        for reading in &readings {
            add(without_dot_segments(reading, ambiguous)?);
        }
        if ambiguous == AmbiguousPaths::Reject {
            let texts = std::iter::once(&text).chain(&readings);
            texts.filter(|text| has_dot_segments(text)).for_each(|text| add(with_dot_segments(text)));
        }
        Ok(Self { path, other_readings })
    }

    /// Adds the path as the client wrote it to the other readings.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn with_reading_as_written(mut self, head: &RequestHead) -> Result<Self, TargetFault> {
        let target = head.single(":path").ok_or(TargetFault::NotAPath)?;
        let written = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        if written != self.path.as_str().as_bytes() {
            let written = std::str::from_utf8(written).map_err(|_| TargetFault::NotUtf8)?;
            self.other_readings.push(NormalPath(Cow::Owned(written.to_owned())));
        }
        Ok(self)
    }

    /// The path as most servers read it.
    pub const fn path(&self) -> &NormalPath<'a> {
        &self.path
    }

    /// The other paths that some servers may read; usually none. They may contain dot segments, which those servers
    /// read as names.
    pub fn other_readings(&self) -> &[NormalPath<'static>] {
        &self.other_readings
    }
}

impl NormalPath<'_> {
    /// The path as an ASCII string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments. `/` has none, and a trailing slash adds none.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// The same path without a borrow.
    pub fn into_owned(self) -> NormalPath<'static> {
        NormalPath(Cow::Owned(self.0.into_owned()))
    }
}

/// The path, if it is normalized and has one reading, as nearly always.
fn already_normal(path: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| PLAIN.get(usize::from(*byte)) == Some(&true);
    // Chunks without an early exit are several times as fast.
    let is_all_plain = path.chunks(32).all(|stride| stride.iter().fold(true, |all, byte| all & is_plain(byte)));
    let has_odd_segment = path.windows(2).any(|pair| matches!(pair, [b'/', b'/' | b'.']));
    if is_all_plain && !has_odd_segment { std::str::from_utf8(path).ok() } else { None }
}

/// Characters that need no escape and mean the same to all servers. A table, because every request's path is scanned.
#[allow(clippy::indexing_slicing, reason = "evaluated when this is compiled: out of bounds is an error there")]
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        table[byte as usize] = byte == b'/' || (is_pchar(byte) && byte != b';');
        byte += 1;
    }
    table
};

/// Normalizes the escapes. Separators and dots are unchanged.
///
/// RFC 3986 section 6.2.2.2 decodes unreserved characters only. Servers also decode `:`, `@`, `+` and similar ones.
/// With two spellings, a rule for `/keys:revoke` would not match `/keys%3Arevoke`.
fn normalize_escapes(path: &[u8], ambiguous: AmbiguousPaths) -> Result<String, TargetFault> {
    let mut text = String::with_capacity(path.len());
    let mut plain = Vec::with_capacity(path.len());
    let mut left = path;
    while let [byte, rest @ ..] = left {
        left = rest;
        let (character, is_escaped) = match (*byte, percent_escape(rest)) {
            (b'%', Some((character, behind))) => {
                left = behind;
                (character, true)
            }
            (raw, _) => (raw, false),
        };
        let fault = fault_of(character, is_escaped);
        if let (Some(fault), AmbiguousPaths::Reject) = (fault, ambiguous) {
            return Err(fault);
        }
        plain.push(character);
        // An escaped `;` remains escaped until the readings are determined: some servers search for `;` before they
        // decode.
        let is_literal = match character {
            b'/' | b';' => !is_escaped,
            other => is_pchar(other),
        };
        if is_literal {
            text.push(char::from(character));
        } else {
            push_percent_escape(&mut text, character);
        }
    }
    // An ASCII character is never part of a longer one, so the whole is valid if each run of escapes is valid.
    if ambiguous == AmbiguousPaths::Reject && std::str::from_utf8(&plain).is_err() {
        return Err(TargetFault::NotUtf8);
    }
    Ok(text)
}

/// Why a character is rejected in a target.
const fn fault_of(character: u8, is_escaped: bool) -> Option<TargetFault> {
    match (character, is_escaped) {
        (0..=0x1f | 0x7f, _) => Some(TargetFault::ControlByte),
        (b'\\', _) => Some(TargetFault::Backslash),
        (b'/', true) => Some(TargetFault::EscapedSlash),
        (b'%', false) => Some(TargetFault::BrokenEscape),
        (b'#', false) => Some(TargetFault::Fragment),
        (b' ' | 0x80.., false) => Some(TargetFault::RawByte),
        _ => None,
    }
}

/// Takes dot segments out and merges slashes.
fn without_dot_segments(text: &str, ambiguous: AmbiguousPaths) -> Result<NormalPath<'static>, TargetFault> {
    let rejects = ambiguous == AmbiguousPaths::Reject;
    // Empty segments are removed last, so that `..` after one is detected.
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_with_slash = false;
    for segment in text.split('/').skip(1) {
        ends_with_slash = matches!(segment, "" | "." | "..");
        match segment {
            "." => {}
            ".." => {
                if rejects && segments.last() == Some(&"") {
                    return Err(TargetFault::DotsAfterEmptySegment);
                }
                while segments.pop_if(|last| last.is_empty()).is_some() {}
                if segments.pop().is_none() && rejects {
                    return Err(TargetFault::AboveRoot);
                }
            }
            named => {
                let name = before_parameter(named, Semicolon::Decoded);
                if rejects && matches!(name, "." | "..") {
                    return Err(TargetFault::ParameterInDotSegment);
                }
                segments.push(named);
            }
        }
    }
    Ok(joined(segments.into_iter(), ends_with_slash))
}

/// Merges slashes and keeps dot segments as names.
fn with_dot_segments(text: &str) -> NormalPath<'static> {
    joined(text.split('/').skip(1), text.ends_with('/'))
}

fn has_dot_segments(text: &str) -> bool {
    text.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// The path of the segments that are not empty.
fn joined<'a>(segments: impl Iterator<Item = &'a str>, ends_with_slash: bool) -> NormalPath<'static> {
    let mut path = String::new();
    for segment in segments.filter(|segment| !segment.is_empty()) {
        path.push('/');
        path.push_str(segment);
    }
    if path.contains(ESCAPED_SEMICOLON) {
        path = path.replace(ESCAPED_SEMICOLON, ";");
    }
    if ends_with_slash || path.is_empty() {
        path.push('/');
    }
    NormalPath(Cow::Owned(path))
}

/// The other readings of a path: the path of another host, a path without parameters, or a path that ends at the first
/// `;`.
fn readings(text: &str, ambiguous: AmbiguousPaths) -> Vec<String> {
    if ambiguous == AmbiguousPaths::InsecureAllow {
        return Vec::new();
    }
    let mut readings = Vec::new();
    if text.starts_with("//") {
        // RFC 3986 section 4.2, a network-path reference. Parsers that work like browsers skip every slash.
        let after_host = text.trim_start_matches('/').split_once('/').map_or("", |(_, path)| path);
        readings.push(format!("/{after_host}"));
    }
    let bases = std::iter::once(text).chain(readings.iter().map(String::as_str));
    let stripped: Vec<String> = bases
        .flat_map(|base| {
            // For servers that search for `;` before they decode, and for servers that decode first.
            let marks =
                [(base.contains(';'), Semicolon::AsWritten), (base.contains(ESCAPED_SEMICOLON), Semicolon::Decoded)];
            let present = marks.into_iter().filter(|(is_present, _)| *is_present);
            present.flat_map(move |(_, mark)| [without_parameters(base, mark), before_parameter(base, mark).to_owned()])
        })
        .collect();
    readings.extend(stripped);
    readings
}

/// All segments without their parameters.
fn without_parameters(text: &str, mark: Semicolon) -> String {
    let names: Vec<&str> = text.split('/').map(|segment| before_parameter(segment, mark)).collect();
    names.join("/")
}

/// The semicolons that start a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Semicolon {
    /// Unescaped ones.
    AsWritten,
    /// Escaped ones too.
    Decoded,
}

/// The string before the first parameter. A path of semicolons has thousands of segments, so each byte is scanned once.
fn before_parameter(text: &str, mark: Semicolon) -> &str {
    let bytes = text.as_bytes();
    let is_escaped = |at: usize| bytes.get(at..).is_some_and(|rest| rest.starts_with(ESCAPED_SEMICOLON.as_bytes()));
    let is_start = |(at, byte): (usize, &u8)| match byte {
        b';' => true,
        b'%' => mark == Semicolon::Decoded && is_escaped(at),
        _ => false,
    };
    let end = bytes.iter().enumerate().position(is_start).unwrap_or(bytes.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
