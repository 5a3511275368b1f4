//! Finds the fault of a document that is not valid JSON. `serde_json` tells only where it stopped, which may be far behind
//! the fault. Runs only after that.

use serde_json::Value;
use std::collections::BTreeMap;

use super::error::Path;
use super::json_error::{JsonCause, JsonError, TextPosition};
use crate::jose::JsonLimits;

/// Whether a text that does not begin with a bracket is JSON that was written wrong, and nothing else.
pub(super) fn begins_like_json(text: &[u8]) -> bool {
    // Byte-order marks of UTF-8 and UTF-16, and comments.
    let starts: [&[u8]; 6] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"//", b"/*", b"#"];
    starts.iter().any(|start| text.starts_with(start))
}

/// The first fault of the text, and the path of the member if it is about one. Positions are those in the text.
pub(super) fn find(text: &[u8], limits: JsonLimits) -> Option<(Path, JsonError)> {
    let fault = match std::str::from_utf8(text) {
        Ok(valid) => Scanner::new(valid, limits).document().err()?,
        Err(error) => Fault { offset: error.valid_up_to(), cause: JsonCause::NotUtf8, related: None, path: None },
    };
    let Fault { offset, cause, related, path } = fault;
    let at = |offset| TextPosition::of_offset(text, offset);
    let error = JsonError { cause, position: at(offset), related: related.map(at) };
    Some((path.unwrap_or_else(Path::root), error))
}

/// The offsets of all values of a valid text: of members that of the name.
pub(super) fn offsets(text: &[u8], limits: JsonLimits) -> BTreeMap<String, usize> {
    let mut scanner = Scanner::new(std::str::from_utf8(text).unwrap_or_default(), limits);
    let _up_to_a_fault = scanner.document();
    scanner.offsets
}

struct Fault {
    offset: usize,
    cause: JsonCause,
    related: Option<usize>,
    path: Option<Path>,
}

type Scan<T> = Result<T, Fault>;

const fn fault<T>(offset: usize, cause: JsonCause) -> Scan<T> {
    Err(Fault { offset, cause, related: None, path: None })
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    limits: JsonLimits,
    /// The offsets of the open brackets.
    open: Vec<usize>,
    /// A bracket that, by the indentation of its lines, is closed by the bracket of one around it.
    badly_closed: Option<usize>,
    offsets: BTreeMap<String, usize>,
}

