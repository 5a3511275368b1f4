//! How the workers of one process share introspection responses, as records in the host's shared data.
//!
//! Entries there are never freed, so their names are bounded: a token's response has the slot that its digest says, and
//! another token's may overwrite it, which costs a call. Active responses and all others have slots of their own, so that a
//! flood of bad tokens does not evict the good ones. A record holds the digest and the endpoint's response: every worker
//! reads it with the code that reads its own; one about another token is no record. Shared data is writable for every plugin
//! of the same `vm_id`; the filter needs its own.

use std::time::Duration;

use crate::introspection::call::TokenDigest;
use crate::lookup::lease::{Lease, LeaseRecord};
use crate::lookup::record::{self, Record, RecordReader, RecordWriter};
use crate::policy::Introspection;
use crate::sequence::Sequence;
use crate::unix_time::UnixTime;

const ACTIVE_SLOTS: u16 = 4096;
const NEGATIVE_SLOTS: u16 = 128;
const LEASE_SLOTS: u16 = 128;
/// A response longer than this is not shared: all slots of a provider together take 18 MB at most.
pub const MAX_SHARED_BYTES: usize = 4096;
/// How much longer than its call a lease runs; after that another worker may call.
const LEASE_GRACE: Duration = Duration::from_millis(500);

pub type CallLease = LeaseRecord<TokenDigest>;

/// The names of the records that concern one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordNames {
    /// That of an active response.
    pub active: String,
    /// That of another response.
    pub negative: String,
    pub lease: String,
}

/// A response, as one worker shares it.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedResponse {
    pub token: TokenDigest,
    /// The number in the lease on its call. It belongs to the record of the lease: all responses in one slot are numbered by
    /// the same leases, so of two about one token the call of the newer number began later.
    pub sequence: Sequence,
    pub began: UnixTime,
    pub ended: UnixTime,
    /// The body of the response, which had status 200.
    pub body: Vec<u8>,
    /// Which of its slots is its own.
    pub slot: SharedSlot,
}

/// In which slots a response is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedSlot {
    /// Among those of tokens that are active and valid.
    Active,
    /// Among all others.
    Negative,
}

/// The responses that the workers of the process share, as far as the host has them. Reading them calls nothing back.
pub trait SharedResponses: std::fmt::Debug {
    /// The responses of these names, also those about other tokens.
    fn read(&self, names: &RecordNames) -> Vec<SharedResponse>;
}

/// Workers that share nothing.
#[derive(Clone, Copy, Debug)]
pub struct NothingShared;

impl SharedResponses for NothingShared {
    fn read(&self, _: &RecordNames) -> Vec<SharedResponse> {
        Vec::new()
    }
}

/// The name of a provider's records: its endpoint, through which upstream, and as which client.
pub(super) fn record_name(settings: &Introspection) -> String {
    let client = settings.client.client_id().to_owned();
    record::record_name("introspection", settings.address.identity().chain([client]))
}

impl RecordNames {
    /// Those of `token` among a provider's records.
    pub(super) fn of(record: &str, token: &TokenDigest) -> Self {
        let [low, high, ..] = token.as_bytes();
        let number = u16::from_le_bytes([*low, *high]);
        Self {
            active: format!("{record}/active/{}", number % ACTIVE_SLOTS),
            negative: format!("{record}/negative/{}", number % NEGATIVE_SLOTS),
            lease: format!("{record}/lease/{}", number % LEASE_SLOTS),
        }
    }

    /// That of a response.
    pub fn of_slot(&self, slot: SharedSlot) -> &str {
        match slot {
            SharedSlot::Active => &self.active,
            SharedSlot::Negative => &self.negative,
        }
    }
}

impl SharedResponse {
    /// Whether both are about one token and this one is newer.
    pub fn supersedes(&self, other: &Self) -> bool {
        self.token == other.token && self.sequence.is_newer_than(other.sequence)
    }
}

impl Record for SharedResponse {
    fn write(&self, to: &mut RecordWriter) {
        to.bytes(&[match self.slot {
            SharedSlot::Active => 1,
            SharedSlot::Negative => 0,
        }]);
        self.token.write(to);
        to.sequence(self.sequence);
        to.time(self.began);
        to.time(self.ended);
        to.bytes(&self.body);
    }

