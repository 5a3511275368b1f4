//! The tokens of the benchmark: distinct ones by the hundred thousand, made once and kept in a file, and rejected ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};
use testbed::authorization_server::{DEFAULT_AUDIENCE, ISSUER};

use crate::progress::Progress;
use crate::signing::{Kind, SigningKey};

/// 2026 and 2100: the same tokens serve every run.
pub const ISSUED_AT: u64 = 1_767_225_600;
/// Long after every run.
pub const EXPIRES_AT: u64 = 4_102_444_800;

/// The claims of the token number `number`: those of an Okta access token for a user.
pub fn claims(number: usize) -> Value {
    json!({
        "ver": 1,
        "jti": format!("AT.bench{number:035}"),
        "iss": ISSUER,
        "aud": DEFAULT_AUDIENCE,
        "iat": ISSUED_AT,
        "exp": EXPIRES_AT,
        "cid": "0oa1application000d7",
        "uid": "00u1alice000000000d7",
        "scp": ["read:accounts"],
        "auth_time": ISSUED_AT,
        "sub": "alice@acme.com",
    })
}

/// A token whose time was over long ago.
pub fn expired(key: &SigningKey) -> String {
    let mut claims = claims(0);
    claims["exp"] = json!(ISSUED_AT + 3600);
    key.token(&claims)
}

/// The same token with another signature of the same length.
pub fn with_a_bad_signature(token: &str) -> String {
    let (signing_input, signature) = token.rsplit_once('.').expect("a token");
    // Not its start: a number beyond the modulus is refused without any arithmetic.
    let (start, rest) = signature.split_at(signature.len() / 2);
    let other = if rest.starts_with('A') { 'B' } else { 'A' };
    format!("{signing_input}.{start}{other}{}", &rest[1..])
}

/// Keeps the tokens of each kind of key in a file of their own.
pub struct TokenStore {
    directory: PathBuf,
    loaded: BTreeMap<Kind, Vec<String>>,
}

impl TokenStore {
    /// In this directory, which exists.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), loaded: BTreeMap::new() }
    }

    /// `count` tokens, or more, from the file if they are there and made now otherwise.
    pub fn tokens(&mut self, key: &SigningKey, count: usize) -> &[String] {
        let tokens = self.loaded.entry(key.kind()).or_default();
        if tokens.len() < count {
            let path = self.directory.join(format!("tokens-{}.txt", key.kind().name()));
            *tokens = read(&path).ok().filter(|kept| serve(kept, key, count)).unwrap_or_else(|| {
                let made = mint(key, count);
                write(&path, &made).expect("the tokens are written");
                made
            });
        }
        tokens
    }
}

/// Whether what was kept are the tokens that would be made now. The key's fingerprint is in the first part.
fn serve(kept: &[String], key: &SigningKey, count: usize) -> bool {
    let is_signed_as_now = |first: &String| first.starts_with(&format!("{}.", key.signing_input(&claims(0))));
    kept.len() >= count && kept.first().is_some_and(is_signed_as_now)
}

fn mint(key: &SigningKey, count: usize) -> Vec<String> {
    let title = format!("signing {} tokens, once", key.kind().title());
    in_parallel(&title, count, |number| key.token(&claims(number)))
}

/// What `make` makes of each number below `count`, in their order, on all cores.
pub fn in_parallel<T: Send>(title: &str, count: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let progress = Progress::new(title, count);
    let (progress, make) = (&progress, &make);
    let share = count.div_ceil(thread::available_parallelism().map_or(1, NonZero::get)).max(1);
    thread::scope(|scope| {
        let make_from = |first: usize| {
            let numbers = first..count.min(first + share);
            scope.spawn(move || numbers.map(|number| progress.after(make(number))).collect::<Vec<_>>())
        };
        let makers: Vec<_> = (0..count).step_by(share).map(make_from).collect();
        makers.into_iter().flat_map(|maker| maker.join().expect("no panic")).collect()
    })
}

fn read(path: &Path) -> io::Result<Vec<String>> {
    BufReader::new(fs::File::open(path)?).lines().collect()
}

fn write(path: &Path, tokens: &[String]) -> io::Result<()> {
    // Whole or not at all.
    let unfinished = path.with_extension("new");
    let mut file = BufWriter::new(fs::File::create(&unfinished)?);
    tokens.iter().try_for_each(|token| writeln!(file, "{token}"))?;
    file.into_inner()?;
    fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn tokens_are_distinct_and_found_again_unless_they_are_too_few() {
        let directory = TempDir::new().unwrap();
        let key = SigningKey::of(Kind::Es256);
        let made = TokenStore::new(directory.path()).tokens(&key, 5).to_vec();
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 5);
        // ECDSA signatures are random, so the same ones were not made again.
        assert_eq!(TokenStore::new(directory.path()).tokens(&key, 4), made);
        assert_eq!(TokenStore::new(directory.path()).tokens(&key, 6).len(), 6);
    }

    #[test]
    fn tokens_of_another_key_are_not_accepted() {
        let directory = TempDir::new().unwrap();
        let foreign = SigningKey::of(Kind::Ps256).token(&claims(0));
        fs::write(directory.path().join("tokens-es256.txt"), format!("{foreign}\n")).unwrap();
        let key = SigningKey::of(Kind::Es256);
        let tokens = TokenStore::new(directory.path()).tokens(&key, 1).to_vec();
        assert!(tokens[0].starts_with(&key.signing_input(&claims(0))));
    }

    #[test]
    fn what_is_made_in_parallel_is_in_order() {
        for count in [0, 1, 2, 101] {
            assert_eq!(in_parallel("", count, |number| number), (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_bad_signature_differs_in_one_place() {
        assert_eq!(with_a_bad_signature("h.p.abcd"), "h.p.abAd");
        assert_eq!(with_a_bad_signature("h.p.abAd"), "h.p.abBd");
    }
}
