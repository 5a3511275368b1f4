//! The request target (`:path`), read the one way that rules are written for, or refused.
//!
//! A rule that is matched against another path than the backend serves is no rule: `/public/../admin`,
//! `/public/..;/admin`, `/public/..%2fadmin` have each opened a gateway (group I of `tests/core/attack_cases.rs`). So what all
//! servers read alike is brought to one form, and what some read differently is refused before any rule is tried.
//!
//! | in the target | servers | here |
//! |---|---|---|
//! | `?` and behind | nobody's path | cut off |
//! | `%61`, `%7e`, `%3A`, `%40` | decoded by all | decoded: whatever may stand in a segment as it is, does |
//! | `%20`, `%23`, `%3F`, `%25`, `{`, `é` as `%C3%A9` | one ordinary character | its escape, in capitals |
//! | `%252e` | decoded once; twice only against RFC 3986 section 2.4 | the text `%2e`: `%25` stays an escape |
//! | `/a/../b`, `/a/%2e%2e/b`, `/./b` | Envoy (`normalize_path`), nginx: `/b` (RFC 3986 section 5.2.4); Express, Fastify, WSGI: as it is | `/b`, and as it is as another reading |
//! | `..` above the root | Tomcat and nginx refuse, Go and URL parsers ignore | refused |
//! | `/a//b` | nginx, Tomcat, Go: `/a/b`; Envoy if told to | `/a/b` |
//! | `/a//../b` | Go, nginx, Tomcat: `/b`; Envoy, RFC 3986: `/a/b` | refused |
//! | `//a/b` | most: `/a/b`; `new URL()`, `urlsplit()`: `/b` of the host `a` | `/a/b`, and `/b` as another reading |
//! | `/a;x/b` | Tomcat, Jetty, Spring: `/a/b`; others: as it is | as it is, and `/a/b` as another reading |
//! | `/a;/b` | Fastify 3 and 4, restify: `/a`, the rest is the query | as it is, and `/a` as another reading |
//! | `/a%3Bx/b` | Shiro: `/a/b` (CVE-2020-11989); others: `/a;x/b` | `/a;x/b`, and `/a/b` and `/a` as other readings |
//! | `/a/..;/b`, `/a/..%3b/b` | Tomcat: `/b`; others: as it is | refused |
//! | `%2f`, `\`, `%5c` | a separator for some | refused |
//! | control bytes, `#`, a blank, broken escapes, bytes that are no UTF-8 | cut off, dropped, replaced | refused |
//!
//! A target with several readings is one for the router: it passes when all of them come to the same rule.
//! Letters keep their case. Nothing is decoded twice, and nothing here looks at rules or at other fields.

use std::borrow::Cow;

use crate::encoding::{is_pchar, percent_escape, push_percent_escape};
use crate::http::RequestHead;

/// The longest path that is looked at, in bytes and without its query: what nginx, Apache and Tomcat take by
/// default, and a bound to what a regular expression costs.
pub const LONGEST_PATH: usize = 8192;

/// `;` as it stands in a text whose readings are not known yet.
const ESCAPED_SEMICOLON: &str = "%3B";

/// What becomes of a target that two servers may read differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AmbiguousPaths {
    /// It is refused.
    #[default]
    Refuse,
    /// What is ambiguous is taken for ordinary characters of its segment, `%2f` among them, and `..` stops at the
    /// root. Only right where the backend is known to read it so.
    InsecureAllow,
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetFault {
    /// It does not begin with `/`, is missing or there twice: no rule could name it. The `*` of `OPTIONS` is none
    /// either; hosts have no route for it (Envoy answers 404).
    NotAPath,
    /// Longer than [`LONGEST_PATH`].
    TooLong,
    /// `%2f`: a separator for servers that decode first (CVE-2021-29492).
    EscapedSlash,
    /// `\` or `%5c`: a separator for Windows, browsers and Envoy's normalisation.
    Backslash,
    /// A control byte, raw or escaped: dropped by some, the end of the text for others.
    ControlByte,
    /// `%` without two hexadecimal digits behind it.
    BrokenEscape,
    /// A raw `#`: some servers end the path there (CVE-2021-39156).
    Fragment,
    /// A raw blank, at which a request line may be cut, or a byte that is not ASCII.
    RawByte,
    /// Escaped bytes that are not UTF-8: an overlong `%c0%af` is a slash for lenient decoders.
    NotUtf8,
    /// `;` behind a dot segment: servers that take parameters out see `..` (Tomcat), others a name.
    ParameterInDotSegment,
    /// `..` behind an empty segment: whether that is the one to go depends on what is done first.
    DotsAfterEmptySegment,
    /// More `..` than there are segments before them.
    AboveRoot,
}

