//! HTTP as the core speaks it: a request head (bytes, every duplicate kept), edits to it, and a reply.
//!
//! Nothing here knows a host. Names and values that go *out* are types which exist only when they
//! are safe to write on the wire: hosts do not sanitise the headers of a local reply, so a CR LF in
//! a value would become a second header (RFC 9110, section 5.5).

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use serde_json::Value;

use crate::encoding::percent_encode;
use crate::memory;

/// The head of a request as the host received it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    fields: Vec<(String, Vec<u8>)>,
    /// More of the request follows: a body, or trailers.
    is_followed: bool,
}

impl RequestHead {
    /// Takes the header fields in order, pseudo-headers (`:method`, `:path`) among them. Names are
    /// compared in lower case from here on, whatever the host gave.
    pub fn new(fields: Vec<(String, Vec<u8>)>) -> Self {
        let mut fields = fields;
        for (name, _) in &mut fields {
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                name.make_ascii_lowercase();
            }
        }
        Self { fields, is_followed: false }
    }

    /// The same, of a request that does not end with its head.
    #[must_use]
    pub fn followed_by_more(self) -> Self {
        Self { is_followed: true, ..self }
    }

    /// Whether a backend could read a body: the host says that more follows, or a field announces it.
    pub fn may_have_body(&self) -> bool {
        let mut lengths = self.values("content-length");
        self.is_followed || lengths.any(|length| length != b"0") || self.values("transfer-encoding").next().is_some()
    }

    /// Every value given under `name` (lower case), in order.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_slice())
    }

    /// The value of a field that is there once: one that is there twice is none.
    pub fn single(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.values(name);
        let first = values.next();
        first.filter(|_| values.next().is_none())
    }

    /// How many bytes a copy of it holds: one without the spare capacity that the host may have left.
    pub fn held_bytes(&self) -> usize {
        let field = |(name, value): &(String, Vec<u8>)| {
            memory::allocation(name.len()).saturating_add(memory::allocation(value.len()))
        };
        let list = memory::list::<(String, Vec<u8>)>(self.fields.len());
        self.fields.iter().map(field).fold(list, usize::saturating_add)
    }

    /// The fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The names present, in order, duplicates included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }
}

impl fmt::Debug for RequestHead {
    /// Names only: the values hold credentials.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

/// A header name that is safe to write: an RFC 9110 token in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeaderName(Cow<'static, str>);

impl HeaderName {
    /// `content-type`
    pub const CONTENT_TYPE: Self = Self(Cow::Borrowed("content-type"));
    /// `cache-control`
    pub const CACHE_CONTROL: Self = Self(Cow::Borrowed("cache-control"));
    /// `retry-after`
    pub const RETRY_AFTER: Self = Self(Cow::Borrowed("retry-after"));
    /// `www-authenticate`
    pub const WWW_AUTHENTICATE: Self = Self(Cow::Borrowed("www-authenticate"));
    /// `location`
    pub const LOCATION: Self = Self(Cow::Borrowed("location"));
    /// `vary`
    pub const VARY: Self = Self(Cow::Borrowed("vary"));
    /// `access-control-allow-origin`
    pub const ALLOW_ORIGIN: Self = Self(Cow::Borrowed("access-control-allow-origin"));
    /// `access-control-allow-credentials`
    pub const ALLOW_CREDENTIALS: Self = Self(Cow::Borrowed("access-control-allow-credentials"));
    /// `access-control-expose-headers`
    pub const EXPOSE_HEADERS: Self = Self(Cow::Borrowed("access-control-expose-headers"));
    /// `allow`
    pub const ALLOW: Self = Self(Cow::Borrowed("allow"));
    /// `access-control-allow-methods`
    pub const ALLOW_METHODS: Self = Self(Cow::Borrowed("access-control-allow-methods"));
    /// `access-control-allow-headers`
    pub const ALLOW_HEADERS: Self = Self(Cow::Borrowed("access-control-allow-headers"));
    /// `access-control-max-age`
    pub const MAX_AGE: Self = Self(Cow::Borrowed("access-control-max-age"));
    /// `authorization`
    pub const AUTHORIZATION: Self = Self(Cow::Borrowed("authorization"));
    /// `connection`
    pub const CONNECTION: Self = Self(Cow::Borrowed("connection"));

