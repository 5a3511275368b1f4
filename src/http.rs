//! HTTP types of the core: a request head (bytes, with all duplicates), edits to it, and a local response.
//!
//! This module knows no host. Header names and values that are *sent* are types that only exist if they are safe to
//! write. Hosts do not sanitize the headers of a local response, so a CR LF in a value would start a second header
//! (RFC 9110, section 5.5).

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use serde_json::Value;

use crate::encoding::percent_encode;
use crate::memory;

/// A request head as the host received it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    fields: Vec<(String, Vec<u8>)>,
    /// A body or trailers follow.
    has_body_or_trailers: bool,
}

impl RequestHead {
    /// Takes the header fields in order, including pseudo-headers (`:method`, `:path`). Names are converted to lower
    /// case.
    pub fn new(fields: Vec<(String, Vec<u8>)>) -> Self {
        let mut fields = fields;
        for (name, _) in &mut fields {
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                name.make_ascii_lowercase();
            }
        }
        Self { fields, has_body_or_trailers: false }
    }

    /// Marks that a body or trailers follow the head.
    #[must_use]
    pub fn with_body_or_trailers(self) -> Self {
        Self { has_body_or_trailers: true, ..self }
    }

    /// Whether a backend may read a body: the host reports that more follows, or a field announces it.
    pub fn may_have_body(&self) -> bool {
        let mut lengths = self.values("content-length");
        self.has_body_or_trailers
            || lengths.any(|length| length != b"0")
            || self.values("transfer-encoding").next().is_some()
    }

    /// All values of `name` (lower case), in order.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_slice())
    }

    /// The value of a field that occurs exactly once.
    pub fn single(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.values(name);
        let first = values.next();
        first.filter(|_| values.next().is_none())
    }

    /// The memory of a copy, without the spare capacity of the host's allocations.
    pub fn held_bytes(&self) -> usize {
        let field = |(name, value): &(String, Vec<u8>)| {
            memory::allocation(name.len()).saturating_add(memory::allocation(value.len()))
        };
        let list = memory::list::<(String, Vec<u8>)>(self.fields.len());
        self.fields.iter().map(field).fold(list, usize::saturating_add)
    }

    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Removes every field whose name matches, each name once.
    pub fn removals(&self, mut matches: impl FnMut(&str) -> bool) -> Vec<HeaderEdit> {
        let mut edits = Vec::new();
        for name in self.names().filter(|name| matches(name)) {
            push_new(&mut edits, HeaderEdit::Remove(name.to_owned()));
        }
        edits
    }

    /// The names in order, with duplicates.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }
}

/// Appends an item that the list does not contain yet.
pub fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

impl fmt::Debug for RequestHead {
    /// Prints names only, because the values hold credentials.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

/// A header name that is safe to write: an RFC 9110 token in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeaderName(Cow<'static, str>);

impl HeaderName {
    pub const CONTENT_TYPE: Self = Self(Cow::Borrowed("content-type"));
    pub const CACHE_CONTROL: Self = Self(Cow::Borrowed("cache-control"));
    pub const RETRY_AFTER: Self = Self(Cow::Borrowed("retry-after"));
    pub const WWW_AUTHENTICATE: Self = Self(Cow::Borrowed("www-authenticate"));
    pub const LOCATION: Self = Self(Cow::Borrowed("location"));
    pub const VARY: Self = Self(Cow::Borrowed("vary"));
    pub const ALLOW_ORIGIN: Self = Self(Cow::Borrowed("access-control-allow-origin"));
    pub const ALLOW_CREDENTIALS: Self = Self(Cow::Borrowed("access-control-allow-credentials"));
    pub const EXPOSE_HEADERS: Self = Self(Cow::Borrowed("access-control-expose-headers"));
    pub const ALLOW: Self = Self(Cow::Borrowed("allow"));
    pub const ALLOW_METHODS: Self = Self(Cow::Borrowed("access-control-allow-methods"));
    pub const ALLOW_HEADERS: Self = Self(Cow::Borrowed("access-control-allow-headers"));
    pub const MAX_AGE: Self = Self(Cow::Borrowed("access-control-max-age"));
    pub const AUTHORIZATION: Self = Self(Cow::Borrowed("authorization"));
    pub const DPOP: Self = Self(Cow::Borrowed("dpop"));
    pub const DPOP_NONCE: Self = Self(Cow::Borrowed("dpop-nonce"));
    pub const CONNECTION: Self = Self(Cow::Borrowed("connection"));

