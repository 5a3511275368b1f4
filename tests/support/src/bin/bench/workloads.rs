//! The workloads: kinds of traffic, each with a kind of signature.

use testbed::Request;

use crate::order::Chance;
use crate::signing::{Kind, SigningKey};
use crate::subjects::Subject;
use crate::tokens::{TokenStore, expired, with_a_bad_signature};

/// Requests to each subject in a round.
pub const REQUESTS_PER_ROUND: usize = 1000;
const SMALL_SET: usize = 1000;
const LARGE_SET: usize = 100_000;
/// Taken in turn: nearly five times what a cache of 4,096 holds, and all of them new in a run of the usual length.
const ROTATION: usize = 20_000;

/// Which tokens come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// One token, always.
    Repeated,
    /// Tokens out of a thousand, each once a round, in another order each time.
    SmallSet,
    /// Tokens out of a hundred thousand, by chance.
    LargeSet,
    /// A token that did not come before, or so long ago that no cache remembers.
    New,
    /// None.
    NoToken,
    /// One token whose time is over.
    Expired,
    /// One token with a bad signature.
    BadSignature,
    /// Another token each time, all with bad signatures.
    NewBadSignature,
}

/// Traffic with tokens that are signed in some way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Which tokens come.
    pub traffic: Traffic,
    /// How they are signed.
    pub kind: Kind,
}

impl Workload {
    /// One token, always; RS256.
    pub const REPEATED: Self = Self { traffic: Traffic::Repeated, kind: Kind::Rs256 };
    /// A new token each time; RS256.
    pub const NEW: Self = Self { traffic: Traffic::New, kind: Kind::Rs256 };

    /// The table's lines: all traffic with RS256, and the two extremes with the others.
    pub fn all() -> Vec<Self> {
        let usual = [
            Traffic::Repeated,
            Traffic::SmallSet,
            Traffic::LargeSet,
            Traffic::New,
            Traffic::NoToken,
            Traffic::Expired,
            Traffic::BadSignature,
            Traffic::NewBadSignature,
        ];
        let usual = usual.map(|traffic| Self { traffic, kind: Kind::Rs256 });
        let others = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Rs256);
        let others = others.flat_map(|kind| [Traffic::Repeated, Traffic::New].map(|traffic| Self { traffic, kind }));
        usual.into_iter().chain(others).collect()
    }

    /// By which it is chosen, and found in the results.
    pub fn name(self) -> String {
        let traffic = match self.traffic {
            Traffic::Repeated => "repeated",
            Traffic::SmallSet => "set-1000",
            Traffic::LargeSet => "set-100000",
            Traffic::New => "new",
            Traffic::NoToken => "no-token",
            Traffic::Expired => "expired",
            Traffic::BadSignature => "bad-signature",
            Traffic::NewBadSignature => "new-bad-signature",
        };
        format!("{}-{traffic}", self.kind.name())
    }

    /// What the tables call it.
    pub fn title(self) -> String {
        let kind = self.kind.title();
        match self.traffic {
            Traffic::Repeated => format!("{kind}: one token, repeated"),
            Traffic::SmallSet => format!("{kind}: 1,000 tokens, shuffled"),
            Traffic::LargeSet => format!("{kind}: 100,000 tokens at random"),
            Traffic::New => format!("{kind}: a new token each time"),
            Traffic::NoToken => "refused: no token".to_owned(),
            Traffic::Expired => "refused: expired token".to_owned(),
            Traffic::BadSignature => "refused: bad signature, repeated".to_owned(),
            Traffic::NewBadSignature => "refused: a new bad signature each time".to_owned(),
        }
    }

    /// How this subject must answer.
    pub fn expected_status(self, subject: Subject) -> u16 {
        if self.is_rejected() && subject.validates_tokens() { 401 } else { 200 }
    }

    /// Rounds before anything counts. The caches are as full by then as this traffic fills them.
    pub fn warm_up_rounds(self) -> usize {
        match self.traffic {
            Traffic::LargeSet | Traffic::New => 5,
            Traffic::Repeated
            | Traffic::SmallSet
            | Traffic::NoToken
            | Traffic::Expired
            | Traffic::BadSignature
            | Traffic::NewBadSignature => 2,
        }
    }

    /// What is sent in round after round.
    pub fn prepare<'t>(self, keys: &[SigningKey], store: &'t mut TokenStore) -> Prepared<'t> {
        let key = keys.iter().find(|key| key.kind() == self.kind).expect("there is a key of every kind");
        let sent = match self.traffic {
            Traffic::NoToken => Sent::Always(Request::get("/accounts")),
            Traffic::Repeated => Sent::Always(with(&store.tokens(key, 1)[0])),
            Traffic::Expired => Sent::Always(with(&expired(key))),
            Traffic::BadSignature => Sent::Always(with(&with_a_bad_signature(&store.tokens(key, 1)[0]))),
            // One file serves all three.
            Traffic::SmallSet | Traffic::LargeSet | Traffic::New | Traffic::NewBadSignature => {
                Sent::Of(store.tokens(key, if self.kind == Kind::Rs256 { LARGE_SET } else { ROTATION }))
            }
        };
        Prepared { traffic: self.traffic, sent }
    }

    fn is_rejected(self) -> bool {
        match self.traffic {
            Traffic::NoToken | Traffic::Expired | Traffic::BadSignature | Traffic::NewBadSignature => true,
            Traffic::Repeated | Traffic::SmallSet | Traffic::LargeSet | Traffic::New => false,
        }
    }
}

