//! Debug callers get the reason of a denial if they send a secret in a header. The header never reaches a backend.

use sha2::{Digest as _, Sha256};

use crate::http::{HeaderEdit, HeaderName, RequestHead};
use crate::redacted::Redacted;

/// How a debug caller is authenticated.
#[derive(Debug)]
pub struct DebugCallers {
    header: HeaderName,
    /// The digest of the secret. The secret itself is not stored.
    digest: Redacted<[u8; 32]>,
}

impl DebugCallers {
    /// Callers that send `secret` in `header`.
    pub fn new(header: HeaderName, secret: &[u8]) -> Self {
        Self { header, digest: Redacted::new(digest(secret)) }
    }

    /// The header of the secret and of the details in the response.
    pub const fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Whether this request sends the secret exactly once. Whole digests are compared in constant time, so the duration
    /// reveals neither a partial match nor the length of the secret.
    pub fn authenticates(&self, head: &RequestHead) -> bool {
        head.single(self.header.as_str()).is_some_and(|value| {
            digest(value)
                .iter()
                .zip(self.digest.reveal())
                .fold(0, |difference, (one, other)| difference | (one ^ other))
                == 0
        })
    }

    /// Removes the header from the forwarded request, in every spelling in the request.
    pub fn strip(&self, head: &RequestHead) -> Vec<HeaderEdit> {
        head.removals(|name| self.folds_to(name))
    }

    /// Whether a backend could read a field of this name as the header.
    pub fn folds_to(&self, name: &str) -> bool {
        self.header.folds_to(name)
    }
}

fn digest(text: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(text);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef";

    #[test]
    fn only_the_exact_secret_sent_once_is_accepted() {
        let callers = DebugCallers::new(HeaderName::parse("X-Auth-Debug").unwrap(), SECRET);
        let sent = |values: &[&[u8]]| {
            let field = |value: &&[u8]| ("X-Auth-Debug".to_owned(), value.to_vec());
            callers.authenticates(&RequestHead::new(values.iter().map(field).collect()))
        };
        assert!(sent(&[SECRET]));
        for other in [b"".as_slice(), b"0123456789abcde", b"0123456789abcdeF", b"0123456789abcdef ", b"\xff"] {
            assert!(!sent(&[other]), "{other:?}");
        }
        assert!(!sent(&[]) && !sent(&[SECRET, SECRET]));
        assert!(!format!("{callers:?}").contains("0123"));
    }
}