    /// The name in lower case, or `None` if it is not a token (RFC 9110 section 5.6.2).
    pub fn parse(text: &str) -> Option<Self> {
        is_token(text).then(|| Self(Cow::Owned(text.to_ascii_lowercase())))
    }

    /// Whether some backend reads a field called `spelling` as this one. Backends fold case. For CGI and FastCGI
    /// lighttpd replaces all but letters and digits with `_`, so that `X_User_Id`, `X.User.Id` and `X-User-ID` are one
    /// variable. grpc-gateway removes a prefix.
    #[inline]
    pub fn folds_to(&self, spelling: &str) -> bool {
        // A fast path, as this runs for every field of every request: most names differ in length, and few start like a
        // prefix.
        if may_be_prefixed(spelling) || may_be_prefixed(&self.0) {
            return folds_equal(without_gateway_prefix(spelling), without_gateway_prefix(&self.0));
        }
        folds_equal(spelling, &self.0)
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether two names are equal for a backend that ignores case and folds all but letters and digits to one character.
#[inline]
pub fn folds_equal(one: &str, other: &str) -> bool {
    one.len() == other.len() && has_folded_bytes_of(one, other)
}

/// Compares from the end, where names differ more often than at the start.
fn has_folded_bytes_of(one: &str, other: &str) -> bool {
    fn fold(byte: u8) -> u8 {
        // A colon starts a pseudo-header, which is not a field.
        if byte.is_ascii_alphanumeric() || byte == b':' { byte.to_ascii_lowercase() } else { b'-' }
    }
    one.bytes().rev().map(fold).eq(other.bytes().rev().map(fold))
}

/// Whether [`without_gateway_prefix`] may remove a prefix.
#[inline]
fn may_be_prefixed(name: &str) -> bool {
    name.as_bytes().first().is_some_and(|first| first | 0x20 == b'g')
}

/// The prefixes of grpc-gateway. `Grpc-Metadata-X-User-Id` becomes the metadata `x-user-id`, and standard fields are
/// forwarded as `grpcgateway-authorization`.
const GRPC_GATEWAY_PREFIXES: [&str; 2] = ["grpc-metadata-", "grpcgateway-"];

/// The name without the prefixes that grpc-gateway removes or adds, including repeated ones.
#[inline]
pub fn without_gateway_prefix(name: &str) -> &str {
    if may_be_prefixed(name) { without_prefixes(name) } else { name }
}

fn without_prefixes(name: &str) -> &str {
    let mut rest = name;
    while may_be_prefixed(rest) {
        let bare = GRPC_GATEWAY_PREFIXES.iter().find_map(|prefix| {
            let (start, bare) = rest.split_at_checked(prefix.len())?;
            folds_equal(start, prefix).then_some(bare)
        });
        let Some(bare) = bare else { break };
        rest = bare;
    }
    rest
}

/// Whether the string is a token (RFC 9110 section 5.6.2), as names of header fields, schemes and cookies are.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Whether the byte may occur in a token.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A header value that is safe to write: printable ASCII without outer spaces.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderValue(String);

impl HeaderValue {
    /// The value, or `None` if it has a byte that is not printable ASCII, or an outer space.
    pub fn parse(text: &str) -> Option<Self> {
        let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let is_trimmed = text.trim_matches(' ').len() == text.len();
        (is_printable && is_trimmed).then(|| Self(text.to_owned()))
    }

    /// Any string as a value. Bytes that are not printable ASCII, the percent sign, `separator` and outer spaces are
    /// percent-encoded, so different strings always give different values.
    pub fn encode(text: &str, separator: Option<char>) -> Self {
        Self::encode_where(text, |at, byte| separator == Some(char::from(byte)) || is_outer_space(text, at, byte))
    }

    /// A string claim, encoded like [`Self::encode`]. These bytes are percent-encoded too:
    ///
    /// * every comma: a field with commas is a list (RFC 9110 section 5.3), and HAProxy reads it so;
    /// * the `=` of `=?`, which starts an encoded word (RFC 2047): `CherryPy` decodes `=?utf-8?q?admin?=`;
    /// * without a separator, a leading `[` or `{`: only lists and objects, which are written as JSON, start with them.
    pub fn encode_claim(text: &str, separator: Option<char>) -> Self {
        Self::encode_where(text, |at, byte| match byte {
            b',' => true,
            b'=' => text.as_bytes().get(at + 1) == Some(&b'?'),
            b'[' | b'{' => at == 0 && separator.is_none(),
            _ => separator == Some(char::from(byte)) || is_outer_space(text, at, byte),
        })
    }

    /// Percent-encodes bytes that are not printable ASCII, the percent sign, and bytes for which `is_special` holds.
    fn encode_where(text: &str, is_special: impl Fn(usize, u8) -> bool) -> Self {
        let is_plain = |(at, byte): (usize, u8)| (b' '..=b'~').contains(&byte) && byte != b'%' && !is_special(at, byte);
        // The common case.
        if text.bytes().enumerate().all(is_plain) {
            return Self(text.to_owned());
        }
        Self(percent_encode(text.as_bytes(), |at, byte| is_plain((at, byte))))
    }

    /// JSON with non-ASCII characters as JSON escapes, which every parser decodes. The `=` of `=?` is escaped too,
    /// because it starts an encoded word (RFC 2047).
    pub fn json(value: &Value) -> Self {
        let mut text = String::new();
        let value = value.to_string();
        let mut characters = value.chars().peekable();
        while let Some(character) = characters.next() {
            let begins_encoded_word = character == '=' && characters.peek() == Some(&'?');
            if (' '..='~').contains(&character) && !begins_encoded_word {
                text.push(character);
            } else {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        Self::parse(&text).unwrap_or_else(|| Self::encode(&text, None))
    }

    /// Joins values into one field. Each was encoded with this separator.
    pub fn join(values: &[Self], separator: char) -> Self {
        let mut joined = String::new();
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                joined.push(separator);
            }
            joined.push_str(&value.0);
        }
        Self(joined)
    }

    /// The value as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

fn is_outer_space(text: &str, at: usize, byte: u8) -> bool {
    byte == b' ' && (at == 0 || at + 1 == text.len())
}

/// The rest of a client's header field after a credential is removed. The bytes need not be valid UTF-8. It can only be
/// written back to its own field: it is not a [`HeaderValue`], so it never gets into a local response.
#[derive(Clone, PartialEq, Eq)]
pub struct StrippedField {
    field: &'static str,
    bytes: Vec<u8>,
}

impl StrippedField {
    /// The rest of `:path`, or `None` if it is empty or has a space or control byte.
    pub fn of_path(bytes: Vec<u8>) -> Option<Self> {
        let is_writable = !bytes.is_empty() && bytes.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
        is_writable.then_some(Self { field: ":path", bytes })
    }

    /// The rest of `cookie`, or `None` if it is empty or has a control byte.
    pub fn of_cookie(bytes: Vec<u8>) -> Option<Self> {
        let is_writable = !bytes.is_empty() && bytes.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        is_writable.then_some(Self { field: "cookie", bytes })
    }

    /// The name of its field.
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The bytes of the field's new value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for StrippedField {
    /// Prints no bytes: cookies and queries hold other secrets too.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StrippedField({}, {} bytes)", self.field, self.bytes.len())
    }
}

/// One edit of the request head that is forwarded to the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Removes all copies of this header. The name is the client's, as the host reported it.
    Remove(String),
    /// Sets this header to exactly one copy with this value.
    Set(HeaderName, HeaderValue),
    /// Replaces all values of the client's field with this one.
    Rewrite(StrippedField),
}

impl HeaderEdit {
    /// The memory of the edit.
    pub fn held_bytes(&self) -> usize {
        let bytes = match self {
            Self::Remove(name) => memory::allocation(name.capacity()),
            Self::Set(name, value) => {
                memory::allocation(name.0.len()).saturating_add(memory::allocation(value.0.capacity()))
            }
            Self::Rewrite(rest) => memory::allocation(rest.bytes.capacity()),
        };
        bytes.saturating_add(size_of::<Self>())
    }
}

/// All edits of one request head, in this order: removals, then the identity headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadEdits {
    removals: Vec<HeaderEdit>,
    /// Built once per token and shared by all its requests.
    identity: Rc<[HeaderEdit]>,
}

impl HeadEdits {
    /// Removes first, then sets.
    pub const fn new(removals: Vec<HeaderEdit>, identity: Rc<[HeaderEdit]>) -> Self {
        Self { removals, identity }
    }

    pub fn iter(&self) -> impl Iterator<Item = &HeaderEdit> {
        self.removals.iter().chain(self.identity.iter())
    }
}

/// A response of the filter instead of forwarding the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    pub status: u16,
    /// The header fields, in order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
}

impl LocalResponse {
    /// The first value of `name`, if any.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests;