impl<'a> Scanner<'a> {
    const fn new(text: &'a str, limits: JsonLimits) -> Self {
        Self { text, at: 0, limits, open: Vec::new(), badly_closed: None, offsets: BTreeMap::new() }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    /// The next character behind blanks.
    fn next(&mut self) -> Scan<Option<char>> {
        let rest = self.rest();
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.advance(rest.len().saturating_sub(trimmed.len()));
        let next = trimmed.chars().next();
        if trimmed.starts_with("//") || trimmed.starts_with("/*") || trimmed.starts_with('#') {
            return fault(self.at, JsonCause::Comment);
        }
        if next.is_some_and(|next| {
            next.is_whitespace() || matches!(next, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
        }) {
            return fault(self.at, JsonCause::Blank);
        }
        Ok(next)
    }

    fn document(&mut self) -> Scan<()> {
        if self.text.starts_with('\u{feff}') {
            return fault(0, JsonCause::ByteOrderMark);
        }
        self.value(&Path::root())?;
        match self.next()? {
            None => Ok(()),
            Some('{' | '[') => fault(self.at, JsonCause::SecondDocument),
            Some('}' | ']') => fault(self.at, JsonCause::UnopenedBracket),
            Some(',') => fault(self.at, JsonCause::TrailingComma),
            Some(_) => fault(self.at, JsonCause::TextBehind),
        }
    }

    fn value(&mut self, path: &Path) -> Scan<()> {
        let Some(first) = self.next()? else { return self.end() };
        self.offsets.entry(path.as_str().to_owned()).or_insert(self.at);
        match first {
            '{' => self.items('}', |scanner, names, _| scanner.member(path, names)),
            '[' => self.items(']', |scanner, _, index| scanner.value(&path.item(index))),
            '"' => self.string().map(drop),
            _ => self.scalar(first),
        }
    }

    /// The members of an object or the items of an array, up to the bracket `close`.
    fn items(
        &mut self,
        close: char,
        mut item: impl FnMut(&mut Self, &mut BTreeMap<String, usize>, usize) -> Scan<()>,
    ) -> Scan<()> {
        if self.open.len() >= self.limits.depth {
            return fault(self.at, JsonCause::TooDeep);
        }
        self.open.push(self.at);
        self.advance(1);
        let mut names = BTreeMap::new();
        let (mut count, mut comma) = (0_usize, None);
        loop {
            match (self.next()?, comma) {
                (None, _) => return self.end(),
                (Some(','), _) => return fault(self.at, JsonCause::ExtraComma),
                (Some('}' | ']'), Some(comma)) => return fault(comma, JsonCause::TrailingComma),
                (Some(found @ ('}' | ']')), None) => return self.close(found, close),
                (Some(_), _) => item(self, &mut names, count)?,
            }
            count = count.saturating_add(1);
            let end = self.at;
            match self.next()? {
                None => return self.end(),
                Some(',') => comma = Some(self.at),
                Some(found @ ('}' | ']')) => return self.close(found, close),
                Some(other) => return self.no_comma(end, other),
            }
            self.advance(1);
        }
    }

    /// The fault of a value that another character than a comma or a bracket follows.
    fn no_comma(&self, end: usize, found: char) -> Scan<()> {
        let last = end.saturating_sub(1);
        let is_behind_string = self.text.as_bytes().get(last) == Some(&b'"');
        if is_behind_string && self.at == end && (found.is_alphanumeric() || found == '"') {
            return fault(last, JsonCause::UnescapedQuote);
        }
        let begins_value = found.is_alphanumeric() || "\"'{[-_".contains(found) || is_smart_quote(found);
        if begins_value { fault(end, JsonCause::MissingComma) } else { fault(self.at, JsonCause::Unexpected) }
    }

    fn close(&mut self, found: char, close: char) -> Scan<()> {
        let opened = self.open.last().copied().unwrap_or_default();
        if found != close {
            return self.unclosed(self.at, opened);
        }
        let (line, indent) = self.line_of(self.at);
        let (line_of_opening, wanted) = self.line_of(opened);
        let begins_line = self.text.get(line..self.at).is_some_and(|before| before.trim().is_empty());
        if begins_line && line != line_of_opening && indent < wanted && self.badly_closed.is_none() {
            self.badly_closed = Some(opened);
        }
        self.open.pop();
        self.advance(1);
        Ok(())
    }

    /// The begin and the indentation of a line.
    fn line_of(&self, offset: usize) -> (usize, usize) {
        let begin =
            self.text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |end| end.saturating_add(1));
        let line = self.text.get(begin..).unwrap_or_default();
        (begin, line.len().saturating_sub(line.trim_start_matches([' ', '\t']).len()))
    }

    /// The end of the text inside a bracket or before a value.
    fn end<T>(&self) -> Scan<T> {
        let end = self.text.trim_ascii_end().len();
        match self.open.last() {
            Some(opened) => self.unclosed(end, *opened),
            None => fault(end, JsonCause::MissingValue),
        }
    }

    fn unclosed<T>(&self, offset: usize, opened: usize) -> Scan<T> {
        let opened = self.badly_closed.unwrap_or(opened);
        let is_object = self.text.as_bytes().get(opened) == Some(&b'{');
        let cause = if is_object { JsonCause::UnclosedObject } else { JsonCause::UnclosedArray };
        Err(Fault { offset, cause, related: Some(opened), path: None })
    }

    fn member(&mut self, object: &Path, names: &mut BTreeMap<String, usize>) -> Scan<()> {
        let start = self.at;
        match self.rest().chars().next().unwrap_or_default() {
            '"' => {}
            '\'' | '`' => return fault(start, JsonCause::SingleQuote),
            quote if is_smart_quote(quote) => return fault(start, JsonCause::SmartQuote),
            '_' | '$' => return fault(start, JsonCause::UnquotedName),
            letter if letter.is_alphabetic() => return fault(start, JsonCause::UnquotedName),
            _ => return fault(start, JsonCause::MissingName),
        }
        if names.len() >= self.limits.members {
            return fault(start, JsonCause::TooManyMembers);
        }
        let name = self.string()?;
        let end = self.at;
        match self.next()? {
            None => return self.end(),
            Some(':') => self.advance(1),
            // The name goes up to a quote that begins another string.
            Some(_) if name.contains(':') => return fault(start, JsonCause::UnclosedString),
            Some(_) => return fault(end, JsonCause::MissingColon),
        }
        let path = object.member(&name);
        self.offsets.entry(path.as_str().to_owned()).or_insert(start);
        if let Some(first) = names.insert(name, start) {
            let cause = JsonCause::DuplicateMember;
            return Err(Fault { offset: start, cause, related: Some(first), path: Some(path) });
        }
        self.value(&path)
    }

    /// A string, decoded.
    fn string(&mut self) -> Scan<String> {
        let (start, rest) = (self.at, self.rest());
        let mut within = 1_usize;
        // The first half of a surrogate pair.
        let mut half = None;
        while let Some(character) = rest.get(within..).and_then(|rest| rest.chars().next()) {
            let offset = start.saturating_add(within);
            let (code, length) = match escape(rest.get(within..).unwrap_or_default()) {
                _ if character != '\\' => (u32::from(character), character.len_utf8()),
                Some(escape) => escape,
                None if rest.len() == within.saturating_add(1) => break,
                None => return fault(offset, JsonCause::InvalidEscape),
            };
            let is_second_half = matches!(code, 0xdc00..=0xdfff);
            match half.take() {
                Some(first) if !is_second_half => return fault(first, JsonCause::InvalidEscape),
                None if is_second_half => return fault(offset, JsonCause::InvalidEscape),
                _ => half = matches!(code, 0xd800..=0xdbff).then_some(offset),
            }
            match character {
                '"' => {
                    let quoted = rest.get(..=within).unwrap_or_default();
                    self.advance(quoted.len());
                    // Not as a `String`: the errors of that bring 20 kB into the module, which format numbers.
                    return match serde_json::from_str(quoted) {
                        Ok(Value::String(text)) => Ok(text),
                        Ok(_) | Err(_) => fault(start, JsonCause::InvalidEscape),
                    };
                }
                '\n' | '\r' => break,
                control if control < ' ' => return fault(offset, JsonCause::ControlCharacter),
                _ => within = within.saturating_add(length),
            }
        }
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        match line.find(is_smart_quote) {
            Some(within) => fault(start.saturating_add(within), JsonCause::SmartQuote),
            None => fault(start, JsonCause::UnclosedString),
        }
    }

    /// A number or a constant.
    fn scalar(&mut self, first: char) -> Scan<()> {
        let rest = self.rest();
        let is_end = |character: char| character.is_whitespace() || ",:;]}[{\"/#".contains(character);
        let word = rest.split(is_end).next().unwrap_or_default();
        let cause = match word.to_ascii_lowercase().as_str() {
            "true" | "false" | "null" if word.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                self.advance(word.len());
                return Ok(());
            }
            "true" | "yes" => JsonCause::Constant("true"),
            "false" | "no" => JsonCause::Constant("false"),
            "null" | "none" | "nil" | "undefined" => JsonCause::Constant("null"),
            "nan" | "infinity" | "-infinity" | "+infinity" | "inf" | "-inf" => JsonCause::NotFinite,
            _ if is_number(word) => {
                if !word.parse::<f64>().is_ok_and(f64::is_finite) {
                    return fault(self.at, JsonCause::NumberOutOfRange);
                }
                self.advance(word.len());
                return Ok(());
            }
            _ if matches!(first, '}' | ']' | ',') => JsonCause::MissingValue,
            _ if matches!(first, '\'' | '`') => JsonCause::SingleQuote,
            _ if is_smart_quote(first) => JsonCause::SmartQuote,
            word if word.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) => {
                let is_numeric = word.starts_with("0x")
                    || word.bytes().all(|byte| byte.is_ascii_digit() || b"+-._e".contains(&byte));
                if is_numeric { JsonCause::InvalidNumber } else { JsonCause::UnquotedString }
            }
            _ if first.is_alphabetic() || first == '_' => JsonCause::UnquotedString,
            _ => JsonCause::Unexpected,
        };
        fault(self.at, cause)
    }
}

