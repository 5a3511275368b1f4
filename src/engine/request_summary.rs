//! What an audit record says of a request. All of it comes from the client: it is escaped, bounded, and without the query,
//! where clients put tokens. What looks like a JWT is left out everywhere.

use std::rc::Rc;

use crate::encoding::percent_encode;
use crate::engine::bounded_text::{CUT, bounded_to};
use crate::http::RequestHead;

/// The longest strings in bytes, as JSON.
const MAX_METHOD_BYTES: usize = 32;
const MAX_HOST_BYTES: usize = 128;
const MAX_PATH_BYTES: usize = 256;
const MAX_ISSUER_BYTES: usize = 256;
/// How much of a string is read: more than is written, so that a token that is cut is recognised.
const MAX_READ_BYTES: usize = 1024;
/// The beginning of a JWT (`{"`), and the fewest bytes that are taken for one.
const JWT_START: &[u8] = b"eyJ";
const MIN_JWT_BYTES: usize = 16;

/// The request of an audit record.
#[derive(Clone, Debug)]
pub(super) struct RequestSummary {
    /// The value of `x-request-id`, if it is short and printable ASCII.
    pub(super) id: Option<String>,
    pub(super) method: Option<String>,
    pub(super) host: Option<String>,
    /// The path without query and fragment.
    pub(super) path: Option<String>,
}

impl RequestSummary {
    pub(super) fn of(head: &RequestHead) -> Self {
        let first = |name: &str| head.values(name).next();
        let id = first("x-request-id").filter(|id| (1..=64).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic));
        let path = first(":path").map(|target| {
            escaped(target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default(), MAX_PATH_BYTES)
        });
        Self {
            id: id.map(|id| String::from_utf8_lossy(id).into_owned()),
            method: first(":method").map(|method| escaped(method, MAX_METHOD_BYTES)),
            host: first(":authority").or(first("host")).map(|host| escaped(host, MAX_HOST_BYTES)),
            path,
        }
    }
}

/// The issuer that a JWT of no provider names.
pub(super) fn unknown_issuer(issuer: &str) -> Rc<str> {
    Rc::from(escaped(issuer.as_bytes(), MAX_ISSUER_BYTES))
}

fn escaped(bytes: &[u8], limit: usize) -> String {
    let read = bytes.get(..MAX_READ_BYTES).unwrap_or(bytes);
    bounded_to(limit, &without_tokens(read)).into_owned()
}

/// Escaped: control characters, spaces, and all that a terminal may show otherwise than it is.
fn is_plain(_: usize, byte: u8) -> bool {
    byte.is_ascii_graphic()
}

/// The text, escaped, with `…` in place of what looks like a JWT: a client may put one there too.
fn without_tokens(text: &[u8]) -> String {
    let is_of_jwt = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let mut written = String::new();
    for piece in text.chunk_by(|before, after| is_of_jwt(*before) && is_of_jwt(*after)) {
        if piece.starts_with(JWT_START) && piece.len() >= MIN_JWT_BYTES {
            written.push_str(CUT);
        } else {
            written.push_str(&percent_encode(piece, is_plain));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(fields: &[(&str, &[u8])]) -> RequestSummary {
        RequestSummary::of(&RequestHead::new(
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
        ))
    }

    fn path(target: &[u8]) -> String {
        summary(&[(":path", target)]).path.unwrap()
    }

    #[test]
    fn path_has_neither_query_nor_fragment_nor_token() {
        for (target, expected) in [
            (&b"/orders/17"[..], "/orders/17"),
            (b"/orders?access_token=secret", "/orders"),
            (b"/orders#access_token=secret", "/orders"),
            (b"?a", ""),
            (b"/a%2Fb/\xff \"\r\n<", "/a%2Fb/%FF%20\"%0D%0A<"),
            (b"/t/eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln/x", "/t/…/x"),
            (b"/t;jwt=eyJhbGciOiJSUzI1NiJ9.e30.c2ln,b", "/t;jwt=…,b"),
            (b"/eyJaaaaaaaaaaaaa%2F..%2Fadmin", "/…%2F..%2Fadmin"),
            (b"/eyJaaaaaaaaaaaa", "/eyJaaaaaaaaaaaa"),
            (b"/xeyJaaaaaaaaaaaaaaaa", "/xeyJaaaaaaaaaaaaaaaa"),
            (b"*", "*"),
        ] {
            assert_eq!(path(target), expected, "{}", String::from_utf8_lossy(target));
        }
    }

    #[test]
    fn strings_are_bounded_and_a_token_at_the_bound_is_not_shown() {
        let long = [b"/".repeat(250), b"eyJ".to_vec(), b"a".repeat(5000)].concat();
        assert_eq!(path(&long), format!("{}…", "/".repeat(250)));
        assert!(path(&b"/\"".repeat(400)).len() <= MAX_PATH_BYTES);
        let found = summary(&[(":method", &b"M".repeat(99)), (":authority", &b"h".repeat(999)), ("host", b"other")]);
        assert_eq!(found.method.as_deref().map(str::len), Some(MAX_METHOD_BYTES));
        assert_eq!(found.host, Some(format!("{}…", "h".repeat(MAX_HOST_BYTES - CUT.len()))));
        assert_eq!(summary(&[("host", b"api")]).host.as_deref(), Some("api"));
        let token = b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln";
        let found = summary(&[(":method", token), (":authority", &[&token[..], b":443"].concat())]);
        assert_eq!((found.method.as_deref(), found.host.as_deref()), (Some("…"), Some("…:443")));
        assert_eq!(&*unknown_issuer("https://eyJhbGciOiJSUzI1NiJ9.e30.c2ln/x"), "https://…/x");
        assert_eq!(&*unknown_issuer("https://evil.example/\u{202e}\n"), "https://evil.example/%E2%80%AE%0A");
        assert!(unknown_issuer(&"\u{1}".repeat(9000)).len() <= MAX_ISSUER_BYTES);
    }
}
