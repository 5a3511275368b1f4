//! What the VMs of one process tell each other of tokens, as bytes in the host's shared data.
//!
//! Entries there are never freed, so their names are bounded: a token's answer stands in the slot that its digest says,
//! and another token's may overwrite it. Nothing is lost by that but a call. Active answers and all others have slots of
//! their own, so that a flood of bad tokens does not wash the good ones out. A record holds the digest and the endpoint's
//! own answer: every VM judges it with the code that judges its own; one that does not read, or is about another token,
//! is no record. Shared data is writable for every plugin of the same `vm_id`; the filter wants its own.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::introspection::call::{Span, TokenDigest};
use crate::policy::{Introspection, IntrospectionAddress};
use crate::sequence::Sequence;
use crate::unix_time::UnixTime;

const VERSION: u8 = 2;
const ACTIVE_SLOTS: u16 = 4096;
const REFUSED_SLOTS: u16 = 128;
const LEASE_SLOTS: u16 = 128;
/// An answer longer than this is not shared: all slots of a provider together take 18 MB at most.
pub const MAX_SHARED_BYTES: usize = 4096;
/// How much longer than its call a lease runs: past that its holder is taken for dead.
const LEASE_GRACE: Duration = Duration::from_millis(500);

/// The names of the records that concern one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where an active answer stands.
    pub active: String,
    /// Where another one does.
    pub refused: String,
    /// Where whoever asks says so.
    pub lease: String,
}

/// An answer, as one VM tells the others.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedAnswer {
    /// The token.
    pub token: TokenDigest,
    /// The number in the lease on its call. It belongs to the place of the lease: all answers in one place are numbered
    /// by the same leases, so of two about one token the one with the newer number was asked for later.
    pub sequence: Sequence,
    /// When the call began.
    pub began: UnixTime,
    /// When it ended.
    pub ended: UnixTime,
    /// What the endpoint said, with status 200.
    pub body: Vec<u8>,
    /// Which of its places is its own.
    pub slot: SharedSlot,
}

/// In which slots an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedSlot {
    /// Among those of tokens that are active and wanted.
    Active,
    /// Among all others.
    Refused,
}

/// What the VMs of the process told each other of tokens, as far as the host has it. To read it calls nothing back.
pub trait SharedAnswers: std::fmt::Debug {
    /// The answers in these places, also those about other tokens.
    fn read(&self, places: &Places) -> Vec<SharedAnswer>;
}

/// Where VMs tell each other nothing.
#[derive(Clone, Copy, Debug)]
pub struct NothingShared;

impl SharedAnswers for NothingShared {
    fn read(&self, _: &Places) -> Vec<SharedAnswer> {
        Vec::new()
    }
}

/// Who asks about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLease {
    token: TokenDigest,
    span: Span,
    sequence: Sequence,
}

/// Whose turn it is to ask about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallTurn {
    /// Ours, when this lease can be put in the place of the one that was read.
    Ours(CallLease),
    /// Somebody asks already.
    Theirs,
}

/// The name of a provider's records: what is asked, through which upstream and as whom, so that two configurations share
/// exactly when they would be told the same.
pub(super) fn record_name(settings: &Introspection) -> String {
    let mut hasher = Sha256::new();
    let mut add = |text: &str| {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add("introspection");
    let address = match &settings.address {
        IntrospectionAddress::Known(address) => Some(address),
        IntrospectionAddress::Discovered(discovery) => {
            add(&discovery.issuer);
            discovery.documents.first()
        }
    };
    if let Some(address) = address {
        address.identity().for_each(|part| add(&part));
    }
    add(settings.client.client_id());
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Places {
    /// Those of `token` among a provider's records.
    pub(super) fn of(record: &str, token: &TokenDigest) -> Self {
        let [low, high, ..] = token.as_bytes();
        let number = u16::from_le_bytes([*low, *high]);
        Self {
            active: format!("{record}/active/{}", number % ACTIVE_SLOTS),
            refused: format!("{record}/refused/{}", number % REFUSED_SLOTS),
            lease: format!("{record}/lease/{}", number % LEASE_SLOTS),
        }
    }

    /// The place of an answer.
    pub fn of_slot(&self, slot: SharedSlot) -> &str {
        match slot {
            SharedSlot::Active => &self.active,
            SharedSlot::Refused => &self.refused,
        }
    }
}

impl SharedAnswer {
    /// Whether both are about one token and this one is newer.
    pub fn supersedes(&self, other: &Self) -> bool {
        self.token == other.token && self.sequence.is_newer_than(other.sequence)
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(58 + self.body.len());
        bytes.push(VERSION);
        bytes.push(match self.slot {
            SharedSlot::Active => 1,
            SharedSlot::Refused => 0,
        });
        bytes.extend(self.token.as_bytes());
        bytes.extend(self.sequence.number().to_le_bytes());
        bytes.extend(self.began.as_millis().to_le_bytes());
        bytes.extend(self.ended.as_millis().to_le_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// From bytes; `None` when they are not of this form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (slot, rest) = match rest.split_first()? {
            (1, rest) => (SharedSlot::Active, rest),
            (0, rest) => (SharedSlot::Refused, rest),
            _ => return None,
        };
        let (token, rest) = rest.split_first_chunk::<32>()?;
        let (sequence, rest) = number(rest)?;
        let (began, rest) = time(rest)?;
        let (ended, body) = time(rest)?;
        if body.len() > MAX_SHARED_BYTES {
            return None;
        }
        let (token, sequence) = (TokenDigest::from_bytes(*token), Sequence::new(sequence));
        Some(Self { token, sequence, began, ended, body: body.to_vec(), slot })
    }
}

impl CallLease {
    /// As bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.token.as_bytes());
        bytes.extend(self.sequence.number().to_le_bytes());
        bytes.extend(self.span.from.as_millis().to_le_bytes());
        bytes.extend(self.span.until.as_millis().to_le_bytes());
        bytes
    }

    /// From bytes; `None` when they are not of this form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (token, rest) = bytes.strip_prefix(&[VERSION])?.split_first_chunk::<32>()?;
        let (sequence, rest) = number(rest)?;
        let (from, rest) = time(rest)?;
        let (until, rest) = time(rest)?;
        let (token, sequence) = (TokenDigest::from_bytes(*token), Sequence::new(sequence));
        rest.is_empty().then_some(Self { token, span: Span { from, until }, sequence })
    }

    /// The number of the call.
    pub const fn sequence(self) -> Sequence {
        self.sequence
    }

    /// The lease once its holder is done.
    #[must_use]
    pub const fn given_back(self) -> Self {
        // Over for every clock, also one that was set back a little.
        Self { span: Span { from: self.span.from, until: UnixTime::from_millis(0) }, ..self }
    }
}

