//! What the VMs of one process tell each other of a provider's keys, as bytes in the host's shared data.
//!
//! Three records a provider: the last good answer, the last failure, and the lease of whoever fetches now.
//! Every VM judges an answer by itself, with the code that judges its own fetches; a record that does not
//! read (corrupted, or of another version) is no record. The host only moves bytes and compares-and-swaps.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::keys::fetch::{FetchCause, FetchOutcome, KeyFetch};
use crate::policy::{KeyAddress, RemoteKeys};
use crate::unix_time::UnixTime;

const VERSION: u8 = 1;
/// How much longer than its fetch a lease runs: past that its holder is taken for dead.
const LEASE_GRACE: Duration = Duration::from_secs(1);

/// The end of a fetch, as one VM tells the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedOutcome {
    /// When the fetch began.
    pub began: UnixTime,
    /// When it ended.
    pub ended: UnixTime,
    /// What the key server said, when that was a key set; else the fetch failed.
    pub answer: Option<SharedAnswer>,
}

/// An answer that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedAnswer {
    /// Its `Cache-Control`.
    pub cache_control: Option<String>,
    /// The key set document.
    pub body: Vec<u8>,
}

/// Who may fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Until when somebody fetches; nobody does when that has passed.
    pub until: UnixTime,
    /// When the last fetch for an unknown key id began.
    pub unknown_key_fetch: UnixTime,
}

/// Whose turn it is to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ours, when this lease can be put in the place of the one that was read.
    Ours(Lease),
    /// Somebody fetches already.
    Theirs,
    /// Nobody's: fetches for unknown key ids are allowed again after this long.
    CoolingDown(Duration),
}

/// The name of a provider's records: what is fetched and through which upstream, so that two
/// configurations share exactly when they mean the same.
pub(super) fn record_name(settings: &RemoteKeys) -> String {
    let mut hasher = Sha256::new();
    let mut add = |text: &str| {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    let address = match &settings.address {
        KeyAddress::Known(address) => Some(address),
        KeyAddress::Discovered(discovery) => {
            add(&discovery.issuer);
            discovery.documents.first()
        }
    };
    if let Some(address) = address {
        add(&address.upstream);
        add(&address.to_string());
    }
    let digest = hasher.finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl SharedOutcome {
    /// The end of `fetch`, which this VM made.
    pub(super) fn of(began: UnixTime, outcome: &FetchOutcome, is_good: bool, now: UnixTime) -> Self {
        let answer = match outcome {
            FetchOutcome::Response { cache_control, body, .. } if is_good => {
                Some(SharedAnswer { cache_control: cache_control.clone(), body: body.clone() })
            }
            FetchOutcome::Response { .. } | FetchOutcome::Failed(_) => None,
        };
        Self { began, ended: now, answer }
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.began.as_millis().to_le_bytes());
        bytes.extend(self.ended.as_millis().to_le_bytes());
        match &self.answer {
            None => bytes.push(0),
            Some(answer) => {
                bytes.push(1);
                let cache_control = answer.cache_control.as_deref().unwrap_or_default();
                bytes.extend((cache_control.len() as u64).to_le_bytes());
                bytes.extend(cache_control.as_bytes());
                bytes.extend(&answer.body);
            }
        }
        bytes
    }

    /// From bytes; `None` when they are not of this form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (began, ended) = reader.header()?;
        let answer = match reader.take::<1>()? {
            [0] if reader.0.is_empty() => None,
            [1] => {
                let length = usize::try_from(reader.number()?).ok()?;
                let (cache_control, body) = reader.0.split_at_checked(length)?;
                let cache_control = String::from_utf8(cache_control.to_vec()).ok()?;
                let cache_control = (!cache_control.is_empty()).then_some(cache_control);
                Some(SharedAnswer { cache_control, body: body.to_vec() })
            }
            _ => return None,
        };
        Some(Self { began, ended, answer })
    }
}

impl Lease {
    /// As bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.until.as_millis().to_le_bytes());
        bytes.extend(self.unknown_key_fetch.as_millis().to_le_bytes());
        bytes
    }

    /// From bytes; `None` when they are not of this form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (until, unknown_key_fetch) = reader.header()?;
        reader.0.is_empty().then_some(Self { until, unknown_key_fetch })
    }

    /// The lease once its holder is done.
    #[must_use]
    pub const fn given_back(self) -> Self {
        Self { until: UnixTime::from_millis(0), ..self }
    }
}

