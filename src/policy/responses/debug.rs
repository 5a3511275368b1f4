//! Callers who are told why they are refused: those that show a secret in a header, which nobody else ever sees.

use sha2::{Digest as _, Sha256};

use crate::http::{HeaderEdit, HeaderName, RequestHead};
use crate::redacted::Redacted;

/// How such a caller is known.
#[derive(Debug)]
pub struct DebugCallers {
    header: HeaderName,
    /// Of the secret only this is kept.
    digest: Redacted<[u8; 32]>,
}

impl DebugCallers {
    /// Those that show `secret` in `header`.
    pub fn new(header: HeaderName, secret: &[u8]) -> Self {
        Self { header, digest: Redacted::new(digest(secret)) }
    }

    /// Where the secret is shown, and the answer given.
    pub const fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Whether this request shows the secret, once. Digests are compared, each whole: how long it takes tells nobody how
    /// much of a guess is right, nor how long the secret is.
    pub fn is_sent_by(&self, head: &RequestHead) -> bool {
        head.single(self.header.as_str()).is_some_and(|shown| {
            digest(shown)
                .iter()
                .zip(self.digest.reveal())
                .fold(0, |difference, (one, other)| difference | (one ^ other))
                == 0
        })
    }

    /// Takes the header out of what the backend sees, in each spelling that is there, whatever it holds.
    pub fn strip(&self, head: &RequestHead) -> Vec<HeaderEdit> {
        let mut edits = Vec::new();
        for name in head.names().filter(|name| self.folds_to(name)) {
            let edit = HeaderEdit::Remove(name.to_owned());
            if !edits.contains(&edit) {
                edits.push(edit);
            }
        }
        edits
    }

    /// Whether a field of that name could be taken for the header.
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
    use wasm_bindgen_test::wasm_bindgen_test;

    const SECRET: &[u8] = b"0123456789abcdef";

    #[wasm_bindgen_test(unsupported = test)]
    fn only_the_whole_secret_shown_once_is_one() {
        let callers = DebugCallers::new(HeaderName::parse("X-Auth-Debug").unwrap(), SECRET);
        let sent = |values: &[&[u8]]| {
            let field = |value: &&[u8]| ("X-Auth-Debug".to_owned(), value.to_vec());
            callers.is_sent_by(&RequestHead::new(values.iter().map(field).collect()))
        };
        assert!(sent(&[SECRET]));
        for other in [b"".as_slice(), b"0123456789abcde", b"0123456789abcdeF", b"0123456789abcdef ", b"\xff"] {
            assert!(!sent(&[other]), "{other:?}");
        }
        assert!(!sent(&[]) && !sent(&[SECRET, SECRET]));
        assert!(!format!("{callers:?}").contains("0123"));
    }
}
