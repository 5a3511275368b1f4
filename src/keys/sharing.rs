//! How the workers of one process share a provider's keys: three records in the host's shared data, the last good response,
//! the last failure, and the lease of the worker that fetches.
//!
//! Every worker reads a shared response with the code that reads its own.

use std::time::Duration;

use crate::callout::HttpResponse;
use crate::keys::fetch::KeyFetch;
use crate::lookup::lease::{Lease, LeaseRecord};
use crate::lookup::record::{self, Record, RecordReader, RecordWriter};
use crate::lookup::token_bucket::TokenBucket;
use crate::policy::RemoteKeys;
use crate::sequence::Sequence;
use crate::unix_time::UnixTime;

/// How much longer than its fetch a lease runs; after that another worker may fetch.
const LEASE_GRACE: Duration = Duration::from_secs(1);

/// The lease on a fetch, with the fetches that unknown key ids and failed signatures have left in the process.
pub type KeyLease = LeaseRecord<TokenBucket>;

/// The end of a fetch, as one worker shares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedOutcome {
    /// Which fetch of the process it was.
    pub sequence: Sequence,
    pub ended: UnixTime,
    /// The response with the key set; `None`: the fetch failed.
    pub response: Option<HttpResponse>,
}

/// The name of a provider's records: what is fetched, through which upstream and with which headers.
pub(super) fn record_name(settings: &RemoteKeys) -> String {
    record::record_name("keys", settings.address.identity())
}

impl Record for SharedOutcome {
    fn write(&self, to: &mut RecordWriter) {
        to.sequence(self.sequence);
        to.time(self.ended);
        to.bytes(&[u8::from(self.response.is_some())]);
        if let Some(response) = &self.response {
            to.text(response.header("cache-control"));
            to.bytes(&response.body);
        }
    }

    fn read(from: &mut RecordReader<'_>) -> Option<Self> {
        let (sequence, ended) = (from.sequence()?, from.time()?);
        let response = match from.array()? {
            [0] => None,
            [1] => {
                let cache_control = from.text()?;
                Some(HttpResponse::new(200, from.rest().to_vec()).with_header("cache-control", cache_control))
            }
            _ => return None,
        };
        Some(Self { sequence, ended, response })
    }
}