/// Traffic with its tokens at hand.
pub struct Prepared<'t> {
    traffic: Traffic,
    sent: Sent<'t>,
}

enum Sent<'t> {
    Always(Request),
    Of(&'t [String]),
}

impl Prepared<'_> {
    /// The requests of one round. Every subject gets the same.
    pub fn round(&self, round: usize) -> Vec<Request> {
        let tokens = match &self.sent {
            Sent::Always(request) => return vec![request.clone(); REQUESTS_PER_ROUND],
            Sent::Of(tokens) => tokens,
        };
        let mut chance = Chance::seeded(round as u64);
        let places = match self.traffic {
            Traffic::SmallSet => chance.shuffle(SMALL_SET),
            Traffic::LargeSet => chance.draw(REQUESTS_PER_ROUND, LARGE_SET),
            _ => (0..REQUESTS_PER_ROUND).map(|place| (round * REQUESTS_PER_ROUND + place) % tokens.len()).collect(),
        };
        let request = |place: usize| match self.traffic {
            Traffic::NewBadSignature => with(&with_a_bad_signature(&tokens[place])),
            _ => with(&tokens[place]),
        };
        places.into_iter().map(request).collect()
    }
}

/// A request with this token.
pub fn with(token: &str) -> Request {
    Request::get("/accounts").bearer(token)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The tokens a round sends, when there are `count` of them.
    fn sent(traffic: Traffic, count: usize, round: usize) -> Vec<Vec<u8>> {
        let tokens: Vec<String> = (0..count).map(|number| format!("h.{number}.signature")).collect();
        let prepared = Prepared { traffic, sent: Sent::Of(&tokens) };
        prepared.round(round).iter().map(Request::head).collect()
    }

    fn distinct(requests: impl IntoIterator<Item = Vec<u8>>) -> usize {
        requests.into_iter().collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn new_tokens_repeat_only_after_all_others() {
        for traffic in [Traffic::New, Traffic::NewBadSignature] {
            let all = (0..5).flat_map(|round| sent(traffic, 5000, round));
            assert_eq!(distinct(all), 5000);
            assert_eq!(sent(traffic, 5000, 5), sent(traffic, 5000, 0));
        }
    }

    #[test]
    fn small_set_is_sent_completely_in_every_round_in_another_order() {
        let [first, second] = [0, 1].map(|round| sent(Traffic::SmallSet, 5000, round));
        assert_eq!(distinct(first.clone()), SMALL_SET);
        assert_eq!(distinct([first.clone(), second.clone()].concat()), SMALL_SET);
        assert_ne!(first, second);
    }

    #[test]
    fn large_set_is_sampled_uniformly() {
        let drawn = distinct((0..5).flat_map(|round| sent(Traffic::LargeSet, LARGE_SET, round)));
        // 5,000 draws of 100,000 meet again some 120 times.
        assert!((4800..4950).contains(&drawn), "{drawn}");
    }

    #[test]
    fn only_the_filter_rejects_and_only_bad_tokens() {
        let statuses = |traffic| {
            let workload = Workload { traffic, kind: Kind::Rs256 };
            [Subject::NoFilter, Subject::Floor, Subject::Ours].map(|subject| workload.expected_status(subject))
        };
        assert_eq!(statuses(Traffic::Expired), [200, 200, 401]);
        assert_eq!(statuses(Traffic::New), [200, 200, 200]);
    }

    #[test]
    fn workload_names_are_unique() {
        let names: BTreeSet<_> = Workload::all().into_iter().map(Workload::name).collect();
        assert_eq!(names.len(), Workload::all().len());
    }
}
