//! Executes the plan.

use std::time::Duration;

use super::clock::Moment;
use super::gateway::{Gateway, LONGEST_TIMEOUT, flip_is_open};
use super::plan::{Action, Endpoint, Via};
use super::world::{Generation, World};
use crate::attack::random::Random;

/// Later than any run lasts.
const NOT_YET: Moment = Duration::from_secs(1 << 40);

/// Carries out all but reloads and floods, each at its time.
pub fn change(world: &World, plan: &[(Moment, Action)], seed: u64) {
    let mut random = Random::new(seed);
    for (at, action) in plan {
        if matches!(action, Action::Reload(_) | Action::Flood(..)) {
            continue;
        }
        world.clock.sleep_until(*at, || world.is_over());
        if world.is_over() {
            break;
        }
        carry_out(world, *action, &mut random);
    }
    for endpoint in [Endpoint::Keys, Endpoint::Introspection, Endpoint::List, Endpoint::Backend] {
        carry_out(world, Action::FaultEnds(endpoint), &mut random);
    }
}

fn carry_out(world: &World, action: Action, random: &mut Random) {
    match action {
        Action::FaultBegins(endpoint, fault) => {
            let state = world.endpoint(endpoint);
            state.faults.begin(fault.name(), world.now());
            *state.fault.lock().expect("no panic") = Some(fault);
            world.report.action(format!("fault, {endpoint:?}: {}", fault.name()), world.now(), "");
        }
        Action::FaultEnds(endpoint) => {
            let state = world.endpoint(endpoint);
            if state.fault.lock().expect("no panic").take().is_some() {
                state.faults.end(world.now(), |lasted| recovery(endpoint, lasted));
                world.report.action(format!("fault ends, {endpoint:?}"), world.now(), "");
            }
        }
        Action::PublishKey(rotation) => {
            let _ = world.key(rotation).published.set(world.now());
            world.report.action("key published".to_owned(), world.now(), &format!("key-{rotation}"));
        }
        Action::UseKey(rotation) => {
            world.use_key(rotation);
            world.report.action("key used".to_owned(), world.now(), &format!("key-{rotation}"));
        }
        Action::RetireKey(rotation) => {
            let _ = world.key(rotation).retired.set(world.now());
            world.report.action("key retired".to_owned(), world.now(), &format!("key-{rotation}"));
        }
        Action::RevokeToken => {
            world.revoke_token(random.below(1 << 20));
            world.report.action("token revoked".to_owned(), world.now(), "");
        }
        Action::RevokeUser => {
            world.revoke_user();
            world.report.action("user revoked".to_owned(), world.now(), "");
        }
        Action::EndOpaque => {
            world.end_opaque();
            world.report.action("opaque token ended".to_owned(), world.now(), "");
        }
        Action::Reload(_) | Action::Flood(..) => {}
    }
}

/// How long the filter may need after a fault: calls that hang, and the pause before the next attempt, which doubles
/// with each failure and is so at most as long as the fault was, or what a 429 asks for.
fn recovery(endpoint: Endpoint, lasted: Duration) -> Duration {
    match endpoint {
        Endpoint::Backend => Duration::from_millis(700),
        Endpoint::Keys | Endpoint::Introspection | Endpoint::List => {
            LONGEST_TIMEOUT + lasted.clamp(Duration::from_secs(1), Duration::from_secs(60))
        }
    }
}

/// Carries out the reloads, one after another.
pub fn reload(world: &World, gateway: &Gateway, plan: &[(Moment, Action)]) {
    for (at, action) in plan {
        let Action::Reload(via) = *action else { continue };
        world.clock.sleep_until(*at, || world.is_over());
        if world.is_over() {
            break;
        }
        reload_once(world, gateway, via);
    }
}

fn reload_once(world: &World, gateway: &Gateway, via: Via) {
    let number = world.generations(via).lock().expect("no panic").len();
    let begun = world.now();
    let generation = Generation { flip_is_open: flip_is_open(number), begun, accepted: NOT_YET };
    world.generations(via).lock().expect("no panic").push(generation);
    gateway.reload(via, number);
    let accepted = world.now();
    world.generations(via).lock().expect("no panic").last_mut().expect("it was added").accepted = accepted;
    let name = match via {
        Via::Listener => "reload of the listener",
        Via::Extension => "reload of the filter",
    };
    world.reloads.note(name, begun, accepted);
    world.report.action(name.to_owned(), accepted, &format!("took {:.0?}", accepted - begun));
}