impl Lease<TokenBucket> {
    /// The lease on `fetch`, with `held` in the shared data.
    pub fn for_fetch(fetch: &KeyFetch, held: Option<KeyLease>, now: UnixTime) -> Self {
        if let Some(held) = held.filter(|held| held.is_running(now)) {
            return Self::HeldByOther(held.sequence);
        }
        let bucket = held.map(|held| held.detail).unwrap_or_default();
        let acquired = match fetch.cause.reserve() {
            Some(reserve) => bucket.try_acquire(reserve, fetch.cooldown, now),
            None => Ok(bucket),
        };
        match acquired {
            Ok(bucket) => {
                let lasts = fetch.timeout + LEASE_GRACE;
                Self::Acquired(LeaseRecord::after(held, fetch.sequence, bucket, lasts, now))
            }
            Err(wait) => Self::Cooldown { wait, sequence: held.map_or(fetch.sequence, |held| held.sequence) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderName;
    use crate::keys::fetch::{FetchCause, FetchNumber};
    use crate::policy::{CalloutAddress, CalloutHeaders, EndpointAddress};
    use crate::redacted::Redacted;
    use crate::unix_time::Span;

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
        let response = HttpResponse::new(200, body.to_vec()).with_header("cache-control", cache_control);
        SharedOutcome { sequence: Sequence::new(5), ended: UnixTime::from_millis(7), response: Some(response) }
    }

    /// A header may choose the tenant whose keys are fetched.
    #[test]
    fn configurations_with_other_callout_headers_share_no_keys() {
        let name = |fields: &[(&str, &str)]| {
            let field =
                |(name, value): &(&str, &str)| (HeaderName::parse(name).unwrap(), Redacted::new((*value).to_owned()));
            let headers = CalloutHeaders::new(fields.iter().map(field).collect());
            let second = Duration::from_secs(1);
            record_name(&RemoteKeys {
                address: EndpointAddress::Known(CalloutAddress::parse("https://a/keys", "okta").unwrap())
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

    #[test]
    fn records_round_trip() {
        let failed = SharedOutcome { response: None, ..good(b"", None) };
        for record in [good(b"{\"keys\":[]}", Some("max-age=5")), good(b"", None), failed] {
            assert_eq!(SharedOutcome::from_bytes(&record.to_bytes()), Some(record));
        }
        let lease = KeyLease {
            span: Span { from: UnixTime::from_secs(4), until: UnixTime::from_secs(5) },
            sequence: Sequence::new(9),
            detail: TokenBucket::full_at(UnixTime::from_secs(3)),
        };
        assert_eq!(KeyLease::from_bytes(&lease.to_bytes()), Some(lease));
    }

    #[test]
    fn other_bytes_are_no_record() {
        let bytes = good(b"{}", Some("no-store")).to_bytes();
        for end in 0..17 {
            assert_eq!(SharedOutcome::from_bytes(&bytes[..end]), None, "{end}");
        }
        for alien in [&b""[..], b"\x01", &[0xff; 40], &[record::VERSION; 100], b"{\"keys\":[]}"] {
            assert_eq!(SharedOutcome::from_bytes(alien), None, "{alien:?}");
            assert_eq!(KeyLease::from_bytes(alien), None, "{alien:?}");
        }
        let mut too_long = bytes;
        too_long[18..26].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(SharedOutcome::from_bytes(&too_long), None);
    }

    #[test]
    fn one_worker_fetches_at_a_time_until_its_lease_ends() {
        let now = UnixTime::from_secs(1000);
        let Lease::Acquired(lease) = Lease::for_fetch(&fetch(FetchCause::Due), None, now) else {
            panic!("nobody fetches yet")
        };
        assert_eq!(lease.span.until, UnixTime::from_secs(1006));
        let later = |seconds| Lease::for_fetch(&fetch(FetchCause::Due), Some(lease), UnixTime::from_secs(seconds));
        assert_eq!(later(1005), Lease::HeldByOther(lease.sequence));
        assert!(matches!(later(1006), Lease::Acquired(_)));
        assert!(matches!(later(10), Lease::Acquired(_)), "the clock went back: nobody waits a quarter of an hour");
        assert!(matches!(Lease::for_fetch(&fetch(FetchCause::Due), Some(lease.given_back()), now), Lease::Acquired(_)));
    }

    #[test]
    fn fetches_for_unknown_key_ids_share_one_bucket_in_the_process() {
        let lease_of = |cause, lease, seconds| Lease::for_fetch(&fetch(cause), lease, UnixTime::from_secs(seconds));
        let mut lease: Option<KeyLease> = None;
        for number in 1..=3 {
            let Lease::Acquired(taken) = lease_of(FetchCause::UnknownKeyId, lease, 1000) else {
                panic!("three are allowed")
            };
            assert_eq!(taken.sequence, Sequence::new(number));
            lease = Some(taken.given_back());
        }
        let refused = |wait| Lease::Cooldown { wait: Duration::from_secs(wait), sequence: Sequence::new(3) };
        assert_eq!(lease_of(FetchCause::UnknownKeyId, lease, 1001), refused(3));
        let Lease::Acquired(due) = lease_of(FetchCause::Due, lease, 1001) else {
            panic!("a refresh is not held up by it")
        };
        assert_eq!(due.detail, lease.unwrap().detail, "nor does it take one");
        assert!(matches!(lease_of(FetchCause::UnknownKeyId, lease, 1004), Lease::Acquired(_)));
        let Lease::Acquired(taken) = lease_of(FetchCause::UnknownKeyId, lease, 10) else {
            panic!("the clock went back")
        };
        let wait = Duration::from_secs(4);
        let refused = Lease::Cooldown { wait, sequence: taken.sequence };
        assert_eq!(lease_of(FetchCause::UnknownKeyId, Some(taken.given_back()), 10), refused, "one, not three");
    }

    #[test]
    fn failed_signatures_leave_the_process_one_fetch_for_an_unknown_key_id() {
        let lease_of = |cause, lease| Lease::for_fetch(&fetch(cause), lease, UnixTime::from_secs(1000));
        let mut lease: Option<KeyLease> = None;
        for _ in 0..2 {
            let Lease::Acquired(taken) = lease_of(FetchCause::SignatureInvalid, lease) else {
                panic!("two are allowed")
            };
            lease = Some(taken.given_back());
        }
        let refused = Lease::Cooldown { wait: Duration::from_secs(4), sequence: Sequence::new(2) };
        assert_eq!(lease_of(FetchCause::SignatureInvalid, lease), refused);
        assert!(matches!(lease_of(FetchCause::UnknownKeyId, lease), Lease::Acquired(_)));
        assert!(matches!(lease_of(FetchCause::Due, lease), Lease::Acquired(_)));
    }

    #[test]
    fn every_lease_is_newer_than_its_holder_and_the_record_know() {
        let over = Span { from: UnixTime::from_millis(0), until: UnixTime::from_millis(0) };
        let lease =
            |sequence| KeyLease { span: over, sequence: Sequence::new(sequence), detail: TokenBucket::default() };
        let number = |known, lease| {
            let fetch = KeyFetch { sequence: Sequence::new(known), ..fetch(FetchCause::Due) };
            match Lease::for_fetch(&fetch, lease, UnixTime::from_secs(1000)) {
                Lease::Acquired(lease) => lease.sequence,
                other @ (Lease::HeldByOther(_) | Lease::Cooldown { .. }) => panic!("{other:?}"),
            }
        };
        assert_eq!(number(1, None), Sequence::new(1));
        assert_eq!(number(1, Some(lease(7))), Sequence::new(8));
        assert_eq!(number(9, Some(lease(7))), Sequence::new(9), "the record was lost, and its numbers restart");
        assert_eq!(number(9, Some(lease(u64::MAX))), Sequence::new(9), "corrupt: older than nine by ten");
        assert_eq!(number(9, Some(lease(1 << 62))), Sequence::new((1 << 62) + 1), "corrupt: and all follow it");
    }
}