impl Turn {
    /// Whose turn it is to make `fetch`, with `lease` in the shared data.
    pub fn of(fetch: &KeyFetch, lease: Option<Lease>, now: UnixTime) -> Self {
        let longest = fetch.timeout + LEASE_GRACE;
        let lease =
            lease.unwrap_or(Lease { until: UnixTime::from_millis(0), unknown_key_fetch: UnixTime::from_millis(0) });
        // One that runs longer than any is ever written is from before the clock went back.
        if now < lease.until && lease.until.since(now) <= longest * 10 {
            return Self::Theirs;
        }
        let mut unknown_key_fetch = lease.unknown_key_fetch;
        if fetch.cause == FetchCause::UnknownKeyId {
            let elapsed = now.since(unknown_key_fetch);
            let is_in_the_past = unknown_key_fetch <= now;
            if is_in_the_past && elapsed < fetch.cooldown {
                return Self::CoolingDown(fetch.cooldown.saturating_sub(elapsed));
            }
            unknown_key_fetch = now;
        }
        Self::Ours(Lease { until: now.plus(longest), unknown_key_fetch })
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<u64> {
        self.take::<8>().map(u64::from_le_bytes)
    }

    /// The version and the two times that every record begins with.
    fn header(&mut self) -> Option<(UnixTime, UnixTime)> {
        if self.take::<1>()? != [VERSION] {
            return None;
        }
        Some((UnixTime::from_millis(self.number()?), UnixTime::from_millis(self.number()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::fetch::FetchNumber;
    use crate::policy::CalloutAddress;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn fetch(cause: FetchCause) -> KeyFetch {
        KeyFetch {
            number: FetchNumber(1),
            address: CalloutAddress::parse("https://a/keys", "okta").unwrap(),
            timeout: Duration::from_secs(5),
            cause,
            began: UnixTime::from_secs(1000),
            cooldown: Duration::from_secs(30),
        }
    }

    fn good(body: &[u8], cache_control: Option<&str>) -> SharedOutcome {
        let answer = SharedAnswer { cache_control: cache_control.map(str::to_owned), body: body.to_vec() };
        SharedOutcome { began: UnixTime::from_millis(5), ended: UnixTime::from_millis(7), answer: Some(answer) }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn records_come_back_as_they_went() {
        let failed = SharedOutcome { answer: None, ..good(b"", None) };
        for record in [good(b"{\"keys\":[]}", Some("max-age=5")), good(b"", None), failed] {
            assert_eq!(SharedOutcome::from_bytes(&record.to_bytes()), Some(record));
        }
        let lease = Lease { until: UnixTime::from_secs(5), unknown_key_fetch: UnixTime::from_secs(3) };
        assert_eq!(Lease::from_bytes(&lease.to_bytes()), Some(lease));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_somebody_else_wrote_there_is_no_record() {
        let bytes = good(b"{}", Some("no-store")).to_bytes();
        for end in 0..17 {
            assert_eq!(SharedOutcome::from_bytes(&bytes[..end]), None, "{end}");
        }
        for alien in [&b""[..], b"\x02", &[0xff; 40], &[VERSION; 100], b"{\"keys\":[]}"] {
            assert_eq!(SharedOutcome::from_bytes(alien), None, "{alien:?}");
            assert_eq!(Lease::from_bytes(alien), None, "{alien:?}");
        }
        let mut too_long = bytes;
        too_long[18..26].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(SharedOutcome::from_bytes(&too_long), None);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn one_at_a_time_fetches_and_a_dead_one_is_not_waited_for() {
        let now = UnixTime::from_secs(1000);
        let Turn::Ours(lease) = Turn::of(&fetch(FetchCause::Due), None, now) else { panic!("nobody fetches yet") };
        assert_eq!(lease.until, UnixTime::from_secs(1006));
        let later = |seconds| Turn::of(&fetch(FetchCause::Due), Some(lease), UnixTime::from_secs(seconds));
        assert_eq!(later(1005), Turn::Theirs);
        assert!(matches!(later(1006), Turn::Ours(_)));
        assert!(matches!(later(10), Turn::Ours(_)), "the clock went back: nobody waits a quarter of an hour");
        assert!(matches!(Turn::of(&fetch(FetchCause::Due), Some(lease.given_back()), now), Turn::Ours(_)));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn fetches_for_unknown_key_ids_are_a_cooldown_apart_in_the_whole_process() {
        let turn = |cause, lease, seconds| Turn::of(&fetch(cause), lease, UnixTime::from_secs(seconds));
        let Turn::Ours(lease) = turn(FetchCause::UnknownKeyId, None, 1000) else { panic!("the first is allowed") };
        let lease = Some(lease.given_back());
        assert_eq!(turn(FetchCause::UnknownKeyId, lease, 1010), Turn::CoolingDown(Duration::from_secs(20)));
        let Turn::Ours(due) = turn(FetchCause::Due, lease, 1010) else { panic!("a refresh is not held up by it") };
        assert_eq!(due.unknown_key_fetch, UnixTime::from_secs(1000), "nor does it start the cooldown anew");
        assert!(matches!(turn(FetchCause::UnknownKeyId, lease, 1030), Turn::Ours(_)));
    }
}
