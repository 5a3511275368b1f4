//! What the VMs of one process tell each other of a provider's keys, as bytes in the host's shared data.
//!
//! Three records a provider: the last good answer, the last failure, and the lease of whoever fetches now.
//! Every VM judges an answer by itself, with the code that judges its own fetches; a record that does not
//! read (corrupted, or of another version) is no record. The host only moves bytes and compares-and-swaps.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::callout::HttpResponse;
use crate::keys::fetch::KeyFetch;
use crate::keys::fetch_limit::TokenBucket;
use crate::policy::{KeyAddress, RemoteKeys};
use crate::sequence::Sequence;
use crate::unix_time::UnixTime;

const VERSION: u8 = 2;
/// How much longer than its fetch a lease runs: past that its holder is taken for dead.
const LEASE_GRACE: Duration = Duration::from_secs(1);

/// The end of a fetch, as one VM tells the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedOutcome {
    /// Which fetch of the process it was.
    pub sequence: Sequence,
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

/// Who may fetch. No two fetches have the same lease: each has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Until when somebody fetches; nobody does when that has passed.
    pub until: UnixTime,
    /// Which fetch of the process it is, or the last one was.
    pub sequence: Sequence,
    /// When as many fetches for unknown key ids and failed signatures are allowed again as there may be at most.
    pub limit_full_at: UnixTime,
}

/// Whose turn it is to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ours, when this lease can be put in the place of the one that was read.
    Ours(Lease),
    /// Somebody makes the fetch of this number.
    Theirs(Sequence),
    /// Nobody's.
    CoolingDown {
        /// How long no fetch of this cause is allowed.
        wait: Duration,
        /// The number of the last fetch.
        sequence: Sequence,
    },
}

/// The name of a provider's records: what is fetched, through which upstream and with which headers, so that two
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
        address.identity().for_each(|part| add(&part));
    }
    let digest = hasher.finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl SharedOutcome {
    /// The end of a fetch that this VM made: a good response, or a failure.
    pub(super) fn of(sequence: Sequence, response: Option<HttpResponse>, now: UnixTime) -> Self {
        let answer = response.map(|response| SharedAnswer {
            cache_control: response.header("cache-control").map(str::to_owned),
            body: response.body,
        });
        Self { sequence, ended: now, answer }
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.sequence.number().to_le_bytes());
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
        reader.version()?;
        let (sequence, ended) = (Sequence::new(reader.number()?), reader.time()?);
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
        Some(Self { sequence, ended, answer })
    }
}

