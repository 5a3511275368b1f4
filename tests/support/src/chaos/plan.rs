//! The schedule of a run, made from the seed before the run begins.

use std::time::Duration;

use super::clock::Moment;
use crate::attack::random::Random;

/// What a fault is injected into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Keys,
    Introspection,
    List,
    Backend,
}

/// How an endpoint misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Slow,
    Hang,
    ServerError,
    TooManyRequests,
    CutBody,
    JunkBody,
    EmptySet,
    TooLarge,
    Reset,
}

impl Fault {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Hang => "hang",
            Self::ServerError => "500",
            Self::TooManyRequests => "429",
            Self::CutBody => "cut body",
            Self::JunkBody => "junk body",
            Self::EmptySet => "empty set",
            Self::TooLarge => "too large",
            Self::Reset => "reset",
        }
    }
}

/// How a changed configuration reaches Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The listener is replaced.
    Listener,
    /// The filter alone is replaced.
    Extension,
}

/// What a flood consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloodKind {
    UnknownKeyIds,
    RandomOpaque,
    /// Opaque tokens on HTTP/2 streams that are reset at once.
    ResetStreams,
    Heads,
}

impl FloodKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownKeyIds => "flood of unknown key ids",
            Self::RandomOpaque => "flood of random opaque tokens",
            Self::ResetStreams => "flood of reset streams",
            Self::Heads => "flood of large heads",
        }
    }
}

/// A change of what surrounds the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    FaultBegins(Endpoint, Fault),
    FaultEnds(Endpoint),
    /// The rotation's key is added to the key set.
    PublishKey(usize),
    /// Tokens are signed with the rotation's key from now on.
    UseKey(usize),
    /// The rotation's key is removed from the key set.
    RetireKey(usize),
    RevokeToken,
    RevokeUser,
    EndOpaque,
    Reload(Via),
    Flood(FloodKind, Duration),
}

/// The actions of a run, in the order of their times.
pub fn make(seed: u64, lasts: Duration) -> Vec<(Moment, Action)> {
    let mut plan = Vec::new();
    let tracks: [fn(&mut Track<'_>); 7] = [keys, rotations, introspection, list, backend, ends, reloads_and_floods];
    for (number, track) in tracks.into_iter().enumerate() {
        let mut random = Random::new(seed.wrapping_mul(64).wrapping_add(number as u64));
        // Nothing begins in the last seconds: what was begun shows its effect.
        track(&mut Track { random: &mut random, until: lasts.saturating_sub(Duration::from_secs(3)), plan: &mut plan });
    }
    plan.sort_by_key(|(at, _)| *at);
    plan
}

struct Track<'a> {
    random: &'a mut Random,
    until: Moment,
    plan: &'a mut Vec<(Moment, Action)>,
}

impl Track<'_> {
    /// Between so many milliseconds.
    fn between(&mut self, least: usize, most: usize) -> Duration {
        Duration::from_millis((least + self.random.below(most - least)) as u64)
    }

    /// Adds it unless it is too late, and says whether it did.
    fn add(&mut self, at: Moment, action: Action) -> bool {
        let is_in_time = at < self.until;
        if is_in_time {
            self.plan.push((at, action));
        }
        is_in_time
    }

    /// One fault after another; `pause` is how long the endpoint works between them, from how long the last fault lasted.
    fn faults(
        &mut self,
        endpoint: Endpoint,
        kinds: &[Fault],
        first: Moment,
        lasts: (usize, usize),
        pause: impl Fn(&mut Self, Duration) -> Duration,
    ) {
        let mut at = first;
        let mut kinds_left = Vec::new();
        while at < self.until {
            // Each kind once before one comes again.
            if kinds_left.is_empty() {
                kinds_left = self.random.sample(kinds.to_vec(), kinds.len());
            }
            let kind = kinds_left.pop().expect("there are kinds");
            let long = self.between(lasts.0, lasts.1);
            let ends = (at + long).min(self.until);
            self.add(at, Action::FaultBegins(endpoint, kind));
            self.plan.push((ends, Action::FaultEnds(endpoint)));
            at = ends + pause(self, long);
        }
    }
}

const FAULTS: [Fault; 8] = [
    Fault::Slow,
    Fault::Hang,
    Fault::ServerError,
    Fault::TooManyRequests,
    Fault::CutBody,
    Fault::JunkBody,
    Fault::TooLarge,
    Fault::Reset,
];

fn keys(track: &mut Track<'_>) {
    let kinds = [&FAULTS[..], &[Fault::EmptySet]].concat();
    let first = track.between(9000, 11_000);
    track.faults(Endpoint::Keys, &kinds, first, (1000, 5000), |track, lasted| lasted + track.between(12_000, 16_000));
}