/// The code and the length of an escape at the begin of a text.
fn escape(text: &str) -> Option<(u32, usize)> {
    let escaped = text.chars().nth(1)?;
    if escaped == 'u' {
        let digits = text.get(2..6).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        return Some((u32::from_str_radix(digits, 16).ok()?, 6));
    }
    "\"\\/bfnrt".contains(escaped).then_some((u32::from(escaped), 2))
}

const fn is_smart_quote(character: char) -> bool {
    matches!(character, '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{2039}' | '\u{203a}' | '\u{ff02}')
}

/// The grammar of RFC 8259 section 6.
fn is_number(word: &str) -> bool {
    let word = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (word, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let are_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(are_digits)
        && exponent.is_none_or(|exponent| are_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::parse_object;

    const LIMITS: JsonLimits = JsonLimits { depth: 4, members: 3 };
    const DOCUMENT: &str = r#"{
  "a": [1, -2.5e+3, "x\n\u00e9\ud83d\ude00", {"b": true}], "é": {
    "c": [[], {}], "d": null
  }, "f": false
}"#;

    /// The scanner finds a fault in exactly the texts that the parser rejects.
    #[track_caller]
    fn assert_agrees(text: &[u8]) -> bool {
        let found = find(text, LIMITS);
        let is_rejected = parse_object(text, LIMITS).is_err();
        assert_eq!(found.is_some(), is_rejected, "{:?}: {found:?}", String::from_utf8_lossy(text));
        if let Some((_, error)) = found {
            assert!(error.position.offset <= text.len() && error.related.is_none_or(|at| at.offset < text.len()));
        }
        is_rejected
    }

    #[test]
    fn scanner_finds_a_fault_exactly_where_the_parser_rejects() {
        let text = DOCUMENT.as_bytes();
        assert!(!assert_agrees(text));
        let mut rejected = 0;
        for at in 0..text.len() {
            rejected += usize::from(assert_agrees(&text[..at]));
            rejected += usize::from(assert_agrees(&[&text[..at], &text[at + 1..]].concat()));
            for new in b"{}[]\",:'/#\\u0d-+.eE 1tfnx\t\r\n\0\xff\xc3" {
                rejected += usize::from(assert_agrees(&[&text[..at], &[*new], &text[at..]].concat()));
                rejected += usize::from(assert_agrees(&[&text[..at], &[*new], &text[at + 1..]].concat()));
            }
            for other in 0..text.len() {
                let mut swapped = text.to_vec();
                swapped.swap(at, other);
                rejected += usize::from(assert_agrees(&swapped));
                if at < other {
                    rejected += usize::from(assert_agrees(&[&text[..at], &text[other..]].concat()));
                }
            }
        }
        assert!(rejected > 10_000, "{rejected}");
    }

    #[test]
    fn offsets_are_those_of_names_and_items() {
        let offsets = offsets(br#"{"a": [1, {"b.c": 2}]}"#, LIMITS);
        let expected = [("$", 0), ("$.a", 1), ("$.a[0]", 7), ("$.a[1]", 10), (r#"$.a[1]["b.c"]"#, 11)];
        assert_eq!(offsets, expected.map(|(path, offset)| (path.to_owned(), offset)).into());
    }
}