/// A path in normal form: it begins with `/`, has no empty segment but perhaps a last one and no dot segments, every
/// character that may stand in a segment stands for itself and every other is an escape in capitals.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NormalPath<'a>(Cow<'a, str>);

/// A request's target: its path, and what some servers might take for its path instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTarget<'a> {
    path: NormalPath<'a>,
    other_readings: Vec<NormalPath<'static>>,
}

impl<'a> RequestTarget<'a> {
    /// The target of a request: its one `:path`. Fields such as `x-original-url` are none.
    ///
    /// # Errors
    /// When it cannot be read in one way.
    pub fn of(head: &'a RequestHead, ambiguous: AmbiguousPaths) -> Result<Self, TargetFault> {
        let mut values = head.values(":path");
        match (values.next(), values.next()) {
            (Some(target), None) => Self::read(target, ambiguous),
            (None | Some(_), _) => Err(TargetFault::NotAPath),
        }
    }

    /// Reads a target as it stands in `:path`.
    ///
    /// # Errors
    /// When it cannot be read in one way.
    pub fn read(target: &'a [u8], ambiguous: AmbiguousPaths) -> Result<Self, TargetFault> {
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        if path.first() != Some(&b'/') {
            return Err(TargetFault::NotAPath);
        }
        if path.len() > LONGEST_PATH {
            return Err(TargetFault::TooLong);
        }
        if let Some(text) = already_normal(path) {
            return Ok(Self { path: NormalPath(Cow::Borrowed(text)), other_readings: Vec::new() });
        }
        let text = spelled_alike(path, ambiguous)?;
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
        if ambiguous == AmbiguousPaths::Refuse {
            let texts = std::iter::once(&text).chain(&readings);
            texts.filter(|text| has_dot_segments(text)).for_each(|text| add(with_dot_segments(text)));
        }
        Ok(Self { path, other_readings })
    }

    /// Adds the path as the client wrote it to the other readings.
    ///
    /// # Errors
    /// When it is no text.
    pub fn with_reading_as_written(mut self, head: &RequestHead) -> Result<Self, TargetFault> {
        let target = head.single(":path").ok_or(TargetFault::NotAPath)?;
        let written = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        if written != self.path.as_str().as_bytes() {
            let written = std::str::from_utf8(written).map_err(|_| TargetFault::NotUtf8)?;
            self.other_readings.push(NormalPath(Cow::Owned(written.to_owned())));
        }
        Ok(self)
    }

    /// The path, as most servers read it.
    pub const fn path(&self) -> &NormalPath<'a> {
        &self.path
    }

    /// The other paths that some server may read; seldom any. They may have dot segments, which are names for such a server.
    pub fn other_readings(&self) -> &[NormalPath<'static>] {
        &self.other_readings
    }
}

impl NormalPath<'_> {
    /// The path as text; ASCII.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments; none for `/`, and none for a slash at the end.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// The same, on its own.
    pub fn into_owned(self) -> NormalPath<'static> {
        NormalPath(Cow::Owned(self.0.into_owned()))
    }
}

/// The path when nothing has to be done to it and it has one reading, as nearly always.
fn already_normal(path: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| PLAIN.get(usize::from(*byte)) == Some(&true);
    // In strides without a way out in between: several times as fast.
    let all_plain = path.chunks(32).all(|stride| stride.iter().fold(true, |all, byte| all & is_plain(byte)));
    let has_odd_segment = path.windows(2).any(|pair| matches!(pair, [b'/', b'/' | b'.']));
    if all_plain && !has_odd_segment { std::str::from_utf8(path).ok() } else { None }
}

/// What may stand in a path as it is and means the same to all, looked up: every request's path is looked at.
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