    fn read(from: &mut RecordReader<'_>) -> Option<Self> {
        let slot = match from.array()? {
            [1] => SharedSlot::Active,
            [0] => SharedSlot::Negative,
            _ => return None,
        };
        let (token, sequence) = (TokenDigest::read(from)?, from.sequence()?);
        let (began, ended, body) = (from.time()?, from.time()?, from.rest());
        let is_readable = body.len() <= MAX_SHARED_BYTES;
        is_readable.then(|| Self { token, sequence, began, ended, body: body.to_vec(), slot })
    }
}

impl Record for TokenDigest {
    fn write(&self, to: &mut RecordWriter) {
        to.bytes(self.as_bytes());
    }

    fn read(from: &mut RecordReader<'_>) -> Option<Self> {
        from.array().map(Self::from_bytes)
    }
}

impl Lease<TokenDigest> {
    /// The lease on a call about `token`, with `held` in the shared data. Another token's is overwritten: that costs one
    /// call more. `newest` is the newest number of a response that this worker knows: a lease may be lost.
    pub fn for_call(
        token: TokenDigest,
        timeout: Duration,
        held: Option<CallLease>,
        newest: Sequence,
        now: UnixTime,
    ) -> Self {
        match held.filter(|held| held.detail == token && held.is_running(now)) {
            Some(held) => Self::HeldByOther(held.sequence),
            None => {
                Self::Acquired(LeaseRecord::after(held, newest.next(), token, timeout.saturating_add(LEASE_GRACE), now))
            }
        }
    }
}

impl std::fmt::Debug for SharedResponse {
    /// Without the body: it describes a person.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SharedResponse({:?}, {} bytes)", self.token, self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderName;
    use crate::introspection::call::TokenKind;
    use crate::introspection::fixture::settings;
    use crate::policy::{CalloutAddress, CalloutHeaders, EndpointAddress};
    use crate::redacted::Redacted;
    use std::collections::HashSet;

    fn digest(text: &str) -> TokenDigest {
        TokenDigest::of(TokenKind::Opaque, text.as_bytes())
    }

    fn response(body: &[u8]) -> SharedResponse {
        SharedResponse {
            token: digest("a"),
            sequence: Sequence::new(3),
            began: UnixTime::from_millis(5),
            ended: UnixTime::from_millis(7),
            body: body.to_vec(),
            slot: SharedSlot::Active,
        }
    }

    #[test]
    fn newest_response_about_a_token_has_the_newest_number() {
        let numbered = |number| SharedResponse { sequence: Sequence::new(number), ..response(b"") };
        assert!(numbered(4).supersedes(&numbered(3)) && !numbered(3).supersedes(&numbered(4)));
        assert!(!numbered(3).supersedes(&numbered(3)));
        let later =
            SharedResponse { began: UnixTime::from_millis(50), ended: UnixTime::from_millis(70), ..numbered(2) };
        assert!(!later.supersedes(&numbered(3)), "whatever the clock said");
        assert!(!SharedResponse { token: digest("b"), ..numbered(4) }.supersedes(&numbered(3)));
    }

    #[test]
    fn records_round_trip() {
        for response in [
            response(b"{\"active\":true}"),
            response(b""),
            SharedResponse { slot: SharedSlot::Negative, ..response(b"x") },
        ] {
            assert_eq!(SharedResponse::from_bytes(&response.to_bytes()), Some(response));
        }
        let (timeout, newest, now) = (Duration::from_secs(2), Sequence::new(1 << 40), UnixTime::from_secs(1));
        let Lease::Acquired(lease) = Lease::for_call(digest("a"), timeout, None, newest, now) else {
            panic!("nobody asks yet")
        };
        assert_eq!(CallLease::from_bytes(&lease.to_bytes()), Some(lease));
    }

    #[test]
    fn other_bytes_are_no_record() {
        let bytes = response(b"").to_bytes();
        for end in 0..bytes.len() {
            assert_eq!(SharedResponse::from_bytes(&bytes[..end]), None, "{end}");
        }
        let too_long = response(&vec![b'x'; MAX_SHARED_BYTES + 1]).to_bytes();
        // As version 1 wrote them, without a number.
        let (first_response, first_lease) = ([&[1, 1][..], &[7; 48], b"{}"].concat(), [&[1][..], &[7; 48]].concat());
        for alien in [&b""[..], b"{}", &[0xff; 60], &[record::VERSION; 20], &too_long, &first_response, &first_lease] {
            assert_eq!(SharedResponse::from_bytes(alien), None);
            assert_eq!(CallLease::from_bytes(alien), None);
        }
    }

