//! Percent-encoding (RFC 3986 section 2.1) and base64url (RFC 4648 section 5).

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

/// `pchar` without escapes (RFC 3986 section 3.3): a byte that stands for itself in a path segment.
pub const fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~')
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@')
}

/// Whether a path with this text needs no escape: the text is the same escaped and decoded.
pub fn needs_no_escape(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'/' || is_pchar(byte))
}