    /// The name in lower case, or `None` when it is not a token (RFC 9110 section 5.6.2).
    pub fn parse(text: &str) -> Option<Self> {
        is_token(text).then(|| Self(Cow::Owned(text.to_ascii_lowercase())))
    }

    /// Whether some backend reads a field called `spelling` as this one. Backends fold case; lighttpd replaces all but
    /// letters and digits with `_` for CGI and FastCGI, so that `X_User_Id`, `X.User.Id` and `X-User-ID` are one
    /// variable; grpc-gateway removes a prefix.
    #[inline]
    pub fn folds_to(&self, spelling: &str) -> bool {
        // Called for every field of every request: most names differ in length, and few begin like a prefix.
        if may_be_prefixed(spelling) || may_be_prefixed(&self.0) {
            return fold_alike(unprefixed(spelling), unprefixed(&self.0));
        }
        fold_alike(spelling, &self.0)
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether two names are equal for a backend that ignores case and takes all but letters and digits for one sign.
#[inline]
pub fn fold_alike(one: &str, other: &str) -> bool {
    one.len() == other.len() && has_folded_bytes_of(one, other)
}

/// Names differ at their end more often than at their beginning.
fn has_folded_bytes_of(one: &str, other: &str) -> bool {
    fn fold(byte: u8) -> u8 {
        // A colon begins a pseudo-header, which is no field.
        if byte.is_ascii_alphanumeric() || byte == b':' { byte.to_ascii_lowercase() } else { b'-' }
    }
    one.bytes().rev().map(fold).eq(other.bytes().rev().map(fold))
}

/// Whether [`unprefixed`] may remove something.
#[inline]
fn may_be_prefixed(name: &str) -> bool {
    name.as_bytes().first().is_some_and(|first| first | 0x20 == b'g')
}

/// The prefixes of grpc-gateway: `Grpc-Metadata-X-User-Id` becomes the metadata `x-user-id`, and it passes standard
/// fields on as `grpcgateway-authorization`.
const GRPC_GATEWAY_PREFIXES: [&str; 2] = ["grpc-metadata-", "grpcgateway-"];

/// A name without the prefixes that grpc-gateway removes or adds, repeated ones too.
#[inline]
pub fn unprefixed(name: &str) -> &str {
    if may_be_prefixed(name) { without_prefixes(name) } else { name }
}

fn without_prefixes(name: &str) -> &str {
    let mut rest = name;
    while may_be_prefixed(rest) {
        let bare = GRPC_GATEWAY_PREFIXES.iter().find_map(|prefix| {
            let (start, bare) = rest.split_at_checked(prefix.len())?;
            fold_alike(start, prefix).then_some(bare)
        });
        let Some(bare) = bare else { break };
        rest = bare;
    }
    rest
}

/// A token of RFC 9110 section 5.6.2: what names of header fields, schemes and cookies are.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// A byte of such a token.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A header value that is safe to write: printable ASCII, no blank at either end.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderValue(String);

impl HeaderValue {
    /// The value, or `None` when a byte of it is not printable ASCII or a blank stands at an end.
    pub fn parse(text: &str) -> Option<Self> {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let trimmed = text.trim_matches(' ').len() == text.len();
        (printable && trimmed).then(|| Self(text.to_owned()))
    }

    /// Any text as a value: what is not printable ASCII, the percent sign, `separator` and blanks at
    /// the ends are percent-encoded, so that two different texts never give the same value.
    pub fn encode(text: &str, separator: Option<char>) -> Self {
        Self::encode_where(text, |at, byte| separator == Some(char::from(byte)) || is_blank_at_an_end(text, at, byte))
    }

    /// A text of a claim, as [`Self::encode`] writes it, and with these bytes percent-encoded too:
    ///
    /// * every comma: RFC 9110 section 5.3 makes a list of a field with commas, and HAProxy reads it so;
    /// * the `=` of `=?`, which begins an encoded word (RFC 2047): `CherryPy` decodes `=?utf-8?q?admin?=`;
    /// * without a separator a `[` or `{` at the beginning: only lists and objects, written as JSON, begin like this.
    pub fn encode_claim(text: &str, separator: Option<char>) -> Self {
        Self::encode_where(text, |at, byte| match byte {
            b',' => true,
            b'=' => text.as_bytes().get(at + 1) == Some(&b'?'),
            b'[' | b'{' => at == 0 && separator.is_none(),
            _ => separator == Some(char::from(byte)) || is_blank_at_an_end(text, at, byte),
        })
    }

    /// Percent-encodes what is not printable ASCII, the percent sign, and the bytes that `is_special`.
    fn encode_where(text: &str, is_special: impl Fn(usize, u8) -> bool) -> Self {
        let is_plain = |(at, byte): (usize, u8)| (b' '..=b'~').contains(&byte) && byte != b'%' && !is_special(at, byte);
        // As most are.
        if text.bytes().enumerate().all(is_plain) {
            return Self(text.to_owned());
        }
        Self(percent_encode(text.as_bytes(), |at, byte| is_plain((at, byte))))
    }

    /// JSON with everything beyond ASCII escaped the JSON way, which any parser undoes; so is the `=` of `=?`, which
    /// begins an encoded word (RFC 2047).
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

    /// Several values in one field, `separator` between them; each was encoded with that separator.
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

    /// The value as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

fn is_blank_at_an_end(text: &str, at: usize, byte: u8) -> bool {
    byte == b' ' && (at == 0 || at + 1 == text.len())
}

/// What is left of a field of the client's own request when a part was taken out: bytes as they were
/// received, which need not be text. It can only be written back where it came from: it is no
/// [`HeaderValue`], so it never gets into a reply.
#[derive(Clone, PartialEq, Eq)]
pub struct StrippedField {
    field: &'static str,
    bytes: Vec<u8>,
}

impl StrippedField {
    /// The rest of `:path`, or `None` when nothing is left or a blank or control byte is in it.
    pub fn of_path(bytes: Vec<u8>) -> Option<Self> {
        let writable = !bytes.is_empty() && bytes.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
        writable.then_some(Self { field: ":path", bytes })
    }

    /// The rest of `cookie`, or `None` when nothing is left or a control byte is in it.
    pub fn of_cookie(bytes: Vec<u8>) -> Option<Self> {
        let writable = !bytes.is_empty() && bytes.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        writable.then_some(Self { field: "cookie", bytes })
    }

    /// Where it came from and belongs.
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The bytes to write there.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for StrippedField {
    /// No bytes: cookies and queries hold other secrets than ours.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Remainder({}, {} bytes)", self.field, self.bytes.len())
    }
}

/// One change to the head of the request that goes on to the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Every copy of this header is removed. The name is the client's own, as the host gave it.
    Remove(String),
    /// Exactly one copy of this header remains, with this value.
    Set(HeaderName, HeaderValue),
    /// The client's field keeps this and nothing else of its values.
    Rewrite(StrippedField),
}

impl HeaderEdit {
    /// How many bytes it holds.
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

/// Everything that is changed in the head of one request, in this order: what is taken out, then the identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadEdits {
    stripping: Vec<HeaderEdit>,
    /// Made once for each token, and the same for all its requests.
    identity: Rc<[HeaderEdit]>,
}

impl HeadEdits {
    /// Takes out first, then writes.
    pub const fn new(stripping: Vec<HeaderEdit>, identity: Rc<[HeaderEdit]>) -> Self {
        Self { stripping, identity }
    }

    /// One edit after the other.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderEdit> {
        self.stripping.iter().chain(self.identity.iter())
    }
}

/// What the client is told instead of being let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// The HTTP status.
    pub status: u16,
    /// The header fields, in order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
}

impl LocalResponse {
    /// The first value under `name`, if there is one.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests;
