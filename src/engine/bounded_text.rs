//! Strings of bounded length in JSON, so that no client decides the length of a log line.

use std::borrow::Cow;

/// The longest string in bytes, as JSON.
const MAX_TEXT_BYTES: usize = 256;
/// The most entries of a list.
const MAX_LISTED: usize = 64;
/// The end of a truncated string, and the last entry of a truncated list.
pub(super) const CUT: &str = "…";

/// As many strings as `capacity`, in bytes, and the limit of a list's entries allow.
pub(super) fn bounded_list<'a>(texts: impl Iterator<Item = &'a str>, capacity: usize) -> Vec<Cow<'a, str>> {
    let mut listed = Vec::new();
    let mut capacity = capacity;
    for text in texts {
        let text = bounded(text);
        // With its quotes and comma.
        let written = text.chars().map(written_bytes).fold(3, usize::saturating_add);
        match capacity.checked_sub(written) {
            Some(left) if listed.len().saturating_add(1) < MAX_LISTED => capacity = left,
            _ => {
                listed.push(Cow::Borrowed(CUT));
                break;
            }
        }
        listed.push(text);
    }
    listed
}

/// As much of a string as the limit of all strings allows.
pub(super) fn bounded(text: &str) -> Cow<'_, str> {
    bounded_to(MAX_TEXT_BYTES, text)
}

/// As much of a string as that many bytes of JSON hold, up to the end of a character.
pub(super) fn bounded_to(limit: usize, text: &str) -> Cow<'_, str> {
    // Most strings are short.
    if text.len() <= limit / 6 {
        return Cow::Borrowed(text);
    }
    let mut written = 0_usize;
    let mut cut_at = 0;
    for (at, character) in text.char_indices() {
        if written.saturating_add(CUT.len()) <= limit {
            cut_at = at;
        }
        written = written.saturating_add(written_bytes(character));
        if written > limit {
            return Cow::Owned([text.get(..cut_at).unwrap_or_default(), CUT].concat());
        }
    }
    Cow::Borrowed(text)
}

/// The length of a character in JSON.
const fn written_bytes(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}
