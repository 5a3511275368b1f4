//! Floods of requests, from addresses of their own.

use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::clock::Moment;
use super::http2_client;
use super::plan::{Action, FloodKind, Via};
use super::tokens::{JWT_ISSUER, unsigned};
use super::world::World;
use crate::attack::http2::Field;
use crate::attack::random::Random;

/// Each flood comes from one client.
const FLOODER: u8 = 200;
const STEP: Duration = Duration::from_millis(50);

/// Carries out the floods of a plan, one after another; `rate` is in requests a second.
pub fn run(world: &World, ports: [u16; 2], plan: &[(Moment, Action)], rate: usize, seed: u64) {
    let mut random = Random::new(seed);
    for (at, action) in plan {
        let Action::Flood(kind, lasts) = *action else { continue };
        world.clock.sleep_until(*at, || world.is_over());
        if world.is_over() {
            break;
        }
        let via = if random.once_in(2) { Via::Listener } else { Via::Extension };
        world.floods.begin(kind.name(), world.now());
        let per_step = if kind == FloodKind::Heads { rate / 80 + 1 } else { rate / 20 + 1 };
        let until = world.now() + lasts;
        let mut sent = 0;
        // Envoy may close a connection: for a head that is too large, or for too many streams that are reset.
        while world.now() < until && !world.is_over() {
            sent += over_one_connection(world, ports[via as usize], kind, per_step, until, &mut random);
        }
        world.floods.end(world.now(), |_| Duration::ZERO);
        world.report.action(kind.name().to_owned(), world.now(), &format!("{sent} requests"));
    }
}

/// Sends so many in each step until `until` or until the connection ends, and gives how many were sent. Requests that
/// wait then are left by their client.
fn over_one_connection(
    world: &World,
    port: u16,
    kind: FloodKind,
    per_step: usize,
    until: Moment,
    random: &mut Random,
) -> usize {
    let Ok(mut connection) = http2_client::Connection::open(port, FLOODER) else { return 0 };
    let Ok(reading) = connection.stream() else { return 0 };
    let mut sent = 0;
    thread::scope(|scope| {
        scope.spawn(move || {
            let _ = http2_client::read_statuses(reading, |status| check(world, kind, status));
        });
        while world.now() < until && !world.is_over() {
            let before = world.now();
            let requests: Vec<_> = (0..per_step).map(|_| request(kind, random)).collect();
            let written = match kind {
                FloodKind::ResetStreams => connection.send_and_reset(&requests),
                _ => connection.send(&requests),
            };
            if written.is_err() {
                break;
            }
            sent += per_step;
            world.clock.sleep_until(before + STEP, || world.is_over());
        }
        connection.close();
    });
    sent
}

fn check(world: &World, kind: FloodKind, status: u16) {
    world.report.count(kind.name(), status.to_string());
    let is_expected = match kind {
        FloodKind::Heads => matches!(status, 401 | 431),
        FloodKind::UnknownKeyIds | FloodKind::RandomOpaque | FloodKind::ResetStreams => matches!(status, 401 | 503),
    };
    if !is_expected {
        world.report.violate(format!("{}: {status}", kind.name()), "flood", String::new());
    }
}

fn request(kind: FloodKind, random: &mut Random) -> Vec<Field> {
    let field = |name: &str, value: &str| -> Field { (name.as_bytes().to_vec(), value.as_bytes().to_vec()) };
    let mut fields = vec![
        field(":method", "GET"),
        field(":path", "/api/1"),
        field(":scheme", "http"),
        field(":authority", "api.test"),
        field("x-request-id", "flood"),
    ];
    let token = match kind {
        FloodKind::UnknownKeyIds => unknown_key_id(random),
        FloodKind::RandomOpaque | FloodKind::ResetStreams => random_opaque(random),
        FloodKind::Heads => "a.b.c".to_owned(),
    };
    fields.push(field("authorization", &format!("Bearer {token}")));
    if kind == FloodKind::Heads {
        // In one frame of the usual size.
        let count = 30 + random.below(40);
        fields.extend((0..count).map(|number| field(&format!("x-field-{number}"), &"v".repeat(200))));
    }
    fields
}

/// A token that nobody has signed; nothing but its signature and its key id is wrong.
fn unknown_key_id(random: &mut Random) -> String {
    let header = json!({ "alg": "ES256", "kid": format!("flood-{:x}", random.below(1 << 40)) });
    let payload =
        json!({ "iss": JWT_ISSUER, "aud": super::tokens::AUDIENCE, "exp": 4_000_000_000_u64, "sub": "flood" });
    format!("{}.{}", unsigned(&header, &payload), URL_SAFE_NO_PAD.encode([7; 64]))
}

fn random_opaque(random: &mut Random) -> String {
    format!("random-{:012x}-{:012x}-nobody", random.below(1 << 40), random.below(1 << 40))
}