fn rotations(track: &mut Track<'_>) {
    let mut at = track.between(2500, 3500);
    for number in 1.. {
        let is_used_first = track.random.once_in(2);
        let lag = if is_used_first { track.between(100, 2500) } else { track.between(50, 1500) };
        let [published, used] = if is_used_first { [at + lag, at] } else { [at, at + lag] };
        if published.max(used) >= track.until {
            break;
        }
        track.add(published, Action::PublishKey(number));
        track.add(used, Action::UseKey(number));
        if number >= 2 {
            let retired = at + track.between(4000, 6000);
            track.add(retired, Action::RetireKey(number - 2));
        }
        at += track.between(9000, 12_000);
    }
}

fn introspection(track: &mut Track<'_>) {
    let first = track.between(4000, 6000);
    track.faults(Endpoint::Introspection, &FAULTS, first, (1000, 4000), |track, lasted| {
        2 * lasted + track.between(7000, 10_000)
    });
}

/// Half of these faults come with a reload.
fn list(track: &mut Track<'_>) {
    let first = track.between(3000, 4000);
    track.faults(Endpoint::List, &FAULTS, first, (2500, 5000), |track, _| track.between(5000, 8000));
    let begins =
        |(at, action): &(Moment, Action)| matches!(action, Action::FaultBegins(Endpoint::List, _)).then_some(*at);
    let begun: Vec<Moment> = track.plan.iter().filter_map(begins).collect();
    for (number, at) in begun.into_iter().enumerate() {
        let via = if number % 4 < 2 { Via::Extension } else { Via::Listener };
        if number % 2 == 0 {
            track.add(at + Duration::from_millis(300), Action::Reload(via));
        }
    }
}

fn backend(track: &mut Track<'_>) {
    let first = track.between(6000, 8000);
    let kinds = [Fault::Slow, Fault::Reset, Fault::ServerError];
    track.faults(Endpoint::Backend, &kinds, first, (500, 1000), |track, _| track.between(8000, 12_000));
}

/// Tokens end in all ways.
fn ends(track: &mut Track<'_>) {
    let mut at = track.between(1000, 2000);
    for number in 1.. {
        let action = match number % 4 {
            0 => Action::RevokeUser,
            1 => Action::RevokeToken,
            _ => Action::EndOpaque,
        };
        if !track.add(at, action) {
            break;
        }
        at += track.between(600, 1500);
    }
}

fn reloads_and_floods(track: &mut Track<'_>) {
    let mut at = track.between(4000, 5000);
    for number in 0.. {
        let via = if number % 2 == 0 { Via::Listener } else { Via::Extension };
        if !track.add(at, Action::Reload(via)) {
            break;
        }
        at += track.between(3000, 6000);
    }
    // The first rotation happens in the middle of a flood of unknown key ids.
    let kinds = [FloodKind::UnknownKeyIds, FloodKind::RandomOpaque, FloodKind::ResetStreams, FloodKind::Heads];
    let mut at = track.between(1500, 2000);
    for number in 0.. {
        let lasts = track.between(2000, 4000);
        if !track.add(at, Action::Flood(kinds[number % kinds.len()], lasts)) {
            break;
        }
        at += lasts + track.between(500, 2000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_seed_gives_the_same_plan_and_another_one_another() {
        assert_eq!(make(3, LONG), make(3, LONG));
        assert_ne!(make(3, LONG), make(4, LONG));
    }

    #[test]
    fn a_short_plan_has_every_kind_of_action() {
        for seed in 1..50 {
            let plan = make(seed, Duration::from_secs(20));
            let has = |wanted: fn(&Action) -> bool| {
                assert!(plan.iter().any(|(_, action)| wanted(action)), "seed {seed}: {plan:?}");
            };
            has(|action| matches!(action, Action::FaultBegins(Endpoint::Keys, _)));
            has(|action| matches!(action, Action::FaultBegins(Endpoint::Introspection, _)));
            has(|action| matches!(action, Action::FaultBegins(Endpoint::List, _)));
            has(|action| matches!(action, Action::FaultBegins(Endpoint::Backend, _)));
            has(|action| matches!(action, Action::UseKey(_)));
            has(|action| matches!(action, Action::RevokeToken));
            has(|action| matches!(action, Action::RevokeUser));
            has(|action| matches!(action, Action::EndOpaque));
            has(|action| matches!(action, Action::Reload(Via::Listener)));
            has(|action| matches!(action, Action::Reload(Via::Extension)));
            has(|action| matches!(action, Action::Flood(FloodKind::UnknownKeyIds, _)));
            has(|action| matches!(action, Action::Flood(FloodKind::RandomOpaque, _)));
        }
    }

    #[test]
    fn every_fault_ends_before_the_next_of_its_endpoint_begins() {
        for endpoint in [Endpoint::Keys, Endpoint::Introspection, Endpoint::List, Endpoint::Backend] {
            let mut is_faulty = false;
            for (_, action) in make(7, LONG) {
                match action {
                    Action::FaultBegins(at, _) if at == endpoint => assert!(!std::mem::replace(&mut is_faulty, true)),
                    Action::FaultEnds(at) if at == endpoint => assert!(std::mem::replace(&mut is_faulty, false)),
                    _ => {}
                }
            }
            assert!(!is_faulty);
        }
    }
}
