//! Percent-encoding (RFC 3986 section 2.1), hexadecimal and base64url (RFC 4648).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The byte that the two hexadecimal digits behind a `%` stand for, and what follows them.
pub fn percent_escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = text else { return None };
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some((hex(*high)? << 4 | hex(*low)?, rest))
}

/// Appends `%XX`, in upper case.
pub fn push_percent_escape(text: &mut String, byte: u8) {
    text.push('%');
    for nibble in [byte >> 4, byte & 15] {
        text.extend(char::from_digit(u32::from(nibble), 16).map(|digit| digit.to_ascii_uppercase()));
    }
}

/// Percent-encodes the bytes that `is_plain` does not keep; it also gets their index.
pub fn percent_encode(bytes: &[u8], is_plain: impl Fn(usize, u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for (index, byte) in bytes.iter().enumerate() {
        if is_plain(index, *byte) {
            text.push(char::from(*byte));
        } else {
            push_percent_escape(&mut text, *byte);
        }
    }
    text
}

/// `unreserved` (RFC 3986 section 2.3): a byte that means the same with and without an escape.
pub const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` without escapes (RFC 3986 section 3.3): a byte that stands for itself in a path segment.
pub const fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@')
}

/// Whether a path with this text needs no escape: the text is the same escaped and decoded.
pub fn needs_no_escape(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'/' || is_pchar(byte))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

pub fn base64url_decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes canonical base64url: no padding, no foreign character, the unused bits zero.
pub fn base64url_decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_unreserved_characters_is_encoded() {
        assert_eq!(
            percent_encode(b"/a-b._~?x=1&y=%20+#\\\"<\r\n\xff", |_, byte| is_unreserved(byte)),
            "%2Fa-b._~%3Fx%3D1%26y%3D%2520%2B%23%5C%22%3C%0D%0A%FF"
        );
    }
}