impl Lease {
    /// As bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.until.as_millis().to_le_bytes());
        bytes.extend(self.sequence.number().to_le_bytes());
        bytes.extend(self.limit_full_at.as_millis().to_le_bytes());
        bytes
    }

    /// From bytes; `None` when they are not of this form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        reader.version()?;
        let lease =
            Self { until: reader.time()?, sequence: Sequence::new(reader.number()?), limit_full_at: reader.time()? };
        reader.0.is_empty().then_some(lease)
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
        let sequence = lease.map_or(fetch.sequence, |lease| fetch.sequence.newer(lease.sequence.next()));
        // One that runs longer than any is ever written is from before the clock went back.
        let runs = |lease: &Lease| now < lease.until && lease.until.since(now) <= longest * 10;
        if let Some(lease) = lease.filter(runs) {
            return Self::Theirs(lease.sequence);
        }
        let mut bucket = lease.map(|lease| TokenBucket::full_at(lease.limit_full_at)).unwrap_or_default();
        match (bucket.take(fetch.cause, fetch.cooldown, now), lease) {
            (Ok(taken), _) => bucket = taken,
            (Err(wait), Some(lease)) => return Self::CoolingDown { wait, sequence: lease.sequence },
            // A new bucket is full.
            (Err(_), None) => {}
        }
        Self::Ours(Lease { until: now.plus(longest), sequence, limit_full_at: bucket.is_full_at() })
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

    fn time(&mut self) -> Option<UnixTime> {
        self.number().map(UnixTime::from_millis)
    }

    fn version(&mut self) -> Option<()> {
        (self.take::<1>()? == [VERSION]).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderName;
    use crate::keys::fetch::{FetchCause, FetchNumber};
    use crate::policy::{CalloutAddress, CalloutHeaders};
    use crate::redacted::Redacted;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn fetch(cause: FetchCause) -> KeyFetch {
        KeyFetch {
            number: FetchNumber(1),
            address: CalloutAddress::parse("https://a/keys", "okta").unwrap(),
            timeout: Duration::from_secs(5),
            cause,
            sequence: Sequence::new(1),
            cooldown: Duration::from_secs(4),
        }
    }

    fn good(body: &[u8], cache_control: Option<&str>) -> SharedOutcome {
        let answer = SharedAnswer { cache_control: cache_control.map(str::to_owned), body: body.to_vec() };
        SharedOutcome { sequence: Sequence::new(5), ended: UnixTime::from_millis(7), answer: Some(answer) }
    }

    /// A header may choose the tenant whose keys are fetched.
    #[wasm_bindgen_test(unsupported = test)]
    fn configurations_with_other_callout_headers_share_no_keys() {
        let name = |fields: &[(&str, &str)]| {
            let field =
                |(name, value): &(&str, &str)| (HeaderName::parse(name).unwrap(), Redacted::new((*value).to_owned()));
            let headers = CalloutHeaders::new(fields.iter().map(field).collect());
            let second = Duration::from_secs(1);
            record_name(&RemoteKeys {
                address: KeyAddress::Known(CalloutAddress::parse("https://a/keys", "okta").unwrap())
                    .with_headers(&headers),
                refresh: second,
                max_stale: second,
                timeout: second,
                unknown_kid_cooldown: second,
            })
        };
        let names = [
            name(&[]),
            name(&[("x-tenant", "a")]),
            name(&[("x-tenant", "b")]),
            name(&[("x-other", "a")]),
            name(&[("x-tenant", "a"), ("x-other", "a")]),
        ];
        for (at, one) in names.iter().enumerate() {
            assert!(!names[..at].contains(one), "{at}");
        }
        assert_eq!(names[1], name(&[("x-tenant", "a")]));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn records_come_back_as_they_went() {
        let failed = SharedOutcome { answer: None, ..good(b"", None) };
        for record in [good(b"{\"keys\":[]}", Some("max-age=5")), good(b"", None), failed] {
            assert_eq!(SharedOutcome::from_bytes(&record.to_bytes()), Some(record));
        }
        let lease =
            Lease { until: UnixTime::from_secs(5), sequence: Sequence::new(9), limit_full_at: UnixTime::from_secs(3) };
        assert_eq!(Lease::from_bytes(&lease.to_bytes()), Some(lease));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_somebody_else_wrote_there_is_no_record() {
        let bytes = good(b"{}", Some("no-store")).to_bytes();
        for end in 0..17 {
            assert_eq!(SharedOutcome::from_bytes(&bytes[..end]), None, "{end}");
        }
        for alien in [&b""[..], b"\x01", &[0xff; 40], &[VERSION; 100], b"{\"keys\":[]}"] {
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
        assert_eq!(later(1005), Turn::Theirs(lease.sequence));
        assert!(matches!(later(1006), Turn::Ours(_)));
        assert!(matches!(later(10), Turn::Ours(_)), "the clock went back: nobody waits a quarter of an hour");
        assert!(matches!(Turn::of(&fetch(FetchCause::Due), Some(lease.given_back()), now), Turn::Ours(_)));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn fetches_for_unknown_key_ids_come_out_of_one_bucket_in_the_whole_process() {
        let turn = |cause, lease, seconds| Turn::of(&fetch(cause), lease, UnixTime::from_secs(seconds));
        let mut lease: Option<Lease> = None;
        for number in 1..=3 {
            let Turn::Ours(taken) = turn(FetchCause::UnknownKeyId, lease, 1000) else { panic!("three are allowed") };
            assert_eq!(taken.sequence, Sequence::new(number));
            lease = Some(taken.given_back());
        }
        let refused = |wait| Turn::CoolingDown { wait: Duration::from_secs(wait), sequence: Sequence::new(3) };
        assert_eq!(turn(FetchCause::UnknownKeyId, lease, 1001), refused(3));
        let Turn::Ours(due) = turn(FetchCause::Due, lease, 1001) else { panic!("a refresh is not held up by it") };
        assert_eq!(due.limit_full_at, lease.unwrap().limit_full_at, "nor does it take one");
        assert!(matches!(turn(FetchCause::UnknownKeyId, lease, 1004), Turn::Ours(_)));
        let Turn::Ours(taken) = turn(FetchCause::UnknownKeyId, lease, 10) else { panic!("the clock went back") };
        let wait = Duration::from_secs(4);
        let refused = Turn::CoolingDown { wait, sequence: taken.sequence };
        assert_eq!(turn(FetchCause::UnknownKeyId, Some(taken.given_back()), 10), refused, "one, not three");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn failed_signatures_leave_the_process_one_fetch_for_an_unknown_key_id() {
        let turn = |cause, lease| Turn::of(&fetch(cause), lease, UnixTime::from_secs(1000));
        let mut lease: Option<Lease> = None;
        for _ in 0..2 {
            let Turn::Ours(taken) = turn(FetchCause::SignatureInvalid, lease) else { panic!("two are allowed") };
            lease = Some(taken.given_back());
        }
        let refused = Turn::CoolingDown { wait: Duration::from_secs(4), sequence: Sequence::new(2) };
        assert_eq!(turn(FetchCause::SignatureInvalid, lease), refused);
        assert!(matches!(turn(FetchCause::UnknownKeyId, lease), Turn::Ours(_)));
        assert!(matches!(turn(FetchCause::Due, lease), Turn::Ours(_)));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_lease_is_newer_than_what_its_taker_and_the_record_know() {
        let lease = |sequence| Lease {
            until: UnixTime::from_millis(0),
            sequence: Sequence::new(sequence),
            limit_full_at: UnixTime::from_millis(0),
        };
        let number = |known, lease| {
            let fetch = KeyFetch { sequence: Sequence::new(known), ..fetch(FetchCause::Due) };
            match Turn::of(&fetch, lease, UnixTime::from_secs(1000)) {
                Turn::Ours(lease) => lease.sequence,
                turn @ (Turn::Theirs(_) | Turn::CoolingDown { .. }) => panic!("{turn:?}"),
            }
        };
        assert_eq!(number(1, None), Sequence::new(1));
        assert_eq!(number(1, Some(lease(7))), Sequence::new(8));
        assert_eq!(number(9, Some(lease(7))), Sequence::new(9), "the record was lost, and its numbers restart");
        assert_eq!(number(9, Some(lease(u64::MAX))), Sequence::new(9), "corrupt: older than nine by ten");
        assert_eq!(number(9, Some(lease(1 << 62))), Sequence::new((1 << 62) + 1), "corrupt: and all follow it");
    }
}