/// The characters brought to one spelling; separators and dots are as they were.
///
/// RFC 3986 section 6.2.2.2 has only unreserved characters decoded. Servers decode `:`, `@`, `+` and their like as
/// well, and with two spellings for them a rule for `/keys:revoke` would be none for `/keys%3Arevoke`.
fn spelled_alike(path: &[u8], ambiguous: AmbiguousPaths) -> Result<String, TargetFault> {
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
        if let (Some(fault), AmbiguousPaths::Refuse) = (fault, ambiguous) {
            return Err(fault);
        }
        plain.push(character);
        // An escaped `;` is kept apart until its readings are known: some servers look for one before they decode.
        let stands_for_itself = match character {
            b'/' | b';' => !is_escaped,
            other => is_pchar(other),
        };
        if stands_for_itself {
            text.push(char::from(character));
        } else {
            push_percent_escape(&mut text, character);
        }
    }
    // An ASCII character is never part of a longer one, so that the whole is right when each run of escapes is.
    if ambiguous == AmbiguousPaths::Refuse && std::str::from_utf8(&plain).is_err() {
        return Err(TargetFault::NotUtf8);
    }
    Ok(text)
}

/// What speaks against a character in a target.
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
    let refuses = ambiguous == AmbiguousPaths::Refuse;
    // Empty segments stay until the end, for `..` to be seen behind one.
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_with_slash = false;
    for segment in text.split('/').skip(1) {
        ends_with_slash = matches!(segment, "" | "." | "..");
        match segment {
            "." => {}
            ".." => {
                if refuses && kept.last() == Some(&"") {
                    return Err(TargetFault::DotsAfterEmptySegment);
                }
                while kept.pop_if(|last| last.is_empty()).is_some() {}
                if kept.pop().is_none() && refuses {
                    return Err(TargetFault::AboveRoot);
                }
            }
            named => {
                let name = before_parameter(named, Semicolon::Decoded);
                if refuses && matches!(name, "." | "..") {
                    return Err(TargetFault::ParameterInDotSegment);
                }
                kept.push(named);
            }
        }
    }
    Ok(joined(kept.into_iter(), ends_with_slash))
}

/// Merges slashes, and keeps dot segments as names.
fn with_dot_segments(text: &str) -> NormalPath<'static> {
    joined(text.split('/').skip(1), text.ends_with('/'))
}

fn has_dot_segments(text: &str) -> bool {
    text.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// The path of these segments without the empty ones.
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

/// What else the text may be for a server: the path of another host, a path with parameters in its segments, or a
/// path that ends at the first `;`.
fn readings(text: &str, ambiguous: AmbiguousPaths) -> Vec<String> {
    if ambiguous == AmbiguousPaths::InsecureAllow {
        return Vec::new();
    }
    let mut readings = Vec::new();
    if text.starts_with("//") {
        // RFC 3986 section 4.2, a network-path reference. Parsers that work as browsers do skip every slash.
        let behind_host = text.trim_start_matches('/').split_once('/').map_or("", |(_, path)| path);
        readings.push(format!("/{behind_host}"));
    }
    let bases = std::iter::once(text).chain(readings.iter().map(String::as_str));
    let stripped: Vec<String> = bases
        .flat_map(|base| {
            // Servers that look for `;` before they decode, and servers that decode first.
            let marks =
                [(base.contains(';'), Semicolon::AsWritten), (base.contains(ESCAPED_SEMICOLON), Semicolon::Decoded)];
            let present = marks.into_iter().filter(|(is_present, _)| *is_present);
            present.flat_map(move |(_, mark)| [without_parameters(base, mark), before_parameter(base, mark).to_owned()])
        })
        .collect();
    readings.extend(stripped);
    readings
}

/// Every segment without its parameters.
fn without_parameters(text: &str, mark: Semicolon) -> String {
    let names: Vec<&str> = text.split('/').map(|segment| before_parameter(segment, mark)).collect();
    names.join("/")
}

/// Which semicolons begin a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Semicolon {
    /// Those that are written as such.
    AsWritten,
    /// Escaped ones too.
    Decoded,
}

/// The text up to the first parameter. A path of semicolons has thousands of segments: each byte is looked at once.
fn before_parameter(text: &str, mark: Semicolon) -> &str {
    let bytes = text.as_bytes();
    let is_escaped = |at: usize| bytes.get(at..).is_some_and(|rest| rest.starts_with(ESCAPED_SEMICOLON.as_bytes()));
    let begins = |(at, byte): (usize, &u8)| match byte {
        b';' => true,
        b'%' => mark == Semicolon::Decoded && is_escaped(at),
        _ => false,
    };
    let end = bytes.iter().enumerate().position(begins).unwrap_or(bytes.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