impl CallTurn {
    /// Whose turn it is to ask about `token`, with `lease` in its place. Another token's is overwritten: the worst that
    /// follows is one call more. Its number is newer than that of the lease, whatever token that is on, and than `newest`,
    /// the newest number of an answer that this VM knows: a lease may be lost.
    pub fn of(
        token: TokenDigest,
        timeout: Duration,
        lease: Option<CallLease>,
        newest: Sequence,
        now: UnixTime,
    ) -> Self {
        match lease {
            Some(lease) if lease.token == token && lease.span.contains(now) => Self::Theirs,
            Some(_) | None => {
                let until = now.plus(timeout).plus(LEASE_GRACE);
                let sequence = lease.map_or(newest, |lease| newest.newer(lease.sequence)).next();
                Self::Ours(CallLease { token, span: Span { from: now, until }, sequence })
            }
        }
    }
}

fn time(bytes: &[u8]) -> Option<(UnixTime, &[u8])> {
    number(bytes).map(|(millis, rest)| (UnixTime::from_millis(millis), rest))
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

impl std::fmt::Debug for SharedAnswer {
    /// Without the body: it describes a person.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SharedAnswer({:?}, {} bytes)", self.token, self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderName;
    use crate::introspection::call::TokenKind;
    use crate::introspection::fixture::settings;
    use crate::policy::{CalloutAddress, CalloutHeaders};
    use crate::redacted::Redacted;
    use std::collections::HashSet;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn digest(text: &str) -> TokenDigest {
        TokenDigest::of(TokenKind::Opaque, text.as_bytes())
    }

    fn answer(body: &[u8]) -> SharedAnswer {
        SharedAnswer {
            token: digest("a"),
            sequence: Sequence::new(3),
            began: UnixTime::from_millis(5),
            ended: UnixTime::from_millis(7),
            body: body.to_vec(),
            slot: SharedSlot::Active,
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_newest_answer_about_one_token_is_the_one_with_the_newest_number() {
        let numbered = |number| SharedAnswer { sequence: Sequence::new(number), ..answer(b"") };
        assert!(numbered(4).supersedes(&numbered(3)) && !numbered(3).supersedes(&numbered(4)));
        assert!(!numbered(3).supersedes(&numbered(3)));
        let later = SharedAnswer { began: UnixTime::from_millis(50), ended: UnixTime::from_millis(70), ..numbered(2) };
        assert!(!later.supersedes(&numbered(3)), "whatever the clock said");
        assert!(!SharedAnswer { token: digest("b"), ..numbered(4) }.supersedes(&numbered(3)));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn records_come_back_as_they_went() {
        for answer in
            [answer(b"{\"active\":true}"), answer(b""), SharedAnswer { slot: SharedSlot::Refused, ..answer(b"x") }]
        {
            assert_eq!(SharedAnswer::from_bytes(&answer.to_bytes()), Some(answer));
        }
        let (timeout, newest, now) = (Duration::from_secs(2), Sequence::new(1 << 40), UnixTime::from_secs(1));
        let CallTurn::Ours(lease) = CallTurn::of(digest("a"), timeout, None, newest, now) else {
            panic!("nobody asks yet")
        };
        assert_eq!(CallLease::from_bytes(&lease.to_bytes()), Some(lease));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_somebody_else_wrote_there_is_no_record() {
        let bytes = answer(b"").to_bytes();
        for end in 0..bytes.len() {
            assert_eq!(SharedAnswer::from_bytes(&bytes[..end]), None, "{end}");
        }
        let too_long = answer(&vec![b'x'; MAX_SHARED_BYTES + 1]).to_bytes();
        // As version 1 wrote them, without a number.
        let (first_answer, first_lease) = ([&[1, 1][..], &[7; 48], b"{}"].concat(), [&[1][..], &[7; 48]].concat());
        for alien in [&b""[..], b"{}", &[0xff; 60], &[VERSION; 20], &too_long, &first_answer, &first_lease] {
            assert_eq!(SharedAnswer::from_bytes(alien), None);
            assert_eq!(CallLease::from_bytes(alien), None);
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_names_are_bounded_however_many_tokens_there_are() {
        let mut names = HashSet::new();
        for number in 0..50_000 {
            let Places { active, refused, lease } = Places::of("r", &digest(&number.to_string()));
            names.extend([active, refused, lease]);
        }
        assert_eq!(names.len(), usize::from(ACTIVE_SLOTS + REFUSED_SLOTS + LEASE_SLOTS));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn one_at_a_time_asks_about_a_token_and_a_dead_one_is_not_waited_for() {
        let now = UnixTime::from_secs(1000);
        let turn = |token: &str, lease, millis| {
            let now = UnixTime::from_millis(millis);
            CallTurn::of(digest(token), Duration::from_secs(2), lease, Sequence::default(), now)
        };
        let CallTurn::Ours(lease) = turn("a", None, now.as_millis()) else { panic!("nobody asks yet") };
        assert_eq!(turn("a", Some(lease), 1_002_499), CallTurn::Theirs);
        assert!(matches!(turn("a", Some(lease), 1_002_500), CallTurn::Ours(_)));
        assert!(matches!(turn("b", Some(lease), 1_000_000), CallTurn::Ours(_)), "another token's is in the way");
        assert!(matches!(turn("a", Some(lease.given_back()), 1_000_000), CallTurn::Ours(_)));
        assert!(matches!(turn("a", Some(lease), 10_000), CallTurn::Ours(_)), "the clock went back");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn each_lease_in_a_place_has_a_newer_number_whatever_its_token_and_the_clock() {
        let turn = |token: &str, lease, newest, seconds| {
            let (newest, now) = (Sequence::new(newest), UnixTime::from_secs(seconds));
            match CallTurn::of(digest(token), Duration::from_secs(2), lease, newest, now) {
                CallTurn::Ours(lease) => lease,
                CallTurn::Theirs => panic!("nobody asks"),
            }
        };
        let first = turn("a", None, 0, 1000);
        assert_eq!(first.sequence(), Sequence::new(1));
        assert_eq!(first.given_back().sequence(), Sequence::new(1));
        let second = turn("a", Some(first.given_back()), 0, 10);
        assert_eq!(second.sequence(), Sequence::new(2), "the clock went back");
        let third = turn("b", Some(second), 0, 10);
        assert_eq!(third.sequence(), Sequence::new(3), "the number belongs to the place");
        assert_eq!(turn("a", None, 7, 10).sequence(), Sequence::new(8), "the lease was lost");
        let corrupt = CallLease { sequence: Sequence::new(1 << 62), ..third.given_back() };
        assert_eq!(turn("b", Some(corrupt), 3, 10).sequence(), Sequence::new((1 << 62) + 1), "and all follow it");
        let corrupt = CallLease { sequence: Sequence::new(u64::MAX), ..third.given_back() };
        assert_eq!(turn("b", Some(corrupt), 3, 10).sequence(), Sequence::new(4), "older than three by four");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn two_configurations_share_exactly_when_they_would_be_told_the_same() {
        let of = |url: &str, upstream: &str, client: &str| {
            let mut settings = settings();
            settings.address = IntrospectionAddress::Known(CalloutAddress::parse(url, upstream).unwrap());
            settings.client = crate::introspection::fixture::client(client);
            record_name(&settings)
        };
        let name = of("https://a/i", "u", "c");
        assert_eq!(name, of("https://a/i", "u", "c"));
        let mut tenant = settings();
        let header = (HeaderName::parse("x-tenant").unwrap(), Redacted::new(String::from("a")));
        let address = CalloutAddress::parse("https://a/i", "u").unwrap();
        let address = address.with_headers(&CalloutHeaders::new(vec![header]));
        tenant.address = IntrospectionAddress::Known(address);
        tenant.client = crate::introspection::fixture::client("c");
        assert_ne!(name, record_name(&tenant), "another header");
        for other in [of("https://a/j", "u", "c"), of("https://a/i", "v", "c"), of("https://a/i", "u", "d")] {
            assert_ne!(name, other);
        }
    }
}