    #[test]
    fn record_names_are_bounded() {
        let mut names = HashSet::new();
        for number in 0..50_000 {
            let RecordNames { active, negative, lease } = RecordNames::of("r", &digest(&number.to_string()));
            names.extend([active, negative, lease]);
        }
        assert_eq!(names.len(), usize::from(ACTIVE_SLOTS + NEGATIVE_SLOTS + LEASE_SLOTS));
    }

    #[test]
    fn one_worker_calls_about_a_token_until_its_lease_ends() {
        let now = UnixTime::from_secs(1000);
        let lease_of = |token: &str, lease, millis| {
            let now = UnixTime::from_millis(millis);
            Lease::for_call(digest(token), Duration::from_secs(2), lease, Sequence::default(), now)
        };
        let Lease::Acquired(lease) = lease_of("a", None, now.as_millis()) else { panic!("nobody asks yet") };
        assert_eq!(lease_of("a", Some(lease), 1_002_499), Lease::HeldByOther(lease.sequence));
        assert!(matches!(lease_of("a", Some(lease), 1_002_500), Lease::Acquired(_)));
        assert!(matches!(lease_of("b", Some(lease), 1_000_000), Lease::Acquired(_)), "another token's is in the way");
        assert!(matches!(lease_of("a", Some(lease.given_back()), 1_000_000), Lease::Acquired(_)));
        assert!(matches!(lease_of("a", Some(lease), 10_000), Lease::Acquired(_)), "the clock went back");
    }

    #[test]
    fn each_lease_of_a_slot_has_a_newer_number_whatever_its_token_and_the_clock() {
        let lease_of = |token: &str, lease, newest, seconds| {
            let (newest, now) = (Sequence::new(newest), UnixTime::from_secs(seconds));
            match Lease::for_call(digest(token), Duration::from_secs(2), lease, newest, now) {
                Lease::Acquired(lease) => lease,
                other @ (Lease::HeldByOther(_) | Lease::Cooldown { .. }) => panic!("{other:?}"),
            }
        };
        let first = lease_of("a", None, 0, 1000);
        assert_eq!(first.sequence, Sequence::new(1));
        assert_eq!(first.given_back().sequence, Sequence::new(1));
        let second = lease_of("a", Some(first.given_back()), 0, 10);
        assert_eq!(second.sequence, Sequence::new(2), "the clock went back");
        let third = lease_of("b", Some(second), 0, 10);
        assert_eq!(third.sequence, Sequence::new(3), "the number belongs to the slot");
        assert_eq!(lease_of("a", None, 7, 10).sequence, Sequence::new(8), "the lease was lost");
        let corrupt = CallLease { sequence: Sequence::new(1 << 62), ..third.given_back() };
        assert_eq!(lease_of("b", Some(corrupt), 3, 10).sequence, Sequence::new((1 << 62) + 1), "and all follow it");
        let corrupt = CallLease { sequence: Sequence::new(u64::MAX), ..third.given_back() };
        assert_eq!(lease_of("b", Some(corrupt), 3, 10).sequence, Sequence::new(4), "older than three by four");
    }

    #[test]
    fn configurations_share_exactly_when_their_responses_are_the_same() {
        let of = |url: &str, upstream: &str, client: &str| {
            let mut settings = settings();
            settings.address = EndpointAddress::Known(CalloutAddress::parse(url, upstream).unwrap());
            settings.client = crate::introspection::fixture::client(client);
            record_name(&settings)
        };
        let name = of("https://a/i", "u", "c");
        assert_eq!(name, of("https://a/i", "u", "c"));
        let mut tenant = settings();
        let header = (HeaderName::parse("x-tenant").unwrap(), Redacted::new(String::from("a")));
        let address = CalloutAddress::parse("https://a/i", "u").unwrap();
        let address = address.with_headers(&CalloutHeaders::new(vec![header]));
        tenant.address = EndpointAddress::Known(address);
        tenant.client = crate::introspection::fixture::client("c");
        assert_ne!(name, record_name(&tenant), "another header");
        for other in [of("https://a/j", "u", "c"), of("https://a/i", "v", "c"), of("https://a/i", "u", "d")] {
            assert_ne!(name, other);
        }
    }
}
