//! Names of cookies and query parameters that backends read as one: the only place that knows how.
//!
//! | reader | reads as `access_token` |
//! |---|---|
//! | PHP, parameters and cookies | `access.token`, `access token`, `access[token`, `access_token[]`, ` access_token`, `access_token%00x` |
//! | Rack, Rails, qs (Express 4), PHP | `access_token[]`, `access_token[0]`, `access_token[a][b]`, `[access_token]` |
//! | qs with `allowDots` | `.access_token`, `.access_token.` |
//! | `URLSearchParams` | `?access_token` |
//! | ASP.NET Core | `Access_Token` |
//! | Node.js, Django, Starlette, Werkzeug, cookies | a name with blanks around it, Unicode's included |
//! | PHP before 7.2.34, Rack before 2.2.3, cookies | `access%5Ftoken` (CVE-2020-7070, CVE-2020-8184) |

use std::borrow::Cow;

use crate::encoding::percent_escape;

/// How often a name is percent-decoded at most: once by the backend, and once by each proxy before it.
const MOST_DECODINGS: usize = 3;

/// Whether a backend could read a name that is spelled so, percent-encoded or not, as `wanted`.
pub(super) fn folds_to(spelling: &[u8], wanted: &[u8]) -> bool {
    if is_wanted(spelling, wanted) {
        return true;
    }
    let mut name = Cow::Borrowed(spelling);
    for _ in 0..MOST_DECODINGS {
        let Cow::Owned(decoded) = decoded(&name) else { return false };
        if is_wanted(&decoded, wanted) {
            return true;
        }
        name = Cow::Owned(decoded);
    }
    false
}

/// The same without decoding.
fn is_wanted(spelling: &[u8], wanted: &[u8]) -> bool {
    // Every byte that is not visible ASCII counts as blank: that includes the UTF-8 and Latin-1 bytes of Unicode's blanks.
    let is_blank = |byte: &u8| !byte.is_ascii_graphic();
    let is_leading = |byte: &u8| is_blank(byte) || b"[].?".contains(byte);
    let start = spelling.iter().position(|byte| !is_leading(byte)).unwrap_or(spelling.len());
    let is_trailing = |byte: &u8| is_blank(byte) || *byte == b'.';
    let end = spelling.iter().rposition(|byte| !is_trailing(byte)).map_or(start, |last| last + 1);
    let name = spelling.get(start..end).unwrap_or_default();
    // A name in C ends at its first NUL.
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let of_array = name.split(|byte| b"[]".contains(byte)).next().unwrap_or_default();
    is_same(name, wanted) || is_same(of_array, wanted)
}

fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().map(fold).eq(other.iter().map(fold))
}

fn fold(byte: &u8) -> u8 {
    match byte {
        b' ' | b'.' | b'[' => b'_',
        byte => byte.to_ascii_lowercase(),
    }
}

/// A form decoded: `+` is a blank, a broken escape stands for itself. Borrowed where there is nothing to decode.
pub(super) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| b"%+".contains(byte)) {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut left = text;
    while let [byte, rest @ ..] = left {
        left = rest;
        match (byte, rest) {
            (b'%', rest) => match percent_escape(rest) {
                Some((decoded, after)) => {
                    plain.push(decoded);
                    left = after;
                }
                None => plain.push(b'%'),
            },
            (b'+', _) => plain.push(b' '),
            (byte, _) => plain.push(*byte),
        }
    }
    Cow::Owned(plain)
}
